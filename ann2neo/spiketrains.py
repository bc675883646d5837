"""Bits to and from neo.SpikeTrain lists, for files and for the reference engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import neo
import quantities as pq

from ann2neo.raster import SpikeRaster

__all__ = ["to_spiketrains"]


def to_spiketrains(
    raster: SpikeRaster, units: Sequence[int] | None = None, annotations: Sequence[dict[str, Any]] | None = None
) -> list[Any]:
    """Turn rows of a raster into spike trains.

    Parameters
    ----------
    raster : SpikeRaster
        The spikes.
    units : sequence of int, optional
        Units to turn; all if not given.
    annotations : sequence of dict, one per chosen unit, optional
        Annotations of each train.

    Returns
    -------
    list of neo.SpikeTrain
        One a unit, times in seconds, a quarter of the way through each bin with a spike, with ``t_start``, ``t_stop``
        and ``sampling_rate``.

    Examples
    --------
    >>> raster = SpikeRaster.from_dense([[True, False, True]])
    >>> to_spiketrains(raster)[0].times.rescale("ms")
    array([0.25, 2.25]) * ms
    """
    chosen = range(raster.n_units) if units is None else units
    t_start, t_stop = raster.t_start_seconds, raster.bin_edge_seconds(raster.n_time_bins)
    sampling_rate = (1.0 / raster.sampling_period_seconds) * pq.Hz
    trains = []
    for position, unit in enumerate(chosen):
        times = raster.spike_time_seconds(raster.spike_bins(unit))
        train = neo.SpikeTrain(times, units="s", t_start=t_start, t_stop=t_stop, sampling_rate=sampling_rate)
        if annotations is not None:
            train.annotate(**annotations[position])
        trains.append(train)
    return trains
