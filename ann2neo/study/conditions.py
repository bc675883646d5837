"""How a network comes to its weights: untrained, generalizing or memorizing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

import ann2neo
from ann2neo._checks import one_of, whole_number
from ann2neo.errors import InputValueError
from ann2neo.study.networks import (
    HIDDEN_LAYER,
    PRECISIONS,
    Weights,
    build_network,
    initial_weights,
    learning_twin,
    weights_of,
)
from ann2neo.study.published import target_accuracy
from ann2neo.study.training import (
    Progress,
    Trainee,
    Trainer,
    backend,
    backend_module,
    check_trains_several,
)

__all__ = [
    "CONDITIONS",
    "MEMORIZING",
    "Checkpoint",
    "NetworkUnderStudy",
    "Several",
    "TrainedNetwork",
    "conditions_of",
    "epoch_limit",
    "n_held_out",
]

MEMORIZING = ("mem_retrain_last", "mem_random_last", "mem_retrain_all")
CONDITIONS = ("random", "generalizing", *MEMORIZING)
"""In an order in which every condition comes after the one it starts from."""

_EPOCH_LIMITS = {"MLP": 4000, "CNN": 200, "DenseNet121": 20}
_EPOCH_LIMITS_OF_LAST_LAYERS = {"MLP": 4000, "CNN": 200, "DenseNet121": 4000}

_FEATURE_BYTES = 3 << 30
_FEATURE_BATCH = 1024
_VALIDATION_SHARE = 0.1


def conditions_of(network: str) -> tuple[str, ...]:
    """Return the conditions that apply to a network.

    The MLP has no layers besides the last two, so retraining all does not apply.
    """
    return tuple(
        name for name in CONDITIONS if network != "MLP" or name != "mem_retrain_all"
    )


def epoch_limit(network: str, condition: str) -> int:
    """Return the limit of epochs of a training.

    Training stops there if it has not reached the paper's accuracy. Memorizing takes
    the MLP of width 64 about 2 000 epochs. Layers before the last two cost the most, so
    networks may train for longer where these are frozen.

    Examples
    --------
    >>> (
    ...     epoch_limit("DenseNet121", "generalizing"),
    ...     epoch_limit("DenseNet121", "mem_random_last"),
    ... )
    (20, 4000)
    """
    is_cheap = condition.endswith("_last")
    return (_EPOCH_LIMITS_OF_LAST_LAYERS if is_cheap else _EPOCH_LIMITS)[network]


def n_held_out(n_samples: int) -> int:
    """Return how many of a data set's training samples are not trained on.

    They are the last ones.

    Examples
    --------
    >>> n_held_out(60_000)
    6000
    """
    return int(n_samples * _VALIDATION_SHARE)


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Where a training was cut: weights and progress."""

    weights: Weights
    progress: Progress


@dataclass(frozen=True, eq=False)
class TrainedNetwork:
    """A network under one condition.

    Parameters
    ----------
    condition : str
        One of `CONDITIONS`.
    seed : int
        Seeds first weights, random labels and the order of samples.
    weights : list of ndarray
        What training led to.
    n_epochs : int
        Epochs trained, 0 if untrained.
    stopped_by : {"untrained", "accuracy", "epoch limit"}
        Why training ended: it reached the paper's accuracy, or its last epoch.
    target_accuracy : float
        Training accuracy asked for; NaN where there is none.
    accuracy_train, accuracy_validation : float
        Shares of correct answers on the 90 % trained on and the 10 % held out, by the
        labels trained on.
    accuracy_test : float
        The same on test samples, by true labels.
    """

    condition: str
    seed: int
    weights: Weights = field(repr=False)
    n_epochs: int
    stopped_by: str
    target_accuracy: float
    accuracy_train: float
    accuracy_validation: float
    accuracy_test: float


class Several:
    """Networks that are trained at once, one per seed.

    Parameters
    ----------
    learner : keras.Sequential
        Takes their weights, one after another.
    trainer : Trainer
        Trains them.
    starts : list of list of ndarray
        All their weights when training began, also those that stay.
    trainees : list of Trainee
        The networks.
    """

    def __init__(
        self,
        learner: Any,
        trainer: Trainer,
        starts: list[Weights],
        trainees: list[Trainee],
    ) -> None:
        self._learner, self._trainer = learner, trainer
        self._starts, self._trainees = starts, trainees

    @property
    def progress(self) -> list[Progress]:
        """How far each has come."""
        return [trainee.progress for trainee in self._trainees]

    def load(self, i: int) -> None:
        """Put the weights of the i-th network into the learner."""
        # Layers whose features are stored are not part of a state.
        self._learner.set_weights(self._starts[i])
        self._trainer.load(self._trainees[i].state)

    def checkpoint(self, i: int) -> Checkpoint:
        """Copy the weights of the i-th network."""
        self.load(i)
        return Checkpoint(weights_of(self._learner), self._trainees[i].progress)


