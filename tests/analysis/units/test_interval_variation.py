"""Expectations of interval statistics against sums over geometric intervals."""

import numpy as np
import pytest
from trains import recording_of

import ann2neo
from ann2neo.analysis.units.interval_variation import (
    cv2_expected,
    cv_isi_expected,
    lv_expected,
)


@pytest.mark.parametrize("rate", [0.02, 0.3, 0.5, 0.7, 0.98, 0.9999, 1.0])
def test_expectations_are_sums_over_geometric_intervals(rate):
    """CV2 and LV expected at a rate are the means over two independent geometric
    intervals.
    """
    # Beyond 1 500 bins lie less than 1e-13 of the intervals, even at a rate of 0.02.
    intervals = np.arange(1, 1500)
    chance = rate * (1 - rate) ** (intervals - 1)
    both = np.outer(chance, chance)
    first, second = np.meshgrid(intervals, intervals)
    ratio = (first - second) / (first + second)
    assert cv2_expected(rate) == pytest.approx(
        2 * (np.abs(ratio) * both).sum(), abs=1e-10
    )
    assert lv_expected(rate) == pytest.approx(3 * (ratio**2 * both).sum(), abs=1e-10)
    mean, square = (intervals * chance).sum(), (intervals**2 * chance).sum()
    assert cv_isi_expected(rate) == pytest.approx(
        np.sqrt(max(square - mean**2, 0)) / mean, abs=1e-7
    )


def test_expectations_do_not_jump_between_their_formulas():
    """Just beside the change of formula near a rate of 1 the expectations agree to
    1e-9.
    """
    below, above = 1 - 1.0001e-3, 1 - 0.9999e-3
    for expected in (cv2_expected, lv_expected):
        slope = (expected(below) - expected(1 - 1.01e-3)) / (below - (1 - 1.01e-3))
        assert expected(above) == pytest.approx(
            expected(below) + slope * (above - below), abs=1e-9
        )


def test_small_rates_tend_to_the_poisson_process():
    """At a rate of 1e-6 CV, CV2 and LV are 1 but for a millionth or so."""
    for expected in (cv_isi_expected, cv2_expected, lv_expected):
        assert expected(1e-6) == pytest.approx(1.0, abs=1e-4)


def test_measured_variation_meets_its_expectation():
    """Over 60 000 independent bins CV, CV2 and LV lie within 2 % of what the rate alone
    gives.
    """
    rows = (
        np.random.default_rng(0).random((3, 60_000))
        < np.array([0.3, 0.5, 0.7])[:, None]
    )
    table = ann2neo.analyze(recording_of(*rows), statistics=["cv_isi", "cv2", "lv"])
    for name in ("cv_isi", "cv2", "lv"):
        np.testing.assert_allclose(table[name], table[f"{name}_expected"], rtol=0.02)


def test_a_clock_has_no_variation():
    """Equal intervals give CV, CV2 and LV of exactly 0."""
    row = ann2neo.analyze(recording_of(np.arange(1000) % 7 == 3)).iloc[0]
    assert row["cv_isi"] == row["cv2"] == row["lv"] == 0.0
