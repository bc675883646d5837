"""Layers and operations of a Keras model: unique names, and the ones a user means."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras

from ann2neo.errors import LayerError
from ann2neo.probe.adapter import LayerChoice, LayerInfo, OutputChoice
from ann2neo.probe.choice import Choice, Named
from ann2neo.probe.keras.private import (
    calls_in,
    function_of,
    inner_layers,
    is_activation,
    is_of_keras,
    node_of,
)

__all__ = [
    "NamedLayer",
    "choose_layers",
    "fixed_batch_size",
    "holder_of",
    "layers_of",
    "named_layers",
]


_NOT_IN_GLOBS = (
    keras.Model,
    keras.layers.Flatten,
    keras.layers.Permute,
    keras.layers.Reshape,
)
"""What a glob leaves out: models, whose output is that of a layer inside them, and
layers that only reshape, which would record the same units twice.
"""


def _has_weights(layer: Any) -> bool:
    """Whether a layer has weights that are not those of a layer that can be chosen."""
    if is_of_keras(layer):
        return bool(layer.weights)
    inside = {id(v) for part in inner_layers(layer) for v in part.weights}
    return any(id(v) not in inside for v in layer.weights)


def _has_activation(layer: Any) -> bool:
    """Whether a layer ends in an activation function, or is one."""
    function = getattr(layer, "activation", None)
    if function is not None:
        return function is not keras.activations.linear
    return is_activation(layer)


NamedLayer = Named


def _named(layer: Any, key: str, number: int) -> NamedLayer:
    type_name = type(layer).__name__
    return NamedLayer(
        LayerInfo(
            key,
            number,
            type_name,
            channels_first=getattr(layer, "data_format", None) == "channels_first",
            has_steps=(
                hasattr(layer, "return_sequences") or type_name == "TimeDistributed"
            ),
        ),
        layer,
        ((key,), (layer.name, _path(layer))),
    )


def named_layers(model: Any) -> list[NamedLayer]:
    """List every layer inside a model, nested ones too, under unique names.

    Parameters
    ----------
    model : keras.Model
        Any Keras 3 model.

    Returns
    -------
    list of NamedLayer
        In the order Keras holds them. The name is the layer's own if no other layer has
        it, else its path, else its path and a number, as in ``block/dense#1``, since
        two layers may share both.
    """
    layers = [
        layer
        for layer in inner_layers(model)
        if not isinstance(layer, (keras.layers.InputLayer, keras.metrics.Metric))
    ]
    names = Counter(layer.name for layer in layers)
    paths = Counter(_path(layer) for layer in layers)
    numbers: defaultdict[str, Iterator[int]] = defaultdict(itertools.count)
    named = []
    for index, layer in enumerate(layers):
        key = layer.name
        if names[key] > 1:
            key = _path(layer)
            # A path that is another layer's plain name would mean two things.
            if paths[key] > 1 or names.get(key) == 1:
                key = f"{key}#{next(numbers[key])}"
        named.append(_named(layer, key, index))
    return named


def _functions(model: Any) -> list[keras.Function]:
    """List the functional models in a model, at any depth, itself among them."""
    functions = map(function_of, [model, *inner_layers(model)])
    return [function for function in functions if function is not None]


def _named_operations(model: Any, layers: Sequence[NamedLayer]) -> list[NamedLayer]:
    """List the operations between the layers of functional models, such as a + b.

    Parameters
    ----------
    model : keras.Model
        The model.
    layers : sequence of NamedLayer
        Its layers and itself, whose names and numbers are taken.

    Returns
    -------
    list of NamedLayer
        In the order in which the models hold them. The name is the operation's own if
        nothing else has it, else that of its model and its own, and a number if need
        be.
    """
    holders = {
        id(operation): (operation, function)
        for function in _functions(model)
        for operation in function.operations
        if not isinstance(operation, keras.Layer)
    }
    taken = {
        name
        for named in layers
        for name in (named.key, named.layer.name, _path(named.layer))
    }
    names = Counter(operation.name for operation, _ in holders.values())
    named: list[NamedLayer] = []
    for operation, function in holders.values():
        key = operation.name
        if key in taken or names[key] > 1:
            key = f"{function.name}/{key}"
        numbered = (f"{key}#{number}" for number in itertools.count(1))
        while key in taken:
            key = next(numbered)
        taken.add(key)
        named.append(_named(operation, key, len(layers) + len(named)))
    return named


def layers_of(model: Any, infos: Sequence[LayerInfo]) -> list[NamedLayer]:
    """Find the layers and operations of some descriptions."""
    layers = _with_itself(model)
    layers += _named_operations(model, layers)
    return [layers[info.number]._replace(info=info) for info in infos]


def _with_itself(model: Any) -> list[NamedLayer]:
    """List the layers of a model, and the model itself as the last."""
    layers = named_layers(model)
    return [*layers, _named(model, model.name, len(layers))]


def _path(layer: Any) -> str:
    # Keras sets the path when it builds the layer; until then, and for an operation,
    # there is only the name.
    return str(getattr(layer, "path", None) or layer.name)


def choose_layers(model: Any, layers: LayerChoice) -> list[NamedLayer]:
    """Find the layers a user means.

    Parameters
    ----------
    model : keras.Model
        The model.
    layers : keras.Layer, class of layers, str, KerasTensor, predicate, or list of those
        A layer object; a class of layers; a name, a path, or a glob over either, which
        leaves out models inside the model and layers that only reshape; "*", "with
        weights" or "with an activation", which also leave out the parts of Keras' own
        layers; the name of an operation between layers of a functional model; a
        symbolic tensor of such a model; a function of a layer that says whether to
        take it; a list of those.

    Returns
    -------
    list of NamedLayer
        In the order asked, where one item chooses several in that of the model; none
        twice.

    Raises
    ------
    LayerError
        If a layer is unknown (the valid ones are listed), a name is ambiguous, or
        nothing is chosen.
    InputTypeError
        If `layers` is none of the above.
    """
    if isinstance(layers, (list, tuple)):
        # `model.layers` holds the inputs, too, which are the stimuli.
        layers = [i for i in layers if not isinstance(i, keras.layers.InputLayer)]
    return _choice(model).choose(layers)


def _choice(model: Any) -> Choice[NamedLayer]:
    """Collect what can be chosen of a model."""
    candidates = named_layers(model)
    outermost = _outermost(candidates)

    def chosen_by(wanted: Callable[[Any], bool]) -> Callable[[], list[NamedLayer]]:
        return lambda: [named for named in outermost if wanted(named.layer)]

    def special(item: Any) -> list[NamedLayer] | None:
        if isinstance(item, keras.layers.InputLayer):
            raise LayerError(
                f"{item.name!r} is an input, whose output is the stimuli themselves;"
                f" choose from {choice.listed()}"
            )
        return (
            _maker(model, item, choice) if isinstance(item, keras.KerasTensor) else None
        )

    choice: Choice[NamedLayer] = Choice(
        noun="layer",
        base=keras.Layer,
        layers=candidates,
        itself=_with_itself(model)[-1],
        in_globs=_is_in_globs,
        groups={
            "*": chosen_by(_is_in_globs),
            "with weights": chosen_by(_has_weights),
            "with an activation": chosen_by(_has_activation),
        },
        special=special,
        operations=lambda: _named_operations(model, _with_itself(model)),
    )
    return choice


def _is_in_globs(layer: Any) -> bool:
    return not isinstance(layer, _NOT_IN_GLOBS)


def _outermost(candidates: list[NamedLayer]) -> list[NamedLayer]:
    """Leave out what Keras' own layers consist of, such as the cell of an LSTM."""
    parts = {
        id(part)
        for named in candidates
        if is_of_keras(named.layer)
        for part in inner_layers(named.layer)
    }
    return [named for named in candidates if id(named.layer) not in parts]


