"""analyze: every statistic of every unit in every phase."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from threadpoolctl import threadpool_limits

from ann2neo._checks import one_of, whole_number
from ann2neo.analysis._entry import UnitStatistic, Values
from ann2neo.analysis._windows import window_for
from ann2neo.analysis.statistics import chosen_statistics, unit_columns
from ann2neo.analysis.units.counts import Counts, Train
from ann2neo.analysis.units.firing_rate import status
from ann2neo.raster import SpikeRaster
from ann2neo.recording import Recording, checked_recording
from ann2neo.recording.tables import Phase

__all__ = ["ENGINES", "analyze"]

ENGINES = ("fast", "reference")
"""Ways to compute: all units from the bits, or Elephant, SciPy and statsmodels unit by
unit.
"""

_BLOCK_BYTES = 1 << 21
_BLOCK_UNITS = 256


def analyze(
    recording: Recording,
    window: int | None = None,
    lags: int = 10,
    engine: str = "fast",
    statistics: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Compute the statistics of every unit in every phase.

    Parameters
    ----------
    recording : Recording
        What to analyse. Statistics never run across the edge of a phase; bins in no
        phase are not seen.
    window : int, optional
        Length of the counting windows, in bins; ``min(100, max(2, N // 10))`` of the
        phase's N bins if not given.
    lags : int, default 10
        Number of lags of the Ljung-Box test.
    engine : {"fast", "reference"}
        "fast" works on all units from the bits; "reference" calls Elephant, SciPy and
        statsmodels unit by unit, with the same results.
    statistics : sequence of str, optional
        Names of statistics (see `STATISTICS`); all if not given.

    Returns
    -------
    pandas.DataFrame
        One row per unit and phase: what the row is about, what the recording knows of
        the unit, then the statistics. Where a statistic is not valid its columns hold
        NaN (-1 for integers) and ``<statistic>_reason`` says why. `explain` says what a
        column means.

    Raises
    ------
    InputTypeError, InputValueError
        If `recording` is not a Recording, `window` or `lags` is not a positive whole
        number, or the engine or a statistic is unknown.

    Warns
    -----
    FewWindowsWarning
        If a window asked for leaves fewer than ten windows.

    Notes
    -----
    The Fano factor is that of counts in consecutive windows. Neuroscientists also call
    so the variability over repeats of one stimulus, which is 0 for a deterministic
    network.

    Where ``order`` is "random", every test of order is true by construction: it tests
    the shuffle, not the network.

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
    lags = whole_number(lags, "lags", noun="lags")
    phases, windows = list(recording.iter_phases()), []
    # Not in a comprehension, which is a frame of its own up to Python 3.11: the warning
    # names the caller's line.
    for phase in phases:
        windows.append(window_for(window, phase.n_time_bins))  # noqa: PERF401
    identity = _identity(recording, {column.name for column in unit_columns(chosen)})
    parts = []
    with threadpool_limits(1, user_api="blas"):
        for phase, length in zip(phases, windows, strict=True):
            raster = recording.raster.slice(phase.start_bin, phase.stop_bin)
            blocks = [
                _rows(Counts(block, length, lags), phase, engine, chosen, units.start)
                for units, block in raster.unit_blocks(_block_bytes(raster))
            ]
            parts.append(_joined(blocks, identity, chosen))
    if not parts:
        return _joined([], identity, chosen)
    return pd.concat(parts, ignore_index=True)


def _block_bytes(raster: SpikeRaster) -> int:
    # Gram matrices grow with the number of units, bits with units and bins: bound both.
    return max(
        1, min(_BLOCK_BYTES, _BLOCK_UNITS * raster.nbytes // max(1, raster.n_units))
    )


def _identity(recording: Recording, taken: set[str]) -> pd.DataFrame:
    """What the recording knows of its units, without columns in which there is
    nothing.
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
    phase: Phase,
    engine: str,
    statistics: tuple[UnitStatistic, ...],
    first_unit: int,
) -> dict[str, npt.NDArray[Any]]:
    n = counts.n_units
    columns: dict[str, Any] = {
        "unit": np.arange(first_unit, first_unit + n),
        "phase": np.full(n, phase.phase, dtype=object),
        "order": np.full(n, phase.order, dtype=object),
        "n_time_bins": np.full(n, counts.n_time_bins),
        "n_spikes": counts.n_spikes,
        "window": np.full(n, counts.window),
        "n_windows": np.full(n, counts.n_windows),
        "lags": np.full(n, counts.lags),
        "engine": np.full(n, engine, dtype=object),
        "status": status(counts),
    }
    reasons = {entry: entry.reason(counts) for entry in statistics}
    values_of = _fast_values if engine == "fast" else _reference_values
    values = values_of(counts, reasons)
    for entry, reason in reasons.items():
        for column in entry.columns:
            columns[column.name] = np.where(
                reason == "", values[column.name], column.missing
            )
        columns[entry.reason_column.name] = reason
    return columns


def _fast_values(
    counts: Counts, reasons: dict[UnitStatistic, npt.NDArray[Any]]
) -> Values:
    # Invalid units divide by zero on the way; what comes of it is replaced by the
    # missing value.
    with np.errstate(all="ignore"):
        return {
            name: values
            for entry in reasons
            for name, values in entry.fast(counts).items()
        }


def _reference_values(
    counts: Counts, reasons: dict[UnitStatistic, npt.NDArray[Any]]
) -> Values:
    columns = {
        column.name: np.full(counts.n_units, column.missing, object)
        for entry in reasons
        for column in entry.columns
    }
    for unit in range(counts.n_units):
        train = Train(
            Counts(counts.raster.take(units=[unit]), counts.window, counts.lags)
        )
        with warnings.catch_warnings():
            # The libraries warn of small samples and of p-values at the edge of their
            # tables.
            warnings.simplefilter("ignore")
            for entry, reason in reasons.items():
                if not reason[unit]:
                    for name, value in entry.reference(train).items():
                        columns[name][unit] = value
    return columns


def _joined(
    blocks: list[dict[str, npt.NDArray[Any]]],
    identity: pd.DataFrame,
    statistics: tuple[UnitStatistic, ...],
) -> pd.DataFrame:
    columns = {
        column.name: pd.array(
            (
                np.concatenate([block[column.name] for block in blocks])
                if blocks
                else np.zeros(0, object)
            ),
            dtype=column.dtype,
        )
        for column in unit_columns(statistics)
    }
    table = pd.DataFrame(columns)
    own = identity.iloc[table["unit"].to_numpy()].reset_index(drop=True)
    return pd.concat([table[["unit"]], own, table.drop(columns="unit")], axis=1)
