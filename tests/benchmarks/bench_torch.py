"""What recording a PyTorch network costs on a CPU beside its bare pass under
`inference_mode`, and how much memory it takes.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from harness import Report, measure_in_turn, peak_above, run_fresh

N = 60_000
N_IMAGES = 1_024


def _images(n: int, *shape: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.random((n, *shape), dtype=np.float32)


def _networks() -> dict[str, tuple[Any, Any, int, str, float]]:
    """Return network, layers, deepest recorded part, words and limit by name.

    The limit is on the time of a recording divided by that of the bare pass.
    """
    import torchvision
    from torch import nn

    dense = nn.Sequential(
        nn.Flatten(), nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10)
    )
    conv = nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Flatten(), nn.Linear(21_632, 10)
    )
    resnet = torchvision.models.resnet18()
    return {
        "dense": (dense, "2", 3, "`Linear(784, 64)`, 60 000 images", 2.5),
        "conv": (conv, "1", 2, "convolution of 21 632 units, 60 000 images", 2.5),
        "resnet": (resnet, nn.ReLU, 0, "resnet18, all ReLU outputs, 1 024 images", 1.5),
    }


def _bare(model: Any, x: np.ndarray, batch_size: int) -> Callable[[], None]:
    import torch

    def run() -> None:
        with torch.inference_mode():
            for first in range(0, len(x), batch_size):
                model(torch.from_numpy(x[first : first + batch_size]))

    return run


def torch_times() -> None:
    """In a process of its own: seconds of recording and of the bare pass, turn by
    turn.
    """
    import ann2neo

    found = {}
    for name, (model, layers, n_parts, _, _) in _networks().items():
        model.eval()
        x = _images(N, 1, 28, 28) if n_parts else _images(N_IMAGES, 3, 64, 64)
        probe = ann2neo.Probe(model, layers)
        batch_size = int(probe.record(x[:256], progress=False).provenance["batch_size"])
        sides = {
            "record": lambda probe=probe, x=x: probe.record(x, progress=False),
            "bare": _bare(model[:n_parts] if n_parts else model, x, batch_size),
        }
        timings = measure_in_turn(sides, repeat=3)
        found[name] = {side: timing.best for side, timing in timings.items()} | {
            "batch_size": batch_size
        }
    sys.stdout.write("\n" + json.dumps(found) + "\n")


def torch_memory(n: int) -> None:
    """In a process of its own: how far memory rises above model and data."""
    import ann2neo

    model, layers, *_ = _networks()["resnet"]
    x = _images(n, 3, 64, 64)
    probe = ann2neo.Probe(model, layers)
    probe.record(x[:128], progress=False)
    rise, recording = peak_above(lambda: probe.record(x, progress=False))
    sys.stdout.write(
        "\n" + json.dumps({"rise": rise, "bits": recording.raster.nbytes / 1e6}) + "\n"
    )


def main() -> None:
    """Measure each in a process of its own."""
    report = Report("torch", "Recording a PyTorch network")
    # Threads of PyTorch that wait for a core spoil a ratio on a busy machine; one does
    # not.
    cores = len(os.sched_getaffinity(0))
    for n_threads in dict.fromkeys((1, cores)):
        found = run_fresh(
            "import bench_torch; bench_torch.torch_times()",
            env={"OMP_NUM_THREADS": str(n_threads)},
        )
        for name, (_, _, _, words, limit) in _networks().items():
            times = found[name]
            report.row(
                f"torch, threads of PyTorch {n_threads}: {words}",
                times["record"],
                theirs=times["bare"],
                theirs_is="bare pass",
                at_least=1 / limit,
                note=(
                    f"{times['record'] / times['bare']:.3g} times the pass, at most"
                    f" {limit:g}; batches of {times['batch_size']:.0f}"
                ),
            )
    for n in (256, 1_024):
        memory = run_fresh(f"import bench_torch; bench_torch.torch_memory({n})", env={})
        report.row(
            f"torch: memory above model and data, resnet18, {n:,} images",
            memory["rise"],
            "MB",
            at_most=500,
            limit_on="ours",
            note=f"{memory['bits']:.0f} MB of it bits",
        )
    report.save()


if __name__ == "__main__":
    main()
