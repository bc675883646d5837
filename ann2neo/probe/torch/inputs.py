"""Inputs of a PyTorch network: batches of a loader, tensors, and how to pass them."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from ann2neo.errors import InputTypeError, InputValueError
from ann2neo.probe.nests import map_leaves

__all__ = [
    "LoaderBatches",
    "Signature",
    "as_tensors",
    "device_of",
    "dtype_of",
    "signature_of",
]

_LABEL_KEYS = ("labels", "label", "targets", "target")


@dataclasses.dataclass(frozen=True)
class Signature:
    """The arguments that the ``forward`` of a network takes.

    Parameters
    ----------
    n_required : int or None
        Number of positional arguments without a default; None if unknown.
    n_most : int or None
        Number of positional arguments; None if any number.
    keywords : frozenset of str or None
        Names of the arguments; None if any name.
    """

    n_required: int | None
    n_most: int | None
    keywords: frozenset[str] | None

    def call(self, model: nn.Module, batch: Any) -> Any:
        """Pass a batch: a dictionary by keywords, a list as several arguments."""
        if isinstance(batch, Mapping):
            if self.keywords is None or self.keywords >= set(batch):
                return model(**batch)
            return model(batch)
        if isinstance(batch, (list, tuple)) and (
            self.n_most is None or len(batch) <= self.n_most
        ):
            return model(*batch)
        return model(batch)


def signature_of(model: nn.Module) -> Signature:
    """Read the arguments that the ``forward`` of a network takes."""
    try:
        parameters = list(inspect.signature(model.forward).parameters.values())
    except (TypeError, ValueError):
        return Signature(None, None, None)
    positional = [
        p for p in parameters if p.kind in {p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD}
    ]
    any_number = any(p.kind == p.VAR_POSITIONAL for p in parameters)
    any_name = any(p.kind == p.VAR_KEYWORD for p in parameters)
    required = [p for p in positional if p.default is p.empty]
    return Signature(
        n_required=None if any_number and not required else len(required),
        n_most=None if any_number else len(positional),
        keywords=None if any_name else frozenset(p.name for p in parameters),
    )


def device_of(model: nn.Module) -> torch.device:
    """Return the device of the first weight; the CPU for a network without weights."""
    for tensor in (*model.parameters(), *model.buffers()):
        return tensor.device
    return torch.device("cpu")


def dtype_of(model: nn.Module) -> torch.dtype:
    """Return the type of the first weight that is a real number; float32 without."""
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.is_floating_point():
            return tensor.dtype
    return torch.float32


def as_tensors(
    batch: Any, device: torch.device, dtype: torch.dtype, *, own: bool = False
) -> Any:
    """Copy a batch to a device, with real numbers in the type of the weights.

    With `own`, tensors on the CPU share the memory of the batch.
    """

    def as_tensor(leaf: npt.NDArray[Any]) -> torch.Tensor:
        # On the CPU it would be the same memory, which a network may change in place.
        if (device.type == "cpu" and not own) or not leaf.flags.writeable:
            leaf = np.array(leaf)
        try:
            tensor = torch.from_numpy(np.ascontiguousarray(leaf))
        except TypeError as error:
            raise InputTypeError(
                f"the stimuli have the type {leaf.dtype}, which PyTorch does not know;"
                " convert them to numbers"
            ) from error
        tensor = tensor.to(device)
        return tensor.to(dtype) if tensor.is_floating_point() else tensor

    return map_leaves(as_tensor, batch)


class LoaderBatches:
    """The batches of a DataLoader, as stimuli or tuples of stimuli and labels.

    Parameters
    ----------
    loader : torch.utils.data.DataLoader
        The loader.
    signature : Signature
        What the network takes.
    """

    def __init__(self, loader: Any, signature: Signature) -> None:
        self._loader, self._signature = loader, signature

    def __iter__(self) -> Iterator[Any]:
        return map(self._pair, self._loader)

    def _pair(self, item: Any) -> Any:
        if isinstance(item, Mapping):
            found = [key for key in _LABEL_KEYS if key in item]
            if not found:
                return dict(item)
            others = {key: item[key] for key in item if key != found[0]}
            return others, item[found[0]]
        if not isinstance(item, (list, tuple)):
            return item
        if len(item) == 1:
            return (item[0],)
        n_inputs = max(self._signature.n_required or 1, 1)
        if len(item) == n_inputs:
            return list(item)
        if len(item) == n_inputs + 1:
            stimuli = item[0] if n_inputs == 1 else list(item[:-1])
            return stimuli, item[-1]
        raise InputValueError(
            f"the loader gives batches of {len(item)} parts, and the model takes"
            f" {n_inputs} inputs; give its inputs, or its inputs and labels, with a"
            " collate_fn of your own where need be"
        )
