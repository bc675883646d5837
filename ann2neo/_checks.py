"""Checks of arguments: each returns the value, or raises with rule and remedy."""

from __future__ import annotations

import math
import numbers
import operator
import os
import sys
import traceback
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import quantities as pq

from ann2neo.errors import InputTypeError, InputValueError

__all__ = [
    "fifteen_digits",
    "level_outside",
    "number_between",
    "one_of",
    "path_of",
    "real_number",
    "seconds",
    "seed_or_new",
    "text_mapping",
    "whole_number",
]

LARGEST_SEED = 2**63 - 1
"""Tables and files store a seed as a signed integer of 64 bits."""


def whole_number(
    value: Any,
    name: str,
    *,
    at_least: int = 1,
    at_most: int | None = None,
    noun: str = "",
    remedy: str = "",
) -> int:
    """Return a whole number as an int.

    Parameters
    ----------
    value : int
        The number to check; NumPy integers are allowed, bools are not.
    name : str
        Name of the argument, for messages.
    at_least, at_most : int
        Smallest and largest value allowed; None for no upper limit.
    noun : str, optional
        What is counted, for messages.
    remedy : str, optional
        What to do about a number that is out of range, for messages.

    Returns
    -------
    int
        The number.

    Raises
    ------
    InputTypeError
        If it is not a whole number.
    InputValueError
        If it is out of range.

    Examples
    --------
    >>> whole_number(np.int64(3), "n_repeats")
    3
    """
    ending = f"; {remedy}" if remedy else ""
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        # NumPy's integers pass, floats do not, not even 3.0.
        number = operator.index(value)
    except TypeError:
        counted = f" of {noun}" if noun else ""
        raise InputTypeError(
            f"{name} must be a whole number{counted}, got {value!r}"
            f" ({type(value).__name__}){ending}"
        ) from None
    if number < at_least:
        raise InputValueError(
            f"{name} must be at least {at_least}, got {number}{ending}"
        )
    if at_most is not None and number > at_most:
        raise InputValueError(f"{name} must be at most {at_most}, got {number}{ending}")
    return number


def number_between(
    value: Any, name: str, low: float, high: float, *, noun: str = "", remedy: str
) -> float:
    """Return a number strictly between two limits as a float.

    Parameters
    ----------
    value : float
        The number to check; NumPy numbers are allowed, bools are not.
    name : str
        Name of the argument, for messages.
    low, high : float
        The limits.
    noun : str, optional
        What the limits count, for messages.
    remedy : str
        What to do instead, for messages.

    Returns
    -------
    float
        The number.

    Raises
    ------
    InputTypeError
        If it is not a number.
    InputValueError
        If it does not lie between the limits.

    Examples
    --------
    >>> number_between(0.05, "alpha", 0, 1, remedy="the usual choice is 0.05")
    0.05
    """
    number = real_number(value, name, remedy=remedy)
    if not low < number < high:
        unit = f" {noun}" if noun else ""
        raise InputValueError(
            f"{name} must lie between {low:g} and {high:g}{unit}, got {value}; {remedy}"
        )
    return number


def real_number(value: Any, name: str, *, remedy: str) -> float:
    """Return a number as a float, or raise InputTypeError if the value is none.

    Examples
    --------
    >>> real_number(np.float32(0.5), "above", remedy="pass 0")
    0.5
    """
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise InputTypeError(
            f"{name} must be a number, got {value!r} ({type(value).__name__}); {remedy}"
        )
    return float(value)


def seed_or_new(seed: Any) -> int:
    """Return a seed as an int, or draw one if it is None.

    Parameters
    ----------
    seed : int or None
        The seed; None to draw one.

    Returns
    -------
    int
        From 0 to 2^63 - 1; a drawn seed is below 2^31, which every generator accepts.

    Raises
    ------
    InputTypeError, InputValueError
        If it is not a whole number, or out of range.

    Examples
    --------
    >>> seed_or_new(7)
    7
    """
    if seed is None:
        return int(np.random.default_rng().integers(2**31))
    return whole_number(
        seed, "seed", at_least=0, at_most=LARGEST_SEED, remedy="pass None to draw one"
    )


