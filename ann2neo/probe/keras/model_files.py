"""Model files: networks read from `.keras` files, trusted or not."""

from __future__ import annotations

import math
import re
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ann2neo.errors import FileFormatError, InputValueError

__all__ = ["check_model_file", "load_model"]

_SPARE_WEIGHTS = 1 << 22
"""Weights that a network may have besides those in its file."""

_loading = threading.Lock()


def check_model_file(path: str | Path) -> None:
    """Raise if there is no such file, or it is no `.keras` file; Keras is not loaded.

    Raises
    ------
    InputValueError, FileFormatError
        As `load_model`.
    """
    path = Path(path)
    if not path.exists():
        raise InputValueError(f"there is no file {path}; check the name and the folder")
    # By its name, too: Keras reads a file of another name in another format, such as
    # HDF5, which may hold a ZIP archive at its end and knows no safe mode.
    if path.suffix != ".keras" or not path.is_file() or not zipfile.is_zipfile(path):
        raise FileFormatError(
            f"{path} is not a .keras file; save the network with"
            " model.save('name.keras'), or load it yourself and call ann2neo.record on"
            " it"
        )


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
        If it is no Keras model, is damaged or not named ``.keras``, contains code and
        `unsafe` is not given, or needs layers that are not defined here.
    """
    import keras

    check_model_file(path)
    path = Path(path)
    # Not compiled: optimizer and loss are not needed, and may be classes of the user.
    try:
        with _no_more_weights_than_in(path):
            return keras.saving.load_model(path, compile=False, safe_mode=not unsafe)
    # All of this is Keras reading the file: there is no end to what it raises when one
    # is damaged, and no fault of ann2neo among it.
    except Exception as error:
        if not unsafe and "safe_mode" in str(error):
            raise FileFormatError(
                f"{path} contains Python code, such as a Lambda layer, which would run"
                " on this machine when it is loaded; if you trust where it comes from,"
                " allow it with unsafe=True (--unsafe on the command line)"
            ) from error
        missing = re.search(r"Could not locate class '(\w+)'", str(error))
        first_line = str(error).strip().partition("\n")[0]
        reason = missing[0] if missing else first_line or type(error).__name__
        raise FileFormatError(
            f"{path} cannot be read as a Keras model ({reason}); get an undamaged copy."
            " A network with custom layers must be loaded where these are defined: load"
            " it there and call ann2neo.record on it"
        ) from error


@contextmanager
def _no_more_weights_than_in(path: Path) -> Iterator[None]:
    """Refuse weights that cannot be in the file, before they take up memory.

    Keras builds the network that the configuration describes and reads the weights
    afterwards: a changed number of units could take all memory first.
    """
    import keras

    with zipfile.ZipFile(path) as archive:
        # No weight is stored in less than a byte.
        most = _SPARE_WEIGHTS + sum(entry.file_size for entry in archive.infolist())
    thread, n_weights = threading.get_ident(), 0

    def counting(layer: Any, shape: Any = None, *args: Any, **kwargs: Any) -> Any:
        nonlocal n_weights
        # Other threads may build networks of their own meanwhile.
        if threading.get_ident() == thread:
            n_weights += math.prod(shape or ())
            if n_weights > most:
                raise ValueError(
                    f"its layers have {n_weights:,} weights or more, which the file is"
                    " too small to hold"
                )
        return add_weight(layer, shape, *args, **kwargs)

    with _loading:
        add_weight = keras.Layer.add_weight
        keras.Layer.add_weight = counting
        try:
            yield
        finally:
            keras.Layer.add_weight = add_weight
