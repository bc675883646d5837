"""The protocol between the probe and a framework: what an adapter gives, and the data
that passes between them.

The probe imports no framework. A package inside `ann2neo.probe` that has the name of a
framework is its adapter: its module ``adapter`` has a function ``make_adapter`` with
the arguments of `adapter_for`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

__all__ = [
    "Adapter",
    "Forward",
    "LayerInfo",
    "Passed",
    "Tap",
    "TapShape",
    "adapter_for",
]

Tensor = Any
"""An array of the framework, on the device where it computes."""

State = Mapping[Any, Any]
"""What a network carries from one batch to the next; empty if nothing."""


class LayerInfo(NamedTuple):
    """Description of a layer.

    Parameters
    ----------
    key : str
        The one name that means this layer and no other of its model.
    number : int
        Its place among the layers of the model.
    type_name : str
        Name of its class.
    channels_first : bool
        Whether channels are the first axis of its output instead of the last.
    has_steps : bool
        Whether it runs over the steps of a sequence, which are then the first axis.
    """

    key: str
    number: int
    type_name: str
    channels_first: bool = False
    has_steps: bool = False


class Tap(NamedTuple):
    """One tensor that is recorded: which layer, which of its calls in a pass, which of
    its outputs.
    """

    layer: LayerInfo
    call_index: int
    output_index: int

    def __str__(self) -> str:
        """Name of the layer, with call and output where they are not the first."""
        text = repr(self.layer.key)
        if self.call_index:
            text += f" (call {self.call_index})"
        if self.output_index:
            text += f" (output {self.output_index})"
        return text


class TapShape(NamedTuple):
    """A tensor that is recorded, the shape of one sample of it and its type."""

    tap: Tap
    shape: tuple[int, ...]
    dtype: str


class Passed(NamedTuple):
    """What one batch gave: a tensor per tap, the model's own output, and the state
    after the batch.
    """

    taps: tuple[Tap, ...]
    activations: list[Tensor]
    output: Any
    state: State


class Forward(Protocol):
    """A forward pass that returns the activations of some layers."""

    def __call__(
        self, batch: Any, state: State, rng: np.random.Generator | None
    ) -> Passed:
        """Run one batch, starting from a state, with seeds of stochastic layers drawn
        from `rng` if given. The network is left as it was.
        """

    def outputs_of(self, batch: Any) -> list[TapShape]:
        """Find out what is recorded of such a batch, before anything large is
        computed.
        """


class Adapter(Protocol):
    """What the probe asks of a framework about one model.

    Attributes
    ----------
    model_name : str
        Name of the model, for messages.
    n_inputs : int or None
        How many inputs the model takes; None if unknown.
    fixed_batch_size : int or None
        The one number of samples the model takes at once; None if any.
    is_stateful : bool
        Whether a layer carries something from one batch to the next.
    ends_in_sigmoid : bool
        Whether the model's only output is that of a sigmoid.
    """

    model_name: str
    n_inputs: int | None
    fixed_batch_size: int | None
    is_stateful: bool
    ends_in_sigmoid: bool

    def choose_layers(self, layers: Any) -> tuple[LayerInfo, ...]:
        """Find the layers a user means, or raise `LayerError`."""

    def last_hidden(self, batch: Any) -> Tap:
        """Find the output that enters the last layer with weights, or raise
        `LayerError`.
        """

    def forward(self, layers: Sequence[LayerInfo], *, with_output: bool) -> Forward:
        """Return the pass that records some layers, compiled once per adapter; without
        the model's output it may end at the deepest of them.
        """

    def batch_size(self, shapes: Sequence[TapShape], batch: Any) -> int:
        """Choose how many samples such as those of `batch` to pass at once."""

    def batches(self, x: Any) -> Iterable[Any] | None:
        """Return a data set of the framework that Python cannot iterate over as batches
        that it can; None for anything else.
        """

    def as_input(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Convert an array to the type the model takes."""

    def pack_spikes(
        self,
        activations: Tensor,
        limits: npt.NDArray[Any],
        index: npt.NDArray[np.int32] | None,
    ) -> tuple[npt.NDArray[np.uint8], bool]:
        """Compare activations with thresholds on the device where they lie.

        Parameters
        ----------
        activations : tensor, shape (n_samples, ...)
            Activations of one output.
        limits : ndarray of float32 or float64, shape () or (n_chosen,)
            Thresholds, as `below_in_float32` gives them; float64 for activations of
            that type.
        index : ndarray of int32, shape (n_chosen,), or None
            Units to keep, in C order of the output; all if None.

        Returns
        -------
        packed : ndarray of uint8, shape (ceil(n_samples / 8), n_chosen)
            Where a unit spiked, eight samples per byte, first sample in the lowest bit.
        finite : bool
            Whether all these activations are finite; where not, `packed` means nothing.
        """

    def to_numpy(self, tensor: Tensor) -> npt.NDArray[Any]:
        """Copy a tensor into an array."""

    def fingerprint(self) -> dict[str, str]:
        """Describe model, weights, framework and versions, for the provenance."""


def adapter_for(model: Any, *, training: bool, eager: bool) -> Adapter:
    """Find the adapter of the framework that a model is written in.

    Parameters
    ----------
    model : object
        A model of a supported framework.
    training : bool
        Run the model as in training.
    eager : bool
        Run the model operation by operation.

    Returns
    -------
    Adapter
        The adapter, for this model.

    Raises
    ------
    InputTypeError, InputValueError
        If it is no model, or cannot be run yet.
    """
    package = __name__.rpartition(".")[0]
    path = importlib.import_module(package).__path__
    frameworks = {module.name for module in pkgutil.iter_modules(path) if module.ispkg}
    # A Keras model on another backend also inherits from that backend's classes, later.
    roots = [parent.__module__.partition(".")[0] for parent in type(model).__mro__]
    framework = next((root for root in roots if root in frameworks), "keras")
    module = importlib.import_module(f"{package}.{framework}.adapter")
    adapter: Adapter = module.make_adapter(model, training=training, eager=eager)
    return adapter
