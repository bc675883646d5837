"""Session: stimuli shown to a network batch by batch, and its spikes written into a raster."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from ann2neo.errors import LayerError
from ann2neo.probe.crossing import check_finite, crossings
from ann2neo.probe.forward import Forward, Passed, Tap
from ann2neo.probe.layout import Layout
from ann2neo.probe.stimuli import Batch
from ann2neo.raster import RasterBuilder

__all__ = ["Answers", "show"]


@dataclasses.dataclass(frozen=True)
class Answers:
    """What came back from showing stimuli, beside the spikes.

    Parameters
    ----------
    stimulus_id : ndarray of int64, shape (n_presentations,)
        Which sample was shown in each bin.
    labels : ndarray, shape (n_presentations,), or None
        Labels that came along with the stimuli.
    predictions : ndarray of int32, shape (n_presentations,), or None
        Classes the network named.
    """

    stimulus_id: npt.NDArray[np.int64]
    labels: npt.NDArray[Any] | None
    predictions: npt.NDArray[np.int32] | None


def show(
    forward: Forward,
    batches: Iterable[Batch],
    layout: Layout,
    builder: RasterBuilder,
    *,
    first_bin: int,
    read_classes: Callable[[Any], npt.NDArray[np.int32] | None] | None,
    seed: tuple[int, ...] | None,
    progress: Any,
) -> Answers:
    """Show batches one after another, one presentation a bin.

    Parameters
    ----------
    forward : Forward
        The forward pass.
    batches : iterable of Batch
        The stimuli, in the order to be shown.
    layout : Layout
        Where the units lie.
    builder : RasterBuilder
        Takes the spikes.
    first_bin : int
        Bin of the first presentation.
    read_classes : callable or None
        Reads classes from the model's output, or None where it holds none; None where no predictions are wanted.
    seed : tuple of int or None
        Seeds stochastic layers, batch by batch, so that a batch does not depend on those before it; None leaves the
        model's own seeds.
    progress : tqdm.tqdm
        Moved along.

    Returns
    -------
    Answers
        What was shown and answered.

    Raises
    ------
    ActivationError, LayerError, InputValueError
        As `ann2neo.record`.
    """
    ids, labels, classes = [], [], []
    state: Any = {}
    position = first_bin
    for number, batch in enumerate(batches):
        rng = None if seed is None else np.random.default_rng((*seed, number))
        passed = forward(batch.data, state, rng)
        state = passed.state
        builder.extend(position + len(batch.stimulus_id))
        _write(passed, layout, builder, position)
        position += len(batch.stimulus_id)
        ids.append(batch.stimulus_id)
        labels.append(batch.labels)
        classes.append(None if read_classes is None else read_classes(passed.output))
        progress.update(len(batch.stimulus_id))
    return Answers(np.concatenate(ids), _joined(labels), _joined(classes))


def _joined(parts: list[npt.NDArray[Any] | None]) -> npt.NDArray[Any] | None:
    known = [part for part in parts if part is not None]
    return np.concatenate(known) if len(known) == len(parts) else None


def _write(passed: Passed, layout: Layout, builder: RasterBuilder, position: int) -> None:
    if passed.taps != layout.taps:
        odd = next(tap for tap in (*layout.taps, *passed.taps) if (tap in layout.taps) != (tap in passed.taps))
        calls = {tap.call_index for tap in passed.taps if tap.layer == odd.layer}
        msg = f"the layer {odd.layer.key!r} ran {len(calls)} times at presentation {position}, and not as often before"
        raise LayerError(f"{msg}; only layers that run alike on every batch can be recorded")
    activations: dict[Tap, Any] = dict(zip(passed.taps, passed.activations, strict=True))
    for strip in layout.strips:
        active, suspect = crossings(activations[strip.tap], strip.limits, strip.index)
        if suspect:
            check_finite(activations[strip.tap], strip.tap, position)
        builder.write(position, active, strip.first_unit)
