"""A recording as pynwb objects, whose spike times are still to be filled in."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pandas as pd
import pynwb
from hdmf.backends.hdf5.h5_utils import H5DataIO
from hdmf.common import DynamicTable, ElementIdentifiers, VectorData, VectorIndex

from ann2neo.errors import InputValueError
from ann2neo.io.nwb.layout import (
    EPOCH_NAME,
    LAYERS_TABLE,
    LAYOUT_TABLE,
    PROVENANCE_TABLE,
    Header,
    Stretch,
    column_description,
    provenance_rows,
    stored_name,
)
from ann2neo.io.nwb.metadata import SYNTHETIC, Metadata
from ann2neo.io.nwb.spike_chunks import CHUNK, SpikeTimes
from ann2neo.recording import Recording

__all__ = [
    "check_columns",
    "column_data",
    "fill_late_texts",
    "is_network",
    "nwb_file",
    "subject_id",
]

_MANY_TEXTS = 1000
_VERSION = re.compile(r"(?P<before>.+?)[ _.:]version|version[ _.:](?P<after>.+)")
_TAKEN = {
    "units": (
        "id",
        "spike_times",
        "obs_intervals",
        "electrodes",
        "electrode_group",
        "waveform_mean",
        "waveform_sd",
        "waveforms",
        "name",
        "description",
        "columns",
        "colnames",
        "parent",
        "fields",
        "_name",
        "segment",
        "block",
    ),
    "presentations": (
        "id",
        "start_time",
        "stop_time",
        "tags",
        "timeseries",
        "name",
        "description",
        "columns",
        "colnames",
        "parent",
        "fields",
        "_name",
        "segment",
        "block",
    ),
}


class LateTexts(H5DataIO):  # type: ignore[misc]
    """A column of many strings, written after the file's objects: hdmf looks at each of
    them three times.
    """

    def __init__(self, texts: list[str]) -> None:
        super().__init__(shape=(len(texts),), dtype=h5py.string_dtype())
        self._texts = texts

    def fill(self) -> None:
        """Write the strings into the dataset that hdmf has made."""
        self.dataset[...] = np.array(self._texts, object)


def fill_late_texts(file: Any) -> None:
    """Write the columns of many strings into a file whose objects have been written."""
    for table in (file.units, file.trials, file.epochs, *file.analysis.values()):
        for column in () if table is None else table.columns:
            if isinstance(column.data, LateTexts):
                column.data.fill()


def is_network(recording: Recording) -> bool:
    """Whether the units are those of a network: they have a layer. Else nothing is said
    about species or subject.
    """
    return "layer" in recording.units


def check_columns(recording: Recording) -> None:
    """Raise InputValueError for names and strings that HDF5 cannot keep."""
    tables = {"units": recording.units, "presentations": recording.presentations}
    for kind, table in tables.items():
        stored = [stored_name(name, list(table)) for name in table]
        twice = next((name for name in stored if stored.count(name) > 1), None)
        if twice is not None:
            base = twice.removesuffix("_number")
            msg = (
                f"{kind} have the columns {base + '_index'!r} and {twice!r}, which"
                f" would both be stored as {twice!r}"
            )
            raise InputValueError(msg + "; rename one")
        for name in table:
            if name in _TAKEN[kind] or (
                name.endswith("_index") and name.removesuffix("_index") in _TAKEN[kind]
            ):
                msg = (
                    f"the column {name!r} of {kind} has a name that NWB uses itself;"
                    " rename it, for example to "
                )
                raise InputValueError(msg + f"'my_{name}'")
            if not name or set(name) & set("/:\0") or name in {".", ".."}:
                msg = (
                    f"the column {name!r} of {kind} has a name that HDF5 cannot keep; "
                )
                raise InputValueError(msg + "rename it without '/', ':' and NUL")
            if table[name].dtype == "str":
                _check_texts(table[name].to_list(), f"column {name!r} of {kind}")
    _check_texts(recording.phases["phase"], "the names of phases")
    _check_texts(
        [text for pair in recording.provenance.items() for text in pair],
        "the provenance",
    )
    _check_texts([recording.identifier], "the identifier")


def _check_texts(texts: Iterable[str], what: str) -> None:
    joined = "".join(set(texts))
    if "\0" in joined:
        raise InputValueError(
            f"{what} holds a NUL character, which HDF5 strings cannot keep; remove it"
        )
    try:
        joined.encode()
    except UnicodeEncodeError as error:
        msg = (
            f"{what} holds text that is not valid Unicode ({error.reason}); clean it,"
            " for example with "
        )
        raise InputValueError(
            msg + "text.encode('utf-8', 'replace').decode()"
        ) from error


def subject_id(recording: Recording, metadata: Metadata) -> str | None:
    """The user's, else the model's name and what tells it from others of that name;
    None for what is no network.
    """
    if metadata.subject_id is not None or not is_network(recording):
        return metadata.subject_id
    known = recording.provenance
    parts = [known.get("model_name") or "ann"]
    if known.get("weights_sha256"):
        parts.append(known["weights_sha256"][:8])
    elif known.get("seed"):
        parts.append(f"seed{known['seed']}")
    else:
        parts.append(recording.identifier[:8])
    return re.sub(r"[^A-Za-z0-9+-]+", "-", "-".join(parts)).strip("-") or "ann"


def nwb_file(
    recording: Recording,
    header: Header,
    metadata: Metadata,
    rows: Sequence[tuple[int, Stretch]],
    spikes: SpikeTimes,
    level: int | None,
) -> tuple[Any, Any]:
    """Build the file's objects.

    Parameters
    ----------
    recording : Recording
        What to write.
    header : Header
        Its header; `header.profile` decides between trials and epochs.
    metadata : Metadata
        The user's.
    rows : sequence of (int, Stretch)
        Unit and stretch of each row of the units table.
    spikes : SpikeTimes
        The spikes of those rows.
    level : int or None
        Level of gzip.

    Returns
    -------
    nwbfile : pynwb.NWBFile
        Without spike times.
    spike_times : hdmf H5DataIO
        Its ``dataset`` is the empty dataset to fill, once the file is written.
    """
    file = pynwb.NWBFile(**_file_fields(recording, header, metadata))
    name = subject_id(recording, metadata)
    if name is not None:
        file.subject = pynwb.file.Subject(**_subject_fields(recording, metadata, name))
    if is_network(recording):
        _add_device(file)
    units, spike_times = _units(recording, header, rows, spikes, level)
    file.units = units
    _add_intervals(file, recording, header)
    file.add_analysis(
        _key_value_table(
            LAYOUT_TABLE,
            "Layout of this file and checksums of its contents.",
            header.rows(),
        )
    )
    if recording.provenance:
        about = "Where the recording came from."
        file.add_analysis(
            _key_value_table(
                PROVENANCE_TABLE, about, provenance_rows(recording.provenance)
            )
        )
    if is_network(recording):
        file.add_analysis(_layers_table(recording))
    return file, spike_times


def _file_fields(
    recording: Recording, header: Header, metadata: Metadata
) -> dict[str, Any]:
    n_units, n_bins = recording.n_units, recording.n_time_bins
    period = f"{1000 * header.sampling_period:g} ms"
    phases = ", ".join(
        f"{p.phase} ({p.n_time_bins} bins, {p.order} order)"
        for p in recording.iter_phases()
    )
    source = "an artificial neural network" if is_network(recording) else "a recording"
    session = (
        f"Spikes of {n_units} units of {source} in {n_bins} time bins of {period};"
        f" phases: {phases or 'none'}."
    )
    spike = (
        "activation above the unit's threshold"
        if is_network(recording)
        else "at least one spike in the bin"
    )
    experiment = (
        f"One spike a unit and time bin at most ({spike}), a quarter of the way through"
        " the bin."
    )
    keywords = (
        ["simulated data", "artificial neural network"] if is_network(recording) else []
    )
    fields: dict[str, Any] = {
        "session_description": metadata.session_description or session,
        "experiment_description": metadata.experiment_description or experiment,
        "identifier": recording.identifier,
        "session_start_time": recording.session_start_time,
        "was_generated_by": _generators(recording.provenance),
        "experimenter": list(metadata.experimenter) or None,
        "related_publications": list(metadata.related_publications) or None,
        # neo.io.NWBIO fails on a file with keywords.
        "keywords": (
            [*keywords, *metadata.keywords] if header.profile == "dandi" else None
        ),
    }
    for name in (
        "institution",
        "lab",
        "session_id",
        "notes",
        "protocol",
        "stimulus_notes",
        "source_script",
    ):
        fields[name] = getattr(metadata, name)
    fields["source_script_file_name"] = metadata.source_script_file_name
    return {key: value for key, value in fields.items() if value not in (None, [])}


def _generators(provenance: Mapping[str, str]) -> list[list[str]]:
    versions = {name: importlib.metadata.version(name) for name in ("ann2neo", "pynwb")}
    for key, value in provenance.items():
        found = _VERSION.fullmatch(key)
        if found and value:
            versions.setdefault(found["before"] or found["after"], value)
    return [[name, version] for name, version in versions.items()]


def _subject_fields(
    recording: Recording, metadata: Metadata, name: str
) -> dict[str, Any]:
    fields = {
        "subject_id": name,
        "species": metadata.species,
        "sex": metadata.sex,
        "age": metadata.age,
        "strain": metadata.strain,
        "description": metadata.subject_description,
    }
    if is_network(recording):
        model = recording.provenance.get("model_name")
        named = f" {model!r}" if model else ""
        defaults = {
            "species": SYNTHETIC,
            "sex": "U",
            "age": "P0D",
            "strain": model,
            "description": (
                f"Artificial neural network{named}, not a biological organism."
            ),
        }
        fields |= {key: value for key, value in defaults.items() if fields[key] is None}
    return {key: value for key, value in fields.items() if value}


def _add_device(file: Any) -> None:
    model = pynwb.device.DeviceModel(
        name="activation_probe_model",
        manufacturer="ann2neo developers",
        description="Software that thresholds the activations of a network's layers.",
    )
    file.add_device_model(model)
    about = "Software tap on the outputs of layers; there is no electrode."
    file.add_device(
        pynwb.device.Device(name="activation_probe", description=about, model=model)
    )


def _units(
    recording: Recording,
    header: Header,
    rows: Sequence[tuple[int, Stretch]],
    spikes: SpikeTimes,
    level: int | None,
) -> tuple[Any, Any]:
    raster, table = recording.raster, recording.units
    unit = np.array([row[0] for row in rows], np.int64)
    edges = np.array(
        [(stretch.start_bin, stretch.stop_bin) for _, stretch in rows], np.int64
    )
    spike_times = H5DataIO(
        shape=(len(spikes),),
        dtype=np.dtype("float64"),
        chunks=(min(CHUNK, len(spikes)),),
        shuffle=level is not None,
        compression=None if level is None else "gzip",
        compression_opts=level,
    )
    times = VectorData(
        name="spike_times",
        description="Times of spikes, a quarter of the way through their time bins.",
        data=spike_times,
    )
    observed = VectorData(
        name="obs_intervals",
        description="The one interval in which the unit was observed.",
        data=_packed(raster.bin_edge_seconds(edges), level),
    )
    columns = [
        times,
        VectorIndex(
            name="spike_times_index", target=times, data=spikes.ends.astype(np.uint64)
        ),
        observed,
        VectorIndex(
            name="obs_intervals_index",
            target=observed,
            data=np.arange(1, len(rows) + 1, dtype=np.uint64),
        ),
    ]
    columns += [
        _column(name, table[name].iloc[unit], level, list(table)) for name in table
    ]
    if header.profile == "neo":
        names = _unit_names(table)
        named = {
            "_name": [names[i] for i in unit],
            "segment": [stretch.name for _, stretch in rows],
            "block": [recording.identifier] * len(rows),
        }
        columns += [
            VectorData(
                name=name,
                description=f"The {name.strip('_')} of the spike train in Neo.",
                data=cells,
            )
            for name, cells in named.items()
        ]
    units = pynwb.misc.Units(
        name="units",
        description=(
            "One row per unit."
            if header.profile == "dandi"
            else "One row per unit and Neo segment."
        ),
        id=ElementIdentifiers(name="id", data=np.arange(len(rows))),
        columns=columns,
        colnames=[
            column.name for column in columns if not isinstance(column, VectorIndex)
        ],
        resolution=header.sampling_period,
    )
    return units, spike_times


def _unit_names(table: pd.DataFrame) -> list[str]:
    if "layer" in table and "unit_in_layer" in table:
        return [
            f"{layer}[{unit}]"
            for layer, unit in zip(table["layer"], table["unit_in_layer"], strict=True)
        ]
    return [f"unit {i}" for i in range(len(table))]


def _column(
    name: str, cells: pd.Series, level: int | None, columns: Collection[str]
) -> Any:
    return VectorData(
        name=stored_name(name, columns),
        description=column_description(name),
        data=column_data(cells, level),
    )


def column_data(cells: pd.Series, level: int | None) -> Any:
    """Cells of a column as pynwb takes them, packed with gzip of that level where they
    are many.
    """
    if cells.dtype == "str":
        return (
            cells.to_list() if len(cells) < _MANY_TEXTS else LateTexts(cells.to_list())
        )
    values = cells.to_numpy()
    if (
        values.dtype.kind == "i"
        and len(values)
        and values.min() == 0
        and values.max() == 1
    ):
        # Numbers that happen to be 0 and 1 only; as int8, nobody takes them for flags
        # in too wide a type.
        values = values.astype(np.int8)
    return _packed(values, level)


def _packed(values: npt.NDArray[Any], level: int | None) -> Any:
    if level is None or values.nbytes < CHUNK:
        return values
    return H5DataIO(values, compression="gzip", compression_opts=level, shuffle=True)


def _add_intervals(file: Any, recording: Recording, header: Header) -> None:
    shown = recording.presentations
    if len(shown):
        columns = _interval_columns(shown, recording)
        if header.profile == "neo":
            numbered = pd.Series(np.arange(len(shown)))
            named = next(
                (shown[name] for name in ("label", "stimulus_id") if name in shown),
                numbered,
            )
            extra = {
                "_name": EPOCH_NAME + shown["phase"],
                "segment": shown["phase"],
                "block": pd.Series([recording.identifier] * len(shown), dtype="str"),
            }
            about = (
                "What was shown; also a column of Neo's, so that neo.io.NWBIO finds it."
            )
            columns += [
                VectorData(name=name, description=about, data=column_data(cells, 1))
                for name, cells in extra.items()
            ]
            tags = column_data(named.astype("str"), 1)
            labels = VectorData(
                name="tags",
                description="Label of the stimulus, else its id.",
                data=tags,
            )
            index = np.arange(1, len(shown) + 1, dtype=np.uint64)
            columns += [
                labels,
                VectorIndex(name="tags_index", target=labels, data=index),
            ]
            file.epochs = _intervals(
                "epochs", "Intervals in which one stimulus was shown.", columns
            )
        else:
            file.trials = _intervals(
                "trials", "Intervals in which one stimulus was shown.", columns
            )
    phases = recording.phases
    if len(phases):
        columns = _interval_columns(phases, recording)
        about = (
            "Stretches of time that belong together; time in none of them was not"
            " observed."
        )
        file.add_time_intervals(_intervals("phases", about, columns))


def _interval_columns(table: pd.DataFrame, recording: Recording) -> list[Any]:
    columns = []
    for name, about, edge in (
        ("start_time", "Start of the interval, in s.", "start_bin"),
        ("stop_time", "End of the interval, in s.", "stop_bin"),
    ):
        times = recording.raster.bin_edge_seconds(table[edge].to_numpy())
        columns.append(VectorData(name=name, description=about, data=_packed(times, 1)))
    kept = [name for name in table if name not in {"start_bin", "stop_bin"}]
    return columns + [_column(name, table[name], 1, kept) for name in kept]


def _intervals(name: str, description: str, columns: list[Any]) -> Any:
    return pynwb.epoch.TimeIntervals(
        name=name,
        description=description,
        columns=columns,
        colnames=[
            column.name for column in columns if not isinstance(column, VectorIndex)
        ],
        id=ElementIdentifiers(name="id", data=np.arange(len(columns[0].data))),
    )


def _key_value_table(
    name: str, description: str, rows: Sequence[tuple[str, str]]
) -> Any:
    return DynamicTable(
        name=name,
        description=description,
        columns=[
            VectorData(
                name="key", description="What is told.", data=[key for key, _ in rows]
            ),
            VectorData(
                name="value",
                description="Its value, as text.",
                data=[value for _, value in rows],
            ),
        ],
    )


def _layers_table(recording: Recording) -> Any:
    """Layers and their properties, a row per property: a table of one row, for one
    layer, would be frowned upon.
    """
    units = recording.units
    keys = [name for name in ("layer", "call_index", "output_index") if name in units]
    rows = []
    for key, group in units.groupby(keys, sort=False):
        name = (
            " ".join(map(str, key))
            if len(set(units[keys[0]])) < units[keys].drop_duplicates().shape[0]
            else key[0]
        )
        properties = {"n_units": str(len(group))}
        if "layer_type" in group:
            properties["class"] = group["layer_type"].iloc[0]
        places = [
            axis for axis in ("step", "depth", "row", "col", "channel") if axis in group
        ]
        shape = {axis: int(group[axis].max()) + 1 for axis in places}
        properties["shape"] = ", ".join(
            f"{axis} {size}" for axis, size in shape.items() if size
        )
        if "threshold" in group:
            limits = group["threshold"]
            same = bool((limits == limits.iloc[0]).all())
            properties["threshold"] = (
                repr(float(limits.iloc[0]))
                if same
                else "one per unit, see /units/threshold"
            )
        rows += [
            (str(name), what, value) for what, value in properties.items() if value
        ]
    columns = zip(("layer", "property", "value"), zip(*rows, strict=True), strict=True)
    return DynamicTable(
        name=LAYERS_TABLE,
        description="The recorded layers, a row per layer and property.",
        columns=[
            VectorData(name=n, description=f"The {n}.", data=list(cells))
            for n, cells in columns
        ],
    )
