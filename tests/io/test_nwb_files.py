"""NWB files of ours: what is refused, what is kept, what is found again."""

import dataclasses
import hashlib
import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path

import h5py
import neo
import neo.io
import numpy as np
import pandas as pd
import pynwb
import pytest
import quantities as pq

import ann2neo
from ann2neo import Recording, SpikeRaster
from ann2neo.errors import (
    FileFormatError,
    InputTypeError,
    InputValueError,
    OutputError,
    OutputExistsError,
)
from ann2neo.io.nwb.checks import BestPracticeWarning
from ann2neo.io.nwb.metadata import Metadata, checked_metadata
from ann2neo.io.nwb.series import OrientationWarning
from ann2neo.testing import make_recording

DATA = Path(__file__).parents[2] / "data"
COMPATIBLE = DATA / "layout-1.nwb"


def spikes(n_units=2, n_bins=20, **options):
    return SpikeRaster.from_dense(
        np.arange(n_units * n_bins).reshape(n_units, n_bins) % 3 == 0, **options
    )


def with_unit_column(name, cells=(1, 2)):
    return Recording.from_raster(spikes(), pd.DataFrame({name: list(cells)}))


@pytest.mark.parametrize(
    ("recording", "options", "error", "words"),
    [
        (
            "a string",
            {},
            InputTypeError,
            "write_nwb needs a Recording, got str; wrap .*, or make one with record",
        ),
        (
            Recording.from_raster(spikes()),
            {"path": "a.h5"},
            InputValueError,
            "name that ends in .nwb, got",
        ),
        (
            Recording.from_raster(spikes()),
            {"path": 3},
            InputTypeError,
            r"path must be a path such as 'network.nwb', got 3 \(int\)",
        ),
        (
            make_recording(np.zeros((2, 5), bool)),
            {},
            InputValueError,
            (
                r"no unit of this recording spikes at all \(2 units, 5 bins\).*lower"
                r" the threshold"
            ),
        ),
        (
            Recording.from_raster(spikes(t_start=-1 * pq.ms)),
            {"profile": "neo"},
            InputValueError,
            r"cannot keep times below 0, since t_start is -1.0 ms; write profile='da",
        ),
        (
            Recording.from_raster(spikes(sampling_period=20 * pq.ms)),
            {"profile": "neo"},
            InputValueError,
            r"cannot keep time bins of 20.0 ms, longer than 10 ms; write profile='da",
        ),
        (
            Recording.from_raster(spikes()),
            {"profile": "best"},
            InputValueError,
            "one of dandi, neo, got 'best'",
        ),
        (
            Recording.from_raster(spikes()),
            {"compression": "zstd"},
            InputValueError,
            "'gzip' .fast.*got 'zstd'",
        ),
        (
            Recording.from_raster(spikes()),
            {"compression": 12},
            InputValueError,
            "from 1 to 9 .*got 12",
        ),
        (
            Recording.from_raster(spikes()),
            {"compression": True},
            InputValueError,
            "compression must be.*got True",
        ),
        (
            with_unit_column("a\0b"),
            {},
            InputValueError,
            "a name of a column of units holds a NUL character",
        ),
        (
            with_unit_column("note", ["a\0b", ""]),
            {},
            InputValueError,
            "'note' of units holds a NUL character",
        ),
        (
            with_unit_column("note", ["\ud800", ""]),
            {},
            InputValueError,
            "'note' of units holds text that is not valid",
        ),
        (
            Recording.from_raster(spikes()),
            {"metadata": {"lab": 3}},
            InputTypeError,
            "'lab' must be text, got 3",
        ),
        (
            Recording.from_raster(spikes()),
            {"stimuli": np.zeros((5, 2))},
            InputValueError,
            "no rate; leave stimuli out",
        ),
    ],
)
def test_what_cannot_be_written_is_refused_before_any_work(
    tmp_path, recording, options, error, words
):
    """Each wrong argument is an error that says value, rule and remedy, and no file is
    made.
    """
    path = options.pop("path", "a.nwb")
    target = tmp_path / path if isinstance(path, str) else path
    with pytest.raises(error, match=words):
        ann2neo.write_nwb(recording, target, **options)
    assert list(tmp_path.iterdir()) == []


