"""Correlations, complexity and dimensionality of units, from counts of joint spikes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd

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
from ann2neo.analysis.populations.labels import Labels, has_labels, labels_of
from ann2neo.analysis.surrogates.inside_segments import circular_shift
from ann2neo.raster import SegmentedRaster, SpikeRaster
from ann2neo.recording import Recording

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
    participation_ratio: float
    participation_ratio_independent: float
    unit_mean: FloatArray = dataclasses.field(repr=False)
    histogram_edges: FloatArray = dataclasses.field(repr=False)
    histogram_counts: IntArray = dataclasses.field(repr=False)


def correlations(
    recording: Recording, *, phase: str | None = None, kind: str | None = None
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

    Returns
    -------
    Correlations
        Distribution over pairs.

    Raises
    ------
    InputTypeError, InputValueError
        If `recording` is not a Recording, the phase is unknown or not given, or there
        are no presentations of the kind.

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
    segments = chosen.raster(recording.raster)
    null = _independent_bins(segments)
    if not is_shuffled(recording, chosen):
        null = _circular_shifts(segments)
    return _correlations(segments.raster, labels, chosen.phase, null)


class _Null(NamedTuple):
    """Correlations of unrelated units: their spread, and what 95 % do not exceed."""

    name: str
    std: float
    limit: float


def _independent_bins(segments: SegmentedRaster) -> _Null:
    n = segments.n_time_bins
    std = 1.0 / np.sqrt(n - 1) if n > 1 else np.nan
    return _Null("independent bins", float(std), 1.96 * float(std))


def _circular_shifts(segments: SegmentedRaster) -> _Null:
    raster = segments.raster
    n, counts = raster.n_time_bins, raster.spike_counts()
    active = np.flatnonzero((counts > 0) & (counts < n))
    n_units = min(_NULL_UNITS, len(active))
    if n_units < 2:
        return _Null("circular shifts", np.nan, np.nan)
    units = active[np.linspace(0, len(active) - 1, n_units).astype(np.int64)]
    chosen = segments.with_raster(raster.take(units=units))
    draw = circular_shift(chosen, joint=False)
    pairs = np.triu_indices(n_units, 1)
    everything, rng = slice(0, n_units), np.random.default_rng(0)
    drawn = []
    for _ in range(min(_NULL_DRAWS, -(-_NULL_PAIRS // len(pairs[0])))):
        joint = draw(rng).joint_counts()
        r = _correlation(joint, counts[units], n, everything, everything)
        drawn.append(r[pairs])
    values = np.concatenate(drawn)
    limit = float(np.quantile(np.abs(values), 0.95))
    return _Null("circular shifts", float(np.sqrt(np.mean(values**2))), limit)


def _correlations(
    raster: SpikeRaster,
    labels: Labels | None,
    name: str,
    null: _Null,
    block_units: int = _BLOCK_UNITS,
) -> Correlations:
    counts = raster.spike_counts()
    n = raster.n_time_bins
    # As floats, since a product of two variances, up to N^4 / 16, overflows int64 from
    # about 110 000 bins on.
    variance = (counts * (n - counts)).astype(np.float64)
    active = variance > 0
    strata = _Strata(raster, labels) if labels is not None else None
    edges = np.linspace(-1.0, 1.0, _HISTOGRAM_BINS + 1)
    histogram = np.zeros(_HISTOGRAM_BINS, np.int64)
    unit_sum = np.zeros(raster.n_units)
    # Sums over pairs of r, r^2, abs(r), and of tuned and within-label correlations.
    total = square = absolute = tuned = within = within_square = within_null = 0.0
    joint_square, beyond, n_pairs = 0.0, 0, 0
    for rows, columns, joint in _joint_blocks(raster, block_units):
        r = _correlation(joint, counts, n, rows, columns)
        pair = active[rows, None] & active[None, columns]
        # A block on the diagonal has every pair twice.
        if rows == columns:
            pair &= np.triu(np.ones_like(pair), 1)
        r = np.where(pair, r, 0.0)
        n_pairs += int(pair.sum())
        total += r.sum()
        square += (r**2).sum()
        absolute += np.abs(r).sum()
        sizes = variance[rows, None] * variance[None, columns]
        joint_square += float((r**2 * sizes).sum())
        beyond += int((np.abs(r) > null.limit).sum())
        place = ((r[pair] + 1.0) * (_HISTOGRAM_BINS / 2)).astype(np.int64)
        place = np.minimum(place, _HISTOGRAM_BINS - 1)
        histogram += np.bincount(place, minlength=_HISTOGRAM_BINS)
        unit_sum[rows] += r.sum(axis=1)
        unit_sum[columns] += r.sum(axis=0)
        if strata is not None:
            residual, by_tuning, null_square = strata.split(
                joint, variance, n, rows, columns
            )
            tuned += by_tuning[pair].sum()
            within += residual[pair].sum()
            within_square += (residual[pair] ** 2).sum()
            within_null += null_square[pair].sum()
    pairs = n_pairs or np.nan
    # Without labels, what is divided by this is NaN.
    labelled = pairs if strata else np.nan
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
            phase=name,
            n_units=raster.n_units,
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


def correlation_matrix(recording: Recording, *, phase: str | None = None) -> FloatArray:
    """Return the matrix of correlations of all pairs of units.

    Parameters
    ----------
    recording : Recording
        The spikes.
    phase : str, optional
        The phase; not needed if there is only one.

    Returns
    -------
    ndarray of float64, shape (n_units, n_units)
        Pearson's correlation of the bits; NaN in the rows and columns of silent and
        saturated units. It takes eight bytes per cell, 3.7 GB for 21 632 units;
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
    raster = chosen.raster(recording.raster).raster
    counts, n = raster.spike_counts(), raster.n_time_bins
    matrix = np.empty((raster.n_units, raster.n_units))
    for rows, columns, joint in _joint_blocks(raster):
        _correlation(joint, counts, n, rows, columns, out=matrix[rows, columns])
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
    counts: IntArray,
    n: int,
    rows: slice,
    columns: slice,
    out: FloatArray | None = None,
) -> FloatArray:
    variance = (counts * (n - counts)).astype(np.float64)
    r = np.empty(joint.shape) if out is None else out
    # In strips of rows that stay in cache.
    for first in range(0, len(joint), _STRIP_UNITS):
        strip = slice(first, first + _STRIP_UNITS)
        scale = np.multiply.outer(variance[rows][strip], variance[columns])
        np.sqrt(scale, out=scale)
        covariance = n * joint[strip]
        covariance -= np.multiply.outer(counts[rows][strip], counts[columns])
        with np.errstate(invalid="ignore", divide="ignore"):
            np.divide(covariance, scale, out=r[strip])
    return r


