"""patterns: how many different ones a layer shows, and how far apart they are."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy.special import entr

from ann2neo._checks import names_of, one_of
from ann2neo._parallel import checked_executor
from ann2neo.analysis._entry import (
    BoolArray,
    Column,
    IntArray,
    Statistic,
    columns_of,
    count_column,
    text_column,
)
from ann2neo.analysis._phases import phases_of
from ann2neo.analysis.patterns._groups import checked_by, groups_of
from ann2neo.raster import SpikeRaster
from ann2neo.raster.hamming import hamming_excess
from ann2neo.raster.patterns import pattern_counts, patterns_of
from ann2neo.recording import Recording

__all__ = ["COLUMNS", "PATTERN_STATISTICS", "PatternStatistic", "patterns"]

ENGINES = ("fast", "reference")
_DRAWS = 9_999
"""Patterns of independent units that are drawn; a mean of numbers between 0 and 1 is
then known with a standard error of at most 0.005.
"""
_BLOCK_UNITS = 512
_NO_COLLISION = 1e-12
_INDEPENDENT = (
    "units are independent given their rates; a joint permutation of the bins changes"
    " no statistic of patterns, whose order does not matter"
)


class Patterns:
    """The patterns of a group of units in one phase, and what is counted in them.

    Parameters
    ----------
    raster : SpikeRaster
        Spikes of the units in the bins of the phase.
    executor : Executor, optional
        Where pairs are counted; in threads of this process if not given.
    """

    def __init__(self, raster: SpikeRaster, executor: Executor | None = None) -> None:
        self.raster, self.executor = raster, executor
        self.n_units, self.n_samples = raster.shape

    @property
    def n_pairs(self) -> int:
        """Number of pairs of samples."""
        return self.n_samples * (self.n_samples - 1) // 2

    @cached_property
    def spike_counts(self) -> IntArray:
        """Spikes of each unit, shape (n_units,)."""
        return self.raster.spike_counts()

    @cached_property
    def occurrences(self) -> IntArray:
        """How often each different pattern occurs, shape (n_different,)."""
        return pattern_counts(patterns_of(self.raster))

    @cached_property
    def mean_distance(self) -> float:
        """Mean distance of two samples over the units, from the rates alone."""
        # A unit with c spikes differs in c (N - c) of the N (N - 1) / 2 pairs. As
        # Python's integers, which do not overflow.
        n = self.n_samples
        differing = sum(c * (n - c) for c in self.spike_counts.tolist())
        return _ratio(differing, self.n_units * self.n_pairs)

    @cached_property
    def independent(self) -> tuple[float, float]:
        """Redundancy and entropy of patterns of independent units of the same rates."""
        return _independent(self.spike_counts, self.n_samples)


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator else float("nan")


def _independent(spike_counts: IntArray, n_samples: int) -> tuple[float, float]:
    """Return the expected redundancy and entropy of N patterns of independent units.

    Each of N samples shares its pattern x with B others, B binomial with N - 1 draws of
    probability P(x). Of m equal samples each counts as 1/m of a pattern, so that the
    share of different patterns is the mean of 1 / (1 + B), for which there is a closed
    form, and the entropy is log2 N minus the mean of log2(1 + B).
    """
    if not len(spike_counts):
        return float("nan"), float("nan")
    # Rarely active and rarely silent units alike: the rarer of the two values.
    rare = np.minimum(spike_counts, n_samples - spike_counts)
    rates = np.sort(rare[rare > 0])[::-1] / n_samples
    rng = np.random.default_rng([n_samples, len(spike_counts)])
    log_probability = np.zeros(_DRAWS)
    for first in range(0, len(rates), _BLOCK_UNITS):
        rate = rates[first : first + _BLOCK_UNITS]
        is_rare = rng.random((_DRAWS, len(rate)), np.float32) < rate
        log_probability += np.log1p(-rate).sum()
        log_probability += is_rare @ (np.log(rate) - np.log1p(-rate))
        # More units can only make each pattern rarer.
        if n_samples * np.exp(log_probability.max()) < _NO_COLLISION:
            break
    probability = np.exp(log_probability)
    # (1 - (1 - P)^N) / (N P), without the loss of digits at small P.
    with np.errstate(divide="ignore", invalid="ignore"):
        share = -np.expm1(n_samples * np.log1p(-probability)) / (
            n_samples * probability
        )
    different = np.where(probability > 0, share, 1.0)
    others = rng.binomial(n_samples - 1, probability)
    redundancy = max(0.0, 1.0 - float(different.mean()))
    entropy = float(np.log2(n_samples) - np.log2(1.0 + others).mean())
    return redundancy, entropy


def _entropy(occurrences: IntArray) -> float:
    """Return the entropy in bits of patterns that occur so often each."""
    return float(entr(occurrences / occurrences.sum()).sum() / np.log(2))


@dataclasses.dataclass(frozen=True, kw_only=True)
class PatternStatistic(Statistic):
    """A statistic of the patterns of a group of units, computed by either engine.

    Parameters
    ----------
    fast : function of Patterns
        Columns, from the bits.
    reference : function of ndarray of bool, shape (n_samples, n_units)
        The columns that are measured rather than derived from the rates, by their
        definitions with NumPy and SciPy.
    """

    fast: Callable[[Patterns], Mapping[str, float]]
    reference: Callable[[BoolArray], Mapping[str, float]]


def _redundancy(patterns: Patterns) -> dict[str, float]:
    different = len(patterns.occurrences)
    return {
        "unique_patterns": different,
        "redundancy": 1.0 - different / patterns.n_samples,
        "redundancy_independent": patterns.independent[0],
    }


def _reference_redundancy(dense: BoolArray) -> dict[str, float]:
    different = len({tuple(row) for row in dense.tolist()})
    return {
        "unique_patterns": different,
        "redundancy": 1.0 - different / len(dense),
    }


REDUNDANCY = PatternStatistic(
    name="redundancy",
    columns=(
        count_column("unique_patterns", "Different patterns in the phase."),
        Column(
            "redundancy",
            "1 - different patterns / time bins: 0 where every sample has a pattern of"
            " its own, near 1 where all have the same.",
        ),
        Column(
            "redundancy_independent",
            "Redundancy expected of independent units of the same rates; from 9 999"
            " drawn patterns, with a standard error of at most 0.005.",
        ),
    ),
    null=_INDEPENDENT,
    validity="at least one unit",
    source="Chen et al. (2021), arXiv 2101.05490",
    fast=_redundancy,
    reference=_reference_redundancy,
)


def _reference_distance(dense: BoolArray) -> dict[str, float]:
    from scipy.spatial.distance import pdist

    return {"mean_distance": float(pdist(dense, "hamming").mean())}


MEAN_DISTANCE = PatternStatistic(
    name="mean_distance",
    columns=(
        Column(
            "mean_distance",
            "Mean Hamming distance over all pairs of samples, divided by the number of"
            " units. The rates alone give it exactly, as the mean over units of"
            " 2 c (N - c) / (N (N - 1)) with c spikes in N bins: correlations cannot"
            " enter.",
        ),
    ),
    validity="at least one unit and two time bins",
    source="definition; scipy.spatial.distance.pdist",
    fast=lambda patterns: {"mean_distance": patterns.mean_distance},
    reference=_reference_distance,
)


def _indicator(patterns: Patterns) -> dict[str, float]:
    ceiling = min(1.0, 2.0 * patterns.mean_distance)
    if not patterns.n_pairs or not patterns.n_units:
        return dict.fromkeys(
            (column.name for column in INDICATOR.columns), float("nan")
        )
    # min(h, d/2) / (d/2) is (2 h - max(0, 2 h - d)) / d, in whole numbers.
    excess, beyond = hamming_excess(
        patterns_of(patterns.raster), patterns.n_units, executor=patterns.executor
    )
    n = patterns.n_samples
    differing = sum(c * (n - c) for c in patterns.spike_counts.tolist())
    return {
        "overfitting_underfitting_indicator": (2 * differing - excess)
        / (patterns.n_units * patterns.n_pairs),
        "overfitting_underfitting_indicator_ceiling": ceiling,
        "clamped_share": beyond / patterns.n_pairs,
    }


def _reference_indicator(dense: BoolArray) -> dict[str, float]:
    from scipy.spatial.distance import pdist

    distances = pdist(dense, "hamming")
    return {
        "overfitting_underfitting_indicator": float(
            (np.minimum(distances, 0.5) / 0.5).mean()
        ),
        "clamped_share": float((distances > 0.5).mean()),
    }


INDICATOR = PatternStatistic(
    name="overfitting_underfitting_indicator",
    columns=(
        Column(
            "overfitting_underfitting_indicator",
            "Overfitting-underfitting indicator (OUI): mean over pairs of samples of"
            " min(h, d/2) / (d/2), h their Hamming distance, d the number of units.",
        ),
        Column(
            "overfitting_underfitting_indicator_ceiling",
            "The most that the rates alone allow, min(1, 2 mean_distance); reached"
            " where no pair is further apart than d/2.",
        ),
        Column(
            "clamped_share",
            "Share of pairs of samples that differ in more than half of the units, and"
            " are counted as half.",
        ),
    ),
    validity="at least one unit and two time bins",
    source="arXiv 2504.17160",
    fast=_indicator,
    reference=_reference_indicator,
)


def _coverage(patterns: Patterns) -> dict[str, float]:
    counts, n_units = patterns.spike_counts, patterns.n_units
    return {
        "coverage": _ratio(int((counts > 0).sum()), n_units),
        "always_active": _ratio(int((counts == patterns.n_samples).sum()), n_units),
        "never_active": _ratio(int((counts == 0).sum()), n_units),
    }


COVERAGE = PatternStatistic(
    name="coverage",
    columns=(
        Column(
            "coverage",
            "Neuron coverage: share of units that spike for at least one sample,"
            " 1 - never_active; it follows from the rates.",
        ),
        Column("always_active", "Share of units that spike for every sample."),
        Column("never_active", "Share of units that spike for no sample."),
    ),
    validity="at least one unit",
    source="Pei et al. (2017), DeepXplore, SOSP",
    fast=_coverage,
    reference=lambda dense: {
        "coverage": float(dense.any(axis=0).mean()),
        "always_active": float(dense.all(axis=0).mean()),
        "never_active": float((~dense.any(axis=0)).mean()),
    },
)


def _pattern_entropy(patterns: Patterns) -> dict[str, float]:
    rates = patterns.spike_counts / patterns.n_samples
    return {
        "pattern_entropy": _entropy(patterns.occurrences),
        "pattern_entropy_ceiling": float(np.log2(patterns.n_samples)),
        "pattern_entropy_of_rates": float(
            (entr(rates) + entr(1.0 - rates)).sum() / np.log(2)
        ),
        "pattern_entropy_independent": patterns.independent[1],
    }


def _reference_entropy(dense: BoolArray) -> dict[str, float]:
    from scipy.stats import entropy

    counts = np.unique(dense, axis=0, return_counts=True)[1]
    return {"pattern_entropy": float(entropy(counts, base=2))}


PATTERN_ENTROPY = PatternStatistic(
    name="pattern_entropy",
    columns=(
        Column("pattern_entropy", "Entropy of the patterns that occur.", "bit"),
        Column(
            "pattern_entropy_ceiling",
            "log2 of the number of samples, reached where all patterns differ: near it"
            " the number of samples is what is measured.",
            "bit",
        ),
        Column(
            "pattern_entropy_of_rates",
            "Sum over units of the entropy of a single bit of their rate, which the"
            " entropy of patterns cannot exceed, either.",
            "bit",
        ),
        Column(
            "pattern_entropy_independent",
            "Entropy expected of as many patterns of independent units of the same"
            " rates, from 9 999 drawn patterns.",
            "bit",
        ),
    ),
    null=_INDEPENDENT,
    validity="at least one unit",
    source="definition; scipy.stats.entropy",
    fast=_pattern_entropy,
    reference=_reference_entropy,
)

PATTERN_STATISTICS: tuple[PatternStatistic, ...] = (
    REDUNDANCY,
    MEAN_DISTANCE,
    INDICATOR,
    COVERAGE,
    PATTERN_ENTROPY,
)
"""The statistics of patterns, in the order of the columns."""

COLUMNS: tuple[Column, ...] = (
    text_column("phase", "Phase of the recording."),
    text_column("layer", "Name of the layer of the artificial neural network."),
    count_column("n_units", "Units in the patterns, d."),
    count_column("n_time_bins", "Time bins of the phase, N: one pattern each."),
    *columns_of(PATTERN_STATISTICS),
    text_column("reason", "Why numbers are missing; empty where there are all."),
)
"""Columns of the table of `patterns`."""


def patterns(
    recording: Recording,
    *,
    by: str | None = None,
    statistics: str | Sequence[str] | None = None,
    engine: Literal["fast", "reference"] = "fast",
    executor: Executor | None = None,
) -> pd.DataFrame:
    """Summarize the patterns of units that fire together, per phase and layer.

    A pattern is a column of the raster: which units of a layer fire for one sample (in
    one time bin, where a sample lasts longer).

    Parameters
    ----------
    recording : Recording
        The recording.
    by : str, optional
        Column of the table of units; each of its values makes a group with patterns of
        its own. If not given, the layers of a network; all units together where they
        have no layer.
    statistics : str or sequence of str, optional
        Names of `PATTERN_STATISTICS` to compute; all if not given. Only
        ``overfitting_underfitting_indicator`` goes through all pairs of samples, in a
        time that grows with their square.
    engine : {"fast", "reference"}
        From the bits, or by definition with NumPy and SciPy, for small recordings.
    executor : concurrent.futures.Executor, optional
        Where the pairs are counted, as in `analyze`; in threads of this process if not
        given. The table is the same.

    Returns
    -------
    pandas.DataFrame
        One row per phase and group: ``phase``, the column `by`, ``n_units``,
        ``n_time_bins`` and, beside what follows from the rates alone,

        - ``unique_patterns, redundancy``, 1 - unique / samples, and
          ``redundancy_independent``, expected of independent units of the same rates;
        - ``mean_distance`` of two samples, as a share of the units, which the rates
          alone give exactly;
        - ``overfitting_underfitting_indicator``, its ``_ceiling`` from the rates, and
          ``clamped_share`` of the pairs, 0 where it reaches the ceiling;
        - ``coverage``, ``always_active``, ``never_active``, shares of units;
        - ``pattern_entropy`` in bits with its ceilings, log2 of the samples
          (``pattern_entropy_ceiling``) and the summed entropy of single units
          (``pattern_entropy_of_rates``), and ``pattern_entropy_independent``;
        - ``reason``, why numbers are NaN: one sample has no pairs.

    Raises
    ------
    InputTypeError, InputValueError
        If `recording` is not a Recording, or has no phase; if `by`, a name in
        `statistics` or `engine` is unknown; if `executor` is no executor.

    Notes
    -----
    The order of the samples does not matter to any of these numbers, so a joint
    permutation of the bins leaves them as they are. What units do together beyond
    their rates shows in the difference between a number and its ``_independent`` one.
    For p-values of it, give `surrogate_test` a function and a method that permutes
    every unit by itself (``"bin_permutation"``), or inside the samples of a label
    (``"within_label"``).

    References
    ----------
    Chen, Y. et al. (2021), arXiv 2101.05490, for redundancy. Pei, K. et al. (2017).
    DeepXplore: automated whitebox testing of deep learning systems. SOSP. The
    indicator is that of arXiv 2504.17160.

    Examples
    --------
    >>> from ann2neo.testing import make_recording
    >>> table = patterns(make_recording([[1, 0, 1, 0], [1, 0, 1, 1]]))
    >>> table[["unique_patterns", "redundancy", "mean_distance"]].round(3)
       unique_patterns  redundancy  mean_distance
    0                3        0.25          0.583
    """
    phases = phases_of(recording, "patterns")
    one_of(engine, ENGINES, "engine")
    entries, executor = _chosen(statistics), checked_executor(executor)
    by = checked_by(by, recording.units, {c.name for c in COLUMNS} - {"layer"})
    rows = []
    for phase in phases:
        raster = phase.raster(recording.raster).raster
        for group in groups_of(recording.units, by):
            part = Patterns(raster.take(units=group.units), executor)
            rows.append(
                {
                    "phase": phase.phase,
                    **group.place,
                    "n_units": part.n_units,
                    "n_time_bins": part.n_samples,
                    **_values(part, entries, engine),
                    "reason": _reason(part),
                }
            )
    table = pd.DataFrame(rows)
    return table.astype({"phase": "str", "reason": "str"})


def _chosen(names: str | Sequence[str] | None) -> tuple[PatternStatistic, ...]:
    if names is None:
        return PATTERN_STATISTICS
    names = names_of(names, "statistics")
    valid = [entry.name for entry in PATTERN_STATISTICS]
    for name in names:
        one_of(name, valid, "a name in statistics")
    return tuple(entry for entry in PATTERN_STATISTICS if entry.name in names)


def _values(
    part: Patterns, entries: Sequence[PatternStatistic], engine: str
) -> dict[str, Any]:
    columns = columns_of(entries)
    if not part.n_units:
        return {column.name: column.missing for column in columns}
    values: dict[str, Any] = {}
    for entry in entries:
        values |= entry.fast(part)
    if engine == "reference":
        dense = np.ascontiguousarray(part.raster.to_dense().T)
        for entry in entries:
            # Without pairs, their mean is no number.
            if part.n_pairs or entry not in (MEAN_DISTANCE, INDICATOR):
                values |= entry.reference(dense)
    return {column.name: values[column.name] for column in columns}


def _reason(part: Patterns) -> str:
    if not part.n_units:
        return "no unit"
    if not part.n_pairs:
        return "one time bin, and so no pair of patterns"
    return ""
