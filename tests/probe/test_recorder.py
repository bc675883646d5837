"""Probe and record: stimuli, order, labels, thresholds, unit choice, repeats, time and
provenance.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
import quantities as pq
from keras import layers as kl

import ann2neo
from ann2neo.probe.adapter import adapter_for
from ann2neo.probe.keras.layers import named_layers
from ann2neo.probe.stimuli import as_stimuli
from ann2neo.probe.thresholds import below_in_float32, limits_by_quantile

N = 44
X = np.random.default_rng(0).normal(size=(N, 6)).astype("float32")
Y = np.arange(N) % 3


@pytest.fixture(scope="module")
def model() -> Any:
    """A small classifier with dropout."""
    keras.utils.set_random_seed(2)
    layers = [
        kl.Dense(8, "tanh", name="hidden"),
        kl.Dropout(0.5),
        kl.Dense(3, "softmax", name="scores"),
    ]
    return keras.Sequential([keras.Input((6,)), *layers])


@pytest.fixture(scope="module")
def expected(model: Any) -> np.ndarray:
    """Activations of the hidden layer, by NumPy."""
    weights, bias = model.get_layer("hidden").get_weights()
    return np.tanh(X @ weights + bias)


class Numbered(keras.utils.PyDataset):
    """Batches by number."""

    def __len__(self) -> int:
        return 1 + N // 10

    def __getitem__(self, number: int) -> Any:
        return X[10 * number : 10 * number + 10], Y[10 * number : 10 * number + 10]


class Loader:
    """A stand-in for torch's DataLoader, which gives lists of tensors."""

    collate_fn = None

    class Tensor:
        def __init__(self, values: np.ndarray) -> None:
            self.values = values

        def detach(self) -> Any:
            return self

        def cpu(self) -> Any:
            return self

        def numpy(self) -> np.ndarray:
            return self.values

    def __iter__(self) -> Iterator[Any]:
        for first in range(0, N, 9):
            yield [self.Tensor(X[first : first + 9]), self.Tensor(Y[first : first + 9])]


class OnDisk:
    """An array that is never read whole, only rows in ascending order, as HDF5
    requires.
    """

    shape, dtype = X.shape, X.dtype

    def __len__(self) -> int:
        return N

    def __getitem__(self, rows: Any) -> np.ndarray:
        if not isinstance(rows, slice):
            assert (np.diff(rows) > 0).all()
        assert len(X[rows]) <= 32
        return X[rows]


def _tf_dataset() -> Any:
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices((X, Y)).batch(7)


INDEXED = {
    "array": lambda: X,
    "double precision": lambda: X.astype("float64"),
    "frame": lambda: pd.DataFrame(X),
    "on disk": OnDisk,
    "list of one input": lambda: [X],
    "nested lists": X.tolist,
}
STREAMED = {
    "tf.data": _tf_dataset,
    "PyDataset": Numbered,
    "loader": Loader,
    "generator of pairs": lambda: (
        (X[i : i + 5], Y[i : i + 5]) for i in range(0, N, 5)
    ),
    "generator of one-hot labels": lambda: (
        (X[i : i + 8], np.eye(3)[Y[i : i + 8]]) for i in range(0, N, 8)
    ),
    "list of pairs": lambda: [(X[:30], Y[:30, None]), (X[30:], Y[30:, None])],
}


@pytest.mark.parametrize("kind", INDEXED)
def test_indexed_stimuli_are_shuffled_and_put_back(
    kind: str, model: Any, expected: np.ndarray
) -> None:
    """Whatever can be indexed is shown in a seeded order, kept as stimulus_id, that
    in_stimulus_order undoes.
    """
    recording = ann2neo.record(
        model, INDEXED[kind](), layers="hidden", labels=Y, seed=7, batch_size=16
    )
    ids = recording.presentations["stimulus_id"].to_numpy()
    assert sorted(ids) == list(range(N))
    assert (ids != np.arange(N)).any()
    assert recording.phases["order"].to_list() == ["random"]
    np.testing.assert_array_equal(recording.raster.to_dense().T, expected[ids] > 0)
    np.testing.assert_array_equal(recording.presentations["label"], Y[ids])
    np.testing.assert_array_equal(
        recording.in_stimulus_order().raster.to_dense().T, expected > 0
    )


