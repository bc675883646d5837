"""NWB files of many units with few bins, whose trains are packed together."""

import numpy as np
import pytest

import ann2neo
from ann2neo import Recording, SpikeRaster
from ann2neo.io.nwb import data, spike_chunks
from ann2neo.io.nwb.spike_chunks import SpikeTimes
from ann2neo.testing import make_recording


def sparse_cells(n_units, n_time_bins):
    """Spikes of units, every third of which is silent."""
    rng = np.random.default_rng(n_units)
    cells = rng.random((n_units, n_time_bins)) < rng.beta(0.4, 1.2, (n_units, 1))
    cells[::3] = False
    return cells


@pytest.mark.parametrize("stored", ["bits", "trains"])
@pytest.mark.parametrize("cells", [1, 640, 1 << 20])
def test_spike_times_are_those_of_the_rows_one_by_one(monkeypatch, stored, cells):
    """Any stretch of the array holds the times of its rows, whole or cut to some bins,
    silent ones too.
    """
    monkeypatch.setattr(spike_chunks, "_CELLS", cells)
    dense = sparse_cells(40, 64)
    raster = SpikeRaster.from_dense(dense)
    if stored == "trains":
        raster = SpikeRaster.from_spike_bins(list(map(np.flatnonzero, dense)), 64)
    for bounds in ([(0, 64)], [(0, 10), (10, 64)]):
        rows = [(unit, *part) for part in bounds for unit in range(40)]
        spikes = SpikeTimes(raster, rows)
        expected = np.concatenate(
            [start + np.flatnonzero(dense[u, start:stop]) for u, start, stop in rows]
        )
        times = raster.spike_time_seconds(expected)
        assert len(spikes) == len(times)
        for first in range(0, len(times), 37):
            last = min(first + 90, len(times))
            np.testing.assert_array_equal(spikes.chunk(first, last), times[first:last])


@pytest.mark.parametrize("profile", ["dandi", "neo"])
@pytest.mark.parametrize("cells", [1, 500, 1 << 20])
def test_many_units_come_back(monkeypatch, tmp_path, profile, cells):
    """Units whose trains share chunks, and phases whose rows share units, come back
    bit for bit.
    """
    monkeypatch.setattr(spike_chunks, "_CELLS", cells)
    monkeypatch.setattr(data, "CHUNK", 256)
    recording = make_recording(sparse_cells(60, 50), phases=("a", "b"))
    path = ann2neo.write_nwb(recording, tmp_path / "many.nwb", profile=profile)
    assert ann2neo.read_nwb(path).raster.equals(recording.raster)


def test_the_bins_of_units_do_not_depend_on_how_they_are_stored():
    """Bits of few or many spikes and lists of bins give the same counts and bins."""
    for scale in (0.02, 1.0):
        dense = sparse_cells(20, 130) & (
            np.random.default_rng(1).random((20, 130)) < scale
        )
        lists = SpikeRaster.from_spike_bins(list(map(np.flatnonzero, dense)), 130)
        units = np.array([3, 0, 19, 3])
        for raster in (lists, SpikeRaster.from_dense(dense)):
            counts, bins = raster._spike_bins_of(units)
            assert counts.tolist() == dense[units].sum(axis=1).tolist()
            assert bins.tolist() == np.nonzero(dense[units])[1].tolist()
            assert bins.dtype == np.int64


def test_a_recording_of_many_units_is_one_of_wide_rows(tmp_path):
    """A file of more rows than bins reads back as an equal recording."""
    raster = SpikeRaster.from_dense(sparse_cells(3000, 9))
    recording = Recording.from_raster(raster)
    path = ann2neo.write_nwb(recording, tmp_path / "wide.nwb")
    assert ann2neo.read_nwb(path).equals(recording)
