"""Serial dependence: the Ljung-Box test, by permutation where spikes are sparse."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special

from ann2neo.analysis._entry import (
    BY_CONSTRUCTION,
    Column,
    FloatArray,
    UnitStatistic,
    Values,
    reasons,
    text_column,
)
from ann2neo.analysis.units.counts import Counts, Train
from ann2neo.analysis.units.nulls import ljung_box_null, ljung_box_statistic, upper_tail

__all__ = ["LJUNG_BOX", "MIN_ASYMPTOTIC", "ljung_box_values"]

MIN_ASYMPTOTIC = 500
"""Minimum number of spikes, and of empty bins, for asymptotic null distributions; with
fewer, permutations.
"""


def _reason(counts: Counts) -> npt.NDArray[Any]:
    n_time_bins, lags = counts.n_time_bins, counts.lags
    too_short = f"{lags} lags need more than {lags} time bins, got {n_time_bins}"
    return reasons(
        counts,
        (n_time_bins <= lags, too_short),
        (counts.n_spikes == 0, "silent"),
        (counts.n_spikes == n_time_bins, "saturated"),
    )


def ljung_box_values(counts: Counts) -> FloatArray:
    """Return the Ljung-Box statistics of a block of units, without p-values.

    Parameters
    ----------
    counts : Counts
        The block of units.

    Returns
    -------
    ndarray of float, shape (n_units,)
        NaN for silent and saturated units, and for all with no more bins than lags.
    """
    n_time_bins, lags = counts.n_time_bins, counts.lags
    if n_time_bins <= lags:
        return np.full(counts.n_units, np.nan)
    head, tail = counts.raster.head(lags), counts.raster.tail(lags)
    # At lag k the first k bins have no partner before them, the last k none after them.
    ends = np.zeros((counts.n_units, lags + 1), np.int64)
    ends[:, 1:] = np.cumsum(head, axis=1) + np.cumsum(tail[:, ::-1], axis=1)
    with np.errstate(invalid="ignore"):
        return ljung_box_statistic(
            counts.lag_counts(lags), ends, counts.n_spikes, n_time_bins
        )


def _fast(counts: Counts) -> Values:
    n_time_bins, lags, spikes = counts.n_time_bins, counts.lags, counts.n_spikes
    # 1 - x has the autocorrelation of x, so that the rarer state needs fewer draws.
    rarer = np.minimum(spikes, n_time_bins - spikes)
    statistic = ljung_box_values(counts)
    method = np.full(counts.n_units, "chi-square", dtype=object)
    pvalue = special.chdtrc(lags, statistic)
    sparse = (rarer < MIN_ASYMPTOTIC) & (rarer > 0) & (n_time_bins > lags)
    for unit in np.flatnonzero(sparse):
        null = ljung_box_null(n_time_bins, lags).statistics(int(rarer[unit]))
        pvalue[unit], method[unit] = upper_tail(null, statistic[unit]), "permutation"
    return {
        "ljung_box_statistic": statistic,
        "ljung_box_pvalue": pvalue,
        "ljung_box_method": method,
    }


def _reference(train: Train) -> Mapping[str, Any]:
    from statsmodels.stats.diagnostic import acorr_ljungbox

    row = acorr_ljungbox(train.series, lags=[train.lags]).iloc[0]
    statistic, pvalue = float(row["lb_stat"]), float(row["lb_pvalue"])
    method = "chi-square"
    spikes = int(train.series.sum())
    rarer = min(spikes, train.n_time_bins - spikes)
    if rarer < MIN_ASYMPTOTIC:
        null = ljung_box_null(train.n_time_bins, train.lags).statistics(rarer)
        pvalue, method = upper_tail(null, statistic), "permutation"
    return {
        "ljung_box_statistic": statistic,
        "ljung_box_pvalue": pvalue,
        "ljung_box_method": method,
    }


LJUNG_BOX = UnitStatistic(
    name="ljung_box",
    columns=(
        Column(
            "ljung_box_statistic",
            "Ljung-Box statistic: how strongly a bin predicts the bins after it, summed"
            " over the lags.",
            in_random_order=BY_CONSTRUCTION,
        ),
        Column(
            "ljung_box_pvalue",
            "p-value of independent bins (no serial dependence up to the last lag).",
            in_random_order=BY_CONSTRUCTION,
        ),
        text_column(
            "ljung_box_method",
            "Null distribution of the Ljung-Box test: chi-square, or permutation below"
            f" {MIN_ASYMPTOTIC} spikes or empty bins.",
        ),
    ),
    null="independent bins",
    null_in_short="bins are independent (Ljung-Box)",
    validity="more bins than lags, neither silent nor saturated",
    source=(
        "Ljung and Box (1978), Biometrika 65:297;"
        " `statsmodels.stats.diagnostic.acorr_ljungbox`"
    ),
    reason=_reason,
    fast=_fast,
    reference=_reference,
    pvalue="ljung_box_pvalue",
)
