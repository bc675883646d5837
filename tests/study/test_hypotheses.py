"""Verdicts from results made for, against and without each hypothesis."""

import re

import numpy as np
import pandas as pd
import pytest
from made_results import changed, kept, made_results
from scipy import stats

from ann2neo import InputValueError
from ann2neo.study.hypotheses import (
    AGAINST,
    DIFFERS,
    NONE_MEMORIZES,
    SUPPORTED,
    UNDECIDED,
    hypotheses,
    hypotheses_markdown,
    paired_effect,
    without_short,
)

pytestmark = pytest.mark.slow


def _verdict(results, number, part="", switches=None):
    table = hypotheses(results, switches)
    rows = table[(table["number"] == number) & (table["part"] == part)]
    assert len(rows) == 1
    return rows.iloc[0]


def _gap(mem, gen=0.6, random=0.5):
    def rate(row):
        if row["condition"] in {"generalizing", "random"}:
            return {"generalizing": gen, "random": random}[row["condition"]]
        return mem(row) if callable(mem) else mem

    return rate


def _memorizing(row):
    return row["condition"].startswith("mem")


_OPPOSITE = {"random": 0.06, "generalizing": -0.06}


SCENARIOS = [
    (1, "", made_results(_gap(0.2)), SUPPORTED, -0.4),
    (1, "", made_results(_gap(0.8)), AGAINST, 0.2),
    (1, "", made_results(_gap(0.6), noise=0.05, seeds=2), UNDECIDED, 0.0),
    (2, "", made_results(rejected=lambda row: 0.4 * _memorizing(row)), SUPPORTED, 0.4),
    (2, "", made_results(), AGAINST, 0.0),
    (
        2,
        "",
        made_results(
            rejected=lambda row: 0.2 * _memorizing(row) * (row["width"] == 128), seeds=1
        ),
        UNDECIDED,
        0.0,
    ),
    (3, "", made_results(_gap(0.2)), SUPPORTED, 0.2),
    (3, "", made_results(_gap(0.5, gen=0.75)), AGAINST, -0.25),
    (3, "", made_results(_gap(0.4), noise=0.03, seeds=2), UNDECIDED, 0.0),
    (4, "", made_results(cv=lambda row: 50 + 30 * _memorizing(row)), SUPPORTED, 30),
    (4, "", made_results(cv=lambda row: 50 - 30 * _memorizing(row)), AGAINST, -30),
    (4, "", made_results(noise=0.03, seeds=2), UNDECIDED, 0.0),
    (
        5,
        "",
        made_results(_gap(lambda row: 0.1 + 0.05 * np.log2(row["width"] / 64))),
        SUPPORTED,
        -0.05,
    ),
    (
        5,
        "",
        made_results(_gap(lambda row: 0.3 - 0.05 * np.log2(row["width"] / 64))),
        AGAINST,
        0.05,
    ),
    (5, "", made_results(noise=0.05), UNDECIDED, 0.0),
    (
        6,
        "earlier layers frozen",
        made_results(_gap(lambda row: 0.2 + 0.2 * (row["network"] == "CNN"))),
        SUPPORTED,
        -0.2,
    ),
    (
        6,
        "earlier layers frozen",
        made_results(_gap(lambda row: 0.2 - 0.1 * (row["network"] == "CNN"))),
        AGAINST,
        0.1,
    ),
    (6, "earlier layers frozen", made_results(noise=0.05), UNDECIDED, 0.0),
    (
        6,
        "all layers",
        made_results(
            _gap(lambda row: 0.4 if row["condition"].endswith("all") else 0.2)
        ),
        SUPPORTED,
        -0.2,
    ),
    (
        6,
        "all layers",
        made_results(
            _gap(lambda row: 0.1 if row["condition"].endswith("all") else 0.2)
        ),
        AGAINST,
        0.1,
    ),
    (6, "all layers", made_results(noise=0.05, seeds=2), UNDECIDED, 0.0),
    (7, "", made_results(), SUPPORTED, 0.0),
    (7, "", made_results(by_split=lambda _: 0.08), AGAINST, 0.08),
    (
        7,
        "",
        made_results(by_split=lambda row: 0.04 * (row["seed"] % 2)),
        UNDECIDED,
        0.02,
    ),
    (
        7,
        "",
        made_results(by_split=lambda row: _OPPOSITE.get(row["condition"], 0.0)),
        AGAINST,
        0.0,
    ),
]


