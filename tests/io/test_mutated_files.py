"""Damaged NWB files: an error that names the problem, or the right recording."""

from __future__ import annotations

import json
import select
import shutil
import subprocess
import sys
from datetime import UTC, datetime

import h5py
import numpy as np
import pynwb
import pytest
import quantities as pq

import ann2neo
from ann2neo.testing import make_recording

SEED = 20260101
SECONDS = 60

# Reads the files named on standard input in one process, so that a crash or a hang can
# be told from an error.
READER = """
import json, resource, sys, warnings
import quantities as pq
import ann2neo
resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
warnings.simplefilter("ignore")
references = {}
for line in sys.stdin:
    job = json.loads(line)
    ours = job["ours"]
    options = {} if ours else {"bin_size": 1 * pq.ms}
    if job["base"] not in references:
        references[job["base"]] = ann2neo.read_nwb(job["base"], **options)
    try:
        recording = ann2neo.read_nwb(job["path"], **options)
        other = "OTHER RECORDING" if ours else "read"
        recording.raster.sha256()
        said = "same" if recording.equals(references[job["base"]]) else other
    except ann2neo.Ann2NeoError as error:
        said = "error" if len(str(error)) > 20 else "EMPTY ERROR"
    except BaseException as error:
        said = f"{type(error).__name__.upper()}: {error}"
    print(json.dumps(said), flush=True)
"""


def network(n_units=12, n_bins=400, seed=0):
    """A small recording of two phases with everything a file can hold."""
    return make_recording(
        n_units=n_units,
        n_time_bins=n_bins,
        labels=np.random.default_rng(seed).choice(["cat", "dog", "eel"], n_bins),
        layers=["conv/1"],
        phases=["train", "test"],
        order="random",
        seed=seed,
    )


def session(path):
    """A file as an electrophysiologist writes it, with pynwb alone."""
    rng = np.random.default_rng(1)
    file = pynwb.NWBFile(
        "session", "an-identifier", datetime(2020, 5, 17, 12, tzinfo=UTC)
    )
    file.add_unit_column("quality", "how well isolated")
    for unit in range(5):
        times = np.sort(rng.uniform(0, 3, 40))
        file.add_unit(
            spike_times=times,
            obs_intervals=[[0.0, 1.0], [1.5, 3.0]],
            quality=["good", "mua"][unit % 2],
        )
    file.add_trial_column("label", "what was shown")
    for i in range(6):
        file.add_trial(
            start_time=0.4 * i, stop_time=0.4 * i + 0.3, label=f"tone {i % 2}"
        )
    with pynwb.NWBHDF5IO(path, "w") as io:
        io.write(file)


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    """Undamaged files: both profiles, several chunks, no compression, and a session
    that is not ours.
    """
    folder = tmp_path_factory.mktemp("bases")
    ann2neo.write_nwb(network(), folder / "dandi.nwb")
    ann2neo.write_nwb(network(), folder / "neo.nwb", profile="neo")
    ann2neo.write_nwb(network(), folder / "plain.nwb", compression=None)
    ann2neo.write_nwb(network(n_units=300, n_bins=1000), folder / "chunks.nwb")
    session(folder / "session.nwb")
    return sorted(folder.iterdir())


# -- ways to damage a file
# --------------------------------------------------------------------------------------


def flip_bytes(path, rng):
    data = bytearray(path.read_bytes())
    for place in rng.integers(0, len(data), rng.choice([1, 1, 4, 64])):
        data[place] ^= 1 << int(rng.integers(8))
    path.write_bytes(data)


def flip_early_bytes(path, rng):
    # Where HDF5 keeps its superblock and first object headers.
    data = bytearray(path.read_bytes())
    for place in rng.integers(0, min(len(data), 8192), rng.choice([1, 2, 8])):
        data[place] = int(rng.integers(256))
    path.write_bytes(data)


def truncate(path, rng):
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.truncate(int(rng.integers(0, size)))


