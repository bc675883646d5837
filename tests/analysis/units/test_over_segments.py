"""Statistics over segments: pooled, and nothing crosses a border."""

import itertools
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trains import KINDS, recording_of, segmented_recording, train

import ann2neo
from ann2neo import SpikeRaster
from ann2neo.analysis._phases import FewWindowsWarning, lags_for, window_for
from ann2neo.analysis.table_of_statistics import column_values
from ann2neo.analysis.units.analyze import ENGINES
from ann2neo.analysis.units.counts import Counts
from ann2neo.raster import SegmentedRaster


def pieces_of(row, lengths):
    return np.split(np.asarray(row, float), np.cumsum(lengths)[:-1])


def default_window(lengths):
    """max(2, min(100, N // 10, L)): L the largest length whose segments hold 90 %."""
    lengths = np.array(lengths)
    common = max(
        length
        for length in lengths
        if 10 * lengths[lengths >= length].sum() >= 9 * lengths.sum()
    )
    return max(2, min(100, lengths.sum() // 10, common))


def by_definition(row, lengths):
    """Every pooled number that one unit has, computed from its pieces."""
    pieces = pieces_of(row, lengths)
    x = np.asarray(row, float)
    n, k = len(x), x.sum()
    p = k / n
    numbers = {"n_time_bins": n, "n_spikes": k, "firing_rate": p}
    window = default_window(lengths)
    counts = np.concatenate(
        [s[: len(s) // window * window].reshape(-1, window).sum(1) for s in pieces]
    )
    numbers |= {
        "window": window,
        "n_windows": len(counts),
        "window_share": len(counts) * window / n,
    }
    if len(counts) > 1 and counts.any():
        numbers["fano_factor"] = counts.var() / counts.mean()
        rate, bins = counts.mean() / window, len(counts) * window
        if rate < 1:
            chi = np.square(counts - counts.mean()).sum() / (window * rate * (1 - rate))
            numbers["dispersion"] = chi / (len(counts) - 1) * (bins - 1) / bins
    intervals = [np.diff(np.flatnonzero(s)) for s in pieces]
    pooled = np.concatenate(intervals)
    if len(pooled):
        numbers["cv_isi"] = pooled.std() / pooled.mean()
    ratios = np.concatenate([np.diff(i) / (i[1:] + i[:-1]) for i in intervals])
    if len(ratios):
        numbers["cv2"] = 2 * np.abs(ratios).mean()
        numbers["lv"] = 3 * np.square(ratios).mean()
    lags = max(1, min(10, max(lengths) - 1))
    numbers["lags"] = lags
    if 0 < k < n:
        centred = [s - p for s in pieces]

        def covariance(lag):
            return sum((s[lag:] * s[: max(0, len(s) - lag)]).sum() for s in centred)

        if max(lengths) > lags:
            numbers["ljung_box_statistic"] = sum(
                n
                * (n + 2)
                * (covariance(lag) / (n * p * (1 - p))) ** 2
                / sum(max(0, len(s) - lag) for s in pieces)
                for lag in range(1, lags + 1)
            )
        walk = np.cumsum(x - p)
        numbers["trend_statistic"] = np.abs(walk).max() / np.sqrt(n * p * (1 - p))
        if n >= 100:
            some = [covariance(lag) for lag in range(1, int(n ** (2 / 9)) + 1)]
            ratio = (
                2
                * np.dot(np.arange(1, len(some) + 1), some)
                / (covariance(0) + 2 * sum(some))
            )
            last = min(int(1.1447 * (ratio**2 * n) ** (1 / 3)), n - 1)
            spread = covariance(0) + 2 * sum(
                (1 - lag / (last + 1)) * covariance(lag)
                for lag in range(1, min(last, max(lengths) - 1) + 1)
            )
            numbers["kpss_statistic"] = np.square(walk).sum() / n / spread
    return numbers


@pytest.mark.parametrize(
    "n_examples",
    [
        6,
        pytest.param(400, marks=pytest.mark.slow),
        pytest.param(4000, marks=[pytest.mark.exhaustive, pytest.mark.timeout(3600)]),
    ],
)
def test_pooled_numbers_are_those_of_the_pieces(n_examples):
    """Any trains cut into any segments give the numbers that the definitions give on
    the pieces, and no number where the pieces have none.
    """

    @settings(max_examples=n_examples, deadline=None, derandomize=True)
    @given(
        kind=st.sampled_from(KINDS),
        lengths=st.one_of(
            st.lists(st.integers(1, 90), min_size=1, max_size=15),
            st.lists(st.sampled_from((1, 63, 64, 65, 400)), min_size=1, max_size=5),
            st.tuples(st.integers(1, 40), st.integers(2, 60)).map(
                lambda sizes: [sizes[0]] * sizes[1]
            ),
        ),
        rate=st.sampled_from((0.02, 0.2, 0.5, 0.9)),
        seed=st.integers(0, 2**20),
    )
    def check(kind, lengths, rate, seed):
        row = train(kind, sum(lengths), rate, seed)
        expected = by_definition(row, lengths)
        chosen = [
            "firing_rate",
            "fano",
            "dispersion",
            "cv_isi",
            "cv2",
            "lv",
            "ljung_box",
            "trend",
            "kpss",
        ]
        table = ann2neo.analyze(segmented_recording([row], lengths), statistics=chosen)
        for name in (
            "n_time_bins",
            "n_spikes",
            "firing_rate",
            "window",
            "n_windows",
            "window_share",
            "fano_factor",
            "dispersion",
            "cv_isi",
            "cv2",
            "lv",
            "lags",
            "ljung_box_statistic",
            "trend_statistic",
            "kpss_statistic",
        ):
            assert table[name][0] == pytest.approx(
                expected.get(name, np.nan), rel=1e-9, abs=1e-11, nan_ok=True
            ), name

    check()


def test_one_segment_of_a_phase_is_the_phase():
    """A phase given as one segment has the numbers of the same phase given as such."""
    rows = [train(kind, 700, 0.3, 2) for kind in KINDS]
    cut = ann2neo.analyze(segmented_recording(rows, [700]))
    whole = ann2neo.analyze(recording_of(*rows)).assign(phase="trials")
    pd.testing.assert_frame_equal(cut, whole.astype({"phase": "str"}))


def test_the_order_of_segments_matters_to_trends_alone():
    """Segments in another order change the trend and KPSS, whose sums run on over them,
    and the longest segment that ADF takes, and nothing else.
    """
    rng = np.random.default_rng(0)
    lengths = [40, 300, 7, 120]
    pieces = np.split(rng.random((3, 467)) < 0.3, np.cumsum(lengths)[:-1], axis=1)
    order = [2, 3, 1, 0]
    there = segmented_recording(np.concatenate(pieces, axis=1), lengths)
    back = segmented_recording(
        np.concatenate([pieces[i] for i in order], axis=1), [lengths[i] for i in order]
    )
    first, second = ann2neo.analyze(there), ann2neo.analyze(back)
    same = [c for c in first if not c.startswith(("trend", "kpss"))]
    pd.testing.assert_frame_equal(first[same], second[same], rtol=1e-12)
    assert (first["trend_statistic"] != second["trend_statistic"]).any()


@pytest.mark.parametrize("engine", ENGINES)
def test_a_clock_that_restarts_with_every_trial_is_a_clock(engine):
    """Trials of a regular neuron have no variation of intervals, whatever lies between
    them.
    """
    pieces = [np.arange(97 + trial) % 10 == trial % 10 for trial in range(8)]
    lengths = [len(piece) for piece in pieces]
    row = ann2neo.analyze(
        segmented_recording([np.concatenate(pieces)], lengths), engine=engine
    ).iloc[0]
    for name in ("cv_isi", "cv2", "lv"):
        assert row[name] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("engine", ENGINES)
def test_spikes_alone_in_their_segments_make_no_interval(engine):
    """Two spikes in two segments are no interval, and three with a pair inside are one
    but no neighbours.
    """
    lonely, paired = np.zeros((2, 60), bool)
    lonely[[5, 25, 45]] = True
    paired[[5, 9, 25]] = True
    table = ann2neo.analyze(
        segmented_recording([lonely, paired], [20, 20, 20]), engine=engine
    )
    assert table["cv_isi_reason"].to_list() == ["fewer than 2 spikes per segment", ""]
    assert table["cv2_reason"].to_list() == ["fewer than 3 spikes per segment"] * 2
    assert table["cv_isi"][1] == 0.0


@pytest.mark.parametrize("engine", ENGINES)
def test_more_lags_than_the_longest_segment_has_bins_have_a_reason(engine):
    """Lags beyond every segment leave Ljung-Box without a pair."""
    row = ann2neo.analyze(
        segmented_recording([train("bernoulli", 300, 0.3, 0)], [30] * 10),
        lags=30,
        engine=engine,
    ).iloc[0]
    assert np.isnan(row["ljung_box_statistic"])
    assert row["ljung_box_reason"] == (
        "30 lags need more than 30 time bins, got 30 in the longest segment"
    )


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_adf_takes_the_longest_segment_that_holds_half_of_the_bins(engine):
    """ADF is that of the longest segment, and missing where it holds less than half."""
    row = train("bernoulli", 1000, 0.3, 0)
    cut = ann2neo.analyze(segmented_recording([row], [300, 600, 100]), engine=engine)
    alone = ann2neo.analyze(recording_of(row[300:900]), engine=engine)
    for name in ("adf_statistic", "adf_pvalue", "adf_lag", "adf_nobs"):
        assert cut[name][0] == alone[name][0]
    short = ann2neo.analyze(segmented_recording([row], [499, 499, 2]), engine=engine)
    assert np.isnan(short["adf_pvalue"][0])
    assert short["adf_reason"][0] == (
        "the longest segment has 499 of 1000 time bins; needs half of them"
    )
    quiet = np.concatenate([row[:300], np.zeros(600, bool), row[900:]])
    silent = ann2neo.analyze(segmented_recording([quiet], [300, 600, 100]))
    assert silent["adf_reason"][0] == "silent in the longest segment"


@pytest.mark.parametrize(
    ("lengths", "window"),
    [
        ([1000], 100),
        ([50] * 100, 50),
        ([50] * 90 + [5] * 100, 50),
        ([50] * 89 + [5] * 110, 5),
        ([500, 1000, 4], 100),
        ([3] * 7, 2),
        ([1] * 400, 2),
        ([10, 9], 2),
    ],
)
def test_the_default_window_fits_the_segments(lengths, window):
    """The window is at most what segments with 90 % of the bins hold, and nobody is
    warned.
    """
    assert window_for(None, np.array(lengths)) == window == default_window(lengths)


def test_few_windows_in_segments_are_warned_of():
    """A window that hardly fits into the segments is used, and warned of."""
    recording = segmented_recording([train("bernoulli", 300, 0.3, 0)], [30] * 10)
    with pytest.warns(FewWindowsWarning, match="31 bins leaves 0 windows in 300 bins"):
        table = ann2neo.analyze(recording, window=31)
    assert table["fano_reason"][0] == (
        "0 complete windows of 31 bins in 300 time bins; needs two"
    )
    assert table["window_share"][0] == 0.0


def test_the_default_lags_fit_into_the_longest_segment():
    """Ten lags, or as many as the longest segment has; at least one."""
    assert [lags_for(None, np.array(n)) for n in ([400], [3, 8, 5], [1, 1])] == [
        10,
        7,
        1,
    ]


def test_three_hundred_observed_intervals_are_one_row_per_unit():
    """A session of many observed intervals is one phase with a row per unit and a
    summary of numbers.
    """
    rng = np.random.default_rng(0)
    lengths = rng.integers(3000, 9000, 300)
    recording = segmented_recording(rng.random((5, lengths.sum())) < 0.02, lengths)
    units = ann2neo.analyze(recording)
    assert len(units) == 5
    network = ann2neo.summarize(units).iloc[0]
    assert network["n_units"] == 5
    assert network["window"] == 100
    assert network["window_share"] > 0.98
    assert network["mean_dispersion"] == pytest.approx(1, abs=0.05)
    assert network["adf_n_tested"] == 0
    tests = ("dispersion", "ljung_box", "trend", "kpss")
    assert all(network[f"{test}_n_tested"] == 5 for test in tests)
    assert all(network[f"{test}_rejected_share"] <= 0.2 for test in tests)


def test_the_ljung_box_null_of_segments_counts_their_pairs():
    """A sparse unit's p-value is the share of placements in its segments whose
    statistic is as large.
    """
    lengths = (4, 1, 5, 3)
    row = np.isin(np.arange(13), (0, 2, 5))
    observed = by_definition(row, lengths)["ljung_box_statistic"]
    null = [
        by_definition(np.isin(np.arange(13), bins), lengths)["ljung_box_statistic"]
        for bins in itertools.combinations(range(13), 3)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FewWindowsWarning)
        table = ann2neo.analyze(segmented_recording([row], lengths))
    assert table["ljung_box_method"][0] == "permutation"
    share = np.mean(np.array(null) >= observed - 1e-9)
    assert table["ljung_box_pvalue"][0] == pytest.approx(share, abs=0.025)


@pytest.mark.parametrize("lengths", [[3000], [1000, 40, 1960], [30] * 100])
@pytest.mark.parametrize("max_lag", [1, 20, 70])
def test_pairs_and_ends_of_few_spikes_are_those_of_the_bits(lengths, max_lag):
    """Counting by spikes gives what counting by bits gives, in one segment and many."""
    rates = np.array([[0.0], [0.003], [0.01], [0.3], [1.0]])
    rows = np.random.default_rng(0).random((5, 3000)) < rates
    edges = np.concatenate([[0], np.cumsum(lengths)])
    segments = SegmentedRaster(SpikeRaster.from_dense(rows), edges)
    counts = Counts(segments, 10, 5)
    np.testing.assert_array_equal(
        counts.lag_counts(max_lag), segments.lag_counts(max_lag)
    )
    np.testing.assert_array_equal(
        counts.end_counts(max_lag), segments.end_counts(max_lag)
    )


def test_intervals_of_ten_million_bins_do_not_overflow():
    """The CV of many short intervals and a long one, whose squares times their number
    exceed 64 bits, is that of the formula.
    """
    n_time_bins, n_spikes = 10_000_000, 3_000_000
    bins = np.append(np.arange(n_spikes), n_time_bins - 1)
    raster = SpikeRaster.from_spike_bins([bins], n_time_bins)
    found = column_values(Counts(raster, 100, 10), "cv_isi")[0]
    intervals = np.diff(bins).astype(float)
    assert found == pytest.approx(intervals.std() / intervals.mean(), rel=1e-9)
