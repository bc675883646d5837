"""Selectivity, sparseness and information of known units are recovered; their nulls are
calibrated.
"""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kstest
from sklearn.metrics import mutual_info_score

from ann2neo import InputTypeError, InputValueError, Recording, SpikeRaster
from ann2neo.analysis.populations.correlations import correlations
from ann2neo.analysis.populations.selectivity import (
    lifetime_sparseness,
    selectivity,
    selectivity_index,
    single_stimulus_overlap,
    treves_rolls,
)
from ann2neo.analysis.populations.summarize_populations import summarize_populations
from ann2neo.testing import make_recording


def tuned(seed, rates, n):
    """A recording of n presentations, units with given rates for each label, shape
    (n_units, n_labels).
    """
    n_units, n_labels = rates.shape
    return make_recording(
        n_units=n_units,
        n_time_bins=n,
        rate=rates,
        labels=n_labels,
        phases="train",
        seed=seed,
    )


def test_given_tuning_is_recovered_within_its_standard_errors():
    """Preferred label, index, sparseness and information of 40 alike units scatter
    about the true values.
    """
    truth = np.array([0.1, 0.6, 0.2, 0.1])
    table = selectivity(
        tuned(0, np.tile(truth, (40, 1)), 3000), n_permutations=99, seed=1
    )
    assert (table["preferred_label"] == 1).all()
    entropy = -sum(p * np.log2(p) for p in (0.25, 0.75))
    conditional = -np.mean([p * np.log2(p) + (1 - p) * np.log2(1 - p) for p in truth])
    expected = {
        "selectivity_index": (0.6 - 0.4 / 3) / (0.6 + 0.4 / 3),
        "treves_rolls": truth.mean() ** 2 / (truth**2).mean(),
        "mutual_information": entropy - conditional,
        "mean_rate": 0.25,
        "preferred_rate": 0.6,
    }
    for column, value in expected.items():
        error = table[column].std() / np.sqrt(40)
        assert abs(table[column].mean() - value) < 4 * error, column
    np.testing.assert_allclose(
        table["lifetime_sparseness"], (1 - table["treves_rolls"]) / 0.75
    )
    assert (table["mutual_information_pvalue"] == 0.01).all()


def test_information_is_scikit_learns_less_its_mean_under_permuted_labels():
    """The plug-in value equals mutual_info_score; subtracted is its mean over permuted
    labels.
    """
    recording = tuned(1, np.random.default_rng(1).random((5, 7)), 400)
    table = selectivity(recording, n_permutations=2000, seed=0)
    labels = recording.presentations["label"].to_numpy()
    rng = np.random.default_rng(2)
    for unit, row in enumerate(recording.raster.to_dense()):
        null = [
            mutual_info_score(rng.permutation(labels), row) / np.log(2)
            for _ in range(200)
        ]
        plugin = mutual_info_score(labels, row) / np.log(2)
        error = np.std(null) * np.sqrt(1 / 200 + 1 / 2000)
        found = table["mutual_information"][unit]
        assert abs(found - (plugin - np.mean(null))) < 5 * error


def test_the_information_of_many_counts_in_few_trials_is_unbiased():
    """100 trials of 8 labels with 50 spikes on average carry no information, where the
    correction of Miller and Madow leaves -0.08 bits.
    """
    rng = np.random.default_rng(0)
    start = np.arange(100) * 500
    trials = pd.DataFrame(
        {"start_bin": start, "stop_bin": start + 500, "label": np.arange(100) % 8}
    )
    raster = SpikeRaster.from_dense(rng.random((20, 50_000)) < 0.1)
    table = selectivity(
        Recording.from_raster(raster, presentations=trials), n_permutations=99, seed=0
    )
    information = table["mutual_information"]
    assert abs(information.mean()) < 4 * information.std() / np.sqrt(20)


