"""There and back again: generated recordings survive Neo blocks, NWB files and folders
in every bit and cell.
"""

from __future__ import annotations

import itertools
import json
import tempfile
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import quantities as pq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ann2neo
from ann2neo import InputValueError, Recording, SpikeRaster
from ann2neo.recording.folder import UnfinishedFolder
from ann2neo.recording.segments import Phase, phase_table
from ann2neo.recording.tables import ORDERS

TEXT = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8
)
NAMES = st.sampled_from(
    ["hidden", "block/conv:0", "Schicht ß", "層", "a.b", "", "dense_1"]
)


@st.composite
def rasters(draw, *, n_time_bins, t_start=True):
    """Rasters of silent, saturated and ordinary units, on several time bases."""
    n_units = draw(st.integers(1, 5))
    rates = draw(
        st.lists(
            st.sampled_from([0.0, 0.02, 0.4, 1.0]), min_size=n_units, max_size=n_units
        )
    )
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    dense = generator.random((n_units, n_time_bins)) < np.array(rates)[:, None]
    period = draw(
        st.sampled_from([1 * pq.ms, 0.1 * pq.ms, 10 * pq.ms, 3 * pq.ms, 1 / 30 * pq.ms])
    )
    start = draw(st.sampled_from([0, 0.3, 12345.678])) * pq.s if t_start else 0 * pq.s
    return SpikeRaster.from_dense(dense, sampling_period=period, t_start=start)


@st.composite
def phase_tables(draw, n_time_bins):
    """Zero or more phases, with bins in no phase around them."""
    edges = sorted(draw(st.sets(st.integers(0, n_time_bins), max_size=7)))
    names = draw(st.lists(TEXT.filter(bool), min_size=4, max_size=4, unique=True))
    orders = st.sampled_from(ORDERS)
    pairs = zip(edges[::2], edges[1::2], strict=False)
    touching = itertools.pairwise(edges)
    stretches = list(touching if draw(st.booleans()) else pairs)[:4]
    return phase_table(
        [
            Phase(name, a, b, draw(orders))
            for name, (a, b) in zip(names, stretches, strict=False)
        ]
    )


@st.composite
def segment_tables(draw, n_time_bins):
    """Segments of up to three phases that alternate, with gaps, on clocks of their own
    or the recording's.
    """
    edges = sorted(draw(st.sets(st.integers(0, n_time_bins), max_size=16)))
    pairs = zip(edges[::2], edges[1::2], strict=False)
    stretches = list(itertools.pairwise(edges) if draw(st.booleans()) else pairs)
    names = draw(st.lists(TEXT.filter(bool), min_size=3, max_size=3, unique=True))
    orders = {name: draw(st.sampled_from(ORDERS)) for name in names}
    phases = [draw(st.sampled_from(names)) for _ in stretches]
    table = pd.DataFrame(stretches, columns=["start_bin", "stop_bin"], dtype="int64")
    table["phase"] = pd.Series(phases, dtype="str")
    table["order"] = pd.Series([orders[name] for name in phases], dtype="str")
    if draw(st.booleans()):
        clocks = st.sampled_from([0.0, -0.5, -1 / 3, 86_400.123])
        table["t_start"] = np.array([draw(clocks) for _ in stretches], np.float64)
    return table


def kinds_of_presentations(draw, segments):
    """Presentations of two kinds, which overlap and start together, in any order of
    kinds.
    """
    rows = []
    length = draw(st.sampled_from([1, 7]))
    kinds = draw(st.permutations(["trials", "Reize ß", "cue"]))
    for start, stop, phase in segments[["start_bin", "stop_bin", "phase"]].to_numpy(
        object
    ):
        for first in range(start, stop - length + 1, length):
            both = draw(st.permutations(kinds[:2]))
            rows += [(first, first + length, phase, kind) for kind in both]
    return pd.DataFrame(rows, columns=["start_bin", "stop_bin", "phase", "kind"])


