"""Doors out: pynapple, rsatoolbox, and files of trials for models of latent variables.

Each is read back as its own users read it.
"""

import h5py
import numpy as np
import pandas as pd
import pynapple as nap
import pytest
import quantities as pq

from ann2neo import (
    Recording,
    analyze,
    read_lfads,
    to_pynapple,
    to_rsatoolbox,
    to_xarray,
    write_lfads,
)
from ann2neo.errors import (
    FileFormatError,
    InputTypeError,
    InputValueError,
    OutputExistsError,
)
from ann2neo.testing import make_recording


def session(n_trials=6, n_bins=20):
    """A session of two stretches with trials of two stimuli, and cues."""
    rng = np.random.default_rng(0)
    length = n_trials * n_bins * 0.005 / 2
    times = [np.sort(rng.uniform(0, 2 * length + 0.1, 60)) for _ in range(3)]
    observed = [[0, length], [length + 0.1, 2 * length + 0.1]]
    recording = Recording.from_spike_times(times, 5 * pq.ms, observed=observed)
    segments = recording.segments
    starts = np.concatenate(
        [
            start + n_bins * np.arange(n_trials // 2)
            for start in segments["start_bin"].to_numpy()
        ]
    )
    table = pd.DataFrame(
        {
            "start_bin": starts,
            "stop_bin": starts + n_bins,
            "stimulus_id": [f"s{i % 3}" for i in range(n_trials)],
            "label": [f"left{i % 2}" for i in range(n_trials)],
        }
    )
    cues = pd.DataFrame({"start_bin": starts[:2] + 3, "stop_bin": starts[:2] + 5})
    return recording.with_presentations(table).with_presentations(cues, kind="cues")


# -- pynapple
# --------------------------------------------------------------------------------------


@pytest.mark.filterwarnings(
    "ignore::ann2neo.recording.from_spike_times.SpikesLostWarning"
)
@pytest.mark.filterwarnings(
    "ignore::ann2neo.recording.from_spike_times.SpikesOutsideWarning"
)
class TestPynapple:
    """What pynapple reads of a session."""

    def test_rates_and_support(self):
        """Pynapple's rates are ours, since its support is the observed time."""
        recording = session()
        spikes, epochs, _ = to_pynapple(recording)
        rates = analyze(recording, statistics="firing_rate")["firing_rate_hz"]
        np.testing.assert_allclose(spikes.rates, rates)
        np.testing.assert_allclose(spikes.time_support.values, [[0, 0.3], [0.4, 0.7]])
        assert len(epochs["segments"]) == 2

    def test_epochs_per_kind_and_label(self):
        """There is a set of epochs for each kind and for each label, with the columns
        of the presentations as metadata.
        """
        recording = session()
        _, epochs, _ = to_pynapple(recording)
        assert list(epochs) == [
            "segments",
            "trials",
            "trials/left0",
            "trials/left1",
            "cues",
        ]
        table = recording.presentations
        trials = table[table["kind"] == "trials"]
        assert (
            epochs["trials"]["stimulus_id"].tolist() == trials["stimulus_id"].to_list()
        )
        assert epochs["trials"]["stop_bin"].tolist() == trials["stop_bin"].to_list()
        np.testing.assert_allclose(
            epochs["trials"].start, trials["start_bin"] * 0.005, atol=1e-9
        )

    def test_the_tensor_of_pynapple_is_our_array(self):
        """Pynapple's own tensor of trials holds the spikes of `to_xarray`."""
        recording = session()
        spikes, epochs, _ = to_pynapple(recording)
        tensor = nap.build_tensor(spikes, epochs["trials"], bin_size=0.005)
        array = to_xarray(recording, kind="trials")
        n_steps = min(tensor.shape[2], array.sizes["time"])
        assert n_steps >= array.sizes["time"] - 1
        np.testing.assert_array_equal(
            tensor[:, :, :n_steps],
            array.transpose("unit", "trial", "time")[:, :, :n_steps],
        )


def test_pynapple_of_a_network():
    """Adjoining samples stay as many epochs, without a warning; columns with names that
    pynapple reserves get an underscore.
    """
    recording = make_recording(
        n_units=4, n_time_bins=50, labels=3, layers=["a"], provenance={"lab": "ours"}
    )
    units = recording.units.assign(rate=1.0, **{"a b": "x"})
    recording = Recording(
        recording.raster,
        units,
        recording.presentations,
        segments=recording.segments,
        provenance=recording.provenance,
    )
    spikes, epochs, provenance = to_pynapple(recording)
    assert len(epochs["trials"]) == 50
    assert spikes["rate_"].to_list() == [1.0] * 4
    assert spikes["a_b"].to_list() == ["x"] * 4
    assert spikes["layer"].to_list() == ["a"] * 4
    assert provenance["lab"] == "ours"
    for label in range(3):
        counts = spikes.restrict(epochs[f"trials/{label}"]).count().sum(axis=0)
        here = recording.select(label=label).raster.spike_counts()
        np.testing.assert_array_equal(counts, here)


@pytest.mark.filterwarnings("error")
def test_pynapple_of_few_spikes():
    """One spike, none, and no time at all are no reason for a warning."""
    spikes, epochs, _ = to_pynapple(make_recording([[1, 0, 0], [0, 0, 0]]))
    assert spikes.rates.round(6).tolist() == [333.333333, 0.0]
    assert epochs["segments"]["stop_bin"].tolist() == [3]
    nothing = to_pynapple(make_recording(np.ones((2, 0), bool)))
    assert len(nothing.epochs["segments"]) == 0


def test_pynapple_mistakes():
    """No recording, and bins too short for pynapple's microsecond, are refused."""
    with pytest.raises(InputTypeError, match="to_pynapple needs a Recording"):
        to_pynapple(3)
    short = make_recording(n_units=1, n_time_bins=5, sampling_period=5 * pq.us)
    with pytest.raises(InputValueError, match="too short for pynapple"):
        to_pynapple(short)


# -- rsatoolbox
# --------------------------------------------------------------------------------------


def test_rsatoolbox_data_set():
    """Measurements are spike counts per presentation, columns are descriptors."""
    recording = make_recording(n_units=4, n_time_bins=30, labels=3, layers=["a", "b"])
    data = to_rsatoolbox(recording)
    np.testing.assert_array_equal(data.measurements, recording.raster.to_dense().T)
    assert (
        list(data.obs_descriptors["label"])
        == recording.presentations["label"].to_list()
    )
    assert list(data.channel_descriptors["name"]) == ["a[0]", "a[1]", "b[2]", "b[3]"]
    assert data.descriptors["model_name"] == "tiny"
    part = data.subset_channel("layer", "b")
    assert part.n_channel == 2


# -- files of trials
# --------------------------------------------------------------------------------------


def trials(n_trials=10, n_bins=12, n_units=4):
    """A recording of trials, one segment each."""
    rng = np.random.default_rng(0)
    recording = make_recording(
        n_units=n_units, n_time_bins=n_trials * n_bins, layers=["lstm"]
    )
    starts = n_bins * np.arange(n_trials)
    table = pd.DataFrame(
        {
            "start_bin": starts,
            "stop_bin": starts + n_bins,
            "stimulus_id": [f"s{i}" for i in rng.permutation(n_trials)],
            "label": np.arange(n_trials) % 2,
            "phase": "recording",
        }
    )
    return Recording(
        recording.raster,
        recording.units,
        table,
        segments=recording.segments,
        provenance=recording.provenance,
    ).cut_trials()


def test_lfads_torch_can_load_it(tmp_path):
    """Read as lfads-torch reads it: every item at the top is an array, both parts have
    what it needs, of (trial, time, unit), and all arrays of a part are equally long.
    """
    recording = trials()
    extra = {"ext_input": np.random.default_rng(0).normal(size=(10, 12, 2))}
    path = write_lfads(recording, tmp_path / "trials.h5", extra=extra)
    with h5py.File(path, "r") as file:
        data = {key: item[()] for key, item in file.items()}
    for part, n in (("train", 8), ("valid", 2)):
        assert data[f"{part}_encod_data"].shape == (n, 12, 4)
        assert data[f"{part}_encod_data"].dtype == np.float32
        np.testing.assert_array_equal(
            data[f"{part}_encod_data"], data[f"{part}_recon_data"]
        )
        assert data[f"{part}_ext_input"].shape == (n, 12, 2)
        assert all(len(v) == n for key, v in data.items() if key.startswith(part))
    paired = {key.partition("_")[2] for key in data if key.startswith("train_")}
    assert {key.partition("_")[2] for key in data if key.startswith("valid_")} == paired
    rows = np.concatenate([data["train_inds"], data["valid_inds"]])
    assert sorted(rows) == list(range(10))
    spikes = to_xarray(recording).to_numpy()
    np.testing.assert_array_equal(data["valid_encod_data"], spikes[data["valid_inds"]])
    ids = recording.presentations["stimulus_id"].to_numpy()[data["valid_inds"]]
    assert [text.decode() for text in data["valid_stimulus_id"]] == ids.tolist()
    np.testing.assert_array_equal(
        data["valid_ext_input"], extra["ext_input"][data["valid_inds"]]
    )


def test_trials_of_a_file_come_back(tmp_path):
    """Spikes, stimuli, labels, units and provenance come back, part by part."""
    recording = trials()
    back = read_lfads(write_lfads(recording, tmp_path / "trials.h5"))
    assert back.phases["n_segments"].to_dict() == {0: 8, 1: 2}
    table = back.presentations
    spikes = to_xarray(recording).to_numpy()[table["inds"]]
    np.testing.assert_array_equal(to_xarray(back), spikes)
    source = recording.presentations.iloc[table["inds"]]
    for name in ("stimulus_id", "label", "kind"):
        assert table[name].to_list() == source[name].to_list()
    assert table["source_phase"].to_list() == ["recording"] * 10
    pd.testing.assert_frame_equal(
        back.units[list(recording.units)], recording.units, check_like=True
    )
    assert back.provenance["model_name"] == "tiny"
    assert back.sampling_period == recording.sampling_period


def test_columns_of_any_name_come_back_from_a_file(tmp_path):
    """A name with a slash, or one that the file uses itself, keeps its column, and
    every item at the top of the file is an array.
    """
    recording = trials()
    table = recording.presentations.assign(
        **{"a/b": range(10), "a_b": range(10, 20), "encod_data": 3.0}
    )
    units = recording.units.assign(**{"left/right": "left"})
    recording = Recording(recording.raster, units, table, segments=recording.segments)
    path = write_lfads(recording, tmp_path / "trials.h5")
    with h5py.File(path) as file:
        assert all(isinstance(item, h5py.Dataset) for item in file.values())
    back = read_lfads(path)
    assert back.units["left/right"].to_list() == ["left"] * 4
    place = back.presentations["inds"].to_numpy()
    for name in ("a/b", "a_b", "encod_data"):
        assert back.presentations[name].to_list() == table[name].iloc[place].to_list()


def test_steps_that_were_not_observed(tmp_path):
    """NaN after the end of a trial shortens it, inside a trial it is refused; bins that
    a stranger wrote are no columns.
    """
    path = tmp_path / "trials.h5"
    spikes = np.zeros((2, 4, 3))
    spikes[1, 3:] = np.nan
    with h5py.File(path, "w") as file:
        for part in ("train", "valid"):
            file[f"{part}_encod_data"] = spikes
            file[f"{part}_start_bin"] = [5, 7]
    segments = read_lfads(path).segments
    assert (segments["stop_bin"] - segments["start_bin"]).to_list() == [4, 3, 4, 3]
    with h5py.File(path, "a") as file:
        file["train_encod_data"][0, 1] = np.nan
    with pytest.raises(InputValueError, match="presentation 0, step 1, unit 0 has no"):
        read_lfads(path)


def test_the_split_is_seeded(tmp_path):
    """The same seed splits alike, another one otherwise."""
    parts = []
    for number, seed in enumerate([0, 0, 1]):
        path = write_lfads(trials(), tmp_path / f"{number}.h5", seed=seed)
        with h5py.File(path) as file:
            parts.append(file["valid_inds"][()].tolist())
    assert parts[0] == parts[1] != parts[2]


def test_a_file_of_somebody_else(tmp_path):
    """Counts above one need a threshold; a file without our attributes is read."""
    path = tmp_path / "theirs.h5"
    counts = np.random.default_rng(0).poisson(0.8, (5, 7, 3))
    with h5py.File(path, "w") as file:
        for part, rows in (("train", slice(3)), ("valid", slice(3, 5))):
            file[f"{part}_encod_data"] = counts[rows].astype(np.float32)
            file[f"{part}_recon_data"] = counts[rows].astype(np.float32)
    with pytest.raises(InputValueError, match="must hold 0 and 1, at most one spike"):
        read_lfads(path)
    recording = read_lfads(path, threshold=0, sampling_period=5 * pq.ms)
    np.testing.assert_array_equal(to_xarray(recording), counts > 0)


def test_files_of_trials_that_are_refused(tmp_path):
    """Trials of unlike lengths, too few, extra arrays that do not fit, existing files
    and files of other kinds are errors that name the way out.
    """
    recording = trials()
    path = tmp_path / "trials.h5"
    ragged = recording.with_presentations(
        recording.presentations.assign(
            stop_bin=lambda t: t["stop_bin"] - 1 - (np.arange(len(t)) == 2)
        )
    )
    with pytest.raises(InputValueError, match=r"10 to 11 steps; .*window=\(0, 10\)"):
        write_lfads(ragged, path)
    assert write_lfads(ragged, path, window=(0, 10)) == path
    with pytest.raises(OutputExistsError):
        write_lfads(recording, path)
    with pytest.raises(InputValueError, match="leave none to train on"):
        write_lfads(recording.select(presentations=[0]), tmp_path / "one.h5")
    for extra, error, message in (
        ({"label": np.zeros(10)}, InputValueError, "which the file writes itself"),
        ({"inputs": np.zeros(9)}, InputTypeError, r"one entry per trial \(10\)"),
        ({"inputs": [[1], [1, 2]]}, InputTypeError, "all of one shape"),
        ({"in/puts": np.zeros(10)}, InputValueError, "'in/puts'; its name must be"),
        ({3: np.zeros(10)}, InputValueError, "called 3; its name must be"),
        ([np.zeros(10)], InputTypeError, "a mapping of names to arrays, got list"),
    ):
        with pytest.raises(error, match=message):
            write_lfads(recording, tmp_path / "extra.h5", extra=extra)
    with pytest.raises(InputValueError, match="valid_share must lie between 0 and 1"):
        write_lfads(recording, tmp_path / "share.h5", valid_share=1.0)
    with pytest.raises(
        InputTypeError, match=r"valid_share must be a number, got '0\.2'"
    ):
        write_lfads(recording, tmp_path / "share.h5", valid_share="0.2")
    text = tmp_path / "notes.h5"
    text.write_text("no HDF5 at all")
    with pytest.raises(
        FileFormatError, match="cannot be opened as HDF5, so it is no lfads-torch"
    ):
        read_lfads(text)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["spikes"] = np.zeros(3)
    with pytest.raises(FileFormatError, match=r"train_encod_data .* but spikes"):
        read_lfads(tmp_path / "other.h5")


def test_a_file_that_leads_elsewhere_is_not_followed(tmp_path):
    """A link to another file is refused: a stranger's file must not read ours."""
    path = write_lfads(trials(), tmp_path / "trials.h5")
    with h5py.File(path, "a") as file:
        del file["train_recon_data"]
        file["train_recon_data"] = h5py.ExternalLink("other.h5", "/secret")
    with pytest.raises(FileFormatError, match="another file"):
        read_lfads(path)
