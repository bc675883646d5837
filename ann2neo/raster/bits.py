"""Bits in words: packed along time, first bin in the lowest bit, rows zero-padded to
whole words of 64 bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "DENSE_BYTES",
    "UINT16_WORDS",
    "WORD_BITS",
    "clear_padding",
    "or_words_at",
    "pack_rows",
    "row_bytes",
    "shifted_down",
    "transposed_bits",
]

WORD_BITS = 64
UINT16_WORDS = 1023
"""The most words whose set bits a uint16 can count, which sums six times faster than
int64.
"""
DENSE_BYTES = 1 << 26
"""Most bytes of unpacked cells to hold at once."""


def row_bytes(n_time_bins: int) -> int:
    """Bytes of a row of bits, whole words."""
    return -(-n_time_bins // WORD_BITS) * 8


def clear_padding(bits: npt.NDArray[np.uint8], n_time_bins: int) -> None:
    """Zero the bits beyond the last bin, in place."""
    full, rest = divmod(n_time_bins, 8)
    if rest:
        bits[:, full] &= (1 << rest) - 1
        full += 1
    bits[:, full:] = 0


def shifted_down(words: npt.NDArray[np.uint64], bins: int) -> npt.NDArray[np.uint64]:
    """Rows moved `bins` bins towards the start; the words that fall off are dropped."""
    whole, rest = divmod(bins, WORD_BITS)
    if not rest:
        return words[:, whole:].copy()
    out = words[:, whole:] >> np.uint64(rest)
    out[:, :-1] |= words[:, whole + 1 :] << np.uint64(WORD_BITS - rest)
    return out


def or_words_at(
    out: npt.NDArray[np.uint64], words: npt.NDArray[np.uint64], position: int
) -> None:
    """OR rows of words into `out`, `position` bins from its start; what lies beyond
    `out` is padding.
    """
    first, shift = divmod(position, WORD_BITS)
    room = out.shape[1] - first
    n = min(words.shape[1], room)
    if not shift:
        out[:, first : first + n] |= words[:, :n]
        return
    out[:, first : first + n] |= words[:, :n] << np.uint64(shift)
    n = min(words.shape[1], room - 1)
    out[:, first + 1 : first + 1 + n] |= words[:, :n] >> np.uint64(WORD_BITS - shift)


def pack_rows(rows: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Pack every eight rows of 0/1 bytes into one row, first row in the lowest bit."""
    n_rows, n_columns = rows.shape
    groups = rows.reshape(n_rows // 8, 8, n_columns)
    # Bytes hold 0 or 1, so shifting whole 64-bit lanes by up to seven never carries
    # into a neighbour.
    lanes: npt.NDArray[Any] = (
        groups.view(np.uint64) if n_columns % 8 == 0 and n_columns else groups
    )
    packed = lanes[:, 0].copy()
    shifted = np.empty_like(packed)
    for row in range(1, 8):
        np.left_shift(lanes[:, row], lanes.dtype.type(row), out=shifted)
        np.bitwise_or(packed, shifted, out=packed)
    return packed.view(np.uint8)


def transposed_bits(blocks: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Transpose 8 x 8 bits held in each word, in place (Warren 2012, Hacker's Delight,
    section 7-3).
    """
    for shift, mask in (
        (7, 0x00AA00AA00AA00AA),
        (14, 0x0000CCCC0000CCCC),
        (28, 0x00000000F0F0F0F0),
    ):
        moved = blocks >> np.uint64(shift)
        moved ^= blocks
        moved &= np.uint64(mask)
        blocks ^= moved
        moved <<= np.uint64(shift)
        blocks ^= moved
    return blocks
