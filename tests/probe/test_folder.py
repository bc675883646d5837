"""Recordings kept in a folder: the same as in memory, resumed after a kill, never
half-written.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers as kl

import ann2neo
from ann2neo.errors import (
    FileFormatError,
    IntegrityError,
    OutputExistsError,
    OutputLockedError,
)
from ann2neo.probe import show
from ann2neo.recording.folder import UnfinishedFolder

N = 300


def _model() -> Any:
    keras.utils.set_random_seed(4)
    layers = [kl.Dropout(0.5), kl.Dense(10, "tanh", name="hidden"), kl.Dense(3)]
    return keras.Sequential([keras.Input((4,)), *layers], name="net")


X = np.random.default_rng(0).normal(size=(N, 4)).astype("float32")
Y = np.arange(N) % 3


class Watched:
    """The stimuli as an array on disk, of which every batch that is read is reported.

    Parameters
    ----------
    report : callable
        Called with the number of samples before they are handed out; may raise.
    """

    shape, dtype = X.shape, X.dtype

    def __init__(self, report: Callable[[int], None]) -> None:
        self.report = report

    def __len__(self) -> int:
        return N

    def __getitem__(self, rows: Any) -> np.ndarray:
        values = X[rows]
        self.report(len(values))
        return values


def _record(
    out: Path | None, model: Any = None, x: Any = X, **arguments: Any
) -> ann2neo.Recording:
    settings = {
        "layers": "hidden",
        "labels": Y,
        "seed": 5,
        "batch_size": 16,
        **arguments,
    }
    return ann2neo.record(model or _model(), x, out=out, **settings)


def test_a_folder_holds_the_same_recording(tmp_path: Path) -> None:
    """Recording into a folder and opening it gives what recording into memory gives."""
    made = _record(tmp_path / "rec")
    opened = ann2neo.Recording.open(tmp_path / "rec")
    assert opened.equals(made)
    assert opened.equals(_record(None), identity=False)
    assert sorted(entry.name for entry in (tmp_path / "rec").iterdir()) == [
        "bits.npy",
        "recording.json",
    ]
    assert isinstance(opened.raster.bits.base, np.memmap) or isinstance(
        opened.raster.bits, np.memmap
    )


@pytest.mark.parametrize("batch_size", [16, 10])
def test_an_interrupted_recording_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch_size: int
) -> None:
    """After an interrupt in the middle, the same call finishes the recording without
    showing the same stimuli again.
    """
    monkeypatch.setattr(UnfinishedFolder, "seconds_between_marks", 0.0)
    n_before = _interrupted(tmp_path / "rec", after=200, batch_size=batch_size)
    with pytest.raises(
        FileFormatError, match="unfinished recording; record into it again"
    ):
        ann2neo.Recording.open(tmp_path / "rec")
    n_shown = _shown(monkeypatch)
    resumed = _record(tmp_path / "rec", batch_size=batch_size, seed=None)
    assert n_before + sum(n_shown) <= N + 8 * batch_size
    assert resumed.equals(_record(None, batch_size=batch_size), identity=False)


def _shown(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Number of samples of each batch that a network is shown from now on."""
    n_shown: list[int] = []
    write = show._Stage.write

    def watched(stage: Any, first_bin: int, n_bins: int, packed: Any) -> None:
        n_shown.append(n_bins)
        write(stage, first_bin, n_bins, packed)

    monkeypatch.setattr(show._Stage, "write", watched)
    return n_shown


def _interrupted(out: Path, *, after: int, **arguments: Any) -> int:
    """Interrupt a recording after some samples; returns how many were read."""
    reads: list[int] = []

    def interrupt(n_samples: int) -> None:
        if sum(reads) >= after:
            raise KeyboardInterrupt
        reads.append(n_samples)

    with pytest.raises(KeyboardInterrupt):
        _record(out, x=Watched(interrupt), **arguments)
    return sum(reads)


KILLED = """
import importlib.util, time
from ann2neo.recording.folder import UnfinishedFolder
UnfinishedFolder.seconds_between_marks = 0.0
spec = importlib.util.spec_from_file_location("folder_test", {file!r})
module = importlib.util.module_from_spec(spec); spec.loader.exec_module(module)
def slow(n_samples):
    print("batch", flush=True)
    time.sleep(0.02)
module._record({out!r}, x=module.Watched(slow), n_repeats=2, training=True)
"""