def test_columns_of_any_name_and_type_come_back(tmp_path):
    """Columns whose names NWB uses itself, HDF5 cannot keep or ann2neo gives another
    meaning keep name, type and cells, and pynwb finds them under a name beside.
    """
    units = pd.DataFrame(
        {
            "layer": [5, 6],
            "layer_index": [0, 1],
            "layer_number": [7, 8],
            "depth": [372.5, 410.25],
            "channel": ["A-001", "A-002"],
            "threshold": ["-4 sd", "-5 sd"],
            "spike_times": [1, 2],
            "id": ["x", "y"],
            "id_": [True, False],
            "a/b": [1.5, np.nan],
            "": [3, 4],
        }
    )
    presentations = pd.DataFrame(
        {
            "start_bin": [0, 5],
            "stop_bin": [5, 9],
            "start_time": [0.25, 0.5],
            "tags": ["a", "b"],
            "timeseries": [1, 2],
            "step": ["late", "early"],
        }
    )
    recording = Recording.from_raster(spikes(), units, presentations)
    path = ann2neo.write_nwb(recording, tmp_path / "a.nwb")
    assert ann2neo.read_nwb(path).equals(recording)
    with pynwb.NWBHDF5IO(path, "r") as io:
        file = io.read()
        assert file.units["depth"][:].tolist() == [372.5, 410.25]
        assert file.units["id_"][:].tolist() == [True, False]
        assert file.units["id__"][:].tolist() == ["x", "y"]
        assert file.trials["tags_"][:].tolist() == ["a", "b"]
        assert "Depth of the unit" not in file.units["depth"].description


def test_a_label_of_any_type_comes_back(tmp_path):
    """Labels of flags, numbers with gaps, large integers and text keep their type."""
    for cells in (
        [True, False],
        [45.0, np.nan],
        [3_000_000_000, 3],
        [-1, 3],
        ["left", ""],
    ):
        presentations = pd.DataFrame(
            {"start_bin": [0, 5], "stop_bin": [5, 9], "label": cells}
        )
        recording = Recording.from_raster(spikes(), presentations=presentations)
        path = ann2neo.write_nwb(recording, tmp_path / "a.nwb", overwrite=True)
        assert ann2neo.read_nwb(path).equals(recording)


# -- segments, kinds and clocks
# --------------------------------------------------------------------------------------


@pytest.fixture
def segmented():
    """Trials of two phases on clocks of their own, one gap, and three kinds of
    presentations that differ in their columns.
    """
    segments = pd.DataFrame(
        {
            "start_bin": [0, 40, 70, 120],
            "stop_bin": [40, 70, 100, 150],
            "phase": ["a", "a", "b", "a"],
            "order": "stored",
            "t_start": [0.0, -0.5, 7.25, 0.0],
        }
    )
    presentations = pd.DataFrame(
        {
            "start_bin": [0, 0, 5, 40, 70, 120],
            "stop_bin": [40, 4, 6, 70, 71, 150],
            "phase": ["a", "a", "a", "a", "b", "a"],
            "kind": ["trials", "cues", "epochs", "trials", "segments", "trials"],
            "label": [1.5, np.nan, np.nan, 2.5, np.nan, np.nan],
            "tone": ["", "low", "", "", "high", ""],
            "is_probe": [True, False, True, False, True, False],
        }
    )
    rng = np.random.default_rng(0)
    dense = rng.random((3, 150)) < 0.3
    dense[:, 100:120] = False
    return Recording(
        SpikeRaster.from_dense(dense),
        pd.DataFrame(index=range(3)),
        presentations,
        segments=segments,
        session_start_time=datetime(2020, 5, 17, 12, tzinfo=UTC),
        timestamps_reference_time=datetime(2020, 5, 17, 13, tzinfo=UTC),
    )


@pytest.mark.parametrize("profile", ["dandi", "neo"])
def test_segments_kinds_and_clocks_come_back(segmented, tmp_path, profile):
    """Segments with their own clocks, presentations of several kinds in their order,
    and both moments of the session come back equal.
    """
    path = ann2neo.write_nwb(segmented, tmp_path / "a.nwb", profile=profile)
    back = ann2neo.read_nwb(path)
    assert back.equals(segmented)
    assert back.segments.equals(segmented.segments)
    assert back.presentations.equals(segmented.presentations)
    assert back.timestamps_reference_time == segmented.timestamps_reference_time


def test_the_file_shows_segments_kinds_and_observed_time(segmented, tmp_path):
    """Segments, kinds of presentations and the time observed stand where other tools
    look for them; a kind has no columns that only others have.
    """
    path = ann2neo.write_nwb(segmented, tmp_path / "a.nwb")
    with pynwb.NWBHDF5IO(path, "r") as io:
        file = io.read()
        table = file.intervals["segments"].to_dataframe()
        assert table["own_t_start"].to_list() == [0.0, -0.5, 7.25, 0.0]
        assert table["stop_time"].to_list() == [0.04, 0.07, 0.1, 0.15]
        assert table["phase"].to_list() == ["a", "a", "b", "a"]
        observed = [file.units["obs_intervals"][unit].tolist() for unit in range(3)]
        assert observed == [[[0.0, 0.1], [0.12, 0.15]]] * 3
        assert "kind" not in file.trials.colnames
        assert "tone" not in file.trials.colnames
        assert "label" not in file.intervals["cues"].colnames
        assert file.epochs["is_probe"][:].tolist() == [True]
        assert file.intervals["segments_"]["tone"][:].tolist() == ["high"]
        assert file.timestamps_reference_time.hour == 13


