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
    "LateRows",
    "LateSpikeTimes",
    "column_data",
    "fill_late_data",
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
    """Data whose place is made with the file's objects, and which are written then."""

    def fill(self, claim: Claim) -> None:
        """Write them into `dataset`, which hdmf has made.

        `claim` is called with the number of bytes about to be written, where these are
        many.
        """
        raise NotImplementedError


class LateTexts(LateData):
    """A column of many strings: hdmf looks at each of them three times."""

    def __init__(self, texts: list[str]) -> None:
        super().__init__(shape=(len(texts),), dtype=h5py.string_dtype())
        self._texts = texts

    def fill(self, claim: Claim) -> None:  # noqa: ARG002
        """Write the strings, for which the margin of the tables has room."""
        self.dataset[...] = np.array(self._texts, object)


class LateSpikeTimes(LateData):
    """Spike times of all rows, packed chunk by chunk in threads."""

    def __init__(self, spikes: SpikeTimes, level: int | None) -> None:
        super().__init__(
            shape=(len(spikes),),
            dtype=np.dtype("float64"),
            chunks=(min(CHUNK, len(spikes)),),
            **_filters(level),
        )
        self._spikes, self._level = spikes, level

    def fill(self, claim: Claim) -> None:
        """Write the times."""
        write_spike_times(self.dataset, self._spikes, self._level, claim)


class LateRows(LateData):
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

    def __init__(
        self,
        shape: tuple[int, ...],
        dtype: npt.DTypeLike,
        level: int | None,
        blocks: Iterator[tuple[int, npt.NDArray[Any]]],
    ) -> None:
        rows = min(shape[0], rows_per_chunk(shape, dtype))
        super().__init__(
            shape=shape,
            dtype=np.dtype(dtype),
            chunks=(max(1, rows), *shape[1:]),
            **_filters(level),
        )
        self._blocks = blocks

    def fill(self, claim: Claim) -> None:
        """Write the blocks."""
        for first, rows in self._blocks:
            claim(rows.nbytes + 2 * _CHUNK_BYTES)
            self.dataset[first : first + len(rows)] = rows


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
            holder.data.fill(claim)


def column_data(cells: pd.Series, level: int | None) -> Any:
    """Cells of a column as pynwb takes them, packed with gzip of that level where they
    are many.
    """
    if cells.dtype == "str":
        texts = cells.to_list()
        return texts if len(texts) < _MANY_TEXTS else LateTexts(texts)
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
