"""The two engines against each other, and both against Elephant, SciPy and statsmodels
called directly.
"""

import warnings

import neo
import numpy as np
import pandas as pd
import pytest
import quantities as pq
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from threadpoolctl import threadpool_limits
from trains import KINDS, recording_of, segmented_recording, train

import ann2neo
from ann2neo.analysis._phases import FewWindowsWarning
from ann2neo.analysis.table_of_statistics import unit_columns

RATES = (0.001, 0.01, 0.05, 0.2, 0.5, 0.8, 0.95, 0.99, 0.999)
# A few lengths, so that the permutation nulls, made once per length, are shared.
LENGTHS = (20, 37, 100, 137, 400, 1000)
MORE_LENGTHS = (*LENGTHS, 21, 55, 256, 511, 2048, 5000)


def assert_same_tables(fast, reference):
    """Equal words and integers, numbers within 1e-9 (relative above 1), NaN in the same
    cells.
    """
    assert list(fast.columns) == list(reference.columns)
    for column in fast.columns.drop("engine"):
        if fast[column].dtype.kind == "f":
            ours, theirs = fast[column].to_numpy(), reference[column].to_numpy()
            np.testing.assert_array_equal(
                np.isnan(ours), np.isnan(theirs), err_msg=column
            )
            tolerance = 1e-9 * np.maximum(1.0, np.abs(theirs))
            assert (np.abs(ours - theirs) <= tolerance)[~np.isnan(ours)].all(), (
                column,
                ours,
                theirs,
            )
        else:
            pd.testing.assert_series_equal(fast[column], reference[column])


def both_tables(recording, **settings_):
    with threadpool_limits(1):
        return tuple(
            ann2neo.analyze(recording, engine=engine, **settings_)
            for engine in ("fast", "reference")
        )


@pytest.mark.parametrize(
    "n_examples",
    [
        10,
        pytest.param(100, marks=pytest.mark.slow),
        pytest.param(1500, marks=[pytest.mark.exhaustive, pytest.mark.timeout(7200)]),
    ],
)
def test_engines_agree_on_any_train(n_examples):
    """On trains of every kind, rate and length both engines give the same cells,
    reasons and NaN.
    """

    @settings(max_examples=n_examples, deadline=None, derandomize=True)
    @given(
        kind=st.sampled_from(KINDS),
        n_time_bins=st.sampled_from(LENGTHS if n_examples < 1000 else MORE_LENGTHS),
        rate=st.sampled_from(RATES),
        seed=st.integers(0, 2**20),
        lags=st.sampled_from((1, 3, 10, 30)),
    )
    def check(kind, n_time_bins, rate, seed, lags):
        one = recording_of(train(kind, n_time_bins, rate, seed))
        assert_same_tables(*both_tables(one, lags=lags))

    check()


@pytest.mark.parametrize(
    "n_examples",
    [
        10,
        pytest.param(100, marks=pytest.mark.slow),
        pytest.param(1000, marks=[pytest.mark.exhaustive, pytest.mark.timeout(7200)]),
    ],
)
def test_engines_agree_on_any_segments(n_examples):
    """On trains of every kind cut into segments of any lengths, both engines give the
    same cells, reasons and NaN.
    """

    @settings(max_examples=n_examples, deadline=None, derandomize=True)
    @given(
        kind=st.sampled_from(KINDS),
        lengths=st.one_of(
            st.lists(st.integers(1, 60), min_size=2, max_size=12),
            st.lists(st.sampled_from((1, 20, 300)), min_size=2, max_size=4),
            st.integers(2, 30).map(lambda n: [12] * n),
        ),
        rate=st.sampled_from(RATES),
        seed=st.integers(0, 2**20),
        lags=st.sampled_from((None, 1, 3, 30)),
        window=st.sampled_from((None, None, 2, 7)),
    )
    def check(kind, lengths, rate, seed, lags, window):
        row = train(kind, sum(lengths), rate, seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FewWindowsWarning)
            assert_same_tables(
                *both_tables(
                    segmented_recording([row], lengths), lags=lags, window=window
                )
            )

    check()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "n_time_bins"),
    [
        *(pytest.param(kind, 1000) for kind in KINDS),
        *(pytest.param(kind, 5000, marks=pytest.mark.slow) for kind in KINDS),
    ],
)
def test_engines_agree_on_long_trains(kind, n_time_bins):
    """Engines agree on long trains at rates from 0.001 to 0.999."""
    rows = [
        train(kind, n_time_bins, rate, seed)
        for seed, rate in enumerate((0.001, 0.1, 0.5, 0.9, 0.999))
    ]
    assert_same_tables(*both_tables(recording_of(*rows)))


