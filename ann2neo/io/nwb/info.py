"""Summaries of NWB files, ours or others', without making a recording of them."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from ann2neo._checks import path_of
from ann2neo.io.nwb.hdf5_items import item_at
from ann2neo.io.nwb.hdf5_tables import Table, open_nwb, read_table, text_at, version_of
from ann2neo.io.nwb.intervals import (
    INVALID_TIMES,
    interval_tables,
    plain_columns,
    times_of,
)
from ann2neo.io.nwb.reader import (
    is_ours,
    read_header,
    read_nwb,
    read_provenance,
    read_segments,
)
from ann2neo.io.nwb.sessions import units_place
from ann2neo.recording import Recording
from ann2neo.recording.observed_time import merged_stretches

__all__ = ["IntervalInfo", "NwbInfo", "nwb_info"]

_ROWS = 1 << 16
"""Rows of a table that are looked at together."""
_BLOCK = 1 << 20
"""Spike times that are looked at together."""


@dataclasses.dataclass(frozen=True)
class IntervalInfo:
    """Summary of a table of intervals or events.

    Parameters
    ----------
    name : str
        The table, as `read_nwb` takes it as ``intervals``.
    n_rows : int
        Number of intervals or events.
    start, stop : float, in s
        The earliest time in it, and the latest; NaN without any.
    n_without_end : int
        Number of intervals whose stop time is NaN.
    columns : tuple of str
        Its columns besides the times.
    labels : tuple of str
        Those that repeat in the first 65 536 rows, so that they may say what was shown:
        `read_nwb` takes one as ``label``.
    """

    name: str
    n_rows: int
    start: float
    stop: float
    n_without_end: int
    columns: tuple[str, ...]
    labels: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class NwbInfo:
    """Summary of an NWB file.

    Parameters
    ----------
    path : Path
        The file.
    n_bytes : int
        Its size.
    nwb_version : str
        Version of the NWB schema.
    n_units, n_spikes : int
        Number of units, and of spikes of all units.
    analysis : tuple of str
        Names of the tables of statistics in it.
    layout_version : int or None
        Version of ann2neo's layout; None for files that ann2neo did not write.
    profile : str or None
        "dandi" or "neo"; None for files that ann2neo did not write.
    session : mapping of str to str
        The session's description, experimenter, institution, subject and so on, where
        the file has them.
    unit_columns : tuple of str
        Columns of the units besides their times.
    first_spike, last_spike : float, in s
        Times of the first and last spike; NaN without spikes.
    observed : tuple of (float, float), in s, or None
        Stretches in which all units were observed, or the first unit where they differ;
        None where the file does not say.
    is_observed_alike : bool
        Whether all units were observed at the same times.
    invalid : tuple of (float, float), in s
        Stretches that the file calls invalid.
    intervals : tuple of IntervalInfo
        Tables of intervals and events.
    phases : tuple of (str, int, str)
        Name, number of bins and order of each phase of a file of ann2neo.
    sampling_period : float, in s
        Length of a time bin of a file of ann2neo; NaN else.
    provenance : mapping of str to str
        Where the recording of a file of ann2neo came from.
    follow_links : bool
        Whether links to other files of the folder are followed.
    """

    path: Path
    n_bytes: int
    nwb_version: str
    n_units: int
    n_spikes: int
    analysis: tuple[str, ...]
    session: Mapping[str, str]
    layout_version: int | None = None
    profile: str | None = None
    unit_columns: tuple[str, ...] = ()
    first_spike: float = math.nan
    last_spike: float = math.nan
    observed: tuple[tuple[float, float], ...] | None = None
    is_observed_alike: bool = True
    invalid: tuple[tuple[float, float], ...] = ()
    intervals: tuple[IntervalInfo, ...] = ()
    phases: tuple[tuple[str, int, str], ...] = ()
    sampling_period: float = math.nan
    provenance: Mapping[str, str] = dataclasses.field(default_factory=dict)
    follow_links: bool = False

    @property
    def recording(self) -> Recording | None:
        """The recording, whose spikes are read when they are first needed.

        It is read each time; None for files that ann2neo did not write.
        """
        if self.profile is None:
            return None
        return read_nwb(self.path, lazy=True, follow_links=self.follow_links)


_SESSION = {
    "identifier": "identifier",
    "session_start_time": "session_start_time",
    "session_description": "session_description",
    "experimenter": "general/experimenter",
    "institution": "general/institution",
    "session_id": "general/session_id",
    "subject_id": "general/subject/subject_id",
    "species": "general/subject/species",
}


def nwb_info(path: str | os.PathLike[str], *, follow_links: bool = False) -> NwbInfo:
    """Summarize an NWB file, of ann2neo or of an experiment.

    Parameters
    ----------
    path : path
        The file.
    follow_links : bool, default False
        As in `read_nwb`.

    Returns
    -------
    NwbInfo
        The summary.

    Raises
    ------
    FileFormatError
        If it is not an NWB file, or damaged.

    Examples
    --------
    >>> import ann2neo, tempfile
    >>> recording = ann2neo.Recording.from_activations([[1.0, 0.0], [1.0, 1.0]])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     info = nwb_info(ann2neo.write_nwb(recording, f"{folder}/network.nwb"))
    >>> info.n_units, info.n_spikes, info.profile
    (2, 3, 'dandi')
    """
    file = path_of(path)
    with open_nwb(file, follow_links=follow_links) as handle:
        results = item_at(handle, "analysis")
        analysis = sorted(results) if isinstance(results, h5py.Group) else []
        place = units_place(handle)
        table = None if place is None else read_table(handle, place)
        units = {} if table is None else _units(table)
        session = {
            name: text
            for name, where in _SESSION.items()
            if (text := text_at(handle, where, "replace"))
        }
        version = version_of(handle)
        invalid = _stretches(handle, f"intervals/{INVALID_TIMES}")
        intervals = [
            _interval_info(name, read_table(handle, where))
            for name, where in interval_tables(handle).items()
        ]
        own = _of_ours(handle) if is_ours(handle) else {}
    return NwbInfo(
        path=file,
        n_bytes=file.stat().st_size,
        nwb_version=version,
        analysis=tuple(name for name in analysis if name.endswith("_statistics")),
        session=session,
        invalid=invalid,
        intervals=tuple(intervals),
        follow_links=follow_links,
        **{"n_units": 0, "n_spikes": 0, **units, **own},
    )


def _of_ours(handle: h5py.File) -> dict[str, Any]:
    """Return what the fields of `NwbInfo` say about a file of ann2neo."""
    header = read_header(handle)
    segments = read_segments(handle, header)
    lengths = segments["stop_bin"] - segments["start_bin"]
    phases = segments.assign(n_time_bins=lengths).groupby("phase", sort=False)
    return {
        "layout_version": header.layout_version,
        "profile": header.profile,
        # Profile "neo" has a row per unit and segment.
        "n_units": header.n_units,
        "phases": tuple(
            (str(name), int(rows["n_time_bins"].sum()), str(rows["order"].iloc[0]))
            for name, rows in phases
        ),
        "sampling_period": header.sampling_period,
        "provenance": read_provenance(handle, header),
    }


def _units(table: Table) -> dict[str, Any]:
    """Return what the fields of `NwbInfo` say about units."""
    fields: dict[str, Any] = {"n_units": len(table)}
    times = ("spike_times", "obs_intervals")
    fields["unit_columns"] = tuple(n for n in table.colnames if n not in times)
    if "spike_times" in table:
        dataset, counts = table.ragged_times("spike_times")
        fields["n_spikes"] = int(counts.sum())
        fields |= _first_and_last(dataset)
    if "obs_intervals" in table and len(table):
        dataset, counts = table.ragged_times("obs_intervals")
        each = np.split(np.asarray(dataset[()]), np.cumsum(counts)[:-1])
        fields["is_observed_alike"] = all(
            np.array_equal(one, each[0]) for one in each[1:]
        )
        fields["observed"] = tuple(map(tuple, _merged(each[0]).tolist()))
    return fields


def _first_and_last(dataset: h5py.Dataset) -> dict[str, float]:
    """Return the first and last of the finite times."""
    first, last = math.inf, -math.inf
    for begin in range(0, len(dataset), _BLOCK):
        times = dataset[begin : begin + _BLOCK]
        times = times[np.isfinite(times)]
        first = min(first, float(times.min(initial=math.inf)))
        last = max(last, float(times.max(initial=-math.inf)))
    if last < first:
        return {}
    return {"first_spike": first, "last_spike": last}


def _merged(stretches: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return stretches joined where they adjoin; what is none is left out here."""
    pairs = stretches if stretches.shape[1:] == (2,) else np.zeros((0, 2))
    return merged_stretches(
        pairs[pairs[:, 0] <= pairs[:, 1]],
        whose="the first unit",
        t_start=-math.inf,
        t_stop=math.inf,
    )


