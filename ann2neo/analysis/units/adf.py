"""The augmented Dickey-Fuller test of all units at once, from integer counts.

Every regression of the test needs one Gram matrix of the level, the lagged differences
and the difference to explain. For a train of zeros and ones its entries are integers,
given exactly by lagged counts and the bits at both ends. One Cholesky decomposition
then holds the residual sums of squares of all nested regressions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special
from scipy.linalg import lapack

from ann2neo.analysis._entry import (
    BY_DESIGN,
    Column,
    FloatArray,
    IntArray,
    UnitStatistic,
    Values,
    count_column,
    reasons,
)
from ann2neo.analysis.units.counts import Counts, Train
from ann2neo.analysis.units.firing_rate import MIN_TIME_BINS

__all__ = ["ADF", "max_adf_lag"]

_AIC_TIE = 1e-9
_LEAST_PIVOT = 1e-6
"""Share of a regressor's variance that the regressors before it must leave unexplained;
with less, integers decide.
"""

_GRAM_BYTES, _LEAST_UNITS = 1 << 19, 32
"""Bytes of the Gram matrices of units that are decomposed together, and the least
number of units, over which one step is one operation.
"""

_LARGE = 40
"""Variables from which LAPACK is faster, one matrix after another."""

_DEPENDENT = (
    "regressors are linearly dependent (a periodic train, or spikes only at an end)"
)
_NO_RESIDUAL = "the regression leaves no residual (the past determines every bin)"


def max_adf_lag(n_time_bins: int) -> int:
    """Return the largest lag that statsmodels considers for a regression with constant.

    Parameters
    ----------
    n_time_bins : int
        Number of bins.

    Returns
    -------
    int
        ``min(N // 2 - 2, ceil(12 (N / 100)^(1/4)))`` (Schwert 1989); negative if there
        are too few bins.

    Examples
    --------
    >>> max_adf_lag(60_000)
    60
    """
    schwert: int = math.ceil(12.0 * (n_time_bins / 100.0) ** 0.25)
    return min(n_time_bins // 2 - 2, schwert)


def _gram(counts: Counts, units: npt.NDArray[np.intp], lag: int) -> IntArray:
    """Return the centred Gram matrices, times the number of observations.

    Returns
    -------
    ndarray of int64, shape (n_units, lag + 2, lag + 2)
        Variables x(t-1), then dx(t-1) .. dx(t-lag), then dx(t), summed over t = lag + 1
        .. N - 1.
    """
    n_levels, start, n_time_bins = lag + 2, lag + 1, counts.n_time_bins
    head = counts.raster.head(start)[units].view(np.uint8)
    tail = counts.raster.tail(start)[units][:, ::-1].view(np.uint8)
    # Up to the largest lag of any regression, so that the bits are counted once.
    pairs = counts.lag_counts(max_adf_lag(n_time_bins) + 1)[units]
    flat = np.empty((len(units), n_levels * n_levels), np.int64)
    for apart in range(n_levels):
        # The sum of x(t-i) x(t-i-apart) over the regression's t is the sum over all t,
        # less the pairs in the first and in the last bins.
        n_pairs = n_levels - apart
        inside = np.repeat(pairs[:, apart : apart + 1], n_pairs, axis=1)
        before = np.cumsum(
            head[:, apart:] & head[:, : start - apart], axis=1, dtype=np.int64
        )
        inside[:, : n_pairs - 1] -= before[:, ::-1]
        after = np.cumsum(
            tail[:, apart:] & tail[:, : start - apart], axis=1, dtype=np.int64
        )
        inside[:, 1:] -= after
        # The diagonal at that distance, above and below the main one:
        #     flat index of (i, i + apart) = apart + i (n_levels + 1)
        flat[:, apart :: n_levels + 1][:, :n_pairs] = inside
        flat[:, apart * n_levels :: n_levels + 1] = inside
    # (n_units, n_levels, n_levels). A bit is its own square, so that the diagonal holds
    # the sums for centring. With M observations, M sum x y - sum x sum y is whole.
    products = flat.reshape(-1, n_levels, n_levels)
    sums = np.diagonal(products, axis1=1, axis2=2)
    levels = (
        products * (n_time_bins - start)
        - sums[:, :, np.newaxis] * sums[:, np.newaxis, :]
    )
    # Differences of neighbouring levels: dx(t-i) = x(t-i) - x(t-i-1).
    order = [*range(1, lag + 1), 0]
    rows = levels[:, :-1] - levels[:, 1:]
    differences = (rows[:, :, :-1] - rows[:, :, 1:])[:, order][:, :, order]
    gram = np.empty_like(levels)
    gram[:, 1:, 1:] = differences
    gram[:, 0, 0] = levels[:, 1, 1]
    gram[:, 1:, 0] = gram[:, 0, 1:] = rows[:, order, 1]
    return gram


@np.errstate(all="ignore")
def _last_rows(gram: IntArray) -> FloatArray:
    """Return the last row of the Cholesky factor of each Gram matrix.

    Returns
    -------
    ndarray of float, shape (n_units, n_variables)
        NaN for units where rounding could matter.
    """
    if gram.shape[1] > _LARGE:
        return np.array([_last_row_of_one(matrix) for matrix in gram])
    # A pivot of 0 or below makes numbers that are not used.
    #
    # (n_variables, n_variables, n_units): one step of all decompositions is one
    # operation, and no unit sees another.
    rest = np.ascontiguousarray(np.moveaxis(gram, 0, -1), np.float64)
    size, n_units = len(rest), rest.shape[-1]
    least = _LEAST_PIVOT * np.diagonal(rest).T
    sure = np.ones(n_units, np.bool_)
    last = np.empty((size, n_units))
    for step in range(size):
        sure &= rest[step, step] > least[step]
        row = rest[step, step:] / np.sqrt(rest[step, step])
        last[step] = row[-1]
        rest[step + 1 :, step + 1 :] -= row[1:, np.newaxis] * row[1:]
    return np.where(sure, last, np.nan).T


def _last_row_of_one(gram: IntArray) -> FloatArray:
    """Return the same of one unit."""
    # Symmetric, so that the transpose is the same matrix in the order of LAPACK.
    factor, info = lapack.dpotrf(gram.astype(np.float64).T, lower=1, overwrite_a=1)
    pivots = np.square(np.diagonal(factor))
    if info or not (pivots > _LEAST_PIVOT * np.diagonal(gram)).all():
        return np.full(len(gram), np.nan)
    last: FloatArray = factor[-1]
    return last


def _residual_sums(gram: IntArray) -> FloatArray:
    """Return the residual sums of squares with 0, 1, .. lags of each unit.

    Returns
    -------
    ndarray of float, shape (n_units, lags + 1)
        NaN for units where rounding could matter.
    """
    # With L the Cholesky factor and row y its last, a regression on the first k
    # regressors (the level is one of them) leaves
    #     RSS(k) = sum over j >= k of L(y, j)^2,
    # so that one row serves all lags.
    squares = np.square(_last_rows(gram)[:, 1:])
    return np.cumsum(squares[:, ::-1], axis=1)[:, ::-1]


def _exact_residual_sums(gram: IntArray) -> FloatArray | str:
    """Return the same from integers alone (fraction-free elimination, Bareiss 1968)."""
    # Python's integers do not overflow. Bareiss keeps every entry a determinant, and
    # with R the first k regressors
    #     RSS(k) = det(Gram of R and y) / det(Gram of R).
    matrix = gram.astype(object)
    size = len(matrix)
    previous = 1
    sums: list[float] = []
    for column in range(size - 1):
        pivot = matrix[column, column]
        if pivot == 0:
            return _DEPENDENT
        matrix = _eliminated(matrix, column, previous)
        previous = pivot
        sums.append(float(Fraction(int(matrix[-1, -1]), int(pivot))))
    return _NO_RESIDUAL if matrix[-1, -1] == 0 else np.array(sums)


def _eliminated(
    matrix: npt.NDArray[Any], column: int, previous: int
) -> npt.NDArray[Any]:
    rest = slice(column + 1, None)
    pivot = matrix[column, column]
    reduced = matrix.copy()
    reduced[rest, rest] = (
        pivot * matrix[rest, rest]
        - matrix[rest, column : column + 1] * matrix[column : column + 1, rest]
    ) // previous
    return reduced


def _tvalues(gram: IntArray, degrees: int) -> FloatArray:
    """Return the t value of the level of each unit, from Gram matrices."""
    # With the level as the last regressor, slope and standard error share a divisor:
    #     t = L(y, level) / s, s^2 = L(y, y)^2 / degrees.
    size = gram.shape[1]
    order = [*range(1, size - 1), 0, size - 1]
    gram = gram[:, order][:, :, order]
    last = _last_rows(gram)
    tvalues: FloatArray = last[:, -2] / np.sqrt(last[:, -1] ** 2 / degrees)
    for unit in np.flatnonzero(np.isnan(tvalues)):
        tvalues[unit] = _exact_tvalue(gram[unit], degrees)
    return tvalues


def _exact_tvalue(gram: IntArray, degrees: int) -> float:
    """Return the same of one unit from integers alone, the level before the last."""
    matrix, previous = gram.astype(object), 1
    for column in range(len(matrix) - 2):
        pivot = matrix[column, column]
        matrix, previous = _eliminated(matrix, column, previous), pivot
    # What the lags leave of level and difference, all times the same determinant:
    #     t^2 = both^2 degrees / (explained level - both^2).
    (level, both), (_, explained) = matrix[-2:, -2:].tolist()
    squared = Fraction(both * both * degrees, explained * level - both * both)
    return math.copysign(math.sqrt(squared), both)


def _in_blocks(units: npt.NDArray[np.intp], lag: int) -> list[npt.NDArray[np.intp]]:
    """Cut units into blocks whose Gram matrices stay in cache."""
    rows = max(_LEAST_UNITS, _GRAM_BYTES // (8 * (lag + 2) ** 2))
    return np.split(units, range(rows, len(units), rows))


# Reasons and values of a block are asked for one after the other.
@lru_cache(maxsize=1)
def _fitted(phase: Counts) -> tuple[npt.NDArray[Any], FloatArray, IntArray]:
    """Return why each unit has no statistic, its statistic, and its lag."""
    # A regression needs one run of bins: the longest segment stands for the phase.
    counts = phase.longest
    n_time_bins = counts.n_time_bins
    largest = max_adf_lag(n_time_bins)
    where = "" if counts is phase else " in the longest segment"
    too_short = (
        f"the longest segment has {n_time_bins} of {phase.n_time_bins} time bins; needs"
        " half of them"
    )
    reason = reasons(
        counts,
        (2 * n_time_bins < phase.n_time_bins, too_short),
        (largest < 0, f"{n_time_bins} time bins{where}; needs {MIN_TIME_BINS}"),
        (counts.n_spikes == 0, f"silent{where}"),
        (counts.n_spikes == n_time_bins, f"saturated{where}"),
    )
    statistic = np.full(counts.n_units, np.nan)
    lags = np.full(counts.n_units, -1, np.int64)
    active = np.flatnonzero(reason == "")
    if not len(active):
        return reason, statistic, lags
    for units in _in_blocks(active, largest):
        gram = _gram(counts, units, largest)
        sums = _residual_sums(gram)
        for row in np.flatnonzero(np.isnan(sums).any(axis=1)):
            exact = _exact_residual_sums(gram[row])
            if isinstance(exact, str):
                reason[units[row]] = exact
            else:
                sums[row] = exact
        valid = reason[units] == ""
        # Up to a constant, on the observations that all lags have. Of ties, which
        # rounding must not decide, the smallest lag, as in statsmodels.
        aic = (n_time_bins - largest - 1) * np.log(sums[valid])
        aic += 2.0 * np.arange(largest + 1)
        least = aic.min(axis=1, keepdims=True)
        lags[units[valid]] = np.argmax(aic <= least + _AIC_TIE, axis=1)
    # Units of the same lag share one regression with more observations.
    for lag in np.unique(lags[lags >= 0]).tolist():
        degrees = n_time_bins - lag - 1 - (lag + 2)
        for units in _in_blocks(np.flatnonzero(lags == lag), lag):
            statistic[units] = _tvalues(_gram(counts, units, lag), degrees)
    return reason, statistic, lags


def _pvalues(statistic: FloatArray) -> FloatArray:
    """Return what `mackinnonp` of statsmodels does, of all units at once."""
    from statsmodels.tsa import adfvalues

    # The tables of a regression with constant, for one series.
    least, star, most = (
        table["c"][0]
        for table in (adfvalues._tau_mins, adfvalues._tau_stars, adfvalues._tau_maxs)
    )
    small, large = (
        np.polynomial.polynomial.polyval(statistic, table["c"][0])
        for table in (adfvalues._tau_smallps, adfvalues._tau_largeps)
    )
    pvalue: FloatArray = special.ndtr(np.where(statistic <= star, small, large))
    pvalue[statistic > most] = 1.0
    pvalue[statistic < least] = 0.0
    return pvalue


def _fast(counts: Counts) -> Values:
    _, statistic, lags = _fitted(counts)
    return {
        "adf_statistic": statistic,
        "adf_pvalue": _pvalues(statistic),
        "adf_lag": lags,
        "adf_nobs": np.where(lags >= 0, counts.longest.n_time_bins - lags - 1, -1),
    }


def _reference(train: Train) -> Mapping[str, Any]:
    from statsmodels.tsa.stattools import adfuller

    longest = max(train.pieces, key=len)
    result = adfuller(longest, regression="c", autolag="AIC", result_object=True)
    return {
        "adf_statistic": float(result.statistic),
        "adf_pvalue": float(result.pvalue),
        "adf_lag": int(result.lags),
        "adf_nobs": int(result.nobs),
    }


ADF = UnitStatistic(
    name="adf",
    columns=(
        Column(
            "adf_statistic",
            "Augmented Dickey-Fuller statistic (constant, lag by AIC): how strongly a"
            " train returns to its mean.",
            in_random_order=BY_DESIGN,
        ),
        Column(
            "adf_pvalue",
            "p-value of a unit root; no train of zeros and ones has one, so a long one"
            " rejects, even one whose rate drifts: a test of stationarity is"
            " kpss_pvalue. Of several segments the longest is tested.",
            in_random_order=BY_DESIGN,
        ),
        count_column("adf_lag", "Lag chosen by AIC; -1 where there is none."),
        count_column(
            "adf_nobs", "Observations in the regression; -1 where there is none."
        ),
    ),
    null="a unit root",
    null_in_short="a unit root (Dickey-Fuller)",
    validity=(
        "a segment with at least half of the bins; every nested regression has full"
        " rank and leaves a residual, decided in integers"
    ),
    source=(
        "Dickey and Fuller (1979), J Am Stat Assoc 74:427; Said and Dickey (1984),"
        " Biometrika 71:599; largest lag of Schwert (1989), J Bus Econ Stat 7:147;"
        " p-value of MacKinnon (1994), J Bus Econ Stat 12:167;"
        " `statsmodels.tsa.stattools.adfuller`"
    ),
    reason=lambda counts: _fitted(counts)[0],
    fast=_fast,
    reference=_reference,
    pvalue="adf_pvalue",
    rejects_by_design="expected of any long train",
)
