"""The adapter for Keras models; see `ann2neo.probe.adapter`."""

from __future__ import annotations

import contextlib
import functools
import importlib
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

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
from ann2neo.probe.keras.capture import LayerCall, capture_all, tensors_of
from ann2neo.probe.keras.forward import KerasForward, make_forward
from ann2neo.probe.keras.function_state import function_state
from ann2neo.probe.keras.hidden import last_hidden_layer
from ann2neo.probe.keras.layers import (
    choose_layers,
    fixed_batch_size,
    layers_of,
    named_layers,
)
from ann2neo.probe.keras.packing import device_name, on_accelerator, pack_spikes
from ann2neo.probe.keras.private import input_names, maker_of, was_called_once
from ann2neo.probe.provenance import arrays_sha256, package_versions

__all__ = ["KerasAdapter", "make_adapter"]

_BATCH_BYTES = {"tensorflow": 1 << 26, "jax": 1 << 23, "torch": 1 << 24}
"""Largest size of a layer's activations in a batch.

TensorFlow is fastest with few calls. JAX requests the memory of larger batches from the
system anew each time.
"""
_RECURRENT_BATCH_BYTES = 1 << 25
"""The same at least where a layer is recorded step by step.

Each of its steps multiplies matrices that have a row per sample.
"""
_DEVICE_BATCH_BYTES = 1 << 29
"""The same on a GPU, which few large batches keep busy."""
_LARGEST_BATCH = 1024
_LARGEST_DEVICE_BATCH = 4096
_LARGEST_UNKNOWN_BATCH = 256


def make_adapter(model: Any, *, training: bool, eager: bool) -> KerasAdapter:
    """Make the adapter of a Keras model.

    Parameters
    ----------
    model, training, eager
        As in `ann2neo.probe.adapter.adapter_for`.

    Returns
    -------
    KerasAdapter
        The adapter.

    Raises
    ------
    InputTypeError
        If it is not a Keras model.
    InputValueError
        If it has no weights yet.
    """
    if type(model).__module__.startswith("tf_keras."):
        raise InputTypeError(
            f"the {type(model).__name__} is a model of tf_keras, which is Keras 2; make"
            " it with keras, version 3, or threshold its activations yourself with"
            " Recording.from_activations"
        )
    if not isinstance(model, keras.Model):
        raise InputTypeError(
            "model must be a keras.Model or a torch.nn.Module, got"
            f" {type(model).__name__}; for other frameworks use"
            " Recording.from_activations"
        )
    unbuilt = [named.key for named in named_layers(model) if not named.layer.built]
    if not model.built or (unbuilt and not model.weights):
        raise InputValueError(
            f"the model {model.name!r} has no weights yet, and recording must not"
            " create them; call it once on a batch, model(x[:1]), and load its weights"
        )
    return KerasAdapter(model, training=training, eager=eager)


