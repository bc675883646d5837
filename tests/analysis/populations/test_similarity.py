"""Similarity of two recordings: oracles, known truth, calibration, mistakes."""

import itertools

import numpy as np
import pandas as pd
import pytest
from response_models import Network

from ann2neo import Recording, dissimilarities, explain, similarity, to_rsatoolbox
from ann2neo.analysis.populations.similarity import COLUMNS
from ann2neo.errors import InputTypeError, InputValueError


def two_networks(n_items=60, *, noise=0.0, repeats=1, seed=0, shared=True):
    """Recordings of two networks of 40 and 50 units, of the same stimuli or of none."""
    rng = np.random.default_rng(seed)
    shown, others = rng.normal(size=(2, n_items, 4))
    others = shown if shared else others
    options = {"noise": noise, "rng": rng, "repeats": repeats}
    return (
        Network(4, 40, rng).record(shown, **options),
        Network(4, 50, rng).record(others, **options),
    )


@pytest.mark.parametrize("comparison", ["spearman", "pearson"])
@pytest.mark.parametrize("dissimilarity", ["correlation", "euclidean"])
def test_rsa_as_rsatoolbox(comparison, dissimilarity):
    """RSA is what rsatoolbox makes of the same responses; to it, equal dissimilarities
    may differ by rounding, which gives them other ranks.
    """
    from rsatoolbox.rdm import calc_rdm, compare

    pair = two_networks(30)
    row = similarity(
        *pair,
        "rsa",
        dissimilarity=dissimilarity,
        comparison=comparison,
        n_permutations=1,
    ).iloc[0]
    rdms = [
        calc_rdm(to_rsatoolbox(one), method=dissimilarity, descriptor="stimulus_id")
        for one in pair
    ]
    for rdm in rdms:
        rdm.dissimilarities = rdm.dissimilarities.round(12)
    method = {"pearson": "corr"}.get(comparison, comparison)
    assert row["similarity"] == pytest.approx(compare(*rdms, method=method)[0, 0])


def unbiased_cka(x, y):
    """Unbiased linear CKA, written as Song et al. (2012) define its terms."""
    grams = [responses @ responses.T for responses in (x, y)]
    for gram in grams:
        np.fill_diagonal(gram, 0)

    def hsic(a, b):
        n, one = len(a), np.ones(len(a))
        return (
            np.trace(a @ b)
            + one @ a @ one * (one @ b @ one) / ((n - 1) * (n - 2))
            - 2 / (n - 2) * (one @ a @ b @ one)
        ) / (n * (n - 3))

    k, m = grams
    return hsic(k, m) / np.sqrt(hsic(k, k) * hsic(m, m))


def in_order(recording):
    """Responses of a recording of one presentation per stimulus, stimulus by unit."""
    return recording.in_stimulus_order().raster.to_dense().T.astype(float)


def test_cka_by_definition():
    """CKA is the ratio of unbiased estimates of HSIC."""
    pair = two_networks(25)
    row = similarity(*pair, "cka", n_permutations=1).iloc[0]
    assert row["similarity"] == pytest.approx(unbiased_cka(*map(in_order, pair)))


@pytest.mark.parametrize("repeats", [1, 3])
@pytest.mark.parametrize("measure", ["rsa", "cka"])
def test_many_items_as_few(measure, repeats):
    """Where matrices of items are too large, the similarity comes out the same from
    those of units, from bits and from means.
    """
    pair = two_networks(80, noise=0.5, repeats=repeats)
    few, many = (
        similarity(*pair, measure, most_items=most, n_permutations=9).iloc[0]
        for most in (1000, 50)
    )
    assert many["similarity"] == pytest.approx(few["similarity"], abs=1e-12)
    assert (few["null_items"], many["null_items"]) == (80, 50)
    assert few["null"] == "permutations"
    by_moments = measure == "cka"
    assert many["null"] == ("moments" if by_moments else "permutations of a subsample")


