"""Thresholds: what a user passes, turned into one limit per unit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ann2neo.errors import InputTypeError, InputValueError
from ann2neo.probe.adapter import Adapter, Forward, LayerInfo, TapShape
from ann2neo.probe.steps import Steps
from ann2neo.probe.stimuli import ArrayStimuli, Stimuli

__all__ = [
    "Threshold",
    "below_in_float32",
    "checked_rule",
    "checked_threshold",
    "limits_by_quantile",
    "limits_of",
    "rule_in_words",
]

FloatArray = npt.NDArray[np.float64]
Threshold = npt.ArrayLike | Mapping[str, npt.ArrayLike]
"""What a user may pass as ``threshold``; see `checked_threshold`."""


SAMPLE_BYTES = 1 << 28
"""Largest size in memory of the activations from which quantiles are taken."""


def checked_threshold(threshold: Threshold, keys: Sequence[str]) -> list[Any]:
    """Return the threshold of every recorded layer, before its units are known.

    Parameters
    ----------
    threshold : float, str, array_like, mapping or sequence
        A number; ``"quantile:q"``; an array, one number per unit; or one of those for
        each layer, as a mapping from layer names or a list in the order of the layers.
    keys : sequence of str
        Names of the recorded layers; the same one for several outputs of a layer.

    Returns
    -------
    list of float, str or ndarray
        One entry per layer.

    Raises
    ------
    InputTypeError, InputValueError
        If it is none of those, not finite, or does not name the recorded layers.
    """
    names = ", ".join(map(repr, dict.fromkeys(keys)))
    if isinstance(threshold, Mapping):
        unknown = [key for key in threshold if key not in keys]
        missing = [key for key in keys if key not in threshold]
        if unknown:
            raise InputValueError(
                f"threshold names {unknown[0]!r}, which is not recorded; give one for"
                f" each of {names}"
            )
        if missing:
            raise InputValueError(
                f"threshold has none for {missing[0]!r}; give one for each of {names}"
            )
        return [checked_rule(threshold[key], key) for key in keys]
    rules = [threshold] * len(keys)
    if isinstance(threshold, (list, tuple)) and len(keys) > 1:
        if len(threshold) != len(keys):
            raise InputValueError(
                f"threshold lists {len(threshold)} values for {len(keys)} layers; give"
                f" one for each of {', '.join(map(repr, keys))}"
            )
        rules = list(threshold)
    return [checked_rule(rule, key) for key, rule in zip(keys, rules, strict=True)]


def rule_in_words(rule: Any) -> float | str:
    """Describe a checked threshold for the provenance."""
    if isinstance(rule, str):
        return rule
    return float(rule) if rule.ndim == 0 else "one a unit"


def checked_rule(rule: Any, name: str) -> Any:
    """Return the threshold of one layer: text of a quantile, or numbers.

    Parameters
    ----------
    rule : float, str or array_like
        What the user passed for it.
    name : str
        Name of the layer, for messages.

    Returns
    -------
    str or ndarray of float64
        The threshold.

    Raises
    ------
    InputTypeError, InputValueError
        If it is neither, or not finite.
    """
    if isinstance(rule, str):
        text = rule.removeprefix("quantile:")
        try:
            q = float(text) if text != rule else math.nan
        except ValueError:
            q = math.nan
        if not 0 <= q <= 1:
            raise InputValueError(
                "a threshold given as text must be 'quantile:q' with q from 0 to 1,"
                f" such as 'quantile:0.9', got {rule!r}"
            )
        return rule
    try:
        values = np.asarray(rule, np.float64)
    except (TypeError, ValueError) as error:
        raise InputTypeError(
            f"the threshold of {name!r} must be a number, one per unit, or"
            f" 'quantile:q', got {rule!r}"
        ) from error
    if isinstance(rule, bool) or not np.isfinite(values).all():
        raise InputValueError(
            f"the threshold of {name!r} must be finite, got {rule!r}; pass, for"
            " example, 0.0"
        )
    return values


def limits_by_quantile(
    adapter: Adapter,
    forward: Forward,
    stimuli: Stimuli,
    shapes: list[TapShape],
    rules: Mapping[LayerInfo, Any],
    *,
    steps: Steps | None = None,
    seed: int,
    batch_size: int,
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
    rules : mapping of LayerInfo to (float, ndarray or str)
        Checked threshold of each layer.
    steps : Steps or None
        How a sample lasts several time bins; None if each lasts one.
    seed : int
        Seed of the draw of samples, where the activations of all would take too much
        memory, and of noise, which is independent of the recording's.
    batch_size : int
        Samples in a forward pass.
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
    limits: list[Any] = [rules[shape.tap.layer] for shape in shapes]
    wanted = {i: q for i, q in enumerate(map(_quantile_of, limits)) if q is not None}
    if not wanted:
        return limits
    if not isinstance(stimuli, ArrayStimuli):
        raise InputValueError(
            "a quantile threshold needs a first pass over the stimuli, and these can be"
            " read only as they come; pass arrays, or thresholds as numbers"
        )
    n_steps = 1 if steps is None else steps.n_steps
    sizes = {i: math.prod(shapes[i].shape) for i in wanted}
    n_units = sum(sizes.values()) // n_steps
    n = min(stimuli.n_samples, sample_bytes // max(1, 4 * n_units * n_steps))
    if n < min(100, stimuli.n_samples):
        raise InputValueError(
            f"quantiles of {n_units} units would come from {n} samples, and need at"
            " least 100; record fewer layers at once, or pass thresholds as numbers"
        )
    rng = np.random.default_rng((seed, 1))
    # Ascending, so that arrays on disk are read from front to back.
    chosen = np.sort(rng.choice(stimuli.n_samples, n, replace=False))
    # One row per unit: quantiles run over contiguous memory.
    values = {
        i: np.empty((size // n_steps, n * n_steps), np.float32)
        for i, size in sizes.items()
    }
    state: Any = {}
    done = n_shown = 0
    for batch in stimuli.batches(chosen, batch_size):
        passed = forward(batch.data, state, rng)
        state = passed.state
        size = n_bins = len(batch.stimulus_id)
        frame = None
        if steps is not None:
            frame = steps.frame(batch, steps.n_steps, passed.mask, n_shown)
            n_bins = frame.n_bins
        for i, of_output in values.items():
            activations = adapter.to_numpy(passed.activations[i])
            flat = activations.reshape(size, -1)
            if frame is not None:
                flat = frame.flat(activations)
            of_output[:, done : done + n_bins] = flat.T
        done += n_bins
        n_shown += size
    for i, q in wanted.items():
        limits[i] = np.quantile(
            values[i][:, :done], q, axis=1, method="inverted_cdf", overwrite_input=True
        ).astype(np.float64)
    return limits


def _quantile_of(rule: Any) -> float | None:
    """Return the q of ``"quantile:q"``; None for any other threshold."""
    return float(rule.removeprefix("quantile:")) if isinstance(rule, str) else None


def limits_of(rule: Any, key: str, shape: tuple[int, ...]) -> FloatArray:
    """Return the limits of the units of one output.

    Parameters
    ----------
    rule : ndarray of float
        A number, one per unit in C order, or one per unit in the output's own shape.
    key : str
        Name of the layer, for messages.
    shape : tuple of int
        Shape of the output without the batch.

    Returns
    -------
    ndarray of float, shape () or (n_units,)
        The limits.

    Raises
    ------
    InputValueError
        If the shape does not fit.
    """
    values: FloatArray = np.asarray(rule, np.float64)
    n_units = math.prod(shape)
    if values.shape not in {(), (n_units,), shape}:
        raise InputValueError(
            f"the threshold of {key!r} must be a number or one per unit, shape"
            f" ({n_units},) or {shape}, got shape {values.shape}"
        )
    return values.reshape(-1) if values.ndim else values


def below_in_float32(limits: FloatArray) -> npt.NDArray[np.float32]:
    """Round limits down to float32, which no comparison with a float32 notices.

    For every float32 ``a``, ``a > limit`` if and only if ``a > rounded``. Rounding to
    nearest would not do: where the nearest float32 lies above the limit, an activation
    equal to it would be no spike.

    Examples
    --------
    >>> import numpy as np
    >>> float(below_in_float32(np.array(0.1))) < 0.1 < float(np.float32(0.1))
    True
    """
    rounded = limits.astype(np.float32)
    lower = np.nextafter(rounded, np.float32(-np.inf))
    return np.where(rounded.astype(np.float64) > limits, lower, rounded).astype(
        np.float32
    )
