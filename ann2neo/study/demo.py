"""The demonstration: three networks, their recordings, and one table of what their
spikes say.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import pandas as pd

from ann2neo.analysis.networks.summarize import summarize
from ann2neo.analysis.units.analyze import analyze
from ann2neo.datasets import load_dataset
from ann2neo.errors import OutputError, OutputExistsError
from ann2neo.io.nwb.writer import write_nwb
from ann2neo.probe.record import Probe
from ann2neo.recording import Recording
from ann2neo.study.conditions import NetworkUnderStudy, TrainedNetwork
from ann2neo.study.networks import HIDDEN_LAYER
from ann2neo.study.runs import record_network

__all__ = ["demo_text", "run_demo"]

_log = logging.getLogger(__name__)

_CONDITIONS = ("random", "generalizing", "mem_random_last")
_WORDS = {
    "random": "untrained",
    "generalizing": "generalizing",
    "mem_random_last": "memorizing",
}
_WIDTH = 64
_EPOCHS = {"digits": 1000}
_EPOCHS_ELSEWHERE = 200
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
    """Train an MLP under three conditions, record and analyse each, and write a NWB
    file a network.

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
        stored order.

    Raises
    ------
    OutputExistsError
        If a file exists and `overwrite` is not given; nothing has been trained then.
    OutputError
        If the folder cannot be made.
    """
    folder = Path(out)
    files = {condition: folder / f"{condition}.nwb" for condition in _CONDITIONS}
    there = [str(path) for path in files.values() if path.exists()]
    if there and not overwrite:
        verb = "exists" if len(there) == 1 else "exist"
        msg = (
            f"{', '.join(there)} {verb} already; pass overwrite=True (--overwrite) to"
            " replace"
        )
        raise OutputExistsError(
            msg
            + " the files of an earlier demonstration, or choose another folder with"
            " --out"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"the folder {folder} cannot be made: {error.strerror}; choose another with"
            " --out"
        ) from error
    data = load_dataset(dataset)
    bench = NetworkUnderStudy(
        data, "MLP", _WIDTH, max_epochs=_EPOCHS.get(data.name, _EPOCHS_ELSEWHERE)
    )
    probe = Probe(bench.model, HIDDEN_LAYER)
    tables = []
    for condition in _CONDITIONS:
        _log.info(
            "%s: training and recording the %s network", data.name, _WORDS[condition]
        )
        network = bench.bring_into(condition, seed)
        recording = record_network(probe, bench, network)
        tables.append(_rows(recording, network))
        write_nwb(recording, files[condition], overwrite=overwrite)
        if condition == "generalizing":
            stored = _rows(
                record_network(probe, bench, network, shuffle=False), network
            )
    return pd.concat([*tables, stored], ignore_index=True)


def _rows(recording: Recording, network: TrainedNetwork) -> pd.DataFrame:
    rows = summarize(analyze(recording)).rename(columns={"phase": "split"})
    accuracy = rows["split"].map(
        {"train": network.accuracy_train, "test": network.accuracy_test}
    )
    return rows.assign(network=_WORDS[network.condition], accuracy=accuracy)


def demo_text(table: pd.DataFrame, out: str | os.PathLike[str]) -> str:
    """The table of a demonstration, what it shows, and what to open next."""
    shown = [
        [_cell(name, row[name]) for name in _HEADINGS]
        for row in table.to_dict("records")
    ]
    random = table[table["order"] == "random"].set_index(["network", "split"])[
        "mean_firing_rate"
    ]
    stored = table[table["order"] == "stored"].iloc[-1]
    generalizing, memorizing = (
        random["generalizing", "test"],
        random["memorizing", "test"],
    )
    file = Path(out) / "generalizing.nwb"
    return "\n".join(
        [
            _aligned([list(_HEADINGS.values()), *shown], rule_before=len(shown) - 1),
            "",
            (
                f"A sample activates {generalizing:.0%} of the generalizing network,"
                f" {memorizing:.0%} of the memorizing."
            ),
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


def _cell(name: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    if name in {"accuracy", "silent_share"}:
        return f"{100 * value:.1f} %"
    return f"{value:.1f} %" if name.endswith("percent") else f"{value:.3f}"


def _aligned(rows: list[list[str]], rule_before: int) -> str:
    """Columns side by side: words to the left, numbers to the right; headings broken
    over lines.
    """
    heads = [_broken(head) for head in rows[0]]
    depth = max(len(head) for head in heads)
    lines = [
        [
            head[i - depth + len(head)] if i >= depth - len(head) else ""
            for head in heads
        ]
        for i in range(depth)
    ]
    widths = [
        max(len(line[i]) for line in [*lines, *rows[1:]]) for i in range(len(heads))
    ]
    words = 3

    def join(line: list[str]) -> str:
        cells = [
            c.ljust(w) if i < words else c.rjust(w)
            for i, (c, w) in enumerate(zip(line, widths, strict=True))
        ]
        return "  ".join(cells).rstrip()

    rule = "  ".join("-" * width for width in widths)
    body = [join(row) for row in rows[1:]]
    return "\n".join(
        [
            *(join(line) for line in lines),
            rule,
            *body[: rule_before - 1],
            rule,
            *body[rule_before - 1 :],
        ]
    )


def _broken(heading: str) -> list[str]:
    """A heading in lines of at most ten letters, where its words allow it."""
    lines: list[str] = []
    for word in heading.split():
        if lines and len(lines[-1]) + 1 + len(word) <= 10:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines
