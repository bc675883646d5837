"""Recordings in folders: other stimuli, files of others, full disks, signals."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import damage
import keras
import numpy as np
import pytest
from keras import layers as kl

import ann2neo
from ann2neo import _files
from ann2neo.errors import (
    FileFormatError,
    IntegrityError,
    OutputError,
    OutputExistsError,
)
from ann2neo.probe import show
from ann2neo.recording.folder import UnfinishedFolder

N = 300
X = np.random.default_rng(0).normal(size=(N, 4)).astype("float32")
Y = np.arange(N) % 3


def _probe(threshold: Any = 0.0) -> ann2neo.Probe:
    keras.utils.set_random_seed(4)
    hidden = kl.Dense(10, "tanh", name="hidden")
    # Named, since Keras numbers models, and another process would begin anew.
    model = keras.Sequential([keras.Input((4,)), hidden, kl.Dense(3)], name="network")
    return ann2neo.Probe(model, "hidden", threshold)


@pytest.fixture(scope="module")
def probe() -> ann2neo.Probe:
    """A network whose forward pass is compiled once for all tests here."""
    return _probe()


@pytest.fixture(autouse=True)
def _marks_at_every_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(UnfinishedFolder, "seconds_between_marks", 0.0)


def _record(
    probe: ann2neo.Probe, out: Path | None, x: Any = X, **arguments: Any
) -> ann2neo.Recording:
    settings = {"labels": Y, "seed": 5, "batch_size": 16, **arguments}
    return probe.record(x, out=out, **settings)


class _StopError(Exception):
    """Ends a recording early."""


def _cut(
    monkeypatch: pytest.MonkeyPatch,
    probe: ann2neo.Probe,
    out: Path,
    x: Any = X,
    *,
    after: int = 9,
    **arguments: Any,
) -> int:
    """Begin a recording that ends early; returns how many bins are done."""
    packed = show._packed
    n_batches = 0

    def stopping(*given: Any) -> Any:
        nonlocal n_batches
        n_batches += 1
        if n_batches > after:
            raise _StopError
        return packed(*given)

    with monkeypatch.context() as patch:
        patch.setattr(show, "_packed", stopping)
        with pytest.raises(_StopError):
            _record(probe, out, x, **arguments)
    n_done: int = json.loads((out / "progress.json").read_text())["n_done"]
    return n_done


# -- other stimuli
# --------------------------------------------------------------------------------------


def _other_from_the_ninth_on() -> Any:
    other = X.copy()
    other[8:] += 1
    return other


def _two_swapped() -> Any:
    order = np.random.default_rng((5, 0)).permutation(N)
    other = X.copy()
    # Both are in the first batch.
    other[order[:2]] = X[order[1::-1]]
    return other


@pytest.mark.parametrize("change", [_other_from_the_ninth_on, _two_swapped])
def test_other_stimuli_are_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    probe: ann2neo.Probe,
    change: Callable[[], Any],
) -> None:
    """A recording that was cut is not resumed with other stimuli, be they other from
    the ninth on or two that changed places.
    """
    n_done = _cut(monkeypatch, probe, tmp_path / "rec")
    assert 0 < n_done < N
    with pytest.raises(
        OutputExistsError,
        match=rf"another unfinished recording: its checksum of the first {n_done} stim",
    ):
        _record(probe, tmp_path / "rec", change())
    resumed = _record(probe, tmp_path / "rec")
    assert resumed.equals(_record(probe, None), identity=False)


def test_every_input_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of several inputs, another value in any of them is noticed."""
    one, two = keras.Input((4,), name="one"), keras.Input((4,), name="two")
    hidden = kl.Dense(10, "tanh", name="hidden")(kl.Add()([one, two]))
    probe = ann2neo.Probe(keras.Model([one, two], kl.Dense(3)(hidden)), "hidden")
    _cut(monkeypatch, probe, tmp_path / "rec", {"one": X, "two": X})
    for changed in (
        {"one": X, "two": X[::-1]},
        {"one": X * [1, 1, 1, -1], "two": X},
    ):
        with pytest.raises(OutputExistsError, match="its checksum of the first"):
            _record(probe, tmp_path / "rec", changed)


