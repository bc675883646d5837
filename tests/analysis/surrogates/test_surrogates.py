"""Surrogates keep what they promise, destroy the rest, and disturb nobody's random
numbers.
"""

import random
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import quantities as pq

from ann2neo import InputTypeError, InputValueError, Recording, SpikeRaster, to_neo
from ann2neo.analysis.populations.correlations import correlation_matrix
from ann2neo.analysis.surrogates.surrogates import METHODS, surrogates
from ann2neo.recording.segments import Phase, phase_table
from ann2neo.testing import make_recording

ELEPHANT = METHODS[4:]


@pytest.fixture
def recording():
    """Two phases of labelled presentations with a gap that lies in no phase, tuned and
    correlated units.
    """
    rng = np.random.default_rng(0)
    n = 330
    labels = rng.integers(0, 3, n)
    common = rng.random(n) < 0.4
    bits = rng.random((6, n)) < 0.15 + 0.6 * (labels == np.arange(6)[:, None] % 3)
    bits[3:] |= common
    bits[:, 200:220] = rng.random((6, 20)) < 0.5
    shown = np.concatenate([np.arange(200), np.arange(220, n)])
    table = pd.DataFrame(
        {"start_bin": shown, "stop_bin": shown + 1, "label": labels[shown]}
    )
    table["phase"] = np.where(shown < 200, "train", "test")
    phases = phase_table(
        [Phase("train", 0, 200, "random"), Phase("test", 220, n, "random")]
    )
    units = pd.DataFrame({"name": list("abcdef")})
    return Recording(
        SpikeRaster.from_dense(bits, t_start=5 * pq.ms),
        units,
        table,
        phases,
        {"model": "m"},
    )


def dense_phases(recording):
    return [recording.phase_raster(name).to_dense() for name in ("train", "test")]


@pytest.mark.parametrize("method", METHODS)
def test_every_surrogate_is_a_recording_with_other_spikes(recording, method):
    """Units, presentations, phases, times and unobserved bins stay; spikes move;
    provenance says how.
    """
    first, second = surrogates(recording, method, n_surrogates=2, seed=4)
    for turn, drawn in enumerate((first, second)):
        pd.testing.assert_frame_equal(drawn.presentations, recording.presentations)
        pd.testing.assert_frame_equal(drawn.phases, recording.phases)
        pd.testing.assert_frame_equal(drawn.units, recording.units)
        assert drawn.t_start == recording.t_start
        assert drawn.sampling_period == recording.sampling_period
        gap = drawn.raster.slice(200, 220)
        assert gap.equals(recording.raster.slice(200, 220))
        told = drawn.provenance
        assert (told["model"], told["surrogate_method"], told["surrogate_number"]) == (
            "m",
            method,
            str(turn),
        )
        lost = float(told["surrogate_share_lost"])
        kept = sum(block.sum() for block in dense_phases(drawn)) / sum(
            block.sum() for block in dense_phases(recording)
        )
        assert kept == pytest.approx(1 - lost, abs=1e-5)
        assert not drawn.raster.equals(recording.raster)
        assert len(to_neo(drawn).segments[0].spiketrains) == 6
    assert not first.raster.equals(second.raster)
    assert first.identifier not in {second.identifier, recording.identifier}


@pytest.mark.parametrize("method", METHODS)
def test_the_seed_decides_and_global_generators_stay_as_found(recording, method):
    """Surrogate k of a seed is always the same, and neither NumPy's nor Python's
    generator has moved.
    """
    np.random.seed(99)  # noqa: NPY002
    random.seed(99)
    expected = np.random.random(3).tolist(), random.random()  # noqa: NPY002, S311
    np.random.seed(99)  # noqa: NPY002
    random.seed(99)
    drawn = surrogates(recording, method, n_surrogates=3, seed=7)
    one = next(drawn)
    again = [s.raster for s in surrogates(recording, method, n_surrogates=2, seed=7)]
    assert one.raster.equals(again[0])
    assert next(drawn).raster.equals(again[1])
    drawn = np.random.random(3).tolist(), random.random()  # noqa: NPY002, S311
    assert drawn == expected


def test_global_generators_are_restored_when_elephant_fails(recording, monkeypatch):
    """An error inside Elephant leaves both generators as they were."""
    import elephant.spike_train_surrogates as elephant

    def fail(train):
        np.random.random()  # noqa: NPY002
        random.random()  # noqa: S311
        raise RuntimeError("out of spikes")

    monkeypatch.setattr(elephant, "shuffle_isis", fail)
    before = np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002
    with pytest.raises(RuntimeError, match="out of spikes"):
        next(surrogates(recording, "shuffle_isis", seed=0))
    after = np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002
    assert after == before


