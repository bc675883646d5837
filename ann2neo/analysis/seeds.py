"""Seeds: given, or drawn and reported."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from ann2neo.errors import InputTypeError, InputValueError

__all__ = ["drawn_seed"]


def drawn_seed(seed: Any) -> int:
    """A seed as an int; one drawn at random where there is none, small enough for every
    generator.

    Parameters
    ----------
    seed : int or None
        The seed asked for.

    Returns
    -------
    int
        From 0 to 2^32 - 1.

    Raises
    ------
    InputTypeError, InputValueError
        If it is no whole number, or out of range.

    Examples
    --------
    >>> drawn_seed(7)
    7
    """
    if seed is None:
        return int(np.random.default_rng().integers(2**31))
    try:
        if isinstance(seed, bool):
            raise TypeError
        number = operator.index(seed)
    except TypeError:
        msg = (
            f"seed must be a whole number or None, got {seed!r} ({type(seed).__name__})"
        )
        raise InputTypeError(msg) from None
    if not 0 <= number < 2**32:
        raise InputValueError(f"seed must lie in 0 .. 2^32 - 1, got {number}")
    return number
