"""Null distributions of sparse trains: spikes thrown into the time bins without replacement.

A draw throws its spikes one after another, so one sweep serves every number of spikes up to the largest asked for.
Sweeps are seeded by the sizes alone: engines and machines agree, and no p-value depends on the other units.
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
    "ljung_box_null",
    "ljung_box_statistic",
    "upper_tail",
    "window_null",
]

N_DRAWS = 9_999
"""Draws of a Monte Carlo null."""

_TIE = 1e-9
_STRIP = 1 << 17

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


class _Throws:
    """Spikes thrown into `n_cells` cells without replacement, for `N_DRAWS` draws at once."""

    def __init__(self, n_cells: int, *seed: int) -> None:
        self.n_cells = n_cells
        self.n_thrown = 0
        self._rng = np.random.default_rng(np.random.SeedSequence([n_cells, *seed]))
        self._type = np.int32 if n_cells < 2**30 else np.int64
        self._cells: npt.NDArray[Any] = np.empty((16, N_DRAWS), self._type)

    @property
    def cells(self) -> npt.NDArray[Any]:
        """Cells of the spikes thrown so far, shape (n_thrown, N_DRAWS)."""
        return self._cells[: self.n_thrown]

    def throw(self, reach: int) -> tuple[npt.NDArray[Any], npt.NDArray[np.intp], npt.NDArray[Any]]:
        """Throw the next spike of every draw into a cell that is still empty; `cells` does not hold it yet.

        Parameters
        ----------
        reach : int
            How far apart, in cells, neighbours may be.

        Returns
        -------
        new : ndarray of int, shape (N_DRAWS,)
            Its cell.
        draws, distances : ndarray of int, shape (n_neighbours,)
            For every earlier spike within `reach` of it: in which draw, and how far apart.
        """
        new: npt.NDArray[Any] = self._rng.integers(0, self.n_cells, N_DRAWS, dtype=self._type)
        draws, distances = self._neighbours(self.cells, new, reach)
        found: list[tuple[npt.NDArray[np.intp], npt.NDArray[Any]]] = []
        columns = np.arange(N_DRAWS)
        while True:
            taken = np.zeros(len(columns), np.bool_)
            taken[draws[distances == 0]] = True
            settled = ~taken[draws]
            found.append((columns[draws[settled]], distances[settled]))
            columns = columns[taken]
            if not len(columns):
                break
            new[columns] = self._rng.integers(0, self.n_cells, len(columns), dtype=self._type)
            draws, distances = self._neighbours(self.cells[:, columns], new[columns], reach)
        return new, np.concatenate([part[0] for part in found]), np.concatenate([part[1] for part in found])

    @staticmethod
    def _neighbours(
        cells: npt.NDArray[Any], new: npt.NDArray[Any], reach: int
    ) -> tuple[npt.NDArray[np.intp], npt.NDArray[Any]]:
        n_columns = cells.shape[1]
        unsigned = np.dtype(f"u{cells.dtype.itemsize}")
        draws, distances = [], []
        # In strips that stay in cache.
        rows = max(1, _STRIP // max(1, n_columns))
        for first in range(0, len(cells), rows):
            shifted = cells[first : first + rows] - (new - reach)
            near = np.flatnonzero(shifted.view(unsigned) <= 2 * reach)
            draws.append(near % n_columns)
            distances.append(np.abs(shifted.reshape(-1)[near] - reach))
        if not draws:
            return np.zeros(0, np.intp), np.zeros(0, cells.dtype)
        return np.concatenate(draws), np.concatenate(distances)

    def keep(self, new: npt.NDArray[Any]) -> None:
        """Add what was thrown to `cells`."""
        if self.n_thrown == len(self._cells):
            self._cells = np.concatenate([self._cells, np.empty_like(self._cells)])
        self._cells[self.n_thrown] = new
        self.n_thrown += 1


class WindowNull:
    """Sums of squared window counts under the multivariate hypergeometric null.

    Parameters
    ----------
    n_windows, window : int
        Number of windows, and their length in bins.
    """

    def __init__(self, n_windows: int, window: int) -> None:
        self._window = window
        self._throws = _Throws(n_windows * window, window)
        self._squares = np.zeros(N_DRAWS, np.int64)
        self._sorted: list[IntArray] = [np.zeros(N_DRAWS, np.int64)]

    def squares(self, n_spikes: int) -> IntArray:
        """Sorted sums of squared counts of `n_spikes` spikes, shape (N_DRAWS,)."""
        while len(self._sorted) <= n_spikes:
            new, _, _ = self._throws.throw(0)
            together = (self._throws.cells // self._window == new // self._window).sum(axis=0)
            self._squares += 2 * together + 1
            self._throws.keep(new)
            self._sorted.append(np.sort(self._squares))
        return self._sorted[n_spikes]


class LjungBoxNull:
    """Ljung-Box statistics of trains in random order.

    Parameters
    ----------
    n_time_bins, lags : int
        Number of bins and of lags.
    """

    def __init__(self, n_time_bins: int, lags: int) -> None:
        self._lags = lags
        self._throws = _Throws(n_time_bins, lags)
        self._pairs = np.zeros((lags + 1, N_DRAWS), np.int64)
        self._ends = np.zeros((lags + 1, N_DRAWS), np.int64)
        self._sorted: list[FloatArray] = [np.zeros(N_DRAWS)]

    def statistics(self, n_spikes: int) -> FloatArray:
        """Sorted Ljung-Box statistics of `n_spikes` spikes, shape (N_DRAWS,)."""
        n_time_bins, lags = self._throws.n_cells, self._lags
        lag = np.arange(lags + 1)[:, np.newaxis]
        while len(self._sorted) <= n_spikes:
            new, draws, distances = self._throws.throw(lags)
            place = distances.astype(np.int64) * N_DRAWS + draws
            self._pairs += np.bincount(place, minlength=self._pairs.size).reshape(self._pairs.shape)
            self._ends += (new < lag).astype(np.int64) + (new >= n_time_bins - lag)
            self._throws.keep(new)
            count = np.full(N_DRAWS, self._throws.n_thrown)
            values = ljung_box_statistic(self._pairs.T, self._ends.T, count, n_time_bins)
            self._sorted.append(np.sort(values))
        return self._sorted[n_spikes]


def ljung_box_statistic(pairs: IntArray, ends: IntArray, n_spikes: IntArray, n_time_bins: int) -> FloatArray:
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
        ``N (N + 2) sum over k of r_k^2 / (N - k)`` (Ljung and Box 1978, Biometrika 65:297).
    """
    total: FloatArray = np.zeros(len(n_spikes))
    spread = n_spikes * (n_time_bins - n_spikes)
    # Lag by lag, so that the rounding does not depend on how many units are counted together.
    for lag in range(1, pairs.shape[1]):
        covariance = n_time_bins * pairs[:, lag] - n_spikes * (2 * n_spikes - ends[:, lag])
        correlation = (covariance + n_spikes * n_spikes * ((n_time_bins - lag) / n_time_bins)) / spread
        total += correlation * correlation / (n_time_bins - lag)
    return total * (n_time_bins * (n_time_bins + 2.0))


def upper_tail(null: npt.NDArray[Any], value: float) -> float:
    """Monte Carlo p-value ``(1 + draws >= value) / (1 + draws)``; values equal but for rounding are ties."""
    reached = value - _TIE * max(1.0, abs(value))
    return float((1 + len(null) - np.searchsorted(null, reached, side="left")) / (1 + len(null)))


@lru_cache(maxsize=16)
def window_null(n_windows: int, window: int) -> WindowNull:
    """The null of window counts, made once."""
    return WindowNull(n_windows, window)


@lru_cache(maxsize=8)
def ljung_box_null(n_time_bins: int, lags: int) -> LjungBoxNull:
    """The null of the Ljung-Box statistic, made once."""
    return LjungBoxNull(n_time_bins, lags)
