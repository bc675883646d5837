"""p-values of whole networks: bins are permuted for all units alike, since units depend
on each other.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ann2neo.analysis.seeds import drawn_seed
from ann2neo.analysis.statistics import checked_lags, window_for
from ann2neo.analysis.units.counts import Counts
from ann2neo.analysis.units.ljung_box import ljung_box_values
from ann2neo.errors import InputTypeError, InputValueError
from ann2neo.raster import BinPermuter, SpikeRaster
from ann2neo.recording import Recording

__all__ = ["NETWORK_STATISTICS", "network_test"]

FloatArray = npt.NDArray[np.float64]

NETWORK_STATISTICS: dict[str, str] = {
    "mean_dispersion": (
        "Mean dispersion of the units; two-sided, against bursts, drift or regularity."
    ),
    "mean_ljung_box_statistic": (
        "Mean Ljung-Box statistic of the units; one-sided, against serial dependence."
    ),
    "mean_windowed_trend": (
        "Mean over units of the largest distance of the cumulative spike count from a"
        " straight line, seen at the windows' edges, in standard deviations; one-sided,"
        " against drift."
    ),
}
"""Statistics that `network_test` tests, with what they are sensitive to."""

_BLOCK_UNITS = 512
_N_THREADS = min(4, os.cpu_count() or 1)
_N_AHEAD = 16


def network_test(
    recording: Recording,
    n_permutations: int = 999,
    seed: int | None = None,
    window: int | None = None,
    lags: int = 10,
) -> pd.DataFrame:
    """Test whether the order of the time bins matters to a network.

    Tests of single units cannot be combined into one about the network, since units of
    one layer are not independent. Here the bins of a phase are permuted for all units
    alike, which keeps whatever units do together.

    Parameters
    ----------
    recording : Recording
        What to test; phases are tested one by one, each permuted within itself.
    n_permutations : int, default 999
        Number of joint permutations; the smallest p-value is ``1 / (n_permutations +
        1)``, twice that two-sided.
    seed : int, optional
        Seed of the permutations; drawn, and reported in the table, if not given.
    window, lags
        As in `analyze`.

    Returns
    -------
    pandas.DataFrame
        One row per phase and statistic of `NETWORK_STATISTICS`: ``phase``, ``order``,
        ``statistic``, ``observed``, ``null_mean``, ``pvalue``, ``n_units`` (units with
        the statistic), ``window``, ``lags``, ``n_permutations``, ``seed``. NaN where no
        unit has the statistic.

    Raises
    ------
    InputTypeError, InputValueError
        If an argument is not what it should be.

    Notes
    -----
    ``p = (1 + draws at least as extreme) / (1 + n_permutations)``; ties count. Where
    ``order`` is "random" the null holds by construction, and a rejection points to a
    fault in the pipeline.

    Examples
    --------
    >>> bursts = np.repeat(np.random.default_rng(0).random((3, 100)) < 0.3, 10, axis=1)
    >>> recording = Recording.from_raster(SpikeRaster.from_dense(bursts))
    >>> network_test(recording, n_permutations=99, seed=0)[["statistic", "pvalue"]]
                      statistic  pvalue
    0           mean_dispersion    0.02
    1  mean_ljung_box_statistic    0.01
    2       mean_windowed_trend    0.01
    """
    if not isinstance(recording, Recording):
        raise InputTypeError(
            f"network_test needs a Recording, got {type(recording).__name__}"
        )
    if isinstance(n_permutations, bool) or not isinstance(
        n_permutations, (int, np.integer)
    ):
        raise InputTypeError(
            f"n_permutations must be a whole number, got {n_permutations!r}"
        )
    if n_permutations < 1:
        raise InputValueError(
            f"n_permutations must be at least 1, got {n_permutations}; 999 is usual"
        )
    lags, seed = checked_lags(lags), drawn_seed(seed)
    rows: list[dict[str, Any]] = []
    for number, phase in enumerate(recording.iter_phases()):
        length = window_for(window, phase.n_time_bins)
        raster = recording.raster.slice(phase.start_bin, phase.stop_bin)
        means, n_units = _permuted_means(
            raster, length, lags, n_permutations, (seed, number)
        )
        for index, name in enumerate(NETWORK_STATISTICS):
            observed, null = float(means[0, index]), means[1:, index]
            rows.append(
                {
                    "phase": phase.phase,
                    "order": phase.order,
                    "statistic": name,
                    "observed": observed,
                    "null_mean": float(null.mean()) if n_units[index] else float("nan"),
                    "pvalue": _pvalue(
                        observed, null, two_sided=name == "mean_dispersion"
                    ),
                    "n_units": int(n_units[index]),
                    "window": length,
                    "lags": lags,
                    "n_permutations": int(n_permutations),
                    "seed": seed,
                }
            )
    return pd.DataFrame(rows)


def _permuted_means(
    raster: SpikeRaster,
    window: int,
    lags: int,
    n_permutations: int,
    seed: tuple[int, int],
) -> tuple[FloatArray, npt.NDArray[np.int64]]:
    """Means over units, as observed (row 0) and under each permutation, and the number
    of units behind row 0.
    """
    sums, n_units = (
        np.zeros((n_permutations + 1, len(NETWORK_STATISTICS))) for _ in range(2)
    )
    with ThreadPoolExecutor(_N_THREADS) as pool:
        for first in range(0, raster.n_units, _BLOCK_UNITS):
            block = raster.take(
                units=range(first, min(first + _BLOCK_UNITS, raster.n_units))
            )
            permuted = BinPermuter(block).permuted
            # Every block of units sees the same permutations.
            rng = np.random.default_rng(seed)
            observed_sums, observed_units = _sums(block, window, lags)
            sums[0] += observed_sums
            n_units[0] += observed_units
            for start in range(1, n_permutations + 1, _N_AHEAD):
                draws = range(start, min(start + _N_AHEAD, n_permutations + 1))
                orders = [rng.permutation(raster.n_time_bins) for _ in draws]
                found = pool.map(
                    lambda order, permuted=permuted: _sums(
                        permuted(order), window, lags
                    ),
                    orders,
                )
                for draw, (draw_sums, draw_units) in zip(draws, found, strict=True):
                    sums[draw] += draw_sums
                    n_units[draw] += draw_units
    with np.errstate(invalid="ignore"):
        means: FloatArray = sums / n_units
    return means, n_units[0].astype(np.int64)


def _sums(raster: SpikeRaster, window: int, lags: int) -> tuple[FloatArray, FloatArray]:
    """Sums of the unit statistics over units, and over how many units."""
    values = np.array(_unit_values(Counts(raster, window, lags)))
    return np.nansum(values, axis=1), np.isfinite(values).sum(axis=1).astype(np.float64)


def _unit_values(counts: Counts) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The statistics of `NETWORK_STATISTICS` for each unit, without p-values; NaN where
    there is none.
    """
    n, window, spikes = counts.n_windows, counts.window, counts.windowed_spikes
    bins = n * window
    empty = spikes * (bins - spikes)
    with np.errstate(all="ignore"):
        dispersion = (
            (n * counts.window_squares - spikes**2) / empty * (bins - 1) / max(1, n - 1)
        )
        steps = np.cumsum(counts.windows, axis=1) - (spikes / n)[
            :, np.newaxis
        ] * np.arange(1, n + 1)
        drift = np.maximum(steps.max(axis=1, initial=0), -steps.min(axis=1, initial=0))
        trend = drift * np.sqrt(bins / empty)
    unknown = (empty == 0) | (n < 2)
    ljung_box = ljung_box_values(counts)
    return (
        np.where(unknown | (window < 2), np.nan, dispersion),
        ljung_box,
        np.where(unknown, np.nan, trend),
    )


def _pvalue(observed: float, null: FloatArray, *, two_sided: bool) -> float:
    null = null[np.isfinite(null)]
    if not np.isfinite(observed) or not len(null):
        return float("nan")
    tie = 1e-9 * max(1.0, abs(observed))
    upper = (1 + int((null >= observed - tie).sum())) / (1 + len(null))
    lower = (1 + int((null <= observed + tie).sum())) / (1 + len(null))
    return min(1.0, 2 * min(upper, lower)) if two_sided else upper
