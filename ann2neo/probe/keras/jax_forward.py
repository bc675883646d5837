"""The forward pass on JAX."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import jax
import keras
import numpy as np

from ann2neo.errors import InputValueError, LayerError
from ann2neo.probe.adapter import Passed, State, Tap, TapShape
from ann2neo.probe.keras.capture import LOCK
from ann2neo.probe.keras.forward import (
    KerasForward,
    check_batch_axis,
    state_values,
    tap_shapes,
    variables_of,
)
from ann2neo.probe.keras.layers import fixed_batch_size

__all__ = ["JaxForward"]


class JaxForward(KerasForward):
    """Forward pass compiled by `jax.jit` for every shape of batch."""

    failures = (
        ValueError,
        TypeError,
        AttributeError,
        LookupError,
        NotImplementedError,
        RuntimeError,
    )

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._taps: dict[Any, tuple[Tap, ...]] = {}
        self._variables = variables_of(self._model)
        self._compiled = jax.jit(self._forward)

    def __call__(
        self, batch: Any, state: State, rng: np.random.Generator | None
    ) -> Passed:
        """Run one batch; see `Forward`."""
        variables = self._variables
        values = state_values(variables, state, rng)
        leaves = keras.tree.flatten(batch)
        with self._explaining(batch), LOCK:
            if self._eager:
                nest = keras.tree.map_structure(jax.numpy.asarray, batch)
                with jax.disable_jit():
                    activations, output, after = self._forward(values, nest)
            else:
                # JAX may read an array where it lies, and its owner may fill it anew
                # for the next batch.
                activations, output, after = jax.block_until_ready(
                    self._run_compiled(values, batch)
                )
        taps = self._taps[_kind(batch)]
        shapes = [activation.shape for activation in activations]
        check_batch_axis(taps, shapes, len(leaves[0]))
        return Passed(
            taps,
            activations,
            output,
            {id(variables[i]): value for i, value in after.items()},
        )

    def abstractly(self, batch: Any, run: Callable[[Any], Any]) -> None:
        """Call `run` on symbols of a batch; see `Forward`."""

        def trace(nest: Any) -> None:
            run(nest)

        with self._explaining(batch):
            jax.eval_shape(
                trace, keras.tree.map_structure(lambda leaf: _symbol(leaf, 0), batch)
            )

    def _forward(self, values: list[Any], nest: Any) -> Any:
        run = self._run(nest, list(zip(self._variables, values, strict=True)))
        self._taps[_kind(nest)] = run.taps
        after = {id(variable): value for variable, value in run.updates}
        changed = {
            i: after[id(variable)]
            for i, variable in enumerate(self._variables)
            if id(variable) in after
        }
        return run.activations, run.output, changed

    def outputs_of(self, batch: Any) -> list[TapShape]:
        """What is recorded of such a batch; see `Forward`."""
        if self._eager:
            passed = self(batch, {}, None)
            return tap_shapes(passed.taps, passed.activations)
        values = state_values(self._variables, {}, None)
        # With one sample more, an output whose first axis happens to be as long as the
        # batch gives itself away.
        longer = 0 if fixed_batch_size(self._model) else 1
        nest = keras.tree.map_structure(lambda leaf: _symbol(leaf, longer), batch)
        with self._explaining(batch), LOCK:
            activations, _, _ = jax.eval_shape(self._forward, values, nest)
        taps = self._taps[_kind(nest)]
        shapes = [activation.shape for activation in activations]
        check_batch_axis(taps, shapes, keras.tree.flatten(nest)[0].shape[0])
        return tap_shapes(taps, activations)

    def _run_compiled(self, values: list[Any], nest: Any) -> Any:
        try:
            return self._compiled(values, nest)
        except jax.errors.UnexpectedTracerError as error:
            # JAX notices only here that something would leave a loop.
            raise self._refusal(values, nest, str(error)) from error

    def _refusal(self, values: list[Any], nest: Any, error: str) -> Exception:
        """Say which layer of a pass that JAX refuses cannot leave a loop or
        function.
        """
        where = "a loop or compiled function"
        traced = re.search(r"traced for ([\w /]+)\.", error)
        if traced:
            where += f" ({traced[1]})"
        for named in self._layers:
            alone = JaxForward(
                self._model,
                [named],
                training=self._training,
                with_output=False,
                eager=False,
            )
            try:
                if len(self._layers) > 1:
                    jax.jit(alone._forward)(values, nest)
                    continue
            except jax.errors.UnexpectedTracerError:
                pass
            except LayerError as never_ran:
                return never_ran
            return self._confined_error(named, where)
        return InputValueError(
            f"the model {self._model.name!r} keeps values of one compiled pass for the"
            " next, which JAX refuses; pass eager=True to run operation by operation"
        )

    def _confines(self, tensor: Any) -> str | None:
        """Name what a tensor cannot leave. Eagerly only rematerialization traces; else
        `_refusal` finds it.
        """
        if self._eager and isinstance(tensor, jax.core.Tracer):
            return "a rematerialized or compiled function"
        return None


def _symbol(leaf: Any, longer: int) -> Any:
    """Shape and type of an input, with some samples more."""
    return jax.ShapeDtypeStruct(
        (len(leaf) + longer, *leaf.shape[1:]), jax.dtypes.canonicalize_dtype(leaf.dtype)
    )


def _kind(nest: Any) -> Any:
    """Shapes and types of a batch, types as JAX takes them."""
    leaves = keras.tree.flatten(nest)
    return tuple(
        (tuple(leaf.shape), str(jax.dtypes.canonicalize_dtype(leaf.dtype)))
        for leaf in leaves
    )
