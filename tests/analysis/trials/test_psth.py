"""psth and spike_counts against Elephant and plain NumPy, on trials of every shape."""

import numpy as np
import pandas as pd
import pytest
import quantities as pq
from hypothesis import given, settings
from hypothesis import strategies as st
from trial_recordings import by_trial, ragged, trials_of, trials_of_lengths

import ann2neo
from ann2neo import InputTypeError, InputValueError
from ann2neo.testing import make_recording


@pytest.mark.parametrize("window", [1, 4])
def test_rates_equal_the_time_histogram_of_elephant(window):
    """The PSTH of each unit is Elephant's time histogram over its trials, as a rate."""
    from elephant.statistics import time_histogram

    rng = np.random.default_rng(0)
    spikes = rng.random((3, 40, 24)) < np.linspace(0, 0.8, 24)
    recording = trials_of(spikes, gap=0)
    rates = ann2neo.psth(recording, window=window)
    block = ann2neo.to_neo(recording)
    for unit in range(3):
        trains = [segment.spiketrains[unit] for segment in block.segments]
        expected = time_histogram(trains, window * pq.ms, output="rate")
        np.testing.assert_allclose(
            rates.sel(unit=unit), expected.rescale("Hz").magnitude[:, 0], rtol=1e-12
        )
        np.testing.assert_allclose(
            rates["time"], expected.times.rescale("s").magnitude, atol=1e-12
        )


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n_trials=st.integers(1, 12),
    longest=st.integers(1, 30),
    window=st.integers(1, 7),
)
def test_means_and_errors_are_those_of_the_trials_that_reach_a_window(
    seed, n_trials, longest, window
):
    """Whatever the lengths, each window holds the mean and the standard error over the
    trials that reach its end, label by label.
    """
    rng = np.random.default_rng(seed)
    rows, lengths = ragged(rng, n_trials, longest, 0.4, n_units=2)
    labels = rng.integers(0, 2, n_trials)
    recording = trials_of_lengths(rows, lengths, labels=labels)
    if lengths.max() < window:
        with pytest.raises(InputValueError, match="longer than every trial"):
            ann2neo.psth(recording, by="label", window=window)
        return
    rates = ann2neo.psth(recording, by="label", window=window)
    pooled = ann2neo.psth(recording, window=window)
    assert rates.dims == ("label", "time", "unit")
    for unit, row in enumerate(rows):
        trials = by_trial(row, lengths)
        for name in [*np.unique(labels), None]:
            chosen = [
                trial
                for trial, label in zip(trials, labels, strict=True)
                if name is None or label == name
            ]
            array = pooled if name is None else rates.sel(label=name)
            for number, place in enumerate(
                range(0, lengths.max() - window + 1, window)
            ):
                stop = place + window
                counts = [t[place:stop].sum() for t in chosen if len(t) >= stop]
                cell = array.isel(time=number, unit=unit)
                assert cell["n_trials"] == len(counts)
                if not counts:
                    assert np.isnan(cell)
                    continue
                np.testing.assert_allclose(cell, np.mean(counts) / window * 1000)
                error = np.nan
                if len(counts) > 1:
                    error = np.std(counts, ddof=1) / np.sqrt(len(counts))
                np.testing.assert_allclose(
                    cell["standard_error"], error / window * 1000, atol=1e-9
                )


def test_many_labels_and_many_trials_are_summed_exactly():
    """Sums in bytes do not overflow, and many labels give the same sums as few."""
    rng = np.random.default_rng(1)
    spikes = rng.random((2, 900, 5)) < 0.97
    labels = rng.integers(0, 60, 900)
    rates = ann2neo.psth(trials_of(spikes, labels=labels), by="label")
    for name in range(60):
        expected = spikes[:, labels == name].mean(axis=1).T * 1000
        np.testing.assert_allclose(rates.sel(label=name), expected)
    np.testing.assert_allclose(
        ann2neo.psth(trials_of(spikes)), spikes.mean(axis=1).T * 1000
    )


