"""Spike times as people have them: what is binned, what is left out, what is said."""

from __future__ import annotations

import json
import warnings

import neo
import numpy as np
import pandas as pd
import pynapple
import pytest
import quantities as pq
from spikeinterface.core import NumpySorting

import ann2neo
from ann2neo import InputTypeError, InputValueError, Recording, SpikeRaster
from ann2neo.raster.binning import Observed
from ann2neo.recording.from_spike_times import (
    SpikeOrderWarning,
    SpikesLostWarning,
    SpikesOutsideWarning,
    recording_from_spike_times,
)
from ann2neo.recording.observed_time import (
    CommonTimeWarning,
    common_time,
    intersection,
    is_inside,
    merged_stretches,
    observed_by_all,
    without,
)


def times(seed=0, n=400, stop=40.0):
    return np.sort(np.random.default_rng(seed).random(n)) * stop


def bounds(recording):
    return recording.segments[["start_bin", "stop_bin"]].to_numpy().tolist()


# -- what is accepted
# --------------------------------------------------------------------------------------


def test_lists_of_numbers_are_seconds():
    """A spike at t lies in the bin floor(t / bin_size); the recording runs from 0."""
    recording = ann2neo.from_spike_times([times(), []], t_stop=40)
    assert (recording.n_units, recording.n_time_bins) == (2, 40_000)
    np.testing.assert_array_equal(
        recording.raster.spike_bins(0), np.unique(np.floor(times() * 1000))
    )
    assert recording.phases["phase"].to_list() == ["recording"]
    assert recording.segments["t_start"].to_list() == [0.0]


def test_quantities_and_spike_trains_have_their_own_unit():
    """Milliseconds and seconds give the same bins, and trains say when they end."""
    trains = [
        neo.SpikeTrain(times() * 1000, units="ms", t_stop=40_000, name="a"),
        neo.SpikeTrain(times(1), units="s", t_stop=40, name="b"),
    ]
    recording = ann2neo.from_spike_times(trains)
    same = ann2neo.from_spike_times([times() * pq.s, times(1)], t_stop=40 * pq.s)
    assert recording.raster.equals(same.raster)
    assert recording.units["name"].to_list() == ["a", "b"]


@pytest.mark.parametrize(
    ("keys", "column"), [(["fast", "slow"], "name"), ([7, 2], "unit_id")]
)
def test_keys_of_a_mapping_name_the_units(keys, column):
    """Text becomes the column name, integers unit_id, in the mapping's order."""
    recording = Recording.from_spike_times(dict.fromkeys(keys, times()), t_stop=40)
    assert recording.units[column].to_list() == keys


def test_a_pynapple_group_is_taken_with_its_time_support():
    """Rates within the time support are pynapple's, unit by unit."""
    group = pynapple.TsGroup(
        {2: pynapple.Ts(times()), 7: pynapple.Ts(times(1))},
        time_support=pynapple.IntervalSet([0, 20], [10, 30]),
    )
    recording = ann2neo.from_spike_times(
        group, bin_size=0.01 * pq.ms, observed=group.time_support.values
    )
    assert bounds(recording) == [[0, 1_000_000], [2_000_000, 3_000_000]]
    assert recording.units["unit_id"].to_list() == [2, 7]
    np.testing.assert_allclose(
        ann2neo.analyze(recording)["firing_rate_hz"], np.asarray(group["rate"])
    )


def test_a_spikeinterface_sorting_is_taken_by_its_unit_trains():
    """Frames of a sorting are the bins, and its unit ids name the units."""
    frames = np.sort(np.random.default_rng(1).choice(20_000, 300, replace=False))
    sorting = NumpySorting.from_unit_dict({"a": frames, "b": frames[::3]}, 1000.0)
    trains = {
        unit: sorting.get_unit_spike_train(unit, return_times=True)
        for unit in sorting.unit_ids
    }
    recording = ann2neo.from_spike_times(trains, t_stop=20)
    assert recording.units["name"].to_list() == ["a", "b"]
    assert recording.raster.spike_bins(0).tolist() == frames.tolist()
    assert recording.raster.spike_bins(1).tolist() == frames[::3].tolist()


def test_warnings_name_the_line_of_the_user():
    """A warning points to the call in the user's own file, however deep it arose."""
    for call in (ann2neo.from_spike_times, Recording.from_spike_times):
        with pytest.warns() as caught:
            call(
                [[0.1, 0.1001, 5.0], [0.2, 0.1]],
                observed=[[[0, 1]], [[0, 0.5]]],
                t_stop=1,
            )
        assert {warning.filename for warning in caught} == {__file__}
        assert len({warning.category for warning in caught}) == 4


