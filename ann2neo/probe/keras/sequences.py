"""Sequences of Keras layers: every step of recurrent layers, and masks of padding."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import keras

from ann2neo.errors import LayerError
from ann2neo.probe.adapter import LayerInfo, Tap
from ann2neo.probe.keras.capture import LayerCall
from ann2neo.probe.keras.private import (
    SEED_STATE,
    dropout_drawn,
    dropout_forgotten,
    mask_of,
    takes_training,
)

__all__ = [
    "Check",
    "RecurrentCall",
    "before_call",
    "check_last_step",
    "every_step",
    "is_recurrent",
    "step_mask",
]

_TOLERANCE = {"float16": 1e-2, "bfloat16": 5e-2}
"""Largest difference of a last step from the layer's own output; 1e-4 otherwise."""


class Check(NamedTuple):
    """How far the last step of a sequence is from the layer's own output.

    `difference` is a tensor, which is compared with `most`.
    """

    tap: Tap
    difference: Any
    most: float


class RecurrentCall(NamedTuple):
    """What a recurrent layer starts from: its state, and the seeds of its dropout."""

    states: list[Any]
    seeds: list[tuple[Any, Any]]
    generators: Any


def is_recurrent(layer: Any) -> bool:
    """Whether a layer runs a cell over steps."""
    return isinstance(layer, (keras.layers.RNN, keras.layers.Bidirectional))


def before_call(layer: Any) -> RecurrentCall:
    """Note what a recurrent layer is about to start from."""
    states = [
        [v.value for v in keras.tree.flatten(part.states)]
        if part.stateful and part.states is not None
        else None
        for part in _parts(layer)
    ]
    seeds = [(v, v.value) for v in layer.variables if v.name == SEED_STATE]
    generators = None
    if keras.backend.backend() == "torch":
        import torch

        generators = torch.get_rng_state()
    return RecurrentCall(states, seeds, generators)


def every_step(
    layer: LayerInfo, call_index: int, call: LayerCall, *, with_states: bool
) -> tuple[list[tuple[Tap, Any]], list[Check]]:
    """Return the output of a recurrent layer after every step.

    A layer that returns only its last output is run again, step by step by its own
    cell, and so is one whose states are wanted.

    Parameters
    ----------
    layer : LayerInfo
        The layer.
    call_index : int
        Number of the call.
    call : LayerCall
        The call.
    with_states : bool
        Whether to return the layer's other states as well.

    Returns
    -------
    outputs : list of (Tap, tensor)
        Tensors of shape (batch, step, ...). The last states that a layer returns beside
        its output are left out.
    checks : list of Check
        Comparisons with what the layer itself has returned.
    """
    recurrent = call.layer
    n_outputs = 1
    if getattr(recurrent, "merge_mode", "") is None:
        n_outputs = 2
    own = [
        (Tap(layer, call_index, i, _OUTPUT), tensor)
        for i, tensor in enumerate(call.outputs[:n_outputs])
    ]
    if recurrent.return_sequences and not with_states:
        return own, []
    given = _arguments(call)
    outputs: list[tuple[Tap, Any]] = []
    checks = []
    mask = given.get("mask")
    for (tap, tensor), (steps, last) in zip(own, _run(call, given), strict=True):
        for name, values in steps.items():
            if name == _OUTPUT or with_states:
                outputs.append((tap._replace(state=name), values))
        same = steps[_OUTPUT] if recurrent.return_sequences else last
        # Where a step is masked, layers may return zeros.
        zeros = any(part.zero_output_for_mask for part in _parts(recurrent))
        if mask is None or not (recurrent.return_sequences or zeros):
            ops = keras.ops
            scale = 1 + ops.max(ops.abs(tensor))
            difference = ops.max(ops.abs(same - tensor)) / scale
            dtype = keras.backend.standardize_dtype(tensor.dtype)
            checks.append(Check(tap, difference, _TOLERANCE.get(dtype, 1e-4)))
    return outputs, checks


def _arguments(call: LayerCall) -> dict[str, Any]:
    """Return the arguments of a recurrent layer by name, leaving out those of None."""
    args, kwargs = call.arguments
    names = ("sequences", "initial_state", "mask", "training")
    given = dict(zip(names, args, strict=False)) | kwargs
    return {name: value for name, value in given.items() if value is not None}


def _run(call: LayerCall, given: dict[str, Any]) -> list[tuple[dict[str, Any], Any]]:
    """Run the cells of a layer step by step.

    Returns
    -------
    list of (dict of str to tensor, tensor)
        Of each output of the layer, the states by name, shape (batch, step, ...), and
        the output after the last step.
    """
    parts = _parts(call.layer)
    starts: list[Any] = [None] * len(parts)
    initial = given.get("initial_state")
    if initial is not None:
        initial = list(initial) if keras.tree.is_nested(initial) else [initial]
        n = len(initial) // len(parts)
        starts = [initial[i * n : (i + 1) * n] for i in range(len(parts))]
    runs = []
    with _same_noise(call.begun):
        for part, start, carried in zip(parts, starts, call.begun.states, strict=True):
            begin = start if start is not None else carried
            runs.append(_scanned(part, begin, given))
    if len(runs) == 1:
        return runs
    (forward, last), (backward, first) = runs
    # Step for step beside the forward direction, as the layer sets them.
    backward = {name: keras.ops.flip(x, axis=1) for name, x in backward.items()}
    mode = call.layer.merge_mode
    if mode is None:
        return [(forward, last), (backward, first)]
    merge = _MERGING[mode]
    merged = {name: merge(x, backward[name]) for name, x in forward.items()}
    return [(merged, merge(last, first))]


