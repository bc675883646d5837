"""Fitted processes recover what made the bits, and agree with SciPy's distributions and
optimisers.
"""

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from scipy.special import comb
from scipy.stats import betabinom, binom
from statsmodels.stats.diagnostic import acorr_ljungbox

from ann2neo import InputTypeError, InputValueError, Recording, SpikeRaster
from ann2neo.analysis.models.fit_processes import (
    PROCESSES,
    fit_beta_binomial,
    fit_markov,
    fit_processes,
)
from ann2neo.testing import make_recording


def markov_bits(rng, n_units, n, after_silence, after_spike):
    uniform = rng.random((n_units, n))
    bits = np.zeros((n_units, n), bool)
    bits[:, 0] = uniform[:, 0] < after_silence / (1 + after_silence - after_spike)
    for t in range(1, n):
        bits[:, t] = uniform[:, t] < np.where(
            bits[:, t - 1], after_spike, after_silence
        )
    return bits


def clustered_bits(rng, n_units, n_windows, window, mean, over):
    rates = rng.beta(mean / over, (1 - mean) / over, (n_units, n_windows))
    return (rng.random((n_units, n_windows, window)) < rates[:, :, None]).reshape(
        n_units, -1
    )


def test_every_likelihood_is_that_of_all_sequences_of_the_same_length():
    """Summed over all 2^9 sequences of nine bits, each fitted process' probabilities
    come to one.
    """
    sequences = ((np.arange(512)[:, None] >> np.arange(9)) & 1).astype(bool)
    fit = fit_processes(
        make_recording(np.random.default_rng(2).random((1, 9)) < 0.5), window=4, lags=2
    ).iloc[0]
    p, mean, over = fit["bernoulli_p"], fit["beta_binomial_mean"], 0.3
    silence, spike = fit["markov_after_silence"], fit["markov_after_spike"]
    np.testing.assert_allclose(np.prod(np.where(sequences, p, 1 - p), axis=1).sum(), 1)
    start = silence / (silence + 1 - spike)
    chain = np.where(sequences[:, 0], start, 1 - start)
    given = np.where(sequences[:, :-1], spike, silence)
    np.testing.assert_allclose(
        (chain * np.prod(np.where(sequences[:, 1:], given, 1 - given), axis=1)).sum(), 1
    )
    total = 0.0
    for bits in sequences:
        counts = [bits[:4].sum(), bits[4:8].sum(), bits[8:].sum()]
        total += np.prod(
            [
                betabinom.pmf(c, w, mean / over, (1 - mean) / over) / comb(w, c)
                for c, w in zip(counts, (4, 4, 1), strict=True)
            ]
        )
    np.testing.assert_allclose(total, 1)


def test_bernoulli_likelihood_is_the_binomial_one_without_its_coefficient():
    """The likelihood of the bits is binom.pmf divided by the number of arrangements,
    and Poisson's AIC equals it.
    """
    bits = np.random.default_rng(0).random((4, 57)) < 0.2
    fit = fit_processes(make_recording(bits))
    k = bits.sum(axis=1)
    np.testing.assert_allclose(
        fit["bernoulli_log_likelihood"],
        binom.logpmf(k, 57, k / 57) - np.log(comb(57, k)),
    )
    np.testing.assert_array_equal(fit["poisson_aic"], fit["bernoulli_aic"])
    np.testing.assert_allclose(-np.expm1(-fit["poisson_rate"]), fit["bernoulli_p"])
    np.testing.assert_allclose(fit["poisson_rate_hz"], fit["poisson_rate"] * 1000)
    clipped = 1 - (1 - np.exp(-fit["poisson_rate"])) / fit["poisson_rate"]
    np.testing.assert_allclose(fit["poisson_clipped_share"], clipped)


@pytest.mark.parametrize("window", [7, 20, 100])
def test_beta_binomial_fit_is_the_maximum_scipy_finds(window):
    """SciPy's optimiser over betabinom.logpmf finds no higher likelihood, and the same
    parameters.
    """
    rng = np.random.default_rng(window)
    bits = np.concatenate(
        [
            clustered_bits(rng, 3, 40, 25, mean, over)
            for mean, over in ((0.3, 0.05), (0.7, 0.5), (0.04, 0.01))
        ]
    )[:, :990]
    mean, over, likelihood, boundary = fit_beta_binomial(
        SpikeRaster.from_dense(bits), window
    )
    for unit, row in enumerate(bits):
        pieces = [row[first : first + window] for first in range(0, 990, window)]
        counts, sizes = (
            np.array([piece.sum() for piece in pieces]),
            np.array([len(piece) for piece in pieces]),
        )

        def loss(point, counts=counts, sizes=sizes):
            # Below this SciPy's log-gamma differences are rounding noise.
            m, t = 1 / (1 + np.exp(-point[0])), np.exp(max(point[1], -10))
            return -(
                betabinom.logpmf(counts, sizes, m / t, (1 - m) / t)
                - np.log(comb(sizes, counts))
            ).sum()

        best = min(
            (
                minimize(
                    loss,
                    [0.0, start],
                    method="Nelder-Mead",
                    options={"xatol": 1e-9, "fatol": 1e-10},
                )
                for start in (-5, -1)
            ),
            key=lambda found: found.fun,
        )
        assert likelihood[unit] >= -best.fun - 1e-6
        if not boundary[unit]:
            np.testing.assert_allclose(
                [mean[unit], over[unit]],
                [1 / (1 + np.exp(-best.x[0])), np.exp(best.x[1])],
                rtol=1e-4,
            )


