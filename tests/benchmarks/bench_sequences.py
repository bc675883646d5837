"""What recording the steps of sequences costs beside the bare compiled pass, and how
much memory it takes.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from harness import Report, peak_above, pinned, run_fresh

N_UNITS, N_STEPS, N_SEQUENCES, N_FEATURES = 256, 100, 10_000, 32
BATCH_SIZES = (64, 128, 256, 512, 1024)


def _network() -> Any:
    import keras
    from keras import layers as kl

    layers = [
        kl.LSTM(N_UNITS, return_sequences=True, name="recorded"),
        kl.Dense(10, name="scores"),
    ]
    return keras.Sequential([keras.Input((N_STEPS, N_FEATURES)), *layers])


def _sequences(n: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(n, N_STEPS, N_FEATURES)).astype("f4")


def _forward(model: Any, x: np.ndarray, batch_size: int) -> Callable[[], None]:
    """The bare pass, whose activations are thrown away."""
    from bench_probe import _forward as forward

    return forward(model, x, batch_size)


def _seconds(function: Callable[[], Any]) -> tuple[float, float]:
    """Wall-clock and processor seconds of a call."""
    wall, cpu = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - wall, time.process_time() - cpu


def backend_times(n: int = N_SEQUENCES) -> None:
    """In a process of its own: seconds of recording, drawn spikes and the bare pass at
    its best batch size, turn by turn.
    """
    import ann2neo

    model, x = _network(), _sequences(n)
    few = x[: min(n, 2 * BATCH_SIZES[-1])]
    probe = ann2neo.Probe(model, "recorded", time_axis=1)
    drawing = ann2neo.Probe(model, "recorded", time_axis=1, emission="poisson")
    with pinned():
        passes = {size: _forward(model, few, size) for size in BATCH_SIZES}
        for run in passes.values():
            run()
        per_size = {size: _seconds(run)[1] for size, run in passes.items()}
        best = min(per_size, key=per_size.__getitem__)
        sides = {
            "forward": _forward(model, x, best),
            "record": lambda: probe.record(x, seed=0, progress=False),
            "draw": lambda: drawing.record(x, seed=0, progress=False),
        }
        found: dict[str, Any] = {"best_batch": best, "batches": per_size}
        for turn in range(3):
            for name, run in sides.items():
                wall, cpu = _seconds(run)
                if turn:
                    for what, value in ((name, cpu), (f"{name}_wall", wall)):
                        found[what] = min(found.get(what, np.inf), value)
        recording = probe.record(x[:64], seed=0, progress=False)
        found["batch_size"] = int(recording.provenance["batch_size"])
    sys.stdout.write("\n" + json.dumps(found) + "\n")


def backend_memory(n: int) -> None:
    """In a process of its own: how far memory rises above model and data."""
    import ann2neo

    model, x = _network(), _sequences(n)
    probe = ann2neo.Probe(model, "recorded", time_axis=1)
    probe.record(x[: BATCH_SIZES[-1]], seed=0, progress=False)
    rise, recording = peak_above(lambda: probe.record(x, seed=0, progress=False))
    bits = recording.raster.nbytes / 1e6
    sys.stdout.write("\n" + json.dumps({"rise": rise, "bits": bits}) + "\n")


def main() -> None:
    """Measure both backends, each in processes of its own."""
    report = Report("sequences", "Recording the steps of sequences")
    for backend in ("tensorflow", "jax"):
        env = {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
        found = run_fresh(
            "import bench_sequences; bench_sequences.backend_times()", env=env
        )
        for name, words in (("record", ""), ("draw", ", drawn spikes")):
            report.row(
                f"{backend}: `LSTM({N_UNITS})`, {N_STEPS} steps, {N_SEQUENCES:,}"
                f" sequences{words}",
                found[name],
                at_most=1.2 * found["forward"] if name == "record" else None,
                limit_on="ours",
                note=(
                    f"processor seconds; the compiled pass {found['forward']:.3g} s at"
                    f" its best batch of {found['best_batch']}, recording in batches of"
                    f" {found['batch_size']}, ratio"
                    f" {found[name] / found['forward']:.3g}"
                ),
            )
        memory = {
            n: run_fresh(
                f"import bench_sequences; bench_sequences.backend_memory({n})", env=env
            )
            for n in (2048, 8192)
        }
        small, large = memory[2048], memory[8192]
        report.row(
            f"{backend}: memory above the bits, 8 192 sequences beside 2 048",
            large["rise"] - large["bits"],
            "MB",
            theirs=small["rise"] - small["bits"],
            theirs_is="2 048 sequences",
        )
    report.save()


if __name__ == "__main__":
    main()
