"""The forward pass: a model run on one batch, with the activations of the chosen layers
as tensors of the backend.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import keras
import numpy as np

from ann2neo.errors import ActivationError, Ann2NeoError, InputValueError, LayerError
from ann2neo.probe.keras.capture import Heard, listening
from ann2neo.probe.keras.layers import NamedLayer, holder_of, named_layers

__all__ = [
    "Forward",
    "Passed",
    "Tap",
    "TapShape",
    "make_forward",
    "run_model",
    "state_values",
    "taps_of",
]

State = Mapping[int, Any]
"""Values of variables that a forward pass changes, by the identity of the variable."""


class Tap(NamedTuple):
    """One tensor that is recorded: which layer, which of its calls in a pass, which of
    its outputs.
    """

    layer: NamedLayer
    call_index: int
    output_index: int

    def __str__(self) -> str:
        """Name of the layer, with call and output where they are not the first."""
        text = repr(self.layer.key)
        if self.call_index:
            text += f" (call {self.call_index})"
        return text + f" (output {self.output_index})" * bool(self.output_index)


class TapShape(NamedTuple):
    """A tensor that is recorded, the shape of one sample of it and its type."""

    tap: Tap
    shape: tuple[int, ...]
    dtype: str


class Passed(NamedTuple):
    """What one batch gave: a tensor a tap, the model's own output, and the state after
    the batch.
    """

    taps: tuple[Tap, ...]
    activations: list[Any]
    output: Any
    state: State


class Forward(Protocol):
    """A forward pass on one backend."""

    def __call__(
        self, batch: Any, state: State, rng: np.random.Generator | None
    ) -> Passed:
        """Run one batch, starting from a state, with seeds of stochastic layers drawn
        from `rng` if given.
        """

    def outputs_of(self, batch: Any) -> list[TapShape]:
        """What is recorded of such a batch, found before anything large is computed."""

    def abstractly(self, batch: Any, run: Callable[[Any], Any]) -> None:
        """Call `run` on symbols of a batch's shape and type, without computing
        anything.
        """


def make_forward(
    model: Any,
    layers: Sequence[NamedLayer],
    *,
    training: bool,
    with_output: bool,
    eager: bool,
) -> Forward:
    """Forward pass for the backend Keras runs on.

    Parameters
    ----------
    model : keras.Model
        A built model.
    layers : sequence of NamedLayer
        Layers to record.
    training : bool
        Value of the model's ``training`` argument.
    with_output : bool
        Also return the model's output. Without it the backend prunes everything behind
        the deepest recorded layer.
    eager : bool
        Run operation by operation, so that layers inside loops and compiled functions
        are heard.

    Returns
    -------
    Forward
        Compiled at its first use for each kind of batch.

    Raises
    ------
    InputValueError
        If Keras runs on a backend other than TensorFlow and JAX.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        from ann2neo.probe.keras.tensorflow_forward import TensorFlowForward

        return TensorFlowForward(
            model, layers, training=training, with_output=with_output, eager=eager
        )
    if backend == "jax":
        from ann2neo.probe.keras.jax_forward import JaxForward

        return JaxForward(
            model, layers, training=training, with_output=with_output, eager=eager
        )
    raise InputValueError(
        f"Keras runs on the backend {backend!r}, and ann2neo records on 'tensorflow'"
        " and 'jax'; set KERAS_BACKEND before Keras is imported, or threshold"
        " activations yourself with Recording.from_activations"
    )


