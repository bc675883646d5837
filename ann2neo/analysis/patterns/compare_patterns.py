"""compare_patterns: which bits differ between two recordings of the same stimuli."""

from __future__ import annotations

import dataclasses
from concurrent.futures import Executor
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ann2neo._checks import seed_or_new, whole_number
from ann2neo._parallel import checked_executor, map_shared
from ann2neo.analysis._entry import (
    Column,
    IntArray,
    Statistic,
    count_column,
    text_column,
)
from ann2neo.analysis._pairs import paired_phases, why_unpaired
from ann2neo.analysis._phases import one_phase, phases_of
from ann2neo.analysis.patterns._groups import checked_by, groups_of
from ann2neo.errors import InputValueError
from ann2neo.raster import SpikeRaster
from ann2neo.raster.patterns import patterns_of
from ann2neo.recording import Recording
from ann2neo.recording.select import kind_of

__all__ = [
    "COLUMNS",
    "FLIPS",
    "SAMPLE_COLUMNS",
    "UNIT_COLUMNS",
    "PatternFlips",
    "compare_patterns",
    "flip_shares",
]

_TASK_DRAWS = 64

FLIPS = Statistic(
    name="pattern_flips",
    columns=(
        Column(
            "pattern_flips",
            "Share of bits that differ between the two recordings.",
        ),
        Column(
            "pattern_flips_floor",
            "The least that the two rates of each unit allow, the mean over units of"
            " their absolute difference.",
        ),
        Column(
            "pattern_flips_independent",
            "The share if the samples of one recording were permuted jointly for all"
            " units: exactly the mean over units of p (1 - q) + q (1 - p), with the"
            " rates p and q.",
        ),
        Column(
            "pattern_flips_pvalue",
            "p-value of so few flips under joint permutations of the samples of one"
            " recording, which leave its patterns and rates as they are.",
        ),
    ),
    null="the two recordings' patterns have nothing to do with each other",
    validity="the same units and the same stimuli in both recordings",
    source="definition",
    pvalue="pattern_flips_pvalue",
)

_PHASES = (
    text_column("phase", "Phase of the first recording."),
    text_column("second_phase", "Phase of the second recording."),
)
COLUMNS: tuple[Column, ...] = (
    *_PHASES,
    text_column("layer", "Name of the layer of the artificial neural network."),
    count_column("n_units", "Units of the layer."),
    count_column("n_time_bins", "Time bins that are compared, N."),
    *FLIPS.columns,
    count_column("n_permutations", "Number of joint permutations."),
    count_column("seed", "Seed of the permutations."),
)
"""Columns of the summary that `compare_patterns` returns."""

UNIT_COLUMNS: tuple[Column, ...] = (
    count_column("unit", "Index of the unit in the recordings."),
    *_PHASES,
    count_column("n_flips", "Bits that differ."),
    count_column("n_gained", "Of those, spikes of the second recording only."),
    count_column("n_lost", "Of those, spikes of the first recording only."),
    *FLIPS.columns[:3],
)
"""Columns of the units that `compare_patterns` returns."""

SAMPLE_COLUMNS: tuple[Column, ...] = (
    count_column("sample", "Time bin of the phase, in the order that is compared."),
    *_PHASES,
    Column("stimulus_id", "The stimulus of the sample, where it has one.", "", ""),
    count_column("n_flips", "Bits that differ."),
    *FLIPS.columns[:2],
)
"""Columns of the samples that `compare_patterns` returns."""


@dataclasses.dataclass(frozen=True, eq=False)
class PatternFlips:
    """What `compare_patterns` returns.

    Parameters
    ----------
    summary : pandas.DataFrame
        One row per phase and layer.
    units : pandas.DataFrame
        One row per unit and phase.
    samples : pandas.DataFrame
        One row per sample and phase.

    Examples
    --------
    >>> from ann2neo.testing import make_recording
    >>> flips = compare_patterns(
    ...     make_recording([[1, 0, 1, 0]]), make_recording([[1, 0, 0, 1]]), seed=0
    ... )
    >>> flips.summary["pattern_flips"].to_list()
    [0.5]
    >>> flips.samples["n_flips"].to_list()
    [0, 0, 1, 1]
    """

    summary: pd.DataFrame
    units: pd.DataFrame
    samples: pd.DataFrame

    def __repr__(self) -> str:
        """Flips of each phase and layer."""
        return f"PatternFlips(\n{self.summary}\n)"