def test_markov_fit_is_the_maximum_scipy_finds():
    """SciPy's optimiser over the stationary chain's likelihood finds no higher one, and
    the same probabilities.
    """
    rng = np.random.default_rng(5)
    bits = np.concatenate(
        [markov_bits(rng, 3, 40, 0.2, 0.6), markov_bits(rng, 3, 400, 0.5, 0.1)[:, :40]]
    )
    silence, spike, likelihood, boundary = fit_markov(SpikeRaster.from_dense(bits))
    for unit, row in enumerate(bits):

        def loss(point, row=row):
            a, c = 1 / (1 + np.exp(-np.asarray(point)))
            start = a / (a + 1 - c)
            chance = np.where(row[:-1], c, a)
            return -(
                np.log(start if row[0] else 1 - start)
                + np.log(np.where(row[1:], chance, 1 - chance)).sum()
            )

        best = minimize(
            loss,
            [0.0, 0.0],
            method="Nelder-Mead",
            options={"xatol": 1e-9, "fatol": 1e-12},
        )
        assert likelihood[unit] >= -best.fun - 1e-8
        if not boundary[unit]:
            np.testing.assert_allclose(
                [silence[unit], spike[unit]], 1 / (1 + np.exp(-best.x)), rtol=1e-5
            )


def test_the_process_that_made_the_bits_is_chosen_and_recovered():
    """Of 30 units each, AIC finds the maker of nearly all, and their means lie within
    standard errors.
    """
    rng = np.random.default_rng(8)
    n = 4000
    makers = {
        "bernoulli": rng.random((30, n)) < 0.3,
        "markov": markov_bits(rng, 30, n, 0.2, 0.5),
        "beta_binomial": clustered_bits(rng, 30, n // 50, 50, 0.3, 0.1),
    }
    for maker, bits in makers.items():
        fit = fit_processes(make_recording(bits), window=50)
        assert (fit["best_process"] == maker).sum() >= {
            "bernoulli": 18,
            "markov": 29,
            "beta_binomial": 29,
        }[maker]
        truth = {
            "bernoulli": {"bernoulli_p": 0.3},
            "markov": {"markov_after_silence": 0.2, "markov_after_spike": 0.5},
            "beta_binomial": {
                "beta_binomial_mean": 0.3,
                "beta_binomial_overdispersion": 0.1,
            },
        }[maker]
        for column, value in truth.items():
            error = fit[column].std() / np.sqrt(30)
            # Maximum likelihood of the overdispersion is biased by about 1 / windows.
            bias = 0.1 / (n // 50) if column.endswith("overdispersion") else 0.0
            assert abs(fit[column].mean() - value) < 3.5 * error + 2 * bias, column


@pytest.mark.parametrize("maker", ["bernoulli", "markov", "beta_binomial"])
def test_residual_checks_are_calibrated_under_the_process_that_made_the_bits(maker):
    """The right process is rejected in 5 % of units, within three standard errors, by
    both checks.
    """
    rng = np.random.default_rng(11)
    n_units, n = 600, 3000
    bits = {
        "bernoulli": lambda: rng.random((n_units, n)) < 0.2,
        "markov": lambda: markov_bits(rng, n_units, n, 0.2, 0.6),
        "beta_binomial": lambda: clustered_bits(rng, n_units, n // 30, 30, 0.3, 0.1),
    }[maker]()
    fit = fit_processes(make_recording(bits), window=30)
    checks = ["ljung_box_pvalue", "dispersion_pvalue"]
    if maker == "beta_binomial":
        assert fit[f"{maker}_{checks.pop()}"].isna().all()
    for check in checks:
        size = (fit[f"{maker}_{check}"] < 0.05).mean()
        assert abs(size - 0.05) < 3 * np.sqrt(0.05 * 0.95 / n_units), (check, size)


@pytest.mark.exhaustive
@pytest.mark.parametrize("p", [0.2, 0.5, 0.9])
@pytest.mark.parametrize(("n", "window"), [(1000, 20), (3000, 100)])
def test_sizes_of_residual_checks_are_the_stated_ones(p, n, window):
    """Over 1 500 trains of each process, the checks reject as often as the docstring
    says, within three errors.
    """
    rng = np.random.default_rng([n, int(100 * p)])
    stay = p + 0.3 * (1 - p)
    bits = {
        "bernoulli": rng.random((1500, n)) < p,
        "markov": markov_bits(rng, 1500, n, (1 - stay) * p / (1 - p), stay),
        "beta_binomial": clustered_bits(rng, 1500, -(-n // window), window, p, 0.05)[
            :, :n
        ],
    }
    limits = {
        ("bernoulli", "ljung_box_pvalue"): (0.04, 0.06),
        ("bernoulli", "dispersion_pvalue"): (0.04, 0.06),
        ("markov", "ljung_box_pvalue"): (0.04, 0.06),
        ("markov", "dispersion_pvalue"): (0.02, 0.05),
        ("beta_binomial", "ljung_box_pvalue"): (0.03, 0.06),
    }
    error = 3 * np.sqrt(0.05 * 0.95 / 1500)
    for maker, train in bits.items():
        fit = fit_processes(make_recording(train), window=window)
        for (name, check), (low, high) in limits.items():
            if name == "beta_binomial" and n // window < 50:
                assert fit["beta_binomial_ljung_box_pvalue"].isna().all()
            elif name == maker:
                assert (
                    low - error
                    <= (fit[f"{maker}_{check}"].dropna() < 0.05).mean()
                    <= high + error
                ), (maker, check)


def test_residual_checks_find_the_wrong_process():
    """A chain's memory and clustered counts are found in the residuals of a Bernoulli
    process.
    """
    rng = np.random.default_rng(12)
    chain = fit_processes(
        make_recording(markov_bits(rng, 20, 3000, 0.2, 0.6)), window=30
    )
    clustered = fit_processes(
        make_recording(clustered_bits(rng, 20, 100, 30, 0.3, 0.3)), window=30
    )
    assert (chain["bernoulli_ljung_box_pvalue"] < 1e-3).all()
    assert (clustered["bernoulli_dispersion_pvalue"] < 1e-3).all()
    assert (clustered["bernoulli_dispersion"] > 2).all()


def test_bernoulli_residuals_give_the_ljung_box_test_of_the_bits():
    """Of independent bits, the residual check is statsmodels' acorr_ljungbox of the
    train.
    """
    bits = np.random.default_rng(3).random((3, 500)) < 0.4
    fit = fit_processes(make_recording(bits), lags=7)
    theirs = [
        acorr_ljungbox(row.astype(float), lags=[7])["lb_pvalue"].iloc[0] for row in bits
    ]
    np.testing.assert_allclose(fit["bernoulli_ljung_box_pvalue"], theirs, rtol=1e-9)


def test_edges_of_the_parameter_space_are_flagged_and_never_fail():
    """Silent, saturated, alternating and single-spike trains have finite criteria and
    say where they lie.
    """
    bits = np.zeros((6, 60), bool)
    bits[1] = True
    bits[2, ::2] = True
    bits[3, 17] = True
    bits[4, 30:] = True
    bits[5, 59] = True
    fit = fit_processes(make_recording(bits), window=10)
    for process in PROCESSES:
        assert np.isfinite(fit[f"{process}_aic"]).all(), process
    assert fit["bernoulli_boundary"].to_list() == [
        True,
        True,
        False,
        False,
        False,
        False,
    ]
    assert fit["markov_boundary"].to_list() == [True, True, True, True, False, True]
    assert fit["beta_binomial_boundary"].to_list() == [
        True,
        True,
        True,
        True,
        True,
        True,
    ]
    assert fit["beta_binomial_overdispersion"][[2, 4]].to_list() == [0.0, 1e6]
    assert np.isinf(fit["poisson_rate"][1])
    assert fit["best_process"][2] == "markov"


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_the_shortest_trains_are_fitted(n):
    """Every train of one to five bits has finite criteria."""
    bits = ((np.arange(2**n)[:, None] >> np.arange(n)) & 1).astype(bool)
    fit = fit_processes(make_recording(bits), window=2)
    assert np.isfinite(
        fit[[f"{process}_aic" for process in PROCESSES]].to_numpy()
    ).all()


def test_phases_are_fitted_apart():
    """Each phase of a recording gives the rows it would give alone."""
    rng = np.random.default_rng(4)
    first, second = (
        make_recording(rng.random((3, n)) < 0.3, phases=name)
        for name, n in (("train", 300), ("test", 200))
    )
    both = fit_processes(Recording.concatenate([first, second]))
    alone = pd.concat([fit_processes(first), fit_processes(second)], ignore_index=True)
    pd.testing.assert_frame_equal(both, alone)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (
            lambda r: fit_processes(r.raster),
            InputTypeError,
            "needs a Recording, got SpikeRaster; .*from_raster",
        ),
        (
            lambda r: fit_processes(r, window=1),
            InputValueError,
            "window must be at least 2, got 1; a count over one bin is the bit",
        ),
        (
            lambda r: fit_processes(r, lags=1),
            InputValueError,
            "lags must be at least 2, got 1; one degree of freedom goes",
        ),
    ],
)
def test_bad_input_says_value_rule_and_remedy(call, error, words):
    """Each mistake is refused with words that name it."""
    with pytest.raises(error, match=words):
        call(make_recording(np.ones((1, 5), bool)))
