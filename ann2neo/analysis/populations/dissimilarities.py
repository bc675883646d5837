"""Dissimilarities of the responses to all pairs of stimuli or labels."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from ann2neo._checks import one_of
from ann2neo._memory import check_fits
from ann2neo._parallel import Task, checked_executor, map_blocks, map_tasks
from ann2neo.analysis._entry import BoolArray, FloatArray, IntArray
from ann2neo.analysis.populations.responses import (
    BitPatterns,
    Patterns,
    Responses,
    bin_patterns,
    count_patterns,
    responses_of,
)
from ann2neo.errors import InputValueError
from ann2neo.raster import SpikeRaster
from ann2neo.raster.joint import distances_to
from ann2neo.recording import Recording

__all__ = ["MEASURES", "Dissimilarities", "condensed", "dissimilarities", "patterns_of"]

MEASURES = ("hamming", "euclidean", "correlation", "crossvalidated")
"""The dissimilarities that are known."""

_TILE_ROWS, _TILE_COLUMNS = 64, 2048
"""Pairs whose raw numbers stay in cache."""
_N_TASKS = 16
_REMEDY = "select fewer presentations with recording.select, or compare by='label'"


@dataclasses.dataclass(frozen=True, eq=False)
class Dissimilarities:
    """Dissimilarities of all pairs of items: a representational dissimilarity matrix.

    Parameters
    ----------
    measure : {"hamming", "euclidean", "correlation", "crossvalidated"}
        What is measured; see `dissimilarities`.
    by : {"stimulus_id", "label"}
        What an item is.
    phase : str
        The phase.
    n_units : int
        Units whose responses are compared.
    n_left_out : int
        Presentations without a stimulus or label.
    names : ndarray, shape (n_items,)
        Stimulus or label of each item, sorted.
    labels : ndarray, shape (n_items,), or None
        Label of each item, where there are labels.
    n_presentations : ndarray of int64, shape (n_items,)
        Repeats of each item, over which counts are averaged.
    condensed : ndarray of float64, shape (n_items * (n_items - 1) / 2,)
        Dissimilarity of each pair, in the order of `scipy.spatial.distance.pdist`: (0,
        1), (0, 2), .. (1, 2) ..; NaN where a pair has none.

    Examples
    --------
    >>> from ann2neo import Recording
    >>> result = dissimilarities(
    ...     Recording.from_activations([[1, 1], [1, 0], [0, 0]], stimulus_id=[7, 8, 9]),
    ...     "hamming",
    ... )
    >>> result.names.tolist(), result.n_undefined
    ([7, 8, 9], 0)
    >>> result.matrix()
    array([[0. , 0.5, 1. ],
           [0.5, 0. , 0.5],
           [1. , 0.5, 0. ]])
    """

    measure: str
    by: str
    phase: str
    n_units: int
    n_left_out: int
    names: npt.NDArray[Any] = dataclasses.field(repr=False)
    labels: npt.NDArray[Any] | None = dataclasses.field(repr=False)
    n_presentations: IntArray = dataclasses.field(repr=False)
    condensed: FloatArray = dataclasses.field(repr=False)

    @property
    def n_items(self) -> int:
        """Number of items."""
        return len(self.names)

    @property
    def n_undefined(self) -> int:
        """Pairs without a dissimilarity."""
        return int(np.isnan(self.condensed).sum())

    def matrix(self) -> FloatArray:
        """Return the dissimilarities as a symmetric matrix, (n_items, n_items)."""
        from scipy.spatial.distance import squareform

        matrix: FloatArray = squareform(self.condensed, checks=False)
        return matrix


def dissimilarities(
    recording: Recording,
    measure: str = "correlation",
    *,
    by: str = "stimulus_id",
    phase: str | None = None,
    kind: str | None = None,
    executor: Executor | None = None,
) -> Dissimilarities:
    """Measure how differently the units respond to each pair of stimuli or labels.

    Parameters
    ----------
    recording : Recording
        The responses. Presentations of one stimulus, or of one label, are averaged.
    measure : {"correlation", "euclidean", "hamming", "crossvalidated"}
        See Notes.
    by : {"stimulus_id", "label"}
        What is compared: stimuli, or the classes they belong to.
    phase : str, optional
        The phase; not needed if there is only one.
    kind : str, optional
        Kind of the presentations; the only one, or "trials", if not given.
    executor : concurrent.futures.Executor, optional
        Where parts of the matrix are computed; threads of this process if not given.
        The result is the same to the last bit.

    Returns
    -------
    Dissimilarities
        One value per pair, with the names of the items.

    Raises
    ------
    InputTypeError, InputValueError
        If `recording` is not a Recording or `executor` no executor; the phase, kind,
        measure or column does not exist; there are fewer than two items; one stimulus
        has two labels; or the measure needs more than the recording has.

    Notes
    -----
    Let x_i be the mean spike counts of the n units for item i.

    correlation
        ``1 - r`` with Pearson's r of x_i and x_j over units. An item that all units
        respond to alike, for example with silence, has none: NaN.
    euclidean
        ``|x_i - x_j|^2 / n``, squared and per unit, as in rsatoolbox.
    hamming
        Share of the units and bins in which two presentations differ; with repeats, the
        mean over pairs of them. Presentations must be equally long.
    crossvalidated
        An estimate of the squared Euclidean distance that repeats of noise do not
        enlarge: products of different repeats only, ``V_ii + V_jj - 2 V_ij`` with V_ij
        the mean of x_ik . x_jl over repeats k != l, divided by n. It is 0 on average
        for items whose mean responses are equal, and may be negative. Every item needs
        two presentations.

    Where each item is one presentation of one bin, pairs are counted from the bits.

    References
    ----------
    Kriegeskorte, N., Mur, M. and Bandettini, P. (2008). Representational similarity
    analysis. Front. Syst. Neurosci. 2. Walther, A. et al. (2016). Reliability of
    dissimilarity measures for multi-voxel pattern analysis. NeuroImage 137.

    Examples
    --------
    >>> from ann2neo import Recording
    >>> recording = Recording.from_activations(
    ...     [[1, 1, 0, 0], [1, 0, 1, 0], [0, 0, 1, 1]], stimulus_id=["a", "b", "c"]
    ... )
    >>> dissimilarities(recording, "hamming").condensed
    array([0.5, 1. , 0.5])
    """
    responses, n_unnamed = responses_of(recording, by, phase, kind, "dissimilarities")
    one_of(measure, MEASURES, "measure")
    executor = checked_executor(executor)
    if responses.n_items < 2:
        raise InputValueError(
            f"dissimilarities need at least two different {by}, got"
            f" {responses.names.tolist()[0]!r} alone"
        )
    return Dissimilarities(
        measure=measure,
        by=by,
        phase=responses.phase,
        n_units=recording.n_units,
        n_left_out=n_unnamed,
        names=responses.names,
        labels=responses.labels,
        n_presentations=responses.repeats,
        condensed=condensed(patterns_of(responses, measure), measure, executor),
    )


class Crossvalidated:
    """Responses to repeats, of which products of different ones are taken.

    Parameters
    ----------
    counts : ndarray of float64, shape (n_repeats, n_items, n_units)
        Spike counts, 0 where an item has fewer repeats.
    repeats : ndarray of int64, shape (n_items,)
        Repeats of each item.
    """

    def __init__(self, counts: FloatArray, repeats: IntArray) -> None:
        self.counts, self.repeats = counts, repeats

    @classmethod
    def of(cls, responses: Responses) -> Crossvalidated:
        """Order the counts of responses by repeat.

        Raises
        ------
        InputValueError
            If an item was shown once.
        """
        repeats = responses.repeats
        n_once = int((repeats < 2).sum())
        if n_once:
            raise InputValueError(
                "crossvalidated dissimilarities compare repeats, and"
                f" {n_once} of {responses.n_items} items were shown once; select those"
                " shown twice or more, or measure 'euclidean'"
            )
        shape = (int(repeats.max()), responses.n_items, responses.raster.n_units)
        n_bytes = 8 * np.prod(shape, dtype=np.float64)
        check_fits(n_bytes, "the counts of all repeats", _REMEDY)
        counts = np.zeros(shape)
        firsts = np.concatenate([[0], np.cumsum(repeats)[:-1]])
        repeat = np.arange(len(responses.item)) - firsts[responses.item]
        counts[repeat, responses.item] = responses.counts()
        return cls(counts, repeats)

    @property
    def n_items(self) -> int:
        """Number of items."""
        return len(self.repeats)

    @property
    def n_cells(self) -> int:
        """Number of units."""
        return int(self.counts.shape[2])

    def is_flat(self) -> BoolArray:
        """No item is without a value."""
        return np.zeros(self.n_items, np.bool_)

    def take(self, items: IntArray) -> Crossvalidated:
        """Keep some items, in the order given."""
        return Crossvalidated(self.counts[:, items], self.repeats[items])

    def products(self, rows: slice, columns: slice) -> FloatArray:
        """Return the mean product of different repeats, V, for a block of pairs."""
        left, right = self.counts[:, rows], self.counts[:, columns]
        products: FloatArray = left.sum(axis=0) @ right.sum(axis=0).T
        for one, other in zip(left, right, strict=True):
            products -= one @ other.T
        here, there = self.repeats[rows, None], self.repeats[None, columns]
        products /= here * there - np.minimum(here, there)
        return products

    def squares(self) -> FloatArray:
        """Return V_ii of each item."""
        squares: FloatArray = np.square(self.counts.sum(axis=0)).sum(axis=1)
        squares -= np.square(self.counts).sum(axis=(0, 2))
        squares /= self.repeats * (self.repeats - 1)
        return squares


def patterns_of(responses: Responses, measure: str) -> Patterns | Crossvalidated:
    """Return what a measure compares."""
    if measure == "hamming":
        return bin_patterns(responses)
    if measure == "crossvalidated":
        return Crossvalidated.of(responses)
    return count_patterns(responses)


def condensed(
    patterns: Patterns | Crossvalidated, measure: str, executor: Executor | None = None
) -> FloatArray:
    """Return the dissimilarity of all pairs of items, in the order of `pdist`."""
    n = patterns.n_items
    ends = _ends(n)
    n_copies = 1 if executor is None else 2
    what = f"dissimilarities of {n} items"
    check_fits(8 * n_copies * float(ends[-1]), what, _REMEDY)
    # Threads share all tiles here, workers take a range of rows each.
    bounds = np.array([0, n])
    if executor is not None:
        even = np.searchsorted(ends, np.linspace(0, ends[-1], _N_TASKS + 1)[1:-1])
        bounds = np.unique([0, *(even // _TILE_ROWS * _TILE_ROWS), n])
    tasks = (
        Task(
            f"dissimilarities of items {first} .. {stop - 1}",
            (patterns, measure, slice(first, stop)),
        )
        for first, stop in pairwise(bounds.tolist())
    )
    stretches = list(map_tasks(_of_rows, tasks, executor))
    return stretches[0] if len(stretches) == 1 else np.concatenate(stretches)


def _ends(n_items: int) -> IntArray:
    """Return where the pairs of each item i with i + 1, i + 2, .. end."""
    return np.cumsum(np.arange(n_items - 1, -1, -1))


def _of_rows(
    patterns: Patterns | Crossvalidated, measure: str, items: slice
) -> FloatArray:
    """Return the dissimilarities of some items to all later ones."""
    n = patterns.n_items
    ends = [0, *_ends(n).tolist()]
    skipped = ends[items.start]
    values = np.empty(ends[items.stop] - skipped)
    raw, finish = _pair_functions(patterns, measure)

    def fill(tile: tuple[slice, slice]) -> None:
        rows, columns = tile
        for i, row in enumerate(raw(rows, columns), start=rows.start):
            first = max(columns.start, i + 1)
            # The pair (i, j) is n - j places before the end of the item's pairs.
            end = ends[i + 1] - skipped - n
            out = values[end + first : end + columns.stop]
            finish(i, slice(first, columns.stop), row[first - columns.start :], out)

    for _ in map_blocks(fill, _tiles(n, items)):
        pass
    return values


def _tiles(n_items: int, items: slice) -> Iterator[tuple[slice, slice]]:
    """Yield tiles of rows and columns that cover some items' pairs with later ones."""
    for first in range(0, n_items, _TILE_COLUMNS):
        columns = slice(first, min(first + _TILE_COLUMNS, n_items))
        stop = min(items.stop, columns.stop)
        for row in range(items.start, stop, _TILE_ROWS):
            yield slice(row, min(row + _TILE_ROWS, stop)), columns


