"""Capture: listening to what layers return while a model runs, and leaving them as they
were.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import keras

__all__ = ["LOCK", "Heard", "listening", "tensors_of"]

_METHODS = ("call", "quantized_call")
LOCK = threading.RLock()
"""Held while layers are wrapped: two threads must not wrap and unwrap the same one at
once.
"""


class Heard(NamedTuple):
    """One call of a layer: which one, what came in, and the tensors it returned."""

    position: int
    inputs: list[Any]
    outputs: list[Any]


@contextlib.contextmanager
def listening(layers: Sequence[Any]) -> Iterator[list[Heard]]:
    """Collect what some layers return while the block runs.

    Parameters
    ----------
    layers : sequence of keras.Layer
        Layers to listen to. Their ``call`` is wrapped on the object, not on the class,
        and put back at the end of the block whatever happens.

    Yields
    ------
    list of Heard
        Filled call by call.
    """
    heard: list[Heard] = []
    with LOCK:
        before = [
            (layer, method, layer.__dict__.get(method))
            for layer in layers
            for method in _METHODS
        ]
        try:
            for position, layer in enumerate(layers):
                for method in _METHODS:
                    # Into the dict, past Keras' attribute tracking: nothing of the
                    # layer may remember this.
                    layer.__dict__[method] = _listener(
                        getattr(layer, method), position, heard
                    )
            yield heard
        finally:
            for layer, method, own in before:
                if own is None:
                    layer.__dict__.pop(method, None)
                else:
                    layer.__dict__[method] = own


def _listener(
    call: Callable[..., Any], position: int, heard: list[Heard]
) -> Callable[..., Any]:
    @functools.wraps(call)
    def listen(*args: Any, **kwargs: Any) -> Any:
        outputs = call(*args, **kwargs)
        heard.append(Heard(position, tensors_of((args, kwargs)), tensors_of(outputs)))
        return outputs

    return listen


def tensors_of(nest: Any) -> list[Any]:
    """The backend's tensors in a nest of anything, in order."""
    return [leaf for leaf in keras.tree.flatten(nest) if keras.ops.is_tensor(leaf)]
