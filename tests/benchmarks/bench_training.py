"""How long the study's networks take to train: an epoch beside Keras' own, in mixed
precision, after a glance, and in TensorFlow beside JAX.

Keras runs on one backend per process, so that JAX has one of its own, which trains when
it is told to, in turn with TensorFlow.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
from harness import Report, measure_in_turn

import ann2neo
from ann2neo.study.networks import build_network, initial_weights, learning_twin
from ann2neo.study.training import (
    BATCH_SIZE,
    LEARNING_RATE,
    Trainer,
    backend_module,
)

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
    shown = backend_module().tensor(x)
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
        backend_module().tensor(cifar.inputs("train")[:1024]),
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
    _beside_jax(report)
    report.save()


_SMALL = (("MLP", 64, 54_000), ("MLP", 512, 54_000), ("CNN", 64, 2_560))
"""Networks, widths and images that both backends train on."""


def _steps() -> dict[str, Callable[[], Any]]:
    """An epoch of each network in `_SMALL`, with whatever Keras runs on."""
    data = ann2neo.load_dataset("mnist")
    steps: dict[str, Callable[[], Any]] = {}
    for network, width, n in _SMALL:
        x, y = data.inputs("train")[:n], data.labels("train")[:n]
        model = build_network(network, width, x.shape[1:])
        model.set_weights(initial_weights(model, 0))
        # Dense layers are trained by XLA in the study, convolutions are not.
        trainer = Trainer(model, xla=network == "MLP")
        shown = backend_module().tensor(x)
        steps[f"{network} {width}"] = _epoch(trainer, shown, y)
    return steps


def _serve() -> None:
    """Train an epoch of the network that each line of standard input names."""
    steps = _steps()
    for line in sys.stdin:
        began = time.perf_counter()
        steps[line.strip()]()
        sys.stdout.write(f"{json.dumps(time.perf_counter() - began)}\n")
        sys.stdout.flush()


def _beside_jax(report: Report) -> None:
    """Train in TensorFlow and in JAX, in turn."""
    steps = _steps()
    with subprocess.Popen(
        [sys.executable, __file__, "--serve"],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def in_jax(name: str) -> float:
            process.stdin.write(f"{name}\n")
            process.stdin.flush()
            return float(process.stdout.readline())

        for (network, width, n), (name, step) in zip(
            _SMALL, steps.items(), strict=True
        ):
            turns = measure_in_turn(
                {"tensorflow": step, "jax": lambda name=name: in_jax(name)},
            )
            report.row(
                f"{n} images of MNIST, {network} of width {width}, TensorFlow",
                turns["tensorflow"].median,
                theirs=turns["jax"].median,
                theirs_is="the same in JAX",
            )
        process.stdin.close()


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
    if "--serve" in sys.argv:
        _serve()
    else:
        main()
