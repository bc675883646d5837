"""Figures of spikes in time: the raster, and observed beside simulated trains."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy import stats

from ann2neo._checks import one_of
from ann2neo.analysis._entry import FloatArray, IntArray
from ann2neo.analysis._phases import one_phase
from ann2neo.analysis.populations.labels import Labels, labels_of
from ann2neo.errors import InputValueError
from ann2neo.raster import SegmentedRaster, SpikeRaster
from ann2neo.recording import Recording
from ann2neo.recording.segments import SegmentedPhase
from ann2neo.report._recorded import (
    is_network,
    labelled_kind,
    names_of_units,
    segment_noun,
)
from ann2neo.report._timeline import Timeline, timeline_of
from ann2neo.report.style import (
    ACTIVITY,
    BLUE,
    GRID,
    MUTED,
    STYLE,
    VERMILLION,
    Axes,
    add_colorbar,
    add_note,
    axes_or_new,
    counted,
    grouped,
    settings,
)

__all__ = ["name_units", "only_phase", "plot_observed_and_simulated", "plot_raster"]

_MAX_ROWS, _MAX_COLUMNS = 250, 500
"""More units or bins are averaged into cells, as a figure has no more pixels."""
_MAX_SORTED_COLUMNS = 120
# More spikes are drawn as an image, and from 2 000 on ticks are not vectors: every
# vector would make a page larger and slower.
_MAX_TICKS = 30_000
_MAX_VECTOR_TICKS = 2_000
_MAX_LABELS = 30
# So few spikes, of all neurons and of one, are drawn one by one, however long the time.
_MAX_SPARSE_TICKS, _MAX_TICKS_OF_UNIT = 5_000, 600
_SPARSE_COLUMNS = 100
_MAX_STRIP_BINS = 20_000
_MAX_BORDERS = 60
_RATES_IN_COLOUR = 0.99
"""Share of the cells with a colour of their own; higher rates of neurons look alike."""
_MAX_NAMES = 40
_NAME_LENGTH = 12
_BLOCK_BYTES = 1 << 24


def only_phase(
    recording: Recording, phase: str | None
) -> tuple[SegmentedPhase, SegmentedRaster]:
    """Return the phase asked for, or the only one, and its spikes.

    Raises
    ------
    InputTypeError
        If `recording` is not a Recording.
    InputValueError
        If there is no such phase, or several and none was named.
    """
    chosen = one_phase(recording, phase, "a figure")
    return chosen, chosen.raster(recording.raster)


def plot_raster(
    recording: Recording,
    *,
    phase: str | None = None,
    sort: str = "time",
    kind: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the spikes of units in time, with labels, and rates along both edges.

    Parameters
    ----------
    recording : Recording
        What to draw; ``recording.select(...)`` picks units, presentations or a stretch
        of time.
    phase : str, optional
        Phase to draw; may be left out where there is only one.
    sort : {"time", "label"}, default "time"
        Order of the bins: as recorded, or presentations with the same label side by
        side.
    kind : str, optional
        Kind of the presentations whose labels are shown; trials, or the kind with most
        labels, if not given.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib.axes.Axes
        The raster; the axes of its marginals are its children. Time is that of the
        segments' clock; unobserved time is grey, and left out where it is more than
        half. Segments whose clocks do not run on stand side by side, with lines between
        them.

    Raises
    ------
    InputTypeError, InputValueError
        If the phase has to be named, `sort` is unknown, there are no labels to sort by,
        or nothing to draw.

    Notes
    -----
    More than 250 units or 500 bins are averaged into cells, as a note below the figure
    says; spikes of neurons are drawn one by one if there are at most 5 000, and 600 of
    one unit. Rates are per bin for units of a network, and in Hz else.

    Examples
    --------
    >>> import numpy as np
    >>> from ann2neo import Recording
    >>> ax = plot_raster(Recording.from_activations(np.eye(4), labels=[0, 1, 0, 1]))
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('Time (ms)', 'Unit')
    """
    chosen, segmented = only_phase(recording, phase)
    raster = segmented.raster
    one_of(sort, ("time", "label"), "sort")
    if not raster.n_units:
        raise InputValueError(
            f"nothing to draw: phase {chosen.phase!r} has no unit; select at least one"
        )
    kind = kind or labelled_kind(recording, chosen)
    given = None if kind is None else labels_of(recording, chosen, kind)
    of_network = is_network(recording)
    counts = raster.spike_counts()
    n_spikes = int(counts.sum())
    rows = _cell_edges(raster.n_units, _MAX_ROWS)
    is_sparse = len(rows) > raster.n_units and n_spikes <= _MAX_SPARSE_TICKS
    is_sparse &= int(counts.max()) <= _MAX_TICKS_OF_UNIT
    is_sparse &= sort == "time" and not of_network
    line = timeline_of(recording, chosen, segmented)
    n_shown = raster.n_time_bins
    if sort == "label":
        if given is None:
            raise InputValueError(
                "this recording has no labels to sort by; record it with labels=, or"
                " use sort='time'"
            )
        order, labels = _by_label(given)
        n_shown = len(order)
        n_bins, columns, cells = _sorted_cells(raster, rows, order)
        edges, xlabel = columns.astype(float), "Presentations, grouped by label"
        if len(columns) > n_bins:
            raster = raster.take(bins=order)
            line = Timeline(np.array([0, n_bins]), np.array([0]), 0.0, 1.0, xlabel)
    else:
        n_bins, xlabel = line.n_places, line.label
        columns = _cell_edges(n_bins, _SPARSE_COLUMNS if is_sparse else _MAX_COLUMNS)
        cells = _cell_rates(raster, rows, columns, line)
        edges = line.x(columns)
    notes = [f"{counted(raster.n_units, 'unit')} x {counted(n_shown, 'bin')}"]
    is_aggregated = cells.shape != (raster.n_units, n_bins)
    draws_ticks = n_spikes <= _MAX_TICKS and (is_sparse or not is_aggregated)
    # Rates of neurons are told per second.
    per = 1.0 if of_network else raster.sampling_period_seconds
    with axes_or_new(ax, 4.6, 3.9, (0.15, 0.22, 0.55, 0.54)) as axes:
        if draws_ticks:
            _draw_ticks(axes, raster, line)
        else:
            if is_aggregated:
                tall, wide = int(rows[1] - rows[0]), int(columns[1] - columns[0])
                cell = f"{counted(tall, 'unit')} x {counted(wide, 'bin')}"
                notes.append(f"each cell: mean of {cell}")
            label = "Share of cell active" if is_aggregated else "Spike"
            if not of_network:
                label = "Firing rate (Hz)"
            _draw_cells(axes, edges, rows, cells / per, label)
        axes.set(xlim=(edges[0], edges[-1]), xlabel=xlabel)
        axes.set(ylim=(raster.n_units, 0), ylabel="Unit")
        axes.xaxis.set_major_locator(MaxNLocator(5))
        name_units(axes, recording, np.arange(raster.n_units))
        if given is not None and sort == "label":
            _name_groups(axes, labels, [str(name) for name in given.names])
        else:
            notes += _draw_borders(axes, recording, chosen, line)
            is_legible = draws_ticks or not is_aggregated
            if given is not None and is_legible and n_bins <= _MAX_STRIP_BINS:
                notes.append(_draw_label_strip(axes, given, line))
        mean = (cells * np.diff(rows)[:, None]).sum(axis=0) / raster.n_units
        _draw_marginals(
            axes, edges, mean / per, counts / segmented.n_time_bins / per, of_network
        )
        add_note(axes, "; ".join(notes))
    return axes


