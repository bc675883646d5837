"""Selection of units, phases, times and presentations, and their order."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import quantities as pq

from ann2neo._checks import fifteen_digits, seconds
from ann2neo.errors import InputValueError
from ann2neo.raster import SpikeRaster
from ann2neo.raster.binning import nearest_edges
from ann2neo.raster.spike_raster import as_index
from ann2neo.recording.segments import IntArray, Segment, segment_table
from ann2neo.recording.tables import (
    DEFAULT_KIND,
    STIMULUS_PLACE,
    network_columns,
    shifted,
)

if TYPE_CHECKING:
    from ann2neo.recording.recording import Recording

__all__ = [
    "Choice",
    "Pieces",
    "in_stimulus_order",
    "kind_of",
    "segment_of",
    "select_layers",
    "select_phases",
    "select_presentations",
    "select_time",
    "select_units",
    "side_by_side",
]

Choice = npt.ArrayLike | Callable[[pd.DataFrame], Any]
"""Rows of a table: indices, a mask, or a function of the table that returns them."""


class Pieces(NamedTuple):
    """Stretches of bins that are set side by side in another recording.

    Parameters
    ----------
    starts, stops : ndarray of int64, shape (n,)
        First bin of each piece, and the bin after its last.
    begins : ndarray of bool, shape (n,)
        Whether a segment begins with this piece; else it goes on with it.
    phases, orders : ndarray of str (object), shape (n,)
        Phase of each piece, and the order of its presentations.
    t_starts : ndarray of float, shape (n,)
        Time of its first bin on the segment's own clock, in s.
    """

    starts: IntArray
    stops: IntArray
    begins: npt.NDArray[np.bool_]
    phases: npt.NDArray[np.object_]
    orders: npt.NDArray[np.object_]
    t_starts: npt.NDArray[np.float64]


def select_units(recording: Recording, units: Choice) -> Recording:
    """Keep some units, in the order given."""
    table = recording.units
    index = _rows(units, table, "units")
    return recording._derived(
        recording.raster.take(units=index), units=table.iloc[index], by=("units", index)
    )


def select_layers(recording: Recording, layers: Sequence[str]) -> Recording:
    """Keep the units of some layers, given by their names or patterns of names."""
    units = recording.units
    if not network_columns(units):
        raise InputValueError(
            "this recording is no network's: its units have no layer; select units="
        )
    names = units["layer"]
    keep = np.zeros(len(units), np.bool_)
    for layer in layers:
        here = names.map(lambda name, layer=layer: fnmatch.fnmatchcase(name, layer))
        if not here.any():
            valid = ", ".join(map(repr, names.unique()))
            raise InputValueError(
                f"no layer is called {layer!r}; this recording has {valid}"
            )
        keep |= here.to_numpy(np.bool_)
    return select_units(recording, keep)


def select_phases(recording: Recording, names: Sequence[str]) -> Recording:
    """Keep some phases, one segment directly after another in order of time."""
    for name in names:
        recording._check_phase(name)
    segments = recording.segments
    chosen = segments[segments["phase"].isin(list(names))]
    first, last = chosen["start_bin"].min(), chosen["stop_bin"].max()
    between = (segments["start_bin"] >= first) & (segments["stop_bin"] <= last)
    by = ("phases", *names)
    # One phase keeps its place in time, what was not observed inside it included.
    if len(set(names)) == 1 and between.sum() == len(chosen):
        return _slice(recording, int(first), int(last), by)
    pieces = Pieces(
        chosen["start_bin"].to_numpy(),
        chosen["stop_bin"].to_numpy(),
        np.ones(len(chosen), np.bool_),
        chosen["phase"].to_numpy(object),
        chosen["order"].to_numpy(object),
        chosen["t_start"].to_numpy(),
    )
    return side_by_side(recording, pieces, recording.presentations, by=by)


def select_time(
    recording: Recording, t_start: pq.Quantity | None, t_stop: pq.Quantity | None
) -> Recording:
    """Keep the bins from `t_start` to `t_stop`, on the recording's clock."""
    first, last = 0, recording.n_time_bins
    if t_start is not None:
        first = _edge(recording, seconds(t_start, "t_start"))
    if t_stop is not None:
        last = _edge(recording, seconds(t_stop, "t_stop"))
    segments = recording.segments
    is_left = (segments["stop_bin"] > first) & (segments["start_bin"] < last)
    if first >= last or not is_left.any():
        raise InputValueError(
            f"no observed bin lies between t_start={t_start} and t_stop={t_stop}; this"
            f" recording runs from {recording.t_start} to {recording.t_stop}"
        )
    return _slice(recording, first, last, by=("time", first, last))


def _edge(recording: Recording, time: float) -> int:
    """Return the edge of a bin that is nearest to a time in s, inside the raster."""
    edge = nearest_edges(np.array([time]), recording.raster)
    return int(np.clip(edge[0], 0, recording.n_time_bins))


