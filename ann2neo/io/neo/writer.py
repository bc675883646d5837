"""Recordings to neo.Block."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import neo
import numpy as np
import numpy.typing as npt
import pandas as pd
import quantities as pq
from neo.core.spiketrainlist import SpikeTrainList

from ann2neo.errors import InputValueError
from ann2neo.io.neo.layout import LAYOUT, LAYOUT_VERSION, ROW
from ann2neo.raster import SpikeRaster
from ann2neo.raster.spiketrains import to_spiketrains
from ann2neo.recording import Recording
from ann2neo.recording.stretches import Stretch, stretches
from ann2neo.recording.tables import column_types, stimulus_names, unit_names

__all__ = ["to_neo"]


def to_neo(recording: Recording) -> neo.Block:
    """Convert a recording to a Neo block.

    Parameters
    ----------
    recording : Recording
        The recording.

    Returns
    -------
    neo.Block
        One `neo.Segment` per segment, named after its phase (with its number, where a
        phase has several), from the segment's own ``t_start``. Each holds one
        `neo.SpikeTrain` per unit, in unit order, with ``t_start``, ``t_stop`` and
        ``sampling_rate``, annotated with the unit's row of the table: they are built
        when they are first asked for. For each kind of presentations in it, it holds
        one `neo.Epoch` of that name, whose labels are the stimuli's labels (else their
        ids) and whose array annotations are the columns of the table. Bins in no
        segment get a segment of their own, "in no phase", if they hold spikes.
        `from_neo` returns a recording equal in every bit and cell.

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
            "timestamps_reference_time": (
                recording.timestamps_reference_time.isoformat()
            ),
            "provenance": dict(recording.provenance),
            "t_start_seconds": raster.t_start_seconds,
            "sampling_period_seconds": raster.sampling_period_seconds,
            "n_units": raster.n_units,
            "n_time_bins": raster.n_time_bins,
            "unit_columns": column_types(units),
            "presentation_columns": column_types(presentations),
        }
    )
    rows, epochs = _UnitRows(units), _Epochs(presentations, raster)
    names = _segment_names(recording)
    for stretch in stretches(recording):
        segment = neo.Segment(name=next(names) if stretch.is_segment else stretch.name)
        own_epochs = epochs.of(stretch)
        segment.annotate(
            phase=stretch.name,
            order=stretch.order,
            is_segment=stretch.is_segment,
            start_bin=stretch.start_bin,
            n_time_bins=stretch.stop_bin - stretch.start_bin,
            t_start_seconds=stretch.t_start,
            n_presentations={epoch.name: len(epoch) for epoch in own_epochs},
        )
        segment.spiketrains = _Trains(raster, stretch, rows, segment)
        segment.epochs.extend(own_epochs)
        block.segments.append(segment)
    return block


def _segment_names(recording: Recording) -> Iterator[str]:
    """Yield the names of the segments: that of the phase, with a number if needed."""
    phases = recording.phases
    counts = dict(zip(phases["phase"], phases["n_segments"], strict=True))
    numbers = dict.fromkeys(counts, 0)
    for segment in recording.iter_segments():
        if counts[segment.phase] == 1:
            yield segment.phase
        else:
            yield f"{segment.phase} {numbers[segment.phase]}"
            numbers[segment.phase] += 1


class _UnitRows:
    """Names and annotations of the units, made once for all segments when needed."""

    def __init__(self, units: pd.DataFrame) -> None:
        self._units = units
        self._built: tuple[list[str], list[dict[str, Any]]] | None = None

    def __call__(self) -> tuple[list[str], list[dict[str, Any]]]:
        if self._built is None:
            units = self._units
            columns = {str(name): units[name].to_list() for name in units}
            rows = [
                {name: cells[i] for name, cells in columns.items()}
                for i in range(len(units))
            ]
            names = unit_names(units)
            # Names that came with the units stay theirs, even where two are alike.
            if "name" in units and units["name"].dtype == "str":
                given = zip(columns["name"], names, strict=True)
                names = [own or name for own, name in given]
            self._built = names, rows
        return self._built


class _Trains(SpikeTrainList):  # type: ignore[misc]
    """The spike trains of a segment, built when one of them is first asked for.

    Neo's own lazy list searches the spikes of all units once per unit when it is first
    used, and ``extend`` compares each train with all others: with 100 000 units, either
    takes hours.
    """

    def __init__(
        self, raster: SpikeRaster, stretch: Stretch, rows: _UnitRows, segment: Any
    ) -> None:
        # Before the constructor of the list, which sets its items.
        self._source = raster.slice(stretch.start_bin, stretch.stop_bin)
        self._own_start = stretch.t_start
        self._rows = rows
        self._built: list[neo.SpikeTrain] | None = None
        super().__init__(parent=segment)
        stop = self._own_start + (
            self._source.n_time_bins * self._source.sampling_period_seconds
        )
        self._spiketrain_metadata = {
            "t_start": self._own_start * pq.s,
            "t_stop": stop * pq.s,
        }

    # The list reads and sets its items in this attribute alone.
    @property
    def _items(self) -> list[neo.SpikeTrain] | None:
        if self._built is None:
            names, rows = self._rows()
            trains = to_spiketrains(
                self._source, annotations=rows, t_start=self._own_start
            )
            for train, name in zip(trains, names, strict=True):
                train.name = name
                train.segment = self.segment
            self._built = trains
        return self._built

    @_items.setter
    def _items(self, items: list[neo.SpikeTrain] | None) -> None:
        self._built = items

    def __len__(self) -> int:
        """Return the number of trains, without building them."""
        return self._source.n_units if self._built is None else len(self._built)


class _Epochs:
    """Presentations as epochs, one of each kind in a segment."""

    def __init__(self, presentations: pd.DataFrame, raster: SpikeRaster) -> None:
        self._period = raster.sampling_period_seconds
        self._starts, self._stops = (
            presentations[name].to_numpy() for name in ("start_bin", "stop_bin")
        )
        codes, kinds = pd.factorize(presentations["kind"])
        self._codes, self._kinds = codes, kinds.tolist()
        self._labels = stimulus_names(presentations).to_numpy(object).astype("U")
        columns = presentations.drop(columns=["start_bin", "stop_bin", "phase", "kind"])
        self._columns = {str(name): _plain(columns[name]) for name in columns}
        if len(self._kinds) > 1:
            self._columns[ROW] = np.arange(len(presentations))

    def of(self, stretch: Stretch) -> list[neo.Epoch]:
        """Return the epochs of a segment, on its own clock."""
        bounds = (stretch.start_bin, stretch.stop_bin)
        first, last = np.searchsorted(self._starts, bounds)
        codes = self._codes[first:last]
        epochs = []
        # In the order in which the kinds first appear.
        for code in dict.fromkeys(codes.tolist()):
            rows = first + np.flatnonzero(codes == code)
            start, stop = (
                stretch.t_start + (edges[rows] - stretch.start_bin) * self._period
                for edges in (self._starts, self._stops)
            )
            epoch = neo.Epoch(
                times=start * pq.s,
                durations=(stop - start) * pq.s,
                labels=self._labels[rows],
                name=self._kinds[code],
                description="intervals in which one stimulus was shown",
            )
            # Not as arguments of Epoch, whose own names a column may have.
            columns = {name: cells[rows] for name, cells in self._columns.items()}
            epoch.array_annotate(**columns)
            epochs.append(epoch)
        return epochs


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
