"""Tables of statistics that are added to an existing NWB file."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pynwb
from hdmf.common import DynamicTable, ElementIdentifiers, VectorData

from ann2neo._files import complete_file, output_path
from ann2neo.errors import InputTypeError, InputValueError
from ann2neo.io.nwb.data import column_data, fill_late_data, late_data
from ann2neo.io.nwb.disk_space import claim_space, release_space
from ann2neo.io.nwb.hdf5_items import check_nothing_outside, item_at
from ann2neo.io.nwb.hdf5_tables import check_not_being_written, open_nwb

__all__ = ["append_analysis"]

_TABLES = {
    "unit_statistics": "Statistics of each unit in each phase.",
    "network_statistics": "Statistics of the network in each phase.",
}


def append_analysis(
    path: str | os.PathLike[str],
    units: pd.DataFrame,
    descriptions: Mapping[str, str],
    network: pd.DataFrame | None = None,
) -> Path:
    """Write tables of statistics to a recording's file, replacing earlier ones.

    The tables are added to a copy, which replaces the file when it is complete.

    Parameters
    ----------
    path : path
        The NWB file.
    units : pandas.DataFrame
        One row per unit and phase, as returned by `analyze`; becomes
        ``/analysis/unit_statistics``.
    descriptions : mapping of str to str
        Meaning of each column.
    network : pandas.DataFrame, optional
        One row per network and phase, as returned by `summarize`; becomes
        ``/analysis/network_statistics``.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputTypeError, InputValueError
        If a table is not a DataFrame, is empty, or has a column without a description.
    FileFormatError
        If the file is not NWB.
    OutputLockedError, OutputError
        If another process is writing the file, or it cannot be written; it is left
        unchanged. Programs that have it open for reading continue to see the old
        tables.

    Notes
    -----
    Columns that are NaN in every row are left out, as NWB's best practices ask; the
    columns with their reasons stay.

    Examples
    --------
    >>> import ann2neo, tempfile
    >>> recording = ann2neo.Recording.from_activations(
    ...     [[1.0, 0.0], [1.0, 1.0], [0.0, 1.0], [0.0, 1.0], [1.0, 1.0]]
    ... )
    >>> units = ann2neo.analyze(recording, statistics=["firing_rate"])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = ann2neo.write_nwb(recording, f"{folder}/network.nwb")
    ...     _ = append_analysis(path, units, ann2neo.column_descriptions(units))
    ...     "unit_statistics" in ann2neo.nwb_info(path).analysis
    True
    """
    target = output_path(path, "", overwrite=True)
    given = {"unit_statistics": units, "network_statistics": network}
    tables = {
        name: _table(name, rows, descriptions)
        for name, rows in given.items()
        if rows is not None
    }
    # Before copying: of a file that is being written, the copy would hold a part only.
    with open_nwb(target) as handle:
        check_nothing_outside(handle)
        check_not_being_written(target)
    with complete_file(target, overwrite=True) as partial:
        shutil.copyfile(target, partial)
        # Room for the schema and HDF5's own structures, and for each cell.
        n_cells = sum(rows.size for rows in given.values() if rows is not None)
        claim_space(partial, partial.stat().st_size + (2 << 20) + 256 * n_cells)
        with h5py.File(partial, "a", locking=False) as handle:
            # pynwb cannot replace a table, so earlier ones are removed with HDF5.
            for name in tables:
                if item_at(handle, f"analysis/{name}") is not None:
                    del handle["analysis"][name]
            with pynwb.NWBHDF5IO(file=handle, mode="a") as io:
                file = io.read()
                for table in tables.values():
                    file.add_analysis(table)
                io.write(file)
                # Nothing to claim: the space was allocated above.
                columns = [c for table in tables.values() for c in table.columns]
                fill_late_data(late_data(columns), lambda _: None, lambda _: None)
        release_space(partial)
    return target


def _table(name: str, rows: Any, descriptions: Mapping[str, str]) -> DynamicTable:
    if not isinstance(rows, pd.DataFrame):
        raise InputTypeError(
            f"{name} must be a pandas.DataFrame, got {type(rows).__name__}; pass what"
            " analyze or summarize returned"
        )
    if not len(rows):
        raise InputValueError(
            f"{name} has no rows; analyze a recording with at least one unit and phase"
        )
    missing = [column for column in rows if column not in descriptions]
    if missing:
        raise InputValueError(
            f"column {missing[0]!r} of {name} has no description; add it to"
            " descriptions"
        )
    columns = []
    for column in map(str, rows):
        cells = rows[column]
        if cells.dtype.kind == "f" and cells.isna().all():
            continue
        if cells.dtype.kind not in "iufb":
            cells = cells.astype("str")
        columns.append(
            VectorData(
                name=column,
                description=descriptions[column],
                data=column_data(cells, 4),
            )
        )
    return DynamicTable(
        name=name,
        description=_TABLES[name],
        columns=columns,
        colnames=[column.name for column in columns],
        id=ElementIdentifiers(name="id", data=np.arange(len(rows))),
    )
