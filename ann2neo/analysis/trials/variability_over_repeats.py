"""Variability of a unit's responses to repeats of the same stimulus."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ann2neo.analysis._entry import Column, Statistic, columns_of, count_column
from ann2neo.analysis.units.dispersion import unbiased_variance
from ann2neo.errors import InputValueError
from ann2neo.recording import Recording

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
    count_column("n_stimuli", "Stimuli that were shown twice or more."),
    count_column("n_presentations", "Presentations of those stimuli."),
    *columns_of(REPEAT_STATISTICS),
)
"""Columns of the table of `variability_over_repeats`."""

_BLOCK_BYTES = 1 << 22


def variability_over_repeats(recording: Recording) -> pd.DataFrame:
    """Compute the Fano factor over repeats of a stimulus.

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

    Returns
    -------
    pandas.DataFrame
        One row per unit: ``unit``, ``n_stimuli`` and ``n_presentations`` that were
        used, ``mean_count`` (spikes per presentation, mean over stimuli),
        ``fano_factor_over_repeats`` (NaN where the unit never spiked), and
        ``varying_share``, the share of the stimuli whose repeats gave different
        spike counts.

    Raises
    ------
    InputValueError
        If there is no ``stimulus_id``, or no stimulus was shown twice.

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
    presentations = recording.presentations
    if "stimulus_id" not in presentations:
        raise InputValueError(
            "variability over repeats needs to know what was shown, and the recording"
            " has no stimulus_id; add that column to its presentations"
        )
    _, stimulus, times = np.unique(
        presentations["stimulus_id"].to_numpy(), return_inverse=True, return_counts=True
    )
    repeated = np.flatnonzero(times >= 2)
    if not len(repeated):
        raise InputValueError(
            "variability over repeats needs stimuli shown twice or more, and all"
            f" {len(times)} were shown once; record with training=True and, say,"
            " n_repeats=10"
        )
    order = np.argsort(stimulus, kind="stable")
    # Presentations in the order of stimuli, so that each stimulus is one stretch.
    firsts = np.concatenate([[0], np.cumsum(times)[:-1]])
    starts = presentations["start_bin"].to_numpy()[order]
    stops = presentations["stop_bin"].to_numpy()[order]
    blocks = []
    for _, block in recording.raster.unit_blocks(_BLOCK_BYTES):
        counts = block.cumulative_counts(stops) - block.cumulative_counts(starts)
        # (n_units, n_stimuli), of the stimuli that were shown twice or more.
        total = np.add.reduceat(counts, firsts, axis=1)[:, repeated]
        squares = np.add.reduceat(counts * counts, firsts, axis=1)[:, repeated]
        variance = unbiased_variance(squares, total, times[repeated])
        mean = total / times[repeated]
        with np.errstate(invalid="ignore"):
            # A ratio of sums, as stimuli without a spike have no ratio of their own.
            fano = variance.sum(axis=1) / mean.sum(axis=1)
        blocks.append(
            np.column_stack([mean.mean(axis=1), fano, (variance > 0).mean(axis=1)])
        )
    table = pd.DataFrame(
        np.concatenate(blocks),
        columns=["mean_count", "fano_factor_over_repeats", "varying_share"],
    )
    sizes = {"n_stimuli": len(repeated), "n_presentations": int(times[repeated].sum())}
    table = table.assign(unit=np.arange(len(table)), **sizes)
    return table[[column.name for column in COLUMNS]]
