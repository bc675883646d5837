"""Neo blocks as people have them, and blocks of ours as Elephant and earlier versions
know them.
"""

from __future__ import annotations

import copy
import json
import pickle
import warnings

import elephant.statistics
import elephant.trials
import neo
import numpy as np
import pandas as pd
import pytest
import quantities as pq
from neo.io import ExampleIO
from neo.utils import cut_segment_by_epoch

import ann2neo
from ann2neo import InputValueError
from ann2neo.recording.observed_time import CommonTimeWarning
from ann2neo.testing import make_recording

MS = {"bin_size": 1 * pq.ms}


def train(times, stop=10.0, start=0.0, name=None, **said):
    spikes = neo.SpikeTrain(
        np.sort(times), units="s", t_start=start, t_stop=stop, name=name
    )
    spikes.annotate(**said)
    return spikes


def segment(*trains, name=None, **said):
    made = neo.Segment(name=name, **said)
    made.spiketrains.extend(trains)
    return made


def block(*segments):
    made = neo.Block()
    made.segments.extend(segments)
    return made


def times(n, stop=10.0, start=0.0, seed=0):
    """Times in the middle of n different bins of 1 ms."""
    generator = np.random.default_rng(seed)
    n_bins = round((stop - start) * 1000)
    bins = generator.choice(n_bins, n, replace=False)
    return start + (np.sort(bins) + 0.5) / 1000


def trials(n=20):
    """A segment per trial, from half a second before the cue, as Elephant has them."""
    return block(
        *[
            segment(
                *[
                    train(times(20, 1.5, -0.5, seed=3 * k + i), 1.5, -0.5, f"u{i}")
                    for i in range(3)
                ],
                name=f"trial {k}",
                index=k,
                trial_type=["left", "right"][k % 2],
            )
            for k in range(n)
        ]
    )


# -- trials
# --------------------------------------------------------------------------------------


def test_segments_with_clocks_that_restart_are_trials():
    """A segment per trial becomes a segment of one phase, on its own clock, and a
    presentation with what the segment says of it.
    """
    source = trials()
    recording = ann2neo.from_neo(source, **MS)
    assert recording.phases[["phase", "n_segments"]].to_numpy().tolist() == [
        ["recording", 20]
    ]
    assert set(recording.segments["t_start"]) == {-0.5}
    shown = recording.presentations
    assert set(shown["kind"]) == {"trials"}
    assert shown["trial_type"].to_list() == ["left", "right"] * 10
    assert shown["name"].to_list() == [f"trial {k}" for k in range(20)]
    assert shown["index"].to_list() == list(range(20))
    np.testing.assert_array_equal(shown["start_bin"], np.arange(20) * 2000)
    np.testing.assert_array_equal(shown["stop_bin"], np.arange(1, 21) * 2000)
    for unit in range(3):
        expected = [
            np.floor((trial.spiketrains[unit].magnitude + 0.5) * 1000) + 2000 * k
            for k, trial in enumerate(source.segments)
        ]
        np.testing.assert_array_equal(
            recording.raster.spike_bins(unit), np.concatenate(expected)
        )
    assert recording.provenance["segments_read_as"] == "trials"
    assert recording.provenance["units_matched_by"] == "name"


def test_trials_may_be_cut_on_their_own_clock():
    """t_start and t_stop are on the clock of each trial, and what they cut off is
    counted.
    """
    recording = ann2neo.from_neo(trials(), **MS, t_start=0 * pq.s, t_stop=1000 * pq.ms)
    assert recording.n_time_bins == 20_000
    assert set(recording.segments["t_start"]) == {0.0}
    notes = recording.provenance
    n_all = 20 * 3 * 20
    assert int(notes["spikes_in_extent"]) + int(notes["spikes_cut_off"]) == n_all
    assert notes["spikes_outside"] == "0"