def test_neo_reads_a_segment_for_each_of_ours(segmented, tmp_path):
    """NWBIO makes one segment of each segment, with its trains and presentations."""
    path = ann2neo.write_nwb(segmented, tmp_path / "a.nwb", profile="neo")
    (block,) = neo.io.NWBIO(str(path), "r").read_all_blocks()
    segments = {segment.name: segment for segment in block.segments}
    assert sorted(segments) == ["a (1)", "a (2)", "a (3)", "b"]
    for segment in segments.values():
        assert len(segment.spiketrains) == 3
    assert sum(len(e) for s in segments.values() for e in s.epochs) == 6


def test_segments_of_a_clean_recording_are_clean(segmented, metadata, tmp_path):
    """The validators have nothing to say about segments, kinds and own clocks but that
    some tables have one row.
    """
    facts = {**metadata, "subject_id": "m1", "species": "Mus musculus", "sex": "F"}
    facts |= {"age": "P90D", "keywords": ["trials"]}
    facts["subject_description"] = "A mouse."
    path = ann2neo.write_nwb(segmented, tmp_path / "a.nwb", facts)
    checks = {finding.check for finding in ann2neo.validate_nwb(path)}
    assert checks == {"check_single_row"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("recording", "words"),
    [
        (
            Recording.from_raster(spikes(t_start=-1 * pq.ms)),
            "check_negative_spike_times .times below 0, since t_start is -1.0 ms",
        ),
        (
            Recording.from_raster(spikes(sampling_period=20 * pq.ms)),
            "check_units_resolution_is_valid .time bins of 20.0 ms.*bins of up to 10",
        ),
        (
            Recording(
                spikes(),
                pd.DataFrame(index=range(2)),
                pd.DataFrame({"start_bin": [0], "stop_bin": [5], "phase": ["a"]}),
                segments=pd.DataFrame(
                    {
                        "start_bin": [0],
                        "stop_bin": [10],
                        "phase": ["a"],
                        "order": ["stored"],
                    }
                ),
            ),
            "check_spike_times_not_in_unobserved_interval .7 spikes lie in no segment",
        ),
    ],
)
def test_what_the_inspector_will_report_is_said_once(tmp_path, recording, words):
    """Long bins, times below 0 and spikes in no segment are written and come back, with
    one warning that names checks which NWB Inspector then reports.
    """
    with pytest.warns(BestPracticeWarning, match=words) as caught:
        path = ann2neo.write_nwb(recording, tmp_path / "a.nwb")
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert ann2neo.read_nwb(path).equals(recording)
    checks = {finding.check for finding in ann2neo.validate_nwb(path)}
    assert words.split()[0] in checks


def test_the_header_says_what_is_ours_and_how_spikes_came_about(network, tmp_path):
    """The header of a network's file lists our columns, the emission and the place of
    spikes in their bins; in somebody else's, no column is ours.
    """
    path = ann2neo.write_nwb(network, tmp_path / "a.nwb")
    header = header_rows(path)
    assert header["defined_by_ann2neo"].split(", ")[:2] == ["layer", "layer_type"]
    assert (header["emission"], header["time_axis"]) == ("threshold", "none")
    assert (header["layout_version"], header["spike_position"]) == ("2", "0.25")
    assert header["segment_names.t_start"] == "own_t_start"
    path = ann2neo.write_nwb(with_unit_column("depth", [0.5, 2.5]), tmp_path / "b.nwb")
    header = header_rows(path)
    assert (header["defined_by_ann2neo"], header["emission"]) == ("", "none")
    assert header["unit_columns.depth"] == "float64"


def header_rows(path):
    with h5py.File(path) as handle:
        table = handle["analysis/ann2neo_layout"]
        return dict(
            zip(table["key"].asstr()[()], table["value"].asstr()[()], strict=True)
        )


def test_another_place_of_the_spikes_in_their_bins_is_read(network, tmp_path):
    """A file whose header says that spikes lie in the middle of bins reads the same."""
    path = ann2neo.write_nwb(network, tmp_path / "a.nwb", compression=None)
    with h5py.File(path, "a") as handle:
        handle["units/spike_times"][...] += 0.25 * 0.001
        bins = np.floor(handle["units/spike_times"][()] / 0.001)
        handle["units/spike_times"][...] = (bins + 0.5) * 0.001
    with pytest.raises(FileFormatError, match=r"lies elsewhere than 0\.25 of the way"):
        ann2neo.read_nwb(path)
    with_header(path, spike_position="0.5")
    assert ann2neo.read_nwb(path).equals(network)


