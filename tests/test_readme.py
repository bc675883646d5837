"""The README and the benchmark page: their tables are the measured ones, their
commands, lines and files hold.
"""

import ast
import importlib.util
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BENCHMARKS = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")


@pytest.fixture
def table(monkeypatch):
    """The script that writes the tables."""
    folder = ROOT / "tests" / "benchmarks"
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "harness", raising=False)
    spec = importlib.util.spec_from_file_location(
        "benchmark_table", folder / "table.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tables_are_the_measured_ones(table):
    """Writing the benchmark results into the README and the benchmark page again
    changes nothing.
    """
    assert table.updated(README, table.headline_table()) == README
    assert table.updated(BENCHMARKS, table.full_tables()) == BENCHMARKS
    assert 8 <= README.count("\n| ") - 1 <= 12


def test_every_row_and_every_miss_is_on_the_page(table):
    """The benchmark page has each measured row, and lists as many misses as the README
    counts and the results hold.
    """
    rows = [row for result in table.results().values() for row in result["rows"]]
    assert all(f"| {row['what']}" in BENCHMARKS for row in rows)
    missed = [row for row in rows if row["met"] is False]
    section = BENCHMARKS.split("## Missed")[1].split("\n## ")[0]
    assert section.count("\n- ") == len(missed)
    assert section.count("MISSED") == len(missed)
    asked = sum(row["met"] is not None for row in rows)
    assert f"{len(missed)} of {asked} limits" in README or (
        not missed and f"All {asked} limits" in README
    )


def test_a_headline_that_is_missed_says_so(table, monkeypatch, tmp_path):
    """A row of the README that misses its limit is marked; one whose result is gone is
    an error that names it.
    """
    topic, what, other, words, _ = table.HEADLINES[0]
    source = table.RESULTS / f"{topic}.json"
    result = json.loads(source.read_text(encoding="utf-8"))
    (row,) = (
        row
        for row in result["rows"]
        if row["what"] == what and row["theirs_is"] == other
    )
    row |= {
        "ratio": 1.5,
        "limit_on": "ratio",
        "at_least": 15,
        "at_most": None,
        "met": False,
    }
    for path in table.RESULTS.glob("*.json"):
        (tmp_path / path.name).write_text(
            path.read_text(encoding="utf-8"), encoding="utf-8"
        )
    (tmp_path / source.name).write_text(json.dumps(result), encoding="utf-8")
    monkeypatch.setattr(table, "RESULTS", tmp_path)
    (line,) = (
        line
        for line in table.headline_table().splitlines()
        if line.startswith(f"| {words} |")
    )
    assert line.endswith("1.5, **missed** (≥ 15) |")
    result["rows"].remove(row)
    (tmp_path / source.name).write_text(json.dumps(result), encoding="utf-8")
    with pytest.raises(ValueError, match="HEADLINES"):
        table.headline_table()


def test_links_into_the_project_lead_somewhere():
    """Every relative link and picture of the README is a file or folder of the project,
    every anchor a heading.
    """
    links = [
        link
        for link in re.findall(r'(?:\]\(|srcset="|src=")([^)"]+)', README)
        if "://" not in link
    ]
    assert len(links) > 8
    assert [
        link for link in links if not (ROOT / link.partition("#")[0]).exists()
    ] == []
    for link in (link for link in links if "#" in link):
        path, _, anchor = link.partition("#")
        headings = re.findall(
            r"^#+ (.+)$", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE
        )
        assert anchor in {heading.lower().replace(" ", "-") for heading in headings}


def test_the_picture_is_small_and_has_two_faces():
    """The picture for light and for dark pages is an SVG below 150 kB whose words are
    not those of the other.
    """
    light, dark = (
        (ROOT / f"docs/_static/spikes-{face}.svg").read_text(encoding="utf-8")
        for face in ("light", "dark")
    )
    for text in (light, dark):
        assert len(text.encode()) < 150_000
        assert text.lstrip().startswith("<?xml")
        assert "<script" not in text
    assert "#1f2430" in light
    assert "#1f2430" not in dark
    assert "prefers-color-scheme: dark" in README


def test_its_lines_for_newcomers_are_one_command_each():
    """The marked lines are one line of shell; those for a fresh clone start with a
    fresh virtual environment.
    """
    for name in ("demo", "report", "tests", "notebooks"):
        block = re.search(
            rf"<!-- line: {name} -->\n```bash\n(.*?)```", README, re.DOTALL
        )
        assert block
        lines = block[1].strip().splitlines()
        assert len(lines) == 1
        fresh = "" if name == "report" else "python3 -m venv .venv && "
        assert lines[0].startswith(f"{fresh}.venv/bin/pip install ")


def test_its_python_runs(tmp_path, monkeypatch, capsys):
    """The lines of Python run as they stand on a small network, and give what their
    comments say.
    """
    import keras

    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(ast.parse(code).body) <= 10
    keras.utils.set_random_seed(0)
    layers = [
        keras.layers.Dense(16, activation="relu", name="hidden"),
        keras.layers.Dense(3),
    ]
    random = np.random.default_rng(0)
    names = {
        "model": keras.Sequential([keras.Input((5,)), *layers]),
        "x_test": random.normal(size=(300, 5)),
        "y_test": random.integers(0, 3, 300),
    }
    monkeypatch.chdir(tmp_path)
    exec(code, names)  # noqa: S102
    assert len(names["units"]) == names["recording"].n_units == 16
    assert len(names["block"].segments[0].spiketrains) == 16
    assert (tmp_path / "network.nwb").is_file()
    assert "true by construction" in capsys.readouterr().out
