"""Epochs of training in TensorFlow."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ann2neo.study._training_constants import BATCH_SIZE, LEARNING_RATE

__all__ = ["TRAINS_SEVERAL", "TensorFlowEngine", "device", "features", "tensor"]

TRAINS_SEVERAL = False
"""Whether several networks train at once."""


def tensor(x: Any) -> Any:
    """Put inputs on the device, as float32 if they are not a tensor."""
    return x if tf.is_tensor(x) else tf.convert_to_tensor(x, tf.float32)


def device() -> str:
    """Name the device that computes."""
    for gpu in tf.config.list_physical_devices("GPU"):
        details = tf.config.experimental.get_device_details(gpu)
        return str(details.get("device_name", gpu.name))
    return "cpu"


def features(body: Any, x: Any, batch_size: int) -> Any:
    """Compute what a network makes of inputs, as in inference."""
    # Filled in place: joined from parts, the features would be in memory twice.
    shape = (len(x), *body.output_shape[1:])
    filled = tf.Variable(tf.zeros(shape, body.layers[-1].compute_dtype))
    for start in range(0, len(x), batch_size):
        part = slice(start, min(start + batch_size, len(x)))
        filled[part].assign(body(x[part], training=False))
    return filled.value()


class TensorFlowEngine:
    """Train a network for epochs, and count its right answers.

    Parameters
    ----------
    model, frozen, xla
        As in `Trainer`.
    """

    def __init__(self, model: Any, frozen: Any, *, xla: bool) -> None:
        trainable = [variable.value for variable in model.trainable_variables]

        def shown(x: Any) -> Any:
            return x if frozen is None else frozen(x, training=False)

        def step(x: Any, y: Any, chosen: Any) -> None:
            with tf.GradientTape() as tape:
                answers = model(shown(tf.gather(x, chosen)), training=True)
                loss = tf.reduce_mean(
                    keras.losses.sparse_categorical_crossentropy(
                        tf.gather(y, chosen), answers
                    )
                )
            gradients = tape.gradient(loss, trainable)
            for variable, gradient in zip(trainable, gradients, strict=True):
                variable.assign_sub(LEARNING_RATE * gradient)

        def epoch(x: Any, y: Any, order: Any) -> None:
            n_samples = x.shape[0]
            for i in tf.range(n_samples // BATCH_SIZE):
                step(x, y, tf.slice(order, [i * BATCH_SIZE], [BATCH_SIZE]))
            if n_samples % BATCH_SIZE:
                step(x, y, order[n_samples - n_samples % BATCH_SIZE :])

        def n_correct(x: Any, y: Any) -> Any:
            answers = tf.argmax(
                model(shown(x), training=False), axis=1, output_type=tf.int32
            )
            return tf.reduce_sum(tf.cast(answers == y, tf.int32))

        self._epoch = tf.function(epoch, jit_compile=xla)
        self._n_correct = tf.function(n_correct, reduce_retracing=True)

    def labels(self, y: Any) -> Any:
        """Put classes on the device."""
        return tf.convert_to_tensor(y, tf.int32)

    def train_epoch(self, x: Any, y: Any, order: np.ndarray) -> None:
        """Take one step of SGD per batch of the samples, in this order."""
        self._epoch(x, y, tf.convert_to_tensor(order))

    def n_correct(self, x: Any, y: Any) -> int:
        """Count the samples that the network puts into their class."""
        return int(self._n_correct(x, y))
