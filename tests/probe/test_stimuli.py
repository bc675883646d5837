"""Stimuli and labels of every kind: each works, or is refused in one sentence that says
what to do.
"""

from __future__ import annotations

import itertools
import threading
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import tensorflow as tf
import xarray
import zarr
from keras import layers as kl

import ann2neo
from ann2neo.errors import (
    ActivationError,
    Ann2NeoError,
    InputTypeError,
    InputValueError,
    LayerError,
)
from ann2neo.probe import stimuli

N = 64
X = np.random.default_rng(0).normal(size=(N, 6)).astype("float32")
Y = np.arange(N) % 3
NAMES = np.array(["ant", "bee", "cat"])[Y]


@pytest.fixture(scope="module")
def model() -> Any:
    """A small network of one input."""
    keras.utils.set_random_seed(0)
    entry = keras.Input((6,), name="image")
    hidden = kl.Dense(8, "relu", name="hidden")(entry)
    return keras.Model(entry, kl.Dense(3, "softmax", name="scores")(hidden))


@pytest.fixture(scope="module")
def expected(model: Any) -> ann2neo.Recording:
    """The recording of the stimuli as an array."""
    return _record(model, X)


def _record(model: Any, x: Any, **arguments: Any) -> ann2neo.Recording:
    settings = {"layers": "hidden", "seed": 0, "shuffle": False, **arguments}
    return ann2neo.record(model, x, **settings)


def _hdf5(folder: Path, values: Any) -> Any:
    file = h5py.File(folder / "file.h5", "w")
    file["x"] = values
    return file["x"]


def _zarr(folder: Path) -> Any:
    array = zarr.open(
        str(folder / "x.zarr"), mode="w", shape=X.shape, chunks=(5, 6), dtype="f4"
    )
    array[:] = X
    return array


class _WithoutLength:
    """Reads by one slice or one array of rows, and has no len(), as zarr 3."""

    shape, dtype, ndim = X.shape, X.dtype, 2

    def __getitem__(self, key: Any) -> Any:
        return X[key]


