"""Change points of the firing rate by the multiple filter test, for whole layers."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ann2neo._checks import real_number, seed_or_new, whole_number
from ann2neo._parallel import Task, checked_executor, map_tasks
from ann2neo.analysis._entry import (
    BY_CONSTRUCTION,
    Column,
    FloatArray,
    IntArray,
    count_column,
    text_column,
)
from ann2neo.errors import InputValueError
from ann2neo.raster import SegmentedRaster
from ann2neo.recording import Recording, checked_recording
from ann2neo.recording.segments import (
    SegmentedPhase,
    UnitsOfPhase,
    segmented_phases,
)

__all__ = [
    "MIN_EXPECTED_SPIKES",
    "POINT_COLUMNS",
    "UNIT_COLUMNS",
    "ChangePoints",
    "change_points",
]

MIN_EXPECTED_SPIKES = 150
"""Minimum number of spikes expected in a window. With fewer the test rejects a constant
rate too often: at a level of 5 %, 9 % with 150 spikes, 11 % with 50, 33 % with 10.
"""

_STEPS_PER_WINDOW = 20
_UNITS_PER_TASK = 64
_NO_LIMITS: tuple[float, tuple[float, ...], tuple[float, ...]] = (float("nan"), (), ())

_PLACE = (
    count_column("unit", "Index of the unit in the recording."),
    text_column("phase", "Phase that was searched."),
    text_column(
        "order", "Order of the stimuli in the phase: random, stored or unknown."
    ),
)
POINT_COLUMNS: tuple[Column, ...] = (
    *_PLACE,
    count_column(
        "time_bin",
        "First time bin of the new firing rate, counted from the start of the"
        " recording.",
    ),
    Column("time_s", "Left edge of that bin.", "s"),
    count_column(
        "window", "Shortest window that found the change point, in time bins."
    ),
)
"""Columns of `ChangePoints.points`."""

UNIT_COLUMNS: tuple[Column, ...] = (
    *_PLACE,
    Column(
        "n_change_points",
        "Change points of the firing rate; -1 where it was not tested.",
        "1",
        "int64",
        BY_CONSTRUCTION,
    ),
    Column(
        "statistic",
        "Largest value of the normalized filter processes of the multiple filter test.",
        in_random_order=BY_CONSTRUCTION,
    ),
    Column(
        "threshold",
        "Value that the statistic of a unit of constant rate exceeds with probability"
        " alpha.",
    ),
    text_column("windows", "Lengths of the windows, in time bins."),
    text_column("reason", "Why the unit was not tested; empty where it was."),
)
"""Columns of `ChangePoints.units`."""


@dataclasses.dataclass(frozen=True)
class ChangePoints:
    """Change points of the units of a recording.

    Parameters
    ----------
    points : pandas.DataFrame
        One row per change point, in order of phase, unit and time: ``unit``, ``phase``,
        ``order``, ``time_bin`` (the first bin of the new rate, counted from the start
        of the recording), ``time_s`` and ``window`` (the shortest window that found it,
        in bins).
    units : pandas.DataFrame
        One row per unit and phase: ``unit``, ``phase``, ``order``, ``n_change_points``
        (-1 where not tested), ``statistic`` (the largest value of the normalised filter
        processes), ``threshold`` (what it must exceed), ``windows`` and ``reason`` (why
        it was not tested, else empty).
    alpha : float
        Probability that a unit of constant rate has a change point.
    n_surrogates : int
        Number of limit processes simulated for each threshold.
    seed : int
        Seed of the simulation.

    Examples
    --------
    >>> from ann2neo.raster import SpikeRaster
    >>> rng = np.random.default_rng(0)
    >>> dense = rng.random((1, 20_000)) < np.repeat([0.2, 0.6], 10_000)
    >>> result = change_points(
    ...     Recording.from_raster(SpikeRaster.from_dense(dense)),
    ...     windows=[1000, 2000],
    ...     seed=0,
    ... )
    >>> result.units["n_change_points"].to_list()
    [1]
    >>> abs(int(result.points["time_bin"][0]) - 10_000) < 100
    True
    """

    points: pd.DataFrame
    units: pd.DataFrame
    alpha: float
    n_surrogates: int
    seed: int


def change_points(
    recording: Recording,
    windows: Sequence[int] | None = None,
    alpha: float = 0.05,
    *,
    step: int | None = None,
    n_surrogates: int = 1000,
    seed: int | None = 0,
    executor: Executor | None = None,
) -> ChangePoints:
    """Find where the firing rate of each unit changes.

    The windows to the left and to the right of every point in time are compared. The
    largest normalised difference over several lengths of window is tested against its
    distribution for a constant rate (Messer et al. 2014, Ann Appl Stat 8:2027). Results
    are those of `elephant.change_point_detection.multiple_filter_test` for spike times
    counted in bins.

    Parameters
    ----------
    recording : Recording
        What to search, phase by phase.
    windows : sequence of int, optional
        Lengths of the windows in bins, each less than half of the longest segment of
        every phase. If not given: the shortest window in which the median active unit
        is expected to spike `MIN_EXPECTED_SPIKES` times, doubled up to a quarter of the
        longest segment.
    alpha : float, default 0.05
        Probability of finding a change point where there is none; 0.05 is Elephant's
        ``alpha=5``, in percent there.
    step : int, optional
        Bins between the points in time that are tested, a divisor of every window; a
        twentieth of the shortest window if not given.
    n_surrogates : int, default 1000
        Limit processes to simulate for the threshold.
    seed : int, default 0
        Seed of the simulation; None draws one, and the result reports it.
    executor : concurrent.futures.Executor, optional
        As in `analyze`.

    Returns
    -------
    ChangePoints
        The change points, a row per unit, and the settings.

    Raises
    ------
    InputTypeError, InputValueError
        If an argument has the wrong type or is out of range, or a window is longer than
        half of the longest segment of a phase.

    Notes
    -----
    In random order a constant rate is true by construction: a change point points to a
    fault in the pipeline. Units expected to spike less than `MIN_EXPECTED_SPIKES` times
    in the shortest window are not tested, and the column ``reason`` says so. Windows
    whose intervals do not vary at all are never significant.

    A phase of several segments is searched inside each of them, by the windows that fit
    in twice; the threshold is that of limit processes of the same lengths, one per
    segment, so that a unit of one rate has a change point anywhere with probability
    `alpha`. A rate that changes between two segments is not looked for.

    References
    ----------
    Messer, M. et al. (2014). A multiple filter test for the detection of rate changes
    in renewal processes with varying variance. Ann. Appl. Stat. 8.

    Examples
    --------
    >>> import numpy as np
    >>> from ann2neo import SpikeRaster
    >>> rate = np.repeat([0.2, 0.6], 5000)
    >>> dense = np.random.default_rng(0).random((1, 10_000)) < rate
    >>> result = change_points(
    ...     Recording.from_raster(SpikeRaster.from_dense(dense)), windows=[1000, 2000]
    ... )
    >>> result.points["time_bin"].to_list()
    [5000]
    """
    checked_recording(recording, "change_points")
    remedy = "it is a probability, 0.05 where Elephant takes 5 percent"
    alpha = real_number(alpha, "alpha", remedy=remedy)
    if not 0 < alpha <= 0.5:
        raise InputValueError(
            f"alpha must lie between 0 and 0.5, got {alpha:g}; {remedy}"
        )
    n_surrogates = whole_number(n_surrogates, "n_surrogates", remedy="1000 is usual")
    seed = seed_or_new(seed)
    raster, tasks = recording.raster, []
    for phase in segmented_phases(recording):
        joined_lengths = tuple(phase.lengths.tolist())
        lengths, stride, why_untested = _windows(
            windows, step, phase.spike_counts(raster), phase.n_time_bins, phase.lengths
        )
        limits = _NO_LIMITS
        if not why_untested:
            limits = _limit_distribution(
                joined_lengths, lengths, stride, alpha, n_surrogates, seed
            )
        search = _Search(lengths, stride, why_untested, limits)
        tasks += [
            Task(str(part), (part, search))
            for part in phase.unit_parts(raster, _UNITS_PER_TASK)
        ]
    point_rows: list[dict[str, Any]] = []
    unit_rows: list[dict[str, Any]] = []
    for points, units in map_tasks(_found, tasks, checked_executor(executor)):
        point_rows += points
        unit_rows += units
    return ChangePoints(
        pd.DataFrame(point_rows, columns=[column.name for column in POINT_COLUMNS]),
        pd.DataFrame(unit_rows, columns=[column.name for column in UNIT_COLUMNS]),
        alpha,
        n_surrogates,
        seed,
    )


class _Search(NamedTuple):
    """How a phase is searched.

    Parameters
    ----------
    windows : tuple of int
        Lengths of the windows, in bins.
    step : int
        Bins between the points in time that are tested.
    why_untested : str
        Why no unit is tested; empty if units are.
    limits : tuple of float, tuple of float and tuple of float
        Threshold (NaN if no unit is tested), means and standard deviations of the
        maxima, see `_limit_distribution`.
    """

    windows: tuple[int, ...]
    step: int
    why_untested: str
    limits: tuple[float, tuple[float, ...], tuple[float, ...]]


def _found(
    part: UnitsOfPhase, search: _Search
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return a row per change point, and a row per unit."""
    phase, segments = part.phase, part.raster()
    n_bins, lengths = segments.n_time_bins, search.windows
    counts, clock = segments.raster.spike_counts(), part.carried.open()
    threshold = search.limits[0]
    times = [_times(segments, window, search.step) for window in lengths]
    point_rows, unit_rows = [], []
    for unit, count in enumerate(counts.tolist()):
        reason, largest, points = search.why_untested, float("nan"), []
        if lengths and count * lengths[0] < MIN_EXPECTED_SPIKES * n_bins:
            reason = (
                f"{count * lengths[0] / n_bins:.0f} spikes expected in"
                f" {lengths[0]} bins; needs {MIN_EXPECTED_SPIKES}"
            )
        if not reason:
            scaled = _scaled_processes(segments, unit, search)
            largest = max(float(process.max()) for process in scaled)
            points = _points(scaled, threshold, times, lengths)
        place = {
            "unit": part.units.start + unit,
            "phase": phase.phase,
            "order": phase.order,
        }
        unit_rows.append(
            {
                **place,
                "n_change_points": -1 if reason else len(points),
                "statistic": largest,
                "threshold": threshold,
                "windows": " ".join(map(str, lengths)),
                "reason": reason,
            }
        )
        for time_bin, window in sorted(points):
            in_recording = int(_in_recording(phase, segments, time_bin))
            point_rows.append(
                {
                    **place,
                    "time_bin": in_recording,
                    "time_s": clock.bin_edge_seconds(in_recording),
                    "window": window,
                }
            )
    return point_rows, unit_rows


