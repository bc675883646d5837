"""Real sessions in NWB files as others write them.

Small files of pynwb alone, each with one thing that is met in the archives, are read,
summarized, written again or refused in a true sentence.
"""

from datetime import UTC, datetime, timedelta

import h5py
import numpy as np
import pandas as pd
import pynwb
import pytest
import quantities as pq
from pynwb.epoch import TimeIntervals
from typer.testing import CliRunner

import ann2neo
from ann2neo.cli import app
from ann2neo.errors import FileFormatError, InputTypeError, InputValueError
from ann2neo.recording.from_spike_times import SpikeOrderWarning, SpikesOutsideWarning
from ann2neo.recording.observed_time import CommonTimeWarning

MS = 1 * pq.ms
START = datetime(2020, 5, 17, 12, tzinfo=UTC)


def nwb_file(**fields):
    return pynwb.NWBFile("a session", "session-7", START, **fields)


def spikes(seed=0, n=400, stop=40.0):
    return np.sort(np.random.default_rng(seed).random(n)) * stop


def observed_file(n_units=2, stop=40.0, **columns):
    """Units that were observed until `stop`, with columns of one cell per unit."""
    file = nwb_file()
    for name in columns:
        file.add_unit_column(name, "about it")
    for unit in range(n_units):
        cells = {name: values[unit] for name, values in columns.items()}
        file.add_unit(
            spike_times=spikes(unit, stop=stop), obs_intervals=[[0.0, stop]], **cells
        )
    return file


def with_trials(file, n=20, length=1.0, **columns):
    """Trials that start every two seconds, with columns of one cell per trial."""
    for name in columns:
        file.add_trial_column(name, "about it")
    for trial in range(n):
        cells = {name: values[trial] for name, values in columns.items()}
        stop = 2.0 * trial + length
        file.add_trial(start_time=2.0 * trial, stop_time=stop, **cells)
    return file


def intervals(name, n=20, length=1.0, **columns):
    """A table of intervals, which start every two seconds."""
    table = TimeIntervals(name=name, description="what was shown")
    for column in columns:
        table.add_column(column, "about it")
    for row in range(n):
        cells = {column: values[row] for column, values in columns.items()}
        table.add_interval(start_time=2.0 * row, stop_time=2.0 * row + length, **cells)
    return table


@pytest.fixture
def read(tmp_path):
    """Writes a file of pynwb's and reads it in bins of 1 ms."""

    def written_and_read(file, **options):
        path = write(file, tmp_path / "session.nwb")
        return ann2neo.read_nwb(path, bin_size=MS, **options)

    return written_and_read


def write(file, path):
    with pynwb.NWBHDF5IO(path, "w") as io:
        io.write(file)
    return path


# -- units
# --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("depth", [372.5, 410.25]),
        ("layer", [5, 6]),
        ("phase", ["a", "b"]),
        ("is_good", [True, False]),
        ("cluster", np.array([3, 2**64 - 1], np.uint64)),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in (
                ("depth", [np.nan, 3.0]),
                ("channel", ["A-001", "A-002"]),
                ("row", [0.5, 1.5]),
                ("threshold", ["-4 sd", "-5 sd"]),
                ("step", ["late", "early"]),
                ("label", ["good", "mua"]),
                ("label", [1.5, 2.5]),
                ("firing_rate", [3.0, 4.0]),
                ("unit", [7, 8]),
                ("unit_id", ["n7", "n8"]),
                ("status", ["ok", "ok"]),
            )
        ),
    ],
)
def test_columns_of_units_keep_names_and_cells(read, tmp_path, name, cells):
    """A column of units that is called as one of ours keeps its name and cells, through
    analysis and a file of ours; only integers beyond 63 bits become text.
    """
    recording = read(observed_file(**{name: cells}))
    expected = list(map(str, cells)) if name == "cluster" else list(cells)
    np.testing.assert_array_equal(recording.units[name].to_list(), expected)
    assert len(ann2neo.analyze(recording)) == 2
    path = ann2neo.write_nwb(recording, tmp_path / "ours.nwb")
    assert ann2neo.read_nwb(path).equals(recording)


