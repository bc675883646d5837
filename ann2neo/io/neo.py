"""Recordings to and from neo.Block."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from ann2neo.recording.segments import Phase, phase_table
from ann2neo.recording.stretches import stretches
from ann2neo.recording.tables import (
    column_types,
    empty_table,
    stimulus_names,
    unit_names,
)

__all__ = ["from_neo", "to_neo"]

LAYOUT = "ann2neo_layout"
LAYOUT_VERSION = 1
PRESENTATIONS = "presentations"

_INTERVAL_TYPES = {
    "start_time": "float64",
    "stop_time": "float64",
    "epoch": "str",
    "label": "str",
}
# In this order: a bool is an int, too.
_PLAIN_TYPES: Mapping[type, tuple[type, ...]] = {
    bool: (bool, np.bool_),
    int: (int, np.integer),
    float: (float,),
    str: (str,),
}


def to_neo(recording: Recording) -> neo.Block:
    """Convert a recording to a Neo block.

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
        their own, "in no phase", if they hold spikes. `from_neo` returns a recording
        equal in every bit and cell.

    Raises
    ------
    InputValueError
        If a string ends in a NUL character, which Neo's arrays cannot store.

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
    units, presentations = recording.units, recording.presentations
    raster = recording.raster
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
            "unit_columns": column_types(units),
            "presentation_columns": column_types(presentations),
        }
    )
    columns = {str(name): units[name].to_list() for name in units}
    rows = [
        {name: cells[i] for name, cells in columns.items()} for i in range(len(units))
    ]
    names = unit_names(units)
    for stretch in stretches(recording):
        part = raster.slice(stretch.start_bin, stretch.stop_bin)
        segment = neo.Segment(name=stretch.name)
        segment.annotate(
            order=stretch.order,
            is_phase=stretch.is_segment,
            n_time_bins=part.n_time_bins,
            t_start_seconds=raster.bin_edge_seconds(stretch.start_bin),
        )
        trains = to_spiketrains(part, annotations=rows)
        for train, name in zip(trains, names, strict=True):
            train.name = name
        segment.spiketrains.extend(trains)
        if stretch.is_segment:
            segment.epochs.append(
                _epoch(presentations[presentations["phase"] == stretch.name], raster)
            )
        block.segments.append(segment)
    block.check_relationships()
    return block


def _epoch(presentations: pd.DataFrame, raster: SpikeRaster) -> neo.Epoch:
    start = raster.bin_edge_seconds(presentations["start_bin"].to_numpy())
    stop = raster.bin_edge_seconds(presentations["stop_bin"].to_numpy())
    columns = presentations.drop(columns=["start_bin", "stop_bin", "phase"])
    epoch = neo.Epoch(
        times=start * pq.s,
        durations=(stop - start) * pq.s,
        labels=stimulus_names(presentations).to_numpy(object).astype("U"),
        name=PRESENTATIONS,
        description="intervals in which one stimulus was shown",
    )
    # Not as arguments of Epoch, whose own names a column may have.
    epoch.array_annotate(**{str(name): _plain(columns[name]) for name in columns})
    return epoch


def _plain(column: pd.Series) -> npt.NDArray[Any]:
    """Return cells as an array for Neo and HDF5, strings as fixed-width Unicode."""
    if column.dtype != "str":
        return column.to_numpy()
    cells = column.to_numpy(object)
    # Fixed-width strings are filled up with NULs, so NumPy drops those at the end.
    text = cells.astype("U")
    if not (text == cells).all():
        raise InputValueError(
            f"strings of {str(column.name)!r} end in a NUL character, which Neo's"
            " arrays drop; strip it"
        )
    return np.asarray(text)


