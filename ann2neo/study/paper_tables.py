"""The paper's tables 1, 2 and 5 from our results, ours beside theirs with the
difference.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd

from ann2neo.study.conditions import CONDITIONS, MEMORIZING
from ann2neo.study.published import KEY, doubtful_cells, paper_table
from ann2neo.study.results import NETWORK_KEY, Results, stopped_short

__all__ = [
    "TABLES",
    "compare_with_paper",
    "rate_tests",
    "split_tests",
    "table_markdown",
]


class _Quantity(NamedTuple):
    table: int
    column: str
    title: str
    digits: int


TABLES: Mapping[int, str] = {
    1: "Accuracy on training and validation samples, percent",
    2: (
        "Mean firing rate (spikes a sample) and its coefficient of variation over"
        " units, percent"
    ),
    5: "Mean Fano factor (population variance)",
}
"""Numbers and contents of the tables."""

_QUANTITIES = (
    _Quantity(1, "accuracy_percent", "accuracy", 2),
    _Quantity(2, "mean_firing_rate", "rate", 2),
    _Quantity(2, "cv_firing_rate_percent", "CV", 1),
    _Quantity(5, "mean_fano_factor", "Fano", 2),
)
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
}
"""What to know of a cell of ours: column of `compare_with_paper`, its mark and words.
"""

_SHORT = dict(
    zip(
        CONDITIONS,
        ("random", "generalizing", "retrain last", "random last", "retrain all"),
        strict=True,
    )
)


def compare_with_paper(results: Results) -> pd.DataFrame:
    """Every number of the paper's tables beside ours.

    Parameters
    ----------
    results : Results
        What `load_results` read.

    Returns
    -------
    pandas.DataFrame
        One row per cell of tables 1, 2 and 5 that we ran: ``table``, network, width,
        dataset, split, condition, ``quantity``, ``ours`` (mean over seeds), ``sd`` over
        seeds, ``n_seeds``, ``paper``, ``difference``, ``starred`` (table 5: the paper's
        mark), ``doubt``, what speaks against the paper's number, empty where nothing
        does, and whether a network of ours ``stopped_short`` of the paper's accuracy,
        trained ``from_scratch`` where the paper's had ImageNet's weights, or in
        ``mixed`` precision.
    """
    doubts: dict[tuple[object, ...], str] = {}
    for doubt in doubtful_cells():
        known = doubts.get(doubt[:6])
        doubts[doubt[:6]] = f"{known}; {doubt.reason}" if known else doubt.reason
    table = results.table
    rows = table.assign(
        stopped_short=stopped_short(table),
        from_scratch=(table["network"] == "DenseNet121")
        & ~table["pretrained"].astype(bool),
        mixed=(table["precision"] != "float32") & (table["condition"] != "random"),
    )
    marks = (
        rows.groupby([name for name in KEY if name != "split"])[[*_MARKS]]
        .any()
        .reset_index()
    )
    parts = []
    for quantity in _QUANTITIES:
        rows = _by_split(results.table, quantity)
        ours = (
            rows.groupby(KEY, sort=False)[quantity.column]
            .agg(ours="mean", sd="std", n_seeds="size")
            .reset_index()
        )
        theirs = paper_table(quantity.table).rename(columns={quantity.column: "paper"})
        if "starred" not in theirs:
            theirs["starred"] = 0
        both = ours.merge(theirs[[*KEY, "paper", "starred"]], on=KEY, how="left")
        both.insert(0, "table", quantity.table)
        both.insert(6, "quantity", quantity.column)
        parts.append(both)
    table = pd.concat(parts, ignore_index=True)
    table["starred"] = table["starred"].fillna(0).astype(bool)
    table["difference"] = table["ours"] - table["paper"]
    names = zip(
        *(
            table[name]
            for name in (
                "quantity",
                "network",
                "width",
                "dataset",
                "split",
                "condition",
            )
        ),
        strict=True,
    )
    table["doubt"] = [doubts.get(name, "") for name in names]
    return table.merge(
        marks,
        on=[name for name in KEY if name != "split"],
        how="left",
        validate="many_to_one",
    )


def _by_split(table: pd.DataFrame, quantity: _Quantity) -> pd.DataFrame:
    if quantity.column != "accuracy_percent":
        return table
    networks = table.drop_duplicates(NETWORK_KEY)
    parts = [
        networks.assign(
            split=split, accuracy_percent=100 * networks[f"accuracy_{split}"]
        )
        for split in ("train", "validation")
    ]
    return pd.concat(parts)[[*KEY, "accuracy_percent"]]


def rate_tests(results: Results) -> pd.DataFrame:
    """Kolmogorov-Smirnov tests of unit rates between conditions, the marks of table 2
    by our rule.

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
    from scipy.stats import ks_2samp

    rows = []
    place = ["dataset", "network", "width", "seed", "split"]
    for key, group in results.unit_rates.groupby(place):
        rates = {
            name: part["firing_rate"].to_numpy()
            for name, part in group.groupby("condition")
        }
        present = [name for name in CONDITIONS if name in rates]
        for first, second in combinations(present, 2):
            if first in MEMORIZING:
                continue
            test = ks_2samp(rates[first], rates[second])
            rows.append((*key, first, second, test.statistic, test.pvalue))
    return _adjusted(
        pd.DataFrame(rows, columns=[*place, "first", "second", "distance", "pvalue"])
    )


