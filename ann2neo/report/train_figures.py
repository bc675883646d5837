"""Figures of spike trains: inter-spike intervals, and autocorrelation."""

from __future__ import annotations

import numpy as np
from scipy import stats

from ann2neo._checks import whole_number
from ann2neo.analysis._entry import FloatArray, IntArray
from ann2neo.errors import InputValueError
from ann2neo.raster import SpikeRaster
from ann2neo.recording import Recording
from ann2neo.report.raster_figures import only_phase
from ann2neo.report.style import (
    BLUE,
    MUTED,
    VERMILLION,
    Axes,
    add_note,
    axes_or_new,
    grouped,
)

__all__ = ["plot_autocorrelation", "plot_intervals"]

_MAX_POOLED = 500


def plot_intervals(
    recording: Recording,
    unit: int | None = None,
    *,
    phase: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the distribution of intervals, and the geometric one of the rate alone.

    Parameters
    ----------
    recording : Recording
        The spikes.
    unit : int, optional
        Unit to draw; all units pooled if not given.
    phase : str, optional
        Phase to draw; may be left out where there is only one.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib.axes.Axes
        Share of intervals against their length in bins, logarithmic.

    Raises
    ------
    InputValueError
        If there is no such unit, or no unit has two spikes.

    Notes
    -----
    Independent bins with rate p give intervals k with probability p (1 - p)^(k - 1).
    Pooled units are compared with the mixture of their distributions, weighted by their
    numbers of intervals. Of more than 500 units, 500 evenly spaced ones are pooled.

    Examples
    --------
    >>> from ann2neo import Recording, SpikeRaster
    >>> recording = Recording.from_raster(
    ...     SpikeRaster.from_spike_bins([[0, 2, 4, 5]], 8)
    ... )
    >>> plot_intervals(recording, 0).get_xlabel()
    'Inter-spike interval (bins)'
    """
    _, raster = only_phase(recording, phase)
    chosen = _chosen_units(raster, unit)
    counts = raster.spike_counts()
    chosen = chosen[counts[chosen] >= 2]
    if not len(chosen):
        raise InputValueError(
            "no unit has two spikes, so there is no interval to draw; draw another unit"
            " or phase"
        )
    lengths = [np.diff(raster.spike_bins(int(index))) for index in chosen]
    observed = np.bincount(np.concatenate(lengths))
    n_intervals = int(observed.sum())
    # The axis ends where 99.9 % of the intervals are shorter.
    longest = max(int(np.searchsorted(np.cumsum(observed), 0.999 * n_intervals)), 3)
    interval = np.arange(1, longest + 1)
    rates = counts[chosen] / raster.n_time_bins
    weights = np.array([len(part) for part in lengths]) / n_intervals
    # A mixture of geometric distributions, one per unit.
    fit = (weights[:, None] * stats.geom.pmf(interval, rates[:, None])).sum(axis=0)
    with axes_or_new(ax) as axes:
        share = np.zeros(longest)
        share[: len(observed) - 1] = observed[1 : longest + 1] / n_intervals
        occurs = share > 0
        x, y = interval[occurs], share[occurs]
        axes.vlines(x, y.min() / 2, y, color=BLUE, lw=1, alpha=0.35)
        axes.plot(x, y, "o", color=BLUE, ms=3.5, label="observed")
        kind = "geometric for each unit, from its rate"
        if len(chosen) == 1:
            kind = "geometric, from the rate alone"
        axes.plot(interval, fit, color=VERMILLION, ls="--", lw=1.4, label=kind)
        axes.set_yscale("log")
        axes.set(xlim=(0, longest + 1), ylim=(y.min() / 2, 5 * y.max()))
        axes.set(xlabel="Inter-spike interval (bins)", ylabel="Share of intervals")
        axes.legend(loc="upper right")
        who = f"{grouped(len(chosen))} units pooled"
        if unit is not None:
            who = f"unit {unit}"
        note = f"{who}, {grouped(n_intervals)} intervals"
        if unit is None and raster.n_units > _MAX_POOLED:
            note += f"; {_MAX_POOLED} units, evenly spaced, of"
            note += f" {grouped(raster.n_units)}"
        if len(observed) - 1 > longest:
            note += f"; the longest 0.1 % (up to {grouped(len(observed) - 1)} bins)"
            note += " not shown"
        add_note(axes, note)
    return axes


def plot_autocorrelation(
    recording: Recording,
    unit: int | None = None,
    *,
    lags: int = 20,
    phase: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the autocorrelation of one unit or all, with bounds of independent bins.

    Parameters
    ----------
    recording : Recording
        The spikes.
    unit : int, optional
        Unit to draw; median and middle 90 % of all units if not given.
    lags : int, default 20
        Largest lag, in bins.
    phase : str, optional
        Phase to draw; may be left out where there is only one.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib.axes.Axes
        Correlation against lag, with bounds at -1/N +- 1.96 / sqrt(N): where 95 % of
        the values lie if bins are independent.

    Raises
    ------
    InputValueError
        If there is no such unit, `lags` does not lie in 1 .. N - 1, or no unit is
        active.

    Examples
    --------
    >>> from ann2neo import Recording, SpikeRaster
    >>> recording = Recording.from_raster(
    ...     SpikeRaster.from_dense([[1, 0, 1, 0, 1, 0, 1, 0]])
    ... )
    >>> ax = plot_autocorrelation(recording, 0, lags=2)
    >>> [round(float(y), 3) for y in ax.lines[-1].get_ydata()]
    [-0.875, 0.75]
    """
    _, raster = only_phase(recording, phase)
    n_bins = raster.n_time_bins
    lags = whole_number(lags, "lags", at_most=n_bins - 1)
    if unit is not None:
        raster = raster.take(units=_chosen_units(raster, unit))
    correlations = autocorrelations(raster, lags)
    correlations = correlations[np.isfinite(correlations[:, 0])]
    if not len(correlations):
        raise InputValueError(
            "no unit is both active and silent at some time, so none has an"
            " autocorrelation"
        )
    lag = np.arange(1, lags + 1)
    # Subtracting the observed mean lowers every autocorrelation by about 1 / N.
    middle, half = -1 / n_bins, 1.96 / np.sqrt(n_bins)
    with axes_or_new(ax) as axes:
        axes.axhspan(
            middle - half,
            middle + half,
            color=MUTED,
            alpha=0.22,
            lw=0,
            label="95 % if bins are independent",
        )
        axes.axhline(0, color=MUTED, lw=0.8)
        low, high = np.quantile(correlations, [0.05, 0.95], axis=0)
        if len(correlations) > 1:
            axes.vlines(
                lag,
                low,
                high,
                color=BLUE,
                lw=4,
                alpha=0.35,
                label="middle 90 % of the units",
            )
        values = np.median(correlations, axis=0)
        outside = float((np.abs(correlations - middle) > half).mean())
        if unit is None:
            label, who = (
                "median unit",
                f"{grouped(len(correlations))} units x {lags} lags",
            )
            largest = 1.15 * float(np.abs([low, high]).max())
        else:
            label, who = f"unit {unit}", f"{lags} lags"
            largest = float(np.abs(correlations).max())
            axes.vlines(lag, 0, values, color=BLUE, lw=1.4)
        axes.plot(lag, values, "o", color=BLUE, ms=4, label=label)
        reach = max(largest, 3 * half)
        axes.set(xlim=(0.3, lags + 0.7), ylim=(-1.25 * reach, 1.6 * reach))
        axes.set(xlabel="Lag (bins)", ylabel="Autocorrelation")
        axes.legend(loc="upper right", ncols=1)
        add_note(
            axes,
            f"{who}: {100 * outside:.1f} % outside the band (5 % expected if bins are"
            " independent)",
        )
    return axes


def autocorrelations(raster: SpikeRaster, lags: int) -> FloatArray:
    """Return autocorrelations at lags 1 .. lags, shape (n_units, lags).

    NaN where a unit never varies.
    """
    n_bins = raster.n_time_bins
    counts = raster.spike_counts()
    rate = counts / n_bins
    lag = np.arange(1, lags + 1)
    products = raster.lag_counts(lags)[:, 1:]
    early = raster.cumulative_counts(n_bins - lag)
    late = counts[:, None] - raster.cumulative_counts(lag)
    # The sum of (x(t) - p) (x(t - k) - p), multiplied out.
    mean = rate[:, None]
    centred = products - mean * (early + late) + (n_bins - lag) * mean**2
    variance = (n_bins * rate * (1 - rate))[:, None]
    return np.where(variance > 0, centred / np.where(variance > 0, variance, 1), np.nan)


def _chosen_units(raster: SpikeRaster, unit: int | None) -> IntArray:
    if unit is None:
        n_drawn = min(raster.n_units, _MAX_POOLED)
        return np.linspace(0, max(raster.n_units - 1, 0), n_drawn).astype(np.int64)
    last = raster.n_units - 1
    return np.array([whole_number(unit, "unit", at_least=0, at_most=last)])
