"""Small trainings with whatever Keras runs on: python small_trainings.py OUT."""

import sys

import keras
import numpy as np

import ann2neo
from ann2neo.study.conditions import NetworkUnderStudy
from ann2neo.study.networks import learning_twin, weights_of
from ann2neo.study.training import Trainer

EPOCHS = 3


def blobs():
    rng = np.random.default_rng(0)
    y = np.arange(700, dtype=np.int32) % 8
    x = rng.random((700, 6, 6)) + (np.arange(36).reshape(6, 6) % 8 == y[:, None, None])
    return ann2neo.DataSet("blobs", x[:600], y[:600], x[600:], y[600:], 2.0, "a test")


def normalized_learner(shape):
    """A network with batch normalization, whose averages learn as well."""
    layers = [
        keras.layers.Conv2D(4, 3, name="convolution"),
        keras.layers.BatchNormalization(name="normalization"),
        keras.layers.Flatten(),
        keras.layers.Dense(8, activation="softmax", name="output"),
    ]
    learner = learning_twin(keras.Sequential([keras.Input(shape), *layers]))
    rng = np.random.default_rng(1)
    learner.set_weights(
        [
            rng.normal(0, 0.1, weight.shape) if weight.ndim > 1 else weight
            for weight in learner.get_weights()
        ]
    )
    return learner


def _normalized(data):
    x, y = data.inputs("train"), data.labels("train")
    learner = normalized_learner(x.shape[1:])
    # The output of a batch of one is not normalized by it, so none is left over.
    reached = Trainer(learner).train(x[:512], y[:512], max_epochs=EPOCHS)
    return weights_of(learner), reached.accuracy


def _two_seeds(bench, condition):
    """Train two networks, at once where that is possible."""
    starts = [bench.bring_into("generalizing", seed).weights for seed in (1, 2)]
    if keras.backend.backend() == "jax":
        networks = bench.bring_several_into(condition, (1, 2), starts)
    else:
        networks = [
            bench.bring_into(condition, seed, start)
            for seed, start in zip((1, 2), starts, strict=True)
        ]
    weights = [weight for network in networks for weight in network.weights]
    return weights, np.array([network.accuracy_train for network in networks])


def trained():
    """Weights and accuracies of small networks after a few epochs, by name."""
    data, found = blobs(), {}
    for network, precision in (
        ("MLP", "float32"),
        ("CNN", "float32"),
        ("CNN", "mixed_bfloat16"),
    ):
        bench = NetworkUnderStudy(
            data, network, 12, max_epochs=EPOCHS, precision=precision
        )
        generalizing = bench.bring_into("generalizing", 0)
        for condition in ("generalizing", "mem_retrain_last"):
            kept = []
            result = bench.bring_into(
                condition, 0, generalizing.weights, checkpoint=kept.append
            )
            cut = bench.bring_into(condition, 0, generalizing.weights, cut_at=kept[0])
            assert all(map(np.array_equal, result.weights, cut.weights))
            name = f"{network} {precision} {condition}"
            found[name] = result.weights, result.accuracy_train
            if precision == "float32":
                found[f"{name}, two seeds"] = _two_seeds(bench, condition)
    found["normalized"] = _normalized(data)
    return found


def flat(found):
    """The same as arrays by name, to be kept in a file."""
    arrays = {f"{name} accuracy": accuracy for name, (_, accuracy) in found.items()}
    for name, (weights, _) in found.items():
        arrays |= {f"{name} {i}": weight for i, weight in enumerate(weights)}
    return arrays


if __name__ == "__main__":
    np.savez(sys.argv[1], backend=keras.backend.backend(), **flat(trained()))
