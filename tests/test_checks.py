"""Checks of arguments: what is no number is told, whatever it is passed to."""

import pytest

import ann2neo
from ann2neo import InputTypeError, InputValueError
from ann2neo.testing import make_recording

RECORDING = make_recording(n_units=3, n_time_bins=200)

SHARES = {
    "alpha": [
        lambda alpha: ann2neo.summarize(ann2neo.analyze(RECORDING), alpha=alpha),
        lambda alpha: ann2neo.change_points(RECORDING, alpha=alpha),
        lambda alpha: ann2neo.surrogate_test(
            RECORDING, "fano", n_surrogates=99, alpha=alpha
        ),
    ],
    "margin": [
        lambda margin: ann2neo.compare(RECORDING, RECORDING, margin=margin),
    ],
    "level": [
        lambda level: ann2neo.counting_processes(
            RECORDING, n_simulations=2, n_points=2, level=level
        ),
    ],
}
CASES = [(name, call) for name, calls in SHARES.items() for call in calls]


@pytest.mark.parametrize("value", ["0.05", None, [0.05], True])
@pytest.mark.parametrize(("name", "call"), CASES)
def test_what_is_no_number_is_refused(name, call, value):
    """Text, None, a list and a truth value are named with their type."""
    kind = type(value).__name__
    with pytest.raises(
        InputTypeError, match=rf"^{name} must be a number, got .*\({kind}\);"
    ):
        call(value)


@pytest.mark.parametrize("value", [0, 1, -0.1, float("nan")])
@pytest.mark.parametrize(("name", "call"), CASES)
def test_numbers_out_of_range_are_refused(name, call, value):
    """Neither limit is allowed, nor is what lies beyond, nor NaN."""
    with pytest.raises(InputValueError, match=f"^{name} must lie between 0 and"):
        call(value)
