"""Units of a Neo block: its spike trains, and columns of their annotations."""

from __future__ import annotations

import json
import logging
from collections.abc import Hashable, Sequence
from datetime import date, time
from typing import Any, NamedTuple

import neo
import numpy as np
import pandas as pd
import quantities as pq

from ann2neo.errors import InputValueError

__all__ = ["MatchedUnits", "match_units", "plain_table"]

_log = logging.getLogger(__name__)

_IDS = (
    "name",
    "unit_name",
    "unit_id",
    "id",
    "source_id",
    "source_index",
    "channel_id",
    "channel_name",
    "channel",
)
"""What may identify a unit, in this order: the name of a train, or an annotation."""

_MOST_TEXT = 200
"""Longest text of a list or another object that becomes a cell."""

_MISSING = {str: "", float: float("nan"), int: -1, bool: -1}


class MatchedUnits(NamedTuple):
    """The spike trains of each unit.

    Parameters
    ----------
    trains : list of list of neo.SpikeTrain or None
        By segment and unit; None where a segment has no train of the unit.
    table : pandas.DataFrame
        One row per unit.
    notes : dict of str to str
        How units were matched, and what is not in the table.
    """

    trains: list[list[neo.SpikeTrain | None]]
    table: pd.DataFrame
    notes: dict[str, str]


def match_units(segments: Sequence[Sequence[neo.SpikeTrain]]) -> MatchedUnits:
    """Find the spike trains of each unit.

    Parameters
    ----------
    segments : sequence of sequence of neo.SpikeTrain
        The trains of each segment.

    Returns
    -------
    MatchedUnits
        Units in the order in which they first appear.

    Raises
    ------
    InputValueError
        If neither names nor ids tell the trains of a segment apart, and their order is
        ambiguous.
    """
    key, ids = _ids(segments)
    places: dict[Hashable, int] = {}
    for own in ids:
        for name in own:
            places.setdefault(name, len(places))
    trains: list[list[neo.SpikeTrain | None]] = []
    for own, segment in zip(ids, segments, strict=True):
        row: list[neo.SpikeTrain | None] = [None] * len(places)
        for name, train in zip(own, segment, strict=True):
            row[places[name]] = train
        trains.append(row)
    notes = {}
    if len(segments) > 1:
        notes["units_matched_by"] = key
        _log.info("units of %d segments are matched by %s", len(segments), key)
        n_missing = sum(train is None for row in trains for train in row)
        if n_missing:
            notes["spiketrains_missing"] = str(n_missing)
    of_unit = [
        [train for train in column if train is not None]
        for column in zip(*trains, strict=True)
    ]
    table, more = plain_table([_annotations_of(own) for own in of_unit], "units")
    return MatchedUnits(trains, table, notes | more)


def _ids(
    segments: Sequence[Sequence[neo.SpikeTrain]],
) -> tuple[str, list[list[Hashable]]]:
    """Return what identifies units, and its value for each train."""
    if len(segments) == 1:
        return "position", [list(range(len(segments[0])))]
    ids_by_key: dict[str, list[list[Hashable]]] = {}
    overlapping = []
    ambiguous = False
    for key in _IDS:
        ids = [[_id(train, key) for train in trains] for trains in segments]
        flat = [value for own in ids for value in own]
        if any(value is None for value in flat):
            ambiguous |= any(value is not None for value in flat)
            continue
        ids_by_key[key] = ids
        if not all(len(set(own)) == len(own) for own in ids):
            continue
        if all(set(own) == set(ids[0]) for own in ids):
            return key, ids
        if len(set(flat)) < len(flat):
            overlapping.append(key)
    if overlapping:
        return overlapping[0], ids_by_key[overlapping[0]]
    counts = sorted({len(trains) for trains in segments})
    # Whatever names the trains have come in the same order everywhere.
    is_one_order = all(own == ids[0] for ids in ids_by_key.values() for own in ids)
    if len(counts) == 1 and is_one_order and not ambiguous:
        n = counts[0]
        return "position", [list(range(n)) for _ in segments]
    if ids_by_key:
        reason = f"{', '.join(ids_by_key)} of their trains do not tell units apart"
    else:
        reason = "their trains have no name and no unit_id"
    raise InputValueError(
        f"units of {len(segments)} segments cannot be matched: {reason}, and the number"
        f" or order of trains differs ({', '.join(map(str, counts))} trains in a"
        " segment); give each train the name of its unit with train.name = ..., or keep"
        " one segment"
    )


