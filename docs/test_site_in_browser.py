"""The built site in headless Chromium: ``python -m pytest
docs/test_site_in_browser.py``, after the site is built.
"""

import os
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

SITE = Path(__file__).parent / "_build" / "html"
PAGES = sorted(
    path.relative_to(SITE).as_posix()
    for path in SITE.rglob("*.html")
    if "_static" not in path.parts
)
KINDS = [
    "index.html",
    "notebooks.html",
    "reference.html",
    "commands.html",
    "statistics.html",
    "nwb.html",
    "study.html",
    "benchmarks.html",
    "frameworks.html",
    "sequences.html",
    "api/ann2neo.analyze.html",
    "api/ann2neo.SpikeRaster.html",
    "notebooks/01_record_a_network.html",
    "notebooks/06_brain_and_network.html",
]


@pytest.fixture(scope="module")
def browser():
    """Headless Chromium."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    assert program, "install Debian's package chromium"
    # Chromium refuses its sandbox to root, which continuous integration is.
    flags = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=flags)
        yield opened
        opened.close()


def complaints(browser, names, width, scheme):
    """What is wrong with pages: requests that leave the machine, errors of scripts,
    contents wider than the screen.
    """
    found = []
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme
    )
    page = context.new_page()
    page.on(
        "request",
        lambda request: (
            found.append(request.url)
            if "://" in request.url[:8] and not request.url.startswith("file:")
            else None
        ),
    )
    page.on(
        "console",
        lambda message: (
            found.append((page.url, message.text)) if message.type == "error" else None
        ),
    )
    page.on("pageerror", lambda error: found.append((page.url, str(error))))
    for name in names:
        page.goto(f"file://{SITE / name}")
        wide = page.evaluate("document.documentElement.scrollWidth")
        if wide > width:
            found.append((name, f"{wide} pixels wide on {width}"))
        broken = page.evaluate(
            "[...document.images].filter(i => i.complete && !i.naturalWidth).map(i =>"
            " i.src)"
        )
        found += [(name, source) for source in broken]
    context.close()
    return found


def test_the_site_is_built():
    """Every kind of page is there."""
    assert set(KINDS) <= set(PAGES)


def test_every_page_on_a_phone(browser):
    """No page asks the network for anything, has an error of a script or a broken
    image, or is wider than a phone.
    """
    assert complaints(browser, PAGES, 390, "light") == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_kind_of_page_on_a_desk(browser, scheme):
    """The same on a wide screen, light and dark."""
    assert complaints(browser, KINDS, 1400, scheme) == []


def test_the_picture_follows_the_colours_of_the_page(browser):
    """The landing page shows the picture for light pages by day and the one for dark
    pages by night, never both.
    """
    for scheme in ("light", "dark"):
        context = browser.new_context(color_scheme=scheme)
        page = context.new_page()
        page.goto(f"file://{SITE / 'index.html'}")
        shown = page.evaluate(
            "[...document.images].filter(i => i.offsetWidth &&"
            " /spikes/.test(i.src)).map(i => i.src)"
        )
        assert [Path(source).name for source in shown] == [f"spikes-{scheme}.svg"]
        context.close()


def test_search_finds_a_name_without_a_server(browser):
    """The search page finds a function by its name."""
    page = browser.new_page()
    page.goto(f"file://{SITE / 'search.html'}?q=surrogate_test")
    page.wait_for_selector("ul.search a")
    assert any(
        "surrogate_test" in text
        for text in page.locator("ul.search a").all_inner_texts()
    )


def test_notebooks_show_what_they_print_and_draw(browser):
    """Each notebook's page has outputs; those with figures have images."""
    page = browser.new_page()
    for path in sorted((SITE / "notebooks").glob("*.html")):
        page.goto(f"file://{path}")
        assert page.locator(".cell_output").count() >= 4
        assert "Traceback" not in page.locator("article").inner_text()
        if not path.name.startswith("03"):
            assert page.locator(".cell_output img").count() >= 1