class NetworkUnderStudy:
    """One architecture on one data set, which is trained under any condition.

    It is built and compiled once.

    Parameters
    ----------
    data : DataSet
        Samples to train on.
    network : str
        One of `NETWORKS`.
    width : int
        Units of the observed layer.
    max_epochs : int, optional
        Maximum number of epochs; `epoch_limit` of the condition if not given.
    precision : {"float32", "mixed_bfloat16"}
        What the network is trained in. Mixed precision is quicker where the processor
        multiplies bfloat16 itself.

    Attributes
    ----------
    model : keras.Sequential
        The network in float32, with the weights of what was done last.
    backend : {"tensorflow", "jax"}
        What trains it: what Keras runs on.
    device : str
        What computes: "cpu", or the name of an accelerator.
    """

    def __init__(
        self,
        data: ann2neo.DataSet,
        network: str,
        width: int,
        *,
        max_epochs: int | None = None,
        precision: str = "float32",
    ) -> None:
        import keras

        if max_epochs is not None:
            whole_number(max_epochs, "max_epochs")
        one_of(precision, PRECISIONS, "precision")
        x = data.inputs("train")
        self.data, self.network, self.width = data, network, width
        self.precision = precision
        self.backend, self.device = backend(), backend_module().device()
        self.model = build_network(network, width, x.shape[1:], data.n_classes)
        self._max_epochs = max_epochs
        self._built = weights_of(self.model)
        self._learner = learning_twin(self.model, precision)
        self._n_train = len(x) - n_held_out(len(x))
        self._engine = backend_module()
        self._x = self._engine.tensor(x)
        self._x_test = self._engine.tensor(data.inputs("test"))
        layers = self._learner.layers
        split = [layer.name for layer in layers].index(HIDDEN_LAYER)
        self._body = keras.Sequential([keras.Input(x.shape[1:]), *layers[:split]])
        head = keras.Sequential(
            [keras.Input(self._body.output_shape[1:]), *layers[split:]]
        )
        # The MLP's body has nothing to train, so that its head is the whole network.
        n_bytes = 4 if precision == "float32" else 2
        self._features_fit = (
            n_bytes * self._n_train * self._body.output_shape[-1] <= _FEATURE_BYTES
        )
        # XLA has no quick products of bfloat16 on processors.
        quicker_by_xla = self._features_fit and precision == "float32"
        self._head_trainer = Trainer(
            head, None if self._features_fit else self._body, xla=quicker_by_xla
        )
        self._trainer = Trainer(self._learner)
        self._judge = Trainer(self.model)

    def labels(self, condition: str, seed: int) -> npt.NDArray[np.int32]:
        """Return the labels of all training samples, permuted for memorization."""
        y = self.data.labels("train")
        if condition not in MEMORIZING:
            return y
        return np.random.default_rng([seed, 1]).permutation(y)

    def max_epochs(self, condition: str) -> int:
        """Return the limit of epochs under a condition."""
        return self._max_epochs or epoch_limit(self.network, condition)

    def initial_weights(self, seed: int) -> Weights:
        """Return the weights of the untrained network."""
        self.model.set_weights(self._built)
        return initial_weights(self.model, seed)

    def bring_into(
        self,
        condition: str,
        seed: int,
        generalizing: Weights | None = None,
        *,
        cut_at: Checkpoint | None = None,
        checkpoint: Callable[[Checkpoint], None] | None = None,
    ) -> TrainedNetwork:
        """Train the network under a condition; `model` holds the result.

        Parameters
        ----------
        condition : str
            One of `CONDITIONS` that apply to the network.
        seed : int
            The same seed gives the same network.
        generalizing : list of ndarray, optional
            Weights of the generalizing network of this seed, from which two conditions
            start.
        cut_at : Checkpoint, optional
            Go on from here.
        checkpoint : callable, optional
            Gets a `Checkpoint` after every epoch.

        Returns
        -------
        TrainedNetwork
            Weights and accuracies.

        Raises
        ------
        InputValueError
            If the condition does not apply, or `generalizing` is missing.
        """
        start = self._start(condition, seed, generalizing)
        self._learner.set_weights(start if cut_at is None else cut_at.weights)
        progress = Progress(0, 0.0)
        if condition != "random":

            def keep(reached: Progress) -> None:
                if checkpoint is not None:
                    checkpoint(Checkpoint(weights_of(self._learner), reached))

            trainer, x = self._trainer_of(condition)
            progress = trainer.train(
                x,
                self.labels(condition, seed)[: self._n_train],
                max_epochs=self.max_epochs(condition),
                target_accuracy=self._target(condition),
                seed=seed,
                done=None if cut_at is None else cut_at.progress,
                after_epoch=keep,
            )
        return self._judged(condition, seed, progress)

    def bring_several_into(
        self,
        condition: str,
        seeds: Sequence[int],
        generalizing: Sequence[Weights] | None = None,
        *,
        cut_at: Sequence[Checkpoint | None] | None = None,
        after_epoch: Callable[[Several], None] | None = None,
        after_training: Callable[[Several], None] | None = None,
    ) -> list[TrainedNetwork]:
        """Train networks that differ in their seed alone, at once; in JAX only.

        Each becomes what `bring_into` makes of it, up to the rounding of sums, which
        over many epochs may grow.

        Parameters
        ----------
        condition : str
            As in `bring_into`, except "random", where nothing is trained.
        seeds : sequence of int
            A network each.
        generalizing, cut_at : sequence, optional
            As in `bring_into`, one per seed.
        after_epoch, after_training : callable, optional
            Get the networks after every epoch, and once all have stopped.

        Returns
        -------
        list of TrainedNetwork
            One per seed; `model` holds the last one.

        Raises
        ------
        InputValueError
            If Keras does not run on JAX, the condition does not apply, or
            `generalizing` is missing.
        """
        one_of(condition, conditions_of(self.network)[1:], "condition")
        # Before weights are loaded.
        check_trains_several()
        starts: list[Weights] = []
        trainees: list[Trainee] = []
        for i, seed in enumerate(seeds):
            cut = None if cut_at is None else cut_at[i]
            parent = None if generalizing is None else generalizing[i]
            start = self._start(condition, seed, parent)
            starts.append(start if cut is None else cut.weights)
            self._learner.set_weights(starts[-1])
            if not trainees or self._learns_on_own_features(condition):
                trainer, x = self._trainer_of(condition)
            trainees.append(
                Trainee(
                    seed,
                    x,
                    self.labels(condition, seed)[: self._n_train],
                    trainer.state(),
                    Progress(0, 0.0) if cut is None else cut.progress,
                )
            )
        several = Several(self._learner, trainer, starts, trainees)
        trainer.train_several(
            trainees,
            max_epochs=self.max_epochs(condition),
            target_accuracy=self._target(condition),
            after_epoch=None if after_epoch is None else lambda: after_epoch(several),
        )
        if after_training is not None:
            after_training(several)
        networks = []
        for i, trainee in enumerate(trainees):
            several.load(i)
            networks.append(self._judged(condition, trainee.seed, trainee.progress))
        return networks

    def _start(
        self, condition: str, seed: int, generalizing: Weights | None
    ) -> Weights:
        """Return the weights that a network starts from."""
        one_of(condition, conditions_of(self.network), "condition")
        if condition not in {"mem_retrain_last", "mem_retrain_all"}:
            return self.initial_weights(seed)
        if generalizing is None:
            raise InputValueError(
                f"{condition} starts from a generalizing network; pass its weights"
            )
        return generalizing

    def _target(self, condition: str) -> float | None:
        return target_accuracy(self.network, self.width, self.data.name, condition)

    def _judged(self, condition: str, seed: int, progress: Progress) -> TrainedNetwork:
        """Put what was learned into `model`, and measure its accuracies."""
        labels, n = self.labels(condition, seed), self._n_train
        target, stopped_by = self._target(condition), "untrained"
        if condition != "random":
            reached = target is not None and progress.accuracy >= target
            stopped_by = "accuracy" if reached else "epoch limit"
        weights = weights_of(self._learner)
        self.model.set_weights(weights)
        return TrainedNetwork(
            condition,
            seed,
            weights,
            progress.n_epochs,
            stopped_by,
            np.nan if target is None else target,
            self._judge.accuracy(self._x[:n], labels[:n]),
            self._judge.accuracy(self._x[n:], labels[n:]),
            self._judge.accuracy(self._x_test, self.data.labels("test")),
        )

    def _trainer_of(self, condition: str) -> tuple[Trainer, Any]:
        """Return the trainer of a condition and its inputs."""
        # Where only the head learns, the frozen layers give the same features in every
        # epoch, so they are computed once if they fit into memory.
        if self._body.weights and not condition.endswith("_last"):
            return self._trainer, self._x[: self._n_train]
        if self._features_fit:
            return self._head_trainer, self._features()
        return self._head_trainer, self._x[: self._n_train]

    def _learns_on_own_features(self, condition: str) -> bool:
        """Say whether the inputs of `_trainer_of` depend on the network's weights."""
        is_frozen = bool(self._body.weights) and condition.endswith("_last")
        return is_frozen and self._features_fit

    def _features(self) -> Any:
        """Compute what the frozen layers make of the samples trained on."""
        return self._engine.features(
            self._body, self._x[: self._n_train], _FEATURE_BATCH
        )
