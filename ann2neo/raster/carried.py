"""Rasters on their way to another process."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from ann2neo._parallel import host
from ann2neo.errors import IntegrityError, WorkerError
from ann2neo.raster.spike_raster import SpikeRaster

__all__ = ["CarriedRaster", "mapped_bits"]

_NOTE = "ann2neo_file"
"""Attribute of an array that says where it is mapped from."""


def mapped_bits(
    file: BinaryIO, path: Path, offset: int, shape: tuple[int, int]
) -> np.memmap[Any, Any]:
    """Map bits from a file, so that they are cheap to send to another process.

    Parameters
    ----------
    file : binary file
        The file, open for reading.
    path : Path
        Where it lies; a file opened by its descriptor does not know.
    offset : int
        Where the bits begin, in bytes.
    shape : tuple of int
        (n_units, n_bytes).

    Returns
    -------
    memmap of uint8
        The bits, with a note of the file's path and of its state now: if it changes
        later, blocks of the old bits and of the new ones would make one table.
    """
    mapped = np.memmap(file, np.uint8, "r", offset, shape)
    note = (str(path.absolute()), _state(os.fstat(file.fileno())))
    setattr(mapped, _NOTE, note)
    return mapped


def _state(facts: os.stat_result) -> tuple[int, int]:
    """Return what tells if a file has changed: its size, and when it was written."""
    return facts.st_size, facts.st_mtime_ns


class CarriedRaster:
    """A raster that is cheap to send to another process.

    In this process it is the raster itself. Pickled, it is the place of the bits in
    their file if they are mapped from one, as those of a recording in a folder are, so
    that a task for a worker takes few bytes; else it is the bits.

    Parameters
    ----------
    raster : SpikeRaster
        The raster, or a block of its units, all bins.
    """

    def __init__(self, raster: SpikeRaster) -> None:
        self._raster = raster

    def open(self) -> SpikeRaster:
        """Return the raster.

        Raises
        ------
        WorkerError
            If this machine does not see the file of the bits.
        IntegrityError
            If the file has changed since the raster was sent.
        """
        return self._raster

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        bits = self._raster.bits
        # Only the bits are replaced: the time base travels with a raster of no units.
        none = np.zeros((0, bits.shape[1]), np.uint8)
        empty = self._raster._like(none, self._raster.n_time_bins)
        return _Arrived, (empty, _place(bits) or np.asarray(bits))


class _Arrived(CarriedRaster):
    """A raster in another process, opened when it is needed.

    An error while it is unpickled would break a pool of processes, so that nothing is
    opened before.
    """

    def __init__(
        self, empty: SpikeRaster, bits: npt.NDArray[np.uint8] | _Place
    ) -> None:
        self._empty, self._bits = empty, bits

    def open(self) -> SpikeRaster:
        bits = self._bits.open() if isinstance(self._bits, _Place) else self._bits
        return self._empty._like(bits, self._empty.n_time_bins)

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return _Arrived, (self._empty, self._bits)


class _Place(NamedTuple):
    """Where rows of bits lie in a file, and what tells whether the file has changed."""

    path: str
    offset: int
    shape: tuple[int, int]
    state: tuple[int, int]

    def open(self) -> npt.NDArray[np.uint8]:
        remedy = (
            "put the recording on a disk that all workers see under this path, or load"
            " it into memory"
        )
        try:
            if _state(Path(self.path).stat()) != self.state:
                raise IntegrityError(
                    f"{self.path} has changed during the analysis (seen from {host()});"
                    " start again when nobody writes there"
                )
            return np.memmap(self.path, np.uint8, "r", self.offset, self.shape)
        except OSError as error:
            raise WorkerError(
                f"a worker on {host()} cannot read {self.path} ({error.strerror});"
                f" {remedy}"
            ) from error


def _place(bits: npt.NDArray[np.uint8]) -> _Place | None:
    """Return where bits that are mapped from a file lie in it; None for other bits."""
    if not isinstance(bits, np.memmap) or not bits.flags.c_contiguous or not bits.size:
        return None
    mapped = bits
    while isinstance(mapped.base, np.memmap):
        mapped = mapped.base
    note = getattr(mapped, _NOTE, None)
    if note is None:
        return None
    path, state = note
    skipped = bits.ctypes.data - mapped.ctypes.data
    return _Place(path, mapped.offset + skipped, (bits.shape[0], bits.shape[1]), state)
