"""Change points against Elephant's multiple filter test and against rates that are
known to change.
"""

from contextlib import contextmanager

import neo
import numpy as np
import pytest
import quantities as pq
from cut_sessions import session, side_by_side
from elephant.change_point_detection import empirical_parameters, multiple_filter_test
from trains import recording_of

import ann2neo
from ann2neo.analysis import change_points as multiple_filter
from ann2neo.errors import InputTypeError, InputValueError

WINDOWS, STEP, N = [300, 600, 900], 60, 6000


def steps(seed):
    """A train whose rate changes three times."""
    rng = np.random.default_rng(seed)
    return rng.random(N) < np.repeat(rng.choice([0.55, 0.7, 0.85, 0.95], 4), N // 4)


@contextmanager
def global_generator(seed):
    """NumPy's global generator, which Elephant draws from, seeded for a while."""
    state = np.random.get_state()  # noqa: NPY002
    np.random.seed(seed)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002


def elephants(x, seed):
    """Change points that Elephant finds, with its own threshold from the same seed."""
    times = (np.flatnonzero(x) + 0.25) * pq.s
    train = neo.SpikeTrain(times, t_stop=len(x) * pq.s)
    with global_generator(seed):
        found = multiple_filter_test(
            WINDOWS * pq.s,
            train,
            len(x) * pq.s,
            5,
            n_surrogates=60,
            time_step=STEP * pq.s,
        )
    return sorted(
        (round(float(point)), window)
        for window, points in zip(WINDOWS, found, strict=True)
        for point in points
    )


@pytest.mark.parametrize("seed", range(8))
def test_change_points_are_elephants(seed):
    """Points and the windows that find them are Elephant's, whatever the train."""
    x = steps(seed)
    found = ann2neo.change_points(
        recording_of(x), WINDOWS, step=STEP, n_surrogates=60, seed=seed
    )
    assert list(
        zip(found.points["time_bin"], found.points["window"], strict=True)
    ) == elephants(x, seed)


def test_the_threshold_is_elephants():
    """Threshold, means and variances of the limit processes are Elephant's from the
    same seed.
    """
    with global_generator(11):
        quantile, parameters = empirical_parameters(
            WINDOWS * pq.s, N * pq.s, 5, 50, STEP * pq.s
        )
    threshold, means, deviations = multiple_filter._limit_distribution(
        N, tuple(WINDOWS), STEP, 0.05, 50, 11
    )
    assert threshold == pytest.approx(quantile, rel=1e-12)
    np.testing.assert_allclose(means, parameters[1].astype(float), rtol=1e-12)
    np.testing.assert_allclose(
        np.square(deviations), parameters[2].astype(float), rtol=1e-12
    )


@pytest.mark.parametrize("rate", [0.55, 0.9])
def test_filter_processes_are_elephants(rate):
    """Every value of the filter process is Elephant's, to rounding."""
    from elephant.change_point_detection import _filter

    x = np.random.default_rng(1).random(2000) < rate
    ours = multiple_filter._filter_processes(np.flatnonzero(x), 2000, [200], 40)[0]
    times = (np.flatnonzero(x) + 0.25) * pq.s
    theirs = [abs(_filter(t * pq.s, 200 * pq.s, times)) for t in range(200, 1800, 40)]
    np.testing.assert_allclose(ours, theirs, rtol=1e-9)


def test_steps_of_the_rate_are_found_where_they_are():
    """Of 20 units with a step at bin 15 000 all have a point within 200 bins of it, and
    times count from the start.
    """
    rng = np.random.default_rng(0)
    rows = rng.random((20, 30_000)) < np.repeat([0.3, 0.5], 15_000)
    found = ann2neo.change_points(recording_of(*rows))
    nearest = (
        (found.points["time_bin"] - 15_000).abs().groupby(found.points["unit"]).min()
    )
    assert len(nearest) == 20
    assert nearest.max() <= 200
    np.testing.assert_allclose(found.points["time_s"], found.points["time_bin"] / 1000)


def test_constant_rates_have_few_change_points():
    """Of 200 units of constant rate, tested at 5 % with 150 spikes a window, at most 14
    % have a point.
    """
    rows = (
        np.random.default_rng(2).random((200, 20_000))
        < np.linspace(0.3, 0.8, 200)[:, None]
    )
    found = ann2neo.change_points(recording_of(*rows), windows=[500, 1000, 2000])
    share = (found.units["n_change_points"] > 0).mean()
    # 9 % is known for 150 spikes a window; three standard errors of 200 units on top.
    assert share <= 0.09 + 3 * np.sqrt(0.09 * 0.91 / 200)
    assert (found.units["reason"] == "").all()


def test_units_with_too_few_spikes_are_not_tested_and_say_so():
    """Silent and sparse units have a reason and no count; regular ones no change."""
    rows = np.zeros((3, 20_000), bool)
    rows[1, ::200], rows[2, ::2] = True, True
    found = ann2neo.change_points(recording_of(*rows), windows=[1000, 2000])
    assert found.units["n_change_points"].to_list() == [-1, -1, 0]
    assert found.units["reason"].to_list() == [
        "0 spikes expected in 1000 bins; needs 150",
        "5 spikes expected in 1000 bins; needs 150",
        "",
    ]
    short = ann2neo.change_points(recording_of(np.arange(500) % 2 == 0))
    assert short.units["reason"].to_list() == [
        "500 time bins are less than four windows of 150 spikes"
    ]


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"recording": 3}, InputTypeError, "needs a Recording, got int"),
        (
            {"alpha": 5},
            InputValueError,
            (
                "between 0 and 0.5, got 5; it is a probability, 0.05 where Elephant"
                " takes 5"
            ),
        ),
        ({"alpha": 95}, InputValueError, "got 95"),
        ({"alpha": 0}, InputValueError, "got 0"),
        (
            {"windows": [3000]},
            InputValueError,
            r"less than half of each phase \(6000 bins\), got \[3000\]",
        ),
        ({"windows": []}, InputValueError, r"got \[\]"),
        ({"windows": [0]}, InputValueError, r"at least one bin"),
        (
            {"windows": [300, 500], "step": 30},
            InputValueError,
            "got a window of 500 bins and a step of 30; pass step=",
        ),
        ({"windows": [300], "step": 0}, InputValueError, "a step of 0"),
        ({"n_surrogates": 0}, InputValueError, "at least 1, got 0; 1000 is usual"),
    ],
)
def test_bad_input_says_value_rule_and_remedy(arguments, error, words):
    """Each mistake is refused with words that name it."""
    with pytest.raises(error, match=words):
        ann2neo.change_points(**{"recording": recording_of(steps(0)), **arguments})


