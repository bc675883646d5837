"""Intervals and events of a session, as presentations of a recording."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from ann2neo.errors import InputTypeError, InputValueError
from ann2neo.raster import SpikeRaster
from ann2neo.raster.binning import interval_bins
from ann2neo.recording.tables import (
    PRESENTATION_TYPES,
    empty_table,
    fixed_types,
    in_time_order,
    joined_tables,
)

__all__ = ["own_names", "presentations_in_bins"]

FloatArray = npt.NDArray[np.float64]

_log = logging.getLogger(__name__)
_TIMES = ("start_time", "stop_time")

_OUTSIDE = "presentations_outside"
_NO_TIME = "presentations_without_time"
_NO_END = "presentations_without_end"
_REVERSED = "presentations_reversed"
_SHARED = "presentations_sharing_a_bin"
_WORDS = {
    _OUTSIDE: "are left out: they do not lie in one observed stretch",
    _NO_TIME: "are left out: their start is no time",
    _NO_END: "have no end: they last until the next one starts, or observation ends",
    _REVERSED: "are left out: they stop before they start",
    _SHARED: "are left out: they share their bin with an earlier one",
}
"""Keys of the provenance, and what they count."""


class _Bounds(NamedTuple):
    """Observed segments of a recording, in bins and in s of its clock."""

    starts: npt.NDArray[np.int64]
    stops: npt.NDArray[np.int64]
    start_times: FloatArray
    stop_times: FloatArray
    phases: npt.NDArray[np.object_]


def own_names(table: pd.DataFrame, reserved: Mapping[str, str]) -> pd.DataFrame:
    """Rename columns that are called as ours: ``phase`` becomes ``phase_``."""
    names: dict[str, str] = {}
    for name in map(str, table):
        new = name
        if new not in reserved:
            continue
        while new in reserved or new in table or new in names.values():
            new += "_"
        names[name] = new
    return table.rename(columns=names)


def presentations_in_bins(
    tables: Mapping[str, pd.DataFrame],
    segments: pd.DataFrame,
    raster: SpikeRaster,
    *,
    overlap_remedy: str = "drop one of the two",
) -> tuple[pd.DataFrame, dict[str, str]]:
    """Convert intervals and events of several kinds to presentations.

    Parameters
    ----------
    tables : mapping of str to pandas.DataFrame
        By kind: ``start_time`` and ``stop_time`` in s on the recording's clock, and
        other columns, which are kept (those called as ours get a ``_``). Without
        ``stop_time``, or where it equals ``start_time``, a row is an event, and a
        presentation of the bin it falls in. Where ``stop_time`` is NaN, a row lasts
        until the next of its kind starts, or its segment ends.
    segments : pandas.DataFrame
        Segments of the recording.
    raster : SpikeRaster
        Its time base.
    overlap_remedy : str
        What to do about rows of one kind that overlap, for messages.

    Returns
    -------
    presentations : pandas.DataFrame
        Rows that lie in one segment, in order of time.
    provenance : dict of str to str
        How many rows were left out or given an end; ``presentations_outside`` always,
        others where there are such, and by kind where there are several.

    Raises
    ------
    InputTypeError, InputValueError
        If times are no numbers, a column is of a type that files cannot keep, or rows
        of one kind overlap by a bin or more.
    """
    starts, stops = (segments[name].to_numpy() for name in ("start_bin", "stop_bin"))
    bounds = _Bounds(
        starts,
        stops,
        raster.bin_edge_seconds(starts.astype(np.float64)),
        raster.bin_edge_seconds(stops.astype(np.float64)),
        segments["phase"].to_numpy(object),
    )
    counts: dict[str, dict[str, int]] = {}
    kept = []
    for kind, table in tables.items():
        rows, counts[kind] = _of_one_kind(kind, table, bounds, raster, overlap_remedy)
        if len(rows):
            kept.append(rows)
    notes = {_OUTSIDE: "0"}
    for key, words in _WORDS.items():
        by_kind = {kind: n[key] for kind, n in counts.items() if n[key]}
        for kind, number in by_kind.items():
            _log.warning(
                "%d of %d presentations of the kind %r %s",
                number,
                len(tables[kind]),
                kind,
                words,
            )
            if len(tables) > 1:
                notes[f"{key} [{kind}]"] = str(number)
        if by_kind:
            notes[key] = str(sum(by_kind.values()))
    if not kept:
        return empty_table(PRESENTATION_TYPES), notes
    return joined_tables(kept), notes


def _of_one_kind(
    kind: str,
    table: pd.DataFrame,
    bounds: _Bounds,
    raster: SpikeRaster,
    overlap_remedy: str,
) -> tuple[pd.DataFrame, dict[str, int]]:
    start, stop = _times(table, kind)
    counts = dict.fromkeys(_WORDS, 0)
    has_start = np.isfinite(start)
    counts[_NO_TIME] = int((~has_start).sum())
    rows = np.flatnonzero(has_start)
    start, stop = start[rows], stop[rows]
    is_open = ~np.isfinite(stop)
    counts[_NO_END] = int(is_open.sum())
    stop = np.where(is_open, _ends(start, bounds), stop)
    is_forward = stop >= start
    counts[_REVERSED] = int((~is_forward).sum())
    rows, start, stop = rows[is_forward], start[is_forward], stop[is_forward]
    first, last = interval_bins(start, stop, raster)
    place = np.searchsorted(bounds.starts, first, side="right") - 1
    if len(bounds.starts):
        is_inside = (place >= 0) & (last <= bounds.stops[place])
    else:
        is_inside = np.zeros(len(rows), np.bool_)
    counts[_OUTSIDE] = int((~is_inside).sum())
    order = np.flatnonzero(is_inside)
    order = order[np.lexsort((stop[order], start[order]))]
    rows, start, stop = rows[order], start[order], stop[order]
    first, last, place = first[order], last[order], place[order]
    _check_overlap(kind, start, stop, raster, overlap_remedy)
    # Rows that do not overlap in time may, by rounding, share a bin.
    last[:-1] = np.minimum(last[:-1], np.maximum(first[1:], first[:-1] + 1))
    reach = np.maximum.accumulate(np.concatenate([[-1], last]))[:-1]
    is_free = first >= reach
    counts[_SHARED] = int((~is_free).sum())
    others = own_names(table, PRESENTATION_TYPES)
    others = others.drop(columns=[name for name in _TIMES if name in others])
    kept = others.iloc[rows[is_free]].reset_index(drop=True)
    kept.insert(0, "start_bin", first[is_free])
    kept.insert(1, "stop_bin", last[is_free])
    phases = bounds.phases[place[is_free]]
    kept.insert(2, "phase", pd.Series(phases, dtype="str"))
    kept.insert(3, "kind", pd.Series([kind] * len(kept), dtype="str"))
    name = f"the presentations of the kind {kind!r}"
    return in_time_order(fixed_types(kept, PRESENTATION_TYPES, name)), counts


def _times(table: pd.DataFrame, kind: str) -> tuple[FloatArray, FloatArray]:
    if "start_time" not in table:
        raise InputValueError(
            f"presentations of the kind {kind!r} need a column start_time in s; there"
            f" are {', '.join(map(repr, table.columns)) or 'no columns'}"
        )
    times = []
    for name in _TIMES:
        # Without an end, a row is an event: one moment.
        column = table[name] if name in table else table["start_time"]
        try:
            times.append(column.to_numpy(np.float64))
        except (TypeError, ValueError) as error:
            raise InputTypeError(
                f"{name} of the presentations of the kind {kind!r} must be numbers in"
                f" s, got {column.dtype}; convert it"
            ) from error
    return times[0], times[1]


def _ends(start: FloatArray, bounds: _Bounds) -> FloatArray:
    """Return when the next row starts, or the segment ends in which a row starts."""
    later = np.append(np.unique(start), np.inf)
    following = later[np.searchsorted(later, start, side="right")]
    if not len(bounds.starts):
        return start
    place = np.searchsorted(bounds.start_times, start, side="right") - 1
    end = bounds.stop_times[place]
    # Before the first segment or after the end of one, no time is observed.
    end = np.where((place >= 0) & (end > start), end, np.inf)
    end = np.minimum(following, end)
    return np.where(np.isfinite(end), end, start)


def _check_overlap(
    kind: str,
    start: FloatArray,
    stop: FloatArray,
    raster: SpikeRaster,
    remedy: str,
) -> None:
    """Raise if rows in order of their starts overlap by a bin or more."""
    if len(start) < 2:
        return
    reach = np.maximum.accumulate(stop)
    shared = np.minimum(reach[:-1], stop[1:]) - start[1:]
    # Almost a bin: clocks round.
    bad = np.flatnonzero(shared >= raster.sampling_period_seconds * (1 - 1e-6))
    if not len(bad):
        return
    later = int(bad[0]) + 1
    earlier = int(np.argmax(stop[:later]))
    raise InputValueError(
        f"presentations of the kind {kind!r} overlap: {start[earlier]:g} .."
        f" {stop[earlier]:g} s and {start[later]:g} .. {stop[later]:g} s"
        f" ({len(bad)} of {len(start)} start before an earlier one ends); {remedy}"
    )
