"""The KPSS test of level stationarity, of all units at once from the bits."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special

from ann2neo.analysis._entry import (
    BY_CONSTRUCTION,
    Column,
    FloatArray,
    IntArray,
    UnitStatistic,
    Values,
    count_column,
    reasons,
)
from ann2neo.analysis.units.counts import Counts, Train

__all__ = ["KPSS", "kpss_pvalue"]

_MIN_TIME_BINS = 100
"""Minimum number of bins: the null distribution is that of long trains."""

_CRITICAL = (0.347, 0.463, 0.574, 0.739)
_CRITICAL_PVALUES = (0.1, 0.05, 0.025, 0.01)
"""The table of Kwiatkowski et al. (1992), which statsmodels interpolates."""

_LAGS_BY_BITS = 512
"""With more lags, sums in windows are faster than pairs of spikes at each lag."""

_WORDS_AT_ONCE = 1 << 14
"""16-bit words that are summed together: arrays of up to 128 KiB, which stay in cache.
"""

_SERIES_BELOW = 0.05
_SERIES_TERMS = 6
_INTEGRALS, _NODES = 8, 48
"""Terms after which the limit distribution has full precision."""


def kpss_pvalue(statistic: npt.ArrayLike) -> FloatArray:
    """Return the p-value of a KPSS statistic by its limit law (Cramer-von Mises).

    Parameters
    ----------
    statistic : array_like of float
        Values of at least 0.

    Returns
    -------
    ndarray of float
        Probability that the integral of a squared Brownian bridge is larger, accurate
        in the upper tail too (Smirnov 1936, C R Acad Sci Paris 202:449; for small
        values Csorgo and Faraway 1996, J R Stat Soc B 58:221, equation 1.3).

    Examples
    --------
    >>> kpss_pvalue([0.347, 0.463, 0.739]).round(3)
    array([0.1 , 0.05, 0.01])
    """
    values = np.asarray(statistic, np.float64)
    large = np.maximum(values, _SERIES_BELOW)[..., np.newaxis]
    # The sum over k of (-1)^(k+1) 2 / pi times the integral of
    #     exp(-x u^2 / 2) / sqrt(-u sin u), u from (2 k - 1) pi to 2 k pi,
    # whose square-root poles at both ends are the weight of Gauss and Chebyshev.
    angle = (np.arange(_NODES) + 0.5) * (np.pi / _NODES)
    place = np.cos(angle)
    middle = np.pi * (2 * np.arange(1, _INTEGRALS + 1) - 0.5)
    u = middle[:, np.newaxis] + np.pi / 2 * place
    weight = np.sin(angle) / np.sqrt(u * np.cos(np.pi / 2 * place)) * (np.pi / _NODES)
    weight[1::2] *= -1
    tail = (np.exp(-large * (u * u).ravel() / 2) * weight.ravel()).sum(axis=-1)
    # Below, one minus the distribution function: a series of Bessel functions.
    small = np.clip(values, 1e-4, _SERIES_BELOW)[..., np.newaxis]
    term = np.arange(_SERIES_TERMS)
    root = 4 * term + 1.0
    size = np.exp(special.gammaln(term + 0.5) - special.gammaln(term + 1))
    bessel = special.kve(0.25, root**2 / (16 * small))
    # kve is exp(z) K(z), so that this is exp(-z) K(z) for z the argument.
    bessel *= np.exp(-(root**2) / (8 * small))
    below = (size * np.sqrt(root) * bessel).sum(axis=-1) / np.sqrt(small[..., 0])
    pvalue = np.where(
        values < _SERIES_BELOW, 1 - below / np.pi**1.5, np.maximum(0.0, tail)
    )
    return np.where(np.isnan(values), np.nan, pvalue)


@lru_cache(maxsize=1)
def _word_sums() -> tuple[npt.NDArray[np.int16], ...]:
    """Return sums over the bins of every 16-bit word, each of shape (65536,).

    With s_j the spikes in the first j bins of a word: the sums of s_j, s_j^2 and j s_j.
    """
    words = np.arange(1 << 16, dtype="<u2")
    bits = np.unpackbits(words.view(np.uint8).reshape(-1, 2), axis=1, bitorder="little")
    inside = np.cumsum(bits, axis=1, dtype=np.int16)
    # At most the sum of j^2 up to 16, 1 496.
    number = np.arange(1, 17, dtype=np.int16)
    return tuple(
        values.sum(axis=1, dtype=np.int16)
        for values in (inside, inside * inside, inside * number)
    )


def _cumulated_squares(counts: Counts, units: npt.NDArray[np.intp]) -> FloatArray:
    """Return the sum over t of (S_t - t p)^2, S_t the spikes in the first t bins."""
    n_time_bins = counts.n_time_bins
    words = counts.raster.bits.view("<u2")
    first = 16 * np.arange(words.shape[1], dtype=np.int64)
    # The padding of the last word: S_t stays K, so that S_t - t p falls by p per bin.
    padding = np.arange(1, 16 * words.shape[1] - n_time_bins + 1)
    beyond = float(np.square(padding).sum())
    rows = max(1, _WORDS_AT_ONCE // words.shape[1])
    sums = []
    for some in np.split(units, range(rows, len(units), rows)):
        word, n_spikes = words[some], counts.n_spikes[some]
        spikes = np.bitwise_count(word)
        before = np.cumsum(spikes, axis=1, dtype=np.int64) - spikes
        # Word by word. With d = S - t p before a word, the sum over its 16 bins of
        # (d + s_j - j p)^2 needs three sums over s_j: a table has them for every word.
        # d is a difference of integers, so that no long sum loses digits.
        d = (n_time_bins * before - n_spikes[:, np.newaxis] * first) / n_time_bins
        rate = n_spikes / n_time_bins
        # Method `take`, which is several times as fast as table[word].
        total, squares, weighted = (table.take(word) for table in _word_sums())
        sums.append(
            16 * np.square(d).sum(axis=1)
            + 2 * ((d * total).sum(axis=1) - 136 * rate * d.sum(axis=1))
            + squares.sum(axis=1, dtype=np.int64)
            - 2 * rate * weighted.sum(axis=1, dtype=np.int64)
            + rate**2 * (1496 * len(first) - beyond)
        )
    return np.concatenate(sums)


def _scaled_covariances(counts: Counts, max_lag: int) -> IntArray:
    """Return the whole part of the covariances, shape (n_units, max_lag + 1).

    With c_k the sum of (x(t) - p) (x(t+k) - p) over the pairs at lag k, these are ``N
    c_k - K^2 n_k / N``.
    """
    n_spikes = counts.n_spikes[:, np.newaxis]
    inside = 2 * n_spikes - counts.end_counts(max_lag)
    return counts.n_time_bins * counts.lag_counts(max_lag) - n_spikes * inside


def _weighted(
    covariances: IntArray, weights: IntArray, n_spikes: IntArray, n_pairs: IntArray
) -> npt.NDArray[Any]:
    """Return N^2 times the weighted sum of covariances of each unit.

    As Python's integers, shape (n_units,): they are of third order in the bins, which
    int64 cannot hold from two million bins on.
    """
    exact = weights.astype(object)
    whole = covariances.astype(object) @ exact
    squares = n_spikes.astype(object) ** 2
    total: npt.NDArray[Any] = int(n_pairs[0]) * whole + squares * (n_pairs @ exact)
    return total


# Reasons and values of a block are asked for one after the other.
@lru_cache(maxsize=1)
def _fitted(counts: Counts) -> tuple[npt.NDArray[Any], FloatArray, IntArray]:
    """Return why each unit has no statistic, its statistic, and its lag."""
    n_time_bins = counts.n_time_bins
    reason = reasons(
        counts,
        (
            n_time_bins < _MIN_TIME_BINS,
            f"{n_time_bins} time bins; needs {_MIN_TIME_BINS}",
        ),
        (counts.n_spikes == 0, "silent"),
        (counts.n_spikes == n_time_bins, "saturated"),
    )
    statistic = np.full(counts.n_units, np.nan)
    lags = np.full(counts.n_units, -1, np.int64)
    active = np.flatnonzero(reason == "")
    if not len(active):
        return reason, statistic, lags
    # The rule of Hobijn, Franses and Ooms (1998) for the number of lags.
    n_covariances = int(np.power(n_time_bins, 2.0 / 9.0))
    lag = np.arange(n_covariances + 1)
    twice = np.where(lag == 0, 1, 2)
    covariances = _scaled_covariances(counts, n_covariances)
    n_pairs = counts.segments.n_pairs(n_covariances)
    sums = _weighted(covariances, twice, counts.n_spikes, n_pairs)
    moments = _weighted(covariances, twice * lag, counts.n_spikes, n_pairs)
    reason[(reason == "") & (sums == 0)] = (
        "the lag is undefined: covariances of neighbouring bins add up to 0"
    )
    active = np.flatnonzero(reason == "")
    ratio = (moments[active] / sums[active]).astype(np.float64)
    growth = 1.1447 * np.power(ratio * ratio, 1 / 3) * np.power(n_time_bins, 1 / 3)
    lags[active] = np.minimum(growth, n_time_bins - 1).astype(np.int64)
    variance = np.empty(len(active))
    # Units of about as many lags together: a few of many lags cost the others nothing.
    size = np.frexp(lags[active])[1]
    for power in np.unique(size):
        rows = np.flatnonzero(size == power)
        variance[rows] = _long_run_variances(counts, active[rows], lags[active[rows]])
    statistic[active] = _cumulated_squares(counts, active) / n_time_bins / variance
    return reason, statistic, lags


def _long_run_variances(
    counts: Counts, units: npt.NDArray[np.intp], lags: IntArray
) -> FloatArray:
    """Return the sum over lags -L .. L of (1 - abs(k) / (L + 1)) c_k of each unit."""
    largest = int(lags.max())
    if largest > _LAGS_BY_BITS:
        return np.array(
            [
                _by_windows(counts, unit, lag)
                for unit, lag in zip(units.tolist(), lags.tolist(), strict=True)
            ]
        )
    if counts.has_lags(largest):
        covariances = _scaled_covariances(counts, largest)[units]
    else:
        covariances = _scaled_covariances(counts.of_units(units), largest)
    n_spikes, n_pairs = counts.n_spikes[units], counts.segments.n_pairs(largest)
    sums = np.empty(len(units))
    for lag in np.unique(lags):
        rows = np.flatnonzero(lags == lag)
        weights = 2 * (lag + 1 - np.arange(lag + 1))
        weights[0] = lag + 1
        total = _weighted(
            covariances[rows, : lag + 1], weights, n_spikes[rows], n_pairs[: lag + 1]
        )
        # N^2 (L + 1) times the sum, divided once.
        scale = int(lag + 1) * counts.n_time_bins**2
        sums[rows] = (total / scale).astype(np.float64)
    return sums


def _by_windows(counts: Counts, unit: int, lag: int) -> float:
    """Return the same for one unit and any lag, in a time that the lag does not change.

    With Bartlett's weights it is the sum of squared sums over all windows of lag + 1
    bins, those that lap over an end of a segment too, divided by lag + 1. No term is
    negative, so that nothing cancels.
    """
    n_time_bins, window = counts.n_time_bins, lag + 1
    edges = counts.segments.edges
    series = counts.raster.take(units=[unit]).to_dense()[0]
    cumulated = np.zeros(n_time_bins + 1, np.int64)
    np.cumsum(series, out=cumulated[1:])
    # N times the cumulated x(t) - p.
    cumulated *= n_time_bins
    cumulated -= int(counts.n_spikes[unit]) * np.arange(n_time_bins + 1)
    stop = np.arange(1, n_time_bins + 1)
    segment = np.repeat(np.arange(len(edges) - 1), counts.segments.lengths)
    first, last = edges[segment], edges[segment + 1]
    # Windows that end in the segment: from its first bin, or `window` bins earlier.
    inside = cumulated[stop] - cumulated[np.maximum(first, stop - window)]
    # Windows that end beyond it and begin after its first bin ...
    beginning = (stop < last) & (last - stop < window)
    beyond = cumulated[last[beginning]] - cumulated[stop[beginning]]
    # ... or before it, and so hold all of it.
    whole = np.diff(cumulated[edges])
    n_whole = np.maximum(0, window - counts.segments.lengths)
    squares = (
        np.square(inside, dtype=np.float64).sum()
        + np.square(beyond, dtype=np.float64).sum()
        + (np.square(whole, dtype=np.float64) * n_whole).sum()
    )
    return float(squares / window / n_time_bins**2)


def _table_pvalue(statistic: float | FloatArray) -> FloatArray:
    return np.asarray(np.interp(statistic, _CRITICAL, _CRITICAL_PVALUES))


def _fast(counts: Counts) -> Values:
    _, statistic, lags = _fitted(counts)
    return {
        "kpss_statistic": statistic,
        "kpss_pvalue": kpss_pvalue(statistic),
        "kpss_pvalue_table": _table_pvalue(statistic),
        "kpss_lag": lags,
    }


def _reference(train: Train) -> Mapping[str, Any]:
    if len(train.pieces) == 1:
        from statsmodels.tsa.stattools import kpss

        # statsmodels turns its warnings on again when it is imported, as just now.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = kpss(train.series, "c", nlags="auto", result_object=True)
        statistic, table = float(result.statistic), float(result.pvalue)
        lag = int(result.lags)
    else:
        statistic, lag = _by_definition(train)
        table = float(_table_pvalue(statistic))
    return {
        "kpss_statistic": statistic,
        "kpss_pvalue": float(kpss_pvalue(statistic)),
        "kpss_pvalue_table": table,
        "kpss_lag": lag,
    }


def _by_definition(train: Train) -> tuple[float, int]:
    """Return statistic and lag over segments, which statsmodels does not know."""
    n_time_bins = train.n_time_bins
    deviation = train.series - train.series.mean()
    variance = deviation @ deviation
    lags = range(1, int(n_time_bins ** (2 / 9)) + 1)
    covariances = [train.autocovariance(lag) for lag in lags]
    ratio = sum(2 * lag * c for lag, c in zip(lags, covariances, strict=True)) / (
        variance + 2 * sum(covariances)
    )
    growth = 1.1447 * (ratio**2) ** (1 / 3) * n_time_bins ** (1 / 3)
    chosen = int(min(growth, n_time_bins - 1))
    longest = max(map(len, train.pieces))
    long_run = variance + 2 * sum(
        (1 - lag / (chosen + 1)) * train.autocovariance(lag)
        for lag in range(1, min(chosen, longest - 1) + 1)
    )
    squares = np.square(np.cumsum(deviation)).sum()
    return float(squares / n_time_bins / long_run), chosen


KPSS = UnitStatistic(
    name="kpss",
    columns=(
        Column(
            "kpss_statistic",
            "KPSS statistic of level stationarity: how far the cumulative spike count"
            " strays from a straight line, relative to the variance that the train's"
            " memory allows.",
            in_random_order=BY_CONSTRUCTION,
        ),
        Column(
            "kpss_pvalue",
            "p-value of a constant rate, memory allowed, by the limit law (Cramer-von"
            " Mises), not clipped: the test of stationarity. Its lag is too short for"
            " modulation slower than about 100 bins, which rejects in 50 to 60 %.",
            in_random_order=BY_CONSTRUCTION,
        ),
        Column(
            "kpss_pvalue_table",
            "The same p-value as statsmodels has it, from a table and clipped to 0.01"
            " to 0.1.",
            in_random_order=BY_CONSTRUCTION,
        ),
        count_column(
            "kpss_lag",
            "Lag up to which the variance of the KPSS test allows memory, chosen from"
            " the train; -1 where there is none.",
        ),
    ),
    null="level stationarity: a constant rate, memory allowed",
    null_in_short="the rate is constant (KPSS)",
    validity=f"at least {_MIN_TIME_BINS} time bins, neither silent nor saturated",
    source=(
        "Kwiatkowski, Phillips, Schmidt and Shin (1992), J Econom 54:159; lag of"
        " Hobijn, Franses and Ooms (2004), Stat Neerl 58:483;"
        ' `statsmodels.tsa.stattools.kpss(regression="c", nlags="auto")`'
    ),
    reason=lambda counts: _fitted(counts)[0],
    fast=_fast,
    reference=_reference,
    pvalue="kpss_pvalue",
)
