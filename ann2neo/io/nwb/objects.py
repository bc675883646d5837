"""Recordings as pynwb objects, whose large data are written later."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pynwb
from hdmf.common import DynamicTable, ElementIdentifiers, VectorData, VectorIndex

from ann2neo.io.nwb.data import (
    column_data,
    fill_late_data,
    late_spike_times,
    packed,
)
from ann2neo.io.nwb.layout import (
    DESCRIPTIONS,
    EPOCH_NAME,
    LAYERS_TABLE,
    LAYOUT_TABLE,
    PROVENANCE_TABLE,
    header_of,
    provenance_rows,
    stored_name,
)
from ann2neo.io.nwb.metadata import SYNTHETIC, Metadata, id_text
from ann2neo.io.nwb.series import activation_series, stimulus_series
from ann2neo.io.nwb.spike_chunks import SpikeTimes
from ann2neo.recording import Recording
from ann2neo.recording.segments import segmented_phases
from ann2neo.recording.stretches import Stretch, stretches
from ann2neo.recording.tables import stimulus_names, unit_names

__all__ = ["FileBuilder"]

_VERSION = re.compile(r"(?P<before>.+?)[ _.:]version|version[ _.:](?P<after>.+)")
_KEY_VALUE = {"key": "Name of the value.", "value": "The value, as text."}


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
        self._is_network = "layer" in recording.units
        self._for_neo = profile == "neo"
        whole = Stretch("", 0, recording.n_time_bins, "unknown", 0.0, is_segment=False)
        self._parts = list(stretches(recording)) if self._for_neo else [whole]
        self._series: list[Any] = []
        self.file = pynwb.NWBFile(**self._file_fields())
        self._add_subject()
        if self._is_network:
            self._add_device()
        self.file.units = self._units()
        self._add_presentations()
        self._add_phases()
        self._add_tables(profile)

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
        for table, n_copies in ((units, len(self._parts)), (presentations, 1)):
            n_bytes += 48 * len(table) * n_copies * (len(table.columns) + 6)
            n_bytes += 8 * sum(
                int(table[name].str.len().sum())
                for name in table
                if table[name].dtype == "str"
            )
        return n_bytes

    def fill(self, claim: Callable[[int], None]) -> None:
        """Write the large data to a file that has the objects.

        Parameters
        ----------
        claim : function of int
            Called before each large write, with its number of bytes.
        """
        file = self.file
        tables = (file.units, file.trials, file.epochs, *file.analysis.values())
        columns = [c for table in tables if table is not None for c in table.columns]
        fill_late_data([*columns, *self._series], claim)

    def _file_fields(self) -> dict[str, Any]:
        recording, metadata = self._recording, self._metadata
        phases = ", ".join(
            f"{p.phase} ({p.n_time_bins} bins, {p.order} order)"
            for p in segmented_phases(recording)
        )
        source, spike, keywords = "a recording", "at least one spike in the bin", []
        if self._is_network:
            source = "an artificial neural network"
            spike = "activation above the unit's threshold"
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
            "session_description": metadata.session_description or session,
            "experiment_description": metadata.experiment_description or experiment,
            "identifier": recording.identifier,
            "session_start_time": recording.session_start_time,
            "was_generated_by": _generators(recording.provenance),
            "experimenter": list(metadata.experimenter),
            "related_publications": list(metadata.related_publications),
            # neo.io.NWBIO fails on a file with keywords.
            "keywords": [] if self._for_neo else [*keywords, *metadata.keywords],
            "institution": metadata.institution,
            "lab": metadata.lab,
            "session_id": metadata.session_id,
            "notes": metadata.notes,
            "protocol": metadata.protocol,
            "stimulus_notes": metadata.stimulus_notes,
            "source_script": metadata.source_script,
            "source_script_file_name": metadata.source_script_file_name,
        }
        return {key: value for key, value in fields.items() if value not in (None, [])}

    def _add_subject(self) -> None:
        """Add the subject: the network, or the one in the metadata, if any."""
        metadata, notes = self._metadata, self._recording.provenance
        fields = {
            "subject_id": metadata.subject_id,
            "species": metadata.species,
            "sex": metadata.sex,
            "age": metadata.age,
            "strain": metadata.strain,
            "description": metadata.subject_description,
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
            fields |= {
                key: value for key, value in defaults.items() if fields[key] is None
            }
        if fields["subject_id"] is not None:
            self.file.subject = pynwb.file.Subject(
                **{key: value for key, value in fields.items() if value}
            )

    def _add_device(self) -> None:
        about = "Software that thresholds the activations of a network's layers."
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
        spikes = SpikeTimes(raster, np.column_stack([unit, edges]).tolist())
        times = VectorData(
            name="spike_times",
            description=(
                "Times of spikes, a quarter of the way through their time bins."
            ),
            data=late_spike_times(spikes, self._level),
        )
        observed = VectorData(
            name="obs_intervals",
            description="The one interval in which the unit was observed.",
            data=packed(raster.bin_edge_seconds(edges), self._level),
        )
        columns = [
            times,
            _index_of(times, spikes.ends),
            observed,
            # One interval per row: row i ends at i + 1.
            _index_of(observed, np.arange(1, n_rows + 1)),
            *_columns(table.iloc[unit], self._level),
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

    def _add_presentations(self) -> None:
        presentations = self._recording.presentations
        if not len(presentations):
            return
        columns = self._interval_columns(presentations)
        about = "Intervals in which one stimulus was shown."
        if not self._for_neo:
            self.file.trials = _intervals("trials", about, columns)
            return
        block = [self._recording.identifier] * len(presentations)
        extra = {
            "_name": EPOCH_NAME + presentations["phase"],
            "segment": presentations["phase"],
            "block": pd.Series(block, dtype="str"),
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
            data=column_data(stimulus_names(presentations), 1),
        )
        columns += [tags, _index_of(tags, np.arange(1, len(presentations) + 1))]
        self.file.epochs = _intervals("epochs", about, columns)

    def _add_phases(self) -> None:
        phases = self._recording.phases
        if len(phases):
            about = (
                "Stretches of time that belong together; time in none of them was not"
                " observed."
            )
            columns = self._interval_columns(phases)
            self.file.add_time_intervals(_intervals("phases", about, columns))

    def _interval_columns(self, table: pd.DataFrame) -> list[VectorData]:
        edge_seconds = self._recording.raster.bin_edge_seconds
        columns = [
            VectorData(
                name=f"{edge}_time",
                description=about,
                data=packed(edge_seconds(table[f"{edge}_bin"].to_numpy()), 1),
            )
            for edge, about in (
                ("start", "Start of the interval, in s."),
                ("stop", "End of the interval, in s."),
            )
        ]
        return columns + _columns(table.drop(columns=["start_bin", "stop_bin"]), 1)

    def _add_tables(self, profile: str) -> None:
        provenance = self._recording.provenance
        about = "Layout of this file and checksums of its contents."
        rows = header_of(self._recording, profile).rows()
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


def _columns(table: pd.DataFrame, level: int | None) -> list[VectorData]:
    names = [str(name) for name in table]
    return [
        VectorData(
            name=stored_name(name, names),
            description=DESCRIPTIONS.get(name, f"Column {name!r} of the recording."),
            data=column_data(table[name], level),
        )
        for name in names
    ]


def _index_of(column: VectorData, ends: npt.NDArray[np.int64]) -> VectorIndex:
    """Return the index of a ragged column: where each row ends in its data."""
    name, ends = f"{column.name}_index", ends.astype(np.uint64)
    return VectorIndex(name=name, target=column, data=ends)


def _names(columns: Iterable[VectorData]) -> list[str]:
    """Return the names of columns without the indices of ragged ones."""
    return [column.name for column in columns if not isinstance(column, VectorIndex)]


def _intervals(
    name: str, description: str, columns: list[VectorData]
) -> pynwb.epoch.TimeIntervals:
    return pynwb.epoch.TimeIntervals(
        name=name,
        description=description,
        columns=columns,
        colnames=_names(columns),
        id=ElementIdentifiers(name="id", data=np.arange(len(columns[0].data))),
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
