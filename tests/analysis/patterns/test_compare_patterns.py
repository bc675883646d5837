"""Flips between recordings of the same stimuli, dead units, and units to keep."""

import numpy as np
import pandas as pd
import pytest

import ann2neo
from ann2neo import (
    InputTypeError,
    InputValueError,
    Recording,
    compare_patterns,
    dead_units,
    selectivity,
    units_to_keep,
)
from ann2neo.raster import SpikeRaster
from ann2neo.testing import make_recording


def shown(dense, stimuli, **options):
    """A recording of stimuli 0, 1, .. shown in some order, as a network's."""
    table = pd.DataFrame(
        {
            "layer": ["a"] * (len(dense) - 2) + ["b"] * 2,
            "layer_type": "Dense",
            "layer_index": 0,
            "unit_in_layer": np.arange(len(dense)),
            "threshold": 0.0,
        }
    )
    return Recording.from_activations(
        dense[:, stimuli].T.astype(float), units=table, stimulus_id=stimuli, **options
    )


def test_flips_are_counted_in_stimulus_order():
    """Two recordings in different random orders give the counts of the matrices in one
    order, per unit, per sample and per layer.
    """
    rng = np.random.default_rng(0)
    first = rng.random((7, 90)) < 0.4
    second = first ^ (rng.random((7, 90)) < 0.1)
    flips = compare_patterns(
        shown(first, rng.permutation(90), order="random", phase="before"),
        shown(second, rng.permutation(90), order="random", phase="after"),
        seed=1,
    )
    differ = first != second
    units, samples, summary = flips.units, flips.samples, flips.summary
    np.testing.assert_array_equal(units["n_flips"], differ.sum(axis=1))
    np.testing.assert_array_equal(units["n_gained"], (~first & second).sum(axis=1))
    np.testing.assert_array_equal(units["n_lost"], (first & ~second).sum(axis=1))
    np.testing.assert_array_equal(samples["n_flips"], differ.sum(axis=0))
    np.testing.assert_array_equal(samples["stimulus_id"], np.arange(90))
    change = np.abs(first.sum(axis=0) - second.sum(axis=0)) / 7
    np.testing.assert_allclose(samples["pattern_flips_floor"], change)
    assert summary["layer"].to_list() == ["a", "b"]
    assert summary["pattern_flips"].to_list() == pytest.approx(
        [differ[:5].mean(), differ[5:].mean()]
    )
    assert set(summary["pattern_flips_pvalue"]) == {0.01}
    assert summary.loc[0, ["phase", "second_phase"]].to_list() == ["before", "after"]
    assert set(units["phase"]) == set(samples["phase"]) == {"before"}


def test_flips_lie_between_what_rates_force_and_what_they_alone_give():
    """No share is below its floor; unrelated recordings have the share of independent
    ones, which is the exact mean over joint permutations, and no small p-value.
    """
    rng = np.random.default_rng(2)
    rates = np.array([[0.1], [0.5], [0.9], [0.0], [0.3]])
    first, second = (rng.random((5, 400)) < rate for rate in (rates, rates[::-1]))
    flips = compare_patterns(make_recording(first), make_recording(second), seed=0)
    for table in (flips.units, flips.samples, flips.summary):
        assert (table["pattern_flips"] >= table["pattern_flips_floor"] - 1e-12).all()
    row = flips.summary.iloc[0]
    drawn = [(first != second[:, rng.permutation(400)]).mean() for _ in range(1000)]
    error = np.std(drawn) / np.sqrt(1000)
    assert abs(row["pattern_flips_independent"] - np.mean(drawn)) < 4 * error
    assert row["pattern_flips_pvalue"] > 0.01


def test_a_recording_does_not_differ_from_itself():
    """No flip in any phase, one sample and one unit included."""
    recording = make_recording(layers=["a", "b"], labels=3, phases=["x", "y"])
    flips = compare_patterns(recording, recording, seed=0)
    assert len(flips.summary) == 4
    assert (flips.summary["pattern_flips"] == 0).all()
    assert (flips.units["n_flips"] == 0).all()
    assert len(flips.samples) == 400
    one = compare_patterns(make_recording([[1]]), make_recording([[0]]), seed=0)
    row = one.summary.iloc[0]
    assert (row["pattern_flips"], row["pattern_flips_floor"]) == (1, 1)
    # A single sample has one order only, so that nothing is unlikely.
    assert row["pattern_flips_pvalue"] == 1
    none = make_recording(n_units=2).select(units=[])
    assert np.isnan(compare_patterns(none, none).summary["pattern_flips"][0])


