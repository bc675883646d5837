"""NWB's tables read directly from HDF5, without schema and without objects per row."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from ann2neo._files import is_being_written, open_regular
from ann2neo.errors import FileFormatError, OutputLockedError
from ann2neo.io.nwb.hdf5_heaps import check_heaps
from ann2neo.io.nwb.hdf5_items import (
    LINKS,
    Links,
    attribute_of,
    checked,
    item_at,
)

__all__ = [
    "Table",
    "check_not_being_written",
    "decoded",
    "open_nwb",
    "read_table",
    "text_at",
    "texts_of",
    "version_of",
]

_BLOCK = 1 << 16
"""Strings that are read together."""

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
def open_nwb(path: Path, *, follow_links: bool | None = None) -> Iterator[h5py.File]:
    """Open an NWB file for reading, as `open_hdf5` does.

    Raises
    ------
    FileFormatError
        As from `open_hdf5`, or if the file is not NWB.
    OutputLockedError
        If it is open for writing.
    """
    with open_hdf5(path, "NWB", follow_links=follow_links) as handle:
        if "nwb_version" not in handle.attrs:
            raise FileFormatError(
                f"{path} is HDF5 but not NWB 2 (it has no nwb_version); convert it to"
                " NWB first"
            )
        yield handle


@contextmanager
def open_hdf5(
    path: Path, form: str, *, follow_links: bool | None = None
) -> Iterator[h5py.File]:
    """Open an HDF5 file for reading; errors of HDF5 become a FileFormatError.

    Parameters
    ----------
    path : Path
        The file.
    form : str
        What the caller expects, such as "NWB", for messages.
    follow_links : bool, optional
        Whether `item_at` may follow links to other files of its folder; not given if
        the user has no such choice.

    Raises
    ------
    FileFormatError
        If the file does not exist, is no regular file, is not HDF5, or is damaged, also
        where that shows only while it is read.
    OutputLockedError
        If it is open for writing.
    """
    if not path.exists():
        raise FileFormatError(f"{path} does not exist; check the path")
    if path.is_dir():
        raise FileFormatError(f"{path} is a folder; give the path of one file")
    try:
        open_regular(path).close()
        handle = _opened(path)
    except (OSError, RuntimeError) as error:
        # HDF5 often cannot open a file while it is written; that is not damage.
        check_not_being_written(path)
        raise FileFormatError(
            f"{path} cannot be opened as HDF5, so it is no {form} file or is damaged"
            f" ({error}); get an undamaged copy"
        ) from error
    folder = path.resolve().parent if follow_links else None
    links = LINKS.set(Links(folder, can_follow=follow_links is not None))
    with handle:
        try:
            # Of the largest dataset only the place in the file is asked for.
            times = item_at(handle, "units/spike_times")
            numbers = times if isinstance(times, h5py.Dataset) else None
            check_heaps(path, handle.userblock_size, numbers)
            yield handle
        except FileFormatError:
            raise
        except _READING_ERRORS as error:
            # Our own errors derive from these, too, and say more.
            if type(error).__module__.startswith("ann2neo"):
                raise
            raise FileFormatError(
                f"{path} cannot be read, so it is damaged or not of {form}'s form"
                f" ({type(error).__name__}: {error}); get an undamaged copy"
            ) from error
        finally:
            LINKS.reset(links)


def _opened(path: Path) -> h5py.File:
    """Open a file without a lock, or as this process has it open already."""
    # HDF5 opens a file a second time in one process only with the same kind of locking.
    # Another library in it, such as pynapple, may have chosen any: each is tried.
    for locking in (False, None, True):
        try:
            return h5py.File(path, "r", locking=locking)
        except OSError as error:
            if "file locking" not in str(error):
                raise
    return h5py.File(path, "r", locking="best-effort")


def check_not_being_written(path: Path) -> None:
    """Raise if a process has an HDF5 file open for writing.

    Raises
    ------
    OutputLockedError
        If HDF5 holds a writer's lock on the file, in this program or another one.
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
    first, stop : int, optional
        Rows to read, half-open; all if not given.
    """

    def __init__(
        self, group: h5py.Group, first: int = 0, stop: int | None = None
    ) -> None:
        self.group = group
        self.colnames = decoded(attribute_of(group, "colnames"))
        self.rows = slice(first, stop)
        self._n_all = len(self._dataset("id"))
        self._length = len(range(self._n_all)[self.rows])

    def __len__(self) -> int:
        """Return the number of rows."""
        return self._length

    def __contains__(self, name: str) -> bool:
        """Return whether the table has a column."""
        return name in self.colnames and item_at(self.group, name) is not None

    def dataset(self, name: str) -> h5py.Dataset | None:
        """Return the dataset of a column, checked; None if it is none."""
        item = item_at(self.group, name)
        return checked(item) if isinstance(item, h5py.Dataset) else None

    def _dataset(self, name: str) -> h5py.Dataset:
        where = f"{self.group.name}/{name}"
        dataset = self.dataset(name)
        if dataset is None:
            raise FileFormatError(
                f"{where} is missing or not a dataset, so the file is damaged; get an"
                " undamaged copy"
            )
        if dataset.ndim == 0:
            raise FileFormatError(
                f"{where} is a single value instead of a column; get an undamaged copy"
            )
        return dataset

    def numbers(self, name: str) -> npt.NDArray[Any]:
        """Read a column of numbers or booleans."""
        dataset = self._dataset(name)
        self._check_column(dataset, "numbers", fits=dataset.dtype.kind in "iufb")
        return np.asarray(dataset[self.rows])

    def texts(self, name: str, errors: str = "strict") -> npt.NDArray[np.object_]:
        """Read a column of strings; `errors` is for bytes that are not UTF-8."""
        dataset = self._dataset(name)
        self._check_column(
            dataset, "strings", fits=h5py.check_string_dtype(dataset.dtype) is not None
        )
        return np.asarray(texts_of(dataset, errors, self.rows), dtype=object)

    def times(self, name: str) -> npt.NDArray[np.float64]:
        """Read a column of times in s."""
        dataset = self._dataset(name)
        self._check_column(dataset, "times", fits=dataset.dtype.kind in "iuf")
        return np.asarray(dataset[self.rows], np.float64)

    def ids(self) -> npt.NDArray[np.int64]:
        """Read the ids of the rows, which must be whole numbers."""
        ids = self.numbers("id")
        with np.errstate(invalid="ignore"):
            whole = ids.astype(np.int64)
        odd = np.flatnonzero((whole != ids) | (ids.dtype.kind == "b"))
        if len(odd):
            raise FileFormatError(
                f"{self.group.name}/id holds {ids[odd[0]]!s}, and ids are whole numbers"
                " below 2^63; get an undamaged copy"
            )
        return whole

    @staticmethod
    def _check_column(dataset: h5py.Dataset, noun: str, *, fits: bool) -> None:
        if dataset.ndim != 1 or not fits:
            raise FileFormatError(
                f"{dataset.name} holds {dataset.dtype} of shape {dataset.shape} instead"
                f" of a column of {noun}; get an undamaged copy"
            )

    def ragged(self, name: str) -> tuple[h5py.Dataset, npt.NDArray[np.int64]]:
        """Return the dataset of a ragged column, and the entries of each row of all.

        NWB keeps the entries of all rows in one dataset, and in ``NAME_index`` where
        each row ends.

        Raises
        ------
        FileFormatError
            If the index begins below zero, does not ascend or does not fit the data.
        """
        dataset, index = self._dataset(name), self._dataset(f"{name}_index")
        if index.ndim != 1 or index.dtype.kind not in "iu" or dataset.ndim < 1:
            raise FileFormatError(
                f"{index.name} is no index of {dataset.name}; get an undamaged copy"
            )
        ends = index[()]
        if (
            len(ends) != self._n_all
            or (len(ends) and (int(ends[0]) < 0 or int(ends[-1]) != len(dataset)))
            or (ends[1:] < ends[:-1]).any()
        ):
            raise FileFormatError(
                f"{index.name} does not fit {dataset.name} ({len(ends)} rows,"
                f" {len(dataset)} entries), so the file is damaged; get an undamaged"
                " copy"
            )
        # Ends 2, 2, 5 mean rows of 2, 0 and 3 entries.
        return dataset, np.diff(ends.astype(np.int64), prepend=0)

    def ragged_times(self, name: str) -> tuple[h5py.Dataset, npt.NDArray[np.int64]]:
        """Return a ragged column of times, as `ragged` does."""
        dataset, counts = self.ragged(name)
        if dataset.dtype.kind not in "iuf":
            raise FileFormatError(
                f"{dataset.name} holds {dataset.dtype} instead of times; get an"
                " undamaged copy"
            )
        return dataset, counts


def text_at(group: h5py.Group, name: str, errors: str = "strict") -> str | None:
    """Return a single string in a group, or None if there is none of that name.

    Where there are several, such as experimenters, they are joined.
    """
    dataset = item_at(group, name)
    if not isinstance(dataset, h5py.Dataset):
        return None
    if h5py.check_string_dtype(dataset.dtype) is None and dataset.size != 1:
        raise FileFormatError(
            f"{dataset.name} holds {dataset.dtype} of shape {dataset.shape} instead of"
            " text; get an undamaged copy"
        )
    return "; ".join(texts_of(checked(dataset), errors))


def texts_of(
    dataset: h5py.Dataset, errors: str = "strict", rows: slice = slice(None)
) -> list[str]:
    """Read a checked dataset of strings, block by block, as one string or a column."""
    if dataset.ndim != 1:
        return decoded(dataset[()], errors)
    texts: list[str] = []
    # Strings repeat: those of a block are shared with the blocks before.
    same: dict[str, str] = {}
    first, last, _ = rows.indices(len(dataset))
    for begin in range(first, last, _BLOCK):
        block = decoded(dataset[begin : min(begin + _BLOCK, last)], errors)
        texts += [same.setdefault(text, text) for text in block]
    return texts


def version_of(handle: h5py.File) -> str:
    """Return the version of the NWB schema; some files store it as an array."""
    return "; ".join(decoded(attribute_of(handle, "nwb_version")))


def read_table(handle: h5py.File, where: str) -> Table:
    """Return the table at a path in an open file.

    Raises
    ------
    FileFormatError
        If there is no table.
    """
    group = item_at(handle, where)
    if not isinstance(group, h5py.Group) or "colnames" not in group.attrs:
        raise FileFormatError(
            f"{handle.filename} has no table /{where}; check that it is the right file"
        )
    return Table(group)


def decoded(values: Any, errors: str = "strict") -> list[str]:
    """Decode strings as h5py gives them: one or an array, of bytes or str."""
    cells = [values] if isinstance(values, (str, bytes)) else np.ravel(values).tolist()
    # Labels and phases repeat: each different string is decoded once.
    texts = {
        cell: cell.decode("utf-8", errors) if isinstance(cell, bytes) else str(cell)
        for cell in set(cells)
    }
    return [texts[cell] for cell in cells]