def from_neo(
    block: neo.Block,
    bin_size: pq.Quantity | None = None,
    t_start: pq.Quantity | None = None,
    t_stop: pq.Quantity | None = None,
) -> Recording:
    """Convert a Neo block to a recording.

    Parameters
    ----------
    block : neo.Block
        A block that `to_neo` made, or one from any Neo IO, with spike trains in its
        segments.
    bin_size : quantities.Quantity, time, optional
        Length of a time bin; needed for blocks that `to_neo` did not make: the sampling
        rate of a spike train is not a bin size (Neo's default is 1 Hz). At most one
        spike per bin is kept; the share lost is in ``provenance["spikes_lost_share"]``,
        with a warning above 1 %.
    t_start, t_stop : quantities.Quantity, time, optional
        Time to read, half-open; from the earliest ``t_start`` to the latest ``t_stop``
        of the spike trains if not given.

    Returns
    -------
    Recording
        For a block of `to_neo`, the recording it was made from. Else one phase per
        segment, named after it; units are matched by their order in the segments;
        annotations that all trains have become columns of the units, epochs become
        presentations.

    Raises
    ------
    InputTypeError, InputValueError
        If it is not a block or holds no spike trains, `bin_size` is missing, or its
        segments overlap in time or differ in their number of spike trains.
    FileFormatError
        If a block of `to_neo` was changed, for example so that its spikes no longer lie
        in its time bins.

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


def _from_our_block(block: neo.Block) -> Recording:
    notes = block.annotations
    if notes[LAYOUT] != LAYOUT_VERSION:
        raise FileFormatError(
            f"this block has the layout {notes[LAYOUT]!r}, and this ann2neo reads"
            f" {LAYOUT_VERSION}; update ann2neo"
        )
    try:
        n_units, n_time_bins = int(notes["n_units"]), int(notes["n_time_bins"])
        period = float(notes["sampling_period_seconds"])
        start = float(notes["t_start_seconds"])
        unit_columns = dict(notes["unit_columns"])
        presentation_columns = dict(notes["presentation_columns"])
        session_start = datetime.fromisoformat(notes["session_start_time"])
        identifier, provenance = str(notes["identifier"]), dict(notes["provenance"])
        bounds = []
        for segment in block.segments:
            since_start = float(segment.annotations["t_start_seconds"]) - start
            first = round(since_start / period)
            bounds.append((first, first + int(segment.annotations["n_time_bins"])))
    except (KeyError, TypeError, ValueError) as error:
        raise FileFormatError(
            f"an annotation of this block is missing or damaged ({error!r}); keep the"
            " annotations of to_neo"
        ) from error
    # A raster without units, which only tells in which bin a time lies.
    time_base = SpikeRaster.from_spike_bins(
        [], n_time_bins, sampling_period=period * pq.s, t_start=start * pq.s
    )
    bins: list[list[npt.NDArray[np.int64]]] = [[] for _ in range(n_units)]
    phases, tables = [], []
    for segment, (first, last) in zip(block.segments, bounds, strict=True):
        if len(segment.spiketrains) != n_units:
            raise FileFormatError(
                f"segment {segment.name!r} has {len(segment.spiketrains)} spike trains,"
                f" its block says {n_units}; select units with recording.select instead"
            )
        for unit, train in enumerate(segment.spiketrains):
            bins[unit].append(spike_bins(train, time_base, first, last))
        if segment.annotations["is_phase"]:
            order = segment.annotations["order"]
            phases.append(Phase(segment.name, first, last, order))
            tables.append(_presentations_of(segment, time_base, presentation_columns))
    raster = SpikeRaster.from_spike_bins(
        [np.concatenate([np.zeros(0, np.int64), *parts]) for parts in bins],
        n_time_bins,
        sampling_period=period * pq.s,
        t_start=start * pq.s,
    )
    return Recording(
        raster,
        _units_of(block, unit_columns, n_units),
        _joined(tables, presentation_columns),
        phase_table(phases),
        provenance,
        identifier,
        session_start,
    )


def _units_of(
    block: neo.Block, columns: Mapping[str, str], n_units: int
) -> pd.DataFrame:
    if n_units and columns and not block.segments:
        raise FileFormatError(
            "this block has lost its segments and with them its units; keep the"
            " segments of to_neo"
        )
    trains = block.segments[0].spiketrains if block.segments else []
    try:
        cells = {
            name: pd.Series([train.annotations[name] for train in trains], dtype=kind)
            for name, kind in columns.items()
        }
    except KeyError as error:
        raise FileFormatError(
            f"a spike train lacks the annotation {error} of its unit; keep the"
            " annotations of to_neo"
        ) from error
    return pd.DataFrame(cells, index=pd.RangeIndex(n_units))


def _presentations_of(
    segment: neo.Segment, time_base: SpikeRaster, columns: Mapping[str, str]
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
        cells[name] = pd.Series(np.asarray(values), dtype=kind)
    return pd.DataFrame(cells)


def _joined(tables: list[pd.DataFrame], types: Mapping[str, str]) -> pd.DataFrame:
    # Without empty tables, whose columns would change the types of the others.
    rows = [table for table in tables if len(table)]
    return pd.concat(rows or [empty_table(types)], ignore_index=True)


# -- third-party blocks
# --------------------------------------------------------------------------------------


def _from_any_block(
    block: neo.Block,
    bin_size: pq.Quantity | None,
    t_start: pq.Quantity | None,
    t_stop: pq.Quantity | None,
) -> Recording:
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
    # Phases must follow one another in time; segments come in any order.
    segments.sort(key=lambda segment: _edges(segment)[0])
    # Phases need different names: "a", "a (2)", "a (3)".
    given = [segment.name or f"segment {i}" for i, segment in enumerate(segments)]
    numbers = [given[: i + 1].count(name) for i, name in enumerate(given)]
    names = [
        f"{name} ({number})" if number > 1 else name
        for name, number in zip(given, numbers, strict=True)
    ]
    observed = [
        Observed(name, *_edges(segment))
        for name, segment in zip(names, segments, strict=True)
    ]
    # From one list of trains per segment to one per unit: train i is unit i.
    spikes = [
        np.concatenate([train.times.rescale("s").magnitude for train in trains])
        for trains in zip(*[segment.spiketrains for segment in segments], strict=True)
    ]
    notes = {
        "source": "neo.Block",
        "source_name": block.name,
        "source_description": block.description,
        "source_file": block.file_origin,
    }
    started = block.rec_datetime or segments[0].rec_datetime
    # Neo's times have no time zone as a rule; local time is assumed.
    if isinstance(started, datetime) and started.tzinfo is None:
        started = started.astimezone()
    return recording_from_spike_times(
        spikes,
        observed,
        bin_size=seconds(bin_size, "bin_size", positive=True),
        t_start=None if t_start is None else seconds(t_start, "t_start"),
        t_stop=None if t_stop is None else seconds(t_stop, "t_stop"),
        units=_common_annotations(segments[0].spiketrains),
        presentations={"trials": _intervals(segments)},
        provenance={key: str(value) for key, value in notes.items() if value},
        session_start_time=started if isinstance(started, datetime) else None,
    )


def _edges(segment: neo.Segment) -> tuple[float, float]:
    """Return the earliest start and the latest stop of a segment's trains, in s."""
    starts = [float(train.t_start.rescale("s")) for train in segment.spiketrains]
    stops = [float(train.t_stop.rescale("s")) for train in segment.spiketrains]
    return min(starts), max(stops)


