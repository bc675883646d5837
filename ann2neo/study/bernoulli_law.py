"""The law of Bernoulli trains: mean Fano factor = 1 - mean firing rate."""

from __future__ import annotations

import pandas as pd

from ann2neo.study.published import KEY, doubts, paper_table
from ann2neo.study.results import ROW_KEY, Results

__all__ = ["bernoulli_law"]


def bernoulli_law(results: Results) -> pd.DataFrame:
    """Compare every row of ours and of the paper's with the law of Bernoulli trains.

    Parameters
    ----------
    results : Results
        What `load_results` read.

    Returns
    -------
    pandas.DataFrame
        One row per network and split: ``source`` ("ours" or "paper"), `ROW_KEY`,
        ``mean_firing_rate``, ``mean_fano_factor`` and ``off``, their sum minus 1. Ours
        also have ``expected``, the mean Fano factor that the rates of the same units
        give, ``silent_share``, ``mean_dispersion`` and the two-sided ``pvalue`` of
        dispersion 1, from permuting presentations for all units jointly; the paper's
        have ``doubt``, what speaks against either number.

    Notes
    -----
    A unit fires at most once per sample. Shown in random order, its counts in windows
    of w samples have variance w p (1 - p) and mean w p, so its Fano factor is 1 - p,
    whatever the network has learned. Units that never fire count for the mean rate and
    have no Fano factor.
    """
    pair = ["mean_firing_rate", "mean_fano_factor"]
    more = {
        "mean_fano_factor_expected": "expected",
        "silent_share": "silent_share",
        "mean_dispersion": "mean_dispersion",
        "mean_dispersion_pvalue": "pvalue",
    }
    ours = results.table.reindex(columns=[*ROW_KEY, *pair, *more]).rename(columns=more)
    paper = paper_table(2).merge(paper_table(5), on=KEY)[[*KEY, *pair]]
    speaks_against = doubts([*pair, "cv_firing_rate_percent"])
    paper = paper.merge(speaks_against, left_on=KEY, right_index=True, how="left")
    law = pd.concat(
        [ours.assign(source="ours"), paper.assign(source="paper")], ignore_index=True
    )
    law.insert(len(ROW_KEY) + 2, "off", law[pair].sum(axis=1, skipna=False) - 1)
    is_paper = law["source"] == "paper"
    # Printed with two digits, so that the sum has two as well.
    law["off"] = law["off"].where(~is_paper, law["off"].round(2))
    law["doubt"] = law["doubt"].where(law["doubt"].notna() | ~is_paper, "")
    return law[["source", *law.columns.drop("source")]]
