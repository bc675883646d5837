"""Parts of a recording, made one by one, are the recording made whole."""

from unittest.mock import patch

import keras
import numpy as np
import pytest

import ann2neo
from ann2neo import Recording
from ann2neo.errors import (
    FileFormatError,
    InputValueError,
    OutputExistsError,
)
from ann2neo.recording.folder import UnfinishedFolder

N_SAMPLES = 333


@pytest.fixture(scope="module")
def dense():
    """A network with dropout."""
    keras.utils.set_random_seed(1)
    return keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(9, "relu", name="hidden"),
            keras.layers.Dropout(0.4, name="drop"),
            keras.layers.Dense(3),
        ]
    )


@pytest.fixture(scope="module")
def recurrent():
    """A network whose hidden layer has steps."""
    keras.utils.set_random_seed(2)
    return keras.Sequential(
        [
            keras.Input((7, 4)),
            keras.layers.LSTM(5, return_sequences=True, name="hidden"),
            keras.layers.GlobalAveragePooling1D(),
            keras.layers.Dense(3),
        ]
    )


def samples(*shape, seed=0):
    """Random stimuli."""
    return np.random.default_rng(seed).normal(size=(N_SAMPLES, *shape)).astype("f4")


def in_parts(model, x, folder, n, order=None, **arguments):
    """Record n parts, in any order, and join them."""
    for number in order or range(1, n + 1):
        ann2neo.record(model, x, out=folder, part=(number, n), **arguments)
    return Recording.open(folder)


LENGTHS = 1 + np.arange(N_SAMPLES) % 7
CASES = {
    "random order": {"labels": np.arange(N_SAMPLES) % 3, "batch_size": 8},
    "stored order": {"shuffle": False, "batch_size": 10},
    "own columns": {
        "presentations": {"file": [f"{i}.png" for i in range(N_SAMPLES)]},
        "batch_size": 16,
    },
    "dropout": {"layers": "drop", "training": True, "batch_size": 7},
    "quantiles": {"threshold": "quantile:0.8", "batch_size": 24, "phase": "test"},
}


@pytest.mark.parametrize(
    "name",
    [
        "random order",
        *(pytest.param(name, marks=pytest.mark.slow) for name in [*CASES][1:]),
    ],
)
def test_seven_parts_are_the_whole(name, dense, tmp_path):
    """Bits, tables and facts of the joined recording are those of one made whole,
    whatever the order in which the parts are made.
    """
    arguments = {"layers": "hidden", "seed": 5, **CASES[name]}
    whole = ann2neo.record(dense, samples(6), **arguments)
    order = [3, 7, 1, 2, 6, 5, 4]
    joined = in_parts(dense, samples(6), tmp_path / "r", 7, order, **arguments)
    assert joined.equals(whole, identity=False)
    assert isinstance(joined.raster.bits, np.memmap)
    again = Recording.open(tmp_path / "r")
    assert again.equals(joined)


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [{}, {"lengths": LENGTHS}, {"lengths": LENGTHS, "emission": "bernoulli"}],
)
def test_parts_of_trials_are_the_whole(arguments, recurrent, tmp_path):
    """Each trial keeps its segment, and drawn spikes do not depend on the part."""
    arguments = {"time_axis": 1, "seed": 5, "batch_size": 8, **arguments}
    whole = ann2neo.record(recurrent, samples(7, 4), layers="hidden", **arguments)
    joined = in_parts(
        recurrent, samples(7, 4), tmp_path / "r", 3, layers="hidden", **arguments
    )
    if "emission" in arguments:
        shares = [float(r.provenance.pop("share_clipped")) for r in (whole, joined)]
        assert shares[0] == pytest.approx(shares[1], rel=1e-4)
    assert joined.equals(whole, identity=False)


def test_a_part_is_a_recording_of_its_stimuli(dense, tmp_path):
    """It can be opened by itself, and says which part it is."""
    part = ann2neo.record(
        dense, samples(6), seed=5, batch_size=8, out=tmp_path / "r", part=(2, 3)
    )
    assert part.provenance["part"] == "2 of 3"
    assert part.n_time_bins == 8 * 14
    folder = tmp_path / "r" / "part-00002-of-00003"
    assert Recording.open(folder).equals(part)


def test_a_part_that_was_cut_goes_on(dense, tmp_path):
    """The same call resumes it where it was, and the whole is as if it had not been."""
    arguments = {"seed": 5, "batch_size": 8}

    keep = UnfinishedFolder.keep

    def keep_some(self, done, *more):
        keep(self, done, *more)
        if done.n_bins >= 40:
            raise InterruptedError

    folder = tmp_path / "r"
    with (
        patch.object(UnfinishedFolder, "seconds_between_marks", 0),
        patch.object(UnfinishedFolder, "keep", keep_some),
        pytest.raises(InterruptedError),
    ):
        ann2neo.record(dense, samples(6), out=folder, part=(2, 2), **arguments)
    ann2neo.record(dense, samples(6), out=folder, part=(1, 2), **arguments)
    with pytest.raises(FileFormatError, match="lacks parts 2 of 2"):
        Recording.open(folder)
    joined = in_parts(dense, samples(6), folder, 2, [2], **arguments)
    whole = ann2neo.record(dense, samples(6), **arguments)
    assert joined.equals(whole, identity=False)


