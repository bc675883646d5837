"""Tables of units, presentations and phases, with types that every file can keep."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from ann2neo.errors import InputTypeError, InputValueError

__all__ = [
    "ORDERS",
    "PHASE_TYPES",
    "PRESENTATION_TYPES",
    "UNIT_DESCRIPTIONS",
    "UNIT_TYPES",
    "Phase",
    "checked_phases",
    "checked_presentations",
    "checked_units",
    "column_types",
    "empty_table",
    "length_and_text",
    "phase_table",
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
    "threshold": "A unit spikes where its activation is strictly above this value.",
}
"""Meaning of the columns of the units of a network, as files state it."""

PRESENTATION_TYPES: Mapping[str, str] = {
    "start_bin": _INT64,
    "stop_bin": _INT64,
    "phase": _STRING,
}
PHASE_TYPES: Mapping[str, str] = {
    "phase": _STRING,
    "start_bin": _INT64,
    "stop_bin": _INT64,
    "order": _STRING,
}
_LABELS = ("label", "prediction")
# By NumPy's kind of a column, and by pandas' name for what a column of objects holds.
_KIND_OF = {
    "U": _STRING,
    "S": _STRING,
    "i": _INT64,
    "u": _INT64,
    "b": _BOOL,
    "f": _FLOAT,
}
_KINDS = {"string": _STRING, "empty": _STRING, "boolean": _BOOL, "integer": _INT64}


class Phase(NamedTuple):
    """A stretch of bins that belong together: ``start_bin .. stop_bin - 1``."""

    phase: str
    start_bin: int
    stop_bin: int
    order: str

    @property
    def n_time_bins(self) -> int:
        """Number of bins."""
        return self.stop_bin - self.start_bin


def phase_table(rows: Sequence[Phase]) -> pd.DataFrame:
    """Make a table of phases, one row per phase."""
    table = pd.DataFrame(rows, columns=list(PHASE_TYPES))
    return _fixed_types(table, PHASE_TYPES, "phases")


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
) -> pd.DataFrame:
    """Make a table of presentations of one bin each.

    Parameters
    ----------
    n_presentations : int
        Number of presentations.
    phase : str or array_like of str, shape (n_presentations,)
        One phase for all of them, or one for each.
    labels, predictions, stimulus_id : array_like, shape (n_presentations,), optional
        Class shown, class predicted, and identity of each stimulus; ``is_correct`` is
        added where labels and predictions are given.

    Returns
    -------
    pandas.DataFrame
        One row per presentation.

    Raises
    ------
    InputValueError
        If a column has another length.
    """
    index = np.arange(n_presentations, dtype=np.int64)
    columns: dict[str, Any] = {
        "start_bin": index,
        "stop_bin": index + 1,
        "phase": phase,
    }
    if isinstance(phase, str):
        # One string object for all rows, not a copy in each.
        columns["phase"] = pd.array([phase], dtype=_STRING).repeat(n_presentations)
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
    return _fixed_types(table, PRESENTATION_TYPES, "presentations")


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


def _fixed_types(
    table: pd.DataFrame, required: Mapping[str, str], name: str
) -> pd.DataFrame:
    """Return a copy with fixed column types and a RangeIndex, or raise."""
    missing = [column for column in required if column not in table]
    if missing:
        raise InputValueError(
            f"the table of {name} lacks the column {missing[0]!r}; it needs"
            f" {', '.join(required)}"
        )
    types = {**UNIT_TYPES, **required} if name == "units" else required
    # Columns of the right type are shared with the table given; pandas copies them when
    # either table is written to.
    fixed = table.reset_index(drop=True)
    for column in table.columns:
        if not isinstance(column, str):
            raise InputTypeError(
                f"columns of {name} must have string names, got {column!r}"
            )
        values = _fixed_type(
            table[column], types.get(column), f"column {column!r} of {name}"
        )
        if values.dtype != table[column].dtype:
            fixed[column] = values
    return fixed


def _fixed_type(column: pd.Series, required: str | None, name: str) -> Any:
    """Return the cells of a column in a type that files can keep, or raise.

    A label or prediction becomes int32 or str; another column the `required`, or the
    widest type of its kind where any is allowed.
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
    if column.name in _LABELS and kind != _STRING:
        limits = np.iinfo(np.int32)
        if kind != _INT64 or (
            len(values) and (values.min() < limits.min or values.max() > limits.max)
        ):
            raise InputTypeError(
                f"{name} must hold 32-bit integers or strings, got {values.dtype}; bin"
                " or name the values"
            )
        kind = _INT32
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
    if kind == _STRING:
        return pd.array(np.asarray(values, dtype=object), dtype=_STRING)
    return values.astype(kind, copy=False)


