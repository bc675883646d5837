"""Checks of activations and thresholds that the user computed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ann2neo.errors import ActivationError, InputTypeError, InputValueError
from ann2neo.recording.steps import checked_lengths

__all__ = ["Activations", "checked_activations", "checked_threshold"]

_PRESENTATION, _STEP, _UNIT = "presentation", "step", "unit"


class Activations(NamedTuple):
    """Activations with one row per time bin.

    Parameters
    ----------
    values : ndarray, shape (n_time_bins, n_units)
        The activations; the steps of a presentation follow one another.
    lengths : ndarray of int64, shape (n_presentations,), or None
        Steps of each presentation; None where no axis is steps.
    """

    values: npt.NDArray[Any]
    lengths: npt.NDArray[np.int64] | None


def checked_activations(
    activations: npt.ArrayLike,
    axes: Sequence[str] | None = None,
    lengths: npt.ArrayLike | None = None,
) -> Activations:
    """Return activations with the axes (time_bin, unit), or raise.

    Parameters
    ----------
    activations : array_like
        Without `axes`, of shape (n_presentations, ...); axes after the first are
        flattened into units, in C order.
    axes : sequence of str, optional
        What each axis is: "presentation", "step" or "unit", of which there may be
        several.
    lengths : array_like of int, shape (n_presentations,), optional
        Steps of each presentation; what comes after them is padding. All if not given.

    Raises
    ------
    InputTypeError, InputValueError
        If they are not numbers, or have no presentation or no axis of units, or three
        axes that nobody has named.
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
    if axes is None and values.ndim == 3:
        raise InputValueError(
            f"activations of shape {values.shape} may be steps in time or maps of"
            " units; say which with axes=('presentation', 'step', 'unit') for trials of"
            " several time bins, in the order of your axes, or axes=('presentation',"
            " 'unit', 'unit') for one time bin per presentation"
        )
    names = (_PRESENTATION, *[_UNIT] * (values.ndim - 1))
    if axes is not None:
        names = _checked_axes(axes, values.shape)
    has_steps = _STEP in names
    if lengths is not None and not has_steps:
        raise InputValueError(
            "lengths count the steps of each presentation, and no axis is 'step'; name"
            " the axes, as in axes=('presentation', 'step', 'unit')"
        )
    # The axes (presentation, step, unit), with one step where there are none.
    by_name = sorted(range(len(names)), key=lambda axis: _ORDER[names[axis]])
    values = values.transpose(by_name)
    if _PRESENTATION not in names:
        values = values[np.newaxis]
    n, n_steps = len(values), values.shape[1] if has_steps else 1
    if n == 0 or n_steps == 0:
        raise InputValueError(
            f"activations hold no {'step' if n else 'presentation'} (shape"
            f" {np.shape(activations)}); record at least one"
        )
    values = values.reshape(n, n_steps, -1)
    if lengths is None:
        of_each = np.full(n, n_steps, np.int64)
        values = values.reshape(n * n_steps, -1)
    else:
        of_each = checked_lengths(lengths, n, n_steps)
        values = values[np.arange(n_steps) < of_each[:, np.newaxis]]
    is_finite = np.isfinite(values)
    if not is_finite.all():
        row, unit = (int(i) for i in np.argwhere(~is_finite)[0])
        presentation = int(np.searchsorted(np.cumsum(of_each), row, side="right"))
        place = f"presentation {presentation}, unit {unit}"
        if has_steps:
            step = row - int(of_each[:presentation].sum())
            place = f"presentation {presentation}, step {step}, unit {unit}"
        raise ActivationError(
            f"activations must be finite, got {values[row, unit]} at {place}; look for"
            " a diverged network or unscaled input"
        )
    return Activations(values, of_each if has_steps else None)


_ORDER = {_PRESENTATION: 0, _STEP: 1, _UNIT: 2}


def _checked_axes(axes: Sequence[str], shape: tuple[int, ...]) -> tuple[str, ...]:
    names = tuple(axes)
    if (
        isinstance(axes, str)
        or len(names) != len(shape)
        or not set(names) <= set(_ORDER)
        or _UNIT not in names
        or not {_PRESENTATION, _STEP} & set(names)
        or any(names.count(name) > 1 for name in (_PRESENTATION, _STEP))
    ):
        raise InputValueError(
            "axes must name each axis of the activations, once 'presentation' or"
            f" 'step' or each of them, and 'unit' for all others, got {axes!r} for the"
            f" shape {shape}; for example axes=('presentation', 'step', 'unit')"
        )
    return names


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
