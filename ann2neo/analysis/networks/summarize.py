"""From units to networks: the paper's numbers, and what they are where only the rate
speaks.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ann2neo.analysis.statistic import Column, Statistic
from ann2neo.analysis.statistics import CONDITIONS, STATISTICS
from ann2neo.errors import InputTypeError, InputValueError

__all__ = ["NETWORK_COLUMNS", "TESTS", "false_discovery_rejections", "summarize"]

FloatArray = npt.NDArray[np.float64]

TESTS: tuple[Statistic, ...] = tuple(entry for entry in STATISTICS if entry.pvalue)
"""The statistics that test something."""

_SHARED = ("order", "n_time_bins", "window", "n_windows", "lags", "engine")
# Pearson's method takes the logarithm of 1 - p, and a permutation p-value may be 1:
# half a draw short of it serves.
_LARGEST_PVALUE = 1 - 0.5 / 10_000

_TEST_COLUMNS = tuple(
    column
    for test in TESTS
    for column in (
        Column(
            f"{test.name}_rejected_share",
            f"Share of the tested units that reject the null of {test.pvalue}"
            f" ({test.null}) after Benjamini-Hochberg.",
        ),
        Column(f"{test.name}_n_tested", f"Units with a {test.pvalue}.", "1", "int64"),
    )
)

NETWORK_COLUMNS: tuple[Column, ...] = (
    Column(
        "phase",
        "Stretch of the recording (for example train or test) the row is about.",
        "",
        "str",
    ),
    Column("n_units", "Units in the row.", "1", "int64"),
    *(column for column in CONDITIONS if column.name in _SHARED),
    Column(
        "mean_firing_rate",
        "Mean over units of the spikes per time bin, silent ones included: how much of"
        " the layer a stimulus activates.",
    ),
    Column(
        "cv_firing_rate_percent",
        "Standard deviation of the units' firing rates over their mean.",
        "%",
    ),
    Column("silent_share", "Share of units without a spike in the phase."),
    Column("saturated_share", "Share of units with a spike in every bin of the phase."),
    Column(
        "mean_fano_factor",
        "Mean Fano factor of the units that spike (population variance, as in the"
        " paper).",
    ),
    Column(
        "mean_fano_factor_expected",
        "The mean Fano factor that the same units' rates alone give in random order;"
        " near 1 - mean_firing_rate.",
    ),
    Column(
        "cv_fano_factor_percent",
        "Standard deviation of the units' Fano factors over their mean.",
        "%",
    ),
    Column(
        "mean_dispersion",
        "Mean dispersion of the units: 1 if window counts vary as the rates alone make"
        " them; above 1 for bursts, drift or stimuli in blocks.",
    ),
    Column(
        "ljung_box_pearson_pvalue",
        "Pearson-combined Ljung-Box p-value, the paper's column; nearly blind to a few"
        " bad units, and it assumes that units are independent, which units of one"
        " layer are not: see network_test.",
    ),
    Column(
        "alpha",
        "Share of false rejections among the rejections that Benjamini-Hochberg lets"
        " through.",
    ),
    *_TEST_COLUMNS,
)
"""Columns of a table of networks."""


def summarize(
    units: pd.DataFrame, by: Sequence[str] = ("phase",), alpha: float = 0.05
) -> pd.DataFrame:
    """Summarise a table of units, one row per network and phase.

    Parameters
    ----------
    units : pandas.DataFrame
        What `analyze` returned, or several of those tables in one, with columns that
        tell them apart.
    by : sequence of str, default ("phase",)
        Columns that say which rows belong together, for example ``("layer", "phase")``.
    alpha : float, default 0.05
        Share of false rejections among the rejections that Benjamini-Hochberg lets
        through.

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
    if not 0 < alpha < 1:
        raise InputValueError(
            f"alpha must lie between 0 and 1, got {alpha}; the usual choice is 0.05"
        )
    needed = ["unit", *by, "firing_rate"]
    missing = [name for name in needed if name not in units]
    if missing:
        msg = (
            f"the table of units lacks the column {missing[0]!r}; summarize needs"
            f" {', '.join(needed)}"
        )
        raise InputValueError(
            msg + " (make it with analyze, statistics including 'firing_rate')"
        )
    rows = []
    for key, group in units.groupby(list(by), sort=False, observed=True):
        rows.append({**dict(zip(by, key, strict=True)), **_network_row(group, alpha)})
    names = [*by, *(column.name for column in NETWORK_COLUMNS if column.name not in by)]
    table = pd.DataFrame(rows, columns=names)
    types = {
        column.name: column.dtype for column in NETWORK_COLUMNS if column.name not in by
    }
    return table.astype(types)


