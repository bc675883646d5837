"""Recordings as objects of pynapple."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from ann2neo.errors import InputValueError, MissingExtraError
from ann2neo.recording import Recording, checked_recording

__all__ = ["PynappleObjects", "to_pynapple"]

_GAP = 1e-6
"""Seconds that pynapple takes off the end of an interval that touches the next."""
_RESERVED = {"rate", "start", "end", "index", "columns", "values", "time_support"}
_BOUNDS = ["start_bin", "stop_bin"]


class PynappleObjects(NamedTuple):
    """What `to_pynapple` returns.

    Parameters
    ----------
    spikes : pynapple.TsGroup
        Spike times of the units, whose columns are its metadata.
    epochs : dict of str to pynapple.IntervalSet
        Stretches of time by name: "segments", each kind of presentations, and each
        label as "kind/label".
    provenance : mapping of str to str
        Where the recording came from, for which pynapple has no place.
    """

    spikes: Any
    epochs: dict[str, Any]
    provenance: Mapping[str, str]


def to_pynapple(recording: Recording) -> PynappleObjects:
    """Return the spikes as a TsGroup of pynapple, and presentations as IntervalSets.

    Parameters
    ----------
    recording : Recording
        The recording.

    Returns
    -------
    PynappleObjects
        ``spikes, epochs, provenance``. Times are in s on the recording's clock. The
        time support of the spikes is the observed time, so that rates are those of the
        recording. Columns of the tables become metadata, bins included, since pynapple
        cuts 1 microsecond off an interval that touches the next one; a name that
        pynapple reserves gets an underscore.

    Raises
    ------
    InputTypeError, InputValueError
        If `recording` is not a Recording, or its bins are shorter than 10 microseconds.
    MissingExtraError
        If pynapple is not installed.

    Examples
    --------
    >>> recording = Recording.from_activations(
    ...     [[1, 0], [0, 1], [1, 1]], labels=["a", "b", "a"]
    ... )
    >>> spikes, epochs, _ = to_pynapple(recording)
    >>> spikes[0].restrict(epochs["trials/a"]).times().round(5).tolist()
    [0.00025, 0.00225]
    """
    checked_recording(recording, "to_pynapple")
    try:
        import pynapple as nap
    except ImportError as error:
        raise MissingExtraError(
            "objects of pynapple need pynapple, which is not installed; pip install"
            " 'ann2neo[exchange]'"
        ) from error
    raster = recording.raster
    if raster.sampling_period_seconds < 10 * _GAP:
        raise InputValueError(
            f"bins of {raster.sampling_period} are too short for pynapple, which takes"
            " 1 microsecond off adjoining intervals; make the recording with longer"
            " ones, of 10 microseconds at least"
        )
    observed = recording.segments
    observed = observed[observed["start_bin"] < observed["stop_bin"]]
    segments = _intervals(recording, observed)
    # In one stretch where segments adjoin: nothing is missing between them.
    support = nap.IntervalSet(*_stretches(recording, observed))
    spikes = nap.TsGroup(
        {
            # With a support of its own, one spike would be a time without a length.
            unit: nap.Ts(
                raster.spike_time_seconds(raster.spike_bins(unit)), time_support=support
            )
            for unit in range(recording.n_units)
        },
        time_support=support,
        metadata=_metadata(recording.units),
    )
    epochs = {"segments": segments}
    for name, table in _epochs(recording.presentations):
        epochs[name] = _intervals(recording, table)
    return PynappleObjects(spikes, epochs, dict(recording.provenance))


def _epochs(presentations: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield the presentations of each kind, then those of each of its labels."""
    for kind, table in presentations.groupby("kind", sort=False):
        yield str(kind), table
        if "label" in table:
            known = table[table["label"].notna() & (table["label"] != "")]
            for label, rows in known.groupby("label", sort=False):
                yield f"{kind}/{label}", rows


def _stretches(
    recording: Recording, segments: pd.DataFrame
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return start and stop in s of what was observed without a break."""
    starts, stops = (segments[name].to_numpy() for name in _BOUNDS)
    is_new = np.ones(len(starts), np.bool_)
    is_new[1:] = starts[1:] != stops[:-1]
    is_last = np.append(is_new[1:], np.ones(min(1, len(starts)), np.bool_))
    edges = recording.raster.bin_edge_seconds
    return edges(starts[is_new]), edges(stops[is_last])


def _intervals(recording: Recording, table: pd.DataFrame) -> Any:
    import pynapple as nap

    starts, stops = (table[name].to_numpy() for name in _BOUNDS)
    edges = recording.raster.bin_edge_seconds
    ends = edges(stops).astype(np.float64)
    # As pynapple would do, with a warning for each set.
    ends[:-1] -= np.where(stops[:-1] == starts[1:], _GAP, 0.0)
    return nap.IntervalSet(edges(starts), ends, metadata=_metadata(table))


def _metadata(table: pd.DataFrame) -> dict[str, npt.NDArray[Any]] | None:
    columns: dict[str, npt.NDArray[Any]] = {}
    for name in table:
        safe = re.sub(r"\W", "_", str(name))
        if safe in _RESERVED or not safe.isidentifier() or safe in columns:
            safe = f"{safe}_" if safe.isidentifier() else f"_{safe}"
        values = table[name].to_numpy()
        columns[safe] = values.astype(str) if table[name].dtype == "str" else values
    return columns or None
