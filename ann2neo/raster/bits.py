"""Bits packed along time into 64-bit words, on which all counting is done.

Bin t of a unit is bit t % 64 of word t // 64 of its row, lowest bit first::

    bin      0 1 2 ... 63 | 64 65 ... n-1  padding
    word     0            |  1
    value    2^0 ... 2^63 | 2^0 ...        0 0 0

Rows are zero-padded to whole words. In memory words are little-endian, so that the same
bits seen as bytes hold bins 0 .. 7, 8 .. 15 and so on.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "DENSE_BYTES",
    "UINT16_WORDS",
    "WORD_BITS",
    "add_bits",
    "bin_mask",
    "clear_padding",
    "or_words_at",
    "pack_rows",
    "padding_is_clear",
    "row_bytes",
    "set_bits",
    "shifted_down",
    "transposed_bits",
]

WORD_BITS = 64
UINT16_WORDS = 1023
"""Words whose set bits always fit a uint16: 1023 * 64 = 65472 < 2^16.

Sums in uint16 are six times faster than in int64.
"""
DENSE_BYTES = 1 << 26
"""Maximum number of bytes of unpacked cells held at once."""


def row_bytes(n_time_bins: int) -> int:
    """Number of bytes of a row of bits, padded to whole words."""
    # -(-a // b) is a / b rounded up, in integers.
    return -(-n_time_bins // WORD_BITS) * 8


def bin_mask(
    mask: npt.NDArray[np.uint64], bins: npt.NDArray[np.int64], n_time_bins: int
) -> None:
    """Set the bits of some bins in a row of words, in place; skip bins outside it."""
    inside = bins[(bins >= 0) & (bins < n_time_bins)]
    word, bit = np.divmod(inside, WORD_BITS)
    # ufunc.at, since several bins may lie in one word.
    np.bitwise_or.at(mask, word, np.uint64(1) << bit.astype(np.uint64))


def clear_padding(bits: npt.NDArray[np.uint8], n_time_bins: int) -> None:
    """Set the bits after the last bin to zero, in place."""
    # Counting runs over whole words, where a bit left in the padding would be a spike.
    # Of 11 bins, byte 1 holds 8 to 10: it is masked with 0b00000111, later bytes are 0.
    full, rest = divmod(n_time_bins, 8)
    if rest:
        bits[:, full] &= (1 << rest) - 1
        full += 1
    bits[:, full:] = 0


def set_bits(words: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """Return the places of the bits that are set in a row of words, ascending."""
    # Only words and bytes that hold a bit are looked at:
    #
    #     word   0     1     2        -> word 2
    #     byte   ..    ..    0 7 0 ..  -> byte 1 of it
    #     bit                  1 1 1  -> bits 0, 1, 2 of it
    word = np.flatnonzero(words != 0)
    in_bytes = words[word].view(np.uint8)
    byte = np.flatnonzero(in_bytes != 0)
    unpacked = np.unpackbits(in_bytes[byte], bitorder="little")
    bit = np.flatnonzero(unpacked.view(np.bool_))
    byte = byte[bit // 8]
    return word[byte // 8] * WORD_BITS + byte % 8 * 8 + bit % 8


def add_bits(words: npt.NDArray[np.uint64], places: npt.NDArray[np.int64]) -> None:
    """Set bits of a row of words that are not set yet, in place, each named once."""
    bit = np.uint64(1) << (places % WORD_BITS).astype(np.uint64)
    # Different bits of a word add up to the word; ufunc.at is fast for sums only.
    np.add.at(words, places // WORD_BITS, bit)


def padding_is_clear(bits: npt.NDArray[np.uint8], n_time_bins: int) -> bool:
    """Return whether the bits after the last bin are zero."""
    full, rest = divmod(n_time_bins, 8)
    if rest and (bits[:, full] >> rest).any():
        return False
    return not bits[:, full + bool(rest) :].any()


def shifted_down(words: npt.NDArray[np.uint64], bins: int) -> npt.NDArray[np.uint64]:
    """Move rows `bins` bins towards their start; bins before it are dropped."""
    # Dropping whole words moves by a multiple of 64. For the rest, each word loses its
    # lowest bits and takes as many from the word after it:
    #
    #     before   | 0 ... rest-1 , rest ... 63 | 64 ... 64+rest-1 , ...
    #     after    | rest ... 63 , 64 ... 64+rest-1 | ...
    whole, rest = divmod(bins, WORD_BITS)
    if not rest:
        return words[:, whole:].copy()
    out = words[:, whole:] >> np.uint64(rest)
    # No word follows the last one, so that zeros move into it.
    out[:, :-1] |= words[:, whole + 1 :] << np.uint64(WORD_BITS - rest)
    return out


def or_words_at(
    out: npt.NDArray[np.uint64], words: npt.NDArray[np.uint64], position: int
) -> None:
    """OR rows of words into `out`, starting at the bin `position`.

    Words beyond the end of `out` must be padding; they are left out.
    """
    # Each word falls on two: its low bits go to the top of one, its high bits to the
    # bottom of the next.
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
    # Byte j of the result is the sum of rows[i, j] << i for i = 0 .. 7. Eight columns
    # are shifted at once as one 64-bit lane: bytes hold 0 or 1, so a shift by up to
    # seven never carries into the neighbouring byte.
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
    """Transpose the 8 x 8 bits of each word, in place.

    Source: Warren (2012), Hacker's Delight, 2nd edition, section 7-3.
    """
    # Byte i of a word is row i. Each round swaps the two off-diagonal blocks of every
    # square: of 2 x 2 bits, then of 4 x 4, then of 8 x 8. `mask` selects the upper
    # right block, `shift` is its distance from the lower left one, and three XORs swap
    # them without a second array.
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