def test_a_partial_last_bin_of_a_trial_is_not_the_next_trial():
    """Spikes after the last whole bin, and on t_stop, are outside, not in the next
    trial.
    """
    ends = [train([0.0005, 0.0031, 0.0032], 0.0032, name="u") for _ in range(3)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        recording = ann2neo.from_neo(block(*[segment(t) for t in ends]), **MS)
    assert recording.raster.spike_bins(0).tolist() == [0, 3, 6]
    assert recording.provenance["spikes_outside"] == "6"


def test_a_trial_without_a_whole_bin_is_no_trial():
    """A trial that t_start cuts away has no presentation, least of all in the next
    one.
    """
    source = block(
        segment(train([0.5], 1, 0, "u"), name="short"),
        segment(train([1.5], 3, 0, "u"), name="long"),
    )
    recording = ann2neo.from_neo(source, **MS, t_start=1 * pq.s)
    assert recording.presentations["name"].to_list() == ["long"]
    assert recording.provenance["presentations_outside"] == "1"
    assert recording.segments["t_start"].to_list() == [1.0]


def session_of_epochs():
    epoch = neo.Epoch(
        np.arange(20) * 2 * pq.s,
        durations=np.ones(20) * pq.s,
        labels=["left", "right"] * 10,
        array_annotations={"contrast": np.arange(20.0)},
    )
    whole = segment(
        *[train(times(500, 40, seed=i), 40, name=f"u{i}") for i in range(3)]
    )
    whole.epochs.append(epoch)
    return whole, epoch


@pytest.mark.parametrize("reset", [True, False])
def test_cut_segment_by_epoch_gives_trials(reset):
    """Neo's own cutting, on one clock or with every trial from 0, keeps each trial's
    spikes and array annotations.
    """
    whole, epoch = session_of_epochs()
    cut = block(*cut_segment_by_epoch(whole, epoch, reset_time=reset))
    recording = ann2neo.from_neo(cut, **MS, segments="trials")
    own = recording.presentations[recording.presentations["kind"] == "trials"]
    np.testing.assert_array_equal(own["contrast"], np.arange(20.0))
    assert recording.phases["n_segments"].to_list() == [20]
    for unit, spikes in enumerate(whole.spiketrains):
        counts = [
            recording.raster.slice(row.start_bin, row.stop_bin).spike_counts()[unit]
            for row in recording.iter_segments()
        ]
        inside = [
            ((spikes.magnitude >= 2 * k) & (spikes.magnitude < 2 * k + 1)).sum()
            for k in range(20)
        ]
        assert counts == inside
    clocks = recording.segments["t_start"]
    np.testing.assert_allclose(clocks, np.zeros(20) if reset else np.arange(20) * 2)
    kinds = recording.presentations.groupby("kind").size().to_dict()
    assert kinds == {"trials": 20, "epochs": 20}


def test_segments_on_one_clock_are_phases_unless_told():
    """Segments that follow one another on one clock are phases; "session" makes one
    phase of them, "trials" one with presentations.
    """
    source = block(
        segment(train([1.5], name="u"), name="a"),
        segment(train([21.5], 30, 20, "u"), name="a"),
    )
    phases = ann2neo.from_neo(source, **MS)
    assert phases.phases["phase"].to_list() == ["a", "a (2)"]
    session = ann2neo.from_neo(source, **MS, segments="session")
    assert session.phases["n_segments"].to_list() == [2]
    assert not len(session.presentations)
    assert session.segments["t_start"].to_list() == [0.0, 20.0]
    cut = ann2neo.from_neo(source, **MS, segments="trials", t_stop=25 * pq.s)
    assert cut.presentations[["start_bin", "stop_bin"]].to_numpy().tolist() == [
        [0, 10_000],
        [20_000, 25_000],
    ]


def test_resets_of_a_simulation_are_trials():
    """PyNN's segments, one per reset and each from 0 ms, are matched by source_id."""
    source = block(
        *[
            segment(
                *[
                    neo.SpikeTrain(
                        [10.5 * (unit + 1) + k] * pq.ms,
                        t_stop=1000.0,
                        source_population="pop",
                        source_id=unit,
                        source_index=unit,
                    )
                    for unit in range(4)
                ],
                name=f"segment{k:03d}",
            )
            for k in range(3)
        ]
    )
    recording = ann2neo.from_neo(source, **MS)
    assert recording.provenance["units_matched_by"] == "source_id"
    assert recording.units["source_population"].to_list() == ["pop"] * 4
    assert recording.raster.spike_bins(1).tolist() == [21, 1022, 2023]


# -- units
# --------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["name", "unit_id", "channel_name"])
def test_units_are_matched_by_name_or_id(key):
    """Trains in another order in the second segment belong to the units they name."""
    fast, slow = ({key: value} for value in ("fast", "slow"))
    source = block(
        segment(train(times(50), **fast), train(times(5), **slow), name="a"),
        segment(
            train(times(5, 30, 20), 30, 20, **slow),
            train(times(50, 30, 20), 30, 20, **fast),
            name="b",
        ),
    )
    recording = ann2neo.from_neo(source, **MS)
    table = ann2neo.analyze(recording)
    counts = table.set_index([key, "phase"])["n_spikes"].to_dict()
    assert counts == {
        ("fast", "a"): 50,
        ("slow", "a"): 5,
        ("fast", "b"): 50,
        ("slow", "b"): 5,
    }
    assert recording.provenance["units_matched_by"] == key


def test_names_that_differ_by_segment_give_way_to_an_id():
    """Where names are of a train and not of a unit, the id that repeats is taken."""
    source = block(
        segment(train([1.0], name="t0", unit_id=7), train([2.0], name="t1", unit_id=8)),
        segment(
            train([21.0], 30, 20, "t2", unit_id=8),
            train([22.0], 30, 20, "t3", unit_id=7),
        ),
    )
    recording = ann2neo.from_neo(source, **MS)
    assert recording.units["unit_id"].to_list() == [7, 8]
    assert recording.raster.spike_bins(0).tolist() == [1000, 22_000]
    assert "name" not in recording.units


def test_trains_without_names_are_matched_by_position():
    """The same number of trains without any name are units by their order."""
    source = block(
        segment(train([1.0]), train([2.0])),
        segment(train([21.0], 30, 20), train([22.0], 30, 20)),
    )
    recording = ann2neo.from_neo(source, **MS)
    assert recording.raster.spike_bins(0).tolist() == [1000, 21_000]
    assert recording.provenance["units_matched_by"] == "position"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([{}, {}], [{}]),
        ([{"name": "u"}, {"name": "u"}], [{"name": "u"}]),
        ([{"name": "u"}, {"name": "v"}], [{"name": "w"}, {"name": "x"}]),
        ([{"name": "u"}, {}], [{"name": "u"}, {}]),
        (
            [{"channel": 1}, {"channel": 1}, {"channel": 2}],
            [{"channel": 1}, {"channel": 2}, {"channel": 1}],
        ),
    ],
)
def test_units_that_cannot_be_matched_are_refused(one, other):
    """Where neither names nor ids nor the order tell units apart, none is guessed."""
    source = block(
        segment(*[train([1.0], **said) for said in one]),
        segment(*[train([21.0], 30, 20, **said) for said in other]),
    )
    with pytest.raises(InputValueError, match=r"2 segments cannot be matched: .*train"):
        ann2neo.from_neo(source, **MS)


