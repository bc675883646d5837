"""A folder of results: one row per cell and split, and the rates of the units."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ann2neo import _files
from ann2neo._files import complete_file, complete_text
from ann2neo.errors import (
    FileFormatError,
    InputValueError,
    OutputError,
    OutputExistsError,
)

__all__ = [
    "CLUSTER_KEY",
    "NETWORK_KEY",
    "ROW_KEY",
    "SWITCHES",
    "Results",
    "finished_cells",
    "load_results",
    "load_switches",
    "locked",
    "open_folder",
    "settings_of",
    "stopped_short",
    "write_json",
    "write_tables",
]

FORMAT = 1
NETWORK_KEY = ["dataset", "network", "width", "condition", "seed"]
"""Columns that name a trained network, the replicate of every test of the study."""
CLUSTER_KEY = ["dataset", "network", "width", "seed"]
"""Columns that name the networks of one start and one order of samples, which are not
independent of each other.
"""
ROW_KEY = [*NETWORK_KEY, "split"]

SWITCHES = "dynamics.csv"
"""Table of the switches of labels that were found in training curves."""

_EARLIER = {"precision": "float32"}
"""Settings that folders and rows of earlier versions do not name."""

_HEADER, _TABLE, _RATES = "study.json", "results.csv", "unit_rates.csv"


@dataclass(frozen=True, eq=False)
class Results:
    """What a study found.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per network and split: `ROW_KEY`, how training went, and the columns of
        `summarize`.
    unit_rates : pandas.DataFrame
        `ROW_KEY`, ``unit`` and ``firing_rate`` (spikes a sample), a row a unit.
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
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputValueError(
            f"there is no folder {folder}; make one with 'ann2neo study run --out"
            f" {folder}'"
        )
    settings = settings_of(folder)
    try:
        table = pd.read_csv(folder / _TABLE, keep_default_na=False, na_values=[""])
        rates = pd.read_csv(folder / _RATES)
    except FileNotFoundError as error:
        raise InputValueError(
            f"no cell in {folder} is finished yet; {Path(error.filename).name} is"
            " missing"
        ) from error
    except (ValueError, OSError) as error:
        raise FileFormatError(
            f"the tables in {folder} cannot be read: {error}"
        ) from error
    for name, value in _EARLIER.items():
        table[name] = table[name].fillna(value) if name in table else value
    missing = [name for name in [*ROW_KEY, "mean_firing_rate"] if name not in table]
    missing += [name for name in [*ROW_KEY, "unit", "firing_rate"] if name not in rates]
    if missing:
        raise FileFormatError(
            f"the tables in {folder} lack the column {missing[0]!r}; they are not of"
            " this study"
        )
    return Results(table, rates, settings)


def stopped_short(table: pd.DataFrame) -> pd.Series:
    """Rows of networks that training left at its limit of epochs, short of the accuracy
    it was to reach.
    """
    return (table["stopped_by"] == "epoch limit") & table["target_accuracy"].notna()


def load_switches(folder: str | os.PathLike[str]) -> pd.DataFrame | None:
    """Switches of labels found by ``ann2neo study dynamics`` in a folder of results;
    None where it did not run.
    """
    path = Path(folder) / SWITCHES
    return pd.read_csv(path) if path.exists() else None


def open_folder(folder: Path, settings: Mapping[str, Any] | None) -> None:
    """Make a folder for results, or check that one may be gone on with; None goes on
    with any settings.

    Raises
    ------
    OutputExistsError
        If it holds something else, or finished tables without the cells they came from.
    FileFormatError
        If it was written by another version of the study.
    InputValueError
        If it was begun with other settings.
    OutputError
        If it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        inside = [
            path.name for path in folder.iterdir() if not path.name.startswith(".")
        ]
    except OSError as error:
        raise OutputError(
            f"the folder {folder} cannot be used: {error.strerror}; choose another one"
        ) from error
    if not inside:
        _write_header(folder, settings or {})
        return
    if _HEADER not in inside:
        raise OutputExistsError(
            f"{folder} holds {inside[0]} and no study; choose an empty folder or a new"
            " name"
        )
    begun = settings_of(folder)
    if settings is None:
        return
    if _TABLE in inside and "cells" not in inside:
        msg = (
            f"{folder} holds tables without the cells they were made of, which a run"
            " would replace"
        )
        raise OutputExistsError(
            msg + "; choose another folder, and bring both together with 'ann2neo study"
            " collect'"
        )
    if not begun:
        _write_header(folder, settings)
    elif _EARLIER | dict(begun) != _EARLIER | dict(settings):
        msg = (
            f"the study in {folder} was begun with {dict(begun)}, not {dict(settings)}"
        )
        raise InputValueError(
            msg + "; go on with the same settings, or choose another folder"
        )


def _write_header(folder: Path, settings: Mapping[str, Any]) -> None:
    write_json(
        folder / _HEADER,
        {"study": "ann2neo", "format": FORMAT, "settings": dict(settings)},
    )


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file that is complete or absent."""
    complete_text(path, json.dumps(content, indent=1), overwrite=True)


def write_tables(folder: Path, cells: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Write both tables from the finished cells, sorted, and return the rows."""
    rows, rates = [], []
    for cell in cells:
        rows += cell["rows"]
        for split, values in cell["unit_rates"].items():
            key = {name: cell["rows"][0][name] for name in NETWORK_KEY} | {
                "split": split
            }
            rates.append(
                pd.DataFrame({**key, "unit": range(len(values)), "firing_rate": values})
            )
    table = pd.DataFrame(rows).sort_values(ROW_KEY, ignore_index=True)
    unit_rates = pd.concat(rates).sort_values([*ROW_KEY, "unit"], ignore_index=True)
    for name, content in ((_TABLE, table), (_RATES, unit_rates)):
        with complete_file(folder / name, overwrite=True) as partial:
            content.to_csv(partial, index=False)
    return table


def finished_cells(folder: Path) -> Iterator[dict[str, Any]]:
    """Finished cells of a run: ``rows`` (one a split), ``unit_rates`` (per split) and
    ``rows_version``, in order.
    """
    for path in sorted((folder / "cells").glob("*.json")):
        yield json.loads(path.read_text(encoding="utf-8"))


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


def settings_of(folder: Path) -> Mapping[str, Any]:
    """Settings of the study in a folder, from its header.

    Raises
    ------
    FileFormatError
        If there is no header, or one of another version.
    """
    path = folder / _HEADER
    try:
        header = json.loads(path.read_text(encoding="utf-8"))
        kind, form, settings = header["study"], header["format"], header["settings"]
    except FileNotFoundError as error:
        raise FileFormatError(
            f"{folder} holds no study: {_HEADER} is missing"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise FileFormatError(
            f"{path} is not the header of a study; restore it, or choose another folder"
        ) from error
    if kind != "ann2neo" or form != FORMAT:
        msg = (
            f"{folder} holds a study of {kind!r}, format {form!r}; this version reads"
            f" 'ann2neo', format {FORMAT}"
        )
        raise FileFormatError(msg + "; run the study anew into another folder")
    return dict(settings)