def with_header(path, **changed):
    """Change values in the header of a file, and its checksum."""
    with h5py.File(path, "a") as handle:
        values = handle["analysis/ann2neo_layout/value"]
        keys = handle["analysis/ann2neo_layout/key"].asstr()[()]
        rows = dict(zip(keys, values.asstr()[()], strict=True)) | changed
        del rows["header_sha256"]
        digest = hashlib.sha256()
        for text in itertools.chain.from_iterable(rows.items()):
            digest.update(len(text.encode()).to_bytes(8, "little") + text.encode())
        values[...] = [*rows.values(), digest.hexdigest()]


def test_an_existing_file_is_not_replaced_unasked(network, tmp_path):
    """A second write is an OutputExistsError before any work, unless overwrite is
    given; a folder never is.
    """
    path = ann2neo.write_nwb(network, tmp_path / "a.nwb")
    before = path.read_bytes()
    with pytest.raises(
        OutputExistsError, match=r"a\.nwb exists already; pass overwrite=True"
    ):
        ann2neo.write_nwb(network, path)
    assert path.read_bytes() == before
    ann2neo.write_nwb(network.select(units=[1, 2]), path, overwrite=True)
    assert ann2neo.read_nwb(path).n_units == 2
    (tmp_path / "folder.nwb").mkdir()
    with pytest.raises(OutputError, match="path is a folder"):
        ann2neo.write_nwb(network, tmp_path / "folder.nwb", overwrite=True)


@pytest.mark.parametrize("profile", ["dandi", "neo"])
def test_spikes_that_span_chunks_come_back(tmp_path, network_maker, profile):
    """A recording of more spikes than a chunk holds, in rows that cross chunks, comes
    back equal.
    """
    recording = network_maker(40, 9_000)
    assert recording.raster.spike_counts().sum() > 1.5 * (1 << 17)
    path = ann2neo.write_nwb(recording, tmp_path / "a.nwb", profile=profile)
    assert ann2neo.read_nwb(path).equals(recording)


def test_without_isal_zlib_does_the_same(tmp_path, network, monkeypatch):
    """Files written by zlib and by isal hold the same recording, and each reads the
    other's.
    """
    from ann2neo.io.nwb import spike_chunks

    if spike_chunks.isal_zlib is None:
        pytest.skip("isal is not installed")
    fast = ann2neo.write_nwb(network, tmp_path / "fast.nwb")
    monkeypatch.setattr(spike_chunks, "isal_zlib", None)
    slow = ann2neo.write_nwb(network, tmp_path / "slow.nwb")
    assert ann2neo.read_nwb(fast).equals(network)
    monkeypatch.undo()
    assert ann2neo.read_nwb(slow).equals(network)


def test_spikes_are_ordinary_gzip(tmp_path, network):
    """h5py alone undoes the filters, which are shuffle and gzip."""
    path = ann2neo.write_nwb(network, tmp_path / "a.nwb")
    with h5py.File(path) as handle:
        dataset = handle["units/spike_times"]
        assert (dataset.compression, dataset.shuffle) == ("gzip", True)
        expected = [
            network.raster.spike_time_seconds(network.raster.spike_bins(u))
            for u in range(network.n_units)
        ]
        np.testing.assert_array_equal(dataset[()], np.concatenate(expected))


def test_lazy_reading_reads_the_spikes_when_asked(tmp_path, network):
    """A lazy recording has its tables at once and its spikes later, or raises if the
    file was replaced.
    """
    path = ann2neo.write_nwb(network, tmp_path / "a.nwb")
    lazy = ann2neo.read_nwb(path, lazy=True)
    late = ann2neo.read_nwb(path, lazy=True)
    assert lazy.units.equals(network.units)
    assert lazy.equals(network)
    ann2neo.write_nwb(network.select(phase="train"), path, overwrite=True)
    assert lazy.equals(network)
    with pytest.raises(
        FileFormatError, match="was replaced since its units were read; read it again"
    ):
        late.raster.spike_counts()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "does not exist; check the path"),
        (b"", "cannot be opened as HDF5"),
        (
            b"PK\3\4 not an NWB file",
            "cannot be opened as HDF5, so it is no NWB file or is damaged",
        ),
        ("hdf5", "is HDF5 but not NWB 2 .it has no nwb_version."),
        ("folder", "is a folder; give the path of one file"),
    ],
)
def test_what_is_no_nwb_file_is_told(tmp_path, content, words):
    """Anything that is not an NWB file is a FileFormatError that says what it is."""
    path = tmp_path / "a.nwb"
    if content == "hdf5":
        h5py.File(path, "w").close()
    elif content == "folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(FileFormatError, match=words):
        ann2neo.read_nwb(path)


