"""Groups of units, such as the layers of a network, that have patterns of their own."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ann2neo._checks import one_of
from ann2neo.analysis._entry import IntArray
from ann2neo.errors import InputValueError

__all__ = ["Group", "checked_by", "groups_of"]


class Group(NamedTuple):
    """Units that are analysed together.

    Parameters
    ----------
    place : dict of str to object
        The column that groups and its value; empty where all units are one group.
    units : ndarray of int64, shape (n_units,)
        The units, ascending.
    """

    place: dict[str, Any]
    units: IntArray


def checked_by(by: str | None, units: pd.DataFrame, taken: set[str]) -> str | None:
    """Return the column of the table of units to group by, or None for no groups.

    Parameters
    ----------
    by : str, optional
        The column asked for; the layers of a network, if not given.
    units : pandas.DataFrame
        Table of units.
    taken : set of str
        Columns of the table of results.

    Raises
    ------
    InputValueError
        If there is no such column, or the results have one of that name.
    """
    if by is None:
        return "layer" if "layer" in units else None
    one_of(by, list(map(str, units)), "by")
    if by in taken:
        raise InputValueError(
            f"by={by!r} is a column of the table of results; rename that of the units"
        )
    return by


def groups_of(units: pd.DataFrame, by: str | None) -> list[Group]:
    """Return the groups of units, in order of appearance; a missing value is one too.

    Parameters
    ----------
    units : pandas.DataFrame
        Table of units.
    by : str, optional
        Column to group by; None for one group of all.
    """
    if by is None:
        return [Group({}, np.arange(len(units)))]
    if not len(units):
        # A recording without units has a row, which says so.
        return [Group({by: ""}, np.zeros(0, np.int64))]
    codes, values = pd.factorize(units[by], use_na_sentinel=False)
    return [
        Group({by: value}, np.flatnonzero(codes == code))
        for code, value in enumerate(values)
    ]
