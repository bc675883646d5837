"""The command line: what it prints, what it refuses, and what it does not load."""

import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import keras
import numpy as np
import pandas as pd
import pytest
import quantities as pq
from typer.testing import CliRunner

import ann2neo
from ann2neo.cli import app
from ann2neo.cli.output import echo_json

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
        [
            keras.Input((4,), name="features"),
            *layers,
            keras.layers.Dense(3, "softmax", name="answer"),
        ],
        name="network",
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
    table = pd.read_csv(io.StringIO(done.stdout))
    expected = ann2neo.analyze(ann2neo.read_nwb(file), window=12)
    assert list(table) == list(expected)
    np.testing.assert_allclose(
        table["fano_factor"], expected["fano_factor"], rtol=1e-12
    )


def test_analyze_appends_the_tables(file, tmp_path):
    """--append writes both tables into the file, which still reads."""
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
        "a name that ends in .nwb, got 'data.npz'",
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


USES = """
record {m}/none.keras --data {m}/data.npz --out {t}/a.nwb
record {m}/text.txt --data {m}/data.npz --out {t}/a.nwb
record {m}/net.keras --data {m}/none.npz --out {t}/a.nwb
record {m}/net.keras --data {m}/none.h5 --out {t}/a.nwb
record {m}/net.keras --data {m}/text.txt --out {t}/a.nwb
record {m}/net.keras --data {m}/text.npy --out {t}/a.nwb
record {m}/net.keras --data {m}/text.h5 --out {t}/a.nwb
record {m}/net.keras --data {m}/nothing.npz --out {t}/a.nwb
record {m}/net.keras --data {m}/elsewhere.h5 --out {t}/a.nwb
record {m}/net.keras --data {m}/two.npz --out {t}/a.nwb
record {m}/net.keras --data {m}/data.npz --out {t}/a.nc
record {m}/net.keras --data {m}/data.npz --out {t}/none/a.nwb
record {m}/net.keras --data {m}/data.npz --out {m}/made.nwb
record {m}/net.keras --data {m}/data.npz --out {m}/folder.nwb
record {m}/net.keras --data {m}/data.npz --out {t}/a.nwb --layer third
record {m}/net.keras --data {m}/data.npz --out {t}/a.nwb --threshold high
record {m}/net.keras --data {m}/data.npz --out {t}/a.nwb --units 7
record {m}/net.keras --data {m}/data.npz --out {t}/a.nwb --units 0
record {m}/net.keras --data {m}/data.npz --out {t}/a.nwb --repeats none
record {m}/net.keras --data {m}/data.npz --out {t}/a.nwb --batch-size 0
record {m}/net.keras --data {m}/data.npz --out {t}/a.nwb --seed -1
record {m}/net.keras --data {m}/data.npz --out {t}/a.nwb --metadata {m}/none.yaml
record {m}/net.keras --data {m}/unfinite.npy --out {t}/a.nwb --no-shuffle
record {m}/net.keras --out {t}/a.nwb
recrod {m}/net.keras
info {m}/none.nwb
info {m}/text.txt
analyze {m}/made.nwb --engine slow
analyze {m}/made.nwb --window 0
analyze {m}/made.nwb --out {t}/none/b.nwb
analyze {m}/made.nwb --out {t}/b.txt
analyze {m}/made.nwb --bin-size 2
validate {m}/none.nwb
datasets fetch mnits
record {m}/net.keras --data {m}/scalar.npz --out {t}/a.nwb
record {m}/net.keras --data {m}/labels.h5 --out {t}/a.nwb
record {m}/net.keras --data {m}/folder.nwb --out {t}/a.nwb
record {m}/folder.nwb --data {m}/data.npz --out {t}/a.nwb
record {m}/net.keras --data {m}/data.npz --out {t}/a.nwb --metadata {m}/bad.yaml
record {m}/net.keras --data {m}/data.npz --out {t}/a.nwb --metadata {m}/text.txt
record {m}/net.keras --data {m}/data.npz --out {t}/a.nwb --presentations {m}/none.csv
record {m}/net.keras --data {m}/data.npz --out {t}/a.nwb --presentations {m}/few.csv
record {m}/net.keras --data {m}/data.npz --out {t}/a.nwb --presentations {m}/text.npy
record {m}/net.keras --data {m}/data.npz --out {t}/a.nwb --sampling-period 0
record {m}/net.keras --data {m}/data.npz --out {t}/a.nwb --profile neo --t-start -1
record {m}/net.keras --data {m}/data.npz --out {t}/a.nwb --profile old
analyze {m}/made.nwb --lags 0
analyze {m}/made.nwb --alpha 1
analyze {m}/made.nwb --statistics cv2
analyze {m}/made.nwb --statistics cv --csv
analyze {m}/made.nwb --csv --json
analyze {m}/text.txt --json
summarize {m}/made.nwb {m}/made.nwb
summarize {m}/made.nwb --by area
report {m}/made.nwb --out {m}/made.nwb --overwrite
report {m}/made.nwb --out {t}/a.html --study {m}
share {m}/text.txt --out {t}/dandiset
study tables {m} --json
demo --dataset {m}/none.npz --out {t}/demo
analyze {m}/made.nwb --workers 0
analyze {m}/made.nwb --workers 2 --scheduler tcp://h:8786
analyze {m}/made.nwb {m}/net.keras --out {t}/b.nwb
summarize {m}/made.nwb --out {t}/b.txt
summarize {m}/made.nwb --out {t}/b.csv --csv
summarize {m}/made.nwb --out {t}/none/b.csv
study run --out {t}/s --workers two
"""


