"""Neo blocks of experiments and simulations, which ann2neo did not make."""

from __future__ import annotations

import itertools
import json
import logging
import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import neo
import numpy as np
import numpy.typing as npt
import pandas as pd
import quantities as pq

from ann2neo._checks import one_of, seconds
from ann2neo.errors import InputValueError
from ann2neo.io.neo.matching import match_units, plain_table
from ann2neo.raster.binning import EDGE, Observed
from ann2neo.raster.spiketrains import seconds_per_unit
from ann2neo.recording import Recording
from ann2neo.recording.from_spike_times import (
    chosen_units,
    recording_from_spike_times,
)
from ann2neo.recording.observed_time import FloatArray, note_left_out
from ann2neo.recording.tables import unit_names

__all__ = ["recording_from_block"]

_log = logging.getLogger(__name__)

_PHASE = "recording"
_TRIALS = "trials"
_NOWHERE = -10
"""A bin before the recording."""
_UNNAMED = {"epochs": _TRIALS, "events": "events"}


class _Place(NamedTuple):
    """Where a segment of a block lies in the recording.

    Parameters
    ----------
    start, stop : float, in s
        Time that is read, half-open, on the segment's own clock.
    common : tuple of float, in s
        Time in which all units were observed, on the segment's own clock.
    shift : float, in s
        What to add to times of the segment to have the recording's clock.
    slack : float, in s
        How far before `start` and `stop` a time belongs to what comes after: 0 where
        the recording has the block's clock.
    """

    start: float
    stop: float
    common: tuple[float, float]
    shift: float = 0.0
    slack: float = 0.0

    def holds(self, times: FloatArray) -> npt.NDArray[np.bool_]:
        """Return which times of the segment's own clock are read."""
        inside: npt.NDArray[np.bool_] = (times >= self.start - self.slack) & (
            times < self.stop - self.slack
        )
        return inside


class _Train(NamedTuple):
    """Spike times of a unit in a segment, with its observed time, in s."""

    times: FloatArray
    start: float
    stop: float


class _Part(NamedTuple):
    """A segment of a block, with a train or None per unit.

    ``whole`` is the time from the first start to the last stop of its trains, in s.
    """

    segment: neo.Segment
    trains: list[_Train | None]
    whole: tuple[float, float]

    @property
    def n_spikes(self) -> int:
        """Number of spikes of all units."""
        return sum(len(train.times) for train in self.trains if train is not None)


class _Spikes(NamedTuple):
    """Spike times of each unit on the recording's clock, and what is not in them."""

    times: list[FloatArray]
    n_not_common: int
    n_outside: int
    n_cut_off: int


