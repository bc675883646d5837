"""Figures of firing rates, as rainclouds, and of Fano factors against rates."""

from __future__ import annotations

import textwrap

import numpy as np
import pandas as pd
from scipy import stats

from ann2neo._checks import one_of
from ann2neo.analysis._entry import FloatArray
from ann2neo.errors import InputTypeError, InputValueError
from ann2neo.report.style import (
    BLUE,
    INK,
    MUTED,
    VERMILLION,
    Axes,
    add_note,
    axes_or_new,
    counted,
    group_styles,
    grouped,
)

__all__ = ["checked_table", "plot_fano_factors", "plot_firing_rates"]

_MAX_DROPS = 400
_MAX_POINTS = 3_000
_RATE_LABELS = {
    "firing_rate": "Firing rate (spikes per bin)",
    "firing_rate_hz": "Firing rate (Hz)",
}


def plot_firing_rates(
    units: pd.DataFrame,
    by: str = "phase",
    *,
    column: str = "firing_rate",
    ax: Axes | None = None,
) -> Axes:
    """Draw the distribution of a number over units, one raincloud per group.

    Parameters
    ----------
    units : pandas.DataFrame
        One row per unit, as `analyze` returns it; tables of several recordings can be
        concatenated.
    by : str, default "phase"
        Column that names the groups, such as ``phase``, ``layer`` or ``condition``.
    column : str, default "firing_rate"
        What to draw; ``firing_rate`` is in spikes per bin, ``firing_rate_hz`` in Hz.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib.axes.Axes
        One raincloud per group, the first on top: density, quartiles, single units.

    Raises
    ------
    InputValueError
        If a column is missing or holds no number.

    Notes
    -----
    After Allen et al. (2019), "Raincloud plots". Of more than 400 units of a group, 400
    at even ranks are drawn as drops; density and quartiles are of all.

    Examples
    --------
    >>> import pandas as pd
    >>> units = pd.DataFrame(
    ...     {
    ...         "phase": ["train"] * 3 + ["test"] * 3,
    ...         "firing_rate": [0.1, 0.2, 0.4, 0.1, 0.3, 0.4],
    ...     }
    ... )
    >>> [text.get_text() for text in plot_firing_rates(units).get_yticklabels()]
    ['train (3 units)', 'test (3 units)']
    """
    checked_table(units, [by, column])
    finite = units[np.isfinite(units[column].to_numpy(float))]
    groups = {
        str(name): part[column].to_numpy(float)
        for name, part in finite.groupby(by, sort=False)
    }
    if not groups:
        raise InputValueError(
            f"nothing to draw: column {column!r} holds no finite number"
        )
    # A rate has a unit, and no density below 0 or beyond one spike per bin.
    limits = {"firing_rate": (0.0, 1.0), "firing_rate_hz": (0.0, np.inf)}
    is_rate = column in limits
    # In inches: 0.8 below for labels and the note, 0.1 above; shares of the height in
    # the box.
    height = 1.1 + 0.75 * len(groups)
    with axes_or_new(
        ax, 4.6, height, (0.24, 0.8 / height, 0.72, 1 - 0.9 / height)
    ) as axes:
        styles = group_styles(groups)
        for position, (name, values) in enumerate(groups.items()):
            colour, _ = styles[name]
            _draw_raincloud(
                axes, position, values, colour, limits.get(column, (-np.inf, np.inf))
            )
        labels = [
            textwrap.fill(
                f"{name} ({counted(len(values), 'unit')})",
                22,
                max_lines=3,
                placeholder="...",
            )
            for name, values in groups.items()
        ]
        axes.set_yticks(range(len(groups)), labels)
        axes.set_ylim(len(groups) - 0.55, -0.75)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel(_RATE_LABELS.get(column, column))
        axes.grid(visible=True, axis="x")
        if is_rate:
            axes.set_xlim(-0.02 * axes.get_xlim()[1], None)
        note = "box: quartiles and median"
        if max(map(len, groups.values())) > _MAX_DROPS:
            note += f"; dots: {_MAX_DROPS} units of each group, at even ranks"
        add_note(axes, note)
    return axes


def _draw_raincloud(
    axes: Axes,
    position: int,
    values: FloatArray,
    colour: str,
    limits: tuple[float, float],
) -> None:
    ordered = np.sort(values)
    if len(values) > 2 and ordered[0] < ordered[-1]:
        beyond = np.ptp(ordered) / 5
        low, high = np.clip([ordered[0] - beyond, ordered[-1] + beyond], *limits)
        grid = np.linspace(low, high, 256)
        density = stats.gaussian_kde(ordered)(grid)
        # Clouds end 0.52 above the box and drops 0.32 below it: groups, 1 apart, never
        # touch.
        cloud = 0.42 * density / density.max()
        # Tails that would be thinner than a line are left out.
        visible = cloud > 2e-3
        axes.fill_between(
            grid[visible],
            position - 0.1 - cloud[visible],
            position - 0.1,
            color=colour,
            alpha=0.55,
            lw=0,
        )
    first, median, third = np.quantile(ordered, [0.25, 0.5, 0.75])
    axes.plot(
        [first, third],
        [position, position],
        color=colour,
        lw=5,
        solid_capstyle="butt",
        alpha=0.8,
    )
    axes.plot([median], [position], marker="|", color=INK, ms=9, mew=1.8)
    if len(ordered) > _MAX_DROPS:
        ordered = ordered[np.linspace(0, len(ordered) - 1, _MAX_DROPS).astype(int)]
    # Van der Corput's sequence (bits of i in reverse): even spacing without randomness.
    jitter = np.array([int(f"{i:010b}"[::-1], 2) / 1024 for i in range(len(ordered))])
    axes.scatter(
        ordered,
        position + 0.12 + 0.2 * jitter,
        s=5,
        color=colour,
        alpha=0.6,
        lw=0,
        rasterized=len(ordered) > 200,
    )


