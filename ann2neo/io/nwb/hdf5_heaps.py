"""HDF5's string heaps, checked before HDF5 walks through them.

HDF5 keeps strings of variable length in global heaps, each a list of objects that HDF5
walks through by adding up their lengths. Up to version 1.14.6 at least, HDF5 never
returns from an object of length zero, which is what a zeroed stretch of a damaged file
looks like. The walk here is the same, but ends.

A heap, in words of 8 bytes (HDF5 File Format Specification 3.0, section III.E)::

    "GCOL", version | length of the heap | object | object | ... | free space
    object: index (2 bytes, 0 is free space), references (2), reserved (4)
          | length of the data | data, padded to whole words
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import h5py
import numpy as np

from ann2neo.errors import FileFormatError

__all__ = ["check_heaps"]

# Smallest length that HDF5 gives a heap, in bytes.
_SMALLEST = 4096
_SIGNATURE, _SUPERBLOCK = b"GCOL\x01", b"\x89HDF\r\n\x1a\n"
_HEADER = 16
_LARGEST_FILE, _BLOCK = 1 << 31, 1 << 22


def check_heaps(path: Path, numbers: h5py.Dataset | None = None) -> None:
    """Raise if a file holds a string heap from which HDF5 would never return.

    Parameters
    ----------
    path : Path
        An HDF5 file. Files above 2 GiB are not searched, because that would take longer
        than reading their tables.
    numbers : h5py.Dataset, optional
        A large dataset without strings; its chunks are not searched.

    Raises
    ------
    FileFormatError
        If a heap has an object of length zero, or one that runs beyond its end.
    """
    size = path.stat().st_size
    if not 64 <= size <= _LARGEST_FILE:
        return
    with path.open("rb") as file:
        if file.read(8) != _SUPERBLOCK:
            return
        heaps = []
        for first, last in _between(_chunks(numbers), size):
            for start in _places(file, first, last):
                file.seek(start)
                length = int.from_bytes(file.read(_HEADER)[8:], "little")
                if _SMALLEST <= length <= size - start:
                    heaps.append(file.read(length - _HEADER))
    if heaps and not _walks_end(heaps):
        raise FileFormatError(
            f"{path} has a damaged string heap, on which HDF5 would hang; get an"
            " undamaged copy"
        )


def _chunks(dataset: h5py.Dataset | None) -> list[tuple[int, int]]:
    """Return where the chunks of a dataset begin and end in the file, in order."""
    if dataset is None or dataset.chunks is None:
        return []
    extents: list[tuple[int, int]] = []
    dataset.id.chunk_iter(
        lambda chunk: extents.append(
            (chunk.byte_offset, chunk.byte_offset + chunk.size)
        )
    )
    return sorted(extents)


def _between(parts: list[tuple[int, int]], size: int) -> Iterator[tuple[int, int]]:
    """Yield the gaps between stretches of a file of `size` bytes."""
    position = 0
    for start, stop in [*parts, (size, size)]:
        if start > position:
            yield position, min(start, size)
        position = max(position, stop)


def _places(file: BinaryIO, first: int, last: int) -> list[int]:
    """Return where the signature of a heap begins in a stretch of a file."""
    # Blocks overlap, so that a signature across two of them is found.
    places, overlap = [], len(_SIGNATURE) - 1
    for begin in range(first, last, _BLOCK):
        file.seek(begin)
        block = file.read(min(_BLOCK, last - begin) + overlap)
        place = block.find(_SIGNATURE)
        while place >= 0:
            places.append(begin + place)
            place = block.find(_SIGNATURE, place + 1)
    return places


def _walks_end(heaps: list[bytes]) -> bool:
    """Return whether the walk through every heap reaches its end.

    All heaps are walked at once, in about log2(number of objects) rounds, by pointer
    doubling: ``after[i]`` is where an object that began at word i would send the walk.
    ``after[after]`` is two steps at once, then four, eight and so on, until each heap
    has reached one of two words beyond the last, `done` or `bad`, which lead to
    themselves. Their number is small and the check is vectorized, while a loop over
    objects in Python would take longer than reading the file.
    """
    # All heaps side by side, without their headers:
    #
    #     words   | heap 0 | heap 1 | ... | heap k |
    #     place   0 1 2 ...                        done  bad
    lengths = np.array([len(heap) // 8 for heap in heaps], np.int64)
    words = np.frombuffer(
        b"".join(
            heap[: 8 * n] for heap, n in zip(heaps, lengths.tolist(), strict=True)
        ),
        "<u8",
    )
    ends = np.cumsum(lengths)
    place = np.arange(len(words), dtype=np.int64)
    end = np.repeat(ends, lengths)
    done, bad = len(words), len(words) + 1
    # If an object began at a word: the word after it would be the length of its data,
    # the two lowest bytes of the word its index; `room` is left in the heap, in bytes.
    size = np.append(words[1:], 0)
    room = (8 * (end - place)).astype(np.uint64)
    used = (words & np.uint64(0xFFFF)) > 0
    # An object is a header of two words and data rounded up to whole words; free space
    # states its length with the header. Lengths so damaged that the sum overflows are
    # larger than what is left, and so bad below.
    with np.errstate(over="ignore"):
        step = np.where(
            used, 2 + (size + np.uint64(7)) // np.uint64(8), size // np.uint64(8)
        )
    after = place + np.minimum(step, np.uint64(len(words))).astype(np.int64)
    after = np.where((step == 0) | (size > room), bad, after)
    # At the end, and where no header of an object fits before it, the walk is over.
    after = np.where((after != bad) & (after + 2 > end), done, after)
    after = np.concatenate([after, [done, bad]])
    at = np.where(lengths < 2, done, ends - lengths)
    # Steps walked after each round: 1, 3, 7, 15 and so on.
    while (at < done).any():
        at, after = after[at], after[after]
    return not (at == bad).any()