def missing_in_one():
    return block(
        segment(train([1.0], name="u1"), train([2.0], name="u2"), name="a"),
        segment(train([21.0], 30, 20, "u2"), name="b"),
    )


def test_a_unit_that_is_missing_was_silent():
    """A unit without a train in a segment has no spikes there."""
    recording = ann2neo.from_neo(missing_in_one(), **MS)
    assert recording.phases["phase"].to_list() == ["a", "b"]
    assert recording.raster.spike_bins(0).tolist() == [1000]
    assert recording.raster.spike_bins(1).tolist() == [2000, 21_000]
    assert recording.provenance["spiketrains_missing"] == "1"


def test_a_unit_that_is_missing_was_unobserved_if_told():
    """With missing="unobserved", the segment is no common time, and units= helps."""
    with pytest.warns(CommonTimeWarning, match="50.0 % of a unit's time and 50.0 %"):
        recording = ann2neo.from_neo(missing_in_one(), **MS, missing="unobserved")
    assert recording.phases["phase"].to_list() == ["a"]
    assert recording.provenance["segments_left_out"] == "1"
    assert recording.provenance["spikes_not_in_common_time"] == "1"
    one = ann2neo.from_neo(missing_in_one(), **MS, missing="unobserved", units=["u2"])
    assert one.phases["phase"].to_list() == ["a", "b"]


