"""Training as in the paper: plain stochastic gradient descent.

A whole epoch is one compiled call, in TensorFlow or JAX: whichever Keras runs on. What
is in this module holds for both, so that they see the same samples in the same order
and stop by the same rule.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
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
    "Trainee",
    "Trainer",
    "backend",
    "backend_module",
    "check_trains_several",
    "several_are_cheap",
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


@dataclass(eq=False)
class Trainee:
    """One of several networks that train at once.

    Parameters
    ----------
    seed : int
        Seeds the order of its samples.
    x : array_like of float32, shape (n_samples, ...)
        Its inputs; networks that share them hold the same object.
    y : ndarray of int32, shape (n_samples,)
        Its classes.
    state : object
        Its weights, as `Trainer.state` returns them.
    progress : Progress
        How far it has come.
    """

    seed: int
    x: Any
    y: npt.NDArray[np.int32]
    state: Any
    progress: Progress = Progress(0, 0.0)


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
        _check_size(max_epochs, len(x))
        x, y = self._tensor(x), self._engine.labels(y)
        target = np.inf if target_accuracy is None else target_accuracy
        # Taken once: a slice with a step is a copy.
        glance = _glance(len(x), target)
        some = None if glance is None else (x[glance], y[glance])
        progress = done or Progress(0, 0.0)
        while _goes_on(progress, max_epochs, target):
            self._engine.train_epoch(x, y, _order(seed, progress, len(x)))
            accuracy = _accuracy_near(self.accuracy, (x, y), some, target)
            progress = Progress(progress.n_epochs + 1, float(accuracy))
            if after_epoch is not None:
                after_epoch(progress)
        self._check_finite(progress)
        return progress

    def train_several(
        self,
        trainees: Sequence[Trainee],
        *,
        max_epochs: int,
        target_accuracy: float | None = None,
        after_epoch: Callable[[], None] | None = None,
    ) -> None:
        """Train networks at once, each as `train` does alone, up to rounding.

        Parameters
        ----------
        trainees : sequence of Trainee
            The networks; their states and progress change.
        max_epochs, target_accuracy
            As in `train`; each network stops by its own accuracy, after its own epoch.
        after_epoch : callable, optional
            Called after every epoch.

        Raises
        ------
        InputValueError
            If Keras does not run on JAX, there are no epochs or no samples, or the
            training of a network diverges.

        Notes
        -----
        An epoch of all of them is one compiled call. Networks that have stopped stay in
        it, without effect, until half of them have; then it is compiled for the others.
        """
        check_trains_several()
        for trainee in trainees:
            _check_size(max_epochs, len(trainee.x))
        target = np.inf if target_accuracy is None else target_accuracy

        def training(some: Sequence[Trainee]) -> list[Trainee]:
            return [it for it in some if _goes_on(it.progress, max_epochs, target)]

        left, group = training(trainees), None
        while left:
            if group is None or 2 * len(left) <= len(group.trainees):
                group = _Group(self._engine, self._tensor, left, target)
            group.train_epoch(left)
            if after_epoch is not None:
                after_epoch()
            left = training(left)
        for trainee in trainees:
            self.load(trainee.state)
            self._check_finite(trainee.progress, f" of seed {trainee.seed}")

    def state(self) -> Any:
        """Return the weights of the network, and of what its inputs pass first.

        They stay as they are while the network is trained. In JAX only.
        """
        return self._engine.state()

    def load(self, state: Any) -> None:
        """Put into the network what `state` returned."""
        self._engine.load(state)

    def _check_finite(self, progress: Progress, which: str = "") -> None:
        if not all(np.isfinite(value).all() for value in weights_of(self.model)):
            raise InputValueError(
                f"the training{which} diverged after {progress.n_epochs} epochs; scale"
                " the inputs to 0..1"
            )

    def accuracy(self, x: Any, y: Any) -> float:
        """Return the share of samples that the network puts into their class."""
        x, y = self._tensor(x), self._engine.labels(y)
        n_correct: int = sum(
            self._engine.n_correct(x[part], y[part]) for part in _parts(len(x))
        )
        return n_correct / len(x)


class _Group:
    """Networks that one compiled call trains.

    Parameters
    ----------
    engine, tensor
        Those of a `Trainer`.
    trainees : list of Trainee
        The networks.
    target : float
        Accuracy asked for.
    """

    def __init__(
        self, engine: Any, tensor: Any, trainees: list[Trainee], target: float
    ) -> None:
        self.trainees = trainees
        self._engine, self._target = engine, target
        first = trainees[0].x
        self._shares_x = all(trainee.x is first for trainee in trainees)
        if self._shares_x:
            x = tensor(first)
        else:
            x = backend_module().stacked([tensor(trainee.x) for trainee in trainees])
        y = engine.labels(np.stack([trainee.y for trainee in trainees]))
        self._all, self._some = (x, y), None
        glance = _glance(y.shape[1], target)
        if glance is not None:
            self._some = self._of(x, glance), y[:, glance]

    def train_epoch(self, moved: Sequence[Trainee]) -> None:
        """Train all for an epoch; those that are not to be moved stay as they are."""
        x, y = self._all
        n_samples = y.shape[1]
        states = self._engine.train_epoch_of_each(
            [it.state for it in self.trainees],
            x,
            y,
            np.stack([_order(it.seed, it.progress, n_samples) for it in self.trainees]),
            shares_x=self._shares_x,
        )
        accuracies = _accuracy_near(
            functools.partial(self._accuracies, states),
            self._all,
            self._some,
            self._target,
        )
        for trainee, state, accuracy in zip(
            self.trainees, states, accuracies, strict=True
        ):
            if trainee in moved:
                trainee.state = state
                trainee.progress = Progress(
                    trainee.progress.n_epochs + 1, float(accuracy)
                )

    def _accuracies(self, states: list[Any], x: Any, y: Any) -> npt.NDArray[np.float64]:
        n_samples = y.shape[1]
        n_correct = [
            self._engine.n_correct_of_each(
                states, self._of(x, part), y[:, part], shares_x=self._shares_x
            )
            for part in _parts(n_samples)
        ]
        accuracies: npt.NDArray[np.float64] = np.sum(n_correct, axis=0) / n_samples
        return accuracies

    def _of(self, x: Any, samples: slice) -> Any:
        """Take some samples of the inputs."""
        return x[samples] if self._shares_x else x[:, samples]


def check_trains_several() -> None:
    """Check that Keras runs on what can train several networks at once.

    Raises
    ------
    InputValueError
        If it does not.
    """
    if not backend_module().TRAINS_SEVERAL:
        raise InputValueError(
            "several networks train at once in JAX only, and Keras runs on"
            f" {backend()}; start it with KERAS_BACKEND=jax, or train one at a time"
        )


def several_are_cheap() -> bool:
    """Say whether several small networks train in hardly more time than one.

    An accelerator mostly waits for the next step of a small one.
    """
    module = backend_module()
    return bool(module.TRAINS_SEVERAL and module.has_accelerator())


def _check_size(max_epochs: int, n_samples: int) -> None:
    if max_epochs < 1 or n_samples == 0:
        raise InputValueError(
            f"training needs 1 or more epochs and samples, got {max_epochs} and"
            f" {n_samples}"
        )


def _goes_on(progress: Progress, max_epochs: int, target: float) -> bool:
    return progress.n_epochs < max_epochs and progress.accuracy < target


def _order(seed: int, progress: Progress, n_samples: int) -> npt.NDArray[np.int32]:
    """Draw the order of the samples in the next epoch."""
    rng = np.random.default_rng([seed, progress.n_epochs])
    return rng.permutation(n_samples).astype(np.int32)


def _parts(n_samples: int) -> list[slice]:
    """Divide samples into those that are evaluated in one call."""
    starts = range(0, n_samples, _EVALUATION_BATCH)
    return [slice(start, start + _EVALUATION_BATCH) for start in starts]


def _glance(n_samples: int, target: float) -> slice | None:
    """Choose the samples to look at while far from the target; None for all."""
    every = n_samples // _SAMPLES_GLANCED_AT
    return slice(None, None, every) if every > 1 and np.isfinite(target) else None


def _accuracy_near(
    accuracy: Callable[[Any, Any], Any],
    every: tuple[Any, Any],
    some: tuple[Any, Any] | None,
    target: float,
) -> Any:
    """Return accuracies on all samples, or on some of them while far from the target.

    `accuracy` returns that of one network or of several.
    """
    # Judging all samples takes a third of the time. Of n samples the accuracy has a
    # standard error of at most 1 / (2 sqrt(n)).
    near = target - _STANDARD_ERRORS / (2 * np.sqrt(_SAMPLES_GLANCED_AT))
    if some is None:
        return accuracy(*every)
    glanced = accuracy(*some)
    is_far = glanced < near
    return glanced if np.all(is_far) else np.where(is_far, glanced, accuracy(*every))
