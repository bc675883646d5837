"""Large recordings: a page shows some units and stretches of time, and says so."""

import html
import tracemalloc

import numpy as np
import pytest

from ann2neo import Recording, SpikeRaster
from ann2neo.report import render_report
from ann2neo.report._sample import sample_of
from ann2neo.report.style import grouped


def recording_of(n_units, n_bins, density=0.05, phases=("only",)):
    """Independent spikes, the same number of bins in each phase."""
    spikes = np.random.default_rng(0).random((n_units, n_bins)) < density
    raster = SpikeRaster.from_dense(spikes)
    length = n_bins // len(phases)
    parts = [
        Recording.from_raster(
            raster.slice(number * length, (number + 1) * length), phase=phase
        )
        for number, phase in enumerate(phases)
    ]
    return Recording.concatenate(parts)


def test_a_small_recording_is_shown_whole():
    """Nothing is left out of what a page can hold, and nothing is said."""
    recording = recording_of(30, 500)
    sample = sample_of(recording)
    assert sample.recording is recording
    assert sample.note == ""
    assert "Sample" not in render_report({"a": recording})


def test_many_units_are_sampled_evenly():
    """Of many units, evenly spaced ones are shown under the numbers that they have, and
    the page says how many.
    """
    recording = recording_of(4_999, 40)
    page = render_report({"a": recording})
    said = f"{grouped(2_000)} units, evenly spaced, of {grouped(4_999)}"
    assert said in html.unescape(page)
    sample = sample_of(recording)
    assert (sample.units[0], sample.units[-1], len(sample.units)) == (0, 4_998, 2_000)
    for row in (0, 700, 1_999):
        np.testing.assert_array_equal(
            sample.recording.raster.spike_bins(row),
            recording.raster.spike_bins(sample.units[row]),
        )


def test_long_phases_are_sampled_by_stretches():
    """Of a long recording, every phase keeps ten stretches of its own spikes, each a
    segment, so that nothing crosses from one to the next.
    """
    recording = recording_of(6, 40_000, phases=("train", "test"))
    sample = sample_of(recording, max_cells=60_000)
    shown = sample.recording
    assert shown.n_time_bins == 10_000
    phases = shown.phases.set_index("phase")
    assert phases["n_segments"].to_dict() == {"train": 10, "test": 10}
    assert phases["n_time_bins"].to_dict() == {"train": 5_000, "test": 5_000}
    assert "10 evenly spaced stretches of each phase" in sample.note
    whole = recording.raster.to_dense()
    for number, segment in enumerate(shown.segments.itertuples()):
        first = number * 2_000
        np.testing.assert_array_equal(
            shown.raster.slice(segment.start_bin, segment.stop_bin).to_dense(),
            whole[:, first : first + 500],
        )


@pytest.mark.slow
def test_memory_of_a_page_is_bounded():
    """A page about a recording of 64 x 4 million bins takes no more than one about
    fewer bins, less than a gigabyte.
    """
    raster = SpikeRaster.from_packed(
        np.random.default_rng(0).integers(0, 256, (64, 500_000), np.uint8) & 0x44,
        4_000_000,
    )
    tracemalloc.start()
    page = render_report({"a": Recording.from_raster(raster)})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert "10 evenly spaced stretches" in page
    assert peak < 1e9
