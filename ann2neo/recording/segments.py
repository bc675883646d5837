"""Segments: stretches of bins in which time runs on, and the phases they make up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from ann2neo._checks import fifteen_digits
from ann2neo.errors import InputValueError
from ann2neo.raster import CarriedRaster, SegmentedRaster, SpikeRaster
from ann2neo.raster.bits import row_bytes
from ann2neo.recording.tables import (
    ORDERS,
    PHASE_TYPES,
    SEGMENT_TYPES,
    fixed_types,
    in_time_order,
)

if TYPE_CHECKING:
    from ann2neo.recording.recording import Recording

__all__ = [
    "Phase",
    "Segment",
    "SegmentedPhase",
    "UnitsOfPhase",
    "checked_segments",
    "phase_summary",
    "phase_table",
    "segment_table",
    "segmented_phases",
    "segments_of_phases",
]

IntArray = npt.NDArray[np.int64]

_BLOCK_BYTES = 1 << 22


class Phase(NamedTuple):
    """A phase of one segment: bins ``start_bin .. stop_bin - 1``."""

    phase: str
    start_bin: int
    stop_bin: int
    order: str

    @property
    def n_time_bins(self) -> int:
        """Number of bins."""
        return self.stop_bin - self.start_bin


class Segment(NamedTuple):
    """A stretch of bins in which time runs on: ``start_bin .. stop_bin - 1``.

    ``t_start`` is the time of its first bin on the segment's own clock, in s.
    """

    start_bin: int
    stop_bin: int
    phase: str
    order: str
    t_start: float

    @property
    def n_time_bins(self) -> int:
        """Number of bins."""
        return self.stop_bin - self.start_bin


class SegmentedPhase(NamedTuple):
    """A phase with the bounds of its segments, in order of time.

    Parameters
    ----------
    phase, order : str
        Its name, and the order of its presentations.
    starts, stops : ndarray of int64, shape (n_segments,)
        First bin of each segment, and the bin after its last.
    """

    phase: str
    order: str
    starts: IntArray
    stops: IntArray

    @property
    def n_segments(self) -> int:
        """Number of segments."""
        return len(self.starts)

    @property
    def lengths(self) -> IntArray:
        """Bins of each segment, shape (n_segments,)."""
        return self.stops - self.starts

    @property
    def n_time_bins(self) -> int:
        """Number of bins of all segments."""
        return int(self.lengths.sum())

    def raster(self, source: SpikeRaster) -> SegmentedRaster:
        """Return the spikes of the phase.

        Parameters
        ----------
        source : SpikeRaster
            The raster of the recording, or some of its units.

        Returns
        -------
        SegmentedRaster
            The bins of the segments side by side.
        """
        return SegmentedRaster.cut(source, self.starts, self.stops)

    def unit_blocks(
        self, source: SpikeRaster, max_bytes: int
    ) -> Iterator[tuple[slice, SegmentedRaster]]:
        """Yield the spikes of the phase in blocks of consecutive units.

        Parameters
        ----------
        source : SpikeRaster
            The raster of the recording; only the bits of one block are cut at a time.
        max_bytes : int
            Maximum size of the bits of a block; a block has at least one unit.

        Yields
        ------
        units : slice
            The units in the block.
        raster : SegmentedRaster
            Their spikes.
        """
        for part in self.unit_parts(source, self.units_in(source, max_bytes)):
            yield part.units, part.raster()

    def units_in(self, source: SpikeRaster, max_bytes: int) -> int:
        """Return how many units have at most `max_bytes` of bits here; at least one."""
        # The limit is for the bits of the phase, which may be few of the recording's.
        scale = max(1, source.n_time_bins) / max(1, self.n_time_bins)
        return max(1, int(max_bytes * scale) // max(1, row_bytes(source.n_time_bins)))

    def unit_parts(self, source: SpikeRaster, n_units: int) -> Iterator[UnitsOfPhase]:
        """Yield blocks of consecutive units, to be cut where they are needed.

        Parameters
        ----------
        source : SpikeRaster
            The raster of the recording.
        n_units : int
            Units of a block; the last one may have fewer.

        Yields
        ------
        UnitsOfPhase
            A block of units.
        """
        n_bytes = n_units * max(1, row_bytes(source.n_time_bins))
        for units, block in source.unit_blocks(n_bytes):
            yield UnitsOfPhase(self, units, CarriedRaster(block))

    def spike_counts(self, source: SpikeRaster) -> IntArray:
        """Count the spikes of each unit in the phase, block by block, (n_units,)."""
        counts = [
            block.raster.spike_counts()
            for _, block in self.unit_blocks(source, _BLOCK_BYTES)
        ]
        return np.concatenate([np.zeros(0, np.int64), *counts])

    def bin_counts(self, source: SpikeRaster) -> IntArray:
        """Count the units that spike in each bin of the phase, (n_time_bins,)."""
        counts = np.zeros(self.n_time_bins, np.int64)
        for _, block in self.unit_blocks(source, _BLOCK_BYTES):
            counts += block.raster.bin_counts()
        return counts

    def joined_bins(self, bins: IntArray) -> IntArray:
        """Return where bins of the recording lie in `raster`, the joined segments.

        Each must lie in a segment, or right after its last bin if it is the end of an
        interval that starts in it: pass such ends as ``joined_bins(stop - 1) + 1``.
        """
        edges = np.concatenate([[0], np.cumsum(self.lengths)])
        segment = np.searchsorted(self.starts, bins, side="right") - 1
        return edges[segment] + bins - self.starts[segment]


class UnitsOfPhase(NamedTuple):
    """Some units of a phase, cheap to send to another process.

    Parameters
    ----------
    phase : SegmentedPhase
        The phase.
    units : slice
        Which units of the recording.
    carried : CarriedRaster
        Their spikes in the whole recording.
    """

    phase: SegmentedPhase
    units: slice
    carried: CarriedRaster

    def __str__(self) -> str:
        last = self.units.stop - 1
        return f"units {self.units.start} .. {last} of phase {self.phase.phase!r}"

    def raster(self) -> SegmentedRaster:
        """Return their spikes in the phase."""
        return self.phase.raster(self.carried.open())


def segmented_phases(recording: Recording) -> list[SegmentedPhase]:
    """Return the phases of a recording with their segments, in order of time."""
    table = recording._segments
    if not len(table):
        return []
    codes, names = pd.factorize(table["phase"])
    starts, stops = table["start_bin"].to_numpy(), table["stop_bin"].to_numpy()
    orders = table["order"].to_numpy(object)
    phases = []
    # One sort for all phases, as there may be thousands of them.
    by_phase = np.argsort(codes, kind="stable")
    bounds = np.searchsorted(codes[by_phase], np.arange(len(names) + 1))
    for number, name in enumerate(names):
        rows = by_phase[bounds[number] : bounds[number + 1]]
        phases.append(SegmentedPhase(name, orders[rows[0]], starts[rows], stops[rows]))
    return phases


# -- tables
# --------------------------------------------------------------------------------------


def phase_table(rows: list[Phase]) -> pd.DataFrame:
    """Make a table of phases of one segment each."""
    table = pd.DataFrame(rows, columns=list(PHASE_TYPES))
    return fixed_types(table, PHASE_TYPES, "phases")


def segment_table(rows: list[Segment]) -> pd.DataFrame:
    """Make a table of segments, one row per segment."""
    table = pd.DataFrame(rows, columns=list(SEGMENT_TYPES))
    return fixed_types(table, SEGMENT_TYPES, "segments")


def segments_of_phases(phases: pd.DataFrame, raster: SpikeRaster) -> pd.DataFrame:
    """Return the table of segments of phases that have one segment each.

    Raises
    ------
    InputValueError
        If two phases share a name, or one has several segments.
    """
    names = phases["phase"].to_list() if "phase" in phases else []
    if len(set(names)) != len(names):
        raise InputValueError(
            f"phases must have different names, got {names}; rename those that repeat,"
            " or pass segments=, of which a phase may have many"
        )
    if "n_segments" in phases and (phases["n_segments"] > 1).any():
        raise InputValueError(
            "phases of several segments cannot be told from their first and last bin;"
            " pass segments=recording.segments"
        )
    # What `Recording.phases` adds to tell how long a phase is.
    own = phases.drop(columns=["n_segments", "n_time_bins"], errors="ignore")
    table = fixed_types(own, PHASE_TYPES, "phases")
    return with_clock(table, raster)


def with_clock(table: pd.DataFrame, raster: SpikeRaster) -> pd.DataFrame:
    """Add ``t_start`` to segments that have none: the recording's own time."""
    if "t_start" in table:
        return table
    seconds = raster.bin_edge_seconds(table["start_bin"].to_numpy(np.float64))
    return table.assign(t_start=[fifteen_digits(time) for time in seconds.tolist()])


