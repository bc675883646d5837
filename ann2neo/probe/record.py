"""Probe and record: what a network's units do while stimuli are shown to it."""

from __future__ import annotations

import functools
import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pandas as pd
import quantities as pq
from tqdm import tqdm

from ann2neo.errors import InputTypeError, InputValueError
from ann2neo.probe.activity import warn_of_silence
from ann2neo.probe.keras.capture import tensors_of
from ann2neo.probe.keras.forward import Forward, Tap, make_forward
from ann2neo.probe.keras.hidden import last_hidden_layer, watching
from ann2neo.probe.keras.layers import (
    Layers,
    NamedLayer,
    choose_layers,
    fixed_batch_size,
    is_stateful,
)
from ann2neo.probe.predictions import classes_of
from ann2neo.probe.provenance import software_versions, weights_sha256
from ann2neo.probe.quantiles import limits_by_quantile
from ann2neo.probe.run_checks import (
    check_fixed_batch,
    check_run,
    checked_seed,
    samples_a_pass,
)
from ann2neo.probe.session import Answers, Showing, joined, show_all
from ann2neo.probe.stimuli import ArrayStimuli, Batch, Stimuli, as_stimuli, class_labels
from ann2neo.probe.thresholds import checked_threshold, rule_in_words
from ann2neo.probe.unit_layout import make_layout
from ann2neo.raster import SpikeRaster, to_seconds
from ann2neo.recording import Recording
from ann2neo.recording.folder import FolderContent, UnfinishedFolder, unfinished_plan
from ann2neo.recording.tables import (
    Phase,
    checked_units,
    phase_table,
    presentation_table,
    table_sha256,
)

__all__ = ["Probe", "record"]

_LOG = logging.getLogger(__name__)


