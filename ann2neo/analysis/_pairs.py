"""Phases and units of two recordings that belong together."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from ann2neo.errors import InputValueError
from ann2neo.recording import Recording

__all__ = ["paired_phases", "why_unpaired"]


def paired_phases(first: Recording, second: Recording) -> Iterator[tuple[str, str]]:
    """Yield the names of phases of two recordings that are compared.

    Those of one name; where there are none, the only phase of each.

    Raises
    ------
    InputValueError
        If they share no name, and one has several phases or none.
    """
    names, others = (
        recording.phases["phase"].to_list() for recording in (first, second)
    )
    shared = [name for name in names if name in others]
    if shared:
        yield from ((name, name) for name in shared)
    elif len(names) == len(others) == 1:
        yield names[0], others[0]
    else:
        raise InputValueError(
            f"the recordings share no phase: {', '.join(names) or 'none'} and"
            f" {', '.join(others) or 'none'}; select one phase of each, or rename one"
            " with recording.with_phase_names"
        )


def why_unpaired(units: pd.DataFrame, others: pd.DataFrame) -> str:
    """Return why two tables of units are not of the same units; "" if they are."""
    if len(units) != len(others):
        return f"not the same units: {len(units)} and {len(others)}"
    # Two networks may differ in their thresholds, but not in the places of units.
    places = [name for name in units if name in others and name != "threshold"]
    here, there = (table[places].reset_index(drop=True) for table in (units, others))
    if not here.equals(there):
        return "not the same units: the tables of units differ"
    return ""
