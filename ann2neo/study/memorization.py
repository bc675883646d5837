"""Which networks that were trained on permuted labels do memorize them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from ann2neo.errors import InputValueError
from ann2neo.study.conditions import MEMORIZING, n_held_out
from ann2neo.study.results import NETWORK_KEY, Results

__all__ = [
    "MIN_GAIN",
    "gain_bound",
    "memorization",
    "memorization_note",
    "only_memorizing",
]

MIN_GAIN = 0.10
"""How much better a network must be on the permuted labels it was trained on than on
held-out ones to count as memorizing.
"""


def gain_bound(
    trained: npt.ArrayLike,
    n_trained: npt.ArrayLike,
    held_out: npt.ArrayLike,
    n_held_out: npt.ArrayLike,
) -> npt.NDArray[np.float64]:
    """Return the lower bound of a difference of two accuracies.

    Parameters
    ----------
    trained, held_out : array_like of float
        Shares of right answers on samples trained on and on samples held out.
    n_trained, n_held_out : array_like of int
        How many samples there are of either.

    Returns
    -------
    ndarray of float
        The lower end of the 95 % interval of ``trained - held_out``, from the Wilson
        intervals of both (method 10 of Newcombe 1998, Stat Med 17:873).

    Examples
    --------
    >>> bound = gain_bound([0.19, 0.44], 1294, [0.10, 0.10], 143)
    >>> bound.round(2).tolist()
    [0.03, 0.28]
    """
    from statsmodels.stats.proportion import confint_proportions_2indep

    trained, held_out = np.asarray(trained, float), np.asarray(held_out, float)
    n_trained, n_held_out = np.asarray(n_trained), np.asarray(n_held_out)
    low, _ = confint_proportions_2indep(
        np.rint(trained * n_trained),
        n_trained,
        np.rint(held_out * n_held_out),
        n_held_out,
        compare="diff",
        method="newcomb",
    )
    return np.asarray(low, float)


def memorization(results: Results, min_gain: float = MIN_GAIN) -> pd.DataFrame:
    """Say of every network trained on permuted labels whether it memorizes them.

    A network is no memorizing one because it was trained as such: after few epochs it
    is hardly better on the labels it was trained on than on others.

    Parameters
    ----------
    results : Results
        What `load_results` read.
    min_gain : float, default 0.10
        A network counts as memorizing where ``low`` is at least this.

    Returns
    -------
    pandas.DataFrame
        One row per network trained on permuted labels: dataset, network, width,
        condition, seed, ``accuracy_train`` and ``accuracy_validation`` (shares of right
        answers by the permuted labels, trained on and held out), ``gain``, their
        difference, ``low``, the lower bound of its 95 % interval (`gain_bound`), and
        ``memorizes``.

    Raises
    ------
    InputValueError
        If `min_gain` is no share, or a network has no row of its training samples, of
        which the bound needs the number.
    """
    if not 0 <= min_gain <= 1:
        raise InputValueError(
            f"min_gain must lie in 0 .. 1, got {min_gain}; 0.1 stands for 10 points of"
            " accuracy in percent"
        )
    table = results.table[results.table["condition"].isin(MEMORIZING)]
    rows = table[table["split"] == "train"].drop_duplicates(NETWORK_KEY)
    n_networks = len(table.drop_duplicates(NETWORK_KEY))
    if len(rows) < n_networks:
        raise InputValueError(
            f"{n_networks - len(rows)} of {n_networks} networks trained on permuted"
            " labels have no row of training samples; keep both splits of every network"
        )
    columns = [*NETWORK_KEY, "accuracy_train", "accuracy_validation"]
    n_samples = rows["n_time_bins"].to_numpy(np.int64)
    n_held = np.array([n_held_out(n) for n in n_samples], np.int64)
    rows = rows[columns].reset_index(drop=True)
    trained, held_out = rows["accuracy_train"], rows["accuracy_validation"]
    low = np.zeros(0)
    if len(rows):
        low = gain_bound(trained, n_samples - n_held, held_out, n_held)
    return rows.assign(gain=trained - held_out, low=low, memorizes=low >= min_gain)


def only_memorizing(results: Results, min_gain: float = MIN_GAIN) -> Results:
    """Leave out networks trained on permuted labels that do not memorize them."""
    judged = memorization(results, min_gain)
    failed = pd.MultiIndex.from_frame(judged.loc[~judged["memorizes"], NETWORK_KEY])

    def left(table: pd.DataFrame) -> pd.DataFrame:
        if failed.empty:
            return table
        return table[~pd.MultiIndex.from_frame(table[NETWORK_KEY]).isin(failed)]

    return replace(
        results, table=left(results.table), unit_rates=left(results.unit_rates)
    )


def memorization_note(judged: pd.DataFrame, min_gain: float = MIN_GAIN) -> str:
    """Say how many networks memorize, and which do not.

    Parameters
    ----------
    judged : pandas.DataFrame
        What `memorization` returned for the same `min_gain`.
    """
    if judged.empty:
        return "No network was trained on permuted labels."
    failed = judged[~judged["memorizes"]]
    rule = (
        f" (the lower 95 % bound of their gain on the labels trained on over those held"
        f" out is at least {min_gain:.2f})"
    )
    note = (
        f"{len(judged) - len(failed)} of {len(judged)} networks trained on permuted"
        f" labels memorize them{rule}."
    )
    if failed.empty:
        return note
    kinds = failed.groupby(["network", "dataset", "condition"], as_index=False).size()
    listed = "; ".join(
        f"{network} {dataset} {condition}: {size}"
        for network, dataset, condition, size in kinds.to_numpy()
    )
    return f"{note} The others count for no verdict ({listed})."
