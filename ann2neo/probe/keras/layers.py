"""Layers of a Keras model: which there are, what they are called, and which ones a user
means.
"""

from __future__ import annotations

import fnmatch
from collections import Counter
from typing import Any, NamedTuple

import keras

from ann2neo.errors import InputTypeError, LayerError

__all__ = [
    "NamedLayer",
    "choose_layers",
    "fixed_batch_size",
    "holder_of",
    "is_stateful",
    "named_layers",
]

Layers = Any
"""A layer, a name, path or glob, a list of those, a predicate, or None."""


class NamedLayer(NamedTuple):
    """A layer and the one name that means it and no other in its model."""

    key: str
    layer: Any
    number: int


def named_layers(model: Any) -> list[NamedLayer]:
    """Every layer inside a model, nested ones too, each under an unambiguous name.

    Parameters
    ----------
    model : keras.Model
        Any Keras 3 model.

    Returns
    -------
    list of NamedLayer
        In the order Keras holds them. The name is the layer's own where no other layer
        has it, else its path, else its path and a number, as in ``block/dense#1``: two
        layers may share both.
    """
    layers = [
        layer
        for layer in model._flatten_layers(include_self=False)
        if not isinstance(layer, (keras.layers.InputLayer, keras.metrics.Metric))
    ]
    names = Counter(layer.name for layer in layers)
    paths = Counter(_path(layer) for layer in layers)
    met: Counter[str] = Counter()
    found = []
    for index, layer in enumerate(layers):
        key = layer.name
        if names[key] > 1:
            key = _path(layer)
            # A path that is another layer's plain name would mean two things.
            if paths[key] > 1 or names.get(key) == 1:
                number = met[key]
                met[key] += 1
                key = f"{key}#{number}"
        found.append(NamedLayer(key, layer, index))
    return found


def _path(layer: Any) -> str:
    # Keras sets the path when it builds the layer; until then there is only the name.
    return str(layer.path or layer.name)


def choose_layers(model: Any, layers: Layers) -> list[NamedLayer]:
    """Find the layers a user means.

    Parameters
    ----------
    model : keras.Model
        The model.
    layers : keras.Layer, str, predicate, or list of those
        A layer object; a name, a path, or a glob over either; a function of a layer
        that says whether to take it; a list of those.

    Returns
    -------
    list of NamedLayer
        In the order of the model, none twice.

    Raises
    ------
    LayerError
        If a layer is unknown (the valid ones are listed), a name means several, or
        nothing is chosen.
    InputTypeError
        If `layers` is none of the above.
    """
    known = named_layers(model)
    wanted = layers if isinstance(layers, (list, tuple)) else [layers]
    chosen = {
        found.number: found
        for item in wanted
        for found in _matching(model, item, known)
    }
    if not chosen:
        raise LayerError(
            f"layers={layers!r} chooses no layer; the model has {_listed(known)}"
        )
    return [chosen[index] for index in sorted(chosen)]


def _matching(model: Any, item: Any, known: list[NamedLayer]) -> list[NamedLayer]:
    if isinstance(item, keras.Layer):
        if item is model:
            return [NamedLayer(item.name, item, len(known))]
        matches = [found for found in known if found.layer is item]
        if not matches:
            raise LayerError(
                f"the layer {item.name!r} is not part of this model, which has"
                f" {_listed(known)}"
            )
        return matches
    if isinstance(item, str):
        return _named(item, known)
    if callable(item):
        return [found for found in known if item(found.layer)]
    msg = (
        f"layers must be layers, names, globs or a function of a layer, got {item!r}"
        f" ({type(item).__name__})"
    )
    raise InputTypeError(
        msg + "; name one of the model's layers, or None for the last hidden one"
    )


def _named(name: str, known: list[NamedLayer]) -> list[NamedLayer]:
    exact = [found for found in known if found.key == name]
    exact = exact or [
        found for found in known if name in {found.layer.name, found.layer.path}
    ]
    if len(exact) > 1:
        keys = ", ".join(repr(found.key) for found in exact)
        raise LayerError(
            f"the layer name {name!r} is ambiguous: it means any of {keys}; use one of"
            " these names"
        )
    if exact:
        return exact
    matches = [
        found
        for found in known
        if any(fnmatch.fnmatchcase(text, name) for text in _texts(found))
    ]
    if not matches:
        raise LayerError(f"unknown layer {name!r}; the model has {_listed(known)}")
    return matches


def _texts(found: NamedLayer) -> set[str]:
    return {found.key, found.layer.name, _path(found.layer)}


def _listed(known: list[NamedLayer]) -> str:
    return ", ".join(repr(found.key) for found in known) or "no layers"


def holder_of(model: Any, layer: Any) -> Any:
    """The innermost layer that holds another one; the model if none does."""
    holders = [
        found.layer for found in named_layers(model) if _holds(found.layer, layer)
    ]
    # The innermost holds no other holder.
    return next(
        (one for one in holders if not any(_holds(one, other) for other in holders)),
        model,
    )


def _holds(holder: Any, layer: Any) -> bool:
    return any(part is layer for part in holder._flatten_layers(include_self=False))


def fixed_batch_size(model: Any) -> int | None:
    """The one number of samples a model takes at once, as stateful networks do; None if
    any.
    """
    inputs = keras.tree.flatten(getattr(model, "inputs", None) or [])
    return next(
        (int(tensor.shape[0]) for tensor in inputs if tensor.shape[0] is not None), None
    )


def is_stateful(model: Any) -> bool:
    """Whether a layer carries something from one batch to the next, as a stateful
    recurrent layer does.
    """
    return any(getattr(found.layer, "stateful", False) for found in named_layers(model))
