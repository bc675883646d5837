"""The forward pass on PyTorch."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import torch

from ann2neo.probe.adapter import Passed, State, TapShape
from ann2neo.probe.keras.forward import (
    KerasForward,
    Sides,
    state_values,
    variables_of,
)
from ann2neo.probe.keras.layers import fixed_batch_size
from ann2neo.probe.keras.private import SEED_STATE
from ann2neo.probe.nests import leaves_of, map_leaves
from ann2neo.probe.torch.keeping import random_states_kept, seed_all

__all__ = ["TorchForward"]

_N_TRIED = 8
"""Number of samples from which the shapes of outputs are seen."""


class TorchForward(KerasForward):
    """Forward pass, run operation by operation."""

    failures = (
        ValueError,
        TypeError,
        AttributeError,
        LookupError,
        NotImplementedError,
        RuntimeError,
    )

    def _pass(
        self, batch: Any, state: State, rng: np.random.Generator | None
    ) -> tuple[Passed, Sides]:
        """Run one batch; see `KerasForward`."""
        variables = [
            v
            for v in variables_of(self._model)
            if id(v) in state or (rng is not None and v.name == SEED_STATE)
        ]
        values = state_values(variables, state, rng)
        with self._explaining(batch), _eagerly():
            if rng is not None:
                # Keras' dropout draws from PyTorch's own generator.
                seed_all(rng)
            tensors = map_leaves(_as_tensor, batch)
            mapping = list(zip(variables, values, strict=True))
            passed, sides = self._run(tensors, mapping)
        taps, activations = self._with_batch_axis(
            passed.taps, passed.activations, len(leaves_of(batch)[0])
        )
        return passed._replace(taps=taps, activations=activations), sides

    def outputs_of(self, batch: Any) -> list[TapShape]:
        """Return the shapes of what is recorded of such a batch; see `Forward`."""
        fixed = fixed_batch_size(self._model)
        n_samples = fixed or min(_N_TRIED, len(leaves_of(batch)[0]))
        return self._tried(_resized(batch, n_samples))

    def abstractly(self, batch: Any, run: Callable[[Any], None]) -> None:
        """Call `run` on a few samples of a batch; see `KerasForward`."""
        n_samples = fixed_batch_size(self._model) or min(2, len(leaves_of(batch)[0]))
        with self._explaining(batch), _eagerly():
            run(map_leaves(_as_tensor, _resized(batch, n_samples)))

    def _confines(self, tensor: Any) -> str | None:
        """Name what a tensor cannot leave; see `KerasForward`."""
        if torch.compiler.is_compiling() or not isinstance(tensor, torch.Tensor):
            return "a compiled function"
        return None


@contextlib.contextmanager
def _eagerly() -> Iterator[None]:
    """Run operation by operation, without gradients, and leave generators alone."""
    with random_states_kept(), torch.no_grad():
        yield


def _as_tensor(leaf: Any) -> torch.Tensor:
    # Copied, since a network may change its input in place.
    return keras.ops.convert_to_tensor(np.array(leaf))


def _resized(batch: Any, n_samples: int) -> Any:
    return map_leaves(lambda leaf: leaf[np.arange(n_samples) % len(leaf)], batch)
