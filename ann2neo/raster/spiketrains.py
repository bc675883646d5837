"""Rasters to and from neo.SpikeTrain, for files and for the reference engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import neo
import numpy as np
import numpy.typing as npt
import quantities as pq

from ann2neo.errors import FileFormatError
from ann2neo.raster import SPIKE_POSITION, SpikeRaster

__all__ = ["seconds_per_unit", "spike_bins", "to_spiketrains"]

_SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6}
_TOLERANCE = 1e-3
"""Maximum distance of a spike from its position in the bin, in bins.

Units of time are converted in floating point, which moves spikes a little.
"""


def to_spiketrains(
    raster: SpikeRaster,
    units: Sequence[int] | None = None,
    annotations: Sequence[dict[str, Any]] | None = None,
    *,
    t_start: float | None = None,
) -> list[neo.SpikeTrain]:
    """Convert rows of a raster into spike trains.

    Parameters
    ----------
    raster : SpikeRaster
        The spikes.
    units : sequence of int, optional
        Units to convert; all if not given.
    annotations : sequence of dict, one per chosen unit, optional
        Annotations of each train.
    t_start : float, in s, optional
        Time of the first bin on another clock; the raster's own if not given.

    Returns
    -------
    list of neo.SpikeTrain
        One per unit, times in seconds, a quarter of the way through each bin with a
        spike, with ``t_start``, ``t_stop`` and ``sampling_rate``.

    Examples
    --------
    >>> raster = SpikeRaster.from_dense([[True, False, True]])
    >>> to_spiketrains(raster)[0].times.rescale("ms")
    array([0.25, 2.25]) * ms
    """
    chosen = range(raster.n_units) if units is None else units
    start = raster.t_start_seconds if t_start is None else t_start
    period = raster.sampling_period_seconds
    # Units as objects: Neo looks their names up again and again.
    ends = {
        "t_start": start * pq.s,
        "t_stop": (start + raster.n_time_bins * period) * pq.s,
    }
    sampling_rate = (1.0 / period) * pq.Hz
    trains = []
    for position, unit in enumerate(chosen):
        train = neo.SpikeTrain(
            start + (raster.spike_bins(unit) + SPIKE_POSITION) * period,
            units=pq.s,
            sampling_rate=sampling_rate,
            **ends,
        )
        if annotations is not None:
            train.annotate(**annotations[position])
        trains.append(train)
    return trains


def seconds_per_unit(times: pq.Quantity) -> float:
    """Return how many seconds the unit of times is.

    Parameters
    ----------
    times : quantities.Quantity, time
        Times in any unit.

    Returns
    -------
    float
        What to multiply their numbers by.
    """
    # A quantity takes longer to rescale than a train of a few spikes takes to read.
    known = _SECONDS.get(times.dimensionality.string)
    return float(times.units.rescale("s").magnitude) if known is None else known


def spike_bins(
    train: neo.SpikeTrain, raster: SpikeRaster, start: int, stop: int
) -> npt.NDArray[np.int64]:
    """Find the time bins of a spike train that `to_spiketrains` made.

    Parameters
    ----------
    train : neo.SpikeTrain
        Spikes a quarter of the way through their bins.
    raster : SpikeRaster
        Its ``t_start`` and ``sampling_period`` define the bins.
    start, stop : int
        Bins in which spikes may lie, ``start .. stop - 1``.

    Returns
    -------
    ndarray of int64, shape (n_spikes,)
        Bins, ascending.

    Raises
    ------
    FileFormatError
        If a spike lies elsewhere in its bin, or not in ``start .. stop - 1``.

    Examples
    --------
    >>> raster = SpikeRaster.from_dense([[True, False, True]])
    >>> spike_bins(to_spiketrains(raster)[0], raster, 0, 3)
    array([0, 2])
    """
    times = train.magnitude * seconds_per_unit(train)
    # In bins after `t_start`: a whole number where `to_spiketrains` made the time.
    exact = (
        times - raster.t_start_seconds
    ) / raster.sampling_period_seconds - SPIKE_POSITION
    bins = np.rint(exact)
    # Every comparison with NaN is False, so negated, NaN is wrong, too.
    wrong = ~((np.abs(exact - bins) <= _TOLERANCE) & (bins >= start) & (bins < stop))
    if wrong.any():
        time = times[int(np.argmax(wrong))]
        raise FileFormatError(
            f"the spike at {time} s of {train.name or 'a spike train'} is not a quarter"
            f" of the way through one of the bins {start} .. {stop - 1} of"
            f" {raster.sampling_period}; give bin_size for spikes of another origin"
        )
    return np.sort(bins.astype(np.int64))
