"""Nests: arrays in lists, tuples and dictionaries, which models take as inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["all_finite", "leaves_of", "map_leaves"]


def leaves_of(nest: Any) -> list[Any]:
    """List the leaves of a nest, with dictionaries in the order of their keys.

    Examples
    --------
    >>> leaves_of({"b": [1, 2], "a": 3})
    [3, 1, 2]
    """
    leaves: list[Any] = []
    map_leaves(leaves.append, nest)
    return leaves


def map_leaves(function: Callable[[Any], Any], nest: Any) -> Any:
    """Apply a function to every leaf of a nest.

    Examples
    --------
    >>> map_leaves(str, {"b": [1, 2], "a": (3,)})
    {'a': ('3',), 'b': ['1', '2']}
    """
    if isinstance(nest, Mapping):
        # Sorted, as Keras and JAX flatten dictionaries.
        return {key: map_leaves(function, nest[key]) for key in sorted(nest)}
    if not isinstance(nest, (list, tuple)):
        return function(nest)
    parts = [map_leaves(function, part) for part in nest]
    if hasattr(nest, "_fields"):
        # A named tuple takes its parts as separate arguments.
        return type(nest)(*parts)
    return tuple(parts) if isinstance(nest, tuple) else parts


def all_finite(values: npt.NDArray[Any]) -> bool:
    """Return whether no number of an array is NaN or infinite.

    Examples
    --------
    >>> all_finite(np.array([1.0, 2.0])), all_finite(np.array([1.0, np.nan]))
    (True, False)
    """
    if values.dtype.kind in "biuSUO":
        return True
    if values.dtype.kind == "V":
        # bfloat16 and its like, of which NumPy knows nothing but how to cast them.
        values = values.astype(np.float32)
    with np.errstate(all="ignore"):
        # A sum reads memory once, and NaN and infinity pass into it. It may overflow,
        # so that only a finite one decides.
        return bool(np.isfinite(_sum(values)) or np.isfinite(values).all())


def _sum(values: npt.NDArray[Any]) -> Any:
    if values.dtype.char not in "fd" or not values.flags.c_contiguous:
        return values.sum()
    # As fast as BLAS on one core, and BLAS would wait for the others, on which a
    # network may be running.
    return np.einsum("i->", values.reshape(-1))