def _stretches(handle: h5py.File, place: str) -> tuple[tuple[float, float], ...]:
    if item_at(handle, place) is None:
        return ()
    times = times_of(read_table(handle, place))
    return tuple(map(tuple, _merged(times.to_numpy()).tolist()))


def _interval_info(name: str, table: Table) -> IntervalInfo:
    """Summarize a table, which may have many rows, block by block."""
    start, stop, n_without_end = math.inf, -math.inf, 0
    for begin in range(0, len(table), _ROWS):
        times = times_of(Table(table.group, begin, begin + _ROWS))
        finite = times.to_numpy(np.float64)
        finite = finite[np.isfinite(finite)]
        start = min(start, float(finite.min(initial=math.inf)))
        stop = max(stop, float(finite.max(initial=-math.inf)))
        n_without_end += int(times.get("stop_time", times["start_time"]).isna().sum())
    first = Table(table.group, 0, _ROWS)
    columns = plain_columns(first, ["start_time", "stop_time", "timestamp"])
    labels = [
        str(column)
        for column, cells in columns.table.items()
        if 1 < cells.nunique() <= max(2, len(cells) // 2)
    ]
    has_times = start <= stop
    return IntervalInfo(
        name=name,
        n_rows=len(table),
        start=start if has_times else math.nan,
        stop=stop if has_times else math.nan,
        n_without_end=n_without_end,
        columns=(*map(str, columns.table), *columns.left_out),
        labels=tuple(labels),
    )
