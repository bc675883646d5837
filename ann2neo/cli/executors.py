"""Where a command computes: in this process, in others, or on a Dask cluster."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager

from ann2neo.errors import MissingExtraError, WorkerError

__all__ = ["chosen_executor"]

_log = logging.getLogger(__name__)

_CONNECT_SECONDS = 5
"""How long to wait for a scheduler to answer."""


@contextmanager
def chosen_executor(
    workers: int | None, scheduler: str | None
) -> Iterator[Executor | None]:
    """Make the executor that the options ``--workers`` and ``--scheduler`` ask for.

    Parameters
    ----------
    workers : int or None
        Number of processes of this machine.
    scheduler : str or None
        Address of a running Dask scheduler.

    Yields
    ------
    Executor or None
        Where to compute; None for this process.

    Raises
    ------
    MissingExtraError
        If Dask is needed and not installed.
    WorkerError
        If the scheduler does not answer.
    """
    if scheduler is not None:
        with _dask(scheduler) as executor:
            yield executor
    elif workers is not None:
        with _processes(workers) as executor:
            yield executor
    else:
        yield None


@contextmanager
def _processes(workers: int) -> Iterator[Executor]:
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    # Not forked: threads of this process could hold locks that no child can open.
    pool = ProcessPoolExecutor(workers, get_context("spawn"))
    try:
        yield pool
    finally:
        # After an error or Ctrl-C, what waits is not begun.
        pool.shutdown(cancel_futures=True)


@contextmanager
def _dask(address: str) -> Iterator[Executor]:
    try:
        from distributed import Client
        from distributed.comm import resolve_address
    except ImportError as error:
        raise MissingExtraError(
            "--scheduler needs Dask, which is not installed; pip install"
            " 'ann2neo[dask]'"
        ) from error
    try:
        # First, since a client that fails is closed by the garbage collector, for which
        # the next one may wait for ever.
        resolve_address(address)
        client = Client(address, timeout=_CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise WorkerError(
            f"there is no Dask scheduler at {address} ({error}); start one with 'dask"
            " scheduler', which prints its address"
        ) from error
    with client:
        if not client.nthreads():
            _log.info(
                "the scheduler at %s has no workers yet; waiting for the first one",
                address,
            )
        # Not `pure`: whoever asks twice wants it done twice, as after a repair.
        yield client.get_executor(pure=False)
