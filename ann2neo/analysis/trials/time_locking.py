"""Time locking: how far the rate follows the steps of the trials."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import fft, special

from ann2neo.analysis._entry import (
    Column,
    FloatArray,
    IntArray,
    TrialStatistic,
    Values,
    reasons,
    text_column,
)
from ann2neo.analysis.trials.step_matrices import Bytes, StepMatrices
from ann2neo.analysis.trials.trial_counts import TrialCounts, TrialTrain
from ann2neo.analysis.units.nulls import N_DRAWS, upper_tail

__all__ = ["TIME_LOCKING"]

MIN_VARYING = 50
"""Trials that a shift changes from which the normal law of the PSTH is used."""


class _Shifted(NamedTuple):
    """The statistic of a unit, and its law if each trial is shifted circularly.

    ``mean``, ``variance`` and ``third`` are cumulants.
    """

    statistic: float
    mean: float
    variance: float
    third: float
    n_varying: int


def _rates(lengths: IntArray, spikes: IntArray, n_steps: int) -> FloatArray:
    """Return the rate of the trials that reach each step, over all of their bins."""
    total = np.bincount(lengths, spikes, n_steps + 1)
    bins = np.bincount(lengths, lengths, n_steps + 1)
    # A trial of n bins reaches the steps 0 .. n - 1: cumulated from the longest on.
    reaching, n_bins = (np.cumsum(x[::-1])[::-1][1:] for x in (total, bins))
    return np.divide(reaching, n_bins, out=np.zeros(n_steps), where=n_bins > 0)


def _weights(n: IntArray, rate: FloatArray) -> FloatArray:
    """Return 1 / (n p (1 - p)), and 0 where a step has no variance."""
    spread = n * rate * (1 - rate)
    return np.divide(1.0, spread, out=np.zeros(len(rate)), where=spread > 0)


def _of_unit(steps: StepMatrices, matrix: Bytes) -> _Shifted:
    statistic = mean = variance = third = 0.0
    n_varying = 0
    psth = steps.spikes(matrix)
    spikes = matrix.sum(axis=1, dtype=np.int64)
    for number, rows in enumerate(steps.groups):
        lengths, of_trial = steps.lengths[rows], spikes[rows]
        rate = _rates(lengths, of_trial, steps.n_steps)
        n = steps.reaching[number]
        weight = _weights(n, rate)
        statistic += float((weight * (psth[number] - n * rate) ** 2).sum())
        n_varying += int(((of_trial > 0) & (of_trial < lengths)).sum())
        law = _law_of_one_length if steps.is_even else _law
        cumulants = law(matrix[rows], lengths, of_trial, n * rate, weight)
        mean, variance, third = (
            total + float(part)
            for total, part in zip((mean, variance, third), cumulants, strict=True)
        )
    return _Shifted(statistic, mean, variance, third, n_varying)


def _law_of_one_length(
    matrix: Bytes,
    lengths: IntArray,
    spikes: IntArray,
    expected: FloatArray,
    weight: FloatArray,
) -> tuple[float, float, float]:
    """Return the cumulants for trials of one length.

    The covariance of the shifted PSTH is circulant: its eigenvalues are the power of
    the trials at each frequency but 0, divided by the number of steps.
    """
    del lengths, spikes, expected
    n_steps = matrix.shape[1]
    power = np.square(np.abs(fft.rfft(matrix.astype(np.float64), axis=1))).sum(axis=0)
    eigenvalues = power[1:] / n_steps * weight[0]
    # Every frequency counts twice, but for the highest of an even number of steps.
    times = np.full(len(eigenvalues), 2.0)
    if n_steps % 2 == 0:
        times[-1] = 1.0
    first, second, third = (
        float((times * eigenvalues**power_of).sum()) for power_of in (1, 2, 3)
    )
    return first, 2 * second, 8 * third


def _law(
    matrix: Bytes,
    lengths: IntArray,
    spikes: IntArray,
    expected: FloatArray,
    weight: FloatArray,
) -> tuple[float, float, float]:
    """Return the cumulants for trials of any lengths, from the whole covariance."""
    n_steps = matrix.shape[1]
    # Per length n: the sum over trials of the mean of a step, and of the covariance of
    # two steps that lie d apart around the circle of n steps.
    of_length = np.zeros(n_steps + 1)
    covariance = np.zeros((n_steps + 1, n_steps))
    for n in np.unique(lengths).tolist():
        here = np.flatnonzero(lengths == n)
        k = spikes[here]
        of_length[n] = k.sum() / n
        waves = fft.rfft(matrix[here, :n].astype(np.float64), axis=1)
        joint = fft.irfft(np.square(np.abs(waves)).sum(axis=0), n)
        covariance[n, :n] = joint / n - float((k * k).sum()) / n**2
    # A trial reaches the step q if it is longer than q.
    longer = np.cumsum(covariance[::-1], axis=0)[::-1][1:]
    mean = np.cumsum(of_length[::-1])[::-1][1:]
    step = np.arange(n_steps)
    later = np.maximum.outer(step, step)
    apart = np.abs(np.subtract.outer(step, step))
    root = np.sqrt(weight)
    matrix_of = longer[later, apart] * np.multiply.outer(root, root)
    offset = root * (mean - expected)
    moved = matrix_of @ offset
    squared = matrix_of @ matrix_of
    return (
        float(np.trace(matrix_of) + offset @ offset),
        float(2 * np.square(matrix_of).sum() + 4 * offset @ moved),
        float(8 * (squared * matrix_of).sum() + 24 * moved @ moved),
    )


def _tail(values: _Shifted) -> float:
    """Return the probability of a larger statistic, by three cumulants.

    The PSTH of many shifted trials is normal, so that the statistic is a weighted sum
    of chi-squares; a shifted gamma distribution has its first three cumulants (Pearson
    1959, Biometrika 46:364).
    """
    if values.third <= 0:
        return float("nan")
    shape = 4 * values.variance**3 / values.third**2
    scale = values.third / (2 * values.variance)
    return float(
        special.gammaincc(
            shape, max(0.0, shape + (values.statistic - values.mean) / scale)
        )
    )


def _by_shifts(steps: StepMatrices, matrix: Bytes, statistic: float) -> float:
    """Return the p-value by random circular shifts inside each trial."""
    rng = np.random.default_rng(
        np.random.SeedSequence([steps.n_steps, *steps.lengths.tolist()])
    )
    spikes = matrix.sum(axis=1, dtype=np.int64)
    drawn = np.zeros(N_DRAWS)
    for number, rows in enumerate(steps.groups):
        lengths, of_trial = steps.lengths[rows], spikes[rows]
        rate = _rates(lengths, of_trial, steps.n_steps)
        n = steps.reaching[number]
        weight = _weights(n, rate)
        psth = np.zeros((N_DRAWS, steps.n_steps), np.int64)
        # Trials that a shift changes; the others add the same to every draw.
        varies = (of_trial > 0) & (of_trial < lengths)
        psth += matrix[rows][~varies].sum(axis=0, dtype=np.int64)
        for trial in np.flatnonzero(varies).tolist():
            length = int(lengths[trial])
            row = matrix[rows][trial, :length]
            # Row d of the windows of the doubled trial is the trial shifted by d.
            shifted = np.lib.stride_tricks.sliding_window_view(
                np.concatenate([row, row]), length
            )
            psth[:, :length] += shifted[rng.integers(length, size=N_DRAWS)]
        drawn += (weight * (psth - n * rate) ** 2).sum(axis=1)
    return float(upper_tail(np.sort(drawn), statistic))


def _reason(counts: TrialCounts) -> npt.NDArray[Any]:
    steps = counts.plan.steps
    spikes = counts.segments.segment_counts()
    varies = ((spikes > 0) & (spikes < counts.segments.lengths)).any(axis=1)
    return reasons(
        counts,
        (steps.n_steps < 2, "trials of one step"),
        (counts.n_spikes == 0, "silent"),
        (counts.n_spikes == counts.n_time_bins, "saturated"),
        (~varies, "every trial is silent or saturated, which a shift does not change"),
    )


def _columns(steps: StepMatrices, matrix: Bytes, values: _Shifted) -> dict[str, Any]:
    is_normal = values.n_varying >= MIN_VARYING and values.third > 0
    pvalue = _tail(values) if is_normal else _by_shifts(steps, matrix, values.statistic)
    return {
        "time_locking_statistic": values.statistic,
        "time_locking_expected": values.mean,
        "time_locking_pvalue": pvalue,
        "time_locking_method": "normal" if is_normal else "shifts",
    }


def _fast(counts: TrialCounts) -> Values:
    steps, valid = counts.plan.steps, _reason(counts) == ""
    columns: dict[str, Any] = {
        column.name: np.full(counts.n_units, column.missing, object)
        for column in TIME_LOCKING.columns
    }
    for unit, matrix in enumerate(steps.of_units(counts.segments)):
        if valid[unit]:
            row = _columns(steps, matrix, _of_unit(steps, matrix))
            for name, value in row.items():
                columns[name][unit] = value
    return columns


def _measure(counts: TrialCounts) -> FloatArray:
    steps = counts.plan.steps
    matrices = steps.of_units(counts.segments)
    return np.array([_of_unit(steps, matrix).statistic for matrix in matrices])


def _reference(train: TrialTrain) -> Mapping[str, Any]:
    """Return the statistic by definition, and its mean over all shifts."""
    steps = train.plan.steps
    statistic = mean = 0.0
    for group in train.groups:
        for step in range(max(map(len, group))):
            reaching = [x for x in group if len(x) > step]
            n, bins = len(reaching), sum(map(len, reaching))
            rate = sum(x.sum() for x in reaching) / bins
            if not 0 < rate < 1:
                continue
            weight = 1 / (n * rate * (1 - rate))
            means = np.array([x.mean() for x in reaching])
            psth = sum(x[step] for x in reaching)
            statistic += weight * (psth - n * rate) ** 2
            # Shifted, a bin of a trial is 1 with the trial's rate.
            spread = (means * (1 - means)).sum()
            mean += weight * (spread + (means.sum() - n * rate) ** 2)
    matrix = next(steps.of_units(train.counts.segments))
    values = _of_unit(steps, matrix)._replace(statistic=statistic, mean=mean)
    return _columns(steps, matrix, values)


TIME_LOCKING = TrialStatistic(
    name="time_locking",
    columns=(
        Column(
            "time_locking_statistic",
            "How far the rate of the unit follows the steps of its trials: the sum over"
            " steps and labels of n_s (PSTH - p)^2 / (p (1 - p)), n_s the trials that"
            " reach step s and p the unit's rate in them.",
        ),
        Column(
            "time_locking_expected",
            "Its mean if each trial is shifted circularly.",
        ),
        Column(
            "time_locking_pvalue",
            "p-value of a rate that does not follow the steps, memory inside trials"
            " allowed, as if each trial were shifted circularly by itself; only large"
            " statistics reject.",
        ),
        text_column(
            "time_locking_method",
            "Null distribution of that test: shifts (drawn at random), or normal (that"
            f" of the PSTH of shifted trials) from {MIN_VARYING} trials on that a shift"
            " changes.",
        ),
    ),
    null="circular shift inside each trial, independently",
    null_in_short="the rate does not follow the steps of a trial",
    validity="trials of two steps or more, of which one has a spike and an empty bin",
    source="definition",
    reason=_reason,
    fast=_fast,
    reference=_reference,
    tested="time_locking_statistic",
    measure=_measure,
    surrogates="circular_shift",
    pvalue="time_locking_pvalue",
)
