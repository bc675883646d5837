"""Provenance: what a recording says about where it came from."""

from __future__ import annotations

import functools
import hashlib
import importlib
import json
import platform
from importlib.metadata import version
from typing import Any

import keras
import numpy as np

__all__ = ["software_versions", "weights_sha256"]

_PACKAGES = ("ann2neo", "keras", "numpy", "neo")


def software_versions() -> dict[str, str]:
    """Versions of Python and of the packages that took part, as
    ``<package>_version``.
    """
    return dict(_software_versions(keras.backend.backend()))


@functools.cache
def _software_versions(backend: str) -> dict[str, str]:
    # Each is read from a file, which takes as long as the pass of a small recording.
    versions = {f"{package}_version": version(package) for package in _PACKAGES}
    # The distribution of a backend may go by another name, such as tensorflow-cpu; the
    # module knows.
    versions[f"{backend}_version"] = str(importlib.import_module(backend).__version__)
    return {"python_version": platform.python_version(), **versions}


def weights_sha256(model: Any) -> str:
    """Checksum of a model's weights, the same for the same weights whatever the layers
    are called.

    Parameters
    ----------
    model : keras.Model
        A built model.

    Returns
    -------
    str
        SHA-256, in hex, over the weights in Keras' order: for each, a JSON line of type
        and shape, then its values in C order, little-endian.
    """
    digest = hashlib.sha256()
    for weight in model.weights:
        values = np.asarray(weight.numpy())
        digest.update(
            json.dumps([str(values.dtype), list(values.shape)]).encode() + b"\n"
        )
        values = np.ascontiguousarray(values)
        digest.update(values.view(np.uint8).reshape(-1) if values.size else b"")
    return digest.hexdigest()
