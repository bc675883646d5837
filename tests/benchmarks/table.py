"""Put the measured results into the README (headline figures) and into
``docs/benchmarks.md`` (all of them).

``python tests/benchmarks/table.py`` rewrites both, between their benchmark marks; a
test holds them and the results together.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness import RESULTS, _number, format_limit, format_row

ROOT = Path(__file__).parents[2]
README, PAGE = ROOT / "README.md", ROOT / "docs" / "benchmarks.md"
BEGIN, END = "<!-- benchmarks: begin -->", "<!-- benchmarks: end -->"
_ORDER = (
    "probe",
    "torch",
    "sequences",
    "nwb",
    "analysis",
    "populations",
    "patterns",
    "similarity",
    "executors",
    "sessions",
    "monitor",
    "training",
    "start",
)

HEADLINES: tuple[tuple[str, str, str, str, str], ...] = (
    (
        "probe",
        "tensorflow: convolution of 21 632 units, 60 000 images",
        "`Model(...).predict(x) > 0`",
        "record a convolution of 21 632 units, 60 000 images",
        "`Model(...).predict(x) > 0`",
    ),
    (
        "torch",
        "torch, threads of PyTorch 1: resnet18, all ReLU outputs, 1 024 images",
        "bare pass",
        "record all ReLU outputs of resnet18 in PyTorch, 1 024 images",
        "the bare pass",
    ),
    (
        "nwb",
        "`write_nwb`, 512 units x 60,000, 15.4 million spikes",
        "`neo.io.NWBIO`",
        "write 512 units, 15.4 million spikes, to NWB",
        "Neo's `NWBIO`",
    ),
    (
        "nwb",
        "`read_nwb`, 512 units x 60,000, 15.4 million spikes",
        "pynwb",
        "read that file",
        "pynwb",
    ),
    (
        "analysis",
        "whole battery, 512 units x 60,000 bins",
        "reference engine (Elephant, SciPy, statsmodels)",
        "all statistics of 512 units x 60 000 bins",
        "Elephant, SciPy, statsmodels",
    ),
    (
        "analysis",
        "ADF, 512 units x 60,000 bins",
        "arch ADF(low_memory=True)",
        "the ADF test alone",
        "arch, the fastest library",
    ),
    (
        "analysis",
        "change points, 512 units x 60,000 bins, three windows",
        "Elephant multiple_filter_test",
        "change points of the same",
        "Elephant",
    ),
    (
        "populations",
        "1 000 bin-permutation surrogates of the Fano factor, 512 units x 10 000 bins",
        "Elephant shuffle_isis alone",
        "1 000 surrogates of 512 units x 10 000 bins, with their Fano factors",
        "Elephant, surrogates alone",
    ),
    (
        "populations",
        "All pairwise correlations, 512 units x 60 000 bins, rates 0.05 to 0.95",
        "elephant.spike_train_correlation.correlation_coefficient",
        "correlations of 512 units x 60 000 bins",
        "Elephant",
    ),
    (
        "populations",
        "All pairwise correlations, 512 units x 60 000 bins, rates 0.0 to 0.1",
        "elephant.spike_train_correlation.correlation_coefficient",
        "the same, rates below 0.1",
        "Elephant",
    ),
    (
        "start",
        "`import ann2neo`, whole process, warm",
        "`import neo`",
        "`import ann2neo`",
        "`import neo`",
    ),
)
"""Rows that the README shows: topic, measured thing, other side; and the README's words
for the last two.
"""


def results() -> dict[str, dict[str, Any]]:
    """All results by topic, in reading order."""
    files = {path.stem: path for path in RESULTS.glob("*.json")}
    names = [name for name in _ORDER if name in files] + sorted(
        set(files) - set(_ORDER)
    )
    return {name: json.loads(files[name].read_text(encoding="utf-8")) for name in names}


def full_tables() -> str:
    """All results as Markdown tables."""
    parts = []
    for result in results().values():
        rows = [_row(row) for row in result["rows"]]
        parts.append(
            f"## {result['title']}\n\n| measured | ours | other side | ratio | asked"
            " |\n|---|---|---|---|---|\n"
            + "\n".join(rows)
            + f"\n\n<sub>{_machine(result)}</sub>"
        )
    return "\n\n".join([_misses(), *parts])


def headline_table() -> str:
    """The rows of `HEADLINES`, and how many of the limits that were set are missed."""
    found = results()
    lines = ["| measured | ours | other side | ratio |", "|---|---|---|---|"]
    for topic, what, other, words, other_words in HEADLINES:
        rows = [
            row
            for row in found[topic]["rows"]
            if row["what"] == what and row["theirs_is"] == other
        ]
        if len(rows) != 1:
            raise ValueError(
                f"{len(rows)} rows of {topic} are {what!r} beside {other!r}; mend"
                " HEADLINES in table.py"
            )
        (row,) = rows
        scaled = ", scaled" if "scaled" in row["note"] else ""
        missed = (
            f", **missed** ({format_limit(row).removeprefix('ratio ')})"
            if row["met"] is False
            else ""
        )
        ours, theirs = (
            f"{_number(row[side])} {row['unit']}" for side in ("ours", "theirs")
        )
        lines.append(
            f"| {words} | {ours} | {theirs}, {other_words}{scaled} |"
            f" {_number(row['ratio'])}{missed} |"
        )
    asked, missed_rows = _limits()
    said = '"Scaled": measured on a few units, and multiplied. '
    if missed_rows:
        said += (
            f"{len(missed_rows)} of {len(asked)} limits set beforehand are"
            " [missed](docs/benchmarks.md#missed)"
        )
    else:
        said += f"All {len(asked)} limits set beforehand are met"
    return "\n".join(lines) + f"\n\n{said}; [all tables](docs/benchmarks.md)."


def _limits() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows with a limit, and those of them that miss it."""
    asked = [
        row
        for result in results().values()
        for row in result["rows"]
        if row["met"] is not None
    ]
    return asked, [row for row in asked if not row["met"]]


def _misses() -> str:
    asked, missed = _limits()
    lines = [f"- {format_row(row)}" for row in missed] or ["None."]
    return (
        f"## Missed\n\n{len(missed)} of {len(asked)} limits that were set"
        " beforehand.\n\n" + "\n".join(lines)
    )


def _row(row: dict[str, Any]) -> str:
    note = f" ({row['note']})" if row["note"] else ""
    theirs = (
        ""
        if row["theirs"] is None
        else f"{_number(row['theirs'])} {row['unit']}, {row['theirs_is']}"
    )
    ratio = "" if row["ratio"] is None else _number(row["ratio"])
    limit = (
        ""
        if row["met"] is None
        else format_limit(row) + ("" if row["met"] else " **missed**")
    )
    return (
        f"| {row['what']}{note} | {_number(row['ours'])} {row['unit']} | {theirs} |"
        f" {ratio} | {limit} |"
    )


def _machine(result: dict[str, Any]) -> str:
    machine = result["machine"]
    return (
        f"{machine['processor']}, {machine['cores']} cores, Python {machine['python']},"
        f" measured {machine['measured'][:10]} at {machine['commit']}"
    )


def updated(page: str, tables: str) -> str:
    """A page with these tables between its marks."""
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n\n{tables}\n\n{END}{after}"


if __name__ == "__main__":
    for path, tables in ((README, headline_table()), (PAGE, full_tables())):
        path.write_text(
            updated(path.read_text(encoding="utf-8"), tables), encoding="utf-8"
        )
