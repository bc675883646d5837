"""The forward pass on TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from ann2neo.probe.adapter import Passed, State, Tap, TapShape
from ann2neo.probe.keras.capture import LOCK
from ann2neo.probe.keras.forward import (
    KerasForward,
    Sides,
    state_values,
    tap_shapes,
    variables_of,
)
from ann2neo.probe.keras.layers import fixed_batch_size
from ann2neo.probe.keras.private import SEED_STATE

__all__ = ["TensorFlowForward"]


class _Compiled(NamedTuple):
    """A traced pass, what it records as symbols, and the variables it would change.

    `sides` holds symbols of masks and checks.
    """

    function: Callable[..., Any]
    taps: tuple[Tap, ...]
    symbols: list[Any]
    variables: list[Any]
    sides: Sides


class TensorFlowForward(KerasForward):
    """Forward pass, compiled as a `tf.function` for each kind of batch."""

    failures = (
        ValueError,
        TypeError,
        AttributeError,
        LookupError,
        NotImplementedError,
        tf.errors.OpError,
    )

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._compiled: dict[Any, _Compiled] = {}

    def _pass(
        self, batch: Any, state: State, rng: np.random.Generator | None
    ) -> tuple[Passed, Sides]:
        """Run one batch; see `KerasForward`."""
        with self._explaining(batch):
            tensors = [tf.convert_to_tensor(leaf) for leaf in keras.tree.flatten(batch)]
            if self._eager:
                return self._run_eagerly(batch, tensors, state, rng)
            compiled = self._compiled_for(batch, tensors)
            values = state_values(compiled.variables, state, rng)
            activations, output, after, sides = compiled.function(tensors, values)
        taps, activations = self._with_batch_axis(
            compiled.taps, activations, tensors[0].shape[0]
        )
        carried = dict(zip(map(id, compiled.variables), after, strict=True))
        passed = Passed(taps, activations, output, carried)
        return passed, compiled.sides.filled(sides)

    def outputs_of(self, batch: Any) -> list[TapShape]:
        """Return the shapes of what is recorded of such a batch; see `Forward`."""
        if not self._eager:
            with self._explaining(batch):
                tensors = [
                    tf.convert_to_tensor(leaf) for leaf in keras.tree.flatten(batch)
                ]
                compiled = self._compiled_for(batch, tensors)
            taps, symbols = self._with_batch_axis(
                compiled.taps, compiled.symbols, fixed_batch_size(self._model)
            )
            # Some layers hide the shapes of their outputs from the tracing.
            if all(tensor.shape[1:].is_fully_defined() for tensor in symbols):
                return tap_shapes(taps, symbols)
        return self._tried(batch)

    def abstractly(self, batch: Any, run: Callable[[Any], None]) -> None:
        """Call `run` on symbols of a batch; see `KerasForward`."""
        specs = [
            self._spec(tf.convert_to_tensor(leaf)) for leaf in keras.tree.flatten(batch)
        ]

        def trace(tensors: list[Any]) -> None:
            run(keras.tree.pack_sequence_as(batch, tensors))

        with self._explaining(batch):
            tf.function(trace, autograph=False).get_concrete_function(specs)

    def _compiled_for(self, batch: Any, tensors: list[Any]) -> _Compiled:
        # The structure of the nest as text, since a dict cannot be a key. Without the
        # number of samples: one compiled pass takes batches of any size.
        key = (
            repr(keras.tree.pack_sequence_as(batch, list(range(len(tensors))))),
            tuple((tensor.dtype, tuple(tensor.shape[1:])) for tensor in tensors),
        )
        if key not in self._compiled:
            self._compiled[key] = self._trace(batch, tensors, [])
        return self._compiled[key]

    def _trace(self, batch: Any, tensors: list[Any], variables: list[Any]) -> _Compiled:
        runs: list[tuple[Passed, Sides]] = []

        def forward(inputs: list[Any], values: list[Any]) -> Any:
            mapping = list(zip(variables, values, strict=True))
            run, sides = self._run(keras.tree.pack_sequence_as(batch, inputs), mapping)
            runs.append((run, sides))
            carried = [run.state.get(id(v), value) for v, value in mapping]
            return run.activations, run.output, carried, sides.tensors

        inputs = [self._spec(tensor) for tensor in tensors]
        with LOCK:
            function = tf.function(forward, autograph=False)
            concrete = function.get_concrete_function(
                inputs, [tf.TensorSpec(v.shape, v.dtype) for v in variables]
            )
        # A graph returns tensors only: its tracing leaves taps and variables here.
        run, sides = runs[-1]
        taps, state = run.taps, run.state
        symbols = concrete.structured_outputs[0]
        self._with_batch_axis(taps, symbols, fixed_batch_size(self._model))
        if state and not variables:
            # The pass would change variables. Traced again, their values are arguments
            # and results: (batch, values before) -> (activations, output, values after)
            changed = [v for v in variables_of(self._model) if id(v) in state]
            return self._trace(batch, tensors, changed)
        return _Compiled(function, taps, symbols, variables, sides)

    def _spec(self, tensor: Any) -> Any:
        """Make the spec of a tensor with any number of samples the model takes."""
        return tf.TensorSpec(
            [fixed_batch_size(self._model), *tensor.shape[1:]], tensor.dtype
        )

    def _run_eagerly(
        self,
        batch: Any,
        tensors: list[Any],
        state: State,
        rng: np.random.Generator | None,
    ) -> tuple[Passed, Sides]:
        variables = [
            v
            for v in variables_of(self._model)
            if id(v) in state or (rng is not None and v.name == SEED_STATE)
        ]
        mapping = list(zip(variables, state_values(variables, state, rng), strict=True))
        nest = keras.tree.pack_sequence_as(batch, tensors)
        # This switch applies to the whole process, hence the lock.
        with LOCK:
            before = tf.config.functions_run_eagerly()
            tf.config.run_functions_eagerly(True)
            try:
                run, sides = self._run(nest, mapping)
            finally:
                tf.config.run_functions_eagerly(before)
        taps, activations = self._with_batch_axis(
            run.taps, run.activations, tensors[0].shape[0]
        )
        return run._replace(taps=taps, activations=activations), sides

    def _confines(self, tensor: Any) -> str | None:
        """Name the graph that a tensor cannot leave, unless it is the pass's own."""
        own_graph = tf.compat.v1.get_default_graph()
        if not tf.is_symbolic_tensor(tensor) or tensor.graph is own_graph:
            return None
        return f"a loop or compiled function ({tensor.graph.name})"