def _killed(out: Path, after: int) -> None:
    """Kill a process that records into `out` after some batches, with SIGKILL."""
    code = KILLED.format(file=__file__, out=str(out))
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    # The first samples are read twice: for their shape, and to be shown.
    for line_number, line in enumerate(process.stdout):
        assert line.strip() == "batch"
        if line_number == after:
            break
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()


@pytest.mark.parametrize(
    "after",
    [
        *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 7, 19, 24, 38)),
        *(pytest.param(n, marks=pytest.mark.exhaustive) for n in (2, 13, 18, 20, 30)),
    ],
)
def test_a_killed_recording_resumes_to_the_same_bits(
    tmp_path: Path, after: int
) -> None:
    """A stochastic, repeated, shuffled recording that is killed at any batch and
    resumed equals an uninterrupted one.
    """
    _killed(tmp_path / "rec", after)
    assert not (tmp_path / "rec" / "recording.json").exists()
    done = json.loads((tmp_path / "rec" / "progress.json").read_text())["n_done"]
    resumed = _record(tmp_path / "rec", n_repeats=2, training=True)
    assert resumed.equals(_record(None, n_repeats=2, training=True), identity=False)
    assert ann2neo.Recording.open(tmp_path / "rec").equals(resumed)
    assert done > 0 or after < 3


def test_other_recordings_are_not_mixed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder with another recording, unfinished, finished or foreign, is refused by
    name; so is a second writer.
    """
    monkeypatch.setattr(UnfinishedFolder, "seconds_between_marks", 0.0)
    out = tmp_path / "rec"
    _interrupted(out, after=80, batch_size=16)
    with pytest.raises(
        OutputExistsError,
        match=r"another unfinished recording: its seed is '5', not '6'",
    ):
        _record(out, seed=6)
    other = _model()
    other.layers[1].bias.assign(other.layers[1].bias + 1)
    with pytest.raises(OutputExistsError, match=r"its weights_sha256 is"):
        _record(out, other)
    code = (
        "import pathlib, time; from ann2neo._files import locked\n"
        f"with locked(pathlib.Path({str(out)!r}), ''):\n"
        "    print('locked', flush=True); time.sleep(60)"
    )
    lock = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert lock.stdout is not None
    lock.stdout.readline()
    with pytest.raises(OutputLockedError, match="another process is recording into"):
        _record(out)
    lock.kill()
    lock.wait()
    lock.stdout.close()
    _record(out)
    with pytest.raises(
        OutputExistsError,
        match=r"holds a finished recording; open it with Recording\.open",
    ):
        _record(out)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("mine")
    with pytest.raises(
        OutputExistsError, match=r"holds other files, such as 'thesis\.tex'"
    ):
        _record(tmp_path / "full")
    assert (tmp_path / "full" / "thesis.tex").read_text() == "mine"


def test_damage_is_noticed(tmp_path: Path) -> None:
    """A flipped bit, a changed cell, a cut file and a foreign folder are errors that
    say what is wrong.
    """
    out = tmp_path / "rec"
    _record(out)
    bits = (out / "bits.npy").read_bytes()
    (out / "bits.npy").write_bytes(bits[:-9] + bytes([bits[-9] ^ 1]) + bits[-8:])
    with pytest.raises(
        IntegrityError, match=r"bits\.npy does not match its checksum; record it again"
    ):
        ann2neo.Recording.open(out)
    (out / "bits.npy").write_bytes(bits[:-20])
    with pytest.raises(IntegrityError, match="is damaged"):
        ann2neo.Recording.open(out)
    (out / "bits.npy").write_bytes(bits)
    text = (out / "recording.json").read_text()
    (out / "recording.json").write_text(text.replace('"hidden"', '"hidded"', 1))
    with pytest.raises(
        IntegrityError, match=r"recording\.json does not match its checksum"
    ):
        ann2neo.Recording.open(out)
    (out / "recording.json").write_text(text[: len(text) // 2])
    with pytest.raises(IntegrityError, match="is damaged"):
        ann2neo.Recording.open(out)
    with pytest.raises(
        FileFormatError, match=r"holds no recording: there is no recording\.json"
    ):
        ann2neo.Recording.open(tmp_path)
    with pytest.raises(ann2neo.InputValueError, match="there is no folder"):
        ann2neo.Recording.open(tmp_path / "nowhere")
