"""Which layers are recorded, and in which order their units, columns and thresholds
stand.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers as kl

import ann2neo
from ann2neo.probe.keras.layers import choose_layers

X = np.random.default_rng(0).normal(size=(24, 6)).astype(np.float32)


def _pair() -> Any:
    """A functional model of two layers a and b, and an output."""
    entry = keras.Input((6,))
    a = kl.Dense(4, "sigmoid", name="a")(entry)
    b = kl.Dense(5, "sigmoid", name="b")(a)
    return keras.Model(entry, kl.Dense(3, name="out")(b))


def _nested() -> Any:
    """A sequential model inside another one, three deep."""
    deepest = keras.Sequential(
        [keras.Input((6,)), kl.Dense(4, "relu", name="d1"), kl.Dense(4, name="d2")],
        name="deepest",
    )
    inner = keras.Sequential(
        [keras.Input((6,)), kl.Dense(6, "relu", name="c1"), deepest], name="inner"
    )
    return keras.Sequential([keras.Input((6,)), inner, kl.Dense(3, name="out")])


def _first_of_each_layer(units: Any, column: str) -> dict[str, Any]:
    result: dict[str, Any] = (
        units.groupby("layer", sort=False)[column].first().to_dict()
    )
    return result


@pytest.mark.parametrize("asked", [["a", "b"], ["b", "a"], ["b", "out", "a"]])
@pytest.mark.parametrize("as_arrays", [False, True])
def test_thresholds_pair_with_layers_in_the_order_asked(
    asked: list[str], as_arrays: bool
) -> None:
    """A list of thresholds, numbers or one per unit, follows the order of the list of
    layers, and so do the units.
    """
    model = _pair()
    limits: list[Any] = [0.1, 0.9, 0.5][: len(asked)]
    wanted = dict(zip(asked, limits, strict=True))
    if as_arrays:
        sizes = {"a": 4, "b": 5, "out": 3}
        limits = [np.full(sizes[n], limit) for n, limit in wanted.items()]
    recording = ann2neo.record(model, X, layers=asked, threshold=limits, seed=0)
    assert _first_of_each_layer(recording.units, "threshold") == wanted
    assert list(dict.fromkeys(recording.units["layer"])) == asked
    for name in asked:
        alone = ann2neo.record(model, X, layers=name, threshold=wanted[name], seed=0)
        assert recording.select(layer=name).raster.equals(alone.raster)


def test_a_monitor_pairs_thresholds_in_the_order_asked() -> None:
    """SpikeMonitor gives b the first threshold where b is asked first."""
    model = _pair()
    model.compile("sgd", "mse")
    monitor = ann2neo.SpikeMonitor(X, layers=["b", "a"], threshold=[0.0, 1.0])
    model.fit(X, np.zeros((24, 3)), verbose=0, callbacks=[monitor])
    rates = monitor.history.groupby("layer")["mean_firing_rate"].first().to_dict()
    assert rates == {"b": 1.0, "a": 0.0}


def test_layers_inside_models_come_in_the_order_of_their_calls() -> None:
    """A glob over nested models lists outer layers before the layers behind them."""
    recording = ann2neo.record(_nested(), X, layers="*", seed=0)
    assert list(dict.fromkeys(recording.units["layer"])) == ["c1", "d1", "d2", "out"]
    limits = [0.1, 0.9]
    recording = ann2neo.record(
        _nested(), X, layers=["d1", "d2"], threshold=limits, seed=0
    )
    assert _first_of_each_layer(recording.units, "threshold") == {"d1": 0.1, "d2": 0.9}


def _mixed() -> Any:
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            kl.Conv2D(2, 3, name="conv"),
            kl.BatchNormalization(name="norm"),
            kl.ReLU(name="relu"),
            kl.Flatten(name="flat"),
            keras.Sequential([keras.Input((72,)), kl.Dense(4, "tanh", name="in")]),
            kl.Dropout(0.5, name="drop"),
            kl.Reshape((2, 2), name="shape"),
            kl.LSTM(3, name="lstm"),
            kl.Dense(2, name="out"),
        ]
    )


@pytest.mark.parametrize(
    ("layers", "names"),
    [
        (kl.Dense, ["in", "out"]),
        ([kl.Dense, "conv"], ["in", "out", "conv"]),
        ("with weights", ["conv", "norm", "in", "lstm", "out"]),
        ("with an activation", ["relu", "in", "lstm"]),
        ("*", ["conv", "norm", "relu", "in", "drop", "lstm", "out"]),
        ("flat", ["flat"]),
        (lambda layer: layer.name in {"flat", "relu"}, ["relu", "flat"]),
    ],
)
def test_layers_are_chosen_by_what_they_are(layers: Any, names: list[str]) -> None:
    """A class, a group, a glob or a function chooses layers in the order of the model;
    a glob leaves out models and layers that only reshape, which a name still finds.
    """
    assert [named.key for named in choose_layers(_mixed(), layers)] == names


def test_a_glob_reaches_the_parts_of_a_layer() -> None:
    """What Keras' own layers consist of is left out of "*", and found by its name."""
    entry = keras.Input((5, 4))
    heads = kl.MultiHeadAttention(2, 4, name="heads")(entry, entry)
    model = keras.Model(entry, kl.Dense(2, name="out")(heads))
    of_all = [named.key for named in choose_layers(model, "*")]
    assert of_all == ["heads", "out"]
    assert [named.key for named in choose_layers(model, "quer*")] == ["query"]
