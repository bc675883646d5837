"""Networks that differ in their seed and train at once, beside training alone."""

from __future__ import annotations

import math

import keras
import numpy as np
import pandas as pd
import pytest
from small_trainings import blobs, normalized_learner

from ann2neo.errors import InputValueError
from ann2neo.study import conditions, runs, training
from ann2neo.study.conditions import NetworkUnderStudy
from ann2neo.study.networks import build_network, initial_weights, weights_of
from ann2neo.study.plan import planned_cells
from ann2neo.study.results import load_results
from ann2neo.study.training import Trainee, Trainer

CLOSE = 1e-5
"""What the rounding of sums may come to over a few epochs."""

slow = pytest.mark.slow


@pytest.fixture(scope="module")
def data():
    return blobs()


def assert_close(first, second):
    for ours, theirs in zip(first, second, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=CLOSE)


@pytest.mark.parametrize("glances", [False, True])
def test_each_stops_by_its_own_rule(data, monkeypatch, glances):
    """Of five networks each stops after the epoch at which it stops alone, with the
    same weights and the accuracy of all samples, whether or not some are looked at
    first; what it was at its end stays while others train on.
    """
    if glances:
        monkeypatch.setattr(training, "_SAMPLES_GLANCED_AT", 200)
    x, y = data.inputs("train"), data.labels("train")
    model = build_network("MLP", 12, x.shape[1:], 8)
    trainer, seeds = Trainer(model), range(5)
    rule = {"max_epochs": 25, "target_accuracy": 0.4}
    starts = [initial_weights(model, seed) for seed in seeds]
    alone, trainees, seen = [], [], []
    for seed, start in zip(seeds, starts, strict=True):
        model.set_weights(start)
        trainees.append(Trainee(seed, x, y, trainer.state()))
        alone.append((trainer.train(x, y, seed=seed, **rule), weights_of(model)))
    trainer.train_several(
        trainees,
        **rule,
        after_epoch=lambda: seen.append([it.progress.n_epochs for it in trainees]),
    )
    for trainee, (progress, weights) in zip(trainees, alone, strict=True):
        assert trainee.progress == progress
        trainer.load(trainee.state)
        assert_close(weights_of(model), weights)
    stops = [progress.n_epochs for progress, _ in alone]
    # Some are left after half of them have stopped, and the last one stops later.
    assert len({*stops}) >= 3
    assert len(seen) == max(stops)
    assert seen[-1] == stops
    np.testing.assert_array_equal(np.diff(seen, axis=0).max(axis=0), 1)


def test_samples_and_labels_may_be_each_networks_own(data):
    """Networks with inputs and labels of their own become what they become alone."""
    y = data.labels("train")
    x = [data.inputs("train") * factor for factor in (1.0, 0.5)]
    labels = [y, np.random.default_rng(0).permutation(y)]
    model = build_network("MLP", 12, x[0].shape[1:], 8)
    trainer = Trainer(model)
    starts, trainees = [initial_weights(model, i) for i in range(2)], []
    for i in range(2):
        model.set_weights(starts[i])
        trainees.append(Trainee(i, x[i], labels[i], trainer.state()))
    trainer.train_several(trainees, max_epochs=3)
    for i, trainee in enumerate(trainees):
        model.set_weights(starts[i])
        progress = trainer.train(x[i], labels[i], max_epochs=3, seed=i)
        alone = weights_of(model)
        trainer.load(trainee.state)
        assert_close(weights_of(model), alone)
        assert trainee.progress == progress


def test_moving_averages_are_each_networks_own(data):
    """Batch normalization learns its scales and moving averages per network."""
    x, y = data.inputs("train")[:512], data.labels("train")[:512]
    learner = normalized_learner(x.shape[1:])
    trainer, start = Trainer(learner), weights_of(learner)
    trainees = [Trainee(seed, x, y, trainer.state()) for seed in range(3)]
    trainer.train_several(trainees, max_epochs=3)
    averages = []
    for seed, trainee in enumerate(trainees):
        learner.set_weights(start)
        trainer.train(x, y, max_epochs=3, seed=seed)
        alone = weights_of(learner)
        trainer.load(trainee.state)
        assert_close(weights_of(learner), alone)
        averages.append(np.array(learner.get_layer("normalization").moving_mean))
    assert np.abs(averages[0] - start[4]).max() > 0.001
    assert not np.array_equal(averages[0], averages[1])


