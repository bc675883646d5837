"""Reading NWB's tables straight from HDF5, without building an object per row or
loading a schema.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from ann2neo._files import is_being_written
from ann2neo.errors import FileFormatError, OutputLockedError
from ann2neo.io.nwb.hdf5_heaps import check_heaps

__all__ = ["Table", "check_not_being_written", "open_nwb", "read_table"]

_DEFLATE_LIMIT = 1100
"""Deflate packs at most 1032 bytes into one; what claims more is damaged, and reading
it would eat the memory.
"""

_READING_ERRORS = (
    OSError,
    KeyError,
    RuntimeError,
    ValueError,
    TypeError,
    AttributeError,
    OverflowError,
    MemoryError,
)


@contextmanager
def open_nwb(path: Path) -> Iterator[Any]:
    """Open an NWB file for reading; whatever HDF5 stumbles over becomes a
    FileFormatError.
    """
    if not path.exists():
        raise FileFormatError(f"{path} does not exist; check the path")
    if path.is_dir():
        raise FileFormatError(f"{path} is a folder; give the path of one .nwb file")
    try:
        handle = _opened(path)
    except (OSError, RuntimeError) as error:
        check_not_being_written(path)
        raise FileFormatError(
            f"{path} cannot be opened as HDF5, so it is no NWB file or is damaged"
            f" ({error}); get an undamaged copy"
        ) from error
    with handle:
        try:
            times = handle.get("units/spike_times")
            check_heaps(path, times if isinstance(times, h5py.Dataset) else None)
            if "nwb_version" not in handle.attrs:
                raise FileFormatError(
                    f"{path} is HDF5 but not NWB 2 (it has no nwb_version); convert it"
                    " to NWB first"
                )
            yield handle
        except FileFormatError:
            raise
        except _READING_ERRORS as error:
            if type(error).__module__.startswith("ann2neo"):
                raise
            raise FileFormatError(
                f"{path} cannot be read, so it is damaged or not of NWB's form"
                f" ({type(error).__name__}: {error}); get an undamaged copy"
            ) from error


def _opened(path: Path) -> Any:
    """Open without a lock, or with whatever lock this program, such as pynapple in it,
    holds on the file already.
    """
    for locking in (False, None, True):
        try:
            return h5py.File(path, "r", locking=locking)
        except OSError as error:
            # HDF5 opens a file twice in one program only with the same flags.
            if "file locking" not in str(error):
                raise
    return h5py.File(path, "r", locking="best-effort")


def check_not_being_written(path: Path) -> None:
    """Raise if somebody has an HDF5 file open for writing.

    Raises
    ------
    OutputLockedError
        If HDF5 holds its lock of a writer on the file, in this program or another one.
    """
    if is_being_written(path):
        raise OutputLockedError(
            f"{path} is open for writing, in this program or another one; close it"
            " there first"
        )


class Table:
    """Columns of one of NWB's tables.

    Parameters
    ----------
    group : h5py.Group
        The table.
    """

    def __init__(self, group: Any) -> None:
        self.group = group
        self.colnames = [
            str(name) for name in np.ravel(_decoded(group.attrs["colnames"]))
        ]
        self._length = len(self._dataset("id"))

    def __len__(self) -> int:
        """Number of rows."""
        return self._length

    def __contains__(self, name: str) -> bool:
        """Whether the table has a column."""
        return name in self.colnames and name in self.group

    def _dataset(self, name: str) -> Any:
        where = f"{self.group.name}/{name}"
        if name not in self.group or not isinstance(self.group[name], h5py.Dataset):
            raise FileFormatError(
                f"{where} is missing or no dataset, so the file is damaged; get an"
                " undamaged copy"
            )
        dataset = self.group[name]
        if dataset.ndim == 0 and name != "id":
            raise FileFormatError(
                f"{where} is a single value instead of a column; get an undamaged copy"
            )
        size = int(np.prod(dataset.shape, dtype=object)) * dataset.dtype.itemsize
        if size > _DEFLATE_LIMIT * max(1, dataset.id.get_storage_size()):
            raise FileFormatError(
                f"{where} claims {size} bytes and stores"
                f" {dataset.id.get_storage_size()}, so it is damaged; get an undamaged"
                " copy"
            )
        return dataset

    def numbers(self, name: str) -> npt.NDArray[Any]:
        """A column of numbers or booleans."""
        dataset = self._dataset(name)
        if dataset.ndim != 1 or dataset.dtype.kind not in "iufb":
            raise FileFormatError(
                f"{dataset.name} holds {dataset.dtype} of shape {dataset.shape} instead"
                " of a column of numbers; get an undamaged copy"
            )
        values: npt.NDArray[Any] = dataset[()]
        return values

    def texts(self, name: str) -> npt.NDArray[Any]:
        """A column of strings, as objects."""
        dataset = self._dataset(name)
        if dataset.ndim != 1 or h5py.check_string_dtype(dataset.dtype) is None:
            raise FileFormatError(
                f"{dataset.name} holds {dataset.dtype} of shape {dataset.shape} instead"
                " of a column of strings; get an undamaged copy"
            )
        return np.asarray(_decoded(dataset[()]), dtype=object)

    def ragged(self, name: str) -> tuple[Any, npt.NDArray[np.int64]]:
        """Dataset of a ragged column, and the number of entries in each row.

        Raises
        ------
        FileFormatError
            If the index is not an ascending one that fits the data.
        """
        dataset, index = self._dataset(name), self._dataset(f"{name}_index")
        if index.ndim != 1 or index.dtype.kind not in "iu" or dataset.ndim < 1:
            raise FileFormatError(
                f"{index.name} is no index of {dataset.name}; get an undamaged copy"
            )
        ends = index[()]
        if (
            len(ends) != len(self)
            or (len(ends) and int(ends[-1]) != len(dataset))
            or (ends[1:] < ends[:-1]).any()
        ):
            raise FileFormatError(
                f"{index.name} does not fit {dataset.name} ({len(ends)} rows,"
                f" {len(dataset)} entries), so the file is damaged; get an undamaged"
                " copy"
            )
        return dataset, np.diff(ends.astype(np.int64), prepend=0)


def read_table(handle: Any, where: str) -> Table:
    """The table at a place in an open file.

    Raises
    ------
    FileFormatError
        If there is none.
    """
    if (
        where not in handle
        or not isinstance(handle[where], h5py.Group)
        or "colnames" not in handle[where].attrs
    ):
        raise FileFormatError(
            f"{handle.filename} has no table /{where}; check that it holds what you"
            " look for"
        )
    return Table(handle[where])


def _decoded(values: Any) -> list[str]:
    cells = [values] if isinstance(values, (str, bytes)) else np.ravel(values).tolist()
    return [
        cell.decode("utf-8") if isinstance(cell, bytes) else str(cell) for cell in cells
    ]
