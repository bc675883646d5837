"""Patterns: which units spiked in one time bin, packed with one row per bin."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ann2neo.raster.bits import WORD_BITS, row_bytes, transposed_bits
from ann2neo.raster.spike_raster import IntArray, SpikeRaster

__all__ = ["pattern_counts", "patterns_of"]

_STRIP_BYTES = 512
"""Bytes of time of a strip, which stays in cache while its bits are turned."""


def patterns_of(raster: SpikeRaster) -> npt.NDArray[np.uint64]:
    """Return the columns of a raster as rows of bits.

    Parameters
    ----------
    raster : SpikeRaster
        The spikes.

    Returns
    -------
    ndarray of uint64, shape (n_time_bins, n_words)
        Bit u % 64 of word u // 64 of row t is unit u in bin t; rows are zero-padded to
        whole words.

    Examples
    --------
    >>> patterns_of(SpikeRaster.from_dense([[1, 0, 0], [1, 1, 0]]))
    array([[3],
           [2],
           [0]], dtype=uint64)
    """
    n_units, n_time_bins = raster.shape
    n_words = -(-n_units // WORD_BITS)
    n_bytes = row_bytes(n_time_bins)
    rows = np.zeros((n_bytes, 8, 8 * n_words), np.uint8)
    if not n_units or not n_time_bins:
        return np.zeros((n_time_bins, n_words), np.uint64)
    # Eight units in eight bins are one word, which `transposed_bits` turns from
    # (unit, bin) to (bin, unit):
    #
    #     bits    (groups of eight units, 8, bytes of time)
    #     words   (groups, bytes of time)      byte u of a word: unit u, eight bins
    #     rows    (bytes of time, 8, groups)   byte g of a row: units 8 g .. 8 g + 7
    full, rest = divmod(n_units, 8)
    groups = [(raster.bits[: 8 * full], 0)]
    if rest:
        last = np.zeros((8, n_bytes), np.uint8)
        last[:rest] = raster.bits[8 * full :]
        groups.append((last, full))
    for bits, first in groups:
        octets = bits.reshape(-1, 8, n_bytes)
        for start in range(0, n_bytes, _STRIP_BYTES):
            strip = octets[:, :, start : start + _STRIP_BYTES].transpose(0, 2, 1)
            words = strip.copy().view("<u8")[:, :, 0]
            turned = transposed_bits(words).view(np.uint8).reshape(strip.shape)
            rows[start : start + _STRIP_BYTES, :, first : first + len(octets)] = (
                turned.transpose(1, 2, 0)
            )
    return rows.reshape(8 * n_bytes, 8 * n_words)[:n_time_bins].view("<u8")


def pattern_counts(patterns: npt.NDArray[np.uint64]) -> IntArray:
    """Count how often each different pattern occurs.

    Parameters
    ----------
    patterns : ndarray of uint64, shape (n_patterns, n_words)
        Rows of bits.

    Returns
    -------
    ndarray of int64, shape (n_different,)
        Occurrences of each different row, in no particular order.

    Examples
    --------
    >>> pattern_counts(np.array([[3], [2], [3]], np.uint64)).tolist()
    [1, 2]
    """
    n_patterns, n_words = patterns.shape
    if not n_patterns or not n_words:
        # Without units, all patterns are the same one.
        return np.full(min(1, n_patterns), n_patterns, np.int64)
    # As one item of bytes each, rows are sorted many times faster than with axis=0.
    items = np.ascontiguousarray(patterns).view(f"V{8 * n_words}")[:, 0]
    counts = np.unique(items, return_counts=True)[1]
    return counts.astype(np.int64)
