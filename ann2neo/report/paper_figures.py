"""Figures of the paper's rerun: the law of the Fano factor, ours beside theirs, areas
of indicators, label switches.
"""

from __future__ import annotations

import math
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ann2neo.errors import InputValueError
from ann2neo.report.rate_figures import checked_table
from ann2neo.report.style import (
    BLUE,
    INK,
    MUTED,
    STYLE,
    VERMILLION,
    add_note,
    axes_or_new,
    condition_style,
    grouped,
)

__all__ = ["plot_areas", "plot_beside_paper", "plot_law", "plot_switches"]


def plot_law(ours: pd.DataFrame, paper: pd.DataFrame, ax: Any | None = None) -> Any:
    """Draw mean Fano factors against mean firing rates, of a study and of the paper,
    with the law of shuffled trains.

    Parameters
    ----------
    ours : pandas.DataFrame
        ``mean_firing_rate, mean_fano_factor``, a row per network and split.
    paper : pandas.DataFrame
        The same of the paper, with ``doubt``, empty where nothing speaks against a
        cell.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib.axes.Axes
        Points, doubtful ones crossed, and the line 1 - rate.

    Raises
    ------
    InputValueError
        If a column is missing.

    Examples
    --------
    >>> rows = pd.DataFrame(
    ...     {
    ...         "mean_firing_rate": [0.2, 0.6],
    ...         "mean_fano_factor": [0.8, 0.4],
    ...         "doubt": ["", "odd"],
    ...     }
    ... )
    >>> [text.get_text() for text in plot_law(rows, rows).get_legend().get_texts()]
    ['1 - rate', 'paper (1)', 'paper, doubtful (1)', 'ours (2)']
    """
    checked_table(ours, ["mean_firing_rate", "mean_fano_factor"], "ours")
    checked_table(paper, ["mean_firing_rate", "mean_fano_factor", "doubt"], "paper")
    doubtful = (paper["doubt"] != "").to_numpy()
    with axes_or_new(ax, 4.6, 3.8, (0.13, 0.2, 0.83, 0.76)) as axes:
        axes.plot([0, 1], [1, 0], color=MUTED, lw=1, label="1 - rate")
        for label, rows, style in (
            (
                "paper",
                paper[~doubtful],
                {"marker": "o", "s": 18, "color": VERMILLION, "alpha": 0.45, "lw": 0},
            ),
            (
                "paper, doubtful",
                paper[doubtful],
                {"marker": "x", "s": 26, "color": INK, "lw": 1},
            ),
            ("ours", ours, {"marker": "o", "s": 14, "color": BLUE, "lw": 0}),
        ):
            known = rows[["mean_firing_rate", "mean_fano_factor"]].dropna()
            axes.scatter(
                *known.to_numpy(float).T,
                label=f"{label} ({grouped(len(known))})",
                **style,
            )
        axes.set(
            xlim=(0, 1),
            ylim=(0, 1.03),
            xlabel="Mean firing rate (spikes per bin)",
            ylabel="Mean Fano factor",
        )
        axes.grid(visible=True)
        axes.legend(loc="upper right")
        add_note(
            axes,
            "One point per network and samples; crossed: cells that contradict the"
            " paper itself",
        )
    return axes


def plot_beside_paper(table: pd.DataFrame, ax: Any | None = None) -> Any:
    """Draw our numbers against the paper's, a point per cell.

    Parameters
    ----------
    table : pandas.DataFrame
        ``condition, ours, paper, doubt``, mean firing rates.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib.axes.Axes
        A marker and a colour per condition, doubtful cells crossed, the diagonal and
        0.10 on either side of it.

    Raises
    ------
    InputValueError
        If a column is missing.

    Examples
    --------
    >>> table = pd.DataFrame(
    ...     {"condition": ["random"], "ours": [0.5], "paper": [0.45], "doubt": [""]}
    ... )
    >>> plot_beside_paper(table).get_xlabel()
    "The paper's mean firing rate"
    """
    checked_table(table, ["condition", "ours", "paper", "doubt"], "table")
    with axes_or_new(ax, 4.6, 4.1, (0.13, 0.18, 0.83, 0.69)) as axes:
        axes.fill_between(
            [0, 1], [-0.1, 0.9], [0.1, 1.1], color=MUTED, alpha=0.12, lw=0
        )
        axes.plot([0, 1], [0, 1], color=MUTED, lw=1)
        for position, (condition, part) in enumerate(
            table.groupby("condition", sort=False)
        ):
            colour, marker = condition_style(str(condition), position)
            axes.scatter(
                part["paper"],
                part["ours"],
                s=24,
                color=colour,
                marker=marker,
                alpha=0.8,
                lw=0,
                label=condition,
            )
        doubtful = table[table["doubt"] != ""]
        if len(doubtful):
            axes.scatter(
                doubtful["paper"],
                doubtful["ours"],
                s=40,
                color=INK,
                marker="x",
                lw=1,
                label="doubtful",
            )
        axes.set(
            xlim=(0, 1),
            ylim=(0, 1),
            xlabel="The paper's mean firing rate",
            ylabel="Our mean firing rate",
        )
        axes.grid(visible=True)
        axes.legend(
            loc="lower left",
            bbox_to_anchor=(-0.02, 1.0),
            ncols=3,
            columnspacing=1,
            handletextpad=0.3,
        )
        add_note(
            axes,
            f"{grouped(len(table))} cells, ours means over seeds; shaded: within 0.10",
        )
    return axes