@pytest.mark.exhaustive
@pytest.mark.parametrize("n_time_bins", [5_000, 20_001, 60_000])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.timeout(7200)
def test_engines_agree_up_to_sixty_thousand_bins(kind, n_time_bins):
    """Engines agree on trains as long as MNIST's training set, at every rate."""
    assert_same_tables(
        *both_tables(
            recording_of(*(train(kind, n_time_bins, r, i) for i, r in enumerate(RATES)))
        )
    )


@pytest.mark.parametrize("rate", [0.05, 0.3, 0.7, 0.97])
def test_the_fast_engine_equals_the_libraries_called_directly(rate):
    """Without any code of ours in between, Elephant, SciPy and statsmodels give the
    same numbers.
    """
    from elephant.statistics import cv, cv2, fanofactor, isi, lv, mean_firing_rate
    from statsmodels.stats.diagnostic import acorr_ljungbox
    from statsmodels.tsa.stattools import adfuller, kpss

    x = np.random.default_rng(5).random(3050) < rate
    row = ann2neo.analyze(recording_of(x), window=100).iloc[0]
    times = (np.flatnonzero(x) + 0.25) * pq.ms
    spiketrain = neo.SpikeTrain(times, t_stop=3050 * pq.ms)
    windows = [
        spiketrain.time_slice(i * 100 * pq.ms, (i + 1) * 100 * pq.ms) for i in range(30)
    ]
    with threadpool_limits(1):
        unit_root = adfuller(x.astype(float), result_object=True)
        with warnings.catch_warnings():
            # statsmodels warns that p-values beyond its table are clipped.
            warnings.simplefilter("ignore")
            stationary = kpss(x.astype(float), "c", "auto", result_object=True)
    box = acorr_ljungbox(x.astype(float), lags=[10])
    counts = x[:3000].reshape(30, 100).sum(axis=1)
    dispersion = np.square(counts - counts.mean()).sum() / (
        100 * (p := counts.mean() / 100) * (1 - p)
    )
    expected = {
        "firing_rate_hz": float(mean_firing_rate(spiketrain).rescale("Hz")),
        "fano_factor": fanofactor(windows),
        "cv_isi": cv(isi(spiketrain)),
        "cv2": cv2(isi(spiketrain)),
        "lv": lv(isi(spiketrain)),
        "ljung_box_statistic": box["lb_stat"].iloc[0],
        "adf_statistic": unit_root.statistic,
        "adf_pvalue": unit_root.pvalue,
        "adf_lag": unit_root.lags,
        "adf_nobs": unit_root.nobs,
        "kpss_statistic": stationary.statistic,
        "kpss_pvalue_table": stationary.pvalue,
        "kpss_lag": stationary.lags,
        "dispersion": dispersion / 29 * 2999 / 3000,
        "fano_pvalue": (
            2
            * min(
                (null := stats.gamma(14.5, scale=2 / 29)).cdf(
                    f := counts.var(ddof=1) / counts.mean()
                ),
                null.sf(f),
            )
        ),
    }
    if row["ljung_box_method"] == "chi-square":
        expected["ljung_box_pvalue"] = box["lb_pvalue"].iloc[0]
    for name, value in expected.items():
        assert row[name] == pytest.approx(value, rel=1e-9, abs=1e-12), name


def test_every_column_is_computed_somewhere():
    """Among the trains compared here every column of numbers has a value at
    least once.
    """
    rows = [train(kind, 1000, 0.3, 1) for kind in KINDS]
    table = ann2neo.analyze(recording_of(*rows))
    for column in unit_columns():
        if column.dtype == "float64":
            assert table[column.name].notna().any(), column.name
