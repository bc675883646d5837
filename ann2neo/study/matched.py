"""Generalizing and memorizing networks of the same training accuracy, in words chosen
by the numbers.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import t as student

from ann2neo.study.indicators import INDICATORS, with_derived
from ann2neo.study.markdown import markdown_table
from ann2neo.study.populations import population_intervals
from ann2neo.study.roc import area, area_words, newcombe_interval

__all__ = ["matched_findings", "matched_in_short", "matched_markdown", "moved_further"]


def matched_findings(
    networks: pd.DataFrame, areas: pd.DataFrame | None
) -> tuple[pd.DataFrame, list[str]]:
    """Compare kinds of networks at matched accuracy.

    Parameters
    ----------
    networks : pandas.DataFrame
        What `matched_populations` gave.
    areas : pandas.DataFrame or None
        What `indicators` gave over the study's networks, for the direction there.

    Returns
    -------
    pandas.DataFrame
        A row a statistic: the columns of `population_intervals`, ``auc, low, high`` (a
        memorizing network has the larger value; Newcombe's interval) and ``study``, the
        area in the study's cells.
    list of str
        Statistics that point the other way than in the study's cells, both shown to
        differ from 0.5.
    """
    table = _matched(networks)
    kinds = table[table["condition"].isin(["generalizing", "memorizing"])]
    memorizing = (kinds["condition"] == "memorizing").to_numpy()
    found = population_intervals(table).set_index("statistic")
    found = found.loc[[name for name in INDICATORS if name in found.index]]
    aucs = {
        name: area(kinds[name].to_numpy(np.float64), memorizing) for name in found.index
    }
    n = int(memorizing.sum()), int((~memorizing).sum())
    ends = {name: newcombe_interval(auc, *n) for name, auc in aucs.items()}
    there = (
        pd.DataFrame(columns=["held_out", "statistic", "auc", "low", "high"])
        if areas is None
        else areas
    )
    study = there[there["held_out"] == ""].set_index("statistic").reindex(found.index)
    found = found.assign(
        auc=pd.Series(aucs),
        low=pd.Series({name: low for name, (low, _) in ends.items()}),
        high=pd.Series({name: high for name, (_, high) in ends.items()}),
        study=study["auc"].astype(float),
    )
    opposite = ((found["low"] > 0.5) & (study["high"] < 0.5)) | (
        (found["high"] < 0.5) & (study["low"] > 0.5)
    )
    return found, [str(name) for name in found.index[opposite]]


def _matched(networks: pd.DataFrame) -> pd.DataFrame:
    return with_derived(
        networks[(networks["phase"] == "test") & (networks["labels"] == "true")]
    )


def matched_markdown(
    networks: pd.DataFrame, areas: pd.DataFrame | None, confound: str = ""
) -> str:
    """Compare the same statistics in networks that answer equally well, so that being
    badly trained cannot show.

    Parameters
    ----------
    networks, areas
        As in `matched_findings`.
    confound : str
        What `accuracy_confound` says of the study's cells.

    Returns
    -------
    str
        A table, a row a statistic, and what it says.
    """
    found, opposite = matched_findings(networks, areas)
    rows = []
    for name, row in found.iterrows():
        means = [
            f"{row[f'{kind}_mean']:.3g}"
            for kind in ("random", "generalizing", "memorizing")
        ]
        paired = (
            f"{row['difference_mean']:+.3g} ({row['difference_low']:+.3g} to"
            f" {row['difference_high']:+.3g})"
        )
        study = {"auc": row["study"], "low": np.nan, "high": np.nan}
        there = "" if np.isnan(row["study"]) else area_words(study).partition(" (")[0]
        rows.append([str(name), *means, paired, area_words(row), there])
    heads = [
        "statistic",
        "untrained",
        "generalizing",
        "memorizing",
        "paired difference",
        "AUC",
        "AUC in the study",
    ]
    table = _matched(networks)
    kinds = table[table["condition"].isin(["generalizing", "memorizing"])]
    first, accuracy = kinds.iloc[0], kinds.groupby("condition")["accuracy_train"].mean()
    text = (
        f"Networks of the kind {first['network']} of width {first['width']} trained on"
        f" {first['n_samples']} images of {first['dataset']} reach"
        f" {accuracy['generalizing']:.1%} of them with true labels and"
        f" {accuracy['memorizing']:.1%} with permuted ones ({table['seed'].nunique()}"
        f" seeds; recorded on test samples), after {_epochs(kinds, 'generalizing')} and"
        f" {_epochs(kinds, 'memorizing')} epochs. "
    )
    if confound:
        text += (
            "In the study's own cells a difference may be one of how well a network is"
            f" trained: {confound}. Here it may be one of epochs, and there are fewer"
            " images than there. "
        )
    text += f"\n\n{markdown_table(heads, rows)}"
    if areas is not None:
        which = (
            "**Another direction than in the study's cells, both shown:"
            f" {', '.join(opposite)}.**"
            if opposite
            else "No statistic is shown to point another way than in the study's cells."
        )
        text += f"\n{which}\n"
    text += (
        "\nPaired differences with 95 % intervals of Student's t over seeds; AUC with"
        " Newcombe's interval.\n"
    )
    return f"{text}\n{moved_further(networks)}\n"


def _epochs(kinds: pd.DataFrame, condition: str) -> str:
    found = kinds.loc[kinds["condition"] == condition, "n_epochs"]
    return (
        f"{found.min()} to {found.max()}"
        if found.min() < found.max()
        else f"{found.min()}"
    )


def matched_in_short(networks: pd.DataFrame, areas: pd.DataFrame | None) -> str:
    """What holds at matched accuracy of hypotheses 1 and 3 and of the statistics of the
    study's cells.
    """
    found, opposite = matched_findings(networks, areas)
    first, rate = _matched(networks).iloc[0], found.loc["mean_firing_rate"]
    low, high = rate["difference_low"], rate["difference_high"]
    below = (
        "as the paper has it"
        if high < 0
        else "**against the paper**"
        if low > 0
        else "not decided"
    )
    interval = f"{low:+.3f} to {high:+.3f}"
    text = (
        f"At matched accuracy (one kind of network, {first['network']} of width"
        f" {first['width']} on {first['n_samples']} images of {first['dataset']})"
        " memorizing minus generalizing networks differ by"
        f" {rate['difference_mean']:+.3f} ({interval}) in their mean firing rate"
        f" (hypothesis 1: {below}). {moved_further(networks)}"
    )
    return text + f" Against the study's cells point {', '.join(opposite)}." * bool(
        opposite
    )


def moved_further(networks: pd.DataFrame) -> str:
    """Whether memorizing networks lie further from the untrained ones of their seed
    than generalizing ones (H3).
    """
    rates = (
        _matched(networks)
        .pivot_table(index="seed", columns="condition", values="mean_firing_rate")
        .dropna()
    )
    memorizing, generalizing = (
        (rates[name] - rates["random"]).abs() for name in ("memorizing", "generalizing")
    )
    excess = memorizing - generalizing
    half = float(
        student.ppf(0.975, len(excess) - 1) * excess.std(ddof=1) / np.sqrt(len(excess))
    )
    low, high = excess.mean() - half, excess.mean() + half
    verdict = (
        "as the paper has it"
        if low > 0
        else "**against the paper**"
        if high < 0
        else "not decided"
    )
    return (
        "Hypothesis 3 at matched accuracy: the mean firing rate is"
        f" {rates['random'].mean():.2f} untrained, {rates['memorizing'].mean():.2f}"
        f" memorizing and {rates['generalizing'].mean():.2f} generalizing. Memorizing"
        f" networks lie {memorizing.mean():.3f} from untrained ones, generalizing ones"
        f" {generalizing.mean():.3f}; the difference is {excess.mean():+.3f}"
        f" ({low:+.3f} to {high:+.3f}): {verdict}."
    )