@pytest.mark.parametrize(("number", "part", "results", "verdict", "effect"), SCENARIOS)
def test_every_verdict_can_come_out_all_three_ways(
    number, part, results, verdict, effect
):
    """Results made for, against and without a hypothesis give these verdicts and the
    effect put in.
    """
    found = _verdict(results, number, part)
    assert found["verdict"] == verdict
    assert found["low"] <= found["effect"] <= found["high"]
    tolerance = max(0.03 * abs(effect), (found["high"] - found["low"]) / 2, 0.005)
    assert found["effect"] == pytest.approx(effect, abs=tolerance)
    assert np.isfinite(found["smallest_effect"]) == (verdict == UNDECIDED)


def _switches(near):
    place = {"dataset": "mnist", "network": "MLP", "width": 64}
    return pd.DataFrame(
        [
            {**place, "split": split, "within_one_epoch": value}
            for value in near
            for split in ("train", "val")
        ]
    )


@pytest.mark.parametrize(
    ("near", "verdict", "pvalue"),
    [
        ([True] * 9 + [False], SUPPORTED, 22 / 1024),
        ([False] * 9, AGAINST, 2 / 512),
        ([True] * 6, SUPPORTED, 2 / 64),
        ([True] * 6 + [False], UNDECIDED, 16 / 128),
        ([True] * 5, UNDECIDED, 2 / 32),
    ],
)
def test_the_switch_of_labels_is_judged_by_networks(near, verdict, pvalue):
    """Hypothesis 8 counts trained networks, not splits, by the exact binomial test;
    five of five cannot decide.
    """
    found = _verdict(made_results(), 8, switches=_switches(near))
    assert (found["verdict"], found["n"]) == (verdict, len(near))
    assert found["pvalue"] == pytest.approx(pvalue)
    assert np.isfinite(found["smallest_effect"]) == (
        verdict == UNDECIDED and len(near) > 5
    )
    assert _verdict(made_results(), 8)["n"] == 0


def test_kinds_of_memorizing_that_differ_are_not_averaged_into_one_verdict():
    """Where one kind spreads its rates and another does not, the hypothesis has neither
    verdict, and each kind its own.
    """
    results = made_results(
        cv=lambda row: 50 + 60 * (row["condition"] == "mem_retrain_last")
    )
    assert _verdict(results, 4)["verdict"] == DIFFERS
    assert _verdict(results, 4, "mem_retrain_last")["verdict"] == SUPPORTED
    assert _verdict(results, 4, "mem_random_last")["verdict"] == UNDECIDED
    assert _verdict(results, 1)["verdict"] == SUPPORTED


def test_the_spread_of_rates_stands_beside_their_coefficient_of_variation():
    """Rates that shrink raise the CV and lower the standard deviation, which hypothesis
    4 says.
    """
    results = made_results(_gap(0.2), cv=lambda row: 50 + 30 * _memorizing(row))
    assert "in 60 of 60 pairs" in _verdict(results, 4)["remark"]


