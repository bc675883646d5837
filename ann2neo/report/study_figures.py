"""Figures of many networks: against the generalization gap, by width, in training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.ticker import MaxNLocator

from ann2neo.errors import InputValueError
from ann2neo.report.rate_figures import checked_table
from ann2neo.report.style import (
    BLUE,
    CYCLE,
    INK,
    add_note,
    axes_or_new,
    group_styles,
    grouped,
)

__all__ = [
    "indicator_label",
    "plot_indicator_against_gap",
    "plot_indicator_by_width",
    "plot_place",
    "plot_training",
]

_BOX = (0.15, 0.23, 0.81, 0.62)
_LABELS: Mapping[str, str] = {
    "mean_firing_rate": "Mean firing rate (spikes per bin)",
    "cv_firing_rate_percent": "CV of firing rates (%)",
    "mean_fano_factor": "Mean Fano factor",
    "cv_fano_factor_percent": "CV of Fano factors (%)",
    "mean_dispersion": "Mean dispersion",
    "silent_share": "Share of silent units",
}


def plot_indicator_against_gap(
    results: pd.DataFrame,
    indicator: str = "mean_firing_rate",
    *,
    split: str = "test",
    ax: Any | None = None,
) -> Any:
    """Draw an indicator against the generalization gap, one point per trained network.

    Parameters
    ----------
    results : pandas.DataFrame
        One row per network and split: ``condition``, ``split``, ``accuracy_train``,
        ``accuracy_validation`` (shares) and the columns of `summarize`.
    indicator : str, default "mean_firing_rate"
        Column to draw.
    split : str, default "test"
        Samples on which the network was recorded.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib.axes.Axes
        A marker and a colour per condition; the gap is the training accuracy minus the
        validation accuracy, on the labels the network was trained with.

    Raises
    ------
    InputValueError
        If a column is missing or no network was recorded on `split`.

    Examples
    --------
    >>> rows = pd.DataFrame(
    ...     {
    ...         "condition": ["random", "generalizing"],
    ...         "split": "test",
    ...         "accuracy_train": [0.1, 1.0],
    ...         "accuracy_validation": [0.1, 0.9],
    ...         "mean_firing_rate": [0.5, 0.4],
    ...     }
    ... )
    >>> plot_indicator_against_gap(rows).get_xlabel()
    'Generalization gap (training - validation accuracy)'
    """
    rows = _rows(
        results,
        ["condition", "split", "accuracy_train", "accuracy_validation", indicator],
        split,
    )
    gap = (rows["accuracy_train"] - rows["accuracy_validation"]).to_numpy(float)
    with axes_or_new(ax, 4.6, 3.6, _BOX) as axes:
        for condition, part, colour, marker in _conditions(rows):
            axes.scatter(
                gap[part],
                rows[indicator].to_numpy(float)[part],
                s=26,
                color=colour,
                marker=marker,
                alpha=0.8,
                lw=0,
                label=condition,
            )
        axes.set(
            xlabel="Generalization gap (training - validation accuracy)",
            ylabel=indicator_label(indicator),
        )
        axes.grid(visible=True)
        axes.margins(y=0.12)
        _legend_above(axes)
        add_note(
            axes,
            f"{grouped(len(rows))} networks, recorded on {split} samples; one point"
            " each",
        )
    return axes


def plot_indicator_by_width(
    results: pd.DataFrame,
    indicator: str = "mean_firing_rate",
    *,
    split: str = "test",
    ax: Any | None = None,
) -> Any:
    """Draw an indicator by the width of the observed layer, one point per network.

    Parameters
    ----------
    results : pandas.DataFrame
        One row per network and split, with ``condition``, ``split``, ``width`` and the
        columns of `summarize`.
    indicator, split, ax
        As in `plot_indicator_against_gap`.

    Returns
    -------
    matplotlib.axes.Axes
        Points of each condition, and a line through the means of each width: one for
        every network and data set that the columns ``network`` and ``dataset`` tell, so
        that no line joins different experiments.

    Raises
    ------
    InputValueError
        If a column is missing or no network was recorded on `split`.

    Examples
    --------
    >>> rows = pd.DataFrame(
    ...     {
    ...         "condition": "random",
    ...         "split": "test",
    ...         "width": [64, 128],
    ...         "mean_firing_rate": 0.5,
    ...     }
    ... )
    >>> [text.get_text() for text in plot_indicator_by_width(rows).get_xticklabels()]
    ['64', '128']
    """
    rows = _rows(results, ["condition", "split", "width", indicator], split)
    widths = np.unique(rows["width"].to_numpy())
    # Widths as categories, evenly spaced whatever their ratio.
    place = np.searchsorted(widths, rows["width"].to_numpy()).astype(float)
    values = rows[indicator].to_numpy(float)
    conditions = _conditions(rows)
    names = [name for name in ("network", "dataset") if name in rows]
    experiments = (
        rows.groupby(names).ngroup().to_numpy() if names else np.zeros(len(rows))
    )
    with axes_or_new(ax, 4.6, 3.6, _BOX) as axes:
        for position, (condition, part, colour, marker) in enumerate(conditions):
            beside = 0.08 * (position - (len(conditions) - 1) / 2)
            axes.scatter(
                place[part] + beside,
                values[part],
                s=22,
                color=colour,
                marker=marker,
                alpha=0.75,
                lw=0,
                label=condition,
            )
            for of in np.unique(experiments[part]):
                seen = np.unique(place[part & (experiments == of)])
                means = [
                    values[part & (experiments == of) & (place == here)].mean()
                    for here in seen
                ]
                axes.plot(seen + beside, means, color=colour, lw=1)
        axes.set_xticks(range(len(widths)), [str(width) for width in widths])
        axes.set(
            xlim=(-0.6, len(widths) - 0.4),
            xlabel="Width of the observed layer (units)",
            ylabel=indicator_label(indicator),
        )
        axes.grid(visible=True, axis="y")
        axes.margins(y=0.12)
        _legend_above(axes)
        joined = (
            "; lines join means of one network and data set"
            if names
            else "; lines join the means"
        )
        add_note(
            axes, f"{grouped(len(rows))} networks, recorded on {split} samples{joined}"
        )
    return axes


def plot_training(
    curve: pd.DataFrame,
    column: str = "mean_firing_rate",
    *,
    change_points: Mapping[str, float] | None = None,
    ax: Any | None = None,
) -> Any:
    """Draw a spike statistic during training, and where labels switch.

    Parameters
    ----------
    curve : pandas.DataFrame
        `SpikeMonitor.history`, or several of them one below another: ``epoch``,
        ``batch``, ``split``, optionally ``layer`` and ``labels``, whose changes are
        marked. Without ``batch``, epochs may be fractions and are drawn to scale.
    column : str, default "mean_firing_rate"
        What to draw.
    change_points : mapping of str to float, optional
        Steps at which a change was found, under the names they shall have in the
        legend.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib.axes.Axes
        One line per split (and layer) over the recordings in order; dotted where the
        labels switch, dashed at change points.

    Raises
    ------
    InputValueError
        If a column is missing.

    Examples
    --------
    >>> curve = pd.DataFrame(
    ...     {
    ...         "epoch": [0, 1, 2],
    ...         "batch": -1,
    ...         "split": "train",
    ...         "mean_firing_rate": [0.5, 0.4, 0.4],
    ...     }
    ... )
    >>> plot_training(curve).get_xlabel()
    'Epoch'
    """
    checked_table(curve, ["epoch", "split", column], "curve")
    by = (
        ["split", "layer"]
        if "layer" in curve and len(set(curve["layer"])) > 1
        else ["split"]
    )
    batches = "batch" in curve and bool((curve["batch"] >= 0).any())
    switches: set[float] = set()
    with axes_or_new(ax) as axes:
        for position, (key, part) in enumerate(curve.groupby(by, sort=False)):
            steps = np.arange(1, len(part) + 1)
            if "batch" not in curve:
                steps = part["epoch"].to_numpy()
            axes.plot(
                steps,
                part[column],
                color=CYCLE[position % len(CYCLE)],
                # Colour alone never carries meaning.
                ls=("-", "--", "-.", ":")[position % 4],
                lw=1.2,
                label=", ".join(map(str, key)),
            )
            if "labels" in part:
                labels = part["labels"].to_numpy()
                before = np.flatnonzero(labels[1:] != labels[:-1])
                switches |= set((steps[before] + steps[before + 1]) / 2)
        for number, switch in enumerate(sorted(switches)):
            axes.axvline(
                switch,
                color=INK,
                lw=1.2,
                ls=":",
                label="labels switch" if number == 0 else None,
            )
        for number, (name, step) in enumerate((change_points or {}).items()):
            axes.axvline(
                # Steps count from 0, recordings from 1: the change is just before the
                # recording step + 1.
                step + 0.5,
                color=CYCLE[(number + 2) % len(CYCLE)],
                lw=1.2,
                ls="--",
                label=name,
            )
        axes.set(xlabel="Batch" if batches else "Epoch", ylabel=indicator_label(column))
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.margins(x=0.01, y=0.15)
        axes.legend(loc="best", fontsize=7.5)
        if "batch" in curve:
            n_drawn = len(curve) // max(curve.groupby(by).ngroups, 1)
            every = "batch" if batches else "epoch"
            note = f"{grouped(n_drawn)} recordings of each probe set, one after every"
            add_note(axes, f"{note} {every}")
    return axes


def plot_place(
    value: float,
    results: pd.DataFrame,
    indicator: str = "mean_firing_rate",
    *,
    split: str = "test",
    name: str = "this network",
    ax: Any | None = None,
) -> Any:
    """Draw where a network lies among reference networks: ranges and points, no label.

    Parameters
    ----------
    value : float
        The network's own indicator, as `summarize` gives it.
    results : pandas.DataFrame
        Reference networks, one row per network and split, with ``condition``, ``split``
        and the columns of `summarize`.
    indicator, split, ax
        As in `plot_indicator_against_gap`.
    name : str, default "this network"
        What to call the network.

    Returns
    -------
    matplotlib.axes.Axes
        The range and every network of each condition, and a line at `value`.

    Raises
    ------
    InputValueError
        If a column is missing, no network was recorded on `split`, or `value` is not
        finite.

    Notes
    -----
    Ranges of other architectures and data sets overlap and differ: lying in one of them
    is no evidence of having been trained that way.

    Examples
    --------
    >>> rows = pd.DataFrame(
    ...     {
    ...         "condition": ["random", "random"],
    ...         "split": "test",
    ...         "mean_firing_rate": [0.4, 0.6],
    ...     }
    ... )
    >>> ax = plot_place(0.5, rows)
    >>> [text.get_text() for text in ax.get_yticklabels()]
    ['random (2)']
    """
    if not np.isfinite(value):
        raise InputValueError(
            f"value must be a finite number, got {value}; this network has no"
            f" {indicator}"
        )
    rows = _rows(results, ["condition", "split", indicator], split)
    values = rows[indicator].to_numpy(float)
    known = np.isfinite(values)
    conditions = _conditions(rows)
    height = 1.2 + 0.32 * len(conditions)
    with axes_or_new(
        ax, 4.6, height, (0.32, 0.75 / height, 0.64, 1 - 1.0 / height)
    ) as axes:
        for position, (_, of_condition, colour, marker) in enumerate(conditions):
            part = of_condition & known
            if part.any():
                axes.plot(
                    [values[part].min(), values[part].max()],
                    [position] * 2,
                    color=colour,
                    lw=6,
                    alpha=0.25,
                )
            rows_at = np.full(part.sum(), position)
            axes.scatter(
                values[part],
                rows_at,
                s=18,
                color=colour,
                marker=marker,
                lw=0,
                alpha=0.8,
            )
        axes.axvline(value, color=BLUE, lw=1.6, label=f"{name}: {value:.3f}")
        axes.set_yticks(
            range(len(conditions)),
            [
                f"{name_} ({int((part & known).sum())})"
                for name_, part, *_ in conditions
            ],
        )
        axes.set(ylim=(len(conditions) - 0.5, -0.5), xlabel=indicator_label(indicator))
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.legend(
            loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0, fontsize=8
        )
        add_note(
            axes,
            f"{grouped(len(rows))} networks, {split} samples; a place, not a verdict",
        )
    return axes


def _legend_above(axes: Any) -> None:
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(-0.02, 1.0),
        ncols=3,
        columnspacing=1,
        handletextpad=0.3,
        fontsize=7,
    )


def indicator_label(column: str) -> str:
    """Words and unit for an axis."""
    return _LABELS.get(column, column.replace("_", " "))


def _rows(results: pd.DataFrame, columns: list[str], split: str) -> pd.DataFrame:
    checked_table(results, columns, "results")
    rows = results[results["split"] == split].reset_index(drop=True)
    if rows.empty:
        have = ", ".join(map(str, pd.unique(results["split"])))
        raise InputValueError(
            f"no network was recorded on split {split!r}; there are {have or 'none'}"
        )
    return rows


def _conditions(
    rows: pd.DataFrame,
) -> list[tuple[str, npt.NDArray[np.bool_], str, str]]:
    """Name, rows, colour and marker of each condition, in order of appearance."""
    conditions = rows["condition"].astype(str)
    styles = group_styles(conditions)
    return [
        (name, (conditions == name).to_numpy(), *styles[name])
        for name in conditions.unique()
    ]
