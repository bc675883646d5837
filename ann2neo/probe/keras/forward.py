"""The forward pass of a Keras model, with the activations of its layers."""

from __future__ import annotations

import abc
import contextlib
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, ClassVar, NamedTuple

import keras
import numpy as np

from ann2neo.errors import ActivationError, Ann2NeoError, InputValueError, LayerError
from ann2neo.probe.adapter import Passed, Reduce, State, Tap, TapShape, TimeAxis
from ann2neo.probe.keras.capture import LayerCall, capture_calls
from ann2neo.probe.keras.layers import (
    NamedLayer,
    fixed_batch_size,
    holder_of,
    named_layers,
)
from ann2neo.probe.keras.private import CALL_ERROR, SEED_STATE, is_rematerialized
from ann2neo.probe.keras.sequences import (
    Check,
    before_call,
    check_last_step,
    every_step,
    is_recurrent,
    step_mask,
)
from ann2neo.probe.steps import common_mask, steps_first, unlike_calls

_LOG = logging.getLogger(__name__)

__all__ = [
    "KerasForward",
    "Sides",
    "make_forward",
    "state_values",
    "tap_shapes",
    "variables_of",
]


class Sides(NamedTuple):
    """What is known of the steps of a pass besides the activations.

    Parameters
    ----------
    masks : list of tensor of bool, each of shape (batch, step)
        Which steps are no padding, of each call of a layer that knows it.
    checks : list of Check
        Comparisons of last steps with the layers' own outputs.
    """

    masks: list[Any]
    checks: list[Check]

    @property
    def tensors(self) -> tuple[list[Any], list[Any]]:
        """What a compiled function can return of it."""
        return self.masks, [check.difference for check in self.checks]

    def filled(self, tensors: tuple[list[Any], list[Any]]) -> Sides:
        """Return the same with the values that a compiled function has returned."""
        masks, differences = tensors
        checks = [
            check._replace(difference=difference)
            for check, difference in zip(self.checks, differences, strict=True)
        ]
        return Sides(list(masks), checks)


