"""How well statistics tell networks apart, from results with known answers."""

import numpy as np
import pytest
from made_results import changed, kept, made_results
from scipy import stats
from sklearn.metrics import roc_auc_score
from test_hypotheses import _gap

from ann2neo import InputValueError
from ann2neo.study.indicators import (
    area,
    area_interval,
    indicators,
    newcombe_interval,
    paired_differences,
)


def test_a_perfect_indicator_has_an_area_of_one_also_where_it_was_not_learned():
    """A rate that separates gives AUC 0 (smaller means memorizing), and 1 on the
    architecture held out.
    """
    judged = indicators(made_results()).set_index(["statistic", "held_out"])
    assert judged.loc[("mean_firing_rate", ""), "auc"] == 0.0
    for network in ("MLP", "CNN"):
        row = judged.loc[("mean_firing_rate", network)]
        assert (
            row["auc"],
            row["high"],
            row["balanced_accuracy"],
            row["n_clusters"],
        ) == (1.0, 1.0, 1.0, 12)
        # Twelve pairs cannot show that an area is 1, even if all of them say so.
        assert row["low"] == pytest.approx(newcombe_interval(1.0, 12, 12)[0])
        # Of three statistics together each has an interval of level 1 - 0.05 / 3.
        assert row["joint_low"] == pytest.approx(
            newcombe_interval(1.0, 12, 12, 1 - 0.05 / 3)[0]
        )
        assert row["joint_low"] < row["low"]


def test_an_indicator_that_turns_round_fails_on_the_architecture_held_out():
    """Where memorizing lowers the rate in one architecture and raises it in the other,
    the AUC held out is 0.
    """
    judged = indicators(
        made_results(_gap(lambda row: 0.2 if row["network"] == "MLP" else 0.9))
    )
    held_out = judged[
        (judged["statistic"] == "mean_firing_rate") & (judged["held_out"] != "")
    ]
    assert (held_out["auc"] == 0).all()
    assert (held_out["balanced_accuracy"] <= 0.5).all()


def test_an_indicator_without_information_has_an_interval_around_one_half():
    """A statistic that does not depend on the condition has an AUC whose interval holds
    one half.
    """
    row = (
        indicators(made_results(noise=0.05))
        .set_index(["statistic", "held_out"])
        .loc[("cv_firing_rate_percent", "")]
    )
    assert row["low"] < 0.5 < row["high"]
    assert row["n_memorizing"] == 12 * 2 + 12 * 3


def test_only_parts_with_both_kinds_in_them_and_beside_them_are_held_out():
    """An architecture without memorizing networks is not; one that is the same as a
    data set is, once.
    """
    results = made_results(datasets=("mnist", "fashion_mnist"))
    table = results.table
    apart = (table["network"] == "CNN") == (table["dataset"] == "mnist")
    assert set(indicators(kept(results, apart))["held_out"]) == {"", "MLP", "CNN"}
    one_kind = (table["network"] == "MLP") | (table["condition"] == "generalizing")
    assert set(indicators(kept(results, apart & one_kind))["held_out"]) == {""}


def test_statistics_that_go_with_the_rate_are_told_so():
    """The rank correlation is that among memorizing networks; a statistic of its own
    has none.
    """
    results = made_results(
        _gap(lambda row: 0.1 + 0.1 * np.log2(row["width"] / 64)), noise=0.001
    )
    table = results.table
    memorizing = table["condition"].str.startswith("mem")
    own = np.random.default_rng(1).normal(size=len(table)) + 9 * memorizing
    results = changed(
        results, mean_correlation=own, silent_share=-(table["mean_firing_rate"] ** 3)
    )
    judged = indicators(results)
    along = judged[judged["held_out"] == ""].set_index("statistic")["rate_correlation"]
    assert along["mean_firing_rate"] == pytest.approx(1)
    assert along["silent_share"] == pytest.approx(-1)
    assert abs(along["mean_correlation"]) < 0.4


