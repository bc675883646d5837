"""How well each statistic tells memorizing from generalizing networks, also of a kind
it has not seen.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd

from ann2neo.errors import InputValueError
from ann2neo.study.conditions import MEMORIZING
from ann2neo.study.markdown import markdown_table
from ann2neo.study.results import CLUSTER_KEY, Results
from ann2neo.study.roc import area, area_interval

__all__ = [
    "FROM_RATES",
    "INDICATORS",
    "indicators",
    "indicators_markdown",
    "with_derived",
]

INDICATORS: Mapping[str, str] = {
    "mean_firing_rate": "spikes a sample, mean over units",
    "cv_firing_rate_percent": "spread of the units' rates over their mean",
    "mean_fano_factor": "follows from the rates: 1 - rate of every unit",
    "cv_fano_factor_percent": (
        "follows from the rates: spread of 1 - rate over its mean"
    ),
    "silent_share": "share of units without a spike",
    "mean_dispersion": (
        "variance of counts over what the rate gives, mean over units; 1 in random"
        " order"
    ),
    "fano_beyond_rate": (
        "mean Fano factor minus the one that the units' rates give; 0 in random order"
    ),
    "mean_correlation": "of all pairs of units",
    "std_correlation": "of all pairs of units",
    "mean_absolute_correlation": "of all pairs of units",
    "participation_ratio_relative": (
        "participation ratio over that of independent units of the same rates"
    ),
    "complexity_variance_ratio": (
        "variance of the number of units active at once over that of independent units"
    ),
    "population_sparseness": (
        "Treves and Rolls, over units, of the rates in a class; needs labels"
    ),
    "mean_lifetime_sparseness": (
        "Treves and Rolls, over classes, of the rates of a unit; needs labels"
    ),
    "mean_selectivity_index": (
        "best class against the others, mean over units; needs labels"
    ),
    "mean_mutual_information": "of unit and label, bits, mean over units; needs labels",
    "informative_share": (
        "share of units that tell something of the label (permutation test); needs"
        " labels"
    ),
}
"""Statistics of a network that may tell the two apart, and what each is."""

FROM_RATES = ("mean_fano_factor", "cv_fano_factor_percent")
"""Statistics that in random order follow from the units' rates."""

_DERIVED: Mapping[str, tuple[str, str, Callable[[pd.Series, pd.Series], pd.Series]]] = {
    "fano_beyond_rate": ("mean_fano_factor", "mean_fano_factor_expected", operator.sub),
    "participation_ratio_relative": (
        "participation_ratio",
        "participation_ratio_independent",
        operator.truediv,
    ),
}

_Floats = npt.NDArray[np.float64]
_Bools = npt.NDArray[np.bool_]
_Ints = npt.NDArray[np.int64]

_HELD_OUT = ("network", "dataset")


def with_derived(table: pd.DataFrame) -> pd.DataFrame:
    """Add the statistics that are computed from two columns of a row, where it has
    both.
    """
    made = {
        name: compute(table[first], table[second])
        for name, (first, second, compute) in _DERIVED.items()
        if first in table and second in table
    }
    return table.assign(**made)


def indicators(results: Results, split: str = "test", seed: int = 0) -> pd.DataFrame:
    """Judge every statistic as a classifier of networks.

    Parameters
    ----------
    results : Results
        What `load_results` read.
    split : {"test", "train"}
        Samples the statistics are of.
    seed : int, default 0
        Seeds the resampling.

    Returns
    -------
    pandas.DataFrame
        One row per statistic and per architecture and data set held out, where there
        are networks of both kinds in it and beside it. ``held_out`` is empty for the
        row over all networks, where ``auc`` is the probability that a memorizing
        network has the larger value (0.5: no use; 0: the smaller value marks
        memorizing) and ``rate_correlation`` Spearman's rank correlation with the mean
        firing rate among memorizing networks. Where a part is held out, direction and
        threshold come from the others: ``auc`` is oriented by them, 1 being best, and
        ``balanced_accuracy`` is that of their threshold. ``low`` and ``high`` are 95 %
        intervals (`area_interval`; networks of one data set, architecture, width and
        seed are one cluster, ``n_clusters`` in all): what other seeds of these cells
        may give, not other architectures. ``joint_low`` and ``joint_high`` hold for all
        statistics of a part at once (Bonferroni).

    Raises
    ------
    InputValueError
        If there is no memorizing or no generalizing network.
    """
    table = with_derived(results.table[results.table["split"] == split])
    table = table[table["condition"].isin([*MEMORIZING, "generalizing"])]
    memorizing = table["condition"].isin(MEMORIZING).to_numpy()
    if not memorizing.any() or memorizing.all():
        raise InputValueError(
            "indicators need memorizing and generalizing networks; run these conditions"
            " first"
        )
    clusters = table.groupby(CLUSTER_KEY).ngroup().to_numpy()
    rates = table["mean_firing_rate"].to_numpy(np.float64)
    names = [
        name
        for name in INDICATORS
        if name in table and np.isfinite(table[name].to_numpy(np.float64)).any()
    ]

    def row(
        name: str,
        held_out: str,
        values: _Floats,
        truth: _Bools,
        of: _Ints,
        balanced: float,
    ) -> dict[str, object]:
        known = np.isfinite(values)
        ends = [
            area_interval(values, truth, of, np.random.default_rng(seed), level)
            for level in (0.95, 1 - 0.05 / len(names))
        ]
        return {
            "statistic": name,
            "held_out": held_out,
            "auc": area(values, truth),
            "low": ends[0][0],
            "high": ends[0][1],
            "joint_low": ends[1][0],
            "joint_high": ends[1][1],
            "balanced_accuracy": balanced,
            "rate_correlation": (
                np.nan if held_out else _rank_correlation(values[truth], rates[truth])
            ),
            "n_memorizing": int((known & truth).sum()),
            "n_generalizing": int((known & ~truth).sum()),
            "n_clusters": len(np.unique(of[known])),
        }

    rows = []
    for name in names:
        values = table[name].to_numpy(np.float64)
        rows.append(row(name, "", values, memorizing, clusters, np.nan))
        for held_out, inside in _held_out_parts(table, memorizing):
            sign, threshold = _learned(values[~inside], memorizing[~inside])
            tested, truth = sign * values[inside], memorizing[inside]
            balanced = _balanced(tested > sign * threshold, truth)
            rows.append(row(name, held_out, tested, truth, clusters[inside], balanced))
    return pd.DataFrame(rows)