def test_each_kind_of_presentations_is_judged_by_itself():
    """A unit that fires alike throughout has no preference among trials, whatever cues
    overlap them; a kind that does not exist is refused with those that do.
    """
    bits = np.zeros((2, 200), bool)
    bits[0, ::10], bits[1, 5::10] = True, True
    table = pd.DataFrame(
        {
            "start_bin": [0, 0, 50, 50, 100, 150],
            "stop_bin": [50, 25, 100, 75, 150, 200],
            "label": ["a", "on", "b", "off", "a", "b"],
            "kind": ["trials", "cues", "trials", "cues", "trials", "trials"],
        }
    )
    recording = Recording.from_raster(SpikeRaster.from_dense(bits), presentations=table)
    found = selectivity(recording, n_permutations=9, seed=0)
    np.testing.assert_allclose(found["mean_rate"], 0.1)
    np.testing.assert_array_equal(found["selectivity_index"], 0)
    assert found["n_presentations"].to_list() == [4, 4]
    assert correlations(recording).tuning_mean == pytest.approx(0)
    cues = selectivity(recording, kind="cues", n_permutations=9, seed=0)
    assert cues["n_presentations"].to_list() == [2, 2]
    for function in (selectivity, correlations, summarize_populations):
        with pytest.raises(InputValueError, match=r"'rewards'; .*'trials', 'cues'"):
            function(recording, kind="rewards")


def test_labels_of_numbers_stay_numbers():
    """Labels that are fractions are preferred as fractions, and NaN is no label."""
    labels = np.tile([0.25, 0.75, np.nan], 20)
    bits = np.vstack([labels == 0.75, np.zeros(60, bool)])
    table = pd.DataFrame(
        {"start_bin": np.arange(60), "stop_bin": np.arange(60) + 1, "label": labels}
    )
    recording = Recording.from_raster(SpikeRaster.from_dense(bits), presentations=table)
    found = selectivity(recording, n_permutations=9, seed=0)
    np.testing.assert_array_equal(found["preferred_label"], [0.75, np.nan])
    assert found["n_presentations"].to_list() == [40, 40]


def test_untuned_units_have_no_information_and_uniform_p_values():
    """Under independence the corrected information averages 0, p-values are uniform,
    the index is as expected.
    """
    table = selectivity(
        tuned(2, np.full((400, 5), 0.3), 500), n_permutations=199, seed=3
    )
    information = table["mutual_information"]
    assert abs(information.mean()) < 4 * information.std() / 20
    assert kstest(table["mutual_information_pvalue"], "uniform").pvalue > 0.001
    difference = table["selectivity_index"] - table["selectivity_index_expected"]
    assert abs(difference.mean()) < 4 * difference.std() / 20
    assert table["selectivity_index_expected"].min() > 0.05


def test_drawn_tables_are_permuted_labels():
    """Mean index and exceedances of drawn contingency tables agree with permuting the
    labels themselves.
    """
    rng = np.random.default_rng(5)
    recording = tuned(5, np.array([[0.2, 0.3, 0.4]]), 120)
    table = selectivity(recording, n_permutations=4000, seed=0).iloc[0]
    bits, labels = (
        recording.raster.to_dense()[0],
        recording.presentations["label"].to_numpy(),
    )
    observed = mutual_info_score(labels, bits)
    index, reached = [], 0
    n_shuffles = 500
    for _ in range(n_shuffles):
        shuffled = rng.permutation(labels)
        reached += mutual_info_score(shuffled, bits) >= observed - 1e-12
        rates = np.array([[bits[shuffled == label].mean() for label in range(3)]])
        index.append(selectivity_index(rates)[0])
    error = np.std(index) / np.sqrt(n_shuffles)
    assert abs(np.mean(index) - table["selectivity_index_expected"]) < 5 * error
    p = (1 + reached) / (1 + n_shuffles)
    error = np.sqrt(p * (1 - p) * (1 / n_shuffles + 1 / 4000))
    assert abs(p - table["mutual_information_pvalue"]) < 5 * error


