"""Tables of units, presentations and segments, with types that every file can keep."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from ann2neo.errors import InputTypeError, InputValueError

__all__ = [
    "DEFAULT_KIND",
    "ORDERS",
    "PHASE_TYPES",
    "PRESENTATION_TYPES",
    "SEGMENT_TYPES",
    "STIMULUS_PLACE",
    "UNIT_DESCRIPTIONS",
    "UNIT_TYPES",
    "checked_presentations",
    "checked_units",
    "column_types",
    "empty_table",
    "fixed_types",
    "in_time_order",
    "joined_tables",
    "length_and_text",
    "network_columns",
    "presentation_table",
    "same_table",
    "shifted",
    "stimulus_names",
    "table_sha256",
    "unit_names",
]

ORDERS = ("random", "stored", "unknown")
"""Order of the presentations in a phase: seeded random, as in the data set, or unknown.
"""

_STRING: Final = "str"
_INT64, _INT32, _BOOL, _FLOAT = "int64", "int32", "bool", "float64"

UNIT_TYPES: Mapping[str, str] = {
    "layer": _STRING,
    "layer_type": _STRING,
    "layer_index": _INT64,
    "call_index": _INT64,
    "output_index": _INT64,
    "unit_in_layer": _INT64,
    "channel": _INT64,
    "row": _INT64,
    "col": _INT64,
    "step": _INT64,
    "depth": _INT64,
    "state": _STRING,
    "threshold": _FLOAT,
}
"""Columns of the units of a network and their types; -1 is a missing value."""

UNIT_DESCRIPTIONS: Mapping[str, str] = {
    "layer": "Name of the layer of the artificial neural network.",
    "layer_type": "Class of the layer.",
    "layer_index": "Place of the layer among the recorded ones.",
    "call_index": (
        "Which call of a shared layer, counted from 0; -1 where there is none."
    ),
    "output_index": (
        "Which output of the layer, counted from 0; -1 where there is none."
    ),
    "unit_in_layer": "Place of the unit in the flattened output of the layer, C order.",
    "channel": "Channel of the unit; -1 where there is none.",
    "row": "Row of the unit in the feature map; -1 where there is none.",
    "col": "Column of the unit in the feature map; -1 where there is none.",
    "step": "Time step of a recurrent layer's output; -1 where there is none.",
    "depth": (
        "Depth of the unit in a three-dimensional feature map; -1 where there is none."
    ),
    "state": (
        "State of a recurrent layer over whose steps time runs: h for its output, c for"
        " the memory of an LSTM; empty where there is none."
    ),
    "threshold": "A unit spikes where its activation is strictly above this value.",
}
"""Meaning of the columns of the units of a network, as files state it."""

DEFAULT_KIND = "trials"
"""Kind of presentations that have no other, as in NWB."""

STIMULUS_PLACE = "stimulus_place"
"""Column of the place of each stimulus in the data shown, where ``stimulus_id`` is a
name or number of the user's own.
"""

PRESENTATION_TYPES: Mapping[str, str] = {
    "start_bin": _INT64,
    "stop_bin": _INT64,
    "phase": _STRING,
    "kind": _STRING,
}
SEGMENT_TYPES: Mapping[str, str] = {
    "start_bin": _INT64,
    "stop_bin": _INT64,
    "phase": _STRING,
    "order": _STRING,
    "t_start": _FLOAT,
}
PHASE_TYPES: Mapping[str, str] = {
    "phase": _STRING,
    "start_bin": _INT64,
    "stop_bin": _INT64,
    "order": _STRING,
}
_LABELS = ("label", "prediction")
_PLACE = ("layer", "unit_in_layer")
# By NumPy's kind of a column, and by pandas' name for what a column of objects holds.
_KIND_OF = {
    "U": _STRING,
    "S": _STRING,
    "i": _INT64,
    "u": _INT64,
    "b": _BOOL,
    "f": _FLOAT,
}
_KINDS = {
    "string": _STRING,
    "empty": _STRING,
    "boolean": _BOOL,
    "integer": _INT64,
    "floating": _FLOAT,
    "mixed-integer-float": _FLOAT,
}


def empty_table(types: Mapping[str, str]) -> pd.DataFrame:
    """Make a table without rows, with columns of these types."""
    return pd.DataFrame(columns=list(types)).astype(types)


def column_types(table: pd.DataFrame) -> dict[str, str]:
    """Return the type of each column."""
    return {str(name): str(dtype) for name, dtype in table.dtypes.items()}


def presentation_table(
    n_presentations: int,
    phase: str | npt.ArrayLike,
    *,
    labels: npt.ArrayLike | None = None,
    predictions: npt.ArrayLike | None = None,
    stimulus_id: npt.ArrayLike | None = None,
    lengths: npt.NDArray[np.int64] | None = None,
) -> pd.DataFrame:
    """Make a table of presentations that follow one another without a gap.

    Parameters
    ----------
    n_presentations : int
        Number of presentations.
    phase : str or array_like of str, shape (n_presentations,)
        One phase for all of them, or one for each.
    labels, predictions, stimulus_id : array_like, shape (n_presentations,), optional
        Class shown, class predicted, and identity of each stimulus; ``is_correct`` is
        added where labels and predictions are given.
    lengths : ndarray of int64, shape (n_presentations,), optional
        Bins of each presentation; one if not given.

    Returns
    -------
    pandas.DataFrame
        One row per presentation.

    Raises
    ------
    InputValueError
        If a column has another length.
    """
    if lengths is None:
        lengths = np.ones(n_presentations, np.int64)
    stops = np.cumsum(lengths)
    columns: dict[str, Any] = {
        "start_bin": stops - lengths,
        "stop_bin": stops,
        "phase": phase,
    }
    if isinstance(phase, str):
        columns["phase"] = _repeated(phase, n_presentations)
    columns["kind"] = _repeated(DEFAULT_KIND, n_presentations)
    given = {"stimulus_id": stimulus_id, "label": labels, "prediction": predictions}
    for name, values in given.items():
        if values is None:
            continue
        column = np.array(values)
        if column.shape != (n_presentations,):
            raise InputValueError(
                f"{name} must have one entry per presentation, shape"
                f" ({n_presentations},), got shape {column.shape}; one-hot rows become"
                " integers with argmax(axis=1)"
            )
        columns[name] = column
    if labels is not None and predictions is not None:
        columns["is_correct"] = columns["label"] == columns["prediction"]
    # Without copy=False, pandas would copy the new columns once more into one block.
    table = pd.DataFrame(columns, copy=False)
    return fixed_types(table, PRESENTATION_TYPES, "presentations")


def _repeated(text: str, n: int) -> Any:
    """Return a column of one text: one string object for all rows, not a copy each."""
    return pd.array([text], dtype=_STRING).repeat(n)


def table_sha256(table: pd.DataFrame) -> str:
    """Return the checksum of a table with fixed types.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns of strings, booleans, integers or floats.

    Returns
    -------
    str
        SHA-256, in hex, of the columns sorted by name: the name of each, then its
        cells; numbers and booleans as little-endian int64 or float64, strings (names
        too) as UTF-8 after their length as int64.
    """
    digest = hashlib.sha256()
    for name in sorted(table.columns):
        digest.update(length_and_text(str(name)))
        column = table[name]
        if column.dtype.kind in "iub":
            digest.update(column.to_numpy().astype("<i8").tobytes())
        elif column.dtype.kind == "f":
            digest.update(column.to_numpy().astype("<f8").tobytes())
        else:
            # Labels and phases repeat: each different string is encoded once.
            cells = column.to_list()
            encoded = {text: length_and_text(text) for text in set(cells)}
            digest.update(b"".join([encoded[text] for text in cells]))
    return digest.hexdigest()


def length_and_text(text: str) -> bytes:
    """Encode a string after its length, so that joined strings stay distinct."""
    data = text.encode()
    return len(data).to_bytes(8, "little") + data


def fixed_types(
    table: pd.DataFrame, required: Mapping[str, str], name: str
) -> pd.DataFrame:
    """Return a copy with fixed column types and a RangeIndex, or raise."""
    missing = [column for column in required if column not in table]
    if missing:
        raise InputValueError(
            f"the table of {name} lacks the column {missing[0]!r}; it needs"
            f" {', '.join(required)}"
        )
    # Columns of the right type are shared with the table given; pandas copies them when
    # either table is written to.
    fixed = table.reset_index(drop=True)
    for column in table.columns:
        if not isinstance(column, str):
            raise InputTypeError(
                f"columns of {name} must have string names, got {column!r}"
            )
        values = _fixed_type(
            table[column], required.get(column), f"column {column!r} of {name}"
        )
        if values.dtype != table[column].dtype:
            fixed[column] = values
    return fixed


def _fixed_type(column: pd.Series, required: str | None, name: str) -> Any:
    """Return the cells of a column in a type that files can keep, or raise.

    Whole numbers that are labels or predictions become int32 where they fit; another
    column becomes the `required` type, or the widest of its kind where any is allowed.
    """
    if column.dtype == _STRING and not column.hasnans and required in {None, _STRING}:
        return column.array
    values = column.to_numpy()
    if values.dtype.kind == "O" or isinstance(column.dtype, pd.StringDtype):
        content = pd.api.types.infer_dtype(values, skipna=False)
        if content == "empty" and required is not None:
            # pandas gives an empty column the type object.
            kind = required
        elif content in _KINDS:
            kind = _KINDS[content]
        else:
            odd = next(cell for cell in values if not isinstance(cell, str))
            raise InputTypeError(
                f"{name} must hold strings, booleans, integers or floats, found {odd!r}"
                f" ({type(odd).__name__}); write '' for a missing string, -1 for a"
                " missing integer"
            )
    elif values.dtype.kind in _KIND_OF:
        kind = _KIND_OF[values.dtype.kind]
    else:
        raise InputTypeError(
            f"{name} has the type {column.dtype}, which files cannot keep; use strings,"
            " booleans, integers or floats"
        )
    if kind == _INT64 and len(values) and values.max() > np.iinfo(np.int64).max:
        raise InputTypeError(
            f"{name} must hold integers below 2^63, got {values.max()}; use strings for"
            " names of that kind"
        )
    if required is not None and kind != required:
        if _STRING in {required, kind}:
            raise InputTypeError(
                f"{name} must be {required}, got {column.dtype}; convert it with astype"
            )
        if required == _INT64 and not np.array_equal(values, values.astype(np.int64)):
            raise InputTypeError(
                f"{name} must be whole numbers, got {column.dtype} with fractions;"
                " round them"
            )
        kind = required
    if column.name in _LABELS and kind == _INT64 and _fits_int32(values):
        kind = _INT32
    if kind == _STRING:
        return pd.array(np.asarray(values, dtype=object), dtype=_STRING)
    return values.astype(kind, copy=False)


def _fits_int32(values: npt.NDArray[Any]) -> bool:
    limits = np.iinfo(np.int32)
    return not len(values) or (
        values.min() >= limits.min and values.max() <= limits.max
    )


def in_time_order(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table sorted by its first bins; rows that start together stay so."""
    if table["start_bin"].is_monotonic_increasing:
        return table
    return table.sort_values("start_bin", kind="stable", ignore_index=True)