def test_columns_with_several_values_are_text_or_named_in_the_provenance(read):
    """Lists of words become text, objects referred to their names; lists of numbers,
    arrays and rows of other tables are left out by name.
    """
    file = nwb_file()
    device = file.create_device("probe")
    group = file.create_electrode_group("shank 0", "a shank", "V1", device)
    for _ in range(3):
        file.add_electrode(group=group, location="V1")
    file.add_unit_column("areas", "where", index=True)
    file.add_unit_column("lags", "numbers", index=True)
    file.add_unit_column("shape", "an array")
    for unit in range(2):
        file.add_unit(
            spike_times=spikes(unit),
            obs_intervals=[[0.0, 40.0]],
            areas=["V1", "LM"][: unit + 1],
            lags=[1.0, 2.0][: unit + 1],
            shape=[0.5, 1.5],
            electrodes=[unit],
            electrode_group=group,
            waveform_mean=np.zeros((5, 1)),
        )
    recording = read(file)
    assert recording.units["areas"].to_list() == ["V1", "V1, LM"]
    assert recording.units["electrode_group"].to_list() == ["shank 0"] * 2
    left_out = recording.provenance["unit_columns_left_out"].split(", ")
    assert set(left_out) == {"lags", "shape", "electrodes", "waveform_mean"}


@pytest.mark.parametrize(
    ("chosen", "rows"),
    [
        ([2, 0], [2, 0]),
        ([False, True, False], [1]),
        (lambda units: units["quality"] == "good", [0, 2]),
        (["2"], [2]),
        (["unit 2", "unit 0"], [2, 0]),
    ],
)
def test_units_are_chosen_by_row_function_or_name(read, chosen, rows):
    """Only the units asked for are read, in the order asked."""
    file = observed_file(3, quality=["good", "mua", "good"])
    recording = read(file, units=chosen)
    assert recording.units["unit_id"].to_list() == rows
    for unit, row in enumerate(rows):
        expected = np.unique(np.floor(spikes(row) / 0.001 + 1e-6))
        np.testing.assert_array_equal(recording.raster.spike_bins(unit), expected)


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        (["n7"], "no unit is called 'n7'; there are 'unit 0', 'unit 1'"),
        ([5], "units"),
        (lambda units: units["unit_id"] > 7, "units= chooses none of the 2 units"),
    ],
)
def test_units_that_are_not_there_are_told(read, chosen, words):
    """Units that match nothing are an error that says what there is."""
    with pytest.raises((InputValueError, InputTypeError), match=words):
        read(observed_file(), units=chosen)


def test_a_table_of_units_elsewhere_is_read(tmp_path):
    """The only table of units is found in another place, and two are not guessed."""
    file = nwb_file()
    units = pynwb.misc.Units(name="sorted", description="units")
    units.add_unit(spike_times=spikes(), obs_intervals=[[0.0, 40.0]])
    file.add_acquisition(units)
    path = write(file, tmp_path / "a.nwb")
    assert ann2neo.nwb_info(path).n_units == 1
    assert ann2neo.read_nwb(path, bin_size=MS).n_units == 1


def test_silent_neurons_are_not_told_to_lower_a_threshold(read, tmp_path):
    """Units without a spike can be read, and writing them says what neurons can do."""
    file = nwb_file()
    file.add_unit(spike_times=[], obs_intervals=[[0.0, 4.0]])
    recording = read(file)
    assert ann2neo.analyze(recording)["status"].to_list() == ["silent"]
    with pytest.raises(InputValueError, match="read a longer time or other units"):
        ann2neo.write_nwb(recording, tmp_path / "ours.nwb")


# -- observed time
# --------------------------------------------------------------------------------------


