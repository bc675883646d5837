"""The last hidden layer, whose output enters the last layer with weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from ann2neo.errors import LayerError
from ann2neo.probe.adapter import LayerInfo, OutputChoice
from ann2neo.probe.keras.capture import LayerCall
from ann2neo.probe.keras.layers import choose_layers
from ann2neo.probe.keras.private import inner_layers, is_of_keras

__all__ = ["last_hidden_layer"]

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


def last_hidden_layer(
    model: Any, calls: Sequence[LayerCall], outputs: Sequence[Any]
) -> LayerInfo:
    """Walk back from the outputs of a model to its last hidden layer.

    Parameters
    ----------
    model : keras.Model
        The model.
    calls : sequence of LayerCall
        The calls of one forward pass.
    outputs : sequence of tensor
        What the model returned.

    Returns
    -------
    LayerInfo
        The layer, with the output that enters the last layer with weights, after
        walking back over flattening, reshaping, dropout and pooling.

    Raises
    ------
    LayerError
        If there is no such layer, or more than one; candidates are listed.
    """
    # What Keras' own compound layers hold, such as a recurrent cell or an attention
    # head, counts as part of them.
    inner = {
        id(part)
        for call in calls
        if is_of_keras(call.layer)
        for part in inner_layers(call.layer)
    }
    outer = [
        call
        for call in calls
        if call.layer is not model and id(call.layer) not in inner
    ]
    hidden = {
        id(tensor): (tensor, call)
        for output in outputs
        for tensor, call in [_hidden(outer, output, len(outputs))]
    }
    if len(hidden) != 1:
        raise _ambiguous(
            outer, f"its {len(outputs)} outputs come from {len(hidden)} hidden layers"
        )
    tensor, source = next(iter(hidden.values()))
    of_layer = [call for call in outer if call.layer is source.layer]
    only = OutputChoice(
        next(i for i, call in enumerate(of_layer) if call is source),
        next(i for i, out in enumerate(source.outputs) if out is tensor),
    )
    return choose_layers(model, source.layer)[0].info._replace(only=only)


def _hidden(
    calls: Sequence[LayerCall], output: Any, n_outputs: int
) -> tuple[Any, LayerCall]:
    """Find the input of the last layer with weights, and the call that made it."""
    head = _head(calls, output, n_outputs)
    tensor = _single(calls, head)
    source = _source(calls, tensor)
    while source is not None and isinstance(source.layer, _WALKED_OVER):
        tensor = _single(calls, source)
        source = _source(calls, tensor)
    if source is None:
        if head is _weighted(calls)[0]:
            raise LayerError(
                "the model has no hidden layer: its input enters its last layer with"
                f" weights, {head.layer.name!r}; name the layer to record, such as"
                f" layers={head.layer.name!r}"
            )
        raise _ambiguous(
            calls, f"what enters {head.layer.name!r} was not made by a layer"
        )
    return tensor, source


def _head(calls: Sequence[LayerCall], output: Any, n_outputs: int) -> LayerCall:
    """Find the last call of a layer with weights on the way to an output."""
    source = _source(calls, output)
    while source is not None and not source.layer.weights:
        source = _source(calls, _single(calls, source))
    if source is None:
        weighted = _weighted(calls)
        # Operations outside layers hide the way back. With a single output, the last
        # layer that ran must lead to it.
        if not weighted or n_outputs > 1:
            raise _ambiguous(
                calls, "its outputs cannot be followed back to a layer with weights"
            )
        return weighted[-1]
    # The source may be a model in the model: then its last layer with weights.
    inside = [
        call
        for call in _weighted(calls)
        if any(call.layer is part for part in inner_layers(source.layer))
    ]
    return inside[-1] if inside else source


def _source(calls: Sequence[LayerCall], tensor: Any) -> LayerCall | None:
    """Find the innermost call that made a tensor rather than passing it on."""
    for call in calls:
        # Inner calls come first. Dropout, for one, may return the very tensor it took.
        if any(out is tensor for out in call.outputs) and not any(
            into is tensor for into in call.inputs
        ):
            return call
    return None


def _single(calls: Sequence[LayerCall], call: LayerCall) -> Any:
    inputs = {id(tensor): tensor for tensor in call.inputs}
    if len(inputs) != 1:
        raise _ambiguous(calls, f"{call.layer.name!r} takes {len(inputs)} inputs")
    return next(iter(inputs.values()))


def _weighted(calls: Sequence[LayerCall]) -> list[LayerCall]:
    """List the calls of layers that have weights outside their inner layers.

    Keras' own compound layers count too: their inner layers are part of them.
    """
    return [
        call
        for call in calls
        if call.layer.weights
        and (
            is_of_keras(call.layer)
            or not any(part.weights for part in inner_layers(call.layer))
        )
    ]


def _ambiguous(calls: Sequence[LayerCall], why: str) -> LayerError:
    names = dict.fromkeys(repr(call.layer.name) for call in _weighted(calls))
    return LayerError(
        f"the last hidden layer is ambiguous: {why}; name it with layers=, candidates"
        f" are {', '.join(names) or 'none'}"
    )
