"""Hamming distances of rows of bits, in tiles that stay in cache."""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

from ann2neo._parallel import map_blocks
from ann2neo.raster.bits import UINT16_WORDS
from ann2neo.raster.joint import numkong
from ann2neo.raster.spike_raster import IntArray

__all__ = ["hamming_excess", "hamming_nearest"]

Words = npt.NDArray[np.uint64]

_TILE_ROWS = 256
_TILE_COLUMNS = 4096
_PAIR_ROWS = 1024
_NUMPY_ROWS = 16


def hamming_nearest(
    rows: Words,
    references: Words,
    k: int,
    *,
    is_self: bool = False,
    use_numkong: bool = numkong is not None,
) -> tuple[IntArray, IntArray]:
    """Find the k nearest of some rows of bits by Hamming distance.

    Parameters
    ----------
    rows : ndarray of uint64, shape (n_rows, n_words)
        Rows of bits.
    references : ndarray of uint64, shape (n_references, n_words)
        Rows to choose from, at least `k`.
    k : int
        Number of neighbours.
    is_self : bool
        Whether `references` are `rows`, none of which is its own neighbour.
    use_numkong : bool
        Count with NumKong instead of NumPy; by default where it is installed.

    Returns
    -------
    neighbours : ndarray of int64, shape (n_rows, k)
        Rows of `references`, nearest first; of equal distances the first row first.
    distances : ndarray of int64, shape (n_rows, k)
        Bits that differ.
    """
    nearest = functools.partial(
        _nearest_of_rows, rows, references, k, is_self, use_numkong
    )
    blocks = map_blocks(nearest, range(0, len(rows), _TILE_ROWS))
    keys = np.concatenate([np.zeros((0, k), np.int64), *blocks])
    distances, neighbours = np.divmod(keys, max(1, len(references)))
    return neighbours, distances


def _nearest_of_rows(
    rows: Words,
    references: Words,
    k: int,
    is_self: bool,
    use_numkong: bool,
    first: int,
) -> IntArray:
    """Return the keys of the k nearest of some rows, ascending, shape (n_rows, k)."""
    block = rows[first : first + _TILE_ROWS]
    n_references = len(references)
    # distance * n_references + reference: ascending keys are ascending distances, and
    # ascending places among equal ones.
    nowhere = np.iinfo(np.int64).max
    best = np.full((len(block), k), nowhere, np.int64)
    limit = np.full(len(block), np.iinfo(np.uint32).max, np.uint32)
    for start in range(0, n_references, _TILE_COLUMNS):
        tile = references[start : start + _TILE_COLUMNS]
        distances = _distances(block, tile, use_numkong)
        if is_self:
            own = np.arange(first, first + len(block)) - start
            inside = np.flatnonzero((own >= 0) & (own < distances.shape[1]))
            distances[inside, own[inside]] = np.iinfo(np.uint32).max
        # Later references must be strictly nearer than the k-th so far: ties go to the
        # earlier one. That leaves few, except at the start.
        row, column = np.divmod(
            np.flatnonzero(distances < limit[:, np.newaxis]), distances.shape[1]
        )
        n_nearer = np.bincount(row, minlength=len(block))
        if n_nearer.max(initial=0) > 4 * k:
            keys = distances.astype(np.int64) * n_references
            keys += np.arange(start, start + keys.shape[1])
            found = np.partition(keys, k - 1, axis=1)[:, :k]
        else:
            place = np.arange(len(row)) - np.repeat(
                np.cumsum(n_nearer) - n_nearer, n_nearer
            )
            found = np.full((len(block), int(n_nearer.max(initial=0))), nowhere)
            found[row, place] = (
                distances[row, column].astype(np.int64) * n_references + start + column
            )
        best = np.sort(np.concatenate([best, found], axis=1), axis=1)[:, :k]
        has_k = best[:, -1] != nowhere
        limit[has_k] = best[has_k, -1] // n_references
    return best


def hamming_excess(
    rows: Words, n_bits: int, *, use_numkong: bool = numkong is not None
) -> tuple[int, int]:
    """Sum what the distances of all pairs of rows exceed half their bits by.

    Parameters
    ----------
    rows : ndarray of uint64, shape (n_rows, n_words)
        Rows of bits.
    n_bits : int
        Bits of a row, without the padding.
    use_numkong : bool
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
    of_block = functools.partial(_excess_of_rows, rows, sizes, n_bits, use_numkong)
    excess, n_beyond = 0, 0
    starts = range(0, len(rows), _PAIR_ROWS)
    for tile_excess, tile_beyond in map_blocks(of_block, starts):
        excess += tile_excess
        n_beyond += tile_beyond
    return excess, n_beyond


def _excess_of_rows(
    rows: Words, sizes: IntArray, n_bits: int, use_numkong: bool, first: int
) -> tuple[int, int]:
    """Return excess and pairs beyond of one block of rows and the blocks from it on."""
    half = n_bits // 2
    here = slice(first, first + _PAIR_ROWS)
    smallest, largest = int(sizes[here][0]), int(sizes[here][-1])
    # Both counts of ordered pairs: a tile off the diagonal stands for two.
    above, n_beyond = 0, 0
    for other in range(first, len(rows), _PAIR_ROWS):
        there = slice(other, other + _PAIR_ROWS)
        most = largest + int(sizes[there][-1])
        least = smallest + int(sizes[other])
        if min(most, 2 * n_bits - least) <= half:
            continue
        distances = _distances(rows[here], rows[there], use_numkong)
        weight = 1 if other == first else 2
        n_beyond += weight * int(np.count_nonzero(distances > half))
        # max(h, half) - half, summed without a copy of those beyond.
        np.maximum(distances, half, out=distances)
        total = int(distances.sum(dtype=np.int64))
        above += weight * (total - half * distances.size)
    # 2 h - n_bits is 2 (h - half), less 1 where n_bits is odd; each pair came twice.
    return (2 * above - n_bits % 2 * n_beyond) // 2, n_beyond // 2


def _distances(rows: Words, others: Words, use_numkong: bool) -> npt.NDArray[np.uint32]:
    """Return the distances of some rows to others, shape (n_rows, n_others)."""
    if use_numkong and rows.size and others.size:
        packed = numkong.hammings_pack(others.view(np.uint8), dtype="uint1")
        return np.asarray(numkong.hammings_packed(rows.view(np.uint8), packed))
    distances = np.zeros((len(rows), len(others)), np.uint32)
    # One row per word, so that a word of all rows of the block lies side by side.
    words = np.ascontiguousarray(others.T)
    shape = (min(_NUMPY_ROWS, len(rows)), len(others))
    different, set_bits = np.empty(shape, np.uint64), np.empty(shape, np.uint8)
    for first in range(0, len(rows), _NUMPY_ROWS):
        some = rows[first : first + _NUMPY_ROWS]
        bits, counts = different[: len(some)], set_bits[: len(some)]
        # Sums of up to UINT16_WORDS words fit 16 bits, which are added faster than 32.
        for start in range(0, len(words), UINT16_WORDS):
            sums = np.zeros(counts.shape, np.uint16)
            for word in range(start, min(start + UINT16_WORDS, len(words))):
                np.bitwise_xor(some[:, word, np.newaxis], words[word], out=bits)
                np.bitwise_count(bits, out=counts)
                np.add(sums, counts, out=sums)
            distances[first : first + len(some)] += sums
    return distances