def zero_range(path, rng):
    data = bytearray(path.read_bytes())
    start, length = int(rng.integers(len(data))), int(rng.integers(1, 5000))
    data[start : start + length] = bytes(len(data[start : start + length]))
    path.write_bytes(data)


def objects(handle, kind):
    found = []
    handle.visititems(
        lambda name, item: found.append(name) if isinstance(item, kind) else None
    )
    return [name for name in found if not name.startswith("specifications")]


def delete_object(path, rng):
    with h5py.File(path, "a") as handle:
        del handle[rng.choice(objects(handle, (h5py.Dataset, h5py.Group)))]


def delete_attribute(path, rng):
    with h5py.File(path, "a") as handle:
        name = rng.choice([*objects(handle, (h5py.Dataset, h5py.Group)), "/"])
        attributes = list(handle[name].attrs)
        if attributes:
            del handle[name].attrs[rng.choice(attributes)]


def replaced(handle, name, values):
    attributes = dict(handle[name].attrs)
    del handle[name]
    handle[name] = values
    for key, value in attributes.items():
        handle[name].attrs[key] = value


def retype(path, rng):
    with h5py.File(path, "a") as handle:
        name = rng.choice(objects(handle, h5py.Dataset))
        values = handle[name][()]
        shape = np.shape(values)
        others = [
            np.zeros(shape, rng.choice(["f8", "i8", "u1", "f2"])),
            np.full(shape, "text", "S4"),
            np.zeros((*shape, 2)),
            np.float64(3.5),
            np.zeros(shape, [("a", "f8"), ("b", "i4")]),
            np.zeros(0),
        ]
        replaced(handle, name, others[rng.integers(len(others))])


def reshape(path, rng):
    with h5py.File(path, "a") as handle:
        name = rng.choice(
            [name for name in objects(handle, h5py.Dataset) if handle[name].ndim]
        )
        values = handle[name][()]
        replaced(
            handle,
            name,
            (
                values[: rng.integers(len(values) + 1)]
                if rng.random() < 0.5
                else np.repeat(values, 2, 0)
            ),
        )


def break_index(path, rng):
    with h5py.File(path, "a") as handle:
        name = rng.choice(
            [name for name in objects(handle, h5py.Dataset) if name.endswith("_index")]
        )
        values = handle[name][()]
        ways = [
            rng.permutation,
            lambda v: v[::-1],
            lambda v: v + 1,
            lambda v: np.where(
                np.arange(len(v)) == rng.integers(len(v)), np.iinfo(v.dtype).max, v
            ),
            np.zeros_like,
            lambda v: v[:-1],
            lambda v: -v.astype("i8"),
            lambda v: v.astype("f8") + 0.5,
        ]
        replaced(handle, name, ways[rng.integers(len(ways))](values))


def change_numbers(path, rng):
    with h5py.File(path, "a") as handle:
        numeric = [
            n
            for n in objects(handle, h5py.Dataset)
            if handle[n].ndim and handle[n].dtype.kind in "iuf"
        ]
        name = rng.choice(numeric)
        values = handle[name][()]
        if values.size:
            place = tuple(rng.integers(0, n) for n in values.shape)
            odd = (
                [np.nan, np.inf, -1.0, 1e300, 0.0]
                if values.dtype.kind == "f"
                else [0, 1, np.iinfo(values.dtype).max]
            )
            values[place] = odd[rng.integers(len(odd))]
            handle[name][...] = values


def change_texts(path, rng):
    with h5py.File(path, "a") as handle:
        textual = [
            n
            for n in objects(handle, h5py.Dataset)
            if h5py.check_string_dtype(handle[n].dtype)
        ]
        name = rng.choice(textual)
        if handle[name].ndim == 0:
            handle[name][()] = rng.choice(["", "nonsense", "9" * 50])
        elif handle[name].size:
            handle[name][int(rng.integers(len(handle[name])))] = rng.choice(
                ["", "nonsense", "-1", "1e400"]
            )