def test_trials_of_many_bins_are_judged_by_their_spike_counts():
    """With trials of several bins, responses are spikes per trial and rates are per
    bin.
    """
    rng = np.random.default_rng(6)
    labels = np.array(["left", "right"])[np.arange(60) % 2]
    bits = rng.random((2, 60 * 5)) < np.where(np.repeat(labels == "left", 5), 0.7, 0.2)
    bits[1] = rng.random(300) < 0.4
    table = pd.DataFrame(
        {
            "start_bin": np.arange(60) * 5,
            "stop_bin": np.arange(60) * 5 + 4,
            "label": labels,
        }
    )
    recording = Recording.from_raster(SpikeRaster.from_dense(bits), presentations=table)
    found = selectivity(recording, n_permutations=499, seed=0)
    seen = bits.reshape(2, 60, 5)[:, :, :4]
    left = labels == "left"
    np.testing.assert_allclose(found["preferred_rate"][0], seen[0, left].mean())
    np.testing.assert_allclose(found["mean_rate"], seen.mean(axis=(1, 2)))
    counts = seen.sum(axis=2)
    for unit in range(2):
        plugin = mutual_info_score(labels, counts[unit]) / np.log(2)
        null = [
            mutual_info_score(rng.permutation(labels), counts[unit]) / np.log(2)
            for _ in range(300)
        ]
        error = np.std(null) * np.sqrt(1 / 300 + 1 / 499)
        bias = plugin - found["mutual_information"][unit]
        assert abs(bias - np.mean(null)) < 5 * error
    assert found["preferred_label"][0] == "left"
    assert found["mutual_information_pvalue"][0] == pytest.approx(0.002)
    assert found["mutual_information_pvalue"][1] > 0.02


def test_units_that_fire_for_one_stimulus_are_found_and_compared():
    """Units made to fire for one sample are counted in each phase, with label, and
    repeats are one stimulus.
    """
    phases = []
    for name, active in (
        ("train", [[2], [0, 3], [4, 5], [], [1]]),
        ("test", [[0], [3], [], [], [5, 4]]),
    ):
        activations = np.zeros((6, 5))
        for unit, rows in enumerate(active):
            activations[rows, unit] = 1
        phases.append(
            Recording.from_activations(
                activations,
                labels=[0, 1, 0, 1, 2, 2],
                stimulus_id=[10, 11, 12, 13, 14, 14],
                phase=name,
            )
        )
    table = selectivity(Recording.concatenate(phases), n_permutations=9, seed=0)
    train = table[table["phase"] == "train"]
    assert train["n_stimuli"].to_list() == [1, 2, 1, 0, 1]
    assert train["only_stimulus"].to_list() == [12, -1, 14, -1, 11]
    assert train["only_label"].to_list() == [0, -1, 2, -1, 1]
    overlap = single_stimulus_overlap(table)
    expected = {
        "n_units": 5,
        "n_first": 3,
        "n_second": 3,
        "n_both": 2,
        "n_both_expected": 1.8,
    }
    expected |= {"n_first_silent_in_second": 1, "n_same_label": 1, "n_same_stimulus": 0}
    assert overlap.to_dict() == pytest.approx(expected)


def test_sparseness_has_its_limits():
    """One active entry gives 1 / n and 1, equal entries 1 and 0, silence and a single
    label NaN.
    """
    rates = np.array([[0.0, 0.0, 0.7], [0.4, 0.4, 0.4], [0.0, 0.0, 0.0]])
    np.testing.assert_allclose(treves_rolls(rates), [1 / 3, 1, np.nan])
    np.testing.assert_allclose(lifetime_sparseness(rates), [1, 0, np.nan], atol=1e-15)
    np.testing.assert_allclose(selectivity_index(rates), [1, 0, np.nan], atol=1e-15)
    assert np.isnan(lifetime_sparseness(rates[:, :1])).all()


