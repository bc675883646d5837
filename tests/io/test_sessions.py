"""Sessions with real neurons, from files of pynwb alone and blocks of any Neo IO."""

import re
import warnings
from datetime import UTC, datetime
from pathlib import Path

import neo
import nitime
import numpy as np
import pynwb
import pytest
import quantities as pq

import ann2neo
from ann2neo.errors import FileFormatError, InputTypeError, InputValueError
from ann2neo.recording.from_spike_times import (
    SpikesLostWarning,
    SpikesOutsideWarning,
)

MS = 0.001


def nwb_file():
    return pynwb.NWBFile(
        "a session",
        "session-7",
        datetime(2020, 5, 17, 12, tzinfo=UTC),
        institution="Here",
    )


def write(file, path):
    with pynwb.NWBHDF5IO(path, "w") as io:
        io.write(file)
    return path


@pytest.fixture
def session(tmp_path):
    """Two units with a gap in their observation, columns, and trials of which one lies
    in the gap.
    """
    file = nwb_file()
    file.add_unit_column("quality", "how well isolated")
    file.add_unit_column("depth_um", "where")
    observed = [[0.010, 0.020], [0.030, 0.0405]]
    # Two spikes share a bin; one lies in the gap; one in the partial last bin; one on
    # the edge of a bin.
    first = [0.0100, 0.0112, 0.0118, 0.0250, 0.0312, 0.0402]
    file.add_unit(
        spike_times=first, obs_intervals=observed, quality="good", depth_um=100.5
    )
    file.add_unit(
        spike_times=[0.0130, 0.0399],
        obs_intervals=observed,
        quality="mua",
        depth_um=200.0,
    )
    file.add_trial_column("label", "what was shown")
    file.add_trial_column("contrast", "how strong")
    for start, stop, label in (
        (0.011, 0.015, "a"),
        (0.021, 0.025, "b"),
        (0.031, 0.039, "c"),
    ):
        file.add_trial(
            start_time=start, stop_time=stop, label=label, contrast=start * 10
        )
    file.subject = pynwb.file.Subject(subject_id="m1", species="Mus musculus")
    return write(file, tmp_path / "session.nwb")


def test_a_session_is_binned_as_said(session):
    """Bins are half-open from t_start; a shared bin is lost, and what lies in the gap
    or the partial last bin is outside; the observed stretches are segments.
    """
    with (
        pytest.warns(
            SpikesLostWarning,
            match=r"16.7 % of 6 spikes were lost: at most one spike per bin of 1 ms",
        ),
        pytest.warns(SpikesOutsideWarning, match="25.0 % of 8 spikes lie outside"),
    ):
        recording = ann2neo.read_nwb(session, bin_size=1 * pq.ms)
    assert recording.n_time_bins == 30
    assert recording.t_start == 10 * pq.ms
    assert recording.raster.spike_bins(0).tolist() == [0, 1, 21]
    assert recording.raster.spike_bins(1).tolist() == [3, 29]
    assert recording.phases["phase"].to_list() == ["recording"]
    assert recording.segments[["start_bin", "stop_bin"]].to_numpy().tolist() == [
        [0, 10],
        [20, 30],
    ]
    assert recording.segments["t_start"].to_list() == [0.010, 0.030]
    assert recording.provenance["spikes_lost"] == "1"
    assert recording.provenance["spikes_outside"] == "2"
    assert recording.provenance["spikes_in_extent"] == "6"


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_session_keeps_units_trials_and_provenance(session):
    """Columns of units and trials are kept, trials outside the observed time are
    counted, and the provenance names the source.
    """
    recording = ann2neo.read_nwb(session, bin_size=1 * pq.ms)
    assert recording.units["quality"].to_list() == ["good", "mua"]
    assert recording.units["depth_um"].to_list() == [100.5, 200.0]
    assert recording.units["unit_id"].to_list() == [0, 1]
    shown = recording.presentations
    assert shown["label"].to_list() == ["a", "c"]
    assert shown["kind"].to_list() == ["trials", "trials"]
    assert shown[["start_bin", "stop_bin"]].to_numpy().tolist() == [[1, 5], [21, 29]]
    assert shown["contrast"].to_list() == pytest.approx([0.11, 0.31])
    assert recording.provenance["presentations_outside"] == "1"
    assert recording.provenance["subject_species"] == "Mus musculus"
    assert recording.identifier == "session-7"
    assert recording.session_start_time == datetime(2020, 5, 17, 12, tzinfo=UTC)


