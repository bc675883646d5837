"""How well each statistic tells memorizing from generalizing networks, also of an architecture it has not seen."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from ann2neo.errors import InputValueError
from ann2neo.study.conditions import MEMORIZING
from ann2neo.study.results import Results

__all__ = ["INDICATORS", "indicators", "indicators_markdown"]

INDICATORS = (
    "mean_firing_rate",
    "cv_firing_rate_percent",
    "mean_fano_factor",
    "cv_fano_factor_percent",
    "silent_share",
    "mean_dispersion",
)
"""Statistics of a network that may tell the two apart; all of them need no labels."""

_N_RESAMPLED = 2000
_CLUSTER = ["dataset", "network", "width", "seed"]


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
        One row per statistic and held-out architecture. ``held_out`` is empty for the row over all networks, where
        ``auc`` is the probability that a memorizing network has the larger value (0.5: no use; 0: the smaller value
        marks memorizing). Where an architecture is held out, direction and threshold come from the others:
        ``auc`` is oriented by them, 1 being best, and ``balanced_accuracy`` is that of their threshold. ``low`` and
        ``high`` are 95 % intervals, resampling networks trained from one seed together. NaN where an architecture has
        no network of either kind, or nothing to learn from is left.

    Raises
    ------
    InputValueError
        If there is no memorizing or no generalizing network.
    """
    table = results.table[results.table["split"] == split]
    table = table[table["condition"].isin([*MEMORIZING, "generalizing"])]
    memorizing = table["condition"].isin(MEMORIZING).to_numpy()
    if not memorizing.any() or memorizing.all():
        raise InputValueError("indicators need memorizing and generalizing networks; run these conditions first")
    clusters = table.groupby(_CLUSTER).ngroup().to_numpy()
    networks = table["network"].to_numpy()
    rows = []
    for name in [column for column in INDICATORS if column in table]:
        values = table[name].to_numpy(np.float64)
        rng = np.random.default_rng(seed)
        low, high = _interval(values, memorizing, clusters, rng)
        rows.append(_row(name, "", _auc(values, memorizing), low, high, np.nan, memorizing))
        for held_out in dict.fromkeys(networks):
            inside = networks == held_out
            sign, threshold = _learned(values[~inside], memorizing[~inside])
            tested, truth = sign * values[inside], memorizing[inside]
            low, high = _interval(tested, truth, clusters[inside], rng)
            said = tested > sign * threshold
            rows.append(_row(name, held_out, _auc(tested, truth), low, high, _balanced(said, truth), truth))
    return pd.DataFrame(rows)


def indicators_markdown(table: pd.DataFrame) -> str:
    """The table of `indicators` as Markdown."""
    lines = [
        "| statistic | tested on | AUC | 95 % interval | balanced accuracy | memorizing | generalizing |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in table.to_dict("records"):
        where = f"{row['held_out']}, learned from the others" if row["held_out"] else "all"
        interval = f"{row['low']:.2f} to {row['high']:.2f}" if np.isfinite(row["low"]) else "none"
        cells = [row["statistic"], where, _number(row["auc"]), interval, _number(row["balanced_accuracy"])]
        lines.append(f"| {' | '.join(cells)} | {row['n_memorizing']} | {row['n_generalizing']} |")
    note = (
        "Over all networks, AUC is the probability that a memorizing network has the larger value. For an architecture "
        "held out, direction and threshold come from the others, and 1 is best; below 0.5 the direction did not carry "
        "over."
    )
    lines += ["", note]
    return "\n".join(lines) + "\n"


def _row(
    name: str, held_out: str, auc: float, low: float, high: float, balanced: float, memorizing: npt.NDArray[np.bool_]
) -> dict[str, object]:
    n = int(memorizing.sum())
    return {
        "statistic": name,
        "held_out": held_out,
        "auc": auc,
        "low": low,
        "high": high,
        "balanced_accuracy": balanced,
        "n_memorizing": n,
        "n_generalizing": len(memorizing) - n,
    }


def _number(value: float) -> str:
    return f"{value:.2f}" if np.isfinite(value) else "none"


def _auc(values: npt.NDArray[np.float64], positive: npt.NDArray[np.bool_]) -> float:
    """Probability that a positive has the larger value, ties counting half (Mann & Whitney 1947)."""
    known = np.isfinite(values)
    high, low = values[known & positive], values[known & ~positive]
    if not len(high) or not len(low):
        return float("nan")
    return float((np.sign(high[:, None] - low[None, :]) / 2 + 0.5).mean())


def _interval(
    values: npt.NDArray[np.float64],
    positive: npt.NDArray[np.bool_],
    clusters: npt.NDArray[np.int64],
    rng: np.random.Generator,
) -> tuple[float, float]:
    """Percentile bootstrap; networks of one cluster start from each other and are drawn together."""
    members = [np.flatnonzero(clusters == cluster) for cluster in np.unique(clusters)]
    if len(members) < 3:
        return float("nan"), float("nan")
    drawn = []
    for _ in range(_N_RESAMPLED):
        index = np.concatenate([members[i] for i in rng.integers(len(members), size=len(members))])
        drawn.append(_auc(values[index], positive[index]))
    known = np.array(drawn)[np.isfinite(drawn)]
    if not len(known):
        return float("nan"), float("nan")
    low, high = np.quantile(known, [0.025, 0.975])
    return float(low), float(high)


def _learned(values: npt.NDArray[np.float64], positive: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """Direction in which memorizing lies, and the threshold of best balanced accuracy."""
    auc = _auc(values, positive)
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
