"""Run the study cell by cell; a run that was cut goes on where it was."""

from __future__ import annotations

import json
import logging
import math
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import asdict, replace
from functools import lru_cache
from multiprocessing import parent_process
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from tqdm import tqdm

import ann2neo
from ann2neo._checks import one_of, whole_number
from ann2neo._files import complete_file
from ann2neo._npz import read_npz
from ann2neo._parallel import Task, checked_executor, host, map_tasks
from ann2neo.errors import FileFormatError, InputValueError, WorkerError
from ann2neo.study.conditions import (
    CONDITIONS,
    Checkpoint,
    NetworkUnderStudy,
    TrainedNetwork,
    conditions_of,
    epoch_limit,
)
from ann2neo.study.networks import HIDDEN_LAYER, PRECISIONS
from ann2neo.study.plan import Cell
from ann2neo.study.results import (
    HEADER,
    NETWORK_KEY,
    ROW_KEY,
    finished_cells,
    locked,
    open_folder,
    read_cell,
    settings_of,
    write_json,
    write_tables,
)
from ann2neo.study.training import (
    Progress,
    check_trains_several,
    several_are_cheap,
)

__all__ = [
    "POPULATION_COLUMNS",
    "record_network",
    "recording_rows",
    "run_study",
    "unfinished",
]

_log = logging.getLogger(__name__)

_FILES = {
    "rows": "cells/{}.json",
    "recording": "recordings/{}.nwb",
    "network": "networks/{}.npz",
    "checkpoint": "networks/{}.checkpoint.npz",
}
"""Files of a cell."""

_CHECKPOINT_SECONDS = 20.0
_REPORT_SECONDS = 300.0

_SEEDS_ON_ACCELERATOR = 8
"""Networks that train at once where nothing else is asked for."""

_LABEL_PERMUTATIONS, _JOINT_PERMUTATIONS = 999, 199
_PROVENANCE = (
    "ann2neo_version",
    "python_version",
    "numpy_version",
    "keras_version",
    "tensorflow_version",
    "jax_version",
    "weights_sha256",
)

POPULATION_COLUMNS = (
    "mean_correlation",
    "std_correlation",
    "mean_absolute_correlation",
    "correlation_null_std",
    "share_correlated",
    "tuning_correlation",
    "within_label_correlation",
    "participation_ratio",
    "participation_ratio_independent",
    "complexity_mean",
    "complexity_variance_ratio",
    "population_sparseness",
    "mean_lifetime_sparseness",
    "mean_selectivity_index",
    "mean_selectivity_index_expected",
    "mean_mutual_information",
    "informative_share",
    "n_single_stimulus_units",
)
"""Columns of `summarize_populations` that a row of the study has."""


