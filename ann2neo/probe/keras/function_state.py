"""What the function that a Keras model computes depends on, besides the values of its
weights.
"""

from __future__ import annotations

from typing import Any

import keras

from ann2neo.probe.keras.layers import named_layers

__all__ = ["FunctionState", "function_state"]

FunctionState = list[tuple[Any, ...]]
"""One entry per layer, and one of the model, to be compared with ``==``."""

_PLAIN = (bool, int, float, str, bytes, type(None))


def function_state(model: Any) -> FunctionState:
    """Describe all that a compiled pass holds fixed.

    A pass is compiled once, and keeps what it read then: activation functions, numbers
    that layers keep as attributes, whether a layer is trainable, quantized or has a
    low-rank adapter, and which variables it has. Only their values are read anew.

    Parameters
    ----------
    model : keras.Model
        The model.

    Returns
    -------
    list of tuple
        The layer, its variables, and its settings. A compiled pass is out of date where
        this is no longer equal.
    """
    layers = [*(named.layer for named in named_layers(model)), model]
    return [
        (id(layer), tuple(map(id, layer.variables)), _settings(layer))
        for layer in layers
    ]


def _settings(layer: Any) -> dict[str, Any]:
    """Return the public attributes that are plain values or functions."""
    settings = {
        name: value
        for name, value in vars(layer).items()
        # A model's own functions, such as train_function, are made by its first use.
        if name != "training"  # of PyTorch, where Keras layers are modules
        and not name.startswith(("_", "stop_"))
        and not name.endswith("_function")
        and (_is_plain(value) or callable(value))
        and not isinstance(value, keras.Layer)
    }
    return settings | {
        "trainable": layer.trainable,
        "dtype policy": getattr(layer.dtype_policy, "name", None),
        "quantization": getattr(layer, "quantization_mode", None),
    }


def _is_plain(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(isinstance(part, _PLAIN) for part in value)
    return isinstance(value, _PLAIN)
