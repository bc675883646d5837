"""Recordings from neo.Block."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import neo
import numpy as np
import numpy.typing as npt
import pandas as pd
import quantities as pq

from ann2neo._checks import fifteen_digits
from ann2neo.errors import FileFormatError, InputTypeError, InputValueError
from ann2neo.io.neo.layout import LAYOUT, LAYOUT_VERSION, PRESENTATIONS, ROW
from ann2neo.io.neo.sessions import recording_from_block
from ann2neo.raster import SpikeRaster
from ann2neo.raster.binning import nearest_edges
from ann2neo.raster.spiketrains import spike_bins
from ann2neo.recording import Recording
from ann2neo.recording.segments import Segment, segment_table
from ann2neo.recording.tables import DEFAULT_KIND, empty_table, in_time_order

__all__ = ["from_neo"]


def from_neo(
    block: neo.Block,
    bin_size: pq.Quantity | None = None,
    t_start: pq.Quantity | None = None,
    t_stop: pq.Quantity | None = None,
    units: Any = None,
    epochs: str | Sequence[str] | None = None,
    segments: str | None = None,
    missing: str = "silent",
) -> Recording:
    """Convert a Neo block to a recording.

    Parameters
    ----------
    block : neo.Block
        A block that `to_neo` made, or one from any Neo IO, lazy or not, with spike
        trains in its segments. The other arguments are for the latter.
    bin_size : quantities.Quantity, time, optional
        Length of a time bin; needed for blocks that `to_neo` did not make: the sampling
        rate of a spike train is not a bin size (Neo's default is 1 Hz). At most one
        spike per bin is kept; the share lost is in ``provenance["spikes_lost_share"]``,
        with a warning above 1 %.
    t_start, t_stop : quantities.Quantity, time, optional
        Time to read, half-open: of the block's clock, or of each trial's own where the
        segments are trials. All if not given.
    units : array_like of int or bool, names, or function of the unit table, optional
        Units to read, in the order given; all if not given.
    epochs : str or sequence of str, optional
        Names of the epochs or events to read as presentations, each of its own kind. If
        not given, all epochs, or all events where there are no epochs; ``[]`` for none.
    segments : {"phases", "trials", "session"}, optional
        What the block's segments are: one phase each; trials, which are segments of one
        phase, each with a presentation of the kind "trials" that keeps the segment's
        annotations; or the stretches of one session, one phase. If not given, "phases"
        where they follow one another on one clock, "trials" where their clocks restart
        or they overlap.
    missing : {"silent", "unobserved"}, default "silent"
        What a unit did in a segment that has no spike train of it.

    Returns
    -------
    Recording
        For a block of `to_neo`, the recording it was made from. Else units are matched
        by the names or ids of their trains, and annotations of the trains become
        columns. ``provenance`` says how units were matched (``units_matched_by``), what
        the segments were taken for (``segments_read_as``), and what was left out.

    Warns
    -----
    SpikesLostWarning, SpikesOutsideWarning, CommonTimeWarning, SpikeOrderWarning
        As in `from_spike_times`: trains of one segment that differ in ``t_start`` or
        ``t_stop`` were observed at different times.

    Raises
    ------
    InputTypeError, InputValueError
        If it is not a block or holds no spike trains, `bin_size` is missing, units of
        several segments cannot be matched, there is no such epoch, or presentations of
        one kind overlap.
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
        return recording_from_block(
            block,
            bin_size,
            t_start,
            t_stop,
            units=units,
            epochs=epochs,
            segments=segments,
            missing=missing,
        )
    options = (bin_size, t_start, t_stop, units, epochs, segments)
    if any(option is not None for option in options) or missing != "silent":
        raise InputValueError(
            "bin_size, t_start, t_stop and the other options are for blocks that to_neo"
            " did not make; this one has its own bins of"
            f" {block.annotations.get('sampling_period_seconds')} s; leave them out,"
            " and select from the recording with recording.select"
        )
    return _from_our_block(block)


class _Bounds(NamedTuple):
    """Where a segment of a block lies in the recording."""

    phase: str
    order: str
    is_segment: bool
    start_bin: int
    n_time_bins: int
    own_start: float


def _from_our_block(block: neo.Block) -> Recording:
    notes = block.annotations
    version = notes[LAYOUT]
    if version not in {1, LAYOUT_VERSION}:
        raise FileFormatError(
            f"this block has the layout {version!r}, and this ann2neo reads 1 and"
            f" {LAYOUT_VERSION}; update ann2neo"
        )
    try:
        n_units, n_time_bins = int(notes["n_units"]), int(notes["n_time_bins"])
        period = float(notes["sampling_period_seconds"])
        start = float(notes["t_start_seconds"])
        unit_columns = dict(notes["unit_columns"])
        presentation_columns = dict(notes["presentation_columns"])
        times = [datetime.fromisoformat(notes["session_start_time"])]
        if version > 1:
            times.append(datetime.fromisoformat(notes["timestamps_reference_time"]))
        identifier, provenance = str(notes["identifier"]), dict(notes["provenance"])
        bounds = [
            _bounds(segment, version, start, period) for segment in block.segments
        ]
        kinds = [_kinds(segment, version) for segment in block.segments]
    except (KeyError, TypeError, ValueError) as error:
        raise FileFormatError(
            f"an annotation of this block is missing or damaged ({error!r}); keep the"
            " annotations of to_neo"
        ) from error
    bins: list[list[npt.NDArray[np.int64]]] = [[] for _ in range(n_units)]
    rows, tables = [], []
    for segment, place, own_kinds in zip(block.segments, bounds, kinds, strict=True):
        if len(segment.spiketrains) != n_units:
            raise FileFormatError(
                f"segment {segment.name!r} has {len(segment.spiketrains)} spike trains,"
                f" its block says {n_units}; select units with recording.select instead"
            )
        # A raster without units, which only tells in which bin a time lies.
        time_base = SpikeRaster.from_spike_bins(
            [],
            place.n_time_bins,
            sampling_period=period * pq.s,
            t_start=place.own_start * pq.s,
        )
        for unit, train in enumerate(segment.spiketrains):
            own = spike_bins(train, time_base, 0, place.n_time_bins)
            if len(own):
                bins[unit].append(own + place.start_bin)
        if place.is_segment:
            stop = place.start_bin + place.n_time_bins
            row = Segment(
                place.start_bin, stop, place.phase, place.order, place.own_start
            )
            rows.append(row)
            tables += [
                _presentations_of(
                    segment, name, kind, place, time_base, presentation_columns
                )
                for name, kind in own_kinds
            ]
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
        segments=segment_table(rows),
        provenance=provenance,
        identifier=identifier,
        session_start_time=times[0],
        timestamps_reference_time=times[-1],
    )


