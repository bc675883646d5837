"""units_to_keep: which units a pruned network would keep, by a rule."""

from __future__ import annotations

from concurrent.futures import Executor
from typing import Literal

import numpy as np

from ann2neo._checks import one_of, real_number, whole_number
from ann2neo._parallel import checked_executor
from ann2neo.analysis._entry import FloatArray, IntArray
from ann2neo.analysis._phases import one_phase
from ann2neo.analysis.populations.selectivity import selectivity
from ann2neo.errors import InputValueError
from ann2neo.raster import SpikeRaster
from ann2neo.recording import Recording

__all__ = ["RULES", "units_to_keep"]

RULES = ("rate", "redundancy", "information")


def units_to_keep(
    recording: Recording,
    rule: Literal["rate", "redundancy", "information"] = "rate",
    *,
    n_keep: int | None = None,
    above: float | None = None,
    phase: str | None = None,
    kind: str | None = None,
    n_permutations: int = 99,
    seed: int = 0,
    executor: Executor | None = None,
) -> IntArray:
    """Choose the units of a recording to keep in a pruned network.

    No network is changed: the units tell what to mask, and the accuracy of the masked
    network tells what the rule is worth.

    Parameters
    ----------
    recording : Recording
        A recording, of one layer usually: ``recording.select(layer=...)``.
    rule : {"rate", "redundancy", "information"}
        What a unit is judged by:

        rate
            Its firing rate; 1 - rate is the share of zeros by which network trimming
            prunes.
        redundancy
            The share of samples in which it differs from the most similar unit that is
            kept. Units are taken one after another, each the one that differs most from
            those taken; the first is the one whose rate is nearest to one half. A unit
            whose bits are the opposite of another's counts as different.
        information
            The mutual information of its spike count and the label, in bits, less its
            bias (see `selectivity`).
    n_keep : int, optional
        How many units to keep: those of the largest values; of equals the first.
    above : float, optional
        Keep the units whose value is larger than this. 0 if neither `n_keep` nor
        `above` is given, which drops silent units, copies of a unit, and units that
        tell nothing about the label.
    phase : str, optional
        Phase to judge by; the only one if not given.
    kind : str, optional
        Kind of the presentations whose labels count, for "information".
    n_permutations, seed : int
        Permutations of the labels for the bias of the information, as in
        `selectivity`.
    executor : concurrent.futures.Executor, optional
        Where the information is computed, as in `selectivity`.

    Returns
    -------
    ndarray of int64, shape (n_kept,)
        Units to keep, ascending, for ``recording.select(units=...)``.

    Raises
    ------
    InputTypeError, InputValueError
        If `rule` is unknown, both `n_keep` and `above` are given or one is out of
        range, the phase is unknown, or there are no labels for "information".

    References
    ----------
    Hu, H. et al. (2016). Network trimming: a data-driven neuron pruning approach
    towards efficient deep architectures. arXiv 1607.03250.

    Examples
    --------
    >>> from ann2neo.testing import make_recording
    >>> recording = make_recording([[1, 0, 1, 0], [1, 0, 1, 0], [0, 0, 0, 0]])
    >>> units_to_keep(recording, "rate"), units_to_keep(recording, "redundancy")
    (array([0, 1]), array([0, 2]))
    """
    chosen = one_phase(recording, phase, "units_to_keep")
    executor = checked_executor(executor)
    one_of(rule, RULES, "rule")
    if n_keep is not None and above is not None:
        raise InputValueError(
            f"n_keep={n_keep} and above={above} are two rules; pass one of them"
        )
    if n_keep is not None:
        n_keep = whole_number(
            n_keep, "n_keep", at_most=recording.n_units, noun="units of the recording"
        )
    limit = 0.0 if above is None else _number(above)
    raster = chosen.raster(recording.raster).raster
    if rule == "redundancy":
        return _least_redundant(raster, n_keep, limit)
    if rule == "rate":
        values = raster.spike_counts() / raster.n_time_bins
    else:
        part = recording.select(phase=chosen.phase)
        table = selectivity(
            part,
            kind=kind,
            n_permutations=n_permutations,
            seed=seed,
            executor=executor,
        )
        values = table["mutual_information"].to_numpy(np.float64)
    if n_keep is None:
        return np.flatnonzero(values > limit)
    return np.sort(np.argsort(-values, kind="stable")[:n_keep])


def _number(above: float) -> float:
    number = real_number(
        above, "above", remedy="pass the largest value at which a unit is dropped"
    )
    if not np.isfinite(number):
        raise InputValueError(
            f"above must be finite, got {above}; leave it out to keep all above 0"
        )
    return number


def _least_redundant(raster: SpikeRaster, n_keep: int | None, above: float) -> IntArray:
    """Take units one by one, each the furthest from those taken (Gonzalez 1985)."""
    if not raster.n_units:
        return np.zeros(0, np.int64)
    counts = raster.spike_counts()
    unit = int(np.argmin(np.abs(2 * counts - raster.n_time_bins)))
    taken = [unit]
    nearest: FloatArray = np.full(raster.n_units, np.inf)
    wanted = raster.n_units if n_keep is None else n_keep
    while len(taken) < wanted:
        # |a| + |b| - 2 |a and b| bins differ.
        shared = raster.joint_counts(raster.take(units=[unit]))[:, 0]
        differing = counts + counts[unit] - 2 * shared
        nearest = np.minimum(nearest, differing / raster.n_time_bins)
        # A unit that is taken is never taken again, not even where all are copies.
        nearest[taken] = -1.0
        unit = int(np.argmax(nearest))
        if n_keep is None and nearest[unit] <= above:
            break
        taken.append(unit)
    return np.sort(np.array(taken, np.int64))
