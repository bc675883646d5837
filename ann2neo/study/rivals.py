"""How well measures tell memorizing from generalizing networks of one accuracy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from ann2neo._checks import number_between
from ann2neo.errors import InputValueError
from ann2neo.study.comparison import markdown_table, number_or_none
from ann2neo.study.indicators import area, newcombe_interval
from ann2neo.study.populations import student_intervals

__all__ = [
    "NOISE_KEY",
    "N_BINS",
    "QUANTILES",
    "RIVALS",
    "Rival",
    "rivals",
    "rivals_markdown",
]

NOISE_KEY = ["dataset", "network", "width", "seed", "label_noise"]
"""Columns that name a network trained on labels of some noise."""

N_BINS, QUANTILES = 10, (0.1, 0.5, 0.9)
"""Of the distribution of units' activation probabilities: bins of its histogram, and
the quantiles that are compared.
"""

_NOTES = """\
Noise: the share of images whose labels were permuted. Every network learned the labels
it was given to the same accuracy, from the first weights of its seed, on its seed's
images. Difference: the most noise minus the least, of the same seed. Slope: change
from no noise to full noise, by least squares within each seed. Both with {level:g} %
intervals over seeds. AUC: probability that a network of the most noise has the larger
value, 0.5 being of no use; its interval is Newcombe's, and the joint one holds for all
measures of a phase at once (Bonferroni). Expectation: what a measure would be from
another one alone, with its AUC; beyond: difference of the measure minus its
expectation, which is what it adds.

