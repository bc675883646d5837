"""p-values of whole networks, from permutations of the bins of all units jointly."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from concurrent.futures import Executor
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ann2neo._checks import seed_or_new, whole_number
from ann2neo._parallel import Task, checked_executor, map_blocks, map_tasks
from ann2neo.analysis._entry import (
    BY_CONSTRUCTION,
    Column,
    FloatArray,
    IntArray,
    NetworkTest,
    count_column,
    text_column,
)
from ann2neo.analysis._phases import lags_for, window_for
from ann2neo.analysis.units.counts import Counts
from ann2neo.analysis.units.dispersion import dispersion_values
from ann2neo.analysis.units.ljung_box import ljung_box_values
from ann2neo.raster import BinPermuter, SegmentedRaster, SpikeRaster
from ann2neo.recording import Recording, checked_recording
from ann2neo.recording.segments import (
    SegmentedPhase,
    UnitsOfPhase,
    segmented_phases,
)

__all__ = ["COLUMNS", "NETWORK_TESTS", "network_test"]

_BLOCK_CELLS = 1 << 26
_RANGES = 8
"""Ranges of permutations that workers take; each draws those before it anew."""
_NULL = (
    "every joint permutation of the bins inside their segments is equally likely: their"
    " order does not matter"
)


@np.errstate(all="ignore")
def _windowed_trend(counts: Counts) -> FloatArray:
    n, spikes = counts.n_windows, counts.windowed_spikes
    bins = n * counts.window
    spread = spikes * (bins - spikes)
    if n < 2:
        return np.full(counts.n_units, np.nan)
    # (n_units, n_windows): spikes up to each edge if the rate were constant.
    line = (spikes / n)[:, np.newaxis] * np.arange(1, n + 1)
    steps = np.cumsum(counts.windows, axis=1) - line
    drift = np.abs(steps, out=steps).max(axis=1, initial=0)
    # Divided by sqrt(N' p' (1 - p')), as the trend of a unit is.
    return np.where(spread == 0, np.nan, drift * np.sqrt(bins / spread))


NETWORK_TESTS: tuple[NetworkTest, ...] = (
    NetworkTest(
        name="mean_dispersion",
        columns=(
            Column(
                "mean_dispersion",
                "Mean dispersion of the units; two-sided, against bursts, drift or"
                " regularity.",
                in_random_order=BY_CONSTRUCTION,
            ),
        ),
        null=_NULL,
        validity="at least one unit with a dispersion",
        source="variance test for binomial counts, Cochran (1954), Biometrics 10:417",
        fast=lambda counts: dispersion_values(
            counts.window_squares,
            counts.windowed_spikes,
            counts.n_windows,
            counts.window,
        ),
        two_sided=True,
        of_windows=True,
    ),
    NetworkTest(
        name="mean_ljung_box_statistic",
        columns=(
            Column(
                "mean_ljung_box_statistic",
                "Mean Ljung-Box statistic of the units; one-sided, against serial"
                " dependence.",
                in_random_order=BY_CONSTRUCTION,
            ),
        ),
        null=_NULL,
        validity=(
            "a segment of more bins than lags, and at least one unit that is neither"
            " silent nor saturated"
        ),
        source="Ljung and Box (1978), Biometrika 65:297",
        fast=ljung_box_values,
    ),
    NetworkTest(
        name="mean_windowed_trend",
        columns=(
            Column(
                "mean_windowed_trend",
                "Mean over units of the largest distance of the cumulative spike count"
                " from a straight line, seen at the windows' edges, in standard"
                " deviations; one-sided, against drift.",
                in_random_order=BY_CONSTRUCTION,
            ),
        ),
        null=_NULL,
        validity="two windows, and at least one unit that is not constant in them",
        source="as the trend of a unit, at the edges of the windows",
        fast=_windowed_trend,
        of_windows=True,
    ),
)
"""The tests of a network, each of the mean over units of a statistic."""

COLUMNS: tuple[Column, ...] = (
    text_column("phase", "Phase that was tested."),
    text_column(
        "order", "Order of the stimuli in the phase: random, stored or unknown."
    ),
    text_column("statistic", "Name of the statistic of the network."),
    Column("observed", "Mean over units of the statistic, as observed."),
    Column("null_mean", "Its mean over the joint permutations of the bins."),
    Column(
        "pvalue",
        "p-value of the null hypothesis that the order of the bins does not matter.",
        in_random_order=BY_CONSTRUCTION,
    ),
    text_column("reason", "Why there is no p-value; empty where there is one."),
    count_column("n_units", "Units that have the statistic."),
    count_column("window", "Length of a counting window, in time bins."),
    count_column("lags", "Lags of the Ljung-Box statistic."),
    count_column("n_permutations", "Number of joint permutations."),
    count_column("seed", "Seed of the permutations."),
)
"""Columns of the table of `network_test`."""


def network_test(
    recording: Recording,
    n_permutations: int = 999,
    seed: int | None = None,
    window: int | None = None,
    lags: int | None = None,
    *,
    executor: Executor | None = None,
) -> pd.DataFrame:
    """Test whether the order of the time bins matters to a network.

    Tests of single units cannot be combined into one test of the network, since units
    of one layer are not independent. Here the bins of every segment are permuted
    jointly for all units, which keeps all dependence between units within a bin, and
    the rates of each segment.

    Parameters
    ----------
    recording : Recording
        What to test; each phase is tested on its own, and no bin leaves its segment.
    n_permutations : int, default 999
        Number of joint permutations; the smallest p-value is ``1 / (n_permutations +
        1)``, twice that two-sided.
    seed : int, optional
        Seed of the permutations; drawn, and reported in the table, if not given.
    window, lags, executor
        As in `analyze`.

    Returns
    -------
    pandas.DataFrame
        One row per phase and statistic of `NETWORK_TESTS`: ``phase``, ``order``,
        ``statistic``, ``observed``, ``null_mean``, ``pvalue``, ``reason``, ``n_units``
        (units with the statistic), ``window``, ``lags``, ``n_permutations``, ``seed``.
        Where no unit has the statistic, or no permutation can change it, ``pvalue`` is
        NaN and ``reason`` says why.

    Raises
    ------
    InputTypeError, InputValueError
        If an argument has the wrong type or is out of range.

    Notes
    -----
    ``p = (1 + draws at least as extreme) / (1 + n_permutations)``; ties count. Where
    ``order`` is "random" and every presentation is one bin, the null hypothesis is true
    by construction, and a rejection points to a fault in the pipeline.

    Rates may differ between segments: that is another null hypothesis than that of
    ``dispersion_pvalue`` and ``ljung_box_pvalue`` of `analyze`, for which all bins of a
    phase are alike. Trends and dispersion of trials that are one window each are the
    same in any order of their bins.

    Examples
    --------
    >>> bursts = np.repeat(np.random.default_rng(0).random((3, 100)) < 0.3, 10, axis=1)
    >>> recording = Recording.from_raster(SpikeRaster.from_dense(bursts))
    >>> network_test(recording, n_permutations=99, seed=0)[["statistic", "pvalue"]]
                      statistic  pvalue
    0           mean_dispersion    0.02
    1  mean_ljung_box_statistic    0.01
    2       mean_windowed_trend    0.01
    """
    checked_recording(recording, "network_test")
    n_permutations = whole_number(
        n_permutations, "n_permutations", remedy="999 is usual"
    )
    seed = seed_or_new(seed)
    rows: list[dict[str, Any]] = []
    for number, phase in enumerate(segmented_phases(recording)):
        length = window_for(window, phase.lengths)
        n_lags = lags_for(lags, phase.lengths)
        means, n_units = _permuted_means(
            recording.raster,
            phase,
            _Settings(length, n_lags, (seed, number)),
            n_permutations,
            executor=executor,
        )
        for index, test in enumerate(NETWORK_TESTS):
            observed, null = float(means[0, index]), means[1:, index]
            reason = ""
            if not n_units[index]:
                reason = f"no unit has the statistic, which needs {test.validity}"
            elif test.of_windows and _one_window_each(phase.lengths, length):
                reason = (
                    f"each segment is one window of {length} bins, whose count no"
                    " permutation of its bins can change; pass a shorter window"
                )
            pvalue = float("nan")
            if not reason:
                pvalue = _pvalue(observed, null, two_sided=test.two_sided)
            rows.append(
                {
                    "phase": phase.phase,
                    "order": phase.order,
                    "statistic": test.name,
                    "observed": observed,
                    "null_mean": float(null.mean()) if n_units[index] else float("nan"),
                    "pvalue": pvalue,
                    "reason": reason,
                    "n_units": int(n_units[index]),
                    "window": length,
                    "lags": n_lags,
                    "n_permutations": n_permutations,
                    "seed": seed,
                }
            )
    return pd.DataFrame(rows)


def _one_window_each(lengths: IntArray, window: int) -> bool:
    """Return whether every segment with a window has just one and no bin left over."""
    return bool((lengths[lengths >= window] == window).all())


def _orders(
    rng: np.random.Generator, edges: IntArray, n_permutations: int
) -> Iterator[IntArray]:
    """Yield permutations of the bins inside every segment, (n_time_bins,) each."""
    n_time_bins, lengths = int(edges[-1]), np.diff(edges)
    if len(lengths) == 1:
        for _ in range(n_permutations):
            yield rng.permutation(n_time_bins)
        return
    # Segments of one length together, one per row, as trials are often equally long.
    groups = [
        edges[:-1][lengths == length, np.newaxis] + np.arange(length)
        for length in np.unique(lengths)
    ]
    for _ in range(n_permutations):
        order = np.empty(n_time_bins, np.int64)
        for bins in groups:
            order[bins] = rng.permuted(bins, axis=1)
        yield order


class _Settings(NamedTuple):
    window: int
    lags: int
    seed: tuple[int, int]


def _permuted_means(
    source: SpikeRaster,
    phase: SegmentedPhase,
    settings: _Settings,
    n_permutations: int,
    block_units: int = 512,
    executor: Executor | None = None,
) -> tuple[FloatArray, IntArray]:
    """Return means over units, and the number of units of the observed means.

    Row 0 of the means is as observed, every further row from one permutation.
    """
    executor = checked_executor(executor)
    # A block is permuted at one byte per bin.
    block_units = max(1, min(block_units, _BLOCK_CELLS // max(1, phase.n_time_bins)))
    # Threads share the permutations here, workers take a range of them each.
    n_ranges = 1 if executor is None else _RANGES
    bounds = np.linspace(0, n_permutations + 1, n_ranges + 1).astype(int).tolist()
    tasks = (
        Task(str(part), (part, settings, range(first, stop)))
        for part in phase.unit_parts(source, block_units)
        for first, stop in itertools.pairwise(bounds)
    )
    sums, n_units = np.zeros((2, n_permutations + 1, len(NETWORK_TESTS)))
    for draws, draw_sums, draw_units in map_tasks(_drawn_sums, tasks, executor):
        sums[draws.start : draws.stop] += draw_sums
        n_units[draws.start : draws.stop] += draw_units
    with np.errstate(invalid="ignore"):
        means: FloatArray = sums / n_units
    return means, n_units[0].astype(np.int64)


def _drawn_sums(
    part: UnitsOfPhase, settings: _Settings, draws: range
) -> tuple[range, FloatArray, FloatArray]:
    """Return sums over units, and numbers of units; draw 0 is as observed."""
    block, (window, lags, seed) = part.raster(), settings
    # Every block of units, and every range of draws, sees the same permutations.
    rng = np.random.default_rng(seed)
    # A generator: 999 orders of 60 000 bins would take 480 MB.
    orders = itertools.islice(
        _orders(rng, block.edges, draws.stop - 1), max(0, draws.start - 1), None
    )
    sums_of_order = functools.partial(
        _sums_of_order, BinPermuter(block.raster), block, window, lags
    )
    observed = [_sums(block, window, lags)] if draws.start == 0 else []
    drawn = [*observed, *map_blocks(sums_of_order, orders)]
    sums, n_units = np.array(drawn).reshape(-1, 2, len(NETWORK_TESTS)).swapaxes(0, 1)
    return draws, sums, n_units


def _sums_of_order(
    permuter: BinPermuter,
    segments: SegmentedRaster,
    window: int,
    lags: int,
    order: IntArray,
) -> tuple[FloatArray, FloatArray]:
    return _sums(segments.with_raster(permuter.permuted(order)), window, lags)


def _sums(
    segments: SegmentedRaster, window: int, lags: int
) -> tuple[FloatArray, FloatArray]:
    """Return sums over units of each statistic, and the numbers of units summed."""
    counts = Counts(segments, window, lags)
    values = np.array([test.fast(counts) for test in NETWORK_TESTS])
    return np.nansum(values, axis=1), np.isfinite(values).sum(axis=1).astype(np.float64)


def _pvalue(observed: float, null: FloatArray, *, two_sided: bool) -> float:
    null = null[np.isfinite(null)]
    if not np.isfinite(observed) or not len(null):
        return float("nan")
    tie = 1e-9 * max(1.0, abs(observed))
    upper = (1 + int((null >= observed - tie).sum())) / (1 + len(null))
    lower = (1 + int((null <= observed + tie).sum())) / (1 + len(null))
    return min(1.0, 2 * min(upper, lower)) if two_sided else upper
