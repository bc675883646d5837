"""The trend test: the largest excursion of the cumulative spike count from a line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special

from ann2neo.analysis._entry import (
    BY_CONSTRUCTION,
    Column,
    UnitStatistic,
    Values,
    reasons,
    text_column,
)
from ann2neo.analysis.units.counts import Counts, Train
from ann2neo.analysis.units.ljung_box import MIN_ASYMPTOTIC

__all__ = ["TREND", "excursion_pvalue"]

_SMALLEST = 1e-12
"""Smallest exact p-value, which is one minus a sum that rounds."""


def excursion_pvalue(n_spikes: int, n_time_bins: int, excursion: int) -> float:
    """Return the probability of an excursion at least that large in random order.

    Parameters
    ----------
    n_spikes, n_time_bins : int
        K and N, ``0 < K < N``.
    excursion : int
        ``max over k of abs(N S_k - k K)``, S_k the spikes in the first k bins.

    Returns
    -------
    float
        Share of all placements of the spikes whose excursion is at least as large, the
        limit of drawing ever more permutations; at least 1e-12. It equals that of the
        exact two-sample Kolmogorov-Smirnov test between bins with and without a spike
        (Hodges 1958, Arkiv för Matematik 3:469).

    Examples
    --------
    One spike in four bins strays furthest when it comes first or last.

    >>> excursion_pvalue(1, 4, 3)
    0.5
    """
    rare, common = sorted((n_spikes, n_time_bins - n_spikes))
    # A placement is a lattice path of `rare` steps up and `common` steps right. Paths
    # that stay inside a band around the diagonal are counted row by row:
    #     paths(up, right) = paths(up, right - 1) + paths(up - 1, right)
    # is a cumulative sum, scaled so that all paths together would end at 1.
    first, last = 0, min(common, -(-excursion // rare) - 1)
    paths = np.ones(last - first + 1)
    for up in range(1, rare + 1):
        # The band is abs(up common - right rare) < excursion, solved for `right`.
        new_first = max(0, (up * common - excursion) // rare + 1)
        new_last = min(common, -(-(up * common + excursion) // rare) - 1)
        row = np.zeros(max(0, new_last - new_first + 1))
        below = paths[new_first - first :]
        row[: len(below)] = below
        paths = np.cumsum(row, out=row)
        # In all, a division by the number of paths: C(common + rare, rare) is the
        # product of (common + up) / up.
        paths *= up / (common + up)
        first, last = new_first, new_last
    inside = float(paths[-1]) if len(paths) and last == common else 0.0
    return max(_SMALLEST, min(1.0, 1.0 - inside))


def _reason(counts: Counts) -> npt.NDArray[Any]:
    return reasons(
        counts,
        (counts.n_time_bins == 0, "no time bin"),
        (counts.n_spikes == 0, "silent"),
        (counts.n_spikes == counts.n_time_bins, "saturated"),
    )


def _fast(counts: Counts) -> Values:
    n_time_bins, spikes = counts.n_time_bins, counts.n_spikes
    drift = counts.intervals.drift
    rarer = np.minimum(spikes, n_time_bins - spikes)
    # max over k of abs(S_k - k p) / sqrt(N p (1 - p)), the maximum of a Brownian bridge
    # in the limit. N is a float since the product of three counts can overflow.
    statistic = drift / np.sqrt(spikes * (n_time_bins - spikes) * float(n_time_bins))
    pvalue = special.kolmogorov(statistic)
    method = np.full(counts.n_units, "Kolmogorov", dtype=object)
    for unit in np.flatnonzero((rarer < MIN_ASYMPTOTIC) & (rarer > 0)):
        pvalue[unit] = excursion_pvalue(int(rarer[unit]), n_time_bins, int(drift[unit]))
        method[unit] = "exact permutation"
    return {
        "trend_statistic": statistic,
        "trend_pvalue": pvalue,
        "trend_method": method,
    }


def _reference(train: Train) -> Mapping[str, Any]:
    from scipy.stats import ks_2samp
    from statsmodels.stats.diagnostic import breaks_cusumolsresid

    series = train.series
    spikes = int(series.sum())
    statistic, pvalue, _ = breaks_cusumolsresid(series - series.mean())
    method = "Kolmogorov"
    if min(spikes, train.n_time_bins - spikes) < MIN_ASYMPTOTIC:
        exact = ks_2samp(
            np.flatnonzero(series), np.flatnonzero(series == 0), method="exact"
        )
        pvalue, method = max(_SMALLEST, float(exact.pvalue)), "exact permutation"
    return {
        "trend_statistic": float(statistic),
        "trend_pvalue": float(pvalue),
        "trend_method": method,
    }


TREND = UnitStatistic(
    name="trend",
    columns=(
        Column(
            "trend_statistic",
            "Largest distance of the cumulative spike count from a straight line, in"
            " standard deviations. Segments follow one another.",
            in_random_order=BY_CONSTRUCTION,
        ),
        Column(
            "trend_pvalue",
            "p-value of independent bins of one rate. Not a test of stationarity where"
            " a train has memory: of stationary trains, bursts reject in 25 % and"
            " Markov chains in 15 to 61 % at a level of 5 %, regular trains never; see"
            " kpss_pvalue.",
            in_random_order=BY_CONSTRUCTION,
        ),
        text_column(
            "trend_method",
            "Null distribution of the trend test: Kolmogorov, or exact permutation"
            f" below {MIN_ASYMPTOTIC} spikes or empty bins.",
        ),
    ),
    null="independent bins of one rate",
    null_in_short="independent, of one rate (trend)",
    validity="neither silent nor saturated",
    source=(
        "two-sample Kolmogorov-Smirnov test between bins with and without a spike,"
        " Hodges (1958), Arkiv för Matematik 3:469; `scipy.stats.kstwobign`"
    ),
    reason=_reason,
    fast=_fast,
    reference=_reference,
    pvalue="trend_pvalue",
)
