"""Rasters of several segments of time, whose borders no count crosses."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Self

import numpy as np
import numpy.typing as npt

from ann2neo.raster.bits import bin_mask
from ann2neo.raster.spike_raster import IntArray, SpikeRaster

__all__ = ["SegmentedRaster"]


class SegmentedRaster:
    """Spikes of units in segments of time that are analysed together.

    Windows, lags and intervals lie inside one segment each.

    Parameters
    ----------
    raster : SpikeRaster
        The bins of all segments, one segment after another.
    edges : array_like of int, shape (n_segments + 1,), optional
        First bin of each segment in `raster`, then the number of bins; one segment if
        not given.

    Examples
    --------
    >>> raster = SpikeRaster.from_dense([[1, 0, 1, 1, 0, 1]])
    >>> SegmentedRaster(raster, [0, 3, 6]).lag_counts(1)  # the pair 2, 3 is no pair
    array([[4, 0]])
    """

    def __init__(self, raster: SpikeRaster, edges: npt.ArrayLike | None = None) -> None:
        self.raster = raster
        self.edges: IntArray = np.asarray(
            [0, raster.n_time_bins] if edges is None else edges, np.int64
        )

    @classmethod
    def cut(cls, raster: SpikeRaster, starts: IntArray, stops: IntArray) -> Self:
        """Cut segments out of a raster and set them side by side.

        Parameters
        ----------
        raster : SpikeRaster
            The spikes.
        starts, stops : ndarray of int64, shape (n_segments,)
            Bins ``starts[i] .. stops[i] - 1`` make segment i.

        Returns
        -------
        SegmentedRaster
            The segments; it shares the bits where they are the whole raster.
        """
        edges = np.concatenate([[0], np.cumsum(stops - starts)])
        return cls(raster.join(starts, stops), edges)

    # -- shape
    # ----------------------------------------------------------------------------------

    @property
    def n_units(self) -> int:
        """Number of units."""
        return self.raster.n_units

    @property
    def n_time_bins(self) -> int:
        """Number of bins of all segments."""
        return self.raster.n_time_bins

    @property
    def n_segments(self) -> int:
        """Number of segments."""
        return len(self.edges) - 1

    @cached_property
    def lengths(self) -> IntArray:
        """Bins of each segment, shape (n_segments,)."""
        return np.diff(self.edges)

    @property
    def longest(self) -> SegmentedRaster:
        """The longest segment alone, the first of those that are equally long."""
        if self.n_segments == 1:
            return self
        segment = int(np.argmax(self.lengths))
        start, stop = self.edges[segment : segment + 2].tolist()
        return SegmentedRaster(self.raster.slice(start, stop))

    def with_raster(self, raster: SpikeRaster) -> SegmentedRaster:
        """Return other spikes, or other units, in the same segments."""
        return SegmentedRaster(raster, self.edges)

    def parts(self) -> list[SpikeRaster]:
        """Return the raster of each segment, in their order."""
        bounds = zip(self.edges[:-1].tolist(), self.edges[1:].tolist(), strict=True)
        return [self.raster.slice(start, stop) for start, stop in bounds]

    def unit_blocks(self, max_bytes: int) -> Iterator[tuple[slice, SegmentedRaster]]:
        """Cut it into blocks of consecutive units, as `SpikeRaster.unit_blocks`."""
        for units, block in self.raster.unit_blocks(max_bytes):
            yield units, self.with_raster(block)

    # -- counts
    # ----------------------------------------------------------------------------------

    def n_windows(self, window: int) -> int:
        """Return the number of complete windows of `window` bins in all segments."""
        return int((self.lengths // window).sum())

    def window_edges(self, window: int) -> tuple[IntArray, npt.NDArray[np.bool_]]:
        """Return the edges of the complete windows in each segment.

        Returns
        -------
        edges : ndarray of int64
            For each segment in turn the first bin of its windows, and the bin after
            the last window.
        is_window : ndarray of bool, one shorter
            Whether the bins between an edge and the next are a window; False between
            two segments.
        """
        n_windows = self.lengths // window
        n_edges = n_windows + 1
        first = np.concatenate([[0], np.cumsum(n_edges)])
        number = np.arange(first[-1]) - np.repeat(first[:-1], n_edges)
        edges = np.repeat(self.edges[:-1], n_edges) + number * window
        is_window = np.ones(max(0, len(edges) - 1), np.bool_)
        is_window[first[1:-1] - 1] = False
        return edges, is_window

    def window_counts(self, window: int) -> IntArray:
        """Count the spikes of each unit in the complete windows of each segment.

        Parameters
        ----------
        window : int
            Length of a window, in bins; bins of a segment after its last whole window
            are left out.

        Returns
        -------
        ndarray of int64, shape (n_units, n_windows)
            Spikes per window, segment by segment.
        """
        if self.n_segments == 1:
            return self.raster.window_counts(window)
        edges, is_window = self.window_edges(window)
        # Differences of cumulative counts, since windows need not begin at whole words.
        before = self.raster.cumulative_counts(edges)
        return np.diff(before, axis=1)[:, is_window]

    def n_pairs(self, max_lag: int) -> IntArray:
        """Return n_k, the pairs of bins at each lag: the sum of max(0, N_s - k).

        Returns
        -------
        ndarray of int64, shape (max_lag + 1,)
            n_0 is the number of bins.
        """
        lags = np.arange(max_lag + 1)
        # N_s - k summed over the segments that are longer than k: sorted by length,
        # those are the last ones.
        lengths = np.sort(self.lengths)
        first = np.searchsorted(lengths, lags, side="right")
        held = np.concatenate([[0], np.cumsum(lengths[::-1])])
        n_longer = len(lengths) - first
        pairs: IntArray = held[n_longer] - lags * n_longer
        return pairs

    def lag_counts(self, max_lag: int) -> IntArray:
        """Count the pairs of spikes of each unit at each lag, inside segments.

        Parameters
        ----------
        max_lag : int
            Largest lag, in bins.

        Returns
        -------
        ndarray of int64, shape (n_units, max_lag + 1)
            ``sum over t of x(t) x(t + lag)``, t and t + lag in one segment; column 0 is
            the spike count.
        """
        return self.raster.lag_counts(max_lag, self.edges[1:-1])

    def end_counts(self, max_lag: int) -> IntArray:
        """Count the spikes that have no partner before, or none after them.

        Parameters
        ----------
        max_lag : int
            Largest lag k, in bins.

        Returns
        -------
        ndarray of int64, shape (n_units, max_lag + 1)
            Spikes in the first k bins of a segment plus spikes in its last k bins; a
            spike in both, or in a segment of k bins or fewer, counts twice.
        """
        counts = np.zeros((self.n_units, max_lag + 1), np.int64)
        heads, tails = np.zeros((2, self.raster._n_words), np.uint64)
        starts, stops = self.edges[:-1], self.edges[1:]
        for lag in range(1, max_lag + 1):
            # A bin beyond a short segment lies in a later one, within `lag` bins of
            # that one's start, too: the sets of bins are right without looking at the
            # lengths.
            bin_mask(heads, starts + lag - 1, self.n_time_bins)
            bin_mask(tails, stops - lag, self.n_time_bins)
            counts[:, lag] = self.raster._counts_in(heads) + self.raster._counts_in(
                tails
            )
        return counts

    def segment_counts(self) -> IntArray:
        """Count the spikes of each unit in each segment, (n_units, n_segments)."""
        return np.diff(self.raster.cumulative_counts(self.edges), axis=1)

    def segment_of(self, bins: IntArray) -> IntArray:
        """Return the number of the segment that each bin lies in."""
        return np.searchsorted(self.edges, bins, side="right") - 1
