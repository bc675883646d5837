"""Segments: time runs inside them, and nothing that is cut or joined crosses them."""

import json

import numpy as np
import pandas as pd
import pytest
import quantities as pq
from hypothesis import given
from hypothesis import strategies as st

from ann2neo import Recording, SpikeRaster
from ann2neo.errors import InputTypeError, InputValueError
from ann2neo.raster import SegmentedRaster
from ann2neo.recording import folder as folders
from ann2neo.recording.segments import segmented_phases
from ann2neo.recording.tables import joined_tables, network_columns, unit_names

MS = pq.ms


def spikes(n_units=3, n_time_bins=100, seed=0):
    return np.random.default_rng(seed).random((n_units, n_time_bins)) < 0.3


def segments(bounds, phase="session", order="unknown", **columns):
    starts, stops = zip(*bounds, strict=True)
    names = [phase] * len(bounds) if isinstance(phase, str) else phase
    return pd.DataFrame(
        {"start_bin": starts, "stop_bin": stops, "phase": names, "order": order}
        | columns
    )


def shown(bounds, **columns):
    starts, stops = zip(*bounds, strict=True)
    return pd.DataFrame({"start_bin": starts, "stop_bin": stops} | columns)


def session(table=None, presentations=None, dense=None, phase="session", **options):
    """A recording of three segments with gaps, 30, 20 and 30 bins long."""
    dense = spikes() if dense is None else dense
    if table is None:
        table = segments([(0, 30), (40, 60), (70, 100)], phase)
    units = pd.DataFrame(index=range(len(dense)))
    if presentations is None:
        presentations = shown([(2, 12), (45, 55), (72, 90)], label=[1, 2, 1])
    if "phase" not in presentations:
        presentations = presentations.assign(phase=phase)
    raster = SpikeRaster.from_dense(dense, **options)
    return Recording(raster, units, presentations, segments=table)


def bounds_of(recording):
    return recording.segments[["start_bin", "stop_bin"]].to_numpy().tolist()


def test_a_phase_is_the_set_of_the_segments_that_name_it():
    """The table of phases sums up the segments, which may take turns."""
    recording = session(
        segments([(0, 30), (40, 60), (70, 100)], ["a", "b", "a"]),
        shown([(2, 12)], phase=["a"]),
    )
    assert recording.phases.to_dict("records") == [
        {
            "phase": "a",
            "order": "unknown",
            "n_segments": 2,
            "n_time_bins": 60,
            "start_bin": 0,
            "stop_bin": 100,
        },
        {
            "phase": "b",
            "order": "unknown",
            "n_segments": 1,
            "n_time_bins": 20,
            "start_bin": 40,
            "stop_bin": 60,
        },
    ]
    assert [s.start_bin for s in recording.iter_segments("a")] == [0, 70]
    assert [s.n_time_bins for s in recording.iter_segments()] == [30, 20, 30]
    assert "'a' (60 bins in 2 segments, unknown order)" in repr(recording)


def test_a_segment_without_a_clock_of_its_own_has_the_recordings():
    """t_start is a number, and by default the time of the segment's first bin."""
    recording = session(t_start=500 * MS)
    assert recording.segments["t_start"].to_list() == [0.5, 0.54, 0.57]
    table = segments([(0, 30), (40, 60)], t_start=[-0.5, 0.0])
    recording = session(table, shown([(0, 1)]))
    assert recording.segments["t_start"].to_list() == [-0.5, 0.0]


def test_segments_are_put_in_order_of_time():
    """Segments given phase by phase are sorted by their first bin."""
    recording = session(
        segments([(40, 60), (0, 30)], ["a", "b"]), shown([(0, 1)], phase=["b"])
    )
    assert bounds_of(recording) == [[0, 30], [40, 60]]


def test_the_spikes_of_a_phase_are_those_of_its_segments():
    """Joined segments hold the bins of the segments, and edges where they met."""
    dense = spikes()
    (phase,) = segmented_phases(session(dense=dense))
    joined = phase.raster(SpikeRaster.from_dense(dense))
    parts = [dense[:, 0:30], dense[:, 40:60], dense[:, 70:100]]
    np.testing.assert_array_equal(joined.raster.to_dense(), np.hstack(parts))
    assert joined.edges.tolist() == [0, 30, 50, 80]
    bins = np.array([0, 29, 40, 99])
    assert phase.joined_bins(bins).tolist() == [0, 29, 30, 79]
    blocks = list(phase.unit_blocks(SpikeRaster.from_dense(dense), 1))
    assert [units.start for units, _ in blocks] == [0, 1, 2]
    np.testing.assert_array_equal(
        np.vstack([block.raster.to_dense() for _, block in blocks]), np.hstack(parts)
    )


