"""A Probe that is kept records what the network is now, not what it was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers as kl

import ann2neo
from ann2neo import Probe
from ann2neo.errors import InputValueError

X = np.random.default_rng(0).normal(size=(64, 6)).astype(np.float32)


class Scaled(kl.Layer):
    """A layer whose function depends on a number that is no weight."""

    def __init__(self, scale: float) -> None:
        super().__init__(name="scaled")
        self.scale = scale

    def call(self, x: Any) -> Any:
        return x * self.scale


def _model() -> Any:
    keras.utils.set_random_seed(1)
    return keras.Sequential(
        [
            keras.Input((6,)),
            kl.Dense(8, "relu", name="hidden"),
            kl.BatchNormalization(name="norm"),
            Scaled(1.0),
            kl.Dense(3, name="out"),
        ]
    )


def _activation(model: Any) -> None:
    model.get_layer("hidden").activation = keras.activations.sigmoid


def _lora(model: Any) -> None:
    layer = model.get_layer("hidden")
    layer.enable_lora(2)
    layer.lora_kernel_b.assign(np.ones((2, 8), np.float32))


def _quantize(model: Any) -> None:
    model.get_layer("hidden").quantize("int8")


def _scale(model: Any) -> None:
    model.get_layer("scaled").scale = -1.0


def _values(model: Any) -> None:
    model.get_layer("hidden").set_weights(
        [np.full((6, 8), -0.5), np.linspace(-1, 1, 8)]
    )


def _state(model: Any) -> None:
    model.get_layer("norm").moving_mean.assign(np.linspace(-1, 1, 8))


@pytest.mark.slow
@pytest.mark.parametrize(
    "change", [_activation, _lora, _quantize, _scale, _values, _state]
)
@pytest.mark.parametrize("training", [False, True])
def test_a_probe_records_the_network_as_it_is_now(
    change: Callable[[Any], None], training: bool
) -> None:
    """After a change of activation, adapter, precision, setting, weight or state, a
    Probe made before records what one made afterwards does, under the same hash.
    """
    model = _model()
    layers = ["hidden", "norm", "scaled"]
    kept = Probe(model, layers, training=training)
    before = kept.record(X, seed=0)
    change(model)
    after = kept.record(X, seed=0)
    fresh = Probe(model, layers, training=training).record(X, seed=0)
    assert after.equals(fresh, identity=False)
    # Eight bits of precision move few activations across 0, and in training the running
    # mean is not used.
    if change is not _quantize and not (training and change is _state):
        assert not after.raster.equals(before.raster)


def test_a_frozen_layer_is_traced_anew() -> None:
    """Batch normalization in training uses other statistics once it is frozen."""
    model = _model()
    kept = Probe(model, "norm", training=True)
    kept.record(X, seed=0)
    model.get_layer("norm").trainable = False
    fresh = Probe(model, "norm", training=True).record(X, seed=0)
    assert kept.record(X, seed=0).raster.equals(fresh.raster)


@pytest.mark.may_skip("PyTorch")
@pytest.mark.skipif(
    keras.backend.backend() == "torch", reason="Keras on PyTorch compiles nothing"
)
def test_nothing_is_traced_twice_without_a_change() -> None:
    """Recording and training leave what a compiled pass depends on as it was."""
    model = _model()
    model.compile("sgd", "mse")
    probe = Probe(model, "hidden")
    probe.record(X, seed=0)
    adapter = probe._adapter
    passes = dict(adapter._forwards)
    model.fit(X, np.zeros((64, 3)), verbose=0)
    model.predict(X, verbose=0)
    probe.record(X, seed=0)
    assert adapter._forwards == passes


def test_a_model_with_other_layers_needs_another_probe() -> None:
    """A layer added after the Probe was made is refused by name of the model."""
    model = _model()
    probe = Probe(model, "hidden")
    model.add(kl.Dense(2))
    with pytest.raises(InputValueError, match=r"layers were added.*make another Probe"):
        probe.record(X, seed=0)


class Lazy(keras.Model):
    """A model that makes its layers' weights when it is first called."""

    def __init__(self) -> None:
        super().__init__(name="lazy")
        self.hidden = kl.Dense(5, "relu", name="hidden")
        self.out = kl.Dense(2, name="out")

    def call(self, x: Any) -> Any:
        return self.out(self.hidden(x))


def test_a_model_without_weights_is_refused() -> None:
    """build(shape) of a subclassed model makes no weights, so it is no way out."""
    model = Lazy()
    words = r"'lazy' has no weights yet.*call it once on a batch, model\(x\[:1\]\)"
    with pytest.raises(InputValueError, match=words):
        ann2neo.record(model, X, layers="hidden")
    model.build((None, 6))
    if not model.weights:
        with pytest.raises(InputValueError, match=words):
            ann2neo.record(model, X, layers="hidden")
    model(X[:1])
    assert ann2neo.record(model, X, layers="hidden", seed=0).n_units == 5


def test_weights_that_grow_while_recording_are_refused() -> None:
    """A layer that is first called by the recording would be random: it is named."""
    model = Lazy()
    model.hidden.build((None, 6))
    model.built = True
    with pytest.raises(InputValueError, match=r"'out' of 'lazy' had no weights yet"):
        ann2neo.record(model, X, layers=["hidden", "out"])


def test_a_model_that_needs_no_weights_is_recorded() -> None:
    """A network of activations alone has nothing that could be missing."""
    model = keras.Sequential([keras.Input((6,)), kl.ReLU(name="relu")])
    recording = ann2neo.record(model, X, layers="relu", shuffle=False)
    np.testing.assert_array_equal(recording.raster.to_dense(), (X > 0).T)
