"""Where our numbers agree with the paper's, and what the rows say about it where they do not."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ann2neo.study.conditions import CONDITIONS
from ann2neo.study.markdown import markdown_table
from ann2neo.study.paper_tables import compare_with_paper
from ann2neo.study.published import KEY, paper_table
from ann2neo.study.results import NETWORK_KEY, Results

__all__ = ["differences_markdown", "rates_beside_paper", "rates_markdown"]

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
        A row per cell and split: `KEY`, ``ours`` (mean over ``n_seeds``), ``paper``, ``difference``, ``doubt``,
        ``near``, and for untrained networks ``by_chance``: 95 % of differences are smaller where both draw their
        weights anew. Units of an untrained layer are independent draws, so that a mean over them has the standard
        error of the units' rates over the square root of the width, ours also over that of the seeds.
    """
    table = compare_with_paper(results)
    table = table[(table["quantity"] == "mean_firing_rate") & table["paper"].notna()]
    table = table[table["condition"].isin(["generalizing", "random"])].reset_index(drop=True)
    variances = results.unit_rates.groupby([*NETWORK_KEY, "split"])["firing_rate"].var(ddof=1).rename("variance")
    ours = variances.reset_index().groupby(KEY)["variance"].mean()
    theirs = paper_table(2).set_index(KEY)["cv_firing_rate_percent"]
    by_chance = []
    for row in table.to_dict("records"):
        key = tuple(row[name] for name in KEY)
        paper_variance = (theirs[key] / 100 * row["paper"]) ** 2
        error = np.sqrt((ours[key] / row["n_seeds"] + paper_variance) / row["width"])
        by_chance.append(1.96 * error if row["condition"] == "random" else np.nan)
    columns = [*KEY, "ours", "n_seeds", "paper", "difference", "doubt"]
    return table[columns].assign(near=table["difference"].abs() <= NEAR + 1e-9, by_chance=by_chance)


def rates_markdown(results: Results) -> str:
    """Share of rates within `NEAR` of table 2, and every exception with what is known about it."""
    table = rates_beside_paper(results)
    if table.empty:
        return "No generalizing or untrained network of the paper is there yet.\n"
    text = ""
    for network, part in table.groupby("network", sort=False):
        sound = part[part["doubt"] == ""]
        n_near = int(sound["near"].sum())
        text += (
            f"{network}: {n_near} of {len(sound)} cells are within {NEAR:.2f} of table 2 "
            f"({n_near / max(1, len(sound)):.0%}; generalizing and untrained, both splits)"
        )
        n_doubtful = len(part) - len(sound)
        text += f", {n_doubtful} doubtful ones of the paper set aside" if n_doubtful else ""
        text += f". The largest difference is {sound['difference'].abs().max():.2f}.\n" if len(sound) else ".\n"
    text += f"\n{_chance(table)}\n"
    odd = table[~table["near"] | (table["doubt"] != "")]
    if odd.empty:
        return text
    text += f"Cells further off than {NEAR:.2f}, and doubtful ones:\n\n"
    heads = ["network", "width", "data", "split", "condition", "ours", "paper", "difference", "what the rows say"]
    rows = [[*(row[name] for name in KEY), *_numbers(row), _reason(row, results)] for row in odd.to_dict("records")]
    return text + markdown_table(heads, rows)


def _chance(table: pd.DataFrame) -> str:
    drawn = table[(table["condition"] == "random") & (table["doubt"] == "") & (table["split"] == "train")]
    if drawn.empty:
        return ""
    inside = int((drawn["difference"].abs() <= drawn["by_chance"]).sum())
    mean = drawn["difference"].mean()
    higher = int((drawn["difference"] > 0).sum())
    return (
        f"An untrained network's rate depends on the draw of its weights alone: {inside} of {len(drawn)} untrained "
        f"cells (training samples) differ from the paper's by no more than two draws do (95 %); ours are higher in "
        f"{higher}, the mean difference is {mean:+.3f}. With weights symmetric about 0 and no bias a rate of 0.5 is "
        "expected, whatever the data.\n"
    )


def _numbers(row: dict[str, float]) -> list[str]:
    return [f"{row['ours']:.3f}", f"{row['paper']:.2f}", f"{row['difference']:+.3f}"]


def _reason(row: dict[str, object], results: Results) -> str:
    if row["doubt"]:
        return f"the paper's number is doubtful: {row['doubt']}"
    if row["condition"] == "random":
        limit, off = float(str(row["by_chance"])), abs(float(str(row["difference"])))
        seen = "within" if off <= limit else "**beyond**"
        return f"{seen} what two draws of weights differ by (±{limit:.2f})"
    table = results.table
    for name in KEY:
        table = table[table[name] == row[name]]
    return (
        f"trained to {100 * table['accuracy_train'].mean():.2f} % (asked: {100 * table['target_accuracy'].mean():.2f} "
        f"%) in {table['n_epochs'].min()} to {table['n_epochs'].max()} epochs; no reason in the rows"
    )


def differences_markdown(results: Results) -> str:
    """How far our numbers lie from the paper's, by quantity and condition, doubtful cells set aside."""
    table = compare_with_paper(results)
    sound = table[table["difference"].notna() & (table["doubt"] == "")]
    rows = []
    for quantity, limit in _TOLERANCES.items():
        for condition in CONDITIONS:
            off = sound[(sound["quantity"] == quantity) & (sound["condition"] == condition)]["difference"]
            if len(off):
                near = f"{int((off.abs() <= limit + 1e-9).sum())} of {len(off)}"
                spread = [f"{off.median():+.3g}", f"{off.abs().median():.3g}", f"{off.abs().max():.3g}"]
                rows.append([quantity, condition, near, f"{limit:g}", *spread])
    heads = ["quantity", "condition", "cells near", "near means within", "median difference", "median size", "largest"]
    return markdown_table(heads, rows)
