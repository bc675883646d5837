"""What a folder of results holds, the commands that made it, and what is missing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ann2neo.study.comparison import markdown_table
from ann2neo.study.conditions import CONDITIONS, conditions_of, epoch_limit
from ann2neo.study.plan import CURVES, plan
from ann2neo.study.results import NETWORK_KEY, Results, stopped_short

__all__ = ["inventory", "inventory_markdown"]

_CURVE = (
    "ann2neo study dynamics --out results --network {} --dataset {} --width {} --seeds"
    " 0"
)


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
