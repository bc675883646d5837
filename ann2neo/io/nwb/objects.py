"""Recordings as pynwb objects, whose large data are written later."""

from __future__ import annotations

import importlib.metadata
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pynwb
from hdmf.common import DynamicTable, ElementIdentifiers, VectorData, VectorIndex

from ann2neo._progress import progress_bar
from ann2neo.io.nwb.data import (
    column_data,
    fill_late_data,
    late_bytes,
    late_data,
    late_spike_times,
    packed,
)
from ann2neo.io.nwb.layout import (
    DESCRIPTIONS,
    EPOCH_NAME,
    LAYERS_TABLE,
    LAYOUT_TABLE,
    OWN_CLOCK,
    PROVENANCE_TABLE,
    SESSION_SOURCE,
    header_of,
    provenance_rows,
    stored_names,
)
from ann2neo.io.nwb.metadata import SYNTHETIC, Metadata, id_text
from ann2neo.io.nwb.series import activation_series, stimulus_series
from ann2neo.io.nwb.spike_chunks import SpikeTimes
from ann2neo.recording import Recording
from ann2neo.recording.segments import segmented_phases
from ann2neo.recording.stretches import Stretch, stretches
from ann2neo.recording.tables import (
    DEFAULT_KIND,
    UNIT_DESCRIPTIONS,
    network_columns,
    stimulus_names,
    unit_names,
)

__all__ = ["FileBuilder"]

_VERSION = re.compile(r"(?P<before>.+?)[ _.:]version|version[ _.:](?P<after>.+)")
_SPIKES = {
    "threshold": "activation above the unit's threshold",
    "bernoulli": "drawn with the activation as its probability",
    "poisson": "drawn with the probability 1 - exp(-activation)",
}
"""When a unit of a network spikes, by the emission in its provenance."""
_KEY_VALUE = {"key": "Name of the value.", "value": "The value, as text."}
# Columns of Neo's, and what it calls the presentations of other kinds.
_NEO = {"_name", "segment", "block"}
_EDGES = {
    "start": "Start of the interval, in s.",
    "stop": "End of the interval, in s.",
}
# Tables of intervals that mean something else than presentations.
_OTHER_INTERVALS = {"segments", "phases", "invalid_times"}


def _reserved(table: type[DynamicTable], *, for_neo: bool) -> set[str]:
    """Return the names that a table of pynwb's gives to columns and attributes."""
    # The elements of columns that pynwb knows are made when they are first used.
    columns = {column["name"] for column in table.__columns__}
    indices = {f"{name}_index" for name in columns}
    return {*columns, *indices, *dir(table), *(_NEO if for_neo else ())}


