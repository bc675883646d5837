"""Elephant's tools for trials run on what to_neo gives of a recording of trials."""

import warnings

import numpy as np
import pytest
import quantities as pq
from trial_recordings import trials_of

import ann2neo

N_UNITS = 16


@pytest.fixture(scope="module")
def recording():
    """Forty trials of two labels, in which sixteen units follow two shared signals."""
    rng = np.random.default_rng(0)
    step = np.arange(60)
    signals = np.array([np.sin(step / 6), np.cos(step / 9)])
    weights = rng.normal(size=(N_UNITS, 2))
    gain = rng.normal(1, 0.2, (2, 40, 1))
    drive = np.einsum("uk,kjs->ujs", weights, gain * signals[:, None])
    chance = 0.6 / (1 + np.exp(-2 * drive))
    spikes = rng.random((N_UNITS, 40, 60)) < chance
    # Units 0 and 1 fire together in the middle of the trial.
    together = rng.random((40, 20)) < 0.25
    spikes[:2, :, 20:40] |= together
    return trials_of(spikes, labels=np.arange(40) % 2, gap=0)


@pytest.fixture(scope="module")
def trials(recording):
    """The spike trains of each trial, as Elephant's functions take them."""
    block = ann2neo.to_neo(recording)
    return [list(segment.spiketrains) for segment in block.segments]


def test_time_histograms_are_our_psths(recording, trials):
    """Elephant's time histogram of each unit's trials is its PSTH."""
    from elephant.statistics import time_histogram

    rates = ann2neo.psth(recording, window=5)
    for unit in range(N_UNITS):
        histogram = time_histogram(
            [trial[unit] for trial in trials], 5 * pq.ms, output="rate"
        )
        np.testing.assert_allclose(
            rates[:, unit], histogram.rescale("Hz").magnitude[:, 0]
        )


def test_fano_factors_are_ours(recording, trials):
    """Elephant's Fano factor of a unit's trials of one label is ours."""
    from elephant.statistics import fanofactor

    table = ann2neo.analyze_trials(
        recording, by="label", statistics="fano_over_trials"
    ).set_index(["label", "unit"])
    for label in (0, 1):
        for unit in range(N_UNITS):
            trains = [trial[unit] for trial in trials[label::2]]
            np.testing.assert_allclose(
                table.loc[(label, unit), "fano_over_trials"], fanofactor(trains)
            )


def test_trials_from_a_block_are_the_segments(recording):
    """Elephant's TrialsFromBlock sees one trial per segment, with our spikes."""
    from elephant.trials import TrialsFromBlock

    block = ann2neo.to_neo(recording)
    seen = TrialsFromBlock(block)
    assert seen.n_trials == 40
    trains = seen.get_spiketrains_from_trial_as_list(7)
    assert len(trains) == N_UNITS
    counts = ann2neo.spike_counts(recording)
    np.testing.assert_array_equal([len(train) for train in trains], counts[7])


def test_correlations_of_binned_trains_are_ours(recording, trials):
    """Elephant's spike train correlations of a trial are those of its bits."""
    from elephant.conversion import BinnedSpikeTrain
    from elephant.spike_train_correlation import correlation_coefficient

    binned = BinnedSpikeTrain(trials[3], bin_size=1 * pq.ms)
    expected = np.corrcoef(recording.raster.to_dense()[:, 180:240])
    np.testing.assert_allclose(correlation_coefficient(binned), expected, atol=1e-9)


def test_gpfa_finds_the_shared_signals(trials):
    """GPFA's first latent dimensions follow the signals that drive all units."""
    from elephant.gpfa import GPFA

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gpfa = GPFA(bin_size=4 * pq.ms, x_dim=3, em_max_iters=30, verbose=False)
        latent = np.mean(list(gpfa.fit_transform(trials)), axis=0)
    assert latent.shape == (3, 15)
    centre = 4 * np.arange(15) + 1.5
    truth = np.array([np.sin(centre / 6), np.cos(centre / 9)])
    design = np.vstack([latent, np.ones(15)]).T
    for signal in truth:
        fitted = design @ np.linalg.lstsq(design, signal, rcond=None)[0]
        explained = 1 - np.var(signal - fitted) / np.var(signal)
        assert explained > 0.7


def test_unitary_events_are_where_two_units_fire_together(trials):
    """The unitary-event analysis of two units finds the steps in which they share
    spikes, and none before.
    """
    from elephant.unitary_event_analysis import jointJ_window_analysis

    pairs = [[trial[0], trial[1]] for trial in trials]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = jointJ_window_analysis(
            pairs,
            bin_size=1 * pq.ms,
            win_size=10 * pq.ms,
            win_step=10 * pq.ms,
            pattern_hash=[3],
        )
    surprise = np.asarray(result["Js"]).ravel()
    assert surprise.argmax() in {2, 3}
    assert surprise[2:4].min() > 3
    assert np.abs(surprise[[0, 1, 4, 5]]).max() < surprise[2:4].min()