class Probe:
    """Listens to layers of a network: compiled at the first recording, used as often as
    wanted.

    The network is left as it was: no weight, no trainable flag, no compiled state and
    no random seed changes.

    Parameters
    ----------
    model : keras.Model
        A model with weights; Sequential, functional, nested or subclassed.
    layers : keras.Layer, str, predicate, list of those, or None
        What to record: a layer object; a name, a path, or a glob over either; a
        function of a layer that says whether to take it; a list of those. None, the
        default, is the last hidden layer: the one whose output enters the last layer
        with weights, walking back over flattening, reshaping, dropout and pooling.
    threshold : float, str, array_like, mapping or list, default 0.0, dimensionless
        A unit spikes where its activation is strictly above this: a number; one number
        a unit; ``"quantile:q"`` for each unit's own quantile over the stimuli; or one
        of those for each layer, as a mapping from layer names or a list in the order of
        the layers. Quantiles need stimuli that can be indexed: a first pass over them,
        or over a seeded sample whose activations fit into 256 MB, finds them.
    units : int, mapping, predicate, optional
        Which units to keep; all if not given. A number of each layer, drawn at random;
        a mapping from layer names to such a number or to coordinates, as in ``{"conv":
        {"channel": [0, 3], "row": slice(4, 8)}}``; a function of the unit table that
        returns a mask. Coordinates stay those of the whole layer.
    training : bool, default False
        Value of the model's ``training`` argument: True keeps dropout and noise active,
        seeded by the recording's `seed`, and normalizes batches by their own
        statistics, which the model does not keep.
    eager : bool, default False
        Run the network operation by operation: much slower, and hears layers inside
        loops and compiled functions. TensorFlow's switch for this is of the whole
        process; it is put back after every batch.

    Raises
    ------
    LayerError
        If a layer is unknown or ambiguous; valid ones are listed.
    InputTypeError, InputValueError
        If the model is no Keras model or has no weights yet, or an argument does not
        fit.

    Examples
    --------
    >>> import keras, numpy as np
    >>> model = keras.Sequential(
    ...     [keras.Input((4,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(2)]
    ... )
    >>> probe = Probe(model)
    >>> probe.record(np.ones((3, 4)), seed=0, phase="test").raster.shape
    (8, 3)
    """

    def __init__(
        self,
        model: Any,
        layers: Layers = None,
        threshold: Any = 0.0,
        *,
        units: Any = None,
        training: bool = False,
        eager: bool = False,
    ) -> None:
        if not isinstance(model, keras.Model):
            msg = f"model must be a keras.Model, got {type(model).__name__}"
            raise InputTypeError(
                f"{msg}; for other frameworks use Recording.from_activations"
            )
        if not model.built:
            msg = (
                f"the model {model.name!r} has no weights yet, and recording must not"
                " make them"
            )
            raise InputValueError(
                f"{msg}; call it once on a batch, or model.build(shape), before"
                " recording"
            )
        self.model, self.training, self.eager = model, bool(training), bool(eager)
        self._units = units
        self._threshold = threshold
        self._layers = None if layers is None else choose_layers(model, layers)
        if self._layers is not None:
            checked_threshold(threshold, [layer.key for layer in self._layers])
        self._only: Tap | None = None
        self._forwards: dict[bool, Forward] = {}

    def record(
        self,
        x: Any,
        *,
        labels: Any = None,
        predictions: bool | None = None,
        seed: int | None = None,
        shuffle: bool = True,
        phase: str = "recording",
        batch_size: int | None = None,
        n_samples: int | None = None,
        n_repeats: int = 1,
        sampling_period: Any = 1 * pq.ms,
        t_start: Any = None,
        progress: bool | None = None,
        provenance: Mapping[str, Any] | None = None,
        out: str | Path | None = None,
    ) -> Recording:
        """Show stimuli and record the spikes; see `ann2neo.record` for the
        arguments.
        """
        to_seconds(sampling_period, "sampling_period", positive=True)
        if t_start is not None:
            to_seconds(t_start, "t_start")
        stimuli, given = self._stimuli(x, labels, n_samples, predictions)
        seed = _seed(seed, out)
        first = self._first(stimuli, shuffle, n_repeats, batch_size)
        known = first.labels if given is None else given
        with_output = bool(
            predictions
            or (predictions is None and known is not None and known.dtype.kind in "iub")
        )
        layers = self._layers_for(first.data)
        rules = self._rules(layers)
        showing = self._showing(
            stimuli,
            first,
            rules,
            seed=seed,
            shuffle=shuffle,
            n_repeats=n_repeats,
            batch_size=batch_size,
            read_classes=(
                functools.partial(classes_of, self.model, required=bool(predictions))
                if with_output
                else None
            ),
        )
        order = self._order(stimuli, shuffle)
        facts = {
            **self._provenance(layers, rules),
            "seed": str(seed),
            "n_repeats": str(n_repeats),
            "batch_size": (
                str(showing.batch_size)
                if isinstance(stimuli, ArrayStimuli)
                else "as given"
            ),
            "order": order,
            **{str(key): str(value) for key, value in (provenance or {}).items()},
        }
        names = (
            [phase]
            if n_repeats == 1
            else [f"{phase}_{repeat + 1}" for repeat in range(n_repeats)]
        )
        folder = (
            None
            if out is None
            else _folder(out, showing, first, {**facts, "phase": phase})
        )
        try:
            with _progress_bar(phase, showing.n_time_bins, progress) as bar:
                builder, answers = show_all(showing, folder, bar)
            phases, presentations = _tables(names, answers, given, order)
            recording = Recording(
                builder.build(sampling_period=sampling_period, t_start=t_start),
                showing.layout.units,
                presentations,
                phases,
                facts,
                None if folder is None else folder.identifier,
                None if folder is None else folder.session_start_time,
            )
            if folder is not None:
                folder.finish(_content(recording))
        finally:
            if folder is not None:
                folder.close()
        warn_of_silence(recording.raster, recording.units)
        return recording

    def spikes(
        self, x: Any, *, seed: int, shuffle: bool = True
    ) -> tuple[SpikeRaster, pd.DataFrame]:
        """Show stimuli and keep the spikes alone, which is quick enough to do after
        every batch of a training.

        Parameters
        ----------
        x : array, list or dict of arrays, DataFrame
            The stimuli, as `record` takes them.
        seed : int
            Seeds the order, the choice of units and stochastic layers, as in `record`.
        shuffle : bool, default True
            Show the samples in a random order.

        Returns
        -------
        raster : SpikeRaster
            The spikes `record` would find, axes (unit, time_bin), in time bins of 1 ms.
        units : pandas.DataFrame
            Its units, a row each.

        Raises
        ------
        ActivationError, InputTypeError, InputValueError, LayerError
            As `record`; nothing is said of silent units.

        Examples
        --------
        >>> import keras, numpy as np
        >>> model = keras.Sequential(
        ...     [
        ...         keras.Input((4,)),
        ...         keras.layers.Dense(8, "relu"),
        ...         keras.layers.Dense(2),
        ...     ]
        ... )
        >>> raster, units = Probe(model).spikes(np.ones((3, 4)), seed=0)
        >>> raster.shape, len(units)
        ((8, 3), 8)
        """
        stimuli, _ = self._stimuli(x, None, None, None)
        first = self._first(stimuli, shuffle)
        rules = self._rules(self._layers_for(first.data))
        showing = self._showing(
            stimuli, first, rules, seed=checked_seed(seed), shuffle=shuffle
        )
        builder, _ = show_all(
            showing, None, _progress_bar("spikes", None, wanted=False)
        )
        return builder.build(), showing.layout.units

    def _first(
        self,
        stimuli: Stimuli,
        shuffle: bool,
        n_repeats: int = 1,
        batch_size: int | None = None,
    ) -> Batch:
        """Check how stimuli are to be shown, and take the first of them."""
        check_run(stimuli, shuffle, n_repeats, batch_size)
        check_fixed_batch(self.model, stimuli, batch_size)
        return stimuli.first(fixed_batch_size(self.model))

    def _rules(self, layers: list[NamedLayer]) -> dict[str, Any]:
        return checked_threshold(self._threshold, [layer.key for layer in layers])

    def _showing(
        self,
        stimuli: Stimuli,
        first: Batch,
        rules: Mapping[str, Any],
        *,
        seed: int,
        shuffle: bool,
        n_repeats: int = 1,
        batch_size: int | None = None,
        read_classes: Callable[[Any], npt.NDArray[np.int32] | None] | None = None,
    ) -> Showing:
        forward = self._forward(
            self._layers_for(first.data), with_output=read_classes is not None
        )
        shapes = forward.outputs_of(first.data)
        batch_size = (
            fixed_batch_size(self.model)
            or batch_size
            or samples_a_pass(self.model, shapes, first)
        )
        limits = limits_by_quantile(
            forward,
            stimuli,
            shapes,
            rules,
            seed=seed,
            batch_size=batch_size,
            training=self.training,
        )
        layout = make_layout(shapes, limits, self._only, self._units, seed)
        return Showing(
            forward,
            stimuli,
            layout,
            batch_size,
            n_repeats,
            seed,
            shuffle=shuffle,
            noisy=self.training,
            read_classes=read_classes,
        )

    def _stimuli(
        self, x: Any, labels: Any, n_samples: int | None, predictions: bool | None
    ) -> tuple[Stimuli, npt.NDArray[Any] | None]:
        inputs = getattr(self.model, "inputs", None)
        stimuli = as_stimuli(
            x,
            n_samples,
            n_inputs=None if inputs is None else len(keras.tree.flatten(inputs)),
        )
        if labels is None:
            return stimuli, None
        given = class_labels(labels)
        if given is None:
            msg = (
                "labels must be one integer or string a sample, shape"
                f" ({stimuli.n_samples},), got "
            )
            shown = np.asarray(labels)
            raise InputValueError(
                f"{msg}{shown.dtype} of shape {shown.shape}; bin or name the values"
            )
        if stimuli.n_samples is not None and len(given) != stimuli.n_samples:
            msg = (
                f"labels must have one entry a sample, {stimuli.n_samples}, got"
                f" {len(given)}"
            )
            raise InputValueError(f"{msg}; pass the labels of the same samples")
        if predictions and given.dtype.kind not in "iub":
            msg = (
                f"predictions are class numbers, which labels of type {given.dtype}"
                " cannot be compared with"
            )
            raise InputValueError(
                f"{msg}; pass labels as integers, or predictions=False"
            )
        return stimuli, given

    def _layers_for(self, data: Any) -> list[NamedLayer]:
        """The recorded layers; the last hidden one is found when the first stimuli are
        there.
        """
        if self._layers is None:
            seen: list[Any] = []
            outputs: list[Any] = []

            def run(nest: Any) -> None:
                with (
                    watching() as calls,
                    keras.StatelessScope(initialize_variables=False),
                ):
                    outputs.extend(tensors_of(self.model(nest, training=self.training)))
                seen.extend(calls)

            self._make([], with_output=False).abstractly(data, run)
            hidden = last_hidden_layer(self.model, seen, outputs)
            self._layers = choose_layers(self.model, hidden.layer)
            self._only = Tap(self._layers[0], hidden.call_index, hidden.output_index)
            _LOG.info("recording the last hidden layer, %r", self._layers[0].key)
        return self._layers

    def _forward(self, layers: list[NamedLayer], *, with_output: bool) -> Forward:
        if with_output not in self._forwards:
            self._forwards[with_output] = self._make(layers, with_output=with_output)
        return self._forwards[with_output]

    def _make(self, layers: list[NamedLayer], *, with_output: bool) -> Forward:
        return make_forward(
            self.model,
            layers,
            training=self.training,
            with_output=with_output,
            eager=self.eager,
        )

    def _order(self, stimuli: Stimuli, shuffle: bool) -> str:
        if shuffle:
            return "unknown" if is_stateful(self.model) else "random"
        # What comes in batches may have been shuffled where it comes from.
        return "stored" if isinstance(stimuli, ArrayStimuli) else "unknown"

    def _provenance(
        self, layers: list[NamedLayer], rules: Mapping[str, Any]
    ) -> dict[str, str]:
        return {
            **software_versions(),
            "backend": keras.backend.backend(),
            "model_name": self.model.name,
            "model_class": type(self.model).__name__,
            "weights_sha256": weights_sha256(self.model),
            "layers": ", ".join(layer.key for layer in layers),
            "threshold": json.dumps(
                {key: rule_in_words(rule) for key, rule in rules.items()}
            ),
            "training": str(self.training),
        }


