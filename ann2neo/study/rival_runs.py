"""Train networks on noisy labels to one accuracy, and measure them."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import entr

import ann2neo
from ann2neo._checks import whole_number
from ann2neo.errors import FileFormatError, InputValueError
from ann2neo.study.ablation import CLAMPS, ablation_area, ablation_curves
from ann2neo.study.matched import MatchedTraining, noisy_labels
from ann2neo.study.memorization import MIN_GAIN, gain_bound
from ann2neo.study.results import (
    locked,
    open_folder,
    read_cell,
    read_table,
    write_json,
    write_table,
)
from ann2neo.study.rivals import N_BINS, NOISE_KEY, QUANTILES, rivals
from ann2neo.study.training import backend, backend_module

__all__ = ["RivalResults", "load_rivals", "run_rivals"]

_log = logging.getLogger(__name__)

_NETWORKS, _UNITS, _CURVES, _TABLE = (
    "rivals_networks.csv",
    "rivals_units.csv",
    "rivals_ablation.csv",
    "rivals.csv",
)
_CELLS = "rivals"
_PROVENANCE = (
    "ann2neo_version",
    "keras_version",
    "tensorflow_version",
    "jax_version",
    "weights_sha256",
)


@dataclass(frozen=True, eq=False)
class RivalResults:
    """Networks at matched accuracy, trained on labels of different noise.

    Parameters
    ----------
    networks : pandas.DataFrame
        One row per network and phase ("train": the images trained on, "test": all test
        images): data set, network, width, ``seed``, ``label_noise``; ``n_permuted``
        labels and the ``changed_share`` of all; ``n_epochs`` and whether the accuracy
        was ``reached``; ``accuracy_train`` by the labels trained on,
        ``accuracy_true`` on the same images by true labels, ``accuracy_permuted`` on
        those with permuted labels, ``accuracy_held_out`` on test images by permuted
        labels, ``accuracy_test``; ``gain_low``, the lower bound of permuted minus held
        out (`memorization`), and ``memorizes``, whether it is at least 0.10; the
        measures of `RIVALS` and their expectations.
    unit_rates : pandas.DataFrame
        One row per network, phase and unit: ``probability``, the share of samples for
        which it is active, and ``untrained``, the same before training.
    ablation : pandas.DataFrame
        One row per network, ``clamp`` and ``n_clamped``: mean and standard deviation
        over orders of the accuracy on the labels trained on.
    """

    networks: pd.DataFrame
    unit_rates: pd.DataFrame
    ablation: pd.DataFrame


def run_rivals(
    out: str | os.PathLike[str],
    *,
    dataset: str = "mnist",
    network: str = "MLP",
    width: int = 64,
    n_samples: int = 2000,
    accuracy: float = 0.99,
    label_noise: Sequence[float] = (0.0, 0.2, 0.5, 1.0),
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    n_orders: int = 10,
    max_epochs: int = 5000,
) -> RivalResults:
    """Train networks on noisy labels to the same accuracy, and measure them.

    Networks of a seed share images and first weights, and differ in the share of labels
    that were permuted. At no and at full noise they are those of `matched_populations`.

    Parameters
    ----------
    out : path
        Folder for tables, and for a file per network. An interrupted run goes on there
        with the same call; the network at work is trained again. Seeds and levels of
        noise may be added to a finished one.
    dataset, network, width, n_samples, accuracy, max_epochs
        As in `matched_populations`. Accuracy is that on the labels trained on.
    label_noise : sequence of float, default (0, 0.2, 0.5, 1)
        Shares of the images whose labels are permuted among themselves, two or more.
    seeds : sequence of int, default (0, 1, 2, 3, 4)
        One replicate each, two or more.
    n_orders : int, default 10
        Random orders of ablation.

    Returns
    -------
    RivalResults
        All networks of the folder, which has them in ``rivals_networks.csv``,
        ``rivals_units.csv`` and ``rivals_ablation.csv``, and the comparison of `rivals`
        in ``rivals.csv``.

    Raises
    ------
    InputTypeError, InputValueError
        If an argument is out of range, or the folder was begun with other settings;
        nothing has been trained then.
    OutputLockedError
        If another run is at work in the folder.
    OutputExistsError, FileFormatError, IntegrityError
        If the folder holds something else, or a damaged file.
    """
    levels, replicates = _levels(label_noise, n_samples), _replicates(seeds)
    whole_number(n_orders, "n_orders")
    bench = MatchedTraining(
        dataset,
        network,
        width,
        n_samples=n_samples,
        accuracy=accuracy,
        max_epochs=max_epochs,
    )
    facts = {"dataset": bench.data.name, "network": network, "width": width}
    settings = {
        **facts,
        "n_samples": n_samples,
        "accuracy": accuracy,
        "n_orders": n_orders,
        "max_epochs": max_epochs,
    }
    folder = Path(out)
    open_folder(folder, {"rivals": settings})
    with locked(folder):
        cells = folder / _CELLS
        cells.mkdir(exist_ok=True)
        # Before any training, since the tables are written from all cells.
        _tables(folder)
        for seed in replicates:
            for noise in levels:
                path = cells / f"seed{seed}_noise{noise}.json"
                if path.exists():
                    continue
                key = {**facts, "seed": seed, "label_noise": noise}
                cell = _measured(bench, seed, noise, n_orders, accuracy)
                write_json(path, {"key": key, **cell})
                row = cell["rows"][0]
                _log.info(
                    "seed %d, noise %g: %d epochs, accuracy %.2f%%, on test images"
                    " %.2f%%",
                    seed,
                    noise,
                    row["n_epochs"],
                    100 * row["accuracy_train"],
                    100 * row["accuracy_test"],
                )
        results = _tables(folder)
        for name, table in (
            (_NETWORKS, results.networks),
            (_UNITS, results.unit_rates),
            (_CURVES, results.ablation),
        ):
            write_table(folder / name, table)
        write_table(folder / _TABLE, rivals(results.networks))
    return results


def _levels(label_noise: Sequence[float], n_samples: int) -> list[float]:
    """Check levels of noise; return them ascending."""
    levels = sorted({float(noise) for noise in label_noise})
    for noise in label_noise:
        if not 0 <= noise <= 1:
            raise InputValueError(
                f"label_noise must lie in 0 .. 1, got {noise}; 0.2 stands for 20 %"
            )
        if noise and round(noise * n_samples) < 2:
            raise InputValueError(
                f"label_noise {noise:g} permutes {round(noise * n_samples)} of"
                f" {n_samples} labels, and so changes none; take more noise, or more"
                " samples"
            )
    if len(levels) < 2:
        raise InputValueError(
            "the comparison needs two levels of label_noise or more, got"
            f" {len(levels)}; 0 and 1 are generalizing and memorizing networks"
        )
    return levels


def _replicates(seeds: Sequence[int]) -> list[int]:
    """Check seeds; return each once."""
    replicates = [whole_number(seed, "a seed", at_least=0) for seed in seeds]
    replicates = list(dict.fromkeys(replicates))
    if len(replicates) < 2:
        raise InputValueError(
            "an interval over seeds needs two seeds or more, got"
            f" {len(replicates)}; five are 0, 1, 2, 3, 4"
        )
    return replicates


def _measured(
    bench: MatchedTraining, seed: int, noise: float, n_orders: int, accuracy: float
) -> dict[str, Any]:
    """Train and measure a network: its rows, rates of units and ablation curves."""
    images, true = bench.images(seed)
    labels, permuted = noisy_labels(true, noise, seed)
    held_out, _ = noisy_labels(bench.data.labels("test"), 1.0, seed)
    bench.start(seed)
    untrained = _rates(_units(bench.record_both(images, true, seed)))
    progress = bench.train(images, labels, seed)
    facts: dict[str, Any] = {
        "n_permuted": len(permuted),
        "changed_share": float((labels != true).mean()),
        "n_epochs": progress.n_epochs,
        "reached": bool(progress.accuracy >= accuracy),
        "accuracy_train": bench.trainer.accuracy(images, labels),
        "accuracy_true": bench.trainer.accuracy(images, true),
        "accuracy_permuted": float("nan"),
        "accuracy_held_out": bench.test_accuracy(held_out),
        "accuracy_test": bench.test_accuracy(),
        "gain_low": float("nan"),
    }
    if len(permuted):
        on_permuted = bench.trainer.accuracy(images[permuted], labels[permuted])
        sizes = len(permuted), len(held_out)
        bound = gain_bound(on_permuted, sizes[0], facts["accuracy_held_out"], sizes[1])
        facts |= {"accuracy_permuted": on_permuted, "gain_low": float(bound)}
    facts["memorizes"] = bool(facts["gain_low"] >= MIN_GAIN)
    facts |= {"backend": backend(), "device": backend_module().device()}
    recording = bench.record_both(images, true, seed)
    provenance = recording.provenance
    facts |= {name: provenance[name] for name in _PROVENANCE if name in provenance}
    units = _units(recording)
    rates = _rates(units)
    curves = {
        clamp: ablation_curves(
            bench.model, images, labels, clamp=clamp, n_orders=n_orders, seed=seed
        )
        for clamp in CLAMPS
    }
    measures = _measures(recording, units, untrained)
    of_training = {
        f"ablation_area_{clamp}": ablation_area(of) for clamp, of in curves.items()
    }
    of_training |= _shift(rates["train"], rates["test"], "test")
    is_train = measures["phase"] == "train"
    for name, value in of_training.items():
        measures[name] = np.where(is_train, value, np.nan)
    table = measures.assign(**facts)
    first = ["phase", *facts]
    return {
        "rows": table[[*first, *table.columns.drop(first)]].to_dict("records"),
        "unit_rates": {
            phase: {"probability": of.tolist(), "untrained": untrained[phase].tolist()}
            for phase, of in rates.items()
        },
        "ablation": {
            clamp: {
                "accuracy": of.mean(axis=0).tolist(),
                "accuracy_std": of.std(axis=0).tolist(),
            }
            for clamp, of in curves.items()
        },
    }


def _units(recording: ann2neo.Recording) -> pd.DataFrame:
    return ann2neo.analyze(recording, statistics=["firing_rate", "fano"])


def _rates(units: pd.DataFrame) -> dict[str, npt.NDArray[np.float64]]:
    """Return the units' activation probabilities in each phase."""
    parts = units.groupby("phase", sort=False)["firing_rate"]
    return {str(phase): rates.to_numpy(np.float64) for phase, rates in parts}


