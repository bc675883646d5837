"""The table of statistics: every number of a unit and of a network, listed once.

Each entry is defined beside the functions that compute it. Engines, tests, summaries,
files, documentation and reports read these lists; `columns` has those of every
table of results.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from ann2neo._checks import names_of, one_of
from ann2neo.analysis._entry import (
    Column,
    FloatArray,
    NetworkStatistic,
    UnitStatistic,
    UnitValues,
    columns_of,
    count_column,
    text_column,
)
from ann2neo.analysis.networks import unit_means
from ann2neo.analysis.networks.network_test import NETWORK_TESTS
from ann2neo.analysis.units.adf import ADF
from ann2neo.analysis.units.counts import Counts
from ann2neo.analysis.units.dispersion import DISPERSION, FANO
from ann2neo.analysis.units.firing_rate import FIRING_RATE
from ann2neo.analysis.units.interval_variation import CV2, CV_ISI, LV
from ann2neo.analysis.units.kpss import KPSS
from ann2neo.analysis.units.ljung_box import LJUNG_BOX
from ann2neo.analysis.units.trend import TREND
from ann2neo.errors import InputValueError

__all__ = [
    "CONDITIONS",
    "NETWORK_COLUMNS",
    "NETWORK_CONDITIONS",
    "NETWORK_STATISTICS",
    "NETWORK_TESTS",
    "STATISTICS",
    "TESTS",
    "chosen_statistics",
    "column_values",
    "statistic_of",
    "unit_columns",
    "unit_values",
]

STATISTICS: tuple[UnitStatistic, ...] = (
    FIRING_RATE,
    FANO,
    DISPERSION,
    CV_ISI,
    CV2,
    LV,
    LJUNG_BOX,
    ADF,
    TREND,
    KPSS,
)
"""Every statistic of a unit, in the order of the columns."""

TESTS: tuple[UnitStatistic, ...] = tuple(entry for entry in STATISTICS if entry.pvalue)
"""The statistics of a unit that have a p-value."""

CONDITIONS: tuple[Column, ...] = (
    count_column("unit", "Index of the unit in the recording."),
    text_column(
        "phase",
        "Stretch of the recording (for example train or test) the row is about.",
    ),
    text_column(
        "order",
        "Order of the stimuli: random (then tests of order are true by construction"
        " where every stimulus is one bin), stored (they describe the data set as the"
        " network sees it) or unknown.",
    ),
    count_column("n_time_bins", "Time bins of the phase, N."),
    count_column("n_spikes", "Spikes of the unit in the phase, K."),
    count_column("window", "Length of a counting window, in time bins."),
    count_column("n_windows", "Complete windows in the phase, n."),
    Column(
        "window_share",
        "Share of the bins that lie in complete windows, N'/N; windows are cut inside"
        " segments, whose last bins may be left over.",
    ),
    count_column("lags", "Lags of the Ljung-Box test."),
    text_column(
        "engine", "fast (from the bits) or reference (Elephant, SciPy, statsmodels)."
    ),
    text_column(
        "status",
        "active; silent (no spike); saturated (a spike in every bin); too_short (fewer"
        " than 4 time bins).",
    ),
)
"""Columns that say what a row of a unit is about."""

NETWORK_STATISTICS: tuple[NetworkStatistic, ...] = (
    unit_means.MEAN_FIRING_RATE,
    unit_means.DEAD_UNITS,
    unit_means.MEAN_FANO_FACTOR,
    unit_means.MEAN_DISPERSION,
    unit_means.PEARSON_LJUNG_BOX,
    unit_means.FALSE_DISCOVERY_RATE,
    *map(unit_means.rejections, TESTS),
)
"""Every statistic of a network, in the order of the columns."""

_SHARED = {
    "order",
    "n_time_bins",
    "window",
    "n_windows",
    "window_share",
    "lags",
    "engine",
}

NETWORK_CONDITIONS: tuple[Column, ...] = (
    *(column for column in CONDITIONS if column.name == "phase"),
    count_column("n_units", "Units in the row."),
    *(column for column in CONDITIONS if column.name in _SHARED),
)
"""Columns that say what a row of a network is about."""

NETWORK_COLUMNS = (*NETWORK_CONDITIONS, *columns_of(NETWORK_STATISTICS))
"""Columns of a table of networks."""


def unit_columns(
    statistics: Iterable[UnitStatistic] = STATISTICS,
) -> tuple[Column, ...]:
    """Return the columns of a table of units.

    Parameters
    ----------
    statistics : iterable of UnitStatistic, optional
        Statistics in the table; all if not given.

    Returns
    -------
    tuple of Column
        Conditions, then the columns of each statistic, then its reason.
    """
    return (
        *CONDITIONS,
        *(
            column
            for entry in statistics
            for column in (*entry.columns, entry.reason_column)
        ),
    )


def chosen_statistics(
    names: str | Sequence[str] | None,
) -> tuple[UnitStatistic, ...]:
    """Return statistics of units by their names.

    Parameters
    ----------
    names : str or sequence of str, optional
        Names of statistics; all if not given.

    Returns
    -------
    tuple of UnitStatistic
        In the order of the table.

    Raises
    ------
    InputTypeError
        If `names` is neither a name nor a list of names.
    InputValueError
        If a name is unknown; the valid ones are listed.
    """
    if names is None:
        return STATISTICS
    names = names_of(names, "statistics")
    valid = [entry.name for entry in STATISTICS]
    for name in names:
        one_of(name, valid, "a name in statistics")
    return tuple(entry for entry in STATISTICS if entry.name in names)


def statistic_of(column: str) -> UnitStatistic:
    """Return the statistic of units that has a column of numbers.

    Parameters
    ----------
    column : str
        Name of a column.

    Returns
    -------
    UnitStatistic
        Its entry in the table.

    Raises
    ------
    InputValueError
        If there is no such column; the valid ones are listed.

    Examples
    --------
    >>> statistic_of("adf_pvalue").null
    'a unit root'
    """
    numbers = {
        c.name: entry for entry in STATISTICS for c in entry.columns if c.dtype != "str"
    }
    if column not in numbers:
        raise InputValueError(
            f"unknown column {column!r}; the valid ones are {', '.join(numbers)}"
        )
    return numbers[column]


def column_values(counts: Counts, column: str) -> FloatArray:
    """Compute one column of a block of units with the fast engine.

    Parameters
    ----------
    counts : Counts
        The block of units.
    column : str
        Name of a column of numbers.

    Returns
    -------
    ndarray of float, shape (n_units,)
        NaN where the statistic is not valid.

    Raises
    ------
    InputValueError
        If there is no such column.

    Examples
    --------
    >>> from ann2neo.raster import SpikeRaster
    >>> raster = SpikeRaster.from_dense([[True, False, True, True], [False] * 4])
    >>> column_values(Counts(raster, window=2, lags=1), "fano_factor")
    array([0.16666667, nan])
    """
    return unit_values(counts, [statistic_of(column)])[column]


def unit_values(counts: Counts, statistics: Iterable[UnitStatistic]) -> UnitValues:
    """Compute the numbers of a block of units with the fast engine.

    Parameters
    ----------
    counts : Counts
        The block of units.
    statistics : iterable of UnitStatistic
        What to compute.

    Returns
    -------
    dict of str to ndarray of float, shape (n_units,)
        Each column of numbers, NaN where the statistic is not valid.
    """
    values = {}
    for entry in statistics:
        valid = entry.reason(counts) == ""
        with np.errstate(all="ignore"):
            columns = entry.fast(counts)
        for column in entry.columns:
            if column.dtype != "str":
                values[column.name] = np.where(valid, columns[column.name], np.nan)
    return values
