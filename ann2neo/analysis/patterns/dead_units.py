"""dead_units: units that never fire, or always do, layer by layer."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ann2neo.analysis._entry import Column, Statistic, count_column, text_column
from ann2neo.analysis._phases import phases_of
from ann2neo.analysis.networks.unit_means import DEAD_UNITS
from ann2neo.analysis.patterns._groups import checked_by, groups_of
from ann2neo.recording import Recording

__all__ = ["COLUMNS", "dead_units"]

_LEVEL = 0.05

CENSUS = Statistic(
    name="dead_units",
    columns=(
        count_column("n_silent", "Units without a spike in the phase."),
        count_column("n_saturated", "Units with a spike in every bin of the phase."),
        *DEAD_UNITS.columns,
        count_column(
            "n_silent_everywhere",
            "Of the silent units, those without a spike in any phase of the recording.",
        ),
        count_column(
            "n_saturated_everywhere",
            "Of the saturated units, those with a spike in every bin of every phase.",
        ),
        Column(
            "silent_rate_limit",
            "Upper end of the one-sided 95 % confidence interval of the firing rate of"
            " a silent unit, 1 - 0.05^(1/N): how rarely a unit that is not dead would"
            " have to fire. Which sample comes closest to waking it, bits cannot tell:"
            " that needs activations, or a recording at a lower threshold.",
        ),
    ),
    validity="at least one time bin; the limit supposes independent samples",
    source="Clopper and Pearson (1934), Biometrika 26:404",
)

COLUMNS: tuple[Column, ...] = (
    text_column("phase", "Phase of the recording."),
    text_column("layer", "Name of the layer of the artificial neural network."),
    count_column("n_units", "Units of the layer."),
    count_column("n_time_bins", "Time bins of the phase, N."),
    *CENSUS.columns,
)
"""Columns of the table of `dead_units`."""


def dead_units(recording: Recording, *, by: str | None = None) -> pd.DataFrame:
    """Count silent and saturated units, per phase and layer.

    Parameters
    ----------
    recording : Recording
        The recording.
    by : str, optional
        Column of the table of units to group by, as in `patterns`; layers by default.

    Returns
    -------
    pandas.DataFrame
        One row per phase and group: ``phase``, the column `by`, ``n_units``,
        ``n_time_bins``, ``n_silent``, ``n_saturated``, ``silent_share``,
        ``saturated_share`` (NaN without a unit), ``n_silent_everywhere``,
        ``n_saturated_everywhere`` and ``silent_rate_limit``, the highest firing rate
        that the silence of a unit in the phase is compatible with at 5 %.

    Raises
    ------
    InputTypeError, InputValueError
        If `recording` is not a Recording, or has no phase; if `by` is unknown.

    Notes
    -----
    A bit says whether an activation was above the threshold, not by how much it was
    missed. Which sample comes closest to waking a silent unit cannot be told from bits:
    record the same stimuli at a lower threshold, or look at the activations. For
    which units they are, take the column ``status`` of `analyze`.

    References
    ----------
    Clopper, C. J. and Pearson, E. S. (1934). The use of confidence or fiducial limits
    illustrated in the case of the binomial. Biometrika 26.

    Examples
    --------
    >>> from ann2neo.testing import make_recording
    >>> table = dead_units(make_recording([[0, 0, 0], [1, 1, 1], [0, 1, 0]]))
    >>> table[["n_units", "n_silent", "n_saturated"]]
       n_units  n_silent  n_saturated
    0        3         1            1
    """
    phases = phases_of(recording, "dead_units")
    by = checked_by(by, recording.units, {c.name for c in COLUMNS} - {"layer"})
    counts = [phase.raster(recording.raster).raster.spike_counts() for phase in phases]
    silent = [count == 0 for count in counts]
    saturated = [
        count == phase.n_time_bins for count, phase in zip(counts, phases, strict=True)
    ]
    always_silent, always_saturated = np.all(silent, axis=0), np.all(saturated, axis=0)
    rows = []
    for phase, is_silent, is_saturated in zip(phases, silent, saturated, strict=True):
        for group in groups_of(recording.units, by):
            units, n_units = group.units, len(group.units)
            n_silent = int(is_silent[units].sum())
            n_saturated = int(is_saturated[units].sum())
            rows.append(
                {
                    "phase": phase.phase,
                    **group.place,
                    "n_units": n_units,
                    "n_time_bins": phase.n_time_bins,
                    "n_silent": n_silent,
                    "n_saturated": n_saturated,
                    "silent_share": n_silent / n_units if n_units else np.nan,
                    "saturated_share": n_saturated / n_units if n_units else np.nan,
                    "n_silent_everywhere": int(always_silent[units].sum()),
                    "n_saturated_everywhere": int(always_saturated[units].sum()),
                    # 1 - 0.05^(1/N), exact for large N.
                    "silent_rate_limit": -np.expm1(np.log(_LEVEL) / phase.n_time_bins),
                }
            )
    return pd.DataFrame(rows).astype({"phase": "str"})
