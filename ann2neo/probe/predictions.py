"""Predictions: the class that a network predicts for each stimulus."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ann2neo.errors import InputValueError
from ann2neo.probe.adapter import Adapter
from ann2neo.probe.nests import leaves_of

__all__ = ["classes_of"]


def classes_of(
    adapter: Adapter, output: Any, *, required: bool
) -> npt.NDArray[np.int32] | None:
    """Read classes from a model's output.

    Parameters
    ----------
    adapter : Adapter
        The framework.
    output : nest of tensor
        The model's output for a batch.
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
    tensors = leaves_of(output)
    shapes = [tuple(tensor.shape) for tensor in tensors]
    n_scores = shapes[0][1] if len(shapes) == 1 and len(shapes[0]) == 2 else 0
    if n_scores > 1:
        best: npt.NDArray[np.intp] = adapter.to_numpy(tensors[0]).argmax(axis=1)
        return best.astype(np.int32)
    if n_scores == 1 and adapter.ends_in_sigmoid:
        return (adapter.to_numpy(tensors[0])[:, 0] > 0.5).astype(np.int32)
    if not required:
        return None
    raise InputValueError(
        f"the output of {adapter.model_name!r}, {shapes}, is neither one score per"
        " class (batch, n_classes) nor a single sigmoid, so it predicts no class; leave"
        " predictions=True out"
    )