def test_time_counts_from_the_event_that_trials_are_aligned_to():
    """Trials cut around an event have negative times before it; where segments have
    clocks of their own, time counts from the start of the trial.
    """
    events = pd.DataFrame({"start_bin": [100, 300, 470]})
    recording = make_recording(n_time_bins=600, n_units=2).with_presentations(events)
    cut = recording.cut_trials(before=20, after=30)
    np.testing.assert_allclose(
        ann2neo.psth(cut, window=10 * pq.ms)["time"],
        [-0.02, -0.01, 0.0, 0.01, 0.02],
        atol=1e-12,
    )
    apart = trials_of(np.ones((1, 2, 3), bool), t_start=[1.0, 5.0])
    np.testing.assert_allclose(ann2neo.psth(apart)["time"], [0, 0.001, 0.002])


def test_any_column_may_group_trials_and_missing_values_are_in_no_group():
    """Histograms by a column of the user's leave out the trials where it is missing."""
    spikes = np.zeros((1, 4, 2), bool)
    spikes[0, 1] = True
    recording = trials_of(spikes, choice=["left", "right", "", "left"])
    rates = ann2neo.psth(recording, by="choice")
    assert rates["choice"].to_numpy().tolist() == ["left", "right"]
    np.testing.assert_array_equal(rates[:, 0, 0], [0, 1000])
    assert rates["n_trials"].to_numpy().tolist() == [[2, 2], [1, 1]]


def test_arrays_carry_units_presentations_and_provenance():
    """Columns of units and presentations are coordinates, provenance is attributes."""
    network = make_recording(n_units=4, labels=3, layers=["a", "b"], n_time_bins=30)
    counts = ann2neo.spike_counts(network)
    assert counts["layer"].to_numpy().tolist() == ["a", "a", "b", "b"]
    np.testing.assert_array_equal(counts["label"], network.presentations["label"])
    assert counts.attrs["model_name"] == "tiny"
    np.testing.assert_array_equal(counts, network.raster.to_dense().T)
    np.testing.assert_allclose(counts["start_time"], np.arange(30) / 1000)


def test_counts_are_those_of_a_window_of_each_presentation():
    """Counts of a window, in steps or as times, are sums of the bins in it."""
    rng = np.random.default_rng(2)
    rows, lengths = ragged(rng, 20, 40, 0.3, n_units=3, shortest=12)
    recording = trials_of_lengths(rows, lengths)
    trials = [by_trial(row, lengths) for row in rows]
    for window, start, stop in (
        (None, 0, None),
        ((2, 12), 2, 12),
        ((5 * pq.ms, None), 5, None),
    ):
        expected = [[t[start:stop].sum() for t in unit] for unit in trials]
        counts = ann2neo.spike_counts(recording, window=window)
        np.testing.assert_array_equal(counts, np.transpose(expected))


@pytest.mark.parametrize(
    ("window", "words"),
    [
        ((0, 13), "end before the window does, at step 13"),
        ((3, 3), "no step"),
        ((-1, 3), "no step"),
        (5, "pair"),
        ((0.5, 3), "whole number"),
        ((0 * pq.mV, 3), "not a unit of time"),
    ],
)
def test_windows_that_do_not_fit_are_refused(window, words):
    """A window beyond a presentation, without a step, or of no steps is an error."""
    recording = trials_of(np.ones((1, 2, 12), bool))
    with pytest.raises((InputValueError, InputTypeError), match=words):
        ann2neo.spike_counts(recording, window=window)


def test_presentations_that_are_no_trials_are_refused_with_the_remedy():
    """A PSTH of presentations without segments of their own names cut_trials; counts
    do without segments, and both need presentations.
    """
    recording = make_recording(labels=2, n_time_bins=40)
    with pytest.raises(InputValueError, match=r"cut_trials\(\)"):
        ann2neo.psth(recording)
    with pytest.raises(InputValueError, match=r"cut_trials\(\)"):
        ann2neo.psth(make_recording(n_time_bins=40))
    with pytest.raises(InputValueError, match="with_presentations"):
        ann2neo.spike_counts(make_recording(n_time_bins=40))
    with pytest.raises(InputValueError, match="there are no presentations of the kind"):
        ann2neo.spike_counts(recording, "cues")
    trials = trials_of(np.ones((1, 2, 12), bool), labels=["", ""])
    with pytest.raises(InputValueError, match="no trial"):
        ann2neo.psth(trials, by="label")
    with pytest.raises(InputValueError, match="by must be a column"):
        ann2neo.psth(trials, by="start_bin")
