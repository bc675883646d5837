"""Surrogates on the grid of time bins: spikes move inside their segment, none is lost.

Each function takes the spikes of a phase and returns one that draws surrogates from a
generator of random numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ann2neo.analysis._entry import BoolArray, IntArray
from ann2neo.raster import SegmentedRaster, SpikeRaster
from ann2neo.raster.spike_raster import is_sparse

__all__ = [
    "GridDraw",
    "bin_permutation",
    "blockwise",
    "circular_shift",
    "first_distinct",
    "goes_by_spikes",
    "isi_shuffle",
    "order_within",
    "random_order",
    "raster_of",
    "trains_of",
]

GridDraw = Callable[[np.random.Generator], SpikeRaster]
"""Draws a surrogate of the joined segments of a phase."""

GridOrder = Callable[[np.random.Generator], IntArray]
"""Draws a random order of bins, or of spikes."""

_BLOCK_BYTES = 1 << 22
_LONG = 1 << 16
"""Bins of a phase from which few spikes are worth a way of their own."""


def bin_permutation(segments: SegmentedRaster, joint: bool) -> GridDraw:
    """Permute the bins of each segment, for each unit or jointly for all."""
    raster = segments.raster
    order = random_order(segments)
    if joint:
        return lambda rng: raster.take(bins=order(rng))
    if goes_by_spikes(segments):
        counts = segments.segment_counts()

        def place(rng: np.random.Generator) -> SpikeRaster:
            trains = [_placed(segments, of_unit, rng) for of_unit in counts]
            return raster_of(trains, raster)

        return place

    def permute(rng: np.random.Generator) -> SpikeRaster:
        if segments.n_segments == 1:
            return blockwise(raster, lambda dense: rng.permuted(dense, axis=1))
        return blockwise(
            raster, lambda dense: np.stack([row[order(rng)] for row in dense])
        )

    return permute


def circular_shift(
    segments: SegmentedRaster, joint: bool, reach: int | None = None
) -> GridDraw:
    """Rotate each segment, for each unit by an offset of its own or jointly for all.

    Parameters
    ----------
    segments : SegmentedRaster
        The spikes.
    joint : bool
        Whether all units of a segment are shifted alike.
    reach : int, optional
        Largest shift, in bins; any shift is equally likely if not given.
    """
    raster, lengths, edges = segments.raster, segments.lengths, segments.edges
    # One number for segments of one length: their shifts are drawn much faster.
    one_length = len(np.unique(lengths)) == 1
    limits = max(1, int(lengths[0])) if one_length else lengths

    def shifts(rng: np.random.Generator, *shape: int) -> IntArray:
        size = (*shape, segments.n_segments)
        if reach is None:
            return rng.integers(limits, size=size)
        return rng.integers(-reach, reach + 1, size=size) % limits

    if joint:
        segment = np.repeat(np.arange(segments.n_segments), lengths)
        place = np.arange(raster.n_time_bins) - edges[segment]

        def shift_all(rng: np.random.Generator) -> SpikeRaster:
            moved = (place - shifts(rng)[segment]) % lengths[segment]
            return raster.take(bins=edges[segment] + moved)

        return shift_all
    if segments.n_segments == 1 and not goes_by_spikes(segments):

        def roll(rng: np.random.Generator) -> SpikeRaster:
            # Drawn for all units at once, so that the size of blocks does not matter.
            later = iter(shifts(rng, raster.n_units)[:, 0])
            return blockwise(
                raster,
                lambda dense: np.stack([np.roll(row, next(later)) for row in dense]),
            )

        return roll
    trains = trains_of(segments)

    def shift_each(rng: np.random.Generator) -> SpikeRaster:
        moved = []
        for bins, shift in zip(trains(), shifts(rng, raster.n_units), strict=True):
            segment = _segment_of(segments, bins)
            later = bins + shift[segment]
            # Beyond the end of the segment it goes on from its start.
            later -= np.where(later >= edges[segment + 1], lengths[segment], 0)
            moved.append(later)
        return raster_of(moved, raster)

    return shift_each


def isi_shuffle(segments: SegmentedRaster) -> GridDraw:
    """Shuffle the intervals of each unit in each segment."""
    # The first interval counts from the bin before the segment and is shuffled too. The
    # intervals' sum stays, and with it the last spike: none leaves the grid.
    raster, edges = segments.raster, segments.edges
    if segments.n_segments == 1:
        intervals = trains_of(segments, lambda bins: np.diff(bins, prepend=-1))
        return lambda rng: raster_of(
            [np.cumsum(rng.permutation(steps)) - 1 for steps in intervals()], raster
        )

    def prepared(bins: IntArray) -> tuple[IntArray, GridOrder, IntArray, IntArray]:
        """Return intervals, their orders, first of segments, and bins before those."""
        segment = segments.segment_of(bins)
        first = np.flatnonzero(np.diff(segment, prepend=-1))
        before = edges[segment] - 1
        steps = np.diff(bins, prepend=0)
        steps[first] = bins[first] - before[first]
        return steps, order_within(segment), first, before

    trains = trains_of(segments, prepared)

    def shuffle(rng: np.random.Generator) -> SpikeRaster:
        drawn = []
        for intervals, order, first, before in trains():
            steps = intervals[order(rng)]
            bins = np.cumsum(steps)
            # Without what the intervals of earlier segments add up to.
            n_spikes = np.diff(first, append=len(steps))
            bins += before - np.repeat(bins[first] - steps[first], n_spikes)
            drawn.append(bins)
        return raster_of(drawn, raster)

    return shuffle


# -- trains
# --------------------------------------------------------------------------------------


def goes_by_spikes(segments: SegmentedRaster) -> bool:
    """Tell whether spikes are few enough to be drawn one by one.

    Bins of spikes are drawn again as long as they are taken already, which ends soon
    only where no segment is more than half full.
    """
    raster = segments.raster
    n_spikes = int(raster.spike_counts().sum())
    if raster.n_time_bins < _LONG or not is_sparse(n_spikes, *raster.shape):
        return False
    fullest = segments.segment_counts().max(axis=0, initial=0)
    return bool((2 * fullest <= segments.lengths).all())


def trains_of(
    segments: SegmentedRaster, prepare: Callable[[IntArray], Any] = np.asarray
) -> Callable[[], Iterator[Any]]:
    """Return a function that goes through the trains, unit by unit.

    Parameters
    ----------
    segments : SegmentedRaster
        The spikes.
    prepare : function of ndarray of int64, shape (n_spikes,), optional
        What to make of the bins of a unit's spikes; it is kept for all surrogates where
        the bins take no more memory than the bits.
    """
    raster = segments.raster
    units = range(raster.n_units)
    if is_sparse(int(raster.spike_counts().sum()), *raster.shape):
        kept = [prepare(raster.spike_bins(unit)) for unit in units]
        return lambda: iter(kept)
    return lambda: (prepare(raster.spike_bins(unit)) for unit in units)


def _segment_of(segments: SegmentedRaster, bins: IntArray) -> Any:
    """Return the segment of each bin, or 0 for all where there is one."""
    return segments.segment_of(bins) if segments.n_segments > 1 else 0


def raster_of(trains: list[IntArray], like: SpikeRaster) -> SpikeRaster:
    """Return a raster of the bins of spikes, on the time base of another."""
    return SpikeRaster.from_spike_bins(
        trains,
        like.n_time_bins,
        sampling_period=like.sampling_period,
        t_start=like.t_start,
    )


def blockwise(
    raster: SpikeRaster,
    change: Callable[[BoolArray], BoolArray],
) -> SpikeRaster:
    """Change dense rows of a raster, some units at a time."""
    parts = [
        SpikeRaster.from_dense(
            change(block.to_dense()),
            sampling_period=raster.sampling_period,
            t_start=raster.t_start,
        )
        for _, block in raster.unit_blocks(_BLOCK_BYTES)
    ]
    return SpikeRaster.stack(parts) if parts else raster


# -- random bins
# --------------------------------------------------------------------------------------


def random_order(
    segments: SegmentedRaster,
) -> Callable[[np.random.Generator], IntArray]:
    """Return a function that draws a random order of the bins of each segment.

    The order of the first segment comes first, then that of the second, and so on.
    """
    if segments.n_segments == 1:
        return lambda rng: rng.permutation(segments.n_time_bins)
    return order_within(np.repeat(np.arange(segments.n_segments), segments.lengths))


def order_within(stratum: IntArray) -> Callable[[np.random.Generator], IntArray]:
    """Return a function that draws a random order of the bins of each stratum.

    Parameters
    ----------
    stratum : ndarray of int64, shape (n_time_bins,)
        Number of the stratum of each bin. Orders follow one another by that number.
    """
    # The shortest type, as NumPy sorts short ones in linear time.
    stratum = stratum.astype(np.min_scalar_type(int(stratum.max(initial=0))))

    def order(rng: np.random.Generator) -> IntArray:
        # A random order of all bins is one of each stratum's bins, too.
        bins = rng.permutation(len(stratum))
        return bins[np.argsort(stratum[bins], kind="stable")]

    return order


def _some_bins(
    segments: SegmentedRaster, segment: IntArray, rng: np.random.Generator
) -> IntArray:
    """Draw a bin of each of the segments named."""
    if segments.n_segments == 1:
        return rng.integers(segments.n_time_bins, size=len(segment))
    return segments.edges[segment] + rng.integers(segments.lengths[segment])


def _placed(
    segments: SegmentedRaster, counts: IntArray, rng: np.random.Generator
) -> IntArray:
    """Draw so many different bins of each segment; all choices are equally likely.

    Bins are drawn one by one, those taken already again. Every bin of a segment is
    treated alike, so that each set of `counts` bins is as likely as any other.
    """
    segment = np.repeat(np.arange(segments.n_segments), counts)
    bins = np.sort(_some_bins(segments, segment, rng))
    while True:
        taken = np.flatnonzero(bins[1:] == bins[:-1])
        if not len(taken):
            return bins
        again = _some_bins(segments, segments.segment_of(bins[taken]), rng)
        bins = np.sort(np.concatenate([np.delete(bins, taken), again]))


def first_distinct(
    segments: SegmentedRaster, counts: IntArray, rng: np.random.Generator
) -> IntArray:
    """Draw so many bins of each segment in a random order, without replacement.

    Returns
    -------
    ndarray of int64, shape (counts.sum(),)
        The first bins of a random order of each segment, segment by segment.
    """
    segment = np.repeat(np.arange(segments.n_segments), counts)
    bins = _some_bins(segments, segment, rng)
    while True:
        # The first time that a bin is drawn counts: sorted by bin, then by turn. Keys
        # are sorted many times faster than their order is found.
        n = max(1, len(bins))
        drawn, turn = np.divmod(np.sort(bins * n + np.arange(len(bins))), n)
        again = turn[1:][drawn[1:] == drawn[:-1]]
        if not len(again):
            return bins
        # Those that are missing are drawn after the others of their segment.
        late = segment[again]
        segment = np.concatenate([np.delete(segment, again), late])
        bins = np.concatenate([np.delete(bins, again), _some_bins(segments, late, rng)])
        by_segment = np.argsort(segment, kind="stable")
        bins, segment = bins[by_segment], segment[by_segment]
