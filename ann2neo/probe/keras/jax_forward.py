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
    Sides,
    state_values,
    tap_shapes,
    variables_of,
)
from ann2neo.probe.keras.layers import fixed_batch_size

__all__ = ["JaxForward"]


class JaxForward(KerasForward):
    """Forward pass, compiled by `jax.jit` for each shape of batch."""

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
        self._taps: dict[Any, tuple[tuple[Tap, ...], Sides]] = {}
        self._variables = variables_of(self._model)
        self._compiled = jax.jit(self._forward)

    def _pass(
        self, batch: Any, state: State, rng: np.random.Generator | None
    ) -> tuple[Passed, Sides]:
        """Run one batch; see `KerasForward`."""
        values = state_values(self._variables, state, rng)
        with self._explaining(batch), LOCK:
            if self._eager:
                nest = keras.tree.map_structure(jax.numpy.asarray, batch)
                # Otherwise JAX would trace loops, out of which no value comes.
                with jax.disable_jit():
                    results = self._forward(values, nest)
            else:
                # JAX may read an array in place, and its owner may overwrite it with
                # the next batch: wait for the results.
                try:
                    results = jax.block_until_ready(self._compiled(values, batch))
                except jax.errors.UnexpectedTracerError as error:
                    # JAX notices only here that something would leave a loop.
                    raise self._refusal(values, batch, str(error)) from error
        activations, output, after, side_tensors = results
        n_samples = len(keras.tree.flatten(batch)[0])
        taps, sides = self._taps[_kind(batch)]
        taps, activations = self._with_batch_axis(taps, activations, n_samples)
        passed = Passed(taps, activations, output, after)
        return passed, sides.filled(side_tensors)

    def abstractly(self, batch: Any, run: Callable[[Any], None]) -> None:
        """Call `run` on symbols of a batch; see `KerasForward`."""
        nest = keras.tree.map_structure(lambda leaf: _symbol(leaf, 0), batch)
        with self._explaining(batch):
            jax.eval_shape(run, nest)

    def _forward(self, values: list[Any], nest: Any) -> Any:
        run, sides = self._run(nest, list(zip(self._variables, values, strict=True)))
        # A compiled function returns arrays only, so the taps are left here as it is
        # traced.
        self._taps[_kind(nest)] = run.taps, sides
        return run.activations, run.output, run.state, sides.tensors

    def outputs_of(self, batch: Any) -> list[TapShape]:
        """Return the shapes of what is recorded of such a batch; see `Forward`."""
        if self._eager:
            return self._tried(batch)
        values = state_values(self._variables, {}, None)
        # With one more sample, an output whose first axis happens to be as long as the
        # batch is recognized: the axis does not grow.
        longer = 0 if fixed_batch_size(self._model) else 1
        nest = keras.tree.map_structure(lambda leaf: _symbol(leaf, longer), batch)
        with self._explaining(batch), LOCK:
            activations, *_ = jax.eval_shape(self._forward, values, nest)
        n_samples = keras.tree.flatten(nest)[0].shape[0]
        taps, activations = self._with_batch_axis(
            self._taps[_kind(nest)][0], activations, n_samples
        )
        return tap_shapes(taps, activations)

    def _refusal(self, values: list[Any], nest: Any, error: str) -> Exception:
        """Find the layer that makes JAX refuse a pass, and return the error for it."""
        where = "a loop or compiled function"
        traced = re.search(r"traced for ([\w /]+)\.", error)
        if traced:
            where += f" ({traced[1]})"
        # JAX does not name the layer, so each of several is tried alone.
        for named in self._layers:
            alone = JaxForward(
                self._model,
                [named],
                training=self._training,
                with_output=False,
                eager=False,
                time=self._time,
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
            " next, which JAX does not allow; pass eager=True to run operation by"
            " operation"
        )

    def _confines(self, tensor: Any) -> str | None:
        """Name what a tensor cannot leave; see `KerasForward`."""
        # Run eagerly, only rematerialization traces; compiled, JAX itself refuses.
        if self._eager and isinstance(tensor, jax.core.Tracer):
            return "a rematerialized or compiled function"
        return None


def _symbol(leaf: Any, longer: int) -> Any:
    """Return the shape and type of an input, with `longer` more samples."""
    return jax.ShapeDtypeStruct(
        (len(leaf) + longer, *leaf.shape[1:]), jax.dtypes.canonicalize_dtype(leaf.dtype)
    )


def _kind(nest: Any) -> Any:
    """Return the shapes of a batch and its types as JAX takes them."""
    return tuple(
        (tuple(leaf.shape), str(jax.dtypes.canonicalize_dtype(leaf.dtype)))
        for leaf in keras.tree.flatten(nest)
    )
