"""How well each statistic tells memorizing from generalizing networks, also of a kind it has not seen."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd

from ann2neo.errors import InputValueError
from ann2neo.study.areas import area, area_interval
from ann2neo.study.conditions import MEMORIZING
from ann2neo.study.results import Results

__all__ = ["INDICATORS", "indicators", "indicators_markdown", "with_derived"]

INDICATORS: Mapping[str, str] = {
    "mean_firing_rate": "",
    "cv_firing_rate_percent": "",
    "mean_fano_factor": "",
    "cv_fano_factor_percent": "",
    "silent_share": "",
    "mean_dispersion": "",
    "fano_beyond_rate": "mean Fano factor minus the one that the units' rates give",
    "mean_correlation": "",
    "std_correlation": "",
    "mean_absolute_correlation": "",
    "participation_ratio_relative": "participation ratio over that of independent units of the same rates",
    "complexity_variance_ratio": "",
    "population_sparseness": "needs labels",
    "mean_lifetime_sparseness": "needs labels",
    "mean_selectivity_index": "needs labels",
    "mean_mutual_information": "needs labels",
    "informative_share": "needs labels",
}
"""Statistics of a network that may tell the two apart, and what to know about each."""

_DERIVED: Mapping[str, tuple[str, str, Callable[[pd.Series, pd.Series], pd.Series]]] = {
    "fano_beyond_rate": ("mean_fano_factor", "mean_fano_factor_expected", operator.sub),
    "participation_ratio_relative": ("participation_ratio", "participation_ratio_independent", operator.truediv),
}

_HELD_OUT = ("network", "dataset")
_CLUSTER = ["dataset", "network", "width", "seed"]


def with_derived(table: pd.DataFrame) -> pd.DataFrame:
    """Add the statistics that are computed from two columns of a row, where it has both."""
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
        One row per statistic and, where there are several, per architecture and data set held out. ``held_out`` is
        empty for the row over all networks, where ``auc`` is the probability that a memorizing network has the larger
        value (0.5: no use; 0: the smaller value marks memorizing). Where one is held out, direction and threshold come
        from the others: ``auc`` is oriented by them, 1 being best, and ``balanced_accuracy`` is that of their
        threshold. ``low`` and ``high`` are 95 % intervals (`area_interval`; networks of one data set, architecture,
        width and seed are one cluster, ``n_clusters`` in all): what other seeds of these cells may give, not other
        architectures. NaN where a held-out part has no network of either kind, or nothing to learn from is left.

    Raises
    ------
    InputValueError
        If there is no memorizing or no generalizing network.
    """
    table = with_derived(results.table[results.table["split"] == split])
    table = table[table["condition"].isin([*MEMORIZING, "generalizing"])]
    memorizing = table["condition"].isin(MEMORIZING).to_numpy()
    if not memorizing.any() or memorizing.all():
        raise InputValueError("indicators need memorizing and generalizing networks; run these conditions first")
    clusters = table.groupby(_CLUSTER).ngroup().to_numpy()
    parts = [table[column].to_numpy() for column in _HELD_OUT if len(table[column].unique()) > 1]
    rows = []
    for name in [column for column in INDICATORS if column in table]:
        values = table[name].to_numpy(np.float64)
        if not np.isfinite(values).any():
            continue
        rng = np.random.default_rng(seed)
        interval = area_interval(values, memorizing, clusters, rng)
        rows.append(_row(name, "", area(values, memorizing), interval, np.nan, memorizing, clusters))
        for part in parts:
            for held_out in dict.fromkeys(part):
                inside = part == held_out
                sign, threshold = _learned(values[~inside], memorizing[~inside])
                tested, truth = sign * values[inside], memorizing[inside]
                interval = area_interval(tested, truth, clusters[inside], rng)
                balanced = _balanced(tested > sign * threshold, truth)
                rows.append(_row(name, held_out, area(tested, truth), interval, balanced, truth, clusters[inside]))
    return pd.DataFrame(rows)


def indicators_markdown(table: pd.DataFrame) -> str:
    """The table of `indicators` as Markdown."""
    lines = [
        "| statistic | tested on | AUC | 95 % interval | balanced accuracy | memorizing | generalizing | clusters |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in table.to_dict("records"):
        where = f"{row['held_out']}, learned from the others" if row["held_out"] else "all"
        interval = f"{row['low']:.2f} to {row['high']:.2f}" if np.isfinite(row["low"]) else "none"
        cells = [row["statistic"], where, _number(row["auc"]), interval, _number(row["balanced_accuracy"])]
        cells += [str(row[name]) for name in ("n_memorizing", "n_generalizing", "n_clusters")]
        lines.append(f"| {' | '.join(cells)} |")
    noted: dict[str, list[str]] = {}
    for name in [name for name in INDICATORS if name in set(table["statistic"])]:
        noted.setdefault(INDICATORS[name], []).append(name)
    notes = [f"{', '.join(names)}: {note}" for note, names in noted.items() if note]
    note = (
        "Over all networks, AUC is the probability that a memorizing network has the larger value. For an architecture "
        "or data set held out, direction and threshold come from the others, and 1 is best; below 0.5 the direction "
        "did not carry over. Intervals are about other seeds of these cells; networks of one data set, architecture, "
        f"width and seed are one cluster. {'; '.join(notes)}."
    )
    return "\n".join([*lines, "", note]) + "\n"


def _row(
    name: str,
    held_out: str,
    auc: float,
    interval: tuple[float, float],
    balanced: float,
    memorizing: npt.NDArray[np.bool_],
    clusters: npt.NDArray[np.int64],
) -> dict[str, object]:
    n = int(memorizing.sum())
    return {
        "statistic": name,
        "held_out": held_out,
        "auc": auc,
        "low": interval[0],
        "high": interval[1],
        "balanced_accuracy": balanced,
        "n_memorizing": n,
        "n_generalizing": len(memorizing) - n,
        "n_clusters": len(np.unique(clusters)),
    }


def _number(value: float) -> str:
    return f"{value:.2f}" if np.isfinite(value) else "none"


def _learned(values: npt.NDArray[np.float64], positive: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """Direction in which memorizing lies, and the threshold of best balanced accuracy."""
    auc = area(values, positive)
    if np.isnan(auc):
        return float("nan"), float("nan")
    sign = 1.0 if auc >= 0.5 else -1.0
    known = np.unique(values[np.isfinite(values)])
    thresholds = np.concatenate([known[:1] - 1, (known[:-1] + known[1:]) / 2, known[-1:] + 1])
    scores = [_balanced(sign * values > sign * threshold, positive) for threshold in thresholds]
    return sign, float(thresholds[int(np.argmax(scores))])


def _balanced(said: npt.NDArray[np.bool_], truth: npt.NDArray[np.bool_]) -> float:
    if not truth.any() or truth.all():
        return float("nan")
    return float((said[truth].mean() + (~said[~truth]).mean()) / 2)
