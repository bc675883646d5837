"""Null distributions of sparse trains: time bins drawn without replacement.

The spikes of a sample are drawn one after another, so that one sweep gives the
distribution for every number of spikes up to the largest asked for. Sweeps are seeded
by the sizes alone: engines and machines agree, and no p-value depends on other units.
"""

from __future__ import annotations

from functools import lru_cache
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from ann2neo.analysis._entry import FloatArray, IntArray

__all__ = [
    "N_DRAWS",
    "LjungBoxNull",
    "WindowNull",
    "few_windows_null",
    "ljung_box_null",
    "ljung_box_statistic",
    "upper_tail",
    "window_null",
]

N_DRAWS = 9_999
"""Number of draws of a Monte Carlo null distribution."""

_TIE = 1e-9
# Cells compared at once: 512 KiB at 32 bits each, which stay in cache.
_STRIP = 1 << 17
# 64 MiB: a byte per cell of all samples for trains of up to 6 711 bins.
_BLOCK_BYTES = 1 << 26


class _Draws:
    """Cells drawn without replacement, for `N_DRAWS` samples at once.

    The cells of a segment lie side by side, and `reach` empty places between two
    segments, so that neighbours lie in one segment::

        x x x x | 0 0 | x x x | 0 0 | x x x x x        reach = 2

    Parameters
    ----------
    lengths : tuple of int
        Number of cells of each segment.
    reach : int
        How far apart, in cells, neighbours may be.
    *seed : int
        Seeds the draws, together with the number of cells.
    """

    def __init__(self, lengths: tuple[int, ...], reach: int, *seed: int) -> None:
        self.n_cells, self.reach = sum(lengths), reach
        self.n_drawn = 0
        edges = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        self._borders = edges[1:-1]
        gaps = reach * np.arange(len(lengths))
        self.starts, self.stops = edges[:-1] + gaps, edges[1:] + gaps
        self.width = self.n_cells + reach * (len(lengths) - 1)
        seeds = np.random.SeedSequence([self.n_cells, *seed])
        self._rng = np.random.default_rng(seeds)
        self._type = np.int32 if self.width < 2**30 else np.int64
        self._cells: npt.NDArray[Any] = np.empty((16, N_DRAWS), self._type)

    def draw(self) -> npt.NDArray[Any]:
        """Draw the place of a cell not drawn before in every sample, (N_DRAWS,)."""
        # By rejection. Callers draw the rarer of spikes and empty bins, so that half of
        # the cells or more are free.
        new, again = np.zeros(N_DRAWS, self._type), np.arange(N_DRAWS)
        while len(again):
            cells = self._rng.integers(0, self.n_cells, len(again), dtype=self._type)
            new[again] = self._places(cells)
            again = self._taken(new, again)
        return new

    def _places(self, cells: npt.NDArray[Any]) -> npt.NDArray[Any]:
        if not len(self._borders):
            return cells
        return cells + self.reach * np.searchsorted(self._borders, cells, "right")

    def to_ends(self, new: npt.NDArray[Any]) -> tuple[IntArray, IntArray]:
        """Return the cells before and after each place in its segment."""
        if not len(self._borders):
            return new, self.n_cells - 1 - new
        segment = np.searchsorted(self.starts, new, "right") - 1
        return new - self.starts[segment], self.stops[segment] - 1 - new

    def keep(self, new: npt.NDArray[Any]) -> None:
        """Mark cells as drawn."""
        if self.n_drawn == len(self._cells):
            self._cells = np.concatenate([self._cells, np.empty_like(self._cells)])
        self._cells[self.n_drawn] = new
        self.n_drawn += 1

    @property
    def cells(self) -> npt.NDArray[Any]:
        """Cells drawn so far, shape (n_drawn, N_DRAWS)."""
        return self._cells[: self.n_drawn]

    def _taken(self, new: npt.NDArray[Any], samples: IntArray) -> IntArray:
        """Return those of `samples` whose new cell was drawn before."""
        cells = self.cells if len(samples) == N_DRAWS else self.cells[:, samples]
        taken: IntArray = samples[(cells == new[samples]).any(axis=0)]
        return taken

    def neighbours(self, new: npt.NDArray[Any]) -> IntArray:
        """Count the cells drawn before at each distance from a new one.

        Returns
        -------
        ndarray of int64, shape (reach + 1, N_DRAWS)
            Cells at distance 0 .. reach.
        """
        counts = np.zeros((self.reach + 1) * N_DRAWS, np.int64)
        # As unsigned numbers negative distances are huge, so that one comparison finds
        # both sides: 0 <= x <= 2 reach. In strips that stay in cache.
        unsigned = np.dtype(f"u{self._cells.dtype.itemsize}")
        rows = max(1, _STRIP // N_DRAWS)
        for first in range(0, self.n_drawn, rows):
            shifted = self.cells[first : first + rows] - (new - self.reach)
            near = np.flatnonzero(shifted.view(unsigned) <= 2 * self.reach)
            distance = np.abs(shifted.reshape(-1)[near] - self.reach).astype(np.int64)
            counts += np.bincount(
                distance * N_DRAWS + near % N_DRAWS, minlength=len(counts)
            )
        return counts.reshape(self.reach + 1, N_DRAWS)


class _BlockDraws(_Draws):
    """The same draws with a byte per cell: faster, where all bytes fit in memory.

    A sample's cells start at its offset, with `reach` empty cells on either side::

        0 0 | x x x x x | 0 0 || 0 0 | x x x x x | 0 0
              ^offset of sample 0      ^offset of sample 1
    """

    def __init__(self, lengths: tuple[int, ...], reach: int, *seed: int) -> None:
        super().__init__(lengths, reach, *seed)
        width = self.width + 2 * reach
        self._block = np.zeros(N_DRAWS * width, np.uint8)
        self._offset = np.arange(N_DRAWS) * width + reach

    def keep(self, new: npt.NDArray[Any]) -> None:
        self._block[self._offset + new] = 1
        self.n_drawn += 1

    def _taken(self, new: npt.NDArray[Any], samples: IntArray) -> IntArray:
        place = self._offset[samples] + new[samples]
        taken: IntArray = samples[self._block[place] == 1]
        return taken

    def neighbours(self, new: npt.NDArray[Any]) -> IntArray:
        distances = np.arange(-self.reach, self.reach + 1)
        # (N_DRAWS, 2 reach + 1), the new cell in the middle. Both sides below count the
        # middle, which is 0: a new cell was never drawn before.
        around = self._block[(self._offset + new)[:, np.newaxis] + distances]
        counts = around[:, self.reach :] + around[:, self.reach :: -1]
        return np.asarray(counts.T, np.int64)


class WindowNull:
    """Sums of squared window counts if all placements of the spikes are equally likely.

    Parameters
    ----------
    n_windows, window : int
        Number of windows, and their length in bins.
    """

    def __init__(self, n_windows: int, window: int) -> None:
        self._window = window
        self._draws = _Draws((n_windows * window,), 0, window)
        self._squares = np.zeros(N_DRAWS, np.int64)
        self._sorted: list[IntArray] = [np.zeros(N_DRAWS, np.int64)]
        # All threads share one null distribution, which one at a time draws on.
        self._lock = Lock()

    def squares(self, n_spikes: int) -> IntArray:
        """Return sorted sums of squares for `n_spikes` spikes, shape (N_DRAWS,)."""
        with self._lock:
            while len(self._sorted) <= n_spikes:
                new = self._draws.draw()
                same_window = self._draws.cells // self._window == new // self._window
                # (c + 1)^2 = c^2 + 2 c + 1
                together = same_window.sum(axis=0)
                self._squares += 2 * together + 1
                self._draws.keep(new)
                self._sorted.append(np.sort(self._squares))
        return self._sorted[n_spikes]


@lru_cache(maxsize=1024)
def few_windows_null(n_windows: int, window: int, n_spikes: int) -> IntArray:
    """Return sorted sums of squared counts in a few windows, drawn at once.

    Parameters
    ----------
    n_windows, window, n_spikes : int
        Number of windows, their length in bins, and spikes in all of them; they also
        seed the draws.

    Returns
    -------
    ndarray of int, shape (N_DRAWS,)
        Draws from the multivariate hypergeometric distribution.
    """
    rng = np.random.default_rng(np.random.SeedSequence([n_windows, window, n_spikes]))
    counts = rng.multivariate_hypergeometric(
        [window] * n_windows, n_spikes, N_DRAWS, method="marginals"
    )
    return np.sort(np.square(counts).sum(axis=1))


class LjungBoxNull:
    """Ljung-Box statistics of trains in random order.

    Parameters
    ----------
    lengths : int or tuple of int
        Number of bins of each segment; a number is one segment.
    lags : int
        Number of lags.
    block_bytes : int, optional
        Largest block with a byte per cell; lists of spikes replace a larger one.
    """

    def __init__(
        self, lengths: int | tuple[int, ...], lags: int, block_bytes: int = _BLOCK_BYTES
    ) -> None:
        self._lags = lags
        if isinstance(lengths, int):
            lengths = (lengths,)
        width = sum(lengths) + lags * (len(lengths) - 1)
        in_block = N_DRAWS * width <= block_bytes
        kind = _BlockDraws if in_block else _Draws
        self._draws = kind(lengths, lags, lags)
        # (n_segments, lags + 1), summed over segments: N_s - k pairs at lag k.
        inside = np.subtract.outer(lengths, np.arange(lags + 1))
        self._n_pairs: IntArray = np.maximum(inside, 0).sum(axis=0)
        self._pairs = np.zeros((lags + 1, N_DRAWS), np.int64)
        self._ends = np.zeros((lags + 1, N_DRAWS), np.int64)
        self._sorted: list[FloatArray] = [np.zeros(N_DRAWS)]
        self._lock = Lock()

    def statistics(self, n_spikes: int) -> FloatArray:
        """Return sorted Ljung-Box statistics of `n_spikes` spikes, shape (N_DRAWS,)."""
        lag = np.arange(self._lags + 1)[:, np.newaxis]
        with self._lock:
            while len(self._sorted) <= n_spikes:
                new = self._draws.draw()
                self._pairs += self._draws.neighbours(new)
                before, after = self._draws.to_ends(new)
                self._ends += (before < lag).astype(np.int64) + (after < lag)
                self._draws.keep(new)
                count = np.full(N_DRAWS, self._draws.n_drawn)
                values = ljung_box_statistic(
                    self._pairs.T, self._ends.T, count, self._n_pairs
                )
                self._sorted.append(np.sort(values))
        return self._sorted[n_spikes]


def ljung_box_statistic(
    pairs: IntArray, ends: IntArray, n_spikes: IntArray, n_pairs: IntArray
) -> FloatArray:
    """Return the Ljung-Box statistic of each unit, from counts.

    Parameters
    ----------
    pairs : ndarray of int, shape (n_units, lags + 1)
        Pairs of spikes at each lag.
    ends : ndarray of int, shape (n_units, lags + 1)
        Spikes in the first k plus spikes in the last k bins of each segment, for k = 0
        .. lags.
    n_spikes : ndarray of int, shape (n_units,)
        Spikes of each unit, neither 0 nor N.
    n_pairs : ndarray of int, shape (lags + 1,)
        Pairs of bins at each lag, none of them 0; n_0 is N, the number of bins.

    Returns
    -------
    ndarray of float, shape (n_units,)
        ``N (N + 2) sum over k of r_k^2 / n_k`` (Ljung and Box 1978, Biometrika 65:297,
        for one segment, where n_k is N - k).
    """
    total: FloatArray = np.zeros(len(n_spikes))
    n_time_bins = int(n_pairs[0])
    spread = n_spikes * (n_time_bins - n_spikes)
    # Lag by lag, so that rounding does not depend on the number of units.
    for lag in range(1, pairs.shape[1]):
        # r_k is the sum of (x(t) - p) (x(t-k) - p) over that of (x(t) - p)^2. Both
        # are multiplied out and taken N times: with `inside` the sum of x(t) + x(t-k),
        #     (N pairs - K inside + K^2 n_k / N) / (K (N - K)).
        inside = 2 * n_spikes - ends[:, lag]
        covariance = n_time_bins * pairs[:, lag] - n_spikes * inside
        covariance = covariance + n_spikes**2 * (n_pairs[lag] / n_time_bins)
        correlation = covariance / spread
        total += correlation * correlation / n_pairs[lag]
    return total * (n_time_bins * (n_time_bins + 2.0))


def upper_tail(null: npt.NDArray[Any], values: Any) -> FloatArray:
    """Return the Monte Carlo p-values ``(1 + draws >= value) / (1 + draws)``.

    `null` is sorted; values that differ only by rounding are ties.
    """
    least = values - _TIE * np.maximum(1.0, np.abs(values))
    smaller = np.searchsorted(null, least, side="left")
    pvalues: FloatArray = (1 + len(null) - smaller) / (1 + len(null))
    return pvalues


@lru_cache(maxsize=16)
def window_null(n_windows: int, window: int) -> WindowNull:
    """Return the null distribution of window counts, drawn once."""
    return WindowNull(n_windows, window)


# Few, as each may keep 500 sorted null distributions of 80 kB.
@lru_cache(maxsize=4)
def ljung_box_null(lengths: int | tuple[int, ...], lags: int) -> LjungBoxNull:
    """Return the null distribution of the Ljung-Box statistic, drawn once."""
    return LjungBoxNull(lengths, lags)