def _slice(
    recording: Recording, first: int, last: int, by: tuple[Any, ...]
) -> Recording:
    """Keep the bins ``first .. last - 1``, with the segments cut at both ends."""
    segments = recording.segments
    segments = segments[(segments["stop_bin"] > first) & (segments["start_bin"] < last)]
    start = segments["start_bin"].clip(lower=first)
    # The segment's own clock runs on in what is cut off.
    late = (start - segments["start_bin"]) * recording.raster.sampling_period_seconds
    segments = segments.assign(
        start_bin=start - first,
        stop_bin=segments["stop_bin"].clip(upper=last) - first,
        t_start=[fifteen_digits(time) for time in (segments["t_start"] + late)],
    )
    table = recording.presentations
    table = table[(table["start_bin"] >= first) & (table["stop_bin"] <= last)]
    return recording._derived(
        recording.raster.slice(first, last),
        presentations=table.assign(
            start_bin=table["start_bin"] - first, stop_bin=table["stop_bin"] - first
        ),
        segments=segments,
        by=by,
    )


def kind_of(presentations: pd.DataFrame, kind: str | None) -> str:
    """Return the kind asked for, the only one, or else "trials".

    Parameters
    ----------
    presentations : pandas.DataFrame
        Presentations of any kinds.
    kind : str, optional
        The kind asked for.

    Raises
    ------
    InputValueError
        If there is no such kind; those that exist are listed.
    """
    kinds = presentations["kind"].unique().tolist()
    if kind is None and len(kinds) == 1:
        return str(kinds[0])
    chosen = DEFAULT_KIND if kind is None else kind
    if chosen not in kinds and (kinds or kind is not None):
        raise InputValueError(
            f"there are no presentations of the kind {chosen!r}; this recording has"
            f" {', '.join(map(repr, kinds)) or 'no presentations'}: say which as kind="
        )
    return chosen


def select_presentations(
    recording: Recording, label: Any, presentations: Choice | None, kind: str | None
) -> Recording:
    """Keep the presentations that have one of the labels and are among those chosen."""
    table = recording.presentations
    kind = kind_of(table, kind)
    keep = (table["kind"] == kind).to_numpy(np.bool_, copy=True)
    if label is not None:
        if "label" not in table:
            raise InputValueError(
                "this recording has no labels; record it with labels=, read a session"
                " with label=, or select presentations="
            )
        labels = [label] if np.isscalar(label) else list(label)
        existing = set(table["label"][keep])
        missing = [value for value in labels if value not in existing]
        if missing:
            valid = ", ".join(map(repr, sorted(existing)[:20]))
            raise InputValueError(
                f"no presentation has the label {missing[0]!r}; there are {valid}"
            )
        keep &= table["label"].isin(labels).to_numpy()
    if presentations is not None:
        index = _rows(presentations, table, "presentations")
        keep &= np.isin(np.arange(len(table)), index)
    if not keep.any():
        raise InputValueError(
            "this selection leaves no presentation; select more labels or presentations"
        )
    return _presentations_side_by_side(
        recording, kind, np.flatnonzero(keep), None, "presentations"
    )


def in_stimulus_order(recording: Recording, kind: str | None) -> Recording:
    """Sort the presentations of each phase by the place of what they show."""
    table = recording.presentations
    if "stimulus_id" not in table:
        raise InputValueError(
            "this recording has no stimulus_id, so its order cannot be undone; record"
            " it with stimulus_id="
        )
    kind = kind_of(table, kind)
    rows = np.flatnonzero(table["kind"] == kind)
    phases = recording.segments["phase"].unique()
    rank = table["phase"].map({name: i for i, name in enumerate(phases)})
    column = STIMULUS_PLACE if STIMULUS_PLACE in table else "stimulus_id"
    # The last key counts first: by phase, and within a phase by stimulus.
    keys = (table[column].to_numpy()[rows], rank.to_numpy()[rows])
    return _presentations_side_by_side(
        recording, kind, rows[np.lexsort(keys)], "stored", "stimulus order"
    )


def _presentations_side_by_side(
    recording: Recording, kind: str, rows: IntArray, order: str | None, by: str
) -> Recording:
    """Set presentations side by side, each a segment of its own; drop all other bins.

    The samples of a phase, whose every bin is a presentation of its own, make up one
    segment. Presentations that adjoin in one segment stay together, unless they get an
    order of their own.
    """
    table = recording.presentations
    codes, names = pd.factorize(recording.segments["phase"])
    by_phase = pd.Index(names).get_indexer(table["phase"].to_numpy()[rows])
    # Grouped by phase; rows of a phase stay in the order given.
    rows = rows[np.argsort(by_phase, kind="stable")]
    chosen = table.iloc[rows]
    starts, stops = chosen["start_bin"].to_numpy(), chosen["stop_bin"].to_numpy()
    segment = segment_of(recording, starts)
    phase = codes[segment]
    is_sample = np.isin(phase, _phases_of_samples(recording, kind, codes))
    begins = np.ones(len(rows), np.bool_)
    begins[1:] = phase[1:] != phase[:-1]
    apart = ~is_sample[1:]
    if order is None:
        apart &= (starts[1:] != stops[:-1]) | (segment[1:] != segment[:-1])
    begins[1:] |= apart
    own = recording.segments["order"].to_numpy(object)[segment]
    pieces = Pieces(
        starts,
        stops,
        begins,
        np.asarray(names, object)[phase],
        own if order is None else np.full(len(rows), order, object),
        _own_times(recording, starts, segment, is_sample, codes),
    )
    return side_by_side(recording, pieces, table, by=(by, starts, stops))


