"""What recording costs on a GPU, beside the bare pass with inputs from the host.

``python tests/benchmarks/gpu.py`` runs the convolution of 21 632 units over 60 000
images, once in PyTorch and once in Keras on JAX, at the default batch size and at
others, within four minutes, and prints one table. On a machine without a GPU,
``--images 512`` tries the script out.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

BATCH_SIZES = (64, 1_024, 4_096)
LIMIT = 3.5
SECONDS = 100
"""How long each framework may take."""


def _best(function: Callable[[], Any], repeat: int = 3) -> float:
    function()
    seconds = []
    for _ in range(repeat):
        started = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _images(n: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.random((n, 28, 28, 1), dtype=np.float32)


def torch_case(n: int) -> tuple[str, Any, str, np.ndarray, Any]:
    """The network of PyTorch, and its bare pass for a batch size."""
    import torch
    from torch import nn

    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Flatten(), nn.Linear(21_632, 10)
    )
    model = model.to(device).eval()
    x = _images(n).transpose(0, 3, 1, 2)
    x = np.ascontiguousarray(x)

    def bare(batch_size: int) -> None:
        with torch.inference_mode():
            for first in range(0, n, batch_size):
                model[:2](torch.from_numpy(x[first : first + batch_size]).to(device))
        if device == "cuda":
            torch.cuda.synchronize()

    name = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    return f"torch {torch.__version__} on {name}", model, "1", x, bare


def jax_case(n: int) -> tuple[str, Any, str, np.ndarray, Any]:
    """The network of Keras on JAX, and its compiled pass for a batch size."""
    import jax
    import keras

    conv = keras.layers.Conv2D(32, 3, activation="relu", name="recorded")
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            conv,
            keras.layers.Flatten(),
            keras.layers.Dense(10),
        ]
    )
    cut = keras.Model(model.inputs, conv.output)
    weights = [
        [v.value for v in part]
        for part in (cut.trainable_variables, cut.non_trainable_variables)
    ]
    compiled = jax.jit(lambda a, b, batch: cut.stateless_call(a, b, batch)[0])
    x = _images(n)

    def bare(batch_size: int) -> None:
        last = None
        for first in range(0, n, batch_size):
            last = compiled(*weights, x[first : first + batch_size])
        jax.block_until_ready(last)

    name = jax.devices()[0].device_kind
    return f"jax {jax.__version__} on {name}", model, "recorded", x, bare


def rows(framework: str, n: int) -> Iterator[str]:
    """Measure one framework, row by row."""
    import ann2neo

    started = time.perf_counter()
    case = {"torch": torch_case, "jax": jax_case}[framework]
    name, model, layer, x, bare = case(n)
    probe = ann2neo.Probe(model, layer)
    default = int(probe.record(x[:256], progress=False).provenance["batch_size"])
    for batch_size in dict.fromkeys((default, *BATCH_SIZES)):
        if time.perf_counter() - started > SECONDS:
            yield f"| {name} | {batch_size} | not measured: no time left | | |"
            continue
        passed = _best(lambda size=batch_size: bare(size))
        recorded = _best(
            lambda size=batch_size: probe.record(x, batch_size=size, progress=False)
        )
        ratio = recorded / passed
        verdict = ""
        if batch_size == default:
            verdict = "default, within" if ratio <= LIMIT else "default, above"
            verdict += f" {LIMIT}"
        yield (
            f"| {name} | {batch_size} | {passed:.3g} s | {recorded:.3g} s |"
            f" {ratio:.2f} {verdict} |"
        )


def main() -> None:
    """Measure both frameworks, each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, default=60_000)
    parser.add_argument("--framework", choices=["torch", "jax"])
    options = parser.parse_args()
    if options.framework is not None:
        for row in rows(options.framework, options.images):
            _say(row)
        return
    _say(f"Convolution of 21 632 units, {options.images} images, inputs on the host\n")
    _say("| framework and device | batch | bare pass | recording | ratio |")
    _say("|---|---|---|---|---|")
    for framework in ("torch", "jax"):
        arguments = ["--framework", framework, "--images", str(options.images)]
        done = subprocess.run(
            [sys.executable, __file__, *arguments],
            env={**os.environ, "KERAS_BACKEND": "jax", "TF_CPP_MIN_LOG_LEVEL": "3"},
            check=False,
            stdout=subprocess.PIPE,
            text=True,
        )
        table = [line for line in done.stdout.splitlines() if line.startswith("|")]
        _say("\n".join(table) or f"| {framework} | failed | | | |")


if __name__ == "__main__":
    main()
