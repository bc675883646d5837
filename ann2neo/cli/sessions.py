"""Options of commands that read files, of ann2neo or of experiments."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, TypeVar

import typer

from ann2neo._parallel import Task, host, map_tasks
from ann2neo.cli.application import words
from ann2neo.cli.output import echo, one_line
from ann2neo.errors import (
    Ann2NeoError,
    FileFormatError,
    InputValueError,
    WorkerError,
)

if TYPE_CHECKING:
    import pandas as pd

    from ann2neo.recording import Recording

__all__ = [
    "Failure",
    "FollowLinks",
    "SessionFile",
    "echo_failures",
    "map_files",
    "named",
    "read_files",
    "session_files",
    "with_session_options",
]

Result = TypeVar("Result")

_OTHERS = "for files that ann2neo did not write"

_BinSize = Annotated[
    float | None,
    typer.Option("--bin-size", help=f"Time bin in ms, {_OTHERS}.", show_default=False),
]
_Start = Annotated[
    float | None,
    typer.Option(
        "--t-start", help=f"Start of the time to read, in s, {_OTHERS}. [observed]"
    ),
]
_Stop = Annotated[
    float | None,
    typer.Option(
        "--t-stop", help=f"End of the time to read, in s, {_OTHERS}. [observed]"
    ),
]
_Units = Annotated[
    str | None,
    typer.Option(
        "--units",
        help=f"Units to read, by row or by name, separated by commas, {_OTHERS}. [all]",
    ),
]
_Intervals = Annotated[
    str | None,
    typer.Option(
        "--intervals",
        help=(
            "Tables of intervals to read as presentations, separated by commas,"
            f" {_OTHERS}; info lists them. [trials]"
        ),
    ),
]
_Label = Annotated[
    str | None,
    typer.Option(
        "--label",
        help=f"Column of the intervals that says what was shown, {_OTHERS}.",
        show_default=False,
    ),
]
FollowLinks = Annotated[
    bool,
    typer.Option(
        "--follow-links", help="Follow links to other NWB files of the same folder."
    ),
]


_Command = Callable[..., None]


def with_session_options(command: _Command) -> _Command:
    """Give a command options for files that ann2neo did not write.

    Parameters
    ----------
    command : callable
        A command with a parameter `session`, the arguments of `read_nwb`. The options
        stand in its place.

    Returns
    -------
    callable
        The command as typer sees it.
    """
    signature = inspect.signature(command, eval_str=True)
    parameters: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        parameters += _PARAMETERS if parameter.name == "session" else [parameter]

    @functools.wraps(command)
    def with_options(**given: Any) -> None:
        chosen = {option.name: given.pop(option.name) for option in _PARAMETERS}
        command(**given, session=_arguments(**chosen))

    # What typer looks at.
    with_options.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    with_options.__annotations__ = {p.name: p.annotation for p in parameters}
    return with_options


_PARAMETERS = [
    inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=option
    )
    for name, default, option in (
        ("bin_size", None, _BinSize),
        ("t_start", None, _Start),
        ("t_stop", None, _Stop),
        ("units", None, _Units),
        ("intervals", None, _Intervals),
        ("label", None, _Label),
        ("follow_links", False, FollowLinks),
    )
]


def _arguments(
    bin_size: float | None,
    t_start: float | None,
    t_stop: float | None,
    units: str | None,
    intervals: str | None,
    label: str | None,
    follow_links: bool,
) -> dict[str, Any]:
    """Return the arguments of `read_nwb` for the options of a command."""
    import quantities as pq

    chosen: list[Any] | None = words(units)
    if chosen is not None and all(word.isdecimal() for word in chosen):
        chosen = [int(word) for word in chosen]
    options = {
        "bin_size": None if bin_size is None else bin_size * pq.ms,
        "t_start": None if t_start is None else t_start * pq.s,
        "t_stop": None if t_stop is None else t_stop * pq.s,
        "units": chosen,
        "intervals": words(intervals),
        "label": label,
        "follow_links": follow_links or None,
    }
    return {name: value for name, value in options.items() if value is not None}


class SessionFile(NamedTuple):
    """A file that a command was given.

    Parameters
    ----------
    path : Path
        Its path, absolute, since workers may run in other folders.
    name : str
        The file's name, or its path where names repeat.
    options : dict
        Arguments of `read_nwb`.
    """

    path: Path
    name: str
    options: dict[str, Any]

    def read(self) -> Recording:
        """Read the file; errors are those of `read_nwb`."""
        from ann2neo.io.nwb.reader import read_nwb

        return read_nwb(self.path, **self.options)


class Failure(NamedTuple):
    """A file that could not be read or analysed, and why."""

    message: str


def session_files(
    paths: Sequence[Path], session: Mapping[str, Any]
) -> list[SessionFile]:
    """Find out how to read NWB files, of ann2neo or of real sessions.

    Parameters
    ----------
    paths : sequence of Path
        The files.
    session : mapping of str
        Arguments of `read_nwb` for files that ann2neo did not write.

    Returns
    -------
    list of SessionFile
        One per file, in the same order.

    Raises
    ------
    InputValueError
        If a file is given twice.
    """
    often = Counter(paths)
    if len(often) < len(paths):
        repeated = [str(path) for path in paths if often[path] > 1]
        raise InputValueError(f"each file can be given once, got {', '.join(repeated)}")
    follow_links = bool(session.get("follow_links"))
    # Without options there is nothing to find out, which takes time for many files.
    own = [not session or _is_own(path, follow_links) for path in paths]
    names = Counter(path.name for path in paths)
    return [
        SessionFile(
            path,
            path.name if names[path.name] == 1 else str(path),
            # Where all files have their own time bins, options are a mistake to tell.
            {} if is_own and not all(own) else dict(session),
        )
        for path, is_own in zip(paths, own, strict=True)
    ]


def _is_own(path: Path, follow_links: bool) -> bool:
    from ann2neo.io.nwb.reader import is_own_file

    try:
        return is_own_file(path, follow_links=follow_links)
    except FileFormatError:
        # Said when it is read.
        return True


def read_files(
    paths: Sequence[Path], session: Mapping[str, Any]
) -> Iterator[tuple[str, Recording]]:
    """Read the files of `session_files` one by one, and yield names and recordings."""
    for file in session_files(paths, session):
        yield file.name, file.read()


def named(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return a table with the file's name in its first column, unless it has one."""
    if "file" not in table:
        table.insert(0, "file", name)
    return table


