"""Spike times as HDF5 chunks: shuffled and deflated in threads, and handed to HDF5 as
they are.

The result is ordinary gzip behind the shuffle filter, which any HDF5 reads; only the
way there is short.
"""

from __future__ import annotations

import importlib
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from ann2neo._parallel import map_blocks
from ann2neo.errors import FileFormatError, InputValueError
from ann2neo.raster import SpikeRaster

try:
    isal_zlib: Any = importlib.import_module("isal.isal_zlib")
except ImportError:  # the extra "fast" is not installed
    isal_zlib = None
_ISAL_ERRORS = () if isal_zlib is None else (isal_zlib.error,)

__all__ = [
    "CHUNK",
    "SpikeTimes",
    "checked_compression",
    "read_spike_times",
    "write_spike_times",
]

CHUNK = 1 << 17
"""Spike times in a chunk: one megabyte, the most that HDF5's cache holds when others
read unit by unit.
"""

_FAST_LEVEL = 2
"""The one level that isal makes, five times faster than zlib and 5 % larger."""
_GZIP, _SHUFFLE = 1, 2
_BLOCK = 1 << 14


def checked_compression(compression: Any) -> int | None:
    """Level of gzip to write with: ``_FAST_LEVEL`` for "gzip", None for no compression.

    Raises
    ------
    InputValueError
        If it is none of "gzip", 1 .. 9 and None.
    """
    if compression == "gzip":
        return _FAST_LEVEL
    if compression is None:
        return None
    if (
        isinstance(compression, int)
        and not isinstance(compression, bool)
        and 1 <= compression <= 9
    ):
        return compression
    raise InputValueError(
        "compression must be 'gzip' (fast), a level of gzip from 1 to 9 (smaller,"
        f" slower) or None, got {compression!r}"
    )


class SpikeTimes:
    """Times of rows of spikes as one long array that never exists as a whole.

    Parameters
    ----------
    raster : SpikeRaster
        The spikes.
    rows : sequence of (int, int, int)
        Unit, first bin and bin after the last of each row, in the order of the array.
    """

    def __init__(
        self, raster: SpikeRaster, rows: Iterable[tuple[int, int, int]]
    ) -> None:
        self._raster, self._rows = raster, list(rows)
        edges = np.unique([edge for _, *both in self._rows for edge in both]).astype(
            np.int64
        )
        before = raster.cumulative_counts(edges)
        place = {int(edge): i for i, edge in enumerate(edges)}
        counts = [
            before[unit, place[stop]] - before[unit, place[start]]
            for unit, start, stop in self._rows
        ]
        self.ends = np.cumsum(np.asarray(counts, np.int64))

    def __len__(self) -> int:
        """Number of spikes."""
        return int(self.ends[-1]) if len(self.ends) else 0

    def chunk(self, first: int, last: int) -> npt.NDArray[np.float64]:
        """Spike times ``first .. last - 1`` of the array, in s."""
        times = np.empty(last - first, np.float64)
        begin = int(np.searchsorted(self.ends, first, side="right"))
        for row in range(begin, int(np.searchsorted(self.ends, last, side="left")) + 1):
            row_start = int(self.ends[row - 1]) if row else 0
            if self.ends[row] == row_start:
                continue
            unit, start, stop = self._rows[row]
            bins = self._raster.spike_bins(unit)
            if (start, stop) != (0, self._raster.n_time_bins):
                bins = bins[np.searchsorted(bins, start) : np.searchsorted(bins, stop)]
            here = slice(max(first, row_start), min(last, int(self.ends[row])))
            bins = bins[here.start - row_start : here.stop - row_start]
            times[here.start - first : here.stop - first] = (
                self._raster.spike_time_seconds(bins)
            )
        return times


def write_spike_times(
    dataset: Any, spikes: SpikeTimes, level: int | None, claim: Callable[[int], None]
) -> None:
    """Fill a preallocated dataset.

    Parameters
    ----------
    dataset : h5py.Dataset of float64, shape (n_spikes,)
        Chunked, with the filters shuffle and gzip where `level` is given.
    spikes : SpikeTimes
        What to write.
    level : int or None
        Level of gzip; None for no compression.
    claim : function of int
        Called with the number of bytes about to be written.
    """
    length = dataset.chunks[0]

    def packed(first: int) -> tuple[int, bytes]:
        times = spikes.chunk(first, min(first + length, len(spikes)))
        if len(times) < length:
            times = np.concatenate([times, np.zeros(length - len(times))])
        if level is None:
            return first, times.tobytes()
        return first, _deflated(_shuffled(times), level)

    for first, data in map_blocks(packed, range(0, len(spikes), length)):
        claim(len(data))
        dataset.id.write_direct_chunk((first,), data)


