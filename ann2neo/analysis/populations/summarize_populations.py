"""One row per phase: what a population of units does together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control

from ann2neo.analysis.phases import phases_of
from ann2neo.analysis.populations.correlations import correlations
from ann2neo.analysis.populations.labels import labels_of
from ann2neo.analysis.populations.selectivity import lifetime_sparseness, selectivity
from ann2neo.analysis.seeds import drawn_seed
from ann2neo.recording import Recording
from ann2neo.recording.tables import Phase

__all__ = ["summarize_populations"]

_FALSE_DISCOVERIES = 0.05


def summarize_populations(
    recording: Recording, *, n_permutations: int = 999, seed: int | None = None
) -> pd.DataFrame:
    """Summarize how units fire together and for what, phase by phase.

    Parameters
    ----------
    recording : Recording
        The recording; columns about labels are NaN where presentations have none.
    n_permutations : int, default 999
        Permutations of the labels, as in `selectivity`.
    seed : int, optional
        Their seed; one is drawn and reported if not given.

    Returns
    -------
    pandas.DataFrame
        One row per phase:

        - ``n_units, n_time_bins, mean_firing_rate, silent_share, saturated_share``;
        - ``mean_correlation, std_correlation, mean_absolute_correlation`` over pairs,
          ``correlation_null_std`` of independent units and ``share_correlated``, pairs
          beyond 1.96 of it (0.05 if independent); ``tuning_correlation`` made by the
          labels alone and ``within_label_correlation``, what is left of the mean;
        - ``participation_ratio`` and ``participation_ratio_independent``, dimensions
          spanned, and by independent units of the same rates;
        - ``complexity_mean, complexity_variance_ratio``, mean of the number of units
          active in a bin, and its variance over that of independent units of the same
          rates;
        - ``population_sparseness``, that of the units' rates for one label, mean over
          labels; over units that fire, ``mean_lifetime_sparseness``,
          ``mean_selectivity_index`` and ``mean_selectivity_index_expected`` under
          permuted labels; over all units, ``mean_mutual_information`` in bits;
          ``informative_share`` of units whose information is significant at a false
          discovery rate of 0.05;
        - ``n_single_stimulus_units``, that fire for exactly one stimulus;
          ``n_permutations, seed``.

    Raises
    ------
    InputTypeError
        If `recording` is no Recording.

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
    seed = drawn_seed(seed)
    rows = [
        {
            "phase": phase.phase,
            **_together(recording, phase),
            **_tuned(recording, phase, n_permutations, seed),
        }
        for phase in phases_of(recording, "summarize_populations")
    ]
    return pd.DataFrame(rows).assign(n_permutations=n_permutations, seed=seed)


def _together(recording: Recording, phase: Phase) -> dict[str, Any]:
    raster = recording.raster.slice(phase.start_bin, phase.stop_bin)
    rates = raster.spike_counts() / max(1, raster.n_time_bins)
    active = raster.bin_counts()
    found = correlations(recording, phase=phase.phase)
    spread = float((rates * (1.0 - rates)).sum())
    return {
        "n_units": raster.n_units,
        "n_time_bins": raster.n_time_bins,
        "mean_firing_rate": float(rates.mean()) if len(rates) else np.nan,
        "silent_share": found.n_silent / max(1, raster.n_units),
        "saturated_share": found.n_saturated / max(1, raster.n_units),
        "mean_correlation": found.mean,
        "std_correlation": found.std,
        "mean_absolute_correlation": found.mean_absolute,
        "correlation_null_std": found.null_std,
        "share_correlated": found.share_beyond_null,
        "tuning_correlation": found.tuning_mean,
        "within_label_correlation": found.within_label_mean,
        "participation_ratio": found.participation_ratio,
        "participation_ratio_independent": found.participation_ratio_independent,
        "complexity_mean": float(active.mean()) if active.size else np.nan,
        "complexity_variance_ratio": float(active.var()) / spread if spread else np.nan,
    }


_TUNED = (
    "population_sparseness",
    "mean_lifetime_sparseness",
    "mean_selectivity_index",
    "mean_selectivity_index_expected",
    "mean_mutual_information",
    "informative_share",
    "n_single_stimulus_units",
)


def _tuned(
    recording: Recording, phase: Phase, n_permutations: int, seed: int
) -> dict[str, float]:
    shown = recording.presentations
    if (
        "label" not in shown
        or not (shown["phase"] == phase.phase).any()
        or not recording.n_units
    ):
        return dict.fromkeys(_TUNED, np.nan)
    labels = labels_of(recording, phase)
    raster = recording.raster.slice(phase.start_bin, phase.stop_bin)
    rates = raster.joint_counts(labels.raster()) / labels.bins_of_each
    part = (
        recording if len(recording.phases) == 1 else recording.select(phase=phase.phase)
    )
    units = selectivity(part, n_permutations=n_permutations, seed=seed)
    informative = (
        false_discovery_control(units["mutual_information_pvalue"])
        <= _FALSE_DISCOVERIES
    )
    sparseness = lifetime_sparseness(rates.T)
    values = (
        float(np.nanmean(sparseness)) if np.isfinite(sparseness).any() else np.nan,
        units["lifetime_sparseness"].mean(),
        units["selectivity_index"].mean(),
        units["selectivity_index_expected"].mean(),
        units["mutual_information"].mean(),
        float(np.mean(informative)),
        float((units["n_stimuli"] == 1).sum()),
    )
    return dict(zip(_TUNED, values, strict=True))
