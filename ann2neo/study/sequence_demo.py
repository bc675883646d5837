"""The demonstration of a recurrent network: it weighs evidence, in trials."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pandas as pd

import ann2neo
from ann2neo._files import make_folder, refuse_existing

__all__ = ["evidence", "run_sequence_demo", "sequence_demo_text"]

_log = logging.getLogger(__name__)

_N_STEPS, _N_UNITS, _EPOCHS = 40, 32, 12
_N_TRAIN, _N_TEST = 2000, 400
_STRENGTHS = (0.05, 0.1, 0.2, 0.4)
"""Means of the evidence per step, in standard deviations of its noise."""
_LAYER = "lstm"
_NETWORKS = ("untrained", "trained")
_HEADINGS = {
    "network": "network",
    "accuracy": "accuracy",
    "mean_firing_rate": "mean firing rate",
    "fano_over_trials": "Fano over trials",
    "serial_correlation": "serial corr.",
    "serial_share": "units with memory",
    "locked_share": "units locked to time",
}


def evidence(
    n_trials: int, seed: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Make noisy evidence for one of two choices, as in experiments on decisions.

    Parameters
    ----------
    n_trials : int
        Number of trials.
    seed : int
        Seed of choices, strengths and noise.

    Returns
    -------
    x : ndarray of float32, shape (n_trials, n_steps, 1)
        Evidence at each step: its strength, positive for choice 1 and negative for
        choice 0, and noise of standard deviation 1.
    choice : ndarray of int64, shape (n_trials,)
        The right choice.
    strength : ndarray of float64, shape (n_trials,)
        Strength of the evidence.

    Examples
    --------
    >>> x, choice, strength = evidence(500, seed=0)
    >>> x.shape
    (500, 40, 1)
    >>> bool(((x.sum(axis=(1, 2)) > 0) == (choice == 1)).mean() > 0.75)
    True
    """
    rng = np.random.default_rng(seed)
    choice = rng.integers(0, 2, n_trials)
    strength = rng.choice(_STRENGTHS, n_trials)
    drift = np.where(choice == 1, strength, -strength)
    x = drift[:, np.newaxis, np.newaxis] + rng.normal(size=(n_trials, _N_STEPS, 1))
    return x.astype(np.float32), choice, strength


def run_sequence_demo(
    out: str | os.PathLike[str] = "ann2neo-demo",
    *,
    seed: int = 0,
    overwrite: bool = False,
) -> pd.DataFrame:
    """Train an LSTM to weigh evidence, and record it in trials before and after.

    Parameters
    ----------
    out : path, default "ann2neo-demo"
        Folder for ``untrained.nwb`` and ``trained.nwb``.
    seed : int, default 0
        Seeds weights, evidence and orders.
    overwrite : bool, default False
        Replace the files of an earlier demonstration.

    Returns
    -------
    pandas.DataFrame
        One row per network.

    Raises
    ------
    OutputExistsError
        If a file exists and `overwrite` is not given; nothing has been trained then.
    OutputError
        If the folder cannot be made.
    """
    folder = Path(out)
    files = {name: folder / f"{name}.nwb" for name in _NETWORKS}
    for path in files.values():
        refuse_existing(path, overwrite=overwrite)
    make_folder(folder)
    keras.utils.set_random_seed(seed)
    layers = [
        keras.layers.LSTM(_N_UNITS, name=_LAYER),
        keras.layers.Dense(2, "softmax", name="choice"),
    ]
    model = keras.Sequential([keras.Input((_N_STEPS, 1)), *layers], name="evidence")
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    x, choice, _ = evidence(_N_TRAIN, seed)
    shown, right, strength = evidence(_N_TEST, seed + 1)
    rows = []
    for name, path in files.items():
        if name == "trained":
            _log.info("training the network on %d trials", _N_TRAIN)
            model.fit(x, choice, epochs=_EPOCHS, batch_size=100, verbose=0)
        recording = ann2neo.record(
            model,
            shown,
            layers=_LAYER,
            time_axis=1,
            labels=right,
            presentations={"strength": strength},
            phase="test",
            seed=seed,
            progress=False,
            provenance={"task": "evidence for one of two choices"},
        )
        ann2neo.write_nwb(recording, path, overwrite=overwrite)
        rows.append({"network": name, **_summary(recording)})
    return pd.DataFrame(rows)


def _summary(recording: ann2neo.Recording) -> dict[str, Any]:
    """Summarize the statistics of the trials of all units."""
    units = ann2neo.analyze_trials(recording)
    rates = recording.raster.spike_counts() / recording.n_time_bins
    return {
        "accuracy": float(recording.presentations["is_correct"].mean()),
        "mean_firing_rate": float(rates.mean()),
        "fano_over_trials": float(units["fano_over_trials"].mean()),
        "serial_correlation": float(units["serial_correlation"].mean()),
        "serial_share": _share(units["serial_correlation_pvalue"]),
        "locked_share": _share(units["time_locking_pvalue"]),
    }


def _share(pvalues: pd.Series) -> float:
    """Return the share of units of which a test finds something, of those tested."""
    tested = pvalues.dropna()
    return float((tested < 0.05).mean()) if len(tested) else float("nan")


def sequence_demo_text(table: pd.DataFrame, out: str | os.PathLike[str]) -> str:
    """Write the table of a demonstration, what it shows, and what to open next."""
    file = Path(out) / "trained.nwb"
    cells = [
        [_cell(name, row[name]) for name in _HEADINGS] for _, row in table.iterrows()
    ]
    lines = [list(_HEADINGS.values()), *cells]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    texts = [
        "  ".join(
            cell.rjust(width) if place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    rule = "  ".join("-" * width for width in widths)
    return "\n".join([texts[0], rule, *texts[1:], _READING, *_next(file)])


_READING = f"""
{_N_TEST} trials of {_N_STEPS} steps, each a time bin; {_N_UNITS} units of an LSTM.
Serial correlation: of neighbouring steps, beyond the mean over the trials of a choice.
A unit has memory if more of it is found than where trials change places at every step
(p < 0.05). Its input has none: the noise is new at each step. A unit is locked to time
if its rate follows the steps more than in trials that are shifted.
"""
"""How to read the table."""


def _next(file: Path) -> list[str]:
    """Return the commands that open a file."""
    rates = f"ann2neo.psth(ann2neo.read_nwb({str(file)!r}), by='label')"
    return [
        "Open next:",
        f"  ann2neo info {file}",
        f'  python -c "import ann2neo; print({rates})"',
    ]


def _cell(name: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    if name in {"accuracy", "serial_share", "locked_share"}:
        return f"{100 * value:.1f} %"
    return f"{value:.3f}"
