"""summarize_populations: one row per phase with the statistics of a population."""

from __future__ import annotations

import dataclasses
from concurrent.futures import Executor
from typing import Any

import numpy as np
import pandas as pd

from ann2neo._checks import seed_or_new, whole_number
from ann2neo.analysis._entry import (
    Column,
    Statistic,
    columns_of,
    count_column,
    text_column,
)
from ann2neo.analysis._phases import phases_of
from ann2neo.analysis.networks.unit_means import DEAD_UNITS, MEAN_FIRING_RATE
from ann2neo.analysis.p_values import benjamini_hochberg
from ann2neo.analysis.populations.correlations import (
    CORRELATION,
    PARTICIPATION_RATIO,
    TUNING,
    correlations,
)
from ann2neo.analysis.populations.labels import has_labels
from ann2neo.analysis.populations.selectivity import lifetime_sparseness, selectivity_of
from ann2neo.recording import Recording
from ann2neo.recording.segments import SegmentedPhase

__all__ = ["COLUMNS", "POPULATION_STATISTICS", "summarize_populations"]

_FALSE_DISCOVERIES = 0.05
_LABELS = "presentations with labels"


def _renamed(entry: Statistic, names: dict[str, str]) -> Statistic:
    """Return an entry with the names that its columns have in this table."""
    columns = [
        dataclasses.replace(entry.column(old), name=new) for old, new in names.items()
    ]
    return dataclasses.replace(entry, columns=tuple(columns))


_JOINT_STATISTICS = (
    _renamed(
        CORRELATION,
        {
            "mean": "mean_correlation",
            "std": "std_correlation",
            "mean_absolute": "mean_absolute_correlation",
            "null_std": "correlation_null_std",
            "share_beyond_null": "share_correlated",
            "null_distribution": "correlation_null",
        },
    ),
    _renamed(
        TUNING,
        {
            "tuning_mean": "tuning_correlation",
            "within_label_mean": "within_label_correlation",
        },
    ),
    PARTICIPATION_RATIO,
    Statistic(
        name="complexity",
        columns=(
            Column(
                "complexity_mean",
                "Mean number of units that spike in the same time bin.",
                "units",
            ),
            Column(
                "complexity_variance_ratio",
                "Variance of that number over the one of independent units of the same"
                " rates.",
            ),
        ),
        validity=PARTICIPATION_RATIO.validity,
        source="Grün, Abeles and Diesmann (2008), LNCS 5286:96",
    ),
)
_TUNING_STATISTICS = (
    Statistic(
        name="population_sparseness",
        columns=(
            Column(
                "population_sparseness",
                "Sparseness over units of their rates for one label, mean over labels.",
            ),
        ),
        validity=f"{_LABELS}, and at least two units and a spike",
        source="Vinje and Gallant (2000), Science 287:1273",
    ),
    Statistic(
        name="mean_selectivity",
        columns=(
            Column(
                "mean_lifetime_sparseness",
                "Mean over units that spike of their sparseness over labels.",
            ),
            Column(
                "mean_selectivity_index",
                "Mean over units that spike of their class selectivity.",
            ),
            Column(
                "mean_selectivity_index_expected",
                "The same under permuted labels, above 0 by chance.",
            ),
        ),
        validity=f"{_LABELS}, and at least one spike",
        source="as the statistics of single units",
    ),
    Statistic(
        name="mean_mutual_information",
        columns=(
            Column(
                "mean_mutual_information",
                "Mean over units of the mutual information of spike count and label.",
                "bit",
            ),
            Column(
                "informative_share",
                "Share of units whose information is significant after"
                f" Benjamini-Hochberg at {_FALSE_DISCOVERIES:g}.",
            ),
        ),
        null="spike count and label are independent in every unit",
        validity=_LABELS,
        source="as the statistics of single units",
    ),
    Statistic(
        name="single_stimulus_units",
        columns=(
            Column(
                "n_single_stimulus_units",
                "Units that fire for exactly one stimulus.",
                "units",
            ),
        ),
        validity=_LABELS,
        source="definition",
    ),
)
POPULATION_STATISTICS: tuple[Statistic, ...] = (
    *_JOINT_STATISTICS,
    *_TUNING_STATISTICS,
)
"""The statistics of a population, in the order of the columns."""

COLUMNS: tuple[Column, ...] = (
    text_column("phase", "Phase of the recording."),
    count_column("n_units", "Units of the recording."),
    count_column("n_time_bins", "Time bins of the phase, N."),
    MEAN_FIRING_RATE.column("mean_firing_rate"),
    *DEAD_UNITS.columns,
    *columns_of(POPULATION_STATISTICS),
    count_column("n_permutations", "Permutations of the labels."),
    count_column("seed", "Seed of the permutations."),
)
"""Columns of the table of `summarize_populations`."""


