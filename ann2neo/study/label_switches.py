"""What training curves say about the switch from true to random labels, and how steady
rates are on either side.
"""

from __future__ import annotations

import pandas as pd

from ann2neo.study.markdown import markdown_table

__all__ = ["steadiness", "switches_markdown"]

_KEY = ["dataset", "network", "width", "retrain", "seed", "split"]
_EPOCHS = 10
_CHANGES = ["before", "at_switch", "after"]


def steadiness(curves: pd.DataFrame) -> pd.DataFrame:
    """How far mean firing rates move while labels stay as they are.

    Parameters
    ----------
    curves : pandas.DataFrame
        Training curves as `collect_results` thins them: network and data set,
        ``split``, ``labels``, ``epoch``, ``mean_firing_rate``.

    Returns
    -------
    pandas.DataFrame
        A row a curve and split: ``before``, the mean rate of the last epoch of true
        labels minus that of the second, since the first leaves the untrained state;
        ``at_switch``, that of the second ten epochs of random labels minus that of the
        last of true ones; and ``after``, that of the last ten epochs minus that of the
        second ten. NaN where there are no such epochs.
    """
    rows = []
    for key, curve in curves.groupby(_KEY):
        true, random = (
            curve[curve["labels"] == labels] for labels in ("true", "random")
        )
        settled = random["epoch"].min() // 1 + _EPOCHS
        last = random["epoch"].max() // 1 + 1 - _EPOCHS
        first_level, second_level = (
            _mean(true, true["epoch"].max() // 1),
            _mean(random, settled, settled + _EPOCHS),
        )
        after = (
            _mean(random, last) - second_level
            if last >= settled + _EPOCHS
            else float("nan")
        )
        rows.append(
            [*key, first_level - _mean(true, 1, 2), second_level - first_level, after]
        )
    return pd.DataFrame(rows, columns=[*_KEY, *_CHANGES])


def _mean(curve: pd.DataFrame, start: float, stop: float = float("inf")) -> float:
    return float(
        curve.loc[
            (curve["epoch"] >= start) & (curve["epoch"] < stop), "mean_firing_rate"
        ].mean()
    )


def switches_markdown(
    switches: pd.DataFrame | None, curves: pd.DataFrame | None
) -> str:
    """Where switches of labels were found, and how far rates move on either side.

    Parameters
    ----------
    switches : pandas.DataFrame or None
        ``dynamics.csv`` of a folder of results.
    curves : pandas.DataFrame or None
        Its thinned training curves.

    Returns
    -------
    str
        A table, a row a curve and split.
    """
    if switches is None or switches.empty:
        return (
            "No training curve is here yet; the command stands under what is missing.\n"
        )
    table = switches
    if curves is not None:
        table = table.merge(steadiness(curves), on=_KEY, how="left")
    heads = [
        "data",
        "network",
        "width",
        "random labels train",
        "seed",
        "split",
        "switch",
        "found",
    ]
    rows = [
        [
            *(row[name] for name in _KEY[:-1]),
            # The curve's second split holds the data set's test samples.
            {"val": "test"}.get(row["split"], row["split"]),
            row["switch"],
            row["found"],
            f"{row['epochs_off']:+.2f}",
            f"{row['pvalue']:.2g}" if row["pvalue"] else "under 1e-300",
            "yes" if row["within_one_epoch"] else "no",
            *(
                "none" if pd.isna(row[name]) else f"{row[name]:+.3f}"
                for name in _CHANGES
                if name in row
            ),
        ]
        for row in table.to_dict("records")
    ]
    heads += ["epochs off", "p", "within an epoch"]
    text = "\nSwitch and found in batches since the start; 100 samples of each split.\n"
    if curves is not None:
        heads += ["change before", "change at the switch", "change after"]
        text += (
            "\nChanges of the mean firing rate: while labels are true, from the second"
            " to the last epoch; from that one to the second ten epochs of random"
            " labels; and from those to the last ten.\n"
        )
    return markdown_table(heads, rows) + text