def test_a_table_of_units_gives_columns():
    """A table in place of a choice is the table of units."""
    table = pd.DataFrame({"area": ["V1", "CA1"], "depth": [372.5, 10.0]})
    recording = ann2neo.from_spike_times([times(), []], t_stop=40, units=table)
    pd.testing.assert_frame_equal(recording.units, table, check_dtype=False)


@pytest.mark.parametrize(
    "chosen", [["b"], [1], [False, True], lambda table: table["name"] == "b"]
)
def test_units_choose(chosen):
    """Names, indices, masks and functions choose the same unit."""
    recording = ann2neo.from_spike_times(
        {"a": [0.1], "b": times()}, t_stop=40, units=chosen
    )
    assert recording.units["name"].to_list() == ["b"]
    assert recording.n_units == 1


@pytest.mark.parametrize(
    ("arguments", "options", "error", "words"),
    [
        (5, {}, InputTypeError, "needs spike times of each unit, a list or a mapping"),
        ([0.1, 0.2], {}, InputValueError, r"one series of 2 numbers; put it into a li"),
        ([[0.1]], {}, InputValueError, "needs t_stop: the last spike is at 0.1 s"),
        ([[0.1]], {"t_stop": 5 * pq.mV}, InputTypeError, "not a unit of time"),
        ([[0.1] * pq.mV], {"t_stop": 1}, InputTypeError, "must be times, got mV"),
        ([["a"]], {"t_stop": 1}, InputTypeError, "must be numbers in s"),
        ({"a": []}, {"t_stop": 1, "units": ["b"]}, InputValueError, "there are 'a'"),
        ({"a": []}, {"t_stop": 1, "units": []}, InputValueError, "chooses none of the"),
        (
            {"a": [0.1, np.nan], "b": [np.inf]},
            {"t_stop": 1},
            InputValueError,
            r"1 spike times of a are NaN or infinite \(2 of 2 units.*units=",
        ),
        ({"a": []}, {"observed": {}}, InputValueError, "no stretches of the unit 'a'"),
        (
            [[]],
            {"observed": [[[0, 1]], [[0, 1]]]},
            InputValueError,
            "stretches of 2 units, and there are 1",
        ),
        (
            [[]],
            {"t_stop": 1, "units": pd.DataFrame({"a": [1, 2]})},
            InputValueError,
            "one row per unit, 1, got 2",
        ),
    ],
)
def test_what_cannot_be_binned_is_told(arguments, options, error, words):
    """Each wrong argument is an error that says what is needed."""
    with pytest.raises(error, match=words):
        ann2neo.from_spike_times(arguments, **options)


def test_the_remedy_for_a_unit_with_nan_works():
    """A unit left out by units= may hold whatever it likes."""
    recording = ann2neo.from_spike_times(
        {"a": times(), "b": [np.nan]}, t_stop=40, units=["a"]
    )
    assert recording.n_units == 1


# -- observed time
# --------------------------------------------------------------------------------------


def test_stretches_are_segments_of_one_phase():
    """300 stretches make one phase of 300 segments, on the recording's clock."""
    starts = np.arange(300) * 5.0
    recording = ann2neo.from_spike_times(
        [[0.5]], observed=np.column_stack([starts, starts + 4])
    )
    assert recording.phases[["phase", "n_segments"]].to_numpy().tolist() == [
        ["recording", 300]
    ]
    np.testing.assert_array_equal(recording.segments["t_start"], starts)
    assert recording.phases["n_time_bins"].to_list() == [300 * 4000]


def test_only_whole_bins_inside_a_stretch_count():
    """A bin that is partly unobserved lies in no segment, its spikes are outside."""
    with pytest.warns(SpikesOutsideWarning, match="1 between observed stretches"):
        recording = ann2neo.from_spike_times(
            [[0.0005, 0.0102, 0.0112]], observed=[[0, 0.0105], [0.0110, 0.02]]
        )
    assert bounds(recording) == [[0, 10], [11, 20]]
    assert recording.provenance["spikes_outside"] == "1"


@pytest.mark.parametrize(
    ("stretches", "expected"),
    [
        ([[0, 20], [20, 40]], [[0, 40_000]]),
        ([[20, 40], [0, 10]], [[0, 10_000], [20_000, 40_000]]),
        ([[0, 25], [20, 40]], [[0, 40_000]]),
        ([[0, 40], [5, 6]], [[0, 40_000]]),
        ([[0, 40], [50, 50]], [[0, 40_000]]),
        ([[0, 0.3], [0.1 + 0.2, 40]], [[0, 40_000]]),
    ],
)
def test_stretches_are_sorted_and_merged(stretches, expected):
    """Adjoining and overlapping stretches are one, empty ones none, in any order."""
    recording = ann2neo.from_spike_times([times()], observed=stretches)
    assert bounds(recording) == expected


