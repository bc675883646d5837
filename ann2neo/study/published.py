"""The paper's tables 1, 2 and 5, and which of their cells cannot be trusted."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from importlib import resources
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

__all__ = ["KEY", "DoubtfulCell", "doubtful_cells", "paper_table", "target_accuracy"]

KEY = ["network", "width", "dataset", "split", "condition"]
"""Columns that name a cell of a table."""

_UNLIKE = 2.0

_FILES = {
    1: "table1_accuracy.csv",
    2: "table2_firing_rate.csv",
    5: "table5_fano_factor.csv",
}


class DoubtfulCell(NamedTuple):
    """A cell of the paper's tables that contradicts the paper itself."""

    column: str
    network: str
    width: int
    dataset: str
    split: str
    condition: str
    reason: str


@functools.cache
def _read(number: int) -> pd.DataFrame:
    folder = resources.files("ann2neo.study") / "published"
    with (folder / _FILES[number]).open(encoding="utf-8") as file:
        return pd.read_csv(file).rename(columns={"model": "network"})


def paper_table(number: int) -> pd.DataFrame:
    """One of the paper's tables, a row a cell.

    Parameters
    ----------
    number : {1, 2, 5}
        1: ``accuracy_percent`` on training and validation samples. 2:
        ``mean_firing_rate`` (spikes a sample) and ``cv_firing_rate_percent``. 5:
        ``mean_fano_factor`` and ``starred``.

    Returns
    -------
    pandas.DataFrame
        Columns network, width, dataset, split, condition and the table's own.

    Examples
    --------
    >>> len(paper_table(2)), len(paper_table(5))
    (184, 184)
    """
    return _read(number).copy()


def target_accuracy(
    network: str, width: int, dataset: str, condition: str
) -> float | None:
    """Training accuracy (share) of the paper's cell, where training stops; None where
    it has no such cell.

    Half of the table's last digit is granted: 100.00 percent means at least 99.995.

    Examples
    --------
    >>> target_accuracy("MLP", 64, "mnist", "generalizing")
    0.98655
    """
    table = _read(1)
    row = table[
        (table["network"] == network)
        & (table["width"] == width)
        & (table["dataset"] == dataset)
        & (table["condition"] == condition)
        & (table["split"] == "train")
    ]
    return (
        round(float(row["accuracy_percent"].iloc[0]) / 100 - 5e-5, 7)
        if len(row)
        else None
    )


def doubtful_cells() -> list[DoubtfulCell]:
    """Cells of the paper's tables that are impossible or contradict their neighbours.

    Returns
    -------
    list of DoubtfulCell
        Found by computation: rates between 0 and 1 with mean m cannot have a
        coefficient of variation above ``sqrt((1 - m) / m)``; that of the same units on
        other samples is no more than 1.5 times as large or small in all cells but nine,
        where it is 3.5 and more; samples shown in random order make the mean Fano
        factor 1 minus the mean firing rate, so that a pair that misses this by more
        than 0.03 holds a wrong number; and where a row of table 2 that holds such a
        pair repeats both numbers of another data set to the last digit, these were
        copied. Found by eye: one accuracy.
    """
    found = []
    rates = _read(2)
    # A printed mean is rounded to two digits, so the largest CV belongs to a mean 0.005
    # smaller.
    lowest = np.maximum(rates["mean_firing_rate"] - 0.005, 1e-9)
    impossible = rates["cv_firing_rate_percent"] > 100 * np.sqrt((1 - lowest) / lowest)
    for row in rates[impossible].itertuples():
        reason = (
            f"a CV of {row.cv_firing_rate_percent:.0f} % is impossible for rates with"
            f" mean {row.mean_firing_rate}"
        )
        found.append(_doubtful("cv_firing_rate_percent", row, reason))
    for row, other in _unlike_splits(rates[~impossible]):
        reason = (
            f"a CV of {row.cv_firing_rate_percent:.0f} % where the same units have"
            f" {other:.0f} % on other samples"
        )
        found.append(_doubtful("cv_firing_rate_percent", row, reason))
    both = rates.merge(_read(5), on=KEY)
    off = both["mean_firing_rate"] + both["mean_fano_factor"] - 1
    misses = off.abs() > 0.0301
    repeated = _repeated(both, both[misses])
    found.extend(
        _doubtful(column, row, f"rate and CV are those of {of}")
        for row, of in repeated
        for column in ("mean_firing_rate", "cv_firing_rate_percent")
    )
    copies = {row.Index for row, _ in repeated}
    for row, by in zip(both[misses].itertuples(), off[misses], strict=True):
        reason = (
            f"mean firing rate {row.mean_firing_rate} and mean Fano factor"
            f" {row.mean_fano_factor} "
        )
        # Where the rate was copied, nothing speaks against the Fano factor.
        columns = (
            "mean_firing_rate",
            *(() if row.Index in copies else ("mean_fano_factor",)),
        )
        found.extend(
            _doubtful(column, row, f"{reason}add up to {1 + by:.2f}")
            for column in columns
        )
    reason = (
        "98.28 % is far above the neighbouring widths' and the network's own training"
        " accuracy"
    )
    found.append(
        DoubtfulCell(
            "accuracy_percent",
            "MLP",
            128,
            "fashion_mnist",
            "validation",
            "generalizing",
            reason,
        )
    )
    return found


def _unlike_splits(rates: pd.DataFrame) -> Iterator[tuple[Any, float]]:
    """Cells whose CV is more than twice that of the same network on the other samples,
    and the other CV.
    """
    for _, pair in rates.groupby([name for name in KEY if name != "split"]):
        first = pair.sort_values("cv_firing_rate_percent", ascending=False)
        cvs = first["cv_firing_rate_percent"].to_numpy()
        if len(pair) == 2 and cvs[0] > _UNLIKE * cvs[1]:
            yield next(first.itertuples()), float(cvs[1])


def _repeated(table: pd.DataFrame, missing: pd.DataFrame) -> list[tuple[Any, str]]:
    """Cells of rows that hold a pair off the law, with both numbers of another data
    set's cell, and which that is.
    """
    place = ["network", "width", "dataset", "split"]
    odd = {tuple(key) for key in missing[place].to_numpy()}
    numbers = [
        "network",
        "width",
        "condition",
        "mean_firing_rate",
        "cv_firing_rate_percent",
    ]
    found = []
    for _, alike in table.groupby(numbers):
        sound = [
            row
            for row in alike.itertuples()
            if (row.network, row.width, row.dataset, row.split) not in odd
        ]
        for row in alike.itertuples():
            others = [other for other in sound if other.dataset != row.dataset]
            if others and (row.network, row.width, row.dataset, row.split) in odd:
                found.append((row, f"{others[0].dataset} {others[0].split}"))
    return found


def _doubtful(column: str, row: Any, reason: str) -> DoubtfulCell:
    return DoubtfulCell(
        column, row.network, row.width, row.dataset, row.split, row.condition, reason
    )
