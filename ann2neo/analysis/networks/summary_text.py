"""A summary of networks as text: every number beside its reference value."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from ann2neo.analysis._entry import BY_CONSTRUCTION
from ann2neo.analysis.explain import true_by_construction
from ann2neo.analysis.table_of_statistics import NETWORK_COLUMNS, TESTS

__all__ = ["network_text"]

_ORDERS = {
    "random": "in random order",
    "stored": "in stored order",
    "unknown": "in unknown order",
}
_MEANINGS = {
    "random": (
        f"* {BY_CONSTRUCTION} (of stimuli longer than one bin, only what runs across"
        " them)"
    ),
    "stored": "* in stored order this describes the data set as the network sees it",
    "unknown": (
        "* this is about the order of the time bins; about a network only if its"
        " stimuli were not shuffled"
    ),
}

_MOST_BINS = 0.9
"""Share of the bins in windows below which the text says how many are left over."""

_OWN = {column.name for column in NETWORK_COLUMNS}

_RARE = 0.01
"""Spikes per bin below which a rate is written with five digits."""


def network_text(network: pd.DataFrame) -> str:
    """Write a table of networks as text.

    Parameters
    ----------
    network : pandas.DataFrame
        The table returned by `summarize`.

    Returns
    -------
    str
        One paragraph per row. Beside each number stands what follows from the rate
        alone; an asterisk marks what a random order of stimuli of one bin makes true by
        construction.
    """
    return "\n\n".join("\n".join(_lines(row)) for row in network.to_dict("records"))


def _lines(row: Mapping[Any, Any]) -> Iterator[str]:
    order = _ORDERS.get(row["order"], "in several orders")
    units = "1 unit" if row["n_units"] == 1 else f"{row['n_units']:,} units"
    windows = f"{_count(row['n_windows'])} windows of {_count(row['window'])} bins"
    if row["window_share"] < _MOST_BINS:
        windows += f" with {100 * row['window_share']:.0f} % of the bins"
    # The columns that tell rows apart stand before our own.
    names = [str(row[name]) for name in row if name not in _OWN]
    heading = ", ".join([*names, row["phase"] or "all phases"])
    bins = f"{_count(row['n_time_bins'])} time bins"
    yield f"{heading}: {units}, {bins} {order}, {windows}"
    spread = row["cv_firing_rate_percent"]
    varies = "no variation known" if math.isnan(spread) else f"varies by {spread:.0f} %"
    words = f" per bin; {varies} over units"
    rate = row["mean_firing_rate"]
    # Neurons in bins of 1 ms fire in few of them.
    yield _line("mean firing rate", rate, words, digits=5 if rate < _RARE else 3)
    yield _line("silent units", 100 * row["silent_share"], " %", digits=1)
    yield _line("saturated units", 100 * row["saturated_share"], " %", digits=1)
    rate_alone = row["mean_fano_factor_expected"]
    expected = f"; {rate_alone:.3f} follows from the rates alone"
    if math.isnan(rate_alone):
        expected = " no spike in a complete window"
    mark = _mark("mean_fano_factor")
    yield _line("mean Fano factor", row["mean_fano_factor"], expected, mark=mark)
    random = "; 1 if spikes fall at random"
    mark = _mark("mean_dispersion")
    yield _line("mean dispersion", row["mean_dispersion"], random, mark=mark)
    yield f"  units that reject, after Benjamini-Hochberg at {100 * row['alpha']:g} %:"
    # Tests that zeros and ones reject whatever their order come last.
    for test in sorted(TESTS, key=lambda entry: bool(entry.rejects_by_design)):
        null = f"  {test.null_in_short or test.null}"
        n_tested = row[f"{test.name}_n_tested"]
        if not n_tested:
            yield _line(null, float("nan"), " no unit could be tested")
            continue
        words = f" % of {n_tested:,} tested"
        if test.name == "ljung_box":
            words += f"; Pearson-combined p = {row['ljung_box_pearson_pvalue']:.2g}"
        if test.rejects_by_design:
            words += f"; {test.rejects_by_design}"
        share = f"{test.name}_rejected_share"
        yield _line(null, 100 * row[share], words, digits=1, mark=_mark(share))
    yield f"  {_MEANINGS.get(row['order'], _MEANINGS['unknown'])}"


def _line(
    name: str, value: float, words: str, *, digits: int = 3, mark: str = " "
) -> str:
    number = f"{'-':>10}" if math.isnan(value) else f"{value:10.{digits}f}"
    return f"{mark} {name:<34}{number}{words}"


def _mark(name: str) -> str:
    return "*" if true_by_construction(name) else " "


def _count(value: int) -> str:
    return f"{value:,}" if value >= 0 else "several"