def run_model(
    model: Any,
    layers: Sequence[Any],
    batch: Any,
    mapping: Sequence[tuple[Any, Any]],
    training: bool,
) -> tuple[list[Heard], Any, list[tuple[Any, Any]]]:
    """Call a model without changing any of its variables.

    Parameters
    ----------
    model : keras.Model
        The model.
    layers : sequence of keras.Layer
        Layers to listen to.
    batch : nest of tensor
        Its input.
    mapping : sequence of (variable, value)
        Values to use instead of the variables' own.
    training : bool
        Value of the model's ``training`` argument.

    Returns
    -------
    heard : list of Heard
        What the layers returned.
    outputs : nest of tensor
        What the model returned.
    updates : list of (variable, value)
        Variables that the model wanted to change, which it did not.
    """
    scope = keras.StatelessScope(state_mapping=mapping, initialize_variables=False)
    given = dict(scope.state_mapping)
    with listening(layers) as heard, scope:
        outputs = model(batch, training=training)
    changed = [(v, scope.get_current_value(v)) for v in variables_of(model)]
    updates = [
        (v, value)
        for v, value in changed
        if value is not None and value is not given.get(id(v))
    ]
    return heard, outputs, updates


def variables_of(model: Any) -> list[Any]:
    """Every variable of a model, states of recurrent layers too, which Keras does not
    always count among them.
    """
    states = [
        state
        for layer in named_layers(model)
        for state in getattr(layer.layer, "states", None) or []
    ]
    found = [
        *model.trainable_variables,
        *model.non_trainable_variables,
        *keras.tree.flatten(states),
    ]
    return list({id(v): v for v in found if isinstance(v, keras.Variable)}.values())


def state_values(
    variables: Sequence[Any], state: State, rng: np.random.Generator | None
) -> list[Any]:
    """Values of state variables before a batch: drawn for seeds if there is an `rng`,
    else carried, else their own.
    """
    values = []
    for variable in variables:
        if rng is not None and variable.name == "seed_generator_state":
            values.append(
                rng.integers(2**31, size=variable.shape, dtype=np.int64).astype(
                    variable.dtype
                )
            )
        else:
            values.append(state.get(id(variable), variable.value))
    return values


def taps_of(
    model: Any,
    layers: Sequence[NamedLayer],
    heard: Sequence[Heard],
    outer: Callable[[Any], str | None],
    eager: bool,
) -> tuple[tuple[Tap, ...], list[Any]]:
    """Number what was heard, or say which layer cannot be recorded and why.

    Parameters
    ----------
    model : keras.Model
        The model.
    layers : sequence of NamedLayer
        The layers listened to.
    heard : sequence of Heard
        Their calls.
    outer : callable
        Name of the loop or function a tensor is confined to, None where it can leave
        the pass.
    eager : bool
        Whether the pass ran operation by operation.

    Returns
    -------
    taps : tuple of Tap
        In the order of the layers, then of the calls, then of the outputs.
    activations : list of tensor
        One a tap.

    Raises
    ------
    LayerError
        If a layer never ran, or ran where its output cannot be had.
    """
    taps, activations = [], []
    for position, layer in enumerate(layers):
        calls = [call for call in heard if call.position == position]
        if eager and _is_rehearsed(model, layer.layer, calls):
            calls = calls[1:]
        if not any(call.outputs for call in calls):
            raise LayerError(_never_heard(model, layer, eager, called=bool(calls)))
        for call_index, call in enumerate(calls):
            for output_index, tensor in enumerate(call.outputs):
                tap = Tap(layer, call_index, output_index)
                where = outer(tensor)
                if where is not None:
                    raise LayerError(confined(model, layer, where, eager))
                taps.append(tap)
                activations.append(tensor)
    return tuple(taps), activations


def _is_rehearsed(model: Any, layer: Any, calls: Sequence[Heard]) -> bool:
    """Whether the first call is the one Keras makes on TensorFlow before a recurrent
    loop, to see shapes.
    """
    if (
        keras.backend.backend() != "tensorflow"
        or len(calls) < 2
        or not _in_recurrence(model, layer)
    ):
        return False
    first, second = ([*call.inputs, *call.outputs] for call in calls[:2])
    return len(first) == len(second) and all(
        np.array_equal(keras.ops.convert_to_numpy(a), keras.ops.convert_to_numpy(b))
        for a, b in zip(first, second, strict=True)
    )