def test_bits_and_counts_mixed():
    """CKA of bits with means is that of the same numbers, among many items as among
    few.
    """
    one, other = two_networks(80, noise=0.5, repeats=2)
    alone = one.select(presentations=np.arange(80))
    few, many = (
        similarity(alone, other, "cka", most_items=most, n_permutations=9).iloc[0]
        for most in (100, 50)
    )
    assert many["similarity"] == pytest.approx(few["similarity"], abs=1e-12)


def test_moments_are_exact():
    """Over all permutations, unbiased CKA has mean 0 and variance 2 / (n (n - 3))."""
    rng = np.random.default_rng(0)
    x, y = rng.random((7, 5)), rng.random((7, 3))
    values = [
        unbiased_cka(x, y[list(order)]) for order in itertools.permutations(range(7))
    ]
    assert np.mean(values) == pytest.approx(0, abs=1e-12)
    assert np.var(values) == pytest.approx(2 / (7 * 4))


def test_the_same_responses_are_perfectly_similar():
    """A recording and itself in another order have similarity 1 in all measures."""
    one, _ = two_networks(30)
    table = similarity(one, one.in_stimulus_order(), n_permutations=99)
    np.testing.assert_allclose(table["similarity"], 1.0)
    np.testing.assert_allclose(table[["low", "high"]], 1.0)
    assert (table["pvalue"] == 0.01).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    "dissimilarity", ["correlation", "euclidean", "hamming", "crossvalidated"]
)
def test_noisy_copies_reach_the_ceiling_and_strangers_the_null(dissimilarity):
    """Two noisy copies of one network are as similar as their ceiling says; a network
    that saw other stimuli under the same names is within its null distribution.
    """
    rng = np.random.default_rng(1)
    network, shown = Network(4, 80, rng), rng.normal(size=(60, 4))
    noisy = {"noise": 1.5, "rng": rng, "repeats": 8}
    one, copy = (network.record(shown, **noisy) for _ in range(2))
    stranger = Network(4, 80, rng).record(rng.normal(size=(60, 4)), **noisy)
    options = {"dissimilarity": dissimilarity, "n_permutations": 199}
    table = similarity(one, copy, **options)
    np.testing.assert_allclose(table["similarity"], table["ceiling"], atol=0.02)
    assert (table["ceiling"] < 0.99).all()
    assert (table["ceiling_of"] == "both").all()
    assert (table["pvalue"] == 0.005).all()
    table = similarity(one, stranger, **options)
    assert (table["similarity"].abs() < 3.5 * table["null_std"]).all()
    assert (table["ceiling"] > 0.9).all()


def test_the_ceiling_counts_the_noise_of_one_recording():
    """Beside a recording without repeats, the ceiling is the root of one reliability,
    and says of which.
    """
    one, other = two_networks(40, noise=1.0, repeats=4)
    single = other.select(presentations=np.arange(40))
    row = similarity(single, one, "cka", n_permutations=1).iloc[0]
    assert row["ceiling_of"] == "second"
    assert np.isnan(row["reliability_first"])
    assert row["ceiling"] == pytest.approx(np.sqrt(row["reliability_second"]))
    row = similarity(single, single, "cka", n_permutations=1).iloc[0]
    assert row["ceiling_of"] == ""
    assert np.isnan(row["ceiling"])


@pytest.mark.slow
def test_pvalues_of_unrelated_networks_are_uniform():
    """p-values of RSA and CKA by permutations, and of CKA by moments, reject unrelated
    networks in 5 % of the cases.
    """
    pvalues, by_moments = [], []
    for seed in range(400):
        pair = two_networks(40, noise=0.5, seed=seed, shared=False)
        table = similarity(*pair, n_permutations=99, seed=seed)
        pvalues.append(table["pvalue"].to_numpy())
        pair = two_networks(120, noise=0.5, seed=seed, shared=False)
        row = similarity(*pair, "cka", most_items=60, seed=seed).iloc[0]
        by_moments.append(row["pvalue"])
    rejected = np.mean(np.column_stack([*np.transpose(pvalues), by_moments]) <= 0.05, 0)
    # Three standard errors of a share of 5 % in 400 cases.
    assert (rejected < 0.05 + 0.033).all()
    assert (rejected > 0.05 - 0.033).all()