def plot_areas(areas: pd.DataFrame, ax: Any | None = None) -> Any:
    """Draw how well statistics tell two kinds of networks apart: areas under the ROC
    curve with intervals.

    Parameters
    ----------
    areas : pandas.DataFrame
        ``statistic, auc, low, high``, a row per statistic, the first on top; NaN ends
        draw no interval. Where there are ``joint_low`` and ``joint_high``, which hold
        for all rows at once, these decide what is drawn as useful.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib.axes.Axes
        A point and a line per statistic, and one half, where a statistic is of no use.

    Raises
    ------
    InputValueError
        If a column is missing.

    Examples
    --------
    >>> areas = pd.DataFrame(
    ...     {
    ...         "statistic": ["mean_firing_rate"],
    ...         "auc": [0.1],
    ...         "low": [0.0],
    ...         "high": [0.4],
    ...     }
    ... )
    >>> [text.get_text() for text in plot_areas(areas).get_yticklabels()]
    ['mean firing rate']
    """
    checked_table(areas, ["statistic", "auc", "low", "high"], "areas")
    height = 1.1 + 0.21 * len(areas)
    with axes_or_new(
        ax, 5.6, height, (0.36, 0.8 / height, 0.6, 1 - 0.9 / height)
    ) as axes:
        axes.axvline(0.5, color=MUTED, lw=1, ls="--")
        for place, row in enumerate(areas.to_dict("records")):
            useful = (
                row.get("joint_low", row["low"]) > 0.5
                or row.get("joint_high", row["high"]) < 0.5
            )
            axes.plot(
                [row["low"], row["high"]],
                [place, place],
                color=BLUE if useful else MUTED,
                lw=2,
                alpha=0.5,
            )
            axes.plot(row["auc"], place, "o", color=BLUE if useful else MUTED, ms=4.5)
        axes.set_yticks(
            range(len(areas)),
            [str(name).replace("_", " ") for name in areas["statistic"]],
        )
        axes.tick_params(axis="y", length=0)
        axes.set(
            xlim=(-0.02, 1.02),
            ylim=(len(areas) - 0.4, -0.6),
            xlabel="Probability that a memorizing network has the larger value",
        )
        axes.grid(visible=True, axis="x")
        joint = ", all looked at together" if "joint_low" in areas else ""
        add_note(axes, f"Lines: 95 % intervals; grey: not shown to be of use{joint}")
    return axes


def plot_switches(curves: pd.DataFrame) -> Figure:
    """Draw mean firing rates over trainings whose labels switch from true to random, a
    panel per network and data set.

    Parameters
    ----------
    curves : pandas.DataFrame
        ``dataset, network, width, retrain, seed, split, labels, epoch,
        mean_firing_rate``.

    Returns
    -------
    matplotlib.figure.Figure
        Lines of both splits, one a seed, dotted where labels switch.

    Raises
    ------
    InputValueError
        If a column is missing, or there is no curve.
    """
    by = ["dataset", "network", "width", "retrain"]
    checked_table(
        curves, [*by, "seed", "split", "labels", "epoch", "mean_firing_rate"], "curves"
    )
    panels = list(curves.groupby(by, sort=True))
    if not panels:
        raise InputValueError("curves must hold at least one training, got none")
    with mpl.rc_context(dict(STYLE)):
        n_columns = min(2, len(panels))
        n_rows = math.ceil(len(panels) / n_columns)
        figure = Figure(figsize=(4.6 * n_columns, 2.9 * n_rows), layout="constrained")
        grid = np.atleast_1d(figure.subplots(n_rows, n_columns, squeeze=False)).ravel()
        for axes, ((dataset, network, width, retrain), panel) in zip(
            grid, panels, strict=False
        ):
            drawn = set()
            for (split, _), part in panel.groupby(["split", "seed"]):
                colour = {"train": BLUE}.get(str(split), VERMILLION)
                label = {"train": "training samples"}.get(str(split), "test samples")
                axes.plot(
                    part["epoch"],
                    part["mean_firing_rate"],
                    color=colour,
                    lw=1,
                    label=label if label not in drawn else None,
                )
                drawn.add(label)
            switch = panel.loc[panel["labels"] == "true", "epoch"].max()
            axes.axvline(
                switch + 0.05, color=INK, lw=1.2, ls=":", label="labels switch"
            )
            axes.set(
                title=(
                    f"{network} of width {width}, {dataset} (random labels train"
                    f" {retrain})"
                ),
                xlabel="Epoch",
                ylabel="Mean firing rate",
            )
            axes.grid(visible=True)
            axes.legend(loc="best")
        for axes in grid[len(panels) :]:
            axes.remove()
    return figure
