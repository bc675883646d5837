"""Figures of spikes in time: the raster, and observed beside simulated trains."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy import stats

from ann2neo._checks import one_of
from ann2neo.analysis._phases import one_phase
from ann2neo.analysis.populations.labels import has_labels, labels_of
from ann2neo.errors import InputValueError
from ann2neo.raster import SpikeRaster
from ann2neo.recording import Recording
from ann2neo.recording.tables import Phase
from ann2neo.report.style import (
    ACTIVITY,
    BLUE,
    MUTED,
    STYLE,
    VERMILLION,
    add_note,
    axes_or_new,
    grouped,
)

__all__ = ["only_phase", "plot_observed_and_simulated", "plot_raster"]

_MAX_ROWS, _MAX_COLUMNS = 250, 500
"""More units or bins than this are averaged into cells: a figure has no more pixels to
show them.
"""
_MAX_SORTED_COLUMNS = 120
_MAX_TICKS = 30_000
_MAX_VECTOR_TICKS = 2_000
_MAX_LABELS = 30
_BLOCK_BYTES = 1 << 24


def only_phase(recording: Recording, phase: str | None) -> tuple[Phase, SpikeRaster]:
    """Place and raster of the phase asked for, or of the only one there is.

    Raises
    ------
    InputTypeError
        If `recording` is not a Recording.
    InputValueError
        If there is no such phase, or several and none was named.
    """
    found = one_phase(recording, phase, "a figure")
    return found, recording.raster.slice(found.start_bin, found.stop_bin)


def plot_raster(
    recording: Recording,
    *,
    phase: str | None = None,
    sort: str = "time",
    ax: Any | None = None,
) -> Any:
    """Draw which unit spiked when, with the labels shown and the rates along both
    edges.

    Parameters
    ----------
    recording : Recording
        What to draw; ``recording.select(...)`` picks units or presentations.
    phase : str, optional
        Phase to draw; may be left out where there is only one.
    sort : {"time", "label"}, default "time"
        Order of the bins: as recorded, or presentations with the same label side by
        side.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib.axes.Axes
        The raster; its marginals are its child axes.

    Raises
    ------
    InputTypeError, InputValueError
        If the phase has to be named, `sort` is unknown, there are no labels to sort by,
        or nothing to draw.

    Notes
    -----
    More than 250 units or 500 bins are averaged into cells, and a line below the figure
    says so.

    Examples
    --------
    >>> import numpy as np
    >>> from ann2neo import Recording
    >>> ax = plot_raster(Recording.from_activations(np.eye(4), labels=[0, 1, 0, 1]))
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('Time (ms)', 'Unit')
    """
    found, raster = only_phase(recording, phase)
    one_of(sort, ("time", "label"), "sort")
    if not raster.n_units:
        raise InputValueError(f"nothing to draw: phase {found.phase!r} has no unit")
    shown = labels_of(recording, found) if has_labels(recording, found) else None
    labels = None if shown is None else shown.code_of_bins()
    label_names = [] if shown is None else [str(name) for name in shown.names]
    scale, unit = _time_scale(raster)
    start = raster.t_start_seconds / raster.sampling_period_seconds * scale
    if sort == "label":
        if labels is None:
            raise InputValueError(
                "this recording has no labels to sort by; record it with labels=, or"
                " use sort='time'"
            )
        order = np.argsort(labels, kind="stable")
        order = order[labels[order] >= 0]
        labels, scale, start = labels[order], 1.0, 0.0
    n_bins = raster.n_time_bins if sort == "time" else len(order)
    rows = _cell_edges(raster.n_units, _MAX_ROWS)
    columns = _cell_edges(n_bins, _MAX_COLUMNS)
    if sort == "label" and len(columns) - 1 < n_bins:
        columns = _cell_edges(n_bins, _MAX_SORTED_COLUMNS)
        cells = _sorted_cell_rates(raster, rows, columns, order)
    else:
        raster = raster if sort == "time" else raster.take(bins=order)
        cells = _cell_rates(raster, rows, columns)
    unit_rates = raster.spike_counts() / raster.n_time_bins
    aggregated = cells.shape != (raster.n_units, n_bins)
    said = [f"{grouped(raster.n_units)} units x {grouped(n_bins)} bins"]
    if aggregated:
        said.append(
            f"each cell: mean of {_cell_words(rows, 'unit')} x"
            f" {_cell_words(columns, 'bin')}"
        )
    with axes_or_new(ax, 4.6, 3.9, (0.15, 0.22, 0.55, 0.54)) as axes:
        edges = start + columns * scale
        if aggregated or unit_rates.sum() * raster.n_time_bins > _MAX_TICKS:
            top_rate = max(float(cells.max()), 1e-9)
            image = axes.pcolormesh(
                edges,
                rows,
                cells,
                cmap=ACTIVITY,
                vmin=0,
                vmax=top_rate,
                rasterized=True,
            )
            _small_colorbar(
                axes, image, "Share of cell active" if aggregated else "Spike"
            )
        else:
            _draw_ticks(axes, raster, start, scale)
        axes.set(xlim=(edges[0], edges[-1]), ylim=(raster.n_units, 0), ylabel="Unit")
        axes.set_xlabel(
            f"Time ({unit})" if sort == "time" else "Presentations, grouped by label"
        )
        axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.xaxis.set_major_locator(MaxNLocator(5))
        if labels is not None and sort == "label":
            _name_groups(axes, labels, label_names)
        elif labels is not None and not aggregated:
            said.append(_draw_label_strip(axes, labels, label_names, edges))
        weights = np.diff(rows)[:, None]
        top = axes.inset_axes([0, 1.1, 1, 0.17], sharex=axes)
        top.stairs(
            (cells * weights).sum(axis=0) / raster.n_units, edges, color=BLUE, lw=0.8
        )
        top.tick_params(labelbottom=False, bottom=False, labelsize=7)
        top.set_title("Share of units active", fontsize=7.5, fontweight="normal", pad=2)
        top.set_ylim(0, None)
        top.yaxis.set_major_locator(MaxNLocator(2))
        side = axes.inset_axes([1.03, 0, 0.17, 1], sharey=axes)
        marker = "." if raster.n_units <= 100 else ""
        side.plot(
            unit_rates,
            np.arange(raster.n_units) + 0.5,
            color=BLUE,
            lw=0.8,
            marker=marker,
            ms=3,
            rasterized=True,
        )
        side.tick_params(labelleft=False, left=False, labelsize=7)
        side.set_xlabel("Firing rate", fontsize=7.5)
        side.set_xlim(0, None)
        side.xaxis.set_major_locator(MaxNLocator(2, prune="lower"))
        side.xaxis.set_major_formatter("{x:g}")
        add_note(axes, "; ".join(said))
    return axes


def _time_scale(raster: SpikeRaster) -> tuple[float, str]:
    """Length of a bin in the unit that suits the recording, and that unit."""
    period = raster.sampling_period_seconds
    return (period, "s") if period * raster.n_time_bins > 10 else (period * 1000, "ms")


def _cell_edges(length: int, most: int) -> npt.NDArray[np.int64]:
    """Edges of equal cells, at most `most`; the last may be shorter."""
    return np.append(np.arange(0, length, -(-length // most)), length)


def _cell_words(edges: npt.NDArray[np.int64], noun: str) -> str:
    size = int(edges[1] - edges[0])
    return f"{grouped(size)} {noun}{'s' * (size != 1)}"


def _cell_rates(
    raster: SpikeRaster, rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Share of active unit-bins in each cell, shape (n_rows, n_columns)."""
    cells = np.zeros((len(rows) - 1, len(columns) - 1))
    for units, block in raster.unit_blocks(_BLOCK_BYTES):
        counts = np.diff(block.cumulative_counts(columns), axis=1)
        row = (
            np.searchsorted(rows, np.arange(units.start, units.stop), side="right") - 1
        )
        first = np.flatnonzero(np.diff(row, prepend=-1))
        cells[row[first]] += np.add.reduceat(counts, first, axis=0)
    return _per_cell(cells, rows, columns)


