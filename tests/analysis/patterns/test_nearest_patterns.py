"""Nearest patterns are exact, and what is told from them agrees with scikit-learn."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

import ann2neo
from ann2neo import (
    InputTypeError,
    InputValueError,
    nearest_patterns,
    out_of_distribution_auroc,
    out_of_distribution_scores,
)
from ann2neo.raster import SpikeRaster
from ann2neo.raster.hamming import hamming_excess, hamming_nearest
from ann2neo.raster.patterns import patterns_of
from ann2neo.testing import make_recording


def rows_of(dense):
    return patterns_of(SpikeRaster.from_dense(np.asarray(dense).T))


def by_definition(rows, references, k):
    distances = (rows[:, np.newaxis] != references).sum(axis=2)
    order = np.argsort(distances, axis=1, kind="stable")[:, :k]
    return order, np.take_along_axis(distances, order, axis=1)


@pytest.mark.parametrize("use_numkong", [False, True])
@settings(max_examples=40)
@given(data=st.data())
def test_neighbours_are_those_of_the_definition(use_numkong, data):
    """Of equally near patterns the first comes first, whichever code counts."""
    n_units, n_rows = data.draw(st.integers(1, 130)), data.draw(st.integers(1, 40))
    n_references = data.draw(st.integers(1, 60))
    k = data.draw(st.integers(1, n_references))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    rate = data.draw(st.sampled_from([0.0, 0.05, 0.5, 1.0]))
    rows, references = (rng.random((n, n_units)) < rate for n in (n_rows, n_references))
    found = hamming_nearest(
        rows_of(rows), rows_of(references), k, use_numkong=use_numkong
    )
    for ours, theirs in zip(found, by_definition(rows, references, k), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("use_numkong", [False, True])
@pytest.mark.parametrize("order", ["random", "nearer and nearer", "all alike"])
def test_neighbours_are_exact_over_many_tiles(use_numkong, order):
    """9 000 references are several tiles; also where each is nearer than all before
    it, and where all are equally near.
    """
    rng = np.random.default_rng(0)
    references = rng.random((9000, 96)) < 0.5
    rows = rng.random((300, 96)) < 0.1
    if order == "nearer and nearer":
        references = references[np.argsort(-references.sum(axis=1), kind="stable")]
    if order == "all alike":
        references[:] = False
    neighbours, distances = hamming_nearest(
        rows_of(rows), rows_of(references), 12, use_numkong=use_numkong
    )
    every = np.rint(cdist(rows, references, "hamming") * 96).astype(int)
    expected = np.argsort(every, axis=1, kind="stable")[:, :12]
    np.testing.assert_array_equal(neighbours, expected)
    np.testing.assert_array_equal(
        distances, np.take_along_axis(every, expected, axis=1)
    )


@pytest.mark.parametrize("is_self", [False, True])
def test_parts_of_the_rows_have_the_same_neighbours(is_self):
    """An executor gets 2 048 rows at a time, each of which is still not its own
    neighbour.
    """
    rows = rows_of(np.random.default_rng(0).random((4200, 40)) < 0.4)
    whole = hamming_nearest(rows, rows, 3, is_self=is_self)
    with ThreadPoolExecutor(2) as executor:
        parts = hamming_nearest(rows, rows, 3, is_self=is_self, executor=executor)
        sums = hamming_excess(rows, 40, executor=executor)
    np.testing.assert_array_equal(whole, parts)
    assert sums == hamming_excess(rows, 40)


def test_distances_are_those_of_scikit_learn():
    """Brute force with scikit-learn finds the same distances, and the same neighbours
    where it is strictly nearer than the next.
    """
    training = make_recording(n_units=200, n_time_bins=500, seed=1)
    test = make_recording(n_units=200, n_time_bins=80, seed=2)
    nearest = nearest_patterns(test, training, k=5)
    brute = NearestNeighbors(n_neighbors=6, metric="hamming", algorithm="brute").fit(
        training.raster.to_dense().T
    )
    distances, neighbours = brute.kneighbors(test.raster.to_dense().T)
    distances = np.rint(distances * 200).astype(int)
    np.testing.assert_array_equal(nearest.distances, distances[:, :5])
    apart = distances[:, 0] < distances[:, 1]
    assert apart.sum() > 20
    np.testing.assert_array_equal(nearest.neighbours[apart, 0], neighbours[apart, 0])


def test_in_one_phase_no_sample_is_its_own_neighbour():
    """Leaving oneself out is what scikit-learn does without queries; its copies stay,
    and another phase or recording of the same spikes has it.
    """
    spikes = np.random.default_rng(3).random((9, 60)) < 0.5
    recording = make_recording(spikes, phases=["a", "b"])
    one = nearest_patterns(recording, k=3, phase="a", training_phase="a")
    brute = NearestNeighbors(n_neighbors=3, metric="hamming", algorithm="brute")
    distances = brute.fit(spikes.T).kneighbors()[0]
    np.testing.assert_array_equal(one.distances, np.rint(distances * 9))
    assert (one.neighbours != np.arange(60)[:, np.newaxis]).all()
    two = nearest_patterns(recording, k=1, phase="a", training_phase="b")
    assert (two.distances == 0).all()
    alone = nearest_patterns(recording.select(phase="a"), k=3)
    np.testing.assert_array_equal(alone.distances, one.distances)


@pytest.mark.parametrize("k", [1, 3, 7])
def test_the_majority_of_the_neighbours_is_predicted(k):
    """Where one label has more votes than any other, scikit-learn predicts it, too;
    else that of the nearest of the tied neighbours is predicted.
    """
    rates = np.random.default_rng(0).uniform(0.2, 0.8, (40, 4))
    training, test = (
        make_recording(n_units=40, n_time_bins=n, rate=rates, labels=4, seed=n)
        for n in (300, 100)
    )
    nearest = nearest_patterns(test, training, k=7)
    table = nearest.classify(k)
    labels = training.presentations["label"].to_numpy()[nearest.neighbours[:, :k]]
    for votes, row in zip(labels, table.itertuples(), strict=True):
        counts = np.bincount(votes, minlength=4)
        tied = np.flatnonzero(counts == counts.max())
        assert row.n_votes == counts.max()
        assert row.prediction == next(label for label in votes if label in tied)
    if k == 1:
        learner = KNeighborsClassifier(1, metric="hamming", algorithm="brute")
        learner.fit(training.raster.to_dense().T, training.presentations["label"])
        unique = nearest.distances[:, 0] < nearest.distances[:, 1]
        expected = learner.predict(test.raster.to_dense().T)[unique]
        np.testing.assert_array_equal(table["prediction"][unique], expected)
    score = nearest.score(k, n_permutations=99, seed=0).iloc[0]
    is_right = table["prediction"] == table["label"]
    assert score["accuracy"] == is_right.mean() > 0.6
    shares = [
        table[name].value_counts(normalize=True) for name in ("label", "prediction")
    ]
    assert score["accuracy_expected"] == pytest.approx(shares[0].mul(shares[1]).sum())
    assert score["accuracy_pvalue"] == 0.01


def test_permuted_predictions_are_as_accurate_as_expected():
    """The expected accuracy is the mean over joint permutations, and labels that have
    nothing to do with the patterns are not significant.
    """
    rng = np.random.default_rng(6)
    labels = (rng.random(400) < 0.3).astype(int)
    recording = make_recording(n_units=8, n_time_bins=400, labels=labels, seed=5)
    nearest = nearest_patterns(recording, k=3)
    score = nearest.score(n_permutations=199, seed=0).iloc[0]
    table = nearest.classify()
    drawn = [
        (rng.permutation(table["prediction"]) == labels).mean() for _ in range(2000)
    ]
    error = np.std(drawn) / np.sqrt(2000)
    assert abs(score["accuracy_expected"] - np.mean(drawn)) < 4 * error
    assert 0.01 < score["accuracy_pvalue"] <= 1


def test_bins_of_longer_presentations_have_their_label():
    """Every bin of a trial votes and is judged with the trial's label; bins in no
    labelled trial do not vote, and are not judged.
    """
    training = ann2neo.Recording.from_raster(
        SpikeRaster.from_dense([[1, 1, 0, 0, 1, 1], [0, 0, 1, 1, 1, 1]]),
        presentations=pd.DataFrame(
            {"start_bin": [0, 2], "stop_bin": [2, 4], "label": ["left", "right"]}
        ),
    )
    nearest = nearest_patterns(training, k=1)
    table = nearest.classify()
    assert table["label"].to_list() == ["left"] * 2 + ["right"] * 2 + [""] * 2
    assert table["prediction"].to_list() == ["left"] * 2 + ["right"] * 2 + [""] * 2
    assert table["n_votes"].to_list() == [1, 1, 1, 1, 0, 0]
    score = nearest.score(n_permutations=9, seed=0).iloc[0]
    assert (score["n_classified"], score["accuracy"]) == (4, 1)


def test_what_does_not_fit_is_refused():
    """Too many neighbours, other units, no units, no labels, no phase: each with a
    remedy.
    """
    recording = make_recording(n_units=4, n_time_bins=5, labels=2)
    plain = make_recording(n_units=4, n_time_bins=5)
    with pytest.raises(
        InputValueError, match=r"k must be at most 4, got 5; .* has 4 tr"
    ):
        nearest_patterns(recording, k=5)
    assert nearest_patterns(recording, plain, k=5).neighbours.shape == (5, 5)
    with pytest.raises(InputValueError, match="k must be at least 1"):
        nearest_patterns(recording, k=0)
    with pytest.raises(InputValueError, match="k must be at most 0"):
        nearest_patterns(recording.select(presentations=[0]), k=1)
    with pytest.raises(InputTypeError, match="k must be a whole number"):
        nearest_patterns(recording, k=1.5)
    with pytest.raises(InputValueError, match="not the same units: 4 and 3"):
        nearest_patterns(recording, make_recording(n_units=3), k=1)
    with pytest.raises(InputValueError, match="at least one unit"):
        nearest_patterns(recording.select(units=[]), k=1)
    with pytest.raises(InputValueError, match="say which phase"):
        nearest_patterns(make_recording(phases=["a", "b"]), k=1)
    with pytest.raises(InputTypeError, match="nearest_patterns needs a Recording"):
        nearest_patterns(recording, recording.raster)
    with pytest.raises(InputValueError, match="training recording has no labels"):
        nearest_patterns(recording, plain, k=1).classify()
    with pytest.raises(InputValueError, match="no labels to compare with"):
        nearest_patterns(plain, recording, k=1).score()
    with pytest.raises(InputValueError, match="k must be at most 2, got 3; find more"):
        nearest_patterns(recording, k=2).classify(3)
    words = make_recording(n_units=4, n_time_bins=2, labels=["a", "b"])
    with pytest.raises(InputValueError, match="labels are of different types"):
        nearest_patterns(words, recording, k=1).score()
    assert nearest_patterns(plain, recording, k=1).classify().shape == (5, 4)


# -- out of distribution
# --------------------------------------------------------------------------------------


def made_classes():
    """Two classes of training, some more like them, and samples of neither."""
    rates = np.random.default_rng(0).uniform(0, 1, (64, 2)).round()
    rates = 0.1 + 0.8 * rates
    training, familiar = (
        make_recording(
            n_units=64, n_time_bins=n, rate=rates, labels=2, layers=["a"], seed=n
        )
        for n in (200, 90)
    )
    unfamiliar = make_recording(n_units=64, n_time_bins=70, rate=0.5, seed=9)
    return (
        training,
        familiar,
        ann2neo.Recording.from_raster(unfamiliar.raster, training.units),
    )


def test_scores_are_the_distances_to_the_predicted_class():
    """Smallest and mean Hamming distance to the training patterns with that label, as
    SciPy gives them; the mean follows from the class's rates.
    """
    training, familiar, _ = made_classes()
    table = out_of_distribution_scores(familiar, training)
    label = training.presentations["label"].to_numpy()
    dense, others = familiar.raster.to_dense().T, training.raster.to_dense().T
    for row in table.itertuples():
        of_class = others[label == row.prediction]
        shares = cdist(dense[[row.sample]], of_class, "hamming")[0]
        assert row.distance_share == pytest.approx(shares.min())
        assert row.distance == round(64 * shares.min())
        assert row.mean_distance_share == pytest.approx(shares.mean())
    np.testing.assert_array_equal(
        table["prediction"], familiar.presentations["prediction"]
    )


def test_unfamiliar_samples_are_told_apart():
    """AUROCs are those of scikit-learn, over all samples and per predicted class."""
    training, familiar, unfamiliar = made_classes()
    given_classes = np.arange(70) % 2
    scores = [
        out_of_distribution_scores(familiar, training),
        out_of_distribution_scores(unfamiliar, training, predictions=given_classes),
    ]
    table = out_of_distribution_auroc(*scores)
    assert table["prediction"].to_list() == [-1, 0, 1]
    assert table["auroc"][0] > 0.8
    for row in table.itertuples():
        parts = [
            part if row.prediction < 0 else part[part["prediction"] == row.prediction]
            for part in scores
        ]
        is_new = np.repeat([0, 1], [len(part) for part in parts])
        for name, column in (
            ("auroc", "distance_share"),
            ("auroc_of_rates", "mean_distance_share"),
        ):
            values = np.concatenate([part[column] for part in parts])
            assert getattr(row, name) == pytest.approx(roc_auc_score(is_new, values))
        assert (row.n_familiar, row.n_unfamiliar) == tuple(map(len, parts))
    assert table["auroc_pvalue"][0] < 1e-9


def test_a_class_without_training_patterns_has_no_score():
    """Its samples are counted, and a class with one kind of sample has a reason."""
    training, familiar, _ = made_classes()
    predictions = np.zeros(90, int)
    predictions[:10] = 7
    table = out_of_distribution_scores(familiar, training, predictions=predictions)
    assert (table["distance"][:10] == -1).all()
    assert table["mean_distance_share"][:10].isna().all()
    assert (table["distance"][10:] >= 0).all()
    rows = out_of_distribution_auroc(table, table[:20]).set_index("prediction")
    assert rows.loc[
        -1, ["n_familiar", "n_unfamiliar", "n_without_score"]
    ].to_list() == [
        80,
        10,
        20,
    ]
    assert rows.loc[7, "reason"] == "no familiar sample with a score"
    assert np.isnan(rows.loc[7, "auroc"])


def test_scores_that_cannot_be_are_refused():
    """No predictions, no labels, other units, other kinds of classes, other tables."""
    training, familiar, unfamiliar = made_classes()
    with pytest.raises(InputValueError, match="no predictions; record"):
        out_of_distribution_scores(unfamiliar, training)
    with pytest.raises(InputValueError, match="has no labels"):
        out_of_distribution_scores(familiar, unfamiliar)
    with pytest.raises(InputValueError, match="one class for each of the 90 time bins"):
        out_of_distribution_scores(familiar, training, predictions=[1])
    with pytest.raises(InputTypeError, match=r"predictions are .* and labels int"):
        out_of_distribution_scores(familiar, training, predictions=["a"] * 90)
    with pytest.raises(InputValueError, match="name no class, got nan for every bin"):
        out_of_distribution_scores(familiar, training, predictions=[np.nan] * 90)
    with pytest.raises(InputValueError, match="same units"):
        out_of_distribution_scores(make_recording(n_units=3), training)
    with pytest.raises(InputTypeError, match="familiar must be the table"):
        out_of_distribution_auroc(familiar, familiar)
    with pytest.raises(InputValueError, match="lacks the column 'distance_share'"):
        out_of_distribution_auroc(*[pd.DataFrame({"prediction": [0]})] * 2)
