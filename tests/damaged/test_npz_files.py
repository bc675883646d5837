"""Damaged `.npz` files: an error that names the problem, or the arrays as saved."""

import shutil
import zipfile

import damage
import numpy as np
import pytest

from ann2neo import FileFormatError, InputValueError
from ann2neo._npz import read_npz

SEED = 20260719 + damage.SEED_SHIFT

READ = """
from pathlib import Path
from ann2neo._npz import read_npz
from ann2neo.datasets import load_dataset
reference = read_npz(Path({path!r}), None, "-")
def read(path):
    load_dataset(path)
    arrays = read_npz(Path(path), None, "-")
    same = arrays.keys() == reference.keys() and all(
        array.dtype == reference[name].dtype
        and np.array_equal(array, reference[name])
        for name, array in arrays.items()
    )
    return "same" if same else "other"
"""


@pytest.fixture(scope="module", params=["stored", "compressed"])
def arrays(request, tmp_path_factory):
    """A data set in a file, compressed or not."""
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("arrays") / f"{request.param}.npz"
    save = np.savez if request.param == "stored" else np.savez_compressed
    save(
        path,
        x_train=rng.integers(0, 256, (40, 6, 6), np.uint8),
        y_train=np.arange(40) % 4,
        x_test=rng.integers(0, 256, (12, 6, 6), np.uint8),
        y_test=np.arange(12) % 4,
    )
    return path


def change_header(path, rng):
    """Change a byte in the header of an array, which NumPy reads as text."""
    data = bytearray(path.read_bytes())
    starts = [i for i in range(len(data)) if data.startswith(b"\x93NUMPY", i)]
    start = starts[int(rng.integers(len(starts)))] if starts else 0
    data[start + int(rng.integers(128))] = int(rng.choice(list(b"0123456789()<>,'")))
    path.write_bytes(data)


DAMAGED = [
    damage.flip_bytes,
    damage.truncate,
    damage.zero_range,
    damage.append_bytes,
    change_header,
]


def rewrite_header(path, rng):
    """As `change_header`, with the archive's own checksums made right afterwards."""

    def change(members):
        name = rng.choice(sorted(members))
        member = bytearray(members[name])
        member[int(rng.integers(128))] = int(rng.choice(list(b"0123456789()<>,'O")))
        members[name] = bytes(member)

    damage.rewrite_members(path, change)


@pytest.mark.parametrize(
    "n_files",
    [
        30,
        pytest.param(600, marks=pytest.mark.slow),
        pytest.param(6000, marks=[pytest.mark.exhaustive, pytest.mark.timeout(3600)]),
    ],
)
def test_damaged_arrays(arrays, n_files):
    """A damaged file of arrays is an error that names the problem, or the arrays that
    were saved; one that was rewritten with other contents is never a raw exception.
    """

    def copy():
        return shutil.copyfile(arrays, arrays.with_name("damaged.npz"))

    ways = [*DAMAGED, damage.drop_member, rewrite_header]
    counts = damage.outcomes_of(
        copy, ways, READ.format(path=str(arrays)), n_files, SEED + n_files
    )
    assert not any(counts[way.__name__, "other"] for way in DAMAGED), counts
    assert sum(counts[way.__name__, "error"] for way in DAMAGED) > n_files / 4


def test_a_header_that_claims_fewer_samples_is_noticed(tmp_path):
    """NumPy stops reading where the header says, before the archive's checksum is
    compared; here all bytes are read.
    """
    path = tmp_path / "a.npz"
    np.savez(path, x=np.arange(600))
    data = path.read_bytes()
    path.write_bytes(data.replace(b"(600,)", b"(200,)"))
    with np.load(path) as file:
        assert len(file["x"]) == 200
    with pytest.raises(FileFormatError, match="longer than its header says"):
        read_npz(path, None, "save it again")


def test_a_name_that_was_damaged_is_noticed(tmp_path):
    """An array whose name differs in the archive's directory is not taken for one that
    is missing.
    """
    path = tmp_path / "a.npz"
    np.savez(path, x=np.arange(9), y=np.arange(9))
    data = path.read_bytes()
    place = data.rindex(b"y.npy")
    path.write_bytes(data[:place] + b"z" + data[place + 1 :])
    with pytest.raises(FileFormatError, match="save it again"):
        read_npz(path, {"x", "y"}, "save it again")


def test_objects_are_not_unpickled(tmp_path):
    """An array of objects is refused, wanted or not, and a missing file is named."""
    path = tmp_path / "a.npz"
    np.savez(path, x=np.array([{}], object))
    with pytest.raises(FileFormatError, match="Object arrays cannot be loaded"):
        read_npz(path, {"x"}, "save it again")
    with pytest.raises(InputValueError, match=r"there is no file .*; save it again"):
        read_npz(tmp_path / "no.npz", {"x"}, "save it again")
    assert zipfile.is_zipfile(path)
