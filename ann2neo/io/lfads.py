"""Files of trials for models of latent variables: the layout of lfads-torch."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import quantities as pq

from ann2neo._checks import number_between, path_of, seconds, seed_or_new
from ann2neo._files import complete_file, output_path
from ann2neo.errors import FileFormatError, InputTypeError, InputValueError
from ann2neo.io.arrays import (
    lengths_of,
    recording_of_trials,
    spikes_of,
    trial_bins,
    trial_spikes,
)
from ann2neo.io.nwb.hdf5_items import attribute_of, check_nothing_outside, checked
from ann2neo.io.nwb.hdf5_tables import open_hdf5
from ann2neo.recording import Recording, checked_recording

__all__ = ["read_lfads", "write_lfads"]

_SPLITS = ("train", "valid")
_DATA = ("encod_data", "recon_data")
_OWN = {*_DATA, "inds"}
_NOT_COLUMNS = ("start_bin", "stop_bin")


def write_lfads(
    recording: Recording,
    path: str | Path,
    *,
    kind: str | None = None,
    window: Any = None,
    valid_share: float = 0.2,
    seed: int | None = 0,
    extra: Mapping[str, npt.ArrayLike] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write trials as an HDF5 file that lfads-torch and its relatives train on.

    Parameters
    ----------
    recording : Recording
        A recording with presentations; they need not be segments.
    path : str or Path
        Where to write, ending in ``.h5``.
    kind : str, optional
        Kind of the presentations; the only one, or "trials", if not given.
    window : (start, stop), optional
        Steps since the start of a presentation, or times since it as quantities. All
        trials must be equally long: choose a window that all of them hold.
    valid_share : float, default 0.2
        Share of the trials that are held back for validation, at least one.
    seed : int or None, default 0
        Of the split; None draws one.
    extra : mapping of str to array_like, shape (n_trials, ...), optional
        More arrays to split alike, one entry per trial in the order of the
        presentations, such as ``ext_input`` or ``truth`` (lfads-torch), ``inputs``,
        ``latents`` or ``activity`` (computation-through-dynamics benchmark).
    overwrite : bool, default False
        Replace an existing file.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputTypeError, InputValueError
        If there are fewer than two trials, they differ in length, an array of `extra`
        does not fit or its name is taken, or `valid_share` leaves nothing to train on.
    OutputExistsError, OutputLockedError, OutputError
        If the file exists or cannot be written.

    Notes
    -----
    ``train_encod_data`` and ``valid_encod_data`` are float32 of shape (n_trials,
    n_steps, n_units); ``*_recon_data`` are the same, as no unit is held out.
    ``*_inds`` are the rows of the trials among those written, and every column of the
    presentations stands beside them, as ``train_stimulus_id``. Sampling period, units,
    seed and provenance are attributes of the file.

    Examples
    --------
    >>> import h5py, tempfile
    >>> recording = Recording.from_activations(
    ...     [[1, 0], [0, 1], [1, 1], [0, 0]], stimulus_id=["a", "b", "c", "d"]
    ... )
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = write_lfads(recording, f"{folder}/trials.h5", valid_share=0.5)
    ...     with h5py.File(path) as file:
    ...         print(file["train_encod_data"].shape)
    (2, 1, 2)
    """
    checked_recording(recording, "write_lfads")
    target = output_path(path, ".h5", overwrite=overwrite)
    valid_share = number_between(
        valid_share, "valid_share", 0, 1, remedy="the usual one is 0.2"
    )
    bins = trial_bins(recording, kind, window, "write_lfads")
    lengths = bins.stops - bins.starts
    if (lengths != bins.n_steps).any():
        raise InputValueError(
            f"write_lfads needs trials of one length, and these last {lengths.min()} to"
            f" {lengths.max()} steps; choose a window that all hold, such as"
            f" window=(0, {lengths.min()})"
        )
    n_valid = max(1, round(valid_share * bins.n_trials))
    if n_valid >= bins.n_trials:
        raise InputValueError(
            f"{bins.n_trials} trials with valid_share={valid_share} leave none to train"
            " on; record more trials, or lower valid_share"
        )
    drawn_seed = seed_or_new(seed)
    order = np.random.default_rng(drawn_seed).permutation(bins.n_trials)
    parts = dict(
        zip(_SPLITS, (np.sort(order[n_valid:]), np.sort(order[:n_valid])), strict=True)
    )
    table = recording.presentations.iloc[bins.rows].reset_index(drop=True)
    table = table.drop(columns=list(_NOT_COLUMNS))
    places = _places(table, _OWN)
    columns = {places[str(name)]: _storable(table[name]) for name in table}
    more = _extra({} if extra is None else extra, bins.n_trials, set(columns))
    spikes = trial_spikes(recording, bins, np.float32, 0.0)
    import h5py

    units = recording.units
    unit_places = _places(units)
    with (
        complete_file(target, overwrite=overwrite) as partial,
        h5py.File(partial, "w") as file,
    ):
        for name, rows in parts.items():
            data = spikes[rows]
            for key in _DATA:
                file.create_dataset(f"{name}_{key}", data=data, compression="gzip")
            file[f"{name}_inds"] = rows
            for key, values in {**columns, **more}.items():
                file[f"{name}_{key}"] = values[rows]
        if "truth" in more:
            # Of the unit that rates are in, as lfads-torch asks for.
            file["conversion_factor"] = 1.0
        file.attrs["sampling_period"] = recording.raster.sampling_period_seconds
        file.attrs["first_time"] = bins.first_time
        file.attrs["seed"] = drawn_seed
        file.attrs["identifier"] = recording.identifier
        file.attrs["columns"] = list(columns)
        file.attrs["provenance"] = json.dumps(dict(recording.provenance))
        # Groups at the top would stop readers that take every item for an array.
        for column in units:
            file[f"unit_{unit_places[str(column)]}"] = _storable(units[column])
        for key, names in (("renamed", places), ("renamed_units", unit_places)):
            renamed = {place: name for name, place in names.items() if place != name}
            file.attrs[key] = json.dumps(renamed)
    return target