def test_wrong_uses_are_answered_in_one_line(model, file, tmp_path):
    """The answers to wrong uses are those of the transcript: one line each (after the
    usage, where an option or command is wrong), status 1 or 2, and no file is made.
    """
    x = np.ones((20, 4), np.float32)
    for name in ("text.npy", "text.h5"):
        (model / name).write_text("no array")
    (model / "folder.nwb").mkdir()
    np.savez(model / "two.npz", left=x, right=x)
    np.save(model / "unfinite.npy", np.where(np.eye(20, 4) > 0, np.nan, x))
    np.savez(model / "scalar.npz", x=np.float32(1))
    (model / "bad.yaml").write_text("experimenter: [Noether")
    (model / "few.csv").write_text("file\na.png\n")
    with h5py.File(model / "labels.h5", "w") as labels:
        labels["x"] = x
        labels.create_group("y")
    with h5py.File(model / "elsewhere.h5", "w") as elsewhere:
        elsewhere["x"] = h5py.ExternalLink(str(model / "other.h5"), "x")
    said = []
    for use in USES.strip().splitlines():
        words = use.format(m=model, t=tmp_path).split()
        done = run(*words)
        lines = done.stderr.strip().splitlines()
        if done.exit_code == 2:
            # The usage and a hint stand before the answer.
            lines = [line for line in lines if line.startswith("Error: ")]
            # The words are those of typer, which differ between its versions.
            lines = [re.search("'[^']+'", line)[0] for line in lines]
        said += [f"$ ann2neo {use}", f"[{done.exit_code}] {' / '.join(lines)}"]
        assert len(lines) == 1, done.stderr
        assert done.exit_code in {1, 2}
        assert "Traceback" not in done.output
        assert not list(tmp_path.iterdir())
    places = {str(model): "{m}", str(tmp_path): "{t}"}
    text = "\n".join(said) + "\n"
    for place, name in places.items():
        text = text.replace(place, name)
    snapshot = Path(__file__).parent / "cli_transcript.txt"
    if os.environ.get("ANN2NEO_WRITE_TRANSCRIPT"):
        snapshot.write_text(text, encoding="utf-8")
    assert text == snapshot.read_text(encoding="utf-8")


