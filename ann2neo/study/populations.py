"""Populations of generalizing and memorizing networks, compared at matched accuracy on
the same images.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.stats import t as student

from ann2neo._files import complete_file, output_path
from ann2neo.analysis.populations.selectivity import (
    selectivity,
    single_stimulus_overlap,
)
from ann2neo.analysis.populations.summarize_populations import summarize_populations
from ann2neo.datasets import DataSet, load_dataset
from ann2neo.errors import InputValueError
from ann2neo.recording import Recording
from ann2neo.study.networks import HIDDEN_LAYER, build_network, initial_weights
from ann2neo.study.training import Trainer

if TYPE_CHECKING:
    from ann2neo.probe.record import Probe

__all__ = ["matched_populations", "population_intervals", "run_populations"]

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
_FACTS = ["n_epochs", "accuracy_train", "accuracy_test"]
_SETTINGS = ["n_units", "n_time_bins", "n_permutations", "permutation_seed"]
CONDITIONS = ("random", "generalizing", "memorizing")


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
    """Train networks on true and on permuted labels of the same images until both
    answer equally well, and record them.

    Every seed draws its own images, first weights and permutation of the labels. From
    there the two trainings differ in the labels alone, and both stop after the first
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
        Most epochs; a network that has not reached `accuracy` by then is kept, its
        accuracy in the table.
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
    from ann2neo.probe.record import Probe

    data = load_dataset(dataset)
    if not 2 <= n_samples <= len(data.y_train):
        raise InputValueError(
            f"n_samples must lie in 2 .. {len(data.y_train)}, got {n_samples}"
        )
    if not 0 < accuracy <= 1:
        raise InputValueError(
            f"accuracy must lie in 0 .. 1, got {accuracy}; 0.99 stands for 99 %"
        )
    if not len(seeds):
        raise InputValueError("matched populations need at least one seed, got none")
    x, y = data.inputs("train"), data.labels("train")
    model = build_network(network, width, x.shape[1:], data.n_classes)
    built = model.get_weights()
    trainer, probe = Trainer(model), Probe(model, HIDDEN_LAYER)
    rows: list[dict[str, Any]] = []
    for seed in seeds:
        chosen = np.random.default_rng([seed, 2]).choice(
            len(x), n_samples, replace=False
        )
        images, true = x[chosen], y[chosen]
        labels = {
            "generalizing": true,
            "memorizing": np.random.default_rng([seed, 1]).permutation(true),
        }
        for condition in CONDITIONS:
            model.set_weights(built)
            model.set_weights(initial_weights(model, seed))
            n_epochs = 0
            if condition in labels:
                n_epochs = trainer.train(
                    images,
                    labels[condition],
                    max_epochs=max_epochs,
                    target_accuracy=accuracy,
                    seed=seed,
                ).n_epochs
            facts = {
                "n_epochs": n_epochs,
                "accuracy_train": trainer.accuracy(images, labels.get(condition, true)),
                "accuracy_test": trainer.accuracy(
                    data.inputs("test"), data.labels("test")
                ),
            }
            key = {
                "dataset": data.name,
                "network": network,
                "width": width,
                "n_samples": n_samples,
                "seed": seed,
            }
            found = _rows(
                probe, data, images, true, labels.get(condition), seed, n_permutations
            )
            rows += [{**key, "condition": condition, **facts, **row} for row in found]
            _log.info(
                "%s, seed %d: %d epochs, accuracy %.2f%%",
                condition,
                seed,
                n_epochs,
                100 * facts["accuracy_train"],
            )
    table = pd.DataFrame(rows).rename(
        columns={"seed_of_permutations": "permutation_seed"}
    )
    return table[_KEY + _FACTS + [name for name in table if name not in _KEY + _FACTS]]