def run_study(
    cells: Sequence[Cell],
    out: str | os.PathLike[str],
    *,
    max_epochs: int | None = None,
    precision: str = "float32",
    executor: Executor | None = None,
    minutes: float | None = None,
    seeds_at_once: int | None = None,
) -> pd.DataFrame:
    """Train, record and analyse the cells of a study.

    Parameters
    ----------
    cells : sequence of Cell
        What to run, as `planned_cells` lists it. Cells that the folder holds already
        are not run again.
    out : path
        Folder for results: ``results.csv`` with one row per cell and split,
        ``unit_rates.csv``, and one NWB file per cell in ``recordings/``. A run that was
        killed goes on there.
    max_epochs : int, optional
        Maximum number of epochs; `epoch_limit` of network and condition if not given.
        In a folder begun with a smaller one, networks that stopped there go on from
        where they stopped, and those that start from one of them are trained again.
    precision : {"float32", "mixed_bfloat16"}
        What networks are trained in. They are recorded in float32.
    executor : concurrent.futures.Executor, optional
        Where cells run that do not start from one another; in this thread, one by one,
        if not given. Workers must see the folder, and run one cell at a time each; this
        process keeps the lock and writes the tables.
    minutes : float, optional
        Stop after this time, and go on there with the same call. A training is cut
        whose next epoch would end later; nothing is begun after that. What has begun
        is trained for one epoch at least, so that every run comes further, and a
        recording at work is finished. Clocks of workers should agree with this one's.
    seeds_at_once : int, optional
        Maximum number of networks to train at once, on JAX, of those that differ in
        their seed alone. If not given: 8 on an accelerator where only dense layers
        learn (the MLP), for which its steps are too small; one of all others, and one
        per worker with an `executor`. The networks are the same up to the rounding of
        sums, which over many epochs may move the epoch at which a training stops; rows
        say how many were trained at once.

    Returns
    -------
    pandas.DataFrame
        All rows of the folder; none where the time was up before a cell was finished.
        `unfinished` lists the cells that are left.

    Raises
    ------
    WorkerError
        If a worker does not see the folder, or has another version of ann2neo.
    OutputLockedError
        If another run is at work in the folder.
    OutputExistsError, FileFormatError, InputValueError
        If the folder holds something else, another version, or a study begun with other
        settings.
    InputValueError
        If several networks are to train at once with an `executor`, or without JAX.
    """
    if max_epochs is not None:
        whole_number(max_epochs, "max_epochs")
    one_of(precision, PRECISIONS, "precision")
    checked_executor(executor)
    if minutes is not None and not minutes > 0:
        raise InputValueError(
            f"minutes must be above 0, got {minutes}; leave it out for no limit of time"
        )
    if seeds_at_once is not None:
        _check_seeds_at_once(seeds_at_once, executor)
    deadline = math.inf if minutes is None else time.time() + 60 * minutes
    if not cells:
        raise InputValueError("there is no cell to run")
    # Absolute, since workers may run in other folders.
    folder = Path(out).absolute()
    names = {
        name: ann2neo.load_dataset(name).name
        for name in dict.fromkeys(cell.dataset for cell in cells)
    }
    cells = [replace(cell, dataset=names[cell.dataset]) for cell in cells]
    sources = {
        name: str(Path(source).absolute()) if source.endswith(".npz") else source
        for source, name in names.items()
    }
    open_folder(
        folder,
        {"max_epochs": max_epochs, "precision": precision},
        may_change={"max_epochs"} if _is_raised(folder, cells, max_epochs) else set(),
    )
    with locked(folder):
        for name in ("cells", "recordings", "networks"):
            (folder / name).mkdir(exist_ok=True)
        # Before hours of training, since the tables are written from all cells.
        finished_cells(folder)
        waiting = _to_run(cells, folder, max_epochs)
        _log.info("%d of %d cells are to be run", len(waiting), len(cells))
        settings = {"max_epochs": max_epochs, "precision": precision}
        n_finished = 0
        try:
            for stage in _stages(
                waiting, folder, seeds_at_once, has_executor=executor is not None
            ):
                tasks = (
                    Task(
                        entry.title,
                        (
                            entry,
                            sources[entry.cells[0].dataset],
                            folder,
                            settings,
                            deadline,
                        ),
                    )
                    for entry in stage
                )
                outcomes = list[_Outcome]()
                for outcome in map_tasks(_run_entry, tasks, executor):
                    outcomes.append(outcome)
                    if outcome.rows:
                        write_tables(folder, finished_cells(folder))
                    for row in outcome.rows:
                        n_finished += 1
                        _log.info(
                            "%d/%d %s: %d epochs, accuracy %.2f %% (%s), mean firing"
                            " rate %.3f",
                            n_finished,
                            len(waiting),
                            Cell(*(row[name] for name in NETWORK_KEY)).title,
                            row["n_epochs"],
                            100 * row["accuracy_train"],
                            row["stopped_by"],
                            row["mean_firing_rate"],
                        )
                # What comes later may start from what was cut.
                if any(outcome.is_cut for outcome in outcomes):
                    break
        finally:
            _bench.cache_clear()
        return _tables(folder)


