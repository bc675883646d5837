"""Steps of sequences as time bins: which axis they are, and which of them count."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ann2neo._checks import whole_number
from ann2neo.errors import ActivationError, InputTypeError, InputValueError
from ann2neo.probe.adapter import Frame, Tap, TapShape, TimeAxis
from ann2neo.probe.stimuli import Batch
from ann2neo.recording.steps import checked_lengths

__all__ = [
    "Steps",
    "checked_time_axis",
    "common_mask",
    "n_steps_of",
    "steps_first",
    "unlike_calls",
]


@dataclasses.dataclass(frozen=True)
class Steps:
    """How presentations last several time bins.

    Parameters
    ----------
    time : TimeAxis
        What is time.
    n_steps : int
        Steps of the outputs in the first batch.
    lengths : ndarray of int64, shape (n_samples,), or None
        Steps of each sample, as the user said; None where the network's masks say it,
        or every step is a bin.
    """

    time: TimeAxis
    n_steps: int
    lengths: npt.NDArray[np.int64] | None

    def n_bins(self, n_samples: int) -> int:
        """Return how many bins there are at most in so many presentations."""
        if self.lengths is None:
            return n_samples * self.n_steps
        # Of a part of the samples it is not known which they are.
        return int(np.sort(self.lengths)[::-1][:n_samples].sum())

    def frame(
        self,
        batch: Batch,
        n_steps: int,
        mask: npt.NDArray[np.bool_] | None,
        position: int,
    ) -> Frame:
        """Return which steps of a batch are bins.

        Parameters
        ----------
        batch : Batch
            The batch.
        n_steps : int
            Steps of its outputs.
        mask : ndarray of bool, shape (n_samples, n_steps), or None
            The network's own mask.
        position : int
            Its first presentation, for messages.

        Raises
        ------
        InputValueError
            If a sample has no step, or more than there are.
        """
        n = len(batch.stimulus_id)
        if self.lengths is not None:
            lengths = checked_lengths(self.lengths[batch.stimulus_id], n, n_steps)
            mask = np.arange(n_steps) < lengths[:, np.newaxis]
        elif mask is None:
            mask = _attention_mask(batch.data, n, n_steps)
        if mask is None or mask.all():
            return Frame(n_steps, np.full(n, n_steps, np.int64), None)
        of_each = mask.sum(axis=1, dtype=np.int64)
        if not of_each.all():
            place = int((of_each == 0).argmax())
            raise InputValueError(
                f"every step of presentation {position + place}, sample"
                f" {batch.stimulus_id[place]} of the data, is masked as padding, so"
                " that it lasts no time bin; leave out samples without steps"
            )
        rows = np.flatnonzero(mask).astype(np.int32)
        return Frame(n_steps, of_each, rows)


def _attention_mask(
    data: Any, n_samples: int, n_steps: int
) -> npt.NDArray[np.bool_] | None:
    """Return the mask that comes with stimuli under the name of transformers."""
    if not isinstance(data, Mapping) or "attention_mask" not in data:
        return None
    mask = np.asarray(data["attention_mask"])
    return mask != 0 if mask.shape == (n_samples, n_steps) else None


def checked_time_axis(time_axis: Any) -> TimeAxis | None:
    """Return what the user calls time, or raise.

    Raises
    ------
    InputTypeError, InputValueError
        If it is no axis, or that of the batch.
    """
    if time_axis is None:
        return None
    if isinstance(time_axis, str):
        if time_axis != "calls":
            raise InputValueError(
                f"time_axis must be a number or 'calls', got {time_axis!r}; for outputs"
                " of shape (batch, step, unit) it is 1"
            )
        return TimeAxis("calls")
    try:
        axis = whole_number(time_axis, "time_axis", at_least=0)
    except InputTypeError as error:
        raise InputTypeError(f"{error}; or 'calls'") from None
    if axis == 0:
        raise InputValueError(
            "time_axis=0 is the axis of the batch, whose entries are presentations; for"
            " outputs of shape (batch, step, unit) it is 1"
        )
    return TimeAxis(axis)


def steps_first(tap: Tap, tensor: Any, time: TimeAxis, moved: Any = np.moveaxis) -> Any:
    """Move the steps of an output behind the batch, or raise if there are none.

    Parameters
    ----------
    tap : Tap
        Which output.
    tensor : tensor
        Its value, or a symbol of it, with the batch in front.
    time : TimeAxis
        What is time.
    moved : callable
        The ``moveaxis`` of the framework.
    """
    axis = 1 if time.axis == "calls" else time.axis
    shape = tuple(tensor.shape)
    if len(shape) < 3 or axis >= len(shape):
        raise ActivationError(
            f"the output of the layer {tap} has the shape {shape}, and no axis"
            f" {axis} of steps beside the batch and an axis of units; choose layers"
            " that return every step, another time_axis, or leave time_axis out"
        )
    return tensor if axis == 1 else moved(tensor, axis, 1)


def n_steps_of(shapes: Sequence[TapShape]) -> int:
    """Return the number of steps that all recorded outputs have, or raise."""
    numbers = {shape.shape[0]: shape.tap for shape in reversed(shapes)}
    if len(numbers) > 1:
        (one, tap), (other, odd), *_ = sorted(numbers.items())
        raise ActivationError(
            f"the layer {tap} has {one} steps and {odd} has {other}, which cannot share"
            " time bins; record layers with unlike numbers of steps by themselves"
        )
    n_steps = next(iter(numbers))
    if not n_steps:
        raise ActivationError(
            f"the layer {numbers[0]} has no steps; show sequences of one or more"
        )
    return n_steps


def common_mask(masks: Sequence[npt.NDArray[Any]]) -> npt.NDArray[np.bool_] | None:
    """Return the mask of all recorded outputs; None if none of them has one.

    Raises
    ------
    ActivationError
        If they differ.
    """
    found = [np.asarray(mask).astype(np.bool_) for mask in masks]
    if not found:
        return None
    if any(not np.array_equal(mask, found[0]) for mask in found[1:]):
        raise ActivationError(
            "the recorded layers have different masks, so that their steps are no"
            " common time; pass lengths=, or record them by themselves"
        )
    return found[0]


def unlike_calls(tap: Tap, shapes: Sequence[tuple[int, ...]]) -> str:
    """Say why the calls of a layer are no steps: its outputs differ between them."""
    found = " and ".join(map(str, shapes[:3])) or "unlike numbers of outputs"
    return (
        f"the calls of the layer {tap} give {found}, which cannot be the steps of one"
        " unit; record a layer that does the same in every step"
    )
