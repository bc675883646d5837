"""What recording costs beside the bare compiled forward pass, on both backends, and how
much memory it takes.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from harness import Report, measure_in_turn, peak_above, pinned, run_fresh

N = 60_000
STREAMED = (25_000, 50_000, 100_000, 200_000)


def _images(n: int) -> np.ndarray:
    """Images of MNIST's shape and range; their content does not matter for time."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (n, 28, 28, 1), dtype=np.uint8).astype(np.float32) / 255


def _networks() -> dict[str, tuple[Any, str]]:
    import keras
    from keras import layers as kl

    dense = [
        kl.Flatten(),
        kl.Dense(64, "relu", name="recorded"),
        kl.Dense(10, "softmax"),
    ]
    conv = [
        kl.Conv2D(32, 3, activation="relu", name="recorded"),
        kl.MaxPooling2D(),
        kl.Flatten(),
        kl.Dense(64, "relu"),
        kl.Dense(10, "softmax"),
    ]
    return {
        "dense": (keras.Sequential([keras.Input((28, 28, 1)), *dense]), "`Dense(64)`"),
        "conv": (
            keras.Sequential([keras.Input((28, 28, 1)), *conv]),
            "convolution of 21 632 units",
        ),
    }


def _forward(model: Any, x: np.ndarray, batch_size: int) -> Callable[[], None]:
    """The bare pass: a compiled model cut at the recorded layer, fed batch by batch,
    its activations thrown away.
    """
    import keras

    cut = keras.Model(model.inputs, model.get_layer("recorded").output)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        spec = tf.TensorSpec([None, *x.shape[1:]], tf.float32)
        step: Any = tf.function(
            lambda batch: cut(batch, training=False),
            autograph=False,
            input_signature=[spec],
        )

        def run() -> None:
            for first in range(0, len(x), batch_size):
                step(tf.convert_to_tensor(x[first : first + batch_size]))

        return run
    import jax

    weights = [
        [v.value for v in part]
        for part in (cut.trainable_variables, cut.non_trainable_variables)
    ]
    compiled = jax.jit(
        lambda a, b, batch: cut.stateless_call(a, b, batch, training=False)[0]
    )

    def run_jax() -> None:
        for first in range(0, len(x), batch_size):
            compiled(*weights, x[first : first + batch_size]).block_until_ready()

    return run_jax


def backend_times() -> None:
    """In a process of its own: seconds of recording and of the bare pass, sides turn by
    turn.
    """
    import ann2neo

    x, found = _images(N), {}
    with pinned():
        for name, (model, _) in _networks().items():
            probe = ann2neo.Probe(model, layers="recorded")
            batch_size = int(probe.record(x[:2048]).provenance["batch_size"])
            sides = {
                "record": lambda model=model: ann2neo.record(
                    model, x, layers="recorded", progress=False
                ),
                "forward": _forward(model, x, batch_size),
            }
            timings = measure_in_turn(sides, repeat=3)
            found[name] = {side: timing.best for side, timing in timings.items()} | {
                "batch_size": batch_size
            }
    sys.stdout.write("\n" + json.dumps(found) + "\n")


def backend_checks() -> None:
    """In a process of its own: CPU seconds of recording, and of its checks that no
    weight and no stimulus is NaN or infinite, on the same batches; and the numbers in
    a stimulus.
    """
    import ann2neo
    from ann2neo.probe.nests import all_finite

    found = {}
    with pinned():
        for name, (model, _) in _networks().items():
            x = _images(N)
            probe = ann2neo.Probe(model, layers="recorded")
            batch_size = int(probe.record(x[:2048]).provenance["batch_size"])
            record, checks = [], []
            for _ in range(5):
                started = time.process_time()
                probe.record(x, progress=False)
                record.append(time.process_time() - started)
                shuffled = np.random.default_rng(0).permutation(N)
                spent = 0.0
                for first in range(0, N, batch_size):
                    # As in a recording, a batch has just been gathered.
                    batch = x[shuffled[first : first + batch_size]]
                    started = time.process_time()
                    all_finite(batch)
                    spent += time.process_time() - started
                started = time.process_time()
                for weight in model.get_weights():
                    all_finite(weight)
                checks.append(spent + time.process_time() - started)
            found[name] = {"record": min(record), "checks": min(checks)}
    sys.stdout.write("\n" + json.dumps(found) + "\n")


