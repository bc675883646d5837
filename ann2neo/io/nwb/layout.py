"""Layout of ann2neo's NWB files, and the checksums that protect it."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

import pandas as pd

from ann2neo.errors import FileFormatError, IntegrityError
from ann2neo.raster.spike_times import SPIKE_POSITION
from ann2neo.recording import Recording
from ann2neo.recording.tables import (
    DEFAULT_KIND,
    PHASE_TYPES,
    STIMULUS_PLACE,
    UNIT_DESCRIPTIONS,
    column_types,
    length_and_text,
    network_columns,
    table_sha256,
)

__all__ = [
    "DESCRIPTIONS",
    "LAYOUT_VERSION",
    "OWN_CLOCK",
    "PROFILES",
    "SESSION_SOURCE",
    "Header",
    "described_columns",
    "header_of",
    "provenance_of",
    "provenance_rows",
    "provenance_table",
    "stored_names",
]

Pairs = tuple[tuple[str, str], ...]

LAYOUT_VERSION = 2
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
    "spike_position": float,
}

LAYOUT_TABLE, LAYERS_TABLE, PROVENANCE_TABLE = "ann2neo_layout", "layers", "provenance"
EPOCH_NAME = "presentations of "
SESSION_SOURCE = "NWB file"
"""``source`` in the provenance of a recording that was read from somebody's session."""

DESCRIPTIONS: Mapping[str, str] = {
    "phase": "Stretch of time that the presentation belongs to.",
    "stimulus_id": (
        "The stimulus: its place in the data set, or a name or number of its own."
    ),
    STIMULUS_PLACE: "Place of the stimulus in the data set.",
    "label": "True class of the stimulus.",
    "prediction": "Class that the network gave the stimulus.",
    "is_correct": "Whether prediction and label agree.",
    "order": (
        "Order of the presentations: random (seeded), stored (the data set's own) or"
        " unknown."
    ),
    "t_start": "Start of the segment on its own clock, in s.",
}
"""Meaning of the columns of presentations and segments, as files state it."""

OWN_CLOCK = "own_t_start"
"""Name in the file of a segment's ``t_start``, beside ``start_time`` of the recording.
"""


def stored_names(
    names: Iterable[str], reserved: Collection[str] = ()
) -> dict[str, str]:
    """Return the name under which each column, or table, is stored in the file.

    A name that NWB reserves gets a ``_`` behind it, and ``_`` takes the place of what
    HDF5 does not allow in a name. NWB also reserves ``X_index`` for the index of a
    ragged column ``X``, and some readers, SpikeInterface among them, drop ``X`` where
    such a name exists: ``layer_index`` beside ``layer`` is stored as ``layer_number``.

    Examples
    --------
    >>> stored_names(["layer", "layer_index", "call_index", "a/b"])
    {'layer': 'layer', 'layer_index': 'layer_number', 'call_index': 'call_index', \
'a/b': 'a_b'}
    >>> stored_names(["tags", "contrast"], reserved=["tags"])
    {'tags': 'tags_', 'contrast': 'contrast'}
    """
    allowed = {name: _allowed(name) for name in names}
    # The index of one of these would be taken for that of a ragged column.
    others = {*allowed.values(), *reserved}
    stored: dict[str, str] = {}
    for name, place in allowed.items():
        base = place.removesuffix("_index")
        is_index = base != place and base in others
        # A name that needs no change is kept, whatever the others become.
        taken = {*reserved, *stored.values(), *(set(allowed) - {name})}
        stored[name] = _free(f"{base}_number" if is_index else place, taken)
    return stored


def _free(place: str, taken: Collection[str]) -> str:
    """Return a name with as many ``_`` behind it as make it differ from others."""
    while place in taken:
        place += "_"
    return place


def _allowed(name: str) -> str:
    """Return a name without what HDF5 and pynwb do not allow in it."""
    allowed = name.replace("/", "_").replace(":", "_")
    if not allowed.strip("."):
        return f"{allowed}_"
    return allowed


