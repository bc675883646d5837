"""Networks that learn the same few images to the same accuracy, whatever the labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

import ann2neo
from ann2neo._checks import whole_number
from ann2neo.errors import InputValueError
from ann2neo.study.networks import HIDDEN_LAYER, build_network, initial_weights
from ann2neo.study.training import Progress, Trainer

__all__ = ["MatchedTraining", "noisy_labels"]

_Labels = npt.NDArray[np.int32]


def noisy_labels(
    labels: _Labels, noise: float, seed: int
) -> tuple[_Labels, npt.NDArray[np.int64]]:
    """Permute the labels of a share of the samples among themselves.

    Parameters
    ----------
    labels : ndarray of int, shape (n_samples,)
        True labels.
    noise : float
        Share of samples whose labels are permuted, 0 to 1.
    seed : int
        Chooses the samples and permutes. With one seed, the samples of a smaller share
        are among those of a larger one.

    Returns
    -------
    labels : ndarray of int, shape (n_samples,)
        Classes are as frequent as before; with 10 classes about one permuted label in
        ten is the true one by chance.
    permuted : ndarray of int
        Places of the samples whose labels were permuted, ascending.

    Examples
    --------
    >>> labels, permuted = noisy_labels(np.arange(8), 0.5, seed=0)
    >>> permuted.tolist(), labels[permuted].tolist()
    ([0, 1, 3, 6], [6, 0, 3, 1])
    """
    n_permuted = round(noise * len(labels))
    order = np.random.default_rng([seed, 3]).permutation(len(labels))
    permuted = np.sort(order[:n_permuted])
    noisy = labels.copy()
    noisy[permuted] = np.random.default_rng([seed, 1]).permutation(labels[permuted])
    return noisy, permuted


class MatchedTraining:
    """One architecture that learns few images of a data set to a given accuracy.

    It is built and compiled once.

    Parameters
    ----------
    dataset : str
        As in `load_dataset`.
    network : str
        One of `NETWORKS`.
    width : int
        Units of the observed layer.
    n_samples : int
        Training images of each seed.
    accuracy : float
        Accuracy on them at which training stops.
    max_epochs : int
        Maximum number of epochs.

    Attributes
    ----------
    data : DataSet
        All images.
    model : keras.Sequential
        The network, with the weights of what was done last.
    trainer : Trainer
        What trains it, and counts its right answers.
    probe : Probe
        What records its observed layer.

    Raises
    ------
    InputTypeError, InputValueError
        If a number is out of range.
    """

    def __init__(
        self,
        dataset: str,
        network: str,
        width: int,
        *,
        n_samples: int,
        accuracy: float,
        max_epochs: int,
    ) -> None:
        self.data = ann2neo.load_dataset(dataset)
        self._x, self._y = self.data.inputs("train"), self.data.labels("train")
        whole_number(n_samples, "n_samples", at_least=2, at_most=len(self._x))
        if not 0 < accuracy <= 1:
            raise InputValueError(
                f"accuracy must lie in 0 .. 1, got {accuracy}; 0.99 stands for 99 %"
            )
        whole_number(max_epochs, "max_epochs")
        self._n_samples, self._accuracy = n_samples, accuracy
        self._max_epochs = max_epochs
        shape = self._x.shape[1:]
        self.model = build_network(network, width, shape, self.data.n_classes)
        self._built = self.model.get_weights()
        self.trainer = Trainer(self.model)
        self.probe = ann2neo.Probe(self.model, HIDDEN_LAYER)

    def images(self, seed: int) -> tuple[npt.NDArray[np.float32], _Labels]:
        """Draw the images of a seed; return them with their true labels."""
        rng = np.random.default_rng([seed, 2])
        chosen = rng.choice(len(self._x), self._n_samples, replace=False)
        return self._x[chosen], self._y[chosen]

    def start(self, seed: int) -> None:
        """Give the network the first weights of a seed."""
        self.model.set_weights(self._built)
        self.model.set_weights(initial_weights(self.model, seed))

    def train(self, images: Any, labels: _Labels, seed: int) -> Progress:
        """Train the network from where it is until it reaches the accuracy."""
        return self.trainer.train(
            images,
            labels,
            max_epochs=self._max_epochs,
            target_accuracy=self._accuracy,
            seed=seed,
        )

    def test_accuracy(self, labels: _Labels | None = None) -> float:
        """Return the accuracy on all test images, by their true labels or others."""
        of = self.data.labels("test") if labels is None else labels
        return self.trainer.accuracy(self.data.inputs("test"), of)

    def record(
        self, x: Any, labels: Sequence[int] | _Labels, phase: str, seed: int
    ) -> ann2neo.Recording:
        """Record the observed layer on images, shown in a seeded random order."""
        return self.probe.record(
            x, labels=labels, phase=phase, seed=seed, progress=False
        )

    def record_both(self, images: Any, labels: _Labels, seed: int) -> ann2neo.Recording:
        """Record the images trained on, "train", and all test images, "test"."""
        test = self.record(
            self.data.inputs("test"), self.data.labels("test"), "test", seed
        )
        train = self.record(images, labels, "train", seed)
        return ann2neo.Recording.concatenate([train, test])