def test_bin_size_is_refused_for_our_files(tmp_path, network):
    """Our files have their own time bins."""
    path = ann2neo.write_nwb(network, tmp_path / "a.nwb")
    with pytest.raises(
        InputValueError, match="has its own time bins; leave out bin_size"
    ):
        ann2neo.read_nwb(path, bin_size=1 * pq.ms)


def test_a_later_layout_is_told(tmp_path, network):
    """A file of a later layout is an error whose remedy is to update."""
    path = ann2neo.write_nwb(network, tmp_path / "a.nwb")
    with h5py.File(path, "a") as handle:
        handle["analysis/ann2neo_layout/value"][0] = "3"
    with pytest.raises(
        FileFormatError,
        match="layout version 3, and this ann2neo reads versions up to 2; update",
    ):
        ann2neo.read_nwb(path)


def test_the_file_of_layout_1_still_reads():
    """The file kept since layout 1 gives the spikes and tables it was made of."""
    recording = ann2neo.read_nwb(COMPATIBLE)
    bins = np.arange(50)
    expected = np.array([(bins * (unit + 2)) % 7 < unit for unit in range(6)])
    np.testing.assert_array_equal(recording.raster.to_dense(), expected)
    assert recording.phases["phase"].to_list() == ["train", "test"]
    assert recording.phases["stop_bin"].to_list() == [30, 50]
    assert recording.units["layer"].to_list() == ["conv/1"] * 4 + ["Ausgänge"] * 2
    assert recording.units["layer_index"].to_list() == [0] * 4 + [1] * 2
    assert recording.presentations["label"].to_list() == [
        f"class {i % 3}" for i in range(50)
    ]
    assert recording.t_start == 2000 * pq.ms
    assert recording.sampling_period == 2 * pq.ms
    assert recording.identifier == "layout-1-compatibility"
    assert recording.provenance == {"made_by": "ann2neo", "seed": "none"}
    assert recording.segments["t_start"].to_list() == [2.0, 2.06]
    assert set(recording.presentations["kind"]) == {"trials"}
    assert recording.timestamps_reference_time == recording.session_start_time


def layout_2_recording():
    """What ``data/layout-2.nwb`` was made of: a session of neurons in segments with
    clocks of their own, trials and cues, columns that are called as ours.
    """
    bins = np.arange(60)
    dense = np.array([(bins * (unit + 2)) % 7 < unit for unit in range(4)])
    table = pd.DataFrame(
        {
            "start_bin": [0, 30, 45],
            "stop_bin": [20, 45, 60],
            "phase": ["task", "rest", "task"],
            "order": ["unknown", "stored", "unknown"],
            "t_start": [-0.5, 0.0, 7.25],
        }
    )
    shown = pd.DataFrame(
        {
            "start_bin": [0, 4, 10, 30, 45],
            "stop_bin": [10, 5, 20, 40, 60],
            "phase": ["task", "task", "task", "rest", "task"],
            "kind": ["trials", "cues", "trials", "trials", "trials"],
            "label": [45.0, np.nan, 90.0, 45.0, 0.0],
            "tags": ["a", "", "b", "c", "d"],
        }
    )
    units = pd.DataFrame(
        {
            "depth": [372.5, 410.0, np.nan, 1.0],
            "layer": [5, 6, 5, 4],
            "name": list("abcd"),
        }
    )
    start = datetime(2024, 2, 29, 12, tzinfo=UTC)
    return Recording(
        SpikeRaster.from_dense(dense, sampling_period=2 * pq.ms, t_start=2 * pq.s),
        units,
        shown,
        segments=table,
        provenance={"made_by": "ann2neo", "seed": "none"},
        identifier="layout-2-compatibility",
        session_start_time=start,
        timestamps_reference_time=start + timedelta(hours=1),
    )


def test_the_file_of_layout_2_still_reads():
    """The file kept since layout 2 gives the recording it was made of."""
    assert ann2neo.read_nwb(DATA / "layout-2.nwb").equals(layout_2_recording())


# -- stimuli and activations
# --------------------------------------------------------------------------------------


