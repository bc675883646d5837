"""Generalizing and memorizing networks at matched accuracy, on the same images."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

import ann2neo
from ann2neo._checks import number_between
from ann2neo._files import complete_text, output_path, refuse_existing
from ann2neo.errors import InputValueError
from ann2neo.study.indicators import INDICATORS, area, newcombe_interval, with_derived
from ann2neo.study.matched import MatchedTraining, noisy_labels

__all__ = [
    "matched_populations",
    "matched_statistics",
    "population_intervals",
    "run_populations",
    "student_intervals",
]

_log = logging.getLogger(__name__)

_KEY = [
    "dataset",
    "network",
    "width",
    "n_samples",
    "seed",
    "condition",
    "phase",
    "labels",
]
_SETTINGS = ["n_units", "n_time_bins", "n_permutations", "permutation_seed"]
_CONDITIONS = ("random", "generalizing", "memorizing")


def matched_populations(
    dataset: str = "mnist",
    *,
    network: str = "MLP",
    width: int = 64,
    n_samples: int = 2000,
    accuracy: float = 0.99,
    seeds: Sequence[int] = (0, 1, 2),
    max_epochs: int = 5000,
    n_permutations: int = 999,
) -> pd.DataFrame:
    """Train networks on true and on permuted labels to the same accuracy, and record.

    Every seed draws its own images, first weights and permutation of the labels. From
    there the two trainings differ only in the labels, and both stop after the first
    epoch in which the accuracy on these images reaches `accuracy`. A network as small
    as the study's MLPs cannot memorize a whole data set (31 % of MNIST at width 64), so
    that differences there mix memorization with how well a network is trained at all;
    on fewer images it can.

    Parameters
    ----------
    dataset : str, default "mnist"
        As in `load_dataset`.
    network : str, default "MLP"
        One of `NETWORKS`.
    width : int, default 64
        Units of the observed layer.
    n_samples : int, default 2000
        Training images of each seed.
    accuracy : float, default 0.99
        Accuracy on them at which training stops.
    seeds : sequence of int, default (0, 1, 2)
        One replicate each.
    max_epochs : int, default 5000
        Maximum number of epochs. A network that has not reached `accuracy` by then is
        kept, with its accuracy in the table.
    n_permutations : int, default 999
        As in `summarize_populations`.

    Returns
    -------
    pandas.DataFrame
        One row per seed, condition ("random" is untrained), phase (the images trained
        on, "train", and all test images, "test") and labels: "true" or, for the
        memorized ones, "trained". Columns of `summarize_populations`, and of units that
        fire for exactly one training image, ``n_single_silent_in_test``.

    Raises
    ------
    InputValueError
        If a number is out of range.
    """
    if not len(seeds):
        raise InputValueError("matched populations need at least one seed, got none")
    bench = MatchedTraining(
        dataset,
        network,
        width,
        n_samples=n_samples,
        accuracy=accuracy,
        max_epochs=max_epochs,
    )
    tables = []
    for seed in seeds:
        images, true = bench.images(seed)
        permuted, _ = noisy_labels(true, 1.0, seed)
        for condition in _CONDITIONS:
            bench.start(seed)
            labels = permuted if condition == "memorizing" else true
            n_epochs = 0
            if condition != "random":
                n_epochs = bench.train(images, labels, seed).n_epochs
            facts: dict[str, Any] = {
                "dataset": bench.data.name,
                "network": network,
                "width": width,
                "n_samples": n_samples,
                "seed": seed,
                "condition": condition,
                "n_epochs": n_epochs,
                "accuracy_train": bench.trainer.accuracy(images, labels),
                "accuracy_test": bench.test_accuracy(),
            }
            table = _statistics(bench, images, true, labels, seed, n_permutations)
            tables.append(table.assign(**facts))
            _log.info(
                "%s, seed %d: %d epochs, accuracy %.2f%%",
                condition,
                seed,
                n_epochs,
                100 * facts["accuracy_train"],
            )
    table = pd.concat(tables, ignore_index=True)
    first = [*_KEY, "n_epochs", "accuracy_train", "accuracy_test"]
    return table[[*first, *table.columns.drop(first)]]


def _statistics(
    bench: MatchedTraining,
    images: Any,
    true: Any,
    trained: Any,
    seed: int,
    n_permutations: int,
) -> pd.DataFrame:
    """Statistics of the network as it is, by true and by trained labels."""
    both = bench.record_both(images, true, seed)
    parts = {"true": both}
    if not np.array_equal(trained, true):
        parts["trained"] = bench.record(images, trained, "train", seed)
    table = pd.concat(
        [
            ann2neo.summarize_populations(
                recording, n_permutations=n_permutations, seed=seed
            ).assign(labels=labels)
            for labels, recording in parts.items()
        ],
        ignore_index=True,
    ).rename(columns={"seed": "permutation_seed"})
    tuning = ann2neo.selectivity(both, n_permutations=1, seed=seed)
    overlap = ann2neo.single_stimulus_overlap(tuning)["n_first_silent_in_second"]
    silent = np.where(table["phase"] == "train", overlap, np.nan)
    return table.assign(n_single_silent_in_test=silent)


def population_intervals(
    networks: pd.DataFrame, *, level: float = 0.95
) -> pd.DataFrame:
    """Estimate means over seeds and paired differences of conditions, with intervals.

    Parameters
    ----------
    networks : pandas.DataFrame
        What `matched_populations` returned, of two seeds or more.
    level : float, default 0.95
        Confidence of the intervals.

    Returns
    -------
    pandas.DataFrame
        One row per phase, labels and statistic: ``n_seeds``; ``<condition>_mean, _low,
        _high`` and ``difference_mean, _low, _high`` of memorizing minus generalizing,
        of the same seed (Student's t over seeds). The generalizing networks were
        trained on the true labels, so these stand beside the "trained" labels of the
        memorizing ones.

    Raises
    ------
    InputValueError
        If there are fewer than two seeds, or `level` does not lie between 0 and 1.
    """
    level = number_between(level, "level", 0, 1, remedy="the usual one is 0.95")
    if networks["seed"].nunique() < 2:
        raise InputValueError(
            "an interval over seeds needs two seeds or more; run matched_populations"
            " with more seeds"
        )
    statistics = [
        name
        for name in networks.select_dtypes("number")
        if name not in {*_KEY, *_SETTINGS}
    ]
    rows = []
    for phase, labels in networks[["phase", "labels"]].drop_duplicates().to_numpy():
        part = networks[networks["phase"] == phase]
        # Networks without labels of their own stand beside those that were trained on
        # permuted ones.
        others = (part["condition"] != "memorizing") & (part["labels"] == "true")
        part = part[(part["labels"] == labels) | others]
        for name in statistics:
            values = part.pivot_table(
                index="seed", columns="condition", values=name, dropna=False
            ).reindex(columns=_CONDITIONS)
            values["difference"] = values["memorizing"] - values["generalizing"]
            ends = student_intervals(values, level)
            rows.append(
                {
                    "phase": phase,
                    "labels": labels,
                    "statistic": name,
                    "n_seeds": len(values),
                    **{
                        f"{column}_{end}": of_columns[column]
                        for column in values
                        for end, of_columns in ends.items()
                    },
                }
            )
    return pd.DataFrame(rows).dropna(subset=["difference_mean"], ignore_index=True)


def student_intervals(values: pd.DataFrame, level: float) -> pd.DataFrame:
    """Estimate the means of columns with Student's intervals over the rows.

    Returns
    -------
    pandas.DataFrame
        One row per column of `values`: ``mean``, ``low``, ``high``; no interval, NaN,
        for fewer than two values.

    Examples
    --------
    >>> student_intervals(pd.DataFrame({"x": [1.0, 2.0, 3.0]}), 0.95).round(2)
       mean   low  high
    x   2.0 -0.48  4.48
    """
    from scipy.stats import t as student

    means = values.mean()
    halves = student.ppf((1 + level) / 2, values.count() - 1) * values.sem()
    ends = {"mean": means, "low": means - halves, "high": means + halves}
    return pd.DataFrame(ends)


def matched_statistics(
    networks: pd.DataFrame, indicators: pd.DataFrame
) -> pd.DataFrame:
    """Compare the statistics of networks at matched accuracy with the study's.

    Parameters
    ----------
    networks : pandas.DataFrame
        What `matched_populations` returned; test samples with true labels are compared.
    indicators : pandas.DataFrame
        What `indicators` returned for the study's networks, whose accuracy differs.

    Returns
    -------
    pandas.DataFrame
        One row per statistic: the columns of `population_intervals`; ``auc, low, high``
        (the probability that a memorizing network has the larger value, with
        Newcombe's interval); ``study_auc``, the same in the study's networks; and
        ``opposite``, where both are shown to differ from 0.5 in different directions.
    """
    table = networks[(networks["phase"] == "test") & (networks["labels"] == "true")]
    table = with_derived(table)
    study = indicators[indicators["held_out"] == ""].set_index("statistic")
    kinds = table[table["condition"] != "random"]
    memorizing = (kinds["condition"] == "memorizing").to_numpy()
    rows = population_intervals(table).set_index("statistic")
    rows = rows.loc[[name for name in INDICATORS if name in rows.index]]
    rows["auc"] = [area(kinds[name].to_numpy(float), memorizing) for name in rows.index]
    n = memorizing.sum(), (~memorizing).sum()
    rows[["low", "high"]] = [newcombe_interval(auc, *n) for auc in rows["auc"]]
    study = study.reindex(rows.index)
    larger, smaller = rows["low"] > 0.5, rows["high"] < 0.5
    opposite = larger & (study["high"] < 0.5) | smaller & (study["low"] > 0.5)
    return rows.assign(study_auc=study["auc"], opposite=opposite).reset_index()


def run_populations(
    out: str | os.PathLike[str], *, overwrite: bool = False, **settings: Any
) -> pd.DataFrame:
    """Run `matched_populations` and write both tables as CSV.

    Parameters
    ----------
    out : path
        File of the intervals; the networks go beside it, ``_networks`` added to its
        name.
    overwrite : bool, default False
        Replace existing files.
    **settings
        Arguments of `matched_populations`.

    Returns
    -------
    pandas.DataFrame
        What `population_intervals` gives.

    Raises
    ------
    InputTypeError, InputValueError, OutputExistsError, OutputError
        If `out` is no path that ends in .csv, or a file exists and `overwrite` is not
        given; nothing has been trained then.
    """
    path = output_path(out, ".csv", overwrite=overwrite)
    each = path.with_name(f"{path.stem}_networks.csv")
    refuse_existing(each, overwrite=overwrite)
    networks = matched_populations(**settings)
    table = population_intervals(networks)
    for file, content in ((each, networks), (path, table)):
        text = content.to_csv(index=False, float_format="%.6g")
        complete_text(file, text, overwrite=overwrite)
    return table
