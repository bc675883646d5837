"""The page in a real browser: silent, self-contained, nowhere too wide, sortable,
readable by day and night.
"""

import os
import shutil

import pytest

from ann2neo.report import write_report

playwright = pytest.importorskip(
    "playwright.sync_api", reason="needs playwright (pip install 'ann2neo[test]')"
)
CHROMIUM = next(
    (
        found
        for name in ("chromium", "chromium-browser", "google-chrome")
        if (found := shutil.which(name))
    ),
    None,
)
_NEEDS_BROWSER = pytest.mark.skipif(
    CHROMIUM is None, reason="needs a Chromium (Debian: apt-get install chromium)"
)
pytestmark = [pytest.mark.slow, _NEEDS_BROWSER]


@pytest.fixture(scope="module")
def browser():
    # Root, as in a container, has no sandbox.
    flags = ["--no-sandbox"] if os.geteuid() == 0 else []
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def file(recording, two_phases, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "page.html"
    return write_report(
        {"one.nwb": recording, "<img src=x onerror=alert(2)>": two_phases}, path
    )


@pytest.fixture
def opened(browser, file):
    """Opens the page and keeps what it said and asked for."""
    pages = []

    def open_page(width, scheme="light"):
        page = browser.new_page(
            viewport={"width": width, "height": 900}, color_scheme=scheme
        )
        pages.append(page)
        page.heard = []
        page.on(
            "console",
            lambda message: page.heard.append(
                f"console {message.type}: {message.text}"
            ),
        )
        page.on("pageerror", lambda error: page.heard.append(f"error: {error}"))
        page.on(
            "dialog",
            lambda dialog: (
                page.heard.append(f"dialog: {dialog.message}"),
                dialog.dismiss(),
            ),
        )
        page.on(
            "request",
            lambda request: page.heard.append(f"request: {request.url[:100]}"),
        )
        page.goto(file.as_uri())
        page.wait_for_load_state("networkidle")
        return page

    yield open_page
    for page in pages:
        page.close()


def test_the_page_is_silent_and_self_contained(opened, file):
    """Opening it asks for the file itself and nothing else, logs nothing, and runs no
    script of a name's.
    """
    assert opened(1400).heard == [f"request: {file.as_uri()[:100]}"]


@pytest.mark.parametrize("width", [390, 1400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_overflows(opened, width, scheme):
    """No element outside a scrolling table reaches beyond the window, and the page
    itself does not scroll sideways.
    """
    page = opened(width, scheme)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    beyond = page.evaluate("""[...document.querySelectorAll('body *')]
        .filter(e => !e.parentElement.closest('.scroll, svg'))
        .filter(e => {
            const box = e.getBoundingClientRect();
            return box.right > innerWidth + 0.5 || box.left < -0.5;
        })
        .map(e => e.outerHTML.slice(0, 80))""")
    assert beyond == []


def test_figures_and_their_facts(opened):
    """One phase has eight figures, two have sixteen, one shows all rates; each has its
    words and a size to see.
    """
    page = opened(1400)
    figures = page.evaluate("""[...document.querySelectorAll('figure')].map(f => {
            const svg = f.querySelector('svg'), box = svg.getBoundingClientRect();
            const alt = svg.getAttribute('aria-label');
            return [f.id, alt, box.width, box.height, svg.textContent];
        })""")
    assert len(figures) == 1 + 8 + 16
    facts = {name: (alt, text) for name, alt, _, _, text in figures}
    assert all(width > 200 and height > 90 for _, _, width, height, _ in figures)
    alt, text = facts["r1p1-raster"]
    assert "All 24 units over 600 bins" in alt
    assert "each cell: mean of 1 unit" in text
    assert "1 \u2212 rate: bins in random order" in facts["r1p1-fano"][1]


def test_the_table_sorts(opened):
    """A click on a head sorts by that column, another turns it round; missing values
    stay last; the reader is told.
    """
    page = opened(1400)
    table = page.locator(
        "table", has=page.locator("caption", has_text="Units of one.nwb")
    )

    def column(name):
        heads = table.locator("thead button").all_inner_texts()
        position = [head.split(" ")[0].strip() for head in heads].index(name)
        cells = table.locator(f"tbody tr td:nth-child({position + 1})")
        values = cells.evaluate_all(
            "cells => cells.map(c => c.dataset.value ?? c.textContent)"
        )
        return table.locator("thead th").nth(position), values

    head, before = column("fano_factor_unbiased")
    assert before.count("nan") == 1
    assert before[-1] != "nan"
    for direction, reverse in (("ascending", False), ("descending", True)):
        head.locator("button").click()
        _, after = column("fano_factor_unbiased")
        assert head.get_attribute("aria-sort") == direction
        assert after[-1] == "nan"
        numbers = [float(value) for value in after[:-1]]
        assert numbers == sorted(numbers, reverse=reverse)
        assert sorted(after) == sorted(before)
    head, _ = column("status")
    head.locator("button").focus()
    page.keyboard.press("Enter")
    _, words = column("status")
    assert words == ["active"] * 23 + ["silent"]
    assert page.locator("th[aria-sort]").count() == 1


def test_hostile_names_stay_text(opened):
    """A layer called like a script and a recording called like an image are words: they
    make no element.
    """
    page = opened(390)
    assert page.locator("td", has_text="<script>alert(1)</script>").count() == 48
    assert page.locator("h2", has_text="<img src=x onerror=alert(2)>").count() == 1
    assert page.locator("script").count() == 1
    assert page.locator("img").count() == 0


def test_words_can_be_read_by_day_and_by_night(opened):
    """Text, also inside figures, has a contrast of at least 4.5 against what lies
    behind it, light and dark.
    """
    for scheme in ("light", "dark"):
        ratios = opened(1400, scheme).evaluate("""() => {
            const lightness = css => {
                const [r, g, b] = css.match(/[0-9.]+/g).map(Number)
                    .map(v => v / 255)
                    .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
                return 0.2126 * r + 0.7152 * g + 0.0722 * b;
            };
            const behind = e => {
                for (; e; e = e.parentElement) {
                    const colour = getComputedStyle(e).backgroundColor;
                    if (!/, 0\\)$/.test(colour)) return colour;
                }
            };
            const ratio = (e, colour) => {
                const both = [lightness(colour), lightness(behind(e))];
                const [low, high] = both.sort((a, b) => a - b);
                return (high + 0.05) / (low + 0.05);
            };
            const text = 'p, dt, dd, td, th button, h1, h2, h3, figcaption, a';
            const words = [...document.querySelectorAll(text)];
            const label = 'figure g[id*=-axes_1] > g[id*=matplotlib] text';
            const figures = [...document.querySelectorAll(label)];
            return [...words.map(e => ratio(e, getComputedStyle(e).color)),
                    ...figures.map(
                        e => ratio(e.closest('figure'), getComputedStyle(e).fill))];
        }""")
        assert len(ratios) > 500
        assert min(ratios) >= 4.5


def test_paper_is_white_and_shows_everything(opened):
    """In print, also from a dark screen, the page is white and tables are neither cut
    off nor wider than the paper.
    """
    page = opened(720, "dark")
    page.emulate_media(media="print", color_scheme="dark")
    assert (
        page.evaluate("getComputedStyle(document.body).backgroundColor")
        == "rgb(255, 255, 255)"
    )
    hidden = page.evaluate(
        "[...document.querySelectorAll('.scroll')].filter(e =>"
        " getComputedStyle(e).overflowY !== 'visible').length"
    )
    assert hidden == 0
    assert page.evaluate("document.documentElement.scrollWidth") == 720
    assert len(page.pdf(format="A4")) > 50_000
