"""Finished cells of several runs in one folder of tables, rows brought up to date from
their recordings.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ann2neo._files import complete_text
from ann2neo.errors import InputValueError, IntegrityError, OutputExistsError
from ann2neo.io.nwb.reader import read_nwb
from ann2neo.study.cells import Cell
from ann2neo.study.results import (
    NETWORK_KEY,
    SWITCHES,
    finished_cells,
    load_results,
    load_switches,
    open_folder,
    settings_of,
    write_tables,
)
from ann2neo.study.rows import ROWS_VERSION, recording_rows

__all__ = ["CURVES", "collect_results"]

_log = logging.getLogger(__name__)

CURVES = "dynamics_curves.csv"
"""Table of the training curves, thinned: means over tenths of an epoch."""

_PARTS_OF_AN_EPOCH = 10
_SWITCH_KEY = ["dataset", "network", "width", "retrain", "seed", "split"]


def collect_results(
    sources: Sequence[str | os.PathLike[str]], out: str | os.PathLike[str]
) -> pd.DataFrame:
    """Bring the finished cells of runs together in one folder of tables.

    Nothing is trained, and the runs' folders are only read, also while runs are at work
    in them. A cell whose rows an older version made gets new ones from its own
    recording.

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
    IntegrityError
        If a cell's recording is not the one its rows were made of.
    """
    folder, places = Path(out), [Path(source) for source in sources]
    for place in places:
        if not place.is_dir():
            raise InputValueError(
                f"there is no folder {place}; name folders of 'ann2neo study run --out'"
            )
        settings_of(place)
    if (folder / "cells").exists():
        raise OutputExistsError(
            f"{folder} is the folder of a run; collect into another one"
        )
    open_folder(folder, None)
    collected: dict[tuple[Any, ...], Mapping[str, Any]] = {
        _key(cell): cell for cell in _cells_in_tables(folder)
    }
    for place in places:
        for cell in finished_cells(place):
            known = collected.get(_key(cell))
            collected[_key(cell)] = (
                known
                if known and _same(cell, known)
                else _brought_up_to_date(cell, place)
            )
    if not collected:
        raise InputValueError(
            f"no cell is finished in {', '.join(map(str, places))}; nothing to collect"
        )
    table = write_tables(folder, collected.values())
    _collect_curves(places, folder)
    return table


def _key(cell: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(cell["rows"][0][name] for name in NETWORK_KEY)


def _cells_in_tables(folder: Path) -> Iterator[dict[str, Any]]:
    """The cells that a folder of tables holds, as `finished_cells` gives those of a
    run.
    """
    if not (folder / "results.csv").exists():
        return
    results = load_results(folder)
    rates = dict(list(results.unit_rates.groupby(NETWORK_KEY)))
    for key, part in results.table.groupby(NETWORK_KEY):
        rows = [{str(k): v for k, v in row.items()} for row in part.to_dict("records")]
        of_units = {
            s: values["firing_rate"].to_list()
            for s, values in rates[key].groupby("split")
        }
        yield {"rows": rows, "unit_rates": of_units}


def _same(cell: Mapping[str, Any], known: Mapping[str, Any]) -> bool:
    """Whether collected rows are up to date and of the same recording."""
    current = all(row.get("rows_version") == ROWS_VERSION for row in known["rows"])
    return current and _same_rates(cell, known)


def _same_rates(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    """Whether units fired alike, up to the last digits that a table may lose."""
    rates, others = first["unit_rates"], second["unit_rates"]
    return rates.keys() == others.keys() and all(
        len(rates[split]) == len(others[split])
        and np.allclose(rates[split], others[split], rtol=0, atol=1e-12)
        for split in rates
    )


def _brought_up_to_date(cell: Mapping[str, Any], place: Path) -> Mapping[str, Any]:
    if cell.get("rows_version") == ROWS_VERSION:
        return cell
    first = cell["rows"][0]
    name = Cell(*(first[column] for column in NETWORK_KEY)).name
    path = place / "recordings" / f"{name}.nwb"
    if not path.exists():
        _log.warning(
            "%s has rows of an older version and no recording: it keeps them", name
        )
        return cell
    found = recording_rows(read_nwb(path), int(first["seed"]))
    _log.info("%s: new rows from its recording", name)
    if not _same_rates(found, cell):
        raise IntegrityError(
            f"{path} is not the recording that the rows of {name} were made of; run the"
            " cell again"
        )
    settings = {
        name: settings_of(place).get(name) for name in ("max_epochs", "precision")
    }
    old = {row["split"]: row for row in cell["rows"]}
    return {
        **found,
        "rows": [
            {**_facts(old[row["split"]], row, settings), **row} for row in found["rows"]
        ],
    }


def _facts(
    old: Mapping[str, Any], row: Mapping[str, Any], settings: Mapping[str, Any]
) -> dict[str, Any]:
    """What a row says about the training, which no recording tells; older rows lack the
    settings of their run.
    """
    facts = {name: value for name, value in old.items() if name not in row}
    last = {name: facts.pop(name) for name in ("pretrained", "nwb")}
    return {
        **facts,
        **{name: value for name, value in settings.items() if name not in facts},
        **last,
    }


def _collect_curves(places: Sequence[Path], folder: Path) -> None:
    switches = [load_switches(place) for place in (folder, *places)]
    known = [table for table in switches if table is not None]
    curves = [pd.read_csv(folder / CURVES)] if (folder / CURVES).exists() else []
    for place in places:
        curves += [
            _thinned(pd.read_csv(path))
            for path in sorted((place / "dynamics").glob("*.csv"))
        ]
    for name, tables in ((SWITCHES, known), (CURVES, curves)):
        if not tables:
            continue
        order = [column for column in (*_SWITCH_KEY, "epoch") if column in tables[0]]
        table = (
            pd.concat(tables)
            .drop_duplicates(order, keep="last")
            .sort_values(order, ignore_index=True)
        )
        complete_text(
            folder / name,
            table.to_csv(index=False, float_format="%.6g"),
            overwrite=True,
        )


def _thinned(curve: pd.DataFrame) -> pd.DataFrame:
    """Mean firing rates over tenths of an epoch; ``epoch`` is the time since the start
    in the middle of each.
    """
    n_batches = int(curve["batch"].max()) + 1
    part = (curve["batch"] * _PARTS_OF_AN_EPOCH // n_batches + 0.5) / _PARTS_OF_AN_EPOCH
    by = [*_SWITCH_KEY, "labels"]
    table = curve.assign(epoch=(curve["epoch"] + part).round(6))
    return table.groupby([*by, "epoch"], as_index=False)["mean_firing_rate"].mean()
