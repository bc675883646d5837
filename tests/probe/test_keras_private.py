"""What ann2neo uses of Keras beyond its public interface still exists, with the same
meaning.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers as kl

from ann2neo.probe.keras import private


def test_inner_layers_are_listed_at_any_depth() -> None:
    """The layers of nested models and of layers that hold layers are listed, outer ones
    first, without the layer itself.
    """
    held = kl.TimeDistributed(kl.Dense(2, name="held"), name="holding")
    inner = keras.Sequential([keras.Input((3, 4)), held], name="inner")
    model = keras.Sequential([keras.Input((3, 4)), inner, kl.Flatten(name="flat")])
    names = [
        layer.name
        for layer in private.inner_layers(model)
        if not isinstance(layer, kl.InputLayer)
    ]
    assert names == ["inner", "holding", "held", "flat"]


def test_layers_of_keras_are_told_from_layers_of_users() -> None:
    """A layer of Keras is recognized as one; a user's layer and every model are not."""

    class Mine(kl.Layer):
        pass

    model = keras.Sequential([keras.Input((4,)), kl.Dense(2)])
    assert private.is_of_keras(kl.LSTM(3))
    assert not private.is_of_keras(Mine())
    assert not private.is_of_keras(model)


def test_a_layer_called_once_has_one_symbolic_output() -> None:
    """A layer of a functional model that is called once is told apart from a shared one
    and from one that never ran.
    """
    once, shared, never = kl.Dense(4), kl.Dense(4), kl.Dense(4)
    entry = keras.Input((4,))
    keras.Model(entry, shared(shared(once(entry))))
    called = [private.was_called_once(layer) for layer in (once, shared, never)]
    assert called == [True, False, False]
    assert once.output.shape == (None, 4)


def test_the_maker_of_a_symbolic_tensor_is_its_layer() -> None:
    """The layer that made a model's output is found from the output."""
    head = kl.Dense(1, "sigmoid")
    model = keras.Sequential([keras.Input((4,)), head])
    assert private.maker_of(model.outputs[0]) is head


def test_rematerialized_layers_are_known() -> None:
    """A layer made under a RematScope is told apart from any other."""
    with keras.RematScope(mode="full"):
        rematerialized = kl.Dense(2)
    assert private.is_rematerialized(rematerialized)
    assert not private.is_rematerialized(kl.Dense(2))


def test_seeds_count_in_a_variable_of_this_name() -> None:
    """The state of a seed generator, and so of a dropout layer, has the name by which
    it is seeded.
    """
    assert keras.random.SeedGenerator(0).state.name == private.SEED_STATE
    model = keras.Sequential([keras.Input((4,)), kl.Dropout(0.5)])
    names = [variable.name for variable in model.non_trainable_variables]
    assert names == [private.SEED_STATE]


def test_errors_inside_a_layer_name_their_cause_in_the_second_paragraph() -> None:
    """Keras wraps what a layer raises: the cause is in the second paragraph."""

    class Failing(kl.Layer):
        def call(self, x: Any) -> Any:
            del x
            raise ValueError("the cause")

        def compute_output_shape(self, shape: Any) -> Any:
            return shape

    entry = keras.Input((4,))
    model = keras.Model(entry, Failing()(entry))
    with pytest.raises(ValueError, match="the cause") as raised:
        model(np.zeros((1, 4)))
    first, second, *_ = str(raised.value).split("\n\n")
    assert first.startswith(private.CALL_ERROR)
    assert "the cause" in second


def test_the_mask_of_padding_lies_beside_a_tensor() -> None:
    """What a masking layer returns carries its mask; other tensors carry none."""
    x = np.array([[[1.0], [0.0]]], np.float32)
    masked = kl.Masking()(x)
    mask = keras.ops.convert_to_numpy(private.mask_of(masked))
    np.testing.assert_array_equal(mask, [[True, False]])
    assert private.mask_of(keras.ops.convert_to_tensor(x)) is None


def test_cells_that_know_training_are_told_from_others() -> None:
    """An LSTM's cell takes the argument, and a cell of one's own may not."""

    class Plain(kl.Layer):
        state_size = 2

        def call(self, inputs: Any, states: Any) -> Any:
            return inputs, states

    assert private.takes_training(kl.LSTMCell(2))
    assert not private.takes_training(Plain())
    assert not private.takes_training(lambda inputs, states: (inputs, states))


def test_the_dropout_of_a_sequence_is_drawn_once_and_forgotten() -> None:
    """Between the two, every step of a cell drops the same inputs."""
    layer = kl.LSTM(2, dropout=0.5)
    x = np.ones((1, 3, 8), np.float32)
    layer(x)
    states = layer.get_initial_state(1)
    step = keras.ops.convert_to_tensor(x[:, 0])
    private.dropout_drawn(layer, step, states)
    first, second = (layer.cell.get_dropout_mask(step) for _ in range(2))
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(first), keras.ops.convert_to_numpy(second)
    )
    private.dropout_forgotten(layer)
    drawn = layer.cell.get_dropout_mask(step)
    assert drawn is not first
