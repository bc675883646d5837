"""Operations between layers, and single outputs of layers, of functional models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers as kl

import ann2neo
from ann2neo import Probe
from ann2neo.errors import InputValueError, LayerError

X = np.random.default_rng(0).normal(size=(24, 6)).astype(np.float32)


def _summed() -> tuple[Any, dict[str, Any]]:
    """A functional model with operations, and its symbolic tensors."""
    keras.utils.set_random_seed(1)
    entry = keras.Input((6,))
    a = kl.Dense(4, name="a")(entry)
    b = kl.Dense(4, name="b")(entry)
    total = a + b
    rectified = keras.ops.relu(total - 0.1)
    model = keras.Model(entry, kl.Dense(3, name="out")(rectified))
    return model, {"entry": entry, "a": a, "sum": total, "relu": rectified}


def _name(tensor: Any) -> str:
    """Name of what made a symbolic tensor; Keras numbers operations as it goes."""
    return str(tensor._keras_history.operation.name)


def _expected(model: Any, *tensors: Any, x: Any = X) -> np.ndarray:
    """Compute which units are above 0, one row per unit, with another model."""
    outputs = keras.tree.flatten(keras.Model(model.inputs[0], list(tensors))(x))
    arrays = [keras.ops.convert_to_numpy(output) for output in outputs]
    return np.concatenate([a.reshape(len(a), -1) for a in arrays], axis=1).T > 0


@pytest.mark.parametrize("eager", [False, True])
@pytest.mark.parametrize("by_name", [False, True])
def test_operations_are_recorded_by_tensor_and_by_name(
    by_name: bool, eager: bool
) -> None:
    """A sum and a ReLU between layers spike where another model says so, in the order
    asked, beside a layer; units tell operation and class, and thresholds pair.
    """
    model, tensors = _summed()
    chosen = [tensors["relu"], "a", tensors["sum"]]
    names = [_name(tensors["relu"]), "a", _name(tensors["sum"])]
    recording = ann2neo.record(
        model, X, layers=names if by_name else chosen, shuffle=False, eager=eager
    )
    expected = _expected(model, tensors["relu"], tensors["a"], tensors["sum"])
    np.testing.assert_array_equal(recording.raster.to_dense(), expected)
    units = recording.units
    assert list(dict.fromkeys(units["layer"])) == names
    assert units["layer_type"].drop_duplicates().tolist() == ["Relu", "Dense", "Add"]
    assert units.duplicated(["layer", "unit_in_layer"]).sum() == 0
    assert recording.provenance["layers"] == ", ".join(names)
    limits = ann2neo.record(model, X, layers=chosen, threshold=[0.5, 0.1, 0.2])
    by_layer = limits.units.groupby("layer")["threshold"].first().to_dict()
    assert by_layer == dict(zip(names, [0.5, 0.1, 0.2], strict=True))


def _nested() -> tuple[Any, Any]:
    """A model that calls another one, with an operation inside, twice."""
    keras.utils.set_random_seed(2)
    inside = keras.Input((6,))
    doubled = kl.Dense(6, name="deep")(inside) * 2.0
    inner = keras.Model(inside, keras.ops.tanh(doubled), name="inner")
    entry = keras.Input((6,))
    model = keras.Model(entry, kl.Dense(2)(inner(inner(entry))))
    return model, doubled


def test_an_operation_in_a_model_that_is_called_twice_has_two_calls() -> None:
    """Each call of the inner model gives the operation's units once more."""
    model, doubled = _nested()
    recording = ann2neo.record(model, X, layers=doubled, shuffle=False)
    assert recording.units["call_index"].tolist() == [0] * 6 + [1] * 6
    inner = model.get_layer("inner")
    deep = inner.get_layer("deep")
    calls = [deep(X), deep(inner(X))]
    expected = np.concatenate([keras.ops.convert_to_numpy(c).T > 0 for c in calls])
    np.testing.assert_array_equal(recording.raster.to_dense(), expected)


def test_a_tensor_chooses_one_call_and_one_output() -> None:
    """Of a shared layer, and of a layer that returns its state too, a tensor chooses
    one output, in the order asked, with a threshold of its own.
    """
    entry = keras.Input((6,))
    shared = kl.Dense(6, name="shared")
    first = shared(entry)
    second = shared(first)
    steps, *states = kl.LSTM(3, return_sequences=True, return_state=True, name="lstm")(
        kl.Reshape((3, 2))(second)
    )
    model = keras.Model(entry, kl.Dense(2)(states[1] + kl.Flatten()(steps)[:, :3]))
    asked = [second, states[1], first]
    recording = ann2neo.record(
        model, X, layers=asked, threshold=[0.0, 0.0, 0.0], shuffle=False
    )
    np.testing.assert_array_equal(recording.raster.to_dense(), _expected(model, *asked))
    places = recording.units[["layer", "call_index", "output_index"]]
    assert places.drop_duplicates().to_numpy().tolist() == [
        ["shared", 1, 0],
        ["lstm", 0, 2],
        ["shared", 0, 0],
    ]
    assert recording.provenance["layers"] == "shared (call 1), lstm (output 2), shared"
    limits = ann2neo.record(model, X, layers=asked, threshold=[0.1, 0.2, 0.3]).units
    assert limits["threshold"].drop_duplicates().tolist() == [0.1, 0.2, 0.3]
    limits = ann2neo.record(
        model, X, layers=asked, threshold={"shared": 0.1, "lstm": 0.2}
    ).units
    assert limits["threshold"].tolist() == [0.1] * 6 + [0.2] * 3 + [0.1] * 6
    whole = ann2neo.record(model, X, layers=[second, "shared"])
    assert whole.units["call_index"].tolist() == [0] * 6 + [1] * 6


