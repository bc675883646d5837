"""Matched networks differ in their labels alone, reach the same accuracy, and are
compared seed by seed.
"""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_1samp

from ann2neo import InputValueError, OutputExistsError
from ann2neo.study.indicators import area, newcombe_interval
from ann2neo.study.populations import (
    matched_populations,
    matched_statistics,
    population_intervals,
    run_populations,
)


@pytest.fixture(scope="module")
def networks():
    return matched_populations(
        "digits",
        width=48,
        n_samples=150,
        accuracy=0.96,
        seeds=(0, 1),
        max_epochs=3000,
        n_permutations=99,
    )


@pytest.mark.slow
def test_both_networks_reach_the_accuracy_asked_for(networks):
    """Generalizing and memorizing networks stop at one training accuracy; only one kind
    answers test samples.
    """
    trained = networks[networks["condition"] != "random"]
    assert trained["accuracy_train"].between(0.96, 1).all()
    test = networks.drop_duplicates(["seed", "condition"]).set_index(
        ["seed", "condition"]
    )["accuracy_test"]
    for seed in (0, 1):
        assert test[seed, "generalizing"] > 0.7
        assert test[seed, "memorizing"] < 0.35
    assert (networks.loc[networks["condition"] == "random", "n_epochs"] == 0).all()


@pytest.mark.slow
def test_every_network_has_its_rows(networks):
    """Two phases for each condition, and the memorized labels on the training images
    besides.
    """
    rows = (
        networks[networks["seed"] == 1][["condition", "phase", "labels"]]
        .to_numpy()
        .tolist()
    )
    expected = [
        [c, p, "true"]
        for c in ("random", "generalizing", "memorizing")
        for p in ("train", "test")
    ]
    assert sorted(rows) == sorted([*expected, ["memorizing", "train", "trained"]])
    sizes = networks.drop_duplicates(["phase"]).set_index("phase")["n_time_bins"]
    assert sizes["train"] == 150
    assert networks["n_units"].eq(48).all()


@pytest.mark.slow
def test_intervals_are_students_t_of_paired_differences(networks):
    """The interval of the difference is SciPy's, over seeds, of memorizing minus
    generalizing.
    """
    table = population_intervals(networks)
    row = table.set_index(["phase", "labels", "statistic"]).loc[
        ("test", "true", "mean_correlation")
    ]
    values = networks[networks["phase"] == "test"].pivot_table(
        index="seed", columns="condition", values="mean_correlation"
    )
    difference = values["memorizing"] - values["generalizing"]
    interval = ttest_1samp(difference, 0).confidence_interval(0.95)
    np.testing.assert_allclose(
        [row["difference_mean"], row["difference_low"], row["difference_high"]],
        [difference.mean(), interval.low, interval.high],
    )
    assert row["n_seeds"] == 2
    assert set(table["labels"]) == {"true", "trained"}
    trained = table[
        (table["labels"] == "trained")
        & (table["statistic"] == "mean_mutual_information")
    ].iloc[0]
    own = networks[
        (networks["phase"] == "train") & (networks["condition"] == "generalizing")
    ]
    np.testing.assert_allclose(
        trained["generalizing_mean"], own["mean_mutual_information"].mean()
    )


@pytest.mark.slow
def test_both_tables_are_written_and_nothing_is_replaced(
    networks, tmp_path, monkeypatch
):
    """The files hold the two tables to six digits; a second run is refused before
    anything is trained.
    """
    monkeypatch.setattr(
        "ann2neo.study.populations.matched_populations", lambda **_: networks
    )
    table = run_populations(tmp_path / "found.csv", seeds=(0, 1))
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "found.csv"), table, rtol=1e-5)
    each = pd.read_csv(tmp_path / "found_networks.csv")
    pd.testing.assert_frame_equal(each, networks, rtol=1e-5, check_dtype=False)
    for there in ("found.csv", "found_networks.csv"):
        run_populations(tmp_path / "found.csv", overwrite=True)
        for name in {"found.csv", "found_networks.csv"} - {there}:
            (tmp_path / name).unlink()
        with pytest.raises(
            OutputExistsError, match=f"{there} exists already; pass overwrite=True"
        ):
            run_populations(tmp_path / "found.csv")


