"""Files in the layout of lfads-torch, of strangers and damaged ones."""

import os
import shutil

import damage
import h5py
import numpy as np
import pytest
from test_foreign_nwb import SEED, change_numbers, change_word, retype

import ann2neo
from ann2neo import FileFormatError, Recording
from ann2neo.errors import InputTypeError, InputValueError

READ = """
def read(path):
    recording = ann2neo.read_lfads(path, threshold=0)
    recording.raster.spike_counts()
    return "other"
"""


@pytest.fixture
def path(tmp_path):
    """Six trials of four steps."""
    rng = np.random.default_rng(0)
    recording = Recording.from_activations(
        rng.normal(size=(6, 4, 3)),
        axes=("presentation", "step", "unit"),
        labels=list("aabbcc"),
    )
    return ann2neo.write_lfads(recording, tmp_path / "trials.h5")


def test_what_leads_out_of_the_file_is_refused(path, tmp_path):
    """The remedy is one that read_lfads has."""
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["x"] = np.ones(6)
    with h5py.File(path, "a") as file:
        file["train_more"] = h5py.ExternalLink("other.h5", "/x")
    with pytest.raises(FileFormatError, match="link to another file") as caught:
        ann2neo.read_lfads(path)
    assert "follow_links" not in str(caught.value)
    assert "h5repack" in str(caught.value)


def test_a_pipe_is_no_file(tmp_path):
    """It is refused at once, and not waited for."""
    os.mkfifo(tmp_path / "a.h5")
    with pytest.raises(FileFormatError, match="regular file"):
        ann2neo.read_lfads(tmp_path / "a.h5")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("provenance", "[1"),
        ("provenance", "[1, 2]"),
        ("sampling_period", np.nan),
        ("sampling_period", 0.0),
        ("sampling_period", np.ones(2)),
        ("first_time", np.inf),
        ("first_time", "soon"),
    ],
)
def test_odd_attributes_are_refused(path, name, value):
    """What the file says of itself is checked, with the file's name."""
    with h5py.File(path, "a") as file:
        file.attrs[name] = value
    with pytest.raises(FileFormatError, match=r"trials\.h5"):
        ann2neo.read_lfads(path)


def test_text_that_is_none_is_refused(path):
    """Bytes that are no UTF-8 are an error that names the file."""
    with h5py.File(path, "a") as file:
        file["train_word"] = np.array([b"\xff"] * len(file["train_label"]))
    with pytest.raises(FileFormatError, match=r"trials\.h5"):
        ann2neo.read_lfads(path)


@pytest.mark.parametrize("kind", ["S4", [("a", "f8"), ("b", "f8")], "c16"])
def test_arrays_of_no_numbers_are_refused(path, kind):
    """Whatever the threshold."""
    with h5py.File(path, "a") as file:
        for name in ("train_encod_data", "valid_encod_data"):
            shape = file[name].shape
            del file[name]
            file[name] = np.zeros(shape, kind)
    with pytest.raises(FileFormatError, match=r"trials\.h5.* must hold numbers"):
        ann2neo.read_lfads(path, threshold=0)


@pytest.mark.parametrize(
    ("threshold", "error"),
    [
        ("high", InputTypeError),
        ([0, "x", 1], InputTypeError),
        (np.nan, InputValueError),
    ],
)
def test_thresholds_are_numbers(path, threshold, error):
    """What is none is the caller's mistake, and not the file's."""
    with pytest.raises(error, match=r"^threshold must"):
        ann2neo.read_lfads(path, threshold=threshold)


@pytest.mark.parametrize(
    "n_files", [14, pytest.param(1400, marks=pytest.mark.exhaustive)]
)
def test_damaged_files(path, tmp_path, n_files):
    """Each is read or refused in our words, within bounds of memory and time."""
    ways = [
        damage.flip_bytes,
        damage.truncate,
        damage.zero_range,
        damage.append_bytes,
        change_word,
        change_numbers,
        retype,
    ]

    def copy():
        return shutil.copyfile(path, tmp_path / "copy.h5")

    counts = damage.outcomes_of(copy, ways, READ, n_files, SEED + n_files)
    said = [word for (_, word), n in counts.items() for _ in range(n)]
    assert said.count("error") > n_files / 10
