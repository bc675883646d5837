"""Work on blocks in threads, and on tasks wherever an executor runs them."""

from __future__ import annotations

import os
import pickle
import platform
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import (
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    ThreadPoolExecutor,
)
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache, partial
from importlib.metadata import version
from itertools import chain, islice
from typing import Any, NamedTuple, TypeVar
from weakref import WeakSet

from ann2neo.errors import InputTypeError, InputValueError, WorkerError

__all__ = [
    "Task",
    "WorkerWarning",
    "checked_executor",
    "host",
    "map_blocks",
    "map_shared",
    "map_tasks",
    "n_workers",
    "one_blas_thread",
]

Block = TypeVar("Block")
Result = TypeVar("Result")

_MOST_WORKERS = 16
_BLOCKS_PER_WORKER = 2
"""Blocks in work per worker: one that it works on, and one so that it never waits."""
_TASKS_IN_FLIGHT = 128
"""Tasks in work at an executor that does not tell how many workers it has."""

_broken: WeakSet[Executor] = WeakSet()
"""Executors that lost what they run on; asking them again may take long."""

_blas_is_limited = threading.Lock()

_in_task: ContextVar[bool] = ContextVar("_in_task", default=False)
"""Whether this is a task, beside which others run on the same cores."""


class WorkerWarning(UserWarning):
    """Workers were lost, and this process did their work."""