@pytest.mark.parametrize(
    ("stretches", "options", "words"),
    [
        ([[10, 0]], {}, "10.0 .. 0.0 s, stops before it starts: swap the two"),
        ([[0, np.nan]], {}, "0.0 .. nan s, is not a stretch: remove it"),
        ([[0, np.inf]], {}, "has no end, so t_stop is needed"),
        ([[-np.inf, 4]], {}, "has no beginning, so t_start is needed"),
        ([[5, 5]], {}, "1 of 1 units have no observed time: unit 0"),
        ([[5, 6]], {"t_stop": 4}, "no observed time between the start and 4 s"),
        ([[0, 1, 2]], {}, r"pairs of times, shape \(n, 2\)"),
        ([[0, 0.0005]], {}, "holds no whole bin"),
    ],
)
def test_stretches_that_are_none_are_told(stretches, options, words):
    """A stretch that is reversed, NaN, endless or empty has its own true sentence."""
    with pytest.raises(InputValueError, match=words):
        ann2neo.from_spike_times([[0.0001]], observed=stretches, **options)


def test_an_endless_stretch_is_cut_at_t_stop():
    """[0, inf] with t_stop runs to t_stop."""
    recording = ann2neo.from_spike_times([times()], observed=[[0, np.inf]], t_stop=40)
    assert bounds(recording) == [[0, 40_000]]


def test_what_t_start_and_t_stop_cut_off_is_no_loss():
    """Spikes that were observed but not asked for are counted without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        recording = ann2neo.from_spike_times(
            [times()],
            bin_size=0.1 * pq.ms,
            t_start=10,
            t_stop=20 * pq.s,
            observed=[[0, 40]],
        )
    inside = ((times() >= 10) & (times() < 20)).sum()
    assert recording.provenance["spikes_in_extent"] == str(inside)
    assert recording.provenance["spikes_cut_off"] == str(400 - inside)
    assert recording.provenance["spikes_outside"] == "0"


def test_units_observed_differently_have_their_common_time():
    """The common time is used, and what is left out of each unit is said with its
    share.
    """
    with pytest.warns(CommonTimeWarning, match=r"50.0 % of a unit's time and 54.2 %"):
        recording = ann2neo.from_spike_times(
            {"a": times(), "b": times(1, 200, 20)},
            observed={"b": [[0, 20]], "a": [[0, 40]]},
        )
    assert bounds(recording) == [[0, 20_000]]
    rates = ann2neo.analyze(recording)["firing_rate_hz"]
    inside = len(np.unique(np.floor(times()[times() < 20] * 1000)))
    assert rates[0] == pytest.approx(inside / 20)
    shares = json.loads(recording.provenance["left_out_of_common_time"])
    assert shares == {"a": [0.5, 0.5425]}
    assert recording.provenance["spikes_not_in_common_time"] == "217"
    assert recording.provenance["spikes_outside"] == "0"


def test_units_choose_among_those_observed_differently():
    """Leaving out the unit that was observed less gives all of the other's time."""
    recording = ann2neo.from_spike_times(
        {"a": times(), "b": []}, observed=[[[0, 40]], [[0, 20]]], units=["a"]
    )
    assert bounds(recording) == [[0, 40_000]]