def summarize_populations(
    recording: Recording,
    *,
    kind: str | None = None,
    n_permutations: int = 999,
    seed: int | None = None,
    executor: Executor | None = None,
) -> pd.DataFrame:
    """Summarize correlations and tuning of a population, phase by phase.

    Parameters
    ----------
    recording : Recording
        The recording; columns about labels are NaN where presentations have none.
    kind : str, optional
        Kind of the presentations whose labels count; the only one, or "trials", if not
        given.
    n_permutations : int, default 999
        Permutations of the labels, as in `selectivity`.
    seed : int, optional
        Their seed; one is drawn and reported if not given.
    executor : concurrent.futures.Executor, optional
        As in `analyze`.

    Returns
    -------
    pandas.DataFrame
        One row per phase:

        - ``n_units, n_time_bins, mean_firing_rate, silent_share, saturated_share``;
        - ``mean_correlation, std_correlation, mean_absolute_correlation`` over pairs,
          ``correlation_null_std`` of unrelated units, ``share_correlated``, the pairs
          beyond what 95 % of those reach, and ``correlation_null``, which null
          distribution that is (see `correlations`);
          ``tuning_correlation``, due to the labels alone, and
          ``within_label_correlation``, the remainder;
        - ``participation_ratio`` and ``participation_ratio_independent``, the number of
          dimensions spanned, and that of independent units of the same rates;
        - ``complexity_mean, complexity_variance_ratio``, mean of the number of units
          active in a bin, and its variance over that of independent units of the same
          rates;
        - ``population_sparseness``, of the units' rates for one label, mean over
          labels; over units that fire, ``mean_lifetime_sparseness``,
          ``mean_selectivity_index`` and ``mean_selectivity_index_expected`` under
          permuted labels; over all units, ``mean_mutual_information`` in bits;
          ``informative_share`` of units whose information is significant at a false
          discovery rate of 0.05;
        - ``n_single_stimulus_units``, which fire for exactly one stimulus;
          ``n_permutations, seed``.

    Raises
    ------
    InputTypeError, InputValueError
        If `recording` is not a Recording, or there are no presentations of the kind.

    References
    ----------
    Those of `correlations`, `complexity` and `selectivity`; population sparseness as
    Vinje, W. E. and Gallant, J. L. (2000). Sparse coding and decorrelation in primary
    visual cortex during natural vision. Science 287.

    Examples
    --------
    >>> import numpy as np
    >>> labels = np.arange(60) % 3
    >>> table = summarize_populations(
    ...     Recording.from_activations(np.eye(3)[labels], labels=labels), seed=0
    ... )
    >>> table[
    ...     ["mean_correlation", "mean_selectivity_index", "population_sparseness"]
    ... ].to_numpy().round(3).tolist()
    [[-0.5, 1.0, 1.0]]
    """
    n_permutations = whole_number(n_permutations, "n_permutations")
    seed = seed_or_new(seed)
    rows = [
        {
            "phase": phase.phase,
            **_together(recording, phase, kind, executor),
            **_tuned(recording, phase, kind, n_permutations, seed, executor),
        }
        for phase in phases_of(recording, "summarize_populations")
    ]
    return pd.DataFrame(rows).assign(n_permutations=n_permutations, seed=seed)


def _together(
    recording: Recording,
    phase: SegmentedPhase,
    kind: str | None,
    executor: Executor | None,
) -> dict[str, Any]:
    raster = recording.raster
    rates = phase.spike_counts(raster) / max(1, phase.n_time_bins)
    active = phase.bin_counts(raster)
    pairs = correlations(recording, phase=phase.phase, kind=kind, executor=executor)
    # Variance of the number of active units if units were independent.
    spread = float((rates * (1.0 - rates)).sum())
    return {
        "n_units": raster.n_units,
        "n_time_bins": phase.n_time_bins,
        "mean_firing_rate": float(rates.mean()) if len(rates) else np.nan,
        "silent_share": pairs.n_silent / max(1, raster.n_units),
        "saturated_share": pairs.n_saturated / max(1, raster.n_units),
        "mean_correlation": pairs.mean,
        "std_correlation": pairs.std,
        "mean_absolute_correlation": pairs.mean_absolute,
        "correlation_null_std": pairs.null_std,
        "share_correlated": pairs.share_beyond_null,
        "correlation_null": pairs.null_distribution,
        "tuning_correlation": pairs.tuning_mean,
        "within_label_correlation": pairs.within_label_mean,
        "participation_ratio": pairs.participation_ratio,
        "participation_ratio_independent": pairs.participation_ratio_independent,
        "complexity_mean": float(active.mean()) if active.size else np.nan,
        "complexity_variance_ratio": float(active.var()) / spread if spread else np.nan,
    }


def _tuned(
    recording: Recording,
    phase: SegmentedPhase,
    kind: str | None,
    n_permutations: int,
    seed: int,
    executor: Executor | None,
) -> dict[str, float]:
    names = [column.name for column in columns_of(_TUNING_STATISTICS)]
    if not has_labels(recording, phase, kind) or not recording.n_units:
        return dict.fromkeys(names, np.nan)
    units = selectivity_of(
        recording,
        [phase],
        kind=kind,
        n_permutations=n_permutations,
        seed=seed,
        rates=True,
        executor=executor,
    )
    # The rates for each label are the last columns.
    rates = units.iloc[:, units.columns.to_list().index("seed") + 1 :].to_numpy()
    adjusted = benjamini_hochberg(units["mutual_information_pvalue"])
    sparseness = lifetime_sparseness(rates.T)
    values = (
        float(np.nanmean(sparseness)) if np.isfinite(sparseness).any() else np.nan,
        units["lifetime_sparseness"].mean(),
        units["selectivity_index"].mean(),
        units["selectivity_index_expected"].mean(),
        units["mutual_information"].mean(),
        float(np.mean(adjusted <= _FALSE_DISCOVERIES)),
        float((units["n_stimuli"] == 1).sum()),
    )
    return dict(zip(names, values, strict=True))
