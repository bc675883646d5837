"""What a notebook shows of a recording."""

import re

import numpy as np
import pandas as pd
import pytest

from ann2neo import Recording, SpikeRaster
from ann2neo.testing import make_recording


def test_html_says_size_phases_and_kinds():
    """The table names units, bins, phases and presentations of each kind."""
    recording = make_recording(n_units=5, labels=3, phases=["train", "test"])
    cues = pd.DataFrame({"start_bin": [3, 9]})
    html = recording.with_presentations(cues, "cues")._repr_html_()
    for words in (
        ">5</td>",
        "400 of 1.0 ms",
        "phase train</th>",
        "200 bins, unknown order",
        "trials</th><td style='text-align:left'>400 presentations",
        "cues</th><td style='text-align:left'>2 presentations",
    ):
        assert words in html


def test_the_small_raster_shows_a_stretch_with_spikes():
    """Silent bins at the start are passed over; each spike is one mark."""
    dense = np.zeros((60, 1000), bool)
    dense[::2, 700] = True
    html = Recording.from_raster(SpikeRaster.from_dense(dense))._repr_html_()
    assert "40 of 60 units, bins 640 to 800" in html
    shown = np.linspace(0, 59, 40).astype(int)
    assert len(re.findall(r"M60\.5 ", html)) == (shown % 2 == 0).sum()


def test_names_are_escaped():
    """A phase whose name is a tag stays text."""
    html = make_recording(phases="<script>")._repr_html_()
    assert "phase &lt;script&gt;" in html
    assert "<script>" not in html


@pytest.mark.parametrize("shape", [(0, 5), (3, 0)])
def test_a_recording_without_units_or_bins_has_no_raster(shape):
    """What has nothing to draw is a table alone."""
    html = Recording.from_raster(SpikeRaster.from_dense(np.zeros(shape)))._repr_html_()
    assert "<svg" not in html


def test_a_raster_is_an_array():
    """np.asarray unpacks a raster, in the type asked for; no view of bits exists."""
    dense = np.eye(3, 70, dtype=bool)
    raster = SpikeRaster.from_dense(dense)
    np.testing.assert_array_equal(np.asarray(raster), dense)
    assert np.asarray(raster, np.float32).sum() == 3
    with pytest.raises(ValueError, match="makes a copy; leave out copy=False"):
        np.array(raster, copy=False)
