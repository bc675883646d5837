"""Correlations against the lag, as figures of bins and of trials draw them."""

from __future__ import annotations

import numpy as np

from ann2neo.analysis._entry import FloatArray
from ann2neo.report.style import BLUE, MUTED, Axes

__all__ = ["draw_correlogram"]


def draw_correlogram(
    axes: Axes,
    values: FloatArray,
    band: tuple[FloatArray, FloatArray],
    scale: float,
    label: str,
    unit: str | None,
) -> None:
    """Draw correlations of units, over the band of a null hypothesis.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Where to draw.
    values : ndarray of float64, shape (n_units, lags)
        Correlations at the lags 1, 2, ..; median and middle 90 % of the units.
    band : tuple of two ndarray of float64, shape (lags,)
        Lower and upper end of the band.
    scale : float
        What a lag of one is along the axis.
    label : str
        What the band is.
    unit : str or None
        Name of the only unit; None for several.
    """
    n_lags = values.shape[1]
    lag = scale * np.arange(1, n_lags + 1)
    axes.fill_between(
        # To the edges of the axis, beyond the first and the last lag.
        scale * np.arange(n_lags + 2),
        np.pad(band[0], 1, "edge"),
        np.pad(band[1], 1, "edge"),
        color=MUTED,
        alpha=0.22,
        lw=0,
        label=label,
    )
    axes.axhline(0, color=MUTED, lw=0.8)
    if len(values) > 1:
        low, high = np.quantile(values, [0.05, 0.95], axis=0)
        axes.vlines(
            lag,
            low,
            high,
            color=BLUE,
            lw=4,
            alpha=0.35,
            label="middle 90 % of the units",
        )
    middle = np.median(values, axis=0)
    name = "median unit"
    if unit is not None:
        name = f"unit {unit}"
        axes.vlines(lag, 0, middle, color=BLUE, lw=1.4)
    axes.plot(lag, middle, "o", color=BLUE, ms=4, label=name)
    axes.set_xlim(scale * 0.3, scale * (n_lags + 0.7))
