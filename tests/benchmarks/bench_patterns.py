"""Patterns beside scikit-learn: nearest ones by Hamming distance, and all pairs."""

from __future__ import annotations

import time

import numpy as np
from harness import Report, measure

N_TRAINING, N_TEST, N_UNITS, K = 60_000, 10_000, 512, 10
TIMED_QUERIES = 64


def recording_of(n_time_bins: int, seed: int):
    """Units of different rates, whose samples come in ten classes."""
    from ann2neo import Recording
    from ann2neo.raster import SpikeRaster

    rates = np.random.default_rng(0).uniform(0.02, 0.6, (N_UNITS, 10))
    rng = np.random.default_rng(seed)
    labels = rng.integers(10, size=n_time_bins)
    bits = rng.random((N_UNITS, n_time_bins), np.float32) < rates[:, labels]
    return Recording.from_raster(SpikeRaster.from_dense(bits))


def timed(function):
    """Return wall-clock seconds (median of 3), a note with those of all cores, and the
    value.
    """
    started = time.process_time()
    timing = measure(function, warmup=1)
    cpu = (time.process_time() - started) / 4
    return timing.median, f"{cpu:.2f} s of processor time", timing.value


def nearest_rows(report: Report) -> None:
    """10 nearest of 60 000 training patterns for 10 000 test patterns."""
    from sklearn.neighbors import NearestNeighbors

    from ann2neo.raster.hamming import hamming_nearest
    from ann2neo.raster.patterns import patterns_of

    training, test = recording_of(N_TRAINING, 1), recording_of(N_TEST, 2)
    what = "10 nearest of 60 000 patterns for 10 000 patterns, 512 units"

    def found(*, use_numkong: bool):
        return hamming_nearest(
            patterns_of(test.raster),
            patterns_of(training.raster),
            K,
            use_numkong=use_numkong,
        )

    with_fast, note, ours = timed(lambda: found(use_numkong=True))
    report.row(
        what, with_fast, at_most=10, limit_on="ours", note=f"extra `fast`; {note}"
    )
    numpy_alone, note, same = timed(lambda: found(use_numkong=False))
    report.row(
        f"{what}, NumPy alone", numpy_alone, at_most=20, limit_on="ours", note=note
    )
    dense, queries = (r.raster.to_dense().T for r in (training, test))
    brute = NearestNeighbors(n_neighbors=K, algorithm="brute", metric="hamming")
    brute.fit(dense)
    some = queries[:TIMED_QUERIES]
    theirs = measure(lambda: brute.kneighbors(some), repeat=1)
    report.row(
        what,
        with_fast,
        theirs=theirs.median * N_TEST / TIMED_QUERIES,
        theirs_is="sklearn NearestNeighbors, brute, Hamming",
        at_least=20,
        note=f"scikit-learn scaled from {TIMED_QUERIES} patterns",
    )
    squared = NearestNeighbors(
        n_neighbors=K, algorithm="brute", metric="sqeuclidean", n_jobs=-1
    ).fit(dense.astype(np.float32))
    numbers = queries.astype(np.float32)
    whole = measure(lambda: squared.kneighbors(numbers), repeat=1, warmup=0)
    for name, seconds in (("", with_fast), (", NumPy alone", numpy_alone)):
        report.row(
            f"{what}{name}",
            seconds,
            theirs=whole.median,
            theirs_is="sklearn NearestNeighbors, squared Euclidean on 0/1 float32",
        )
    # Squared Euclidean distances of zeros and ones are Hamming distances.
    wrong = {
        "NumPy alone": int((np.array(ours) != np.array(same)).sum()),
        "scikit-learn, Hamming": int(
            (np.rint(theirs.value[0] * N_UNITS) != ours[1][:TIMED_QUERIES]).sum()
        ),
        "scikit-learn, squared Euclidean": int(
            (np.rint(whole.value[0]) != ours[1]).sum()
        ),
    }
    for other, n_wrong in wrong.items():
        report.row(
            f"Distances that differ from those of {other}",
            n_wrong,
            unit="",
            at_most=0,
            limit_on="ours",
        )


def pattern_rows(report: Report) -> None:
    """Unique patterns, mean distance, and the sum over all pairs."""
    from ann2neo import patterns

    recording = recording_of(N_TRAINING, 1)
    some, note, _ = timed(
        lambda: patterns(recording, statistics=["redundancy", "mean_distance"])
    )
    report.row(
        "Unique patterns and mean distance, 60 000 x 512",
        some,
        at_most=0.3,
        limit_on="ours",
        note=note,
    )
    pairs, note, _ = timed(lambda: patterns(recording))
    report.row(
        "All statistics of patterns, 1.8 billion pairs, 60 000 x 512", pairs, note=note
    )


if __name__ == "__main__":
    result = Report("patterns", "Patterns")
    nearest_rows(result)
    pattern_rows(result)
    result.save()