def test_seeds_beyond_32_bits_have_thresholds_of_their_own():
    """A seed that Elephant's generator does not take is derived, and is not that of its
    lower bits.
    """
    thresholds = [
        ann2neo.change_points(
            recording_of(steps(0)), [300], n_surrogates=50, seed=seed
        ).units["threshold"][0]
        for seed in (2**40 + 7, 2**40 + 7, 7)
    ]
    assert thresholds[0] == thresholds[1] != thresholds[2]


def test_segments_are_searched_one_by_one():
    """A step inside a segment is found where it is in the recording, and one between
    two segments is none.
    """
    rng = np.random.default_rng(6)
    starts, stops = [0, 4000, 16_000], [4000, 16_000, 24_000]
    inside = rng.random(24_000) < np.repeat([0.3, 0.7], [8000, 16_000])
    at_border = rng.random(24_000) < np.repeat([0.6, 0.3], [4000, 20_000])
    gap = 500
    bits = np.zeros((2, 24_000 + 2 * gap), bool)
    moved = np.concatenate(
        [
            np.arange(a, b) + k * gap
            for k, (a, b) in enumerate(zip(starts, stops, strict=True))
        ]
    )
    bits[0, moved], bits[1, moved] = inside, at_border
    recording = session(
        bits,
        [start + k * gap for k, start in enumerate(starts)],
        [stop + k * gap for k, stop in enumerate(stops)],
    )
    found = ann2neo.change_points(recording, windows=[500, 1000])
    assert found.units["n_change_points"].to_list() == [1, 0]
    assert abs(int(found.points["time_bin"][0]) - (8000 + gap)) < 100
    assert found.points["time_s"][0] == found.points["time_bin"][0] / 1000


def test_short_segments_are_passed_over_and_said():
    """Windows that fit twice into no segment are refused, and segments too short for
    any window leave a reason.
    """
    bits = np.random.default_rng(0).random((1, 4000)) < 0.4
    recording = side_by_side(bits, [400] * 10)
    with pytest.raises(InputValueError, match=r"longest segment \(400 bins\), got"):
        ann2neo.change_points(recording, windows=[200])
    found = ann2neo.change_points(recording)
    assert found.units["reason"].str.contains("400 time bins of the longest seg").all()


@pytest.mark.slow
def test_one_rate_over_many_segments_has_few_change_points():
    """With windows of 150 spikes, units of one rate have a change point in no more
    segments than the level says.
    """
    bits = np.random.default_rng(7).random((200, 24_000)) < 0.3
    found = ann2neo.change_points(
        side_by_side(bits, [6000, 4000, 2000, 12_000]), windows=[500, 1000]
    )
    assert 0.01 < (found.units["n_change_points"] > 0).mean() < 0.12


def test_squares_beyond_64_bits_are_no_overflow():
    """The variance of counts in windows of millions of bins is that of exact sums."""
    intervals = np.tile([1, 1, 3_000_000], 40)
    bins = np.cumsum(intervals)
    squares = np.concatenate([[0, 0], np.cumsum(np.diff(bins) ** 2)])
    n = len(bins)
    variance = multiple_filter._count_variance(
        bins, squares, np.array([0]), np.array([n]), 10**8
    )[0]
    steps = [int(step) for step in np.diff(bins)]
    total = sum(steps)
    spread = len(steps) * sum(step**2 for step in steps) - total**2
    assert variance == pytest.approx(spread * len(steps) / total**3 * 10**8)