def segment_of(recording: Recording, bins: IntArray) -> IntArray:
    """Return the row of the segment in which each bin lies, if it lies in one."""
    starts = recording.segments["start_bin"].to_numpy()
    return np.searchsorted(starts, bins, side="right") - 1


def _phases_of_samples(recording: Recording, kind: str, codes: IntArray) -> IntArray:
    """Return the phases in which every bin is a presentation of its own, by code."""
    table, segments = recording.presentations, recording.segments
    table = table[table["kind"] == kind]
    length = (table["stop_bin"] - table["start_bin"]).to_numpy()
    phase = codes[segment_of(recording, table["start_bin"].to_numpy())]
    n_phases = int(codes.max()) + 1
    n_samples = np.bincount(phase[length == 1], minlength=n_phases)
    n_bins = (segments["stop_bin"] - segments["start_bin"]).to_numpy()
    return np.flatnonzero(n_samples == np.bincount(codes, n_bins, n_phases))


def _own_times(
    recording: Recording,
    starts: IntArray,
    segment: IntArray,
    is_sample: npt.NDArray[np.bool_],
    codes: IntArray,
) -> npt.NDArray[np.float64]:
    """Return the time of each presentation's start on the clock of its segment, in s.

    Samples have no time of their own: their segment begins when the phase began.
    """
    table = recording.segments
    first = table["start_bin"].to_numpy()[segment]
    late = (starts - first) * recording.raster.sampling_period_seconds
    times: npt.NDArray[np.float64] = table["t_start"].to_numpy()[segment] + late
    of_phase = table["t_start"].to_numpy()[np.unique(codes, return_index=True)[1]]
    times[is_sample] = of_phase[codes[segment]][is_sample]
    return times


def side_by_side(
    recording: Recording,
    pieces: Pieces,
    presentations: pd.DataFrame,
    by: tuple[Any, ...],
) -> Recording:
    """Make a recording of pieces of another one.

    Parameters
    ----------
    recording : Recording
        Where the bins come from.
    pieces : Pieces
        What becomes of it.
    presentations : pandas.DataFrame
        Presentations in the bins of `recording`, sorted by start. Kept are those that
        lie wholly in what was one stretch and stays one, once for each copy of it.
    by : tuple
        What was done, for the identifier.

    Returns
    -------
    Recording
        The pieces side by side.
    """
    starts, stops, begins = pieces.starts, pieces.stops, pieces.begins
    edges = np.concatenate([[0], np.cumsum(stops - starts)])
    first = np.flatnonzero(begins)
    segment_edges = edges[np.append(first, len(starts))]
    segments = segment_table(
        [
            Segment(*row)
            for row in zip(
                segment_edges[:-1].tolist(),
                segment_edges[1:].tolist(),
                pieces.phases[first],
                pieces.orders[first],
                map(fifteen_digits, pieces.t_starts[first].tolist()),
                strict=True,
            )
        ]
    )
    # Pieces that follow one another in time, in one segment, are one stretch.
    is_new = begins.copy()
    is_new[1:] |= starts[1:] != stops[:-1]
    first = np.flatnonzero(is_new)
    last = np.append(first[1:], len(starts)) - 1
    raster = recording.raster
    joined = raster.join(starts, stops)
    return recording._derived(
        # Times count from the recording's start, wherever the first piece was.
        SpikeRaster(
            joined.bits,
            *joined.shape,
            sampling_period=raster.sampling_period,
            t_start=raster.t_start,
        ),
        presentations=_moved(presentations, starts[first], stops[last], edges[first]),
        segments=segments,
        by=by,
    )


def _moved(
    table: pd.DataFrame, starts: IntArray, stops: IntArray, places: IntArray
) -> pd.DataFrame:
    """Return the presentations inside stretches of bins that move to other places."""
    sorted_starts = table["start_bin"].to_numpy()
    # The presentations that start in a stretch are one slice of the sorted table.
    first = np.searchsorted(sorted_starts, starts)
    number = np.searchsorted(sorted_starts, stops) - first
    rows = np.repeat(first - (np.cumsum(number) - number), number)
    rows = rows + np.arange(len(rows))
    stretch = np.repeat(np.arange(len(starts)), number)
    inside = table["stop_bin"].to_numpy()[rows] <= stops[stretch]
    rows, stretch = rows[inside], stretch[inside]
    moved = table.iloc[rows].reset_index(drop=True)
    return shifted(moved, (places - starts)[stretch])


def _rows(chosen: Choice, table: pd.DataFrame, name: str) -> npt.NDArray[np.int64]:
    rows = chosen(table) if callable(chosen) else chosen
    return as_index(rows, len(table), name)