def test_trains_that_end_at_different_times():
    """Unobserved time is no silence: a unit lost after 5 s has the rate of those."""
    source = block(
        segment(train(times(200), name="a"), train(times(100, 5), 5, name="lost"))
    )
    with pytest.warns(CommonTimeWarning, match="50.0 % of a unit's time"):
        recording = ann2neo.from_neo(source, **MS)
    rates = ann2neo.analyze(recording).set_index("name")["firing_rate_hz"]
    assert rates["lost"] == 20.0
    assert rates["a"] == (times(200) < 5).sum() / 5
    shares = json.loads(recording.provenance["left_out_of_common_time"])
    assert shares["a"] == [0.5, (times(200) >= 5).sum() / 200]
    alone = ann2neo.from_neo(source, **MS, units=["a"])
    assert alone.n_time_bins == 10_000


def test_annotations_of_any_type_become_columns():
    """Foreign annotations keep names and types; quantities become floats in a stated
    unit, lists text, and what is too large is said to be left out.
    """
    one = train(
        [1.0],
        name="ch0#1",
        depth=372.5 * pq.um,
        channel="A1",
        layer="L5",
        tags=["x", "y"],
        good=True,
        cluster=np.int64(7),
        template=np.zeros(200),
    )
    other = train([2.0], name="ch1#1", depth=0.1 * pq.mm, channel="A2", rate=2.5)
    recording = ann2neo.from_neo(block(segment(one, other)), **MS)
    table = recording.units
    assert table["depth"].to_list() == pytest.approx([372.5, 100.0])
    assert json.loads(recording.provenance["units_column_units"]) == {"depth": "um"}
    assert table["channel"].to_list() == ["A1", "A2"]
    assert table["layer"].to_list() == ["L5", ""]
    assert table["tags"].to_list() == ["['x', 'y']", ""]
    assert table["good"].to_list() == [1, -1]
    assert table["cluster"].to_list() == [7, -1]
    assert table["rate"].isna().to_list() == [True, False]
    assert recording.provenance["units_annotations_left_out"] == "template"
    again = ann2neo.to_neo(recording)
    assert [t.name for t in again.segments[0].spiketrains] == ["ch0#1", "ch1#1"]
    assert ann2neo.from_neo(again).equals(recording)


def test_names_are_kept_even_where_two_are_alike():
    """Trains keep the names they came with through from_neo and to_neo."""
    source = block(segment(train([1.0], name="mua"), train([2.0], name="mua")))
    back = ann2neo.to_neo(ann2neo.from_neo(source, **MS))
    assert [t.name for t in back.segments[0].spiketrains] == ["mua", "mua"]


# -- epochs and events
# --------------------------------------------------------------------------------------