def recording_from_block(
    block: neo.Block,
    bin_size: pq.Quantity | None,
    t_start: pq.Quantity | None,
    t_stop: pq.Quantity | None,
    *,
    units: Any,
    epochs: str | Sequence[str] | None,
    segments: str | None,
    missing: str,
) -> Recording:
    """Bin the spike trains of a block; arguments as in `from_neo`."""
    if bin_size is None:
        raise InputValueError(
            "this block was not made by to_neo, so it needs bin_size, the length of a"
            " time bin; try from_neo(block, bin_size=1 * pq.ms)"
        )
    step = seconds(bin_size, "bin_size", positive=True)
    asked = (
        -math.inf if t_start is None else seconds(t_start, "t_start"),
        math.inf if t_stop is None else seconds(t_stop, "t_stop"),
    )
    if segments is not None:
        one_of(segments, ("phases", "trials", "session"), "segments")
    one_of(missing, ("silent", "unobserved"), "missing")
    parts, table, notes = _matched(block, units)
    wholes = [part.whole for part in parts]
    read_as = segments or _read_as(wholes, step)
    restarts = read_as == "trials" and _overlap(wholes, step) is not None
    if not restarts:
        parts.sort(key=lambda part: part.whole)
        _check_one_clock(parts, read_as, step)
    common, more = _common(
        parts, unit_names(table), step, asked, is_silent=missing == "silent"
    )
    notes |= {**more, "segments_read_as": read_as}
    _log.info("%d segments are read as %s", len(parts), read_as)
    unused = [part for part, time in zip(parts, common, strict=True) if time is None]
    parts = [part for part, time in zip(parts, common, strict=True) if time is not None]
    times = [time for time in common if time is not None]
    if restarts:
        places = _side_by_side(times, step, asked)
    else:
        places = [_Place(*time, time) for time in times]
    spikes = _on_one_clock(parts, places, asked if restarts else None)
    n_not_common = spikes.n_not_common + sum(part.n_spikes for part in unused)
    counts = {
        "segments_left_out": len(block.segments) - len(parts),
        "spikes_not_in_common_time": n_not_common,
    }
    notes |= {key: str(number) for key, number in counts.items() if number}
    used = [part.segment for part in parts]
    tables, more = _presentations(
        used, places, step, epochs, is_trials=read_as == "trials"
    )
    notes |= more
    if read_as == "trials":
        bounds = _trial_bounds(places, step, asked, restarts=restarts)
        own, more = _trials(used, bounds)
        tables = {_TRIALS: own, **tables}
        notes |= more
    phases = _phase_names(used) if read_as == "phases" else [_PHASE] * len(used)
    observed = [
        Observed(
            phase,
            place.start + place.shift,
            place.stop + place.shift,
            place.start if restarts else None,
        )
        for phase, place in zip(phases, places, strict=True)
    ]
    cuts = [None if restarts or not math.isfinite(time) else time for time in asked]
    return recording_from_spike_times(
        spikes.times,
        observed,
        bin_size=step,
        t_start=cuts[0],
        t_stop=cuts[1],
        units=table,
        presentations=tables,
        provenance={**_source(block), **notes},
        session_start_time=_started(block.rec_datetime or used[0].rec_datetime),
        n_outside=spikes.n_outside,
        n_cut_off=spikes.n_cut_off,
        overlap_remedy="read others with epochs=, or none with epochs=[]",
    )


# -- segments and their time
# --------------------------------------------------------------------------------------


def _matched(
    block: neo.Block, units: Any
) -> tuple[list[_Part], pd.DataFrame, dict[str, str]]:
    """Return segments with the trains of the chosen units, and the table of those."""
    used = [segment for segment in block.segments if len(segment.spiketrains)]
    if not used:
        raise InputValueError(
            "this block has no segment with spike trains (it has"
            f" {len(block.segments)} segments); read one with spikes, or sort them"
            " first"
        )
    matched = match_units(
        [[_loaded(train) for train in segment.spiketrains] for segment in used]
    )
    index = chosen_units(units, matched.table)
    parts = []
    for segment, row in zip(used, matched.trains, strict=True):
        trains = [None if train is None else _train(train) for train in row]
        present = [train for train in trains if train is not None]
        # The time of all trains, chosen or not: a unit without one was silent in it.
        whole = (
            min(train.start for train in present),
            max(train.stop for train in present),
        )
        parts.append(_Part(segment, [trains[unit] for unit in index], whole))
    table = matched.table.iloc[index].reset_index(drop=True)
    return parts, table, matched.notes


def _source(block: neo.Block) -> dict[str, str]:
    notes = {
        "source": "neo.Block",
        "source_name": block.name,
        "source_description": block.description,
        "source_file": block.file_origin,
    }
    return {key: str(value) for key, value in notes.items() if value}


def _started(time: Any) -> datetime | None:
    """Return when a block was recorded, with a time zone."""
    if not isinstance(time, datetime):
        return None
    # Neo's times have no time zone as a rule; local time is assumed.
    return time if time.tzinfo else time.astimezone()


def _loaded(item: Any) -> Any:
    """Return what a lazily read object stands for."""
    return item.load() if hasattr(item, "load") else item


def _train(train: neo.SpikeTrain) -> _Train:
    factor = seconds_per_unit(train)
    times = np.asarray(train.magnitude, np.float64) * factor
    return _Train(times, _end(train.t_start), _end(train.t_stop))


def _end(time: pq.Quantity) -> float:
    """Return a start or stop in s; of float32, the decimal number that was meant."""
    number = time.magnitude[()]
    value = float(str(number)) if isinstance(number, np.float32) else float(number)
    return value * seconds_per_unit(time)


