"""Trials of a recurrent network, in files and in other people's tools."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import elephant.conversion
import elephant.trials
import keras
import neo.io
import numpy as np
import nwbinspector
import pynapple
import pynwb
import pytest
import quantities as pq
from dandi.files import dandi_file
from keras import layers as kl
from spikeinterface.extractors.nwbextractors import NwbSortingExtractor

import ann2neo

N, T = 24, 9


@pytest.fixture(scope="module")
def trials() -> ann2neo.Recording:
    """Trials of unlike lengths of an LSTM: its output and its memory, drawn spikes."""
    keras.utils.set_random_seed(4)
    rng = np.random.default_rng(0)
    layers = [kl.LSTM(5, activation="sigmoid", name="lstm"), kl.Dense(3)]
    model = keras.Sequential([keras.Input((T, 2)), *layers])
    with warnings.catch_warnings():
        # The memory of the LSTM is no probability everywhere.
        warnings.simplefilter("ignore", ann2neo.ActivityWarning)
        return ann2neo.record(
            model,
            rng.normal(size=(N, T, 2)).astype("float32"),
            layers="lstm",
            units={"lstm": {"state": ["h", "c"]}},
            time_axis=1,
            lengths=rng.integers(2, T + 1, N),
            emission="bernoulli",
            labels=np.arange(N) % 3,
            presentations={"contrast": np.linspace(0, 1, N)},
            seed=2,
        )


@pytest.fixture(scope="module")
def path(trials: ann2neo.Recording, tmp_path_factory: Any) -> Path:
    """The trials in a file, with what NWB Inspector asks for."""
    metadata = {"experimenter": "Noether, Emmy", "institution": "Göttingen"}
    return ann2neo.write_nwb(
        trials, tmp_path_factory.mktemp("nwb") / "trials.nwb", metadata
    )


def test_files_and_blocks_give_the_trials_back(
    trials: ann2neo.Recording, path: Path, tmp_path: Path
):
    """NWB, Neo and a folder hold every bit, cell and segment."""
    assert ann2neo.read_nwb(path).equals(trials)
    assert ann2neo.from_neo(ann2neo.to_neo(trials)).equals(trials)
    for_neo = ann2neo.write_nwb(trials, tmp_path / "neo.nwb", profile="neo")
    assert ann2neo.read_nwb(for_neo).equals(trials)


def test_the_header_says_what_time_is_and_how_spikes_came(path: Path):
    """Other programs need not know ann2neo to learn it."""
    with pynwb.NWBHDF5IO(path, "r") as io:
        file = io.read()
        header = file.analysis["ann2neo_layout"].to_dataframe()
        rows = dict(zip(header["key"], header["value"], strict=True))
        assert (rows["emission"], rows["time_axis"]) == ("bernoulli", "1")
        assert "drawn with the activation as its probability" in (
            file.experiment_description
        )
        assert list(file.units["state"][:]) == ["h"] * 5 + ["c"] * 5


def test_nwb_trials_are_the_trials(trials: ann2neo.Recording, path: Path):
    """The table of trials and that of segments have one row per trial."""
    with pynwb.NWBHDF5IO(path, "r") as io:
        file = io.read()
        table = file.trials.to_dataframe()
        segments = file.intervals["segments"].to_dataframe()
        shown = trials.presentations
        assert table["label"].to_list() == shown["label"].to_list()
        np.testing.assert_allclose(table["contrast"], shown["contrast"])
        edges = trials.raster.bin_edge_seconds
        for name in ("start", "stop"):
            bins = shown[f"{name}_bin"].to_numpy()
            np.testing.assert_array_equal(table[f"{name}_time"], edges(bins))
            np.testing.assert_array_equal(segments[f"{name}_time"], edges(bins))
        assert segments["own_t_start"].unique().tolist() == [0.0]


def test_neo_has_a_segment_per_trial_from_its_own_zero(trials: ann2neo.Recording):
    """Elephant's trial object opens the block as it is documented."""
    block = ann2neo.to_neo(trials)
    opened = elephant.trials.TrialsFromBlock(block)
    assert opened.n_trials == N
    dense = trials.raster.to_dense()
    for number, segment in enumerate(trials.iter_segments()):
        train_list = opened.get_spiketrains_from_trial_as_list(number)
        assert {float(train.t_start) for train in train_list} == {0.0}
        binned = elephant.conversion.BinnedSpikeTrain(train_list, bin_size=1 * pq.ms)
        np.testing.assert_array_equal(
            binned.to_bool_array(), dense[:, segment.start_bin : segment.stop_bin]
        )