class KerasForward(abc.ABC):
    """A forward pass of a Keras model.

    A backend compiles it at its first use for each kind of batch.

    Parameters
    ----------
    model : keras.Model
        A built model.
    layers : sequence of NamedLayer
        Layers to record.
    training : bool
        Value of the model's ``training`` argument.
    with_output : bool
        Also return the model's output. Without it, the backend skips everything after
        the deepest recorded layer.
    eager : bool
        Run operation by operation, so that layers inside loops and compiled functions
        are recorded.
    time : TimeAxis or None
        What is time in the outputs; None if nothing is.
    """

    failures: ClassVar[tuple[type[Exception], ...]]
    """What the backend raises on data that a model cannot take."""

    def __init__(
        self,
        model: Any,
        layers: Sequence[NamedLayer],
        *,
        training: bool,
        with_output: bool,
        eager: bool,
        time: TimeAxis | None,
    ) -> None:
        self._model, self._layers = model, tuple(layers)
        self._training, self._with_output, self._eager = training, with_output, eager
        self._time = time
        self._left_out: set[Tap] = set()

    def __call__(
        self,
        batch: Any,
        state: State,
        rng: np.random.Generator,
        reduce: Reduce | None = None,
        *,
        own: bool = False,  # noqa: ARG002
    ) -> Passed:
        """Run one batch, of which the backend makes a copy; see `Forward`."""
        passed, sides = self._pass(batch, state, rng if self._training else None)
        if self._time is not None:
            check_last_step(sides.checks)
            masks = map(keras.ops.convert_to_numpy, sides.masks)
            passed = passed._replace(mask=common_mask(list(masks)))
        if reduce is None:
            return passed
        activations = map(reduce, passed.taps, passed.activations)
        return passed._replace(activations=list(activations))

    @abc.abstractmethod
    def _pass(
        self, batch: Any, state: State, rng: np.random.Generator | None
    ) -> tuple[Passed, Sides]:
        """Run one batch, with seeds from `rng`, or the model's own if it is None."""

    @abc.abstractmethod
    def outputs_of(self, batch: Any) -> list[TapShape]:
        """Return the shapes of what is recorded of such a batch; see `Forward`."""

    @abc.abstractmethod
    def abstractly(self, batch: Any, run: Callable[[Any], None]) -> None:
        """Call `run` on symbolic tensors like those of a batch, computing nothing."""

    @abc.abstractmethod
    def _confines(self, tensor: Any) -> str | None:
        """Name the loop or function that a tensor cannot leave; None if it can."""

    def _run(
        self, batch: Any, mapping: Sequence[tuple[Any, Any]]
    ) -> tuple[Passed, Sides]:
        """Call the model on tensors without changing any of its variables.

        Parameters
        ----------
        batch : nest of tensor
            The stimuli.
        mapping : sequence of (variable, value)
            Values to use in place of the variables' own.

        Returns
        -------
        passed : Passed
            Its state holds, by the variable's id, the new value of every variable that
            the model wanted to change.
        sides : Sides
            What is known of the steps, where there is time.
        """
        scope = keras.StatelessScope(state_mapping=mapping, initialize_variables=False)
        # The scope converts values to tensors: these are what it would return.
        given = dict(scope.state_mapping)
        unbuilt = [named for named in named_layers(self._model) if _is_empty(named)]
        # A layer may be asked for several times, for one of its outputs each.
        layers = {id(named.layer): named.layer for named in self._layers}
        with scope:
            with capture_calls(list(layers.values()), self._before()) as calls:
                output = self._model(batch, training=self._training)
            # In the scope, where weights have their values.
            recorded, sides = self._recorded(calls)
        grown = [named.key for named in unbuilt if not _is_empty(named)]
        if grown:
            raise InputValueError(
                f"the layer {grown[0]!r} of {self._model.name!r} had no weights yet,"
                " and got random ones just now; load the weights of the model, which"
                " has been called now, and record again"
            )
        values = {id(v): scope.get_current_value(v) for v in variables_of(self._model)}
        # The scope returns the very object it was given where nothing was assigned.
        changed = {
            key: value
            for key, value in values.items()
            if value is not None and value is not given.get(key)
        }
        taps = tuple(tap for tap, _ in recorded)
        activations = [tensor for _, tensor in recorded]
        shown = output if self._with_output else None
        return Passed(taps, activations, shown, changed), sides

    def _before(self) -> Callable[[Any], Any] | None:
        """Return what to do before each call of a recorded layer."""
        if self._time is None or self._time.axis == "calls":
            return None
        return lambda layer: before_call(layer) if is_recurrent(layer) else None

    def _recorded(
        self, calls: Sequence[LayerCall]
    ) -> tuple[list[tuple[Tap, Any]], Sides]:
        """Number the recorded tensors in the order of layers, calls and outputs.

        Raises
        ------
        LayerError
            If a layer cannot be recorded, with the reason.
        """
        recorded: list[tuple[Tap, Any]] = []
        sides = Sides([], [])
        for named in self._layers:
            of_layer = [call for call in calls if call.layer is named.layer]
            if _is_rehearsed(self._model, named.layer, of_layer):
                of_layer = of_layer[1:]
            only = named.info.only
            if only is not None and len(of_layer) % (only.n_calls or 1):
                raise LayerError(
                    f"the layer {named.key!r} ran {len(of_layer)} times, and"
                    f" {only.n_calls} times in the model that its tensor is from, so"
                    " that it is not clear which call is meant; pass"
                    f" layers={named.key!r}"
                )
            if not any(call.outputs for call in of_layer):
                raise LayerError(self._never_ran(named, called=bool(of_layer)))
            for tensor in (tensor for call in of_layer for tensor in call.outputs):
                where = self._confines(tensor)
                if where is not None:
                    raise self._confined_error(named, where)
            if self._time is None:
                recorded += _by_call(named, of_layer)
            elif self._time.axis == "calls":
                recorded += _calls_as_steps(named, of_layer, self._time)
            else:
                recorded += _sequences(named, of_layer, self._time, sides)
        return recorded, sides

    def _tried(self, batch: Any) -> list[TapShape]:
        """Return the shapes of what is recorded of a batch by running it."""
        passed, _ = self._pass(batch, {}, None)
        n_samples = len(keras.tree.flatten(batch)[0])
        if fixed_batch_size(self._model) is None:
            # With one more sample, an output whose first axis happens to be as long as
            # the batch is recognized: the axis does not grow.
            rows = np.arange(n_samples + 1) % n_samples
            longer = keras.tree.map_structure(lambda leaf: leaf[rows], batch)
            self._pass(longer, {}, None)
        # Without what the longer batch has shown to have no batch axis.
        return tap_shapes(
            *self._with_batch_axis(passed.taps, passed.activations, n_samples)
        )

    def _with_batch_axis(
        self, taps: Sequence[Tap], activations: Sequence[Any], expected: int | None
    ) -> tuple[tuple[Tap, ...], list[Any]]:
        """Leave out outputs without a batch axis, such as a loss beside the output.

        Parameters
        ----------
        taps, activations
            What was recorded, or symbols of it.
        expected : int or None
            Number of samples in the batch; None if it may vary.

        Raises
        ------
        ActivationError
            If a layer returned no output with a batch axis.
        """
        pairs = list(zip(taps, activations, strict=True))
        rest = [pair for pair in pairs if pair[0] not in self._left_out]
        lacking = _lacking_batch_axis(rest, expected)
        for tap in sorted(lacking):
            _LOG.info("the layer %s has no batch axis there, and is left out", tap)
        self._left_out |= lacking
        kept = [pair for pair in rest if pair[0] not in lacking]
        return tuple(tap for tap, _ in kept), [tensor for _, tensor in kept]

    def _never_ran(self, named: NamedLayer, *, called: bool) -> str:
        if called:
            return f"the layer {named.key!r} returned no tensor; choose another layer"
        holder = holder_of(self._model, named.layer).name
        problem = f"the layer {named.key!r} of {holder!r} never ran on these stimuli"
        if self._eager:
            return f"{problem}; choose a layer that the model calls"
        return (
            f"{problem}, or ran inside a loop or function compiled before"
            " (@tf.function, jax.jit); choose a layer that the model calls, or pass"
            " eager=True to run loops and functions operation by operation"
        )

    def _confined_error(self, named: NamedLayer, where: str) -> LayerError:
        holder = holder_of(self._model, named.layer).name
        problem = (
            f"the layer {named.key!r} runs inside {where} of {holder!r}, where its"
            " output cannot be reached"
        )
        if self._eager:
            return LayerError(
                f"{problem} even with eager=True; record {holder!r}, or leave out the"
                " loop or rematerialization"
            )
        return LayerError(
            f"{problem}; record {holder!r} itself, or pass eager=True to run loops and"
            " functions operation by operation"
        )

    @contextlib.contextmanager
    def _explaining(self, batch: Any) -> Iterator[None]:
        """Explain what the backend raises on data that the model cannot take."""
        try:
            yield
        except Ann2NeoError:
            raise
        except self.failures as error:
            leaves = keras.tree.flatten(batch)
            shapes = ", ".join(
                f"{np.dtype(a.dtype) if a.dtype != 'object' else 'object'} {a.shape}"
                for a in leaves[:5]
            )
            if len(leaves) > 5:
                shapes += f" and {len(leaves) - 5} more"
            reason = _reason(error)
            remat = [
                named.key
                for named in named_layers(self._model)
                if is_rematerialized(named.layer)
            ]
            if remat:
                reason += (
                    f" (the layer {remat[0]!r} is rematerialized, which may need"
                    " eager=True)"
                )
            raise InputValueError(
                f"the model {self._model.name!r} cannot be run on a batch of {shapes}:"
                f" {reason[:500]}; check the stimuli against model.input_shape, and"
                f" that model(x[:1]) works{self._without_batch(leaves)}"
            ) from error

    def _without_batch(self, leaves: Sequence[Any]) -> str:
        """Say that the stimuli lack a batch axis, if they do."""
        ranks = [
            len(tensor.shape) for tensor in getattr(self._model, "inputs", None) or []
        ]
        if not ranks or [leaf.ndim + 1 for leaf in leaves] != ranks:
            return ""
        return (
            ". These seem to be single samples: show batches, as .batch(64) of a data"
            " set makes them, or x[numpy.newaxis]"
        )


