"""The columns of every table of results, by the function that returns it."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Iterator, Mapping

from ann2neo._checks import one_of
from ann2neo.analysis import change_points
from ann2neo.analysis._entry import Column, columns_of, count_column, text_column
from ann2neo.analysis.models import fit_processes, simulate
from ann2neo.analysis.networks import compare, network_test
from ann2neo.analysis.networks.unit_means import (
    DEAD_UNITS,
    MEAN_FANO_FACTOR,
    MEAN_FIRING_RATE,
    UNBIASED_FANO_FACTOR,
)
from ann2neo.analysis.patterns import (
    compare_patterns,
    dead_units,
    nearest_patterns,
    out_of_distribution,
    patterns,
)
from ann2neo.analysis.populations import (
    correlations,
    decode_labels,
    selectivity,
    similarity,
    summarize_populations,
)
from ann2neo.analysis.surrogates import surrogate_test
from ann2neo.analysis.table_of_statistics import (
    NETWORK_COLUMNS,
    NETWORK_TESTS,
    unit_columns,
)
from ann2neo.analysis.trials import analyze_trials, variability_over_repeats
from ann2neo.errors import InputValueError
from ann2neo.recording.tables import UNIT_DESCRIPTIONS, UNIT_TYPES

__all__ = [
    "MONITORED_COLUMNS",
    "MONITORED_TRIAL_COLUMNS",
    "OPTIONAL_COLUMNS",
    "RECORDING_COLUMNS",
    "TABLES",
    "column_among",
    "column_named",
    "table_of",
]

RECORDING_COLUMNS: tuple[Column, ...] = tuple(
    Column(name, UNIT_DESCRIPTIONS[name], "" if dtype == "str" else "1", dtype)
    for name, dtype in UNIT_TYPES.items()
)
"""What the recording of a network knows about its units, beside their statistics."""

MONITORED_COLUMNS: tuple[Column, ...] = (
    *MEAN_FIRING_RATE.columns,
    MEAN_FANO_FACTOR.column("mean_fano_factor"),
    *UNBIASED_FANO_FACTOR.columns,
    DEAD_UNITS.column("silent_share"),
    Column(
        "pattern_flips",
        "Share of bits of the probe set that differ from those at the end of the epoch"
        " before; NaN in the first epoch.",
    ),
    compare_patterns.FLIPS.column("pattern_flips_floor"),
)
"""What `SpikeMonitor` puts into the logs, as ``spike_<column>``."""

MONITORED_TRIAL_COLUMNS: tuple[Column, ...] = (
    Column(
        "mean_serial_correlation",
        "Mean over units of the correlation of neighbouring steps of a trial, beyond"
        " the mean over trials at each step.",
    ),
)
"""What `SpikeMonitor` adds where the steps of sequences are time."""


def _without_repeats(*tables: tuple[Column, ...]) -> tuple[Column, ...]:
    """Return the columns of several tables, each column once."""
    return tuple(dict.fromkeys(column for table in tables for column in table))


TABLES: Mapping[str, tuple[Column, ...]] = {
    "analyze": (*unit_columns(), *RECORDING_COLUMNS),
    "summarize": NETWORK_COLUMNS,
    "network_test": (*columns_of(NETWORK_TESTS), *network_test.COLUMNS),
    "summarize_populations": summarize_populations.COLUMNS,
    "correlations": correlations.CORRELATION_COLUMNS,
    "complexity": correlations.COMPLEXITY_COLUMNS,
    "selectivity": selectivity.COLUMNS,
    "single_stimulus_overlap": selectivity.OVERLAP_COLUMNS,
    "analyze_trials": (*analyze_trials.COLUMNS, *RECORDING_COLUMNS),
    "similarity": similarity.COLUMNS,
    "decode_labels": decode_labels.COLUMNS,
    "variability_over_repeats": variability_over_repeats.COLUMNS,
    "surrogate_test": surrogate_test.COLUMNS,
    "fit_processes": fit_processes.COLUMNS,
    "counting_processes": simulate.COUNTING_COLUMNS,
    "change_points": _without_repeats(
        change_points.POINT_COLUMNS, change_points.UNIT_COLUMNS
    ),
    "compare": compare.COLUMNS,
    "SpikeMonitor": (
        count_column("epoch", "Epoch of the training, counted from 0."),
        count_column("batch", "Batch in the epoch; -1 at the end of the epoch."),
        text_column("split", "Stimuli that were shown: train or val."),
        text_column("layer", "Name of the layer of the artificial neural network."),
        *MONITORED_COLUMNS,
        *MONITORED_TRIAL_COLUMNS,
    ),
    "patterns": patterns.COLUMNS,
    "dead_units": dead_units.COLUMNS,
    "compare_patterns": _without_repeats(
        compare_patterns.COLUMNS,
        compare_patterns.UNIT_COLUMNS,
        compare_patterns.SAMPLE_COLUMNS,
    ),
    "nearest_patterns": nearest_patterns.CLASSIFIED_COLUMNS,
    "out_of_distribution_scores": out_of_distribution.SCORE_COLUMNS,
    "out_of_distribution_auroc": out_of_distribution.AUROC_COLUMNS,
}
"""Columns of each table. `network_test` also lists the statistics that its rows name;
`correlations` lists fields, and `single_stimulus_overlap` entries.
"""


def _logged() -> Iterator[Column]:
    """Yield what the logs of a training hold, of one and of several layers."""
    for start, stimuli in (("spike_", "`x`"), ("val_spike_", "`x_val`")):
        for column in (*MONITORED_COLUMNS, *MONITORED_TRIAL_COLUMNS):
            name, text = f"{start}{column.name}", column.description
            text = f"{text} Measured by SpikeMonitor with {stimuli}"
            yield dataclasses.replace(column, name=name, description=f"{text}.")
            yield dataclasses.replace(
                column,
                name=f"{name}_<layer>",
                description=f"{text}, in the layer <layer>.",
            )


OPTIONAL_COLUMNS: Mapping[str, tuple[Column, ...]] = {
    "analyze": tuple(
        Column(
            f"unit_{column.name}",
            f"{column.name} of the unit, as the recording has it; the table has a"
            f" column {column.name} of its own.",
            "",
            "",
        )
        for column in unit_columns()
    ),
    "summarize": RECORDING_COLUMNS,
    "selectivity": (selectivity.RATE_COLUMN,),
    "compare": RECORDING_COLUMNS,
    "SpikeMonitor": tuple(_logged()),
}
"""Columns that a table has where they were asked for, or with some recordings, and what
`SpikeMonitor` puts into the logs. Some names have a part that varies.
"""


def column_named(name: str, table: str | None = None) -> Column:
    """Return the column of that name in a table of results.

    Parameters
    ----------
    name : str
        Name of the column.
    table : str, optional
        Function that returns the table; if not given, the first of `TABLES` that has
        such a column, or else of `OPTIONAL_COLUMNS`.

    Returns
    -------
    Column
        Its description, unit and type.

    Raises
    ------
    InputValueError
        If the table or the column is unknown; the valid ones are listed.

    Examples
    --------
    >>> column_named("firing_rate_hz").unit
    'Hz'
    """
    if table is not None:
        one_of(table, TABLES, "table")
        columns = (*TABLES[table], *OPTIONAL_COLUMNS.get(table, ()))
    else:
        # The statistics that rows of network_test are named after take precedence.
        parts = [
            columns_of(NETWORK_TESTS),
            *TABLES.values(),
            *OPTIONAL_COLUMNS.values(),
        ]
        columns = tuple(column for part in parts for column in part)
    column = column_among(columns, name)
    if column is None:
        names = sorted({column.name for column in columns})
        raise InputValueError(
            f"unknown column {name!r}; the valid ones are {', '.join(names)}"
        )
    return column


def column_among(columns: Iterable[Column], name: str) -> Column | None:
    """Return the column that a table calls by that name, or None.

    Names that are fixed come before those with a part that varies, and of these the
    longest.
    """
    matching = [column for column in columns if column.named(name) is not None]
    if not matching:
        return None
    best = max(matching, key=lambda column: (column.name == name, len(column.name)))
    return best.named(name)


def table_of(names: Collection[str]) -> str:
    """Return the function whose table shares the most columns with those given.

    Examples
    --------
    >>> table_of(["unit", "phase", "mean_rate", "preferred_label"])
    'selectivity'
    """
    return max(TABLES, key=lambda table: sum(c.name in names for c in TABLES[table]))