def _held_out_parts(
    table: pd.DataFrame, memorizing: _Bools
) -> list[tuple[str, _Bools]]:
    """Architectures and data sets with networks of both kinds in them and beside them;
    of the same twice, the first.
    """
    found: list[tuple[str, _Bools]] = []
    for column in _HELD_OUT:
        for name in dict.fromkeys(table[column]):
            inside = (table[column] == name).to_numpy()
            both = all(
                0 < memorizing[side].sum() < side.sum() for side in (inside, ~inside)
            )
            if both and not any(np.array_equal(inside, other) for _, other in found):
                found.append((str(name), inside))
    return found


def _rank_correlation(values: _Floats, rates: _Floats) -> float:
    from scipy.stats import spearmanr

    known = np.isfinite(values) & np.isfinite(rates)
    varies = all(len(np.unique(column[known])) > 1 for column in (values, rates))
    return (
        float(spearmanr(values[known], rates[known]).statistic)
        if varies
        else float("nan")
    )


def indicators_markdown(table: pd.DataFrame) -> str:
    """The table of `indicators` as Markdown."""
    heads = [
        "statistic",
        "tested on",
        "AUC",
        "95 % interval",
        "balanced accuracy",
        "with the rate",
    ]
    rows = []
    for row in table.to_dict("records"):
        where = (
            f"{row['held_out']}, learned from the others" if row["held_out"] else "all"
        )
        interval = (
            f"{row['low']:.2f} to {row['high']:.2f}"
            if np.isfinite(row["low"])
            else "none"
        )
        cells = [
            row["statistic"],
            where,
            _number(row["auc"]),
            interval,
            _number(row["balanced_accuracy"]),
        ]
        cells.append(_number(row["rate_correlation"]))
        cells += [
            str(row[name]) for name in ("n_memorizing", "n_generalizing", "n_clusters")
        ]
        rows.append(cells)
    notes = [
        f"{name}: {INDICATORS[name]}"
        for name in INDICATORS
        if name in set(table["statistic"])
    ]
    note = (
        "Over all networks, AUC is the probability that a memorizing network has the"
        " larger value. For an architecture or data set held out, direction and"
        " threshold come from the others, and 1 is best; below 0.5 the direction did"
        " not carry over. With the rate: Spearman's rank correlation with the mean"
        " firing rate among memorizing networks. Intervals are about other seeds of"
        " these cells; networks of one data set, architecture, width and seed are one"
        f" cluster. {'; '.join(notes)}."
    )
    heads = [*heads, "memorizing", "generalizing", "clusters"]
    return f"{markdown_table(heads, rows)}\n{note}\n"


def _number(value: float) -> str:
    return f"{value:.2f}" if np.isfinite(value) else "none"


def _learned(
    values: npt.NDArray[np.float64], positive: npt.NDArray[np.bool_]
) -> tuple[float, float]:
    """Direction in which memorizing lies, and the threshold of best balanced
    accuracy.
    """
    auc = area(values, positive)
    if np.isnan(auc):
        return float("nan"), float("nan")
    sign = 1.0 if auc >= 0.5 else -1.0
    known = np.unique(values[np.isfinite(values)])
    thresholds = np.concatenate(
        [known[:1] - 1, (known[:-1] + known[1:]) / 2, known[-1:] + 1]
    )
    scores = [
        _balanced(sign * values > sign * threshold, positive)
        for threshold in thresholds
    ]
    return sign, float(thresholds[int(np.argmax(scores))])


def _balanced(said: npt.NDArray[np.bool_], truth: npt.NDArray[np.bool_]) -> float:
    if not truth.any() or truth.all():
        return float("nan")
    return float((said[truth].mean() + (~said[~truth]).mean()) / 2)
