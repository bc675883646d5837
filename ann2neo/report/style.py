"""The look that all figures share: colours that colour-blind readers tell apart, one
set of fonts, notes in the figure.

Colours are those of Okabe and Ito (2008), "Color universal design". Groups differ in
colour and in marker, so that they need not be told apart by colour alone.
"""

from __future__ import annotations

import contextlib
import itertools
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ann2neo.errors import MissingExtraError

try:
    import matplotlib as mpl
    from cycler import cycler
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure
except ImportError as error:  # pragma: no cover - the tests install it
    msg = (
        "figures and reports need matplotlib and jinja2, which are not installed; pip"
        " install 'ann2neo[report]'"
    )
    raise MissingExtraError(msg) from error

__all__ = [
    "ACTIVITY",
    "CORRELATION",
    "CYCLE",
    "GRID",
    "INK",
    "MUTED",
    "STYLE",
    "add_note",
    "axes_or_new",
    "group_styles",
    "grouped",
]

INK, MUTED, GRID = "#1f2430", "#667085", "#d5d9e0"
"""Text and axes, secondary text and reference lines, grid: a page swaps these between
light and dark.
"""

BLUE, ORANGE, GREEN, VERMILLION, PURPLE, SKY = (
    "#0072b2",
    "#e69f00",
    "#009e73",
    "#d55e00",
    "#cc79a7",
    "#56b4e9",
)
CYCLE = (BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY)

ACTIVITY = LinearSegmentedColormap.from_list(
    "ann2neo_activity", [(0.0, 0.45, 0.70, 0.0), (0.0, 0.45, 0.70, 1.0)]
)
"""Share of active cells, 0 to 1. Zero is transparent, so that it is the page's own
background.
"""

CORRELATION = LinearSegmentedColormap.from_list(
    "ann2neo_correlation",
    [
        (0.84, 0.37, 0.0, 1.0),
        (0.84, 0.37, 0.0, 0.0),
        (0.0, 0.45, 0.70, 0.0),
        (0.0, 0.45, 0.70, 1.0),
    ],
)
"""Minus one to one: vermillion, nothing, blue."""

STYLE: Mapping[str, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": MUTED,
    "axes.grid": False,
    "axes.labelcolor": INK,
    "axes.labelsize": 9,
    "axes.linewidth": 0.8,
    "axes.prop_cycle": cycler(color=CYCLE),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "figure.dpi": 120,
    "font.family": "sans-serif",
    "font.size": 9,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "savefig.dpi": 200,
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": MUTED,
    "xtick.labelcolor": INK,
    "xtick.labelsize": 8,
    "ytick.color": MUTED,
    "ytick.labelcolor": INK,
    "ytick.labelsize": 8,
}
"""Settings of the figures that ann2neo makes itself; axes that a caller brings keep the
caller's settings.
"""


BOX = (0.15, 0.24, 0.81, 0.7)
"""Where the axes of a figure lie in it, as left, bottom, width and height: room for
labels and a note.
"""


@contextlib.contextmanager
def axes_or_new(
    ax: Any | None,
    width: float = 4.6,
    height: float = 3.4,
    box: tuple[float, float, float, float] = BOX,
) -> Iterator[Any]:
    """Give the axes to draw on: the caller's, or new ones in the package's style.

    Parameters
    ----------
    ax : matplotlib.axes.Axes or None
        The caller's axes.
    width, height : float, inches
        Size of a new figure.
    box : tuple of float
        Left, bottom, width and height of new axes, as shares of the figure.

    Yields
    ------
    matplotlib.axes.Axes
        Where to draw. New axes belong to a figure of their own, outside pyplot's list:
        nothing has to be closed and no display is needed. ``ax.figure`` shows it in a
        notebook, ``ax.figure.savefig(path)`` saves it.
    """
    if ax is not None:
        yield ax
        return
    with mpl.rc_context(dict(STYLE)):
        yield Figure(figsize=(width, height)).add_axes(box)


def add_note(ax: Any, text: str) -> None:
    """Say below the axes what a reader must know: what was aggregated, sampled or left
    out.
    """
    ax.annotate(
        textwrap.fill(text, 66),
        (0, 0),
        (0, -34),
        xycoords="axes fraction",
        textcoords="offset points",
        ha="left",
        va="top",
        fontsize=7.5,
        color=MUTED,
        gid="note",
        annotation_clip=False,
    )


def group_styles(names: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Colour and marker of each group, by its place in the alphabet.

    The order of rows does not matter, so the same groups look the same in every figure.

    Examples
    --------
    >>> group_styles(["trained", "random"])["random"]
    ('#0072b2', 'o')
    """
    styles = itertools.cycle(zip(CYCLE, "osD^vP", strict=True))
    return dict(zip(sorted(set(names)), styles, strict=False))


def grouped(number: int) -> str:
    """Write a count with thin gaps between thousands, as in ``60 000``."""
    return f"{number:,}".replace(",", "\u2009")
