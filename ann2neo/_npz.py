"""Read `.npz` files from anybody: plain arrays, whole ones, or an error."""

from __future__ import annotations

import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ann2neo.errors import FileFormatError, InputValueError

__all__ = ["read_npz"]


def read_npz(
    path: Path, names: Collection[str] | None, remedy: str
) -> dict[str, npt.NDArray[Any]]:
    """Read arrays from a `.npz` file, without pickle.

    Every byte of an array goes through the CRC-32 of the ZIP archive, which
    `numpy.load` leaves out where a damaged header claims fewer bytes than there are.

    Parameters
    ----------
    path : Path
        The file.
    names : collection of str or None
        Arrays to read; None for all of them. Those that are not there are left out.
    remedy : str
        What the user can do if it cannot be read; ends the message.

    Returns
    -------
    dict of str to ndarray
        The arrays.

    Raises
    ------
    InputValueError
        If there is no such file.
    FileFormatError
        If it is no `.npz` file of plain arrays, or is damaged.
    """
    if not path.is_file():
        raise InputValueError(f"there is no file {path}; {remedy}")
    arrays = {}
    # All of this is zipfile, zlib and NumPy reading the file: there is no end to what
    # they raise when one is damaged, and no fault of ann2neo among it.
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                name = entry.filename.removesuffix(".npy")
                # Opened even if nobody wants it: that compares its name with the
                # directory's, which could make another array of it.
                with archive.open(entry) as file:
                    if names is None or name in names:
                        arrays[name] = np.lib.format.read_array(
                            file, allow_pickle=False
                        )
                        if file.read(1):
                            raise ValueError(f"{name} is longer than its header says")
    except Exception as error:
        raise FileFormatError(
            f"{path} is not a NumPy .npz file of plain arrays, or is damaged"
            f" ({str(error) or type(error).__name__}); {remedy}"
        ) from error
    return arrays
