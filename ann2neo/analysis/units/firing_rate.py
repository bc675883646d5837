"""Firing rate and activity of a unit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ann2neo.analysis._entry import Column, UnitStatistic, Values, reasons
from ann2neo.analysis.units.counts import Counts, Train

__all__ = ["FIRING_RATE", "MIN_TIME_BINS", "status"]

MIN_TIME_BINS = 4
"""Minimum number of bins for a statistic of order: two windows of two bins."""


def status(counts: Counts) -> npt.NDArray[Any]:
    """Return the state of each unit.

    Returns
    -------
    ndarray of str (object), shape (n_units,)
        "too_short" with fewer than `MIN_TIME_BINS` bins, else "silent" without a spike,
        "saturated" with a spike in every bin, or "active".
    """
    return reasons(
        counts,
        (counts.n_time_bins < MIN_TIME_BINS, "too_short"),
        (counts.n_spikes == 0, "silent"),
        (counts.n_spikes == counts.n_time_bins, "saturated"),
        (True, "active"),
    )


def _fast(counts: Counts) -> Values:
    rate = counts.n_spikes / max(1, counts.n_time_bins)
    return {
        "firing_rate": rate,
        "firing_rate_hz": rate / counts.raster.sampling_period_seconds,
    }


def _reference(train: Train) -> Mapping[str, Any]:
    from elephant.statistics import mean_firing_rate

    rates = [
        float(mean_firing_rate(spiketrain).rescale("Hz").magnitude)
        for spiketrain in train.spiketrains
    ]
    in_hz = float(np.dot(rates, train.counts.segments.lengths / train.n_time_bins))
    return {
        "firing_rate": in_hz * train.counts.raster.sampling_period_seconds,
        "firing_rate_hz": in_hz,
    }


FIRING_RATE = UnitStatistic(
    name="firing_rate",
    columns=(
        Column(
            "firing_rate",
            "Spikes per time bin: the share of presentations (or bins) in which the"
            " unit is active.",
        ),
        Column(
            "firing_rate_hz",
            "Firing rate in spikes per second, firing_rate divided by the bin length.",
            "Hz",
        ),
    ),
    null="",
    validity="at least one time bin",
    source="definition; `elephant.statistics.mean_firing_rate`",
    reason=lambda counts: reasons(counts, (counts.n_time_bins == 0, "no time bin")),
    fast=_fast,
    reference=_reference,
)
