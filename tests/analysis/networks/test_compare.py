"""compare: two or more recordings, pair by pair."""

import math
import warnings

import numpy as np
import pandas as pd
import pytest
from cut_sessions import session
from scipy import stats

import ann2neo
from ann2neo import Recording
from ann2neo.analysis.networks.compare import SamenessWarning
from ann2neo.errors import InputTypeError, InputValueError


def recording(shift=0.0, n_units=64, n_presentations=2000, seed=0, phase="test"):
    """Units whose rates are spread; `shift` moves all of them."""
    rng = np.random.default_rng(seed)
    spread = np.random.default_rng(99).normal(size=n_units)
    return Recording.from_activations(
        rng.normal(size=(n_presentations, n_units)) + spread + shift, phase=phase
    )


def rates(one):
    return one.raster.spike_counts() / one.n_time_bins


def row(table, test):
    return table.set_index("test").loc[test]


def test_each_test_is_that_of_the_textbook():
    """Kolmogorov-Smirnov counts lattice paths, the signed rank has its normal
    approximation, equivalence is two one-sided paired t tests.
    """
    first, second = recording(), recording(0.1, seed=1)
    with pytest.warns(SamenessWarning):
        table = ann2neo.compare(first, second, margin=0.05)
    a, b = rates(first), rates(second)
    n, difference = len(a), b - a

    grid = np.concatenate([a, b])
    gaps = [np.mean(a <= value) - np.mean(b <= value) for value in grid]
    largest = round(n * np.abs(gaps).max())
    # Gnedenko and Korolyuk (1951), for two samples of one size.
    terms = range(1, n // largest + 1)
    paths = sum((-1) ** (j - 1) * math.comb(2 * n, n - j * largest) for j in terms)
    kolmogorov = row(table, "kolmogorov_smirnov")
    assert kolmogorov["statistic"] == pytest.approx(largest / n)
    assert kolmogorov["pvalue"] == pytest.approx(2 * paths / math.comb(2 * n, n))

    ranks = stats.rankdata(np.abs(difference))
    signed = min(ranks[difference > 0].sum(), ranks[difference < 0].sum())
    ties = np.unique(ranks, return_counts=True)[1]
    variance = n * (n + 1) * (2 * n + 1) / 24 - (ties**3 - ties).sum() / 48
    z = (signed - n * (n + 1) / 4) / np.sqrt(variance)
    assert row(table, "signed_rank")["statistic"] == signed
    assert row(table, "signed_rank")["pvalue"] == pytest.approx(2 * stats.norm.cdf(z))

    error = difference.std(ddof=1) / np.sqrt(n)
    student = stats.t(n - 1)
    above = student.sf((difference.mean() + 0.05) / error)
    below = student.cdf((difference.mean() - 0.05) / error)
    equivalence = row(table, "equivalence")
    assert equivalence["pvalue"] == pytest.approx(max(above, below))
    assert [equivalence["effect_low"], equivalence["effect_high"]] == pytest.approx(
        [difference.mean() + student.ppf(q) * error for q in (0.05, 0.95)]
    )


def test_kolmogorov_smirnov_misses_a_shift_that_the_paired_test_sees():
    """Every unit's rate moves by about 0.03: the paper's test does not reject and
    warns, the paired one does.
    """
    with pytest.warns(
        SamenessWarning,
        match="cannot show that rates are the same: read the rows 'signed_rank'",
    ):
        table = ann2neo.compare(recording(), recording(0.1, seed=1), names=["a", "b"])
    assert row(table, "kolmogorov_smirnov")["pvalue"] > 0.05
    assert row(table, "signed_rank")["pvalue"] < 1e-6
    assert row(table, "signed_rank")["effect"] > 0.9
    assert row(table, "equivalence")["pvalue"] > 0.05


def test_equivalence_shows_sameness():
    """Two recordings at the same rates are shown to be the same within 0.02."""
    with pytest.warns(SamenessWarning):
        table = ann2neo.compare(recording(seed=1), recording(seed=2))
    assert row(table, "equivalence")["pvalue"] < 1e-6
    assert abs(row(table, "equivalence")["effect"]) < 0.005


def test_a_recording_equals_itself():
    """No unit differs: the paired test says so, and equivalence is certain."""
    one = recording()
    with pytest.warns(SamenessWarning):
        table = ann2neo.compare(one, one)
    assert row(table, "signed_rank")["reason"] == "no unit's rate differs"
    assert row(table, "equivalence")["pvalue"] == 0.0


def test_other_units_are_compared_unpaired_only():
    """Layers of different size keep the Kolmogorov-Smirnov row; the paired rows say why
    they are empty.
    """
    # Of 64 rates and 30, all of the first lie above all of the second.
    table = ann2neo.compare(recording(9.0), recording(-9.0, n_units=30))
    kolmogorov = row(table, "kolmogorov_smirnov")
    assert kolmogorov["statistic"] == 1
    assert kolmogorov["pvalue"] == pytest.approx(2 / math.comb(94, 30))
    for test in ("signed_rank", "equivalence"):
        assert np.isnan(row(table, test)["pvalue"])
        assert row(table, test)["reason"] == "not the same units: 64 and 30"


def test_all_pairs_and_shared_phases_are_compared():
    """Three recordings of two phases make three pairs, each compared phase by phase."""
    three = [
        Recording.concatenate(
            [
                recording(shift, n_presentations=400, phase="train"),
                recording(shift + 4, n_presentations=400, phase="test"),
            ]
        )
        for shift in (0.0, 1.5, 3.0)
    ]
    with pytest.warns(SamenessWarning, match=r"a and b \(test\)"):
        table = ann2neo.compare(*three, names=["a", "b", "c"])
    pairs = (
        table[["first", "second", "first_phase", "second_phase"]]
        .drop_duplicates()
        .to_numpy()
        .tolist()
    )
    assert pairs == [
        [x, y, p, p]
        for x, y in (("a", "b"), ("a", "c"), ("b", "c"))
        for p in ("train", "test")
    ]
    assert len(table) == 18


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (
            lambda: ann2neo.compare(recording()),
            InputValueError,
            "at least two recordings, got 1",
        ),
        (
            lambda: ann2neo.compare(recording(), 3),
            InputTypeError,
            "compare needs a Recording, got int; wrap spikes",
        ),
        (
            lambda: ann2neo.compare(recording(), recording(), margin=0),
            InputValueError,
            "margin must lie between 0 and",
        ),
        (
            lambda: ann2neo.compare(recording(), recording(), names=["a"]),
            InputValueError,
            "names must be 2 different",
        ),
        (
            lambda: ann2neo.compare(recording(), recording(), names=["a", "a"]),
            InputValueError,
            "names must be 2 diff",
        ),
        (
            lambda: ann2neo.compare(
                Recording.concatenate([recording(phase="a"), recording(phase="b")]),
                recording(phase="c"),
            ),
            InputValueError,
            "share no phase: a, b and c; select one phase",
        ),
    ],
)
def test_bad_input_says_value_rule_and_remedy(call, error, words):
    """Each mistake is refused with words that name it."""
    with pytest.raises(error, match=words):
        call()


