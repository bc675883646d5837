"""SpikeMonitor: a Keras callback that computes spike statistics during training."""

from __future__ import annotations

import logging
import math
import warnings
from typing import Any, Literal

import keras
import numpy as np
import pandas as pd

from ann2neo._checks import one_of
from ann2neo.analysis.columns import (
    MONITORED_COLUMNS,
    MONITORED_TRIAL_COLUMNS,
    TABLES,
)
from ann2neo.analysis.networks.unit_means import (
    DEAD_UNITS,
    MEAN_FANO_FACTOR,
    MEAN_FIRING_RATE,
    UNBIASED_FANO_FACTOR,
)
from ann2neo.analysis.patterns.compare_patterns import flip_shares
from ann2neo.analysis.table_of_statistics import unit_values
from ann2neo.analysis.trials.analyze_trials import analyze_trials
from ann2neo.analysis.units.counts import Counts
from ann2neo.analysis.units.dispersion import FANO
from ann2neo.analysis.units.firing_rate import FIRING_RATE
from ann2neo.errors import ActivationError, InputTypeError, InputValueError
from ann2neo.probe.activity import ActivityWarning
from ann2neo.probe.adapter import LayerChoice
from ann2neo.probe.record import Probe
from ann2neo.probe.thresholds import Threshold
from ann2neo.raster import SegmentedRaster, SpikeRaster
from ann2neo.recording import Recording

__all__ = ["MONITORED", "SpikeMonitor"]

MONITORED = tuple(column.name for column in MONITORED_COLUMNS)
"""The monitored statistics, which the logs hold as ``spike_<column>``."""

_OF_TRIALS = tuple(column.name for column in MONITORED_TRIAL_COLUMNS)
_log = logging.getLogger(__name__)
_OF_UNITS = (FIRING_RATE, FANO)
_OF_NETWORK = (MEAN_FIRING_RATE, MEAN_FANO_FACTOR, UNBIASED_FANO_FACTOR, DEAD_UNITS)


