"""Correlations, complexity and dimensionality of units, from counts of joint spikes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from concurrent.futures import Executor
from itertools import combinations_with_replacement
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ann2neo._checks import one_of
from ann2neo._parallel import Task, checked_executor, map_tasks
from ann2neo.analysis._entry import (
    Column,
    FloatArray,
    IntArray,
    Statistic,
    columns_of,
    count_column,
    text_column,
)
from ann2neo.analysis._phases import is_shuffled, one_phase, phases_of
from ann2neo.analysis.populations.count_correlations import (
    NOISE_CORRELATION,
    SIGNAL_CORRELATION,
    CountCorrelations,
    count_correlations,
    matrix_of_counts,
)
from ann2neo.analysis.populations.labels import Labels, has_labels, labels_of
from ann2neo.analysis.surrogates.inside_segments import circular_shift
from ann2neo.analysis.trials.trials import Trials, trials_of
from ann2neo.errors import InputValueError
from ann2neo.raster import SpikeRaster
from ann2neo.recording import Recording
from ann2neo.recording.segments import SegmentedPhase, UnitsOfPhase
from ann2neo.recording.tables import DEFAULT_KIND
from ann2neo.recording.windows import StepWindow, step_window

__all__ = [
    "COMPLEXITY_COLUMNS",
    "CORRELATION",
    "CORRELATION_COLUMNS",
    "CORRELATION_STATISTICS",
    "PARTICIPATION_RATIO",
    "TUNING",
    "Correlations",
    "complexity",
    "correlation_matrix",
    "correlations",
    "participation_ratio",
]

# An array of a block of pairs takes 8 MiB, of a strip of its rows 256 KiB.
_BLOCK_UNITS = 1024
_STRIP_UNITS = 32
_BLOCK_BYTES, _PAIR_BYTES = 1 << 22, 1 << 25
_HISTOGRAM_BINS = 400

_NULL_UNITS, _NULL_PAIRS, _NULL_DRAWS = 128, 2_000, 99
"""For the correlations of unrelated units: how many are shifted circularly at once, how
many pairs that shall give, and how often at most.
"""

_PAIRS = "at least two units that are neither silent nor saturated"

CORRELATION = Statistic(
    name="correlation",
    columns=(
        Column("mean", "Mean over pairs of units of the correlation of their bits."),
        Column("std", "Standard deviation over pairs of the correlation."),
        Column("mean_absolute", "Mean over pairs of its absolute value."),
        Column(
            "null_std",
            "Standard deviation of the correlation of two unrelated units, whose mean"
            " is 0: 1 / sqrt(N - 1) for independent bins, else that of the units after"
            " circular shifts.",
        ),
        Column(
            "share_beyond_null",
            "Share of pairs further from 0 than 95 % of the pairs of unrelated units;"
            " 0.05 if all units are unrelated.",
        ),
        text_column(
            "null_distribution",
            "What unrelated units are: independent bins in a random order with one bin"
            " per presentation, elsewhere circular shifts of each unit inside the"
            " segments, which keep what a unit remembers (independent Markov units"
            " with a correlation of 0.5 between bins exceed the former in 13 %).",
        ),
    ),
    null=(
        "unrelated units: independent bins in a random order with one bin per"
        " presentation, elsewhere circular shifts"
    ),
    validity=_PAIRS,
    source="Cohen and Kohn (2011), Nature Neuroscience 14:811",
)

TUNING = Statistic(
    name="tuning",
    columns=(
        Column(
            "tuning_mean",
            "Mean over pairs of the correlation due to shared tuning to the labels"
            " alone.",
        ),
        Column(
            "within_label_mean",
            "Mean over pairs of the correlation of the deviations from the labels'"
            " means.",
        ),
        Column("within_label_std", "Standard deviation over pairs of the same."),
        Column(
            "within_label_null_std",
            "Root mean square over pairs of its standard deviation under the"
            " within-label permutation, whose mean is 0.",
        ),
    ),
    null="bins of one label can be exchanged in each unit",
    validity=f"{_PAIRS}, and presentations with labels",
    source=CORRELATION.source,
)

PARTICIPATION_RATIO = Statistic(
    name="participation_ratio",
    columns=(
        Column(
            "participation_ratio",
            "Number of dimensions that the units span, tr(C)^2 / tr(C^2) of their"
            " covariance matrix C.",
        ),
        Column(
            "participation_ratio_independent",
            "The same for independent units of the same rates and as many bins.",
        ),
    ),
    validity="at least one unit that is neither silent nor saturated",
    source="Gao and Ganguli (2015), Curr Opin Neurobiol 32:148",
)

CORRELATION_STATISTICS: tuple[Statistic, ...] = (
    CORRELATION,
    TUNING,
    NOISE_CORRELATION,
    SIGNAL_CORRELATION,
    PARTICIPATION_RATIO,
    Statistic(
        name="unit_correlation",
        columns=(
            Column(
                "unit_mean",
                "Mean correlation of the unit with the others; NaN for silent and"
                " saturated units.",
            ),
        ),
        validity=_PAIRS,
        source=CORRELATION.source,
    ),
    Statistic(
        name="histogram",
        columns=(
            Column("histogram_edges", "Edges of bins of the correlation."),
            count_column("histogram_counts", "Pairs of units in each of these bins."),
        ),
        validity="any number of units",
        source="definition",
    ),
)
"""The statistics of pairs of units, in the order of the fields."""

CORRELATION_COLUMNS: tuple[Column, ...] = (
    text_column("phase", "Phase of the recording."),
    count_column("n_units", "Units of the recording."),
    count_column("n_silent", "Units without a spike in the phase."),
    count_column("n_saturated", "Units with a spike in every bin of the phase."),
    count_column("n_time_bins", "Time bins of the phase, N."),
    count_column("n_pairs", "Pairs of units that have a correlation."),
    *columns_of(CORRELATION_STATISTICS),
)
"""Fields of `Correlations`."""

COMPLEXITY_COLUMNS: tuple[Column, ...] = (
    text_column("phase", "Phase of the recording."),
    count_column("complexity", "Number of units that spike in the same time bin."),
    count_column("n_time_bins", "Time bins in which so many units spike."),
    Column("probability", "Share of the time bins in which so many units spike."),
    Column(
        "probability_independent",
        "The same for independent units of the same rates (Poisson-binomial).",
    ),
)
"""Columns of the table of `complexity`."""


@dataclasses.dataclass(frozen=True, eq=False)
class Correlations:
    """Pairwise correlations of the units in one phase, as a distribution over pairs.

    In a deterministic network these are signal correlations: two units respond to the
    same stimuli. Silent and saturated units have no correlation and are in no pair.

    Parameters
    ----------
    phase : str
        The phase.
    n_units, n_silent, n_saturated, n_time_bins, n_pairs : int
        Sizes; each pair counts once.
    mean, std, mean_absolute : float
        Over pairs; NaN without a pair.
    null_std : float
        Standard deviation of the correlation of two unrelated units, whose mean is 0.
    share_beyond_null : float
        Share of pairs further from 0 than 95 % of those of unrelated units; 0.05 if all
        units were unrelated.
    null_distribution : {"independent bins", "circular shifts"}
        What unrelated units are; see Notes of `correlations`.
    tuning_mean : float
        Mean over pairs of the correlation due to shared tuning to the labels alone, its
        expectation under the within-label permutation; NaN without labels.
    within_label_mean, within_label_std : float
        Mean and standard deviation over pairs of the remainder, the correlation of the
        deviations from the labels' means; NaN without labels.
    within_label_null_std : float
        Root mean square over pairs of its standard deviation under the within-label
        permutation, whose mean is 0.
    n_trials : int
        Presentations whose counts are correlated; 0 where all presentations are one bin
        long and no window was asked for: counts are then bits, and `within_label_mean`
        is the noise correlation.
    noise_correlation : float
        Mean over pairs of the correlation of spike counts over the trials of a label,
        of the deviations from the label's mean.
    noise_correlation_null_std, noise_correlation_pvalue : float
        Root mean square over pairs of its standard deviation, and two-sided p-value, if
        the trials of a label are permuted in each unit.
    noise_correlation_method : {"permutation", "moments", ""}
        How the p-value was found.
    signal_correlation : float
        Mean over pairs of the correlation of mean counts over labels.
    participation_ratio, participation_ratio_independent : float
        ``tr(C)^2 / tr(C^2)`` of the covariance matrix C, the number of dimensions the
        units span, and its value if the units were independent with the same rates and
        as many bins.
    unit_mean : ndarray of float64, shape (n_units,)
        Mean correlation of each unit with the others; NaN for silent and saturated
        ones.
    histogram_edges : ndarray of float64, shape (401,)
        Edges of bins from -1 to 1.
    histogram_counts : ndarray of int64, shape (400,)
        Pairs in each bin; a bin includes its left edge, the last one both.

    Examples
    --------
    >>> from ann2neo.raster import SpikeRaster
    >>> same = np.random.default_rng(0).random(1000) < 0.3
    >>> result = correlations(
    ...     Recording.from_raster(SpikeRaster.from_dense([same, same, ~same]))
    ... )
    >>> result.n_pairs, round(result.mean, 3)
    (3, -0.333)
    """

    phase: str
    n_units: int
    n_silent: int
    n_saturated: int
    n_time_bins: int
    n_pairs: int
    mean: float
    std: float
    mean_absolute: float
    null_std: float
    share_beyond_null: float
    null_distribution: str
    tuning_mean: float
    within_label_mean: float
    within_label_std: float
    within_label_null_std: float
    n_trials: int
    noise_correlation: float
    noise_correlation_null_std: float
    noise_correlation_pvalue: float
    noise_correlation_method: str
    signal_correlation: float
    participation_ratio: float
    participation_ratio_independent: float
    unit_mean: FloatArray = dataclasses.field(repr=False)
    histogram_edges: FloatArray = dataclasses.field(repr=False)
    histogram_counts: IntArray = dataclasses.field(repr=False)


def correlations(
    recording: Recording,
    *,
    phase: str | None = None,
    kind: str | None = None,
    window: Any = None,
    executor: Executor | None = None,
) -> Correlations:
    """Correlate all pairs of units, block by block.

    The matrix of all pairs is never in memory, so that 21 632 units fit; see
    `correlation_matrix` for that matrix.

    Parameters
    ----------
    recording : Recording
        The spikes; with labels, the part due to tuning is separated.
    phase : str, optional
        The phase; not needed if there is only one.
    kind : str, optional
        Kind of the presentations whose labels count; the only one, or "trials", if not
        given.
    window : (start, stop), optional
        For the correlations of spike counts (noise and signal correlation): steps since
        the start of a presentation, or times since it as quantities; the stop may be
        None, its end. The whole presentation if not given. Presentations that end
        before the window does are left out, and `Correlations.n_trials` counts the
        others.
    executor : concurrent.futures.Executor, optional
        As in `analyze`.

    Returns
    -------
    Correlations
        Distribution over pairs.

    Raises
    ------
    InputTypeError, InputValueError
        If `recording` is not a Recording, the phase is unknown or not given, there are
        no presentations of the kind, or none holds the window.

    Notes
    -----
    The correlation of two bits is ``(N n_ij - K_i K_j) / sqrt(K_i (N - K_i) K_j (N -
    K_j))`` with n_ij the bins in which both spike: integers up to the last division.
    If either train is permuted, its mean is exactly 0 and its variance 1 / (N - 1).
    Within labels, n_ij is compared with ``sum over c of n_ic n_jc / n_c`` instead of
    K_i K_j / N; bins outside presentations are one more stratum.

    In a random order with one bin per presentation the bins of a unit are independent:
    ``null_std`` is ``1 / sqrt(N - 1)``, and 95 % of the pairs lie within 1.96 of it.
    Elsewhere units remember what they did, and independent ones would exceed these
    bounds too often. The bounds are then those of the same units (at most 128, evenly
    spaced) after circular shifts inside the segments, drawn with a fixed seed. Bins of
    all segments of a phase are pooled.

    References
    ----------
    Cohen, M. R. and Kohn, A. (2011). Measuring and interpreting neuronal correlations.
    Nature Neuroscience 14.

    Examples
    --------
    >>> import numpy as np
    >>> from ann2neo import Recording
    >>> recording = Recording.from_activations(
    ...     np.array([[1, 1, 0], [0, 0, 1], [1, 1, 1], [0, 0, 0]])
    ... )
    >>> result = correlations(recording)
    >>> result.n_pairs, round(result.mean, 12)
    (3, 0.333333333333)
    """
    chosen = one_phase(recording, phase, "correlations")
    labels = None
    if has_labels(recording, chosen, kind):
        labels = labels_of(recording, chosen, kind)
    executor = checked_executor(executor)
    raster = recording.raster
    counts = chosen.spike_counts(raster)
    null = _independent_bins(chosen.n_time_bins)
    if not is_shuffled(recording, chosen):
        null = _circular_shifts(raster, chosen, counts)
    strata = None
    if labels is not None:
        strata = _strata(raster, chosen, labels, counts)
    of_counts = CountCorrelations()
    if kind is not None or window is not None or _has_one_kind(recording):
        trials, steps = _counted(recording, chosen, kind, window)
        if window is not None or (trials.n_bins > 1).any():
            of_counts = count_correlations(raster, trials, steps)
    return _correlations(raster, chosen, counts, strata, null, executor, of_counts)


def _has_one_kind(recording: Recording) -> bool:
    """Tell whether it is clear which presentations are meant if no kind is named."""
    kinds = set(recording.presentations["kind"])
    return len(kinds) == 1 or DEFAULT_KIND in kinds


def _counted(
    recording: Recording, phase: SegmentedPhase, kind: str | None, window: Any
) -> tuple[Trials, StepWindow]:
    """Return the presentations of a phase that hold a window of steps."""
    steps = step_window(window, recording.raster)
    trials = trials_of(recording, phase, kind)
    fits = steps.fits(trials.n_bins)
    if window is not None and not fits.any():
        raise InputValueError(
            f"none of {trials.n_trials} presentations in phase {phase.phase!r} holds"
            f" the window, which ends at step {steps.last}; choose a shorter one, or"
            " add presentations with recording.with_presentations"
        )
    return trials.of(fits), steps


class _Null(NamedTuple):
    """Correlations of unrelated units: their spread, and what 95 % do not exceed."""

    name: str
    std: float
    limit: float


def _independent_bins(n_time_bins: int) -> _Null:
    std = 1.0 / np.sqrt(n_time_bins - 1) if n_time_bins > 1 else np.nan
    return _Null("independent bins", float(std), 1.96 * float(std))


def _circular_shifts(
    raster: SpikeRaster, phase: SegmentedPhase, counts: IntArray
) -> _Null:
    n = phase.n_time_bins
    active = np.flatnonzero((counts > 0) & (counts < n))
    n_units = min(_NULL_UNITS, len(active))
    if n_units < 2:
        return _Null("circular shifts", np.nan, np.nan)
    units = active[np.linspace(0, len(active) - 1, n_units).astype(np.int64)]
    draw = circular_shift(phase.raster(raster.take(units=units)), joint=False)
    pairs = np.triu_indices(n_units, 1)
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(min(_NULL_DRAWS, -(-_NULL_PAIRS // len(pairs[0])))):
        joint = draw(rng).joint_counts()
        r = _correlation(joint, counts[units], counts[units], n)
        drawn.append(r[pairs])
    values = np.concatenate(drawn)
    limit = float(np.quantile(np.abs(values), 0.95))
    return _Null("circular shifts", float(np.sqrt(np.mean(values**2))), limit)


class _Units(NamedTuple):
    """A block of units, with what is known of each."""

    part: UnitsOfPhase
    counts: IntArray
    strata: _Strata | None


class _PairSums(NamedTuple):
    """Sums over the pairs of two blocks of units.

    Parameters
    ----------
    n_pairs, n_beyond : int
        Pairs, and those beyond the null distribution's limit.
    sums : ndarray of float64, shape (8,)
        Of r, r^2, abs(r), r^2 times both variances, the correlation due to tuning,
        that within labels, its square, and the variance expected of it.
    histogram : ndarray of int64, shape (400,)
        Pairs in each bin of r.
    of_left, of_right : ndarray of float64, shape (n_units,)
        Sum of r over the pairs of each unit.
    """

    n_pairs: int
    n_beyond: int
    sums: FloatArray
    histogram: IntArray
    of_left: FloatArray
    of_right: FloatArray


def _pair_sums(left: _Units, right: _Units, limit: float) -> _PairSums:
    one_block = left.part.units == right.part.units
    raster, n = left.part.raster().raster, left.part.phase.n_time_bins
    other = None if one_block else right.part.raster().raster
    joint = raster.joint_counts(other)
    r = _correlation(joint, left.counts, right.counts, n)
    # As floats, since a product of two variances, up to N^4 / 16, overflows int64 from
    # about 110 000 bins on.
    variance, other_variance = (
        (units.counts * (n - units.counts)).astype(np.float64)
        for units in (left, right)
    )
    pair = np.logical_and.outer(variance > 0, other_variance > 0)
    # A block on the diagonal has every pair twice.
    if one_block:
        pair &= np.triu(np.ones_like(pair), 1)
    r = np.where(pair, r, 0.0)
    squares = r**2
    sizes = np.multiply.outer(variance, other_variance)
    sums = [r.sum(), squares.sum(), np.abs(r).sum(), (squares * sizes).sum()]
    if left.strata is None or right.strata is None:
        sums += [0.0] * 4
    else:
        within, tuned, expected = left.strata.split(
            right.strata, joint, variance, other_variance, n
        )
        sums += [
            tuned[pair].sum(),
            within[pair].sum(),
            (within[pair] ** 2).sum(),
            expected[pair].sum(),
        ]
    place = ((r[pair] + 1.0) * (_HISTOGRAM_BINS / 2)).astype(np.int64)
    place = np.minimum(place, _HISTOGRAM_BINS - 1)
    return _PairSums(
        n_pairs=int(pair.sum()),
        n_beyond=int((np.abs(r) > limit).sum()),
        sums=np.array(sums),
        histogram=np.bincount(place, minlength=_HISTOGRAM_BINS),
        of_left=r.sum(axis=1),
        of_right=r.sum(axis=0),
    )


def _correlations(
    raster: SpikeRaster,
    phase: SegmentedPhase,
    counts: IntArray,
    strata: _Strata | None,
    null: _Null,
    executor: Executor | None = None,
    of_counts: CountCorrelations | None = None,
    block_units: int = _BLOCK_UNITS,
) -> Correlations:
    n_units, n = raster.n_units, phase.n_time_bins
    # Of long recordings fewer units, as two blocks are in memory at a time.
    block_units = min(block_units, phase.units_in(raster, _PAIR_BYTES))
    blocks = [
        _Units(
            part,
            counts[part.units],
            None if strata is None else strata.of(part.units),
        )
        for part in phase.unit_parts(raster, block_units)
    ]
    tasks = (
        Task(
            f"{left.part} with those from {right.part.units.start} on",
            (left, right, null.limit),
        )
        for left, right in combinations_with_replacement(blocks, 2)
    )
    unit_sum = np.zeros(n_units)
    histogram = np.zeros(_HISTOGRAM_BINS, np.int64)
    sums, n_pairs, beyond = np.zeros(8), 0, 0
    # Added up in the order of the blocks, whatever the order in which they are done.
    for (left, right), found in zip(
        combinations_with_replacement(blocks, 2),
        map_tasks(_pair_sums, tasks, executor),
        strict=True,
    ):
        n_pairs += found.n_pairs
        beyond += found.n_beyond
        sums += found.sums
        histogram += found.histogram
        unit_sum[left.part.units] += found.of_left
        unit_sum[right.part.units] += found.of_right
    total, square, absolute, joint_square = sums[:4]
    tuned, within, within_square, within_null = sums[4:]
    edges = np.linspace(-1.0, 1.0, _HISTOGRAM_BINS + 1)
    variance = (counts * (n - counts)).astype(np.float64)
    active = variance > 0
    pairs = n_pairs or np.nan
    # Without labels, what is divided by this is NaN.
    labelled = np.nan if strata is None else pairs
    n_active = int(active.sum())
    mean, left = total / pairs, within / labelled
    # tr(C^2) has every variance squared and, twice, every covariance squared. Those of
    # independent units are not 0 either: r^2 is 1 / (N - 1) on average.
    sizes = variance[active]
    diagonal = float((sizes**2).sum())
    others = float(sizes.sum()) ** 2 - diagonal
    independent = diagonal + others / (n - 1 if n > 1 else np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        return Correlations(
            phase=phase.phase,
            n_units=n_units,
            n_silent=int((counts == 0).sum()),
            n_saturated=int((counts == n).sum()) if n else 0,
            n_time_bins=n,
            n_pairs=n_pairs,
            mean=float(mean),
            std=float(np.sqrt(np.maximum(0.0, square / pairs - mean**2))),
            mean_absolute=float(absolute / pairs),
            null_std=null.std,
            share_beyond_null=float(beyond / pairs),
            null_distribution=null.name,
            tuning_mean=float(tuned / labelled),
            within_label_mean=float(left),
            within_label_std=float(
                np.sqrt(np.maximum(0.0, within_square / labelled - left**2))
            ),
            within_label_null_std=float(np.sqrt(within_null / labelled)),
            **(of_counts or CountCorrelations())._asdict(),
            participation_ratio=float(
                np.divide(sizes.sum() ** 2, diagonal + 2.0 * joint_square)
            ),
            participation_ratio_independent=float(
                np.divide(sizes.sum() ** 2, independent)
            ),
            unit_mean=np.where(
                active & (n_active > 1), unit_sum / max(1, n_active - 1), np.nan
            ),
            histogram_edges=edges,
            histogram_counts=histogram,
        )


def correlation_matrix(
    recording: Recording,
    *,
    phase: str | None = None,
    of: str = "bins",
    kind: str | None = None,
    window: Any = None,
) -> FloatArray:
    """Return the matrix of correlations of all pairs of units.

    Parameters
    ----------
    recording : Recording
        The spikes.
    phase : str, optional
        The phase; not needed if there is only one.
    of : {"bins", "noise", "signal"}
        What is correlated: the bits of all bins; the spike counts of the trials of a
        label (deviations from the label's mean); or the labels' mean counts.
    kind, window
        For "noise" and "signal": the presentations, and the steps in which spikes are
        counted, as in `correlations`.

    Returns
    -------
    ndarray of float64, shape (n_units, n_units)
        Pearson's correlation; NaN in the rows and columns of units that do not vary. It
        takes eight bytes per cell, 3.7 GB for 21 632 units;
        `correlations` does without.

    Raises
    ------
    InputTypeError, InputValueError
        If `recording` is not a Recording, or the phase is unknown or not given.

    Examples
    --------
    >>> from ann2neo import Recording
    >>> correlation_matrix(Recording.from_activations([[1, 0], [0, 1], [1, 0]]))
    array([[ 1., -1.],
           [-1.,  1.]])
    """
    chosen = one_phase(recording, phase, "correlation_matrix")
    one_of(of, ("bins", "noise", "signal"), "of")
    if of != "bins":
        trials, steps = _counted(recording, chosen, kind, window)
        if not trials.n_trials:
            raise InputValueError(
                f"{of} correlations need presentations, and phase {chosen.phase!r} has"
                " none; add them with recording.with_presentations"
            )
        return matrix_of_counts(recording.raster, trials, steps, of)
    raster = chosen.raster(recording.raster).raster
    counts, n = raster.spike_counts(), raster.n_time_bins
    matrix = np.empty((raster.n_units, raster.n_units))
    for rows, columns, joint in _joint_blocks(raster):
        _correlation(joint, counts[rows], counts[columns], n, out=matrix[rows, columns])
        if rows != columns:
            matrix[columns, rows] = matrix[rows, columns].T
    active = (counts > 0) & (counts < n)
    matrix[~active] = np.nan
    matrix[:, ~active] = np.nan
    return matrix


def _joint_blocks(
    raster: SpikeRaster, block_units: int = _BLOCK_UNITS
) -> Iterator[tuple[slice, slice, IntArray]]:
    """Yield the joint counts of pairs of blocks of units, on and above the diagonal."""
    row_bytes = max(1, raster.nbytes // max(1, raster.n_units))
    blocks = list(raster.unit_blocks(block_units * row_bytes))
    for i, (rows, part) in enumerate(blocks):
        yield rows, rows, part.joint_counts()
        for columns, other in blocks[i + 1 :]:
            yield rows, columns, part.joint_counts(other)


def _correlation(
    joint: IntArray,
    left: IntArray,
    right: IntArray,
    n: int,
    out: FloatArray | None = None,
) -> FloatArray:
    """Return correlations from joint counts and the spike counts of both sides."""
    variances = [(counts * (n - counts)).astype(np.float64) for counts in (left, right)]
    r = np.empty(joint.shape) if out is None else out
    # In strips of rows that stay in cache.
    for first in range(0, len(joint), _STRIP_UNITS):
        strip = slice(first, first + _STRIP_UNITS)
        scale = np.multiply.outer(variances[0][strip], variances[1])
        np.sqrt(scale, out=scale)
        covariance = n * joint[strip]
        covariance -= np.multiply.outer(left[strip], right)
        with np.errstate(invalid="ignore", divide="ignore"):
            np.divide(covariance, scale, out=r[strip])
    return r


class _Strata(NamedTuple):
    """Spikes of units during each label, and outside all presentations.

    Parameters
    ----------
    spikes : ndarray of float64, shape (n_units,)
        All spikes.
    scaled : ndarray of float64, shape (n_units, n_strata)
        n_ic / sqrt(n_c) with n_ic spikes in the n_c bins of label c, so that a product
        of two units' rows sums n_ic n_jc / n_c over labels, as is expected.
    variance : ndarray of float64, shape (n_units,)
        Within labels: the sum over them of n_c p (1 - p).
    spread : ndarray of float64, shape (n_units, n_strata)
        n_c p (1 - p) / sqrt(n_c - 1). Permuted within a label, joint spikes are
        hypergeometric, and their variance is a product of two units' rows.
    """

    spikes: FloatArray
    scaled: FloatArray
    variance: FloatArray
    spread: FloatArray

    def of(self, units: slice) -> _Strata:
        """Return those of some of the units."""
        return _Strata(*(values[units] for values in self))

    @np.errstate(invalid="ignore", divide="ignore")
    def split(
        self,
        other: _Strata,
        joint: IntArray,
        variance: FloatArray,
        other_variance: FloatArray,
        n: int,
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Split correlations into a part within labels and a part due to tuning.

        Returns
        -------
        within, tuned, null : ndarray of float64, shape (n_units, n_others)
            Correlation within labels, correlation due to tuning alone, and the variance
            of the former if bins of one label are permuted.
        """
        expected = self.scaled @ other.scaled.T
        inside = np.outer(self.variance, other.variance)
        whole = np.sqrt(np.outer(variance, other_variance))
        # A unit that its label determines entirely does not vary within labels.
        varies = inside > 1e-9
        within = np.where(varies, (joint - expected) / np.sqrt(inside), 0.0)
        shared = self.spread @ other.spread.T
        null = np.where(varies, shared / inside, 0.0)
        product = np.outer(self.spikes, other.spikes)
        tuned = (n * expected - product) / whole
        return within, tuned, null


def _strata(
    raster: SpikeRaster, phase: SegmentedPhase, labels: Labels, spikes: IntArray
) -> _Strata:
    of_labels = labels.raster()
    counts = np.concatenate(
        [
            np.zeros((0, len(labels.names)), np.int64),
            *(
                block.raster.joint_counts(of_labels)
                for _, block in phase.unit_blocks(raster, _BLOCK_BYTES)
            ),
        ]
    ).astype(np.float64)
    bins = labels.bins_of_each.astype(np.float64)
    rest = phase.n_time_bins - bins.sum()
    if rest:
        outside = spikes - counts.sum(axis=1)
        counts = np.column_stack([counts, outside])
        bins = np.append(bins, rest)
    spread = counts * (1.0 - counts / bins)
    return _Strata(
        spikes=counts.sum(axis=1),
        scaled=counts / np.sqrt(bins),
        variance=spread.sum(axis=1),
        spread=spread / np.sqrt(np.maximum(1.0, bins - 1.0)),
    )


def participation_ratio(raster: SpikeRaster) -> float:
    """Return the number of dimensions that the units span.

    Parameters
    ----------
    raster : SpikeRaster
        The spikes.

    Returns
    -------
    float
        ``tr(C)^2 / tr(C^2)`` of the covariance matrix C of the bits, from 1 (all units
        are alike) to the number of units (independent, of equal variance); NaN if no
        unit varies.

    References
    ----------
    Gao, P. and Ganguli, S. (2015). On simplicity and complexity in the brave new world
    of large-scale neuroscience. Curr. Opin. Neurobiol. 32.

    Examples
    --------
    >>> participation_ratio(SpikeRaster.from_dense([[1, 1, 0, 0], [1, 0, 1, 0]]))
    2.0
    """
    counts, n = raster.spike_counts(), raster.n_time_bins
    trace = float((counts * (n - counts)).sum(dtype=np.float64))
    square = 0.0
    for rows, columns, joint in _joint_blocks(raster):
        covariance = n * joint - counts[rows, None] * counts[None, columns]
        part = float(np.square(covariance.astype(np.float64)).sum())
        # Blocks off the diagonal stand for their mirror images too.
        square += part if rows == columns else 2.0 * part
    return trace**2 / square if square else np.nan


def complexity(recording: Recording) -> pd.DataFrame:
    """Count how many units spike together, beside the counts of independent units.

    Parameters
    ----------
    recording : Recording
        The spikes.

    Returns
    -------
    pandas.DataFrame
        One row per phase and complexity from 0 to n_units: ``phase, complexity,
        n_time_bins`` (with that many active units), ``probability``,
        ``probability_independent`` (Poisson-binomial, of independent units with the
        same rates; its mean is the observed one, so that only the shape can differ).

    Raises
    ------
    InputTypeError
        If `recording` is not a Recording.

    References
    ----------
    Grün, S., Abeles, M. and Diesmann, M. (2008). Impact of higher-order correlations on
    coincidence distributions of massively parallel data. In Dynamic Brain, LNCS 5286.

    Examples
    --------
    >>> from ann2neo import Recording
    >>> complexity(Recording.from_activations([[1, 1], [0, 0]]))[
    ...     "probability"
    ... ].to_list()
    [0.5, 0.0, 0.5]
    """
    tables = []
    for phase in phases_of(recording, "complexity"):
        raster = phase.raster(recording.raster).raster
        n_units, n = raster.shape
        observed = np.bincount(raster.bin_counts(), minlength=n_units + 1)
        # Poisson-binomial, unit by unit:
        #     P(k of i + 1) = P(k of i) (1 - p) + P(k - 1 of i) p
        independent = np.zeros(n_units + 1)
        independent[0] = 1.0
        for unit, rate in enumerate(raster.spike_counts() / max(1, n)):
            filled = independent[: unit + 2]
            filled[1:] = filled[1:] * (1.0 - rate) + filled[:-1] * rate
            filled[0] *= 1.0 - rate
        table = {
            "phase": pd.Series([phase.phase] * (n_units + 1), dtype="str"),
            "complexity": np.arange(n_units + 1),
            "n_time_bins": observed,
            "probability": observed / max(1, n),
            "probability_independent": independent,
        }
        tables.append(pd.DataFrame(table))
    return pd.concat(tables, ignore_index=True)
