"""How well each statistic tells memorizing from generalizing networks.

Also networks of a kind that it has not seen.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd

from ann2neo.errors import InputValueError
from ann2neo.study.comparison import markdown_table, number_or_none
from ann2neo.study.conditions import MEMORIZING
from ann2neo.study.memorization import (
    MIN_GAIN,
    memorization,
    memorization_note,
    only_memorizing,
)
from ann2neo.study.results import CLUSTER_KEY, NETWORK_KEY, Results

__all__ = [
    "INDICATORS",
    "area",
    "area_interval",
    "indicators",
    "indicators_markdown",
    "newcombe_interval",
    "paired_differences",
    "with_derived",
]

INDICATORS: Mapping[str, str] = {
    "mean_firing_rate": "spikes per sample, mean over units",
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
        "share of units with information about the label (permutation test); needs"
        " labels"
    ),
}
"""Statistics of a network that may tell the two apart, and what each is."""

_N_RESAMPLED = 2000
_FEWEST_CLUSTERS = 4

_Floats = npt.NDArray[np.float64]
_Bools = npt.NDArray[np.bool_]
_Ints = npt.NDArray[np.integer]


def with_derived(table: pd.DataFrame) -> pd.DataFrame:
    """Add the statistics that are computed from two columns, where a table has both."""
    if "mean_fano_factor_expected" in table:
        excess = table["mean_fano_factor"] - table["mean_fano_factor_expected"]
        table = table.assign(fano_beyond_rate=excess)
    if "participation_ratio_independent" in table:
        ratio = table["participation_ratio"] / table["participation_ratio_independent"]
        table = table.assign(participation_ratio_relative=ratio)
    return table


def paired_differences(results: Results, min_gain: float = MIN_GAIN) -> pd.DataFrame:
    """Put every memorizing network beside the generalizing one of the same start.

    Parameters
    ----------
    results : Results
        What `load_results` read.
    min_gain : float, default 0.10
        As in `memorization`: networks that memorize less are left out.

    Returns
    -------
    pandas.DataFrame
        One row per memorizing network and split: `NETWORK_KEY`, ``split``,
        ``memorizing`` and ``generalizing`` (mean firing rates) and ``difference``.
    """
    table = only_memorizing(results, min_gain).table
    table = table[[*NETWORK_KEY, "split", "mean_firing_rate"]]
    memorizing = table[table["condition"].isin(MEMORIZING)]
    generalizing = table[table["condition"] == "generalizing"]
    pairs = memorizing.rename(columns={"mean_firing_rate": "memorizing"}).merge(
        generalizing.rename(columns={"mean_firing_rate": "generalizing"}).drop(
            columns="condition"
        ),
        on=[*CLUSTER_KEY, "split"],
    )
    return pairs.assign(difference=pairs["memorizing"] - pairs["generalizing"])


def indicators(
    results: Results,
    split: str = "test",
    seed: int = 0,
    *,
    min_gain: float = MIN_GAIN,
) -> pd.DataFrame:
    """Judge every statistic as a classifier of networks.

    Parameters
    ----------
    results : Results
        What `load_results` read.
    split : {"test", "train"}
        Samples the statistics are of.
    seed : int, default 0
        Seeds the resampling.
    min_gain : float, default 0.10
        Networks trained on permuted labels count where they memorize them by this much
        (`memorization`).

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
    judged = memorization(results, min_gain)
    table = only_memorizing(results, min_gain).table
    table = with_derived(table[table["split"] == split])
    table = table[table["condition"].isin([*MEMORIZING, "generalizing"])]
    memorizing = table["condition"].isin(MEMORIZING).to_numpy()
    if len(judged) and not judged["memorizes"].any():
        raise InputValueError(
            f"no statistic is judged: {memorization_note(judged, min_gain)} Train for"
            " longer, with a larger --max-epochs and another --out"
        )
    if not memorizing.any() or memorizing.all():
        raise InputValueError(
            "indicators need memorizing and generalizing networks; run these conditions"
            " first"
        )
    clusters = table.groupby(CLUSTER_KEY).ngroup().to_numpy()
    names = [name for name in INDICATORS if name in table and table[name].notna().any()]
    parts = _held_out_parts(table, memorizing)
    rows = []
    for name in names:
        values = table[name].to_numpy(np.float64)
        for held_out, inside in parts.items():
            tested, truth, of = values[inside], memorizing[inside], clusters[inside]
            balanced = along = np.nan
            if held_out:
                sign, threshold = _learned(values[~inside], memorizing[~inside])
                tested = sign * tested
                balanced = _balanced(tested > sign * threshold, truth)
            else:
                pair = table.loc[truth, [name, "mean_firing_rate"]]
                along = pair.corr("spearman").to_numpy()[0, 1]
            has_value = np.isfinite(tested)
            ends = [
                area_interval(tested, truth, of, np.random.default_rng(seed), level)
                for level in (0.95, 1 - 0.05 / len(names))
            ]
            rows.append(
                {
                    "statistic": name,
                    "held_out": held_out,
                    "auc": area(tested, truth),
                    "low": ends[0][0],
                    "high": ends[0][1],
                    "joint_low": ends[1][0],
                    "joint_high": ends[1][1],
                    "balanced_accuracy": balanced,
                    "rate_correlation": along,
                    "n_memorizing": int((has_value & truth).sum()),
                    "n_generalizing": int((has_value & ~truth).sum()),
                    "n_clusters": len(np.unique(of[has_value])),
                }
            )
    return pd.DataFrame(rows)


