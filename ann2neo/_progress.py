"""Progress bars of calls that may take a while."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

__all__ = ["progress_bar", "with_progress"]

Item = TypeVar("Item")

_DELAY = 1.0
"""Seconds after which a bar appears: most calls are over by then."""


def progress_bar(total: int, what: str, unit: str, wanted: bool | None) -> Any:
    """Return a bar of tqdm's, for a terminal or a notebook.

    Parameters
    ----------
    total : int
        Number of steps.
    what : str
        What is done, in front of the bar.
    unit : str
        What a step is, in the plural.
    wanted : bool or None
        Whether to show it; None shows it in a terminal or a notebook only, after a
        second. A pipe or a file gets none.

    Returns
    -------
    tqdm.tqdm
        To be updated and closed; also a context manager.
    """
    # Imported late, since `tqdm.auto` looks for a notebook when it is imported.
    from tqdm.auto import tqdm

    return tqdm(
        total=total,
        desc=what,
        unit=f" {unit}",
        unit_scale=True,
        delay=_DELAY if wanted is None else 0,
        disable=None if wanted is None else not wanted,
    )


def with_progress(
    items: Iterator[Item], total: int, what: str, unit: str, wanted: bool | None
) -> Iterator[Item]:
    """Yield items, with a bar from the first to the last; see `progress_bar`."""
    with progress_bar(total, what, unit, wanted) as bar:
        for item in items:
            yield item
            bar.update()