def test_only_plain_arrays_are_read_in_another_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An array with code of its own is read in the thread of the caller, one of NumPy
    ahead of the network in another; both give the same recording.
    """
    readers: list[str] = []
    rows_of = stimuli._rows_of

    def telling(leaf: Any, rows: Any) -> Any:
        readers.append(threading.current_thread().name)
        return rows_of(leaf, rows)

    monkeypatch.setattr(stimuli, "_rows_of", telling)
    model = keras.Sequential([keras.Input((6,)), kl.Dense(4, "relu"), kl.Dense(2)])
    probe = ann2neo.Probe(model)
    own = probe.record(_WithoutLength(), seed=0, batch_size=16)
    assert set(readers) == {threading.current_thread().name}
    plain = probe.record(X, seed=0, batch_size=16)
    assert sum(name.startswith("ann2neo-packing") for name in readers) == 4
    assert own.raster.equals(plain.raster)


def test_the_first_of_two_mistakes_is_told() -> None:
    """The error of a batch comes before that of the next one, which is read ahead."""
    model = keras.Sequential([keras.Input((6,)), kl.Dense(4, "relu"), kl.Dense(2)])
    x = X.copy()
    x[20] = np.nan
    with pytest.raises(ActivationError, match="stimulus of presentation 20"):
        ann2neo.record(model, x, shuffle=False, batch_size=16)
    x[3] = 3e38
    model.layers[0].kernel.assign(np.full((6, 4), 3e38))
    # Which of the two it is depends on the order in which a backend adds.
    with pytest.raises(ActivationError, match=r"gave (inf|nan) at presentation \d,"):
        ann2neo.record(model, x, shuffle=False, batch_size=16)


def _mixed_table() -> pd.DataFrame:
    table = pd.DataFrame(X, columns=list("abcdef"))
    return table.assign(a=table["a"].astype("float64"), f=table["f"].astype(object))


class _Batches(keras.utils.PyDataset):
    """Four batches, with a length or without one."""

    def __getitem__(self, number: int) -> Any:
        if number >= 4:
            raise IndexError
        return X[16 * number :][:16], Y[16 * number :][:16]


class _Sized(_Batches):
    def __len__(self) -> int:
        return 4


KINDS: dict[str, Callable[[Path], Any]] = {
    "sparse matrix": lambda _: scipy.sparse.csr_matrix(X),
    "sparse array by columns": lambda _: scipy.sparse.csc_array(X),
    "sparse coordinates": lambda _: scipy.sparse.coo_array(X),
    "HDF5": lambda folder: _hdf5(folder, X),
    "zarr": _zarr,
    "an array on disk without length": lambda _: _WithoutLength(),
    "table of several types": lambda _: _mixed_table(),
    "xarray": lambda _: xarray.DataArray(X, dims=["sample", "feature"]),
    "list of samples": lambda _: list(X),
    "tuple of one array": lambda _: (X,),
    "dict by input": lambda _: {"image": X},
    "tensor": lambda _: tf.constant(X),
    "array of objects": lambda _: X.astype(object),
}


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("shuffle", [False, True])
def test_every_kind_of_array_is_the_same_recording(
    name: str, shuffle: bool, model: Any, expected: Any, tmp_path: Path
) -> None:
    """Whatever holds the stimuli, the spikes are those of the plain array."""
    found = _record(model, KINDS[name](tmp_path), shuffle=shuffle)
    assert found.in_stimulus_order().raster.equals(expected.raster)


def _data(*parts: Any) -> Any:
    return tf.data.Dataset.from_tensor_slices(parts if len(parts) > 1 else parts[0])


WITH_LABELS: dict[str, Callable[[Path], tuple[Any, dict[str, Any]]]] = {
    "tuple": lambda _: ((X, Y), {}),
    "tuple with weights": lambda _: ((X, Y, np.ones(N)), {}),
    "tuple and the same labels": lambda _: ((X, Y), {"labels": Y}),
    "tf.data": lambda _: (_data(X, Y).batch(16), {}),
    "tf.data and the same labels": lambda _: (_data(X, Y).batch(16), {"labels": Y}),
    "PyDataset": lambda _: (_Sized(workers=2), {}),
    "PyDataset without length": lambda _: (_Batches(), {"n_samples": N}),
    "one output's labels": lambda _: (iter([(X, {"scores": Y})]), {}),
    "labels in HDF5": lambda folder: (X, {"labels": _hdf5(folder, Y)}),
    "labels in a table": lambda _: (X, {"labels": pd.DataFrame({"class": Y})}),
    "endless tf.data": lambda _: (_data(X, Y).repeat().batch(16), {"n_samples": N}),
}


@pytest.mark.parametrize("name", WITH_LABELS)
def test_labels_are_kept_whatever_they_come_with(
    name: str, model: Any, expected: Any, tmp_path: Path
) -> None:
    """Labels beside the stimuli, in their batches or in a file are those of the
    presentations.
    """
    x, arguments = WITH_LABELS[name](tmp_path)
    found = _record(model, x, **arguments)
    assert found.raster.equals(expected.raster)
    assert found.presentations["label"].tolist() == Y.tolist()


@pytest.mark.parametrize("stored", [NAMES.astype("S"), NAMES.astype(object)])
def test_labels_of_text_on_disk_are_text(
    stored: Any, model: Any, tmp_path: Path
) -> None:
    """HDF5 gives text as bytes; the labels are the text, in any order."""
    labels = _hdf5(tmp_path, stored)
    found = _record(model, X, labels=labels, shuffle=True).in_stimulus_order()
    assert found.presentations["label"].tolist() == NAMES.tolist()


@pytest.mark.parametrize("labels", [Y, NAMES], ids=["numbers", "names"])
@pytest.mark.parametrize("kind", ["batches", "arrays"])
def test_labels_that_contradict_those_of_the_data_are_refused(
    labels: Any, kind: str, model: Any
) -> None:
    """Labels given beside the data's own must say the same at every presentation; names
    may stand for numbers, one for each.
    """
    order = np.random.default_rng(1).permutation(N)
    x: Any = (X[order], Y[order])
    agreeing = _record(model, x, labels=labels[order])
    assert agreeing.presentations["label"].tolist() == labels[order].tolist()
    if kind == "batches":
        x = _data(*x).batch(16)
    words = r"labels= says .* at presentation \d+, and the label that comes with"
    with pytest.raises(InputValueError, match=words):
        _record(model, x, labels=labels)


def test_targets_that_are_no_classes_are_left_out_and_said(
    model: Any, expected: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Numbers to regress on are no labels; the log says once that they are left out."""
    with caplog.at_level("INFO", "ann2neo"):
        found = _record(model, iter([(X[:32], X[:32, 0]), (X[32:], X[32:, 0])]))
    assert "label" not in found.presentations
    assert found.raster.equals(expected.raster)
    said = [r for r in caplog.messages if "is no class of each, and is left out" in r]
    assert len(said) == 1


