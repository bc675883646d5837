"""Surrogate tests are calibrated, find what is there, and say what they cannot."""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest, ks_2samp

from ann2neo import InputTypeError, InputValueError, Recording, SpikeRaster
from ann2neo.analysis.populations.correlations import participation_ratio
from ann2neo.analysis.surrogates.surrogate_test import (
    SurrogateWarning,
    surrogate_test,
    window_draws,
)
from ann2neo.analysis.surrogates.surrogates import surrogates
from ann2neo.analysis.table_of_statistics import STATISTICS, column_values
from ann2neo.analysis.units.counts import Counts
from ann2neo.testing import make_recording


def quiet(*arguments, **keywords):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SurrogateWarning)
        return surrogate_test(*arguments, **keywords)


@pytest.mark.slow
@pytest.mark.parametrize(
    "column",
    [
        "dispersion",
        pytest.param("fano_factor", marks=pytest.mark.slow),
        pytest.param("fano_factor_unbiased", marks=pytest.mark.slow),
    ],
)
def test_throwing_spikes_into_windows_has_the_distribution_of_permuting_bins(column):
    """The fast path's draws and those of permuted trains come from one distribution,
    remainder bins included.
    """
    rng = np.random.default_rng(0)
    raster = SpikeRaster.from_dense(
        rng.random((4, 107)) < np.array([[0.05], [0.3], [0.6], [0.95]])
    )
    seeds = [np.random.SeedSequence([1, k]) for k in range(1500)]
    fast = np.array(
        [values for values, _ in window_draws(raster, 10, column, iter(seeds))]
    )
    dense = raster.to_dense()
    slow = np.array(
        [
            column_values(
                Counts(SpikeRaster.from_dense(rng.permuted(dense, axis=1)), 10, 1),
                column,
            )
            for _ in range(1500)
        ]
    )
    for unit in range(4):
        assert ks_2samp(fast[:, unit].round(9), slow[:, unit].round(9)).pvalue > 1e-3, (
            unit
        )


@pytest.mark.parametrize(
    "column", ["fano_factor", "fano_factor_unbiased", "dispersion"]
)
def test_a_thrown_train_has_the_value_the_table_gives(column):
    """For the very order of bins that was thrown, the fast path's value is the
    battery's.
    """
    seed = np.random.SeedSequence(5)
    turn = np.random.default_rng(seed).permutation(57)
    spikes = np.array([[0], [1], [13], [40], [57]])
    same_counts = SpikeRaster.from_dense(np.arange(57) < spikes)
    drawn = next(window_draws(same_counts, 9, column, iter([seed])))[0]
    # A bin is hit in the turn it drew, so the first k turns are the spikes of a train
    # of k.
    thrown = SpikeRaster.from_dense(turn < spikes)
    np.testing.assert_allclose(
        drawn, column_values(Counts(thrown, 9, 1), column), rtol=1e-12
    )


@pytest.mark.parametrize(
    ("statistic", "method", "joint"),
    [
        ("fano_factor", "bin_permutation", None),
        ("ljung_box", "bin_permutation", True),
        ("cv_isi", "bin_permutation", False),
        pytest.param("trend", "circular_shift", None, marks=pytest.mark.slow),
        ("lv", "isi_shuffle", None),
    ],
)
def test_under_the_null_p_values_are_valid(statistic, method, joint):
    """Of exchangeable trains, 10 % have p <= 0.1 at most, up to chance; and not far
    fewer.
    """
    n_units = 60 if statistic in {"trend", "lv"} else 300
    bits = np.random.default_rng(3).random((n_units, 400)) < 0.3
    # Permuting jointly leaves every single unit's test valid.
    table = quiet(
        make_recording(bits),
        statistic,
        method=method,
        joint=joint,
        n_surrogates=79,
        seed=1,
        window=20,
    )
    hits = int((table["pvalue"] <= 0.1).sum())
    assert binomtest(hits, n_units, 0.1).pvalue > 1e-3, hits


def test_what_is_there_is_found():
    """A clustered and a regular train are found by two sides, each by its own side, and
    a Bernoulli one is not.
    """
    rng = np.random.default_rng(4)
    bits = rng.random((3, 1000)) < 0.3
    bits[0] = rng.random(1000) < np.repeat(rng.random(20), 50)
    bits[1] = np.arange(1000) % 3 == 0
    recording = make_recording(bits)
    sides = {
        side: (
            quiet(recording, "fano_factor", alternative=side, n_surrogates=199, seed=0)[
                "pvalue"
            ].to_numpy()
        )
        for side in ("two-sided", "greater", "less")
    }
    np.testing.assert_allclose(sides["two-sided"][:2], 0.01)
    np.testing.assert_allclose([sides["greater"][0], sides["less"][1]], 0.005)
    assert sides["less"][0] == sides["greater"][1] == 1
    assert sides["two-sided"][2] > 0.05


