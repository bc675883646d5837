"""Verdicts, tables and indicators from hand-made results with known answers."""

import re

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ann2neo.errors import InputValueError
from ann2neo.study.assumptions import assumptions_markdown
from ann2neo.study.claims import AGAINST, DIFFERS, SUPPORTED, UNDECIDED
from ann2neo.study.comparison import comparable, differences_markdown
from ann2neo.study.dynamics import find_change, switches_table
from ann2neo.study.hypotheses import (
    hypotheses_markdown,
    judge_hypotheses,
    without_short,
)
from ann2neo.study.indicators import indicators, indicators_markdown
from ann2neo.study.paired import paired_effect
from ann2neo.study.paper_tables import compare_with_paper, rate_tests, table_markdown
from ann2neo.study.published import doubtful_cells, paper_table, target_accuracy
from ann2neo.study.results import NETWORK_KEY, Results
from ann2neo.study.roc import area, area_interval, newcombe_interval
from ann2neo.study.separation import beside_the_rate

RATES = {
    "random": 0.5,
    "generalizing": 0.6,
    "mem_retrain_last": 0.2,
    "mem_random_last": 0.2,
    "mem_retrain_all": 0.2,
}


def _results(
    rate=lambda row: RATES[row["condition"]],
    cv=lambda _: 50.0,
    rejected=lambda _: 0.0,
    by_split=lambda _: 0.0,
    *,
    noise=0.003,
    seeds=4,
    widths=(64, 128, 256),
    datasets=("mnist",),
):
    """Results whose means follow rules, with a little noise per network."""
    rng = np.random.default_rng(0)
    rows, units = [], []
    for dataset in datasets:
        for network in ("MLP", "CNN"):
            for width in widths:
                for seed in range(seeds):
                    for condition in RATES:
                        if network == "MLP" and condition == "mem_retrain_all":
                            continue
                        row = {
                            "dataset": dataset,
                            "network": network,
                            "width": width,
                            "condition": condition,
                        }
                        row |= {
                            "seed": seed,
                            "accuracy_train": 0.9,
                            "accuracy_validation": 0.5,
                            "accuracy_test": 0.5,
                        }
                        row |= {
                            "stopped_by": "accuracy",
                            "target_accuracy": 0.9,
                            "precision": "float32",
                        }
                        row |= {"pretrained": False}
                        mean = rate(row) + noise * rng.normal()
                        spread = cv(row) + 100 * noise * rng.normal()
                        for split in ("train", "test"):
                            shown = mean + (
                                by_split(row) + noise * rng.normal() / 10
                                if split == "test"
                                else 0.0
                            )
                            values = {
                                "mean_firing_rate": shown,
                                "cv_firing_rate_percent": spread,
                                "mean_fano_factor": 1 - shown,
                                "fano_rejected_share": (
                                    rejected(row) + abs(noise * rng.normal())
                                ),
                            }
                            rows.append({**row, "split": split, **values})
                            key = {**row, "split": split}
                            unit_rates = np.clip(
                                shown + 0.1 * rng.normal(size=40), 0, 1
                            )
                            units.append(
                                pd.DataFrame(
                                    {
                                        **key,
                                        "unit": range(40),
                                        "firing_rate": unit_rates,
                                    }
                                )
                            )
    return Results(pd.DataFrame(rows), pd.concat(units, ignore_index=True), {})


