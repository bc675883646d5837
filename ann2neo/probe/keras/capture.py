"""Capture: what layers take and return while a model runs."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import keras

__all__ = ["LOCK", "LayerCall", "capture_all", "capture_calls", "tensors_of"]

# Keras runs the second instead of the first in quantized layers.
_METHODS = ("call", "quantized_call")
# Reentrant: a pass is compiled under the lock, and takes it again to wrap layers.
LOCK = threading.RLock()
"""Held while layers are wrapped, so that no two threads wrap the same one."""


class LayerCall(NamedTuple):
    """One call of a layer, with the tensors it took and returned.

    `arguments` are those of the call, positional ones and keywords, and `begun` is what
    was noted before it.
    """

    layer: Any
    inputs: list[Any]
    outputs: list[Any]
    arguments: tuple[tuple[Any, ...], dict[str, Any]]
    begun: Any = None


@contextlib.contextmanager
def capture_calls(
    layers: Sequence[Any], before: Callable[[Any], Any] | None = None
) -> Iterator[list[LayerCall]]:
    """Collect the calls of some layers while the block runs.

    Parameters
    ----------
    layers : sequence of keras.Layer
        The layers. Their ``call`` is wrapped on the object, not on the class, and
        restored at the end of the block in any case.
    before : callable, optional
        Called with a layer before each of its calls, to note something.

    Yields
    ------
    list of LayerCall
        Filled call by call.
    """
    calls: list[LayerCall] = []
    with LOCK:
        wrapped = [
            (layer, method, layer.__dict__.get(method))
            for layer in layers
            for method in _METHODS
        ]
        try:
            for layer, method, _ in wrapped:
                # Written into the dict, since Keras tracks attributes that are set, and
                # the layer must not remember this one.
                original = getattr(layer, method)
                layer.__dict__[method] = _captured(original, layer, calls, before)
            yield calls
        finally:
            for layer, method, own in wrapped:
                # Without the wrapper, the class's own method is found again.
                if own is None:
                    layer.__dict__.pop(method, None)
                else:
                    layer.__dict__[method] = own


def _captured(
    call: Callable[..., Any],
    layer: Any,
    calls: list[LayerCall],
    before: Callable[[Any], Any] | None = None,
) -> Callable[..., Any]:
    @functools.wraps(call)
    def captured(*args: Any, **kwargs: Any) -> Any:
        begun = None if before is None else before(layer)
        outputs = call(*args, **kwargs)
        inputs = tensors_of((args, kwargs))
        calls.append(
            LayerCall(layer, inputs, tensors_of(outputs), (args, kwargs), begun)
        )
        return outputs

    return captured


@contextlib.contextmanager
def capture_all() -> Iterator[list[LayerCall]]:
    """Collect the calls of all layers, inner ones before those that hold them.

    ``keras.Layer.__call__`` itself is replaced for the block. Only there do tensors
    appear before Keras casts them, which is needed to trace a float32 head back to a
    float16 body.

    Yields
    ------
    list of LayerCall
        Filled call by call.
    """
    calls: list[LayerCall] = []
    original = keras.Layer.__call__

    def captured(self: Any, *args: Any, **kwargs: Any) -> Any:
        own_call = functools.partial(original, self)
        return _captured(own_call, self, calls)(*args, **kwargs)

    with LOCK:
        keras.Layer.__call__ = captured
        try:
            yield calls
        finally:
            keras.Layer.__call__ = original


def tensors_of(nest: Any) -> list[Any]:
    """List the tensors of the backend in a nest, in order."""
    return [leaf for leaf in keras.tree.flatten(nest) if keras.ops.is_tensor(leaf)]