@given(st.data())
def test_counts_in_segments_are_those_of_the_pieces(data):
    """Windows, lags, ends and pairs of any segments are sums over the pieces."""
    n = data.draw(st.integers(1, 300))
    seed, max_lag = data.draw(st.integers(0, 2**16)), data.draw(st.integers(1, 70))
    window = data.draw(st.integers(1, 40))
    inner = data.draw(st.lists(st.integers(1, max(1, n - 1)), max_size=8, unique=True))
    dense = spikes(4, n, seed)
    edges = [0, *sorted(edge for edge in inner if edge < n), n]
    joined = SegmentedRaster(SpikeRaster.from_dense(dense), edges)
    pieces = np.split(dense.astype(int), edges[1:-1], axis=1)

    def pairs(piece, lag):
        length = max(0, piece.shape[1] - lag)
        return (piece[:, :length] * piece[:, lag : lag + length]).sum(axis=1)

    lags = range(max_lag + 1)
    np.testing.assert_array_equal(
        joined.lag_counts(max_lag),
        np.transpose([sum(pairs(piece, lag) for piece in pieces) for lag in lags]),
    )
    np.testing.assert_array_equal(
        joined.n_pairs(max_lag),
        [sum(max(0, piece.shape[1] - lag) for piece in pieces) for lag in lags],
    )
    np.testing.assert_array_equal(
        joined.end_counts(max_lag),
        np.transpose(
            [
                sum(
                    piece[:, :lag].sum(axis=1)
                    + piece[:, max(0, piece.shape[1] - lag) :].sum(axis=1)
                    for piece in pieces
                )
                for lag in lags
            ]
        ),
    )
    whole = [piece[:, : piece.shape[1] // window * window] for piece in pieces]
    np.testing.assert_array_equal(
        joined.window_counts(window),
        np.hstack([piece.reshape(4, -1, window).sum(axis=2) for piece in whole]),
    )
    assert joined.n_windows(window) == joined.window_counts(window).shape[1]
    np.testing.assert_array_equal(
        joined.segment_counts(), np.transpose([piece.sum(axis=1) for piece in pieces])
    )
    longest = max(pieces, key=lambda piece: piece.shape[1])
    np.testing.assert_array_equal(joined.longest.raster.to_dense(), longest)


@given(st.data())
def test_stretches_set_side_by_side_hold_their_bins(data):
    """Short or long, overlapping or not, adjoining or not: bins come in that order."""
    n = data.draw(st.integers(1, 400))
    starts = data.draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=12))
    stops = [data.draw(st.integers(start + 1, n)) for start in starts]
    dense = spikes(3, n)
    joined = SpikeRaster.from_dense(dense).join(np.array(starts), np.array(stops))
    bounds = zip(starts, stops, strict=True)
    np.testing.assert_array_equal(
        joined.to_dense(), np.hstack([dense[:, a:b] for a, b in bounds])
    )


# -- selecting
# --------------------------------------------------------------------------------------


def test_chosen_presentations_keep_their_borders():
    """Presentations set side by side are segments, on the clock they were shown on."""
    chosen = session(t_start=1 * pq.s).select(label=1)
    assert bounds_of(chosen) == [[0, 10], [10, 28]]
    assert chosen.segments["t_start"].to_list() == [1.002, 1.072]
    dense = spikes()
    np.testing.assert_array_equal(
        chosen.raster.to_dense(), np.hstack([dense[:, 2:12], dense[:, 72:90]])
    )


def test_presentations_that_adjoin_in_a_segment_stay_together():
    """Time runs on from one presentation to the next; across a border it does not."""
    table = segments([(0, 50), (50, 100)])
    presentations = shown([(0, 20), (20, 50), (50, 80), (90, 100)])
    chosen = session(table, presentations).select(presentations=[0, 1, 2, 3])
    assert bounds_of(chosen) == [[0, 50], [50, 80], [80, 90]]


