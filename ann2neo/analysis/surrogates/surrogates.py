"""Surrogates: random recordings that keep some structure and destroy the rest."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import quantities as pq

from ann2neo._checks import one_of, seconds, seed_or_new, whole_number
from ann2neo.analysis._entry import BoolArray, IntArray
from ann2neo.analysis._phases import phases_of
from ann2neo.analysis.populations.labels import Labels, labels_of
from ann2neo.analysis.surrogates.elephant import (
    DITHERED,
    ELEPHANT_METHODS,
    elephant_drawer,
)
from ann2neo.errors import InputValueError
from ann2neo.raster import SpikeRaster
from ann2neo.recording import Recording

__all__ = ["GRID_METHODS", "METHODS", "Drawer", "phase_drawers", "surrogates"]

Drawer = Callable[[np.random.SeedSequence], tuple[SpikeRaster, int]]
"""Draws a surrogate of one phase: its raster, and the number of spikes lost."""

_BLOCK_BYTES = 1 << 22
_DEFAULT_DITHER = 0.015


def surrogates(
    recording: Recording,
    method: str = "bin_permutation",
    *,
    n_surrogates: int = 100,
    joint: bool = False,
    dither: pq.Quantity | None = None,
    seed: int | None = None,
) -> Iterator[Recording]:
    """Draw surrogates of a recording, one by one.

    - ``bin_permutation`` keeps the spike count. It destroys all order and tuning; with
      ``joint`` it also keeps the patterns of spikes in one bin.
    - ``circular_shift`` keeps a train up to a rotation. It destroys relations to
      stimuli; with ``joint`` it also keeps those between units.
    - ``isi_shuffle`` keeps the intervals, from t_start on. It destroys their order.
    - ``within_label`` keeps tuning to the labels. It destroys correlations beyond that;
      with ``joint``, only the order of the presentations of a label.

    Further methods are Elephant's functions of the same names, with each spike put back
    into its time bin: dither_spikes, dither_spike_train, jitter_spikes, bin_shuffling,
    joint_isi_dithering, isi_dithering, randomise_spikes and shuffle_isis.

    Phases are treated one by one; bins in no phase stay as they are.

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
        15 ms if not given.
    seed : int, optional
        Seed; one is drawn if not given. Surrogate number k of a seed does not depend on
        how many are drawn.

    Yields
    ------
    Recording
        The same units, presentations and phases with other spikes. Its provenance adds
        ``surrogate_method``, ``surrogate_joint``, ``surrogate_seed``,
        ``surrogate_number`` and ``surrogate_share_lost``: the share of spikes that left
        the phase or fell into an occupied bin, as Elephant's methods work in continuous
        time.

    Raises
    ------
    InputTypeError, InputValueError
        If the method is unknown, an argument does not apply to it, or it needs labels
        and the recording has none.

    Notes
    -----
    NumPy's and Python's global generators, from which Elephant draws, keep their state.

    References
    ----------
    Grün, S. (2009). Data-driven significance estimation for precise spike correlation.
    J. Neurophysiol. 101.

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
    drawers = phase_drawers(recording, method, joint=joint, dither=dither)
    return _recordings(recording, drawers, method, n_surrogates, joint, seed)


def _recordings(
    recording: Recording,
    drawers: list[Drawer],
    method: str,
    n_surrogates: int,
    joint: bool,
    seed: int,
) -> Iterator[Recording]:
    phases = list(recording.iter_phases())
    n_spikes = sum(
        int(recording.phase_raster(phase.phase).spike_counts().sum())
        for phase in phases
    )
    for turn in range(n_surrogates):
        parts, position, lost = [], 0, 0
        for number, (phase, draw) in enumerate(zip(phases, drawers, strict=True)):
            if phase.start_bin > position:
                parts.append(recording.raster.slice(position, phase.start_bin))
            raster, n_lost = draw(np.random.SeedSequence([seed, turn, number]))
            parts.append(raster)
            lost += n_lost
            position = phase.stop_bin
        parts.append(recording.raster.slice(position, recording.n_time_bins))
        joined = SpikeRaster.concatenate(parts)
        name = f"{recording.identifier} {method} {joint} {seed} {turn}"
        yield Recording(
            SpikeRaster(
                joined.bits,
                *joined.shape,
                sampling_period=recording.raster.sampling_period,
                t_start=recording.raster.t_start,
            ),
            recording.units,
            recording.presentations,
            recording.phases,
            {
                **recording.provenance,
                "surrogate_method": method,
                "surrogate_joint": str(joint),
                "surrogate_seed": str(seed),
                "surrogate_number": str(turn),
                "surrogate_share_lost": f"{lost / max(1, n_spikes):.6g}",
            },
            str(uuid.uuid5(uuid.NAMESPACE_OID, name)),
            recording.session_start_time,
        )


