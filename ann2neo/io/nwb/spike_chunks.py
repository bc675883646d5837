"""Spike times as HDF5 chunks, compressed and decompressed in threads.

HDF5 runs its filters in one thread, under one lock. Here, threads shuffle and deflate
the chunks, and HDF5 only stores the bytes as they are (``write_direct_chunk``)::

    bits --> times of a chunk --> bytes shuffled --> deflated --> HDF5
             `------------- one thread per chunk -----------'     in order

The file is no different from one that HDF5 itself compressed with the filters shuffle
and gzip, and any HDF5 library reads it. Reading is the same way back.
"""

from __future__ import annotations

import importlib
import threading
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import h5py
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
"""Number of spike times in a chunk, one megabyte.

Larger chunks would not fit HDF5's default cache, and programs that read unit by unit
would decompress them again for each unit.
"""

_FAST_LEVEL = 2
"""The level at which isal replaces zlib: five times faster, files 5 % larger."""
# Numbers of HDF5's filters.
_GZIP, _SHUFFLE = 1, 2
_CELLS = 1 << 20
"""Bins of the rows that are unpacked together."""
_BLOCK = 1 << 14
"""Spike times converted at once; they stay in a core's cache."""


def checked_compression(compression: str | int | None) -> int | None:
    """Return the level of gzip for an argument `compression`, None for no compression.

    Raises
    ------
    InputValueError
        If it is not "gzip", a level from 1 to 9, or None.
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
    """Spike times of all rows as one long array, of which only chunks are computed.

    Parameters
    ----------
    raster : SpikeRaster
        The spikes.
    rows : array_like of int, shape (n_rows, 3)
        Unit, first bin and bin after the last of each row, in the order of the array.

    Attributes
    ----------
    ends : ndarray of int64, shape (n_rows,)
        Where each row ends in the array.
    """

    def __init__(self, raster: SpikeRaster, rows: npt.ArrayLike) -> None:
        self._raster = raster
        # Reshaped, since the array of an empty list has one axis only.
        self._rows = np.asarray(rows, np.int64).reshape(-1, 3)
        # Counts of all units before each different edge, from one pass over the bits.
        unit, *bounds = self._rows.T
        edges = np.unique(bounds)
        before = raster.cumulative_counts(edges)
        start, stop = np.searchsorted(edges, bounds)
        self.ends = np.cumsum(before[unit, stop] - before[unit, start])

    def __len__(self) -> int:
        """Return the number of spikes."""
        return int(self.ends[-1]) if len(self.ends) else 0

    def chunk(self, first: int, last: int) -> npt.NDArray[np.float64]:
        """Return the spike times ``first .. last - 1`` of the array, in s."""
        # The rows that share spikes with the chunk, each cut to it:
        #
        #     rows     |   0   |     1     | 2 |    3     |
        #     chunk          [first ............ last)
        # Row r holds the entries ends[r - 1] .. ends[r] - 1, none if both are equal.
        first_row = int(np.searchsorted(self.ends, first, side="right"))
        last_row = int(np.searchsorted(self.ends, last, side="left"))
        begin = first - (int(self.ends[first_row - 1]) if first_row else 0)
        rows = self._rows[first_row : last_row + 1]
        # Short trains together, and only so many that they are small when unpacked.
        together = max(1, _CELLS // self._raster.n_time_bins)
        blocks = np.split(rows, range(together, len(rows), together))
        bins = np.concatenate([self._bins_of(block) for block in blocks])
        times: npt.NDArray[np.float64] = self._raster.spike_time_seconds(
            bins[begin : begin + last - first]
        )
        return times

    def _bins_of(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the bins of the spikes of some rows, one row after another."""
        unit, start, stop = rows.T
        n_spikes, bins = self._raster._spike_bins_of(unit)
        if (start == 0).all() and (stop == self._raster.n_time_bins).all():
            return bins
        start, stop = np.repeat(start, n_spikes), np.repeat(stop, n_spikes)
        return bins[(bins >= start) & (bins < stop)]


def write_spike_times(
    dataset: h5py.Dataset,
    spikes: SpikeTimes,
    level: int | None,
    claim: Callable[[int], None],
    done: Callable[[int], Any],
) -> None:
    """Write spike times to an empty dataset, chunk by chunk.

    Parameters
    ----------
    dataset : h5py.Dataset of float64, shape (n_spikes,)
        Chunked, with the filters shuffle and gzip where `level` is given.
    spikes : SpikeTimes
        The spike times.
    level : int or None
        Level of gzip; None for no compression.
    claim : function of int
        Called before each write, with its number of bytes.
    done : function of int
        Called after each write, with its number of bytes before compression.
    """
    length = dataset.chunks[0]

    def packed(first: int) -> tuple[int, bytes]:
        times = spikes.chunk(first, min(first + length, len(spikes)))
        if len(times) < length:
            # HDF5 stores whole chunks: the last one is filled up with zeros.
            times = np.pad(times, (0, length - len(times)))
        if level is None:
            return first, times.tobytes()
        return first, _deflated(_shuffled(times), level)

    for first, data in map_blocks(packed, range(0, len(spikes), length)):
        claim(len(data))
        dataset.id.write_direct_chunk((first,), data)
        done(8 * min(length, len(spikes) - first))


