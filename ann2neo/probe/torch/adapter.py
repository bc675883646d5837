"""The adapter for networks of PyTorch; see `ann2neo.probe.adapter`."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from ann2neo.errors import InputTypeError, InputValueError
from ann2neo.probe.adapter import (
    Adapter,
    Frame,
    LayerChoice,
    LayerInfo,
    Packing,
    TapShape,
    TimeAxis,
)
from ann2neo.probe.nests import leaves_of
from ann2neo.probe.provenance import arrays_sha256, package_versions
from ann2neo.probe.torch.forward import TorchForward
from ann2neo.probe.torch.hidden import last_hidden_layer
from ann2neo.probe.torch.inputs import (
    LoaderBatches,
    device_of,
    dtype_of,
    signature_of,
)
from ann2neo.probe.torch.keeping import recording_runs
from ann2neo.probe.torch.layers import choose_layers, modules_of
from ann2neo.probe.torch.packing import pack_spikes, to_numpy

__all__ = ["TorchAdapter", "make_adapter"]

_BATCH_BYTES = {"cpu": 1 << 24}
"""Largest size of a module's activations in a batch: on a CPU, what its caches hold."""
_DEVICE_BATCH_BYTES = 1 << 29
_LARGEST_BATCH = {"cpu": 1024}
_DEVICE_LARGEST_BATCH = 4096


def make_adapter(model: Any, *, training: bool, eager: bool) -> TorchAdapter:
    """Make the adapter of a PyTorch network.

    Parameters
    ----------
    model, training, eager
        As in `ann2neo.probe.adapter.adapter_for`. PyTorch always runs operation by
        operation; `eager` runs the network to its end in any case.

    Returns
    -------
    TorchAdapter
        The adapter.

    Raises
    ------
    InputTypeError
        If it is not a module.
    InputValueError
        If it has no weights yet.
    """
    if not isinstance(model, nn.Module):
        raise InputTypeError(
            f"model must be a torch.nn.Module, got {type(model).__name__}; pass the"
            " network itself"
        )
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if isinstance(tensor, nn.UninitializedParameter) or tensor.is_meta:
            raise InputValueError(
                f"the weight {name!r} of {type(model).__name__!r} has no values yet,"
                " and recording must not create them; load them, or call the model once"
                " on a batch, first"
            )
    return TorchAdapter(_unwrapped(model), training=training, eager=eager)


def _unwrapped(model: nn.Module) -> nn.Module:
    """Return the network inside `torch.compile` and parallel wrappers.

    Its layers are the same objects; only there do they have their own names.
    """
    while True:
        if hasattr(model, "_orig_mod"):
            model = model._orig_mod
        elif isinstance(model, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
            model = model.module
        else:
            return model


class TorchAdapter(Adapter):
    """One PyTorch network, as the probe uses it; see `Adapter`."""

    fixed_batch_size = None
    input_names = None

    def __init__(self, model: nn.Module, *, training: bool, eager: bool) -> None:
        self._model, self._training, self._eager = model, training, eager
        self._forwards: dict[Any, TorchForward] = {}
        self._signature = signature_of(model)
        self.model_name = type(model).__name__
        self.n_inputs = self._signature.n_required
        self.most_inputs = self._signature.n_most
        modules = list(model.modules())
        self.ends_in_sigmoid = isinstance(modules[-1], nn.Sigmoid)

    @property
    def is_stateful(self) -> bool:  # type: ignore[override]
        """Whether a module carries a state from one batch to the next."""
        return any(forward.is_stateful for forward in self._forwards.values())

    def choose_layers(self, layers: LayerChoice) -> tuple[LayerInfo, ...]:
        """Find the modules a user means; see `Adapter`."""
        return tuple(named.info for named in choose_layers(self._model, layers))

    def last_hidden(self, batch: Any) -> LayerInfo:
        """Find the last hidden module; see `Adapter`."""
        return last_hidden_layer(self._model, batch)

    def forward(
        self,
        layers: Sequence[LayerInfo],
        *,
        with_output: bool,
        time: TimeAxis | None = None,
    ) -> TorchForward:
        """Return the pass that records some modules; see `Adapter`."""
        key = (tuple(layers), with_output, time)
        if key not in self._forwards:
            self._forwards[key] = TorchForward(
                self._model,
                modules_of(self._model, layers),
                training=self._training,
                with_output=with_output,
                whole=self._eager,
                time=time,
            )
        return self._forwards[key]

    def batch_size(self, shapes: Sequence[TapShape], batch: Any) -> int:
        """Choose a power of two, at least 8, that suits the device; see `Adapter`."""
        kind = device_of(self._model).type
        size = _LARGEST_BATCH.get(kind, _DEVICE_LARGEST_BATCH)
        limit = _BATCH_BYTES.get(kind, _DEVICE_BATCH_BYTES)
        sizes = [math.prod(shape.shape) for shape in shapes]
        sizes += [math.prod(leaf.shape[1:]) for leaf in leaves_of(batch)]
        # Four bytes per activation, as float32.
        while size > 8 and 4 * max(sizes) * size > limit:
            size //= 2
        return size

    def batches(self, x: Any) -> Iterable[Any] | None:
        """Batches of a DataLoader; see `Adapter`."""
        if isinstance(x, DataLoader):
            return LoaderBatches(x, self._signature)
        if isinstance(x, Dataset):
            raise InputTypeError(
                f"a {type(x).__name__} gives single samples; show its batches with"
                " torch.utils.data.DataLoader(dataset, batch_size=64)"
            )
        return None

    def as_input(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Convert floats to single precision, unless the weights are double."""
        wanted = np.float64 if dtype_of(self._model) == torch.float64 else np.float32
        if array.dtype.kind == "f" and array.dtype != wanted:
            return array.astype(wanted)
        return array

    def pack_spikes(
        self,
        activations: Any,
        limits: npt.NDArray[Any],
        index: npt.NDArray[np.int32] | None,
        frame: Frame | None = None,
    ) -> Packing:
        """Compare activations with thresholds; see `Adapter`."""
        return pack_spikes(activations, limits, index, frame)

    def to_numpy(self, tensor: Any) -> npt.NDArray[Any]:
        """Copy a tensor into an array."""
        return to_numpy(tensor)

    def weights(self) -> Iterator[tuple[str, npt.NDArray[Any]]]:
        """Yield the name and the values of every weight; see `Adapter`."""
        for name, parameter in self._model.named_parameters():
            yield name, to_numpy(parameter)

    def kept(self) -> contextlib.AbstractContextManager[None]:
        """Leave no trace, and let compiled modules be heard; see `Adapter`."""
        return recording_runs()

    def fingerprint(self) -> dict[str, str]:
        """Describe model, weights and versions; see `Adapter`."""
        precision = str(dtype_of(self._model)).removeprefix("torch.")
        device = device_of(self._model)
        if torch.is_autocast_enabled(device.type):
            autocast = torch.get_autocast_dtype(device.type)
            precision += f", autocast to {str(autocast).removeprefix('torch.')}"
        tensors = self._model.state_dict().values()
        return {
            **package_versions("torch"),
            "backend": "torch",
            "device": _device_name(device),
            "precision": precision,
            "model_name": self.model_name,
            "model_class": type(self._model).__name__,
            "weights_sha256": arrays_sha256(
                to_numpy(tensor)
                for tensor in tensors
                if isinstance(tensor, torch.Tensor)
            ),
        }


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return str(device)
