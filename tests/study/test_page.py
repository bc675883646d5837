"""The page of results: it follows from the committed rows, and no network of the plan
is silently absent.
"""

import hashlib
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from ann2neo import IntegrityError, read_nwb
from ann2neo.cli import app
from ann2neo.errors import InputValueError
from ann2neo.report.paper_figures import plot_switches
from ann2neo.report.svg import figure_text
from ann2neo.study.bernoulli_law import law_markdown, papers_law
from ann2neo.study.cells import Cell
from ann2neo.study.comparison import rates_beside_paper, rates_markdown
from ann2neo.study.inventory import holdings_markdown, missing_markdown
from ann2neo.study.label_switches import steadiness, switches_markdown
from ann2neo.study.matched import matched_findings, matched_in_short, matched_markdown
from ann2neo.study.networks import PRECISIONS
from ann2neo.study.page import check_page, write_page
from ann2neo.study.plan import (
    DYNAMICS,
    Part,
    missing_curves,
    missing_parts,
    parts_of,
    plan,
    unplanned_cells,
)
from ann2neo.study.published import KEY, paper_table
from ann2neo.study.results import (
    NETWORK_KEY,
    ROW_KEY,
    Results,
    load_results,
    load_switches,
)
from ann2neo.study.rows import POPULATION_COLUMNS, ROWS_VERSION
from ann2neo.study.separation import (
    accuracy_confound,
    areas_markdown,
    fano_markdown,
    paired_markdown,
    telling_markdown,
)

DATA = Path(__file__).parents[2] / "data"
STUDY = DATA / "study"


@pytest.fixture(scope="module")
def committed():
    return load_results(STUDY)


def test_the_committed_page_follows_from_the_committed_rows():
    """Computed anew, every word of the page and every number of its figures is the
    committed one.
    """
    check_page(STUDY)


def test_no_network_of_the_plan_is_silently_absent(committed):
    """A network of the plan either has rows of both splits or stands on the page as
    missing, with its command.
    """
    page = (STUDY / "README.md").read_text()
    counts = committed.table.groupby(NETWORK_KEY)["split"].agg(set)
    there = {
        Cell(*key) for key, splits in counts.items() if splits == {"train", "test"}
    }
    listed = {
        cell: part for part in missing_parts(committed.table) for cell in part.cells
    }
    assert there.isdisjoint(listed)
    for cell in plan():
        commands = (
            [f"| `{listed[cell].command(precision=name)}` |" for name in PRECISIONS]
            if cell in listed
            else []
        )
        assert cell in there or any(command in page for command in commands), cell.title
    for command in missing_curves(load_switches(STUDY)):
        assert f"| `{command}` |" in page
    for command in re.findall(r"`(ann2neo study run [^`]+)`", page):
        assert CliRunner().invoke(app, [*command.split()[1:], "--help"]).exit_code == 0


def test_the_committed_rows_are_whole(committed):
    """Every row is of the present version, with population statistics, joint
    permutations and its units' rates.
    """
    table = committed.table
    assert not table.duplicated(ROW_KEY).any()
    assert (table["rows_version"] == ROWS_VERSION).all()
    assert {*POPULATION_COLUMNS, "mean_dispersion_pvalue", "weights_sha256"} <= set(
        table
    )
    silent = table["silent_share"] == 1
    assert (
        table.loc[
            ~silent,
            ["mean_correlation", "mean_mutual_information", "mean_dispersion_pvalue"],
        ]
        .notna()
        .all()
        .all()
    )
    means = committed.unit_rates.groupby(ROW_KEY)["firing_rate"].mean()
    np.testing.assert_allclose(
        table.set_index(ROW_KEY)["mean_firing_rate"].sort_index(), means, rtol=1e-9
    )


def test_files_kept_with_the_project_are_those_that_its_list_names():
    """Every NWB file under data/ stands in data/README.md with its sum and a
    licence.
    """
    text = (DATA / "README.md").read_text()
    for path in DATA.rglob("*.nwb"):
        line = next(
            line
            for line in text.splitlines()
            if line.startswith(f"| `{path.relative_to(DATA)}`")
        )
        assert hashlib.sha256(path.read_bytes()).hexdigest() in line
        assert "BSD-3-Clause" in line


