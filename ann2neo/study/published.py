"""The paper's tables 1, 2 and 5, and which of their cells cannot be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from typing import Any

import numpy as np
import pandas as pd

__all__ = ["KEY", "doubtful_cells", "doubts", "paper_table", "target_accuracy"]

KEY = ["network", "width", "dataset", "split", "condition"]
"""Columns that name a cell of a table."""

_FILES = {
    1: "table1_accuracy.csv",
    2: "table2_firing_rate.csv",
    5: "table5_fano_factor.csv",
}


def paper_table(number: int) -> pd.DataFrame:
    """Return one of the paper's tables, one row per cell.

    Parameters
    ----------
    number : {1, 2, 5}
        1: ``accuracy_percent`` on training and validation samples. 2:
        ``mean_firing_rate`` (spikes per sample) and ``cv_firing_rate_percent``. 5:
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
    folder = resources.files("ann2neo.study") / "published"
    with (folder / _FILES[number]).open(encoding="utf-8") as file:
        return pd.read_csv(file).rename(columns={"model": "network"})


def target_accuracy(
    network: str, width: int, dataset: str, condition: str
) -> float | None:
    """Return the training accuracy (share) of the paper's cell, where training stops.

    None where the paper has no such cell. Half of the table's last digit is granted:
    100.00 percent means at least 99.995.

    Examples
    --------
    >>> target_accuracy("MLP", 64, "mnist", "generalizing")
    0.98655
    """
    accuracies = paper_table(1).set_index(KEY)["accuracy_percent"]
    percent = accuracies.get((network, width, dataset, "train", condition))
    return None if percent is None else round(float(percent) / 100 - 5e-5, 7)


def doubtful_cells() -> pd.DataFrame:
    """List the cells of the paper's tables that are impossible or contradict others.

    Returns
    -------
    pandas.DataFrame
        One row per cell and reason: the ``column`` of the paper's table, `KEY` and
        ``reason``.

    Notes
    -----
    Four rules are computed. Rates between 0 and 1 with mean m cannot have a
    coefficient of variation above ``sqrt((1 - m) / m)``. The CV of the same units on
    other samples is at most 1.5 times as large or small in all cells but nine, where
    it is 3.5 times and more. Samples shown in random order make the mean Fano factor 1
    minus the mean firing rate, so a pair that misses this by more than 0.03 holds a
    wrong number. And where a row of table 2 with such a pair repeats both numbers of
    another data set to the last digit, they were copied. One accuracy was found by
    eye.
    """
    rates, mean, cv = paper_table(2), "mean_firing_rate", "cv_firing_rate_percent"
    # A printed mean is rounded to two digits, so the largest CV belongs to a mean that
    # is 0.005 smaller.
    lowest = np.maximum(rates[mean] - 0.005, 1e-9)
    too_large = rates[cv] > 100 * np.sqrt((1 - lowest) / lowest)
    impossible, possible = rates[too_large], rates[~too_large]
    pairs = possible.merge(
        possible, on=[name for name in KEY if name != "split"], suffixes=("", "_other")
    )
    unlike = pairs[pairs[cv] > 2 * pairs[f"{cv}_other"]]
    both = rates.merge(paper_table(5), on=KEY)
    total = both[mean] + both["mean_fano_factor"]
    # Both numbers are printed with two digits, so that 0.03 is three units of the last.
    off = both[(total - 1).abs() > 0.0301].assign(total=total)
    place = ["network", "width", "dataset", "split"]
    in_odd_row = pd.MultiIndex.from_frame(both[place]).isin(
        pd.MultiIndex.from_frame(off[place])
    )
    copied = both[in_odd_row].merge(
        both[~in_odd_row],
        on=["network", "width", "condition", mean, cv],
        suffixes=("", "_of"),
    )
    copied = copied[copied["dataset"] != copied["dataset_of"]].drop_duplicates(KEY)
    # Where the rate was copied, nothing speaks against the Fano factor.
    own = off[
        ~pd.MultiIndex.from_frame(off[KEY]).isin(pd.MultiIndex.from_frame(copied[KEY]))
    ]
    by_eye = pd.DataFrame(
        [("MLP", 128, "fashion_mnist", "validation", "generalizing")], columns=KEY
    )
    impossible_cv = "a CV of {cv_firing_rate_percent:.0f} % is impossible for rates"
    unlike_cv = "a CV of {cv_firing_rate_percent:.0f} % where the same units have"
    off_law = (
        "mean firing rate {mean_firing_rate} and mean Fano factor {mean_fano_factor}"
        " add up to {total:.2f}"
    )
    too_high = (
        "98.28 % is far above the neighbouring widths' and the network's own training"
        " accuracy"
    )
    rules = [
        ([cv], impossible, impossible_cv + " with mean {mean_firing_rate}"),
        (
            [cv],
            unlike,
            unlike_cv + " {cv_firing_rate_percent_other:.0f} % on other samples",
        ),
        ([mean, cv], copied, "rate and CV are those of {dataset_of} {split_of}"),
        ([mean], off, off_law),
        (["mean_fano_factor"], own, off_law),
        (["accuracy_percent"], by_eye, too_high),
    ]
    parts = []
    for columns, cells, words in rules:
        rows: Any = cells.to_dict("records")
        reasons = [words.format_map(row) for row in rows]
        parts += [cells[KEY].assign(column=name, reason=reasons) for name in columns]
    return pd.concat(parts, ignore_index=True)


def doubts(columns: Sequence[str]) -> pd.Series:
    """Join the reasons against the cells of some `columns`, indexed by `KEY`."""
    cells = doubtful_cells()
    chosen = cells[cells["column"].isin(columns)].drop_duplicates([*KEY, "reason"])
    reasons = chosen.groupby(KEY, sort=False)["reason"].agg("; ".join)
    return reasons.rename("doubt")
