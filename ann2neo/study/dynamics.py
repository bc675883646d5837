"""Firing rates while labels switch from true to random: the paper's figure 5."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

import ann2neo
from ann2neo._checks import one_of, whole_number
from ann2neo.errors import InputValueError
from ann2neo.study.conditions import NetworkUnderStudy
from ann2neo.study.networks import HIDDEN_LAYER
from ann2neo.study.results import (
    CURVE_KEY,
    SWITCHES,
    locked,
    open_folder,
    read_table,
    write_table,
)
from ann2neo.study.training import BATCH_SIZE, LEARNING_RATE

__all__ = [
    "Change",
    "find_change",
    "rate_changes",
    "run_dynamics",
    "switches_table",
    "training_curve",
]

_log = logging.getLogger(__name__)
_EPOCHS = 10


class Change(NamedTuple):
    """A change of level in a curve: the first value after it, the test of no change."""

    first: int
    statistic: float
    pvalue: float


def find_change(curve: npt.ArrayLike) -> Change:
    """Find the change of level in an autocorrelated curve by the CUSUM test.

    Parameters
    ----------
    curve : array_like of float, shape (n,)
        Values in order of time; at least 20.

    Returns
    -------
    Change
        Where the level most likely changed, and the test of whether it did.

    Raises
    ------
    InputValueError
        If the curve is too short or not finite.

    Notes
    -----
    The statistic is ``max over k of abs(S_k - k/n S_n) / (s sqrt(n))``, whose null
    distribution is Kolmogorov's; s is the long-run standard deviation by Bartlett's
    kernel with Andrews' (1991, Econometrica 59:817) bandwidth for an AR(1) process, of
    the deviations from the levels on either side, so that the change itself does not
    count as noise (Csörgő & Horváth 1997, Limit Theorems in Change-Point Analysis). The
    place is that of least squares: the k that maximises ``abs(S_k - k/n S_n) / sqrt(k
    (n - k))``, which is not drawn to the middle.

    Examples
    --------
    >>> noise = np.random.default_rng(0).normal(size=300)
    >>> find_change(noise + np.repeat([3.0, 0.0], [100, 200])).first
    100
    """
    from scipy.stats import kstwobign

    values = np.asarray(curve, np.float64)
    n = len(values)
    if values.ndim != 1 or n < 20 or not np.isfinite(values).all():
        raise InputValueError(
            "a curve needs at least 20 finite values, got an array of shape"
            f" {values.shape}"
        )
    # deviation[k - 1] is S_k - k/n S_n: it peaks, up or down, where the level changes.
    deviation = np.cumsum(values - values.mean())[:-1]
    k = np.arange(1, n)
    first = int(np.argmax(np.abs(deviation) / np.sqrt(k * (n - k)))) + 1
    residuals = np.concatenate(
        [values[:first] - values[:first].mean(), values[first:] - values[first:].mean()]
    )
    largest = np.abs(deviation).max()
    spread = np.sqrt(_long_run_variance(residuals) * n)
    with np.errstate(divide="ignore", invalid="ignore"):
        # A step without noise has an infinite statistic, a constant has none.
        statistic = float(np.nan_to_num(largest / spread, posinf=np.inf))
    return Change(first, statistic, float(kstwobign.sf(statistic)))


def _long_run_variance(residuals: npt.NDArray[np.float64]) -> float:
    n = len(residuals)
    variance = float(residuals @ residuals / n)
    if variance == 0:
        return 0.0
    # Near a unit root the plug-in bandwidth would exceed the sample.
    rho = min(float(residuals[1:] @ residuals[:-1] / n) / variance, 0.97)
    bandwidth = 1.1447 * (4 * rho**2 / (1 - rho**2) ** 2 * n) ** (1 / 3)
    total = variance
    for lag in range(1, min(int(bandwidth), n - 1) + 1):
        weight = 1 - lag / (bandwidth + 1)
        total += 2 * weight * float(residuals[lag:] @ residuals[:-lag] / n)
    return max(total, 0.0)


def training_curve(
    bench: NetworkUnderStudy,
    seed: int,
    *,
    true_epochs: int = 10,
    random_epochs: int = 100,
    retrain: str = "all",
) -> pd.DataFrame:
    """Train on true, then on random labels, and record a probe set after every batch.

    Parameters
    ----------
    bench : NetworkUnderStudy
        The network and its data set.
    seed : int
        Seeds weights, labels, orders and the probe set.
    true_epochs, random_epochs : int
        Epochs before and after the switch of labels.
    retrain : {"all", "last"}
        What random labels train: all layers, or the last two.

    Returns
    -------
    pandas.DataFrame
        One row per batch and split, as `SpikeMonitor.history`, with ``labels`` "true"
        or "random".
    """
    import keras

    for name, n_epochs in (("true", true_epochs), ("random", random_epochs)):
        whole_number(n_epochs, f"{name}_epochs")
    one_of(retrain, ("all", "last"), "retrain")
    data, model = bench.data, bench.model
    x = data.inputs("train")
    model.set_weights(bench.initial_weights(seed))
    monitor = ann2neo.SpikeMonitor(
        x, data.inputs("test"), HIDDEN_LAYER, every="batch", seed=seed
    )
    parts = []
    split = [layer.name for layer in model.layers].index(HIDDEN_LAYER)
    frozen = model.layers[:split] if retrain == "last" else []
    trainable = [layer.trainable for layer in frozen]
    # Keras shuffles by NumPy's global generator, whose state is put back.
    state = np.random.get_state()  # noqa: NPY002
    phases = (
        ("true", "generalizing", true_epochs),
        ("random", "mem_random_last", random_epochs),
    )
    try:
        for part, (labels, condition, n_epochs) in enumerate(phases):
            for layer in frozen:
                layer.trainable = part == 0
            model.compile(
                keras.optimizers.SGD(LEARNING_RATE), "sparse_categorical_crossentropy"
            )
            keras.utils.set_random_seed(seed + part)
            model.fit(
                x,
                bench.labels(condition, seed),
                batch_size=BATCH_SIZE,
                epochs=n_epochs,
                validation_split=0.1,
                verbose=0,
                callbacks=[monitor],
            )
            history = monitor.history[monitor.history["batch"] >= 0]
            epoch = history["epoch"] + part * true_epochs
            parts.append(history.assign(labels=labels, epoch=epoch))
    finally:
        np.random.set_state(state)  # noqa: NPY002
        for layer, before in zip(frozen, trainable, strict=True):
            layer.trainable = before
    return pd.concat(parts, ignore_index=True)


def switches_table(curve: pd.DataFrame) -> pd.DataFrame:
    """Find the switch of labels in a training curve.

    Parameters
    ----------
    curve : pandas.DataFrame
        What `training_curve` returned; columns of `CURVE_KEY` go into the table.

    Returns
    -------
    pandas.DataFrame
        One row per split ("train", "val"): ``switch`` and ``found`` in batches,
        ``epochs_off``, ``statistic``, ``pvalue``, and ``within_one_epoch``: found (p at
        most 0.05) no more than an epoch away. The first epoch, in which the rate leaves
        its random start, is not looked at.
    """
    rows = []
    key = [name for name in CURVE_KEY if name in curve]
    for split, part in curve.groupby("split", sort=False):
        n_batches = int(part["batch"].max()) + 1
        switch = int((part["labels"] == "true").sum())
        change = find_change(part["mean_firing_rate"].to_numpy()[n_batches:])
        off = (change.first + n_batches - switch) / n_batches
        rows.append(
            {
                **part[key].iloc[0],
                "split": split,
                "batches_per_epoch": n_batches,
                "switch": switch,
                "found": change.first + n_batches,
                "epochs_off": off,
                "statistic": change.statistic,
                "pvalue": change.pvalue,
                "within_one_epoch": bool(change.pvalue <= 0.05 and abs(off) <= 1),
            }
        )
    return pd.DataFrame(rows)


def run_dynamics(
    out: str | os.PathLike[str],
    *,
    dataset: str = "mnist",
    network: str = "MLP",
    widths: Sequence[int] = (64,),
    seeds: Sequence[int] = (0,),
    true_epochs: int = 10,
    random_epochs: int = 100,
    retrain: str = "all",
) -> pd.DataFrame:
    """Run training curves into a folder of results, and find their switches.

    Parameters
    ----------
    out : path
        A folder of results, or a new one. ``dynamics.csv`` gets a row per network and
        split, ``dynamics/`` a curve per network; curves that are there already are not
        run again.
    dataset, network, widths, seeds
        Which networks.
    true_epochs, random_epochs, retrain
        As in `training_curve`.

    Returns
    -------
    pandas.DataFrame
        All rows of ``dynamics.csv``.
    """
    folder, data = Path(out), ann2neo.load_dataset(dataset)
    open_folder(folder, None)
    with locked(folder):
        (folder / "dynamics").mkdir(exist_ok=True)
        for width in widths:
            bench = NetworkUnderStudy(data, network, width)
            for seed in seeds:
                epochs = f"{true_epochs}_{random_epochs}"
                name = f"{data.name}_{network}_{width}_{retrain}_{epochs}_seed{seed}"
                path = folder / "dynamics" / f"{name}.csv"
                if not path.exists():
                    curve = training_curve(
                        bench,
                        seed,
                        true_epochs=true_epochs,
                        random_epochs=random_epochs,
                        retrain=retrain,
                    ).assign(
                        dataset=data.name,
                        network=network,
                        width=width,
                        retrain=retrain,
                        seed=seed,
                    )
                    write_table(path, curve)
                _log.info("%s: the curve is in %s", name, path)
        curves = [
            read_table(path) for path in sorted((folder / "dynamics").glob("*.csv"))
        ]
        table = pd.concat(map(switches_table, curves), ignore_index=True)
        write_table(folder / SWITCHES, table)
    return table


def rate_changes(curves: pd.DataFrame) -> pd.DataFrame:
    """Measure how far mean firing rates move while labels stay as they are.

    Parameters
    ----------
    curves : pandas.DataFrame
        Training curves as `collect_results` thins them: `CURVE_KEY`, ``labels``,
        ``epoch``, ``mean_firing_rate``.

    Returns
    -------
    pandas.DataFrame
        One row per curve and split: ``before``, the mean rate of the last epoch of true
        labels minus that of the second, since the first leaves the untrained state;
        ``at_switch``, that of the second ten epochs of random labels minus that of the
        last of true ones; and ``after``, that of the last ten epochs minus that of the
        second ten. NaN where there are no such epochs.
    """
    rows = []
    for key, curve in curves.groupby(CURVE_KEY):
        epoch, rate = curve["epoch"].floordiv(1), curve["mean_firing_rate"]
        true, random = curve["labels"] == "true", curve["labels"] == "random"
        settled, end = epoch[random].min() + _EPOCHS, epoch[random].max() + 1
        first = rate[true & (epoch == 1)].mean()
        last = rate[true & (epoch == epoch[true].max())].mean()
        second = rate[random & epoch.between(settled, settled + _EPOCHS - 1)].mean()
        late = rate[random & (epoch >= max(end - _EPOCHS, settled + _EPOCHS))]
        after = late.mean() - second if end >= settled + 2 * _EPOCHS else np.nan
        rows.append((*key, last - first, second - last, after))
    return pd.DataFrame(rows, columns=[*CURVE_KEY, "before", "at_switch", "after"])
