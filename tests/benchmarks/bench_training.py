"""How long the study's networks take to train: an epoch beside Keras' own, in mixed
precision, and after a glance.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import tensorflow as tf
from harness import Report, measure_in_turn

import ann2neo
from ann2neo.study.networks import build_network, initial_weights, learning_twin
from ann2neo.study.training import BATCH_SIZE, LEARNING_RATE, Trainer

_FAR = 0.999999
"""A target that no epoch here reaches."""
_BFLOAT16 = "on a processor that multiplies bfloat16"


def _epoch(
    trainer: Trainer, x: Any, y: Any, *, target: float | None = None
) -> Callable[[], Any]:
    return lambda: trainer.train(x, y, max_epochs=1, target_accuracy=target)


def main() -> None:
    """Train epochs on 54 000 images of MNIST, turn by turn."""
    data = ann2neo.load_dataset("mnist")
    x, y = data.inputs("train")[:54_000], data.labels("train")[:54_000]
    shown = tf.constant(x)
    report = Report("training", "Training the study's networks")

    for width in (64, 512):
        ours, theirs = (build_network("MLP", width, x.shape[1:]) for _ in range(2))
        theirs.compile(
            keras.optimizers.SGD(LEARNING_RATE),
            "sparse_categorical_crossentropy",
            metrics=["accuracy"],
        )
        trainer = Trainer(ours, xla=True)
        turns = measure_in_turn(
            {
                "glance": _epoch(trainer, shown, y, target=_FAR),
                "all": _epoch(trainer, shown, y),
                "keras": lambda model=theirs: model.fit(
                    x, y, batch_size=BATCH_SIZE, verbose=0
                ),
            }
        )
        what = f"an epoch of the MLP of width {width} on MNIST, far from its target"
        report.row(
            what,
            turns["glance"].median,
            theirs=turns["keras"].median,
            theirs_is="Keras' fit with its running accuracy",
        )
        report.row(
            what,
            turns["glance"].median,
            theirs=turns["all"].median,
            theirs_is="all samples evaluated",
        )

    trainers = {
        name: it
        for name, it in _trainers("CNN", x.shape[1:]).items()
        if "keras" not in name
    }
    turns = measure_in_turn(
        {name: _epoch(trainer, shown, y) for name, trainer in trainers.items()},
        repeat=2,
    )
    report.row(
        "an epoch of the CNN of width 64 on MNIST in mixed precision",
        turns["mixed"].median,
        theirs=turns["float32"].median,
        theirs_is="in float32",
        note=_BFLOAT16,
    )

    cifar = ann2neo.load_dataset("cifar10")
    images, classes = (
        tf.constant(cifar.inputs("train")[:1024]),
        cifar.labels("train")[:1024],
    )
    trainers = _trainers("DenseNet121", images.shape[1:])
    turns = measure_in_turn(
        {name: _epoch(trainer, images, classes) for name, trainer in trainers.items()},
        repeat=3,
    )
    for name, theirs, note in (
        ("float32", "keras", ""),
        ("mixed", "keras mixed", _BFLOAT16),
    ):
        report.row(
            f"1 024 images of CIFAR-10 through DenseNet121, {name}, batch normalization"
            " in one operation",
            turns[name].median,
            theirs=turns[theirs].median,
            theirs_is="Keras' layers in the same precision",
            note=note,
        )
    report.save()


def _trainers(network: str, shape: tuple[int, ...]) -> dict[str, Trainer]:
    """A network of width 64 of Keras' layers, and as the study trains it, in either
    precision.
    """
    model = build_network(network, 64, shape)
    keras.config.set_dtype_policy("mixed_bfloat16")
    mixed = build_network(network, 64, shape)
    keras.config.set_dtype_policy("float32")
    learners = {
        "keras": model,
        "keras mixed": mixed,
        "float32": learning_twin(model),
        "mixed": learning_twin(model, "mixed_bfloat16"),
    }
    for learner in learners.values():
        learner.set_weights(initial_weights(model, 0))
    return {name: Trainer(learner) for name, learner in learners.items()}


if __name__ == "__main__":
    main()