def test_an_extent_is_cut_out(session):
    """t_start and t_stop choose the extent, and only spikes in it count."""
    recording = ann2neo.read_nwb(
        session, bin_size=2 * pq.ms, t_start=30 * pq.ms, t_stop=0.04 * pq.s
    )
    assert recording.n_time_bins == 5
    assert recording.raster.spike_bins(0).tolist() == [0]
    assert recording.raster.spike_bins(1).tolist() == [4]
    assert recording.segments["start_bin"].to_list() == [0]
    assert recording.provenance["spikes_lost"] == "0"


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_session_goes_through_our_own_file(session, tmp_path):
    """What was read of a session is written and read back equal, with its segments."""
    recording = ann2neo.read_nwb(session, bin_size=1 * pq.ms)
    path = ann2neo.write_nwb(recording, tmp_path / "ours.nwb")
    back = ann2neo.read_nwb(path)
    assert back.equals(recording)
    assert len(back.segments) == 2


def no_units():
    return nwb_file()


def no_intervals():
    file = nwb_file()
    file.add_unit(spike_times=[0.0015, 0.0042])
    return file


def different_intervals():
    file = nwb_file()
    file.add_unit(spike_times=[0.1], obs_intervals=[[0.0, 1.0]])
    file.add_unit(spike_times=[0.1], obs_intervals=[[0.0, 2.0]])
    return file


def not_a_number():
    file = nwb_file()
    file.add_unit(spike_times=[0.1, np.nan], obs_intervals=[[0.0, 1.0]])
    return file


@pytest.mark.parametrize(
    ("make", "options", "error", "words"),
    [
        (
            no_intervals,
            {},
            InputValueError,
            r"needs bin_size.*try read_nwb\(path, bin_size=1 \* pq.ms\)",
        ),
        (
            no_intervals,
            {"bin_size": 1},
            InputTypeError,
            "bin_size must be a positive time such as",
        ),
        (
            no_intervals,
            {"bin_size": 0 * pq.ms},
            InputValueError,
            "bin_size must be a finite positive time, got 0.0 ms",
        ),
        (
            no_intervals,
            {"bin_size": 1 * pq.ms},
            InputValueError,
            r"\(no obs_intervals\), so it needs t_stop",
        ),
        (
            different_intervals,
            {"bin_size": 1 * pq.ms, "lazy": True},
            InputValueError,
            "cannot be read lazily",
        ),
        (
            no_units,
            {"bin_size": 1 * pq.ms},
            FileFormatError,
            "has no units .no /units table.; spikes must be sorted",
        ),
        (
            not_a_number,
            {"bin_size": 1 * pq.ms},
            InputValueError,
            "1 spike times of unit 0 are NaN or infinite.*leave the unit out",
        ),
        (
            no_intervals,
            {"bin_size": 1 * pq.s, "t_stop": 5 * pq.ms},
            InputValueError,
            "holds no whole bin of 1.0 s",
        ),
        (
            no_intervals,
            {"bin_size": 1 * pq.ms, "t_start": 2 * pq.s, "t_stop": 1 * pq.s},
            InputValueError,
            "t_stop must lie after t_start, got t_start=2.0 s, t_stop=1.0 s",
        ),
    ],
)
def test_what_a_session_lacks_is_told(tmp_path, make, options, error, words):
    """Each thing missing is an error that says how to give it."""
    path = write(make(), tmp_path / "a.nwb")
    with pytest.raises(error, match=words):
        ann2neo.read_nwb(path, **options)


def test_t_stop_gives_the_extent_where_the_file_does_not(tmp_path):
    """Without obs_intervals the recording runs from 0 to t_stop, half-open: a spike on
    t_stop is outside.
    """
    path = write(no_intervals(), tmp_path / "a.nwb")
    with pytest.warns(SpikesOutsideWarning, match="50.0 % of 2"):
        recording = ann2neo.read_nwb(path, bin_size=1 * pq.ms, t_stop=4.2 * pq.ms)
    assert recording.n_time_bins == 4
    assert recording.raster.spike_bins(0).tolist() == [1]


