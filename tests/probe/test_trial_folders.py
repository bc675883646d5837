"""Folders of trials: interruptions, room for padding, kills while bits are copied."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers as kl

import ann2neo
from ann2neo import IntegrityError, OutputExistsError
from ann2neo.probe import show
from ann2neo.recording.folder import UnfinishedFolder

N, T = 60, 9
LENGTHS = np.random.default_rng(1).integers(1, T + 1, N)
X = np.random.default_rng(0).normal(size=(N, T, 3)).astype("float32")
X[np.arange(T) >= LENGTHS[:, None]] = 0


class _StopError(Exception):
    """Ends a recording early."""


@pytest.fixture(scope="module")
def probe() -> ann2neo.Probe:
    """An LSTM whose mask leaves padding out, and which draws its spikes."""
    keras.utils.set_random_seed(2)
    layers = [
        kl.Masking(),
        kl.LSTM(5, activation="sigmoid", return_sequences=True, name="lstm"),
        kl.GlobalAveragePooling1D(),
        kl.Dense(3, "softmax"),
    ]
    model = keras.Sequential([keras.Input((T, 3)), *layers])
    return ann2neo.Probe(model, "lstm", time_axis=1, emission="bernoulli")


def _record(probe: ann2neo.Probe, out: Path | None, x: Any = X, **given: Any) -> Any:
    settings = {"labels": np.arange(N) % 3, "seed": 5, "batch_size": 4, **given}
    return probe.record(x, out=out, **settings)


@pytest.fixture(autouse=True)
def _marks_after_every_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(UnfinishedFolder, "seconds_between_marks", 0.0)


def _cut(monkeypatch: Any, probe: Any, out: Path, after: int, **given: Any) -> Any:
    """Begin a recording that ends after some batches; return its last mark."""
    packed, n_batches = show._packed, 0

    def stopping(*arguments: Any) -> Any:
        nonlocal n_batches
        n_batches += 1
        if n_batches > after:
            raise _StopError
        return packed(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(show, "_packed", stopping)
        with pytest.raises(_StopError):
            _record(probe, out, **given)
    return json.loads((out / "progress.json").read_text())["marks"][-1]


@pytest.mark.parametrize("after", [1, 6, 14])
def test_an_interrupted_recording_of_trials_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, probe: ann2neo.Probe, after: int
):
    """It ends with the bits, tables and counts of one that was not interrupted,
    wherever in a byte the last mark lies.
    """
    out = tmp_path / "rec"
    mark = _cut(monkeypatch, probe, out, after)
    assert mark[0] == 4 * after
    # What a killed run wrote after its last mark.
    bits = np.load(out / "bits.npy", mmap_mode="r+")
    bits[:, mark[1] // 8 + 1 :] = 255
    bits[:, mark[1] // 8] |= 0xFF & ~((1 << mark[1] % 8) - 1)
    bits.flush()
    del bits
    resumed = _record(probe, out)
    assert resumed.equals(_record(probe, None), identity=False)
    assert ann2neo.Recording.open(out).equals(resumed)
    assert resumed.n_time_bins == LENGTHS.sum()


def test_marks_lie_anywhere_in_a_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, probe: ann2neo.Probe
):
    """Trials of unlike length are noted as they come, not at whole bytes only."""
    out = tmp_path / "rec"
    _cut(monkeypatch, probe, out, 9)
    marks = json.loads((out / "progress.json").read_text())["marks"]
    assert [mark[0] for mark in marks] == [4 * i for i in range(1, 10)]
    assert {mark[1] % 8 for mark in marks} - {0}


@pytest.mark.parametrize("place", ["whole byte", "last bits", "lengths"])
def test_damage_of_what_was_recorded_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, probe: ann2neo.Probe, place: str
):
    """A changed bit or length is an IntegrityError, also in the byte of the mark."""
    out = tmp_path / "rec"
    after = next(
        n
        for n in range(3, 12)
        if LENGTHS[np.random.default_rng((5, 0)).permutation(N)[: 4 * n]].sum() % 8
    )
    mark = _cut(monkeypatch, probe, out, after)
    name = "lengths.npy" if place == "lengths" else "bits.npy"
    array = np.load(out / name, mmap_mode="r+")
    if place == "lengths":
        array[0] += 1
    else:
        array[2, 0 if place == "whole byte" else mark[1] // 8] ^= 1
    array.flush()
    with pytest.raises(IntegrityError, match="does not match the checksum"):
        _record(probe, out)


def test_other_lengths_are_another_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, probe: ann2neo.Probe
):
    """A folder begun with lengths is resumed with the same ones only."""
    out = tmp_path / "rec"
    _cut(monkeypatch, probe, out, 5, lengths=LENGTHS)
    with pytest.raises(OutputExistsError, match="its lengths is"):
        _record(probe, out, lengths=np.full(N, T))
    finished = _record(probe, out, lengths=LENGTHS)
    assert finished.n_time_bins == LENGTHS.sum()


@pytest.mark.parametrize(
    "moment", ["before the copy", "before it is in place", "after"]
)
def test_a_kill_while_bits_are_copied_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, probe: ann2neo.Probe, moment: str
):
    """Whenever the run ends, the same call finishes the recording."""
    out = tmp_path / "rec"
    whole = Path.replace

    def killed(*_arguments: Any) -> None:
        raise _StopError

    def replaced_then_killed(path: Path, target: Path) -> None:
        whole(path, target)
        if path.name == "bits_arranged.npy":
            raise _StopError

    def killed_at_the_copy(path: Path, target: Path) -> None:
        if path.name == "bits_arranged.npy":
            raise _StopError
        whole(path, target)

    with monkeypatch.context() as patch:
        if moment == "before the copy":
            patch.setattr(UnfinishedFolder, "arrange", killed)
        elif moment == "after":
            patch.setattr(Path, "replace", replaced_then_killed)
        else:
            patch.setattr(Path, "replace", killed_at_the_copy)
        with pytest.raises(_StopError):
            _record(probe, out)
    assert not (out / "recording.json").exists()
    resumed = _record(probe, out)
    assert resumed.equals(_record(probe, None), identity=False)
    assert ann2neo.Recording.open(out).equals(resumed)


def test_streams_of_a_stateful_network_are_put_in_order_in_a_folder(tmp_path: Path):
    """The folder holds the bits that memory would, in the order of the streams."""
    keras.utils.set_random_seed(3)
    layer = kl.GRU(4, return_sequences=True, stateful=True, name="gru")
    model = keras.Sequential([keras.Input(batch_shape=(3, T, 3)), layer])
    how = {"layers": "gru", "time_axis": 1, "seed": 1}
    x = np.random.default_rng(0).normal(size=(N, T, 3)).astype("float32")
    in_memory = ann2neo.record(model, x, **how)
    recording = ann2neo.record(model, x, **how, out=tmp_path / "rec")
    assert recording.equals(in_memory, identity=False)
    assert len(ann2neo.Recording.open(tmp_path / "rec").segments) == 3


def test_trials_longer_than_the_first_ones_need_their_lengths(tmp_path: Path):
    """The error of a folder without room for them says what to pass."""
    layer = kl.GRU(4, return_sequences=True, name="gru")
    model = keras.Sequential([keras.Input((None, 3)), layer])
    x = np.random.default_rng(0).normal(size=(8, T, 3)).astype("float32")
    batches = [x[:4, :3], x[4:]]
    how = {"layers": "gru", "time_axis": 1, "seed": 1, "n_samples": 8}
    with pytest.raises(ann2neo.InputValueError, match="pass lengths="):
        ann2neo.record(model, iter(batches), **how, out=tmp_path / "rec")
    lengths = [3] * 4 + [T] * 4
    recording = ann2neo.record(
        model, iter(batches), **how, lengths=lengths, out=tmp_path / "other"
    )
    assert recording.n_time_bins == sum(lengths)