def test_permutations_are_seeded():
    """The same seed gives the same p-value; it is drawn and reported without one."""
    first, second = make_recording(n_units=2, seed=1), make_recording(n_units=2, seed=2)
    tables = [
        compare_patterns(first, second, n_permutations=29, seed=seed).summary
        for seed in (4, 4, None)
    ]
    pd.testing.assert_frame_equal(tables[0], tables[1])
    assert tables[0]["seed"][0] == 4
    assert tables[2]["seed"][0] >= 0


def test_recordings_of_something_else_are_refused():
    """Other units, other stimuli, other lengths and an unknown random order."""
    dense = np.random.default_rng(0).random((4, 6)) < 0.5
    recording = shown(dense, np.arange(6))
    with pytest.raises(InputValueError, match="not the same units: 4 and 3"):
        compare_patterns(recording, recording.select(units=[0, 1, 2]))
    for other in (
        shown(dense, np.arange(5)),
        Recording.from_activations(
            dense.T.astype(float), units=recording.units, stimulus_id=np.arange(1, 7)
        ),
        Recording.from_raster(recording.raster, recording.units),
    ):
        with pytest.raises(InputValueError, match="same stimuli in both recordings"):
            compare_patterns(recording, other)
    unknown = make_recording(order="random")
    with pytest.raises(InputValueError, match="missing in a random order"):
        compare_patterns(unknown, unknown)
    with pytest.raises(InputValueError, match="by must be one of"):
        compare_patterns(recording, recording, by="area")
    with pytest.raises(InputTypeError, match="compare_patterns needs a Recording"):
        compare_patterns(recording, recording.raster)


# -- dead units
# --------------------------------------------------------------------------------------


def test_silent_and_saturated_units_are_counted_per_layer():
    """In each phase, and in all of them; the limit is that of Clopper and Pearson."""
    from scipy.stats import binomtest

    first = np.array([[0, 0, 0], [1, 1, 1], [0, 1, 0], [0, 0, 0]])
    second = np.array([[0, 0, 0], [1, 1, 1], [1, 1, 1], [0, 0, 1]])
    recording = ann2neo.Recording.concatenate(
        [
            make_recording(spikes, layers=["one", "two"], phases=[phase])
            for spikes, phase in ((first, "train"), (second, "test"))
        ]
    )
    table = dead_units(recording)
    names = ["phase", "layer", "n_silent", "n_saturated", "n_silent_everywhere"]
    assert table[[*names, "n_saturated_everywhere"]].to_numpy().tolist() == [
        ["train", "one", 1, 1, 1, 1],
        ["train", "two", 1, 0, 0, 0],
        ["test", "one", 1, 1, 1, 1],
        ["test", "two", 0, 1, 0, 0],
    ]
    assert table["silent_share"].to_list() == [0.5, 0.5, 0.5, 0]
    interval = binomtest(0, 3, alternative="less").proportion_ci(0.95)
    assert table["silent_rate_limit"][0] == pytest.approx(interval.high)


def test_a_census_of_no_units_is_a_row():
    """Without units the counts are 0 and the shares NaN."""
    row = dead_units(make_recording(n_units=1).select(units=[])).iloc[0]
    assert (row["n_units"], row["n_silent"]) == (0, 0)
    assert np.isnan(row["silent_share"])
    with pytest.raises(InputTypeError, match="dead_units needs a Recording"):
        dead_units("network.nwb")


# -- pruning
# --------------------------------------------------------------------------------------


def test_units_are_kept_by_their_rate():
    """Those above the limit, or so many of the highest, of equals the first."""
    spikes = np.zeros((5, 10), bool)
    for row, count in zip(spikes, [2, 0, 5, 2, 10], strict=True):
        row[:count] = True
    recording = make_recording(spikes)
    assert units_to_keep(recording).tolist() == [0, 2, 3, 4]
    assert units_to_keep(recording, above=0.2).tolist() == [2, 4]
    assert units_to_keep(recording, n_keep=3).tolist() == [0, 2, 4]
    assert units_to_keep(recording, n_keep=5).tolist() == [0, 1, 2, 3, 4]


