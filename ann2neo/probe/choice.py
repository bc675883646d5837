"""The layers that a user means, in a network of any framework."""

from __future__ import annotations

import dataclasses
import fnmatch
import reprlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from ann2neo.errors import InputTypeError, LayerError
from ann2neo.probe.adapter import LayerChoice, LayerInfo
from ann2neo.probe.names import listed

__all__ = ["Choice", "Named"]


class Named(NamedTuple):
    """A layer, its description, and its names.

    Parameters
    ----------
    info : LayerInfo
        The description, whose key is unique in the network.
    layer : object
        The layer itself.
    names : tuple of tuple of str
        Its names, those first that take precedence over names of other layers: of
        ``(("block.relu",), ("relu",))``, the second may be that of several layers.
    """

    info: LayerInfo
    layer: Any
    names: tuple[tuple[str, ...], ...]

    @property
    def key(self) -> str:
        """Name of the layer."""
        return self.info.key


N = TypeVar("N", bound=Named)


@dataclasses.dataclass(frozen=True)
class Choice(Generic[N]):
    """What can be chosen of a network, and how its framework calls it.

    Parameters
    ----------
    noun : str
        What the framework calls a layer.
    base : type
        The class of all layers.
    layers : sequence of Named
        The layers of the network.
    itself : Named
        The network, which can be chosen as an object.
    runs : callable
        Whether a layer can run, so that a class, a glob or a predicate may choose it.
    in_globs : callable
        Whether a glob may choose a layer.
    groups : mapping of str to callable
        Words that stand for several layers, with a function that finds them.
    special : callable
        Finds what an object means that only this framework knows; None for others.
    operations : callable
        Lists what runs between the layers and can be chosen by name.
    of_several : str
        What to do about a name of several layers; ``{name}`` stands for it.
    hint : str
        What else to say where a name is unknown.
    """

    noun: str
    base: type
    layers: Sequence[N]
    itself: N
    runs: Callable[[Any], bool] = lambda _: True
    in_globs: Callable[[Any], bool] = lambda _: True
    groups: Mapping[str, Callable[[], list[N]]] = dataclasses.field(
        default_factory=dict
    )
    special: Callable[[Any], list[N] | None] = lambda _: None
    operations: Callable[[], list[N]] = list
    of_several: str = "use one of these names"
    hint: str = ""

    def choose(self, layers: LayerChoice) -> list[N]:
        """Find the layers a user means.

        Parameters
        ----------
        layers : layer, class, str, predicate, or list of those
            A layer object; a class of layers; a name; a glob over names; a word that
            stands for several layers; a function of a layer that says whether to take
            it; a list of those.

        Returns
        -------
        list of Named
            In the order asked, where one item chooses several in that of the network;
            none twice.

        Raises
        ------
        LayerError
            If a layer is unknown (the valid ones are listed), a name is ambiguous, or
            nothing is chosen.
        InputTypeError
            If `layers` is none of the above.
        """
        items = layers if isinstance(layers, (list, tuple)) else [layers]
        chosen = {
            (match.info.number, match.info.only): match
            for item in items
            for match in self._matching(item)
        }
        if not chosen:
            raise LayerError(
                f"layers={reprlib.repr(layers)} chooses no {self.noun}; the model has"
                f" {self.listed()}"
            )
        # A layer that is chosen as a whole has all its outputs already.
        return [
            match
            for (number, only), match in chosen.items()
            if only is None or (number, None) not in chosen
        ]

    def listed(self, asked: str = "") -> str:
        """List the names of the layers for a message."""
        keys = [named.key for named in self.layers]
        return listed(keys, asked) or f"no {self.noun}s"

    def _matching(self, item: Any) -> list[N]:
        special = self.special(item)
        if special is not None:
            return special
        if isinstance(item, self.base):
            return self._object(item)
        if isinstance(item, str) and item in self.groups:
            return self.groups[item]()
        if isinstance(item, str):
            return self._called(item)
        running = [named for named in self.layers if self.runs(named.layer)]
        if isinstance(item, type):
            return [named for named in running if isinstance(named.layer, item)]
        if callable(item):
            return [named for named in running if item(named.layer)]
        noun = self.noun
        raise InputTypeError(
            f"layers must be {noun}s, names, globs or a function of a {noun}, got"
            f" {item!r} ({type(item).__name__}); name one of the model's {noun}s, or"
            " None for the last hidden one"
        )

    def _object(self, layer: Any) -> list[N]:
        matches = [
            named for named in (*self.layers, self.itself) if named.layer is layer
        ]
        if not matches:
            name = getattr(layer, "name", type(layer).__name__)
            raise LayerError(
                f"the {self.noun} {name!r} is not part of this model, which has"
                f" {self.listed()}"
            )
        return matches

    def _called(self, name: str) -> list[N]:
        """Find the layer or operation of a name, or the layers that a glob matches."""
        operations = self.operations()
        # A name that takes precedence goes before those that several may share, and
        # layers go before operations.
        exact = _of_name(name, self.layers) or _of_name(name, operations)
        if len(exact) > 1:
            keys = ", ".join(repr(named.key) for named in exact)
            raise LayerError(
                f"the {self.noun} name {name!r} is ambiguous: it means any of {keys};"
                f" {self.of_several.format(name=name)}"
            )
        matches = exact or [
            named
            for named in self.layers
            if self.runs(named.layer)
            and self.in_globs(named.layer)
            and any(
                fnmatch.fnmatchcase(text, name) for rank in named.names for text in rank
            )
        ]
        if not matches:
            message = f"unknown layer {name!r}; the model has {self.listed(name)}"
            if operations:
                keys = listed([named.key for named in operations], name)
                message += f" and the operations {keys}"
            raise LayerError(message + self.hint)
        return matches


def _of_name(name: str, candidates: Sequence[N]) -> list[N]:
    """Find what has a name, at the first rank at which something has it."""
    n_ranks = max((len(named.names) for named in candidates), default=0)
    ranks = (
        [named for named in candidates if name in named.names[rank]]
        for rank in range(n_ranks)
    )
    return next((matches for matches in ranks if matches), [])
