"""Variability of spike counts between windows: Fano factor and dispersion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special

from ann2neo.analysis._entry import (
    BY_CONSTRUCTION,
    BY_DESIGN,
    Column,
    FloatArray,
    IntArray,
    UnitStatistic,
    Values,
    reasons,
    text_column,
)
from ann2neo.analysis.units.counts import Counts, Train
from ann2neo.analysis.units.nulls import few_windows_null, upper_tail, window_null

__all__ = [
    "DISPERSION",
    "FANO",
    "MIN_CHI_SQUARE",
    "dispersion_values",
    "unbiased_fano_values",
    "unbiased_variance",
]

MIN_CHI_SQUARE = 200
"""With more spikes, and more empty bins, p-values are from the chi-square distribution,
else Monte Carlo.
"""

MIN_WINDOWS = 10
"""Minimum number of windows for the chi-square distribution; with two or three windows
it rejects 6 to 9 % at a level of 5 %.
"""


@np.errstate(invalid="ignore")
def unbiased_variance(squares: Any, total: Any, n: Any) -> Any:
    """Return the variance (n - 1 in the denominator) of n counts.

    Parameters
    ----------
    squares, total : array_like of int
        Sum of the squared counts, and of the counts.
    n : array_like of int
        Number of counts.

    Returns
    -------
    ndarray of float
        Whole numbers are divided once, so that equal counts have a variance of
        exactly 0; NaN for fewer than two counts.
    """
    return (n * squares - total * total) / (n * (n - 1))


@np.errstate(invalid="ignore")
def unbiased_fano_values(squares: Any, spikes: Any, n_windows: int) -> FloatArray:
    """Return the unbiased Fano factor of window counts.

    Parameters
    ----------
    squares, spikes : ndarray of int, shape (n_units,)
        Sum of the squared counts, and of the counts.
    n_windows : int
        Number of windows.

    Returns
    -------
    ndarray of float, shape (n_units,)
        Variance (n - 1) over mean; NaN without a spike, and for fewer than two windows.
    """
    variance = unbiased_variance(squares, spikes, n_windows)
    values: FloatArray = variance / (spikes / n_windows)
    return values


def _chi_square(squares: Any, spikes: Any, n_windows: int, window: int) -> Any:
    """Return X2, the sum over windows of (c - w p')^2 / (w p' (1 - p'))."""
    # With p' = K' / N', sum of (c - K' / n)^2 = (n S - K'^2) / n; n and w cancel to N'.
    # Whole numbers up to the division: equal counts give exactly 0.
    bins = n_windows * window
    return (n_windows * squares - spikes**2) / (spikes * (bins - spikes)) * bins


@np.errstate(all="ignore")
def dispersion_values(
    squares: Any, spikes: Any, n_windows: int, window: int
) -> FloatArray:
    """Return the dispersion of window counts.

    Parameters
    ----------
    squares, spikes : ndarray of int, shape (n_units,)
        Sum of the squared counts, and of the counts.
    n_windows, window : int
        Number of windows, and their length in bins.

    Returns
    -------
    ndarray of float, shape (n_units,)
        ``X2 / (n - 1) (N' - 1) / N'`` with ``N' = n w``, whose mean is 1 under random
        placement; NaN where all bins are alike, and for fewer than two windows or bins
        per window.
    """
    if min(n_windows, window) < 2:
        return np.full(len(spikes), np.nan)
    bins = n_windows * window
    # Windows draw bins without replacement, so that X2 is (n - 1) N' / (N' - 1) on
    # average, slightly above the mean of the chi-square distribution.
    statistic = _chi_square(squares, spikes, n_windows, window)
    values: FloatArray = statistic / (n_windows - 1) * (bins - 1) / bins
    return values


def _too_few_windows(counts: Counts) -> tuple[bool, str]:
    n, window, bins = counts.n_windows, counts.window, counts.n_time_bins
    return (
        n < 2,
        f"{n} complete windows of {window} bins in {bins} time bins; needs two",
    )


def _fano_reason(counts: Counts) -> npt.NDArray[Any]:
    return reasons(
        counts,
        _too_few_windows(counts),
        (counts.windowed_spikes == 0, "no spike in a complete window"),
    )


def _fano_expected(spikes: Any, n: int, window: int) -> tuple[Any, Any]:
    bins = n * window
    # Drawn without replacement, counts have the mean w p' and on average the unbiased
    # variance w p' (1 - p') N' / (N' - 1); the ratio does not depend on w.
    unbiased = (1 - spikes / max(1, bins)) * bins / max(1, bins - 1)
    return unbiased * (n - 1) / max(1, n), unbiased


def _fano_fast(counts: Counts) -> Values:
    n = counts.n_windows
    unbiased = unbiased_fano_values(counts.window_squares, counts.windowed_spikes, n)
    # For Poisson counts (n - 1) F is nearly chi-square with n - 1 degrees of freedom:
    # (n - 1) F / 2 has the gamma distribution of shape (n - 1) / 2 and scale 1.
    shape = (n - 1) / 2
    lower = special.gammainc(shape, unbiased * shape)
    upper = special.gammaincc(shape, unbiased * shape)
    expected, unbiased_expected = _fano_expected(
        counts.windowed_spikes, n, counts.window
    )
    return {
        "fano_factor": unbiased * (n - 1) / max(1, n),
        "fano_factor_expected": expected,
        "fano_factor_unbiased": unbiased,
        "fano_factor_unbiased_expected": unbiased_expected,
        "fano_pvalue": np.minimum(1.0, 2 * np.minimum(lower, upper)),
    }


def _fano_reference(train: Train) -> Mapping[str, Any]:
    from elephant.statistics import fanofactor
    from scipy.stats import gamma

    n = train.counts.n_windows
    factor = float(fanofactor(train.window_spiketrains))
    unbiased = factor * n / (n - 1)
    null = gamma((n - 1) / 2, scale=2 / (n - 1))
    spikes = sum(len(part) for part in train.window_spiketrains)
    expected, unbiased_expected = _fano_expected(spikes, n, train.window)
    return {
        "fano_factor": factor,
        "fano_factor_expected": expected,
        "fano_factor_unbiased": unbiased,
        "fano_factor_unbiased_expected": unbiased_expected,
        "fano_pvalue": min(1.0, 2 * min(null.cdf(unbiased), null.sf(unbiased))),
    }


FANO = UnitStatistic(
    name="fano",
    columns=(
        Column(
            "fano_factor",
            "Variance over mean of the spike counts in consecutive windows (population"
            " variance, Elephant's and the paper's); not the variability over repeats"
            " of one stimulus, which is 0 for a deterministic network.",
            in_random_order=BY_CONSTRUCTION,
        ),
        Column(
            "fano_factor_expected",
            "The Fano factor that the firing rate alone gives when the order is random,"
            " (1 - p') N'/(N'-1) (n-1)/n.",
        ),
        Column(
            "fano_factor_unbiased",
            "Fano factor with the unbiased variance (n - 1).",
            in_random_order=BY_CONSTRUCTION,
        ),
        Column(
            "fano_factor_unbiased_expected",
            "The unbiased Fano factor that the firing rate alone gives when the order"
            " is random, (1 - p') N'/(N'-1).",
        ),
        Column(
            "fano_pvalue",
            "Two-sided p-value against Poisson counts (gamma distribution, Eden and"
            " Kramer 2010); a train of zeros and ones is not a Poisson process and"
            " rejects by design, so read dispersion_pvalue instead.",
            in_random_order=BY_DESIGN,
        ),
    ),
    null="Poisson counts",
    null_in_short="counts are Poisson",
    validity="at least two complete windows and a spike in one of them",
    source=(
        "Fano (1947), Phys Rev 72:26; Eden and Kramer (2010), J Neurosci Methods"
        " 190:149; `elephant.statistics.fanofactor`; the expectation is that of draws"
        " without replacement"
    ),
    reason=_fano_reason,
    fast=_fano_fast,
    reference=_fano_reference,
    pvalue="fano_pvalue",
    rejects_by_design="expected of zeros and ones",
)


def _dispersion_reason(counts: Counts) -> npt.NDArray[Any]:
    spikes, bins = counts.windowed_spikes, counts.n_windows * counts.window
    return reasons(
        counts,
        _too_few_windows(counts),
        (counts.window < 2, "windows of one bin cannot disperse; needs two bins"),
        (spikes == 0, "no spike in a complete window"),
        (spikes == bins, "a spike in every bin of the complete windows"),
    )


def _pvalues(
    squares: IntArray, spikes: IntArray, n: int, window: int, statistic: FloatArray
) -> tuple[FloatArray, FloatArray, npt.NDArray[Any]]:
    """Return two-sided and upper p-values, and the null distributions they are from."""
    bins = n * window
    rarer = np.minimum(spikes, bins - spikes)
    lower, upper = special.chdtr(n - 1, statistic), special.chdtrc(n - 1, statistic)
    # Empty bins disperse as spikes do, so the rarer of the two are counted:
    # sum of (w - c)^2 = n w^2 - 2 w K' + S.
    of_rarer = squares + np.where(
        rarer < spikes, n * window**2 - 2 * window * spikes, 0
    )
    sparse = (rarer <= MIN_CHI_SQUARE) | (n < MIN_WINDOWS)
    for count in np.unique(rarer[sparse]).tolist():
        if n < MIN_WINDOWS:
            null = few_windows_null(n, window, count)
        else:
            null = window_null(n, window).squares(count)
        units = np.flatnonzero(sparse & (rarer == count))
        # The observed train counts as one more draw, so that no p-value is 0.
        upper[units] = upper_tail(null, of_rarer[units])
        not_larger = np.searchsorted(null, of_rarer[units], side="right")
        lower[units] = (1 + not_larger) / (1 + len(null))
    method = np.where(sparse, "Monte Carlo", "chi-square").astype(object)
    return np.minimum(1.0, 2 * np.minimum(lower, upper)), upper, method


def _dispersion_fast(counts: Counts) -> Values:
    n, window = counts.n_windows, counts.window
    squares, spikes = counts.window_squares, counts.windowed_spikes
    statistic = _chi_square(squares, spikes, n, window)
    valid = (spikes > 0) & (spikes < n * window) & (n > 1)
    two_sided, upper = np.full((2, counts.n_units), np.nan)
    method = np.full(counts.n_units, "", dtype=object)
    two_sided[valid], upper[valid], method[valid] = _pvalues(
        squares[valid], spikes[valid], n, window, statistic[valid]
    )
    return {
        "dispersion": dispersion_values(squares, spikes, n, window),
        "dispersion_pvalue": two_sided,
        "dispersion_pvalue_upper": upper,
        "dispersion_method": method,
    }


def _dispersion_reference(train: Train) -> Mapping[str, Any]:
    from scipy.stats import chi2, chisquare

    n, window = train.counts.n_windows, train.window
    counts = np.array([len(part) for part in train.window_spiketrains])
    spikes, bins = int(counts.sum()), n * window
    # SciPy's statistic has the Poisson variance w p', ours the binomial w p' (1 - p').
    statistic = float(chisquare(counts).statistic) / (1 - spikes / bins)
    (two_sided,), (upper,), (method,) = _pvalues(
        np.sum(counts**2, keepdims=True),
        np.array([spikes]),
        n,
        window,
        np.array([statistic]),
    )
    if method == "chi-square":
        upper = float(chi2(n - 1).sf(statistic))
        two_sided = min(1.0, 2 * min(float(chi2(n - 1).cdf(statistic)), upper))
    return {
        "dispersion": statistic / (n - 1) * (bins - 1) / bins,
        "dispersion_pvalue": two_sided,
        "dispersion_pvalue_upper": upper,
        "dispersion_method": method,
    }


DISPERSION = UnitStatistic(
    name="dispersion",
    columns=(
        Column(
            "dispersion",
            "Variance of the window counts over the variance that the firing rate alone"
            " gives; 1 when spikes fall into the windows at random, above 1 for bursts"
            " or drift, below 1 for regularity.",
            in_random_order=BY_CONSTRUCTION,
        ),
        Column(
            "dispersion_pvalue",
            "Two-sided p-value of dispersion = 1 given the number of spikes.",
            in_random_order=BY_CONSTRUCTION,
        ),
        Column(
            "dispersion_pvalue_upper",
            "One-sided p-value against a dispersion above 1.",
            in_random_order=BY_CONSTRUCTION,
        ),
        text_column(
            "dispersion_method",
            "Null distribution of the dispersion test: chi-square, or Monte Carlo up to"
            f" {MIN_CHI_SQUARE} spikes or empty bins and below {MIN_WINDOWS} windows.",
        ),
    ),
    null=(
        "window counts are multivariate hypergeometric: every placement of the spikes"
        " is equally likely"
    ),
    null_in_short="dispersion is 1",
    validity=(
        "at least two windows of at least two bins, neither all silent nor all full"
    ),
    source=(
        "variance test for binomial counts, Cochran (1954), Biometrics 10:417, given"
        " their sum; Monte Carlo p-values as in Davison and Hinkley (1997), Bootstrap"
        " Methods and their Application, chapter 4"
    ),
    reason=_dispersion_reason,
    fast=_dispersion_fast,
    reference=_dispersion_reference,
    pvalue="dispersion_pvalue",
)
