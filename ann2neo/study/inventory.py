"""What a folder of results holds, the commands that made it, and what is missing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ann2neo.study.comparison import markdown_table
from ann2neo.study.conditions import CONDITIONS, conditions_of, epoch_limit
from ann2neo.study.plan import CURVES, plan, planned_cells
from ann2neo.study.published import KEY
from ann2neo.study.results import NETWORK_KEY, Results, stopped_short

__all__ = ["inventory", "inventory_markdown", "missing_cells", "missing_markdown"]

_CURVE = (
    "ann2neo study dynamics --out results --network {} --dataset {} --width {} --seeds"
    " 0"
)


_SECONDS = {
    "H200": {
        "MLP": {64: 0.006, 512: 0.008},
        "CNN": {64: 0.040, 512: 0.064},
        "DenseNet121": {64: 1.8},
    },
    "two cores": {
        "MLP": {64: 0.19, 512: 0.79},
        "CNN": {64: 2.97},
        "DenseNet121": {64: 45_000 / 1024 * 3.93},
    },
}
"""Seconds of an epoch that were measured, by device, network and width.

H200: all layers, float32, one scan in JAX. Two cores: tests/benchmarks of training, on
TensorFlow, the MLP in float32, the others in mixed precision, DenseNet121 from 1 024
images.
"""
_LONGER = 10
"""By how much the limit is raised for networks that stopped short."""


def inventory(results: Results, switches: pd.DataFrame | None = None) -> pd.DataFrame:
    """List the networks of the plan and of a folder, one row per command.

    Parameters
    ----------
    results : Results
        What `load_results` read.
    switches : pandas.DataFrame, optional
        What `load_switches` read.

    Returns
    -------
    pandas.DataFrame
        ``network``, ``dataset``, ``width``, ``conditions`` and ``seeds`` (separated by
        commas), ``n_networks``, the most ``epochs``, ``status``, and the ``command``
        that trains these networks. The status is "complete", "stopped short" (of the
        paper's training accuracy, by the limit of epochs) or "missing". Training curves
        have rows of their own.
    """
    networks = results.table.drop_duplicates(NETWORK_KEY)
    planned = pd.DataFrame([vars(cell) for cell in plan()])
    cells = networks.merge(planned, on=NETWORK_KEY, how="outer")
    # A missing network is to be trained as the others of its architecture were.
    usual = networks.drop_duplicates("network").set_index("network")["precision"]
    precision = cells["precision"].fillna(cells["network"].map(usual))
    present = np.where(stopped_short(cells), "stopped short", "complete")
    cells = cells.assign(
        status=np.where(cells["n_epochs"].isna(), "missing", present),
        precision=precision.fillna("float32"),
        limit=[_limit(row) for row in cells.to_dict("records")],
        condition=pd.Categorical(cells["condition"], CONDITIONS),
    ).sort_values(["condition", "seed"])
    key = ["network", "dataset", "width", "status", "precision", "limit"]
    parts = cells.groupby([*key, "condition"], observed=True, as_index=False).agg(
        seeds=("seed", lambda seeds: ",".join(map(str, seeds))),
        n_networks=("seed", "size"),
        epochs=("n_epochs", "max"),
    )
    # Conditions that have the same seeds are trained by one command.
    rows = parts.groupby([*key, "seeds"], as_index=False).agg(
        conditions=("condition", ",".join),
        n_networks=("n_networks", "sum"),
        epochs=("epochs", "max"),
    )
    rows["command"] = [_run_command(row) for row in rows.to_dict("records")]
    columns = ["network", "dataset", "width"]
    ran = [] if switches is None else switches[columns].to_numpy().tolist()
    curves = pd.DataFrame(CURVES, columns=columns).assign(
        conditions="training curve",
        seeds="0",
        n_networks=1,
        status=["complete" if list(of) in ran else "missing" for of in CURVES],
        command=[_CURVE.format(*of) for of in CURVES],
    )
    columns += ["conditions", "seeds", "n_networks", "epochs", "status", "command"]
    table = pd.concat([rows, curves], ignore_index=True)[columns]
    return table.assign(epochs=table["epochs"].astype("Int64"))


def _limit(row: Mapping[Any, Any]) -> int:
    """Return the limit of epochs where it made a difference, 0 where the usual does."""
    limit, n_epochs = row["max_epochs"], row["n_epochs"]
    usual = epoch_limit(row["network"], row["condition"])
    mattered = n_epochs > usual or row["stopped_by"] == "epoch limit"
    return int(limit) if mattered and limit != usual else 0


def _run_command(row: Mapping[Any, Any]) -> str:
    # One folder holds one limit of epochs and one precision only.
    out, options = "results", f" --seeds {row['seeds']}"
    if row["limit"]:
        out += f"-{row['limit']}-epochs"
        options += f" --max-epochs {row['limit']}"
    if row["precision"] != "float32":
        out += f"-{row['precision']}"
        options += f" --precision {row['precision']}"
    if row["conditions"] != ",".join(conditions_of(row["network"])):
        options = f" --condition {row['conditions']}{options}"
    return (
        f"ann2neo study run --out {out} --network {row['network']} --dataset"
        f" {row['dataset']} --width {row['width']}{options}"
    )


def inventory_markdown(table: pd.DataFrame) -> str:
    """Write the table of `inventory` as Markdown, commands as code."""
    cells = table.assign(
        conditions=table["conditions"].str.replace(",", ", "),
        epochs=table["epochs"].astype(object).fillna("–"),
        command="`" + table["command"] + "`",
    )
    return markdown_table(cells)


def missing_cells(
    results: Results | None = None, max_epochs: int | None = None
) -> pd.DataFrame:
    """List the cells of the paper's tables that a folder lacks, one row per command.

    Parameters
    ----------
    results : Results, optional
        What `load_results` read; every cell is missing without.
    max_epochs : int, optional
        Maximum number of epochs of the commands. If not given, `epoch_limit`, and for
        networks of an architecture and condition that stopped short, ten times what
        they had.

    Returns
    -------
    pandas.DataFrame
        ``network``, ``dataset``, ``width``, ``conditions`` (separated by commas),
        ``status``, "missing" or "stopped short" (no seed reached the paper's training
        accuracy), ``n_cells``, the most ``epochs`` of a network and where they come
        from (``epochs_from``: "measured" where networks of this architecture and
        condition reached their accuracy, the largest number counts; "limit" where they
        did not for one of the conditions),
        ``hours_...`` per device for one seed of each and ``measured_...``, whose
        measured epoch this is, and the ``command``. The hours are an estimate: epochs
        by seconds of an epoch, without compilation and recording; DenseNet121 takes 38
        s to compile on an H200.

    Examples
    --------
    >>> table = missing_cells()
    >>> int(table["n_cells"].sum())
    92
    """
    cells = pd.DataFrame([vars(cell) for cell in planned_cells(seeds=[0])])
    key = [name for name in KEY if name != "split"]
    columns = ["stopped_by", "target_accuracy", "n_epochs", "max_epochs"]
    networks = pd.DataFrame(columns=[*NETWORK_KEY, *columns])
    if results is not None:
        networks = results.table.drop_duplicates(NETWORK_KEY)[[*NETWORK_KEY, *columns]]
    short = stopped_short(networks)
    complete = pd.MultiIndex.from_frame(networks.loc[~short, key])
    cells = cells[~pd.MultiIndex.from_frame(cells[key]).isin(complete)]
    is_short = pd.MultiIndex.from_frame(networks.loc[short, key])
    # A limit that was too low for one network of a kind is so for the others.
    had = networks[short].groupby(["network", "condition"])["max_epochs"].max()
    reached = networks[~short & (networks["n_epochs"] > 0)]
    usual = reached.groupby(["network", "condition"])["n_epochs"].max()
    rows = []
    for cell in cells.to_dict("records"):
        before = had.get((cell["network"], cell["condition"]))
        limit = max_epochs or (_LONGER * int(before) if before else 0)
        most = limit or epoch_limit(cell["network"], cell["condition"])
        measured = usual.get((cell["network"], cell["condition"]))
        epochs = most if measured is None else min(int(measured), most)
        if cell["condition"] == "random":
            epochs, measured = 0, 0
        row = {
            **cell,
            "status": (
                "stopped short"
                if tuple(cell[name] for name in key) in is_short
                else "missing"
            ),
            "limit": limit,
            "epochs": epochs,
            "epochs_from": "limit" if measured is None else "measured",
        }
        for device, seconds in _SECONDS.items():
            name = device.replace(" ", "_")
            widths = seconds[cell["network"]]
            width = min(
                (it for it in widths if it >= cell["width"]), default=max(widths)
            )
            row[f"hours_{name}"] = epochs * widths[width] / 3600
            row[f"measured_{name}"] = f"{cell['network']} {width}"
        rows.append(row)
    table = pd.DataFrame(rows, columns=None if rows else [*key, "status"])
    if table.empty:
        return table
    names = [name.replace(" ", "_") for name in _SECONDS]
    by = ["network", "dataset", "width", "status", "limit"]
    parts = table.groupby(by, as_index=False, sort=False).agg(
        conditions=("condition", ",".join),
        n_cells=("condition", "size"),
        epochs=("epochs", "max"),
        epochs_from=("epochs_from", "min"),
        **{f"hours_{name}": (f"hours_{name}", "sum") for name in names},
        **{f"measured_{name}": (f"measured_{name}", "first") for name in names},
    )
    commands = parts.assign(seeds="0", precision="float32").to_dict("records")
    parts["command"] = [_run_command(row) for row in commands]
    return parts.drop(columns="limit")


def missing_markdown(table: pd.DataFrame) -> str:
    """Write the table of `missing_cells` as Markdown, with what the hours are of."""
    if table.empty:
        return "No cell of the paper is missing.\n"
    names = [name.replace(" ", "_") for name in _SECONDS]
    places = ["network", "dataset", "width", "conditions", "status"]
    cells = table[places].assign(conditions=table["conditions"].str.replace(",", ", "))
    kind = table["epochs_from"].map({"measured": "", "limit": "at most "})
    cells["epochs"] = kind + table["epochs"].map(str)
    for device, name in zip(_SECONDS, names, strict=True):
        hours = table[f"hours_{name}"].map("{:.2g}".format)
        cells[f"hours, {device}"] = (
            kind + hours + " (" + table[f"measured_{name}"] + ")"
        )
    cells["command"] = "`" + table["command"] + "`"
    total = ", ".join(
        f"{table[f'hours_{name}'].sum():.3g} h on {device}"
        for device, name in zip(_SECONDS, names, strict=True)
    )
    return (
        f"{markdown_table(cells)}\n{int(table['n_cells'].sum())} of the paper's"
        f" {len(planned_cells(seeds=[0]))} cells are missing or stopped short: at most"
        f" about {total}, one seed each. Hours are epochs by the seconds of a measured"
        " epoch of all layers, of the network and width in brackets; where the last"
        " layers alone are trained, epochs are shorter. 'At most' stands where no"
        " network of the kind has reached its accuracy, so that the limit of epochs"
        " counts. 'KERAS_BACKEND=jax' before a command uses the device that JAX finds,"
        " and '--minutes' stops it in time. 'ann2neo study collect FOLDERS --out"
        " TABLES' brings the folders together.\n"
    )