def unfinished(
    cells: Sequence[Cell],
    folder: str | os.PathLike[str],
    max_epochs: int | None = None,
) -> list[Cell]:
    """List the cells that a folder of results does not hold yet.

    Those of networks that stopped at a limit of epochs below `max_epochs` are among
    them, and those that started from a network that has trained for longer since.
    """
    left = []
    for cell in cells:
        row = _finished_row(cell, Path(folder))
        limit = max_epochs or epoch_limit(cell.network, cell.condition)
        if row is None or (
            row["stopped_by"] == "epoch limit" and row["max_epochs"] < limit
        ):
            left.append(cell)
        elif row.get("start_epochs") is not None:
            parent = _finished_row(_parent(cell), Path(folder))
            if parent is not None and parent["n_epochs"] != row["start_epochs"]:
                left.append(cell)
    return left


def _finished_row(cell: Cell, folder: Path) -> dict[str, Any] | None:
    """Read a row of a cell; None if it is not finished."""
    path = _file(folder, cell, "rows")
    if not path.exists():
        return None
    row: dict[str, Any] = read_cell(path)["rows"][0]
    return row


class _TimeIsUpError(Exception):
    """The time of a run is over; what was trained is in a checkpoint."""


_over: set[float] = set()
"""Ends of runs whose time is up in this process, though they may be a little later."""


def _check_seeds_at_once(seeds_at_once: int, executor: Executor | None) -> None:
    whole_number(seeds_at_once, "seeds_at_once")
    if seeds_at_once == 1:
        return
    if executor is not None:
        raise InputValueError(
            f"workers train one network at a time, got seeds_at_once={seeds_at_once};"
            " leave out one of the two"
        )
    check_trains_several()


def _tables(folder: Path) -> pd.DataFrame:
    """Write the tables of a folder, which may hold no finished cell yet."""
    content = finished_cells(folder)
    return write_tables(folder, content) if content else pd.DataFrame(columns=ROW_KEY)


def _is_raised(folder: Path, cells: Sequence[Cell], max_epochs: int | None) -> bool:
    """Say whether no cell has a smaller limit of epochs than its folder began with."""
    if not (folder / HEADER).exists():
        return False
    begun = settings_of(folder).get("max_epochs")
    limits = [epoch_limit(cell.network, cell.condition) for cell in cells]
    return all((max_epochs or usual) >= (begun or usual) for usual in limits)


def _started_from(cell: Cell) -> list[Cell]:
    """List the cells of networks that start from the network of a cell."""
    if cell.condition != "generalizing":
        return []
    others = (
        replace(cell, condition=condition) for condition in conditions_of(cell.network)
    )
    return [other for other in others if _starts_from_another(other)]


def _to_run(cells: Sequence[Cell], folder: Path, max_epochs: int | None) -> list[Cell]:
    """List the cells to run: unfinished ones, and those that start from one of them.

    Raises
    ------
    InputValueError
        If networks that start from an unfinished one were trained and are not asked
        for, so that they would no longer belong to it.
    """
    left = unfinished(cells, folder, max_epochs)
    started = [
        other
        for cell in left
        for other in _started_from(cell)
        if _file(folder, other, "rows").exists()
    ]
    missing = [cell for cell in started if cell not in cells]
    if missing:
        raise InputValueError(
            f"{missing[0].title} started from a network that would train for longer;"
            " ask for this condition too, or choose another folder"
        )
    n_going_on = sum(_file(folder, cell, "rows").exists() for cell in left)
    if n_going_on:
        _log.info(
            "%d networks go on where they stopped, %d that start from one of them are"
            " trained again",
            n_going_on,
            len(started),
        )
    return [cell for cell in cells if cell in {*left, *started}]


class _Entry(NamedTuple):
    """What a worker is to do.

    Parameters
    ----------
    cells : tuple of Cell
        The network, or several that differ in their seed and train at once.
    only_trains : bool
        Whether it is trained only because others start from it.
    is_elsewhere : bool
        Whether an executor runs it, beside others.
    """

    cells: tuple[Cell, ...]
    only_trains: bool
    is_elsewhere: bool

    @property
    def title(self) -> str:
        """What it is about, for messages."""
        return _title(self.cells)


