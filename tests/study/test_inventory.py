"""The plan of the rerun, what a folder of results holds of it, and the folder that is
kept with the project.
"""

import hashlib
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_results import FACTS
from typer.testing import CliRunner

from ann2neo import read_nwb
from ann2neo.cli import app
from ann2neo.study.inventory import (
    inventory,
    inventory_markdown,
    missing_cells,
    missing_markdown,
)
from ann2neo.study.plan import CURVES, plan, planned_cells
from ann2neo.study.published import paper_table
from ann2neo.study.results import (
    ROW_KEY,
    Results,
    load_results,
    load_switches,
    read_table,
)
from ann2neo.study.rival_runs import load_rivals
from ann2neo.study.rivals import NOISE_KEY, rivals
from ann2neo.study.runs import POPULATION_COLUMNS

DATA = Path(__file__).parents[2] / "data"
STUDY = DATA / "study"


def _results(cells, **facts):
    """Results that hold some networks of the plan."""
    table = pd.DataFrame([{**vars(cell), **FACTS, **facts} for cell in cells])
    return Results(table.assign(split="train"), pd.DataFrame(), {})


def test_the_plan_is_what_is_to_be_run():
    """Three seeds of the narrower MLPs and one of everything else of the plan, in all
    conditions; every network is a cell of the paper's table 2.
    """
    cells = plan()
    assert len(set(cells)) == len(cells) == 2 * 2 * 3 * 4 + 2 * 2 * 4 + 2 * 5 + 5
    key = ["network", "width", "dataset", "condition"]
    published = {*paper_table(2)[key].itertuples(index=False, name=None)}
    assert {tuple(vars(cell)[name] for name in key) for cell in cells} <= published


def test_every_network_of_the_plan_is_counted_once():
    """Networks that are there and networks that are missing make up the plan, whatever
    a folder holds.
    """
    for held in (plan()[:1], plan()[5:40], plan()):
        table = inventory(_results(held))
        networks = table[table["conditions"] != "training curve"]
        counts = networks.groupby("status")["n_networks"].sum()
        assert counts.sum() == len(plan())
        assert counts["complete"] == len(held)


def test_missing_networks_are_named_with_a_command_that_exists():
    """One row per command names the conditions and seeds that are missing; the command
    line takes it.
    """
    held = [
        cell
        for cell in plan()
        if (cell.width, cell.dataset, cell.network) != (64, "mnist", "MLP")
        or cell.seed != 1
        or cell.condition == "random"
    ]
    table = inventory(_results(held))
    (row,) = table[
        (table["status"] == "missing") & (table["conditions"] != "training curve")
    ].to_dict("records")
    assert row["conditions"] == "generalizing,mem_retrain_last,mem_random_last"
    assert (row["seeds"], row["n_networks"]) == ("1", 3)
    assert row["command"].endswith(f"--condition {row['conditions']} --seeds 1")
    for command in table["command"]:
        arguments = [*command.split()[1:], "--help"]
        assert CliRunner().invoke(app, arguments).exit_code == 0


def test_networks_that_stopped_short_are_told_apart():
    """A network that its limit of epochs stopped short of its target has a row of its
    own; an untrained one does not.
    """
    cells = plan()[:2]
    results = _results(cells, stopped_by="epoch limit", target_accuracy=0.9)
    untrained = results.table["condition"] == "random"
    results.table.loc[untrained, "target_accuracy"] = np.nan
    table = inventory(results)
    status = table[table["status"] != "missing"].set_index("conditions")["status"]
    assert status.to_dict() == {"random": "complete", "generalizing": "stopped short"}


def test_a_command_names_a_limit_of_epochs_only_where_it_mattered():
    """Networks stopped before the usual limit are made by the plain command, others by
    one that names theirs; so with precisions.
    """
    cells = [cell for cell in plan() if cell.condition == "generalizing"][:1]
    for facts, ending, folder in (
        ({"max_epochs": 9000}, "--seeds 0", "results"),
        (
            {"max_epochs": 9, "stopped_by": "epoch limit"},
            "--max-epochs 9",
            "results-9-epochs",
        ),
        (
            {"precision": "mixed_bfloat16"},
            "--precision mixed_bfloat16",
            "results-mixed_bfloat16",
        ),
    ):
        table = inventory(_results(cells, **facts))
        (command,) = table.loc[table["status"] != "missing", "command"]
        assert command.endswith(ending)
        assert f"--out {folder} " in command


def test_training_curves_are_part_of_the_inventory():
    """A curve of the plan is missing until its switch of labels is in the table."""
    results, planned = _results(plan()), pd.DataFrame(CURVES)
    planned.columns = ["network", "dataset", "width"]
    for switches, status in ((None, "missing"), (planned, "complete")):
        table = inventory(results, switches)
        curves = table[table["conditions"] == "training curve"]
        assert len(curves) == len(CURVES)
        assert set(curves["status"]) == {status}


