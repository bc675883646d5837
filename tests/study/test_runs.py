"""Runs of the study: the quick profile, killed and resumed runs, folders that may not
be used.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import ann2neo
from ann2neo._parallel import WorkerWarning
from ann2neo.cli import app
from ann2neo.errors import (
    Ann2NeoError,
    FileFormatError,
    InputValueError,
    IntegrityError,
    OutputExistsError,
    OutputLockedError,
)
from ann2neo.study import runs
from ann2neo.study.comparison import table_markdown
from ann2neo.study.conditions import NetworkUnderStudy
from ann2neo.study.hypotheses import NONE_MEMORIZES, hypotheses
from ann2neo.study.indicators import indicators
from ann2neo.study.memorization import memorization
from ann2neo.study.plan import PROFILES, Cell, planned_cells
from ann2neo.study.results import (
    ROW_KEY,
    load_results,
    locked,
    write_json,
    write_table,
)
from ann2neo.study.runs import run_study, unfinished

ENVIRONMENT = {**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "2"}


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """Results of the quick profile, from the command line."""
    folder = tmp_path_factory.mktemp("quick") / "results"
    command = [
        sys.executable,
        "-m",
        "ann2neo",
        "study",
        "run",
        "--profile",
        "quick",
        "--out",
        str(folder),
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, env=ENVIRONMENT, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder


def _cells(**choice):
    few = {"networks": ["MLP"], "widths": [16], "seeds": [0]}
    return planned_cells("quick", **{**few, **choice})


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A folder with a small finished study."""
    folder = tmp_path_factory.mktemp("small") / "results"
    run_study(_cells(), folder, max_epochs=5)
    return folder


@pytest.fixture
def two_workers():
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        yield pool


@pytest.mark.slow
def test_the_quick_profile_runs_the_whole_study(quick):
    """Every cell has a row per split, rates of its units, a NWB file, and the tables
    and verdicts print.
    """
    results = load_results(quick)
    table = results.table
    assert not table.duplicated(ROW_KEY).any()
    assert len(table) == 2 * len(planned_cells("quick"))
    assert len(list((quick / "recordings").glob("*.nwb"))) == len(table) / 2
    means = results.unit_rates.groupby(ROW_KEY)["firing_rate"].mean()
    np.testing.assert_allclose(
        table.set_index(ROW_KEY)["mean_firing_rate"].sort_index(), means, rtol=1e-12
    )
    generalizing = table[
        (table["condition"] == "generalizing") & (table["split"] == "test")
    ]
    assert (generalizing["accuracy_test"] > 0.8).all()
    judged = memorization(results)
    assert len(judged) == 6 * 2 + 6 * 3
    # A hundred epochs do not suffice, so nothing is said of memorizing networks.
    assert not judged["memorizes"].any()
    first = hypotheses(results).iloc[0]
    assert (first["number"], first["verdict"], first["n"]) == (1, NONE_MEMORIZES, 0)
    assert all(
        table_markdown(results, number).count("| digits |") == 8 for number in (1, 2, 5)
    )
    with pytest.raises(InputValueError, match="0 of 30 networks"):
        indicators(results)
    areas = indicators(results, min_gain=0).set_index(["statistic", "held_out"])
    assert areas.loc[("mean_firing_rate", ""), "auc"] < 0.2
    assert set(areas.index.get_level_values("held_out")) == {"", "MLP", "CNN"}


@pytest.mark.slow
def test_the_files_hold_what_the_rows_say(small):
    """A cell's file reads back with a phase per split, the rates of its rows, and where
    it came from.
    """
    table = load_results(small).table
    for row in table.to_dict("records"):
        cell = Cell(
            *(
                row[name]
                for name in ("dataset", "network", "width", "condition", "seed")
            )
        )
        recording = ann2neo.read_nwb(small / "recordings" / f"{cell.name}.nwb")
        raster = recording.phase_raster(row["split"])
        assert (
            raster.spike_counts().sum() / raster.n_units / raster.n_time_bins
            == pytest.approx(row["mean_firing_rate"], rel=1e-12)
        )
        assert recording.provenance["condition"] == row["condition"]
        assert len(raster.to_dense()[0]) == {"train": 1437, "test": 360}[row["split"]]


