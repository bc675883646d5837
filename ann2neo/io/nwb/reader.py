"""NWB files into recordings."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import quantities as pq

from ann2neo._checks import path_of
from ann2neo.errors import FileFormatError, InputValueError, IntegrityError
from ann2neo.io.nwb.hdf5_tables import Table, open_nwb, read_table
from ann2neo.io.nwb.layout import (
    LAYOUT_TABLE,
    PROVENANCE_TABLE,
    Header,
    provenance_of,
    provenance_table,
    session_start,
    stored_name,
)
from ann2neo.io.nwb.spike_chunks import read_spike_times
from ann2neo.raster import RasterBuilder, SpikeRaster
from ann2neo.raster.binning import nearest_edges
from ann2neo.recording import Recording
from ann2neo.recording.tables import table_sha256

__all__ = ["read_header", "read_nwb"]


def read_nwb(
    path: str | os.PathLike[str],
    bin_size: Any = None,
    t_start: Any = None,
    t_stop: Any = None,
    lazy: bool = False,
) -> Recording:
    """Read a recording from an NWB file, ours or a real electrophysiology session.

    Parameters
    ----------
    path : path
        The file.
    bin_size : quantities.Quantity, time, optional
        Length of a time bin; needed for files that ann2neo did not write. At most one
        spike per bin is kept; the share lost is in ``provenance["spikes_lost_share"]``,
        with a warning above 1 %.
    t_start, t_stop : quantities.Quantity, time, optional
        Extent to read, half-open, for files that ann2neo did not write; from
        ``obs_intervals`` if not given.
    lazy : bool, default False
        Read units and presentations now and the spikes when they are first needed; for
        files that ann2neo wrote. The file must stay where it is until then.

    Returns
    -------
    Recording
        For a file of ours the recording written, after comparing its checksums; else
        bins ``[t_start + i bin_size, t_start + (i + 1) bin_size)``, a phase per
        observed stretch, and the file's columns of units and trials that have one plain
        value per row.

    Raises
    ------
    InputTypeError, InputValueError
        If `bin_size` is missing or given for a file of ours, or the extent is unknown.
    FileFormatError
        If it is not an NWB file with units, or is damaged.
    IntegrityError
        If a file of ours does not match the checksums written into it.

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
    from ann2neo.io.nwb.sessions import read_session

    file = path_of(path)
    with open_nwb(file) as handle:
        ours = LAYOUT_TABLE in handle.get("analysis", {})
        if not ours:
            if lazy:
                raise InputValueError(
                    f"{file} was not written by ann2neo, so it cannot be read lazily;"
                    " leave lazy out"
                )
            return read_session(handle, file, bin_size, t_start, t_stop)
        if bin_size is not None or t_start is not None or t_stop is not None:
            raise InputValueError(
                f"{file} was written by ann2neo and has its own time bins; leave out"
                " bin_size, t_start and t_stop"
            )
        return _read_ours(handle, file, lazy=lazy)


def _read_ours(handle: Any, path: Path, *, lazy: bool) -> Recording:
    header = read_header(handle)
    units_table = read_table(handle, "units")
    units = _typed(units_table, header.unit_columns, header.n_units, "units")
    time_base = _time_base(header)
    where = "intervals/epochs" if header.profile == "neo" else "intervals/trials"
    presentations = _intervals(
        handle, where, header.presentation_columns, time_base, "presentations"
    )
    columns = (
        ("phase", "str"),
        ("start_bin", "int64"),
        ("stop_bin", "int64"),
        ("order", "str"),
    )
    phases = _intervals(handle, "intervals/phases", columns, time_base, "phases")
    provenance = provenance_of(
        _key_values(handle, PROVENANCE_TABLE), header.provenance_sha256
    )
    header.check("units", table_sha256(units))
    header.check("presentations", table_sha256(presentations))
    header.check("phases", table_sha256(phases))
    header.check("provenance", table_sha256(provenance_table(provenance)))
    load = _loader(path, header)
    bits: Any = load if lazy else _read_bits(handle, header)
    raster = SpikeRaster(
        bits,
        header.n_units,
        header.n_time_bins,
        sampling_period=header.sampling_period * pq.s,
        t_start=header.t_start * pq.s,
    )
    return Recording(
        raster,
        units,
        presentations,
        phases,
        provenance,
        header.identifier,
        session_start(header),
    )


