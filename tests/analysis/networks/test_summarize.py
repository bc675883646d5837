"""summarize and network_test: the paper's numbers, Benjamini-Hochberg, and tests of
whole networks.
"""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from trains import recording_of, segmented_recording, train

import ann2neo
from ann2neo import Recording
from ann2neo.analysis.networks.network_test import (
    _orders,
    _permuted_means,
    _Settings,
)
from ann2neo.analysis.p_values import benjamini_hochberg
from ann2neo.analysis.table_of_statistics import NETWORK_COLUMNS, NETWORK_TESTS, TESTS
from ann2neo.errors import InputTypeError, InputValueError
from ann2neo.recording.segments import segmented_phases
from ann2neo.testing import make_recording


def layer(n_units=40, n_time_bins=2000, order="random", seed=0):
    """A layer of units of many rates, two silent and one saturated."""
    rng = np.random.default_rng(seed)
    dense = (
        rng.random((n_units, n_time_bins)) < np.linspace(0.05, 0.95, n_units)[:, None]
    )
    dense[:2], dense[2] = False, True
    return recording_of(*dense, order=order)


def test_a_summary_is_means_and_spreads_over_units():
    """Rates count all units, Fano factors those that spike; spreads are population ones
    in percent.
    """
    units = ann2neo.analyze(layer())
    row = ann2neo.summarize(units).iloc[0]
    rate, fano = units["firing_rate"], units["fano_factor"].dropna()
    assert row["mean_firing_rate"] == pytest.approx(rate.mean())
    assert row["cv_firing_rate_percent"] == pytest.approx(
        100 * rate.std(ddof=0) / rate.mean()
    )
    assert row["mean_fano_factor"] == pytest.approx(fano.mean())
    assert row["cv_fano_factor_percent"] == pytest.approx(
        100 * fano.std(ddof=0) / fano.mean()
    )
    assert len(fano) == 38
    assert row["silent_share"] == pytest.approx(2 / 40)
    assert row["saturated_share"] == pytest.approx(1 / 40)
    assert row["mean_dispersion"] == pytest.approx(units["dispersion"].mean())
    assert (row["n_units"], row["order"], row["window"], row["alpha"]) == (
        40,
        "random",
        100,
        0.05,
    )


def test_the_expected_fano_factor_follows_from_the_rates():
    """mean_fano_factor_expected is the mean of (1 - p') N'/(N'-1) (n-1)/n over the
    units that spike.
    """
    recording = layer(n_time_bins=2050)
    counts = recording.raster.to_dense()[:, :2000].sum(axis=1)
    rates = counts[counts > 0] / 2000
    expected = ((1 - rates) * 2000 / 1999 * 19 / 20).mean()
    units = ann2neo.analyze(recording, statistics=["firing_rate", "fano"])
    row = ann2neo.summarize(units).iloc[0]
    assert row["mean_fano_factor_expected"] == pytest.approx(expected, rel=1e-12)
    assert row["mean_fano_factor_expected"] == pytest.approx(
        1 - row["mean_firing_rate"], abs=0.06
    )


def test_the_expected_fano_factor_is_the_mean_over_permutations():
    """Over 2 000 permutations of a bursty train the mean Fano factor meets its
    expectation.
    """
    x = train("bursty", 400, 0.4, 1)
    rng = np.random.default_rng(0)
    table = ann2neo.analyze(
        recording_of(*(rng.permutation(x) for _ in range(2000))),
        window=20,
        statistics=["fano"],
    )
    error = table["fano_factor"].std() / np.sqrt(2000)
    assert (
        abs(table["fano_factor"].mean() - table["fano_factor_expected"].iloc[0])
        < 4 * error
    )
    unshuffled = ann2neo.analyze(recording_of(x), window=20, statistics=["fano"])
    assert unshuffled["fano_factor"].iloc[0] > 2


