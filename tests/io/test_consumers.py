"""Third-party tools read the spikes and labels that were written."""

import warnings

import elephant.conversion
import neo.io
import numpy as np
import nwbinspector
import pynapple
import pynwb
import pytest
import quantities as pq
from dandi.files import dandi_file
from spikeinterface.extractors.nwbextractors import NwbSortingExtractor

import ann2neo


@pytest.fixture
def dandi(network, metadata, tmp_path):
    return ann2neo.write_nwb(network, tmp_path / "dandi.nwb", metadata)


@pytest.fixture
def for_neo(network, metadata, tmp_path):
    return ann2neo.write_nwb(network, tmp_path / "neo.nwb", metadata, profile="neo")


def times_of(recording, unit):
    return recording.raster.spike_time_seconds(recording.raster.spike_bins(unit))


def test_pynwb_reads_units_trials_and_phases(dandi, network):
    """Pynwb gives the spike times to the last bit, the trials' labels, and the columns
    of the units.
    """
    with pynwb.NWBHDF5IO(dandi, "r") as io:
        file = io.read()
        for unit in range(network.n_units):
            np.testing.assert_array_equal(
                file.units["spike_times"][unit], times_of(network, unit)
            )
            np.testing.assert_array_equal(
                file.units["obs_intervals"][unit], [[0.0, 0.6]]
            )
        assert list(file.units["layer"][:]) == network.units["layer"].to_list()
        trials = file.trials.to_dataframe()
        assert trials["label"].to_list() == network.presentations["label"].to_list()
        assert (
            trials["is_correct"].to_list()
            == network.presentations["is_correct"].to_list()
        )
        assert file.intervals["segments"]["phase"][:].tolist() == ["train", "test"]
        assert file.identifier == network.identifier
        assert ["keras", "3.8.0"] in file.was_generated_by[:].astype("U").tolist()


def test_neo_reads_segments_trains_and_labels(for_neo, network):
    """neo.io.NWBIO gives one segment per phase, each unit's spikes to the last bit, and
    the labels of the epochs.
    """
    block = neo.io.NWBIO(str(for_neo)).read_block()
    assert block.name == network.identifier
    assert [segment.name for segment in block.segments] == ["train", "test"]
    for segment, phase in zip(block.segments, network.iter_phases(), strict=True):
        assert len(segment.spiketrains) == network.n_units
        for unit, train in enumerate(segment.spiketrains):
            bins = network.raster.spike_bins(unit)
            bins = bins[(bins >= phase.start_bin) & (bins < phase.stop_bin)]
            np.testing.assert_array_equal(
                train.times.rescale("s").magnitude,
                network.raster.spike_time_seconds(bins),
            )
            assert float(train.t_stop) == network.raster.bin_edge_seconds(
                phase.stop_bin
            )
        shown = network.presentations
        labels = (
            shown.loc[shown["phase"] == phase.phase, "label"].astype("str").to_list()
        )
        (epoch,) = segment.epochs
        assert epoch.labels.tolist() == labels


def test_neo_blocks_of_nwbio_become_the_same_raster(for_neo, network):
    """What NWBIO read becomes, by from_neo with bin_size, the raster that was
    written.
    """
    block = neo.io.NWBIO(str(for_neo)).read_block()
    back = ann2neo.from_neo(block, bin_size=1 * pq.ms)
    assert back.raster.equals(network.raster)
    assert (
        back.presentations["label"].to_list()
        == network.presentations["label"].astype("str").to_list()
    )
    assert back.phases["phase"].to_list() == ["train", "test"]
    assert back.provenance["spikes_lost"] == "0"


def test_pynapple_reads_units_and_trials(dandi, network):
    """Pynapple gives the spike times, the units' columns as metadata, and the trials
    with their labels.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = pynapple.load_file(str(dandi))
        units, trials = data["units"], data["trials"]
        for unit in range(1, network.n_units):
            np.testing.assert_array_equal(units[unit].t, times_of(network, unit))
        assert list(units["layer"]) == network.units["layer"].to_list()
        assert list(trials["label"]) == network.presentations["label"].to_list()


def test_spikeinterface_reads_frames(dandi, network):
    """SpikeInterface takes its sampling frequency from the file and gives the time bins
    as frames.
    """
    sorting = NwbSortingExtractor(str(dandi), t_start=0.0)
    assert sorting.get_sampling_frequency() == 1000.0
    for position, unit in enumerate(sorting.get_unit_ids()):
        np.testing.assert_array_equal(
            sorting.get_unit_spike_train(unit, segment_index=0),
            network.raster.spike_bins(position),
        )
    assert list(sorting.get_property("layer")) == network.units["layer"].to_list()


@pytest.mark.parametrize("tolerance", [1e-8, None])
def test_elephant_bins_the_trains_exactly(network, tolerance):
    """Elephant's BinnedSpikeTrain of our spike trains is the raster, with and without
    its tolerance.
    """
    block = ann2neo.to_neo(network)
    for segment, phase in zip(block.segments, network.iter_phases(), strict=True):
        binned = elephant.conversion.BinnedSpikeTrain(
            segment.spiketrains, bin_size=1 * pq.ms, tolerance=tolerance
        )
        expected = network.raster.to_dense()[:, phase.start_bin : phase.stop_bin]
        np.testing.assert_array_equal(binned.to_bool_array(), expected)


@pytest.mark.slow
@pytest.mark.parametrize("config", [None, "dandi"])
def test_the_inspector_says_nothing_or_two_things(network, metadata, tmp_path, config):
    """NWB Inspector reports nothing; without experimenter and institution it makes
    exactly those two suggestions.
    """
    chosen = None if config is None else nwbinspector.load_config(config)
    full = ann2neo.write_nwb(network, tmp_path / "full.nwb", metadata)
    assert (
        list(nwbinspector.inspect_nwbfile(nwbfile_path=str(full), config=chosen)) == []
    )
    bare = ann2neo.write_nwb(network, tmp_path / "bare.nwb")
    messages = list(nwbinspector.inspect_nwbfile(nwbfile_path=str(bare), config=chosen))
    assert sorted(m.check_function_name for m in messages) == [
        "check_experimenter_exists",
        "check_institution",
    ]
    assert {m.importance.name for m in messages} == {"BEST_PRACTICE_SUGGESTION"}


@pytest.mark.slow
def test_dandi_and_schema_have_no_error(network, metadata, tmp_path):
    """DANDI's validation of a shared file, its name included, and the schema's of both
    profiles find nothing.
    """
    source = ann2neo.write_nwb(network, tmp_path / "a.nwb", metadata)
    shared = ann2neo.share([source], tmp_path / "dandiset")
    (path,) = shared.findings
    assert dandi_file(path, dandiset_path=shared.folder).get_validation_errors() == []
    other = ann2neo.write_nwb(network, tmp_path / "neo.nwb", metadata, profile="neo")
    assert pynwb.validate(path=str(path)) == []
    assert pynwb.validate(path=str(other)) == []