@pytest.mark.parametrize("kind", STREAMED)
def test_streamed_stimuli_are_read_once_in_their_order(
    kind: str, model: Any, expected: np.ndarray
) -> None:
    """Whatever comes in batches is recorded as it comes, with the labels that come
    along, whether or not it is said that it cannot be shuffled.
    """
    recording = ann2neo.record(model, STREAMED[kind](), layers="hidden", seed=0)
    told = ann2neo.record(
        model, STREAMED[kind](), layers="hidden", seed=0, shuffle=False
    )
    assert recording.equals(told, identity=False)
    assert recording.provenance["order"] == "unknown"
    assert recording.provenance["batch_size"] == "as given"
    np.testing.assert_array_equal(recording.raster.to_dense().T, expected > 0)
    np.testing.assert_array_equal(recording.presentations["label"], Y)
    assert "prediction" in recording.presentations
    assert recording.phases["order"].to_list() == ["unknown"]


def test_a_known_length_cuts_an_endless_generator(
    model: Any, expected: np.ndarray
) -> None:
    """With n_samples an endless generator is read as far as needed and no further."""
    read = []

    def endless() -> Iterator[np.ndarray]:
        while True:
            read.append(1)
            yield X[:10]

    recording = ann2neo.record(
        model, endless(), layers="hidden", shuffle=False, n_samples=25
    )
    np.testing.assert_array_equal(
        recording.raster.to_dense().T, (expected[np.arange(25) % 10]) > 0
    )
    assert len(read) == 3


def test_a_loader_may_fill_the_same_arrays_for_every_batch() -> None:
    """Stimuli and labels that are overwritten as soon as the next batch is asked for
    are recorded as they were.
    """
    n, n_inputs, size = 256, 2048, 64
    x = np.random.default_rng(1).normal(size=(n, n_inputs)).astype("float32")
    model = keras.Sequential(
        [keras.Input((n_inputs,)), kl.Dense(2048, name="wide"), kl.Dense(3, "softmax")]
    )
    # At such an address JAX reads an array where it lies, without a copy.
    memory = np.empty(4 * size * n_inputs + 64, np.uint8)
    begin = -memory.ctypes.data % 64
    stimuli = (
        memory[begin : begin + 4 * size * n_inputs]
        .view("float32")
        .reshape(size, n_inputs)
    )
    labels = np.empty(size, np.int32)

    def overwriting() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for first in range(0, n, size):
            stimuli[:], labels[:] = (
                x[first : first + size],
                np.arange(first, first + size),
            )
            yield stimuli, labels
            stimuli[:], labels[:] = np.nan, -1

    expected = ann2neo.record(model, x, layers="wide", shuffle=False, batch_size=size)
    recording = ann2neo.record(
        model, overwriting(), layers="wide", shuffle=False, predictions=False
    )
    assert recording.raster.equals(expected.raster)
    assert recording.presentations["label"].to_list() == list(range(n))


def test_the_first_error_is_the_one_that_is_raised(model: Any) -> None:
    """A batch with a NaN is reported, not that the stimuli broke off after it; nothing
    goes on in the background.
    """

    def breaking() -> Iterator[np.ndarray]:
        yield X[:8]
        yield np.where(np.arange(6) == 2, np.nan, X[:8])
        raise RuntimeError("the disk is gone")

    with pytest.raises(ann2neo.errors.ActivationError, match="presentation 8"):
        ann2neo.record(model, breaking(), layers="hidden", shuffle=False)
    assert not [
        thread for thread in threading.enumerate() if thread.name.startswith("ann2neo")
    ]