def test_other_labels_and_thresholds_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other labels, and quantiles of other stimuli not shown yet, are refused."""
    probe = _probe("quantile:0.5")
    out = tmp_path / "rec"
    n_done = _cut(monkeypatch, probe, out)
    with pytest.raises(OutputExistsError, match="its labels is"):
        _record(probe, out, labels=(Y + 1) % 3)
    later = np.random.default_rng((5, 0)).permutation(N)[n_done:]
    other = X.copy()
    other[later] += 1
    with pytest.raises(OutputExistsError, match="its limits is"):
        _record(probe, out, other)


def test_repeats_are_resumed_in_any_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, probe: ann2neo.Probe
) -> None:
    """A recording cut in its second repeat is resumed, with the same stimuli only."""
    out = tmp_path / "rec"
    n_done = _cut(monkeypatch, probe, out, after=25, n_repeats=3, batch_size=20)
    assert N < n_done < 2 * N
    with pytest.raises(OutputExistsError, match="its checksum of the first"):
        _record(probe, out, X + 1, n_repeats=3, batch_size=20)
    resumed = _record(probe, out, n_repeats=3, batch_size=20)
    whole = _record(probe, None, n_repeats=3, batch_size=20)
    assert resumed.equals(whole, identity=False)


def _stream(x: Any = X, size: int = 16, y: Any = Y) -> Iterator[Any]:
    for first in range(0, N, size):
        yield x[first : first + size], y[first : first + size]


STREAM = {"labels": None, "shuffle": False, "n_samples": N, "batch_size": None}


def test_a_stream_is_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, probe: ann2neo.Probe
) -> None:
    """A generator is read again, and only batches that were not shown are shown."""
    n_done = _cut(monkeypatch, probe, tmp_path / "rec", _stream(), **STREAM)
    positions: list[int] = []
    packed = show._packed

    def watched(*arguments: Any) -> Any:
        positions.append(arguments[-1])
        return packed(*arguments)

    monkeypatch.setattr(show, "_packed", watched)
    resumed = _record(probe, tmp_path / "rec", _stream(), **STREAM)
    assert min(positions) == n_done
    whole = _record(probe, None, _stream(), **STREAM)
    assert resumed.equals(whole, identity=False)
    assert whole.presentations["label"].to_list() == Y.tolist()


@pytest.mark.parametrize(
    "other",
    [
        lambda: _stream(_other_from_the_ninth_on()),
        lambda: _stream(y=(Y + 1) % 3),
        lambda: _stream(size=20),
    ],
)
def test_another_stream_is_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    probe: ann2neo.Probe,
    other: Callable[[], Any],
) -> None:
    """A generator of other stimuli, other labels or other batches is refused."""
    _cut(monkeypatch, probe, tmp_path / "rec", _stream(), **STREAM)
    with pytest.raises(OutputExistsError, match="its checksum of the first"):
        _record(probe, tmp_path / "rec", other(), **STREAM)


def test_a_users_own_exception_keeps_its_words(
    tmp_path: Path, probe: ann2neo.Probe
) -> None:
    """An error of the data itself passes through a recording as it is."""
    mine = FileNotFoundError(errno.ENOENT, "no such batch", "batches/7.npy")

    def failing() -> Iterator[Any]:
        yield X[:16]
        raise mine

    with pytest.raises(FileNotFoundError) as raised:
        _record(probe, tmp_path / "rec", failing(), **STREAM)
    assert raised.value is mine


# -- files of others
# --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["bits.npy", "predictions.npy", "notes.txt"])
def test_a_users_own_files_are_not_overwritten(
    tmp_path: Path, probe: ann2neo.Probe, name: str
) -> None:
    """Arrays in a folder without progress.json are somebody else's."""
    np.save(tmp_path / "mine.npy", X)
    (tmp_path / "rec").mkdir()
    (tmp_path / "mine.npy").rename(tmp_path / "rec" / name)
    before = (tmp_path / "rec" / name).read_bytes()
    with pytest.raises(OutputExistsError, match=f"holds other files, such as '{name}'"):
        _record(probe, tmp_path / "rec")
    assert [entry.name for entry in (tmp_path / "rec").iterdir()] == [name]
    assert (tmp_path / "rec" / name).read_bytes() == before


def test_a_users_own_progress_is_not_overwritten(
    tmp_path: Path, probe: ann2neo.Probe
) -> None:
    """A progress.json that is not ours stays as it is."""
    (tmp_path / "progress.json").write_text('{"plan": {"seed": "5"}, "n_done": 8}')
    with pytest.raises(IntegrityError, match="damaged, or no file of this version"):
        _record(probe, tmp_path)
    with pytest.raises(IntegrityError, match="damaged, or no file of this version"):
        _record(probe, tmp_path, seed=None)
    assert [entry.name for entry in tmp_path.iterdir()] == ["progress.json"]


