"""Windows of steps inside presentations."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt
import quantities as pq

from ann2neo._checks import seconds, whole_number
from ann2neo.errors import InputTypeError, InputValueError
from ann2neo.raster import SpikeRaster

__all__ = ["StepWindow", "check_window", "step_length", "step_window"]

BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class StepWindow:
    """Steps ``start .. stop - 1`` of each trial; to its end where `stop` is None."""

    start: int = 0
    stop: int | None = None

    def fits(self, n_bins: IntArray) -> BoolArray:
        """Tell which presentations of so many bins hold the whole window."""
        return n_bins >= self.last

    @property
    def last(self) -> int:
        """Bins that a presentation must have to hold the window."""
        return self.start + 1 if self.stop is None else self.stop

    def counts(self, raster: SpikeRaster, start: IntArray, stop: IntArray) -> IntArray:
        """Count the spikes of each unit in the window of each presentation.

        Parameters
        ----------
        raster : SpikeRaster
            The spikes.
        start, stop : ndarray of int64, shape (n_presentations,)
            Bins of each presentation, which holds the window.

        Returns
        -------
        ndarray of int64, shape (n_units, n_presentations)
            Number of spikes.
        """
        end = stop if self.stop is None else start + self.stop
        before = raster.cumulative_counts(np.concatenate([start + self.start, end]))
        return before[:, len(start) :] - before[:, : len(start)]


def step_window(window: Any, raster: SpikeRaster) -> StepWindow:
    """Return the window of steps that a user asks for.

    Parameters
    ----------
    window : None or (start, stop)
        Steps from the start of a presentation, or times since it as quantities; the
        stop may be None, the end of the presentation. None is the whole presentation.
    raster : SpikeRaster
        Whose bins are the steps.

    Raises
    ------
    InputTypeError, InputValueError
        If it is not a pair of steps or times, or holds no step.
    """
    if window is None:
        return StepWindow()
    if not isinstance(window, (tuple, list)) or len(window) != 2:
        raise InputTypeError(
            "window must be a pair (start, stop) of steps, or of times since the start"
            f" of a trial, got {window!r}; for example (0, 50) or (0 * pq.ms, 50 *"
            " pq.ms)"
        )
    start = _step(window[0], "the start of window", raster)
    stop = None
    if window[1] is not None:
        stop = _step(window[1], "the stop of window", raster)
    if start < 0 or (stop is not None and stop <= start):
        raise InputValueError(
            f"window holds no step of a trial: it runs from step {start} to {stop};"
            " count steps from 0, and stop after start"
        )
    return StepWindow(start, stop)


def step_length(window: Any, raster: SpikeRaster) -> int:
    """Return the length of a window in steps, given in steps or as a time."""
    if not isinstance(window, pq.Quantity):
        return whole_number(window, "window", noun="steps")
    length = _step(window, "window", raster)
    if length < 1:
        raise InputValueError(
            f"window must be at least one bin of {raster.sampling_period}, got {window}"
        )
    return length


def check_window(window: StepWindow, n_bins: IntArray, kind: str) -> None:
    """Raise unless every presentation of a kind holds the whole window.

    Raises
    ------
    InputValueError
        If one of them does not; the message says how many.
    """
    fits = window.fits(n_bins)
    if fits.all():
        return
    raise InputValueError(
        f"{int((~fits).sum())} of {len(n_bins)} presentations of the kind {kind!r} end"
        f" before the window does, at step {window.last}, the shortest after"
        f" {int(n_bins.min())}; choose a window inside all of them, or select longer"
        " ones with recording.select(presentations=...)"
    )


def _step(value: Any, name: str, raster: SpikeRaster) -> int:
    if isinstance(value, pq.Quantity):
        value = round(seconds(value, name) / raster.sampling_period_seconds)
    # Far beyond any recording, and whole numbers of NumPy hold it.
    limit = 1 << 40
    return whole_number(value, name, noun="steps", at_least=-limit, at_most=limit)
