"""The README: its tables are the measured ones, its commands and files exist."""

import importlib.util
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_tables_are_the_measured_ones(monkeypatch):
    """Writing the benchmark results into the README again changes nothing."""
    folder = ROOT / "tests" / "benchmarks"
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "harness", raising=False)
    spec = importlib.util.spec_from_file_location("benchmark_table", folder / "table.py")
    table = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(table)
    assert table.updated(README) == README
    assert "| measured | ours |" in README


def test_links_into_the_project_lead_somewhere():
    """Every relative link of the README is a file or folder of the project."""
    links = [link for link in re.findall(r"\]\(([^)#]+)", README) if "://" not in link]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_its_lines_for_newcomers_are_one_command_each():
    """The marked lines are one line of shell, from a fresh virtual environment on."""
    for name in ("demo", "tests", "notebooks"):
        block = re.search(rf"<!-- line: {name} -->\n```bash\n(.*?)```", README, re.DOTALL)
        assert block
        lines = block[1].strip().splitlines()
        assert len(lines) == 1
        assert lines[0].startswith("python3 -m venv .venv && .venv/bin/pip install ")
