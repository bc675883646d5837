"""Noise and signal correlations of trial counts, against NumPy and known truth."""

import numpy as np
import pandas as pd
import pytest
import quantities as pq

import ann2neo
from ann2neo import InputValueError, Recording, SpikeRaster
from ann2neo.analysis._phases import one_phase
from ann2neo.analysis.populations import count_correlations as module
from ann2neo.analysis.trials.trials import trials_of
from ann2neo.recording.windows import StepWindow
from ann2neo.testing import make_recording

slow = pytest.mark.slow


def recording_of(spikes, labels=None):
    """Presentations side by side in one segment, from an array (unit, trial, step)."""
    n_units, n_trials, n_steps = np.shape(spikes)
    start = np.arange(n_trials) * n_steps
    table = pd.DataFrame({"start_bin": start, "stop_bin": start + n_steps})
    if labels is not None:
        table["label"] = labels
    raster = SpikeRaster.from_dense(np.reshape(spikes, (n_units, -1)))
    return Recording.from_raster(raster).with_presentations(table)


def tuned(rng, n_units=7, n_trials=120, n_steps=12, n_labels=4):
    """Trials of tuned units that share a gain; one unit is silent."""
    labels = rng.integers(0, n_labels, n_trials)
    rates = rng.uniform(0.1, 0.6, (n_units, n_labels))
    gain = np.clip(1 + 0.4 * rng.normal(size=n_trials), 0, 1.6)
    rates[0] = 0
    chance = rates[:, labels] * gain
    return rng.random((n_units, n_trials, n_steps)) < chance[..., None], labels


@pytest.mark.slow
@pytest.mark.parametrize("window", [None, (2, 9), (0 * pq.ms, 5 * pq.ms)])
def test_matrices_are_the_correlations_of_counts(window):
    """Noise correlations are those of the deviations from the label's mean count,
    signal correlations those of the means, and the fields are their means over pairs.
    """
    rng = np.random.default_rng(0)
    spikes, labels = tuned(rng)
    recording = recording_of(spikes, labels)
    cut = {None: slice(None), 2: slice(2, 9), 0.0: slice(0, 5)}[
        window and float(window[0])
    ]
    counts = spikes[:, :, cut].sum(axis=2).astype(float)
    means = np.array([counts[:, labels == c].mean(axis=1) for c in range(4)]).T
    with np.errstate(invalid="ignore"):
        noise = np.corrcoef(counts - means[:, labels])
        signal = np.corrcoef(means)
    found = ann2neo.correlations(recording, window=window)
    assert found.n_trials == 120
    for of, expected in (("noise", noise), ("signal", signal)):
        matrix = ann2neo.correlation_matrix(recording, of=of, window=window)
        np.testing.assert_allclose(matrix, expected, atol=1e-12)
        pairs = expected[1:, 1:][np.triu_indices(6, 1)]
        np.testing.assert_allclose(getattr(found, f"{of}_correlation"), pairs.mean())


def test_without_labels_all_trials_are_of_one():
    """Without labels noise correlations are plain ones of counts, and there are no
    signal correlations.
    """
    rng = np.random.default_rng(1)
    spikes, _ = tuned(rng)
    found = ann2neo.correlations(recording_of(spikes))
    counts = spikes[1:].sum(axis=2)
    expected = np.corrcoef(counts)[np.triu_indices(6, 1)].mean()
    np.testing.assert_allclose(found.noise_correlation, expected)
    assert np.isnan(found.signal_correlation)


@pytest.mark.slow
@pytest.mark.parametrize("n_steps", [5, 20, 80])
def test_a_shared_gain_is_recovered_whatever_the_bins(n_steps):
    """The noise correlation of units that share a gain is found within its standard
    error, however finely a trial is cut into bins.
    """
    rng = np.random.default_rng(n_steps)
    n_units, n_trials, mean, spread = 12, 800, 4.0, 0.35
    gain = rng.gamma(1 / spread**2, spread**2, n_trials)
    # Expected counts `mean` times the gain, in bins of at most one spike each.
    chance = 1 - np.exp(-mean * gain / n_steps)
    spikes = rng.random((n_units, n_trials, n_steps)) < chance[:, None]
    found = ann2neo.correlations(recording_of(spikes))
    binomial = n_steps * (chance * (1 - chance)).mean()
    shared = (n_steps * chance).var()
    truth = shared / (shared + binomial)
    pairs = ann2neo.correlation_matrix(recording_of(spikes), of="noise")
    jackknife = [
        np.delete(np.delete(pairs, unit, 0), unit, 1)[np.triu_indices(n_units - 1, 1)]
        for unit in range(n_units)
    ]
    over_units = np.var([part.mean() for part in jackknife]) * (n_units - 1)
    error = np.sqrt(over_units + 2 * truth**2 / n_trials)
    assert found.noise_correlation == pytest.approx(truth, abs=3 * error)
    assert error < 0.05
    assert found.noise_correlation_pvalue < 0.001