def _strings(n: int) -> list[str]:
    return [f"picture_{i}.png" for i in range(n)]


def test_own_columns_go_through_every_file(model: Any, tmp_path: Path) -> None:
    """A name of each stimulus and columns of one's own stand in the presentations, with
    the stimuli they belong to, and in NWB files and Neo objects made of them.
    """
    own = pd.DataFrame({"file": _strings(N), "size": X[:, 0].astype("float64")})
    ids = [f"s{i:02d}" for i in range(N)]
    found = _record(
        model, X, shuffle=True, stimulus_id=ids, presentations=own, n_repeats=2
    )
    back = ann2neo.read_nwb(ann2neo.write_nwb(found, tmp_path / "own.nwb"))
    again = ann2neo.from_neo(ann2neo.to_neo(found))
    plain = _record(model, X, shuffle=True, n_repeats=2)
    places = plain.presentations["stimulus_id"].to_numpy()
    for recording in (found, back, again):
        table = recording.presentations
        assert table["file"].tolist() == own["file"].iloc[places].tolist()
        assert table["size"].tolist() == own["size"].iloc[places].tolist()
        assert table["stimulus_id"].tolist() == [ids[i] for i in places]
    ordered = found.in_stimulus_order().presentations
    assert ordered["file"].tolist() == 2 * own["file"].tolist()


_IDS: dict[str, Any] = {
    "file names": [f"{name}.png" for name in reversed(range(N))],
    "a permutation": np.random.default_rng(5).permutation(N),
    "numbers of a larger set": 1000 + np.arange(N)[::-1],
    "the same twice": np.arange(N) // 2,
}


@pytest.mark.parametrize(
    "kind",
    [
        "file names",
        *(pytest.param(name, marks=pytest.mark.slow) for name in list(_IDS)[1:]),
    ],
)
def test_own_ids_are_never_taken_for_places(
    model: Any, tmp_path: Path, kind: str
) -> None:
    """Whatever the user calls the stimuli, an NWB file shows those that were shown, and
    the order that is undone is that of the data; through a folder, Neo and NWB too.
    """
    made = _record(
        model,
        X,
        shuffle=True,
        stimulus_id=_IDS[kind],
        labels=np.arange(N),
        out=tmp_path / "folder",
    )
    copies = [
        made,
        ann2neo.Recording.open(tmp_path / "folder"),
        ann2neo.from_neo(ann2neo.to_neo(made)),
        ann2neo.read_nwb(ann2neo.write_nwb(made, tmp_path / "plain.nwb")),
        made.select(label=[1, 3, 4]),
    ]
    for number, recording in enumerate(copies):
        path = ann2neo.write_nwb(recording, tmp_path / f"{number}.nwb", stimuli=X)
        shown = recording.presentations["label"].to_numpy()
        with h5py.File(path) as file:
            stored = file["stimulus/presentation/stimuli_recording/data"][()]
        np.testing.assert_array_equal(stored, X[shown])
        ids = np.asarray(_IDS[kind])[shown]
        assert recording.presentations["stimulus_id"].tolist() == ids.tolist()
        ordered = recording.in_stimulus_order().presentations["label"].tolist()
        assert ordered == sorted(shown.tolist())