def _draw_cells(
    axes: Axes, edges: FloatArray, rows: IntArray, cells: Any, label: str
) -> None:
    """Draw cells as an image with a colour bar."""
    largest = float(cells.max())
    # Rates have a long tail: one burst would leave all other cells pale.
    highest = float(np.quantile(np.ma.compressed(cells), _RATES_IN_COLOUR))
    is_cut = "Hz" in label and 0 < highest < largest
    image = axes.pcolormesh(
        edges,
        rows,
        cells,
        cmap=ACTIVITY,
        vmin=0,
        vmax=max(highest if is_cut else largest, 1e-9),
        rasterized=True,
    )
    bar = add_colorbar(axes, image, 1.27, f"{label}, or more" if is_cut else label)
    bar.yaxis.set_major_locator(MaxNLocator(4))


def _draw_marginals(
    axes: Axes, edges: FloatArray, mean: Any, rates: FloatArray, of_network: bool
) -> None:
    """Draw the mean of all units above the raster, and each unit's rate beside it."""
    title, name = "Mean rate of a unit (Hz)", "Firing rate (Hz)"
    if of_network:
        title, name = "Share of units active", "Firing rate"
    top = axes.inset_axes((0, 1.1, 1, 0.17), sharex=axes)
    # Nothing where nothing was observed.
    top.stairs(np.ma.filled(mean, np.nan), edges, color=BLUE, lw=0.8)
    top.tick_params(labelbottom=False, bottom=False, labelsize=7)
    top.set_title(title, fontsize=7.5, fontweight="normal", pad=2)
    top.set_ylim(0, None)
    top.yaxis.set_major_locator(MaxNLocator(2))
    side = axes.inset_axes((1.03, 0, 0.17, 1), sharey=axes)
    side.plot(
        rates,
        np.arange(len(rates)) + 0.5,
        color=BLUE,
        lw=0.8,
        marker="." if len(rates) <= 100 else "",
        ms=3,
        rasterized=True,
    )
    side.tick_params(labelleft=False, left=False, labelsize=7)
    side.set_xlabel(name, fontsize=7.5)
    side.set_xlim(0, None)
    side.xaxis.set_major_locator(MaxNLocator(2, prune="lower"))
    side.xaxis.set_major_formatter("{x:g}")


