"""What tells memorizing from generalizing networks, in words chosen by the numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ann2neo.study.conditions import MEMORIZING
from ann2neo.study.indicators import FROM_RATES, INDICATORS
from ann2neo.study.markdown import markdown_table
from ann2neo.study.paired import paired_effect
from ann2neo.study.results import CLUSTER_KEY, NETWORK_KEY, Results
from ann2neo.study.roc import area_words

__all__ = [
    "accuracy_confound",
    "areas_markdown",
    "beside_the_rate",
    "fano_markdown",
    "paired_differences",
    "paired_markdown",
    "telling",
    "telling_markdown",
]

_GOES_WITH_THE_RATE = 0.5
_MOSTLY_RIGHT = 0.9


def paired_differences(results: Results) -> pd.DataFrame:
    """Every memorizing network beside the generalizing one of the same data set,
    architecture, width, seed and samples.

    Returns
    -------
    pandas.DataFrame
        `NETWORK_KEY`, ``split``, ``memorizing``, ``generalizing`` (mean firing rates)
        and ``difference``.
    """
    table = results.table[[*NETWORK_KEY, "split", "mean_firing_rate"]]
    generalizing = table[table["condition"] == "generalizing"].drop(columns="condition")
    pairs = table[table["condition"].isin(MEMORIZING)].merge(
        generalizing, on=[*CLUSTER_KEY, "split"], suffixes=("", "_generalizing")
    )
    pairs = pairs.rename(
        columns={
            "mean_firing_rate": "memorizing",
            "mean_firing_rate_generalizing": "generalizing",
        }
    )
    return pairs.assign(difference=pairs["memorizing"] - pairs["generalizing"])


def paired_markdown(results: Results) -> str:
    """Whether memorizing networks fire less than their generalizing partners, and every
    exception.
    """
    pairs = paired_differences(results)
    if pairs.empty:
        return "No memorizing network has its generalizing partner yet.\n"
    rows = []
    for split, part in pairs.groupby("split", sort=False):
        # A generalizing network counts once, however many memorizing ones stand beside
        # it.
        effect = paired_effect(
            part.groupby(CLUSTER_KEY)["difference"].mean().to_numpy()
        )
        interval = (
            f"{effect.low:.3f} to {effect.high:.3f}"
            if np.isfinite(effect.low)
            else "none (fewer than 6 pairs)"
        )
        below = f"{int((part['difference'] < 0).sum())} of {len(part)}"
        rows.append(
            [
                split,
                below,
                effect.n,
                f"{effect.estimate:.3f}",
                interval,
                f"{effect.pvalue:.2g}",
            ]
        )
    heads = [
        "samples",
        "memorizing below",
        "generalizing networks",
        "difference of rates",
        "95 % interval",
        "p",
    ]
    text = (
        markdown_table(heads, rows)
        + "\nDifference, interval and p are of Wilcoxon's signed ranks over"
        " generalizing networks (memorizing partners averaged).\n"
    )
    odd = pairs[pairs["difference"] >= 0]
    if odd.empty:
        return f"{text}\nThere is no exception.\n"
    listed = [
        [*(row[name] for name in (*NETWORK_KEY, "split")), *_numbers(row)]
        for row in odd.to_dict("records")
    ]
    table = markdown_table(
        [*NETWORK_KEY, "samples", "memorizing", "generalizing", "difference"], listed
    )
    return f"{text}\nThe exceptions:\n\n{table}"


def _numbers(row: dict[str, float]) -> list[str]:
    return [
        f"{row['memorizing']:.3f}",
        f"{row['generalizing']:.3f}",
        f"{row['difference']:+.3f}",
    ]


def fano_markdown(results: Results, areas: pd.DataFrame) -> str:
    """What a Fano factor is worth as an indicator once the rate is known."""
    over_all = areas[areas["held_out"] == ""].set_index("statistic")
    table = results.table[["mean_firing_rate", "mean_fano_factor"]].dropna()
    correlation = float(np.corrcoef(table.to_numpy(float).T)[0, 1])
    rate, fano = (
        over_all.loc[name] for name in ("mean_firing_rate", "mean_fano_factor")
    )
    text = (
        f"Over all {len(table)} rows mean firing rate and mean Fano factor correlate"
        f" with r = {correlation:.4f}. The Fano factor's AUC is {area_words(fano)}, the"
        f" rate's {area_words(rate)}. "
    )
    if "fano_beyond_rate" not in over_all.index:
        return text + "The rows lack what is needed to take the rate away.\n"
    beyond, dispersion = (
        over_all.loc[name] for name in ("fano_beyond_rate", "mean_dispersion")
    )
    text += (
        f"Taking away what the units' rates give leaves an AUC of {area_words(beyond)};"
        " mean dispersion, the Fano factor freed of the rate, has"
        f" {area_words(dispersion)}. "
    )
    if np.isnan(beyond["low"]):
        return text + "Too few networks to say more.\n"
    if (
        beyond["low"] <= 0.5 <= beyond["high"]
        and dispersion["low"] <= 0.5 <= dispersion["high"]
    ):
        return (
            text + "**Once the rate is known, the Fano factor adds nothing that these"
            " networks could show.**\n"
        )
    return (
        text
        + "**An interval leaves out 0.5. In random order nothing but chance or a fault"
        f" in the shuffle can do that**, with {len(over_all)} statistics looked at.\n"
    )


def telling(areas: pd.DataFrame) -> pd.DataFrame:
    """The statistics that tell the kinds apart over all networks, by intervals that
    hold for all of them at once.
    """
    over_all = areas[areas["held_out"] == ""]
    return over_all[(over_all["joint_low"] > 0.5) | (over_all["joint_high"] < 0.5)]


def accuracy_confound(results: Results) -> str:
    """How many memorizing networks answer worse on their own training samples than
    their generalizing partner.
    """
    networks = results.table.drop_duplicates(NETWORK_KEY)
    generalizing = networks[networks["condition"] == "generalizing"][
        [*CLUSTER_KEY, "accuracy_train"]
    ]
    memorizing = networks[networks["condition"].isin(MEMORIZING)]
    pairs = memorizing.merge(
        generalizing, on=CLUSTER_KEY, suffixes=("", "_generalizing")
    )
    worse = int(
        (pairs["accuracy_train"] < pairs["accuracy_train_generalizing"] - 0.05).sum()
    )
    return (
        f"{worse} of {len(pairs)} memorizing networks get fewer of their training"
        " samples right than their generalizing partner, by more than 5 percentage"
        " points"
    )


def telling_markdown(areas: pd.DataFrame) -> str:
    """Which statistics tell the kinds apart, what the rate alone says, and whether it
    carries over to the held out.
    """
    over_all, useful = areas[areas["held_out"] == ""], telling(areas)
    text = (
        f"{len(useful)} of {len(over_all)} statistics have an interval that leaves out"
        f" 0.5 when all {len(over_all)} are looked at together (Bonferroni)"
    )
    if useful.empty:
        return (
            f"{text}: with {over_all['n_clusters'].max()} clusters of networks nothing"
            " is shown to differ.\n"
        )
    text += f": {', '.join(useful['statistic'])}. "
    single = over_all[(over_all["low"] > 0.5) | (over_all["high"] < 0.5)]
    others = [
        name for name in single["statistic"] if name not in set(useful["statistic"])
    ]
    text += f"Looked at alone, so would {' and '.join(others)}. " * bool(others)
    text += f"\n\n{beside_the_rate(areas)}\n"
    held_out = areas[
        (areas["held_out"] != "") & areas["statistic"].isin(useful["statistic"])
    ]
    if held_out.empty:
        return (
            f"{text}\nNothing could be held out: there is one architecture and one data"
            " set of networks only.\n"
        )
    return f"{text}\n{_carried_over(held_out)}\n"


def beside_the_rate(areas: pd.DataFrame) -> str:
    """What the statistics that tell the kinds apart can add to the mean firing rate."""
    useful = telling(areas).set_index("statistic")
    others = useful.drop(index="mean_firing_rate", errors="ignore")
    exact = [name for name in FROM_RATES if name in others.index]
    others = others.drop(index=exact)
    along = others[others["rate_correlation"].abs() >= _GOES_WITH_THE_RATE]
    parts = (
        [f"{' and '.join(exact)} follow{'s' * (len(exact) == 1)} from the rates"]
        if exact
        else []
    )
    if len(along):
        listed = ", ".join(
            f"{name} ({row['rate_correlation']:+.2f})" for name, row in along.iterrows()
        )
        parts.append(
            f"{listed} go{'es' * (len(along) == 1)} with the mean firing rate"
            " (Spearman's rank correlation among memorizing networks,"
            f" {_GOES_WITH_THE_RATE} and more)"
        )
    text = f"Of these {'; '.join(parts)}. " if parts else ""
    rate = areas[(areas["held_out"] == "") & (areas["statistic"] == "mean_firing_rate")]
    if (
        len(rate)
        and max(rate["auc"].iloc[0], 1 - rate["auc"].iloc[0]) == 1
        and len(useful) > 1
    ):
        text += (
            "The rate alone tells all these networks apart, so that no other statistic"
            " is shown to add to it."
        )
    return text.strip()


def _carried_over(held_out: pd.DataFrame) -> str:
    """Which of the useful statistics stay useful where direction and threshold come
    from other networks.
    """

    def by_part(column: str) -> pd.DataFrame:
        return held_out.pivot_table(
            index="statistic",
            columns="held_out",
            values=column,
            sort=False,
            dropna=False,
        )

    def listed(chosen: pd.Series) -> str:
        return ", ".join(str(name) for name in chosen.index[chosen]) or "none"

    auc, low, balanced = (
        by_part(column) for column in ("auc", "low", "balanced_accuracy")
    )
    with_interval = [name for name in low if low[name].notna().any()]
    without = [str(name) for name in auc if name not in with_interval]
    text = (
        "Each architecture and data set held out in turn, direction and threshold"
        f" learned from the others ({', '.join(auc)}). "
    )
    if with_interval:
        kept = listed((low[with_interval] > 0.5).all(axis=1))
        text += (
            f"Of these {len(auc)} useful with an interval above 0.5 on"
            f" {', '.join(with_interval)}: {kept}. "
        )
    if without:
        text += f"Too few networks for an interval: {', '.join(without)}. "
    text += (
        "Of these direction turned round somewhere (AUC below 0.5):"
        f" {listed((auc < 0.5).any(axis=1))}. "
    )
    right = (balanced >= _MOSTLY_RIGHT).all(axis=1)
    return (
        text + f"The threshold carries over, {_MOSTLY_RIGHT:.0%} told right everywhere"
        f" (balanced accuracy, second number of the cells below): {listed(right)}."
    )


def _area_cell(row: pd.Series, part: str) -> str:
    words = area_words(row, turned=not part)
    return f"{words}, {row['balanced_accuracy']:.0%}" if part else words


def areas_markdown(areas: pd.DataFrame) -> str:
    """All areas, a row a statistic and a column each for all networks and for every
    part held out.
    """
    parts = list(dict.fromkeys(areas["held_out"]))
    heads = ["statistic", "with the rate"]
    for part in parts:
        first = areas[areas["held_out"] == part].iloc[0]
        name = f"{part} held out" if part else "all networks"
        heads.append(f"{name} ({first['n_memorizing']} and {first['n_generalizing']})")
    rows = []
    for statistic, found in areas.groupby("statistic", sort=False):
        by_part = found.set_index("held_out")
        cells = [
            _area_cell(by_part.loc[part], part) if part in by_part.index else "–"
            for part in parts
        ]
        along = found["rate_correlation"].iloc[0]
        rows.append([statistic, "–" if np.isnan(along) else f"{along:+.2f}", *cells])
    notes = "".join(
        f"- {name}: {INDICATORS[name]}.\n" for name in areas["statistic"].unique()
    )
    return (
        f"{markdown_table(heads, rows)}\nStatistics of test samples. AUC (95 %"
        " interval; numbers of memorizing and generalizing networks in the head): the"
        " probability that of two networks the memorizing one has the larger, or the"
        " smaller, value; 1 is best, 0.5 of no use. Held out: direction and threshold"
        " come from the other networks; below 0.5 the direction did not carry over,"
        " and the percentage is the balanced accuracy of the threshold, 50 % being"
        " chance. With the rate: Spearman's rank correlation with the mean firing rate"
        " among memorizing networks. Networks of one data set, architecture, width and"
        " seed are one cluster; with fewer than four clusters there is no interval."
        " Intervals are about other seeds of these cells, not other"
        f" architectures.\n\n{notes}"
    )
