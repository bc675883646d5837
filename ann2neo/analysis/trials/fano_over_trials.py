"""Variability of a unit's counts over trials: the Fano factor of neuroscientists."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ann2neo.analysis._entry import (
    Column,
    IntArray,
    TrialStatistic,
    Values,
    reasons,
)
from ann2neo.analysis.trials.trial_counts import TrialCounts, TrialTrain

__all__ = ["FANO_OVER_TRIALS", "group_sums"]


def group_sums(values: IntArray, code: IntArray) -> IntArray:
    """Add up columns by their group.

    Parameters
    ----------
    values : ndarray of int64, shape (n_units, n_trials)
        One value per trial.
    code : ndarray of int64, shape (n_trials,)
        Group of each trial: 0, 1, ...

    Returns
    -------
    ndarray of int64, shape (n_units, n_groups)
        The sums.
    """
    if not len(code):
        return np.zeros((len(values), 0), np.int64)
    order = np.argsort(code, kind="stable")
    first = np.flatnonzero(np.diff(code[order], prepend=-1))
    sums: IntArray = np.add.reduceat(values[:, order], first, axis=1)
    return sums


def _reason(counts: TrialCounts) -> npt.NDArray[Any]:
    n_counted, n_trials = counts.plan.counted.n_trials, counts.plan.trials.n_trials
    last = counts.plan.window.last
    repeated = np.bincount(counts.plan.counted.code).max(initial=0) > 1
    return reasons(
        counts,
        (
            n_counted == 0,
            f"none of {n_trials} trials holds the window, to step {last}",
        ),
        (not repeated, "no label has two trials" if n_trials > 1 else "one trial"),
        (counts.responses.sum(axis=1) == 0, "silent"),
    )


def _fast(counts: TrialCounts) -> Values:
    code, responses = counts.plan.counted.code, counts.responses
    n = np.bincount(code)
    total = group_sums(responses, code)
    squares = group_sums(responses * responses, code)
    # n sum c^2 - (sum c)^2 of each label, divided once: equal counts give exactly 0.
    deviations = ((n * squares - total * total) / n).sum(axis=1)
    spikes = total.sum(axis=1)
    degrees = int((n - 1).sum())
    return {
        "mean_count": spikes / len(code),
        "fano_over_trials": deviations / spikes,
        "fano_over_trials_unbiased": deviations / degrees / (spikes / len(code)),
    }


def _reference(train: TrialTrain) -> Mapping[str, Any]:
    trains = train.window_spiketrains()
    counts = [np.array([len(part) for part in group]) for group in trains]
    spikes, n = sum(int(c.sum()) for c in counts), sum(map(len, counts))
    if len(trains) == 1:
        from elephant.statistics import fanofactor

        fano = float(fanofactor(trains[0]))
    else:
        # Elephant knows no labels: the pooled variance inside them.
        fano = sum(len(c) * c.var() for c in counts) / spikes
    return {
        "mean_count": spikes / n,
        "fano_over_trials": fano,
        "fano_over_trials_unbiased": fano * n / (n - len(counts)),
    }


FANO_OVER_TRIALS = TrialStatistic(
    name="fano_over_trials",
    columns=(
        Column(
            "mean_count",
            "Spikes of the unit in the window of steps, mean over trials.",
            "spikes",
        ),
        Column(
            "fano_over_trials",
            "Variance over mean of the counts of trials (population variance, inside"
            " labels where there are labels), what neuroscientists call Fano factor; 0"
            " for a deterministic network that is shown one stimulus again and again, 1"
            " for a Poisson process.",
        ),
        Column(
            "fano_over_trials_unbiased",
            "The same with the number of trials minus that of labels in the"
            " denominator of the variance.",
        ),
    ),
    validity="a label of two trials or more that hold the window, and a spike",
    source=(
        "Churchland et al. (2010), Nature Neuroscience 13:369;"
        " `elephant.statistics.fanofactor` of the trials of a label"
    ),
    reason=_reason,
    fast=_fast,
    reference=_reference,
    tested="fano_over_trials_unbiased",
    measure=lambda counts: _fast(counts)["fano_over_trials_unbiased"],
    surrogates="step_permutation",
    needs_segments=False,
)