def _scaled_processes(
    segments: SegmentedRaster, unit: int, search: _Search
) -> list[FloatArray]:
    """Return the processes of a unit in standard deviations, one per window."""
    _, means, deviations = search.limits
    # One list of processes per segment, set side by side.
    inside = [
        _filter_processes(bins, n, search.windows, search.step)
        for bins, n in _trains(segments, unit)
    ]
    processes = [np.concatenate(of_window) for of_window in zip(*inside, strict=True)]
    return [
        (process - mean) / deviation
        for process, mean, deviation in zip(processes, means, deviations, strict=True)
    ]


def _in_recording(
    phase: SegmentedPhase, segments: SegmentedRaster, time_bin: int
) -> int:
    """Return where a bin of the joined segments lies in the recording."""
    segment = int(segments.segment_of(np.array(time_bin)))
    return int(phase.starts[segment] - segments.edges[segment]) + time_bin


def _trains(segments: SegmentedRaster, unit: int) -> Iterator[tuple[IntArray, int]]:
    """Yield the spikes of a unit in each segment, from its start, and its length."""
    bins = segments.raster.spike_bins(unit)
    cuts = np.searchsorted(bins, segments.edges[1:-1])
    for part, start, stop in zip(
        np.split(bins, cuts), segments.edges[:-1], segments.edges[1:], strict=True
    ):
        yield part - start, int(stop - start)


