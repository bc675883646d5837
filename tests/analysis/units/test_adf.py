"""The augmented Dickey-Fuller test against exact arithmetic and statsmodels."""

from fractions import Fraction

import numpy as np
import pytest
from statsmodels.tsa.stattools import adfuller
from threadpoolctl import threadpool_limits
from trains import recording_of, train

import ann2neo
from ann2neo import SpikeRaster
from ann2neo.analysis.units import adf
from ann2neo.analysis.units.counts import Counts


def design(x, lag, first):
    """Regressors level and lagged differences, and the difference to explain, for t =
    first .. N - 1.
    """
    x = x.astype(int)
    step = np.diff(x)
    t = np.arange(first, len(x))
    return np.column_stack(
        [x[t - 1], *(step[t - 1 - i] for i in range(1, lag + 1)), step[t - 1]]
    )


@pytest.mark.parametrize("n_time_bins", [20, 64, 333])
@pytest.mark.parametrize("rate", [0.05, 0.5, 0.95])
def test_the_gram_matrix_is_that_of_the_regression(n_time_bins, rate):
    """Lagged counts and edge bits give, in integers, the centred Gram matrix of the
    regression.
    """
    x = train("bernoulli", n_time_bins, rate, 3)
    counts = Counts(SpikeRaster.from_dense([x, ~x]), 10, 5)
    for lag in range(adf.max_adf_lag(n_time_bins) + 1):
        for unit, bits in enumerate((x, ~x)):
            z = design(bits, lag, lag + 1)
            n = len(z)
            expected = n * z.T @ z - np.outer(z.sum(axis=0), z.sum(axis=0))
            np.testing.assert_array_equal(
                adf._gram(counts, np.array([unit]), lag)[0], expected
            )


@pytest.mark.parametrize(
    "kind", ["bernoulli", "bursty", "alternating", "noisy_clock", "drifting"]
)
def test_floating_point_and_integers_give_the_same_residual_sums(kind):
    """Where no rounding is felt, Cholesky and fraction-free elimination agree
    to 1e-11.
    """
    counts = Counts(SpikeRaster.from_dense([train(kind, 3000, 0.3, 1)]), 10, 5)
    gram = adf._gram(counts, np.array([0]), adf.max_adf_lag(3000))
    np.testing.assert_allclose(
        adf._residual_sums(gram)[0], adf._exact_residual_sums(gram[0]), rtol=1e-11
    )


def test_rounding_hands_over_to_integers(monkeypatch):
    """With a stricter bound every unit goes the exact way, and the results stay within
    1e-11.
    """
    recording = recording_of(
        *(train(kind, 500, 0.3, 2) for kind in ("bernoulli", "bursty", "noisy_clock"))
    )
    quick = ann2neo.analyze(recording, statistics=["adf"])
    monkeypatch.setattr(adf, "_LEAST_PIVOT", 2.0)
    exact = ann2neo.analyze(recording, statistics=["adf"])
    np.testing.assert_allclose(
        exact["adf_statistic"], quick["adf_statistic"], rtol=1e-11
    )
    assert exact["adf_lag"].to_list() == quick["adf_lag"].to_list()


def exact_rank_and_residual(x):
    """Rank of constant and all regressors, and whether a residual is left, in
    fractions.
    """
    lag = adf.max_adf_lag(len(x))
    z = design(x, lag, lag + 1)
    rows = [[Fraction(1), *map(Fraction, row)] for row in z.tolist()]
    rank_without = rank([row[:-1] for row in rows])
    return rank_without == lag + 2, rank(rows) > rank_without


def rank(rows):
    rows, found = [list(row) for row in rows], 0
    for column in range(len(rows[0])):
        pivot = next((r for r in range(found, len(rows)) if rows[r][column]), None)
        if pivot is None:
            continue
        rows[found], rows[pivot] = rows[pivot], rows[found]
        for r in range(found + 1, len(rows)):
            factor = rows[r][column] / rows[found][column]
            if factor:
                rows[r] = [
                    a - factor * b for a, b in zip(rows[r], rows[found], strict=True)
                ]
        found += 1
    return found


DEGENERATE = {
    "period 2": np.arange(200) % 2 == 0,
    "period 3": np.arange(200) % 3 == 0,
    "a spike only at the start": np.arange(200) == 0,
    "a spike only at the end": np.arange(200) == 199,
    "one silent bin, the first": np.arange(200) != 0,
    "a step late": np.arange(200) >= 197,
}


@pytest.mark.parametrize("name", DEGENERATE)
def test_degenerate_trains_are_found_in_both_engines(name):
    """Where a regression has no full rank or no residual, in fractions, both engines
    give NaN and say why.
    """
    x = DEGENERATE[name]
    assert exact_rank_and_residual(x) != (True, True)
    for engine in ("fast", "reference"):
        row = ann2neo.analyze(recording_of(x), statistics=["adf"], engine=engine).iloc[
            0
        ]
        assert np.isnan(row["adf_statistic"])
        assert np.isnan(row["adf_pvalue"])
        assert row["adf_lag"] == row["adf_nobs"] == -1
        assert (
            "linearly dependent" in row["adf_reason"]
            or "no residual" in row["adf_reason"]
        )


@pytest.mark.parametrize("seed", range(30))
def test_validity_is_decided_as_fractions_decide_it(seed):
    """Short, sparse, nearly periodic trains are called valid exactly where fractions
    find rank and residual.
    """
    rng = np.random.default_rng(seed)
    n_time_bins = int(rng.integers(8, 60))
    x = (np.arange(n_time_bins) % int(rng.integers(2, 8)) == 0) ^ (
        rng.random(n_time_bins) < 0.04
    )
    if x.any() and not x.all():
        reason = ann2neo.analyze(recording_of(x), statistics=["adf"])[
            "adf_reason"
        ].iloc[0]
        assert (reason == "") == (exact_rank_and_residual(x) == (True, True))


def test_a_drift_of_the_rate_still_rejects_a_unit_root():
    """A rate that climbs from 0.05 to 0.95 over 20 000 bins rejects: that says nothing
    of stationarity.
    """
    rows = [
        np.random.default_rng(seed).random(20_000) < np.linspace(0.05, 0.95, 20_000)
        for seed in range(10)
    ]
    table = ann2neo.analyze(recording_of(*rows), statistics=["adf", "trend"])
    assert (table["adf_pvalue"] < 0.05).all()
    assert (table["trend_pvalue"] < 1e-6).all()


def test_lag_and_observations_are_those_of_statsmodels():
    """On an autoregressive train the lag is not 0, and lag and observations are
    statsmodels'.
    """
    rows = [train("noisy_clock", 1500, rate, 4) for rate in (0.1, 0.2, 0.3)]
    table = ann2neo.analyze(recording_of(*rows), statistics=["adf"])
    with threadpool_limits(1):
        results = [adfuller(row.astype(float), result_object=True) for row in rows]
    assert table["adf_lag"].to_list() == [result.lags for result in results]
    assert table["adf_nobs"].to_list() == [result.nobs for result in results]
    assert max(table["adf_lag"]) > 0
