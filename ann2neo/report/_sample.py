"""The part of a large recording that a page is about."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
import quantities as pq

from ann2neo.analysis._entry import IntArray
from ann2neo.recording import Recording
from ann2neo.recording.segments import SegmentedPhase, segmented_phases
from ann2neo.report.style import grouped

__all__ = ["Sample", "sample_of"]

_MAX_UNITS = 2_000
_MAX_CELLS = 1 << 27
"""Units x bins; the page takes up to 32 times the memory of their bits."""
_STRETCHES = 10
"""Stretches of a phase, evenly spaced, if it is not shown whole."""


class Sample(NamedTuple):
    """What a page shows of a recording.

    Parameters
    ----------
    recording : Recording
        The recording, or some of its units and stretches of time.
    units : ndarray of int64, shape (n_units,)
        Their numbers in the whole recording.
    note : str
        What was chosen; empty if all is shown.
    """

    recording: Recording
    units: IntArray
    note: str


def sample_of(recording: Recording, max_cells: int = _MAX_CELLS) -> Sample:
    """Choose evenly spaced units, and stretches of time, of a large recording.

    Parameters
    ----------
    recording : Recording
        The recording.
    max_cells : int
        Largest number of units x bins.

    Returns
    -------
    Sample
        Every phase keeps its share of the time.
    """
    n_units, n_bins = recording.n_units, recording.n_time_bins
    units, chosen, notes = np.arange(n_units), recording, []
    if n_units > _MAX_UNITS:
        units = np.linspace(0, n_units - 1, _MAX_UNITS).astype(np.int64)
        notes.append(
            f"{grouped(len(units))} units, evenly spaced, of {grouped(n_units)}"
        )
    phases = list(segmented_phases(recording))
    share = max_cells / max(1, len(units) * n_bins)
    # Phases that alternate would come several times.
    is_in_turn = all(
        before.stops[-1] <= after.starts[0]
        for before, after in itertools.pairwise(phases)
    )
    if share < 1 and is_in_turn:
        raster = recording.raster
        # Time before units: the bits of the units alone may be too many.
        parts = [
            recording.select(
                t_start=raster.bin_edge_seconds(first) * pq.s,
                t_stop=raster.bin_edge_seconds(stop) * pq.s,
            ).select(units=units)
            for phase in phases
            for first, stop in _stretches(phase, share)
        ]
        chosen = Recording.concatenate(parts)
        notes.append(
            f"{_STRETCHES} evenly spaced stretches of each phase,"
            f" {grouped(chosen.n_time_bins)} of {grouped(n_bins)} bins"
        )
    elif len(units) < n_units:
        chosen = recording.select(units=units)
    note = ""
    if notes:
        note = (
            f"{' and '.join(notes)}: all numbers and figures are of these; those of the"
            " whole recording come from ann2neo analyze"
        )
    return Sample(chosen, units, note)


def _stretches(phase: SegmentedPhase, share: float) -> list[tuple[int, int]]:
    """Return bins of the recording, half-open, that hold a share of a phase."""
    edges = np.concatenate([[0], np.cumsum(phase.lengths)])
    begins = np.unique(np.arange(_STRETCHES) * phase.n_time_bins // _STRETCHES)
    length = max(1, int(share * phase.n_time_bins / len(begins)))
    ends = np.column_stack([begins, begins + length - 1])
    segment = np.searchsorted(edges, ends, side="right") - 1
    bins = phase.starts[segment] + ends - edges[segment] + [0, 1]
    return [(int(first), int(stop)) for first, stop in bins]
