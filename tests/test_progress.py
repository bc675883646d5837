"""Progress bars: in a terminal after a second, in a pipe never, and when asked for."""

import io
import sys

import numpy as np
import pytest

import ann2neo
from ann2neo import _progress
from ann2neo._progress import with_progress
from ann2neo.testing import make_recording


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


def analyzed(tmp_path, progress):
    """Analyze a small recording."""
    ann2neo.analyze(make_recording(), progress=progress)


def analyzed_by_reference(tmp_path, progress):
    """Analyze a small recording unit by unit."""
    ann2neo.analyze(
        make_recording(), engine="reference", statistics="cv2", progress=progress
    )


def written(tmp_path, progress):
    """Write a small recording with activations."""
    recording = make_recording(layers=["a"])
    values = np.where(recording.raster.to_dense().T, 1.0, -1.0)
    ann2neo.write_nwb(
        recording,
        tmp_path / "a.nwb",
        overwrite=True,
        activations={"a": [values]},
        progress=progress,
    )


def drawn(tmp_path, progress):
    """Draw surrogates."""
    assert len([*ann2neo.surrogates(make_recording(), progress=progress)]) == 100


def drawn_from(tmp_path, progress):
    """Test with surrogates."""
    ann2neo.surrogate_test(
        make_recording(), "cv2", n_surrogates=39, alpha=0.5, progress=progress
    )


CALLS = {
    "analyze": (analyzed, "6.00/6.00"),
    "analyze, reference": (analyzed_by_reference, "6.00/6.00"),
    "write_nwb": (written, "100%"),
    "surrogates": (drawn, "100/100"),
    "surrogate_test": (drawn_from, "39.0/39.0"),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_bar_goes_to_a_terminal_and_ends_full(name, tmp_path, monkeypatch):
    """In a terminal every long call shows a bar with its name, which ends at all of its
    steps.
    """
    call, end = CALLS[name]
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(_progress, "_DELAY", 0.0)
    call(tmp_path, None)
    shown = sys.stderr.getvalue().rstrip().rpartition("\r")[2]
    assert shown.startswith(name.partition(",")[0] + ":")
    assert end in shown


@pytest.mark.parametrize("name", CALLS)
def test_a_pipe_gets_no_bar(name, tmp_path, monkeypatch):
    """Where standard error is no terminal, nothing is written."""
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    monkeypatch.setattr(_progress, "_DELAY", 0.0)
    CALLS[name][0](tmp_path, None)
    assert sys.stderr.getvalue() == ""


@pytest.mark.parametrize("name", CALLS)
def test_a_bar_can_be_asked_for_and_refused(name, tmp_path, monkeypatch):
    """True shows a bar in a pipe too and at once, False none even in a terminal."""
    for progress, stream in ((True, io.StringIO()), (False, Terminal())):
        monkeypatch.setattr(sys, "stderr", stream)
        CALLS[name][0](tmp_path, progress)
        assert bool(stream.getvalue()) is progress


def test_a_short_call_shows_no_bar(monkeypatch):
    """In a terminal a call that takes less than a second leaves nothing behind."""
    monkeypatch.setattr(sys, "stderr", Terminal())
    ann2neo.analyze(make_recording(), statistics=["firing_rate"])
    assert sys.stderr.getvalue() == ""


def test_surrogates_left_early_close_their_bar(monkeypatch):
    """Whoever stops drawing gets the line of the bar ended."""
    monkeypatch.setattr(sys, "stderr", Terminal())
    numbers = with_progress(iter(range(9)), 9, "draw", "numbers", wanted=True)
    assert [next(numbers) for _ in range(4)] == [0, 1, 2, 3]
    numbers.close()
    assert "3.00/9.00" in sys.stderr.getvalue()
    assert sys.stderr.getvalue().endswith("\n")
