"""Statistics of 256 units in 10 000 trials of 100 steps, beside Elephant's PSTHs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import quantities as pq
from harness import Report, measure, pinned

N_UNITS, N_TRIALS, N_STEPS = 256, 10_000, 100
TIMED_UNITS = 2


def recording_of_trials(
    seed: int, n_units: int = N_UNITS, low: float = 0.05, high: float = 0.6
):
    """Units with a PSTH of their own, in trials of ten labels, one segment each."""
    from ann2neo import Recording
    from ann2neo.raster import RasterBuilder

    rng = np.random.default_rng(seed)
    builder = RasterBuilder(n_units, N_TRIALS * N_STEPS)
    rates = rng.uniform(low, high, (N_STEPS, n_units)).astype(np.float32)
    for trial in range(0, N_TRIALS, 100):
        drawn = rng.random((100, N_STEPS, n_units), dtype=np.float32) < rates
        builder.write(trial * N_STEPS, drawn.reshape(-1, n_units))
    start = np.arange(N_TRIALS) * N_STEPS
    place = {"start_bin": start, "stop_bin": start + N_STEPS, "phase": "trials"}
    presentations = pd.DataFrame({**place, "kind": "trials"})
    presentations["label"] = rng.integers(0, 10, N_TRIALS)
    segments = pd.DataFrame({**place, "order": "random", "t_start": 0.0})
    return Recording(
        builder.build(),
        pd.DataFrame(index=range(n_units)),
        presentations.astype({"phase": "str", "kind": "str"}),
        segments=segments,
    )


def psth_row(report: Report, recording) -> None:
    """PSTHs of all units beside Elephant's time histogram of the same trials."""
    from elephant.statistics import time_histogram

    from ann2neo import psth, to_neo

    ours = measure(lambda: psth(recording))
    block = to_neo(recording.select(units=range(TIMED_UNITS)))
    trains = [
        [segment.spiketrains[unit] for segment in block.segments]
        for unit in range(TIMED_UNITS)
    ]

    def histograms():
        return [time_histogram(train, 1 * pq.ms, output="rate") for train in trains]

    theirs = measure(histograms, repeat=1, warmup=0)
    for unit, histogram in enumerate(theirs.value):
        np.testing.assert_allclose(
            ours.value[:, unit], histogram.rescale("Hz").magnitude[:, 0], rtol=1e-9
        )
    report.row(
        f"PSTHs, {N_UNITS} units x {N_TRIALS:,} trials x {N_STEPS} steps",
        ours.median,
        theirs=theirs.median * N_UNITS / TIMED_UNITS,
        theirs_is="Elephant time_histogram",
        at_least=200,
        note=(
            f"Elephant scaled from {TIMED_UNITS} units, their trains already made; ours"
            " measured whole, and equal"
        ),
    )


def statistics_rows(report: Report, recording) -> None:
    """All statistics of trials where chi-square is valid, and noise correlations."""
    from ann2neo import analyze_trials, correlations

    table = analyze_trials(recording, progress=False)
    assert (table["serial_correlation_method"] == "chi-square").all()
    for what, function, limit in (
        (
            "All statistics of trials",
            lambda: analyze_trials(recording, progress=False),
            15,
        ),
        (
            "The same label by label",
            lambda: analyze_trials(recording, by="label", progress=False),
            None,
        ),
        (
            "Correlations with noise and signal",
            lambda: correlations(recording),
            None,
        ),
    ):
        seconds = measure(function, repeat=1).median
        size = f"{N_UNITS} units x {N_TRIALS:,} trials x {N_STEPS} steps"
        report.row(f"{what}, {size}", seconds, at_most=limit, limit_on="ours")


def rotation_row(report: Report) -> None:
    """Serial correlation of sparse units, by rotations of trials."""
    from ann2neo import analyze_trials

    n_units = 16
    sparse = recording_of_trials(1, n_units, 0.002, 0.004)

    def analysed():
        return analyze_trials(sparse, statistics="serial_correlation", progress=False)

    timing = measure(analysed, repeat=1)
    assert (timing.value["serial_correlation_method"] == "rotation").all()
    report.row(
        f"Serial correlation by rotations, per unit, {N_TRIALS:,} trials x"
        f" {N_STEPS} steps",
        timing.median / n_units,
        note="16 units, each with a spike in 0.3 % of its bins",
    )


if __name__ == "__main__":
    result = Report("trials", "Trials")
    trials = recording_of_trials(0)
    with pinned():
        psth_row(result, trials)
        statistics_rows(result, trials)
        rotation_row(result)
    result.save()
