"""Damaged folders: an error that names the problem, or the right recording."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import damage
import keras
import numpy as np
import pytest
from keras import layers as kl

import ann2neo
from ann2neo.errors import (
    Ann2NeoError,
    FileFormatError,
    InputValueError,
    IntegrityError,
)
from ann2neo.recording import folder as folders
from ann2neo.recording.folder import UnfinishedFolder

SEED = 20261126 + damage.SEED_SHIFT
N = 300
X = np.random.default_rng(0).normal(size=(N, 4)).astype("float32")
Y = np.arange(N) % 3


@pytest.fixture(scope="module")
def probe() -> ann2neo.Probe:
    """A network whose forward pass is compiled once for all tests here."""
    keras.utils.set_random_seed(4)
    hidden = kl.Dense(10, "tanh", name="hidden")
    model = keras.Sequential([keras.Input((4,)), hidden, kl.Dense(3)])
    return ann2neo.Probe(model, "hidden")


def _record(probe: ann2neo.Probe, out: Path | None, x: Any = X) -> ann2neo.Recording:
    return probe.record(x, labels=Y, seed=5, batch_size=16, out=out)


@pytest.fixture(scope="module")
def reference(probe: ann2neo.Probe) -> ann2neo.Recording:
    """The right recording."""
    return _record(probe, None)


@pytest.fixture(scope="module")
def finished(probe: ann2neo.Probe, tmp_path_factory: Any) -> Path:
    """A folder with a finished recording."""
    out: Path = tmp_path_factory.mktemp("finished") / "rec"
    _record(probe, out)
    return out


@pytest.fixture(scope="module")
def unfinished(probe: ann2neo.Probe, tmp_path_factory: Any) -> Path:
    """A folder with two thirds of a recording."""
    out: Path = tmp_path_factory.mktemp("unfinished") / "rec"
    cut = X.copy()
    order = np.random.default_rng((5, 0)).permutation(N)
    # The batch that holds this sample ends the recording.
    cut[order[200]] = np.nan
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(UnfinishedFolder, "seconds_between_marks", 0.0)
        with pytest.raises(ann2neo.errors.ActivationError):
            _record(probe, out, cut)
    return out


# -- ways to damage a file
# --------------------------------------------------------------------------------------

Way = Callable[[bytes, np.random.Generator], bytes]


def flip_bits(data: bytes, rng: np.random.Generator) -> bytes:
    out = bytearray(data)
    for place in rng.integers(0, len(out), rng.choice([1, 1, 4, 64])):
        out[place] ^= 1 << int(rng.integers(8))
    return bytes(out)


def flip_early_bits(data: bytes, rng: np.random.Generator) -> bytes:
    return flip_bits(data[:128], rng) + data[128:]


def truncate(data: bytes, rng: np.random.Generator) -> bytes:
    return data[: int(rng.integers(len(data)))]


def extend(data: bytes, rng: np.random.Generator) -> bytes:
    return data + rng.bytes(int(rng.integers(1, 300)))


def overwrite_range(data: bytes, rng: np.random.Generator) -> bytes:
    start, length = int(rng.integers(len(data))), int(rng.integers(1, 200))
    value = bytes([int(rng.choice([0, 255, 48]))])
    return (data[:start] + value * length + data[start + length :])[: len(data)]


def set_padding(data: bytes, rng: np.random.Generator) -> bytes:
    """Bins beyond the last one of a unit, where the file holds bits."""
    out = bytearray(data)
    row = 128 + 40 * int(rng.integers(10))
    out[row + 38 : row + 40] = rng.bytes(2)
    return bytes(out[: len(data)])


def nothing_left(_data: bytes, _rng: np.random.Generator) -> bytes:
    return b""


def other_content(_data: bytes, rng: np.random.Generator) -> bytes:
    others = [b"[]", b"{}", b"null", b"[" * 100_000, b"\xff\xfe", rng.bytes(500)]
    return others[rng.integers(len(others))]


def change_json(data: bytes, rng: np.random.Generator) -> bytes:
    """Another value somewhere in a JSON file; a few bits in others."""
    try:
        content = json.loads(data)
    except ValueError:
        return flip_bits(data, rng)
    place: Any = content
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = keys[rng.integers(len(keys))]
        if not isinstance(place[key], (dict, list)) or not place[key]:
            break
        place = place[key]
    others = [None, 0, -1, 8, 299, 10**12, 1.5, "text", [], {}, True]
    if rng.random() < 0.2 and isinstance(place, dict):
        del place[key]
    else:
        place[key] = others[rng.integers(len(others))]
    return json.dumps(content).encode()


WAYS: list[Way] = [
    flip_bits,
    flip_early_bits,
    truncate,
    extend,
    overwrite_range,
    set_padding,
    nothing_left,
    other_content,
    change_json,
    change_json,
]


def damaged(base: Path, out: Path, number: int) -> str:
    """Damage a copy of a folder, and return what was done."""
    rng = np.random.default_rng([SEED, number])
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(base, out)
    paths = sorted(out.iterdir())
    path = paths[rng.integers(len(paths))]
    if rng.random() < 0.05:
        path.unlink()
        return f"{number}: {path.name} removed"
    way = WAYS[rng.integers(len(WAYS))]
    path.write_bytes(way(path.read_bytes(), rng))
    return f"{number}: {way.__name__} of {path.name}"


def _check(outcomes: dict[str, str]) -> None:
    wrong = {
        way: outcome
        for way, outcome in outcomes.items()
        if outcome not in {"error", "same"}
    }
    assert not wrong
    assert list(outcomes.values()).count("error") > len(outcomes) / 3


@pytest.mark.parametrize(
    "n_folders",
    [
        60,
        pytest.param(400, marks=pytest.mark.slow),
        pytest.param(2000, marks=pytest.mark.exhaustive),
    ],
)
def test_damaged_recordings(finished: Path, tmp_path: Path, n_folders: int) -> None:
    """A damaged folder gives an error that names the problem, or the recording that was
    written.
    """
    written = ann2neo.Recording.open(finished)
    outcomes = {}
    for number in range(n_folders):
        way = damaged(finished, tmp_path / "rec", number)
        try:
            recording = ann2neo.Recording.open(tmp_path / "rec")
            outcomes[way] = "same" if recording.equals(written) else "OTHER"
        except FileFormatError as error:
            outcomes[way] = "error" if len(str(error)) > 20 else "EMPTY"
    _check(outcomes)


@pytest.mark.parametrize(
    "n_folders",
    [
        30,
        pytest.param(100, marks=pytest.mark.slow),
        pytest.param(300, marks=pytest.mark.exhaustive),
    ],
)
def test_damaged_unfinished_recordings(
    unfinished: Path,
    probe: ann2neo.Probe,
    reference: ann2neo.Recording,
    tmp_path: Path,
    n_folders: int,
) -> None:
    """A damaged unfinished folder is refused, or finished to the right recording."""
    outcomes = {}
    out = tmp_path / "rec"
    for number in range(n_folders):
        way = damaged(unfinished, out, number)
        try:
            recording = _record(probe, out)
            is_same = recording.equals(reference, identity=False)
            is_same = is_same and ann2neo.Recording.open(out).equals(recording)
            outcomes[way] = "same" if is_same else "OTHER"
        except Ann2NeoError as error:
            outcomes[way] = "error" if len(str(error)) > 20 else "EMPTY"
    _check(outcomes)


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (["n_units"], 10**12),
        (["n_units"], -3),
        (["n_units"], "ten"),
        (["n_time_bins"], 10**15),
        (["n_time_bins"], None),
        (["layout_version"], "new"),
        (["sampling_period_seconds"], [1, 2]),
        (["units"], 7),
        (["units", "layer"], []),
        (["units", "layer", "type"], "no such type"),
        (["units", "layer", "cells"], ["hidden"] * 2),
        (["presentations", "label", "cells"], {"a": 1}),
        (["presentations", "label", "cells"], [0, 1, 2]),
        (["segments"], {}),
        (["segments", "stop_bin", "cells"], [10**9]),
        (["provenance"], 3),
        (["session_start_time"], "yesterday"),
    ],
)
@pytest.mark.parametrize("verify", [True, False])
def test_a_crafted_description_is_no_raw_error(
    finished: Path, tmp_path: Path, keys: list[str], value: Any, verify: bool
) -> None:
    """A description of wrong values under a valid checksum is an error of the file."""
    out = tmp_path / "rec"
    shutil.copytree(finished, out)
    description = json.loads((out / "recording.json").read_text())
    del description["sha256"]
    place = description
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    description["sha256"] = folders._checksum(description)
    (out / "recording.json").write_text(json.dumps(description))
    with pytest.raises(FileFormatError, match="damaged"):
        ann2neo.Recording.open(out, verify=verify)


def test_bits_beyond_the_last_bin_are_noticed(finished: Path, tmp_path: Path) -> None:
    """Bits in the padding are no spikes: the folder is damaged, and a raster of such
    bits is refused.
    """
    bits = np.load(finished / "bits.npy")
    assert bits.shape == (10, 40)
    bits[0, 38:] = 255
    with pytest.raises(InputValueError, match="beyond the last of 300 bins must be 0"):
        ann2neo.SpikeRaster(bits, 10, N)
    bits[0, 38:] = 0
    bits[0, 37] |= 0b10000
    with pytest.raises(InputValueError, match="beyond the last of 300 bins must be 0"):
        ann2neo.SpikeRaster(lambda: bits, 10, N).spike_counts()
    out = tmp_path / "rec"
    shutil.copytree(finished, out)
    np.save(out / "bits.npy", bits)
    for verify in (True, False):
        with pytest.raises(IntegrityError, match="beyond the last of 300 bins"):
            ann2neo.Recording.open(out, verify=verify)


def test_bits_after_the_last_mark_do_not_count(
    unfinished: Path, probe: ann2neo.Probe, reference: ann2neo.Recording, tmp_path: Path
) -> None:
    """What a killed run wrote after its last mark does not show in the recording."""
    out = tmp_path / "rec"
    shutil.copytree(unfinished, out)
    n_done = json.loads((out / "progress.json").read_text())["n_done"]
    assert 0 < n_done < N
    bits = np.load(out / "bits.npy", mmap_mode="r+")
    bits[:, n_done // 8 :] = 255
    bits.flush()
    assert _record(probe, out).equals(reference, identity=False)


def test_unreadable_folders_are_told(finished: Path, tmp_path: Path) -> None:
    """A missing array, and a pipe or folder in a file's place, are named."""
    out = tmp_path / "rec"
    shutil.copytree(finished, out)
    (out / "bits.npy").unlink()
    with pytest.raises(IntegrityError, match=r"bits\.npy is missing"):
        ann2neo.Recording.open(out)
    (out / "bits.npy").mkdir()
    with pytest.raises(FileFormatError, match=r"bits\.npy is not a regular file"):
        ann2neo.Recording.open(out)


