"""Layout of ann2neo's NWB files, and the checksums that protect it."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

import pandas as pd

from ann2neo.errors import FileFormatError, IntegrityError
from ann2neo.recording import Recording
from ann2neo.recording.tables import (
    UNIT_DESCRIPTIONS,
    column_types,
    length_and_text,
    table_sha256,
)

__all__ = [
    "DESCRIPTIONS",
    "LAYOUT_VERSION",
    "PROFILES",
    "Header",
    "header_of",
    "provenance_of",
    "provenance_rows",
    "provenance_table",
    "stored_name",
]

LAYOUT_VERSION = 1
PROFILES = ("dandi", "neo")
_INSIDE = "::"
"""Between the key of a JSON object and the name of an entry, in rows of provenance."""

# Type of the fields of a header that are numbers.
_NUMBERS: Mapping[str, type] = {
    "layout_version": int,
    "n_units": int,
    "n_time_bins": int,
    "sampling_period": float,
    "t_start": float,
}

LAYOUT_TABLE, LAYERS_TABLE, PROVENANCE_TABLE = "ann2neo_layout", "layers", "provenance"
EPOCH_NAME = "presentations of "

DESCRIPTIONS: Mapping[str, str] = {
    **UNIT_DESCRIPTIONS,
    "phase": "Stretch of time that the presentation belongs to.",
    "stimulus_id": "Place of the stimulus in the data set.",
    "label": "True class of the stimulus.",
    "prediction": "Class that the network gave the stimulus.",
    "is_correct": "Whether prediction and label agree.",
    "order": (
        "Order of the presentations: random (seeded), stored (the data set's own) or"
        " unknown."
    ),
}
"""Meaning of the columns of units, presentations and phases, as files state it."""


def stored_name(name: str, columns: Collection[str]) -> str:
    """Return the name under which a column is stored in the file.

    NWB reserves the name ``X_index`` for the index of a ragged column ``X``, and some
    readers, SpikeInterface among them, drop ``X`` where such a name exists. Therefore
    ``layer_index`` beside ``layer`` is stored as ``layer_number``.

    Examples
    --------
    >>> stored_name("layer_index", ["layer", "layer_index"])
    'layer_number'
    >>> stored_name("call_index", ["layer", "call_index"])
    'call_index'
    """
    base = name.removesuffix("_index")
    return f"{base}_number" if base != name and base in columns else name


def provenance_table(provenance: Mapping[str, str]) -> pd.DataFrame:
    """Return provenance as a table with the columns key and value."""
    return pd.DataFrame(provenance.items(), columns=["key", "value"], dtype="str")


def provenance_rows(provenance: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the rows of the provenance table, one per entry of a JSON object.

    The NWB Inspector reports JSON in a cell, so objects are unpacked.

    Examples
    --------
    >>> provenance_rows({"seed": "0", "threshold": '{"hidden": "0.0"}'})
    [('seed', '0'), ('threshold::hidden', '"0.0"')]
    """
    if any(_INSIDE in key or key.endswith(":") for key in provenance):
        # Some keys look like unpacked ones. Left as they are, none is taken for one.
        return list(provenance.items())
    rows = []
    for key, value in provenance.items():
        entries = _json_object(value)
        # Only text that JSON gives back character by character is unpacked.
        if entries and json.dumps(entries) == value:
            rows += [
                (f"{key}{_INSIDE}{name}", json.dumps(entry))
                for name, entry in entries.items()
            ]
        else:
            rows.append((key, value))
    return rows


def provenance_of(rows: Iterable[tuple[str, str]], sha256: str) -> dict[str, str]:
    """Return the provenance that `provenance_rows` made rows of.

    Rows that match the checksum as they are were not unpacked.
    """
    plain = dict(rows)
    if table_sha256(provenance_table(plain)) == sha256:
        return plain
    provenance: dict[str, str] = {}
    objects: dict[str, dict[str, Any]] = {}
    for key, value in plain.items():
        outer, inside, name = key.partition(_INSIDE)
        if inside:
            objects.setdefault(outer, {})[name] = json.loads(value)
            provenance[outer] = json.dumps(objects[outer])
        else:
            provenance[key] = value
    return provenance


