"""``ann2neo demo``: three networks, from training to their statistics."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ann2neo.cli.application import load_keras
from ann2neo.cli.options import Csv, Json
from ann2neo.cli.output import echo_table

__all__ = ["demo"]


def demo(
    *,
    dataset: Annotated[
        str,
        typer.Option(help="Data set: digits (embedded), mnist, ... or a .npz file."),
    ] = "digits",
    out: Annotated[Path, typer.Option(help="Folder for the NWB files.")] = Path(
        "ann2neo-demo"
    ),
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of weights, labels and orders.")
    ] = 0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the files of an earlier run.")
    ] = False,
    csv: Csv = False,
    json: Json = False,
) -> None:
    """Train three small networks, record them, and show what their spikes say."""
    load_keras()
    from ann2neo.study.demo import demo_text, run_demo

    table = run_demo(dataset, out, seed=seed, overwrite=overwrite)
    echo_table(table, lambda: demo_text(table, out), csv=csv, json=json)
