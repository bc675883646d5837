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
from ann2neo.analysis.units.nulls import (
    LjungBoxNull,
    ljung_box_null,
    ljung_box_statistic,
    upper_tail,
)

__all__ = ["LJUNG_BOX", "MIN_ASYMPTOTIC", "ljung_box_values"]

MIN_ASYMPTOTIC = 500
"""Minimum number of spikes, and of empty bins, for asymptotic null distributions; with
fewer, permutations.
"""


def _reason(counts: Counts) -> npt.NDArray[Any]:
    n_time_bins, lags = counts.n_time_bins, counts.lags
    longest = _longest(counts)
    too_short = f"{lags} lags need more than {lags} time bins, got {longest}"
    if counts.segments.n_segments > 1:
        too_short += " in the longest segment"
    return reasons(
        counts,
        (longest <= lags, too_short),
        (counts.n_spikes == 0, "silent"),
        (counts.n_spikes == n_time_bins, "saturated"),
    )


def _longest(counts: Counts) -> int:
    """Return the bins of the longest segment, which has pairs at every smaller lag."""
    return int(counts.segments.lengths.max(initial=0))


def ljung_box_values(counts: Counts) -> FloatArray:
    """Return the Ljung-Box statistics of a block of units, without p-values.

    Parameters
    ----------
    counts : Counts
        The block of units.

    Returns
    -------
    ndarray of float, shape (n_units,)
        NaN for silent and saturated units, and for all where no segment has more bins
        than lags.
    """
    lags = counts.lags
    if _longest(counts) <= lags:
        return np.full(counts.n_units, np.nan)
    with np.errstate(invalid="ignore"):
        return ljung_box_statistic(
            counts.lag_counts(lags),
            counts.end_counts(lags),
            counts.n_spikes,
            counts.segments.n_pairs(lags),
        )


def _fast(counts: Counts) -> Values:
    n_time_bins, lags, spikes = counts.n_time_bins, counts.lags, counts.n_spikes
    # 1 - x has the autocorrelation of x, so that the rarer state needs fewer draws.
    rarer = np.minimum(spikes, n_time_bins - spikes)
    statistic = ljung_box_values(counts)
    method = np.full(counts.n_units, "chi-square", dtype=object)
    pvalue = special.chdtrc(lags, statistic)
    sparse = (rarer < MIN_ASYMPTOTIC) & (rarer > 0) & (_longest(counts) > lags)
    method[sparse] = "permutation"
    for count in np.unique(rarer[sparse]).tolist():
        units = np.flatnonzero(sparse & (rarer == count))
        null = _null(counts).statistics(count)
        pvalue[units] = upper_tail(null, statistic[units])
    return {
        "ljung_box_statistic": statistic,
        "ljung_box_pvalue": pvalue,
        "ljung_box_method": method,
    }


def _null(counts: Counts) -> LjungBoxNull:
    # Sorted, since the order of segments does not change the distribution.
    lengths = tuple(np.sort(counts.segments.lengths).tolist())
    return ljung_box_null(lengths, counts.lags)


def _by_definition(train: Train) -> float:
    """Return the statistic over segments, which statsmodels does not know."""
    n_time_bins, lags = train.n_time_bins, range(1, train.lags + 1)
    pairs = [sum(max(0, len(part) - lag) for part in train.pieces) for lag in lags]
    correlations = [
        train.autocovariance(lag) / (n_time_bins * train.series.var()) for lag in lags
    ]
    terms = sum(r**2 / n for r, n in zip(correlations, pairs, strict=True))
    return float(n_time_bins * (n_time_bins + 2) * terms)


def _reference(train: Train) -> Mapping[str, Any]:
    if len(train.pieces) == 1:
        from statsmodels.stats.diagnostic import acorr_ljungbox

        row = acorr_ljungbox(train.series, lags=[train.lags]).iloc[0]
        statistic, pvalue = float(row["lb_stat"]), float(row["lb_pvalue"])
    else:
        from scipy import stats

        statistic = _by_definition(train)
        pvalue = float(stats.chi2.sf(statistic, train.lags))
    method = "chi-square"
    spikes = int(train.series.sum())
    rarer = min(spikes, train.n_time_bins - spikes)
    if rarer < MIN_ASYMPTOTIC:
        null = _null(train.counts).statistics(rarer)
        pvalue, method = float(upper_tail(null, statistic)), "permutation"
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
            "p-value of independent bins of one rate (no serial dependence up to the"
            " last lag). Over several segments a rate that changes within them or from"
            " one to the next rejects too: for trials a PSTH alone does, so that a"
            " rejection does not show what a trial remembers; serial_correlation of"
            " analyze_trials does.",
            in_random_order=BY_CONSTRUCTION,
        ),
        text_column(
            "ljung_box_method",
            "Null distribution of the Ljung-Box test: chi-square, or permutation below"
            f" {MIN_ASYMPTOTIC} spikes or empty bins.",
        ),
    ),
    null="independent bins of one rate over all segments",
    null_in_short="bins are independent (Ljung-Box)",
    validity="a segment of more bins than lags, neither silent nor saturated",
    source=(
        "Ljung and Box (1978), Biometrika 65:297;"
        " `statsmodels.stats.diagnostic.acorr_ljungbox`"
    ),
    reason=_reason,
    fast=_fast,
    reference=_reference,
    pvalue="ljung_box_pvalue",
)