def test_the_kept_recording_is_of_the_committed_rows(committed):
    """Rates over the 600 images kept agree with the units' rates over all of them, as
    far as 600 images can.
    """
    recording = read_nwb(STUDY / "mnist_MLP_64_generalizing_seed0_test600.nwb")
    rates = committed.unit_rates
    for name, value in zip(
        ROW_KEY, ("mnist", "MLP", 64, "generalizing", 0, "test"), strict=True
    ):
        rates = rates[rates[name] == value]
    expected = rates["firing_rate"].to_numpy()
    errors = np.sqrt(np.maximum(expected * (1 - expected), 1e-3) / 600)
    assert (np.abs(recording.raster.spike_counts() / 600 - expected) < 5 * errors).all()
    row = committed.table[
        (committed.table["weights_sha256"] == recording.provenance["weights_sha256"])
    ]
    assert set(row["condition"]) == {"generalizing"}


@pytest.fixture
def copy(tmp_path):
    folder = tmp_path / "study"
    shutil.copytree(STUDY, folder)
    return folder


def _changed_rate(folder):
    table = pd.read_csv(folder / "results.csv", keep_default_na=False)
    table.loc[0, "mean_firing_rate"] += 0.01
    table.to_csv(folder / "results.csv", index=False)


def _changed_word(folder):
    page = folder / "README.md"
    page.write_text(page.read_text().replace("trained", "drilled", 1))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            _changed_rate,
            r"README\.md, law\.csv, figures/.*law\.svg.* do not follow from its rows",
        ),
        (_changed_word, r"^README\.md in .* do not follow"),
        (
            lambda folder: (folder / "figures" / "law.svg").unlink(),
            r"^figures/law\.svg in",
        ),
        (
            lambda folder: (folder / "figures" / "old.svg").write_text("<svg/>"),
            r"^figures/old\.svg in",
        ),
        (lambda folder: (folder / "law.csv").write_text(""), r"^law\.csv in"),
    ],
)
def test_a_page_that_does_not_follow_is_found_out(copy, change, words):
    """A changed row, a changed word, a missing and a left-over figure fail the
    check.
    """
    change(copy)
    with pytest.raises(IntegrityError, match=words):
        check_page(copy)


@pytest.mark.slow
def test_writing_the_page_mends_it_and_gives_the_same_files_every_time(copy):
    """The command tells a page that does not follow, writes one that does, and writes
    the same bytes again.
    """
    _changed_rate(copy)
    (copy / "figures" / "old.svg").write_text("<svg/>")
    run = CliRunner().invoke
    assert run(app, ["study", "page", "--check", str(copy)]).exit_code == 1
    assert run(app, ["study", "page", str(copy)]).exit_code == 0
    assert (
        "follow from the rows"
        in run(app, ["study", "page", "--check", str(copy)]).output
    )
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    write_page(copy)
    assert {
        path: path.read_bytes() for path in copy.rglob("*") if path.is_file()
    } == before


def test_the_plan_is_what_is_to_be_run():
    """Three seeds of the narrower MLPs, one of everything else of the plan, in all
    conditions; the rest is named.
    """
    cells = plan()
    assert len(set(cells)) == len(cells) == 2 * 2 * 3 * 4 + 2 * 2 * 4 + 2 * 5 + 5
    nothing = load_results(STUDY).table.head(0)
    assert {cell for part in missing_parts(nothing) for cell in part.cells} == set(
        cells
    )
    key = ["network", "width", "dataset", "condition"]
    published = {tuple(row) for row in paper_table(2)[key].to_numpy()}
    others = {tuple(row) for row in unplanned_cells().to_numpy()}
    assert {
        (c.network, c.width, c.dataset, c.condition) for c in cells
    } | others == published
    assert len(missing_curves(None)) == len(DYNAMICS)


def test_parts_name_exactly_their_networks():
    """Networks are gathered into commands without losing or adding one."""
    cells = [
        Cell("mnist", "MLP", 64, condition, seed)
        for condition in ("random", "generalizing")
        for seed in (0, 2)
    ]
    cells.append(Cell("mnist", "MLP", 64, "mem_random_last", 1))
    parts = parts_of(cells)
    assert sorted((cell for part in parts for cell in part.cells), key=str) == sorted(
        cells, key=str
    )
    assert parts[0] == Part("MLP", "mnist", 64, ("random", "generalizing"), (0, 2))
    assert parts[0].command().endswith("--condition random,generalizing --seeds 0,2")


