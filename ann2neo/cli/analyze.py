"""``ann2neo analyze``: statistics of units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ann2neo.cli import trials
from ann2neo.cli.application import is_quiet, words
from ann2neo.cli.executors import chosen_executor
from ann2neo.cli.options import (
    Alpha,
    Csv,
    Engine,
    Files,
    Json,
    Lags,
    Metadata,
    Progress,
    Scheduler,
    Window,
    Workers,
    shows_progress,
)
from ann2neo.cli.output import echo, echo_table
from ann2neo.cli.sessions import (
    Failure,
    SessionFile,
    echo_failures,
    map_files,
    named,
    session_files,
    with_session_options,
)
from ann2neo.errors import Ann2NeoError, InputValueError

if TYPE_CHECKING:
    import pandas as pd

    from ann2neo.recording import Recording

__all__ = ["analyze_files"]


@with_session_options
def analyze_files(
    paths: Files,
    *,
    window: Window = None,
    lags: Lags = None,
    engine: Engine = "fast",
    statistics: Annotated[
        str | None,
        typer.Option(
            help=(
                "Names of statistics, separated by commas, for --csv and --json; then"
                " there is no table of the network. [all]"
            )
        ),
    ] = None,
    alpha: Alpha = 0.05,
    of_trials: trials.OfTrials = False,
    by: trials.By = None,
    kind: trials.Kind = None,
    steps: trials.Steps = None,
    cut: trials.Cut = False,
    session: Mapping[str, Any],
    csv: Csv = False,
    json: Json = False,
    append: Annotated[
        bool, typer.Option("--append", help="Write the tables into each file.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help=(
                "Write the recording and the tables to an NWB file of ann2neo; for one"
                " file."
            ),
            show_default=False,
        ),
    ] = None,
    metadata: Metadata = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the file of --out.")
    ] = False,
    progress: Progress = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
) -> None:
    """Compute the statistics of every unit, and show those of the network.

    With --trials or --by, those of every unit over its trials.
    """
    import pandas as pd

    from ann2neo.analysis.networks.summary_text import network_text
    from ann2neo.io.nwb.metadata import checked_metadata
    from ann2neo.io.nwb.writer import write_nwb

    chosen = words(statistics)
    if trials.wanted(of_trials or by is not None, kind, steps, cut=cut):
        _refuse_beside_trials(window=window, append=append, out=out, metadata=metadata)
        options = {
            "kind": kind,
            "window": trials.steps_of(steps),
            "lags": lags,
            "engine": engine,
            "statistics": chosen,
        }
        _print_trials(
            session_files(paths, session),
            (by, options, cut),
            (workers, scheduler, shows_progress(progress)),
            alpha,
            csv=csv,
            json=json,
        )
        return
    _check_output(paths, chosen, out, prints_table=csv or json, overwrite=overwrite)
    facts = checked_metadata(metadata)
    bar = shows_progress(progress)
    files = session_files(paths, session)
    settings = (window, lags, engine, chosen, alpha, out is not None)
    tables: list[pd.DataFrame] = []
    failures, is_alone = [], len(files) == 1
    with chosen_executor(workers, scheduler) as executor:
        for file, result in map_files(
            _analyzed, files, settings, executor, bar, is_alone=is_alone
        ):
            if isinstance(result, Failure):
                failures.append((file, result))
                continue
            units, network, recording = result
            if append:
                try:
                    _append(file.path, units, network)
                except Ann2NeoError as error:
                    if is_alone:
                        raise
                    failures.append((file, Failure(str(error))))
            if out is not None and recording is not None:
                write_nwb(
                    recording, out, metadata=facts, overwrite=overwrite, progress=bar
                )
                _append(out, units, network)
            if not is_alone:
                units = named(units, file.name)
                network = None if network is None else named(network, file.name)
            if network is not None and not (csv or json):
                # File by file, since many take a while.
                if tables:
                    echo("")
                echo(network_text(network).rstrip("\n"))
            tables.append(units)
    if tables and (csv or json):
        table = pd.concat(tables, ignore_index=True)
        echo_table(table, str, csv=csv, json=json)
    echo_failures(failures, len(files))


def _check_output(
    paths: Sequence[Path],
    chosen: list[str] | None,
    out: Path | None,
    *,
    prints_table: bool,
    overwrite: bool,
) -> None:
    from ann2neo._files import output_path

    if chosen is not None and not prints_table:
        raise InputValueError(
            "--statistics is for the table of units; pass --csv or --json, too"
        )
    if out is not None:
        if len(paths) > 1:
            raise InputValueError(
                f"--out is for one file, got {len(paths)}; use --append, which writes"
                " the tables into each file"
            )
        output_path(out, ".nwb", overwrite=overwrite)


def _refuse_beside_trials(**given: Any) -> None:
    named = [f"--{name}" for name, value in given.items() if value not in (None, False)]
    if named:
        raise InputValueError(
            f"{named[0]} does not go with --trials or --by; leave it out (--steps"
            " chooses steps of trials, --csv and --json print the table)"
        )


def _print_trials(
    files: Sequence[SessionFile],
    settings: tuple[Any, ...],
    places: tuple[int | None, str | None, bool | None],
    alpha: float,
    *,
    csv: bool,
    json: bool,
) -> None:
    """Print the statistics of trials of each file."""
    import pandas as pd

    workers, scheduler, bar = places
    tables: list[pd.DataFrame] = []
    failures, is_alone = [], len(files) == 1
    with chosen_executor(workers, scheduler) as executor:
        for file, result in map_files(
            trials.table, files, settings, executor, bar, is_alone=is_alone
        ):
            if isinstance(result, Failure):
                failures.append((file, result))
                continue
            if not (csv or json):
                name = "" if is_alone else f"{file.name}\n"
                echo(f"{name}{trials.text(result, alpha)}")
            tables.append(result if is_alone else named(result, file.name))
    if tables and (csv or json):
        joined = pd.concat(tables, ignore_index=True)
        echo_table(joined, str, csv=csv, json=json)
    echo_failures(failures, len(files))


def _analyzed(
    recording: Recording,
    executor: Executor | None,
    progress: bool | None,
    window: int | None,
    lags: int | None,
    engine: str,
    statistics: list[str] | None,
    alpha: float,
    is_kept: bool,
) -> tuple[pd.DataFrame, pd.DataFrame | None, Recording | None]:
    """Return the table of units, that of networks, and the recording if it is kept."""
    from ann2neo.analysis.networks.summarize import summarize
    from ann2neo.analysis.units.analyze import analyze

    units = analyze(
        recording,
        window,
        lags,
        engine,
        statistics,
        progress=progress,
        executor=executor,
    )
    network = None if statistics is not None else summarize(units, alpha=alpha)
    return units, network, recording if is_kept else None


def _append(path: Path, units: pd.DataFrame, network: pd.DataFrame | None) -> None:
    from ann2neo.analysis.explain import column_descriptions
    from ann2neo.io.nwb.analysis_tables import append_analysis

    others = [] if network is None else [network]
    append_analysis(path, units, column_descriptions(units, *others), *others)
    if not is_quiet():
        echo(f"{path}: the statistics are in /analysis", err=True)
