"""The last hidden layer: the one whose output enters the last layer with weights, as in
the paper.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import keras

from ann2neo.errors import LayerError
from ann2neo.probe.keras.capture import LOCK, tensors_of

__all__ = ["Hidden", "Seen", "last_hidden_layer", "watching"]

_WALKED_OVER = (
    keras.layers.Flatten,
    keras.layers.Reshape,
    keras.layers.Permute,
    keras.layers.Dropout,
    keras.layers.AlphaDropout,
    keras.layers.GaussianDropout,
    keras.layers.GaussianNoise,
    keras.layers.SpatialDropout1D,
    keras.layers.SpatialDropout2D,
    keras.layers.SpatialDropout3D,
    keras.layers.ActivityRegularization,
    *(
        getattr(keras.layers, f"{kind}Pooling{n}D")
        for kind in ("Max", "Average", "GlobalMax", "GlobalAverage")
        for n in (1, 2, 3)
    ),
)


class Seen(NamedTuple):
    """One call of a layer, with the tensors as its caller passed them."""

    layer: Any
    inputs: list[Any]
    outputs: list[Any]


@contextlib.contextmanager
def watching() -> Iterator[list[Seen]]:
    """Collect the calls of all layers, inner ones before those that hold them.

    ``keras.Layer.__call__`` itself is replaced for the block: only there are tensors
    seen before Keras casts them, so that a float32 head on a float16 body can be
    followed back.
    """
    seen: list[Seen] = []
    original = keras.Layer.__call__

    def watch(self: Any, *args: Any, **kwargs: Any) -> Any:
        outputs = original(self, *args, **kwargs)
        seen.append(Seen(self, tensors_of((args, kwargs)), tensors_of(outputs)))
        return outputs

    with LOCK:
        keras.Layer.__call__ = watch
        try:
            yield seen
        finally:
            keras.Layer.__call__ = original


class Hidden(NamedTuple):
    """One output of one call of the last hidden layer."""

    layer: Any
    call_index: int
    output_index: int


def last_hidden_layer(
    model: Any, seen: Sequence[Seen], outputs: Sequence[Any]
) -> Hidden:
    """Walk back from the outputs of a model to its last hidden layer.

    Parameters
    ----------
    model : keras.Model
        The model.
    seen : sequence of Seen
        The calls of one forward pass.
    outputs : sequence of tensor
        What the model returned.

    Returns
    -------
    Hidden
        The output that enters the last layer with weights, after walking back over
        flattening, reshaping, dropout and pooling.

    Raises
    ------
    LayerError
        If there is no such layer, or more than one; candidates are listed.
    """
    # What happens inside Keras' own compound layers, a loop or an attention head, is
    # theirs.
    inner = {
        id(part)
        for call in seen
        if _is_whole(call.layer)
        for part in _parts(call.layer)
    }
    outer = [
        call for call in seen if call.layer is not model and id(call.layer) not in inner
    ]
    found = {
        id(tensor): (tensor, call)
        for output in outputs
        for tensor, call in [_hidden(outer, output, len(outputs))]
    }
    if len(found) != 1:
        raise _ambiguous(
            outer, f"its {len(outputs)} outputs come from {len(found)} hidden layers"
        )
    tensor, made = next(iter(found.values()))
    calls = [call for call in outer if call.layer is made.layer]
    call_index = next(i for i, call in enumerate(calls) if call is made)
    return Hidden(
        made.layer,
        call_index,
        next(i for i, out in enumerate(made.outputs) if out is tensor),
    )


def _is_whole(layer: Any) -> bool:
    return type(layer).__module__.startswith("keras.") and not isinstance(
        layer, keras.Model
    )


def _parts(layer: Any) -> list[Any]:
    return list(layer._flatten_layers(include_self=False))


def _hidden(seen: Sequence[Seen], output: Any, n_outputs: int) -> tuple[Any, Seen]:
    """The tensor that enters the last layer with weights on the way to an output, and
    the call that made it.
    """
    head = _head(seen, output, n_outputs)
    tensor = _single(seen, head)
    made = _maker(seen, tensor)
    while made is not None and isinstance(made.layer, _WALKED_OVER):
        tensor = _single(seen, made)
        made = _maker(seen, tensor)
    if made is None:
        if head is _weighted(seen)[0]:
            msg = (
                "the model has no hidden layer: its input enters its last layer with"
                f" weights, {head.layer.name!r}"
            )
            raise LayerError(
                f"{msg}; name the layer to record, such as layers={head.layer.name!r}"
            )
        raise _ambiguous(
            seen, f"what enters {head.layer.name!r} was not made by a layer"
        )
    return tensor, made


def _head(seen: Sequence[Seen], output: Any, n_outputs: int) -> Seen:
    """The last call of a layer with weights on the way to an output."""
    made = _maker(seen, output)
    while made is not None and not made.layer.weights:
        made = _maker(seen, _single(seen, made))
    if made is None:
        weighted = _weighted(seen)
        # Operations outside layers hide the way back; with one output, the last layer
        # that ran leads to it.
        if not weighted or n_outputs > 1:
            raise _ambiguous(
                seen, "its outputs cannot be followed back to a layer with weights"
            )
        return weighted[-1]
    inside = [
        call
        for call in _weighted(seen)
        if any(call.layer is part for part in _parts(made.layer))
    ]
    return inside[-1] if inside else made


def _maker(seen: Sequence[Seen], tensor: Any) -> Seen | None:
    """The innermost call that made a tensor rather than passing it on."""
    for call in seen:
        if any(out is tensor for out in call.outputs) and not any(
            into is tensor for into in call.inputs
        ):
            return call
    return None


def _single(seen: Sequence[Seen], call: Seen) -> Any:
    inputs = {id(tensor): tensor for tensor in call.inputs}
    if len(inputs) != 1:
        raise _ambiguous(seen, f"{call.layer.name!r} takes {len(inputs)} inputs")
    return next(iter(inputs.values()))


def _weighted(seen: Sequence[Seen]) -> list[Seen]:
    """Calls of layers with weights of their own, or of compound layers of Keras that
    have some.
    """
    return [
        call
        for call in seen
        if call.layer.weights
        and (
            _is_whole(call.layer)
            or not any(part.weights for part in _parts(call.layer))
        )
    ]


def _ambiguous(seen: Sequence[Seen], why: str) -> LayerError:
    names = dict.fromkeys(repr(call.layer.name) for call in _weighted(seen))
    candidates = ", ".join(names) or "none"
    return LayerError(
        f"the last hidden layer is ambiguous: {why}; name it with layers=, candidates"
        f" are {candidates}"
    )