def _results(rates, seeds=range(6), **columns):
    """Rows and units of networks on MNIST whose rates are given by condition."""
    rng = np.random.default_rng(0)
    rows, units = [], []
    for seed in seeds:
        for condition, rate in rates.items():
            for split in ("train", "test"):
                mean = rate + 0.01 * rng.normal()
                key = dict(
                    zip(
                        ROW_KEY,
                        ("mnist", "MLP", 64, condition, seed, split),
                        strict=True,
                    )
                )
                numbers = {
                    "mean_firing_rate": mean,
                    "mean_fano_factor": 1 - mean + 0.002 * rng.normal(),
                    "mean_fano_factor_expected": 1 - mean,
                    "mean_dispersion": 1 + 0.01 * rng.normal(),
                    "mean_dispersion_pvalue": rng.random(),
                    "dispersion_rejected_share": 0.0,
                    "cv_firing_rate_percent": 50.0,
                    "silent_share": 0.0,
                    **{name: value(condition) for name, value in columns.items()},
                }
                facts = {
                    "n_epochs": 9,
                    "stopped_by": "accuracy",
                    "order": "random",
                    "window": 100,
                }
                facts |= {"precision": "float32", "pretrained": False}
                accuracies = dict.fromkeys(
                    ("accuracy_train", "accuracy_validation", "accuracy_test"), 0.5
                )
                rows.append(
                    {**key, **facts, **accuracies, "target_accuracy": 0.5, **numbers}
                )
                units.append(
                    pd.DataFrame(
                        {
                            **key,
                            "unit": range(64),
                            "firing_rate": mean + 0.1 * rng.normal(size=64),
                        }
                    )
                )
    return Results(pd.DataFrame(rows), pd.concat(units, ignore_index=True), {})


RATES = {
    "random": 0.5,
    "generalizing": 0.62,
    "mem_retrain_last": 0.03,
    "mem_random_last": 0.13,
}


def test_words_about_the_law_follow_the_numbers():
    """Rows of the law read as such; dispersions that reject more often than chance are
    called so, and rows listed.
    """
    results = _results(RATES)
    assert "no more than chance gives: the law holds" in law_markdown(results)
    broken = results.table.assign(mean_dispersion_pvalue=0.005)
    broken.loc[0, "mean_fano_factor"] += 0.05
    text = law_markdown(Results(broken, results.unit_rates, {}))
    assert "**more than chance gives, which points to a fault in the pipeline**" in text
    few = results.table.assign(
        mean_dispersion_pvalue=np.where(np.arange(len(results.table)) < 6, 0.01, 0.5)
    )
    few["seed"] = np.arange(len(few)) // 12
    assert "no more than chance gives to rows that go together" in law_markdown(
        Results(few, results.unit_rates, {})
    )
    assert text.count("| mnist | MLP | 64 |") == 1
    law = papers_law()
    assert (
        len(law),
        int((law["off"].abs() > 0.0301).sum()),
        int(law["doubt"].str.contains("impossible").sum()),
    ) == (
        184,
        9,
        6,
    )


def test_words_about_the_fano_factor_follow_the_numbers():
    """A Fano factor that only mirrors the rate adds nothing; one with an excess of its
    own is said to.
    """
    from ann2neo.study.indicators import indicators

    mirrored = _results(RATES)
    assert "adds nothing that these networks could show" in fano_markdown(
        mirrored, indicators(mirrored)
    )
    own = mirrored.table.assign(
        mean_fano_factor=mirrored.table["mean_fano_factor"]
        + 0.2 * mirrored.table["condition"].str.startswith("mem")
    )
    own = Results(own, mirrored.unit_rates, {})
    assert "**An interval leaves out 0.5." in fano_markdown(own, indicators(own))
    few = _results(RATES, seeds=range(2))
    assert "Too few networks" in fano_markdown(few, indicators(few))
    assert "nothing is shown to differ" in telling_markdown(indicators(few))
    words = telling_markdown(indicators(mirrored))
    assert "2 of 6 statistics" in words
    assert (
        "mean_firing_rate, mean_fano_factor. \n\nOf these mean_fano_factor follows from"
        " the rates" in words
    )