def test_accuracies_are_of_the_recorded_predictions(small):
    """The test accuracy of a row is the share of correct predictions in the cell's
    file.
    """
    table = load_results(small).table
    row = table[
        (table["condition"] == "generalizing") & (table["split"] == "test")
    ].iloc[0]
    recording = ann2neo.read_nwb(
        small / "recordings" / "digits_MLP_16_generalizing_seed0.nwb"
    )
    test = recording.presentations[recording.presentations["phase"] == "test"]
    assert test["is_correct"].mean() == pytest.approx(row["accuracy_test"])


@pytest.mark.slow
def test_a_finished_cell_is_not_run_again_and_new_ones_are_added(
    small, tmp_path, monkeypatch
):
    """A second run leaves the cells that are there and extends the table by the others,
    whatever the order.
    """
    both, stepwise = tmp_path / "both", tmp_path / "stepwise"
    run_study(
        _cells(seeds=[0, 1], conditions=["random", "generalizing"]), both, max_epochs=5
    )
    run_study(
        _cells(seeds=[1], conditions=["random", "generalizing"]), stepwise, max_epochs=5
    )
    run_study(_cells(seeds=[0], conditions=["generalizing"]), stepwise, max_epochs=5)
    run_study(
        _cells(seeds=[0, 1], conditions=["random", "generalizing"]),
        stepwise,
        max_epochs=5,
    )
    assert (both / "results.csv").read_bytes() == (
        stepwise / "results.csv"
    ).read_bytes()
    assert (both / "unit_rates.csv").read_bytes() == (
        stepwise / "unit_rates.csv"
    ).read_bytes()
    monkeypatch.setattr(NetworkUnderStudy, "bring_into", None)
    again = run_study(
        _cells(seeds=[0, 1], conditions=["random", "generalizing"]), both, max_epochs=5
    )
    assert len(again) == 8


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_was(tmp_path):
    """Kill -9 in the middle of a cell, then resumed: the same tables as without the
    kill, from its checkpoint.
    """
    code = (
        "import sys, ann2neo.study.runs as runs; from ann2neo.study.plan import"
        " planned_cells\nruns._CHECKPOINT_SECONDS = 0.1\ncells = planned_cells('quick',"
        " networks=['MLP'], widths=[16], seeds=[0],"
        " conditions=['mem_random_last'])\nruns.run_study(cells, sys.argv[1],"
        " max_epochs=1500)\n"
    )
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    checkpoint = (
        killed / "networks" / "digits_MLP_16_mem_random_last_seed0.checkpoint.npz"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(killed)],
        env=ENVIRONMENT,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while (
        not checkpoint.exists()
        and process.poll() is None
        and time.monotonic() < deadline
    ):
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert checkpoint.exists()
    assert not (killed / "results.csv").exists()
    with np.load(checkpoint) as file:
        assert 0 < file["progress"][0] < 1500
    cells = _cells(conditions=["mem_random_last"])
    run_study(cells, killed, max_epochs=1500)
    run_study(cells, whole, max_epochs=1500)
    for name in ("results.csv", "unit_rates.csv"):
        assert (killed / name).read_bytes() == (whole / name).read_bytes()
    with np.load(checkpoint) as file:
        assert file["progress"][0] == 1500


def _same_tables(first, second):
    """Whether two folders hold the same tables, byte by byte."""
    names = ("results.csv", "unit_rates.csv")
    return all(
        (first / name).read_bytes() == (second / name).read_bytes() for name in names
    )


