"""Binning of spike times, and how many spikes it loses."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import quantities as pq

from ann2neo.errors import InputValueError
from ann2neo.raster.spike_raster import SpikeRaster

__all__ = [
    "BinnedSpikes",
    "Observed",
    "bin_spike_times",
    "interval_bins",
    "nearest_edges",
]

_EDGE = 1e-6
"""Maximum distance, in bins, at which a time counts as lying on a bin edge.

Clocks round, and in floating point 0.3 / 0.1 is 2.9999999999999996.
"""


class Observed(NamedTuple):
    """A stretch of time in which every unit was observed, in seconds, half-open."""

    name: str
    start: float
    stop: float


class BinnedSpikes(NamedTuple):
    """Spikes in bins, ``[t_start + i bin_size, t_start + (i + 1) bin_size)``.

    Parameters
    ----------
    raster : SpikeRaster
        The spikes.
    observed : list of (str, int, int)
        Name, first bin and bin after the last of each observed stretch.
    n_spikes : int
        Number of spike times between ``t_start`` and ``t_stop``.
    n_lost : int
        Number of those that share their bin with an earlier one, or lie in the partial
        last bin, on ``t_stop`` or in no observed stretch.
    """

    raster: SpikeRaster
    observed: list[tuple[str, int, int]]
    n_spikes: int
    n_lost: int


def bin_spike_times(
    spikes: Sequence[npt.NDArray[np.float64]],
    observed: Sequence[Observed],
    *,
    bin_size: float,
    t_start: float | None = None,
    t_stop: float | None = None,
) -> BinnedSpikes:
    """Bin spike times.

    Parameters
    ----------
    spikes : sequence of ndarray of float, one per unit, in s
        Spike times in any order.
    observed : sequence of Observed
        Stretches in which the units were observed, in order of time.
    bin_size : float
        Length of a bin, in s.
    t_start, t_stop : float, optional
        Time to cover, in s; that of `observed` if not given.

    Returns
    -------
    BinnedSpikes
        The raster and the number of spikes lost.

    Raises
    ------
    InputValueError
        If no whole bin fits between start and stop, stretches overlap, or a spike time
        is NaN or infinite.

    Examples
    --------
    >>> times = [np.array([0.001, 0.0012, 0.0099])]
    >>> binned = bin_spike_times(times, [Observed("all", 0, 0.01)], bin_size=0.001)
    >>> binned.raster.spike_bins(0), binned.n_lost
    (array([1, 9]), 1)
    """
    start = observed[0].start if t_start is None else t_start
    stop = observed[-1].stop if t_stop is None else t_stop
    for before, after in itertools.pairwise(observed):
        if after.start < before.stop:
            raise InputValueError(
                f"observed stretches overlap: {before.name!r} ends at {before.stop} s,"
                f" {after.name!r} starts at {after.start} s; keep segments that follow"
                " one another in time"
            )
    if stop <= start:
        raise InputValueError(
            f"t_stop must lie after t_start, got t_start={start} s, t_stop={stop} s;"
            " choose a later t_stop"
        )
    n_bins = math.floor((stop - start) / bin_size + _EDGE)
    if n_bins < 1:
        raise InputValueError(
            f"the extent {start} .. {stop} s holds no whole bin of {bin_size} s; choose"
            " a smaller bin_size or a longer extent"
        )
    stretches = []
    is_observed = np.zeros(n_bins, np.bool_)
    for name, first, last in observed:
        # Only bins wholly inside the stretch: its start is rounded up, its end down.
        start_bin = max(0, math.ceil((first - start) / bin_size - _EDGE))
        stop_bin = min(n_bins, math.floor((min(stop, last) - start) / bin_size + _EDGE))
        if stop_bin > start_bin:
            stretches.append((name, start_bin, stop_bin))
            is_observed[start_bin:stop_bin] = True
    n_spikes = 0
    spike_bins = []
    for unit, times in enumerate(spikes):
        if not np.isfinite(times).all():
            raise InputValueError(
                f"spike times of unit {unit} hold NaN or infinity; remove them or"
                " select other units"
            )
        # A spike on `stop` is counted but lies in no bin: it ends up among the lost.
        here = times[(times >= start - _EDGE * bin_size) & (times <= stop)]
        n_spikes += len(here)
        bins = np.floor((here - start) / bin_size + _EDGE).astype(np.int64)
        bins = bins[(bins >= 0) & (bins < n_bins)]
        spike_bins.append(bins[is_observed[bins]])
    raster = SpikeRaster.from_spike_bins(
        spike_bins, n_bins, sampling_period=bin_size * pq.s, t_start=start * pq.s
    )
    # Two spikes in one bin set one bit, so the bits that are set are the spikes kept.
    n_kept = int(raster.spike_counts().sum())
    return BinnedSpikes(raster, stretches, n_spikes, n_spikes - n_kept)


def nearest_edges(
    times: npt.NDArray[np.float64], raster: SpikeRaster
) -> npt.NDArray[np.int64]:
    """Return the bins whose left edges are nearest to `times` in s.

    Times before or after the raster give bins outside it.
    """
    bins = (times - raster.t_start_seconds) / raster.sampling_period_seconds
    return np.rint(bins).astype(np.int64)


def interval_bins(
    starts: npt.NDArray[np.float64], stops: npt.NDArray[np.float64], raster: SpikeRaster
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the bins of intervals of time, whose ends are put on the nearest edges.

    Parameters
    ----------
    starts, stops : ndarray of float, shape (n,), in s
        Start and end of each interval. An event, which starts as it stops, and an
        interval shorter than half a bin lie in the bin of their start.
    raster : SpikeRaster
        Its time base.

    Returns
    -------
    first, last : ndarray of int64, shape (n,)
        First bin of each interval, and the bin after its last.
    """
    first, last = nearest_edges(starts, raster), nearest_edges(stops, raster)
    since_start = np.asarray(starts) - raster.t_start_seconds
    in_bin = np.floor(since_start / raster.sampling_period_seconds + _EDGE)
    is_short = first >= last
    first = np.where(is_short, in_bin.astype(np.int64), first)
    return first, np.where(is_short, first + 1, last)
