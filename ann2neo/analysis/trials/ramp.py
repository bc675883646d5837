"""A ramp of the rate across trials: the KPSS test of the trials' counts in order."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ann2neo.analysis._entry import (
    BY_CONSTRUCTION,
    Column,
    FloatArray,
    IntArray,
    TrialStatistic,
    Values,
    count_column,
    reasons,
)
from ann2neo.analysis.trials.trial_counts import TrialCounts, TrialTrain
from ann2neo.analysis.units.kpss import kpss_pvalue

__all__ = ["RAMP", "kpss_of_series"]

_MIN_TRIALS = 100
"""Minimum number of trials: the null distribution is that of long series."""

_ROUNDING = 1e-12


def _series(counts: TrialCounts) -> FloatArray:
    """Return the counts of trials in order, or rates where lengths differ."""
    plan = counts.plan
    n_bins = plan.counted.n_bins
    values = counts.responses.astype(np.float64)
    if plan.window.stop is None and len(np.unique(n_bins)) > 1:
        values /= n_bins - plan.window.start
    return values


def _reason(counts: TrialCounts) -> npt.NDArray[Any]:
    n_counted = counts.plan.counted.n_trials
    series = _series(counts)
    is_constant = series.max(axis=1, initial=-1) == series.min(axis=1, initial=np.inf)
    too_few = f"{n_counted} trials; needs {_MIN_TRIALS}"
    if n_counted < _MIN_TRIALS:
        return reasons(counts, (True, too_few))
    total, _ = _lag_sums(_deviation(series))
    return reasons(
        counts,
        (is_constant, "the same count in every trial"),
        (
            np.abs(total) <= _ROUNDING * series.var(axis=1),
            "the lag is undefined: covariances of neighbouring trials add up to 0",
        ),
    )


def _deviation(series: FloatArray) -> FloatArray:
    centred: FloatArray = series - series.mean(axis=1, keepdims=True)
    return centred


def _covariance(deviation: FloatArray, lag: int) -> FloatArray:
    n = deviation.shape[1]
    products = np.einsum("ut,ut->u", deviation[:, lag:], deviation[:, : n - lag])
    mean: FloatArray = products / n
    return mean


def _lag_sums(deviation: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the sum of covariances up to the lag n^(2/9), and that of lag times them.

    Both count lags on either side of 0.
    """
    total, moment = _covariance(deviation, 0), np.zeros(len(deviation))
    for lag in range(1, int(np.power(deviation.shape[1], 2 / 9)) + 1):
        twice = 2 * _covariance(deviation, lag)
        total = total + twice
        moment += lag * twice
    return total, moment


def kpss_of_series(series: FloatArray) -> tuple[FloatArray, IntArray]:
    """Return the KPSS statistic of each row, and its lag.

    Parameters
    ----------
    series : ndarray of float64, shape (n_units, n)
        Rows that are not constant.

    Returns
    -------
    statistic : ndarray of float64, shape (n_units,)
        As ``statsmodels.tsa.stattools.kpss(row, "c", nlags="auto")``.
    lags : ndarray of int64, shape (n_units,)
        The lag that the rule of Hobijn, Franses and Ooms (1998) chooses.
    """
    n, deviation = series.shape[1], _deviation(series)
    total, moment = _lag_sums(deviation)
    growth = 1.1447 * np.power((moment / total) ** 2, 1 / 3) * np.power(n, 1 / 3)
    lags = np.minimum(growth, n - 1).astype(np.int64)
    variance = _covariance(deviation, 0)
    for lag in range(1, int(lags.max(initial=0)) + 1):
        rows = np.flatnonzero(lags >= lag)
        weight = 1 - lag / (lags[rows] + 1)
        variance[rows] += 2 * weight * _covariance(deviation[rows], lag)
    sums = np.cumsum(deviation, axis=1)
    return np.einsum("ut,ut->u", sums, sums) / n**2 / variance, lags


def _fast(counts: TrialCounts) -> Values:
    series = _series(counts)
    statistic = np.full(counts.n_units, np.nan)
    lags = np.full(counts.n_units, -1, np.int64)
    valid = np.flatnonzero(_reason(counts) == "")
    if len(valid):
        statistic[valid], lags[valid] = kpss_of_series(series[valid])
    return {
        "ramp_statistic": statistic,
        "ramp_pvalue": kpss_pvalue(statistic),
        "ramp_lag": lags,
    }


def _reference(train: TrialTrain) -> Mapping[str, Any]:
    from statsmodels.tsa.stattools import kpss

    # statsmodels warns of p-values beyond its table.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = kpss(_series(train.counts)[0], "c", nlags="auto", result_object=True)
    return {
        "ramp_statistic": float(result.statistic),
        "ramp_pvalue": float(kpss_pvalue(float(result.statistic))),
        "ramp_lag": int(result.lags),
    }


RAMP = TrialStatistic(
    name="ramp",
    columns=(
        Column(
            "ramp_statistic",
            "KPSS statistic of the trials' spike counts in order (rates where trials"
            " differ in length): how far the rate wanders across trials.",
            in_random_order=BY_CONSTRUCTION,
        ),
        Column(
            "ramp_pvalue",
            "p-value of a rate that is constant across trials, memory from trial to"
            " trial allowed. A unit tuned to labels that came in blocks rejects, too:"
            " by='label' gives one ramp per label.",
            in_random_order=BY_CONSTRUCTION,
        ),
        count_column(
            "ramp_lag",
            "Lag, in trials, up to which the variance of that test allows memory; -1"
            " where there is none.",
        ),
    ),
    null="a rate that is constant across trials, memory allowed",
    null_in_short="no ramp across trials (KPSS)",
    validity=f"{_MIN_TRIALS} trials or more that hold the window, not all alike",
    source=(
        "Kwiatkowski, Phillips, Schmidt and Shin (1992), J Econom 54:159;"
        ' `statsmodels.tsa.stattools.kpss(regression="c", nlags="auto")`'
    ),
    reason=_reason,
    fast=_fast,
    reference=_reference,
    tested="ramp_statistic",
    measure=lambda counts: _fast(counts)["ramp_statistic"],
    surrogates="within_label",
    pvalue="ramp_pvalue",
    needs_segments=False,
)