def test_samples_stay_one_segment():
    """Where every bin is a presentation, those chosen make up one segment."""
    recording = Recording.from_activations(
        np.eye(6), labels=[0, 1, 0, 1, 0, 1], stimulus_id=[5, 3, 1, 0, 2, 4]
    )
    assert bounds_of(recording.select(label=1)) == [[0, 3]]
    assert bounds_of(recording.in_stimulus_order()) == [[0, 6]]
    two = Recording.concatenate([recording, recording])
    assert bounds_of(two) == [[0, 6], [6, 12]]
    assert bounds_of(two.select(label=1)) == [[0, 6]]


def test_trials_in_stimulus_order_are_segments():
    """Longer presentations get a segment each, with its clock, and the order stored."""
    presentations = shown([(2, 12), (45, 55), (72, 90)], stimulus_id=[2, 0, 1])
    ordered = session(presentations=presentations).in_stimulus_order()
    assert bounds_of(ordered) == [[0, 10], [10, 28], [28, 38]]
    assert ordered.segments["t_start"].to_list() == [0.045, 0.072, 0.002]
    assert set(ordered.segments["order"]) == {"stored"}


def test_a_phase_keeps_its_place_in_time_with_its_gaps():
    """Selecting the only phase leaves the bins; of two, unobserved bins are dropped."""
    recording = session()
    whole = recording.select(phase="session")
    assert bounds_of(whole) == bounds_of(recording)
    mixed = session(
        segments([(0, 30), (40, 60), (70, 100)], ["a", "b", "a"]),
        shown([(72, 90)], phase=["a"], label=[7]),
    )
    part = mixed.select(phase="a")
    assert bounds_of(part) == [[0, 30], [30, 60]]
    assert part.segments["t_start"].to_list() == [0.0, 0.07]
    assert part.presentations[["start_bin", "stop_bin"]].to_numpy().tolist() == [
        [32, 50]
    ]


def test_a_time_cuts_segments_and_their_clocks_run_on():
    """The bins between two times stay where they were; a cut segment starts later."""
    recording = session(t_start=1 * pq.s)
    part = recording.select(t_start=1020 * MS, t_stop=1.08 * pq.s)
    assert bounds_of(part) == [[0, 10], [20, 40], [50, 60]]
    assert part.segments["t_start"].to_list() == [1.02, 1.04, 1.07]
    assert float(part.t_start) == 1020.0
    np.testing.assert_array_equal(part.raster.to_dense(), spikes()[:, 20:80])
    assert part.presentations["start_bin"].to_list() == [25]
    assert recording.select(t_stop=9 * pq.s).segments.equals(recording.segments)


def test_layers_are_chosen_by_name_and_pattern():
    """layer= keeps the units of the layers that are named, in their order."""
    units = pd.DataFrame(
        {"layer": ["conv_1", "conv_2", "dense"], "unit_in_layer": [0, 0, 0]}
    )
    recording = Recording.from_raster(SpikeRaster.from_dense(spikes()), units)
    assert recording.select(layer="conv*").units["layer"].to_list() == [
        "conv_1",
        "conv_2",
    ]
    assert recording.select(layer=["dense", "conv_1"]).n_units == 2


def test_phases_of_one_name_are_joined():
    """Concatenation makes one phase of phases that agree in name and order."""
    one = session()
    both = Recording.concatenate([one, one])
    assert both.phases[["phase", "n_segments", "n_time_bins"]].to_numpy().tolist() == [
        ["session", 6, 160]
    ]
    assert both.segments["t_start"].to_list() == [0.0, 0.04, 0.07] * 2
    notes = [
        Recording(
            one.raster,
            one.units,
            one.presentations,
            segments=one.segments,
            provenance={"seed": seed},
        )
        for seed in "12"
    ]
    assert dict(Recording.concatenate(notes).provenance) == {
        "seed [session, part 1]": "1",
        "seed [session, part 2]": "2",
    }


# -- presentations of several kinds, and trials
# --------------------------------------------------------------------------------------


