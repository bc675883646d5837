"""Stretches of time that files keep side by side."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ann2neo.recording.recording import Recording
from ann2neo.recording.segments import Segment

__all__ = ["Stretch", "stretches"]


class Stretch(NamedTuple):
    """Bins ``start_bin .. stop_bin - 1``, a segment or what lies between segments.

    ``name`` is that of the phase, ``t_start`` the time of the first bin in s on the
    segment's own clock.
    """

    name: str
    start_bin: int
    stop_bin: int
    order: str
    t_start: float
    is_segment: bool


def stretches(recording: Recording) -> Iterator[Stretch]:
    """Yield segments, and the stretches in none that hold spikes, in order of time.

    A recording without segments is one stretch, spikes or not, so that its units have
    a place in the file.
    """
    raster, position = recording.raster, 0
    segments = list(recording.iter_segments())
    # An empty segment at the end, so that the loop sees the bins after the last one.
    end = Segment(raster.n_time_bins, raster.n_time_bins, "", "unknown", 0.0)
    for segment in [*segments, end]:
        if segment.start_bin > position or not segments:
            between = raster.slice(position, segment.start_bin)
            if not segments or between.spike_counts().any():
                yield Stretch(
                    "in no phase",
                    position,
                    segment.start_bin,
                    "unknown",
                    float(raster.bin_edge_seconds(position)),
                    is_segment=False,
                )
        if segment is not end:
            yield Stretch(
                segment.phase,
                segment.start_bin,
                segment.stop_bin,
                segment.order,
                segment.t_start,
                is_segment=True,
            )
        position = segment.stop_bin
