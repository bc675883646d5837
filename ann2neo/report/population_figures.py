"""Figures of populations: correlations between units, and their selectivity."""

from __future__ import annotations

import dataclasses

import numpy as np
from matplotlib.ticker import MaxNLocator
from scipy.cluster import hierarchy

from ann2neo.analysis._entry import FloatArray
from ann2neo.analysis.populations.correlations import correlation_matrix
from ann2neo.analysis.populations.labels import Labels, labels_of
from ann2neo.analysis.populations.selectivity import selectivity_index
from ann2neo.errors import InputValueError
from ann2neo.raster import SpikeRaster
from ann2neo.recording import Recording
from ann2neo.report._recorded import is_network, labelled_kind
from ann2neo.report.raster_figures import name_units, only_phase
from ann2neo.report.style import (
    ACTIVITY,
    BLUE,
    CORRELATION,
    VERMILLION,
    Axes,
    add_colorbar,
    add_note,
    axes_or_new,
    counted,
    grouped,
)

__all__ = ["plot_correlations", "plot_selectivity"]

_MAX_UNITS = 300


def plot_correlations(
    recording: Recording, *, phase: str | None = None, ax: Axes | None = None
) -> Axes:
    """Draw the correlations between units, similar units side by side.

    Parameters
    ----------
    recording : Recording
        The spikes.
    phase : str, optional
        Phase to draw; may be left out where there is only one.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib.axes.Axes
        Matrix of Pearson correlations, in the order of average linkage; beside it their
        histogram with the normal distribution of independent units, mean 0 and variance
        1 / (N - 1).

    Raises
    ------
    InputValueError
        If fewer than two units vary.

    Notes
    -----
    In a deterministic network these are signal correlations: units respond to the same
    stimuli. Units that never vary have none and are left out; of more than 300 units,
    300 evenly spaced ones are drawn.

    Examples
    --------
    >>> from ann2neo import Recording, SpikeRaster
    >>> ax = plot_correlations(
    ...     Recording.from_raster(SpikeRaster.from_dense([[1, 0, 1, 0], [1, 0, 1, 1]]))
    ... )
    >>> ax.get_xlabel()
    'Unit, alike units side by side'
    """
    raster = only_phase(recording, phase)[1].raster
    counts = raster.spike_counts()
    varies = np.flatnonzero((counts > 0) & (counts < raster.n_time_bins))
    if len(varies) < 2:
        raise InputValueError(
            f"correlations need two units that vary, this phase has {len(varies)}"
        )
    chosen = varies
    if len(varies) > _MAX_UNITS:
        chosen = varies[np.linspace(0, len(varies) - 1, _MAX_UNITS).astype(np.int64)]
    matrix = correlation_matrix(Recording.from_raster(raster.take(units=chosen)))
    pairs = matrix[np.triu_indices(len(chosen), 1)]
    # The distance is 1 - r, which rounding must not make negative. The best order of
    # leaves takes too long for many units.
    tree = hierarchy.linkage(
        np.clip(1 - pairs, 0, None), "average", optimal_ordering=len(chosen) <= 100
    )
    order = hierarchy.leaves_list(tree)
    # Standard deviation of the correlation of two independent units.
    noise = 1 / np.sqrt(raster.n_time_bins - 1)
    # Colours end at the 99 % quantile, so that few strong pairs do not hide the rest.
    limit = min(1.0, max(float(np.quantile(np.abs(pairs), 0.99)), 3 * noise))
    ordered = matrix[np.ix_(order, order)]
    # A unit's correlation with itself says nothing and would dominate the colours.
    np.fill_diagonal(ordered, np.nan)
    with axes_or_new(ax, 4.6, 3.2, (0.13, 0.24, 0.46, 0.68)) as axes:
        image = axes.imshow(
            ordered,
            cmap=CORRELATION,
            vmin=-limit,
            vmax=limit,
            aspect="auto",
            interpolation="nearest",
        )
        axes.set(xlabel="Unit, alike units side by side", ylabel="Unit")
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        name_units(axes, recording, chosen[order], start=0.0)
        bar = axes.inset_axes((1.27, 0, 0.05, 1))
        scale = axes.figure.colorbar(image, cax=bar, ticklocation="left")
        scale.outline.set_visible(False)
        bar.tick_params(labelsize=7)
        beside = axes.inset_axes((1.35, 0, 0.42, 1))
        edges = np.linspace(-limit, limit, 41)
        beside.hist(
            # Stronger pairs are counted in the outermost bins, not left out.
            np.clip(pairs, edges[0], edges[-1]),
            edges.tolist(),
            orientation="horizontal",
            density=True,
            color=BLUE,
            alpha=0.7,
            label="pairs",
        )
        grid = np.linspace(edges[0], edges[-1], 400)
        normal = np.exp(-((grid / noise) ** 2) / 2) / (noise * np.sqrt(2 * np.pi))
        beside.plot(
            normal, grid, color=VERMILLION, ls="--", lw=1.2, label="if independent"
        )
        beside.set(
            ylim=(edges[0], edges[-1]), xlim=(0, None), xlabel="Density of pairs"
        )
        bar.set_title("Correlation", fontsize=8, fontweight="normal")
        beside.tick_params(labelsize=7, labelleft=False, left=False)
        beside.spines["left"].set_visible(False)
        beside.xaxis.set_major_locator(MaxNLocator(2))
        note = f"{grouped(len(chosen))} units"
        if len(chosen) < len(varies):
            note += f", evenly spaced, of {grouped(len(varies))}"
        note += "; dashed: pairs of independent units"
        n_constant = raster.n_units - len(varies)
        if n_constant:
            note += f"; {grouped(n_constant)} that never vary left out"
        add_note(axes, note)
    return axes