def _maker(
    model: Any, tensor: keras.KerasTensor, choice: Choice[NamedLayer]
) -> list[NamedLayer]:
    """Find the layer or operation that makes a symbolic tensor, and its output."""
    node, output_index = node_of(tensor)
    if isinstance(node.operation, keras.layers.InputLayer):
        return choice.choose(node.operation)
    layers = _with_itself(model)
    everything = [*layers, *_named_operations(model, layers)]
    calls = [calls_in(function, node.operation) for function in _functions(model)]
    of_function = [nodes for nodes in calls if any(node is one for one in nodes)]
    maker = next((one for one in everything if one.layer is node.operation), None)
    if maker is None or not of_function:
        raise LayerError(
            f"the tensor that {node.operation.name!r} makes is not part of this model,"
            f" which has {choice.listed()}; take it from the model, as"
            " model.get_layer(name).output"
        )
    nodes = of_function[0]
    if sum(map(len, calls)) != len(nodes):
        raise LayerError(
            f"{maker.key!r} runs in several models inside this one, so that a tensor"
            f" does not tell which call is meant; pass layers={maker.key!r} and"
            f" units={{{maker.key!r}: {{'call_index': ...}}}}"
        )
    if len(nodes) == len(node.outputs) == 1:
        return [maker]
    call_index = next(i for i, one in enumerate(nodes) if one is node)
    only = OutputChoice(call_index, output_index, len(nodes))
    return [maker._replace(info=maker.info._replace(only=only))]


def holder_of(model: Any, layer: Any) -> Any:
    """Find the innermost layer that holds another one; the model if none does."""
    holders = [
        named.layer for named in named_layers(model) if _holds(named.layer, layer)
    ]
    # The innermost holder holds none of the others.
    return next(
        (one for one in holders if not any(_holds(one, other) for other in holders)),
        model,
    )


def _holds(holder: Any, layer: Any) -> bool:
    return any(part is layer for part in inner_layers(holder))


def fixed_batch_size(model: Any) -> int | None:
    """Return the batch size a model insists on, as stateful ones do; None if none."""
    inputs = keras.tree.flatten(getattr(model, "inputs", None) or [])
    return next(
        (int(tensor.shape[0]) for tensor in inputs if tensor.shape[0] is not None), None
    )
