"""Tables of units, presentations and phases, with column types that every file can
keep.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

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
    "phase_table",
    "presentation_table",
    "same_table",
    "shifted",
    "stimulus_names",
    "table_sha256",
    "unit_names",
]

ORDERS = ("random", "stored", "unknown")
"""Orders of the presentations in a phase: a seeded random one, the data set's own, or
not known.
"""

_INT64, _INT32, _STRING, _BOOL, _FLOAT = "int64", "int32", "str", "bool", "float64"

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
"""Columns of the units of a network, with their types; -1 stands for none."""

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
"""What the columns of the units of a network mean."""

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
    """Table of phases, one row each."""
    return _fixed_types(
        pd.DataFrame(rows, columns=list(PHASE_TYPES)), PHASE_TYPES, "phases"
    )


def presentation_table(
    n_presentations: int,
    phase: str | npt.ArrayLike,
    *,
    labels: npt.ArrayLike | None = None,
    predictions: npt.ArrayLike | None = None,
    stimulus_id: npt.ArrayLike | None = None,
) -> pd.DataFrame:
    """Table of presentations of one bin each.

    Parameters
    ----------
    n_presentations : int
        Number of presentations.
    phase : str or array_like of str, shape (n_presentations,)
        Phase of all of them, or of each.
    labels, predictions, stimulus_id : array_like, shape (n_presentations,), optional
        What was shown and answered; ``is_correct`` is added where labels and
        predictions both are known.

    Returns
    -------
    pandas.DataFrame
        One row per presentation.

    Raises
    ------
    InputValueError
        If a column is of another length.
    """
    index = np.arange(n_presentations, dtype=np.int64)
    phases = (
        pd.array([phase], dtype=_STRING).repeat(n_presentations)
        if isinstance(phase, str)
        else phase
    )
    columns: dict[str, Any] = {
        "start_bin": index,
        "stop_bin": index + 1,
        "phase": phases,
    }
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
    # The columns are new; pandas would copy them once more into one block.
    return _fixed_types(
        pd.DataFrame(columns, copy=False), PRESENTATION_TYPES, "presentations"
    )


def table_sha256(table: pd.DataFrame) -> str:
    """Checksum of a table with fixed types.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns of strings, booleans, integers or floats.

    Returns
    -------
    str
        SHA-256, in hex, over the columns sorted by name: for each, its name, then its
        cells; numbers and booleans as little-endian int64 or float64, strings (names
        too) as UTF-8 behind an int64 length.
    """
    digest = hashlib.sha256()
    for name in sorted(table.columns):
        digest.update(_length_and_text(str(name)))
        column = table[name]
        if column.dtype.kind in "iub":
            digest.update(column.to_numpy().astype("<i8").tobytes())
        elif column.dtype.kind == "f":
            digest.update(column.to_numpy().astype("<f8").tobytes())
        else:
            cells = column.to_list()
            encoded = {text: _length_and_text(text) for text in set(cells)}
            digest.update(b"".join([encoded[text] for text in cells]))
    return digest.hexdigest()


def _length_and_text(text: str) -> bytes:
    data = text.encode()
    return len(data).to_bytes(8, "little") + data


def _fixed_types(
    table: pd.DataFrame, required: Mapping[str, str], name: str
) -> pd.DataFrame:
    """A copy with the columns in fixed types and a plain index."""
    missing = [column for column in required if column not in table]
    if missing:
        raise InputValueError(
            f"the table of {name} lacks the column {missing[0]!r}; it needs"
            f" {', '.join(required)}"
        )
    types = {**UNIT_TYPES, **required} if name == "units" else required
    # Columns that fit are shared with the table given, which pandas copies when either
    # of them is written to.
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


def _fixed_type(column: pd.Series, wanted: str | None, name: str) -> Any:
    if column.dtype == _STRING and not column.hasnans and wanted in {None, _STRING}:
        return column.array
    values = column.to_numpy()
    is_label = str(column.name) in _LABELS
    if values.dtype.kind == "O" or isinstance(column.dtype, pd.StringDtype):
        held = pd.api.types.infer_dtype(values, skipna=False)
        if held == "empty" and wanted is not None:
            # An empty column of no particular type, as pandas makes them.
            kind = wanted
        elif held in _KINDS:
            kind = _KINDS[held]
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
    if is_label:
        kind = _label_type(kind, values, name)
    if wanted is not None and kind != wanted:
        if _STRING in {wanted, kind}:
            raise InputTypeError(f"{name} must be {wanted}, got {column.dtype}")
        if wanted == _INT64 and not np.array_equal(values, values.astype(np.int64)):
            raise InputTypeError(f"{name} must be whole numbers, got {column.dtype}")
        kind = wanted
    if kind == _STRING:
        return pd.array(np.asarray(values, dtype=object), dtype=_STRING)
    return values.astype(kind, copy=False)


def _label_type(kind: str, values: npt.NDArray[Any], name: str) -> str:
    if kind == _STRING:
        return _STRING
    limits = np.iinfo(np.int32)
    if kind == _INT64 and (
        len(values) == 0 or (values.min() >= limits.min and values.max() <= limits.max)
    ):
        return _INT32
    raise InputTypeError(
        f"{name} must hold 32-bit integers or strings, got {values.dtype}; bin or name"
        " the values"
    )


def checked_units(units: pd.DataFrame, n_units: int) -> pd.DataFrame:
    """Table of units in fixed types, one row per unit, or an error that says what does
    not fit.
    """
    if len(units) != n_units:
        raise InputValueError(
            f"the table of units needs one row per unit, {n_units}, got {len(units)};"
            " build it from the same layers as the raster"
        )
    return _fixed_types(units, {}, "units")


def checked_phases(phases: pd.DataFrame, n_time_bins: int) -> pd.DataFrame:
    """Table of phases in fixed types, in order of time without overlap, or an error
    that says what does not fit.
    """
    phases = _fixed_types(phases, PHASE_TYPES, "phases")
    names = phases["phase"].to_list()
    if len(set(names)) != len(names):
        raise InputValueError(f"phases must have different names, got {names}")
    wrong = [order for order in phases["order"] if order not in ORDERS]
    if wrong:
        raise InputValueError(
            f"order must be one of {', '.join(ORDERS)}, got {wrong[0]!r}"
        )
    start, stop = phases["start_bin"].to_numpy(), phases["stop_bin"].to_numpy()
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
    """Table of presentations in fixed types, each inside the phase it names, or an
    error that says why not.
    """
    table = _fixed_types(presentations, PRESENTATION_TYPES, "presentations")
    if not len(table):
        return table
    start, stop = table["start_bin"].to_numpy(), table["stop_bin"].to_numpy()
    if (start >= stop).any() or (start[1:] < start[:-1]).any():
        raise InputValueError(
            "presentations must be sorted by start_bin and last one bin or more"
        )
    named = table["phase"].to_numpy()
    inside = np.zeros(len(table), np.bool_)
    for phase in phases.itertuples(index=False):
        rows = slice(*np.searchsorted(start, (phase.start_bin, phase.stop_bin)))
        inside[rows] = (stop[rows] <= phase.stop_bin) & (named[rows] == phase.phase)
    if not inside.all():
        bad = table.iloc[int(np.argmin(inside))]
        raise InputValueError(
            f"the presentation of bins {bad['start_bin']} .. {bad['stop_bin']} does not"
            f" lie in the phase {bad['phase']!r} it names; cut it at the phase's edges"
            " or drop it"
        )
    return table


def unit_names(units: pd.DataFrame) -> list[str]:
    """Names of units for people: ``layer[place in it]``, else ``unit i``."""
    if "layer" not in units or "unit_in_layer" not in units:
        return [f"unit {i}" for i in range(len(units))]
    places = zip(units["layer"], units["unit_in_layer"], strict=True)
    return [f"{layer}[{place}]" for layer, place in places]


def stimulus_names(presentations: pd.DataFrame) -> pd.Series:
    """What was shown, as text: the label, else the id, else the row's number."""
    for name in ("label", "stimulus_id"):
        if name in presentations:
            return presentations[name].astype("str")
    numbers = np.arange(len(presentations))
    return pd.Series(numbers, presentations.index).astype("str")


def shifted(table: pd.DataFrame, bins: Any) -> pd.DataFrame:
    """Table of presentations or phases moved by some bins: a number, or one per row."""
    return table.assign(
        start_bin=table["start_bin"] + bins, stop_bin=table["stop_bin"] + bins
    )


def same_table(left: pd.DataFrame, right: pd.DataFrame) -> bool:
    """Whether two tables have the same columns, in any order, with the same types and
    cells.
    """
    return sorted(left.columns) == sorted(right.columns) and left.equals(
        right[list(left.columns)]
    )