def test_invalid_times_are_unobserved(read):
    """Stretches in invalid_times lie in no segment: a rate counts valid time only."""
    file = nwb_file()
    times = spikes()
    times = times[(times < 10) | (times > 20)]
    file.add_unit(spike_times=times, obs_intervals=[[0.0, 40.0]])
    file.add_invalid_time_interval(start_time=10.0, stop_time=20.0, tags=["probeA"])
    recording = read(file)
    assert recording.segments[["start_bin", "stop_bin"]].to_numpy().tolist() == [
        [0, 10_000],
        [20_000, 40_000],
    ]
    rate = ann2neo.analyze(recording)["firing_rate_hz"][0]
    assert rate == pytest.approx(len(times) / 30, rel=0.01)
    assert float(recording.provenance["invalid_seconds"]) == 10.0


def test_invalid_times_count_without_obs_intervals_too(read):
    """A file that says only what is invalid has the rest of the time asked for."""
    file = nwb_file()
    file.add_unit(spike_times=[1.0, 2.0, 30.0])
    file.add_invalid_time_interval(start_time=10.0, stop_time=20.0)
    recording = read(file, t_stop=40 * pq.s)
    assert recording.segments["start_bin"].to_list() == [0, 20_000]


def test_stretches_of_trials_make_one_phase(read):
    """An observed interval for every trial gives one phase of as many segments, and one
    row of statistics per unit.
    """
    file = nwb_file()
    stretches = np.arange(300)[:, None] * 5.0 + [0.0, 4.0]
    for unit in range(3):
        times = spikes(unit, 3000, 1500.0)
        times = times[times % 5 < 4]
        file.add_unit(spike_times=times, obs_intervals=stretches)
    recording = read(file)
    assert recording.phases["n_segments"].to_list() == [300]
    assert recording.phases["n_time_bins"].to_list() == [1_200_000]
    assert ann2neo.analyze(recording, statistics=["firing_rate"]).shape[0] == 3


def different_times():
    file = nwb_file()
    file.add_unit(spike_times=spikes(), obs_intervals=[[0.0, 40.0]])
    file.add_unit(spike_times=spikes(1, 200, 20.0), obs_intervals=[[0.0, 20.0]])
    return file


def test_units_observed_differently_have_their_common_time(read):
    """The common time is read with a warning that says what is left out; units= chooses
    to have more.
    """
    with pytest.warns(CommonTimeWarning, match=r"50.0 % of a unit's time.*units="):
        recording = read(different_times())
    assert recording.n_time_bins == 20_000
    assert recording.provenance["units_observed_differently"] == "1"
    assert read(different_times(), units=[0]).n_time_bins == 40_000
    assert read(different_times(), t_stop=20 * pq.s).n_time_bins == 20_000


def test_a_microsecond_and_another_order_make_no_difference(read):
    """Units whose intervals differ below a bin, or in their order, are alike."""
    file = nwb_file()
    one = [[0.0, 10.0], [20.0, 40.0]]
    other = [[20.0, 40.000001], [0.0, 10.0]]
    inside = spikes()[spikes() < 10]
    file.add_unit(spike_times=inside, obs_intervals=one)
    file.add_unit(spike_times=inside, obs_intervals=other)
    recording = read(file)
    assert recording.segments["stop_bin"].to_list() == [10_000, 40_000]
    assert "units_observed_differently" not in recording.provenance


def unit_with(times, stretches):
    file = nwb_file()
    options = {} if stretches is None else {"obs_intervals": stretches}
    file.add_unit(spike_times=times, **options)
    return file


@pytest.mark.parametrize(
    ("stretches", "words"),
    [
        (
            [[0.0, np.inf]],
            r"0.0 .. inf s, has no end, so t_stop is needed: give t_stop",
        ),
        ([[10.0, 0.0]], r"10.0 .. 0.0 s, stops before it starts: swap the two"),
        ([[np.nan, 5.0]], "is not a stretch: remove it, or say when it was"),
        (np.zeros((0, 2)), "1 of 1 units have no observed time.*leave them out with"),
    ],
)
def test_stretches_that_are_none_are_told(read, stretches, words):
    """Each kind of interval that says no time has a true sentence of its own."""
    with pytest.raises(InputValueError, match=words):
        read(unit_with(spikes(), stretches))


