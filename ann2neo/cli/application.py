"""The command line: its common options, its errors, and helpers of its commands.

What a command prints goes through `output`, since names and texts may come from a
stranger's file.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import io
import logging
import os
import sys
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from ann2neo.cli.output import echo, one_line, unwritten, visible
from ann2neo.errors import Ann2NeoError, InputValueError, OutputError

__all__ = [
    "app",
    "is_quiet",
    "load_keras",
    "numbers",
    "shares_of",
    "words",
]

_LOG = logging.getLogger("ann2neo.cli")
_QUIET = ("-q", "--quiet")
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EIO)
"""Errors of writing to a disk that is full or broken."""


class _VisibleLog(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return visible(super().format(record))


class _Commands(TyperGroup):
    """Commands that print an expected error on one line and exit with status 1.

    ``--quiet`` may stand anywhere.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        stop = args.index("--") if "--" in args else len(args)
        quiet = [arg for arg in args[:stop] if arg in _QUIET]
        others = [arg for arg in args[:stop] if arg not in _QUIET]
        return super().parse_args(ctx, [*quiet[:1], *others, *args[stop:]])

    def main(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().main(*args, **kwargs)
        except Ann2NeoError as error:
            _say(error)
        except OSError as error:
            # Typer writes help and usage by itself.
            if error.errno not in _FULL:
                raise
            _say(unwritten(error))
        sys.exit(1)


def _say(error: Exception) -> None:
    # Standard error may be what could not be written.
    with contextlib.suppress(OutputError, typer.Exit):
        echo(one_line(f"ann2neo: {error}"), err=True)


app = typer.Typer(
    cls=_Commands,
    name="ann2neo",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help=(
        "Record artificial neural networks like brains: Keras activations as Neo spike"
        " trains and NWB files."
    ),
)


def _show_version(wanted: bool) -> None:
    if wanted:
        echo(f"ann2neo {version('ann2neo')}")
        raise typer.Exit


@app.callback()
def _prepare(
    *,
    show_version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_show_version,
            is_eager=True,
            help="Show the version and exit.",
        ),
    ] = False,
    quiet: Annotated[
        bool,
        typer.Option(
            "--quiet", "-q", help="Print only results and errors; may stand anywhere."
        ),
    ] = False,
) -> None:
    del show_version
    # Without this, TensorFlow logs its build options. It reads the variable as it is
    # loaded.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    handler = logging.StreamHandler()
    handler.setFormatter(_VisibleLog("%(message)s"))
    logging.basicConfig(handlers=[handler])
    logging.getLogger().setLevel(logging.ERROR if quiet else logging.WARNING)
    warnings.showwarning = _log_warning
    # A terminal of another locale may lack a character; that is no reason to stop.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    logging.getLogger("ann2neo").setLevel(logging.ERROR if quiet else logging.INFO)


def _log_warning(
    message: Warning | str, category: type[Warning], *_: Any, **__: Any
) -> None:
    """Print a warning on one line, without the place in the code that gave it."""
    # It may quote names from files, which the log makes visible.
    _LOG.warning("ann2neo: %s: %s", category.__name__, one_line(message))


def is_quiet() -> bool:
    """Whether the user asked for results and errors only."""
    return not _LOG.isEnabledFor(logging.WARNING)


def load_keras() -> None:
    """Load the modules that need Keras, without the messages of TensorFlow."""
    if is_quiet():
        # What it writes later, when it first computes.
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    # TensorFlow writes some of them from C++, whatever its settings are, so the file
    # descriptor of standard error is replaced rather than sys.stderr.
    sys.stderr.flush()
    stderr = os.dup(2)
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        os.dup2(nowhere.fileno(), 2)
        try:
            importlib.import_module("ann2neo.probe.keras.adapter")
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def words(text: str | None) -> list[str] | None:
    """Split text at commas; None if there is no text."""
    if text is None:
        return None
    return [word.strip() for word in text.split(",") if word.strip()]


def numbers(name: str, text: str | None) -> list[int] | None:
    """Read whole numbers separated by commas; an error calls each a `name`."""
    try:
        return None if text is None else [int(word) for word in words(text) or []]
    except ValueError as error:
        raise InputValueError(
            f"a {name} must be a whole number, several separated by commas, got"
            f" {text!r}"
        ) from error


def shares_of(name: str, text: str) -> list[float]:
    """Read shares separated by commas; an error calls each a `name`."""
    try:
        return [float(word) for word in words(text) or []]
    except ValueError as error:
        raise InputValueError(
            f"{name} must be shares from 0 to 1, separated by commas, got {text!r}"
        ) from error