def _title(cells: Sequence[Cell]) -> str:
    if len(cells) == 1:
        return cells[0].title
    return f"{cells[0].title} and {len(cells) - 1} more seeds"


class _Outcome(NamedTuple):
    """What came of an entry.

    Parameters
    ----------
    rows : list of dict
        First row of each cell that is finished.
    is_cut : bool
        Whether the time was up before all was done.
    """

    rows: list[dict[str, Any]]
    is_cut: bool


def _stages(
    cells: Sequence[Cell],
    folder: Path,
    seeds_at_once: int | None,
    *,
    has_executor: bool,
) -> list[list[_Entry]]:
    """Divide cells into lists, each of which starts from what those before it trained.

    Without an executor there is one entry per list, one after the other.
    """
    if not has_executor:
        together = _grouped(cells, seeds_at_once)
        return [[_Entry(group, False, False)] for group in together]
    later = [cell for cell in cells if _starts_from_another(cell)]
    first = {cell: False for cell in cells if not _starts_from_another(cell)}
    for parent in map(_parent, later):
        if parent not in first and not _file(folder, parent, "network").exists():
            first[parent] = True
    return [
        [_Entry((cell,), only_trains, True) for cell, only_trains in first.items()],
        [_Entry((cell,), False, True) for cell in later],
    ]


def _grouped(
    cells: Sequence[Cell], seeds_at_once: int | None
) -> list[tuple[Cell, ...]]:
    """Put cells together that train at once, all after those that they start from."""
    if not cells:
        return []
    small = seeds_at_once or (_SEEDS_ON_ACCELERATOR if several_are_cheap() else 1)
    of_a_network: dict[Cell, list[Cell]] = {}
    for cell in cells:
        network = replace(cell, condition="", seed=-1)
        of_a_network.setdefault(network, []).append(cell)
    groups: list[tuple[Cell, ...]] = []
    for network, alike in of_a_network.items():
        at_once = small if network.network == "MLP" else seeds_at_once or 1
        if at_once == 1:
            groups += [(cell,) for cell in alike]
            continue
        for condition in CONDITIONS:
            # Untrained networks have nothing to share.
            n = 1 if condition == "random" else at_once
            under_it = [cell for cell in alike if cell.condition == condition]
            groups += [tuple(under_it[i : i + n]) for i in range(0, len(under_it), n)]
    return groups


def _starts_from_another(cell: Cell) -> bool:
    return "retrain" in cell.condition


def _parent(cell: Cell) -> Cell:
    return replace(cell, condition="generalizing")


_ONE_CELL = Lock()
"""Networks share the state of Keras in a process."""


def _run_entry(
    entry: _Entry,
    source: str,
    folder: Path,
    settings: dict[str, Any],
    deadline: float,
) -> _Outcome:
    """Run the cells of an entry, as far as the time allows."""
    if not (folder / "cells").is_dir():
        raise WorkerError(
            f"a worker on {host()} does not see {folder}; choose a folder that all"
            " workers see under this path"
        )
    first, rows = entry.cells[0], list[dict[str, Any]]()
    with _ONE_CELL:
        try:
            _check_time(deadline)
            bench, probe = _bench(
                source, first.network, first.width, tuple(settings.items())
            )
            networks = _trained(entry.cells, entry, bench, folder, deadline)
            if entry.only_trains:
                return _Outcome(rows, False)
            for cell, network in zip(entry.cells, networks, strict=True):
                # Its training is kept in a checkpoint.
                if rows:
                    _check_time(deadline)
                at_once = len(entry.cells)
                rows.append(_run_cell(cell, network, at_once, bench, probe, folder))
        except _TimeIsUpError:
            _over.add(deadline)
            return _Outcome(rows, True)
        return _Outcome(rows, False)


