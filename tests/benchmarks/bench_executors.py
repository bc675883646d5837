"""Executors beside the plain call: two workers, one worker, Dask, and the price of a
task.

``python tests/benchmarks/bench_executors.py --units 1000 --bins 8000`` tries it with
less, and writes no result.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time
from concurrent.futures import Executor, ProcessPoolExecutor
from pathlib import Path

import numpy as np
from harness import Report, Timing, measure_in_turn

N_UNITS, N_TIME_BINS, N_TASKS = 21_632, 60_000, 10_000
BLOCK = 1024


def recording_in_folder(folder: Path, n_units: int, n_time_bins: int):
    """Synthetic units that fire in a quarter of the bins, memory-mapped."""
    from ann2neo import Recording
    from ann2neo.raster import SpikeRaster
    from ann2neo.recording.folder import UnfinishedFolder

    rng = np.random.default_rng(0)
    n_bytes = -(-n_time_bins // 8)
    unfinished = UnfinishedFolder(folder, {}, n_units, n_time_bins)
    for start in range(0, n_units, BLOCK):
        rows = min(BLOCK, n_units - start)
        bits = np.frombuffer(rng.bytes(2 * rows * n_bytes), np.uint8)
        both = (bits[: rows * n_bytes] & bits[rows * n_bytes :]).reshape(rows, n_bytes)
        # Zeros behind the last bin.
        both[:, -1] &= (1 << (8 - (-n_time_bins) % 8)) - 1
        unfinished.bits[start : start + rows, : both.shape[1]] = both
    raster = SpikeRaster(unfinished.bits, n_units, n_time_bins)
    unfinished.finish(Recording.from_raster(raster, order="random"))
    return Recording.open(folder)


def nothing(number: int) -> int:
    """Do what costs nothing, so that only the way there and back does."""
    return number


def seconds_of_tasks(executor: Executor | None, n_tasks: int) -> float:
    """Seconds of so many tasks that do nothing."""
    from ann2neo._parallel import Task, map_tasks

    tasks = (Task(f"task {number}", (number,)) for number in range(n_tasks))
    started = time.perf_counter()
    count = sum(1 for _ in map_tasks(nothing, tasks, executor))
    assert count == n_tasks
    return time.perf_counter() - started


def analysis_rows(report: Report, size: str, times: dict[str, Timing]) -> None:
    """Two workers beside one, beside the plain call, and Dask beside processes."""
    best = {name: timing.best for name, timing in times.items()}
    for theirs, theirs_is, limit in (
        ("one", "one process, one thread", 1.7),
        ("plain", "the plain call", 1.0),
    ):
        report.row(
            f"{size}, two processes",
            best["two"],
            theirs=best[theirs],
            theirs_is=theirs_is,
            at_least=limit,
            note=f"best of {len(times['two'].seconds)}",
        )
    report.row(
        f"{size}, Dask's LocalCluster of two processes",
        best["dask"],
        theirs=best["two"],
        theirs_is="a pool of two processes",
        at_least=1 / 1.2,
        note=f"best of {len(times['dask'].seconds)}",
    )


def constant_rows(
    report: Report, size: tuple[int, int], one: dict[str, Timing]
) -> None:
    """The constants of the cost model, of one thread."""
    n_units, n_time_bins = size
    report.row(
        "battery, one thread, per unit and bin",
        1e9 * one["battery"].best / (n_units * n_time_bins),
        unit="ns",
    )
    pairs = n_units * (n_units - 1) / 2
    report.row(
        "correlations, one thread, pairs times bins in a second",
        pairs * n_time_bins / one["correlations"].best / 1e9,
        unit="billion",
    )


def task_rows(report: Report, executors: dict[str, Executor], n_tasks: int) -> None:
    """The price of a task that does nothing."""
    for name, executor in executors.items():
        seconds_of_tasks(executor, 100)
        seconds = seconds_of_tasks(executor, n_tasks)
        report.row(f"{n_tasks:,} tasks that do nothing, {name}", seconds)
        report.row(
            f"one of those tasks, {name}",
            1000 * seconds / n_tasks,
            unit="ms",
            at_most=20,
            limit_on="ours",
        )


def main(n_units: int, n_time_bins: int, n_tasks: int) -> Report:
    """Measure all rows."""
    from distributed import Client, LocalCluster

    import ann2neo

    report = Report("executors", "Executors")
    spawn = multiprocessing.get_context("spawn")
    with (
        tempfile.TemporaryDirectory() as folder,
        ProcessPoolExecutor(1, spawn) as one,
        ProcessPoolExecutor(2, spawn) as two,
        LocalCluster(2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        recording = recording_in_folder(Path(folder, "f"), n_units, n_time_bins)
        executors = {
            "plain": None,
            "one": one,
            "two": two,
            "dask": client.get_executor(pure=False),
        }
        size = f"{n_units:,} units x {n_time_bins:,} bins"
        functions = {"battery": ann2neo.analyze, "correlations": ann2neo.correlations}
        of_one = {}
        for name, function in functions.items():
            times = measure_in_turn(
                {
                    place: lambda f=function, e=executor: f(recording, executor=e)
                    for place, executor in executors.items()
                }
            )
            analysis_rows(report, f"{name}, {size}", times)
            of_one[name] = times["one"]
        constant_rows(report, (n_units, n_time_bins), of_one)
        named = {
            "this process": executors["plain"],
            "a pool of two processes": two,
            "Dask's LocalCluster": executors["dask"],
        }
        task_rows(report, named, n_tasks)
    return report


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--units", type=int, default=N_UNITS)
    parser.add_argument("--bins", type=int, default=N_TIME_BINS)
    parser.add_argument("--tasks", type=int, default=N_TASKS)
    chosen = parser.parse_args()
    result = main(chosen.units, chosen.bins, chosen.tasks)
    if (chosen.units, chosen.bins, chosen.tasks) == (N_UNITS, N_TIME_BINS, N_TASKS):
        result.save()
