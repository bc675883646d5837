"""Many units of few bins: what is computed for all at once is right for each."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.tsa.adfvalues import mackinnonp
from trains import KINDS, train

import ann2neo
from ann2neo import Recording, SpikeRaster
from ann2neo.analysis.units import adf, counts, kpss, trend
from ann2neo.analysis.units.analyze import _BLOCK_UNITS
from ann2neo.analysis.units.counts import Counts
from ann2neo.raster import SegmentedRaster


def trains(n_units, n_time_bins, seed=0):
    """Trains of all kinds, at rates from silent to saturated."""
    rng = np.random.default_rng(seed)
    return np.array(
        [
            train(KINDS[unit % len(KINDS)], n_time_bins, rng.beta(0.5, 1.5), unit)
            for unit in range(n_units)
        ]
    )


def stray(x):
    """Largest excursion of the cumulative count, in whole numbers."""
    x = x.astype(int)
    bins = np.arange(1, len(x) + 1)
    return int(np.abs(len(x) * x.cumsum() - bins * x.sum()).max())


@pytest.mark.parametrize("n_time_bins", [2, 3, 97, 1000])
def test_excursion_pvalues_of_many_units_are_scipys_one_by_one(n_time_bins):
    """Units of all counts together have the exact p-values of SciPy's two-sample test,
    on either side of one half.
    """
    rng = np.random.default_rng(n_time_bins)
    spikes = rng.integers(1, n_time_bins, 60)
    rows = np.array([rng.permutation(np.arange(n_time_bins) < k) for k in spikes])
    rows[::7] = np.sort(rows[::7], axis=1)
    strays = [stray(row) for row in rows]
    found = trend.excursion_pvalue(spikes, n_time_bins, strays)
    exact = [
        stats.ks_2samp(np.flatnonzero(row), np.flatnonzero(~row), method="exact").pvalue
        for row in rows
    ]
    np.testing.assert_allclose(found, np.maximum(exact, 1e-12), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("cells", [1, 300, 1 << 15])
def test_an_excursion_pvalue_does_not_depend_on_the_units_beside_it(monkeypatch, cells):
    """However units are grouped, each has the p-value that it has alone."""
    rows = trains(80, 200)
    rows = rows[(rows.sum(axis=1) > 0) & (rows.sum(axis=1) < 200)]
    spikes, strays = rows.sum(axis=1), np.array([stray(row) for row in rows])
    monkeypatch.setattr(trend, "_CELLS", cells)
    found = trend.excursion_pvalue(spikes, 200, strays)
    alone = [
        float(trend.excursion_pvalue(k, 200, d))
        for k, d in zip(spikes, strays, strict=True)
    ]
    np.testing.assert_allclose(found, alone, rtol=1e-12)


def test_the_excursion_pvalue_of_no_unit_is_empty():
    """A block without a sparse unit needs no p-value."""
    assert trend.excursion_pvalue([], 10, []).shape == (0,)


@pytest.mark.parametrize("borders", [[], [0, 40, 41, 150, 300]])
@pytest.mark.parametrize("at_once", [1, 700, 1 << 14])
def test_sums_over_intervals_are_those_of_each_train(monkeypatch, borders, at_once):
    """Trains joined for speed have the sums of their own intervals, none across the
    end of a segment.
    """
    rows = trains(40, 300)
    edges = np.array(borders or [0, 300])
    monkeypatch.setattr(counts, "_SPIKES_AT_ONCE", at_once)
    segments = SegmentedRaster(SpikeRaster.from_dense(rows), edges)
    found = Counts(segments, 10, 5).intervals
    for unit, row in enumerate(rows):
        parts = [np.diff(np.flatnonzero(part)) for part in np.split(row, edges[1:-1])]
        steps = np.concatenate(parts)
        ratios = np.concatenate([(p[1:] - p[:-1]) / (p[1:] + p[:-1]) for p in parts])
        expected = (
            len(steps),
            len(ratios),
            steps.sum(),
            (steps**2).sum(),
            np.abs(ratios).sum(),
            (ratios**2).sum(),
            stray(row),
        )
        np.testing.assert_allclose(
            [column[unit] for column in found], expected, rtol=1e-12
        )


def test_dickey_fuller_pvalues_are_those_of_statsmodels():
    """Statistics on both sides of every bound have the p-values that statsmodels gives
    one by one.
    """
    statistics = np.array([*np.linspace(-25, 5, 301), -18.83, -1.61, 2.74, np.nan])
    expected = [mackinnonp(value) for value in statistics]
    np.testing.assert_allclose(adf._pvalues(statistics), expected, rtol=1e-13)


def test_cumulated_squares_of_many_units_are_those_of_each(monkeypatch):
    """Rows of words summed together have the sum of squares of each train."""
    rows = trains(30, 333)
    raster = SpikeRaster.from_dense(rows)
    monkeypatch.setattr(kpss, "_WORDS_AT_ONCE", 100)
    found = kpss._cumulated_squares(Counts(raster, 10, 5), np.arange(30))
    deviation = rows - rows.mean(axis=1, keepdims=True)
    expected = np.square(np.cumsum(deviation, axis=1)).sum(axis=1)
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-9)


def test_a_unit_has_the_same_row_in_a_wide_recording_as_alone():
    """More units than a block holds: each has the numbers and reasons it has alone."""
    few = trains(24, 130, seed=1)
    many = np.tile(few, (_BLOCK_UNITS // 24 + 2, 1))
    wide = ann2neo.analyze(Recording.from_raster(SpikeRaster.from_dense(many)))
    for unit in range(24):
        alone = ann2neo.analyze(
            Recording.from_raster(SpikeRaster.from_dense(few[unit : unit + 1]))
        )
        for place in (unit, len(many) - 24 + unit):
            row = wide.iloc[[place]].reset_index(drop=True)
            pd.testing.assert_frame_equal(
                row.drop(columns="unit"), alone.drop(columns="unit"), rtol=1e-12
            )
