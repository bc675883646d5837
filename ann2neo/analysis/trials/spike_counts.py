"""spike_counts: the spikes of every unit in every presentation, as a labelled array."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ann2neo.errors import InputValueError
from ann2neo.recording import Recording, checked_recording
from ann2neo.recording.labelled import (
    attributes,
    presentation_coordinates,
    unit_coordinates,
)
from ann2neo.recording.select import kind_of
from ann2neo.recording.windows import check_window, step_window

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["spike_counts"]

_BLOCK_BYTES = 1 << 22


def spike_counts(
    recording: Recording, kind: str | None = None, window: Any = None
) -> xr.DataArray:
    """Count the spikes of every unit in every presentation.

    Parameters
    ----------
    recording : Recording
        A recording with presentations; they need not be segments.
    kind : str, optional
        Kind of the presentations; the only one, or "trials", if not given.
    window : (start, stop), optional
        Steps since the start of a presentation, or times since it as quantities; the
        stop may be None, the presentation's end. The whole presentation if not given.

    Returns
    -------
    xarray.DataArray, dims (presentation, unit), int64
        Number of spikes. Coordinates are the columns of the tables of presentations
        (with ``start_time`` and ``stop_time`` in s) and of units, attributes the
        provenance.

    Raises
    ------
    InputTypeError, InputValueError
        If `recording` is not a Recording, it has no presentations of the kind, or one
        of them does not hold the whole window.

    Examples
    --------
    >>> recording = Recording.from_activations(
    ...     [[1, 0], [0, 0], [1, 1]], labels=["a", "b", "a"]
    ... )
    >>> counts = spike_counts(recording)
    >>> counts.groupby("label").sum().values
    array([[2, 1],
           [0, 0]])
    """
    import xarray as xr

    table = checked_recording(recording, "spike_counts").presentations
    kind = kind_of(table, kind)
    rows = np.flatnonzero((table["kind"] == kind).to_numpy())
    if not len(rows):
        raise InputValueError(
            "spike_counts needs presentations, and the recording has none; add them"
            " with recording.with_presentations"
        )
    steps = step_window(window, recording.raster)
    chosen = table.iloc[rows]
    starts, stops = chosen["start_bin"].to_numpy(), chosen["stop_bin"].to_numpy()
    check_window(steps, stops - starts, kind)
    counts = np.empty((len(rows), recording.n_units), np.int64)
    for units, block in recording.raster.unit_blocks(_BLOCK_BYTES):
        counts[:, units] = steps.counts(block, starts, stops).T
    return xr.DataArray(
        counts,
        dims=("presentation", "unit"),
        coords=presentation_coordinates(recording, rows) | unit_coordinates(recording),
        name="spike_count",
        attrs=attributes(recording, units="spikes"),
    )
