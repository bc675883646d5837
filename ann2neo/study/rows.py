"""The rows of a trained network: what its recording says, by itself and with its units
taken together.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pandas as pd

from ann2neo.analysis.networks.network_test import network_test
from ann2neo.analysis.networks.summarize import summarize
from ann2neo.analysis.populations.summarize_populations import summarize_populations
from ann2neo.analysis.units.analyze import analyze
from ann2neo.recording import Recording

__all__ = [
    "JOINT_PERMUTATIONS",
    "LABEL_PERMUTATIONS",
    "POPULATION_COLUMNS",
    "ROWS_VERSION",
    "recording_rows",
]

ROWS_VERSION = 2
"""Raised whenever rows get other columns; 2 added populations, joint permutations and
where a row comes from.
"""

LABEL_PERMUTATIONS, JOINT_PERMUTATIONS = 999, 199

_TOLD = (
    "ann2neo_version",
    "python_version",
    "numpy_version",
    "keras_version",
    "tensorflow_version",
    "weights_sha256",
)

POPULATION_COLUMNS = (
    "mean_correlation",
    "std_correlation",
    "mean_absolute_correlation",
    "correlation_null_std",
    "share_correlated",
    "tuning_correlation",
    "within_label_correlation",
    "participation_ratio",
    "participation_ratio_independent",
    "complexity_mean",
    "complexity_variance_ratio",
    "population_sparseness",
    "mean_lifetime_sparseness",
    "mean_selectivity_index",
    "mean_selectivity_index_expected",
    "mean_mutual_information",
    "informative_share",
    "n_single_stimulus_units",
)
"""Columns of `summarize_populations` that a row of the study has."""


def recording_rows(recording: Recording, seed: int) -> dict[str, Any]:
    """Compute the rows of a network from its recording.

    Parameters
    ----------
    recording : Recording
        A phase per split, as `record_network` makes it.
    seed : int
        Seeds the permutations.

    Returns
    -------
    dict
        ``rows``, one per split: the columns of `summarize`, `POPULATION_COLUMNS` of
        `summarize_populations` (true labels), ``mean_dispersion_pvalue`` (two-sided),
        ``mean_ljung_box_pvalue`` and ``mean_trend_pvalue`` of `network_test`, which
        permutes presentations for all units alike, the versions and the weights' sum
        that the recording tells; numbers that do not exist are None. ``unit_rates``,
        per split the firing rate of every unit. ``rows_version``.
    """
    units = analyze(recording)
    table = summarize(units)
    together = summarize_populations(
        recording, n_permutations=LABEL_PERMUTATIONS, seed=seed
    )
    table = table.merge(
        together[["phase", *POPULATION_COLUMNS]],
        on="phase",
        how="left",
        validate="one_to_one",
    )
    tests = network_test(recording, n_permutations=JOINT_PERMUTATIONS, seed=seed)
    for column, statistic in (
        ("mean_dispersion_pvalue", "mean_dispersion"),
        ("mean_ljung_box_pvalue", "mean_ljung_box_statistic"),
        ("mean_trend_pvalue", "mean_windowed_trend"),
    ):
        table[column] = table["phase"].map(
            tests[tests["statistic"] == statistic].set_index("phase")["pvalue"]
        )
    settings: Mapping[str, Any] = {
        "n_label_permutations": LABEL_PERMUTATIONS,
        "n_joint_permutations": JOINT_PERMUTATIONS,
        "rows_version": ROWS_VERSION,
        **{
            name: recording.provenance[name]
            for name in _TOLD
            if name in recording.provenance
        },
    }
    table = table.rename(columns={"phase": "split"}).assign(**settings)
    rates = {
        split: part["firing_rate"].to_list()
        for split, part in units.groupby("phase", sort=False)
    }
    # Through JSON, since a row is kept as such: a number that does not exist becomes
    # None.
    rows = json.loads(
        pd.DataFrame(table).to_json(orient="records", double_precision=15)
    )
    return {"rows": rows, "unit_rates": rates, "rows_version": ROWS_VERSION}
