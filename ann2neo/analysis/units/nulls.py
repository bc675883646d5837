"""Null distributions of sparse trains: time bins drawn without replacement.

The spikes of a sample are drawn one after another, so one sweep serves every number of
spikes up to the largest asked for. Sweeps are seeded by the sizes alone: engines and
machines agree, and no p-value depends on the other units.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

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
"""Draws of a Monte Carlo null."""

_TIE = 1e-9
_STRIP = 1 << 17
_BLOCK_BYTES = 1 << 26

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


class _Draws:
    """Cells drawn out of `n_cells` without replacement, for `N_DRAWS` samples at once.

    Parameters
    ----------
    n_cells : int
        Number of cells.
    reach : int
        How far apart, in cells, neighbours may be.
    *seed : int
        Seeds the draws, together with `n_cells`.
    """

    def __init__(self, n_cells: int, reach: int, *seed: int) -> None:
        self.n_cells, self.reach = n_cells, reach
        self.n_drawn = 0
        self._rng = np.random.default_rng(np.random.SeedSequence([n_cells, *seed]))
        self._type = np.int32 if n_cells < 2**30 else np.int64
        self._cells: npt.NDArray[Any] = np.empty((16, N_DRAWS), self._type)

    def draw(self) -> npt.NDArray[Any]:
        """Draw the next cell of every sample, one that was not drawn before, shape
        (N_DRAWS,).
        """
        new: npt.NDArray[Any] = self._rng.integers(
            0, self.n_cells, N_DRAWS, dtype=self._type
        )
        again = self._taken(new, np.arange(N_DRAWS))
        while len(again):
            new[again] = self._rng.integers(
                0, self.n_cells, len(again), dtype=self._type
            )
            again = self._taken(new, again)
        return new

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
        """Those of `samples` whose new cell was drawn before."""
        cells = self.cells if len(samples) == N_DRAWS else self.cells[:, samples]
        taken: IntArray = samples[(cells == new[samples]).any(axis=0)]
        return taken

    def neighbours(self, new: npt.NDArray[Any]) -> IntArray:
        """Cells drawn before at each distance 0 .. reach from a new one, shape (reach +
        1, N_DRAWS).
        """
        counts = np.zeros((self.reach + 1) * N_DRAWS, np.int64)
        unsigned = np.dtype(f"u{self._cells.dtype.itemsize}")
        # In strips that stay in cache.
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
    """The same draws, with a byte for every cell of every sample: quicker where that
    block fits in memory.

    A sample's cells start at its offset, with `reach` empty cells on either side::

        0 0 | x x x x x | 0 0 || 0 0 | x x x x x | 0 0
              ^offset of sample 0      ^offset of sample 1
    """

    def __init__(self, n_cells: int, reach: int, *seed: int) -> None:
        super().__init__(n_cells, reach, *seed)
        width = n_cells + 2 * reach
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
        around = self._block[
            (self._offset + new)[:, np.newaxis] + np.arange(-self.reach, self.reach + 1)
        ]
        counts: IntArray = (
            around[:, self.reach :] + around[:, self.reach :: -1]
        ).T.astype(np.int64)
        return counts


class WindowNull:
    """Sums of squared window counts under the multivariate hypergeometric null.

    Parameters
    ----------
    n_windows, window : int
        Number of windows, and their length in bins.
    """

    def __init__(self, n_windows: int, window: int) -> None:
        self._window = window
        self._draws = _Draws(n_windows * window, 0, window)
        self._squares = np.zeros(N_DRAWS, np.int64)
        self._sorted: list[IntArray] = [np.zeros(N_DRAWS, np.int64)]

    def squares(self, n_spikes: int) -> IntArray:
        """Sorted sums of squared counts of `n_spikes` spikes, shape (N_DRAWS,)."""
        while len(self._sorted) <= n_spikes:
            new = self._draws.draw()
            together = (self._draws.cells // self._window == new // self._window).sum(
                axis=0
            )
            self._squares += 2 * together + 1
            self._draws.keep(new)
            self._sorted.append(np.sort(self._squares))
        return self._sorted[n_spikes]


@lru_cache(maxsize=1024)
def few_windows_null(n_windows: int, window: int, n_spikes: int) -> IntArray:
    """Sorted sums of squared counts of any number of spikes in a few windows, shape
    (N_DRAWS,), drawn at once.

    Parameters
    ----------
    n_windows, window, n_spikes : int
        Number of windows, their length in bins, and spikes in all of them; they seed
        the draws.

    Returns
    -------
    ndarray of int, shape (N_DRAWS,)
        Draws under the multivariate hypergeometric null.
    """
    rng = np.random.default_rng(np.random.SeedSequence([n_windows, window, n_spikes]))
    counts = rng.multivariate_hypergeometric(
        [window] * n_windows, n_spikes, N_DRAWS, method="marginals"
    )
    squares: IntArray = np.sort(np.square(counts).sum(axis=1))
    return squares


class LjungBoxNull:
    """Ljung-Box statistics of trains in random order.

    Parameters
    ----------
    n_time_bins, lags : int
        Number of bins and of lags.
    block_bytes : int, optional
        Memory for a byte per cell; where more would be needed, lists of spikes serve.
    """

    def __init__(
        self, n_time_bins: int, lags: int, block_bytes: int = _BLOCK_BYTES
    ) -> None:
        self._lags = lags
        in_block = N_DRAWS * n_time_bins <= block_bytes
        kind = _BlockDraws if in_block else _Draws
        self._draws = kind(n_time_bins, lags, lags)
        self._pairs = np.zeros((lags + 1, N_DRAWS), np.int64)
        self._ends = np.zeros((lags + 1, N_DRAWS), np.int64)
        self._sorted: list[FloatArray] = [np.zeros(N_DRAWS)]

    def statistics(self, n_spikes: int) -> FloatArray:
        """Sorted Ljung-Box statistics of `n_spikes` spikes, shape (N_DRAWS,)."""
        n_time_bins, lags = self._draws.n_cells, self._lags
        lag = np.arange(lags + 1)[:, np.newaxis]
        while len(self._sorted) <= n_spikes:
            new = self._draws.draw()
            self._pairs += self._draws.neighbours(new)
            self._ends += (new < lag).astype(np.int64) + (new >= n_time_bins - lag)
            self._draws.keep(new)
            count = np.full(N_DRAWS, self._draws.n_drawn)
            values = ljung_box_statistic(
                self._pairs.T, self._ends.T, count, n_time_bins
            )
            self._sorted.append(np.sort(values))
        return self._sorted[n_spikes]


def ljung_box_statistic(
    pairs: IntArray, ends: IntArray, n_spikes: IntArray, n_time_bins: int
) -> FloatArray:
    """Ljung-Box statistic from counts.

    Parameters
    ----------
    pairs : ndarray of int, shape (n_units, lags + 1)
        Pairs of spikes at each lag.
    ends : ndarray of int, shape (n_units, lags + 1)
        Spikes in the first k plus spikes in the last k bins, for k = 0 .. lags.
    n_spikes : ndarray of int, shape (n_units,)
        Spikes of each unit, neither 0 nor `n_time_bins`.
    n_time_bins : int
        Number of bins.

    Returns
    -------
    ndarray of float, shape (n_units,)
        ``N (N + 2) sum over k of r_k^2 / (N - k)`` (Ljung and Box 1978, Biometrika
        65:297).
    """
    total: FloatArray = np.zeros(len(n_spikes))
    spread = n_spikes * (n_time_bins - n_spikes)
    # Lag by lag, so that the rounding does not depend on how many units are counted
    # together.
    for lag in range(1, pairs.shape[1]):
        covariance = n_time_bins * pairs[:, lag] - n_spikes * (
            2 * n_spikes - ends[:, lag]
        )
        correlation = (
            covariance + n_spikes * n_spikes * ((n_time_bins - lag) / n_time_bins)
        ) / spread
        total += correlation * correlation / (n_time_bins - lag)
    return total * (n_time_bins * (n_time_bins + 2.0))


def upper_tail(null: npt.NDArray[Any], value: float) -> float:
    """Monte Carlo p-value ``(1 + draws >= value) / (1 + draws)``; values equal but for
    rounding are ties.
    """
    reached = value - _TIE * max(1.0, abs(value))
    return float(
        (1 + len(null) - np.searchsorted(null, reached, side="left")) / (1 + len(null))
    )


@lru_cache(maxsize=16)
def window_null(n_windows: int, window: int) -> WindowNull:
    """The null of window counts, made once."""
    return WindowNull(n_windows, window)


@lru_cache(maxsize=4)
def ljung_box_null(n_time_bins: int, lags: int) -> LjungBoxNull:
    """The null of the Ljung-Box statistic, made once."""
    return LjungBoxNull(n_time_bins, lags)