def test_what_carries_over_is_said_of_every_part_held_out():
    """Statistics that hold on each part, that turn round on one, and parts with too few
    networks are told apart.
    """
    rows = [
        ("good", "", 1.0, 0.8, 1.0),
        ("good", "CNN", 1.0, 0.7, 1.0),
        ("good", "mnist", 0.9, np.nan, np.nan),
        ("alone", "", 0.8, 0.51, 1.0),
        ("alone", "CNN", 0.9, 0.7, 1.0),
        ("alone", "mnist", 0.4, np.nan, np.nan),
        ("turns", "", 0.1, 0.0, 0.3),
        ("turns", "CNN", 0.2, 0.0, 0.4),
        ("turns", "mnist", 0.9, np.nan, np.nan),
        ("useless", "", 0.5, 0.2, 0.8),
        ("useless", "CNN", 0.4, 0.1, 0.9),
        ("useless", "mnist", 0.5, np.nan, np.nan),
    ]
    areas = pd.DataFrame(rows, columns=["statistic", "held_out", "auc", "low", "high"])
    areas = areas.assign(n_memorizing=8, n_generalizing=4, n_clusters=4)
    areas = areas.assign(
        balanced_accuracy=[0.95, 0.95, 0.6] * 4,
        rate_correlation=[0.7, np.nan, np.nan] * 4,
    )
    areas.loc[areas["statistic"] == "good", "balanced_accuracy"] = 0.95
    areas = areas.assign(joint_low=areas["low"] - 0.1, joint_high=areas["high"] + 0.1)
    text = telling_markdown(areas)
    assert (
        "2 of 4 statistics have an interval that leaves out 0.5 when all 4 are looked"
        " at together" in text
    )
    assert "(Bonferroni): good, turns. Looked at alone, so would alone." in text
    assert "Of these 2 useful with an interval above 0.5 on CNN: good." in text
    assert "good (+0.70), turns (+0.70) go with the mean firing rate" in text
    assert (
        "The threshold carries over, 90% told right everywhere (balanced accuracy,"
        " second number" in text
    )
    assert text.rstrip().endswith("below): good.")
    assert "Too few networks for an interval: mnist." in text
    assert "Of these direction turned round somewhere (AUC below 0.5): turns." in text
    assert "one architecture and one data set" in telling_markdown(
        areas[areas["held_out"] == ""]
    )
    named = areas.replace(
        {
            "good": "mean_firing_rate",
            "turns": "silent_share",
            "useless": "mean_mutual_information",
        }
    )
    named = named.replace({"alone": "mean_dispersion"})
    table = areas_markdown(named)
    of_rate = (
        "| +0.70 | 1.00 larger (0.80 to 1.00) | 1.00 (0.70 to 1.00), 95% | 0.90 (no"
        " interval), 95% |"
    )
    assert f"| mean_firing_rate {of_rate}" in table
    of_silence = (
        "| +0.70 | 0.90 smaller (0.70 to 1.00) | 0.20 (0.00 to 0.40), 95% | 0.90 (no"
        " interval), 60% |"
    )
    assert f"| silent_share {of_silence}" in table
    assert (
        "- mean_mutual_information: of unit and label, bits, mean over units; needs"
        " labels." in table
    )


@pytest.mark.parametrize(
    ("shift", "words"),
    [
        (0.0, "as the paper has it"),
        (0.234, "not decided"),
        (0.6, "**against the paper**"),
    ],
)
def test_hypothesis_1_at_matched_accuracy_can_come_out_three_ways(shift, words):
    """Memorizing networks that fire less, about as much, or more are told apart by the
    interval of the difference.
    """
    networks = pd.read_csv(STUDY / "populations_mlp64_mnist_networks.csv")
    memorizing = networks["condition"] == "memorizing"
    moved = networks.assign(
        mean_firing_rate=networks["mean_firing_rate"] + shift * memorizing
    )
    assert f"(hypothesis 1: {words})" in matched_in_short(moved, None)


def test_exceptions_of_the_paired_comparison_are_listed():
    """Memorizing networks that fire more than their partner are listed one by one;
    without any the page says so.
    """
    results = _results(RATES)
    assert "There is no exception." in paired_markdown(results)
    table = results.table
    odd = (
        (table["condition"] == "mem_random_last")
        & (table["seed"] == 3)
        & (table["split"] == "test")
    )
    text = paired_markdown(
        Results(
            table.assign(mean_firing_rate=table["mean_firing_rate"] + odd), None, {}
        )
    )
    assert "| test | 11 of 12 | 6 |" in text
    assert text.count("| mnist | MLP | 64 | mem_random_last | 3 | test |") == 1


