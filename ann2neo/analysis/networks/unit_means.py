"""Statistics of a network, computed from those of its units."""

from __future__ import annotations

import warnings

import numpy as np

from ann2neo.analysis._entry import (
    BY_CONSTRUCTION,
    BoolArray,
    Column,
    FloatArray,
    NetworkStatistic,
    UnitStatistic,
    UnitValues,
    count_column,
)
from ann2neo.analysis.p_values import benjamini_hochberg

__all__ = [
    "DEAD_UNITS",
    "FALSE_DISCOVERY_RATE",
    "MEAN_DISPERSION",
    "MEAN_FANO_FACTOR",
    "MEAN_FIRING_RATE",
    "PEARSON_LJUNG_BOX",
    "UNBIASED_FANO_FACTOR",
    "rejections",
]

_LARGEST_PVALUE = 1 - 0.5 / 10_000
"""Pearson's method takes the logarithm of 1 - p, but a permutation p-value may be 1:
half a draw less replaces it.
"""


def _mean(values: FloatArray) -> float:
    valid = values[np.isfinite(values)]
    return float(valid.mean()) if len(valid) else float("nan")


def _variation_percent(values: FloatArray) -> float:
    valid = values[np.isfinite(values)]
    if not len(valid) or not valid.mean():
        return float("nan")
    return float(100 * valid.std() / valid.mean())


def _share(condition: BoolArray, values: FloatArray) -> float:
    """Return the share of units that meet a condition, of those with a value."""
    return _mean(np.where(np.isfinite(values), condition, np.nan))


def _pearson_combined(pvalues: FloatArray) -> float:
    from scipy.stats import combine_pvalues

    valid = pvalues[np.isfinite(pvalues)]
    if not len(valid):
        return float("nan")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        capped = np.minimum(valid, _LARGEST_PVALUE)
        return float(combine_pvalues(capped, method="pearson").pvalue)


MEAN_FIRING_RATE = NetworkStatistic(
    name="mean_firing_rate",
    columns=(
        Column(
            "mean_firing_rate",
            "Mean over units of the spikes per time bin, silent ones included: how much"
            " of the layer a stimulus activates.",
        ),
        Column(
            "cv_firing_rate_percent",
            "Standard deviation of the units' firing rates over their mean.",
            "%",
        ),
    ),
    validity="at least one unit; the variation also needs a spike",
    source="definition, with the population standard deviation",
    fast=lambda units, _: {
        "mean_firing_rate": _mean(units["firing_rate"]),
        "cv_firing_rate_percent": _variation_percent(units["firing_rate"]),
    },
)

DEAD_UNITS = NetworkStatistic(
    name="dead_units",
    columns=(
        Column("silent_share", "Share of units without a spike in the phase."),
        Column(
            "saturated_share", "Share of units with a spike in every bin of the phase."
        ),
    ),
    validity="at least one unit",
    source="definition",
    fast=lambda units, _: {
        "silent_share": _share(units["firing_rate"] == 0, units["firing_rate"]),
        "saturated_share": _share(units["firing_rate"] == 1, units["firing_rate"]),
    },
)

MEAN_FANO_FACTOR = NetworkStatistic(
    name="mean_fano_factor",
    columns=(
        Column(
            "mean_fano_factor",
            "Mean Fano factor of the units that spike (population variance, as in the"
            " paper).",
            in_random_order=BY_CONSTRUCTION,
        ),
        Column(
            "mean_fano_factor_expected",
            "The mean Fano factor that the same units' rates alone give in random"
            " order; near 1 - mean_firing_rate.",
        ),
        Column(
            "cv_fano_factor_percent",
            "Standard deviation of the units' Fano factors over their mean.",
            "%",
            in_random_order=BY_CONSTRUCTION,
        ),
    ),
    validity="at least one unit with a Fano factor",
    source="definition, with the population standard deviation",
    fast=lambda units, _: {
        "mean_fano_factor": _mean(units["fano_factor"]),
        "mean_fano_factor_expected": _mean(units["fano_factor_expected"]),
        "cv_fano_factor_percent": _variation_percent(units["fano_factor"]),
    },
)

UNBIASED_FANO_FACTOR = NetworkStatistic(
    name="mean_fano_factor_unbiased",
    columns=(
        Column(
            "mean_fano_factor_unbiased",
            "Mean Fano factor of the units that spike, with the unbiased variance"
            " (n - 1).",
            in_random_order=BY_CONSTRUCTION,
        ),
    ),
    validity=MEAN_FANO_FACTOR.validity,
    source="definition",
    fast=lambda units, _: {
        "mean_fano_factor_unbiased": _mean(units["fano_factor_unbiased"])
    },
)

MEAN_DISPERSION = NetworkStatistic(
    name="mean_dispersion",
    columns=(
        Column(
            "mean_dispersion",
            "Mean dispersion of the units: 1 if window counts vary as the rates alone"
            " make them; above 1 for bursts, drift or stimuli in blocks.",
            in_random_order=BY_CONSTRUCTION,
        ),
    ),
    validity="at least one unit with a dispersion",
    source="definition",
    fast=lambda units, _: {"mean_dispersion": _mean(units["dispersion"])},
)

PEARSON_LJUNG_BOX = NetworkStatistic(
    name="ljung_box_pearson",
    columns=(
        Column(
            "ljung_box_pearson_pvalue",
            "Pearson-combined Ljung-Box p-value, the paper's column; nearly blind to a"
            " few bad units, and it assumes that units are independent, which units of"
            " one layer are not: see network_test.",
            in_random_order=BY_CONSTRUCTION,
        ),
    ),
    null="independent bins of one rate in every unit, and independent units",
    validity="at least one unit with a Ljung-Box p-value",
    source='`scipy.stats.combine_pvalues(method="pearson")`',
    pvalue="ljung_box_pearson_pvalue",
    fast=lambda units, _: {
        "ljung_box_pearson_pvalue": _pearson_combined(units["ljung_box_pvalue"])
    },
)

FALSE_DISCOVERY_RATE = NetworkStatistic(
    name="alpha",
    columns=(
        Column(
            "alpha",
            "False discovery rate of the Benjamini-Hochberg procedure: the expected"
            " share of false rejections among the rejections.",
        ),
    ),
    validity="always",
    source="Benjamini and Hochberg (1995), J R Stat Soc B 57:289",
    fast=lambda _, alpha: {"alpha": alpha},
)


def rejections(test: UnitStatistic) -> NetworkStatistic:
    """Return the share of units that reject the null hypothesis of a test.

    Parameters
    ----------
    test : UnitStatistic
        A statistic with a p-value.

    Returns
    -------
    NetworkStatistic
        Columns ``<test>_rejected_share`` and ``<test>_n_tested``.
    """
    share, n_tested = f"{test.name}_rejected_share", f"{test.name}_n_tested"

    def fast(units: UnitValues, alpha: float) -> dict[str, float]:
        pvalues = units[test.pvalue]
        rejected = benjamini_hochberg(pvalues) <= alpha
        return {
            share: _share(rejected, pvalues),
            n_tested: int(np.isfinite(pvalues).sum()),
        }

    return NetworkStatistic(
        name=f"{test.name}_rejections",
        columns=(
            Column(
                share,
                "Share of the tested units that reject the null hypothesis of"
                f" {test.pvalue} ({test.null}) after Benjamini-Hochberg.",
                in_random_order=test.column(test.pvalue).in_random_order,
            ),
            count_column(n_tested, f"Units that have {test.pvalue}."),
        ),
        validity=f"at least one unit with a {test.pvalue}",
        source=FALSE_DISCOVERY_RATE.source,
        fast=fast,
    )
