"""Recordings read from NWB files."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt
import pandas as pd
import quantities as pq

from ann2neo._checks import path_of
from ann2neo.errors import FileFormatError, InputValueError, IntegrityError
from ann2neo.io.nwb.hdf5_items import item_at
from ann2neo.io.nwb.hdf5_tables import Table, open_nwb, read_table, text_at
from ann2neo.io.nwb.layout import (
    LAYOUT_TABLE,
    PROVENANCE_TABLE,
    Header,
    provenance_of,
    provenance_table,
)
from ann2neo.io.nwb.spike_chunks import read_spike_times
from ann2neo.raster import RasterBuilder, SpikeRaster
from ann2neo.raster.binning import memory_bytes, nearest_edges
from ann2neo.recording import Recording
from ann2neo.recording.select import Choice
from ann2neo.recording.tables import empty_table, table_sha256

__all__ = [
    "is_ours",
    "is_own_file",
    "read_header",
    "read_nwb",
    "read_provenance",
    "read_segments",
]

Bits = npt.NDArray[np.uint8]

_EMPTY = {"str": "", "int64": -1, "int32": -1}
"""Cells without a value, NaN in columns of floats."""


def read_nwb(
    path: str | os.PathLike[str],
    bin_size: pq.Quantity | None = None,
    t_start: pq.Quantity | None = None,
    t_stop: pq.Quantity | None = None,
    lazy: bool = False,
    *,
    units: Choice | Sequence[str] | None = None,
    intervals: str | Sequence[str] | None = None,
    label: str | None = None,
    follow_links: bool = False,
) -> Recording:
    """Read a recording from an NWB file, of ann2neo or of an experiment.

    All arguments but `path`, `lazy` and `follow_links` are for files that ann2neo did
    not write; `nwb_info` and ``ann2neo info`` say what there is to choose from.

    Parameters
    ----------
    path : path
        The file.
    bin_size : quantities.Quantity, time, optional
        Length of a time bin; needed for files that ann2neo did not write. At most one
        spike per bin is kept; the share lost is in ``provenance["spikes_lost_share"]``,
        with a warning above 1 %.
    t_start, t_stop : quantities.Quantity, time, optional
        Time to read, half-open. All observed time if not given; a file without
        ``obs_intervals`` starts at 0 and needs `t_stop`.
    lazy : bool, default False
        Read units and presentations now and the spikes when they are first needed; for
        files that ann2neo wrote. The file must stay where it is until then.
    units : array_like of int or bool, names, or function, optional
        Units to read, by their rows, by ``unit_id`` or name as text, or by a function
        of the table of units. All if not given: then the time is used in which all of
        them were observed.
    intervals : str or sequence of str, optional
        Tables of intervals or events to read as presentations, each a kind of its own
        name. ``trials``, if there are some, if not given.
    label : str, optional
        Column of those tables that says what was shown; it becomes ``label``, too.
    follow_links : bool, default False
        Follow links to other files of the same folder. A file from a stranger could
        name any file that you can read.

    Returns
    -------
    Recording
        For a file of ann2neo the recording that was written, after comparing its
        checksums. Else bins ``[t_start + i bin_size, t_start + (i + 1) bin_size)``, one
        phase whose segments are the observed stretches without the invalid times, and
        the columns of units and intervals under their own names (those of intervals
        called as ours get a ``_``). Words of an enumeration, names of objects referred
        to and lists of words are text; columns with several numbers per row are left
        out, and named in the provenance. An interval without an end lasts until the
        next one; one that is not in a single segment is left out, and counted.

    Raises
    ------
    InputTypeError, InputValueError
        If `bin_size` is missing, or given for a file of ann2neo, the file does not say
        when units were observed, or there are no such units, intervals or column.
    FileFormatError
        If it is not an NWB file with units, is damaged, or what is read lies in another
        file.
    IntegrityError
        If a file of ann2neo does not match its checksums.

    Warns
    -----
    SpikesLostWarning, SpikesOutsideWarning, SpikeOrderWarning, CommonTimeWarning
        As `from_spike_times`.

    Examples
    --------
    >>> import ann2neo, tempfile
    >>> recording = ann2neo.Recording.from_activations(
    ...     [[1.0, 0.0], [1.0, 1.0]], labels=["a", "b"]
    ... )
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     back = read_nwb(ann2neo.write_nwb(recording, f"{folder}/network.nwb"))
    >>> back.equals(recording), back.presentations["label"].to_list()
    (True, ['a', 'b'])
    """
    from ann2neo.io.nwb.sessions import SessionOptions, read_session

    file = path_of(path)
    options = SessionOptions(bin_size, t_start, t_stop, units, intervals, label)
    with open_nwb(file, follow_links=follow_links) as handle:
        if not is_ours(handle):
            if lazy:
                raise InputValueError(
                    f"{file} was not written by ann2neo, so it cannot be read lazily;"
                    " leave lazy out"
                )
            return read_session(handle, file, options)
        given = options.given()
        if given:
            raise InputValueError(
                f"{file} was written by ann2neo and has its own time bins; leave out"
                f" {' and '.join(given)}, and use recording.select to have a part of it"
            )
        return _read_ours(handle, file, lazy=lazy)


def is_own_file(path: str | os.PathLike[str], *, follow_links: bool = False) -> bool:
    """Return whether ann2neo wrote an NWB file."""
    with open_nwb(path_of(path), follow_links=follow_links) as handle:
        return is_ours(handle)


def is_ours(handle: h5py.File) -> bool:
    """Return whether ann2neo wrote an open NWB file."""
    return item_at(handle, f"analysis/{LAYOUT_TABLE}") is not None


def _read_ours(handle: h5py.File, path: Path, *, lazy: bool) -> Recording:
    header = read_header(handle)
    # Before its bits are read, the raster serves as the time base of the tables.
    # An absolute path, since the process may have changed its folder until then.
    later = partial(_read_later, path.absolute())
    read = later if lazy else partial(_read_bits, handle)
    raster = _raster(header, partial(read, header))
    # Profile "neo" repeats all units for every segment: the first of them are enough.
    units = _typed(
        read_table(handle, "units"),
        dict(header.unit_columns),
        dict(header.unit_names),
        header.n_units,
        "units",
    )
    presentations = _presentations(handle, header, raster)
    segments = read_segments(handle, header)
    provenance = read_provenance(handle, header)
    header.check("units", table_sha256(units))
    header.check("presentations", table_sha256(presentations))
    if not lazy:
        # Now, while the file is open.
        raster = _raster(header, raster.bits)
    return Recording(
        raster,
        units,
        presentations,
        segments=segments,
        provenance=provenance,
        identifier=header.identifier,
        session_start_time=datetime.fromisoformat(header.session_start_time),
        timestamps_reference_time=datetime.fromisoformat(
            header.timestamps_reference_time
        ),
    )


def read_header(handle: h5py.File) -> Header:
    """Read the header of a file of ann2neo, and check it.

    Raises
    ------
    IntegrityError
        If it does not match its checksum, or the file's own fields.
    FileFormatError
        If the file is of a later version of ann2neo.
    """
    header = Header.from_rows(_key_values(handle, LAYOUT_TABLE))
    for name in ("identifier", "session_start_time", "timestamps_reference_time"):
        text, expected = text_at(handle, name, "replace") or "", getattr(header, name)
        if text != expected:
            raise IntegrityError(
                f"/{name} is {text!r}, but ann2neo wrote {expected!r}: the file was"
                " changed or damaged; get an undamaged copy"
            )
    return header


def _raster(header: Header, bits: Bits | Callable[[], Bits]) -> SpikeRaster:
    return SpikeRaster(
        bits,
        header.n_units,
        header.n_time_bins,
        sampling_period=header.sampling_period * pq.s,
        t_start=header.t_start * pq.s,
    )


def _key_values(handle: h5py.File, name: str) -> list[tuple[str, str]]:
    rows = read_table(handle, f"analysis/{name}")
    return list(zip(rows.texts("key"), rows.texts("value"), strict=True))


def _typed(
    table: Table,
    columns: Mapping[str, str],
    names: Mapping[str, str],
    n_rows: int,
    what: str,
    *,
    may_lack: bool = False,
) -> pd.DataFrame:
    """Read the first `n_rows` rows of columns, in these types.

    `names` are the names in the file. Cells of columns that the table `may_lack` are
    empty; only flags are never lacking.
    """
    cells = {}
    for name, kind in columns.items():
        stored = names[name]
        if may_lack and kind != "bool" and stored not in table:
            values = np.full(n_rows, _EMPTY.get(kind, np.nan))
        else:
            values = table.texts(stored) if kind == "str" else table.numbers(stored)
        if len(values) < n_rows:
            raise FileFormatError(
                f"column {name!r} of {what} has {len(values)} rows instead of {n_rows},"
                " so the file is damaged; get an undamaged copy"
            )
        cells[name] = pd.Series(values[:n_rows], dtype=kind)
    return pd.DataFrame(cells, index=pd.RangeIndex(n_rows))


def _presentations(
    handle: h5py.File, header: Header, time_base: SpikeRaster
) -> pd.DataFrame:
    """Read the presentations of all kinds, in the order in which they were."""
    columns, names = dict(header.presentation_columns), dict(header.presentation_names)
    places = {place: kind for kind, place in header.kind_names}
    # One table with a column of kinds, which other profiles have no need of.
    if header.profile == "neo":
        places = {"epochs": ""}
    tables, rows = [], []
    for place, kind in places.items():
        if item_at(handle, f"intervals/{place}") is None:
            continue
        table = read_table(handle, f"intervals/{place}")
        own = dict(columns)
        if kind and "kind" in columns:
            del own["kind"]
        intervals = _intervals(
            table, own, names, time_base, "presentations", may_lack=len(places) > 1
        )
        if len(own) < len(columns):
            kinds = pd.array([kind], dtype="str").repeat(len(intervals))
            intervals["kind"] = kinds
        tables.append(intervals[list(columns)])
        rows.append(table.numbers("id"))
    if not tables:
        return empty_table(columns)
    if len(tables) == 1:
        return tables[0]
    # The ids are the places of the rows in the table of all kinds.
    order = np.argsort(np.concatenate(rows), kind="stable")
    return pd.concat(tables, ignore_index=True).iloc[order].reset_index(drop=True)


def read_segments(handle: h5py.File, header: Header) -> pd.DataFrame:
    """Read the segments of a file of ann2neo, and check them.

    Raises
    ------
    IntegrityError
        If they do not match their checksum.
    """
    columns = dict(header.segment_columns)
    place = "intervals/phases" if header.layout_version == 1 else "intervals/segments"
    segments = empty_table(columns)
    if item_at(handle, place) is not None:
        # Without its bits, the raster serves as the time base.
        time_base = _raster(header, partial(_read_bits, handle, header))
        names = dict(header.segment_names)
        table = read_table(handle, place)
        segments = _intervals(table, columns, names, time_base, "segments")
    header.check("segments", table_sha256(segments))
    return segments


def read_provenance(handle: h5py.File, header: Header) -> dict[str, str]:
    """Read the provenance of a file of ann2neo, and check it.

    Raises
    ------
    IntegrityError
        If it does not match its checksum.
    """
    rows = []
    if item_at(handle, f"analysis/{PROVENANCE_TABLE}") is not None:
        rows = _key_values(handle, PROVENANCE_TABLE)
    provenance = provenance_of(rows, header.provenance_sha256)
    header.check("provenance", table_sha256(provenance_table(provenance)))
    return provenance


def _intervals(
    table: Table,
    columns: Mapping[str, str],
    names: Mapping[str, str],
    time_base: SpikeRaster,
    what: str,
    *,
    may_lack: bool = False,
) -> pd.DataFrame:
    """Read a table of intervals, whose times become bins."""
    edges = {"start_bin": "start_time", "stop_bin": "stop_time"}
    others = {name: kind for name, kind in columns.items() if name not in edges}
    intervals = _typed(table, others, names, len(table), what, may_lack=may_lack)
    for name, stored in edges.items():
        times = table.numbers(stored)
        # NaN becomes some bin here, and is refused below.
        with np.errstate(invalid="ignore"):
            bins = nearest_edges(times, time_base)
        # The times were computed from bins by this formula, so all digits must agree.
        if not np.array_equal(time_base.bin_edge_seconds(bins), times):
            raise IntegrityError(
                f"the times of {what} do not lie on edges of time bins, so the file was"
                " changed or damaged; get an undamaged copy"
            )
        intervals[name] = bins
    return intervals[list(columns)]


def _read_later(path: Path, header: Header) -> Bits:
    with open_nwb(path) as handle:
        if read_header(handle) != header:
            raise FileFormatError(
                f"{path} was replaced since its units were read; read it again"
            )
        return _read_bits(handle, header)


def _read_bits(handle: h5py.File, header: Header) -> Bits:
    table = read_table(handle, "units")
    dataset, counts = table.ragged("spike_times")
    n_units = header.n_units
    if n_units == 0 or len(counts) % n_units:
        raise FileFormatError(
            f"/units has {len(counts)} rows, not a multiple of {n_units} units, so the"
            " file is damaged; get an undamaged copy"
        )
    shape = RasterBuilder.bits_shape(n_units, header.n_time_bins)
    if math.prod(shape) > memory_bytes():
        raise FileFormatError(
            f"the bits of {n_units} units x {header.n_time_bins} bins take"
            f" {math.prod(shape)} bytes, and this machine has {memory_bytes()}; read"
            " the file on a larger one"
        )
    bits = np.zeros(shape, np.uint8)
    # The raster shares the bits, so that it is complete once they are set.
    raster = _raster(header, bits)
    read_spike_times(dataset, counts, raster, bits, header.spike_position)
    header.check("raster", raster.sha256())
    return bits
