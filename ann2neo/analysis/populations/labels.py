"""Labels of the presentations in one phase, for the analysis of tuning."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ann2neo.analysis._entry import BoolArray, IntArray
from ann2neo.errors import InputValueError
from ann2neo.raster import SpikeRaster
from ann2neo.recording import Recording
from ann2neo.recording.segments import SegmentedPhase
from ann2neo.recording.select import kind_of
from ann2neo.recording.tables import DEFAULT_KIND

__all__ = ["Labels", "has_labels", "is_shuffled", "labels_of", "with_missing"]


@dataclasses.dataclass(frozen=True)
class Labels:
    """Presentations and labels of one phase, in the bins of its joined segments.

    Parameters
    ----------
    names : ndarray, shape (n_labels,)
        The labels that occur, sorted.
    code : ndarray of int64, shape (n_presentations,)
        Label of each presentation, as an index into `names`.
    start_bin, stop_bin : ndarray of int64, shape (n_presentations,)
        Bins of each presentation, half-open.
    stimulus : ndarray, shape (n_presentations,)
        stimulus_id of each presentation; without one, its number in the phase.
    n_time_bins : int
        Length of the phase.
    """

    names: npt.NDArray[Any]
    code: IntArray
    start_bin: IntArray
    stop_bin: IntArray
    stimulus: npt.NDArray[Any]
    n_time_bins: int

    @property
    def bins_of_each(self) -> IntArray:
        """Number of bins of each label, shape (n_labels,)."""
        return np.bincount(
            self.code, self.stop_bin - self.start_bin, len(self.names)
        ).astype(np.int64)

    def raster(self) -> SpikeRaster:
        """Return the bins of each label as a raster, shape (n_labels, n_time_bins)."""
        return SpikeRaster.from_dense(
            self.code_of_bins() == np.arange(len(self.names))[:, None]
        )

    def code_of_bins(self) -> IntArray:
        """Return the label of each bin, an index into `names`, shape (n_time_bins,).

        -1 in bins without a label.
        """
        codes = np.full(self.n_time_bins, -1, np.int64)
        codes[self.bins()] = np.repeat(self.code, self.stop_bin - self.start_bin)
        return codes

    def bins(self) -> IntArray:
        """Return the bins of all presentations, one presentation after the other."""
        length = self.stop_bin - self.start_bin
        # start, start + 1, .. of each: a running number, shifted at each presentation.
        shift = self.start_bin - np.cumsum(length) + length
        return np.repeat(shift, length) + np.arange(length.sum())

    def responses(self, raster: SpikeRaster) -> IntArray:
        """Count spikes per unit and presentation, shape (n_units, n_presentations)."""
        # Presentations of one bin each, as of a feed-forward network, need no sum.
        if (self.stop_bin - self.start_bin == 1).all():
            return raster.to_dense()[:, self.start_bin].astype(np.int64)
        before = raster.cumulative_counts(
            np.concatenate([self.start_bin, self.stop_bin])
        )
        return before[:, len(self.start_bin) :] - before[:, : len(self.start_bin)]


def has_labels(
    recording: Recording,
    phase: SegmentedPhase,
    kind: str | None = None,
    column: str = "label",
) -> bool:
    """Tell whether a phase has presentations of a kind with labels in a column."""
    table = recording.presentations
    if column not in table or not len(table):
        return False
    return bool(len(_labelled(table, phase, kind_of(table, kind), column)))


def is_shuffled(
    recording: Recording, phase: SegmentedPhase, kind: str | None = None
) -> bool:
    """Tell whether a random order makes the bins of a phase exchangeable.

    That is so where presentations came in a random order and each of them is one bin: a
    longer one runs on by itself, whatever came before it.
    """
    if phase.order != "random":
        return False
    table = recording.presentations
    here = table[table["phase"] == phase.phase]
    if kind is None and (here["kind"] == DEFAULT_KIND).any():
        kind = DEFAULT_KIND
    if kind is not None:
        here = here[here["kind"] == kind]
    return bool((here["stop_bin"] - here["start_bin"] == 1).all())


def _labelled(
    table: pd.DataFrame, phase: SegmentedPhase, kind: str, column: str
) -> pd.DataFrame:
    """Return the presentations of a kind in a phase that have a label.

    NaN and "" are no label: what was shown is not known, or it was nothing.
    """
    labels = table[column]
    is_missing = labels.isna()
    if labels.dtype == "str":
        is_missing |= labels == ""
    here = (table["phase"] == phase.phase) & (table["kind"] == kind) & ~is_missing
    return table[here]


def labels_of(
    recording: Recording,
    phase: SegmentedPhase,
    kind: str | None = None,
    column: str = "label",
) -> Labels:
    """Return the labels of the presentations in a phase.

    Parameters
    ----------
    recording : Recording
        A recording whose presentations have labels.
    phase : SegmentedPhase
        One of its phases.
    kind : str, optional
        Kind of the presentations; the only one, or "trials", if not given.
    column : str, default "label"
        Column of the presentations that holds the labels.

    Returns
    -------
    Labels
        Of all presentations of the kind in the phase that have a label; NaN and "" are
        none.

    Raises
    ------
    InputValueError
        If presentations have no labels, the phase has no presentation with one, or
        there is no such kind.
    """
    table = recording.presentations
    if column not in table:
        raise InputValueError(
            "this recording has no labels, and tuning needs them; record with"
            " labels=..., read a session with label='trial_type' or whatever its column"
            " is called, or give from_raster presentations with a column 'label'"
        )
    kind = kind_of(table, kind)
    table = _labelled(table, phase, kind, column)
    if table.empty:
        raise InputValueError(
            f"phase {phase.phase!r} has no presentation of the kind {kind!r} with a"
            " label, so no unit can be tuned to one; select another phase or kind"
        )
    labels = table[column].to_numpy()
    if labels.dtype.kind == "O":
        labels = labels.astype(str)
    values, code = np.unique(labels, return_inverse=True)
    stimulus = np.arange(len(table))
    if "stimulus_id" in table:
        stimulus = table["stimulus_id"].to_numpy()
    return Labels(
        values,
        code.astype(np.int64),
        phase.joined_bins(table["start_bin"].to_numpy()),
        phase.joined_bins(table["stop_bin"].to_numpy() - 1) + 1,
        stimulus,
        phase.n_time_bins,
    )


def with_missing(values: npt.NDArray[Any], present: BoolArray) -> pd.Series:
    """Return labels or stimuli as a column; -1, NaN or "" where there is none."""
    if values.dtype.kind in "iub":
        return pd.Series(np.where(present, values, -1), dtype="int64")
    if values.dtype.kind == "f":
        return pd.Series(np.where(present, values, np.nan))
    return pd.Series(np.where(present, values.astype(object), ""), dtype="str")
