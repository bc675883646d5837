"""Patterns agree with their definitions, and with what rates alone allow."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import pdist

import ann2neo
from ann2neo import InputTypeError, InputValueError, patterns
from ann2neo.analysis.patterns.patterns import PATTERN_STATISTICS
from ann2neo.raster import SpikeRaster
from ann2neo.raster.hamming import hamming_excess
from ann2neo.raster.patterns import pattern_counts, patterns_of
from ann2neo.testing import make_recording

SPIKES = st.tuples(st.integers(1, 70), st.integers(2, 70)).flatmap(
    lambda shape: arrays(np.bool_, shape)
)
OUI = "overfitting_underfitting_indicator"


@pytest.mark.parametrize("n_units", [0, 1, 7, 8, 64, 65, 130])
@pytest.mark.parametrize("n_time_bins", [0, 1, 63, 64, 65, 700])
def test_patterns_are_the_columns_of_the_raster(n_units, n_time_bins):
    """Unpacked rows are the columns, padding is zero, and counts are those of NumPy."""
    rng = np.random.default_rng(n_units + n_time_bins)
    dense = rng.random((n_units, n_time_bins)) < 0.2
    rows = patterns_of(SpikeRaster.from_dense(dense))
    assert rows.shape == (n_time_bins, -(-n_units // 64))
    bits = np.unpackbits(rows.view(np.uint8), axis=1, bitorder="little")
    np.testing.assert_array_equal(bits[:, :n_units], dense.T)
    assert not bits[:, n_units:].any()
    counts = np.unique(dense.T, axis=0, return_counts=True)[1] if dense.size else []
    if not n_units:
        counts = [n_time_bins] if n_time_bins else []
    assert sorted(pattern_counts(rows)) == sorted(counts)


@given(SPIKES)
def test_the_mean_distance_follows_from_the_rates(spikes):
    """The identity with 2 c (N - c) / (N (N - 1)) holds to 1e-12."""
    table = patterns(make_recording(spikes), statistics="mean_distance")
    expected = pdist(spikes.T, "hamming").mean()
    assert table["mean_distance"][0] == pytest.approx(expected, abs=1e-12)
    counts, n = spikes.sum(axis=1), spikes.shape[1]
    of_rates = (2 * counts * (n - counts) / (n * (n - 1))).mean()
    assert of_rates == pytest.approx(expected, abs=1e-12)


@settings(max_examples=30)
@given(SPIKES)
def test_numbers_never_exceed_what_the_rates_allow(spikes):
    """The indicator reaches its ceiling just where no pair is clamped, and entropies
    stay below theirs.
    """
    row = patterns(make_recording(spikes)).iloc[0]
    # The ceiling is capped at 1, so the cap may bind where pairs are clamped, too.
    assert row[OUI] <= row[f"{OUI}_ceiling"] + 1e-12
    if row["clamped_share"] == 0:
        assert row[OUI] == pytest.approx(row[f"{OUI}_ceiling"], abs=1e-12)
    elif row[f"{OUI}_ceiling"] < 1:
        assert row[OUI] < row[f"{OUI}_ceiling"]
    assert row["pattern_entropy"] <= row["pattern_entropy_ceiling"] + 1e-9
    assert row["pattern_entropy"] <= row["pattern_entropy_of_rates"] + 1e-9
    assert row["coverage"] == pytest.approx(1 - row["never_active"])
    assert 0 <= row["redundancy_independent"] <= 1


@pytest.mark.parametrize("rate", [0.03, 0.3, 0.5, 0.9])
def test_both_engines_agree(rate):
    """What is counted from the bits is what NumPy and SciPy give by definition."""
    recording = make_recording(
        n_units=67, n_time_bins=900, rate=rate, layers=["a", "b"], phases=["x", "y"]
    )
    fast = patterns(recording)
    pd.testing.assert_frame_equal(
        fast, patterns(recording, engine="reference"), rtol=1e-12
    )
    assert fast[["phase", "layer"]].to_numpy().tolist() == [
        ["x", "a"],
        ["x", "b"],
        ["y", "a"],
        ["y", "b"],
    ]
    assert (fast["reason"] == "").all()


@pytest.mark.parametrize("use_numkong", [False, True])
@pytest.mark.parametrize("n_units", [5, 64, 131])
@pytest.mark.parametrize("rate", [0.02, 0.2, 0.5, 0.97])
def test_the_excess_over_half_is_summed_over_all_pairs(use_numkong, n_units, rate):
    """Over several tiles, some of which are skipped, as over pdist's distances."""
    dense = np.random.default_rng(0).random((2100, n_units)) < rate
    distances = np.rint(pdist(dense, "hamming") * n_units).astype(int)
    excess, n_beyond = hamming_excess(
        patterns_of(SpikeRaster.from_dense(dense.T)), n_units, use_numkong=use_numkong
    )
    assert excess == np.maximum(0, 2 * distances - n_units).sum()
    assert n_beyond == (2 * distances > n_units).sum()


