"""The protocol between the probe and a framework.

The probe imports no framework. A package inside `ann2neo.probe` that has the name of a
framework is its adapter: its module ``adapter`` has a function ``make_adapter`` with
the arguments of `adapter_for`.
"""

from __future__ import annotations

import contextlib
import importlib
import pkgutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from ann2neo.errors import MissingExtraError

__all__ = [
    "Adapter",
    "Forward",
    "Frame",
    "LayerChoice",
    "LayerInfo",
    "NotFinite",
    "OutputChoice",
    "Packing",
    "Passed",
    "Reduce",
    "Tap",
    "TapShape",
    "Tensor",
    "TimeAxis",
    "adapter_for",
    "first_not_finite",
]

Tensor = Any
"""An array of the framework, on the device where it computes."""

LayerChoice = str | Callable[[Any], bool] | Sequence[Any] | Any | None
"""What a user may pass as ``layers``; `Any` stands for a layer of the framework, or a
tensor that stands for one of its outputs.
"""

State = Mapping[Any, Any]
"""What a network carries from one batch to the next; empty if it carries nothing."""


class OutputChoice(NamedTuple):
    """One output of a layer, of one of its calls.

    Parameters
    ----------
    call_index : int
        Which call.
    output_index : int
        Which output of it.
    n_calls : int or None
        Number of calls after which they repeat, as those of a layer in a model that is
        itself called several times; None if they do not.
    """

    call_index: int
    output_index: int
    n_calls: int | None = None


class LayerInfo(NamedTuple):
    """Description of a layer, or of an operation between layers.

    Parameters
    ----------
    key : str
        Name of the layer, unique within its model.
    number : int
        Place among the layers of the model.
    type_name : str
        Name of the class.
    channels_first : bool or None
        Whether channels are the first axis of the output instead of the last; None for
        layers whose images have them first, and whose sequences last.
    has_steps : bool
        Whether the layer runs over the steps of a sequence, which are then the first
        axis.
    only : OutputChoice or None
        The one output that is wanted; None for all.
    """

    key: str
    number: int
    type_name: str
    channels_first: bool | None = False
    has_steps: bool = False
    only: OutputChoice | None = None

    def __str__(self) -> str:
        """Name of the layer, with call and output if others than the first."""
        if self.only is None:
            return self.key
        return self.key + _place(self.only.call_index, self.only.output_index)


class Tap(NamedTuple):
    """One recorded tensor: a layer, its call within a pass, and the output of that.

    Of a recurrent layer over whose steps time runs, `state` names what is recorded, as
    "h" or "c" of an LSTM; it is "" elsewhere.
    """

    layer: LayerInfo
    call_index: int
    output_index: int
    state: str = ""

    @property
    def is_wanted(self) -> bool:
        """Whether the layer was chosen with this output."""
        only = self.layer.only
        if only is None:
            return True
        call_index = self.call_index
        if only.n_calls is not None:
            call_index %= only.n_calls
        return (call_index, self.output_index) == (only.call_index, only.output_index)

    def __str__(self) -> str:
        """Name of the layer, with call and output where they are not the first."""
        text = repr(self.layer.key) + _place(self.call_index, self.output_index)
        return text if self.state in {"", "h"} else f"{text} (state {self.state!r})"


def _place(call_index: int, output_index: int) -> str:
    text = ""
    if call_index:
        text += f" (call {call_index})"
    if output_index:
        text += f" (output {output_index})"
    return text


class TimeAxis(NamedTuple):
    """What is time in the outputs of the recorded layers.

    Parameters
    ----------
    axis : int or "calls"
        Axis of the steps, counted with the batch as 0; "calls" takes the calls of a
        layer within one pass as steps.
    states : tuple of str
        Names of recurrent layers whose other states are recorded as well.
    """

    axis: int | Literal["calls"]
    states: tuple[str, ...] = ()


