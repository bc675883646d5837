"""Predictions: the class a network names for each stimulus, where its output is one
score a class.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from ann2neo.errors import InputValueError
from ann2neo.probe.keras.crossing import to_numpy

__all__ = ["classes_of"]


def classes_of(
    model: Any, output: Any, *, required: bool
) -> npt.NDArray[np.int32] | None:
    """Read classes from a model's output.

    Parameters
    ----------
    model : keras.Model
        The model.
    output : nest of tensor
        Its output for a batch.
    required : bool
        Whether an output without classes is an error.

    Returns
    -------
    ndarray of int32, shape (n_samples,), or None
        The largest score of each sample, or whether a single sigmoid is above 0.5. None
        if the output is neither.

    Raises
    ------
    InputValueError
        If classes are required and the output holds none.
    """
    leaves = keras.tree.flatten(output)
    shape = tuple(leaves[0].shape) if len(leaves) == 1 else ()
    if len(shape) == 2 and shape[1] > 1:
        best: npt.NDArray[np.intp] = to_numpy(leaves[0]).argmax(axis=1)
        return best.astype(np.int32)
    if len(shape) == 2 and shape[1] == 1 and _ends_in_sigmoid(model):
        return (to_numpy(leaves[0])[:, 0] > 0.5).astype(np.int32)
    if not required:
        return None
    shapes = [tuple(leaf.shape) for leaf in leaves]
    raise InputValueError(
        f"the output of {model.name!r}, {shapes}, is neither one score a class (batch,"
        " n_classes) nor a single sigmoid, so it names no class; leave"
        " predictions=True out"
    )


def _ends_in_sigmoid(model: Any) -> bool:
    outputs = keras.tree.flatten(getattr(model, "outputs", None) or [])
    if len(outputs) != 1:
        return False
    last = outputs[0]._keras_history.operation
    return (
        isinstance(last, keras.layers.Layer)
        and getattr(last, "activation", None) is keras.activations.sigmoid
    )
