"""Elephant's surrogates by name, from one seed and with spikes put back on the grid."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import RLock
from typing import Any

import numpy as np
import quantities as pq

from ann2neo.analysis._entry import IntArray
from ann2neo.raster import SegmentedRaster, SpikeRaster
from ann2neo.raster.spiketrains import to_spiketrains

__all__ = ["DITHERED", "ELEPHANT_METHODS", "elephant_drawer", "seeded_globals"]

DITHERED = (
    "dither_spikes",
    "dither_spike_train",
    "jitter_spikes",
    "bin_shuffling",
    "joint_isi_dithering",
    "isi_dithering",
)
"""Methods that move spikes by no more than a given time."""
ELEPHANT_METHODS = (*DITHERED, "randomise_spikes", "shuffle_isis")

_GENERATORS = RLock()
_EDGE = 1e-6
"""Tolerance at the left edge of a bin, as a share of it: sums of intervals round."""


@contextmanager
def seeded_globals(seed: np.random.SeedSequence | None = None) -> Iterator[None]:
    """Restore NumPy's and Python's global generators afterwards, whatever happens.

    Other threads that draw from them here wait meanwhile.

    Parameters
    ----------
    seed : numpy.random.SeedSequence, optional
        Source of seeds for both generators; they are not seeded if not given.
    """
    with _GENERATORS:
        numpy_state = np.random.get_state()  # noqa: NPY002
        python_state = random.getstate()
        try:
            if seed is not None:
                for_numpy, for_python = seed.generate_state(2).tolist()
                np.random.seed(for_numpy)  # noqa: NPY002
                random.seed(for_python)
            yield
        finally:
            np.random.set_state(numpy_state)  # noqa: NPY002
            random.setstate(python_state)


def elephant_drawer(
    segments: SegmentedRaster, method: str, dither: float
) -> Callable[[np.random.SeedSequence], tuple[SpikeRaster, int]]:
    """Return a function that draws surrogates with one of Elephant's methods.

    Parameters
    ----------
    segments : SegmentedRaster
        The spikes of one phase; each segment has surrogates of its own.
    method : str
        One of `ELEPHANT_METHODS`.
    dither : float
        Time in seconds, for methods in `DITHERED`.

    Returns
    -------
    function of SeedSequence
        Returns the surrogate on the grid, and the number of spikes that left their
        segment or fell into an occupied bin.
    """
    raster = segments.raster
    # Functions that draw the trains of a segment, one list per segment.
    surrogates_of = [_surrogates_of(part, method, dither) for part in segments.parts()]
    n_spikes = int(raster.spike_counts().sum())
    period, lengths = raster.sampling_period_seconds, segments.lengths.tolist()

    def draw(seed: np.random.SeedSequence) -> tuple[SpikeRaster, int]:
        trains: list[list[IntArray]] = [[] for _ in range(raster.n_units)]
        # Elephant draws from both global generators.
        with seeded_globals(seed):
            for surrogate_of, first, n in zip(
                surrogates_of, segments.edges[:-1].tolist(), lengths, strict=True
            ):
                for train, surrogate in zip(trains, surrogate_of, strict=True):
                    seconds = surrogate().rescale("s").magnitude
                    bins = np.floor(seconds / period + _EDGE).astype(np.int64)
                    train.append(first + bins[(bins >= 0) & (bins < n)])
        drawn = SpikeRaster.from_spike_bins(
            [np.concatenate(train) for train in trains],
            raster.n_time_bins,
            sampling_period=raster.sampling_period,
            t_start=raster.t_start,
        )
        return drawn, n_spikes - int(drawn.spike_counts().sum())

    return draw


def _surrogates_of(
    part: SpikeRaster, method: str, dither: float
) -> list[Callable[[], Any]]:
    """Return functions that draw surrogates of the trains of one segment."""
    # Trains that start at 0: jitter_spikes adds t_start twice to the edges of its bins.
    from_zero = SpikeRaster(
        part.bits, *part.shape, sampling_period=part.sampling_period
    )
    return [
        _surrogate_of(train, method, dither, part)
        for train in to_spiketrains(from_zero)
    ]


def _surrogate_of(
    train: Any, method: str, dither: float, raster: SpikeRaster
) -> Callable[[], Any]:
    """Return a call of Elephant's function; its dispatcher would drop arguments."""
    # Importing Elephant draws from the global generators, too.
    with seeded_globals():
        import elephant.spike_train_surrogates as elephant
    if not len(train):
        return lambda: train
    by = dither * pq.s
    # Its distribution of intervals is prepared once for all surrogates.
    if method in {"joint_isi_dithering", "isi_dithering"}:
        prepared = elephant.JointISI(
            train, dither=by, isi_dithering=method == "isi_dithering"
        )
        return lambda: prepared.dithering(1)[0]
    bins = max(1, round(dither / raster.sampling_period_seconds))
    calls: dict[str, Callable[[], Any]] = {
        "dither_spikes": lambda: elephant.dither_spikes(train, by),
        "dither_spike_train": lambda: elephant.dither_spike_train(train, by),
        "jitter_spikes": lambda: elephant.jitter_spikes(train, by),
        "bin_shuffling": lambda: elephant.bin_shuffling(
            train, bins, bin_size=raster.sampling_period
        ),
        "randomise_spikes": lambda: elephant.randomise_spikes(train),
        "shuffle_isis": lambda: elephant.shuffle_isis(train),
    }
    return lambda: calls[method]()[0]