def _sorted_cell_rates(
    raster: SpikeRaster,
    rows: npt.NDArray[np.int64],
    columns: npt.NDArray[np.int64],
    order: npt.NDArray[np.int64],
) -> npt.NDArray[np.float64]:
    """As `_cell_rates`, of the bins in another order, without unpacking a
    single one.
    """
    chosen = [order[first:last] for first, last in itertools.pairwise(columns)]
    counts = raster.joint_counts(
        SpikeRaster.from_spike_bins(chosen, raster.n_time_bins)
    )
    cells: npt.NDArray[np.float64] = np.add.reduceat(counts, rows[:-1], axis=0)
    return _per_cell(cells, rows, columns)


def _per_cell(
    counts: npt.NDArray[np.float64],
    rows: npt.NDArray[np.int64],
    columns: npt.NDArray[np.int64],
) -> npt.NDArray[np.float64]:
    rates: npt.NDArray[np.float64] = counts / (
        np.diff(rows)[:, None] * np.diff(columns)[None, :]
    )
    return rates


def _draw_ticks(axes: Any, raster: SpikeRaster, start: float, scale: float) -> None:
    unit, time_bin = np.nonzero(raster.to_dense())
    x = start + (time_bin + 0.5) * scale
    lines: Any = np.stack(
        [np.column_stack([x, unit + 0.1]), np.column_stack([x, unit + 0.9])], axis=1
    )
    width = float(np.clip(300 / max(raster.n_time_bins, 1), 0.5, 2.0))
    axes.add_collection(
        LineCollection(
            lines,
            colors=BLUE,
            linewidths=width,
            rasterized=len(lines) > _MAX_VECTOR_TICKS,
            label="spikes",
        )
    )


