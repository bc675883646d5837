"""A folder of results: one row per cell and split, and the rates of the units."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from collections.abc import Mapping, Sequence, Set
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ann2neo import _files
from ann2neo._files import complete_text
from ann2neo.errors import (
    FileFormatError,
    InputValueError,
    IntegrityError,
    OutputError,
    OutputExistsError,
)

__all__ = [
    "CLUSTER_KEY",
    "CURVE_KEY",
    "HEADER",
    "NETWORK_KEY",
    "ROW_KEY",
    "SWITCHES",
    "Results",
    "collect_results",
    "finished_cells",
    "load_curves",
    "load_results",
    "load_switches",
    "locked",
    "open_folder",
    "read_cell",
    "read_table",
    "settings_of",
    "stopped_short",
    "write_json",
    "write_table",
    "write_tables",
]

FORMAT = 2
NETWORK_KEY = ["dataset", "network", "width", "condition", "seed"]
"""Columns that name a trained network, the replicate of every test of the study."""
CLUSTER_KEY = ["dataset", "network", "width", "seed"]
"""Columns that name the networks of one start and one order of samples, which are not
independent of each other.
"""
ROW_KEY = [*NETWORK_KEY, "split"]
CURVE_KEY = ["dataset", "network", "width", "retrain", "seed", "split"]
"""Columns that name a training curve."""

SWITCHES, CURVES = "dynamics.csv", "dynamics_curves.csv"
"""Tables of the switches of labels that were found, and of the training curves, thinned
to means over tenths of an epoch.
"""

HEADER, _TABLE, _RATES = "study.json", "results.csv", "unit_rates.csv"
_PARTS_OF_AN_EPOCH = 10

_CHECKSUM = "checksum"
"""Last column of a table's file."""


@dataclass(frozen=True, eq=False)
class Results:
    """The tables of a study.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per network and split: `ROW_KEY`, how training went, and the columns of
        `summarize`.
    unit_rates : pandas.DataFrame
        `ROW_KEY`, ``unit`` and ``firing_rate`` (spikes per sample), one row per unit.
    settings : mapping
        What holds for every cell: ``max_epochs``, None for the networks' own limits,
        and ``precision``.
    """

    table: pd.DataFrame
    unit_rates: pd.DataFrame
    settings: Mapping[str, Any]


def load_results(folder: str | os.PathLike[str]) -> Results:
    """Read a folder of results, finished or not.

    Parameters
    ----------
    folder : path
        What ``ann2neo study run --out`` wrote.

    Returns
    -------
    Results
        Its tables.

    Raises
    ------
    InputValueError
        If there is no such folder, or no row in it.
    FileFormatError
        If it holds something else, or was written by another version of the study.
    IntegrityError
        If a row of a table is not what was written.
    """
    folder = Path(folder)
    settings = settings_of(folder)
    for name in (_TABLE, _RATES):
        if not (folder / name).exists():
            raise InputValueError(
                f"no cell in {folder} is finished yet; {name} is missing"
            )
    table, rates = (read_table(folder / name) for name in (_TABLE, _RATES))
    missing = [name for name in [*ROW_KEY, "mean_firing_rate"] if name not in table]
    missing += [name for name in [*ROW_KEY, "unit", "firing_rate"] if name not in rates]
    if missing:
        raise FileFormatError(
            f"the tables in {folder} lack the column {missing[0]!r}; they are not of"
            " this study"
        )
    return Results(table, rates, settings)


def stopped_short(table: pd.DataFrame) -> pd.Series:
    """Mark rows of networks whose limit of epochs came before their accuracy."""
    return (table["stopped_by"] == "epoch limit") & table["target_accuracy"].notna()


def load_switches(folder: str | os.PathLike[str]) -> pd.DataFrame | None:
    """Read where ``ann2neo study dynamics`` found the switches of labels.

    None where it did not run.
    """
    path = Path(folder) / SWITCHES
    return read_table(path) if path.exists() else None


def load_curves(folder: str | os.PathLike[str]) -> pd.DataFrame | None:
    """Read the training curves that `collect_results` thinned; None without any."""
    path = Path(folder) / CURVES
    return read_table(path) if path.exists() else None