def split_tests(results: Results) -> pd.DataFrame:
    """Kolmogorov-Smirnov tests of unit rates on training samples against those on test
    samples, a row a network.

    Parameters
    ----------
    results : Results
        What `load_results` read.

    Returns
    -------
    pandas.DataFrame
        `NETWORK_KEY`, ``distance``, ``pvalue``, ``adjusted`` and ``shown_to_differ``,
        as in `rate_tests`.
    """
    from scipy.stats import ks_2samp

    rows = []
    for key, group in results.unit_rates.groupby(NETWORK_KEY):
        rates = {
            split: part["firing_rate"].to_numpy()
            for split, part in group.groupby("split")
        }
        if {"train", "test"} <= set(rates):
            test = ks_2samp(rates["train"], rates["test"])
            rows.append((*key, test.statistic, test.pvalue))
    return _adjusted(pd.DataFrame(rows, columns=[*NETWORK_KEY, "distance", "pvalue"]))


def _adjusted(tests: pd.DataFrame) -> pd.DataFrame:
    from scipy.stats import false_discovery_control

    adjusted = false_discovery_control(tests["pvalue"]) if len(tests) else np.zeros(0)
    return tests.assign(adjusted=adjusted, shown_to_differ=adjusted <= 0.05)


def table_markdown(results: Results, number: int) -> str:
    """One of the tables in the paper's form, as Markdown.

    Parameters
    ----------
    results : Results
        What `load_results` read.
    number : {1, 2, 5}
        Which table.

    Returns
    -------
    str
        A row per network, width, data set and split, a column per condition; every cell
        reads "ours (theirs, difference)", with † where their number is doubtful and *
        where they starred it, ‡, ¶ and § where ours stopped short of their accuracy,
        started without ImageNet's weights or was trained in mixed precision.
    """
    table = compare_with_paper(results)
    table = table[table["table"] == number]
    quantities = [quantity for quantity in _QUANTITIES if quantity.table == number]
    present = [name for name in CONDITIONS if name in set(table["condition"])]
    heads = ["network", "width", "data", "split"]
    heads += [f"{_SHORT[name]} {q.title}" for name in present for q in quantities]
    tests = rate_tests(results) if number == 2 else None
    if tests is not None:
        heads.append("not shown to differ")
    lines = [f"Table {number}. {TABLES[number]}: ours (paper's, difference).", ""]
    lines += [_row(heads), _row(["---"] * len(heads))]
    doubts: dict[str, dict[str, None]] = {}
    for place, group in table.groupby(
        ["network", "width", "dataset", "split"], sort=False
    ):
        cells = [str(part) for part in place]
        for name in present:
            for q in quantities:
                found = group[
                    (group["condition"] == name) & (group["quantity"] == q.column)
                ]
                cells.append(_cell(found.iloc[0], q.digits) if len(found) else "–")
                for doubt in found.loc[found["doubt"] != "", "doubt"]:
                    reasons = doubts.setdefault(" ".join([*cells[:4], name]), {})
                    reasons.update(dict.fromkeys(doubt.split("; ")))
        if tests is not None:
            cells.append(_marks(tests, place))
        lines.append(_row(cells))
    n_paper, n_ours = (
        len(paper_table(number)),
        int(table["paper"].notna().sum() / len(quantities)),
    )
    seeds = (
        f"{table['n_seeds'].min()} to {table['n_seeds'].max()}" if len(table) else "no"
    )
    notes = [f"{n_ours} of the paper's {n_paper} cells; means over {seeds} seeds."]
    if number == 2:
        notes.append(
            "Not shown to differ: two-sample Kolmogorov-Smirnov tests of unit rates,"
            " adjusted p > 0.05 (Benjamini-Hochberg over the table), in so many of the"
            f" seeds; no evidence of sameness. {_alike(tests)}"
        )
    if number == 5:
        notes.append(
            "\\* starred in the paper as not significantly different from 1, by a rule"
            " it does not state."
        )
    notes += [
        f"{mark} {words}" for name, (mark, words) in _MARKS.items() if table[name].any()
    ]
    notes += [f"† {cell}: {'; '.join(reasons)}" for cell, reasons in doubts.items()]
    return "\n".join([*lines, "", *(f"- {note}" for note in notes)]) + "\n"


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(row: pd.Series, digits: int) -> str:
    ours = f"{row['ours']:.{digits}f}" if np.isfinite(row["ours"]) else "none"
    ours += "".join(mark for name, (mark, _) in _MARKS.items() if row[name])
    if not np.isfinite(row["paper"]):
        return ours
    marks = "\\*" * bool(row["starred"]) + "†" * bool(row["doubt"])
    difference = (
        f", {row['difference']:+.{digits}f}" if np.isfinite(row["difference"]) else ""
    )
    return f"{ours} ({row['paper']:.{digits}f}{marks}{difference})"