def read_spike_times(
    dataset: Any,
    counts: npt.NDArray[np.int64],
    raster: SpikeRaster,
    bits: npt.NDArray[np.uint8],
) -> None:
    """Set the bits of the spikes of a dataset that `write_spike_times` filled.

    Parameters
    ----------
    dataset : h5py.Dataset of float64, shape (n_spikes,)
        Spike times in s.
    counts : ndarray of int64, shape (n_rows,)
        Number of spikes of each row; row i is of the unit ``i % len(bits)``.
    raster : SpikeRaster
        Gives number of bins, ``t_start`` and ``sampling_period``.
    bits : ndarray of uint8, shape (n_units, n_bytes)
        Zeros to set bits in.

    Raises
    ------
    FileFormatError
        If a time is not exactly where a bin of the raster has its spike, or a chunk is
        damaged.
    """
    length = dataset.chunks[0] if dataset.chunks else CHUNK
    total, n_bytes = len(dataset), -(-raster.n_time_bins // 8)
    direct = _is_ours(dataset)
    ends = np.cumsum(counts)
    one_at_a_time = threading.Lock()

    def raw() -> Iterator[tuple[int, Any]]:
        for first in range(0, total, length):
            if not direct:
                yield first, dataset[first : first + length]
                continue
            mask, data = dataset.id.read_direct_chunk((first,))
            if mask:
                raise FileFormatError(
                    "a chunk of spike times was written without its filters; get"
                    " another copy"
                )
            yield first, data

    def place(item: tuple[int, Any]) -> None:
        first, data = item
        planes = _inflated(data, length) if direct else None
        bins = np.empty(min(length, total - first), np.int64)
        # In blocks that stay in a core's cache.
        for begin in range(0, len(bins), _BLOCK):
            block = slice(begin, min(begin + _BLOCK, len(bins)))
            times = data[block] if planes is None else _unshuffled(planes[:, block])
            bins[block] = _exact_bins(times, raster)
        last = first + len(bins)
        start = first
        for row in range(int(np.searchsorted(ends, first, side="right")), len(ends)):
            stop = min(last, int(ends[row]))
            if stop > start:
                spiked = np.zeros(8 * n_bytes, np.bool_)
                spiked[bins[start - first : stop - first]] = True
                packed = np.packbits(spiked, bitorder="little")
                with one_at_a_time:
                    bits[row % len(bits), :n_bytes] |= packed
            start = stop
            if stop == last:
                break

    for _ in map_blocks(place, raw()):
        pass


def _exact_bins(
    times: npt.NDArray[np.float64], raster: SpikeRaster
) -> npt.NDArray[np.int64]:
    since_start = times - raster.t_start_seconds if raster.t_start_seconds else times
    with np.errstate(invalid="ignore"):
        # A quarter of the way through its bin, a spike is far from where cutting off
        # would go wrong.
        bins = (since_start * (1.0 / raster.sampling_period_seconds)).astype(np.int64)
    inside = len(bins) == 0 or (bins.min() >= 0 and bins.max() < raster.n_time_bins)
    if not inside or not np.array_equal(raster.spike_time_seconds(bins), times):
        raise FileFormatError(
            "a spike time lies elsewhere than a quarter of the way through a bin of the"
            " recording, so the file was changed or damaged; get an undamaged copy"
        )
    return bins


def _shuffled(times: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    """First bytes of all values, then all second bytes, and so on."""
    return np.ascontiguousarray(times.view(np.uint8).reshape(-1, 8).T)


def _deflated(data: npt.NDArray[np.uint8], level: int) -> bytes:
    if isal_zlib is not None and level == _FAST_LEVEL:
        return bytes(isal_zlib.compress(data, level))
    return zlib.compress(data, level)


def _inflated(data: bytes, length: int) -> npt.NDArray[np.uint8]:
    """Bytes of the times of a chunk, still shuffled, shape (8, length)."""
    try:
        plain = (
            isal_zlib.decompress(data, bufsize=8 * length)
            if isal_zlib is not None
            else zlib.decompress(data)
        )
    except (zlib.error, ValueError, *_ISAL_ERRORS) as error:
        raise FileFormatError(
            f"a chunk of spike times is damaged ({error}); get an undamaged copy"
        ) from error
    if len(plain) != 8 * length:
        raise FileFormatError(
            f"a chunk of spike times holds {len(plain)} bytes instead of {8 * length};"
            " get an undamaged copy"
        )
    return np.frombuffer(plain, np.uint8).reshape(8, length)


def _unshuffled(planes: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    times = np.empty((planes.shape[1], 8), np.uint8)
    for byte in range(8):
        times[:, byte] = planes[byte]
    return times.view("<f8").reshape(-1)


def _is_ours(dataset: Any) -> bool:
    """Whether the chunks are float64 behind shuffle and gzip, in that order, so that we
    may undo both ourselves.
    """
    if dataset.chunks is None or dataset.dtype != np.dtype("<f8"):
        return False
    plist = dataset.id.get_create_plist()
    filters = [plist.get_filter(i)[0] for i in range(plist.get_nfilters())]
    return filters == [_SHUFFLE, _GZIP]