def _by_label(given: Labels) -> tuple[IntArray, IntArray]:
    """Return the bins of presentations grouped by label, and the label of each."""
    labels = given.code_of_bins()
    # Stable, so that presentations of one label stay in order of time.
    order = np.argsort(labels, kind="stable")
    order = order[labels[order] >= 0]
    return order, labels[order]


def _sorted_cells(
    raster: SpikeRaster, rows: IntArray, order: IntArray
) -> tuple[int, IntArray, FloatArray]:
    """Return the number of sorted bins, the columns of cells, and their rates."""
    n_bins = len(order)
    columns = _cell_edges(n_bins, _MAX_COLUMNS)
    # Sorted bins are averaged by joint counts with every column, so that fewer columns
    # are drawn.
    if len(columns) - 1 < n_bins:
        columns = _cell_edges(n_bins, _MAX_SORTED_COLUMNS)
    bins = [order[first:last] for first, last in itertools.pairwise(columns)]
    # Each column of cells as a train that spikes in its bins: joint counts are sums.
    trains = SpikeRaster.from_spike_bins(bins, raster.n_time_bins)
    counts = np.add.reduceat(raster.joint_counts(trains), rows[:-1], axis=0)
    return n_bins, columns, counts / (np.diff(rows)[:, None] * np.diff(columns))