def _small_colorbar(axes: Any, image: Any, label: str) -> None:
    bar = axes.inset_axes([1.27, 0, 0.035, 1])
    axes.figure.colorbar(image, cax=bar).outline.set_visible(False)
    bar.set_ylabel(label, fontsize=7.5)
    bar.tick_params(labelsize=7)
    bar.yaxis.set_major_locator(MaxNLocator(4))


def _name_groups(
    axes: Any, labels: npt.NDArray[np.int64], names: Sequence[str]
) -> None:
    """Write each label below its stretch of bins, and part the stretches with thin
    lines.
    """
    starts = np.flatnonzero(np.diff(labels, prepend=-1))
    stops = np.append(starts[1:], len(labels))
    every = -(-len(starts) // _MAX_LABELS)
    axes.set_xticks(
        ((starts + stops) / 2)[::every],
        [names[code][:12] for code in labels[starts][::every]],
    )
    axes.tick_params(axis="x", length=0)
    for edge in starts[1:]:
        axes.axvline(edge, color=MUTED, lw=0.5)


def _draw_label_strip(
    axes: Any,
    labels: npt.NDArray[np.int64],
    names: Sequence[str],
    edges: npt.NDArray[Any],
) -> str:
    """Colour each bin by its label, above the raster; written out where there
    is room.
    """
    strip = axes.inset_axes([0, 1.015, 1, 0.05], sharex=axes)
    shown = np.ma.masked_less(labels, 0)[None, :]
    strip.pcolormesh(
        edges,
        [0, 1],
        shown,
        cmap="cividis",
        vmin=0,
        vmax=max(len(names) - 1, 1),
        rasterized=True,
    )
    strip.set_axis_off()
    runs = np.flatnonzero(np.diff(labels, prepend=-2))
    if len(runs) <= _MAX_LABELS:
        for first, last in zip(runs, np.append(runs[1:], len(labels)), strict=True):
            if labels[first] >= 0:
                dark = labels[first] < 0.6 * max(len(names) - 1, 1)
                strip.text(
                    (edges[first] + edges[last]) / 2,
                    0.45,
                    names[labels[first]][:6],
                    ha="center",
                    va="center",
                    fontsize=6,
                    color="white" if dark else "black",
                    parse_math=False,
                )
    return f"strip: label, dark {names[0][:12]} to light {names[-1][:12]}"


def plot_observed_and_simulated(
    observed: Recording,
    simulated: Recording,
    *,
    phase: str | None = None,
    axes: Sequence[Any] | None = None,
) -> npt.NDArray[Any]:
    """Draw observed spike trains beside simulated ones, and how far the units of each
    have come.

    Parameters
    ----------
    observed : Recording
        What a network or a brain did.
    simulated : Recording
        What a model of it does: as many units, at least as many bins.
    phase : str, optional
        Phase of `observed` to draw; may be left out where there is only one.
    axes : sequence of three matplotlib.axes.Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    ndarray of matplotlib.axes.Axes, shape (3,)
        Observed trains, simulated trains, and spikes so far, with the middle 95 % of
        the units of each.

    Raises
    ------
    InputValueError
        If the recordings differ in their number of units, or the simulated one is
        shorter.

    Notes
    -----
    The grey band is where 95 % of the units would be if all had the mean rate: a
    network whose units differ in rate leaves it, a simulation of every unit by its own
    rate leaves it too. Drawn are the first 40 units and 200 bins.

    Examples
    --------
    >>> import numpy as np
    >>> from ann2neo import Recording, SpikeRaster
    >>> rng = np.random.default_rng(0)
    >>> make = lambda: Recording.from_raster(
    ...     SpikeRaster.from_dense(rng.random((8, 300)) < 0.3)
    ... )
    >>> [ax.get_title(loc="left") for ax in plot_observed_and_simulated(make(), make())]
    ['Observed', 'Simulated', 'Spikes so far']
    """
    _, left = only_phase(observed, phase)
    _, right = only_phase(simulated, None)
    if left.n_units != right.n_units or right.n_time_bins < left.n_time_bins:
        msg = (
            "observed and simulated must have the same units and time bins, got"
            f" {left.shape} and {right.shape}"
        )
        raise InputValueError(msg + "; simulate as many")
    right = right.slice(0, left.n_time_bins)
    with mpl.rc_context({} if axes is not None else dict(STYLE)):
        if axes is None:
            panels: Any = Figure(
                figsize=(4.6, 4.4), layout="constrained"
            ).subplot_mosaic([["a", "b"], ["c", "c"]])
            axes = [panels[key] for key in "abc"]
        for panel, raster, title in zip(
            axes, (left, right), ("Observed", "Simulated"), strict=False
        ):
            part = raster.take(units=np.arange(min(40, raster.n_units))).slice(
                0, min(200, raster.n_time_bins)
            )
            _draw_ticks(panel, part, 0.5, 1.0)
            panel.set(
                xlim=(0.5, part.n_time_bins + 0.5),
                ylim=(part.n_units, 0),
                xlabel="Time bin",
                title=title,
            )
            panel.xaxis.set_major_locator(MaxNLocator(3, integer=True))
            panel.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes[0].set_ylabel("Unit")
        axes[1].tick_params(labelleft=False)
        _draw_progress(axes[2], left, right)
    return np.array(axes, dtype=object)


def _draw_progress(axes: Any, observed: SpikeRaster, simulated: SpikeRaster) -> None:
    bins = np.unique(np.linspace(0, observed.n_time_bins, 200).astype(np.int64))
    rate = observed.spike_counts().mean() / max(observed.n_time_bins, 1)
    low, high = stats.binom.ppf([[0.025], [0.975]], bins[1:], rate)
    axes.fill_between(
        bins[1:],
        low,
        high,
        color=MUTED,
        alpha=0.3,
        lw=0,
        label="all units at the mean rate",
    )
    for raster, colour, style, name in (
        (observed, BLUE, "-", "observed"),
        (simulated, VERMILLION, "--", "simulated"),
    ):
        counts = raster.cumulative_counts(bins)
        axes.plot(
            bins,
            counts.mean(axis=0),
            color=colour,
            ls=style,
            lw=1.6,
            label=f"{name}, mean and middle 95 %",
        )
        for edge in np.quantile(counts, [0.025, 0.975], axis=0):
            axes.plot(bins, edge, color=colour, ls=style, lw=0.8)
    axes.set(
        xlim=(0, bins[-1]),
        ylim=(0, None),
        xlabel="Time bin",
        ylabel="Spikes per unit",
        title="Spikes so far",
    )
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.legend(loc="upper left", fontsize=7.5)
