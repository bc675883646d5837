"""HDF5's string heaps, checked before HDF5 walks them.

HDF5 (up to 1.14.6 at least) never comes back from a global heap in which an object of
length zero was reached, which is what a zeroed stretch of a damaged file looks like.
The walk here is the same, and ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ann2neo.errors import FileFormatError

__all__ = ["check_heaps"]

_SIGNATURE, _SUPERBLOCK = b"GCOL\x01", b"\x89HDF\r\n\x1a\n"
_HEADER, _SMALLEST = 16, 4096
_LARGEST_FILE, _BLOCK = 1 << 31, 1 << 22


def check_heaps(path: Path, numbers: Any = None) -> None:
    """Raise if a file holds a string heap that HDF5 would never come back from.

    Parameters
    ----------
    path : Path
        An HDF5 file. One above 2 GiB is not searched, which would take longer than its
        tables do.
    numbers : h5py.Dataset, optional
        A large dataset without strings; its chunks are passed over.

    Raises
    ------
    FileFormatError
        If a heap is damaged so.
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


def _chunks(dataset: Any) -> list[tuple[int, int]]:
    """Where the chunks of a dataset begin and end in the file, in order."""
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
    """What lies between stretches of a file."""
    position = 0
    for start, stop in [*parts, (size, size)]:
        if start > position:
            yield position, min(start, size)
        position = max(position, stop)


def _places(file: BinaryIO, first: int, last: int) -> list[int]:
    """Where the signature of a heap stands in a stretch of a file."""
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
    """Whether the walk through every heap, object by object, reaches its end in steps
    of some length.
    """
    lengths = np.array([len(heap) // 8 for heap in heaps], np.int64)
    words = np.frombuffer(
        b"".join(
            heap[: 8 * n] for heap, n in zip(heaps, lengths.tolist(), strict=True)
        ),
        "<u8",
    )
    ends = np.cumsum(lengths)
    # Where each step leads from each word, were it the start of an object: two words
    # past the last are done and bad.
    place = np.arange(len(words), dtype=np.int64)
    end = np.repeat(ends, lengths)
    done, bad = len(words), len(words) + 1
    size = np.append(words[1:], 0)
    left = (8 * (end - place)).astype(np.uint64)
    used = (words & np.uint64(0xFFFF)) > 0
    with np.errstate(over="ignore"):
        step = np.where(
            used, 2 + (size + np.uint64(7)) // np.uint64(8), size // np.uint64(8)
        )
    after = place + np.minimum(step, np.uint64(len(words))).astype(np.int64)
    after = np.where((step == 0) | (size > left), bad, after)
    # An end, or what is too short before it for the header of an object, is free.
    after = np.where((after != bad) & (after + 2 > end), done, after)
    after = np.concatenate([after, [done, bad]])
    at = np.where(lengths < 2, done, ends - lengths)
    while (at < done).any():
        at, after = after[at], after[after]
    return not (at == bad).any()
