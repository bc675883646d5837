"""How long figures of a whole convolution take: 20 000 units x 60 000 presentations,
aggregated.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from harness import Report, measure

from ann2neo import Recording, SpikeRaster
from ann2neo.report import (
    plot_autocorrelation,
    plot_correlations,
    plot_intervals,
    plot_raster,
    plot_selectivity,
)


def large_recording(n_units: int, n_bins: int) -> Recording:
    """Units with rates of a quarter, and ten labels."""
    rng = np.random.default_rng(0)
    shape = (n_units, -(-n_bins // 8))
    bits = rng.integers(0, 256, shape, np.uint8) & rng.integers(0, 256, shape, np.uint8)
    presentations = pd.DataFrame(
        {"start_bin": np.arange(n_bins), "stop_bin": np.arange(n_bins) + 1}
    )
    presentations["label"] = rng.integers(0, 10, n_bins)
    return Recording.from_raster(
        SpikeRaster.from_packed(bits, n_bins), presentations=presentations
    )


def drawn(
    function: Callable[..., Any], *arguments: Any, **options: Any
) -> Callable[[], None]:
    """A call that draws a figure down to its pixels."""
    return lambda: function(*arguments, **options).figure.canvas.draw()  # noqa: PLW0108


if __name__ == "__main__":
    recording = large_recording(20_000, 60_000)
    figures = {
        "raster in time": drawn(plot_raster, recording),
        "raster by label": drawn(plot_raster, recording, sort="label"),
        "intervals": drawn(plot_intervals, recording),
        "autocorrelation": drawn(plot_autocorrelation, recording),
        "correlations": drawn(plot_correlations, recording),
        "selectivity": drawn(plot_selectivity, recording),
    }
    report = Report("report", "Figures of 20 000 units x 60 000 presentations")
    for name, call in figures.items():
        report.row(name, measure(call, repeat=2).median, at_most=10.0, limit_on="ours")
    report.save()