_Raw = Callable[[slice, slice], npt.NDArray[Any]]
"""What a tile of pairs is computed from: bits that differ, or products."""

_Finish = Callable[[int, slice, npt.NDArray[Any], FloatArray], None]
"""Write the dissimilarities of item i and some columns, from their raw numbers."""


def _pair_functions(
    patterns: Patterns | Crossvalidated, measure: str
) -> tuple[_Raw, _Finish]:
    n_cells = patterns.n_cells
    if isinstance(patterns, Crossvalidated):
        return patterns.products, _difference(patterns.squares(), n_cells)
    if isinstance(patterns, BitPatterns):
        counts = patterns.bits.spike_counts().astype(np.float64)
        is_linear = measure != "correlation"
        finish = _share(n_cells) if is_linear else _correlation(counts, n_cells)
        return _different_bits(patterns.bits), finish
    means, sizes = _scaled(patterns.means, measure)

    def products(rows: slice, columns: slice) -> FloatArray:
        block: FloatArray = means[rows] @ means[columns].T
        return block

    return products, _difference(sizes, 1 if measure == "correlation" else n_cells)


def _different_bits(bits: SpikeRaster) -> _Raw:
    words = bits._words
    starts = range(0, len(words), _TILE_COLUMNS)
    tiles = [distances_to(words[first : first + _TILE_COLUMNS]) for first in starts]

    def distances(rows: slice, columns: slice) -> npt.NDArray[np.uint32]:
        tile: npt.NDArray[np.uint32] = tiles[columns.start // _TILE_COLUMNS](
            words[rows]
        )
        return tile

    return distances