class FileBuilder:
    """Build the pynwb objects of a recording's file; `fill` writes its large data.

    Parameters
    ----------
    recording : Recording
        The recording to write.
    metadata : Metadata
        The user's metadata.
    profile : {"dandi", "neo"}
        Trials and one row per unit, or epochs and one row per unit and phase.
    level : int or None
        Level of gzip; None for no compression.

    Attributes
    ----------
    file : pynwb.NWBFile
        The objects, for pynwb to write.
    """

    def __init__(
        self,
        recording: Recording,
        metadata: Metadata,
        profile: str,
        level: int | None,
    ) -> None:
        self._recording, self._metadata, self._level = recording, metadata, level
        self._network_columns = network_columns(recording.units)
        self._is_network = bool(self._network_columns)
        self._for_neo = profile == "neo"
        notes = recording.provenance
        # What somebody's file said about the session holds for ours, too.
        is_session = notes.get("source") == SESSION_SOURCE
        self._facts = notes if is_session and not self._is_network else {}
        whole = Stretch("", 0, recording.n_time_bins, "unknown", 0.0, is_segment=False)
        self._parts = _named_apart(stretches(recording)) if self._for_neo else [whole]
        self._names = self._stored_names()
        self._series: list[Any] = []
        self.file = pynwb.NWBFile(**self._file_fields())
        self._add_subject()
        if self._is_network:
            self._add_device()
        self.file.units = self._units()
        self._add_presentations()
        self._add_segments()
        self._add_tables(profile)

    def _stored_names(self) -> dict[str, dict[str, str]]:
        """Return the names in the file of columns, and of the tables of each kind."""
        recording = self._recording
        of_units, of_intervals = (
            _reserved(table, for_neo=self._for_neo)
            for table in (pynwb.misc.Units, pynwb.epoch.TimeIntervals)
        )
        # Bounds are stored as times.
        bounds = ["start_bin", "stop_bin"]
        presentations, segments = (
            table.columns.drop(bounds)
            for table in (recording.presentations, recording.segments)
        )
        clock = {"t_start": OWN_CLOCK}
        others = stored_names(segments.drop(list(clock)), {*of_intervals, OWN_CLOCK})
        return {
            "unit": stored_names(recording.units.columns, of_units),
            "presentation": stored_names(presentations, of_intervals),
            "segment": others | clock,
            "kind": stored_names(
                recording.presentations["kind"].unique(), _OTHER_INTERVALS
            ),
        }

    def add_stimuli(self, stimuli: npt.ArrayLike | Mapping[str, npt.ArrayLike]) -> None:
        """Add series of the stimuli; see `stimulus_series`."""
        for series in stimulus_series(self._recording, stimuli, self._level):
            self.file.add_stimulus(series)
            self._series.append(series)

    def add_activations(
        self, activations: Mapping[str, Iterable[npt.NDArray[Any]]]
    ) -> None:
        """Add series of the activations behind the spikes; see `activation_series`."""
        for series in activation_series(
            self._recording,
            activations,
            self._parts,
            level=self._level,
            for_neo=self._for_neo,
        ):
            self.file.add_acquisition(series)
            self._series.append(series)

    def table_bytes(self) -> int:
        """Return an upper bound of the size of tables and HDF5's structures."""
        # 2 MiB for the schema, some numbers or references per cell, and the strings.
        n_bytes = 2 << 20
        units, presentations = self._recording.units, self._recording.presentations
        segments, n_rows = self._recording.segments, len(units) * len(self._parts)
        n_bytes += 16 * n_rows * len(self._observed())
        for table, n_copies in (
            (units, len(self._parts)),
            (presentations, 1),
            (segments, 1),
        ):
            n_bytes += 48 * len(table) * n_copies * (len(table.columns) + 6)
            n_bytes += 8 * sum(
                int(table[name].str.len().sum())
                for name in table
                if table[name].dtype == "str"
            )
        return n_bytes

    def fill(self, claim: Callable[[int], None], progress: bool | None) -> None:
        """Write the large data to a file that has the objects.

        Parameters
        ----------
        claim : function of int
            Called before each large write, with its number of bytes.
        progress : bool or None
            Whether to show a progress bar; None as in `write_nwb`.
        """
        file = self.file
        tables = (
            file.units,
            file.trials,
            file.epochs,
            *file.intervals.values(),
            *file.analysis.values(),
        )
        columns = [c for table in tables if table is not None for c in table.columns]
        late = late_data([*columns, *self._series])
        with progress_bar(late_bytes(late), "write_nwb", "B", progress) as bar:
            fill_late_data(late, claim, bar.update)

    def _file_fields(self) -> dict[str, Any]:
        recording, metadata = self._recording, self._metadata
        phases = ", ".join(
            f"{p.phase} ({p.n_time_bins} bins, {p.order} order)"
            for p in segmented_phases(recording)
        )
        source, spike, keywords = "a recording", "at least one spike in the bin", []
        if self._is_network:
            source = "an artificial neural network"
            emission = recording.provenance.get("emission", "threshold")
            spike = _SPIKES.get(emission, _SPIKES["threshold"])
            keywords = ["simulated data", "artificial neural network"]
        period = 1000 * recording.raster.sampling_period_seconds
        session = (
            f"Spikes of {recording.n_units} units of {source} in"
            f" {recording.n_time_bins} time bins of {period:g} ms;"
            f" phases: {phases or 'none'}."
        )
        experiment = (
            f"At most one spike per unit and time bin ({spike}), a quarter of the way"
            " through the bin."
        )
        fields: dict[str, Any] = {
            "session_description": (
                metadata.session_description
                or self._facts.get("session_description", session)
            ),
            "experiment_description": metadata.experiment_description or experiment,
            "identifier": recording.identifier,
            "session_start_time": recording.session_start_time,
            "timestamps_reference_time": recording.timestamps_reference_time,
            "was_generated_by": _generators(recording.provenance),
            "experimenter": list(metadata.experimenter),
            "related_publications": list(metadata.related_publications),
            # neo.io.NWBIO fails on a file with keywords.
            "keywords": [] if self._for_neo else [*keywords, *metadata.keywords],
            "institution": metadata.institution or self._facts.get("institution"),
            "lab": metadata.lab or self._facts.get("lab"),
            "session_id": metadata.session_id or self._facts.get("session_id"),
            "notes": metadata.notes,
            "protocol": metadata.protocol,
            "stimulus_notes": metadata.stimulus_notes,
            "source_script": metadata.source_script,
            "source_script_file_name": metadata.source_script_file_name,
        }
        return {key: value for key, value in fields.items() if value not in (None, [])}

    def _add_subject(self) -> None:
        """Add the subject: the network, or the one in metadata or session, if any."""
        metadata, notes = self._metadata, self._recording.provenance
        fields = {
            "subject_id": metadata.subject_id,
            "species": metadata.species,
            "sex": metadata.sex,
            "age": metadata.age,
            "strain": metadata.strain,
            "description": metadata.subject_description,
        }
        defaults = {
            key: self._facts.get(f"subject_{key.removeprefix('subject_')}")
            for key in ("subject_id", "species", "sex", "age", "strain")
        }
        if self._is_network:
            model = notes.get("model_name")
            named = f" {model!r}" if model else ""
            defaults = {
                "subject_id": _network_id(notes, self._recording.identifier),
                "species": SYNTHETIC,
                "sex": "U",
                "age": "P0D",
                "strain": model,
                "description": (
                    f"Artificial neural network{named}, not a biological organism."
                ),
            }
        fields |= {key: value for key, value in defaults.items() if fields[key] is None}
        if fields["subject_id"] is not None:
            self.file.subject = pynwb.file.Subject(
                **{key: value for key, value in fields.items() if value}
            )

    def _add_device(self) -> None:
        about = "Software that thresholds the activations of a network's layers."
        if self._recording.provenance.get("emission", "threshold") != "threshold":
            about = "Software that draws spikes from the activations of layers."
        model = pynwb.device.DeviceModel(
            name="activation_probe_model",
            manufacturer="ann2neo developers",
            description=about,
        )
        self.file.add_device_model(model)
        about = "Software tap on the outputs of layers; there is no electrode."
        self.file.add_device(
            pynwb.device.Device(name="activation_probe", description=about, model=model)
        )

    def _units(self) -> pynwb.misc.Units:
        raster, table = self._recording.raster, self._recording.units
        parts = self._parts
        # Row i is unit i % n_units in part i // n_units.
        n_rows = raster.n_units * len(parts)
        unit = np.tile(np.arange(raster.n_units), len(parts))
        edges = np.array([(part.start_bin, part.stop_bin) for part in parts], np.int64)
        edges = edges.repeat(raster.n_units, axis=0)
        spikes = SpikeTimes(raster, np.column_stack([unit, edges]))
        times = VectorData(
            name="spike_times",
            description=(
                "Times of spikes, a quarter of the way through their time bins."
            ),
            data=late_spike_times(spikes, self._level),
        )
        intervals = edges if self._for_neo else np.tile(self._observed(), (n_rows, 1))
        observed = VectorData(
            name="obs_intervals",
            description="The intervals in which the unit was observed.",
            data=packed(raster.bin_edge_seconds(intervals), self._level),
        )
        columns = [
            times,
            _index_of(times, spikes.ends),
            observed,
            # As many intervals per row.
            _index_of(observed, _row_ends(n_rows, len(intervals))),
            *_columns(
                table.iloc[unit],
                self._names["unit"],
                {name: UNIT_DESCRIPTIONS[name] for name in self._network_columns},
                self._level,
            ),
        ]
        if self._for_neo:
            names = unit_names(table)
            named = {
                "_name": [names[i] for i in unit],
                "segment": [part.name for part in parts for _ in names],
                "block": [self._recording.identifier] * n_rows,
            }
            columns += [
                VectorData(
                    name=name,
                    description=f"The {name.strip('_')} of the spike train in Neo.",
                    data=cells,
                )
                for name, cells in named.items()
            ]
        each = "unit and Neo segment" if self._for_neo else "unit"
        return pynwb.misc.Units(
            name="units",
            description=f"One row per {each}.",
            id=ElementIdentifiers(name="id", data=np.arange(n_rows)),
            columns=columns,
            colnames=_names(columns),
            resolution=raster.sampling_period_seconds,
        )

    def _observed(self) -> npt.NDArray[np.int64]:
        """Return first bins and bins after the last of the observed stretches."""
        segments = self._recording.segments
        starts, stops = (segments[f"{edge}_bin"].to_numpy() for edge in _EDGES)
        if not len(segments):
            return np.array([[0, self._recording.n_time_bins]])
        # Segments that adjoin are one stretch: it begins where no other ends.
        begins = np.concatenate([[True], starts[1:] > stops[:-1]])
        ends = np.concatenate([begins[1:], [True]])
        return np.column_stack([starts[begins], stops[ends]])

    def _add_presentations(self) -> None:
        presentations = self._recording.presentations
        about = "Intervals in which one stimulus was shown."
        if self._for_neo:
            if len(presentations):
                columns = self._columns_for_neo(presentations)
                self.file.epochs = _intervals("epochs", about, columns)
            return
        for kind, place in self._names["kind"].items():
            rows = presentations
            if len(self._names["kind"]) > 1:
                rows = presentations[presentations["kind"] == kind]
                rows = rows.drop(columns=_empty_columns(rows))
            columns = self._interval_columns(
                rows.drop(columns="kind"), self._names["presentation"]
            )
            # The ids are places in the table of all kinds.
            table = _intervals(place, about, columns, rows.index.to_numpy())
            if kind == DEFAULT_KIND:
                self.file.trials = table
            elif place == "epochs":
                self.file.epochs = table
            else:
                self.file.add_time_intervals(table)

    def _columns_for_neo(self, presentations: pd.DataFrame) -> list[VectorData]:
        """Return the columns of presentations of all kinds, and those of Neo's."""
        columns = self._interval_columns(presentations, self._names["presentation"])
        starts = np.array([part.start_bin for part in self._parts])
        place = np.searchsorted(starts, presentations["start_bin"], side="right") - 1
        segment = pd.Series([self._parts[i].name for i in place], dtype="str")
        extra = {
            "_name": EPOCH_NAME + segment,
            "segment": segment,
            "block": pd.Series(
                [self._recording.identifier] * len(presentations), dtype="str"
            ),
        }
        columns += [
            VectorData(
                name=name,
                description=(
                    "What was shown; also a column of Neo's, so that neo.io.NWBIO finds"
                    " it."
                ),
                data=column_data(cells, 1),
            )
            for name, cells in extra.items()
        ]
        tags = VectorData(
            name="tags",
            description="Label of the stimulus, else its id.",
            data=column_data(stimulus_names(presentations).fillna(""), 1),
        )
        n_rows = len(presentations)
        return [*columns, tags, _index_of(tags, _row_ends(n_rows, n_rows))]

    def _add_segments(self) -> None:
        segments = self._recording.segments
        if len(segments):
            about = (
                "Stretches in which time runs on without a break; those of one phase"
                " belong together. Time in none of them was not observed."
            )
            columns = self._interval_columns(segments, self._names["segment"])
            self.file.add_time_intervals(_intervals("segments", about, columns))

    def _interval_columns(
        self, table: pd.DataFrame, names: Mapping[str, str]
    ) -> list[VectorData]:
        edge_seconds = self._recording.raster.bin_edge_seconds
        columns = [
            VectorData(
                name=f"{edge}_time",
                description=about,
                data=packed(edge_seconds(table[f"{edge}_bin"].to_numpy()), 1),
            )
            for edge, about in _EDGES.items()
        ]
        others = table.drop(columns=["start_bin", "stop_bin"])
        return columns + _columns(others, names, DESCRIPTIONS, 1)

    def _add_tables(self, profile: str) -> None:
        provenance = self._recording.provenance
        about = "Layout of this file and checksums of its contents."
        rows = header_of(self._recording, profile, self._names).rows()
        self.file.add_analysis(_text_table(LAYOUT_TABLE, about, _KEY_VALUE, rows))
        if provenance:
            about, rows = "Where the recording came from.", provenance_rows(provenance)
            self.file.add_analysis(
                _text_table(PROVENANCE_TABLE, about, _KEY_VALUE, rows)
            )
        if self._is_network:
            self.file.add_analysis(_layers_table(self._recording.units))


