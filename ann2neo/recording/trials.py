"""Presentations added to a recording, and trials cut out around them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import quantities as pq

from ann2neo._checks import seconds, whole_number
from ann2neo.errors import InputTypeError, InputValueError
from ann2neo.raster import SpikeRaster
from ann2neo.raster.binning import interval_bins, nearest_edges
from ann2neo.recording.segments import IntArray
from ann2neo.recording.select import Pieces, kind_of, segment_of, side_by_side
from ann2neo.recording.tables import in_time_order, joined_tables

if TYPE_CHECKING:
    from ann2neo.recording.recording import Recording

__all__ = ["cut_trials", "with_presentations"]

_log = logging.getLogger(__name__)
_BOUNDS = ("start_bin", "stop_bin", "start_time", "stop_time")


def with_presentations(
    recording: Recording, table: pd.DataFrame, kind: str
) -> Recording:
    """Return the recording with other presentations of one kind."""
    if not isinstance(table, pd.DataFrame):
        raise InputTypeError(
            "with_presentations needs a table of presentations (pandas.DataFrame), got"
            f" {type(table).__name__}; give it a column start_time in s, or start_bin"
        )
    starts, stops = _bins_of(table, recording.raster)
    segments = recording.segments
    place = segment_of(recording, starts)
    is_inside = place >= 0
    is_inside &= stops <= segments["stop_bin"].to_numpy()[place]
    outside = np.flatnonzero(~is_inside)
    if len(outside):
        row = int(outside[0])
        raise InputValueError(
            f"row {row} of the {kind} ({_times(table, row)}) does not lie in one"
            " segment of the recording, in which time was observed without a break;"
            f" drop it, or cut it at the border ({len(outside)} of {len(table)} rows"
            " are such)"
        )
    phase = segments["phase"].to_numpy(object)[place]
    if "phase" in table and (table["phase"].to_numpy(object) != phase).any():
        row = int(np.argmax(table["phase"].to_numpy(object) != phase))
        raise InputValueError(
            f"row {row} of the {kind} names the phase {table['phase'].iloc[row]!r} but"
            f" lies in {phase[row]!r}; leave out the column phase"
        )
    new = table.drop(columns=[name for name in _BOUNDS if name in table])
    new = new.assign(
        phase=pd.Series(phase, table.index, dtype="str"),
        kind=pd.Series(kind, table.index, dtype="str"),
    )
    new.insert(0, "start_bin", starts)
    new.insert(1, "stop_bin", stops)
    old = recording.presentations
    replaced = int((old["kind"] == kind).sum())
    if replaced:
        _log.info("%d presentations of the kind %r are replaced", replaced, kind)
    # Through the constructor's checks, so that columns to join have fixed types.
    alone = recording._derived(
        recording.raster, presentations=in_time_order(new), by=("checked",)
    )
    others = old[old["kind"] != kind].reset_index(drop=True)
    tables = [others, alone.presentations] if len(others) else [alone.presentations]
    return recording._derived(
        recording.raster,
        presentations=joined_tables(tables),
        by=("presentations", kind, starts, stops),
    )


def _bins_of(table: pd.DataFrame, raster: SpikeRaster) -> tuple[IntArray, IntArray]:
    """Return the bins of rows with start_time and stop_time, or start_bin, stop_bin."""
    unit = "bin" if "start_bin" in table else "time"
    if f"start_{unit}" not in table:
        raise InputValueError(
            "presentations need a column start_time in s, or start_bin; there are"
            f" {', '.join(map(repr, table.columns)) or 'no columns'}"
        )
    start = table[f"start_{unit}"].to_numpy()
    # Without an end, a row is an event: one moment, in one bin.
    stop = table.get(f"stop_{unit}", table[f"start_{unit}"]).to_numpy()
    for name, values in ((f"start_{unit}", start), (f"stop_{unit}", stop)):
        if values.dtype.kind not in "iuf":
            raise InputTypeError(
                f"the column {name} must hold numbers, got {values.dtype}; convert it"
            )
        if not np.isfinite(values).all():
            row = int(np.argmin(np.isfinite(values)))
            raise InputValueError(
                f"{name} of row {row} is {values[row]}; drop the row, or say when it"
                " was"
            )
    backwards = np.flatnonzero(stop < start)
    if len(backwards):
        row = int(backwards[0])
        raise InputValueError(
            f"row {row} stops before it starts ({_times(table, row)}); swap the two"
        )
    if unit == "time":
        return interval_bins(start, stop, raster)
    first, last = start.astype(np.int64), stop.astype(np.int64)
    return first, np.maximum(last, first + 1)


def _times(table: pd.DataFrame, row: int) -> str:
    bounds = [f"{name} {table[name].iloc[row]}" for name in _BOUNDS if name in table]
    return ", ".join(bounds)


def cut_trials(
    recording: Recording,
    kind: str | None,
    align: str,
    before: pq.Quantity | int,
    after: pq.Quantity | int | None,
) -> Recording:
    """Return a recording of one segment per trial."""
    table = recording.presentations
    kind = kind_of(table, kind)
    trials = table[table["kind"] == kind].reset_index(drop=True)
    if not len(trials):
        raise InputValueError(
            "this recording has no presentations to cut trials around; add them with"
            " recording.with_presentations"
        )
    starts, stops = trials["start_bin"].to_numpy(), trials["stop_bin"].to_numpy()
    at = _aligned(trials, align, recording.raster)
    first = at - _bins(before, "before", recording.raster)
    last = stops if after is None else at + _bins(after, "after", recording.raster)
    if after is None and align != "start":
        raise InputValueError(
            "after=None means until the presentation ends, which fits align='start'"
            f" alone, got align={align!r}; say how long after it, as a time or in bins"
        )
    empty = np.flatnonzero(last <= first)
    if len(empty):
        row = int(empty[0])
        raise InputValueError(
            f"the window of trial {row} holds no bin: it starts at bin {first[row]} and"
            f" stops at {last[row]}; choose a larger before or after"
        )
    place = segment_of(recording, starts)
    segments = recording.segments
    is_kept = (first >= segments["start_bin"].to_numpy()[place]) & (
        last <= segments["stop_bin"].to_numpy()[place]
    )
    n_dropped = int((~is_kept).sum())
    if not is_kept.any():
        raise InputValueError(
            f"the windows of all {len(trials)} trials reach beyond the segment that the"
            " trial lies in; choose a smaller before and after"
        )
    first, last, at, place = (values[is_kept] for values in (first, last, at, place))
    order = np.argsort(first, kind="stable")
    first, last, at, place = (values[order] for values in (first, last, at, place))
    # Bins of a window that lie in an earlier one, too.
    reach = np.maximum.accumulate(np.concatenate([first[:1], last]))[:-1]
    n_copied = int(np.clip(np.minimum(reach, last) - first, 0, None).sum())
    if n_dropped:
        _log.warning(
            "%d of %d trials are left out: their windows reach beyond the observed"
            " time",
            n_dropped,
            len(trials),
        )
    if n_copied:
        _log.info("windows overlap: %d bins lie in several trials", n_copied)
    cut = side_by_side(
        recording,
        Pieces(
            first,
            last,
            np.ones(len(first), np.bool_),
            segments["phase"].to_numpy(object)[place],
            segments["order"].to_numpy(object)[place],
            np.float64(recording.raster.sampling_period_seconds) * (first - at),
        ),
        table[table["kind"] != kind].reset_index(drop=True),
        by=("trials", kind, first, last),
    )
    own = trials[is_kept].iloc[order].reset_index(drop=True)
    bounds = cut.segments
    own = own.assign(start_bin=bounds["start_bin"], stop_bin=bounds["stop_bin"])
    notes = {
        "trials_cut": str(len(own)),
        "trials_outside": str(n_dropped),
        "bins_in_several_trials": str(n_copied),
    }
    return cut._derived(
        cut.raster,
        presentations=joined_tables([own, cut.presentations]),
        provenance={**recording.provenance, **notes},
        by=("trials",),
    )


def _aligned(trials: pd.DataFrame, align: str, raster: SpikeRaster) -> IntArray:
    """Return the bin that each trial is aligned to."""
    if align in {"start", "stop"}:
        return trials[f"{align}_bin"].to_numpy()
    if align not in trials or trials[align].dtype.kind not in "iuf":
        valid = [name for name in trials if trials[name].dtype.kind == "f"]
        raise InputValueError(
            "align must be 'start', 'stop' or a column of times in s on the recording's"
            f" clock ({', '.join(map(repr, valid)) or 'there is none'}), got {align!r}"
        )
    times = trials[align].to_numpy(np.float64)
    # A trial without the event has no window: one far outside, which is left out.
    outside = raster.bin_edge_seconds(-(1 << 40))
    return nearest_edges(np.where(np.isfinite(times), times, outside), raster)


def _bins(length: Any, name: str, raster: SpikeRaster) -> int:
    """Convert a time, or a whole number of bins, into bins."""
    if isinstance(length, pq.Quantity):
        return round(seconds(length, name) / raster.sampling_period_seconds)
    return whole_number(length, name, noun="bins", at_least=-(1 << 40))
