"""Labels of single time bins."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from ann2neo.analysis._entry import IntArray
from ann2neo.analysis.populations.labels import has_labels, labels_of, with_missing
from ann2neo.recording import Recording
from ann2neo.recording.segments import SegmentedPhase

__all__ = ["BinLabels", "labels_of_bins"]


class BinLabels(NamedTuple):
    """Labels of the time bins of a phase, each that of the presentation it lies in.

    Parameters
    ----------
    names : ndarray, shape (n_labels,)
        The labels that occur, sorted.
    codes : ndarray of int64, shape (n_time_bins,)
        Label of each bin, an index into `names`; -1 in bins without one.
    """

    names: npt.NDArray[Any]
    codes: IntArray

    def values(self, codes: IntArray) -> pd.Series:
        """Return the labels of these codes; -1, NaN or "" for the code -1."""
        return with_missing(self.names[np.maximum(codes, 0)], codes >= 0)


def labels_of_bins(
    recording: Recording,
    phase: SegmentedPhase,
    kind: str | None,
    column: str = "label",
) -> BinLabels | None:
    """Return the labels of the bins of a phase; None where it has none."""
    if not has_labels(recording, phase, kind, column):
        return None
    labels = labels_of(recording, phase, kind, column)
    return BinLabels(labels.names, labels.code_of_bins())