What limits these differences: noise in the labels alone makes activations sparser
(arXiv 2111.02154), and training does so with random labels too (arXiv 2210.06313), so a
rate that falls is no proof of memorization. Noisier labels also take more epochs
(n_epochs), so noise and length of training are not told apart. Where the mean firing
rate separates the networks, no other measure is shown to add to it.
"""


class Rival(NamedTuple):
    """A measure of a network.

    Parameters
    ----------
    words : str
        What it is.
    expectation : str
        Column with what the measure would be from another one alone; empty if there is
        no formula.
    follows : str
        What the expectation is.
    """

    words: str
    expectation: str = ""
    follows: str = ""


RIVALS: Mapping[str, Rival] = {
    "mean_firing_rate": Rival("spikes per sample, mean over units"),
    "cv_firing_rate_percent": Rival("spread of the units' rates over their mean"),
    "mean_fano_factor": Rival(
        "of counts in windows, in random order",
        "mean_fano_factor_expected",
        "1 - rate of every unit",
    ),
    "overfitting_underfitting_indicator": Rival(
        "mean over pairs of samples of min(h, d/2) / (d/2), h of d units differing"
        " (arXiv 2504.17160)",
        "overfitting_underfitting_indicator_ceiling",
        "the most that the units' rates allow",
    ),
    "unit_entropy": Rival(
        "entropy of firing or not, bits, mean over units",
        "unit_entropy_of_mean_rate",
        "that of units which all have the mean rate, the most it can be",
    ),
    "probability_entropy": Rival(
        "entropy, bits, of the histogram of units' activation probabilities in"
        f" {N_BINS} equal bins of 0 to 1"
    ),
    **{
        f"probability_q{100 * at:.0f}": Rival(
            f"{100 * at:.0f} % quantile of units' activation probabilities"
        )
        for at in QUANTILES
    },
    "distance_from_untrained": Rival(
        "Wasserstein distance of the units' activation probabilities from those before"
        " training",
        "rate_change_from_untrained",
        "change of the mean rate, the least it can be",
    ),
    "distance_from_test": Rival(
        "Wasserstein distance of the units' activation probabilities for training"
        " samples from those for test samples",
        "rate_change_from_test",
        "difference of the mean rates, the least it can be",
    ),
    "ablation_area_zero": Rival(
        "area under the accuracy on training samples as units are clamped to 0 in"
        " random orders, 1 where that costs nothing (Morcos et al. 2018)"
    ),
    "ablation_area_mean": Rival("the same, clamped to their mean activation"),
    "n_epochs": Rival("epochs of training, no measure of activations"),
}
"""What is compared; the last measure shows what length of training alone tells."""


def rivals(networks: pd.DataFrame, level: float = 0.95) -> pd.DataFrame:
    """Compare how measures tell noisy labels from true ones at matched accuracy.

    Parameters
    ----------
    networks : pandas.DataFrame
        `RivalResults.networks`. Networks that did not reach the accuracy are left out,
        and those of permuted labels that do not memorize them.
    level : float, default 0.95
        Confidence of the intervals.

    Returns
    -------
    pandas.DataFrame
        One row per phase and measure of `RIVALS`, where it has values:

        - ``n_seeds``, and for every level of noise, in percent, ``noise_<level>_mean,
          _low, _high`` (Student's t over seeds);
        - ``difference_mean, _low, _high``: most noise minus least, of the same seed;
        - ``slope_mean, _low, _high``: change from no noise to full noise, least squares
          within each seed that has all levels, and ``rank_correlation``, the mean of
          Spearman's within a seed;
        - ``auc``, the probability that a network of the most noise has a larger value
          than one of the least, with Newcombe's interval ``auc_low, auc_high``, and
          ``joint_low, joint_high``, which hold for all measures of a phase at once;
          ``noise_<level>_auc, _auc_low, _auc_high`` of levels in between;
        - ``rate_correlation``, Spearman's with the mean firing rate over all networks;
        - ``expectation``, the column with what the measure would be from another one
          alone; ``expectation_auc``; and ``beyond_mean, _low, _high``, the paired
          difference of the measure minus its expectation.

    Raises
    ------
    InputValueError
        If two levels of noise with two networks each are not left, networks are of
        several data sets, architectures or widths, or `level` does not lie between 0
        and 1.
    """
    level = number_between(level, "level", 0, 1, remedy="the usual one is 0.95")
    if len(networks.drop_duplicates(NOISE_KEY[:3])) > 1:
        raise InputValueError(
            "networks of one data set, architecture and width are compared, got"
            f" {len(networks.drop_duplicates(NOISE_KEY[:3]))} kinds; choose the rows of"
            " one"
        )
    compared = networks[_is_compared(networks)]
    n_networks = compared.groupby("label_noise")["seed"].nunique()
    if (n_networks >= 2).sum() < 2:
        raise InputValueError(
            "the comparison needs two levels of noise with two networks each that"
            f" reached the accuracy; {_counts(networks)} Train for longer, with a"
            " larger --max-epochs and another --out, or add seeds"
        )
    rows = []
    for phase, part in compared.groupby("phase", sort=False):
        names = [name for name in RIVALS if name in part and part[name].notna().any()]
        joint = 1 - (1 - level) / len(names)
        rows += [
            {"phase": phase, "measure": name, **_compared(part, name, level, joint)}
            for name in names
        ]
    return pd.DataFrame(rows)


def _is_compared(networks: pd.DataFrame) -> pd.Series:
    """Mark networks at matched accuracy that memorize what noise they were given."""
    is_clean = networks["label_noise"] == 0
    return networks["reached"] & (is_clean | networks["memorizes"])


def _counts(networks: pd.DataFrame) -> str:
    """Say how many networks are compared, and why the others are not."""
    each = networks.drop_duplicates(NOISE_KEY)
    n_reached = int(each["reached"].sum())
    noisy = each[each["reached"] & (each["label_noise"] > 0)]
    return (
        f"{n_reached} of {len(each)} networks reached the accuracy;"
        f" {int(noisy['memorizes'].sum())} of {len(noisy)} of them with permuted labels"
        " memorize these."
    )


def _compared(
    part: pd.DataFrame, name: str, level: float, joint: float
) -> dict[str, Any]:
    """Compare one measure of one phase."""
    values = _by_noise(part, name)
    levels = [float(noise) for noise in values.columns]
    least, *others = levels
    most, expectation = others[-1], RIVALS[name].expectation
    complete = values.dropna()
    slopes = np.polyfit(levels, complete.to_numpy().T, 1)[0] if len(complete) else []
    over_seeds = {_column(at): values[at] for at in levels}
    over_seeds["difference"] = values[most] - values[least]
    over_seeds["slope"] = pd.Series(slopes, complete.index, np.float64)
    expected = values * np.nan
    if expectation:
        expected = _by_noise(part, expectation)
    added = values - expected
    over_seeds["beyond"] = added[most] - added[least]
    row: dict[str, Any] = {
        "least_noise": least,
        "most_noise": most,
        "n_seeds": len(values),
    }
    intervals = student_intervals(pd.DataFrame(over_seeds), level)
    for column, ends in intervals.to_dict("index").items():
        row |= {f"{column}_{end}": value for end, value in ends.items()}
    within = [
        _rank_correlation(pd.Series(levels), of_seed) for of_seed in complete.to_numpy()
    ]
    row["rank_correlation"] = pd.Series(within, dtype=float).mean()
    for at in others[:-1]:
        row |= _area(f"{_column(at)}_auc", values[at], values[least], level)
    row |= _area("auc", values[most], values[least], level)
    jointly = _area("auc", values[most], values[least], joint)
    row |= {"joint_low": jointly["auc_low"], "joint_high": jointly["auc_high"]}
    row["rate_correlation"] = _rank_correlation(part["mean_firing_rate"], part[name])
    row["expectation"] = expectation
    of_expectation = _area("auc", expected[most], expected[least], level)
    row["expectation_auc"] = of_expectation["auc"]
    return row


def _by_noise(part: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return a measure of every seed (row) and level of noise (column)."""
    values = part.pivot_table(
        index="seed", columns="label_noise", values=name, dropna=False
    )
    # Without a value anywhere a level would have no column.
    return values.reindex(columns=sorted(part["label_noise"].unique()))


def _rank_correlation(one: pd.Series, other: npt.ArrayLike) -> float:
    """Return Spearman's rank correlation; NaN where either is constant."""
    values = pd.DataFrame({"one": one.to_numpy(), "other": np.asarray(other)}).dropna()
    if (values.nunique() < 2).any():
        return float("nan")
    return float(values["one"].corr(values["other"], "spearman"))


def _column(noise: float) -> str:
    return f"noise_{100 * noise:.10g}"


def _area(
    name: str, noisy: pd.Series, clean: pd.Series, level: float
) -> dict[str, float]:
    """Return the area by which two kinds of networks are told apart, with interval."""
    noisy, clean = noisy.dropna(), clean.dropna()
    is_noisy = np.repeat([True, False], [len(noisy), len(clean)])
    auc = area(np.concatenate([noisy, clean]), is_noisy)
    low = high = np.nan
    if np.isfinite(auc):
        low, high = newcombe_interval(auc, len(noisy), len(clean), level)
    return {name: auc, f"{name}_low": low, f"{name}_high": high}


def rivals_markdown(
    table: pd.DataFrame, networks: pd.DataFrame, level: float = 0.95
) -> str:
    """Write the table of `rivals` as Markdown, with what it does not say.

    Parameters
    ----------
    table : pandas.DataFrame
        What `rivals` returned.
    networks : pandas.DataFrame
        What it was given.
    level : float, default 0.95
        Its confidence.
    """
    each = networks.drop_duplicates(NOISE_KEY).groupby("label_noise")
    means = each[["accuracy_train", "accuracy_true", "accuracy_test"]].mean()
    facts = pd.DataFrame(
        {
            "noise": [f"{100 * noise:g} %" for noise in means.index],
            "networks": each.size(),
            "reached": each["reached"].sum(),
            "epochs": each["n_epochs"].mean().map("{:.0f}".format),
            "training accuracy": means["accuracy_train"].map("{:.3f}".format),
            "by true labels": means["accuracy_true"].map("{:.3f}".format),
            "test accuracy": means["accuracy_test"].map("{:.3f}".format),
        }
    )
    levels = [
        name
        for name in map(str, table)
        if name.startswith("noise_") and name.endswith("_mean")
    ]
    ends = [
        f"{100 * table[name].iloc[0]:g} %" for name in ("least_noise", "most_noise")
    ]
    compared = f"Compared below: {ends[1]} of noise with {ends[0]}."
    parts = [markdown_table(facts), f"{_counts(networks)} {compared}"]
    for phase, rows in table.groupby("phase", sort=False):
        tells = (rows["joint_low"] > 0.5) | (rows["joint_high"] < 0.5)
        cells = pd.DataFrame(
            {
                f"measure, {phase} samples": rows["measure"],
                **{
                    name.split("_")[1] + " %": rows[name].map(_short) for name in levels
                },
                "difference": _interval(rows, "difference_mean", "difference"),
                "slope": _interval(rows, "slope_mean", "slope"),
                "AUC": _interval(rows, "auc", "auc"),
                "jointly": np.where(tells, "told apart", "open"),
                "AUC of expectation": rows["expectation_auc"].map(_short),
                "beyond": _interval(rows, "beyond_mean", "beyond"),
                "with the rate": rows["rate_correlation"].map(_short),
            }
        )
        parts.append(markdown_table(cells))
    words = "; ".join(
        f"{name}: {rival.words}"
        + (f" (expectation: {rival.follows})" if rival.expectation else "")
        for name, rival in RIVALS.items()
        if name in set(table["measure"])
    )
    parts += [_NOTES.format(level=100 * level), f"{words}."]
    return "\n".join(part.rstrip("\n") + "\n" for part in parts)


def _interval(rows: pd.DataFrame, value: str, name: str) -> pd.Series:
    """Write values with their intervals."""
    ends = [
        rows[column].map(_short) for column in (value, f"{name}_low", f"{name}_high")
    ]
    text = ends[0] + " (" + ends[1] + " to " + ends[2] + ")"
    return text.where(np.isfinite(rows[value]), "none")


def _short(value: float) -> str:
    return number_or_none(value, ".3g")
