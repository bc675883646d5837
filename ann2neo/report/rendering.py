"""Tables, figures and chapters as HTML: the template, what it needs, and numbers as
readers want them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib.metadata import version
from importlib.resources import files
from typing import Any, NamedTuple

import jinja2
import numpy as np
import pandas as pd
from markupsafe import Markup

__all__ = ["PageFigure", "PageTable", "page_table", "rendered"]


class PageColumn(NamedTuple):
    """Head of a column: its name, whether it holds numbers, and what it means."""

    name: str
    numeric: bool
    words: str


class PageCell(NamedTuple):
    """A cell: what is read, the number to sort by, and why it is missing."""

    text: str
    value: str | None
    reason: str


class PageTable(NamedTuple):
    """A table and a note below it."""

    columns: list[PageColumn]
    rows: list[list[PageCell]]
    note: str


class PageFigure(NamedTuple):
    """A figure with its id, heading and caption."""

    key: str
    title: str
    caption: str
    svg: Markup


def page_table(
    table: pd.DataFrame,
    words: Mapping[str, str],
    note: str = "",
    reasons: Mapping[str, Sequence[str]] | None = None,
) -> PageTable:
    """Turn a table into one of the page's; `words` describe columns, `reasons` say why
    cells are missing.
    """
    columns = [
        PageColumn(str(name), table[name].dtype.kind in "iuf", words.get(name, ""))
        for name in table
    ]
    cells = []
    for name in table:
        why = (reasons or {}).get(name, [""] * len(table))
        cells.append(
            [
                _cell(value, reason)
                for value, reason in zip(table[name].to_list(), why, strict=True)
            ]
        )
    return PageTable(columns, [list(row) for row in zip(*cells, strict=True)], note)


def _cell(value: Any, reason: str) -> PageCell:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return PageCell(str(value), None, "")
    if isinstance(value, float) and not np.isfinite(value):
        return PageCell("\u2013", "nan", reason)
    if isinstance(value, int):
        return PageCell(str(value), str(value), "")
    text = (
        f"{value:.1e}"
        if 0 < abs(value) < 5e-4
        else f"{value:.3f}"
        if abs(value) < 100
        else f"{value:.0f}"
    )
    return PageCell(text, repr(value), "")


def rendered(
    title: str,
    chapters: list[dict[str, Any]],
    *,
    overview: Any = None,
    glossary: Any = (),
) -> str:
    """The whole page: a heading, what stands side by side, a chapter each, and what the
    columns mean.
    """
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    here = files("ann2neo.report")
    template = environment.from_string(
        here.joinpath("page.html.j2").read_text(encoding="utf-8")
    )
    return template.render(
        title=title,
        version=version("ann2neo"),
        written=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M"),
        css=Markup(here.joinpath("page.css").read_text(encoding="utf-8")),  # noqa: S704
        script=Markup(here.joinpath("page.js").read_text(encoding="utf-8")),  # noqa: S704
        chapters=chapters,
        overview=overview,
        glossary=glossary,
    )