def _marks(tests: pd.DataFrame, place: tuple[object, ...]) -> str:
    network, width, dataset, split = place
    here = tests[
        (tests["network"] == network)
        & (tests["width"] == width)
        & (tests["dataset"] == dataset)
        & (tests["split"] == split)
    ]
    marks = []
    for (first, second), group in here.groupby(["first", "second"], sort=False):
        alike = int((~group["shown_to_differ"]).sum())
        if alike:
            marks.append(f"{_SHORT[first]}/{_SHORT[second]} {alike} of {len(group)}")
    return "; ".join(marks) or ("all differ" if len(here) else "–")


def _alike(tests: pd.DataFrame | None) -> str:
    """How often pairs of conditions are not shown to differ, beside what the paper says
    of its own tests.
    """
    if tests is None or tests.empty:
        return ""
    alike = ~tests["shown_to_differ"]
    memorizing = tests["second"].isin(MEMORIZING)
    parts = [
        (
            memorizing & (tests["first"] == "generalizing"),
            "generalizing and memorizing",
        ),
        (memorizing & (tests["first"] == "random"), "untrained and memorizing"),
        (~memorizing, "untrained and generalizing"),
    ]
    counted = [
        f"{words} {int(alike[which].sum())} of {int(which.sum())}"
        for which, words in parts
        if which.any()
    ]
    return (
        f"Over all rows not shown to differ: {', '.join(counted)}. The paper finds"
        " untrained and generalizing networks significantly similar in many cases,"
        " memorizing ones different in nearly all (its section 3.3.2)."
    )
