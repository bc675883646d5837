"""Entries of the table of statistics, and the types of arrays that statistics take.

An entry holds columns, null hypothesis, validity, source, and the functions that
compute the columns.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from ann2neo.analysis.trials.trial_counts import TrialCounts, TrialTrain
    from ann2neo.analysis.units.counts import Counts, Train

__all__ = [
    "ACROSS_STIMULI",
    "BY_CONSTRUCTION",
    "BY_DESIGN",
    "BoolArray",
    "Column",
    "FloatArray",
    "IntArray",
    "NetworkStatistic",
    "NetworkTest",
    "Statistic",
    "StatisticOfUnits",
    "TrialStatistic",
    "UnitStatistic",
    "UnitValues",
    "Values",
    "columns_of",
    "count_column",
    "reasons",
    "text_column",
]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

BY_CONSTRUCTION = "true by construction: a rejection points to a fault in the pipeline"
"""Meaning of a number about the order of the bins if stimuli came in random order."""

ACROSS_STIMULI = (
    "Where stimuli last longer than one bin, the shuffle settles what runs across them,"
    " not what runs inside."
)
"""The limit of a shuffle, which leaves the bins inside a presentation as they are."""

BY_DESIGN = (
    "a number about the shuffle, not about the network, and it rejects by design"
)
"""The same if zeros and ones contradict the null hypothesis in any order."""

Values = Mapping[str, npt.NDArray[Any]]
UnitValues = Mapping[str, FloatArray]
"""Columns of units, each of shape (n_units,), NaN where a unit has no value."""


@dataclasses.dataclass(frozen=True)
class Column:
    """One column of a table of results.

    Parameters
    ----------
    name : str
        Name of the column. It may end in a part that varies, in angle brackets, such as
        ``rate_<label>``; the description may repeat that part.
    description : str
        One sentence: what the number is and what it means.
    unit : str
        Unit of the number, "1" if it has none, "" for words.
    dtype : {"float64", "int64", "bool", "str", ""}
        Type of the column; "" for that of the recording's labels or stimuli. A missing
        value is NaN, -1 or "".
    in_random_order : str
        What the number means if stimuli of one bin each came in random order:
        `BY_CONSTRUCTION`, `BY_DESIGN`, or "" if it does not depend on the order.
    """

    name: str
    description: str
    unit: str = "1"
    dtype: str = "float64"
    in_random_order: str = ""

    @property
    def missing(self) -> Any:
        """The value of a cell that has none."""
        return {"float64": np.nan, "int64": -1, "str": ""}[self.dtype]

    def named(self, name: str) -> Column | None:
        """Return this column as it is called in a table; None if that is another.

        Examples
        --------
        >>> Column("rate_<label>", "Rate for <label>.").named("rate_cat").description
        'Rate for cat.'
        """
        fixed, bracket, varies = self.name.partition("<")
        if not bracket:
            return self if name == fixed else None
        part = name.removeprefix(fixed)
        if not name.startswith(fixed) or not part:
            return None
        text = self.description.replace(f"<{varies}", part)
        return dataclasses.replace(self, name=name, description=text)


def text_column(name: str, description: str) -> Column:
    """Return a column of words."""
    return Column(name, description, "", "str")


def count_column(name: str, description: str) -> Column:
    """Return a column of whole numbers."""
    return Column(name, description, "1", "int64")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Statistic:
    """One entry of the table of statistics.

    Parameters
    ----------
    name : str
        Name of the statistic.
    columns : tuple of Column
        What it adds to a table.
    null : str
        Null hypothesis of its p-value; "" if it has none.
    null_in_short : str
        The same in a few words, for lines of text.
    validity : str
        What a unit or a network needs to have a value.
    source : str
        Publication, and the library function whose results it reproduces.
    pvalue : str
        Column with the p-value; "" if there is none.
    rejects_by_design : str
        In a few words, why zeros and ones reject the null hypothesis in any order; ""
        if they do not.
    """

    name: str
    columns: tuple[Column, ...]
    null: str = ""
    null_in_short: str = ""
    validity: str = ""
    source: str = ""
    pvalue: str = ""
    rejects_by_design: str = ""

    @property
    def tests_order(self) -> bool:
        """Whether a random order of the stimuli decides what it means."""
        return any(column.in_random_order for column in self.columns)

    def column(self, name: str) -> Column:
        """Return the column of that name."""
        return next(column for column in self.columns if column.name == name)


@dataclasses.dataclass(frozen=True, kw_only=True)
class StatisticOfUnits(Statistic):
    """A statistic that says for each unit why it has no value."""

    @property
    def reason_column(self) -> Column:
        """The column that says why a value is missing."""
        return text_column(
            f"{self.name}_reason",
            f"Why {self.name} is missing; empty where it is valid.",
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class UnitStatistic(StatisticOfUnits):
    """A statistic of single units, computed by either engine.

    Parameters
    ----------
    reason : function of Counts
        Why each unit has no value: ndarray of str, shape (n_units,), "" where the
        statistic is valid.
    fast : function of Counts
        Columns of a block of units, each of shape (n_units,); values of invalid units
        are ignored.
    reference : function of Train
        Columns of one valid unit, from Elephant, SciPy and statsmodels.
    """

    reason: Callable[[Counts], npt.NDArray[Any]]
    fast: Callable[[Counts], Values]
    reference: Callable[[Train], Mapping[str, Any]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrialStatistic(StatisticOfUnits):
    """A statistic of the trials of single units, computed by either engine.

    Parameters
    ----------
    reason : function of TrialCounts
        As in `UnitStatistic`.
    fast : function of TrialCounts
        Columns of a block of units, each of shape (n_units,); values of invalid units
        are ignored.
    reference : function of TrialTrain
        Columns of one valid unit, by definition or from Elephant and statsmodels.
    tested : str
        The column that surrogate tests compare.
    measure : function of TrialCounts
        That column alone, shape (n_units,), without p-values; values of invalid units
        are ignored.
    surrogates : str
        The method of surrogates that keeps its null hypothesis.
    needs_segments : bool
        Whether each segment must hold one presentation; counts do without.
    """

    reason: Callable[[TrialCounts], npt.NDArray[Any]]
    fast: Callable[[TrialCounts], Values]
    reference: Callable[[TrialTrain], Mapping[str, Any]]
    tested: str
    measure: Callable[[TrialCounts], FloatArray]
    surrogates: str
    needs_segments: bool = True


@dataclasses.dataclass(frozen=True, kw_only=True)
class NetworkStatistic(Statistic):
    """A statistic of a network, computed from those of its units.

    Parameters
    ----------
    fast : function of UnitValues and float
        Columns of one network, from the columns of its units and the false discovery
        rate.
    """

    fast: Callable[[UnitValues, float], Mapping[str, float]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class NetworkTest(Statistic):
    """A mean over units, tested by permuting bins inside segments jointly for units.

    Parameters
    ----------
    fast : function of Counts
        Value of each unit, shape (n_units,); NaN where there is none.
    two_sided : bool
        Whether small values count as extreme too.
    of_windows : bool
        Whether it sees nothing but the counts in windows.
    """

    fast: Callable[[Counts], FloatArray]
    two_sided: bool = False
    of_windows: bool = False


def columns_of(statistics: Iterable[Statistic]) -> tuple[Column, ...]:
    """Return the columns of several statistics, in their order."""
    return tuple(column for entry in statistics for column in entry.columns)


def reasons(counts: Counts | TrialCounts, *rules: tuple[Any, str]) -> npt.NDArray[Any]:
    """Return the first reason that applies to each unit.

    Parameters
    ----------
    counts : Counts or TrialCounts
        The block of units.
    *rules : (condition, reason)
        Conditions are bool, or ndarray of bool of shape (n_units,); the first that
        holds gives its reason.

    Returns
    -------
    ndarray of str (object), shape (n_units,)
        "" where no condition holds.
    """
    first = np.full(counts.n_units, "", dtype=object)
    for condition, reason in reversed(rules):
        first[np.broadcast_to(condition, first.shape)] = reason
    return first
