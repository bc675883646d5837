"""Data of the objects in an NWB file: compressed, or written after the objects are."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pandas as pd
from hdmf.backends.hdf5.h5_utils import H5DataIO

from ann2neo._files import errors_kept
from ann2neo.io.nwb.spike_chunks import CHUNK, SpikeTimes, write_spike_times

__all__ = [
    "column_data",
    "fill_late_data",
    "late_bytes",
    "late_data",
    "late_rows",
    "late_spike_times",
    "packed",
    "rows_per_chunk",
]

_MANY_TEXTS = 1000
_CHUNK_BYTES = 1 << 20

Claim = Callable[[int], None]
Done = Callable[[int], Any]


def _filters(level: int | None) -> dict[str, Any]:
    """Return h5py's options for gzip of a level, none for None."""
    # Shuffled, all first bytes of the values stand together, then all second ones: they
    # resemble each other, so that gzip packs them better.
    if level is None:
        return {}
    return {"compression": "gzip", "compression_opts": level, "shuffle": True}


class LateData(H5DataIO):  # type: ignore[misc]
    """Data for which hdmf makes an empty dataset that is filled later.

    Parameters
    ----------
    fill : function of an h5py.Dataset and two functions
        Writes the data to the dataset. Before each large write it calls the first
        function with the number of bytes, after it the second with the number of bytes
        before compression.
    options
        Shape, dtype, chunks and filters of the dataset.
    """

    def __init__(
        self, fill: Callable[[h5py.Dataset, Claim, Done], None], **options: Any
    ) -> None:
        super().__init__(**options)
        self.fill = fill


def late_spike_times(spikes: SpikeTimes, level: int | None) -> LateData:
    """Return the spike times of all rows, compressed later, chunk by chunk."""
    return LateData(
        lambda dataset, *tell: write_spike_times(dataset, spikes, level, *tell),
        shape=(len(spikes),),
        dtype=np.dtype("float64"),
        chunks=(min(CHUNK, len(spikes)),),
        **_filters(level),
    )


def late_rows(
    shape: tuple[int, ...],
    dtype: npt.DTypeLike,
    level: int | None,
    blocks: Iterator[tuple[int, npt.NDArray[Any]]],
) -> LateData:
    """Return the rows of an array that is written later, block by block.

    Parameters
    ----------
    shape, dtype
        Of the whole array.
    level : int or None
        Level of gzip; None for no compression.
    blocks : iterator of (int, ndarray)
        Index of the first row, and the rows, of each block in order.
    """

    def fill(dataset: h5py.Dataset, claim: Claim, done: Done) -> None:
        for first, rows in errors_kept(blocks):
            # Rows may begin and end inside chunks, which HDF5 writes whole.
            claim(rows.nbytes + 2 * _CHUNK_BYTES)
            dataset[first : first + len(rows)] = rows
            done(rows.nbytes)

    kind = np.dtype(dtype)
    chunks = (max(1, min(shape[0], rows_per_chunk(shape, kind))), *shape[1:])
    return LateData(fill, shape=shape, dtype=kind, chunks=chunks, **_filters(level))


def rows_per_chunk(shape: tuple[int, ...], dtype: npt.DTypeLike) -> int:
    """Return how many rows of an array fill a chunk of one megabyte, at least one."""
    row_bytes = int(np.prod(shape[1:])) * np.dtype(dtype).itemsize
    return max(1, _CHUNK_BYTES // max(1, row_bytes))


def late_data(holders: Iterable[Any]) -> list[LateData]:
    """Return the data of columns and series that are filled when these are written."""
    return [holder.data for holder in holders if isinstance(holder.data, LateData)]


def fill_late_data(late: Iterable[LateData], claim: Claim, done: Done) -> None:
    """Write such data to the file that has its empty datasets, in order."""
    for data in late:
        data.fill(data.dataset, claim, done)


def late_bytes(late: Iterable[LateData]) -> int:
    """Return how many bytes of numbers, before compression, will be filled in."""
    return sum(
        math.prod(data.shape) * data.dtype.itemsize
        for data in late
        if data.dtype.kind != "O"
    )


def column_data(cells: pd.Series, level: int | None) -> Any:
    """Return the cells of a column for pynwb, compressed if there are many."""
    if cells.dtype == "str":
        texts = cells.to_list()
        if len(texts) < _MANY_TEXTS:
            return texts

        # hdmf would look at each of the strings three times. The space claimed for
        # tables has room for them, so that nothing more is claimed.
        def fill(dataset: h5py.Dataset, *_: Any) -> None:
            dataset[...] = np.array(texts, object)

        return LateData(fill, shape=(len(texts),), dtype=h5py.string_dtype())
    values = cells.to_numpy()
    is_integer = values.dtype.kind == "i" and len(values)
    if is_integer and values.min() == 0 and values.max() == 1:
        # Integers that happen to be 0 and 1 only. As int8, the NWB Inspector does not
        # take them for booleans in too wide a type.
        values = values.astype(np.int8)
    return packed(values, level)


def packed(values: npt.NDArray[Any], level: int | None) -> Any:
    """Return values for pynwb, compressed with gzip if they fill a chunk."""
    if level is None or values.nbytes < CHUNK:
        return values
    return H5DataIO(values, **_filters(level))
