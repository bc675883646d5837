"""Training curves: where labels switch, and how far rates move."""

import numpy as np
import pandas as pd
import pytest

import ann2neo
from ann2neo import InputValueError
from ann2neo.study.conditions import NetworkUnderStudy
from ann2neo.study.dynamics import (
    find_change,
    rate_changes,
    run_dynamics,
    switches_table,
    training_curve,
)


def _ar1(n, rho, rng):
    noise = rng.normal(size=n)
    for i in range(1, n):
        noise[i] += rho * noise[i - 1]
    return noise


@pytest.mark.parametrize("rho", [0.0, 0.6])
def test_a_curve_without_change_is_rejected_as_often_as_it_should(rho):
    """In autocorrelated noise the change-point test rejects about one time in twenty,
    not more than one in ten.
    """
    rng = np.random.default_rng(2)
    rejected = np.mean(
        [find_change(_ar1(600, rho, rng)).pvalue <= 0.05 for _ in range(300)]
    )
    assert rejected < 0.10


@pytest.mark.parametrize("before", [60, 300, 540])
def test_a_change_is_found_where_it_is(before):
    """A change of level in autocorrelated noise is found within a few values, also near
    an end.
    """
    rng = np.random.default_rng(3)
    curve = 0.05 * _ar1(600, 0.6, rng) + np.repeat([0.6, 0.2], [before, 600 - before])
    found = find_change(curve)
    assert abs(found.first - before) <= 3
    assert found.pvalue < 0.01


def test_curves_without_noise_are_exact():
    """A step without noise is found with certainty, and a constant has no change."""
    step = find_change(np.repeat([1.0, 0.0], [30, 70]))
    assert (step.first, step.pvalue) == (30, 0.0)
    assert find_change(np.ones(50)).pvalue == 1.0


@pytest.mark.parametrize(
    "curve", [np.zeros(19), np.full(40, np.nan), np.zeros((30, 2))]
)
def test_curves_that_are_none_are_refused(curve):
    """Too short, broken or two-dimensional curves are an error."""
    with pytest.raises(InputValueError, match="at least 20 finite values"):
        find_change(curve)


def test_the_switch_is_looked_for_behind_the_first_epoch():
    """A drop in the first epoch is not taken for the switch of labels, which is found
    to the batch.
    """
    rng = np.random.default_rng(4)
    rate = np.concatenate(
        [np.linspace(0.9, 0.6, 10), np.full(30, 0.6), np.full(60, 0.4)]
    ) + 0.002 * rng.normal(size=100)
    curve = pd.DataFrame(
        {
            "split": "train",
            "batch": np.tile(np.arange(10), 10),
            "labels": np.repeat(["true", "random"], [40, 60]),
            "mean_firing_rate": rate,
        }
    )
    row = switches_table(curve).iloc[0]
    assert (
        row["switch"],
        row["found"],
        row["epochs_off"],
        row["within_one_epoch"],
    ) == (40, 40, 0.0, True)


def test_changes_of_a_curve_are_told_on_either_side_of_the_switch():
    """A curve that drifts, jumps and drifts again gives these changes; one that is too
    short gives none after.
    """
    epochs = np.arange(0.05, 60, 0.1)
    rate = np.where(
        epochs < 10, 0.6 + 0.01 * np.floor(epochs), 0.2 + 0.002 * np.floor(epochs - 10)
    )
    curve = pd.DataFrame(
        {
            "dataset": "mnist",
            "network": "MLP",
            "width": 64,
            "retrain": "all",
            "seed": 0,
            "split": "val",
            "labels": np.where(epochs < 10, "true", "random"),
            "epoch": epochs,
            "mean_firing_rate": rate,
        }
    )
    row = rate_changes(curve).iloc[0]
    assert row["before"] == pytest.approx(0.08)
    assert row["at_switch"] == pytest.approx(0.2 + 0.002 * 14.5 - 0.69)
    assert row["after"] == pytest.approx(0.002 * 30)
    assert np.isnan(rate_changes(curve[curve["epoch"] < 25]).iloc[0]["after"])


@pytest.mark.slow
@pytest.mark.parametrize("retrain", ["all", "last"])
def test_a_curve_follows_true_and_then_random_labels(retrain):
    """A curve has a row per batch and split, first with true and then with random
    labels; what was frozen for it can be trained again.
    """
    data = ann2neo.load_dataset("digits")
    bench = NetworkUnderStudy(data, "CNN", 8)
    curve = training_curve(bench, 0, true_epochs=1, random_epochs=2, retrain=retrain)
    n_batches = -(-int(0.9 * len(data.y_train)) // 256)
    assert len(curve) == 2 * 3 * n_batches
    train = curve[curve["split"] == "train"]
    assert (
        train["labels"].to_list() == ["true"] * n_batches + ["random"] * 2 * n_batches
    )
    assert train["epoch"].to_list() == np.repeat([0, 1, 2], n_batches).tolist()
    assert all(layer.trainable for layer in bench.model.layers)


@pytest.mark.slow
def test_curves_that_are_there_are_not_run_again(tmp_path, monkeypatch):
    """A folder gets a curve per network and a row per split; a second run trains
    nothing and gives the same table.
    """
    arguments = {"dataset": "digits", "widths": [8], "true_epochs": 6}
    table = run_dynamics(tmp_path, **arguments, random_epochs=6)
    assert table["split"].to_list() == ["train", "val"]
    assert set(table["dataset"]) == {"digits"}
    assert len(list((tmp_path / "dynamics").glob("*.csv"))) == 1
    monkeypatch.setattr("ann2neo.study.dynamics.training_curve", None)
    again = run_dynamics(tmp_path, **arguments, random_epochs=6)
    pd.testing.assert_frame_equal(again, table)


def test_a_curve_of_no_epochs_is_refused():
    """Each side of the switch needs an epoch, and what is retrained is all or last."""
    bench = NetworkUnderStudy(ann2neo.load_dataset("digits"), "MLP", 8)
    with pytest.raises(InputValueError, match="random_epochs must be at least 1"):
        training_curve(bench, 0, random_epochs=0)
    with pytest.raises(InputValueError, match="retrain must be one of all, last"):
        training_curve(bench, 0, retrain="none")
