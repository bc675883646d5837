"""Checks of recordings before they are written to NWB."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from ann2neo.errors import InputValueError
from ann2neo.raster import SpikeRaster
from ann2neo.recording import Recording, checked_recording

__all__ = ["BestPracticeWarning", "check_recording"]

_LONGEST_PERIOD = 0.010


class BestPracticeWarning(UserWarning):
    """NWB Inspector will report times or time bins that the file has to have."""


def check_recording(recording: Any, profile: str) -> None:
    """Raise if NWB cannot keep a recording.

    Raises
    ------
    InputTypeError
        If it is not a Recording.
    InputValueError
        If no unit spikes, a string in it cannot be stored in HDF5, or profile "neo"
        does not allow its time base.

    Warns
    -----
    BestPracticeWarning
        If NWB Inspector will report its time base.
    """
    raster = checked_recording(recording, "write_nwb").raster
    findings = check_times(raster, profile)
    if not np.any(raster.spike_counts()):
        remedy = "lower the threshold or record other layers"
        # Of spike times, as of neurons.
        if "bin_size_seconds" in recording.provenance:
            remedy = "read a longer time or other units"
        raise InputValueError(
            f"no unit of this recording spikes at all ({raster.n_units} units,"
            f" {raster.n_time_bins} bins), and NWB's checks fail on an empty"
            f" spike_times; {remedy}"
        )
    _check_table(recording.units, "units")
    _check_table(recording.presentations, "presentations")
    _check_table(recording.segments, "segments")
    provenance = recording.provenance
    _check_texts([*provenance, *provenance.values()], "the provenance")
    _check_texts([recording.identifier], "the identifier")
    findings += _unobserved(recording)
    if findings:
        reports = ", ".join(f"{check} ({why})" for why, check, _ in findings)
        remedies = " and ".join(remedy for _, _, remedy in findings)
        warnings.warn(
            f"the file is whole, but NWB Inspector will report {reports}; to avoid"
            f" that, {remedies}",
            BestPracticeWarning,
            stacklevel=3,
        )


def check_times(raster: SpikeRaster, profile: str) -> list[tuple[str, str, str]]:
    """Return what NWB Inspector reports about a time base, its check and a remedy.

    Raises
    ------
    InputValueError
        If it reports something and the profile is "neo".
    """
    findings = []
    if raster.sampling_period_seconds > _LONGEST_PERIOD:
        why = f"time bins of {raster.sampling_period}, longer than 10 ms"
        remedy = "use bins of up to 10 ms"
        findings.append((why, "check_units_resolution_is_valid", remedy))
    if raster.t_start_seconds < 0:
        why = f"times below 0, since t_start is {raster.t_start}"
        remedy = "let the recording start at 0 or later"
        findings.append((why, "check_negative_spike_times", remedy))
    if findings and profile == "neo":
        reasons = " and ".join(why for why, _, _ in findings)
        raise InputValueError(
            f"profile='neo' cannot keep {reasons}; write profile='dandi'"
        )
    return findings


def _unobserved(recording: Recording) -> list[tuple[str, str, str]]:
    """Return what NWB Inspector reports about spikes in no segment, if there are."""
    segments, raster = recording.segments, recording.raster
    starts, stops = (segments[name].to_numpy() for name in ("start_bin", "stop_bin"))
    # No segment at all: the file says that everything was observed.
    if not len(segments) or (stops - starts).sum() == raster.n_time_bins:
        return []
    before = raster.cumulative_counts(np.column_stack([starts, stops]).ravel())
    n_inside = (before[:, 1::2] - before[:, ::2]).sum()
    n_outside = int(raster.spike_counts().sum() - n_inside)
    if not n_outside:
        return []
    return [
        (
            f"{n_outside} spikes lie in no segment",
            "check_spike_times_not_in_unobserved_interval",
            "select(phase=...) to leave them out",
        )
    ]


def _check_table(table: pd.DataFrame, kind: str) -> None:
    _check_texts(map(str, table), f"a name of a column of {kind}")
    for name in table:
        if table[name].dtype == "str":
            _check_texts(table[name].to_list(), f"column {name!r} of {kind}")


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