class KerasAdapter(Adapter):
    """One Keras model, as the probe uses it; see `Adapter`."""

    def __init__(self, model: Any, *, training: bool, eager: bool) -> None:
        self._model, self._training, self._eager = model, training, eager
        self._forwards: dict[Any, KerasForward] = {}
        self._compiled_for = function_state(model)
        inputs = getattr(model, "inputs", None)
        self.model_name = str(model.name)
        self.n_inputs = None if inputs is None else len(keras.tree.flatten(inputs))
        self.most_inputs = self.n_inputs
        self.input_names = input_names(model)
        self.fixed_batch_size = fixed_batch_size(model)
        self.is_stateful = any(
            getattr(named.layer, "stateful", False) for named in named_layers(model)
        )
        self.ends_in_sigmoid = _ends_in_sigmoid(model)

    def choose_layers(self, layers: LayerChoice) -> tuple[LayerInfo, ...]:
        """Find the layers a user means; see `Adapter`."""
        return tuple(named.info for named in choose_layers(self._model, layers))

    def last_hidden(self, batch: Any) -> LayerInfo:
        """Find the last hidden layer; see `Adapter`."""
        calls: list[LayerCall] = []
        outputs: list[Any] = []

        def run(nest: Any) -> None:
            # In this scope, what layers assign to variables does not reach the model.
            stateless = keras.StatelessScope(initialize_variables=False)
            with capture_all() as captured, stateless:
                outputs.extend(tensors_of(self._model(nest, training=self._training)))
            calls.extend(captured)

        self.forward((), with_output=False).abstractly(batch, run)
        return last_hidden_layer(self._model, calls, outputs)

    def forward(
        self,
        layers: Sequence[LayerInfo],
        *,
        with_output: bool,
        time: TimeAxis | None = None,
    ) -> KerasForward:
        """Return the pass that records some layers; see `Adapter`."""
        self._forget_what_changed()
        key = (tuple(layers), with_output, time)
        if key not in self._forwards:
            self._forwards[key] = make_forward(
                self._model,
                layers_of(self._model, layers),
                training=self._training,
                with_output=with_output,
                eager=self._eager,
                time=time,
            )
        return self._forwards[key]

    def _forget_what_changed(self) -> None:
        """Drop the compiled passes of what was another function of the stimuli."""
        now = function_state(self._model)
        if now == self._compiled_for:
            return
        # The first item of an entry tells which layer it is about.
        if [entry[0] for entry in now] != [entry[0] for entry in self._compiled_for]:
            raise InputValueError(
                f"layers were added to {self.model_name!r}, or taken out of it, since"
                " this Probe was made; make another Probe"
            )
        self._forwards.clear()
        self._compiled_for = now

    def batch_size(self, shapes: Sequence[TapShape], batch: Any) -> int:
        """Choose a power of two, at least 8, that suits the backend; see `Adapter`."""
        model = self._model
        sizes = [sum(math.prod(shape.shape) for shape in shapes)]
        sizes += [math.prod(leaf.shape[1:]) for leaf in keras.tree.flatten(batch)]
        size = _LARGEST_UNKNOWN_BATCH
        if isinstance(model, (keras.Sequential, keras.Function)):
            size = _LARGEST_BATCH
            outputs = [layer.output for layer in model.layers if was_called_once(layer)]
            sizes += [
                math.prod(n or 1 for n in tensor.shape[1:])
                for tensor in keras.tree.flatten(outputs)
            ]
        limit = _BATCH_BYTES[keras.backend.backend()]
        if any(shape.tap.state for shape in shapes):
            limit = max(limit, _RECURRENT_BATCH_BYTES)
        if on_accelerator():
            size, limit = _LARGEST_DEVICE_BATCH, _DEVICE_BATCH_BYTES
        # Four bytes per activation, as float32.
        while size > 8 and 4 * max(sizes) * size > limit:
            size //= 2
        return size

    def batches(self, x: Any) -> Iterable[Any] | None:
        """Batches of a PyDataset; see `Adapter`."""
        return _Batches(x) if isinstance(x, keras.utils.PyDataset) else None

    def as_input(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Convert floats to Keras' own float type, as `predict` does."""
        floatx = keras.config.floatx()
        if array.dtype.kind == "f" and array.dtype != floatx:
            return array.astype(floatx)
        return array

    def pack_spikes(
        self,
        activations: Any,
        limits: npt.NDArray[Any],
        index: npt.NDArray[np.int32] | None,
        frame: Frame | None = None,
    ) -> Packing:
        """Compare activations with thresholds; see `Adapter`."""
        if keras.backend.backend() == "torch":
            from ann2neo.probe.torch.packing import pack_spikes as pack_on_torch

            return pack_on_torch(activations, limits, index, frame)
        # In the other thread, while the network computes the next batch.
        return functools.partial(pack_spikes, activations, limits, index, frame)

    def to_numpy(self, tensor: Any) -> npt.NDArray[Any]:
        """Copy a tensor into an array."""
        return np.asarray(keras.ops.convert_to_numpy(tensor))

    def kept(self) -> contextlib.AbstractContextManager[None]:
        """Leave random generators as they are; see `Adapter`."""
        if keras.backend.backend() != "torch":
            return contextlib.nullcontext()
        from ann2neo.probe.torch.keeping import recording_runs

        return recording_runs()

    def weights(self) -> Iterator[tuple[str, npt.NDArray[Any]]]:
        """Yield the name and the values of every weight; see `Adapter`."""
        for weight in self._model.weights:
            yield str(weight.path), np.asarray(weight.numpy())

    def fingerprint(self) -> dict[str, str]:
        """Describe model, weights and versions; see `Adapter`."""
        backend = keras.backend.backend()
        # Asked of the module, since its distribution may have another name, such as
        # tensorflow-cpu.
        version = str(importlib.import_module(backend).__version__)
        return {
            **package_versions("keras"),
            f"{backend}_version": version,
            "backend": backend,
            "device": device_name(),
            "precision": str(self._model.dtype_policy.name),
            "model_name": self.model_name,
            "model_class": type(self._model).__name__,
            "weights_sha256": arrays_sha256(values for _, values in self.weights()),
        }


class _Batches:
    """Batches of a PyDataset, which are numbered but need not be iterable."""

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset

    def cardinality(self) -> int:
        """Return how many there are; -1, as TensorFlow says it, for ever more."""
        try:
            n_batches = self._dataset.num_batches
        except NotImplementedError:
            # Keras' own property has no answer where there is no __len__.
            n_batches = None
        return -1 if n_batches is None else int(n_batches)

    def __iter__(self) -> Iterator[Any]:
        n_batches = self.cardinality()
        numbers = itertools.count() if n_batches < 0 else range(n_batches)
        return (self._dataset[number] for number in numbers)


def _ends_in_sigmoid(model: Any) -> bool:
    outputs = keras.tree.flatten(getattr(model, "outputs", None) or [])
    if len(outputs) != 1:
        return False
    last = maker_of(outputs[0])
    return (
        isinstance(last, keras.layers.Layer)
        and getattr(last, "activation", None) is keras.activations.sigmoid
    )