@pytest.mark.parametrize("entry", STATISTICS, ids=lambda entry: entry.name)
def test_every_entry_of_the_table_can_be_tested(entry):
    """Each statistic gives a p-value for the active unit, and a reason for units where
    it has none.
    """
    bits = np.random.default_rng(5).random((2, 150)) < 0.4
    bits[1] = False
    table = surrogate_test(make_recording(bits), entry.name, n_surrogates=79, seed=0)
    if entry.name == "firing_rate":
        assert table["pvalue"].isna().all()
        assert (
            table["reason"].to_list() == ["bin_permutation keeps the firing rate"] * 2
        )
        return
    assert 0 < table["pvalue"][0] <= 1
    assert table["n_surrogates"][0] + table["n_nan"][0] == 79
    assert np.isnan(table["pvalue"][1])
    assert table["reason"][1] == "the observed value is NaN"


def test_p_values_count_ties_and_leave_out_nan():
    """P-values are (k + 1) / (n + 1) over draws with a value, ties counted, as counted
    by hand.
    """
    recording = make_recording(np.random.default_rng(6).random((5, 60)) < 0.2)

    def ends(raster):
        values = raster.head(8).sum(axis=1).astype(float)
        values[raster.tail(3).any(axis=1)] = np.nan
        values[4] = np.nan
        return values

    observed = ends(recording.raster)
    draws = np.array(
        [ends(s.raster) for s in surrogates(recording, n_surrogates=50, seed=2)]
    )
    with pytest.warns(SurrogateWarning, match="NaN in phase 'recording' for units .*4"):
        table = surrogate_test(
            recording, ends, n_surrogates=50, seed=2, alternative="greater", alpha=0.9
        )
    known = np.flatnonzero(~np.isnan(observed))
    assert 1 <= len(known) <= 4
    for unit in known:
        valid = draws[~np.isnan(draws[:, unit]), unit]
        assert table["n_nan"][unit] == 50 - len(valid) > 0
        assert table["pvalue"][unit] == (1 + (valid >= observed[unit]).sum()) / (
            1 + len(valid)
        )
        np.testing.assert_allclose(table["surrogate_mean"][unit], valid.mean())
        np.testing.assert_allclose(table["surrogate_std"][unit], valid.std())
    assert table["statistic"][0] == "ends"


def test_a_function_of_the_network_is_tested_on_the_network():
    """Correlated units span fewer dimensions than bin permutations per unit leave;
    jointly permuted nothing changes.
    """
    rng = np.random.default_rng(7)
    bits = (rng.random((10, 500)) < 0.3) | (rng.random(500) < 0.2)
    table = surrogate_test(
        make_recording(bits),
        participation_ratio,
        n_surrogates=99,
        seed=0,
        alternative="less",
    )
    assert table["unit"].to_list() == [-1]
    assert table["pvalue"][0] == 0.01
    together = surrogate_test(
        make_recording(bits), participation_ratio, n_surrogates=99, seed=0, joint=True
    )
    assert together["pvalue"][0] == 1


def test_the_network_mean_permutes_units_jointly():
    """For copies of one train the network's mean varies as one unit does, which
    independent permutations would hide.
    """
    bits = np.tile(np.random.default_rng(8).random(600) < 0.3, (30, 1))
    together, apart = (
        surrogate_test(
            make_recording(bits),
            "fano_factor",
            level="network",
            joint=joint,
            n_surrogates=99,
            seed=0,
        )
        for joint in (None, False)
    )
    assert together["joint"][0]
    assert together["surrogate_std"][0] > 4 * apart["surrogate_std"][0]
    assert not quiet(make_recording(bits), "fano_factor", n_surrogates=9, seed=0)[
        "joint"
    ][0]


def test_phases_are_tested_apart_and_the_correction_is_within_them():
    """Each phase's rows carry its own units and Benjamini-Hochberg over them."""
    rng = np.random.default_rng(9)
    both = Recording.concatenate(
        [
            make_recording(rng.random((4, n)) < 0.3, phases=name)
            for name, n in (("train", 300), ("test", 200))
        ]
    )
    table = quiet(both, "fano", n_surrogates=39, seed=1)
    assert table["phase"].to_list() == ["train"] * 4 + ["test"] * 4
    for _, rows in table.groupby("phase"):
        ranked = np.sort(rows["pvalue"])
        steps = np.minimum.accumulate((ranked * 4 / np.arange(1, 5))[::-1])[::-1]
        np.testing.assert_allclose(np.sort(rows["pvalue_bh"]), np.minimum(1, steps))


def test_the_seed_decides():
    """The same seed gives the same table, and a drawn one is in it."""
    recording = make_recording(np.random.default_rng(0).random((3, 200)) < 0.5)
    drawn = quiet(recording, "lv", n_surrogates=19)
    pd.testing.assert_frame_equal(
        drawn, quiet(recording, "lv", n_surrogates=19, seed=int(drawn["seed"][0]))
    )


