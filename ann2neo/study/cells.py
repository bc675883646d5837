"""The cells of the study, and the two profiles: quick on digits, and the paper's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from ann2neo.errors import InputTypeError, InputValueError
from ann2neo.study.conditions import conditions_of
from ann2neo.study.networks import NETWORKS

__all__ = ["PROFILES", "Cell", "Profile", "planned_cells"]


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
    """A choice of cells: pairs of network and data set, crossed with widths and
    seeds.
    """

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
"""quick: the whole study on digits, at most 100 epochs a network. paper: the paper's
cells, three seeds each.
"""


def planned_cells(
    profile: str = "paper",
    *,
    datasets: Sequence[str] | None = None,
    networks: Sequence[str] | None = None,
    widths: Sequence[int] | None = None,
    seeds: Sequence[int] | None = None,
    conditions: Sequence[str] | None = None,
) -> list[Cell]:
    """List the cells to run, in an order in which every network comes after the one it
    starts from.

    Parameters
    ----------
    profile : {"paper", "quick"}
        The cells to choose from.
    datasets, networks : sequence of str, optional
        Data sets and networks; those of the profile, paired as in the paper, if not
        given. A data set that the profile does not know is crossed with the networks.
    widths, seeds : sequence of int, optional
        Widths of the observed layer, and seeds.
    conditions : sequence of str, optional
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
    if profile not in PROFILES:
        raise InputValueError(
            f"unknown profile {profile!r}; there are {', '.join(PROFILES)}"
        )
    chosen = PROFILES[profile]
    for network in networks or ():
        if network not in NETWORKS:
            raise InputValueError(
                f"unknown network {network!r}; there are {', '.join(NETWORKS)}"
            )
    pairs = _pairs(chosen, datasets, networks)
    widths = _whole_numbers("width", chosen.widths if widths is None else widths, 1)
    seeds = _whole_numbers("seed", chosen.seeds if seeds is None else seeds, 0)
    known = {name for network, _ in pairs for name in conditions_of(network)}
    wanted = known if conditions is None else set(conditions)
    for condition in sorted(wanted - known):
        raise InputValueError(
            f"unknown condition {condition!r}; these networks have"
            f" {', '.join(sorted(known))}"
        )
    if wanted & {"mem_retrain_last", "mem_retrain_all"}:
        wanted = wanted | {"generalizing"}
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


def _pairs(
    profile: Profile, datasets: Sequence[str] | None, networks: Sequence[str] | None
) -> list[tuple[str, str]]:
    if datasets is None:
        pairs = [
            pair for pair in profile.pairs if networks is None or pair[0] in networks
        ]
    else:
        pairs = []
        for dataset in datasets:
            usual = [network for network, name in profile.pairs if name == dataset]
            pairs += [
                (network, dataset) for network in networks or usual or [NETWORKS[0]]
            ]
    if not pairs:
        msg = (
            f"the profile trains no {', '.join(networks or ())}; name a data set for"
            " it too"
        )
        raise InputValueError(msg)
    return pairs


def _whole_numbers(name: str, values: Sequence[int], smallest: int) -> list[int]:
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int):
            raise InputTypeError(f"a {name} must be a whole number, got {value!r}")
        if value < smallest:
            raise InputValueError(f"a {name} must be at least {smallest}, got {value}")
    if not values:
        raise InputValueError(f"the study needs at least one {name}, got none")
    return list(dict.fromkeys(values))
