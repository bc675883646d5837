"""The KPSS test from the bits against statsmodels, and its limit law."""

import numpy as np
import pytest
from scipy import integrate, stats
from statsmodels.tools.sm_exceptions import InterpolationWarning
from statsmodels.tsa.stattools import kpss
from trains import KINDS, recording_of, segmented_recording, train

import ann2neo
from ann2neo import SpikeRaster
from ann2neo.analysis.units import kpss as ours
from ann2neo.analysis.units.counts import Counts
from ann2neo.analysis.units.kpss import kpss_pvalue
from ann2neo.raster import SegmentedRaster


def values_of(recording):
    return ann2neo.analyze(recording, statistics=["kpss"])


@pytest.mark.filterwarnings(
    f"ignore::{InterpolationWarning.__module__}.InterpolationWarning"
)
@pytest.mark.parametrize(
    "n_time_bins",
    [
        100,
        127,
        1000,
        5000,
        pytest.param(60_000, marks=pytest.mark.slow),
        pytest.param(400_000, marks=pytest.mark.exhaustive),
    ],
)
@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"silent", "full"}))
def test_it_is_statsmodels_kpss(kind, n_time_bins):
    """Statistic, lag and p-value of any train are those of statsmodels."""
    rows = [
        row
        for seed, rate in enumerate((0.01, 0.2, 0.5, 0.9, 0.99))
        if 0 < (row := train(kind, n_time_bins, rate, seed)).sum() < n_time_bins
    ]
    table = values_of(recording_of(*rows))
    for number, row in enumerate(rows):
        theirs = kpss(row.astype(float), "c", "auto", result_object=True)
        assert table["kpss_lag"][number] == theirs.lags
        assert table["kpss_statistic"][number] == pytest.approx(
            theirs.statistic, rel=1e-9
        )
        assert table["kpss_pvalue_table"][number] == pytest.approx(
            theirs.pvalue, rel=1e-9
        )


def test_the_limit_law_has_the_known_critical_values():
    """The critical values of the table have its p-values, and a larger statistic is not
    clipped.
    """
    assert kpss_pvalue([0.347, 0.463, 0.739]) == pytest.approx(
        [0.100, 0.050, 0.010], abs=6e-4
    )
    assert 0 < kpss_pvalue(5.0) < 1e-10
    assert np.isnan(kpss_pvalue(np.nan))


def test_the_limit_law_is_that_of_cramer_and_von_mises():
    """p-values are those of SciPy's Cramer-von Mises test of a large sample, and below
    its precision those of the largest term of the tail.
    """
    n = 200_000
    sample = stats.uniform.ppf((np.arange(n) + 0.5) / n)
    for shift in (0.0005, 0.001, 0.0012, 0.002):
        result = stats.cramervonmises(np.clip(sample + shift, 0, 1), "uniform")
        assert kpss_pvalue(result.statistic) == pytest.approx(result.pvalue, abs=2e-5)

    def first_term(u):
        return np.exp(-10 * u * u / 2) / np.sqrt(-u * np.sin(u))

    # The integrand has poles at both ends: in two halves, each in the root of the
    # distance from its pole.
    halves = [
        integrate.quad(
            lambda s: 2 * s * first_term(np.pi + s * s), 0, np.sqrt(np.pi / 2)
        ),
        integrate.quad(
            lambda s: 2 * s * first_term(2 * np.pi - s * s), 0, np.sqrt(np.pi / 2)
        ),
    ]
    tail = 2 / np.pi * sum(value for value, _ in halves)
    assert kpss_pvalue(10.0) == pytest.approx(tail, rel=1e-9)


def test_the_law_is_smooth_where_series_and_integrals_meet():
    """p-values fall steadily from 1 to 0 over the point where the method changes."""
    values = np.geomspace(1e-5, 50, 4000)
    pvalues = kpss_pvalue(values)
    assert pvalues[0] == 1.0
    assert (np.diff(pvalues) <= 1e-12).all()
    near = kpss_pvalue(np.array([0.05 - 1e-9, 0.05 + 1e-9]))
    assert near[0] == pytest.approx(near[1], abs=1e-7)


