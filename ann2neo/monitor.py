"""SpikeMonitor: spike statistics of a network while it trains, as a Keras callback."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pandas as pd

from ann2neo._checks import one_of
from ann2neo.analysis.networks.unit_means import (
    DEAD_UNITS,
    MEAN_FANO_FACTOR,
    MEAN_FIRING_RATE,
    UNBIASED_FANO_FACTOR,
)
from ann2neo.analysis.statistics import unit_values
from ann2neo.analysis.tables import MONITORED_COLUMNS, TABLES
from ann2neo.analysis.units.counts import Counts
from ann2neo.analysis.units.dispersion import FANO
from ann2neo.analysis.units.firing_rate import FIRING_RATE
from ann2neo.errors import InputTypeError, InputValueError
from ann2neo.probe.record import Probe
from ann2neo.raster import SpikeRaster

__all__ = ["MONITORED", "SpikeMonitor"]

MONITORED = tuple(column.name for column in MONITORED_COLUMNS)
"""What is put into the logs, as ``spike_<column>``."""

_OF_UNITS = (FIRING_RATE, FANO)
_OF_NETWORK = (MEAN_FIRING_RATE, MEAN_FANO_FACTOR, UNBIASED_FANO_FACTOR, DEAD_UNITS)


class SpikeMonitor(keras.callbacks.Callback):
    """Watch the spikes of a small probe set during training, as the paper's figure 5
    does.

    At the end of every epoch the probe set is recorded, and mean firing rate, its
    coefficient of variation over units, mean Fano factor (as in `summarize`, and with
    the unbiased variance) and the share of silent units go into the logs as
    ``spike_mean_firing_rate`` and so on; of `x_val` as
    ``val_spike_...``; of several layers as ``spike_..._<layer>``. Put it before
    callbacks that read the logs: ``EarlyStopping(monitor="spike_mean_firing_rate")``,
    ``CSVLogger``, ``TensorBoard``.

    Parameters
    ----------
    x : array_like, or list or dict of arrays, shape (n_presentations, ...)
        Stimuli, best of the training set, as the model takes them; `n_samples` of them,
        chosen at random, are shown.
    x_val : array_like, or list or dict of arrays, optional
        Stimuli that were not trained on.
    layers, threshold
        As in `Probe`; the last hidden layer by default.
    n_samples : int, default 100
        Size of the probe set.
    window : int, default 10
        Samples in a window of the Fano factors.
    every : {"epoch", "batch"}
        Record at the end of every epoch, or of every batch too.
    seed : int, default 0
        Seeds the choice of samples and their order, which stay the same from epoch to
        epoch.

    Attributes
    ----------
    history : pandas.DataFrame
        One row per recording, split and layer: ``epoch``, ``batch`` (-1 at the end of
        an epoch), ``split`` ("train" or "val"), ``layer`` and the monitored columns.

    Raises
    ------
    InputTypeError, InputValueError
        If there are no samples, fewer than two windows of them, or `every` is unknown;
        from the first recording on whatever `Probe` raises.

    Examples
    --------
    >>> import keras, numpy as np
    >>> model = keras.Sequential(
    ...     [keras.Input((4,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(2)]
    ... )
    >>> model.compile("sgd", "mse")
    >>> x, y = np.random.default_rng(0).normal(size=(200, 4)), np.zeros((200, 2))
    >>> monitor = SpikeMonitor(x)
    >>> logs = model.fit(x, y, epochs=2, verbose=0, callbacks=[monitor]).history
    >>> len(logs["spike_mean_firing_rate"]), monitor.history["split"].to_list()
    (2, ['train', 'train'])
    """

    def __init__(
        self,
        x: Any,
        x_val: Any = None,
        layers: Any = None,
        *,
        threshold: Any = 0.0,
        n_samples: int = 100,
        window: int = 10,
        every: str = "epoch",
        seed: int = 0,
    ) -> None:
        super().__init__()
        one_of(every, ("epoch", "batch"), "every")
        if window < 1 or n_samples < 2 * window:
            msg = (
                "the Fano factor needs at least two windows: n_samples >= 2 * window,"
                f" got {n_samples} and {window}"
            )
            raise InputValueError(msg)
        self._sets = {"train": _sample(x, n_samples, window, seed, "x")}
        if x_val is not None:
            self._sets["val"] = _sample(x_val, n_samples, window, seed, "x_val")
        self._layers, self._threshold = layers, threshold
        self._window, self._seed = window, seed
        self._probe: Probe | None = None
        self._epoch = 0
        self._rows: list[dict[str, Any]] = []
        if every == "batch":
            # Keras skips the batches of callbacks that do not define this hook, which
            # costs nothing then.
            self.on_train_batch_end = self._watch_batch

    @property
    def history(self) -> pd.DataFrame:
        """One row per recording, split and layer."""
        columns = [column.name for column in TABLES["SpikeMonitor"]]
        return pd.DataFrame(self._rows, columns=columns)

    def on_train_begin(self, logs: Any = None) -> None:
        """Forget an earlier training."""
        del logs
        self._rows, self._probe = [], None

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Remember the epoch for the batches in it."""
        del logs
        self._epoch = epoch

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Record, and put the numbers into the logs."""
        values = self._watch(epoch, -1)
        if logs is not None:
            logs.update(values)

    def _watch_batch(self, batch: int, logs: Any = None) -> None:
        values = self._watch(self._epoch, batch)
        if logs is not None:
            logs.update(values)

    def _watch(self, epoch: int, batch: int) -> dict[str, float]:
        """Record every probe set; returns what goes into the logs."""
        if hasattr(self.model, "jax_state_sync"):
            # With JAX the trained values live in the training loop until they are asked
            # for.
            self.model.jax_state_sync()
        if self._probe is None:
            self._probe = Probe(self.model, self._layers, self._threshold)
        logged = {}
        for split, stimuli in self._sets.items():
            parts = list(_by_layer(*self._probe.spikes(stimuli, seed=self._seed)))
            for layer, raster in parts:
                values = self._statistics(raster)
                self._rows.append(
                    {
                        "epoch": epoch,
                        "batch": batch,
                        "split": split,
                        "layer": layer,
                        **values,
                    }
                )
                prefix = "spike_" if split == "train" else "val_spike_"
                suffix = f"_{layer}" if len(parts) > 1 else ""
                logged.update(
                    {f"{prefix}{name}{suffix}": value for name, value in values.items()}
                )
        return logged

    def _statistics(self, raster: SpikeRaster) -> dict[str, float]:
        units = unit_values(Counts(raster, self._window, 1), _OF_UNITS)
        # No unit is tested, so the false discovery rate does not matter.
        values = {
            name: value
            for entry in _OF_NETWORK
            for name, value in entry.fast(units, math.nan).items()
        }
        return {name: values[name] for name in MONITORED}


def _by_layer(
    raster: SpikeRaster, units: pd.DataFrame
) -> Iterator[tuple[str, SpikeRaster]]:
    names = units["layer"]
    for name in names.unique():
        chosen = (names == name).to_numpy()
        yield name, raster if chosen.all() else raster.take(units=chosen)


def _sample(x: Any, n_samples: int, window: int, seed: int, name: str) -> Any:
    """A seeded choice of samples, with the structure of `x` kept."""
    leaves = keras.tree.flatten(x)
    lengths = {len(leaf) for leaf in leaves if hasattr(leaf, "__len__")}
    if (
        not leaves
        or len(lengths) != 1
        or not all(hasattr(leaf, "__getitem__") for leaf in leaves)
    ):
        msg = (
            f"{name} must be an array, or a list or dict of arrays of equal length, got"
            f" {type(x).__name__}"
        )
        raise InputTypeError(
            msg + "; take a few batches out of a data set and stack them"
        )
    n = lengths.pop()
    if n < 2 * window:
        raise InputValueError(
            f"{name} must hold at least two windows of {window} samples, got {n}"
            " samples"
        )
    chosen = np.arange(n)
    if n > n_samples:
        chosen = np.sort(
            np.random.default_rng(seed).choice(n, n_samples, replace=False)
        )
    return keras.tree.map_structure(lambda leaf: np.asarray(leaf)[chosen], x)
