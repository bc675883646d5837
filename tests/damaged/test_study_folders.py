"""Damaged folders of a study: an error that names the file, or the results as written;
and runs that are ended at any moment, which the next one finishes.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time

import damage
import numpy as np
import pandas as pd
import pytest

import ann2neo
from ann2neo.errors import FileFormatError, IntegrityError
from ann2neo.study.plan import planned_cells
from ann2neo.study.results import (
    finished_cells,
    load_results,
    read_table,
    write_table,
)
from ann2neo.study.runs import run_study

SEED = 20260720 + damage.SEED_SHIFT
CHOICE = {"networks": ["MLP"], "widths": [16], "seeds": [0]}

# Reads all that later runs and analyses read: tables, cells, curves and weights.
READ = """
import pathlib, shutil, tempfile
import pandas as pd
from ann2neo.study import load_curves, load_results, load_switches
from ann2neo.study.conditions import NetworkUnderStudy
from ann2neo.study.results import collect_results
from ann2neo.study.runs import _read_weights

bench = NetworkUnderStudy(ann2neo.load_dataset("digits"), "MLP", 16)

def contents(path):
    path = pathlib.Path(path)
    results = load_results(path)
    frames = [results.table, results.unit_rates, load_switches(path)]
    with tempfile.TemporaryDirectory() as out:
        frames += [collect_results([path], out), load_curves(out), load_switches(out)]
    for weights in sorted((path / "networks").glob("*.npz")):
        frames += [pd.DataFrame(of) for of in _read_weights(weights, bench).weights]
    return [results.settings, *frames]

reference = contents({path!r})

def read(path):
    now = contents(path)
    same = now[0] == reference[0] and all(
        one.equals(other) for one, other in zip(now[1:], reference[1:], strict=True)
    )
    return "same" if same else "other"
"""


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A finished run of two networks, with a training curve."""
    folder = tmp_path_factory.mktemp("study") / "results"
    cells = planned_cells("quick", **CHOICE, conditions=["random", "generalizing"])
    run_study(cells, folder, max_epochs=3)
    key = dict(zip(("dataset", "network"), ("digits", "MLP"), strict=True))
    curve = pd.DataFrame(
        {
            **key,
            "width": 16,
            "retrain": "all",
            "seed": 0,
            "split": "train",
            "epoch": np.repeat([0, 1], 20),
            "batch": np.tile(np.arange(20), 2),
            "labels": np.repeat(["true", "random"], 20),
            "mean_firing_rate": np.arange(40) / 40,
        }
    )
    (folder / "dynamics").mkdir()
    write_table(folder / "dynamics" / "curve.csv", curve)
    write_table(folder / "dynamics.csv", curve.head(2).assign(switch=20))
    shutil.rmtree(folder / "recordings")
    return folder


def _file(path, rng, pattern="**/*.*"):
    files = sorted(file for file in path.glob(pattern) if file.is_file())
    return files[int(rng.integers(len(files)))]


def flip_bytes(path, rng):
    damage.flip_bytes(_file(path, rng), rng)


def truncate(path, rng):
    damage.truncate(_file(path, rng), rng)


def zero_range(path, rng):
    damage.zero_range(_file(path, rng), rng)


def append_bytes(path, rng):
    damage.append_bytes(_file(path, rng), rng)


def change_lines(path, rng):
    """Drop, double or exchange lines of a table, or cut it after one."""
    file = _file(path, rng, "**/*.csv")
    lines = file.read_text().splitlines(keepends=True)
    first, second = sorted(map(int, rng.choice(len(lines), 2, replace=False)))
    ways = [
        lines[:first] + lines[first + 1 :],
        [*lines[:first], lines[first], *lines[first:]],
        [
            *lines[:first],
            lines[second],
            *lines[first + 1 : second],
            lines[first],
            *lines[second + 1 :],
        ],
        lines[:second],
    ]
    file.write_text("".join(ways[int(rng.integers(len(ways)))]))


def change_cell(path, rng):
    """Change a cell of a table to another number, or to none."""
    file = _file(path, rng, "**/*.csv")
    lines = file.read_text().splitlines()
    row = int(rng.integers(len(lines)))
    cells = lines[row].split(",")
    cells[int(rng.integers(len(cells)))] = rng.choice(["0.25", "", "-1", "nan", "x"])
    lines[row] = ",".join(cells)
    file.write_text("\n".join(lines) + "\n")


def change_json(path, rng):
    file = _file(path, rng, "**/*.json")
    file.write_text(damage.change_json(file.read_text(), rng))


def become_folder(path, rng):
    """Put a folder where a file was."""
    file = _file(path, rng)
    file.unlink()
    file.mkdir()


WAYS = [
    flip_bytes,
    truncate,
    zero_range,
    append_bytes,
    change_lines,
    change_cell,
    change_json,
    become_folder,
]