def test_masks_of_dropout_are_each_networks_own(data):
    """A network with dropout draws the masks that it draws alone."""
    x, y = data.inputs("train"), data.labels("train")
    dropout = keras.layers.Dropout(0.5, seed=3)
    model = keras.Sequential(
        [
            keras.Input(x.shape[1:]),
            keras.layers.Flatten(),
            keras.layers.Dense(12, activation="relu"),
            dropout,
            keras.layers.Dense(8, activation="softmax"),
        ]
    )
    trainer, start = Trainer(model), weights_of(model)
    key = np.array(dropout.seed_generator.state)
    trainees = [Trainee(seed, x, y, trainer.state()) for seed in range(2)]
    trainer.train_several(trainees, max_epochs=2)
    for seed, trainee in enumerate(trainees):
        model.set_weights(start)
        dropout.seed_generator.state.assign(key)
        trainer.train(x, y, max_epochs=2, seed=seed)
        alone = weights_of(model)
        trainer.load(trainee.state)
        assert_close(weights_of(model), alone)


@pytest.mark.parametrize("stores_features", [True, pytest.param(False, marks=slow)])
def test_every_condition_gives_the_networks_of_training_alone(
    data, monkeypatch, stores_features
):
    """Under every condition of a convolutional network, frozen layers computed once or
    every time, three seeds at once lead where each leads alone.
    """
    if not stores_features:
        monkeypatch.setattr(conditions, "_FEATURE_BYTES", 0)
    bench = NetworkUnderStudy(data, "CNN", 12, max_epochs=2)
    seeds = (0, 1, 5)
    generalizing = [bench.bring_into("generalizing", seed) for seed in seeds]
    weights = [network.weights for network in generalizing]
    for condition in conditions.conditions_of("CNN")[1:]:
        alone = [
            bench.bring_into(condition, seed, start)
            for seed, start in zip(seeds, weights, strict=True)
        ]
        together = bench.bring_several_into(condition, seeds, weights)
        for ours, theirs in zip(together, alone, strict=True):
            assert_close(ours.weights, theirs.weights)
            assert (ours.seed, ours.n_epochs, ours.stopped_by) == (
                theirs.seed,
                2,
                "epoch limit",
            )
            assert ours.accuracy_train == pytest.approx(theirs.accuracy_train, abs=0.01)
        assert_close(weights_of(bench.model), alone[-1].weights)


@pytest.mark.parametrize("condition", ["generalizing", "mem_random_last"])
def test_networks_go_on_from_cuts_at_different_epochs(data, condition):
    """Seeds that were cut after one and three epochs, and one that was not begun, go on
    together to what each becomes alone.
    """
    bench, seeds = NetworkUnderStudy(data, "MLP", 12, max_epochs=5), (0, 1, 2)
    kept = [[], [], []]
    alone = [
        bench.bring_into(condition, seed, checkpoint=kept[i].append)
        for i, seed in enumerate(seeds)
    ]
    seen = []
    together = bench.bring_several_into(
        condition,
        seeds,
        cut_at=[kept[0][0], kept[1][2], None],
        after_epoch=lambda them: seen.append([it.n_epochs for it in them.progress]),
    )
    assert seen == [[2, 4, 1], [3, 5, 2], [4, 5, 3], [5, 5, 4], [5, 5, 5]]
    for ours, theirs in zip(together, alone, strict=True):
        assert_close(ours.weights, theirs.weights)
        assert ours.n_epochs == theirs.n_epochs


def test_a_training_that_diverges_names_its_network(data):
    """One of two networks has inputs far outside 0..1: the error says which."""
    x, y = data.inputs("train"), data.labels("train")
    model = build_network("MLP", 12, x.shape[1:], 8)
    trainer = Trainer(model)
    trainees = [
        Trainee(seed, inputs, y, trainer.state())
        for seed, inputs in ((3, x), (7, x * np.float32(1e30)))
    ]
    with pytest.raises(InputValueError, match="seed 7 diverged after 2 epochs; scale"):
        trainer.train_several(trainees, max_epochs=2)


def test_no_epochs_are_refused(data):
    """Neither an epoch nor a sample less than one can be trained."""
    x, y = data.inputs("train"), data.labels("train")
    model = build_network("MLP", 12, x.shape[1:], 8)
    trainer = Trainer(model)
    for size, epochs in ((len(x), 0), (0, 2)):
        trainee = Trainee(0, x[:size], y[:size], trainer.state())
        with pytest.raises(InputValueError, match="needs 1 or more epochs and samples"):
            trainer.train_several([trainee], max_epochs=epochs)


def cells(*conditions):
    few = {"networks": ["MLP"], "widths": [16], "seeds": [0, 1, 2]}
    return planned_cells("quick", conditions=conditions, **few)


STARTING = ("random", "mem_retrain_last")
"""Conditions; they bring along the generalizing networks that others start from."""


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """A study of three seeds that trained one by one."""
    folder = tmp_path_factory.mktemp("alone") / "results"
    runs.run_study(cells(*STARTING), folder, max_epochs=4)
    return folder


