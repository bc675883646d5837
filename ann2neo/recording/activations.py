"""Checks of activations and thresholds that were computed elsewhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ann2neo.errors import ActivationError, InputTypeError, InputValueError

__all__ = ["checked_activations", "checked_threshold"]


def checked_activations(activations: npt.ArrayLike) -> npt.NDArray[Any]:
    """Activations with the axes (presentation, unit), all finite, or an error."""
    values = np.asarray(activations)
    if values.ndim == 0 or values.dtype.kind not in "fiub":
        raise InputTypeError(
            "activations must be numbers of shape (n_presentations, n_units), got"
            f" {values.dtype} of shape {values.shape}"
        )
    if values.ndim == 1:
        raise InputValueError(
            "activations must have the axes (presentation, unit), got shape"
            f" {values.shape}; for one unit pass activations[:, None]"
        )
    if len(values) == 0:
        raise InputValueError(
            f"activations hold no presentation (shape {values.shape}); record at least"
            " one"
        )
    values = values.reshape(len(values), -1)
    is_finite = np.isfinite(values)
    if not is_finite.all():
        row, unit = (int(i) for i in np.argwhere(~is_finite)[0])
        raise ActivationError(
            f"activations must be finite, got {values[row, unit]} at presentation"
            f" {row}, unit {unit}; look for a diverged network or unscaled input"
        )
    return values


def checked_threshold(
    threshold: npt.ArrayLike, n_units: int
) -> npt.NDArray[np.float64]:
    """A threshold for all units, or one for each, or an error."""
    limits = np.asarray(threshold, np.float64)
    if limits.shape not in {(), (n_units,)}:
        raise InputValueError(
            f"threshold must be a number or one per unit, shape ({n_units},), got shape"
            f" {limits.shape}"
        )
    return limits
