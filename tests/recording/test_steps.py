"""Steps: arrays of activations of which one axis is time."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from ann2neo import ActivationError, InputTypeError, InputValueError, Recording

AXES = ("presentation", "step", "unit")
VALUES = np.random.default_rng(0).normal(size=(4, 5, 3))


def test_three_axes_without_names_are_refused_with_the_choices():
    """Steps and maps of units look alike, so nobody guesses."""
    with pytest.raises(InputValueError) as refused:
        Recording.from_activations(VALUES)
    message = str(refused.value)
    assert "axes=('presentation', 'step', 'unit')" in message
    assert "axes=('presentation', 'unit', 'unit')" in message


def test_steps_are_the_bins_of_trials():
    """Each presentation is a segment of its own, of as many bins as steps."""
    recording = Recording.from_activations(
        VALUES, axes=AXES, labels=[1, 0, 1, 0], order="random"
    )
    dense = (VALUES > 0).reshape(20, 3).T
    np.testing.assert_array_equal(recording.raster.to_dense(), dense)
    segments, trials = recording.segments, recording.presentations
    for name in ("start_bin", "stop_bin"):
        assert segments[name].to_list() == trials[name].to_list()
    assert segments["start_bin"].to_list() == [0, 5, 10, 15]
    assert segments["t_start"].to_list() == [0.0] * 4
    assert recording.phases["n_segments"].to_list() == [4]
    assert segments["order"].unique().tolist() == ["random"]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_axes_may_come_in_any_order(order: tuple[int, ...]):
    """An array with its axes in another order gives the same recording."""
    recording = Recording.from_activations(
        VALUES.transpose(order), axes=[AXES[i] for i in order]
    )
    same = Recording.from_activations(VALUES, axes=AXES)
    assert recording.raster.equals(same.raster)


def test_several_axes_of_units_are_flattened():
    """Axes of units become units in C order; three of them without steps as well."""
    maps = VALUES.reshape(2, 2, 5, 3)
    recording = Recording.from_activations(
        maps, axes=("presentation", "unit", "step", "unit")
    )
    expected = maps.transpose(0, 2, 1, 3).reshape(10, 6) > 0
    np.testing.assert_array_equal(recording.raster.to_dense(), expected.T)
    flat = Recording.from_activations(VALUES, axes=("presentation", "unit", "unit"))
    np.testing.assert_array_equal(flat.raster.to_dense(), (VALUES.reshape(4, 15) > 0).T)
    assert len(flat.segments) == 1


def test_steps_without_presentations_are_one_trial():
    """An array of shape (step, unit) is one trial."""
    recording = Recording.from_activations(VALUES[0], axes=("step", "unit"))
    assert recording.presentations[["start_bin", "stop_bin"]].to_numpy().tolist() == [
        [0, 5]
    ]


def test_padding_after_the_length_of_a_presentation_is_left_out():
    """Only steps within `lengths` become bins, and padding may be NaN."""
    lengths = [5, 1, 3, 2]
    padded = VALUES.copy()
    for row, n in enumerate(lengths):
        padded[row, n:] = np.nan
    recording = Recording.from_activations(padded, axes=AXES, lengths=lengths)
    bins = np.concatenate([VALUES[row, :n] for row, n in enumerate(lengths)])
    np.testing.assert_array_equal(recording.raster.to_dense(), (bins > 0).T)
    assert recording.segments["stop_bin"].to_list() == [5, 6, 9, 11]


def test_activations_that_are_not_finite_are_named_with_their_step():
    """The error names presentation, step and unit."""
    odd = VALUES.copy()
    odd[2, 3, 1] = np.inf
    with pytest.raises(ActivationError, match="inf at presentation 2, step 3, unit 1"):
        Recording.from_activations(odd, axes=AXES)
    with pytest.raises(ActivationError, match="inf at presentation 2, step 3, unit 1"):
        Recording.from_activations(odd, axes=AXES, lengths=[1, 2, 4, 5])


@pytest.mark.parametrize(
    ("axes", "lengths", "error", "words"),
    [
        ("step", None, InputValueError, "must name each axis"),
        (("presentation", "unit"), None, InputValueError, "must name each axis"),
        (("presentation", "time", "unit"), None, InputValueError, "must name each"),
        (("presentation", "step", "step"), None, InputValueError, "must name each"),
        (("unit", "unit", "unit"), None, InputValueError, "must name each axis"),
        (("presentation", "unit", "unit"), [1] * 4, InputValueError, "no axis is 'st"),
        (AXES, [1, 2], InputValueError, "one entry per presentation, shape (4,)"),
        (AXES, [1, 2, 3, 6], InputValueError, "1 to 5 steps, got 6 at presentation 3"),
        (AXES, [1, 0, 3, 5], InputValueError, "1 to 5 steps, got 0 at presentation 1"),
        (AXES, [1, 1.5, 3, 5], InputTypeError, "whole numbers of steps"),
    ],
)
def test_axes_and_lengths_that_do_not_fit(
    axes: Any, lengths: Any, error: type[Exception], words: str
):
    """Each is refused with the rule."""
    with pytest.raises(error, match=re.escape(words)):
        Recording.from_activations(VALUES, axes=axes, lengths=lengths)


def test_an_array_without_steps_is_refused():
    """There is no bin to record."""
    with pytest.raises(InputValueError, match="hold no step"):
        Recording.from_activations(np.zeros((2, 0, 3)), axes=AXES)
