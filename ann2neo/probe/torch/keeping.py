"""The way back: what a forward pass changes of a network and of random generators."""

from __future__ import annotations

import contextlib
import operator
import random
import sys
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

__all__ = ["Snapshot", "random_states_kept", "recording_runs", "seed_all"]

_CONTAINERS = (dict, list, set)


@contextlib.contextmanager
def recording_runs() -> Iterator[None]:
    """Restore random generators after the block, and run compiled modules as written.

    So they call the hooks of the modules in them. Entering this takes a millisecond: it
    is for a recording rather than for a batch.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(random_states_kept())
        # Where PyTorch's compiler is not loaded, nothing is compiled; to load it after
        # TensorFlow would crash the process.
        if "torch._dynamo" in sys.modules:
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        yield


@contextlib.contextmanager
def random_states_kept() -> Iterator[None]:
    """Restore the random generators of PyTorch, NumPy and Python after the block."""
    python, of_numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    of_cpu = torch.get_rng_state()
    of_cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None
    of_mps = torch.mps.get_rng_state() if torch.backends.mps.is_available() else None
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(of_numpy)  # noqa: NPY002
        torch.set_rng_state(of_cpu)
        if of_cuda is not None:
            torch.cuda.set_rng_state_all(of_cuda)
        if of_mps is not None:
            torch.mps.set_rng_state(of_mps)


def seed_all(rng: np.random.Generator) -> None:
    """Seed the random generators of PyTorch, NumPy and Python."""
    seed = int(rng.integers(2**31))
    # Not torch.manual_seed, which takes notes, batch after batch, for every kind of
    # device that this process has not used so far.
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(seed)
    if torch.backends.mps.is_available():
        torch.mps.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    random.seed(seed)


class _Value(NamedTuple):
    """A tensor that a pass may change in place, and a copy of its values."""

    tensor: torch.Tensor
    version: int | None
    copy: torch.Tensor


class Snapshot:
    """A network as it is: attributes, hooks, flags, and the values of its buffers.

    Parameters
    ----------
    model : torch.nn.Module
        The network.
    trusting : bool, default False
        Whether a buffer that PyTorch does not count as changed need not be compared,
        which would make the program wait for a GPU.

    Attributes
    ----------
    changed : bool
        Whether the network had changed when it was restored.
    counted : bool
        Whether PyTorch had counted all of the changes.
    """

    def __init__(self, model: nn.Module, *, trusting: bool = False) -> None:
        self._trusting, self.changed, self.counted = trusting, False, True
        self._flags = [(module, module.training) for module in model.modules()]
        self._attributes: list[tuple[dict[str, Any], dict[str, Any]]] = []
        self._contents: list[tuple[Any, Any]] = []
        self._values: dict[int, _Value] = {}
        for module in model.modules():
            own = vars(module)
            self._attributes.append((own, dict(own)))
            for value in own.values():
                if isinstance(value, _CONTAINERS):
                    self._contents.append((value, value.copy()))
                for tensor in _tensors_in(value):
                    self._keep(tensor, module)

    def _keep(self, tensor: torch.Tensor, module: nn.Module) -> None:
        # Weights are too large to copy, and no pass changes them, but for embeddings
        # that shorten their vectors as they are looked up.
        is_weight = isinstance(tensor, nn.Parameter)
        if not is_weight or getattr(module, "max_norm", None):
            copy = tensor.detach().clone()
            self._values[id(tensor)] = _Value(tensor, _version(tensor), copy)

    def restore(self) -> None:
        """Make the network what it was, and note in `changed` whether it was not."""
        for own, attributes in self._attributes:
            if not _same(own, attributes):
                # The training flag is among them, and is no state.
                now = {**own, "training": attributes.get("training")}
                self.changed |= not _same(now, attributes)
                own.clear()
                own.update(attributes)
        for container, contents in self._contents:
            if not _same(container, contents):
                self.changed = True
                _refill(container, contents)
        for module, training in self._flags:
            # A scripted module keeps its flag elsewhere.
            if module.training != training:
                module.training = training
        for value in self._values.values():
            same_version = value.version == _version(value.tensor)
            if same_version and value.version is not None and self._trusting:
                continue
            if not torch.equal(value.tensor, value.copy):
                self.changed = True
                self.counted &= not same_version
                value.tensor.copy_(value.copy)


def _tensors_in(value: Any) -> Sequence[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    # Most attributes of a module are containers that are empty.
    if not isinstance(value, (*_CONTAINERS, tuple)) or not value:
        return ()
    parts = value.values() if isinstance(value, dict) else value
    return [part for part in parts if isinstance(part, torch.Tensor)]


def _version(tensor: torch.Tensor) -> int | None:
    """Return how often a tensor was changed in place; None if nobody counts."""
    return None if tensor.is_inference() else int(tensor._version)


def _same(one: Any, other: Any) -> bool:
    """Whether two containers hold the same objects."""
    if len(one) != len(other):
        return False
    if not one:
        return True
    if isinstance(one, dict):
        return list(one) == list(other) and all(
            map(operator.is_, one.values(), other.values())
        )
    if isinstance(one, set):
        return bool(one == other)
    return all(map(operator.is_, one, other))


def _refill(container: Any, contents: Any) -> None:
    container.clear()
    if isinstance(container, list):
        container.extend(contents)
    else:
        container.update(contents)
