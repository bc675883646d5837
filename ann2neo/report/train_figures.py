"""Figures of single trains: intervals between spikes, and autocorrelation."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from ann2neo._checks import whole_number
from ann2neo.errors import InputValueError
from ann2neo.raster import SpikeRaster
from ann2neo.recording import Recording
from ann2neo.report.raster_figures import only_phase
from ann2neo.report.style import BLUE, MUTED, VERMILLION, add_note, axes_or_new, grouped

__all__ = ["plot_autocorrelation", "plot_intervals"]

_MAX_POOLED = 500


def plot_intervals(
    recording: Recording,
    unit: int | None = None,
    *,
    phase: str | None = None,
    ax: Any | None = None,
) -> Any:
    """Draw the distribution of inter-spike intervals with the geometric one that the
    rate alone implies.

    Parameters
    ----------
    recording : Recording
        The spikes.
    unit : int, optional
        Unit to draw; all pooled if not given.
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
    Pooled units are fitted by the mixture of theirs, each weighted by its number of
    intervals. Of more than 500 units, 500 evenly spaced are pooled.

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
    found = np.bincount(np.concatenate(lengths))
    n_intervals = int(found.sum())
    longest = max(int(np.searchsorted(np.cumsum(found), 0.999 * n_intervals)), 3)
    interval = np.arange(1, longest + 1)
    rates = counts[chosen] / raster.n_time_bins
    weights = np.array([len(part) for part in lengths]) / n_intervals
    fit = (weights[:, None] * stats.geom.pmf(interval, rates[:, None])).sum(axis=0)
    with axes_or_new(ax) as axes:
        share = np.zeros(longest)
        share[: len(found) - 1] = found[1 : longest + 1] / n_intervals
        seen = share > 0
        axes.vlines(
            interval[seen],
            share[seen].min() / 2,
            share[seen],
            color=BLUE,
            lw=1,
            alpha=0.35,
        )
        axes.plot(
            interval[seen], share[seen], "o", color=BLUE, ms=3.5, label="observed"
        )
        kind = (
            "geometric, from the rate alone"
            if len(chosen) == 1
            else "geometric for each unit, from its rate"
        )
        axes.plot(interval, fit, color=VERMILLION, ls="--", lw=1.4, label=kind)
        axes.set_yscale("log")
        axes.set(xlim=(0, longest + 1), ylim=(share[seen].min() / 2, 5 * share.max()))
        axes.set(xlabel="Inter-spike interval (bins)", ylabel="Share of intervals")
        axes.legend(loc="upper right")
        who = (
            f"unit {chosen[0]}"
            if unit is not None
            else f"{grouped(len(chosen))} units pooled"
        )
        said = f"{who}, {grouped(n_intervals)} intervals"
        if unit is None and raster.n_units > _MAX_POOLED:
            said += (
                f"; {_MAX_POOLED} units, evenly spaced, of {grouped(raster.n_units)}"
            )
        if len(found) - 1 > longest:
            said += (
                f"; the longest 0.1 % (up to {grouped(len(found) - 1)} bins) not shown"
            )
        add_note(axes, said)
    return axes


def plot_autocorrelation(
    recording: Recording,
    unit: int | None = None,
    *,
    lags: int = 20,
    phase: str | None = None,
    ax: Any | None = None,
) -> Any:
    """Draw the autocorrelation of one unit, or its spread over all units, with the
    bounds of independent bins.

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
    picked = _chosen_units(raster, unit, most=None)
    correlations = autocorrelations(
        raster if unit is None else raster.take(units=picked), lags
    )
    correlations = correlations[np.isfinite(correlations[:, 0])]
    if not len(correlations):
        raise InputValueError(
            "no unit is both active and silent at some time, so none has an"
            " autocorrelation"
        )
    lag = np.arange(1, lags + 1)
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
        if len(correlations) > 1:
            low, high = np.quantile(correlations, [0.05, 0.95], axis=0)
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
        if unit is not None:
            axes.vlines(lag, 0, values, color=BLUE, lw=1.4)
        axes.plot(
            lag,
            values,
            "o",
            color=BLUE,
            ms=4,
            label=f"unit {unit}" if unit is not None else "median unit",
        )
        outside = float((np.abs(correlations - middle) > half).mean())
        reach = max(
            float(np.abs(correlations).max()) if unit is not None else 0, 3 * half
        )
        if unit is None:
            reach = max(
                reach,
                1.15
                * float(np.abs(np.quantile(correlations, [0.05, 0.95], axis=0)).max()),
            )
        axes.set(xlim=(0.3, lags + 0.7), ylim=(-1.25 * reach, 1.6 * reach))
        axes.set(xlabel="Lag (bins)", ylabel="Autocorrelation")
        axes.legend(loc="upper right", ncols=1)
        who = (
            f"{grouped(len(correlations))} units x {lags} lags"
            if unit is None
            else f"{lags} lags"
        )
        add_note(
            axes,
            f"{who}: {100 * outside:.1f} % outside the band (5 % expected if bins are"
            " independent)",
        )
    return axes


def autocorrelations(raster: SpikeRaster, lags: int) -> npt.NDArray[np.float64]:
    """Autocorrelation at lags 1 .. lags of every unit, shape (n_units, lags); NaN where
    a unit never varies.
    """
    n_bins = raster.n_time_bins
    counts = raster.spike_counts()
    rate = counts / n_bins
    lag = np.arange(1, lags + 1)
    products = raster.lag_counts(lags)[:, 1:]
    early = raster.cumulative_counts(n_bins - lag)
    late = counts[:, None] - raster.cumulative_counts(lag)
    centred = (
        products - rate[:, None] * (early + late) + (n_bins - lag) * rate[:, None] ** 2
    )
    variance = n_bins * rate * (1 - rate)
    out = np.full(centred.shape, np.nan)
    varies = (counts > 0) & (counts < n_bins)
    out[varies] = centred[varies] / variance[varies, None]
    return out


def _chosen_units(
    raster: SpikeRaster, unit: int | None, most: int | None = _MAX_POOLED
) -> npt.NDArray[np.int64]:
    if unit is None:
        n_drawn = raster.n_units if most is None else min(raster.n_units, most)
        return np.unique(
            np.linspace(0, max(raster.n_units - 1, 0), n_drawn).astype(np.int64)
        )
    last = raster.n_units - 1
    return np.array([whole_number(unit, "unit", at_least=0, at_most=last)])
