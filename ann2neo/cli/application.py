"""The command line as a whole: its options, its errors, and what its commands share."""

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
    """Commands whose expected errors are one line and exit status 1."""

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
        typer.Option("--quiet", "-q", help="Say only what was asked for, and errors."),
    ] = False,
) -> None:
    del show_version
    # TensorFlow greets every user with its build options; it reads this before it is
    # loaded.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    logging.getLogger("ann2neo").setLevel(logging.WARNING if quiet else logging.INFO)


def load_keras() -> None:
    """Load the modules that need Keras, without the greeting that TensorFlow writes
    whatever its settings say.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        os.dup2(nowhere.fileno(), 2)
        try:
            importlib.import_module("ann2neo.probe.keras.adapter")
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def words(text: str | None) -> list[str] | None:
    """Words separated by commas."""
    return (
        None
        if text is None
        else [word.strip() for word in text.split(",") if word.strip()]
    )


def numbers(name: str, text: str | None) -> list[int] | None:
    """Whole numbers separated by commas; an error says that each is a `name`."""
    try:
        return None if text is None else [int(word) for word in words(text) or []]
    except ValueError as error:
        raise InputValueError(
            f"a {name} must be a whole number, several separated by commas, got"
            f" {text!r}"
        ) from error
