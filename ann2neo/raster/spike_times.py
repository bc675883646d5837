"""Times of a raster: where its bins begin, and where in a bin a spike lies."""

from __future__ import annotations

import math
from typing import Any

import quantities as pq

from ann2neo.errors import InputTypeError, InputValueError

__all__ = ["SPIKE_POSITION", "fifteen_digits", "to_seconds"]

SPIKE_POSITION = 0.25
"""Where in its bin a spike lies, in bins: the one place Elephant, Neo, SpikeInterface
and the NWB Inspector all read exactly.
"""


def to_seconds(value: Any, name: str, *, positive: bool = False) -> float:
    """Return a time as seconds, kept to 15 significant digits.

    Fifteen digits survive every change of unit and every file, so that a period given
    in milliseconds comes back from a file in seconds as the same number.

    Parameters
    ----------
    value : quantities.Quantity, scalar, time
        The time to convert.
    name : str
        How the caller calls it; used in messages.
    positive : bool, default False
        Require a value above zero.

    Returns
    -------
    float
        Seconds.

    Raises
    ------
    InputTypeError
        If `value` is not a quantity with a unit of time.
    InputValueError
        If it is not one finite number, or not positive where it must be.

    Examples
    --------
    >>> import quantities as pq
    >>> to_seconds(1 * pq.ms, "bin_size", positive=True)
    0.001
    """
    kind = "positive time" if positive else "time"
    if not isinstance(value, pq.Quantity):
        msg = (
            f"{name} must be a {kind} such as 1 * pq.ms, got {value!r}"
            f" ({type(value).__name__}, no unit)"
        )
        raise InputTypeError(msg)
    if value.dimensionality.simplified != pq.s.dimensionality:
        msg = (
            f"{name} must be a {kind} such as 1 * pq.ms, got {value};"
            f" {value.dimensionality} is not a unit of time"
        )
        raise InputTypeError(msg)
    if value.size != 1:
        raise InputValueError(
            f"{name} must be one {kind}, got an array of {value.size}; pass a scalar"
            " such as 1 * pq.ms"
        )
    seconds = float(value.rescale("s").magnitude.reshape(()))
    if not math.isfinite(seconds) or (positive and seconds <= 0):
        raise InputValueError(
            f"{name} must be a finite {kind}, got {value}; pass something like 1 *"
            " pq.ms"
        )
    return fifteen_digits(seconds)


def fifteen_digits(value: float) -> float:
    """A number rounded to the 15 significant digits that survive every change
    of unit.
    """
    return float(f"{value:.15g}")
