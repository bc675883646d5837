"""The law that a shuffled 0/1 train obeys: mean Fano factor = 1 - mean firing rate, in
our rows and in the paper's.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from ann2neo.study.markdown import markdown_table
from ann2neo.study.published import KEY, doubtful_cells, paper_table
from ann2neo.study.results import ROW_KEY, Results

__all__ = ["law_in_short", "law_markdown", "our_law", "papers_law"]

_WITHIN = (0.01, 0.02, 0.03)
_ALPHA = 0.05


def our_law(results: Results) -> pd.DataFrame:
    """Every row of ours against the law.

    Returns
    -------
    pandas.DataFrame
        `ROW_KEY`, ``mean_firing_rate``, ``mean_fano_factor``, ``off`` (their sum minus
        1), ``expected`` (the mean Fano factor that the rates of the same units give),
        ``silent_share``, ``mean_dispersion`` and, from permuting presentations jointly,
        its two-sided ``pvalue``. NaN where a network has no spikes.
    """
    table = results.table
    law = table[ROW_KEY].assign(
        mean_firing_rate=table["mean_firing_rate"],
        mean_fano_factor=table["mean_fano_factor"],
        off=table["mean_firing_rate"] + table["mean_fano_factor"] - 1,
        expected=table["mean_fano_factor_expected"],
        silent_share=table["silent_share"],
        mean_dispersion=table["mean_dispersion"],
        pvalue=table.get("mean_dispersion_pvalue", np.nan),
    )
    return pd.DataFrame(law)


def papers_law() -> pd.DataFrame:
    """Every cell that the paper's tables 2 and 5 share against the law.

    Returns
    -------
    pandas.DataFrame
        `KEY`, ``mean_firing_rate``, ``mean_fano_factor``, ``off``, and ``doubt``, what
        speaks against either number.
    """
    both = paper_table(2).merge(paper_table(5), on=KEY)[
        [*KEY, "mean_firing_rate", "mean_fano_factor"]
    ]
    doubts: dict[tuple[object, ...], list[str]] = {}
    for cell in doubtful_cells():
        reasons = doubts.setdefault(cell[1:6], [])
        if cell.column != "accuracy_percent" and cell.reason not in reasons:
            reasons.append(cell.reason)
    # Printed with two digits, so that the sum has two as well.
    off = (both["mean_firing_rate"] + both["mean_fano_factor"] - 1).round(2)
    return both.assign(
        off=off,
        doubt=["; ".join(doubts.get(tuple(key), [])) for key in both[KEY].to_numpy()],
    )


def law_markdown(results: Results) -> str:
    """What both tables say, in words and numbers."""
    return f"{_ours(our_law(results))}\n{_theirs(papers_law())}"


def law_in_short(results: Results) -> str:
    """The law in our rows and in the paper's, in three sentences."""
    ours, theirs = our_law(results), papers_law()
    known = ours[np.isfinite(ours["off"])]
    near = [
        int((law["off"].abs() <= _WITHIN[-1] + 1e-9).sum()) for law in (known, theirs)
    ]
    tested = ours["pvalue"].dropna()
    n_doubtful = len({cell[1:6] for cell in doubtful_cells()})
    return (
        "Mean Fano factor = 1 - mean firing rate, whatever was learned, since samples"
        f" are shown in random order: within {_WITHIN[-1]} in {near[0]} of our"
        f" {len(known)} rows and {near[1]} of the paper's {len(theirs)}. Of ours, mean"
        " dispersion 1, which frees the law of units that never fire, is rejected in"
        f" {int((tested <= _ALPHA).sum())} of {len(tested)} ({_ALPHA * len(tested):.1f}"
        f" expected). {n_doubtful} cells of the paper's tables hold numbers that"
        " contradict the law, or are impossible or copied."
    )


