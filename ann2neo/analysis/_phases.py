"""The phases of a recording that an analysis is about, and their counting windows."""

from __future__ import annotations

import warnings
from collections.abc import Collection
from typing import Any

import numpy.typing as npt
import pandas as pd

from ann2neo._checks import whole_number
from ann2neo.errors import InputValueError
from ann2neo.recording import checked_recording
from ann2neo.recording.tables import Phase

__all__ = [
    "FewWindowsWarning",
    "one_phase",
    "phase_named",
    "phases_of",
    "table_of_units",
    "window_for",
]

_MIN_WINDOWS = 10


class FewWindowsWarning(UserWarning):
    """The window asked for leaves fewer than ten windows."""


def phases_of(recording: Any, caller: str) -> list[Phase]:
    """Return the phases of a recording, in order of time.

    Parameters
    ----------
    recording : Recording
        What a user passed.
    caller : str
        Name of the function it was passed to, for messages.

    Returns
    -------
    list of Phase
        At least one, each with at least one bin.

    Raises
    ------
    InputTypeError
        If `recording` is not a Recording.
    InputValueError
        If it has no phase, or a phase without a time bin.
    """
    phases = list(checked_recording(recording, caller).iter_phases())
    if not phases or not all(phase.n_time_bins for phase in phases):
        raise InputValueError(
            f"{caller} needs a phase with at least one time bin, got {recording}; give"
            " the recording a table of phases"
        )
    return phases


def one_phase(recording: Any, phase: str | None, caller: str) -> Phase:
    """Return the phase asked for, or the only phase of a recording.

    Parameters
    ----------
    recording, caller
        As in `phases_of`.
    phase : str, optional
        Name of a phase.

    Returns
    -------
    Phase
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


def table_of_units(
    table: pd.DataFrame, units: npt.ArrayLike, phase: Phase
) -> pd.DataFrame:
    """Return a table of units with the columns ``unit`` and ``phase`` in front."""
    place = pd.DataFrame({"unit": units, "phase": [phase.phase] * len(table)})
    return pd.concat([place.astype({"phase": "str"}), table], axis=1)


def window_for(window: int | None, n_time_bins: int) -> int:
    """Return the length of the counting windows of a phase.

    Parameters
    ----------
    window : int, optional
        Length asked for; ``min(100, max(2, N // 10))`` if not given.
    n_time_bins : int
        Bins of the phase, N.

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
    if window is None:
        # Ten windows or more where there are 20 bins; one bin alone cannot disperse.
        return min(100, max(2, n_time_bins // 10))
    length = whole_number(window, "window", noun="bins")
    n_windows = n_time_bins // length
    if n_windows < _MIN_WINDOWS:
        warnings.warn(
            f"a window of {length} bins leaves {n_windows} windows in {n_time_bins}"
            f" bins; Fano factor and dispersion say little below {_MIN_WINDOWS}"
            " windows: shorten the window, or leave it out",
            FewWindowsWarning,
            # Past this function and the public one, to the user's line.
            stacklevel=3,
        )
    return length
