"""Dissimilarities beside rsatoolbox, and similarity of two large layers."""

from __future__ import annotations

import time

import numpy as np
from harness import Report, measure, measure_in_turn, peak_above, pinned

N_STIMULI, N_UNITS = 10_000, 512
SHARED = 6_000
"""Stimuli of the runs beside rsatoolbox, whose matrices of floats fit here."""
LAYER_STIMULI, LAYER_UNITS = 60_000, 4_096


def layer_of(n_stimuli: int, n_units: int, seed: int):
    """Units driven by ten common dimensions of the stimuli and by noise."""
    from ann2neo import Recording
    from ann2neo.raster import RasterBuilder
    from ann2neo.recording.tables import presentation_table

    rng, shared = np.random.default_rng(seed), np.random.default_rng(0)
    weights = rng.normal(size=(10, n_units)).astype(np.float32)
    builder = RasterBuilder(n_units, n_stimuli)
    step = 2048
    for first in range(0, n_stimuli, step):
        n = min(step, n_stimuli - first)
        drive = shared.normal(size=(n, 10)).astype(np.float32) @ weights
        builder.write(first, drive > rng.normal(size=(n, n_units)).astype(np.float32))
    table = presentation_table(n_stimuli, "recording", stimulus_id=range(n_stimuli))
    return Recording.from_raster(builder.build(), presentations=table)


def dissimilarity_rows(report: Report) -> None:
    """Condensed dissimilarities of 10 000 stimuli from the bits of 512 units."""
    from rsatoolbox.data import Dataset
    from rsatoolbox.rdm import calc_rdm

    from ann2neo import dissimilarities

    whole = layer_of(N_STIMULI, N_UNITS, 1)
    for name in ("correlation", "hamming", "euclidean"):
        ours = measure(lambda name=name: dissimilarities(whole, name))
        report.row(
            f"Dissimilarities ({name}) of 10 000 stimuli x 512 units, 50 million pairs",
            ours.median,
            at_most=3,
            limit_on="ours",
        )
    some = whole.select(presentations=np.arange(SHARED))
    data = Dataset(some.raster.to_dense().T.astype(np.float64))
    for name, theirs, limit in (
        ("correlation", "correlation", 20),
        ("euclidean", "euclidean", 4),
        ("hamming", "euclidean", 4),
    ):
        timings = measure_in_turn(
            {
                "ours": lambda name=name: dissimilarities(some, name),
                "theirs": lambda theirs=theirs: calc_rdm(data, method=theirs),
            }
        )
        expected = calc_rdm(data, method=theirs).dissimilarities[0]
        error = float(np.abs(dissimilarities(some, name).condensed - expected).max())
        report.row(
            f"Dissimilarities ({name}) of 6 000 stimuli x 512 units",
            timings["ours"].median,
            theirs=timings["theirs"].median,
            theirs_is=f"rsatoolbox calc_rdm, {theirs}",
            at_least=limit,
            note=f"largest difference {error:.0e}",
        )


def cka_rows(report: Report) -> None:
    """Unbiased CKA of two layers of 4 096 units for 60 000 stimuli."""
    from ann2neo import similarity

    pair = [layer_of(LAYER_STIMULI, LAYER_UNITS, seed) for seed in (1, 2)]
    what = "CKA of two layers of 4 096 units x 60 000 stimuli, with p-value, interval"
    started = time.process_time()
    timing = measure(lambda: similarity(*pair, "cka"), repeat=1, warmup=0)
    report.row(
        f"{what}: processor time",
        time.process_time() - started,
        at_most=25,
        limit_on="ours",
        note=f"all threads together; {timing.median:.0f} s by the clock",
    )
    peak, _ = peak_above(lambda: similarity(*pair, "cka"))
    report.row(
        f"{what}: memory",
        peak,
        unit="MB",
        at_most=2_000,
        limit_on="ours",
        note="above the two recordings",
    )


if __name__ == "__main__":
    result = Report("similarity", "Similarity")
    with pinned():
        dissimilarity_rows(result)
        cka_rows(result)
    result.save()
