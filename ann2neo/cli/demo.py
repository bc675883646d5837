"""``ann2neo demo``: small networks, from training to their statistics."""

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
    network: Annotated[
        str,
        typer.Option(
            help=(
                "mlp, shown samples of a data set, or rnn, a recurrent network that"
                " weighs evidence in trials."
            )
        ),
    ] = "mlp",
    dataset: Annotated[
        str | None,
        typer.Option(
            help=(
                "Data set of the mlp: digits (embedded), mnist, ... or a .npz file."
                " [digits]"
            )
        ),
    ] = None,
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
    """Train small networks, record them, and show what their spikes say."""
    from ann2neo._checks import one_of
    from ann2neo.errors import InputValueError

    one_of(network, ("mlp", "rnn"), "network")
    if network == "rnn" and dataset is not None:
        raise InputValueError(
            f"the network rnn makes its own trials, got the data set {dataset!r}; leave"
            " --dataset out, or show it to the mlp"
        )
    load_keras()
    if network == "rnn":
        from ann2neo.study.sequence_demo import run_sequence_demo, sequence_demo_text

        table = run_sequence_demo(out, seed=seed, overwrite=overwrite)
        write = sequence_demo_text
    else:
        from ann2neo.study.demo import demo_text, run_demo

        table = run_demo(dataset or "digits", out, seed=seed, overwrite=overwrite)
        write = demo_text
    echo_table(table, lambda: write(table, out), csv=csv, json=json)