def change_colnames(path, rng):
    with h5py.File(path, "a") as handle:
        name = rng.choice(
            [n for n in objects(handle, h5py.Group) if "colnames" in handle[n].attrs]
        )
        names = list(handle[name].attrs["colnames"])
        ways = [names[:-1], [*names, "ghost"], names[::-1], [], ["id"] * len(names)]
        chosen = ways[rng.integers(len(ways))]
        handle[name].attrs["colnames"] = (
            np.array(chosen, h5py.string_dtype()) if chosen else np.zeros(0)
        )


WAYS = [
    flip_bytes,
    flip_early_bytes,
    truncate,
    zero_range,
    delete_object,
    delete_attribute,
    retype,
    reshape,
    break_index,
    change_numbers,
    change_texts,
    change_colnames,
]


class Reader:
    """The reading process, started again when it crashes or hangs."""

    def __init__(self):
        self.process = None

    def ask(self, job):
        if self.process is None:
            self.process = subprocess.Popen(
                [sys.executable, "-c", READER],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        if not select.select([self.process.stdout], [], [], SECONDS)[0]:
            self.close()
            return "HANG"
        line = self.process.stdout.readline()
        if not line:
            code = self.process.wait()
            self.process = None
            return f"CRASH {code}"
        return json.loads(line)

    def close(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process.stdin.close()
            self.process.stdout.close()
            self.process = None


@pytest.fixture(scope="module")
def reader():
    process = Reader()
    yield process
    process.close()


def damage(bases, folder, reader, n_files, seed):
    """Outcome of each of some damaged files."""
    outcomes = []
    for i in range(n_files):
        rng = np.random.default_rng([seed, i])
        way, base = WAYS[i % len(WAYS)], bases[int(rng.integers(len(bases)))]
        path = folder / "damaged.nwb"
        shutil.copyfile(base, path)
        way(path, rng)
        ours = base.name != "session.nwb"
        said = reader.ask({"path": str(path), "base": str(base), "ours": ours})
        outcomes.append((i, way.__name__, base.name, said))
    return outcomes


def check(outcomes):
    wrong = [
        outcome for outcome in outcomes if outcome[-1] not in {"same", "read", "error"}
    ]
    assert not wrong, wrong
    # The damage is real: most ways must be noticed, and not everything is an error.
    kinds = [outcome[-1] for outcome in outcomes]
    assert kinds.count("error") > len(kinds) / 4
    assert kinds.count("same") > len(kinds) / 20


@pytest.mark.parametrize(
    "n_files",
    [
        48,
        pytest.param(480, marks=pytest.mark.slow),
        pytest.param(2000, marks=[pytest.mark.exhaustive, pytest.mark.timeout(3600)]),
    ],
)
def test_damaged_files(bases, tmp_path, reader, n_files):
    """Each damaged file gives an error that names the problem, or the recording that
    was written.
    """
    check(damage(bases, tmp_path, reader, n_files, SEED + n_files))


def test_a_changed_spike_of_an_uncompressed_file_is_noticed(tmp_path):
    """Moving one spike by one bin, which no checksum of HDF5 would notice, is an
    IntegrityError.
    """
    path = tmp_path / "moved.nwb"
    recording = network()
    ann2neo.write_nwb(recording, path, compression=None)
    with h5py.File(path, "a") as handle:
        bins = recording.raster.spike_bins(0)
        gap = int(np.flatnonzero(np.diff(bins) > 1)[0])
        handle["units/spike_times"][gap] = recording.raster.spike_time_seconds(
            bins[gap] + 1
        )
    with pytest.raises(
        ann2neo.IntegrityError,
        match=r"checksum of the raster does not match the one written.*undamaged copy",
    ):
        ann2neo.read_nwb(path)
    lazy = ann2neo.read_nwb(path, lazy=True)
    with pytest.raises(ann2neo.IntegrityError, match="raster"):
        lazy.raster.spike_counts()
    assert lazy.sampling_period == 1 * pq.ms
