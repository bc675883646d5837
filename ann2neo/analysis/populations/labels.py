"""Labels of the presentations in one phase, as the analysis of tuning needs them."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from ann2neo.errors import InputValueError
from ann2neo.raster import SpikeRaster
from ann2neo.recording import Recording
from ann2neo.recording.tables import Phase

__all__ = ["Labels", "has_labels", "labels_of"]

IntArray = npt.NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class Labels:
    """Presentations of one phase and their labels; bins count from the start of the
    phase.

    Parameters
    ----------
    names : ndarray, shape (n_labels,)
        The labels that occur, sorted.
    code : ndarray of int64, shape (n_presentations,)
        Label of each presentation, as an index into `names`.
    start_bin, stop_bin : ndarray of int64, shape (n_presentations,)
        Bins of each presentation, half-open.
    stimulus : ndarray, shape (n_presentations,)
        Its stimulus_id; without one, its number in the phase.
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
    def one_bin_each(self) -> bool:
        """Whether every presentation lasts one bin, as those of a feed-forward network
        do.
        """
        return bool((self.stop_bin - self.start_bin == 1).all())

    @property
    def presentations_of_each(self) -> IntArray:
        """Number of presentations of each label, shape (n_labels,)."""
        return np.bincount(self.code, minlength=len(self.names)).astype(np.int64)

    @property
    def bins_of_each(self) -> IntArray:
        """Number of bins of each label, shape (n_labels,)."""
        return np.bincount(
            self.code, self.stop_bin - self.start_bin, len(self.names)
        ).astype(np.int64)

    def raster(self) -> SpikeRaster:
        """When each label was shown: a raster of shape (n_labels, n_time_bins)."""
        return SpikeRaster.from_dense(
            self.code_of_bins() == np.arange(len(self.names))[:, None]
        )

    def code_of_bins(self) -> IntArray:
        """Label shown in each bin, as an index into `names`, -1 where none was, shape
        (n_time_bins,).
        """
        codes = np.full(self.n_time_bins, -1, np.int64)
        length = self.stop_bin - self.start_bin
        bins = np.repeat(
            self.start_bin - np.cumsum(length) + length, length
        ) + np.arange(length.sum())
        codes[bins] = np.repeat(self.code, length)
        return codes

    def responses(self, raster: SpikeRaster) -> IntArray:
        """Spikes of each unit in each presentation, shape (n_units,
        n_presentations).
        """
        if self.one_bin_each:
            return raster.to_dense()[:, self.start_bin].astype(np.int64)
        before = raster.cumulative_counts(
            np.concatenate([self.start_bin, self.stop_bin])
        )
        return before[:, len(self.start_bin) :] - before[:, : len(self.start_bin)]


def has_labels(recording: Recording, phase: Phase) -> bool:
    """Whether a phase has presentations, with labels."""
    table = recording.presentations
    return "label" in table and bool((table["phase"] == phase.phase).any())


def labels_of(recording: Recording, phase: Phase) -> Labels:
    """Labels of the presentations in a phase.

    Parameters
    ----------
    recording : Recording
        A recording whose presentations have labels.
    phase : Phase
        One of its phases.

    Returns
    -------
    Labels
        Of all presentations in the phase.

    Raises
    ------
    InputValueError
        If presentations have no labels, or the phase has no presentation.
    """
    table = recording.presentations
    if "label" not in table:
        raise InputValueError(
            "this recording has no labels, and tuning needs them; record with"
            " labels=..., or give from_raster a table of presentations with a column"
            " 'label'"
        )
    table = table[table["phase"] == phase.phase]
    if table.empty:
        raise InputValueError(
            f"phase {phase.phase!r} has no presentation, so no unit can be tuned to"
            " one; select another phase"
        )
    labels = table["label"].to_numpy()
    values, code = np.unique(
        labels.astype(str) if labels.dtype.kind == "O" else labels, return_inverse=True
    )
    stimulus = (
        table["stimulus_id"].to_numpy()
        if "stimulus_id" in table
        else np.arange(len(table))
    )
    return Labels(
        values,
        code.astype(np.int64),
        table["start_bin"].to_numpy() - phase.start_bin,
        table["stop_bin"].to_numpy() - phase.start_bin,
        stimulus,
        phase.n_time_bins,
    )
