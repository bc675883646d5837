"""Hamming distances of rows of bits: nearest rows, and sums over all pairs."""

from __future__ import annotations

from concurrent.futures import Executor

import numpy as np
import numpy.typing as npt

from ann2neo._parallel import Task, map_blocks, map_shared, map_tasks
from ann2neo.raster.joint import distances_to, numkong
from ann2neo.raster.spike_raster import IntArray

__all__ = ["hamming_excess", "hamming_nearest"]

Words = npt.NDArray[np.uint64]

_TILE_ROWS, _TILE_COLUMNS = 256, 4096
_PAIR_ROWS = 1024
_TASK_ROWS = 2048
_TASKS_OF_PAIRS = 32
_FARTHEST = np.iinfo(np.uint32).max
_NOWHERE = np.iinfo(np.int64).max


def hamming_nearest(
    rows: Words,
    references: Words,
    k: int,
    *,
    is_self: bool = False,
    executor: Executor | None = None,
    use_numkong: bool = numkong is not None,
) -> tuple[IntArray, IntArray]:
    """Find the k nearest of some rows of bits by Hamming distance.

    Parameters
    ----------
    rows : ndarray of uint64, shape (n_rows, n_words)
        Rows of bits.
    references : ndarray of uint64, shape (n_references, n_words)
        Rows to choose from, more than `k` if they are `rows`, else at least `k`.
    k : int
        Number of neighbours.
    is_self : bool
        Whether `references` are `rows`, none of which is its own neighbour.
    executor : Executor, optional
        Where it runs; in threads of this process if not given.
    use_numkong : bool
        Count with NumKong instead of NumPy; by default where it is installed.

    Returns
    -------
    neighbours : ndarray of int64, shape (n_rows, k)
        Rows of `references`, nearest first; of equal distances the first row first.
    distances : ndarray of int64, shape (n_rows, k)
        Bits that differ.
    """
    # Threads share all rows here, workers take a range of them each.
    step = _TASK_ROWS if executor is not None else max(1, len(rows))
    tasks = (
        Task(
            f"samples from {first} on",
            (
                rows[first : first + step],
                references,
                k,
                first if is_self else None,
                use_numkong,
            ),
        )
        for first in range(0, len(rows), step)
    )
    blocks = map_tasks(_nearest_keys, tasks, executor)
    keys = np.concatenate([np.zeros((0, k), np.int64), *blocks])
    distances, neighbours = np.divmod(keys, max(1, len(references)))
    return neighbours, distances


def _nearest_keys(
    rows: Words, references: Words, k: int, own: int | None, use_numkong: bool
) -> IntArray:
    """Return the keys of the k nearest of each row, ascending, shape (n_rows, k)."""
    tiles = [
        distances_to(references[first : first + _TILE_COLUMNS], use_numkong=use_numkong)
        for first in range(0, len(references), _TILE_COLUMNS)
    ]

    def nearest(first: int) -> IntArray:
        block = rows[first : first + _TILE_ROWS]
        best = np.full((len(block), k), _NOWHERE)
        limit = np.full(len(block), _FARTHEST, np.uint32)
        for number, distances_of in enumerate(tiles):
            start = number * _TILE_COLUMNS
            distances = distances_of(block)
            if own is not None:
                # Where the rows' own places lie in this tile, they are out of reach.
                column = np.arange(own + first, own + first + len(block)) - start
                row = np.flatnonzero((column >= 0) & (column < distances.shape[1]))
                distances[row, column[row]] = _FARTHEST
            keys = _nearer_keys(distances, limit, k, start, len(references))
            best = np.sort(np.concatenate([best, keys], axis=1), axis=1)[:, :k]
            has_k = best[:, -1] != _NOWHERE
            limit[has_k] = best[has_k, -1] // len(references)
        return best

    blocks = map_blocks(nearest, range(0, len(rows), _TILE_ROWS))
    return np.concatenate([np.zeros((0, k), np.int64), *blocks])


