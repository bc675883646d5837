"""Model files: networks read from `.keras` files, trusted or not."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import Any

import keras

from ann2neo.errors import FileFormatError, InputValueError

__all__ = ["load_model"]


def load_model(path: str | Path, *, unsafe: bool = False) -> Any:
    """Read a network from a `.keras` file.

    Parameters
    ----------
    path : str or Path
        The file, as ``model.save("name.keras")`` wrote it.
    unsafe : bool, default False
        Allow the file to contain Python code, such as a Lambda layer, which then runs
        on this machine.

    Returns
    -------
    keras.Model
        The network, not compiled.

    Raises
    ------
    InputValueError
        If there is no such file.
    FileFormatError
        If it is not a Keras model, contains code and `unsafe` is not given, or needs
        layers that are not defined here.
    """
    path = Path(path)
    if not path.exists():
        raise InputValueError(f"there is no file {path}; check the name and the folder")
    if path.is_dir() or not zipfile.is_zipfile(path):
        raise FileFormatError(
            f"{path} is not a .keras file; save the network with"
            " model.save('name.keras'), or load it yourself and call ann2neo.record on"
            " it"
        )
    # Not compiled: optimizer and loss are not needed, and may be classes of the user.
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=not unsafe)
    except (
        ValueError,
        TypeError,
        KeyError,
        OSError,
        AttributeError,
        NotImplementedError,
    ) as error:
        if not unsafe and "safe_mode" in str(error):
            raise FileFormatError(
                f"{path} contains Python code, such as a Lambda layer, which would run"
                " on this machine when it is loaded; if you trust where it comes from,"
                " allow it with unsafe=True (--unsafe on the command line)"
            ) from error
        missing = re.search(r"Could not locate class '(\w+)'", str(error))
        reason = missing[0] if missing else str(error).strip().partition("\n")[0]
        raise FileFormatError(
            f"{path} cannot be read as a Keras model ({reason}); a network with custom"
            " layers must be loaded where these are defined: load it there and call"
            " ann2neo.record on it"
        ) from error