@st.composite
def recordings(draw, *, segmented=False, t_start=True):
    """Recordings with several phases, presentations of one or many bins, labels of both
    types or none; segmented ones have many segments in a phase, clocks and kinds.
    """
    n_time_bins = draw(st.integers(1, 200))
    raster = draw(rasters(n_time_bins=n_time_bins, t_start=t_start))
    phases = draw(
        segment_tables(n_time_bins) if segmented else phase_tables(n_time_bins)
    )
    rows = []
    length = draw(st.sampled_from([1, 7]))
    for name, start, stop in phases[["phase", "start_bin", "stop_bin"]].to_numpy(
        object
    ):
        rows += [
            (first, first + length, name)
            for first in range(start, stop - length + 1, length)
        ]
    presentations = pd.DataFrame(rows, columns=["start_bin", "stop_bin", "phase"])
    if segmented and draw(st.booleans()):
        presentations = kinds_of_presentations(draw, phases)
    presentations = presentations.astype(
        {"start_bin": "int64", "stop_bin": "int64", "phase": "str"}
    )
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    n = len(presentations)
    if draw(st.booleans()):
        label = generator.integers(-3, 10, n).astype(np.int32)
        presentations["label"] = (
            label
            if draw(st.booleans())
            else pd.Series(label, dtype="int64").map("klasse {}".format)
        )
        presentations["label"] = (
            presentations["label"].astype("str") if n == 0 else presentations["label"]
        )
    if draw(st.booleans()):
        presentations["stimulus_id"] = generator.permutation(n)
        presentations["is_correct"] = generator.random(n) < 0.5
        presentations["contrast"] = generator.random(n)
    units = pd.DataFrame(index=range(raster.n_units))
    if draw(st.booleans()):
        units["layer"] = draw(
            st.lists(NAMES, min_size=raster.n_units, max_size=raster.n_units)
        )
        units["unit_in_layer"] = np.arange(raster.n_units)
        units["threshold"] = draw(st.sampled_from([0.0, -1.5, 1e-300]))
    if draw(st.booleans()):
        units["flagged"] = generator.random(raster.n_units) < 0.5
        units["Größe"] = generator.random(raster.n_units)
        units["note"] = draw(
            st.lists(TEXT, min_size=raster.n_units, max_size=raster.n_units)
        )
    if segmented and draw(st.booleans()):
        # Somebody else's columns, called as ours or as a train's own attributes.
        if "layer" not in units:
            units["depth"] = generator.random(raster.n_units) * 1000
            units["channel"] = "A1"
        units["name"] = draw(
            st.lists(TEXT, min_size=raster.n_units, max_size=raster.n_units)
        )
        units["channel_id"] = generator.integers(2**40, size=raster.n_units)
        presentations["labels"] = generator.random(n) < 0.5
        presentations["durations"] = generator.random(n)
    objects = st.dictionaries(TEXT, TEXT, max_size=3).map(json.dumps)
    keys = TEXT.filter(bool) | st.sampled_from(["threshold", "threshold::a", "::"])
    provenance = draw(st.dictionaries(keys, TEXT | objects, max_size=4))
    zone = draw(st.sampled_from([UTC, timezone(timedelta(hours=-3, minutes=-30))]))
    started = datetime(
        2024, 2, 29, 23, 59, 59, draw(st.integers(0, 999_999)), tzinfo=zone
    )
    if not segmented:
        return Recording(
            raster, units, presentations, phases, provenance, session_start_time=started
        )
    return Recording(
        raster,
        units,
        presentations,
        segments=phases,
        provenance=provenance,
        session_start_time=started,
        timestamps_reference_time=started - timedelta(hours=draw(st.integers(0, 30))),
    )


KINDS = st.sampled_from(["trials", "cues", "epochs", "segments", "a/b", "層"])
FOREIGN = {
    "depth": [372.5, -1.0, np.nan, 0.0, 1e300],
    "layer": [5, 6, -1, 2**40, 0],
    "channel": ["A-001", "", "ß", "A-002", "x"],
    "spike_times": [True, False, True, True, False],
    "id": [1, 2, 3, 4, 5],
}
LABELS = st.sampled_from(
    [[True, False, True], [1.5, np.nan, -1.0], [2**40, -1, 7], ["left", "", "right"]]
)