def _share(n: int) -> _Finish:
    """Return h / n, h the bits that differ."""

    def finish(_i: int, _: slice, h: npt.NDArray[Any], out: FloatArray) -> None:
        with np.errstate(invalid="ignore"):  # without units, nothing by nothing
            np.divide(h, n, out=out)

    return finish


def _correlation(counts: FloatArray, n: int) -> _Finish:
    """Return 1 - r of patterns of n bits, from h, the bits that differ."""
    variance = counts * (n - counts)

    # n times the joint bits, less the product of the counts. Both bits are set in
    # (K_i + K_j - h) / 2 cells. Whole and half numbers, so that equal pairs stay equal.
    def finish(i: int, columns: slice, h: npt.NDArray[Any], out: FloatArray) -> None:
        np.multiply(h, -n / 2, out=out)
        out += counts[columns] * (n / 2 - counts[i]) + n / 2 * counts[i]
        scale = variance[columns] * variance[i]
        with np.errstate(invalid="ignore", divide="ignore"):
            out /= np.sqrt(scale, out=scale)
        np.subtract(1.0, out, out=out)

    return finish


def _difference(sizes: FloatArray, n: int) -> _Finish:
    """Return ``(size_i + size_j - 2 product_ij) / n``."""

    def finish(
        i: int, columns: slice, product: npt.NDArray[Any], out: FloatArray
    ) -> None:
        np.multiply(product, -2.0, out=out)
        out += sizes[columns] + sizes[i]
        with np.errstate(invalid="ignore"):
            out /= n

    return finish


def _scaled(means: FloatArray, measure: str) -> tuple[FloatArray, FloatArray]:
    """Return patterns and sizes with ``size_i + size_j - 2 x_i . x_j`` the measure."""
    if measure == "hamming":
        # Two draws with probabilities p and q differ with p (1 - q) + q (1 - p).
        return means, means.sum(axis=1)
    if measure == "euclidean":
        return means, np.square(means).sum(axis=1)
    centred = means - means.mean(axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):
        centred /= np.sqrt(2 * np.square(centred).sum(axis=1, keepdims=True))
    # |x - y|^2 / 2 = 1 - r for patterns of length 1.
    return centred, np.where(np.ptp(means, axis=1) == 0, np.nan, 0.5)
