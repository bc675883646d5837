"""What a statistic is: its columns, its null, where it is valid, and one function for
each engine.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ann2neo.analysis.units.counts import Counts, Train

__all__ = ["BY_CONSTRUCTION", "Column", "Statistic", "reasons"]

BY_CONSTRUCTION = "true by construction: a rejection points to a fault in the pipeline"
"""What a test of order says about a network whose stimuli were shown in random order.
"""

Values = Mapping[str, npt.NDArray[Any]]


@dataclasses.dataclass(frozen=True)
class Column:
    """One column of a table of results.

    Parameters
    ----------
    name : str
        Name of the column.
    description : str
        One sentence: what the number is and what it means.
    unit : str
        Unit of the number, "1" if it has none, "" for words.
    dtype : {"float64", "int64", "str"}
        Type of the column; where there is no number it holds NaN, -1 or "".
    """

    name: str
    description: str
    unit: str = "1"
    dtype: str = "float64"

    @property
    def missing(self) -> Any:
        """What stands where there is no value."""
        return {"float64": np.nan, "int64": -1, "str": ""}[self.dtype]


@dataclasses.dataclass(frozen=True)
class Statistic:
    """One entry of the table of statistics.

    Parameters
    ----------
    name : str
        Name of the statistic; ``<name>_reason`` says why a value is missing.
    columns : tuple of Column
        What it adds to a table, one row a unit.
    null : str
        The null hypothesis of its p-value; "" if it has none.
    validity : str
        Where it is valid.
    source : str
        Who proposed it, and the library function it agrees with.
    reason : function of Counts
        Why each unit has no value: ndarray of str, shape (n_units,), "" where the
        statistic is valid.
    fast : function of Counts
        Columns of a block of units, each of shape (n_units,); what it gives for invalid
        units is not looked at.
    reference : function of Train
        Columns of one valid unit, from Elephant, SciPy and statsmodels.
    pvalue : str
        Column with the p-value; "" if there is none.
    tests_order : bool
        Whether it speaks of the order of the bins, which a random order of the stimuli
        settles.
    rejects_by_design : bool
        Whether its null is false for trains of zeros and ones, whatever their order.
    """

    name: str
    columns: tuple[Column, ...]
    null: str
    validity: str
    source: str
    reason: Callable[[Counts], npt.NDArray[Any]]
    fast: Callable[[Counts], Values]
    reference: Callable[[Train], Mapping[str, Any]]
    pvalue: str = ""
    tests_order: bool = False
    rejects_by_design: bool = False

    @property
    def reason_column(self) -> Column:
        """The column that says why a value is missing."""
        return Column(
            f"{self.name}_reason",
            f"Why {self.name} is missing; empty where it is valid.",
            "",
            "str",
        )


def reasons(counts: Counts, *rules: tuple[Any, str]) -> npt.NDArray[Any]:
    """First reason that applies to each unit.

    Parameters
    ----------
    counts : Counts
        The block of units.
    *rules : (condition, reason)
        Conditions are bool, or ndarray of bool of shape (n_units,); the first that
        holds gives its reason.

    Returns
    -------
    ndarray of str (object), shape (n_units,)
        "" where no condition holds.
    """
    found = np.full(counts.n_units, "", dtype=object)
    for condition, reason in reversed(rules):
        found[np.broadcast_to(condition, found.shape)] = reason
    return found