def test_an_endless_stretch_ends_at_t_stop(read):
    """An interval without an end can be read with t_stop."""
    recording = read(unit_with(spikes(), [[0.0, np.inf]]), t_stop=40 * pq.s)
    assert recording.n_time_bins == 40_000


@pytest.mark.parametrize(
    ("times", "warning", "words"),
    [
        (
            spikes() - 10,
            SpikesOutsideWarning,
            r"before 0 s .the earliest at -9.98.*earlier t_start or a later t_stop",
        ),
        (
            np.round(spikes() * 30_000),
            SpikesOutsideWarning,
            "400 from 40 s on.*whole numbers, as sample indices are: divide them by",
        ),
        (
            np.concatenate([spikes()[:-30], np.full(30, -1.0)]),
            SpikesOutsideWarning,
            "30 of them are -1, which stands for no time: remove them",
        ),
        (
            np.concatenate([spikes(0, 200, 20.0), spikes(1, 200, 20.0)]),
            SpikeOrderWarning,
            r"falls back once, first from 19.\d+ s to 0.1.*as where a clock restarts",
        ),
    ],
)
@pytest.mark.filterwarnings(
    "ignore::ann2neo.recording.from_spike_times.SpikesLostWarning"
)
def test_odd_spike_times_are_told_with_their_cause(read, times, warning, words):
    """Spikes outside the time read are counted, and a warning names what such times
    usually are.
    """
    with pytest.warns(warning, match=words) as caught:
        read(unit_with(times, None), t_stop=40 * pq.s)
    assert {w.filename for w in caught if issubclass(w.category, warning)} == {__file__}


def test_a_missing_end_names_what_the_file_knows(tmp_path):
    """Without obs_intervals the message names the last spike, the last trial and the
    other tables, and a t_stop that covers them, which then works.
    """
    file = with_trials(unit_with([1.0, 38.25], None))
    file.add_time_intervals(intervals("cues", 3))
    path = write(file, tmp_path / "a.nwb")
    with pytest.raises(
        InputValueError,
        match=r"last spike is at 38.25 s, its last trial ends at 39 s, its table 'cues'"
        r" ends at 5 s; try .*t_stop=40 \* pq.s\), --t-stop 40 on the command line",
    ):
        ann2neo.read_nwb(path, bin_size=MS)
    recording = ann2neo.read_nwb(path, bin_size=MS, t_stop=40 * pq.s)
    assert recording.provenance["spikes_outside"] == "0"


def test_a_file_without_rows_or_spike_times_is_told(tmp_path):
    """A table of units without rows, and one without spike times, are an error each."""
    file = nwb_file()
    file.add_unit_column("quality", "about it")
    file.add_unit(quality="good")
    path = write(file, tmp_path / "a.nwb")
    with pytest.raises(FileFormatError, match="units without spike times"):
        ann2neo.read_nwb(path, bin_size=MS)
    file = unit_with([1.0], None)
    path = write(file, tmp_path / "b.nwb")
    with h5py.File(path, "a") as handle:
        for name in ("id", "spike_times", "spike_times_index"):
            attributes = dict(handle[f"units/{name}"].attrs)
            del handle[f"units/{name}"]
            handle[f"units/{name}"] = np.zeros(
                0, "f8" if name == "spike_times" else "i8"
            )
            for key, value in attributes.items():
                handle[f"units/{name}"].attrs[key] = value
    with pytest.raises(FileFormatError, match=r"units of .* has no rows"):
        ann2neo.read_nwb(path, bin_size=MS, t_stop=1 * pq.s)


# -- trials and other intervals
# --------------------------------------------------------------------------------------