@pytest.mark.parametrize("n_more", [-1, 1, -120])
@pytest.mark.parametrize("name", ["bits.npy", "predictions.npy"])
def test_a_file_of_another_size_is_left_as_it_is(
    unfinished: Path, probe: ann2neo.Probe, tmp_path: Path, name: str, n_more: int
) -> None:
    """An array of another size is refused before it is mapped, which would fill it up
    with zeros.
    """
    out = tmp_path / "rec"
    shutil.copytree(unfinished, out)
    data = (out / name).read_bytes() + b"x"
    changed = data[: len(data) - 1 + n_more]
    (out / name).write_bytes(changed)
    with pytest.raises(IntegrityError, match=rf"{name} is damaged.* bytes; delete"):
        _record(probe, out)
    assert (out / name).read_bytes() == changed


def test_progress_of_another_text_is_not_believed(
    unfinished: Path, probe: ann2neo.Probe, tmp_path: Path
) -> None:
    """Notes about what is recorded are used only with their own checksum."""
    out = tmp_path / "rec"
    shutil.copytree(unfinished, out)
    path = out / "progress.json"
    progress = json.loads(path.read_text())
    progress["identifier"] = "00000000-0000-0000-0000-000000000000"
    path.write_text(json.dumps(progress))
    with pytest.raises(IntegrityError, match=r"progress\.json is damaged"):
        _record(probe, out)
