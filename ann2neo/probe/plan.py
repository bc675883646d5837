"""The plan of a recording: all that is decided before the stimuli are shown."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from ann2neo._checks import seed_or_new, whole_number
from ann2neo.errors import ActivationError, InputTypeError, InputValueError
from ann2neo.probe.adapter import Adapter, Forward, LayerInfo, TimeAxis
from ann2neo.probe.emission import Emission
from ann2neo.probe.nests import all_finite, leaves_of
from ann2neo.probe.steps import Steps, n_steps_of
from ann2neo.probe.stimuli import (
    ArrayStimuli,
    Fingerprint,
    Stimuli,
    as_stimuli,
    checked_columns,
    checked_labels,
)
from ann2neo.probe.thresholds import (
    Threshold,
    checked_threshold,
    limits_by_quantile,
    rule_in_words,
)
from ann2neo.probe.units import (
    UnitChoice,
    UnitLayout,
    lay_out_units,
    states_chosen,
)
from ann2neo.recording.steps import checked_lengths
from ann2neo.recording.tables import checked_units, table_sha256

__all__ = ["Part", "RecordingPlan", "make_plan"]

_LOG = logging.getLogger(__name__)

_COMPARED_SAMPLES, _COMPARED_BATCH = 256, 64
"""Evenly spaced samples that tell whether parts have the same stimuli, and how many are
read at once.
"""


class Part(NamedTuple):
    """The k-th of n parts of the stimuli, counted from 1."""

    number: int
    n: int

    def __str__(self) -> str:
        return f"{self.number} of {self.n}"

    def batches(self, n_samples: int, batch_size: int) -> range:
        """Return which batches belong to it.

        Whole batches, so that each has the noise that it has in the whole recording.
        """
        n_batches = -(-n_samples // batch_size)
        first, stop = (
            number * n_batches // self.n for number in (self.number - 1, self.number)
        )
        return range(first, stop)


@dataclasses.dataclass(frozen=True)
class RecordingPlan:
    """What is shown to a network, how, and what is recorded.

    Parameters
    ----------
    adapter : Adapter
        The network, as its framework runs it.
    layers : tuple of LayerInfo
        The recorded layers.
    forward : Forward
        The forward pass.
    stimuli : Stimuli
        The stimuli.
    labels : ndarray, shape (n_samples,), or None
        The user's labels; None if there are none, or they come with the stimuli.
    columns : mapping of str to ndarray, each of shape (n_samples,)
        The user's own columns of the presentations.
    steps : Steps or None
        How presentations last several time bins; None if each lasts one.
    emission : {"threshold", "bernoulli", "poisson"}
        How spikes follow from activations.
    rules : mapping of LayerInfo to (float, str or ndarray)
        Threshold of each layer, as the user passed it.
    layout : UnitLayout
        The recorded units and where they lie.
    batch_size : int
        Samples in a forward pass, where the stimuli can be indexed.
    n_repeats : int
        How often everything is shown.
    seed : int
        Seed of the order, which differs between repeats, of the choice of units and
        of the noise.
    shuffle : bool
        Whether the order is random.
    training : bool
        Whether the network runs as in training. Stochastic layers are then seeded batch
        by batch, so that an interrupted recording can be resumed at any batch.
    read_classes : callable or None
        Reads predicted classes from the model's output; None if no predictions are
        wanted.
    part : Part or None
        Which part of the stimuli is shown; None for all.
    """

    adapter: Adapter
    layers: tuple[LayerInfo, ...]
    forward: Forward
    stimuli: Stimuli
    labels: npt.NDArray[Any] | None
    columns: Mapping[str, npt.NDArray[Any]]
    steps: Steps | None
    emission: Emission
    rules: Mapping[LayerInfo, Any]
    layout: UnitLayout
    batch_size: int
    n_repeats: int
    seed: int
    shuffle: bool
    training: bool
    read_classes: Callable[[Any], npt.NDArray[np.int32] | None] | None
    part: Part | None = None

    @property
    def first_batch(self) -> int:
        """Number of the first batch that is shown."""
        if self.part is None:
            return 0
        return self.part.batches(self.stimuli.n_samples or 0, self.batch_size).start

    @property
    def n_samples(self) -> int | None:
        """Number of samples that are shown once; None if unknown before they end."""
        n = self.stimuli.n_samples
        if n is None or self.part is None:
            return n
        batches = self.part.batches(n, self.batch_size)
        first, stop = (
            min(n, batch * self.batch_size) for batch in (batches.start, batches.stop)
        )
        return stop - first

    @property
    def n_presentations(self) -> int | None:
        """Number of presentations; None if unknown before the stimuli end."""
        n = self.n_samples
        return None if n is None else n * self.n_repeats

    @property
    def n_time_bins(self) -> int | None:
        """Number of time bins, or the most there may be; None if unknown."""
        n = self.n_samples
        if n is None:
            return None
        return self.n_repeats * (n if self.steps is None else self.steps.n_bins(n))

    @property
    def order(self) -> str:
        """Order of the stimuli, as the phase table names it."""
        if self.shuffle and not self.adapter.is_stateful:
            return "random"
        if not self.shuffle and isinstance(self.stimuli, ArrayStimuli):
            return "stored"
        # What comes in batches may have been shuffled where it comes from.
        return "unknown"

    def provenance(self, more: Mapping[str, object]) -> dict[str, str]:
        """Collect facts about the recording and add the user's own."""
        rules = {str(layer): rule_in_words(rule) for layer, rule in self.rules.items()}
        how = {"threshold": json.dumps(rules)}
        if self.emission != "threshold":
            how = {"emission": self.emission}
        if self.steps is not None:
            how["time_axis"] = str(self.steps.time.axis)
        return {
            **self.adapter.fingerprint(),
            "layers": ", ".join(map(str, self.layers)),
            **how,
            "training": str(self.training),
            "seed": str(self.seed),
            "n_repeats": str(self.n_repeats),
            "batch_size": (
                str(self.batch_size)
                if isinstance(self.stimuli, ArrayStimuli)
                else "as given"
            ),
            "order": self.order,
            **{str(key): str(value) for key, value in more.items()},
        }

    def identity(self, facts: Mapping[str, str]) -> dict[str, str]:
        """Collect all but the stimuli that the recording depends on.

        Stimuli may be too large to read them first; `Fingerprint` compares those shown.

        Parameters
        ----------
        facts : mapping of str to str
            The recording's provenance, and other facts that must be the same.
        """
        # Quantiles depend on all stimuli, those not shown yet included.
        limits = hashlib.sha256()
        for block in self.layout.blocks:
            limits.update(repr(block.limits.tolist()).encode())
        units = self.layout.units
        labels = None if self.labels is None else self.labels.tolist()
        # Keras numbers the names of models within a process, so a resumed one differs.
        own = {}
        if self.columns:
            own["presentations"] = table_sha256(pd.DataFrame(dict(self.columns)))
        if self.steps is not None and self.steps.lengths is not None:
            own["lengths"] = hashlib.sha256(self.steps.lengths.tobytes()).hexdigest()
        return {
            **{key: value for key, value in facts.items() if key != "model_name"},
            **own,
            "labels": hashlib.sha256(repr(labels).encode()).hexdigest(),
            "limits": limits.hexdigest(),
            "n_samples": str(self.stimuli.n_samples),
            "predictions": str(self.read_classes is not None),
            "units": table_sha256(checked_units(units, len(units))),
        }

    def digest(self, facts: Mapping[str, str]) -> str:
        """Return a SHA-256 that all parts of one recording have in common.

        Parameters
        ----------
        facts : mapping of str to str
            As for `identity`. Parts may be recorded on devices of different names.
        """
        same = {key: value for key, value in facts.items() if key != "device"}
        # Of the stimuli some are compared, since a part does not read the others.
        stimuli = Fingerprint()
        if isinstance(self.stimuli, ArrayStimuli):
            last = self.stimuli.n_samples - 1
            places = np.unique(np.linspace(0, last, _COMPARED_SAMPLES).astype(np.int64))
            for batch in self.stimuli.batches(places, _COMPARED_BATCH):
                stimuli.update(batch)
        identity = {**self.identity(same), "stimuli": str(stimuli)}
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def make_plan(
    adapter: Adapter,
    layers: tuple[LayerInfo, ...] | None,
    x: Any,
    *,
    threshold: Threshold,
    units: UnitChoice,
    training: bool,
    time: TimeAxis | None = None,
    emission: Emission = "threshold",
    lengths: npt.ArrayLike | None = None,
    labels: npt.ArrayLike | None = None,
    stimulus_id: npt.ArrayLike | None = None,
    presentations: Mapping[str, Any] | pd.DataFrame | None = None,
    predictions: bool | None = None,
    seed: int | None,
    shuffle: bool | None,
    batch_size: int | None = None,
    n_samples: int | None = None,
    n_repeats: int = 1,
    part: tuple[int, int] | None = None,
) -> RecordingPlan:
    """Check the arguments of a recording and fill in what they leave open.

    Parameters
    ----------
    adapter : Adapter
        The network, as its framework runs it.
    layers : tuple of LayerInfo or None
        The layers to record; None for the last hidden one.
    x, labels, stimulus_id, presentations, predictions, seed, shuffle, batch_size
        As in `ann2neo.record`.
    n_samples, n_repeats, part
        As in `ann2neo.record`.
    lengths
        As in `ann2neo.record`.
    threshold, units, training, emission
        As in `Probe`.
    time : TimeAxis or None
        What is time in the outputs; None if nothing is.

    Returns
    -------
    RecordingPlan
        The plan.

    Raises
    ------
    ActivationError, InputTypeError, InputValueError, LayerError
        As `ann2neo.record`.
    """
    n_repeats = whole_number(n_repeats, "n_repeats")
    shown = _checked_part(part, seed, n_repeats, adapter)
    seed = seed_or_new(seed)
    if batch_size is not None:
        batch_size = whole_number(batch_size, "batch_size")
    _check_weights(adapter)
    stimuli = as_stimuli(x, n_samples, adapter)
    classes = None
    if labels is not None:
        classes = checked_labels(
            labels, stimuli.n_samples, as_numbers=bool(predictions)
        )
    columns = checked_columns(stimulus_id, presentations, stimuli.n_samples)
    asked_to_shuffle = shuffle
    if shuffle is None:
        shuffle = isinstance(stimuli, ArrayStimuli)
    lengths = _lengths(lengths, stimuli.n_samples, time)
    if isinstance(stimuli, ArrayStimuli):
        _check_fixed_batch(adapter, stimuli.n_samples, batch_size)
    elif shuffle:
        raise InputValueError(
            "these stimuli come in batches and cannot be indexed, so ann2neo cannot"
            " shuffle them; leave shuffle out to show them as they come, or pass arrays"
        )
    elif n_repeats > 1 and stimuli.read_once:
        raise InputValueError(
            f"n_repeats={n_repeats} shows the stimuli again, and an iterator can be"
            " read only once; pass arrays, or a data set that can be iterated over"
            " again"
        )
    # A few samples show shapes and types before anything large is computed.
    first = stimuli.first(adapter.fixed_batch_size)
    if layers is None:
        layers = (adapter.last_hidden(first.data),)
        _LOG.info("recording the last hidden layer, %r", layers[0].key)
    checked = checked_threshold(threshold, [layer.key for layer in layers])
    rules = dict(zip(layers, checked, strict=True))
    # Without classes to compare, the pass can end at the deepest recorded layer.
    if predictions is None:
        some_labels = first.labels if classes is None else classes
        with_classes = some_labels is not None and some_labels.dtype.kind in "iub"
    else:
        with_classes = bool(predictions)
    if time is not None:
        time = time._replace(states=states_chosen(units))
        layers = tuple(_of_steps(layer, time) for layer in layers)
    forward = adapter.forward(layers, with_output=with_classes, time=time)
    shapes = forward.outputs_of(first.data)
    steps = None
    if time is not None:
        steps = Steps(time, n_steps_of(shapes), lengths)
        # Sequences that go on in the next batch must come in their order.
        _check_state(adapter, asked_to_shuffle)
        shuffle = shuffle and not adapter.is_stateful
    batch_size = (
        adapter.fixed_batch_size or batch_size or adapter.batch_size(shapes, first.data)
    )
    limits = limits_by_quantile(
        adapter,
        forward,
        stimuli,
        shapes,
        rules,
        steps=steps,
        seed=seed,
        batch_size=batch_size,
    )
    if steps is not None:
        # What remains of an output is units.
        shapes = [shape._replace(shape=shape.shape[1:]) for shape in shapes]
    layout = lay_out_units(shapes, limits, units, seed)
    if emission != "threshold":
        layout = layout.without_thresholds()
    read_classes = functools.partial(_classes_of, adapter, required=bool(predictions))
    plan = RecordingPlan(
        adapter=adapter,
        layers=layers,
        forward=forward,
        stimuli=stimuli,
        labels=classes,
        columns=columns,
        rules=rules,
        steps=steps,
        emission=emission,
        layout=layout,
        batch_size=batch_size,
        n_repeats=n_repeats,
        seed=seed,
        shuffle=bool(shuffle),
        training=training,
        read_classes=read_classes if with_classes else None,
        part=shown,
    )
    if plan.part is not None:
        _check_part(plan, plan.part)
    return plan