@pytest.mark.parametrize("every", [1, 2])
def test_trials_without_an_end_last_until_the_next(read, every):
    """Trials whose stop times are NaN are kept, until the next one or the end of the
    observed time, and counted.
    """
    file = observed_file()
    for trial in range(20):
        stop = np.nan if trial % every == 0 else 2.0 * trial + 1
        file.add_trial(start_time=2.0 * trial, stop_time=stop)
    recording = read(file)
    shown = recording.presentations
    assert len(shown) == 20
    lengths = (shown["stop_bin"] - shown["start_bin"]).to_numpy()
    assert lengths.tolist() == [2000 if i % every == 0 else 1000 for i in range(20)]
    assert recording.provenance["presentations_without_end"] == str(20 // every)


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ([False, True], [False, True]),
        ([45.0, np.nan], [45.0, np.nan]),
        ([3_000_000_000, 3_000_000_001], [3_000_000_000, 3_000_000_001]),
        (["left", "right"], ["left", "right"]),
    ],
)
def test_a_label_of_any_kind_is_kept(read, tmp_path, cells, expected):
    """Labels keep their type, and can be tuned to; those without one are left out."""
    recording = read(with_trials(observed_file(), label=cells * 10))
    assert recording.presentations["label"].to_list()[:1] == expected[:1]
    np.testing.assert_array_equal(recording.presentations["label"][:2], expected)
    path = ann2neo.write_nwb(recording, tmp_path / "ours.nwb")
    assert ann2neo.read_nwb(path).equals(recording)


def test_words_of_an_enumeration_are_the_labels(tmp_path):
    """Numbers that stand for words arrive as the words."""
    path = write(with_trials(observed_file(), label=np.arange(20) % 3), tmp_path / "a")
    with h5py.File(path, "r+") as handle:
        table = handle["intervals/trials"]
        attributes = dict(table["label"].attrs)
        del table["label"]
        table["label"] = np.arange(20, dtype=np.uint8) % 3
        table["label_elements"] = np.array(["left", "right", "catch"], "S")
        for name in ("label", "label_elements"):
            for key, value in attributes.items():
                table[name].attrs[key] = value
        table["label"].attrs["neurodata_type"] = "EnumData"
        table["label"].attrs["elements"] = table["label_elements"].ref
    shown = ann2neo.read_nwb(path, bin_size=MS).presentations
    assert shown["label"].to_list()[:4] == ["left", "right", "catch", "left"]


def test_types_of_hdf5_and_of_old_programs_are_text(tmp_path):
    """Enumerations of HDF5 are their names, and bytes that are no Unicode cost no
    column.
    """
    path = write(with_trials(observed_file(), side=[0, 1] * 10), tmp_path / "a.nwb")
    with h5py.File(path, "r+") as handle:
        table = handle["intervals/trials"]
        del table["side"]
        kind = h5py.enum_dtype({"left": 0, "right": 1}, basetype="i1")
        table.create_dataset("side", data=np.arange(20) % 2, dtype=kind)
        table["unit"] = np.array([b"5 \xb5m"] * 20)
        table["pairs"] = np.zeros((20, 2))
        table["spans"] = np.zeros(20, [("start", "i4"), ("count", "i4")])
        table["short"] = np.zeros(3)
        names = [*table.attrs["colnames"], "unit", "pairs", "spans", "short", "gone"]
        table.attrs["colnames"] = np.array(names, h5py.string_dtype())
    recording = ann2neo.read_nwb(path, bin_size=MS)
    assert recording.presentations["side"].to_list()[:2] == ["left", "right"]
    assert recording.presentations["unit"][0].startswith("5 ")
    left_out = recording.provenance["columns_left_out [trials]"]
    assert left_out == "pairs, spans, short, gone"


def test_a_label_under_another_name_is_named(read):
    """label= makes a column the label, and keeps it under its own name."""
    sides = ["left", "right"] * 10
    recording = read(with_trials(observed_file(), trial_type=sides), label="trial_type")
    assert recording.presentations["label"].to_list() == sides
    assert recording.presentations["trial_type"].to_list() == sides
    tuning = ann2neo.selectivity(recording, n_permutations=9, seed=0)
    assert set(tuning["preferred_label"]) <= {"left", "right"}