def test_hypotheses_are_also_judged_without_networks_that_stopped_short():
    """What is left without them is judged by itself and printed in a column; where none
    stopped short all networks are left, where all did none is, and no verdict.
    """
    results = made_results()
    pd.testing.assert_frame_equal(without_short(results).table, results.table)
    nothing = without_short(changed(results, stopped_by="epoch limit"))
    assert nothing.table.empty
    judged = hypotheses(nothing)
    assert (judged["n"] == 0).all()
    assert set(judged["verdict"]) == {NONE_MEMORIZES, UNDECIDED}
    alone = hypotheses_markdown(hypotheses(results), judged)
    assert alone.count("none left") == len(hypotheses(results))
    table = results.table
    short = (table["network"] == "CNN") & table["condition"].isin(
        ["mem_retrain_last", "mem_retrain_all"]
    )
    some = changed(results, stopped_by=np.where(short, "epoch limit", "accuracy"))
    reached = without_short(some)
    assert len(reached.table) == (~short).sum()
    assert _verdict(reached, 1, "mem_retrain_last")["n"] == 12
    text = hypotheses_markdown(hypotheses(some), hypotheses(reached))
    last = {
        line.split("|")[1].strip(): line.split("|")[-2].strip()
        for line in text.splitlines()
        if line.startswith("| H")
    }
    assert last["H1 mem_retrain_last"].endswith("(12), supported")
    assert last["H1 mem_random_last"] == "the same"
    assert last["H1 mem_retrain_all"] == "none left"


def test_networks_that_do_not_memorize_give_no_verdict():
    """Trained on permuted labels to 16 %, no network counts: hypotheses 1 to 6 get no
    verdict, whatever the rates say, and the text tells how many memorize.
    """
    permuted = made_results().table["condition"].str.startswith("mem")
    results = changed(
        made_results(),
        accuracy_train=np.where(permuted, 0.16, 0.9),
        accuracy_validation=np.where(permuted, 0.10, 0.9),
    )
    table = hypotheses(results)
    about = table["number"] <= 6
    assert set(table.loc[about, "verdict"]) == {NONE_MEMORIZES}
    assert (table.loc[about, "n"] == 0).all()
    assert _verdict(results, 7)["verdict"] == SUPPORTED
    assert set(table["n_memorizing"]) == {0}
    assert _verdict(results, 1)["n_permuted"] == 12 * 2 + 12 * 3
    assert "| 0 of 60 |" in hypotheses_markdown(table)
    eager = hypotheses(results, min_gain=0.0).set_index(["number", "part"])
    assert eager.loc[(1, ""), "verdict"] == SUPPORTED


def test_one_kind_that_does_not_memorize_keeps_its_row_without_a_verdict():
    """Kinds of memorizing are judged by the networks that memorize; one of which none
    does has a row, no replicates and no verdict.
    """
    results = made_results()
    failed = results.table["condition"] == "mem_retrain_all"
    results = changed(results, accuracy_train=np.where(failed, 0.5, 0.9))
    found = _verdict(results, 1, "mem_retrain_all")
    assert (found["n"], found["n_memorizing"], found["n_permuted"]) == (0, 0, 12)
    assert found["verdict"] == NONE_MEMORIZES
    whole = _verdict(results, 1)
    assert (whole["verdict"], whole["n_memorizing"]) == (SUPPORTED, 48)


def test_one_generalizing_network_counts_once():
    """The pairs of hypothesis 1 are generalizing networks, however many memorizing ones
    start from them.
    """
    assert _verdict(made_results(), 1)["n"] == 2 * 3 * 4
    assert _verdict(made_results(), 1, "mem_retrain_all")["n"] == 3 * 4


def test_too_few_cells_decide_nothing():
    """With fewer than six pairs no interval exists, and the text says so."""
    results = made_results(seeds=1, widths=(64, 128))
    found = _verdict(results, 1)
    assert (found["n"], found["verdict"], found["high"]) == (4, UNDECIDED, np.inf)
    assert "too few replicates to see any effect" in hypotheses_markdown(
        hypotheses(results)
    )