def test_nwbio_reads_the_profile_made_for_it(trials: ann2neo.Recording, tmp_path: Path):
    """neo.io.NWBIO finds a segment per trial, with every spike."""
    path = ann2neo.write_nwb(trials, tmp_path / "neo.nwb", profile="neo")
    block = neo.io.NWBIO(str(path)).read_block()
    assert len(block.segments) == N
    counts = [len(s.spiketrains[0]) for s in block.segments]
    dense = trials.raster.to_dense()[0]
    own = [dense[s.start_bin : s.stop_bin].sum() for s in trials.iter_segments()]
    assert counts == own


def test_pynapple_restricts_units_to_trials(trials: ann2neo.Recording, path: Path):
    """Counts within trials, by pynapple, are those of the bits."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = pynapple.load_file(str(path))
        units, table = data["units"], data["trials"]
        assert list(table["label"]) == trials.presentations["label"].to_list()
        assert list(units["state"]) == trials.units["state"].to_list()
        dense = trials.raster.to_dense()
        for number, segment in enumerate(trials.iter_segments()):
            counts = [len(u.t) for u in units.restrict(table[number]).values()]
            own = dense[:, segment.start_bin : segment.stop_bin].sum(axis=1)
            assert counts == own.tolist()


def test_spikeinterface_reads_the_bins_as_frames(trials: ann2neo.Recording, path: Path):
    """The frames of a unit are its bins, over all trials."""
    sorting = NwbSortingExtractor(str(path), t_start=0.0)
    for position, unit in enumerate(sorting.get_unit_ids()):
        np.testing.assert_array_equal(
            sorting.get_unit_spike_train(unit, segment_index=0),
            trials.raster.spike_bins(position),
        )


@pytest.mark.slow
def test_no_validator_finds_anything(path: Path):
    """NWB Inspector, dandi and the schema have nothing to say of the file."""
    for config in (None, nwbinspector.load_config("dandi")):
        messages = list(nwbinspector.inspect_nwbfile(nwbfile_path=path, config=config))
        assert [message.check_function_name for message in messages] == []
    errors = dandi_file(path).get_validation_errors()
    assert [e.id for e in errors if e.severity and e.severity.name == "ERROR"] == []
    assert pynwb.validate(path=str(path)) == []


def test_elephant_analyses_the_trials(trials: ann2neo.Recording):
    """The histogram over trials, spike time tiling, unitary events and GPFA run on what
    to_neo gives, and the histogram is the mean over trials of the bits.
    """
    import elephant.gpfa
    import elephant.spike_train_correlation
    import elephant.statistics
    import elephant.unitary_event_analysis

    even = trials.select(
        presentations=lambda t: (t["stop_bin"] - t["start_bin"]) >= 6, units=range(5)
    )
    block = ann2neo.to_neo(even)
    by_trial = [
        [train.time_slice(0 * pq.s, 6 * pq.ms) for train in segment.spiketrains]
        for segment in block.segments
    ]
    dense = even.raster.to_dense()
    steps = np.stack([dense[:, s.start_bin :][:, :6] for s in even.iter_segments()])
    histogram = elephant.statistics.time_histogram(
        [trial[0] for trial in by_trial], bin_size=1 * pq.ms, output="mean"
    )
    np.testing.assert_allclose(histogram.magnitude[:, 0], steps[:, 0].mean(axis=0))
    busiest = max((train for trial in by_trial for train in trial), key=len)
    tiling = elephant.spike_train_correlation.spike_time_tiling_coefficient(
        busiest, busiest, dt=1 * pq.ms
    )
    assert tiling == pytest.approx(1)
    events = elephant.unitary_event_analysis.jointJ_window_analysis(
        np.array([trial[:2] for trial in by_trial], dtype=object),
        bin_size=1 * pq.ms,
        win_size=3 * pq.ms,
        win_step=1 * pq.ms,
        pattern_hash=[3],
    )
    both = (steps[:, 0] & steps[:, 1]).sum(axis=0)
    windows = [both[first : first + 3].sum() for first in range(3)]
    np.testing.assert_array_equal(events["n_emp"][:3, 0], windows)
    gpfa = elephant.gpfa.GPFA(bin_size=2 * pq.ms, x_dim=1, em_max_iters=5)
    paths = gpfa.fit_transform(by_trial)
    assert [path.shape for path in paths] == [(1, 3)] * len(by_trial)
