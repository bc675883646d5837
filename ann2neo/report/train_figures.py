"""Figures of spike trains: inter-spike intervals, and autocorrelation."""

from __future__ import annotations

import numpy as np

from ann2neo._checks import whole_number
from ann2neo.analysis._entry import FloatArray, IntArray
from ann2neo.errors import InputValueError
from ann2neo.raster import SegmentedRaster, SpikeRaster
from ann2neo.recording import Recording
from ann2neo.report._correlogram import draw_correlogram
from ann2neo.report._recorded import lag_scale, names_of_units
from ann2neo.report.raster_figures import only_phase
from ann2neo.report.style import (
    BLUE,
    VERMILLION,
    Axes,
    add_note,
    axes_or_new,
    counted,
    grouped,
)

__all__ = ["plot_autocorrelation", "plot_intervals"]

_MAX_POOLED = 500
# Longer intervals, as neurons have them, are counted in classes of growing width.
_MAX_SINGLE_LENGTHS = 200
_N_CLASSES = 60


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
        Share of intervals against their length, logarithmic; in bins for units of a
        network, and in ms else.

    Raises
    ------
    InputValueError
        If there is no such unit, or no unit has two spikes.

    Notes
    -----
    Intervals lie inside segments: those across a border are left out. Independent bins
    with rate p give intervals k with probability p (1 - p)^(k - 1). If there are
    intervals of more than 200 bins, both axes are logarithmic: lengths are counted in
    classes of growing width, and shares are per factor of ten in length.
    Pooled units are compared with the mixture of their distributions, weighted by their
    numbers of intervals. Of more than 500 units, 500 evenly spaced ones are pooled.

    Examples
    --------
    >>> from ann2neo import Recording, SpikeRaster
    >>> recording = Recording.from_raster(
    ...     SpikeRaster.from_spike_bins([[0, 2, 4, 5]], 8)
    ... )
    >>> plot_intervals(recording, 0).get_xlabel()
    'Inter-spike interval (ms)'
    """
    _, segmented = only_phase(recording, phase)
    raster = segmented.raster
    chosen = _chosen_units(raster, unit)
    counts = raster.spike_counts()
    chosen = chosen[counts[chosen] >= 2]
    lengths = [_intervals(segmented, int(index)) for index in chosen]
    n_intervals = sum(map(len, lengths))
    if not n_intervals:
        raise InputValueError(
            "no unit has two spikes in one segment, so there is no interval to draw;"
            " draw another unit or phase"
        )
    observed = np.bincount(np.concatenate(lengths))
    # The axis ends where 99.9 % of the intervals are shorter.
    longest = max(int(np.searchsorted(np.cumsum(observed), 0.999 * n_intervals)), 3)
    rates = counts[chosen] / raster.n_time_bins
    weights = np.array([len(part) for part in lengths]) / n_intervals
    edges = _length_classes(longest)
    # A mixture of geometric distributions, one per unit: P(k > n) = (1 - p)^n.
    longer = weights @ (1 - rates[:, None]) ** (edges - 1)
    fit = -np.diff(longer)
    below = np.append(0, np.cumsum(observed))[np.minimum(edges, len(observed))]
    share = np.diff(below) / n_intervals
    scale, time_unit = lag_scale(recording)
    is_long, what = longest > _MAX_SINGLE_LENGTHS, "Share of intervals"
    # The middle of a class on a logarithmic axis; a class of one length is that length.
    interval = scale * np.sqrt(edges[:-1] * (edges[1:] - 1.0))
    if is_long:
        what += " per factor of 10"
        decades = np.diff(np.log10(edges - 0.5))
        share, fit = share / decades, fit / decades
    with axes_or_new(ax) as axes:
        occurs = share > 0
        x, y = interval[occurs], share[occurs]
        axes.vlines(x, y.min() / 2, y, color=BLUE, lw=1, alpha=0.35)
        axes.plot(x, y, "o", color=BLUE, ms=3.5, label="observed")
        model = "geometric for each unit, from its rate"
        if len(chosen) == 1:
            model = "geometric, from the rate alone"
        axes.plot(interval, fit, color=VERMILLION, ls="--", lw=1.4, label=model)
        axes.set_yscale("log")
        axes.set(xlim=(0, scale * (longest + 1)), ylim=(y.min() / 2, 5 * y.max()))
        if is_long:
            axes.set_xscale("log")
            axes.set_xlim(scale * 0.9, None)
        axes.set_xlabel(f"Inter-spike interval ({time_unit})")
        axes.set_ylabel(what)
        axes.legend(loc="upper right")
        who = f"{counted(len(chosen), 'unit')} pooled"
        if unit is not None:
            who = f"unit {names_of_units(recording)[unit]}"
        note = f"{who}, {grouped(n_intervals)} intervals"
        if unit is None and raster.n_units > _MAX_POOLED:
            note += f"; {_MAX_POOLED} units, evenly spaced, of"
            note += f" {grouped(raster.n_units)}"
        if len(observed) - 1 > longest:
            most = f"{scale * (len(observed) - 1):.6g} {time_unit}"
            note += f"; the longest 0.1 % (up to {most}) not shown"
        if segmented.n_segments > 1:
            note += "; inside segments"
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
        Correlation against lag, in bins for units of a network and in ms else, with
        bounds where 95 % of the values lie if bins are independent:
        ``-n_k / (N (N - 1)) +- 1.96 sqrt(n_k) / N``, with n_k the pairs of bins at that
        lag inside segments.

    Raises
    ------
    InputValueError
        If there is no such unit, `lags` does not lie in 1 .. N - 1 with N the bins of
        the longest segment, or no unit is active.

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
    _, segmented = only_phase(recording, phase)
    raster, n_bins = segmented.raster, segmented.n_time_bins
    lags = whole_number(lags, "lags", at_most=int(segmented.lengths.max()) - 1)
    if unit is not None:
        one = raster.take(units=_chosen_units(raster, unit))
        segmented = segmented.with_raster(one)
    correlations = autocorrelations(segmented, lags)
    correlations = correlations[np.isfinite(correlations[:, 0])]
    if not len(correlations):
        raise InputValueError(
            "no unit is both active and silent at some time, so none has an"
            " autocorrelation"
        )
    n_pairs = segmented.n_pairs(lags)[1:]
    # Subtracting the observed mean lowers every product by the same, 1 / (N - 1).
    middle, half = -n_pairs / (n_bins * (n_bins - 1)), 1.96 * np.sqrt(n_pairs) / n_bins
    scale, time_unit = lag_scale(recording)
    outside = float((np.abs(correlations - middle) > half).mean())
    low, high = np.quantile(correlations, [0.05, 0.95], axis=0)
    who, largest = f"{lags} lags", 1.15 * float(np.abs([low, high]).max())
    name = None
    if unit is None:
        who = f"{counted(len(correlations), 'unit')} x {lags} lags"
    else:
        name = names_of_units(recording)[unit]
        largest = float(np.abs(correlations).max())
    with axes_or_new(ax) as axes:
        band, label = (middle - half, middle + half), "95 % if bins are independent"
        draw_correlogram(axes, correlations, band, scale, label, name)
        reach = max(largest, 3 * half.max())
        axes.set_ylim(-1.25 * reach, 1.6 * reach)
        axes.set(xlabel=f"Lag ({time_unit})", ylabel="Autocorrelation")
        axes.legend(loc="upper right", ncols=1)
        add_note(
            axes,
            f"{who}: {100 * outside:.1f} % outside the band (5 % expected if bins are"
            " independent)",
        )
    return axes


def autocorrelations(segmented: SegmentedRaster, lags: int) -> FloatArray:
    """Return autocorrelations at lags 1 .. lags, shape (n_units, lags).

    Sums over the pairs of bins inside segments; NaN where a unit never varies.
    """
    n_bins = segmented.n_time_bins
    pairs = segmented.lag_counts(lags)
    rate = pairs[:, :1] / n_bins
    # Each spike is the earlier one of a pair and the later one of another, except at
    # the ends of segments.
    in_pairs = (2 * pairs[:, :1] - segmented.end_counts(lags))[:, 1:]
    # The sum of (x(t) - p) (x(t - k) - p), multiplied out.
    centred = pairs[:, 1:] - rate * in_pairs + segmented.n_pairs(lags)[1:] * rate**2
    variance = n_bins * rate * (1 - rate)
    return np.where(variance > 0, centred / np.where(variance > 0, variance, 1), np.nan)


def _intervals(segmented: SegmentedRaster, unit: int) -> IntArray:
    """Return the intervals of a unit inside segments, in bins."""
    bins = segmented.raster.spike_bins(unit)
    is_inside = np.diff(segmented.segment_of(bins)) == 0
    intervals: IntArray = np.diff(bins)[is_inside]
    return intervals


def _length_classes(longest: int) -> IntArray:
    """Return first lengths of classes of intervals, and the length after the last."""
    if longest <= _MAX_SINGLE_LENGTHS:
        return np.arange(1, longest + 2)
    edges = np.geomspace(1, longest + 1, _N_CLASSES)
    return np.unique(np.rint(edges).astype(np.int64))


def _chosen_units(raster: SpikeRaster, unit: int | None) -> IntArray:
    if unit is None:
        n_drawn = min(raster.n_units, _MAX_POOLED)
        return np.linspace(0, max(raster.n_units - 1, 0), n_drawn).astype(np.int64)
    last = raster.n_units - 1
    return np.array([whole_number(unit, "unit", at_least=0, at_most=last)])