def open_folder(
    folder: Path, settings: Mapping[str, Any] | None, may_change: Set[str] = frozenset()
) -> None:
    """Make a folder for results, or check that a run may go on in it.

    ``settings=None`` accepts any settings; those in `may_change` are replaced.

    Raises
    ------
    OutputExistsError
        If it holds something else, or finished tables without the cells they came from.
    FileFormatError
        If it was written by another version of the study.
    InputValueError
        If it was begun with other settings.
    OutputError
        If the folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        paths = folder.iterdir()
        inside = [path.name for path in paths if not path.name.startswith(".")]
    except OSError as error:
        raise OutputError(
            f"the folder {folder} cannot be used: {error.strerror}; choose another one"
        ) from error
    if inside and HEADER not in inside:
        raise OutputExistsError(
            f"{folder} holds {inside[0]} and no study; choose an empty folder or a new"
            " name"
        )
    begun = settings_of(folder) if inside else {}
    if settings is not None and _TABLE in inside and "cells" not in inside:
        raise OutputExistsError(
            f"{folder} holds tables without the cells they were made of, which a run"
            " would replace; choose another folder, and bring both together with"
            " 'ann2neo study collect'"
        )
    begun.update(
        {name: value for name, value in (settings or {}).items() if name in may_change}
    )
    if settings is not None and begun and begun != settings:
        raise InputValueError(
            f"the study in {folder} was begun with {begun}, not {dict(settings)}; go on"
            " with the same settings, or choose another folder"
        )
    header = {"study": "ann2neo", "format": FORMAT, "settings": begun or settings or {}}
    write_json(folder / HEADER, header)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file that is complete or absent, with its own checksum."""
    text = json.dumps({**content, "sha256": _sha256(content)}, indent=1)
    complete_text(path, text, overwrite=True)


def _read_json(path: Path, remedy: str) -> dict[str, Any]:
    """Read what `write_json` wrote; `remedy` ends the messages."""
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        expected = content.pop("sha256")
    # Whatever a text may be besides a mapping with a checksum.
    except (OSError, ValueError, RecursionError, TypeError, AttributeError) as error:
        raise FileFormatError(
            f"{path} cannot be read ({str(error).partition(chr(10))[0]}); {remedy}"
        ) from error
    except KeyError as error:
        raise FileFormatError(
            f"{path} carries no checksum, so another version of the study wrote it;"
            f" {remedy}"
        ) from error
    if expected != _sha256(content):
        raise IntegrityError(
            f"{path} does not match its checksum, so it was changed or damaged;"
            f" {remedy}"
        )
    return content