def _overlap(wholes: Sequence[tuple[float, float]], step: float) -> int | None:
    """Return which segment, in order of time, starts before the one before it ends."""
    ordered = sorted(wholes)
    for row, (before, after) in enumerate(itertools.pairwise(ordered), 1):
        if after[0] < before[1] - EDGE * step:
            return row
    return None


def _read_as(wholes: Sequence[tuple[float, float]], step: float) -> str:
    """Return what segments are: phases on one clock, or trials whose clocks restart."""
    return "phases" if _overlap(wholes, step) is None else "trials"


def _check_one_clock(parts: Sequence[_Part], read_as: str, step: float) -> None:
    row = _overlap([part.whole for part in parts], step)
    if row is None:
        return
    before, after = parts[row - 1], parts[row]
    raise InputValueError(
        f"segments read as {read_as} must follow one another on one clock, and"
        f" {before.segment.name!r} ends at {before.whole[1]:g} s,"
        f" {after.segment.name!r} starts at {after.whole[0]:g} s; segments"
        " whose clocks restart are trials: segments='trials'"
    )


def _common(
    parts: Sequence[_Part],
    names: Sequence[str],
    step: float,
    asked: tuple[float, float],
    *,
    is_silent: bool,
) -> tuple[list[tuple[float, float] | None], dict[str, str]]:
    """Return the time of each segment in which all units were observed.

    None where there is no such time. What is left out of the units' time is said.
    """
    common: list[tuple[float, float] | None] = []
    observed, left_out = np.zeros(len(names)), np.zeros(len(names))
    for part in parts:
        # A unit without a train was silent while the segment lasted.
        ends = np.array(
            [
                part.whole if train is None else (train.start, train.stop)
                for train in part.trains
            ]
        ).reshape(len(names), 2)
        is_there = np.array(
            [is_silent or train is not None for train in part.trains], np.bool_
        )
        time = _shared(ends, step) if is_there.all() else None
        common.append(time)
        length = np.diff(np.clip(ends, *asked)).ravel() * is_there
        begin, end = np.clip(time or (math.inf, math.inf), *asked)
        kept = np.minimum(ends[:, 1], end) - np.maximum(ends[:, 0], begin)
        lacking = length - np.clip(kept, 0.0, length)
        observed += length
        # A difference below one bin is none.
        left_out += np.where(lacking < step, 0.0, lacking)
    if all(time is None for time in common):
        raise InputValueError(
            f"no segment has time in which all {len(names)} units were observed; choose"
            " units that were observed together with units="
        )
    shares = {}
    for unit in np.flatnonzero(left_out).tolist():
        own = [part.trains[unit] for part in parts]
        shares[names[unit]] = (
            left_out[unit] / observed[unit],
            _share_of_spikes(own, common, asked),
        )
    return common, note_left_out(shares, len(names))


def _share_of_spikes(
    trains: Sequence[_Train | None],
    common: Sequence[tuple[float, float] | None],
    asked: tuple[float, float],
) -> float:
    """Return the share of a unit's spikes that is not in the common time."""
    n_all = n_kept = 0
    for train, time in zip(trains, common, strict=True):
        if train is None:
            continue
        times = train.times[(train.times >= asked[0]) & (train.times < asked[1])]
        n_all += len(times)
        if time is not None:
            n_kept += int(((times >= time[0]) & (times < time[1])).sum())
    return (n_all - n_kept) / max(1, n_all)


def _shared(ends: FloatArray, step: float) -> tuple[float, float] | None:
    """Return the time in which all units of a segment were observed."""
    starts, stops = ends[:, 0], ends[:, 1]
    # Clocks round: a difference below one bin is none.
    start = starts.min() if np.ptp(starts) < step else starts.max()
    stop = stops.max() if np.ptp(stops) < step else stops.min()
    return (float(start), float(stop)) if start < stop else None


def _side_by_side(
    times: Sequence[tuple[float, float]], step: float, asked: tuple[float, float]
) -> list[_Place]:
    """Set the whole bins of trials, each of its own clock, one after another."""
    places = []
    position = 0
    for common in times:
        start, stop = max(common[0], asked[0]), min(common[1], asked[1])
        n_bins = max(0, math.floor((stop - start) / step + EDGE))
        places.append(
            _Place(
                start,
                start + n_bins * step,
                common,
                position * step - start,
                EDGE * step,
            )
        )
        position += n_bins
    if not position:
        raise InputValueError(
            f"no trial holds a whole bin of {step:g} s; choose a smaller bin_size, or"
            " other t_start and t_stop, which are on the trials' own clocks"
        )
    return places


