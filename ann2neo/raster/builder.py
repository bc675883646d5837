"""RasterBuilder, which fills a raster batch by batch."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import quantities as pq

from ann2neo.errors import InputValueError
from ann2neo.raster.bits import pack_rows, row_bytes
from ann2neo.raster.spike_raster import SpikeRaster

__all__ = ["RasterBuilder"]

_THREADED_BYTES = 1 << 20
"""Number of bytes from which several threads write a block."""


class RasterBuilder:
    """Fill a raster batch by batch from arrays with the axes (time_bin, unit).

    Parameters
    ----------
    n_units, n_time_bins : int
        Shape of the raster to fill.
    bits : ndarray of uint8, optional
        Array that receives the bits, for example a memory map, of the shape returned
        by `bits_shape`; new zeros if not given.

    Raises
    ------
    InputValueError
        If `bits` has another type or shape.

    Examples
    --------
    >>> import numpy as np
    >>> builder = RasterBuilder(2, 3)
    >>> builder.write(0, np.array([[1, 0], [1, 1]], dtype=bool))
    >>> builder.write(2, np.array([[0, 1]], dtype=bool))
    >>> builder.build().to_dense().astype(int)
    array([[1, 1, 0],
           [0, 1, 1]])
    """

    def __init__(
        self, n_units: int, n_time_bins: int, bits: npt.NDArray[np.uint8] | None = None
    ) -> None:
        self.n_units, self.n_time_bins = n_units, n_time_bins
        shape = self.bits_shape(n_units, n_time_bins)
        self._bits = np.zeros(shape, np.uint8) if bits is None else bits
        if self._bits.shape != shape or self._bits.dtype != np.uint8:
            raise InputValueError(
                f"bits must be uint8 of shape {shape}, got {self._bits.dtype} of shape"
                f" {self._bits.shape}; allocate them with the shape from bits_shape"
            )

    @staticmethod
    def bits_shape(n_units: int, n_time_bins: int) -> tuple[int, int]:
        """Shape of the packed bits, (n_units, n_bytes)."""
        return n_units, row_bytes(n_time_bins)

    def write(
        self, first_bin: int, active: npt.NDArray[np.bool_], first_unit: int = 0
    ) -> None:
        """Write a block of cells, each of which may be written only once.

        Parameters
        ----------
        first_bin : int
            Time bin of the first row of `active`; multiples of 8 are fastest.
        active : ndarray of bool, shape (n_bins, n_units_of_block), C order
            True where a unit spiked.
        first_unit : int, default 0
            Unit of the first column of `active`.

        Raises
        ------
        InputValueError
            If the block does not lie in the raster.
        """
        n_bins, n_units = active.shape
        rows = active.view(np.uint8)
        # Filled up with empty bins, since `pack_rows` takes eight rows at a time.
        if n_bins % 8:
            rows = np.zeros((-(-n_bins // 8) * 8, n_units), np.uint8)
            rows[:n_bins] = active
        self.write_packed(first_bin, pack_rows(rows), n_bins, first_unit)

    def write_packed(
        self,
        first_bin: int,
        packed: npt.NDArray[np.uint8],
        n_bins: int,
        first_unit: int = 0,
    ) -> None:
        """Write a block of cells, as `write` does, from bits packed along time.

        Parameters
        ----------
        first_bin : int
            Time bin of the first bit; multiples of 8 are fastest.
        packed : ndarray of uint8, shape (ceil(n_bins / 8), n_units_of_block)
            Eight bins per byte, first bin in the lowest bit; bits beyond `n_bins` must
            be 0.
        n_bins : int
            Number of bins.
        first_unit : int, default 0
            Unit of the first column.

        Raises
        ------
        InputValueError
            If the block does not lie in the raster.
        """
        n_units = packed.shape[1]
        if (
            first_bin < 0
            or first_bin + n_bins > self.n_time_bins
            or first_unit + n_units > self.n_units
        ):
            raise InputValueError(
                f"a block of {n_units} units x {n_bins} bins at ({first_unit},"
                f" {first_bin}) does not fit a raster of {self.n_units} x"
                f" {self.n_time_bins}; call extend first, or write less"
            )
        byte, skipped = divmod(first_bin, 8)
        n_bytes = -(-(skipped + n_bins) // 8)
        target = self._bits[first_unit : first_unit + n_units, byte : byte + n_bytes]
        if skipped:
            # A block that starts inside a byte: its bits move up by `skipped`, the high
            # bits of each byte go over into the next, and what the first byte held
            # before stays.
            moved = np.zeros((n_bytes, n_units), np.uint8)
            moved[: len(packed)] = packed << skipped
            moved[1:] |= packed[: n_bytes - 1] >> (8 - skipped)
            moved[0] |= target[:, 0]
            packed = moved

        # `packed` has one column per unit, the raster one row. Transposing in narrow
        # strips keeps source and target in cache.
        # The last byte is overwritten whole: its later bins must come in a later block.
        def write(first: int) -> None:
            target[first : first + 256] = packed[:, first : first + 256].T

        strips = range(0, n_units, 256)
        if packed.size < _THREADED_BYTES or not packed.flags.f_contiguous:
            for first in strips:
                write(first)
            return
        # Transposed on a GPU: whole rows are copied, many at a time.
        with ThreadPoolExecutor(thread_name_prefix="ann2neo-raster") as threads:
            for _ in threads.map(write, strips):
                pass

    def extend(self, n_time_bins: int) -> None:
        """Make room for at least `n_time_bins` bins.

        For sources whose length is known only at their end. The room at least doubles
        each time it runs out, so that even growth bin by bin copies at most twice as
        many cells as the raster has in the end.
        """
        self.n_time_bins = max(self.n_time_bins, n_time_bins)
        if row_bytes(self.n_time_bins) > self._bits.shape[1]:
            n_bytes = max(row_bytes(n_time_bins), 2 * self._bits.shape[1])
            grown = np.zeros((self.n_units, n_bytes), np.uint8)
            grown[:, : self._bits.shape[1]] = self._bits
            self._bits = grown

    def cut(self, n_time_bins: int) -> None:
        """Drop the bins from `n_time_bins` on, which must be empty.

        For sources that turn out shorter than the room made for them, whose memory is
        returned if it is a tenth or more.
        """
        if n_time_bins == self.n_time_bins:
            return
        self.n_time_bins = n_time_bins
        n_bytes = row_bytes(n_time_bins)
        if self._bits.base is None and n_bytes < 0.9 * self._bits.shape[1]:
            self._bits = self._bits[:, :n_bytes].copy()

    def build(
        self,
        *,
        sampling_period: pq.Quantity = 1 * pq.ms,
        t_start: pq.Quantity | None = None,
    ) -> SpikeRaster:
        """Return the raster, which shares the builder's bits: write no more of them."""
        return SpikeRaster(
            self._bits[:, : row_bytes(self.n_time_bins)],
            self.n_units,
            self.n_time_bins,
            sampling_period=sampling_period,
            t_start=t_start,
        )