@pytest.fixture
def thresholded():
    """Activations, and the recording of two phases that they give."""
    rng = np.random.default_rng(5)
    values = rng.normal(size=(150, 6)).astype(np.float32)
    cut = {"train": slice(0, 90), "test": slice(90, 150)}
    parts = []
    for phase, rows in cut.items():
        n = rows.stop - rows.start
        order = rng.permutation(n)
        parts.append(
            Recording.from_activations(
                values[rows], stimulus_id=order, phase=phase, layer="a/b:0"
            )
        )
    return values, Recording.concatenate(parts)


def batches(values, size=64):
    return (values[i : i + size] for i in range(0, len(values), size))


def test_stimuli_stand_in_the_order_of_the_presentations(
    thresholded, metadata, tmp_path
):
    """Images become an ImageSeries, vectors a TimeSeries, both in the order shown, and
    the inspector has no message.
    """
    _, recording = thresholded
    rng = np.random.default_rng(0)
    images, vectors = (
        rng.integers(0, 256, (90, 5, 4), dtype=np.uint8),
        rng.normal(size=(60, 3)),
    )
    path = tmp_path / "a.nwb"
    ann2neo.write_nwb(
        recording, path, metadata, stimuli={"train": images, "test": vectors}
    )
    shown = recording.presentations
    with pynwb.NWBHDF5IO(path, "r") as io:
        stimulus = io.read().stimulus
        first, second = stimulus["stimuli_train"], stimulus["stimuli_test"]
        assert isinstance(first, pynwb.image.ImageSeries)
        np.testing.assert_array_equal(
            first.data[:], images[shown["stimulus_id"].to_numpy()[:90]]
        )
        np.testing.assert_array_equal(
            second.data[:], vectors[shown["stimulus_id"].to_numpy()[90:]]
        )
        assert (second.starting_time, second.rate) == (0.09, 1000.0)
    assert ann2neo.validate_nwb(path) == []
    assert ann2neo.read_nwb(path).equals(recording)


@pytest.mark.parametrize("profile", ["dandi", "neo"])
def test_activations_are_kept_as_float32(thresholded, metadata, tmp_path, profile):
    """Activations are stored bit for bit, in one series or one per phase, and the
    recording is unchanged.
    """
    values, recording = thresholded
    path = tmp_path / "a.nwb"
    ann2neo.write_nwb(
        recording, path, metadata, profile, activations={"a/b:0": batches(values)}
    )
    with pynwb.NWBHDF5IO(path, "r") as io:
        series = io.read().acquisition
        names = (
            ["activations_a_b_0"]
            if profile == "dandi"
            else ["activations_a_b_0_train", "activations_a_b_0_test"]
        )
        np.testing.assert_array_equal(
            np.concatenate([series[name].data[:] for name in names]), values
        )
        assert series[names[0]].starting_time == 0.00025
    assert ann2neo.read_nwb(path).equals(recording)


@pytest.mark.parametrize(
    ("made", "error", "words"),
    [
        (
            lambda v: {"other": batches(v)},
            InputValueError,
            "unknown layer 'other'; there are a/b:0",
        ),
        (
            lambda v: {"a/b:0": batches(v[:100])},
            InputValueError,
            "end at time bin 100 of 150; pass all batches",
        ),
        (
            lambda v: {"a/b:0": batches(v[:, :4])},
            InputValueError,
            "have 4 units up to time bin 64, but the recording has 6",
        ),
        (
            lambda v: {"a/b:0": batches(v[::-1])},
            InputValueError,
            "are not those behind the spikes",
        ),
        (
            batches,
            InputTypeError,
            "must be a mapping from layer to batches, got generator",
        ),
    ],
)
def test_activations_that_do_not_belong_are_refused(
    thresholded, tmp_path, made, error, words
):
    """Activations of another layer, length or order are an error, and no file
    is made.
    """
    values, recording = thresholded
    with pytest.raises(error, match=words):
        ann2neo.write_nwb(recording, tmp_path / "a.nwb", activations=made(values))
    assert list(tmp_path.iterdir()) == []


def test_more_units_than_bins_is_a_warning(tmp_path):
    """The user is told that the inspector will call such activations transposed."""
    values = np.random.default_rng(0).normal(size=(5, 9)).astype(np.float32)
    recording = Recording.from_activations(values, layer="wide")
    with pytest.warns(OrientationWarning, match="9 units and 5 time bins"):
        ann2neo.write_nwb(recording, tmp_path / "a.nwb", activations={"wide": [values]})


