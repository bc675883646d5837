"""The command line: ``ann2neo --help``.

Heavy libraries are imported inside the commands that need them, so that help and small commands are quick.
"""

from __future__ import annotations

import logging
import os
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from ann2neo.errors import Ann2NeoError

__all__ = ["app"]


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
    help="Record artificial neural networks like brains: Keras activations as Neo spike trains and NWB files.",
)
datasets_app = typer.Typer(no_args_is_help=True, help="Data sets to train and record networks on.")
app.add_typer(datasets_app, name="datasets")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ann2neo {version('ann2neo')}")
        raise typer.Exit


@app.callback()
def _prepare(
    *,
    show_version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say only what was asked for, and errors.")] = False,
) -> None:
    del show_version
    # TensorFlow greets every user with its build options; it reads this before it is loaded.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    logging.getLogger("ann2neo").setLevel(logging.WARNING if quiet else logging.INFO)


@app.command()
def demo(
    *,
    dataset: Annotated[str, typer.Option(help="Data set: digits (embedded), mnist, ... or a .npz file.")] = "digits",
    out: Annotated[Path, typer.Option(help="Folder for the NWB files.")] = Path("ann2neo-demo"),
    seed: Annotated[int, typer.Option(min=0, help="Seeds weights, labels and orders.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the files of an earlier run.")] = False,
) -> None:
    """Train three small networks, record them, and show what their spikes say."""
    from ann2neo.study.demo import demo_text, run_demo

    typer.echo(demo_text(run_demo(dataset, out, seed=seed, overwrite=overwrite), out))


@datasets_app.command("list")
def list_datasets() -> None:
    """List the data sets, and where each would come from."""
    from ann2neo.study.datasets import status_of_datasets

    for name, status in status_of_datasets():
        typer.echo(f"{name:<14} {status}")


@datasets_app.command("fetch")
def fetch_dataset(name: Annotated[str, typer.Argument(help="Name of the data set, as in 'datasets list'.")]) -> None:
    """Get a data set, check it, and keep it in the cache."""
    from ann2neo.study.datasets import load_dataset

    data = load_dataset(name)
    typer.echo(f"{data.name}: {len(data.x_train)} training and {len(data.x_test)} test samples, from {data.source}")
