"""The forward pass of a PyTorch network, with the activations of its modules."""

from __future__ import annotations

import contextlib
import functools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from ann2neo.errors import ActivationError, Ann2NeoError, InputValueError, LayerError
from ann2neo.probe.adapter import (
    Forward,
    Passed,
    Reduce,
    State,
    Tap,
    TapShape,
    TimeAxis,
)
from ann2neo.probe.nests import leaves_of, map_leaves
from ann2neo.probe.steps import common_mask, steps_first, unlike_calls
from ann2neo.probe.torch.inputs import as_tensors, device_of, dtype_of, signature_of
from ann2neo.probe.torch.keeping import Snapshot, random_states_kept, seed_all
from ann2neo.probe.torch.layers import NamedModule, has_weights, is_scripted
from ann2neo.probe.torch.sequences import (
    ModuleCall,
    batch_first,
    every_step,
    padding_mask,
    states_of_cell,
    unpacked,
)

__all__ = ["TorchForward", "as_found", "run", "tensors_of"]

_FAILURES = (
    RuntimeError,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    NotImplementedError,
    AssertionError,
)


class _EverythingHeardError(BaseException):
    """Ends a pass after the deepest recorded module.

    Not an `Exception`, which a network may catch.
    """


class TorchForward(Forward):
    """A forward pass with hooks on the recorded modules.

    Parameters
    ----------
    model : torch.nn.Module
        The network.
    modules : sequence of NamedModule
        Modules to record.
    training : bool
        Whether the network runs as in training.
    with_output : bool
        Also return the model's output. Without it, a pass may end after the deepest
        recorded module.
    whole : bool
        Run the network to its end in any case.
    time : TimeAxis or None
        What is time in the outputs; None if nothing is.
    """

    def __init__(
        self,
        model: nn.Module,
        modules: Sequence[NamedModule],
        *,
        training: bool,
        with_output: bool,
        whole: bool,
        time: TimeAxis | None = None,
    ) -> None:
        self._model, self._modules, self._time = model, tuple(modules), time
        self._training, self._with_output, self._whole = training, with_output, whole
        # PyTorch does not count what its batch normalization changes.
        self._trusting = False
        self._shapes: dict[Any, list[TapShape]] = {}
        self._last_call: int | None = None
        self._left_out: set[Tap] = set()
        self.is_stateful = False

    def __call__(
        self,
        batch: Any,
        state: State,
        rng: np.random.Generator | None,
        reduce: Reduce | None = None,
        *,
        own: bool = False,
    ) -> Passed:
        """Run one batch; see `Forward`."""
        with self._as_before():
            if "snapshot" in state:
                state["snapshot"].restore()
            if rng is not None:
                seed_all(rng)
            passed = self._run(batch, reduce or _copy, own=own)
            after = {}
            if self.is_stateful:
                after = {"snapshot": Snapshot(self._model)}
        return passed._replace(state=after)

    def outputs_of(self, batch: Any) -> list[TapShape]:
        """Return the shapes of what is recorded of such a batch; see `Forward`."""
        leaves = leaves_of(batch)
        kind = (
            repr(map_leaves(lambda _: 0, batch)),
            tuple((str(leaf.dtype), leaf.shape[1:]) for leaf in leaves),
        )
        if kind not in self._shapes:
            self._shapes[kind] = self._try(batch)
        return self._shapes[kind]

    def _try(self, batch: Any) -> list[TapShape]:
        """Run a few samples, and see what is recorded and whether a state is kept."""
        two, three = (
            map_leaves(functools.partial(_resized, n=n), batch) for n in (2, 3)
        )
        self._last_call, self.is_stateful, self._trusting = None, False, False
        with self._as_before() as before:
            seed_all(np.random.default_rng(0))
            with self._counted_calls() as n_calls:
                first = self._run(two, _copy)
            after = Snapshot(self._model)
        self._trusting = before.counted
        if before.changed:
            # Whether a change matters shows in the next pass: averages of the batch
            # normalization do not, the membrane potential of a spiking unit does.
            with self._as_before():
                after.restore()
                seed_all(np.random.default_rng(0))
                again = self._run(two, _copy)
            self.is_stateful = first.taps != again.taps or not all(
                map(_equal, first.activations, again.activations)
            )
        # A network in which weights are used again may have a loop, of any length: then
        # it is not known which call is the last.
        by_calls = self._time is not None and self._time.axis == "calls"
        may_stop = not self._whole and not self._with_output and not by_calls
        if may_stop and max(n_calls.values(), default=0) <= 1:
            self._last_call = len({tap[:2] for tap in first.taps})
        # With one more sample, an output whose first axis happens to be as long as the
        # batch is recognized: the axis does not grow.
        with self._as_before():
            seed_all(np.random.default_rng(0))
            self._run(three, _copy)
        return [
            _shape_of(tap, activation)
            for tap, activation in zip(first.taps, first.activations, strict=True)
            if tap not in self._left_out
        ]

    @contextlib.contextmanager
    def _counted_calls(self) -> Iterator[Counter[int]]:
        """Count how often each module with weights of its own runs."""
        n_calls: Counter[int] = Counter()

        def count(module: nn.Module, *_: Any) -> None:
            n_calls[id(module)] += 1

        with contextlib.ExitStack() as hooks:
            for module in self._model.modules():
                if has_weights(module) and not is_scripted(module):
                    hooks.callback(module.register_forward_hook(count).remove)
            yield n_calls

    def _as_before(self) -> contextlib.AbstractContextManager[Snapshot]:
        """Leave network and random generators as they were, and run fast inside."""
        return as_found(self._model, training=self._training, trusting=self._trusting)

    def _run(self, batch: Any, reduce: Reduce, *, own: bool = False) -> Passed:
        """Call the network on a batch and reduce what its modules return."""
        n_samples = len(leaves_of(batch)[0])
        heard: dict[tuple[int, int, int, str], tuple[Tap, Any]] = {}
        masks: list[torch.Tensor] = []
        n_calls: Counter[int] = Counter()
        place_of = {id(named.module): i for i, named in enumerate(self._modules)}

        def hear(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            place = place_of[id(module)]
            info = self._modules[place].info
            call_index = n_calls[place]
            n_calls[place] += 1
            call = ModuleCall(module, args, kwargs, output)
            tensors = tensors_of(unpacked(module, output))
            state_of = {} if self._time is None else states_of_cell(module)
            wholes = [
                (
                    Tap(info, call_index, i, state_of.get(i, "")),
                    batch_first(module, tensor, i),
                )
                for i, tensor in enumerate(tensors)
            ]
            if self._time is not None and self._time.axis != "calls":
                mask = padding_mask(call)
                masks.extend([] if mask is None else [mask])
                if isinstance(module, nn.RNNBase):
                    with_states = info.key in self._time.states
                    wholes = every_step(wholes[0][0], call, with_states=with_states)
            complete = {
                tap
                for tap, whole in wholes
                if whole.ndim and whole.shape[0] == n_samples
            }
            for tap, whole in wholes:
                if not complete:
                    raise _no_batch_axis(tap, whole, n_samples)
                if tap not in complete:
                    # Such as a loss beside the output.
                    self._left_out.add(tap)
                if tap in self._left_out:
                    continue
                tensor = whole
                if self._time is not None and self._time.axis != "calls":
                    tensor = steps_first(tap, whole, self._time, torch.movedim)
                key = (place, call_index, tap.output_index, tap.state)
                heard[key] = (tap, reduce(tap, tensor))
            if n_calls.total() == self._last_call:
                raise _EverythingHeardError

        # PyTorch's hooks run in the order in which they were added, so that ours hear
        # what the user's own hooks return.
        with contextlib.ExitStack() as hooks:
            for named in self._modules:
                handle = named.module.register_forward_hook(hear, with_kwargs=True)
                hooks.callback(handle.remove)
            output: list[torch.Tensor] = []
            with contextlib.suppress(_EverythingHeardError):
                output = run(self._model, batch, own=own)
        for place, named in enumerate(self._modules):
            if not any(key[0] == place for key in heard):
                raise LayerError(self._never_ran(named, called=place in n_calls))
        # By place, call and output; the states of one output keep their order.
        recorded = [heard[key] for key in sorted(heard, key=lambda key: key[:3])]
        if self._time is not None and self._time.axis == "calls":
            recorded = list(_calls_as_steps(recorded, self._time))
        return Passed(
            tuple(tap for tap, _ in recorded),
            [activation for _, activation in recorded],
            output if self._with_output else None,
            {},
            common_mask([mask.cpu().numpy() for mask in masks]),
        )

    def _never_ran(self, named: NamedModule, *, called: bool) -> str:
        if called:
            return f"the layer {named.key!r} returned no tensor; choose another layer"
        return (
            f"the layer {named.key!r} never ran on these stimuli; choose a layer that"
            " the model calls, as layer(x) and not by its forward method, its weights"
            " or a compiled function"
        )


@contextlib.contextmanager
def as_found(
    model: nn.Module, *, training: bool, trusting: bool = False
) -> Iterator[Snapshot]:
    """Run a network inside the block, and leave it as it was found.

    Parameters
    ----------
    model : torch.nn.Module
        The network.
    training : bool
        Whether it runs as in training.
    trusting : bool, default False
        As for `Snapshot`.

    Yields
    ------
    Snapshot
        The network as it was found. Its `changed` says after the block whether a pass
        had changed it.
    """
    fused = torch.backends.mha.get_fastpath_enabled()
    # An encoder may pack sequences of several lengths, so that the outputs of the
    # modules in it have no axes.
    packs = any(isinstance(module, nn.TransformerEncoder) for module in model.modules())
    with random_states_kept(), torch.inference_mode():
        before = Snapshot(model, trusting=trusting)
        try:
            model.train(training)
            torch.backends.mha.set_fastpath_enabled(fused and not packs)
            yield before
        finally:
            torch.backends.mha.set_fastpath_enabled(fused)
            before.restore()


def tensors_of(nest: Any) -> list[torch.Tensor]:
    """List the tensors that a module returns, dictionaries in the order of keys."""
    return [leaf for leaf in leaves_of(nest) if isinstance(leaf, torch.Tensor)]


def _resized(leaf: npt.NDArray[Any], n: int) -> npt.NDArray[Any]:
    return leaf[np.arange(n) % len(leaf)]


def _copy(_tap: Tap, tensor: torch.Tensor) -> torch.Tensor:
    # What follows may overwrite it, as ReLU(inplace=True) does.
    return tensor.detach().clone()


def _calls_as_steps(
    recorded: Sequence[tuple[Tap, torch.Tensor]], time: TimeAxis
) -> Iterator[tuple[Tap, torch.Tensor]]:
    """Set the outputs of all calls of a module side by side, along an axis of steps."""
    by_output: dict[Tap, list[torch.Tensor]] = {}
    for tap, tensor in recorded:
        by_output.setdefault(tap._replace(call_index=0), []).append(tensor)
    n_calls = {
        layer: max(len(t) for tap, t in by_output.items() if tap.layer == layer)
        for layer in {tap.layer for tap in by_output}
    }
    for tap, tensors in by_output.items():
        shapes = {tuple(tensor.shape[1:]) for tensor in tensors}
        if len(shapes) > 1 or len(tensors) != n_calls[tap.layer]:
            raise LayerError(unlike_calls(tap, sorted(shapes)))
        yield tap, steps_first(tap, torch.stack(tensors, dim=1), time)


def _no_batch_axis(tap: Tap, tensor: torch.Tensor, n_samples: int) -> ActivationError:
    return ActivationError(
        f"the output of the layer {tap}, of shape {tuple(tensor.shape)}, has no batch"
        f" axis: its first axis is not the batch of {n_samples}, so its units cannot be"
        " told from presentations; record another layer"
    )


def _shape_of(tap: Tap, activation: torch.Tensor) -> TapShape:
    if activation.is_complex() or activation.layout != torch.strided:
        raise ActivationError(
            f"the layer {tap} gives {activation.dtype} ({activation.layout}), which has"
            " no threshold; record another layer"
        )
    dtype = str(activation.dtype).removeprefix("torch.")
    return TapShape(tap, tuple(activation.shape[1:]), dtype)


def _equal(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.shape == other.shape and bool(torch.equal(one, other))


def run(model: nn.Module, batch: Any, *, own: bool = False) -> list[torch.Tensor]:
    """Call a network on a batch of arrays.

    Parameters
    ----------
    model : torch.nn.Module
        The network.
    batch : nest of array
        The batch.
    own : bool, default False
        Whether the network may change its arrays.

    Returns
    -------
    list of tensor
        What it returns; of a Hugging Face model, the logits.

    Raises
    ------
    InputValueError
        If it cannot be run on them, with the reason.
    """
    try:
        inputs = as_tensors(batch, device_of(model), dtype_of(model), own=own)
        output = signature_of(model).call(model, inputs)
    except Ann2NeoError:
        raise
    except torch.OutOfMemoryError as error:
        raise InputValueError(
            f"a batch of {len(leaves_of(batch)[0])} samples does not fit into the"
            f" memory of {device_of(model)}; pass a smaller batch_size"
        ) from error
    except _FAILURES as error:
        shapes = ", ".join(f"{leaf.dtype} {leaf.shape}" for leaf in leaves_of(batch))
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise InputValueError(
            f"the model {type(model).__name__!r} ({dtype_of(model)} on"
            f" {device_of(model)}) cannot be run on a batch of {shapes}: {reason};"
            f" {_remedy(model, batch)}"
        ) from error
    if isinstance(output, Mapping) and "logits" in output:
        return [output["logits"]]
    return tensors_of(output)


def _remedy(model: nn.Module, batch: Any) -> str:
    """Say what a user can do about stimuli on which a network does not run."""
    taken = signature_of(model).keywords
    if isinstance(batch, Mapping) and taken is not None and not taken >= set(batch):
        return (
            f"the stimuli have the entries {', '.join(map(repr, batch))}, and the"
            f" arguments of forward are {', '.join(map(repr, sorted(taken)))}; name"
            " them alike, and the labels 'labels'"
        )
    return (
        "check that the stimuli have a batch axis and the type that the model takes,"
        " and that model(x[:1]) works"
    )