@pytest.mark.parametrize(
    ("n_units", "n_time_bins", "rate"),
    [(4, 50, 0.3), (8, 300, [0.1, 0.9, 0.5, 0.5, 0.2, 0, 1, 0.5]), (12, 400, 0.5)],
)
def test_independent_units_are_as_redundant_as_expected(n_units, n_time_bins, rate):
    """Redundancy and entropy of independent units of fixed rates, simulated 400 times,
    have the mean that their rates give, within 4 standard errors and 0.02.
    """
    rng = np.random.default_rng(1)
    probabilities = np.broadcast_to(rate, n_units)
    counts = np.rint(probabilities * n_time_bins).astype(int)
    spikes = np.zeros((n_units, n_time_bins), bool)
    for row, count in zip(spikes, counts, strict=True):
        row[:count] = True
    row = patterns(make_recording(spikes)).iloc[0]
    drawn = []
    for _ in range(400):
        sample = rng.random((n_time_bins, n_units)) < counts / n_time_bins
        times = np.unique(sample, axis=0, return_counts=True)[1]
        shares = times / n_time_bins
        drawn.append([1 - len(times) / n_time_bins, -(shares * np.log2(shares)).sum()])
    mean, error = np.mean(drawn, axis=0), np.std(drawn, axis=0) / 20
    for name, expected, spread in zip(
        ["redundancy_independent", "pattern_entropy_independent"],
        mean,
        error,
        strict=True,
    ):
        assert abs(row[name] - expected) < 4 * spread + 0.02, name


def test_what_units_share_shows_beside_what_rates_give():
    """Units that copy one another are far more redundant than their rates say, and the
    mean distance cannot tell.
    """
    rng = np.random.default_rng(0)
    one = rng.random((1, 500)) < 0.4
    copies = np.repeat(one, 20, axis=0)
    apart = np.array([rng.permutation(row) for row in copies])
    together, alone = (patterns(make_recording(s)).iloc[0] for s in (copies, apart))
    assert together["unique_patterns"] == 2
    assert alone["redundancy"] < 0.01
    for name in ("redundancy_independent", "mean_distance", f"{OUI}_ceiling"):
        assert together[name] == alone[name]
    assert together["redundancy_independent"] < 0.01
    assert together[OUI] < alone[OUI]


def test_a_group_is_what_its_units_alone_give():
    """Grouping by a column of the units gives the rows of recordings of those units,
    and a unit without a value is in a group of its own.
    """
    recording = make_recording(n_units=9, layers=["a"])
    areas = pd.Series(["V1", "", "V2"] * 3, dtype="str")
    recording = ann2neo.Recording.from_raster(
        recording.raster, pd.DataFrame({"area": areas})
    )
    table = patterns(recording, by="area")
    assert table["area"].to_list() == ["V1", "", "V2"]
    for place, row in enumerate(table.itertuples()):
        alone = patterns(recording.select(units=range(place, 9, 3)), by="area")
        assert alone["unique_patterns"][0] == row.unique_patterns
        assert row.n_units == 3


@pytest.mark.parametrize("engine", ["fast", "reference"])
def test_small_recordings_have_numbers_or_a_reason(engine):
    """One sample has no pairs, one unit and silent units have patterns, no unit has
    none, and the table says so.
    """
    one = patterns(make_recording([[1], [0]]), engine=engine).iloc[0]
    assert one["reason"] == "one time bin, and so no pair of patterns"
    assert np.isnan(one["mean_distance"])
    assert np.isnan(one[OUI])
    assert (one["unique_patterns"], one["redundancy"], one["pattern_entropy"]) == (
        1,
        0,
        0,
    )
    unit = patterns(make_recording([[1, 0, 1, 0]]), engine=engine).iloc[0]
    assert (unit["unique_patterns"], unit["redundancy"]) == (2, 0.5)
    assert unit["mean_distance"] == pytest.approx(4 / 6)
    # One unit: every pair that differs, differs in more than half of the units.
    assert unit["clamped_share"] == pytest.approx(4 / 6)
    silent = patterns(make_recording(np.zeros((3, 5), bool)), engine=engine).iloc[0]
    assert silent["redundancy"] == silent["redundancy_independent"] == 0.8
    assert silent["mean_distance"] == silent[OUI] == silent["pattern_entropy"] == 0
    assert (silent["coverage"], silent["never_active"]) == (0, 1)
    none = patterns(make_recording(n_units=2).select(units=[]), engine=engine).iloc[0]
    assert none["reason"] == "no unit"
    layers = make_recording(layers=["a"]).select(units=[])
    assert patterns(layers, engine=engine)["reason"].to_list() == ["no unit"]
    assert none["unique_patterns"] == -1
    assert np.isnan(none["redundancy"])


def test_only_the_statistics_asked_for_are_there():
    """Columns follow the table, whatever the order asked; other names are refused."""
    recording = make_recording()
    table = patterns(recording, statistics=["coverage", "redundancy"])
    expected = [
        column.name
        for entry in PATTERN_STATISTICS
        if entry.name in ("redundancy", "coverage")
        for column in entry.columns
    ]
    assert list(table) == ["phase", "n_units", "n_time_bins", *expected, "reason"]
    with pytest.raises(InputValueError, match="a name in statistics must be one of"):
        patterns(recording, statistics="oui")
    with pytest.raises(InputValueError, match="engine must be one of fast, reference"):
        patterns(recording, engine="slow")
    with pytest.raises(InputValueError, match="by must be one of"):
        patterns(recording, by="area")
    with pytest.raises(InputTypeError, match="patterns needs a Recording"):
        patterns(recording.raster)


def test_surrogates_test_a_pattern_statistic():
    """A function of patterns goes into surrogate_test: copies are more redundant than
    units permuted one by one.
    """
    one = np.random.default_rng(0).random((1, 120)) < 0.4
    recording = make_recording(np.repeat(one, 12, axis=0), order="random")

    def redundancy(raster):
        part = ann2neo.Recording.from_raster(raster)
        return float(patterns(part, statistics="redundancy")["redundancy"][0])

    row = ann2neo.surrogate_test(
        recording, redundancy, method="bin_permutation", n_surrogates=39, seed=0
    ).iloc[0]
    assert row["observed"] > 0.9
    assert row["surrogate_mean"] < 0.2
    assert row["pvalue"] == pytest.approx(2 / 40)
