"""Variability of inter-spike intervals: CV, CV2 and LV, and their expected values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ann2neo.analysis._entry import (
    Column,
    FloatArray,
    UnitStatistic,
    Values,
    reasons,
)
from ann2neo.analysis.units.counts import Counts, Train

__all__ = ["CV2", "CV_ISI", "LV", "cv2_expected", "cv_isi_expected", "lv_expected"]


def cv_isi_expected(firing_rate: npt.ArrayLike) -> FloatArray:
    """Return the CV of geometric intervals, ``sqrt(1 - p)``.

    Parameters
    ----------
    firing_rate : array_like of float
        Spikes per bin, p.

    Returns
    -------
    ndarray of float
        Coefficient of variation.
    """
    return np.sqrt(1.0 - np.asarray(firing_rate, np.float64))


@np.errstate(divide="ignore", invalid="ignore")
def cv2_expected(firing_rate: npt.ArrayLike) -> FloatArray:
    """Return the CV2 of independent geometric intervals.

    Given the sum s of two intervals, the first is uniform on 1 .. s - 1. Summing ``2
    abs(2 a - s) / s`` over a and s gives ``2 p^2 (q (q + 1) / (1 - q^2)^2 - q / (2 (1 -
    q^2)) + (artanh(q) - q) / (2 q^2))`` with ``q = 1 - p``.

    Parameters
    ----------
    firing_rate : array_like of float, 0 < p <= 1
        Spikes per bin.

    Returns
    -------
    ndarray of float
        Expected CV2; tends to 1 (the Poisson process) for small rates.

    Examples
    --------
    >>> cv2_expected([0.3, 0.5, 0.7]).round(2)
    array([0.73, 0.55, 0.35])
    """
    p = np.asarray(firing_rate, np.float64)
    q = 1.0 - p
    # 1 - q^2, as a product that does not cancel at small rates.
    rest = p * (1.0 + q)
    far = (np.arctanh(q) - q) / (2 * q * q)
    # Near q = 0 the closed form cancels; its series is exact there.
    far = np.where(q < 1e-3, q / 6 + q**3 / 10, far)
    return 2 * p * p * (q * (q + 1) / rest**2 - q / (2 * rest) + far)


@np.errstate(divide="ignore", invalid="ignore")
def lv_expected(firing_rate: npt.ArrayLike) -> FloatArray:
    """Return the LV of independent geometric intervals.

    That is ``q - p + 2 p^2 (-ln p - q) / q^2`` with ``q = 1 - p``.

    Parameters
    ----------
    firing_rate : array_like of float, 0 < p <= 1
        Spikes per bin.

    Returns
    -------
    ndarray of float
        Expected LV; tends to 1 (the Poisson process) for small rates.

    Examples
    --------
    >>> lv_expected([0.3, 0.5, 0.7]).round(2)
    array([0.59, 0.39, 0.22])
    """
    p = np.asarray(firing_rate, np.float64)
    q = 1.0 - p
    far = (-np.log(p) - q) / (q * q)
    # Near q = 0 the closed form cancels; q - p + p^2 = q^2 there is exact.
    near = q * q + 2 * p * p * (q / 3 + q * q / 4 + q**3 / 5)
    return np.where(q < 1e-3, near, q - p + 2 * p * p * far)


def _fewer_than(spikes: int) -> Callable[[Counts], npt.NDArray[Any]]:
    """Return the function that says which units lack a segment of so many spikes."""

    def reason(counts: Counts) -> npt.NDArray[Any]:
        if counts.segments.n_segments == 1:
            return reasons(
                counts, (counts.n_spikes < spikes, f"fewer than {spikes} spikes")
            )
        intervals = counts.intervals
        # Two spikes make an interval, three a pair of neighbours.
        found = intervals.n_intervals if spikes == 2 else intervals.n_pairs
        return reasons(counts, (found == 0, f"fewer than {spikes} spikes per segment"))

    return reason


def _rate(counts: Counts) -> FloatArray:
    return counts.n_spikes / max(1, counts.n_time_bins)


def _cv_fast(counts: Counts) -> Values:
    # Python's integers: n squares is of third order in the bins and overflows int64
    # from about two million bins on.
    n, total, squares = (
        values.astype(object)
        for values in (
            counts.intervals.n_intervals,
            counts.intervals.total,
            counts.intervals.squares,
        )
    )
    # Variance squares / n - (total / n)^2 and mean total / n: n cancels in the CV.
    spread = np.maximum(n * squares - total * total, 0).astype(np.float64)
    return {
        "cv_isi": np.sqrt(spread) / counts.intervals.total,
        "cv_isi_expected": cv_isi_expected(_rate(counts)),
    }


def _reference_of(
    name: str, expected: Callable[[float], FloatArray], function: str
) -> Callable[[Train], Mapping[str, Any]]:
    """Return the reference engine of a column, a function of Elephant's.

    Intervals of all segments make one CV; CV2 and LV are means over segments, weighted
    by their pairs of neighbouring intervals.
    """

    def reference(train: Train) -> Mapping[str, Any]:
        from elephant import statistics

        of_intervals = getattr(statistics, function)
        intervals = [np.asarray(statistics.isi(part)) for part in train.spiketrains]
        if function == "cv":
            value = of_intervals(np.concatenate(intervals))
        else:
            paired = [part for part in intervals if len(part) >= 2]
            weights = np.array([len(part) - 1 for part in paired])
            values = [of_intervals(part) for part in paired]
            value = np.dot(values, weights / weights.sum())
        rate = sum(map(len, train.spiketrains)) / train.n_time_bins
        return {name: float(value), f"{name}_expected": float(expected(rate))}

    return reference


CV_ISI = UnitStatistic(
    name="cv_isi",
    columns=(
        Column(
            "cv_isi",
            "Coefficient of variation of the inter-spike intervals: 0 for a clock, 1"
            " for Poisson.",
        ),
        Column(
            "cv_isi_expected",
            "CV of the geometric intervals that the firing rate alone gives, sqrt(1"
            " - p).",
        ),
    ),
    null="",
    validity="at least two spikes in one segment",
    source=(
        "Softky and Koch (1993), J Neurosci 13:334; `elephant.statistics.isi` and"
        " `elephant.statistics.cv`"
    ),
    reason=_fewer_than(2),
    fast=_cv_fast,
    reference=_reference_of("cv_isi", cv_isi_expected, "cv"),
)

CV2 = UnitStatistic(
    name="cv2",
    columns=(
        Column(
            "cv2",
            "Local variation of neighbouring intervals (Holt 1996), insensitive to slow"
            " drift of the rate.",
        ),
        Column(
            "cv2_expected",
            "CV2 of the geometric intervals that the firing rate alone gives.",
        ),
    ),
    null="",
    validity="at least three spikes in one segment",
    source="Holt et al. (1996), J Neurophysiol 75:1806; `elephant.statistics.cv2`",
    reason=_fewer_than(3),
    fast=lambda counts: {
        "cv2": 2 * counts.intervals.contrast / counts.intervals.n_pairs,
        "cv2_expected": cv2_expected(_rate(counts)),
    },
    reference=_reference_of("cv2", cv2_expected, "cv2"),
)

LV = UnitStatistic(
    name="lv",
    columns=(
        Column(
            "lv",
            "Local variation of neighbouring intervals (Shinomoto 2003), insensitive to"
            " slow drift.",
        ),
        Column(
            "lv_expected",
            "LV of the geometric intervals that the firing rate alone gives.",
        ),
    ),
    null="",
    validity="at least three spikes in one segment",
    source=(
        "Shinomoto, Shima and Tanji (2003), Neural Comput 15:2823;"
        " `elephant.statistics.lv`"
    ),
    reason=_fewer_than(3),
    fast=lambda counts: {
        "lv": 3 * counts.intervals.squared_contrast / counts.intervals.n_pairs,
        "lv_expected": lv_expected(_rate(counts)),
    },
    reference=_reference_of("lv", lv_expected, "lv"),
)
