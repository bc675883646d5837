"""What a number of ours means, in one sentence."""

from __future__ import annotations

import pandas as pd

from ann2neo._checks import one_of
from ann2neo.analysis._entry import BY_CONSTRUCTION
from ann2neo.analysis.tables import RECORDING_COLUMNS, TABLES, column_named, table_of
from ann2neo.recording.tables import ORDERS

__all__ = ["column_descriptions", "explain", "true_by_construction"]


def explain(column: str, order: str | None = None, *, table: str | None = None) -> str:
    """Say what a column of a table of results means.

    Parameters
    ----------
    column : str
        Name of a column of a table, of a statistic of `network_test`, of a field of
        `correlations` or of an entry of `single_stimulus_overlap`.
    order : {"random", "stored", "unknown"}, optional
        Order of the stimuli: what a test of order means depends on it. The text says so
        for a random order if not given.
    table : str, optional
        Function that returns the table, such as "compare", for a name that means
        different things in different tables. If not given, the statistics of
        `network_test`, `analyze` and `summarize` come first.

    Returns
    -------
    str
        One sentence on the number, and where the order decides its meaning, one on
        that.

    Raises
    ------
    InputValueError
        If the column, the order or the table is unknown; the valid ones are listed.

    Examples
    --------
    >>> explain("firing_rate")
    'Spikes per time bin: the share of presentations (or bins) in which the unit is
    active.'
    >>> explain("ljung_box_pvalue", order="random")
    'p-value of independent bins (no serial dependence up to the last lag). Stimuli
    were shown in random order, so this is true by construction: a rejection points to
    a fault in the pipeline.'
    >>> explain("statistic", table="compare")
    'Statistic of the test.'
    """
    entry = column_named(column, table)
    if order is not None:
        one_of(order, ORDERS, "order")
    meaning = entry.in_random_order
    if not meaning:
        return entry.description
    meanings = {
        "random": f"Stimuli were shown in random order, so this is {meaning}.",
        "stored": (
            "Stimuli were shown in the data set's order, so this describes the data set"
            " as the network sees it."
        ),
        "unknown": (
            "The order of the stimuli is not known; where it was random, this is"
            f" {meaning}."
        ),
        None: f"Where stimuli were shown in random order, this is {meaning}.",
    }
    return f"{entry.description} {meanings[order]}"


def column_descriptions(*tables: pd.DataFrame) -> dict[str, str]:
    """Say what each column of tables of results means, for the files they go to.

    Parameters
    ----------
    *tables : pandas.DataFrame
        Tables that functions of ours return, such as `analyze` or `summarize`.

    Returns
    -------
    dict of str to str
        One sentence per column, with its unit; columns that somebody else gave a
        recording are named as such. Where two tables share a name, the later one
        counts.

    Examples
    --------
    >>> column_descriptions(
    ...     pd.DataFrame({"firing_rate_hz": [2.0], "brain_area": ["V1"]})
    ... )
    {'firing_rate_hz': 'Firing rate in spikes per second, firing_rate divided by the
     bin length. Unit: Hz.',
     'brain_area': 'brain_area of the unit, as the recording has it.'}
    """
    descriptions = {}
    for table in tables:
        names = [str(name) for name in table]
        columns = {column.name: column for column in TABLES[table_of(names)]}
        for name in names:
            column = columns.get(name)
            foreign = column in RECORDING_COLUMNS and table[name].dtype != column.dtype
            if column is None or foreign:
                text = f"{name} of the unit, as the recording has it."
            else:
                text = column.description
                if column.unit not in {"", "1"}:
                    text += f" Unit: {column.unit}."
            descriptions[name] = text
    return descriptions


def true_by_construction(column: str) -> bool:
    """Say whether the null of a column holds by construction when stimuli are shown in
    random order.

    Parameters
    ----------
    column : str
        Name of a column, as in `explain`.

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
    return column_named(column).in_random_order == BY_CONSTRUCTION