def test_presentations_of_other_kinds_overlap_freely():
    """Kinds stand beside one another; a column that one lacks has missing values."""
    recording = session().with_presentations(
        pd.DataFrame(
            {"start_time": [0.005, 0.05], "contrast": [0.5, 1.0], "go": [True, False]}
        ),
        "cues",
    )
    table = recording.presentations
    assert table["kind"].to_list() == ["trials", "cues", "trials", "cues", "trials"]
    cues = table[table["kind"] == "cues"]
    assert cues[["start_bin", "stop_bin"]].to_numpy().tolist() == [[5, 6], [50, 51]]
    assert table["contrast"].isna().to_list() == [True, False, True, False, True]
    assert table["go"].to_list() == [-1, 1, -1, 0, -1]
    assert cues["label"].to_list() == [-1, -1]
    assert bounds_of(recording.select(kind="cues", presentations=table["go"] == 1)) == [
        [0, 1]
    ]
    # Those of the kind trials are chosen where none is named.
    assert bounds_of(recording.select(label=2)) == [[0, 10]]
    again = recording.with_presentations(shown([(1, 3)]), "cues")
    assert again.presentations["kind"].to_list() == ["cues", *["trials"] * 3]


def test_tables_of_several_kinds_agree_on_types():
    """Numbers and texts become text, integers stay, booleans become 1, 0 and -1."""
    one = shown([(0, 1)], phase="a", label=[1.5], ok=[True], size=[3])
    other = shown([(0, 2)], phase="a", label=["x"])
    joined = joined_tables([one, other])
    types = joined.dtypes.astype(str).to_dict()
    assert (types["label"], types["ok"], types["size"]) == ("str", "int64", "int64")
    assert joined["label"].to_list() == ["1.5", "x"]
    assert joined["ok"].to_list() == [1, -1]


@given(st.data())
def test_trials_are_the_windows_around_their_presentations(data):
    """Windows beyond the observed time are left out, those that overlap copy bins."""
    starts = sorted(
        data.draw(st.lists(st.integers(0, 99), min_size=1, max_size=9, unique=True))
    )
    before, after = data.draw(st.integers(0, 20)), data.draw(st.integers(1, 20))
    table = segments([(0, 50), (50, 100)])
    dense = spikes()
    presentations = pd.DataFrame(
        {
            "start_bin": starts,
            "stop_bin": np.array(starts) + 1,
            "phase": "session",
            "number": range(len(starts)),
        }
    )
    recording = session(table, presentations, dense)
    windows = [
        (start - before, start + after, number)
        for number, start in enumerate(starts)
        if start // 50 * 50 <= start - before and start + after <= start // 50 * 50 + 50
    ]
    if not windows:
        with pytest.raises(InputValueError, match="reach beyond the segment"):
            recording.cut_trials(before=before, after=after)
        return
    trials = recording.cut_trials(before=before, after=after * MS)
    np.testing.assert_array_equal(
        trials.raster.to_dense(), np.hstack([dense[:, a:b] for a, b, _ in windows])
    )
    length = before + after
    assert bounds_of(trials) == [
        [i * length, (i + 1) * length] for i in range(len(windows))
    ]
    np.testing.assert_allclose(trials.segments["t_start"], -before / 1000)
    assert trials.presentations["number"].to_list() == [n for _, _, n in windows]
    assert trials.presentations["stop_bin"].equals(trials.segments["stop_bin"])
    in_windows = np.zeros(100, int)
    for a, b, _ in windows:
        in_windows[a:b] += 1
    copied = int(np.clip(in_windows - 1, 0, None).sum())
    notes = trials.provenance
    assert notes["trials_cut"] == str(len(windows))
    assert notes["trials_outside"] == str(len(starts) - len(windows))
    if before + after <= 20:
        assert int(notes["bins_in_several_trials"]) <= copied
    assert (int(notes["bins_in_several_trials"]) == 0) == (copied == 0)


def test_trials_are_aligned_to_an_event():
    """Align names a column of times; a trial without the event is left out."""
    presentations = shown(
        [(2, 12), (45, 55), (72, 90)], go_time=[0.006, np.nan, 0.080], label=[1, 2, 3]
    )
    recording = session(presentations=presentations).with_presentations(
        shown([(3, 5), (81, 83), (84, 86)]), "cues"
    )
    trials = recording.cut_trials("trials", "go_time", before=4 * MS, after=5)
    assert bounds_of(trials) == [[0, 9], [9, 18]]
    assert trials.provenance["trials_outside"] == "1"
    table = trials.presentations
    assert table[["kind", "start_bin", "stop_bin"]].to_numpy().tolist() == [
        ["trials", 0, 9],
        ["cues", 1, 3],
        ["trials", 9, 18],
        ["cues", 14, 16],
    ]
    whole = recording.cut_trials()
    assert bounds_of(whole) == bounds_of(recording.select(kind="trials"))
    by_stop = recording.cut_trials(align="stop", before=3, after=0)
    assert by_stop.segments["t_start"].to_list() == [-0.003] * 3