def compare_patterns(
    first: Recording,
    second: Recording,
    *,
    by: str | None = None,
    kind: str | None = None,
    n_permutations: int = 99,
    seed: int | None = None,
    executor: Executor | None = None,
) -> PatternFlips:
    """Compare the patterns of two recordings of the same units and stimuli.

    Such as two checkpoints of a training, or a network before and after pruning. Where
    stimuli have a ``stimulus_id``, both recordings are put into that order; else the
    samples are compared as they stand.

    Parameters
    ----------
    first, second : Recording
        Recordings of the same units. Phases of the same name are compared; two
        recordings of one phase each are compared whatever the phases are called.
    by : str, optional
        Column of the table of units to group by, as in `patterns`; layers by default.
    kind : str, optional
        Kind of the presentations with a ``stimulus_id``; the only one, or "trials", if
        not given.
    n_permutations : int, default 99
        Joint permutations of the samples of the second recording; the smallest p-value
        is ``1 / (n_permutations + 1)``.
    seed : int, optional
        Their seed; one is drawn and reported if not given.
    executor : concurrent.futures.Executor, optional
        Where the permutations are made, as in `analyze`; in threads of this process if
        not given. The tables are the same.

    Returns
    -------
    PatternFlips
        ``summary``, one row per phase and group: ``pattern_flips``, the share of bits
        that differ; ``pattern_flips_floor``, the least that the rates allow;
        ``pattern_flips_independent``, the share in unrelated recordings of the same
        rates; ``pattern_flips_pvalue``, whether there are fewer than that.

        ``units``, one row per unit and phase: ``n_flips``, ``n_gained``, ``n_lost`` and
        the same shares.

        ``samples``, one row per sample and phase: ``stimulus_id`` where there is one,
        ``n_flips``, ``pattern_flips`` and ``pattern_flips_floor``, the change of the
        number of active units over the number of units.

    Raises
    ------
    InputTypeError, InputValueError
        If an argument is not a Recording, units or stimuli differ, no phase can be
        paired, `by` is unknown, or `executor` is no executor.

    Notes
    -----
    ``p = (1 + permutations with at most as many flips) / (1 + n_permutations)``.

    Examples
    --------
    >>> from ann2neo.testing import make_recording
    >>> flips = compare_patterns(
    ...     make_recording([[1, 0, 1, 0], [1, 0, 1, 1]]),
    ...     make_recording([[1, 0, 1, 0], [1, 1, 0, 1]]),
    ...     seed=0,
    ... )
    >>> flips.units[["n_flips", "n_gained", "n_lost", "pattern_flips"]]
       n_flips  n_gained  n_lost  pattern_flips
    0        0         0       0            0.0
    1        2         1       1            0.5
    """
    for recording in (first, second):
        phases_of(recording, "compare_patterns")
    n_permutations = whole_number(n_permutations, "n_permutations")
    seed, executor = seed_or_new(seed), checked_executor(executor)
    unpaired = why_unpaired(first.units, second.units)
    if unpaired:
        raise InputValueError(
            f"compare_patterns needs recordings of the same units, got {unpaired};"
            " select the units that both have"
        )
    taken = {c.name for c in (*COLUMNS, *UNIT_COLUMNS)} - {"layer"}
    by = checked_by(by, first.units, taken)
    summary: list[dict[str, Any]] = []
    units, samples = [], []
    for number, (phase, other) in enumerate(paired_phases(first, second)):
        ours, theirs, stimuli = _same_stimuli(first, second, phase, other, kind)
        place = {"phase": phase, "second_phase": other}
        units.append(_placed(_unit_table(ours, theirs), place))
        samples.append(_placed(_sample_table(ours, theirs, stimuli), place))
        for index, group in enumerate(groups_of(first.units, by)):
            here, there = ours.take(units=group.units), theirs.take(units=group.units)
            summary.append(
                {
                    **place,
                    **group.place,
                    "n_units": len(group.units),
                    "n_time_bins": ours.n_time_bins,
                    **flip_shares(here, there),
                    "pattern_flips_pvalue": _pvalue(
                        here, there, n_permutations, [seed, number, index], executor
                    ),
                    "n_permutations": n_permutations,
                    "seed": seed,
                }
            )
    table = pd.DataFrame(summary)
    return PatternFlips(
        table.astype({"phase": "str", "second_phase": "str"}),
        pd.concat(units, ignore_index=True),
        pd.concat(samples, ignore_index=True),
    )


def flip_shares(first: SpikeRaster, second: SpikeRaster) -> dict[str, float]:
    """Return the share of flips of two rasters, and what their rates alone give.

    Parameters
    ----------
    first, second : SpikeRaster
        Rasters of one shape.

    Returns
    -------
    dict of str to float
        ``pattern_flips``, ``pattern_flips_floor`` and ``pattern_flips_independent``;
        NaN where there is no unit.
    """
    table = _unit_table(first, second)
    names = [column.name for column in FLIPS.columns[:3]]
    if table.empty:
        return dict.fromkeys(names, float("nan"))
    return {name: float(table[name].mean()) for name in names}


