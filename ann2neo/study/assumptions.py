"""The paper's tests of whether units fire like Poisson processes, with what each can
show in random order.
"""

from __future__ import annotations

import pandas as pd

from ann2neo.study.conditions import CONDITIONS
from ann2neo.study.markdown import markdown_table
from ann2neo.study.results import Results

__all__ = ["assumptions_markdown"]

_TESTS = {
    "fano_rejected_share": "Poisson counts (Fano factor)",
    "ljung_box_rejected_share": "independence (Ljung-Box)",
    "adf_rejected_share": "a unit root (ADF)",
    "trend_rejected_share": "constant rate (trend)",
    "dispersion_rejected_share": "counts as the rate gives (dispersion)",
}


def assumptions_markdown(results: Results) -> str:
    """Shares of units that reject each assumption, by condition, beside what the paper
    says of its own tests.

    Parameters
    ----------
    results : Results
        What `load_results` read.

    Returns
    -------
    str
        A table, a row per condition and split: medians over networks, and the largest
        share in brackets.
    """
    table, rows = results.table, []
    tests = {column: words for column, words in _TESTS.items() if column in table}
    for condition in CONDITIONS:
        for split in ("train", "test"):
            part = table[(table["condition"] == condition) & (table["split"] == split)]
            if part.empty:
                continue
            shares = [_share(part[column]) for column in tests]
            combined = part["ljung_box_pearson_pvalue"].dropna()
            rows.append(
                [
                    condition,
                    split,
                    len(part),
                    *shares,
                    f"{int((combined <= 0.05).sum())} of {len(combined)}",
                ]
            )
    heads = [
        "condition",
        "samples",
        "networks",
        *tests.values(),
        "Ljung-Box combined, p at most 0.05",
    ]
    return (
        "Share of units that reject, after Benjamini-Hochberg over the units of a"
        " network: median over networks"
        f" (largest).\n\n{markdown_table(heads, rows)}\n{_WORDS}{_combined(table)}"
    )


def _combined(table: pd.DataFrame) -> str:
    known = table["ljung_box_pearson_pvalue"].dropna()
    n_small = int((known <= 0.05).sum())
    return (
        "- The combined p of the Ljung-Box tests (Pearson, the paper's) is at most"
        f" 0.05 in {n_small} of {len(known)} rows ({0.05 * len(known):.1f} expected)."
        " It takes units of a layer for independent, which they are not, so that it"
        " can reject more often than it should.\n"
    )


def _share(shares: pd.Series) -> str:
    known = shares.dropna()
    return f"{known.median():.0%} ({known.max():.0%})" if len(known) else "none"


_WORDS = (
    "- Fano factor (Eden & Kramer 2010): the paper finds most trains significantly"
    " below 1, and memorizing networks nearest to it. A unit that fires at most once a"
    " sample has 1 - rate, so that the test rejects wherever the rate is high and the"
    " windows are many: it measures the rate again.\n- Ljung-Box: the paper sees no"
    " large autocorrelations. In random order there can be none, whatever was learned;"
    " the test tests the shuffle, and so do trend and dispersion.\n- ADF: the paper"
    " takes its rejections for a sign of stationarity. No 0/1 train has a unit root,"
    " also not one whose rate drifts, so that rejecting shows nothing of the kind;"
    " stationarity holds here by construction.\n"
)