class SpikeMonitor(keras.callbacks.Callback):
    """Watch the spikes of a small probe set during training.

    At the end of every epoch the probe set is recorded, as for figure 5 of the paper.
    The mean firing rate, its coefficient of variation over units, the mean Fano factor
    (as in `summarize`, and with the unbiased variance), the share of silent units, and
    the share of bits that flipped since the epoch before (NaN in the first) go into
    the logs as ``spike_mean_firing_rate`` and so on; those of `x_val` as
    ``val_spike_...``; those of several layers as ``spike_..._<layer>``. Put the monitor
    before callbacks that read the logs, such as
    ``EarlyStopping(monitor="spike_mean_firing_rate", mode="min")``, ``CSVLogger`` or
    ``TensorBoard``. A training that diverges, so that activations are NaN, goes on with
    statistics of NaN.

    With `time_axis`, the probe set is recorded in trials, and the mean serial
    correlation of neighbouring steps beyond the mean over trials is monitored as well.

    Parameters
    ----------
    x : array_like, or list or dict of arrays, shape (n_presentations, ...)
        Stimuli as the model takes them, preferably of the training set; `n_samples` of
        them, chosen at random, are shown.
    x_val : array_like, or list or dict of arrays, optional
        Stimuli that are not trained on.
    layers, threshold
        As in `Probe`; the last hidden layer by default.
    n_samples : int, default 100
        Size of the probe set.
    window : int, default 10
        Samples in a counting window of the Fano factors; with `time_axis` steps, which
        lie in one trial.
    every : {"epoch", "batch"}
        Record at the end of every epoch, or after every batch too.
    seed : int, default 0
        Seed of the choice of samples and of their order, which stay the same from epoch
        to epoch.
    time_axis : int or "calls", optional
        Axis of the outputs whose steps are time bins, as in `Probe`.

    Attributes
    ----------
    history : pandas.DataFrame
        One row per recording, split and layer: ``epoch``, ``batch`` (-1 at the end of
        an epoch), ``split`` ("train" or "val"), ``layer`` and the monitored columns.

    Raises
    ------
    InputTypeError, InputValueError
        If there are fewer samples than two windows, or `every` is unknown; when a
        training begins (after its first batch if the model has no input shape),
        whatever `Probe` raises about layers and stimuli.

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
        layers: LayerChoice = None,
        *,
        threshold: Threshold = 0.0,
        n_samples: int = 100,
        window: int = 10,
        every: Literal["epoch", "batch"] = "epoch",
        seed: int = 0,
        time_axis: int | Literal["calls"] | None = None,
    ) -> None:
        super().__init__()
        one_of(every, ("epoch", "batch"), "every")
        # Windows count samples, or else steps inside trials.
        per_sample = window if time_axis is None else 1
        if window < 1 or n_samples < 2 * per_sample:
            raise InputValueError(
                f"n_samples={n_samples} and window={window} do not fit: the Fano factor"
                " needs at least two windows of at least one sample; pass"
                " n_samples >= 2 * window and window >= 1"
            )
        self._sets = {"train": _sample(x, n_samples, per_sample, seed, "x")}
        if x_val is not None:
            self._sets["val"] = _sample(x_val, n_samples, per_sample, seed, "x_val")
        self._time_axis = time_axis
        self._monitored = MONITORED if time_axis is None else (*MONITORED, *_OF_TRIALS)
        self._layers, self._threshold = layers, threshold
        self._window, self._seed, self._every = window, seed, every
        self._probe: Probe | None = None
        self._layer_names: list[str] = []
        # Spikes at the end of the epoch before, by split and layer.
        self._before: dict[tuple[str, str], SpikeRaster] = {}
        self._epoch = 0
        self._rows: list[dict[str, Any]] = []
        if every == "batch":
            # Set only here, since Keras calls after every batch whatever has this hook.
            self.on_train_batch_end = self._watch_batch

    @property
    def history(self) -> pd.DataFrame:
        """One row per recording, split and layer."""
        columns = [column.name for column in TABLES["SpikeMonitor"]]
        if self._time_axis is None:
            columns = [name for name in columns if name not in _OF_TRIALS]
        return pd.DataFrame(self._rows, columns=columns)

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Forget an earlier training; check layers and stimuli before this one."""
        del logs
        self._rows, self._probe, self._layer_names = [], None, []
        self._before = {}
        # A model without an input shape is built by its first batch.
        if self.model.built and self.model.weights:
            for stimuli in self._sets.values():
                self._recorded(stimuli)

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Remember the epoch for the batches in it."""
        del logs
        self._epoch = epoch

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Record, and put the statistics into the logs."""
        self._watch(epoch, -1, logs)

    def _watch_batch(self, batch: int, logs: dict[str, float] | None = None) -> None:
        self._watch(self._epoch, batch, logs)

    def _watch(self, epoch: int, batch: int, logs: dict[str, float] | None) -> None:
        """Record every probe set, and put the statistics into history and logs."""
        if hasattr(self.model, "jax_state_sync"):
            # With JAX, the trained weights stay in the training loop until this call.
            self.model.jax_state_sync()
        logged = {}
        for split, stimuli in self._sets.items():
            parts = self._recorded(stimuli)
            if not parts:
                # NaN for every layer of an earlier recording.
                parts = dict.fromkeys(self._layer_names or [""])
            for layer, spikes in parts.items():
                values = self._statistics(spikes, self._before.get((split, layer)))
                if batch < 0 and spikes is not None:
                    self._before[split, layer] = spikes.raster
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
        if logs is not None:
            logs.update(logged)

    def _recorded(self, stimuli: Any) -> dict[str, SegmentedRaster | None]:
        """Record a probe set, by layer; nothing if activations are not finite."""
        if self._probe is None:
            self._probe = Probe(
                self.model, self._layers, self._threshold, time_axis=self._time_axis
            )
        try:
            spikes, units = self._spikes(self._probe, stimuli)
        except ActivationError as error:
            _log.warning("the statistics of this recording are NaN: %s", error)
            return {}
        names = units["layer"].to_numpy()
        self._layer_names = list(dict.fromkeys(names))
        if len(self._layer_names) == 1:
            return {self._layer_names[0]: spikes}
        return {
            name: spikes.with_raster(spikes.raster.take(units=names == name))
            for name in self._layer_names
        }

    def _spikes(
        self, probe: Probe, stimuli: Any
    ) -> tuple[SegmentedRaster, pd.DataFrame]:
        """Return the spikes of a probe set, trial by trial, and its units."""
        if self._time_axis is None:
            raster, units = probe.spikes(stimuli, seed=self._seed)
            return SegmentedRaster(raster), units
        with warnings.catch_warnings():
            # The share of silent units is among the statistics.
            warnings.simplefilter("ignore", ActivityWarning)
            recording = probe.record(
                stimuli, seed=self._seed, predictions=False, progress=False
            )
        edges = [0, *recording.segments["stop_bin"]]
        return SegmentedRaster(recording.raster, edges), recording.units

    def __repr__(self) -> str:
        """Return what is watched, and how often."""
        n_samples = len(keras.tree.flatten(self._sets["train"])[0])
        return (
            f"SpikeMonitor({', '.join(self._sets)}: {n_samples} samples,"
            f" layers={self._layers!r}, threshold={self._threshold!r},"
            f" window={self._window}, every={self._every!r})"
        )

    def _statistics(
        self, spikes: SegmentedRaster | None, before: SpikeRaster | None
    ) -> dict[str, float]:
        """Return the monitored numbers of a layer; NaN without spikes to judge by."""
        values = dict.fromkeys(self._monitored, math.nan)
        if spikes is None:
            return values
        units = unit_values(Counts(spikes, self._window, 1), _OF_UNITS)
        for entry in _OF_NETWORK:
            # No unit is tested, so the false discovery rate does not matter.
            values |= entry.fast(units, math.nan)
        if before is not None:
            values |= flip_shares(before, spikes.raster)
        if self._time_axis is not None:
            values[_OF_TRIALS[0]] = _mean_serial_correlation(spikes)
        return {name: values[name] for name in self._monitored}


