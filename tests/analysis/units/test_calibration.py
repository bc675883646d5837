"""Every p-value rejects as often under its own null as it says, and more often against
what it is made for.

Shares carry a Monte Carlo error, computed; bounds lie three standard errors beyond the
nominal ones. The augmented Dickey-Fuller test is missing on purpose: its null is a unit
root, which no train of zeros and ones has.
"""

import warnings

import numpy as np
import pytest
from trains import recording_of, segmented_recording

import ann2neo
from ann2neo import Recording, SpikeRaster
from ann2neo.analysis.networks.compare import SamenessWarning

slow = pytest.mark.slow
LEVEL, N_UNITS = 0.05, 2000
ERROR = np.sqrt(LEVEL * (1 - LEVEL) / N_UNITS)


def trains_of(n_spikes, n_time_bins, n_units=N_UNITS, seed=0):
    """Trains of exactly so many spikes, every placement equally likely."""
    rng = np.random.default_rng(seed)
    bins = [rng.choice(n_time_bins, n_spikes, replace=False) for _ in range(n_units)]
    return Recording.from_raster(SpikeRaster.from_spike_bins(bins, n_time_bins))


def rejecting(recording, column, **settings):
    """Share of units that reject at 5 %."""
    statistic = next(
        name
        for name in ("dispersion", "ljung_box", "trend", "fano", "kpss")
        if column.startswith(name)
    )
    return (
        ann2neo.analyze(recording, statistics=[statistic], **settings)[column] <= LEVEL
    ).mean()


@pytest.mark.parametrize(
    "column",
    [
        "dispersion_pvalue",
        "dispersion_pvalue_upper",
        "ljung_box_pvalue",
        "trend_pvalue",
    ],
)
@pytest.mark.parametrize(
    ("n_spikes", "n_time_bins"),
    [
        (20, 1000),
        pytest.param(3, 400, marks=slow),
        pytest.param(150, 1000, marks=slow),
        pytest.param(2980, 3000, marks=slow),
    ],
)
def test_sparse_trains_do_not_reject_too_often(column, n_spikes, n_time_bins):
    """Under permutation nulls at most 5 % of random trains reject, however few their
    spikes or empty bins are.
    """
    assert rejecting(trains_of(n_spikes, n_time_bins), column) <= LEVEL + 3 * ERROR


@pytest.mark.parametrize(
    "n_spikes", [1000, pytest.param(300, marks=slow), pytest.param(1700, marks=slow)]
)
def test_chi_square_dispersion_is_calibrated(n_spikes):
    """With more than 200 spikes and empty bins between 4 and 6 % of random trains
    reject a dispersion of 1.
    """
    share = rejecting(trains_of(n_spikes, 2000), "dispersion_pvalue")
    assert 0.04 - 3 * ERROR <= share <= 0.06 + 3 * ERROR


