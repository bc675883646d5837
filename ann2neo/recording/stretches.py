"""Stretches of bins that a recording's files set side by side."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ann2neo.recording.recording import Recording
from ann2neo.recording.tables import Phase

__all__ = ["Stretch", "stretches"]

_UNOBSERVED = "in no phase"


class Stretch(NamedTuple):
    """Bins ``start_bin .. stop_bin - 1``, a phase or what lies between phases."""

    name: str
    start_bin: int
    stop_bin: int
    order: str
    is_phase: bool


def stretches(recording: Recording) -> Iterator[Stretch]:
    """Phases in order of time, and between them the stretches in no phase that hold
    spikes.

    At least one stretch comes, so that units have a place even where nothing was
    observed.
    """
    raster, position = recording.raster, 0
    phases = list(recording.iter_phases())
    end = Phase("", raster.n_time_bins, raster.n_time_bins, "unknown")
    for phase in [*phases, end]:
        between = raster.slice(position, phase.start_bin)
        if between.n_time_bins and between.spike_counts().any():
            yield Stretch(
                _UNOBSERVED, position, phase.start_bin, "unknown", is_phase=False
            )
        if phase is not end:
            yield Stretch(*phase, is_phase=True)
        position = phase.stop_bin
    if not phases and not raster.spike_counts().any():
        yield Stretch(_UNOBSERVED, 0, raster.n_time_bins, "unknown", is_phase=False)