def test_parts_that_are_missing_are_named(dense, tmp_path):
    """With the argument that makes them."""
    for number in (1, 4):
        ann2neo.record(
            dense, samples(6), seed=5, batch_size=8, out=tmp_path, part=(number, 5)
        )
    with pytest.raises(FileFormatError, match=r"lacks parts 2, 3, 5 of 5.*part=\(k, 5"):
        Recording.open(tmp_path)
    # As of two divisions that are begun at once.
    (tmp_path / "part-00001-of-00002").mkdir()
    with pytest.raises(FileFormatError, match="parts of 2 and of 5"):
        Recording.open(tmp_path)


@pytest.mark.parametrize(
    ("other", "what"),
    [
        ({"seed": 6}, "seed"),
        ({"threshold": 0.5}, "threshold"),
        ({"labels": np.zeros(N_SAMPLES, int)}, "stimuli, labels or units"),
        ({"x": samples(6, seed=9)}, "stimuli, labels or units"),
    ],
)
def test_parts_of_another_recording_are_refused(other, what, dense, tmp_path):
    """Seed, settings, labels and stimuli must be the same in all parts."""
    arguments = {"x": samples(6), "seed": 5, "batch_size": 8, "predictions": False}
    for number, more in ((1, {}), (2, other)):
        ann2neo.record(
            dense, **{**arguments, **more}, out=tmp_path / "r", part=(number, 2)
        )
    with pytest.raises(FileFormatError, match=f"differ in {what}"):
        Recording.open(tmp_path / "r")


def test_parts_of_another_model_are_refused(dense, recurrent, tmp_path):
    """The hash of the weights is compared."""
    other = keras.models.clone_model(dense)
    for number, model in ((1, dense), (2, other)):
        ann2neo.record(
            model, samples(6), seed=5, batch_size=8, out=tmp_path, part=(number, 2)
        )
    with pytest.raises(FileFormatError, match="differ in weights_sha256"):
        Recording.open(tmp_path)


def test_a_whole_recording_beside_parts_is_refused(dense, tmp_path):
    """A folder is for parts or for the whole."""
    arguments = {"seed": 5, "batch_size": 8, "out": tmp_path}
    ann2neo.record(dense, samples(6), part=(1, 2), **arguments)
    with pytest.raises(OutputExistsError, match="other files"):
        ann2neo.record(dense, samples(6), **arguments)


def test_a_join_that_was_cut_begins_anew(dense, tmp_path):
    """Parts stay until the joined recording is complete."""
    arguments = {"seed": 5, "batch_size": 8}
    for number in (1, 2):
        ann2neo.record(dense, samples(6), out=tmp_path, part=(number, 2), **arguments)
    with (
        patch.object(UnfinishedFolder, "finish", side_effect=KeyboardInterrupt),
        pytest.raises(KeyboardInterrupt),
    ):
        Recording.open(tmp_path)
    whole = ann2neo.record(dense, samples(6), **arguments)
    assert Recording.open(tmp_path).equals(whole, identity=False)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"part": (0, 3)}, "the part"),
        ({"part": (4, 3)}, r"one of 1 \.\. 3 of 3 parts, got 4"),
        ({"part": 3}, r"two numbers, such as \(3, 16\), got 3"),
        ({"part": (1, 2), "out": None}, "pass out="),
        ({"part": (1, 2), "seed": None}, "needs a seed"),
        ({"part": (1, 2), "n_repeats": 2}, "n_repeats=2"),
        ({"part": (1, 40), "batch_size": 32}, "allow 11 at most"),
        ({"part": (40, 40), "batch_size": 32}, "allow 11 at most"),
        ({"part": (1, 2), "x": iter([samples(6)])}, "come in batches"),
    ],
)
def test_parts_that_cannot_be_are_refused(arguments, words, dense, tmp_path):
    """Before anything is shown, and no folder is left behind."""
    settings = {"x": samples(6), "seed": 5, "out": tmp_path / "r", **arguments}
    with pytest.raises((InputValueError, TypeError), match=words):
        ann2neo.record(dense, **settings)
    assert not (tmp_path / "r").exists()


def test_a_part_of_another_division_is_refused(dense, tmp_path):
    """Before it is recorded, so that the parts that are there can still be joined; a
    recording that is whole takes no more parts.
    """
    x, arguments = samples(6), {"seed": 5, "batch_size": 8, "out": tmp_path}
    ann2neo.record(dense, x, part=(1, 2), **arguments)
    with pytest.raises(OutputExistsError, match=r"parts of 2, and part 1 of 3 is none"):
        ann2neo.record(dense, x, part=(1, 3), **arguments)
    ann2neo.record(dense, x, part=(2, 2), **arguments)
    Recording.open(tmp_path)
    with pytest.raises(OutputExistsError, match="which needs no more parts"):
        ann2neo.record(dense, x, part=(1, 3), **arguments)
    assert not list(tmp_path.glob("part-*-of-00003"))


def test_parts_of_a_stateful_network_are_refused(tmp_path):
    """Its state after a batch depends on the batches before."""
    model = keras.Sequential(
        [
            keras.Input(batch_shape=(3, 7, 4)),
            keras.layers.LSTM(5, stateful=True, name="hidden"),
            keras.layers.Dense(2),
        ]
    )
    with pytest.raises(InputValueError, match="carries a state from batch to batch"):
        ann2neo.record(model, samples(7, 4), seed=0, out=tmp_path, part=(1, 3))