def described_columns() -> dict[str, str]:
    """Return the columns of ours that files have, by their names there, described."""
    units = stored_names(UNIT_DESCRIPTIONS)
    intervals = stored_names(DESCRIPTIONS) | {"t_start": OWN_CLOCK}
    return {units[name]: about for name, about in UNIT_DESCRIPTIONS.items()} | {
        intervals[name]: about for name, about in DESCRIPTIONS.items()
    }


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
    """What spikes and tables do not tell about a recording, and their checksums.

    Fields that end in ``_columns`` give the type of each column, those in ``_names``
    the name in the file of each column (and of the table of each kind of
    presentations). ``defined_by_ann2neo`` lists the columns of the units that mean what
    ann2neo says they do; all others came with the data. ``emission`` says how the
    spikes of a network came about, ``time_axis`` what its time bins are where they are
    steps; "none" for other recordings.
    """

    layout_version: int
    profile: str
    identifier: str
    session_start_time: str
    timestamps_reference_time: str
    n_units: int
    n_time_bins: int
    sampling_period: float
    t_start: float
    spike_position: float
    emission: str
    time_axis: str
    defined_by_ann2neo: str
    unit_columns: Pairs
    unit_names: Pairs
    presentation_columns: Pairs
    presentation_names: Pairs
    segment_columns: Pairs
    segment_names: Pairs
    kind_names: Pairs
    raster_sha256: str
    units_sha256: str
    presentations_sha256: str
    segments_sha256: str
    provenance_sha256: str

    def rows(self) -> list[tuple[str, str]]:
        """Return keys and values as strings, the checksum of all others last."""
        rows: list[tuple[str, str]] = []
        for name, value in self._asdict().items():
            if isinstance(value, tuple):
                rows += [(f"{name}.{key}", text) for key, text in value]
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
        fields: dict[str, Any] = dict.fromkeys(_PAIRS, ())
        for key, value in rows:
            # Names of columns may hold a dot, those of fields do not.
            group, dot, name = key.partition(".")
            if dot:
                fields[group] += ((name, value),)
            else:
                fields[key] = _NUMBERS.get(key, str)(value)
        if fields["layout_version"] == 1:
            fields |= _fields_of_layout_1(fields)
            del fields["phases_sha256"]
        return cls(**fields)

    def check(self, what: str, checksum: str) -> None:
        """Raise IntegrityError if a checksum does not match."""
        if getattr(self, f"{what}_sha256") != checksum:
            raise IntegrityError(
                f"the checksum of the {what} does not match the one written into it, so"
                " this file was changed or damaged; get an undamaged copy"
            )


_PAIRS = [name for name in Header._fields if name.endswith(("_columns", "_names"))]


def _fields_of_layout_1(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a header of layout 1 does not say.

    Presentations of layout 1 are of one kind, its phases are one segment each, and its
    spikes lie a quarter of the way through their bins.
    """
    units, presentations = (
        dict(fields[name]) for name in ("unit_columns", "presentation_columns")
    )
    return {
        "timestamps_reference_time": fields["session_start_time"],
        "spike_position": 0.25,
        "emission": "none",
        "time_axis": "none",
        "defined_by_ann2neo": "",
        "unit_names": tuple(stored_names(units).items()),
        "presentation_names": tuple(stored_names(presentations).items()),
        "segment_columns": tuple(PHASE_TYPES.items()),
        "segment_names": tuple(stored_names(PHASE_TYPES).items()),
        "kind_names": ((DEFAULT_KIND, DEFAULT_KIND),),
        "segments_sha256": fields["phases_sha256"],
    }


def header_of(
    recording: Recording, profile: str, names: Mapping[str, Mapping[str, str]]
) -> Header:
    """Return the header of a recording.

    Parameters
    ----------
    recording : Recording
        The recording.
    profile : str
        One of `PROFILES`.
    names : mapping of str to mapping of str to str
        Names in the file: of columns of ``"unit"``, ``"presentation"`` and
        ``"segment"``, and of the tables of each ``"kind"``.
    """
    raster = recording.raster
    units, presentations = recording.units, recording.presentations
    segments = recording.segments
    ours = network_columns(units)
    # A network's spikes come of a threshold unless its provenance says otherwise.
    source = {"emission": "threshold", **recording.provenance} if ours else {}
    return Header(
        layout_version=LAYOUT_VERSION,
        profile=profile,
        identifier=recording.identifier,
        session_start_time=recording.session_start_time.isoformat(),
        timestamps_reference_time=recording.timestamps_reference_time.isoformat(),
        n_units=raster.n_units,
        n_time_bins=raster.n_time_bins,
        sampling_period=raster.sampling_period_seconds,
        t_start=raster.t_start_seconds,
        spike_position=SPIKE_POSITION,
        emission=source.get("emission", "none"),
        time_axis=source.get("time_axis", "none"),
        defined_by_ann2neo=", ".join(ours),
        unit_columns=tuple(column_types(units).items()),
        presentation_columns=tuple(column_types(presentations).items()),
        segment_columns=tuple(column_types(segments).items()),
        **{f"{what}_names": tuple(pairs.items()) for what, pairs in names.items()},
        raster_sha256=raster.sha256(),
        units_sha256=table_sha256(units),
        presentations_sha256=table_sha256(presentations),
        segments_sha256=table_sha256(segments),
        provenance_sha256=table_sha256(provenance_table(recording.provenance)),
    )


def _rows_sha256(rows: Iterable[tuple[str, str]]) -> str:
    texts = itertools.chain.from_iterable(rows)
    return hashlib.sha256(b"".join(map(length_and_text, texts))).hexdigest()