def checked_units(units: pd.DataFrame, n_units: int) -> pd.DataFrame:
    """Return the table of units in fixed types, or raise if it does not fit."""
    if len(units) != n_units:
        raise InputValueError(
            f"the table of units needs one row per unit, {n_units}, got {len(units)};"
            " build it from the same layers as the raster"
        )
    return _fixed_types(units, {}, "units")


def checked_phases(phases: pd.DataFrame, n_time_bins: int) -> pd.DataFrame:
    """Return the table of phases in fixed types, or raise if it does not fit.

    Phases need different names, must lie in the raster, and follow one another in time
    without overlap.
    """
    phases = _fixed_types(phases, PHASE_TYPES, "phases")
    names = phases["phase"].to_list()
    if len(set(names)) != len(names):
        raise InputValueError(
            f"phases must have different names, got {names}; rename those that repeat"
        )
    wrong = [order for order in phases["order"] if order not in ORDERS]
    if wrong:
        raise InputValueError(
            f"order must be one of {', '.join(ORDERS)}, got {wrong[0]!r}; write"
            " 'unknown' where you do not know it"
        )
    start, stop = phases["start_bin"].to_numpy(), phases["stop_bin"].to_numpy()
    # A raster without bins may have phases, which then have none, either.
    empty_raster = n_time_bins == 0 and bool((start == stop).all())
    if (
        len(phases)
        and not empty_raster
        and ((start >= stop).any() or start[0] < 0 or stop[-1] > n_time_bins)
    ):
        raise InputValueError(
            f"phases must be stretches of one or more bins inside 0 .. {n_time_bins},"
            f" got {list(zip(names, start.tolist(), stop.tolist(), strict=True))}"
        )
    if (start[1:] < stop[:-1]).any():
        raise InputValueError(
            "phases must follow one another in time without overlap; sort them, or cut"
            " the overlap"
        )
    return phases


def checked_presentations(
    presentations: pd.DataFrame, phases: pd.DataFrame
) -> pd.DataFrame:
    """Return the table of presentations in fixed types, or raise if it does not fit.

    Presentations must be in order of time, each inside the phase that it names.
    """
    table = _fixed_types(presentations, PRESENTATION_TYPES, "presentations")
    if not len(table):
        return table
    start, stop = table["start_bin"].to_numpy(), table["stop_bin"].to_numpy()
    if (start >= stop).any() or (start[1:] < start[:-1]).any():
        raise InputValueError(
            "presentations must be sorted by start_bin and last one bin or more; use"
            " sort_values, and drop empty ones"
        )
    named = table["phase"].to_numpy()
    inside = np.zeros(len(table), np.bool_)
    # Sorted by start: the presentations that start in a phase are one slice.
    for phase, *bounds in phases[["phase", "start_bin", "stop_bin"]].to_numpy(object):
        rows = slice(*np.searchsorted(start, bounds))
        inside[rows] = (stop[rows] <= bounds[1]) & (named[rows] == phase)
    if not inside.all():
        # argmin finds the first False.
        bad = table.iloc[int(np.argmin(inside))]
        raise InputValueError(
            f"the presentation of bins {bad['start_bin']} .. {bad['stop_bin']} does not"
            f" lie in the phase {bad['phase']!r} it names; cut it at the phase's edges"
            " or drop it"
        )
    return table


def unit_names(units: pd.DataFrame) -> list[str]:
    """Return readable names of units: ``layer[unit in layer]``, else ``unit i``."""
    if "layer" not in units or "unit_in_layer" not in units:
        return [f"unit {i}" for i in range(len(units))]
    places = zip(units["layer"], units["unit_in_layer"], strict=True)
    return [f"{layer}[{place}]" for layer, place in places]


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
    """Move presentations or phases by a number of bins, or by one for each row."""
    return table.assign(
        start_bin=table["start_bin"] + bins, stop_bin=table["stop_bin"] + bins
    )


def same_table(left: pd.DataFrame, right: pd.DataFrame) -> bool:
    """Return whether two tables have equal columns, in any order, types and cells."""
    return sorted(left.columns) == sorted(right.columns) and left.equals(
        right[list(left.columns)]
    )
