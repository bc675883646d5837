"""Threads that help while a network is recorded on a CPU."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextvars import ContextVar
from typing import NamedTuple

import torch

from ann2neo._parallel import n_workers

__all__ = ["Helpers", "helpers_now", "helping_threads"]

_PARALLEL_SIZE = 1 << 17
"""Numbers in a tensor on which PyTorch works in several threads."""


class Helpers(NamedTuple):
    """Threads beside that of the caller, and how many they are."""

    threads: Executor
    n: int


_helpers: ContextVar[Helpers | None] = ContextVar("_helpers", default=None)


def helpers_now() -> Helpers | None:
    """Return the threads of the recording that runs in this one; None without."""
    return _helpers.get()


@contextlib.contextmanager
def helping_threads() -> Iterator[None]:
    """Have threads at hand inside the block, one less than PyTorch itself uses.

    Between two operations, PyTorch's own threads wait for the next one in a loop that
    takes a core each for milliseconds, and nothing else gets on there. GNU's OpenMP
    lets them sleep at once if a process has more such threads than there are cores. So
    one of the helpers gets threads of its own from PyTorch, which do nothing; they end
    with the block.

    Source: GNU Offloading and Multi Processing Runtime Library, GOMP_SPINCOUNT.
    """
    n = min(torch.get_num_threads(), n_workers()) - 1
    if n < 1:
        yield
        return
    with ThreadPoolExecutor(n, "ann2neo-torch") as threads:
        threads.submit(_start_own_threads).result()
        token = _helpers.set(Helpers(threads, n))
        try:
            yield
        finally:
            _helpers.reset(token)


def _start_own_threads() -> None:
    torch.zeros(_PARALLEL_SIZE).add_(1)
