"""Binning of spike times, and how many spikes it loses."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import quantities as pq

from ann2neo._checks import fifteen_digits
from ann2neo.errors import InputValueError
from ann2neo.raster.spike_raster import SpikeRaster

__all__ = [
    "EDGE",
    "BinnedSpikes",
    "Observed",
    "ObservedBins",
    "Outside",
    "bin_spike_times",
    "interval_bins",
    "memory_bytes",
    "nearest_edges",
]

EDGE = 1e-6
"""Maximum distance, in bins, at which a time counts as lying on a bin edge.

Clocks round, and in floating point 0.3 / 0.1 is 2.9999999999999996.
"""

_MOST_BINS = 1 << 48
"""Beyond, floating point cannot tell the bins of a spike time apart."""


class Observed(NamedTuple):
    """A stretch of time in which every unit was observed, half-open.

    Parameters
    ----------
    name : str
        Name of its phase; stretches of one name make up one phase.
    start, stop : float, in s
        Its ends, on the recording's clock.
    own_start : float, in s, optional
        Its start on a clock of its own, such as the time before a trial's cue; the
        recording's clock if not given.
    """

    name: str
    start: float
    stop: float
    own_start: float | None = None


class ObservedBins(NamedTuple):
    """The whole bins of an observed stretch, ``start_bin .. stop_bin - 1``.

    ``t_start`` is the time of the first on the stretch's own clock, in s.
    """

    name: str
    start_bin: int
    stop_bin: int
    t_start: float


class Outside(NamedTuple):
    """Numbers of spike times that lie in no observed bin.

    Parameters
    ----------
    before, after : int
        Before the first bin, and on ``t_stop``, after it or in a partial last bin.
    between : int
        In between, in no stretch or in a bin that is not wholly inside one.
    cut_off : int
        Beyond the bins, while observed time reaches further: `t_start` or `t_stop` cuts
        it, which the caller asked for.
    earliest, latest : float, in s
        The first and last time of those that are before and after; NaN without any.
    """

    before: int
    after: int
    between: int
    cut_off: int
    earliest: float
    latest: float

    @property
    def total(self) -> int:
        """Number of spikes outside that the caller did not cut off."""
        return self.before + self.after + self.between


class BinnedSpikes(NamedTuple):
    """Spikes in bins, ``[t_start + i bin_size, t_start + (i + 1) bin_size)``.

    Parameters
    ----------
    raster : SpikeRaster
        The spikes.
    observed : list of ObservedBins
        The bins of each observed stretch that has some.
    n_spikes : int
        Number of spike times in observed bins.
    n_lost : int
        Number of those that share their bin with an earlier one.
    outside : Outside
        Numbers of spike times in no observed bin.
    """

    raster: SpikeRaster
    observed: list[ObservedBins]
    n_spikes: int
    n_lost: int
    outside: Outside


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
        Spike times in any order, finite.
    observed : sequence of Observed
        Stretches in which the units were observed, in order of time.
    bin_size : float
        Length of a bin, in s.
    t_start, t_stop : float, optional
        Time to cover, in s; that of `observed` if not given.

    Returns
    -------
    BinnedSpikes
        The raster, and the numbers of spikes that it does not hold.

    Raises
    ------
    InputValueError
        If no whole bin fits between start and stop, stretches overlap, or the bits
        would take more memory than there is.

    Examples
    --------
    >>> times = [np.array([0.001, 0.0012, 0.0099, 0.01])]
    >>> binned = bin_spike_times(times, [Observed("all", 0, 0.01)], bin_size=0.001)
    >>> binned.raster.spike_bins(0), binned.n_lost, binned.outside.after
    (array([1, 9]), 1, 1)
    """
    start = observed[0].start if t_start is None else t_start
    stop = observed[-1].stop if t_stop is None else t_stop
    for before, after in itertools.pairwise(observed):
        # Clocks round: what starts an instant early adjoins.
        if after.start < before.stop - EDGE * bin_size:
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
    n_bins = _number_of_bins(len(spikes), start, stop, bin_size)
    if n_bins < 1:
        raise InputValueError(
            f"the extent {start} .. {stop} s holds no whole bin of {bin_size} s; choose"
            " a smaller bin_size or a longer extent"
        )
    stretches = []
    for stretch in observed:
        # Only bins wholly inside the stretch: its start is rounded up, its end down.
        begin, end = max(start, stretch.start), min(stop, stretch.stop)
        first = math.ceil((begin - start) / bin_size - EDGE)
        last = min(n_bins, math.floor((end - start) / bin_size + EDGE))
        if last > first:
            edge = fifteen_digits(start) + first * bin_size
            clock = edge
            if stretch.own_start is not None:
                clock = stretch.own_start + (edge - stretch.start)
            stretches.append(
                ObservedBins(stretch.name, first, last, fifteen_digits(clock))
            )
    # First bins of the stretches and the bins after their last, in turn: a bin lies in
    # a stretch where an odd number of them is not beyond it. There may be many more
    # bins than spikes, so that no array has one entry per bin.
    borders = np.array([stretch[1:3] for stretch in stretches], np.int64).ravel()
    spike_bins = []
    unbinned = []
    for times in spikes:
        # Far outside, a bin is no int64: such times go to the bins beside the raster.
        bins = np.floor((times - start) / bin_size + EDGE)
        bins = np.clip(bins, -1, n_bins).astype(np.int64)
        inside = np.searchsorted(borders, bins, side="right") % 2 == 1
        spike_bins.append(bins[inside])
        unbinned.append(np.column_stack([times[~inside], bins[~inside]]))
    raster = SpikeRaster.from_spike_bins(
        spike_bins, n_bins, sampling_period=bin_size * pq.s, t_start=start * pq.s
    )
    n_spikes = sum(map(len, spike_bins))
    # Two spikes in one bin set one bit, so the bits that are set are the spikes kept.
    n_kept = int(raster.spike_counts().sum())
    outside = _outside(
        np.concatenate([np.zeros((0, 2)), *unbinned]), n_bins, observed, stop
    )
    return BinnedSpikes(raster, stretches, n_spikes, n_spikes - n_kept, outside)


