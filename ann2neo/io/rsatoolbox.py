"""Responses to presentations for rsatoolbox."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ann2neo.errors import MissingExtraError
from ann2neo.io.arrays import trial_bins
from ann2neo.recording import Recording, checked_recording
from ann2neo.recording.labelled import attributes
from ann2neo.recording.tables import unit_names

__all__ = ["to_rsatoolbox"]

_BLOCK_BYTES = 1 << 22


def to_rsatoolbox(
    recording: Recording, kind: str | None = None, window: Any = None
) -> Any:
    """Return the spike counts of every presentation as a data set of rsatoolbox.

    Parameters
    ----------
    recording : Recording
        A recording with presentations; they need not be segments.
    kind : str, optional
        Kind of the presentations; the only one, or "trials", if not given.
    window : (start, stop), optional
        Steps since the start of a presentation, or times since it as quantities, in
        which spikes are counted; the whole presentation if not given.

    Returns
    -------
    rsatoolbox.data.Dataset
        Measurements of shape (n_presentations, n_units). ``obs_descriptors`` are the
        columns of the presentations, ``channel_descriptors`` those of the units, with
        ``name``; ``descriptors`` the provenance. `rsatoolbox.rdm.calc_rdm` of it, with
        ``descriptor="stimulus_id"``, gives the dissimilarities of `dissimilarities`.

    Raises
    ------
    InputTypeError, InputValueError
        If `recording` is not a Recording, it has no presentations of the kind, or one
        of them does not hold the whole window.
    MissingExtraError
        If rsatoolbox is not installed.

    Examples
    --------
    >>> recording = Recording.from_activations([[1, 0], [1, 1]], stimulus_id=["a", "b"])
    >>> to_rsatoolbox(recording).measurements
    array([[1., 0.],
           [1., 1.]])
    """
    checked_recording(recording, "to_rsatoolbox")
    try:
        from rsatoolbox.data.dataset import Dataset
    except ImportError as error:
        raise MissingExtraError(
            "data sets of rsatoolbox need rsatoolbox, which is not installed; pip"
            " install 'ann2neo[exchange]'"
        ) from error
    bins = trial_bins(recording, kind, window, "to_rsatoolbox")
    counts = np.empty((bins.n_trials, recording.n_units))
    for units, block in recording.raster.unit_blocks(_BLOCK_BYTES):
        before, after = map(block.cumulative_counts, (bins.starts, bins.stops))
        counts[:, units] = (after - before).T
    table = recording.presentations.iloc[bins.rows].reset_index(drop=True)
    channels: dict[str, npt.NDArray[Any]] = {
        "name": np.array(unit_names(recording.units), str)
    }
    for name in recording.units:
        channels[str(name)] = _values(recording.units[name])
    return Dataset(
        counts,
        descriptors=attributes(recording),
        obs_descriptors={str(name): _values(table[name]) for name in table},
        channel_descriptors=channels,
    )


def _values(column: Any) -> npt.NDArray[Any]:
    values: npt.NDArray[Any] = column.to_numpy()
    return values.astype(str) if column.dtype == "str" else values