def test_own_columns_thresholds_and_times_are_recorded(model, tmp_path):
    """Columns of a CSV file, names of stimuli, a threshold for each layer and the time
    base reach the file; the summary can be JSON.
    """
    rows = [f"s{i:03d},img{i}.png,{i}" for i in range(120)]
    (tmp_path / "own.csv").write_text("\n".join(["stimulus_id,file,depth_mm", *rows]))
    done = run(
        "record",
        model / "net.keras",
        *("--data", model / "data.npz", "--out", tmp_path / "a.nwb"),
        *("--presentations", tmp_path / "own.csv", "--no-predictions", "--seed", 5),
        *("--layer", "second", "--layer", "first", "--threshold", 0.2),
        *("--threshold", "quantile:0.5", "--sampling-period", 2, "--t-start", 1),
        "--json",
    )
    assert done.exit_code == 0, done.stderr
    summary = json.loads(done.stdout)
    recording = ann2neo.read_nwb(tmp_path / "a.nwb")
    shown = recording.presentations
    assert set(shown["file"]) == {f"img{i}.png" for i in range(120)}
    number = shown["stimulus_id"].str[1:].astype(int)
    assert (number == shown["depth_mm"]).all()
    assert (number % 3 == shown["label"]).all()
    assert "prediction" not in shown
    assert list(dict.fromkeys(recording.units["layer"])) == ["second", "first"]
    second = recording.units["layer"] == "second"
    assert set(recording.units["threshold"][second]) == {0.2}
    assert len(set(recording.units["threshold"][~second])) > 1
    assert (recording.sampling_period, recording.t_start) == (2 * pq.ms, 1 * pq.s)
    assert summary["file"] == str(tmp_path / "a.nwb")
    assert summary["n_units"] == recording.n_units == 11
    assert summary["n_spikes"] == recording.raster.spike_counts().sum()
    assert summary["phases"][0]["n_time_bins"] == 120


def test_a_recording_can_be_kept_in_a_folder(model, tmp_path):
    """--folder keeps the spikes that go into the file."""
    done = run(
        "record",
        model / "net.keras",
        *("--data", model / "data.npz", "--seed", 1),
        *("--folder", tmp_path / "kept", "--out", tmp_path / "a.nwb"),
    )
    assert done.exit_code == 0, done.stderr
    kept = ann2neo.Recording.open(tmp_path / "kept")
    assert ann2neo.read_nwb(tmp_path / "a.nwb").raster.equals(kept.raster)


def test_the_part_that_completes_a_recording_writes_the_file(model, tmp_path):
    """Parts meet in --folder; the file holds what one process would have recorded."""
    common = ("record", model / "net.keras", "--data", model / "data.npz")
    common = (*common, "--seed", 1, "--batch-size", 8, "--out", tmp_path / "a.nwb")
    first = run(*common, "--folder", tmp_path / "parts", "--part", "2/2")
    assert first.exit_code == 0, first.stderr
    assert "part 2 of 2 is there, 1 are not" in first.stdout
    assert not (tmp_path / "a.nwb").exists()
    last = run(*common, "--folder", tmp_path / "parts", "--part", "1/2")
    assert last.exit_code == 0, last.stderr
    whole = run(*common[:-1], tmp_path / "b.nwb")
    assert whole.exit_code == 0, whole.stderr
    made, expected = (ann2neo.read_nwb(tmp_path / f"{name}.nwb") for name in "ab")
    assert made.equals(expected, identity=False)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--part", "2of3", "--folder", "f"], "--part is k/n, such as 3/16"),
        (["--part", "2/3"], "--part needs --folder"),
    ],
)
def test_parts_without_number_or_folder_are_refused(more, words, model, tmp_path):
    """In one line, before Keras is loaded."""
    done = run(
        *("record", model / "net.keras", "--data", model / "data.npz"),
        *("--out", tmp_path / "a.nwb", *more),
    )
    assert done.exit_code == 1
    assert words in done.stderr


def _tables(file):
    """What the functions return that commands print as tables."""
    units = ann2neo.analyze(ann2neo.read_nwb(file), lags=4)
    network = ann2neo.summarize(units, by="layer", alpha=0.1)
    network.insert(0, "file", file.name)
    return {
        ("analyze", "--lags", "4"): units,
        ("analyze", "--statistics", "cv2,fano"): ann2neo.analyze(
            ann2neo.read_nwb(file), statistics=["fano", "cv2"]
        ),
        ("summarize", "--lags", "4", "--by", "layer", "--alpha", "0.1"): network,
    }


def test_tables_are_printed_as_csv_and_as_json(file):
    """--csv and --json print the table that the function returns with the same
    arguments; in JSON every number is exact and what is missing is null.
    """
    for (command, *options), expected in _tables(file).items():
        printed = run(command, file, *options, "--csv").stdout
        table = pd.read_csv(io.StringIO(printed), keep_default_na=False, na_values=[""])
        assert list(table) == list(expected)
        rows = json.loads(run(command, file, *options, "--json").stdout)
        assert [list(row) for row in rows] == [list(expected)] * len(expected)
        for row, values in zip(rows, expected.to_dict("records"), strict=True):
            for name, value in values.items():
                missing = isinstance(value, float) and np.isnan(value)
                assert row[name] == (None if missing else value)