def test_copies_of_a_unit_are_redundant():
    """By default one of each set of copies is kept; those kept differ from each other
    in more than the limit, and each that is dropped is within it of one that is kept.
    """
    rng = np.random.default_rng(0)
    different = rng.random((6, 300)) < 0.4
    copies = np.repeat(different, 3, axis=0)
    kept = units_to_keep(make_recording(copies), "redundancy")
    assert (kept // 3).tolist() == [0, 1, 2, 3, 4, 5]
    near = copies ^ (rng.random(copies.shape) < 0.02)
    distance = (near[:, np.newaxis] != near).mean(axis=2)
    for above in (0.0, 0.1, 0.3):
        kept = units_to_keep(make_recording(near), "redundancy", above=above)
        among = distance[np.ix_(kept, kept)] + np.eye(len(kept))
        assert (among > above).all()
        dropped = np.setdiff1d(np.arange(18), kept)
        assert (distance[np.ix_(dropped, kept)].min(axis=1) <= above).all()
    six = units_to_keep(make_recording(near), "redundancy", n_keep=6)
    assert (six // 3).tolist() == [0, 1, 2, 3, 4, 5]
    silent = make_recording(np.zeros((3, 5), bool))
    assert units_to_keep(silent, "redundancy").tolist() == [0]
    assert units_to_keep(silent, "redundancy", n_keep=3).tolist() == [0, 1, 2]
    assert units_to_keep(silent.select(units=[]), "redundancy").tolist() == []


def test_units_are_kept_by_what_they_tell_about_the_label():
    """Tuned units carry more information than untuned ones, as selectivity has it."""
    rates = np.full((6, 2), 0.3)
    rates[1], rates[4] = [0.1, 0.9], [0.8, 0.2]
    recording = make_recording(
        n_units=6, n_time_bins=400, rate=rates, labels=2, phases=["x", "y"]
    )
    assert units_to_keep(recording, "information", n_keep=2, phase="y").tolist() == [
        1,
        4,
    ]
    part = recording.select(phase="x")
    table = selectivity(part, n_permutations=99, seed=0)
    kept = units_to_keep(part, "information", above=0.01)
    expected = np.flatnonzero(table["mutual_information"] > 0.01)
    np.testing.assert_array_equal(kept, expected)


def test_rules_that_cannot_be_are_refused():
    """Two rules at once, numbers out of range, unknown words, no labels."""
    recording = make_recording(n_units=4)
    with pytest.raises(InputValueError, match=r"n_keep=2 and above=0\.1 are two rules"):
        units_to_keep(recording, n_keep=2, above=0.1)
    with pytest.raises(InputValueError, match="n_keep must be at most 4"):
        units_to_keep(recording, n_keep=5)
    with pytest.raises(InputTypeError, match="above must be a number"):
        units_to_keep(recording, above="0.1")
    with pytest.raises(InputValueError, match="above must be finite"):
        units_to_keep(recording, above=float("nan"))
    with pytest.raises(InputValueError, match="rule must be one of rate, redundancy"):
        units_to_keep(recording, "size")
    with pytest.raises(InputValueError, match="has no labels"):
        units_to_keep(recording, "information")
    with pytest.raises(InputValueError, match="say which phase"):
        units_to_keep(make_recording(phases=["a", "b"]))


def test_a_raster_alone_is_enough():
    """Recordings without presentations, as of neurons, are compared as they stand."""
    first = Recording.from_raster(SpikeRaster.from_dense([[1, 0, 0]]), order="stored")
    second = Recording.from_raster(SpikeRaster.from_dense([[0, 0, 1]]), order="stored")
    flips = compare_patterns(first, second, seed=0)
    assert flips.samples["n_flips"].to_list() == [1, 0, 1]
    assert "stimulus_id" not in flips.samples
    assert "layer" not in flips.summary


@pytest.mark.parametrize("rule", ["rate", "redundancy", "information"])
def test_an_executor_is_checked_whatever_the_rule(rule):
    """What is no executor is refused, also by a rule that needs none."""
    recording = make_recording(n_units=4, labels=2)
    with pytest.raises(InputTypeError, match="executor must be an executor, got 4"):
        units_to_keep(recording, rule, executor=4)