def _times(segments: SegmentedRaster, window: int, step: int) -> IntArray:
    """Return the points in time that have a window before and after them."""
    return np.concatenate(
        [
            np.arange(start + window, stop - window, step)
            for start, stop in pairwise(segments.edges.tolist())
        ]
    )


def _windows(
    asked: Sequence[int] | None,
    step: int | None,
    n_spikes: IntArray,
    n_time_bins: int,
    segment_lengths: IntArray,
) -> tuple[tuple[int, ...], int, str]:
    """Return the lengths of the windows, the step, and why there is no window."""
    longest = int(segment_lengths.max(initial=0))
    stretch = "phase" if len(segment_lengths) == 1 else "phase's longest segment"
    if asked is not None:
        lengths = tuple(sorted({int(length) for length in asked}))
        if not lengths or lengths[0] < 1 or 2 * lengths[-1] >= longest:
            raise InputValueError(
                "windows must last at least one bin and less than half of each"
                f" {stretch} ({longest} bins), got {list(asked)}; shorten them, or"
                " leave them out"
            )
    else:
        active = n_spikes[n_spikes > 0]
        if not len(active):
            return (), 1, "no unit spikes in this phase"
        shortest = MIN_EXPECTED_SPIKES * n_time_bins / float(np.median(active))
        # A multiple of the steps, so that the step is whole and divides every window.
        first = _STEPS_PER_WINDOW * int(np.ceil(shortest / _STEPS_PER_WINDOW))
        if 4 * first > longest:
            inside = "" if len(segment_lengths) == 1 else " of the longest segment"
            reason = (
                f"{longest} time bins{inside} are less than four windows of"
                f" {MIN_EXPECTED_SPIKES} spikes"
            )
            return (), 1, reason
        lengths = tuple(
            first * 2**power for power in range(32) if 4 * first * 2**power <= longest
        )
    stride = max(1, lengths[0] // _STEPS_PER_WINDOW) if step is None else step
    uneven = [length for length in lengths if stride < 1 or length % stride]
    if uneven:
        raise InputValueError(
            f"every window must be a multiple of the step, got a window of {uneven[0]}"
            f" bins and a step of {stride}; pass step=, a common divisor of the windows"
        )
    return lengths, stride, ""


def _filter_processes(
    spike_bins: IntArray, n_time_bins: int, windows: Sequence[int], step: int
) -> list[FloatArray]:
    """Return the normalised differences of neighbouring counts, for each window.

    That is ``abs(right - left) / sd`` of the counts in the windows to the right and to
    the left of each point in time.
    """
    # squares[j + 1] sums the squared intervals up to spike j, so that a difference of
    # two entries gives those of any window.
    steps = np.diff(spike_bins, prepend=spike_bins[:1])
    squares = np.concatenate([[0], np.cumsum(steps * steps)])
    processes = []
    for window in windows:
        times = np.arange(window, n_time_bins - window, step)
        left, middle, right = (
            np.searchsorted(spike_bins, times + shift) for shift in (-window, 0, window)
        )
        before = _count_variance(spike_bins, squares, left, middle, window)
        after = _count_variance(spike_bins, squares, middle, right, window)
        difference = np.abs((right - middle) - (middle - left))
        with np.errstate(invalid="ignore", divide="ignore"):
            scaled = difference / np.sqrt(before + after)
        processes.append(np.where((before > 0) & (after > 0), scaled, 0.0))
    return processes


def _count_variance(
    bins: IntArray, squares: IntArray, first: IntArray, stop: IntArray, window: int
) -> FloatArray:
    """Return the variance of the counts of a renewal process, window by window.

    Its intervals have mean and variance of those observed in the window; 0 if they do
    not vary.
    """
    n_intervals = stop - first - 1
    enough = n_intervals >= 1
    # Whole numbers up to here, so that a variance of 0 is exactly 0.
    begin, last = np.where(enough, first, 0), np.where(enough, stop - 1, 0)
    total = bins[last] - bins[begin]
    spread = _difference_of_products(
        n_intervals, squares[last + 1] - squares[begin + 1], total
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        # variance / mean^3 * window, with variance = spread / n^2, mean = total / n.
        variance = spread * n_intervals / total.astype(np.float64) ** 3 * window
    return np.where(enough & (spread > 0), variance, 0.0)


def _difference_of_products(n: IntArray, squares: IntArray, total: IntArray) -> Any:
    """Return ``n squares - total^2``, in whole numbers unless they are huge.

    Both products may be beyond 64 bits. Integers wrap around, so that the difference is
    exact all the same where it fits itself.
    """
    about = n * squares.astype(np.float64) - total.astype(np.float64) ** 2
    with np.errstate(over="ignore"):
        exact = n * squares - total * total
    return np.where(np.abs(about) < 2.0**62, exact, about)


def _points(
    processes: Sequence[FloatArray],
    threshold: float,
    times: Sequence[IntArray],
    windows: Sequence[int],
) -> list[tuple[int, int]]:
    """Return change points and the windows that found them, shortest windows first."""
    points: list[tuple[int, int]] = []
    for process, window, place in zip(processes, windows, times, strict=True):
        rest = process.copy()
        # Change points of shorter windows are kept; one of a longer window counts only
        # at some distance from all of them.
        shorter = [point for point, _ in points]
        while rest.max() > threshold:
            point = int(place[np.argmax(rest)])
            # Windows that overlap a change point see it too, so they count no more.
            rest[np.abs(place - point) < window] = 0
            if not any(abs(point - other) < window for other in shorter):
                points.append((point, window))
    return points


@lru_cache(maxsize=64)
def _limit_distribution(
    n_time_bins: int | tuple[int, ...],
    windows: tuple[int, ...],
    step: int,
    alpha: float,
    n_surrogates: int,
    seed: int,
) -> tuple[float, tuple[float, ...], tuple[float, ...]]:
    """Return the threshold, and mean and standard deviation of each maximum.

    The maxima are those of limit processes, from simulated Brownian motion, one for
    each segment of so many bins.
    """
    # Elephant draws from this generator, seeded by np.random.seed: equal seeds give the
    # same threshold. It takes seeds of 32 bits.
    if seed >= 2**32:
        seed = int(np.random.SeedSequence(seed).generate_state(1)[0])
    rng = np.random.RandomState(seed)
    # With W Brownian motion, the limit for windows of length h is the maximum over t of
    #     abs(W(t + h) + W(t - h) - 2 W(t)) / sqrt(2 h).
    maxima = np.zeros((n_surrogates, len(windows)))
    for draw in range(n_surrogates):
        for length in np.atleast_1d(n_time_bins).tolist():
            motion = np.cumsum(rng.normal(0, np.sqrt(step), size=length // step))
            for index, window in enumerate(windows):
                lag = window // step
                bend = motion[2 * lag :] + motion[: -2 * lag] - 2 * motion[lag:-lag]
                largest = np.abs(bend).max(initial=0) / np.sqrt(2 * window)
                maxima[draw, index] = max(maxima[draw, index], largest)
    means, deviations = maxima.mean(axis=0), np.sqrt(maxima.var(axis=0))
    # Standardised, so that short windows, whose maxima are larger, do not decide alone.
    overall = ((maxima - means) / deviations).max(axis=1)
    threshold = float(np.percentile(overall, 100.0 - 100.0 * alpha))
    return threshold, tuple(means.tolist()), tuple(deviations.tolist())