def test_a_summary_has_a_row_per_phase_and_group():
    """Phases, or any columns asked for, tell the rows apart; order of appearance is
    kept.
    """
    both = Recording.concatenate(
        [
            layer(seed=1).with_phase_names({"recording": name})
            for name in ("train", "test")
        ]
    )
    units = ann2neo.analyze(both)
    assert ann2neo.summarize(units)["phase"].to_list() == ["train", "test"]
    units["network"] = np.where(units["unit"] < 20, "b", "a")
    by_network = ann2neo.summarize(units, by=("network", "phase"))
    assert by_network[["network", "phase", "n_units"]].to_numpy().tolist() == [
        ["b", "train", 20],
        ["a", "train", 20],
        ["b", "test", 20],
        ["a", "test", 20],
    ]
    whole = ann2neo.summarize(units, by=("network",))
    assert whole["phase"].to_list() == ["", ""]
    assert [str(dtype) for dtype in ann2neo.summarize(units).dtypes] == [
        column.dtype for column in NETWORK_COLUMNS
    ]


def test_a_summary_of_few_statistics_says_what_is_missing():
    """Statistics that were not computed are NaN, with no unit tested."""
    row = ann2neo.summarize(ann2neo.analyze(layer(), statistics=["firing_rate"])).iloc[
        0
    ]
    assert row["mean_firing_rate"] == pytest.approx(0.5, abs=0.05)
    assert np.isnan(row["mean_fano_factor"])
    assert all(row[f"{test.name}_n_tested"] == 0 for test in TESTS)
    assert all(np.isnan(row[f"{test.name}_rejected_share"]) for test in TESTS)


def test_a_dead_layer_has_a_summary():
    """A layer without a spike has rates of 0, a silent share of 1 and no Fano
    factor.
    """
    row = ann2neo.summarize(
        ann2neo.analyze(recording_of(*np.zeros((3, 500), bool)))
    ).iloc[0]
    assert (row["mean_firing_rate"], row["silent_share"], row["saturated_share"]) == (
        0,
        1,
        0,
    )
    assert np.isnan(row["mean_fano_factor"])
    assert np.isnan(row["ljung_box_pearson_pvalue"])


def test_benjamini_hochberg_steps_up():
    """Rejections are those of the step-up rule, NaN aside."""
    pvalues = np.array([0.01, np.nan, 0.04, 0.03, 0.005, 0.9])
    np.testing.assert_array_equal(
        benjamini_hochberg(pvalues) <= 0.05,
        [True, False, True, True, True, False],
    )
    assert np.isnan(benjamini_hochberg([np.nan])).all()
    assert len(benjamini_hochberg([])) == 0
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.random(50), rng.random(10) / 1000])
    ranked = np.sort(values)
    below = np.flatnonzero(ranked <= 0.1 * np.arange(1, 61) / 60)
    np.testing.assert_array_equal(
        benjamini_hochberg(values) <= 0.1, values <= ranked[below[-1]]
    )


def test_the_combined_ljung_box_is_pearsons():
    """The combined p-value is the chi-square probability of -2 sum log(1 - p), small
    where all units are, and a p-value of 1 does not settle it.
    """
    units = ann2neo.analyze(layer(order="unknown"))
    known = units["ljung_box_pvalue"].dropna()
    combined = ann2neo.summarize(units)["ljung_box_pearson_pvalue"].iloc[0]
    assert known.max() < 1
    statistic = -2 * np.log1p(-known).sum()
    assert combined == pytest.approx(stats.chi2.cdf(statistic, 2 * len(known)))
    units["ljung_box_pvalue"] = 1e-4
    assert ann2neo.summarize(units)["ljung_box_pearson_pvalue"].iloc[0] < 1e-10
    units["ljung_box_pvalue"] = np.where(units["unit"] == 5, 1.0, 1e-4)
    assert ann2neo.summarize(units)["ljung_box_pearson_pvalue"].iloc[0] < 1e-10


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (
            lambda: ann2neo.summarize([1]),
            InputTypeError,
            "the table that analyze returns, got list",
        ),
        (
            lambda: ann2neo.summarize(pd.DataFrame({"unit": [0]})),
            InputValueError,
            "lacks the column 'phase'",
        ),
        (
            lambda: ann2neo.summarize(ann2neo.analyze(layer()), by=("net",)),
            InputValueError,
            "lacks the column 'net'",
        ),
        (
            lambda: ann2neo.summarize(ann2neo.analyze(layer()), alpha=5),
            InputValueError,
            "between 0 and 1, got 5; the",
        ),
        (
            lambda: ann2neo.network_test(np.eye(2)),
            InputTypeError,
            "needs a Recording, got ndarray",
        ),
        (
            lambda: ann2neo.network_test(layer(), 0),
            InputValueError,
            "at least 1, got 0; 999 is usual",
        ),
        (
            lambda: ann2neo.network_test(layer(), 9.5),
            InputTypeError,
            "whole number, got 9.5",
        ),
        (
            lambda: ann2neo.network_test(layer(), seed=-1),
            InputValueError,
            "seed must be at least 0, got -1",
        ),
        (
            lambda: ann2neo.network_test(layer(), lags=0),
            InputValueError,
            "lags must be at least 1, got 0",
        ),
    ],
)
def test_bad_input_says_value_rule_and_remedy(call, error, words):
    """Each mistake is refused with words that name it."""
    with pytest.raises(error, match=words):
        call()