def checked_segments(segments: pd.DataFrame, raster: SpikeRaster) -> pd.DataFrame:
    """Return the table of segments in fixed types, or raise if it does not fit.

    Segments must lie in the raster and follow one another in time without overlap;
    those of one phase must have one order.
    """
    if "start_bin" in segments:
        segments = with_clock(segments, raster)
    table = in_time_order(fixed_types(segments, SEGMENT_TYPES, "segments"))
    table = table[list(dict.fromkeys([*SEGMENT_TYPES, *table]))]
    named = table["order"].to_list()
    wrong = [order for order in named if order not in ORDERS]
    if wrong:
        raise InputValueError(
            f"order must be one of {', '.join(ORDERS)}, got {wrong[0]!r}; write"
            " 'unknown' where you do not know it"
        )
    _check_bounds(table, raster.n_time_bins)
    orders = table.groupby("phase", sort=False)["order"].nunique()
    mixed = orders.index[orders > 1]
    if len(mixed):
        raise InputValueError(
            f"the segments of phase {mixed[0]!r} differ in order; give them one order,"
            " or make them two phases"
        )
    if not np.isfinite(table["t_start"].to_numpy()).all():
        raise InputValueError(
            "t_start of a segment must be a finite number of seconds; leave the column"
            " out for the recording's own clock"
        )
    return table