def read_header(handle: Any) -> Header:
    """Header of an open file of ours, checked against its checksum and the file's own
    fields.
    """
    rows = read_table(handle, f"analysis/{LAYOUT_TABLE}")
    header = Header.from_rows(zip(rows.texts("key"), rows.texts("value"), strict=True))
    for name, wanted in (
        ("identifier", header.identifier),
        ("session_start_time", header.session_start_time),
    ):
        value = handle[name][()] if name in handle else b""
        text = (
            value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
        )
        if text != wanted:
            raise IntegrityError(
                f"/{name} is {text!r}, but ann2neo wrote {wanted!r}: the file was"
                " changed or damaged; get an undamaged copy"
            )
    return header


def _time_base(header: Header) -> SpikeRaster:
    period, start = header.sampling_period * pq.s, header.t_start * pq.s
    return SpikeRaster.from_spike_bins(
        [], header.n_time_bins, sampling_period=period, t_start=start
    )


def _key_values(handle: Any, name: str) -> list[tuple[str, str]]:
    if name not in handle["analysis"]:
        return []
    rows = read_table(handle, f"analysis/{name}")
    return list(zip(rows.texts("key"), rows.texts("value"), strict=True))


def _typed(table: Table, columns: Any, n_rows: int, what: str) -> pd.DataFrame:
    """The named columns in the types the header gives, the first `n_rows` rows."""
    cells = {}
    names = [name for name, _ in columns]
    for name, kind in columns:
        stored = stored_name(name, names)
        values = table.texts(stored) if kind == "str" else table.numbers(stored)
        if len(values) < n_rows:
            raise FileFormatError(
                f"column {name!r} of {what} has {len(values)} rows instead of {n_rows},"
                " so the file is damaged; get an undamaged copy"
            )
        cells[name] = pd.array(values[:n_rows], dtype=kind)
    return pd.DataFrame(cells, index=pd.RangeIndex(n_rows))


def _intervals(
    handle: Any, where: str, columns: Any, time_base: SpikeRaster, what: str
) -> pd.DataFrame:
    if where not in handle:
        empty = {name: pd.array([], dtype=kind) for name, kind in columns}
        return pd.DataFrame(empty)
    table = read_table(handle, where)
    others = [
        (name, kind) for name, kind in columns if name not in {"start_bin", "stop_bin"}
    ]
    intervals = _typed(table, others, len(table), what)
    for name, times in (
        ("start_bin", table.numbers("start_time")),
        ("stop_bin", table.numbers("stop_time")),
    ):
        with np.errstate(invalid="ignore"):
            bins = nearest_edges(times, time_base)
        if not np.array_equal(time_base.bin_edge_seconds(bins), times):
            raise IntegrityError(
                f"the times of {what} do not lie on edges of time bins, so the file was"
                " changed or damaged; get an undamaged copy"
            )
        intervals[name] = bins
    return intervals[[name for name, _ in columns]]


def _loader(path: Path, header: Header) -> Callable[[], npt.NDArray[np.uint8]]:
    def load() -> npt.NDArray[np.uint8]:
        with open_nwb(path) as handle:
            if read_header(handle) != header:
                raise FileFormatError(
                    f"{path} was replaced since its units were read; read it again"
                )
            return _read_bits(handle, header)

    return load


def _read_bits(handle: Any, header: Header) -> npt.NDArray[np.uint8]:
    table = read_table(handle, "units")
    dataset, counts = table.ragged("spike_times")
    n_units, n_bins = header.n_units, header.n_time_bins
    if n_units == 0 or len(counts) % n_units:
        raise FileFormatError(
            f"/units has {len(counts)} rows, not a multiple of {n_units} units, so the"
            " file is damaged; get an undamaged copy"
        )
    bits = np.zeros(RasterBuilder.bits_shape(n_units, n_bins), np.uint8)
    read_spike_times(dataset, counts, _time_base(header), bits)
    period, start = header.sampling_period * pq.s, header.t_start * pq.s
    header.check(
        "raster",
        SpikeRaster(
            bits, n_units, n_bins, sampling_period=period, t_start=start
        ).sha256(),
    )
    return bits
