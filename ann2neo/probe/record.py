"""Probe and record: the spikes of a network's units while stimuli are shown to it."""

from __future__ import annotations

import contextlib
import functools
import reprlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Concatenate, Literal, NamedTuple, ParamSpec, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd
import quantities as pq
from tqdm.auto import tqdm

from ann2neo._checks import seconds
from ann2neo.errors import InputValueError
from ann2neo.probe.activity import warn_of_clipping, warn_of_silence, warn_of_steps
from ann2neo.probe.adapter import LayerChoice, LayerInfo, adapter_for
from ann2neo.probe.emission import Emission, checked_emission
from ann2neo.probe.plan import RecordingPlan, make_plan
from ann2neo.probe.show import Presented, Shown, joined, show
from ann2neo.probe.steps import checked_time_axis
from ann2neo.probe.thresholds import Threshold, checked_threshold
from ann2neo.probe.units import UnitChoice
from ann2neo.raster import SpikeRaster
from ann2neo.recording import Recording
from ann2neo.recording.folder import UnfinishedFolder, unfinished_plan
from ann2neo.recording.parts import part_folder
from ann2neo.recording.segments import Phase, phase_table
from ann2neo.recording.steps import trial_segments
from ann2neo.recording.tables import STIMULUS_PLACE, presentation_table

__all__ = ["Probe", "record"]

P = ParamSpec("P")
R = TypeVar("R")