def test_two_inputs_keep_their_samples_together() -> None:
    """The inputs of a model are shuffled alike, as list and as dictionary."""
    left, right = keras.Input((6,), name="left"), keras.Input((6,), name="right")
    added = kl.Add(name="added")([left, right])
    for inputs, data in (
        ([left, right], [X, -X]),
        ({"left": left, "right": right}, {"left": X, "right": -X}),
    ):
        model = keras.Model(inputs, kl.Dense(2)(added))
        recording = ann2neo.record(model, data, layers="added", threshold=-0.5, seed=0)
        assert recording.raster.to_dense().all()
        assert (
            not ann2neo.record(model, data, layers="added", threshold=0.0, seed=0)
            .raster.to_dense()
            .any()
        )


def test_labels_come_with_predictions(model: Any) -> None:
    """Integer labels add the model's predictions, unless refused; words are kept as
    labels, without predictions.
    """
    shown = ann2neo.record(model, X, labels=Y[:, None], shuffle=False).presentations
    classes = keras.ops.convert_to_numpy(model(X)).argmax(axis=1)
    np.testing.assert_array_equal(shown["prediction"], classes)
    np.testing.assert_array_equal(shown["is_correct"], classes == Y)
    assert shown["label"].dtype == shown["prediction"].dtype == np.int32
    assert (
        "prediction"
        not in ann2neo.record(model, X, labels=Y, predictions=False).presentations
    )
    assert "prediction" in ann2neo.record(model, X, predictions=True).presentations
    words = ann2neo.record(
        model, X, labels=np.array(["a", "b", "c"])[Y], shuffle=False
    ).presentations
    assert words["label"].to_list()[:4] == ["a", "b", "c", "a"]
    assert "prediction" not in words


def test_a_single_sigmoid_is_a_class() -> None:
    """A single sigmoid predicts class 1 above 0.5; a linear output predicts none."""
    head = kl.Dense(1, "sigmoid")
    model = keras.Sequential([keras.Input((6,)), kl.Dense(4, "tanh"), head])
    shown = ann2neo.record(model, X, labels=Y > 0, shuffle=False).presentations
    np.testing.assert_array_equal(
        shown["prediction"], keras.ops.convert_to_numpy(model(X))[:, 0] > 0.5
    )
    plain = keras.Sequential([keras.Input((6,)), kl.Dense(4, "tanh"), kl.Dense(1)])
    assert "prediction" not in ann2neo.record(plain, X, labels=Y).presentations


def test_a_seed_repeats_and_no_seed_is_reported(model: Any) -> None:
    """The same seed gives the same recording; a drawn one is in the provenance and
    gives it again.
    """
    first = ann2neo.record(model, X)
    again = ann2neo.record(model, X, seed=int(first.provenance["seed"]))
    assert again.equals(first, identity=False)
    assert not ann2neo.record(model, X).raster.equals(first.raster)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"threshold": "quantile:0.7"},
        {"units": 3},
        {"training": True},
        {"layers": ["hidden", "scores"]},
    ],
    ids=str,
)
@pytest.mark.parametrize("shuffle", [True, False])
def test_spikes_alone_are_those_of_the_recording(
    settings: dict[str, Any], shuffle: bool, model: Any
) -> None:
    """The quick way gives the bits and units of a recording of the same seed, also the
    second time.
    """
    probe = ann2neo.Probe(model, **{"layers": "hidden", **settings})
    recording = probe.record(X, seed=4, shuffle=shuffle, phase="test")
    for _ in range(2):
        raster, units = probe.spikes(X, seed=4, shuffle=shuffle)
        assert raster.equals(recording.raster)
        assert units["layer"].to_list() == recording.units["layer"].to_list()
        assert (
            units["unit_in_layer"].to_list()
            == recording.units["unit_in_layer"].to_list()
        )


