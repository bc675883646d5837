"""Modules of a PyTorch network: their names, and the ones a user means."""

from __future__ import annotations

import fnmatch
import reprlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import nn

from ann2neo.errors import InputTypeError, LayerError
from ann2neo.probe.adapter import LayerChoice, LayerInfo
from ann2neo.probe.names import listed

__all__ = [
    "NamedModule",
    "choose_layers",
    "has_weights",
    "is_scripted",
    "modules_of",
    "named_modules",
]

_NEVER_CALLED = (
    nn.ModuleList,
    nn.ModuleDict,
    nn.ParameterList,
    nn.ParameterDict,
    # Attention uses the weights of its last layer without calling it.
    nn.modules.linear.NonDynamicallyQuantizableLinear,
)
# What they return is what the last of their parts returned, or what they took.
_NOT_IN_GLOBS = (nn.Sequential, nn.Flatten, nn.Unflatten)
_CHANNELS_LAST = (nn.Linear, nn.LayerNorm, nn.Embedding, nn.MultiheadAttention)
_CHANNELS_FIRST = (
    nn.Conv1d,
    nn.ConvTranspose1d,
    nn.BatchNorm1d,
    nn.InstanceNorm1d,
    nn.GroupNorm,
    nn.MaxPool1d,
    nn.AvgPool1d,
    nn.AdaptiveAvgPool1d,
    nn.AdaptiveMaxPool1d,
)


class NamedModule(NamedTuple):
    """A module, its description, and all of its names."""

    info: LayerInfo
    module: nn.Module
    names: tuple[str, ...]

    @property
    def key(self) -> str:
        """Name of the module."""
        return self.info.key


def named_modules(model: nn.Module) -> list[NamedModule]:
    """List every module inside a network, in the order in which PyTorch holds them.

    A module that has several names is listed once, under the first of them.
    """
    names: dict[nn.Module, list[str]] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        names.setdefault(module, []).append(name)
    names.pop(model, None)
    return [
        _named(module, of_module[0], number, tuple(of_module))
        for number, (module, of_module) in enumerate(names.items())
    ]


def _named(
    module: nn.Module, key: str, number: int, names: tuple[str, ...]
) -> NamedModule:
    # Images have their channels in front, in PyTorch; sequences, in recurrent layers
    # and transformers, behind. A module that takes both, such as ReLU, is told by the
    # number of its axes.
    channels_first: bool | None = None
    if isinstance(module, _CHANNELS_LAST):
        channels_first = False
    elif isinstance(module, _CHANNELS_FIRST):
        channels_first = True
    info = LayerInfo(key, number, type(module).__name__, channels_first=channels_first)
    return NamedModule(info, module, names)


def modules_of(model: nn.Module, infos: Sequence[LayerInfo]) -> list[NamedModule]:
    """Find the modules of some descriptions."""
    modules = _with_itself(model)
    return [modules[info.number]._replace(info=info) for info in infos]


def _with_itself(model: nn.Module) -> list[NamedModule]:
    """List the modules of a network, and the network itself as the last."""
    modules = named_modules(model)
    name = type(model).__name__
    return [*modules, _named(model, name, len(modules), (name,))]


def choose_layers(model: nn.Module, layers: LayerChoice) -> list[NamedModule]:
    """Find the modules a user means.

    Parameters
    ----------
    model : torch.nn.Module
        The network.
    layers : torch.nn.Module, type, str, predicate, or list of those
        A module; a class of modules; a name as in ``model.named_modules()``, its last
        part, or a glob over either, which leaves out sequences of modules and modules
        that only reshape; "with weights" or "with an activation"; a function of a
        module that says whether to take it; a list of those.

    Returns
    -------
    list of NamedModule
        In the order asked for, none twice.

    Raises
    ------
    LayerError
        If a module is unknown (the valid ones are listed), a name is ambiguous or that
        of a container which never runs, or nothing is chosen.
    InputTypeError
        If `layers` is none of the above.
    """
    candidates = named_modules(model)
    items = layers if isinstance(layers, (list, tuple)) else [layers]
    chosen = {
        match.info.number: match
        for item in items
        for match in _matching(model, item, candidates)
    }
    if not chosen:
        raise LayerError(
            f"layers={reprlib.repr(layers)} chooses no module; the model has"
            f" {_listed(candidates)}"
        )
    for named in chosen.values():
        if is_scripted(named.module):
            raise LayerError(
                f"the module {named.key!r} is scripted or traced, and takes no hooks;"
                " record the network as it was before torch.jit"
            )
    return list(chosen.values())


