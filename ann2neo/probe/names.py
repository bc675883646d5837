"""Names in messages: all of a few, the likely ones of many."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

__all__ = ["listed"]

_MOST = 20


def listed(names: Sequence[str], asked: str = "") -> str:
    """List names for a message.

    Parameters
    ----------
    names : sequence of str
        The names.
    asked : str, default ""
        What the user asked for; of many names, those like it come first.

    Returns
    -------
    str
        The names in quotes. Of more than 20, some, and how many there are.

    Examples
    --------
    >>> listed(["a", "b"])
    "'a', 'b'"
    >>> listed([f"block_{i}" for i in range(99)], "block_77")[:21]
    "'block_77', 'block_7'"
    """
    if len(names) <= _MOST:
        return ", ".join(map(repr, names))
    close = difflib.get_close_matches(asked, names, 5)
    others = [name for name in names if name not in close]
    shown = [*close, *others][:_MOST]
    return f"{', '.join(map(repr, shown))} and {len(names) - len(shown)} more"