def test_columns_called_as_ours_get_another_name(read):
    """Trials with columns start_bin, phase and order keep them, ours beside."""
    file = observed_file()
    cells = {"start_bin": [7] * 20, "order": ["x"] * 20, "phase": ["early"] * 20}
    shown = read(with_trials(file, **cells)).presentations
    assert shown["start_bin"].to_list()[:2] == [0, 2000]
    assert set(shown["start_bin_"]) == {7}
    assert set(shown["phase_"]) == {"early"}
    assert set(shown["order"]) == {"x"}


def test_events_are_presentations_of_one_bin(read):
    """Trials that stop as they start are events, in the bin of their time."""
    shown = read(with_trials(observed_file(), length=0.0)).presentations
    assert len(shown) == 20
    assert (shown["stop_bin"] - shown["start_bin"] == 1).all()


def test_tables_of_intervals_are_read_by_name(read, tmp_path):
    """Any table of intervals becomes presentations of its name; what is not read is
    named in the provenance, and written again as it was.
    """
    file = with_trials(observed_file(), side=["left", "right"] * 10)
    angles = np.arange(20) % 8 * 45.0
    file.add_time_intervals(intervals("gratings_presentations", orientation=angles))
    file.add_epoch(start_time=0.0, stop_time=20.0, tags=["wake"])
    file.add_epoch(start_time=20.0, stop_time=40.0, tags=["sleep", "deep"])
    recording = read(file)
    assert set(recording.presentations["kind"]) == {"trials"}
    unread = recording.provenance["interval_tables_not_read"].split(", ")
    assert set(unread) == {"gratings_presentations", "epochs"}
    names = ["gratings_presentations", "epochs"]
    recording = read(file, intervals=names)
    shown = recording.presentations
    gratings = shown[shown["kind"] == "gratings_presentations"]
    np.testing.assert_array_equal(gratings["orientation"], angles)
    tags = shown[shown["kind"] == "epochs"]["tags"]
    assert tags.to_list() == ["wake", "sleep, deep"]
    path = ann2neo.write_nwb(recording, tmp_path / "ours.nwb")
    assert ann2neo.read_nwb(path).equals(recording)
    with pynwb.NWBHDF5IO(path, "r") as io:
        kept = io.read()
        np.testing.assert_array_equal(
            kept.intervals["gratings_presentations"]["orientation"][:], angles
        )
        assert kept.epochs["tags_"][:].tolist() == ["wake", "sleep, deep"]
    assert len(read(file, intervals=[]).presentations) == 0
    only = read(file, intervals="epochs", label="tags")
    assert only.presentations["label"].to_list() == ["wake", "sleep, deep"]


def test_an_events_table_has_times_and_durations(tmp_path):
    """A table of timestamps in /events is read like one of intervals."""
    path = write(observed_file(), tmp_path / "a.nwb")
    with h5py.File(path, "a") as handle:
        group = handle.create_group("events/licks")
        group["id"] = np.arange(3)
        group["timestamp"] = [1.0005, 2.0, 3.0]
        group["duration"] = [np.nan, 0.5, 0.002]
        group.attrs["colnames"] = np.array(["timestamp", "duration"], "S")
    shown = ann2neo.read_nwb(path, bin_size=MS, intervals="licks").presentations
    assert shown["start_bin"].to_list() == [1000, 2000, 3000]
    assert shown["stop_bin"].to_list() == [1001, 2500, 3002]
    assert [table.name for table in ann2neo.nwb_info(path).intervals] == ["licks"]


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        (
            {"intervals": "cues"},
            InputValueError,
            "has no table of intervals 'cues'; it has 'trials'",
        ),
        (
            {"intervals": [3]},
            InputTypeError,
            r"must be the name of a table of intervals, or a list of names, got 3",
        ),
        (
            {"label": "trial_type"},
            InputValueError,
            "no column 'trial_type' in the presentations read.*trials: .*'side'",
        ),
        ({"label": 3}, InputTypeError, "label must be the name of a column, got 3"),
        (
            {"label": "side", "intervals": []},
            InputValueError,
            "no column 'side'.*no table was read: choose one with intervals=",
        ),
    ],
)
def test_tables_and_labels_that_are_not_there_are_told(read, options, error, words):
    """A table or column that is not there is an error that lists what is."""
    with pytest.raises(error, match=words):
        read(with_trials(observed_file(), side=["left", "right"] * 10), **options)


