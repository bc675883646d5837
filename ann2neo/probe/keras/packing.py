"""Packing: where activations lie above their thresholds, found and packed by the
backend in one pass over memory.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

__all__ = ["pack_spikes"]

_NOT_FINITE = 256


def pack_spikes(
    activations: Any, limits: npt.NDArray[Any], index: npt.NDArray[np.int32] | None
) -> tuple[npt.NDArray[np.uint8], bool]:
    """Compare activations with thresholds; see `Adapter.pack_spikes`."""
    compare = _comparison(
        keras.backend.backend(),
        tuple(activations.shape),
        keras.backend.standardize_dtype(activations.dtype),
        limits.shape,
        str(limits.dtype),
        None if index is None else len(index),
    )
    chosen = () if index is None else (index,)
    words = _view(compare(activations, limits, *chosen))
    finite = not words.size or bool(words.max() < _NOT_FINITE)
    return words.view(np.uint8)[:, :: words.itemsize], finite


@functools.lru_cache(maxsize=4096)
def _comparison(
    backend: str,
    shape: tuple[int, ...],
    dtype: str,
    limits: tuple[int, ...],
    limit_dtype: str,
    n_chosen: int | None,
) -> Callable[..., Any]:
    """The comparison compiled by XLA for one shape; TensorFlow's own kernels would pass
    over memory six times.
    """
    if backend == "jax":
        import jax

        compiled_by_jax: Callable[..., Any] = jax.jit(_compare)
        return compiled_by_jax
    import tensorflow as tf

    specs = [tf.TensorSpec(shape, dtype), tf.TensorSpec(limits, limit_dtype)]
    if n_chosen is not None:
        specs.append(tf.TensorSpec((n_chosen,), "int32"))
    # Called as a tf.function: a concrete function first prints its arguments into an
    # error that nobody sees.
    compiled = tf.function(
        _compare, autograph=False, jit_compile=True, input_signature=specs
    )
    return lambda *arguments: compiled(*map(tf.convert_to_tensor, arguments))


def _compare(activations: Any, limits: Any, index: Any | None = None) -> Any:
    """Words of eight samples each, with `_NOT_FINITE` added where one of them is NaN or
    infinite.
    """
    ops = keras.ops
    # Here, since JAX would copy everything to reshape it by itself.
    flat = ops.reshape(activations, (activations.shape[0], -1))
    # A bfloat16 comparison would round the threshold.
    if keras.backend.standardize_dtype(flat.dtype) != "float64":
        flat = ops.cast(flat, "float32")
    if index is not None:
        flat = ops.take(flat, index, axis=1)
    n_samples, n_units = flat.shape
    missing = -n_samples % 8
    if missing:
        flat = ops.pad(flat, ((0, missing), (0, 0)))
    octets = ops.reshape(flat, ((n_samples + missing) // 8, 8, n_units))
    # Not by a maximum: XLA's may lose a NaN.
    words: Any = 0
    finite: Any = True
    for row in range(8):
        values = octets[:, row]
        words += ops.cast(ops.greater(values, limits), "uint16") * (1 << row)
        finite = ops.logical_and(finite, ops.less(ops.absolute(values), float("inf")))
    if missing:
        # The zeros set beside the last samples may lie above a threshold, and are no
        # samples.
        real = np.full((octets.shape[0], 1), 255, np.uint16)
        real[-1] >>= missing
        words = ops.bitwise_and(words, real)
    return words + ops.cast(ops.logical_not(finite), "uint16") * _NOT_FINITE


def _view(tensor: Any) -> npt.NDArray[Any]:
    """A tensor of the backend as an array, without a copy where it lies in the CPU's
    memory.
    """
    return (
        np.asarray(tensor)
        if keras.backend.backend() == "jax"
        else np.from_dlpack(tensor)
    )
