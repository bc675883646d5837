"""Recordings, calls and functions that other processes can import."""

import os
import signal
import time

import numpy as np
import pandas as pd

import ann2neo
from ann2neo import Recording, SpikeRaster


def trials(n_units=70, n_trials=60, length=20, seed=0):
    """Trials of three labels in two phases, with bins between them and silent units."""
    rng = np.random.default_rng(seed)
    starts = np.arange(n_trials) * (length + 3)
    rates = rng.uniform(0.02, 0.5, (n_units, 1))
    rates[[3, n_units - 1]] = 0
    bits = rng.random((n_units, starts[-1] + length)) < rates
    table = pd.DataFrame(
        {
            "start_bin": starts,
            "stop_bin": starts + length,
            "phase": np.where(np.arange(n_trials) < n_trials // 2, "train", "test"),
            "label": np.arange(n_trials) % 3,
        }
    )
    return Recording(
        SpikeRaster.from_dense(bits),
        pd.DataFrame(index=range(n_units)),
        table,
        segments=table[["start_bin", "stop_bin", "phase"]].assign(order="stored"),
    )


def with_stimuli(recording, n_stimuli):
    """The same trials, each phase of which shows some stimuli in turn."""
    table = recording.presentations
    stimulus = np.arange(len(table)) % n_stimuli
    return recording.with_presentations(
        table.assign(stimulus_id=stimulus, label=stimulus % 3)
    )


def halves(recording):
    """Both phases of a recording, whose trials show the same 15 stimuli twice."""
    shown = with_stimuli(recording, 15)
    return shown.select(phase="train"), shown.select(phase="test")


def as_table(result):
    """Everything that a result holds, one value per row."""
    return pd.Series(vars(result)).map(np.ravel).explode().to_frame()


def mean_count(rasters):
    """Return the mean number of spikes of a unit in each segment."""
    return float(np.mean([raster.spike_counts().mean() for raster in rasters]))


CALLS = {
    "analyze": lambda r, e: ann2neo.analyze(r, executor=e),
    "analyze, reference": lambda r, e: ann2neo.analyze(
        r.select(units=range(3)), engine="reference", executor=e
    ),
    "analyze_trials": lambda r, e: ann2neo.analyze_trials(
        r.select(units=range(6)), by="label", lags=3, executor=e
    ),
    "change_points": lambda r, e: (
        ann2neo.change_points(r, [8], n_surrogates=20, executor=e).units
    ),
    "compare_patterns": lambda r, e: (
        ann2neo.compare_patterns(
            r.select(phase="train"),
            r.select(phase="test"),
            n_permutations=70,
            seed=1,
            executor=e,
        ).summary
    ),
    "correlations": lambda r, e: as_table(
        ann2neo.correlations(r, phase="train", executor=e)
    ),
    "decode_labels": lambda r, e: ann2neo.decode_labels(
        *halves(r), n_folds=3, n_permutations=9, seed=1, executor=e
    ),
    "dissimilarities": lambda r, e: as_table(
        ann2neo.dissimilarities(
            with_stimuli(r, 15), "crossvalidated", phase="train", executor=e
        )
    ),
    "fit_processes": lambda r, e: ann2neo.fit_processes(r, executor=e),
    "nearest_patterns": lambda r, e: pd.DataFrame(
        ann2neo.nearest_patterns(
            r, k=3, phase="test", training_phase="train", executor=e
        ).neighbours
    ),
    "network_test": lambda r, e: ann2neo.network_test(r, 19, seed=1, executor=e),
    "out_of_distribution_scores": lambda r, e: ann2neo.out_of_distribution_scores(
        r,
        r,
        predictions=np.arange(600) % 3,
        phase="test",
        training_phase="train",
        executor=e,
    ),
    "patterns": lambda r, e: ann2neo.patterns(r, executor=e),
    "selectivity": lambda r, e: ann2neo.selectivity(
        r, n_permutations=19, seed=1, executor=e
    ),
    "similarity": lambda r, e: ann2neo.similarity(
        *halves(r), n_permutations=70, seed=1, executor=e
    ),
    "similarity of many items": lambda r, e: ann2neo.similarity(
        *halves(r), most_items=8, n_permutations=70, seed=1, executor=e
    ),
    "summarize_populations": lambda r, e: ann2neo.summarize_populations(
        r, n_permutations=19, seed=1, executor=e
    ),
    "surrogate_test": lambda r, e: ann2neo.surrogate_test(
        r, "cv2", n_surrogates=40, seed=1, executor=e
    ),
    "surrogate_test of fano": lambda r, e: ann2neo.surrogate_test(
        r, "fano", n_surrogates=40, window=5, seed=1, executor=e
    ),
    "surrogate_test of a function": lambda r, e: ann2neo.surrogate_test(
        r, mean_count, method="within_label", n_surrogates=10, seed=1, executor=e
    ),
}
"""What takes an executor, by name; each returns a table."""


def die_in(process, number):
    """End this process as if it were killed, unless it is `process`; else double."""
    if os.getpid() != process and number == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return 2 * number


def fail_at_three(number):
    """Fail for one number, else return it."""
    if number == 3:
        raise ZeroDivisionError("three")
    return number


def slowly(number, seconds):
    """Return the number after a while."""
    time.sleep(seconds)
    return number


def process_after(number, seconds):
    """Return this process after a while."""
    slowly(number, seconds)
    return os.getpid()


def opened(carried):
    """Count the spikes of a raster that was sent here."""
    return carried.open().spike_counts().tolist()


def die_unless_in(process):
    """End this process as if it were killed, unless it is `process`."""
    if os.getpid() != process:
        os.kill(os.getpid(), signal.SIGKILL)
