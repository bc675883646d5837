"""The command ``record`` on sequences: steps as time bins, and drawn spikes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from typer.testing import CliRunner

import ann2neo
from ann2neo.cli import app

N, T = 12, 5
LENGTHS = np.arange(N) % T + 1


def _run(*arguments: Any) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: Any) -> Path:
    """A small saved LSTM, sequences with labels, and their lengths."""
    folder: Path = tmp_path_factory.mktemp("sequences")
    keras.utils.set_random_seed(0)
    layers = [
        keras.layers.LSTM(4, activation="sigmoid", name="lstm"),
        keras.layers.Dense(2),
    ]
    keras.Sequential([keras.Input((T, 3)), *layers]).save(folder / "net.keras")
    x = np.random.default_rng(0).normal(size=(N, T, 3)).astype("float32")
    np.savez(folder / "data.npz", x=x, y=np.arange(N) % 2)
    np.save(folder / "lengths.npy", LENGTHS)
    (folder / "lengths.txt").write_text("\n".join(map(str, LENGTHS)))
    (folder / "words.txt").write_text("one\ntwo\n")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("lengths", ["lengths.npy", "lengths.txt"])
def test_the_command_records_trials(folder: Path, tmp_path: Path, lengths: str):
    """The file holds what record makes of the same arguments."""
    out = tmp_path / "trials.nwb"
    arguments = ["record", folder / "net.keras", "--data", folder / "data.npz"]
    arguments += ["--out", out, "--layer", "lstm", "--seed", 3, "--time-axis", 1]
    arguments += ["--lengths", folder / lengths, "--emission", "poisson"]
    done = _run(*arguments)
    assert done.exit_code == 0, done.stderr
    recording = ann2neo.read_nwb(out)
    data = np.load(folder / "data.npz")
    expected = ann2neo.record(
        keras.saving.load_model(folder / "net.keras"),
        data["x"],
        labels=data["y"],
        layers="lstm",
        seed=3,
        time_axis=1,
        lengths=LENGTHS,
        emission="poisson",
    )
    assert recording.raster.equals(expected.raster)
    assert len(recording.segments) == N
    assert recording.n_time_bins == LENGTHS.sum()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--time-axis", "0"], "the axis of the batch"),
        (["--time-axis", "steps"], "must be a number or 'calls'"),
        (["--lengths", "{f}/lengths.npy"], "no axis is time"),
        (["--time-axis", "1", "--lengths", "{f}/none.npy"], "there is no file"),
        (["--time-axis", "1", "--lengths", "{f}/words.txt"], "no list of numbers"),
        (["--emission", "gauss"], "emission must be one of"),
        (["--emission", "poisson", "--threshold", "0"], "has no threshold"),
    ],
)
def test_wrong_options_are_refused_in_one_line(
    folder: Path, tmp_path: Path, options: list[str], words: str
):
    """The error says what is wrong, and no file is written."""
    out = tmp_path / "a.nwb"
    given = [option.replace("{f}", str(folder)) for option in options]
    done = _run(
        *("record", folder / "net.keras", "--data", folder / "data.npz"),
        *("--layer", "lstm", "--out", out, *given),
    )
    assert done.exit_code == 1
    assert words in done.stderr
    assert not out.exists()