# -- bad input
# --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (
            lambda: session(segments([(0, 30), (20, 60)])),
            InputValueError,
            "without overlap, got 'session', bins 0 .. 30 and .*, bins 20 .. 60",
        ),
        (
            lambda: session(segments([(0, 30), (40, 101)])),
            InputValueError,
            r"inside 0 .. 100, got .*cut them at the ends",
        ),
        (
            lambda: session(segments([(0, 30), (40, 50)], order=["random", "stored"])),
            InputValueError,
            "segments of phase 'session' differ in order; give them one order",
        ),
        (
            lambda: session(segments([(0, 30)], t_start=[np.nan])),
            InputValueError,
            "t_start of a segment must be a finite number of seconds; leave",
        ),
        (
            lambda: session(presentations=shown([(20, 45)])),
            InputValueError,
            "bins 20 .. 45 does not lie in a segment of the phase 'session'",
        ),
        (
            lambda: session(presentations=shown([(2, 12), (11, 20)])),
            InputValueError,
            "kind 'trials' overlap: bins 2 .. 12 and 11 .. 20; give .* a kind",
        ),
        (
            lambda: session().phase_raster("session"),
            InputValueError,
            r"'session' has 3 segments, .*; use recording.iter_segments\('session'\)",
        ),
        (
            lambda: list(session().iter_phases()),
            InputValueError,
            "use recording.iter_segments",
        ),
        (
            lambda: Recording(
                session().raster,
                session().units,
                session().presentations,
                session().phases,
            ),
            InputValueError,
            r"cannot be told from .*; pass segments=recording.segments",
        ),
        (
            lambda: Recording(
                session().raster, session().units, session().presentations
            ),
            InputValueError,
            "got neither; pass phases= or segments=",
        ),
        (
            lambda: session().select(kind="cues", label=1),
            InputValueError,
            "no presentations of the kind 'cues'; this recording has 'trials'",
        ),
        (
            lambda: session().select(layer="dense"),
            InputValueError,
            "is no network's: its units have no layer; select units=",
        ),
        (
            lambda: session().select(t_start=30 * MS, t_stop=40 * MS),
            InputValueError,
            "no observed bin lies between t_start=30.*runs from 0.0 ms to 100.0 ms",
        ),
        (
            lambda: session().select(t_start=0.03),
            InputTypeError,
            "t_start must be a time such as 1 .* pq.ms, got 0.03",
        ),
        (
            lambda: session().with_presentations([1, 2]),
            InputTypeError,
            "needs a table of presentations .*, got list; give it a column start_time",
        ),
        (
            lambda: session().with_presentations(pd.DataFrame({"time": [1.0]})),
            InputValueError,
            "need a column start_time in s, or start_bin; there are 'time'",
        ),
        (
            lambda: session().with_presentations(
                pd.DataFrame({"start_time": [0.01], "stop_time": [np.nan]})
            ),
            InputValueError,
            "stop_time of row 0 is nan; drop the row",
        ),
        (
            lambda: session().with_presentations(
                pd.DataFrame({"start_time": [0.01], "stop_time": [0.0]})
            ),
            InputValueError,
            "row 0 stops before it starts .*; swap the two",
        ),
        (
            lambda: session().with_presentations(shown([(2, 4), (25, 45)]), "cues"),
            InputValueError,
            r"row 1 of the cues \(start_bin 25, stop_bin 45\) .*1 of 2 rows are such",
        ),
        (
            lambda: session().with_presentations(shown([(2, 4)], phase="rest")),
            InputValueError,
            "names the phase 'rest' but lies in 'session'; leave out the column",
        ),
        (
            lambda: session().cut_trials(align="go"),
            InputValueError,
            r"'start', 'stop' or a column of times in s .* got 'go'",
        ),
        (
            lambda: session().cut_trials(align="stop"),
            InputValueError,
            "fits align='start' alone, got align='stop'; say how long",
        ),
        (
            lambda: session().cut_trials(before=-20, after=20),
            InputValueError,
            "window of trial 0 holds no bin.*larger before or after",
        ),
        (
            lambda: session().cut_trials(before=1.5),
            InputTypeError,
            "before must be a whole number of bins, got 1.5",
        ),
        (
            lambda: session().select(presentations=[0]).with_phase_names({"x": "y"}),
            InputValueError,
            "unknown phase 'x'; this recording has 'session'",
        ),
    ],
)
def test_bad_input_says_value_rule_and_remedy(call, error, words):
    """Each mistake is refused with words that name it."""
    with pytest.raises(error, match=words):
        call()


