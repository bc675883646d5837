"""The command line: what it prints, what it refuses, and what it does not load."""

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import ann2neo
from ann2neo.cli import app

DEMO_FILES = {"random.nwb", "generalizing.nwb", "mem_random_last.nwb"}


def run(*arguments):
    """Run a command in this process; errors are kept apart from output."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A small saved network and stimuli with labels."""
    folder = tmp_path_factory.mktemp("model")
    keras.utils.set_random_seed(0)
    layers = [
        keras.layers.Dense(6, "relu", name="first"),
        keras.layers.Dense(5, "relu", name="second"),
    ]
    network = keras.Sequential(
        [keras.Input((4,)), *layers, keras.layers.Dense(3, "softmax", name="answer")]
    )
    network.save(folder / "net.keras")
    x = np.random.default_rng(0).normal(size=(120, 4)).astype(np.float32)
    np.savez(folder / "data.npz", x=x, y=np.arange(120) % 3)
    np.savez(folder / "unlabelled.npz", x=x)
    np.savez(folder / "nothing.npz", z=x)
    (folder / "text.txt").write_text("no archive")
    return folder


@pytest.fixture(scope="module")
def file(model):
    """A file that the command record wrote."""
    path = model / "made.nwb"
    done = run(
        "record",
        model / "net.keras",
        "--data",
        model / "data.npz",
        "--layer",
        "first",
        "--out",
        path,
        "--seed",
        3,
    )
    assert done.exit_code == 0, done.stderr
    return path


def test_record_writes_what_record_returns(model, file):
    """The file holds the recording that the function makes with the same arguments."""
    data = np.load(model / "data.npz")
    network = keras.saving.load_model(model / "net.keras", compile=False)
    expected = ann2neo.record(
        network, data["x"], layers="first", labels=data["y"], seed=3
    )
    found = ann2neo.read_nwb(file)
    assert found.raster.equals(expected.raster)
    assert found.presentations.equals(
        expected.presentations[found.presentations.columns]
    )
    assert found.provenance["data_file"] == "data.npz"


def test_record_takes_layers_thresholds_and_orders(model, tmp_path):
    """Several layers, a threshold, stored order and a name of the phase go where they
    belong; labels may be absent.
    """
    arguments = [
        "--layer",
        "first",
        "--layer",
        "second",
        "--threshold",
        "0.5",
        "--no-shuffle",
        "--phase",
        "shown",
    ]
    data = model / "unlabelled.npz"
    done = run(
        "record",
        model / "net.keras",
        "--data",
        data,
        "--out",
        tmp_path / "a.nwb",
        *arguments,
    )
    assert done.exit_code == 0, done.stderr
    recording = ann2neo.read_nwb(tmp_path / "a.nwb")
    assert recording.units["layer"].value_counts().to_dict() == {
        "first": 6,
        "second": 5,
    }
    assert set(recording.units["threshold"]) == {0.5}
    assert [(p.phase, p.order) for p in recording.iter_phases()] == [
        ("shown", "stored")
    ]
    assert "label" not in recording.presentations
    assert "11 units x 120 time bins" in done.output


def test_info_says_what_a_file_holds(file):
    """Units, spikes, phases and provenance are printed, one per line."""
    done = run("info", file)
    recording = ann2neo.read_nwb(file)
    assert done.exit_code == 0
    lines = dict(
        line.split(maxsplit=1)
        for line in done.output.splitlines()
        if " " in line.strip()
    )
    assert lines["units"] == f"6, with {recording.raster.spike_counts().sum():,} spikes"
    assert lines["phases"] == "recording (120 bins, random order)"
    assert lines["seed"] == "3"


def test_analyze_prints_the_network_and_marks_what_the_shuffle_makes_true(file):
    """The table of the network is printed; tests of order are marked in random
    order.
    """
    done = run("analyze", file)
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    network = ann2neo.summarize(ann2neo.analyze(ann2neo.read_nwb(file))).iloc[0]
    shown = [line for line in lines if line.strip().startswith("mean firing rate")]
    assert f"{network['mean_firing_rate']:.3f} per bin" in shown[0]
    assert any(line.startswith("* mean dispersion") for line in lines)
    assert any("true by construction" in line for line in lines)


