"""Figures as inline SVG, with the colours and the width of the page, and alt text."""

from __future__ import annotations

import hashlib
import io
import re
from typing import Any

from markupsafe import Markup, escape
from matplotlib.axis import Axis
from matplotlib.text import Text
from matplotlib.ticker import FixedFormatter, FuncFormatter

from ann2neo.report.rendering import whole_characters
from ann2neo.report.style import BLUE, GRID, INK, MUTED, VERMILLION, settings

__all__ = ["inline_svg"]

_DPI = 200
_COLOURS = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    GRID: "var(--grid)",
    BLUE: "var(--blue)",
    VERMILLION: "var(--vermillion)",
}


def inline_svg(figure: Any, name: str, alt: str) -> Markup:
    """Turn a figure into an SVG element for a page.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        The figure.
    name : str
        Its name in the page, the source of its ids, so that two figures of a page never
        share one.
    alt : str
        What the figure shows, for those who cannot see it.

    Returns
    -------
    markupsafe.Markup
        ``<svg role="img">`` with live text and the page's own colours, scaled to its
        container.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> figure = Figure(figsize=(2, 1))
    >>> text = figure.text(0.1, 0.1, "1 < 2")
    >>> svg = inline_svg(figure, "small", "A <small> figure")
    >>> "1 &lt; 2" in svg, 'aria-label="A &lt;small&gt; figure"' in svg
    (True, True)
    """
    # Ids must not start with a digit.
    prefix = "f" + hashlib.sha256(name.encode(errors="replace")).hexdigest()[:8]
    svg_settings = {
        # Text stays text: it can be searched, copied and set in the page's font.
        "svg.fonttype": "none",
        # Without it, ids would be random, and two runs would give different pages.
        "svg.hashsalt": prefix,
        "savefig.facecolor": "none",
        "savefig.dpi": _DPI,
    }
    buffer = io.StringIO()
    with settings(svg_settings):
        _replace_halves(figure)
        figure.savefig(
            buffer,
            format="svg",
            bbox_inches="tight",
            pad_inches=0.05,
            transparent=True,
            metadata={"Date": None, "Creator": None, "Format": None, "Type": None},
        )
    text = buffer.getvalue()
    # The page sets line joins and fonts; a style element here would hold for all of it.
    svg = re.sub(
        r"<metadata>.*?</metadata>|<style.*?</style>",
        "",
        text[text.index("<svg") :],
        flags=re.DOTALL,
    )
    svg = re.sub(r"font-family: [^;\"]+;", "", svg)
    box = re.search(r'viewBox="([^"]+)"', svg)
    view = box.group(1) if box else "0 0 1 1"
    # Screen readers take it as one image with a name. Without a width and a height of
    # its own, it fills its container.
    start = (
        '<svg xmlns:xlink="http://www.w3.org/1999/xlink"'
        f' xmlns="http://www.w3.org/2000/svg" viewBox="{view}" role="img"'
        f' aria-label="{escape(alt)}">'
    )
    # As a function: in a text, a backslash of the name would be an escape.
    svg = re.sub(r"^<svg[^>]*>", lambda _: start, svg, count=1)
    # Only attributes of tags change, never the text in the figure.
    svg = re.sub(
        r"<[^>]+>", lambda tag: _page_colours(_own_ids(tag.group(), prefix)), svg
    )
    return Markup(svg)  # noqa: S704


def _replace_halves(figure: Any) -> None:
    """Make all texts of a figure such that a font can draw them."""
    for label in figure.findobj(Text):
        label.set_text(whole_characters(label.get_text()))
    # Labels of ticks are made while the figure is drawn.
    for axis in figure.findobj(Axis):
        labels = axis.get_major_formatter()
        if isinstance(labels, (FixedFormatter, FuncFormatter)):
            axis.set_major_formatter(
                FuncFormatter(
                    lambda place, number, labels=labels: whole_characters(
                        labels(place, number)
                    )
                )
            )


def _own_ids(tag: str, prefix: str) -> str:
    tag = re.sub(r'\bid="', f'id="{prefix}-', tag)
    return re.sub(r'(href="|url\()#', rf"\1#{prefix}-", tag)


def _page_colours(tag: str) -> str:
    for colour, variable in _COLOURS.items():
        tag = re.sub(rf'(fill|stroke)="{colour}"', rf'style="\1: {variable}"', tag)
        tag = tag.replace(f": {colour}", f": {variable}")
    return tag
