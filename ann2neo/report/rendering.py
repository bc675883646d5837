"""Tables, figures and chapters as HTML, with numbers rounded for readers."""

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

__all__ = ["PageFigure", "PageTable", "page_table", "rendered", "whole_characters"]


class PageColumn(NamedTuple):
    """Head of a column: its name, whether it holds numbers, and its description."""

    name: str
    numeric: bool
    words: str


class PageCell(NamedTuple):
    """A cell: its text, the number to sort by, and why the value is missing."""

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
    """Turn a table into one for the page.

    Parameters
    ----------
    table : pandas.DataFrame
        The table.
    words : mapping of str to str
        Descriptions of columns.
    note : str
        What to write below it.
    reasons : mapping of str to sequence of str, optional
        For columns with missing values, why the value of each row is missing.
    """
    columns, cells = [], []
    for name, values in table.items():
        key = str(name)
        columns.append(PageColumn(key, values.dtype.kind in "iuf", words.get(key, "")))
        why = (reasons or {}).get(key, [""] * len(table))
        cells.append(list(map(_cell, values.to_list(), why)))
    return PageTable(columns, [list(row) for row in zip(*cells, strict=True)], note)


def _cell(value: Any, reason: str) -> PageCell:
    # For Python a bool is an int, but nobody wants to sort or round it.
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return PageCell(str(value), None, "")
    if isinstance(value, float) and not np.isfinite(value):
        return PageCell("\u2013", "nan", reason)
    if isinstance(value, int):
        return PageCell(str(value), str(value), "")
    style = ".3f" if abs(value) < 100 else ".0f"
    if 0 < abs(value) < 5e-4:
        style = ".1e"
    return PageCell(f"{value:{style}}", repr(value), "")


def rendered(
    title: str,
    chapters: list[dict[str, Any]],
    *,
    overview: Any = None,
    glossary: Any = (),
) -> str:
    """Return the page: heading, overview, chapters, and the meaning of the columns."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    here = files("ann2neo.report")
    template = environment.from_string(
        here.joinpath("page.html.j2").read_text(encoding="utf-8")
    )
    page = template.render(
        title=title,
        version=version("ann2neo"),
        written=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M"),
        css=Markup(here.joinpath("page.css").read_text(encoding="utf-8")),  # noqa: S704
        script=Markup(here.joinpath("page.js").read_text(encoding="utf-8")),  # noqa: S704
        chapters=chapters,
        overview=overview,
        glossary=glossary,
    )
    return whole_characters(page)


def whole_characters(text: str) -> str:
    """Return text that UTF-8 can encode: halves of characters are replaced.

    They come from file names and arguments that are not of the locale: Python hides
    bytes that it cannot decode in U+DC80 to U+DCFF.
    """
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