@pytest.mark.slow
@pytest.mark.parametrize("has_workers", [False, True])
def test_networks_go_on_under_a_raised_limit(tmp_path, caplog, request, has_workers):
    """Networks that stopped at a limit of 3 epochs and go on to 6, and those that start
    from one of them, are those of a study with a limit of 6, with workers too.
    """
    raised, whole = tmp_path / "raised", tmp_path / "whole"
    executor = request.getfixturevalue("two_workers") if has_workers else None
    run_study(_cells(), raised, max_epochs=3, executor=executor)
    with pytest.raises(InputValueError, match="ask for this condition too"):
        run_study(_cells(conditions=["generalizing"]), raised, max_epochs=6)
    with caplog.at_level("INFO", logger="ann2neo.study.runs"):
        table = run_study(_cells(), raised, max_epochs=6, executor=executor)
    assert "3 networks go on where they stopped, 1 that start" in caplog.text
    trained = table[table["condition"] != "random"]
    assert set(trained["n_epochs"]) == set(trained["max_epochs"]) == {6}
    at_once = run_study(_cells(), whole, max_epochs=6)
    at_once = at_once[at_once["condition"] != "random"]
    pd.testing.assert_frame_equal(trained, at_once)
    with pytest.raises(InputValueError, match=r"begun with .*6.*, not .*3"):
        run_study(_cells(), raised, max_epochs=3)


@pytest.mark.slow
def test_a_run_stops_when_its_time_is_over_and_goes_on(tmp_path):
    """A run of a second cuts the training at hand, holds what is finished, and goes on
    with the same call to the tables of a run without a limit of time.
    """
    cells = _cells(conditions=["random", "mem_random_last"])
    cut, whole = tmp_path / "cut", tmp_path / "whole"
    run_study(cells[:1], cut, max_epochs=2000)
    began = time.monotonic()
    table = run_study(cells, cut, max_epochs=2000, minutes=1 / 60)
    # Besides the second: building the network, compiling an epoch.
    assert time.monotonic() - began < 60
    assert set(table["condition"]) == {"random"}
    assert unfinished(cells, cut) == cells[1:]
    (checkpoint,) = (cut / "networks").glob("*.checkpoint.npz")
    with np.load(checkpoint) as file:
        assert 0 < file["progress"][0] < 2000
    run_study(cells, cut, max_epochs=2000)
    run_study(cells, whole, max_epochs=2000)
    assert _same_tables(cut, whole)


@pytest.mark.slow
def test_a_network_whose_start_was_cut_is_not_trained(tmp_path, monkeypatch):
    """Where a generalizing network under a raised limit is cut, the one that starts
    from it is left as it was, and both are as in one run once there is time.
    """
    cells = _cells(conditions=["mem_retrain_last"])
    cut, whole = tmp_path / "cut", tmp_path / "whole"
    run_study(cells, cut, max_epochs=2)
    before = (cut / "results.csv").read_bytes()
    after_epoch, trained = runs._Watch.after_epoch, []

    def of_a_minute(self, progress, checkpoint):
        trained.append(self._cells[0].condition)
        self._ended -= 60
        after_epoch(self, progress, checkpoint)

    monkeypatch.setattr(runs._Watch, "after_epoch", of_a_minute)
    run_study(cells, cut, max_epochs=4, minutes=1)
    assert trained == ["generalizing"]
    assert (cut / "results.csv").read_bytes() == before
    monkeypatch.undo()
    run_study(cells, cut, max_epochs=4)
    run_study(cells, whole, max_epochs=4)
    assert _same_tables(cut, whole)


@pytest.mark.slow
def test_the_command_stops_its_workers_in_time(tmp_path):
    """``--workers`` with ``--minutes`` ends, says how many networks are left, and goes
    on with the same command.
    """
    folder = tmp_path / "r"
    choice = "--profile quick --network MLP --width 16 --seeds 0,1 --max-epochs 400"
    command = [sys.executable, "-m", "ann2neo", "study", "run", *choice.split()]
    command += ["--out", str(folder), "--workers", "2"]

    def run(*more):
        return subprocess.run(
            [*command, *more],
            capture_output=True,
            text=True,
            env=ENVIRONMENT,
            check=True,
        ).stdout

    first = run("--minutes", "0.01")
    assert "0.01 minutes are over, " in first
    assert "of 8 networks are left; the same command goes on where it stopped" in first
    assert "left" not in run("--minutes", "30")
    assert len(load_results(folder).table) == 16