def _check_time(deadline: float) -> None:
    """Begin nothing where the time of a run is up.

    Raises
    ------
    _TimeIsUpError
        If it is.
    """
    if time.time() >= deadline or deadline in _over:
        raise _TimeIsUpError


@lru_cache(maxsize=1)
def _bench(
    source: str, network: str, width: int, settings: tuple[tuple[str, Any], ...]
) -> tuple[NetworkUnderStudy, ann2neo.Probe]:
    """Build a network and its probe; cells of one network follow each other."""
    data = ann2neo.load_dataset(source)
    bench = NetworkUnderStudy(data, network, width, **dict(settings))
    return bench, ann2neo.Probe(bench.model, HIDDEN_LAYER)


def record_network(
    probe: ann2neo.Probe,
    bench: NetworkUnderStudy,
    network: TrainedNetwork,
    *,
    shuffle: bool = True,
) -> ann2neo.Recording:
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

    Returns
    -------
    Recording
        Phases "train" and "test", with the true labels and the network's predictions.
    """
    data = bench.data
    provenance = {
        "dataset": data.name,
        "dataset_source": data.source,
        "network": bench.network,
        "width": str(bench.width),
        "condition": network.condition,
        "training_precision": bench.precision,
        "training_device": bench.device,
        "training_seed": str(network.seed),
        "n_epochs": str(network.n_epochs),
        "stopped_by": network.stopped_by,
        "accuracy_train": f"{network.accuracy_train:.6f}",
        "accuracy_validation": f"{network.accuracy_validation:.6f}",
        "accuracy_test": f"{network.accuracy_test:.6f}",
    }
    phases = [
        probe.record(
            data.inputs(split),
            labels=data.labels(split),
            seed=network.seed,
            shuffle=shuffle,
            phase=split,
            progress=False,
            provenance=provenance,
        )
        for split in ("train", "test")
    ]
    return ann2neo.Recording.concatenate(phases)


def recording_rows(recording: ann2neo.Recording, seed: int) -> dict[str, Any]:
    """Compute the rows of a network from its recording.

    Parameters
    ----------
    recording : Recording
        A phase per split, as `record_network` makes it.
    seed : int
        Seeds the permutations.

    Returns
    -------
    dict
        ``rows``, one per split: the columns of `summarize`, `POPULATION_COLUMNS` of
        `summarize_populations` (true labels), ``mean_dispersion_pvalue`` (two-sided),
        ``mean_ljung_box_pvalue`` and ``mean_trend_pvalue`` of `network_test`, which
        permutes presentations for all units alike, and the versions and the checksum
        of the weights from the recording's provenance; numbers that do not exist are
        None. ``unit_rates``, per split the firing rate of every unit.
    """
    units = ann2neo.analyze(recording)
    populations = ann2neo.summarize_populations(
        recording, n_permutations=_LABEL_PERMUTATIONS, seed=seed
    )
    table = ann2neo.summarize(units).merge(
        populations[["phase", *POPULATION_COLUMNS]],
        on="phase",
        how="left",
        validate="one_to_one",
    )
    pvalues = ann2neo.network_test(
        recording, n_permutations=_JOINT_PERMUTATIONS, seed=seed
    ).set_index(["statistic", "phase"])["pvalue"]
    for column, statistic in (
        ("mean_dispersion_pvalue", "mean_dispersion"),
        ("mean_ljung_box_pvalue", "mean_ljung_box_statistic"),
        ("mean_trend_pvalue", "mean_windowed_trend"),
    ):
        table[column] = table["phase"].map(pvalues[statistic])
    provenance = recording.provenance
    table = table.rename(columns={"phase": "split"}).assign(
        n_label_permutations=_LABEL_PERMUTATIONS,
        n_joint_permutations=_JOINT_PERMUTATIONS,
        **{name: provenance[name] for name in _PROVENANCE if name in provenance},
    )
    rates = units.groupby("phase", sort=False)["firing_rate"].agg(list).to_dict()
    # Through JSON, since a row is kept as such: a number that does not exist becomes
    # None.
    rows = json.loads(table.to_json(orient="records", double_precision=15))
    return {"rows": rows, "unit_rates": rates}


def _run_cell(
    cell: Cell,
    network: TrainedNetwork,
    seeds_at_once: int,
    bench: NetworkUnderStudy,
    probe: ann2neo.Probe,
    folder: Path,
) -> dict[str, Any]:
    """Record, analyse and write one cell."""
    # Of several networks it holds the last one.
    bench.model.set_weights(network.weights)
    recording = record_network(probe, bench, network)
    content = recording_rows(recording, cell.seed)
    has_spikes = bool(recording.raster.spike_counts().any())
    if has_spikes:
        path = _file(folder, cell, "recording")
        ann2neo.write_nwb(recording, path, overwrite=True)
    facts = {
        **asdict(cell),
        **asdict(network),
        "max_epochs": bench.max_epochs(cell.condition),
        "precision": bench.precision,
        "backend": bench.backend,
        "device": bench.device,
        "seeds_at_once": seeds_at_once,
        "pretrained": bool(bench.model.pretrained),
        "nwb": has_spikes,
    }
    if _starts_from_another(cell):
        start = _read_weights(_file(folder, _parent(cell), "network"), bench)
        facts["start_epochs"] = start.progress.n_epochs
    del facts["weights"]
    content["rows"] = [facts | row for row in content["rows"]]
    # Last, since this file marks the cell as done.
    write_json(_file(folder, cell, "rows"), content)
    # A network that stopped at its limit goes on from here under a larger one.
    if network.stopped_by != "epoch limit":
        _file(folder, cell, "checkpoint").unlink(missing_ok=True)
    first: dict[str, Any] = content["rows"][0]
    return first


def _trained(
    cells: Sequence[Cell],
    entry: _Entry,
    bench: NetworkUnderStudy,
    folder: Path,
    deadline: float,
) -> list[TrainedNetwork]:
    """Train cells at once, or go on from their checkpoints.

    What others start from is kept.
    """
    starts = None
    if _starts_from_another(cells[0]):
        parents = [_parent(cell) for cell in cells]
        files = [_file(folder, parent, "network") for parent in parents]
        pairs = zip(parents, files, strict=True)
        missing = [parent for parent, file in pairs if not file.exists()]
        if missing:
            _log.info("%s is where others start; training it", _title(missing))
            _trained(missing, entry, bench, folder, deadline)
        starts = [_read_weights(file, bench).weights for file in files]
    paths = [_file(folder, cell, "checkpoint") for cell in cells]
    cut_at = [_read_weights(path, bench) if path.exists() else None for path in paths]
    condition, seeds = cells[0].condition, [cell.seed for cell in cells]
    with tqdm(
        total=bench.max_epochs(condition),
        desc=cells[0].name if len(cells) == 1 else _title(cells),
        unit="epoch",
        leave=False,
        # Bars of several processes would overwrite each other.
        disable=True if entry.is_elsewhere else None,
    ) as bar:
        watch = _Watch(cells, paths, deadline, bar)
        if len(cells) == 1:
            networks = [
                bench.bring_into(
                    condition,
                    seeds[0],
                    None if starts is None else starts[0],
                    cut_at=cut_at[0],
                    checkpoint=lambda it: watch.after_epoch(
                        [it.progress], lambda _: it
                    ),
                )
            ]
        else:
            networks = bench.bring_several_into(
                condition,
                seeds,
                starts,
                cut_at=cut_at,
                after_epoch=lambda them: watch.after_epoch(
                    them.progress, them.checkpoint
                ),
                # A run may end before all of them are recorded.
                after_training=lambda them: watch.save(them.progress, them.checkpoint),
            )
    for cell, path, network in zip(cells, paths, networks, strict=True):
        end = Checkpoint(network.weights, Progress(network.n_epochs, 0.0))
        if network.stopped_by == "epoch limit":
            _write_weights(path, end)
        if cell.condition == "generalizing":
            # They began from another network than the one that is now there.
            for other in _started_from(cell):
                _file(folder, other, "checkpoint").unlink(missing_ok=True)
            _write_weights(_file(folder, cell, "network"), end)
    return networks


class _Watch:
    """Keep checkpoints of trainings, tell how far they are, and end them in time.

    Parameters
    ----------
    cells : sequence of Cell
        What is trained.
    paths : list of Path
        Files of their checkpoints.
    deadline : float
        When the time of the run is up.
    bar : tqdm
        Shows epochs.
    """

    def __init__(
        self, cells: Sequence[Cell], paths: list[Path], deadline: float, bar: Any
    ) -> None:
        self._cells, self._paths = cells, paths
        self._deadline, self._bar = deadline, bar
        self._saved = [-1] * len(cells)
        self._last_save = self._last_report = self._ended = time.monotonic()

    def after_epoch(
        self, progress: Sequence[Progress], checkpoint: Callable[[int], Checkpoint]
    ) -> None:
        """Take note of the progress of each; `checkpoint` copies the i-th network.

        Raises
        ------
        _TimeIsUpError
            If the next epoch would end too late.
        """
        _check_caller()
        now = time.monotonic()
        seconds, self._ended = now - self._ended, now
        time_is_up = time.time() + seconds >= self._deadline
        lowest = min(done.accuracy for done in progress)
        self._bar.update(max(done.n_epochs for done in progress) - self._bar.n)
        self._bar.set_postfix_str(f"accuracy {lowest:.2%}", refresh=False)
        if time_is_up or now - self._last_save >= _CHECKPOINT_SECONDS:
            self.save(progress, checkpoint)
            self._last_save = now
        if now - self._last_report >= _REPORT_SECONDS:
            for cell, done in zip(self._cells, progress, strict=True):
                _log.info(
                    "%s: %d epochs, accuracy %.1f %%",
                    cell.title,
                    done.n_epochs,
                    100 * done.accuracy,
                )
            self._last_report = now
        if time_is_up:
            raise _TimeIsUpError

    def save(
        self, progress: Sequence[Progress], checkpoint: Callable[[int], Checkpoint]
    ) -> None:
        """Write the checkpoints of networks that have moved since the last time."""
        for i, (path, done) in enumerate(zip(self._paths, progress, strict=True)):
            if done.n_epochs != self._saved[i]:
                _write_weights(path, checkpoint(i))
                self._saved[i] = done.n_epochs


def _check_caller() -> None:
    """End a worker whose run was killed: the next run does its cell."""
    caller = parent_process()
    if caller is not None and not caller.is_alive():
        raise WorkerError(
            "the run that this worker belongs to has ended; start it again"
        )


def _write_weights(path: Path, checkpoint: Checkpoint) -> None:
    arrays: dict[str, Any] = {
        f"weight_{i:04d}": value for i, value in enumerate(checkpoint.weights)
    }
    progress = [checkpoint.progress.n_epochs, checkpoint.progress.accuracy]
    with complete_file(path, overwrite=True) as partial, partial.open("wb") as file:
        np.savez(file, progress=np.array(progress), **arrays)


def _read_weights(path: Path, bench: NetworkUnderStudy) -> Checkpoint:
    remedy = "delete it, and the network is trained from the beginning"
    arrays = read_npz(path, None, remedy)
    progress = arrays.pop("progress", np.zeros(0))
    weights = [arrays[name] for name in sorted(arrays)]
    shapes = [array.shape for array in bench.model.get_weights()]
    if (
        progress.shape != (2,)
        or [array.shape for array in weights] != shapes
        or any(array.dtype.kind != "f" for array in (progress, *weights))
    ):
        raise FileFormatError(
            f"{path} does not hold the weights of {bench.network} of width"
            f" {bench.width} on {bench.data.name}; {remedy}"
        )
    return Checkpoint(weights, Progress(int(progress[0]), float(progress[1])))


def _file(folder: Path, cell: Cell, kind: str) -> Path:
    return folder / _FILES[kind].format(cell.name)