@pytest.mark.parametrize(
    "n_folders",
    [
        pytest.param(100, marks=pytest.mark.slow),
        pytest.param(500, marks=[pytest.mark.exhaustive, pytest.mark.timeout(3600)]),
    ],
)
def test_damaged_folders(study, tmp_path, n_folders):
    """A damaged folder of a study is an error that names the problem, or the results
    that were written: no row of it is another one.
    """

    def copy():
        shutil.rmtree(tmp_path / "damaged", ignore_errors=True)
        return shutil.copytree(study, tmp_path / "damaged")

    counts = damage.outcomes_of(
        copy, WAYS, READ.format(path=str(study)), n_folders, SEED + n_folders
    )
    assert not any(counts[way.__name__, "other"] for way in WAYS), counts
    assert sum(counts[way.__name__, "error"] for way in WAYS) > n_folders / 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "column"),
    [("results.csv", "mean_firing_rate"), ("unit_rates.csv", "firing_rate")],
)
def test_a_changed_number_in_a_table_is_noticed(study, tmp_path, name, column):
    """One number of one row is an IntegrityError that names file and row."""
    folder = shutil.copytree(study, tmp_path / "copy")
    lines = (folder / name).read_text().splitlines()
    cells = lines[3].split(",")
    cells[lines[0].split(",").index(column)] = "0.25"
    lines[3] = ",".join(cells)
    (folder / name).write_text("\n".join(lines) + "\n")
    with pytest.raises(
        IntegrityError, match=rf"1 of \d+ rows of .*{name} do not match.*first in row 3"
    ):
        load_results(folder)


def test_a_table_that_lost_its_last_rows_is_noticed(study, tmp_path):
    """A table cut after a whole row is not a shorter table."""
    path = tmp_path / "unit_rates.csv"
    lines = (study / "unit_rates.csv").read_text().splitlines(keepends=True)
    for n_rows in (len(lines) - 4, 2, 1):
        path.write_text("".join(lines[:n_rows]))
        with pytest.raises(IntegrityError, match="or rows are missing"):
            read_table(path)


def test_a_changed_number_in_a_cell_is_noticed_before_training(study, tmp_path):
    """A run into a folder with a damaged cell is refused, and the file is named."""
    folder = shutil.copytree(study, tmp_path / "copy")
    path = next(iter(sorted((folder / "cells").iterdir())))
    path.write_text(path.read_text().replace('"n_units": 16', '"n_units": 17', 1))
    with pytest.raises(IntegrityError, match=rf"{path.name} does not match.*delete it"):
        run_study(planned_cells("quick", **CHOICE), folder, max_epochs=3)
    path.unlink()
    assert len(finished_cells(folder)) == 1


def test_a_checkpoint_of_another_network_is_refused(study, tmp_path):
    """Weights of other shapes, or without progress, are named and not trained from."""
    folder = shutil.copytree(study, tmp_path / "copy")
    cells = planned_cells("quick", **CHOICE, conditions=["mem_random_last"])
    path = folder / "networks" / f"{cells[0].name}.checkpoint.npz"
    for content in ({"weight_0000": np.zeros((3, 4))}, {"progress": np.zeros(2)}):
        np.savez(path, **content)
        with pytest.raises(
            FileFormatError,
            match="does not hold the weights of MLP of width 16 on digits; delete it",
        ):
            run_study(cells, folder, max_epochs=3)


# Loads everything once, then makes a process for each line, which runs a study.
SERVER = """
import os, sys
import tensorflow
import ann2neo.study.runs as runs
from ann2neo.study.plan import planned_cells
runs._CHECKPOINT_SECONDS = 0.05
cells = planned_cells(
    "quick", networks=["MLP"], widths=[16], seeds=[0],
    conditions=["random", "generalizing"],
)
print("ready", flush=True)
for line in sys.stdin:
    child = os.fork()
    if not child:
        print(os.getpid(), flush=True)
        runs.run_study(cells, line.strip(), max_epochs=60)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
ENVIRONMENT = {**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "2"}
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)


def _check_like(ended, whole):
    """Compare the files of a study that was ended with those of one that was not."""
    for name in ("results.csv", "unit_rates.csv"):
        assert (ended / name).read_bytes() == (whole / name).read_bytes()
    names = [
        sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
        for folder in (whole, ended)
    ]
    assert names[0] == names[1]
    for path in (ended / "recordings").glob("*.nwb"):
        assert ann2neo.read_nwb(path).equals(
            ann2neo.read_nwb(whole / "recordings" / path.name), identity=False
        )


@pytest.mark.skipif(sys.platform == "win32", reason="signals and forks")
@pytest.mark.parametrize(
    "n_ends",
    [
        pytest.param(9, marks=pytest.mark.slow),
        pytest.param(200, marks=[pytest.mark.exhaustive, pytest.mark.timeout(7200)]),
    ],
)
def test_a_run_that_is_ended_again_and_again_gives_the_same_tables(tmp_path, n_ends):
    """Killed, terminated or interrupted at random moments, a study leaves only whole
    files, and the run that comes to its end writes the tables of one that was never
    ended.
    """
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER],
        env=ENVIRONMENT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )

    def start(folder):
        server.stdin.write(f"{folder}\n")
        server.stdin.flush()
        return int(server.stdout.readline())

    whole, ended = tmp_path / "whole", tmp_path / "ended"
    rng, n_ended, n_finished = np.random.default_rng([SEED, n_ends]), 0, 0
    try:
        assert server.stdout.readline() == "ready\n"
        start(whole)
        started = time.monotonic()
        assert server.stdout.readline() == "0\n"
        seconds = time.monotonic() - started
        while n_ended < n_ends or ended.exists():
            child = start(ended)
            if n_ended < n_ends:
                time.sleep(rng.uniform(0, seconds))
                # Where it has come to its end, there is nobody to send it to.
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, SIGNALS[n_ended % 3])
            if server.stdout.readline() != "0\n":
                n_ended += 1
                for path in ended.rglob("*.csv"):
                    assert len(read_table(path))
                finished_cells(ended)
                continue
            _check_like(ended, whole)
            shutil.rmtree(ended)
            n_finished += 1
    finally:
        server.stdin.close()
        server.wait()
        server.stdout.close()
    assert n_finished
