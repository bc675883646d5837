"""The paper's tables 1, 2 and 5 from our results, ours beside theirs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from ann2neo.study.conditions import CONDITIONS, MEMORIZING
from ann2neo.study.memorization import MIN_GAIN, memorization, memorization_note
from ann2neo.study.published import KEY, doubts, paper_table
from ann2neo.study.results import CLUSTER_KEY, NETWORK_KEY, Results, stopped_short

__all__ = [
    "TABLES",
    "agreement",
    "compare_with_paper",
    "markdown_table",
    "number_or_none",
    "rate_tests",
    "split_tests",
    "table_markdown",
]

TABLES: Mapping[int, str] = {
    1: "Accuracy on training and validation samples, percent",
    2: (
        "Mean firing rate (spikes per sample) and its coefficient of variation over"
        " units, percent"
    ),
    5: "Mean Fano factor (population variance)",
}
"""Numbers and contents of the tables."""

_QUANTITIES = {
    "accuracy_percent": (1, "accuracy", 2, 1.0),
    "mean_firing_rate": (2, "rate", 2, 0.10),
    "cv_firing_rate_percent": (2, "CV", 1, 20.0),
    "mean_fano_factor": (5, "Fano", 2, 0.10),
}
"""Table, heading, printed digits, and the difference up to which cells agree."""

_MARKS = {
    "stopped_short": (
        "‡",
        "ours stopped at the limit of epochs, short of the paper's training accuracy.",
    ),
    "from_scratch": (
        "¶",
        (
            "ours started without ImageNet's weights, theirs with them: another"
            " experiment."
        ),
    ),
    "mixed": ("§", "ours was trained in mixed precision."),
    "not_memorizing": (
        "◇",
        "ours was trained on permuted labels and does not memorize them.",
    ),
}
"""Column of `compare_with_paper`, its mark in a printed table, and what it means."""

_SHORT = dict(
    zip(
        CONDITIONS,
        ("random", "generalizing", "retrain last", "random last", "retrain all"),
        strict=True,
    )
)


def compare_with_paper(results: Results, min_gain: float = MIN_GAIN) -> pd.DataFrame:
    """Put every number of the paper's tables beside ours.

    Parameters
    ----------
    results : Results
        What `load_results` read.
    min_gain : float, default 0.10
        As in `memorization`.

    Returns
    -------
    pandas.DataFrame
        One row per cell of tables 1, 2 and 5 that we ran: ``table``, network, width,
        dataset, split, condition, ``quantity``, ``ours`` (mean over seeds), ``sd`` over
        seeds, ``n_seeds``, ``paper``, ``difference``, ``starred`` (table 5: the paper's
        mark), ``doubt``, what speaks against the paper's number, empty where nothing
        does, and whether a network of ours ``stopped_short`` of the paper's accuracy,
        trained ``from_scratch`` where the paper's had ImageNet's weights, in ``mixed``
        precision, or on permuted labels and is ``not_memorizing`` them.
    """
    table = results.table
    judged = memorization(results, min_gain)
    failed = pd.MultiIndex.from_frame(judged.loc[~judged["memorizes"], NETWORK_KEY])
    flags = table.assign(
        stopped_short=stopped_short(table),
        from_scratch=(table["network"] == "DenseNet121")
        & ~table["pretrained"].astype(bool),
        mixed=(table["precision"] != "float32") & (table["condition"] != "random"),
        not_memorizing=pd.MultiIndex.from_frame(table[NETWORK_KEY]).isin(failed),
    )
    experiment = [name for name in KEY if name != "split"]
    marks = flags.groupby(experiment)[[*_MARKS]].any().reset_index()
    # Accuracies stand in columns of a network's rows, one for each of their splits.
    networks = table.drop_duplicates(NETWORK_KEY)
    accuracies = pd.concat(
        networks.assign(
            split=split, accuracy_percent=100 * networks[f"accuracy_{split}"]
        )
        for split in ("train", "validation")
    )
    parts: list[pd.DataFrame] = []
    for quantity, (number, *_) in _QUANTITIES.items():
        rows = accuracies if quantity == "accuracy_percent" else table
        of_cells = rows.groupby(KEY, sort=False)[quantity]
        ours = of_cells.agg(ours="mean", sd="std", n_seeds="size")
        theirs = paper_table(number).set_index(KEY).rename(columns={quantity: "paper"})
        theirs = theirs.reindex(columns=["paper", "starred"])
        both = ours.join(theirs).join(doubts([quantity])).reset_index()
        parts.append(both.assign(table=number, quantity=quantity))
    compared = pd.concat(parts, ignore_index=True)
    compared = compared.assign(
        starred=compared["starred"].fillna(0).astype(bool),
        difference=compared["ours"] - compared["paper"],
        doubt=compared["doubt"].fillna(""),
    )
    numbers = ["ours", "sd", "n_seeds", "paper", "starred", "difference", "doubt"]
    return compared[["table", *KEY, "quantity", *numbers]].merge(
        marks, on=experiment, how="left", validate="many_to_one"
    )


def agreement(results: Results) -> pd.DataFrame:
    """Summarize how far our numbers lie from the paper's.

    Cells of the paper that are doubtful are set aside, and cells of ours that stopped
    short of the paper's accuracy or started without ImageNet's weights.

    Returns
    -------
    pandas.DataFrame
        One row per ``quantity``, ``network`` and ``condition``: ``n_cells`` and
        ``n_set_aside``; ``n_near``, cells at most ``tolerance`` apart;
        ``median_difference``, ``largest`` and ``rms`` (root mean square) of the
        differences; ``sd_over_seeds``, its median; and for mean firing rates
        ``n_near_one_half`` and ``rms_one_half``, what a rate of 0.5 for every network
        would score. Accuracies are those on validation samples, the others those on
        training samples.
    """
    table = compare_with_paper(results)
    split = np.where(table["quantity"] == "accuracy_percent", "validation", "train")
    table = table[(table["split"] == split) & table["difference"].notna()]
    is_rate = table["quantity"] == "mean_firing_rate"
    table = table.assign(
        sound=(table["doubt"] == "") & ~table["stopped_short"] & ~table["from_scratch"],
        tolerance=[_QUANTITIES[name][3] for name in table["quantity"]],
        one_half=(0.5 - table["paper"]).where(is_rate),
        quantity=pd.Categorical(table["quantity"], list(_QUANTITIES)),
        condition=pd.Categorical(table["condition"], CONDITIONS),
    )
    rows = []
    names = ["quantity", "network", "condition"]
    for key, cells in table.groupby(names, observed=True):
        sound = cells[cells["sound"]]
        off, half = sound["difference"], sound["one_half"]
        # A difference of printed numbers misses the tolerance by its rounding.
        limit = cells["tolerance"].iloc[0] + 1e-9
        rows.append(
            {
                **dict(zip(names, key, strict=True)),
                "n_cells": len(sound),
                "n_set_aside": len(cells) - len(sound),
                "tolerance": cells["tolerance"].iloc[0],
                "n_near": int((off.abs() <= limit).sum()),
                "n_near_one_half": (
                    (half.abs() <= limit).sum() if half.notna().any() else np.nan
                ),
                "median_difference": off.median(),
                "largest": off.abs().max(),
                "rms": np.sqrt((off**2).mean()),
                "rms_one_half": np.sqrt((half**2).mean()),
                "sd_over_seeds": sound["sd"].median(),
            }
        )
    return pd.DataFrame(rows)


def rate_tests(results: Results) -> pd.DataFrame:
    """Compare unit rates between conditions by Kolmogorov-Smirnov tests.

    Parameters
    ----------
    results : Results
        What `load_results` read.

    Returns
    -------
    pandas.DataFrame
        One row per pair of conditions, split and seed: ``first``, ``second``,
        ``distance``, ``pvalue``, ``adjusted`` (Benjamini-Hochberg over all rows), and
        ``shown_to_differ``. The test cannot show sameness: what is not shown to differ
        may differ.
    """
    place = [*CLUSTER_KEY, "split"]
    pairs = [pair for pair in combinations(CONDITIONS, 2) if pair[0] not in MEMORIZING]
    return _tests(results.unit_rates, place, "condition", pairs)


def split_tests(results: Results) -> pd.DataFrame:
    """Compare unit rates on training and on test samples, as `rate_tests` does.

    Returns
    -------
    pandas.DataFrame
        One row per network.
    """
    return _tests(results.unit_rates, NETWORK_KEY, "split", [("train", "test")])


def _tests(
    unit_rates: pd.DataFrame,
    place: Sequence[str],
    by: str,
    pairs: Iterable[tuple[str, str]],
) -> pd.DataFrame:
    from scipy.stats import false_discovery_control, ks_2samp

    rates = dict(list(unit_rates.groupby([*place, by])["firing_rate"]))
    rows = []
    for key in unit_rates[[*place]].drop_duplicates().itertuples(index=False):
        for first, second in pairs:
            if (*key, first) in rates and (*key, second) in rates:
                test = ks_2samp(rates[*key, first], rates[*key, second])
                rows.append((*key, first, second, test.statistic, test.pvalue))
    columns = [*place, "first", "second", "distance", "pvalue"]
    tests = pd.DataFrame(rows, columns=columns)
    adjusted = false_discovery_control(tests["pvalue"]) if rows else np.zeros(0)
    return tests.assign(adjusted=adjusted, shown_to_differ=adjusted <= 0.05)


def markdown_table(table: pd.DataFrame, rule: str = "---") -> str:
    """Write a table as Markdown, one line per row and without padding.

    Examples
    --------
    >>> print(markdown_table(pd.DataFrame({"a": [1], "b": ["x"]})), end="")
    | a | b |
    |---|---|
    | 1 | x |
    """
    rows = [table.columns, *table.astype(object).to_numpy()]
    lines = [f"| {' | '.join(map(str, cells))} |\n" for cells in rows]
    lines.insert(1, "|" + f"{rule}|" * table.shape[1] + "\n")
    return "".join(lines)


def number_or_none(value: float, form: str = ".2f") -> str:
    """Format a number; "none" where it does not exist."""
    return format(value, form) if np.isfinite(value) else "none"


def table_markdown(results: Results, number: int, min_gain: float = MIN_GAIN) -> str:
    """Write one of the paper's tables as Markdown, ours beside theirs.

    Parameters
    ----------
    results : Results
        What `load_results` read.
    number : {1, 2, 5}
        Which table.
    min_gain : float, default 0.10
        As in `memorization`.

    Returns
    -------
    str
        One row per network, width, data set and split, one column per condition. Every
        cell reads "ours (theirs, difference)", with † where their number is doubtful
        and * where they starred it, and with the marks of `compare_with_paper`.
    """
    table = compare_with_paper(results, min_gain)
    table = table[table["table"] == number]
    headings = {
        name: heading
        for name, (of_table, heading, *_) in _QUANTITIES.items()
        if of_table == number
    }
    heads = [
        f"{_SHORT[condition]} {heading}"
        for condition in CONDITIONS
        for heading in headings.values()
        if condition in set(table["condition"])
    ]
    cells = table.assign(
        text=[_cell(row) for row in table.to_dict("records")],
        head=table["condition"].map(_SHORT) + " " + table["quantity"].map(headings),
    )
    place = ["network", "width", "dataset", "split"]
    # Pivoting sorts; the lines keep the order of the results.
    order = pd.MultiIndex.from_frame(table[place].drop_duplicates())
    lines = cells.pivot_table("text", place, "head", aggfunc="first")
    lines = lines.reindex(index=order, columns=heads).fillna("–")
    n_ours = int(table["paper"].notna().sum() / len(headings))
    coverage = (
        f"{n_ours} of the paper's {len(paper_table(number))} cells; means over"
        f" {table['n_seeds'].min()} to {table['n_seeds'].max()} seeds."
    )
    notes = [coverage, memorization_note(memorization(results, min_gain), min_gain)]
    if number == 2:
        tests = rate_tests(results)
        alike = {key: _alike_words(part) for key, part in tests.groupby(place)}
        lines["not shown to differ"] = [alike.get(key, "–") for key in lines.index]
        notes.append(
            "Not shown to differ: two-sample Kolmogorov-Smirnov tests of unit rates,"
            " adjusted p > 0.05 (Benjamini-Hochberg over the table), in so many of the"
            f" seeds; no evidence of sameness. {_alike_note(tests)}"
        )
    if number == 5:
        notes.append(
            "\\* starred in the paper as not significantly different from 1, by a rule"
            " it does not state."
        )
    notes += [
        f"{mark} {words}" for name, (mark, words) in _MARKS.items() if table[name].any()
    ]
    notes += _doubt_notes(table, place)
    title = f"Table {number}. {TABLES[number]}: ours (paper's, difference).\n\n"
    lines = lines.reset_index().rename(columns={"dataset": "data"})
    listed = "".join(f"- {note}\n" for note in notes)
    return f"{title}{markdown_table(lines, ' --- ')}\n{listed}"


def _doubt_notes(table: pd.DataFrame, place: list[str]) -> list[str]:
    """Write one note per doubtful cell, each reason once, in the order of the lines."""
    cells = table.assign(
        line=table.groupby(place, sort=False).ngroup(),
        order=table["condition"].map(CONDITIONS.index),
        doubt=table["doubt"].str.split("; "),
    )
    cells = cells.sort_values(["line", "order"], kind="stable").explode("doubt")
    cells = cells[cells["doubt"] != ""].drop_duplicates([*KEY, "doubt"])
    by_cell = cells.groupby(KEY, sort=False, as_index=False)
    reasons = by_cell.agg({"doubt": "; ".join}).to_numpy()
    return [f"† {' '.join(map(str, key))}: {words}" for *key, words in reasons]


def _cell(row: Mapping[Any, Any]) -> str:
    digits = _QUANTITIES[row["quantity"]][2]
    ours = number_or_none(row["ours"], f".{digits}f")
    ours += "".join(mark for name, (mark, _) in _MARKS.items() if row[name])
    if not np.isfinite(row["paper"]):
        return ours
    theirs = f"{row['paper']:.{digits}f}"
    if row["starred"]:
        theirs += "\\*"
    if row["doubt"]:
        theirs += "†"
    if np.isfinite(row["difference"]):
        theirs += f", {row['difference']:+.{digits}f}"
    return f"{ours} ({theirs})"


def _alike_words(tests: pd.DataFrame) -> str:
    """Name the pairs of conditions that are not shown to differ."""
    groups: Any = tests.groupby(["first", "second"], sort=False)["shown_to_differ"]
    marks = [
        f"{_SHORT[first]}/{_SHORT[second]} {(~differ).sum()} of {len(differ)}"
        for (first, second), differ in groups
        if not differ.all()
    ]
    return "; ".join(marks) or "all differ"


def _alike_note(tests: pd.DataFrame) -> str:
    """Count pairs that are not shown to differ, beside the paper's own finding."""
    kinds = {
        ("generalizing", True): "generalizing and trained on permuted labels",
        ("random", True): "untrained and trained on permuted labels",
        ("random", False): "untrained and generalizing",
    }
    kind = ["first", tests["second"].isin(MEMORIZING)]
    groups: dict[Any, Any] = dict(list(tests.groupby(kind)["shown_to_differ"]))
    counted = [
        f"{words} {(~groups[of]).sum()} of {len(groups[of])}"
        for of, words in kinds.items()
        if of in groups
    ]
    if not counted:
        return ""
    return (
        f"Over all rows not shown to differ: {', '.join(counted)}. The paper finds"
        " untrained and generalizing networks significantly similar in many cases,"
        " memorizing ones different in nearly all (its section 3.3.2)."
    )