def test_silent_saturated_and_single_label_never_fail():
    """Units that never vary, and one label only, give NaN or 0 and a p-value of 1."""
    activations = np.column_stack([np.zeros(20), np.ones(20), np.arange(20) % 2])
    table = selectivity(
        Recording.from_activations(activations, labels=np.arange(20) % 4),
        n_permutations=19,
        seed=0,
    )
    assert table["mutual_information"][:2].to_list() == [0, 0]
    assert table["mutual_information_pvalue"][:2].to_list() == [1, 1]
    assert table["preferred_label"][0] == -1
    assert np.isnan(table["selectivity_index"][0])
    assert table["selectivity_index"][1] == 0
    one = selectivity(
        Recording.from_activations(activations, labels=np.zeros(20, int)),
        n_permutations=19,
        seed=0,
    )
    assert (one["mutual_information_pvalue"] == 1).all()
    assert one["selectivity_index"].isna().all()


def test_the_seed_decides_and_is_reported():
    """The same seed gives the same table, blocks of units do not matter, and a drawn
    seed reproduces its result.
    """
    recording = tuned(7, np.random.default_rng(8).random((6, 3)), 200)
    drawn = selectivity(recording, n_permutations=49)
    again = selectivity(recording, n_permutations=49, seed=int(drawn["seed"][0]))
    pd.testing.assert_frame_equal(drawn, again)
    last = selectivity(
        recording.select(units=[5]), n_permutations=49, seed=int(drawn["seed"][0])
    )
    pd.testing.assert_frame_equal(
        last.drop(columns="unit"),
        drawn.iloc[5:].reset_index(drop=True).drop(columns="unit"),
    )


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (
            lambda r: selectivity(r.raster),
            InputTypeError,
            "needs a Recording, got SpikeRaster",
        ),
        (
            lambda r: selectivity(Recording.from_raster(r.raster)),
            InputValueError,
            r"no labels, and tuning needs them; record with labels=",
        ),
        (
            lambda r: selectivity(
                Recording.concatenate(
                    [r, r.select(presentations=[0]).with_phase_names({"train": "test"})]
                ).select(presentations=[0]),
                n_permutations=0,
            ),
            InputValueError,
            "n_permutations must be at least 1, got 0",
        ),
        (
            lambda r: selectivity(r, seed=-1),
            InputValueError,
            "seed must be at least 0, got -1",
        ),
        (
            lambda r: selectivity(r, seed=0.5),
            InputTypeError,
            r"seed must be a whole number, got 0.5 \(float\); pass None to draw one",
        ),
        (
            lambda r: single_stimulus_overlap(selectivity(r, n_permutations=1)),
            InputValueError,
            "unknown phase 'test'; this table has 'train'",
        ),
    ],
)
def test_bad_input_says_value_rule_and_remedy(call, error, words):
    """Each mistake is refused with words that name it."""
    with pytest.raises(error, match=words):
        call(tuned(0, np.full((2, 2), 0.5), 10))


def test_rates_of_every_label_can_be_had():
    """With rates=True the last columns are spikes per bin of the presentations of each
    label, NaN in a phase without it; the other columns stay as they are.
    """
    labels = {"train": np.arange(60) % 3, "test": np.arange(60) % 2}
    parts = [
        make_recording(n_units=4, n_time_bins=60, labels=of, phases=phase, seed=3)
        for phase, of in labels.items()
    ]
    recording = Recording.concatenate(parts)
    plain = selectivity(recording, n_permutations=9, seed=0)
    table = selectivity(recording, n_permutations=9, seed=0, rates=True)
    names = ["rate_0", "rate_1", "rate_2"]
    assert list(table) == [*plain, *names]
    pd.testing.assert_frame_equal(table[list(plain)], plain)
    for part, (phase, of) in zip(parts, labels.items(), strict=True):
        dense = part.raster.to_dense()
        rows = table[table["phase"] == phase]
        for label, name in enumerate(names):
            expected = np.full(4, np.nan)
            if (of == label).any():
                expected = dense[:, of == label].mean(axis=1)
            np.testing.assert_allclose(rows[name], expected)