def test_seeds_at_once_need_jax_and_this_process(tmp_path):
    """None at once, several in TensorFlow, or several per worker are errors that name
    the remedy, and no folder is made.
    """
    folder = tmp_path / "new"
    for how, words in (
        ({"seeds_at_once": 0}, "seeds_at_once must be at least 1, got 0"),
        ({"seeds_at_once": 2}, "runs on tensorflow; start it with KERAS_BACKEND=jax"),
        (
            {"seeds_at_once": 2, "executor": ThreadPoolExecutor(1)},
            "workers train one network at a time, got seeds_at_once=2; leave out",
        ),
    ):
        with pytest.raises(InputValueError, match=words):
            run_study(_cells(), folder, **how)
        assert not folder.exists()
    options = "--profile quick --network MLP --width 16 --seeds-at-once 3 --out"
    done = CliRunner().invoke(app, ["study", "run", *options.split(), str(folder)])
    assert done.exit_code == 1
    assert "several networks train at once in JAX only" in done.output
    assert not folder.exists()


def test_on_an_accelerator_seeds_of_the_mlp_train_at_once(tmp_path, monkeypatch):
    """There up to eight seeds of an MLP train at once, after the networks that they
    start from; convolutional networks do if asked to, and nothing does on a processor.
    """
    cells = _cells(networks=["MLP", "CNN"], seeds=range(9))

    def sizes(seeds_at_once=None):
        stages = runs._stages(cells, tmp_path, seeds_at_once, has_executor=False)
        entries = [entry for stage in stages for entry in stage]
        assert sorted(it.name for entry in entries for it in entry.cells) == sorted(
            cell.name for cell in cells
        )
        return [
            (entry.cells[0].network, entry.cells[0].condition, len(entry.cells))
            for entry in entries
            if entry.cells[0].condition != "random"
        ]

    assert {size for *_, size in sizes()} == {1}
    assert {size for *_, size in sizes(1)} == {1}
    trained = ("generalizing", "mem_retrain_last", "mem_random_last")
    of_three = [("MLP", condition, 3) for condition in trained for _ in range(3)]
    of_three += [
        ("CNN", condition, 3)
        for condition in (*trained, "mem_retrain_all")
        for _ in range(3)
    ]
    assert sizes(3) == of_three
    monkeypatch.setattr(runs, "several_are_cheap", lambda: True)
    by_default = sizes()
    assert by_default[:6] == [
        ("MLP", condition, size) for condition in trained for size in (8, 1)
    ]
    assert by_default[6:] == [
        ("CNN", condition, 1)
        for _ in range(9)
        for condition in (*trained, "mem_retrain_all")
    ]


def test_a_run_without_time_leaves_a_folder_that_goes_on(tmp_path):
    """Where the time is over before a cell is finished there is no row, and the command
    says how many networks are left.
    """
    folder = tmp_path / "r"
    options = "--profile quick --network MLP --width 16 --seeds 0 --condition random"
    command = ["study", "run", *options.split(), "--out", str(folder), "--minutes"]
    done = CliRunner().invoke(app, [*command, "1e-9"])
    assert done.exit_code == 0, done.output
    assert "1e-09 minutes are over, 1 of 1 networks are left" in done.output
    assert "the same command goes on" in done.output
    assert CliRunner().invoke(app, [*command, "5"]).exit_code == 0
    assert len(load_results(folder).table) == 2
    with pytest.raises(InputValueError, match="minutes must be above 0, got 0"):
        run_study(_cells(), tmp_path / "none", minutes=0)
    assert not (tmp_path / "none").exists()