def test_every_memorizing_network_stands_beside_its_generalizing_partner():
    """Pairs share data set, network, width, seed and split, and differ by their rates'
    difference.
    """
    results = made_results()
    pairs = paired_differences(results)
    assert len(pairs) == results.table["condition"].str.startswith("mem").sum()
    rates = results.table.set_index(
        ["dataset", "network", "width", "seed", "split", "condition"]
    )["mean_firing_rate"]
    row = pairs.iloc[-1]
    of = tuple(row[["dataset", "network", "width", "seed", "split"]])
    assert row["memorizing"] == rates[(*of, row["condition"])]
    assert row["generalizing"] == rates[(*of, "generalizing")]
    assert row["difference"] == row["memorizing"] - row["generalizing"]


def test_a_data_set_is_held_out_where_there_are_several():
    """With two data sets each is judged by what the other teaches."""
    held_out = set(
        indicators(made_results(datasets=("mnist", "fashion_mnist")))["held_out"]
    )
    assert held_out == {"", "MLP", "CNN", "mnist", "fashion_mnist"}


def test_what_a_fano_factor_says_beyond_the_rate_is_an_indicator_of_its_own():
    """Its excess over the rates' own value is judged, and tells nothing where Fano
    factors follow from rates.
    """
    results = made_results()
    fano = results.table["mean_fano_factor"]
    noise = np.random.default_rng(0).normal(0, 0.01, len(fano))
    results = changed(
        results, mean_fano_factor=fano + noise, mean_fano_factor_expected=fano
    )
    judged = indicators(results).set_index(["statistic", "held_out"])
    assert judged.loc[("mean_fano_factor", ""), "auc"] == 1.0
    beyond = judged.loc[("fano_beyond_rate", "")]
    assert beyond["low"] < 0.5 < beyond["high"]


@pytest.mark.parametrize("n", [4, 12])
@pytest.mark.parametrize("true", [0.5, 0.8, 0.95])
def test_the_interval_of_an_area_covers_as_often_as_it_says(n, true):
    """Newcombe's interval misses the true area of normal values in no more than one of
    fifteen samples.
    """
    rng = np.random.default_rng(0)
    positive = np.repeat([True, False], n)
    shift = np.sqrt(2) * stats.norm.ppf(true) * positive
    ends = [
        newcombe_interval(area(rng.normal(size=2 * n) + shift, positive), n, n)
        for _ in range(400)
    ]
    assert np.mean([not low <= true <= high for low, high in ends]) < 1 / 15


def test_networks_of_one_cluster_are_no_independent_witnesses():
    """Ten copies of five networks give no narrower interval than the five, and three
    clusters give none.
    """
    values, positive = np.arange(10.0), np.repeat([False, True], 5)
    clusters = np.tile(np.arange(5), 2)
    few = area_interval(values, positive, clusters, np.random.default_rng(0))
    many = area_interval(
        *(np.tile(part, 10) for part in (values, positive, clusters)),
        np.random.default_rng(0),
    )
    assert few == many
    assert few[0] < 0.7
    assert np.isnan(
        area_interval(values, positive, clusters % 3, np.random.default_rng(0))
    ).all()


def test_an_area_is_scikit_learns():
    """The area under the curve agrees with scikit-learn, ties included, and leaves out
    networks without a value.
    """
    rng = np.random.default_rng(0)
    values = rng.integers(0, 6, 40).astype(float)
    positive = rng.random(40) < 0.4
    expected = roc_auc_score(positive, values)
    assert area(values, positive) == pytest.approx(expected)
    more = np.append(values, np.nan), np.append(positive, True)
    assert area(*more) == area(values, positive)
    assert np.isnan(area(values, np.ones(40, bool)))


def test_indicators_need_both_kinds():
    """Results of one kind of network are an error."""
    results = made_results()
    one_kind = kept(results, results.table["condition"] == "generalizing")
    with pytest.raises(InputValueError, match="memorizing and generalizing"):
        indicators(one_kind)