def plot_selectivity(
    recording: Recording,
    *,
    phase: str | None = None,
    kind: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the firing rate of every unit for every label, by preferred label.

    Parameters
    ----------
    recording : Recording
        Spikes with labels.
    phase : str, optional
        Phase to draw; may be left out where there is only one.
    kind : str, optional
        Kind of the presentations; trials, or the kind with most labels, if not given.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib.axes.Axes
        Firing rates, units against labels: in spikes per bin for units of a network,
        else in Hz. Beside it, each unit's selectivity (best - mean of the others) /
        (best + mean of the others), between 0 and 1, and the median if labels are
        shuffled, which chance alone lifts above 0.

    Raises
    ------
    InputValueError
        If the recording has no labels, or only one.

    Examples
    --------
    >>> import numpy as np
    >>> from ann2neo import Recording
    >>> ax = plot_selectivity(
    ...     Recording.from_activations(np.eye(4), labels=["a", "b", "a", "b"])
    ... )
    >>> [text.get_text() for text in ax.get_xticklabels()]
    ['a', 'b']
    """
    chosen, segmented = only_phase(recording, phase)
    raster = segmented.raster
    given = labels_of(recording, chosen, kind or labelled_kind(recording, chosen))
    if len(given.names) < 2:
        raise InputValueError(
            "selectivity needs presentations with two labels or more, this phase has"
            f" {len(given.names)}; record it with labels="
        )
    labels = [str(name) for name in given.names]
    rates = _label_rates(raster, given)
    best = rates.argmax(axis=1)
    # A silent unit prefers nothing.
    index = np.nan_to_num(selectivity_index(rates))
    # One fixed shuffle, so that a figure looks the same every time.
    code = np.random.default_rng(0).permutation(given.code)
    by_chance = _label_rates(raster, dataclasses.replace(given, code=code))
    chance = float(np.median(np.nan_to_num(selectivity_index(by_chance))))
    # By preferred label, the most selective first; silent units come last.
    order = np.lexsort((-index, best))
    active = raster.spike_counts()[order] > 0
    order = np.concatenate([order[active], order[~active]])
    # Rows of `size` neighbouring units, rounded up.
    size = -(-raster.n_units // _MAX_UNITS)
    starts = np.arange(0, raster.n_units, size)
    edges = np.append(starts, raster.n_units)
    mean_rates = np.add.reduceat(rates[order], starts, axis=0) / np.diff(edges)[:, None]
    per_time = "spikes per bin"
    if not is_network(recording):
        mean_rates, per_time = mean_rates / raster.sampling_period_seconds, "Hz"
    with axes_or_new(ax, 4.6, 3.4, (0.15, 0.22, 0.5, 0.72)) as axes:
        image = axes.pcolormesh(
            np.arange(len(labels) + 1),
            edges,
            mean_rates,
            cmap=ACTIVITY,
            vmin=0,
            vmax=max(float(mean_rates.max()), 1e-9),
            rasterized=True,
        )
        axes.set(
            ylim=(raster.n_units, 0), xlabel="Label", ylabel="Unit, by favourite label"
        )
        if size == 1:
            name_units(axes, recording, order)
        else:
            axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        every = -(-len(labels) // 20)
        axes.set_xticks(
            (np.arange(len(labels)) + 0.5)[::every],
            [text[:10] for text in labels[::every]],
        )
        crowded = len(labels) > 4 and max(map(len, labels)) > 3
        axes.tick_params(axis="x", length=0, rotation=45 if crowded else 0)
        beside = axes.inset_axes((1.04, 0, 0.2, 1), sharey=axes)
        beside.plot(
            index[order],
            np.arange(raster.n_units) + 0.5,
            color=BLUE,
            lw=0.9,
            rasterized=True,
        )
        beside.tick_params(labelleft=False, left=False, labelsize=7)
        beside.set(xlim=(0, 1))
        beside.set_xlabel("Selectivity", fontsize=7.5)
        beside.axvline(chance, color=VERMILLION, lw=1, ls="--")
        add_colorbar(axes, image, 1.31, f"Firing rate ({per_time})")
        note = (
            f"{counted(raster.n_units, 'unit')}; median selectivity"
            f" {np.median(index):.2f}, if labels are shuffled {chance:.2f} (dashed)"
        )
        if size > 1:
            note += f"; each row: mean of {size} units"
        add_note(axes, note)
    return axes


def _label_rates(raster: SpikeRaster, labels: Labels) -> FloatArray:
    """Return the rate of each unit during each label, shape (n_units, n_labels)."""
    return np.asarray(raster.joint_counts(labels.raster()) / labels.bins_of_each)
