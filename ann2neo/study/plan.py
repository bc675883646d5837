"""What the rerun of the paper is to hold, what of it a folder of results lacks, and the
commands that run it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from ann2neo.study.cells import Cell, planned_cells
from ann2neo.study.conditions import conditions_of
from ann2neo.study.published import paper_table
from ann2neo.study.results import NETWORK_KEY

__all__ = [
    "DYNAMICS",
    "Part",
    "curve_command",
    "folder_of",
    "missing_curves",
    "missing_parts",
    "parts_of",
    "plan",
    "unplanned_cells",
]


class Part(NamedTuple):
    """Networks that one command trains: `conditions` crossed with `seeds`."""

    network: str
    dataset: str
    width: int
    conditions: tuple[str, ...]
    seeds: tuple[int, ...]

    @property
    def cells(self) -> list[Cell]:
        """The networks, one by one."""
        return [
            Cell(self.dataset, self.network, self.width, condition, seed)
            for condition in self.conditions
            for seed in self.seeds
        ]

    def command(self, max_epochs: int | None = None, precision: str = "float32") -> str:
        """Command that trains them into the folder of such runs."""
        out = folder_of(max_epochs, precision)
        text = (
            f"ann2neo study run --out {out} --network {self.network} --dataset"
            f" {self.dataset} --width {self.width}"
        )
        if self.conditions != conditions_of(self.network):
            text += f" --condition {','.join(self.conditions)}"
        text += f" --seeds {','.join(map(str, self.seeds))}"
        text += f" --max-epochs {max_epochs}" if max_epochs is not None else ""
        return text + (f" --precision {precision}" if precision != "float32" else "")


def folder_of(max_epochs: int | None = None, precision: str = "float32") -> str:
    """Name for a folder of runs, which holds one limit of epochs and one precision
    only.
    """
    return (
        "results"
        + f"-{max_epochs}-epochs" * bool(max_epochs)
        + f"-{precision}" * (precision != "float32")
    )


_IMAGES = ("mnist", "fashion_mnist")
_PLAN: tuple[tuple[str, tuple[str, ...], tuple[int, ...], tuple[int, ...]], ...] = (
    ("MLP", _IMAGES, (64, 128), (0, 1, 2)),
    ("MLP", _IMAGES, (256, 512), (0,)),
    ("CNN", _IMAGES, (64,), (0,)),
    ("DenseNet121", ("cifar10",), (64,), (0,)),
)

DYNAMICS = (("MLP", "mnist", 64), ("CNN", "mnist", 64))
"""Network, data set and width of the training curves to run."""


def plan() -> list[Cell]:
    """Networks that the rerun is to hold, cheapest architectures and widths first.

    Three seeds of the narrower MLPs, one of everything else that two cores can train in
    days; all conditions.

    Examples
    --------
    >>> len(plan())
    79
    """
    return [
        cell
        for network, datasets, widths, seeds in _PLAN
        for cell in planned_cells(
            "paper", networks=[network], datasets=datasets, widths=widths, seeds=seeds
        )
    ]


def missing_parts(table: pd.DataFrame) -> list[Part]:
    """Networks of the plan that a table of results lacks.

    Parameters
    ----------
    table : pandas.DataFrame
        ``Results.table``. A network counts as there when it has a row of both splits.

    Returns
    -------
    list of Part
        What to run, in the order of the plan.
    """
    there = _networks(table)
    return parts_of([cell for cell in plan() if cell not in there])


def _networks(table: pd.DataFrame) -> set[Cell]:
    splits = table.groupby(NETWORK_KEY)["split"].agg(set)
    return {
        Cell(str(key[0]), str(key[1]), int(key[2]), str(key[3]), int(key[4]))
        for key, found in splits.items()
        if {"train", "test"} <= found
    }


def parts_of(cells: Sequence[Cell]) -> list[Part]:
    """Gather networks into as few commands as name exactly them, in order of
    appearance.
    """
    seeds: dict[tuple[str, str, int, str], list[int]] = {}
    for cell in cells:
        seeds.setdefault(
            (cell.network, cell.dataset, cell.width, cell.condition), []
        ).append(cell.seed)
    conditions: dict[tuple[str, str, int, tuple[int, ...]], list[str]] = {}
    for (network, dataset, width, condition), found in seeds.items():
        conditions.setdefault(
            (network, dataset, width, tuple(sorted(found))), []
        ).append(condition)
    return [
        Part(
            network,
            dataset,
            width,
            tuple(name for name in conditions_of(network) if name in names),
            numbers,
        )
        for (network, dataset, width, numbers), names in conditions.items()
    ]


def missing_curves(switches: pd.DataFrame | None) -> list[str]:
    """Commands of the training curves of the plan that a table of switches lacks."""
    there = (
        set()
        if switches is None
        else set(
            zip(
                switches["network"], switches["dataset"], switches["width"], strict=True
            )
        )
    )
    return [curve_command(*cell, [0]) for cell in DYNAMICS if cell not in there]


def curve_command(
    network: str, dataset: str, width: int, seeds: Sequence[int], retrain: str = "all"
) -> str:
    """Command that runs training curves, a seed each."""
    text = (
        f"ann2neo study dynamics --out results --network {network} --dataset {dataset}"
        f" --width {width}"
    )
    return f"{text} --seeds {','.join(map(str, seeds))}" + f" --retrain {retrain}" * (
        retrain != "all"
    )


def unplanned_cells() -> pd.DataFrame:
    """Cells of the paper's table 2 that the plan leaves out: network, width, dataset
    and condition.
    """
    key = ["network", "width", "dataset", "condition"]
    planned = {
        (cell.network, cell.width, cell.dataset, cell.condition) for cell in plan()
    }
    cells = paper_table(2)[key].drop_duplicates(ignore_index=True)
    return cells[[tuple(row) not in planned for row in cells.to_numpy()]]