def n_workers() -> int:
    """Return the number of threads to use: the cores of this process, 16 at most.

    Each thread holds a block in memory, and more than 16 mostly wait for the memory.
    A task of an executor uses one thread, since other tasks run beside it.
    """
    if _in_task.get():
        return 1
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


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Let NumPy's and SciPy's products of matrices use one thread.

    Blocks and tasks already run side by side. And with another number of threads BLAS
    adds in another order, so that the last bits of a product would depend on where it
    was computed.
    """
    # One setting for the whole process: who found it free puts it back.
    if not _blas_is_limited.acquire(blocking=False):
        yield
        return
    try:
        with _blas().limit(limits=1, user_api="blas"):
            yield
    finally:
        _blas_is_limited.release()


@lru_cache(maxsize=1)
def _blas() -> Any:
    # SciPy has a BLAS of its own, which must be loaded to be found.
    import scipy.linalg  # noqa: F401
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


class Task(NamedTuple):
    """One call of a function, which may run in another process or on another machine.

    Parameters
    ----------
    name : str
        What it is about, such as "units 0 .. 63 of phase 'train'", for messages.
    arguments : tuple
        Arguments of the function; they are pickled on their way to another process.
    """

    name: str
    arguments: tuple[Any, ...]


def checked_executor(executor: Any) -> Executor | None:
    """Return an executor that a user passed, or None.

    Raises
    ------
    InputTypeError
        If it is neither an executor nor None.
    """
    if executor is None or isinstance(executor, Executor):
        return executor
    remedy = "pass a concurrent.futures.Executor, such as ProcessPoolExecutor()"
    if hasattr(executor, "get_executor"):
        remedy = "pass client.get_executor()"
    raise InputTypeError(f"executor must be an executor, got {executor!r}; {remedy}")


def map_tasks(
    function: Callable[..., Result],
    tasks: Iterable[Task],
    executor: Executor | None = None,
) -> Iterator[Result]:
    """Call a function for each task, and yield the results in the order of the tasks.

    Parameters
    ----------
    function : callable
        Called with the arguments of a task. For other processes it must be defined at
        the top of a module.
    tasks : iterable of Task
        Taken as workers become free, so that only a few are in memory at a time.
    executor : concurrent.futures.Executor, optional
        Where the tasks run; one after another in this thread if not given.

    Yields
    ------
    result
        What `function` returned for the next task. Its exceptions are raised here, with
        a note that names the task.

    Raises
    ------
    InputValueError
        If the executor is shut down, or cannot send the function or its arguments.
    WorkerError
        If a worker has another version of ann2neo, or a task ends every worker that
        Dask gives it to.

    Warns
    -----
    WorkerWarning
        If the executor breaks, as a pool of processes does when one of them is killed,
        and as Dask's does when it loses its scheduler. This process does the rest of
        the work.

    Examples
    --------
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> tasks = [Task(f"number {number}", (number,)) for number in (-3, 1)]
    >>> with ThreadPoolExecutor(2) as executor:
    ...     list(map_tasks(abs, tasks, executor))
    [3, 1]
    """
    # Tasks in threads of this process find it set, others set it themselves.
    with one_blas_thread():
        yield from _results_of_tasks(function, tasks, executor)


def _results_of_tasks(
    function: Callable[..., Result], tasks: Iterable[Task], executor: Executor | None
) -> Iterator[Result]:
    if executor is None:
        for task in tasks:
            yield _called(function, task)
        return
    if executor in _broken:
        _warn_of_broken(executor)
    # In the order of the tasks. The caller waits for the oldest one while workers are
    # busy with the later ones.
    running: deque[tuple[Task, Future[Result]]] = deque()
    waiting, most = iter(tasks), _most_in_flight(executor)
    try:
        while True:
            if executor in _broken and not running:
                for task in waiting:
                    yield _called(function, task)
                return
            free = 0 if executor in _broken else most - len(running)
            for task in islice(waiting, free):
                running.append((task, _submitted(executor, function, task)))
            if not running:
                return
            task, future = running[0]
            try:
                result = _result(future, task)
            except (BrokenExecutor, CancelledError):
                if executor not in _broken:
                    _warn_of_broken(executor)
                # Nothing new is sent there; what was sent may have ended before.
                _broken.add(executor)
                result = _called(function, task)
            running.popleft()
            yield result
    finally:
        # After an error, or if the caller stops early, drop what has not begun.
        for _, future in running:
            future.cancel()


def map_shared(
    function: Callable[..., Result],
    shared: tuple[Any, ...],
    blocks: Iterable[Any],
    executor: Executor | None = None,
    *,
    name: str,
    per_task: int,
) -> Iterator[Result]:
    """Call a function on each block, with arguments that all calls share.

    Without an executor the blocks are worked on in threads. A task of an executor takes
    the shared arguments along, so it gets several blocks.

    Parameters
    ----------
    function : callable
        Called with the shared arguments and a block. For other processes it must be
        defined at the top of a module.
    shared : tuple
        Arguments that all calls share.
    blocks : iterable
        The last argument of each call.
    executor : concurrent.futures.Executor, optional
        Where the tasks run; threads of this process if not given.
    name : str
        What blocks are, such as "permutation", for messages.
    per_task : int
        Blocks of a task.

    Yields
    ------
    result
        What `function` returned for the next block.

    Raises
    ------
    InputValueError, WorkerError
        As in `map_tasks`.

    Examples
    --------
    >>> list(map_shared(pow, (2,), range(4), name="power", per_task=2))
    [1, 2, 4, 8]
    """
    if executor is None:
        with one_blas_thread():
            yield from map_blocks(partial(function, *shared), blocks)
        return
    for results in map_tasks(
        _on_each, _shared_tasks(function, shared, blocks, name, per_task), executor
    ):
        yield from results


def _shared_tasks(
    function: Callable[..., Any],
    shared: tuple[Any, ...],
    blocks: Iterable[Any],
    name: str,
    per_task: int,
) -> Iterator[Task]:
    waiting, first = iter(blocks), 0
    while some := list(islice(waiting, per_task)):
        last = first + len(some) - 1
        yield Task(f"{name} {first} .. {last}", (function, shared, some))
        first = last + 1


def _on_each(
    function: Callable[..., Result], shared: tuple[Any, ...], blocks: list[Any]
) -> list[Result]:
    return [function(*shared, block) for block in blocks]


def _most_in_flight(executor: Executor) -> int:
    workers = getattr(executor, "_max_workers", None)
    return _BLOCKS_PER_WORKER * workers if workers else _TASKS_IN_FLIGHT


def _submitted(
    executor: Executor, function: Callable[..., Result], task: Task
) -> Future[Result]:
    """Send a task; if the executor is broken, the future says so."""
    try:
        return executor.submit(_in_worker, _own_version(), function, task)
    except BrokenExecutor as error:
        failed: Future[Result] = Future()
        failed.set_exception(error)
        return failed
    except Exception as error:
        # Dask's, by its name, since Dask need not be installed.
        is_closed = type(error).__name__ == "ClosedClientError"
        if not isinstance(error, RuntimeError) and not is_closed:
            raise
        raise InputValueError(
            f"the executor takes no more work ({error}); make a new one, and call this"
            " inside its with block"
        ) from error


@lru_cache(maxsize=1)
def _own_version() -> str:
    # Looked for in files, which takes longer than a small task.
    return version("ann2neo")


def _in_worker(
    version_of_caller: str, function: Callable[..., Result], task: Task
) -> Result:
    own = _own_version()
    if own != version_of_caller:
        raise WorkerError(
            f"a worker on {host()} has ann2neo {own}, this process {version_of_caller};"
            " install the same version everywhere"
        )
    before = _in_task.set(True)
    try:
        with one_blas_thread():
            return _called(function, task)
    finally:
        _in_task.reset(before)


def _called(function: Callable[..., Result], task: Task) -> Result:
    try:
        return function(*task.arguments)
    except Exception as error:
        error.add_note(f"in {task.name}")
        raise


def _result(future: Future[Result], task: Task) -> Result:
    try:
        return future.result()
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        # Python says it in three ways, depending on what cannot be pickled.
        if "pickle" not in str(error):
            raise
        raise InputValueError(
            f"the executor cannot send its work to another process ({error}); define"
            " functions at the top of a module, or use threads"
        ) from error
    except RuntimeError as error:
        # Dask's words.
        if "deserialization" not in str(error):
            raise
        raise WorkerError(
            f"a worker cannot load its work ({error.__cause__ or error}); install"
            " ann2neo there, and put functions of your own into a module that workers"
            " can import"
        ) from error
    except Exception as error:
        # By its name, since Dask need not be installed.
        if type(error).__name__ != "KilledWorker":
            raise
        raise WorkerError(
            f"{task.name}: every worker that was given this task was lost; workers are"
            " often killed for want of memory: give them more"
        ) from error


def _warn_of_broken(executor: Executor) -> None:
    warnings.warn(
        f"{type(executor).__name__} has lost a worker or its scheduler and takes no"
        " more work; this process does the rest. Workers are often killed for want of"
        " memory: use fewer",
        WorkerWarning,
        stacklevel=5,
    )


def host() -> str:
    """Return the name of this machine, for messages of workers."""
    return platform.node() or "an unnamed machine"