def _held_out_parts(table: pd.DataFrame, memorizing: _Bools) -> dict[str, _Bools]:
    """Mark all networks, then every part that can be held out.

    A part is an architecture or a data set with networks of both kinds in it and beside
    it. Of two parts with the same networks, the first counts.
    """
    parts = {"": np.ones(len(table), np.bool_)}
    for column in ("network", "dataset"):
        for name in table[column].unique():
            inside = (table[column] == name).to_numpy()
            both = all(
                0 < memorizing[side].sum() < side.sum() for side in (inside, ~inside)
            )
            if both and not any(np.array_equal(inside, it) for it in parts.values()):
                parts[str(name)] = inside
    return parts


def _learned(values: _Floats, positive: _Bools) -> tuple[float, float]:
    """Return the direction of memorizing, and the threshold of best accuracy."""
    auc = area(values, positive)
    if np.isnan(auc):
        return np.nan, np.nan
    sign = 1.0 if auc >= 0.5 else -1.0
    levels = np.unique(values[np.isfinite(values)])
    middles = (levels[:-1] + levels[1:]) / 2
    # Between two neighbouring values every threshold classifies alike.
    thresholds = np.concatenate([levels[:1] - 1, middles, levels[-1:] + 1])
    scores = [_balanced(sign * values > sign * at, positive) for at in thresholds]
    return sign, float(thresholds[int(np.argmax(scores))])


def _balanced(predicted: _Bools, truth: _Bools) -> float:
    return float((predicted[truth].mean() + (~predicted[~truth]).mean()) / 2)


def indicators_markdown(table: pd.DataFrame, note: str = "") -> str:
    """Write the table of `indicators` as Markdown, with the `memorization_note`."""
    interval = (
        table["low"].map(number_or_none) + " to " + table["high"].map(number_or_none)
    )
    held_out = table["held_out"] + ", learned from the others"
    cells = pd.DataFrame(
        {
            "statistic": table["statistic"],
            "tested on": held_out.where(table["held_out"] != "", "all"),
            "AUC": table["auc"].map(number_or_none),
            "95 % interval": interval.where(np.isfinite(table["low"]), "none"),
            "balanced accuracy": table["balanced_accuracy"].map(number_or_none),
            "with the rate": table["rate_correlation"].map(number_or_none),
            "memorizing": table["n_memorizing"],
            "generalizing": table["n_generalizing"],
            "clusters": table["n_clusters"],
        }
    )
    notes = "; ".join(
        f"{name}: {INDICATORS[name]}" for name in table["statistic"].unique()
    )
    return (
        f"{markdown_table(cells)}\nOver all networks, AUC is the probability that"
        " a memorizing network has the larger value. For an architecture or data set"
        " held out, direction and threshold come from the others, and 1 is best; below"
        " 0.5 the direction did not carry over. With the rate: Spearman's rank"
        " correlation with the mean firing rate among memorizing networks. Intervals"
        " are about other seeds of these cells; networks of one data set, architecture,"
        f" width and seed are one cluster. {notes}.\n" + (f"{note}\n" if note else "")
    )


def area(values: _Floats, positive: _Bools) -> float:
    """Return the area under the ROC curve (Mann & Whitney 1947).

    Parameters
    ----------
    values : ndarray of float, shape (n_networks,)
        A statistic; NaN where a network has none, which leaves it out.
    positive : ndarray of bool, shape (n_networks,)
        Which networks are of the kind to be detected.

    Returns
    -------
    float
        Probability that a positive has the larger value, ties counting half: 0.5 where
        the statistic is of no use; NaN without networks of either kind.

    Examples
    --------
    >>> area(np.array([1.0, 2.0, 3.0]), np.array([False, True, True]))
    1.0
    """
    has_value = np.isfinite(values)
    high, low = values[has_value & positive], values[has_value & ~positive]
    if not len(high) or not len(low):
        return np.nan
    # Counted and not summed over a curve, so that 0.5 is exactly 0.5.
    return float(_wins(high, low).mean())


