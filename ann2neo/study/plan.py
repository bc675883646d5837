"""The networks of the study, in two profiles, and what the rerun is to hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from ann2neo._checks import names_of, one_of, whole_number
from ann2neo.errors import InputValueError
from ann2neo.study.conditions import conditions_of
from ann2neo.study.networks import NETWORKS

__all__ = ["CURVES", "PROFILES", "Cell", "Profile", "plan", "planned_cells"]


@dataclass(frozen=True)
class Cell:
    """One network to train: architecture, data set, condition and seed."""

    dataset: str
    network: str
    width: int
    condition: str
    seed: int

    @property
    def name(self) -> str:
        """Name of the cell's files."""
        data = Path(self.dataset).stem
        return f"{data}_{self.network}_{self.width}_{self.condition}_seed{self.seed}"

    @property
    def title(self) -> str:
        """The cell in words."""
        return (
            f"{self.network} of width {self.width} on {self.dataset}, {self.condition},"
            f" seed {self.seed}"
        )


@dataclass(frozen=True)
class Profile:
    """Pairs of network and data set, crossed with widths and seeds."""

    pairs: tuple[tuple[str, str], ...]
    widths: tuple[int, ...]
    seeds: tuple[int, ...]
    max_epochs: int | None


PROFILES = {
    "quick": Profile((("MLP", "digits"), ("CNN", "digits")), (32, 128), (0, 1, 2), 100),
    "paper": Profile(
        (
            ("MLP", "mnist"),
            ("MLP", "fashion_mnist"),
            ("CNN", "mnist"),
            ("CNN", "fashion_mnist"),
            ("DenseNet121", "cifar10"),
        ),
        (64, 128, 256, 512),
        (0, 1, 2),
        None,
    ),
}
"""quick: the whole study on digits, at most 100 epochs per network. paper: the paper's
cells, three seeds each.
"""

_PLAN = (
    ("MLP", "mnist", (64, 128), (0, 1, 2)),
    ("MLP", "fashion_mnist", (64, 128), (0, 1, 2)),
    ("MLP", "mnist", (256, 512), (0,)),
    ("MLP", "fashion_mnist", (256, 512), (0,)),
    ("CNN", "mnist", (64,), (0,)),
    ("CNN", "fashion_mnist", (64,), (0,)),
    ("DenseNet121", "cifar10", (64,), (0,)),
)

CURVES = (
    ("MLP", "mnist", 64),
    ("MLP", "mnist", 128),
    ("MLP", "mnist", 256),
    ("MLP", "fashion_mnist", 64),
    ("MLP", "fashion_mnist", 128),
    ("MLP", "fashion_mnist", 256),
    ("CNN", "mnist", 64),
)
"""Network, data set and width of the training curves to run."""


def plan() -> list[Cell]:
    """List the networks that the rerun is to hold.

    Three seeds of the narrower MLPs, one of everything else that two cores can train in
    days; all conditions.

    Examples
    --------
    >>> len(plan())
    79
    """
    return [
        cell
        for network, dataset, widths, seeds in _PLAN
        for cell in planned_cells(
            networks=[network], datasets=[dataset], widths=widths, seeds=seeds
        )
    ]


def planned_cells(
    profile: str = "paper",
    *,
    datasets: str | Sequence[str] | None = None,
    networks: str | Sequence[str] | None = None,
    widths: Sequence[int] | None = None,
    seeds: Sequence[int] | None = None,
    conditions: str | Sequence[str] | None = None,
) -> list[Cell]:
    """List the cells to run, every network after the one it starts from.

    Parameters
    ----------
    profile : {"paper", "quick"}
        The cells to choose from.
    datasets, networks : str or sequence of str, optional
        Data sets and networks; those of the profile, paired as in the paper, if not
        given. A data set that the profile does not know is crossed with the networks.
    widths, seeds : sequence of int, optional
        Widths of the observed layer, and seeds.
    conditions : str or sequence of str, optional
        Conditions; all that apply if not given. Those that start from a generalizing
        network bring it along.

    Returns
    -------
    list of Cell
        Cells of one architecture and data set side by side.

    Raises
    ------
    InputTypeError, InputValueError
        If something is unknown, not a whole number, or nothing is left.

    Examples
    --------
    >>> for cell in planned_cells("quick", networks=["MLP"], widths=[64], seeds=[0]):
    ...     print(cell.name)
    digits_MLP_64_random_seed0
    digits_MLP_64_generalizing_seed0
    digits_MLP_64_mem_retrain_last_seed0
    digits_MLP_64_mem_random_last_seed0
    """
    chosen = PROFILES[one_of(profile, PROFILES, "profile")]
    if networks is not None:
        networks = names_of(networks, "networks")
    for network in networks or ():
        one_of(network, NETWORKS, "network")
    if datasets is None:
        pairs = [
            pair for pair in chosen.pairs if networks is None or pair[0] in networks
        ]
    else:
        pairs = []
        for dataset in names_of(datasets, "datasets"):
            usual = [network for network, name in chosen.pairs if name == dataset]
            pairs += [
                (network, dataset) for network in networks or usual or [NETWORKS[0]]
            ]
    if not pairs:
        raise InputValueError(
            f"the profile trains no {', '.join(networks or ())}; name a data set for it"
            " too"
        )
    widths = _whole_numbers("width", chosen.widths if widths is None else widths, 1)
    seeds = _whole_numbers("seed", chosen.seeds if seeds is None else seeds, 0)
    # A dictionary keeps the order in which conditions are trained.
    applicable = dict.fromkeys(name for of, _ in pairs for name in conditions_of(of))
    wanted = set(applicable)
    if conditions is not None:
        wanted = set(names_of(conditions, "conditions"))
    for condition in sorted(wanted):
        one_of(condition, applicable, "condition")
    if wanted & {"mem_retrain_last", "mem_retrain_all"}:
        wanted.add("generalizing")
    cells = [
        Cell(dataset, network, width, condition, seed)
        for (network, dataset), width, seed in product(pairs, widths, seeds)
        for condition in conditions_of(network)
        if condition in wanted
    ]
    if not cells:
        raise InputValueError(
            "no cell is left by this choice of data sets, networks, widths, seeds and"
            " conditions"
        )
    return cells


def _whole_numbers(name: str, values: Sequence[int], smallest: int) -> list[int]:
    if not values:
        raise InputValueError(f"the study needs at least one {name}, got none")
    checked = [whole_number(it, f"a {name}", at_least=smallest) for it in values]
    return list(dict.fromkeys(checked))