def test_json_of_infinity_and_of_foreign_texts_is_valid(capsys):
    """What JSON cannot hold becomes text or null, and all of it is ASCII."""
    echo_json({"a": (np.inf, np.nan, np.int64(3)), "b": Path("x\x1b\u202e"), "c": None})
    printed = capsys.readouterr().out
    assert printed.isascii()
    assert json.loads(printed) == {
        "a": ["inf", None, 3],
        "b": "x\x1b\u202e",
        "c": None,
    }


@pytest.mark.slow
def test_other_answers_are_printed_as_json(file, tmp_path):
    """info, validate and the list of data sets give what the functions return."""
    contents = json.loads(run("info", file, "--json").stdout)
    info = ann2neo.nwb_info(file)
    assert (contents["n_units"], contents["n_spikes"]) == (info.n_units, info.n_spikes)
    assert contents["provenance"] == dict(info.provenance)
    assert contents["intervals"][0]["columns"] == list(info.intervals[0].columns)
    (tmp_path / "text.nwb").write_text("no NWB")
    done = run("validate", file, tmp_path / "text.nwb", "--json")
    good, bad = json.loads(done.stdout)
    assert done.exit_code == 1
    assert (good["file"], good["is_clean"], bad["is_clean"]) == (str(file), True, False)
    found = ann2neo.validate_nwb(tmp_path / "text.nwb")
    assert [entry["message"] for entry in bad["findings"]] == [
        finding.message for finding in found
    ]
    names = [
        entry["name"] for entry in json.loads(run("datasets", "list", "--json").stdout)
    ]
    assert names == ["digits", "mnist", "fashion_mnist", "cifar10"]


def test_networks_of_several_files_are_told_apart(file, tmp_path):
    """The command summarize has a row, and a paragraph, for each file and group."""
    other = tmp_path / "other.nwb"
    shutil.copy(file, other)
    done = run("summarize", file, other, "--by", "layer,phase")
    headings = [line for line in done.stdout.splitlines() if "6 units" in line]
    assert [line.partition(":")[0] for line in headings] == [
        "made.nwb, first, recording",
        "other.nwb, first, recording",
    ]


@pytest.mark.slow
def test_quiet_appends_without_a_word_and_bars_can_be_asked_for(file, tmp_path):
    """-q leaves only results; --progress shows bars in a pipe too."""
    path = tmp_path / "copy.nwb"
    shutil.copy(file, path)
    assert run("analyze", path, "--append", "-q").stderr == ""
    assert "/analysis" in run("analyze", path, "--append").stderr
    shown = run("analyze", path, "--progress", "--out", tmp_path / "b.nwb").stderr
    assert "analyze: 100%" in shown
    assert "write_nwb" in shown
    assert "6.00/6.00" not in run("analyze", path, "--no-progress").stderr


@pytest.mark.slow
def test_record_takes_two_inputs_test_data_and_other_files(model, tmp_path):
    """Arrays named as the inputs, x_test with y_test, .npy and HDF5 are stimuli; the
    options go where they belong.
    """
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 4)).astype(np.float32), np.arange(40) % 3
    np.savez(tmp_path / "test.npz", x_train=x[:3], x_test=x, y_train=y[:3], y_test=y)
    np.save(tmp_path / "x.npy", x)
    with h5py.File(tmp_path / "x.h5", "w") as stored:
        stored["x"], stored["y"] = x, y
    network = keras.saving.load_model(model / "net.keras", compile=False)
    expected = ann2neo.record(
        network, x, layers="first", labels=y, seed=1, units=2, n_repeats=2
    )
    options = ["--layer", "first", "--seed", 1, "--units", 2, "--repeats", 2]
    for name in ("test.npz", "x.npy", "x.h5"):
        out = tmp_path / f"{name}.nwb"
        done = run(
            "record",
            model / "net.keras",
            "--data",
            tmp_path / name,
            "--out",
            out,
            *options,
            "--batch-size",
            16,
            "--no-progress",
        )
        assert done.exit_code == 0, done.stderr
        found = ann2neo.read_nwb(out)
        assert found.raster.equals(expected.raster)
        assert found.provenance["batch_size"] == "16"
        assert ("label" in found.presentations) == (name != "x.npy")
    left, right = (keras.Input((4,), name=name) for name in ("left", "right"))
    hidden = keras.layers.Dense(5, "relu", name="hidden")(
        keras.layers.Concatenate()([left, right])
    )
    two = keras.Model([left, right], keras.layers.Dense(2)(hidden))
    two.save(tmp_path / "two.keras")
    np.savez(tmp_path / "two.npz", right=-x, left=x, y=y)
    done = run(
        "record",
        tmp_path / "two.keras",
        "--data",
        tmp_path / "two.npz",
        "--out",
        tmp_path / "two.nwb",
        "--seed",
        1,
        "--training",
    )
    assert done.exit_code == 0, done.stderr
    found = ann2neo.read_nwb(tmp_path / "two.nwb")
    expected = ann2neo.record(two, [x, -x], labels=y, seed=1, training=True)
    assert found.raster.equals(expected.raster)


