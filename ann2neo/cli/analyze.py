"""``ann2neo analyze`` and ``ann2neo summarize``: statistics of units and networks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from ann2neo.cli.application import is_quiet, words
from ann2neo.cli.options import (
    Csv,
    File,
    Files,
    Json,
    Metadata,
    Progress,
    shows_progress,
)
from ann2neo.cli.output import echo, echo_table
from ann2neo.cli.sessions import read_files, with_session_options
from ann2neo.errors import InputValueError

__all__ = ["analyze_file", "summarize_files"]

_Window = Annotated[
    int | None, typer.Option(help="Bins in a counting window. [by length]")
]
_Lags = Annotated[
    int | None, typer.Option(help="Lags of the Ljung-Box test. [10, or fewer]")
]
_Engine = Annotated[str, typer.Option(help="fast or reference.")]
_Alpha = Annotated[
    float, typer.Option(help="False discovery rate of the tests of all units.")
]


@with_session_options
def analyze_file(
    path: File,
    *,
    window: _Window = None,
    lags: _Lags = None,
    engine: _Engine = "fast",
    statistics: Annotated[
        str | None,
        typer.Option(
            help=(
                "Names of statistics, separated by commas, for --csv and --json; then"
                " there is no table of the network. [all]"
            )
        ),
    ] = None,
    alpha: _Alpha = 0.05,
    session: Mapping[str, Any],
    csv: Csv = False,
    json: Json = False,
    append: Annotated[
        bool, typer.Option("--append", help="Write the tables into the file.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Write the recording and the tables to an NWB file of ann2neo.",
            show_default=False,
        ),
    ] = None,
    metadata: Metadata = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the file of --out.")
    ] = False,
    progress: Progress = None,
) -> None:
    """Compute the statistics of every unit, and show those of the network."""
    from ann2neo._files import output_path
    from ann2neo.analysis.explain import column_descriptions
    from ann2neo.analysis.networks.summarize import summarize
    from ann2neo.analysis.networks.summary_text import network_text
    from ann2neo.analysis.units.analyze import analyze
    from ann2neo.io.nwb.analysis_tables import append_analysis
    from ann2neo.io.nwb.metadata import checked_metadata
    from ann2neo.io.nwb.reader import read_nwb
    from ann2neo.io.nwb.writer import write_nwb

    chosen = words(statistics)
    if chosen is not None and not (csv or json):
        raise InputValueError(
            "--statistics is for the table of units; pass --csv or --json, too"
        )
    if out is not None:
        output_path(out, ".nwb", overwrite=overwrite)
    facts = checked_metadata(metadata)
    bar = shows_progress(progress)
    recording = read_nwb(path, **session)
    table = analyze(recording, window, lags, engine, chosen, progress=bar)
    tables = [table]
    if chosen is None:
        tables.append(summarize(table, alpha=alpha))
    targets = [path] if append else []
    if out is not None:
        write_nwb(recording, out, metadata=facts, overwrite=overwrite, progress=bar)
        targets.append(out)
    for target in targets:
        append_analysis(target, table, column_descriptions(*tables), *tables[1:])
        if not is_quiet():
            echo(f"{target}: the statistics are in /analysis", err=True)
    echo_table(table, lambda: network_text(tables[1]), csv=csv, json=json)


@with_session_options
def summarize_files(
    paths: Files,
    *,
    by: Annotated[
        str,
        typer.Option(
            help="Columns that say which units belong together, separated by commas."
        ),
    ] = "phase",
    window: _Window = None,
    lags: _Lags = None,
    engine: _Engine = "fast",
    alpha: _Alpha = 0.05,
    session: Mapping[str, Any],
    csv: Csv = False,
    json: Json = False,
    progress: Progress = None,
) -> None:
    """Show the statistics of networks, one row per file and phase."""
    import pandas as pd

    from ann2neo.analysis.networks.summarize import summarize
    from ann2neo.analysis.networks.summary_text import network_text
    from ann2neo.analysis.units.analyze import analyze

    bar = shows_progress(progress)
    tables = []
    # File by file, so that one recording at a time is in memory.
    for name, recording in read_files(paths, session):
        table = analyze(recording, window, lags, engine, progress=bar)
        tables.append(summarize(table, words(by) or [], alpha))
        if "file" not in tables[-1]:
            tables[-1].insert(0, "file", name)
    network = pd.concat(tables, ignore_index=True)
    echo_table(network, lambda: network_text(network), csv=csv, json=json)