def _in_recurrence(model: Any, layer: Any) -> bool:
    holder = holder_of(model, layer)
    while holder is not model and not isinstance(holder, keras.layers.RNN):
        holder = holder_of(model, holder)
    return holder is not model


def _never_heard(model: Any, layer: NamedLayer, eager: bool, *, called: bool) -> str:
    if called:
        return f"the layer {layer.key!r} returned no tensor; choose another layer"
    msg = (
        f"the layer {layer.key!r} of {holder_of(model, layer.layer).name!r} never ran"
        " on these stimuli"
    )
    if eager:
        return f"{msg}; choose a layer that the model calls"
    return (
        f"{msg}, or ran inside a loop or function compiled before (@tf.function,"
        " jax.jit); choose a layer that the model calls, or pass eager=True to run"
        " loops and functions operation by operation"
    )


def confined(model: Any, layer: NamedLayer, where: str, eager: bool) -> str:
    holder = holder_of(model, layer.layer).name
    msg = (
        f"the layer {layer.key!r} runs inside {where} of {holder!r}, where its output"
        " cannot be had"
    )
    if eager:
        return (
            f"{msg} even with eager=True; record {holder!r}, or leave out the loop or"
            " rematerialization"
        )
    return (
        f"{msg}; record {holder!r} itself, or pass eager=True to run loops and"
        " functions operation by operation"
    )


@contextlib.contextmanager
def explaining(
    model: Any, batch: Any, failures: tuple[type[Exception], ...]
) -> Iterator[None]:
    """Turn what a backend raises on data a model does not take into an error that says
    so.
    """
    try:
        yield
    except Ann2NeoError:
        raise
    except failures as error:
        shapes = ", ".join(
            f"{np.dtype(a.dtype) if a.dtype != 'object' else 'object'} {a.shape}"
            for a in keras.tree.flatten(batch)
        )
        text = _reason(error)
        remat = [
            layer.key
            for layer in named_layers(model)
            if getattr(layer.layer, "_remat_mode", None)
        ]
        if remat:
            text += (
                f" (the layer {remat[0]!r} is rematerialized, which may need"
                " eager=True)"
            )
        msg = f"the model {model.name!r} cannot be run on a batch of {shapes}: {text}"
        raise InputValueError(
            f"{msg}; check the stimuli against model.input_shape, and that model(x[:1])"
            " works"
        ) from error


def _reason(error: Exception) -> str:
    """The part of a Keras message that says what is wrong, without the list of
    arguments around it.
    """
    paragraphs = [part.strip() for part in str(error).split("\n\n") if part.strip()]
    wrapped = len(paragraphs) > 1 and paragraphs[0].startswith(
        "Exception encountered when calling"
    )
    text = paragraphs[1 if wrapped else 0] if paragraphs else type(error).__name__
    return re.sub("\x1b\\[[0-9;]*m", "", text)


def tap_shapes(taps: Sequence[Tap], activations: Sequence[Any]) -> list[TapShape]:
    """Shapes and types of what was recorded, refusing what has no finite number of
    units or is no real number.
    """
    found = []
    for tap, activation in zip(taps, activations, strict=True):
        dtype = keras.backend.standardize_dtype(activation.dtype)
        if dtype.startswith(("complex", "string")):
            raise ActivationError(
                f"the layer {tap} gives {dtype}, which has no threshold; record another"
                " layer"
            )
        found.append(TapShape(tap, tuple(int(n) for n in activation.shape[1:]), dtype))
    return found


def check_batch_axis(
    tap: Tap, shape: Sequence[int | None], expected: int | None
) -> None:
    """Refuse an activation whose first axis is not the batch."""
    if len(shape) == 0 or shape[0] != expected:
        text = "batch" if expected is None else f"the batch of {expected}"
        msg = (
            f"the output of the layer {tap}, of shape {tuple(shape)}, has no batch"
            f" axis: its first axis is not {text}"
        )
        raise ActivationError(
            f"{msg}, so its units cannot be told from presentations; record another"
            " layer"
        )
