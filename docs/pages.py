"""Pages of the site made from the code: reference, command line, tables, notebooks.

Each function returns the text of a page or of a part; `write_pages` writes all of them
to where Sphinx reads them. The written files are not under version control.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from runpy import run_path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ann2neo.analysis._entry import Column, Statistic, StatisticOfUnits

ROOT = Path(__file__).parents[1]
EXECUTED = ROOT / "executed"
"""Folder of the notebooks that the command in the README executes."""

IMPORTS = """\
import numpy as np
import pandas as pd
import quantities as pq
from ann2neo import *
from ann2neo.report import *"""
"""Imports that every example in a docstring may assume."""

SECTIONS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("Record a network", "From a Keras network to a recording.", ("probe", "monitor")),
    (
        "Recordings",
        "The data: one bit per unit and time bin, and what was shown when.",
        ("raster", "recording"),
    ),
    (
        "Neo and NWB",
        "Read and write both, with all that others need.",
        ("io.neo", "io.nwb"),
    ),
    (
        "Other libraries",
        "Labelled arrays and files of others; [how they fit together](exchange.md).",
        ("io",),
    ),
    (
        "Statistics of units and networks",
        "One row per unit, one row per network; [all columns](statistics.md).",
        (
            "analysis.units",
            "analysis.networks",
            "analysis.explain",
            "analysis.change_points",
        ),
    ),
    (
        "Populations and tuning",
        "Correlations, complexity, selectivity and information.",
        ("analysis.populations",),
    ),
    (
        "Trials",
        "PSTHs, variability and dependence; [what they mean](statistics.md#trials).",
        ("analysis.trials",),
    ),
    (
        "Patterns",
        "Which units fire for one sample, and which samples are alike.",
        ("analysis.patterns",),
    ),
    (
        "Surrogates, processes, simulation",
        "Values of a statistic if only some of the structure were present.",
        ("analysis.surrogates", "analysis.models"),
    ),
    ("Data sets", "Arrays with the same checksum everywhere.", ("datasets",)),
    ("Errors", "Each states the value, the rule and the remedy.", ("errors",)),
)
"""Heading, summary and modules of each part of the reference."""


def public_names() -> dict[str, str]:
    """Return the module of every public name, from the stub of the package."""
    stub = ROOT / "ann2neo" / "__init__.pyi"
    return {
        alias.asname or alias.name: node.module or ""
        for node in ast.parse(stub.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def figure_names() -> list[str]:
    """Return the public names of ``ann2neo.report``."""
    import ann2neo.report

    return list(ann2neo.report.__all__)


def reference_page() -> str:
    """Return the reference: every public name in its part.

    Raises
    ------
    ValueError
        If the module of a public name is in no part.
    """
    left = {name: module for name, module in public_names().items() if module}
    about = (
        "Everything public, by topic. Every example on these pages is run by the"
        f" tests; all start from\n\n```python\n{IMPORTS}\n```\n"
    )
    parts = ["# Reference\n", about]
    for title, about, modules in SECTIONS:
        names = [name for name, module in left.items() if _is_of(module, modules)]
        left = {name: module for name, module in left.items() if name not in names}
        parts.append(f"## {title}\n\n{about}\n\n{_summary('ann2neo', names)}")
    if left:
        raise ValueError(
            f"these public names are in no part of the reference: {left}; add their"
            " modules to SECTIONS"
        )
    about = (
        "Figures return Axes; pages are files. They need `pip install"
        " 'ann2neo[report]'`."
    )
    figures = _summary("ann2neo.report", figure_names())
    parts.append(f"## Figures and pages\n\n{about}\n\n{figures}")
    return "\n".join(parts)


def _is_of(module: str, modules: Iterable[str]) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in modules)


def _summary(module: str, names: Sequence[str]) -> str:
    listed = "\n".join(f"   {name}" for name in names)
    directive = (
        f".. currentmodule:: {module}\n\n"
        ".. autosummary::\n   :toctree: api\n   :nosignatures:\n\n"
        f"{listed}"
    )
    return f"```{{eval-rst}}\n{directive}\n```\n"


def commands_page() -> str:
    """Return the help of the command line."""
    import typer
    from typer.cli import get_docs_for_click

    from ann2neo.cli import app

    command = typer.main.get_command(app)
    text = get_docs_for_click(
        obj=command, ctx=typer.Context(command), name="ann2neo", title="Command line"
    )
    for group in (command, *command.commands.values()):
        for sub in getattr(group, "commands", {}).values():
            text = text.replace(
                f"* `{sub.name}`: {sub.get_short_help_str()}\n",
                f"* `{sub.name}`: {sub.help}\n",
            )
    # Typer's own options for shells are not documented here.
    return (
        "\n".join(line for line in text.splitlines() if "-completion`" not in line)
        + "\n"
    )


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return rows as a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return (
        "\n".join(
            "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |"
            for line in lines
        )
        + "\n"
    )


def unit_statistics() -> str:
    """Return the statistics of units, one heading per entry."""
    from ann2neo.analysis.table_of_statistics import STATISTICS

    return statistics_by_name(STATISTICS)


def trial_statistics() -> str:
    """Return the statistics of the trials of units, one heading per entry."""
    from ann2neo.analysis.trials.analyze_trials import TRIAL_STATISTICS

    return statistics_by_name(TRIAL_STATISTICS)


def statistics_by_name(entries: Iterable[StatisticOfUnits]) -> str:
    """Return columns, null hypothesis, validity and source, one heading per entry."""
    parts = []
    for entry in entries:
        facts = [
            (
                f"**Null hypothesis** of `{entry.pvalue}`: {entry.null}."
                if entry.null
                else ""
            ),
            (
                f"**Valid** for: {entry.validity}; elsewhere NaN, and"
                f" `{entry.reason_column.name}` says why."
            ),
            _meaning_of_order(entry),
            f"**Source**: {entry.source}",
        ]
        text = "\n\n".join(fact for fact in facts if fact)
        parts.append(f"### `{entry.name}`\n\n{column_table(entry.columns)}\n{text}\n")
    return "\n".join(parts)


def _unit(unit: str) -> str:
    return {"1": "–", "": "words"}.get(unit, unit)


def _meaning_of_order(entry: Statistic) -> str:
    if entry.rejects_by_design:
        return (
            "**In random order**: a number about the shuffle; a train of zeros and ones"
            " rejects by design."
        )
    if entry.tests_order:
        return (
            "**In random order**: true by construction where every stimulus is one bin;"
            " a rejection points to a fault in the pipeline."
        )
    return ""


def condition_columns() -> str:
    """Return the columns with the unit, the phase and the settings of a row."""
    from ann2neo.analysis.table_of_statistics import CONDITIONS

    return column_table(CONDITIONS)


def network_columns() -> str:
    """Return the columns of `summarize`, and the statistics of `network_test`."""
    from ann2neo.analysis.table_of_statistics import NETWORK_COLUMNS, NETWORK_TESTS

    rows = [(f"`{t.name}`", t.column(t.name).description) for t in NETWORK_TESTS]
    return (
        f"{column_table(NETWORK_COLUMNS)}\n"
        "### Tests of a whole network\n\n"
        "Units of one layer are not independent, so {py:obj}`ann2neo.network_test`"
        " permutes the time bins jointly for all units.\n\n"
        f"{markdown_table(('statistic', 'what it is sensitive to'), rows)}"
    )


def further_tables() -> str:
    """Return the columns of all other tables, one heading per function."""
    from ann2neo.analysis.columns import TABLES

    return "\n".join(
        f"### {{py:obj}}`ann2neo.{name}`\n\n{column_table(columns)}"
        for name, columns in TABLES.items()
        if name not in {"analyze", "summarize"}
    )


def column_table(columns: Iterable[Column]) -> str:
    """Return a table with name, meaning and unit of columns."""
    rows = [(f"`{c.name}`", c.description, _unit(c.unit)) for c in columns]
    return markdown_table(("column", "meaning", "unit"), rows)


def function_statistics() -> str:
    """Return a table of functions on populations and processes, with references."""
    import ann2neo

    of_tables = (
        "analysis.units.analyze",
        "analysis.networks.summarize",
        "analysis.explain",
        "analysis.networks.network_test",
    )
    names = [
        name
        for name, module in public_names().items()
        if _is_of(module, ["analysis"])
        and not _is_of(module, of_tables)
        and inspect.isfunction(getattr(ann2neo, name))
    ]
    rows = []
    for name in names:
        text = inspect.getdoc(getattr(ann2neo, name)) or ""
        references = re.search(
            r"^References\n-+\n(.*?)(?=\n\n\w[^\n]*\n-+\n|\Z)",
            text,
            re.DOTALL | re.MULTILINE,
        )
        source = " ".join(references[1].split()) if references else "by definition"
        rows.append(
            (
                f"{{py:obj}}`ann2neo.{name}`",
                " ".join(text.partition("\n\n")[0].split()),
                source,
            )
        )
    return markdown_table(("function", "what it does", "source"), rows)


def nwb_columns() -> str:
    """Return our columns of units, presentations and segments, described."""
    from ann2neo.io.nwb.layout import described_columns

    rows = [(f"`{name}`", about) for name, about in described_columns().items()]
    return markdown_table(("column", "meaning"), rows)


def scale_constants() -> dict[str, float]:
    """Return what two cores did in the benchmarks of 21 632 units x 60 000 bins.

    Seconds of the statistics of units per unit and bin, and of correlations per pair
    and bin.
    """
    n_units, n_time_bins = 21_632, 60_000
    n_pairs = n_units * (n_units - 1) // 2
    of = {
        "battery": ("analysis", "whole battery, 21,632 units x 60,000 bins", n_units),
        "pairs": (
            "populations",
            "Correlations of all 233 961 896 pairs, 21 632 units x 60 000 bins",
            n_pairs,
        ),
    }
    constants = {}
    for name, (topic, what, number) in of.items():
        path = ROOT / "tests" / "benchmarks" / "results" / f"{topic}.json"
        rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
        (seconds,) = (row["ours"] for row in rows if row["what"] == what)
        constants[name] = seconds / (number * n_time_bins)
    return constants


def scale_table() -> str:
    """Return bits and hours of recordings, calculated from `scale_constants`."""
    constants = scale_constants()
    rows = []
    for n_units, n_time_bins in SIZES:
        battery = constants["battery"] * n_units * n_time_bins
        pairs = constants["pairs"] * n_units * (n_units - 1) / 2 * n_time_bins
        rows.append(
            (
                f"{n_units:,}",
                f"{n_time_bins:,}",
                _amount(n_units * n_time_bins / 8, _BYTES, digits=3),
                *(_amount(seconds, _TIMES) for seconds in (battery, pairs)),
                *(_amount(seconds / 500, _TIMES) for seconds in (battery, pairs)),
            )
        )
    heading = (
        "units",
        "bins",
        "bits",
        "units, two cores",
        "pairs, two cores",
        "units, 1 000 cores",
        "pairs, 1 000 cores",
    )
    return markdown_table(heading, rows)


SIZES = (
    (512, 60_000),
    (21_632, 60_000),
    (100_000, 100_000),
    (100_000, 1_000_000),
    (1_000_000, 1_000_000),
    (100_000, 10_000_000),
    (1_000_000, 10_000_000),
)
"""Units and bins of the table of `scale_table`."""

_BYTES = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"))
_TIMES = ((86_400, "days"), (3_600, "h"), (60, "min"), (1, "s"), (1e-3, "ms"))


def _amount(value: float, units: Sequence[tuple[float, str]], digits: int = 2) -> str:
    """Write a number in the largest unit of which it has one, or in the last one."""
    size, unit = next((entry for entry in units if value >= entry[0]), units[-1])
    return f"{float(f'{value / size:.{digits}g}'):g} {unit}"


def write_pages(docs: Path) -> None:
    """Write all pages made from the code, and the notebooks."""
    names = {*public_names(), *figure_names()}
    notebooks = {path.name for path in stored_notebooks()}
    pages = {
        "reference.md": reference_page(),
        "commands.md": commands_page(),
        "generated/unit_statistics.md": unit_statistics(),
        "generated/trial_statistics.md": trial_statistics(),
        "generated/condition_columns.md": condition_columns(),
        "generated/network_columns.md": network_columns(),
        "generated/further_tables.md": further_tables(),
        "generated/function_statistics.md": function_statistics(),
        "generated/nwb_columns.md": nwb_columns(),
        "generated/scale.md": scale_table(),
    }
    for name, text in pages.items():
        _write(docs / name, text)
    for left in [*(docs / "api").glob("*"), *(docs / "notebooks").glob("*")]:
        # Sphinx would show pages of names and notebooks that no longer exist.
        if left.stem.rpartition(".")[2] not in names and left.name not in notebooks:
            left.unlink()
    executed = {path.name: path for path in executed_notebooks()}
    for path in stored_notebooks():
        _write(
            docs / "notebooks" / path.name,
            executed.get(path.name, path).read_text(encoding="utf-8"),
        )


def stored_notebooks() -> list[Path]:
    """Return the paths of the notebooks, in reading order."""
    return sorted((ROOT / "notebooks").glob("*.ipynb"))


def executed_notebooks() -> list[Path]:
    """Return the executed copies of notebooks whose cells have not changed since."""
    copies = [EXECUTED / path.name for path in stored_notebooks()]
    return [
        copy
        for copy in copies
        if copy.is_file() and _cells(copy) == _cells(ROOT / "notebooks" / copy.name)
    ]


def notebooks_left_out() -> list[Path]:
    """Return the notebooks that require a package which is not installed."""
    missing_packages = run_path(str(ROOT / "notebooks" / "run.py"))["missing_packages"]
    return [path for path in stored_notebooks() if missing_packages(path)]


def _cells(notebook: Path) -> list[tuple[str, str]]:
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return [(cell["cell_type"], "".join(cell["source"])) for cell in cells]


def _write(path: Path, text: str) -> None:
    """Write a page if its text is new, as Sphinx reads every new file again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")
