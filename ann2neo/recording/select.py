"""Selection of units, phases and presentations, and their order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ann2neo.errors import InputValueError
from ann2neo.raster import SpikeRaster
from ann2neo.raster.spike_raster import as_index
from ann2neo.recording.tables import Phase, phase_table, shifted

if TYPE_CHECKING:
    from ann2neo.recording.recording import Recording

__all__ = [
    "Choice",
    "in_stimulus_order",
    "select_phases",
    "select_presentations",
    "select_units",
]

Choice = npt.ArrayLike | Callable[[pd.DataFrame], Any]
"""Rows of a table: indices, a mask, or a function of the table that returns them."""


def select_units(recording: Recording, units: Choice) -> Recording:
    """Keep some units, in the order given."""
    table = recording.units
    index = _rows(units, table, "units")
    return recording._derived(
        recording.raster.take(units=index), units=table.iloc[index], by=("units", index)
    )


def select_phases(recording: Recording, names: Sequence[str]) -> Recording:
    """Keep some phases, one directly after another in order of time."""
    selected = {recording._known_phase(name).phase for name in names}
    parts, moved, shifts, position = [], [], {}, 0
    # `shifts` says how many bins each phase moves, its presentations with it.
    for phase in recording.iter_phases():
        if phase.phase in selected:
            parts.append(recording.raster.slice(phase.start_bin, phase.stop_bin))
            stop = position + phase.n_time_bins
            moved.append(phase._replace(start_bin=position, stop_bin=stop))
            shifts[phase.phase] = position - phase.start_bin
            position = stop
    presentations = recording.presentations
    presentations = presentations[presentations["phase"].isin(selected)]
    return recording._derived(
        SpikeRaster.concatenate(parts),
        presentations=shifted(
            presentations, presentations["phase"].map(shifts).to_numpy(np.int64)
        ),
        phases=phase_table(moved),
        by=("phases", *names),
    )


def select_presentations(
    recording: Recording, label: Any, presentations: Choice | None
) -> Recording:
    """Keep the presentations that have one of the labels and are among those chosen."""
    table = recording.presentations
    keep = np.ones(len(table), np.bool_)
    if label is not None:
        if "label" not in table:
            raise InputValueError(
                "this recording has no labels; record it with labels=, or select"
                " presentations="
            )
        labels = [label] if np.isscalar(label) else list(label)
        existing = set(table["label"])
        missing = [value for value in labels if value not in existing]
        if missing:
            valid = ", ".join(map(repr, sorted(existing)[:20]))
            raise InputValueError(
                f"no presentation has the label {missing[0]!r}; there are {valid}"
            )
        keep &= table["label"].isin(labels).to_numpy()
    if presentations is not None:
        index = _rows(presentations, table, "presentations")
        keep &= np.isin(np.arange(len(table)), index)
    if not keep.any():
        raise InputValueError(
            "this selection leaves no presentation; select more labels or presentations"
        )
    return _side_by_side(
        recording, np.flatnonzero(keep), recording.phases["order"], "presentations"
    )


def in_stimulus_order(recording: Recording) -> Recording:
    """Sort the presentations of each phase by their ``stimulus_id``."""
    presentations, phases = recording.presentations, recording.phases["phase"]
    if "stimulus_id" not in presentations:
        raise InputValueError(
            "this recording has no stimulus_id, so its order cannot be undone; record"
            " it with stimulus_id="
        )
    rank = presentations["phase"].map({name: i for i, name in enumerate(phases)})
    # The last key counts first: by phase, and within a phase by stimulus.
    index = np.lexsort((presentations["stimulus_id"].to_numpy(), rank.to_numpy()))
    return _side_by_side(recording, index, ["stored"] * len(phases), "stimulus order")


def _side_by_side(
    recording: Recording, index: npt.NDArray[np.intp], orders: Iterable[str], by: str
) -> Recording:
    """Set presentations, grouped by phase, side by side; drop all other bins."""
    table = recording.presentations.iloc[index].reset_index(drop=True)
    start, stop = table["start_bin"].to_numpy(), table["stop_bin"].to_numpy()
    length = stop - start
    edges = np.concatenate([[0], np.cumsum(length)])
    # Bins start[i] .. stop[i] - 1 of all presentations in one array, without a loop:
    # the new bin plus the distance that its presentation moved.
    bins = np.repeat(start - edges[:-1], length) + np.arange(edges[-1])
    if len(np.unique(bins)) != len(bins):
        raise InputValueError(
            "presentations overlap in time, so they cannot be set side by side; select"
            " phases"
        )
    table = table.assign(start_bin=edges[:-1], stop_bin=edges[1:])
    phases = []
    for name, order in zip(recording.phases["phase"], orders, strict=True):
        here = table.loc[table["phase"] == name]
        if len(here):
            first, last = here["start_bin"].iloc[0], here["stop_bin"].iloc[-1]
            phases.append(Phase(name, int(first), int(last), order))
    return recording._derived(
        recording.raster.take(bins=bins),
        presentations=table,
        phases=phase_table(phases),
        by=(by, bins),
    )


def _rows(chosen: Choice, table: pd.DataFrame, name: str) -> npt.NDArray[np.int64]:
    rows = chosen(table) if callable(chosen) else chosen
    return as_index(rows, len(table), name)
