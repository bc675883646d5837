"""Mistakes of users and the error messages they get, in one table."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import quantities as pq
from keras import layers as kl

import ann2neo
from ann2neo.errors import InputTypeError, InputValueError, LayerError
from ann2neo.probe.keras.model_files import load_model

X = np.random.default_rng(0).normal(size=(20, 4)).astype("float32")


@pytest.fixture(scope="module")
def model() -> Any:
    """A small network with a hidden layer, and a layer that never runs."""
    entry = keras.Input((4,))
    model = keras.Model(
        entry, kl.Dense(3, name="scores")(kl.Dense(6, "tanh", name="hidden")(entry))
    )
    model.never = kl.Dense(2, name="never")
    return model


def _ends_early() -> Iterator[Any]:
    yield X[:8]


def _odd_batches() -> Iterator[Any]:
    yield X[:8], np.zeros(7, int)


Mistake = tuple[dict[str, Any], type[Exception], str]
MISTAKES: dict[str, Mistake] = {
    "unknown layer": (
        {"layers": "hiden"},
        LayerError,
        r"unknown layer 'hiden'.*'hidden', 'scores'",
    ),
    "glob of nothing": (
        {"layers": "conv*"},
        LayerError,
        r"unknown layer 'conv\*'.*'hidden'",
    ),
    "foreign layer": (
        {"layers": kl.Dense(3, name="mine")},
        LayerError,
        r"'mine' is not part of this model.*'hidden'",
    ),
    "no layer": (
        {"layers": []},
        LayerError,
        r"chooses no layer; the model has 'hidden'",
    ),
    "predicate of nothing": (
        {"layers": lambda _: False},
        LayerError,
        r"chooses no layer",
    ),
    "layer number": (
        {"layers": 1},
        InputTypeError,
        r"layers must be layers, names.*got 1 \(int\)",
    ),
    "layer that never ran": (
        {"layers": "never"},
        LayerError,
        r"'never'.*never ran.*choose a layer that the model calls",
    ),
    "empty data": (
        {"x": X[:0]},
        InputValueError,
        r"no stimuli to show.*\(0, 4\).*at least one",
    ),
    "no data": ({"x": None}, InputTypeError, r"stimuli must be arrays.*NoneType"),
    "single numbers": (
        {"x": [1.0, 2.0]},
        InputValueError,
        r"cannot be run on a batch of float32 \(2,\)",
    ),
    "another shape": (
        {"x": X[:, :3]},
        InputValueError,
        r"cannot be run on a batch of float32 \(8, 3\).*input_shape",
    ),
    "too many inputs": (
        {"x": [X, X]},
        InputValueError,
        r"cannot be run on a batch.*; check the stimuli",
    ),
    "inputs of two lengths": (
        {"x": [X, X[:3]]},
        InputValueError,
        r"same number of samples, got \[20, 3\]",
    ),
    "text": ({"x": np.array(["a"] * 20)}, InputValueError, r"cannot be run on a batch"),
    "labels of another length": (
        {"labels": [0, 1]},
        InputValueError,
        r"one entry per sample, 20, got 2",
    ),
    "labels that are no classes": (
        {"labels": np.linspace(0, 1, 20)},
        InputValueError,
        r"labels must be.*float64",
    ),
    "labels of many columns": (
        {"labels": np.ones((20, 2))},
        InputValueError,
        r"labels must be one integer or string",
    ),
    "predictions of words": (
        {"labels": ["a"] * 20, "predictions": True},
        InputValueError,
        r"predictions are class numbers.*labels as integers",
    ),
    "threshold for another layer": (
        {"threshold": {"other": 1.0}},
        InputValueError,
        r"names 'other', which is not rec",
    ),
    "threshold of the wrong shape": (
        {"threshold": np.zeros(5)},
        InputValueError,
        r"shape \(6,\).*got shape \(5,\)",
    ),
    "threshold without a number": (
        {"threshold": "high"},
        InputValueError,
        r"'quantile:q'.*got 'high'",
    ),
    "quantile above one": (
        {"threshold": "quantile:90"},
        InputValueError,
        r"q from 0 to 1.*'quantile:90'",
    ),
    "threshold that is not finite": (
        {"threshold": np.nan},
        InputValueError,
        r"threshold of 'hidden' must be finite",
    ),
    "threshold of objects": (
        {"threshold": {"hidden": object()}},
        InputTypeError,
        r"threshold of 'hidden' must be a num",
    ),
    "thresholds for fewer layers": (
        {"layers": ["hidden", "scores"], "threshold": [0.0]},
        InputValueError,
        r"lists 1 values for 2 layers",
    ),
    "a period without a unit": (
        {"sampling_period": 1.0},
        InputTypeError,
        r"sampling_period must be a positive time",
    ),
    "a period that is no time": (
        {"sampling_period": 1 * pq.mV},
        InputTypeError,
        r"mV is not a unit of time",
    ),
    "a period of nothing": (
        {"sampling_period": 0 * pq.ms},
        InputValueError,
        r"sampling_period.*positive.*0",
    ),
    "a start that is no time": (
        {"t_start": 3},
        InputTypeError,
        r"t_start must be a time",
    ),
    "seed that is a word": (
        {"seed": "7"},
        InputTypeError,
        r"seed must be a whole number, got '7' \(str\); pass None to draw one",
    ),
    "seed below zero": (
        {"seed": -1},
        InputValueError,
        r"seed must be at least 0, got -1",
    ),
    "seed that no file keeps": (
        {"seed": 2**63},
        InputValueError,
        r"seed must be at most 9223372036854775807, got 9223372036854775808",
    ),
    "batches of half a sample": (
        {"batch_size": 2.5},
        InputTypeError,
        r"batch_size must be a whole number, got 2.5 \(float\)",
    ),
    "batches of nothing": (
        {"batch_size": 0},
        InputValueError,
        r"batch_size must be at least 1, got 0",
    ),
    "no repeats": (
        {"n_repeats": 0},
        InputValueError,
        r"n_repeats must be at least 1, got 0",
    ),
    "no samples": (
        {"x": _ends_early, "n_samples": 0},
        InputValueError,
        r"n_samples must be at least 1, got 0",
    ),
    "samples of arrays": (
        {"n_samples": 5},
        InputValueError,
        r"n_samples=5 is for data that comes in batches.*x\[:5\]",
    ),
    "shuffling a generator": (
        {"x": _ends_early, "shuffle": True},
        InputValueError,
        r"cannot shuffle.*leave shuffle out.*arrays",
    ),
    "a generator that ends early": (
        {"x": _ends_early, "n_samples": 20},
        InputValueError,
        r"ended after 8 of 20 samples; pass n_samples=8",
    ),
    "an empty generator": (
        {"x": lambda: iter(())},
        InputValueError,
        r"no stimuli to show",
    ),
    "labels beside a batch": (
        {"x": _odd_batches},
        InputValueError,
        r"batch of 8 samples came with 7 labels",
    ),
    "repeating a generator": (
        {"x": _ends_early, "n_repeats": 2},
        InputValueError,
        r"iterator can be read only once",
    ),
    "quantiles of a generator": (
        {"x": _ends_early, "threshold": "quantile:0.5"},
        InputValueError,
        r"quantile.*first pass",
    ),
    "more units than there are": (
        {"units": 7},
        InputValueError,
        r"asks for 7 of the 6 units of 'hidden'",
    ),
    "units of another layer": (
        {"units": {"scores": 1}},
        InputValueError,
        r"names the layer 'scores', which is not rec",
    ),
    "units by no column": (
        {"units": {"hidden": {"colour": 1}}},
        InputValueError,
        r"'colour', which is no column",
    ),
    "no unit left": (
        {"units": lambda table: table["channel"] > 5},
        InputValueError,
        r"units chooses no unit",
    ),
    "a mask of another length": (
        {"units": lambda _: np.ones(3, bool)},
        InputValueError,
        r"mask of 6 units",
    ),
    "units by a word": (
        {"units": "some"},
        InputTypeError,
        r"units must be a number, a mapping.*'some'",
    ),
    "a folder for data of unknown length": (
        {"x": _ends_early, "out": "somewhere"},
        InputValueError,
        r"out= needs to know how many samples.*n_samples",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_explained(
    name: str, model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong argument is an error of the right kind that names value, rule and remedy,
    and leaves no file behind.
    """
    monkeypatch.chdir(tmp_path)
    arguments, kind, words = MISTAKES[name]
    arguments = {"x": X, "layers": "hidden", **arguments}
    stimuli = arguments.pop("x")
    if callable(stimuli):
        stimuli, arguments["shuffle"] = stimuli(), arguments.get("shuffle", False)
    with pytest.raises(kind, match=words):
        ann2neo.record(model, stimuli, **arguments)
    assert not list(tmp_path.iterdir())