@pytest.mark.slow
def test_the_first_surrogate_of_a_process_leaves_global_generators_alone():
    """Importing Elephant, which the first surrogate does, draws from Python's
    generator; that is undone.
    """
    code = """
import random, numpy as np, ann2neo
before = random.getstate(), np.random.get_state()[1].tolist()
raster = ann2neo.SpikeRaster.from_spike_bins([[1, 4, 9]], 20)
recording = ann2neo.Recording.from_raster(raster)
next(ann2neo.surrogates(recording, method="shuffle_isis", seed=0))
assert (random.getstate(), np.random.get_state()[1].tolist()) == before
"""
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_joint_bin_permutation_keeps_what_units_do_together(recording):
    """Permuted jointly, the columns of each phase are the same set; per unit, only the
    counts are.
    """
    joint = next(surrogates(recording, joint=True, seed=0))
    alone = next(surrogates(recording, seed=0))
    for before, together, apart in zip(
        dense_phases(recording), dense_phases(joint), dense_phases(alone), strict=True
    ):
        assert sorted(map(tuple, before.T)) == sorted(map(tuple, together.T))
        assert sorted(map(tuple, before.T)) != sorted(map(tuple, apart.T))
        np.testing.assert_array_equal(before.sum(axis=1), apart.sum(axis=1))


def test_circular_shift_turns_every_train(recording):
    """Each shifted train is a rotation of its own; jointly, all rotate alike."""
    for joint in (False, True):
        drawn = next(surrogates(recording, "circular_shift", joint=joint, seed=1))
        shifts = []
        for before, after in zip(
            dense_phases(recording)[0], dense_phases(drawn)[0], strict=True
        ):
            shifts.append(
                [k for k in range(200) if np.array_equal(np.roll(before, k), after)]
            )
        assert all(shifts)
        assert (len(set.intersection(*map(set, shifts))) > 0) == joint


def test_isi_shuffle_keeps_the_intervals(recording):
    """Intervals, the first counted from the start, are the same in another order, so
    the last spike stays.
    """
    drawn = next(surrogates(recording, "isi_shuffle", seed=1))
    before, after = recording.phase_raster("train"), drawn.phase_raster("train")
    for unit in range(6):
        ours, theirs = (
            np.diff(raster.spike_bins(unit), prepend=-1) for raster in (before, after)
        )
        assert sorted(ours) == sorted(theirs)
        assert before.spike_bins(unit)[-1] == after.spike_bins(unit)[-1]


@pytest.mark.parametrize("joint", [False, True])
def test_within_label_keeps_class_tuning(recording, joint):
    """Spikes per unit and label stay; correlation beyond tuning goes unless
    presentations move jointly.
    """
    labels = recording.presentations.loc[
        recording.presentations["phase"] == "train", "label"
    ].to_numpy()
    before = dense_phases(recording)[0]
    kept = []
    for drawn in surrogates(
        recording, "within_label", joint=joint, n_surrogates=40, seed=2
    ):
        after = dense_phases(drawn)[0]
        for label in range(3):
            np.testing.assert_array_equal(
                before[:, labels == label].sum(axis=1),
                after[:, labels == label].sum(axis=1),
            )
        kept.append(
            correlation_matrix(drawn, phase="train")[3, 4]
            - correlation_matrix(recording, phase="train")[3, 4]
        )
    if joint:
        np.testing.assert_allclose(kept, 0, atol=1e-12)
    else:
        assert np.mean(kept) < -0.2


def test_trials_of_a_label_change_places_whole():
    """With trials of several bins, each unit's trials of a label and length are the
    same set, moved independently.
    """
    rng = np.random.default_rng(3)
    start, length = np.arange(40) * 6, np.where(np.arange(40) % 4 == 3, 4, 5)
    table = pd.DataFrame(
        {
            "start_bin": start,
            "stop_bin": start + length,
            "label": np.array(["a", "b"])[np.arange(40) % 2],
        }
    )
    recording = Recording.from_raster(
        SpikeRaster.from_dense(rng.random((3, 240)) < 0.5), presentations=table
    )
    drawn = next(surrogates(recording, "within_label", seed=0))
    before, after = recording.raster.to_dense(), drawn.raster.to_dense()
    for label, bins in (("a", 5), ("b", 5), ("b", 4)):
        chosen = start[(table["label"] == label) & (length == bins)]
        for unit in range(3):
            trials = [
                sorted(tuple(x[unit, s : s + bins]) for s in chosen)
                for x in (before, after)
            ]
            assert trials[0] == trials[1]
    np.testing.assert_array_equal(before[:, 5::6], after[:, 5::6])