def phase_drawers(
    recording: Recording, method: str, *, joint: bool, dither: pq.Quantity | None
) -> list[Drawer]:
    """Return a function per phase that draws surrogates of it.

    Parameters
    ----------
    recording, method, joint, dither
        As in `surrogates`.

    Raises
    ------
    InputTypeError, InputValueError
        As in `surrogates`.
    """
    one_of(method, METHODS, "method")
    if joint and method not in _JOINT:
        raise InputValueError(
            f"joint applies to {', '.join(_JOINT)}, not to {method}; drop it"
        )
    if dither is not None and method not in DITHERED:
        raise InputValueError(
            f"dither applies to {', '.join(DITHERED)}, not to {method}; drop it"
        )
    by = _DEFAULT_DITHER
    if dither is not None:
        by = seconds(dither, "dither", positive=True)
    drawers: list[Drawer] = []
    for phase in phases_of(recording, "surrogates"):
        raster = phase.raster(recording.raster).raster
        if method in ELEPHANT_METHODS:
            drawers.append(elephant_drawer(raster, method, by))
        elif method == "within_label":
            groups = _exchangeable(labels_of(recording, phase))
            change = partial(_within_label, groups)
            drawers.append(partial(_draw_on_grid, change, raster, joint))
        else:
            drawers.append(partial(_draw_on_grid, _GRID[method], raster, joint))
    return drawers


def _draw_on_grid(
    change: Callable[[SpikeRaster, bool, np.random.Generator], SpikeRaster],
    raster: SpikeRaster,
    joint: bool,
    seed: np.random.SeedSequence,
) -> tuple[SpikeRaster, int]:
    return change(raster, joint, np.random.default_rng(seed)), 0


def _bin_permutation(
    raster: SpikeRaster, joint: bool, rng: np.random.Generator
) -> SpikeRaster:
    if joint:
        return raster.take(bins=rng.permutation(raster.n_time_bins))
    return _blockwise(raster, lambda dense: rng.permuted(dense, axis=1))


def _circular_shift(
    raster: SpikeRaster, joint: bool, rng: np.random.Generator
) -> SpikeRaster:
    n = raster.n_time_bins
    if joint:
        shift = int(rng.integers(n)) if n else 0
        return raster.take(bins=(np.arange(n) - shift) % max(1, n))
    # Drawn for all units at once, so that the size of blocks does not matter.
    shifts = iter(rng.integers(max(1, n), size=raster.n_units))
    return _blockwise(
        raster, lambda dense: np.stack([np.roll(row, next(shifts)) for row in dense])
    )


def _isi_shuffle(
    raster: SpikeRaster, joint: bool, rng: np.random.Generator
) -> SpikeRaster:
    del joint
    # The first interval counts from bin -1 and is shuffled too. The intervals' sum
    # stays, and with it the last spike: none leaves the grid.
    trains = [
        np.cumsum(rng.permutation(np.diff(raster.spike_bins(unit), prepend=-1))) - 1
        for unit in range(raster.n_units)
    ]
    return SpikeRaster.from_spike_bins(
        trains,
        raster.n_time_bins,
        sampling_period=raster.sampling_period,
        t_start=raster.t_start,
    )


_GRID: dict[str, Callable[[SpikeRaster, bool, np.random.Generator], SpikeRaster]] = {
    "bin_permutation": _bin_permutation,
    "circular_shift": _circular_shift,
    "isi_shuffle": _isi_shuffle,
}
GRID_METHODS = (*_GRID, "within_label")
"""Methods that move spikes from bin to bin, without losing any."""
METHODS = (*GRID_METHODS, *ELEPHANT_METHODS)
"""All methods."""
_JOINT = ("bin_permutation", "circular_shift", "within_label")


def _blockwise(
    raster: SpikeRaster,
    change: Callable[[BoolArray], BoolArray],
) -> SpikeRaster:
    """Change dense rows of a raster, some units at a time."""
    parts = [
        SpikeRaster.from_dense(
            change(block.to_dense()),
            sampling_period=raster.sampling_period,
            t_start=raster.t_start,
        )
        for _, block in raster.unit_blocks(_BLOCK_BYTES)
    ]
    return SpikeRaster.stack(parts) if parts else raster


def _exchangeable(labels: Labels) -> list[IntArray]:
    """Return groups of presentations that can be exchanged, as bins.

    The presentations of a group have the same label and the same length; each group has
    shape (n_presentations, length).
    """
    length = labels.stop_bin - labels.start_bin
    if np.bincount(labels.bins()).max(initial=0) > 1:
        raise InputValueError(
            "presentations overlap in time, so they cannot be exchanged; select others"
        )
    groups = []
    for code, n_bins in set(zip(labels.code.tolist(), length.tolist(), strict=True)):
        start = labels.start_bin[(labels.code == code) & (length == n_bins)]
        if len(start) > 1:
            groups.append(start[:, None] + np.arange(n_bins))
    if not groups:
        raise InputValueError(
            "no label was presented twice for the same number of bins, so within_label"
            " permutes nothing; use bin_permutation"
        )
    # In order of time: draws depend on the order of groups, and a set has none.
    return sorted(groups, key=lambda group: int(group[0, 0]))


def _within_label(
    groups: list[IntArray],
    raster: SpikeRaster,
    joint: bool,
    rng: np.random.Generator,
) -> SpikeRaster:
    if joint:
        order = np.arange(raster.n_time_bins)
        for bins in groups:
            order[bins] = bins[rng.permutation(len(bins))]
        return raster.take(bins=order)

    def change(dense: BoolArray) -> BoolArray:
        for bins in groups:
            if bins.shape[1] == 1:
                dense[:, bins[:, 0]] = rng.permuted(dense[:, bins[:, 0]], axis=1)
            else:
                # Whole presentations change places, in an order of each unit's own.
                orders = np.tile(np.arange(len(bins)), (len(dense), 1))
                order = rng.permuted(orders, axis=1)[:, :, None]
                dense[:, bins] = np.take_along_axis(dense[:, bins], order, axis=1)
        return dense

    return _blockwise(raster, change)