def _two_heads() -> Any:
    entry = keras.Input((4,))
    left, right = kl.Dense(3, name="left")(entry), kl.Dense(3, name="right")(entry)
    return keras.Model(entry, [kl.Dense(2)(left), kl.Dense(2)(right)])


def _one_name() -> Any:
    inner = [
        keras.Sequential([keras.Input((4,)), kl.Dense(4, name="same")], name=name)
        for name in "ab"
    ]
    return keras.Sequential([keras.Input((4,)), *inner])


MODELS: dict[str, tuple[Callable[[], Any], dict[str, Any], type[Exception], str]] = {
    "not a model": (
        lambda: "model.keras",
        {},
        InputTypeError,
        r"model must be a keras.Model or a torch.nn.Module, got str",
    ),
    "without weights": (
        lambda: keras.Sequential([kl.Dense(3)]),
        {},
        InputValueError,
        r"no weights yet.*call it once on a batch, model\(x\[:1\]\)",
    ),
    "ambiguous name": (
        _one_name,
        {"layers": "same"},
        LayerError,
        r"'same' is ambiguous: it means any of 'a/same', 'b/s",
    ),
    "two last hidden layers": (
        _two_heads,
        {},
        LayerError,
        r"ambiguous.*2 hidden layers.*candidates are .*'left'",
    ),
    "no hidden layer": (
        lambda: keras.Sequential([keras.Input((4,)), kl.Dense(3, name="only")]),
        {},
        LayerError,
        r"no hidden layer.*'only'.*layers='only'",
    ),
    "predictions of no classes": (
        lambda: keras.Sequential(
            [keras.Input((4,)), kl.Dense(3), kl.Reshape((3, 1)), kl.Conv1D(2, 1)]
        ),
        {"layers": "dense*", "predictions": True},
        InputValueError,
        r"neither one score per class.*nor a single sigmoid",
    ),
    "batches of another size": (
        lambda: keras.Sequential(
            [keras.Input(batch_shape=(8, 4)), kl.Dense(3, name="fixed"), kl.Dense(2)]
        ),
        {},
        InputValueError,
        r"takes batches of 8 only, and 20 samples do not divide; show 16",
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_models_that_cannot_be_recorded_are_explained(name: str) -> None:
    """A model that does not fit is an error that says which rule it breaks, and what to
    do.
    """
    build, arguments, kind, words = MODELS[name]
    with pytest.raises(kind, match=words):
        ann2neo.record(build(), X, **arguments)


class _OwnError(Exception):
    """An exception that ann2neo does not know."""


@pytest.mark.parametrize(
    "own",
    [
        _OwnError("my words"),
        ValueError("my words"),
        OSError(errno.ENOSPC, "my words"),
        PermissionError(errno.EACCES, "my words"),
        KeyboardInterrupt("my words"),
    ],
    ids=repr,
)
@pytest.mark.parametrize("n_batches", [0, 2])
@pytest.mark.parametrize("in_folder", [False, True])
def test_an_exception_of_the_users_own_data_stays_as_it_is(
    model: Any, tmp_path: Path, own: BaseException, n_batches: int, in_folder: bool
) -> None:
    """What a generator of stimuli raises is raised, not an error about the output."""

    def batches() -> Iterator[Any]:
        for _ in range(n_batches):
            yield X[:8]
        raise own

    out = tmp_path / "recording" if in_folder else None
    with pytest.raises(type(own)) as caught:
        ann2neo.record(model, batches(), out=out, n_samples=100, shuffle=False)
    assert caught.value is own


def test_model_files_are_refused_with_their_reason(tmp_path: Path) -> None:
    """A file that is not a model, one with code and a missing one are told apart; code
    is loaded only when allowed.
    """
    with pytest.raises(InputValueError, match=r"there is no file .*none\.keras"):
        load_model(tmp_path / "none.keras")
    (tmp_path / "text.keras").write_text("not a model")
    with pytest.raises(
        ann2neo.FileFormatError,
        match=r"text\.keras is not a \.keras file; save the network with",
    ):
        load_model(tmp_path / "text.keras")
    with pytest.raises(ann2neo.FileFormatError, match=r"is not a \.keras file"):
        load_model(tmp_path)
    path = tmp_path / "code.keras"
    keras.Sequential([keras.Input((4,)), kl.Lambda(lambda x: 2 * x), kl.Dense(2)]).save(
        path
    )
    with pytest.raises(
        ann2neo.FileFormatError, match=r"contains Python code.*unsafe=True \(--unsafe"
    ):
        load_model(path)
    assert load_model(path, unsafe=True).input_shape == (None, 4)


def test_a_custom_layer_in_a_file_is_named(tmp_path: Path) -> None:
    """A file whose layers are defined elsewhere is refused with the name of the missing
    class.
    """

    class Elsewhere(kl.Layer):
        def call(self, x: Any) -> Any:
            return x

    path = tmp_path / "custom.keras"
    keras.Sequential([keras.Input((4,)), Elsewhere()]).save(path)
    with pytest.raises(
        ann2neo.FileFormatError,
        match=r"Could not locate class 'Elsewhere'.*load it there",
    ):
        load_model(path)