class _Strata:
    """Spikes of each unit during each label, and outside all presentations."""

    def __init__(self, raster: SpikeRaster, labels: Labels) -> None:
        counts = raster.joint_counts(labels.raster()).astype(np.float64)
        bins = labels.bins_of_each.astype(np.float64)
        rest = raster.n_time_bins - bins.sum()
        if rest:
            outside = raster.spike_counts() - counts.sum(axis=1)
            counts = np.column_stack([counts, outside])
            bins = np.append(bins, rest)
        self.spikes = counts.sum(axis=1)
        # A product of two units' rows sums n_ic n_jc / n_c over labels, as is expected.
        self.scaled = counts / np.sqrt(bins)
        # Per label n_c p (1 - p), whose sum is the variance of a unit within labels.
        spread = counts * (1.0 - counts / bins)
        self.variance = spread.sum(axis=1)
        # Permuted within a label, joint spikes are hypergeometric, with the variance
        #     n_ic (1 - n_ic / n_c) n_jc (1 - n_jc / n_c) / (n_c - 1).
        self.spread = spread / np.sqrt(np.maximum(1.0, bins - 1.0))

    @np.errstate(invalid="ignore", divide="ignore")
    def split(
        self, joint: IntArray, variance: FloatArray, n: int, rows: slice, columns: slice
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Split correlations into a part within labels and a part due to tuning.

        Returns
        -------
        within, tuned, null : ndarray of float64, shape (n_rows, n_columns)
            Correlation within labels, correlation due to tuning alone, and the variance
            of the former if bins of one label are permuted.
        """
        expected = self.scaled[rows] @ self.scaled[columns].T
        inside = np.outer(self.variance[rows], self.variance[columns])
        whole = np.sqrt(np.outer(variance[rows], variance[columns]))
        # A unit that its label determines entirely does not vary within labels.
        varies = inside > 1e-9
        within = np.where(varies, (joint - expected) / np.sqrt(inside), 0.0)
        shared = self.spread[rows] @ self.spread[columns].T
        null = np.where(varies, shared / inside, 0.0)
        product = np.outer(self.spikes[rows], self.spikes[columns])
        tuned = (n * expected - product) / whole
        return within, tuned, null


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