def _verdict(results, number, part="", dynamics=None):
    found = [
        f
        for f in judge_hypotheses(results, dynamics)
        if (f.number, f.part) == (number, part)
    ]
    assert len(found) == 1
    return found[0]


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
    (1, "", _results(_gap(0.2)), SUPPORTED, -0.4),
    (1, "", _results(_gap(0.8)), AGAINST, 0.2),
    (1, "", _results(_gap(0.6), noise=0.05, seeds=2), UNDECIDED, 0.0),
    (2, "", _results(rejected=lambda row: 0.4 * _memorizing(row)), SUPPORTED, 0.4),
    (2, "", _results(), AGAINST, 0.0),
    (
        2,
        "",
        _results(
            rejected=lambda row: 0.2 * _memorizing(row) * (row["width"] == 128), seeds=1
        ),
        UNDECIDED,
        0.0,
    ),
    (3, "", _results(_gap(0.2)), SUPPORTED, 0.2),
    (3, "", _results(_gap(0.5, gen=0.75)), AGAINST, -0.25),
    (3, "", _results(_gap(0.4), noise=0.03, seeds=2), UNDECIDED, 0.0),
    (4, "", _results(cv=lambda row: 50 + 30 * _memorizing(row)), SUPPORTED, 30),
    (4, "", _results(cv=lambda row: 50 - 30 * _memorizing(row)), AGAINST, -30),
    (4, "", _results(noise=0.03, seeds=2), UNDECIDED, 0.0),
    (
        5,
        "",
        _results(_gap(lambda row: 0.1 + 0.05 * np.log2(row["width"] / 64))),
        SUPPORTED,
        -0.05,
    ),
    (
        5,
        "",
        _results(_gap(lambda row: 0.3 - 0.05 * np.log2(row["width"] / 64))),
        AGAINST,
        0.05,
    ),
    (5, "", _results(noise=0.05), UNDECIDED, 0.0),
    (
        6,
        "earlier layers frozen",
        _results(_gap(lambda row: 0.2 + 0.2 * (row["network"] == "CNN"))),
        SUPPORTED,
        -0.2,
    ),
    (
        6,
        "earlier layers frozen",
        _results(_gap(lambda row: 0.2 - 0.1 * (row["network"] == "CNN"))),
        AGAINST,
        0.1,
    ),
    (6, "earlier layers frozen", _results(noise=0.05), UNDECIDED, 0.0),
    (
        6,
        "all layers",
        _results(_gap(lambda row: 0.4 if row["condition"].endswith("all") else 0.2)),
        SUPPORTED,
        -0.2,
    ),
    (
        6,
        "all layers",
        _results(_gap(lambda row: 0.1 if row["condition"].endswith("all") else 0.2)),
        AGAINST,
        0.1,
    ),
    (6, "all layers", _results(noise=0.05, seeds=2), UNDECIDED, 0.0),
    (7, "", _results(), SUPPORTED, 0.0),
    (7, "", _results(by_split=lambda _: 0.08), AGAINST, 0.08),
    (7, "", _results(by_split=lambda row: 0.04 * (row["seed"] % 2)), UNDECIDED, 0.02),
    (
        7,
        "",
        _results(by_split=lambda row: _OPPOSITE.get(row["condition"], 0.0)),
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
    assert found.verdict == verdict
    assert found.low <= found.effect <= found.high
    tolerance = max(0.03 * abs(effect), (found.high - found.low) / 2, 0.005)
    assert found.effect == pytest.approx(effect, abs=tolerance)
    assert np.isfinite(found.smallest_effect) == (verdict == UNDECIDED)


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
    found = _verdict(_results(), 8, dynamics=_switches(near))
    assert (found.verdict, found.n, found.pvalue) == (
        verdict,
        len(near),
        pytest.approx(pvalue),
    )
    assert np.isfinite(found.smallest_effect) == (
        verdict == UNDECIDED and len(near) > 5
    )
    assert (
        f"within an epoch in {sum(near)} of {len(near)} trainings (mnist MLP 64)"
        in found.remark
    )
    assert _verdict(_results(), 8).remark == "Run 'ann2neo study dynamics' first."


def test_kinds_of_memorizing_that_differ_are_not_averaged_into_one_verdict():
    """Where one kind spreads its rates and another does not, the hypothesis has neither
    verdict, and each kind its.
    """
    results = _results(
        cv=lambda row: 50 + 60 * (row["condition"] == "mem_retrain_last")
    )
    assert _verdict(results, 4).verdict == DIFFERS
    assert _verdict(results, 4, "mem_retrain_last").verdict == SUPPORTED
    assert _verdict(results, 4, "mem_random_last").verdict == UNDECIDED
    assert _verdict(results, 1).verdict == SUPPORTED


def test_the_spread_of_rates_stands_beside_their_coefficient_of_variation():
    """Rates that shrink raise the CV and lower the standard deviation, which hypothesis
    4 says.
    """
    remark = _verdict(
        _results(_gap(0.2), cv=lambda row: 50 + 30 * _memorizing(row)), 4
    ).remark
    assert (
        "standard deviation is smaller in the memorizing network in 60 of 60 pairs"
        in remark
    )


def test_hypotheses_are_also_judged_without_networks_that_stopped_short():
    """A column shows what is left without them; where none stopped short, there is
    none.
    """
    results = _results()
    assert without_short(results) is None
    table = results.table
    short = (table["network"] == "CNN") & table["condition"].isin(
        ["mem_retrain_last", "mem_retrain_all"]
    )
    some = Results(
        table.assign(stopped_by=np.where(short, "epoch limit", "accuracy")),
        results.unit_rates,
        {},
    )
    reached = without_short(some)
    assert len(reached.table) == (~short).sum()
    text = hypotheses_markdown(judge_hypotheses(some), judge_hypotheses(reached))
    row = {
        line.split("|")[1].strip(): line.split("|")[-2].strip()
        for line in text.splitlines()
        if "| H" in line
    }
    assert row["H1 mem_retrain_last"].endswith("(12), supported")
    assert row["H1 mem_random_last"] == "the same"
    assert row["H1 mem_retrain_all"] == "none left"
    assert (
        without_short(
            Results(table.assign(stopped_by="epoch limit"), results.unit_rates, {})
        )
        is None
    )


def test_one_generalizing_network_counts_once():
    """The pairs of hypothesis 1 are generalizing networks, however many memorizing ones
    start from them.
    """
    assert _verdict(_results(), 1).n == 2 * 3 * 4
    assert _verdict(_results(), 1, "mem_retrain_all").n == 3 * 4


def test_too_few_cells_decide_nothing():
    """With fewer than six pairs no interval exists, and the text says so."""
    results = _results(seeds=1, widths=(64, 128))
    found = _verdict(results, 1)
    assert (found.n, found.verdict, found.high) == (4, UNDECIDED, np.inf)
    assert "too few replicates to see any effect" in hypotheses_markdown(
        judge_hypotheses(results)
    )


def test_a_kind_that_a_width_lacks_does_not_bend_the_slope():
    """The slope on width is taken within each kind of memorizing, so that missing
    networks do not pass for width.
    """
    results = _results(
        _gap(lambda row: 0.1 if row["condition"] == "mem_retrain_last" else 0.3)
    )
    kept = (results.table["width"] != 256) | ~results.table["condition"].isin(
        ["mem_random_last", "mem_retrain_all"]
    )
    found = _verdict(Results(results.table[kept], results.unit_rates, {}), 5)
    assert abs(found.effect) < 0.01
    assert found.verdict != SUPPORTED or found.high > -0.01


def test_training_and_test_samples_are_compared_by_the_papers_test_too():
    """The remark of hypothesis 7 names networks beyond the margin, Kolmogorov and
    Smirnov's test, the paper's cells.
    """
    remark = _verdict(
        _results(by_split=lambda row: 0.3 * (row["condition"] == "random")), 7
    ).remark
    assert "24 of 108 networks differ by more than 0.02" in remark
    assert "MLP mnist random 12" in remark
    n_told = int(
        re.search(r"tells training from test samples in (\d+) of 108 networks", remark)[
            1
        ]
    )
    assert 24 <= n_told <= 24 + 0.05 * 84
    assert "Of the paper's own cells, doubtful ones aside" in remark


def test_missing_conditions_decide_nothing():
    """Results without generalizing or without memorizing networks leave their
    hypotheses undecided.
    """
    results = _results()
    for kept in (["random"], ["generalizing", "random"], ["mem_random_last"]):
        table = results.table[results.table["condition"].isin(kept)]
        verdicts = {
            f.number: f.verdict
            for f in judge_hypotheses(Results(table, results.unit_rates, {}))
        }
        assert {verdicts[number] for number in (1, 3, 4, 5, 6)} == {UNDECIDED}


def test_depth_is_compared_on_the_same_data_set_only():
    """Networks on different data sets are never paired for depth."""
    results = _results(datasets=("mnist", "fashion_mnist"))
    separate = results.table[
        ((results.table["network"] == "MLP") & (results.table["dataset"] == "mnist"))
        | (
            (results.table["network"] == "CNN")
            & (results.table["dataset"] == "fashion_mnist")
        )
    ]
    assert (
        _verdict(
            Results(separate, results.unit_rates, {}), 6, "earlier layers frozen"
        ).n
        == 0
    )


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


@pytest.mark.slow
def test_the_paired_interval_covers_as_often_as_it_says():
    """Over many samples the 95 % interval misses the true median about one time in
    twenty.
    """
    rng = np.random.default_rng(1)
    effects = [paired_effect(rng.standard_t(3, 15) + 2) for _ in range(1000)]
    missed = np.mean([not effect.low <= 2 <= effect.high for effect in effects])
    assert 0.03 < missed < 0.07


@pytest.mark.slow
@pytest.mark.parametrize("level", [0.90, 0.95])
def test_the_effect_said_to_be_seen_is_found_four_times_in_five(level):
    """Data of that effect and the same scatter give an interval above 0 in about 80 %
    of draws.
    """
    rng = np.random.default_rng(0)
    size = np.median(
        [
            paired_effect(values, level).seen_effect
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


def test_the_doubtful_cells_are_found_by_computation():
    """Six coefficients of variation are impossible and nine pairs of rate and Fano
    factor do not add up.
    """
    cells = doubtful_cells()
    impossible = {
        (c.network, c.width, c.dataset) for c in cells if "impossible" in c.reason
    }
    mnist = {("CNN", width, "mnist") for width in (64, 128, 256, 512)}
    assert impossible == mnist | {
        ("CNN", 256, "fashion_mnist"),
        ("CNN", 512, "fashion_mnist"),
    }
    sums = [c for c in cells if "add up" in c.reason]
    assert len({c[1:6] for c in sums}) == 9
    assert {c.column for c in sums} == {"mean_firing_rate", "mean_fano_factor"}
    # Rows of table 2 with the numbers of another data set: the wider MLPs' training
    # rows, and one test cell.
    copied = {
        (c.width, c.dataset, c.split, c.condition, c.reason.split()[-2])
        for c in cells
        if "those of" in c.reason
    }
    whole_row = {
        (512, "fashion_mnist", "train", name, "mnist")
        for name in RATES
        if name != "mem_retrain_all"
    }
    assert copied == whole_row | {
        (128, "fashion_mnist", "train", "generalizing", "mnist"),
        (256, "mnist", "test", "generalizing", "fashion_mnist"),
    }
    # Where the rate was copied, the Fano factor beside it stands.
    fanos = {(c.network, c.width) for c in cells if c.column == "mean_fano_factor"}
    assert fanos == {("CNN", 64), ("CNN", 128), ("CNN", 512), ("DenseNet121", 512)}
    assert sum(c.column == "accuracy_percent" for c in cells) == 1


def test_targets_are_table_one_with_its_rounding():
    """Training stops at the table's training accuracy, half a last digit granted; no
    cell, no target.
    """
    table = paper_table(1)
    row = table[
        (table["split"] == "train") & (table["condition"] == "mem_random_last")
    ].iloc[0]
    target = target_accuracy(
        row["network"], row["width"], row["dataset"], row["condition"]
    )
    assert target == pytest.approx(row["accuracy_percent"] / 100 - 0.00005)
    assert target_accuracy("MLP", 512, "mnist", "mem_random_last") == pytest.approx(
        0.99995
    )
    assert target_accuracy("MLP", 64, "digits", "generalizing") is None
    assert target_accuracy("MLP", 64, "mnist", "random") is None


def test_tables_show_ours_theirs_and_the_difference():
    """Every cell of ours has its mean over seeds, the paper's number, their difference
    and its doubts.
    """
    results = _results(noise=0.0)
    table = compare_with_paper(results).set_index(
        ["table", "network", "width", "split", "condition", "quantity"]
    )
    row = table.loc[(2, "MLP", 64, "train", "generalizing", "mean_firing_rate")]
    assert (row["ours"], row["paper"], row["n_seeds"]) == (pytest.approx(0.6), 0.62, 4)
    assert row["difference"] == pytest.approx(-0.02)
    assert table.loc[
        (1, "MLP", 64, "train", "generalizing", "accuracy_percent"), "ours"
    ] == pytest.approx(90)
    impossible = table.loc[
        (2, "CNN", 64, "train", "mem_retrain_last", "cv_firing_rate_percent")
    ]
    assert "impossible" in impossible["doubt"]
    text = table_markdown(results, 2)
    assert "0.60 (0.62, -0.02)" in text
    assert "50.0 (511.6†, -461.6)" in text
    (note,) = (
        line
        for line in text.splitlines()
        if line.startswith("- † CNN 64 mnist train mem_retrain_last: ")
    )
    assert "add up to 1.05; a CV of 512 % is impossible" in note
    assert not any(mark in text for mark in "‡¶§")
    assert "0.80 (0.97\\*, -0.17)" in table_markdown(results, 5)


def test_cells_of_another_experiment_are_marked_and_set_aside():
    """Networks that stopped short, started elsewhere or trained in mixed precision
    carry marks with their words.
    """
    results = _results(noise=0.0)
    table = results.table
    table.loc[
        (table["network"] == "CNN") & (table["condition"] == "mem_random_last"),
        "stopped_by",
    ] = "epoch limit"
    table.loc[(table["network"] == "MLP") & (table["width"] == 64), "precision"] = (
        "mixed_bfloat16"
    )
    deep = table[(table["network"] == "CNN") & (table["width"] == 64)].assign(
        network="DenseNet121", dataset="cifar10"
    )
    results = Results(
        pd.concat([table, deep], ignore_index=True), results.unit_rates, {}
    )
    text = table_markdown(results, 2)
    assert "0.20‡ (0.25, -0.05)" in text
    assert "0.60§ (0.62, -0.02)" in text
    assert "0.60¶ (0.49, +0.11)" in text
    assert (
        text.count("- ‡ ours stopped at the limit of epochs")
        == text.count("- ¶ ours started without")
        == 1
    )
    compared = compare_with_paper(results)
    assert set(
        compared.loc[~comparable(compared) & (compared["doubt"] == ""), "network"]
    ) == {"CNN", "DenseNet121"}
    words = differences_markdown(results)
    assert "| mean_firing_rate | CNN | mem_random_last |" not in words
    assert "| mean_firing_rate | MLP | mem_random_last | 3 of 3 |" in words
    assert "DenseNet121" not in words
    n_trained = int(
        (results.table.drop_duplicates(NETWORK_KEY)["target_accuracy"].notna()).sum()
    )
    short = 3 * 4 + 4
    assert f"{n_trained - short} of {n_trained} trained networks reached" in words


def test_tests_of_assumptions_stand_by_condition():
    """Shares of units that reject are medians over networks by condition and split,
    with the largest beside them.
    """
    results = _results(
        rejected=lambda row: 0.4 if row["condition"] == "generalizing" else 0.1,
        noise=0.0,
    )
    table = results.table.assign(ljung_box_pearson_pvalue=0.5)
    table.loc[
        (table["condition"] == "random") & (table["seed"] == 0),
        "ljung_box_pearson_pvalue",
    ] = 0.01
    text = assumptions_markdown(Results(table, results.unit_rates, {}))
    assert "| generalizing | train | 24 | 40% (40%) | 0 of 24 |" in text
    assert "| random | test | 24 | 10% (10%) | 6 of 24 |" in text
    assert "| mem_retrain_all | test | 12 |" in text


def test_marks_say_what_the_tests_of_unit_rates_do_not_show():
    """Equal distributions are not shown to differ, far ones are; p-values are adjusted
    over the whole table.
    """
    results = _results(_gap(0.2, gen=0.6, random=0.6))
    tests = rate_tests(results)
    alike = tests[(tests["first"] == "random") & (tests["second"] == "generalizing")]
    far = tests[tests["second"].str.startswith("mem")]
    assert (~alike["shown_to_differ"]).mean() > 0.9
    assert far["shown_to_differ"].all()
    np.testing.assert_allclose(
        tests["adjusted"], stats.false_discovery_control(tests["pvalue"])
    )
    assert "random/generalizing 4 of 4" in table_markdown(results, 2)


def test_a_perfect_indicator_has_an_area_of_one_also_where_it_was_not_learned():
    """A rate that separates gives AUC 0 (smaller means memorizing), and 1 on the
    architecture held out.
    """
    judged = indicators(_results()).set_index(["statistic", "held_out"])
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
    assert "MLP, learned from the others" in indicators_markdown(judged.reset_index())


def test_an_indicator_that_turns_round_fails_on_the_architecture_held_out():
    """Where memorizing lowers the rate in one architecture and raises it in the other,
    the AUC held out is 0.
    """
    judged = indicators(
        _results(_gap(lambda row: 0.2 if row["network"] == "MLP" else 0.9))
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
        indicators(_results(noise=0.05))
        .set_index(["statistic", "held_out"])
        .loc[("cv_firing_rate_percent", "")]
    )
    assert row["low"] < 0.5 < row["high"]
    assert row["n_memorizing"] == 12 * 2 + 12 * 3


def test_only_parts_with_both_kinds_in_them_and_beside_them_are_held_out():
    """An architecture without memorizing networks is not; one that is the same as a
    data set is, once.
    """
    results = _results(datasets=("mnist", "fashion_mnist"))
    table = results.table
    table = table[(table["network"] == "CNN") == (table["dataset"] == "mnist")]
    judged = indicators(Results(table, results.unit_rates, {}))
    assert set(judged["held_out"]) == {"", "MLP", "CNN"}
    one_kind = table[
        (table["network"] == "MLP") | (table["condition"] == "generalizing")
    ]
    assert set(indicators(Results(one_kind, results.unit_rates, {}))["held_out"]) == {
        ""
    }


def test_statistics_that_go_with_the_rate_are_told_so():
    """The rank correlation is that among memorizing networks; a statistic of its own
    has none.
    """
    results = _results(
        _gap(lambda row: 0.1 + 0.1 * np.log2(row["width"] / 64)), noise=0.001
    )
    own = np.random.default_rng(1).normal(size=len(results.table)) + 9 * results.table[
        "condition"
    ].str.startswith("mem")
    table = results.table.assign(
        mean_correlation=own, silent_share=-(results.table["mean_firing_rate"] ** 3)
    )
    judged = indicators(Results(table, results.unit_rates, {}))
    over_all = judged[judged["held_out"] == ""].set_index("statistic")
    assert over_all.loc["mean_firing_rate", "rate_correlation"] == pytest.approx(1)
    assert over_all.loc["silent_share", "rate_correlation"] == pytest.approx(-1)
    assert abs(over_all.loc["mean_correlation", "rate_correlation"]) < 0.4
    words = beside_the_rate(judged)
    assert (
        "mean_fano_factor follows from the rates; silent_share (-1.00) goes with the"
        " mean firing rate" in words
    )
    assert "mean_correlation" not in words
    assert "The rate alone tells all these networks apart" in words


def test_a_data_set_is_held_out_where_there_are_several():
    """With two data sets each is judged by what the other teaches."""
    held_out = set(
        indicators(_results(datasets=("mnist", "fashion_mnist")))["held_out"]
    )
    assert held_out == {"", "MLP", "CNN", "mnist", "fashion_mnist"}


def test_what_a_fano_factor_says_beyond_the_rate_is_an_indicator_of_its_own():
    """Its excess over the rates' own value is judged, and tells nothing where Fano
    factors follow from rates.
    """
    results = _results()
    table = results.table.assign(
        mean_fano_factor_expected=1 - results.table["mean_firing_rate"]
    )
    table["mean_fano_factor"] += np.random.default_rng(0).normal(0, 0.01, len(table))
    judged = indicators(Results(table, results.unit_rates, {})).set_index(
        ["statistic", "held_out"]
    )
    assert judged.loc[("mean_fano_factor", ""), "auc"] == 1.0
    beyond = judged.loc[("fano_beyond_rate", "")]
    assert beyond["low"] < 0.5 < beyond["high"]


@pytest.mark.slow
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


def test_indicators_need_both_kinds():
    """Results of one kind of network are an error."""
    results = _results()
    table = results.table[results.table["condition"] == "generalizing"]
    with pytest.raises(InputValueError, match="memorizing and generalizing"):
        indicators(Results(table, results.unit_rates, {}))


def _ar1(n, rho, rng):
    noise = rng.normal(size=n)
    for i in range(1, n):
        noise[i] += rho * noise[i - 1]
    return noise


@pytest.mark.slow
@pytest.mark.parametrize("rho", [0.0, 0.6])
def test_a_curve_without_change_is_rejected_as_often_as_it_should(rho):
    """In autocorrelated noise the change-point test rejects about one time in twenty,
    not more than one in ten.
    """
    rng = np.random.default_rng(2)
    rejected = np.mean(
        [find_change(_ar1(600, rho, rng)).pvalue <= 0.05 for _ in range(300)]
    )
    assert rejected < 0.10


@pytest.mark.parametrize("before", [60, 300, 540])
def test_a_change_is_found_where_it_is(before):
    """A change of level in autocorrelated noise is found within a few values, also near
    an end.
    """
    rng = np.random.default_rng(3)
    curve = 0.05 * _ar1(600, 0.6, rng) + np.repeat([0.6, 0.2], [before, 600 - before])
    found = find_change(curve)
    assert abs(found.index - before) <= 3
    assert found.pvalue < 0.01


def test_curves_without_noise_are_exact():
    """A step without noise is found with certainty, and a constant has no change."""
    step = find_change(np.repeat([1.0, 0.0], [30, 70]))
    assert (step.index, step.pvalue) == (30, 0.0)
    assert find_change(np.ones(50)).pvalue == 1.0


@pytest.mark.parametrize(
    "curve", [np.zeros(19), np.full(40, np.nan), np.zeros((30, 2))]
)
def test_curves_that_are_none_are_refused(curve):
    """Too short, broken or two-dimensional curves are an error."""
    with pytest.raises(InputValueError, match="at least 20 finite values"):
        find_change(curve)


def test_the_switch_is_looked_for_behind_the_first_epoch():
    """A drop in the first epoch is not taken for the switch of labels, which is found
    to the batch.
    """
    rng = np.random.default_rng(4)
    rate = np.concatenate(
        [np.linspace(0.9, 0.6, 10), np.full(30, 0.6), np.full(60, 0.4)]
    ) + 0.002 * rng.normal(size=100)
    curve = pd.DataFrame(
        {
            "split": "train",
            "batch": np.tile(np.arange(10), 10),
            "labels": np.repeat(["true", "random"], [40, 60]),
            "mean_firing_rate": rate,
        }
    )
    row = switches_table(curve).iloc[0]
    assert (
        row["switch"],
        row["found"],
        row["epochs_off"],
        row["within_one_epoch"],
    ) == (40, 40, 0.0, True)
