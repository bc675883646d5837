"""The summary of a population agrees with its parts, and with what is known of it."""

import numpy as np
import pandas as pd
import pytest

from ann2neo import InputTypeError, Recording
from ann2neo.analysis.populations.correlations import complexity
from ann2neo.analysis.populations.selectivity import selectivity, treves_rolls
from ann2neo.analysis.populations.summarize_populations import summarize_populations
from ann2neo.testing import make_recording


def tuned_recording(phase, seed, n=600, n_units=12):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, n)
    activations = (
        rng.normal(size=(4, n_units))[labels]
        + rng.normal(size=(n, n_units))
        + 0.5 * rng.normal(size=(n, 1))
    )
    return Recording.from_activations(activations, labels=labels, phase=phase)


def test_every_phase_is_summarized_from_its_own_bins():
    """Two phases in one recording give the rows that each gives alone."""
    train, test = tuned_recording("train", 0), tuned_recording("test", 1, n=300)
    both = summarize_populations(
        Recording.concatenate([train, test]), n_permutations=99, seed=3
    )
    alone = [
        summarize_populations(part, n_permutations=99, seed=3) for part in (train, test)
    ]
    pd.testing.assert_frame_equal(both, pd.concat(alone, ignore_index=True))


def test_the_summary_agrees_with_its_parts():
    """Complexity, selectivity and information are those of the tables they
    summarize.
    """
    recording = tuned_recording("test", 2)
    row = summarize_populations(recording, n_permutations=99, seed=0).iloc[0]
    table = complexity(recording)
    moments = {}
    for name in ("probability", "probability_independent"):
        mean = (table["complexity"] * table[name]).sum()
        moments[name] = (((table["complexity"] - mean) ** 2) * table[name]).sum()
    assert row["complexity_variance_ratio"] == pytest.approx(
        moments["probability"] / moments["probability_independent"]
    )
    assert row["complexity_variance_ratio"] > 1.5
    units = selectivity(recording, n_permutations=99, seed=0)
    assert row["mean_selectivity_index"] == pytest.approx(
        units["selectivity_index"].mean()
    )
    assert row["mean_mutual_information"] == pytest.approx(
        units["mutual_information"].mean()
    )
    assert row["informative_share"] == 1
    dense, labels = (
        recording.raster.to_dense(),
        recording.presentations["label"].to_numpy(),
    )
    rates = np.array([dense[:, labels == label].mean(axis=1) for label in range(4)])
    expected = np.mean((1 - treves_rolls(rates)) / (1 - 1 / 12))
    assert row["population_sparseness"] == pytest.approx(expected)


def test_without_labels_the_columns_of_tuning_are_empty():
    """Silent units and missing labels give NaN where nothing can be said, and the rest
    all the same.
    """
    bits = np.vstack([np.zeros((2, 50)), np.arange(50) % 2, np.ones(50)]).astype(bool)
    row = summarize_populations(make_recording(bits), seed=0).iloc[0]
    assert (row["silent_share"], row["saturated_share"], row["mean_firing_rate"]) == (
        0.5,
        0.25,
        0.375,
    )
    assert (
        row[["tuning_correlation", "mean_mutual_information", "population_sparseness"]]
        .isna()
        .all()
    )
    assert row["complexity_variance_ratio"] == pytest.approx(1)


def test_only_recordings_are_summarized():
    """Anything else is refused with the way to wrap it."""
    with pytest.raises(InputTypeError, match=r"a Recording, got ndarray; wrap spikes"):
        summarize_populations(np.ones((2, 2)))