def _number_of_bins(n_units: int, start: float, stop: float, bin_size: float) -> int:
    """Return how many whole bins there are, or raise if their bits fit in no memory."""
    # Infinite where bin_size is that small.
    with np.errstate(over="ignore"):
        n_bins = np.float64(stop - start) / bin_size + EDGE
    n_bytes, memory = n_units * n_bins / 8, memory_bytes()
    if not n_bytes <= memory or n_bins > _MOST_BINS:
        raise InputValueError(
            f"bins of bin_size={bin_size:g} s from t_start={start:g} s to"
            f" t_stop={stop:g} s would be {n_bins:.3g} for each of {n_units} units and"
            f" take {n_bytes:.3g} bytes, and this machine has {memory:.3g}; choose a"
            " larger bin_size, or less time with t_start and t_stop"
        )
    return math.floor(n_bins)


def memory_bytes() -> int:
    """Return the size of this machine's memory; 16 GiB where the system does not say.

    Examples
    --------
    >>> memory_bytes() > 1 << 20
    True
    """
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return 16 << 30


def _outside(
    unbinned: npt.NDArray[np.float64],
    n_bins: int,
    observed: Sequence[Observed],
    stop: float,
) -> Outside:
    """Count spike times in no observed bin; columns time in s, bin."""
    times, bins = unbinned.T
    # Where observed time reaches beyond the bins, `t_start` or `t_stop` has cut it.
    is_cut = (times >= observed[0].start) & (times < observed[-1].stop)
    is_cut &= (bins < 0) | (times >= stop)
    is_before, is_after = (bins < 0) & ~is_cut, (bins >= n_bins) & ~is_cut
    return Outside(
        int(is_before.sum()),
        int(is_after.sum()),
        int((~is_cut & ~is_before & ~is_after).sum()),
        int(is_cut.sum()),
        float(times[is_before].min(initial=np.inf)) if is_before.any() else math.nan,
        float(times[is_after].max(initial=-np.inf)) if is_after.any() else math.nan,
    )


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
    in_bin = np.floor(since_start / raster.sampling_period_seconds + EDGE)
    is_short = first >= last
    first = np.where(is_short, in_bin.astype(np.int64), first)
    return first, np.where(is_short, first + 1, last)