def test_rates_beside_the_paper_are_near_or_explained():
    """Rates within 0.10 of table 2 count as near; the others get what chance allows, or
    that nothing explains them.
    """
    results = _results(RATES)
    table = rates_beside_paper(results)
    assert len(table) == 4
    assert table["near"].all()
    unit_variance = (
        results.unit_rates.groupby([*NETWORK_KEY, "split"])["firing_rate"].var().mean()
    )
    paper = paper_table(2).set_index(KEY).loc[("MLP", 64, "mnist", "train", "random")]
    theirs = (paper["mean_firing_rate"] * paper["cv_firing_rate_percent"] / 100) ** 2
    row = table[(table["condition"] == "random") & (table["split"] == "train")].iloc[0]
    assert row["by_chance"] == pytest.approx(
        1.96 * np.sqrt((unit_variance / 6 + theirs) / 64), rel=0.1
    )
    far = rates_markdown(_results({"random": 0.9, "generalizing": 0.3}))
    assert "MLP: 0 of 4 cells are within 0.10" in far
    assert "**beyond** what two draws of weights differ by" in far
    assert "no reason in the rows" in far
    aside = _results({"random": 0.5})
    key = {"network": "DenseNet121", "dataset": "cifar10"}
    text = rates_markdown(
        Results(aside.table.assign(**key), aside.unit_rates.assign(**key), {})
    )
    assert (
        "DenseNet121: no cell can be compared with table 2 (generalizing and untrained,"
        " both splits), 2 of" in text
    )


def test_the_matched_comparison_says_where_directions_turn():
    """Statistics that point the other way than in the study's cells are named, and
    hypothesis 3 is judged.
    """
    networks = pd.read_csv(STUDY / "populations_mlp64_mnist_networks.csv")
    same = pd.DataFrame(
        [
            {
                "statistic": "mean_firing_rate",
                "held_out": "",
                "auc": 0.1,
                "low": 0.0,
                "high": 0.3,
            }
        ]
    )
    assert "No statistic is shown to point another way" in matched_markdown(
        networks, same
    )
    turned = same.assign(auc=0.9, low=0.7, high=1.0)
    assert (
        "**Another direction than in the study's cells, both shown: mean_firing_rate.**"
        in matched_markdown(networks, turned)
    )
    assert matched_findings(networks, turned.assign(low=0.4))[1] == []
    assert "well a network is trained: all do" in matched_markdown(
        networks, same, "all do"
    )
    text = matched_markdown(networks, None)
    assert "Hypothesis 3 at matched accuracy" in text
    assert "**against the paper**" in text
    closer = networks.copy()
    random = closer["condition"] == "random"
    closer.loc[random, "mean_firing_rate"] = (
        closer.loc[random, "mean_firing_rate"] + 0.25
    )
    assert "as the paper has it" in matched_markdown(closer, None)


def test_the_accuracy_that_goes_with_memorizing_is_counted():
    """Memorizing networks that answer worse than their partner by more than five points
    are counted.
    """
    results = _results(RATES, seeds=range(3))
    table = results.table
    table.loc[table["condition"] == "generalizing", "accuracy_train"] = 0.54
    assert accuracy_confound(results).startswith("0 of 6 memorizing networks")
    table.loc[
        (table["condition"] == "mem_random_last") & (table["seed"] == 1),
        "accuracy_train",
    ] = 0.3
    assert accuracy_confound(results).startswith("1 of 6 memorizing networks")


def test_commands_tell_a_limit_of_epochs_only_where_it_mattered():
    """Networks stopped before the usual limit are made by the plain command, others by
    one that names theirs.
    """
    results = _results(RATES, seeds=[0])
    plain = holdings_markdown(Results(results.table.assign(max_epochs=9000), None, {}))
    assert "--max-epochs" not in plain
    limited = holdings_markdown(
        Results(results.table.assign(max_epochs=9, stopped_by="epoch limit"), None, {})
    )
    assert "--out results-9-epochs" in limited
    assert "--max-epochs 9" in limited
    assert "75 are missing" in missing_markdown(results, None)


