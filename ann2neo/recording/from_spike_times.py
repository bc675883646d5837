"""Recordings of real neurons, from spike times."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import quantities as pq

from ann2neo._checks import fifteen_digits, level_outside, seconds
from ann2neo.errors import InputTypeError, InputValueError
from ann2neo.raster.binning import BinnedSpikes, Observed, bin_spike_times
from ann2neo.raster.spike_raster import as_index
from ann2neo.recording.intervals import presentations_in_bins
from ann2neo.recording.observed_time import observed_by_all
from ann2neo.recording.recording import Recording
from ann2neo.recording.segments import Segment, segment_table
from ann2neo.recording.select import Choice
from ann2neo.recording.tables import unit_names

__all__ = [
    "SpikeOrderWarning",
    "SpikesLostWarning",
    "SpikesOutsideWarning",
    "chosen_units",
    "from_spike_times",
    "recording_from_spike_times",
]

FloatArray = npt.NDArray[np.float64]

_SHARE = 0.01
"""Share of the spikes above which those that are lost or outside are warned of."""

_NAME_COLUMNS = ("name", "unit_name", "unit_id", "id")
_NO_TIME = -1.0
"""What sorters write where there is no time."""


class SpikesLostWarning(UserWarning):
    """Binning lost more than 1 % of the spikes; a smaller `bin_size` loses fewer."""


class SpikesOutsideWarning(UserWarning):
    """More than 1 % of the spikes lie outside the observed time.

    The message says where they lie, and what times of that kind usually are.
    """


class SpikeOrderWarning(UserWarning):
    """Spike times of a unit fall back, as where a clock restarts."""


# -- the public function
# --------------------------------------------------------------------------------------


def from_spike_times(
    times: Any,
    bin_size: pq.Quantity = 1 * pq.ms,
    t_stop: pq.Quantity | float | None = None,
    t_start: pq.Quantity | float | None = None,
    observed: Any = None,
    units: Choice | pd.DataFrame | Sequence[str] | None = None,
) -> Recording:
    """Make a recording of spike times.

    Parameters
    ----------
    times : sequence or mapping of array_like, one per unit
        Spike times of each unit, in any order: numbers are seconds, quantities and
        `neo.SpikeTrain` have their own unit. Keys of a mapping, such as a pynapple
        ``TsGroup``, become the column ``name`` of the units, or ``unit_id`` where they
        are integers.
    bin_size : quantities.Quantity, time, default 1 ms
        Length of a time bin. At most one spike per bin is kept; the share lost is in
        ``provenance["spikes_lost_share"]``, with a warning above 1 %.
    t_stop : quantities.Quantity or float, optional
        End of the recording, half-open; a number is seconds. Needed where neither
        `observed` nor spike trains say it.
    t_start : quantities.Quantity or float, optional
        Start of the recording; 0 s if not given, or the start of `observed`.
    observed : array_like, shape (n, 2), or one per unit, optional
        Stretches of time in which the units were observed, in s or a quantity: one
        table for all units, or a sequence or mapping of one per unit. The segments of
        the recording are the stretches that all units have in common. From `t_start`
        to `t_stop` if not given; for spike trains, from their ``t_start`` to their
        ``t_stop``.
    units : array_like of int or bool, names, function, or DataFrame, optional
        Units to keep, as in `Recording.select`, or by their names. A table of units,
        one row per unit, gives them columns instead.

    Returns
    -------
    Recording
        One phase, "recording", of the observed stretches. Spikes that lie elsewhere are
        counted in ``provenance["spikes_outside"]``.

    Warns
    -----
    SpikesLostWarning, SpikesOutsideWarning
        If more than 1 % of the spikes share a bin, or lie outside the observed time.
    CommonTimeWarning
        If units were observed at different times, by a bin or more.
    SpikeOrderWarning
        If times of a unit fall back, as where a clock restarts.

    Raises
    ------
    InputTypeError, InputValueError
        If a spike time is NaN or infinite, there is no end, or units were never
        observed together.

    Examples
    --------
    >>> recording = from_spike_times({"A": [0.0012, 0.0055], "B": []}, t_stop=0.01)
    >>> recording.raster.spike_bins(0)
    array([1, 5])
    >>> recording.units["name"].to_list()
    ['A', 'B']
    """
    keys, trains = _items(times)
    table = _table_of_units(units, keys, trains)
    step = seconds(bin_size, "bin_size", positive=True)
    start = None if t_start is None else _time(t_start, "t_start")
    stop = None if t_stop is None else _time(t_stop, "t_stop")
    spikes = [
        _in_seconds(train, f"spike times of {name}")
        for train, name in zip(trains, unit_names(table), strict=True)
    ]
    each = _observed_of_each(observed, keys, trains)
    chosen = None if isinstance(units, pd.DataFrame) else units
    index = chosen_units(chosen, table)
    spikes = [spikes[row] for row in index]
    table = table.iloc[index].reset_index(drop=True)
    names = unit_names(table)
    if each is None:
        if stop is None:
            raise InputValueError(
                "spike times do not say when the recording ended, so it needs t_stop:"
                f" {_last_spike(spikes)}try t_stop=60 * pq.s, or give observed="
            )
        stretches = [Observed("recording", 0.0 if start is None else start, stop)]
        notes: dict[str, str] = {}
    else:
        spikes, stretches, notes = observed_by_all(
            spikes,
            [each[row] for row in index],
            names,
            bin_size=step,
            t_start=start,
            t_stop=stop,
        )
    return recording_from_spike_times(
        spikes,
        stretches,
        bin_size=step,
        t_start=start,
        t_stop=stop,
        units=table,
        provenance={"source": "spike times", **notes},
    )


def _items(times: Any) -> tuple[list[Any] | None, list[Any]]:
    """Return the keys, if there are some, and the spike times of each unit."""
    if hasattr(times, "keys") and hasattr(times, "__getitem__"):
        keys = list(times.keys())
        return keys, [times[key] for key in keys]
    if isinstance(times, (str, bytes)) or not isinstance(times, Iterable):
        raise InputTypeError(
            "from_spike_times needs spike times of each unit, a list or a mapping of"
            f" arrays, got {type(times).__name__}; try [[0.1, 0.7], [0.3]]"
        )
    trains = list(times)
    if trains and all(np.ndim(train) == 0 for train in trains):
        raise InputValueError(
            "from_spike_times needs spike times of each unit, got one series of"
            f" {len(trains)} numbers; put it into a list, [times]"
        )
    return None, trains


def _table_of_units(
    units: Any, keys: list[Any] | None, trains: list[Any]
) -> pd.DataFrame:
    if isinstance(units, pd.DataFrame):
        if len(units) != len(trains):
            raise InputValueError(
                f"the table of units needs one row per unit, {len(trains)}, got"
                f" {len(units)}"
            )
        return units.reset_index(drop=True)
    index = pd.RangeIndex(len(trains))
    if keys is not None:
        is_number = all(
            isinstance(key, (int, np.integer)) and not isinstance(key, bool)
            for key in keys
        )
        if is_number and keys:
            return pd.DataFrame({"unit_id": np.array(keys, np.int64)}, index=index)
        return pd.DataFrame({"name": pd.Series(map(str, keys), index, dtype="str")})
    names = [getattr(train, "name", None) for train in trains]
    if names and all(isinstance(name, str) and name for name in names):
        return pd.DataFrame({"name": names}, index=index)
    return pd.DataFrame(index=index)


def _time(value: Any, name: str) -> float:
    """Return a time in s; a number is seconds."""
    if isinstance(value, (int, float, np.integer, np.floating)):
        return seconds(float(value) * pq.s, name)
    return seconds(value, name)


def _in_seconds(values: Any, name: str) -> FloatArray:
    """Return times as an array in s; numbers are seconds."""
    if isinstance(values, pq.Quantity):
        if values.dimensionality.simplified != pq.s.dimensionality:
            raise InputTypeError(
                f"{name} must be times, got {values.dimensionality}; give them in s"
            )
        return np.asarray(values.rescale("s").magnitude, np.float64)
    # Of pynapple's objects, numpy.asarray gives values, where there are some.
    values = getattr(values, "t", values)
    try:
        return np.asarray(values, np.float64)
    except (TypeError, ValueError) as error:
        raise InputTypeError(
            f"{name} must be numbers in s, or a quantity, got {type(values).__name__}"
        ) from error


def _observed_of_each(
    observed: Any, keys: list[Any] | None, trains: list[Any]
) -> list[FloatArray] | None:
    """Return the observed stretches of each unit in s; None where nobody says."""
    if observed is None:
        has_ends = [
            isinstance(train, pq.Quantity) and hasattr(train, "t_stop")
            for train in trains
        ]
        if not trains or not all(has_ends):
            return None
        ends = [(train.t_start, train.t_stop) for train in trains]
        return [np.array([[float(end.rescale("s")) for end in pair]]) for pair in ends]
    if hasattr(observed, "keys") and keys is not None:
        missing = [key for key in keys if key not in observed]
        if missing:
            raise InputValueError(
                f"observed has no stretches of the unit {missing[0]!r}; give every unit"
                " some, or leave it out with units="
            )
        tables = [observed[key] for key in keys]
    elif not isinstance(observed, pq.Quantity) and _is_one_per_unit(observed):
        tables = list(observed)
        if len(tables) != len(trains):
            raise InputValueError(
                f"observed has stretches of {len(tables)} units, and there are"
                f" {len(trains)}; give one table for each, or one for all"
            )
    else:
        table = _in_seconds(observed, "observed stretches")
        return [table] * len(trains)
    return [_in_seconds(table, "observed stretches") for table in tables]


def _is_one_per_unit(observed: Any) -> bool:
    return len(observed) > 0 and all(np.ndim(table) == 2 for table in observed)


def _last_spike(spikes: Sequence[FloatArray]) -> str:
    last = max((times.max() for times in spikes if len(times)), default=None)
    return "" if last is None else f"the last spike is at {last:g} s; "


# -- what every reader of sessions does
# --------------------------------------------------------------------------------------


def chosen_units(chosen: Any, table: pd.DataFrame) -> npt.NDArray[np.int64]:
    """Return the rows of a table of units that a user chose.

    Parameters
    ----------
    chosen : array_like of int, bool or str, function of the table, or None
        Indices, a mask, names (of a column that names units), or a function that
        returns one of these; None for all.
    table : pandas.DataFrame
        One row per unit.

    Raises
    ------
    InputTypeError, InputValueError
        If there is no such unit, or none is chosen.
    """
    if chosen is None:
        return np.arange(len(table))
    rows = chosen(table) if callable(chosen) else chosen
    if isinstance(rows, str):
        rows = [rows]
    rows = np.asarray(rows)
    if rows.dtype.kind in "UO" and rows.size:
        rows = _rows_by_name(rows.tolist(), table)
    index = as_index(rows, len(table), "units")
    if not len(index):
        raise InputValueError(
            f"units= chooses none of the {len(table)} units; choose one or more"
        )
    return index


def _rows_by_name(names: list[Any], table: pd.DataFrame) -> list[int]:
    columns = [
        table[column].astype("str") for column in _NAME_COLUMNS if column in table
    ]
    # Also by the names that messages give.
    columns.append(pd.Series(unit_names(table), dtype="str"))
    rows = []
    for name in names:
        for column in columns:
            matches = np.flatnonzero(column == str(name))
            if len(matches):
                rows.extend(matches.tolist())
                break
        else:
            valid = [*map(repr, unit_names(table))]
            more = ", ..." if len(valid) > 10 else ""
            raise InputValueError(
                f"no unit is called {name!r}; there are {', '.join(valid[:10])}{more}"
            )
    return rows


def recording_from_spike_times(
    spikes: Sequence[FloatArray],
    observed: Sequence[Observed],
    *,
    bin_size: float,
    t_start: float | None,
    t_stop: float | None,
    units: pd.DataFrame,
    presentations: Mapping[str, pd.DataFrame] | None = None,
    provenance: Mapping[str, str] | None = None,
    identifier: str | None = None,
    session_start_time: datetime | None = None,
    timestamps_reference_time: datetime | None = None,
    n_outside: int = 0,
    n_cut_off: int = 0,
    overlap_remedy: str = "drop one of the two",
) -> Recording:
    """Make a recording by binning spike times and presentations.

    Parameters
    ----------
    spikes, observed, bin_size, t_start, t_stop
        As in `bin_spike_times`. Each observed stretch becomes a segment of the phase
        that it names; `observed_by_all` makes them where units differ.
    units : pandas.DataFrame
        One row per unit.
    presentations : mapping of str to pandas.DataFrame, optional
        Tables by kind, as `presentations_in_bins` takes them.
    provenance, identifier, session_start_time, timestamps_reference_time
        As in `Recording`; what binning and presentations leave out is added to the
        provenance.
    n_outside, n_cut_off : int, default 0
        Number of spikes that are in `spikes` no more: outside the observed time, and
        outside the time that was asked for.
    overlap_remedy : str
        What to do about presentations of one kind that overlap, for messages.

    Returns
    -------
    Recording
        The recording.

    Warns
    -----
    SpikesLostWarning, SpikesOutsideWarning, SpikeOrderWarning
        As `from_spike_times`.

    Raises
    ------
    InputValueError
        As `bin_spike_times` and `presentations_in_bins`, or if a spike time is NaN or
        infinite.
    """
    names = unit_names(units)
    _check_finite(spikes, names)
    _check_order(spikes, names)
    binned = bin_spike_times(
        spikes, observed, bin_size=bin_size, t_start=t_start, t_stop=t_stop
    )
    if not binned.observed:
        raise InputValueError(
            f"no observed stretch holds a whole bin of {bin_size:g} s; choose a smaller"
            " bin_size, or a longer time"
        )
    lost = binned.n_lost / max(1, binned.n_spikes)
    if lost > _SHARE:
        warnings.warn(
            f"{100 * lost:.1f} % of {binned.n_spikes} spikes were lost: at most one"
            f" spike per bin of {bin_size * 1000:g} ms is kept; a smaller bin_size"
            " loses fewer",
            SpikesLostWarning,
            stacklevel=level_outside(),
        )
    outside = binned.outside.total + n_outside
    n_all = binned.n_spikes + outside
    if outside > _SHARE * n_all:
        warnings.warn(
            f"{100 * outside / n_all:.1f} % of {n_all} spikes lie outside the observed"
            f" time{_where(binned, n_outside)}; {_outside_remedy(spikes, binned)}",
            SpikesOutsideWarning,
            stacklevel=level_outside(),
        )
    segments = segment_table(
        [
            Segment(row.start_bin, row.stop_bin, row.name, "unknown", row.t_start)
            for row in binned.observed
        ]
    )
    table, left_out = presentations_in_bins(
        presentations or {}, segments, binned.raster, overlap_remedy=overlap_remedy
    )
    notes = {
        **(provenance or {}),
        "bin_size_seconds": repr(bin_size),
        "spikes_in_extent": str(binned.n_spikes),
        "spikes_lost": str(binned.n_lost),
        "spikes_lost_share": repr(lost),
        "spikes_outside": str(outside),
        "spikes_cut_off": str(binned.outside.cut_off + n_cut_off),
        **left_out,
    }
    return Recording(
        binned.raster,
        units,
        table,
        segments=segments,
        provenance=notes,
        identifier=identifier,
        session_start_time=session_start_time,
        timestamps_reference_time=timestamps_reference_time,
    )


def _check_finite(spikes: Sequence[FloatArray], names: Sequence[str]) -> None:
    bad = [
        (name, int((~np.isfinite(times)).sum()))
        for name, times in zip(names, spikes, strict=True)
        if not np.isfinite(times).all()
    ]
    if bad:
        raise InputValueError(
            f"{bad[0][1]} spike times of {bad[0][0]} are NaN or infinite"
            f" ({len(bad)} of {len(names)} units have such); remove these times, or"
            " leave the unit out with units="
        )


def _check_order(spikes: Sequence[FloatArray], names: Sequence[str]) -> None:
    """Warn if times of a unit fall back."""
    n_units = 0
    first = ""
    for name, times in zip(names, spikes, strict=True):
        if np.all(times[1:] >= times[:-1]):
            continue
        # Times that stand for none are told of as spikes outside.
        real = times[times != _NO_TIME]
        falls = np.flatnonzero(real[1:] < real[:-1])
        if not len(falls):
            continue
        n_units += 1
        if not first:
            times_text = "once" if len(falls) == 1 else f"{len(falls)} times"
            before, after = real[falls[0]], real[falls[0] + 1]
            is_restart = len(falls) <= max(1, _SHARE * len(real))
            first = f"{name} falls back {times_text}, first from {before:g} s to"
            first += f" {after:g} s, as "
            if is_restart:
                first += (
                    "where a clock restarts: add the time of each restart to the times"
                    " after it"
                )
            else:
                first += "in times that are not sorted: sort them, if they are right"
    if n_units:
        warnings.warn(
            f"spike times of {n_units} of {len(names)} units do not ascend, and are"
            f" binned as they are; {first}",
            SpikeOrderWarning,
            stacklevel=level_outside(),
        )


def _where(binned: BinnedSpikes, n_outside: int) -> str:
    """Say where spikes outside the observed time lie."""
    raster, outside = binned.raster, binned.outside
    start = raster.t_start_seconds
    stop = fifteen_digits(float(raster.bin_edge_seconds(raster.n_time_bins)))
    parts = []
    if outside.before:
        parts.append(
            f"{outside.before} before {start:g} s (the earliest at"
            f" {outside.earliest:g} s)"
        )
    if outside.after:
        parts.append(
            f"{outside.after} from {stop:g} s on (the latest at {outside.latest:g} s)"
        )
    if outside.between + n_outside:
        parts.append(f"{outside.between + n_outside} between observed stretches")
    return f": {', '.join(parts)}" if parts else ""


def _outside_remedy(spikes: Sequence[FloatArray], binned: BinnedSpikes) -> str:
    """Say what times outside the observed time usually are, and what to do."""
    times = np.concatenate([np.zeros(0), *spikes])
    n_no_time = int((times == _NO_TIME).sum())
    if n_no_time and n_no_time == binned.outside.before:
        return f"{n_no_time} of them are -1, which stands for no time: remove them"
    real = times[times != _NO_TIME]
    if binned.outside.after and np.array_equal(real, np.floor(real)):
        return (
            "all times are whole numbers, as sample indices are: divide them by the"
            " sampling rate to have seconds"
        )
    if binned.outside.before or binned.outside.after:
        return (
            "if they belong to the recording, give an earlier t_start or a later"
            " t_stop; check that times are in s and that their clock does not restart"
        )
    return (
        "no statistic uses them; check the observed stretches and the invalid times if"
        " they belong to the recording"
    )
