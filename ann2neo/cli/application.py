"""The command line: its common options, its errors, and helpers of its commands."""

from __future__ import annotations

import importlib
import logging
import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from ann2neo.errors import Ann2NeoError, InputValueError

__all__ = ["app", "load_keras", "numbers", "words"]


class _Commands(TyperGroup):
    """Commands that print an expected error on one line and exit with status 1."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except Ann2NeoError as error:
            typer.echo(f"ann2neo: {error}", err=True)
            raise typer.Exit(1) from error


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
        typer.echo(f"ann2neo {version('ann2neo')}")
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
        typer.Option("--quiet", "-q", help="Print only results and errors."),
    ] = False,
) -> None:
    del show_version
    # Without this, TensorFlow logs its build options. It reads the variable as it is
    # loaded.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    logging.getLogger("ann2neo").setLevel(logging.WARNING if quiet else logging.INFO)


def load_keras() -> None:
    """Load the modules that need Keras, without the messages of TensorFlow."""
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
