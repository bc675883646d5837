"""What SpikeMonitor costs: epochs of the paper's MLP with and without it, and one
recording per batch.
"""

from __future__ import annotations

import os
import time
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
from harness import Report, measure_in_turn, pinned

import ann2neo
from ann2neo.study.networks import build_network

_TURNS = 2


class _Timed(ann2neo.SpikeMonitor):
    """A monitor that notes the wall-clock seconds of its own hooks, and of the whole
    epoch.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.own: list[float] = []
        self.epochs: list[float] = []
        self._started = 0.0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        super().on_epoch_begin(epoch, logs)
        self.own.append(0.0)
        self._started = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        super().on_epoch_end(epoch, logs)
        self.epochs.append(time.perf_counter() - self._started)

    def _watch(self, *arguments: Any) -> None:
        started = time.perf_counter()
        super()._watch(*arguments)
        self.own[-1] += time.perf_counter() - started


def main() -> None:
    """Train the MLP of width 64 on MNIST turn by turn, and set the hooks' time against
    the rest of the epoch.
    """
    data = ann2neo.load_dataset("mnist")
    x, y, x_test = data.inputs("train"), data.labels("train"), data.inputs("test")
    monitors = {
        "default": _Timed(x),
        "both": _Timed(x, x_test),
        "batch": _Timed(x, every="batch"),
    }
    rest: dict[str, list[float]] = {name: [] for name in monitors}
    own: dict[str, list[float]] = {name: [] for name in monitors}
    model = build_network("MLP", 64, x.shape[1:])
    model.compile(
        keras.optimizers.SGD(0.1),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    with pinned():
        for _ in range(_TURNS):
            for name, monitor in monitors.items():
                monitor.own, monitor.epochs = [], []
                model.fit(
                    x,
                    y,
                    batch_size=256,
                    epochs=3,
                    validation_split=0.1,
                    verbose=0,
                    callbacks=[monitor],
                )
                # The first epoch of a training compiles.
                own[name] += monitor.own[1:]
                rest[name] += [
                    whole - mine
                    for whole, mine in zip(monitor.epochs, monitor.own, strict=True)
                ][1:]

    report = Report("monitor", "Watching a training")
    where = "an epoch of the MLP (64) on MNIST in Keras' fit"
    for name, words in (
        ("default", "100 samples"),
        ("both", "100 samples of training and of test"),
    ):
        mine, theirs = float(np.median(own[name])), float(np.median(rest[name]))
        limit = {"at_most": 5.0, "limit_on": "ours"} if name == "default" else {}
        note = f"{1000 * mine:.0f} ms beside {where}, {theirs:.2f} s"
        report.row(
            f"`SpikeMonitor`, {words}, share of training time",
            100 * mine / theirs,
            "%",
            note=note,
            **limit,
        )
    n_batches = int(np.ceil(0.9 * len(x) / 256))
    mine, theirs = (
        1000 * float(np.median(seconds["batch"])) for seconds in (own, rest)
    )
    note = f"a batch takes {theirs / n_batches:.1f} ms without"
    report.row(
        "`SpikeMonitor(every='batch')`, 100 samples, a batch",
        mine / (n_batches + 1),
        "ms",
        note=note,
    )
    probe, shown = ann2neo.Probe(model, "hidden"), x[:100]
    turns = measure_in_turn(
        {
            "spikes": lambda: probe.spikes(shown, seed=0),
            "record": lambda: probe.record(
                shown, seed=0, phase="train", predictions=False, progress=False
            ),
        },
        repeat=20,
    )
    report.row(
        "`Probe.spikes`, 100 samples of the MLP (64)",
        1000 * turns["spikes"].median,
        "ms",
        theirs=1000 * turns["record"].median,
        theirs_is="`Probe.record`",
    )
    report.save()


if __name__ == "__main__":
    main()