@pytest.mark.parametrize(
    ("alternative", "needed"), [("two-sided", 199), ("greater", 99)]
)
def test_too_few_surrogates_warn_with_the_number_needed(alternative, needed):
    """One surrogate fewer than Benjamini-Hochberg needs over five units warns with the
    number; enough do not.
    """
    recording = make_recording(np.random.default_rng(0).random((5, 100)) < 0.5)
    with pytest.warns(
        SurrogateWarning,
        match=rf"over 5 tests needs 0.01 .* ask for n_surrogates={needed} or more",
    ):
        surrogate_test(
            recording,
            "fano",
            n_surrogates=needed - 1,
            alternative=alternative,
            seed=0,
            window=5,
        )
    with warnings.catch_warnings():
        warnings.simplefilter("error", SurrogateWarning)
        surrogate_test(
            recording,
            "fano",
            n_surrogates=needed,
            alternative=alternative,
            seed=0,
            window=5,
        )


def test_elephants_surrogates_report_the_share_lost():
    """The share of spikes lost on the grid stands in every row."""
    recording = make_recording(np.random.default_rng(0).random((2, 300)) < 0.3)
    table = quiet(
        recording, "firing_rate", method="dither_spikes", n_surrogates=9, seed=0
    )
    assert 0.08 < table["share_lost"][0] < 0.18
    assert (table["surrogate_mean"] < table["observed"]).all()


def _fails_for_many_spikes(raster):
    if (raster.spike_counts() > 2).any():
        raise ZeroDivisionError("too many")
    return raster.spike_counts()


RECORDING = make_recording([[1, 0, 0, 0], [0, 1, 0, 0], [1, 1, 1, 0]])


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (
            lambda: surrogate_test(RECORDING.raster, "fano"),
            InputTypeError,
            "needs a Recording, got SpikeRaster",
        ),
        (
            lambda: surrogate_test(RECORDING, "fanno"),
            InputValueError,
            "unknown column 'fanno'; the valid ones are .*cv2",
        ),
        (
            lambda: surrogate_test(RECORDING, 3),
            InputTypeError,
            "a name or a function of a SpikeRaster, got 3",
        ),
        (
            lambda: surrogate_test(RECORDING, "fano", method="magic"),
            InputValueError,
            "method must be one of bin_permutation, .*got 'magic'",
        ),
        (
            lambda: surrogate_test(RECORDING, "fano", method="within_label"),
            InputValueError,
            "no labels, and tuning needs them",
        ),
        (
            lambda: surrogate_test(RECORDING, "fano", alternative="both"),
            InputValueError,
            "alternative must be one of two-sided, greater, less, got 'both'",
        ),
        (
            lambda: surrogate_test(RECORDING, "fano", level="layer"),
            InputValueError,
            "level must be one of unit, network",
        ),
        (
            lambda: surrogate_test(RECORDING, "fano", n_surrogates=0),
            InputValueError,
            "at least 1, got 0",
        ),
        (
            lambda: surrogate_test(RECORDING, "fano", alpha=1.0),
            InputValueError,
            "alpha must lie between 0 and 1, got 1",
        ),
        (
            lambda: surrogate_test(RECORDING, _fails_for_many_spikes),
            InputValueError,
            (
                r"_fails_for_many_spikes raised ZeroDivisionError: too many \(unit 2, 3"
                r" spikes in 4 bins\)"
            ),
        ),
        (
            lambda: surrogate_test(RECORDING, lambda raster: raster.to_dense()),
            InputValueError,
            (
                r"must return one number or an array of shape \(3,\), got bool of shape"
                r" \(3, 4\)"
            ),
        ),
    ],
)
def test_bad_input_says_value_rule_and_remedy(call, error, words):
    """Each mistake is refused with words that name it."""
    with pytest.raises(error, match=words):
        call()


def test_a_function_that_fails_on_a_surrogate_names_it():
    """An error that only a surrogate brings about says which one, and which unit."""

    def picky(raster):
        if raster.n_units > 1 and raster.head(1)[0, 0]:
            raise ValueError("spike in the first bin")
        return raster.spike_counts()

    recording = make_recording([[0, 1, 1, 1], [0, 0, 1, 1]])
    with pytest.raises(
        InputValueError,
        match=r"picky raised ValueError: spike in the first bin in surrogate \d",
    ):
        surrogate_test(recording, picky, n_surrogates=50, seed=0)


@pytest.mark.parametrize("method", ["bin_permutation", "dither_spikes"])
def test_seeds_beyond_32_bits_are_seeds_too(method):
    """A seed up to 2^63 - 1 is taken and reported, and gives the same table again, also
    where Elephant's generators take 32 bits.
    """
    dense = np.random.default_rng(0).random((2, 200)) < 0.3
    recording = Recording.from_raster(SpikeRaster.from_dense(dense))
    arguments = {"method": method, "n_surrogates": 99, "seed": 2**63 - 1}
    first = surrogate_test(recording, "cv_isi", **arguments)
    assert first["seed"].to_list() == [2**63 - 1] * 2
    pd.testing.assert_frame_equal(
        first, surrogate_test(recording, "cv_isi", **arguments)
    )