@pytest.mark.parametrize(
    ("x", "seed", "words"),
    [
        (X, -1, "seed must be at least 0, got -1"),
        (Numbered(), 0, "cannot be indexed"),
    ],
)
def test_spikes_alone_need_what_a_recording_needs(
    x: Any, seed: int, words: str, model: Any
) -> None:
    """A negative seed, or stimuli that cannot be shuffled, are refused as for a
    recording.
    """
    with pytest.raises(ann2neo.errors.InputValueError, match=words):
        ann2neo.Probe(model, "hidden").spikes(x, seed=seed, shuffle=True)


def test_a_probe_follows_the_weights(expected: np.ndarray, model: Any) -> None:
    """A probe compiled once sees weights changed later, and other batch sizes, and
    agrees with record.
    """
    probe = ann2neo.Probe(model, layers="hidden")
    assert probe.record(X, seed=1).equals(
        ann2neo.record(model, X, layers="hidden", seed=1), identity=False
    )
    layer = model.get_layer("hidden")
    before = layer.get_weights()
    layer.set_weights([-before[0], -before[1]])
    changed = probe.record(X, shuffle=False, batch_size=5)
    layer.set_weights(before)
    np.testing.assert_array_equal(changed.raster.to_dense().T, -expected > 0)
    assert (
        changed.provenance["weights_sha256"]
        != probe.record(X).provenance["weights_sha256"]
    )


@pytest.mark.parametrize(
    ("threshold", "limits"),
    [
        (0.3, 0.3),
        (np.linspace(-0.5, 0.5, 8), np.linspace(-0.5, 0.5, 8)),
        ({"hidden": -0.2}, -0.2),
        ("quantile:0.25", "quantile"),
    ],
    ids=["number", "one per unit", "one per layer", "quantile"],
)
def test_thresholds(
    threshold: Any, limits: Any, model: Any, expected: np.ndarray
) -> None:
    """A threshold is a number, one per unit, one per layer, or each unit's own
    quantile, and stands in the unit table.
    """
    recording = ann2neo.record(
        model, X, layers="hidden", threshold=threshold, shuffle=False
    )
    if isinstance(limits, str):
        limits = np.quantile(expected, 0.25, axis=0, method="inverted_cdf")
        np.testing.assert_allclose(recording.units["threshold"], limits, rtol=1e-6)
        np.testing.assert_array_equal(
            recording.raster.spike_counts(), N - np.ceil(0.25 * N)
        )
        return
    np.testing.assert_array_equal(
        recording.units["threshold"], np.broadcast_to(limits, 8)
    )
    np.testing.assert_array_equal(recording.raster.to_dense().T, expected > limits)


def test_thresholds_are_not_rounded() -> None:
    """Next to a threshold that float32 cannot represent, an activation just above is a
    spike and one just below is not.
    """
    model = keras.Sequential(
        [keras.Input((1,)), kl.Activation("linear", name="linear"), kl.Dense(1)]
    )
    near = np.float32(0.1)
    x = np.array(
        [
            [np.nextafter(near, np.float32(0))],
            [near],
            [np.nextafter(near, np.float32(1))],
        ]
    )
    recording = ann2neo.record(model, x, layers="linear", threshold=0.1, shuffle=False)
    assert (
        recording.raster.to_dense()[0].tolist()
        == [float(value[0]) > 0.1 for value in x]
        == [False, True, True]
    )
    values = np.array([0.0, 1.0, 0.1, -0.1, 1e-50, -1e-50, 3.3e38])
    below = below_in_float32(values)
    assert (below.astype(np.float64) <= values).all()
    assert (np.nextafter(below, np.float32(np.inf)).astype(np.float64) > values).all()


