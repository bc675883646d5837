"""Spike times of real neurons into time bins, and what that loses."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import quantities as pq

from ann2neo.errors import InputValueError
from ann2neo.raster import RasterBuilder, SpikeRaster
from ann2neo.recording import Recording
from ann2neo.recording.tables import Phase, phase_table

__all__ = ["Observed", "SpikesLostWarning", "recording_from_spike_times"]

_EDGE = 1e-6
"""How close to a bin edge, in bins, a time counts as lying on it: clocks round, and 0.3
s / 0.1 s is 2.9999999999.
"""

_LOST_SHARE = 0.01


class SpikesLostWarning(UserWarning):
    """Binning lost more than one spike in a hundred; a smaller `bin_size` loses
    fewer.
    """


class Observed(NamedTuple):
    """A stretch of time in which every unit was observed, in seconds, half-open."""

    name: str
    start: float
    stop: float


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
    """Bin spike times; bins are ``[t_start + i bin_size, t_start + (i + 1) bin_size)``.

    Parameters
    ----------
    spikes : sequence of ndarray of float, one per unit, in s
        Spike times in any order.
    observed : sequence of Observed
        Stretches in which the units were observed, in order of time; each becomes a
        phase.
    bin_size : float
        Length of a bin, in s.
    t_start, t_stop : float, optional
        Extent, in s; that of `observed` if not given.
    units : pandas.DataFrame
        One row a unit.
    presentations : pandas.DataFrame
        Intervals in seconds, columns ``start_time``, ``stop_time`` and others.
    provenance, identifier, session_start_time
        As in `Recording`; the provenance is completed with what binning lost.

    Returns
    -------
    Recording
        The recording. A spike counts as lost when it shares its bin with an earlier
        one, lies in the partial last bin or on ``t_stop``, or in no observed stretch.

    Raises
    ------
    InputValueError
        If the extent holds no whole bin, stretches overlap, or there is no spike time
        that is a number.
    """
    start, stop, stretches = _extent(observed, t_start, t_stop)
    n_bins = _whole_bins(stop - start, bin_size)
    if n_bins < 1:
        msg = f"the extent {start} .. {stop} s holds no whole bin of {bin_size} s"
        raise InputValueError(msg + "; choose a smaller bin_size or a longer extent")
    phases = _phases(stretches, start, bin_size, n_bins)
    inside = np.zeros(n_bins, np.bool_)
    for phase in phases:
        inside[phase.start_bin : phase.stop_bin] = True
    builder_bits = np.zeros(RasterBuilder.bits_shape(len(spikes), n_bins), np.uint8)
    n_spikes = n_kept = 0
    row = np.empty(n_bins, np.bool_)
    for unit, times in enumerate(spikes):
        if not np.isfinite(times).all():
            msg = (
                f"spike times of unit {unit} hold NaN or infinity; remove them or"
                " select other units"
            )
            raise InputValueError(msg)
        here = times[(times >= start - _EDGE * bin_size) & (times <= stop)]
        n_spikes += len(here)
        bins = _bin_of(here, start, bin_size)
        row[:] = False
        row[bins[(bins >= 0) & (bins < n_bins)]] = True
        row &= inside
        n_kept += int(np.count_nonzero(row))
        packed = np.packbits(row, bitorder="little")
        builder_bits[unit, : len(packed)] = packed
    lost = (n_spikes - n_kept) / n_spikes if n_spikes else 0.0
    if lost > _LOST_SHARE:
        msg = (
            f"{100 * lost:.1f} % of {n_spikes} spikes were lost: at most one spike a"
            f" bin of {bin_size * 1000:g} ms "
        )
        msg += "is kept, inside the observed stretches; a smaller bin_size loses fewer"
        warnings.warn(msg, SpikesLostWarning, stacklevel=4)
    raster = SpikeRaster(
        builder_bits,
        len(spikes),
        n_bins,
        sampling_period=bin_size * pq.s,
        t_start=start * pq.s,
    )
    shown, n_dropped = _presentations(presentations, phases, start, bin_size)
    notes = {
        **provenance,
        "bin_size_seconds": repr(bin_size),
        "spikes_in_extent": str(n_spikes),
        "spikes_lost": str(n_spikes - n_kept),
        "spikes_lost_share": repr(lost),
        "presentations_outside": str(n_dropped),
    }
    return Recording(
        raster, units, shown, phase_table(phases), notes, identifier, session_start_time
    )


def _extent(
    observed: Sequence[Observed], t_start: float | None, t_stop: float | None
) -> tuple[float, float, list[Observed]]:
    for before, after in itertools.pairwise(observed):
        if after.start < before.stop:
            msg = (
                f"observed stretches overlap: {before.name!r} ends at {before.stop} s,"
                f" {after.name!r} starts at "
            )
            raise InputValueError(
                msg + f"{after.start} s; keep segments that follow one another in time"
            )
    start = observed[0].start if t_start is None else t_start
    stop = observed[-1].stop if t_stop is None else t_stop
    if stop <= start:
        raise InputValueError(
            f"t_stop must lie after t_start, got t_start={start} s, t_stop={stop} s"
        )
    cut = [
        Observed(name, max(start, first), min(stop, last))
        for name, first, last in observed
    ]
    return start, stop, [part for part in cut if part.stop > part.start]


def _whole_bins(duration: float, bin_size: float) -> int:
    return math.floor(duration / bin_size + _EDGE)


def _bin_of(
    times: npt.NDArray[np.float64], start: float, bin_size: float
) -> npt.NDArray[np.int64]:
    return np.floor((times - start) / bin_size + _EDGE).astype(np.int64)


def _phases(
    stretches: Sequence[Observed], start: float, bin_size: float, n_bins: int
) -> list[Phase]:
    """Whole bins inside each stretch."""
    phases = []
    for name, first, last in stretches:
        start_bin = math.ceil((first - start) / bin_size - _EDGE)
        stop_bin = min(n_bins, _whole_bins(last - start, bin_size))
        if stop_bin > start_bin:
            phases.append(Phase(name, start_bin, stop_bin, "unknown"))
    return phases


def _presentations(
    shown: pd.DataFrame, phases: Sequence[Phase], start: float, bin_size: float
) -> tuple[pd.DataFrame, int]:
    """Intervals in bins, those that lie in one phase and last a bin or more; and how
    many do not.
    """
    times = shown[["start_time", "stop_time"]].to_numpy(np.float64)
    finite = np.isfinite(times).all(axis=1)
    first, last = (
        np.rint((np.where(finite, column, start) - start) / bin_size).astype(np.int64)
        for column in times.T
    )
    table = shown.drop(columns=["start_time", "stop_time"]).assign(
        start_bin=first, stop_bin=last, phase=""
    )
    keep = np.zeros(len(table), np.bool_)
    names = np.full(len(table), "", object)
    for phase in phases:
        here = (
            finite
            & (first >= phase.start_bin)
            & (last <= phase.stop_bin)
            & (last > first)
        )
        names[here] = phase.phase
        keep |= here
    table["phase"] = pd.Series(names, table.index, dtype="str")
    kept = table[keep].sort_values("start_bin", kind="stable").reset_index(drop=True)
    return kept, int(len(table) - keep.sum())