def _sha256(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def write_table(path: Path, table: pd.DataFrame, **options: Any) -> None:
    """Write a table as CSV, complete or absent, with a checksum in each row.

    Options are those of `pandas.DataFrame.to_csv`.
    """
    rows = list(csv.reader(io.StringIO(table.to_csv(index=False, **options))))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for row, checksum in zip(rows, _checksums(rows), strict=True):
        writer.writerow([*row, checksum])
    complete_text(path, text.getvalue(), overwrite=True)


def read_table(path: Path) -> pd.DataFrame:
    """Read a table that `write_table` wrote.

    Raises
    ------
    FileFormatError
        If it is no such table.
    IntegrityError
        If a row was changed, or rows are missing.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            text = file.read()
        rows = list(csv.reader(io.StringIO(text, newline="")))
    except (OSError, ValueError, csv.Error) as error:
        raise FileFormatError(f"the table {path} cannot be read: {error}") from error
    if not rows or rows[0][-1:] != [_CHECKSUM]:
        raise FileFormatError(
            f"the rows of {path} carry no checksums, so another version of the study"
            " wrote it, or something else; run the study anew into another folder"
        )
    expected = _checksums([row[:-1] for row in rows])
    wrong = [i for i, row in enumerate(rows) if row[-1:] != [expected[i]]]
    # A table that is written has rows; with none, no checksum would tell.
    if wrong or len(rows) == 1:
        raise IntegrityError(
            f"{len(wrong)} of {len(rows) - 1} rows of {path} do not match their"
            f" checksums, the first in row {[*wrong, 1][0]}: it was changed or damaged,"
            " or rows are missing; delete the file, and run or collect the study again,"
            " which writes it anew"
        )
    table = pd.read_csv(io.StringIO(text), keep_default_na=False, na_values=[""])
    return table.drop(columns=_CHECKSUM)


def _checksums(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a checksum per row: of its cells, their columns, its place among all."""
    start = hashlib.sha256(json.dumps([len(rows), rows[0]]).encode())
    column = [_CHECKSUM]
    for place, row in enumerate(rows[1:]):
        digest = start.copy()
        digest.update(json.dumps([place, row]).encode())
        column.append(digest.hexdigest()[:16])
    return column


def finished_cells(folder: Path) -> list[dict[str, Any]]:
    """Read the finished cells of a run: ``rows`` and ``unit_rates``, one per split."""
    return [read_cell(path) for path in sorted((folder / "cells").glob("*.json"))]


def read_cell(path: Path) -> dict[str, Any]:
    """Read a finished cell of a run."""
    return _read_json(
        path, "delete it, and a run into this folder computes the network again"
    )


def write_tables(
    folder: Path, cells: Sequence[Mapping[str, Any]], earlier: Results | None = None
) -> pd.DataFrame:
    """Write both tables from finished cells and earlier rows; return the rows."""
    rows = [row for cell in cells for row in cell["rows"]]
    rates = [
        pd.DataFrame(
            {
                **{name: row[name] for name in ROW_KEY},
                "unit": range(len(cell["unit_rates"][row["split"]])),
                "firing_rate": cell["unit_rates"][row["split"]],
            }
        )
        for cell in cells
        for row in cell["rows"]
    ]
    parts = ([pd.DataFrame(rows)] if rows else [], rates)
    if earlier is not None:
        parts[0].insert(0, earlier.table)
        parts[1].insert(0, earlier.unit_rates)
    table, unit_rates = (
        # Where a network occurs twice, the last one counts.
        pd.concat(of).drop_duplicates(key, keep="last").sort_values(key)
        for of, key in zip(parts, (ROW_KEY, [*ROW_KEY, "unit"]), strict=True)
    )
    # In this order, so that after a kill in between every row has its rates.
    for name, content in ((_RATES, unit_rates), (_TABLE, table)):
        write_table(folder / name, content)
    return table.reset_index(drop=True)


def collect_results(
    sources: Sequence[str | os.PathLike[str]], out: str | os.PathLike[str]
) -> pd.DataFrame:
    """Bring the finished cells of runs together in one folder of tables.

    Nothing is trained, and the runs' folders are only read, also while runs are at work
    in them.

    Parameters
    ----------
    sources : sequence of path
        Folders of ``ann2neo study run --out``, finished or not. Where several hold a
        cell, the last one's counts.
    out : path
        Folder for ``results.csv``, ``unit_rates.csv`` and, where a source has training
        curves, ``dynamics.csv`` and ``dynamics_curves.csv``. Cells that it holds
        already stay, unless a source has them anew.

    Returns
    -------
    pandas.DataFrame
        All rows of `out`.

    Raises
    ------
    InputValueError
        If a source does not exist, or nothing is finished anywhere.
    OutputExistsError
        If `out` is the folder of a run, or holds something else.
    """
    folder, places = Path(out), [Path(source) for source in sources]
    for place in places:
        settings_of(place)
    if (folder / "cells").exists():
        raise OutputExistsError(
            f"{folder} is the folder of a run; collect into another one"
        )
    open_folder(folder, None)
    cells = [cell for place in places for cell in finished_cells(place)]
    earlier = load_results(folder) if (folder / _TABLE).exists() else None
    if not cells and earlier is None:
        raise InputValueError(
            f"no cell is finished in {', '.join(map(str, places))}; nothing to collect"
        )
    switches = [load_switches(place) for place in (folder, *places)]
    curves = [load_curves(folder)]
    curves += [
        _thinned(read_table(path))
        for place in places
        for path in sorted((place / "dynamics").glob("*.csv"))
    ]
    for name, tables in ((SWITCHES, switches), (CURVES, curves)):
        present = [table for table in tables if table is not None]
        if present:
            order = [key for key in (*CURVE_KEY, "epoch") if key in present[0]]
            # As with networks, the last source that holds a curve counts.
            table = pd.concat(present).drop_duplicates(order, keep="last")
            write_table(folder / name, table.sort_values(order), float_format="%.6g")
    return write_tables(folder, cells, earlier)


def _thinned(curve: pd.DataFrame) -> pd.DataFrame:
    """Average mean firing rates over tenths of an epoch; ``epoch`` is their middle."""
    n_batches = int(curve["batch"].max()) + 1
    part = (curve["batch"] * _PARTS_OF_AN_EPOCH // n_batches + 0.5) / _PARTS_OF_AN_EPOCH
    table = curve.assign(epoch=(curve["epoch"] + part).round(6))
    by = [*CURVE_KEY, "labels", "epoch"]
    return table.groupby(by)["mean_firing_rate"].mean().reset_index()


def locked(folder: Path) -> AbstractContextManager[None]:
    """Hold a folder against other runs; a killed run's lock is free.

    Raises
    ------
    OutputLockedError
        If another run holds it.
    """
    return _files.locked(
        folder,
        f"another run of the study is at work in {folder}; wait for it, or choose"
        " another folder",
    )


def settings_of(folder: Path) -> dict[str, Any]:
    """Read the settings of the study in a folder from its header.

    Raises
    ------
    InputValueError
        If there is no such folder.
    FileFormatError
        If there is no header, or one of another version.
    """
    if not folder.is_dir():
        raise InputValueError(
            f"there is no folder {folder}; name one that 'ann2neo study run --out'"
            " wrote"
        )
    path = folder / HEADER
    if not path.exists():
        raise FileFormatError(f"{folder} holds no study: {HEADER} is missing")
    header = _read_json(path, "restore it, or choose another folder")
    kind, form = header.get("study"), header.get("format")
    if kind != "ann2neo" or form != FORMAT:
        raise FileFormatError(
            f"{folder} holds a study of {kind!r}, format {form!r}; this version reads"
            f" 'ann2neo', format {FORMAT}; run the study anew into another folder"
        )
    return dict(header["settings"])
