"""Counts of a block of units for the fast engine, each computed once and on demand."""

from __future__ import annotations

import math
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ann2neo.analysis._entry import FloatArray, IntArray
from ann2neo.raster import SegmentedRaster, SpikeRaster
from ann2neo.raster.spiketrains import to_spiketrains

__all__ = ["Counts", "Intervals", "Train"]


_FEW_SPIKES = 64
"""From so many bins per spike on, pairs are counted by spikes, not by bits."""

_LONG_TRAIN = 1024
"""Spikes from which a unit is measured on its own."""

_SPIKES_AT_ONCE = 1 << 14
"""Spikes whose intervals are measured together: arrays of 128 KiB, which stay in cache.
"""


class Intervals(NamedTuple):
    """Sums over the inter-spike intervals of each unit, in bins, shape (n_units,).

    With I_i the intervals inside segments: ``n_intervals`` is their number and
    ``n_pairs`` that of neighbours in one segment; ``total`` is the sum of I_i,
    ``squares`` that of I_i^2, ``contrast`` that of ``abs(r_i)`` and
    ``squared_contrast`` that of r_i^2, with ``r_i = (I_(i+1) - I_i) / (I_(i+1) +
    I_i)``. ``drift`` is the largest ``abs(N S_k - k K)`` over k, with S_k the spikes in
    the first k bins, one segment after another: an integer, so that ties are exact.
    """

    n_intervals: IntArray
    n_pairs: IntArray
    total: IntArray
    squares: IntArray
    contrast: FloatArray
    squared_contrast: FloatArray
    drift: IntArray


