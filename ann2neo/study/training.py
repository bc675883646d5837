"""Training as in the paper: plain stochastic gradient descent.

A whole epoch is one compiled call, in TensorFlow or JAX: whichever Keras runs on. What
is in this module holds for both, so that they see the same samples in the same order
and stop by the same rule.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ann2neo.errors import InputValueError, MissingExtraError
from ann2neo.study._training_constants import BATCH_SIZE, LEARNING_RATE
from ann2neo.study.networks import weights_of

__all__ = [
    "BATCH_SIZE",
    "LEARNING_RATE",
    "Progress",
    "Trainer",
    "backend",
    "backend_module",
]

_EVALUATION_BATCH = 2048
_SAMPLES_GLANCED_AT = 6000
_STANDARD_ERRORS = 6


def backend() -> str:
    """Return what the study trains with: "tensorflow" or "jax".

    Raises
    ------
    MissingExtraError
        If Keras runs on something else.
    """
    import keras

    name: str = keras.backend.backend()
    if name not in {"tensorflow", "jax"}:
        raise MissingExtraError(
            f"the study trains with TensorFlow or JAX, but Keras runs on {name}; start"
            " it with KERAS_BACKEND=tensorflow or KERAS_BACKEND=jax"
        )
    return name


def backend_module() -> Any:
    """Return the module that trains with `backend`."""
    if backend() == "jax":
        from ann2neo.study import _training_jax

        return _training_jax
    from ann2neo.study import _training_tensorflow

    return _training_tensorflow


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
        Compile with XLA, as JAX always does: a third quicker for dense layers, five
        times slower for convolutions (two cores).

    Notes
    -----
    Learning rate 0.1, batches of 256, cross entropy, samples shuffled anew before every
    epoch, seeded by (seed, epoch), so that the weights after an epoch are all the state
    there is: a training cut anywhere goes on as if nothing had happened. It runs on the
    device that TensorFlow or JAX finds, where the samples are kept.
    """

    def __init__(self, model: Any, frozen: Any = None, *, xla: bool = False) -> None:
        engine = backend_module()
        self.model = model
        self._tensor = engine.tensor
        if backend() == "jax":
            self._engine = engine.JaxEngine(model, frozen)
        else:
            self._engine = engine.TensorFlowEngine(model, frozen, xla=xla)

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
        if max_epochs < 1 or len(x) == 0:
            raise InputValueError(
                f"training needs 1 or more epochs and samples, got {max_epochs} and"
                f" {len(x)}"
            )
        x, y = self._tensor(x), self._engine.labels(y)
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
            self._engine.train_epoch(x, y, order)
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
        x, y = self._tensor(x), self._engine.labels(y)
        starts = range(0, len(x), _EVALUATION_BATCH)
        parts = [slice(start, start + _EVALUATION_BATCH) for start in starts]
        n_correct: int = sum(self._engine.n_correct(x[part], y[part]) for part in parts)
        return n_correct / len(x)
