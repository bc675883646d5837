"""summarize: one row per network and phase, beside what the rates alone would give."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from ann2neo._checks import names_of, number_between
from ann2neo.analysis.table_of_statistics import (
    NETWORK_COLUMNS,
    NETWORK_CONDITIONS,
    NETWORK_STATISTICS,
    unit_columns,
)
from ann2neo.errors import InputTypeError, InputValueError

__all__ = ["summarize"]


def summarize(
    units: pd.DataFrame,
    by: str | Sequence[str] = ("phase",),
    alpha: float = 0.05,
) -> pd.DataFrame:
    """Summarize a table of units, one row per network and phase.

    Parameters
    ----------
    units : pandas.DataFrame
        The table returned by `analyze`, or several of them concatenated, with columns
        that tell them apart.
    by : str or sequence of str, default ("phase",)
        Columns that say which rows belong together, for example ``"layer"`` or
        ``("layer", "phase")``.
    alpha : float, default 0.05
        False discovery rate of the Benjamini-Hochberg procedure.

    Returns
    -------
    pandas.DataFrame
        `NETWORK_COLUMNS`, one row per group in order of appearance, the columns `by`
        first. Means and coefficients of variation are over units (population standard
        deviation); silent units count for rates, not for Fano factors. A number is NaN
        where no unit has the statistic.

    Raises
    ------
    InputTypeError, InputValueError
        If `units` is not a table of units, lacks a column of `by`, or `alpha` is not
        between 0 and 1.

    Examples
    --------
    >>> from ann2neo.analysis.units.analyze import analyze
    >>> from ann2neo.recording import Recording
    >>> activations = np.random.default_rng(0).normal(size=(1000, 20))
    >>> network = summarize(
    ...     analyze(Recording.from_activations(activations, order="random"))
    ... )
    >>> network[
    ...     ["mean_firing_rate", "mean_fano_factor", "mean_fano_factor_expected"]
    ... ].round(2)
       mean_firing_rate  mean_fano_factor  mean_fano_factor_expected
    ...
    """
    if not isinstance(units, pd.DataFrame):
        raise InputTypeError(
            "summarize needs the table that analyze returns, got"
            f" {type(units).__name__}"
        )
    alpha = number_between(alpha, "alpha", 0, 1, remedy="the usual choice is 0.05")
    by = names_of(by, "by")
    if not by:
        raise InputValueError("by names no column; pass by='phase' for a row per phase")
    missing = [name for name in by if name not in units]
    if missing:
        computed = {column.name for column in unit_columns()} - {"phase", "order"}
        others = [str(name) for name in units if name not in computed]
        raise InputValueError(
            f"the table of units lacks the column {missing[0]!r}; its units are told"
            f" apart by {', '.join(others)}"
        )
    for name in ("unit", "firing_rate"):
        if name not in units:
            raise InputValueError(
                f"the table of units lacks the column {name!r}; make it with analyze,"
                " statistics including 'firing_rate'"
            )
    rows = [
        {**dict(zip(by, key, strict=True)), **_network_row(group, alpha)}
        for key, group in units.groupby(by, sort=False, observed=True)
    ]
    types = {
        column.name: column.dtype for column in NETWORK_COLUMNS if column.name not in by
    }
    return pd.DataFrame(rows, columns=[*by, *types]).astype(types)


def _network_row(units: pd.DataFrame, alpha: float) -> dict[str, Any]:
    row: dict[str, Any] = {
        column.name: _shared(units, column.name, column.missing)
        for column in NETWORK_CONDITIONS
    }
    row["n_units"] = len(units)
    numbers = [column.name for column in unit_columns() if column.dtype == "float64"]
    # NaN where a statistic was not computed.
    table = units.reindex(columns=numbers)
    values = {name: table[name].to_numpy(np.float64) for name in numbers}
    for entry in NETWORK_STATISTICS:
        row.update(entry.fast(values, alpha))
    return row


def _shared(units: pd.DataFrame, name: str, missing: Any) -> Any:
    """Return the value that all units share, or the missing value if they do not."""
    values = units[name].to_numpy() if name in units else np.zeros(0)
    return values[0] if len(values) and (values == values[0]).all() else missing
