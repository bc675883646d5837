"""SpikeRaster: which unit spiked in which time bin, at one bit per cell."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import quantities as pq

from ann2neo._checks import fifteen_digits, seconds
from ann2neo.errors import InputTypeError, InputValueError
from ann2neo.raster.bits import (
    DENSE_BYTES,
    UINT16_WORDS,
    WORD_BITS,
    add_bits,
    bin_mask,
    clear_padding,
    or_words_at,
    padding_is_clear,
    row_bytes,
    set_bits,
    shifted_down,
)
from ann2neo.raster.joint import joint_counts
from ann2neo.raster.spike_times import SPIKE_POSITION

__all__ = ["SpikeRaster", "as_index", "is_sparse"]

_FEW_SPIKES = 16
"""From so many bins per spike on, going by spikes is faster than going by bins."""
_CACHE_BYTES = 1 << 18
"""Bytes of bits that fit a core's cache together with their shifted copy."""

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


class SpikeRaster:
    """Spikes of units in time bins: an immutable binary matrix, one bit per cell.

    The axes are (unit, time_bin). Build one with `from_dense`, `from_packed`,
    `from_spike_bins` or a `RasterBuilder`.

    Parameters
    ----------
    bits : ndarray of uint8, shape (n_units, n_bytes), or function that returns it
        Bits packed along time, first bin in the lowest bit, rows zero-padded to a
        multiple of eight bytes. May be a memory map. A function is called once, when
        the bits are first needed.
    n_units, n_time_bins : int
        Shape of the raster.
    sampling_period : quantities.Quantity, time
        Length of a time bin.
    t_start : quantities.Quantity, time, optional
        Left edge of the first bin; 0 s if not given.

    Raises
    ------
    InputTypeError, InputValueError
        If `sampling_period` or `t_start` is not a time, the period is not positive, or
        the shape does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> raster = SpikeRaster.from_dense(np.array([[1, 0, 1], [0, 0, 1]], dtype=bool))
    >>> raster.spike_counts()
    array([2, 1])
    >>> raster.t_stop
    array(3.) * ms
    """

    __slots__ = ("_n_time_bins", "_n_units", "_period", "_source", "_start", "_trains")

    def __init__(
        self,
        bits: npt.NDArray[np.uint8] | Callable[[], npt.NDArray[np.uint8]],
        n_units: int,
        n_time_bins: int,
        *,
        sampling_period: pq.Quantity = 1 * pq.ms,
        t_start: pq.Quantity | None = None,
    ) -> None:
        self._period = seconds(sampling_period, "sampling_period", positive=True)
        self._start = 0.0 if t_start is None else seconds(t_start, "t_start")
        if n_units < 0 or n_time_bins < 0:
            raise InputValueError(
                "n_units and n_time_bins must be 0 or more, got"
                f" ({n_units}, {n_time_bins}); pass the shape of the raster"
            )
        self._n_units, self._n_time_bins = int(n_units), int(n_time_bins)
        # The bits, or the function that loads them.
        self._source = bits if callable(bits) else self._checked(bits)
        # The bins of each unit's spikes, where they are kept beside the bits.
        self._trains: tuple[IntArray, ...] | None = None

    def _checked(self, bits: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        expected = (self._n_units, row_bytes(self._n_time_bins))
        if bits.dtype != np.uint8 or bits.shape != expected:
            raise InputValueError(
                f"packed bits must be uint8 of shape {expected}, got {bits.dtype} of"
                f" shape {bits.shape}; use SpikeRaster.from_packed or from_dense"
            )
        if not padding_is_clear(bits, self._n_time_bins):
            raise InputValueError(
                f"packed bits beyond the last of {self._n_time_bins} bins must be 0;"
                " use SpikeRaster.from_packed, which clears them"
            )
        # A view, so that freezing it does not freeze the caller's array.
        frozen = bits.view()
        frozen.flags.writeable = False
        return frozen

    # -- construction
    # ----------------------------------------------------------------------------------

    @classmethod
    def from_dense(
        cls,
        dense: npt.ArrayLike,
        *,
        sampling_period: pq.Quantity = 1 * pq.ms,
        t_start: pq.Quantity | None = None,
    ) -> Self:
        """Pack a matrix of zeros and ones.

        Parameters
        ----------
        dense : array_like of bool or 0/1, shape (n_units, n_time_bins)
            True where a unit spiked.
        sampling_period, t_start : quantities.Quantity, time
            As in `SpikeRaster`.

        Returns
        -------
        SpikeRaster
            The packed raster.

        Raises
        ------
        InputValueError
            If `dense` is not two-dimensional or holds anything but 0 and 1.

        Examples
        --------
        >>> SpikeRaster.from_dense([[True, False, True]]).n_time_bins
        3
        """
        array = np.asarray(dense)
        if array.ndim != 2:
            raise InputValueError(
                "a raster has the axes (unit, time_bin), got an array of shape"
                f" {array.shape}; add the missing axis with array[np.newaxis, :]"
            )
        if array.dtype != np.bool_:
            if array.size and not np.isin(array, (0, 1)).all():
                raise InputValueError(
                    "a raster holds only 0 and 1 (at most one spike per bin); threshold"
                    " activations first, for example with Recording.from_activations"
                )
            array = array.astype(np.bool_)
        return cls.from_packed(
            np.packbits(array, axis=1, bitorder="little"),
            array.shape[1],
            sampling_period=sampling_period,
            t_start=t_start,
        )

    @classmethod
    def from_packed(
        cls,
        packed: npt.NDArray[np.uint8],
        n_time_bins: int,
        *,
        sampling_period: pq.Quantity = 1 * pq.ms,
        t_start: pq.Quantity | None = None,
    ) -> Self:
        """Build a raster from rows packed along time.

        Parameters
        ----------
        packed : ndarray of uint8, shape (n_units, ceil(n_time_bins / 8))
            Rows as ``np.packbits(dense, axis=1, bitorder="little")`` returns them.
        n_time_bins : int
            Number of bins; bits beyond it are ignored.
        sampling_period, t_start : quantities.Quantity, time
            As in `SpikeRaster`.

        Returns
        -------
        SpikeRaster
            The raster, which holds a copy of the bits.

        Raises
        ------
        InputValueError
            If the length of the rows does not fit `n_time_bins`.
        """
        packed = np.asarray(packed)
        n_bytes = -(-n_time_bins // 8)
        if packed.dtype != np.uint8 or packed.ndim != 2 or packed.shape[1] != n_bytes:
            raise InputValueError(
                f"packed bits of {n_time_bins} bins must be uint8 of shape (n_units,"
                f" {n_bytes}), got {packed.dtype} of shape {packed.shape}; pack along"
                " time"
            )
        bits = np.zeros((len(packed), row_bytes(n_time_bins)), np.uint8)
        bits[:, :n_bytes] = packed
        clear_padding(bits, n_time_bins)
        return cls(
            bits,
            len(packed),
            n_time_bins,
            sampling_period=sampling_period,
            t_start=t_start,
        )

    @classmethod
    def from_spike_bins(
        cls,
        spike_bins: Sequence[npt.ArrayLike],
        n_time_bins: int,
        *,
        sampling_period: pq.Quantity = 1 * pq.ms,
        t_start: pq.Quantity | None = None,
    ) -> Self:
        """Build a raster from the bins in which each unit spiked.

        Parameters
        ----------
        spike_bins : sequence of array_like of int, one per unit
            Bins with a spike, in any order; repeats count once.
        n_time_bins : int
            Number of bins.
        sampling_period, t_start : quantities.Quantity, time
            As in `SpikeRaster`.

        Returns
        -------
        SpikeRaster
            The raster.

        Raises
        ------
        InputValueError
            If a bin lies outside 0 .. n_time_bins - 1.

        Examples
        --------
        >>> SpikeRaster.from_spike_bins([[0, 2], []], 4).spike_counts()
        array([2, 0])
        """
        trains = tuple(np.array(bins, np.int64) for bins in spike_bins)
        for unit, bins in enumerate(trains):
            if bins.size and (bins.min() < 0 or bins.max() >= n_time_bins):
                raise InputValueError(
                    f"spike bins of unit {unit} run from {bins.min()} to"
                    f" {bins.max()}, outside 0 .. {n_time_bins - 1}; raise n_time_bins"
                    " or drop those spikes"
                )
        sparse = is_sparse(sum(map(len, trains)), len(trains), n_time_bins)
        if sparse:
            trains = tuple(map(_ascending, trains))
            # The bits are made when they are first needed: what goes by spikes, as
            # statistics of intervals do, needs none.
            bits: Any = partial(_scattered, trains, n_time_bins)
        else:
            bits = _packed(trains, n_time_bins)
        raster = cls(
            bits,
            len(trains),
            n_time_bins,
            sampling_period=sampling_period,
            t_start=t_start,
        )
        raster._trains = trains if sparse else None
        return raster

    def _like(
        self,
        bits: npt.NDArray[np.uint8],
        n_time_bins: int,
        t_start: float | None = None,
    ) -> SpikeRaster:
        """Return a raster of other bits on the same time base."""
        # Without __init__, which would convert and check the times again.
        raster = object.__new__(SpikeRaster)
        raster._period = self._period
        raster._start = self._start if t_start is None else t_start
        raster._n_units, raster._n_time_bins = len(bits), n_time_bins
        raster._trains = None
        raster._source = raster._checked(bits)
        return raster

    # -- shape and time
    # ----------------------------------------------------------------------------------

    @property
    def n_units(self) -> int:
        """Number of units."""
        return self._n_units

    @property
    def n_time_bins(self) -> int:
        """Number of time bins."""
        return self._n_time_bins

    @property
    def shape(self) -> tuple[int, int]:
        """(n_units, n_time_bins)."""
        return self._n_units, self._n_time_bins

    @property
    def sampling_period(self) -> pq.Quantity:
        """Length of a time bin, in ms."""
        return fifteen_digits(self._period * 1000) * pq.ms

    @property
    def t_start(self) -> pq.Quantity:
        """Left edge of the first bin, in ms."""
        return fifteen_digits(self._start * 1000) * pq.ms

    @property
    def t_stop(self) -> pq.Quantity:
        """Right edge of the last bin, in ms."""
        return fifteen_digits(self.bin_edge_seconds(self._n_time_bins) * 1000) * pq.ms

    @property
    def sampling_period_seconds(self) -> float:
        """Length of a time bin, in s."""
        return self._period

    @property
    def t_start_seconds(self) -> float:
        """Left edge of the first bin, in s."""
        return self._start

    @property
    def nbytes(self) -> int:
        """Size of the bits, in bytes."""
        return self._n_units * row_bytes(self._n_time_bins)

    def bin_edge_seconds(self, time_bin: Any) -> Any:
        """Left edge of a bin (scalar or array) in s: ``t_start + bin * period``."""
        return self._start + time_bin * self._period

    def spike_time_seconds(self, time_bin: Any) -> Any:
        """Time of a spike in a bin (scalar or array) in s, at a quarter of the bin."""
        return self._start + (time_bin + SPIKE_POSITION) * self._period

    def __repr__(self) -> str:
        """Shape and time base."""
        return (
            f"SpikeRaster({self._n_units} units x {self._n_time_bins} time bins of"
            f" {self.sampling_period}, t_start={self.t_start})"
        )

    # -- reading
    # ----------------------------------------------------------------------------------

    @property
    def bits(self) -> npt.NDArray[np.uint8]:
        """Packed bits, read-only, shape (n_units, n_bytes), padded to whole words."""
        if callable(self._source):
            self._source = self._checked(self._source())
        return self._source

    @property
    def _n_words(self) -> int:
        """Number of 64-bit words of a row of bits."""
        return row_bytes(self._n_time_bins) // 8

    @property
    def _words(self) -> npt.NDArray[np.uint64]:
        return self.bits.view("<u8")

    def to_dense(self) -> BoolArray:
        """Unpack to a matrix.

        Returns
        -------
        ndarray of bool, shape (n_units, n_time_bins)
            True where a unit spiked; one byte per cell.
        """
        return self._unpack(self.bits, 0, self._n_time_bins)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        """Unpack for NumPy: ``np.asarray(raster)`` is `to_dense`."""
        if copy is False:
            raise ValueError(
                "the bits of a raster must be unpacked, which makes a copy; leave out"
                " copy=False"
            )
        return self.to_dense().astype(dtype or np.bool_, copy=False)

    @staticmethod
    def _unpack(bits: npt.NDArray[np.uint8], start: int, stop: int) -> BoolArray:
        # From the byte that holds the bin `start`, whose bits before it are cut off.
        first = start // 8
        dense = np.unpackbits(bits[:, first : -(-stop // 8)], axis=1, bitorder="little")
        return dense[:, start - 8 * first : stop - 8 * first].view(np.bool_)

    def spike_counts(self) -> IntArray:
        """Count the spikes of each unit.

        Returns
        -------
        ndarray of int64, shape (n_units,)
            Number of spikes.
        """
        if self._trains is not None:
            return np.array([len(bins) for bins in self._trains], np.int64)
        words, counts = self._words, np.zeros(self._n_units, np.int64)
        # Some words of all units at a time, one byte each; the padding adds nothing.
        for first in range(0, words.shape[1], UINT16_WORDS):
            set_bits = np.bitwise_count(words[:, first : first + UINT16_WORDS])
            counts += set_bits.sum(axis=1, dtype=np.uint16)
        return counts

    def cumulative_counts(self, time_bins: npt.ArrayLike) -> IntArray:
        """Count the spikes of each unit before given bins.

        Parameters
        ----------
        time_bins : array_like of int, shape (n,)
            Bins from 0 to n_time_bins, both inclusive.

        Returns
        -------
        ndarray of int64, shape (n_units, n)
            Spikes in the bins ``0 .. time_bins[k] - 1``.

        Raises
        ------
        InputValueError
            If a bin does not lie in 0 .. n_time_bins.
        """
        edges = np.asarray(time_bins, np.int64)
        if edges.size and (edges.min() < 0 or edges.max() > self._n_time_bins):
            raise InputValueError(
                f"bins must lie in 0 .. {self._n_time_bins}, got {edges.min()} .."
                f" {edges.max()}; leave out bins beyond the raster"
            )
        if not edges.size:
            return np.zeros((self._n_units, 0), np.int64)
        # Spikes before bin e = 64 w + b: the popcounts of the words before w, summed
        # once for all edges, and the popcount of the b lowest bits of word w.
        word, bit = np.divmod(edges, WORD_BITS)
        # Edges with b = 0 need no second part; their word w may lie beyond the last.
        inside = np.flatnonzero(bit)
        mask = (np.uint64(1) << bit[inside].astype(np.uint64)) - np.uint64(1)
        counts = np.empty((self._n_units, len(edges)), np.int64)
        # Some units at a time, since the sums take as many bytes as the bits.
        for units, block in self.unit_blocks(DENSE_BYTES // 4):
            words = block._words
            before = np.zeros((block.n_units, words.shape[1] + 1), np.int64)
            np.cumsum(
                np.bitwise_count(words), axis=1, dtype=np.int64, out=before[:, 1:]
            )
            counts[units] = before[:, word]
            counts[units, inside] += np.bitwise_count(words[:, word[inside]] & mask)
        return counts

    def window_counts(self, window: int) -> IntArray:
        """Count the spikes of each unit in consecutive windows.

        Parameters
        ----------
        window : int
            Length of a window, in bins. Bins after the last whole window are left out.

        Returns
        -------
        ndarray of int64, shape (n_units, n_windows)
            Spikes per window, ``n_windows = n_time_bins // window``.

        Raises
        ------
        InputValueError
            If `window` is not positive.
        """
        if window < 1:
            raise InputValueError(
                f"window must be at least 1 bin, got {window}; pass a positive length"
            )
        n_windows = self._n_time_bins // window
        if self._trains is not None:
            counts = np.zeros((self._n_units, n_windows), np.int64)
            for unit, bins in enumerate(self._trains):
                in_window = np.bincount(bins // window, minlength=n_windows)
                counts[unit] = in_window[:n_windows]
            return counts
        # Differences of cumulative counts, since windows need not begin at whole words.
        before = self.cumulative_counts(np.arange(n_windows + 1) * window)
        return before[:, 1:] - before[:, :-1]

    def lag_counts(
        self, max_lag: int, borders: npt.ArrayLike | None = None
    ) -> IntArray:
        """Count the pairs of spikes of each unit at each distance in time.

        Parameters
        ----------
        max_lag : int
            Largest lag, in bins.
        borders : array_like of int, optional
            Bins with which another segment of time begins; pairs across a border are
            left out.

        Returns
        -------
        ndarray of int64, shape (n_units, max_lag + 1)
            ``sum over t of x(t) x(t + lag)``; column 0 is the spike count.

        Raises
        ------
        InputValueError
            If `max_lag` is negative.
        """
        if max_lag < 0:
            raise InputValueError(
                f"max_lag must be 0 or more bins, got {max_lag}; pass 0 for lag 0 only"
            )
        counts = np.zeros((self._n_units, max_lag + 1), np.int64)
        starts = np.asarray([] if borders is None else borders, np.int64)
        words = self._words
        # x(t) x(t + lag) summed over t is the popcount of the bits AND the bits moved
        # by `lag`: 64 products per word. In blocks of units that stay in cache for all
        # lags.
        rows = max(1, _CACHE_BYTES // max(1, 8 * self._n_words))
        for first in range(0, self._n_units, rows):
            block = np.ascontiguousarray(words[first : first + rows])
            # The bins t whose partner t + lag lies beyond a border, at lag 0 none.
            across = np.zeros(self._n_words, np.uint64)
            for lag in range(min(max_lag, self._n_time_bins - 1) + 1):
                # It may have fewer words than the block, whose last meet only zeros.
                shifted = shifted_down(block, lag)
                np.bitwise_and(shifted, block[:, : shifted.shape[1]], out=shifted)
                if lag and starts.size:
                    bin_mask(across, starts - lag, self._n_time_bins)
                    _clear_bins(shifted, across)
                counts[first : first + rows, lag] = np.bitwise_count(shifted).sum(
                    axis=1, dtype=np.int64
                )
        return counts

    def _counts_in(self, mask: npt.NDArray[np.uint64]) -> IntArray:
        """Count the spikes of each unit in the bins whose bits `mask` has set.

        Parameters
        ----------
        mask : ndarray of uint64, shape (n_words,)
            A row of words, one bit per bin.

        Returns
        -------
        ndarray of int64, shape (n_units,)
            Number of spikes.
        """
        # Most masks touch few words: a bin or two at each end of a segment.
        touched = np.flatnonzero(mask)
        spikes = self._words[:, touched] & mask[touched]
        counts: IntArray = np.bitwise_count(spikes).sum(axis=1, dtype=np.int64)
        return counts

    def bin_counts(self) -> IntArray:
        """Count the units that spiked in each time bin.

        Returns
        -------
        ndarray of int64, shape (n_time_bins,)
            Number of active units.
        """
        counts = np.zeros(self._n_time_bins, np.int64)
        # At most 255 rows at a time, whose sum fits a byte.
        rows = max(1, min(255, DENSE_BYTES // max(1, self._n_time_bins)))
        for first in range(0, self._n_units, rows):
            dense = self._unpack(self.bits[first : first + rows], 0, self._n_time_bins)
            counts += dense.view(np.uint8).sum(axis=0, dtype=np.uint8)
        return counts

    def joint_counts(self, other: SpikeRaster | None = None) -> IntArray:
        """Count the time bins in which two units both spiked, for all pairs of units.

        Parameters
        ----------
        other : SpikeRaster, optional
            Raster of the second units, on the same time bins; this one if not given.

        Returns
        -------
        ndarray of int64, shape (n_units, other.n_units)
            ``sum over t of x_i(t) y_j(t)``; without `other` symmetric, with the spike
            counts on the diagonal.

        Raises
        ------
        InputValueError
            If the rasters differ in their number of time bins.

        Examples
        --------
        >>> SpikeRaster.from_dense([[1, 1, 0], [0, 1, 1]]).joint_counts()
        array([[2, 1],
               [1, 2]])
        """
        right = self if other is None else other
        if right._n_time_bins != self._n_time_bins:
            raise InputValueError(
                f"joint counts need the same time bins, got {self._n_time_bins} and"
                f" {right._n_time_bins}; slice both rasters to the same phase"
            )
        return joint_counts(self._words, None if other is None else right._words)

    def head(self, k: int) -> BoolArray:
        """Unpack the first `k` bins, or all: bool, shape (n_units, up to k)."""
        return self._unpack(self.bits, 0, min(k, self._n_time_bins))

    def tail(self, k: int) -> BoolArray:
        """Unpack the last `k` bins, or all: bool, shape (n_units, up to k)."""
        return self._unpack(self.bits, max(0, self._n_time_bins - k), self._n_time_bins)

    def spike_bins(self, unit: int) -> IntArray:
        """Return the bins in which a unit spiked, ascending: int64, (n_spikes,)."""
        if self._trains is not None:
            return self._trains[unit].copy()
        return self._spike_bins_of(np.array([unit]))[1]

    def _spike_bins_of(self, units: npt.NDArray[np.intp]) -> tuple[IntArray, IntArray]:
        """Return how many spikes each of some units has, and their bins in one array.

        Returns
        -------
        counts : ndarray of int64, shape (len(units),)
            Spikes of each unit.
        bins : ndarray of int64, shape (counts.sum(),)
            Bins of the spikes, ascending, one unit after another.
        """
        if self._trains is not None:
            trains = [self._trains[unit] for unit in units]
            counts = np.array([len(bins) for bins in trains], np.int64)
            return counts, np.concatenate([np.zeros(0, np.int64), *trains])
        words = self._words[units]
        counts = np.bitwise_count(words).sum(axis=1, dtype=np.int64)
        if _FEW_SPIKES * int(counts.sum()) <= len(units) * self._n_time_bins:
            places = set_bits(words.reshape(-1))
        else:
            cells = np.unpackbits(words.view(np.uint8).reshape(-1), bitorder="little")
            places = np.flatnonzero(cells.view(np.bool_))
        places -= np.repeat(np.arange(len(units)) * WORD_BITS * words.shape[1], counts)
        return counts, places

    def unit_blocks(self, max_bytes: int) -> Iterator[tuple[slice, SpikeRaster]]:
        """Cut the raster into blocks of consecutive units.

        Parameters
        ----------
        max_bytes : int
            Maximum size of the bits of a block; a block has at least one unit.

        Yields
        ------
        units : slice
            The units in the block.
        raster : SpikeRaster
            Those units, all bins; shares the bits.
        """
        rows = max(1, max_bytes // max(1, row_bytes(self._n_time_bins)))
        for first in range(0, self._n_units, rows):
            units = slice(first, min(first + rows, self._n_units))
            yield units, self._like(self.bits[units], self._n_time_bins)

    # -- selecting and joining
    # ----------------------------------------------------------------------------------

    def slice(self, start: int, stop: int) -> SpikeRaster:
        """Cut out consecutive bins; `t_start` moves along.

        Parameters
        ----------
        start, stop : int
            First bin, and the bin after the last, ``0 <= start <= stop <=
            n_time_bins``.

        Returns
        -------
        SpikeRaster
            The bins ``start .. stop - 1`` of every unit.

        Raises
        ------
        InputValueError
            If the bins do not lie in the raster.
        """
        n_time_bins = stop - start
        if not 0 <= start <= stop <= self._n_time_bins:
            raise InputValueError(
                f"bins must satisfy 0 <= start <= stop <= {self._n_time_bins}, got"
                f" start={start}, stop={stop}; choose bins inside the raster"
            )
        if n_time_bins == self._n_time_bins:
            return self
        n_words = -(-n_time_bins // WORD_BITS)
        first, shift = divmod(start, WORD_BITS)
        # One word more where bins start inside a word: its low bits move into the last.
        words = self._words[:, first : first + n_words + (shift > 0)]
        words = shifted_down(words, shift)[:, :n_words]
        bits = np.ascontiguousarray(words).view(np.uint8)
        # The last word may hold bins from `stop` on.
        clear_padding(bits, n_time_bins)
        return self._like(
            bits, n_time_bins, fifteen_digits(self.bin_edge_seconds(start))
        )

    def take(
        self, units: npt.ArrayLike | None = None, bins: npt.ArrayLike | None = None
    ) -> SpikeRaster:
        """Pick units and bins, in the order given.

        Parameters
        ----------
        units : array_like of int or bool, optional
            Units to keep; all if not given.
        bins : array_like of int or bool, optional
            Bins to keep, set side by side; all if not given. `t_start` stays the same.

        Returns
        -------
        SpikeRaster
            The chosen cells.

        Raises
        ------
        InputValueError
            If an index lies outside the raster or a mask has another length.
        """
        bits = self.bits
        if units is not None:
            bits = bits[as_index(units, self._n_units, "units")]
        if bins is None:
            return self._like(bits, self._n_time_bins)
        index = as_index(bins, self._n_time_bins, "bins")
        # Any bins in any order: unpack, index and pack again, some rows at a time.
        out = np.zeros((len(bits), row_bytes(len(index))), np.uint8)
        n_bytes = -(-len(index) // 8)
        rows = max(1, DENSE_BYTES // max(1, self._n_time_bins))
        for first in range(0, len(bits), rows):
            dense = self._unpack(bits[first : first + rows], 0, self._n_time_bins)
            out[first : first + rows, :n_bytes] = np.packbits(
                dense[:, index], axis=1, bitorder="little"
            )
        return self._like(out, len(index))

    def join(self, starts: IntArray, stops: IntArray) -> SpikeRaster:
        """Set stretches of bins side by side.

        Parameters
        ----------
        starts, stops : ndarray of int64, shape (n,)
            Bins ``starts[i] .. stops[i] - 1`` of each stretch, in any order; stretches
            may overlap.

        Returns
        -------
        SpikeRaster
            The stretches one after another. `t_start` is that of the first.

        Raises
        ------
        InputValueError
            If a bin does not lie in the raster.
        """
        # Stretches that adjoin are one: often the whole is a single slice.
        begins = np.ones(len(starts), np.bool_)
        begins[1:] = starts[1:] != stops[:-1]
        first = starts[begins]
        last = stops[np.append(begins[1:], np.ones(min(1, len(starts)), np.bool_))]
        if len(first) == 1:
            return self.slice(int(first[0]), int(last[0]))
        length = last - first
        n_time_bins = int(length.sum())
        if n_time_bins < WORD_BITS * len(first):
            # Bins start[i] .. stop[i] - 1 of all stretches in one array, without a
            # loop: the new bin plus the distance that its stretch moved.
            moved = first - (np.cumsum(length) - length)
            joined = self.take(bins=np.repeat(moved, length) + np.arange(n_time_bins))
        else:
            bounds = zip(first.tolist(), last.tolist(), strict=True)
            joined = SpikeRaster.concatenate([self.slice(*bound) for bound in bounds])
        if not len(first):
            return joined
        start = fifteen_digits(self.bin_edge_seconds(int(first[0])))
        return self._like(joined.bits, n_time_bins, start)

    @classmethod
    def concatenate(cls, rasters: Sequence[SpikeRaster]) -> SpikeRaster:
        """Set rasters of the same units one after another in time.

        Parameters
        ----------
        rasters : sequence of SpikeRaster
            At least one; equal numbers of units and sampling periods. `t_start` is the
            first one's.

        Returns
        -------
        SpikeRaster
            All bins of the first, then of the second, and so on.

        Raises
        ------
        InputValueError
            If there is none, or units or periods differ.
        """
        first = _first_of_alike(rasters, "concatenate", "_n_units", "units")
        n_time_bins = sum(raster._n_time_bins for raster in rasters)
        out = np.zeros((first._n_units, row_bytes(n_time_bins) // 8), "<u8")
        position = 0
        for raster in rasters:
            # Padding is zero, so that ORing it changes no bin of the neighbours.
            or_words_at(out, raster._words, position)
            position += raster._n_time_bins
        return first._like(out.view(np.uint8), n_time_bins)

    @classmethod
    def stack(cls, rasters: Sequence[SpikeRaster]) -> SpikeRaster:
        """Join the units of several rasters of the same time bins.

        Parameters
        ----------
        rasters : sequence of SpikeRaster
            At least one; equal numbers of time bins and sampling periods. `t_start` is
            the first one's.

        Returns
        -------
        SpikeRaster
            The units of the first, then of the second, and so on.

        Raises
        ------
        InputValueError
            If there is none, or bins or periods differ.
        """
        first = _first_of_alike(rasters, "stack", "_n_time_bins", "time bins")
        bits = np.concatenate([raster.bits for raster in rasters])
        return first._like(bits, first._n_time_bins)

    # -- comparing
    # ----------------------------------------------------------------------------------

    def equals(self, other: object) -> bool:
        """Return whether `other` is a raster of the same spikes, shape and times."""
        return (
            isinstance(other, SpikeRaster)
            and self.shape == other.shape
            and self._period == other._period
            and self._start == other._start
            and bool(np.array_equal(self.bits, other.bits))
        )

    def sha256(self) -> str:
        """Return a checksum of shape and spikes, however the bits are stored.

        Returns
        -------
        str
            SHA-256, in hex, of little-endian int64 (n_units, n_time_bins) followed by
            the rows in unit order, each packed along time, first bin in the lowest bit,
            zero-padded to whole bytes.
        """
        digest = hashlib.sha256(np.array(self.shape, "<i8").tobytes())
        n_bytes = -(-self._n_time_bins // 8)
        for _, block in self.unit_blocks(DENSE_BYTES):
            # Without the padding to words, which is no part of the spikes.
            digest.update(np.ascontiguousarray(block.bits[:, :n_bytes]).data)
        return digest.hexdigest()


def is_sparse(n_spikes: int, n_units: int, n_time_bins: int) -> bool:
    """Tell whether the bins of all spikes take no more memory than the bits."""
    return WORD_BITS * n_spikes <= n_units * n_time_bins


def _ascending(bins: IntArray) -> IntArray:
    """Return bins in ascending order, each once; shares them where they are so."""
    if (bins[1:] > bins[:-1]).all():
        return bins
    ascending = np.sort(bins)
    is_new = np.ones(len(bins), np.bool_)
    is_new[1:] = ascending[1:] != ascending[:-1]
    return ascending[is_new]


def _scattered(trains: Sequence[IntArray], n_time_bins: int) -> npt.NDArray[np.uint8]:
    """Return the bits of trains of few spikes, each in ascending order."""
    words = np.zeros((len(trains), row_bytes(n_time_bins) // 8), "<u8")
    for row, bins in zip(words, trains, strict=True):
        add_bits(row, bins)
    return words.view(np.uint8)


def _packed(trains: Sequence[IntArray], n_time_bins: int) -> npt.NDArray[np.uint8]:
    """Return the bits of trains of any number of spikes in any order."""
    bits = np.zeros((len(trains), row_bytes(n_time_bins)), np.uint8)
    # One unpacked row at a time, so that the matrix is never in memory unpacked.
    row = np.empty(n_time_bins, np.bool_)
    for unit, bins in enumerate(trains):
        row[:] = False
        row[bins] = True
        packed = np.packbits(row, bitorder="little")
        bits[unit, : len(packed)] = packed
    return bits


def _clear_bins(words: npt.NDArray[np.uint64], mask: npt.NDArray[np.uint64]) -> None:
    """Set to 0, in place, the bits of all rows that `mask` has set."""
    touched = np.flatnonzero(mask[: words.shape[1]])
    # Picking words costs more than going through all of them where many are touched.
    if 4 * len(touched) < words.shape[1]:
        words[:, touched] &= ~mask[touched]
    else:
        np.bitwise_and(words, ~mask[: words.shape[1]], out=words)


def _first_of_alike(
    rasters: Sequence[SpikeRaster], function: str, count: str, noun: str
) -> SpikeRaster:
    """Return the first of rasters that agree in a count and the sampling period."""
    if not rasters:
        raise InputValueError(f"{function} needs at least one raster, got none")
    first = rasters[0]
    for other in rasters[1:]:
        if getattr(other, count) != getattr(first, count) or (
            other._period != first._period
        ):
            raise InputValueError(
                f"rasters to {function} need the same {noun} and sampling period, got"
                f" {first} and {other}; select the {noun} that they share"
            )
    return first


def as_index(chosen: npt.ArrayLike, length: int, name: str) -> IntArray:
    """Convert a list of indices or a mask into indices from 0 to length - 1.

    Parameters
    ----------
    chosen : array_like of int or bool
        Indices, negative ones counted from the end, or a mask of shape (length,).
    length : int
        Number of things to choose from.
    name : str
        Their name, for messages.

    Raises
    ------
    InputTypeError, InputValueError
        If `chosen` is neither, or an index is out of range.
    """
    index = np.asarray(chosen)
    if index.dtype == np.bool_:
        if index.shape != (length,):
            raise InputValueError(
                f"a mask of {name} needs shape ({length},), got {index.shape}; pass one"
                " value for each, or indices"
            )
        return np.flatnonzero(index)
    # NumPy makes float64 of an empty list, which is no index.
    if index.size == 0:
        return np.zeros(0, np.int64)
    if index.dtype.kind not in "iu" or index.ndim != 1:
        raise InputTypeError(
            f"{name} must be a list of integers or a mask, got {index.dtype} of shape"
            f" {index.shape}; pass indices, for example [0, 2]"
        )
    if index.min() < -length or index.max() >= length:
        raise InputValueError(
            f"{name} run from {index.min()} to {index.max()}, outside 0 .."
            f" {length - 1}; drop those that do not exist"
        )
    index = index.astype(np.int64)
    return np.where(index < 0, index + length, index)
