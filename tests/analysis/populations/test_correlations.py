"""Counts of joint spikes give the correlations, complexities and dimensions of NumPy,
Elephant and theory.
"""

import numpy as np
import pandas as pd
import pytest
import quantities as pq
from cut_sessions import session
from elephant.conversion import BinnedSpikeTrain
from elephant.spike_train_correlation import correlation_coefficient
from elephant.statistics import Complexity
from scipy.stats import binom

from ann2neo import (
    InputTypeError,
    InputValueError,
    Recording,
    to_neo,
)
from ann2neo.analysis.populations.correlations import (
    _correlations,
    _independent_bins,
    complexity,
    correlation_matrix,
    correlations,
    participation_ratio,
)
from ann2neo.raster import SpikeRaster
from ann2neo.recording.segments import segmented_phases
from ann2neo.testing import make_recording


@pytest.fixture
def layer():
    """A layer of 13 units, two of which never vary, with labels and common input."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 701)
    tuning = rng.normal(size=(4, 13))
    common = rng.normal(size=(701, 1))
    activations = tuning[labels] + 0.7 * common + rng.normal(size=(701, 13))
    activations[:, 3], activations[:, 8] = -1.0, 1.0
    return Recording.from_activations(activations, labels=labels, phase="test")


def active_pairs(recording, matrix):
    counts = recording.raster.spike_counts()
    active = (counts > 0) & (counts < recording.n_time_bins)
    return matrix[np.triu(np.outer(active, active), 1)]


def test_elephant_and_ours_side_by_side(layer):
    """Elephant on to_neo's spike trains gives our correlations to 1e-12 and our
    complexity histogram exactly.
    """
    trains = list(to_neo(layer).segments[0].spiketrains)
    with np.errstate(invalid="ignore"):
        theirs = correlation_coefficient(BinnedSpikeTrain(trains, bin_size=1 * pq.ms))
    ours = correlation_matrix(layer)
    varying = np.delete(np.arange(13), [3, 8])
    np.testing.assert_allclose(
        ours[np.ix_(varying, varying)],
        theirs[np.ix_(varying, varying)],
        rtol=0,
        atol=1e-12,
    )
    assert np.isnan(ours[[3, 8]]).all()
    histogram = Complexity(trains, bin_size=1 * pq.ms).complexity_histogram
    counts = complexity(layer)["n_time_bins"].to_numpy()
    np.testing.assert_array_equal(counts[: len(histogram)], histogram)
    assert counts[len(histogram) :].sum() == 0


@pytest.mark.parametrize("block", [1, 5, 1024])
def test_the_distribution_over_pairs_is_that_of_the_matrix(layer, block):
    """Streamed block by block, every number equals the one taken from NumPy's
    matrix.
    """
    dense = layer.raster.to_dense().astype(float)
    with np.errstate(invalid="ignore"):
        matrix = np.corrcoef(dense)
    pairs = active_pairs(layer, matrix)
    raster, (phase,) = layer.raster, segmented_phases(layer)
    found = _correlations(
        raster,
        phase,
        raster.spike_counts(),
        None,
        _independent_bins(phase.n_time_bins),
        block_units=block,
    )
    assert (found.n_pairs, found.n_silent, found.n_saturated) == (55, 1, 1)
    np.testing.assert_allclose(found.mean, pairs.mean())
    np.testing.assert_allclose(found.std, pairs.std())
    np.testing.assert_allclose(found.mean_absolute, np.abs(pairs).mean())
    np.testing.assert_allclose(found.null_std, 1 / np.sqrt(700))
    np.testing.assert_allclose(
        found.share_beyond_null, (np.abs(pairs) > 1.96 / np.sqrt(700)).mean()
    )
    np.testing.assert_array_equal(
        found.histogram_counts, np.histogram(pairs, found.histogram_edges)[0]
    )
    inside = np.delete(np.delete(matrix, [3, 8], 0), [3, 8], 1)
    np.testing.assert_allclose(
        np.delete(found.unit_mean, [3, 8]), (inside.sum(axis=1) - 1) / 10
    )
    covariance = np.cov(dense)
    ratio = np.trace(covariance) ** 2 / (covariance**2).sum()
    np.testing.assert_allclose(
        [found.participation_ratio, participation_ratio(layer.raster)], ratio
    )


def test_tuning_and_the_rest_are_what_permuting_within_labels_gives(layer):
    """Over 100 permutations within labels, mean correlations and their spread come out
    as predicted.
    """
    rng = np.random.default_rng(1)
    dense, labels = layer.raster.to_dense(), layer.presentations["label"].to_numpy()
    means, within, residuals = [], [], dense.astype(float)
    for label in range(4):
        residuals[:, labels == label] -= residuals[:, labels == label].mean(
            axis=1, keepdims=True
        )
    for _ in range(100):
        shuffled = dense.copy()
        for label in range(4):
            shuffled[:, labels == label] = rng.permuted(
                dense[:, labels == label], axis=1
            )
        found = correlations(
            Recording.from_activations(shuffled.T, labels=labels, order="random")
        )
        means.append(found.mean)
        within.append(found.within_label_std**2 + found.within_label_mean**2)
    found = correlations(layer)
    assert abs(np.mean(means) - found.tuning_mean) < 4 * np.std(means) / 10
    assert (
        abs(np.mean(within) - found.within_label_null_std**2) < 4 * np.std(within) / 10
    )
    with np.errstate(invalid="ignore"):
        pairs = active_pairs(layer, np.corrcoef(residuals))
    np.testing.assert_allclose(found.within_label_mean, pairs.mean())
    np.testing.assert_allclose(found.within_label_std, pairs.std())
    assert found.mean > found.tuning_mean + 0.05


@pytest.mark.parametrize(
    "n", [60_000, 200_000, pytest.param(1_000_000, marks=pytest.mark.slow)]
)
def test_long_recordings_have_the_tuning_of_short_ones(n):
    """The correlation due to tuning is that of the labels' means by definition, also
    where a product of spike counts no longer fits 64 bits.
    """
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 10, n)
    preferred = np.cos(2 * np.pi * (labels / 10 - np.arange(4)[:, None] / 8))
    bits = rng.random((4, n)) < np.clip(0.5 + 0.4 * preferred, 0, 1)
    found = correlations(
        Recording.from_activations(bits.T.astype(float), labels=labels)
    )
    shares = np.bincount(labels) / n
    means = np.array([bits[:, labels == label].mean(axis=1) for label in range(10)]).T
    covariance = (means * shares) @ means.T - np.outer(means @ shares, means @ shares)
    spread = bits.std(axis=1)
    expected = (covariance / np.outer(spread, spread))[np.triu_indices(4, 1)].mean()
    assert found.tuning_mean == pytest.approx(expected)
    assert found.tuning_mean == pytest.approx(0.076, abs=0.002)


@pytest.mark.slow
def test_two_units_of_one_tuning_share_its_variance():
    """Over a million bins of ten labels with rates from 0.1 to 0.9, the correlation due
    to tuning is the variance of the rates over that of the bits.
    """
    labels, rates = np.arange(1_000_000) % 10, np.linspace(0.1, 0.9, 10)
    bits = np.random.default_rng(0).random((1_000_000, 2)) < rates[labels][:, None]
    found = correlations(Recording.from_activations(bits.astype(float), labels=labels))
    assert found.tuning_mean == pytest.approx(rates.var() / 0.25, abs=0.003)
    assert found.tuning_mean == pytest.approx(0.261, abs=0.003)


def test_segments_are_pooled_whatever_lies_between_them():
    """The numbers of a phase of several segments are those of its bins, without the
    bins between them.
    """
    rng = np.random.default_rng(2)
    bits = rng.random((6, 300)) < 0.3
    inside = np.zeros(300, bool)
    inside[20:90] = inside[130:200] = inside[200:280] = True
    bits[:, ~inside] = True
    cut = session(bits, [20, 130, 200], [90, 200, 280])
    alone = make_recording(bits[:, inside], phases="session")
    np.testing.assert_array_equal(correlation_matrix(cut), correlation_matrix(alone))
    pd.testing.assert_frame_equal(complexity(cut), complexity(alone))
    names = ("mean", "std", "participation_ratio", "share_beyond_null", "n_time_bins")
    found, expected = correlations(cut), correlations(alone)
    assert [getattr(found, n) for n in names] == [getattr(expected, n) for n in names]


def test_independent_units_meet_the_analytic_null():
    """Of 200 independent units, correlations have mean 0, the predicted spread, tails
    and dimensionality.
    """
    rng = np.random.default_rng(3)
    found = correlations(make_recording(rng.random((200, 2000)) < rng.random((200, 1))))
    n_pairs = 200 * 199 / 2
    assert abs(found.mean) < 4 * found.null_std / np.sqrt(n_pairs)
    np.testing.assert_allclose(found.std, found.null_std, rtol=4 / np.sqrt(2 * n_pairs))
    assert abs(found.share_beyond_null - 0.05) < 4 * np.sqrt(0.05 * 0.95 / n_pairs)
    np.testing.assert_allclose(
        found.participation_ratio, found.participation_ratio_independent, rtol=0.01
    )


def test_the_permutation_moments_of_a_correlation_are_exact():
    """Over all arrangements of one of two trains, the correlation has mean 0 and
    variance 1 / (N - 1).
    """
    from itertools import combinations

    fixed = np.array([1, 1, 0, 0, 0, 1, 0], bool)
    rows = np.zeros((35, 7), bool)
    for row, chosen in zip(rows, combinations(range(7), 3), strict=True):
        row[list(chosen)] = True
    values = correlation_matrix(make_recording(np.vstack([fixed, rows])))[0, 1:]
    np.testing.assert_allclose([values.mean(), values.var()], [0, 1 / 6], atol=1e-14)


def test_complexity_of_independent_units_is_binomial():
    """With equal rates the independent distribution is the binomial one, and every
    phase sums to one.
    """
    rng = np.random.default_rng(4)
    bits = np.array([rng.permutation(np.arange(400) < 100) for _ in range(30)])
    table = complexity(make_recording(bits))
    np.testing.assert_allclose(
        table["probability_independent"], binom.pmf(np.arange(31), 30, 0.25), atol=1e-14
    )
    np.testing.assert_array_equal(
        table["n_time_bins"], np.bincount(bits.sum(axis=0), minlength=31)
    )
    assert table["probability"].sum() == pytest.approx(1)
    assert (table["probability"] * table["complexity"]).sum() == pytest.approx(7.5)


@pytest.mark.parametrize("shape", [(0, 5), (1, 5), (2, 1), (3, 4)])
def test_nothing_to_correlate_is_no_error(shape):
    """Without a varying pair the numbers are NaN, and no warning is raised."""
    recording = make_recording(np.ones(shape, bool))
    found = correlations(recording)
    assert found.n_pairs == 0
    assert np.isnan(
        [found.mean, found.std, found.share_beyond_null, found.participation_ratio]
    ).all()
    assert np.isnan(participation_ratio(recording.raster))
    assert correlation_matrix(recording).shape == (shape[0], shape[0])
    assert len(complexity(recording)) == shape[0] + 1


@pytest.mark.parametrize("function", [correlations, correlation_matrix])
@pytest.mark.parametrize(
    ("phase", "error", "words"),
    [
        (
            None,
            InputValueError,
            "say which phase, as phase=...; this recording has 'test', 'train'",
        ),
        (
            "tset",
            InputValueError,
            "unknown phase 'tset'; this recording has 'test', 'train'",
        ),
    ],
)
def test_the_phase_must_be_clear(layer, function, phase, error, words):
    """With two phases one has to be named, and named right."""
    both = Recording.concatenate([layer, layer.with_phase_names({"test": "train"})])
    with pytest.raises(error, match=words):
        function(both, phase=phase)


@pytest.mark.parametrize("function", [correlations, correlation_matrix, complexity])
def test_only_recordings_are_populations(layer, function):
    """A raster is refused, with the way to wrap it."""
    with pytest.raises(
        InputTypeError,
        match=(
            r"needs a Recording, got SpikeRaster; wrap spikes with"
            r" Recording.from_raster"
        ),
    ):
        function(layer.raster)


def markov_units(n_units, n_time_bins, rng):
    """Independent units that repeat their bin before with a probability of a half."""
    stays = rng.random((n_units, n_time_bins)) < 0.5
    drawn = rng.random((n_units, n_time_bins)) < 0.5
    # The last bin that was drawn anew is the one that counts.
    place = np.where(stays, 0, np.arange(n_time_bins))
    return np.take_along_axis(drawn, np.maximum.accumulate(place, axis=1), axis=1)


def test_unrelated_units_that_remember_are_not_called_related():
    """Outside a random order, circular shifts are the null distribution: of
    independent Markov units 5 % of the pairs exceed it, of independent bins' 13 %.
    """
    rng = np.random.default_rng(0)
    shares = {"unknown": [], "random": []}
    for order, of_order in shares.items():
        for _ in range(8):
            raster = SpikeRaster.from_dense(markov_units(64, 3000, rng))
            found = correlations(Recording.from_raster(raster, order=order))
            of_order.append(found.share_beyond_null)
        shuffled = order == "random"
        assert found.null_distribution == (
            "independent bins" if shuffled else "circular shifts"
        )
    assert 0.04 < np.mean(shares["unknown"]) < 0.065
    assert 0.11 < np.mean(shares["random"]) < 0.16


def test_a_random_order_of_longer_presentations_is_no_order_of_bins():
    """Where presentations last longer than a bin, units may remember inside them."""
    dense = np.random.default_rng(1).random((4, 60)) < 0.4
    edges = np.arange(0, 61, 6)
    shown = pd.DataFrame({"start_bin": edges[:-1], "stop_bin": edges[1:]})
    recording = Recording.from_raster(
        SpikeRaster.from_dense(dense), presentations=shown, order="random"
    )
    assert correlations(recording).null_distribution == "circular shifts"
