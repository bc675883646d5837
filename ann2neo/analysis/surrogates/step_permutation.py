"""Permutation of trials at every step: the PSTH stays, what a trial remembers goes."""

from __future__ import annotations

import numpy as np

from ann2neo.analysis._entry import BoolArray
from ann2neo.analysis.surrogates.inside_segments import (
    GridDraw,
    blockwise,
    order_within,
)
from ann2neo.analysis.trials.trials import check_trials, trials_of
from ann2neo.errors import InputValueError
from ann2neo.raster import SpikeRaster
from ann2neo.recording import Recording
from ann2neo.recording.segments import SegmentedPhase

__all__ = ["step_permutation"]


def step_permutation(
    recording: Recording, phase: SegmentedPhase, kind: str | None
) -> GridDraw:
    """Permute, at every step, the trials of a label that reach it, unit by unit.

    Parameters
    ----------
    recording : Recording
        The recording.
    phase : SegmentedPhase
        A phase of trials: each of its segments holds one presentation. A step is a bin
        of a segment, counted from its start.
    kind : str, optional
        Kind of the presentations; the only one, or "trials", if not given. Without
        labels, all trials are exchanged; those whose label is missing, among
        themselves.

    Raises
    ------
    InputValueError
        If segments do not hold one presentation each, or no label was shown twice.
    """
    trials = trials_of(recording, phase, kind)
    check_trials(trials, "step_permutation")
    label = trials.code
    if np.bincount(label).max(initial=0) < 2:
        raise InputValueError(
            f"no trial of phase {phase.phase!r} has a label twice, so step_permutation"
            " leaves it as it is; use trial_shifting"
        )
    raster = phase.raster(recording.raster).raster
    edges = np.cumsum(phase.lengths) - phase.lengths
    step = np.arange(phase.n_time_bins) - np.repeat(edges, phase.lengths)
    # One stratum per label and step: the bins that may change places.
    stratum = np.repeat(label, phase.lengths) * int(phase.lengths.max()) + step
    order, places = order_within(stratum), np.argsort(stratum, kind="stable")

    def draw(rng: np.random.Generator) -> SpikeRaster:
        def permuted(dense: BoolArray) -> BoolArray:
            for row in dense:
                row[places] = row[order(rng)]
            return dense

        return blockwise(raster, permuted)

    return draw
