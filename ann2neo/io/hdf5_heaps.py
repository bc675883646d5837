"""HDF5's string heaps, checked before HDF5 walks them.

HDF5 (up to 1.14.6 at least) never comes back from a global heap in which an object of length zero was reached, which
is what a zeroed stretch of a damaged file looks like. The walk here is the same, and ends.
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
        An HDF5 file. One above 2 GiB is not searched, which would take longer than its tables do.
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
        msg = f"{path} has a damaged string heap, on which HDF5 would hang"
        raise FileFormatError(msg + "; get an undamaged copy")


def _chunks(dataset: Any) -> list[tuple[int, int]]:
    """Where the chunks of a dataset begin and end in the file, in order."""
    if dataset is None or dataset.chunks is None:
        return []
    found = [dataset.id.get_chunk_info(i) for i in range(dataset.id.get_num_chunks())]
    return sorted((chunk.byte_offset, chunk.byte_offset + chunk.size) for chunk in found)


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
        found = block.find(_SIGNATURE)
        while found >= 0:
            places.append(begin + found)
            found = block.find(_SIGNATURE, found + 1)
    return places


def _walks_end(heaps: list[bytes]) -> bool:
    """Step through the objects of all heaps side by side; False where a step is of no length or leaves the heap."""
    lengths = np.array([len(heap) // 8 for heap in heaps], np.int64)
    words = np.frombuffer(b"".join(heap[: 8 * n] for heap, n in zip(heaps, lengths.tolist(), strict=True)), "<u8")
    ends = np.cumsum(lengths)
    at = ends - lengths
    while True:
        # What is too short for the header of an object is free.
        walking = at + 2 <= ends
        at, ends = at[walking], ends[walking]
        if not len(at):
            return True
        size, left = words[at + 1], (8 * (ends - at)).astype(np.uint64)
        if (size > left).any():
            return False
        used = (words[at] & np.uint64(0xFFFF)) > 0
        step = np.where(used, 2 + (size + np.uint64(7)) // np.uint64(8), size // np.uint64(8)).astype(np.int64)
        if (step <= 0).any():
            return False
        at = at + step