def test_trials_that_overlap_are_told_with_a_remedy_that_works(read):
    """Overlapping trials are an error; without their table the file can be read."""
    file = with_trials(observed_file(), length=3.0)
    with pytest.raises(InputValueError, match=r"'trials' overlap.*intervals=\[\]"):
        read(file)
    recording = read(file, intervals=[])
    table = pd.DataFrame({"start_time": [0.0, 3.0], "stop_time": [3.0, 6.0]})
    assert len(recording.with_presentations(table).presentations) == 2


def test_both_moments_of_a_session_are_kept(read, tmp_path):
    """The reference time of a session that differs from its start is read and written,
    so that no spike moves by an hour.
    """
    later = START + timedelta(hours=1)
    file = nwb_file(timestamps_reference_time=later)
    file.add_unit(spike_times=[1.0, 2.0], obs_intervals=[[0.0, 4.0]])
    recording = read(file)
    assert recording.session_start_time == START
    assert recording.timestamps_reference_time == later
    path = ann2neo.write_nwb(recording, tmp_path / "ours.nwb")
    with pynwb.NWBHDF5IO(path, "r") as io:
        kept = io.read()
        assert kept.session_start_time == START
        assert kept.timestamps_reference_time == later


def test_what_a_session_says_about_itself_is_written_again(read, tmp_path):
    """Subject, institution and session of somebody's file stand in ours, unless the
    metadata say otherwise.
    """
    file = nwb_file(institution="Here", session_id="s-7")
    file.add_unit(spike_times=[1.0, 2.0], obs_intervals=[[0.0, 4.0]])
    file.subject = pynwb.file.Subject(
        subject_id="m1", species="Mus musculus", sex="F", age="P90D"
    )
    path = ann2neo.write_nwb(read(file), tmp_path / "ours.nwb", {"sex": "U"})
    with pynwb.NWBHDF5IO(path, "r") as io:
        kept = io.read()
        assert (kept.institution, kept.session_id) == ("Here", "s-7")
        assert kept.session_description == "a session"
        subject = kept.subject
        assert (subject.subject_id, subject.species) == ("m1", "Mus musculus")
        assert (subject.sex, subject.age) == ("U", "P90D")


# -- old files, summaries and the command line
# --------------------------------------------------------------------------------------


def test_a_version_stored_as_an_array_is_read(tmp_path):
    """Files of old MatNWB, whose version and start are arrays, are read and
    summarized, and validated without a traceback.
    """
    path = write(observed_file(), tmp_path / "a.nwb")
    with h5py.File(path, "a") as handle:
        handle.attrs["nwb_version"] = np.array([b"2.0b"])
        del handle["session_start_time"]
        handle["session_start_time"] = np.array([b"20180301T120000"])
    recording = ann2neo.read_nwb(path, bin_size=MS)
    assert recording.provenance["nwb_version"] == "2.0b"
    assert recording.session_start_time.year == 2018
    assert ann2neo.nwb_info(path).nwb_version == "2.0b"
    assert ann2neo.validate_nwb(path)


def test_info_shows_what_can_be_read(tmp_path):
    """The summary of any file has observed and invalid time, the first and last spike,
    and the tables of intervals with the columns that may be labels.
    """
    file = with_trials(
        different_times(), side=["left", "right"] * 10, number=np.arange(20)
    )
    file.add_invalid_time_interval(start_time=10.0, stop_time=12.0)
    path = write(file, tmp_path / "a.nwb")
    info = ann2neo.nwb_info(path)
    assert info.recording is None
    assert (info.n_units, info.n_spikes) == (2, 600)
    assert info.observed == ((0.0, 40.0),)
    assert not info.is_observed_alike
    assert info.invalid == ((10.0, 12.0),)
    times = np.concatenate([spikes(), spikes(1, 200, 20.0)])
    assert (info.first_spike, info.last_spike) == (times.min(), times.max())
    (table,) = info.intervals
    assert (table.name, table.n_rows, table.stop) == ("trials", 20, 39.0)
    assert table.columns == ("side", "number")
    assert table.labels == ("side",)
    shown = CliRunner().invoke(app, ["info", str(path)]).output
    assert "0 .. 40 s, the first unit; others differ" in shown
    assert "20 rows, 0 .. 39 s; columns: side, number; for --label: side" in shown
    assert "2 s in 1 stretches" in shown


