"""Labelled arrays: what they hold, that they come back whole, and what is refused."""

import numpy as np
import pandas as pd
import pytest
import quantities as pq
import xarray as xr

from ann2neo import Recording, from_xarray, to_xarray
from ann2neo.errors import ActivationError, InputTypeError, InputValueError
from ann2neo.raster import SpikeRaster
from ann2neo.testing import make_recording


def session(n_units=3, n_time_bins=100, **columns):
    """A session of three trials of unlike lengths in one stretch of time."""
    rng = np.random.default_rng(0)
    raster = SpikeRaster.from_dense(
        rng.random((n_units, n_time_bins)) < 0.3,
        sampling_period=2 * pq.ms,
        t_start=1 * pq.s,
    )
    table = pd.DataFrame(
        {
            "start_bin": [0, 20, 60],
            "stop_bin": [10, 50, 65],
            "stimulus_id": ["a", "b", "a"],
            "depth": [0.5, 1.5, 2.5],
            **columns,
        }
    )
    units = pd.DataFrame({"name": list("xyz")[:n_units], "unit": range(n_units)})
    return Recording.from_raster(raster, units, table, provenance={"lab": "ours"})


@pytest.mark.parametrize("order", ["random", "stored"])
def test_samples_come_back_whole(order):
    """Samples of a network in two phases come back bit by bit, tables included."""
    recording = make_recording(
        n_units=5, labels=3, layers=["a", "b"], phases=["train", "test"], order=order
    )
    array = to_xarray(recording)
    assert array.dims == ("presentation", "unit")
    assert array.dtype == np.uint8
    back = from_xarray(array)
    assert back.raster.equals(recording.raster)
    assert back.provenance == recording.provenance
    for name in ("units", "presentations", "segments"):
        pd.testing.assert_frame_equal(getattr(back, name), getattr(recording, name))


def test_trials_come_back_whole():
    """Trials of unlike lengths, aligned to an event, come back bit by bit."""
    trials = session().cut_trials(before=4, after=None)
    trials = trials.select(presentations=[0, 1])
    array = to_xarray(trials)
    assert array.dims == ("trial", "time", "unit")
    back = from_xarray(array)
    np.testing.assert_array_equal(back.raster.bits, trials.raster.bits)
    for name in ("units", "presentations", "segments"):
        pd.testing.assert_frame_equal(getattr(back, name), getattr(trials, name))


def test_trials_hold_spikes_times_and_padding():
    """A cell is 1 where the unit spiked in that step, and NaN after the trial's end;
    times are seconds since its start, columns are coordinates.
    """
    recording = session()
    array = to_xarray(recording)
    dense = recording.raster.to_dense()
    assert array.shape == (3, 30, 3)
    for trial, (start, stop) in enumerate([(0, 10), (20, 50), (60, 65)]):
        length = stop - start
        np.testing.assert_array_equal(array[trial, :length], dense[:, start:stop].T)
        assert np.isnan(array[trial, length:]).all()
    np.testing.assert_allclose(array["time"], 0.002 * np.arange(30))
    assert array["start_time"].to_numpy().tolist() == [1.0, 1.04, 1.12]
    assert array["stimulus_id"].to_numpy().tolist() == ["a", "b", "a"]
    assert array["unit_"].to_numpy().tolist() == [0, 1, 2]
    assert array.attrs["lab"] == "ours"
    assert array.attrs["sampling_period"] == 0.002
    mean = array.sel(trial=array["stimulus_id"] == "a").mean("trial")
    assert mean.shape == (30, 3)


def test_time_is_relative_to_the_alignment():
    """After `cut_trials`, times count from what the trials were aligned to."""
    trials = session().cut_trials(align="stop", before=6 * pq.ms, after=4 * pq.ms)
    array = to_xarray(trials)
    np.testing.assert_allclose(array["time"], [-0.006, -0.004, -0.002, 0.0, 0.002])
    part = to_xarray(trials, window=(2, 4))
    np.testing.assert_allclose(part["time"], [-0.002, 0.0])
    np.testing.assert_array_equal(part, array[:, 2:4])


def test_windows_and_kinds():
    """A window is a part of each presentation, in steps or times; a kind is chosen."""
    recording = session().with_presentations(
        pd.DataFrame({"start_bin": [5, 30], "stop_bin": [8, 33]}), kind="cues"
    )
    whole = to_xarray(recording, kind="trials")
    part = to_xarray(recording, kind="trials", window=(2 * pq.ms, 10 * pq.ms))
    np.testing.assert_array_equal(part, whole[:, 1:5])
    assert to_xarray(recording, kind="cues").shape == (2, 3, 3)
    with pytest.raises(InputValueError, match=r"1 of 3 presentations .* end before"):
        to_xarray(recording, kind="trials", window=(0, 6))