def test_networks_that_stopped_short_are_listed_with_a_way_to_go_further():
    """A network short of the paper's accuracy stands under what is missing, with a
    command of more epochs.
    """
    results = _results(RATES, seeds=[0])
    assert "short of the paper's" not in missing_markdown(results, None)
    table = results.table.assign(accuracy_train=0.25, n_epochs=200)
    table.loc[table["condition"] == "mem_random_last", "stopped_by"] = "epoch limit"
    text = missing_markdown(Results(table, results.unit_rates, {}), None)
    assert "| MLP | mnist | 64 | mem_random_last | 0 | 200 | 25.00 (50.00) |" in text
    command = re.search(
        r"^ann2neo study run --out results-1000-epochs .*", text, re.MULTILINE
    )[0]
    assert command.endswith("--condition mem_random_last --seeds 0 --max-epochs 1000")
    assert CliRunner().invoke(app, [*command.split()[1:], "--help"]).exit_code == 0


def test_the_precision_of_training_is_told():
    """Networks trained in mixed precision are marked, explained, and made by a command
    that asks for it.
    """
    results = _results(RATES, seeds=[0])
    assert "precision" not in holdings_markdown(results)
    table = results.table.assign(
        precision=np.where(
            results.table["condition"] == "random", "float32", "mixed_bfloat16"
        )
    )
    mixed = holdings_markdown(Results(table, results.unit_rates, {}))
    assert "| MLP (mixed_bfloat16) | mnist | 64 | generalizing | 0 |" in mixed
    assert "| MLP | mnist | 64 | random | 0 |" in mixed
    assert "MLP marked mixed_bfloat16 trained in mixed precision" in mixed
    commands = re.findall(r"^ann2neo study run .*", mixed, re.MULTILINE)
    assert [command.endswith("--precision mixed_bfloat16") for command in commands] == [
        False,
        True,
    ]
    assert "--out results-mixed_bfloat16 " in commands[1]
    for command in commands:
        assert CliRunner().invoke(app, [*command.split()[1:], "--help"]).exit_code == 0


def test_changes_of_a_curve_are_told_on_either_side_of_the_switch():
    """A curve that drifts, jumps and drifts again gives these changes; one that is too
    short gives none after.
    """
    epochs = np.arange(0.05, 60, 0.1)
    rate = np.where(
        epochs < 10, 0.6 + 0.01 * np.floor(epochs), 0.2 + 0.002 * np.floor(epochs - 10)
    )
    key = {
        "dataset": "mnist",
        "network": "MLP",
        "width": 64,
        "retrain": "all",
        "seed": 0,
        "split": "val",
    }
    labels = np.where(epochs < 10, "true", "random")
    curve = pd.DataFrame(
        {**key, "labels": labels, "epoch": epochs, "mean_firing_rate": rate}
    )
    row = steadiness(curve).iloc[0]
    assert row["before"] == pytest.approx(0.08)
    assert row["at_switch"] == pytest.approx(0.2 + 0.002 * 14.5 - 0.69)
    assert row["after"] == pytest.approx(0.002 * 30)
    assert np.isnan(steadiness(curve[curve["epoch"] < 25]).iloc[0]["after"])
    found = {
        "switch": 90,
        "found": 91,
        "epochs_off": 0.1,
        "pvalue": 0.0,
        "within_one_epoch": True,
    }
    text = switches_markdown(pd.DataFrame([{**key, **found}]), curve)
    assert (
        "| mnist | MLP | 64 | all | 0 | test | 90 | 91 | +0.10 | under 1e-300 | yes |"
        " +0.080 | -0.461 | +0.060 |" in text
    )
    assert "change" not in switches_markdown(pd.DataFrame([{**key, **found}]), None)
    assert "No training curve is here yet" in switches_markdown(None, None)


def test_curves_are_drawn_a_panel_per_network():
    """Every network and data set has a panel with both splits and the switch; no curve
    is an error.
    """
    key = {
        "dataset": "mnist",
        "network": "MLP",
        "width": 64,
        "retrain": "all",
        "seed": 0,
        "mean_firing_rate": 0.5,
    }
    rows = [
        {
            **key,
            "network": network,
            "split": split,
            "epoch": epoch,
            "labels": "true" if epoch < 2 else "random",
        }
        for network in ("MLP", "CNN")
        for split in ("train", "val")
        for epoch in (0.5, 1.5, 2.5, 3.5)
    ]
    figure = plot_switches(pd.DataFrame(rows))
    assert len(figure.axes) == 2
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert labels == ["training samples", "test samples", "labels switch"]
    with pytest.raises(InputValueError, match="at least one training"):
        plot_switches(pd.DataFrame(rows).head(0))
    with pytest.raises(InputValueError, match="two hyphens"):
        figure_text(figure, "name", "alt", "a--b")


