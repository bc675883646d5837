"""Measure ours beside theirs in one run, and keep the result as JSON that two commits
can be compared by.

A benchmark is a script ``bench_TOPIC.py``; run it with ``python
tests/benchmarks/bench_TOPIC.py``. It writes ``results/TOPIC.json`` beside this file,
and ``table.py`` puts all results into the README.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
_PACKAGES = (
    "ann2neo",
    "elephant",
    "h5py",
    "jax",
    "keras",
    "neo",
    "numpy",
    "pynwb",
    "scipy",
    "statsmodels",
    "tensorflow",
    "torch",
    "torchvision",
)


@dataclasses.dataclass(frozen=True)
class Timing:
    """Wall-clock seconds of the repeats of one call, and what the last one returned."""

    seconds: tuple[float, ...]
    value: Any = dataclasses.field(repr=False, default=None)

    @property
    def median(self) -> float:
        """The middle repeat (the lower one of two)."""
        return sorted(self.seconds)[(len(self.seconds) - 1) // 2]

    @property
    def best(self) -> float:
        """The fastest repeat."""
        return min(self.seconds)


def measure(
    function: Callable[[], Any],
    *,
    repeat: int = 3,
    warmup: int = 1,
    before: Callable[[], Any] | None = None,
) -> Timing:
    """Call `function` a few times, after calls that do not count; `before` runs ahead
    of each and is not timed.
    """
    seconds, value = [], None
    for turn in range(warmup + repeat):
        if before is not None:
            before()
        value = None
        started = time.perf_counter()
        value = function()
        if turn >= warmup:
            seconds.append(time.perf_counter() - started)
    return Timing(tuple(seconds), value)


def measure_in_turn(
    functions: dict[str, Callable[[], Any]],
    *,
    repeat: int = 3,
    warmup: int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Timing]:
    """Measure several functions turn by turn, A B A B ..., so that a drifting machine
    is fair to all of them; by `time.process_time`, so that other work on it is left
    out.
    """
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for turn in range(warmup + repeat):
        for name, function in functions.items():
            started = clock()
            function()
            if turn >= warmup:
                seconds[name].append(clock() - started)
    return {name: Timing(tuple(values)) for name, values in seconds.items()}


@contextmanager
def pinned(threads: int = 1) -> Iterator[None]:
    """Give BLAS that many threads, so that ratios keep their meaning on a busy
    machine.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(threads, user_api="blas"):
        yield


def resident_mb() -> float:
    """Memory this process holds now, in MB (1e6 bytes); Linux."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def peak_above(
    function: Callable[[], Any], *, every: float = 0.002
) -> tuple[float, Any]:
    """Call `function` once and return how far memory rose above where it stood, in MB,
    and its value.
    """
    base, peak, done = resident_mb(), 0.0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.is_set():
            peak = max(peak, resident_mb())
            time.sleep(every)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        value = function()
    finally:
        done.set()
        watcher.join()
    return max(peak, resident_mb()) - base, value


def run_fresh(code: str, *, env: dict[str, str] | None = None) -> dict[str, Any]:
    """Run Python code in a fresh process from this folder; its last line of output,
    JSON, comes back as a dict.
    """
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent,
        env={**os.environ, **(env or {})},
    )
    value: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return value


class Report:
    """Rows of one benchmark: what was measured, ours, theirs, the ratio, and the limit
    it is held against.

    Parameters
    ----------
    topic : str
        Name of the result file.
    title : str
        Heading of its table.
    """

    def __init__(self, topic: str, title: str) -> None:
        self.topic, self.title = topic, title
        self.rows: list[dict[str, Any]] = []

    def row(
        self,
        what: str,
        ours: float,
        unit: str = "s",
        *,
        theirs: float | None = None,
        theirs_is: str = "",
        at_least: float | None = None,
        at_most: float | None = None,
        limit_on: str = "ratio",
        note: str = "",
    ) -> None:
        """Add a row and print it.

        Parameters
        ----------
        what : str
            What was measured, with its size.
        ours, theirs : float
            Both sides, in `unit`; ``ratio`` is theirs / ours.
        unit : str
            Unit of both.
        theirs_is : str
            Name of the other side.
        at_least, at_most : float, optional
            Limits on the ratio, or on our own value with ``limit_on="ours"``.
        note : str
            What a reader must know, for example "scaled from 4 units".
        """
        ratio = None if theirs is None else theirs / ours
        checked = ratio if limit_on == "ratio" else ours
        met = None
        if at_least is not None or at_most is not None:
            if checked is None:
                raise ValueError(f"{what}: a limit on the ratio needs the other side")
            met = (at_least is None or checked >= at_least) and (
                at_most is None or checked <= at_most
            )
        row = {
            "what": what,
            "ours": ours,
            "theirs": theirs,
            "unit": unit,
            "theirs_is": theirs_is,
            "ratio": ratio,
            "limit_on": limit_on,
            "at_least": at_least,
            "at_most": at_most,
            "met": met,
            "note": note,
        }
        self.rows.append(row)
        sys.stdout.write(format_row(row) + "\n")
        sys.stdout.flush()

    def save(self) -> Path:
        """Write ``results/TOPIC.json`` and return its path."""
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / f"{self.topic}.json"
        content = {
            "topic": self.topic,
            "title": self.title,
            "machine": _machine(),
            "rows": self.rows,
        }
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        return path


def format_row(row: dict[str, Any]) -> str:
    """One row as a line of text."""
    text = f"{row['what']}: {_number(row['ours'])} {row['unit']}"
    if row["theirs"] is not None:
        text += (
            f"; {row['theirs_is']} {_number(row['theirs'])} {row['unit']}; ratio"
            f" {_number(row['ratio'])}"
        )
    if row["met"] is not None:
        text += f" [{format_limit(row)}: {'met' if row['met'] else 'MISSED'}]"
    return text + (f" ({row['note']})" if row["note"] else "")


def format_limit(row: dict[str, Any]) -> str:
    """The limit of a row in words."""
    parts = [
        f"{words} {_number(row[key])}"
        for key, words in (("at_least", "≥"), ("at_most", "≤"))
        if row[key] is not None
    ]
    return ("" if row["limit_on"] == "ours" else "ratio ") + ", ".join(parts)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _machine() -> dict[str, Any]:
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "versions": versions,
        "commit": _commit(),
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names: Sequence[str] = [
        line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")
    ]
    return names[0] if names else platform.machine()


def _commit() -> str:
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        check=False,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent,
    )
    return done.stdout.strip() or "unknown"