# -- a real recording
# --------------------------------------------------------------------------------------


def grasshopper_times():
    """Spike times in s of a grasshopper's auditory receptor, one array per repeat of a
    one-second stimulus.
    """
    text = (
        Path(nitime.__file__).parent / "data" / "grasshopper_spike_times1.txt"
    ).read_text()
    # Times in microseconds from the onset of the stimulus, after a head of comments for
    # each repeat.
    blocks = [block.split() for block in re.split(r"^#.*$", text, flags=re.MULTILINE)]
    repeats = [np.array(block, float) * 1e-6 for block in blocks if block]
    return [repeat[(repeat >= 0) & (repeat < 1.0)] for repeat in repeats]


def test_a_grasshopper_receptor_is_read_and_analysed(tmp_path):
    """A real receptor's spikes, written by pynwb alone, are binned without loss and
    analysed like a network's units.
    """
    repeats = grasshopper_times()
    assert sum(map(len, repeats)) > 50
    file = nwb_file()
    for repeat in repeats:
        file.add_unit(spike_times=repeat, obs_intervals=[[0.0, 1.0]])
    path = write(file, tmp_path / "grasshopper.nwb")
    recording = ann2neo.read_nwb(path, bin_size=0.5 * pq.ms)
    assert recording.n_time_bins == 2000
    assert recording.provenance["spikes_lost"] == "0"
    for unit, repeat in enumerate(repeats):
        np.testing.assert_array_equal(
            recording.raster.spike_bins(unit), np.floor(repeat / 0.0005 + 1e-6)
        )
    units = ann2neo.analyze(recording)
    np.testing.assert_allclose(
        units["firing_rate_hz"], [len(repeat) for repeat in repeats]
    )
    # An auditory receptor has a refractory period: its intervals are more regular than
    # a Poisson train's.
    assert (units["cv_isi"] < 1).all()


# -- Neo blocks
# --------------------------------------------------------------------------------------


def block_of(*segments):
    block = neo.Block(name="from elsewhere")
    block.segments.extend(segments)
    return block


def segment_of(*times, start=0.0, stop=10.0, name="run", **options):
    segment = neo.Segment(name=name)
    for unit, own in enumerate(times):
        train = neo.SpikeTrain(
            own, units="ms", t_start=start, t_stop=stop, name=f"unit {unit}", **options
        )
        train.annotate(area="V1", cluster=unit)
        segment.spiketrains.append(train)
    return segment


def test_a_block_of_any_io_becomes_a_recording():
    """Segments become phases, trains units with their common annotations, epochs
    presentations with labels.
    """
    first, second = (
        segment_of([1.5, 3.2], [2.0]),
        segment_of([21.0], [29.9], start=20.0, stop=30.0, name="run"),
    )
    first.epochs.append(
        neo.Epoch(
            [2, 6] * pq.ms,
            durations=[3, 2] * pq.ms,
            labels=["left", "right"],
            name="cue",
        )
    )
    recording = ann2neo.from_neo(block_of(first, second), bin_size=1 * pq.ms)
    assert recording.phases["phase"].to_list() == ["run", "run (2)"]
    assert recording.phases[["start_bin", "stop_bin"]].to_numpy().tolist() == [
        [0, 10],
        [20, 30],
    ]
    assert recording.raster.spike_bins(0).tolist() == [1, 3, 21]
    assert recording.raster.spike_bins(1).tolist() == [2, 29]
    assert recording.units["area"].to_list() == ["V1", "V1"]
    assert recording.units["cluster"].to_list() == [0, 1]
    assert recording.presentations["label"].to_list() == ["left", "right"]
    assert recording.presentations["start_bin"].to_list() == [2, 6]


