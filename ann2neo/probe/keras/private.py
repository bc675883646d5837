"""What ann2neo uses of Keras beyond its public interface, in one place.

A test of each fails when Keras changes it.
"""

from __future__ import annotations

from typing import Any

import keras

__all__ = [
    "CALL_ERROR",
    "SEED_STATE",
    "inner_layers",
    "is_of_keras",
    "is_rematerialized",
    "maker_of",
    "was_called_once",
]

SEED_STATE = "seed_generator_state"
"""Name of the variable that holds the state of a `keras.random.SeedGenerator`."""

CALL_ERROR = "Exception encountered when calling"
"""Beginning of the message of an error inside a layer; the cause is in its second
paragraph.
"""


def inner_layers(layer: Any) -> list[Any]:
    """List the layers inside a layer, at any depth, in the order Keras holds them."""
    return list(layer._flatten_layers(include_self=False))


def is_of_keras(layer: Any) -> bool:
    """Whether a layer, other than a model, is one of Keras' own."""
    return type(layer).__module__.startswith("keras.") and not isinstance(
        layer, keras.Model
    )


def was_called_once(layer: Any) -> bool:
    """Whether a layer has one symbolic output, which is then ``layer.output``."""
    return len(getattr(layer, "_inbound_nodes", ())) == 1


def maker_of(tensor: Any) -> Any:
    """Return the layer or operation that made a symbolic tensor."""
    return tensor._keras_history.operation


def is_rematerialized(layer: Any) -> bool:
    """Whether a layer recomputes its activations in the backward pass."""
    return bool(getattr(layer, "_remat_mode", None))