def _ours(law: pd.DataFrame) -> str:
    known = law[np.isfinite(law["off"])]
    tested = law[np.isfinite(law["pvalue"])]
    off, beyond = (
        known["off"].abs(),
        (known["mean_fano_factor"] - known["expected"]).abs(),
    )
    n_silent = len(law) - len(known)
    silent = f"; {n_silent} more have no spike at all" if n_silent else ""
    text = (
        f"**Our {len(known)} rows** (a row is a network and the samples it was recorded"
        f" on{silent})."
        " |MFR + MFF - 1| is at most"
        f" {', '.join(f'{limit} in {int((off <= limit).sum())}' for limit in _WITHIN)};"
        f" the largest is {off.max():.4f}. From the value that the rates of the very"
        " same units give, the mean Fano factor differs by at most"
        f" {beyond.max():.4f}.\n"
    )
    if len(tested):
        text += f"\nMean dispersion is 1 under the law. {_rejections(tested)}\n"
    exceptions = known[off > _WITHIN[-1]]
    if len(exceptions):
        text += (
            "\nRows that miss 1 by more than 0.03. Units that never spike count for the"
            " rate and not for the Fano factor; beyond that, counts in few windows"
            " scatter, and p says whether by more than chance:\n\n"
        )
        heads = [
            *ROW_KEY,
            "MFR",
            "MFF",
            "sum",
            "MFF from the rates",
            "silent share",
            "p of dispersion 1",
        ]
        numbers = (
            "mean_firing_rate",
            "mean_fano_factor",
            "sum",
            "expected",
            "silent_share",
            "pvalue",
        )
        exceptions = exceptions.assign(sum=1 + exceptions["off"])
        text += markdown_table(
            heads,
            [
                [
                    *(row[name] for name in ROW_KEY),
                    *(f"{row[name]:.4f}" for name in numbers),
                ]
                for row in exceptions.to_dict("records")
            ],
        )
    return text


def _rejections(tested: pd.DataFrame) -> str:
    """How often joint permutations reject, against what chance gives to rows that share
    an order of samples.
    """
    rejected = tested["pvalue"] <= _ALPHA
    n_rejected, n = int(rejected.sum()), len(tested)
    orders = tested.groupby(["dataset", "seed", "split"]).size().to_list()
    apart = float(binomtest(n_rejected, n, _ALPHA, alternative="greater").pvalue)
    together = _together_pvalue(n_rejected, orders)
    if apart > _ALPHA:
        verdict = "no more than chance gives: the law holds"
    elif together > _ALPHA:
        verdict = "no more than chance gives to rows that go together"
    else:
        verdict = "**more than chance gives, which points to a fault in the pipeline**"
    return (
        f"Ours lies between {tested['mean_dispersion'].min():.4f} and"
        f" {tested['mean_dispersion'].max():.4f}; permuting presentations for all units"
        f" jointly rejects 1 at 5 % in {n_rejected} of {n} rows ({n * _ALPHA:.1f}"
        f" expected), {verdict}. One-sided p = {apart:.2f} if rows were independent,"
        f" and {together:.2f} if those of one data set, seed and split, which saw their"
        f" samples in the same order ({len(orders)} orders), went wholly together."
    )


def _together_pvalue(n_rejected: int, sizes: list[int]) -> float:
    """P(at least so many rejections), rows of a group rejecting all or none: the widest
    that dependence can make it.
    """
    chances = np.ones(1)
    for size in sizes:
        either = np.zeros(size + 1)
        either[[0, size]] = 1 - _ALPHA, _ALPHA
        chances = np.convolve(chances, either)
    return float(min(1.0, chances[n_rejected:].sum()))


def _theirs(law: pd.DataFrame) -> str:
    off = law["off"].abs()
    within = ", ".join(
        f"{limit} in {int((off <= limit + 1e-9).sum())}" for limit in _WITHIN
    )
    beyond = off > _WITHIN[-1] + 1e-9
    # Of more than one reason, one is not the sum itself.
    alone = law[beyond & ~law["doubt"].str.contains("; ")]
    names = ", ".join(" ".join(map(str, key)) for key in alone[KEY].to_numpy())
    text = (
        f"**The paper's {len(law)} rows.** |MFR + MFF - 1| is at most {within}. The"
        " paper calls the relation near linear; it is this law. Of the"
        f" {int(beyond.sum())} rows beyond 0.03, {int(beyond.sum()) - len(alone)} hold"
        " copied numbers or an impossible CV"
        + (
            f"; nothing else speaks against {names}, where silent units or chance may"
            " be the reason" * bool(len(alone))
        )
        + ". These, and the other rows whose CV is impossible or whose numbers were"
        " copied:\n\n"
    )
    odd = law[beyond | (law["doubt"] != "")]
    rows = [
        [
            *(row[name] for name in KEY),
            f"{row['mean_firing_rate']:.2f}",
            f"{row['mean_fano_factor']:.2f}",
            row["doubt"],
        ]
        for row in odd.to_dict("records")
    ]
    return text + markdown_table([*KEY, "MFR", "MFF", "what speaks against it"], rows)