def _on_one_clock(
    parts: Sequence[_Part],
    places: Sequence[_Place],
    asked: tuple[float, float] | None,
) -> _Spikes:
    """Join the spikes of each unit, and count those that lie in no common time."""
    n_units = len(parts[0].trains)
    times: list[list[FloatArray]] = [[np.zeros(0)] for _ in range(n_units)]
    n_not_common = n_outside = n_cut_off = 0
    low, high = asked or (-math.inf, math.inf)
    for part, place in zip(parts, places, strict=True):
        for unit, train in enumerate(part.trains):
            if train is None or not len(train.times):
                continue
            held = place.holds(train.times)
            times[unit].append(train.times[held] + place.shift)
            if held.all():
                continue
            rest = train.times[~held]
            is_own = (rest >= train.start) & (rest < train.stop)
            is_common = is_own & (rest >= place.common[0]) & (rest < place.common[1])
            is_cut = is_common & ((rest < low) | (rest >= high))
            n_not_common += int((is_own & ~is_common).sum())
            n_cut_off += int(is_cut.sum())
            # On t_stop, or in a partial last bin.
            n_outside += int((~is_own | (is_common & ~is_cut)).sum())
    joined = [np.concatenate(parts) for parts in times]
    return _Spikes(joined, n_not_common, n_outside, n_cut_off)


def _phase_names(segments: Sequence[neo.Segment]) -> list[str]:
    """Return different names of phases: "a", "a (2)", "a (3)"."""
    given = [segment.name or f"segment {i}" for i, segment in enumerate(segments)]
    seen: dict[str, int] = {}
    names = []
    for name in given:
        seen[name] = seen.get(name, 0) + 1
        names.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return names


# -- presentations
# --------------------------------------------------------------------------------------


def _trial_bounds(
    places: Sequence[_Place], step: float, asked: tuple[float, float], *, restarts: bool
) -> list[tuple[float, float]]:
    """Return the times of each trial's whole bins, on the recording's clock."""
    zero = places[0].start if math.isinf(asked[0]) else asked[0]
    if restarts:
        zero = 0.0
    bounds = []
    for place in places:
        start, stop = place.start + place.shift, place.stop + place.shift
        if not restarts:
            start, stop = max(start, asked[0]), min(stop, asked[1])
        first = math.ceil((start - zero) / step - EDGE)
        last = math.floor((stop - zero) / step + EDGE)
        if last <= first:
            # Before the recording, where it is counted as outside.
            first = last = _NOWHERE
        bounds.append((zero + first * step, zero + last * step))
    return bounds


def _trials(
    segments: Sequence[neo.Segment], bounds: Sequence[tuple[float, float]]
) -> tuple[pd.DataFrame, dict[str, str]]:
    """Make a table of trials, with what their segments say of them."""
    rows = []
    for segment in segments:
        row = dict(_free_names(segment.annotations))
        if segment.name:
            row.setdefault("name", segment.name)
        if segment.index is not None:
            row.setdefault("index", segment.index)
        rows.append(row)
    table, notes = plain_table(rows, _TRIALS)
    starts, stops = np.array(bounds).T
    return table.assign(start_time=starts, stop_time=stops), notes


def _free_names(annotations: Mapping[str, Any]) -> dict[str, Any]:
    """Rename what is called as the times of a presentation."""
    return {
        f"{key}_" if key in {"start_time", "stop_time"} else str(key): value
        for key, value in annotations.items()
    }


