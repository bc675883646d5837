"""The meaning of every column of our tables, in one sentence."""

from __future__ import annotations

import pandas as pd

from ann2neo._checks import one_of
from ann2neo.analysis._entry import ACROSS_STIMULI, BY_CONSTRUCTION
from ann2neo.analysis.columns import (
    OPTIONAL_COLUMNS,
    RECORDING_COLUMNS,
    TABLES,
    column_among,
    column_named,
    table_of,
)
from ann2neo.recording.tables import ORDERS

__all__ = ["column_descriptions", "explain", "true_by_construction"]


def explain(column: str, order: str | None = None, *, table: str | None = None) -> str:
    """Explain what a column of a table of results means.

    Parameters
    ----------
    column : str
        Name of a column of a table, of a statistic of `network_test`, of a field of
        `correlations` or of an entry of `single_stimulus_overlap`.
    order : {"random", "stored", "unknown"}, optional
        Order of the stimuli, on which the meaning of a test of order depends. If not
        given, the text says what a random order would mean.
    table : str, optional
        Function that returns the table, such as "compare", for a name that means
        different things in different tables. If not given, the statistics of
        `network_test`, `analyze` and `summarize` take precedence.

    Returns
    -------
    str
        One sentence about the number, and one about the order of the stimuli if its
        meaning depends on that.

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
    'p-value of independent bins of one rate (no serial dependence up to the last lag).
    Over several segments ... Stimuli were shown in random order, so this is true by
    construction: a rejection points to a fault in the pipeline. Where stimuli last
    longer than one bin, the shuffle settles what runs across them, not what runs
    inside.'
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
        "random": (
            f"Stimuli were shown in random order, so this is {meaning}."
            f" {ACROSS_STIMULI}"
        ),
        "stored": (
            "Stimuli were shown in the data set's order, so this describes the data set"
            " as the network sees it."
        ),
        "unknown": (
            "The order of the stimuli is not known; where it was random, this is"
            f" {meaning}. {ACROSS_STIMULI}"
        ),
        None: (
            f"Where stimuli were shown in random order, this is {meaning}."
            f" {ACROSS_STIMULI}"
        ),
    }
    return f"{entry.description} {meanings[order]}"


def column_descriptions(*tables: pd.DataFrame) -> dict[str, str]:
    """Describe each column of tables of results, for the files that hold them.

    Parameters
    ----------
    *tables : pandas.DataFrame
        Tables returned by functions of this package, such as `analyze` or `summarize`.

    Returns
    -------
    dict of str to str
        One sentence per column, with its unit. A column that a user added to the
        recording is described as such. If two tables share a name, the later one
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
        function = table_of(names)
        columns = (*TABLES[function], *OPTIONAL_COLUMNS.get(function, ()))
        for name in names:
            column = column_among(columns, name)
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
    """Tell whether a random order of stimuli of one bin makes a null hypothesis true.

    Parameters
    ----------
    column : str
        Name of a column, as in `explain`.

    Returns
    -------
    bool
        True for columns that measure or test the order of the bins, except where a
        train of zeros and ones rejects by design: Poisson counts (Fano factor) and the
        unit root (augmented Dickey-Fuller test).

    Examples
    --------
    >>> (
    ...     true_by_construction("mean_dispersion"),
    ...     true_by_construction("mean_firing_rate"),
    ... )
    (True, False)
    """
    return column_named(column).in_random_order == BY_CONSTRUCTION