def test_a_tensor_of_a_sequential_model_is_its_layer() -> None:
    """The output of a layer that runs once is that layer."""
    model = keras.Sequential([keras.Input((6,)), kl.Dense(4, name="a"), kl.Dense(2)])
    by_tensor = ann2neo.record(model, X, layers=model.layers[0].output, seed=0)
    by_name = ann2neo.record(model, X, layers="a", seed=0)
    assert by_tensor.equals(by_name, identity=False)


class Again(kl.Layer):
    """Runs a layer of the model around it once more."""

    def __init__(self, part: Any) -> None:
        super().__init__(name="again")
        self.part = part

    def call(self, x: Any) -> Any:
        return self.part(x)


def _other() -> Any:
    entry = keras.Input((6,))
    return keras.ops.relu(kl.Dense(4)(entry))


def _shared_with_inner() -> tuple[Any, Any]:
    shared = kl.Dense(6, name="shared")
    inside = keras.Input((6,))
    inner = keras.Model(inside, shared(inside))
    entry = keras.Input((6,))
    tensor = shared(entry)
    return keras.Model(entry, inner(tensor)), tensor


def _run_once_more() -> tuple[Any, Any]:
    shared = kl.Dense(6, name="shared")
    entry = keras.Input((6,))
    tensor = shared(shared(entry))
    return keras.Model(entry, Again(shared)(tensor)), tensor


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: (_summed()[0], _other()), r"'relu.*' makes is not part of this model"),
        (
            lambda: (_summed()[0], "addd"),
            r"'addd'; the model has 'a', 'b', 'out' and the operations 'add(_\d+)?', '",
        ),
        (_shared_with_inner, r"'shared' runs in several models.*'call_index': "),
        (_run_once_more, r"'shared' ran 3 times, and 2 times in the model"),
    ],
)
def test_tensors_that_mean_nothing_here_are_refused(
    make: Callable[[], Any], words: str
) -> None:
    """A tensor of another model, an unknown name, and a tensor whose call cannot be
    told are refused in one sentence.
    """
    model, layers = make()
    with pytest.raises(LayerError, match=words):
        ann2neo.record(model, X, layers=layers)


def test_an_input_is_no_operation() -> None:
    """The tensor of an input is refused as the stimuli themselves."""
    model, tensors = _summed()
    with pytest.raises(LayerError, match=r"is an input, whose output is the stimuli"):
        ann2neo.record(model, X, layers=tensors["entry"])


@pytest.mark.filterwarnings("ignore::ann2neo.ActivityWarning")
def test_operations_of_one_name_get_the_names_of_their_models() -> None:
    """A layer keeps its name; operations of that name, or of one that two of them
    have, are found by longer ones, and the short one is refused as ambiguous.
    """
    inside = keras.Input((6,))
    tensors = [inside + 1.0, inside - 1.0]
    tensors[0]._keras_history.operation.name = "sum"
    tensors[1]._keras_history.operation.name = "a"
    inner = keras.Model(inside, tensors[0] * tensors[1], name="inner")
    entry = keras.Input((6,))
    outer = kl.Dense(6, name="a")(entry) + 1.0
    outer._keras_history.operation.name = "sum"
    model = keras.Model(entry, inner(outer), name="outer")
    layer = ann2neo.record(model, X, layers="a", shuffle=False)
    assert layer.units["layer_type"].unique().tolist() == ["Dense"]
    asked = [outer, *tensors]
    names = ["outer/sum", "inner/sum", "inner/a"]
    settings: dict[str, Any] = {"shuffle": False, "seed": 0}
    recording = ann2neo.record(model, X, layers=asked, **settings)
    assert recording.units["layer"].drop_duplicates().tolist() == names
    by_name = ann2neo.record(model, X, layers=names, **settings)
    assert recording.equals(by_name, identity=False)
    summed = _expected(model, outer)
    np.testing.assert_array_equal(recording.raster.to_dense()[:6], summed)
    words = r"'sum' is ambiguous: it means any of 'outer/sum', 'inner/sum'"
    with pytest.raises(LayerError, match=words):
        ann2neo.record(model, X, layers="sum")


def test_a_list_of_thresholds_names_the_outputs_asked() -> None:
    """A list that is too short says for what it needs entries."""
    model, tensors = _summed()
    with pytest.raises(InputValueError, match=r"lists 1 values for 2 layers"):
        Probe(model, [tensors["sum"], "a"], threshold=[0.1])


def test_operations_in_a_folder_are_resumed_and_in_files(tmp_path: Path) -> None:
    """A recording of operations goes on where it stopped, and comes back from NWB."""
    model, tensors = _summed()
    chosen = [tensors["relu"], tensors["sum"]]
    settings: dict[str, Any] = {"layers": chosen, "seed": 0, "batch_size": 8}
    plain = ann2neo.record(model, X, **settings)

    class StoppedError(Exception):
        pass

    def batches() -> Any:
        for number, first in enumerate(range(0, 24, 8)):
            if number == 2:
                raise StoppedError
            yield X[first : first + 8]

    folder = tmp_path / "kept"
    stream: dict[str, Any] = {"layers": chosen, "seed": 0, "shuffle": False}
    with pytest.raises(StoppedError):
        ann2neo.record(model, batches(), n_samples=24, out=folder, **stream)
    again = ann2neo.record(
        model,
        (X[first : first + 8] for first in range(0, 24, 8)),
        n_samples=24,
        out=folder,
        **stream,
    )
    assert again.raster.equals(plain.in_stimulus_order().raster)
    ann2neo.write_nwb(plain, tmp_path / "sum.nwb")
    assert ann2neo.read_nwb(tmp_path / "sum.nwb").equals(plain)
