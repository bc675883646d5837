"""Every p-value of trials rejects as often under its null as it says, and finds what it
is made for. Sizes carry a Monte Carlo error, computed; bounds lie three standard errors
beyond the nominal ones.
"""

import numpy as np
import pytest
from trial_recordings import ragged, trials_of, trials_of_lengths

import ann2neo
from ann2neo.analysis.trials import serial_correlation as module

pytestmark = pytest.mark.slow

slow = pytest.mark.slow
LEVEL = 0.05


def error(n):
    """Monte Carlo error of a share of 5 % of n."""
    return np.sqrt(LEVEL * (1 - LEVEL) / n)


def pvalues(recording, name, **options):
    """p-values of a statistic, one per unit, and the methods that gave them."""
    table = ann2neo.analyze_trials(recording, statistics=name, **options)
    methods = set(table.get(f"{name}_method", [])) - {""}
    return table[f"{name}_pvalue"].dropna().to_numpy(), methods


def signs(rng, n_units, n_trials, n_steps, rho):
    """Signs of an AR(1) of Gaussian noise: trials that remember, with a flat PSTH."""
    state = rng.normal(size=(n_units, n_trials))
    spikes = np.empty((n_units, n_trials, n_steps), bool)
    for step in range(n_steps):
        spikes[..., step] = state > 0
        noise = rng.normal(size=state.shape)
        state = rho * state + np.sqrt(1 - rho**2) * noise
    return spikes


def psth(n_steps):
    """A rate that rises and falls."""
    return 0.1 + 0.5 * np.sin(np.arange(n_steps) / n_steps * np.pi)


# -- serial correlation
# --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n_units", "n_trials", "n_steps", "rate", "method"),
    [
        (2000, 60, 50, None, "chi-square"),
        (2000, 50, 100, 0.3, "chi-square"),
        (150, 10, 20, None, "rotation"),
        (150, 200, 20, 0.02, "rotation"),
        (200, 9, 3, None, "permutation"),
        pytest.param(3000, 1000, 100, None, "chi-square", marks=slow),
        pytest.param(2000, 10, 20, None, "rotation", marks=slow),
        pytest.param(1000, 500, 50, 0.01, "rotation", marks=slow),
        pytest.param(2000, 9, 3, None, "permutation", marks=slow),
    ],
)
def test_serial_correlation_is_calibrated_whatever_the_psth(
    n_units, n_trials, n_steps, rate, method
):
    """Steps that are independent given the PSTH reject in at most 5 %, and in 4 to 6 %
    where chi-square is used.
    """
    rng = np.random.default_rng(n_trials + n_steps)
    if n_units * n_trials * n_steps > 1e8:
        n_units = int(1e8 / n_trials / n_steps)
    chance = psth(n_steps) if rate is None else rate
    spikes = rng.random((n_units, n_trials, n_steps), np.float32) < chance
    found, methods = pvalues(trials_of(spikes), "serial_correlation")
    assert methods == {method}
    share = (found <= LEVEL).mean()
    assert share <= (0.06 if method == "chi-square" else LEVEL) + 3 * error(len(found))
    assert share >= 0.025 - 3 * error(len(found))


@pytest.mark.parametrize(
    ("n_units", "n_labels"),
    [(60, 1), (60, 3), pytest.param(1000, 1, marks=slow), (600, 20)],
)
def test_serial_correlation_is_calibrated_on_trials_of_unlike_lengths(
    n_units, n_labels
):
    """So do trials of unlike lengths, whose labels have PSTHs of their own."""
    rng = np.random.default_rng(n_labels)
    n_trials = 24 * n_labels
    lengths = rng.integers(4, 13, n_trials)
    labels = rng.integers(0, n_labels, n_trials)
    rates = rng.uniform(0.05, 0.6, (n_labels, 12))
    chance = np.concatenate(
        [rates[label, :n] for label, n in zip(labels, lengths, strict=True)]
    )
    rows = rng.random((n_units, len(chance))) < chance
    recording = trials_of_lengths(rows, lengths, labels=labels)
    found, _ = pvalues(recording, "serial_correlation", lags=4)
    assert (found <= LEVEL).mean() <= 0.06 + 3 * error(n_units)


@pytest.mark.parametrize(("rho", "power"), [(0.1, 0.6), (0.3, 0.99)])
def test_serial_correlation_finds_memory(rho, power):
    """Signs of an AR(1) in 60 trials of 50 steps reject in about 70 % at a correlation
    of 0.1 of the AR(1), nearly always at 0.3.
    """
    recording = trials_of(signs(np.random.default_rng(1), 300, 60, 50, rho))
    found, _ = pvalues(recording, "serial_correlation")
    assert (found <= LEVEL).mean() >= power


def test_serial_correlation_finds_gains_that_differ_between_trials():
    """Rates that differ from trial to trial by 30 % are found nearly always."""
    rng = np.random.default_rng(2)
    gain = np.clip(1 + 0.3 * rng.normal(size=(200, 100, 1)), 0, None)
    spikes = rng.random((200, 100, 50)) < np.clip(0.3 * gain, 0, 1)
    found, _ = pvalues(trials_of(spikes), "serial_correlation")
    assert (found <= LEVEL).mean() >= 0.98