def check_last_step(checks: Sequence[Check]) -> None:
    """Raise if a last step is not the layer's own output."""
    for tap, difference, most in checks:
        value = float(keras.ops.convert_to_numpy(difference))
        # NaN is found where the activations are compared.
        if value > most:
            raise LayerError(
                f"run step by step, the cell of {tap} ends {value:.3g} away from the"
                " layer's own output, so its steps are not what the layer computes;"
                " record it with return_sequences=True, or without time_axis"
            )


def step_mask(call: LayerCall) -> Any:
    """Return the mask of the steps of an output, or else of what entered the layer.

    Returns
    -------
    tensor of bool, shape (batch, step), or None
        True where a step is no padding.
    """
    given = keras.tree.flatten(call.arguments[1].get("mask"))
    candidates = [
        *map(mask_of, call.outputs[:1]),
        *(one for one in given[:1] if keras.ops.is_tensor(one)),
        *map(mask_of, call.inputs[:1]),
    ]
    mask = next((one for one in candidates if one is not None), None)
    if mask is None or len(mask.shape) != 2:
        return None
    # Keras turns the sequence, and leaves its mask as it was.
    turned = getattr(call.layer, "go_backwards", False)
    return keras.ops.flip(mask, axis=1) if turned else mask


_OUTPUT = "h"
"""Name of the output of a recurrent layer among its states."""


def _parts(layer: Any) -> list[Any]:
    if isinstance(layer, keras.layers.Bidirectional):
        return [layer.forward_layer, layer.backward_layer]
    return [layer]


def _scanned(
    layer: Any, initial: list[Any] | None, given: dict[str, Any]
) -> tuple[dict[str, Any], Any]:
    """Run a cell over all steps in the order in which its layer takes them."""
    ops, cell = keras.ops, layer.cell
    sequences, training = given["sequences"], bool(given.get("training"))
    mask = given.get("mask")
    mask = None if mask is None else keras.tree.flatten(mask)[0]
    if initial is None:
        initial = layer.get_initial_state(ops.shape(sequences)[0])
    states = keras.tree.map_structure(
        lambda state: ops.cast(state, cell.compute_dtype), list(initial)
    )
    inputs = ops.moveaxis(sequences, 1, 0)
    steps = [inputs] if mask is None else [inputs, ops.moveaxis(mask, 1, 0)]
    if layer.go_backwards:
        steps = [ops.flip(one, axis=0) for one in steps]
    options = {"training": training} if takes_training(cell) else {}

    def call(inputs: Any, states: Any) -> list[Any]:
        output, after = cell(inputs, states, **options)
        after = after if keras.tree.is_nested(after) else [after]
        return [output, *after]

    def step(carry: list[Any], now: list[Any]) -> tuple[list[Any], list[Any]]:
        after = call(now[0], carry[1:])
        if mask is not None:
            after = keras.tree.map_structure(
                lambda new, old: ops.where(_reach(now[1], new), new, old), after, carry
            )
        return after, after

    dropout_drawn(layer, sequences[:, 0], states)
    first = call(inputs[0], states)
    carry, every = ops.scan(step, [ops.zeros_like(first[0]), *states], steps)
    dropout_forgotten(layer)
    by_name = {
        name: ops.cast(ops.moveaxis(tensor, 0, 1), layer.compute_dtype)
        for name, tensor in _named_states(layer, every)
    }
    return by_name, ops.cast(carry[0], layer.compute_dtype)


def _reach(mask: Any, like: Any) -> Any:
    """Give a mask of shape (batch,) as many axes as a state has."""
    extra = (1,) * (len(like.shape) - 1)
    return keras.ops.reshape(mask, (-1, *extra))


def _named_states(layer: Any, every: list[Any]) -> Iterator[tuple[str, Any]]:
    """Name the output of a cell and its states.

    Keras' own cells return their first state. The second of an LSTM is its memory.
    """
    yield _OUTPUT, every[0]
    if isinstance(layer, _OF_KERAS):
        if len(every) > 2:
            yield "c", every[2]
        return
    for number, tensor in enumerate(keras.tree.flatten(every[1:])):
        yield f"state_{number}", tensor


_OF_KERAS = (
    keras.layers.LSTM,
    keras.layers.GRU,
    keras.layers.SimpleRNN,
    keras.layers.ConvLSTM1D,
    keras.layers.ConvLSTM2D,
    keras.layers.ConvLSTM3D,
)


_MERGING: dict[str, Callable[[Any, Any], Any]] = {
    "concat": lambda one, other: keras.ops.concatenate([one, other], axis=-1),
    "sum": lambda one, other: one + other,
    "ave": lambda one, other: (one + other) / 2,
    "mul": lambda one, other: one * other,
}
"""How a bidirectional layer joins its two directions."""


@contextlib.contextmanager
def _same_noise(begun: RecurrentCall) -> Iterator[None]:
    """Draw the dropout inside the block as the layer itself has drawn it."""
    after = [(v, v.value) for v, _ in begun.seeds]
    for v, value in begun.seeds:
        v.assign(value)
    if begun.generators is not None:
        import torch

        state = torch.get_rng_state()
        torch.set_rng_state(begun.generators)
    try:
        yield
    finally:
        for v, value in after:
            v.assign(value)
        if begun.generators is not None:
            torch.set_rng_state(state)
