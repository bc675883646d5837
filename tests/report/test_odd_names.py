"""Names that are no ordinary text, other locales, and pages drawn in threads."""

import os
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

import ann2neo
from ann2neo.report import render_report
from ann2neo.report.rendering import whole_characters
from ann2neo.report.style import settings
from ann2neo.report.svg import inline_svg
from ann2neo.testing import make_recording


def recording(phase="train", layer="hidden", label="a", seed=0):
    """A small recording with three labels."""
    return make_recording(
        n_units=6,
        n_time_bins=300,
        labels=np.array([label, "b", "c"] * 100),
        layers=[layer],
        phases=[phase],
        provenance={"model": phase},
        seed=seed,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (r"a\1 \g<0> \u", r"a\1 \g&lt;0&gt; \u"),
        ("half \ud800 of it", "half \ufffd of it"),
        ("caf\udcc3\udca9", "café"),
    ],
)
def test_a_page_shows_any_name(name, shown):
    """Backslashes stay and halves of characters are replaced, in names of phases,
    layers, labels and files, and in the title.
    """
    page = render_report({name: recording(name, name, name)}, title=f"title {name}")
    assert f"<title>title {shown}" in page
    assert page.count(shown) > 10
    assert page.encode("utf-8").decode("utf-8") == page


def test_a_figure_may_have_any_name():
    """A half of a character in the name of a figure is no error, and gives it ids."""
    svg = inline_svg(Figure(), "half \ud800", "empty")
    assert re.search(r'id="f[0-9a-f]{8}-', svg)


def test_halves_of_characters():
    """Bytes that Python could not decode are read as UTF-8 where they are."""
    for text, expected in (("plain é 神", "plain é 神"), ("\udce9", "\ufffd")):
        assert whole_characters(text) == expected


@pytest.mark.skipif(sys.platform == "win32", reason="arguments are Unicode there")
@pytest.mark.slow
def test_a_title_of_another_locale_is_the_title(tmp_path):
    """Where the locale knows no letters beyond ASCII, a title in UTF-8 is kept."""
    path = ann2neo.write_nwb(recording(), tmp_path / "a.nwb")
    page = tmp_path / "page.html"
    environment = {
        **os.environ,
        "LC_ALL": "C",
        "PYTHONCOERCECLOCALE": "0",
        "PYTHONUTF8": "0",
    }
    command = [sys.executable, "-m", "ann2neo", "report", path, "--out", page]
    subprocess.run([*command, "--title", "Müller’s 神経"], env=environment, check=True)
    assert "<title>Müller’s 神経" in page.read_text(encoding="utf-8")


def drawn(one):
    """A page without the time at which it was written."""
    return re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d", "", render_report({"a.nwb": one}))


@pytest.mark.slow
def test_pages_drawn_in_threads_are_those_drawn_alone():
    """Threads give the pages of one thread, and matplotlib's settings stay."""
    recordings = [recording(seed=seed) for seed in range(2)]
    alone = [drawn(one) for one in recordings]
    before = dict(mpl.rcParams)
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(drawn, recordings * 2))
    assert together == alone * 2
    assert dict(mpl.rcParams) == before


def test_a_page_leaves_the_settings_of_matplotlib():
    """A caller's own settings are those after a page as before, also after an error."""
    with mpl.rc_context({"font.size": 31, "svg.fonttype": "path"}):
        before = dict(mpl.rcParams)
        render_report({"a.nwb": recording()})
        assert dict(mpl.rcParams) == before
        with pytest.raises(ZeroDivisionError), settings({"font.size": 3}):
            1 / 0  # noqa: B018
        assert dict(mpl.rcParams) == before


def test_one_thread_draws_at_a_time():
    """Settings of one thread wait until those of another are restored."""
    before, has_begun, sizes = mpl.rcParams["font.size"], threading.Event(), []

    def draw():
        with settings({"font.size": 31}):
            has_begun.set()
            sizes.append(mpl.rcParams["font.size"])

    other = threading.Thread(target=draw)
    with settings({"font.size": 3}):
        other.start()
        assert not has_begun.wait(0.1)
        sizes.append(mpl.rcParams["font.size"])
    other.join()
    assert sizes == [3, 31]
    assert mpl.rcParams["font.size"] == before
