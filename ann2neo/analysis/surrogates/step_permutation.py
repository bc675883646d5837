"""Permutation of trials at every step: the PSTH stays, what a trial remembers goes."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ann2neo.analysis._entry import BoolArray
from ann2neo.analysis.surrogates.inside_segments import (
    GridDraw,
    blockwise,
    order_within,
)
from ann2neo.errors import InputValueError
from ann2neo.raster import SpikeRaster
from ann2neo.recording import Recording
from ann2neo.recording.segments import SegmentedPhase
from ann2neo.recording.select import kind_of

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
    table = recording.presentations
    kind = kind_of(table, kind)
    trials = table[(table["phase"] == phase.phase) & (table["kind"] == kind)]
    held = np.searchsorted(phase.starts, trials["start_bin"], side="right") - 1
    if not np.array_equal(held, np.arange(phase.n_segments)):
        raise InputValueError(
            "step_permutation needs segments that hold one presentation of the kind"
            f" {kind!r} each, and phase {phase.phase!r} has {len(trials)} in"
            f" {phase.n_segments} segments; cut one segment per trial with"
            " recording.cut_trials()"
        )
    label = np.zeros(len(trials), np.int64)
    if "label" in trials:
        label, _ = pd.factorize(trials["label"], use_na_sentinel=False)
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
