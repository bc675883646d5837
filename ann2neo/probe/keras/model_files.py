"""Model files: networks read from `.keras` files, which may come from strangers."""

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
        Allow the file to carry Python code, such as a Lambda layer, which then runs on
        this machine.

    Returns
    -------
    keras.Model
        The network, not compiled.

    Raises
    ------
    InputValueError
        If there is no such file.
    FileFormatError
        If it is no Keras model, carries code and `unsafe` is not given, or needs layers
        that are not known here.
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
        missing = re.search(r"Could not locate class '(\w+)'", str(error))
        reason = missing[0] if missing else str(error).strip().partition("\n")[0]
        if not unsafe and "safe_mode" in str(error):
            msg = (
                f"{path} carries Python code, such as a Lambda layer, which would run"
                " on this machine when it is loaded; if you trust where it comes from,"
                " allow it with unsafe=True (--unsafe on the command line)"
            )
        else:
            msg = (
                f"{path} cannot be read as a Keras model ({reason}); a network with"
                " layers of its own must be loaded where these are defined: load it"
                " there and call ann2neo.record on it"
            )
        raise FileFormatError(msg) from error