def test_the_observed_network_statistics_are_means_of_the_battery():
    """What network_test observes is the mean of the units' dispersion and Ljung-Box
    statistics.
    """
    recording = layer()
    units = ann2neo.analyze(recording)
    found = ann2neo.network_test(recording, n_permutations=9, seed=1).set_index(
        "statistic"
    )
    assert found["observed"]["mean_dispersion"] == pytest.approx(
        units["dispersion"].mean()
    )
    assert found["observed"]["mean_ljung_box_statistic"] == pytest.approx(
        units["ljung_box_statistic"].mean()
    )
    assert found["n_units"].to_list() == [37, 37, 37]


def test_joint_permutations_are_those_of_the_dense_matrix():
    """Null means equal those of permuting the unpacked matrix with the same
    generator.
    """
    recording = layer(n_units=10, n_time_bins=300)
    found = ann2neo.network_test(recording, n_permutations=5, seed=3, window=30)
    rng = np.random.default_rng((3, 0))
    dense = recording.raster.to_dense()
    tables = [
        ann2neo.analyze(
            recording_of(*dense[:, rng.permutation(300)]),
            window=30,
            statistics=["dispersion", "ljung_box"],
        )
        for _ in range(5)
    ]
    assert found["null_mean"].iloc[0] == pytest.approx(
        np.mean([t["dispersion"].mean() for t in tables])
    )
    assert found["null_mean"].iloc[1] == pytest.approx(
        np.mean([t["ljung_box_statistic"].mean() for t in tables])
    )


def test_a_network_test_repeats_from_its_seed():
    """The same seed gives the same table, and a drawn seed is reported so that it can
    be used again.
    """
    recording = layer(n_units=6, n_time_bins=300)
    drawn = ann2neo.network_test(recording, n_permutations=19)
    again = ann2neo.network_test(
        recording, n_permutations=19, seed=int(drawn["seed"].iloc[0])
    )
    pd.testing.assert_frame_equal(drawn, again)


def test_units_of_several_blocks_are_permuted_alike():
    """Cutting the layer into blocks of units changes nothing."""
    recording = layer(n_units=20, n_time_bins=300)
    (phase,) = segmented_phases(recording)
    settings = _Settings(window=30, lags=10, seed=(2, 0))
    whole, n_units = _permuted_means(recording.raster, phase, settings, 9)
    blocks, n_in_blocks = _permuted_means(
        recording.raster, phase, settings, 9, block_units=8
    )
    np.testing.assert_allclose(blocks, whole, rtol=1e-13)
    np.testing.assert_array_equal(n_in_blocks, n_units)


def test_network_tests_find_what_they_are_made_for():
    """Bursts of the whole layer raise dispersion and serial dependence; drift raises
    dispersion and trend.
    """
    rng = np.random.default_rng(0)
    bursts = (rng.random((8, 2000)) < 0.4) & np.repeat(rng.random(100) < 0.5, 20)
    drift = rng.random((8, 2000)) < np.linspace(0.2, 0.6, 2000)
    for dense in (bursts, drift):
        found = ann2neo.network_test(
            make_recording(dense),
            n_permutations=99,
            seed=0,
        )
        assert found["statistic"].to_list() == [test.name for test in NETWORK_TESTS]
        assert (found["pvalue"] <= 0.02).all()