def _places(table: pd.DataFrame, reserved: Collection[str] = ()) -> dict[str, str]:
    """Return the name of each column in the file, where / would make a group."""
    names = [str(name) for name in table]
    places: dict[str, str] = {}
    for name in names:
        place = name.replace("/", "_")
        # A name that needs no change is kept, whatever the others become.
        others = {*names} - {name}
        while place in reserved or place in others or place in places.values():
            place += "_"
        places[name] = place
    return places


def _extra(arrays: Any, n_trials: int, taken: set[str]) -> dict[str, npt.NDArray[Any]]:
    if not isinstance(arrays, Mapping):
        raise InputTypeError(
            f"extra must be a mapping of names to arrays, got {type(arrays).__name__};"
            " pass, for example, {'ext_input': inputs}"
        )
    checked = {}
    for name, values in arrays.items():
        if not isinstance(name, str) or not name or "/" in name:
            raise InputValueError(
                f"extra has an array called {name!r}; its name must be a text without"
                " '/', such as 'ext_input'"
            )
        try:
            array = np.asarray(values)
        except ValueError as error:
            raise InputTypeError(
                f"extra[{name!r}] must hold numbers, one entry per trial ({n_trials}),"
                " all of one shape; fill up short ones"
            ) from error
        if name in taken | _OWN:
            raise InputValueError(
                f"extra has an array called {name!r}, which the file writes itself;"
                " choose another name"
            )
        if array.ndim == 0 or len(array) != n_trials or array.dtype.kind not in "fiub":
            raise InputTypeError(
                f"extra[{name!r}] must hold numbers, one entry per trial"
                f" ({n_trials}), got {array.dtype} of shape {array.shape}"
            )
        checked[name] = array
    return checked


def _storable(column: pd.Series) -> npt.NDArray[Any]:
    if column.dtype == "str":
        return np.array([text.encode() for text in column], "S")
    return column.to_numpy()


