"""The factory of small recordings: what is asked for is what is made."""

import numpy as np
import pytest

import ann2neo
from ann2neo import InputValueError
from ann2neo.testing import make_recording


def test_given_spikes_are_the_spikes():
    """Rows of zeros and ones are the raster of every phase."""
    spikes = np.array([[1, 0, 1], [0, 0, 1]], bool)
    recording = make_recording(spikes, phases=["a", "b"], order="stored")
    for phase in ("a", "b"):
        np.testing.assert_array_equal(recording.phase_raster(phase).to_dense(), spikes)
    assert recording.phases["order"].to_list() == ["stored", "stored"]
    assert len(recording.presentations) == 0


def test_rates_are_those_asked_for():
    """One rate, one per unit, and one per unit and label lie within four standard
    errors; 0 and 1 are exact.
    """
    rates = np.array([[0.0, 1.0, 0.5], [0.2, 0.9, 0.2]])
    recording = make_recording(n_units=2, n_time_bins=4000, rate=rates, labels=3)
    labels = recording.presentations["label"].to_numpy()
    dense = recording.raster.to_dense()
    for label in range(3):
        found = dense[:, labels == label].mean(axis=1)
        error = np.sqrt(rates[:, label] * (1 - rates[:, label]) / 1200)
        assert (np.abs(found - rates[:, label]) <= 4 * error).all()
    per_unit = make_recording(n_units=3, rate=[0.0, 0.5, 1.0])
    counts = per_unit.raster.spike_counts()
    assert (counts[0], counts[2]) == (0, 200)
    assert abs(counts[1] - 100) < 4 * np.sqrt(50)


def test_a_network_has_what_record_knows():
    """With layers there are thresholds, stimuli, predictions and provenance, and the
    recording survives a file.
    """
    recording = make_recording(
        n_units=5, labels=4, layers=["one", "two"], phases=["train", "test"]
    )
    assert recording.units["layer"].to_list() == ["one"] * 3 + ["two"] * 2
    assert list(recording.presentations) == [
        "start_bin",
        "stop_bin",
        "phase",
        "kind",
        "stimulus_id",
        "label",
        "prediction",
        "is_correct",
    ]
    # Of the quarter that is answered at random, a quarter is right by chance.
    assert recording.presentations["is_correct"].mean() == pytest.approx(0.81, abs=0.08)
    assert recording.provenance["model_name"] == "tiny"
    assert ann2neo.from_neo(ann2neo.to_neo(recording)).equals(recording)


def test_the_seed_decides():
    """The same seed gives the same recording, another one another."""
    first, again, other = (make_recording(labels=3, seed=seed) for seed in (1, 1, 2))
    assert first.equals(again, identity=False)
    assert not first.equals(other, identity=False)


def test_rates_for_labels_need_labels():
    """A rate per unit and label without labels is an error that says so."""
    with pytest.raises(InputValueError, match="one per unit and label; pass labels="):
        make_recording(n_units=2, rate=np.full((2, 3), 0.5))
