"""Similarity of two recordings of the same stimuli: RSA and CKA."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from typing import Any, NamedTuple, Protocol

import numpy as np
import pandas as pd

from ann2neo._checks import names_of, one_of, seed_or_new, whole_number
from ann2neo._parallel import checked_executor, map_shared, one_blas_thread
from ann2neo.analysis._entry import (
    BoolArray,
    Column,
    FloatArray,
    IntArray,
    Statistic,
    columns_of,
    count_column,
    text_column,
)
from ann2neo.analysis.populations.dissimilarities import (
    MEASURES as DISSIMILARITIES,
)
from ann2neo.analysis.populations.dissimilarities import (
    Crossvalidated,
    condensed,
    patterns_of,
)
from ann2neo.analysis.populations.responses import (
    BY,
    MeanPatterns,
    Patterns,
    Responses,
    count_patterns,
    matched,
    option_of_each,
    responses_of,
)
from ann2neo.raster import SpikeRaster
from ann2neo.recording import Recording

__all__ = ["COLUMNS", "COMPARISONS", "SIMILARITIES", "similarity"]

SIMILARITIES = ("rsa", "cka")
COMPARISONS = ("spearman", "pearson")

_MIN_ITEMS = 4
"""Items that the unbiased estimate of CKA needs."""
_MIN_INTERVAL_ITEMS = 8
_N_SUBSAMPLES = 100
_PERCENT_KEPT = 80
_N_SPLITS = 20
_TASK_ORDERS, _TASK_SUBSAMPLES, _TASK_SPLITS = 64, 4, 5
"""Permutations, subsamples and halves that one task of an executor takes."""
_BLOCK_UNITS = 1_024
_DENSE_CELLS = 1 << 22
_Z = 1.959963984540054
"""97.5 % of a normal distribution lie below."""

SIMILARITY_STATISTICS: tuple[Statistic, ...] = (
    Statistic(
        name="similarity",
        columns=(
            Column(
                "similarity",
                "How similar the two recordings' responses to the shared items are: for"
                " rsa the correlation of their dissimilarities over pairs of items, for"
                " cka the unbiased centred kernel alignment (linear).",
            ),
            Column(
                "null_mean",
                "Mean of the similarity if the items of one recording are permuted.",
            ),
            Column(
                "null_std",
                "Standard deviation of the similarity if the items are permuted.",
            ),
            Column(
                "pvalue",
                "p-value of so large a similarity if the items of one recording are"
                " permuted.",
            ),
            text_column(
                "null",
                "Where the p-value comes from: permutations of the items, of a"
                " subsample of null_items of them, or the moments over all"
                " permutations (mean and variance exact, skewness from null_items).",
            ),
            count_column("n_permutations", "Permutations drawn; 0 for moments."),
            count_column("null_items", "Items that the null distribution is from."),
        ),
        null="the items of one recording can be permuted",
        pvalue="pvalue",
        validity="four shared items or more, whose responses differ in both recordings",
        source=(
            "Kriegeskorte, Mur and Bandettini (2008), Front. Syst. Neurosci. 2; Mantel"
            " (1967), Cancer Res. 27:209; Kornblith et al. (2019), ICML; Song et al."
            " (2012), JMLR 13:1393 (the unbiased estimate)"
        ),
    ),
    Statistic(
        name="interval",
        columns=(
            Column(
                "low",
                "Lower end of the 95 % confidence interval for other items of the same"
                " kind, the units being the same.",
            ),
            Column("high", "Upper end of the same interval."),
            count_column(
                "subsample_items",
                "Items of each of the subsamples without replacement that the interval"
                " is from (delete-d jackknife); -1 where there is none.",
            ),
        ),
        validity="eight shared items or more",
        source="Shao and Wu (1989), Ann. Statist. 17:1176",
    ),
    Statistic(
        name="ceiling",
        columns=(
            Column(
                "ceiling",
                "Similarity that two recordings of one and the same responses would"
                " reach with the noise of these: the geometric mean of their"
                " reliabilities.",
            ),
            Column(
                "reliability_first",
                "Similarity of the first recording to another one of the same units"
                " with as many repeats, from halves of the repeats and the"
                " Spearman-Brown formula; NaN without repeats.",
            ),
            Column("reliability_second", "The same of the second recording."),
            text_column(
                "ceiling_of",
                "Recordings whose noise the ceiling takes into account: both, first or"
                " second; responses of the other, shown once each, are taken as free"
                " of noise. Empty where there is no ceiling.",
            ),
        ),
        validity=(
            "four items or more with two presentations each (four for crossvalidated"
            " dissimilarities)"
        ),
        source="Spearman (1904), Am. J. Psychol. 15:72; Brown (1910)",
    ),
)
"""The statistics of two recordings of the same items."""

COLUMNS: tuple[Column, ...] = (
    text_column("measure", "rsa or cka."),
    text_column("first_phase", "Phase of the first recording."),
    text_column("second_phase", "Phase of the second recording."),
    text_column("by", "What the items are: stimulus_id or label."),
    text_column("first_dissimilarity", "Dissimilarity in the first recording (rsa)."),
    text_column("second_dissimilarity", "Dissimilarity in the second recording (rsa)."),
    text_column("comparison", "Correlation of the dissimilarities (rsa)."),
    count_column("n_items", "Items that both recordings share and that are compared."),
    *columns_of(SIMILARITY_STATISTICS),
    count_column("n_first", "Presentations of these items in the first recording."),
    count_column("n_second", "Presentations of these items in the second recording."),
    count_column(
        "n_unmatched_first",
        "Presentations of the first recording that are left out: of items that the"
        " second does not have, or without a stimulus_id or label.",
    ),
    count_column("n_unmatched_second", "The same of the second recording."),
    count_column(
        "n_flat",
        "Shared items left out because all units of one recording respond to them"
        " alike, so that they have no correlation with others (rsa).",
    ),
    count_column("units_first", "Units of the first recording."),
    count_column("units_second", "Units of the second recording."),
    count_column("seed", "Seed of permutations, subsamples and halves."),
    text_column("reason", "Why the row has no result; empty where it has one."),
)
"""Columns of the table of `similarity`."""


class _Pair(NamedTuple):
    """Shared items of two recordings."""

    first: Responses
    second: Responses

    def keep(self, items: IntArray) -> _Pair:
        return _Pair(self.first.keep(items), self.second.keep(items))


def similarity(
    first: Recording,
    second: Recording,
    measure: str | Sequence[str] = SIMILARITIES,
    *,
    dissimilarity: str | tuple[str, str] = "correlation",
    comparison: str = "spearman",
    by: str = "stimulus_id",
    phase: str | tuple[str, str] | None = None,
    kind: str | tuple[str, str] | None = None,
    n_permutations: int = 999,
    most_items: int = 1_000,
    seed: int | None = 0,
    executor: Executor | None = None,
) -> pd.DataFrame:
    """Tell how similarly two recordings respond to the stimuli that they share.

    Their units need not correspond: one may be a brain, the other a network. What is
    compared is which stimuli look alike to each.

    Parameters
    ----------
    first, second : Recording
        Two recordings. Presentations are matched by ``stimulus_id``, whatever their
        order; those of one stimulus are averaged.
    measure : {"rsa", "cka"} or sequence of them, default both
        Representational similarity analysis, or centred kernel alignment; see Notes.
    dissimilarity : str or tuple of two str, default "correlation"
        For RSA, a measure of `dissimilarities`, or one for each recording.
    comparison : {"spearman", "pearson"}
        For RSA, how dissimilarities are correlated.
    by : {"stimulus_id", "label"}
        What is compared: stimuli, or the classes they belong to. Labels are matched by
        their name; the stimuli may then be different ones.
    phase, kind : str or tuple of two str, optional
        Phase, and kind of presentations, of both recordings or of each.
    n_permutations : int, default 999
        Permutations of the items for the p-value.
    most_items : int, default 1_000
        Items that matrices are made of, for permutations; subsamples have at most half
        as many.
    seed : int or None, default 0
        Of everything that is drawn; None draws one.
    executor : concurrent.futures.Executor, optional
        Where permutations, subsamples and parts of matrices are computed; threads of
        this process if not given. The table is the same to the last bit.

    Returns
    -------
    pandas.DataFrame
        One row per measure. `explain` says what each column is.

    Raises
    ------
    InputTypeError, InputValueError
        If an argument is no recording or has no such phase or column; if fewer than
        four items are shared, one item has two labels, an option is unknown, or
        `executor` is no executor.

    Notes
    -----
    rsa
        Correlation, over pairs of items, of the dissimilarities in both recordings.
    cka
        ``<A, B> / sqrt(<A, A> <B, B>)`` of the U-centred matrices of inner products of
        mean spike counts: linear CKA, with the unbiased estimate of each term, so that
        unrelated recordings give 0 on average however many units they have. It may be
        negative.

    Under permutations of the items the unbiased CKA has mean 0 and variance
    ``2 / (n (n - 3))``, exactly and whatever the data. Up to `most_items`, the p-value
    is from drawn permutations, ``(k + 1) / (n_permutations + 1)``. From more, that of
    CKA is from a Pearson type III distribution with these moments and the skewness that
    the matrices' eigenvalues imply, taken from `most_items` of them; that of RSA from
    permutations of as many, drawn once, and their own similarity.

    The interval is about other stimuli of the same kind, not about other units: the
    similarity of 100 subsamples of 80 % of the items, without replacement, scaled to
    all items (delete-d jackknife) on Fisher's z scale. Of stimuli drawn at random from
    a large set, it held the similarity over the set in 95 to 99 % of the cases. A
    bootstrap would be biased, since two copies of one stimulus are perfectly similar in
    both recordings.

    The ceiling needs repeats: see the columns. Where a similarity is below its ceiling,
    more repeats would not close the gap.

    References
    ----------
    Kriegeskorte, N., Mur, M. and Bandettini, P. (2008). Representational similarity
    analysis. Front. Syst. Neurosci. 2. Kornblith, S. et al. (2019). Similarity of
    neural network representations revisited. ICML. Székely, G. J. and Rizzo, M. L.
    (2014). Partial distance correlation with methods for dissimilarities. Ann. Statist.
    42 (U-centring).

    Examples
    --------
    >>> import numpy as np
    >>> from ann2neo import Recording
    >>> rng = np.random.default_rng(0)
    >>> shown = rng.normal(size=(100, 5))
    >>> one, other = (
    ...     Recording.from_activations(
    ...         shown @ rng.normal(size=(5, 200)), stimulus_id=np.arange(100)
    ...     )
    ...     for _ in range(2)
    ... )
    >>> table = similarity(one, other, n_permutations=99)
    >>> table[["measure", "n_items", "similarity", "pvalue"]].round(2)
      measure  n_items  similarity  pvalue
    0     rsa      100        0.94    0.01
    1     cka      100        0.94    0.01
    """
    measures = names_of(measure, "measure")
    for name in measures:
        one_of(name, SIMILARITIES, "measure")
    one_of(comparison, COMPARISONS, "comparison")
    dissimilarities = option_of_each(dissimilarity, "dissimilarity")
    for name in dissimilarities:
        one_of(name, DISSIMILARITIES, "dissimilarity")
    one_of(by, BY, "by")
    n_draws = whole_number(n_permutations, "n_permutations", noun="permutations")
    most = whole_number(most_items, "most_items", at_least=2 * _MIN_ITEMS, noun="items")
    drawn_seed = seed_or_new(seed)
    executor = checked_executor(executor)
    phases, kinds = option_of_each(phase, "phase"), option_of_each(kind, "kind")
    sides, totals = [], []
    for side, recording in enumerate((first, second)):
        responses, n_unnamed = responses_of(
            recording, by, phases[side], kinds[side], "similarity"
        )
        sides.append(responses)
        totals.append(len(responses.item) + n_unnamed)
    shared = matched(sides[0], sides[1], "similarity", at_least=_MIN_ITEMS)
    pair = _Pair(*shared)
    about = {
        "first_phase": pair.first.phase,
        "second_phase": pair.second.phase,
        "by": by,
        "n_unmatched_first": totals[0] - len(pair.first.item),
        "n_unmatched_second": totals[1] - len(pair.second.item),
        "units_first": first.n_units,
        "units_second": second.n_units,
        "seed": drawn_seed,
    }
    missing = {column.name: column.missing for column in COLUMNS}
    rows = []
    for name in measures:
        entry = {**missing, "measure": name, **about}
        ways: list[_Side] = [_Inner(), _Inner()]
        if name == "rsa":
            ways = [_Dissimilar(one, comparison) for one in dissimilarities]
            entry["first_dissimilarity"], entry["second_dissimilarity"] = (
                dissimilarities
            )
            entry["comparison"] = comparison
        with one_blas_thread():
            row = _row(pair, ways, n_draws, most, drawn_seed, executor)
        rows.append(entry | row)
    table = pd.DataFrame(rows, columns=list(missing))
    return table.astype({column.name: column.dtype for column in COLUMNS})


# -- measures
# --------------------------------------------------------------------------------------


class _Side(Protocol):
    """How one recording enters a measure."""

    repeats_of_half: int
    """Presentations of an item that half of its repeats needs."""
    has_moments: bool
    """Whether the moments over all permutations follow from the number of items."""

    def patterns(self, responses: Responses) -> Any:
        """Return what is compared, one pattern per item."""

    def is_flat(self, patterns: Any) -> BoolArray:
        """Tell which items cannot be compared with others."""

    def form(self, patterns: Any) -> FloatArray:
        """Return a symmetric matrix of items, centred, with zeros on the diagonal.

        The similarity is the cosine of the matrices of two recordings.
        """

    def of_many(
        self, responses: Responses, patterns: Any, executor: Executor | None
    ) -> _Many:
        """Return the same without the matrix, where there are too many items."""


class _Dissimilar:
    """Dissimilarities of the items, for RSA."""

    has_moments = False

    def __init__(self, dissimilarity: str, comparison: str) -> None:
        self.dissimilarity, self.comparison = dissimilarity, comparison
        self.repeats_of_half = 2 if dissimilarity == "crossvalidated" else 1

    def patterns(self, responses: Responses) -> Patterns | Crossvalidated:
        return patterns_of(responses, self.dissimilarity)

    def is_flat(self, patterns: Patterns | Crossvalidated) -> BoolArray:
        if self.dissimilarity == "correlation":
            return patterns.is_flat()
        return np.zeros(patterns.n_items, np.bool_)

    def form(self, patterns: Patterns | Crossvalidated) -> FloatArray:
        from scipy.spatial.distance import squareform

        entries = self._entries(patterns, None)
        matrix: FloatArray = squareform(entries, checks=False)
        return matrix

    def of_many(
        self,
        responses: Responses,  # noqa: ARG002
        patterns: Patterns | Crossvalidated,
        executor: Executor | None,
    ) -> _Vector:
        return _Vector(self._entries(patterns, executor))

    def _entries(
        self, patterns: Patterns | Crossvalidated, executor: Executor | None
    ) -> FloatArray:
        from scipy.stats import rankdata

        values = condensed(patterns, self.dissimilarity, executor)
        if self.comparison == "spearman":
            # Equal dissimilarities may differ by rounding, and must share a rank.
            values = rankdata(np.round(values, 12))
        values -= values.mean()
        return values


class _Vector(NamedTuple):
    """Centred dissimilarities of all pairs of items."""

    entries: FloatArray

    def product(self, other: Any, _executor: Executor | None) -> float:
        return float(np.vdot(self.entries, other.entries))


class _Inner:
    """Inner products of the responses to items, for CKA."""

    has_moments = True
    repeats_of_half = 1

    def patterns(self, responses: Responses) -> Patterns:
        return count_patterns(responses)

    def is_flat(self, patterns: Patterns) -> BoolArray:
        return np.zeros(patterns.n_items, np.bool_)

    def form(self, patterns: Patterns) -> FloatArray:
        # U-centred (Székely and Rizzo 2014): every row sums to 0.
        matrix = patterns.gram()
        np.fill_diagonal(matrix, 0.0)
        n = len(matrix)
        sums = matrix.sum(axis=0) / (n - 2)
        matrix -= sums + sums[:, None] - sums.sum() / (n - 1)
        np.fill_diagonal(matrix, 0.0)
        return matrix

    def of_many(
        self,
        responses: Responses,
        patterns: Patterns,
        executor: Executor | None,  # noqa: ARG002
    ) -> _Covariances:
        return _Covariances.of(responses, patterns)


class _Many(Protocol):
    """A recording's matrix of many items, which is never made."""

    def product(self, other: Any, executor: Executor | None) -> float:
        """Return the sum of the products of the entries of two matrices."""


