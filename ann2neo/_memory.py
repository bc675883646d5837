"""Arrays that are too large for the memory of the machine."""

from __future__ import annotations

import os

from ann2neo.errors import InputValueError

__all__ = ["check_fits", "largest_array"]

_WHERE_UNKNOWN = 1 << 34


def largest_array() -> int:
    """Return the bytes of the largest array that is made: half of the memory."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (AttributeError, OSError, ValueError):  # Windows
        return _WHERE_UNKNOWN // 2


def check_fits(n_bytes: float, what: str, remedy: str) -> None:
    """Raise before an array is made that would not fit into memory.

    Parameters
    ----------
    n_bytes : float
        Size of the array.
    what : str
        What it would hold, in the plural, for the message.
    remedy : str
        What to do instead, for the message.

    Raises
    ------
    InputValueError
        If it is larger than half of the machine's memory.

    Examples
    --------
    >>> check_fits(8e15, "correlations of all pairs", "select fewer units")
    Traceback (most recent call last):
    ann2neo.errors.InputValueError: correlations of all pairs take 8,000,000.0 GB, ...
    """
    limit = largest_array()
    if n_bytes > limit:
        raise InputValueError(
            f"{what} take {n_bytes / 1e9:,.1f} GB, more than half of the memory"
            f" ({limit / 1e9:,.1f} GB); {remedy}"
        )