def test_bins_are_permuted_inside_their_segments():
    """Rates that differ between segments are kept by every permutation, so that they do
    not reject; memory inside segments does.
    """
    rng = np.random.default_rng(3)
    lengths = rng.integers(150, 250, 20)
    rates = np.repeat(rng.uniform(0.1, 0.6, 20), lengths)
    rows = rng.random((8, lengths.sum())) < rates
    uneven = segmented_recording(rows, lengths)
    tested = ann2neo.network_test(uneven, 99, seed=0, window=10).set_index("statistic")
    assert (tested["pvalue"] > 0.02).all()
    assert tested["null_mean"]["mean_dispersion"] > 1.5
    bursts = np.repeat(rng.random((8, lengths.sum() // 5 + 1)) < 0.3, 5, axis=1)
    bursty = segmented_recording(bursts[:, : lengths.sum()], lengths)
    tested = ann2neo.network_test(bursty, 99, seed=0, window=10).set_index("statistic")
    assert (tested["pvalue"][:2] <= 0.02).all()
    assert (tested["reason"] == "").all()


def test_permutations_keep_the_spikes_of_every_segment():
    """Each permutation of bins is one inside every segment, and all are drawn."""
    edges = np.array([0, 3, 4, 7, 12, 15])
    orders = np.array(list(_orders(np.random.default_rng(0), edges, 400)))
    for start, stop in itertools.pairwise(edges):
        part = np.sort(orders[:, start:stop], axis=1)
        assert (part == np.arange(start, stop)).all()
    assert len(np.unique(orders[:, :3], axis=0)) == 6
    assert len(np.unique(orders[:, [0, 1, 2, 4, 5, 6]], axis=0)) == 36


def test_what_no_permutation_can_change_has_a_reason():
    """Where every segment is one window, or is one bin, there is no p-value and the row
    says why.
    """
    recording = segmented_recording([train("bernoulli", 600, 0.3, 0)], [30] * 20)
    tested = ann2neo.network_test(recording, 19, seed=0).set_index("statistic")
    for name in ("mean_dispersion", "mean_windowed_trend"):
        assert np.isnan(tested["pvalue"][name])
        assert np.isfinite(tested["observed"][name])
        assert "each segment is one window of 30 bins" in tested["reason"][name]
    assert tested["pvalue"]["mean_ljung_box_statistic"] > 0
    assert tested["reason"]["mean_ljung_box_statistic"] == ""
    short = segmented_recording([train("bernoulli", 40, 0.3, 0)], [1] * 40)
    tested = ann2neo.network_test(short, 19, seed=0)
    assert tested["pvalue"].isna().all()
    assert tested["reason"].str.startswith("no unit has the statistic, which").all()


@pytest.mark.parametrize("n_networks", [20, pytest.param(200, marks=pytest.mark.slow)])
def test_correlated_units_do_not_reject_too_often(n_networks):
    """Units driven by one input reject in 5 % of networks at most by chance, where
    combining p-values would not.
    """
    rejected = np.zeros(3)
    for seed in range(n_networks):
        rng = np.random.default_rng(seed)
        shared = rng.normal(size=400)
        dense = 2 * shared + rng.normal(size=(12, 400)) > rng.normal(size=(12, 1))
        recording = make_recording(dense)
        rejected += (
            ann2neo.network_test(recording, n_permutations=39, seed=seed, lags=5)[
                "pvalue"
            ].to_numpy()
            <= 0.05
        )
    error = np.sqrt(0.05 * 0.95 / n_networks)
    assert (rejected / n_networks < 0.05 + 3 * error).all()


def test_a_column_may_stand_alone():
    """summarize(by="layer") is that of ["layer"]; other things than names, and none,
    are refused.
    """
    table = ann2neo.analyze(make_recording(layers=["a", "b"]))
    pd.testing.assert_frame_equal(
        ann2neo.summarize(table, by="layer"), ann2neo.summarize(table, by=["layer"])
    )
    with pytest.raises(InputTypeError, match="by must be a name or a list of names"):
        ann2neo.summarize(table, by=3)
    with pytest.raises(InputValueError, match="by names no column; pass by='phase'"):
        ann2neo.summarize(table, by=[])
