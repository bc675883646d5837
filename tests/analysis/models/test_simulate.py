"""Simulated trains have the rates, correlations and dynamics they were asked for."""

import numpy as np
import pandas as pd
import pytest
import quantities as pq
from scipy.stats import multivariate_normal

from ann2neo import InputTypeError, InputValueError
from ann2neo.analysis.models.dichotomized_gaussian import (
    both_below,
    latent_correlations,
)
from ann2neo.analysis.models.fit_processes import PROCESSES, fit_processes
from ann2neo.analysis.models.simulate import counting_processes, simulate
from ann2neo.analysis.populations.correlations import correlation_matrix, correlations
from ann2neo.testing import make_recording


def test_two_gaussians_lie_below_their_limits_as_scipy_says():
    """The bivariate normal probability agrees with SciPy to 1e-10, also for
    correlations close to one.
    """
    rng = np.random.default_rng(0)
    h, k = rng.normal(size=(2, 40)) * 2
    r = np.concatenate(
        [
            rng.uniform(-0.99, 0.99, 30),
            [-0.9999, 0.9999, 0.0, 0.999, -0.999, 0.5, -0.5, 0.1, 0.9, -0.9],
        ]
    )
    theirs = [
        multivariate_normal.cdf(
            [a, b], cov=[[1, c], [c, 1]], abseps=1e-13, releps=1e-13
        )
        for a, b, c in zip(h, k, r, strict=True)
    ]
    np.testing.assert_allclose(both_below(h, k, r), theirs, rtol=0, atol=1e-10)


def test_latent_correlations_of_half_rates_follow_the_arcsine():
    """At rates of a half, the bits' correlation is 2 asin(latent) / pi."""
    wanted = np.array([[1, 0.3, -0.7], [0.3, 1, 1.0], [-0.7, 1.0, 1]])
    latent = latent_correlations(np.full(3, 0.5), wanted, np.arange(3))
    np.testing.assert_allclose(latent, np.sin(np.pi / 2 * wanted), atol=1e-9)


def test_a_layer_has_the_rates_and_correlations_it_was_given():
    """Rates and all pairwise correlations of 20 units lie within their standard errors
    of the given ones.
    """
    rng = np.random.default_rng(1)
    rates = rng.uniform(0.15, 0.85, 20)
    loadings = rng.normal(size=(20, 2)) * 0.25
    wanted = loadings @ loadings.T
    wanted /= np.sqrt(np.outer(np.diag(wanted) + 1, np.diag(wanted) + 1))
    np.fill_diagonal(wanted, 1.0)
    n = 200_000
    recording = simulate(rates, n, correlations=wanted, seed=2)
    z = (recording.raster.spike_counts() / n - rates) / np.sqrt(rates * (1 - rates) / n)
    assert np.abs(z).max() < 4
    pairs = np.triu_indices(20, 1)
    difference = (correlation_matrix(recording) - wanted)[pairs] * np.sqrt(n)
    assert np.abs(difference).max() < 6
    assert 0.7 < difference.std() < 1.4


def test_one_correlation_for_all_and_units_that_never_vary():
    """A single number is met on average; silent and saturated units stay what
    they are.
    """
    rates = np.array([0.3, 0.0, 0.4, 1.0, 0.5, 0.35])
    recording = simulate(rates, 100_000, correlations=0.2, seed=3)
    found = correlations(recording)
    assert found.n_pairs == 6
    assert abs(found.mean - 0.2) < 0.01
    assert recording.raster.spike_counts()[[1, 3]].tolist() == [0, 100_000]


def test_a_recorded_matrix_can_be_simulated():
    """What correlation_matrix returns, NaN of silent units included, is a valid
    argument.
    """
    observed = simulate([0.3, 0.4, 0.0, 0.5], 50_000, correlations=0.3, seed=4)
    rates = observed.raster.spike_counts() / 50_000
    matrix = correlation_matrix(observed)
    again = correlation_matrix(simulate(rates, 50_000, correlations=matrix, seed=5))
    np.testing.assert_allclose(again, matrix, atol=0.03)