class Counts:
    """Counts of a block of units in one phase.

    Parameters
    ----------
    segments : SegmentedRaster or SpikeRaster
        The units' spikes in the phase; a SpikeRaster is one segment.
    window : int
        Length of a window, in bins.
    lags : int
        Number of lags of the Ljung-Box test.
    """

    def __init__(
        self, segments: SegmentedRaster | SpikeRaster, window: int, lags: int
    ) -> None:
        if isinstance(segments, SpikeRaster):
            segments = SegmentedRaster(segments)
        self.segments, self.window, self.lags = segments, window, lags
        self.raster = segments.raster
        self._lag_counts: IntArray = np.zeros((self.raster.n_units, 0), np.int64)
        self._end_counts = self._lag_counts

    @property
    def n_units(self) -> int:
        """Number of units."""
        return self.raster.n_units

    @property
    def n_time_bins(self) -> int:
        """N, the number of bins."""
        return self.raster.n_time_bins

    @property
    def n_windows(self) -> int:
        """n, the number of complete windows."""
        return self.segments.n_windows(self.window)

    @property
    def window_share(self) -> float:
        """N' / N, the share of the bins that lie in complete windows."""
        if not self.n_time_bins:
            return math.nan
        return self.n_windows * self.window / self.n_time_bins

    @cached_property
    def longest(self) -> Counts:
        """Counts of the longest segment alone."""
        if self.segments.n_segments == 1:
            return self
        return Counts(self.segments.longest, self.window, self.lags)

    @cached_property
    def n_spikes(self) -> IntArray:
        """K, the spikes of each unit, shape (n_units,)."""
        return self.raster.spike_counts()

    @cached_property
    def windows(self) -> IntArray:
        """c, the spikes in each window, shape (n_units, n_windows)."""
        return self.segments.window_counts(self.window)

    @cached_property
    def windowed_spikes(self) -> IntArray:
        """K', the spikes in complete windows, shape (n_units,)."""
        spikes: IntArray = self.windows.sum(axis=1)
        return spikes

    @cached_property
    def window_squares(self) -> IntArray:
        """S, the sum of squared window counts, shape (n_units,)."""
        squares: IntArray = np.einsum("uw,uw->u", self.windows, self.windows)
        return squares

    def lag_counts(self, max_lag: int) -> IntArray:
        """Pairs of spikes at lags 0 .. `max_lag`, shape (n_units, max_lag + 1)."""
        if not self.has_lags(max_lag):
            self._lag_counts = self._counted_lags(max_lag)
        return self._lag_counts[:, : max_lag + 1]

    def _counted_lags(self, max_lag: int) -> IntArray:
        few = self.n_spikes * _FEW_SPIKES <= self.n_time_bins
        if not few.any():
            return self.segments.lag_counts(max_lag)
        counts = np.zeros((self.n_units, max_lag + 1), np.int64)
        many = np.flatnonzero(~few)
        counts[many] = self.of_units(many).segments.lag_counts(max_lag)
        for unit in np.flatnonzero(few):
            bins = self.raster.spike_bins(int(unit))
            if self.segments.n_segments > 1:
                # Segments moved apart, so that no pair across a border is near.
                bins = bins + max_lag * self.segments.segment_of(bins)
            counts[unit] = _pairs_of_few(bins, max_lag)
        return counts

    def has_lags(self, max_lag: int) -> bool:
        """Whether `lag_counts` up to that lag have been counted."""
        return bool(self._lag_counts.shape[1] > max_lag)

    def end_counts(self, max_lag: int) -> IntArray:
        """Spikes without a partner at lags 0 .. `max_lag`, as `SegmentedRaster` has it.

        At lag k the first k bins of a segment have no partner before them, the last k
        none after them. Shape (n_units, max_lag + 1).
        """
        if self._end_counts.shape[1] <= max_lag:
            self._end_counts = self._counted_ends(max_lag)
        return self._end_counts[:, : max_lag + 1]

    def _counted_ends(self, max_lag: int) -> IntArray:
        if self.segments.n_segments > 1 or max_lag > self.n_time_bins:
            return self.segments.end_counts(max_lag)
        # One segment has two ends, which need no look at all words.
        head, tail = self.raster.head(max_lag), self.raster.tail(max_lag)
        ends = np.zeros((self.n_units, max_lag + 1), np.int64)
        ends[:, 1:] = np.cumsum(head, axis=1) + np.cumsum(tail[:, ::-1], axis=1)
        return ends

    def of_units(self, units: npt.NDArray[np.intp]) -> Counts:
        """Return the counts of some units alone."""
        if len(units) == self.n_units:
            return self
        raster = self.raster.take(units=units)
        return Counts(self.segments.with_raster(raster), self.window, self.lags)

    @cached_property
    def intervals(self) -> Intervals:
        """Sums over the inter-spike intervals."""
        n_intervals, n_pairs, total, squares, drift = np.zeros(
            (5, self.n_units), np.int64
        )
        contrast, squared = np.zeros((2, self.n_units))
        sums = Intervals(n_intervals, n_pairs, total, squares, contrast, squared, drift)
        is_long = self.n_spikes >= _LONG_TRAIN
        borders = self.segments.edges[1:-1]
        for unit in np.flatnonzero(is_long).tolist():
            for column, value in zip(
                sums, self._intervals_of_one(unit, borders), strict=True
            ):
                column[unit] = value
        active = np.flatnonzero((self.n_spikes > 0) & ~is_long)
        spikes = np.cumsum(self.n_spikes[active])
        # Units of few spikes together, so that few operations do for many of them.
        cuts = np.flatnonzero(np.diff(spikes // _SPIKES_AT_ONCE)) + 1
        for units in np.split(active, cuts):
            if len(units):
                for column, values in zip(sums, self._intervals_of(units), strict=True):
                    column[units] = values
        return sums

    def _intervals_of_one(
        self, unit: int, borders: IntArray
    ) -> tuple[int, int, int, int, float, float, int]:
        """Return the same of one unit of many spikes, in the order of `Intervals`.

        Sums over whole arrays are faster than sums over stretches of them.
        """
        bins, n_bins = self.raster.spike_bins(unit), self.n_time_bins
        n_spikes = len(bins)
        # N S_k - k K jumps up at a spike and falls between spikes, so its extremes lie
        # right before and right after spikes.
        before = np.arange(0, n_spikes * n_bins, n_bins)
        before -= bins * n_spikes
        drift = max(-int(before.min()), int(before.max()) + n_bins - n_spikes)
        steps = np.diff(bins)
        ratio = (steps[1:] - steps[:-1]) / (bins[2:] - bins[:-2])
        n_intervals, n_pairs = n_spikes - 1, n_spikes - 2
        if len(borders):
            # A border with k spikes before it lies between the spikes k - 1 and k.
            across = np.searchsorted(bins, borders)
            across = np.unique(across[(across > 0) & (across < n_spikes)]) - 1
            crosses = np.zeros(n_intervals, np.bool_)
            crosses[across] = True
            steps[crosses] = 0
            # Ratio i is of the intervals i and i + 1.
            touching = crosses[1:] | crosses[:-1]
            ratio[touching] = 0
            n_intervals -= len(across)
            n_pairs -= int(np.count_nonzero(touching))
        squared = float(ratio @ ratio)
        contrast = float(np.abs(ratio, out=ratio).sum())
        total, squares = int(steps.sum()), int(steps @ steps)
        return n_intervals, n_pairs, total, squares, contrast, squared, drift

    def _intervals_of(self, units: npt.NDArray[np.intp]) -> Intervals:
        """Return the same of a few units that have few spikes."""
        n_bins = self.n_time_bins
        n_spikes, bins = self.raster._spike_bins_of(units)
        # One train after another; `first` is where each begins.
        first = np.cumsum(n_spikes) - n_spikes
        before = np.arange(0, len(bins) * n_bins, n_bins)
        before -= bins * np.repeat(n_spikes, n_spikes)
        lowest = np.minimum.reduceat(before, first) - first * n_bins
        highest = np.maximum.reduceat(before, first) - first * n_bins
        # Interval i begins with spike i; that of a train's or a segment's last spike
        # leads out of it and counts as 0, and so do the pairs it is one of.
        last = first + n_spikes - 1
        if self.segments.n_segments > 1:
            segment = self.segments.segment_of(bins)
            last = np.union1d(last, np.flatnonzero(segment[1:] != segment[:-1]))
        unpaired = np.union1d(last, last - 1)
        steps = np.empty(len(bins), np.int64)
        np.subtract(bins[1:], bins[:-1], out=steps[:-1])
        steps[last] = 0
        ratio = np.empty(len(bins))
        np.subtract(steps[1:], steps[:-1], out=ratio[:-1])
        ratio[:-1] /= np.maximum(steps[1:] + steps[:-1], 1)
        ratio[unpaired] = 0
        return Intervals(
            n_spikes - _within(last, first, n_spikes),
            n_spikes - _within(unpaired, first, n_spikes),
            np.add.reduceat(steps, first),
            np.add.reduceat(steps * steps, first),
            np.add.reduceat(np.abs(ratio), first),
            np.add.reduceat(ratio * ratio, first),
            np.maximum(-lowest, highest + n_bins - n_spikes),
        )


def _within(places: IntArray, first: IntArray, lengths: IntArray) -> IntArray:
    """Count the places, ascending, in each stretch of that first place and length."""
    counts: IntArray = np.diff(
        np.searchsorted(places, np.stack([first, first + lengths], axis=1)), axis=1
    )[:, 0]
    return counts


def _pairs_of_few(bins: IntArray, max_lag: int) -> IntArray:
    """Count the pairs of a few spikes at each lag, by spikes instead of bins."""
    counts = np.zeros(max_lag + 1, np.int64)
    counts[0] = len(bins)
    # Each spike with the next, with the one after that, and so on, until none is near.
    for step in range(1, len(bins)):
        distance = bins[step:] - bins[:-step]
        near = distance[distance <= max_lag]
        if not len(near):
            break
        counts += np.bincount(near, minlength=max_lag + 1)
    return counts


class Train:
    """One unit in one phase, for the libraries of the reference engine.

    Parameters
    ----------
    counts : Counts
        Counts of this one unit, with the settings.
    """

    def __init__(self, counts: Counts) -> None:
        self.counts = counts
        self.window, self.lags = counts.window, counts.lags

    @property
    def n_time_bins(self) -> int:
        """N, the number of bins."""
        return self.counts.n_time_bins

    @cached_property
    def segments(self) -> list[SpikeRaster]:
        """The unit's raster in each segment."""
        return self.counts.segments.parts()

    @cached_property
    def spiketrains(self) -> list[Any]:
        """The unit in each segment as a neo.SpikeTrain."""
        return [to_spiketrains(segment)[0] for segment in self.segments]

    @cached_property
    def series(self) -> FloatArray:
        """The unit's bins as numbers 0 and 1, shape (n_time_bins,)."""
        series: FloatArray = self.counts.raster.to_dense()[0].astype(np.float64)
        return series

    @cached_property
    def pieces(self) -> list[FloatArray]:
        """The same, cut into its segments."""
        return np.split(self.series, self.counts.segments.edges[1:-1])

    @cached_property
    def window_spiketrains(self) -> list[Any]:
        """The complete windows of all segments."""
        windows = []
        for segment, spiketrain in zip(self.segments, self.spiketrains, strict=True):
            n_windows = segment.n_time_bins // self.window
            edges = segment.bin_edge_seconds(np.arange(n_windows + 1) * self.window)
            unit = spiketrain.units
            windows += [
                spiketrain.time_slice(start * unit, stop * unit)
                for start, stop in pairwise(edges)
            ]
        return windows

    def autocovariance(self, lag: int) -> float:
        """Sum of ``(x(t) - p) (x(t + lag) - p)`` over the pairs inside segments."""
        mean = self.series.mean()
        return float(
            sum((piece[lag:] - mean) @ (piece[:-lag] - mean) for piece in self.pieces)
        )
