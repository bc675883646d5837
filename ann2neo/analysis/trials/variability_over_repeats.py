"""Variability of a unit's responses to repeats of the same stimulus."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ann2neo.analysis._entry import (
    Column,
    FloatArray,
    Statistic,
    columns_of,
    count_column,
    text_column,
)
from ann2neo.analysis._phases import phases_of, table_of_units
from ann2neo.analysis.units.dispersion import unbiased_variance
from ann2neo.errors import InputValueError
from ann2neo.raster import SpikeRaster
from ann2neo.recording import Recording
from ann2neo.recording.select import kind_of

__all__ = ["COLUMNS", "REPEAT_STATISTICS", "variability_over_repeats"]

REPEAT_STATISTICS: tuple[Statistic, ...] = (
    Statistic(
        name="variability_over_repeats",
        columns=(
            Column(
                "mean_count",
                "Spikes per presentation, mean over stimuli.",
                "spikes",
            ),
            Column(
                "fano_factor_over_repeats",
                "Variance over mean of the spike counts in repeats of one stimulus,"
                " summed over stimuli; 0 for a deterministic network, 1 for a Poisson"
                " process.",
            ),
            Column(
                "varying_share",
                "Share of the stimuli whose repeats gave different spike counts.",
            ),
        ),
        validity="stimuli shown twice or more, and at least one spike",
        source="Churchland et al. (2010), Nature Neuroscience 13:369",
    ),
)
"""The statistics of responses to one stimulus."""

COLUMNS: tuple[Column, ...] = (
    count_column("unit", "Index of the unit in the recording."),
    text_column("phase", "Phase of the recording."),
    count_column("n_stimuli", "Stimuli that were shown twice or more in the phase."),
    count_column("n_presentations", "Presentations of those stimuli."),
    *columns_of(REPEAT_STATISTICS),
)
"""Columns of the table of `variability_over_repeats`."""

_BLOCK_BYTES = 1 << 22


def variability_over_repeats(
    recording: Recording, *, kind: str | None = None
) -> pd.DataFrame:
    """Compute the Fano factor over repeats of a stimulus, phase by phase.

    This is what neuroscientists usually call the Fano factor. For each stimulus s shown
    r_s >= 2 times, let m_s and v_s be mean and variance (r_s - 1 in the denominator) of
    a unit's spikes per presentation. The Fano factor is sum(v_s) / sum(m_s): one number
    per unit, to which stimuli without a spike contribute nothing. It is 0 for a
    deterministic network, however much its rate differs between stimuli, and 1 for a
    Poisson process. With at most one spike per presentation, m_s = p_s, and its
    expectation is sum(p_s (1 - p_s)) / sum(p_s).

    Parameters
    ----------
    recording : Recording
        A recording with a ``stimulus_id`` and stimuli shown more than once: made with
        ``training=True, n_repeats=k``, or trials of a real session.
    kind : str, optional
        Kind of the presentations; the only one, or "trials", if not given.

    Returns
    -------
    pandas.DataFrame
        One row per unit and phase: ``unit``, ``phase``, ``n_stimuli`` and
        ``n_presentations`` that were used, ``mean_count`` (spikes per presentation,
        mean over stimuli), ``fano_factor_over_repeats`` (NaN where the unit never
        spiked), and ``varying_share``, the share of the stimuli whose repeats gave
        different spike counts. In a phase without repeats, n_stimuli is 0 and the
        others are NaN.

    Raises
    ------
    InputTypeError, InputValueError
        If `recording` is not a Recording, there is no ``stimulus_id``, there are no
        presentations of the kind, no stimulus was shown twice in one phase, or one
        stimulus has two labels in a phase, so that it is not one stimulus.

    References
    ----------
    Churchland et al. (2010), Nature Neuroscience 13, 369.

    Examples
    --------
    >>> import numpy as np
    >>> activations = np.array(
    ...     [[1.0, 1.0], [1.0, -1.0]]
    ... )  # one stimulus, shown twice, to two units
    >>> recording = Recording.from_activations(activations, stimulus_id=[0, 0])
    >>> variability_over_repeats(recording)["fano_factor_over_repeats"].to_list()
    [0.0, 1.0]
    """
    phases = phases_of(recording, "variability_over_repeats")
    presentations = recording.presentations
    if "stimulus_id" not in presentations:
        raise InputValueError(
            "variability over repeats needs to know what was shown, and the recording"
            " has no stimulus_id; add that column to its presentations"
        )
    presentations = presentations[presentations["kind"] == kind_of(presentations, kind)]
    # Phases may number their stimuli alike, so that ids mean something in one only.
    shown = [
        presentations[presentations["phase"] == phase.phase].reset_index(drop=True)
        for phase in phases
    ]
    for table, phase in zip(shown, phases, strict=True):
        _refuse_two_labels(table, phase.phase)
    n_shown = sum(table["stimulus_id"].nunique() for table in shown)
    if n_shown == len(presentations):
        raise InputValueError(
            "variability over repeats needs stimuli shown twice or more in one phase,"
            f" and all {n_shown} were shown once; record with training=True and, say,"
            " n_repeats=10"
        )
    tables = []
    for table, phase in zip(shown, phases, strict=True):
        result = _of_phase(recording.raster, table)
        tables.append(table_of_units(result, np.arange(len(result)), phase))
    return pd.concat(tables, ignore_index=True)


def _refuse_two_labels(table: pd.DataFrame, phase: str) -> None:
    """Raise if presentations of one stimulus differ in their label."""
    if "label" not in table:
        return
    n_labels = table.groupby("stimulus_id")["label"].nunique()
    several = n_labels.index[n_labels > 1].tolist()
    if not several:
        return
    labels = table["label"][table["stimulus_id"] == several[0]].unique().tolist()
    raise InputValueError(
        f"stimulus {several[0]!r} of phase {phase!r} has the labels"
        f" {', '.join(map(repr, labels[:5]))}, so its presentations are no repeats of"
        " one stimulus; give different stimuli different stimulus_id"
    )


def _of_phase(raster: SpikeRaster, presentations: pd.DataFrame) -> pd.DataFrame:
    """Return the statistics of each unit over the presentations of one phase."""
    _, stimulus, times = np.unique(
        presentations["stimulus_id"].to_numpy(), return_inverse=True, return_counts=True
    )
    repeated = np.flatnonzero(times >= 2)
    order = np.argsort(stimulus, kind="stable")
    # Presentations in the order of stimuli, so that each stimulus is one stretch.
    firsts = np.concatenate([[0], np.cumsum(times)[:-1]])
    starts = presentations["start_bin"].to_numpy()[order]
    stops = presentations["stop_bin"].to_numpy()[order]
    values: FloatArray = np.full((raster.n_units, 3), np.nan)
    for units, block in raster.unit_blocks(_BLOCK_BYTES):
        if not len(repeated):
            break
        counts = block.cumulative_counts(stops) - block.cumulative_counts(starts)
        # (n_units, n_stimuli), of the stimuli that were shown twice or more.
        total = np.add.reduceat(counts, firsts, axis=1)[:, repeated]
        squares = np.add.reduceat(counts * counts, firsts, axis=1)[:, repeated]
        variance = unbiased_variance(squares, total, times[repeated])
        mean = total / times[repeated]
        with np.errstate(invalid="ignore"):
            # A ratio of sums, as stimuli without a spike have no ratio of their own.
            fano = variance.sum(axis=1) / mean.sum(axis=1)
        values[units] = np.column_stack(
            [mean.mean(axis=1), fano, (variance > 0).mean(axis=1)]
        )
    sizes: dict[str, Any] = {
        "n_stimuli": np.full(raster.n_units, len(repeated)),
        "n_presentations": np.full(raster.n_units, times[repeated].sum()),
    }
    names = ("mean_count", "fano_factor_over_repeats", "varying_share")
    columns = dict(zip(names, values.T, strict=True))
    return pd.DataFrame({**sizes, **columns}, index=pd.RangeIndex(raster.n_units))