def assert_same_but_for_rounding(ours, theirs):
    """Compare the rows of two folders."""
    # The limit is that of the run which trained a network, or found it untrained.
    changed = ["weights_sha256", "seeds_at_once", "max_epochs"]
    first, second = (
        load_results(folder).table.drop(columns=changed) for folder in (ours, theirs)
    )
    pd.testing.assert_frame_equal(first, second, rtol=1e-9)


@slow
def test_a_run_of_several_seeds_gives_the_rows_of_one_by_one(alone, tmp_path):
    """Rows of two seeds at once, and of a third one that is left over, are those of
    training one by one, and say how many were trained at once.
    """
    runs.run_study(cells(*STARTING), tmp_path / "r", max_epochs=4, seeds_at_once=2)
    assert_same_but_for_rounding(tmp_path / "r", alone)
    table = load_results(tmp_path / "r").table
    trained = table[table["condition"] != "random"]
    assert (trained["seeds_at_once"] == trained["seed"].map({0: 2, 1: 2, 2: 1})).all()
    assert (table.loc[table["condition"] == "random", "seeds_at_once"] == 1).all()
    assert (load_results(alone).table["seeds_at_once"] == 1).all()


@slow
def test_a_run_goes_on_with_another_number_of_seeds_at_once(
    alone, tmp_path, monkeypatch
):
    """A run of three seeds that is cut after two epochs keeps a checkpoint of each, and
    goes on one by one to the same rows; nothing is begun after the cut.
    """
    folder, after_epoch, n_epochs = tmp_path / "r", runs._Watch.after_epoch, []

    def cut_after_two(self, progress, checkpoint):
        n_epochs.append([done.n_epochs for done in progress])
        if len(n_epochs) == 2:
            # As if an epoch took a minute.
            self._ended -= 60
        after_epoch(self, progress, checkpoint)

    monkeypatch.setattr(runs._Watch, "after_epoch", cut_after_two)
    runs.run_study(cells(*STARTING), folder, max_epochs=4, minutes=1, seeds_at_once=3)
    assert n_epochs == [[1, 1, 1], [2, 2, 2]]
    assert set(load_results(folder).table["condition"]) == {"random"}
    saved = sorted((folder / "networks").iterdir())
    assert [path.name for path in saved] == [
        f"digits_MLP_16_generalizing_seed{seed}.checkpoint.npz" for seed in range(3)
    ]
    for path in saved:
        with np.load(path) as file:
            assert file["progress"][0] == 2
    assert len(runs.unfinished(cells(*STARTING), folder, 4)) == 6
    monkeypatch.undo()
    runs.run_study(cells(*STARTING), folder, max_epochs=4)
    assert_same_but_for_rounding(folder, alone)


@slow
def test_trained_networks_wait_for_their_recording(alone, tmp_path, monkeypatch):
    """Where the time is up after the first of three recordings, the others are recorded
    by the next run, which trains them no further.
    """
    folder, record, trained = tmp_path / "r", runs.recording_rows, []
    chosen = cells("generalizing")

    def record_and_end(*arguments):
        monkeypatch.setattr(runs.time, "time", lambda: math.inf)
        return record(*arguments)

    with monkeypatch.context():
        monkeypatch.setattr(runs, "recording_rows", record_and_end)
        table = runs.run_study(
            chosen, folder, max_epochs=4, minutes=60, seeds_at_once=3
        )
    assert set(table["seed"]) == {0}
    monkeypatch.undo()
    monkeypatch.setattr(
        runs._Watch, "after_epoch", lambda *_: trained.append("an epoch")
    )
    runs.run_study(chosen, folder, max_epochs=4, seeds_at_once=3)
    assert trained == []
    ours, theirs = (load_results(it).table for it in (folder, alone))
    theirs = theirs[theirs["condition"] == "generalizing"].reset_index(drop=True)
    columns = ["seed", "split", "n_epochs", "accuracy_train", "mean_firing_rate"]
    pd.testing.assert_frame_equal(ours[columns], theirs[columns])


@slow
def test_networks_go_on_together_under_a_raised_limit(alone, tmp_path):
    """Three seeds that stopped at a limit of two epochs go on together to four, and
    those that start from one of them are trained again.
    """
    runs.run_study(cells(*STARTING), tmp_path / "r", max_epochs=2, seeds_at_once=3)
    runs.run_study(cells(*STARTING), tmp_path / "r", max_epochs=4, seeds_at_once=3)
    assert_same_but_for_rounding(tmp_path / "r", alone)


@slow
def test_on_the_processor_one_seed_trains_at_a_time(alone):
    """Nothing but an accelerator trains several seeds unless asked to."""
    assert not training.several_are_cheap()
    assert (load_results(alone).table["seeds_at_once"] == 1).all()
