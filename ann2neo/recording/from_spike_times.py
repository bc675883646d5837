"""Recordings of real neurons, from spike times."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from datetime import datetime

import numpy as np
import numpy.typing as npt
import pandas as pd

from ann2neo.raster import SpikeRaster
from ann2neo.raster.binning import Observed, bin_spike_times, nearest_edges
from ann2neo.recording.recording import Recording
from ann2neo.recording.segments import Phase, phase_table

__all__ = ["SpikesLostWarning", "recording_from_spike_times"]

_LOST_SHARE = 0.01


class SpikesLostWarning(UserWarning):
    """Binning lost more than 1 % of the spikes; a smaller `bin_size` loses fewer."""


def recording_from_spike_times(
    spikes: Sequence[npt.NDArray[np.float64]],
    observed: Sequence[Observed],
    *,
    bin_size: float,
    t_start: float | None,
    t_stop: float | None,
    units: pd.DataFrame,
    presentations: pd.DataFrame,
    provenance: Mapping[str, str],
    identifier: str | None = None,
    session_start_time: datetime | None = None,
) -> Recording:
    """Make a recording by binning spike times and presentations.

    Parameters
    ----------
    spikes, observed, bin_size, t_start, t_stop
        As in `bin_spike_times`; each observed stretch becomes a phase.
    units : pandas.DataFrame
        One row per unit.
    presentations : pandas.DataFrame
        Columns ``start_time`` and ``stop_time`` in s, and others. Kept are those that
        lie in one phase and last a bin or more.
    provenance, identifier, session_start_time
        As in `Recording`; what binning lost is added to the provenance.

    Returns
    -------
    Recording
        The recording.

    Warns
    -----
    SpikesLostWarning
        If binning lost more than 1 % of the spikes.

    Raises
    ------
    InputValueError
        As `bin_spike_times`.
    """
    binned = bin_spike_times(
        spikes, observed, bin_size=bin_size, t_start=t_start, t_stop=t_stop
    )
    lost = binned.n_lost / max(1, binned.n_spikes)
    if lost > _LOST_SHARE:
        warnings.warn(
            f"{100 * lost:.1f} % of {binned.n_spikes} spikes were lost: at most one"
            f" spike per bin of {bin_size * 1000:g} ms is kept, inside the observed"
            " stretches; a smaller bin_size loses fewer",
            SpikesLostWarning,
            stacklevel=4,
        )
    phases = [Phase(*stretch, "unknown") for stretch in binned.observed]
    kept = _in_bins(presentations, phases, binned.raster)
    notes = {
        **provenance,
        "bin_size_seconds": repr(bin_size),
        "spikes_in_extent": str(binned.n_spikes),
        "spikes_lost": str(binned.n_lost),
        "spikes_lost_share": repr(lost),
        "presentations_outside": str(len(presentations) - len(kept)),
    }
    return Recording(
        binned.raster,
        units,
        kept,
        phase_table(phases),
        notes,
        identifier,
        session_start_time,
    )


def _in_bins(
    presentations: pd.DataFrame, phases: Sequence[Phase], raster: SpikeRaster
) -> pd.DataFrame:
    """Convert intervals to bins; keep those inside one phase of a bin or more."""
    table = presentations.drop(columns=["start_time", "stop_time"])
    start, stop = presentations["start_time"], presentations["stop_time"]
    is_finite = np.isfinite(start) & np.isfinite(stop)
    # NaN has no bin. Any will do: these rows are dropped below.
    first, last = (
        nearest_edges(np.where(is_finite, times, raster.t_start_seconds), raster)
        for times in (start, stop)
    )
    table = table.assign(start_bin=first, stop_bin=last, phase="")
    is_inside = np.zeros(len(table), np.bool_)
    for phase in phases:
        here = is_finite & (first >= phase.start_bin) & (last <= phase.stop_bin)
        here &= first < last
        table.loc[here, "phase"] = phase.phase
        is_inside |= here
    return table[is_inside].sort_values("start_bin", kind="stable", ignore_index=True)
