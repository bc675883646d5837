"""The augmented Dickey-Fuller test of all units at once, from integer counts.

Every regression of the test lives on one Gram matrix of level, lagged differences and
the difference to explain. For a train of zeros and ones that matrix is made of
integers, which lagged counts and the bits at both ends give exactly. One Cholesky
decomposition then holds the residual sums of all nested regressions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.linalg import lapack

from ann2neo.analysis._entry import (
    BY_DESIGN,
    Column,
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
"""Share of a regressor's variance that must be left after the regressors before it;
below, integers decide.
"""

_DEPENDENT = (
    "regressors are linearly dependent (a periodic train, or spikes only at an end)"
)
_NO_RESIDUAL = "the regression leaves no residual (the past determines every bin)"

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


class _Fit(NamedTuple):
    """Outcome of one unit."""

    statistic: float
    lag: int


def max_adf_lag(n_time_bins: int) -> int:
    """Largest lag considered, as statsmodels has it for a regression with constant.

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
    """Gram matrix of the regression with `lag` lagged differences, centred and times
    the number of observations.

    Returns
    -------
    ndarray of int64, shape (n_units, lag + 2, lag + 2)
        Variables x(t-1), then dx(t-1) .. dx(t-lag), then dx(t), summed over t = lag + 1
        .. N - 1.
    """
    n_levels, start, n_time_bins = lag + 2, lag + 1, counts.n_time_bins
    head = counts.raster.head(start)[units].view(np.uint8)
    tail = counts.raster.tail(start)[units][:, ::-1].view(np.uint8)
    pairs = counts.lag_counts(max_adf_lag(n_time_bins) + 1)[units]
    flat = np.empty((len(units), n_levels * n_levels), np.int64)
    for apart in range(n_levels):
        # x(t-i) x(t-i-apart) summed over all t, less the pairs that the first and the
        # last bins would add.
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
        flat[:, apart :: n_levels + 1][:, :n_pairs] = inside
        flat[:, apart * n_levels :: n_levels + 1] = inside
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


def _residual_sums(gram: IntArray) -> FloatArray | str:
    """Residual sums of the nested regressions with 0, 1, .. lags, or why there are
    none.
    """
    pivots, last = _decomposed(gram)
    if pivots is not None:
        return np.cumsum(np.square(last[1:])[::-1])[::-1][: len(last) - 1]
    return _exact_residual_sums(gram)


def _decomposed(gram: IntArray) -> tuple[FloatArray | None, FloatArray]:
    """Pivots and last row of the Cholesky factor; no pivots where rounding could be
    felt.
    """
    scale = np.diagonal(gram)
    factor, info = lapack.dpotrf(gram.astype(np.float64).T, lower=1, overwrite_a=1)
    last = factor[-1]
    if info:
        return None, last
    pivots = np.square(np.diagonal(factor))
    return (pivots if (pivots > _LEAST_PIVOT * scale).all() else None), last


def _exact_residual_sums(gram: IntArray) -> FloatArray | str:
    """The same from integers alone (fraction-free elimination, Bareiss 1968)."""
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


def _tvalue(gram: IntArray, degrees: int) -> float:
    """T value of the level in the regression whose variables are ordered level, lags,
    difference.
    """
    order = [*range(1, len(gram) - 1), 0, len(gram) - 1]
    gram = gram[np.ix_(order, order)]
    pivots, last = _decomposed(gram)
    if pivots is not None:
        return float(last[-2] / math.sqrt(last[-1] ** 2 / degrees))
    matrix, previous = gram.astype(object), 1
    for column in range(len(matrix) - 2):
        pivot = matrix[column, column]
        matrix, previous = _eliminated(matrix, column, previous), pivot
    (level, both), (_, explained) = matrix[-2:, -2:].tolist()
    squared = Fraction(both * both * degrees, explained * level - both * both)
    return math.copysign(math.sqrt(squared), both)


def _smallest_aic(residual_sums: FloatArray, n_observations: int) -> int:
    criterion = n_observations * np.log(residual_sums) + 2.0 * np.arange(
        len(residual_sums)
    )
    return int(np.argmax(criterion <= criterion.min() + _AIC_TIE))


def _fitted(counts: Counts) -> list[_Fit | str]:
    """Statistic and lag of each unit, or why there is none."""
    n_time_bins = counts.n_time_bins
    largest = max_adf_lag(n_time_bins)
    constant = reasons(
        counts,
        (counts.n_spikes == 0, "silent"),
        (counts.n_spikes == n_time_bins, "saturated"),
    )
    outcome: list[_Fit | str] = constant.tolist()
    if largest < 0:
        return [f"{n_time_bins} time bins; needs {MIN_TIME_BINS}"] * counts.n_units
    chosen: dict[int, list[int]] = {}
    active = np.flatnonzero(constant == "")
    for unit, gram in zip(active.tolist(), _gram(counts, active, largest), strict=True):
        sums = _residual_sums(gram)
        if isinstance(sums, str):
            outcome[unit] = sums
        else:
            chosen.setdefault(
                _smallest_aic(sums, n_time_bins - largest - 1), []
            ).append(unit)
    for lag, units in chosen.items():
        degrees = n_time_bins - lag - 1 - (lag + 2)
        for unit, gram in zip(units, _gram(counts, np.array(units), lag), strict=True):
            outcome[unit] = _Fit(_tvalue(gram, degrees), lag)
    return outcome


def _reason(counts: Counts) -> npt.NDArray[Any]:
    fits = counts.made_once("adf", _fitted)
    return np.array([fit if isinstance(fit, str) else "" for fit in fits], dtype=object)


def _fast(counts: Counts) -> Values:
    from statsmodels.tsa.adfvalues import mackinnonp

    fits = [
        fit if isinstance(fit, _Fit) else _Fit(math.nan, -1)
        for fit in counts.made_once("adf", _fitted)
    ]
    lags = np.array([fit.lag for fit in fits], np.int64)
    return {
        "adf_statistic": np.array([fit.statistic for fit in fits]),
        "adf_pvalue": np.array(
            [mackinnonp(fit.statistic) if fit.lag >= 0 else math.nan for fit in fits]
        ),
        "adf_lag": lags,
        "adf_nobs": np.where(lags >= 0, counts.n_time_bins - lags - 1, -1),
    }


def _reference(train: Train) -> Mapping[str, Any]:
    from statsmodels.tsa.stattools import adfuller

    result = adfuller(train.series, regression="c", autolag="AIC", result_object=True)
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
            "Augmented Dickey-Fuller statistic (constant, lag by AIC): how firmly a"
            " train returns to its mean.",
            in_random_order=BY_DESIGN,
        ),
        Column(
            "adf_pvalue",
            "p-value of a unit root; no train of zeros and ones has one, so a long one"
            " rejects, and rejecting is no proof of a constant rate: see trend_pvalue.",
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
        "every nested regression has full rank and leaves a residual, decided in"
        " integers"
    ),
    source=(
        "Dickey and Fuller (1979), J Am Stat Assoc 74:427; Said and Dickey (1984),"
        " Biometrika 71:599; largest lag of Schwert (1989), J Bus Econ Stat 7:147;"
        " p-value of MacKinnon (1994), J Bus Econ Stat 12:167;"
        " `statsmodels.tsa.stattools.adfuller`"
    ),
    reason=_reason,
    fast=_fast,
    reference=_reference,
    pvalue="adf_pvalue",
    rejects_by_design="expected of any long train",
)
