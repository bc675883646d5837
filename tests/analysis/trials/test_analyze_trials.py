"""analyze_trials: both engines, every shape of trials, and reasons where it says no."""

import warnings

import numpy as np
import pandas as pd
import pytest
import quantities as pq
from hypothesis import given, settings
from hypothesis import strategies as st
from trial_recordings import by_trial, ragged, trials_of, trials_of_lengths

import ann2neo
from ann2neo import InputTypeError, InputValueError, SpikeRaster
from ann2neo.analysis._phases import one_phase
from ann2neo.analysis.trials.serial_correlation import lag_sums, lag_variances
from ann2neo.analysis.trials.step_nulls import permutation_draws
from ann2neo.analysis.trials.trial_counts import TrialCounts, TrialPlan
from ann2neo.analysis.trials.trials import trials_of as trials_in
from ann2neo.recording.windows import StepWindow
from ann2neo.testing import make_recording


def assert_engines_agree(recording, **settings):
    """Compare both engines, words exactly and numbers to 1e-9."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fast, reference = (
            ann2neo.analyze_trials(recording, engine=engine, **settings)
            for engine in ("fast", "reference")
        )
    pd.testing.assert_frame_equal(
        fast.drop(columns="engine"),
        reference.drop(columns="engine"),
        rtol=1e-9,
        atol=1e-12,
    )
    return fast


def kinds_of_trials(seed=0):
    """Recordings of trials of every kind, by name."""
    rng = np.random.default_rng(seed)
    rates = np.array([0.0, 1.0, 0.02, 0.4, 0.9])[:, None, None]
    even = rng.random((5, 120, 15)) < rates * np.linspace(0.5, 1, 15)
    even[1] = True
    rows, lengths = ragged(rng, 130, 15, 0.3, n_units=3)
    labels = rng.integers(0, 3, 130)
    return {
        "even": trials_of(even),
        "labels": trials_of(even, labels=rng.integers(0, 4, 120)),
        "ragged": trials_of_lengths(rows, lengths),
        "ragged labels": trials_of_lengths(rows, lengths, labels=labels),
        "texts, some missing": trials_of(even[:, :40], labels=["a", "b", "", "b"] * 10),
        "few": trials_of(even[:, :3]),
        "two of one length": trials_of_lengths(rows[:, :11], [4, 4, 3]),
        "one trial": trials_of(even[:, :1]),
        "one step": trials_of(even[:, :, :1]),
        "each label once": trials_of(even[:, :4], labels=list("abcd")),
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", kinds_of_trials())
def test_engines_agree_on_trials_of_every_kind(name):
    """The fast engine gives what Elephant, statsmodels and the definitions give."""
    table = assert_engines_agree(kinds_of_trials()[name])
    numbers = table.select_dtypes("number")
    assert np.isfinite(numbers.fillna(0.0)).all(axis=None)


@pytest.mark.parametrize("by", [None, "label"])
@pytest.mark.parametrize("window", [None, (2, 9), (3 * pq.ms, None)])
def test_engines_agree_on_windows_and_labels(by, window):
    """So they do in a window of steps, pooled over labels and label by label."""
    recording = kinds_of_trials(1)["ragged labels"]
    names = ["fano_over_trials", "ramp"]
    table = assert_engines_agree(recording, by=by, window=window, statistics=names)
    assert len(table) == (9 if by else 3)


def test_engines_agree_label_by_label():
    """So they do on the dependence inside trials of each label, with lags asked for."""
    rng = np.random.default_rng(1)
    rows, lengths = ragged(rng, 24, 8, 0.4)
    recording = trials_of_lengths(rows, lengths, labels=rng.integers(0, 2, 24))
    table = assert_engines_agree(recording, by="label", lags=2)
    assert (table["lags"] == 2).all()
    assert table["label"].to_list() == [0, 1]


def test_a_row_per_label_is_that_of_its_trials_alone():
    """With by="label" each row equals that of a recording of those trials alone."""
    rng = np.random.default_rng(2)
    spikes = rng.random((2, 90, 12)) < 0.4
    labels = rng.integers(0, 2, 90)
    table = ann2neo.analyze_trials(trials_of(spikes, labels=labels), by="label")
    for label in (0, 1):
        alone = ann2neo.analyze_trials(trials_of(spikes[:, labels == label]))
        pd.testing.assert_frame_equal(
            table[table["label"] == label].drop(columns="label").reset_index(drop=True),
            alone,
        )


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n_trials=st.integers(2, 7),
    longest=st.integers(2, 6),
    n_labels=st.integers(1, 2),
)
def test_sums_and_their_variances_are_those_of_all_permutations(
    seed, n_trials, longest, n_labels
):
    """R_k is the sum of products of residuals; over step permutations its mean is 0 and
    its variance V_k.
    """
    rng = np.random.default_rng(seed)
    rows, lengths = ragged(rng, n_trials, longest, 0.5)
    labels = rng.integers(0, n_labels, n_trials)
    recording = trials_of_lengths(rows, lengths, labels=labels)
    lags = max(1, int(lengths.max()) - 1)
    expected = np.zeros(lags)
    for label in np.unique(labels):
        group = [
            trial
            for trial, name in zip(by_trial(rows[0], lengths), labels, strict=True)
            if name == label
        ]
        steps = range(max(map(len, group)))
        psth = np.array([np.mean([t[s] for t in group if len(t) > s]) for s in steps])
        for trial in group:
            residual = trial - psth[: len(trial)]
            for lag in range(1, len(trial)):
                expected[lag - 1] += residual[lag:] @ residual[:-lag]
    counts = counts_of(recording, lags)
    np.testing.assert_allclose(lag_sums(counts)[0], expected, atol=1e-12)
    variances = lag_variances(counts.plan.steps, counts.step_spikes, lags)[0]
    steps = counts.plan.steps
    drawn = permutation_draws(steps, lags, list(steps.of_units(counts.segments)))[0].T
    assert drawn.shape == (9999, lags)
    error = drawn.std(axis=0) / 100
    assert (np.abs(drawn.mean(axis=0)) <= 5 * error + 1e-9).all()
    spread = ((drawn - drawn.mean(axis=0)) ** 2).std(axis=0) / 100
    assert (np.abs(drawn.var(axis=0) - variances) <= 5 * spread + 0.01).all()


def counts_of(recording, lags):
    """The counts of all units of a recording of one phase."""
    phase = one_phase(recording, None, "test")
    trials = trials_in(recording, phase, None)
    plan = TrialPlan(trials, StepWindow(), lags)
    return TrialCounts(plan, recording.raster)


def test_reasons_say_why_a_statistic_is_missing():
    """Where a unit, or the trials, have nothing for a statistic, its reason says so."""
    kinds = kinds_of_trials()
    rows = {
        name: ann2neo.analyze_trials(kinds[name]).filter(like="_reason").iloc[3]
        for name in ("one trial", "one step", "each label once", "few")
    }
    assert rows["one trial"]["fano_over_trials_reason"] == "one trial"
    assert rows["one trial"]["serial_correlation_reason"] == "one trial"
    assert rows["one step"]["time_locking_reason"] == "trials of one step"
    assert "lags need trials" in rows["one step"]["serial_correlation_reason"]
    assert rows["each label once"]["serial_correlation_reason"].startswith("no label")
    assert rows["few"]["ramp_reason"] == "3 trials; needs 100"
    table = ann2neo.analyze_trials(kinds["even"])
    silent = table.filter(like="_reason").iloc[0]
    assert silent["fano_over_trials_reason"] == "silent"
    assert silent["ramp_reason"] == "the same count in every trial"
    saturated = table.filter(like="_reason").iloc[1]
    assert saturated["serial_correlation_reason"] == "saturated"
    late = ann2neo.analyze_trials(kinds["even"], window=(14, 30))
    assert late["fano_over_trials_reason"].str.contains("none of 120 trials").all()
    assert (late["n_trials_in_window"] == 0).all()


def test_a_deterministic_network_has_no_variability_over_repeats():
    """Trials that repeat one another exactly have a Fano factor of 0, and no residual
    from which serial correlation could come.
    """
    answer = np.random.default_rng(0).random((3, 1, 20)) < 0.5
    table = ann2neo.analyze_trials(trials_of(np.repeat(answer, 30, axis=1)))
    assert table["fano_over_trials"].to_list() == [0.0, 0.0, 0.0]
    assert table["serial_correlation_reason"].str.startswith("no step varies").all()


def test_counts_need_presentations_only():
    """Fano factor and ramp of presentations inside one segment are computed; asking for
    the others names the way to cut trials, and the statistics that do without.
    """
    starts = np.arange(0, 2000, 10)
    recording = make_recording(n_time_bins=2000, n_units=3).with_presentations(
        pd.DataFrame({"start_bin": starts, "stop_bin": starts + 8})
    )
    names = ["fano_over_trials", "ramp"]
    whole = ann2neo.analyze_trials(recording, statistics=names)
    cut = ann2neo.analyze_trials(recording.cut_trials(), statistics=names)
    pd.testing.assert_frame_equal(whole, cut)
    with pytest.raises(InputValueError, match=r"cut_trials\(\).*fano_over_trials"):
        ann2neo.analyze_trials(recording)


def test_by_stimulus_is_the_variability_over_repeats():
    """by="stimulus_id" gives the table of variability_over_repeats."""
    rng = np.random.default_rng(3)
    spikes = rng.random((2, 40, 5)) < 0.4
    recording = trials_of(spikes, stimulus_id=np.arange(40) % 8)
    pd.testing.assert_frame_equal(
        ann2neo.analyze_trials(recording, by="stimulus_id"),
        ann2neo.variability_over_repeats(recording),
    )


def test_rows_carry_units_phases_emission_and_order():
    """Rows say which phase, order and emission they are about, beside the columns of
    the units.
    """
    network = make_recording(n_units=4, n_time_bins=60, layers=["a", "b"], labels=2)
    network = network._derived(
        network.raster,
        provenance={**network.provenance, "emission": "bernoulli"},
        by=("test",),
    )
    starts = np.arange(0, 60, 6)
    table = ann2neo.analyze_trials(
        network.with_presentations(
            pd.DataFrame({"start_bin": starts, "stop_bin": starts + 6}), "trials"
        ).cut_trials()
    )
    assert table["layer"].to_list() == ["a", "a", "b", "b"]
    assert (table["emission"] == "bernoulli").all()
    assert table["kind"].unique().tolist() == ["trials"]
    assert "rates" in ann2neo.explain("serial_correlation_pvalue")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"by": "colour"}, "by must be one of label, stimulus_id"),
        ({"statistics": ["fano"]}, "fano_over_trials, serial_correlation"),
        ({"engine": "slow"}, "engine must be one of"),
        ({"lags": 0}, "lags must be at least 1"),
        ({"window": (4, 2)}, "no step"),
        ({"window": 4}, "pair"),
        ({"window": (0, 10**30)}, "the stop of window must be at most"),
        ({"window": (0, 1e300 * pq.s)}, "the stop of window must be at most"),
        ({"kind": "cues"}, "no presentations of the kind 'cues'"),
        ({"by": "label"}, "needs labels"),
    ],
)
def test_arguments_out_of_range_are_refused(options, words):
    """Each wrong argument is an error that lists the valid ones or the remedy."""
    recording = trials_of(np.ones((1, 4, 6), bool))
    with pytest.raises((InputValueError, InputTypeError), match=words):
        ann2neo.analyze_trials(recording, **options)


def test_a_recording_without_presentations_or_units_is_no_traceback():
    """Without presentations the message names cut_trials; without units the table is
    empty and has its columns.
    """
    with pytest.raises(InputValueError, match="cut_trials"):
        ann2neo.analyze_trials(make_recording())
    with pytest.raises(InputTypeError, match="needs a Recording"):
        ann2neo.analyze_trials(SpikeRaster.from_dense([[1, 0]]))
    empty = trials_of(np.ones((1, 3, 4), bool)).select(units=[])
    full = ann2neo.analyze_trials(trials_of(np.ones((1, 3, 4), bool)))
    table = ann2neo.analyze_trials(empty)
    assert len(table) == 0
    assert list(table) == list(full)