@pytest.mark.parametrize("lengths", [[500], [200, 7, 293], [20] * 25])
@pytest.mark.parametrize("lag", [1, 5, 30, 250, 499])
def test_both_ways_to_the_long_run_variance_agree(lengths, lag):
    """Sums in windows give what covariances lag by lag give, also where a window is
    longer than a segment.
    """
    rows = np.random.default_rng(0).random((3, 500)) < [[0.1], [0.5], [0.97]]
    edges = np.concatenate([[0], np.cumsum(lengths)])
    counts = Counts(SegmentedRaster(SpikeRaster.from_dense(rows), edges), 10, 5)
    units = np.arange(3)
    by_lags = ours._long_run_variances(counts, units, np.full(3, lag))
    by_windows = [ours._by_windows(counts, unit, lag) for unit in range(3)]
    np.testing.assert_allclose(by_windows, by_lags, rtol=1e-10)


def test_ten_million_bins_lose_no_digit():
    """Over ten million bins nothing overflows: the statistic of a unit that fires in
    every 100th bin is that of the formula.
    """
    n_time_bins, period = 10_000_000, 100
    bins = np.arange(0, n_time_bins, period)
    raster = SpikeRaster.from_spike_bins([bins, bins[: len(bins) // 2]], n_time_bins)
    squares = ours._cumulated_squares(Counts(raster, 100, 10), np.arange(2))
    # Between spikes S - t p falls from 1 - p to 0 in steps of p.
    cycle = np.square(1 - np.arange(1, period + 1) / period).sum()
    assert squares[0] == pytest.approx(cycle * len(bins), rel=1e-12)
    # Half of the spikes at the double rate, then none: a triangle of height K / 2.
    time = np.arange(1, n_time_bins + 1)
    spikes = np.minimum(-(-time // period), len(bins) // 2)
    expected = np.square(spikes - time * (len(bins) // 2 / n_time_bins)).sum()
    assert squares[1] == pytest.approx(expected, rel=1e-12)


def test_reasons_of_missing_values():
    """Short, silent and saturated trains have no statistic, and the row says why."""
    short = values_of(recording_of(train("bernoulli", 99, 0.3, 0)))
    assert short["kpss_reason"][0] == "99 time bins; needs 100"
    table = values_of(recording_of(np.zeros(200, bool), np.ones(200, bool)))
    assert table["kpss_reason"].to_list() == ["silent", "saturated"]
    assert (table["kpss_lag"] == -1).all()


def test_a_lag_that_is_undefined_has_a_reason():
    """Where covariances add up to 0, by which the lag's rule divides, no lag is made up
    of rounding errors.
    """
    row = np.arange(102) % 4 == 2
    row[[5, 7, 24, 31, 53, 84, 89, 97, 101]] = True
    centred = row - row.mean()
    products = [(centred[k:] * centred[: 102 - k]).sum() for k in range(3)]
    assert products[0] + 2 * sum(products[1:]) == pytest.approx(0, abs=1e-12)
    table = values_of(recording_of(row))
    assert "covariances of neighbouring bins add up to 0" in table["kpss_reason"][0]
    assert np.isnan(table["kpss_pvalue"][0])


def test_a_drift_over_trials_is_found_and_a_psth_alone_is_not():
    """Over trials a rate that drifts from trial to trial rejects, and a rate that every
    trial repeats does not.
    """
    rng = np.random.default_rng(1)
    step = np.tile(np.linspace(0.1, 0.5, 40), 100)
    drift = np.repeat(np.linspace(0.2, 0.4, 100), 40)
    rows = rng.random((2, 60, 4000)) < np.stack([step, drift])[:, np.newaxis]
    shares = [
        (values_of(segmented_recording(part, [40] * 100))["kpss_pvalue"] <= 0.05).mean()
        for part in rows
    ]
    assert shares[0] <= 0.1
    assert shares[1] >= 0.9