def _network_row(units: pd.DataFrame, alpha: float) -> dict[str, Any]:
    rate = units["firing_rate"].to_numpy(np.float64)
    fano, expected = (
        _numbers(units, "fano_factor"),
        _numbers(units, "fano_factor_expected"),
    )
    row: dict[str, Any] = {
        "phase": _shared(units, "phase", ""),
        "n_units": len(units),
        **{
            name: _shared(units, name, "" if name in {"order", "engine"} else -1)
            for name in _SHARED
        },
        "mean_firing_rate": _mean(rate),
        "cv_firing_rate_percent": _variation_percent(rate),
        "silent_share": _mean(_where_known(rate, rate == 0)),
        "saturated_share": _mean(_where_known(rate, rate == 1)),
        "mean_fano_factor": _mean(fano),
        "mean_fano_factor_expected": _mean(expected),
        "cv_fano_factor_percent": _variation_percent(fano),
        "mean_dispersion": _mean(_numbers(units, "dispersion")),
        "alpha": alpha,
        "ljung_box_pearson_pvalue": _pearson_combined(
            _numbers(units, "ljung_box_pvalue")
        ),
    }
    for test in TESTS:
        pvalues = _numbers(units, test.pvalue)
        rejected = false_discovery_rejections(pvalues, alpha)
        row[f"{test.name}_rejected_share"] = _mean(_where_known(pvalues, rejected))
        row[f"{test.name}_n_tested"] = int(np.isfinite(pvalues).sum())
    return row


def false_discovery_rejections(
    pvalues: FloatArray, alpha: float
) -> npt.NDArray[np.bool_]:
    """Which units reject after Benjamini and Hochberg (1995, J R Stat Soc B 57:289).

    Parameters
    ----------
    pvalues : ndarray of float, shape (n_units,)
        p-values; NaN where a unit was not tested.
    alpha : float
        Expected share of false rejections among the rejections.

    Returns
    -------
    ndarray of bool, shape (n_units,)
        True where a tested unit rejects.
    """
    from scipy.stats import false_discovery_control

    tested = np.isfinite(pvalues)
    rejected = np.zeros(len(pvalues), np.bool_)
    if tested.any():
        rejected[tested] = false_discovery_control(pvalues[tested]) <= alpha
    return rejected


def _numbers(units: pd.DataFrame, name: str) -> FloatArray:
    if name not in units:
        return np.full(len(units), np.nan)
    values: FloatArray = units[name].to_numpy(np.float64)
    return values


def _where_known(known: FloatArray, values: npt.NDArray[Any]) -> FloatArray:
    return np.where(np.isfinite(known), values.astype(np.float64), np.nan)


def _mean(values: FloatArray) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")


def _variation_percent(values: FloatArray) -> float:
    known = values[np.isfinite(values)]
    return (
        float(100 * known.std() / known.mean())
        if len(known) and known.mean()
        else float("nan")
    )


def _pearson_combined(pvalues: FloatArray) -> float:
    from scipy.stats import combine_pvalues

    known = pvalues[np.isfinite(pvalues)]
    if not len(known):
        return float("nan")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float(
            combine_pvalues(np.minimum(known, _LARGEST_PVALUE), method="pearson").pvalue
        )


def _shared(units: pd.DataFrame, name: str, missing: Any) -> Any:
    """The value that all units share, else what stands for none."""
    values = units[name].to_numpy() if name in units else np.zeros(0)
    return values[0] if len(values) and (values == values[0]).all() else missing
