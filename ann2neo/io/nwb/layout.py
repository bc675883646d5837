"""What stands where in our NWB files, and the checksums that guard it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ann2neo.errors import FileFormatError, IntegrityError
from ann2neo.recording import Recording
from ann2neo.recording.tables import UNIT_DESCRIPTIONS, table_sha256

__all__ = [
    "DESCRIPTIONS",
    "LAYOUT_VERSION",
    "PROFILES",
    "Header",
    "column_description",
    "header_of",
    "provenance_of",
    "provenance_rows",
    "provenance_table",
    "stored_name",
]

LAYOUT_VERSION = 1
PROFILES = ("dandi", "neo")
_INSIDE = "::"

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
"""What the columns of units, presentations and phases mean."""


def column_description(name: str) -> str:
    """What a column of units or presentations means, as the file says it."""
    return DESCRIPTIONS.get(name, f"Column {name!r} of the recording.")


def stored_name(name: str, columns: Collection[str]) -> str:
    """Under which name a column stands in the file.

    NWB keeps the name ``X_index`` for the index of a ragged column ``X``, and readers
    that go by names, SpikeInterface among them, drop ``X`` where they find one: so
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
    """Provenance as a table of two columns of strings."""
    columns = {"key": list(provenance), "value": list(provenance.values())}
    return pd.DataFrame(columns, dtype="str")


def provenance_rows(provenance: Mapping[str, str]) -> list[tuple[str, str]]:
    """Rows of the provenance table: a JSON object gets a row per entry, which NWB's
    checks ask for.

    Examples
    --------
    >>> provenance_rows({"seed": "0", "threshold": '{"hidden": "0.0"}'})
    [('seed', '0'), ('threshold::hidden', '"0.0"')]
    """
    if any(_INSIDE in key or key.endswith(":") for key in provenance):
        # Keys that look like unpacked ones: as they stand, nothing can be mistaken.
        return list(provenance.items())
    rows = []
    for key, value in provenance.items():
        entries = _json_object(value)
        if entries and json.dumps(entries) == value:
            rows += [
                (f"{key}{_INSIDE}{name}", json.dumps(entry))
                for name, entry in entries.items()
            ]
        else:
            rows.append((key, value))
    return rows


def provenance_of(rows: Iterable[tuple[str, str]], sha256: str) -> dict[str, str]:
    """Undo `provenance_rows`; what matches the checksum as it is was never unpacked."""
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
    if not text.startswith("{"):
        return {}
    try:
        parsed = json.loads(text)
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


class Header(NamedTuple):
    """What cannot be read off spikes and tables, and the checksums of what can."""

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
        """Keys and values as strings, the checksum of all others last."""
        rows = []
        for name, value in self._asdict().items():
            if name.endswith("_columns"):
                rows += [(f"{name}.{column}", kind) for column, kind in value]
            else:
                rows.append(
                    (name, repr(value) if isinstance(value, float) else str(value))
                )
        return [*rows, ("header_sha256", _rows_sha256(rows))]

    @classmethod
    def from_rows(cls, rows: Iterable[tuple[str, str]]) -> Header:
        """Undo `rows`.

        Raises
        ------
        FileFormatError
            If the layout is of a later version of ann2neo.
        IntegrityError
            If the rows do not match their checksum.
        """
        *rows, last = list(rows) or [("", "")]
        version = dict(rows).get("layout_version", "")
        if version.isdigit() and int(version) > LAYOUT_VERSION:
            raise FileFormatError(
                f"this file has the layout version {version}, this ann2neo reads up to"
                f" {LAYOUT_VERSION}; update ann2neo"
            )
        if last != ("header_sha256", _rows_sha256(rows)):
            raise IntegrityError(
                f"/analysis/{LAYOUT_TABLE} does not match its own checksum, so the file"
                " was changed or damaged; get an undamaged copy"
            )
        cells = dict(rows)
        columns: dict[str, Any] = {
            group: tuple(
                (key.partition(".")[2], kind)
                for key, kind in rows
                if key.startswith(f"{group}.")
            )
            for group in ("unit_columns", "presentation_columns")
        }
        fields: dict[str, Any] = {
            name: cells[name] for name in cls._fields if name not in columns
        }
        fields |= {
            name: int(fields[name])
            for name in ("layout_version", "n_units", "n_time_bins")
        }
        fields |= {name: float(fields[name]) for name in ("sampling_period", "t_start")}
        return cls(**fields, **columns)

    def check(self, what: str, checksum: str) -> None:
        """Raise IntegrityError where a checksum does not match."""
        if getattr(self, f"{what}_sha256") != checksum:
            raise IntegrityError(
                f"the checksum of the {what} does not match the one written into it, so"
                " this file was changed or damaged; get an undamaged copy"
            )


def header_of(recording: Recording, profile: str) -> Header:
    """The header of a recording."""
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
        unit_columns=_types(units),
        presentation_columns=_types(presentations),
        raster_sha256=raster.sha256(),
        units_sha256=table_sha256(units),
        presentations_sha256=table_sha256(presentations),
        phases_sha256=table_sha256(recording.phases),
        provenance_sha256=table_sha256(provenance_table(recording.provenance)),
    )


def session_start(header: Header) -> datetime:
    """When the recording was made."""
    return datetime.fromisoformat(header.session_start_time)


def _types(table: pd.DataFrame) -> tuple[tuple[str, str], ...]:
    return tuple((str(name), str(dtype)) for name, dtype in table.dtypes.items())


def _rows_sha256(rows: Iterable[tuple[str, str]]) -> str:
    digest = hashlib.sha256()
    for text in np.ravel(list(rows)).tolist():
        data = text.encode()
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()
