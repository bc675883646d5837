"""Checks of recordings before they are written to NWB."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from ann2neo.errors import InputValueError
from ann2neo.io.nwb.layout import stored_name
from ann2neo.recording import checked_recording

__all__ = ["check_recording"]

_LONGEST_PERIOD = 0.010
# Names that NWB gives to columns and attributes of its tables.
_RESERVED = {
    "units": {
        "spike_times",
        "obs_intervals",
        "electrodes",
        "electrode_group",
        "waveform_mean",
        "waveform_sd",
        "waveforms",
    },
    "presentations": {"start_time", "stop_time", "tags", "timeseries"},
}
_RESERVED_IN_TABLES = {
    "id",
    "name",
    "description",
    "columns",
    "colnames",
    "parent",
    "fields",
    "_name",
    "segment",
    "block",
}


def check_recording(recording: Any) -> None:
    """Raise if NWB cannot keep a recording.

    Raises
    ------
    InputTypeError
        If it is not a Recording.
    InputValueError
        If NWB does not allow its time base, no unit spikes, or a name or string in it
        cannot be stored in HDF5.
    """
    raster = checked_recording(recording, "write_nwb").raster
    if raster.sampling_period_seconds > _LONGEST_PERIOD:
        raise InputValueError(
            f"the sampling period is {raster.sampling_period}, NWB's checks accept up"
            " to 10 ms; record with sampling_period=1 * pq.ms, or rebuild the raster"
            " with a shorter one"
        )
    if raster.t_start_seconds < 0:
        raise InputValueError(
            f"t_start is {raster.t_start}, but times in NWB must not be negative;"
            " rebuild the raster with t_start=0 * pq.ms"
        )
    if not np.any(raster.spike_counts()):
        raise InputValueError(
            f"no unit of this recording spikes at all ({raster.n_units} units,"
            f" {raster.n_time_bins} bins), and NWB's checks fail on an empty"
            " spike_times; lower the threshold or record other layers"
        )
    _check_table(recording.units, "units")
    _check_table(recording.presentations, "presentations")
    _check_texts(recording.phases["phase"], "the names of phases")
    provenance = recording.provenance
    _check_texts([*provenance, *provenance.values()], "the provenance")
    _check_texts([recording.identifier], "the identifier")


def _check_table(table: pd.DataFrame, kind: str) -> None:
    names = [str(name) for name in table]
    stored = [stored_name(name, names) for name in names]
    for name in stored:
        if stored.count(name) > 1:
            index = name.removesuffix("_number") + "_index"
            raise InputValueError(
                f"{kind} have the columns {index!r} and {name!r}, which would both be"
                f" stored as {name!r}; rename one"
            )
    reserved = _RESERVED[kind] | _RESERVED_IN_TABLES
    for name in names:
        # A column X_index would be taken for the index of a ragged column X.
        if name in reserved or name.removesuffix("_index") in reserved:
            raise InputValueError(
                f"the column {name!r} of {kind} has a name that NWB uses itself; rename"
                f" it, for example to 'my_{name}'"
            )
        if not name or set(name) & set("/:\0") or name in {".", ".."}:
            raise InputValueError(
                f"the column {name!r} of {kind} has a name that HDF5 cannot keep;"
                " rename it without '/', ':' and NUL"
            )
        if table[name].dtype == "str":
            _check_texts(table[name], f"column {name!r} of {kind}")


def _check_texts(texts: Iterable[str], what: str) -> None:
    joined = "".join(set(texts))
    if "\0" in joined:
        raise InputValueError(
            f"{what} holds a NUL character, which HDF5 strings cannot keep; remove it"
        )
    try:
        joined.encode()
    except UnicodeEncodeError as error:
        raise InputValueError(
            f"{what} holds text that is not valid Unicode ({error.reason}); clean it,"
            " for example with text.encode('utf-8', 'replace').decode()"
        ) from error