@pytest.mark.slow
def test_workers_stop_when_the_time_is_over_and_go_on(tmp_path, two_workers):
    """Two workers cut their trainings in time, nothing is begun from a network that was
    cut, and workers go on to the tables of a run in one process without a limit of
    time.
    """
    cells = _cells(seeds=[0, 1])
    cut, whole = tmp_path / "cut", tmp_path / "whole"
    how = {"max_epochs": 1000, "executor": two_workers}
    # Workers are there, with the network that they built, before the time begins.
    run_study(_cells(seeds=[0, 1], conditions=["random"]), cut, **how)
    began = time.monotonic()
    run_study(cells, cut, **how, minutes=1 / 60)
    assert time.monotonic() - began < 60
    left = unfinished(cells, cut, 1000)
    assert left == [cell for cell in cells if cell.condition != "random"]
    names = {path.name for path in (cut / "networks").iterdir()}
    # Trainings that had begun, none of which starts from another.
    assert names
    assert all(name.endswith(".checkpoint.npz") for name in names)
    assert not any("retrain" in name for name in names)
    for name in names:
        with np.load(cut / "networks" / name) as file:
            assert 0 < file["progress"][0] < 1000
    run_study(cells, cut, **how)
    run_study(cells, whole, max_epochs=1000)
    assert _same_tables(cut, whole)


@pytest.mark.slow
def test_a_killed_worker_costs_its_cell(small, tmp_path):
    """Cells run in two processes, of which one is killed: this process does the rest,
    and the tables are those of a run without them.
    """
    folder = tmp_path / "killed"
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:

        def kill_one():
            while not list(folder.glob("networks/*.npz")):
                time.sleep(0.02)
            os.kill(next(iter(pool._processes)), signal.SIGKILL)

        killer = threading.Thread(target=kill_one)
        killer.start()
        with pytest.warns(WorkerWarning, match="has lost a worker"):
            run_study(_cells(), folder, max_epochs=5, executor=pool)
        killer.join()
    for name in ("results.csv", "unit_rates.csv"):
        assert (folder / name).read_bytes() == (small / name).read_bytes()


@pytest.mark.slow
def test_a_network_that_others_start_from_is_trained_once(small, tmp_path):
    """Without its own cell it is trained first, and gives no row of its own."""
    cells = [Cell("digits", "MLP", 16, "mem_retrain_last", 0)]
    folder = tmp_path / "later"
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        table = run_study(cells, folder, max_epochs=5, executor=pool)
    expected = load_results(small).table
    expected = expected[expected["condition"] == "mem_retrain_last"]
    found = load_results(folder).table
    pd.testing.assert_frame_equal(
        found,
        # Other networks have no `start_epochs`, which are floats beside them.
        expected[list(found)].reset_index(drop=True),
        check_exact=True,
        check_dtype=False,
    )
    assert len(table) == 2
    assert (folder / "networks" / "digits_MLP_16_generalizing_seed0.npz").exists()


@pytest.mark.slow
def test_a_long_training_is_told_of(tmp_path, caplog, monkeypatch):
    """The log tells how far a training has come, and what each network reached."""
    monkeypatch.setattr("ann2neo.study.runs._REPORT_SECONDS", 0.0)
    cells = _cells(conditions=["random", "generalizing"])
    with caplog.at_level("INFO", logger="ann2neo.study.runs"):
        run_study(cells, tmp_path / "r", max_epochs=2)
    lines = [record.getMessage() for record in caplog.records]
    title = "MLP of width 16 on digits, generalizing, seed 0"
    assert sum(line.startswith(f"{title}: ") for line in lines) == 2
    assert any(line.startswith(f"2/2 {title}: 2 epochs, accuracy") for line in lines)


@pytest.mark.slow
def test_mixed_precision_is_told_in_rows_and_files(tmp_path):
    """Networks trained in mixed precision say so, in their rows and in their files, and
    are recorded in float32.
    """
    run_study(
        _cells(conditions=["generalizing"]),
        tmp_path / "r",
        max_epochs=2,
        precision="mixed_bfloat16",
    )
    assert set(load_results(tmp_path / "r").table["precision"]) == {"mixed_bfloat16"}
    file = tmp_path / "r" / "recordings" / "digits_MLP_16_generalizing_seed0.nwb"
    assert ann2neo.read_nwb(file).provenance["training_precision"] == "mixed_bfloat16"


