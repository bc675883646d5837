"""Trials of a phase: their bins, lengths and labels."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ann2neo.analysis._entry import BoolArray, IntArray
from ann2neo.errors import InputValueError
from ann2neo.recording import Recording
from ann2neo.recording.segments import SegmentedPhase
from ann2neo.recording.select import kind_of

__all__ = [
    "Trials",
    "check_trials",
    "group_codes",
    "is_missing",
    "trials_of",
]


@dataclasses.dataclass(frozen=True)
class Trials:
    """The presentations of one kind in a phase, in order of time.

    Parameters
    ----------
    phase : SegmentedPhase
        The phase; where `are_segments` holds, segment i is trial i.
    kind : str
        Kind of the presentations.
    rows : ndarray of int64, shape (n_trials,)
        Rows of the recording's table of presentations.
    start_bin, stop_bin : ndarray of int64, shape (n_trials,)
        Bins of each presentation in the recording, half-open.
    labels : ndarray, shape (n_trials,), or None
        Label of each; None where the recording has no labels.
    are_segments : bool
        Whether every segment of the phase holds one presentation.
    """

    phase: SegmentedPhase
    kind: str
    rows: IntArray
    start_bin: IntArray
    stop_bin: IntArray
    labels: npt.NDArray[Any] | None
    are_segments: bool

    @property
    def n_trials(self) -> int:
        """Number of presentations."""
        return len(self.rows)

    @property
    def n_bins(self) -> IntArray:
        """Bins of each presentation, shape (n_trials,)."""
        return self.stop_bin - self.start_bin

    @property
    def code(self) -> IntArray:
        """Label of each trial as a number from 0, shape (n_trials,).

        Trials whose label is missing share a number, and all do without labels.
        """
        if self.labels is None:
            return np.zeros(self.n_trials, np.int64)
        return group_codes(self.labels)

    def start_time(self, recording: Recording) -> float:
        """Return the time of the first step in s.

        On the clock of the segments, if all start at the same time, as trials do that
        are aligned to an event; else 0, the start of the trial.
        """
        table = recording.segments
        table = table[table["start_bin"].isin(self.phase.starts)]
        clock = table["t_start"].to_numpy()
        is_aligned = np.ptp(clock) < recording.raster.sampling_period_seconds / 2
        return float(clock[0]) if is_aligned else 0.0

    def of(self, chosen: BoolArray) -> Trials:
        """Return some of the trials; with `are_segments`, of their segments only."""
        phase = self.phase
        if self.are_segments:
            phase = phase._replace(
                starts=phase.starts[chosen], stops=phase.stops[chosen]
            )
        return dataclasses.replace(
            self,
            phase=phase,
            rows=self.rows[chosen],
            start_bin=self.start_bin[chosen],
            stop_bin=self.stop_bin[chosen],
            labels=None if self.labels is None else self.labels[chosen],
        )


def trials_of(recording: Recording, phase: SegmentedPhase, kind: str | None) -> Trials:
    """Return the presentations of a kind in a phase.

    Parameters
    ----------
    recording : Recording
        The recording.
    phase : SegmentedPhase
        One of its phases.
    kind : str, optional
        Kind of the presentations; the only one, or "trials", if not given.

    Returns
    -------
    Trials
        None at all where the phase has no presentations of the kind.

    Raises
    ------
    InputValueError
        If the recording has presentations, but none of the kind.
    """
    table = recording.presentations
    kind = kind_of(table, kind)
    is_here = (table["phase"] == phase.phase) & (table["kind"] == kind)
    rows = np.flatnonzero(is_here.to_numpy())
    chosen = table.iloc[rows]
    starts = chosen["start_bin"].to_numpy()
    held = np.searchsorted(phase.starts, starts, side="right") - 1
    return Trials(
        phase,
        kind,
        rows,
        starts,
        chosen["stop_bin"].to_numpy(),
        chosen["label"].to_numpy() if "label" in chosen else None,
        are_segments=np.array_equal(held, np.arange(phase.n_segments)),
    )


def check_trials(trials: Trials, caller: str, remedy: str = "") -> None:
    """Raise unless each segment of the phase holds one presentation.

    Parameters
    ----------
    trials : Trials
        The presentations of the phase.
    caller : str
        What needs it, for the message.
    remedy : str, optional
        What else a user can do, for the message.

    Raises
    ------
    InputValueError
        If they do not; it names `Recording.cut_trials`.
    """
    if trials.are_segments:
        return
    phase = trials.phase
    raise InputValueError(
        f"{caller} needs segments that hold one presentation of the kind"
        f" {trials.kind!r} each, and phase {phase.phase!r} has {trials.n_trials} in"
        f" {phase.n_segments} segments; cut one segment per trial with"
        f" recording.cut_trials(){remedy}"
    )


def group_codes(labels: npt.NDArray[Any]) -> IntArray:
    """Return a number from 0 for each different label; missing ones share one."""
    codes, _ = pd.factorize(labels, use_na_sentinel=False)
    return codes.astype(np.int64)


def is_missing(labels: npt.NDArray[Any]) -> BoolArray:
    """Tell which labels are missing: NaN or ""."""
    missing: BoolArray = np.asarray(pd.isna(labels), np.bool_)
    if labels.dtype.kind in "OUT":
        missing = missing | np.asarray(labels == "", np.bool_)
    return missing