def with_epochs():
    made = segment(train(times(200)))
    made.epochs = [
        neo.Epoch(
            [0, 5] * pq.s,
            durations=[5, 5] * pq.s,
            labels=["left", "right"],
            name="trials",
            array_annotations={
                "contrast": np.array([0.5, 1.0]),
                "distance": [1, 2] * pq.cm,
                "start_time": np.array([7, 8]),
            },
        ),
        neo.Epoch([1, 6] * pq.s, durations=[500, 500] * pq.ms, name="cue"),
    ]
    made.events = [neo.Event([2, 7] * pq.s, labels=["on", "off"], name="lick")]
    return block(made)


def test_epochs_are_kinds_of_presentations():
    """Each epoch is a kind by its name, with labels and array annotations; events are
    said to be left out.
    """
    recording = ann2neo.from_neo(with_epochs(), **MS)
    shown = recording.presentations
    own = shown[shown["kind"] == "trials"]
    assert own["label"].to_list() == ["left", "right"]
    assert own["contrast"].to_list() == [0.5, 1.0]
    assert own["distance"].to_list() == [1.0, 2.0]
    assert own["start_time_"].to_list() == [7, 8]
    assert json.loads(recording.provenance["trials_column_units"]) == {"distance": "cm"}
    cues = shown[shown["kind"] == "cue"]
    assert cues[["start_bin", "stop_bin"]].to_numpy().tolist() == [
        [1000, 1500],
        [6000, 6500],
    ]
    assert recording.provenance["epochs_not_read"] == "lick"


@pytest.mark.parametrize(
    ("chosen", "kinds"),
    [(["cue", "lick"], {"cue", "lick"}), ("trials", {"trials"}), ([], set())],
)
def test_epochs_and_events_are_chosen_by_name(chosen, kinds):
    """epochs= names epochs or events, or none of them."""
    recording = ann2neo.from_neo(with_epochs(), **MS, epochs=chosen)
    assert set(recording.presentations["kind"]) == kinds


def test_unknown_epochs_are_told_with_those_that_there_are():
    """The message lists every name there is."""
    with pytest.raises(InputValueError, match=r"called 'go'.*'trials', 'cue', 'lick'"):
        ann2neo.from_neo(with_epochs(), **MS, epochs=["go"])


def test_events_are_presentations_of_their_bin():
    """Where there are no epochs, events are read, each in the bin it falls in."""
    made = segment(train(times(200)))
    made.events = [
        neo.Event(np.arange(10) * pq.s, labels=["on", "off"] * 5, name="cue")
    ]
    recording = ann2neo.from_neo(block(made), **MS)
    shown = recording.presentations
    np.testing.assert_array_equal(shown["start_bin"], np.arange(10) * 1000)
    np.testing.assert_array_equal(shown["stop_bin"], np.arange(10) * 1000 + 1)
    assert shown["label"].to_list() == ["on", "off"] * 5


def test_epochs_that_overlap_in_themselves_are_refused_with_a_way_out():
    """The message names the two intervals, and epochs=[] reads the spikes."""
    made = segment(train(times(200)))
    made.epochs = [neo.Epoch([0, 1] * pq.s, durations=[2, 2] * pq.s, name="e")]
    with pytest.raises(InputValueError, match=r"'e' overlap: 0 .. 2 s and 1 .. 3 s"):
        ann2neo.from_neo(block(made), **MS)
    assert not len(ann2neo.from_neo(block(made), **MS, epochs=[]).presentations)


def test_an_epoch_beyond_its_trial_lies_in_no_other():
    """On clocks that restart, an interval outside its own trial is left out."""
    source = trials(3)
    source.segments[0].epochs = [
        neo.Epoch([0.0, 1.0, 3.0] * pq.s, durations=[1.0, 1.0, 0.5] * pq.s, name="e")
    ]
    recording = ann2neo.from_neo(source, **MS)
    shown = recording.presentations
    own = shown[shown["kind"] == "e"]
    assert own[["start_bin", "stop_bin"]].to_numpy().tolist() == [[500, 1500]]
    assert recording.provenance["presentations_outside"] == "2"


# -- other blocks
# --------------------------------------------------------------------------------------


