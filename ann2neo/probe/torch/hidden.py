"""The last hidden layer, whose output enters the last module with weights."""

from __future__ import annotations

import contextlib
import operator
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from ann2neo.errors import LayerError
from ann2neo.probe.adapter import LayerInfo, OutputChoice
from ann2neo.probe.nests import map_leaves
from ann2neo.probe.torch.forward import as_found, run, tensors_of
from ann2neo.probe.torch.layers import has_weights, is_scripted, named_modules

__all__ = ["last_hidden_layer"]

_WALKED_OVER = (
    nn.Flatten,
    nn.Unflatten,
    nn.Identity,
    nn.modules.dropout._DropoutNd,
    nn.modules.pooling._MaxPoolNd,
    nn.modules.pooling._AvgPoolNd,
    nn.modules.pooling._AdaptiveAvgPoolNd,
    nn.modules.pooling._AdaptiveMaxPoolNd,
    nn.modules.pooling._LPPoolNd,
)
_RESHAPING = {
    "_to_copy",
    "_unsafe_view",
    "clone",
    "contiguous",
    "expand",
    "permute",
    "select",
    "slice",
    "squeeze",
    "t",
    "transpose",
    "unsqueeze",
    "view",
}
_POOLING = {
    "_adaptive_avg_pool2d",
    "_adaptive_avg_pool3d",
    "adaptive_max_pool2d",
    "amax",
    "avg_pool2d",
    "avg_pool3d",
    "max_pool2d_with_indices",
    "max_pool3d_with_indices",
    "mean",
}
# Above 0 where their input is, which is recorded instead.
_SIGN_KEEPING = {"elu", "gelu", "hardtanh", "leaky_relu", "relu", "silu", "tanh"}
_OPERATIONS_WALKED_OVER = (
    _RESHAPING | _POOLING | _SIGN_KEEPING | {f"{name}_" for name in _SIGN_KEEPING}
)


class Event(NamedTuple):
    """A module that returned, or an operation, with the tensors it took and made."""

    source: Any
    inputs: list[torch.Tensor]
    outputs: list[torch.Tensor]
    call_index: int
    began: int


class _Operations(TorchDispatchMode):
    """Notes every operation of PyTorch in a list."""

    def __init__(self, events: list[Event]) -> None:
        super().__init__()
        self._events = events

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # To be passed over by the compiler, PyTorch would load it.
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        del types
        outputs = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        inputs = tensors_of((args, kwargs or {}))
        now = len(self._events)
        self._events.append(Event(name, inputs, tensors_of(outputs), 0, now))
        return outputs


@contextlib.contextmanager
def _traced(model: nn.Module) -> Iterator[list[Event]]:
    """Note the operations and the calls of modules in the order in which they end.

    Parameters
    ----------
    model : torch.nn.Module
        The network, which runs inside the block.

    Yields
    ------
    list of Event
        Filled event by event; an operation is named by a str.
    """
    events: list[Event] = []
    begun: dict[int, list[int]] = {}
    n_calls: dict[int, int] = {}

    def begin(module: nn.Module, _inputs: Any) -> None:
        begun.setdefault(id(module), []).append(len(events))

    def end(module: nn.Module, inputs: Any, kwargs: Any, output: Any) -> None:
        call_index = n_calls.get(id(module), 0)
        n_calls[id(module)] = call_index + 1
        events.append(
            Event(
                module,
                tensors_of((inputs, kwargs)),
                tensors_of(output),
                call_index,
                begun[id(module)].pop(),
            )
        )

    with contextlib.ExitStack() as hooks:
        for module in model.modules():
            if module is not model and not is_scripted(module):
                hooks.callback(module.register_forward_pre_hook(begin).remove)
                hooks.callback(
                    module.register_forward_hook(end, with_kwargs=True).remove
                )
        # Without inference mode, in which operations are not taken apart.
        with torch.inference_mode(False), torch.no_grad(), _Operations(events):
            yield events


