"""Observed time: stretches of it, and what several units have in common."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ann2neo._checks import level_outside
from ann2neo.errors import InputValueError
from ann2neo.raster.binning import Observed

__all__ = [
    "CommonTime",
    "CommonTimeWarning",
    "FloatArray",
    "common_time",
    "intersection",
    "is_inside",
    "merged_stretches",
    "n_inside",
    "note_left_out",
    "observed_by_all",
    "without",
]

FloatArray = npt.NDArray[np.float64]


class CommonTimeWarning(UserWarning):
    """Units were observed at different times, and only the common time is used.

    Choose other units with `units=` to have more of it.
    """


class CommonTime(NamedTuple):
    """The time in which all units were observed.

    Parameters
    ----------
    stretches : ndarray of float, shape (n, 2), in s
        Start and stop of each stretch, ascending, half-open.
    left_out : ndarray of float, shape (n_units,), dimensionless
        Share of each unit's observed time that is not in the stretches.
    """

    stretches: FloatArray
    left_out: FloatArray


def merged_stretches(
    intervals: npt.ArrayLike,
    *,
    whose: str,
    t_start: float | None = None,
    t_stop: float | None = None,
    longest_gap: float = 0.0,
) -> FloatArray:
    """Sort stretches of observed time, and merge those that adjoin or overlap.

    Parameters
    ----------
    intervals : array_like of float, shape (n, 2), in s
        Start and stop of each stretch, in any order.
    whose : str
        What was observed, for messages: ``"unit 3"``.
    t_start, t_stop : float, optional
        Time that is asked for, in s: stretches without a beginning or an end need it.
    longest_gap : float, default 0.0
        Longest gap between two stretches, in s, that is none.

    Returns
    -------
    ndarray of float, shape (n, 2)
        Stretches that ascend, with gaps between them.

    Raises
    ------
    InputValueError
        If a stretch is reversed, holds NaN, or has no end and none is given.
    """
    table = np.asarray(intervals, np.float64)
    if table.size == 0:
        return np.zeros((0, 2))
    if table.ndim != 2 or table.shape[1] != 2:
        raise InputValueError(
            f"observed stretches of {whose} must be pairs of times, shape (n, 2), got"
            f" shape {table.shape}; give a start and a stop for each, such as"
            " [[0, 10], [20, 30]]"
        )
    for row in np.flatnonzero(~(table[:, 0] <= table[:, 1])):
        start, stop = table[row].tolist()
        if np.isnan(start) or np.isnan(stop):
            problem, remedy = "is not a stretch", "remove it, or say when it was"
        else:
            problem, remedy = "stops before it starts", "swap the two"
        raise InputValueError(
            f"observed stretch {row} of {whose}, {start} .. {stop} s, {problem}:"
            f" {remedy}"
        )
    for end, given, column in (("t_start", t_start, 0), ("t_stop", t_stop, 1)):
        infinite = np.flatnonzero(~np.isfinite(table[:, column]))
        if given is None and len(infinite):
            start, stop = table[infinite[0]].tolist()
            raise InputValueError(
                f"observed stretch {infinite[0]} of {whose}, {start} .. {stop} s, has"
                f" no {'end' if column else 'beginning'}, so {end} is needed: give"
                f" {end}="
            )
    table = table[np.lexsort((table[:, 1], table[:, 0]))]
    # An empty stretch is no time.
    table = table[table[:, 0] < table[:, 1]]
    return _joined(table, longest_gap)


def _joined(table: FloatArray, longest_gap: float = 0.0) -> FloatArray:
    """Join stretches in order of their starts where they overlap or adjoin."""
    if not len(table):
        return table
    reach = np.maximum.accumulate(table[:, 1])
    begins = np.concatenate([[True], table[1:, 0] > reach[:-1] + longest_gap])
    first = np.flatnonzero(begins)
    last = np.concatenate([first[1:] - 1, [len(table) - 1]])
    return np.column_stack([table[first, 0], reach[last]])


class _Pieces(NamedTuple):
    """Pieces of time between edges of stretches, and how many stretches cover each."""

    starts: FloatArray
    stops: FloatArray
    depth: npt.NDArray[np.int64]


def _pieces(tables: Sequence[FloatArray]) -> _Pieces:
    """Cut time at every edge of stretches, each table merged."""
    table = np.concatenate(tables)
    times = table.T.ravel()
    change = np.repeat(np.array([1, -1]), len(table))
    order = np.argsort(times, kind="stable")
    times, depth = times[order], np.cumsum(change[order])
    starts, stops = times[:-1], times[1:]
    real = starts < stops
    return _Pieces(starts[real], stops[real], depth[:-1][real])


def intersection(one: FloatArray, other: FloatArray) -> FloatArray:
    """Return the time that is in both of two merged tables of stretches."""
    if not len(one) or not len(other):
        return np.zeros((0, 2))
    pieces = _pieces([one, other])
    both = pieces.depth == 2
    return _joined(np.column_stack([pieces.starts[both], pieces.stops[both]]))


def without(stretches: FloatArray, invalid: FloatArray) -> FloatArray:
    """Return merged stretches less the time of others, such as invalid times."""
    if not len(invalid):
        return stretches
    starts = np.concatenate([[-np.inf], invalid[:, 1]])
    stops = np.concatenate([invalid[:, 0], [np.inf]])
    return intersection(stretches, np.column_stack([starts, stops]))


def common_time(
    each: Sequence[FloatArray],
    *,
    bin_size: float,
    t_start: float | None = None,
    t_stop: float | None = None,
) -> CommonTime:
    """Return the time in which all units were observed.

    Parameters
    ----------
    each : sequence of ndarray of float, shape (n, 2), in s
        Stretches of each unit, merged.
    bin_size : float
        Length of a bin, in s. Where units differ for less than that, they do not
        differ: clocks round.
    t_start, t_stop : float, optional
        Time in which to count what is left out, in s; all if not given.

    Returns
    -------
    CommonTime
        The stretches, which may reach beyond `t_start` and `t_stop`, and the share of
        each unit's time left out.
    """
    # Units of one probe are alike: each different table is looked at once.
    different = {table.tobytes(): table for table in each}
    if not different:
        return CommonTime(np.zeros((0, 2)), np.zeros(0))
    tables = list(different.values())
    common = tables[0]
    if len(tables) > 1:
        common = _covered_by_all(tables, bin_size)
    asked = _window(t_start, t_stop)
    shares = {
        key: _share_left_out(intersection(table, asked), common, bin_size)
        for key, table in different.items()
    }
    return CommonTime(common, np.array([shares[table.tobytes()] for table in each]))


def _window(t_start: float | None, t_stop: float | None) -> FloatArray:
    low = -np.inf if t_start is None else t_start
    high = np.inf if t_stop is None else t_stop
    return np.array([[low, high]])


def _covered_by_all(tables: Sequence[FloatArray], bin_size: float) -> FloatArray:
    pieces = _pieces(tables)
    is_common = pieces.depth == len(tables)
    is_partial = (pieces.depth > 0) & ~is_common
    # Runs of pieces in which some units were observed, and how long each run is.
    begins = np.diff(is_partial.astype(np.int8), prepend=0) == 1
    run = np.cumsum(begins) - 1
    lengths = np.zeros(int(begins.sum()))
    np.add.at(lengths, run[is_partial], (pieces.stops - pieces.starts)[is_partial])
    # A short run is a difference that is none, if it is at the edge of common time.
    beside = np.zeros(len(lengths), np.bool_)
    before = np.concatenate([[False], is_common[:-1]])
    after = np.concatenate([is_common[1:], [False]])
    at_edge = is_partial & (before | after)
    beside[run[at_edge]] = True
    short = beside & (lengths < bin_size)
    kept = is_common.copy()
    kept[is_partial] = short[run[is_partial]]
    return _joined(np.column_stack([pieces.starts[kept], pieces.stops[kept]]))


def _share_left_out(table: FloatArray, common: FloatArray, bin_size: float) -> float:
    outside = _length(table) - _length(intersection(table, common))
    # Differences that are none may leave out a little of every stretch.
    if outside < bin_size * max(1, len(table)):
        return 0.0
    return outside / _length(table)


def _length(table: FloatArray) -> float:
    return float((table[:, 1] - table[:, 0]).sum())


def observed_by_all(
    spikes: Sequence[FloatArray],
    each: Sequence[npt.ArrayLike],
    names: Sequence[str],
    *,
    bin_size: float,
    t_start: float | None = None,
    t_stop: float | None = None,
    invalid: npt.ArrayLike = (),
    phase: str = "recording",
) -> tuple[list[FloatArray], list[Observed], dict[str, str]]:
    """Return the spikes and the time in which all units of a session were observed.

    Parameters
    ----------
    spikes : sequence of ndarray of float, one per unit, in s
        Spike times.
    each : sequence of array_like of float, shape (n, 2), one per unit, in s
        Observed stretches of each unit, in any order.
    names : sequence of str
        Name of each unit, for messages.
    bin_size, t_start, t_stop : float
        As in `bin_spike_times`.
    invalid : array_like of float, shape (n, 2), in s
        Stretches in which no unit was observed, whatever `each` says.
    phase : str, default "recording"
        Name of the phase that the stretches make up.

    Returns
    -------
    spikes : list of ndarray of float, one per unit, in s
        Spike times without those in time that the unit does not share with all others.
        Times in which it was not observed are still among them, to be counted.
    observed : list of Observed
        The common time, one phase; it may reach beyond `t_start` and `t_stop`.
    provenance : dict of str to str
        What was left out: ``units_observed_differently`` (number of units),
        ``spikes_not_in_common_time``, ``left_out_of_common_time`` (JSON: for each such
        unit the share of its time and of its spikes), ``invalid_seconds``; each only
        where there is some.

    Warns
    -----
    CommonTimeWarning
        If units were observed differently, by a bin or more.

    Raises
    ------
    InputValueError
        If a stretch is none, a unit was never observed, or units never together.
    """
    tolerance = 1e-6 * bin_size
    merged = [
        merged_stretches(
            table,
            whose=name,
            t_start=t_start,
            t_stop=t_stop,
            longest_gap=tolerance,
        )
        for table, name in zip(each, names, strict=True)
    ]
    asked = _window(t_start, t_stop)
    never = [
        name
        for name, table in zip(names, merged, strict=True)
        if not len(intersection(table, asked))
    ]
    if never:
        raise InputValueError(
            f"{len(never)} of {len(names)} units have no observed time"
            f"{_between(t_start, t_stop)}: {_listed(never)}; leave them out with"
            " units="
        )
    notes = {}
    off = merged_stretches(
        invalid, whose="the invalid times", t_start=-np.inf, t_stop=np.inf
    )
    if len(off):
        first = intersection(merged[0], asked)
        notes["invalid_seconds"] = repr(_length(first) - _length(without(first, off)))
        merged = [without(table, off) for table in merged]
    time = common_time(merged, bin_size=bin_size, t_start=t_start, t_stop=t_stop)
    if not len(intersection(time.stretches, asked)):
        raise InputValueError(
            f"there is no time{_between(t_start, t_stop)} in which all {len(names)}"
            " units were observed: choose units that were observed together with"
            " units="
        )
    notes |= _left_out(time, spikes, merged, names, asked)
    kept = [
        times[~(is_inside(times, own) & ~is_inside(times, time.stretches))]
        for times, own in zip(spikes, merged, strict=True)
    ]
    n_dropped = sum(map(len, spikes)) - sum(map(len, kept))
    if n_dropped:
        notes["spikes_not_in_common_time"] = str(n_dropped)
    observed = [Observed(phase, *row) for row in time.stretches.tolist()]
    return kept, observed, notes


def _left_out(
    time: CommonTime,
    spikes: Sequence[FloatArray],
    each: Sequence[FloatArray],
    names: Sequence[str],
    asked: FloatArray,
) -> dict[str, str]:
    """Count and say what units have outside the common time, in the time asked for."""
    shares: dict[str, tuple[float, float]] = {}
    for row in np.flatnonzero(time.left_out > 0).tolist():
        here = intersection(each[row], asked)
        own = n_inside(spikes[row], here)
        kept = n_inside(spikes[row], intersection(here, time.stretches))
        shares[names[row]] = time.left_out[row], (own - kept) / max(1, own)
    return note_left_out(shares, len(names))


def note_left_out(
    shares: Mapping[str, tuple[float, float]], n_units: int
) -> dict[str, str]:
    """Warn of units that were also observed when others were not.

    Parameters
    ----------
    shares : mapping of str to (float, float)
        For each such unit, the shares of its time and of its spikes that are left out.
    n_units : int
        Number of all units.

    Returns
    -------
    dict of str to str
        The same for the provenance: ``units_observed_differently`` and
        ``left_out_of_common_time``; empty without such units.
    """
    if not shares:
        return {}
    worst = max(shares, key=lambda name: shares[name][0])
    time, spikes = shares[worst]
    warnings.warn(
        f"{len(shares)} of {n_units} units were also observed when others were not;"
        " only the time in which all were observed is used. It leaves out up to"
        f" {100 * time:.1f} % of a unit's time and {100 * spikes:.1f} % of its spikes"
        f" ({worst}); to use more of it, choose units that were observed together with"
        " units=",
        CommonTimeWarning,
        stacklevel=level_outside(),
    )
    rounded = {
        name: [float(f"{share:.4g}") for share in pair] for name, pair in shares.items()
    }
    return {
        "units_observed_differently": str(len(shares)),
        "left_out_of_common_time": json.dumps(rounded, ensure_ascii=False),
    }


def n_inside(times: FloatArray, stretches: FloatArray) -> int:
    """Count the times that lie in merged stretches, half-open."""
    return int(is_inside(times, stretches).sum())


def is_inside(times: FloatArray, stretches: FloatArray) -> npt.NDArray[np.bool_]:
    """Return which times lie in merged stretches, half-open."""
    if not len(stretches):
        return np.zeros(len(times), np.bool_)
    place = np.searchsorted(stretches[:, 0], times, side="right") - 1
    inside: npt.NDArray[np.bool_] = (place >= 0) & (times < stretches[place, 1])
    return inside


def _between(t_start: float | None, t_stop: float | None) -> str:
    ends: list[Any] = ["the start", "the end"]
    if t_start is None and t_stop is None:
        return ""
    for place, time in enumerate((t_start, t_stop)):
        if time is not None:
            ends[place] = f"{time:g} s"
    return f" between {ends[0]} and {ends[1]}"


def _listed(names: Sequence[str]) -> str:
    first = ", ".join(names[:5])
    return f"{first}, ..." if len(names) > 5 else first
