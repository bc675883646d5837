"""Training as in the paper: plain stochastic gradient descent.

A whole epoch is one compiled call.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ann2neo.errors import InputValueError, MissingExtraError
from ann2neo.study.networks import weights_of

__all__ = ["BATCH_SIZE", "LEARNING_RATE", "Progress", "Trainer"]

LEARNING_RATE = 0.1
BATCH_SIZE = 256
_EVALUATION_BATCH = 2048
_SAMPLES_GLANCED_AT = 6000
_STANDARD_ERRORS = 6


@dataclass(frozen=True)
class Progress:
    """Epochs done, and the accuracy on the training samples after the last of them.

    While it is far from the target, the accuracy is that of every n-th sample only.
    """

    n_epochs: int
    accuracy: float


class Trainer:
    """Train a network by SGD without momentum.

    It is compiled once, for any weights and labels.

    Parameters
    ----------
    model : keras.Model
        The network, softmax output. Its weights are the state that `train` changes.
    frozen : keras.Model, optional
        What the inputs pass through first, as in inference, untrained.
    xla : bool, default False
        Compile with XLA: a third quicker for dense layers, five times slower for
        convolutions (two cores).

    Notes
    -----
    Learning rate 0.1, batches of 256, cross entropy, samples shuffled anew before every
    epoch, seeded by (seed, epoch), so that the weights after an epoch are all the state
    there is: a training cut anywhere goes on as if nothing had happened.
    """

    def __init__(self, model: Any, frozen: Any = None, *, xla: bool = False) -> None:
        import keras

        if keras.backend.backend() != "tensorflow":
            raise MissingExtraError(
                "the study trains with TensorFlow, but Keras runs on"
                f" {keras.backend.backend()}; start it with KERAS_BACKEND=tensorflow"
            )
        self.model = model
        self._epoch, self._n_correct = _compiled_steps(model, frozen, xla)

    def train(
        self,
        x: Any,
        y: npt.NDArray[np.int32],
        *,
        max_epochs: int,
        target_accuracy: float | None = None,
        seed: int = 0,
        done: Progress | None = None,
        after_epoch: Callable[[Progress], None] | None = None,
    ) -> Progress:
        """Train up to an accuracy on the training samples, or for `max_epochs`.

        Parameters
        ----------
        x : array_like of float32, shape (n_samples, ...)
            Inputs; a tensor, which may be of bfloat16, is used without a copy.
        y : ndarray of int32, shape (n_samples,)
            Classes.
        max_epochs : int
            Maximum number of epochs, those in `done` included.
        target_accuracy : float, optional
            Stop at this share of correct answers on all of `x` after an epoch. Samples
            evenly spaced in `x` are looked at first, and all of them once their
            accuracy is within 6 standard errors of the target.
        seed : int, default 0
            Seeds the order of the samples.
        done : Progress, optional
            Where an earlier training, whose weights the model holds, was cut.
        after_epoch : callable, optional
            Called with the progress after every epoch.

        Returns
        -------
        Progress
            Epochs done and accuracy reached.

        Raises
        ------
        InputValueError
            If there are no epochs or no samples, or the training diverges.
        """
        import tensorflow as tf

        if max_epochs < 1 or len(x) == 0:
            raise InputValueError(
                f"training needs 1 or more epochs and samples, got {max_epochs} and"
                f" {len(x)}"
            )
        x, y = _inputs(x), tf.convert_to_tensor(y, tf.int32)
        target = np.inf if target_accuracy is None else target_accuracy
        every = len(x) // _SAMPLES_GLANCED_AT
        # Taken once: a slice with a step is a copy.
        some = None
        if every > 1 and target_accuracy is not None:
            some = x[::every], y[::every]
        progress = done or Progress(0, 0.0)
        while progress.n_epochs < max_epochs and progress.accuracy < target:
            order = (
                np.random.default_rng([seed, progress.n_epochs])
                .permutation(len(x))
                .astype(np.int32)
            )
            self._epoch(x, y, tf.convert_to_tensor(order))
            accuracy = self._accuracy_near(x, y, some, target)
            progress = Progress(progress.n_epochs + 1, accuracy)
            if after_epoch is not None:
                after_epoch(progress)
        if not all(np.isfinite(value).all() for value in weights_of(self.model)):
            raise InputValueError(
                f"the training diverged after {progress.n_epochs} epochs; scale the"
                " inputs to 0..1"
            )
        return progress

    def _accuracy_near(
        self, x: Any, y: Any, some: tuple[Any, Any] | None, target: float
    ) -> float:
        """Return the accuracy on `x`, or on some of it while far from the target."""
        # Judging all samples takes a third of the time. Of n samples the accuracy has a
        # standard error of at most 1 / (2 sqrt(n)).
        near = target - _STANDARD_ERRORS / (2 * np.sqrt(_SAMPLES_GLANCED_AT))
        if some is not None:
            accuracy = self.accuracy(*some)
            if accuracy < near:
                return accuracy
        return self.accuracy(x, y)

    def accuracy(self, x: Any, y: Any) -> float:
        """Return the share of samples that the network puts into their class."""
        import tensorflow as tf

        x, y = _inputs(x), tf.convert_to_tensor(y, tf.int32)
        starts = range(0, len(x), _EVALUATION_BATCH)
        parts = [slice(start, start + _EVALUATION_BATCH) for start in starts]
        return sum(int(self._n_correct(x[part], y[part])) for part in parts) / len(x)


def _inputs(x: Any) -> Any:
    import tensorflow as tf

    return x if tf.is_tensor(x) else tf.convert_to_tensor(x, tf.float32)


def _compiled_steps(model: Any, frozen: Any, xla: bool) -> tuple[Any, Any]:
    """Compile one epoch of training, and counting correct answers."""
    import keras
    import tensorflow as tf

    trainable = [variable.value for variable in model.trainable_variables]

    def features(x: Any) -> Any:
        return x if frozen is None else frozen(x, training=False)

    def step(x: Any, y: Any, chosen: Any) -> None:
        with tf.GradientTape() as tape:
            answers = model(features(tf.gather(x, chosen)), training=True)
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
            model(features(x), training=False), axis=1, output_type=tf.int32
        )
        return tf.reduce_sum(tf.cast(answers == y, tf.int32))

    return tf.function(epoch, jit_compile=xla), tf.function(
        n_correct, reduce_retracing=True
    )