def _json_object(text: str) -> dict[str, Any]:
    """Parse a JSON object; return {} for any other text."""
    try:
        parsed = json.loads(text)
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


class Header(NamedTuple):
    """What spikes and tables do not tell about a recording, and their checksums."""

    layout_version: int
    profile: str
    identifier: str
    session_start_time: str
    n_units: int
    n_time_bins: int
    sampling_period: float
    t_start: float
    unit_columns: tuple[tuple[str, str], ...]
    presentation_columns: tuple[tuple[str, str], ...]
    raster_sha256: str
    units_sha256: str
    presentations_sha256: str
    phases_sha256: str
    provenance_sha256: str

    def rows(self) -> list[tuple[str, str]]:
        """Return keys and values as strings, the checksum of all others last."""
        rows = []
        for name, value in self._asdict().items():
            if name.endswith("_columns"):
                rows += [(f"{name}.{column}", kind) for column, kind in value]
            else:
                # str of a float has all its digits, as repr does.
                rows.append((name, str(value)))
        return [*rows, ("header_sha256", _rows_sha256(rows))]

    @classmethod
    def from_rows(cls, rows: Iterable[tuple[str, str]]) -> Header:
        """Return the header whose `rows` these are.

        Raises
        ------
        FileFormatError
            If the layout is of a later version of ann2neo.
        IntegrityError
            If the rows do not match their checksum.
        """
        *rows, last = list(rows) or [("", "")]
        # Before the checksum, which a later layout may compute in another way.
        version = dict(rows).get("layout_version", "")
        if version.isdigit() and int(version) > LAYOUT_VERSION:
            raise FileFormatError(
                f"this file has the layout version {version}, and this ann2neo reads"
                f" versions up to {LAYOUT_VERSION}; update ann2neo"
            )
        if last != ("header_sha256", _rows_sha256(rows)):
            raise IntegrityError(
                f"/analysis/{LAYOUT_TABLE} does not match its own checksum, so the file"
                " was changed or damaged; get an undamaged copy"
            )
        fields: dict[str, Any] = {"unit_columns": (), "presentation_columns": ()}
        for key, value in rows:
            group, dot, column = key.partition(".")
            if dot:
                fields[group] += ((column, value),)
            else:
                fields[key] = _NUMBERS.get(key, str)(value)
        return cls(**fields)

    def check(self, what: str, checksum: str) -> None:
        """Raise IntegrityError if a checksum does not match."""
        if getattr(self, f"{what}_sha256") != checksum:
            raise IntegrityError(
                f"the checksum of the {what} does not match the one written into it, so"
                " this file was changed or damaged; get an undamaged copy"
            )


def header_of(recording: Recording, profile: str) -> Header:
    """Return the header of a recording."""
    raster = recording.raster
    units, presentations = recording.units, recording.presentations
    return Header(
        layout_version=LAYOUT_VERSION,
        profile=profile,
        identifier=recording.identifier,
        session_start_time=recording.session_start_time.isoformat(),
        n_units=raster.n_units,
        n_time_bins=raster.n_time_bins,
        sampling_period=raster.sampling_period_seconds,
        t_start=raster.t_start_seconds,
        unit_columns=tuple(column_types(units).items()),
        presentation_columns=tuple(column_types(presentations).items()),
        raster_sha256=raster.sha256(),
        units_sha256=table_sha256(units),
        presentations_sha256=table_sha256(presentations),
        phases_sha256=table_sha256(recording.phases),
        provenance_sha256=table_sha256(provenance_table(recording.provenance)),
    )


def _rows_sha256(rows: Iterable[tuple[str, str]]) -> str:
    texts = itertools.chain.from_iterable(rows)
    return hashlib.sha256(b"".join(map(length_and_text, texts))).hexdigest()
