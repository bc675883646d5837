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
    IntegrityError,
    OutputExistsError,
    network_test,
    read_nwb,
    summarize_populations,
)
from ann2neo.cli import app
from ann2neo.recording import Recording
from ann2neo.study.cells import planned_cells
from ann2neo.study.collect import CURVES, collect_results
from ann2neo.study.results import ROW_KEY, load_results, load_switches
from ann2neo.study.rows import (
    JOINT_PERMUTATIONS,
    LABEL_PERMUTATIONS,
    POPULATION_COLUMNS,
    recording_rows,
)
from ann2neo.study.runs import run_study


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


def _aged(run, to):
    """A copy of a run whose rows are those of an older version."""
    shutil.copytree(run, to)
    for path in (to / "cells").glob("*.json"):
        cell = json.loads(path.read_text())
        del cell["rows_version"]
        first = list(cell["rows"][0])
        added = {*first[first.index("mean_correlation") :], "max_epochs", "precision"}
        cell["rows"] = [
            {name: value for name, value in row.items() if name not in added}
            for row in cell["rows"]
        ]
        path.write_text(json.dumps(cell))
    return to


def test_rows_hold_populations_and_joint_permutations(run):
    """A row's population statistics and network p-values are those that the cell's file
    gives.
    """
    table = load_results(run).table.set_index(["condition", "split"])
    recording = read_nwb(run / "recordings" / "digits_MLP_16_mem_random_last_seed0.nwb")
    together = summarize_populations(
        recording, n_permutations=LABEL_PERMUTATIONS, seed=0
    ).set_index("phase")
    tests = network_test(recording, n_permutations=JOINT_PERMUTATIONS, seed=0)
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


def test_older_rows_are_made_anew_from_their_recordings(run, tmp_path):
    """Cells of an older version get the rows that the present version would have
    written, and lose nothing.
    """
    aged = _aged(run, tmp_path / "aged")
    before = {path.name: path.read_bytes() for path in (aged / "cells").iterdir()}
    table = collect_results([aged], tmp_path / "out")
    assert {
        path.name: path.read_bytes() for path in (aged / "cells").iterdir()
    } == before
    new = load_results(run).table
    assert list(table) == list(new)
    pd.testing.assert_frame_equal(load_results(tmp_path / "out").table, new)
    pd.testing.assert_frame_equal(
        load_results(tmp_path / "out").unit_rates, load_results(run).unit_rates
    )


def test_collecting_again_changes_nothing_and_computes_nothing(
    run, tmp_path, monkeypatch
):
    """Rows that are collected already are kept as they are, to the last byte; others
    are added.
    """
    aged, out = _aged(run, tmp_path / "aged"), tmp_path / "out"
    moved = tmp_path / "moved.json"
    shutil.move(aged / "cells" / "digits_MLP_16_random_seed0.json", moved)
    collect_results([aged], out)
    assert set(load_results(out).table["condition"]) == {"mem_random_last"}
    shutil.move(moved, aged / "cells" / "digits_MLP_16_random_seed0.json")
    collect_results([aged], out)
    before = [(out / name).read_bytes() for name in ("results.csv", "unit_rates.csv")]
    monkeypatch.setattr("ann2neo.study.collect.recording_rows", None)
    collect_results([aged], out)
    assert [
        (out / name).read_bytes() for name in ("results.csv", "unit_rates.csv")
    ] == before
    assert len(load_results(out).table.drop_duplicates(ROW_KEY)) == 4


def test_rows_without_their_recording_stay_as_they_are(run, tmp_path, caplog):
    """A cell of an older version whose file is gone keeps its rows, and a warning names
    it.
    """
    aged = _aged(run, tmp_path / "aged")
    (aged / "recordings" / "digits_MLP_16_random_seed0.nwb").unlink()
    table = collect_results([aged], tmp_path / "out")
    assert (
        "digits_MLP_16_random_seed0 has rows of an older version and no recording"
        in caplog.text
    )
    assert table.groupby("condition")["rows_version"].count().to_dict() == {
        "mem_random_last": 2,
        "random": 0,
    }


def test_another_networks_recording_is_found_out(run, tmp_path):
    """A file that is not the one of its rows is an error, and nothing is written."""
    aged = _aged(run, tmp_path / "aged")
    places = [
        aged / "recordings" / f"digits_MLP_16_{name}_seed0.nwb"
        for name in ("random", "mem_random_last")
    ]
    shutil.copy(places[0], places[1])
    with pytest.raises(
        IntegrityError,
        match=r"not the recording that the rows of .*mem_random_last.* were made of",
    ):
        collect_results([aged], tmp_path / "out")
    assert not (tmp_path / "out" / "results.csv").exists()


def test_what_cannot_be_collected_is_refused(run, tmp_path):
    """Missing folders, folders of something else, a run's own folder and empty runs are
    errors that say so.
    """
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "study.json").write_text(
        '{"study": "another", "format": 1, "settings": {}}'
    )
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "study.json").write_text(
        '{"study": "ann2neo", "format": 1, "settings": {}}'
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
    curve.assign(**key).to_csv(source / "dynamics" / "curve.csv", index=False)
    pd.DataFrame(
        [{**key, "split": "train", "switch": 20, "within_one_epoch": True}]
    ).to_csv(source / "dynamics.csv", index=False)
    for _ in range(2):
        done = CliRunner().invoke(
            app, ["study", "collect", str(source), "--out", str(tmp_path / "out")]
        )
        assert done.exit_code == 0, done.output
        thinned = pd.read_csv(tmp_path / "out" / CURVES)
        assert thinned["epoch"].to_list() == pytest.approx(np.arange(20) / 10 + 0.05)
        assert thinned["mean_firing_rate"].to_list() == pytest.approx(
            np.arange(0.5, 40, 2)
        )
        switches = load_switches(tmp_path / "out")
        assert switches is not None
        assert switches["switch"].to_list() == [20]
