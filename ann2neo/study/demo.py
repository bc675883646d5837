"""The demonstration: three networks, their recordings, and one table of statistics."""

from __future__ import annotations

import logging
import os
import textwrap
from pathlib import Path
from typing import Any

import pandas as pd

import ann2neo
from ann2neo._files import make_folder, refuse_existing
from ann2neo.study.conditions import NetworkUnderStudy, TrainedNetwork, n_held_out
from ann2neo.study.memorization import MIN_GAIN, gain_bound
from ann2neo.study.networks import HIDDEN_LAYER
from ann2neo.study.runs import record_network

__all__ = ["demo_text", "run_demo"]

_log = logging.getLogger(__name__)

_CONDITIONS = {
    "random": "untrained",
    "generalizing": "generalizing",
    "mem_random_last": "memorizing",
}
"""Conditions of the study, and their names in the table."""
_NOT_MEMORIZING = "permuted labels"
"""Name of a network that was trained to memorize and does not."""

_WIDTH = 64
_EPOCHS = {"digits": 1000}
_EPOCHS_ELSEWHERE = 200
_WORDS = 3
_HEADINGS = {
    "network": "network",
    "split": "samples",
    "order": "order",
    "accuracy": "accuracy",
    "mean_firing_rate": "mean firing rate",
    "cv_firing_rate_percent": "CV of rates",
    "mean_fano_factor": "mean Fano factor",
    "mean_fano_factor_expected": "by the rates alone",
    "mean_dispersion": "dispersion",
    "silent_share": "silent units",
}


def run_demo(
    dataset: str = "digits",
    out: str | os.PathLike[str] = "ann2neo-demo",
    *,
    seed: int = 0,
    overwrite: bool = False,
) -> pd.DataFrame:
    """Train an MLP under three conditions, analyse it, and write one NWB file for each.

    Parameters
    ----------
    dataset : str, default "digits"
        As in `load_dataset`.
    out : path, default "ann2neo-demo"
        Folder for ``random.nwb``, ``generalizing.nwb`` and ``mem_random_last.nwb``.
    seed : int, default 0
        Seeds weights, labels and orders.
    overwrite : bool, default False
        Replace the files of an earlier demonstration.

    Returns
    -------
    pandas.DataFrame
        One row per network and split, and the generalizing network's once more in
        stored order. The network trained on permuted labels is called "memorizing"
        where it memorizes them, as `ann2neo.study.memorization` judges, and "permuted
        labels" where it does not.

    Raises
    ------
    OutputExistsError
        If a file exists and `overwrite` is not given; nothing has been trained then.
    OutputError
        If the folder cannot be made.
    """
    folder = Path(out)
    files = {condition: folder / f"{condition}.nwb" for condition in _CONDITIONS}
    for path in files.values():
        refuse_existing(path, overwrite=overwrite)
    data = ann2neo.load_dataset(dataset)
    make_folder(folder)
    bench = NetworkUnderStudy(
        data, "MLP", _WIDTH, max_epochs=_EPOCHS.get(data.name, _EPOCHS_ELSEWHERE)
    )
    probe = ann2neo.Probe(bench.model, HIDDEN_LAYER)
    tables = []
    for condition, aim in _CONDITIONS.items():
        _log.info("%s: training and recording the %s network", data.name, aim)
        network = bench.bring_into(condition, seed)
        fails = aim == "memorizing" and not _memorizes(network, data)
        name = _NOT_MEMORIZING if fails else aim
        recordings = [record_network(probe, bench, network)]
        ann2neo.write_nwb(recordings[0], files[condition], overwrite=overwrite)
        if condition == "generalizing":
            recordings.append(record_network(probe, bench, network, shuffle=False))
        for recording in recordings:
            table = ann2neo.summarize(ann2neo.analyze(recording))
            table = table.rename(columns={"phase": "split"})
            accuracies = {
                "train": network.accuracy_train,
                "test": network.accuracy_test,
            }
            accuracy = table["split"].map(accuracies)
            tables.append(table.assign(network=name, accuracy=accuracy))
    table = pd.concat(tables)
    return table.sort_values("order", kind="stable", ignore_index=True)


def _memorizes(network: TrainedNetwork, data: ann2neo.DataSet) -> bool:
    n = len(data.labels("train"))
    n_held = n_held_out(n)
    bound = gain_bound(
        network.accuracy_train, n - n_held, network.accuracy_validation, n_held
    )
    return bool(bound >= MIN_GAIN)


def demo_text(table: pd.DataFrame, out: str | os.PathLike[str]) -> str:
    """Write the table of a demonstration, what it shows, and what to open next."""
    random = table[table["order"] == "random"].set_index(["network", "split"])[
        "mean_firing_rate"
    ]
    stored = table[table["order"] == "stored"].iloc[-1]
    generalizing = random["generalizing", "test"]
    says = f"A sample activates {generalizing:.0%} of the generalizing network,"
    bound = f"lower 95 % bound of the gain on them at least {MIN_GAIN:.2f}"
    if "memorizing" in set(table["network"]):
        memorizing = random["memorizing", "test"]
        lines = [
            f"{says} {memorizing:.0%} of the memorizing.",
            f"Of 1 network trained on permuted labels 1 memorizes them ({bound}).",
        ]
    else:
        permuted = random[_NOT_MEMORIZING, "test"]
        lines = [
            f"{says} {permuted:.0%} of the one trained on permuted labels.",
            f"Of 1 network trained on permuted labels 0 memorize them ({bound}):",
            "nothing here tells memorizing from generalizing.",
        ]
    file = Path(out) / "generalizing.nwb"
    return "\n".join(
        [
            _aligned(table),
            "",
            *lines,
            (
                "In random order the Fano factor is what the rates alone make it, and"
                " the dispersion is 1, whatever was"
            ),
            (
                f"learned. In stored order it is {stored['mean_dispersion']:.2f} on"
                " test samples: the data set's order."
            ),
            (
                "Accuracy: on the labels trained on (random ones for the memorizing"
                " network), and on true test labels."
            ),
            "",
            "Open next:",
            f"  ann2neo info {file}",
            f"  ann2neo analyze {file} --csv > units.csv",
            f'  python -c "import ann2neo; print(ann2neo.read_nwb({str(file)!r}))"',
            "  ann2neo demo --dataset mnist --out ann2neo-demo-mnist",
        ]
    )


def _aligned(table: pd.DataFrame) -> str:
    """Align words to the left and numbers to the right, under headings of many lines.

    A rule stands above the rows of stored order, which are the last two.
    """
    heads = [textwrap.wrap(head, 10) for head in _HEADINGS.values()]
    depth = max(map(len, heads))
    lines = [*zip(*([""] * (depth - len(head)) + head for head in heads), strict=True)]
    lines += [
        tuple(_cell(name, row[name]) for name in _HEADINGS)
        for row in table.to_dict("records")
    ]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    texts = [
        "  ".join(
            cell.ljust(width) if place < _WORDS else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    rule = "  ".join("-" * width for width in widths)
    return "\n".join([*texts[:depth], rule, *texts[depth:-2], rule, *texts[-2:]])


def _cell(name: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    if name in {"accuracy", "silent_share"}:
        return f"{100 * value:.1f} %"
    return f"{value:.1f} %" if name.endswith("percent") else f"{value:.3f}"