def record(
    model: Any,
    x: Any,
    *,
    layers: Layers = None,
    threshold: Any = 0.0,
    units: Any = None,
    labels: Any = None,
    predictions: bool | None = None,
    seed: int | None = None,
    shuffle: bool = True,
    phase: str = "recording",
    batch_size: int | None = None,
    n_samples: int | None = None,
    training: bool = False,
    n_repeats: int = 1,
    eager: bool = False,
    sampling_period: Any = 1 * pq.ms,
    t_start: Any = None,
    progress: bool | None = None,
    provenance: Mapping[str, Any] | None = None,
    out: str | Path | None = None,
) -> Recording:
    """Show stimuli to a network and record which of its units spike.

    A spike is an activation strictly above the threshold; one stimulus is one time bin.
    The network is left as it was.

    Parameters
    ----------
    model : keras.Model
        A model with weights; Sequential, functional, nested or subclassed.
    x : array, list or dict of arrays, DataFrame, Dataset, loader or iterable of batches
        The stimuli, one sample per entry of the first axis. Data that comes in batches
        is read once; a batch is stimuli or a tuple (stimuli, labels).
    layers, threshold, units, training, eager
        As in `Probe`.
    labels : array_like of int or str, shape (n_samples,), optional
        What each stimulus is; in the order of `x`. A column of one is flattened,
        one-hot rows become class numbers. Labels that come with batches are used where
        these are not given.
    predictions : bool, optional
        Record the class the network names, which costs the rest of the forward pass. By
        default where labels are integers and the output is one score a class or a
        single sigmoid.
    seed : int, optional
        Seeds the order, the choice of units and stochastic layers; drawn if not given,
        and kept in the provenance.
    shuffle : bool, default True
        Show the samples in a random order, as the paper does;
        `Recording.in_stimulus_order` undoes it.
    phase : str, default "recording"
        Name of this stretch of the recording; with repeats, ``phase_1``, ``phase_2``
        and so on.
    batch_size : int, optional
        Samples in a forward pass, best a multiple of 8; by default up to 1 024 (256 for
        models that do not tell the shapes of their layers), fewer for wide layers. Does
        not apply to data that comes in batches.
    n_samples : int, optional
        How many samples to take from data that comes in batches; all if not given.
    n_repeats : int, default 1
        Show everything this often, a phase each, with ``training=True`` each with its
        own noise.
    sampling_period : quantities.Quantity, time, default 1 ms
        Length of a time bin.
    t_start : quantities.Quantity, time, default 0 ms
        Left edge of the first bin.
    progress : bool, optional
        Show a progress bar; by default where a terminal is there to show it.
    provenance : mapping of str to str, optional
        Further facts to keep, such as ``{"dataset": "mnist", "split": "test"}``.
    out : str or Path, optional
        A folder that keeps the bits as a memory map, for recordings larger than memory;
        `Recording.open` reads it again. An interrupted recording of stimuli that can be
        indexed goes on where it was when the same call is made again; stateful networks
        and data that comes in batches begin anew.

    Returns
    -------
    Recording
        One phase, or one a repeat. Phases carry the order "random" if shuffled and no
        layer is stateful, "stored" if arrays were shown as they are, and "unknown"
        otherwise.

    Raises
    ------
    LayerError
        If a layer is unknown, ambiguous, never ran, or ran inside a loop; the remedy is
        named.
    ActivationError
        If an activation is NaN or infinite, or has no batch axis; layer and
        presentation are named.
    InputTypeError, InputValueError
        If the model does not take the stimuli, or an argument does not fit.
    OutputExistsError, OutputLockedError, OutputError
        If `out` holds something else, is being written, or cannot be.

    Warns
    -----
    ActivityWarning
        If more than half of the units of a layer are silent or saturated.

    Examples
    --------
    >>> import keras, numpy as np
    >>> model = keras.Sequential(
    ...     [keras.Input((4,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(2)]
    ... )
    >>> recording = record(
    ...     model, np.ones((3, 4)), labels=[0, 1, 0], seed=0, phase="test"
    ... )
    >>> recording.presentations["label"].value_counts().to_dict()
    {0: 2, 1: 1}
    """
    probe = Probe(model, layers, threshold, units=units, training=training, eager=eager)
    return probe.record(
        x,
        labels=labels,
        predictions=predictions,
        seed=seed,
        shuffle=shuffle,
        phase=phase,
        batch_size=batch_size,
        n_samples=n_samples,
        n_repeats=n_repeats,
        sampling_period=sampling_period,
        t_start=t_start,
        progress=progress,
        provenance=provenance,
        out=out,
    )


