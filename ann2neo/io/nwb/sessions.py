"""NWB files of experiments, which ann2neo did not write."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pandas as pd
import quantities as pq

from ann2neo._checks import seconds
from ann2neo.errors import FileFormatError, InputValueError
from ann2neo.io.nwb.hdf5_tables import Table, read_table, text_at
from ann2neo.raster.binning import Observed
from ann2neo.recording import Recording
from ann2neo.recording.from_spike_times import recording_from_spike_times

__all__ = ["read_session"]

_SKIPPED = ("spike_times", "obs_intervals", "start_time", "stop_time")
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


def read_session(
    handle: h5py.File,
    path: Path,
    bin_size: pq.Quantity | None,
    t_start: pq.Quantity | None,
    t_stop: pq.Quantity | None,
) -> Recording:
    """Bin the units of an open NWB file; arguments as in `read_nwb`."""
    if bin_size is None:
        raise InputValueError(
            f"{path} was not written by ann2neo, so it needs bin_size, the length of a"
            " time bin; try read_nwb(path, bin_size=1 * pq.ms), --bin-size 1 on the"
            " command line"
        )
    step = seconds(bin_size, "bin_size", positive=True)
    start = None if t_start is None else seconds(t_start, "t_start")
    stop = None if t_stop is None else seconds(t_stop, "t_stop")
    if "units" not in handle:
        raise FileFormatError(
            f"{path} has no units (no /units table); spikes must be sorted before they"
            " can be read"
        )
    table = read_table(handle, "units")
    if "spike_times" not in table:
        raise FileFormatError(
            f"{path} has units without spike times; spikes must be sorted before they"
            " can be read"
        )
    dataset, counts = table.ragged("spike_times")
    times = np.asarray(dataset[()], np.float64)
    spikes = np.split(times, np.cumsum(counts)[:-1]) if len(counts) else []
    return recording_from_spike_times(
        spikes,
        _observed(table, start, stop, path),
        bin_size=step,
        t_start=start,
        t_stop=stop,
        units=_plain_columns(table, unit_ids=True),
        presentations={"trials": _trials(handle)},
        provenance=_provenance(handle, path),
        identifier=text_at(handle, "identifier"),
        session_start_time=_session_start(handle),
    )


def _observed(
    table: Table, start: float | None, stop: float | None, path: Path
) -> list[Observed]:
    """Return the stretches in which all units were observed, merged if they touch."""
    if "obs_intervals" not in table:
        if stop is None:
            raise InputValueError(
                f"{path} does not say when its units were observed (no obs_intervals),"
                " so it needs t_stop, the end of the recording; try read_nwb(path,"
                " bin_size=..., t_stop=60 * pq.s)"
            )
        return [Observed("recording", 0.0 if start is None else start, stop)]
    dataset, counts = table.ragged("obs_intervals")
    intervals = np.asarray(dataset[()], np.float64)
    if (
        intervals.ndim != 2
        or intervals.shape[1] != 2
        or not np.isfinite(intervals).all()
    ):
        raise FileFormatError(
            f"{dataset.name} must hold pairs of finite times, got {intervals.dtype} of"
            f" shape {intervals.shape}; get an undamaged copy"
        )
    each = np.split(intervals, np.cumsum(counts)[:-1])
    for unit, own in enumerate(each):
        if not len(own) or not np.array_equal(own, each[0]):
            raise InputValueError(
                f"units of {path} were observed at different times (unit {unit} differs"
                " from unit 0), and a raster has one time for all; select units with"
                " the same obs_intervals, for example by writing them to a file of"
                " their own with pynwb"
            )
    merged: list[list[float]] = []
    for first, last in sorted(each[0].tolist()):
        if merged and first <= merged[-1][1]:
            merged[-1][1] = max(last, merged[-1][1])
        else:
            merged.append([first, last])
    if len(merged) == 1:
        return [Observed("recording", *merged[0])]
    return [
        Observed(f"recording {i}", first, last)
        for i, (first, last) in enumerate(merged)
    ]


def _plain_columns(table: Table, *, unit_ids: bool) -> pd.DataFrame:
    """Read the columns that have one string, number or boolean per row."""
    columns: dict[str, Any] = {}
    if unit_ids:
        columns["unit_id"] = table.group["id"][()].astype(np.int64)
    for name in table.colnames:
        is_plain = name in table and f"{name}_index" not in table.group
        if is_plain and name not in _SKIPPED:
            values = _plain_cells(table, name)
            if values is not None and len(values) == len(table):
                columns[name] = values
    return pd.DataFrame(columns, index=pd.RangeIndex(len(table)))


def _plain_cells(table: Table, name: str) -> npt.NDArray[Any] | None:
    dataset = table.group[name]
    if not isinstance(dataset, h5py.Dataset) or dataset.ndim != 1:
        return None
    if h5py.check_string_dtype(dataset.dtype) is not None:
        return table.texts(name)
    if dataset.dtype.kind not in "iufb":
        return None
    values = table.numbers(name)
    # A recording's labels are signed integers or text; all others become text.
    if name in {"label", "prediction"} and values.dtype.kind not in "i":
        return values.astype("U").astype(object)
    if values.dtype.kind == "u":
        fits = not len(values) or values.max() <= np.iinfo(np.int64).max
        return values.astype(np.int64 if fits else np.float64)
    return values


def _trials(handle: h5py.File) -> pd.DataFrame:
    if "intervals/trials" not in handle:
        return pd.DataFrame({"start_time": np.zeros(0), "stop_time": np.zeros(0)})
    table = read_table(handle, "intervals/trials")
    trials = _plain_columns(table, unit_ids=False)
    return trials.assign(
        start_time=table.numbers("start_time"), stop_time=table.numbers("stop_time")
    )


def _provenance(handle: h5py.File, path: Path) -> dict[str, str]:
    notes = {
        "source": "NWB file",
        "source_file": path.name,
        "nwb_version": str(handle.attrs["nwb_version"]),
    }
    for key, place in _PROVENANCE.items():
        text = text_at(handle, place)
        if text:
            notes[key] = text
    return notes


def _session_start(handle: h5py.File) -> datetime | None:
    text = text_at(handle, "session_start_time")
    if text is None:
        return None
    started = datetime.fromisoformat(text)
    return started if started.tzinfo else started.astimezone()
