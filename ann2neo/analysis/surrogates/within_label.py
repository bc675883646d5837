"""Exchange of presentations of one label, also where they differ in length.

Presentations of one label are put into groups of similar length. Inside a group they
change places over the length of its shortest, their common length; what is longer stays
where it is.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from ann2neo.analysis._entry import BoolArray, FloatArray, IntArray
from ann2neo.analysis.populations.labels import Labels
from ann2neo.analysis.surrogates.inside_segments import (
    GridDraw,
    blockwise,
    goes_by_spikes,
    order_within,
    raster_of,
    trains_of,
)
from ann2neo.errors import InputValueError
from ann2neo.raster import SegmentedRaster, SpikeRaster

__all__ = ["exchange", "exchangeable"]

_SHARE = 0.9
"""Smallest share of the bins of presentations that must be exchanged."""
_MOST_RUNS = 64
"""Groups of a label up to which the fewest are looked for."""


def exchangeable(labels: Labels, phase: str) -> tuple[list[IntArray], int]:
    """Return groups of presentations that are exchanged, as bins.

    Parameters
    ----------
    labels : Labels
        The presentations of a phase.
    phase : str
        Name of the phase, for messages.

    Returns
    -------
    groups : list of ndarray of int64, shape (n_presentations, common length)
        The first bins of each presentation of a group, as many as its shortest has;
        presentations of a group have the same label.
    n_bins : int
        Number of bins of all presentations, exchanged or not.

    Raises
    ------
    InputValueError
        If the groups hold less than 90 % of the bins of the presentations.
    """
    n_bins = int((labels.stop_bin - labels.start_bin).sum())
    groups, exchanged = _of_labels(labels, _cuts)
    # A label that cannot be exchanged is made up for by the others, if at all.
    if exchanged < _SHARE * n_bins:
        groups, exchanged = _of_labels(labels, _most_exchanged)
    if not groups:
        raise InputValueError(
            f"no label was presented twice in phase {phase!r}, so within_label permutes"
            " nothing; use bin_permutation"
        )
    if exchanged < _SHARE * n_bins:
        raise InputValueError(
            f"within_label can exchange {exchanged / n_bins:.0%} of the bins of the"
            f" presentations in phase {phase!r}, and needs {_SHARE:.0%}: presentations"
            " of a label differ too much in length, or labels were presented once; cut"
            " presentations to one length with recording.cut_trials(after=...), or"
            " select the labels that repeat"
        )
    # In order of time: draws depend on the order of groups.
    return sorted(groups, key=lambda group: int(group[0, 0])), n_bins


def _of_labels(
    labels: Labels, cuts_of: Callable[[IntArray], list[int]]
) -> tuple[list[IntArray], int]:
    """Return groups of presentations, and the number of bins in them.

    Parameters
    ----------
    labels : Labels
        The presentations.
    cuts_of : function
        Cuts sorted lengths of presentations of one label into runs, the groups.
        Presentations alone in their run are left out.
    """
    length = labels.stop_bin - labels.start_bin
    groups = []
    for code in range(len(labels.names)):
        of_label = np.flatnonzero(labels.code == code)
        ascending = of_label[np.argsort(length[of_label], kind="stable")]
        for start, stop in pairwise(cuts_of(length[ascending])):
            if stop - start > 1:
                # In order of time, whatever their lengths.
                members = np.sort(ascending[start:stop])
                common = np.arange(length[ascending[start]])
                groups.append(labels.start_bin[members, None] + common)
    return groups, sum(group.size for group in groups)


def _cuts(ascending: IntArray) -> list[int]:
    """Cut sorted lengths into few runs that exchange enough, or as much as can be.

    A presentation changes places with more others in a longer run, but over the length
    of the shortest.
    """
    cuts = _fewest_runs(ascending)
    return _most_exchanged(ascending) if cuts is None else cuts


def _fewest_runs(ascending: IntArray) -> list[int] | None:
    """Cut sorted lengths into the fewest runs that exchange 90 %; None if too many.

    With values the different lengths, the most that g runs of the first j of them
    exchange is

        most(g, j) = max over i < j of most(g - 1, i) + n(i, j) values[i],

    n(i, j) the presentations of lengths i .. j - 1, or 0 if that is a single one.
    """
    values, first = np.unique(ascending, return_index=True)
    edges = np.append(first, len(ascending))
    number = edges[None, :] - edges[:-1, None]
    # Row i, column j; runs end after they begin.
    exchanged = np.where(number > 1, number * values[:, None].astype(np.float64), 0.0)
    exchanged[number <= 0] = -np.inf
    most: FloatArray = exchanged[0]
    begins: list[IntArray] = []
    while most[-1] < _SHARE * ascending.sum():
        if len(begins) + 1 >= min(len(values), _MOST_RUNS):
            return None
        total = most[:-1, None] + exchanged
        begins.append(total.argmax(axis=0))
        most = total.max(axis=0)
    # Back from the end: where the last run begins, then the one before it.
    cuts = [len(values)]
    for begin in reversed(begins):
        cuts.append(int(begin[cuts[-1]]))
    return [int(edges[cut]) for cut in [0, *reversed(cuts)]]


def _most_exchanged(ascending: IntArray) -> list[int]:
    """Cut sorted lengths into runs of up to three that exchange as much as can be."""
    # Longer runs can be cut into runs of two and three, which exchange more.
    most, sizes = [0], [0]
    for stop in range(1, len(ascending) + 1):
        choices = [(most[stop - 1], 1)]
        for size in (2, 3):
            if size <= stop:
                gain = size * int(ascending[stop - size])
                choices.append((most[stop - size] + gain, size))
        best, size = max(choices)
        most.append(best)
        sizes.append(size)
    cuts = [len(ascending)]
    while cuts[-1]:
        cuts.append(cuts[-1] - sizes[cuts[-1]])
    return cuts[::-1]


# -- drawing
# --------------------------------------------------------------------------------------


def exchange(
    segments: SegmentedRaster, joint: bool, groups: list[IntArray]
) -> GridDraw:
    """Exchange presentations inside groups, for each unit or jointly for all."""
    raster = segments.raster

    def exchange_all(rng: np.random.Generator) -> SpikeRaster:
        order = np.arange(raster.n_time_bins)
        for bins in groups:
            order[bins] = bins[rng.permutation(len(bins))]
        return raster.take(bins=order)

    def exchange_each(rng: np.random.Generator) -> SpikeRaster:
        return blockwise(raster, lambda dense: _exchanged(dense, groups, rng))

    if joint:
        return exchange_all
    return _by_spikes(segments, groups) if goes_by_spikes(segments) else exchange_each


def _by_spikes(segments: SegmentedRaster, groups: list[IntArray]) -> GridDraw:
    """Exchange presentations of few spikes, for each unit."""
    raster = segments.raster
    # Presentations of all groups in order of time: first bin, bins exchanged, group.
    number = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    first = np.concatenate([group[:, 0] for group in groups])
    common = np.repeat([group.shape[1] for group in groups], np.bincount(number))
    by_time = np.argsort(first)
    first, common, number = first[by_time], common[by_time], number[by_time]
    order, members = order_within(number), np.argsort(number, kind="stable")

    def places(bins: IntArray) -> tuple[IntArray, IntArray, IntArray]:
        """Return the presentation and the place in it of bins exchanged, and others."""
        held = np.maximum(np.searchsorted(first, bins, side="right") - 1, 0)
        place = bins - first[held]
        moves = (place >= 0) & (place < common[held])
        return held[moves], place[moves], bins[~moves]

    trains = trains_of(segments, places)

    def exchange_each(rng: np.random.Generator) -> SpikeRaster:
        drawn = []
        for held, place, others in trains():
            # Where each presentation goes: to a random one of its group.
            goes_to = np.empty(len(first), np.int64)
            goes_to[members] = order(rng)
            drawn.append(np.concatenate([first[goes_to[held]] + place, others]))
        return raster_of(drawn, raster)

    return exchange_each


def _exchanged(
    dense: BoolArray, groups: list[IntArray], rng: np.random.Generator
) -> BoolArray:
    for bins in groups:
        if bins.shape[1] == 1:
            dense[:, bins[:, 0]] = rng.permuted(dense[:, bins[:, 0]], axis=1)
        else:
            # Whole presentations change places, in an order of each unit's own.
            orders = np.tile(np.arange(len(bins)), (len(dense), 1))
            order = rng.permuted(orders, axis=1)[:, :, None]
            dense[:, bins] = np.take_along_axis(dense[:, bins], order, axis=1)
    return dense
