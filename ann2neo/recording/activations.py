"""Checks of activations and thresholds that the user computed."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ann2neo.errors import ActivationError, InputTypeError, InputValueError

__all__ = ["checked_activations", "checked_threshold"]


def checked_activations(activations: npt.ArrayLike) -> npt.NDArray[Any]:
    """Return activations with the axes (presentation, unit), or raise.

    Parameters
    ----------
    activations : array_like, shape (n_presentations, ...)
        Axes after the first are flattened into units, in C order.

    Raises
    ------
    InputTypeError, InputValueError
        If they are not numbers, or have no presentation or no axis of units.
    ActivationError
        If one is NaN or infinite.
    """
    values = np.asarray(activations)
    if values.ndim == 0 or values.dtype.kind not in "fiub":
        raise InputTypeError(
            "activations must be numbers of shape (n_presentations, n_units), got"
            f" {values.dtype} of shape {values.shape}; pass one row per presentation"
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
    """Return a threshold, shape () or (n_units,), or raise InputValueError."""
    limits = np.asarray(threshold, np.float64)
    if limits.shape not in {(), (n_units,)}:
        raise InputValueError(
            f"threshold must be a number or one per unit, shape ({n_units},), got shape"
            f" {limits.shape}; pass one for each unit"
        )
    return limits
