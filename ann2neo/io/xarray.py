"""Recordings as labelled arrays of xarray, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import quantities as pq

from ann2neo._checks import fifteen_digits, seconds
from ann2neo.errors import InputTypeError, InputValueError
from ann2neo.io.arrays import (
    recording_of_trials,
    spikes_of,
    trial_bins,
    trial_spikes,
)
from ann2neo.recording import Recording, checked_recording
from ann2neo.recording.labelled import (
    attributes,
    presentation_coordinates,
    unit_coordinates,
)
from ann2neo.recording.select import segment_of

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["from_xarray", "to_xarray"]

_DIMS: Mapping[str, str] = {
    "presentation": "presentation",
    "trial": "presentation",
    "time": "time",
    "time_bin": "time",
    "unit": "unit",
    "neuroid": "unit",
}
"""What the dimensions are that are understood, those of brain-score included."""
_ACCEPTED = "(presentation or trial, [time or time_bin], unit or neuroid)"
_NOT_PROVENANCE = {"identifier", "sampling_period", "units"}


def to_xarray(
    recording: Recording, kind: str | None = None, window: Any = None
) -> xr.DataArray:
    """Return the spikes of every presentation as a labelled array.

    Parameters
    ----------
    recording : Recording
        A recording with presentations; they need not be segments.
    kind : str, optional
        Kind of the presentations; the only one, or "trials", if not given.
    window : (start, stop), optional
        Steps since the start of a presentation, or times since it as quantities; the
        stop may be None, the presentation's end. The whole presentation if not given.

    Returns
    -------
    xarray.DataArray
        Where every presentation is one bin, of dims (presentation, unit), uint8: 1
        where the unit spiked. Else of dims (trial, time, unit), float32: 1 where it
        spiked in the bin that begins at ``time``, in s from the start of the trial (or
        from what `Recording.cut_trials` aligned it to), and NaN after a trial's end.
        Coordinates are the columns of the tables of presentations (with ``start_time``
        and ``stop_time`` in s, and the ``order`` of the phase) and of units, attributes
        the provenance.

    Raises
    ------
    InputTypeError, InputValueError
        If `recording` is not a Recording, it has no presentations of the kind, one of
        them does not hold the whole window, or the array would not fit into memory; the
        message says how large it is.

    Examples
    --------
    >>> recording = Recording.from_activations(
    ...     [[1, 0], [0, 0], [1, 1]], labels=["a", "b", "a"]
    ... )
    >>> array = to_xarray(recording)
    >>> array.dims, array.sel(presentation=array["label"] == "a").values.tolist()
    (('presentation', 'unit'), [[1, 0], [1, 1]])
    """
    import xarray as xr

    checked_recording(recording, "to_xarray")
    bins = trial_bins(recording, kind, window, "to_xarray")
    table = recording.presentations.iloc[bins.rows]
    lengths = table["stop_bin"] - table["start_bin"]
    is_samples = bool((lengths == 1).all())
    dimension = "presentation" if is_samples else "trial"
    coords = presentation_coordinates(recording, bins.rows, dimension)
    place = segment_of(recording, bins.starts)
    orders = recording.segments["order"].to_numpy(object)[place].astype(str)
    coords["order"] = (dimension, orders)
    coords |= unit_coordinates(recording)
    attrs = attributes(recording, units="spikes")
    if is_samples:
        spikes = trial_spikes(recording, bins, np.uint8, 0)[:, 0]
        return xr.DataArray(
            spikes, coords, (dimension, "unit"), name="spikes", attrs=attrs
        )
    spikes = trial_spikes(recording, bins, np.float32, np.nan)
    coords["time"] = ("time", bins.times)
    array = xr.DataArray(
        spikes, coords, (dimension, "time", "unit"), name="spikes", attrs=attrs
    )
    array["time"].attrs["units"] = "s"
    return array


def from_xarray(
    array: xr.DataArray,
    *,
    threshold: npt.ArrayLike | None = None,
    sampling_period: pq.Quantity | None = None,
    phase: str | None = None,
    provenance: Mapping[str, str] | None = None,
) -> Recording:
    """Make a recording of a labelled array, as `to_xarray` returns, or brain-score.

    Parameters
    ----------
    array : xarray.DataArray
        With a dimension ``presentation`` or ``trial``, one ``unit`` or ``neuroid``, and
        perhaps ``time`` or ``time_bin``, in any order. Coordinates become columns,
        those of a MultiIndex too; brain-score's ``image_id`` and ``object_name`` become
        ``stimulus_id`` and ``label``. NaN after the end of a trial is padding.
    threshold : float or array_like of float, shape (n_units,), optional
        A unit spikes where its value is strictly above this. Needed where values are
        not 0 and 1, as mean rates are not.
    sampling_period : quantities.Quantity, time, optional
        Length of a bin; if not given, that of the attribute ``sampling_period`` or of
        the coordinate ``time``, in s, else 1 ms.
    phase : str, optional
        Name of the phase, where there is no coordinate ``phase``; "recording" if not
        given.
    provenance : mapping of str to str, optional
        Where it came from, beside the attributes of the array.

    Returns
    -------
    Recording
        Without a time, one bin per presentation; with it, one segment per trial, which
        starts at the first time.

    Raises
    ------
    InputTypeError, InputValueError
        If it is not a DataArray, its dimensions have other names (both are listed), the
        times are not evenly spaced, a value is missing inside a trial, or values are
        neither 0 nor 1 and there is no threshold.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> assembly = xr.DataArray(
    ...     [[0.2, 3.1], [1.4, 0.1]],
    ...     dims=("presentation", "neuroid"),
    ...     coords={
    ...         "image_id": ("presentation", ["cat", "dog"]),
    ...         "neuroid_id": ("neuroid", ["V4-1", "V4-2"]),
    ...     },
    ... )
    >>> recording = from_xarray(assembly, threshold=1.0)
    >>> recording.raster.to_dense().astype(int)
    array([[0, 1],
           [1, 0]])
    >>> recording.presentations["stimulus_id"].to_list()
    ['cat', 'dog']
    """
    import xarray as xr

    if not isinstance(array, xr.DataArray):
        raise InputTypeError(
            f"from_xarray needs an xarray.DataArray, got {type(array).__name__}; take"
            " one variable of a Dataset, as dataset['spikes']"
        )
    array = _flat_indices(array)
    trial, time, unit = _dimensions(array)
    dims = (trial, unit) if time is None else (trial, time, unit)
    array = array.transpose(*dims)
    values = array.to_numpy()
    if values.dtype.kind not in "fiub":
        raise InputTypeError(
            f"the array must hold numbers, got {values.dtype}; convert it with astype"
        )
    if time is None:
        values = values[:, np.newaxis]
    n_units = values.shape[2]
    if not len(values) or not values.shape[1]:
        raise InputValueError(
            f"the array holds no presentation or no time, got shape {array.shape}"
        )
    lengths = _lengths(values)
    period, first_time = _clock(array, time, sampling_period)
    table = _columns(array, trial, len(values))
    for other, own in (("image_id", "stimulus_id"), ("object_name", "label")):
        if other in table and own not in table:
            table = table.rename(columns={other: own})
    if "phase" not in table:
        table = table.assign(phase="recording" if phase is None else phase)
    derived = ["start_time", "stop_time", "start_bin", "stop_bin", trial]
    table = table.drop(columns=[name for name in derived if name in table])
    units = _columns(array, unit, n_units)
    if array.attrs.get("identifier") is not None:
        units = units.drop(columns=unit, errors="ignore")
    notes = {
        str(key): str(value)
        for key, value in array.attrs.items()
        if key not in _NOT_PROVENANCE
    }
    return recording_of_trials(
        spikes_of(values, threshold, "the array"),
        lengths,
        table,
        units.rename(columns={"unit_": "unit"}),
        is_samples=time is None,
        sampling_period=period * pq.s,
        first_time=first_time,
        provenance={**notes, **(provenance or {})},
    )


def _flat_indices(array: xr.DataArray) -> xr.DataArray:
    """Return the array with the levels of MultiIndexes as coordinates of their own."""
    for dim in array.dims:
        index = array.indexes.get(dim)
        if isinstance(index, pd.MultiIndex):
            array = array.reset_index(dim)
    return array


def _dimensions(array: xr.DataArray) -> tuple[str, str | None, str]:
    """Return the names of the dimensions of presentations, time and units."""
    meanings: dict[str, str] = {}
    for dim in map(str, array.dims):
        meaning = _DIMS.get(dim)
        if meaning is None or meaning in meanings:
            raise InputValueError(
                f"the dimensions must be {_ACCEPTED}, got"
                f" ({', '.join(map(str, array.dims))}); rename them with"
                f" array.rename({{{dim!r}: ...}}), or take a mean or a selection over"
                " those that are left"
            )
        meanings[meaning] = dim
    missing = [name for name in ("presentation", "unit") if name not in meanings]
    if missing:
        raise InputValueError(
            f"the dimensions must be {_ACCEPTED}, got"
            f" ({', '.join(map(str, array.dims))}): there is none of {missing[0]}s; add"
            " one with array.expand_dims, or rename"
        )
    return meanings["presentation"], meanings.get("time"), meanings["unit"]


def _lengths(values: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Return the steps of each trial before its padding of NaN."""
    n_steps = values.shape[1]
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


