"""What is settled before a network is shown anything: a seed, a way to show the
stimuli, a batch size.
"""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np

from ann2neo.errors import InputTypeError, InputValueError
from ann2neo.probe.keras.forward import TapShape
from ann2neo.probe.keras.layers import fixed_batch_size
from ann2neo.probe.stimuli import ArrayStimuli, Batch, Stimuli

__all__ = ["check_fixed_batch", "check_run", "checked_seed", "samples_a_pass"]

_BATCH_BYTES = {"tensorflow": 1 << 26, "jax": 1 << 23}
_LARGEST_BATCH = 1024
_LARGEST_UNKNOWN_BATCH = 256


def checked_seed(seed: Any) -> int:
    """A seed as NumPy takes it, or an error that says what it may be."""
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)):
        raise InputTypeError(
            f"seed must be an integer of 0 or more, or None to draw one, got {seed!r}"
        )
    if seed < 0:
        raise InputValueError(
            f"seed must be an integer of 0 or more, got {seed}; drop the sign"
        )
    return int(seed)


def check_run(stimuli: Stimuli, shuffle: bool, n_repeats: Any, batch_size: Any) -> None:
    """Refuse counts that are none, and stimuli that cannot be shown in the way that is
    asked for.
    """
    for name, count in {"n_repeats": n_repeats, "batch_size": batch_size}.items():
        if count is not None and (
            not isinstance(count, (int, np.integer)) or count < 1
        ):
            raise InputValueError(
                f"{name} must be an integer of 1 or more, got {count!r}"
            )
    if isinstance(stimuli, ArrayStimuli):
        return
    if shuffle:
        raise InputValueError(
            "these stimuli come batch by batch and cannot be indexed, so ann2neo cannot"
            " shuffle them; pass shuffle=False to show them as they come, or arrays"
        )
    if n_repeats > 1 and stimuli.read_once:
        msg = (
            f"n_repeats={n_repeats} shows the stimuli again, and an iterator can be"
            " read only once"
        )
        raise InputValueError(
            f"{msg}; pass arrays, or a data set that can be iterated over again"
        )


def check_fixed_batch(model: Any, stimuli: Stimuli, batch_size: int | None) -> None:
    """Refuse samples that a model with a batch size of its own cannot take."""
    fixed = fixed_batch_size(model)
    if fixed is None or not isinstance(stimuli, ArrayStimuli):
        return
    if batch_size not in {None, fixed}:
        msg = (
            f"the model {model.name!r} takes batches of {fixed} only, got"
            f" batch_size={batch_size}"
        )
        raise InputValueError(f"{msg}; leave batch_size out")
    if stimuli.n_samples % fixed:
        msg = (
            f"the model {model.name!r} takes batches of {fixed} only, and"
            f" {stimuli.n_samples} samples do not divide"
        )
        raise InputValueError(
            f"{msg}; show {stimuli.n_samples - stimuli.n_samples % fixed} of them"
        )


def samples_a_pass(model: Any, shapes: list[TapShape], first: Batch) -> int:
    """A power of two from 8 on, so that a batch of the largest layer stays below what
    the backend likes best.

    TensorFlow wants few calls; JAX asks the system for its memory anew for every batch
    that is larger than this.
    """
    sizes = [sum(math.prod(shape.shape) for shape in shapes)]
    sizes += [math.prod(leaf.shape[1:]) for leaf in keras.tree.flatten(first.data)]
    known = isinstance(model, (keras.models.Sequential, keras.src.models.Functional))
    if known:
        outputs = [
            layer.output
            for layer in model.layers
            if len(getattr(layer, "_inbound_nodes", [])) == 1
        ]
        sizes += [
            math.prod(n or 1 for n in tensor.shape[1:])
            for tensor in keras.tree.flatten(outputs)
        ]
    size = _LARGEST_BATCH if known else _LARGEST_UNKNOWN_BATCH
    while size > 8 and 4 * max(sizes) * size > _BATCH_BYTES[keras.backend.backend()]:
        size //= 2
    return size
