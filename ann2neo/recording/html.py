"""A recording as a notebook shows it: what it holds, and a small raster."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import numpy as np

from ann2neo.recording.segments import segmented_phases

if TYPE_CHECKING:
    from ann2neo.recording.recording import Recording

__all__ = ["recording_html"]

_MAX_UNITS, _MAX_BINS = 40, 160
_STYLE = "display:flex;gap:1.5em;align-items:flex-start;flex-wrap:wrap;font-size:0.9em"


def recording_html(recording: Recording) -> str:
    """Return a recording as HTML.

    Parameters
    ----------
    recording : Recording
        The recording.

    Returns
    -------
    str
        A table of its size, time base, phases and presentations, beside the raster of
        some of its units in a stretch with spikes.
    """
    kinds = recording.presentations["kind"].value_counts(sort=False)
    rows = {
        "units": f"{recording.n_units:,}",
        "time bins": f"{recording.n_time_bins:,} of {recording.sampling_period}",
        "time": f"{recording.t_start} to {recording.t_stop}",
    }
    for phase in segmented_phases(recording):
        size = f"{phase.n_time_bins:,} bins"
        if phase.n_segments > 1:
            size += f" in {phase.n_segments:,} segments"
        rows[f"phase {phase.phase}"] = f"{size}, {phase.order} order"
    for kind, number in kinds.items():
        rows[str(kind)] = f"{number:,} presentations"
    cells = "".join(
        f"<tr><th style='text-align:left'>{escape(name)}</th>"
        f"<td style='text-align:left'>{escape(value)}</td></tr>"
        for name, value in rows.items()
    )
    return (
        f"<div style='{_STYLE}'><table><caption style='text-align:left'><b>Recording"
        f"</b></caption>{cells}</table>{_raster_svg(recording)}</div>"
    )


def _raster_svg(recording: Recording) -> str:
    """Draw evenly spaced units in the first stretch that holds a spike."""
    if not recording.n_units or not recording.n_time_bins:
        return ""
    n_units = min(_MAX_UNITS, recording.n_units)
    units = np.linspace(0, recording.n_units - 1, n_units).astype(np.int64)
    raster = recording.raster.take(units=units)
    starts = np.arange(0, raster.n_time_bins, _MAX_BINS)
    spikes = np.diff(raster.cumulative_counts([*starts, raster.n_time_bins])).sum(0)
    first = int(starts[np.argmax(spikes > 0)])
    last = min(first + _MAX_BINS, raster.n_time_bins)
    dense = raster.slice(first, last).to_dense()
    # One path of short vertical lines: a mark of one bin's width per spike.
    marks = "".join(f"M{x + 0.5} {y}v0.8" for y, x in np.argwhere(dense).tolist())
    width, height = last - first, n_units
    words = f"{n_units} of {recording.n_units:,} units, bins {first:,} to {last:,}"
    return (
        f"<figure style='margin:0'><svg viewBox='0 0 {width} {height}'"
        f" width='{max(160, 3 * width)}' height='{max(60, 4 * height)}'"
        f" preserveAspectRatio='none' role='img' aria-label='{words}'>"
        f"<path d='{marks}' stroke='currentColor' stroke-width='0.8'/></svg>"
        f"<figcaption>{words}</figcaption></figure>"
    )