def test_what_does_not_fit_is_refused_with_its_size():
    """An array larger than the memory is refused before it is made, with its size and
    the argument that makes it smaller.
    """
    n = 10**9
    raster = SpikeRaster.from_spike_bins([[]] * 1000, n + 1)
    table = pd.DataFrame({"start_bin": [0, 1], "stop_bin": [1, n + 1]})
    recording = Recording.from_raster(raster, presentations=table)
    message = r"2 trials x 1000000000 steps x 1000 units take 8,000.0 GB.*window="
    with pytest.raises(InputValueError, match=message):
        to_xarray(recording)


def test_nothing_was_shown():
    """Without presentations there is no array, and the error says how to add some."""
    recording = make_recording(n_units=2, n_time_bins=10)
    with pytest.raises(InputValueError, match=r"with_presentations"):
        to_xarray(recording)
    with pytest.raises(InputTypeError, match="to_xarray needs a Recording"):
        to_xarray(np.zeros((3, 2)))


def assembly(values, n_presentations, n_neuroids):
    """An array as brain-score's assemblies are: MultiIndexes and their own names."""
    presentation = pd.MultiIndex.from_arrays(
        [
            [f"im{i % 2}" for i in range(n_presentations)],
            ["cat", "dog"] * (n_presentations // 2),
            np.arange(n_presentations) // 2,
        ],
        names=["image_id", "object_name", "repetition"],
    )
    neuroid = pd.MultiIndex.from_arrays(
        [[f"n{i}" for i in range(n_neuroids)], ["IT"] * n_neuroids],
        names=["neuroid_id", "region"],
    )
    coords = xr.Coordinates.from_pandas_multiindex(presentation, "presentation")
    coords |= xr.Coordinates.from_pandas_multiindex(neuroid, "neuroid")
    dims = ("neuroid", "presentation", "time_bin")[: values.ndim]
    return xr.DataArray(values, coords, dims)


def test_a_brain_score_assembly_comes_in():
    """Dimensions presentation and neuroid in any order, MultiIndexes and image_id
    become units, repeats of stimuli and labels.
    """
    rates = np.array([[0.1, 3.0, 0.2, 2.5], [1.2, 0.0, 1.9, 0.3]])
    recording = from_xarray(assembly(rates, 4, 2), threshold=[1.0, 0.5])
    assert recording.raster.to_dense().astype(int).tolist() == [
        [0, 1, 0, 1],
        [1, 0, 1, 0],
    ]
    assert recording.presentations["stimulus_id"].to_list() == ["im0", "im1"] * 2
    assert recording.presentations["label"].to_list() == ["cat", "dog"] * 2
    assert recording.units["neuroid_id"].to_list() == ["n0", "n1"]


def test_an_assembly_with_time_bins_comes_in():
    """Time bins are steps of trials; their start, in ms, says how long a bin is."""
    array = assembly(np.ones((2, 4, 3)), 4, 2)
    bins = pd.MultiIndex.from_arrays(
        [[70, 80, 90], [80, 90, 100]],
        names=["time_bin_start", "time_bin_end"],
    )
    coords = xr.Coordinates.from_pandas_multiindex(bins, "time_bin")
    recording = from_xarray(array.assign_coords(coords))
    assert len(recording.segments) == 4
    assert recording.sampling_period == 10 * pq.ms
    assert recording.segments["t_start"].to_list() == [0.07] * 4
    only = from_xarray(array.assign_coords(coords).isel(time_bin=[1]))
    assert only.sampling_period == 10 * pq.ms
    assert only.segments["t_start"].to_list() == [0.08] * 4


def plain(values, dims=("presentation", "unit"), **coords):
    """An array without much beside its values."""
    return xr.DataArray(values, coords, dims)


def test_times_must_be_even():
    """Steps of unlike lengths are refused; a length given is what counts."""
    array = plain(np.ones((2, 3, 1)), ("trial", "time", "unit"), time=[0.0, 0.1, 0.3])
    with pytest.raises(InputValueError, match=r"must rise by one bin of 0\.15 s"):
        from_xarray(array)
    array = array.drop_vars("time")
    recording = from_xarray(array, sampling_period=5 * pq.ms)
    assert recording.sampling_period == 5 * pq.ms


@pytest.mark.parametrize(
    ("times", "unit"),
    [
        (np.arange(3) * 0.002, None),
        (np.arange(3) * 2, "ms"),
        (pd.timedelta_range(0, periods=3, freq="2ms"), None),
    ],
)
def test_times_have_a_unit(times, unit):
    """Times are seconds, what their attribute units says, or time differences."""
    array = plain(np.ones((2, 3, 1)), ("trial", "time", "unit"), time=times)
    if unit:
        array["time"].attrs["units"] = unit
    assert from_xarray(array).sampling_period == 2 * pq.ms


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            lambda array: array.assign_coords(time=list("abc")),
            InputTypeError,
            "'time' must hold times in s, got <U1",
        ),
        (
            lambda array: array.assign_coords(
                time=pd.date_range("2026", periods=3, freq="ms")
            ),
            InputTypeError,
            "must hold times in s, got datetime64",
        ),
        (
            lambda array: array.assign_coords(time=[0, np.nan, 2]),
            InputValueError,
            "must hold finite times, got nan",
        ),
        (
            lambda array: array.assign_coords(time=("time", [0, 1, 2], {"units": "V"})),
            InputValueError,
            "'time' is in 'V', which is none of s, seconds, ms",
        ),
        (
            lambda array: array.assign_attrs(sampling_period="1 ms"),
            InputTypeError,
            "attribute sampling_period must be a number, got '1 ms'",
        ),
        (
            lambda array: array.assign_attrs(sampling_period=np.nan),
            InputValueError,
            "attribute sampling_period must be a number of seconds above 0, got nan",
        ),
        (
            lambda array: array.assign_coords(phase=("trial", [1.0, np.nan])),
            InputValueError,
            "presentation 1 has no phase",
        ),
    ],
)
def test_coordinates_that_say_nothing(change, error, message):
    """Times, lengths of bins and phases that mean nothing are refused by name."""
    array = plain(np.ones((2, 3, 1)), ("trial", "time", "unit"))
    with pytest.raises(error, match=message):
        from_xarray(change(array))