def _leaving_random_states(
    method: Callable[Concatenate[Probe, P], R],
) -> Callable[Concatenate[Probe, P], R]:
    """Make a method leave the random generators of the framework as they were."""

    @functools.wraps(method)
    def leaving(self: Probe, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with self._adapter.kept():
            return method(self, *args, **kwargs)

    return leaving


class Probe:
    """Records layers of a network, any number of times.

    The forward pass is compiled at the first recording and used again at the next. The
    network is left as it was: no weight, no trainable flag, no compiled state and no
    random seed changes.

    Parameters
    ----------
    model : keras.Model or torch.nn.Module
        A model with weights, on the device where it lies. Of Keras: Sequential,
        functional, nested or subclassed, on TensorFlow, JAX or PyTorch.
    layers : layer or module, class of those, str, predicate, list of those, or None
        What to record: a `keras.Layer` or `torch.nn.Module`; a class of layers; a name,
        a path, or a glob over either, which leaves out models inside the model and
        layers that only reshape; "with weights" or "with an activation"; a function of
        a layer that says whether to take it; of a functional Keras model also a
        `keras.KerasTensor` in it, which is one output of a layer or operation, or the
        name of an operation, such as "add"; a list of those. Units stand in the order
        asked, and where one item chooses several layers, in that of the model. None,
        the default, is the last hidden layer: the one whose output enters the last
        layer with weights, walking back over flattening, reshaping, dropout and
        pooling.
    threshold : float, str, array_like, mapping or list, default 0.0, dimensionless
        A unit spikes where its activation is strictly above this: a number; one number
        per unit; ``"quantile:q"`` for each unit's own quantile over the stimuli; or one
        of those for each layer, as a mapping from layer names or a list in the order
        asked. Quantiles need stimuli that can be indexed: they are taken in a
        first pass over all of them, or over a seeded sample whose activations fit into
        256 MB.
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
        Run the network operation by operation, which is much slower, and records
        layers inside loops and compiled functions too. TensorFlow's switch for this
        applies to the whole process; it is reset after every batch. PyTorch always runs
        so; its pass then does not end after the deepest recorded module.
    time_axis : int or "calls", optional
        Axis of the outputs, counted with the batch as 0, whose steps are time bins: 1
        for outputs of shape (batch, step, unit) of recurrent layers, transformers and
        causal convolutions. Each presentation is then a trial: a segment of as many
        bins as it has steps, without those that a mask of the layer, an attention mask
        of the stimuli, or `lengths` counts as padding. Of a recurrent layer that
        returns only its last output, and of its other states, the steps are computed by
        its own cell; such states are recorded where `units` names them, as in
        ``{"lstm": {"state": ["h", "c"]}}``. "calls" takes the calls of a layer within
        one pass as steps. Sequences that a stateful network goes on with from batch to
        batch make up one segment. Steps are units if not given.
    emission : {"threshold", "bernoulli", "poisson"}
        How spikes follow from activations a: by the threshold; or drawn, with
        probability a (clipped to 0..1), or 1 - exp(-a). Drawn spikes depend on the
        recording's `seed`, repeat, sample, step and unit alone. Given the activations
        they are independent, which tests of dependence over time will find.

    Raises
    ------
    LayerError
        If a layer is unknown or ambiguous; valid ones are listed.
    InputTypeError, InputValueError
        If the model is of another framework or has no weights yet, or an argument is
        invalid.
    MissingExtraError
        If the framework is not installed.

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
        layers: LayerChoice = None,
        threshold: Threshold = 0.0,
        *,
        units: UnitChoice = None,
        training: bool = False,
        eager: bool = False,
        time_axis: int | Literal["calls"] | None = None,
        emission: Emission = "threshold",
    ) -> None:
        self.model, self.training, self.eager = model, bool(training), bool(eager)
        self._threshold, self._units = threshold, units
        self._time = checked_time_axis(time_axis)
        self._emission = checked_emission(emission, threshold)
        self._has_warned = False
        self._adapter = adapter_for(model, training=self.training, eager=self.eager)
        # The last hidden layer can be found only once there are stimuli.
        self._layers: tuple[LayerInfo, ...] | None = None
        if layers is not None:
            self._layers = self._adapter.choose_layers(layers)
            checked_threshold(threshold, [layer.key for layer in self._layers])

    @_leaving_random_states
    def record(
        self,
        x: Any,
        *,
        lengths: npt.ArrayLike | None = None,
        labels: npt.ArrayLike | None = None,
        stimulus_id: npt.ArrayLike | None = None,
        presentations: Mapping[str, Any] | pd.DataFrame | None = None,
        predictions: bool | None = None,
        seed: int | None = None,
        shuffle: bool | None = None,
        phase: str = "recording",
        batch_size: int | None = None,
        n_samples: int | None = None,
        n_repeats: int = 1,
        sampling_period: pq.Quantity = 1 * pq.ms,
        t_start: pq.Quantity | None = None,
        progress: bool | None = None,
        provenance: Mapping[str, object] | None = None,
        out: str | Path | None = None,
        part: tuple[int, int] | None = None,
    ) -> Recording:
        """Show stimuli and record the spikes; see `ann2neo.record`."""
        if part is not None and out is None:
            raise InputValueError(
                "part= makes one part of a recording in a folder; pass out=, the same"
                " folder for all parts"
            )
        seconds(sampling_period, "sampling_period", positive=True)
        if t_start is not None:
            seconds(t_start, "t_start")
        if seed is None and out is not None:
            unfinished = unfinished_plan(out)
            seed = None if unfinished is None else int(unfinished["seed"])
        plan = self._plan(
            x,
            lengths=lengths,
            labels=labels,
            stimulus_id=stimulus_id,
            presentations=presentations,
            predictions=predictions,
            seed=seed,
            shuffle=shuffle,
            batch_size=batch_size,
            n_samples=n_samples,
            n_repeats=n_repeats,
            part=part,
        )
        facts = plan.provenance(provenance or {})
        if plan.part is not None and out is not None:
            out = part_folder(out, *plan.part)
            facts = {
                **facts,
                "part": str(plan.part),
                "whole": plan.digest({**facts, "phase": phase}),
            }
        with contextlib.ExitStack() as stack:
            folder = None
            if out is not None:
                folder = _open_folder(out, plan, {**facts, "phase": phase})
                stack.callback(folder.close)
            with _progress_bar(phase, plan.n_presentations, progress) as bar:
                shown = show(plan, folder, bar)
            if plan.emission != "threshold":
                share = shown.done.n_clipped / max(1, shown.done.n_drawn)
                facts["share_clipped"] = f"{share:.6g}"
            tables = _tables(plan, phase, shown.repeats)
            raster = shown.builder.build(
                sampling_period=sampling_period, t_start=t_start
            )
            recording = Recording(
                _arranged(raster, tables, folder, shown),
                plan.layout.units,
                tables.presentations,
                provenance=facts,
                identifier=None if folder is None else folder.identifier,
                session_start_time=None
                if folder is None
                else folder.session_start_time,
                phases=tables.phases,
                segments=tables.segments,
            )
            if folder is not None:
                folder.finish(recording)
        if plan.emission != "threshold":
            warn_of_clipping(shown.done.n_clipped, shown.done.n_drawn, plan.emission)
        warn_of_silence(recording.raster, recording.units)
        return recording

    @_leaving_random_states
    def spikes(
        self, x: Any, *, seed: int, shuffle: bool | None = None
    ) -> tuple[SpikeRaster, pd.DataFrame]:
        """Show stimuli and return the spikes alone.

        This is quick enough to do after every batch of a training.

        Parameters
        ----------
        x : array, list or dict of arrays, DataFrame
            The stimuli, as `record` takes them.
        seed : int
            Seed of the order, the choice of units and stochastic layers, as in
            `record`.
        shuffle : bool, optional
            Show the samples in a random order; by default, if they can be indexed.

        Returns
        -------
        raster : SpikeRaster
            The same spikes as those of `record`, axes (unit, time_bin), in time bins of
            1 ms; the steps of trials follow one another as they were shown.
        units : pandas.DataFrame
            The units, one per row.

        Raises
        ------
        ActivationError, InputTypeError, InputValueError, LayerError
            As `record`. There is no warning of silent units.

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
        plan = self._plan(x, seed=seed, shuffle=shuffle)
        shown = show(plan, None, _progress_bar("spikes", None, wanted=False))
        return shown.builder.build(), plan.layout.units

    def __repr__(self) -> str:
        layers = "the last hidden layer"
        if self._layers is not None:
            keys = [repr(str(layer)) for layer in self._layers]
            layers = ", ".join(keys[:3])
            if len(keys) > 3:
                layers += f" and {len(keys) - 3} more"
        threshold = reprlib.repr(self._threshold)
        return f"Probe({self._adapter.model_name!r}: {layers}, threshold {threshold})"

    def _plan(self, x: Any, **arguments: Any) -> RecordingPlan:
        """Make a plan with the settings of this probe; keep the last hidden layer."""
        plan = make_plan(
            self._adapter,
            self._layers,
            x,
            threshold=self._threshold,
            units=self._units,
            training=self.training,
            time=self._time,
            emission=self._emission,
            **arguments,
        )
        self._layers = plan.layers
        if self._time is None and not self._has_warned:
            self._has_warned = True
            warn_of_steps(plan.layout.blocks)
        return plan


def record(
    model: Any,
    x: Any,
    *,
    layers: LayerChoice = None,
    threshold: Threshold = 0.0,
    units: UnitChoice = None,
    time_axis: int | Literal["calls"] | None = None,
    lengths: npt.ArrayLike | None = None,
    emission: Emission = "threshold",
    labels: npt.ArrayLike | None = None,
    stimulus_id: npt.ArrayLike | None = None,
    presentations: Mapping[str, Any] | pd.DataFrame | None = None,
    predictions: bool | None = None,
    seed: int | None = None,
    shuffle: bool | None = None,
    phase: str = "recording",
    batch_size: int | None = None,
    n_samples: int | None = None,
    training: bool = False,
    n_repeats: int = 1,
    eager: bool = False,
    sampling_period: pq.Quantity = 1 * pq.ms,
    t_start: pq.Quantity | None = None,
    progress: bool | None = None,
    provenance: Mapping[str, object] | None = None,
    out: str | Path | None = None,
    part: tuple[int, int] | None = None,
) -> Recording:
    """Show stimuli to a network and record which of its units spike.

    A spike is an activation strictly above the threshold. Each stimulus is shown for
    one time bin, or with `time_axis` for as many as it has steps.
    The network is left as it was.

    Parameters
    ----------
    model : keras.Model or torch.nn.Module
        A model with weights, on the device where it lies. Of Keras: Sequential,
        functional, nested or subclassed, on TensorFlow, JAX or PyTorch.
    x : array, list or dict of arrays, DataFrame, Dataset, loader or iterable of batches
        The stimuli, one sample per entry of the first axis; sparse matrices of SciPy
        are filled in batch by batch. A network of PyTorch takes a list as several
        arguments and a dict as keywords. Data that comes in batches is read once; a
        batch is stimuli or a tuple (stimuli, labels), as `x` itself may be. Of a
        PyTorch loader that gives dicts, the entry "labels" is the labels.
    layers, threshold, units, training, eager, time_axis, emission
        As in `Probe`.
    lengths : array_like of int, shape (n_samples,), optional
        Number of steps of each sample, in the order of `x`; what comes after them is
        padding. By default what the network's masks say, else all steps. Needs
        `time_axis`.
    labels : array_like of int or str, shape (n_samples,), optional
        Class of each stimulus, in the order of `x`. A single column is flattened,
        one-hot rows become class numbers. Without this argument, labels that come with
        the stimuli are used; beside it, they must not contradict it.
    stimulus_id : array_like of int or str, shape (n_samples,), optional
        Name or number of each stimulus; its place in `x` if not given. Stimuli of one
        `stimulus_id` count as the same one. Places are then kept as the column
        ``stimulus_place``, by which `Recording.in_stimulus_order` sorts and
        ``write_nwb(stimuli=...)`` finds what was shown.
    presentations : mapping of str to array_like or DataFrame, optional
        Columns of your own, such as file names, for the table of presentations; one
        entry or row per sample, in the order of `x`.
    predictions : bool, optional
        Record the class that the network predicts, which requires the whole forward
        pass. By default, if labels are integers and the output is one score per class
        or a single sigmoid.
    seed : int, optional
        Seed of the order, the choice of units and stochastic layers; drawn if not
        given. It is kept in the provenance.
    shuffle : bool, optional
        Show the samples in a random order, as the paper does;
        `Recording.in_stimulus_order` undoes it. By default True for stimuli that can
        be indexed, such as arrays; data that comes in batches is shown as it comes.
    phase : str, default "recording"
        Name of this stretch of the recording; with repeats, ``phase_1``, ``phase_2``
        and so on.
    batch_size : int, optional
        Samples in a forward pass, preferably a multiple of 8; by default up to 1 024
        (256 for models whose layers do not declare their shapes), fewer for wide
        layers. Does not apply to data that comes in batches.
    n_samples : int, optional
        Number of samples to take from data that comes in batches; all if not given.
    n_repeats : int, default 1
        Number of times to show all stimuli. Each repeat is a phase of its own, with
        ``training=True`` also with its own noise.
    sampling_period : quantities.Quantity, time, default 1 ms
        Length of a time bin.
    t_start : quantities.Quantity, time, default 0 ms
        Left edge of the first bin.
    progress : bool, optional
        Show a progress bar; by default only in a terminal.
    provenance : mapping of str to str, optional
        Further facts to keep, such as ``{"dataset": "mnist", "split": "test"}``.
    out : str or Path, optional
        A folder that keeps the spikes as a memory map, for recordings larger than
        memory; `Recording.open` reads it again. All its disk space is claimed at the
        start. After an interruption, the same call resumes the recording, once it has
        read what was shown and found it unchanged; stateful networks start again from
        the beginning.
    part : tuple of int, optional
        ``(k, n)``: record the k-th (from 1) of n parts of the stimuli into `out`, with
        a `seed`, so that n processes or machines can share the work. All parts take the
        same arguments, and the same `batch_size` if their devices differ. Once all are
        there, `Recording.open` of `out` joins them to the recording that one process
        would have made.

    Returns
    -------
    Recording
        One phase, or one per repeat. The order of a phase is "random" if it is shuffled
        and no layer is stateful, "stored" if arrays were shown as they are, and
        "unknown" otherwise. With `time_axis`, each presentation has a segment.

    Raises
    ------
    LayerError
        If a layer is unknown, ambiguous, never ran, or ran inside a loop.
    ActivationError
        If a weight, a stimulus or an activation is NaN or infinite, or an activation
        has no batch axis, or another shape than before; layer and presentation are
        named.
    InputTypeError, InputValueError
        If the model does not take the stimuli, or an argument is invalid.
    OutputExistsError, OutputLockedError, OutputError
        If `out` holds something else, such as an unfinished recording of other stimuli,
        is being written, or cannot be.
    IntegrityError
        If `out` holds an unfinished recording that is damaged.

    Warns
    -----
    ActivityWarning
        If more than half of the units of a layer are silent or saturated, or
        activations were clipped to draw spikes.
    StepsWarning
        If the steps of sequences became units, since `time_axis` was not given.

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
    probe = Probe(
        model,
        layers,
        threshold,
        units=units,
        training=training,
        eager=eager,
        time_axis=time_axis,
        emission=emission,
    )
    return probe.record(
        x,
        lengths=lengths,
        labels=labels,
        stimulus_id=stimulus_id,
        presentations=presentations,
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
        part=part,
    )


def _open_folder(
    out: str | Path, plan: RecordingPlan, facts: Mapping[str, str]
) -> UnfinishedFolder:
    if plan.n_time_bins is None or plan.n_presentations is None:
        raise InputValueError(
            "out= needs to know how many samples there are, and these stimuli have no"
            " known length; pass n_samples, or arrays"
        )
    return UnfinishedFolder(
        out,
        plan.identity(facts),
        len(plan.layout.units),
        plan.n_time_bins,
        None if plan.steps is None else plan.n_presentations,
    )


def _progress_bar(phase: str, total: int | None, wanted: bool | None) -> tqdm[Any]:
    # None leaves the choice to tqdm: a bar if standard error is a terminal.
    return tqdm(
        total=total,
        desc=phase,
        unit=" samples",
        disable=None if wanted is None else not wanted,
    )


class _Tables(NamedTuple):
    """Tables of a recording, and where its bins come from.

    Parameters
    ----------
    presentations : pandas.DataFrame
        The presentations.
    phases, segments : pandas.DataFrame or None
        The phases, or the segments of trials; None for the other.
    starts, stops : ndarray of int64, shape (n_presentations,)
        Bins of each presentation as they were shown, in the order of the table.
    """

    presentations: pd.DataFrame
    phases: pd.DataFrame | None
    segments: pd.DataFrame | None
    starts: npt.NDArray[np.int64]
    stops: npt.NDArray[np.int64]


def _arranged(
    raster: SpikeRaster, tables: _Tables, folder: UnfinishedFolder | None, shown: Shown
) -> SpikeRaster:
    """Return the bins in the order of the presentations, without room left over."""
    starts, stops = tables.starts, tables.stops
    in_order = bool((starts[1:] >= starts[:-1]).all())
    if folder is None:
        return raster if in_order else raster.join(starts, stops)
    if in_order and raster.n_time_bins == folder.n_time_bins:
        return raster
    folder.arrange(raster, starts, stops, shown.done, shown.fingerprint)
    return SpikeRaster(
        folder.bits,
        raster.n_units,
        raster.n_time_bins,
        sampling_period=raster.sampling_period,
        t_start=raster.t_start,
    )


def _tables(plan: RecordingPlan, phase: str, repeats: list[Presented]) -> _Tables:
    """Make the tables of phases or segments and of presentations."""
    names = [phase]
    if plan.n_repeats > 1:
        names = [f"{phase}_{number}" for number in range(1, plan.n_repeats + 1)]
    n_shown = [len(repeat.stimulus_id) for repeat in repeats]
    # All samples, where only a part of them is shown.
    n_samples = {*n_shown} if plan.part is None else {plan.stimuli.n_samples}
    own = dict(plan.columns)
    if plan.labels is not None:
        own["labels"] = plan.labels
    if plan.steps is not None and plan.steps.lengths is not None:
        own["lengths"] = plan.steps.lengths
    for name, values in own.items():
        if n_samples != {len(values)}:
            raise InputValueError(
                f"{name} must have one entry per sample, {n_shown[0]}, got"
                f" {len(values)}; pass the {name} of the same samples"
            )
    stimulus_id = np.concatenate([repeat.stimulus_id for repeat in repeats])
    labels = joined([repeat.labels for repeat in repeats])
    if plan.labels is not None:
        labels = plan.labels[stimulus_id]
    columns = {name: values[stimulus_id] for name, values in plan.columns.items()}
    predictions = joined([repeat.predictions for repeat in repeats])
    lengths = joined([repeat.lengths for repeat in repeats])
    if lengths is None:
        lengths = np.ones(len(stimulus_id), np.int64)
    order, begins = _streams(plan, repeats)
    stops = np.cumsum(lengths)
    starts = stops - lengths
    phase_column: Any = pd.array(names, dtype="str").repeat(n_shown)
    presentations = presentation_table(
        len(order),
        phase_column,
        labels=None if labels is None else labels[order],
        predictions=None if predictions is None else predictions[order],
        stimulus_id=columns.pop("stimulus_id", stimulus_id)[order],
        lengths=lengths[order],
    )
    if "stimulus_id" in plan.columns:
        presentations[STIMULUS_PLACE] = stimulus_id[order]
    presentations = presentations.assign(
        **{name: values[order] for name, values in columns.items()}
    )
    phases = segments = None
    if plan.steps is None:
        ends = np.cumsum(n_shown).tolist()
        phases = phase_table(
            [
                Phase(name, end - n, end, plan.order)
                for name, end, n in zip(names, ends, n_shown, strict=True)
            ]
        )
    else:
        segments = trial_segments(presentations, plan.order, begins=begins)
    return _Tables(presentations, phases, segments, starts[order], stops[order])


def _streams(
    plan: RecordingPlan, repeats: list[Presented]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Put sequences that go on from batch to batch behind one another.

    Sample i of each batch then goes on with sample i of the batch before::

        shown   a0 b0 | a1 b1 | a2 b2      two samples per batch
        order   a0 a1 a2 | b0 b1 b2        two segments

    Returns
    -------
    order : ndarray of int64, shape (n_presentations,)
        Numbers of the presentations, as they were shown.
    begins : ndarray of bool, shape (n_presentations,)
        Whether a segment begins there.
    """
    go_on = plan.steps is not None and plan.adapter.is_stateful
    orders, begins, first = [], [], 0
    for repeat in repeats:
        sizes = np.array(repeat.batch_sizes)
        n = int(sizes.sum())
        order = np.arange(n)
        batch = np.zeros(n, np.int64)
        if go_on:
            batch = np.repeat(np.arange(len(sizes)), sizes)
            place = order - np.repeat(np.cumsum(sizes) - sizes, sizes)
            order = np.lexsort((batch, place))
        orders.append(first + order)
        begins.append(batch[order] == 0)
        first += n
    return np.concatenate(orders), np.concatenate(begins)