def _network_id(notes: Mapping[str, str], identifier: str) -> str:
    """Return the model's name with its weights' checksum, seed, or the identifier."""
    which = identifier[:8]
    if notes.get("weights_sha256"):
        which = notes["weights_sha256"][:8]
    elif notes.get("seed"):
        which = f"seed{notes['seed']}"
    return id_text(f"{notes.get('model_name') or 'ann'}-{which}") or "ann"


def _named_apart(parts: Iterable[Stretch]) -> list[Stretch]:
    """Number the stretches of a phase that has several, so that names differ."""
    listed = list(parts)
    totals = Counter(part.name for part in listed)
    numbers: Counter[str] = Counter()
    taken, named = set(totals), []
    for part in listed:
        name = part.name
        while totals[part.name] > 1 and name in taken:
            numbers[part.name] += 1
            name = f"{part.name} ({numbers[part.name]})"
        taken.add(name)
        named.append(part._replace(name=name))
    return named


def _empty_columns(rows: pd.DataFrame) -> list[str]:
    """Return columns in which no row has a value; flags always have one."""
    missing = {"str": "", "int64": -1, "int32": -1}
    return [
        str(name)
        for name, cells in rows.items()
        if cells.isna().all()
        or (str(cells.dtype) in missing and (cells == missing[str(cells.dtype)]).all())
    ]