def test_quantiles_of_too_many_units_come_from_a_sample(model: Any) -> None:
    """If not all activations fit into memory, quantiles come from a seeded sample, and
    are close to the true ones and reproducible.
    """
    x = np.random.default_rng(3).normal(size=(4000, 6)).astype("float32")
    adapter = adapter_for(model, training=False, eager=False)
    layers = adapter.choose_layers("hidden")
    forward = adapter.forward(layers, with_output=False)
    stimuli = as_stimuli(x, None, adapter)
    shapes = forward.outputs_of(stimuli.first(None).data)
    first, again = (
        limits_by_quantile(
            adapter,
            forward,
            stimuli,
            shapes,
            {layers[0]: "quantile:0.9"},
            seed=1,
            batch_size=256,
            sample_bytes=4 * 8 * 1000,
        )[0]
        for _ in range(2)
    )
    recording = ann2neo.record(
        model, x, layers="hidden", threshold={"hidden": first}, seed=1
    )
    shares = recording.raster.spike_counts() / 4000
    np.testing.assert_allclose(shares, 0.1, atol=5 * np.sqrt(0.09 / 1000))
    assert (shares != 0.1).any()
    np.testing.assert_array_equal(first, again)


def test_silent_and_saturated_layers_are_warned_of(model: Any) -> None:
    """There is a warning at the user's line if more than half of the units are silent
    or saturated, and none otherwise.
    """
    with pytest.warns(
        ann2neo.ActivityWarning,
        match=r"3 units of 'scores', 0% never spike and 100% always do",
    ) as seen:
        ann2neo.record(model, X, layers="scores")
    assert _place(seen) == __file__
    with pytest.warns(
        ann2neo.ActivityWarning, match=r"8 units of 'hidden', 100% never spike"
    ) as seen:
        ann2neo.Probe(model, layers="hidden", threshold=2).record(X)
    assert _place(seen) == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error", ann2neo.ActivityWarning)
        ann2neo.record(model, X, layers="hidden")


def _place(seen: Any) -> str:
    """File to which an ActivityWarning is attributed."""
    return next(
        warning.filename
        for warning in seen
        if issubclass(warning.category, ann2neo.ActivityWarning)
    )


@pytest.fixture(scope="module")
def convolution() -> Any:
    """A convolution of 5 x 4 x 3 units, and a Dense layer."""
    keras.utils.set_random_seed(1)
    layers = [
        kl.Conv2D(3, 2, name="conv"),
        kl.Flatten(),
        kl.Dense(5, name="hidden"),
        kl.Dense(2),
    ]
    return keras.Sequential([keras.Input((6, 5, 1)), *layers])


IMAGES = np.random.default_rng(1).normal(size=(30, 6, 5, 1)).astype("float32")


@pytest.mark.parametrize(
    ("units", "mask"),
    [
        (
            {"conv": {"channel": 1}},
            lambda t: (t["layer"] == "hidden") | (t["channel"] == 1),
        ),
        (
            {"conv": {"row": slice(1, 3), "col": [0, 3]}},
            lambda t: (
                (t["layer"] == "hidden")
                | (t["row"].isin([1, 2]) & t["col"].isin([0, 3]))
            ),
        ),
        (lambda t: t["row"] == 0, lambda t: t["row"] == 0),
        (
            lambda t: [3, 61],  # noqa: ARG005
            lambda t: t.index.isin([3, 61]),
        ),
    ],
    ids=["channel", "region", "predicate", "rows"],
)
def test_chosen_units_are_those_of_the_whole_layer(
    units: Any, mask: Any, convolution: Any
) -> None:
    """Chosen units are recorded with the coordinates, thresholds and spikes they have
    in the whole layer.
    """
    limits = {"conv": np.linspace(-0.1, 0.1, 60), "hidden": 0.0}
    settings = {"layers": ["conv", "hidden"], "threshold": limits, "seed": 1}
    whole = ann2neo.record(convolution, IMAGES, **settings)
    chosen = ann2neo.record(convolution, IMAGES, units=units, **settings)
    assert chosen.units.equals(whole.select(units=mask).units)
    assert chosen.raster.equals(whole.select(units=mask).raster)


