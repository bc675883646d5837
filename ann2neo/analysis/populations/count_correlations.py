"""Noise and signal correlations: of the spike counts of trials, between units."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy import special

from ann2neo.analysis._entry import (
    BoolArray,
    Column,
    FloatArray,
    IntArray,
    Statistic,
    count_column,
    text_column,
)
from ann2neo.analysis.trials.fano_over_trials import group_sums
from ann2neo.analysis.trials.trials import Trials, is_missing
from ann2neo.analysis.units.nulls import N_DRAWS
from ann2neo.raster import SpikeRaster
from ann2neo.recording.windows import StepWindow

__all__ = [
    "NOISE_CORRELATION",
    "SIGNAL_CORRELATION",
    "CountCorrelations",
    "count_correlations",
    "matrix_of_counts",
]

_BLOCK_BYTES = 1 << 22
_MOST_PERMUTED = 10_000
"""Counts (units times trials) up to which the null distribution is drawn."""
_TIE = 1e-9

_COUNTS = (
    "presentations of more than one bin (of one bin, counts are bits, and the field"
    " within_label_mean is the noise correlation)"
)

NOISE_CORRELATION = Statistic(
    name="noise_correlation",
    columns=(
        count_column("n_trials", "Presentations that hold the window of steps."),
        Column(
            "noise_correlation",
            "Mean over pairs of units of the correlation of their spike counts over"
            " the trials of a label: of the deviations from the label's mean (spike"
            " count correlation, r_sc).",
        ),
        Column(
            "noise_correlation_null_std",
            "Root mean square over pairs of its standard deviation if the trials of a"
            " label change places in each unit; its mean is then 0.",
        ),
        Column(
            "noise_correlation_pvalue",
            "Two-sided p-value of a mean noise correlation of 0, as if the trials of a"
            " label changed places in each unit.",
        ),
        text_column(
            "noise_correlation_method",
            "Null distribution of that test: permutation, or moments (a gamma"
            " distribution with its mean, variance and skewness) above"
            f" {_MOST_PERMUTED} counts.",
        ),
    ),
    null="permutation of trials within labels, independently per unit",
    null_in_short="units share no variability from trial to trial",
    validity=(
        f"{_COUNTS}, a label of two trials, and two units that vary within labels"
    ),
    source="Cohen and Kohn (2011), Nature Neuroscience 14:811",
    pvalue="noise_correlation_pvalue",
)

SIGNAL_CORRELATION = Statistic(
    name="signal_correlation",
    columns=(
        Column(
            "signal_correlation",
            "Mean over pairs of units of the correlation over labels of their mean"
            " spike counts.",
        ),
    ),
    validity=f"{_COUNTS}, two labels, and two units whose means differ between labels",
    source=NOISE_CORRELATION.source,
)


class CountCorrelations(NamedTuple):
    """Correlations of counts, with the fields of the two statistics."""

    n_trials: int = 0
    noise_correlation: float = np.nan
    noise_correlation_null_std: float = np.nan
    noise_correlation_pvalue: float = np.nan
    noise_correlation_method: str = ""
    signal_correlation: float = np.nan


class _Block(NamedTuple):
    """Standardized counts of a block of units.

    Parameters
    ----------
    units : slice
        The units.
    residuals : ndarray of float64, shape (n_units, n_trials)
        Deviations from the mean of the label, of length 1; 0 where a unit has none.
    shares : ndarray of float64, shape (n_units, n_groups)
        The part of each label in a unit's squared deviations; 0 where it has none.
    means : ndarray of float64, shape (n_units, n_labels)
        Deviations of the labels' means from their mean, of length 1, or 0.
    """

    units: slice
    residuals: FloatArray
    shares: FloatArray
    means: FloatArray


def _blocks(
    raster: SpikeRaster, trials: Trials, window: StepWindow
) -> Iterator[_Block]:
    code, n = trials.code, np.bincount(trials.code)
    is_label = _labels(trials)
    # Eight bytes per count, and some arrays of that size at a time.
    bits = raster.n_time_bins / 8
    max_bytes = _BLOCK_BYTES * max(1.0, bits / max(1, 8 * trials.n_trials))
    for units, block in raster.unit_blocks(int(max_bytes)):
        counts = window.counts(block, trials.start_bin, trials.stop_bin)
        total = group_sums(counts, code)
        squares = group_sums(counts * counts, code)
        # In whole numbers, so that a unit that does not vary has exactly 0.
        spread = (n * squares - total * total) / n
        means = total / n
        inside = spread.sum(axis=1)
        residuals = counts - means[:, code]
        labels = means[:, is_label]
        if labels.shape[1]:
            labels = labels - labels.mean(axis=1, keepdims=True)
        # Whole numbers divided by n: equal means may differ by rounding.
        size = np.square(labels).sum(axis=1)
        size[size <= _TIE**2 * np.square(means).sum(axis=1)] = 0
        yield _Block(
            units,
            _scaled(residuals, np.sqrt(inside)),
            _scaled(spread, inside),
            _scaled(labels, np.sqrt(size)),
        )


def _labels(trials: Trials) -> BoolArray:
    """Tell which groups of trials are labels, not trials without one."""
    n_groups = int(trials.code.max(initial=-1)) + 1
    is_label = np.zeros(n_groups, np.bool_)
    if trials.labels is not None:
        is_label[trials.code[~is_missing(trials.labels)]] = True
    return is_label


def _scaled(values: FloatArray, size: FloatArray) -> FloatArray:
    """Divide rows by their sizes; rows of size 0 become 0."""
    scale = np.divide(1.0, size, out=np.zeros(len(size)), where=size > 0)
    return np.asarray(values * scale[:, np.newaxis], np.float64)


def count_correlations(
    raster: SpikeRaster, trials: Trials, window: StepWindow
) -> CountCorrelations:
    """Return the mean correlations of counts over pairs of units.

    The vectors of all units are added up: the squared length of the sum of V vectors of
    length 1 is V and twice the sum of the correlations of all pairs.

    Parameters
    ----------
    raster : SpikeRaster
        The raster of the recording.
    trials : Trials
        Presentations of a phase that hold the window.
    window : StepWindow
        The steps in which spikes are counted.
    """
    if not trials.n_trials:
        return CountCorrelations()
    n = np.bincount(trials.code)
    residual, n_varying, n_tuned = np.zeros(trials.n_trials), 0, 0
    mean = np.zeros(int(_labels(trials).sum()))
    # Sums over units of the shares of each group, of their squares and cubes.
    powers = np.zeros((3, len(n)))
    kept = []
    is_small = raster.n_units * trials.n_trials <= _MOST_PERMUTED
    for block in _blocks(raster, trials, window):
        residual += block.residuals.sum(axis=0)
        mean += block.means.sum(axis=0)
        varies = block.shares.any(axis=1)
        n_varying += int(varies.sum())
        n_tuned += int(block.means.any(axis=1).sum())
        powers += [(block.shares**k).sum(axis=0) for k in (1, 2, 3)]
        if is_small:
            kept.append(block.residuals[varies])
    signal = _mean_of_pairs(mean, n_tuned) if len(mean) > 1 else np.nan
    noise = _mean_of_pairs(residual, n_varying)
    if np.isnan(noise):
        return CountCorrelations(trials.n_trials, signal_correlation=signal)
    n_pairs = n_varying * (n_varying - 1) / 2
    free = np.maximum(1, n - 1)
    # Over pairs, r has the variance sum over labels of a_i a_j / (n - 1), a the
    # shares; the product of the three r of a triple has the mean of a_i a_j a_k /
    # (n - 1)^2. Symmetric sums of the shares are made of their powers.
    first, second, third = powers
    variance = float(((first**2 - second) / 2 / free).sum())
    triples = (first**3 - 3 * first * second + 2 * third) / 6
    skew = 6 * float((triples / free**2).sum())
    if is_small:
        pvalue = _by_permutation(np.concatenate(kept), trials.code, noise)
    else:
        pvalue = _by_moments(noise * n_pairs, variance, skew)
    return CountCorrelations(
        trials.n_trials,
        noise,
        float(np.sqrt(variance / n_pairs)),
        pvalue,
        "permutation" if is_small else "moments",
        signal,
    )


def _mean_of_pairs(total: FloatArray, n_vectors: int) -> float:
    """Return the mean product of pairs of vectors of length 1, from their sum."""
    if n_vectors < 2:
        return float("nan")
    return float((total @ total - n_vectors) / (n_vectors * (n_vectors - 1)))


def _by_permutation(residuals: FloatArray, code: IntArray, observed: float) -> float:
    """Return the p-value by permuting the trials of each label in each unit."""
    rng = np.random.default_rng(np.random.SeedSequence(residuals.shape))
    groups = [np.flatnonzero(code == group) for group in range(int(code.max()) + 1)]
    drawn = np.empty(N_DRAWS)
    for draw in range(N_DRAWS):
        total = [rng.permuted(residuals[:, g], axis=1).sum(axis=0) for g in groups]
        drawn[draw] = _mean_of_pairs(np.concatenate(total), len(residuals))
    above = int((drawn >= observed - _TIE).sum())
    below = int((drawn <= observed + _TIE).sum())
    return min(1.0, 2 * (1 + min(above, below)) / (1 + N_DRAWS))


def _by_moments(total: float, variance: float, third: float) -> float:
    """Return the p-value of a sum from its second and third cumulant; its mean is 0."""
    z, skew = total / np.sqrt(variance), third / variance**1.5
    if skew < 1e-6:
        upper = float(special.ndtr(-z))
    else:
        # A gamma distribution of that skewness, shifted to mean 0 (Pearson III).
        shape = 4 / skew**2
        upper = float(special.gammaincc(shape, max(0.0, shape + 2 * z / skew)))
    return min(1.0, 2 * min(upper, 1 - upper))


def matrix_of_counts(
    raster: SpikeRaster, trials: Trials, window: StepWindow, of: str
) -> FloatArray:
    """Return the noise or signal correlations of all pairs, NaN where there is none.

    Parameters
    ----------
    raster, trials, window
        As in `count_correlations`.
    of : {"noise", "signal"}
        Which correlations.

    Returns
    -------
    ndarray of float64, shape (n_units, n_units)
        The matrix.
    """
    field = "residuals" if of == "noise" else "means"
    blocks = _blocks(raster, trials, window)
    vectors = np.concatenate([getattr(block, field) for block in blocks])
    matrix: FloatArray = vectors @ vectors.T
    has_none = ~vectors.any(axis=1)
    matrix[has_none] = np.nan
    matrix[:, has_none] = np.nan
    return matrix
