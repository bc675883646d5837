"""Damaged NWB files: an error that names the problem, or the right recording."""

from __future__ import annotations

import itertools
import shutil
from datetime import UTC, datetime
from pathlib import Path

import damage
import h5py
import numpy as np
import pynwb
import pytest
import quantities as pq

import ann2neo
from ann2neo.testing import make_recording

SEED = 20260101 + damage.SEED_SHIFT

# What `read` of a file gives, of ours and of another program's.
READ = """
from pathlib import Path
import quantities as pq
references = {{}}

def recording_of(path):
    options = {{}} if path.name != "session.nwb" else {{"bin_size": 1 * pq.ms}}
    recording = ann2neo.read_nwb(path, **options)
    recording.raster.sha256()
    return recording

def read(path):
    path = Path(path)
    if path.name not in references:
        references[path.name] = recording_of(Path({bases!r}) / path.name)
    if recording_of(path).equals(references[path.name]):
        return "same"
    return "other" if path.name == "session.nwb" else "OTHER RECORDING"
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


def flip_early_bytes(path, rng):
    # Where HDF5 keeps its superblock and first object headers.
    data = bytearray(path.read_bytes())
    for place in rng.integers(0, min(len(data), 8192), rng.choice([1, 2, 8])):
        data[place] = int(rng.integers(256))
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
    damage.flip_bytes,
    flip_early_bytes,
    damage.truncate,
    damage.zero_range,
    delete_object,
    delete_attribute,
    retype,
    reshape,
    break_index,
    change_numbers,
    change_texts,
    change_colnames,
]


@pytest.mark.parametrize(
    "n_files",
    [
        24,
        pytest.param(480, marks=pytest.mark.slow),
        pytest.param(2000, marks=[pytest.mark.exhaustive, pytest.mark.timeout(3600)]),
    ],
)
def test_damaged_files(bases, tmp_path, n_files):
    """Each damaged file gives an error that names the problem, or the recording that
    was written, within bounds of memory and time.
    """
    # Their number and that of the ways have no common factor: all pairs come up.
    base = itertools.cycle(bases)

    def copy():
        for path in tmp_path.iterdir():
            path.unlink()
        return Path(shutil.copy(next(base), tmp_path))

    definition = READ.format(bases=str(bases[0].parent))
    counts = damage.outcomes_of(copy, WAYS, definition, n_files, SEED + n_files)
    said = [word for (_, word), n in counts.items() for _ in range(n)]
    # The damage is real: most ways must be noticed, and not everything is an error.
    assert said.count("error") > n_files / 4
    assert said.count("same") > n_files / 20


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