@pytest.mark.parametrize(
    ("block", "options", "error", "words"),
    [
        (
            segment_of([1.0]),
            {},
            InputTypeError,
            "from_neo needs a neo.Block, got Segment; put a Segment into a Block",
        ),
        (
            block_of(segment_of([1.0])),
            {},
            InputValueError,
            r"needs bin_size.*try from_neo\(block, bin_size=1 \* pq.ms\)",
        ),
        (
            block_of(segment_of([1.0])),
            {"bin_size": 5},
            InputTypeError,
            "bin_size must be a positive time",
        ),
        (
            block_of(neo.Segment()),
            {"bin_size": 1 * pq.ms},
            InputValueError,
            "no segment with spike trains",
        ),
        (
            block_of(segment_of([1.0]), segment_of([6.0], start=5.0)),
            {"bin_size": 1 * pq.ms, "segments": "phases"},
            InputValueError,
            "must follow one another on one clock.*segments='trials'",
        ),
    ],
)
def test_blocks_that_cannot_be_binned_are_told(block, options, error, words):
    """Each wrong block or argument is an error that says what is needed."""
    with pytest.raises(error, match=words):
        ann2neo.from_neo(block, **options)


def test_the_sampling_rate_of_a_train_is_not_taken_for_a_bin_size():
    """Neo's default sampling rate of 1 Hz has no meaning, so bin_size is required even
    if there is a rate.
    """
    block = block_of(segment_of([1.0], sampling_rate=1000 * pq.Hz))
    with pytest.raises(InputValueError, match="needs bin_size"):
        ann2neo.from_neo(block)


def test_blocks_of_ours_have_trains_as_neo_wants_them(network):
    """Each train has start, stop, sampling rate and unit, and each epoch labels and
    columns.
    """
    block = ann2neo.to_neo(network)
    train = block.segments[1].spiketrains[3]
    assert (train.t_start, train.t_stop, train.sampling_rate) == (
        0 * pq.s,
        0.3 * pq.s,
        1000 * pq.Hz,
    )
    assert train.annotations["layer"] == "conv/1:a"
    assert train.name == "conv/1:a[3]"
    epoch = block.segments[0].epochs[0]
    assert (
        epoch.labels.tolist()
        == network.presentations["label"].astype("str").to_list()[:300]
    )
    np.testing.assert_array_equal(
        epoch.array_annotations["is_correct"], network.presentations["is_correct"][:300]
    )


def moved_spike(block):
    train = block.segments[0].spiketrains[2]
    train[0] = train[0] + 0.4 * pq.ms


def lost_train(block):
    block.segments[0].spiketrains = block.segments[0].spiketrains[:-1]


def lost_note(block):
    del block.annotations["n_time_bins"]


def lost_epoch(block):
    block.segments[0].epochs.clear()


def later_layout(block):
    block.annotations["ann2neo_layout"] = 9


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (moved_spike, "is not a quarter of the way through one of the bins"),
        (lost_train, "has 9 spike trains, its block says 10"),
        (lost_note, "an annotation of this block is missing or damaged"),
        (lost_epoch, "has 0 epochs named 'trials', one is needed"),
        (
            later_layout,
            "has the layout 9, and this ann2neo reads 1 and 2; update ann2neo",
        ),
    ],
)
def test_a_changed_block_of_ours_is_told(network, change, words):
    """A block of to_neo whose spikes or annotations were changed is a FileFormatError,
    never a wrong recording.
    """
    block = ann2neo.to_neo(network)
    change(block)
    with pytest.raises(FileFormatError, match=words):
        ann2neo.from_neo(block)


def test_bin_size_is_refused_for_blocks_of_ours(network):
    """A block of to_neo has its own time bins."""
    with pytest.raises(
        InputValueError, match=r"this one has its own bins of 0\.001 s; leave them out"
    ):
        ann2neo.from_neo(ann2neo.to_neo(network), bin_size=1 * pq.ms)


def test_no_loss_is_no_warning():
    """Below one spike in a hundred lost, nothing is said."""
    block = block_of(segment_of(np.arange(0.5, 9.5)))
    with warnings.catch_warnings():
        warnings.simplefilter("error", SpikesLostWarning)
        recording = ann2neo.from_neo(block, bin_size=1 * pq.ms)
    assert recording.provenance["spikes_lost_share"] == "0.0"
    assert recording.raster.spike_counts().tolist() == [9]
