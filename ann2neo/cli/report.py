"""``ann2neo report``: one page about recordings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from ann2neo.cli.options import Files, Overwrite
from ann2neo.cli.output import echo
from ann2neo.cli.sessions import read_files, with_session_options

__all__ = ["report"]


@with_session_options
def report(
    paths: Files,
    *,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The HTML file to write.")
    ] = Path("report.html"),
    session: Mapping[str, Any],
    title: Annotated[
        str | None, typer.Option(help="Heading of the page.", show_default=False)
    ] = None,
    study: Annotated[
        Path | None,
        typer.Option(
            help="Folder of a study to compare the recordings with.",
            show_default=False,
        ),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write one self-contained page about one or more recordings, a chapter each."""
    from ann2neo._files import output_path
    from ann2neo.report.page import write_report
    from ann2neo.study.results import load_results

    output_path(out, ".html", overwrite=overwrite)
    rows = None if study is None else load_results(study).table
    recordings = dict(read_files(paths, session))
    page = write_report(recordings, out, title=title, study=rows, overwrite=overwrite)
    echo(f"wrote {page}")
