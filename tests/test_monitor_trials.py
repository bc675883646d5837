"""SpikeMonitor on sequences: rates and serial correlation of trials during training."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import ann2neo
from ann2neo.monitor import MONITORED, SpikeMonitor

N, T = 60, 12
X = np.random.default_rng(0).normal(size=(N, T, 2)).astype("float32")
Y = (X.sum(axis=(1, 2)) > 0).astype("int64")


def _model() -> keras.Model:
    keras.utils.set_random_seed(1)
    layers = [keras.layers.LSTM(6, name="lstm"), keras.layers.Dense(2, "softmax")]
    model = keras.Sequential([keras.Input((T, 2)), *layers])
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


@pytest.mark.slow
def test_the_monitor_watches_trials():
    """Each epoch has the numbers of a recording of the probe set in trials."""
    model = _model()
    monitor = SpikeMonitor(X, layers="lstm", n_samples=N, window=4, time_axis=1)
    logs = model.fit(X, Y, epochs=2, verbose=0, callbacks=[monitor]).history
    names = [*MONITORED, "mean_serial_correlation"]
    assert {f"spike_{name}" for name in names} <= set(logs)
    last = monitor.history.iloc[-1]
    recording = ann2neo.record(model, X, layers="lstm", time_axis=1, seed=0)
    rates = recording.raster.spike_counts() / recording.n_time_bins
    np.testing.assert_allclose(last["mean_firing_rate"], rates.mean(), rtol=1e-12)
    trials = ann2neo.analyze_trials(recording, lags=1)
    serial = trials["serial_correlation"].mean()
    np.testing.assert_allclose(last["mean_serial_correlation"], serial, rtol=1e-12)
    units = ann2neo.analyze(recording, window=4)
    np.testing.assert_allclose(
        last["mean_fano_factor"], units["fano_factor"].mean(), rtol=1e-12
    )


def test_without_time_the_columns_are_those_of_samples():
    """A monitor of samples has no column of trials."""
    monitor = SpikeMonitor(X[:, 0])
    assert "mean_serial_correlation" not in monitor.history