def _whole_plan(folder):
    """A folder of made-up rows of every network of the plan, one of them silent, and
    both training curves.
    """
    committed = load_results(STUDY)
    rng = np.random.default_rng(0)
    rates = {**RATES, "mem_retrain_all": 0.4}
    rows, units = [], []
    like = committed.table[
        (committed.table["network"] == "CNN")
        & (committed.table["condition"] == "generalizing")
    ]
    for cell in plan():
        for row in like.head(2).to_dict("records"):
            mean = (
                0.0
                if (cell.network, cell.condition) == ("DenseNet121", "mem_retrain_last")
                else rates[cell.condition]
            )
            mean += 0.02 * rng.random() * (mean > 0)
            key = {**vars(cell), "split": row["split"]}
            numbers = {
                "mean_firing_rate": mean,
                "mean_fano_factor": 1 - mean,
                "mean_fano_factor_expected": 1 - mean,
            }
            numbers |= {
                "mean_correlation": rng.normal(),
                "mean_dispersion_pvalue": rng.random(),
            }
            if mean == 0:
                numbers = dict.fromkeys(
                    [*numbers, *POPULATION_COLUMNS, "mean_dispersion"], np.nan
                )
                numbers |= {"mean_firing_rate": 0.0, "silent_share": 1.0}
            rows.append(
                {
                    **row,
                    "n_epochs": 3000,
                    "max_epochs": 4000,
                    "precision": "float32",
                    **key,
                    **numbers,
                }
            )
            spread = np.clip(
                mean + 0.1 * rng.normal(size=cell.width) * (mean > 0), 0, 1
            )
            units.append(
                pd.DataFrame({**key, "unit": range(cell.width), "firing_rate": spread})
            )
    folder.mkdir()
    pd.DataFrame(rows).to_csv(folder / "results.csv", index=False)
    pd.concat(units).to_csv(folder / "unit_rates.csv", index=False)
    shutil.copy(STUDY / "study.json", folder)
    keys = [
        dict(
            zip(("network", "dataset", "width"), of, strict=True), retrain="all", seed=0
        )
        for of in DYNAMICS
    ]
    switches = {
        "batches_per_epoch": 211,
        "switch": 2110,
        "found": 2113,
        "epochs_off": 0.014,
        "statistic": 3.0,
    }
    switches |= {"pvalue": 1e-9, "within_one_epoch": True}
    pd.DataFrame(
        [
            {**key, "split": split, **switches}
            for key in keys
            for split in ("train", "val")
        ]
    ).to_csv(folder / "dynamics.csv", index=False)
    curve = {
        "epoch": np.arange(0.05, 2, 0.1),
        "labels": np.repeat(["true", "random"], 10),
        "mean_firing_rate": 0.5,
    }
    parts = [
        pd.DataFrame({**key, "split": split, **curve})
        for key in keys
        for split in ("train", "val")
    ]
    pd.concat(parts).to_csv(folder / "dynamics_curves.csv", index=False)


@pytest.mark.slow
def test_the_page_of_the_whole_plan_misses_nothing(tmp_path):
    """With every network and curve there, nothing is missing, all figures are drawn,
    and every hypothesis has cells.
    """
    _whole_plan(tmp_path / "study")
    write_page(tmp_path / "study")
    check_page(tmp_path / "study")
    page = (tmp_path / "study" / "README.md").read_text()
    assert "79 of the plan's 79 networks are here, 0 are missing." in page
    assert "Nothing is missing, and neither is a training curve." in page
    assert (
        "ann2neo study run --out results-4000-epochs --network CNN --dataset mnist"
        " --width 64 --seeds 0" in page
    )
    assert "CNN held out (6 and 2)" in page
    assert (
        "| mnist | MLP | 64 | all | 0 | train | 2110 | 2113 | +0.01 | 1e-09 | yes |"
        " none | none | none |" in page
    )
    assert len(list((tmp_path / "study" / "figures").glob("*.svg"))) == 6
    assert not re.search(r"\bnan\b|\binf\b|\bNone\b", page)
