"""Reports on NWB files, for the command line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ann2neo._files import refuse_existing
from ann2neo.errors import InputValueError
from ann2neo.io.nwb.reader import is_own_file, read_nwb
from ann2neo.report.page import write_report

__all__ = ["report_files"]


def report_files(
    paths: Sequence[Path],
    out: Path,
    *,
    session: Mapping[str, Any] | None = None,
    title: str | None = None,
    study: pd.DataFrame | None = None,
    overwrite: bool = False,
) -> Path:
    """Read recordings and write a page about them.

    Parameters
    ----------
    paths : sequence of Path
        NWB files, of ann2neo or of real sessions. Chapters are named after the files,
        or after their paths where names repeat.
    out : Path
        The HTML file to write.
    session : mapping of str, optional
        Arguments of `read_nwb` for files that ann2neo did not write, such as
        ``bin_size``.
    title : str, optional
        Heading of the page.
    study : pandas.DataFrame, optional
        Reference networks, among which each recording's place is shown.
    overwrite : bool, default False
        Whether an existing page may be replaced.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    InputValueError
        If there is no file, or one is given twice.
    OutputExistsError
        If the page exists already; then no file is read.
    """
    if not paths:
        raise InputValueError("a report needs at least one NWB file, got none")
    names = Counter(path.name for path in paths)
    chapters = {
        path: path.name if names[path.name] == 1 else str(path) for path in paths
    }
    if len(chapters) < len(paths):
        raise InputValueError(
            f"each file can be in a report once, got {', '.join(map(str, paths))}"
        )
    refuse_existing(out, overwrite=overwrite)
    options = session or {}
    follow_links = bool(options.get("follow_links"))
    own = {path: is_own_file(path, follow_links=follow_links) for path in chapters}
    recordings = {
        # Where all files have their own time bins, options are a mistake to tell of.
        name: read_nwb(path, **({} if own[path] and not all(own.values()) else options))
        for path, name in chapters.items()
    }
    return write_report(recordings, out, title=title, study=study, overwrite=overwrite)
