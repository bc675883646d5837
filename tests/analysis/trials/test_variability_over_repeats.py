"""Variability over repeats against plain NumPy, and where its value is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import ann2neo
from ann2neo.analysis.trials.variability_over_repeats import variability_over_repeats
from ann2neo.errors import InputValueError


def _recording(bits: np.ndarray, stimuli: np.ndarray) -> ann2neo.Recording:
    return ann2neo.Recording.from_activations(
        bits.astype(float), 0.5, stimulus_id=stimuli
    )


def test_it_is_the_variance_over_the_mean_of_each_stimulus() -> None:
    """The Fano factor over repeats is the sum of the stimuli's variances over that of
    their means, unit by unit.
    """
    rng = np.random.default_rng(0)
    stimuli = rng.permutation(np.repeat(np.arange(12), [1, 2, 3, 4, 5, 6] * 2))
    bits = rng.random((len(stimuli), 5)) < np.array([0.0, 0.1, 0.5, 0.9, 1.0])
    table = variability_over_repeats(_recording(bits, stimuli))
    responses = [bits[stimuli == s] for s in range(12) if (stimuli == s).sum() > 1]
    variances = np.sum([part.var(axis=0, ddof=1) for part in responses], axis=0)
    means = np.sum([part.mean(axis=0) for part in responses], axis=0)
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(table["fano_factor_over_repeats"], variances / means)
    np.testing.assert_allclose(table["mean_count"], means / 10)
    np.testing.assert_allclose(
        table["varying_share"],
        np.mean([part.std(axis=0) > 0 for part in responses], axis=0),
    )
    assert table["n_stimuli"].to_list() == [10] * 5
    assert table["n_presentations"].to_list() == [40] * 5


def test_a_deterministic_network_does_not_vary() -> None:
    """Answers that depend on the stimulus alone have a Fano factor of exactly 0, and
    noise that of its rate.
    """
    rng = np.random.default_rng(1)
    stimuli = np.tile(np.arange(200), 50)
    fixed = (rng.random((200, 3)) < 0.4)[stimuli]
    noisy = rng.random((10_000, 1)) < 0.3
    fano = variability_over_repeats(_recording(np.hstack([fixed, noisy]), stimuli))[
        "fano_factor_over_repeats"
    ]
    assert fano[:3].to_list() == [0.0, 0.0, 0.0]
    assert fano[3] == pytest.approx(0.7, abs=0.03)


def test_trials_of_many_bins_count_their_spikes() -> None:
    """A Poisson neuron's counts over trials of one stimulus have a Fano factor
    near 1.
    """
    rng = np.random.default_rng(2)
    raster = ann2neo.SpikeRaster.from_dense(rng.random((1, 400 * 500)) < 0.01)
    start = np.arange(400) * 500
    trials = pd.DataFrame(
        {"start_bin": start, "stop_bin": start + 500, "stimulus_id": np.arange(400) % 4}
    )
    table = variability_over_repeats(
        ann2neo.Recording.from_raster(raster, presentations=trials)
    )
    assert table["fano_factor_over_repeats"][0] == pytest.approx(
        0.99, abs=5 * np.sqrt(2 / 396)
    )
    assert table["mean_count"][0] == pytest.approx(5, rel=0.1)


def test_phases_are_judged_apart() -> None:
    """Phases that number other stimuli alike do not mix: a deterministic network has a
    Fano factor of 0 in each, and a phase without repeats has none.
    """
    answers = np.arange(20) % 2 == 0
    ids = np.tile(np.arange(10), 2)
    train = ann2neo.Recording.from_activations(
        answers[:, None] - 0.5, stimulus_id=ids, labels=answers, phase="train"
    )
    test = ann2neo.Recording.from_activations(
        0.5 - answers[:, None], stimulus_id=ids, labels=~answers, phase="test"
    )
    last = ann2neo.Recording.from_activations(
        np.ones((3, 1)), stimulus_id=np.arange(3), labels=[True] * 3, phase="last"
    )
    table = variability_over_repeats(ann2neo.Recording.concatenate([train, test, last]))
    assert table["phase"].to_list() == ["train", "test", "last"]
    assert table["fano_factor_over_repeats"][:2].to_list() == [0.0, 0.0]
    assert table["n_stimuli"].to_list() == [10, 10, 0]
    assert np.isnan(table["fano_factor_over_repeats"][2])


def test_one_stimulus_with_two_labels_is_refused() -> None:
    """Presentations that differ in their label are no repeats of one stimulus."""
    recording = ann2neo.Recording.from_activations(
        np.ones((4, 1)), stimulus_id=[0, 1, 0, 1], labels=[3, 4, 3, 5]
    )
    with pytest.raises(InputValueError, match=r"stimulus 1 .* has the labels 4, 5, so"):
        variability_over_repeats(recording)


def test_recordings_without_repeats_are_refused() -> None:
    """Without stimulus_id, or with every stimulus shown once, there is nothing to
    compare.
    """
    with pytest.raises(InputValueError, match="has no stimulus_id"):
        variability_over_repeats(ann2neo.Recording.from_activations(np.eye(3)))
    with pytest.raises(
        InputValueError, match="all 3 were shown once; record with training=True"
    ):
        variability_over_repeats(_recording(np.eye(3), np.arange(3)))