def test_info_shows_files_that_cannot_be_read_as_they_are(tmp_path):
    """Intervals that say no time do not keep a file from being summarized."""
    for stretches in ([[10.0, 0.0], [20.0, 30.0]], [[np.nan, 5.0]], [[0.0, np.inf]]):
        path = write(unit_with(spikes(), stretches), tmp_path / "a.nwb")
        assert ann2neo.nwb_info(path).n_spikes == 400
        assert CliRunner().invoke(app, ["info", str(path)]).exit_code == 0


@pytest.mark.slow
def test_the_command_line_takes_what_python_takes(tmp_path):
    """Commands that analyze and report read with the options of read_nwb, and write
    what was read.
    """
    file = nwb_file()
    for unit in range(3):
        file.add_unit(spike_times=10 + spikes(unit, 200, 20.0))
    file.add_time_intervals(intervals("cues", tone=["low", "high"] * 10))
    path, out = write(file, tmp_path / "a.nwb"), tmp_path / "ours.nwb"
    options = ["--bin-size", "1", "--t-start", "10", "--t-stop", "30", "--units", "2,0"]
    options += ["--intervals", "cues", "--label", "tone"]
    done = CliRunner().invoke(
        app, ["analyze", str(path), *options, "--csv", "--out", str(out)]
    )
    assert done.exit_code == 0, done.output
    expected = ann2neo.read_nwb(
        path,
        bin_size=MS,
        t_start=10 * pq.s,
        t_stop=30 * pq.s,
        units=[2, 0],
        intervals="cues",
        label="tone",
    )
    assert ann2neo.read_nwb(out).equals(expected)
    assert "unit_statistics" in ann2neo.nwb_info(out).analysis
    page = tmp_path / "page.html"
    done = CliRunner().invoke(
        app, ["report", str(path), str(out), *options, "--out", str(page)]
    )
    assert done.exit_code == 0, done.output
    assert page.stat().st_size > 10_000
    done = CliRunner().invoke(app, ["analyze", str(path), "--bin-size", "1"])
    assert done.exit_code == 1
    assert "--t-stop 40 on the command line" in done.output


def test_validators_that_fail_on_a_file_are_findings(tmp_path):
    """A file that validators cannot read has findings without a traceback, and remedies
    that fit a file which ann2neo cannot write again.
    """
    path = write(observed_file(), tmp_path / "a.nwb")
    with h5py.File(path, "a") as handle:
        handle.attrs["nwb_version"] = np.array([b"2.0b"])
    findings = ann2neo.validate_nwb(path)
    assert "could not run" in {finding.check for finding in findings}
    text = " ".join(f"{f.message} {f.remedy}" for f in findings)
    assert "Traceback" not in text
    assert "--metadata" not in text
    assert "current version of NWB with the program that wrote it" in text
    done = CliRunner().invoke(app, ["validate", str(path)])
    assert done.exit_code == 1
    assert "NOT clean" in done.output


def test_options_for_sessions_are_refused_for_our_files(tmp_path):
    """A file of ann2neo has its own bins: what is given besides is named."""
    recording = ann2neo.Recording.from_activations(np.eye(3))
    path = ann2neo.write_nwb(recording, tmp_path / "a.nwb")
    with pytest.raises(InputValueError, match="leave out units and label, and use"):
        ann2neo.read_nwb(path, units=[0], label="side")