def _rows(
    probe: Probe,
    data: DataSet,
    images: Any,
    true: Any,
    trained: Any,
    seed: int,
    n_permutations: int,
) -> list[dict[str, Any]]:
    train = probe.record(images, labels=true, phase="train", seed=seed, progress=False)
    test = probe.record(
        data.inputs("test"),
        labels=data.labels("test"),
        phase="test",
        seed=seed,
        progress=False,
    )
    both = Recording.concatenate([train, test])
    overlap = single_stimulus_overlap(selectivity(both, n_permutations=1, seed=seed))
    tables = [
        summarize_populations(both, n_permutations=n_permutations, seed=seed).assign(
            labels="true"
        )
    ]
    if trained is not None and not np.array_equal(trained, true):
        memorized = probe.record(
            images, labels=trained, phase="train", seed=seed, progress=False
        )
        tables.append(
            summarize_populations(
                memorized, n_permutations=n_permutations, seed=seed
            ).assign(labels="trained")
        )
    table = pd.concat(tables, ignore_index=True).rename(
        columns={"seed": "seed_of_permutations"}
    )
    table["n_single_silent_in_test"] = np.where(
        table["phase"] == "train", overlap["n_first_silent_in_second"], np.nan
    )
    return [
        {str(name): value for name, value in row.items()}
        for row in table.to_dict("records")
    ]


def population_intervals(
    networks: pd.DataFrame, *, level: float = 0.95
) -> pd.DataFrame:
    """Means over seeds with intervals, and the paired difference of memorizing and
    generalizing networks.

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
        of the same seed (Student's t over seeds). For "trained" labels the generalizing
        networks' are the true ones, which they were trained on.

    Raises
    ------
    InputValueError
        If there are fewer than two seeds, or `level` does not lie between 0 and 1.
    """
    if not 0 < level < 1:
        raise InputValueError(f"level must lie between 0 and 1, got {level}")
    if networks["seed"].nunique() < 2:
        raise InputValueError(
            "an interval over seeds needs two seeds or more; run matched_populations"
            " with more seeds"
        )
    statistics = [name for name in networks if name not in {*_KEY, *_SETTINGS}]
    rows = []
    for phase, labels in networks[["phase", "labels"]].drop_duplicates().to_numpy():
        part = networks[networks["phase"] == phase]
        # Networks without labels of their own stand beside those that were trained on
        # permuted ones.
        own = part["labels"] == labels
        part = part[
            own | (part["condition"] != "memorizing") & (part["labels"] == "true")
        ]
        for name in statistics:
            values = part.pivot_table(
                index="seed", columns="condition", values=name, dropna=False
            )
            difference = values["memorizing"] - values["generalizing"]
            row: dict[str, Any] = {
                "phase": phase,
                "labels": labels,
                "statistic": name,
                "n_seeds": len(values),
            }
            for title, column in [
                *((c, values[c]) for c in CONDITIONS if c in values),
                ("difference", difference),
            ]:
                mean, half = _interval(column.to_numpy(np.float64), level)
                row |= {
                    f"{title}_mean": mean,
                    f"{title}_low": mean - half,
                    f"{title}_high": mean + half,
                }
            rows.append(row)
    return pd.DataFrame(rows).dropna(subset=["difference_mean"], ignore_index=True)


def _interval(values: Any, level: float) -> tuple[float, float]:
    known = values[~np.isnan(values)]
    if len(known) < 2:
        return (float(known[0]) if len(known) else np.nan), np.nan
    error = known.std(ddof=1) / np.sqrt(len(known))
    return float(known.mean()), float(
        student.ppf((1 + level) / 2, len(known) - 1) * error
    )


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
    each = output_path(
        path.with_name(f"{path.stem}_networks.csv"), ".csv", overwrite=overwrite
    )
    networks = matched_populations(**settings)
    table = population_intervals(networks)
    for file, content in ((each, networks), (path, table)):
        with complete_file(file, overwrite=overwrite) as partial:
            content.to_csv(partial, index=False, float_format="%.6g")
    return table