@pytest.mark.skipif(sys.platform == "win32", reason="links")
@pytest.mark.parametrize("link", [os.symlink, os.link])
@pytest.mark.parametrize(
    "name", ["bits.npy", "predictions.npy", "progress.json", ".lock"]
)
def test_links_in_an_unfinished_folder_are_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    probe: ann2neo.Probe,
    name: str,
    link: Callable[[Path, Path], None],
) -> None:
    """What is put as a link in the place of one of our files is not written to."""
    out = tmp_path / "rec"
    _cut(monkeypatch, probe, out)
    precious = tmp_path / "precious"
    if (out / name).exists():
        (out / name).rename(precious)
    else:
        precious.write_text("mine")
    before = precious.read_bytes()
    link(precious, out / name)
    with pytest.raises(OutputError, match=r"left alone|symbolic link is in its"):
        _record(probe, out)
    assert precious.read_bytes() == before


@pytest.mark.skipif(sys.platform == "win32", reason="links")
def test_links_in_a_begun_folder_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, probe: ann2neo.Probe
) -> None:
    """A link in a folder where nothing is recorded yet is left as it is."""
    out = tmp_path / "rec"
    assert _cut(monkeypatch, probe, out, after=0) == 0
    (out / "bits.npy").unlink()
    (tmp_path / "precious").write_text("mine")
    (out / "bits.npy").symlink_to(tmp_path / "precious")
    with pytest.raises(OutputError, match=r"bits\.npy is a link"):
        _record(probe, out)
    assert (tmp_path / "precious").read_text() == "mine"
    assert (out / "bits.npy").is_symlink()
    (out / "bits.npy").unlink()
    (out / "recording.json").symlink_to(tmp_path / "later")
    with pytest.raises(OutputExistsError, match="holds a finished recording"):
        _record(probe, out)
    assert not (tmp_path / "later").exists()


# -- places that cannot be
# --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a\0b", "n" * 300, "a\ud800", "file/b"], ids=repr)
def test_a_name_that_cannot_be_is_an_output_error(
    tmp_path: Path, probe: ann2neo.Probe, name: str
) -> None:
    """A folder of an impossible name is an OutputError, with a seed and without."""
    (tmp_path / "file").write_text("")
    for seed in (5, None):
        with pytest.raises(OutputError, match="could not be written: "):
            _record(probe, tmp_path / name, seed=seed)


def test_a_folder_without_locks_is_recorded_into(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    probe: ann2neo.Probe,
) -> None:
    """On a file system without locks, a recording is made and a warning logged."""

    def refuse(_handle: int, *, blocking: bool) -> bool:
        del blocking
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(_files, "lock_descriptor", refuse)
    with caplog.at_level(logging.WARNING, "ann2neo"):
        made = _record(probe, tmp_path / "rec")
    assert "this file system has no locks" in caplog.text
    assert ann2neo.Recording.open(tmp_path / "rec").equals(made)


@pytest.mark.parametrize("is_claimed", [True, False])
def test_disk_space_is_claimed_first(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    probe: ann2neo.Probe,
    is_claimed: bool,
) -> None:
    """Before anything is shown, the arrays have all their disk space, also where the
    system cannot allocate it in advance.
    """
    if not is_claimed:

        def refuse(*_arguments: int) -> None:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

        monkeypatch.setattr(os, "posix_fallocate", refuse, raising=False)
    x = np.tile(X, (100, 1))
    out = tmp_path / "rec"
    assert _cut(monkeypatch, probe, out, x, after=0, labels=None) == 0
    for name in ("bits.npy", "predictions.npy"):
        state = (out / name).stat()
        assert state.st_size > 30_000
        assert 512 * state.st_blocks >= state.st_size
    assert np.load(out / "bits.npy").sum() == 0


@pytest.mark.may_skip("root mounts the small file system")
def test_a_full_disk_is_told(tmp_path: Path, probe: ann2neo.Probe) -> None:
    """On a disk that is too small, a recording is an OutputError at once, and nothing
    is left there.
    """
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False).returncode:
        pytest.skip("mounting a small file system needs root")
    try:
        with pytest.raises(OutputError, match="the disk is full; free some space"):
            _record(probe, tmp_path / "rec", np.tile(X, (100, 1)), labels=None)
        assert list((tmp_path / "rec").iterdir()) == []
        _record(probe, tmp_path / "rec")
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


