"""Tables of intervals and events in NWB files, and columns of any type."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

import h5py
import numpy as np
import numpy.typing as npt
import pandas as pd

from ann2neo.io.nwb.hdf5_items import attribute_of, checked, item_at
from ann2neo.io.nwb.hdf5_tables import Table, decoded, texts_of
from ann2neo.recording.tables import DEFAULT_KIND

__all__ = [
    "INVALID_TIMES",
    "Columns",
    "interval_tables",
    "plain_columns",
    "times_of",
]

INVALID_TIMES = "invalid_times"
_TIMES = ("start_time", "stop_time")
_EVENT_TIME = "timestamp"
_PLACES = ("intervals", "events", "processing", "acquisition", "analysis", "scratch")
_LARGEST = np.iinfo(np.int64).max


class Columns(NamedTuple):
    """Columns of a table that have one value per row, and the names of the others."""

    table: pd.DataFrame
    left_out: list[str]


def interval_tables(handle: h5py.File) -> dict[str, str]:
    """Return the places of the tables of intervals and events in a file, by name.

    Trials come first. Of two tables of one name, the second is called by its path.
    Invalid times are not among them.
    """
    places: dict[str, str] = {}

    def add(place: str, item: Any) -> None:
        if not isinstance(item, h5py.Group) or "colnames" not in item.attrs:
            return
        columns = decoded(attribute_of(item, "colnames"))
        if _EVENT_TIME not in columns and "start_time" not in columns:
            return
        name = place.rpartition("/")[2]
        if place != f"intervals/{INVALID_TIMES}":
            places[place if name in places else name] = place

    for folder in _PLACES:
        group = item_at(handle, folder)
        if not isinstance(group, h5py.Group):
            continue
        if folder == _PLACES[0]:
            # Here lie tables and nothing else, so that links are followed, too.
            for name in group:
                add(f"{folder}/{name}", item_at(group, name))
        else:
            group.visititems(lambda name, item, at=folder: add(f"{at}/{name}", item))
    return dict(sorted(places.items(), key=lambda item: item[0] != DEFAULT_KIND))


def times_of(table: Table) -> pd.DataFrame:
    """Return ``start_time`` of a table's rows, in s, and ``stop_time`` if it has some.

    Events have one time, or one and a duration.
    """
    if "start_time" not in table:
        start = table.times(_EVENT_TIME)
        columns = {"start_time": start}
        if "duration" in table:
            # Without a duration, an event is a moment.
            lasts = table.times("duration")
            columns["stop_time"] = start + np.where(np.isfinite(lasts), lasts, 0.0)
        return pd.DataFrame(columns)
    names = [name for name in _TIMES if name in table]
    return pd.DataFrame({name: table.times(name) for name in names})


def plain_columns(table: Table, skipped: Collection[str]) -> Columns:
    """Read the columns of a table that have one value per row.

    Parameters
    ----------
    table : Table
        The table.
    skipped : collection of str
        Columns that are read elsewhere.

    Returns
    -------
    Columns
        Numbers, flags and text; words of an enumeration, names of objects referred to,
        and lists of words as text. Left out are lists of numbers, arrays, and rows of
        other tables.
    """
    columns, left_out = {}, []
    for name in dict.fromkeys(table.colnames):
        if name in skipped or name == "id":
            continue
        values = _cells(table, name)
        if values is None or len(values) != len(table):
            left_out.append(name)
        else:
            columns[name] = values
    return Columns(pd.DataFrame(columns, index=pd.RangeIndex(len(table))), left_out)


def _cells(table: Table, name: str) -> npt.NDArray[Any] | None:
    """Return the values of a column, or None if there is not one per row."""
    dataset = table.dataset(name)
    if dataset is None or dataset.ndim != 1:
        return None
    is_text = h5py.check_string_dtype(dataset.dtype) is not None
    if table.dataset(f"{name}_index") is not None:
        return _joined_words(table, name) if is_text else None
    if is_text:
        return table.texts(name, errors="replace")
    if "elements" in dataset.attrs:
        return _words(dataset, table.rows)
    if h5py.check_ref_dtype(dataset.dtype) is h5py.Reference:
        return _names(dataset, table.rows)
    names = h5py.check_enum_dtype(dataset.dtype)
    if names is not None and dataset.dtype.kind != "b":
        words = {number: word for word, number in names.items()}
        return np.array(
            [words.get(i, "") for i in dataset[table.rows].tolist()], object
        )
    # A column of rows of another table, such as electrodes, is no number of its own.
    if dataset.dtype.kind not in "iufb" or "table" in dataset.attrs:
        return None
    values = table.numbers(name)
    if values.dtype.kind == "u" and len(values) and values.max() > _LARGEST:
        return values.astype("U").astype(object)
    return values.astype(np.int64) if values.dtype.kind in "iu" else values


def _joined_words(table: Table, name: str) -> npt.NDArray[Any] | None:
    """Return lists of words as text, one for each row."""
    if table.dataset(f"{name}_index_index") is not None:
        return None
    dataset, counts = table.ragged(name)
    ends = np.cumsum(counts)
    begins, ends = (ends - counts)[table.rows], ends[table.rows]
    if not len(ends):
        return np.zeros(0, object)
    start = int(begins[0])
    words = texts_of(dataset, "replace", slice(start, int(ends[-1])))
    rows = zip((begins - start).tolist(), (ends - start).tolist(), strict=True)
    return np.array([", ".join(words[first:last]) for first, last in rows], object)


def _words(dataset: h5py.Dataset, rows: slice) -> npt.NDArray[Any] | None:
    """Return the words that the numbers of an enumeration stand for."""
    reference = attribute_of(dataset, "elements")
    # A text would be a path, which could lead to another file.
    if not isinstance(reference, h5py.Reference):
        return None
    elements = dataset.file[reference]
    if dataset.dtype.kind not in "iu" or not isinstance(elements, h5py.Dataset):
        return None
    words = dict(enumerate(texts_of(checked(elements), "replace")))
    return np.array([words.get(i, "") for i in dataset[rows].tolist()], object)


def _names(dataset: h5py.Dataset, rows: slice) -> npt.NDArray[Any]:
    """Return the names of the objects that a column refers to."""
    names = [
        str(dataset.file[reference].name).rpartition("/")[2] if reference else ""
        for reference in dataset[rows]
    ]
    return np.array(names, object)
