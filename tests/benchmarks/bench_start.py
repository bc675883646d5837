"""How long it takes until ann2neo is there: the import, and the first word of the
command line.
"""

from __future__ import annotations

import subprocess
import sys

from harness import Report, measure_in_turn


def main() -> None:
    """Measure whole processes, beside an interpreter that imports nothing and one that
    imports Neo.
    """
    report = Report("start", "Starting")

    def run(*arguments: str) -> None:
        subprocess.run(
            [sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL
        )

    timings = measure_in_turn(
        {
            "nothing": lambda: run("-c", "pass"),
            "ann2neo": lambda: run("-c", "import ann2neo"),
            "neo": lambda: run("-c", "import neo"),
            "help": lambda: run("-m", "ann2neo", "--help"),
        },
        repeat=5,
    )
    seconds = {name: timing.median for name, timing in timings.items()}
    note = f"a Python that imports nothing takes {seconds['nothing']:.2g} s of each"
    report.row(
        "`import ann2neo`, whole process, warm",
        seconds["ann2neo"],
        theirs=seconds["neo"],
        theirs_is="`import neo`",
        at_most=0.6,
        limit_on="ours",
        note=note,
    )
    report.row(
        "`ann2neo --help`, whole process, warm",
        seconds["help"],
        at_most=1.0,
        limit_on="ours",
    )
    report.save()


if __name__ == "__main__":
    main()
