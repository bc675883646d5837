"""The page: what it says is what the tables say, names stay text, and files are only
replaced when asked.
"""

import re

import numpy as np
import pytest
from typer.testing import CliRunner

from ann2neo import (
    InputTypeError,
    InputValueError,
    OutputExistsError,
    Recording,
    analyze,
    summarize,
    write_nwb,
)
from ann2neo.analysis.table_of_statistics import TESTS
from ann2neo.cli import app
from ann2neo.recording.segments import segmented_phases
from ann2neo.report import render_report, write_report
from ann2neo.report.words import phase_words
from ann2neo.testing import make_recording

FIGURES = [
    "raster",
    "first",
    "rates",
    "fano",
    "intervals",
    "autocorrelation",
    "correlations",
    "selectivity",
]


@pytest.fixture(scope="module")
def page(two_phases):
    return render_report({"a & b.nwb": two_phases})


def words_of(recording):
    units = analyze(recording)
    network = summarize(units)
    phases = segmented_phases(recording)
    return {
        phase.phase: " ".join(
            phase_words(
                recording,
                phase,
                units[units["phase"] == phase.phase],
                network[network["phase"] == phase.phase].iloc[0],
            )
        )
        for phase in phases
    }


def test_a_page_has_every_figure_of_every_phase(page):
    """Two phases with labels give eight figures each, each with words for those who
    cannot see it.
    """
    found = re.findall(r'<figure id="r1p(\d)-(\w+)">', page)
    assert found == [(phase, name) for phase in "12" for name in FIGURES]
    alt = re.findall(r'role="img" aria-label="([^"]+)"', page)
    assert len(alt) == len(found)
    assert alt[0].startswith("Raster, phase train. All 24 units over 600 bins")


def test_names_from_a_file_stay_text(page):
    """A layer named like a script, and a model named like a tag, appear escaped and
    nowhere else.
    """
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<script>alert" not in page
    assert "&lt;b&gt;net&lt;/b&gt;" in page
    assert "<b>net</b>" not in page
    assert "a &amp; b.nwb" in page


def test_a_page_refers_to_nothing_outside(page):
    """No address is loaded: sources and links are inside the page, and the policy in
    its head forbids any other.
    """
    targets = re.findall(r'(?:src|href|url)\s*[=(]\s*["\']?([^"\')\s>]+)', page)
    assert targets
    assert all(target.startswith(("#", "data:")) for target in targets)
    assert "default-src 'none'" in page


def test_ids_in_a_page_are_unique(page):
    """No two elements share an id, so no figure borrows another's clip path or
    marker.
    """
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def test_words_of_a_random_order_claim_nothing_about_the_network(two_phases):
    """In random order the Fano factor is said to restate the rates; in stored order, to
    describe the data set.
    """
    words = words_of(two_phases)
    assert "true by construction" in words["test"]
    assert "describe the data set as the network sees it" in words["train"]
    assert "true by construction" not in words["train"]


def test_words_tell_the_numbers_of_the_tables(recording):
    """Rate, spread, silent units, Fano factor and its expectation are those of
    summarize; accuracy is counted.
    """
    network = summarize(analyze(recording)).iloc[0]
    words = words_of(recording)["test"]
    right = int(recording.presentations["is_correct"].sum())
    for number in (
        f"{100 * network['mean_firing_rate']:.1f} %",
        f"{network['cv_firing_rate_percent']:.0f} %",
        f"{network['mean_fano_factor']:.3f}",
        f"{network['mean_fano_factor_expected']:.3f}",
        "1 unit never spiked",
        f"{right} of",
        f"({right / 6:.1f} %)",
    ):
        assert number in words, number


@pytest.mark.parametrize("order", ["random", "stored", "unknown"])
def test_no_verdict_is_given(recording, order):
    """Whatever the order, a page says that it does not say whether a network
    generalizes or memorizes.
    """
    bare = Recording.from_raster(recording.raster, recording.units, order=order)
    text = words_of(bare)["recording"]
    assert "Nothing here says whether the network generalizes or memorizes" in text
    assert len(re.findall("memoriz", text)) == 1


def test_tests_rejected_by_design_are_not_called_faults(page):
    """The Poisson null and the unit root are said to be rejected by design, the
    dispersion test to be one of order.
    """
    rows = re.findall(
        r"<tr><td>(fano|adf|dispersion)</td>(.*?)</tr>", page, flags=re.DOTALL
    )
    said = {(name, "random order" in row): row for name, row in rows}
    assert "rejects by design" in said["fano", True]
    assert "rejects by design" in said["adf", True]
    assert "a rejection points to a fault" in said["dispersion", True]