def test_a_length_of_bins_with_a_unit():
    """A quantity among the attributes keeps its unit."""
    array = plain(np.ones((2, 3, 1)), ("trial", "time", "unit"))
    array.attrs["sampling_period"] = 2 * pq.ms
    assert from_xarray(array).sampling_period == 2 * pq.ms


def test_provenance_is_a_mapping():
    """A list is refused, here and where a recording is made."""
    with pytest.raises(
        InputTypeError, match=r"provenance must be a mapping .* \['us'\]"
    ):
        from_xarray(plain(np.ones((2, 2))), provenance=["us"])
    raster = SpikeRaster.from_dense(np.ones((1, 2), bool))
    with pytest.raises(InputTypeError, match="provenance must be a mapping"):
        Recording.from_raster(raster, provenance=["us"])


BAD_ARRAYS = [
    (plain(np.ones((2, 2)), ("stimulus", "unit")), r"got \(stimulus, unit\)"),
    (plain(np.ones((2, 2)), ("presentation", "trial")), r"got \(presentation, trial\)"),
    (plain(np.ones(2), ("unit",)), "there is none of presentations"),
    (plain(np.ones((2, 2)), ("trial", "time")), "there is none of units"),
    (plain(np.array([[0.0, 2.5]])), "run from 0 to 2.5; say above which value"),
    (plain(np.array([[0.0, np.nan]])), "presentation 0, step 0, unit 1 has no value"),
    (plain(np.full((1, 2), np.nan)), "presentation 0 has no value at all"),
    (plain(np.ones((0, 2))), "no presentation or no time"),
    (
        plain(np.ones((1, 2)), order=("presentation", ["sorted"])),
        "must be one of random, stored, unknown",
    ),
]


@pytest.mark.parametrize(("array", "message"), BAD_ARRAYS)
def test_arrays_that_are_refused(array, message):
    """Other dimensions are listed, and so are values that are no spikes."""
    with pytest.raises(InputValueError, match=message):
        from_xarray(array)


def test_wrong_types_and_thresholds():
    """A data set, text, infinite values and a threshold of another length are
    refused.
    """
    with pytest.raises(InputTypeError, match="got Dataset; take one variable"):
        from_xarray(xr.Dataset())
    with pytest.raises(InputTypeError, match="must hold numbers"):
        from_xarray(plain(np.array([["a", "b"]])))
    with pytest.raises(InputValueError, match=r"one per unit, shape \(2,\)"):
        from_xarray(plain(np.ones((3, 2))), threshold=[1, 2, 3])
    with pytest.raises(ActivationError, match="must be finite"):
        from_xarray(plain(np.array([[np.inf, 1.0]])), threshold=1.0)


def test_columns_of_objects_become_text():
    """Coordinates of mixed objects become text, a missing one the empty text."""
    array = plain(np.ones((3, 1)), note=("presentation", np.array(["a", None, 3], "O")))
    recording = from_xarray(array, phase="test")
    assert recording.presentations["note"].to_list() == ["a", "", "3"]
    assert recording.phases["phase"].to_list() == ["test"]