def _cell_edges(length: int, most: int) -> IntArray:
    """Return the edges of at most `most` equal cells; the last may be shorter."""
    return np.append(np.arange(0, length, -(-length // most)), length)


def _cell_rates(
    raster: SpikeRaster, rows: IntArray, columns: IntArray, line: Timeline
) -> Any:
    """Return the share of active unit-bins in each cell, shape (n_rows, n_columns).

    Masked where no bin was observed.
    """
    before = line.bins_before(columns)
    cells = np.zeros((len(rows) - 1, len(columns) - 1))
    for units, block in raster.unit_blocks(_BLOCK_BYTES):
        counts = np.diff(block.cumulative_counts(before), axis=1)
        index = np.arange(units.start, units.stop)
        row = np.searchsorted(rows, index, side="right") - 1
        # First unit of each row in this block; a row may run on into the next block.
        first = np.flatnonzero(np.diff(row, prepend=-1))
        cells[row[first]] += np.add.reduceat(counts, first, axis=0)
    sizes = np.diff(rows)[:, None] * np.diff(before)
    return np.ma.masked_where(sizes == 0, cells / np.maximum(sizes, 1))


def _draw_ticks(axes: Axes, raster: SpikeRaster, line: Timeline) -> None:
    """Draw one tick per spike, in the middle of its bin."""
    bins = [raster.spike_bins(unit) for unit in range(raster.n_units)]
    unit = np.repeat(np.arange(raster.n_units), [len(part) for part in bins])
    x = line.x(line.places(np.concatenate(bins)) + 0.5)
    # (n_spikes, 2, 2): ends of ticks, which leave a gap between rows.
    lines: Any = np.stack(
        [np.column_stack([x, unit + 0.1]), np.column_stack([x, unit + 0.9])], axis=1
    )
    ticks = LineCollection(
        lines,
        colors=BLUE,
        linewidths=float(np.clip(300 / max(raster.n_time_bins, 1), 0.5, 2.0)),
        rasterized=len(lines) > _MAX_VECTOR_TICKS,
        label="spikes",
    )
    axes.add_collection(ticks)


def _draw_borders(
    axes: Axes, recording: Recording, phase: SegmentedPhase, line: Timeline
) -> list[str]:
    """Shade the time between segments, draw lines where they adjoin; say what is so."""
    if phase.n_segments == 1:
        return []
    notes = [f"{grouped(phase.n_segments)} {segment_noun(recording, phase)}"]
    gaps, borders = line.x(line.gaps), line.x(line.borders)
    if len(gaps):
        widths = np.column_stack([gaps[:, 0], np.diff(gaps, axis=1)])
        axes.broken_barh(
            [tuple(gap) for gap in widths.tolist()],
            (0, recording.n_units),
            color=GRID,
            lw=0,
            alpha=0.6,
            rasterized=len(gaps) > _MAX_BORDERS,
            label="unobserved",
        )
        notes.append("grey: not observed")
    if 0 < len(borders) <= _MAX_BORDERS:
        axes.vlines(borders, 0, recording.n_units, color=MUTED, lw=0.5, label="borders")
        notes.append("lines: borders between them")
    if line.times is not None:
        # Evenly spaced, at the nearest beginnings of segments.
        even = np.linspace(0, line.n_places, 5, endpoint=False)
        near = np.abs(line.offsets[:, None] - even).argmin(axis=0)
        shown = np.unique(near)
        axes.set_xticks(
            line.x(line.offsets[shown]), [f"{line.times[i]:.6g}" for i in shown]
        )
    return notes


def name_units(
    axes: Axes, recording: Recording, rows: IntArray, start: float = 0.5
) -> None:
    """Write the names of neurons beside their rows, as many as fit.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Axes with one row per unit.
    recording : Recording
        The recording.
    rows : ndarray of int64, shape (n_rows,)
        The unit in each row.
    start : float, default 0.5
        Middle of the first row.
    """
    names = names_of_units(recording)
    names = [names[row] for row in rows]
    if is_network(recording) or names == list(map(str, range(len(rows)))):
        axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        return
    every = -(-len(rows) // _MAX_NAMES)
    shown = np.arange(0, len(rows), every)
    axes.set_yticks(shown + start, [names[i][:_NAME_LENGTH] for i in shown])
    size = float(np.clip(150 / len(shown), 4, 8))
    axes.tick_params(axis="y", length=0, labelsize=size)


def _name_groups(axes: Axes, labels: IntArray, names: Sequence[str]) -> None:
    """Write each label below its stretch of bins, and draw lines between stretches."""
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


def _draw_label_strip(axes: Axes, given: Labels, line: Timeline) -> str:
    """Colour each bin by its label above the raster, with names where they fit."""
    names = [str(name) for name in given.names]
    labels = np.full(line.n_places, -1, np.int64)
    labels[line.places(np.arange(given.n_time_bins))] = given.code_of_bins()
    edges = line.x(np.arange(line.n_places + 1))
    strip = axes.inset_axes((0, 1.015, 1, 0.05), sharex=axes)
    strip.pcolormesh(
        edges,
        [0, 1],
        # Bins without a label stay empty.
        np.ma.masked_less(labels, 0)[None, :],
        cmap="cividis",
        vmin=0,
        vmax=max(len(names) - 1, 1),
        rasterized=True,
    )
    strip.set_axis_off()
    # First bin of each run of equal labels; -2 differs from every label and from none.
    runs = np.flatnonzero(np.diff(labels, prepend=-2))
    if len(runs) <= _MAX_LABELS:
        for first, last in zip(runs, np.append(runs[1:], len(labels)), strict=True):
            if labels[first] >= 0:
                # The darker part of cividis, where white letters have more contrast.
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
    if len(names) == 1:
        return f"strip: label {names[0][:12]}"
    return f"strip: label, dark {names[0][:12]} to light {names[-1][:12]}"


def plot_observed_and_simulated(
    observed: Recording,
    simulated: Recording,
    *,
    phase: str | None = None,
    axes: Sequence[Axes] | None = None,
) -> npt.NDArray[Any]:
    """Draw observed beside simulated spike trains, and the spikes so far of each.

    Parameters
    ----------
    observed : Recording
        Spikes of a network or a brain.
    simulated : Recording
        Spikes of a model of it: as many units, at least as many bins.
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
    The grey band is where 95 % of the units would be if all had the mean rate. Units
    leave it where they differ in rate, and so do simulations of every unit with its own
    rate. The trains drawn are those of the first 40 units in the first 200 bins.

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
    _, segmented = only_phase(observed, phase)
    left, right = segmented.raster, only_phase(simulated, None)[1].raster
    if left.n_units != right.n_units or right.n_time_bins < left.n_time_bins:
        raise InputValueError(
            "observed and simulated must have the same units and time bins, got"
            f" {left.shape} and {right.shape}; simulate as many"
        )
    right = right.slice(0, left.n_time_bins)
    with settings({} if axes is not None else STYLE):
        if axes is None:
            figure = Figure(figsize=(4.6, 4.4), layout="constrained")
            panels: dict[str, Axes] = figure.subplot_mosaic([["a", "b"], ["c", "c"]])
            axes = [panels[key] for key in "abc"]
        for panel, raster, title in zip(
            axes, (left, right), ("Observed", "Simulated"), strict=False
        ):
            part = raster.slice(0, min(200, raster.n_time_bins))
            part = part.take(units=np.arange(min(40, raster.n_units)))
            n_bins = part.n_time_bins
            edges, first = np.array([0, n_bins]), np.array([0])
            _draw_ticks(panel, part, Timeline(edges, first, 0.5, 1.0, "Time bin"))
            borders = segmented.edges[1:-1]
            panel.vlines(
                borders[borders < n_bins] + 0.5, 0, part.n_units, color=MUTED, lw=0.5
            )
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


def _draw_progress(axes: Axes, observed: SpikeRaster, simulated: SpikeRaster) -> None:
    bins = np.unique(np.linspace(0, observed.n_time_bins, 200).astype(np.int64))
    rate = observed.spike_counts().mean() / max(observed.n_time_bins, 1)
    low, high = (stats.binom.ppf(level, bins[1:], rate) for level in (0.025, 0.975))
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