_Units = SpikeRaster | FloatArray
"""Responses, units x items: bits, or mean counts less their mean over items."""


class _Covariances:
    """Products of U-centred matrices of items, from matrices of units.

    With X the centred responses, items x units, and k_i = ``|x_i|^2``::

        <A, B> = |X'Y|^2 - n / (n - 2) sum k_i l_i + sum k_i sum l_i / ((n - 1) (n - 2))

    Parameters
    ----------
    units : SpikeRaster, n_units x n_items, or ndarray of shape (n_units, n_items)
        Responses that are bits, or mean counts.
    sizes : ndarray of float64, shape (n_items,)
        k_i.
    """

    def __init__(self, units: SpikeRaster | FloatArray, sizes: FloatArray) -> None:
        self.units, self.sizes = units, sizes

    @classmethod
    def of(cls, responses: Responses, patterns: Patterns) -> _Covariances:
        """Prepare the responses of a recording."""
        if isinstance(patterns, MeanPatterns):
            means = patterns.means - patterns.means.mean(axis=0)
            return cls(means.T, np.square(means).sum(axis=1))
        units = responses.units()
        counts, n = units.spike_counts(), units.n_time_bins
        # |x_i - m|^2 = sum of the bits - 2 sum of the bits times m + |m|^2.
        sizes = units.bin_counts() + np.square(counts / n).sum()
        for chosen, block in units.unit_blocks(_DENSE_CELLS // 8):
            dense = block.to_dense().astype(np.float64)
            sizes -= 2 / n * (counts[chosen].astype(np.float64) @ dense)
        return cls(units, sizes)

    def product(self, other: _Covariances, executor: Executor | None) -> float:
        """Return the sum of the products of the entries of two U-centred matrices."""
        n = len(self.sizes)
        total = sum(
            map_shared(
                _squared_covariances,
                (),
                self._tiles(other),
                executor,
                name="pairs of blocks of units",
                per_task=1,
            )
        )
        total -= n / (n - 2) * float(self.sizes @ other.sizes)
        corner = float(self.sizes.sum()) * float(other.sizes.sum())
        return total + corner / ((n - 1) * (n - 2))

    def _tiles(self, other: _Covariances) -> Iterator[tuple[_Units, _Units, int]]:
        """Yield pairs of blocks of units, and how often each counts."""
        ours, theirs = self._blocks(), other._blocks()
        for i, one in enumerate(ours):
            for j, two in enumerate(theirs):
                if self is not other:
                    yield one, two, 1
                elif i <= j:
                    yield one, two, 1 if i == j else 2

    def _blocks(self) -> list[_Units]:
        units = self.units
        if isinstance(units, SpikeRaster):
            unit_bytes = max(1, units.nbytes // max(1, units.n_units))
            return [block for _, block in units.unit_blocks(_BLOCK_UNITS * unit_bytes)]
        starts = range(0, len(units), _BLOCK_UNITS)
        return [units[first : first + _BLOCK_UNITS] for first in starts]


def _squared_covariances(tile: tuple[_Units, _Units, int]) -> float:
    """Return the sum of squares of the covariances, times n, of two blocks of units."""
    one, other, weight = tile
    if isinstance(one, SpikeRaster) and isinstance(other, SpikeRaster):
        covariance = one.joint_counts(other).astype(np.float64)
        counts, others = one.spike_counts(), other.spike_counts()
        covariance -= np.outer(counts, others / one.n_time_bins)
    else:
        covariance = _centred(one) @ _centred(other).T
    return weight * float(np.vdot(covariance, covariance))


def _centred(units: _Units) -> FloatArray:
    if isinstance(units, SpikeRaster):
        means = units.spike_counts() / units.n_time_bins
        return units.to_dense() - means[:, None]
    return units


def _cosine(one: FloatArray, other: FloatArray) -> float:
    return _ratio(
        *(float(np.vdot(a, b)) for a, b in ((one, other), (one, one), (other, other)))
    )


def _ratio(joint: float, one: float, other: float) -> float:
    # Not above 1 by rounding.
    size = float(np.sqrt(max(0.0, one) * max(0.0, other)))
    return min(1.0, max(-1.0, joint / size)) if size else float("nan")


# -- one row
# --------------------------------------------------------------------------------------


def _row(
    pair: _Pair,
    sides: Sequence[_Side],
    n_permutations: int,
    most_items: int,
    seed: int,
    executor: Executor | None,
) -> dict[str, Any]:
    """Compute similarity, null distribution, interval and ceiling of one measure."""
    patterns = [side.patterns(one) for side, one in zip(sides, pair, strict=True)]
    flat = [side.is_flat(one) for side, one in zip(sides, patterns, strict=True)]
    items = np.flatnonzero(~(flat[0] | flat[1]))
    n, n_flat = len(items), pair.first.n_items - len(items)
    if n_flat:
        pair = pair.keep(items)
        patterns = [one.take(items) for one in patterns]
    row: dict[str, Any] = {
        "n_items": n,
        "n_flat": n_flat,
        "n_first": len(pair.first.item),
        "n_second": len(pair.second.item),
    }
    if n < _MIN_ITEMS:
        reason = f"fewer than {_MIN_ITEMS} items to which units respond differently"
        return row | {"reason": reason}
    generators = np.random.default_rng(seed).spawn(3)
    is_few = n <= most_items
    null_items = np.arange(n)
    if not is_few:
        null_items = _subset(n, most_items, generators[0])
    forms = _forms(sides, _taken(patterns, null_items))
    own = _cosine(*forms)
    value = own
    if not is_few:
        one, other = (
            side.of_many(responses, own_patterns, executor)
            for side, responses, own_patterns in zip(sides, pair, patterns, strict=True)
        )
        value = _ratio(
            *(
                a.product(b, executor)
                for a, b in ((one, other), (one, one), (other, other))
            )
        )
    if np.isnan(value) or np.isnan(own):
        reason = "the units of one recording respond to all items alike"
        return row | {"reason": reason}
    row |= {"similarity": value, "null_items": len(null_items), "null_mean": 0.0}
    if sides[0].has_moments and not is_few:
        row |= _by_moments(value, n, *forms)
    else:
        row |= _by_permutations(own, *forms, n_permutations, generators[0], executor)
        row["null"] = "permutations" if is_few else "permutations of a subsample"
    most = most_items // 2
    row |= _interval(value, sides, patterns, most, generators[1], executor)
    return row | _ceiling(pair, sides, most, generators[2], executor)


def _taken(patterns: Sequence[Any], items: IntArray) -> list[Any]:
    """Keep some items of both recordings."""
    return [own.take(items) for own in patterns]


def _forms(
    sides: Sequence[_Side], patterns: Sequence[Any]
) -> tuple[FloatArray, FloatArray]:
    one, other = (side.form(own) for side, own in zip(sides, patterns, strict=True))
    return one, other


def _compared(sides: Sequence[_Side], patterns: Sequence[Any]) -> float:
    """Return the similarity of two recordings' patterns."""
    return _cosine(*_forms(sides, patterns))


def _subset(n: int, size: int, rng: np.random.Generator) -> IntArray:
    return np.sort(rng.choice(n, size, replace=False))


def _by_permutations(
    own: float,
    one: FloatArray,
    other: FloatArray,
    n_permutations: int,
    rng: np.random.Generator,
    executor: Executor | None,
) -> dict[str, Any]:
    """Return the p-value of a similarity from permutations of the items of one side."""
    size = float(np.sqrt(np.vdot(one, one) * np.vdot(other, other)))
    products = map_shared(
        _permuted_product,
        (one, other),
        (rng.permutation(len(one)) for _ in range(n_permutations)),
        executor,
        name="permutations of items",
        per_task=_TASK_ORDERS,
    )
    drawn = np.array(list(products)) / size
    # A tie may differ by rounding, as sums run in another order.
    n_beyond = int((drawn >= own - 1e-12).sum())
    return {
        "null_std": float(np.sqrt(np.mean(drawn**2))),
        "pvalue": (1 + n_beyond) / (1 + n_permutations),
        "n_permutations": n_permutations,
    }


def _permuted_product(one: FloatArray, other: FloatArray, order: IntArray) -> float:
    return float(np.vdot(one, other.take(order, axis=0).take(order, axis=1)))


def _by_moments(
    value: float, n: int, one: FloatArray, other: FloatArray
) -> dict[str, Any]:
    """Return the p-value of CKA from its moments over all permutations.

    The sum of a_ij b_ij over pairs of items, permuted, has mean 0, as rows of A and B
    sum to 0, and variance ``2 |A|^2 |B|^2 / (n (n - 3))``. For many items it is a
    weighted sum of chi-squares, of skewness ``sqrt(8) s_A s_B``, with s the sum of the
    cubed eigenvalues over that of the squared ones to the power of 3/2.
    """
    from scipy.stats import pearson3

    std = float(np.sqrt(2.0 / (n * (n - 3.0))))
    skewness = float(np.sqrt(8.0))
    for form in (one, other):
        skewness *= float(np.vdot(form @ form, form) / np.vdot(form, form) ** 1.5)
    return {
        "null": "moments",
        "null_std": std,
        "pvalue": float(pearson3.sf(value / std, skewness)),
        "n_permutations": 0,
    }


def _interval(
    value: float,
    sides: Sequence[_Side],
    patterns: Sequence[Any],
    most_items: int,
    rng: np.random.Generator,
    executor: Executor | None,
) -> dict[str, Any]:
    """Return the interval over items, by a delete-d jackknife on Fisher's z scale."""
    n = patterns[0].n_items
    size = min(_PERCENT_KEPT * n // 100, most_items)
    if size < _MIN_ITEMS or n < _MIN_INTERVAL_ITEMS:
        return {}
    subsamples = map_shared(
        _compared,
        (sides,),
        (_taken(patterns, _subset(n, size, rng)) for _ in range(_N_SUBSAMPLES)),
        executor,
        name="subsamples of items",
        per_task=_TASK_SUBSAMPLES,
    )
    drawn = _fisher(np.array(list(subsamples)))
    centre = float(_fisher(np.array(value)))
    # The variance of a mean of n is size / n of that of a mean of `size`, and draws
    # without replacement vary by (n - size) / n of the latter.
    error = float(np.nanstd(drawn, ddof=1)) * np.sqrt(size / (n - size))
    return {
        "low": float(np.tanh(centre - _Z * error)),
        "high": float(np.tanh(centre + _Z * error)),
        "subsample_items": size,
    }


def _fisher(values: FloatArray) -> FloatArray:
    """Return Fisher's z, finite for a perfect similarity."""
    z: FloatArray = np.arctanh(np.clip(values, -1 + 1e-15, 1 - 1e-15))
    return z


def _ceiling(
    pair: _Pair,
    sides: Sequence[_Side],
    most_items: int,
    rng: np.random.Generator,
    executor: Executor | None,
) -> dict[str, Any]:
    """Return the reliability of each recording, and the ceiling of their similarity."""
    reliability = [
        _reliability(responses, side, most_items, generator, executor)
        for responses, side, generator in zip(pair, sides, rng.spawn(2), strict=True)
    ]
    is_known = np.isfinite(reliability)
    if not is_known.any():
        return {}
    ceiling_of = "both"
    if not is_known.all():
        ceiling_of = "first" if is_known[0] else "second"
    return {
        "reliability_first": reliability[0],
        "reliability_second": reliability[1],
        "ceiling": float(np.sqrt(np.prod(np.where(is_known, reliability, 1.0)))),
        "ceiling_of": ceiling_of,
    }


def _reliability(
    responses: Responses,
    side: _Side,
    most_items: int,
    rng: np.random.Generator,
    executor: Executor | None,
) -> float:
    """Return the similarity of two recordings with as many repeats of each item."""
    items = np.flatnonzero(responses.repeats >= 2 * side.repeats_of_half)
    if len(items) < _MIN_ITEMS:
        return float("nan")
    if len(items) > most_items:
        items = items[_subset(len(items), most_items, rng)]
    of_halves = map_shared(
        _similarity_of_halves,
        (responses.keep(items), side),
        rng.spawn(_N_SPLITS),
        executor,
        name="halves of the repeats",
        per_task=_TASK_SPLITS,
    )
    drawn = np.array(list(of_halves))
    if np.isnan(drawn).all():
        return float("nan")
    # Spearman and Brown: twice the repeats halve the noise.
    half = max(0.0, float(np.nanmean(drawn)))
    return 2.0 * half / (1.0 + half)


def _similarity_of_halves(
    responses: Responses, side: _Side, rng: np.random.Generator
) -> float:
    halves = [side.patterns(half) for half in responses.halves(rng)]
    kept = np.flatnonzero(~(side.is_flat(halves[0]) | side.is_flat(halves[1])))
    if len(kept) < _MIN_ITEMS:
        return float("nan")
    return _compared((side, side), _taken(halves, kept))