def test_names_of_stimuli_are_no_places(tmp_path):
    """Stimuli that only have names are not written, and the column that says which
    they are is named; with it they are.
    """
    recording = Recording.from_activations(
        np.eye(3), stimulus_id=["c.png", "a.png", "b.png"]
    )
    words = r"name their stimuli, such as 'c.png', .* add the column 'stimulus_place'"
    with pytest.raises(InputValueError, match=words):
        ann2neo.write_nwb(recording, tmp_path / "a.nwb", stimuli=np.eye(3))
    placed = Recording(
        recording.raster,
        recording.units,
        recording.presentations.assign(stimulus_place=[2, 0, 1]),
        recording.phases,
    )
    path = ann2neo.write_nwb(placed, tmp_path / "a.nwb", stimuli=np.eye(3))
    with h5py.File(path) as file:
        (series,) = file["stimulus/presentation"].values()
        assert series["data"][()].tolist() == np.eye(3)[[2, 0, 1]].tolist()


@pytest.mark.parametrize(
    ("stimuli", "options", "error", "words"),
    [
        (
            np.zeros((90, 2)),
            {},
            InputTypeError,
            "has the phases train, test, so stimuli must be a mapping",
        ),
        (
            {"tran": np.zeros((90, 2))},
            {},
            InputValueError,
            "unknown phase 'tran'; there are train, test",
        ),
        (
            {"train": np.zeros((50, 2))},
            {},
            InputValueError,
            "show stimuli 0 to 89, but there are 50",
        ),
        (
            {"train": np.array(["a"] * 90)},
            {},
            InputTypeError,
            "must be numbers with two to four axes",
        ),
        (
            {"train": np.zeros((90, 2))},
            {"profile": "neo"},
            InputValueError,
            "cannot be written with profile='neo'",
        ),
    ],
)
def test_stimuli_that_do_not_fit_are_refused(
    thresholded, tmp_path, stimuli, options, error, words
):
    """Stimuli of another phase, number or kind are an error, and no file is made."""
    with pytest.raises(error, match=words):
        ann2neo.write_nwb(
            thresholded[1], tmp_path / "a.nwb", stimuli=stimuli, **options
        )
    assert list(tmp_path.iterdir()) == []


# -- results and summaries
# --------------------------------------------------------------------------------------


def table_of_results(n=4):
    return pd.DataFrame(
        {
            "unit": np.arange(n),
            "phase": ["train"] * n,
            "status": ["silent", "active", "active", "saturated"][:n],
            "firing_rate": np.linspace(0, 1, n),
            "lost": [np.nan] * n,
        }
    )


def test_results_are_appended_and_replaced(network, metadata, tmp_path):
    """Tables of statistics appear under /analysis and replace earlier ones; all else
    stays, and the file is clean.
    """
    path = ann2neo.write_nwb(network, tmp_path / "a.nwb", metadata)
    table = table_of_results()
    words = {name: f"about {name}" for name in table}
    ann2neo.append_analysis(path, table, words)
    ann2neo.append_analysis(
        path, table.iloc[1:], words, network=table[["phase", "firing_rate"]].iloc[:2]
    )
    with pynwb.NWBHDF5IO(path, "r") as io:
        found = io.read().analysis
        kept = found["unit_statistics"].to_dataframe()
        assert kept["firing_rate"].to_list() == table["firing_rate"].to_list()[1:]
        assert kept["status"].to_list() == ["active", "active", "saturated"]
        assert "lost" not in kept
        assert (
            found["unit_statistics"]["firing_rate"].description == "about firing_rate"
        )
        assert len(found["network_statistics"]) == 2
    assert ann2neo.read_nwb(path).equals(network)
    assert ann2neo.validate_nwb(path) == []
    assert ann2neo.nwb_info(path).analysis == ("network_statistics", "unit_statistics")
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.nwb"]


@pytest.mark.parametrize(
    ("table", "words_of", "error", "words"),
    [
        (
            [1, 2],
            {},
            InputTypeError,
            "must be a pandas.DataFrame, got list; pass what analyze or summarize",
        ),
        (
            table_of_results().iloc[:0],
            {},
            InputValueError,
            "unit_statistics has no row",
        ),
        (
            table_of_results(),
            {"unit": "x"},
            InputValueError,
            "column 'phase' of unit_statistics has no description",
        ),
    ],
)
def test_results_that_cannot_be_appended_are_refused(
    network, tmp_path, table, words_of, error, words
):
    """A wrong table is an error and the file stays as it was."""
    path = ann2neo.write_nwb(network, tmp_path / "a.nwb")
    before = path.read_bytes()
    with pytest.raises(error, match=words):
        ann2neo.append_analysis(path, table, words_of)
    assert path.read_bytes() == before


def test_the_layout_version_of_the_file_is_reported(tmp_path, network):
    """What `nwb_info` reports is the version in the file's header, not the one this
    ann2neo writes.
    """
    path = ann2neo.write_nwb(network, tmp_path / "a.nwb")
    assert ann2neo.nwb_info(path).layout_version == 2
    assert ann2neo.nwb_info(COMPATIBLE).layout_version == 1


