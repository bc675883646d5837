"""Recordings with nothing in them are analysed or refused, never a crash."""

import numpy as np
import pandas as pd
import pytest

from ann2neo import (
    InputValueError,
    Recording,
    SpikeRaster,
    analyze_trials,
    compare_patterns,
    complexity,
    correlation_matrix,
    correlations,
    counting_processes,
    dead_units,
    decode_labels,
    dissimilarities,
    fit_processes,
    nearest_patterns,
    out_of_distribution_scores,
    patterns,
    psth,
    selectivity,
    similarity,
    summarize_populations,
    surrogate_test,
    surrogates,
    units_to_keep,
)
from ann2neo.recording.segments import phase_table
from ann2neo.testing import make_recording

NO_UNITS = Recording.from_activations(np.zeros((5, 0)), labels=[0, 1, 0, 1, 1])
ONE_BIN = Recording.from_activations(np.ones((1, 3)), labels=[0])
NO_BINS = make_recording(np.ones((2, 0), bool))
NO_PHASES = Recording(
    SpikeRaster.from_dense(np.ones((2, 5), bool)),
    pd.DataFrame(index=range(2)),
    pd.DataFrame(
        {
            "start_bin": np.zeros(0, int),
            "stop_bin": np.zeros(0, int),
            "phase": pd.Series([], dtype="str"),
        }
    ),
    phase_table([]),
)

FUNCTIONS = {
    "fit_processes": fit_processes,
    "correlations": correlations,
    "correlation_matrix": correlation_matrix,
    "complexity": complexity,
    "selectivity": selectivity,
    "summarize_populations": summarize_populations,
    "patterns": patterns,
    "dead_units": dead_units,
    "surrogates": lambda recording: next(surrogates(recording)),
    "surrogate_test": lambda recording: surrogate_test(
        recording, "fano", n_surrogates=3
    ),
}


REFUSING = {
    "counting_processes": counting_processes,
    "units_to_keep": units_to_keep,
    "nearest_patterns": nearest_patterns,
    "compare_patterns": lambda recording: compare_patterns(recording, recording),
    "similarity": lambda recording: similarity(recording, recording),
    "out_of_distribution_scores": lambda recording: out_of_distribution_scores(
        recording, recording, predictions=[]
    ),
    "dissimilarities": dissimilarities,
    "decode_labels": decode_labels,
    "analyze_trials": analyze_trials,
    "psth": psth,
}
"""More functions, which have no answer where nothing was observed."""


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("recording", [NO_UNITS, ONE_BIN], ids=["no units", "one bin"])
def test_no_units_and_a_single_bin_are_analysed(name, recording):
    """Without units, or with one bin of saturated units, every function returns as many
    rows as there are units, or numbers of a population that has no pairs.
    """
    n_units = recording.n_units
    result = FUNCTIONS[name](recording)
    if name == "correlations":
        assert (result.n_pairs, len(result.unit_mean)) == (0, n_units)
        assert np.isnan(result.mean)
    elif name == "correlation_matrix":
        assert result.shape == (n_units, n_units)
        assert np.isnan(result).all()
    elif name == "complexity":
        assert result["n_time_bins"].to_list() == [0] * n_units + [
            recording.n_time_bins
        ]
    elif name in {"summarize_populations", "patterns", "dead_units"}:
        assert result["n_units"].to_list() == [n_units]
    elif name == "surrogates":
        assert result.raster.equals(recording.raster)
    else:
        assert len(result) == n_units


@pytest.mark.parametrize("name", [*FUNCTIONS, *REFUSING])
@pytest.mark.parametrize(
    "recording", [NO_BINS, NO_PHASES], ids=["no bins", "no phases"]
)
def test_no_bins_and_no_phases_are_refused(name, recording):
    """Where nothing was observed, every function says what is missing."""
    function = (FUNCTIONS | REFUSING)[name]
    with pytest.raises(
        InputValueError,
        match=r"needs a phase with at least one time bin, got Recording\(",
    ):
        function(recording)


def test_recordings_without_units_have_no_similarity_and_say_why():
    """Without units, pairs of stimuli have no dissimilarity, two recordings no
    similarity, and labels cannot be decoded: NaN, with the reason.
    """
    shown = {"labels": [0, 1, 0, 1, 1], "stimulus_id": range(5)}
    empty = Recording.from_activations(np.zeros((5, 0)), **shown)
    some = Recording.from_activations(np.eye(5), **shown)
    for measure in ("hamming", "euclidean", "correlation"):
        assert dissimilarities(empty, measure).n_undefined == 10
    table = similarity(empty, some, n_permutations=3)
    assert table["similarity"].isna().all()
    assert (table["reason"] != "").all()
    table = decode_labels(empty, n_permutations=3)
    assert table["reason"].to_list() == ["no unit"]