@pytest.mark.slow
@pytest.mark.parametrize(("n_items", "noise"), [(20, 3.0), (60, 0.5), (60, 3.0)])
def test_intervals_cover_the_similarity_over_all_stimuli(n_items, noise):
    """The interval holds the similarity over other stimuli of the kind in 93 to 100 %
    of the cases, of few and many stimuli, of similar and of noisy responses.
    """
    rng = np.random.default_rng(0)
    networks = Network(4, 50, rng), Network(4, 80, rng)

    def pair(n):
        shown = rng.normal(size=(n, 4))
        return [one.record(shown, noise=noise, rng=rng) for one in networks]

    options = {"comparison": "pearson", "n_permutations": 1}
    truth = np.mean(
        [similarity(*pair(1000), **options)["similarity"] for _ in range(4)], axis=0
    )
    covered = []
    for seed in range(120):
        table = similarity(*pair(n_items), **options, seed=seed)
        covered.append((table["low"] <= truth) & (truth <= table["high"]))
    assert (np.mean(covered, axis=0) >= 0.90).all()


def test_unmatched_presentations_are_counted():
    """Stimuli of one recording only, and presentations without a stimulus, are left out
    and counted; the rest gives what it gives alone.
    """
    one, other = two_networks(30)
    ids = one.presentations["stimulus_id"].to_numpy()
    renamed = Recording.from_activations(
        one.raster.to_dense().T, 0.5, stimulus_id=np.where(ids < 4, -1, ids)
    )
    few = other.select(presentations=np.arange(25))
    table = similarity(renamed, few, n_permutations=9)
    row = table.iloc[0]
    assert (row["n_items"], row["n_first"], row["n_second"]) == (21, 21, 21)
    assert (row["n_unmatched_first"], row["n_unmatched_second"]) == (9, 4)
    alone = similarity(
        *(side.select(presentations=np.arange(4, 25)) for side in (one, other)),
        n_permutations=9,
    )
    assert table["similarity"].equals(alone["similarity"])


def test_flat_responses_are_left_out_and_counted():
    """Items to which no unit responds have no correlation distance: they are left out
    of RSA and counted, and CKA keeps them.
    """
    one, other = two_networks(30)
    bits = one.raster.to_dense().T.copy()
    bits[[3, 8]] = False
    silent = Recording.from_activations(bits, 0.5, stimulus_id=np.arange(30))
    table = similarity(silent, other, n_permutations=9).set_index("measure")
    assert table["n_flat"].to_dict() == {"rsa": 2, "cka": 0}
    assert table["n_items"].to_dict() == {"rsa": 28, "cka": 30}
    assert table["similarity"].notna().all()


def test_units_that_never_respond_give_a_reason():
    """Where the units of a recording respond to all items alike, there is no
    similarity, and the row says why.
    """
    one, _ = two_networks(12)
    silent = Recording.from_activations(np.zeros((12, 5)), stimulus_id=range(12))
    table = similarity(one, silent, dissimilarity="euclidean", n_permutations=9)
    assert table["similarity"].isna().all()
    assert (
        table["reason"] == "the units of one recording respond to all items alike"
    ).all()
    table = similarity(one, silent, n_permutations=9)
    assert table["reason"].iloc[0].startswith("fewer than 4 items to which units")


def test_labels_can_be_compared_across_different_stimuli():
    """By label, recordings of different stimuli of the same classes are comparable."""
    rng = np.random.default_rng(0)
    centres = 2 * rng.normal(size=(6, 4))
    labels = np.repeat(np.arange(6), 20)
    networks = Network(4, 60, rng), Network(4, 60, rng)
    sides = [
        one.record(centres[labels] + rng.normal(size=(120, 4)), labels=labels)
        for one in networks
    ]
    table = similarity(*sides, by="label", n_permutations=199)
    assert (table["n_items"] == 6).all()
    assert (table["similarity"] > 0.6).all()
    assert (table["ceiling_of"] == "both").all()