# -- units of others, and folders
# --------------------------------------------------------------------------------------


def test_columns_of_other_peoples_units_keep_their_types():
    """A depth in the brain is no depth in a feature map: only a network's are ours."""
    foreign = pd.DataFrame(
        {
            "depth": [372.5, 410.0],
            "layer": [5, 6],
            "channel": ["A-001", "A-002"],
            "threshold": ["-4 sd", "-5 sd"],
            "name": ["fast", "slow"],
        }
    )
    recording = Recording.from_raster(SpikeRaster.from_dense(spikes(2)), foreign)
    assert recording.units.to_dict("list") == foreign.to_dict("list")
    assert network_columns(recording.units) == ()
    assert unit_names(recording.units) == ["fast", "slow"]
    assert unit_names(foreign[["depth"]].assign(id=[7, 9])) == ["unit 7", "unit 9"]
    own = foreign.assign(layer="hidden", unit_in_layer=[0, 1], channel=0, threshold=1)
    own = Recording.from_raster(
        SpikeRaster.from_dense(spikes(2)), own.drop(columns="depth")
    ).units
    assert network_columns(own) == ("layer", "unit_in_layer", "channel", "threshold")
    assert own["threshold"].dtype == np.float64
    assert unit_names(own) == ["hidden[0]", "hidden[1]"]


def test_the_zero_of_the_clock_is_kept():
    """timestamps_reference_time travels with a recording, and tells two apart."""
    recording = session()
    start = recording.session_start_time
    assert recording.timestamps_reference_time == start
    later = Recording(
        recording.raster,
        recording.units,
        recording.presentations,
        segments=recording.segments,
        identifier=recording.identifier,
        session_start_time=start,
        timestamps_reference_time=start.replace(year=start.year - 1),
    )
    assert not later.equals(recording)
    assert later.equals(recording, identity=False)
    chosen = later.select(label=1)
    assert chosen.timestamps_reference_time == later.timestamps_reference_time


def test_other_segments_make_another_recording():
    """Where a segment begins, and what its clock says, is part of a recording."""
    recording = session()
    moved = session(segments([(0, 30), (40, 60), (70, 100)], t_start=[0.0, 0.0, 0.0]))
    assert not moved.equals(recording, identity=False)


def finished(tmp_path, recording):
    folder = folders.UnfinishedFolder(tmp_path / "made", {}, 3, 100)
    folder.bits[:] = recording.raster.bits
    folder.finish(recording)
    return tmp_path / "made"


def test_a_folder_keeps_segments_and_kinds(tmp_path):
    """A recording of segments with their clocks and several kinds comes back equal."""
    recording = session(
        segments([(0, 30), (40, 60)], t_start=[-0.1, 5.0]), shown([(0, 1)])
    )
    recording = recording.with_presentations(
        shown([(1, 2), (45, 48)], label=[0.5, np.nan]), "cues"
    )
    assert Recording.open(finished(tmp_path, recording)).equals(recording)


def test_a_folder_of_layout_1_is_read(tmp_path):
    """Phases of earlier folders become one segment each, presentations trials."""
    recording = session(segments([(0, 100)]), shown([(0, 9)], label=["a"]))
    path = finished(tmp_path, recording) / "recording.json"
    old = json.loads(path.read_text())
    for name in ("sha256", "timestamps_reference_time"):
        del old[name]
    table = old.pop("segments")
    old["phases"] = {
        name: table[name] for name in ("phase", "start_bin", "stop_bin", "order")
    }
    del old["presentations"]["kind"]
    old["layout_version"] = 1
    path.write_text(json.dumps(old | {"sha256": folders._checksum(old)}))
    assert Recording.open(path.parent).equals(recording)
