"""Crossings: where activations lie above their thresholds, found on the backend and handed over without a copy."""

from __future__ import annotations

import functools
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from ann2neo.errors import ActivationError
from ann2neo.probe.forward import Tap

__all__ = ["check_finite", "crossings", "to_numpy"]

BoolArray = npt.NDArray[np.bool_]


def crossings(activations: Any, limits: Any, index: Any | None) -> tuple[BoolArray, bool]:
    """Compare activations with thresholds.

    Parameters
    ----------
    activations : tensor of the backend, shape (n_samples, ...)
        Activations of one output.
    limits : ndarray of float32, shape () or (n_chosen,)
        Thresholds, as `below_in_float32` gives them.
    index : ndarray of int, shape (n_chosen,), or None
        Units to keep, in C order of the output; all if None.

    Returns
    -------
    active : ndarray of bool, shape (n_samples, n_chosen)
        True where a unit spiked; a read-only view of the backend's memory.
    suspect : bool
        Whether some activation may be NaN or infinite: their sum is. `check_finite` makes sure.
    """
    # Flat and of one type: a reshape moves no memory, and one compiled comparison serves every layer.
    flat = keras.ops.reshape(activations, (activations.shape[0], -1))
    active, total = _comparison(keras.backend.backend())(flat, limits, index)
    return _view(active), not np.isfinite(to_numpy(total))


@functools.cache
def _comparison(backend: str) -> Any:
    if backend == "tensorflow":
        import tensorflow as tf

        return tf.function(_cross, autograph=False, reduce_retracing=True)
    import jax

    return jax.jit(_cross)


def _cross(flat: Any, limits: Any, index: Any | None) -> Any:
    # A bfloat16 comparison would round the threshold; float64 stays as it is.
    if keras.backend.standardize_dtype(flat.dtype) != "float64":
        flat = keras.ops.cast(flat, "float32")
    total = keras.ops.sum(flat)
    if index is not None:
        flat = keras.ops.take(flat, index, axis=1)
    return keras.ops.greater(flat, keras.ops.cast(limits, flat.dtype)), total


def _view(tensor: Any) -> BoolArray:
    return np.asarray(np.from_dlpack(tensor))


def to_numpy(tensor: Any) -> npt.NDArray[Any]:
    """A tensor of the backend as an array in the CPU's memory."""
    return np.asarray(keras.ops.convert_to_numpy(tensor))


def check_finite(activations: Any, tap: Tap, first_sample: int) -> None:
    """Refuse a batch with NaN or infinite activations.

    Parameters
    ----------
    activations : tensor of the backend, shape (n_samples, ...)
        Activations of one output.
    tap : Tap
        Which output.
    first_sample : int
        Number of the batch's first presentation, for the message.

    Raises
    ------
    ActivationError
        If there are any; names layer, presentation and unit.
    """
    wide = keras.backend.standardize_dtype(activations.dtype) == "float64"
    values = to_numpy(activations if wide else keras.ops.cast(activations, "float32"))
    flat = values.reshape(len(values), -1)
    bad = np.argwhere(~np.isfinite(flat))
    if len(bad):
        row, unit = bad[0]
        msg = f"the layer {tap} gave {flat[row, unit]} at presentation {first_sample + row}, unit {unit}; activations "
        raise ActivationError(f"{msg}must be finite: look for a diverged network or unscaled input")
