"""Packing: compare activations with thresholds and pack the spikes into bits."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from ann2neo.probe.adapter import NotFinite, first_not_finite

__all__ = ["device_name", "on_accelerator", "pack_spikes"]

_NOT_FINITE = 1 << 8
"""The bit above the eight of the spikes, set where an activation is not finite."""


def pack_spikes(
    activations: Any, limits: npt.NDArray[Any], index: npt.NDArray[np.int32] | None
) -> tuple[npt.NDArray[np.uint8], NotFinite | None]:
    """Compare activations with thresholds, now; see `Adapter.pack_spikes`."""
    transposing = on_accelerator()
    compare = _comparison(
        keras.backend.backend(),
        tuple(activations.shape),
        keras.backend.standardize_dtype(activations.dtype),
        limits.shape,
        str(limits.dtype),
        None if index is None else len(index),
        transposing=transposing,
    )
    chosen = () if index is None else (index,)
    compared = compare(activations, limits, *chosen)
    if transposing:
        # Copied from the device, where only a byte per octet is left of each word.
        rows, odd = map(keras.ops.convert_to_numpy, compared)
        packed, finite = np.asarray(rows).T, not bool(odd)
    else:
        # Neither copies what already lies in the memory of the CPU.
        as_array = np.asarray if keras.backend.backend() == "jax" else np.from_dlpack
        words = as_array(compared)
        finite = not words.size or bool(words.max() < _NOT_FINITE)
        # The low byte of each little-endian word.
        packed = words.view(np.uint8)[:, :: words.itemsize]
    found = None
    if not finite:
        values = np.asarray(keras.ops.convert_to_numpy(activations))
        flat = values.reshape(len(values), -1)
        found = first_not_finite(flat if index is None else flat[:, index])
    return packed, found


@functools.cache
def device_name() -> str:
    """Name the kind of device on which Keras computes."""
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return str(jax.default_backend())
    if backend == "torch":
        device = keras.ops.convert_to_tensor(0.0).device
        return str(device.type)
    import tensorflow as tf

    return "gpu" if tf.config.list_logical_devices("GPU") else "cpu"


def on_accelerator() -> bool:
    """Whether Keras computes on a device with a memory of its own."""
    return device_name() != "cpu"


@functools.lru_cache(maxsize=4096)
def _comparison(
    backend: str,
    shape: tuple[int, ...],
    dtype: str,
    limits: tuple[int, ...],
    limit_dtype: str,
    n_chosen: int | None,
    *,
    transposing: bool,
) -> Callable[..., Any]:
    """Compile the comparison for one shape.

    XLA fuses it into one pass over memory; TensorFlow's own kernels would make six.
    """
    function = _compare_transposed if transposing else _compare
    if backend == "jax":
        import jax

        compiled_by_jax: Callable[..., Any] = jax.jit(function)
        return compiled_by_jax
    import tensorflow as tf

    specs = [tf.TensorSpec(shape, dtype), tf.TensorSpec(limits, limit_dtype)]
    if n_chosen is not None:
        specs.append(tf.TensorSpec((n_chosen,), "int32"))
    # Not a concrete function, which would format its arguments for an error message at
    # every call.
    compiled = tf.function(
        function, autograph=False, jit_compile=True, input_signature=specs
    )
    return lambda *arguments: compiled(*map(tf.convert_to_tensor, arguments))


def _compare(activations: Any, limits: Any, index: Any | None = None) -> Any:
    """Make one word per unit and eight samples.

    Bits of a word, from the highest: ``n 76543210``, where bit i is the spike at sample
    i of the eight, and n is set if one of the activations is NaN or infinite.
    """
    ops = keras.ops
    # Reshaped inside the compiled function: outside it, JAX would make a copy.
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
    # Axes (octet, sample in the octet, unit): `octets[:, i]` becomes bit i.
    octets = ops.reshape(flat, ((n_samples + missing) // 8, 8, n_units))
    # Each value is tested, since XLA's maximum may lose a NaN.
    words: Any = 0
    finite: Any = True
    for row in range(8):
        values = octets[:, row]
        words += ops.cast(ops.greater(values, limits), "uint16") * (1 << row)
        finite = ops.logical_and(finite, ops.less(ops.absolute(values), float("inf")))
    if missing:
        # The zeros that fill the last word may lie above a threshold; clear their bits.
        real = np.full((octets.shape[0], 1), 255, np.uint16)
        real[-1] >>= missing
        words = ops.bitwise_and(words, real)
    return words + ops.cast(ops.logical_not(finite), "uint16") * _NOT_FINITE


def _compare_transposed(*arguments: Any) -> tuple[Any, Any]:
    """Compare, and make a row of bytes per unit, as the raster has them.

    Returns
    -------
    rows : tensor of uint8, shape (n_units, n_octets)
        The spikes.
    odd : tensor of bool
        Whether an activation is NaN or infinite.
    """
    ops = keras.ops
    words = _compare(*arguments)
    rows = ops.transpose(ops.cast(ops.bitwise_and(words, 255), "uint8"))
    return rows, ops.any(ops.greater_equal(words, _NOT_FINITE))
