"""Figures of two recordings of the same stimuli: dissimilarities, ceiling, tuning."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ann2neo._checks import names_of
from ann2neo.analysis._entry import FloatArray, IntArray
from ann2neo.analysis.populations.dissimilarities import Dissimilarities
from ann2neo.analysis.populations.responses import (
    Responses,
    matched,
    option_of_each,
    responses_of,
)
from ann2neo.errors import InputTypeError, InputValueError
from ann2neo.recording import Recording
from ann2neo.recording.tables import unit_names
from ann2neo.report.style import (
    BLUE,
    GRID,
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

__all__ = ["plot_dissimilarities", "plot_matched_tuning", "plot_similarity"]

_MAX_ITEMS = 400
_MAX_PANELS = 4


def plot_dissimilarities(
    *dissimilarities: Dissimilarities,
    names: Sequence[str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw matrices of dissimilarities side by side, items in one order.

    Parameters
    ----------
    *dissimilarities : Dissimilarities
        One to four, as `ann2neo.dissimilarities` returns them. Items that all of them
        have are drawn.
    names : sequence of str, optional
        What is written above each; "1", "2", .. if not given.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib.axes.Axes
        One matrix per recording, items sorted by label where there are labels. Colours
        are ranks of the dissimilarities, which RSA compares: light pairs are alike.

    Raises
    ------
    InputTypeError, InputValueError
        If there are none or more than four, one is something else, they share no two
        items, or the number of names differs.

    Examples
    --------
    >>> from ann2neo import Recording, dissimilarities
    >>> recording = Recording.from_activations(
    ...     np.eye(4), stimulus_id=range(4), labels=["a", "b", "a", "b"]
    ... )
    >>> ax = plot_dissimilarities(dissimilarities(recording, "hamming"))
    >>> [text.get_text() for text in ax.child_axes[0].get_xticklabels()]
    ['a', 'b']
    """
    n = len(dissimilarities)
    if not 1 <= n <= _MAX_PANELS:
        raise InputValueError(
            f"plot_dissimilarities draws one to {_MAX_PANELS} matrices, got {n}"
        )
    for one in dissimilarities:
        if not isinstance(one, Dissimilarities):
            raise InputTypeError(
                "plot_dissimilarities needs what ann2neo.dissimilarities returns, got"
                f" {type(one).__name__}"
            )
    titles = [str(number + 1) for number in range(n)]
    if names is not None:
        titles = names_of(names, "names")
    if len(titles) != n:
        raise InputValueError(f"names must be {n} names, one per matrix, got {titles}")
    items, labels = _shared_items(dissimilarities)
    n_shared = len(items[0])
    chosen = np.linspace(0, n_shared - 1, min(n_shared, _MAX_ITEMS)).astype(np.int64)
    shown = None if labels is None else labels[chosen]
    width = 2.3 * n + 0.5
    with axes_or_new(
        ax, width, 3.1, (0.5 / width, 0.24, 1 - 0.7 / width, 0.66)
    ) as axes:
        axes.set_axis_off()
        for panel, (one, own, title) in enumerate(
            zip(dissimilarities, items, titles, strict=True)
        ):
            inside = axes.inset_axes((panel / n, 0, 0.9 / n, 1))
            matrix = _ranks(one.matrix()[np.ix_(own[chosen], own[chosen])])
            inside.imshow(matrix, cmap="viridis_r", vmin=0, vmax=1, aspect="equal")
            inside.set_title(title, fontsize=9)
            inside.set_anchor("NW")
            _mark_labels(inside, shown, left=panel == 0)
        measures = list(dict.fromkeys(one.measure for one in dissimilarities))
        note = (
            f"{', '.join(measures)}; ranks of the dissimilarities of"
            f" {grouped(len(chosen))} items, light: alike"
        )
        if len(chosen) < n_shared:
            note += f"; evenly spaced, of {grouped(n_shared)}"
        note += ", sorted by label" if shown is not None else ""
        left_out = [one.n_items - n_shared for one in dissimilarities]
        if any(left_out):
            note += f"; not shared: {', '.join(map(grouped, left_out))}"
        add_note(axes, note)
    return axes


