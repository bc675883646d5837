"""Recording: a raster with its units, presentations, segments and provenance."""

from __future__ import annotations

import dataclasses
import hashlib
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
import quantities as pq

from ann2neo._checks import names_of, text_mapping
from ann2neo.errors import InputTypeError, InputValueError
from ann2neo.raster import RasterBuilder, SpikeRaster
from ann2neo.recording.activations import checked_activations, checked_threshold
from ann2neo.recording.concatenate import concatenated
from ann2neo.recording.html import recording_html
from ann2neo.recording.segments import (
    Phase,
    Segment,
    checked_segments,
    phase_summary,
    phase_table,
    segmented_phases,
    segments_of_phases,
)
from ann2neo.recording.select import (
    Choice,
    in_stimulus_order,
    select_layers,
    select_phases,
    select_presentations,
    select_time,
    select_units,
)
from ann2neo.recording.steps import trial_segments
from ann2neo.recording.tables import (
    DEFAULT_KIND,
    PRESENTATION_TYPES,
    checked_presentations,
    checked_units,
    empty_table,
    presentation_table,
    same_table,
)
from ann2neo.recording.trials import cut_trials, with_presentations

__all__ = ["Recording", "checked_recording"]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Recording:
    """What a network's (or a brain's) units did while stimuli were presented.

    Parameters
    ----------
    raster : SpikeRaster
        Spikes, axes (unit, time_bin).
    units : pandas.DataFrame, n_units rows
        One row per unit; for a network the columns of `UNIT_TYPES`, else whatever the
        source knows.
    presentations : pandas.DataFrame
        One row per interval in which one stimulus was shown: ``start_bin``,
        ``stop_bin`` (half-open), ``phase``, ``kind`` ("trials" if the column is left
        out), and where known ``stimulus_id``, ``label``, ``prediction``, ``is_correct``
        and columns of your own. Those of one kind do not overlap.
    phases : pandas.DataFrame, optional
        One row per phase that is one stretch of bins: ``phase``, ``start_bin``,
        ``stop_bin``, ``order`` (one of `ORDERS`).
    provenance : mapping of str to str, optional
        Where the recording came from: versions, seed, hash of the weights, data set.
    identifier : str, optional
        Unique name of the recording; a new UUID if not given.
    session_start_time : datetime, optional
        When it was recorded, with a time zone; now if not given.
    segments : pandas.DataFrame, optional
        In place of `phases`, one row per stretch of bins in which time runs on without
        a break: ``start_bin``, ``stop_bin``, ``phase``, ``order``, and ``t_start``, the
        time of its first bin in s on the segment's own clock (the recording's own time
        if the column is left out). A phase is the set of segments that name it. No
        statistic crosses the border of a segment, and bins in no segment are
        unobserved: no statistic uses them.
    timestamps_reference_time : datetime, optional
        The moment that time 0 of the recording stands for; `session_start_time` if not
        given.

    Raises
    ------
    InputTypeError, InputValueError
        If a table does not fit the raster, segments overlap, phases share a name or mix
        orders, a presentation crosses the border of a segment, presentations of one
        kind overlap, or a column has a type that files cannot keep.

    Notes
    -----
    Column types are fixed, so that a round trip through a file can be exact: string,
    bool, int64 with -1 for missing values, float64; a label or prediction may also be
    int32. Properties return copies of the tables.

    Examples
    --------
    >>> import numpy as np
    >>> recording = Recording.from_activations(
    ...     np.array([[0.5, 0.0], [1.2, -3.0]]), labels=[7, 3]
    ... )
    >>> recording.raster.spike_counts()
    array([2, 0])
    >>> recording.presentations["label"].to_list()
    [7, 3]
    """

    raster: SpikeRaster
    _units: pd.DataFrame
    _presentations: pd.DataFrame
    _segments: pd.DataFrame
    provenance: Mapping[str, str]
    identifier: str
    session_start_time: datetime
    timestamps_reference_time: datetime

    def __init__(
        self,
        raster: SpikeRaster,
        units: pd.DataFrame,
        presentations: pd.DataFrame,
        phases: pd.DataFrame | None = None,
        provenance: Mapping[str, str] | None = None,
        identifier: str | None = None,
        session_start_time: datetime | None = None,
        *,
        segments: pd.DataFrame | None = None,
        timestamps_reference_time: datetime | None = None,
    ) -> None:
        start = session_start_time or datetime.now().astimezone()
        reference = timestamps_reference_time or start
        for name, time in (
            ("session_start_time", start),
            ("timestamps_reference_time", reference),
        ):
            if time.tzinfo is None:
                raise InputValueError(
                    f"{name} must carry a time zone, got {time}; use .astimezone()"
                )
        if phases is not None and segments is None:
            segments = segments_of_phases(phases, raster)
        elif phases is not None or segments is None:
            raise InputValueError(
                "a recording needs one table of phases or one of segments, got"
                f" {'neither' if phases is None else 'both'}; pass phases= or segments="
            )
        segments = checked_segments(segments, raster)
        fields = {
            "raster": raster,
            "_units": checked_units(units, raster.n_units),
            "_segments": segments,
            "_presentations": checked_presentations(presentations, segments),
            "provenance": text_mapping(provenance, "provenance"),
            "identifier": str(uuid.uuid4()) if identifier is None else identifier,
            "session_start_time": start,
            "timestamps_reference_time": reference,
        }
        # A frozen dataclass assigns no attributes by itself.
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    # -- construction
    # ----------------------------------------------------------------------------------

    @classmethod
    def from_raster(
        cls,
        raster: SpikeRaster,
        units: pd.DataFrame | None = None,
        presentations: pd.DataFrame | None = None,
        *,
        phase: str = "recording",
        order: str = "unknown",
        provenance: Mapping[str, str] | None = None,
    ) -> Self:
        """Wrap a raster of any origin.

        Parameters
        ----------
        raster : SpikeRaster
            The spikes.
        units : pandas.DataFrame, optional
            One row per unit.
        presentations : pandas.DataFrame, optional
            ``start_bin``, ``stop_bin`` and what is known about the stimuli; empty if
            not given.
        phase : str, default "recording"
            Name of the one phase, which spans all bins.
        order : {"unknown", "random", "stored"}
            Order of the presentations.
        provenance : mapping of str to str, optional
            Where the spikes came from.

        Returns
        -------
        Recording
            The recording.

        Examples
        --------
        >>> recording = Recording.from_raster(
        ...     SpikeRaster.from_dense([[1, 0, 1], [0, 0, 1]])
        ... )
        >>> recording.n_units, recording.n_time_bins
        (2, 3)
        """
        if units is None:
            units = pd.DataFrame(index=pd.RangeIndex(raster.n_units))
        if presentations is None:
            presentations = empty_table(PRESENTATION_TYPES)
        if "phase" not in presentations:
            presentations = presentations.assign(
                phase=pd.Series(phase, presentations.index, dtype="str")
            )
        phases = phase_table([Phase(phase, 0, raster.n_time_bins, order)])
        return cls(raster, units, presentations, phases, provenance)

    @classmethod
    def from_activations(
        cls,
        activations: npt.ArrayLike,
        threshold: float | npt.ArrayLike = 0.0,
        *,
        axes: Sequence[str] | None = None,
        lengths: npt.ArrayLike | None = None,
        labels: npt.ArrayLike | None = None,
        predictions: npt.ArrayLike | None = None,
        stimulus_id: npt.ArrayLike | None = None,
        units: pd.DataFrame | None = None,
        layer: str = "activations",
        phase: str = "recording",
        order: str = "unknown",
        sampling_period: pq.Quantity = 1 * pq.ms,
        t_start: pq.Quantity | None = None,
        provenance: Mapping[str, str] | None = None,
    ) -> Self:
        """Threshold activations of any framework.

        Each presentation lasts one time bin, or one per step where an axis is steps: it
        is then a trial, with a segment of its own.

        Parameters
        ----------
        activations : array_like, shape (n_presentations, ...), dimensionless
            One row per presentation; further axes are flattened into units in C order.
            An array of three axes needs `axes`.
        threshold : float or array_like of float, shape (n_units,), default 0.0
            A unit spikes where its activation is strictly above this.
        axes : sequence of str, optional
            What each axis is: "presentation", "step" (of a sequence, each one time
            bin), or "unit", of which there may be several. Without "presentation", the
            steps are those of one trial.
        lengths : array_like of int, shape (n_presentations,), optional
            Number of steps of each presentation, whose others are padding; all if not
            given.
        labels, predictions, stimulus_id : array_like, (n_presentations,), optional
            Class shown, class predicted, and identity of each stimulus; integers or
            strings.
        units : pandas.DataFrame, optional
            One row per unit; layer and coordinates if not given.
        layer : str, default "activations"
            Name of the layer, where `units` is not given.
        phase, order, provenance
            As in `from_raster`.
        sampling_period, t_start : quantities.Quantity, time
            As in `SpikeRaster`.

        Returns
        -------
        Recording
            The recording.

        Raises
        ------
        ActivationError
            If an activation is NaN or infinite; presentation and unit are named.
        InputTypeError, InputValueError
            If activations are not numbers, there are no presentations, a length does
            not fit, or three axes are not named.

        Examples
        --------
        >>> import numpy as np
        >>> recording = Recording.from_activations(
        ...     [[0.9, -0.2], [0.4, 0.7]], threshold=0.5, labels=["cat", "dog"]
        ... )
        >>> recording.raster.to_dense().astype(int)  # axes (unit, time_bin)
        array([[1, 0],
               [0, 1]])
        >>> recording.presentations["label"].to_list()
        ['cat', 'dog']
        >>> trials = Recording.from_activations(
        ...     np.ones((2, 3, 4)),
        ...     axes=("presentation", "step", "unit"),
        ...     lengths=[3, 1],
        ... )
        >>> trials.presentations["stop_bin"].to_list()
        [3, 4]
        """
        values, steps = checked_activations(activations, axes, lengths)
        n_time_bins, n_units = values.shape
        limits = checked_threshold(threshold, n_units)
        builder = RasterBuilder(n_units, n_time_bins)
        # A comparison keeps the order of its operands, which may not be C order.
        builder.write(0, np.ascontiguousarray(values > limits))
        if units is None:
            units = pd.DataFrame(
                {"layer": layer, "unit_in_layer": range(n_units), "threshold": limits}
            )
        presentations = presentation_table(
            n_time_bins if steps is None else len(steps),
            phase,
            labels=labels,
            predictions=predictions,
            stimulus_id=stimulus_id,
            lengths=steps,
        )
        raster = builder.build(sampling_period=sampling_period, t_start=t_start)
        if steps is None:
            phases = phase_table([Phase(phase, 0, n_time_bins, order)])
            return cls(raster, units, presentations, phases, provenance)
        segments = trial_segments(
            presentations, order, begins=np.ones(len(steps), np.bool_)
        )
        return cls(
            raster, units, presentations, provenance=provenance, segments=segments
        )

    @classmethod
    def from_spike_times(
        cls,
        times: Any,
        bin_size: pq.Quantity = 1 * pq.ms,
        t_stop: pq.Quantity | float | None = None,
        t_start: pq.Quantity | float | None = None,
        observed: Any = None,
        units: Any = None,
    ) -> Recording:
        """Make a recording of spike times; the same as `ann2neo.from_spike_times`.

        Parameters
        ----------
        times : sequence or mapping of array_like, one per unit
            Spike times of each unit; numbers are seconds.
        bin_size, t_stop, t_start, observed, units
            As in `ann2neo.from_spike_times`.

        Returns
        -------
        Recording
            The recording.

        Examples
        --------
        >>> recording = Recording.from_spike_times([[0.0012, 0.0055], []], t_stop=0.01)
        >>> recording.raster.spike_bins(0)
        array([1, 5])
        """
        from ann2neo.recording.from_spike_times import from_spike_times

        return from_spike_times(times, bin_size, t_stop, t_start, observed, units)

    @classmethod
    def open(cls, folder: str | Path, *, verify: bool = True) -> Self:
        """Open a recording made with ``record(..., out=folder)``; bits stay on disk.

        Parameters
        ----------
        folder : str or Path
            The folder.
        verify : bool, default True
            Compare raster and tables with the checksums in the folder, which reads all
            bits once.

        Returns
        -------
        Recording
            The recording. Parts that were made with ``record(..., part=(k, n))`` are
            joined when they are opened for the first time: the bits are copied into
            files of the folder, and the parts stay, to be deleted by you.

        Raises
        ------
        InputValueError
            If there is no such folder.
        FileFormatError, IntegrityError
            If it holds no recording, an unfinished one, or a damaged one; parts that
            are missing, unfinished, or of different recordings are named.
        OutputError, OutputLockedError
            If parts cannot be joined there.

        Examples
        --------
        >>> import ann2neo, keras, tempfile
        >>> model = keras.Sequential(
        ...     [
        ...         keras.Input((4,)),
        ...         keras.layers.Dense(3, name="hidden"),
        ...         keras.layers.Dense(2),
        ...     ]
        ... )
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     recording = ann2neo.record(
        ...         model,
        ...         [[1.0] * 4] * 5,
        ...         layers="hidden",
        ...         seed=0,
        ...         out=f"{folder}/recording",
        ...     )
        ...     Recording.open(f"{folder}/recording").equals(recording)
        True
        """
        from ann2neo.recording.folder import read_folder
        from ann2neo.recording.parts import join_parts

        join_parts(cls, folder, verify=verify)
        return read_folder(cls, folder, verify=verify)

    # -- tables
    # ----------------------------------------------------------------------------------

    @property
    def units(self) -> pd.DataFrame:
        """One row per unit."""
        # Shallow: pandas copies cells when the caller writes to the table.
        return self._units.copy(deep=False)

    @property
    def presentations(self) -> pd.DataFrame:
        """One row per interval in which one stimulus was shown, in order of time."""
        return self._presentations.copy(deep=False)

    @property
    def segments(self) -> pd.DataFrame:
        """One row per stretch of bins in which time runs on, in order of time.

        Columns ``start_bin``, ``stop_bin``, ``phase``, ``order`` and ``t_start``, in s
        on the segment's own clock.
        """
        return self._segments.copy(deep=False)

    @property
    def phases(self) -> pd.DataFrame:
        """One row per phase, the segments that are analysed together, in time order.

        Columns ``phase``, ``order``, ``n_segments``, ``n_time_bins``, and the first bin
        of the first segment and the last of the last: ``start_bin``, ``stop_bin``.
        """
        return phase_summary(self._segments)

    @property
    def n_units(self) -> int:
        """Number of units."""
        return self.raster.n_units

    @property
    def n_time_bins(self) -> int:
        """Number of time bins."""
        return self.raster.n_time_bins

    @property
    def sampling_period(self) -> pq.Quantity:
        """Length of a time bin, in ms."""
        return self.raster.sampling_period

    @property
    def t_start(self) -> pq.Quantity:
        """Left edge of the first bin, in ms."""
        return self.raster.t_start

    @property
    def t_stop(self) -> pq.Quantity:
        """Right edge of the last bin, in ms."""
        return self.raster.t_stop

    def phase_raster(self, phase: str) -> SpikeRaster:
        """Return the raster of a phase that is one segment.

        Parameters
        ----------
        phase : str
            Name of the phase.

        Returns
        -------
        SpikeRaster
            Its bins, all units.

        Raises
        ------
        InputValueError
            If there is no such phase (the valid ones are listed), or it has several
            segments: see `iter_segments`.
        """
        bounds = self._one_segment(phase)
        return self.raster.slice(bounds.start_bin, bounds.stop_bin)

    def iter_phases(self) -> Iterator[Phase]:
        """Yield each phase in order of time, with its bounds and order.

        Raises
        ------
        InputValueError
            If a phase has several segments: see `iter_segments`.
        """
        for name in self._segments["phase"].unique():
            segment = self._one_segment(name)
            yield Phase(name, segment.start_bin, segment.stop_bin, segment.order)

    def iter_segments(self, phase: str | None = None) -> Iterator[Segment]:
        """Yield each segment in order of time.

        Parameters
        ----------
        phase : str, optional
            Name of the phase whose segments to yield; all if not given.

        Yields
        ------
        Segment
            Named tuple of ``start_bin``, ``stop_bin``, ``phase``, ``order`` and
            ``t_start``; the raster of one is
            ``recording.raster.slice(segment.start_bin, segment.stop_bin)``.

        Raises
        ------
        InputValueError
            If there is no such phase; the valid ones are listed.
        """
        rows = self._segments
        if phase is not None:
            self._check_phase(phase)
            rows = rows[rows["phase"] == phase]
        for row in rows[list(Segment._fields)].itertuples(index=False, name=None):
            yield Segment(*row)

    def _check_phase(self, name: str) -> None:
        names = self._segments["phase"].unique()
        if name not in names:
            raise InputValueError(
                f"unknown phase {name!r}; this recording has"
                f" {', '.join(map(repr, names))}"
            )

    def _one_segment(self, phase: str) -> Segment:
        segments = list(self.iter_segments(phase))
        if len(segments) > 1:
            raise InputValueError(
                f"the phase {phase!r} has {len(segments)} segments, which are no single"
                f" stretch of bins; use recording.iter_segments({phase!r})"
            )
        return segments[0]

    def __repr__(self) -> str:
        """Return size, phases and time base as text."""
        phases = []
        for phase in segmented_phases(self):
            bins = f"{phase.n_time_bins} bins"
            if phase.n_segments > 1:
                bins += f" in {phase.n_segments} segments"
            phases.append(f"{phase.phase!r} ({bins}, {phase.order} order)")
        return (
            f"Recording({self.n_units} units x {self.n_time_bins} time bins of"
            f" {self.sampling_period}, {len(self._presentations)} presentations,"
            f" phases: {', '.join(phases) or 'none'})"
        )

    def _repr_html_(self) -> str:
        """Return what a notebook shows: size, phases, and a small raster."""
        return recording_html(self)

    # -- selecting and joining
    # ----------------------------------------------------------------------------------

    def select(
        self,
        *,
        units: Choice | None = None,
        phase: str | Sequence[str] | None = None,
        label: npt.ArrayLike | None = None,
        presentations: Choice | None = None,
        kind: str | None = None,
        layer: str | Sequence[str] | None = None,
        t_start: pq.Quantity | None = None,
        t_stop: pq.Quantity | None = None,
    ) -> Recording:
        """Keep some units, phases, times or presentations.

        Parameters
        ----------
        units : array_like of int or bool, or function of the unit table, optional
            Units to keep, in the order given. A function gets `units` and returns a
            mask or indices.
        phase : str or sequence of str, optional
            Phases to keep.
        label : scalar or sequence, optional
            Keep the presentations with such a label.
        presentations : array_like of int or bool, or function of the table, optional
            Presentations to keep, as rows of `presentations`; the order stays that of
            time.
        kind : str, optional
            Kind of presentations to keep, or that `label` and `presentations` choose
            from; the only one, or "trials", if not given.
        layer : str or sequence of str, optional
            Keep the units of layers with such a name; patterns as ``"conv*"`` are
            allowed.
        t_start, t_stop : quantities.Quantity, time, optional
            Keep the bins between two times of the recording's clock, put on the nearest
            edges of bins. Presentations that reach beyond them are dropped.

        Returns
        -------
        Recording
            The selection, with an identifier derived from this one's. The bins of one
            whole phase keep their place in time. Chosen presentations are set side by
            side, starting at `t_start`, and all other bins are dropped: each becomes a
            segment, together with those that adjoin it in time. Where every bin of a
            phase is a presentation of its own, so that a sample is the unit of time,
            those chosen make up one segment.

        Raises
        ------
        InputTypeError, InputValueError
            If a layer, phase, kind, label or index does not exist, a time is none, or
            nothing is left.

        Examples
        --------
        >>> import numpy as np
        >>> recording = Recording.from_activations(np.eye(3), labels=[0, 1, 1])
        >>> recording.select(label=1).raster.to_dense().astype(int)
        array([[0, 0],
               [1, 0],
               [0, 1]])
        """
        chosen = self
        if layer is not None:
            chosen = select_layers(chosen, names_of(layer, "layer"))
        if units is not None:
            chosen = select_units(chosen, units)
        if phase is not None:
            chosen = select_phases(chosen, names_of(phase, "phase"))
        if t_start is not None or t_stop is not None:
            chosen = select_time(chosen, t_start, t_stop)
        if any(choice is not None for choice in (label, presentations, kind)):
            chosen = select_presentations(chosen, label, presentations, kind)
        return chosen

    def in_stimulus_order(self, kind: str | None = None) -> Recording:
        """Undo the shuffling of the presentations.

        Recordings of several networks that saw the same stimuli then align.

        Parameters
        ----------
        kind : str, optional
            Kind of presentations to sort; the only one, or "trials", if not given.

        Returns
        -------
        Recording
            The presentations of each phase sorted by ``stimulus_place``, or by
            ``stimulus_id`` where that is the place, with order "stored"; samples in one
            segment, longer presentations in one each.

        Raises
        ------
        InputValueError
            If there is no ``stimulus_id``, or no such kind.

        Examples
        --------
        >>> recording = Recording.from_activations(
        ...     [[0.0], [1.0], [1.0]], stimulus_id=[2, 0, 1], order="random"
        ... )
        >>> recording.in_stimulus_order().raster.to_dense().astype(int)
        array([[1, 1, 0]])
        """
        return in_stimulus_order(self, kind)

    def with_presentations(
        self, table: pd.DataFrame, kind: str = DEFAULT_KIND
    ) -> Recording:
        """Add presentations of a kind, such as the trials of a session, or its cues.

        Parameters
        ----------
        table : pandas.DataFrame
            One row per presentation: ``start_time`` and ``stop_time`` in s on the
            recording's clock, put on the nearest edges of bins, or ``start_bin`` and
            ``stop_bin``; other columns are kept. Without an end, a row is an event, and
            a presentation of the bin it falls in.
        kind : str, default "trials"
            Kind of these presentations; those there were of this kind are replaced.

        Returns
        -------
        Recording
            The same spikes with presentations of all kinds, in order of time. A column
            that only one kind has holds "", NaN or -1 for the others.

        Raises
        ------
        InputTypeError, InputValueError
            If a column is missing or of a wrong type, or a row is no interval, reaches
            across the border of a segment, or overlaps another one.

        Examples
        --------
        >>> recording = Recording.from_raster(SpikeRaster.from_dense([[1, 0, 1, 1]]))
        >>> cues = pd.DataFrame({"start_time": [0.001], "label": ["left"]})
        >>> recording.with_presentations(cues, "cues").presentations["start_bin"][0]
        np.int64(1)
        """
        return with_presentations(self, table, kind)

    def cut_trials(
        self,
        kind: str | None = None,
        align: str = "start",
        before: pq.Quantity | int = 0,
        after: pq.Quantity | int | None = None,
    ) -> Recording:
        """Cut one segment per trial out of the recording.

        Parameters
        ----------
        kind : str, optional
            Kind of the presentations that are trials; the only one, or "trials", if not
            given.
        align : str, default "start"
            What is time 0 of a trial's own clock: "start" or "stop" of its
            presentation, or the name of a column of times in s on the recording's
            clock.
        before, after : quantities.Quantity, time, or int, bins
            How long before and after that a trial lasts. With None, the default, until
            its presentation ends, for ``align="start"``.

        Returns
        -------
        Recording
            One segment per trial, which is one presentation from its first bin to its
            last, in order of time. Presentations of other kinds are kept where they lie
            in a trial. Its provenance counts what there was: ``trials_cut``,
            ``trials_outside`` (left out, since the window reaches beyond the segment in
            which time was observed), and ``bins_in_several_trials`` (windows that
            overlap copy bins).

        Raises
        ------
        InputTypeError, InputValueError
            If there is no such kind or column, a window holds no bin, or no trial is
            left.

        Examples
        --------
        >>> recording = Recording.from_raster(
        ...     SpikeRaster.from_dense([[1, 0, 1, 1, 0, 1]])
        ... ).with_presentations(pd.DataFrame({"start_bin": [1, 4]}))
        >>> trials = recording.cut_trials(before=1, after=1 * pq.ms)
        >>> trials.raster.to_dense().astype(int)
        array([[1, 0, 1, 0]])
        >>> trials.segments["t_start"].to_list()
        [-0.001, -0.001]
        """
        return cut_trials(self, kind, align, before, after)

    @classmethod
    def concatenate(cls, recordings: Iterable[Recording]) -> Recording:
        """Join recordings of the same units one after another in time.

        Parameters
        ----------
        recordings : iterable of Recording
            Same units and sampling period. Segments of phases that share a name become
            one phase.

        Returns
        -------
        Recording
            All segments in turn; times count from the first recording's `t_start`,
            while each segment keeps its own clock. Provenance on which they differ is
            kept once per recording, as ``key [phase]``.

        Raises
        ------
        InputValueError
            If there is no recording, units or sampling periods differ, or two phases
            share a name but not their order.

        Examples
        --------
        >>> parts = [
        ...     Recording.from_activations([[1.0], [0.0]], phase=phase)
        ...     for phase in ("train", "test")
        ... ]
        >>> [
        ...     (p.phase, p.start_bin, p.stop_bin)
        ...     for p in Recording.concatenate(parts).iter_phases()
        ... ]
        [('train', 0, 2), ('test', 2, 4)]
        """
        parts = list(recordings)
        raster, units, presentations, segments, provenance = concatenated(parts)
        return cls(
            raster,
            units,
            presentations,
            segments=segments,
            provenance=provenance,
            identifier=_derived_identifier(
                [part.identifier for part in parts], "concatenate"
            ),
            session_start_time=parts[0].session_start_time,
            timestamps_reference_time=parts[0].timestamps_reference_time,
        )

    def with_phase_names(self, names: Mapping[str, str]) -> Recording:
        """Rename phases.

        Parameters
        ----------
        names : mapping of str to str
            New name of each phase to rename.

        Returns
        -------
        Recording
            The same recording under the new names.

        Raises
        ------
        InputValueError
            If a phase is unknown or two would share a name.

        Examples
        --------
        >>> recording = Recording.from_activations([[1.0], [0.0]])
        >>> recording.with_phase_names({"recording": "test"}).phases["phase"].to_list()
        ['test']
        """
        for name in names:
            self._check_phase(name)
        presentations, segments = (
            table.assign(phase=table["phase"].replace(dict(names)))
            for table in (self._presentations, self._segments)
        )
        if segments["phase"].nunique() < self._segments["phase"].nunique():
            raise InputValueError(
                f"phases must have different names, got {segments['phase'].to_list()};"
                " rename those that repeat"
            )
        return self._derived(
            self.raster,
            presentations=presentations,
            segments=segments,
            by=("names", *names.values()),
        )

    def _derived(
        self,
        raster: SpikeRaster,
        *,
        by: tuple[Any, ...],
        units: pd.DataFrame | None = None,
        presentations: pd.DataFrame | None = None,
        segments: pd.DataFrame | None = None,
        provenance: Mapping[str, str] | None = None,
    ) -> Recording:
        return Recording(
            raster,
            self._units if units is None else units,
            self._presentations if presentations is None else presentations,
            segments=self._segments if segments is None else segments,
            provenance=self.provenance if provenance is None else provenance,
            identifier=_derived_identifier([self.identifier], *by),
            session_start_time=self.session_start_time,
            timestamps_reference_time=self.timestamps_reference_time,
        )

    # -- comparing
    # ----------------------------------------------------------------------------------

    def equals(self, other: object, *, identity: bool = True) -> bool:
        """Return whether another recording is the same in every bit, cell and type.

        Parameters
        ----------
        other : object
            What to compare with.
        identity : bool, default True
            Also compare identifier and session start time, which differ between two
            recordings of the same network and stimuli.

        Returns
        -------
        bool
            True if nothing differs.
        """
        if not isinstance(other, Recording):
            return False
        names = ["provenance"]
        if identity:
            names += [
                "identifier",
                "session_start_time",
                "timestamps_reference_time",
            ]
        return (
            all(getattr(self, name) == getattr(other, name) for name in names)
            and same_table(self._units, other._units)
            and same_table(self._presentations, other._presentations)
            and same_table(self._segments, other._segments)
            and self.raster.equals(other.raster)
        )


def checked_recording(value: Any, caller: str) -> Recording:
    """Return `value` if it is a recording, else raise InputTypeError.

    Parameters
    ----------
    value : Recording
        What the user passed.
    caller : str
        Name of the function it was passed to, for the message.
    """
    if not isinstance(value, Recording):
        raise InputTypeError(
            f"{caller} needs a Recording, got {type(value).__name__}; wrap spikes with"
            " Recording.from_raster, or make one with record, read_nwb or from_neo"
        )
    return value


def _derived_identifier(parents: Sequence[str], *by: Any) -> str:
    """Return an identifier that depends only on the parents and the operation."""
    digest = hashlib.sha256()
    for part in (*parents, *by):
        digest.update(
            part.tobytes() if isinstance(part, np.ndarray) else repr(part).encode()
        )
    return str(uuid.uuid5(uuid.NAMESPACE_OID, digest.hexdigest()))
