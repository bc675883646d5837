"""Options that several commands share, each declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ann2neo.cli.application import is_quiet

__all__ = [
    "Alpha",
    "Csv",
    "Engine",
    "File",
    "Files",
    "Json",
    "Lags",
    "Metadata",
    "OnlyJson",
    "Overwrite",
    "Progress",
    "Scheduler",
    "Window",
    "Workers",
    "shows_progress",
]

File = Annotated[Path, typer.Argument(help="An NWB file.", show_default=False)]
Files = Annotated[list[Path], typer.Argument(help="NWB files.", show_default=False)]


def _only_form(ctx: typer.Context, param: typer.CallbackParam, wanted: bool) -> bool:
    """Refuse --csv beside --json."""
    others = {"csv", "json"} - {str(param.name)}
    if wanted and any(ctx.params.get(name) for name in others):
        raise typer.BadParameter("choose one of --csv and --json")
    return wanted


Csv = Annotated[
    bool,
    typer.Option("--csv", help="Print CSV instead of text.", callback=_only_form),
]
Json = Annotated[
    bool,
    typer.Option("--json", help="Print JSON instead of text.", callback=_only_form),
]
OnlyJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Window = Annotated[
    int | None, typer.Option(help="Bins in a counting window. [by length]")
]
Lags = Annotated[
    int | None, typer.Option(help="Lags of the Ljung-Box test. [10, or fewer]")
]
Engine = Annotated[str, typer.Option(help="fast or reference.")]
Alpha = Annotated[
    float, typer.Option(help="False discovery rate of the tests of all units.")
]
Metadata = Annotated[
    Path | None, typer.Option(help="YAML with facts for the NWB file that is written.")
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace files that exist.")
]
Progress = Annotated[
    bool | None,
    typer.Option(
        "--progress/--no-progress", help="Show a progress bar. [in a terminal]"
    ),
]


def _only_place(
    ctx: typer.Context, param: typer.CallbackParam, value: int | str | None
) -> int | str | None:
    """Refuse --workers beside --scheduler."""
    others = {"workers", "scheduler"} - {str(param.name)}
    if value is not None and any(ctx.params.get(name) is not None for name in others):
        raise typer.BadParameter("choose one of --workers and --scheduler")
    return value


Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        min=1,
        help="Compute in this many processes of this machine. [in this process]",
        callback=_only_place,
    ),
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        "--scheduler",
        help="Compute on the workers of this Dask scheduler, such as tcp://host:8786.",
        callback=_only_place,
        show_default=False,
    ),
]


def shows_progress(wanted: bool | None) -> bool | None:
    """Return the argument `progress` of a function: with ``--quiet`` no bar."""
    return False if wanted is None and is_quiet() else wanted