def test_rates_are_those_of_the_observed_bins():
    """Bins between segments count in no rate."""
    rng = np.random.default_rng(0)
    bits = rng.random((8, 300)) < 0.4
    other = bits.copy()
    other[:, 100:200] = True
    starts, stops = [0, 200], [100, 300]
    with pytest.warns(SamenessWarning):
        table = ann2neo.compare(
            session(bits, starts, stops), session(other, starts, stops)
        )
    assert row(table, "kolmogorov_smirnov")["statistic"] == 0
    assert row(table, "signed_rank")["reason"] == "no unit's rate differs"


def layered(shift, layers=("a", "b"), seed=0, n_units=32):
    """A recording of some layers, each of n_units; the rates of the second shift."""
    generator = np.random.default_rng(seed)
    values = generator.normal(size=(500, n_units * len(layers)))
    values += np.linspace(-1, 1, values.shape[1])
    values[:, n_units : 2 * n_units] += shift
    one = Recording.from_activations(values)
    units = pd.DataFrame({"layer": np.repeat(layers, n_units)})
    return Recording.from_raster(one.raster, units)


def test_by_compares_group_by_group():
    """With by="layer" each layer has the rows of that layer alone, in order of
    appearance, behind the phases.
    """
    one, other = layered(0.0), layered(2.0, seed=1)
    with pytest.warns(SamenessWarning, match=r"1 and 2 \(recording, a\)"):
        table = ann2neo.compare(one, other, by="layer")
    assert table["layer"].to_list() == ["a"] * 3 + ["b"] * 3
    assert list(table).index("layer") == list(table).index("second_phase") + 1
    for layer, rows in table.groupby("layer"):
        units = (one.units["layer"] == layer).to_numpy()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SamenessWarning)
            alone = ann2neo.compare(one.select(units=units), other.select(units=units))
        pd.testing.assert_frame_equal(
            rows.drop(columns="layer").reset_index(drop=True), alone
        )


def test_a_group_of_one_recording_is_told():
    """A layer that the other recording lacks has rows that say why they are empty."""
    table = ann2neo.compare(layered(9.0), layered(-9.0, ("b", "c")), by="layer")
    assert table["layer"].drop_duplicates().to_list() == ["a", "b", "c"]
    only = table[table["layer"] == "c"]
    assert only["n_first"].to_list() == [0, 0, 0]
    assert only["n_second"].to_list() == [32, 32, 32]
    assert only["reason"].to_list() == [
        "no unit",
        *["not the same units: 0 and 32"] * 2,
    ]
    assert only["pvalue"].isna().all()


def test_a_column_to_group_by_must_exist():
    """A column that a table of units lacks is refused, with those there are; so is one
    named as a column of the result.
    """
    with pytest.raises(InputValueError, match="by must be one of layer, got 'class'"):
        ann2neo.compare(layered(0.0), layered(0.0), by="class")
    odd = layered(0.0)
    odd = Recording.from_raster(odd.raster, odd.units.rename(columns={"layer": "test"}))
    with pytest.raises(InputValueError, match="by='test' is a column of the table of"):
        ann2neo.compare(odd, odd, by="test")


def test_one_name_is_no_list_of_letters():
    """names="ab" for two recordings is one name too few, not two of one letter."""
    with pytest.raises(InputValueError, match=r"2 different names.* got \['ab'\]"):
        ann2neo.compare(layered(0.0), layered(0.0), names="ab")
