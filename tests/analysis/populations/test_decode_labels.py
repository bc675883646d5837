"""Decoding of labels from one recording or two."""

import numpy as np
import pytest
from response_models import Network

from ann2neo import Recording, decode_labels, explain
from ann2neo.errors import InputTypeError, InputValueError

LABELS = np.arange(60) % 3


def classes(rng, spread=1.0):
    """Stimuli of three classes around centres of their own."""
    return 2 * rng.normal(size=(3, 4))[LABELS] + spread * rng.normal(size=(60, 4))


def test_as_scikit_learn():
    """The accuracy is that of scikit-learn with the same decoder and folds."""
    from sklearn.linear_model import RidgeClassifier
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rng = np.random.default_rng(0)
    recording = Network(4, 40, rng).record(classes(rng), labels=LABELS)
    row = decode_labels(recording, n_permutations=1, seed=5).iloc[0]
    scores = cross_val_score(
        make_pipeline(StandardScaler(), RidgeClassifier()),
        recording.raster.to_dense().T.astype(float),
        LABELS,
        cv=StratifiedKFold(5, shuffle=True, random_state=5),
    )
    assert row["accuracy"] == pytest.approx(scores.mean())


@pytest.mark.slow
def test_known_truth():
    """Labels are decoded where responses depend on them, and at chance where not."""
    rng = np.random.default_rng(0)
    network = Network(4, 40, rng)
    tuned = network.record(classes(rng), labels=LABELS)
    row = decode_labels(tuned).iloc[0]
    assert row["accuracy"] > 0.8
    assert row["pvalue"] == 0.01
    assert row["chance"] == pytest.approx(1 / 3, abs=0.05)
    untuned = network.record(rng.normal(size=(60, 4)), labels=LABELS)
    row = decode_labels(untuned).iloc[0]
    assert abs(row["accuracy"] - row["chance"]) < 3 * row["chance_std"]


def test_repeats_of_one_stimulus_are_in_one_fold():
    """A stimulus that was shown often is never in both parts: responses that identify
    each stimulus but say nothing of its label are decoded at chance.
    """
    rng = np.random.default_rng(0)
    network = Network(20, 100, rng)
    recording = network.record(
        rng.normal(size=(60, 20)), labels=LABELS, repeats=6, noise=0.1, rng=rng
    )
    row = decode_labels(recording, n_permutations=49).iloc[0]
    assert (row["n_stimuli"], row["n_presentations"]) == (60, 360)
    assert abs(row["accuracy"] - row["chance"]) < 3 * row["chance_std"]


def test_across_recordings_of_the_same_units():
    """A decoder of one noisy copy of a network works on the other; across networks of
    other units there is a reason, and each is still decoded by itself.
    """
    rng = np.random.default_rng(0)
    network, shown = Network(4, 40, rng), classes(rng)
    one, copy = (
        network.record(shown, labels=LABELS, noise=0.5, rng=rng) for _ in range(2)
    )
    table = decode_labels(one, copy, names=("before", "after"), n_permutations=19)
    assert table[["trained_on", "tested_on"]].to_numpy().tolist() == [
        ["before", "before"],
        ["before", "after"],
        ["after", "before"],
        ["after", "after"],
    ]
    assert (table["accuracy"] > 0.7).all()
    assert (table["pvalue"] == 0.05).all()
    other = Network(4, 30, rng).record(shown, labels=LABELS)
    table = decode_labels(one, other, n_permutations=3)
    assert table["accuracy"].isna().tolist() == [False, True, True, False]
    assert table["reason"].iloc[1] == "not the same units: 40 and 30"


def test_what_is_left_out_is_counted():
    """Unmatched stimuli and labels of a single stimulus are left out and counted."""
    rng = np.random.default_rng(0)
    labels = np.where(np.arange(60) == 7, 9, LABELS)
    recording = Network(4, 30, rng).record(classes(rng), labels=labels)
    few = recording.select(presentations=np.arange(50))
    table = decode_labels(few, recording, n_permutations=3)
    assert (table["n_stimuli"] == 49).all()
    assert table["n_left_out"].tolist() == [1, 11, 1, 11]
    assert (table["n_labels"] == 3).all()


def test_a_decoder_of_ones_own():
    """Any classifier of scikit-learn will do, and folds go down to the rarest label."""
    from sklearn.neighbors import KNeighborsClassifier

    rng = np.random.default_rng(0)
    labels = np.r_[np.zeros(10, int), np.ones(10, int), 2, 2]
    shown = 3 * rng.normal(size=(3, 4))[labels]
    recording = Network(4, 40, rng).record(shown, labels=labels)
    row = decode_labels(
        recording, decoder=KNeighborsClassifier(1), n_permutations=3
    ).iloc[0]
    assert row["n_folds"] == 2
    assert row["accuracy"] == 1.0


def test_mistakes():
    """No labels, one label, no recordings and what is no decoder are errors."""
    unlabelled = Recording.from_activations(np.eye(6), stimulus_id=range(6))
    with pytest.raises(InputValueError, match="needs labels, and a recording has none"):
        decode_labels(unlabelled)
    same = Recording.from_activations(np.eye(6), stimulus_id=range(6), labels=[1] * 6)
    with pytest.raises(InputValueError, match=r"two labels or more .* got 1 among 6"):
        decode_labels(same)
    with pytest.raises(InputValueError, match="takes one recording or two, got 0"):
        decode_labels()
    two = Recording.from_activations(np.eye(6), stimulus_id=range(6), labels=[0, 1] * 3)
    with pytest.raises(
        InputTypeError, match=r"classifier of scikit-learn.*got 3 \(int\)"
    ):
        decode_labels(two, decoder=3)
    for names in (["a"], ["a", "a"], ["a", "b", "c"]):
        with pytest.raises(InputValueError, match="2 different names, one per recordi"):
            decode_labels(two, two, names=names)
    with pytest.raises(InputTypeError, match="names must be a name or a list of names"):
        decode_labels(two, names=None)
    with pytest.raises(InputValueError, match="n_folds must be at least 2"):
        decode_labels(two, n_folds=1)


def test_every_column_is_explained():
    """Each column of the table has a sentence."""
    rng = np.random.default_rng(0)
    table = decode_labels(
        Network(4, 10, rng).record(classes(rng), labels=LABELS), n_permutations=1
    )
    assert all(explain(name, table="decode_labels").endswith(".") for name in table)
