"""Options that several commands share, each declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ann2neo.cli.application import is_quiet

__all__ = [
    "Csv",
    "File",
    "Files",
    "Json",
    "Metadata",
    "OnlyJson",
    "Overwrite",
    "Progress",
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


def shows_progress(wanted: bool | None) -> bool | None:
    """Return the argument `progress` of a function: with ``--quiet`` no bar."""
    return False if wanted is None and is_quiet() else wanted