@pytest.mark.parametrize(
    ("method", "low", "high"),
    [
        ("dither_spikes", 0.11, 0.15),
        ("jitter_spikes", 0.11, 0.15),
        ("randomise_spikes", 0.11, 0.15),
        ("joint_isi_dithering", 0.08, 0.13),
        ("isi_dithering", 0.08, 0.13),
        ("dither_spike_train", 0.0, 0.003),
        ("bin_shuffling", 0.0, 0.003),
        ("shuffle_isis", 0.0, 0.0005),
    ],
)
def test_elephants_surrogates_lose_the_stated_share_on_the_grid(method, low, high):
    """At a rate of 0.3 and 15 ms, the share of spikes lost by re-gridding is the one we
    state.
    """
    bits = np.random.default_rng(1).random((4, 5000)) < 0.3
    drawn = next(surrogates(make_recording(bits), method, seed=0))
    assert low <= float(drawn.provenance["surrogate_share_lost"]) <= high


def test_dither_is_honoured():
    """Spikes dithered by two bins stay within two bins (and the one they may fall
    into).
    """
    bits = np.zeros((1, 3000), bool)
    bits[0, 50::100] = True
    recording = make_recording(bits)
    drawn = next(surrogates(recording, "dither_spikes", dither=2 * pq.ms, seed=0))
    moved = drawn.raster.spike_bins(0) - recording.raster.spike_bins(0)
    assert np.abs(moved).max() in {1, 2}
    assert len(np.unique(moved)) >= 3


@pytest.mark.parametrize("method", METHODS[:3] + METHODS[4:])
@pytest.mark.parametrize(
    "bits",
    [np.zeros((2, 30), bool), np.ones((2, 30), bool), np.eye(2, 30, 3, dtype=bool)],
)
def test_silent_saturated_and_single_spikes_are_no_error(method, bits):
    """Trains with nothing to move come back without an error."""
    drawn = next(surrogates(make_recording(bits), method, seed=0))
    assert drawn.raster.shape == (2, 30)


NO_LABELS = make_recording([[1, 0, 1]])


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (
            lambda: surrogates(NO_LABELS, "shuffle"),
            InputValueError,
            (
                "method must be one of bin_permutation, circular_shift, .*"
                " shuffle_isis, got 'shuffle'"
            ),
        ),
        (
            lambda: surrogates(NO_LABELS.raster),
            InputTypeError,
            "surrogates needs a Recording, got SpikeRaster",
        ),
        (
            lambda: surrogates(NO_LABELS, n_surrogates=0),
            InputValueError,
            "n_surrogates must be at least 1, got 0",
        ),
        (
            lambda: surrogates(NO_LABELS, "within_label"),
            InputValueError,
            "no labels, and tuning needs them",
        ),
        (
            lambda: surrogates(
                Recording.from_activations(np.eye(3), labels=[0, 1, 2]), "within_label"
            ),
            InputValueError,
            "no label was presented twice .*; use bin_permutation",
        ),
        (
            lambda: surrogates(NO_LABELS, "isi_shuffle", joint=True),
            InputValueError,
            (
                "joint applies to bin_permutation, circular_shift, within_label, not to"
                " isi_shuffle"
            ),
        ),
        (
            lambda: surrogates(NO_LABELS, "shuffle_isis", dither=5 * pq.ms),
            InputValueError,
            "dither applies to dither_spikes, .*, not to shuffle_isis; drop it",
        ),
        (
            lambda: surrogates(NO_LABELS, "dither_spikes", dither=5),
            InputTypeError,
            "dither must be a positive time",
        ),
        (
            lambda: surrogates(NO_LABELS, seed=-3),
            InputValueError,
            "seed must be at least 0, got -3",
        ),
    ],
)
def test_bad_input_says_value_rule_and_remedy(call, error, words):
    """Each mistake is refused when the function is called, with words that name it."""
    with pytest.raises(error, match=words):
        call()
