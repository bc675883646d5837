"""Files open in other programs: readers do not matter, a writer is an error."""

import subprocess
import sys
from contextlib import contextmanager

import h5py
import pynapple
import pytest

import ann2neo
from ann2neo.analysis.explain import column_descriptions
from ann2neo.errors import OutputLockedError
from ann2neo.io.nwb.sharing import share

HOLDER = """
import sys, h5py
with h5py.File(sys.argv[1], sys.argv[2]):
    print("open", flush=True); sys.stdin.readline()
"""


@contextmanager
def opened_in_another_program(path, mode):
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path), mode],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "open\n"
        yield
        process.communicate("\n")


@contextmanager
def opened_by_pynapple(path, _):
    data = pynapple.load_file(str(path))
    data["units"]
    yield
    data.close()


def append(path, recording):
    units = ann2neo.analyze(recording)
    network = ann2neo.summarize(units)
    ann2neo.append_analysis(path, units, column_descriptions(units, network), network)


@pytest.fixture
def file(tmp_path, network, metadata):
    return ann2neo.write_nwb(network, tmp_path / "network.nwb", metadata)


@pytest.mark.slow
@pytest.mark.parametrize(
    "holder",
    [
        opened_in_another_program,
        pytest.param(h5py.File, marks=pytest.mark.slow),
        pytest.param(opened_by_pynapple, marks=pytest.mark.slow),
    ],
)
def test_whoever_reads_a_file_is_no_obstacle(file, network, tmp_path, holder):
    """While h5py here, another program or pynapple reads it, a file is read, appended
    to and shared.
    """
    with holder(file, "r"):
        assert ann2neo.read_nwb(file).equals(network)
        append(file, network)
        assert ann2neo.read_nwb(file).equals(network)
        assert share([file], tmp_path / "dandiset").is_clean


@pytest.mark.slow
@pytest.mark.parametrize(
    "holder",
    [h5py.File, pytest.param(opened_in_another_program, marks=pytest.mark.slow)],
)
def test_whoever_writes_a_file_is_named_as_the_reason(file, network, tmp_path, holder):
    """A file open for writing is neither appended to nor shared, nor called damaged;
    once closed, it can be.
    """
    content = file.read_bytes()
    with holder(file, "r+"):
        for attempt in (
            lambda: append(file, network),
            lambda: share([file], tmp_path / "dandiset"),
        ):
            with pytest.raises(
                OutputLockedError,
                match=r"network.nwb is open for writing, in this program or another",
            ):
                attempt()
    assert file.read_bytes() == content
    append(file, network)
    assert share([file], tmp_path / "dandiset").is_clean
