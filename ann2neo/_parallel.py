"""Work on blocks in threads."""

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
"""Blocks in work per worker: one that it works on, and one so that it never waits."""


def n_workers() -> int:
    """Return the number of threads to use: the cores of this process, 16 at most.

    Each thread holds a block in memory, and more than 16 mostly wait for the memory.
    """
    if hasattr(os, "sched_getaffinity"):  # Linux, where a job may get some cores only
        return min(_MOST_WORKERS, len(os.sched_getaffinity(0)))
    return min(_MOST_WORKERS, os.cpu_count() or 1)


def map_blocks(
    function: Callable[[Block], Result], blocks: Iterable[Block]
) -> Iterator[Result]:
    """Call a function on blocks in threads, and yield the results in their order.

    Threads help if the function spends its time in code that releases the interpreter
    lock, such as NumPy's. With one block or one core, no threads are started.

    Parameters
    ----------
    function : callable
        Called on each block.
    blocks : iterable
        Taken one by one as results are, so that only a few are in memory at a time.

    Yields
    ------
    result
        What `function` returned for the next block; its exceptions are raised here.

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
    # A queue in the order of the blocks. The caller waits for the oldest block while
    # the threads work on the later ones.
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
            # After an error, or if the caller stops early, drop what has not begun.
            for future in running:
                future.cancel()