def _shared_items(
    dissimilarities: Sequence[Dissimilarities],
) -> tuple[list[IntArray], npt.NDArray[Any] | None]:
    """Return the items that all have, for each in one order, and their labels."""
    names = [pd.Index(one.names) for one in dissimilarities]
    shared = names[0]
    for other in names[1:]:
        shared = shared[shared.isin(other)]
    if len(shared) < 2:
        raise InputValueError(
            f"the matrices share {len(shared)} items, and two are needed; name what was"
            " shown alike in all recordings"
        )
    labelled = [i for i, one in enumerate(dissimilarities) if one.labels is not None]
    labels = None
    if labelled:
        one = dissimilarities[labelled[0]]
        labels = np.asarray(one.labels)[names[labelled[0]].get_indexer(shared)]
        order = np.argsort(labels.astype(str), kind="stable")
        if labels.dtype.kind in "iuf":
            order = np.argsort(labels, kind="stable")
        shared, labels = shared[order], labels[order]
    return [index.get_indexer(shared) for index in names], labels


def _ranks(matrix: FloatArray) -> FloatArray:
    """Return the share of pairs that are at most as dissimilar; NaN as it is."""
    from scipy.stats import rankdata

    rows, columns = np.triu_indices(len(matrix), 1)
    pairs = matrix[rows, columns]
    ranks = np.full(len(pairs), np.nan)
    known = ~np.isnan(pairs)
    ranks[known] = rankdata(np.round(pairs[known], 12)) / max(1, known.sum())
    result = np.zeros(matrix.shape)
    result[rows, columns] = result[columns, rows] = ranks
    return result