def _mean_serial_correlation(spikes: SegmentedRaster) -> float:
    """Return the mean over units of what neighbouring steps of a trial share."""
    edges = spikes.edges
    trials = pd.DataFrame(
        {"start_bin": edges[:-1], "stop_bin": edges[1:], "phase": "probe set"}
    )
    recording = Recording(
        spikes.raster,
        pd.DataFrame(index=range(spikes.n_units)),
        trials,
        segments=trials.assign(order="unknown"),
    )
    table = analyze_trials(
        recording, lags=1, statistics="serial_correlation", progress=False
    )
    return float(table["serial_correlation"].mean())


def _sample(x: Any, n_samples: int, window: int, seed: int, name: str) -> Any:
    """Choose samples at random, and keep the structure of `x`."""
    leaves = keras.tree.flatten(x)
    lengths = {len(leaf) for leaf in leaves if hasattr(leaf, "__len__")}
    if (
        not leaves
        or len(lengths) != 1
        or not all(hasattr(leaf, "__getitem__") for leaf in leaves)
    ):
        raise InputTypeError(
            f"{name} must be an array, or a list or dict of arrays of equal length, got"
            f" {type(x).__name__}; take a few batches out of a data set and stack them"
        )
    n = lengths.pop()
    if n < 2 * window:
        raise InputValueError(
            f"{name} must hold at least two windows of {window} samples, got {n}"
            " samples; pass more, or a smaller window"
        )
    chosen = np.arange(n)
    if n > n_samples:
        chosen = np.sort(
            np.random.default_rng(seed).choice(n, n_samples, replace=False)
        )
    return keras.tree.map_structure(lambda leaf: np.asarray(leaf)[chosen], x)
