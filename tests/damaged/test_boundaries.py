"""What is no damage of a file is not called damage: each format has one boundary."""

import keras
import numpy as np
import pytest
from keras import layers as kl

import ann2neo
from ann2neo import FileFormatError
from ann2neo._npz import read_npz
from ann2neo.io.nwb.hdf5_tables import open_nwb
from ann2neo.probe.keras.model_files import load_model
from ann2neo.study.results import open_folder, read_table, write_table
from ann2neo.testing import make_recording


def nwb(folder):
    return ann2neo.write_nwb(make_recording(), folder / "a.nwb")


def model(folder):
    keras.Sequential([keras.Input((2,)), kl.Dense(2)]).save(folder / "a.keras")
    return folder / "a.keras"


def arrays(folder):
    np.savez(folder / "a.npz", x=np.arange(4))
    return folder / "a.npz"


def table(folder):
    write_table(folder / "a.csv", make_recording().units)
    return folder / "a.csv"


def recorded(folder):
    network = keras.Sequential([keras.Input((2,)), kl.Dense(2, name="hidden")])
    x = np.ones((9, 2), np.float32)
    ann2neo.record(network, x, layers="hidden", out=folder / "a")
    return folder / "a"


# How a file is made and read, and what is called while it is read.
FORMATS = {
    "nwb": (nwb, ann2neo.read_nwb, "ann2neo.io.nwb.reader.read_header"),
    "keras": (model, load_model, "keras.saving.load_model"),
    "npz": (arrays, lambda path: read_npz(path, None, "-"), "zipfile.ZipFile"),
    "folder": (
        recorded,
        ann2neo.Recording.open,
        "ann2neo.recording.folder.SpikeRaster",
    ),
    "table": (table, read_table, "ann2neo.study.results.csv.reader"),
}


def check_passed_on(name, folder, monkeypatch, error):
    """Raise an error while a file is read, which must come out as it is."""
    make, read, place = FORMATS[name]
    path = make(folder)
    read(path)

    def fail(*_arguments, **_options):
        raise error

    monkeypatch.setattr(place, fail)
    with pytest.raises(type(error)) as raised:
        read(path)
    assert raised.value is error


@pytest.mark.parametrize("name", FORMATS)
def test_an_interrupt_is_no_damage(tmp_path, monkeypatch, name):
    """Control-C while a file is read stays what it is."""
    check_passed_on(name, tmp_path, monkeypatch, KeyboardInterrupt())


# Keras and zipfile raise anything, but only about the file.
@pytest.mark.parametrize("name", ["nwb", "folder", "table"])
def test_a_fault_of_ann2neo_is_no_damage(tmp_path, monkeypatch, name):
    """A failed assertion of ann2neo's own code is not called damage."""
    check_passed_on(name, tmp_path, monkeypatch, AssertionError("a fault of ours"))


@pytest.mark.parametrize("error", [ann2neo.InputValueError("bin_size"), IndexError()])
def test_errors_of_a_caller_leave_an_open_file_as_they_are(tmp_path, error):
    """While an NWB file is open, errors that say more than damage are passed on."""
    path = nwb(tmp_path)
    with pytest.raises(type(error)) as raised, open_nwb(path):
        raise error
    assert raised.value is error


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xfe", b"a,b\n1,2\n", b'a,checksum\n"' + b"x" * 200_000, b"\0"],
)
def test_what_is_no_table_of_a_study_is_told(tmp_path, content):
    """Any content of a table gives an error that names the file."""
    path = tmp_path / "results.csv"
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=r"results\.csv"):
        read_table(path)


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe", b"[]", b"null", b"3", b"{}", b"[" * 100_000]
)
def test_what_is_no_header_of_a_study_is_told(tmp_path, content):
    """Any content of a study's header gives an error that names the file."""
    path = tmp_path / "study.json"
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=r"study\.json"):
        open_folder(tmp_path, {})