def map_files(
    function: Callable[..., Result],
    files: Sequence[SessionFile],
    arguments: tuple[Any, ...],
    executor: Executor | None,
    progress: bool | None,
    *,
    is_alone: bool,
) -> Iterator[tuple[SessionFile, Result | Failure]]:
    """Read files and call a function with the recording of each.

    A file on its own is read here, its errors are raised, and the function may use the
    executor. Of several, each is a task for the executor, and none costs the others.

    Parameters
    ----------
    function : callable
        Called with the recording, an executor or None, `progress` and `arguments`.
    files : sequence of SessionFile
        The files.
    arguments : tuple
        Further arguments.
    executor : Executor or None
        Where to compute.
    progress : bool or None
        Show a bar; see `progress_bar`.
    is_alone : bool
        Whether the command was given one file only.

    Yields
    ------
    file : SessionFile
        The file, in the order given.
    result
        What the function returned, or a `Failure`.

    Raises
    ------
    WorkerError
        If a worker does not see a file that is there.
    """
    from ann2neo._progress import with_progress

    if is_alone:
        for file in files:
            yield file, function(file.read(), executor, progress, *arguments)
        return
    tasks = (
        Task(
            f"the file {file.name}",
            (function, file._replace(path=file.path.absolute()), arguments),
        )
        for file in files
    )
    results = map_tasks(_on_file, tasks, executor)
    bar = with_progress(results, len(files), "files", "files", progress)
    for file, (result, said) in zip(files, bar, strict=True):
        for category, message in said:
            warnings.warn(f"{file.name}: {message}", category, stacklevel=2)
        if not isinstance(result, _Missing):
            yield file, result
        elif file.path.exists():
            raise WorkerError(
                f"a worker on {result.host} does not see {file.path.absolute()}; put"
                " the files on a disk that all workers see under this path"
            )
        else:
            yield file, Failure(result.message)


class _Missing(NamedTuple):
    message: str
    host: str


_ONE_FILE = Lock()


def _on_file(
    function: Callable[..., Result], file: SessionFile, arguments: tuple[Any, ...]
) -> tuple[Result | Failure | _Missing, list[tuple[type[Warning], str]]]:
    """Return the result for a file, and the warnings, which would stay in a worker."""
    result: Result | Failure | _Missing
    # The filters of warnings are those of the process: one thread at a time.
    with _ONE_FILE, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        try:
            result = function(file.read(), None, False, *arguments)
        except Exception as error:  # noqa: BLE001 - whatever it is, others go on
            message = str(error)
            if not isinstance(error, Ann2NeoError):
                message = f"{type(error).__name__}: {message}"
            result = Failure(message)
            if not file.path.exists():
                result = _Missing(message, host())
    said: list[tuple[type[Warning], str]] = [
        (entry.category, str(entry.message))
        for entry in caught
        if issubclass(entry.category, UserWarning)
    ]
    return result, said


def echo_failures(failures: Sequence[tuple[SessionFile, Failure]], n: int) -> None:
    """Name the files that failed, and end the command with status 1 if there are any.

    Parameters
    ----------
    failures : sequence of tuple
        Files and failures.
    n : int
        Number of all files.

    Raises
    ------
    typer.Exit
        If a file failed.
    """
    if not failures:
        return
    for file, failure in failures:
        where = "" if str(file.path) in failure.message else f"{file.path}: "
        echo(one_line(f"ann2neo: {where}{failure.message}"), err=True)
    counted = f"{len(failures)} of {n} files"
    echo(f"ann2neo: {counted} could not be read or analysed", err=True)
    raise typer.Exit(1)
