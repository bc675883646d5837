"""Trials as arrays (trial, step, unit), and recordings of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import quantities as pq

from ann2neo._checks import fifteen_digits
from ann2neo._memory import check_fits
from ann2neo.errors import ActivationError, InputTypeError, InputValueError
from ann2neo.raster import RasterBuilder
from ann2neo.recording import Recording
from ann2neo.recording.segments import Segment, segment_table
from ann2neo.recording.select import kind_of, segment_of
from ann2neo.recording.tables import DEFAULT_KIND, ORDERS
from ann2neo.recording.windows import StepWindow, check_window, step_window

__all__ = [
    "TrialBins",
    "lengths_of",
    "recording_of_trials",
    "spikes_of",
    "trial_bins",
    "trial_spikes",
]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


class TrialBins(NamedTuple):
    """The window of each presentation of a kind, in bins of the recording.

    Parameters
    ----------
    rows : ndarray of int64, shape (n_trials,)
        Rows of the table of presentations.
    starts, stops : ndarray of int64, shape (n_trials,)
        First bin of each window, and the bin after its last.
    first_time, period : float
        Left edge of the first step in s, relative to what the trials are aligned to,
        and length of a step.
    """

    rows: IntArray
    starts: IntArray
    stops: IntArray
    first_time: float
    period: float

    @property
    def n_trials(self) -> int:
        """Number of trials."""
        return len(self.rows)

    @property
    def n_steps(self) -> int:
        """Steps of the longest trial."""
        return int((self.stops - self.starts).max())

    @property
    def times(self) -> FloatArray:
        """Left edge of each step in s, shape (n_steps,)."""
        steps = np.arange(self.n_steps, dtype=np.float64)
        # To a picosecond, so that 0.1 + 0.2 is 0.3.
        times: FloatArray = np.round(self.first_time + self.period * steps, 12)
        return times


def trial_bins(
    recording: Recording, kind: str | None, window: Any, caller: str
) -> TrialBins:
    """Return the bins of the presentations of a kind, or of a window of each.

    Parameters
    ----------
    recording : Recording
        The recording.
    kind : str, optional
        Kind of the presentations; the only one, or "trials", if not given.
    window : (start, stop), optional
        Steps since the start of a presentation, or times since it as quantities.
    caller : str
        Name of the function that needs it, for messages.

    Raises
    ------
    InputTypeError, InputValueError
        If there are no presentations, or one does not hold the whole window.
    """
    table = recording.presentations
    kind = kind_of(table, kind)
    rows = np.flatnonzero((table["kind"] == kind).to_numpy())
    if not len(rows):
        raise InputValueError(
            f"{caller} needs presentations, and the recording has none; add them with"
            " recording.with_presentations"
        )
    chosen = table.iloc[rows]
    begins, ends = chosen["start_bin"].to_numpy(), chosen["stop_bin"].to_numpy()
    steps: StepWindow = step_window(window, recording.raster)
    check_window(steps, ends - begins, kind)
    starts = begins + steps.start
    stops = ends if steps.stop is None else begins + steps.stop
    period = recording.raster.sampling_period_seconds
    first = _common_start(recording, begins) + steps.start * period
    return TrialBins(rows, starts, stops, fifteen_digits(first), period)


def _common_start(recording: Recording, begins: IntArray) -> float:
    """Return when trials start on their own clock, in s; 0 where they disagree.

    Trials that were cut around an event start at the same time before or after it.
    """
    segments = recording.segments
    place = segment_of(recording, begins)
    is_start = segments["start_bin"].to_numpy()[place] == begins
    clocks = segments["t_start"].to_numpy()[place]
    period = recording.raster.sampling_period_seconds
    if not is_start.all() or np.ptp(clocks) > period / 2:
        return 0.0
    return float(clocks[0])


def trial_spikes(
    recording: Recording, bins: TrialBins, dtype: npt.DTypeLike, missing: float
) -> npt.NDArray[Any]:
    """Return the spikes of each trial, step and unit; `missing` after a trial's end.

    Raises
    ------
    InputValueError
        If the array would not fit into memory; the message says how large it is.
    """
    shape = (bins.n_trials, bins.n_steps, recording.n_units)
    check_fits(
        np.dtype(dtype).itemsize * int(np.prod(shape, dtype=np.float64)),
        f"{shape[0]} trials x {shape[1]} steps x {shape[2]} units",
        "choose fewer steps with window=(start, stop), or select units and"
        " presentations with recording.select",
    )
    spikes = np.full(shape, missing, dtype)
    lengths = bins.stops - bins.starts
    is_inside = np.arange(bins.n_steps) < lengths[:, None]
    joined = recording.raster.join(bins.starts, bins.stops)
    for units, block in joined.unit_blocks(_BLOCK_BYTES):
        # In the order of trials and steps, as the bins lie side by side.
        spikes[is_inside, units] = block.to_dense().T
    return spikes


_BLOCK_BYTES = 1 << 21


def lengths_of(values: npt.NDArray[Any]) -> IntArray:
    """Return the steps of each trial before its padding of NaN.

    Parameters
    ----------
    values : ndarray, shape (n_trials, n_steps, n_units)
        NaN after the end of a trial.

    Returns
    -------
    ndarray of int64, shape (n_trials,)
        Number of steps.

    Raises
    ------
    InputValueError
        If there is no trial or step, or a value is missing inside a trial.
    """
    n_steps = values.shape[1]
    if not len(values) or not n_steps:
        raise InputValueError(
            "there is no presentation or no time in an array of shape"
            f" {values.shape} (presentation, time, unit); pass one that holds some"
        )
    if values.dtype.kind != "f":
        return np.full(len(values), n_steps, np.int64)
    is_missing = np.isnan(values)
    is_padding = is_missing.all(axis=2) & (values.shape[2] > 0)
    # The padding is the steps after the last one that is none.
    is_known = ~is_padding[:, ::-1]
    lengths = np.where(is_known.any(axis=1), n_steps - is_known.argmax(axis=1), 0)
    inside = is_missing & (np.arange(n_steps) < lengths[:, None])[:, :, None]
    if inside.any() or (lengths == 0).any():
        row = int(np.argmin(lengths)) if (lengths == 0).any() else None
        if row is None:
            row, step, unit = (int(i) for i in np.argwhere(inside)[0])
            where = f"presentation {row}, step {step}, unit {unit} has no value (NaN)"
        else:
            where = f"presentation {row} has no value at all"
        raise InputValueError(
            f"{where}; NaN may only fill up a trial after its end, for all units:"
            " drop the units or presentations that were not observed"
        )
    return lengths.astype(np.int64)


def spikes_of(
    values: npt.NDArray[Any], threshold: npt.ArrayLike | None, what: str
) -> npt.NDArray[np.bool_]:
    """Return which cells of an array hold a spike; NaN is none.

    Parameters
    ----------
    values : ndarray, shape (..., n_units)
        Spikes 0 and 1, or any numbers if a threshold is given.
    threshold : float or array_like of float, shape (n_units,), optional
        A unit spikes where its value is strictly above this.
    what : str
        What the values are, for messages.

    Raises
    ------
    InputTypeError, InputValueError
        If they or the threshold are no numbers, they are neither 0 nor 1 and there is
        no threshold, or its shape is wrong.
    """
    if values.dtype.kind not in "biuf":
        raise InputTypeError(
            f"{what} must hold numbers or booleans, got {values.dtype}; convert them"
            " first, for example with astype(float)"
        )
    if threshold is None:
        known = values[~np.isnan(values)] if values.dtype.kind == "f" else values
        if not np.isin(known, (0, 1)).all():
            raise InputValueError(
                f"{what} must hold 0 and 1, at most one spike per bin, and run from"
                f" {known.min():g} to {known.max():g}; say above which value there is a"
                " spike, with threshold="
            )
        return np.asarray(values == 1)
    try:
        limits = np.asarray(threshold, np.float64)
    except (TypeError, ValueError) as error:
        raise InputTypeError(
            f"threshold must be a number or one per unit, got {threshold!r}"
        ) from error
    if np.isnan(limits).any():
        raise InputValueError("threshold must hold numbers, got NaN; pass -inf or inf")
    if limits.shape not in {(), values.shape[-1:]}:
        raise InputValueError(
            f"threshold must be a number or one per unit, shape ({values.shape[-1]},),"
            f" got shape {limits.shape}; pass one for each unit"
        )
    if np.isinf(values).any():
        raise ActivationError(f"{what} must be finite; look for infinite values")
    with np.errstate(invalid="ignore"):
        return np.asarray(values > limits)


def recording_of_trials(
    spikes: npt.NDArray[np.bool_],
    lengths: IntArray,
    presentations: pd.DataFrame,
    units: pd.DataFrame,
    *,
    is_samples: bool,
    sampling_period: pq.Quantity,
    first_time: float,
    provenance: Mapping[str, str],
) -> Recording:
    """Make a recording of trials.

    Parameters
    ----------
    spikes : ndarray of bool, shape (n_trials, n_steps, n_units)
        The spikes.
    lengths : ndarray of int64, shape (n_trials,)
        Steps of each trial; later ones are padding.
    presentations : pandas.DataFrame, n_trials rows
        Columns of the trials, with ``phase`` and, where known, ``order`` and ``kind``.
    units : pandas.DataFrame, n_units rows
        Columns of the units.
    is_samples : bool
        Whether a trial is one sample of a phase, which is one segment; else each trial
        is a segment.
    sampling_period : quantities.Quantity, time
        Length of a step.
    first_time : float
        Time of the first step of each trial on its own clock, in s.
    provenance : mapping of str to str
        Where it came from.
    """
    # Phases one after another, in the order in which they first appear.
    codes, values = pd.factorize(presentations["phase"])
    if (codes < 0).any():
        row = int(np.argmax(codes < 0))
        raise InputValueError(
            f"presentation {row} has no phase ({presentations['phase'].iloc[row]});"
            " name one for each, or leave out the column phase"
        )
    names = [str(name) for name in values]
    order = np.argsort(codes, kind="stable")
    table, lengths, codes = presentations.iloc[order], lengths[order], codes[order]
    edges = np.concatenate([[0], np.cumsum(lengths)])
    builder = RasterBuilder(spikes.shape[2], int(edges[-1]))
    for row, first, length in zip(order, edges[:-1], lengths, strict=True):
        builder.write(int(first), np.ascontiguousarray(spikes[row, :length]))
    orders = np.full(len(table), "unknown", object)
    if "order" in table:
        orders = table["order"].to_numpy(object)
        if not set(orders) <= set(ORDERS):
            raise InputValueError(
                f"the order of presentations must be one of {', '.join(ORDERS)}, got"
                f" {sorted(set(map(str, orders)))}; rename that coordinate"
            )
        table = table.drop(columns="order")
    begins = np.arange(len(table))
    if is_samples:
        begins = np.flatnonzero(np.diff(codes, prepend=-1))
    stops = np.append(begins[1:], len(table))
    segments = [
        Segment(int(edges[i]), int(edges[j]), names[codes[i]], orders[i], first_time)
        for i, j in zip(begins, stops, strict=True)
    ]
    if "kind" not in table:
        table = table.assign(kind=DEFAULT_KIND)
    table = table.assign(phase=[names[code] for code in codes])
    table.insert(0, "start_bin", edges[:-1])
    table.insert(1, "stop_bin", edges[1:])
    return Recording(
        builder.build(sampling_period=sampling_period),
        units,
        table.reset_index(drop=True),
        segments=segment_table(segments),
        provenance=provenance,
    )