def _clock(
    array: xr.DataArray, time: str | None, sampling_period: pq.Quantity | None
) -> tuple[float, float]:
    """Return the length of a bin and the time of the first one, in s."""
    period = array.attrs.get("sampling_period")
    times = None
    for name in (time, "time_bin_start"):
        if time is not None and times is None and name in array.coords:
            times = np.asarray(array[name], np.float64)
    if sampling_period is not None:
        period = seconds(sampling_period, "sampling_period", positive=True)
    elif period is None and times is not None and len(times) > 1:
        period = float(times[-1] - times[0]) / (len(times) - 1)
    period = fifteen_digits(0.001 if period is None else float(period))
    if times is None:
        return period, 0.0
    expected = times[0] + period * np.arange(len(times))
    if not np.isfinite(times).all() or np.abs(times - expected).max() > 0.01 * period:
        raise InputValueError(
            f"the coordinate {time!r} must rise by one bin of {period:g} s at every"
            f" step, got {', '.join(f'{value:g}' for value in times[:5])} ..; say how"
            " long a bin is with sampling_period=, or drop the coordinate"
        )
    return period, fifteen_digits(float(times[0]))


def _columns(array: xr.DataArray, dim: str, length: int) -> pd.DataFrame:
    """Return the coordinates along a dimension as columns that a table can keep."""
    columns: dict[str, Any] = {}
    for name, coordinate in array.coords.items():
        if coordinate.dims == (dim,):
            columns[str(name)] = _column(coordinate.to_numpy())
    return pd.DataFrame(columns, index=pd.RangeIndex(length))


def _column(values: npt.NDArray[Any]) -> Any:
    if values.dtype.kind in "biufU":
        return values
    numbers = {"integer", "floating", "boolean", "mixed-integer-float"}
    if values.dtype.kind == "O" and pd.api.types.infer_dtype(values) in numbers:
        return pd.Series(values).infer_objects().to_numpy()
    # A missing text is "", as in our tables; anything else becomes text.
    return ["" if pd.isna(cell) else str(cell) for cell in values]
