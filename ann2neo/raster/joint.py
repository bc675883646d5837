"""Joint counts of rows of bits: in how many bins two units both spiked."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from ann2neo._parallel import map_blocks, n_workers
from ann2neo.raster.bits import UINT16_WORDS

try:
    numkong: Any = importlib.import_module("numkong")
except ImportError:  # the extra "fast" is not installed
    numkong = None

__all__ = ["distances_to", "joint_counts", "numkong"]

_TILE_UNITS = 48
_ROWS_AT_ONCE = 16


def joint_counts(
    ours: npt.NDArray[np.uint64],
    theirs: npt.NDArray[np.uint64] | None,
    *,
    use_numkong: bool = numkong is not None,
) -> npt.NDArray[np.int64]:
    """Count the bits that are set in both rows, for all pairs of rows.

    Parameters
    ----------
    ours : ndarray of uint64, shape (n_units, n_words)
        Rows of bits.
    theirs : ndarray of uint64, shape (n_others, n_words), or None
        Rows to pair them with; None pairs the rows of `ours` with each other.
    use_numkong : bool
        Count with NumKong instead of NumPy; by default where it is installed.

    Returns
    -------
    ndarray of int64, shape (n_units, n_others)
        Popcount of ``ours[i] AND theirs[j]``; symmetric if `theirs` is None.
    """
    right = ours if theirs is None else theirs
    counts = np.empty((len(ours), len(right)), np.int64)
    has_cells = ours.size and right.size
    shared_bits = _by_numkong if use_numkong and has_cells else _by_numpy

    # Tiles on the right are the tallest. They come first, so that in the end no thread
    # works on a tall tile alone.
    starts = range(0, len(right), _TILE_UNITS)
    tiles = reversed(starts)

    def fill(_: int) -> None:
        # The workers share one iterator: a future per tile would wake the caller after
        # each, which takes longer than a small tile.
        for first in tiles:
            columns = slice(first, first + _TILE_UNITS)
            if theirs is not None:
                counts[:, columns] = shared_bits(ours, theirs[columns])
                continue
            # A symmetric matrix: only the tiles on and above the diagonal are counted,
            # and mirrored below it.
            #
            #     . . T    T  counted: rows 0 .. stop - 1 of these columns
            #     . . T    t  copied: what of T lies above the diagonal, transposed
            #     t t T
            tile = shared_bits(ours[: columns.stop], ours[columns])
            counts[: columns.stop, columns] = tile
            counts[columns, :first] = tile[:first].T

    for _ in map_blocks(fill, range(min(n_workers(), len(starts)))):
        pass
    return counts


def distances_to(
    block: npt.NDArray[np.uint64], *, use_numkong: bool = numkong is not None
) -> Callable[[npt.NDArray[np.uint64]], npt.NDArray[np.uint32]]:
    """Return a function that counts the bits in which other rows differ from a block.

    Parameters
    ----------
    block : ndarray of uint64, shape (n_in_block, n_words)
        Rows of bits, prepared once for many calls.
    use_numkong : bool
        As in `joint_counts`.

    Returns
    -------
    function of ndarray of uint64, shape (n_rows, n_words)
        It returns an ndarray of int, shape (n_rows, n_in_block): Hamming distances.
    """
    if use_numkong and block.size:
        packed = numkong.hammings_pack(block.view(np.uint8), dtype="uint1")
        return lambda rows: np.asarray(
            numkong.hammings_packed(rows.view(np.uint8), packed)
        )
    # One row per word, so that a word of all rows of the block lies side by side.
    return partial(_differing_bits, np.ascontiguousarray(block.T))


def _differing_bits(
    words: npt.NDArray[np.uint64], rows: npt.NDArray[np.uint64]
) -> npt.NDArray[np.uint32]:
    """Count the bits in which rows differ from columns of words, by NumPy."""
    n_words, width = words.shape
    distances = np.zeros((len(rows), width), np.uint32)
    shape = (min(_ROWS_AT_ONCE, len(rows)), width)
    different, set_bits = np.empty(shape, np.uint64), np.empty(shape, np.uint8)
    for first in range(0, len(rows), _ROWS_AT_ONCE):
        some = rows[first : first + _ROWS_AT_ONCE]
        bits, counts = different[: len(some)], set_bits[: len(some)]
        # Sums of so many words fit 16 bits, which are added faster than 32.
        for start in range(0, n_words, UINT16_WORDS):
            sums = np.zeros(counts.shape, np.uint16)
            for word in range(start, min(start + UINT16_WORDS, n_words)):
                np.bitwise_xor(some[:, word, np.newaxis], words[word], out=bits)
                np.bitwise_count(bits, out=counts)
                np.add(sums, counts, out=sums)
            distances[first : first + len(some)] += sums
    return distances


def _by_numkong(
    left: npt.NDArray[np.uint64], right: npt.NDArray[np.uint64]
) -> npt.NDArray[Any]:
    # The dot product of rows of zeros and ones is the number of ones they share.
    packed = numkong.dots_pack(right.view(np.uint8), dtype="uint1")
    return np.asarray(numkong.dots_packed(left.view(np.uint8), packed))


def _by_numpy(
    left: npt.NDArray[np.uint64], right: npt.NDArray[np.uint64]
) -> npt.NDArray[Any]:
    counts = np.zeros((len(left), len(right)), np.int64)
    # In blocks of words, each of which stays in cache for all rows of `left`.
    for word in range(0, left.shape[1], UINT16_WORDS):
        block = np.ascontiguousarray(right[:, word : word + UINT16_WORDS])
        both = np.empty_like(block)
        # At most 64 bits of a word are set, which fits a byte.
        set_bits = np.empty(block.shape, np.uint8)
        for row in range(len(left)):
            np.bitwise_and(left[row, word : word + UINT16_WORDS], block, out=both)
            np.bitwise_count(both, out=set_bits)
            counts[row] += np.add.reduce(set_bits, axis=1, dtype=np.uint16)
    return counts
