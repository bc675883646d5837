"""Rows of the study: what they hold, and how finished cells of several runs come
together.
"""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from ann2neo import (
    FileFormatError,
    InputValueError,
    OutputExistsError,
    Recording,
    network_test,
    read_nwb,
    summarize_populations,
)
from ann2neo.cli import app
from ann2neo.study.plan import planned_cells
from ann2neo.study.results import (
    collect_results,
    load_curves,
    load_results,
    load_switches,
    write_json,
    write_table,
)
from ann2neo.study.runs import POPULATION_COLUMNS, recording_rows, run_study


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run of two networks."""
    folder = tmp_path_factory.mktemp("run") / "results"
    cells = planned_cells(
        "quick",
        networks=["MLP"],
        widths=[16],
        seeds=[0],
        conditions=["random", "mem_random_last"],
    )
    run_study(cells, folder, max_epochs=3)
    return folder


@pytest.mark.slow
def test_rows_hold_populations_and_joint_permutations(run):
    """A row's population statistics and network p-values are those that the cell's file
    gives.
    """
    table = load_results(run).table.set_index(["condition", "split"])
    recording = read_nwb(run / "recordings" / "digits_MLP_16_mem_random_last_seed0.nwb")
    together = summarize_populations(recording, n_permutations=999, seed=0).set_index(
        "phase"
    )
    tests = network_test(recording, n_permutations=199, seed=0)
    for split in ("train", "test"):
        row = table.loc[("mem_random_last", split)]
        for name in POPULATION_COLUMNS:
            assert row[name] == pytest.approx(
                together.loc[split, name], rel=1e-12, nan_ok=True
            ), name
        found = tests[
            (tests["phase"] == split) & (tests["statistic"] == "mean_dispersion")
        ].iloc[0]
        assert (row["mean_dispersion"], row["mean_dispersion_pvalue"]) == pytest.approx(
            (found["observed"], found["pvalue"])
        )
        assert row["weights_sha256"] == recording.provenance["weights_sha256"]
        assert (row["max_epochs"], row["precision"]) == (3, "float32")


def test_a_silent_network_has_rows():
    """A network that never spikes has rates of 0 and no other numbers, and its row says
    so without failing.
    """
    silent = Recording.from_activations(
        np.zeros((200, 4)), labels=np.arange(200) % 2, phase="train", order="random"
    )
    found = recording_rows(silent, 0)
    row = found["rows"][0]
    assert (
        row["mean_firing_rate"],
        row["silent_share"],
        row["mean_mutual_information"],
    ) == (0, 1, 0)
    assert row["mean_dispersion"] is None
    assert row["mean_dispersion_pvalue"] is None
    assert found["unit_rates"] == {"train": [0, 0, 0, 0]}


def test_collecting_again_changes_nothing(run, tmp_path):
    """Collected rows are those of the run, to the last byte, however often they are
    collected; rows that a source lacks stay.
    """
    out, part = tmp_path / "out", tmp_path / "part"
    names = ("results.csv", "unit_rates.csv")
    shutil.copytree(run, part)
    (part / "cells" / "digits_MLP_16_random_seed0.json").unlink()
    collect_results([part], out)
    assert set(load_results(out).table["condition"]) == {"mem_random_last"}
    for sources in ([run], [run], [part]):
        collect_results(sources, out)
        for name in names:
            assert (out / name).read_bytes() == (run / name).read_bytes()


def test_the_last_source_of_a_cell_counts(run, tmp_path):
    """Where two runs hold the same network, the rows are those of the later source."""
    other = tmp_path / "other"
    shutil.copytree(run, other)
    path = other / "cells" / "digits_MLP_16_random_seed0.json"
    cell = json.loads(path.read_text())
    for row in cell["rows"]:
        row["mean_firing_rate"] = 0.25
    del cell["sha256"]
    write_json(path, cell)
    table = collect_results([run, other], tmp_path / "out")
    rates = table.set_index("condition")["mean_firing_rate"]
    assert (rates["random"] == 0.25).all()
    assert (rates["mem_random_last"] != 0.25).all()


def test_what_cannot_be_collected_is_refused(run, tmp_path):
    """Missing folders, folders of something else, a run's own folder and empty runs are
    errors that say so.
    """
    (tmp_path / "other").mkdir()
    write_json(
        tmp_path / "other" / "study.json",
        {"study": "another", "format": 2, "settings": {}},
    )
    (tmp_path / "empty").mkdir()
    write_json(
        tmp_path / "empty" / "study.json",
        {"study": "ann2neo", "format": 2, "settings": {}},
    )
    for sources, out, kind, words in (
        ([tmp_path / "nowhere"], "out", InputValueError, "there is no folder"),
        ([tmp_path / "other"], "out", FileFormatError, "a study of 'another'"),
        ([run], run, OutputExistsError, "is the folder of a run"),
        ([tmp_path / "empty"], "out", InputValueError, "no cell is finished in"),
    ):
        with pytest.raises(kind, match=words):
            collect_results(sources, tmp_path / out)


def test_training_curves_are_collected_thinned(run, tmp_path):
    """Switches of several folders come together, and curves as means over tenths of an
    epoch.
    """
    source = tmp_path / "source"
    shutil.copytree(run, source)
    (source / "dynamics").mkdir()
    key = {
        "dataset": "digits",
        "network": "MLP",
        "width": 16,
        "retrain": "all",
        "seed": 0,
    }
    curve = pd.DataFrame(
        {
            "split": "train",
            "epoch": np.repeat([0, 1], 20),
            "batch": np.tile(np.arange(20), 2),
            "labels": np.repeat(["true", "random"], 20),
            "mean_firing_rate": np.arange(40.0),
        }
    )
    write_table(source / "dynamics" / "curve.csv", curve.assign(**key))
    switch = {**key, "split": "train", "switch": 20, "within_one_epoch": True}
    write_table(source / "dynamics.csv", pd.DataFrame([switch]))
    for _ in range(2):
        done = CliRunner().invoke(
            app, ["study", "collect", str(source), "--out", str(tmp_path / "out")]
        )
        assert done.exit_code == 0, done.output
        thinned = load_curves(tmp_path / "out")
        assert thinned["epoch"].to_list() == pytest.approx(np.arange(20) / 10 + 0.05)
        assert thinned["mean_firing_rate"].to_list() == pytest.approx(
            np.arange(0.5, 40, 2)
        )
        switches = load_switches(tmp_path / "out")
        assert switches["switch"].to_list() == [20]
