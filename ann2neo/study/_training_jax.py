"""Epochs of training in JAX, each one compiled scan over the batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np

from ann2neo.study._training_constants import BATCH_SIZE, LEARNING_RATE

__all__ = [
    "TRAINS_SEVERAL",
    "JaxEngine",
    "device",
    "features",
    "has_accelerator",
    "stacked",
    "tensor",
]

TRAINS_SEVERAL = True
"""Whether several networks train at once."""

_PRECISION = "float32"
"""Of products of float32: JAX's own default rounds them to 10 bits on new GPUs."""


def tensor(x: Any) -> Any:
    """Put inputs on the device, as float32 if they are not an array of JAX."""
    return x if isinstance(x, jax.Array) else jnp.asarray(x, jnp.float32)


def device() -> str:
    """Name the device that computes."""
    return str(jax.devices()[0].device_kind)


def has_accelerator() -> bool:
    """Say whether something other than the processor computes."""
    return bool(jax.devices()[0].platform != "cpu")


def stacked(arrays: Sequence[Any]) -> Any:
    """Stack arrays on the device along a new first axis."""
    return jnp.stack(arrays)


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


def _assign(model: Any, values: Any) -> None:
    trainable, others = values
    for variables, new in (
        (model.trainable_variables, trainable),
        (model.non_trainable_variables, others),
    ):
        for variable, value in zip(variables, new, strict=True):
            variable.assign(value)


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

        def of_each(function: Any, *, shares_x: bool) -> Any:
            """Call a function of one network's state and samples for several."""
            x_axis = None if shares_x else 0

            def call(states: Any, x: Any, y: Any, *orders: Any) -> Any:
                state, fixed = jax.tree.map(lambda *of: jnp.stack(of), *states)
                axes = (0, 0, x_axis, 0, *(0 for _ in orders))
                return jax.vmap(function, in_axes=axes)(state, fixed, x, y, *orders)

            return call

        def epoch_of_each(states: Any, x: Any, y: Any, orders: Any, **how: bool) -> Any:
            trained = of_each(epoch, **how)(states, x, y, orders)
            return [
                (jax.tree.map(lambda value, i=i: value[i], trained), states[i][1])
                for i in range(len(states))
            ]

        def n_correct_of_each(states: Any, x: Any, y: Any, **how: bool) -> Any:
            return of_each(n_correct, **how)(states, x, y)

        self._epoch, self._n_correct = jax.jit(epoch), jax.jit(n_correct)
        self._epoch_of_each, self._n_correct_of_each = (
            jax.jit(function, static_argnames="shares_x")
            for function in (epoch_of_each, n_correct_of_each)
        )

    def labels(self, y: Any) -> Any:
        """Put classes on the device."""
        return jnp.asarray(y, jnp.int32)

    def train_epoch(self, x: Any, y: Any, order: np.ndarray) -> None:
        """Take one step of SGD per batch of the samples, in this order."""
        state, fixed = self.state()
        with (
            jax.default_matmul_precision(_PRECISION),
            _without_softmax(self._model),
        ):
            state = self._epoch(state, fixed, x, y, order)
        _assign(self._model, state)

    def n_correct(self, x: Any, y: Any) -> int:
        """Count the samples that the network puts into their class."""
        with jax.default_matmul_precision(_PRECISION):
            return int(self._n_correct(*self.state(), x, y))

    def train_epoch_of_each(
        self,
        states: list[Any],
        x: Any,
        y: Any,
        orders: np.ndarray,
        *,
        shares_x: bool,
    ) -> list[Any]:
        """Train several networks for an epoch; return their new states.

        Classes and orders have a row per network, and so have inputs that are not
        shared.
        """
        with (
            jax.default_matmul_precision(_PRECISION),
            _without_softmax(self._model),
        ):
            trained: list[Any] = self._epoch_of_each(
                states, x, y, orders, shares_x=shares_x
            )
        return trained

    def n_correct_of_each(
        self, states: list[Any], x: Any, y: Any, *, shares_x: bool
    ) -> np.ndarray:
        """Count for several networks what `n_correct` counts for one."""
        with jax.default_matmul_precision(_PRECISION):
            return np.asarray(self._n_correct_of_each(states, x, y, shares_x=shares_x))

    def state(self) -> Any:
        """Return the values of the network, and of what its inputs pass first."""
        return tuple(
            model
            and (
                _values(model.trainable_variables),
                _values(model.non_trainable_variables),
            )
            for model in (self._model, self._frozen)
        )

    def load(self, state: Any) -> None:
        """Put what `state` returned into the network, and what its inputs pass."""
        for model, values in zip((self._model, self._frozen), state, strict=True):
            if model is not None:
                _assign(model, values)