def test_two_runs_on_one_folder_are_told_apart(small):
    """While a run holds the folder, another one is refused and nothing changes."""
    before = (small / "results.csv").read_bytes()
    with (
        locked(small),
        pytest.raises(OutputLockedError, match="another run of the study is at work"),
    ):
        run_study(_cells(seeds=[5]), small, max_epochs=5)
    assert (small / "results.csv").read_bytes() == before


def _header(**change):
    return {"study": "ann2neo", "format": 2, "settings": {"max_epochs": 5}, **change}


def _fill(folder, files):
    """Write files: texts as they are, the rest as the study writes them."""
    for name, content in files.items():
        if isinstance(content, dict):
            write_json(folder / name, content)
        elif isinstance(content, str):
            (folder / name).write_text(content)
        else:
            write_table(folder / name, content)


@pytest.mark.parametrize(
    ("files", "kind", "words"),
    [
        ({"notes.txt": "mine"}, OutputExistsError, "holds notes.txt and no study"),
        (
            {"study.json": _header(format=99)},
            FileFormatError,
            "format 99; this version reads 'ann2neo', format 2",
        ),
        (
            {"study.json": _header(study="another")},
            FileFormatError,
            "a study of 'another'",
        ),
        ({"study.json": "{"}, FileFormatError, "cannot be read .* restore it"),
        (
            {"study.json": json.dumps(_header(format=1))},
            FileFormatError,
            "carries no checksum, so another version of the study wrote it",
        ),
        (
            {"study.json": json.dumps({**_header(), "sha256": "0"})},
            IntegrityError,
            "does not match its checksum, so it was changed or damaged",
        ),
        (
            {"study.json": _header(settings={"max_epochs": 7})},
            InputValueError,
            "begun with .*7.*, not .*5",
        ),
        (
            {
                "study.json": _header(
                    settings={"max_epochs": 5, "precision": "mixed_bfloat16"}
                )
            },
            InputValueError,
            "begun with .*mixed_bfloat16.*, not .*float32",
        ),
        (
            {"study.json": _header(), "results.csv": "a"},
            OutputExistsError,
            "tables without the cells",
        ),
    ],
)
def test_a_folder_that_is_not_this_study_is_left_alone(tmp_path, files, kind, words):
    """A folder with something else, another version or other settings is refused, and
    nothing in it changes.
    """
    _fill(tmp_path, files)
    before = {path.name: path.read_text() for path in tmp_path.iterdir()}
    with pytest.raises(kind, match=words) as caught:
        run_study(_cells(), tmp_path, max_epochs=5)
    assert isinstance(caught.value, Ann2NeoError)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    ("files", "kind", "words"),
    [
        (None, InputValueError, "there is no folder"),
        ({}, FileFormatError, "study.json is missing"),
        ({"study.json": _header()}, InputValueError, "no cell .* is finished yet"),
        (
            {
                "study.json": _header(),
                "results.csv": pd.DataFrame({"a": [1], "b": [2]}),
                "unit_rates.csv": pd.DataFrame({"a": [1]}),
            },
            FileFormatError,
            "lack the",
        ),
        (
            {"study.json": _header(), "results.csv": "a\n1\n", "unit_rates.csv": ""},
            FileFormatError,
            "the rows of .*results.csv carry no checksums",
        ),
        (
            {
                "study.json": _header(),
                "results.csv": "a,checksum\n1,0\n",
                "unit_rates.csv": "",
            },
            IntegrityError,
            "1 of 1 rows of .*results.csv do not match their checksums",
        ),
        ({"study.json": _header(format=3)}, FileFormatError, "run the study anew"),
    ],
)
def test_results_that_cannot_be_read_are_an_error(tmp_path, files, kind, words):
    """A missing, unfinished or foreign folder of results is an error that says what to
    do.
    """
    folder = tmp_path / "results"
    if files is not None:
        folder.mkdir()
        _fill(folder, files)
    with pytest.raises(kind, match=words):
        load_results(folder)


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({"profile": "long"}, "profile must be one of quick, paper, got 'long'"),
        (
            {"networks": ["RNN"]},
            "network must be one of MLP, CNN, DenseNet121, got 'RNN'",
        ),
        ({"networks": ["DenseNet121"]}, "trains no DenseNet121; name a data set"),
        ({"widths": [0]}, "a width must be at least 1, got 0"),
        ({"widths": []}, "at least one width"),
        ({"widths": [6.5]}, "a width must be a whole number"),
        ({"seeds": [-1]}, "a seed must be at least 0"),
        (
            {"conditions": ["overfit"]},
            "condition must be one of random, .*, got 'overfit'",
        ),
        (
            {"networks": ["MLP"], "conditions": ["mem_retrain_all"]},
            "condition must be one of random, .*, got 'mem_retrain_all'",
        ),
    ],
)
def test_cells_that_do_not_exist_are_refused(choice, words):
    """Unknown networks, conditions and profiles and impossible widths are errors that
    name the valid ones.
    """
    with pytest.raises((InputValueError, TypeError), match=words):
        planned_cells(**{"profile": "quick", **choice})


