"""Figures of units together: correlations between them, and what they are selective
for.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.ticker import MaxNLocator
from scipy.cluster import hierarchy

from ann2neo.analysis.populations.correlations import correlation_matrix
from ann2neo.analysis.populations.labels import Labels, labels_of
from ann2neo.analysis.populations.selectivity import selectivity_index
from ann2neo.errors import InputValueError
from ann2neo.raster import SpikeRaster
from ann2neo.recording import Recording
from ann2neo.report.raster_figures import only_phase
from ann2neo.report.style import (
    ACTIVITY,
    BLUE,
    CORRELATION,
    VERMILLION,
    add_note,
    axes_or_new,
    grouped,
)

__all__ = ["plot_correlations", "plot_selectivity"]

_MAX_UNITS = 300


def plot_correlations(
    recording: Recording, *, phase: str | None = None, ax: Any | None = None
) -> Any:
    """Draw the correlations between units, alike units side by side, with the
    distribution of all of them.

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
    Of a deterministic network these are signal correlations: units that answer to the
    same stimuli. Units that never vary have none and are left out; of more than 300,
    300 evenly spaced are drawn.

    Examples
    --------
    >>> from ann2neo import Recording, SpikeRaster
    >>> ax = plot_correlations(
    ...     Recording.from_raster(SpikeRaster.from_dense([[1, 0, 1, 0], [1, 0, 1, 1]]))
    ... )
    >>> ax.get_xlabel()
    'Unit, alike units side by side'
    """
    _, raster = only_phase(recording, phase)
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
    distance = np.clip(1 - matrix[np.triu_indices(len(chosen), 1)], 0, None)
    order = hierarchy.leaves_list(
        hierarchy.linkage(distance, "average", optimal_ordering=len(chosen) <= 100)
    )
    pairs = matrix[np.triu_indices(len(chosen), 1)]
    noise = 1 / np.sqrt(raster.n_time_bins - 1)
    limit = min(1.0, max(float(np.quantile(np.abs(pairs), 0.99)), 3 * noise))
    shown = matrix[np.ix_(order, order)]
    np.fill_diagonal(shown, np.nan)
    with axes_or_new(ax, 4.6, 3.2, (0.13, 0.24, 0.46, 0.68)) as axes:
        image = axes.imshow(
            shown,
            cmap=CORRELATION,
            vmin=-limit,
            vmax=limit,
            aspect="auto",
            interpolation="nearest",
        )
        axes.set(xlabel="Unit, alike units side by side", ylabel="Unit")
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        bar = axes.inset_axes([1.27, 0, 0.05, 1])
        axes.figure.colorbar(image, cax=bar, ticklocation="left").outline.set_visible(
            False
        )
        bar.tick_params(labelsize=7)
        beside = axes.inset_axes([1.35, 0, 0.42, 1])
        edges = np.linspace(-limit, limit, 41)
        beside.hist(
            np.clip(pairs, edges[0], edges[-1]),
            edges,
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
        said = f"{grouped(len(chosen))} units"
        if len(chosen) < len(varies):
            said += f", evenly spaced, of {grouped(len(varies))}"
        said += "; dashed: pairs of independent units"
        if len(varies) < raster.n_units:
            said += (
                f"; {grouped(raster.n_units - len(varies))} that never vary left out"
            )
        add_note(axes, said)
    return axes


def plot_selectivity(
    recording: Recording, *, phase: str | None = None, ax: Any | None = None
) -> Any:
    """Draw the firing rate of every unit for every label, units with the same favourite
    side by side.

    Parameters
    ----------
    recording : Recording
        Spikes with labels.
    phase : str, optional
        Phase to draw; may be left out where there is only one.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib.axes.Axes
        Spikes per bin, units against labels; beside it each unit's selectivity (best -
        mean of the others) / (best + mean of the others), between 0 and 1, and its
        median if labels are shuffled: chance alone lifts it above 0.

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
    found, raster = only_phase(recording, phase)
    given = labels_of(recording, found)
    if len(given.names) < 2:
        msg = (
            "selectivity needs presentations with two labels or more, this phase has"
            f" {len(given.names)}"
        )
        raise InputValueError(msg + "; record it with labels=")
    labels = [str(name) for name in given.names]
    rates = _label_rates(raster, given)
    best = rates.argmax(axis=1)
    # A silent unit prefers nothing.
    index = np.nan_to_num(selectivity_index(rates))
    shuffled = dataclasses.replace(
        given, code=np.random.default_rng(0).permutation(given.code)
    )
    chance = float(
        np.median(np.nan_to_num(selectivity_index(_label_rates(raster, shuffled))))
    )
    order = np.lexsort((-index, best))
    active = raster.spike_counts()[order] > 0
    order = np.concatenate([order[active], order[~active]])
    size = -(-raster.n_units // _MAX_UNITS)
    starts = np.arange(0, raster.n_units, size)
    n_rows = np.diff(np.append(starts, raster.n_units))
    shown = np.add.reduceat(rates[order], starts, axis=0) / n_rows[:, None]
    with axes_or_new(ax, 4.6, 3.4, (0.15, 0.22, 0.5, 0.72)) as axes:
        edges = np.append(starts, raster.n_units)
        image = axes.pcolormesh(
            np.arange(len(labels) + 1),
            edges,
            shown,
            cmap=ACTIVITY,
            vmin=0,
            vmax=max(float(shown.max()), 1e-9),
            rasterized=True,
        )
        axes.set(
            ylim=(raster.n_units, 0), xlabel="Label", ylabel="Unit, by favourite label"
        )
        axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        every = -(-len(labels) // 20)
        axes.set_xticks(
            (np.arange(len(labels)) + 0.5)[::every],
            [text[:10] for text in labels[::every]],
        )
        axes.tick_params(
            axis="x",
            length=0,
            rotation=45 if max(map(len, labels)) > 3 and len(labels) > 4 else 0,
        )
        beside = axes.inset_axes([1.04, 0, 0.2, 1], sharey=axes)
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
        bar = axes.inset_axes([1.31, 0, 0.04, 1])
        axes.figure.colorbar(image, cax=bar).outline.set_visible(False)
        bar.set_ylabel("Firing rate (spikes per bin)", fontsize=7.5)
        bar.tick_params(labelsize=7)
        said = (
            f"{grouped(raster.n_units)} units; median selectivity"
            f" {np.median(index):.2f}"
        )
        said += f", if labels are shuffled {chance:.2f} (dashed)"
        if size > 1:
            said += f"; each row: mean of {size} units"
        add_note(axes, said)
    return axes


def _label_rates(raster: SpikeRaster, shown: Labels) -> npt.NDArray[np.float64]:
    """Firing rate of each unit while each label is shown, shape (n_units, n_labels)."""
    return np.asarray(raster.joint_counts(shown.raster()) / shown.bins_of_each)
