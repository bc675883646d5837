"""HDF5's string heaps, checked before HDF5 walks through them.

HDF5 keeps strings of variable length in global heaps, each a list of objects that HDF5
walks through by adding up their lengths. Up to version 2.2 at least, HDF5 never returns
from an object of length zero, which is what a zeroed stretch of a damaged file looks
like. HDF5 cannot be asked for that without its doing so, hence the bytes are looked at
here. In words of 8 bytes (HDF5 File Format Specification 3.0, section III.E)::

    heap:   "GCOL", version | length of the heap | object | object | ... | free space
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
_SIGNATURE = b"GCOL\x01"
_HEADER = 16
_LARGEST_FILE, _BLOCK = 1 << 31, 1 << 19


def check_heaps(
    path: Path, user_block: int = 0, numbers: h5py.Dataset | None = None
) -> None:
    """Raise if HDF5 would hang on a string heap.

    Parameters
    ----------
    path : Path
        An HDF5 file. Files above 2 GiB are not searched, because that would take longer
        than reading their tables.
    user_block : int, default 0
        Where HDF5 begins in the file; places in it count from there.
    numbers : h5py.Dataset, optional
        A large dataset without strings; its chunks are not searched.

    Raises
    ------
    FileFormatError
        If a heap has an object of length zero, or one that runs beyond its end.
    """
    size = path.stat().st_size
    if size > _LARGEST_FILE:
        return
    with path.open("rb") as file:
        parts = list(_between(_chunks(numbers, user_block), size))
        for first, last in parts:
            for start in _places(file, first, last):
                file.seek(start)
                length = int.from_bytes(file.read(_HEADER)[8:], "little")
                if _SMALLEST <= length <= size - start and not _walk_ends(
                    file.read(length - _HEADER)
                ):
                    raise FileFormatError(
                        f"{path} has a damaged string heap, on which HDF5 would hang;"
                        " get an undamaged copy"
                    )


def _chunks(dataset: h5py.Dataset | None, user_block: int) -> list[tuple[int, int]]:
    """Return where the chunks of a dataset begin and end in the file, in order."""
    if dataset is None or dataset.chunks is None:
        return []
    extents: list[tuple[int, int]] = []

    def add(chunk: h5py.h5d.StoreInfo) -> None:
        start = user_block + chunk.byte_offset
        extents.append((start, start + chunk.size))

    dataset.id.chunk_iter(add)
    return sorted(extents)


def _between(
    parts: list[tuple[int, int]], stop: int, start: int = 0
) -> Iterator[tuple[int, int]]:
    """Yield the gaps between stretches of a file."""
    position = start
    for first, last in [*parts, (stop, stop)]:
        if first > position:
            yield position, min(first, stop)
        position = max(position, last)


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


def _walk_ends(objects: bytes) -> bool:
    """Return whether HDF5's walk through the objects of a heap reaches its end.

    All walks are taken at once, from every word, by doubling their length: after k
    rounds, `place[i]` is where 2^k steps lead from word i::

        place = [1, 2, 4, 4, 4]  ->  place[place] = [2, 4, 4, 4, 4]  ->  ...
    """
    words = np.frombuffer(objects, "<u8", len(objects) // 8)
    n_words = len(words)
    # Free space states its length with the header, an object without, and its data are
    # padded to whole words. Lengths beyond the heap are cut, so that nothing overflows.
    sizes = np.minimum(words[1:], np.uint64(8 * n_words + 8)).astype(np.int64)
    is_free = words[:-1] & np.uint64(0xFFFF) == 0
    steps = np.where(is_free, sizes >> 3, 2 + (sizes + 7 >> 3))
    # Where fewer than two words are left, a walk has ended; a word more than there are
    # stands for all places beyond the heap.
    place = np.arange(n_words + 2)
    place[: len(steps)] += steps
    place = np.minimum(place, n_words + 1)
    for _ in range(n_words.bit_length()):
        place = place[place]
    return bool(n_words - 1 <= place[0] <= n_words)