def backend_predict() -> None:
    """In a process of its own, since predict keeps all activations (17 GB): seconds of
    predict and of recording.
    """
    import keras

    import ann2neo

    model, x = _networks()["conv"][0], _images(N)
    cut = keras.Model(model.inputs, model.get_layer("recorded").output)
    probe = ann2neo.Probe(model, layers="recorded")
    sides = {
        "record": lambda: probe.record(x, progress=False),
        "predict": lambda: np.count_nonzero(cut.predict(x, verbose=0) > 0),
    }
    probe.record(x[:2048], progress=False)
    cut.predict(x[:64], verbose=0)
    timings = measure_in_turn(sides, repeat=1, warmup=0)
    sys.stdout.write(
        "\n"
        + json.dumps({side: timing.best for side, timing in timings.items()})
        + "\n"
    )


def backend_memory(n: int) -> None:
    """In a process of its own: how far memory rises above model and data while the
    convolution is recorded.
    """
    import ann2neo

    model = _networks()["conv"][0]
    x = _images(n)
    probe = ann2neo.Probe(model, layers="recorded")
    probe.record(x[:1024], progress=False)
    rise, recording = peak_above(lambda: probe.record(x, progress=False))
    sys.stdout.write(
        "\n" + json.dumps({"rise": rise, "bits": recording.raster.nbytes / 1e6}) + "\n"
    )


def backend_stream(n: int) -> None:
    """In a process of its own: the same for a generator, `Dense(64)`, batch by
    batch.
    """
    import ann2neo

    model = _networks()["dense"][0]
    images = _images(256)

    def batches(length: int) -> Iterator[np.ndarray]:
        for first in range(0, length, 256):
            yield images[: min(256, length - first)]

    probe = ann2neo.Probe(model, layers="recorded")
    probe.record(batches(2048), shuffle=False, progress=False)
    rise, recording = peak_above(
        lambda: probe.record(batches(n), shuffle=False, n_samples=n, progress=False)
    )
    kept = recording.raster.nbytes + int(
        recording.presentations.memory_usage(index=False).sum()
    )
    sys.stdout.write(
        "\n"
        + json.dumps(
            {"rise": rise, "kept": kept / 1e6, "read": n * images[0].nbytes / 1e6}
        )
        + "\n"
    )


def main() -> None:
    """Measure both backends, each in processes of its own."""
    report = Report("probe", "Recording a network")
    for backend in ("tensorflow", "jax"):
        env = {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
        found = run_fresh("import bench_probe; bench_probe.backend_times()", env=env)
        dense, conv = found["dense"], found["conv"]
        report.row(
            f"{backend}: `Dense(64)`, 60 000 images",
            dense["record"],
            at_most=1.2 * dense["forward"] + 0.2,
            limit_on="ours",
            note=(
                f"compiled pass {dense['forward']:.3g} s, batches of"
                f" {dense['batch_size']}"
            ),
        )
        report.row(
            f"{backend}: convolution of 21 632 units, 60 000 images",
            conv["record"],
            at_most=2.5 * conv["forward"],
            limit_on="ours",
            note=(
                f"compiled pass {conv['forward']:.3g} s, batches of"
                f" {conv['batch_size']}"
            ),
        )
        found = run_fresh("import bench_probe; bench_probe.backend_checks()", env=env)
        for name, what in (
            ("dense", "`Dense(64)`"),
            ("conv", "convolution of 21 632 units"),
        ):
            spent = found[name]
            report.row(
                f"{backend}: checks of weights and stimuli, {what}, 60 000 images",
                100 * spent["checks"] / spent["record"],
                "% of CPU",
                at_most=2 if name == "conv" else None,
                limit_on="ours",
                note=(
                    f"{1e9 * spent['checks'] / N:.0f} ns per image, which is read once;"
                    f" recording takes {1e9 * spent['record'] / N:,.0f} ns"
                ),
            )
        predict = run_fresh(
            "import bench_probe; bench_probe.backend_predict()", env=env
        )
        report.row(
            f"{backend}: convolution of 21 632 units, 60 000 images",
            predict["record"],
            theirs=predict["predict"],
            theirs_is="`Model(...).predict(x) > 0`",
            at_least=15.0 if backend == "tensorflow" else None,
            note="each once, in one process",
        )
        for n in (15_000, 30_000, N):
            memory = run_fresh(
                f"import bench_probe; bench_probe.backend_memory({n})", env=env
            )
            report.row(
                f"{backend}: memory above model and data, convolution, {n:,} images",
                memory["rise"],
                "MB",
                at_most=500,
                limit_on="ours",
                note=f"{memory['bits']:.0f} MB of it bits",
            )
        for n in STREAMED:
            memory = run_fresh(
                f"import bench_probe; bench_probe.backend_stream({n})", env=env
            )
            report.row(
                f"{backend}: memory above the model, generator of {n:,} images,"
                " `Dense(64)`",
                memory["rise"],
                "MB",
                note=(
                    f"{memory['read']:.0f} MB read; {memory['kept']:.2g} MB are the"
                    " recording"
                ),
            )
    report.save()


if __name__ == "__main__":
    main()
