"""How long the study's networks take to train: an epoch beside Keras' own, in mixed
precision, after a glance, in TensorFlow beside JAX, and seeds at once beside one after
the other.

Keras runs on one backend per process, so that JAX has one of its own, which trains when
it is told to, in turn with TensorFlow. All of it is CPU time of both cores, which does
not count other work on the machine; on an accelerator, seeds at once are measured by
the clock.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
from harness import Report, measure_in_turn, run_fresh

import ann2neo
from ann2neo.study.networks import build_network, initial_weights, learning_twin
from ann2neo.study.training import (
    BATCH_SIZE,
    LEARNING_RATE,
    Trainee,
    Trainer,
    backend_module,
    several_are_cheap,
)

_FAR = 0.999999
"""A target that no epoch here reaches."""
_TURNS = 3
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
    report = Report("training", "Training the study's networks, in CPU time")

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
            },
            clock=time.process_time,
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
        clock=time.process_time,
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
        clock=time.process_time,
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
    _at_once(report)
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


_SEEDS = (("MLP", 64, 54_000, 3), ("MLP", 64, 54_000, 8), ("MLP", 512, 54_000, 3))
_SEEDS += (("CNN", 64, 2_560, 3),)
"""Networks, widths, images, and seeds that are trained at once."""


def _seeds(network: str, width: int, n: int, n_seeds: int) -> dict[str, float]:
    """CPU seconds per epoch of several seeds at once, and one after the other."""
    data = ann2neo.load_dataset("mnist")
    x = backend_module().tensor(data.inputs("train")[:n])
    y = data.labels("train")[:n]
    model = build_network(network, width, x.shape[1:])
    starts = [initial_weights(model, seed) for seed in range(n_seeds)]
    trainer = Trainer(model)
    rule = {"max_epochs": 1, "target_accuracy": _FAR}

    def one_by_one() -> None:
        for seed, start in enumerate(starts):
            model.set_weights(start)
            trainer.train(x, y, seed=seed, **rule)

    def at_once() -> None:
        trainees = []
        for seed, start in enumerate(starts):
            model.set_weights(start)
            trainees.append(Trainee(seed, x, y, trainer.state()))
        trainer.train_several(trainees, **rule)

    # On an accelerator the processor waits, elsewhere other work is left out.
    clock = time.perf_counter if several_are_cheap() else time.process_time
    turns = measure_in_turn({"at once": at_once, "one by one": one_by_one}, clock=clock)
    return {name: turn.median for name, turn in turns.items()}


def seconds_of_seeds() -> None:
    """Print what `_seeds` measures of each network in `_SEEDS`, in JSON."""
    seconds = {json.dumps(chosen): _seeds(*chosen) for chosen in _SEEDS}
    seconds_and_device = {"device": backend_module().device(), "seconds": seconds}
    sys.stdout.write(f"{json.dumps(seconds_and_device)}\n")


def _at_once(report: Report) -> None:
    """Train seeds at once and one after the other, in turn, in one process on JAX."""
    measured = run_fresh(
        "import bench_training; bench_training.seconds_of_seeds()",
        env={"KERAS_BACKEND": "jax"},
    )
    for chosen in _SEEDS:
        network, width, n, n_seeds = chosen
        seconds = measured["seconds"][json.dumps(chosen)]
        report.row(
            f"{n} images of MNIST, {n_seeds} seeds of the {network} of width {width} at"
            " once, JAX",
            seconds["at once"],
            theirs=seconds["one by one"],
            theirs_is="one after the other",
            note=f"on {measured['device']}",
        )


def _serve() -> None:
    """Train an epoch of the network that each line of standard input names."""
    steps = _steps()
    for line in sys.stdin:
        began = time.process_time()
        steps[line.strip()]()
        sys.stdout.write(f"{json.dumps(time.process_time() - began)}\n")
        sys.stdout.flush()


def _beside_jax(report: Report) -> None:
    """Train in TensorFlow and in JAX, in turn, each in CPU time of its process."""
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
            seconds: dict[str, list[float]] = {"tensorflow": [], "jax": []}
            for _ in range(1 + _TURNS):
                began = time.process_time()
                step()
                seconds["tensorflow"].append(time.process_time() - began)
                seconds["jax"].append(in_jax(name))
            # The first turn compiles.
            ours, theirs = (statistics.median(it[1:]) for it in seconds.values())
            report.row(
                f"{n} images of MNIST, {network} of width {width}, TensorFlow",
                ours,
                theirs=theirs,
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
