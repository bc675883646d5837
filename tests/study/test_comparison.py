"""The paper's tables, ours beside theirs, and the law that both obey."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from made_results import RATES, changed, kept, made_results
from scipy import stats

from ann2neo.study.bernoulli_law import bernoulli_law
from ann2neo.study.comparison import (
    agreement,
    compare_with_paper,
    rate_tests,
    split_tests,
    table_markdown,
)
from ann2neo.study.published import KEY, doubtful_cells, paper_table, target_accuracy
from ann2neo.study.results import Results


def test_the_doubtful_cells_are_found_by_computation():
    """Six coefficients of variation are impossible, and nine pairs of rate and Fano
    factor do not add up.
    """
    cells = doubtful_cells()
    impossible = cells[cells["reason"].str.contains("impossible")]
    assert {*impossible[["network", "width", "dataset"]].itertuples(index=False)} == {
        *(("CNN", width, "mnist") for width in (64, 128, 256, 512)),
        ("CNN", 256, "fashion_mnist"),
        ("CNN", 512, "fashion_mnist"),
    }
    sums = cells[cells["reason"].str.contains("add up")]
    assert len(sums.drop_duplicates(KEY)) == 9
    assert {*sums["column"]} == {"mean_firing_rate", "mean_fano_factor"}
    assert (cells["column"] == "accuracy_percent").sum() == 1


def test_copied_numbers_are_found_in_rows_that_contradict_the_law():
    """The wider MLPs' training rows and one test cell repeat another data set's
    numbers; where the rate was copied, the Fano factor beside it stands.
    """
    cells = doubtful_cells()
    copied = cells[cells["reason"].str.contains("those of")]
    found = {
        (row.width, row.dataset, row.split, row.condition, row.reason.split()[-2])
        for row in copied.itertuples()
    }
    whole_row = {
        (512, "fashion_mnist", "train", name, "mnist")
        for name in RATES
        if name != "mem_retrain_all"
    }
    assert found == whole_row | {
        (128, "fashion_mnist", "train", "generalizing", "mnist"),
        (256, "mnist", "test", "generalizing", "fashion_mnist"),
    }
    fanos = cells[cells["column"] == "mean_fano_factor"]
    assert {*fanos[["network", "width"]].itertuples(index=False)} == {
        ("CNN", 64),
        ("CNN", 128),
        ("CNN", 512),
        ("DenseNet121", 512),
    }


def test_targets_are_table_one_with_its_rounding():
    """Training stops at the table's training accuracy, half a last digit granted; no
    cell, no target.
    """
    table = paper_table(1)
    row = table[
        (table["split"] == "train") & (table["condition"] == "mem_random_last")
    ].iloc[0]
    target = target_accuracy(*row[["network", "width", "dataset", "condition"]])
    assert target == pytest.approx(row["accuracy_percent"] / 100 - 0.00005)
    assert target_accuracy("MLP", 512, "mnist", "mem_random_last") == pytest.approx(
        0.99995
    )
    assert target_accuracy("MLP", 64, "digits", "generalizing") is None
    assert target_accuracy("MLP", 64, "mnist", "random") is None


def test_tables_show_ours_theirs_and_the_difference():
    """Every cell of ours has its mean over seeds, the paper's number, their difference
    and what speaks against the paper's number.
    """
    results = made_results(noise=0.0)
    table = compare_with_paper(results).set_index(
        ["table", "network", "width", "split", "condition", "quantity"]
    )
    row = table.loc[(2, "MLP", 64, "train", "generalizing", "mean_firing_rate")]
    assert (row["ours"], row["paper"], row["n_seeds"]) == (pytest.approx(0.6), 0.62, 4)
    assert row["difference"] == pytest.approx(-0.02)
    accuracy = (1, "MLP", 64, "train", "generalizing", "accuracy_percent")
    assert table.loc[accuracy, "ours"] == pytest.approx(90)
    cell = (2, "CNN", 64, "train", "mem_retrain_last", "cv_firing_rate_percent")
    assert "impossible" in table.loc[cell, "doubt"]
    text = table_markdown(results, 2)
    assert "0.60 (0.62, -0.02)" in text
    assert "50.0 (511.6†, -461.6)" in text
    assert not any(mark in text for mark in "‡¶§")
    assert "0.80 (0.97\\*, -0.17)" in table_markdown(results, 5)


def test_a_table_of_one_condition_has_no_tests():
    """With one condition there is nothing to compare, and the lines say so."""
    results = made_results()
    rates = results.unit_rates
    alone = kept(results, results.table["condition"] == "random")
    alone = replace(alone, unit_rates=rates[rates["condition"] == "random"])
    lines = [line for line in table_markdown(alone, 2).splitlines() if "| MLP" in line]
    assert len(lines) == 6
    assert all(line.endswith("| – |") for line in lines)


@pytest.fixture
def other_experiments():
    """Results with networks that stopped short, in mixed precision, and untrained on
    ImageNet.
    """
    results = made_results(noise=0.0)
    table = results.table
    short = (table["network"] == "CNN") & (table["condition"] == "mem_random_last")
    mixed = (table["network"] == "MLP") & (table["width"] == 64)
    table = table.assign(
        stopped_by=np.where(short, "epoch limit", "accuracy"),
        precision=np.where(mixed, "mixed_bfloat16", "float32"),
    )
    deep = table[(table["network"] == "CNN") & (table["width"] == 64)]
    deep = deep.assign(network="DenseNet121", dataset="cifar10")
    both = pd.concat([table, deep], ignore_index=True)
    return Results(both, results.unit_rates, {})


def test_cells_of_another_experiment_are_marked(other_experiments):
    """Networks that stopped short, started elsewhere or trained in mixed precision
    carry marks, which the notes explain once.
    """
    text = table_markdown(other_experiments, 2)
    assert "0.20‡ (0.25, -0.05)" in text
    assert "0.60§ (0.62, -0.02)" in text
    assert "0.60¶ (0.49, +0.11)" in text
    assert text.count("- ‡ ours stopped at the limit of epochs") == 1
    assert text.count("- ¶ ours started without") == 1


def test_cells_of_another_experiment_are_set_aside(other_experiments):
    """Agreement counts cells of the same experiment whose published number nothing
    speaks against, and says how many it set aside.
    """
    table = agreement(other_experiments)
    deep = table[table["network"] == "DenseNet121"]
    assert (deep["n_cells"] == 0).all()
    table = table.set_index(["quantity", "network", "condition"])
    short = table.loc[("mean_firing_rate", "CNN", "mem_random_last")]
    assert (short["n_cells"], short["n_set_aside"]) == (0, 3)
    sound = table.loc[("mean_firing_rate", "MLP", "mem_random_last")]
    assert (sound["n_cells"], sound["n_near"]) == (3, 3)
    fano = table.loc[("mean_fano_factor", "CNN", "mem_retrain_last")]
    assert fano["n_set_aside"] == 2  # doubtful in the paper


def test_agreement_stands_beside_what_a_constant_would_score():
    """A rate of one half for every network is judged like ours, by cells near the
    paper's and by root mean squares.
    """
    table = agreement(made_results(lambda _: 0.5, noise=0.0))
    rates = table[table["quantity"] == "mean_firing_rate"]
    assert (rates["n_near"] == rates["n_near_one_half"]).all()
    np.testing.assert_allclose(rates["rms"], rates["rms_one_half"])
    others = table[table["quantity"] != "mean_firing_rate"]
    assert others["rms_one_half"].isna().all()


def test_tests_of_unit_rates_tell_what_differs():
    """Equal distributions are not shown to differ, far ones are; p-values are adjusted
    over the whole table.
    """
    results = made_results(
        lambda row: 0.6 if row["condition"] in {"random", "generalizing"} else 0.2
    )
    tests = rate_tests(results)
    alike = tests[(tests["first"] == "random") & (tests["second"] == "generalizing")]
    far = tests[tests["second"].str.startswith("mem")]
    assert (~alike["shown_to_differ"]).mean() > 0.9
    assert far["shown_to_differ"].all()
    np.testing.assert_allclose(
        tests["adjusted"], stats.false_discovery_control(tests["pvalue"])
    )
    assert "random/generalizing 4 of 4" in table_markdown(results, 2)


def test_tests_of_splits_compare_each_network_with_itself():
    """One row per network, of its training against its test samples."""
    results = made_results(by_split=lambda row: 0.3 * (row["condition"] == "random"))
    tests = split_tests(results).set_index("condition")
    assert len(tests) == 108
    assert tests.loc["random", "shown_to_differ"].all()
    assert tests["shown_to_differ"].sum() < 24 + 0.05 * 84


def test_the_law_holds_in_the_papers_own_tables():
    """Of 184 cells, 140 add up to 1 within 0.01 and 175 within 0.03; the other nine
    have a reason.
    """
    law = bernoulli_law(made_results())
    paper = law[law["source"] == "paper"]
    off = paper["off"].abs()
    assert [int((off <= limit).sum()) for limit in (0.01, 0.02, 0.03)] == [
        140,
        163,
        175,
    ]
    assert (paper.loc[off > 0.03, "doubt"] != "").all()


def test_our_rows_stand_beside_what_their_units_rates_give():
    """Ours have the distance from the law, the expected Fano factor and the p-value of
    dispersion 1; a silent network has no Fano factor and no distance.
    """
    results = made_results()
    results = changed(
        results,
        mean_fano_factor=results.table["mean_fano_factor"].where(
            results.table["seed"] > 0
        ),
        mean_fano_factor_expected=0.5,
        mean_dispersion_pvalue=0.2,
    )
    law = bernoulli_law(kept(results, results.table["seed"] < 2))
    ours = law[law["source"] == "ours"]
    assert ours.loc[ours["seed"] == 0, "off"].isna().all()
    np.testing.assert_allclose(ours.loc[ours["seed"] == 1, "off"], 0, atol=1e-12)
    assert (ours["expected"] == 0.5).all()
    assert (ours["pvalue"] == 0.2).all()