def _nearer_keys(
    distances: npt.NDArray[np.uint32],
    limit: npt.NDArray[np.uint32],
    k: int,
    start: int,
    n_references: int,
) -> IntArray:
    """Return the keys of references that are nearer than the k-th nearest so far.

    A key is distance * n_references + reference: ascending keys are ascending
    distances, and ascending places among equal ones. Later references must be strictly
    nearer than the limit, since ties go to the earlier one.
    """
    n_rows, width = distances.shape
    row, column = np.divmod(
        np.flatnonzero(distances < limit[:, np.newaxis]), max(1, width)
    )
    n_nearer = np.bincount(row, minlength=n_rows)
    most = int(n_nearer.max(initial=0))
    if most > 4 * k:
        # The first tile, or references that come nearer and nearer.
        keys = distances.astype(np.int64) * n_references
        keys += np.arange(start, start + width)
        keys[distances == _FARTHEST] = _NOWHERE
        nearest: IntArray = np.partition(keys, k - 1, axis=1)[:, :k]
        return nearest
    # A few per row, packed to the left:
    #
    #     row     0 0 1 3 3 3        keys   5 7 .
    #     place   0 1 0 0 1 2               4 . .
    #                                       . . .
    #                                       2 8 9
    place = np.arange(len(row)) - np.repeat(np.cumsum(n_nearer) - n_nearer, n_nearer)
    few = np.full((n_rows, most), _NOWHERE)
    few[row, place] = distances[row, column].astype(np.int64) * n_references
    few[row, place] += start + column
    return few


def hamming_excess(
    rows: Words,
    n_bits: int,
    *,
    executor: Executor | None = None,
    use_numkong: bool = numkong is not None,
) -> tuple[int, int]:
    """Sum what the distances of all pairs of rows exceed half their bits by.

    Parameters
    ----------
    rows : ndarray of uint64, shape (n_rows, n_words)
        Rows of bits.
    n_bits : int
        Bits of a row, without the padding.
    executor, use_numkong
        As in `hamming_nearest`.

    Returns
    -------
    excess : int
        Sum over pairs of ``max(0, 2 h - n_bits)``, h the bits that differ.
    n_beyond : int
        Pairs with ``2 h > n_bits``.
    """
    # Two rows with a and b bits set differ in at most min(a + b, 2 n_bits - a - b)
    # bits. Sorted by their bits, whole tiles of pairs cannot reach half of n_bits.
    sizes = np.bitwise_count(rows).sum(axis=1, dtype=np.int64)
    order = np.argsort(sizes, kind="stable")
    rows, sizes = rows[order], sizes[order]
    firsts = range(0, len(rows), _PAIR_ROWS)
    excess, n_beyond = 0, 0
    for block_excess, block_beyond in map_shared(
        _excess_of_rows,
        (rows, sizes, n_bits, use_numkong),
        firsts,
        executor,
        name="blocks of pairs",
        per_task=1 + len(firsts) // _TASKS_OF_PAIRS,
    ):
        excess += block_excess
        n_beyond += block_beyond
    return excess, n_beyond


def _excess_of_rows(
    rows: Words, sizes: IntArray, n_bits: int, use_numkong: bool, first: int
) -> tuple[int, int]:
    """Return excess and pairs beyond of a block of rows with all rows after it."""
    half = n_bits // 2
    here = slice(first, first + _PAIR_ROWS)
    smallest, largest = int(sizes[here][0]), int(sizes[here][-1])
    distances_of = distances_to(rows[here], use_numkong=use_numkong)
    # Both counts are of ordered pairs: a tile off the diagonal stands for two.
    above, n_beyond = 0, 0
    for other in range(first, len(rows), _PAIR_ROWS):
        there = slice(other, other + _PAIR_ROWS)
        most = largest + int(sizes[there][-1])
        least = smallest + int(sizes[other])
        if min(most, 2 * n_bits - least) <= half:
            continue
        distances = distances_of(rows[there])
        weight = 1 if other == first else 2
        n_beyond += weight * int(np.count_nonzero(distances > half))
        # max(h, half) - half, summed without a copy of those beyond.
        np.maximum(distances, half, out=distances)
        total = int(distances.sum(dtype=np.int64))
        above += weight * (total - half * distances.size)
    # 2 h - n_bits is 2 (h - half), less 1 where n_bits is odd; each pair came twice.
    return (2 * above - n_bits % 2 * n_beyond) // 2, n_beyond // 2