def test_units_of_the_page_are_the_units_of_the_table(page, two_phases):
    """The table of units has a row per unit and phase, each with the rate that analyze
    gives.
    """
    units = analyze(two_phases)
    body = page[page.index("<caption>Units of") :]
    head = re.findall(
        r"<button type=\"button\">(\w+)</button>", body[: body.index("</thead>")]
    )
    rows = re.findall(
        r"<tr>(<td.*?)</tr>", body[: body.index("</table>")], flags=re.DOTALL
    )
    cells = [
        re.findall(r"<td([^>]*)>", row)[head.index("firing_rate")]
        for row in rows[1:] or rows
    ]
    rates = [float(re.search(r'data-value="([^"]+)"', cell).group(1)) for cell in cells]
    assert (
        len(re.findall(r"<tr><td", body[: body.index("</table>")])) == len(units) == 48
    )
    np.testing.assert_array_equal(rates, units["firing_rate"].to_numpy()[-len(rates) :])


def test_a_missing_value_tells_its_reason(page):
    """The silent unit's Fano factor is a dash whose reason stands in its title."""
    assert re.search(r'data-value="nan" title="no spike in a complete window">–<', page)


@pytest.mark.slow
def test_large_tables_are_thinned_and_say_so():
    """Of 1 500 units, 1 000 evenly spaced rows are shown, and the page says of how
    many.
    """
    dense = np.random.default_rng(0).random((1_500, 60)) < 0.5
    page = render_report({"wide": make_recording(dense)})
    assert "1\u2009000 rows, evenly spaced, of 1\u2009500." in page
    assert page.count("<tr><td") == 1_000 + len(TESTS)


@pytest.fixture(scope="module")
def small():
    """Two recordings without labels, so that their pages have few figures."""
    return [make_recording(n_units=4, n_time_bins=60, seed=seed) for seed in (0, 1)]


@pytest.mark.slow
def test_recordings_stand_side_by_side(small):
    """Two recordings give a chapter each, a table of networks, a figure of all rates
    and their comparisons.
    """
    page = render_report(dict(zip(("one", "two"), small, strict=True)))
    assert page.count('<section id="recording-') == 2
    assert 'id="overview-rates"' in page
    assert "kolmogorov_smirnov" in page


@pytest.mark.slow
@pytest.mark.parametrize(
    "dense", [np.zeros((3, 40), bool), np.ones((2, 40), bool), np.ones((1, 1), bool)]
)
def test_the_dullest_recordings_have_a_page(dense):
    """Silent units, saturated ones and a single bin give a page without the figures
    they have no data for.
    """
    page = render_report({"dull": make_recording(dense)})
    assert 'id="r1p1-raster"' in page
    assert 'id="r1p1-correlations"' not in page


def test_write_report_replaces_only_when_asked(small, tmp_path):
    """A page is written whole; an existing file stays as it is unless overwrite is
    given.
    """
    path = tmp_path / "page.html"
    path.write_text("mine")
    with pytest.raises(OutputExistsError, match="exists already"):
        write_report({"one": small[0]}, path)
    assert path.read_text() == "mine"
    assert write_report({"one": small[0]}, path, overwrite=True) == path
    assert path.read_text(encoding="utf-8").rstrip().endswith("</html>")
    assert [file.name for file in tmp_path.iterdir()] == ["page.html"]


BAD = [
    ({}, InputValueError, "at least one recording, got none"),
    ([1], InputTypeError, "must be a mapping of names to recordings, got list"),
    ({"a": 1}, InputTypeError, "report of 'a' needs a Recording, got int"),
]


@pytest.mark.parametrize(("recordings", "error", "words"), BAD)
def test_bad_input(recordings, error, words):
    """What is not a mapping of recordings is refused by name and type."""
    with pytest.raises(error, match=words):
        render_report(recordings)


@pytest.mark.slow
def test_the_command_writes_a_page(small, tmp_path):
    """`ann2neo report A.nwb B.nwb -o PAGE` writes one page with a chapter called after
    each file.
    """
    write_nwb(small[0], tmp_path / "one.nwb")
    write_nwb(small[1], tmp_path / "two.nwb")
    out = tmp_path / "page.html"
    arguments = [
        "report",
        str(tmp_path / "one.nwb"),
        str(tmp_path / "two.nwb"),
        "-o",
        str(out),
    ]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    page = out.read_text(encoding="utf-8")
    assert re.findall(r"<h2>(.*?)</h2>", page) == [
        "Side by side",
        "one.nwb",
        "two.nwb",
        "What the columns mean",
    ]
    again = CliRunner().invoke(app, arguments)
    assert again.exit_code == 1
    assert "exists already" in again.output
    twice = CliRunner().invoke(
        app, ["report", arguments[1], arguments[1], "-o", str(tmp_path / "x.html")]
    )
    assert "once" in twice.output
