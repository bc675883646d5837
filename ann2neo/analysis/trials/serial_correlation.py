"""Serial correlation inside trials beyond the PSTH: what a trial remembers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special

from ann2neo.analysis._entry import (
    Column,
    FloatArray,
    IntArray,
    TrialStatistic,
    Values,
    reasons,
    text_column,
)
from ann2neo.analysis.trials.step_matrices import StepMatrices
from ann2neo.analysis.trials.step_nulls import (
    centres,
    permutation_draws,
    rotation_draws,
    rotations,
    spikes_reaching,
)
from ann2neo.analysis.trials.trial_counts import TrialCounts, TrialTrain
from ann2neo.analysis.units.nulls import upper_tail

__all__ = [
    "GIVEN_THE_RATES",
    "SERIAL_CORRELATION",
    "lag_scales",
    "lag_sums",
    "lag_variances",
]

MIN_VARIANCE = 50
MIN_TRIALS = 50
"""Smallest variance of every sum of products, and number of trials, for chi-square."""

GIVEN_THE_RATES = (
    "Where spikes were drawn from rates (emission bernoulli or poisson), steps are"
    " independent given the rates, so that a rejection speaks of rates"
    " that differ from trial to trial; where a threshold makes them, it speaks of the"
    " memory of the network and of its input together."
)
"""How the emission of a network decides what dependence between steps means."""


def lag_variances(steps: StepMatrices, spikes: IntArray, lags: int) -> FloatArray:
    """Return V_k, the variance of R_k if trials change places at every step.

    Parameters
    ----------
    steps : StepMatrices
        The trials.
    spikes : ndarray of int64, shape (n_units, n_groups, n_steps)
        K, the spikes of each label at each step.
    lags : int
        Number of lags.

    Returns
    -------
    ndarray of float64, shape (n_units, lags)
        The sum over labels and steps of ``K_s (m_s - K_s) K_t (m_t - K_t) / (m_s m_t
        (m_s - 1))``, t = s + k.
    """
    n = steps.reaching
    spread = (spikes * (n - spikes)).astype(np.float64)
    early = spread / np.maximum(1, n * (n - 1))
    late = spread / np.maximum(1, n)
    variances = np.zeros((len(spikes), lags))
    for lag in range(1, min(lags, steps.n_steps - 1) + 1):
        products = early[..., :-lag] * late[..., lag:]
        variances[:, lag - 1] = products.sum(axis=(1, 2))
    return variances


def lag_scales(steps: StepMatrices, spikes: IntArray, lags: int) -> FloatArray:
    """Return what R_k is divided by to become a correlation.

    Parameters
    ----------
    steps, spikes, lags
        As in `lag_variances`.

    Returns
    -------
    ndarray of float64, shape (n_units, lags)
        The root of the product of the sums of squared residuals: of the steps that
        have one k later, and of those later ones.
    """
    squares = spikes * (steps.reaching - spikes) / np.maximum(1, steps.reaching)
    scales = np.zeros((len(spikes), lags))
    for lag in range(1, min(lags, steps.n_steps - 1) + 1):
        goes_on = steps.reaching[:, lag:] > 0
        early = (squares[..., :-lag] * goes_on).sum(axis=(1, 2))
        late = squares[..., lag:].sum(axis=(1, 2))
        scales[:, lag - 1] = np.sqrt(early * late)
    return scales


def lag_sums(counts: TrialCounts) -> FloatArray:
    """Return R_k, the sums of products of residuals, shape (n_units, lags)."""
    steps, lags = counts.plan.steps, counts.plan.lags
    pairs = counts.segments.lag_counts(lags)
    spikes = counts.step_spikes
    sums = np.zeros((counts.n_units, lags))
    reachable = range(1, min(lags, steps.n_steps - 1) + 1)
    if steps.is_even:
        for lag in reachable:
            sums[:, lag - 1] = pairs[:, lag] - centres(steps, lag, spikes, None)
        return sums
    for unit, matrix in enumerate(steps.of_units(counts.segments)):
        for lag in reachable:
            early = spikes_reaching(steps, matrix, lag)
            centre = centres(steps, lag, spikes[unit], early)
            sums[unit, lag - 1] = pairs[unit, lag] - centre
    return sums


def _reason(counts: TrialCounts) -> npt.NDArray[Any]:
    steps, lags = counts.plan.steps, counts.plan.lags
    # Labels of which two trials reach a step.
    n_pairs = int((steps.reaching >= 2).any(axis=0).sum())
    varies = lag_variances(steps, counts.step_spikes, lags).any(axis=1)
    return reasons(
        counts,
        (steps.n_trials < 2, "one trial"),
        (n_pairs == 0, "no label has two trials"),
        (
            n_pairs <= lags,
            f"{lags} lags need trials of more than {lags} steps, got {n_pairs}",
        ),
        (counts.n_spikes == 0, "silent"),
        (counts.n_spikes == counts.n_time_bins, "saturated"),
        (~varies, "no step varies between the trials of a label"),
    )


def _statistic(sums: FloatArray, variances: FloatArray) -> FloatArray:
    """Return Q, the sum over lags of R_k^2 / V_k; lags along the last axis.

    A lag at which nothing can vary adds 0.
    """
    terms = np.divide(
        sums * sums, variances, out=np.zeros_like(sums), where=variances > 0
    )
    total: FloatArray = terms.sum(axis=-1)
    return total


def _is_asymptotic(steps: StepMatrices, variances: FloatArray) -> Any:
    """Tell for which units the chi-square distribution is valid."""
    sizes = np.array([rows.stop - rows.start for rows in steps.groups])
    n_trials = int(sizes[sizes > 1].sum())
    return (variances >= MIN_VARIANCE).all(axis=-1) & (n_trials >= MIN_TRIALS)


def _exchanged(
    counts: TrialCounts, statistic: FloatArray, variances: FloatArray
) -> tuple[FloatArray, str]:
    """Return p-values of units by exchanging trials at every step, and how."""
    steps, lags = counts.plan.steps, counts.plan.lags
    matrices = [matrix.copy() for matrix in steps.of_units(counts.segments)]
    blocks = rotations(steps, lags)
    if blocks is None:
        method, drawn = "permutation", permutation_draws(steps, lags, matrices)
    else:
        method, drawn = "rotation", rotation_draws(steps, lags, matrices, blocks)
    pvalue = np.empty(len(statistic))
    for unit, sums in enumerate(drawn):
        null = np.sort(_statistic(sums.T, np.tile(variances[unit], (sums.shape[1], 1))))
        pvalue[unit] = upper_tail(null, statistic[unit])
    return pvalue, method


def _fast(counts: TrialCounts) -> Values:
    steps, lags = counts.plan.steps, counts.plan.lags
    variances = lag_variances(steps, counts.step_spikes, lags)
    sums = lag_sums(counts)
    statistic = _statistic(sums, variances)
    pvalue = special.chdtrc(lags, statistic)
    method = np.full(counts.n_units, "chi-square", dtype=object)
    few = np.flatnonzero(~_is_asymptotic(steps, variances) & (_reason(counts) == ""))
    if len(few):
        pvalue[few], method[few] = _exchanged(
            counts.of_units(few), statistic[few], variances[few]
        )
    scale = lag_scales(steps, counts.step_spikes, 1)[:, 0]
    return {
        "serial_correlation": sums[:, 0] / scale,
        "serial_correlation_statistic": statistic,
        "serial_correlation_pvalue": pvalue,
        "serial_correlation_method": method,
    }


def _measure(counts: TrialCounts) -> FloatArray:
    plan = counts.plan
    variances = lag_variances(plan.steps, counts.step_spikes, plan.lags)
    return _statistic(lag_sums(counts), variances)


def _reference(train: TrialTrain) -> Mapping[str, Any]:
    lags, counts = train.plan.lags, train.counts
    sums, variances = np.zeros((2, 1, lags))
    squares = np.zeros(2)
    for group in train.groups:
        longest = max(map(len, group))
        at_step = [
            np.array([x[s] for x in group if len(x) > s]) for s in range(longest)
        ]
        psth = np.array([values.mean() for values in at_step])
        residuals = [x - psth[: len(x)] for x in group]
        for lag in range(1, lags + 1):
            sums[0, lag - 1] += sum(float(r[lag:] @ r[:-lag]) for r in residuals)
            for early, late in zip(at_step, at_step[lag:], strict=False):
                if len(early) > 1:
                    spread = early.var(ddof=1) * late.var() * len(late)
                    variances[0, lag - 1] += spread
        spread_of = np.array([len(values) * values.var() for values in at_step])
        squares += [spread_of[:-1].sum(), spread_of[1:].sum()]
    statistic = _statistic(sums, variances)
    pvalue = float(special.chdtrc(lags, statistic[0]))
    method = "chi-square"
    if not _is_asymptotic(train.plan.steps, variances)[0]:
        drawn, method = _exchanged(counts, statistic, variances)
        pvalue = float(drawn[0])
    return {
        "serial_correlation": float(sums[0, 0] / np.sqrt(squares[0] * squares[1])),
        "serial_correlation_statistic": float(statistic[0]),
        "serial_correlation_pvalue": pvalue,
        "serial_correlation_method": method,
    }


SERIAL_CORRELATION = TrialStatistic(
    name="serial_correlation",
    columns=(
        Column(
            "serial_correlation",
            "Correlation of neighbouring steps of a trial beyond the PSTH of its label:"
            " of the deviations from the mean over trials.",
        ),
        Column(
            "serial_correlation_statistic",
            "How strongly a step predicts the steps after it beyond the PSTH, summed"
            " over the lags: Q, the sum of R_k^2 / V_k, with R_k the sum of products of"
            " deviations and V_k its variance if trials change places.",
        ),
        Column(
            "serial_correlation_pvalue",
            "p-value of steps that are independent given the PSTH of the label, as if"
            " trials changed places at every step. " + GIVEN_THE_RATES + " Exact where"
            " the length of a trial does not depend on the response, given the label.",
        ),
        text_column(
            "serial_correlation_method",
            "Null distribution of that test: chi-square where every V_k is at least"
            f" {MIN_VARIANCE} and there are {MIN_TRIALS} trials; else rotation (of"
            " trials of one label and length at each step), or permutation where too"
            " many trials have a length of their own.",
        ),
    ),
    null="step permutation: at every step, trials of one label can change places",
    null_in_short="trials remember nothing beyond the PSTH",
    validity=(
        "two trials of a label that reach more steps than there are lags, at one of"
        " which they differ"
    ),
    source="definition; exact permutation and rotation nulls, chi-square by moments",
    reason=_reason,
    fast=_fast,
    reference=_reference,
    tested="serial_correlation_statistic",
    measure=_measure,
    surrogates="step_permutation",
    pvalue="serial_correlation_pvalue",
)