def test_a_number_of_units_is_a_seeded_sample(convolution: Any) -> None:
    """A number draws that many units of each layer, the same for the same seed."""
    settings = {"layers": ["conv", "hidden"], "units": 4}
    first, again = (
        ann2neo.record(convolution, IMAGES, seed=1, **settings) for _ in range(2)
    )
    assert first.units["layer"].value_counts().to_dict() == {"conv": 4, "hidden": 4}
    assert first.units.equals(again.units)
    others = [
        ann2neo.record(convolution, IMAGES, seed=seed, **settings).units
        for seed in range(2, 6)
    ]
    assert not all(units.equals(first.units) for units in others)


def test_coordinates_follow_the_feature_map(convolution: Any) -> None:
    """Row, column and channel of a unit are where its activation lies in the feature
    map.
    """
    recording = ann2neo.record(convolution, IMAGES, layers="conv", shuffle=False)
    maps = keras.ops.convert_to_numpy(convolution.layers[0](IMAGES))
    units = recording.units
    np.testing.assert_array_equal(
        recording.raster.to_dense(),
        maps[:, units["row"], units["col"], units["channel"]].T > 0,
    )
    assert (units[["step", "depth"]] == -1).all(axis=None)
    dense = ann2neo.record(convolution, IMAGES, layers="hidden").units
    assert (dense[["channel", "row", "col", "step", "depth"]] == -1).all(axis=None)


def test_units_of_one_architecture_match(model: Any) -> None:
    """Two networks of one architecture give recordings whose unit tables are equal and
    whose presentations align.
    """
    other = keras.models.clone_model(model)
    left, right = (
        ann2neo.record(m, X, layers="hidden", seed=s)
        for m, s in ((model, 1), (other, 2))
    )
    assert left.units.equals(right.units)
    aligned = [recording.in_stimulus_order() for recording in (left, right)]
    assert aligned[0].presentations.equals(aligned[1].presentations)


def test_a_stochastic_network_repeats_with_its_own_noise() -> None:
    """Repeats with training=True differ, are seeded, and leave the model's seeds and
    batch statistics alone.
    """
    keras.utils.set_random_seed(3)
    layers = [kl.BatchNormalization(), kl.Dropout(0.5, name="noisy"), kl.Dense(2)]
    model = keras.Sequential([keras.Input((6,)), *layers])
    before = [
        keras.ops.convert_to_numpy(v.value).tobytes()
        for v in model.non_trainable_variables
    ]
    settings = {
        "layers": "noisy",
        "training": True,
        "n_repeats": 3,
        "seed": 4,
        "phase": "test",
    }
    recording = ann2neo.record(model, X, **settings)
    assert [
        keras.ops.convert_to_numpy(v.value).tobytes()
        for v in model.non_trainable_variables
    ] == before
    assert recording.phases["phase"].to_list() == ["test_1", "test_2", "test_3"]
    repeats = [
        recording.select(phase=phase).in_stimulus_order().raster
        for phase in recording.phases["phase"]
    ]
    assert not repeats[0].equals(repeats[1])
    assert recording.equals(ann2neo.record(model, X, **settings), identity=False)
    orders = recording.presentations.groupby("phase")["stimulus_id"].apply(list)
    assert orders["test_1"] != orders["test_2"]


def test_time_and_provenance(model: Any) -> None:
    """Time base, phase name and facts are the user's; versions, weights, layers and
    seed are always there.
    """
    recording = ann2neo.record(
        model,
        X,
        sampling_period=2 * pq.ms,
        t_start=1 * pq.s,
        phase="test",
        provenance={"dataset": "noise"},
        seed=9,
    )
    assert recording.sampling_period == 2 * pq.ms
    assert recording.t_start == 1000 * pq.ms
    assert recording.phases["phase"].to_list() == ["test"]
    facts = recording.provenance
    assert facts["dataset"] == "noise"
    assert facts["layers"] == "hidden"
    assert facts["threshold"] == '{"hidden": 0.0}'
    assert (facts["seed"], facts["training"], facts["backend"]) == (
        "9",
        "False",
        keras.backend.backend(),
    )
    assert facts["keras_version"] == keras.__version__
    assert len(facts["weights_sha256"]) == 64
    assert f"{keras.backend.backend()}_version" in facts


