"""Surrogate tests of the statistics of trials agree with their own p-values."""

import warnings

import numpy as np
import pytest
from trial_recordings import ragged, trials_of, trials_of_lengths

import ann2neo
import ann2neo.testing
from ann2neo import InputValueError, SurrogateWarning
from ann2neo.analysis.trials.analyze_trials import TRIAL_STATISTICS


def compared(recording, name, **options):
    """A surrogate test without the warning that there are few surrogates."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SurrogateWarning)
        return ann2neo.surrogate_test(
            recording, name, seed=0, alternative="greater", **options
        )


@pytest.fixture(scope="module")
def recording():
    """Trials of two labels and unlike lengths, some with bins between them."""
    rows, lengths = ragged(np.random.default_rng(0), 110, 14, 0.35, 5, shortest=6)
    return trials_of_lengths(rows, lengths, labels=np.arange(110) % 2)


@pytest.mark.parametrize("entry", TRIAL_STATISTICS, ids=lambda entry: entry.name)
def test_the_observed_value_is_that_of_analyze_trials(recording, entry):
    """Each statistic is tested by its own null hypothesis without `method`."""
    table = ann2neo.analyze_trials(recording, statistics=entry.name)
    result = compared(recording, entry.name, n_surrogates=19)
    assert (result["method"] == entry.surrogates).all()
    assert (result["statistic"] == entry.tested).all()
    np.testing.assert_allclose(result["observed"], table[entry.tested], rtol=1e-12)
    assert result["pvalue"].notna().all()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["serial_correlation", "time_locking"])
def test_pvalues_are_those_of_analyze_trials(name):
    """The p-value of drawn surrogates is that of the chi-square or normal law, within
    its Monte Carlo error.
    """
    spikes = np.random.default_rng(1).random((6, 80, 16)) < 0.4
    recording = trials_of(spikes, labels=np.arange(80) % 2)
    own = ann2neo.analyze_trials(recording, statistics=name)[f"{name}_pvalue"]
    drawn = compared(recording, name, n_surrogates=399)["pvalue"]
    error = np.sqrt(own * (1 - own) / 399)
    assert (np.abs(drawn - own) <= 4 * error + 0.02).all()


def test_what_surrogates_keep_has_no_pvalue(recording):
    """Shifts inside trials keep their counts, a step permutation keeps the PSTH."""
    for name, method in (
        ("ramp", "circular_shift"),
        ("fano_over_trials", "bin_permutation"),
        ("time_locking", "step_permutation"),
    ):
        result = compared(recording, name, method=method, n_surrogates=9)
        assert result["pvalue"].isna().all()
        assert result["reason"].str.contains("keeps the").all()


def test_other_recordings_and_settings_are_refused(recording):
    """Without trials the message names cut_trials; windows of bins do not apply."""
    with pytest.raises(InputValueError, match=r"cut_trials\(\)"):
        compared(ann2neo.testing.make_recording(labels=2), "serial_correlation")
    with pytest.raises(InputValueError, match="window applies to windows of bins"):
        compared(recording, "ramp", window=5)
    one = trials_of(np.ones((2, 1, 9), bool))
    result = compared(one, "time_locking", n_surrogates=9)
    assert (result["reason"] == "the observed value is NaN").all()
