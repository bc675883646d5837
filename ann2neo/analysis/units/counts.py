"""Counts: all that the fast engine needs of a block of units, each made once and only
when asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from ann2neo.raster import SpikeRaster
from ann2neo.raster.spiketrains import to_spiketrains

__all__ = ["Counts", "Intervals", "Train"]

Made = TypeVar("Made")
IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


class Intervals(NamedTuple):
    """Sums over the inter-spike intervals I of each unit, shape (n_units,), intervals
    in bins.

    ``drift`` is the largest ``abs(N S_k - k K)`` over k, with S_k the spikes in the
    first k bins: an integer, so that ties are ties.
    """

    total: IntArray
    squares: IntArray
    contrast: FloatArray
    squared_contrast: FloatArray
    drift: IntArray


class Counts:
    """Counts of a block of units in one phase.

    Parameters
    ----------
    raster : SpikeRaster
        The units' spikes in the phase.
    window : int
        Length of a window, in bins.
    lags : int
        Number of lags of the Ljung-Box test.
    """

    def __init__(self, raster: SpikeRaster, window: int, lags: int) -> None:
        self.raster, self.window, self.lags = raster, window, lags
        self._lag_counts: IntArray = np.zeros((raster.n_units, 0), np.int64)
        self._made: dict[str, Any] = {}

    def made_once(self, name: str, make: Callable[[Counts], Made]) -> Made:
        """What `make` gives for these counts, made at the first call for `name`."""
        if name not in self._made:
            self._made[name] = make(self)
        made: Made = self._made[name]
        return made

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
        return self.n_time_bins // self.window

    @cached_property
    def n_spikes(self) -> IntArray:
        """K, the spikes of each unit, shape (n_units,)."""
        return self.raster.spike_counts()

    @cached_property
    def windows(self) -> IntArray:
        """c, the spikes in each window, shape (n_units, n_windows)."""
        return self.raster.window_counts(self.window)

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
        if self._lag_counts.shape[1] <= max_lag:
            self._lag_counts = self.raster.lag_counts(max_lag)
        return self._lag_counts[:, : max_lag + 1]

    @cached_property
    def intervals(self) -> Intervals:
        """Sums over the inter-spike intervals."""
        n = self.n_units
        total, squares, drift = (
            np.zeros(n, np.int64),
            np.zeros(n, np.int64),
            np.zeros(n, np.int64),
        )
        contrast, squared = np.zeros(n), np.zeros(n)
        n_bins = self.n_time_bins
        rank = np.arange(n_bins + 1, dtype=np.int64) * n_bins
        for unit in range(n):
            bins = self.raster.spike_bins(unit)
            n_spikes = len(bins)
            if not n_spikes:
                continue
            # S_k - k p jumps up at a spike and falls between spikes, so its extremes
            # lie right before and after one.
            before = rank[:n_spikes] - bins * n_spikes
            drift[unit] = max(-int(before.min()), int(before.max()) + n_bins - n_spikes)
            steps = np.diff(bins)
            total[unit] = bins[-1] - bins[0]
            squares[unit] = steps @ steps
            if n_spikes >= 3:
                ratio = (steps[1:] - steps[:-1]) / (bins[2:] - bins[:-2])
                squared[unit] = ratio @ ratio
                contrast[unit] = np.abs(ratio, out=ratio).sum()
        return Intervals(total, squares, contrast, squared, drift)


class Train:
    """One unit in one phase, as the reference engine's libraries take it.

    Parameters
    ----------
    counts : Counts
        Counts of this one unit; settings are taken from there.
    """

    def __init__(self, counts: Counts) -> None:
        self.counts = counts
        self.window, self.lags = counts.window, counts.lags

    @property
    def n_time_bins(self) -> int:
        """N, the number of bins."""
        return self.counts.n_time_bins

    @cached_property
    def spiketrain(self) -> Any:
        """The unit as a neo.SpikeTrain."""
        return to_spiketrains(self.counts.raster)[0]

    @cached_property
    def series(self) -> FloatArray:
        """The unit's bins as numbers 0 and 1, shape (n_time_bins,)."""
        series: FloatArray = self.counts.raster.to_dense()[0].astype(np.float64)
        return series

    @cached_property
    def window_spiketrains(self) -> list[Any]:
        """The train cut into its complete windows."""
        raster = self.counts.raster
        edges = raster.bin_edge_seconds(
            np.arange(self.counts.n_windows + 1) * self.window
        )
        unit = self.spiketrain.units
        return [
            self.spiketrain.time_slice(start * unit, stop * unit)
            for start, stop in pairwise(edges)
        ]
