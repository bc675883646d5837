"""Packing: compare activations with thresholds and pack the spikes into bits."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from ann2neo.probe.adapter import Frame, NotFinite, first_not_finite

__all__ = ["device_name", "on_accelerator", "pack_spikes"]

_NOT_FINITE = 1 << 8
"""The bit above the eight of the spikes, set where an activation is not finite."""


def pack_spikes(
    activations: Any,
    limits: npt.NDArray[Any],
    index: npt.NDArray[np.int32] | None,
    frame: Frame | None = None,
) -> tuple[npt.NDArray[np.uint8], NotFinite | None]:
    """Compare activations with thresholds, now; see `Adapter.pack_spikes`."""
    transposing = on_accelerator()
    rows = None if frame is None else _filled_up(frame)
    compare = _comparison(
        keras.backend.backend(),
        tuple(activations.shape),
        keras.backend.standardize_dtype(activations.dtype),
        limits.shape,
        str(limits.dtype),
        None if index is None else len(index),
        n_leading=1 if frame is None else 2,
        has_rows=rows is not None,
        transposing=transposing,
    )
    chosen = [numbers for numbers in (index, rows) if numbers is not None]
    compared = compare(activations, limits, *chosen)
    if transposing:
        # Copied from the device, where only a byte per octet is left of each word.
        octets, odd = map(keras.ops.convert_to_numpy, compared)
        packed, finite = np.asarray(octets).T, not bool(odd)
    else:
        # Neither copies what already lies in the memory of the CPU.
        as_array = np.asarray if keras.backend.backend() == "jax" else np.from_dlpack
        words = as_array(compared)
        finite = not words.size or bool(words.max() < _NOT_FINITE)
        # The low byte of each little-endian word.
        packed = words.view(np.uint8)[:, :: words.itemsize]
    if rows is not None and frame is not None:
        packed = _cut(packed, frame.n_bins)
    found = None
    if not finite:
        values = np.asarray(keras.ops.convert_to_numpy(activations))
        flat = values.reshape(len(values), -1) if frame is None else frame.flat(values)
        found = first_not_finite(flat if index is None else flat[:, index])
    return packed, found


def _filled_up(frame: Frame) -> npt.NDArray[np.int32] | None:
    """Return the rows that are bins, as many for every mask.

    One compiled comparison then takes them all. The last one is repeated, since what
    lies in the padding may not be finite.
    """
    if frame.rows is None:
        return None
    n_rows = len(frame.lengths) * frame.n_steps
    return np.pad(frame.rows, (0, n_rows - len(frame.rows)), mode="edge")


def _cut(packed: npt.NDArray[np.uint8], n_bins: int) -> npt.NDArray[np.uint8]:
    """Keep the first bins, and clear the bits beyond them in the last byte."""
    kept = packed[: -(-n_bins // 8)]
    if n_bins % 8:
        kept = kept.copy(order="K")
        kept[-1] &= (1 << n_bins % 8) - 1
    return kept


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
    n_leading: int,
    has_rows: bool,
    transposing: bool,
) -> Callable[..., Any]:
    """Compile the comparison for one shape.

    XLA fuses it into one pass over memory; TensorFlow's own kernels would make six.
    """
    base = _compare_transposed if transposing else _compare

    def function(activations: Any, limits: Any, *chosen: Any) -> Any:
        index = None if n_chosen is None else chosen[0]
        rows = chosen[-1] if has_rows else None
        return base(activations, limits, index, rows, n_leading)

    if backend == "jax":
        import jax

        compiled_by_jax: Callable[..., Any] = jax.jit(function)
        return compiled_by_jax
    import tensorflow as tf

    specs = [tf.TensorSpec(shape, dtype), tf.TensorSpec(limits, limit_dtype)]
    if n_chosen is not None:
        specs.append(tf.TensorSpec((n_chosen,), "int32"))
    if has_rows:
        specs.append(tf.TensorSpec((shape[0] * shape[1],), "int32"))
    # Not a concrete function, which would format its arguments for an error message at
    # every call.
    compiled = tf.function(
        function, autograph=False, jit_compile=True, input_signature=specs
    )
    return lambda *arguments: compiled(*map(tf.convert_to_tensor, arguments))


def _compare(
    activations: Any, limits: Any, index: Any | None, rows: Any | None, n_leading: int
) -> Any:
    """Make one word per unit and eight rows: samples, or the steps of samples.

    Bits of a word, from the highest: ``n 76543210``, where bit i is the spike at row i
    of the eight, and n is set if one of the activations is NaN or infinite.
    """
    ops = keras.ops
    # Reshaped inside the compiled function: outside it, JAX would make a copy.
    n_rows = math.prod(activations.shape[:n_leading])
    flat = ops.reshape(activations, (n_rows, -1))
    if rows is not None:
        flat = ops.take(flat, rows, axis=0)
    # A bfloat16 comparison would round the threshold.
    if keras.backend.standardize_dtype(flat.dtype) != "float64":
        flat = ops.cast(flat, "float32")
    if index is not None:
        flat = ops.take(flat, index, axis=1)
    n_samples, n_units = flat.shape
    missing = -n_samples % 8
    if missing:
        flat = ops.pad(flat, ((0, missing), (0, 0)))
    # Axes (octet, row in the octet, unit): `octets[:, i]` becomes bit i.
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


def _compare_transposed(
    activations: Any, limits: Any, index: Any | None, rows: Any | None, n_leading: int
) -> tuple[Any, Any]:
    """Compare, and make a row of bytes per unit, as the raster has them.

    Returns
    -------
    rows : tensor of uint8, shape (n_units, n_octets)
        The spikes.
    odd : tensor of bool
        Whether an activation is NaN or infinite.
    """
    ops = keras.ops
    words = _compare(activations, limits, index, rows, n_leading)
    rows = ops.transpose(ops.cast(ops.bitwise_and(words, 255), "uint8"))
    return rows, ops.any(ops.greater_equal(words, _NOT_FINITE))
