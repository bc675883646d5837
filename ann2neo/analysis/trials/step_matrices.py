"""Spikes of trials set one under the other: matrices of trials and steps."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from ann2neo.analysis._entry import BoolArray, IntArray
from ann2neo.raster import SegmentedRaster

__all__ = ["StepMatrices", "column_sums"]

Bytes = npt.NDArray[np.uint8]

_UNITS_AT_ONCE = 1 << 24
"""Cells unpacked at once, one byte each."""


class StepMatrices:
    """The trials of a phase, group by group: rows are trials, columns are steps.

    Rows are sorted by group, and in a group from the longest trial to the shortest. A
    trial that ends earlier than the longest one is filled up with zeros::

        group 0   1 0 0 1 1      group 0: rows 0 and 1
                  0 1 . . .      its second trial has two steps
        group 1   0 0 1 0 .

    Parameters
    ----------
    lengths : ndarray of int64, shape (n_trials,)
        Steps of each trial, as the segments have them.
    code : ndarray of int64, shape (n_trials,)
        Group of each trial: 0, 1, ...
    """

    def __init__(self, lengths: IntArray, code: IntArray) -> None:
        self.n_trials, self.n_steps = len(lengths), int(lengths.max(initial=0))
        self._is_even = bool((lengths == self.n_steps).all())
        self._order = np.lexsort((-lengths, code))
        self._in_order = bool((np.diff(self._order) > 0).all())
        self._filled = np.arange(self.n_steps) < lengths[:, np.newaxis]
        self.lengths = lengths[self._order]
        """Steps of the trial in each row, shape (n_trials,)."""
        edges = np.cumsum(np.bincount(code))
        self.groups = [
            slice(start, stop)
            for start, stop in zip(
                np.concatenate([[0], edges[:-1]]).tolist(), edges.tolist(), strict=True
            )
        ]
        """Rows of each group."""
        step = np.arange(self.n_steps)
        self.reaching: IntArray = np.array(
            [
                (self.lengths[rows, np.newaxis] > step).sum(axis=0)
                for rows in self.groups
            ],
            np.int64,
        ).reshape(len(self.groups), self.n_steps)
        """Trials of each group that reach each step, shape (n_groups, n_steps)."""

    @property
    def is_even(self) -> bool:
        """Whether all trials have the same number of steps."""
        return self._is_even

    @property
    def reached(self) -> BoolArray:
        """Whether the trial in a row reaches a step, shape (n_trials, n_steps)."""
        return self._filled[self._order]

    def of_units(self, segments: SegmentedRaster) -> Iterator[Bytes]:
        """Yield the matrix of each unit.

        Parameters
        ----------
        segments : SegmentedRaster
            The spikes, one segment per trial.

        Yields
        ------
        ndarray of uint8, shape (n_trials, n_steps)
            1 where the unit spiked.
        """
        raster = segments.raster
        rows = max(1, _UNITS_AT_ONCE // max(1, raster.n_time_bins))
        for first in range(0, raster.n_units, rows):
            units = range(first, min(first + rows, raster.n_units))
            for train in raster.take(units=units).to_dense():
                yield self._matrix(train)

    def _matrix(self, train: BoolArray) -> Bytes:
        shape = (self.n_trials, self.n_steps)
        if self._is_even:
            matrix = train.view(np.uint8).reshape(shape)
        else:
            matrix = np.zeros(shape, np.uint8)
            matrix[self._filled] = train
        return matrix if self._in_order else matrix[self._order]

    def spikes(self, matrix: Bytes) -> IntArray:
        """Count the spikes of each group at each step, shape (n_groups, n_steps)."""
        if not self.n_trials:
            return np.zeros((0, self.n_steps), np.int64)
        if len(self.groups) > 32:
            first = [rows.start for rows in self.groups]
            return np.add.reduceat(matrix, first, axis=0, dtype=np.int64)
        return np.array([column_sums(matrix[rows]) for rows in self.groups], np.int64)


def column_sums(matrix: Bytes) -> IntArray:
    """Return the sum of each column of zeros and ones, shape (n_columns,)."""
    # At most 255 rows at a time, whose sum fits a byte.
    n_rows, n_columns = matrix.shape
    whole = n_rows // 255
    blocks = matrix[: 255 * whole].reshape(whole, 255, n_columns)
    sums = blocks.sum(axis=1, dtype=np.uint8).sum(axis=0, dtype=np.int64)
    rest: IntArray = sums + matrix[255 * whole :].sum(axis=0, dtype=np.uint8)
    return rest