def test_lazy_blocks_are_loaded(tmp_path):
    """A lazily read block gives the recording that an eagerly read one gives."""
    lazy, eager = (
        ann2neo.from_neo(
            ExampleIO(str(tmp_path / "x.fake")).read_block(lazy=is_lazy), **MS
        )
        for is_lazy in (True, False)
    )
    assert lazy.raster.equals(eager.raster)
    assert lazy.presentations.equals(eager.presentations)
    assert set(lazy.presentations["kind"]) == {"Some epochs"}


@pytest.mark.parametrize("made", [block(), block(neo.Segment(), neo.Segment())])
def test_a_block_with_nothing_in_it_is_told(made):
    """The message says how many segments there are."""
    words = rf"no segment with spike trains \(it has {len(made.segments)} segments\)"
    with pytest.raises(InputValueError, match=words):
        ann2neo.from_neo(made, **MS)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"segments": "runs"}, "segments must be one of phases, trials, session"),
        ({"missing": "gone"}, "missing must be one of silent, unobserved"),
        ({"segments": "session"}, "'trial 0' ends at 1.5 s, 'trial 1' starts at -0.5"),
        ({"units": ["u7"]}, "no unit is called 'u7'; there are 'u0', 'u1', 'u2'"),
        ({"t_start": 5 * pq.s}, "no trial holds a whole bin of 0.001 s"),
    ],
)
def test_options_that_fit_nothing_are_told(options, words):
    """Each wrong option is an error that says what there is."""
    with pytest.raises(InputValueError, match=words):
        ann2neo.from_neo(trials(), **MS, **options)


def test_bins_of_one_sample_are_exact():
    """At 30 kHz, two samples are bins 0 and 1 of a train that starts at the first."""
    period = 1 / 30_000
    spikes = neo.SpikeTrain(
        np.array([61_528, 61_529]) * period,
        units="s",
        t_start=61_528 * period,
        t_stop=61_530 * period,
    )
    recording = ann2neo.from_neo(
        block(segment(spikes)), bin_size=(1 / (30_000 * pq.Hz)).rescale("s")
    )
    assert recording.raster.spike_bins(0).tolist() == [0, 1]


def test_microseconds_are_read_as_such():
    """Times in us give the bins of whole milliseconds."""
    ticks = np.arange(500, 20_000_000, 10_000).astype(float)
    spikes = neo.SpikeTrain(ticks, units="us", t_stop=20e6)
    recording = ann2neo.from_neo(block(segment(spikes)), **MS)
    np.testing.assert_array_equal(
        recording.raster.spike_bins(0), np.floor(ticks / 1000)
    )


# -- blocks of ours
# --------------------------------------------------------------------------------------


def cut_into_trials(n_trials=40, length=250):
    recording = make_recording(n_units=5, n_time_bins=n_trials * length, rate=0.05)
    table = pd.DataFrame({"start_bin": np.arange(n_trials) * length})
    table["stop_bin"] = table["start_bin"] + length
    return recording.with_presentations(table).cut_trials(before=0)


@pytest.mark.slow
def test_elephant_takes_our_trials():
    """Elephant's TrialsFromBlock opens a block of ours; its rates are ours, and with
    the window as long as a trial so are its Fano factors.
    """
    recording = cut_into_trials()
    opened = elephant.trials.TrialsFromBlock(ann2neo.to_neo(recording))
    assert opened.n_trials == 40
    assert opened.n_spiketrains_trial_by_trial == [5] * 40
    table = ann2neo.analyze(recording, window=250)
    for unit in range(5):
        trains = opened.get_spiketrains_from_trial_as_list(0)
        assert trains[unit].t_stop == 0.25 * pq.s
        every = [opened.get_spiketrains_from_trial_as_list(k)[unit] for k in range(40)]
        rates = [
            elephant.statistics.mean_firing_rate(t).rescale("Hz").item() for t in every
        ]
        assert np.mean(rates) == pytest.approx(table["firing_rate_hz"][unit])
        fano = elephant.statistics.fanofactor(every)
        assert fano == pytest.approx(table["fano_factor"][unit], rel=1e-12)


