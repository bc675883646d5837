"""Files of stimuli and labels, as the command ``record`` takes them."""

from __future__ import annotations

import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ann2neo.errors import FileFormatError, InputValueError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["read_lengths", "read_presentations", "read_stimuli"]

_LABELS = {"x": ("y", "labels", "label"), "x_test": ("y_test",)}
"""Names of the stimuli in a file, and those of their labels."""
_ALL_LABELS = [name for names in _LABELS.values() for name in names]
_HDF5 = (".h5", ".hdf5")


def read_stimuli(path: Path) -> tuple[Any, Any]:
    """Read stimuli and labels from a file.

    Parameters
    ----------
    path : Path
        A ``.npy`` file of stimuli; or a ``.npz`` or HDF5 file (``.h5``, ``.hdf5``) of
        arrays: x and y, else x_test and y_test, else an array for each input of the
        model, and y. HDF5 is read batch by batch.

    Returns
    -------
    x : array or dict of str to array
        The stimuli.
    y : array or None
        Their labels, if the file has them.

    Raises
    ------
    InputValueError
        If there is no such file.
    FileFormatError
        If it cannot be read, or holds no stimuli.
    """
    if not path.is_file():
        reason = (
            f"{path} is not a file" if path.exists() else f"there is no file {path}"
        )
        raise InputValueError(f"{reason}; {_remedy(path)}")
    if path.suffix == ".npy":
        return _read_npy(path), None
    arrays = _Hdf5(path) if path.suffix in _HDF5 else _Npz(path)
    x, y = _chosen(arrays.names, path)
    label = None if y is None else arrays.read([y])[y]
    if isinstance(x, str):
        return arrays.read([x])[x], label
    return arrays.read(x), label


def read_presentations(path: Path | None) -> tuple[Any, pd.DataFrame | None]:
    """Read columns of presentations from a CSV file with a line of names.

    Parameters
    ----------
    path : Path or None
        The file, if there is one.

    Returns
    -------
    stimulus_id : Series or None
        Its column of that name.
    columns : DataFrame or None
        The others.

    Raises
    ------
    InputValueError
        If it cannot be opened.
    FileFormatError
        If it is no CSV file, or has no row.
    """
    if path is None:
        return None, None
    import pandas as pd

    # pandas reading whatever file it is given raises this and that.
    try:
        # An empty field is an empty text, as "NA" is the text that it is.
        table = pd.read_csv(path, keep_default_na=False)
    except OSError as error:
        raise InputValueError(
            f"{path} cannot be read ({error.strerror}); check the name and the folder"
        ) from error
    except Exception as error:
        raise FileFormatError(
            f"{path} is not a CSV file; its first line must name the columns, and a"
            " row for each stimulus follow"
        ) from error
    if not len(table):
        raise FileFormatError(f"{path} has no row; it needs one for each stimulus")
    names = table.get("stimulus_id")
    return names, table.drop(columns="stimulus_id", errors="ignore")


def read_lengths(path: Path | None) -> Any:
    """Read how many steps each stimulus has.

    Parameters
    ----------
    path : Path or None
        A ``.npy`` file, or a text of one number per line, if there is one.

    Returns
    -------
    ndarray or None
        The numbers.

    Raises
    ------
    InputValueError, FileFormatError
        If it cannot be read, or holds no numbers.
    """
    if path is None:
        return None
    if not path.is_file():
        raise InputValueError(
            f"there is no file {path} of lengths; save one number per stimulus with"
            f" numpy.save('{path.with_suffix('.npy').name}', lengths)"
        )
    if path.suffix == ".npy":
        return _read_npy(path)
    import numpy as np

    try:
        return np.loadtxt(path, ndmin=1)
    except ValueError as error:
        raise FileFormatError(
            f"{path} is no list of numbers; write the steps of each stimulus, one"
            " number per line"
        ) from error


def _remedy(path: Path) -> str:
    name = path.with_suffix(".npz").name
    return f"save the stimuli with numpy.savez('{name}', x=x, y=y)"


def _chosen(names: Collection[str], path: Path) -> tuple[str | list[str], str | None]:
    """Choose the stimuli, one array or one for each input, and the labels by name."""
    for x, labels in _LABELS.items():
        if x in names:
            return x, next((name for name in labels if name in names), None)
    inputs = [name for name in names if name not in _ALL_LABELS]
    if len(inputs) < 2:
        raise FileFormatError(
            f"{path} lacks x; it must hold x, and y if known, or an array for each"
            " input of the model, under the input's name"
        )
    return inputs, next((name for name in _LABELS["x"] if name in names), None)


def _read_npy(path: Path) -> Any:
    import numpy as np

    # NumPy reading a damaged file raises this and that.
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:
        raise FileFormatError(
            f"{path} is not a NumPy .npy file of a plain array, or is damaged;"
            f" {_remedy(path)}"
        ) from error


class _Npz:
    """The arrays of a `.npz` file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.names: list[str] = []
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                self.names = [name.removesuffix(".npy") for name in archive.namelist()]
        else:
            # Says what is wrong with the file.
            self.read([])

    def read(self, names: list[str]) -> dict[str, Any]:
        from ann2neo._npz import read_npz

        return dict(read_npz(self._path, names, _remedy(self._path)))


class _Hdf5:
    """The arrays of an HDF5 file, which stays open while they are read."""

    def __init__(self, path: Path) -> None:
        import h5py

        self._path = path
        try:
            self._file = h5py.File(path, "r")
        except OSError as error:
            raise FileFormatError(
                f"{path} is not an HDF5 file, or is damaged; {_remedy(path)}"
            ) from error
        # Links and arrays that lead to other files are not read: the file may be a
        # stranger's.
        self.names = [
            name
            for name in self._file
            if isinstance(self._file.get(name, getlink=True), h5py.HardLink)
            and isinstance(self._file[name], h5py.Dataset)
            and not self._file[name].is_virtual
            and self._file[name].external is None
        ]
        for name in self._file:
            if name in _ALL_LABELS and name not in self.names:
                raise FileFormatError(
                    f"{path} has {name}, which is not an array in this file; store the"
                    " labels as an array, or remove it"
                )

    def read(self, names: list[str]) -> dict[str, Any]:
        return {name: self._file[name] for name in names}
