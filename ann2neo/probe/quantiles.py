"""Quantile thresholds: each unit's own, from a first pass over the stimuli."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ann2neo.errors import InputValueError
from ann2neo.probe.adapter import Adapter, Forward, TapShape
from ann2neo.probe.stimuli import ArrayStimuli, Stimuli
from ann2neo.probe.thresholds import quantile_of

__all__ = ["limits_by_quantile"]

SAMPLE_BYTES = 1 << 28
"""Largest size in memory of the activations from which quantiles are taken."""


def limits_by_quantile(
    adapter: Adapter,
    forward: Forward,
    stimuli: Stimuli,
    shapes: list[TapShape],
    rules: Mapping[str, Any],
    *,
    seed: int,
    batch_size: int,
    training: bool,
    sample_bytes: int = SAMPLE_BYTES,
) -> list[npt.NDArray[Any]]:
    """Return the thresholds of every recorded output, with quantiles as numbers.

    Parameters
    ----------
    adapter : Adapter
        The framework.
    forward : Forward
        The forward pass.
    stimuli : Stimuli
        What will be recorded.
    shapes : list of TapShape
        The recorded outputs.
    rules : mapping of str to (float, ndarray or str)
        Checked threshold of each layer.
    seed : int
        Seed of the draw of samples, where the activations of all would take too much
        memory.
    batch_size : int
        Samples in a forward pass.
    training : bool
        Whether the network runs as in training; its noise is then seeded
        independently of the recording's.
    sample_bytes : int
        Largest size of these activations in memory.

    Returns
    -------
    list of ndarray
        One per recorded output. The quantile q of a unit is the smallest of its
        activations that a share of at least q does not exceed. It is taken over all
        samples if their activations fit into `sample_bytes`, and else over k samples
        that fit, drawn at random without replacement; the standard error of its rank
        is then about sqrt(q (1 - q) / k), as a share of the samples.

    Raises
    ------
    InputValueError
        If the stimuli cannot be indexed, or not even 100 samples fit.
    """
    limits: list[Any] = [rules[shape.tap.layer.key] for shape in shapes]
    wanted = {i: q for i, q in enumerate(map(quantile_of, limits)) if q is not None}
    if not wanted:
        return limits
    if not isinstance(stimuli, ArrayStimuli):
        raise InputValueError(
            "a quantile threshold needs a first pass over the stimuli, and these can be"
            " read only as they come; pass arrays, or thresholds as numbers"
        )
    n_units = sum(math.prod(shapes[i].shape) for i in wanted)
    n = min(stimuli.n_samples, sample_bytes // max(1, 4 * n_units))
    if n < min(100, stimuli.n_samples):
        raise InputValueError(
            f"quantiles of {n_units} units would come from {n} samples, and need at"
            " least 100; record fewer layers at once, or pass thresholds as numbers"
        )
    rng = np.random.default_rng((seed, 1))
    chosen = np.sort(rng.choice(stimuli.n_samples, n, replace=False))
    # One row per unit: quantiles run over contiguous memory.
    values = {i: np.empty((math.prod(shapes[i].shape), n), np.float32) for i in wanted}
    state: Any = {}
    done = 0
    for batch in stimuli.batches(chosen, batch_size):
        passed = forward(batch.data, state, rng if training else None)
        state = passed.state
        size = len(batch.stimulus_id)
        for i, of_output in values.items():
            activations = adapter.to_numpy(passed.activations[i])
            of_output[:, done : done + size] = activations.reshape(size, -1).T
        done += size
    for i, q in wanted.items():
        limits[i] = np.quantile(
            values[i], q, axis=1, method="inverted_cdf", overwrite_input=True
        ).astype(np.float64)
    return limits
