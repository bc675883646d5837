"""Nulls of sparse trains against counting every possibility."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats
from trains import recording_of, train

import ann2neo
from ann2neo.analysis.units.nulls import (
    N_DRAWS,
    LjungBoxNull,
    WindowNull,
    few_windows_null,
    ljung_box_null,
    upper_tail,
    window_null,
)
from ann2neo.analysis.units.trend import excursion_pvalue

# Five standard errors of a share estimated from N_DRAWS draws: a right null fails once
# in two million checks.
TOLERANCE = 5 * math.sqrt(0.25 / N_DRAWS)


def placements(n_time_bins, n_spikes):
    """Every train of so many spikes."""
    for bins in itertools.combinations(range(n_time_bins), n_spikes):
        x = np.zeros(n_time_bins, int)
        x[list(bins)] = 1
        yield x


def same_distribution(draws, exact):
    """Whether the empirical distribution of sorted draws keeps close to the exact one
    everywhere.
    """
    values = np.unique(np.round(exact, 9))
    drawn = np.searchsorted(draws, values + 1e-6, side="right") / len(draws)
    true = np.searchsorted(np.sort(exact), values + 1e-6, side="right") / len(exact)
    return np.abs(drawn - true).max() < TOLERANCE


@pytest.mark.parametrize(
    ("n_windows", "window", "n_spikes"),
    [(4, 3, 1), (4, 3, 4), (3, 5, 6), (2, 6, 5), (5, 2, 5)],
)
def test_the_window_null_is_the_multivariate_hypergeometric(
    n_windows, window, n_spikes
):
    """Drawn sums of squared counts follow the distribution over all placements of the
    spikes.
    """
    exact = [
        np.square(x.reshape(n_windows, window).sum(axis=1)).sum()
        for x in placements(n_windows * window, n_spikes)
    ]
    assert same_distribution(
        WindowNull(n_windows, window).squares(n_spikes), np.array(exact, float)
    )


@pytest.mark.parametrize(
    ("n_windows", "window", "n_spikes"), [(4, 3, 4), (2, 6, 5), (3, 5, 6)]
)
def test_both_ways_to_draw_window_counts_agree(n_windows, window, n_spikes):
    """Drawing the counts of a few windows at once gives the distribution over all
    placements too.
    """
    trains = placements(n_windows * window, n_spikes)
    exact = [np.square(x.reshape(n_windows, window).sum(axis=1)).sum() for x in trains]
    assert same_distribution(
        few_windows_null(n_windows, window, n_spikes), np.array(exact, float)
    )


@pytest.mark.parametrize(
    ("n_time_bins", "n_spikes", "lags"),
    [(12, 1, 3), (12, 3, 3), (14, 5, 10), (10, 5, 2)],
)
def test_the_ljung_box_null_is_the_permutation_distribution(
    n_time_bins, n_spikes, lags
):
    """Drawn Ljung-Box statistics follow the distribution over all placements of the
    spikes.
    """
    from statsmodels.stats.diagnostic import acorr_ljungbox

    exact = [
        acorr_ljungbox(x.astype(float), lags=[lags])["lb_stat"].iloc[0]
        for x in placements(n_time_bins, n_spikes)
    ]
    assert same_distribution(
        LjungBoxNull(n_time_bins, lags).statistics(n_spikes), np.array(exact)
    )


def test_nulls_do_not_depend_on_what_was_asked_before():
    """Asking for many spikes first gives the same null for few, and a fresh null the
    same again.
    """
    first, second = LjungBoxNull(300, 10), LjungBoxNull(300, 10)
    first.statistics(40)
    np.testing.assert_array_equal(first.statistics(7), second.statistics(7))
    wide, narrow = WindowNull(30, 10), WindowNull(30, 10)
    wide.squares(60)
    np.testing.assert_array_equal(wide.squares(5), narrow.squares(5))


def test_a_block_of_cells_gives_the_same_draws():
    """The null of a short recording, kept in a block of cells, is the one that lists of
    spikes give.
    """
    block = LjungBoxNull(60, 7)
    lists = LjungBoxNull(60, 7, block_bytes=0)
    assert type(block._draws) is not type(lists._draws)
    for n_spikes in (1, 2, 9, 30):
        np.testing.assert_array_equal(
            block.statistics(n_spikes), lists.statistics(n_spikes)
        )


def over_segments(x, lengths, lags):
    """Ljung-Box of a train in segments, by definition."""
    n, p = len(x), x.mean()
    pieces = np.split(x - p, np.cumsum(lengths)[:-1])
    total = 0.0
    for lag in range(1, lags + 1):
        covariance = sum((s[lag:] * s[: max(0, len(s) - lag)]).sum() for s in pieces)
        n_pairs = sum(max(0, length - lag) for length in lengths)
        total += (covariance / (n * p * (1 - p))) ** 2 / n_pairs
    return n * (n + 2) * total


@pytest.mark.parametrize("block_bytes", [0, 1 << 26])
@pytest.mark.parametrize(
    ("lengths", "n_spikes", "lags"),
    [((6, 6), 3, 3), ((3, 7, 2), 4, 5), ((1, 9, 1, 1), 2, 2)],
)
def test_the_null_of_segments_counts_no_pair_across_a_border(
    lengths, n_spikes, lags, block_bytes
):
    """Over segments too, drawn statistics follow the distribution over all
    placements.
    """
    exact = [
        over_segments(x, lengths, lags) for x in placements(sum(lengths), n_spikes)
    ]
    null = LjungBoxNull(lengths, lags, block_bytes=block_bytes)
    assert same_distribution(null.statistics(n_spikes), np.array(exact))


def test_one_segment_draws_what_a_number_of_bins_draws():
    """A tuple of one length is the null of so many bins, to the last bit."""
    np.testing.assert_array_equal(
        LjungBoxNull((300,), 10).statistics(20), LjungBoxNull(300, 10).statistics(20)
    )


def test_nulls_are_made_once():
    """The same sizes give the same object."""
    assert ljung_box_null(321, 4) is ljung_box_null(321, 4)
    assert window_null(32, 4) is window_null(32, 4)


def test_the_upper_tail_counts_ties():
    """A value that equals draws but for rounding is as large as they are."""
    null = np.sort(np.array([1.0, 2.0, 2.0, 3.0]))
    assert upper_tail(null, 2.0 + 1e-12) == (1 + 3) / 5
    assert upper_tail(null, 3.1) == 1 / 5
    assert upper_tail(null, 0.0) == 1.0


@pytest.mark.parametrize(
    ("n_time_bins", "n_spikes"), [(5, 1), (8, 4), (9, 2), (12, 5), (13, 6)]
)
def test_the_excursion_pvalue_counts_placements(n_time_bins, n_spikes):
    """The exact p-value of every excursion is the share of placements that stray at
    least so far.
    """
    k = np.arange(1, n_time_bins + 1)
    strays = [
        int(np.abs(n_time_bins * x.cumsum() - k * n_spikes).max())
        for x in placements(n_time_bins, n_spikes)
    ]
    for stray in sorted(set(strays)):
        share = np.mean(np.array(strays) >= stray)
        assert excursion_pvalue(n_spikes, n_time_bins, stray) == pytest.approx(
            share, abs=1e-12
        )
        assert excursion_pvalue(
            n_time_bins - n_spikes, n_time_bins, stray
        ) == pytest.approx(share, abs=1e-12)


@pytest.mark.parametrize("n_spikes", [3, 77, 400])
def test_the_excursion_pvalue_is_scipys_exact_two_sample_test(n_spikes):
    """On 3 000 bins the exact p-value is SciPy's Kolmogorov-Smirnov test between bins
    with and without spike.
    """
    rng = np.random.default_rng(n_spikes)
    x = np.zeros(3000, int)
    x[rng.choice(3000, n_spikes, replace=False)] = 1
    stray = int(np.abs(3000 * x.cumsum() - np.arange(1, 3001) * n_spikes).max())
    exact = stats.ks_2samp(
        np.flatnonzero(x), np.flatnonzero(x == 0), method="exact"
    ).pvalue
    assert excursion_pvalue(n_spikes, 3000, stray) == pytest.approx(exact, abs=1e-10)


@pytest.mark.parametrize("kind", ["bernoulli", "bursty", "few"])
def test_spikes_and_empty_bins_change_places(kind):
    """A train and its complement have the same p-values of dispersion, serial
    dependence and trend.
    """
    x = train(kind, 1000, 0.15, 8)
    table = ann2neo.analyze(
        recording_of(x, ~x), statistics=["dispersion", "ljung_box", "trend"]
    )
    for name in (
        "dispersion_pvalue",
        "dispersion_pvalue_upper",
        "ljung_box_pvalue",
        "trend_pvalue",
    ):
        assert table[name].iloc[0] == pytest.approx(table[name].iloc[1], rel=1e-9)


def test_each_null_says_its_name():
    """Sparse units are tested by Monte Carlo and permutation, dense ones by the
    asymptotic nulls.
    """
    rng = np.random.default_rng(0)
    sparse, dense = np.zeros(5000, bool), rng.random(5000) < 0.5
    sparse[rng.choice(5000, 150, replace=False)] = True
    table = ann2neo.analyze(recording_of(sparse, dense))
    assert table["dispersion_method"].to_list() == ["Monte Carlo", "chi-square"]
    assert table["ljung_box_method"].to_list() == ["permutation", "chi-square"]
    assert table["trend_method"].to_list() == ["exact permutation", "Kolmogorov"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n_spikes", "dispersion", "serial"),
    [
        (200, "Monte Carlo", "permutation"),
        (201, "chi-square", "permutation"),
        (499, "chi-square", "permutation"),
        (500, "chi-square", "chi-square"),
    ],
)
def test_nulls_change_at_their_limits(n_spikes, dispersion, serial):
    """Dispersion takes Monte Carlo up to 200 spikes, Ljung-Box permutations
    below 500.
    """
    x = np.zeros(2000, bool)
    x[np.random.default_rng(1).choice(2000, n_spikes, replace=False)] = True
    row = ann2neo.analyze(recording_of(x)).iloc[0]
    assert (row["dispersion_method"], row["ljung_box_method"]) == (dispersion, serial)