def test_rotations_and_permutations_tell_the_same(monkeypatch):
    """p-values by rotation and by permutation of the same trials nearly agree."""
    recording = trials_of(signs(np.random.default_rng(3), 60, 24, 20, 0.2))
    rotated, methods = pvalues(recording, "serial_correlation")
    assert methods == {"rotation"}
    monkeypatch.setattr(module, "rotations", lambda *_: None)
    permuted, methods = pvalues(recording, "serial_correlation")
    assert methods == {"permutation"}
    assert np.corrcoef(rotated, permuted)[0, 1] > 0.97


@pytest.mark.parametrize(
    ("n_units", "rate"), [(60, 0.01), pytest.param(600, 0.01, marks=slow)]
)
def test_many_sparse_trials_of_unlike_lengths_are_rotated_in_classes(n_units, rate):
    """Where several trials share a length, rotations inside a length do, exactly."""
    rng = np.random.default_rng(4)
    rows, lengths = ragged(rng, 400, 20, rate, n_units, shortest=10)
    found, methods = pvalues(
        trials_of_lengths(rows, lengths), "serial_correlation", lags=3
    )
    assert methods == {"rotation"}
    assert (found <= LEVEL).mean() <= LEVEL + 3 * error(n_units)


# -- time locking
# --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rho", "n_units", "n_trials", "n_steps", "method"),
    [
        (0.0, 2000, 60, 50, "normal"),
        (0.9, 1000, 100, 50, "normal"),
        (0.99, 500, 200, 40, "normal"),
        (0.9, 100, 20, 20, "shifts"),
        pytest.param(0.9, 4000, 100, 50, "normal", marks=slow),
        pytest.param(0.99, 2000, 200, 40, "normal", marks=slow),
        pytest.param(0.9, 1500, 20, 20, "shifts", marks=slow),
        pytest.param(0.0, 1500, 20, 20, "shifts", marks=slow),
    ],
)
def test_memory_alone_is_no_time_locking(rho, n_units, n_trials, n_steps, method):
    """Trials that remember but follow no step reject in 3 to 6 %."""
    rng = np.random.default_rng(int(100 * rho))
    found, methods = pvalues(
        trials_of(signs(rng, n_units, n_trials, n_steps, rho)), "time_locking"
    )
    assert method in methods
    share = (found <= LEVEL).mean()
    assert 0.03 - 3 * error(n_units) <= share <= 0.06 + 3 * error(n_units)


@pytest.mark.parametrize("n_trials", [20, 80])
def test_a_psth_is_found(n_trials):
    """A rate that rises from 0.1 to 0.5 over the trial is found nearly always."""
    rng = np.random.default_rng(n_trials)
    spikes = rng.random((60, n_trials, 40)) < np.linspace(0.1, 0.5, 40)
    found, _ = pvalues(trials_of(spikes), "time_locking")
    assert (found <= LEVEL).mean() >= 0.95


@pytest.mark.parametrize("kind", ["even", "unlike", "labels"])
def test_the_normal_law_is_that_of_shifts(kind, monkeypatch):
    """From 50 trials on the p-values of the normal law are those of drawn shifts, also
    for trials of unlike lengths and rates.
    """
    from ann2neo.analysis.trials import time_locking

    rng = np.random.default_rng(5)
    lengths = np.full(120, 12) if kind == "even" else rng.integers(4, 13, 120)
    # Short trials fire more, so that the mean of the shifted PSTH is not flat.
    chance = np.repeat(0.2 + 2 / (lengths + 4) * rng.random(120), lengths)
    rows = rng.random((25, lengths.sum())) < chance
    labels = rng.integers(0, 2, 120) if kind == "labels" else None
    recording = trials_of_lengths(rows, lengths, labels=labels)
    law, methods = pvalues(recording, "time_locking")
    assert methods == {"normal"}
    monkeypatch.setattr(time_locking, "MIN_VARYING", 1000)
    drawn, methods = pvalues(recording, "time_locking")
    assert methods == {"shifts"}
    np.testing.assert_allclose(law, drawn, atol=0.025)


# -- ramp
# --------------------------------------------------------------------------------------


def test_a_constant_rate_is_no_ramp_and_a_drift_is():
    """Trials of one rate reject in 3 to 8 % (the limit law is one of long series), and
    a rate that drifts from 0.2 to 0.3 over 200 trials nearly always.
    """
    rng = np.random.default_rng(6)
    for n_trials in (100, 400):
        spikes = rng.random((800, n_trials, 10)) < 0.3
        found, _ = pvalues(trials_of(spikes), "ramp")
        share = (found <= LEVEL).mean()
        assert 0.03 - 3 * error(800) <= share <= 0.08 + 3 * error(800)
    drift = np.linspace(0.2, 0.3, 200)[:, None]
    found, _ = pvalues(trials_of(rng.random((100, 200, 20)) < drift), "ramp")
    assert (found <= LEVEL).mean() >= 0.9


def test_trials_that_get_longer_are_no_ramp():
    """Where lengths differ, rates are compared, so that longer trials later on are no
    ramp.
    """
    rng = np.random.default_rng(7)
    lengths = np.linspace(10, 30, 200).astype(int)
    rows = rng.random((100, lengths.sum())) < 0.3
    found, _ = pvalues(trials_of_lengths(rows, lengths), "ramp")
    assert (found <= LEVEL).mean() <= 0.08 + 3 * error(100)