def _check_bounds(table: pd.DataFrame, n_time_bins: int) -> None:
    start, stop = table["start_bin"].to_numpy(), table["stop_bin"].to_numpy()
    # A raster without bins may have phases, which then have none, either.
    empty_raster = n_time_bins == 0 and bool((start == stop).all())
    if (
        len(table)
        and not empty_raster
        and ((start >= stop).any() or start[0] < 0 or stop[-1] > n_time_bins)
    ):
        bounds = zip(table["phase"], start.tolist(), stop.tolist(), strict=True)
        wrong = [
            row for row in bounds if row[1] >= row[2] or not 0 <= row[1] < n_time_bins
        ]
        raise InputValueError(
            "phases and their segments must be stretches of one or more bins inside 0"
            f" .. {n_time_bins}, got {wrong[:5] or [*table.iloc[-1][:3]]}; cut them at"
            " the ends of the raster"
        )
    overlaps = np.flatnonzero(start[1:] < stop[:-1])
    if len(overlaps):
        row = int(overlaps[0])
        raise InputValueError(
            "phases and their segments must follow one another in time without overlap,"
            f" got {_named(table, row)} and {_named(table, row + 1)}; cut the overlap"
        )


def _named(table: pd.DataFrame, row: int) -> str:
    segment = table.iloc[row]
    return f"{segment['phase']!r}, bins {segment['start_bin']} .. {segment['stop_bin']}"


def phase_summary(segments: pd.DataFrame) -> pd.DataFrame:
    """Return the table of phases: one row per phase, in order of their first bins."""
    grouped = segments.assign(
        n_segments=np.int64(1),
        n_time_bins=segments["stop_bin"] - segments["start_bin"],
    ).groupby("phase", sort=False, as_index=False)
    return grouped.agg(
        order=("order", "first"),
        n_segments=("n_segments", "sum"),
        n_time_bins=("n_time_bins", "sum"),
        start_bin=("start_bin", "first"),
        stop_bin=("stop_bin", "last"),
    )