@pytest.mark.parametrize(
    "other", [[[1e-6, 40.000001]], [[0, 10], [10.0004, 40]], [[20, 40], [0, 20]]]
)
def test_a_difference_below_one_bin_is_none(other):
    """Clocks that round, gaps shorter than a bin and another order change nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        recording = ann2neo.from_spike_times(
            [times(), times(1)], observed=[[[0, 40]], other]
        )
    assert bounds(recording) == [[0, 40_000]]


def test_units_never_observed_together_are_told():
    """Without common time, the remedy is to choose units."""
    with pytest.raises(InputValueError, match="no time in which all 2 units were obs"):
        ann2neo.from_spike_times([[], []], observed=[[[0, 10]], [[20, 30]]])


def test_invalid_times_are_unobserved():
    """Stretches that are invalid for all units are taken out of the observed time."""
    spikes = [times()[(times() < 10) | (times() >= 20)]]
    _, observed, notes = observed_by_all(
        spikes, [[[0, 40]]], ["u"], bin_size=0.001, invalid=[[10, 20], [39, np.inf]]
    )
    assert [row[1:3] for row in observed] == [(0, 10), (20, 39)]
    assert notes == {"invalid_seconds": "11.0"}


def test_common_time_is_the_intersection_of_random_stretches():
    """Over random tables, time is common exactly where every unit was observed."""
    generator = np.random.default_rng(3)
    for _ in range(50):
        tables = [
            merged_stretches(
                np.sort(generator.integers(0, 60, (6, 2)), axis=1), whose="u"
            )
            for _ in range(generator.integers(1, 4))
        ]
        middles = np.arange(60) + 0.5
        every = np.all([is_inside(middles, table) for table in tables], axis=0)
        common = common_time(tables, bin_size=1e-3)
        np.testing.assert_array_equal(is_inside(middles, common.stretches), every)
        observed = np.array([is_inside(middles, table).sum() for table in tables])
        share = 1 - every.sum() / np.maximum(observed, 1)
        expected = np.where(observed > 0, share, 0)
        np.testing.assert_allclose(common.left_out, expected, atol=1e-12)
        one, other = tables[0], tables[-1]
        np.testing.assert_array_equal(
            is_inside(middles, intersection(one, other)),
            is_inside(middles, one) & is_inside(middles, other),
        )
        np.testing.assert_array_equal(
            is_inside(middles, without(one, other)),
            is_inside(middles, one) & ~is_inside(middles, other),
        )


def test_segments_may_have_clocks_of_their_own():
    """A stretch with its own start gives its segment that time, shifted to the first
    whole bin.
    """
    recording = recording_from_spike_times(
        [np.array([0.1])],
        [Observed("cue", 0.0, 2.0, -0.5), Observed("cue", 2.0005, 4.0, -0.25)],
        bin_size=0.001,
        t_start=None,
        t_stop=None,
        units=pd.DataFrame(index=range(1)),
    )
    assert recording.segments["t_start"].to_list() == [-0.5, -0.2495]
    assert recording.phases["n_segments"].to_list() == [2]


# -- spikes that are lost, outside or out of order
# --------------------------------------------------------------------------------------


def test_spikes_that_share_a_bin_are_lost():
    """Losses to one spike per bin have their own count, cause and remedy."""
    with pytest.warns(SpikesLostWarning, match=r"33.3 % of 3 .*smaller bin_size"):
        recording = ann2neo.from_spike_times([[0.1, 0.1004, 0.5]], t_stop=1)
    assert recording.provenance["spikes_lost"] == "1"
    assert recording.provenance["spikes_outside"] == "0"


@pytest.mark.parametrize(
    ("spikes", "n_outside", "words"),
    [
        (
            times() - 10,
            93,
            r"93 before 0 s \(the earliest at -9.98.*an earlier t_start",
        ),
        (times() + 10, 117, r"from 40 s on \(the latest at 49.*a later t_stop"),
        (np.round(times() * 30_000), 400, "whole numbers, as sample indices are: divi"),
        (np.r_[times(), [-1.0] * 30], 30, "30 of them are -1, which stands for no tim"),
    ],
)
def test_spikes_outside_are_counted_with_their_cause(spikes, n_outside, words):
    """Negative times, sample indices, -1 and a t_stop too early are told apart."""
    with pytest.warns(SpikesOutsideWarning, match=words):
        recording = ann2neo.from_spike_times([spikes], t_stop=40)
    assert recording.provenance["spikes_outside"] == str(n_outside)
    assert recording.provenance["spikes_in_extent"] == str(len(spikes) - n_outside)


@pytest.mark.parametrize(
    ("spikes", "words"),
    [
        (np.r_[times(0, 200, 20), times(1, 150, 20)], "once, .*where a clock restarts"),
        (np.random.default_rng(0).random(400) * 40, "times that are not sorted"),
    ],
)
def test_times_that_fall_back_are_told(spikes, words):
    """A clock that restarts, and times that are not sorted, are said."""
    with pytest.warns(SpikeOrderWarning, match=words):
        ann2neo.from_spike_times([spikes], bin_size=0.1 * pq.ms, t_stop=40)


# -- presentations
# --------------------------------------------------------------------------------------


def with_tables(**tables):
    return recording_from_spike_times(
        [np.array([0.5])],
        [Observed("recording", 0, 10), Observed("recording", 20, 30)],
        bin_size=0.01,
        t_start=None,
        t_stop=None,
        units=pd.DataFrame(index=range(1)),
        presentations={name: pd.DataFrame(table) for name, table in tables.items()},
    )


def test_intervals_outside_are_counted_by_kind():
    """Rows across a border or in unobserved time are left out and counted."""
    recording = with_tables(
        trials={"start_time": [0.0, 9.0, 15.0], "stop_time": [5.0, 21.0, 16.0]},
        cues={"start_time": [1.0, 29.999, 30.0]},
    )
    rows = recording.presentations[["start_bin", "stop_bin", "kind"]]
    assert rows.to_numpy().tolist() == [
        [0, 500, "trials"],
        [100, 101, "cues"],
        [2999, 3000, "cues"],
    ]
    notes = recording.provenance
    assert notes["presentations_outside [trials]"] == "2"
    assert notes["presentations_outside [cues]"] == "1"
    assert notes["presentations_outside"] == "3"


def test_an_end_that_is_missing_is_the_next_start():
    """A row without an end lasts until the next one starts, or its segment ends."""
    nan = np.nan
    recording = with_tables(
        trials={
            "start_time": [1.0, 3.0, 8.0, 21.0],
            "stop_time": [nan, 4.0, nan, nan],
        }
    )
    assert recording.presentations[["start_bin", "stop_bin"]].to_numpy().tolist() == [
        [100, 300],
        [300, 400],
        [800, 1000],
        [2100, 3000],
    ]
    assert recording.provenance["presentations_without_end"] == "3"


def test_rows_without_a_time_or_reversed_are_counted():
    """A start that is NaN and a stop before the start leave the row out."""
    recording = with_tables(
        trials={"start_time": [np.nan, 3.0, 5.0], "stop_time": [1.0, 2.0, 6.0]}
    )
    assert recording.presentations["start_bin"].to_list() == [500]
    assert recording.provenance["presentations_without_time"] == "1"
    assert recording.provenance["presentations_reversed"] == "1"


def test_overlapping_rows_of_one_kind_are_refused_by_name():
    """Rows of one kind that overlap are named; those of two kinds are not refused."""
    table = {"start_time": [0.0, 2.0, 1.0], "stop_time": [4.0, 3.0, 1.5]}
    with pytest.raises(
        InputValueError,
        match=r"the kind 'trials' overlap: 0 .. 4 s and 1 .. 1.5 s \(2 of 3",
    ):
        with_tables(trials=table)
    recording = with_tables(
        trials={"start_time": [0.0], "stop_time": [4.0]},
        cues={"start_time": [1.0], "stop_time": [5.0]},
    )
    assert recording.presentations["kind"].to_list() == ["trials", "cues"]


def test_events_of_one_bin_are_one_presentation():
    """Of events that fall in one bin the first is kept, and the others are counted."""
    recording = with_tables(licks={"start_time": [1.001, 1.004, 1.012], "x": [1, 2, 3]})
    assert recording.presentations["start_bin"].to_list() == [100, 101]
    assert recording.presentations["x"].to_list() == [1, 3]
    assert recording.provenance["presentations_sharing_a_bin"] == "1"


def test_columns_named_as_ours_are_renamed():
    """Foreign columns start_bin, stop_bin, phase and kind are kept as <name>_."""
    recording = with_tables(
        trials={
            "start_time": [1.0],
            "stop_time": [2.0],
            "start_bin": [7],
            "phase": ["delay"],
            "kind": ["probe"],
            "kind_": ["old"],
        }
    )
    row = recording.presentations.iloc[0]
    assert (row["start_bin"], row["start_bin_"]) == (100, 7)
    assert (row["phase"], row["phase_"]) == ("recording", "delay")
    assert (row["kind"], row["kind_"], row["kind__"]) == ("trials", "old", "probe")


def test_a_table_without_a_start_is_told():
    """The columns that there are stand in the message."""
    with pytest.raises(InputValueError, match=r"need a column start_time.*'onset'"):
        with_tables(trials={"onset": [1.0]})
    with pytest.raises(InputTypeError, match="start_time of the presentations"):
        with_tables(trials={"start_time": ["soon"]})


def test_the_raster_is_that_of_the_bins():
    """from_spike_times of the times of a raster gives the raster back."""
    dense = np.random.default_rng(5).random((3, 500)) < 0.3
    raster = SpikeRaster.from_dense(dense, t_start=-0.2 * pq.s)
    spikes = [raster.spike_time_seconds(raster.spike_bins(unit)) for unit in range(3)]
    recording = ann2neo.from_spike_times(spikes, t_start=-0.2, t_stop=0.3)
    assert recording.raster.equals(raster)