def _wins(high: _Floats, low: _Floats) -> _Floats:
    """1 where the row's value is larger than the column's, 1/2 where they are equal."""
    wins: _Floats = np.sign(high[:, None] - low[None, :]) / 2 + 0.5
    return wins


def area_interval(
    values: _Floats,
    positive: _Bools,
    clusters: _Ints,
    rng: np.random.Generator,
    level: float = 0.95,
) -> tuple[float, float]:
    """Return the interval of an area whose networks come in clusters.

    Parameters
    ----------
    values, positive
        As in `area`.
    clusters : ndarray of int, shape (n_networks,)
        Networks of one cluster start from the same weights and are not independent.
    rng : numpy.random.Generator
        Draws clusters.
    level : float, default 0.95
        Level of the interval.

    Returns
    -------
    tuple of float
        The wider of two intervals on either side: percentiles of areas over clusters
        drawn with replacement, which know how networks of a cluster go together but
        have no width where the kinds separate perfectly; and `newcombe_interval` with
        as many independent networks of a kind as there are clusters that have one. NaN
        with fewer than four clusters: chance separates three and three perfectly one
        time in ten.
    """
    valid = np.isfinite(values)
    values, positive, clusters = values[valid], positive[valid], clusters[valid]
    observed = area(values, positive)
    names, of_network = np.unique(clusters, return_inverse=True)
    if len(names) < _FEWEST_CLUSTERS or np.isnan(observed):
        return float("nan"), float("nan")
    n_positive, n_negative = (
        len(np.unique(clusters[kind])) for kind in (positive, ~positive)
    )
    low, high = newcombe_interval(observed, n_positive, n_negative, level)
    areas = _resampled(values, positive, of_network, len(names), rng)
    if len(areas):
        lower, upper = np.quantile(areas, [(1 - level) / 2, (1 + level) / 2])
        low, high = min(low, float(lower)), max(high, float(upper))
    return low, high


def _resampled(
    values: _Floats,
    positive: _Bools,
    of_network: _Ints,
    n: int,
    rng: np.random.Generator,
) -> _Floats:
    """Return areas over clusters drawn with replacement.

    Draws that lack networks of one kind are left out.
    """
    # Row i of `is_in` marks the cluster of network i. Multiplied by it from both sides,
    # a table of pairs of networks becomes one of pairs of clusters: wins of positives
    # of one cluster over negatives of another, and pairs compared.
    is_in = np.eye(n)[of_network]
    high, low = is_in[positive], is_in[~positive]
    wins = high.T @ _wins(values[positive], values[~positive]) @ low
    compared = np.outer(high.sum(axis=0), low.sum(axis=0))
    # How often each resample has drawn each cluster.
    drawn = rng.integers(n, size=(_N_RESAMPLED, n))
    times = np.eye(n)[drawn].sum(axis=1)
    won, of = (((times @ table) * times).sum(axis=1) for table in (wins, compared))
    areas: _Floats = won[of > 0] / of[of > 0]
    return areas


def newcombe_interval(
    observed: float, n_positive: int, n_negative: int, level: float = 0.95
) -> tuple[float, float]:
    """Return the interval of an area from its value and the numbers of networks.

    Parameters
    ----------
    observed : float
        The observed area, 0 to 1.
    n_positive, n_negative : int
        Independent networks of either kind.
    level : float, default 0.95
        Level of the interval.

    Returns
    -------
    tuple of float
        The areas A with ``abs(A - observed) <= z sqrt(V(A))``, where V is Hanley and
        McNeil's (1982, Radiology 143:29) variance with both numbers set to their mean
        in its correction: method 5 of Newcombe (2006, Stat Med 25:559). It has a width
        also where `observed` is 0 or 1.

    Examples
    --------
    >>> [round(end, 2) for end in newcombe_interval(1.0, 6, 6)]
    [0.69, 1.0]
    """
    from scipy.optimize import brentq
    from scipy.stats import norm

    z = float(norm.ppf((1 + level) / 2))
    extra = (n_positive + n_negative) / 2 - 1

    def spread(value: float) -> float:
        factor = 1 + extra * (1 - value) / (2 - value) + extra * value / (1 + value)
        return z * float(
            np.sqrt(max(0.0, value * (1 - value) * factor / (n_positive * n_negative)))
        )

    def end(bound: float, sign: float) -> float:
        # At the observed value itself the spread exceeds the distance, 0; at the bound
        # it is 0.
        if abs(bound - observed) < 1e-12:
            return bound
        inner = observed + sign * 1e-9
        if spread(inner) <= abs(inner - observed):
            return observed
        return float(
            brentq(lambda value: abs(value - observed) - spread(value), inner, bound)
        )

    return end(0.0, -1.0), end(1.0, 1.0)
