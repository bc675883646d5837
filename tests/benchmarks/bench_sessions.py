"""A session of 35 units x 2.8 million bins at 1 to 20 Hz: surrogate tests and fitted
processes beside the same going through all bins.

The other side is how it was done before spikes were few enough to be looked at one by
one: small functions here, measured in the same run.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from harness import Report, measure

from ann2neo import Recording, SpikeRaster, fit_processes, surrogate_test
from ann2neo.analysis.units.dispersion import unbiased_fano_values

N_UNITS, N_BINS = 35, 2_800_000
N_SURROGATES, TIMED_SURROGATES, TIMED_UNITS = 99, 3, 3
WINDOW, LAGS = 100, 10
SHAPE = f"{N_UNITS} units x {N_BINS:,} bins at 1 to 20 Hz"


def session() -> Recording:
    """Independent units of rates from 1 to 20 Hz in bins of 1 ms."""
    rng = np.random.default_rng(0)
    rates = np.linspace(0.001, 0.02, N_UNITS)
    trains = [np.flatnonzero(rng.random(N_BINS) < rate) for rate in rates]
    # From bits, as a file gives them.
    raster = SpikeRaster.from_spike_bins(trains, N_BINS)
    return Recording.from_raster(SpikeRaster(raster.bits, *raster.shape))


def tested(recording: Recording, statistic: str, **options: Any) -> Callable[[], Any]:
    """A surrogate test whose warning about few surrogates is left aside."""

    def call() -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return surrogate_test(
                recording, statistic, n_surrogates=N_SURROGATES, seed=0, **options
            )

    return call


# -- the same by bins
# --------------------------------------------------------------------------------------


def fano_by_bins(raster: SpikeRaster) -> None:
    """Draw Fano factors from random orders of all bins."""
    n, spikes = N_BINS // WINDOW, raster.spike_counts()
    rises = np.tile(2 * np.arange(WINDOW) + 1, n)
    for seed in range(TIMED_SURROGATES):
        turn = np.random.default_rng(seed).permutation(N_BINS) + 1
        drawn = np.sort(turn[: n * WINDOW].reshape(n, WINDOW), axis=1).ravel()
        rise, hits = np.zeros((2, N_BINS + 1), np.int64)
        rise[drawn], hits[drawn] = rises, 1
        squares, counted = np.cumsum(rise)[spikes], np.cumsum(hits)[spikes]
        unbiased_fano_values(squares, counted, n)


def spikes_by_bins(raster: SpikeRaster, unit: int) -> np.ndarray[Any, Any]:
    """Find the spikes of a unit among all its bins."""
    row = np.unpackbits(raster.bits[unit], bitorder="little", count=N_BINS)
    return np.flatnonzero(row)


def cv2_by_bins(raster: SpikeRaster) -> None:
    """Shuffle intervals, pack all bins, find the spikes again, and compute CV2."""
    rng = np.random.default_rng(0)
    for _ in range(TIMED_SURROGATES):
        dense = np.zeros((N_UNITS, N_BINS), bool)
        for unit in range(N_UNITS):
            steps = np.diff(spikes_by_bins(raster, unit), prepend=-1)
            dense[unit, np.cumsum(rng.permutation(steps)) - 1] = True
        drawn = SpikeRaster.from_dense(dense)
        for unit in range(N_UNITS):
            bins = spikes_by_bins(drawn, unit)
            steps = np.diff(bins)
            np.abs((steps[1:] - steps[:-1]) / (bins[2:] - bins[:-2])).mean()


def residuals_by_bins(raster: SpikeRaster) -> None:
    """Check residuals of three processes, each lag through a whole train."""
    for unit in range(TIMED_UNITS):
        x = raster.take(units=[unit]).to_dense()
        p = x.mean()
        before = np.cumsum(x, axis=1, dtype=np.int32) - x
        place = np.arange(N_BINS) % WINDOW
        in_window = before - before[:, np.arange(N_BINS) - place]
        past = np.zeros_like(x)
        past[:, 1:] = x[:, :-1]
        for expected in (
            np.broadcast_to(p, x.shape),
            (p + in_window * 0.001) / (1.0 + place * 0.001),
            np.where(past, 1.1 * p, 0.99 * p),
        ):
            variance = expected * (1.0 - expected)
            possible = variance > 1e-12
            residual = np.where(possible, x - expected, 0.0)
            residual /= np.sqrt(np.where(possible, variance, 1.0))
            centred = residual - residual.mean(axis=1, keepdims=True)
            for lag in range(1, LAGS + 1):
                np.einsum("ut,ut->u", centred[:, lag:], centred[:, :-lag])
            residual.reshape(1, -1, WINDOW).sum(axis=2)


if __name__ == "__main__":
    recording = session()
    raster = recording.raster
    report = Report("sessions", f"A session of {SHAPE}")
    scaled = N_SURROGATES / TIMED_SURROGATES
    note = f"by bins scaled from {TIMED_SURROGATES} surrogates"
    report.row(
        f"{N_SURROGATES} bin-permutation surrogates of the Fano factor, {SHAPE}",
        measure(tested(recording, "fano")).median,
        theirs=measure(lambda: fano_by_bins(raster), repeat=1).median * scaled,
        theirs_is="a random order of all bins",
        at_most=3.0,
        limit_on="ours",
        note=note,
    )
    report.row(
        f"{N_SURROGATES} surrogates of shuffled intervals and their CV2, {SHAPE}",
        measure(tested(recording, "cv2", method="isi_shuffle")).median,
        theirs=measure(lambda: cv2_by_bins(raster), repeat=1).median * scaled,
        theirs_is="trains packed and unpacked",
        at_most=3.0,
        limit_on="ours",
        note=note,
    )
    report.row(
        f"`fit_processes`, {SHAPE}",
        measure(lambda: fit_processes(recording), repeat=2).median,
        theirs=measure(lambda: residuals_by_bins(raster), repeat=1).median
        * (N_UNITS / TIMED_UNITS),
        theirs_is="residuals of whole trains, lag by lag",
        at_most=5.0,
        limit_on="ours",
        note=f"by bins scaled from {TIMED_UNITS} units, without the fits",
    )
    report.save()