def test_info_says_what_a_file_holds(network, metadata, tmp_path):
    """The summary counts units and spikes, names profile and session, and carries the
    recording.
    """
    path = ann2neo.write_nwb(network, tmp_path / "a.nwb", metadata, profile="neo")
    info = ann2neo.nwb_info(path)
    assert (info.n_units, info.n_spikes) == (
        network.n_units,
        int(network.raster.spike_counts().sum()),
    )
    assert (info.profile, info.layout_version) == ("neo", 2)
    assert info.session["experimenter"] == "Noether, Emmy"
    assert info.session["subject_id"] == "tiny-abcdef01"
    assert info.recording.equals(network)


# -- metadata
# --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        (
            {"experimentor": "x"},
            InputValueError,
            "unknown metadata 'experimentor'; use one of experimenter, ",
        ),
        (
            {"experimenter": "Emmy Noether"},
            InputValueError,
            "'experimenter' must be 'Last, First', got 'Emmy Noether'",
        ),
        ({"experimenter": [3]}, InputTypeError, "'experimenter' must be text, got 3"),
        (
            {"keywords": {"a": 1}},
            InputTypeError,
            "'keywords' must be text or a list of texts",
        ),
        ({"institution": " "}, InputValueError, "'institution' must not be empty"),
        (
            {"session_id": "run_3"},
            InputValueError,
            "'session_id' must be letters, digits, '-' and '.' only",
        ),
        (
            {"subject_id": "resnet50.v2"},
            InputValueError,
            "'subject_id' must be letters.*got 'resnet50.v2'",
        ),
        (
            {"species": "artificial neural network"},
            InputValueError,
            "'species' must be a Latin binomial",
        ),
        ({"sex": "female"}, InputValueError, "'sex' must be one of M, F, U"),
        ({"age": "3 weeks"}, InputValueError, "'age' must be an ISO 8601 duration"),
        (
            {"related_publications": "see the paper"},
            InputValueError,
            "must be DOIs such as",
        ),
        (
            {"source_script": "print(1)"},
            InputValueError,
            "belong together, got only one",
        ),
        (
            [1],
            InputTypeError,
            "metadata must be a mapping or the path of a YAML file, got list",
        ),
        (
            "missing.yaml",
            InputValueError,
            "the metadata file missing.yaml cannot be read",
        ),
    ],
)
def test_wrong_metadata_is_told(given, error, words):
    """Each wrong key or form is an error that says what is right."""
    with pytest.raises(error, match=words):
        checked_metadata(given)


def test_metadata_from_yaml_stands_in_the_file(network, tmp_path):
    """What the YAML file says is what pynwb reads."""
    yaml = tmp_path / "meta.yaml"
    yaml.write_text(
        'experimenter: ["Noether, Emmy", "Hilbert, D."]\ninstitution:'
        " Göttingen\nsession_id: run-3\nrelated_publications:"
        " ['doi:10.1000/182']\nkeywords: [rates]\nsubject_id: mlp64-seed0\nstrain:"
        " MLP\nlab: algebra\n",
        encoding="utf-8",
    )
    assert checked_metadata(yaml) == checked_metadata(checked_metadata(yaml))
    path = ann2neo.write_nwb(network, tmp_path / "a.nwb", yaml)
    with pynwb.NWBHDF5IO(path, "r") as io:
        file = io.read()
        assert tuple(file.experimenter) == ("Noether, Emmy", "Hilbert, D.")
        assert tuple(file.related_publications) == ("https://doi.org/10.1000/182",)
        assert list(file.keywords[:]) == [
            "simulated data",
            "artificial neural network",
            "rates",
        ]
        assert (file.session_id, file.lab, file.subject.subject_id) == (
            "run-3",
            "algebra",
            "mlp64-seed0",
        )
        assert (file.subject.strain, file.subject.sex, file.subject.age) == (
            "MLP",
            "U",
            "P0D",
        )
        assert file.subject.description.startswith("Artificial neural network")


def test_nothing_is_invented_about_what_is_no_network(tmp_path):
    """Units without a layer get no subject, species, device or keywords that the user
    did not give.
    """
    path = ann2neo.write_nwb(Recording.from_raster(spikes()), tmp_path / "a.nwb")
    with pynwb.NWBHDF5IO(path, "r") as io:
        file = io.read()
        assert file.subject is None
        assert file.keywords is None
        assert not file.devices


def test_every_field_of_metadata_is_described():
    """The docstring names each field."""
    for field in dataclasses.fields(Metadata):
        assert field.name in Metadata.__doc__
