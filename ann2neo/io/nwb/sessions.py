"""NWB files of experiments, which ann2neo did not write."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import numpy.typing as npt
import pandas as pd
import quantities as pq

from ann2neo._checks import seconds
from ann2neo.errors import FileFormatError, InputTypeError, InputValueError
from ann2neo.io.nwb.hdf5_items import item_at
from ann2neo.io.nwb.hdf5_tables import Table, read_table, text_at, version_of
from ann2neo.io.nwb.intervals import (
    INVALID_TIMES,
    interval_tables,
    plain_columns,
    times_of,
)
from ann2neo.io.nwb.layout import SESSION_SOURCE
from ann2neo.recording import Recording
from ann2neo.recording.from_spike_times import (
    chosen_units,
    recording_from_spike_times,
)
from ann2neo.recording.observed_time import observed_by_all
from ann2neo.recording.select import Choice
from ann2neo.recording.tables import DEFAULT_KIND, unit_names

__all__ = ["SessionOptions", "read_session", "session_units", "units_place"]

FloatArray = npt.NDArray[np.float64]

_log = logging.getLogger(__name__)
_SKIPPED = ("spike_times", "obs_intervals", "start_time", "stop_time", "timestamp")
_PROVENANCE = {
    "session_description": "session_description",
    "session_id": "general/session_id",
    "institution": "general/institution",
    "lab": "general/lab",
    "subject_id": "general/subject/subject_id",
    "subject_species": "general/subject/species",
    "subject_sex": "general/subject/sex",
    "subject_age": "general/subject/age",
    "subject_strain": "general/subject/strain",
}
"""Keys of the provenance, and where their values are in the file."""


class SessionOptions(NamedTuple):
    """What `read_nwb` is asked for of a file that ann2neo did not write."""

    bin_size: pq.Quantity | None = None
    t_start: pq.Quantity | None = None
    t_stop: pq.Quantity | None = None
    units: Choice | Sequence[str] | None = None
    intervals: str | Sequence[str] | None = None
    label: str | None = None

    def given(self) -> list[str]:
        """Return the names of the options that are given."""
        return [name for name, value in self._asdict().items() if value is not None]


def read_session(handle: h5py.File, path: Path, options: SessionOptions) -> Recording:
    """Bin the units of an open NWB file; options as in `read_nwb`."""
    table = session_units(handle, path)
    if options.bin_size is None:
        raise InputValueError(
            f"{path} was not written by ann2neo, so it needs bin_size, the length of a"
            " time bin; try read_nwb(path, bin_size=1 * pq.ms), --bin-size 1 on the"
            " command line"
        )
    step = seconds(options.bin_size, "bin_size", positive=True)
    start, stop = (
        None if time is None else seconds(time, name)
        for name, time in (("t_start", options.t_start), ("t_stop", options.t_stop))
    )
    columns, left_out = plain_columns(table, _SKIPPED)
    # Who has a column of that name knows better than NWB, which counts rows.
    columns.insert(0, "id" if "unit_id" in columns else "unit_id", table.ids())
    index = chosen_units(options.units, columns)
    units = columns.iloc[index].reset_index(drop=True)
    names = unit_names(units)
    spikes = _rows(table, "spike_times", index)
    presentations, notes = _presentations(handle, path, options)
    if left_out:
        notes["unit_columns_left_out"] = ", ".join(left_out)
    if "obs_intervals" in table:
        observed = _rows(table, "obs_intervals", index)
    elif stop is not None:
        begin = 0.0 if start is None else start
        observed = [np.array([[begin, stop]])] * len(spikes)
    else:
        raise InputValueError(_no_end(handle, path, spikes))
    if start is not None and stop is not None and stop <= start:
        raise InputValueError(
            f"t_stop must lie after t_start, got t_start={start} s, t_stop={stop} s;"
            " choose a later t_stop"
        )
    spikes, stretches, left = observed_by_all(
        spikes,
        observed,
        names,
        bin_size=step,
        t_start=start,
        t_stop=stop,
        invalid=_invalid_times(handle),
    )
    return recording_from_spike_times(
        spikes,
        stretches,
        bin_size=step,
        t_start=start,
        t_stop=stop,
        units=units,
        presentations=presentations,
        provenance={**_provenance(handle, path), **notes, **left},
        identifier=text_at(handle, "identifier"),
        session_start_time=_moment(handle, "session_start_time"),
        timestamps_reference_time=_moment(handle, "timestamps_reference_time"),
        overlap_remedy=(
            "read the file without this table (intervals=[] reads none), and add one"
            " that does not overlap with recording.with_presentations"
        ),
    )


# -- units and observed time
# --------------------------------------------------------------------------------------


def session_units(handle: h5py.File, path: Path) -> Table:
    """Return the table of units in a file of somebody else's.

    Raises
    ------
    FileFormatError
        If there are no units with spike times; what is there instead is named.
    """
    place = units_place(handle)
    if place is None:
        raise FileFormatError(
            f"{path} has no units (no /units table); spikes must be sorted before they"
            " can be read"
        )
    table = read_table(handle, place)
    if "spike_times" not in table:
        raise FileFormatError(
            f"{path} has units without spike times; spikes must be sorted before they"
            " can be read"
        )
    if not len(table):
        raise FileFormatError(
            f"the table of units of {path} has no rows, so there is nothing to read;"
            " check that it is the right file"
        )
    return table


def units_place(handle: h5py.File) -> str | None:
    """Return the place of the table of units: ``/units``, or the only one elsewhere."""
    if item_at(handle, "units") is not None:
        return "units"
    places: list[str] = []

    def visit(_: str, item: Any) -> None:
        if isinstance(item, h5py.Group) and "spike_times" in item:
            places.append(str(item.name).lstrip("/"))

    for name in ("acquisition", "processing", "analysis", "scratch"):
        group = item_at(handle, name)
        if isinstance(group, h5py.Group):
            group.visititems(visit)
    return places[0] if len(places) == 1 else None


def _rows(table: Table, name: str, index: npt.NDArray[np.int64]) -> list[FloatArray]:
    """Return the entries of some rows of a ragged column of numbers."""
    dataset, counts = table.ragged_times(name)
    entries = np.asarray(dataset[()], np.float64)
    ends = np.cumsum(counts)
    return [entries[ends[row] - counts[row] : ends[row]] for row in index.tolist()]


def _invalid_times(handle: h5py.File) -> FloatArray:
    """Return the stretches in which nothing was observed, shape (n, 2), in s."""
    place = f"intervals/{INVALID_TIMES}"
    if item_at(handle, place) is None:
        return np.zeros((0, 2))
    table = read_table(handle, place)
    return np.column_stack([table.times("start_time"), table.times("stop_time")])


def _no_end(handle: h5py.File, path: Path, spikes: Sequence[FloatArray]) -> str:
    """Say what is known of a file that does not say when it ends."""
    last = max((times.max() for times in spikes if len(times)), default=math.nan)
    ends = [last]
    facts = [f"its last spike is at {last:.6g} s"] if math.isfinite(last) else []
    for name, place in interval_tables(handle).items():
        times = times_of(read_table(handle, place)).to_numpy()
        end = times[np.isfinite(times)].max(initial=-math.inf)
        noun = "last trial" if name == DEFAULT_KIND else f"table {name!r}"
        if math.isfinite(end):
            facts.append(f"its {noun} ends at {end:.6g} s")
            ends.append(end)
        else:
            facts.append(f"its {noun} says no time")
    enough = max((end for end in ends if math.isfinite(end)), default=60)
    stop = math.floor(enough) + 1
    known = f": {', '.join(facts)}" if facts else ""
    return (
        f"{path} does not say when its units were observed (no obs_intervals), so it"
        f" needs t_stop, the end of the recording{known}; try read_nwb(path,"
        f" bin_size=..., t_stop={stop} * pq.s), --t-stop {stop} on the command line"
    )


# -- presentations
# --------------------------------------------------------------------------------------


def _presentations(
    handle: h5py.File, path: Path, options: SessionOptions
) -> tuple[dict[str, pd.DataFrame], dict[str, str]]:
    """Return the tables asked for by kind, and notes of what there is besides."""
    places = interval_tables(handle)
    names = _chosen(options.intervals, places, path)
    notes = {}
    unread = [name for name in places if name not in names]
    if unread:
        notes["interval_tables_not_read"] = ", ".join(unread)
        if options.intervals is None:
            # Without trials, all that was shown is in tables that nobody asked for.
            _log.log(
                logging.INFO if names else logging.WARNING,
                "%s has tables of intervals that are read with intervals=: %s",
                path.name,
                ", ".join(unread),
            )
    tables = {}
    for name in names:
        table = read_table(handle, places[name])
        columns, left_out = plain_columns(table, _SKIPPED)
        tables[name] = pd.concat([times_of(table), columns], axis="columns")
        if left_out:
            notes[f"columns_left_out [{name}]"] = ", ".join(left_out)
    if options.label is not None:
        tables = _labelled(tables, options.label, path)
    return tables, notes


def _chosen(
    intervals: str | Sequence[str] | None, places: Mapping[str, str], path: Path
) -> list[str]:
    if intervals is None:
        return [name for name in places if name == DEFAULT_KIND]
    names = [intervals] if isinstance(intervals, str) else list(intervals)
    for name in names:
        if not isinstance(name, str):
            raise InputTypeError(
                "intervals must be the name of a table of intervals, or a list of"
                f" names, got {name!r} ({type(name).__name__}); try intervals='trials'"
            )
        if name not in places:
            raise InputValueError(
                f"{path} has no table of intervals {name!r}; it has {_listed(places)}"
            )
    return list(dict.fromkeys(names))


def _labelled(
    tables: Mapping[str, pd.DataFrame], label: str, path: Path
) -> dict[str, pd.DataFrame]:
    """Copy the column of that name to ``label``, in every table that has it."""
    if not isinstance(label, str):
        raise InputTypeError(
            f"label must be the name of a column, got {label!r}"
            f" ({type(label).__name__}); try label='trial_type'"
        )
    if not any(label in table for table in tables.values()):
        columns = "; ".join(
            f"{kind}: {_listed(table.columns)}" for kind, table in tables.items()
        )
        raise InputValueError(
            f"there is no column {label!r} in the presentations read from {path}"
            f" ({columns or 'no table was read: choose one with intervals='})"
        )
    return {
        kind: table.assign(label=table[label]) if label in table else table
        for kind, table in tables.items()
    }


def _listed(names: Any) -> str:
    return ", ".join(map(repr, names)) or "none"


# -- where it came from
# --------------------------------------------------------------------------------------


def _provenance(handle: h5py.File, path: Path) -> dict[str, str]:
    notes = {
        "source": SESSION_SOURCE,
        "source_file": path.name,
        "nwb_version": version_of(handle),
    }
    for key, place in _PROVENANCE.items():
        text = text_at(handle, place, "replace")
        if text:
            notes[key] = text
    return notes


def _moment(handle: h5py.File, name: str) -> datetime | None:
    text = text_at(handle, name)
    if text is None:
        return None
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.astimezone()
