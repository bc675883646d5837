"""Which phases of a recording an analysis is about."""

from __future__ import annotations

from typing import Any

from ann2neo.errors import InputValueError
from ann2neo.recording import checked_recording
from ann2neo.recording.tables import Phase

__all__ = ["one_phase", "phases_of"]


def phases_of(recording: Any, caller: str) -> list[Phase]:
    """Phases of a recording, in order of time.

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
        If it is no Recording.
    InputValueError
        If there is nothing to analyse in it.
    """
    phases = list(checked_recording(recording, caller).iter_phases())
    if not phases or not all(phase.n_time_bins for phase in phases):
        msg = f"{caller} needs a phase with at least one time bin, got "
        raise InputValueError(
            msg + f"{recording}; give the recording a table of phases"
        )
    return phases


def one_phase(recording: Any, phase: str | None, caller: str) -> Phase:
    """The phase asked for, or the only one there is.

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
    phases = phases_of(recording, caller)
    names = ", ".join(repr(row.phase) for row in phases)
    if phase is None:
        if len(phases) != 1:
            raise InputValueError(
                f"say which phase, as phase=...; this recording has {names}"
            )
        return phases[0]
    for row in phases:
        if row.phase == phase:
            return row
    raise InputValueError(f"unknown phase {phase!r}; this recording has {names}")
