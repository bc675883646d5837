"""Surrogates: random recordings that keep some structure and destroy the rest."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import quantities as pq

from ann2neo._checks import one_of, seconds, seed_or_new, whole_number
from ann2neo._progress import with_progress
from ann2neo.analysis._entry import IntArray
from ann2neo.analysis._phases import phases_of
from ann2neo.analysis.populations.labels import labels_of
from ann2neo.analysis.surrogates.elephant import (
    DITHERED,
    ELEPHANT_METHODS,
    elephant_drawer,
)
from ann2neo.analysis.surrogates.inside_segments import (
    GridDraw,
    bin_permutation,
    circular_shift,
    isi_shuffle,
)
from ann2neo.analysis.surrogates.step_permutation import step_permutation
from ann2neo.analysis.surrogates.within_label import exchange, exchangeable
from ann2neo.errors import InputValueError
from ann2neo.raster import SegmentedRaster, SpikeRaster
from ann2neo.recording import Recording
from ann2neo.recording.segments import SegmentedPhase

__all__ = [
    "GRID_METHODS",
    "METHODS",
    "PhaseSurrogates",
    "phase_surrogates",
    "surrogates",
]

GRID_METHODS = (
    "bin_permutation",
    "circular_shift",
    "isi_shuffle",
    "within_label",
    "trial_shifting",
)
"""Methods that move spikes from bin to bin, without losing any."""
METHODS = (*GRID_METHODS, *ELEPHANT_METHODS)
"""All methods that apply to any recording, labelled for within_label."""
_ALL_METHODS = (*GRID_METHODS, "step_permutation", *ELEPHANT_METHODS)
_JOINT = ("bin_permutation", "circular_shift", "within_label")
_OF_PRESENTATIONS = ("within_label", "step_permutation")
_WITH_DITHER = (*DITHERED, "trial_shifting")
_DEFAULT_DITHER = 0.015
_ROUNDING = 1e-9


@dataclasses.dataclass(frozen=True)
class PhaseSurrogates:
    """Surrogates of one phase.

    Parameters
    ----------
    draw : function of SeedSequence
        Draws a surrogate: the raster of the joined segments, and the number of spikes
        lost.
    n_exchanged, n_exchangeable : int
        For within_label: the bins of presentations that are exchanged, and all of them.
    """

    draw: Callable[[np.random.SeedSequence], tuple[SpikeRaster, int]]
    n_exchanged: int = 0
    n_exchangeable: int = 0


def surrogates(
    recording: Recording,
    method: str = "bin_permutation",
    *,
    n_surrogates: int = 100,
    joint: bool = False,
    dither: pq.Quantity | None = None,
    kind: str | None = None,
    seed: int | None = None,
    progress: bool | None = None,
) -> Iterator[Recording]:
    """Draw surrogates of a recording, one by one.

    - ``bin_permutation`` keeps the spike count. It destroys all order and tuning; with
      ``joint`` it also keeps the patterns of spikes in one bin.
    - ``circular_shift`` keeps a train up to a rotation. It destroys relations to
      stimuli; with ``joint`` it also keeps those between units.
    - ``isi_shuffle`` keeps the intervals, from t_start on. It destroys their order.
    - ``within_label`` keeps tuning to the labels. It destroys correlations beyond that;
      with ``joint``, only the order of the presentations of a label. Presentations of
      one label change places in groups of similar length, over the length of the
      shortest of the group, such that at least 90 % of their bins are exchanged.
    - ``trial_shifting`` keeps each segment (a trial) of a train up to a rotation by at
      most ``dither``. It destroys relations between units that are finer; without
      ``dither`` it is circular_shift.
    - ``step_permutation`` keeps the PSTH of a unit (for each label, if there are any):
      at every step of the trials, those of a label change places, unit by unit. It
      destroys what a trial remembers and what units share from trial to trial. Segments
      must hold one presentation each.

    Further methods are Elephant's functions of the same names, with each spike put back
    into its time bin: dither_spikes, dither_spike_train, jitter_spikes, bin_shuffling,
    joint_isi_dithering, isi_dithering, randomise_spikes and shuffle_isis.

    Every segment of a phase is treated by itself, and no spike leaves its segment, but
    for within_label and step_permutation, which exchange presentations wherever they
    lie in the phase. Bins in no segment stay as they are.

    Parameters
    ----------
    recording : Recording
        The recording.
    method : str, default "bin_permutation"
        One of the methods above.
    n_surrogates : int, default 100
        Number of surrogates.
    joint : bool, default False
        Whether all units are permuted, or shifted, jointly; for bin_permutation,
        circular_shift and within_label.
    dither : quantities.Quantity, time, optional
        For the dithering methods of Elephant: the largest shift of a spike (or of a
        train), or the length of the bins within which spikes are moved (jitter_spikes);
        15 ms if not given. For trial_shifting: the largest shift of a trial. It must
        not be so short that spikes stay in their time bins.
    kind : str, optional
        For within_label and step_permutation: kind of the presentations; the only one,
        or "trials", if not given.
    seed : int, optional
        Seed; one is drawn if not given. Surrogate number k of a seed does not depend on
        how many are drawn.
    progress : bool, optional
        Show a progress bar; by default only in a terminal or a notebook, after a
        second.

    Yields
    ------
    Recording
        The same units, presentations and phases with other spikes. Its provenance adds
        ``surrogate_method``, ``surrogate_joint``, ``surrogate_seed``,
        ``surrogate_number`` and ``surrogate_share_lost``: the share of spikes that left
        their segment or fell into an occupied bin, as Elephant's methods work in
        continuous time; for within_label also ``surrogate_share_exchanged``, the share
        of the bins of labelled presentations that change places.

    Raises
    ------
    InputTypeError, InputValueError
        If the method is unknown, an argument does not apply to it, or it would leave
        the recording as it is; for within_label, if there are no labels, or less than
        90 % of the bins can be exchanged.

    Notes
    -----
    NumPy's and Python's global generators, from which Elephant draws, keep their state.

    References
    ----------
    Grün, S. (2009). Data-driven significance estimation for precise spike correlation.
    J. Neurophysiol. 101. Pipa, G. et al. (2008). NeuroXidence: reliable and efficient
    analysis of an excess or deficiency of joint-spike events. J. Comput. Neurosci. 25
    (trial shifting).

    Examples
    --------
    >>> from ann2neo import Recording
    >>> recording = Recording.from_activations([[1, 1], [0, 0], [0, 0], [0, 1]])
    >>> [
    ...     s.raster.spike_counts().tolist()
    ...     for s in surrogates(recording, n_surrogates=2, seed=0)
    ... ]
    [[1, 2], [1, 2]]
    """
    n_surrogates = whole_number(n_surrogates, "n_surrogates")
    seed = seed_or_new(seed)
    # Errors are raised here, not when the first surrogate is drawn.
    by_phase = [
        phase_surrogates(
            recording, phase, method, joint=joint, dither=dither, kind=kind
        )
        for phase in phases_of(recording, "surrogates")
    ]
    drawn = _recordings(recording, by_phase, method, n_surrogates, joint, seed)
    return with_progress(drawn, n_surrogates, "surrogates", "surrogates", progress)


def _recordings(
    recording: Recording,
    by_phase: list[PhaseSurrogates],
    method: str,
    n_surrogates: int,
    joint: bool,
    seed: int,
) -> Iterator[Recording]:
    phases = phases_of(recording, "surrogates")
    original = recording.raster
    n_spikes = sum(
        int(phase.raster(original).raster.spike_counts().sum()) for phase in phases
    )
    starts, stops = _places(original, phases)
    notes = {
        **recording.provenance,
        "surrogate_method": method,
        "surrogate_joint": str(joint),
        "surrogate_seed": str(seed),
    }
    n_exchangeable = sum(part.n_exchangeable for part in by_phase)
    if n_exchangeable:
        share = sum(part.n_exchanged for part in by_phase) / n_exchangeable
        notes["surrogate_share_exchanged"] = f"{share:.6g}"
    for turn in range(n_surrogates):
        drawn, lost = [], 0
        for number, part in enumerate(by_phase):
            raster, n_lost = part.draw(np.random.SeedSequence([seed, turn, number]))
            drawn.append(raster)
            lost += n_lost
        joined = SpikeRaster.concatenate([original, *drawn]).join(starts, stops)
        name = f"{recording.identifier} {method} {joint} {seed} {turn}"
        yield Recording(
            SpikeRaster(
                joined.bits,
                *joined.shape,
                sampling_period=original.sampling_period,
                t_start=original.t_start,
            ),
            recording.units,
            recording.presentations,
            segments=recording.segments,
            provenance={
                **notes,
                "surrogate_number": str(turn),
                "surrogate_share_lost": f"{lost / max(1, n_spikes):.6g}",
            },
            identifier=str(uuid.uuid5(uuid.NAMESPACE_OID, name)),
            session_start_time=recording.session_start_time,
            timestamps_reference_time=recording.timestamps_reference_time,
        )


def _places(
    raster: SpikeRaster, phases: list[SegmentedPhase]
) -> tuple[IntArray, IntArray]:
    """Return where each stretch of a surrogate lies, in order of time.

    That is its first bin, and the bin after its last, in the bins of the recording
    followed by the joined segments of each phase.
    """
    first = np.concatenate([phase.starts for phase in phases])
    length = np.concatenate([phase.lengths for phase in phases])
    # Where a segment begins in the phases set side by side, after the recording.
    place = raster.n_time_bins + np.cumsum(length) - length
    order = np.argsort(first)
    first, length, place = first[order], length[order], place[order]
    # Before each segment, and after the last, the bins in no segment.
    gap_start = np.concatenate([[0], first + length])
    gap_stop = np.concatenate([first, [raster.n_time_bins]])
    starts, stops = np.empty((2, 2 * len(first) + 1), np.int64)
    starts[::2], stops[::2] = gap_start, gap_stop
    starts[1::2], stops[1::2] = place, place + length
    used = stops > starts
    return starts[used], stops[used]


def phase_surrogates(
    recording: Recording,
    phase: SegmentedPhase,
    method: str,
    *,
    joint: bool,
    dither: pq.Quantity | None,
    kind: str | None,
) -> PhaseSurrogates:
    """Return a function that draws surrogates of a phase.

    Parameters
    ----------
    recording : Recording
        The recording.
    phase : SegmentedPhase
        One of its phases.
    method, joint, dither, kind
        As in `surrogates`.

    Raises
    ------
    InputTypeError, InputValueError
        As in `surrogates`.
    """
    one_of(method, _ALL_METHODS, "method")
    if joint and method not in _JOINT:
        raise InputValueError(
            f"joint applies to {', '.join(_JOINT)}, not to {method}; drop it"
        )
    if dither is not None and method not in _WITH_DITHER:
        raise InputValueError(
            f"dither applies to {', '.join(_WITH_DITHER)}, not to {method}; drop it"
        )
    if kind is not None and method not in _OF_PRESENTATIONS:
        raise InputValueError(
            f"kind applies to {' and '.join(_OF_PRESENTATIONS)}, which exchange"
            f" presentations, not to {method}; drop it"
        )
    by = _DEFAULT_DITHER
    if dither is not None:
        by = seconds(dither, "dither", positive=True)
    segments = phase.raster(recording.raster)
    if method == "within_label":
        groups, n_bins = exchangeable(labels_of(recording, phase, kind), phase.phase)
        draw = partial(_draw_on_grid, exchange(segments, joint, groups))
        return PhaseSurrogates(draw, sum(group.size for group in groups), n_bins)
    if method == "step_permutation":
        draw = partial(_draw_on_grid, step_permutation(recording, phase, kind))
        return PhaseSurrogates(draw)
    if segments.n_segments > 1 and segments.lengths.max() < 2:
        raise InputValueError(
            f"every segment of phase {phase.phase!r} is one bin long, so that {method}"
            " inside segments leaves it as it is; use within_label, which exchanges"
            " presentations, or give the phase one segment"
        )
    if method in _WITH_DITHER and not (method == "trial_shifting" and dither is None):
        _check_dither(method, by, segments.raster.sampling_period_seconds)
    if method in ELEPHANT_METHODS:
        return PhaseSurrogates(elephant_drawer(segments, method, by))
    return PhaseSurrogates(
        partial(_draw_on_grid, _on_grid(segments, method, joint, dither, by))
    )


def _check_dither(method: str, dither: float, period: float) -> None:
    """Raise if spikes moved by no more than that stay in their time bins."""
    # Spikes are moved inside bins of the length `dither`, which must hold two of ours.
    within_bins = method in {"jitter_spikes", "bin_shuffling"}
    least = 2 if within_bins else 1
    if dither / period < least * (1 - _ROUNDING):
        raise InputValueError(
            f"dither must be at least {least * period:g} s for {method} in time bins of"
            f" {period:g} s, got {dither:g} s, which leaves spikes in their bins; pass"
            " a longer dither="
        )


def _on_grid(
    segments: SegmentedRaster,
    method: str,
    joint: bool,
    dither: pq.Quantity | None,
    by: float,
) -> GridDraw:
    if method == "bin_permutation":
        return bin_permutation(segments, joint)
    if method == "isi_shuffle":
        return isi_shuffle(segments)
    reach = None
    if method == "trial_shifting" and dither is not None:
        period = segments.raster.sampling_period_seconds
        reach = int(by / period * (1 + _ROUNDING))
    return circular_shift(segments, joint, reach)


def _draw_on_grid(
    draw: GridDraw, seed: np.random.SeedSequence
) -> tuple[SpikeRaster, int]:
    return draw(np.random.default_rng(seed)), 0
