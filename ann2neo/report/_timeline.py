"""Where the bins of a phase lie along the axis of time of a figure."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from ann2neo.analysis._entry import FloatArray, IntArray
from ann2neo.raster import SegmentedRaster
from ann2neo.recording import Recording
from ann2neo.recording.segments import SegmentedPhase
from ann2neo.report._recorded import is_network

__all__ = ["Timeline", "timeline_of"]

_LEAST_OBSERVED = 0.5
"""Gaps are drawn to scale where at least this share of the time was observed."""
_LONG = 10
"""Time is told in s above this many seconds, in ms below."""


@dataclasses.dataclass(frozen=True)
class Timeline:
    """Places of bins along an axis of time, counted in bins from its start.

    Parameters
    ----------
    edges : ndarray of int64, shape (n_segments + 1,)
        First bin of each segment in the joined raster, then the number of bins.
    offsets : ndarray of int64, shape (n_segments,)
        Place of the first bin of each segment.
    start, scale : float
        Value of the axis at place 0, and the length of a bin.
    label : str
        What the axis says.
    times : ndarray of float, shape (n_segments,), optional
        What to write where the segments begin, if the axis itself tells no time.
    """

    edges: IntArray
    offsets: IntArray
    start: float
    scale: float
    label: str
    times: FloatArray | None = None

    @property
    def n_places(self) -> int:
        """Number of bins from the first to the last one, gaps included."""
        return int(self.offsets[-1] + self.edges[-1] - self.edges[-2])

    def x(self, places: npt.NDArray[Any]) -> FloatArray:
        """Return the values of the axis at places."""
        return np.asarray(self.start + places * self.scale, np.float64)

    def places(self, bins: IntArray) -> IntArray:
        """Return the places of bins of the joined raster."""
        segment = np.searchsorted(self.edges, bins, side="right") - 1
        return bins - self.edges[segment] + self.offsets[segment]

    def bins_before(self, places: IntArray) -> IntArray:
        """Return how many bins of the joined raster lie before places."""
        segment = np.searchsorted(self.offsets, places, side="right") - 1
        lengths = np.diff(self.edges)
        inside = np.minimum(places - self.offsets[segment], lengths[segment])
        before: IntArray = self.edges[segment] + inside
        return before

    @property
    def gaps(self) -> IntArray:
        """Places where unobserved stretches start and stop, shape (n_gaps, 2)."""
        stops = self.offsets + np.diff(self.edges)
        is_gap = self.offsets[1:] > stops[:-1]
        return np.column_stack([stops[:-1][is_gap], self.offsets[1:][is_gap]])

    @property
    def borders(self) -> IntArray:
        """Places where a segment begins right after another one."""
        stops = self.offsets + np.diff(self.edges)
        adjoins: IntArray = self.offsets[1:][self.offsets[1:] == stops[:-1]]
        return adjoins


def timeline_of(
    recording: Recording, phase: SegmentedPhase, segmented: SegmentedRaster
) -> Timeline:
    """Lay the segments of a phase out in time.

    Their clocks count where they run on from one segment to the next, with gaps to
    scale unless more than half of the time was not observed. Else the segments stand
    side by side.

    Parameters
    ----------
    recording : Recording
        The recording.
    phase : SegmentedPhase
        The phase.
    segmented : SegmentedRaster
        Its spikes.

    Returns
    -------
    Timeline
        In s for neurons and long recordings, else in ms.
    """
    raster, edges = segmented.raster, segmented.edges
    table = recording.segments
    clock = table.loc[table["phase"] == phase.phase, "t_start"].to_numpy()
    period = raster.sampling_period_seconds
    offsets = np.rint((clock - clock[0]) / period).astype(np.int64)
    is_one_clock = bool((offsets[1:] >= (offsets + segmented.lengths)[:-1]).all())
    span = int(offsets[-1] + segmented.lengths[-1])
    in_seconds = not is_network(recording) or period * segmented.n_time_bins > _LONG
    unit, factor = ("s", 1.0) if in_seconds else ("ms", 1000.0)
    if is_one_clock and segmented.n_time_bins >= _LEAST_OBSERVED * span:
        start = float(clock[0]) * factor
        return Timeline(edges, offsets, start, period * factor, f"Time ({unit})")
    side_by_side = edges[:-1]
    if is_one_clock:
        label = f"Time ({unit}), gaps left out"
        return Timeline(
            edges, side_by_side, 0.0, period * factor, label, clock * factor
        )
    return Timeline(
        edges, side_by_side, 0.0, period * factor, f"Observed time ({unit})"
    )
