"""What a recording is of: a network or neurons, trials or segments, which kinds."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ann2neo.analysis.populations.labels import has_labels
from ann2neo.recording import Recording
from ann2neo.recording.segments import SegmentedPhase
from ann2neo.recording.tables import DEFAULT_KIND, network_columns, unit_names

__all__ = [
    "is_network",
    "labelled_kind",
    "lag_scale",
    "names_of_units",
    "presentations_in",
    "segment_noun",
]


def is_network(recording: Recording) -> bool:
    """Tell whether the units are those of a network, with a layer each."""
    return bool(network_columns(recording.units))


def names_of_units(recording: Recording) -> list[str]:
    """Return short names of units: those the source gave them, else their numbers."""
    return [name.removeprefix("unit ") for name in unit_names(recording.units)]


def lag_scale(recording: Recording) -> tuple[float, str]:
    """Return what a bin is along an axis of lags, and its unit."""
    if is_network(recording):
        return 1.0, "bins"
    return 1000 * recording.raster.sampling_period_seconds, "ms"


def presentations_in(
    recording: Recording, phase: SegmentedPhase, kind: str | None = None
) -> pd.DataFrame:
    """Return the presentations of a phase, of one kind or of all."""
    table = recording.presentations
    here = table["phase"] == phase.phase
    if kind is not None:
        here &= table["kind"] == kind
    return table[here]


def labelled_kind(recording: Recording, phase: SegmentedPhase) -> str | None:
    """Return the kind of presentations whose labels are shown; None without labels.

    Trials, if they have labels, else the kind with the most presentations that have.
    """
    kinds = presentations_in(recording, phase)["kind"].value_counts()
    labelled = [str(kind) for kind in kinds.index if has_labels(recording, phase, kind)]
    if DEFAULT_KIND in labelled:
        return DEFAULT_KIND
    return next(iter(labelled), None)


def segment_noun(
    recording: Recording, phase: SegmentedPhase, kind: str | None = None
) -> str:
    """Return "trials" if every segment holds one presentation, else "segments"."""
    trials = presentations_in(recording, phase, kind or DEFAULT_KIND)
    place = np.searchsorted(phase.starts, trials["start_bin"], side="right") - 1
    one_each = np.array_equal(place, np.arange(phase.n_segments))
    return "trials" if one_each and phase.n_segments > 1 else "segments"