def test_analyze_prints_units_as_csv_and_nothing_else(file):
    """--csv gives the rows of analyze, exactly."""
    done = run("analyze", file, "--csv", "--window", 12)
    assert done.exit_code == 0
    import io

    table = pd.read_csv(io.StringIO(done.stdout))
    expected = ann2neo.analyze(ann2neo.read_nwb(file), window=12)
    assert list(table) == list(expected)
    np.testing.assert_allclose(
        table["fano_factor"], expected["fano_factor"], rtol=1e-12
    )


def test_analyze_appends_the_tables(file, tmp_path):
    """--append writes both tables into the file, which still reads."""
    import shutil

    path = tmp_path / "copy.nwb"
    shutil.copy(file, path)
    assert run("analyze", path, "--append").exit_code == 0
    assert "unit_statistics, network_statistics" in run("info", path).output.replace(
        "network_statistics, unit_statistics", "unit_statistics, network_statistics"
    )
    assert ann2neo.read_nwb(path).equals(ann2neo.read_nwb(file))


BAD = [
    (
        ["record", "{m}/no.keras", "--data", "{m}/data.npz", "--out", "{t}/a.nwb"],
        "there is no file",
    ),
    (
        ["record", "{m}/text.txt", "--data", "{m}/data.npz", "--out", "{t}/a.nwb"],
        "is not a .keras file",
    ),
    (
        ["record", "{m}/net.keras", "--data", "{m}/no.npz", "--out", "{t}/a.nwb"],
        "save the stimuli with numpy.savez",
    ),
    (
        ["record", "{m}/net.keras", "--data", "{m}/text.txt", "--out", "{t}/a.nwb"],
        "is not a NumPy .npz file",
    ),
    (
        ["record", "{m}/net.keras", "--data", "{m}/nothing.npz", "--out", "{t}/a.nwb"],
        "it must hold x",
    ),
    (
        ["record", "{m}/net.keras", "--data", "{m}/data.npz", "--out", "{m}/data.npz"],
        "exists already",
    ),
    (
        [
            "record",
            "{m}/net.keras",
            "--data",
            "{m}/data.npz",
            "--out",
            "{t}/a.nwb",
            "--layer",
            "third",
        ],
        "first",
    ),
    (
        [
            "record",
            "{m}/net.keras",
            "--data",
            "{m}/data.npz",
            "--out",
            "{t}/a.nwb",
            "--threshold",
            "high",
        ],
        "high",
    ),
    (
        ["record", "{m}/net.keras", "--data", "{m}/data.npz", "--out", "{t}/no/a.nwb"],
        "folder does not exist",
    ),
    (["info", "{t}/no.nwb"], "no.nwb"),
    (["info", "{m}/text.txt"], "text.txt"),
    (["analyze", "{m}/text.txt"], "text.txt"),
    (
        ["analyze", "{m}/made.nwb", "--engine", "slow"],
        "engine must be one of fast, reference",
    ),
    (["analyze", "{m}/made.nwb", "--window", "0"], "window"),
    (["analyze", "{m}/made.nwb", "--bin-size", "2"], "has its own time bins"),
    (["datasets", "fetch", "mnits"], "unknown data set 'mnits'"),
    (["demo", "--dataset", "mnits", "--out", "{t}/demo"], "unknown data set 'mnits'"),
    (["study", "run", "--out", "{t}/s", "--width", "0"], "a width must be at least 1"),
    (
        ["study", "run", "--out", "{t}/s", "--seeds", "one"],
        "a seed must be a whole number",
    ),
    (
        ["study", "run", "--out", "{t}/s", "--profile", "quick", "--max-epochs", "0"],
        "max_epochs must be at least 1",
    ),
    (
        ["study", "run", "--out", "{t}/s", "--network", "RNN"],
        "network must be one of MLP, CNN, DenseNet121, got 'RNN'",
    ),
    (["study", "tables", "{t}/nowhere"], "there is no folder"),
    (["study", "hypotheses", "{t}"], "holds no study"),
    (
        [
            "study",
            "dynamics",
            "--out",
            "{t}/d",
            "--dataset",
            "digits",
            "--retrain",
            "some",
        ],
        "retrain must be",
    ),
]


