"""The style of all figures: colours for colour-blind readers, fonts, and notes.

Colours are those of Okabe and Ito (2008), "Color universal design". Groups differ in
colour and in marker, so that colour alone never carries meaning.
"""

from __future__ import annotations

import contextlib
import itertools
import textwrap
import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ann2neo.errors import MissingExtraError

try:
    import matplotlib as mpl
    from cycler import cycler
    from matplotlib.axes import Axes
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure
except ImportError as error:  # pragma: no cover - the tests install it
    raise MissingExtraError(
        "figures and reports need matplotlib and jinja2, which are not installed; pip"
        " install 'ann2neo[report]'"
    ) from error

__all__ = [
    "ACTIVITY",
    "CORRELATION",
    "CYCLE",
    "GRID",
    "INK",
    "MUTED",
    "STYLE",
    "Axes",
    "add_colorbar",
    "add_note",
    "axes_or_new",
    "counted",
    "group_styles",
    "grouped",
    "settings",
]

INK, MUTED, GRID = "#1f2430", "#667085", "#d5d9e0"
"""Text and axes; secondary text and reference lines; grid. Pages replace all three."""

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
"""Share of active cells, 0 to 1; 0 is transparent and shows the page's background."""

CORRELATION = LinearSegmentedColormap.from_list(
    "ann2neo_correlation",
    [
        (0.84, 0.37, 0.0, 1.0),
        (0.84, 0.37, 0.0, 0.0),
        (0.0, 0.45, 0.70, 0.0),
        (0.0, 0.45, 0.70, 1.0),
    ],
)
"""Correlation, -1 to 1: vermillion, transparent at 0, blue."""

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
"""Settings of ann2neo's own figures; axes of a caller keep the caller's settings."""


BOX = (0.15, 0.24, 0.81, 0.7)
"""Left, bottom, width and height of axes in a figure: room for labels and a note."""


_drawing = threading.RLock()


@contextlib.contextmanager
def settings(values: Mapping[str, Any]) -> Iterator[None]:
    """Draw with settings of matplotlib, one thread at a time.

    They are global: threads that set and restore them in turns would draw with each
    other's, and leave those of one behind.
    """
    with _drawing, mpl.rc_context(dict(values)):
        yield


@contextlib.contextmanager
def axes_or_new(
    ax: Axes | None,
    width: float = 4.6,
    height: float = 3.4,
    box: tuple[float, float, float, float] = BOX,
) -> Iterator[Axes]:
    """Yield the axes to draw on: the caller's, or new ones in the package's style.

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
        Where to draw. New axes belong to a figure of their own that pyplot does not
        keep: nothing has to be closed, and no display is needed. ``ax.figure`` shows it
        in a notebook, ``ax.figure.savefig(path)`` saves it.
    """
    if ax is not None:
        yield ax
        return
    # The style must hold while the caller draws, as ticks and labels read it late.
    with settings(STYLE):
        yield Figure(figsize=(width, height)).add_axes(box)


def add_colorbar(axes: Axes, image: Any, left: float, label: str) -> Axes:
    """Draw a narrow colour bar beside axes, at `left` times their width."""
    bar = axes.inset_axes((left, 0, 0.04, 1))
    axes.figure.colorbar(image, cax=bar).outline.set_visible(False)
    bar.set_ylabel(label, fontsize=7.5)
    bar.tick_params(labelsize=7)
    return bar


def add_note(ax: Axes, text: str) -> None:
    """Note below the axes what was aggregated, sampled or left out."""
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
    """Return colour and marker of each group, by its place in the alphabet.

    The order of rows does not matter, so the same groups look the same in every figure.

    Examples
    --------
    >>> group_styles(["trained", "random"])["random"]
    ('#0072b2', 'o')
    """
    styles = itertools.cycle(zip(CYCLE, "osD^vP", strict=True))
    return dict(zip(sorted(set(names)), styles, strict=False))


def grouped(number: int) -> str:
    """Write a count with thin spaces between thousands, as in ``60 000``."""
    return f"{number:,}".replace(",", "\u2009")


def counted(number: int, noun: str) -> str:
    """Write a count and what is counted, in the singular for one.

    Examples
    --------
    >>> counted(1, "unit"), counted(24, "unit")
    ('1 unit', '24 units')
    """
    return f"1 {noun}" if number == 1 else f"{grouped(number)} {noun}s"