def _bounds(segment: neo.Segment, version: int, start: float, period: float) -> _Bounds:
    notes = segment.annotations
    own = float(notes["t_start_seconds"])
    if version == 1:
        # A segment was a phase, on the recording's clock.
        own = fifteen_digits(own)
        phase, is_segment = str(segment.name), bool(notes["is_phase"])
        first = round((own - start) / period)
    else:
        phase, is_segment = str(notes["phase"]), bool(notes["is_segment"])
        first = int(notes["start_bin"])
    n_time_bins = int(notes["n_time_bins"])
    return _Bounds(phase, str(notes["order"]), is_segment, first, n_time_bins, own)


def _kinds(segment: neo.Segment, version: int) -> list[tuple[str, str]]:
    """Return the names of a segment's epochs, and the kind that each stands for."""
    if version == 1:
        return [(PRESENTATIONS, DEFAULT_KIND)]
    return [(str(kind), str(kind)) for kind in segment.annotations["n_presentations"]]


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
    segment: neo.Segment,
    name: str,
    kind: str,
    place: _Bounds,
    time_base: SpikeRaster,
    columns: Mapping[str, str],
) -> pd.DataFrame:
    epochs = [epoch for epoch in segment.epochs if epoch.name == name]
    if len(epochs) != 1:
        raise FileFormatError(
            f"segment {segment.name!r} has {len(epochs)} epochs named {name!r}, one is"
            " needed; keep the epoch that to_neo made"
        )
    epoch = epochs[0]
    times = epoch.times.rescale("s").magnitude
    first = nearest_edges(times, time_base)
    last = nearest_edges(times + epoch.durations.rescale("s").magnitude, time_base)
    given: dict[str, Any] = {
        "start_bin": first + place.start_bin,
        "stop_bin": last + place.start_bin,
        "phase": np.full(len(first), place.phase, object),
        "kind": np.full(len(first), kind, object),
    }
    cells = {}
    for column, dtype in {**columns, "kind": "str"}.items():
        if column not in given and column not in epoch.array_annotations:
            raise FileFormatError(
                f"the presentations of segment {segment.name!r} lack the array"
                f" annotation {column!r}; keep those that to_neo made"
            )
        values = given.get(column)
        if values is None:
            values = epoch.array_annotations[column]
        cells[column] = pd.Series(np.asarray(values), dtype=dtype)
    if ROW in epoch.array_annotations:
        cells[ROW] = pd.Series(np.asarray(epoch.array_annotations[ROW]))
    return pd.DataFrame(cells)


def _joined(tables: list[pd.DataFrame], types: Mapping[str, str]) -> pd.DataFrame:
    # Without empty tables, whose columns would change the types of the others.
    rows = [table for table in tables if len(table)]
    table = pd.concat(rows or [empty_table(types)], ignore_index=True)
    if ROW in table:
        table = table.sort_values(ROW, ignore_index=True).drop(columns=ROW)
    return in_time_order(table)
