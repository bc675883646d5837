"""psth: the firing rate of every unit at every step of its trials."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import quantities as pq

from ann2neo._parallel import map_blocks
from ann2neo.analysis._entry import FloatArray, IntArray
from ann2neo.analysis._phases import one_phase
from ann2neo.analysis.trials.step_matrices import StepMatrices
from ann2neo.analysis.trials.trials import Trials, check_trials, is_missing, trials_of
from ann2neo.errors import InputValueError
from ann2neo.raster import SegmentedRaster
from ann2neo.recording import Recording
from ann2neo.recording.labelled import attributes, unit_coordinates
from ann2neo.recording.windows import step_length

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["psth"]

_BLOCK_BYTES = 1 << 21
_NOT_GROUPS = ("start_bin", "stop_bin", "phase", "kind")


def psth(
    recording: Recording,
    by: str | None = None,
    kind: str | None = None,
    window: int | pq.Quantity = 1,
    *,
    phase: str | None = None,
) -> xr.DataArray:
    """Compute the peristimulus time histogram of every unit.

    Parameters
    ----------
    recording : Recording
        A recording of trials: each segment of the phase holds one presentation.
    by : str, optional
        "label", or another column of the presentations: one histogram per value. Trials
        where it is missing are in none. All trials together if not given.
    kind : str, optional
        Kind of the presentations; the only one, or "trials", if not given.
    window : int or quantities.Quantity, time, default 1
        Length of a window of steps; steps after the last whole window are left out.
    phase : str, optional
        The phase; not needed if there is only one.

    Returns
    -------
    xarray.DataArray, dims (time, unit) or (`by`, time, unit), float64
        Mean rate over the trials that reach the end of the window, in Hz; NaN where no
        trial does. Coordinates: ``time``, the left edge of the window in s, on the
        clock of the segments if all start at the same time, else since the start of the
        trial; ``standard_error`` of the same shape, the standard deviation over trials
        (n - 1 in the denominator) divided by sqrt(n), NaN for one trial; ``n_trials``;
        and the columns of the table of units.

    Raises
    ------
    InputTypeError, InputValueError
        If `recording` is not a Recording, the phase is unknown or not given, a segment
        does not hold one presentation (cut trials with `Recording.cut_trials`), the
        column is unknown, or no trial holds a window.

    Notes
    -----
    The rates equal ``elephant.statistics.time_histogram(trains, bin_size,
    output="rate")`` over the trials of a unit. Counts are sums of integers.

    Examples
    --------
    >>> import pandas as pd
    >>> from ann2neo import SpikeRaster
    >>> recording = Recording.from_raster(
    ...     SpikeRaster.from_dense([[1, 0, 1, 1, 1, 0]])
    ... ).with_presentations(pd.DataFrame({"start_bin": [0, 3], "stop_bin": [3, 6]}))
    >>> psth(recording.cut_trials()).values[:, 0]
    array([1000.,  500.,  500.])
    """
    import xarray as xr

    chosen = one_phase(recording, phase, "psth")
    length = step_length(window, recording.raster)
    trials = trials_of(recording, chosen, kind)
    check_trials(trials, "psth")
    names, code = None, np.zeros(trials.n_trials, np.int64)
    if by is not None:
        values = _column(recording, trials, by)
        is_grouped = ~is_missing(values)
        if not is_grouped.any():
            raise InputValueError(
                f"no trial of phase {chosen.phase!r} has a {by}; leave out by=, or"
                " select another phase"
            )
        trials = trials.of(is_grouped)
        names, code = _sorted_groups(values[is_grouped])
    steps = StepMatrices(trials.phase.lengths, code)
    n_windows = steps.n_steps // length
    if not n_windows:
        raise InputValueError(
            f"window of {length} steps is longer than every trial of phase"
            f" {chosen.phase!r}, of which the longest has {steps.n_steps}; choose a"
            " shorter one"
        )
    means, errors, n_trials = _histograms(recording, trials, steps, length)
    dims: tuple[str, ...] = ("time", "unit")
    coords: dict[str, Any] = unit_coordinates(recording)
    coords["time"] = ("time", _times(recording, trials, n_windows, length))
    if names is None:
        means, errors, n_trials = means[0], errors[0], n_trials[0]
    else:
        dims = (str(by), *dims)
        coords[str(by)] = (str(by), names)
    coords["standard_error"] = (dims, errors)
    coords["n_trials"] = (dims[:-1], n_trials)
    result = xr.DataArray(
        means,
        dims=dims,
        coords=coords,
        name="firing_rate_hz",
        attrs=attributes(
            recording, units="Hz", phase=chosen.phase, kind=trials.kind, window=length
        ),
    )
    result["time"].attrs["units"] = "s"
    return result


def _column(recording: Recording, trials: Trials, by: str) -> npt.NDArray[Any]:
    """Return the values of a column of the presentations, one per trial."""
    table = recording.presentations
    valid = [str(name) for name in table if name not in _NOT_GROUPS]
    if by not in valid:
        raise InputValueError(
            f"by must be a column of the presentations, got {by!r}; this recording has"
            f" {', '.join(map(repr, valid)) or 'none'}"
        )
    values: npt.NDArray[Any] = table[by].to_numpy()[trials.rows]
    return values.astype(str) if table[by].dtype == "str" else values


def _sorted_groups(values: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], IntArray]:
    names, code = np.unique(values, return_inverse=True)
    return names, code.astype(np.int64)


def _times(
    recording: Recording, trials: Trials, n_windows: int, length: int
) -> FloatArray:
    """Return the left edges of the windows, in s."""
    period = recording.raster.sampling_period_seconds
    times = trials.start_time(recording) + np.arange(n_windows) * (length * period)
    return np.asarray(times, np.float64)


def _histograms(
    recording: Recording, trials: Trials, steps: StepMatrices, length: int
) -> tuple[FloatArray, FloatArray, IntArray]:
    """Return rates and standard errors in Hz, and the trials that reach each window."""
    n_windows = steps.n_steps // length
    shape = (len(steps.groups), n_windows)
    n_trials = steps.reaching[:, length - 1 :: length]
    rates, errors = np.empty((2, *shape, recording.n_units))

    def sums(
        block: tuple[slice, SegmentedRaster],
    ) -> tuple[slice, IntArray, IntArray]:
        units, segments = block
        total, squares = np.empty((2, segments.n_units, *shape), np.int64)
        for unit, matrix in enumerate(steps.of_units(segments)):
            total[unit], squares[unit] = _window_sums(steps, matrix, length)
        return units, total, squares

    second = recording.raster.sampling_period_seconds * length
    n = n_trials[..., np.newaxis]
    for units, total, squares in map_blocks(
        sums, trials.phase.unit_blocks(recording.raster, _BLOCK_BYTES)
    ):
        k, k2 = (np.moveaxis(values, 0, -1) for values in (total, squares))
        with np.errstate(invalid="ignore", divide="ignore"):
            rates[..., units] = k / n / second
            # n sum c^2 - (sum c)^2 in whole numbers, so that nothing cancels.
            spread = (n * k2 - k * k) / (n.astype(np.float64) ** 2 * (n - 1))
            errors[..., units] = np.sqrt(spread) / second
    return rates, errors, n_trials


def _window_sums(
    steps: StepMatrices, matrix: npt.NDArray[np.uint8], length: int
) -> tuple[IntArray, IntArray]:
    """Return sums over trials of the counts in windows, and of their squares."""
    if length == 1:
        spikes = steps.spikes(matrix)
        return spikes, spikes
    n_windows = steps.n_steps // length
    inside = matrix[:, : n_windows * length].reshape(steps.n_trials, n_windows, length)
    counts = inside.sum(axis=2, dtype=np.int64)
    # A trial that ends inside a window is not in its mean.
    counts[steps.lengths[:, np.newaxis] < length * np.arange(1, n_windows + 1)] = 0
    first = [rows.start for rows in steps.groups]
    return (
        np.add.reduceat(counts, first, axis=0),
        np.add.reduceat(counts * counts, first, axis=0),
    )
