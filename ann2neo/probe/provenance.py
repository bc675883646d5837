"""Provenance: which software and which weights a recording was made with."""

from __future__ import annotations

import functools
import hashlib
import json
import platform
from collections.abc import Iterable
from importlib.metadata import version
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["arrays_sha256", "package_versions"]


@functools.cache
def package_versions(framework: str) -> dict[str, str]:
    """Return the versions of Python and of the packages, as ``<package>_version``."""
    # Cached: reading them from files takes as long as the pass of a small recording.
    packages = ("ann2neo", framework, "numpy", "neo")
    return {
        "python_version": platform.python_version(),
        **{f"{package}_version": version(package) for package in packages},
    }


def arrays_sha256(arrays: Iterable[npt.NDArray[Any]]) -> str:
    """Compute a checksum of a model's weights, which ignores the names of layers.

    Parameters
    ----------
    arrays : iterable of ndarray
        The weights.

    Returns
    -------
    str
        SHA-256, in hex, over the arrays in their order: for each, a JSON line of type
        and shape, then its values in C order, little-endian.
    """
    digest = hashlib.sha256()
    for values in arrays:
        header = json.dumps([str(values.dtype), list(values.shape)])
        digest.update(header.encode() + b"\n")
        if values.size:
            digest.update(np.ascontiguousarray(values).view(np.uint8).reshape(-1).data)
    return digest.hexdigest()