def read_spike_times(
    dataset: h5py.Dataset,
    counts: npt.NDArray[np.int64],
    raster: SpikeRaster,
    bits: npt.NDArray[np.uint8],
    position: float,
) -> None:
    """Set the bits of the spikes of a dataset that `write_spike_times` filled.

    Parameters
    ----------
    dataset : h5py.Dataset of float64, shape (n_spikes,)
        Spike times in s.
    counts : ndarray of int64, shape (n_rows,)
        Number of spikes of each row; row i belongs to unit ``i % len(bits)``.
    raster : SpikeRaster
        Its number of bins, ``t_start`` and ``sampling_period`` are used.
    bits : ndarray of uint8, shape (n_units, n_bytes)
        Zeros to set bits in.
    position : float
        Where spikes lie in their bins, in bins.

    Raises
    ------
    FileFormatError
        If a time is not exactly the spike time of a bin, or a chunk is damaged.
    """
    length = dataset.chunks[0] if dataset.chunks else CHUNK
    total, n_bytes = len(dataset), -(-raster.n_time_bins // 8)
    is_direct = _has_our_filters(dataset)
    ends = np.cumsum(counts)
    # Short trains together, but none of a unit twice.
    together = max(1, min(len(bits), _CELLS // raster.n_time_bins))
    # A row may span chunks, and rows of one unit may be in several: two threads may set
    # bits of the same unit.
    lock = threading.Lock()

    # HDF5 reads in the calling thread, `place` runs in the others.
    def raw() -> Iterator[tuple[int, Any]]:
        for first in range(0, total, length):
            if not is_direct:
                yield first, dataset[first : first + length]
                continue
            skipped_filters, data = dataset.id.read_direct_chunk((first,))
            if skipped_filters:
                raise FileFormatError(
                    "a chunk of spike times was written without its filters; get"
                    " another copy"
                )
            yield first, data

    def place(item: tuple[int, Any]) -> None:
        first, data = item
        planes = _inflated(data, length) if is_direct else None
        # Without the zeros that fill up the last chunk.
        bins = np.empty(min(length, total - first), np.int64)
        for begin in range(0, len(bins), _BLOCK):
            block = slice(begin, min(begin + _BLOCK, len(bins)))
            times = data[block] if planes is None else _unshuffled(planes[:, block])
            bins[block] = _exact_bins(times, raster, position)
        # Spikes first .. last - 1 belong to one row after another.
        first_row = int(np.searchsorted(ends, first, side="right"))
        last_row = int(np.searchsorted(ends, first + len(bins), side="left"))
        stops = np.minimum(ends[first_row : last_row + 1] - first, len(bins))
        n_spikes = np.diff(stops, prepend=0)
        for begin in range(0, len(stops), together):
            block = slice(begin, begin + together)
            row = np.arange(len(stops[block]))
            own = bins[stops[begin] - n_spikes[begin] : stops[block][-1]]
            spiked = np.zeros((len(row), 8 * n_bytes), np.bool_)
            # Places in the flat array, which are set faster than pairs of indices.
            own += np.repeat(row * spiked.shape[1], n_spikes[block])
            spiked.reshape(-1)[own] = True
            packed = np.packbits(spiked, axis=1, bitorder="little")
            unit = (first_row + begin + row) % len(bits)
            with lock:
                bits[unit, :n_bytes] |= packed

    for _ in map_blocks(place, raw()):
        pass


def _exact_bins(
    times: npt.NDArray[np.float64], raster: SpikeRaster, position: float
) -> npt.NDArray[np.int64]:
    """Return the bins of spike times, or raise if one is not a bin's spike time."""
    start, period = raster.t_start_seconds, raster.sampling_period_seconds
    # The time of bin i is start + (i + position) * period. Moved to the middle of the
    # bin, truncating is safe whatever the rounding, and faster than rounding; the
    # result is checked below.
    first = 0.5 - position - start / period
    with np.errstate(invalid="ignore"):
        bins = (times * (1.0 / period) + first).astype(np.int64)
    inside = len(bins) == 0 or (bins.min() >= 0 and bins.max() < raster.n_time_bins)
    if not inside or not np.array_equal(start + (bins + position) * period, times):
        raise FileFormatError(
            f"a spike time lies elsewhere than {position:g} of the way through a bin of"
            " the recording, so the file was changed or damaged; get an undamaged copy"
        )
    return bins


def _shuffled(times: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    """Reorder the bytes of values: all first bytes, then all second ones, and so on."""
    # Neighbouring times share sign, exponent and leading digits, so that deflate finds
    # long runs of equal bytes.
    return np.ascontiguousarray(times.view(np.uint8).reshape(-1, 8).T)


def _deflated(data: npt.NDArray[np.uint8], level: int) -> bytes:
    if isal_zlib is not None and level == _FAST_LEVEL:
        return bytes(isal_zlib.compress(data, level))
    return zlib.compress(data.data, level)


def _inflated(data: bytes, length: int) -> npt.NDArray[np.uint8]:
    """Return the bytes of a chunk's times, still shuffled, shape (8, length)."""
    try:
        if isal_zlib is not None:
            plain = isal_zlib.decompress(data, bufsize=8 * length)
        else:
            plain = zlib.decompress(data)
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
    #     planes  (8, n)    row k: byte k of every time
    #     times   (n, 8)    row i: the eight bytes of time i
    times = np.empty((planes.shape[1], 8), np.uint8)
    for byte in range(8):
        times[:, byte] = planes[byte]
    return times.view("<f8").reshape(-1)


def _has_our_filters(dataset: h5py.Dataset) -> bool:
    """Return whether chunks are float64 with the filters shuffle and gzip in turn."""
    if dataset.chunks is None or dataset.dtype != np.dtype("<f8"):
        return False
    properties = dataset.id.get_create_plist()
    filters = [properties.get_filter(i)[0] for i in range(properties.get_nfilters())]
    return filters == [_SHUFFLE, _GZIP]