def _made(rates, seeds=5):
    """Networks at matched accuracy with given mean rates, and a little noise."""
    rng = np.random.default_rng(0)
    rows = [
        {
            "seed": seed,
            "condition": condition,
            "phase": "test",
            "labels": "true",
            "mean_firing_rate": rate + 0.01 * rng.normal(),
        }
        for seed in range(seeds)
        for condition, rate in rates.items()
    ]
    return pd.DataFrame(rows)


@pytest.mark.slow
def test_matched_networks_are_trained_and_compared_in_miniature():
    """The fast check of the whole way: a few images, few permutations, one table."""
    networks = matched_populations(
        "digits",
        width=8,
        n_samples=40,
        accuracy=0.5,
        seeds=(0, 1),
        max_epochs=40,
        n_permutations=1,
    )
    assert len(networks) == 2 * (3 * 2 + 1)
    assert {"random_mean", "difference_low"} <= set(population_intervals(networks))


@pytest.mark.parametrize(
    ("memorizing", "low", "high"),
    [(0.4, -0.4, -0.2), (0.7, -0.1, 0.1), (0.9, 0.1, 0.3)],
)
def test_a_difference_at_matched_accuracy_can_come_out_three_ways(
    memorizing, low, high
):
    """Memorizing networks that fire less, as much, or more than generalizing ones have
    an interval on that side of 0.
    """
    networks = _made({"random": 0.5, "generalizing": 0.7, "memorizing": memorizing})
    row = population_intervals(networks).set_index("statistic").loc["mean_firing_rate"]
    assert low < row["difference_low"] < row["difference_high"] < high


@pytest.mark.parametrize(
    ("low", "high", "opposite"),
    [(0.0, 0.3, False), (0.4, 1.0, False), (0.7, 1.0, True)],
)
def test_statistics_that_turn_round_at_matched_accuracy_are_named(low, high, opposite):
    """A statistic is opposite where its area here and in the study's networks are both
    shown to differ from 0.5, to different sides.
    """
    networks = _made({"random": 0.5, "generalizing": 0.7, "memorizing": 0.5})
    study = {"statistic": "mean_firing_rate", "held_out": "", "auc": 0.8}
    indicators = pd.DataFrame([{**study, "low": low, "high": high}])
    (row,) = matched_statistics(networks, indicators).to_dict("records")
    values = networks[networks["condition"] != "random"]
    memorizing = (values["condition"] == "memorizing").to_numpy()
    assert row["auc"] == area(values["mean_firing_rate"].to_numpy(), memorizing) == 0
    assert (row["low"], row["high"]) == newcombe_interval(0.0, 5, 5)
    assert (row["study_auc"], row["opposite"]) == (0.8, opposite)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: matched_populations("digits", n_samples=1),
            "n_samples must be at least 2, got 1",
        ),
        (
            lambda: matched_populations("digits", n_samples=10, accuracy=99),
            "accuracy must lie in 0 .. 1, got 99; 0.99 stands for",
        ),
        (
            lambda: matched_populations("digits", n_samples=10, seeds=()),
            "at least one seed, got none",
        ),
        (
            lambda: population_intervals(
                pd.DataFrame({"seed": [0, 0], "phase": "test", "labels": "true"})
            ),
            "needs two seeds or more",
        ),
        (
            lambda: population_intervals(pd.DataFrame({"seed": [0, 1]}), level=95),
            "level must lie between 0 and 1, got 95",
        ),
    ],
)
def test_bad_input_says_value_rule_and_remedy(call, words):
    """Each mistake is refused with words that name it."""
    with pytest.raises(InputValueError, match=words):
        call()
