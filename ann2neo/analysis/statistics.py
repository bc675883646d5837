"""The table of statistics: the one list that battery, surrogate tests, files, docs and
reports read.
"""

from __future__ import annotations

import operator
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ann2neo.analysis.statistic import Column, Statistic
from ann2neo.analysis.units.adf import ADF
from ann2neo.analysis.units.counts import Counts
from ann2neo.analysis.units.dispersion import DISPERSION, FANO
from ann2neo.analysis.units.firing_rate import FIRING_RATE
from ann2neo.analysis.units.interval_variation import CV2, CV_ISI, LV
from ann2neo.analysis.units.ljung_box import LJUNG_BOX
from ann2neo.analysis.units.trend import TREND
from ann2neo.errors import InputTypeError, InputValueError

__all__ = [
    "CONDITIONS",
    "STATISTICS",
    "FewWindowsWarning",
    "checked_lags",
    "chosen_statistics",
    "column_values",
    "statistic_of",
    "unit_columns",
    "window_for",
]

STATISTICS: tuple[Statistic, ...] = (
    FIRING_RATE,
    FANO,
    DISPERSION,
    CV_ISI,
    CV2,
    LV,
    LJUNG_BOX,
    ADF,
    TREND,
)
"""Every statistic of a unit, in the order of the columns."""

CONDITIONS: tuple[Column, ...] = (
    Column("unit", "Index of the unit in the recording.", "1", "int64"),
    Column(
        "phase",
        "Stretch of the recording (for example train or test) the row is about.",
        "",
        "str",
    ),
    Column(
        "order",
        "Order of the stimuli: random (then tests of order are true by construction),"
        " stored (they describe the data set as the network sees it) or unknown.",
        "",
        "str",
    ),
    Column("n_time_bins", "Time bins of the phase, N.", "1", "int64"),
    Column("n_spikes", "Spikes of the unit in the phase, K.", "1", "int64"),
    Column("window", "Length of a counting window, in time bins.", "1", "int64"),
    Column("n_windows", "Complete windows in the phase, n.", "1", "int64"),
    Column("lags", "Lags of the Ljung-Box test.", "1", "int64"),
    Column(
        "engine",
        "fast (from the bits) or reference (Elephant, SciPy, statsmodels).",
        "",
        "str",
    ),
    Column(
        "status",
        "active; silent (no spike); saturated (a spike in every bin); too_short (fewer"
        " than 4 time bins).",
        "",
        "str",
    ),
)
"""Columns that say what a row is about."""

_FEWEST_WINDOWS = 10


class FewWindowsWarning(UserWarning):
    """A window was asked for that leaves fewer than ten windows."""


def unit_columns(statistics: Iterable[Statistic] = STATISTICS) -> tuple[Column, ...]:
    """Columns of a table of units, with their descriptions.

    Parameters
    ----------
    statistics : iterable of Statistic, optional
        Statistics in the table; all if not given.

    Returns
    -------
    tuple of Column
        Conditions, then the columns of each statistic, then its reason.
    """
    of_statistics = [
        column
        for entry in statistics
        for column in (*entry.columns, entry.reason_column)
    ]
    return (*CONDITIONS, *of_statistics)


def chosen_statistics(names: Sequence[str] | None) -> tuple[Statistic, ...]:
    """Look statistics up by name.

    Parameters
    ----------
    names : sequence of str, optional
        Names of statistics; all if not given.

    Returns
    -------
    tuple of Statistic
        In the order of the table.

    Raises
    ------
    InputTypeError
        If `names` is one string.
    InputValueError
        If a name is unknown; the valid ones are listed.
    """
    if names is None:
        return STATISTICS
    if isinstance(names, str):
        raise InputTypeError(
            f"statistics must be a list of names, got {names!r}; pass [{names!r}]"
        )
    known = {entry.name for entry in STATISTICS}
    for name in names:
        if name not in known:
            valid = ", ".join(entry.name for entry in STATISTICS)
            raise InputValueError(
                f"unknown statistic {name!r}; the valid ones are {valid}"
            )
    return tuple(entry for entry in STATISTICS if entry.name in set(names))


def statistic_of(column: str) -> Statistic:
    """The statistic that a column of numbers belongs to.

    Parameters
    ----------
    column : str
        Name of a column, or of a statistic whose first column has that name.

    Returns
    -------
    Statistic
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


def column_values(counts: Counts, column: str) -> npt.NDArray[np.float64]:
    """One column of a block of units, from the fast engine.

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
    entry = statistic_of(column)
    valid = entry.reason(counts) == ""
    with np.errstate(all="ignore"):
        values = np.asarray(entry.fast(counts)[column], np.float64)
    return np.where(valid, values, np.nan)


def window_for(window: int | None, n_time_bins: int) -> int:
    """Length of the counting windows of a phase.

    Parameters
    ----------
    window : int, optional
        Length asked for; ``min(100, max(2, N // 10))`` if not given.
    n_time_bins : int
        Bins of the phase, N.

    Returns
    -------
    int
        The window asked for, honoured whatever it leaves.

    Raises
    ------
    InputTypeError, InputValueError
        If `window` is not a positive whole number.

    Warns
    -----
    FewWindowsWarning
        If the window asked for leaves fewer than ten windows.
    """
    if window is None:
        return min(100, max(2, n_time_bins // 10))
    length = _positive(window, "window", "bins")
    n_windows = n_time_bins // length
    if n_windows < _FEWEST_WINDOWS:
        warnings.warn(
            f"a window of {length} bins leaves {n_windows} windows in {n_time_bins}"
            f" bins; Fano factor and dispersion say little below {_FEWEST_WINDOWS}"
            " windows: shorten the window, or leave it out",
            FewWindowsWarning,
            stacklevel=3,
        )
    return length


def checked_lags(lags: Any) -> int:
    """Number of lags as a positive int, or an error that says why not."""
    return _positive(lags, "lags", "lags")


def _positive(value: Any, name: str, noun: str) -> int:
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        msg = (
            f"{name} must be a whole number of {noun}, got {value!r}"
            f" ({type(value).__name__})"
        )
        raise InputTypeError(msg) from None
    if number < 1:
        raise InputValueError(f"{name} must be at least 1, got {number}")
    return number
