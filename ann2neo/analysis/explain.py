"""What a number of ours means, in one sentence."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from ann2neo.analysis.networks.network_test import NETWORK_STATISTICS
from ann2neo.analysis.networks.summarize import NETWORK_COLUMNS
from ann2neo.analysis.statistic import BY_CONSTRUCTION, Statistic
from ann2neo.analysis.statistics import STATISTICS, unit_columns
from ann2neo.errors import InputValueError
from ann2neo.recording.tables import ORDERS

__all__ = ["column_descriptions", "explain", "true_by_construction"]


def explain(column: str, order: str | None = None) -> str:
    """Say what a column of a table of results means.

    Parameters
    ----------
    column : str
        Name of a column of `analyze`, `summarize` or a statistic of `network_test`.
    order : {"random", "stored", "unknown"}, optional
        Order of the stimuli: what a test of order means depends on it. All are told if
        not given.

    Returns
    -------
    str
        One sentence on the number, and where the order decides its meaning, one on
        that.

    Raises
    ------
    InputValueError
        If the column or the order is unknown; the valid ones are listed.

    Examples
    --------
    >>> explain("firing_rate")
    'Spikes per time bin: the share of presentations (or bins) in which the unit is
    active.'
    >>> explain("ljung_box_pvalue", order="random")
    'p-value of independent bins (no serial dependence up to the last lag). Stimuli
    were shown in random order, so this is true by construction: a rejection points to
    a fault in the pipeline.'
    """
    words = {
        entry.name: entry.description for entry in (*NETWORK_COLUMNS, *unit_columns())
    } | NETWORK_STATISTICS
    if column not in words:
        raise InputValueError(
            f"unknown column {column!r}; the valid ones are {', '.join(sorted(words))}"
        )
    if order is not None and order not in ORDERS:
        raise InputValueError(
            f"order must be one of {', '.join(ORDERS)}, got {order!r}"
        )
    if column not in _OF_ORDER:
        return words[column]
    holds = BY_CONSTRUCTION if true_by_construction(column) else _SHUFFLE
    meanings = {
        "random": f"Stimuli were shown in random order, so this is {holds}.",
        "stored": (
            "Stimuli were shown in the data set's order, so this describes the data set"
            " as the network sees it."
        ),
        "unknown": (
            "The order of the stimuli is not known; where it was random, this is"
            f" {holds}."
        ),
        None: f"Where stimuli were shown in random order, this is {holds}.",
    }
    return f"{words[column]} {meanings[order]}"


def column_descriptions(*tables: pd.DataFrame) -> dict[str, str]:
    """What each column of tables of results means, for the files they are written to.

    Parameters
    ----------
    *tables : pandas.DataFrame
        Tables of `analyze` or `summarize`.

    Returns
    -------
    dict of str to str
        One sentence a column; columns of the recording's own table of units are named
        as such.

    Examples
    --------
    >>> column_descriptions(
    ...     pd.DataFrame({"firing_rate_hz": [2.0], "brain_area": ["V1"]})
    ... )
    {'firing_rate_hz': 'Firing rate in spikes per second, firing_rate divided by the
     bin length. Unit: Hz.',
     'brain_area': 'brain_area of the unit, as the recording has it.'}
    """
    known = {
        column.name: (
            column.description
            + (f" Unit: {column.unit}." if column.unit not in {"", "1"} else "")
        )
        for column in (*NETWORK_COLUMNS, *unit_columns())
    }
    names = dict.fromkeys(name for table in tables for name in table.columns)
    return {
        name: known.get(name, f"{name} of the unit, as the recording has it.")
        for name in names
    }


def true_by_construction(column: str) -> bool:
    """Whether the null of a column holds by construction when stimuli are shown in
    random order.

    Parameters
    ----------
    column : str
        Name of a column of `analyze`, `summarize` or a statistic of `network_test`.

    Returns
    -------
    bool
        True for what measures or tests the order of the bins, except where a train of
        zeros and ones rejects by design (the Poisson null of the Fano factor, the unit
        root of the augmented Dickey-Fuller test).

    Examples
    --------
    >>> (
    ...     true_by_construction("mean_dispersion"),
    ...     true_by_construction("mean_firing_rate"),
    ... )
    (True, False)
    """
    return column in _OF_ORDER - _BY_DESIGN


def _columns_of(statistics: Iterable[Statistic]) -> set[str]:
    return {
        name
        for entry in statistics
        for name in (
            *(
                c.name
                for c in entry.columns
                if c.dtype == "float64" and not c.name.endswith("_expected")
            ),
            f"{entry.name}_rejected_share",
            f"mean_{entry.columns[0].name}",
        )
    }


_OF_ORDER = _columns_of(entry for entry in STATISTICS if entry.tests_order)
_OF_ORDER |= {"ljung_box_pearson_pvalue", "cv_fano_factor_percent", *NETWORK_STATISTICS}
_BY_DESIGN = {
    name
    for entry in STATISTICS
    if entry.rejects_by_design
    for name in (entry.pvalue, f"{entry.name}_rejected_share", "adf_statistic")
}
_SHUFFLE = "a number about the shuffle, not about the network, and it rejects by design"