def test_an_unknown_precision_is_refused_before_anything_is_made(tmp_path):
    """A precision that does not exist is an error that names the valid ones, and no
    folder appears.
    """
    with pytest.raises(
        InputValueError,
        match="precision must be one of float32, mixed_bfloat16, got 'float8'",
    ):
        run_study(_cells(), tmp_path / "new", precision="float8")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("max_epochs", "words"),
    [(0, "max_epochs must be at least 1, got 0"), (-3, "got -3")],
)
def test_no_epochs_are_refused_before_anything_is_made(tmp_path, max_epochs, words):
    """A study of no epochs is an error, and no folder is made."""
    with pytest.raises(InputValueError, match=words):
        run_study(_cells(), tmp_path / "new", max_epochs=max_epochs)
    assert not (tmp_path / "new").exists()


def test_an_unknown_data_set_leaves_the_results_intact(small):
    """An unknown data set is found before anything is run or written."""
    before = {path: path.stat().st_mtime_ns for path in small.rglob("*")}
    with pytest.raises(InputValueError, match="unknown data set 'mnits'"):
        run_study(_cells(datasets=["mnits"]), small, max_epochs=5)
    assert {path: path.stat().st_mtime_ns for path in small.rglob("*")} == before


def test_the_paper_profile_is_the_papers_cells():
    """The profile has every cell of the paper's table 1 and the untrained networks,
    with three seeds each.
    """
    from ann2neo.study.published import paper_table

    key = ["network", "width", "dataset", "condition"]
    cells = pd.DataFrame([vars(cell) for cell in planned_cells("paper")])
    published = {tuple(row) for row in paper_table(2)[key].to_numpy()}
    assert {tuple(row) for row in cells[key].to_numpy()} == published
    assert (cells.groupby(key).size() == 3).all()
    assert PROFILES["paper"].max_epochs is None


@pytest.mark.slow
def test_a_data_set_of_ones_own_is_studied_by_its_file(tmp_path):
    """A .npz file is a data set; its cells are named after the file."""
    rng = np.random.default_rng(0)
    y = np.arange(200) % 4
    np.savez(
        tmp_path / "mine.npz",
        x_train=rng.random((200, 6)),
        y_train=y,
        x_test=rng.random((40, 6)),
        y_test=y[:40],
    )
    cells = _cells(datasets=[str(tmp_path / "mine.npz")], conditions=["random"])
    table = run_study(cells, tmp_path / "out", max_epochs=2)
    assert set(table["dataset"]) == {"mine"}
    assert [path.name for path in (tmp_path / "out" / "recordings").iterdir()] == [
        "mine_MLP_16_random_seed0.nwb"
    ]
