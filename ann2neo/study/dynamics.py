"""Firing rates while a network trains on true labels and then on random ones: the
paper's figure 5.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from ann2neo._files import complete_file
from ann2neo.datasets import load_dataset
from ann2neo.errors import InputValueError
from ann2neo.monitor import SpikeMonitor
from ann2neo.study.conditions import NetworkUnderStudy
from ann2neo.study.networks import HIDDEN_LAYER
from ann2neo.study.results import SWITCHES, locked, open_folder
from ann2neo.study.training import BATCH_SIZE, LEARNING_RATE

__all__ = ["Switch", "find_change", "run_dynamics", "switches_table", "training_curve"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Switch:
    """A change of level in a curve.

    Parameters
    ----------
    index : int
        First value after the change.
    statistic : float
        Largest cumulative sum of deviations from the mean, in long-run standard
        deviations.
    pvalue : float
        Of no change of level.
    """

    index: int
    statistic: float
    pvalue: float


def find_change(curve: npt.ArrayLike) -> Switch:
    """Find the change of level in an autocorrelated curve by the CUSUM test.

    Parameters
    ----------
    curve : array_like of float, shape (n,)
        Values in order of time; at least 20.

    Returns
    -------
    Switch
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
    >>> find_change(noise + np.repeat([3.0, 0.0], [100, 200])).index
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
    deviation = np.cumsum(values - values.mean())[:-1]
    k = np.arange(1, n)
    index = int(np.argmax(np.abs(deviation) / np.sqrt(k * (n - k)))) + 1
    residuals = np.concatenate(
        [values[:index] - values[:index].mean(), values[index:] - values[index:].mean()]
    )
    spread = np.sqrt(_long_run_variance(residuals) * n)
    if spread == 0:
        changed = bool(np.abs(deviation).max() > 0)
        return Switch(index, float("inf") if changed else 0.0, 0.0 if changed else 1.0)
    statistic = float(np.abs(deviation).max() / spread)
    return Switch(index, statistic, float(kstwobign.sf(statistic)))


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
        total += (
            2
            * (1 - lag / (bandwidth + 1))
            * float(residuals[lag:] @ residuals[:-lag] / n)
        )
    return max(total, 0.0)


def training_curve(
    bench: NetworkUnderStudy,
    seed: int,
    *,
    true_epochs: int = 10,
    random_epochs: int = 100,
    retrain: str = "all",
) -> pd.DataFrame:
    """Train on true and then on random labels, and record a probe set after every
    batch.

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

    if true_epochs < 1 or random_epochs < 1:
        raise InputValueError(
            f"the curve needs 1 or more epochs on either side, got {true_epochs} and"
            f" {random_epochs}"
        )
    if retrain not in {"all", "last"}:
        raise InputValueError(f"retrain must be 'all' or 'last', got {retrain!r}")
    data, model = bench.data, bench.model
    model.set_weights(bench.initial_weights(seed))
    monitor = SpikeMonitor(
        data.inputs("train"),
        data.inputs("test"),
        HIDDEN_LAYER,
        every="batch",
        seed=seed,
    )
    x = data.inputs("train")
    parts: list[pd.DataFrame] = []
    split = [layer.name for layer in model.layers].index(HIDDEN_LAYER)
    trainable_before = (model.trainable, [layer.trainable for layer in model.layers])
    try:
        for condition, n_epochs in (
            ("generalizing", true_epochs),
            ("mem_random_last", random_epochs),
        ):
            if condition != "generalizing" and retrain == "last":
                for layer in model.layers[:split]:
                    layer.trainable = False
            model.compile(
                keras.optimizers.SGD(LEARNING_RATE), "sparse_categorical_crossentropy"
            )
            with _seeded(seed + len(parts)):
                model.fit(
                    x,
                    bench.labels(condition, seed),
                    batch_size=BATCH_SIZE,
                    epochs=n_epochs,
                    validation_split=0.1,
                    verbose=0,
                    callbacks=[monitor],
                )
            history = monitor.history
            part = history[history["batch"] >= 0].assign(
                labels="true" if condition == "generalizing" else "random"
            )
            parts.append(
                part.assign(epoch=part["epoch"] + (true_epochs if parts else 0))
            )
    finally:
        model.trainable = trainable_before[0]
        for layer, trainable in zip(model.layers, trainable_before[1], strict=True):
            layer.trainable = trainable
    return pd.concat(parts, ignore_index=True)


def switches_table(curve: pd.DataFrame) -> pd.DataFrame:
    """Where the switch of labels is found in a training curve.

    Parameters
    ----------
    curve : pandas.DataFrame
        What `training_curve` returned.

    Returns
    -------
    pandas.DataFrame
        One row per split ("train", "val"): ``switch`` and ``found`` in batches,
        ``epochs_off``, ``statistic``, ``pvalue``, and ``within_one_epoch``: found (p at
        most 0.05) no more than an epoch away. The first epoch, in which the rate leaves
        its random start, is not looked at.
    """
    rows = []
    for split, part in curve.groupby("split", sort=False):
        n_batches = int(part["batch"].max()) + 1
        rate = part["mean_firing_rate"].to_numpy()
        true_switch = int((part["labels"] == "true").sum())
        found = find_change(rate[n_batches:])
        off = (found.index + n_batches - true_switch) / n_batches
        rows.append(
            {
                "split": split,
                "batches_per_epoch": n_batches,
                "switch": true_switch,
                "found": found.index + n_batches,
                "epochs_off": off,
                "statistic": found.statistic,
                "pvalue": found.pvalue,
                "within_one_epoch": bool(found.pvalue <= 0.05 and abs(off) <= 1),
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
    folder = Path(out)
    data = load_dataset(dataset)
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
                    )
                    key = {
                        "dataset": data.name,
                        "network": network,
                        "width": width,
                        "retrain": retrain,
                        "seed": seed,
                    }
                    with complete_file(path, overwrite=True) as partial:
                        curve.assign(**key).to_csv(partial, index=False)
                _log.info("%s: the curve is in %s", name, path)
        return _write_switches(folder)


def _write_switches(folder: Path) -> pd.DataFrame:
    key = ["dataset", "network", "width", "retrain", "seed"]
    parts = []
    for path in sorted((folder / "dynamics").glob("*.csv")):
        curve = pd.read_csv(path)
        parts.append(
            switches_table(curve).assign(**{name: curve[name].iloc[0] for name in key})
        )
    table = pd.concat(parts, ignore_index=True)
    table = table[[*key, *(name for name in table if name not in key)]]
    with complete_file(folder / SWITCHES, overwrite=True) as partial:
        table.to_csv(partial, index=False)
    return table


class _seeded:  # noqa: N801
    """Seed NumPy's and Keras' global draws for a training, and put NumPy's back."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def __enter__(self) -> None:
        import keras

        # Keras shuffles by the global generator.
        self._numpy = np.random.get_state()  # noqa: NPY002
        keras.utils.set_random_seed(self._seed)

    def __exit__(self, *error: object) -> None:
        np.random.set_state(self._numpy)  # noqa: NPY002
