"""``ann2neo summarize``: statistics of networks, for thousands of files."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from concurrent.futures import Executor
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ann2neo.cli.application import words
from ann2neo.cli.executors import chosen_executor
from ann2neo.cli.options import (
    Alpha,
    Csv,
    Engine,
    Files,
    Json,
    Lags,
    Overwrite,
    Progress,
    Scheduler,
    Window,
    Workers,
    shows_progress,
)
from ann2neo.cli.output import csv_text, echo, echo_table
from ann2neo.cli.sessions import (
    Failure,
    echo_failures,
    map_files,
    named,
    session_files,
    with_session_options,
)
from ann2neo.errors import InputValueError

if TYPE_CHECKING:
    import pandas as pd

    from ann2neo.recording import Recording

__all__ = ["summarize_files"]

_log = logging.getLogger(__name__)


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
    window: Window = None,
    lags: Lags = None,
    engine: Engine = "fast",
    alpha: Alpha = 0.05,
    session: Mapping[str, Any],
    csv: Csv = False,
    json: Json = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help=(
                "Write the table to this CSV file. What is computed is kept beside it,"
                " and the same command goes on from there after an interruption."
            ),
            show_default=False,
        ),
    ] = None,
    overwrite: Overwrite = False,
    progress: Progress = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
) -> None:
    """Show the statistics of networks, one row per file and phase."""
    import pandas as pd

    from ann2neo._files import complete_text, output_path
    from ann2neo.analysis.networks.summary_text import network_text
    from ann2neo.cli.kept_rows import kept_rows

    if out is not None:
        if csv or json:
            raise InputValueError("--out writes CSV; leave out --csv and --json")
        output_path(out, ".csv", overwrite=overwrite)
    files = session_files(paths, session)
    settings = (words(by) or [], window, lags, engine, alpha)
    bar = shows_progress(progress)
    with (
        nullcontext() if out is None else kept_rows(out, settings) as kept,
        chosen_executor(workers, scheduler) as executor,
    ):
        tables = {} if kept is None else kept.tables(files)
        waiting = [file for file in files if file.path not in tables]
        if len(waiting) < len(files):
            _log.info("%d of %d files are to be read", len(waiting), len(files))
        failures = []
        results = map_files(
            _summarized, waiting, settings, executor, bar, is_alone=len(files) == 1
        )
        for file, result in results:
            if isinstance(result, Failure):
                failures.append((file, result))
                continue
            table = named(result, file.name)
            tables[file.path] = table if kept is None else kept.add(file, table)
        if tables:
            # In the order of the files.
            parts = [tables[file.path] for file in files if file.path in tables]
            network = pd.concat(parts, ignore_index=True)
            if out is None:
                echo_table(network, lambda: network_text(network), csv=csv, json=json)
            else:
                complete_text(out, csv_text(network), overwrite=overwrite)
                echo(f"{out}: {len(network)} rows of {len(tables)} files")
        if kept is not None and not failures:
            kept.remove()
    if kept is not None and failures:
        _log.info(
            "mend or leave out the files below; with --overwrite, the same command"
            " reads only them"
        )
    echo_failures(failures, len(files))


def _summarized(
    recording: Recording,
    executor: Executor | None,
    progress: bool | None,
    by: list[str],
    window: int | None,
    lags: int | None,
    engine: str,
    alpha: float,
) -> pd.DataFrame:
    from ann2neo.analysis.networks.summarize import summarize
    from ann2neo.analysis.units.analyze import analyze

    units = analyze(
        recording, window, lags, engine, progress=progress, executor=executor
    )
    return summarize(units, by, alpha)