def _matching(
    model: nn.Module, item: Any, candidates: list[NamedModule]
) -> list[NamedModule]:
    running = [named for named in candidates if _may_run(named)]
    if isinstance(item, nn.Module):
        matches = [named for named in _with_itself(model) if named.module is item]
        if not matches:
            raise LayerError(
                f"the module {type(item).__name__} is not part of this model, which has"
                f" {_listed(candidates)}"
            )
        return [_checked(match, candidates) for match in matches]
    if isinstance(item, str):
        return _called(item, candidates, running)
    if isinstance(item, type):
        return [named for named in running if isinstance(named.module, item)]
    if callable(item):
        return [named for named in running if item(named.module)]
    raise InputTypeError(
        "layers must be modules, classes of modules, names, globs or a function of a"
        f" module, got {item!r} ({type(item).__name__}); name one of the model's"
        " modules, or None for the last hidden one"
    )


def _called(
    name: str, candidates: list[NamedModule], running: list[NamedModule]
) -> list[NamedModule]:
    """Find the module of a name, or those that a glob matches."""
    if name == "with weights":
        return [named for named in running if has_weights(named.module)]
    if name == "with an activation":
        return [named for named in running if _is_activation(named.module)]
    exact = [named for named in candidates if name in named.names] or [
        named for named in candidates if name in _last_parts(named)
    ]
    if len(exact) > 1:
        keys = ", ".join(repr(named.key) for named in exact)
        raise LayerError(
            f"the name {name!r} is ambiguous: it means any of {keys}; use one of these,"
            f" or all of them with '*.{name}'"
        )
    if exact:
        return [_checked(exact[0], candidates)]
    matches = [
        named
        for named in running
        if not isinstance(named.module, _NOT_IN_GLOBS)
        and any(
            fnmatch.fnmatchcase(text, name)
            for text in (*named.names, *_last_parts(named))
        )
    ]
    if not matches:
        raise LayerError(
            f"unknown layer {name!r}; the model has {_listed(candidates, name)}. A call"
            " such as torch.relu(x) is no module: record the module before it, whose"
            " output is above 0 where relu's is"
        )
    return matches


def _last_parts(named: NamedModule) -> list[str]:
    return [name.rpartition(".")[2] for name in named.names]


def has_weights(module: nn.Module) -> bool:
    """Whether a module has weights outside the modules in it."""
    return next(module.parameters(recurse=False), None) is not None


def is_scripted(module: nn.Module) -> bool:
    """Whether a module is compiled by `torch.jit`, which takes no hooks."""
    return isinstance(module, torch.jit.ScriptModule)


def _is_activation(module: nn.Module) -> bool:
    defined_in = type(module).__module__
    return defined_in == "torch.nn.modules.activation" and not isinstance(
        module, nn.MultiheadAttention
    )


def _may_run(named: NamedModule) -> bool:
    return not isinstance(named.module, _NEVER_CALLED)


def _checked(named: NamedModule, candidates: list[NamedModule]) -> NamedModule:
    """Return a module that a user asked for by name, unless it never runs."""
    if _may_run(named):
        return named
    parts = [
        repr(other.key)
        for other in candidates
        if other.key.startswith(f"{named.key}.") and _may_run(other)
    ]
    remedy = f"record its parts, such as {', '.join(parts[:3])}"
    if not parts:
        holder = named.key.rpartition(".")[0]
        remedy = f"record {holder!r}" if holder else "record another module"
    raise LayerError(
        f"the module {named.key!r} is a {named.info.type_name}, which its model never"
        f" calls, so it has no output; {remedy}"
    )


def _listed(candidates: list[NamedModule], asked: str = "") -> str:
    return listed([named.key for named in candidates], asked) or "no modules"