def test_repeats_draws_and_order_do_not_change_it():
    """The same seed gives the same table, whatever the order of the presentations."""
    one, other = two_networks(30, noise=0.5, repeats=2)
    table = similarity(one, other, n_permutations=19, seed=3)
    pd.testing.assert_frame_equal(
        table, similarity(one, other, n_permutations=19, seed=3)
    )
    shuffled = other.in_stimulus_order()
    again = similarity(one, shuffled, n_permutations=19, seed=3)
    np.testing.assert_allclose(again["similarity"], table["similarity"])


def test_every_column_is_explained():
    """Each column of the table has a sentence."""
    table = similarity(*two_networks(12), n_permutations=3)
    assert list(table) == [column.name for column in COLUMNS]
    assert all(explain(name, table="similarity").endswith(".") for name in table)


def test_a_measure_for_each_recording():
    """A noise-free network may be measured otherwise than a noisy brain."""
    rng = np.random.default_rng(0)
    network, shown = Network(4, 60, rng), rng.normal(size=(20, 4))
    brain = network.record(shown, noise=1.0, rng=rng, repeats=6)
    row = similarity(
        brain,
        network.record(shown),
        "rsa",
        dissimilarity=("crossvalidated", "euclidean"),
        n_permutations=9,
    ).iloc[0]
    assert row["first_dissimilarity"] == "crossvalidated"
    assert row["similarity"] > 0.7


def shifted(recording, by):
    """The recording with other names of its stimuli."""
    ids = recording.presentations["stimulus_id"].to_numpy()
    return Recording.from_activations(
        recording.raster.to_dense().T, 0.5, stimulus_id=by(ids)
    )


def test_mistakes():
    """No shared stimuli, one stimulus, ids of another type, labels that differ and
    options that do not exist are errors that say what to do.
    """
    one, other = two_networks(12)
    with pytest.raises(InputValueError, match=r"there are 0: the first .* and 7 more"):
        similarity(one, shifted(other, lambda ids: ids + 100))
    with pytest.raises(InputValueError, match=r"'11'.*\(text\); name what both saw"):
        similarity(one, shifted(other, lambda ids: ids.astype(str)))
    with pytest.raises(InputValueError, match="4 shared stimuli, and there are 1"):
        similarity(one, other.select(presentations=[0]))
    labelled = [
        Recording.from_activations(np.eye(5), stimulus_id=range(5), labels=labels)
        for labels in ([0, 1, 2, 3, 4], [0, 1, 7, 3, 4])
    ]
    with pytest.raises(InputValueError, match=r"2 has the label 2 in .* and 7 in the"):
        similarity(*labelled)
    with pytest.raises(InputValueError, match="measure must be one of rsa, cka"):
        similarity(one, other, "procrustes")
    with pytest.raises(InputValueError, match="comparison must be one of"):
        similarity(one, other, comparison="kendall")
    with pytest.raises(InputValueError, match="dissimilarity must be one of"):
        similarity(one, other, dissimilarity="cosine")
    with pytest.raises(InputTypeError, match="phase must be one name for both"):
        similarity(one, other, phase=3)
    with pytest.raises(InputValueError, match="n_permutations must be at least 1"):
        similarity(one, other, n_permutations=0)
    with pytest.raises(InputTypeError, match="similarity needs a Recording, got str"):
        similarity(one, "network.nwb")


def test_dissimilarities_are_the_ones_compared():
    """RSA by hand, from the public dissimilarities, is the same number."""
    one, other = two_networks(20)
    values = [dissimilarities(side, "hamming").condensed for side in (one, other)]
    row = similarity(
        one, other, "rsa", dissimilarity="hamming", comparison="pearson"
    ).iloc[0]
    assert row["similarity"] == pytest.approx(np.corrcoef(*values)[0, 1])
