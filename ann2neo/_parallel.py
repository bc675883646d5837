"""Work on blocks in threads: how many workers there are, and how blocks reach them."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, islice
from typing import TypeVar

__all__ = ["map_blocks", "n_workers"]

Block = TypeVar("Block")
Result = TypeVar("Result")

_MOST_WORKERS = 16
_BLOCKS_PER_WORKER = 2
"""Blocks under way per worker: one at work, and one so that no worker waits."""


def n_workers() -> int:
    """Number of threads to use: the cores that this process may use, 16 at most.

    Each thread holds a block in memory, and more than 16 mostly wait for it.
    """
    if hasattr(os, "sched_getaffinity"):  # Linux, where schedulers give out cores
        return min(_MOST_WORKERS, len(os.sched_getaffinity(0)))
    return min(_MOST_WORKERS, os.cpu_count() or 1)


def map_blocks(
    function: Callable[[Block], Result], blocks: Iterable[Block]
) -> Iterator[Result]:
    """Call a function on blocks in threads, and yield the results in their order.

    Threads help where the function spends its time in code that lets go of the
    interpreter, such as NumPy's. With one block or one core there are none.

    Parameters
    ----------
    function : callable
        Called on each block.
    blocks : iterable
        Drawn as results are taken, so that only a few blocks are held at a time.

    Yields
    ------
    result
        What `function` returned for the next block; what it raised is raised here.

    Examples
    --------
    >>> list(map_blocks(abs, [-3, 1, -2]))
    [3, 1, 2]
    """
    workers, waiting = n_workers(), iter(blocks)
    first = list(islice(waiting, 2))
    if workers == 1 or len(first) < 2:
        yield from map(function, chain(first, waiting))
        return
    running: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="ann2neo") as pool:
        try:
            for block in chain(first, waiting):
                running.append(pool.submit(function, block))
                if len(running) > _BLOCKS_PER_WORKER * workers:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        finally:
            for future in running:
                future.cancel()