def _same_stimuli(
    first: Recording, second: Recording, phase: str, other: str, kind: str | None
) -> tuple[SpikeRaster, SpikeRaster, npt.NDArray[Any] | None]:
    """Return the rasters of two phases in one order, and the stimulus of each bin."""
    parts = [first.select(phase=phase), second.select(phase=other)]
    has_ids = ["stimulus_id" in part.presentations for part in parts]
    stimuli = None
    if all(has_ids):
        parts = [part.in_stimulus_order(kind) for part in parts]
        stimuli, others = (_stimulus_of_bins(part, kind) for part in parts)
        same = np.array_equal(stimuli, others)
    else:
        orders = [part.phases["order"][0] for part in parts]
        shuffled = any(has_ids) or "random" in orders
        same = not shuffled and parts[0].n_time_bins == parts[1].n_time_bins
    rasters = [
        one_phase(part, None, "compare_patterns").raster(part.raster).raster
        for part in parts
    ]
    if not same:
        bins = " and ".join(str(raster.n_time_bins) for raster in rasters)
        raise InputValueError(
            f"compare_patterns needs the same stimuli in both recordings; phases"
            f" {phase!r} and {other!r} have {bins} time bins, and their stimulus_id"
            " differ or are missing in a random order; record both with the same"
            " stimuli"
        )
    return rasters[0], rasters[1], stimuli


def _stimulus_of_bins(recording: Recording, kind: str | None) -> npt.NDArray[Any]:
    """Return the stimulus of every bin of a recording in stimulus order."""
    table = recording.presentations
    table = table[table["kind"] == kind_of(table, kind)]
    length = table["stop_bin"] - table["start_bin"]
    return np.repeat(table["stimulus_id"].to_numpy(), length)


def _unit_table(first: SpikeRaster, second: SpikeRaster) -> pd.DataFrame:
    n_time_bins = first.n_time_bins
    counts, others = first.spike_counts(), second.spike_counts()
    ours, theirs = (raster.bits.view("<u8") for raster in (first, second))
    n_flips = np.bitwise_count(ours ^ theirs).sum(axis=1, dtype=np.int64)
    # Gained minus lost is the change of the count, and their sum are the flips.
    n_gained = (n_flips + others - counts) // 2
    p, q = counts / n_time_bins, others / n_time_bins
    return pd.DataFrame(
        {
            "unit": np.arange(first.n_units),
            "n_flips": n_flips,
            "n_gained": n_gained,
            "n_lost": n_flips - n_gained,
            "pattern_flips": n_flips / n_time_bins,
            "pattern_flips_floor": np.abs(p - q),
            "pattern_flips_independent": p * (1 - q) + q * (1 - p),
        }
    )


def _sample_table(
    first: SpikeRaster,
    second: SpikeRaster,
    stimuli: npt.NDArray[Any] | None,
) -> pd.DataFrame:
    ours, theirs = patterns_of(first), patterns_of(second)
    n_flips = np.bitwise_count(ours ^ theirs).sum(axis=1, dtype=np.int64)
    active, others = (_active_units(rows) for rows in (ours, theirs))
    n_samples = first.n_time_bins
    with np.errstate(invalid="ignore"):
        share, floor = np.array([n_flips, np.abs(active - others)]) / first.n_units
    return pd.DataFrame(
        {
            "sample": np.arange(n_samples),
            **({} if stimuli is None else {"stimulus_id": stimuli}),
            "n_flips": n_flips,
            "pattern_flips": share,
            "pattern_flips_floor": floor,
        }
    )


def _placed(table: pd.DataFrame, place: dict[str, str]) -> pd.DataFrame:
    """Return a table with the names of the phases behind its first column."""
    for index, (name, phase) in enumerate(place.items(), start=1):
        table.insert(index, name, pd.Series([phase] * len(table), dtype="str"))
    return table


def _active_units(patterns: npt.NDArray[np.uint64]) -> IntArray:
    counts: IntArray = np.bitwise_count(patterns).sum(axis=1, dtype=np.int64)
    return counts


def _pvalue(
    first: SpikeRaster,
    second: SpikeRaster,
    n_permutations: int,
    seed: list[int],
    executor: Executor | None,
) -> float:
    """Return how often jointly permuted samples have at most as many flips."""
    if not first.n_units:
        return float("nan")
    ours, theirs = patterns_of(first), patterns_of(second)
    observed = _n_flips(ours, theirs)
    drawn = map_shared(
        _n_permuted_flips,
        (ours, theirs, seed),
        range(n_permutations),
        executor,
        name="permutations",
        per_task=_TASK_DRAWS,
    )
    as_few = sum(flips <= observed for flips in drawn)
    return (1 + as_few) / (1 + n_permutations)


def _n_permuted_flips(
    ours: npt.NDArray[np.uint64],
    theirs: npt.NDArray[np.uint64],
    seed: list[int],
    draw: int,
) -> int:
    # A seed per draw, so that draws are the same wherever they are made.
    order = np.random.default_rng([*seed, draw]).permutation(len(theirs))
    return _n_flips(ours, theirs[order])


def _n_flips(ours: npt.NDArray[np.uint64], theirs: npt.NDArray[np.uint64]) -> int:
    return int(np.bitwise_count(ours ^ theirs).sum(dtype=np.int64))