def test_the_last_hidden_layer_is_found_behind_pooling_and_dropout() -> None:
    """Without layers, the one output that enters the last layer with weights is
    recorded, in any kind of model.
    """
    body = keras.Sequential(
        [
            keras.Input((6, 5, 1)),
            kl.Conv2D(3, 2, name="conv"),
            kl.ReLU(name="rectified"),
        ]
    )
    tail = [kl.GlobalAveragePooling2D(), kl.Dropout(0.1), kl.Dense(4), kl.Softmax()]
    model = keras.Sequential([keras.Input((6, 5, 1)), body, *tail])
    assert ann2neo.record(model, IMAGES).units["layer"].unique().tolist() == [
        "rectified"
    ]
    entry = keras.Input((6, 5))
    _, state, _ = kl.LSTM(4, return_sequences=True, return_state=True, name="lstm")(
        entry
    )
    recording = ann2neo.record(
        keras.Model(entry, kl.Dense(2, dtype="float32")(state)), IMAGES[..., 0]
    )
    assert recording.units[
        ["layer", "output_index"]
    ].drop_duplicates().to_numpy().tolist() == [["lstm", 1]]
    entry = keras.Input((6,))
    half = kl.Dense(4, "relu", dtype="mixed_float16", name="half")(entry)
    recording = ann2neo.record(
        keras.Model(entry, kl.Dense(2, dtype="float32")(half)), X
    )
    assert recording.units["layer"].unique().tolist() == ["half"]


def test_names_are_unambiguous() -> None:
    """Every layer has one name that means it alone: its own, its path, or its path with
    a number.
    """
    inner = [
        keras.Sequential([keras.Input((6,)), kl.Dense(6, name="same")], name=name)
        for name in "ab"
    ]
    model = keras.Sequential([keras.Input((6,)), *inner, kl.Dense(2, name="last")])
    keys = [found.key for found in named_layers(model)]
    assert len(set(keys)) == len(keys)
    assert {"a", "b", "last", "a/same", "b/same"} <= {
        key.removeprefix(f"{model.name}/") for key in keys
    }
    by_name = ann2neo.record(model, X, layers=keys[1], seed=0)
    by_object = ann2neo.record(model, X, layers=named_layers(model)[1].layer, seed=0)
    by_glob = ann2neo.record(model, X, layers="*/same", seed=0)
    assert by_name.equals(by_object, identity=False)
    assert by_glob.units["layer"].nunique() == 2


def test_activations_of_other_frameworks_give_the_same_recording(model: Any) -> None:
    """A ten-line forward hook and Recording.from_activations give the spikes that
    record gives.
    """
    parts: list[np.ndarray] = []

    class Module:
        """A stand-in for a module of torch that has forward hooks."""

        def __init__(self) -> None:
            self.hooks: list[Any] = []

        def register_forward_hook(self, hook: Any) -> Any:
            self.hooks.append(hook)
            return type("Handle", (), {"remove": lambda _: self.hooks.remove(hook)})()

        def __call__(self, x: np.ndarray) -> Any:
            weights, bias = model.get_layer("hidden").get_weights()
            output = Loader.Tensor(np.tanh(x @ weights + bias))
            for hook in self.hooks:
                hook(self, (x,), output)
            return output

    network = Module()
    handle = network.register_forward_hook(
        lambda _module, _inputs, output: parts.append(output.detach().cpu().numpy())
    )
    for first in range(0, N, 16):
        network(X[first : first + 16])
    handle.remove()
    recording = ann2neo.Recording.from_activations(
        np.concatenate(parts), labels=Y, layer="hidden", order="stored"
    )
    assert recording.raster.equals(
        ann2neo.record(model, X, layers="hidden", shuffle=False).raster
    )
    assert not network.hooks