def _measures(
    recording: ann2neo.Recording,
    units: pd.DataFrame,
    untrained: Mapping[str, npt.NDArray[np.float64]],
) -> pd.DataFrame:
    """Compute the measures of either phase, one row each."""
    table = ann2neo.summarize(units)[
        [
            "phase",
            "n_units",
            "n_time_bins",
            "window",
            "mean_firing_rate",
            "cv_firing_rate_percent",
            "silent_share",
            "mean_fano_factor",
            "mean_fano_factor_expected",
        ]
    ]
    indicator = "overfitting_underfitting_indicator"
    patterns = ann2neo.patterns(recording, statistics=indicator)
    table = table.merge(
        patterns[["phase", indicator, f"{indicator}_ceiling"]], on="phase"
    )
    rates = _rates(units)
    more = [
        {
            **_probability_summary(rates[phase]),
            **_shift(rates[phase], untrained[phase], "untrained"),
        }
        for phase in table["phase"]
    ]
    return pd.concat([table, pd.DataFrame(more)], axis=1)


def _probability_summary(rates: npt.NDArray[np.float64]) -> dict[str, float]:
    """Summarize the distribution of units' activation probabilities."""
    counts, _ = np.histogram(rates, bins=N_BINS, range=(0, 1))
    # Of the probability of firing and of that of silence, and of the histogram.
    entropies = entr(rates) + entr(1 - rates)
    of_mean = entr(rates.mean()) + entr(1 - rates.mean())
    of_histogram = entr(counts / len(rates)).sum()
    quantiles = zip(QUANTILES, np.quantile(rates, QUANTILES), strict=True)
    return {
        "unit_entropy": float(entropies.mean() / np.log(2)),
        "unit_entropy_of_mean_rate": float(of_mean / np.log(2)),
        "probability_entropy": float(of_histogram / np.log(2)),
        **{f"probability_q{100 * at:.0f}": float(value) for at, value in quantiles},
    }


