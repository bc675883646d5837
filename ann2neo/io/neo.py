"""Recordings to and from neo.Block."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import neo
import numpy as np
import numpy.typing as npt
import pandas as pd
import quantities as pq

from ann2neo._checks import seconds
from ann2neo.errors import FileFormatError, InputTypeError, InputValueError
from ann2neo.raster import SpikeRaster
from ann2neo.raster.binning import Observed, nearest_edges
from ann2neo.raster.spiketrains import spike_bins, to_spiketrains
from ann2neo.recording import Recording
from ann2neo.recording.from_spike_times import recording_from_spike_times
from ann2neo.recording.stretches import stretches
from ann2neo.recording.tables import Phase, phase_table, stimulus_names, unit_names

__all__ = ["from_neo", "to_neo"]

LAYOUT = "ann2neo_layout"
LAYOUT_VERSION = 1
PRESENTATIONS = "presentations"


def to_neo(recording: Recording) -> Any:
    """Turn a recording into a Neo block.

    Parameters
    ----------
    recording : Recording
        The recording.

    Returns
    -------
    neo.Block
        One segment per phase, named after it. Each holds one `neo.SpikeTrain` per unit,
        in unit order, with ``t_start``, ``t_stop`` and ``sampling_rate``, annotated
        with the unit's row of the table; and one `neo.Epoch` named "presentations",
        whose labels are the stimuli's labels (else their ids) and whose array
        annotations are the columns of the table. Bins in no phase get a segment of
        their own, "in no phase", only where they hold spikes. `from_neo` gives the
        recording back, equal in every bit and cell.

    Examples
    --------
    >>> import numpy as np
    >>> block = to_neo(
    ...     Recording.from_activations(np.eye(2), labels=[3, 1], phase="test")
    ... )
    >>> [segment.name for segment in block.segments]
    ['test']
    >>> block.segments[0].epochs[0].labels.tolist()
    ['3', '1']
    """
    units, presentations, raster = (
        recording.units,
        recording.presentations,
        recording.raster,
    )
    block = neo.Block(
        name=recording.identifier, rec_datetime=recording.session_start_time
    )
    block.annotate(
        **{
            LAYOUT: LAYOUT_VERSION,
            "identifier": recording.identifier,
            "session_start_time": recording.session_start_time.isoformat(),
            "provenance": dict(recording.provenance),
            "t_start_seconds": raster.t_start_seconds,
            "sampling_period_seconds": raster.sampling_period_seconds,
            "n_units": raster.n_units,
            "n_time_bins": raster.n_time_bins,
            "unit_columns": _column_types(units),
            "presentation_columns": _column_types(presentations),
        }
    )
    rows = _unit_rows(units)
    names = unit_names(units)
    for stretch in stretches(recording):
        part = raster.slice(stretch.start_bin, stretch.stop_bin)
        segment = neo.Segment(name=stretch.name)
        segment.annotate(
            order=stretch.order, is_phase=stretch.is_phase, n_time_bins=part.n_time_bins
        )
        segment.annotate(t_start_seconds=raster.bin_edge_seconds(stretch.start_bin))
        trains = to_spiketrains(part, annotations=rows)
        for train, name in zip(trains, names, strict=True):
            train.name = name
        segment.spiketrains.extend(trains)
        if stretch.is_phase:
            segment.epochs.append(
                _epoch(presentations[presentations["phase"] == stretch.name], raster)
            )
        block.segments.append(segment)
    block.check_relationships()
    return block


def _column_types(table: pd.DataFrame) -> dict[str, str]:
    return {str(name): str(dtype) for name, dtype in table.dtypes.items()}


def _unit_rows(units: pd.DataFrame) -> list[dict[str, Any]]:
    if not len(units.columns):
        return [{} for _ in range(len(units))]
    columns = [units[name].to_list() for name in units]
    return [
        dict(zip(units.columns, cells, strict=True))
        for cells in zip(*columns, strict=True)
    ]


def _epoch(shown: pd.DataFrame, raster: SpikeRaster) -> Any:
    start = raster.bin_edge_seconds(shown["start_bin"].to_numpy())
    stop = raster.bin_edge_seconds(shown["stop_bin"].to_numpy())
    kept = [name for name in shown if name not in {"start_bin", "stop_bin", "phase"}]
    cells = {name: _plain(shown[name]) for name in kept}
    # Neo takes columns of the presentations as keyword arguments, so they are annotated
    # after construction.
    epoch = neo.Epoch(
        times=start * pq.s,
        durations=(stop - start) * pq.s,
        labels=stimulus_names(shown).to_numpy(object).astype("U"),
        name=PRESENTATIONS,
        description="intervals in which one stimulus was shown",
    )
    epoch.array_annotate(**cells)
    return epoch


def _plain(column: pd.Series) -> npt.NDArray[Any]:
    """Cells as an array of a type that Neo and HDF5 know; strings as fixed-width
    Unicode.
    """
    cells = column.to_numpy(object if column.dtype == "str" else None)
    if column.dtype != "str":
        return np.asarray(cells)
    text = cells.astype("U")
    if not (text == cells).all():
        raise InputValueError(
            f"strings of {str(column.name)!r} end in a NUL character, which Neo's"
            " arrays drop; strip it"
        )
    return np.asarray(text)


def from_neo(
    block: Any, bin_size: Any = None, t_start: Any = None, t_stop: Any = None
) -> Recording:
    """Turn a Neo block into a recording.

    Parameters
    ----------
    block : neo.Block
        A block that `to_neo` made, or one from any Neo IO, with spike trains in its
        segments.
    bin_size : quantities.Quantity, time, optional
        Length of a time bin; needed for blocks that `to_neo` did not make, whose
        sampling rate says nothing about spikes (Neo's default is 1 Hz). At most one
        spike per bin is kept; the share lost is in ``provenance["spikes_lost_share"]``,
        with a warning above 1 %.
    t_start, t_stop : quantities.Quantity, time, optional
        Extent to read, half-open; from the earliest ``t_start`` to the latest
        ``t_stop`` of the spike trains if not given.

    Returns
    -------
    Recording
        For a block of `to_neo`: the recording it was made from. Else one phase per
        segment, named after it; units are matched by their order in the segments;
        annotations that all trains carry become columns of the units, epochs become
        presentations.

    Raises
    ------
    InputTypeError, InputValueError
        If it is not a block, holds no spike trains, lacks `bin_size`, or its segments
        overlap in time or differ in their number of spike trains.
    FileFormatError
        If a block of `to_neo` was changed so that its spikes no longer lie in its time
        bins.

    Examples
    --------
    >>> import neo, quantities as pq
    >>> block = neo.Block()
    >>> block.segments.append(neo.Segment(name="session"))
    >>> block.segments[0].spiketrains.append(
    ...     neo.SpikeTrain([1.5, 3.2] * pq.ms, t_stop=5 * pq.ms)
    ... )
    >>> from_neo(block, bin_size=1 * pq.ms).raster.spike_bins(0)
    array([1, 3])
    """
    if not isinstance(block, neo.Block):
        raise InputTypeError(
            f"from_neo needs a neo.Block, got {type(block).__name__}; put a Segment"
            " into a Block with block.segments.append(segment)"
        )
    if LAYOUT not in block.annotations:
        return _from_any_block(block, bin_size, t_start, t_stop)
    if bin_size is not None or t_start is not None or t_stop is not None:
        raise InputValueError(
            "bin_size, t_start and t_stop are for blocks that to_neo did not make; this"
            " one has its own bins of"
            f" {block.annotations.get('sampling_period_seconds')} s; leave them out"
        )
    return _from_our_block(block)


def _from_our_block(block: Any) -> Recording:
    notes = block.annotations
    if notes[LAYOUT] != LAYOUT_VERSION:
        raise FileFormatError(
            f"this block has the layout {notes[LAYOUT]!r}, this ann2neo reads"
            f" {LAYOUT_VERSION}; update ann2neo"
        )
    try:
        n_units, n_time_bins = int(notes["n_units"]), int(notes["n_time_bins"])
        period, start = (
            float(notes["sampling_period_seconds"]),
            float(notes["t_start_seconds"]),
        )
        unit_columns, presentation_columns = (
            dict(notes["unit_columns"]),
            dict(notes["presentation_columns"]),
        )
        session_start = datetime.fromisoformat(notes["session_start_time"])
        identifier, provenance = str(notes["identifier"]), dict(notes["provenance"])
        stretches = [
            (
                segment,
                round((float(segment.annotations["t_start_seconds"]) - start) / period),
            )
            for segment in block.segments
        ]
        lengths = [
            int(segment.annotations["n_time_bins"]) for segment in block.segments
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise FileFormatError(
            f"a block of ann2neo lacks or broke an annotation ({error!r}); keep the"
            " annotations of to_neo"
        ) from error
    time_base = SpikeRaster.from_spike_bins(
        [], n_time_bins, sampling_period=period * pq.s, t_start=start * pq.s
    )
    bins: list[list[npt.NDArray[np.int64]]] = [[] for _ in range(n_units)]
    phases, tables = [], []
    for (segment, first), length in zip(stretches, lengths, strict=True):
        if len(segment.spiketrains) != n_units:
            raise FileFormatError(
                f"segment {segment.name!r} has {len(segment.spiketrains)} spike trains,"
                f" its block says {n_units}; select units with recording.select instead"
            )
        for unit, train in enumerate(segment.spiketrains):
            bins[unit].append(spike_bins(train, time_base, first, first + length))
        if segment.annotations["is_phase"]:
            phases.append(
                Phase(segment.name, first, first + length, segment.annotations["order"])
            )
            tables.append(_presentations_of(segment, time_base, presentation_columns))
    raster = SpikeRaster.from_spike_bins(
        [np.concatenate(parts) if parts else np.zeros(0, np.int64) for parts in bins],
        n_time_bins,
        sampling_period=period * pq.s,
        t_start=start * pq.s,
    )
    trains = block.segments[0].spiketrains if block.segments else []
    units = _units_of(trains, unit_columns, n_units)
    empty = pd.DataFrame(
        {name: pd.array([], dtype=kind) for name, kind in presentation_columns.items()}
    )
    presentations = pd.concat(
        [table for table in tables if len(table)] or [empty], ignore_index=True
    )
    return Recording(
        raster,
        units,
        presentations,
        phase_table(phases),
        provenance,
        identifier,
        session_start,
    )


def _units_of(trains: Any, columns: Mapping[str, str], n_units: int) -> pd.DataFrame:
    if n_units and columns and not trains:
        raise FileFormatError(
            "a block of ann2neo without segments has lost its units; keep the segments"
            " of to_neo"
        )
    try:
        cells = {
            name: [train.annotations[name] for train in trains] for name in columns
        }
    except KeyError as error:
        raise FileFormatError(
            f"a spike train lacks the annotation {error} of its unit; keep the"
            " annotations of to_neo"
        ) from error
    series = {
        name: pd.Series(values, dtype=columns[name]) for name, values in cells.items()
    }
    return pd.DataFrame(series, index=pd.RangeIndex(n_units))


def _presentations_of(
    segment: Any, time_base: SpikeRaster, columns: Mapping[str, str]
) -> pd.DataFrame:
    epochs = [epoch for epoch in segment.epochs if epoch.name == PRESENTATIONS]
    if len(epochs) != 1:
        raise FileFormatError(
            f"segment {segment.name!r} has {len(epochs)} epochs named"
            f" {PRESENTATIONS!r}, one is needed; keep the epoch that to_neo made"
        )
    epoch = epochs[0]
    times = epoch.times.rescale("s").magnitude
    first = nearest_edges(times, time_base)
    last = nearest_edges(times + epoch.durations.rescale("s").magnitude, time_base)
    bins: dict[str, Any] = {
        "start_bin": first,
        "stop_bin": last,
        "phase": np.full(len(first), segment.name, object),
    }
    cells = {}
    for name, kind in columns.items():
        if name not in bins and name not in epoch.array_annotations:
            raise FileFormatError(
                f"the presentations of segment {segment.name!r} lack the array"
                f" annotation {name!r}; keep those that to_neo made"
            )
        values = bins[name] if name in bins else epoch.array_annotations[name]
        cells[name] = pd.array(
            np.asarray(values).astype(object) if kind == "str" else np.asarray(values),
            dtype=kind,
        )
    return pd.DataFrame(cells)


# -- blocks of others
# --------------------------------------------------------------------------------------


def _from_any_block(block: Any, bin_size: Any, t_start: Any, t_stop: Any) -> Recording:
    if bin_size is None:
        raise InputValueError(
            "this block was not made by to_neo, so it needs bin_size, the length of a"
            " time bin; try from_neo(block, bin_size=1 * pq.ms)"
        )
    segments = [segment for segment in block.segments if len(segment.spiketrains)]
    if not segments:
        raise InputValueError(
            "this block has no segment with spike trains; read one with spikes, or sort"
            " them first"
        )
    counts = {len(segment.spiketrains) for segment in segments}
    if len(counts) > 1:
        raise InputValueError(
            f"segments have different numbers of spike trains, {sorted(counts)}, so"
            " units cannot be matched; keep the segments with the same units"
        )
    segments.sort(key=lambda segment: _edges(segment)[0])
    names = _unique_names(
        [segment.name or f"segment {i}" for i, segment in enumerate(segments)]
    )
    observed = [
        Observed(name, *_edges(segment))
        for name, segment in zip(names, segments, strict=True)
    ]
    spikes = [
        np.concatenate([train.times.rescale("s").magnitude for train in trains])
        for trains in zip(*[segment.spiketrains for segment in segments], strict=True)
    ]
    shown = [_shown(segment) for segment in segments]
    presentations = pd.concat(
        [table for table in shown if len(table)] or shown[:1], ignore_index=True
    )
    started = block.rec_datetime or segments[0].rec_datetime
    if isinstance(started, datetime) and started.tzinfo is None:
        started = started.astimezone()
    return recording_from_spike_times(
        spikes,
        observed,
        bin_size=seconds(bin_size, "bin_size", positive=True),
        t_start=None if t_start is None else seconds(t_start, "t_start"),
        t_stop=None if t_stop is None else seconds(t_stop, "t_stop"),
        units=_common_annotations(segments[0].spiketrains),
        presentations=presentations,
        provenance={"source": "neo.Block", **_source(block)},
        session_start_time=started if isinstance(started, datetime) else None,
    )


def _source(block: Any) -> dict[str, str]:
    given = {
        "source_name": block.name,
        "source_description": block.description,
        "source_file": block.file_origin,
    }
    return {key: str(value) for key, value in given.items() if value}


def _edges(segment: Any) -> tuple[float, float]:
    starts = [float(train.t_start.rescale("s")) for train in segment.spiketrains]
    stops = [float(train.t_stop.rescale("s")) for train in segment.spiketrains]
    return min(starts), max(stops)


def _unique_names(names: list[str]) -> list[str]:
    seen: dict[str, int] = {}
    out = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        out.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return out


def _common_annotations(trains: Any) -> pd.DataFrame:
    """Annotations of one plain type that every train carries; names where all
    have one.
    """
    columns: dict[str, Any] = {}
    if all(train.name for train in trains):
        columns["name"] = [str(train.name) for train in trains]
    for key in trains[0].annotations:
        cells = [train.annotations.get(key) for train in trains]
        for kind in (bool, int, float, str):
            accepted = (
                (bool, np.bool_)
                if kind is bool
                else (kind, np.integer if kind is int else kind)
            )
            if all(isinstance(cell, accepted) for cell in cells):
                columns.setdefault(str(key), [kind(cell) for cell in cells])
                break
    return pd.DataFrame(columns, index=pd.RangeIndex(len(trains)))


def _shown(segment: Any) -> pd.DataFrame:
    """Epochs of a segment as intervals in seconds with the epoch's name and label."""
    parts = [
        pd.DataFrame(
            {
                "start_time": epoch.times.rescale("s").magnitude,
                "stop_time": (epoch.times + epoch.durations).rescale("s").magnitude,
                "epoch": pd.Series([epoch.name or ""] * len(epoch), dtype="str"),
                "label": (
                    pd.Series([str(label) for label in epoch.labels], dtype="str")
                    if len(epoch.labels) == len(epoch)
                    else pd.Series([""] * len(epoch), dtype="str")
                ),
            }
        )
        for epoch in segment.epochs
    ]
    columns = {
        "start_time": "float64",
        "stop_time": "float64",
        "epoch": "str",
        "label": "str",
    }
    empty = pd.DataFrame(
        {name: pd.array([], dtype=kind) for name, kind in columns.items()}
    )
    return pd.concat(
        [part for part in parts if len(part)] or [empty], ignore_index=True
    )
