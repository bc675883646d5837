"""What tells memorizing from generalizing networks, in words chosen by the numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import t as student

from ann2neo.study.areas import area, newcombe_interval
from ann2neo.study.conditions import MEMORIZING
from ann2neo.study.indicators import INDICATORS, with_derived
from ann2neo.study.markdown import markdown_table
from ann2neo.study.paired import paired_effect
from ann2neo.study.populations import population_intervals
from ann2neo.study.results import NETWORK_KEY, Results

__all__ = [
    "areas_markdown",
    "fano_markdown",
    "matched_markdown",
    "paired_differences",
    "paired_markdown",
    "telling_markdown",
]

_CLUSTER = ["dataset", "network", "width", "seed"]


def paired_differences(results: Results) -> pd.DataFrame:
    """Every memorizing network beside the generalizing one of the same data set, architecture, width, seed and samples.

    Returns
    -------
    pandas.DataFrame
        `NETWORK_KEY`, ``split``, ``memorizing``, ``generalizing`` (mean firing rates) and ``difference``.
    """
    table = results.table[[*NETWORK_KEY, "split", "mean_firing_rate"]]
    generalizing = table[table["condition"] == "generalizing"].drop(columns="condition")
    pairs = table[table["condition"].isin(MEMORIZING)].merge(
        generalizing, on=[*_CLUSTER, "split"], suffixes=("", "_generalizing")
    )
    pairs = pairs.rename(columns={"mean_firing_rate": "memorizing", "mean_firing_rate_generalizing": "generalizing"})
    return pairs.assign(difference=pairs["memorizing"] - pairs["generalizing"])


def paired_markdown(results: Results) -> str:
    """Whether memorizing networks fire less than their generalizing partners, and every exception."""
    pairs = paired_differences(results)
    if pairs.empty:
        return "No memorizing network has its generalizing partner yet.\n"
    rows = []
    for split, part in pairs.groupby("split", sort=False):
        # A generalizing network counts once, however many memorizing ones stand beside it.
        effect = paired_effect(part.groupby(_CLUSTER)["difference"].mean().to_numpy())
        interval = f"{effect.low:.3f} to {effect.high:.3f}" if np.isfinite(effect.low) else "none (fewer than 6 pairs)"
        below = f"{int((part['difference'] < 0).sum())} of {len(part)}"
        rows.append([split, below, effect.n, f"{effect.estimate:.3f}", interval, f"{effect.pvalue:.2g}"])
    heads = ["samples", "memorizing below", "generalizing networks", "difference of rates", "95 % interval", "p"]
    text = (
        markdown_table(heads, rows)
        + "\nDifference, interval and p are of Wilcoxon's signed ranks over generalizing networks (memorizing partners "
        "averaged).\n"
    )
    odd = pairs[pairs["difference"] >= 0]
    if odd.empty:
        return f"{text}\nThere is no exception.\n"
    listed = [[*(row[name] for name in (*NETWORK_KEY, "split")), *_numbers(row)] for row in odd.to_dict("records")]
    table = markdown_table([*NETWORK_KEY, "samples", "memorizing", "generalizing", "difference"], listed)
    return f"{text}\nThe exceptions:\n\n{table}"


def _numbers(row: dict[str, float]) -> list[str]:
    return [f"{row['memorizing']:.3f}", f"{row['generalizing']:.3f}", f"{row['difference']:+.3f}"]


def fano_markdown(results: Results, areas: pd.DataFrame) -> str:
    """What a Fano factor is worth as an indicator once the rate is known."""
    over_all = areas[areas["held_out"] == ""].set_index("statistic")
    table = results.table[["mean_firing_rate", "mean_fano_factor"]].dropna()
    correlation = float(np.corrcoef(table.to_numpy(float).T)[0, 1])
    rate, fano = (over_all.loc[name] for name in ("mean_firing_rate", "mean_fano_factor"))
    text = (
        f"Over all {len(table)} rows mean firing rate and mean Fano factor correlate with r = {correlation:.4f}. The "
        f"Fano factor's AUC is {_interval(fano)}, the rate's {_interval(rate)}: turned round, they differ by "
        f"{abs(fano['auc'] - (1 - rate['auc'])):.3f}. "
    )
    if "fano_beyond_rate" not in over_all.index:
        return text + "The rows lack what is needed to take the rate away.\n"
    beyond, dispersion = (over_all.loc[name] for name in ("fano_beyond_rate", "mean_dispersion"))
    text += (
        f"Taking away what the units' rates give leaves an AUC of {_interval(beyond)}; mean dispersion, the Fano "
        f"factor freed of the rate, has {_interval(dispersion)}. "
    )
    if np.isnan(beyond["low"]):
        return text + "Too few networks to say more.\n"
    if beyond["low"] <= 0.5 <= beyond["high"] and dispersion["low"] <= 0.5 <= dispersion["high"]:
        return text + "**Once the rate is known, the Fano factor adds nothing that these networks could show.**\n"
    return text + (
        "**An interval leaves out 0.5. In random order nothing but chance or a fault in the shuffle can do that**, "
        f"with {len(over_all)} statistics looked at.\n"
    )


def _interval(row: pd.Series) -> str:
    if np.isnan(row["auc"]):
        return "none"
    ends = "no interval" if np.isnan(row["low"]) else f"{row['low']:.2f} to {row['high']:.2f}"
    return f"{row['auc']:.2f} ({ends})"


def telling_markdown(areas: pd.DataFrame) -> str:
    """Which statistics tell the kinds apart, and whether that carries over to what was held out."""
    over_all = areas[areas["held_out"] == ""]
    useful = over_all[(over_all["low"] > 0.5) | (over_all["high"] < 0.5)]
    useful = useful.assign(distance=(useful["auc"] - 0.5).abs()).sort_values("distance", ascending=False, kind="stable")
    text = f"Of {len(over_all)} statistics, {len(useful)} have an interval that leaves out 0.5"
    if useful.empty:
        return f"{text}: with {over_all['n_clusters'].max()} clusters of networks nothing is shown to differ.\n"
    listed = [
        f"{row['statistic']} ({'larger' if row['auc'] > 0.5 else 'smaller'} in memorizing ones, "
        f"{_interval(pd.Series(row))})"
        for row in useful.to_dict("records")
    ]
    text += f": {'; '.join(listed)}.\n"
    held_out = areas[(areas["held_out"] != "") & areas["statistic"].isin(useful["statistic"])]
    if held_out.empty:
        return f"{text}\nNothing could be held out: there is one architecture and one data set of networks only.\n"
    return f"{text}\n{_carried_over(held_out)}\n"


def _carried_over(held_out: pd.DataFrame) -> str:
    """Which of the useful statistics stay useful where direction and threshold come from other networks."""
    auc = held_out.pivot_table(index="statistic", columns="held_out", values="auc", sort=False, dropna=False)
    low = held_out.pivot_table(index="statistic", columns="held_out", values="low", sort=False, dropna=False)
    with_interval = [name for name in low if low[name].notna().any()]
    without = [str(name) for name in auc if name not in with_interval]
    turned = [str(name) for name in auc.index[(auc < 0.5).any(axis=1)]]
    text = (
        f"Each architecture and data set held out in turn, direction and threshold from the others ({', '.join(auc)}). "
    )
    if with_interval:
        kept = [str(name) for name in low.index[(low[with_interval] > 0.5).all(axis=1)]]
        text += f"Useful with an interval above 0.5 on {', '.join(with_interval)}: {', '.join(kept) or 'none'}. "
    if without:
        text += f"Too few networks for an interval: {', '.join(without)}. "
    return text + f"Direction turned round somewhere (AUC below 0.5): {', '.join(turned) or 'none'}."


def areas_markdown(areas: pd.DataFrame) -> str:
    """All areas, a row a statistic and a column each for all networks and for every part held out."""
    parts = list(dict.fromkeys(areas["held_out"]))
    heads = ["statistic"]
    for part in parts:
        first = areas[areas["held_out"] == part].iloc[0]
        name = f"{part} held out" if part else "all networks"
        heads.append(f"{name} ({first['n_memorizing']} and {first['n_generalizing']})")
    rows = []
    for statistic, found in areas.groupby("statistic", sort=False):
        by_part = found.set_index("held_out")
        cells = [_interval(by_part.loc[part]) if part in by_part.index else "–" for part in parts]
        rows.append([statistic, *cells])
    noted: dict[str, list[str]] = {}
    for name in areas["statistic"].unique():
        noted.setdefault(INDICATORS[name], []).append(name)
    notes = "".join(f" {', '.join(names)}: {note}." for note, names in noted.items() if note)
    return (
        f"{markdown_table(heads, rows)}\n"
        "AUC (95 % interval; numbers of memorizing and generalizing networks in the head). Over all networks: the "
        "probability that a memorizing network has the larger value. Held out: 1 is best, and below 0.5 the direction "
        "did not carry over. Networks of one data set, architecture, width and seed are one cluster; with fewer than "
        f"four clusters there is no interval. Intervals are about other seeds of these cells, not other "
        f"architectures.{notes}\n"
    )


def matched_markdown(networks: pd.DataFrame, areas: pd.DataFrame | None) -> str:
    """Compare the same statistics in networks that answer equally well, so that being badly trained cannot show.

    Parameters
    ----------
    networks : pandas.DataFrame
        What `matched_populations` gave.
    areas : pandas.DataFrame or None
        What `indicators` gave over the study's networks, for the direction there.

    Returns
    -------
    str
        A table, a row a statistic, and what it says.
    """
    table = with_derived(networks[(networks["phase"] == "test") & (networks["labels"] == "true")])
    kinds = table[table["condition"].isin(["generalizing", "memorizing"])]
    memorizing = (kinds["condition"] == "memorizing").to_numpy()
    differences = population_intervals(table).set_index("statistic")
    study = None if areas is None else areas[areas["held_out"] == ""].set_index("statistic")["auc"]
    rows, turned = [], []
    for name in [name for name in INDICATORS if name in differences.index]:
        values = kinds[name].to_numpy(np.float64)
        auc, row = area(values, memorizing), differences.loc[name]
        low, high = newcombe_interval(auc, int(memorizing.sum()), int((~memorizing).sum()))
        there = "" if study is None or name not in study.index else f"{study[name]:.2f}"
        if there and (study is not None) and (auc - 0.5) * (study[name] - 0.5) < 0:
            turned.append(name)
        means = [f"{row[f'{kind}_mean']:.3g}" for kind in ("random", "generalizing", "memorizing")]
        paired = f"{row['difference_mean']:+.3g} ({row['difference_low']:+.3g} to {row['difference_high']:+.3g})"
        rows.append([name, *means, paired, f"{auc:.2f} ({low:.2f} to {high:.2f})", there])
    heads = ["statistic", "untrained", "generalizing", "memorizing", "paired difference", "AUC", "AUC in the study"]
    first = kinds.iloc[0]
    accuracy = kinds.groupby("condition")["accuracy_train"].mean()
    text = (
        f"Networks of the kind {first['network']} of width {first['width']} trained on {first['n_samples']} images of "
        f"{first['dataset']} reach {accuracy['generalizing']:.1%} of them with true labels and "
        f"{accuracy['memorizing']:.1%} with permuted ones ({table['seed'].nunique()} seeds; recorded on test samples). "
        "In the study's own cells the two kinds differ in accuracy too, so that a difference there may be one of how "
        "well a network is trained.\n\n"
    )
    text += markdown_table(heads, rows)
    if study is not None:
        which = (
            f"**Another direction than in the study's cells: {', '.join(turned)}.**"
            if turned
            else "Every direction is that of the study's cells."
        )
        text += f"\n{which}\n"
    text += "\nPaired differences with 95 % intervals of Student's t over seeds; AUC with Newcombe's interval.\n"
    return f"{text}\n{_nearer(table)}\n"


def _nearer(table: pd.DataFrame) -> str:
    """Whether generalizing networks lie nearer to untrained or to memorizing ones of their seed (hypothesis 3)."""
    rates = table.pivot_table(index="seed", columns="condition", values="mean_firing_rate").dropna()
    to_random = (rates["generalizing"] - rates["random"]).abs()
    excess = (rates["generalizing"] - rates["memorizing"]).abs() - to_random
    half = float(student.ppf(0.975, len(excess) - 1) * excess.std(ddof=1) / np.sqrt(len(excess)))
    low, high = excess.mean() - half, excess.mean() + half
    verdict = "as the paper has it" if low > 0 else "**against the paper**" if high < 0 else "not decided"
    return (
        f"Hypothesis 3 here: the mean firing rate of generalizing networks lies {to_random.mean():.3f} from the "
        f"untrained ones' and {(excess + to_random).mean():.3f} from the memorizing ones'; the second minus the first "
        f"is {excess.mean():+.3f} ({low:+.3f} to {high:+.3f}): {verdict}."
    )
