"""Options of commands that read files, of ann2neo or of experiments."""

from __future__ import annotations

import functools
import inspect
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ann2neo.cli.application import words
from ann2neo.errors import InputValueError

if TYPE_CHECKING:
    from ann2neo.recording import Recording

__all__ = ["FollowLinks", "read_files", "with_session_options"]

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


def read_files(
    paths: Sequence[Path], session: Mapping[str, Any]
) -> Iterator[tuple[str, Recording]]:
    """Read NWB files one by one, of ann2neo or of real sessions.

    Parameters
    ----------
    paths : sequence of Path
        The files.
    session : mapping of str
        Arguments of `read_nwb` for files that ann2neo did not write.

    Yields
    ------
    name : str
        The file's name, or its path where names repeat.
    recording : Recording
        What it holds.

    Raises
    ------
    InputValueError
        If a file is given twice.
    """
    from ann2neo.io.nwb.reader import is_own_file, read_nwb

    if len(set(paths)) < len(paths):
        raise InputValueError(
            f"each file can be given once, got {', '.join(map(str, paths))}"
        )
    follow_links = bool(session.get("follow_links"))
    own = [is_own_file(path, follow_links=follow_links) for path in paths]
    names = Counter(path.name for path in paths)
    for path, is_own in zip(paths, own, strict=True):
        # Where all files have their own time bins, options are a mistake to tell of.
        options = {} if is_own and not all(own) else session
        name = path.name if names[path.name] == 1 else str(path)
        yield name, read_nwb(path, **options)
