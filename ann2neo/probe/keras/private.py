"""What ann2neo uses of Keras beyond its public interface, in one place.

A test of each fails when Keras changes it.
"""

from __future__ import annotations

from typing import Any

import keras
from keras.src.backend.common.masking import get_keras_mask

__all__ = [
    "CALL_ERROR",
    "SEED_STATE",
    "calls_in",
    "dropout_drawn",
    "dropout_forgotten",
    "function_of",
    "inner_layers",
    "input_names",
    "is_activation",
    "is_of_keras",
    "is_rematerialized",
    "maker_of",
    "mask_of",
    "node_of",
    "takes_training",
    "was_called_once",
]

SEED_STATE = "seed_generator_state"
"""Name of the variable that holds the state of a `keras.random.SeedGenerator`."""

CALL_ERROR = "Exception encountered when calling"
"""Beginning of the message of an error inside a layer; the cause is in its second
paragraph.
"""


def inner_layers(layer: Any) -> list[Any]:
    """List the layers inside a layer, at any depth, each once.

    Layers stand in the order in which their holder holds them, which is that of the
    calls in a sequential or functional model, and what a layer holds right behind it.
    """
    held: dict[int, Any] = {}

    def visit(holder: Any) -> None:
        for part in holder._layers:
            if id(part) not in held:
                held[id(part)] = part
                visit(part)

    visit(layer)
    return list(held.values())


def is_of_keras(layer: Any) -> bool:
    """Whether a layer, other than a model, is one of Keras' own."""
    return type(layer).__module__.startswith("keras.") and not isinstance(
        layer, keras.Model
    )


def is_activation(layer: Any) -> bool:
    """Whether a layer is one of Keras' activation functions, such as ReLU."""
    return any(
        parent.__module__.startswith("keras.src.layers.activations.")
        for parent in type(layer).__mro__
    )


def was_called_once(layer: Any) -> bool:
    """Whether a layer has one symbolic output, which is then ``layer.output``."""
    return len(getattr(layer, "_inbound_nodes", ())) == 1


def function_of(model: Any) -> keras.Function | None:
    """Return the functional model that a model is, or has as a sequential one."""
    if isinstance(model, keras.Function):
        return model
    function = getattr(model, "_functional", None)
    return function if isinstance(function, keras.Function) else None


def input_names(model: Any) -> tuple[str, ...] | None:
    """Return the keys of a dictionary that a model takes; None if they are unknown."""
    model = function_of(model)
    if model is None:
        return None
    struct = model._inputs_struct
    if isinstance(struct, dict):
        return tuple(map(str, struct))
    return tuple(str(tensor.name) for tensor in model.inputs)


def maker_of(tensor: Any) -> Any:
    """Return the layer or operation that made a symbolic tensor."""
    return tensor._keras_history.operation


def node_of(tensor: Any) -> tuple[Any, int]:
    """Return the call that made a symbolic tensor, and the number of its output."""
    operation, node_index, output_index = tensor._keras_history
    return operation._inbound_nodes[node_index], int(output_index)


def calls_in(function: keras.Function, operation: Any) -> list[Any]:
    """List the calls of a layer or operation in a function, in the order they run."""
    return [
        node
        for depth in sorted(function._nodes_by_depth, reverse=True)
        for node in function._nodes_by_depth[depth]
        if node.operation is operation
    ]


def is_rematerialized(layer: Any) -> bool:
    """Whether a layer recomputes its activations in the backward pass."""
    return bool(getattr(layer, "_remat_mode", None))


def mask_of(tensor: Any) -> Any:
    """Return the mask of padding that Keras keeps beside a tensor; None without one."""
    return get_keras_mask(tensor)


def takes_training(layer: Any) -> bool:
    """Whether the ``call`` of a layer has an argument ``training``."""
    return isinstance(layer, keras.Layer) and bool(layer._call_has_training_arg)


def dropout_drawn(layer: Any, inputs: Any, states: Any) -> None:
    """Draw what the cell of a recurrent layer drops in all steps of a sequence."""
    layer._maybe_config_dropout_masks(layer.cell, inputs, states)


def dropout_forgotten(layer: Any) -> None:
    """Forget it again, as the layer does after each sequence."""
    layer._maybe_reset_dropout_masks(layer.cell)
