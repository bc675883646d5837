"""Put the measured results into the README, between its benchmark marks.

``python tests/benchmarks/table.py`` rewrites the README; a test holds the two together.
"""

from __future__ import annotations

import json
from pathlib import Path

from harness import RESULTS, _number, format_limit

README = Path(__file__).parents[2] / "README.md"
BEGIN, END = "<!-- benchmarks: begin -->", "<!-- benchmarks: end -->"
_ORDER = ("probe", "nwb", "analysis", "populations", "monitor", "start")


def tables() -> str:
    """All results as Markdown tables."""
    files = {path.stem: path for path in RESULTS.glob("*.json")}
    names = [name for name in _ORDER if name in files] + sorted(set(files) - set(_ORDER))
    parts = []
    for name in names:
        result = json.loads(files[name].read_text(encoding="utf-8"))
        parts.append(
            f"**{result['title']}**\n\n| measured | ours | other side | ratio | asked |\n|---|---|---|---|---|"
        )
        for row in result["rows"]:
            note = f" ({row['note']})" if row["note"] else ""
            theirs = "" if row["theirs"] is None else f"{_number(row['theirs'])} {row['unit']}, {row['theirs_is']}"
            ratio = "" if row["ratio"] is None else _number(row["ratio"])
            limit = "" if row["met"] is None else format_limit(row) + ("" if row["met"] else " **missed**")
            parts[-1] += (
                f"\n| {row['what']}{note} | {_number(row['ours'])} {row['unit']} | {theirs} | {ratio} | {limit} |"
            )
        machine = result["machine"]
        parts[-1] += f"\n\n<sub>{machine['processor']}, {machine['cores']} cores, Python {machine['python']}, "
        parts[-1] += f"measured {machine['measured'][:10]} at {machine['commit']}</sub>"
    return "\n\n".join(parts)


def updated(readme: str) -> str:
    """The README with the current tables."""
    before, rest = readme.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n\n{tables()}\n\n{END}{after}"


if __name__ == "__main__":
    README.write_text(updated(README.read_text(encoding="utf-8")), encoding="utf-8")
