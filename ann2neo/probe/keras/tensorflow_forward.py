"""The forward pass on TensorFlow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from ann2neo.probe.keras.capture import LOCK
from ann2neo.probe.keras.forward import (
    Passed,
    State,
    Tap,
    TapShape,
    check_batch_axis,
    explaining,
    run_model,
    state_values,
    tap_shapes,
    taps_of,
    variables_of,
)
from ann2neo.probe.keras.layers import NamedLayer, fixed_batch_size

__all__ = ["TensorFlowForward"]

_FAILURES = (
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    NotImplementedError,
    tf.errors.OpError,
)


class _Compiled(NamedTuple):
    """A traced pass: what it records, as symbols of known shape, and the variables it
    would change.
    """

    function: Callable[..., Any]
    taps: tuple[Tap, ...]
    symbols: list[Any]
    variables: list[Any]


class TensorFlowForward:
    """Forward pass compiled as a `tf.function` for every kind of batch; see
    `make_forward`.
    """

    def __init__(
        self,
        model: Any,
        layers: Sequence[NamedLayer],
        *,
        training: bool,
        with_output: bool,
        eager: bool,
    ) -> None:
        self._model, self._layers = model, tuple(layers)
        self._training, self._with_output, self._eager = training, with_output, eager
        self._compiled: dict[Any, _Compiled] = {}

    def __call__(
        self, batch: Any, state: State, rng: np.random.Generator | None
    ) -> Passed:
        """Run one batch; see `Forward`."""
        with explaining(self._model, batch, _FAILURES):
            tensors = [tf.convert_to_tensor(leaf) for leaf in keras.tree.flatten(batch)]
            if self._eager:
                return self._run_eagerly(batch, tensors, state, rng)
            compiled = self._compiled_for(batch, tensors)
            values = state_values(compiled.variables, state, rng)
            activations, output, after = compiled.function(tensors, values)
        for tap, activation in zip(compiled.taps, activations, strict=True):
            check_batch_axis(tap, activation.shape, tensors[0].shape[0])
        carried = {
            id(v): value for v, value in zip(compiled.variables, after, strict=True)
        }
        return Passed(compiled.taps, activations, output, carried)

    def outputs_of(self, batch: Any) -> list[TapShape]:
        """What is recorded of such a batch; see `Forward`."""
        if not self._eager:
            with explaining(self._model, batch, _FAILURES):
                tensors = [
                    tf.convert_to_tensor(leaf) for leaf in keras.tree.flatten(batch)
                ]
                compiled = self._compiled_for(batch, tensors)
            if all(tensor.shape[1:].is_fully_defined() for tensor in compiled.symbols):
                return tap_shapes(compiled.taps, compiled.symbols)
        passed = self(batch, {}, None)
        return tap_shapes(passed.taps, passed.activations)

    def abstractly(self, batch: Any, run: Callable[[Any], Any]) -> None:
        """Call `run` on symbols of a batch; see `Forward`."""
        specs = [
            self._spec(tf.convert_to_tensor(leaf)) for leaf in keras.tree.flatten(batch)
        ]

        def trace(tensors: list[Any]) -> None:
            run(keras.tree.pack_sequence_as(batch, tensors))

        with explaining(self._model, batch, _FAILURES):
            tf.function(trace, autograph=False).get_concrete_function(specs)

    def _compiled_for(self, batch: Any, tensors: list[Any]) -> _Compiled:
        structure = repr(keras.tree.pack_sequence_as(batch, list(range(len(tensors)))))
        key = (
            structure,
            tuple((tensor.dtype, tuple(tensor.shape[1:])) for tensor in tensors),
        )
        if key not in self._compiled:
            # The first tracing shows which variables the pass would change; if any,
            # they become arguments.
            compiled, changed = self._trace(batch, tensors, [])
            if changed:
                compiled, _ = self._trace(batch, tensors, changed)
            self._compiled[key] = compiled
        return self._compiled[key]

    def _trace(
        self, batch: Any, tensors: list[Any], variables: list[Any]
    ) -> tuple[_Compiled, list[Any]]:
        taps: tuple[Tap, ...] = ()
        changed: list[Any] = []

        def forward(inputs: list[Any], values: list[Any]) -> Any:
            nonlocal taps, changed
            nest = keras.tree.pack_sequence_as(batch, inputs)
            mapping = list(zip(variables, values, strict=True))
            layers = [layer.layer for layer in self._layers]
            heard, outputs, updates = run_model(
                self._model, layers, nest, mapping, self._training
            )
            taps, activations = taps_of(
                self._model, self._layers, heard, _confining_graph, eager=False
            )
            changed = [variable for variable, _ in updates]
            after = {id(variable): value for variable, value in updates}
            carried = [after.get(id(variable), value) for variable, value in mapping]
            return activations, outputs if self._with_output else None, carried

        inputs = [self._spec(tensor) for tensor in tensors]
        with LOCK:
            function = tf.function(forward, autograph=False)
            concrete = function.get_concrete_function(
                inputs, [tf.TensorSpec(v.shape, v.dtype) for v in variables]
            )
        fixed = fixed_batch_size(self._model)
        symbols = concrete.structured_outputs[0]
        for tap, symbol in zip(taps, symbols, strict=True):
            check_batch_axis(
                tap,
                tuple(symbol.shape) if symbol.shape.rank is not None else (fixed,),
                fixed,
            )
        return _Compiled(function, taps, symbols, variables), changed

    def _spec(self, tensor: Any) -> Any:
        """Spec of a tensor with any number of samples, unless the model takes
        only one.
        """
        return tf.TensorSpec(
            [fixed_batch_size(self._model), *tensor.shape[1:]], tensor.dtype
        )

    def _run_eagerly(
        self,
        batch: Any,
        tensors: list[Any],
        state: State,
        rng: np.random.Generator | None,
    ) -> Passed:
        variables = variables_of(self._model)
        variables = [
            v
            for v in variables
            if id(v) in state or (rng is not None and v.name == "seed_generator_state")
        ]
        mapping = list(zip(variables, state_values(variables, state, rng), strict=True))
        nest = keras.tree.pack_sequence_as(batch, tensors)
        with LOCK:
            before = tf.config.functions_run_eagerly()
            tf.config.run_functions_eagerly(True)
            try:
                layers = [layer.layer for layer in self._layers]
                heard, outputs, updates = run_model(
                    self._model, layers, nest, mapping, self._training
                )
            finally:
                tf.config.run_functions_eagerly(before)
        taps, activations = taps_of(
            self._model, self._layers, heard, _confining_graph, eager=True
        )
        for tap, activation in zip(taps, activations, strict=True):
            check_batch_axis(tap, activation.shape, tensors[0].shape[0])
        output = outputs if self._with_output else None
        return Passed(taps, activations, output, {id(v): value for v, value in updates})


def _confining_graph(tensor: Any) -> str | None:
    """Name of the graph that a tensor cannot leave, None if it is the pass's own or
    there is none.
    """
    if isinstance(tensor, tf.__internal__.EagerTensor):
        return None
    here = tf.compat.v1.get_default_graph()
    return (
        None
        if tensor.graph is here
        else f"a loop or compiled function ({tensor.graph.name})"
    )