def _presentations(
    segments: Sequence[neo.Segment],
    places: Sequence[_Place],
    step: float,
    chosen: str | Sequence[str] | None,
    *,
    is_trials: bool,
) -> tuple[dict[str, pd.DataFrame], dict[str, str]]:
    """Make tables by kind of epochs and events, in s of the recording's clock."""
    by_name = {
        group: _by_name(segments, group, is_trials=is_trials)
        for group in ("epochs", "events")
    }
    events = {
        f"{name} events" if name in by_name["epochs"] else name: items
        for name, items in by_name["events"].items()
    }
    everything = {**by_name["epochs"], **events}
    if chosen is None:
        names = list(by_name["epochs"] or events)
    else:
        names = [chosen] if isinstance(chosen, str) else list(chosen)
    unknown = [name for name in names if name not in everything]
    if unknown:
        valid = ", ".join(map(repr, everything)) or "none"
        raise InputValueError(
            f"there are no epochs or events called {unknown[0]!r}; this block has"
            f" {valid}"
        )
    notes = {}
    rest = [name for name in everything if name not in names]
    if rest:
        notes["epochs_not_read"] = ", ".join(rest)
        _log.info("not read: %s; name them with epochs=", ", ".join(map(repr, rest)))
    tables = {}
    for name in names:
        tables[name], more = _table(name, everything[name], places, step)
        notes |= more
    return tables, notes


def _by_name(
    segments: Sequence[neo.Segment], group: str, *, is_trials: bool
) -> dict[str, list[tuple[int, Any]]]:
    """Return epochs or events by the kind that they become, each with its segment."""
    by_name: dict[str, list[tuple[int, Any]]] = {}
    for place, segment in enumerate(segments):
        for item in getattr(segment, group):
            loaded = _loaded(item)
            if not len(loaded):
                continue
            name = loaded.name or _UNNAMED[group]
            if is_trials and name == _TRIALS:
                # Trials are the segments themselves.
                name = f"{name}_" if loaded.name else group
            by_name.setdefault(str(name), []).append((place, loaded))
    return by_name


def _table(
    kind: str,
    items: Sequence[tuple[int, Any]],
    places: Sequence[_Place],
    step: float,
) -> tuple[pd.DataFrame, dict[str, str]]:
    rows: list[dict[str, Any]] = []
    starts, stops = [], []
    units: dict[str, pq.Quantity] = {}
    for number, item in items:
        place = places[number]
        start = np.asarray(item.times.magnitude, np.float64) * seconds_per_unit(
            item.times
        )
        stop = start + _durations(item)
        if place.slack:
            # On a clock of its own, what lies outside a trial lies nowhere.
            is_inside = (start >= place.start - step / 2) & (start < place.stop)
            is_inside &= ~(stop > place.stop + step / 2) & (place.start < place.stop)
            nowhere = _NOWHERE * step - place.shift
            start = np.where(is_inside, start, nowhere)
            stop = np.where(is_inside, stop, nowhere)
        starts.append(start + place.shift)
        stops.append(stop + place.shift)
        rows += _cells(item, units)
    table, notes = plain_table(rows, kind)
    if units:
        notes[f"{kind}_column_units"] = json.dumps(
            {key: unit.dimensionality.string for key, unit in units.items()}
        )
    table = table.assign(
        start_time=np.concatenate(starts), stop_time=np.concatenate(stops)
    )
    return table, notes


def _durations(item: Any) -> FloatArray:
    """Return the durations in s: 0 of events, NaN where an IO leaves them out."""
    durations = getattr(item, "durations", None)
    if not isinstance(item, neo.Epoch):
        return np.zeros(len(item))
    if durations is None or np.size(durations) not in {1, len(item)}:
        return np.full(len(item), np.nan)
    values = np.asarray(durations.magnitude, np.float64) * seconds_per_unit(durations)
    return np.broadcast_to(values, len(item))


def _cells(item: Any, units: dict[str, pq.Quantity]) -> list[dict[str, Any]]:
    """Return label and array annotations of each row, quantities in one unit."""
    columns: dict[str, list[Any]] = {}
    for key, values in _free_names(item.array_annotations).items():
        cells = values
        if isinstance(values, pq.Quantity):
            unit = units.setdefault(key, values.units)
            cells = values.rescale(unit).magnitude
        columns[key] = np.asarray(cells).tolist()
    labels = list(map(str, item.labels))
    # Some IOs leave labels out.
    if len(labels) == len(item) and any(labels):
        columns["labels" if "label" in columns else "label"] = labels
    return [{key: cells[i] for key, cells in columns.items()} for i in range(len(item))]
