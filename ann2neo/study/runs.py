"""Running the study: cell by cell, written as they are done, resumed where a run was
cut.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import time
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from ann2neo._files import complete_file
from ann2neo.datasets import load_dataset
from ann2neo.errors import InputValueError
from ann2neo.io.nwb.writer import write_nwb
from ann2neo.probe.record import Probe
from ann2neo.recording import Recording
from ann2neo.study.cells import Cell
from ann2neo.study.conditions import Checkpoint, NetworkUnderStudy, TrainedNetwork
from ann2neo.study.networks import HIDDEN_LAYER, PRECISIONS, Weights
from ann2neo.study.results import (
    finished_cells,
    locked,
    open_folder,
    write_json,
    write_tables,
)
from ann2neo.study.rows import recording_rows
from ann2neo.study.training import Progress

__all__ = ["record_network", "run_study"]

_log = logging.getLogger(__name__)

_CHECKPOINT_SECONDS = 20.0
_REPORT_SECONDS = 300.0


def run_study(
    cells: Sequence[Cell],
    out: str | os.PathLike[str],
    *,
    max_epochs: int | None = None,
    precision: str = "float32",
) -> pd.DataFrame:
    """Train, record and analyse the cells of a study.

    Parameters
    ----------
    cells : sequence of Cell
        What to run, as `planned_cells` lists it. Cells that the folder holds already
        are not run again.
    out : path
        Folder for results: ``results.csv`` with a row per cell and split,
        ``unit_rates.csv``, and a NWB file per cell in ``recordings/``. A run that was
        killed goes on there.
    max_epochs : int, optional
        Most epochs of a training; `epoch_limit` of network and condition if not given.
    precision : {"float32", "mixed_bfloat16"}
        What networks are trained in. They are recorded in float32.

    Returns
    -------
    pandas.DataFrame
        All rows of the folder.

    Raises
    ------
    OutputLockedError
        If another run is at work in the folder.
    OutputExistsError, FileFormatError, InputValueError
        If the folder holds something else, another version, or a study begun with other
        settings.
    """
    if max_epochs is not None and max_epochs < 1:
        raise InputValueError(f"max_epochs must be at least 1, got {max_epochs}")
    if precision not in PRECISIONS:
        raise InputValueError(
            f"unknown precision {precision!r}; there are {', '.join(PRECISIONS)}"
        )
    if not cells:
        raise InputValueError("there is no cell to run")
    folder = Path(out)
    data = {
        name: load_dataset(name)
        for name in dict.fromkeys(cell.dataset for cell in cells)
    }
    cells = [
        dataclasses.replace(cell, dataset=data[cell.dataset].name) for cell in cells
    ]
    by_name = {entry.name: entry for entry in data.values()}
    open_folder(folder, {"max_epochs": max_epochs, "precision": precision})
    with locked(folder):
        for name in ("cells", "recordings", "networks"):
            (folder / name).mkdir(exist_ok=True)
        waiting = [cell for cell in cells if not _done_path(folder, cell).exists()]
        _log.info("%d of %d cells are to be run", len(waiting), len(cells))
        spent: list[float] = []
        n_done, n_to_train = 0, sum(cell.condition != "random" for cell in waiting)
        for (dataset, network, width), group in groupby(
            waiting, lambda c: (c.dataset, c.network, c.width)
        ):
            bench = NetworkUnderStudy(
                by_name[dataset],
                network,
                width,
                max_epochs=max_epochs,
                precision=precision,
            )
            probe = Probe(bench.model, HIDDEN_LAYER)
            for cell in group:
                begun = time.monotonic()
                row = _run_cell(cell, bench, probe, folder)
                write_tables(folder, finished_cells(folder))
                n_done += 1
                if cell.condition != "random":
                    spent.append(time.monotonic() - begun)
                # Untrained networks take no time, so that they would promise too early
                # an end.
                left = (
                    float(np.mean(spent)) * (n_to_train - len(spent)) if spent else 0.0
                )
                when = (
                    f"; about {_duration(left)} left, if the others train as long"
                    if left
                    else ""
                )
                _log.info("%d/%d %s: %s%s", n_done, len(waiting), cell.title, row, when)
        return write_tables(folder, finished_cells(folder))


def record_network(
    probe: Probe,
    bench: NetworkUnderStudy,
    network: TrainedNetwork,
    *,
    shuffle: bool = True,
    progress: bool = False,
) -> Recording:
    """Record the observed layer on all training and all test samples, a phase each.

    Parameters
    ----------
    probe : Probe
        A probe of ``bench.model``, which holds the weights of `network`.
    bench : NetworkUnderStudy
        Knows the samples.
    network : TrainedNetwork
        What is recorded; goes into the provenance.
    shuffle : bool, default True
        Show the samples in a seeded random order, as the paper does.
    progress : bool, default False
        Show progress bars.

    Returns
    -------
    Recording
        Phases "train" and "test", with the true labels and the network's predictions.
    """
    data = bench.data
    told = {
        "dataset": data.name,
        "dataset_source": data.source,
        "network": bench.network,
        "width": str(bench.width),
        "condition": network.condition,
        "training_precision": bench.precision,
        "training_seed": str(network.seed),
        "n_epochs": str(network.n_epochs),
        "stopped_by": network.stopped_by,
        "accuracy_train": f"{network.accuracy_train:.6f}",
        "accuracy_validation": f"{network.accuracy_validation:.6f}",
        "accuracy_test": f"{network.accuracy_test:.6f}",
    }
    phases = []
    for split in ("train", "test"):
        part = probe.record(
            data.inputs(split),
            labels=data.labels(split),
            seed=network.seed,
            shuffle=shuffle,
            phase=split,
            progress=progress,
            provenance=told,
        )
        phases.append(part)
    return Recording.concatenate(phases)


def _run_cell(cell: Cell, bench: NetworkUnderStudy, probe: Probe, folder: Path) -> str:
    """Train, record, analyse and write one cell; the file that marks it as done comes
    last.
    """
    with tqdm(
        total=bench.max_epochs(cell.condition),
        desc=cell.name,
        unit="epoch",
        leave=False,
        disable=None,
    ) as bar:
        network = _trained(cell, bench, folder, bar)
    if cell.condition == "generalizing":
        _write_weights(
            _weights_path(folder, cell),
            Checkpoint(network.weights, Progress(network.n_epochs, 0.0)),
        )
    recording = record_network(probe, bench, network)
    found = recording_rows(recording, cell.seed)
    has_file = bool(recording.raster.spike_counts().any())
    if has_file:
        write_nwb(recording, folder / "recordings" / f"{cell.name}.nwb", overwrite=True)
    told = {
        name: value
        for name, value in dataclasses.asdict(network).items()
        if name not in {"weights", "seed"}
    }
    facts = {
        **dataclasses.asdict(cell),
        **told,
        "max_epochs": bench.max_epochs(cell.condition),
        "precision": bench.precision,
        "pretrained": bool(bench.model.pretrained),
        "nwb": has_file,
    }
    write_json(
        _done_path(folder, cell),
        {**found, "rows": [{**facts, **row} for row in found["rows"]]},
    )
    _checkpoint_path(folder, cell).unlink(missing_ok=True)
    rate = found["rows"][0]["mean_firing_rate"]
    reached = (
        f"{network.n_epochs} epochs, accuracy {network.accuracy_train:.2%}"
        f" ({network.stopped_by})"
    )
    return f"{reached}, mean firing rate {rate:.3f}"


def _trained(
    cell: Cell, bench: NetworkUnderStudy, folder: Path, bar: Any
) -> TrainedNetwork:
    path = _checkpoint_path(folder, cell)
    cut_at = _read_weights(path) if path.exists() else None
    start = (
        _generalizing_weights(cell, bench, folder)
        if "retrain" in cell.condition
        else None
    )
    saved = told = time.monotonic()

    def keep(checkpoint: Checkpoint) -> None:
        nonlocal saved, told
        bar.update(checkpoint.progress.n_epochs - bar.n)
        bar.set_postfix_str(
            f"accuracy {checkpoint.progress.accuracy:.2%}", refresh=False
        )
        if time.monotonic() - saved >= _CHECKPOINT_SECONDS:
            _write_weights(path, checkpoint)
            saved = time.monotonic()
        if time.monotonic() - told >= _REPORT_SECONDS:
            done = checkpoint.progress
            _log.info(
                "%s: %d epochs, accuracy %.1f %%",
                cell.title,
                done.n_epochs,
                100 * done.accuracy,
            )
            told = time.monotonic()

    return bench.bring_into(
        cell.condition, cell.seed, start, cut_at=cut_at, checkpoint=keep
    )


def _generalizing_weights(
    cell: Cell, bench: NetworkUnderStudy, folder: Path
) -> Weights:
    path = _weights_path(folder, cell)
    if not path.exists():
        _log.info(
            "%s starts from a generalizing network that is not there; training it",
            cell.title,
        )
        trained = bench.bring_into("generalizing", cell.seed)
        _write_weights(
            path, Checkpoint(trained.weights, Progress(trained.n_epochs, 0.0))
        )
    return _read_weights(path).weights


def _write_weights(path: Path, checkpoint: Checkpoint) -> None:
    arrays: dict[str, Any] = {
        f"weight_{i:04d}": value for i, value in enumerate(checkpoint.weights)
    }
    with complete_file(path, overwrite=True) as partial, partial.open("wb") as file:
        progress = np.array(
            [checkpoint.progress.n_epochs, checkpoint.progress.accuracy]
        )
        np.savez(file, progress=progress, **arrays)


def _read_weights(path: Path) -> Checkpoint:
    with np.load(path) as file:
        n_epochs, accuracy = file["progress"]
        weights = [file[name] for name in sorted(file.files) if name != "progress"]
    return Checkpoint(weights, Progress(int(n_epochs), float(accuracy)))


def _done_path(folder: Path, cell: Cell) -> Path:
    return folder / "cells" / f"{cell.name}.json"


def _weights_path(folder: Path, cell: Cell) -> Path:
    return (
        folder
        / "networks"
        / f"{dataclasses.replace(cell, condition='generalizing').name}.npz"
    )


def _checkpoint_path(folder: Path, cell: Cell) -> Path:
    return folder / "networks" / f"{cell.name}.checkpoint.npz"


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return (
        f"{minutes // 60} h {minutes % 60:02d} min"
        if minutes >= 60
        else f"{minutes} min"
    )
