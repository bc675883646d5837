"""Writers that are ended at any moment leave no file, the old one or the new one."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import time
from unittest.mock import patch

import damage
import h5py
import numpy as np
import pandas as pd
import pytest

import ann2neo
from ann2neo._files import lock_path, partial_path
from ann2neo.testing import make_recording

SEED = 18 + damage.SEED_SHIFT

# -- writers: each takes a path, and a number that chooses the contents
# --------------------------------------------------------------------------------------


@functools.cache
def recording(number):
    return make_recording(n_units=100, n_time_bins=5000, seed=number)


def write_nwb(path, number):
    ann2neo.write_nwb(recording(number), path, {"subject_id": "a"}, overwrite=True)


def append_analysis(path, number):
    if not path.exists():
        write_nwb(path, 0)
    units = pd.DataFrame({"unit_id": np.arange(100), "number": float(number)})
    ann2neo.append_analysis(path, units, dict.fromkeys(units, "a column"))


def share(path, number):
    from ann2neo.io.nwb import sharing

    source = sources(path) / f"{number}.nwb"
    # Validating takes most of the time, and writes nothing.
    with patch.object(sharing, "validate_nwb", lambda _: []):
        sharing.share([source], path.parents[1], overwrite=True)


def sources(path):
    folder = path.parents[2] / "sources"
    folder.mkdir(exist_ok=True)
    for number in (0, 1):
        if not (folder / f"{number}.nwb").exists():
            write_nwb(folder / f"{number}.nwb", number)
    return folder


def write_report(path, number):
    from ann2neo.report import page

    # Drawing takes most of the time, and writes nothing.
    drawn = f"{number}" * 2_000_000
    with patch.object(page, "render_report", lambda *_, **__: drawn):
        page.write_report({"a": recording(number)}, path, overwrite=True)


def write_table(path, number):
    from ann2neo.study.results import write_table

    write_table(path, pd.DataFrame({"a": np.arange(20_000) + number, "b": number}))


def write_json(path, number):
    from ann2neo.study.results import write_json

    write_json(path, {"numbers": [number] * 100_000})


def write_weights(path, number):
    from ann2neo.study.conditions import Checkpoint
    from ann2neo.study.runs import _write_weights
    from ann2neo.study.training import Progress

    weights = [np.full((1000, 500), number + i) for i in range(4)]
    _write_weights(path, Checkpoint(weights, Progress(number, 0.5)))


def keep_data_set(path, number):
    from ann2neo import datasets

    os.environ["ANN2NEO_CACHE"] = str(path.parents[1])
    datasets._keep(
        path.stem,
        {name: np.full((500, 1000), number) for name in datasets._ARRAYS},
    )


def contents_of(path):
    """What a reader finds: of NWB files, which name themselves anew, what matters."""
    if path.suffix != ".nwb":
        return path.read_bytes()
    found = ann2neo.read_nwb(path)
    with h5py.File(path) as handle:
        table = handle.get("analysis/unit_statistics/number")
        numbers = None if table is None else table[()].tolist()
    return found.raster.sha256(), numbers


WRITERS = {
    write_nwb: "a.nwb",
    append_analysis: "a.nwb",
    share: "set/sub-a/sub-a.nwb",
    write_report: "a.html",
    write_table: "a.csv",
    write_json: "a.json",
    write_weights: "a.npz",
    keep_data_set: "datasets/a.npz",
}

# -- a process that makes a process for each line, since loading takes a second
# --------------------------------------------------------------------------------------

SERVER = """
import importlib.util, os, pathlib, sys
spec = importlib.util.spec_from_file_location("kills", {file!r})
module = importlib.util.module_from_spec(spec); spec.loader.exec_module(module)
writer = getattr(module, {name!r})
path = pathlib.Path({path!r})
writer(path, 1)
path.unlink()
print("ready", flush=True)
for line in sys.stdin:
    child = os.fork()
    if not child:
        print(os.getpid(), flush=True)
        writer(path, 1)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def wait_until_begun(path, child):
    """Wait until a process has the lock of a file, or had it and has ended."""
    while not lock_path(path).exists() and not ended(child):
        time.sleep(0.0002)


def ended(child):
    try:
        os.kill(child, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.skipif(sys.platform == "win32", reason="signals and forks")
@pytest.mark.parametrize(
    ("writer", "n_ends"),
    [
        (write_nwb, 2),
        *(pytest.param(writer, 12, marks=pytest.mark.slow) for writer in WRITERS),
        *(
            pytest.param(
                writer, 200, marks=[pytest.mark.exhaustive, pytest.mark.timeout(3600)]
            )
            for writer in WRITERS
        ),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_ended_writers_leave_nothing_the_old_or_the_new_file(tmp_path, writer, n_ends):
    """SIGKILL, SIGTERM and SIGINT at any moment leave no half-written file; the next
    writer needs no help, and after it no stray file is there.
    """
    path = tmp_path / WRITERS[writer]
    path.parent.mkdir(parents=True, exist_ok=True)
    contents = []
    for number in (0, 1):
        writer(path, number)
        contents.append(contents_of(path))
        path.unlink()
    old, new = contents
    assert old != new
    rng = np.random.default_rng([SEED, n_ends])
    code = SERVER.format(file=__file__, name=writer.__name__, path=str(path))
    server = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )

    def ask():
        server.stdin.write("\n")
        server.stdin.flush()
        return int(server.stdout.readline())

    assert server.stdout.readline() == "ready\n"
    # How long the file is in work, from its lock to its end.
    wait_until_begun(path, ask())
    started = time.monotonic()
    assert server.stdout.readline() == "0\n"
    seconds = time.monotonic() - started
    n_ended, found = 0, []
    try:
        writer(path, 0)
        for number in range(n_ends):
            has_old = writer is append_analysis or bool(rng.integers(2))
            if not has_old:
                path.unlink()
            child = ask()
            if rng.random() < 0.8:
                wait_until_begun(path, child)
            time.sleep(rng.uniform(0, 1.2 * seconds))
            wanted = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)[number % 3]
            # A process that has ended is waited for, and its number free.
            if not ended(child):
                os.kill(child, wanted)
            n_ended += int(server.stdout.readline()) != 0
            allowed = {path.name, partial_path(path).name, lock_path(path).name}
            assert {entry.name for entry in path.parent.iterdir()} <= allowed
            if not path.exists():
                assert not has_old
                found.append("nothing")
            else:
                now = contents_of(path)
                assert now == new or (has_old and now == old)
                found.append("new" if now == new else "old")
            writer(path, 0)
            assert contents_of(path) == old
            assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    finally:
        server.stdin.close()
        server.wait()
        server.stdout.close()
    assert n_ends < 12 or n_ended > n_ends / 4
    assert n_ends < 12 or "old" in found
