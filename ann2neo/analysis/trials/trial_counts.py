"""Counts of a block of units over the trials of a phase, each computed on demand."""

from __future__ import annotations

import dataclasses
from functools import cached_property
from typing import Any

import numpy as np

from ann2neo.analysis._entry import BoolArray, FloatArray, IntArray
from ann2neo.analysis.trials.step_matrices import StepMatrices
from ann2neo.analysis.trials.trials import Trials
from ann2neo.raster import SegmentedRaster, SpikeRaster
from ann2neo.raster.spiketrains import to_spiketrains
from ann2neo.recording.windows import StepWindow

__all__ = ["TrialCounts", "TrialPlan", "TrialTrain"]


@dataclasses.dataclass(frozen=True, eq=False)
class TrialPlan:
    """What all units of a phase have in common.

    Parameters
    ----------
    trials : Trials
        The trials.
    window : StepWindow
        The steps in which spikes are counted.
    lags : int
        Number of lags of the serial correlation.
    """

    trials: Trials
    window: StepWindow
    lags: int

    @cached_property
    def steps(self) -> StepMatrices:
        """The trials as matrices, grouped by label."""
        return StepMatrices(self.trials.phase.lengths, self.trials.code)

    @cached_property
    def in_window(self) -> BoolArray:
        """Which trials hold the whole window, shape (n_trials,)."""
        return self.window.fits(self.trials.n_bins)

    @cached_property
    def counted(self) -> Trials:
        """The trials that hold the whole window."""
        return self.trials.of(self.in_window)


class TrialCounts:
    """Counts of a block of units in the trials of one phase.

    Parameters
    ----------
    plan : TrialPlan
        The trials, and the settings.
    source : SpikeRaster
        The raster of the recording, with some of its units.
    """

    def __init__(self, plan: TrialPlan, source: SpikeRaster) -> None:
        self.plan, self._source = plan, source

    @property
    def n_units(self) -> int:
        """Number of units."""
        return self._source.n_units

    @cached_property
    def segments(self) -> SegmentedRaster:
        """The spikes in the segments of the phase."""
        return self.plan.trials.phase.raster(self._source)

    @cached_property
    def n_spikes(self) -> IntArray:
        """Spikes of each unit in the segments, shape (n_units,)."""
        return self.segments.raster.spike_counts()

    @property
    def n_time_bins(self) -> int:
        """Bins of the segments."""
        return self.plan.trials.phase.n_time_bins

    @cached_property
    def responses(self) -> IntArray:
        """Spikes in the window of each trial that holds it, (n_units, n_counted)."""
        counted = self.plan.counted
        return self.plan.window.counts(
            self._source, counted.start_bin, counted.stop_bin
        )

    @cached_property
    def step_spikes(self) -> IntArray:
        """K, the spikes of each group at each step, (n_units, n_groups, n_steps)."""
        steps = self.plan.steps
        shape = (self.n_units, len(steps.groups), steps.n_steps)
        spikes = np.empty(shape, np.int64)
        for unit, matrix in enumerate(steps.of_units(self.segments)):
            spikes[unit] = steps.spikes(matrix)
        return spikes

    def of_units(self, units: IntArray) -> TrialCounts:
        """Return the counts of some units alone."""
        return TrialCounts(self.plan, self._source.take(units=units))


class TrialTrain:
    """One unit in the trials of one phase, for the reference engine.

    Parameters
    ----------
    counts : TrialCounts
        Counts of this one unit.
    """

    def __init__(self, counts: TrialCounts) -> None:
        self.counts, self.plan = counts, counts.plan

    @cached_property
    def trials(self) -> list[FloatArray]:
        """The unit's bins in each trial as numbers 0 and 1."""
        return [
            part.to_dense()[0].astype(np.float64)
            for part in self.counts.segments.parts()
        ]

    @cached_property
    def groups(self) -> list[list[FloatArray]]:
        """The trials of each label, those that share none together."""
        code = self.plan.trials.code
        return [
            [self.trials[number] for number in np.flatnonzero(code == group)]
            for group in range(int(code.max(initial=-1)) + 1)
        ]

    def window_spiketrains(self) -> list[list[Any]]:
        """The unit in the window of each trial, as neo.SpikeTrain, by label."""
        counted, window = self.plan.counted, self.plan.window
        raster, code = self.counts._source, counted.code
        trains: list[list[Any]] = [[] for _ in range(int(code.max(initial=-1)) + 1)]
        for start, stop, group in zip(
            counted.start_bin, counted.stop_bin, code, strict=True
        ):
            end = stop if window.stop is None else start + window.stop
            part = raster.slice(int(start + window.start), int(end))
            trains[group].append(to_spiketrains(part)[0])
        return trains