def joined_tables(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Set tables of presentations of several kinds below one another.

    Parameters
    ----------
    tables : sequence of pandas.DataFrame
        With fixed types.

    Returns
    -------
    pandas.DataFrame
        Every column that one of them has, in fixed types and in order of time. A cell
        is "", NaN or -1 where a table lacks the column, so that a column of booleans
        becomes one of 1, 0 and -1. Columns of text and numbers become text.
    """
    names = dict.fromkeys(str(name) for table in tables for name in table)
    columns: dict[str, str] = {}
    for name in names:
        given = [table[name] for table in tables if name in table and len(table)]
        is_everywhere = all(name in table or not len(table) for table in tables)
        kinds = {str(column.dtype) for column in given}
        columns[name] = _common_type(kinds, missing=not is_everywhere)
    filled = [
        pd.DataFrame(
            {name: _column_of(table, name, kind) for name, kind in columns.items()}
        )
        for table in tables
    ]
    return in_time_order(pd.concat(filled, ignore_index=True))


def _column_of(table: pd.DataFrame, name: str, kind: str) -> pd.Series:
    """Return a column in another type, or one of missing values if there is none."""
    if name not in table:
        missing = {_STRING: "", _FLOAT: np.nan}.get(kind, -1)
        return pd.Series([missing] * len(table), table.index, dtype=kind)
    column = table[name]
    if kind == _STRING and column.dtype != _STRING:
        # NaN has no text of its own.
        return column.astype(_STRING).where(column.notna(), "")
    return pd.Series(column, dtype=kind)


def _common_type(kinds: set[str], *, missing: bool) -> str:
    """Return a type for columns of these types, some cells perhaps missing."""
    if not kinds or _STRING in kinds:
        return _STRING
    if _FLOAT in kinds:
        return _FLOAT
    if len(kinds) == 1 and not (missing and _BOOL in kinds):
        return next(iter(kinds))
    return _INT64


def network_columns(units: pd.DataFrame) -> tuple[str, ...]:
    """Return the columns of a table of units that mean what `UNIT_TYPES` says.

    All of those names where the units are a network's, with a layer and a place in it;
    none in somebody else's table, whose ``depth`` may be a depth in the brain.
    """
    if "layer" not in units or "unit_in_layer" not in units:
        return ()
    kinds = {name: units[name].to_numpy().dtype.kind for name in _PLACE}
    if kinds["layer"] not in "OU" or kinds["unit_in_layer"] not in "iu":
        return ()
    return tuple(name for name in UNIT_TYPES if name in units)


def checked_units(units: pd.DataFrame, n_units: int) -> pd.DataFrame:
    """Return the table of units in fixed types, or raise if it does not fit."""
    if len(units) != n_units:
        raise InputValueError(
            f"the table of units needs one row per unit, {n_units}, got {len(units)};"
            " build it from the same layers as the raster"
        )
    own = {name: UNIT_TYPES[name] for name in network_columns(units)}
    return fixed_types(units, own, "units")


def checked_presentations(
    presentations: pd.DataFrame, segments: pd.DataFrame
) -> pd.DataFrame:
    """Return the table of presentations in fixed types, or raise if it does not fit.

    Presentations must be in order of time, each inside a segment of the phase that it
    names, and those of one kind must not overlap.
    """
    if "kind" not in presentations:
        kinds = _repeated(DEFAULT_KIND, len(presentations))
        presentations = presentations.assign(kind=kinds)
    table = fixed_types(presentations, PRESENTATION_TYPES, "presentations")
    if not len(table):
        return table
    start, stop = table["start_bin"].to_numpy(), table["stop_bin"].to_numpy()
    if (start >= stop).any() or (start[1:] < start[:-1]).any():
        raise InputValueError(
            "presentations must be sorted by start_bin and last one bin or more; use"
            " sort_values, and drop empty ones"
        )
    outside = np.flatnonzero(~_in_segments(table, segments))
    if len(outside):
        bad = table.iloc[int(outside[0])]
        raise InputValueError(
            f"the presentation of bins {bad['start_bin']} .. {bad['stop_bin']} does not"
            f" lie in a segment of the phase {bad['phase']!r} it names; cut it at the"
            " segment's edges or drop it"
        )
    _check_overlap(table)
    return table


def _in_segments(table: pd.DataFrame, segments: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Return which presentations lie in one segment, of the phase they name."""
    start, stop = (table[name].to_numpy() for name in ("start_bin", "stop_bin"))
    # The last segment that starts no later; -1 where there is none.
    place = np.searchsorted(segments["start_bin"].to_numpy(), start, side="right") - 1
    if not len(segments):
        return np.zeros(len(table), np.bool_)
    phases = segments["phase"].to_numpy(object)[place]
    inside: npt.NDArray[np.bool_] = place >= 0
    inside &= stop <= segments["stop_bin"].to_numpy()[place]
    inside &= phases == table["phase"].to_numpy(object)
    return inside


def _check_overlap(table: pd.DataFrame) -> None:
    """Raise if two presentations of one kind overlap."""
    start, stop = (table[name].to_numpy() for name in ("start_bin", "stop_bin"))
    # In order of time, so that without overlap at all there is nothing more to do.
    if not (start[1:] < stop[:-1]).any():
        return
    codes, names = pd.factorize(table["kind"])
    for number, kind in enumerate(names):
        rows = np.flatnonzero(codes == number)
        overlaps = np.flatnonzero(start[rows][1:] < stop[rows][:-1])
        if len(overlaps):
            one, other = rows[overlaps[0]], rows[overlaps[0] + 1]
            raise InputValueError(
                f"presentations of the kind {kind!r} overlap: bins {start[one]} .."
                f" {stop[one]} and {start[other]} .. {stop[other]}; give what was shown"
                " at the same time a kind of its own, in the column kind"
            )


def unit_names(units: pd.DataFrame) -> list[str]:
    """Return readable names of units.

    ``layer[unit in layer]`` of a network, else the first of ``name``, ``unit_name`` and
    ``id`` that tells the units apart, else ``unit i``.
    """
    if network_columns(units):
        places = zip(units["layer"], units["unit_in_layer"], strict=True)
        return [f"{layer}[{place}]" for layer, place in places]
    for column in ("name", "unit_name", "id", "unit_id"):
        if column in units and units[column].is_unique and len(units):
            texts = units[column].astype("str")
            prefix = "" if units[column].dtype == _STRING else "unit "
            return [f"{prefix}{text}" for text in texts]
    return [f"unit {i}" for i in range(len(units))]


def stimulus_names(presentations: pd.DataFrame) -> pd.Series:
    """Return what was shown as text: the label, else the id, else the row number."""
    for name in ("label", "stimulus_id"):
        if name in presentations:
            return presentations[name].astype("str")
    numbers = np.arange(len(presentations))
    return pd.Series(numbers, presentations.index).astype("str")


def shifted(
    table: pd.DataFrame, bins: int | npt.NDArray[np.integer[Any]]
) -> pd.DataFrame:
    """Move presentations or segments by a number of bins, or by one for each row."""
    return table.assign(
        start_bin=table["start_bin"] + bins, stop_bin=table["stop_bin"] + bins
    )


def same_table(left: pd.DataFrame, right: pd.DataFrame) -> bool:
    """Return whether two tables have equal columns, in any order, types and cells."""
    return sorted(left.columns) == sorted(right.columns) and left.equals(
        right[list(left.columns)]
    )
