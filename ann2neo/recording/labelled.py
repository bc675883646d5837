"""Coordinates and attributes of labelled arrays (xarray) of a recording."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

if TYPE_CHECKING:
    from ann2neo.recording.recording import Recording

__all__ = ["attributes", "presentation_coordinates", "unit_coordinates"]

_BINS = ("start_bin", "stop_bin")
_Coordinate = tuple[str, npt.NDArray[Any]]


def unit_coordinates(recording: Recording) -> dict[str, _Coordinate]:
    """Return the coordinates along the dimension ``unit``.

    Parameters
    ----------
    recording : Recording
        The recording.

    Returns
    -------
    dict of str to (str, ndarray)
        ``unit``, the index of each unit, then the columns of the table of units; a
        column called ``unit`` becomes ``unit_``.
    """
    index = {"unit": ("unit", np.arange(recording.n_units))}
    return index | _columns(recording.units, "unit", ("unit",))


def presentation_coordinates(
    recording: Recording, rows: npt.NDArray[np.int64], dimension: str = "presentation"
) -> dict[str, _Coordinate]:
    """Return the coordinates along the dimension of presentations.

    Parameters
    ----------
    recording : Recording
        The recording.
    rows : ndarray of int, shape (n,)
        The presentations, as rows of its table.
    dimension : str, default "presentation"
        Name of the dimension.

    Returns
    -------
    dict of str to (str, ndarray)
        The row of each presentation in the table, its ``start_time`` and ``stop_time``
        in s on the recording's clock, then the other columns of the table.
    """
    table = recording.presentations.iloc[rows]
    raster = recording.raster
    times = {
        f"{end}_time": raster.bin_edge_seconds(table[f"{end}_bin"].to_numpy())
        for end in ("start", "stop")
    }
    own = {dimension: rows, **times}
    coordinates = {name: (dimension, values) for name, values in own.items()}
    others = table.drop(columns=list(_BINS))
    return coordinates | _columns(others, dimension, (*coordinates, "unit", "time"))


def _columns(
    table: pd.DataFrame, dimension: str, taken: tuple[str, ...]
) -> dict[str, _Coordinate]:
    """Return the columns of a table, renamed where a name is taken."""
    columns = {}
    for name in table:
        values = table[name].to_numpy()
        if table[name].dtype == "str":
            values = values.astype(str)
        label = f"{name}_" if name in taken else str(name)
        columns[label] = (dimension, values)
    return columns


def attributes(recording: Recording, **more: Any) -> dict[str, Any]:
    """Return the attributes of an array: identifier, provenance, and what is given."""
    return {
        "identifier": recording.identifier,
        "sampling_period": recording.raster.sampling_period_seconds,
        **{str(key): str(value) for key, value in recording.provenance.items()},
        **more,
    }