@pytest.mark.filterwarnings("ignore::ann2neo.analysis._phases.FewWindowsWarning")
@pytest.mark.parametrize("n_windows", [2, 3, 9])
def test_few_windows_do_not_reject_too_often(n_windows):
    """With fewer than ten windows, where chi-square would reject too often, at most 5 %
    of random trains reject.
    """
    recording = trains_of(300, 600)
    assert (
        rejecting(recording, "dispersion_pvalue", window=600 // n_windows)
        <= LEVEL + 3 * ERROR
    )


@pytest.mark.parametrize("n_spikes", [600, pytest.param(2500, marks=slow)])
def test_chi_square_ljung_box_is_calibrated(n_spikes):
    """With 500 or more spikes and empty bins between 4 and 6 % of random trains reject
    independence.
    """
    share = rejecting(trains_of(n_spikes, 5000), "ljung_box_pvalue")
    assert 0.04 - 3 * ERROR <= share <= 0.06 + 3 * ERROR


@pytest.mark.parametrize("n_spikes", [600, pytest.param(2500, marks=slow)])
def test_the_kolmogorov_trend_test_is_calibrated(n_spikes):
    """With 500 or more spikes and empty bins 3 to 5 % of random trains reject: the
    limit is kept from below.
    """
    share = rejecting(trains_of(n_spikes, 5000), "trend_pvalue")
    assert 0.03 - 3 * ERROR <= share <= LEVEL + 3 * ERROR


def test_sparse_ljung_box_would_fail_without_permutations():
    """At 60 spikes in 60 000 bins the chi-square distribution rejects far too often;
    ours does not.
    """
    from scipy import stats

    recording = trains_of(60, 60_000, n_units=600)
    table = ann2neo.analyze(recording, statistics=["ljung_box"])
    error = np.sqrt(LEVEL * (1 - LEVEL) / 600)
    assert (stats.chi2.sf(table["ljung_box_statistic"], 10) <= LEVEL).mean() > 0.1
    assert (table["ljung_box_pvalue"] <= LEVEL).mean() <= LEVEL + 3 * error


def test_the_fano_pvalue_is_calibrated_on_poisson_counts_only():
    """Counts that are nearly Poisson reject in about 5 %, a Bernoulli train of rate 0.3
    nearly always, by design.
    """
    rng = np.random.default_rng(1)
    sparse = [
        np.unique(rng.integers(0, 20_000, rng.poisson(100))) for _ in range(N_UNITS)
    ]
    poisson = Recording.from_raster(SpikeRaster.from_spike_bins(sparse, 20_000))
    share = rejecting(poisson, "fano_pvalue", window=1000)
    assert 0.04 - 3 * ERROR <= share <= 0.06 + 3 * ERROR
    assert (
        rejecting(recording_of(*rng.random((50, 60_000)) < 0.3), "fano_pvalue") == 1.0
    )


def test_dispersion_finds_bursts():
    """Spikes in bursts of five raise the dispersion of nearly every unit; Fano alone
    could not tell from the rate.
    """
    rng = np.random.default_rng(2)
    rows = np.repeat(rng.random((100, 400)) < 0.2, 5, axis=1)
    assert rejecting(recording_of(*rows), "dispersion_pvalue_upper") >= 0.95


def test_dispersion_finds_regularity():
    """Clocks with jitter have a dispersion below 1, and the two-sided test rejects."""
    rng = np.random.default_rng(3)
    rows = np.zeros((50, 3000), bool)
    for row in rows:
        row[np.arange(0, 3000, 5) + rng.integers(0, 5, 600)] = True
    table = ann2neo.analyze(recording_of(*rows), statistics=["dispersion"])
    assert (table["dispersion"] < 0.5).all()
    assert (table["dispersion_pvalue"] <= LEVEL).all()


@pytest.mark.parametrize(("rate", "after_a_spike"), [(0.03, 0.15), (0.4, 0.55)])
def test_ljung_box_finds_serial_dependence(rate, after_a_spike):
    """Where a spike is likelier after a spike nearly every unit rejects independence,
    sparse or not.
    """
    rng = np.random.default_rng(4)
    noise = rng.random((60, 6000))
    rows = np.zeros((60, 6000), bool)
    for time_bin in range(1, 6000):
        chance = np.where(rows[:, time_bin - 1], after_a_spike, rate)
        rows[:, time_bin] = noise[:, time_bin] < chance
    assert rejecting(recording_of(*rows), "ljung_box_pvalue") >= 0.85


@pytest.mark.parametrize("rate", [0.05, 0.4])
def test_the_trend_test_finds_drift(rate):
    """A rate that triples over the recording is found in nearly every unit, sparse or
    not.
    """
    rows = np.random.default_rng(5).random((100, 4000)) < np.linspace(
        0.5 * rate, 1.5 * rate, 4000
    )
    assert rejecting(recording_of(*rows), "trend_pvalue") >= 0.85


@pytest.mark.parametrize(
    ("n_segments", "length"),
    [
        (100, 50),
        pytest.param(1, 5000, marks=slow),
        pytest.param(400, 12, marks=slow),
    ],
)
@pytest.mark.parametrize(
    ("column", "least", "most"),
    [
        ("ljung_box_pvalue", 0.04, 0.06),
        ("dispersion_pvalue", 0.04, 0.06),
        ("trend_pvalue", 0.03, 0.05),
        ("kpss_pvalue", 0.04, 0.08),
    ],
)
def test_tests_over_segments_are_calibrated(column, least, most, n_segments, length):
    """Independent bins of one rate, cut into segments, reject in about 5 %."""
    rows = np.random.default_rng(3).random((N_UNITS, n_segments * length)) < 0.3
    share = rejecting(segmented_recording(rows, [length] * n_segments), column)
    assert least - 3 * ERROR <= share <= most + 3 * ERROR


def markov(rate, correlation, n_time_bins, n_units, seed):
    """Two-state chains of a rate and a correlation of neighbouring bins."""
    rng = np.random.default_rng(seed)
    rows = np.zeros((n_units, n_time_bins), bool)
    rows[:, 0] = rng.random(n_units) < rate
    for time_bin in range(1, n_time_bins):
        before = rows[:, time_bin - 1]
        chance = rate * (1 - correlation) + correlation * before
        rows[:, time_bin] = rng.random(n_units) < chance
    return rows


@slow
@pytest.mark.parametrize(
    ("rate", "correlation", "of_trend"), [(0.05, 0.2, 0.1), (0.5, 0.5, 0.5)]
)
def test_memory_rejects_the_trend_test_and_not_kpss(rate, correlation, of_trend):
    """Of stationary Markov trains many reject independent bins of one rate by the trend
    test, and no more than 6 % stationarity by KPSS.
    """
    recording = recording_of(*markov(rate, correlation, 2000, N_UNITS, 7))
    assert rejecting(recording, "trend_pvalue") > of_trend
    assert rejecting(recording, "kpss_pvalue") <= 0.06 + 3 * ERROR


@slow
def test_kpss_finds_a_slow_drift():
    """A rate that drifts from 0.08 to 0.12 over 10 000 bins is found in most units."""
    rows = np.random.default_rng(8).random((500, 10_000)) < np.linspace(
        0.08, 0.12, 10_000
    )
    assert rejecting(recording_of(*rows), "kpss_pvalue") >= 0.9


@pytest.mark.parametrize("n_pairs", [30, pytest.param(300, marks=slow)])
def test_comparisons_are_calibrated(n_pairs):
    """Of pairs at equal rates 5 % at most are called different, and of pairs at the
    margin 5 % equivalent.
    """
    rejected = np.zeros(3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SamenessWarning)
        for seed in range(n_pairs):
            rng = np.random.default_rng(seed)
            rates = rng.uniform(0.2, 0.7, 24)
            first, second, shifted = (
                Recording.from_activations(shift + rates - rng.random((400, 24)))
                for shift in (0.0, 0.0, 0.02)
            )
            other = Recording.from_activations(
                rng.uniform(0.2, 0.7, 24) - rng.random((400, 24))
            )
            rejected += (
                ann2neo.compare(first, other)["pvalue"].iloc[0] <= LEVEL,
                ann2neo.compare(first, second)["pvalue"].iloc[1] <= LEVEL,
                ann2neo.compare(first, shifted)["pvalue"].iloc[2] <= LEVEL,
            )
    assert (
        rejected / n_pairs <= LEVEL + 3 * np.sqrt(LEVEL * (1 - LEVEL) / n_pairs)
    ).all()