def _mark_labels(axes: Axes, labels: npt.NDArray[Any] | None, *, left: bool) -> None:
    """Name the stretches of items of one label, or number the items."""
    axes.tick_params(length=0, labelsize=7)
    if labels is None:
        axes.tick_params(labelleft=left)
        return
    starts = np.flatnonzero(np.append(True, labels[1:] != labels[:-1]))
    stops = np.append(starts[1:], len(labels))
    for edge in starts[1:]:
        for line in (axes.axhline, axes.axvline):
            line(edge - 0.5, color="white", lw=0.5)
    middles = (starts + stops - 1) / 2
    texts = [str(labels[start])[:8] for start in starts]
    every = -(-len(texts) // 12)
    axes.set_xticks(middles[::every], texts[::every])
    axes.set_yticks(middles[::every], texts[::every] if left else [])
    crowded = max(map(len, texts)) > 2 and len(texts) > 4
    axes.tick_params(axis="x", rotation=90 if crowded else 0)


def plot_similarity(
    table: pd.DataFrame, *, by: str | None = None, ax: Axes | None = None
) -> Axes:
    """Draw similarities with their intervals, null distributions and noise ceilings.

    Parameters
    ----------
    table : pandas.DataFrame
        Rows of `ann2neo.similarity`; of several pairs of recordings, joined with
        `pandas.concat` and a column that names them.
    by : str, optional
        Column that names the pairs, such as "layer"; the table is of one pair if not
        given.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib.axes.Axes
        One group per pair, in it one point per measure: the similarity with its 95 %
        interval, a bar up to the noise ceiling, and in grey what 95 % of the
        permutations give. Rows without a similarity are left out and counted.

    Raises
    ------
    InputTypeError, InputValueError
        If it is no table of `similarity`, lacks the column `by`, or has no similarity.

    Examples
    --------
    >>> from ann2neo import Recording, similarity
    >>> recording = Recording.from_activations(
    ...     np.random.default_rng(0).normal(size=(12, 20)), stimulus_id=range(12)
    ... )
    >>> ax = plot_similarity(similarity(recording, recording, n_permutations=9))
    >>> ax.get_ylabel()
    'Similarity'
    """
    needed = {"measure", "similarity", "low", "high", "ceiling", "null_std"}
    if needed - set(getattr(table, "columns", ())):
        raise InputTypeError(
            "plot_similarity needs the table that ann2neo.similarity returns, got"
            f" {type(table).__name__}"
        )
    if by is not None and by not in table:
        raise InputValueError(
            f"by must be a column of the table, got {by!r}; add it with table.assign"
        )
    rows = table[table["similarity"].notna()]
    if not len(rows):
        raise InputValueError(
            "no row of the table has a similarity; its column reason says why"
        )
    groups = [""] * len(rows) if by is None else rows[by].astype(str).to_list()
    names = list(dict.fromkeys(groups))
    measures = list(dict.fromkeys(rows["measure"]))
    styles = group_styles(measures)
    step = 0.6 / len(measures)
    with axes_or_new(
        ax, max(4.6, 1.4 + 0.8 * len(names)), 3.4, (0.13, 0.24, 0.83, 0.66)
    ) as axes:
        for number, row in enumerate(rows.to_dict("records")):
            place = names.index(groups[number])
            x = place + step * (
                measures.index(row["measure"]) - (len(measures) - 1) / 2
            )
            colour, marker = styles[row["measure"]]
            band = 1.96 * row["null_std"]
            axes.bar(x, 2 * band, 0.8 * step, -band, color=GRID, lw=0)
            if np.isfinite(row["ceiling"]):
                axes.hlines(
                    row["ceiling"], x - 0.4 * step, x + 0.4 * step, color=INK, lw=1.6
                )
            if np.isfinite(row["low"]):
                axes.vlines(x, row["low"], row["high"], color=colour, lw=1.4)
            axes.plot(x, row["similarity"], marker, color=colour, ms=5)
        for measure in measures:
            colour, marker = styles[measure]
            axes.plot([], [], marker, color=colour, ms=5, label=measure)
        if rows["ceiling"].notna().any():
            axes.plot([], [], "-", color=INK, lw=1.6, label="noise ceiling")
        axes.axhline(0, color=MUTED, lw=0.6)
        axes.set(ylabel="Similarity", xlim=(-0.6, len(names) - 0.4))
        axes.set_xticks(range(len(names)), [textwrap.fill(name, 12) for name in names])
        axes.tick_params(axis="x", length=0)
        axes.set_ylim(min(-0.05, axes.get_ylim()[0]), max(1.02, axes.get_ylim()[1]))
        axes.legend(loc="upper left", bbox_to_anchor=(0, 1.12), ncols=3, fontsize=7.5)
        note = "lines: 95 % intervals over stimuli; grey: 95 % of the permutations"
        n_missing = len(table) - len(rows)
        if n_missing:
            note += f"; {counted(n_missing, 'row')} without a similarity left out"
        add_note(axes, note)
    return axes


def plot_matched_tuning(
    first: Recording,
    second: Recording,
    *,
    n_pairs: int = 6,
    phase: str | tuple[str, str] | None = None,
    kind: str | tuple[str, str] | None = None,
    names: Sequence[str] = ("first", "second"),
    ax: Axes | None = None,
) -> Axes:
    """Draw the tuning of units of one recording beside the units most like them.

    Parameters
    ----------
    first, second : Recording
        Two recordings with labels, such as neurons and a network.
    n_pairs : int, default 6
        Units of the first recording to draw: those that are matched best.
    phase, kind : str or tuple of two str, optional
        Phase, and kind of presentations, of both recordings or of each.
    names : sequence of two str, default ("first", "second")
        Names of the recordings in the legend.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib.axes.Axes
        One panel per unit of the first recording: its mean response to each label, and
        that of the unit of the second whose tuning correlates with it most, each from
        its smallest to its largest. Pairs are chosen by half of the presentations of
        each label; the correlation r above a panel is that of the other half, so that a
        choice among many units does not make it large.

    Raises
    ------
    InputTypeError, InputValueError
        If an argument is no recording, has no labels, they share fewer than three
        labels with two presentations each, or no unit of one of them is tuned.

    Examples
    --------
    >>> from ann2neo.testing import make_recording
    >>> rates = [[0.9, 0.1, 0.5], [0.1, 0.9, 0.3], [0.2, 0.5, 0.9]]
    >>> ax = plot_matched_tuning(
    ...     make_recording(n_units=3, rate=rates, labels=3),
    ...     make_recording(n_units=3, rate=rates[::-1], labels=3, seed=1),
    ... )
    >>> len(ax.child_axes)
    3
    """
    phases, kinds = option_of_each(phase, "phase"), option_of_each(kind, "kind")
    sides = [
        responses_of(one, "label", phases[i], kinds[i], "plot_matched_tuning")[0]
        for i, one in enumerate((first, second))
    ]
    pair = matched(sides[0], sides[1], "plot_matched_tuning", at_least=3)
    shared = np.flatnonzero((pair[0].repeats > 1) & (pair[1].repeats > 1))
    if len(shared) < 3:
        raise InputValueError(
            "plot_matched_tuning needs three labels with two presentations each in both"
            f" recordings, and there are {len(shared)}"
        )
    pair = pair[0].keep(shared), pair[1].keep(shared)
    rng = np.random.default_rng(0)
    halves = [one.halves(rng) for one in pair]
    chosen, check = (
        _correlations(*(_tuning(side[half]) for side in halves)) for half in (0, 1)
    )
    known = np.where(np.isnan(chosen), -2.0, chosen)
    partner = known.argmax(axis=1)
    best = known.max(axis=1)
    order = [int(i) for i in np.argsort(-best, kind="stable") if best[i] > -2][:n_pairs]
    if not order:
        raise InputValueError(
            "no unit of one recording responds differently to different labels"
        )
    tunings = [_tuning(one) for one in pair]
    texts = [unit_names(one.units) for one in (first, second)]
    labels = [str(name)[:8] for name in pair[0].names]
    columns = min(3, len(order))
    lines = -(-len(order) // columns)
    height = 1.6 * lines
    box = (0.08, 0.75 / (height + 1.1), 0.9, height / (height + 1.1))
    with axes_or_new(ax, 2.1 * columns + 0.7, height + 1.1, box) as axes:
        axes.set_axis_off()
        for number, unit in enumerate(order):
            left, top = number % columns, number // columns
            inside = axes.inset_axes(
                (
                    left / columns,
                    1 - (top + 0.82) / lines,
                    0.86 / columns,
                    0.62 / lines,
                )
            )
            units = (unit, int(partner[unit]))
            for side, (colour, marker) in enumerate(((BLUE, "o"), (VERMILLION, "s"))):
                inside.plot(
                    _from_0_to_1(tunings[side][:, units[side]]),
                    f"-{marker}",
                    color=colour,
                    ms=3,
                    lw=1.1,
                )
            inside.set_title(
                f"{texts[0][units[0]][:18]} · {texts[1][units[1]][:18]}\n"
                f"r = {check[unit, units[1]]:.2f}",
                fontsize=6.5,
                fontweight="normal",
            )
            every = -(-len(labels) // 10)
            inside.set_xticks(range(0, len(labels), every), labels[::every])
            inside.set_yticks([0, 1], ["min", "max"] if not left else [])
            inside.tick_params(labelsize=6.5, length=2)
        for name, colour, marker in zip(
            names, (BLUE, VERMILLION), ("o", "s"), strict=True
        ):
            axes.plot([], [], f"-{marker}", color=colour, ms=3, label=str(name))
        axes.legend(loc="lower left", bbox_to_anchor=(0, 0.98), ncols=2, fontsize=7.5)
        add_note(
            axes,
            "mean response to each label; pairs are chosen by half of the"
            " presentations, r is that of the other half",
        )
    return axes


def _tuning(responses: Responses) -> FloatArray:
    """Return mean spikes per presentation, shape (n_labels, n_units)."""
    return responses.totals() / responses.repeats[:, None]


def _correlations(one: FloatArray, other: FloatArray) -> FloatArray:
    """Correlate the tuning of all pairs of units, (n_units, n_others)."""
    scaled = []
    for tuning in (one, other):
        centred = tuning - tuning.mean(axis=0)
        size = np.sqrt(np.square(centred).sum(axis=0))
        scaled.append(centred / np.where(size > 0, size, np.nan))
    products: FloatArray = scaled[0].T @ scaled[1]
    return products


def _from_0_to_1(values: FloatArray) -> FloatArray:
    result: FloatArray = (values - values.min()) / max(np.ptp(values), 1e-12)
    return result
