"""Recordings in folders whose bits are larger than the memory that they may take."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from limited import WORK

import ann2neo
from ann2neo import Recording, SpikeRaster
from ann2neo.recording.folder import UnfinishedFolder

_N_TIME_BINS = 1 << 20
pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux limits memory without mapped files"
)


def folder_of(path, n_units):
    """A recording of random bits in two phases, with labels, 128 KiB per unit."""
    cut = 400_003
    unfinished = UnfinishedFolder(path, {}, n_units, _N_TIME_BINS)
    rng = np.random.default_rng(0)
    for row in unfinished.bits:
        # A spike in one of 64 bins.
        drawn = rng.integers(0, 256, (6, _N_TIME_BINS // 8), np.uint8)
        row[:] = np.bitwise_and.reduce(drawn)
    starts = np.arange(0, _N_TIME_BINS, 1024)
    shown = pd.DataFrame({"start_bin": starts, "stop_bin": starts + 1000})
    shown = shown[(shown["stop_bin"] <= cut) | (starts >= cut)]
    shown["phase"] = np.where(shown["start_bin"] < cut, "train", "test")
    shown["label"] = np.arange(len(shown)) % 4
    segments = pd.DataFrame(
        {
            "start_bin": [0, cut],
            "stop_bin": [cut, _N_TIME_BINS],
            "phase": ["train", "test"],
            "order": "stored",
        }
    )
    raster = SpikeRaster(unfinished.bits, n_units, _N_TIME_BINS)
    units = pd.DataFrame(index=range(n_units))
    unfinished.finish(Recording(raster, units, shown, segments=segments))
    return path


@pytest.fixture(scope="module")
def quarter(tmp_path_factory):
    """256 MiB of bits."""
    return folder_of(tmp_path_factory.mktemp("recordings") / "quarter", 2048)


def work_within(mebibytes, folder, work, out):
    """Do work in a process with so much memory, beside what its modules take."""
    script = Path(__file__).parent / "limited.py"
    done = subprocess.run(
        [sys.executable, script, folder, work, str(mebibytes), out],
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.returncode, done.stderr[-3000:]


@pytest.mark.slow
@pytest.mark.parametrize("work", WORK)
def test_work_takes_less_memory_than_the_bits(work, quarter, tmp_path):
    """Blocks of units are read from the disk as they are needed."""
    work_within(200, quarter, work, tmp_path)
    if work == "write_nwb":
        written = ann2neo.read_nwb(tmp_path / "a.nwb", lazy=True)
        some = slice(2040, 2048)
        bits = Recording.open(quarter).raster.bits
        assert written.raster.shape == (2048, _N_TIME_BINS)
        np.testing.assert_array_equal(written.raster.bits[some], bits[some])


@pytest.mark.exhaustive
@pytest.mark.timeout(3600)
def test_four_gibibytes_are_analysed_and_written_in_two(tmp_path):
    """The memory taken does not grow with the recording."""
    folder = folder_of(tmp_path / "large", 32_768)
    assert Recording.open(folder, verify=False).raster.nbytes == 4 << 30
    for work in ("analyze", "correlations", "write_nwb"):
        work_within(2 << 10, folder, work, tmp_path)
        (tmp_path / "small").rename(tmp_path / f"small of {work}")