def make_forward(
    model: Any,
    layers: Sequence[NamedLayer],
    *,
    training: bool,
    with_output: bool,
    eager: bool,
    time: TimeAxis | None = None,
) -> KerasForward:
    """Make a forward pass for the backend Keras runs on.

    Parameters
    ----------
    model, layers, training, with_output, eager, time
        As in `KerasForward`.

    Returns
    -------
    KerasForward
        The pass.

    Raises
    ------
    InputValueError
        If Keras runs on a backend other than TensorFlow, JAX and PyTorch.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        from ann2neo.probe.keras.tensorflow_forward import TensorFlowForward

        kind: type[KerasForward] = TensorFlowForward
    elif backend == "jax":
        from ann2neo.probe.keras.jax_forward import JaxForward

        kind = JaxForward
    elif backend == "torch":
        from ann2neo.probe.keras.torch_forward import TorchForward

        kind = TorchForward
    else:
        raise InputValueError(
            f"Keras runs on the backend {backend!r}, and ann2neo records on"
            " 'tensorflow', 'jax' and 'torch'; set KERAS_BACKEND before Keras is"
            " imported, or threshold activations yourself with"
            " Recording.from_activations"
        )
    return kind(
        model,
        layers,
        training=training,
        with_output=with_output,
        eager=eager,
        time=time,
    )


def _by_call(
    named: NamedLayer, calls: Sequence[LayerCall]
) -> Iterator[tuple[Tap, Any]]:
    """Yield every output of every call."""
    for call_index, call in enumerate(calls):
        for output_index, tensor in enumerate(call.outputs):
            yield Tap(named.info, call_index, output_index), tensor


def _calls_as_steps(
    named: NamedLayer, calls: Sequence[LayerCall], time: TimeAxis
) -> Iterator[tuple[Tap, Any]]:
    """Yield the outputs of all calls, set side by side along an axis of steps."""
    numbers = {len(call.outputs) for call in calls}
    for output_index in range(min(numbers)):
        tap = Tap(named.info, 0, output_index)
        tensors = [call.outputs[output_index] for call in calls]
        shapes = {tuple(tensor.shape[1:]) for tensor in tensors}
        if len(shapes) > 1 or len(numbers) > 1:
            raise LayerError(unlike_calls(tap, sorted(shapes)))
        yield tap, steps_first(tap, keras.ops.stack(tensors, axis=1), time)


def _sequences(
    named: NamedLayer, calls: Sequence[LayerCall], time: TimeAxis, sides: Sides
) -> Iterator[tuple[Tap, Any]]:
    """Yield the outputs of a layer with their steps, and note masks and checks."""
    for call_index, call in enumerate(calls):
        mask = step_mask(call)
        if mask is not None:
            sides.masks.append(mask)
        if is_recurrent(named.layer):
            outputs, checks = every_step(
                named.info, call_index, call, with_states=named.key in time.states
            )
            sides.checks.extend(checks)
        else:
            outputs = [
                (Tap(named.info, call_index, i), tensor)
                for i, tensor in enumerate(call.outputs)
            ]
        for tap, tensor in outputs:
            yield tap, steps_first(tap, tensor, time, keras.ops.moveaxis)


def variables_of(model: Any) -> list[Any]:
    """List every variable of a model, each once."""
    # Keras does not always count the states of recurrent layers among the variables.
    states = [
        state
        for named in named_layers(model)
        for state in getattr(named.layer, "states", None) or []
    ]
    variables = [
        *model.trainable_variables,
        *model.non_trainable_variables,
        *keras.tree.flatten(states),
    ]
    return list({id(v): v for v in variables if isinstance(v, keras.Variable)}.values())


def state_values(
    variables: Sequence[Any], state: State, rng: np.random.Generator | None
) -> list[Any]:
    """Return the values of variables before a batch.

    Seeds are drawn if there is an `rng`; other values are those carried over from the
    batch before, or else the variables' own.
    """
    values = []
    for variable in variables:
        if rng is not None and variable.name == SEED_STATE:
            # Below 2^31, which fits any type of 32 bits.
            drawn = rng.integers(2**31, size=variable.shape, dtype=np.int64)
            values.append(drawn.astype(variable.dtype))
        else:
            values.append(state.get(id(variable), variable.value))
    return values


def _is_empty(named: NamedLayer) -> bool:
    """Whether a layer may still make weights: it was never built and has none."""
    return not named.layer.built and not named.layer.weights


def _is_rehearsed(model: Any, layer: Any, calls: Sequence[LayerCall]) -> bool:
    """Whether the first call of a layer is a rehearsal.

    On TensorFlow and PyTorch, Keras calls a recurrent cell once before the loop to
    learn shapes, on the same tensors as the first step.
    """
    if (
        keras.backend.backend() == "jax"
        or len(calls) < 2
        or not _in_recurrence(model, layer)
        or any(map(_is_symbolic, calls[0].outputs))
    ):
        return False
    first, second = ([*call.inputs, *call.outputs] for call in calls[:2])
    return len(first) == len(second) and all(
        np.array_equal(keras.ops.convert_to_numpy(a), keras.ops.convert_to_numpy(b))
        for a, b in zip(first, second, strict=True)
    )


def _is_symbolic(tensor: Any) -> bool:
    """Whether a tensor has no values, as while TensorFlow traces."""
    return keras.backend.backend() == "tensorflow" and not hasattr(tensor, "numpy")


def _in_recurrence(model: Any, layer: Any) -> bool:
    holder = holder_of(model, layer)
    while holder is not model and not isinstance(holder, keras.layers.RNN):
        holder = holder_of(model, holder)
    return holder is not model


def _reason(error: Exception) -> str:
    """Extract the cause from a Keras message, without the list of arguments."""
    parts = map(str.strip, str(error).split("\n\n"))
    paragraphs = [part for part in parts if part] or [type(error).__name__]
    wrapped = len(paragraphs) > 1 and paragraphs[0].startswith(CALL_ERROR)
    text = paragraphs[1] if wrapped else paragraphs[0]
    # Keras colours its messages with terminal escape sequences.
    return re.sub("\x1b\\[[0-9;]*m", "", text)


def tap_shapes(taps: Sequence[Tap], activations: Sequence[Any]) -> list[TapShape]:
    """Return the shapes and types of what was recorded.

    Raises
    ------
    ActivationError
        If the activations are not real numbers.
    """
    shapes = []
    for tap, activation in zip(taps, activations, strict=True):
        dtype = keras.backend.standardize_dtype(activation.dtype)
        if dtype.startswith(("complex", "string")):
            raise ActivationError(
                f"the layer {tap} gives {dtype}, which has no threshold; record another"
                " layer"
            )
        shape = tuple(int(n) for n in activation.shape[1:])
        shapes.append(TapShape(tap, shape, dtype))
    return shapes


def _lacking_batch_axis(
    activations: Iterable[tuple[Tap, Any]], expected: int | None
) -> set[Tap]:
    """Find outputs whose first axis is not the batch, beside others whose first is.

    Parameters
    ----------
    activations : iterable of (Tap, tensor)
        What was recorded, or symbols of it.
    expected : int or None
        Number of samples in the batch; None if it may vary.

    Raises
    ------
    ActivationError
        If a layer returned none with a batch axis.
    """
    lacking: dict[Tap, tuple[int | None, ...]] = {}
    complete = set()
    for tap, activation in activations:
        # Not even the number of axes may be known while TensorFlow traces.
        is_known = getattr(activation.shape, "rank", 0) is not None
        shape = tuple(activation.shape) if is_known else (expected,)
        if shape and shape[0] == expected:
            complete.add(tap[:2])
        else:
            lacking[tap] = shape
    for tap, shape in lacking.items():
        if tap[:2] not in complete:
            axis = "batch" if expected is None else f"the batch of {expected}"
            raise ActivationError(
                f"the output of the layer {tap}, of shape {shape}, has no batch axis:"
                f" its first axis is not {axis}, so its units cannot be told from"
                " presentations; record another layer"
            )
    return set(lacking)