class Frame(NamedTuple):
    """Which steps of a batch are time bins.

    Parameters
    ----------
    n_steps : int
        Length of the axis of steps.
    lengths : ndarray of int64, shape (n_samples,)
        Steps of each sample that are bins.
    rows : ndarray of int32, shape (n_bins,), or None
        Their places, sample * n_steps + step, in ascending order; None for all.
    """

    n_steps: int
    lengths: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int32] | None

    @property
    def n_bins(self) -> int:
        """Number of time bins."""
        return int(self.lengths.sum())

    def flat(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return activations, shape (n_samples, n_steps, ...), as (n_bins, n_units)."""
        n_samples = len(values)
        rows = values.reshape(n_samples * self.n_steps, -1)
        return rows if self.rows is None else rows[self.rows]


class TapShape(NamedTuple):
    """A recorded tensor, the shape of one sample and the type.

    Where there is time, the first axis of a sample is its steps.
    """

    tap: Tap
    shape: tuple[int, ...]
    dtype: str


class Passed(NamedTuple):
    """The results of one batch: a tensor per tap, the model's output, the new state.

    In place of the tensors stand what a `Reduce` made of them, if one was given. Where
    there is time, `mask` says which steps are no padding, shape (n_samples, n_steps);
    None if the network knows of none.
    """

    taps: tuple[Tap, ...]
    activations: list[Any]
    output: Any
    state: State
    mask: npt.NDArray[np.bool_] | None = None


class NotFinite(NamedTuple):
    """An activation that is NaN or infinite, the first of its batch.

    `sample` counts time bins.
    """

    sample: int
    unit: int
    value: float


def first_not_finite(activations: npt.NDArray[Any]) -> NotFinite | None:
    """Find the first activation that is NaN or infinite.

    Parameters
    ----------
    activations : ndarray, shape (n_samples, n_units)
        Activations, of any type that NumPy can cast.

    Returns
    -------
    NotFinite or None
        The first; None if all are finite.
    """
    values = activations.astype(np.float64)
    places = np.argwhere(~np.isfinite(values))
    if not len(places):
        return None
    sample, unit = places[0].tolist()
    return NotFinite(sample, unit, float(values[sample, unit]))


Packing = Callable[[], tuple[npt.NDArray[np.uint8], NotFinite | None]]
"""Waits for spikes that were packed, and returns them; see `Adapter.pack_spikes`."""

Reduce = Callable[[Tap, Tensor], Any]
"""Makes something smaller of an activation."""


class Forward(Protocol):
    """A forward pass that returns the activations of some layers.

    Where there is time, tensors have the axes (sample, step, ...).
    """

    def __call__(
        self,
        batch: Any,
        state: State,
        rng: np.random.Generator,
        reduce: Reduce | None = None,
        *,
        own: bool = False,
    ) -> Passed:
        """Run one batch, starting from a state, and leave the network as it was.

        The seeds of whatever is random are drawn from `rng`. `reduce` is called with
        each activation before anything can overwrite it. With `own`, nobody else needs
        the arrays of the batch, so that the network may change them.
        """

    def outputs_of(self, batch: Any) -> list[TapShape]:
        """Return what is recorded of such a batch, before computing anything large."""


class Adapter(Protocol):
    """What the probe asks of a framework about one model.

    Attributes
    ----------
    model_name : str
        Name of the model.
    n_inputs : int or None
        How many inputs the model takes; None if unknown.
    most_inputs : int or None
        How many it takes at most; None if unknown, or any number.
    input_names : tuple of str or None
        Keys of a dictionary that it takes; None if unknown.
    fixed_batch_size : int or None
        Number of samples the model insists on; None if it takes any.
    is_stateful : bool
        Whether a layer carries a state from one batch to the next.
    ends_in_sigmoid : bool
        Whether the model's only output comes from a sigmoid.
    """

    model_name: str
    n_inputs: int | None
    most_inputs: int | None
    input_names: tuple[str, ...] | None
    fixed_batch_size: int | None
    is_stateful: bool
    ends_in_sigmoid: bool

    def choose_layers(self, layers: LayerChoice) -> tuple[LayerInfo, ...]:
        """Find the layers a user means, or raise `LayerError`."""

    def last_hidden(self, batch: Any) -> LayerInfo:
        """Find the output that enters the last layer with weights, or raise."""

    def forward(
        self,
        layers: Sequence[LayerInfo],
        *,
        with_output: bool,
        time: TimeAxis | None = None,
    ) -> Forward:
        """Return the pass that records some layers, compiled once per adapter.

        Without the model's output, the pass may end at the deepest of them.
        """

    def batch_size(self, shapes: Sequence[TapShape], batch: Any) -> int:
        """Choose how many samples such as those of `batch` to pass at once."""

    def batches(self, x: Any) -> Iterable[Any] | None:
        """Return the batches of a data set that Python cannot iterate over.

        None for anything but such a data set of the framework.
        """

    def as_input(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Convert an array to the type the model takes."""

    def pack_spikes(
        self,
        activations: Tensor,
        limits: npt.NDArray[Any],
        index: npt.NDArray[np.int32] | None,
        frame: Frame | None = None,
    ) -> Packing:
        """Compare activations with thresholds on the device where they lie.

        Where the activations may be overwritten later, this is done on return;
        otherwise it may be left to the function that is returned, which runs in another
        thread.

        Parameters
        ----------
        activations : tensor, shape (n_samples, ...)
            Activations of one output.
        limits : ndarray of float32 or float64, shape () or (n_chosen,)
            Thresholds, as `below_in_float32` gives them; float64 for activations of
            that type.
        index : ndarray of int32, shape (n_chosen,), or None
            Units to keep, in C order of the output; all if None.
        frame : Frame or None
            Which steps are time bins, of activations of shape (n_samples, n_steps,
            ...); each sample is one bin if None.

        Returns
        -------
        callable
            Waits for the device and returns two things: where a unit spiked, uint8 of
            shape (ceil(n_bins / 8), n_chosen), eight bins per byte, first bin in the
            lowest bit; and None, or the first of the chosen activations that is not
            finite, with its bin and its place among them.
        """

    def to_numpy(self, tensor: Tensor) -> npt.NDArray[Any]:
        """Copy a tensor into an array."""

    def weights(self) -> Iterable[tuple[str, npt.NDArray[Any]]]:
        """Yield the name and the values of every weight."""

    def kept(self) -> contextlib.AbstractContextManager[None]:
        """Return what a whole recording runs in, and leaves no trace outside of.

        Random generators of the framework are as before at the end of it.
        """
        return contextlib.nullcontext()

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
        If it is not a model, or cannot be run yet.
    MissingExtraError
        If the framework, or what it computes with, is not installed.
    """
    package = __name__.rpartition(".")[0]
    modules = pkgutil.iter_modules(importlib.import_module(package).__path__)
    frameworks = {module.name for module in modules if module.ispkg}
    # A Keras model also inherits from classes of its backend, later in the order.
    roots = [parent.__module__.partition(".")[0] for parent in type(model).__mro__]
    # The adapter of Keras refuses what is no model, with an explanation.
    framework = next((root for root in roots if root in frameworks), "keras")
    try:
        module = importlib.import_module(f"{package}.{framework}.adapter")
    except ImportError as error:
        missing = error.name or framework
        extra = f"[{missing}]" if missing in {"jax", "torch"} else ""
        raise MissingExtraError(
            f"recording a network of {framework} needs {missing}, which is not"
            f" installed; pip install 'ann2neo{extra}'"
        ) from error
    adapter: Adapter = module.make_adapter(model, training=training, eager=eager)
    return adapter