def _seed(seed: Any, out: str | Path | None) -> int:
    """The user's seed; without one that of the recording to be resumed, or a
    new one.
    """
    if seed is not None:
        return checked_seed(seed)
    plan = None if out is None else unfinished_plan(out)
    return (
        int(np.random.default_rng().integers(2**31))
        if plan is None
        else int(plan["seed"])
    )


def _folder(
    out: str | Path, showing: Showing, first: Batch, facts: Mapping[str, str]
) -> UnfinishedFolder:
    """The folder of a recording, with all that the recording depends on as its plan."""
    n = showing.n_time_bins
    if n is None:
        msg = (
            "out= needs to know how many samples there are, and these stimuli do not"
            " tell"
        )
        raise InputValueError(f"{msg}; pass n_samples, or arrays")
    digest = hashlib.sha256()
    for leaf in keras.tree.flatten(first.data):
        digest.update(f"{leaf.dtype} {leaf.shape}".encode())
        digest.update(
            leaf.tobytes() if leaf.dtype != object else repr(leaf.tolist()).encode()
        )
    # The name of a model counts up within a process, and says nothing that its weights
    # do not.
    plan = {
        **{key: value for key, value in facts.items() if key != "model_name"},
        "first stimuli": digest.hexdigest(),
        "n_samples": str(showing.stimuli.n_samples),
        "predictions": str(showing.read_classes is not None),
        "units": table_sha256(
            checked_units(showing.layout.units, len(showing.layout.units))
        ),
    }
    return UnfinishedFolder(out, plan, len(showing.layout.units), n)