def _run_alone(*arguments):
    """Run a command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "ann2neo", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=True,
    )


@pytest.mark.slow
def test_quiet_may_stand_anywhere_and_is_quiet(model, tmp_path):
    """With -q nothing is said on standard error, not even a warning of silent units,
    which otherwise is one line without a place in the code.
    """
    words = ["record", model / "net.keras", "--data", model / "data.npz", "--out"]
    words += [tmp_path / "a.nwb", "--threshold", "1.5", "--overwrite", "--seed", 2]
    loud = _run_alone(*words)
    warned = [line for line in loud.stderr.splitlines() if "ActivityWarning" in line]
    assert len(warned) == 1
    assert warned[0].startswith("ann2neo: ActivityWarning: of the 5 units")
    assert "typer" not in loud.stderr
    quiet = _run_alone(*words, "-q")
    assert not quiet.stderr
    assert quiet.stdout == loud.stdout
    for place in range(3):
        listing = ["datasets", "list"]
        listing.insert(place, "--quiet")
        assert run(*listing).exit_code == 0


def _listing(stdout, *words):
    return subprocess.Popen(
        [sys.executable, "-m", "ann2neo", *(words or ("datasets", "list"))],
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_closed_pipe_ends_a_command_silently():
    """When whoever reads the output stops reading, the command ends without a word."""
    reading, writing = os.pipe()
    os.close(reading)
    started = _listing(writing)
    os.close(writing)
    assert started.communicate()[1] == ""
    assert started.returncode == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a full device")
@pytest.mark.may_skip
@pytest.mark.parametrize(
    "words", [["datasets", "list", "--json"], ["--help"], ["--version"]]
)
def test_a_full_disk_under_the_output_is_one_line(words):
    """When results, help or version cannot be written, one line says so."""
    with Path("/dev/full").open("w") as full:
        started = _listing(full, *words)
        said = started.communicate()[1]
    assert said == (
        "ann2neo: the output could not be written (No space left on device); free some"
        " space, or send it elsewhere\n"
    )
    assert started.returncode == 1


def test_a_missing_file_is_said_before_keras_is_loaded(tmp_path):
    """A missing model or file of stimuli is refused by a process without Keras."""
    np.savez(tmp_path / "data.npz", x=np.ones((3, 4)))
    code = f"""
import sys
from ann2neo.cli import app
try:
    app(["record", {str(tmp_path / "net.keras")!r}, "--data",
         {str(tmp_path / "data.npz")!r}, "--out", {str(tmp_path / "a.nwb")!r}])
except SystemExit as end:
    print(end.code, "keras" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout == "1 False\n"
    assert "there is no file" in done.stderr


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


@pytest.mark.slow
def test_the_demo_prints_one_table_and_replaces_nothing_unasked(tmp_path):
    """The demo writes three files and prints a table, calls no network memorizing that
    does not memorize, and asks for --overwrite before it looks at the data again.
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
        if line.startswith(("untr", "gene", "memo", "perm"))
    ]
    assert [row[0] for row in rows] == ["untrained"] * 2 + ["generalizing"] * 2 + [
        "permuted"
    ] * 2 + ["generalizing"] * 2
    assert "trained on permuted labels 0 memorize them" in done.output
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