def test_the_kept_folder_is_whole_and_its_readme_is_its_inventory():
    """The one check of data/study: its README has the table of the inventory and names
    every table, its rows are complete and agree with the units' rates, its recording is
    of these rows, and its comparison of rivals that of their networks.
    """
    results = load_results(STUDY)
    table = results.table
    listed = inventory_markdown(inventory(results, load_switches(STUDY)))
    readme = (STUDY / "README.md").read_text(encoding="utf-8")
    assert listed in readme
    assert all(f"`{path.name}`" in readme for path in STUDY.glob("*.csv"))
    assert not table.duplicated(ROW_KEY).any()
    needed = [*POPULATION_COLUMNS, "mean_dispersion_pvalue", "weights_sha256"]
    assert table.loc[table["silent_share"] < 1, needed].notna().to_numpy().all()
    means = results.unit_rates.groupby(ROW_KEY)["firing_rate"].mean()
    rates = table.set_index(ROW_KEY)["mean_firing_rate"].sort_index()
    np.testing.assert_allclose(rates, means, rtol=1e-9)
    recording = read_nwb(STUDY / "mnist_MLP_64_generalizing_seed0_test600.nwb")
    of_weights = table["weights_sha256"] == recording.provenance["weights_sha256"]
    assert set(table.loc[of_weights, "condition"]) == {"generalizing"}
    key = ("mnist", "MLP", 64, "generalizing", 0, "test")
    expected = results.unit_rates.set_index(ROW_KEY).loc[key, "firing_rate"].to_numpy()
    errors = np.sqrt(np.maximum(expected * (1 - expected), 1e-3) / 600)
    found = recording.raster.spike_counts() / 600
    assert (np.abs(found - expected) < 5 * errors).all()
    rival = load_rivals(STUDY)
    compared = rivals(rival.networks).replace({"expectation": {"": np.nan}})
    pd.testing.assert_frame_equal(read_table(STUDY / "rivals.csv"), compared)
    key = [*NOISE_KEY, "phase"]
    means = rival.unit_rates.groupby(key)["probability"].mean()
    rates = rival.networks.set_index(key)["mean_firing_rate"].sort_index()
    np.testing.assert_allclose(rates, means, rtol=1e-9)


def test_files_kept_with_the_project_are_those_that_its_list_names():
    """Every NWB file under data/ stands in data/README.md with its checksum and a
    licence.
    """
    text = (DATA / "README.md").read_text()
    for path in DATA.rglob("*.nwb"):
        name = f"| `{path.relative_to(DATA)}`"
        line = next(line for line in text.splitlines() if line.startswith(name))
        assert hashlib.sha256(path.read_bytes()).hexdigest() in line
        assert "BSD-3-Clause" in line


def test_cells_that_a_folder_lacks_are_those_of_the_paper_without_a_network():
    """With nothing all 92 cells of the paper are missing, with the plan the others, and
    with all of them none; a seed is enough.
    """
    assert missing_cells()["n_cells"].sum() == 92
    assert set(missing_cells()["status"]) == {"missing"}
    others = missing_cells(_results(plan()))
    assert others["n_cells"].sum() == 92 - 47
    assert set(others["network"]) == {"CNN", "DenseNet121"}
    whole = missing_cells(_results(planned_cells(seeds=[2])))
    assert whole.empty
    assert missing_markdown(whole) == "No cell of the paper is missing.\n"


def test_networks_that_stopped_short_are_to_be_trained_for_longer():
    """A cell whose networks all stopped short is listed with ten times their limit, or
    with the one asked for.
    """
    held = [cell for cell in planned_cells(seeds=[0]) if cell.condition != "random"]
    results = _results(held, stopped_by="epoch limit", max_epochs=200)
    table = missing_cells(results)
    short = table[table["status"] == "stopped short"]
    assert short["n_cells"].sum() == len(held)
    assert short["command"].str.contains("--max-epochs 2000").all()
    assert set(short["epochs_from"]) == {"limit"}
    asked = missing_cells(results, max_epochs=700)
    assert asked["command"].str.contains("--max-epochs 700").all()
    assert set(asked.loc[asked["status"] == "stopped short", "epochs"]) == {700}


def test_hours_are_measured_epochs_times_measured_seconds():
    """An MLP of width 512 whose kind needed 9 epochs takes 9 times 8 ms on an H200, in
    each of its trained conditions.
    """
    held = planned_cells(networks=["MLP"], widths=[64, 128, 256], seeds=[0])
    table = missing_cells(_results(held))
    row = table[(table["network"] == "MLP") & (table["dataset"] == "mnist")].iloc[0]
    assert (row["width"], row["n_cells"], row["epochs"]) == (512, 4, 9)
    assert (row["epochs_from"], row["measured_H200"]) == ("measured", "MLP 512")
    assert row["hours_H200"] == pytest.approx(3 * 9 * 0.008 / 3600)
    text = missing_markdown(table)
    assert row["command"] in text
    assert f"{92 - 24} of the paper's 92 cells are missing" in text


def test_the_plan_is_printed_with_its_commands(tmp_path):
    """The command lists missing cells, whose commands the command line takes."""
    done = CliRunner().invoke(app, ["study", "plan", "--missing", "--csv"])
    assert done.exit_code == 0, done.output
    rows = pd.read_csv(io.StringIO(done.output))
    assert rows["n_cells"].sum() == 92
    for command in rows["command"]:
        words = [*command.split()[1:], "--minutes", "0"]
        words[words.index("--out") + 1] = str(tmp_path / "none")
        refused = CliRunner().invoke(app, words)
        assert "minutes must be above 0" in refused.stderr
    text = CliRunner().invoke(app, ["study", "plan", str(STUDY)]).output
    assert "complete" in text