def last_hidden_layer(model: nn.Module, batch: Any) -> LayerInfo:
    """Walk back from the output of a network to its last hidden module.

    Parameters
    ----------
    model : torch.nn.Module
        The network.
    batch : nest of ndarray
        Some stimuli.

    Returns
    -------
    LayerInfo
        The output that enters the last module with weights, after walking back over
        flattening, reshaping, dropout, pooling, and activations that are called as
        functions.

    Raises
    ------
    LayerError
        If there is no such module, or more than one; candidates are listed.
    """
    weights = {id(parameter) for parameter in model.parameters()}
    two = map_leaves(operator.itemgetter(slice(2)), batch)
    with as_found(model, training=False), _traced(model) as events:
        outputs = run(model, two)
    if len(outputs) != 1:
        raise _ambiguous(model, f"the model returns {len(outputs)} tensors")
    head = _head(events, outputs[0], weights)
    if head is None:
        raise _ambiguous(
            model, "its output cannot be followed back to a module with weights"
        )
    name = _name_of(model, head.source)
    tensor, before = _data(head, weights, model), head.began
    while True:
        found = _maker(events, tensor, before)
        if found is None:
            raise LayerError(
                "the model has no hidden layer: its input enters its last module with"
                f" weights, {name!r}; name the module to record, such as"
                f" layers={name!r}"
            )
        if isinstance(found.source, str):
            if found.source not in _OPERATIONS_WALKED_OVER:
                raise _ambiguous(
                    model, f"what enters {name!r} comes from the call {found.source!r}"
                )
        elif not isinstance(found.source, _WALKED_OVER):
            break
        tensor, before = _data(found, weights, model), found.began
    info = next(
        named.info for named in named_modules(model) if named.module is found.source
    )
    place = next(i for i, out in enumerate(found.outputs) if out is tensor)
    return info._replace(only=OutputChoice(found.call_index, place))


def _head(
    events: Sequence[Event], output: torch.Tensor, weights: set[int]
) -> Event | None:
    """Find the last call of a module with weights on the way to the output."""
    tensor, before = output, len(events)
    while True:
        found = _maker(events, tensor, before)
        if found is None:
            break
        if not isinstance(found.source, str) and has_weights(found.source):
            return found
        data = [one for one in found.inputs if id(one) not in weights]
        if len(data) != 1:
            break
        tensor, before = data[0], found.began
    # Where operations hide the way back, the last module with weights that ran.
    weighted = [
        event
        for event in events
        if isinstance(event.source, nn.Module) and has_weights(event.source)
    ]
    return weighted[-1] if weighted else None


def _maker(events: Sequence[Event], tensor: torch.Tensor, before: int) -> Event | None:
    """Find the innermost module that returned a tensor, or else the operation.

    Parameters
    ----------
    events : sequence of Event
        What happened.
    tensor : tensor
        A tensor.
    before : int
        Number of the event at which the tensor is looked at; in place, later events may
        have overwritten it, and earlier ones may have made an earlier value of it.

    Returns
    -------
    Event or None
        None if nothing made it: it is an input.
    """
    found: Event | None = None
    for event in reversed(events[:before]):
        if not any(out is tensor for out in event.outputs):
            continue
        if event.source == "lift_fresh":
            # A new tensor of NumPy's values: an input.
            return found
        if isinstance(event.source, str):
            # The operation that wrote the values; of the modules that returned them,
            # the innermost one ended first.
            return found or event
        if _passed_on(events, event, tensor):
            # Such as dropout, which returns what it took: the end of the search, unless
            # a module around it was found already.
            return found or event
        found = event
    return found


def _passed_on(events: Sequence[Event], event: Event, tensor: torch.Tensor) -> bool:
    """Whether a module returned a tensor that it took without changing it."""
    end = next(number for number, one in enumerate(events) if one is event)
    return any(one is tensor for one in event.inputs) and not any(
        isinstance(one.source, str) and any(out is tensor for out in one.outputs)
        for one in events[event.began : end]
    )


def _data(event: Event, weights: set[int], model: nn.Module) -> torch.Tensor:
    """Return the only tensor that enters, apart from weights."""
    data = {id(one): one for one in event.inputs if id(one) not in weights}
    if len(data) != 1:
        name = event.source
        if not isinstance(name, str):
            name = _name_of(model, name)
        raise _ambiguous(model, f"{name!r} takes {len(data)} inputs")
    return next(iter(data.values()))


def _name_of(model: nn.Module, module: nn.Module) -> str:
    return next(str(name) for name, one in model.named_modules() if one is module)


def _ambiguous(model: nn.Module, why: str) -> LayerError:
    names = [
        repr(name)
        for name, module in model.named_modules()
        if name and has_weights(module)
    ]
    return LayerError(
        f"the last hidden layer is ambiguous: {why}; name it with layers=, candidates"
        f" are {', '.join(names) or 'none'}"
    )