def plot_fano_factors(
    units: pd.DataFrame,
    *,
    unbiased: bool = True,
    column: str = "firing_rate",
    ax: Axes | None = None,
) -> Axes:
    """Draw Fano factors against firing rates, and the line of a random order.

    Parameters
    ----------
    units : pandas.DataFrame
        One row per unit, as `analyze` gives it: ``firing_rate``, ``n_windows`` and the
        Fano factor.
    unbiased : bool, default True
        Draw ``fano_factor_unbiased`` (variance over n - 1); else ``fano_factor``
        (variance over n, as Elephant has it).
    column : {"firing_rate", "firing_rate_hz"}, default "firing_rate"
        Rates along the axis: in spikes per bin, or in Hz.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib.axes.Axes
        One point per unit; hexagons where there are more than 3 000.

    Raises
    ------
    InputValueError
        If a column is missing.

    Notes
    -----
    A unit spikes at most once a bin, so its window counts have variance np(1 - p) and
    mean np when the order of the bins is random: F = 1 - p. The band holds 95 % of
    units then (chi-square with n_windows - 1 degrees of freedom, an approximation for
    frequent spikes; the dispersion test is exact).

    Examples
    --------
    >>> import pandas as pd
    >>> units = pd.DataFrame(
    ...     {
    ...         "firing_rate": [0.2, 0.5],
    ...         "fano_factor_unbiased": [0.81, 0.49],
    ...         "n_windows": [600, 600],
    ...     }
    ... )
    >>> plot_fano_factors(units).get_ylabel()
    'Fano factor (unbiased)'
    """
    one_of(column, tuple(_RATE_LABELS), "column")
    variability = "fano_factor_unbiased" if unbiased else "fano_factor"
    checked_table(units, ["firing_rate", column, variability, "n_windows"])
    valid = units[np.isfinite(units[variability].to_numpy(float))]
    fano = valid[variability].to_numpy(float)
    rate, per_bin = (valid[name].to_numpy(float) for name in (column, "firing_rate"))
    # Hz per spike in a bin; neurons spike in few bins, and would all lie at the edge.
    per = float(rate.max(initial=0) / max(per_bin.max(initial=0), 1e-12))
    right, chance = 1.0, "1 \u2212 rate: bins in random order"
    if column == "firing_rate_hz":
        right, chance = 1.1 * float(per_bin.max(initial=0)), "independent bins"
    with axes_or_new(ax) as axes:
        line = np.linspace(0, max(right, 1e-9), 101)
        n_windows = int(valid["n_windows"].median()) if len(valid) else 0
        if n_windows > 1:
            degrees = n_windows - 1
            # (n - 1) F / (1 - p) is nearly chi-square with n - 1 degrees of freedom.
            low, high = (stats.chi2.ppf(q, degrees) / degrees for q in (0.025, 0.975))
            axes.fill_between(
                line * per,
                low * (1 - line),
                high * (1 - line),
                color=MUTED,
                alpha=0.25,
                lw=0,
                label="95 % of units then",
            )
        axes.plot(
            line * per,
            1 - line,
            color=VERMILLION,
            lw=1.4,
            ls="--",
            label=chance,
        )
        axes.axhline(1, color=MUTED, lw=0.8, ls=":", label="Poisson process")
        note = f"{counted(len(valid), 'unit')}, {counted(n_windows, 'window')} each"
        if len(valid) > _MAX_POINTS:
            axes.hexbin(
                rate,
                fano,
                gridsize=60,
                bins="log",
                mincnt=1,
                cmap="Blues",
                lw=0,
                rasterized=True,
                zorder=3,
            )
            note += "; darker hexagons hold more units (log scale)"
        else:
            axes.scatter(
                rate, fano, s=12, color=BLUE, alpha=0.7, lw=0, zorder=3, label="unit"
            )
        if len(valid) < len(units):
            n_missing = grouped(len(units) - len(valid))
            note += f"; {n_missing} without a Fano factor not drawn"
        top = max(1.15, float(fano.max(initial=0)) * 1.05)
        axes.set(xlim=(0, line[-1] * per), ylim=(0, top), xlabel=_RATE_LABELS[column])
        axes.set_ylabel("Fano factor (unbiased)" if unbiased else "Fano factor")
        axes.legend(loc="lower left")
        add_note(axes, note)
    return axes


def checked_table(table: pd.DataFrame, columns: list[str], name: str = "units") -> None:
    """Raise unless `table` is a DataFrame with these columns."""
    if not isinstance(table, pd.DataFrame):
        hint = ", as analyze() gives it" if name == "units" else ""
        raise InputTypeError(
            f"{name} must be a table of {name}{hint}, got {type(table).__name__}"
        )
    missing = [column for column in columns if column not in table]
    if missing:
        have = ", ".join(map(str, table.columns[:12]))
        raise InputValueError(
            f"the table of {name} lacks the column {missing[0]!r}; it has {have}"
        )