def seconds(value: Any, name: str, *, positive: bool = False) -> float:
    """Convert a time to seconds, with 15 significant digits.

    Fifteen digits survive every conversion of units and every file, so that a period
    given in milliseconds is the same number after a file has stored it in seconds.

    Parameters
    ----------
    value : quantities.Quantity, scalar, time
        The time to convert.
    name : str
        Name of the argument, for messages.
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
    >>> seconds(1 * pq.ms, "bin_size", positive=True)
    0.001
    """
    kind = "positive time" if positive else "time"
    if not isinstance(value, pq.Quantity):
        raise InputTypeError(
            f"{name} must be a {kind} such as 1 * pq.ms, got {value!r}"
            f" ({type(value).__name__}, no unit)"
        )
    # Simplified to s, since to quantities ms and s are different dimensions.
    if value.dimensionality.simplified != pq.s.dimensionality:
        raise InputTypeError(
            f"{name} must be a {kind} such as 1 * pq.ms, got {value};"
            f" {value.dimensionality} is not a unit of time"
        )
    if value.size != 1:
        raise InputValueError(
            f"{name} must be one {kind}, got an array of {value.size}; pass a scalar"
            " such as 1 * pq.ms"
        )
    number = float(value.rescale("s").magnitude.reshape(()))
    if not math.isfinite(number) or (positive and number <= 0):
        raise InputValueError(
            f"{name} must be a finite {kind}, got {value}; pass a number such as"
            " 1 * pq.ms"
        )
    return fifteen_digits(number)


def fifteen_digits(value: float) -> float:
    """Round to the 15 significant digits that survive every conversion of units."""
    return float(f"{value:.15g}")


def one_of(value: Any, valid: Collection[str], name: str) -> str:
    """Return a valid choice, or raise an error that lists the valid ones.

    Raises
    ------
    InputValueError
        If the value is none of them.

    Examples
    --------
    >>> one_of("fast", ("fast", "reference"), "engine")
    'fast'
    """
    if not isinstance(value, str) or value not in valid:
        raise InputValueError(
            f"{name} must be one of {', '.join(valid)}, got {value!r}"
        )
    return value


def names_of(value: Any, name: str) -> list[str]:
    """Return a list of names, of which one may stand alone.

    Raises
    ------
    InputTypeError
        If the value is neither a name nor a list of names.

    Examples
    --------
    >>> names_of("layer", "by"), names_of(("layer", "phase"), "by")
    (['layer'], ['layer', 'phase'])
    """
    alone = isinstance(value, str) or not isinstance(value, Iterable)
    names = [value] if alone else list(value)
    odd = [entry for entry in names if not isinstance(entry, str)]
    if odd:
        raise InputTypeError(
            f"{name} must be a name or a list of names, got {odd[0]!r}"
            f" ({type(odd[0]).__name__})"
        )
    return names


def text_mapping(value: Any, name: str) -> dict[str, str]:
    """Return a mapping as a dict of texts, empty for None.

    Raises
    ------
    InputTypeError
        If the value is no mapping.

    Examples
    --------
    >>> text_mapping({"seed": 3}, "provenance")
    {'seed': '3'}
    """
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InputTypeError(
            f"{name} must be a mapping such as {{'lab': 'ours'}}, got {value!r}"
            f" ({type(value).__name__})"
        )
    return {str(key): str(entry) for key, entry in value.items()}


def path_of(value: Any, name: str = "path") -> Path:
    """Return a path, or raise InputTypeError if the value is none.

    Examples
    --------
    >>> path_of("folder/network.nwb").name
    'network.nwb'
    """
    if not isinstance(value, (str, os.PathLike)):
        raise InputTypeError(
            f"{name} must be a path such as 'network.nwb', got {value!r}"
            f" ({type(value).__name__})"
        )
    return Path(value)


def level_outside() -> int:
    """Count the calls from the one that warns up to the user's own code.

    Returns
    -------
    int
        The ``stacklevel`` of a warning, so that it names the user's line.
    """
    package = __name__.partition(".")[0]
    for level, (frame, _) in enumerate(traceback.walk_stack(sys._getframe(1)), start=1):
        if str(frame.f_globals.get("__name__")).partition(".")[0] != package:
            return level
    return 1
