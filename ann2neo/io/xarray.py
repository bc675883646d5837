"""Recordings as labelled arrays of xarray, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import quantities as pq

from ann2neo._checks import fifteen_digits, real_number, seconds, text_mapping
from ann2neo.errors import InputTypeError, InputValueError
from ann2neo.io.arrays import (
    lengths_of,
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
_SECONDS = {"s": 1.0, "seconds": 1.0, "ms": 1e-3, "milliseconds": 1e-3, "us": 1e-6}
"""Units of times; a table, since quantities evaluates a unit of a stranger as code."""
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
        Length of a bin; if not given, that of the attribute ``sampling_period`` (in s)
        or of the coordinate ``time`` (in s unless its attribute ``units`` names another
        unit; brain-score's ``time_bin_start`` is in ms), else 1 ms.
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
    lengths = lengths_of(values)
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
        provenance={**notes, **text_mapping(provenance, "provenance")},
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


def _clock(
    array: xr.DataArray, time: str | None, sampling_period: pq.Quantity | None
) -> tuple[float, float]:
    """Return the length of a bin and the time of the first one, in s."""
    times = _times(array, time, time) if time is not None else None
    if times is None and time is not None:
        times = _times(array, time, "time_bin_start")
    period = _period(array, time, times, sampling_period)
    if times is None:
        return period, 0.0
    expected = times[0] + period * np.arange(len(times))
    is_even = np.abs(times - expected).max() <= 0.01 * period
    if not is_even:
        raise InputValueError(
            f"the coordinate {time!r} must rise by one bin of {period:g} s at every"
            f" step, got {', '.join(f'{value:g}' for value in times[:5])} .. s; give"
            f" the length of a bin as sampling_period=, sort with"
            f" array.sortby({time!r}), or drop the coordinate"
        )
    return period, fifteen_digits(float(times[0]))


def _period(
    array: xr.DataArray,
    time: str | None,
    times: npt.NDArray[np.float64] | None,
    sampling_period: pq.Quantity | None,
) -> float:
    """Return the length of a bin in s: what was given, else what the array says."""
    if sampling_period is not None:
        return seconds(sampling_period, "sampling_period", positive=True)
    noted = array.attrs.get("sampling_period")
    if isinstance(noted, pq.Quantity):
        return seconds(noted, "the attribute sampling_period", positive=True)
    if noted is not None:
        remedy = "give the length of a bin as sampling_period="
        number = real_number(noted, "the attribute sampling_period", remedy=remedy)
        if not 0 < number < np.inf:
            raise InputValueError(
                "the attribute sampling_period must be a number of seconds above 0, got"
                f" {noted}; {remedy}"
            )
        return fifteen_digits(number)
    if times is not None and len(times) > 1:
        return fifteen_digits(abs(float(times[-1] - times[0])) / (len(times) - 1))
    stops = None if time is None else _times(array, time, "time_bin_end")
    if times is not None and stops is not None:
        return fifteen_digits(float(stops[0] - times[0]))
    return 0.001


def _times(array: xr.DataArray, dim: str, name: str) -> npt.NDArray[np.float64] | None:
    """Return a coordinate of times in s, or None where there is none."""
    if name not in array.coords or array[name].dims != (dim,):
        return None
    times = array[name].to_numpy()
    remedy = (
        "give seconds, for example with"
        f" array.assign_coords({name}=array[{name!r}] - array[{name!r}][0])"
    )
    if times.dtype.kind == "m":
        times = times / np.timedelta64(1, "s")
    elif times.dtype.kind not in "iuf":
        raise InputTypeError(
            f"the coordinate {name!r} must hold times in s, got {times.dtype}; {remedy}"
        )
    else:
        # Those of brain-score are in ms, and do not say so.
        usual = "ms" if name.startswith("time_bin_") else "s"
        unit = str(array[name].attrs.get("units", usual))
        if unit not in _SECONDS:
            raise InputValueError(
                f"the coordinate {name!r} is in {unit!r}, which is none of"
                f" {', '.join(_SECONDS)}; convert it, and write its unit into"
                f" array[{name!r}].attrs['units']"
            )
        times = times * _SECONDS[unit]
    if not np.isfinite(times).all():
        raise InputValueError(
            f"the coordinate {name!r} must hold finite times, got"
            f" {times[~np.isfinite(times)][0]}; drop these steps"
        )
    return np.asarray(times, np.float64)


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
