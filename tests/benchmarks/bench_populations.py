"""Surrogates and populations beside Elephant: 1 000 surrogates of the Fano factor, all
pairwise correlations.
"""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import quantities as pq
from harness import Report, measure, measure_in_turn, peak_above, pinned

N_UNITS = 512
TIMED_UNITS = 8
TIMED_SURROGATES = 5


def recording_of(
    n_units: int,
    n_time_bins: int,
    seed: int,
    between: tuple[float, float] = (0.05, 0.95),
):
    """Independent units of rates between two limits."""
    from ann2neo import Recording
    from ann2neo.raster import RasterBuilder

    rng = np.random.default_rng(seed)
    rates = rng.uniform(*between, n_units).astype(np.float32)
    builder = RasterBuilder(n_units, n_time_bins)
    step = 1024
    for first in range(0, n_time_bins, step):
        builder.write(
            first,
            rng.random((min(step, n_time_bins - first), n_units), dtype=np.float32)
            < rates,
        )
    return Recording.from_raster(builder.build())


def surrogate_rows(report: Report) -> None:
    """1 000 bin-permutation surrogates of the Fano factor of 512 units x 10 000
    bins.
    """
    from elephant.spike_train_surrogates import shuffle_isis
    from elephant.statistics import fanofactor

    from ann2neo import surrogate_test
    from ann2neo.raster.spiketrains import to_spiketrains

    recording = recording_of(N_UNITS, 10_000, 0)
    with warnings.catch_warnings():
        # 1 000 are too few for the correction over 512 units, which is not what is
        # measured here.
        warnings.simplefilter("ignore")
        ours = measure(
            lambda: surrogate_test(recording, "fano_factor", n_surrogates=1000, seed=0)
        ).median
    order = np.argsort(recording.raster.spike_counts())
    units = order[np.linspace(0, N_UNITS - 1, TIMED_UNITS).round().astype(int)]
    trains = to_spiketrains(recording.raster, units)
    edges = np.arange(101) * 0.1 * pq.s

    def shuffled():
        return [shuffle_isis(train, n_surrogates=TIMED_SURROGATES) for train in trains]

    def fano():
        for drawn in shuffled():
            for train in drawn:
                fanofactor(
                    [train.time_slice(a, b) for a, b in itertools.pairwise(edges)]
                )

    scale = N_UNITS * 1000 / (TIMED_UNITS * TIMED_SURROGATES)
    note = (
        f"Elephant scaled from {TIMED_UNITS} units x {TIMED_SURROGATES} surrogates;"
        " ours measured whole"
    )
    what = (
        "1 000 bin-permutation surrogates of the Fano factor, 512 units x 10 000 bins"
    )
    report.row(
        what,
        ours,
        theirs=measure(fano).median * scale,
        theirs_is="Elephant shuffle_isis and fanofactor over windows",
        at_least=50,
        note=note,
    )
    report.row(
        what,
        ours,
        theirs=measure(shuffled).median * scale,
        theirs_is="Elephant shuffle_isis alone",
        at_least=10,
        note=note,
    )


def without_numkong(function):
    """Call a function as if the extra "fast" were not installed."""
    from functools import partial
    from unittest.mock import patch

    from ann2neo.raster.joint import joint_counts

    plain = partial(joint_counts, use_numkong=False)
    with patch("ann2neo.raster.spike_raster.joint_counts", plain):
        return function()


def correlation_rows(report: Report) -> None:
    """All pairwise correlations of 512 units x 60 000 bins, and of more units than
    Elephant's dense matrix can hold.
    """
    from elephant.conversion import BinnedSpikeTrain
    from elephant.spike_train_correlation import correlation_coefficient

    from ann2neo import correlation_matrix, correlations
    from ann2neo.raster.spiketrains import to_spiketrains

    for seed, rates in ((1, (0.05, 0.95)), (2, (0.0, 0.1))):
        recording = recording_of(N_UNITS, 60_000, seed, rates)
        binned = BinnedSpikeTrain(to_spiketrains(recording.raster), bin_size=1 * pq.ms)
        both = {
            "ours": lambda r=recording: correlation_matrix(r),
            "without": lambda r=recording: without_numkong(
                lambda: correlation_matrix(r)
            ),
            "theirs": lambda b=binned: correlation_coefficient(b),
        }
        timed = measure_in_turn(both, repeat=15)
        what = (
            f"All pairwise correlations, 512 units x 60 000 bins, rates {rates[0]} to"
            f" {rates[1]}"
        )
        against = {
            "theirs": timed["theirs"].best,
            "theirs_is": "elephant.spike_train_correlation.correlation_coefficient",
        }
        started = "best of 15 turns; Elephant starts from the BinnedSpikeTrain"
        report.row(
            what,
            timed["ours"].best,
            **against,
            at_least=20,
            note=f"with the extra `fast`; {started}",
        )
        report.row(
            f"{what}, NumPy alone", timed["without"].best, **against, note=started
        )
        difference = float(np.abs(both["ours"]() - both["theirs"]()).max())
        report.row(
            "Largest difference of the two matrices",
            difference,
            unit="",
            at_most=1e-12,
            limit_on="ours",
        )
    many = recording_of(4096, 60_000, 2)
    report.row(
        "All pairwise correlations, 4 096 units x 60 000 bins",
        measure(lambda: correlations(many), repeat=1).median,
        at_most=60,
        limit_on="ours",
    )


def whole_layer_rows(report: Report) -> None:
    """A convolution's 21 632 units, streamed."""
    from ann2neo import correlations

    layer = recording_of(21_632, 60_000, 3)
    started = measure(
        lambda: peak_above(lambda: correlations(layer), every=0.05), repeat=1, warmup=0
    )
    megabytes, found = started.value
    report.row(
        "Correlations of all 233 961 896 pairs, 21 632 units x 60 000 bins",
        started.median,
    )
    report.row("Memory of the same, above its bits", megabytes, unit="MB")
    if found.n_pairs != 21_632 * 21_631 // 2:
        raise RuntimeError(f"{found.n_pairs} pairs were counted")


def process_rows(report: Report) -> None:
    """Fits and selectivity of a whole layer."""
    from ann2neo import Recording, fit_processes, selectivity

    recording = recording_of(N_UNITS, 60_000, 4)
    report.row(
        "Four processes fitted, 512 units x 60 000 bins",
        measure(lambda: fit_processes(recording), repeat=2).median,
    )
    labels = np.random.default_rng(5).integers(0, 10, 60_000)
    labelled = Recording.from_activations(
        recording.raster.to_dense().T, 0.5, labels=labels
    )
    report.row(
        "Selectivity and information with 999 permutations, 512 units x 60 000"
        " presentations",
        measure(lambda: selectivity(labelled, seed=0), repeat=2).median,
    )


if __name__ == "__main__":
    result = Report("populations", "Surrogates, processes and populations")
    with pinned():
        surrogate_rows(result)
        correlation_rows(result)
        process_rows(result)
        whole_layer_rows(result)
    result.save()
