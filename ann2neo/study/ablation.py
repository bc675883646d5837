"""Single directions of the observed layer, clamped one after the other."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ann2neo._checks import one_of, seed_or_new, whole_number
from ann2neo.study.networks import HIDDEN_LAYER
from ann2neo.study.training import backend_module

__all__ = ["CLAMPS", "ablation_area", "ablation_curves"]

CLAMPS = ("zero", "mean")
"""What a unit is clamped to: 0, or its mean activation over the samples shown."""

_BATCH = 1024

_Floats = npt.NDArray[np.float64]


def ablation_curves(
    model: Any,
    x: Any,
    labels: npt.ArrayLike,
    *,
    clamp: str = "zero",
    n_orders: int = 10,
    seed: int = 0,
) -> _Floats:
    """Measure the accuracy as units of the observed layer are clamped cumulatively.

    Parameters
    ----------
    model : keras.Sequential
        A network as `build_network` gives it.
    x : array_like of float, shape (n_samples, ...)
        Inputs.
    labels : array_like of int, shape (n_samples,)
        What counts as a right answer: for memorization, the labels trained on.
    clamp : {"zero", "mean"}
        What a unit's activation is replaced by, for every sample: 0, or its mean over
        `x`.
    n_orders : int, default 10
        Random orders in which all units are clamped.
    seed : int, default 0
        Seeds the orders; they depend on it and the number of units alone.

    Returns
    -------
    ndarray of float, shape (n_orders, n_units + 1)
        Share of right answers with the first 0, 1, ... units of an order clamped.

    Raises
    ------
    InputTypeError, InputValueError
        If an argument is out of range.

    Notes
    -----
    Morcos et al. (2018), On the importance of single directions for generalization,
    ICLR. They clamp units of all layers; the study's networks have one observed layer.
    """
    import keras

    one_of(clamp, CLAMPS, "clamp")
    whole_number(n_orders, "n_orders")
    seed = seed_or_new(seed)
    engine = backend_module()
    body = keras.Model(model.inputs, model.get_layer(HIDDEN_LAYER).output)
    activations = engine.features(body, engine.tensor(x), _BATCH)
    # In float64, so that the sums below do not depend on the order of clamping.
    hidden = np.asarray(activations, np.float64)
    kernel, bias = (np.asarray(w, np.float64) for w in model.layers[-1].get_weights())
    intact, truth = hidden @ kernel + bias, np.asarray(labels)
    value = np.zeros(hidden.shape[1]) if clamp == "zero" else hidden.mean(axis=0)
    change = value - hidden
    rng = np.random.default_rng([seed, 4])
    curves = np.empty((n_orders, hidden.shape[1] + 1))
    for curve in curves:
        output = intact.copy()
        curve[0] = (output.argmax(axis=1) == truth).mean()
        for place, unit in enumerate(rng.permutation(len(kernel)), start=1):
            # Only this unit's share of what the output layer sums changes.
            output += np.outer(change[:, unit], kernel[unit])
            curve[place] = (output.argmax(axis=1) == truth).mean()
    return curves


def ablation_area(curves: _Floats) -> float:
    """Return the mean area under the curves, normalized.

    The axis of units is their share, 0 to 1, and accuracy is divided by that of the
    intact network: 1 where clamping costs nothing, NaN where the intact network is
    never right.

    Examples
    --------
    >>> round(ablation_area(np.array([[0.8, 0.4, 0.0], [0.8, 0.8, 0.8]])), 2)
    0.75
    """
    mean = curves.mean(axis=0)
    if not mean[0]:
        return float("nan")
    return float(np.trapezoid(mean) / (len(mean) - 1) / mean[0])
