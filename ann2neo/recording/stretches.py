"""Stretches of time that files keep side by side."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ann2neo.recording.recording import Recording
from ann2neo.recording.tables import Phase

__all__ = ["Stretch", "stretches"]


class Stretch(NamedTuple):
    """Bins ``start_bin .. stop_bin - 1``, a phase or what lies between phases."""

    name: str
    start_bin: int
    stop_bin: int
    order: str
    is_phase: bool


def stretches(recording: Recording) -> Iterator[Stretch]:
    """Yield phases, and the stretches in no phase that hold spikes, in order of time.

    A recording without phases is one stretch, spikes or not, so that its units have a
    place in the file.
    """
    raster, position = recording.raster, 0
    phases = list(recording.iter_phases())
    # An empty phase at the end, so that the loop sees the bins after the last one.
    end = Phase("", raster.n_time_bins, raster.n_time_bins, "unknown")
    for phase in [*phases, end]:
        between = raster.slice(position, phase.start_bin)
        if not phases or between.spike_counts().any():
            yield Stretch(
                "in no phase", position, phase.start_bin, "unknown", is_phase=False
            )
        if phase is not end:
            yield Stretch(*phase, is_phase=True)
        position = phase.stop_bin
