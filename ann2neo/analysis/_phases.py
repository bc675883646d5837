"""The phases of a recording that an analysis is about, and their counting windows."""

from __future__ import annotations

import warnings
from collections.abc import Collection
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ann2neo._checks import whole_number
from ann2neo.analysis._entry import IntArray
from ann2neo.errors import InputValueError
from ann2neo.recording import Recording, checked_recording
from ann2neo.recording.segments import SegmentedPhase, segmented_phases

__all__ = [
    "FewWindowsWarning",
    "is_shuffled",
    "lags_for",
    "one_phase",
    "phase_named",
    "phases_of",
    "table_of_units",
    "window_for",
]

_MIN_WINDOWS = 10
_DEFAULT_LAGS = 10
_PERCENT_IN_WINDOWS = 90
"""Percent of a phase's bins in segments that are long enough for the default window."""


class FewWindowsWarning(UserWarning):
    """The window asked for leaves fewer than ten windows."""


def phases_of(recording: Any, caller: str) -> list[SegmentedPhase]:
    """Return the phases of a recording, in order of time.

    Parameters
    ----------
    recording : Recording
        What a user passed.
    caller : str
        Name of the function it was passed to, for messages.

    Returns
    -------
    list of SegmentedPhase
        At least one, each with at least one bin.

    Raises
    ------
    InputTypeError
        If `recording` is not a Recording.
    InputValueError
        If it has no phase, or a phase without a time bin.
    """
    phases = segmented_phases(checked_recording(recording, caller))
    if not phases or not all(phase.n_time_bins for phase in phases):
        raise InputValueError(
            f"{caller} needs a phase with at least one time bin, got {recording}; give"
            " the recording a table of phases"
        )
    return phases


def one_phase(recording: Any, phase: str | None, caller: str) -> SegmentedPhase:
    """Return the phase asked for, or the only phase of a recording.

    Parameters
    ----------
    recording, caller
        As in `phases_of`.
    phase : str, optional
        Name of a phase.

    Returns
    -------
    SegmentedPhase
        The phase.

    Raises
    ------
    InputTypeError, InputValueError
        As `phases_of`; also if `phase` is unknown, or None where there are several.
    """
    phases = {row.phase: row for row in phases_of(recording, caller)}
    return phases[phase_named(phase, phases, "recording")]


def phase_named(phase: str | None, phases: Collection[str], owner: str) -> str:
    """Return the name of the phase asked for, or of the only one.

    Parameters
    ----------
    phase : str, optional
        The name asked for.
    phases : collection of str
        The names to choose from.
    owner : str
        What has these phases, for messages.

    Raises
    ------
    InputValueError
        If the name is unknown, or None where there are several.
    """
    names = ", ".join(map(repr, phases))
    if phase is None and len(phases) != 1:
        raise InputValueError(
            f"say which phase, as phase=...; this {owner} has {names}"
        )
    name = next(iter(phases)) if phase is None else phase
    if name not in phases:
        raise InputValueError(f"unknown phase {name!r}; this {owner} has {names}")
    return name


def is_shuffled(recording: Recording, phase: SegmentedPhase) -> bool:
    """Tell whether a random order of the stimuli settles every test of order.

    It does where each presentation is one bin: inside a longer one, time runs on.

    Parameters
    ----------
    recording : Recording
        The recording.
    phase : SegmentedPhase
        One of its phases.
    """
    table = recording.presentations
    table = table[table["phase"] == phase.phase]
    is_one_bin = table["stop_bin"] - table["start_bin"] == 1
    return phase.order == "random" and bool(is_one_bin.all())


def table_of_units(
    table: pd.DataFrame, units: npt.ArrayLike, phase: SegmentedPhase
) -> pd.DataFrame:
    """Return a table of units with the columns ``unit`` and ``phase`` in front."""
    place = pd.DataFrame({"unit": units, "phase": [phase.phase] * len(table)})
    return pd.concat([place.astype({"phase": "str"}), table], axis=1)


def window_for(window: int | None, lengths: IntArray) -> int:
    """Return the length of the counting windows of a phase.

    Parameters
    ----------
    window : int, optional
        Length asked for; ``max(2, min(100, N // 10, L))`` if not given, with N the bins
        of the phase, and L the largest length such that segments of at least L bins
        hold 90 % of them.
    lengths : ndarray of int64, shape (n_segments,)
        Bins of each segment of the phase.

    Returns
    -------
    int
        The window asked for, however few windows it leaves.

    Raises
    ------
    InputTypeError, InputValueError
        If `window` is not a positive whole number.

    Warns
    -----
    FewWindowsWarning
        If the window asked for leaves fewer than ten windows.
    """
    n_time_bins = int(lengths.sum())
    if window is None:
        # Ten windows or more where there are 20 bins; one bin alone cannot disperse.
        return max(2, min(100, n_time_bins // 10, _common_length(lengths)))
    length = whole_number(window, "window", noun="bins")
    n_windows = int((lengths // length).sum())
    if n_windows < _MIN_WINDOWS:
        inside = "" if len(lengths) == 1 else f" of {len(lengths)} segments"
        warnings.warn(
            f"a window of {length} bins leaves {n_windows} windows in {n_time_bins}"
            f" bins{inside}; Fano factor and dispersion say little below"
            f" {_MIN_WINDOWS} windows: shorten the window, or leave it out",
            FewWindowsWarning,
            # Past this function and the public one, to the user's line.
            stacklevel=3,
        )
    return length


def lags_for(lags: int | None, lengths: IntArray) -> int:
    """Return the number of lags of a phase: those asked for, else up to ten.

    Parameters
    ----------
    lags : int, optional
        Lags asked for; ``min(10, N_s - 1)`` if not given, with N_s the bins of the
        longest segment, and at least one.
    lengths : ndarray of int64, shape (n_segments,)
        Bins of each segment of the phase.

    Returns
    -------
    int
        Number of lags.

    Raises
    ------
    InputTypeError, InputValueError
        If `lags` is not a positive whole number.
    """
    if lags is None:
        return max(1, min(_DEFAULT_LAGS, int(lengths.max(initial=0)) - 1))
    return whole_number(lags, "lags", noun="lags")


def _common_length(lengths: IntArray) -> int:
    """Return the largest length L of segments that together hold 90 % of the bins."""
    descending = np.sort(lengths)[::-1]
    held = np.cumsum(descending)
    if not len(held):
        return 0
    # In whole numbers, as 0.9 of a number of bins would round.
    enough = 100 * held >= _PERCENT_IN_WINDOWS * held[-1]
    return int(descending[np.argmax(enough)])
