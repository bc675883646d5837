"""Trials whose statistics are known: random networks, AR(1), a flip-flop, Poisson."""

import numpy as np
import pytest
from trial_recordings import trials_of

import ann2neo


def random_network(rng, radius, n_units=30, n_trials=80, n_steps=60):
    """Spikes of a random tanh network driven by white noise, (unit, trial, step)."""
    weights = rng.normal(size=(n_units, n_units))
    weights *= radius / np.abs(np.linalg.eigvals(weights)).max()
    state = np.zeros((n_units, n_trials))
    spikes = np.empty((n_units, n_trials, n_steps), bool)
    # Steps before the first one, so that the state does not start from zero.
    for step in range(-200, n_steps):
        state = np.tanh(weights @ state + rng.normal(size=state.shape))
        if step >= 0:
            spikes[..., step] = state > 0
    return spikes


def test_serial_correlation_grows_with_the_spectral_radius():
    """A random network remembers the longer, the larger its spectral radius; at 0 it
    does not, and after a step permutation nothing does.
    """
    rng = np.random.default_rng(0)
    strength, rejecting = [], []
    for radius in (0.0, 0.5, 0.9, 0.99):
        recording = trials_of(random_network(rng, radius))
        table = ann2neo.analyze_trials(recording, statistics="serial_correlation")
        strength.append(table["serial_correlation_statistic"].mean())
        rejecting.append((table["serial_correlation_pvalue"] <= 0.05).mean())
        shuffled = next(
            ann2neo.surrogates(recording, "step_permutation", n_surrogates=1, seed=1)
        )
        after = ann2neo.analyze_trials(shuffled, statistics="serial_correlation")
        share = (after["serial_correlation_pvalue"] <= 0.05).mean()
        assert share <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 30)
        # Ten lags of which each adds 1 on average.
        assert after["serial_correlation_statistic"].mean() == pytest.approx(10, abs=3)
    assert strength[0] == pytest.approx(10, abs=3)
    assert strength[1] > 1.3 * strength[0]
    assert sorted(strength) == strength
    assert rejecting[0] <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 30)
    assert sorted(rejecting) == rejecting
    assert rejecting[-1] >= 0.7


@pytest.mark.parametrize("rho", [0.3, 0.9])
def test_signs_of_an_ar1_have_the_arcsine_autocorrelation(rho):
    """Neighbouring steps of an AR(1)'s sign correlate by (2 / pi) arcsin rho."""
    rng = np.random.default_rng(1)
    state = rng.normal(size=(4, 2000))
    spikes = np.empty((4, 2000, 25), bool)
    for step in range(25):
        spikes[..., step] = state > 0
        noise = rng.normal(size=state.shape)
        state = rho * state + np.sqrt(1 - rho**2) * noise
    table = ann2neo.analyze_trials(trials_of(spikes), statistics="serial_correlation")
    expected = 2 / np.pi * np.arcsin(rho)
    # 100 000 pairs of neighbours per unit, correlated among themselves.
    np.testing.assert_allclose(table["serial_correlation"], expected, atol=0.02)


def flip_flop(rng, rate, n_trials=300, n_steps=200):
    """A three-bit memory: pulses of random sign set each bit, which keeps it."""
    pulses = rng.random((3, n_trials, n_steps)) < rate
    signs = rng.random((3, n_trials, n_steps)) < 0.5
    bits = np.empty((3, n_trials, n_steps), bool)
    state = rng.random((3, n_trials)) < 0.5
    for step in range(n_steps):
        state = np.where(pulses[..., step], signs[..., step], state)
        bits[..., step] = state
    return bits


@pytest.mark.parametrize("rate", [0.05, 0.2])
def test_a_flip_flop_remembers_as_long_as_its_input_lets_it(rate):
    """Pulses set a bit at random with probability `rate` per step, so that neighbouring
    steps correlate by 1 - rate and dwell times are geometric with a mean of 2 / rate.
    """
    rng = np.random.default_rng(2)
    bits = flip_flop(rng, rate)
    table = ann2neo.analyze_trials(trials_of(bits))
    np.testing.assert_allclose(table["serial_correlation"], 1 - rate, atol=0.02)
    assert (table["serial_correlation_pvalue"] < 1e-6).all()
    assert (table["time_locking_pvalue"] > 0.001).all()
    changes = np.diff(bits, axis=2) != 0
    np.testing.assert_allclose(changes.mean(), rate / 2, rtol=0.1)
    # Whole dwell times, between two changes of one trial.
    places = [np.flatnonzero(row) for row in changes.reshape(-1, changes.shape[2])]
    dwell = np.concatenate([np.diff(row) for row in places])
    short = dwell[dwell <= 20]
    geometric = (rate / 2) * (1 - rate / 2) ** np.arange(20)
    expected = geometric / geometric.sum() * len(short)
    found = np.bincount(short, minlength=21)[1:]
    # Ends of trials cut long stays off, which takes the more off the longer they are.
    tolerance = 5 * np.sqrt(expected) + 0.12 * expected
    assert (np.abs(found - expected) <= tolerance).all()


def test_poisson_counts_have_a_fano_factor_of_one():
    """Counts of a sparse Poisson neuron vary as much as they are many; a gain that
    differs from trial to trial adds its variance.
    """
    rng = np.random.default_rng(3)
    for spread in (0.0, 0.4):
        gain = 1 + spread * rng.choice([-1, 1], (6, 3000, 1))
        spikes = rng.random((6, 3000, 200)) < 0.02 * gain
        fano = ann2neo.analyze_trials(trials_of(spikes), statistics="fano_over_trials")[
            "fano_over_trials_unbiased"
        ]
        expected = 1 - 0.02 * (1 + spread**2) + 4 * spread**2
        np.testing.assert_allclose(fano, expected, rtol=0.1)