def _checked_part(
    part: Any, seed: int | None, n_repeats: int, adapter: Adapter
) -> Part | None:
    if part is None:
        return None
    try:
        number, n = part
    except (TypeError, ValueError) as error:
        raise InputTypeError(
            f"part must be two numbers, such as (3, 16), got {part!r}"
        ) from error
    n = whole_number(n, "the number of parts")
    number = whole_number(number, "the part")
    if number > n:
        raise InputValueError(
            f"part must be one of 1 .. {n} of {n} parts, got {number}; parts are"
            " counted from 1"
        )
    if seed is None:
        raise InputValueError(
            "part= needs a seed, the same one for all parts; pass, for example, seed=0"
            " (--seed 0)"
        )
    if n_repeats > 1:
        raise InputValueError(
            f"part= shows the stimuli once, got n_repeats={n_repeats}; record each"
            " repeat into a folder of its own"
        )
    if adapter.is_stateful:
        raise InputValueError(
            f"{adapter.model_name!r} carries a state from batch to batch, so that no"
            " part can do without those before it; record all stimuli in one piece"
        )
    return Part(number, n)


def _check_part(plan: RecordingPlan, part: Part) -> None:
    """Raise if the stimuli cannot be divided, or not into so many parts."""
    if not isinstance(plan.stimuli, ArrayStimuli):
        raise InputValueError(
            "part= needs stimuli that can be indexed, and these come in batches; pass"
            " arrays, memory maps or HDF5 data sets"
        )
    n_samples = plan.stimuli.n_samples
    n_batches = -(-n_samples // plan.batch_size)
    # Whichever part it is: with an empty one the recording would never be whole.
    if part.n > n_batches:
        raise InputValueError(
            f"{part.n} parts of whole batches are too many: {n_samples} stimuli in"
            f" batches of {plan.batch_size} allow {n_batches} at most; make fewer, or"
            " pass a smaller batch_size (--batch-size)"
        )


def _check_weights(adapter: Adapter) -> None:
    """Raise if a weight is NaN or infinite.

    Some operations hide it: TensorFlow's fused ReLU makes 0 of NaN, which would be
    recorded as silence.
    """
    for name, values in adapter.weights():
        if not all_finite(values):
            raise ActivationError(
                f"the weight {name!r} of {adapter.model_name!r} holds NaN or infinity;"
                " record the network as it was before its training diverged"
            )


def _lengths(
    lengths: npt.ArrayLike | None, n_samples: int | None, time: TimeAxis | None
) -> npt.NDArray[np.int64] | None:
    if lengths is None:
        return None
    if time is None:
        raise InputValueError(
            "lengths count the steps of each sample, and no axis is time; pass"
            " time_axis=, which is 1 for outputs of shape (batch, step, unit)"
        )
    return checked_lengths(lengths, n_samples)


def _of_steps(layer: LayerInfo, time: TimeAxis) -> LayerInfo:
    """Choose the same output of every call of a layer, where these are its steps."""
    if layer.only is None or time.axis != "calls":
        return layer
    return layer._replace(only=layer.only._replace(call_index=0, n_calls=None))


def _check_state(adapter: Adapter, asked_to_shuffle: bool | None) -> None:
    """Raise if sequences that go on from batch to batch would be shuffled."""
    if asked_to_shuffle and adapter.is_stateful:
        raise InputValueError(
            f"{adapter.model_name!r} carries a state from batch to batch, so that its"
            " sequences go on there, and shuffling would break them; leave shuffle out"
        )


def _check_fixed_batch(
    adapter: Adapter, n_samples: int, batch_size: int | None
) -> None:
    """Check the samples against the batch size that a model insists on."""
    fixed = adapter.fixed_batch_size
    if fixed is None:
        return
    rule = f"the model {adapter.model_name!r} takes batches of {fixed} only"
    if batch_size not in {None, fixed}:
        raise InputValueError(
            f"{rule}, got batch_size={batch_size}; leave batch_size out"
        )
    if n_samples % fixed:
        raise InputValueError(
            f"{rule}, and {n_samples} samples do not divide; show"
            f" {n_samples - n_samples % fixed} of them"
        )


def _classes_of(
    adapter: Adapter, output: Any, *, required: bool
) -> npt.NDArray[np.int32] | None:
    """Read classes from a model's output.

    Parameters
    ----------
    adapter : Adapter
        The framework.
    output : nest of tensor
        The model's output for a batch.
    required : bool
        Whether an output without classes is an error.

    Returns
    -------
    ndarray of int32, shape (n_samples,), or None
        The largest score of each sample, or whether a single sigmoid is above 0.5. None
        if the output is neither.

    Raises
    ------
    InputValueError
        If classes are required and the output holds none.
    """
    tensors = leaves_of(output)
    shapes = [tuple(tensor.shape) for tensor in tensors]
    n_scores = shapes[0][1] if len(shapes) == 1 and len(shapes[0]) == 2 else 0
    if n_scores > 1:
        best: npt.NDArray[np.intp] = adapter.to_numpy(tensors[0]).argmax(axis=1)
        return best.astype(np.int32)
    if n_scores == 1 and adapter.ends_in_sigmoid:
        return (adapter.to_numpy(tensors[0])[:, 0] > 0.5).astype(np.int32)
    if not required:
        return None
    raise InputValueError(
        f"the output of {adapter.model_name!r}, {shapes}, is neither one score per"
        " class (batch, n_classes) nor a single sigmoid, so it predicts no class; leave"
        " predictions=True out"
    )