def _shift(
    rates: npt.NDArray[np.float64], others: npt.NDArray[np.float64], name: str
) -> dict[str, float]:
    """Return the distance of two distributions of rates, and that of their means."""
    from scipy.stats import wasserstein_distance

    return {
        f"distance_from_{name}": float(wasserstein_distance(rates, others)),
        f"rate_change_from_{name}": float(abs(rates.mean() - others.mean())),
    }


def _tables(folder: Path) -> RivalResults:
    """Read the finished networks of a run, in order of seed and noise."""
    cells = [read_cell(path) for path in sorted((folder / _CELLS).glob("*.json"))]
    cells.sort(key=lambda cell: (cell["key"]["seed"], cell["key"]["label_noise"]))
    networks = [{**cell["key"], **row} for cell in cells for row in cell["rows"]]
    units = [
        {**cell["key"], "phase": phase, **of}
        for cell in cells
        for phase, of in cell["unit_rates"].items()
    ]
    curves = [
        {**cell["key"], "clamp": clamp, **of}
        for cell in cells
        for clamp, of in cell["ablation"].items()
    ]
    return RivalResults(
        pd.DataFrame(networks),
        _long(units, "unit", ["probability", "untrained"]),
        _long(curves, "n_clamped", ["accuracy", "accuracy_std"]),
    )


def _long(
    rows: Sequence[Mapping[str, Any]], place: str, lists: list[str]
) -> pd.DataFrame:
    """Give every entry of the lists a row of its own, with its place from 0."""
    if not rows:
        return pd.DataFrame()
    table = pd.DataFrame(rows)
    table[place] = table[lists[0]].map(lambda values: list(range(len(values))))
    names = [*table.columns.drop([place, *lists]), place, *lists]
    return table[names].explode([place, *lists], ignore_index=True).infer_objects()


def load_rivals(folder: str | os.PathLike[str]) -> RivalResults:
    """Read the tables that ``ann2neo study rivals`` wrote.

    Parameters
    ----------
    folder : path
        What ``ann2neo study rivals --out`` wrote.

    Raises
    ------
    InputValueError
        If a table is missing.
    FileFormatError
        If a file is not of this study.
    IntegrityError
        If a row of a table is not what was written.
    """
    paths = [Path(folder) / name for name in (_NETWORKS, _UNITS, _CURVES)]
    for path in paths:
        if not path.exists():
            raise InputValueError(
                f"there is no {path.name} in {folder}; finish 'ann2neo study rivals"
                f" --out {folder}' first"
            )
    networks, units, curves = map(read_table, paths)
    missing = [
        name for name in [*NOISE_KEY, "phase", "reached"] if name not in networks
    ]
    if missing:
        raise FileFormatError(
            f"{paths[0]} lacks the column {missing[0]!r}; it is not of this study"
        )
    return RivalResults(networks, units, curves)
