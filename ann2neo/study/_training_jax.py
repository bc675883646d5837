"""Epochs of training in JAX, each one compiled scan over the batches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np

from ann2neo.study._training_constants import BATCH_SIZE, LEARNING_RATE

__all__ = ["JaxEngine", "device", "features", "tensor"]

_PRECISION = "float32"
"""Of products of float32: JAX's own default rounds them to 10 bits on new GPUs."""


def tensor(x: Any) -> Any:
    """Put inputs on the device, as float32 if they are not an array of JAX."""
    return x if isinstance(x, jax.Array) else jnp.asarray(x, jnp.float32)


def device() -> str:
    """Name the device that computes."""
    return str(jax.devices()[0].device_kind)


def features(body: Any, x: Any, batch_size: int) -> Any:
    """Compute what a network makes of inputs, as in inference."""
    with jax.default_matmul_precision(_PRECISION):
        return jnp.concatenate(
            [
                body(x[start : start + batch_size], training=False)
                for start in range(0, len(x), batch_size)
            ]
        )


def _values(variables: Any) -> list[Any]:
    return [variable.value for variable in variables]


@contextmanager
def _without_softmax(model: Any) -> Iterator[None]:
    """Let a network return what goes into its softmax.

    The cross entropy of a softmax that was rounded has no gradient where it is sure and
    wrong; TensorFlow looks through the softmax too.
    """
    layer = model.layers[-1]
    activation = layer.activation
    layer.activation = keras.activations.linear
    try:
        yield
    finally:
        layer.activation = activation


class JaxEngine:
    """Train a network for epochs, and count its right answers.

    Parameters
    ----------
    model, frozen
        As in `Trainer`.
    """

    def __init__(self, model: Any, frozen: Any) -> None:
        self._model, self._frozen = model, frozen

        def shown(fixed: Any, x: Any) -> Any:
            if frozen is None:
                return x
            return frozen.stateless_call(*fixed, x, training=False)[0]

        def loss(trainable: Any, others: Any, x: Any, y: Any) -> Any:
            logits, others = model.stateless_call(trainable, others, x, training=True)
            losses = keras.losses.sparse_categorical_crossentropy(
                y, logits, from_logits=True
            )
            return jnp.mean(losses), others

        gradient = jax.grad(loss, has_aux=True)

        def epoch(state: Any, fixed: Any, x: Any, y: Any, order: Any) -> Any:
            def step(state: Any, chosen: Any) -> Any:
                trainable, others = state
                slopes, others = gradient(
                    trainable, others, shown(fixed, x[chosen]), y[chosen]
                )
                trainable = [
                    value - LEARNING_RATE * slope
                    for value, slope in zip(trainable, slopes, strict=True)
                ]
                return (trainable, others), None

            n_batches, n_left = divmod(len(order), BATCH_SIZE)
            batches = order[: n_batches * BATCH_SIZE].reshape(n_batches, BATCH_SIZE)
            state, _ = jax.lax.scan(step, state, batches)
            if n_left:
                state, _ = step(state, order[-n_left:])
            return state

        def n_correct(state: Any, fixed: Any, x: Any, y: Any) -> Any:
            answers, _ = model.stateless_call(*state, shown(fixed, x), training=False)
            return jnp.sum(jnp.argmax(answers, axis=1) == y)

        self._epoch, self._n_correct = jax.jit(epoch), jax.jit(n_correct)

    def labels(self, y: Any) -> Any:
        """Put classes on the device."""
        return jnp.asarray(y, jnp.int32)

    def train_epoch(self, x: Any, y: Any, order: np.ndarray) -> None:
        """Take one step of SGD per batch of the samples, in this order."""
        with (
            jax.default_matmul_precision(_PRECISION),
            _without_softmax(self._model),
        ):
            trainable, others = self._epoch(*self._state(), x, y, order)
        for variables, values in (
            (self._model.trainable_variables, trainable),
            (self._model.non_trainable_variables, others),
        ):
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)

    def n_correct(self, x: Any, y: Any) -> int:
        """Count the samples that the network puts into their class."""
        with jax.default_matmul_precision(_PRECISION):
            return int(self._n_correct(*self._state(), x, y))

    def _state(self) -> tuple[Any, Any]:
        """Return the values of the network, and of what its inputs pass first."""
        models = (self._model, self._frozen)
        state, fixed = (
            model
            and (
                _values(model.trainable_variables),
                _values(model.non_trainable_variables),
            )
            for model in models
        )
        return state, fixed