def test_a_kind_that_a_width_lacks_does_not_bend_the_slope():
    """The slope on width is taken within each kind of memorizing, so that missing
    networks do not pass for width.
    """
    results = made_results(
        _gap(lambda row: 0.1 if row["condition"] == "mem_retrain_last" else 0.3)
    )
    table = results.table
    lacking = (table["width"] == 256) & table["condition"].isin(
        ["mem_random_last", "mem_retrain_all"]
    )
    assert abs(_verdict(kept(results, ~lacking), 5)["effect"]) < 0.01


def test_training_and_test_samples_are_compared_by_the_papers_test_too():
    """The remark of hypothesis 7 counts networks beyond the margin, names them, and
    counts those that Kolmogorov and Smirnov's test tells apart.
    """
    results = made_results(by_split=lambda row: 0.3 * (row["condition"] == "random"))
    remark = _verdict(results, 7)["remark"]
    assert "24 of 108 networks differ by more than 0.02" in remark
    assert "MLP mnist random 12" in remark
    n_apart = re.search(r"training from test samples in (\d+) of 108 networks", remark)
    assert 24 <= int(n_apart[1]) <= 24 + 0.05 * 84


@pytest.mark.parametrize(
    ("conditions", "verdict"),
    [
        (["random"], NONE_MEMORIZES),
        (["generalizing", "random"], NONE_MEMORIZES),
        (["mem_random_last"], UNDECIDED),
    ],
)
def test_missing_conditions_decide_nothing(conditions, verdict):
    """Results without generalizing networks leave their hypotheses undecided, and those
    without memorizing ones say so.
    """
    results = made_results()
    some = kept(results, results.table["condition"].isin(conditions))
    verdicts = hypotheses(some).set_index("number")["verdict"]
    assert set(verdicts[[1, 3, 4, 5, 6]]) == {verdict}


def test_depth_is_compared_on_the_same_data_set_only():
    """Networks on different data sets are never paired for depth."""
    results = made_results(datasets=("mnist", "fashion_mnist"))
    table = results.table
    separate = (table["network"] == "MLP") == (table["dataset"] == "mnist")
    found = _verdict(kept(results, separate), 6, "earlier layers frozen")
    assert found["n"] == 0


def test_the_paired_interval_is_the_signed_rank_tests():
    """The interval excludes 0 exactly where SciPy's exact signed-rank test rejects."""
    rng = np.random.default_rng(0)
    for n in (5, 6, 8, 12, 25):
        for shift in np.linspace(0, 1.5, 12):
            values = rng.normal(size=n) + shift
            effect = paired_effect(values)
            assert effect.pvalue == stats.wilcoxon(values).pvalue
            assert (effect.low > 0 or effect.high < 0) == (effect.pvalue <= 0.05)
            assert effect.low <= effect.estimate <= effect.high


def test_the_paired_interval_covers_as_often_as_it_says():
    """Over many samples the 95 % interval misses the true median about one time in
    twenty.
    """
    rng = np.random.default_rng(1)
    effects = [paired_effect(rng.standard_t(3, 15) + 2) for _ in range(1000)]
    missed = np.mean([not effect.low <= 2 <= effect.high for effect in effects])
    assert 0.03 < missed < 0.07


@pytest.mark.parametrize("level", [0.90, 0.95])
def test_the_effect_said_to_be_seen_is_found_four_times_in_five(level):
    """Data of that effect and the same scatter give an interval above 0 in about 80 %
    of draws.
    """
    rng = np.random.default_rng(0)
    size = np.median(
        [
            paired_effect(values, level).detectable(level)
            for values in rng.normal(size=(400, 25))
        ]
    )
    found = np.mean(
        [
            paired_effect(values + size, level).low > 0
            for values in rng.normal(size=(400, 25))
        ]
    )
    assert 0.73 < found < 0.87


@pytest.mark.parametrize("values", [[], [1.0, np.nan], [[1.0, 2.0]]])
def test_differences_must_be_numbers(values):
    """No differences, or some that are not finite, are an error."""
    with pytest.raises(InputValueError, match="one or more finite numbers"):
        paired_effect(values)