def _id(train: neo.SpikeTrain, key: str) -> Hashable:
    """Return a train's name or id, None if it has none."""
    value = train.name if key == "name" else train.annotations.get(key)
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, (str, int)) and not isinstance(value, bool) and value != "":
        return value
    return None


def _annotations_of(trains: Sequence[neo.SpikeTrain]) -> dict[str, Any]:
    """Return name and annotations of a unit, those on which all its trains agree."""
    annotations: dict[str, Any] = {}
    names = {train.name for train in trains if train.name}
    if len(names) == 1:
        annotations["name"] = str(next(iter(names)))
    for key, value in trains[0].annotations.items():
        others = [train.annotations.get(key) for train in trains[1:]]
        if all(_same(value, other) for other in others):
            annotations.setdefault(str(key), value)
    return annotations


def _same(one: Any, other: Any) -> bool:
    if one is other:
        return True
    try:
        return bool(np.array_equal(one, other, equal_nan=True))
    except (TypeError, ValueError):
        return repr(one) == repr(other)


# -- what somebody else says, as columns
# --------------------------------------------------------------------------------------


def plain_table(
    rows: Sequence[dict[str, Any]], what: str
) -> tuple[pd.DataFrame, dict[str, str]]:
    """Make columns of whatever somebody else says of each row.

    Parameters
    ----------
    rows : sequence of dict
        One per row: annotations, of any type.
    what : str
        What the rows are, for the keys of the notes.

    Returns
    -------
    table : pandas.DataFrame
        Columns of text, booleans, integers or floats. A quantity is a float in the unit
        of the first row that has it; a short list or another object is text. Where a
        row lacks a value there is "", NaN or -1.
    notes : dict of str to str
        ``<what>_column_units`` (JSON: the unit of each column that had one), and
        ``<what>_annotations_left_out`` (the names of those that are no column); each
        only where there is some.
    """
    columns: dict[str, Any] = {}
    units: dict[str, str] = {}
    left_out = []
    for key in dict.fromkeys(key for row in rows for key in row):
        cells = [row.get(key) for row in rows]
        unit = _unit(cells)
        try:
            column = _column([_plain(cell, unit) for cell in cells])
        except ValueError:
            left_out.append(key)
            continue
        columns[key] = column
        if unit is not None:
            units[key] = unit.dimensionality.string
    notes = {}
    if units:
        notes[f"{what}_column_units"] = json.dumps(units, ensure_ascii=False)
    if left_out:
        notes[f"{what}_annotations_left_out"] = ", ".join(left_out)
        _log.warning(
            "annotations of the %s that are no column are left out: %s",
            what,
            ", ".join(left_out),
        )
    return pd.DataFrame(columns, index=pd.RangeIndex(len(rows))), notes


def _unit(cells: Sequence[Any]) -> pq.Quantity | None:
    """Return the unit of the first quantity."""
    for cell in cells:
        if isinstance(cell, pq.Quantity) and cell.size == 1:
            return cell.units
    return None


def _plain(cell: Any, unit: pq.Quantity | None) -> Any:
    """Return a cell as text, bool, int or float; None if it is missing."""
    if isinstance(cell, pq.Quantity) and cell.size == 1:
        return float(cell.rescale(unit).magnitude.reshape(()))
    if isinstance(cell, np.ndarray) and cell.ndim == 0:
        cell = cell[()]
    if isinstance(cell, np.generic):
        cell = cell.item()
    if isinstance(cell, bytes):
        cell = cell.decode(errors="replace")
    if cell is None or isinstance(cell, (str, bool, int, float)):
        return cell
    if isinstance(cell, (date, time)):
        return cell.isoformat()
    text = str(cell.tolist() if isinstance(cell, np.ndarray) else cell)
    if len(text) > _MOST_TEXT:
        raise ValueError(text[:_MOST_TEXT])
    return text


def _column(cells: Sequence[Any]) -> Any:
    """Return cells in one type; raise ValueError if there is none."""
    present = [cell for cell in cells if cell is not None]
    kinds = {type(cell) for cell in present}
    if not kinds:
        raise ValueError("no cell has a value")
    kind = next(iter(kinds))
    if kinds == {int, float}:
        kind = float
    elif len(kinds) > 1:
        kind = str
    if kind is int and not all(-(2**63) <= cell < 2**63 for cell in present):
        kind = str
    if len(present) < len(cells):
        # A missing boolean needs a third value.
        kind = int if kind is bool else kind
        cells = [_MISSING[kind] if cell is None else cell for cell in cells]
    return [kind(cell) for cell in cells]
