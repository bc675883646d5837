"""Modules of a PyTorch network: their names, and the ones a user means."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from ann2neo.errors import LayerError
from ann2neo.probe.adapter import LayerChoice, LayerInfo
from ann2neo.probe.choice import Choice, Named

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


class NamedModule(Named):
    """A module, its description, and all of its names."""

    @property
    def module(self) -> nn.Module:
        """The module itself."""
        module: nn.Module = self.layer
        return module


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
    last_parts = tuple(name.rpartition(".")[2] for name in names)
    return NamedModule(info, module, (names, last_parts))


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
    choice = _choice(model)
    chosen = choice.choose(layers)
    for named in chosen:
        if is_scripted(named.module):
            raise LayerError(
                f"the module {named.key!r} is scripted or traced, and takes no hooks;"
                " record the network as it was before torch.jit"
            )
        if not _may_run(named.module):
            raise _never_called(named, choice.layers)
    return chosen


def _choice(model: nn.Module) -> Choice[NamedModule]:
    """Collect what can be chosen of a network."""
    candidates = named_modules(model)
    running = [named for named in candidates if _may_run(named.module)]
    return Choice(
        noun="module",
        base=nn.Module,
        layers=candidates,
        itself=_with_itself(model)[-1],
        runs=_may_run,
        in_globs=lambda module: not isinstance(module, _NOT_IN_GLOBS),
        groups={
            "with weights": lambda: [one for one in running if has_weights(one.module)],
            "with an activation": lambda: [
                one for one in running if _is_activation(one.module)
            ],
        },
        of_several="use one of these, or all of them with '*.{name}'",
        hint=(
            ". A call such as torch.relu(x) is no module: record the module before it,"
            " whose output is above 0 where relu's is"
        ),
    )


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


def _may_run(module: nn.Module) -> bool:
    return not isinstance(module, _NEVER_CALLED)


def _never_called(named: NamedModule, candidates: Sequence[NamedModule]) -> LayerError:
    """Make an error about a module that a user asked for and that never runs."""
    parts = [
        repr(other.key)
        for other in candidates
        if other.key.startswith(f"{named.key}.") and _may_run(other.module)
    ]
    remedy = f"record its parts, such as {', '.join(parts[:3])}"
    if not parts:
        holder = named.key.rpartition(".")[0]
        remedy = f"record {holder!r}" if holder else "record another module"
    return LayerError(
        f"the module {named.key!r} is a {named.info.type_name}, which its model never"
        f" calls, so it has no output; {remedy}"
    )
