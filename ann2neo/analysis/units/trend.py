"""The trend test: the largest excursion of the cumulative spike count from a line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special

from ann2neo.analysis._entry import (
    BY_CONSTRUCTION,
    Column,
    FloatArray,
    IntArray,
    UnitStatistic,
    Values,
    reasons,
    text_column,
)
from ann2neo.analysis.units.counts import Counts, Train
from ann2neo.analysis.units.ljung_box import MIN_ASYMPTOTIC

__all__ = ["TREND", "excursion_pvalue"]

_SMALLEST = 1e-12
"""Smallest exact p-value, which is one minus a sum that rounds."""

_CELLS = 1 << 15
"""Cells of the bands of units that are counted together: 256 KiB, which stay in cache.
"""


def excursion_pvalue(
    n_spikes: npt.ArrayLike, n_time_bins: int, excursion: npt.ArrayLike
) -> FloatArray:
    """Return the probability of an excursion at least that large in random order.

    Parameters
    ----------
    n_spikes : array_like of int
        K of each unit, ``0 < K < N``.
    n_time_bins : int
        N, the same for all units.
    excursion : array_like of int
        ``max over k of abs(N S_k - k K)``, S_k the spikes in the first k bins.

    Returns
    -------
    ndarray of float
        Share of all placements of the spikes whose excursion is at least as large, the
        limit of drawing ever more permutations; at least 1e-12. It equals that of the
        exact two-sample Kolmogorov-Smirnov test between bins with and without a spike
        (Hodges 1958, Arkiv för Matematik 3:469). It does not depend on the other units.

    Examples
    --------
    One spike in four bins strays furthest when it comes first or last.

    >>> excursion_pvalue([1], 4, [3])
    array([0.5])
    """
    spikes, strays = np.broadcast_arrays(n_spikes, excursion)
    pairs = np.stack([np.minimum(spikes, n_time_bins - spikes), strays])
    # Units of few bins share most of their pairs of count and excursion.
    (rare, stray), unit = np.unique(pairs.reshape(2, -1), axis=1, return_inverse=True)
    inside = np.empty(len(rare))
    for group in _of_alike_bands(rare, stray, n_time_bins):
        inside[group] = _inside(rare[group], n_time_bins, stray[group])
    pvalues: FloatArray = np.clip(1.0 - inside, _SMALLEST, 1.0)[unit]
    return pvalues.reshape(spikes.shape)


def _of_alike_bands(
    rare: IntArray, excursion: IntArray, n_time_bins: int
) -> list[IntArray]:
    """Return groups of units whose bands nearly agree, each ascending in `rare`."""
    if not len(rare):
        return []
    width = np.minimum(2 * (excursion // rare) + 1, n_time_bins)
    # A band is about N / sqrt(rare) wide, and moves by N / rare from one number of
    # spikes to the next: steps of half a unit of the square root keep them together.
    slope = np.sqrt(4.0 * rare).astype(np.int64)
    order = np.lexsort((width, slope))
    filled = np.cumsum(width[order]) // _CELLS
    cuts = np.flatnonzero(np.diff(slope[order]) | np.diff(filled)) + 1
    groups = np.split(order, cuts)
    return [group[np.argsort(rare[group], kind="stable")] for group in groups]


def _inside(rare: IntArray, n_time_bins: int, excursion: IntArray) -> FloatArray:
    """Return the share of placements with a smaller excursion, `rare` ascending."""
    # A placement is a lattice path of `rare` steps up and `common` steps right. Paths
    # that stay inside a band around the diagonal are counted row by row:
    #     paths(up, right) = paths(up, right - 1) + paths(up - 1, right)
    # is a cumulative sum. The band looks the same from its end, so that half of the
    # rows suffice. With `low` + `high` = rare - 1, all paths are the sum over right of
    #     paths(low, right) paths(high, common - right).
    common, low, high = n_time_bins - rare, (rare - 1) // 2, rare // 2
    unit, n_rows = np.arange(len(rare)), int(high[-1]) + 1
    up = np.arange(n_rows + 1)[:, np.newaxis]
    # The band is abs(up common - right rare) < excursion, solved for `right`; shape
    # (rows, n_units).
    first = np.maximum(0, (up * common - excursion) // rare + 1)
    last = np.minimum(common, -(-(up * common + excursion) // rare) - 1)
    # The number of all placements is C(common + rare, rare), the product of (common +
    # up) / up. Each row is divided by two of these and their root, as it counts twice.
    twice = np.maximum(2, 2 * up)
    scale = np.sqrt(twice / (common + twice) * (twice - 1) / (common + twice - 1))
    scale = scale[:, :, np.newaxis]
    missing = np.where(rare % 2, rare / n_time_bins, scale[high, unit, 0])
    # Cells left of a band are kept at 0, those right of it hold anything: what a band
    # leaves on the left and enters on the right is cleared before each row. It is at
    # most `most` cells, for which there is room on both sides.
    most = int((-(-common // rare)).max()) + 1
    paths = np.zeros((len(rare), most + int(common.max()) + 1 + most))
    paths[:, most:] = np.arange(paths.shape[1] - most) <= last[0][:, np.newaxis]
    start, flat = unit * paths.shape[1] + most, paths.reshape(-1)
    edges = (np.stack([first[1:] - most, last[:-1] + 1], axis=1) + start)[..., None]
    cells = np.arange(most)
    left, right = first.min(axis=1) + most, last.max(axis=1) + most + 1
    # Units that have ended are left out of later rows.
    of_low, of_high = (np.searchsorted(x, np.arange(n_rows + 1)) for x in (low, high))
    lower: list[FloatArray] = []
    shares = np.empty(len(rare))
    begin, end = first[low + 1, unit], last[low, unit] + 1
    with np.errstate(over="ignore"):
        for row in range(n_rows):
            active = of_high[row]
            if row:
                flat[edges[row - 1, :, active:] + cells] = 0
                band = paths[active:, left[row] : right[row]]
                np.add.accumulate(band, axis=1, out=band)
                band *= scale[row, active:]
            lower += [
                paths[i, most + begin[i] : most + end[i]].copy()
                for i in range(of_low[row], of_low[row + 1])
            ]
            for i in range(active, of_high[row + 1]):
                ahead = paths[i, most + common[i] + 1 - end[i] :][: len(lower[i])]
                shares[i] = lower[i] @ ahead[::-1]
    return shares * missing


def _reason(counts: Counts) -> npt.NDArray[Any]:
    return reasons(
        counts,
        (counts.n_time_bins == 0, "no time bin"),
        (counts.n_spikes == 0, "silent"),
        (counts.n_spikes == counts.n_time_bins, "saturated"),
    )


def _fast(counts: Counts) -> Values:
    n_time_bins, spikes = counts.n_time_bins, counts.n_spikes
    drift = counts.intervals.drift
    rarer = np.minimum(spikes, n_time_bins - spikes)
    # max over k of abs(S_k - k p) / sqrt(N p (1 - p)), the maximum of a Brownian bridge
    # in the limit. N is a float since the product of three counts can overflow.
    statistic = drift / np.sqrt(spikes * (n_time_bins - spikes) * float(n_time_bins))
    pvalue = special.kolmogorov(statistic)
    method = np.full(counts.n_units, "Kolmogorov", dtype=object)
    sparse = (rarer < MIN_ASYMPTOTIC) & (rarer > 0)
    pvalue[sparse] = excursion_pvalue(rarer[sparse], n_time_bins, drift[sparse])
    method[sparse] = "exact permutation"
    return {
        "trend_statistic": statistic,
        "trend_pvalue": pvalue,
        "trend_method": method,
    }


def _reference(train: Train) -> Mapping[str, Any]:
    from scipy.stats import ks_2samp
    from statsmodels.stats.diagnostic import breaks_cusumolsresid

    series = train.series
    spikes = int(series.sum())
    statistic, pvalue, _ = breaks_cusumolsresid(series - series.mean())
    method = "Kolmogorov"
    if min(spikes, train.n_time_bins - spikes) < MIN_ASYMPTOTIC:
        exact = ks_2samp(
            np.flatnonzero(series), np.flatnonzero(series == 0), method="exact"
        )
        pvalue, method = max(_SMALLEST, float(exact.pvalue)), "exact permutation"
    return {
        "trend_statistic": float(statistic),
        "trend_pvalue": float(pvalue),
        "trend_method": method,
    }


TREND = UnitStatistic(
    name="trend",
    columns=(
        Column(
            "trend_statistic",
            "Largest distance of the cumulative spike count from a straight line, in"
            " standard deviations. Segments follow one another.",
            in_random_order=BY_CONSTRUCTION,
        ),
        Column(
            "trend_pvalue",
            "p-value of independent bins of one rate. Not a test of stationarity where"
            " a train has memory: of stationary trains, bursts reject in 25 % and"
            " Markov chains in 15 to 61 % at a level of 5 %, regular trains never; see"
            " kpss_pvalue.",
            in_random_order=BY_CONSTRUCTION,
        ),
        text_column(
            "trend_method",
            "Null distribution of the trend test: Kolmogorov, or exact permutation"
            f" below {MIN_ASYMPTOTIC} spikes or empty bins.",
        ),
    ),
    null="independent bins of one rate",
    null_in_short="independent, of one rate (trend)",
    validity="neither silent nor saturated",
    source=(
        "two-sample Kolmogorov-Smirnov test between bins with and without a spike,"
        " Hodges (1958), Arkiv för Matematik 3:469; `scipy.stats.kstwobign`"
    ),
    reason=_reason,
    fast=_fast,
    reference=_reference,
    pvalue="trend_pvalue",
)