@pytest.mark.slow
@pytest.mark.parametrize("n_labels", [1, 3])
def test_moments_are_those_of_permutations(n_labels, monkeypatch):
    """Variance and p-value by moments are those that permutations of trials give."""
    rng = np.random.default_rng(5)
    labels = rng.integers(0, n_labels, 60)
    counts = rng.poisson(3, (9, 60)) + rng.poisson(0.1, 60)
    spikes = np.arange(20) < counts[..., None]
    recording = recording_of(spikes, labels)
    exact = ann2neo.correlations(recording)
    monkeypatch.setattr(module, "_MOST_PERMUTED", 0)
    trials = trials_of(recording, one_phase(recording, None, "test"), None)
    drawn = [
        module.count_correlations(r.raster, trials, StepWindow()).noise_correlation
        for r in ann2neo.surrogates(recording, "within_label", n_surrogates=300, seed=0)
    ]
    blocks = list(module._blocks(recording.raster, trials, StepWindow()))
    shares = np.concatenate([block.shares for block in blocks])
    free = np.bincount(trials.code) - 1
    pairs = (shares[:, None] * shares[None] / free).sum(axis=2)
    variances = pairs[np.triu_indices(9, 1)]
    np.testing.assert_allclose(
        exact.noise_correlation_null_std, np.sqrt(variances.mean())
    )
    np.testing.assert_allclose(np.std(drawn), np.sqrt(variances.sum()) / 36, rtol=0.15)
    by_moments = ann2neo.correlations(recording)
    assert by_moments.noise_correlation_method == "moments"
    assert exact.noise_correlation_method == "permutation"
    np.testing.assert_allclose(
        by_moments.noise_correlation_pvalue, exact.noise_correlation_pvalue, rtol=0.2
    )


def rejecting(rng, n_units, n_trials, n_labels, n_recordings, gain=0.0):
    """Share of recordings whose mean noise correlation rejects at 5 %."""
    pvalues = []
    for _ in range(n_recordings):
        labels = rng.integers(0, n_labels, n_trials)
        rates = rng.uniform(0.1, 0.5, (n_units, n_labels))[:, labels]
        rates = rates * np.clip(1 + gain * rng.normal(size=n_trials), 0, 2)
        counts = rng.binomial(10, np.clip(rates, 0, 1))
        recording = recording_of(np.arange(10) < counts[..., None], labels)
        trials = trials_of(recording, one_phase(recording, None, "test"), None)
        found = module.count_correlations(recording.raster, trials, StepWindow())
        pvalues.append(found.noise_correlation_pvalue)
    return np.mean(np.array(pvalues) <= 0.05)


@pytest.mark.slow
def test_the_test_by_moments_is_calibrated_and_finds_a_gain():
    """Independent tuned units reject in 5 % of recordings, within the Monte Carlo
    error; units that share a gain of 20 % nearly always.
    """
    rng = np.random.default_rng(6)
    error = np.sqrt(0.05 * 0.95 / 400)
    share = rejecting(rng, 40, 300, 4, 400)
    assert abs(share - 0.05) <= 3 * error
    assert rejecting(rng, 40, 300, 4, 20, gain=0.2) >= 0.95


@slow
@pytest.mark.parametrize(
    ("n_units", "n_trials", "n_labels"), [(2, 30, 1), (10, 60, 3), (100, 150, 2)]
)
def test_the_tests_are_calibrated_at_every_size(n_units, n_trials, n_labels):
    """So they do with two units, few trials, and by permutation."""
    rng = np.random.default_rng(n_units)
    error = np.sqrt(0.05 * 0.95 / 300)
    share = rejecting(rng, n_units, n_trials, n_labels, 300)
    assert abs(share - 0.05) <= 3 * error


def test_presentations_that_have_no_counts():
    """Of presentations of one bin the fields are missing, since within_label_mean says
    it; a window that no presentation holds is an error.
    """
    recording = make_recording(labels=3)
    found = ann2neo.correlations(recording)
    assert found.n_trials == 0
    assert np.isnan(found.noise_correlation)
    asked = ann2neo.correlations(recording, window=(0, 1))
    np.testing.assert_allclose(asked.noise_correlation, found.within_label_mean)
    with pytest.raises(InputValueError, match="none of 200 presentations"):
        ann2neo.correlations(recording, window=(0, 2))
    with pytest.raises(InputValueError, match="none of 0 presentations"):
        ann2neo.correlations(make_recording(), window=(0, 2))
    with pytest.raises(InputValueError, match="noise correlations need present"):
        ann2neo.correlation_matrix(make_recording(), of="noise")
    with pytest.raises(InputValueError, match="of must be one of bins, noise, signal"):
        ann2neo.correlation_matrix(recording, of="counts")
    single = recording_of(np.ones((3, 4, 5), bool), labels=list("abcd"))
    assert np.isnan(ann2neo.correlations(single).noise_correlation)
