"""Data of an NWB file's objects: packed, or filled in when the file has them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pandas as pd
from hdmf.backends.hdf5.h5_utils import H5DataIO

from ann2neo.io.nwb.spike_chunks import CHUNK, SpikeTimes, write_spike_times

__all__ = [
    "column_data",
    "fill_late_data",
    "late_rows",
    "late_spike_times",
    "packed",
    "rows_per_chunk",
]

_MANY_TEXTS = 1000
_CHUNK_BYTES = 1 << 20

Claim = Callable[[int], None]


def _filters(level: int | None) -> dict[str, Any]:
    """Filters that pack with gzip of a level; none for None."""
    if level is None:
        return {}
    return {"compression": "gzip", "compression_opts": level, "shuffle": True}


class LateData(H5DataIO):  # type: ignore[misc]
    """Data whose place is made with the file's objects, and which are written then.

    Parameters
    ----------
    fill : function of an h5py.Dataset and a function
        Writes the data into the dataset that hdmf has made. The function it is given is
        to be called with the number of bytes about to be written, where these are many.
    options
        Shape, dtype, chunks and filters of the dataset.
    """

    def __init__(self, fill: Callable[[Any, Claim], None], **options: Any) -> None:
        super().__init__(**options)
        self.fill = fill


def late_spike_times(spikes: SpikeTimes, level: int | None) -> LateData:
    """Spike times of all rows, which are packed chunk by chunk in threads."""

    def fill(dataset: Any, claim: Claim) -> None:
        write_spike_times(dataset, spikes, level, claim)

    shape, chunks = (len(spikes),), (min(CHUNK, len(spikes)),)
    kind = np.dtype("float64")
    return LateData(fill, shape=shape, dtype=kind, chunks=chunks, **_filters(level))


def late_rows(
    shape: tuple[int, ...],
    dtype: npt.DTypeLike,
    level: int | None,
    blocks: Iterator[tuple[int, npt.NDArray[Any]]],
) -> LateData:
    """Rows of an array that come in blocks.

    Parameters
    ----------
    shape, dtype
        Of the whole array.
    level : int or None
        Level of gzip; None for no compression.
    blocks : iterator of (int, ndarray)
        First row and rows, in turn.
    """

    def fill(dataset: Any, claim: Claim) -> None:
        for first, rows in blocks:
            claim(rows.nbytes + 2 * _CHUNK_BYTES)
            dataset[first : first + len(rows)] = rows

    kind = np.dtype(dtype)
    chunks = (max(1, min(shape[0], rows_per_chunk(shape, kind))), *shape[1:])
    return LateData(fill, shape=shape, dtype=kind, chunks=chunks, **_filters(level))


def _late_texts(texts: list[str]) -> LateData:
    """Many strings, at each of which hdmf would look three times.

    The margin that is claimed for tables has room for them.
    """

    def fill(dataset: Any, _: Claim) -> None:
        dataset[...] = np.array(texts, object)

    return LateData(fill, shape=(len(texts),), dtype=h5py.string_dtype())


def rows_per_chunk(shape: tuple[int, ...], dtype: npt.DTypeLike) -> int:
    """Rows of an array in a chunk of a megabyte, at least one."""
    row_bytes = int(np.prod(shape[1:])) * np.dtype(dtype).itemsize
    return max(1, _CHUNK_BYTES // max(1, row_bytes))


def fill_late_data(holders: Iterable[Any], claim: Claim) -> None:
    """Fill the `LateData` among the data of columns and series, in their order, once
    these are in the file.
    """
    for holder in holders:
        if isinstance(holder.data, LateData):
            holder.data.fill(holder.data.dataset, claim)


def column_data(cells: pd.Series, level: int | None) -> Any:
    """Cells of a column as pynwb takes them, packed with gzip of that level where they
    are many.
    """
    if cells.dtype == "str":
        texts = cells.to_list()
        return texts if len(texts) < _MANY_TEXTS else _late_texts(texts)
    values = cells.to_numpy()
    is_integer = values.dtype.kind == "i" and len(values)
    if is_integer and values.min() == 0 and values.max() == 1:
        # Numbers that happen to be 0 and 1 only; as int8, nobody takes them for flags
        # in too wide a type.
        values = values.astype(np.int8)
    return packed(values, level)


def packed(values: npt.NDArray[Any], level: int | None) -> Any:
    """Values as pynwb takes them, packed with gzip of a level where they are many."""
    if level is None or values.nbytes < CHUNK:
        return values
    return H5DataIO(values, **_filters(level))