def test_each_segment_has_its_own_clock_and_epochs_of_kinds():
    """Segments start at their own t_start, and each kind in them is an epoch."""
    recording = cut_into_trials(4).with_presentations(
        pd.DataFrame({"start_bin": [10, 300], "color": ["red", "blue"]}), "cues"
    )
    made = ann2neo.to_neo(recording)
    assert [s.name for s in made.segments] == [f"recording {k}" for k in range(4)]
    assert {float(s.t_start) for s in made.segments} == {0.0}
    assert [[e.name for e in s.epochs] for s in made.segments] == [
        ["trials", "cues"],
        ["trials", "cues"],
        ["trials"],
        ["trials"],
    ]
    cue = made.segments[1].epochs[1]
    assert cue.times.rescale("ms").magnitude == pytest.approx([50.0])
    assert cue.array_annotations["color"].tolist() == ["blue"]
    assert ann2neo.from_neo(made).equals(recording)


def test_trains_are_built_when_they_are_asked_for():
    """The number of trains is known without building one; a built train knows its
    segment, and copies and pickles of the block are whole.
    """
    recording = cut_into_trials(3)
    made = ann2neo.to_neo(recording)
    trains = made.segments[1].spiketrains
    assert len(trains) == 5
    assert trains._built is None
    for same in (copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        assert ann2neo.from_neo(same).equals(recording)
    assert trains._built is None
    assert trains[2].segment is made.segments[1]
    assert len(trains[1:3]) == 2
    channels, when = trains.multiplexed
    counts = recording.raster.slice(250, 500).spike_counts()
    np.testing.assert_array_equal(np.bincount(channels, minlength=5), counts)
    assert len(when) == counts.sum()


def layout_1(recording):
    """A block as ann2neo 0.1 made it: a segment per phase on the recording's clock, one
    epoch of presentations.
    """
    made = ann2neo.to_neo(recording)
    made.annotations["ann2neo_layout"] = 1
    del made.annotations["timestamps_reference_time"]
    columns = dict(made.annotations["presentation_columns"])
    del columns["kind"]
    made.annotations["presentation_columns"] = columns
    for part, row in zip(made.segments, recording.iter_segments(), strict=True):
        start = float(recording.raster.bin_edge_seconds(row.start_bin))
        part.annotations = {
            "order": row.order,
            "is_phase": True,
            "n_time_bins": row.n_time_bins,
            "t_start_seconds": start,
        }
        shift = (start - row.t_start) * pq.s
        part.spiketrains = [t.time_shift(shift) for t in part.spiketrains]
        part.epochs = [epoch.time_shift(shift) for epoch in part.epochs]
        for epoch in part.epochs:
            epoch.name = "presentations"
    return made


def test_blocks_of_earlier_versions_are_read():
    """A block of layout 1 gives the recording, on the recording's clock."""
    recording = make_recording(
        layers=["a"], labels=3, phases=["train", "test"], t_start=0.1 * pq.s
    )
    back = ann2neo.from_neo(layout_1(recording))
    assert back.raster.equals(recording.raster)
    assert back.units.equals(recording.units)
    names = list(recording.presentations)
    assert back.presentations[names].equals(recording.presentations)
    assert back.phases.equals(recording.phases)
    assert back.segments["t_start"].to_list() == [0.1, 0.3]


def test_options_are_refused_for_blocks_of_ours():
    """A block of to_neo has its own bins, units and segments: select from it."""
    made = ann2neo.to_neo(cut_into_trials(2))
    for options in ({"units": [0]}, {"segments": "trials"}, {"missing": "unobserved"}):
        with pytest.raises(InputValueError, match="leave them out, and select from"):
            ann2neo.from_neo(made, **options)