def _common_annotations(trains: Sequence[neo.SpikeTrain]) -> pd.DataFrame:
    """Make columns of the annotations of one plain type that all trains have."""
    columns: dict[str, Any] = {}
    if all(train.name for train in trains):
        columns["name"] = [str(train.name) for train in trains]
    for key in trains[0].annotations:
        cells = [train.annotations.get(key) for train in trains]
        for kind, accepted in _PLAIN_TYPES.items():
            if all(isinstance(cell, accepted) for cell in cells):
                columns.setdefault(str(key), [kind(cell) for cell in cells])
                break
    return pd.DataFrame(columns, index=pd.RangeIndex(len(trains)))


def _intervals(segments: Sequence[neo.Segment]) -> pd.DataFrame:
    """Make a table of all epochs, in s, with the name and label of each."""
    tables = []
    for epoch in [epoch for segment in segments for epoch in segment.epochs]:
        # Some IOs leave labels out.
        labels = epoch.labels if len(epoch.labels) == len(epoch) else [""] * len(epoch)
        columns = {
            "start_time": epoch.times.rescale("s").magnitude,
            "stop_time": (epoch.times + epoch.durations).rescale("s").magnitude,
            "epoch": [epoch.name or ""] * len(epoch),
            "label": list(map(str, labels)),
        }
        tables.append(pd.DataFrame(columns).astype(_INTERVAL_TYPES))
    return _joined(tables, _INTERVAL_TYPES)