def _columns(
    table: pd.DataFrame,
    names: Mapping[str, str],
    descriptions: Mapping[str, str],
    level: int | None,
) -> list[VectorData]:
    return [
        VectorData(
            name=names[name],
            description=descriptions.get(name, f"Column {name!r} of the recording."),
            data=column_data(table[name], level),
        )
        for name in map(str, table)
    ]


def _row_ends(n_rows: int, n_entries: int) -> npt.NDArray[np.int64]:
    """Return where rows end that share entries evenly."""
    return (np.arange(n_rows) + 1) * (n_entries // max(1, n_rows))


def _index_of(column: VectorData, ends: npt.NDArray[np.int64]) -> VectorIndex:
    """Return the index of a ragged column: where each row ends in its data."""
    name, ends = f"{column.name}_index", ends.astype(np.uint64)
    return VectorIndex(name=name, target=column, data=ends)


def _names(columns: Iterable[VectorData]) -> list[str]:
    """Return the names of columns without the indices of ragged ones."""
    return [column.name for column in columns if not isinstance(column, VectorIndex)]


def _intervals(
    name: str,
    description: str,
    columns: list[VectorData],
    ids: npt.NDArray[np.int64] | None = None,
) -> pynwb.epoch.TimeIntervals:
    if ids is None:
        ids = np.arange(len(columns[0].data))
    return pynwb.epoch.TimeIntervals(
        name=name,
        description=description,
        columns=columns,
        colnames=_names(columns),
        id=ElementIdentifiers(name="id", data=ids),
    )


def _generators(provenance: Mapping[str, str]) -> list[list[str]]:
    versions = {name: importlib.metadata.version(name) for name in ("ann2neo", "pynwb")}
    for key, value in provenance.items():
        match = _VERSION.fullmatch(key)
        if match and value:
            versions.setdefault(match["before"] or match["after"], value)
    return list(map(list, versions.items()))


def _text_table(
    name: str, description: str, columns: Mapping[str, str], rows: Sequence[Any]
) -> DynamicTable:
    """Make a table of strings; `columns` maps names to descriptions."""
    cells = zip(*rows, strict=True)
    return DynamicTable(
        name=name,
        description=description,
        columns=[
            VectorData(name=column, description=about, data=list(texts))
            for (column, about), texts in zip(columns.items(), cells, strict=True)
        ],
    )


def _layers_table(units: pd.DataFrame) -> DynamicTable:
    """Make the table of layers, with one row per layer and property."""
    # One row per layer would give a table of one row where there is one layer, which
    # the NWB Inspector reports.
    keys = [name for name in ("layer", "call_index", "output_index") if name in units]
    is_ambiguous = units["layer"].nunique() < len(units[keys].drop_duplicates())
    rows = []
    for key, group in units.groupby(keys, sort=False):
        name = " ".join(map(str, key)) if is_ambiguous else str(key[0])
        properties = {"n_units": str(len(group))}
        if "layer_type" in group:
            properties["class"] = group["layer_type"].iloc[0]
        places = [
            axis for axis in ("step", "depth", "row", "col", "channel") if axis in group
        ]
        # The coordinate is -1 along an axis that the layer lacks: size 0, left out.
        shape = {axis: int(group[axis].max()) + 1 for axis in places}
        properties["shape"] = ", ".join(
            f"{axis} {size}" for axis, size in shape.items() if size
        )
        if "threshold" in group:
            limits = group["threshold"].unique()
            properties["threshold"] = "one per unit, see /units/threshold"
            if len(limits) == 1:
                properties["threshold"] = repr(float(limits[0]))
        rows += [(name, what, value) for what, value in properties.items() if value]
    return _text_table(
        LAYERS_TABLE,
        "The recorded layers, one row per layer and property.",
        {name: f"The {name}." for name in ("layer", "property", "value")},
        rows,
    )