@st.composite
def segmented_recordings(draw):
    """Recordings whose phases are sets of segments with clocks of their own, with
    presentations of several kinds and columns that came with somebody else's data.
    """
    recording = draw(recordings(t_start=False))
    phases, n_bins = recording.phases, recording.n_time_bins
    names = draw(st.lists(TEXT.filter(bool), min_size=1, max_size=2, unique=True))
    orders = {name: draw(st.sampled_from(ORDERS)) for name in names}
    clocks = st.sampled_from([0.0, -0.5, 12345.678])
    segments = pd.DataFrame(
        [
            (start, stop, name, orders[name], draw(clocks))
            for start, stop in zip(phases["start_bin"], phases["stop_bin"], strict=True)
            for name in [draw(st.sampled_from(names))]
        ],
        columns=["start_bin", "stop_bin", "phase", "order", "t_start"],
    ).astype({"start_bin": "int64", "stop_bin": "int64", "t_start": "float64"})
    labels, kinds = draw(LABELS), draw(st.lists(KINDS, min_size=1, unique=True))
    rows = [
        (first, min(first + 7, stop), name, kind, labels[first % 3])
        for start, stop, name, *_ in segments.to_numpy(object)
        for kind in kinds
        for first in range(start, stop, 7)
    ]
    columns = ["start_bin", "stop_bin", "phase", "kind", "label"]
    shown = pd.DataFrame(rows, columns=columns).sort_values("start_bin", kind="stable")
    only = draw(KINDS)
    shown["tone"] = np.where(shown["kind"] == only, "high", "")
    if not rows:
        shown = shown.astype(str).astype({"start_bin": "int64", "stop_bin": "int64"})
    chosen = draw(st.sets(st.sampled_from(list(FOREIGN))))
    units = {name: FOREIGN[name][: recording.n_units] for name in sorted(chosen)}
    return Recording(
        recording.raster,
        pd.DataFrame(units, index=range(recording.n_units)),
        shown,
        segments=segments if n_bins else segments.iloc[:0],
        provenance=recording.provenance,
        session_start_time=recording.session_start_time,
        timestamps_reference_time=recording.session_start_time + timedelta(hours=1),
    )


def examples(n):
    return settings(
        max_examples=n, deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )


TIERS = pytest.mark.parametrize(
    "n_examples", [12, pytest.param(200, marks=pytest.mark.slow)]
)


MADE = recordings() | recordings(segmented=True) | segmented_recordings()


@TIERS
def test_a_recording_survives_a_neo_block(n_examples):
    """from_neo undoes to_neo, and to_neo of the result gives the same block again."""
    examples(n_examples)(given(MADE)(check_neo_block))()


def check_neo_block(recording):
    block = ann2neo.to_neo(recording)
    back = ann2neo.from_neo(block)
    assert back.equals(recording)
    again = ann2neo.to_neo(back)
    for left, right in zip(block.segments, again.segments, strict=True):
        assert left.annotations == right.annotations
        for one, other in zip(left.spiketrains, right.spiketrains, strict=True):
            np.testing.assert_array_equal(one.magnitude, other.magnitude)
            np.testing.assert_equal(one.annotations, other.annotations)
            assert (one.t_start, one.t_stop) == (other.t_start, other.t_stop)


@TIERS
def test_a_recording_survives_an_nwb_file(n_examples):
    """read_nwb undoes write_nwb in both profiles; what never spikes is refused."""
    ways = (
        st.sampled_from(["dandi", "neo"]),
        st.sampled_from(["gzip", 9, None]),
        st.booleans(),
    )
    examples(n_examples)(given(MADE, *ways)(check_nwb_file))()


def check_nwb_file(recording, profile, compression, lazy):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "recording.nwb"
        if not recording.raster.spike_counts().any():
            with pytest.raises(
                InputValueError, match="no unit of this recording spikes"
            ):
                ann2neo.write_nwb(recording, path, profile=profile)
            assert not list(Path(folder).iterdir())
            return
        ann2neo.write_nwb(recording, path, profile=profile, compression=compression)
        back = ann2neo.read_nwb(path, lazy=lazy)
        assert back.equals(recording)
        assert [entry.name for entry in Path(folder).iterdir()] == ["recording.nwb"]
        for name in ("units", "presentations", "segments"):
            assert list(getattr(back, name)) == list(getattr(recording, name))


@TIERS
def test_a_recording_survives_a_folder(n_examples):
    """Recording.open gives back what was finished in a folder."""
    examples(n_examples)(given(MADE)(check_folder))()


def check_folder(recording):
    with tempfile.TemporaryDirectory() as parent:
        path = Path(parent) / "recording"
        folder = UnfinishedFolder(path, {}, recording.n_units, recording.n_time_bins)
        folder.bits[:] = recording.raster.bits
        folder.finish(recording)
        back = Recording.open(path)
        assert back.equals(recording)
        for name in ("units", "presentations", "segments"):
            assert list(getattr(back, name)) == list(getattr(recording, name))
        del folder, back