@pytest.mark.parametrize("process", list(PROCESSES))
def test_a_simulated_fit_is_fitted_back(process):
    """Fitting what was simulated from a fit returns its parameters within their
    standard errors.
    """
    truth = {
        "bernoulli": {"p": 0.3},
        "poisson": {"rate": 0.4},
        "beta_binomial": {"mean": 0.3, "overdispersion": 0.2},
        "markov": {"after_silence": 0.15, "after_spike": 0.55},
    }[process]
    fit = pd.DataFrame(
        {
            "phase": "x",
            "n_time_bins": 20_000,
            "window": 40,
            "best_process": [process] * 25,
        }
    )
    fit = fit.assign(**{f"{process}_{key}": value for key, value in truth.items()})
    again = fit_processes(simulate(fit, seed=6), window=40)
    for key, value in truth.items():
        found = again[f"{process}_{key}"]
        assert abs(found.mean() - value) < 4 * found.std() / 5 + 0.004 * value, key
    if process not in {"bernoulli", "poisson"}:
        assert (again["best_process"] == process).all()


def test_every_fit_can_be_simulated_boundaries_included():
    """Silent, saturated, alternating and block-wise trains are simulated from the
    process that fits best.
    """
    bits = np.zeros((5, 400), bool)
    bits[1] = True
    bits[2, ::2] = True
    bits[3] = np.repeat(np.arange(40) % 2, 10)
    bits[4, :40] = True
    fit = fit_processes(make_recording(bits), window=10)
    raster = simulate(fit, 1000, seed=0).raster
    assert raster.spike_counts()[:2].tolist() == [0, 1000]
    np.testing.assert_array_equal(raster.to_dense()[2, ::2], raster.to_dense()[2, 0])
    for process in PROCESSES:
        assert simulate(fit, process=process, seed=0).raster.shape == (5, 400)


def test_the_seed_decides_and_is_kept():
    """The same seed gives the same spikes, and a drawn one in the provenance reproduces
    them.
    """
    first = simulate([0.2, 0.5], 1000)
    again = simulate([0.2, 0.5], 1000, seed=int(first.provenance["seed"]))
    assert first.raster.equals(again.raster)
    assert not first.raster.equals(simulate([0.2, 0.5], 1000).raster)
    assert (
        simulate([0.5], 10, sampling_period=2 * pq.ms, seed=0).sampling_period
        == 2 * pq.ms
    )


def test_figure_two_observed_beside_simulated():
    """Bernoulli units stay in their simulated band, a drifting unit leaves it, and most
    leave that of the mean rate.
    """
    rng = np.random.default_rng(7)
    bits = rng.random((12, 4000)) < np.linspace(0.1, 0.6, 12)[:, None]
    bits[0] = rng.random(4000) < np.linspace(0.0, 0.7, 4000)
    table = counting_processes(make_recording(bits), seed=0, n_simulations=200)
    assert len(table) == 12 * 101
    outside = (table["observed"] < table["lower"]) | (
        table["observed"] > table["upper"]
    )
    share = outside.groupby(table["unit"]).mean()
    assert share[0] > 0.8
    assert share[1:].mean() < 0.15
    np.testing.assert_array_equal(
        table["observed"][table["time_bin"] == 4000], bits.sum(axis=1)
    )
    ends = table[table["time_bin"] == 4000]
    pooled = (ends["observed"] < ends["mean_process_lower"]) | (
        ends["observed"] > ends["mean_process_upper"]
    )
    assert pooled.sum() >= 9
    assert ends["mean_process"].iloc[0] == pytest.approx(bits.mean() * 4000, rel=0.02)


