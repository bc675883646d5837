"""Processes fitted to several segments: transitions, windows and lags lie inside
them.
"""

import numpy as np
import pytest
from cut_sessions import session, side_by_side
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.stats import chi2

from ann2neo import counting_processes, fit_processes, simulate
from ann2neo.analysis.models.fit_processes import fit_beta_binomial, fit_markov
from ann2neo.raster import SegmentedRaster, SpikeRaster
from ann2neo.testing import make_recording


def pieces(bits, lengths):
    """The segments of a row of bits."""
    return np.split(bits, np.cumsum(lengths)[:-1])


def chain_log_likelihood(silence, spike, parts):
    """Log-probability of chains that each begin from the stationary distribution."""
    start = silence / (silence + 1 - spike)
    total = 0.0
    for bits in parts:
        given_past = np.where(bits[:-1], spike, silence)
        total += np.log(start if bits[0] else 1 - start)
        total += np.log(np.where(bits[1:], given_past, 1 - given_past)).sum()
    return total


@pytest.mark.parametrize("lengths", [[60], [20, 25, 15], [1, 2, 30, 1, 26]])
def test_a_chain_begins_in_every_segment(lengths):
    """The likelihood is that of chains of their own, and SciPy's optimiser finds no
    higher one.
    """
    bits = np.random.default_rng(3).random((2, 60)) < np.repeat([0.2, 0.6], 30)
    segments = SegmentedRaster(SpikeRaster.from_dense(bits), np.cumsum([0, *lengths]))
    silence, spike, likelihood, boundary = fit_markov(segments)
    for unit in range(2):
        parts = pieces(bits[unit], lengths)

        def loss(point, parts=parts):
            return -chain_log_likelihood(*(1 / (1 + np.exp(-point))), parts)

        best = minimize(loss, [0.0, 0.0], method="Nelder-Mead", tol=1e-12)
        np.testing.assert_allclose(likelihood[unit], -best.fun)
        np.testing.assert_allclose(
            [silence[unit], spike[unit]], 1 / (1 + np.exp(-best.x)), rtol=1e-4
        )
        assert not boundary[unit]


def checks_by_definition(bits, expected, lengths, window, lags, dependence):
    """Ljung-Box p-value and dispersion of residuals, segment by segment."""
    residual = (bits - expected) / np.sqrt(expected * (1 - expected))
    n, mean = len(bits), residual.mean()
    parts = pieces(residual, lengths)
    power = ((residual - mean) ** 2).sum()
    statistic = 0.0
    for lag in range(1, lags + 1):
        longer = [part - mean for part in parts if len(part) > lag]
        n_pairs = sum(len(part) - lag for part in longer)
        product = sum((part[lag:] * part[:-lag]).sum() for part in longer)
        statistic += (product / power) ** 2 / n_pairs
    windows = [
        part[first : first + window].sum()
        for part in parts
        for first in range(0, len(part) - window + 1, window)
    ]
    return (
        chi2.sf(n * (n + 2) * statistic, lags - dependence),
        np.var(windows, ddof=1) / window,
    )


@settings(max_examples=30, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 90), min_size=2, max_size=8).filter(
        lambda lengths: sum(lengths) > 120 and max(lengths) > 40
    ),
    seed=st.integers(0, 2**32 - 1),
)
def test_residuals_stay_inside_segments(lengths, seed):
    """Lags and windows of the residuals of every process, and its expectation from the
    bits before, are those of the segments one by one.
    """
    window, lags, n = 9, 3, sum(lengths)
    bits = np.random.default_rng(seed).random(n) < 0.4
    fit = fit_processes(side_by_side(bits[None], lengths), window=window, lags=lags)
    row = fit.iloc[0]
    parts = pieces(bits, lengths)
    silence, spike = row["markov_after_silence"], row["markov_after_spike"]
    start = silence / (silence + 1 - spike)
    chain = np.concatenate(
        [np.append(start, np.where(part[:-1], spike, silence)) for part in parts]
    )
    mean, over = row["beta_binomial_mean"], row["beta_binomial_overdispersion"]
    urn = []
    for part in parts:
        for first in range(0, len(part), window):
            inside = part[first : first + window]
            before = np.cumsum(inside) - inside
            urn.append((mean + before * over) / (1 + np.arange(len(inside)) * over))
    expected = {
        "bernoulli": np.full(n, bits.mean()),
        "markov": chain,
        "beta_binomial": np.concatenate(urn),
    }
    for name, given_past in expected.items():
        pvalue, dispersion = checks_by_definition(
            bits, given_past, lengths, window, lags, int(name != "bernoulli")
        )
        np.testing.assert_allclose(row[f"{name}_dispersion"], dispersion, rtol=1e-9)
        if name != "beta_binomial":
            np.testing.assert_allclose(row[f"{name}_ljung_box_pvalue"], pvalue)


def test_counts_are_those_of_windows_inside_segments():
    """Windows of the beta-binomial fit begin anew in each segment; what is left over at
    its end is a shorter window, as if the segments were fitted windows of one train.
    """
    rng = np.random.default_rng(4)
    rates = np.repeat(rng.beta(1.0, 2.0, 40), 10)
    bits = rng.random((1, 400)) < rates
    whole = fit_beta_binomial(SpikeRaster.from_dense(bits), 10)
    # The same windows, with empty stretches between them in the recording.
    gapped = np.ones((1, 800), bool)
    inside = np.arange(800) % 40 < 20
    gapped[:, inside] = bits
    starts = np.arange(0, 800, 40)
    cut = session(gapped, starts, starts + 20)
    fit = fit_processes(cut, window=10)
    np.testing.assert_allclose(fit["beta_binomial_mean"], whole[0])
    np.testing.assert_allclose(fit["beta_binomial_overdispersion"], whole[1])
    np.testing.assert_allclose(fit["beta_binomial_log_likelihood"], whole[2])


def test_trials_alternate_when_their_borders_are_left_out():
    """Trials that each begin and end with a spike, and alternate in between, are chains
    that never repeat a bit, whatever meets at their borders.
    """
    trial = np.arange(21) % 2 == 0
    fit = fit_processes(side_by_side(np.tile(trial, 30)[None], [21] * 30), lags=4)
    assert fit["markov_after_spike"][0] == pytest.approx(0)
    assert fit["markov_after_silence"][0] == pytest.approx(1)
    assert fit["markov_boundary"][0]
    simulated = simulate(fit, process="markov", seed=0)
    assert simulated.n_time_bins == 630
    one = fit_processes(make_recording(np.tile(trial, 30)[None]), lags=4)
    assert one["markov_after_spike"][0] > 0.05


def test_counting_processes_fit_segments_and_count_through_them():
    """Spikes are counted through the segments set side by side, and the processes are
    those fitted inside them.
    """
    trial = np.arange(21) % 2 == 0
    bits = np.zeros((1, 30 * 25), bool)
    inside = np.arange(bits.size) % 25 < 21
    bits[0, inside] = np.tile(trial, 30)
    bits[0, ~inside] = True
    starts = np.arange(0, bits.size, 25)
    table = counting_processes(
        session(bits, starts, starts + 21),
        process="markov",
        n_simulations=5,
        n_points=9,
        seed=0,
    )
    assert table["time_bin"].to_list()[-1] == 630
    assert table["observed"].to_list()[-1] == 330
    # A chain that always leaves its state spikes in every other bin.
    np.testing.assert_allclose(table["simulated"], table["time_bin"] / 2, atol=1)
