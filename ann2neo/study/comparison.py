"""Where our numbers agree with the paper's, and what the rows say about it where they
do not.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ann2neo.study.conditions import CONDITIONS
from ann2neo.study.markdown import markdown_table
from ann2neo.study.paper_tables import compare_with_paper
from ann2neo.study.published import KEY, paper_table
from ann2neo.study.results import NETWORK_KEY, Results

__all__ = [
    "comparable",
    "differences_markdown",
    "rates_beside_paper",
    "rates_in_short",
    "rates_markdown",
]

NEAR = 0.10
"""Mean firing rates this close count as agreeing."""

_TOLERANCES = {
    "accuracy_percent": 1.0,
    "mean_firing_rate": NEAR,
    "cv_firing_rate_percent": 20.0,
    "mean_fano_factor": NEAR,
}


def rates_beside_paper(results: Results) -> pd.DataFrame:
    """Mean firing rates of generalizing and untrained networks beside table 2.

    Parameters
    ----------
    results : Results
        What `load_results` read.

    Returns
    -------
    pandas.DataFrame
        A row per cell and split: `KEY`, ``ours`` (mean over ``n_seeds``), ``paper``,
        ``difference``, ``doubt``, ``stopped_short``, ``from_scratch``, ``near``, and
        for untrained networks ``by_chance``: 95 % of differences are smaller where both
        draw their weights anew. Units of an untrained layer are independent draws, so
        that a mean over them has the standard error of the units' rates over the square
        root of the width, ours also over that of the seeds.
    """
    table = compare_with_paper(results)
    table = table[(table["quantity"] == "mean_firing_rate") & table["paper"].notna()]
    table = table[table["condition"].isin(["generalizing", "random"])].reset_index(
        drop=True
    )
    variances = (
        results.unit_rates.groupby([*NETWORK_KEY, "split"])["firing_rate"]
        .var(ddof=1)
        .rename("variance")
    )
    ours = variances.reset_index().groupby(KEY)["variance"].mean()
    theirs = paper_table(2).set_index(KEY)["cv_firing_rate_percent"]
    by_chance = []
    for row in table.to_dict("records"):
        key = tuple(row[name] for name in KEY)
        paper_variance = (theirs[key] / 100 * row["paper"]) ** 2
        error = np.sqrt((ours[key] / row["n_seeds"] + paper_variance) / row["width"])
        by_chance.append(1.96 * error if row["condition"] == "random" else np.nan)
    columns = [
        *KEY,
        "ours",
        "n_seeds",
        "paper",
        "difference",
        "doubt",
        "stopped_short",
        "from_scratch",
    ]
    return table[columns].assign(
        near=table["difference"].abs() <= NEAR + 1e-9, by_chance=by_chance
    )


def rates_markdown(results: Results) -> str:
    """Share of rates within `NEAR` of table 2, and every exception with what is known
    about it.
    """
    table = rates_beside_paper(results)
    if table.empty:
        return "No generalizing or untrained network of the paper is there yet.\n"
    text = ""
    for network, part in table.groupby("network", sort=False):
        sound = part[comparable(part)]
        text += f"{network}: {_share_near(sound)}{_set_aside(part, len(sound))}"
        text += (
            f". The largest difference is {sound['difference'].abs().max():.2f}."
            if len(sound)
            else "."
        )
        text += f" {_beside_one_half(sound)}\n" if len(sound) else "\n"
    text += f"\n{_chance(table)}\n"
    odd = table[~table["near"] | ~comparable(table)]
    if odd.empty:
        return text
    text += f"Cells further off than {NEAR:.2f}, and those set aside:\n\n"
    heads = [
        "network",
        "width",
        "data",
        "split",
        "condition",
        "ours",
        "paper",
        "difference",
        "what the rows say",
    ]
    rows = [
        [*(row[name] for name in KEY), *_numbers(row), _reason(row, results)]
        for row in odd.to_dict("records")
    ]
    return text + markdown_table(heads, rows)


def _beside_one_half(sound: pd.DataFrame) -> str:
    """What a rate of one half for every cell would score: untrained networks are
    expected to have it.
    """
    off = sound["paper"] - 0.5
    text = (
        "A rate of 0.5 throughout would be near in"
        f" {int((off.abs() <= NEAR + 1e-9).sum())} of {len(sound)}"
    )
    trained = sound["condition"] == "generalizing"
    if not trained.any():
        return f"{text}."
    ours, half = (
        float(np.sqrt((column[trained] ** 2).mean()))
        for column in (sound["difference"], off)
    )
    return (
        f"{text}; for generalizing networks its root mean square difference is"
        f" {half:.3f}, ours {ours:.3f}."
    )


def rates_in_short(results: Results) -> str:
    """The same in a sentence an architecture, beside what a rate of one half would
    score; empty without a cell.
    """
    table = rates_beside_paper(results)
    found = [
        f"{network}: {_share_near(part)}. {_beside_one_half(part)}"
        for network, part in table[comparable(table)].groupby("network", sort=False)
    ]
    return f"Mean firing rates. {' '.join(found)}" if found else ""


def _share_near(sound: pd.DataFrame) -> str:
    of_what = "generalizing and untrained, both splits"
    if sound.empty:
        return f"no cell can be compared with table 2 ({of_what})"
    n_near = int(sound["near"].sum())
    share = f"{n_near / len(sound):.0%}; {of_what}"
    return f"{n_near} of {len(sound)} cells are within {NEAR:.2f} of table 2 ({share})"


def _set_aside(part: pd.DataFrame, n_sound: int) -> str:
    n_doubtful = int((part["doubt"] != "").sum())
    n_other = len(part) - n_sound - n_doubtful
    text = f", {n_doubtful} doubtful ones of the paper set aside" * bool(n_doubtful)
    return (
        text + f", {n_other} of ours set aside that stopped short or started without"
        " ImageNet's weights" * bool(n_other)
    )


def _chance(table: pd.DataFrame) -> str:
    drawn = table[
        (table["condition"] == "random")
        & comparable(table)
        & (table["split"] == "train")
    ]
    if drawn.empty:
        return ""
    inside = int((drawn["difference"].abs() <= drawn["by_chance"]).sum())
    mean = drawn["difference"].mean()
    higher = int((drawn["difference"] > 0).sum())
    return (
        "An untrained network's rate depends on the draw of its weights alone:"
        f" {inside} of {len(drawn)} untrained cells (training samples) differ from the"
        f" paper's by no more than two draws do (95 %); ours are higher in {higher},"
        f" the mean difference is {mean:+.3f}. With weights symmetric about 0 and no"
        " bias a rate of 0.5 is expected, whatever the data.\n"
    )


def _numbers(row: dict[str, float]) -> list[str]:
    return [f"{row['ours']:.3f}", f"{row['paper']:.2f}", f"{row['difference']:+.3f}"]


def comparable(table: pd.DataFrame) -> pd.Series:
    """Cells of the same experiment whose published number nothing speaks against."""
    return (table["doubt"] == "") & ~table["stopped_short"] & ~table["from_scratch"]


def _reason(row: dict[str, object], results: Results) -> str:
    if row["doubt"]:
        return f"the paper's number is doubtful: {row['doubt']}"
    if row["from_scratch"]:
        return "started without ImageNet's weights, the paper's with them"
    if row["condition"] == "random":
        limit, off = float(str(row["by_chance"])), abs(float(str(row["difference"])))
        seen = "within" if off <= limit else "**beyond**"
        return f"{seen} what two draws of weights differ by (±{limit:.2f})"
    table = results.table
    for name in KEY:
        table = table[table[name] == row[name]]
    return (
        f"trained to {100 * table['accuracy_train'].mean():.2f} % (asked:"
        f" {100 * table['target_accuracy'].mean():.2f} %) in {table['n_epochs'].min()}"
        f" to {table['n_epochs'].max()} epochs; "
        + (
            "stopped at the limit of epochs"
            if row["stopped_short"]
            else "no reason in the rows"
        )
    )


def differences_markdown(results: Results) -> str:
    """How far our numbers lie from the paper's, by quantity, architecture and
    condition.
    """
    table = compare_with_paper(results)
    # One split each: those of test samples are nearly the same numbers, and training
    # stops at the paper's accuracy.
    one_split = table["split"] == np.where(
        table["quantity"] == "accuracy_percent", "validation", "train"
    )
    known = table[one_split & table["difference"].notna()]
    sound = known[comparable(known)]
    rows = []
    for quantity, limit in _TOLERANCES.items():
        for (network, condition), part in sound[sound["quantity"] == quantity].groupby(
            ["network", "condition"]
        ):
            off = part["difference"]
            relative = (off / part["paper"]).median()
            near = f"{int((off.abs() <= limit + 1e-9).sum())} of {len(off)}"
            seeds = f"{part['sd'].median():.2g}" if part["sd"].notna().any() else "–"
            found = [
                near,
                f"{off.median():+.2g} ({relative:+.0%})",
                f"{off.abs().max():.2g}",
                seeds,
            ]
            rows.append([quantity, network, condition, *found])
    rows.sort(
        key=lambda row: (
            list(_TOLERANCES).index(row[0]),
            row[1],
            CONDITIONS.index(row[2]),
        )
    )
    heads = [
        "quantity",
        "network",
        "condition",
        "cells near",
        "median difference",
        "largest",
        "SD over seeds",
    ]
    limits = ", ".join(f"{name} {limit:g}" for name, limit in _TOLERANCES.items())
    trained = results.table.drop_duplicates(NETWORK_KEY)
    trained = trained[trained["target_accuracy"].notna()]
    reached = int((trained["stopped_by"] == "accuracy").sum())
    n_aside = len(known[known["doubt"] == ""]) - len(sound)
    aside = (
        f", and {n_aside} of ours that stopped short or started without ImageNet's"
        " weights" * bool(n_aside)
    )
    return (
        f"{reached} of {len(trained)} trained networks reached the paper's training"
        " accuracy, where training stops; their validation accuracies are compared,"
        " and rates on training samples. Doubtful cells of the paper are set"
        f" aside{aside}. Near means within: {limits}. For small rates that is generous,"
        " for untrained networks no more than an expected 0.5, and Fano factors repeat"
        f" the rates: the differences say more.\n\n{markdown_table(heads, rows)}"
    )
