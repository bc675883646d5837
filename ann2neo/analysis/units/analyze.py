"""analyze: every statistic of every unit in every phase."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ann2neo._checks import one_of
from ann2neo._parallel import Task, checked_executor, map_tasks
from ann2neo._progress import progress_bar
from ann2neo.analysis._entry import Column, UnitStatistic, Values
from ann2neo.analysis._phases import lags_for, window_for
from ann2neo.analysis.table_of_statistics import chosen_statistics, unit_columns
from ann2neo.analysis.trials.trial_counts import TrialCounts, TrialTrain
from ann2neo.analysis.units.counts import Counts, Train
from ann2neo.analysis.units.firing_rate import status
from ann2neo.raster import SpikeRaster
from ann2neo.recording import Recording, checked_recording
from ann2neo.recording.segments import (
    SegmentedPhase,
    UnitsOfPhase,
    segmented_phases,
)

__all__ = [
    "ENGINES",
    "analyze",
    "fast_values",
    "identity_of_units",
    "joined_rows",
    "reference_values",
    "with_reasons",
]

ENGINES = ("fast", "reference")
"""Compute all units from the bits, or each with Elephant, SciPy and statsmodels."""

_FILTERS = Lock()
_BLOCK_BYTES = 1 << 21
_BLOCK_UNITS = 4096


def analyze(
    recording: Recording,
    window: int | None = None,
    lags: int | None = None,
    engine: str = "fast",
    statistics: str | Sequence[str] | None = None,
    *,
    progress: bool | None = None,
    executor: Executor | None = None,
) -> pd.DataFrame:
    """Compute the statistics of every unit in every phase.

    Parameters
    ----------
    recording : Recording
        What to analyse. Statistics pool the segments of a phase and never run across
        the border of two, and bins in no segment are ignored.
    window : int, optional
        Length of the counting windows, in bins; ``max(2, min(100, N // 10, L))`` if not
        given, with N the bins of the phase and L the largest length such that segments
        of at least L bins hold 90 % of them.
    lags : int, optional
        Number of lags of the Ljung-Box test; 10, or one less than the bins of the
        longest segment where that is fewer, if not given.
    engine : {"fast", "reference"}
        "fast" computes all units from the bits; "reference" calls Elephant, SciPy and
        statsmodels unit by unit, with the same results.
    statistics : str or sequence of str, optional
        Names of statistics (see `STATISTICS`); all if not given.
    progress : bool, optional
        Show a progress bar; by default only in a terminal or a notebook, after a
        second.
    executor : concurrent.futures.Executor, optional
        Where blocks of units are computed, such as a ``ProcessPoolExecutor`` or Dask's
        ``client.get_executor()``; in this thread if not given. The table is the same.

    Returns
    -------
    pandas.DataFrame
        One row per unit and phase: the conditions, what the recording knows about the
        unit, then the statistics. Where a statistic is not valid, its columns hold NaN
        (-1 for integers) and ``<statistic>_reason`` says why. `explain` says what a
        column means.

    Raises
    ------
    InputTypeError, InputValueError
        If `recording` is not a Recording, `window` or `lags` is not a positive whole
        number, or the engine or a statistic is unknown.
    WorkerError
        If a worker does not see the recording's folder, or has another version.

    Warns
    -----
    FewWindowsWarning
        If a window asked for leaves fewer than ten windows.
    WorkerWarning
        If the executor loses a worker and this process does the rest.

    Notes
    -----
    The Fano factor is that of counts in consecutive windows. The name is also used for
    the variability over repeats of one stimulus, which a deterministic network does not
    have.

    Where ``order`` is "random" and every presentation is one bin, every test of order
    is true by construction: it tests the shuffle, not the network. The shuffle of
    longer presentations settles what runs across them, not what runs inside.

    Examples
    --------
    >>> import numpy as np
    >>> activations = np.random.default_rng(0).normal(size=(1000, 2))
    >>> table = analyze(
    ...     Recording.from_activations(activations, order="random"),
    ...     statistics=["firing_rate", "fano"],
    ... )
    >>> table[["unit", "firing_rate", "fano_factor", "fano_factor_expected"]].round(2)
       unit  firing_rate  fano_factor  fano_factor_expected
    ...
    """
    checked_recording(recording, "analyze")
    one_of(engine, ENGINES, "engine")
    chosen = chosen_statistics(statistics)
    phases = segmented_phases(recording)
    settings = []
    # Not in a comprehension, which has a frame of its own in Python 3.11: the warning
    # shall name the caller's line.
    for phase in phases:
        length = window_for(window, phase.lengths)
        settings.append((phase, length, lags_for(lags, phase.lengths)))
    columns = unit_columns(chosen)
    identity = identity_of_units(recording, {column.name for column in columns})
    names = [entry.name for entry in chosen]
    tasks = (
        Task(str(part), (part, length, n_lags, engine, names))
        for phase, length, n_lags in settings
        for part in phase.unit_parts(
            recording.raster, _block_units(recording.raster, phase, engine)
        )
    )
    blocks = []
    n_rows = recording.n_units * len(phases)
    with progress_bar(n_rows, "analyze", "units", progress) as bar:
        for block in map_tasks(_analyzed, tasks, checked_executor(executor)):
            blocks.append(block)
            bar.update(len(block["unit"]))
    return joined_rows(blocks, identity, columns)


def _analyzed(
    part: UnitsOfPhase,
    window: int,
    lags: int,
    engine: str,
    statistics: list[str],
) -> dict[str, npt.NDArray[Any]]:
    counts = Counts(part.raster(), window, lags)
    # Chosen again by name: the functions of the table of statistics cannot be sent.
    chosen = chosen_statistics(statistics)
    return _rows(counts, part.phase, engine, chosen, part.units.start)


def _block_units(raster: SpikeRaster, phase: SegmentedPhase, engine: str) -> int:
    if engine == "reference":
        # Unit by unit, as its libraries go.
        return 1
    # Columns grow with the units, bits with units and bins: both are bounded.
    return min(_BLOCK_UNITS, phase.units_in(raster, _BLOCK_BYTES))


def identity_of_units(recording: Recording, taken: set[str]) -> pd.DataFrame:
    """Return the recording's table of units, without columns of missing values.

    Names in `taken`, those of our own columns, become ``unit_<name>``.
    """
    units = recording.units
    names = [
        name
        for name in units
        if units[name].dtype.kind != "i" or (units[name] != -1).any()
    ]
    return units[names].rename(
        columns={name: f"unit_{name}" for name in names if name in taken}
    )


def _rows(
    counts: Counts,
    phase: SegmentedPhase,
    engine: str,
    statistics: tuple[UnitStatistic, ...],
    first_unit: int,
) -> dict[str, npt.NDArray[Any]]:
    conditions: dict[str, Any] = {
        "unit": np.arange(first_unit, first_unit + counts.n_units),
        "phase": np.array(phase.phase, dtype=object),
        "order": np.array(phase.order, dtype=object),
        "n_time_bins": counts.n_time_bins,
        "n_spikes": counts.n_spikes,
        "window": counts.window,
        "n_windows": counts.n_windows,
        "window_share": counts.window_share,
        "lags": counts.lags,
        "engine": np.array(engine, dtype=object),
        "status": status(counts),
    }
    columns = {
        name: np.broadcast_to(value, counts.n_units)
        for name, value in conditions.items()
    }
    reasons = {entry: entry.reason(counts) for entry in statistics}
    if engine == "fast":
        values = fast_values(counts, reasons)
    else:
        values = reference_values(
            reasons,
            counts.n_units,
            lambda unit: Train(counts.of_units(np.array([unit]))),
        )
    return columns | with_reasons(reasons, values)


Reasons = Mapping[Any, npt.NDArray[Any]]
"""Statistics, and why each unit has none."""


def with_reasons(reasons: Reasons, values: Values) -> dict[str, npt.NDArray[Any]]:
    """Return the columns of statistics, missing where there is a reason."""
    columns: dict[str, npt.NDArray[Any]] = {}
    for entry, reason in reasons.items():
        for column in entry.columns:
            columns[column.name] = np.where(
                reason == "", values[column.name], column.missing
            )
        columns[entry.reason_column.name] = reason
    return columns


def fast_values(counts: Counts | TrialCounts, reasons: Reasons) -> Values:
    """Return the columns of statistics from the fast engine."""
    # Invalid units divide by zero; the missing value replaces the result.
    with np.errstate(all="ignore"):
        return {
            name: values
            for entry in reasons
            for name, values in entry.fast(counts).items()
        }


def reference_values(
    reasons: Reasons, n_units: int, train_of: Callable[[int], Train | TrialTrain]
) -> Values:
    """Return the columns of statistics from the reference engine, unit by unit."""
    columns = {
        column.name: np.full(n_units, column.missing, object)
        for entry in reasons
        for column in entry.columns
    }
    for unit in range(n_units):
        train = train_of(unit)
        # The filters of warnings are those of the process: one thread at a time.
        with _FILTERS, warnings.catch_warnings():
            # The libraries warn of small samples and of p-values beyond their tables.
            warnings.simplefilter("ignore")
            for entry, reason in reasons.items():
                if not reason[unit]:
                    for name, value in entry.reference(train).items():
                        columns[name][unit] = value
    return columns


def joined_rows(
    blocks: list[dict[str, npt.NDArray[Any]]],
    identity: pd.DataFrame,
    columns: tuple[Column, ...],
) -> pd.DataFrame:
    """Return a table of blocks of rows, with what is known about each unit."""
    parts = {}
    for column in columns:
        # Without units there is no block.
        values = [block[column.name] for block in blocks] or [np.zeros(0, object)]
        parts[column.name] = pd.Series(
            np.concatenate(values), dtype=column.dtype or None
        )
    table = pd.DataFrame(parts)
    own = identity.iloc[table["unit"].to_numpy()].reset_index(drop=True)
    return pd.concat([table[["unit"]], own, table.drop(columns="unit")], axis=1)