FIT = fit_processes(make_recording([[1, 0, 0, 1, 1, 0]]))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (
            lambda: simulate([0.5, 1.5], 10),
            InputValueError,
            r"lie in 0 .. 1, got 1.5 for unit 1; multiply a rate in Hz",
        ),
        (lambda: simulate([0.5, np.nan], 10), InputValueError, "got nan for unit 1"),
        (
            lambda: simulate([[0.5]], 10),
            InputValueError,
            r"rates need shape \(n_units,\), got \(1, 1\)",
        ),
        (
            lambda: simulate([0.5]),
            InputValueError,
            "rates do not say how many bins to simulate; pass n_time_bins",
        ),
        (
            lambda: simulate([0.5], 0),
            InputValueError,
            "n_time_bins must be at least 1, got 0",
        ),
        (
            lambda: simulate([0.5], 1.5),
            InputTypeError,
            "n_time_bins must be a whole number of bins, got 1.5",
        ),
        (
            lambda: simulate([0.5], 9, process="markov"),
            InputValueError,
            "process applies to a table of fits",
        ),
        (
            lambda: simulate([0.5], 9, phase="x"),
            InputValueError,
            "phase applies to a table of fits",
        ),
        (
            lambda: simulate(FIT, correlations=0.1),
            InputValueError,
            "cannot be given together with a fit",
        ),
        (
            lambda: simulate(FIT, process="renewal"),
            InputValueError,
            (
                "process must be one of best, bernoulli, poisson, beta_binomial,"
                " markov, got 'renewal'"
            ),
        ),
        (
            lambda: simulate(FIT, phase="x"),
            InputValueError,
            "unknown phase 'x'; this fit has 'recording'",
        ),
        (
            lambda: simulate(pd.concat([FIT, FIT.assign(phase="b")])),
            InputValueError,
            "say which phase, as phase=...; this fit has 'recording', 'b'",
        ),
        (
            lambda: simulate(pd.DataFrame({"x": [1]}), 5),
            InputValueError,
            "must come from fit_processes",
        ),
        (
            lambda: simulate([0.1, 0.9], 10, correlations=0.5),
            InputValueError,
            (
                "units 0 and 1 with rates 0.1 and 0.9 cannot have the correlation 0.5:"
                " .* reach -1 to 0.111; lower it"
            ),
        ),
        (
            lambda: simulate([0.5] * 3, 10, correlations=-0.9),
            InputValueError,
            (
                r"each pair is possible, all together are not \(smallest latent"
                r" eigenvalue -0.9"
            ),
        ),
        (
            lambda: simulate([0.5, 0.5], 9, correlations=np.eye(3)),
            InputValueError,
            r"matrix of shape \(2, 2\), got shape \(3, 3\)",
        ),
        (
            lambda: simulate([0.5, 0.5], 9, correlations=[[1, 0.1], [0.2, 1]]),
            InputValueError,
            "symmetric with ones on the diagonal",
        ),
        (
            lambda: simulate([0.5, 0.5], 9, correlations=[[1, np.nan], [np.nan, 1]]),
            InputValueError,
            "must lie in -1 .. 1 .* check for NaN",
        ),
        (
            lambda: counting_processes([[1]]),
            InputTypeError,
            "counting_processes needs a Recording, got list",
        ),
        (
            lambda: counting_processes(simulate([0.5], 9, seed=0), units=[]),
            InputValueError,
            "counting processes need at least one unit",
        ),
        (
            lambda: counting_processes(simulate([0.5], 9, seed=0), units=[3]),
            InputValueError,
            "units run from 3 to 3, outside 0 .. 0",
        ),
        (
            lambda: counting_processes(simulate([0.5], 9, seed=0), n_simulations=1),
            InputValueError,
            "n_simulations must be at least 2, got 1",
        ),
    ],
)
def test_bad_input_says_value_rule_and_remedy(call, error, words):
    """Each mistake is refused with words that name it."""
    with pytest.raises(error, match=words):
        call()