def test_own_columns_belong_to_an_unfinished_recording(
    model: Any, tmp_path: Path
) -> None:
    """A folder keeps own columns, and they are part of what a recording is."""
    columns = {"file": _strings(N)}
    made = _record(model, X, presentations=columns, out=tmp_path / "rec")
    opened = ann2neo.Recording.open(tmp_path / "rec")
    assert opened.equals(made)
    assert opened.presentations["file"].tolist() == columns["file"]


def _generator() -> Any:
    yield X


_HUGGING_FACE = types.SimpleNamespace(
    with_format=None, column_names=["image", "label"], shape=(N, 2)
)

Mistake = tuple[Any, dict[str, Any], type[Ann2NeoError], str]
MISTAKES: dict[str, Mistake] = {
    "two arrays for one input": (
        [X, Y],
        {},
        InputValueError,
        r"takes 1 inputs, and the list holds 2 .*\(64, 6\), \(64,\).*labels as labels=",
    ),
    "samples of several lengths": (
        [X[i, : 1 + i % 5] for i in range(N)],
        {},
        InputValueError,
        r"same number of samples, got \[1, 2, 3, 4, 5, 1, \.\.\.\].*padded",
    ),
    "lists of several lengths": (
        [[1.0, 2.0], [3.0]],
        {},
        InputValueError,
        r"differ in shape; pad them",
    ),
    "a table with text": (
        pd.DataFrame({"a": X[:, 0], "b": NAMES}),
        {},
        InputTypeError,
        r"numbers or text, and among these is a str, 'ant'; leave it out",
    ),
    "an entry that is no input": (
        {"image": X, "label": Y},
        {},
        InputValueError,
        r"an entry 'label', and the inputs of .* are 'image'.*labels as labels=",
    ),
    "batches with an entry that is no input": (
        _data({"picture": X, "label": Y}).batch(8),
        {},
        InputValueError,
        r"an entry '\w+', and the inputs of .* are 'image'",
    ),
    "a function": (
        _generator,
        {},
        InputTypeError,
        r"got the function _generator; call it, _generator\(\)",
    ),
    "a Hugging Face data set": (
        _HUGGING_FACE,
        {},
        InputTypeError,
        r"columns, here 'image', 'label'.*with_format\('numpy'\)\['image'\]",
    ),
    "a ragged tensor": (
        tf.ragged.constant([[1.0, 2.0], [3.0]]),
        {},
        InputTypeError,
        r"got a RaggedTensor; convert it, .*to_tensor\(\)",
    ),
    "a sparse tensor": (
        tf.sparse.from_dense(X),
        {},
        InputTypeError,
        r"got a SparseTensor; convert it, with tf.sparse.to_dense",
    ),
    "samples instead of batches": (
        _data(X, Y),
        {},
        InputValueError,
        r"seems to be a single sample; show batches",
    ),
    "samples without labels": (
        _data(X),
        {},
        InputValueError,
        r"seem to be single samples: show batches",
    ),
    "tf.data for ever": (
        _data(X, Y).repeat().batch(8),
        {},
        InputValueError,
        r"never end.*pass n_samples",
    ),
    "a cycle": (itertools.cycle([X]), {}, InputValueError, r"never end"),
    "a PyDataset without length": (_Batches(), {}, InputValueError, r"never end"),
    "labels by output": (
        iter([(X, {"a": Y, "b": Y})]),
        {},
        InputValueError,
        r"2 sets of labels, 'a', 'b', and a presentation has one",
    ),
    "labels in a list by output": (
        iter([(X, [Y, Y])]),
        {},
        InputValueError,
        r"2 sets of labels, and a presentation has one",
    ),
    "one label": (X, {"labels": 5}, InputValueError, r"one integer or string per samp"),
    "labels that are missing": (
        X,
        {"labels": [None] * N},
        InputTypeError,
        r"'label' of presentations must hold strings.*found None",
    ),
    "labels that end early": (
        iter([X]),
        {"labels": Y[:20]},
        InputValueError,
        r"labels must have one entry per sample, got 20, and there are more",
    ),
    "a column of another length": (
        X,
        {"presentations": {"file": ["a"]}},
        InputValueError,
        r"column 'file' of the presentations must have one entry per sample.*\(1,\)",
    ),
    "a column of ann2neo's": (
        X,
        {"presentations": {"phase": ["a"] * N}},
        InputValueError,
        r"'phase', which ann2neo fills in itself; give it another name",
    ),
    "labels as a column": (
        X,
        {"presentations": {"label": Y}},
        InputValueError,
        r"'label'.*pass it as labels=",
    ),
    "a column of objects": (
        X,
        {"presentations": {"p": [object()] * N}},
        InputTypeError,
        r"'p' of presentations must hold strings",
    ),
    "a column that is none": (
        X,
        {"presentations": ["a"] * N},
        InputTypeError,
        r"presentations must be a table or a mapping.*got list",
    ),
    "names of another length": (
        X,
        {"stimulus_id": [1, 2]},
        InputValueError,
        r"'stimulus_id' of the presentations must have one entry per sample",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_data_that_does_not_fit_is_explained(name: str, model: Any) -> None:
    """What cannot be shown is refused in few words, with what to do."""
    x, arguments, kind, words = MISTAKES[name]
    with pytest.raises(kind, match=words) as caught:
        _record(model, x, **arguments)
    assert len(str(caught.value).splitlines()) <= 10
    assert len(str(caught.value)) < 1000


def test_layers_may_be_all_layers_of_a_model(model: Any) -> None:
    """``model.layers`` holds the input, too, which is left out; alone it is refused."""
    recording = _record(model, X, layers=model.layers)
    assert recording.units["layer"].unique().tolist() == ["hidden", "scores"]
    with pytest.raises(LayerError, match=r"'image' is an input.*'hidden', 'scores'"):
        _record(model, X, layers=model.layers[0])


def test_a_large_model_is_not_listed_whole() -> None:
    """Of many layers, a wrong name brings up those like it, and how many there are."""
    parts = [kl.Dense(2, name=f"block_{i}") for i in range(300)]
    model = keras.Sequential([keras.Input((6,)), *parts])
    with pytest.raises(LayerError, match=r"has 'block_77', .* and 280 more$") as caught:
        _record(model, X, layers="block77")
    assert len(str(caught.value)) < 500


def test_a_model_of_keras_2_is_named() -> None:
    """A model of tf_keras is refused as what it is."""
    kind = type("Functional", (), {"__module__": "tf_keras.src.engine.functional"})
    with pytest.raises(InputTypeError, match=r"model of tf_keras, which is Keras 2"):
        ann2neo.record(kind(), X)


def test_a_probe_says_what_it_records(model: Any) -> None:
    """The repr of a Probe names model, layers and threshold."""
    last = ann2neo.Probe(model)
    assert repr(last) == (
        f"Probe({model.name!r}: the last hidden layer, threshold 0.0)"
    )
    last.record(X, seed=0)
    assert repr(last) == f"Probe({model.name!r}: 'hidden', threshold 0.0)"
    several = ann2neo.Probe(model, model.layers, "quantile:0.5")
    assert repr(several) == (
        f"Probe({model.name!r}: 'hidden', 'scores', threshold 'quantile:0.5')"
    )