@pytest.mark.may_skip("root mounts the read-only file system")
def test_a_read_only_disk_is_told_and_read(
    tmp_path: Path, probe: ann2neo.Probe
) -> None:
    """On a read-only file system, folders are read, and recording is an OutputError."""
    mount = ["mount", "-t", "tmpfs", "tmpfs", str(tmp_path)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False).returncode:
        pytest.skip("mounting a file system needs root")
    try:
        # Not kept: a map of a file open for writing would keep the disk writable.
        _record(probe, tmp_path / "rec")
        (tmp_path / "empty").mkdir()
        subprocess.run(["mount", "-o", "remount,ro", str(tmp_path)], check=True)
        opened = ann2neo.Recording.open(tmp_path / "rec")
        assert opened.equals(_record(probe, None), identity=False)
        for name in ("empty", "new"):
            with pytest.raises(OutputError, match="the file system is read-only"):
                _record(probe, tmp_path / name)
    finally:
        subprocess.run(["umount", "-l", str(tmp_path)], check=True)


def test_a_relative_folder_survives_a_change_of_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, probe: ann2neo.Probe
) -> None:
    """Recording, reading a folder and reading an NWB file late, each by a relative
    path, go on when the process changes its folder.
    """
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()

    def leaving() -> Iterator[Any]:
        for number, batch in enumerate(_stream()):
            if number == 3:
                os.chdir(elsewhere)
            yield batch

    monkeypatch.chdir(tmp_path)
    made = _record(probe, Path("rec"), leaving(), **STREAM)
    monkeypatch.chdir(tmp_path)
    ann2neo.write_nwb(made, "a.nwb")
    late = ann2neo.read_nwb("a.nwb", lazy=True)
    opened = ann2neo.Recording.open("rec")
    monkeypatch.chdir(elsewhere)
    assert opened.equals(made)
    assert late.raster.equals(made.raster)
    assert list(elsewhere.iterdir()) == []


# -- signals
# --------------------------------------------------------------------------------------

# Loads everything once, then makes a process for each line, which records slowly.
RECORDER = """
import importlib.util, os, sys, time
spec = importlib.util.spec_from_file_location("faults", {file!r})
module = importlib.util.module_from_spec(spec); spec.loader.exec_module(module)
packed = module.show._packed
def slow(*arguments):
    time.sleep(0.004)
    return packed(*arguments)
module.show._packed = slow
module.UnfinishedFolder.seconds_between_marks = 0.0
print("ready", flush=True)
for line in sys.stdin:
    child = os.fork()
    if not child:
        probe = module._probe()
        print(os.getpid(), flush=True)
        module._record(probe, module.Path(line.strip()))
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals and forks")
@pytest.mark.parametrize(
    "n_kills",
    [
        pytest.param(30, marks=pytest.mark.slow),
        pytest.param(200, marks=[pytest.mark.exhaustive, pytest.mark.timeout(3600)]),
    ],
)
def test_a_recording_survives_signals(
    tmp_path: Path, probe: ann2neo.Probe, n_kills: int
) -> None:
    """A recording that gets SIGINT, SIGTERM or SIGKILL at any moment leaves a finished
    folder or one that the same call finishes, with the same spikes.
    """
    whole = _record(probe, None)
    rng = np.random.default_rng(n_kills + damage.SEED_SHIFT)
    recorder = subprocess.Popen(
        [sys.executable, "-c", RECORDER.format(file=__file__)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert recorder.stdin is not None
    assert recorder.stdout is not None
    assert recorder.stdout.readline() == "ready\n"
    n_unfinished = 0
    for number in range(n_kills):
        out = tmp_path / f"rec{number}"
        recorder.stdin.write(f"{out}\n")
        recorder.stdin.flush()
        child = int(recorder.stdout.readline())
        wanted = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)[number % 3]
        # From the first file on, since tracing the network takes most of the time.
        while not (out / "progress.json").exists() and rng.random() < 0.999:
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.3))
        # Where it has ended, the process is not waited for before this line.
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, wanted)
        status = int(recorder.stdout.readline())
        if status:
            n_unfinished += 1
            with pytest.raises((FileFormatError, ann2neo.InputValueError)):
                ann2neo.Recording.open(out)
            assert _record(probe, out).equals(whole, identity=False)
        assert ann2neo.Recording.open(out).equals(whole, identity=False)
        assert sorted(entry.name for entry in out.iterdir()) == [
            "bits.npy",
            "recording.json",
        ]
    recorder.stdin.close()
    recorder.wait()
    recorder.stdout.close()
    assert n_unfinished >= n_kills / 3