def _content(recording: Recording) -> FolderContent:
    return FolderContent(
        recording.raster,
        recording.units,
        recording.presentations,
        recording.phases,
        dict(recording.provenance),
        recording.identifier,
        recording.session_start_time,
    )


def _progress_bar(phase: str, total: int | None, wanted: bool | None) -> Any:
    # None leaves it to tqdm: a bar where standard error is a terminal.
    return tqdm(
        total=total,
        desc=phase,
        unit=" samples",
        disable=None if wanted is None else not wanted,
    )


def _tables(
    names: list[str], parts: list[Answers], given: npt.NDArray[Any] | None, order: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Phases and presentations of the repeats, one after another."""
    ends = np.cumsum([len(part.stimulus_id) for part in parts])
    lengths = np.diff(ends, prepend=0)
    if given is not None and (lengths != len(given)).any():
        raise InputValueError(
            f"labels must have one entry a sample, {lengths[0]}, got {len(given)}"
        )
    phases = [
        Phase(name, int(end - n), int(end), order)
        for name, end, n in zip(names, ends, lengths, strict=True)
    ]
    stimulus_id = joined([part.stimulus_id for part in parts])
    presentations = presentation_table(
        int(ends[-1]),
        pd.array(names, dtype="str").repeat(lengths),
        labels=(
            joined([part.labels for part in parts])
            if given is None
            else given[stimulus_id]
        ),
        predictions=joined([part.predictions for part in parts]),
        stimulus_id=stimulus_id,
    )
    return phase_table(phases), presentations