@pytest.mark.parametrize(("arguments", "words"), BAD)
def test_bad_input_is_one_line_and_status_one(model, file, tmp_path, arguments, words):
    """Bad input is reported on one line of standard error with the remedy, with status
    1, and no file appears.
    """
    done = run(*(argument.format(m=model, t=tmp_path) for argument in arguments))
    lines = done.stderr.strip().splitlines()
    assert done.exit_code == 1, done.output
    assert lines[-1].startswith("ann2neo: ")
    assert words in lines[-1]
    assert not list(tmp_path.rglob("*.nwb"))
    assert "Traceback" not in done.output


def test_the_demo_prints_one_table_and_replaces_nothing_unasked(tmp_path):
    """The demo writes three files and prints a table; a second run asks for --overwrite
    before it looks at the data.
    """
    rng = np.random.default_rng(0)
    data, out = tmp_path / "blobs.npz", tmp_path / "demo"
    y = np.arange(360) % 4
    x = rng.random((360, 8)) + (np.arange(8) % 4 == y[:, None])
    np.savez(data, x_train=x[:300], y_train=y[:300], x_test=x[300:], y_test=y[300:])
    done = run("demo", "--dataset", data, "--out", out)
    assert done.exit_code == 0, done.stderr
    assert {path.name for path in out.iterdir()} == DEMO_FILES
    rows = [
        line.split()
        for line in done.output.splitlines()
        if line.startswith(("untr", "gene", "memo"))
    ]
    assert [row[0] for row in rows] == ["untrained"] * 2 + ["generalizing"] * 2 + [
        "memorizing"
    ] * 2 + ["generalizing"] * 2
    recording = ann2neo.read_nwb(out / "generalizing.nwb")
    rate = recording.phase_raster("test").spike_counts().sum() / recording.n_units / 60
    assert f"{rate:.3f}" in rows[3]
    assert f"ann2neo info {out / 'generalizing.nwb'}" in done.output
    before = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    data.unlink()
    again = run("demo", "--dataset", data, "--out", out)
    assert again.exit_code == 1
    assert "--overwrite" in again.stderr
    assert {path: path.stat().st_mtime_ns for path in out.iterdir()} == before


def test_data_sets_are_listed_and_fetched():
    """The list says where each data set is or would come from; the embedded one is
    fetched without a network.
    """
    listed = run("datasets", "list").output
    assert [line.split()[0] for line in listed.splitlines()][:4] == [
        "digits",
        "mnist",
        "fashion_mnist",
        "cifar10",
    ]
    fetched = run("datasets", "fetch", "digits").output
    assert fetched == "digits: 1437 training and 360 test samples, from scikit-learn\n"


@pytest.mark.parametrize(
    ("arguments", "unwanted"),
    [
        (["--help"], ["numpy", "pandas", "keras", "pynwb"]),
        (["--version"], ["numpy", "pandas", "keras", "pynwb"]),
        (["datasets", "list"], ["keras", "tensorflow", "pynwb", "sklearn"]),
        (["info", "FILE"], ["keras", "tensorflow", "matplotlib"]),
    ],
)
def test_small_commands_load_no_large_library(file, arguments, unwanted):
    """Help, version, the list of data sets and info load neither Keras nor any other
    large library they do not need.
    """
    words = [str(file) if word == "FILE" else word for word in arguments]
    code = f"""
import sys, json
from ann2neo.cli import app
try:
    app({words!r})
except SystemExit as end:
    print(json.dumps([end.code, sorted(m for m in sys.modules if "." not in m)]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=dict(os.environ),
        check=True,
    )
    status, modules = json.loads(done.stdout.splitlines()[-1])
    assert status in (0, None)
    assert not set(unwanted) & set(modules)


def test_the_module_is_the_command():
    """Running the module prints the version of the package."""
    done = subprocess.run(
        [sys.executable, "-m", "ann2neo", "--version"],
        capture_output=True,
        text=True,
        check=True,
    )
    from importlib.metadata import version

    assert done.stdout == f"ann2neo {version('ann2neo')}\n"