def read_lfads(
    path: str | Path,
    *,
    threshold: npt.ArrayLike | None = None,
    sampling_period: pq.Quantity | None = None,
) -> Recording:
    """Read trials from an HDF5 file in the layout of lfads-torch.

    Parameters
    ----------
    path : str or Path
        The file.
    threshold : float or array_like of float, shape (n_units,), optional
        A unit spikes where its count is strictly above this. Needed where bins hold
        more than one spike.
    sampling_period : quantities.Quantity, time, optional
        Length of a bin; what the file says, else 1 ms, if not given.

    Returns
    -------
    Recording
        The phases "train" and "valid", and "test" where there is one, with a segment
        per trial. Arrays of one number or text per trial become columns of the
        presentations, others are left out.

    Raises
    ------
    FileFormatError
        If the file is no HDF5 file, leads to other files, is damaged, or holds no such
        arrays.
    InputValueError
        If bins hold more than one spike and there is no threshold.

    Examples
    --------
    >>> import tempfile
    >>> recording = Recording.from_activations(
    ...     [[1, 0], [0, 1], [1, 1], [0, 0]], stimulus_id=["a", "b", "c", "d"]
    ... )
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = write_lfads(recording, f"{folder}/trials.h5", valid_share=0.5)
    ...     read_lfads(path).phases["phase"].to_list()
    ['train', 'valid']
    """
    import h5py

    path = path_of(path)
    with open_hdf5(path, "lfads-torch") as file:
        # A file of a stranger may lead elsewhere, or claim more than it holds.
        check_nothing_outside(file)
        arrays = {
            str(key): checked(item)[()]
            for key, item in file.items()
            if isinstance(item, h5py.Dataset)
        }
        splits = [name for name in (*_SPLITS, "test") if f"{name}_encod_data" in arrays]
        if not set(_SPLITS) <= set(splits):
            raise FileFormatError(
                f"{path} has no arrays train_encod_data and valid_encod_data, but"
                f" {', '.join(sorted(arrays)) or 'nothing'}; read_lfads needs the"
                " layout of lfads-torch"
            )
        data = [arrays[f"{name}_encod_data"] for name in splits]
        shapes = {part.shape[1:] for part in data}
        if any(part.ndim != 3 for part in data) or len(shapes) != 1:
            found = ", ".join(str(part.shape) for part in data)
            raise FileFormatError(
                f"the arrays of {path} must have the axes (trial, time, unit) and the"
                f" same steps and units, got {found}"
            )
        values = np.concatenate(data)
        if values.dtype.kind not in "biuf":
            raise FileFormatError(
                f"the arrays of {path} must hold numbers, got {values.dtype}; get an"
                " undamaged copy"
            )
        attrs = {name: attribute_of(file, name) for name in file.attrs}
        first_time = float(attrs.get("first_time", 0.0))
        own_period = float(attrs.get("sampling_period", 0.001))
        if not 0 < own_period < np.inf or not np.isfinite(first_time):
            raise FileFormatError(
                f"{path} says that bins last {own_period} s from {first_time} s on, so"
                " it is damaged; get an undamaged copy"
            )
        notes = json.loads(attrs.get("provenance", "{}"))
        provenance = {str(key): str(value) for key, value in notes.items()}
        trials = [
            _renamed(_table(arrays, name, len(part)), attrs.get("renamed"))
            for name, part in zip(splits, data, strict=True)
        ]
        units = _units(arrays, values.shape[2])
        units = _renamed(units, attrs.get("renamed_units"))
    period = own_period * pq.s if sampling_period is None else sampling_period
    seconds(period, "sampling_period", positive=True)
    return recording_of_trials(
        spikes_of(values, threshold, "the arrays of the file"),
        lengths_of(values),
        pd.concat(trials, ignore_index=True),
        units,
        is_samples=False,
        sampling_period=period,
        first_time=first_time,
        provenance={**provenance, "source_file": path.name},
    )


def _renamed(table: pd.DataFrame, renamed: str | None) -> pd.DataFrame:
    """Give columns the names that they had, where the file has no such column."""
    names = json.loads(renamed or "{}")
    own = {place: str(name) for place, name in names.items() if name not in table}
    return table.rename(columns=own)


def _table(arrays: Mapping[str, Any], split: str, n_trials: int) -> pd.DataFrame:
    """Return the columns of the trials of one part of the split."""
    columns: dict[str, Any] = {}
    for key, values in arrays.items():
        name = key.removeprefix(f"{split}_")
        is_own = name == key or name in _NOT_COLUMNS
        if not is_own and np.shape(values) == (n_trials,):
            # The phase of the recording that was written; here it is the split.
            name = "source_phase" if name == "phase" else name
            columns[name] = _text(values)
    return pd.DataFrame({**columns, "phase": split}, index=pd.RangeIndex(n_trials))


def _units(arrays: Mapping[str, Any], n_units: int) -> pd.DataFrame:
    columns = {
        key.removeprefix("unit_"): _text(values)
        for key, values in arrays.items()
        if key.startswith("unit_") and np.shape(values) == (n_units,)
    }
    return pd.DataFrame(columns, index=pd.RangeIndex(n_units))


def _text(values: npt.NDArray[Any]) -> Any:
    if values.dtype.kind in "SO":
        return [
            cell.decode() if isinstance(cell, bytes) else str(cell) for cell in values
        ]
    return values
