"""Every kind of model, layer by layer, against activations taken another way; and left
as it was.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import pytest
from keras import layers as kl

import ann2neo
from ann2neo.errors import ActivationError, LayerError
from ann2neo.probe.keras import packing
from ann2neo.probe.keras.layers import named_layers

BACKEND = keras.backend.backend()
N = 21


class Case(NamedTuple):
    """A model, its stimuli, what to record, and the activations to expect, one array
    per recorded output.
    """

    model: Any
    x: Any
    layers: Any
    expected: Sequence[Any]
    tolerance: float = 0.0


def _x(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(N, *shape)).astype("float32")


def _tensors(model: Any, tensors: Any, x: Any) -> list[np.ndarray]:
    """Compute activations with a model that ends at those tensors."""
    outputs = keras.Model(model.inputs, tensors)(x, training=False)
    return [
        np.asarray(keras.ops.convert_to_numpy(output))
        for output in keras.tree.flatten(outputs)
    ]


def _numpy(tensor: Any) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(tensor))


def sequential_dense() -> Case:
    model = keras.Sequential(
        [keras.Input((5,)), kl.Dense(7, "tanh", name="hidden"), kl.Dense(3)]
    )
    x = _x(5)
    weights, bias = model.get_layer("hidden").get_weights()
    return Case(model, x, "hidden", [np.tanh(x @ weights + bias)])


def sequential_convolution() -> Case:
    model = keras.Sequential(
        [
            keras.Input((8, 9, 2)),
            kl.Conv2D(3, 3, activation="relu", name="conv"),
            kl.BatchNormalization(name="norm"),
            kl.MaxPooling2D(name="pool"),
            kl.Flatten(),
            kl.Dropout(0.5),
            kl.Dense(4, name="hidden"),
            kl.Dense(2),
        ]
    )
    model.get_layer("norm").set_weights(
        [np.full(3, value, "float32") for value in (1.5, -0.1, 0.2, 0.7)]
    )
    x = _x(8, 9, 2)
    names = ["conv", "norm", "pool", "hidden"]
    return Case(
        model,
        x,
        names,
        _tensors(model, [model.get_layer(name).output for name in names], x),
    )


def convolutions_in_one_and_three_dimensions() -> Case:
    one, three = keras.Input((9, 2)), keras.Input((4, 4, 5, 1))
    a = kl.Conv1D(3, 3, name="one")(one)
    b = kl.Conv3D(2, 2, name="three")(three)
    model = keras.Model(
        [one, three], kl.Concatenate()([kl.Flatten()(a), kl.Flatten()(b)])
    )
    x = [_x(9, 2), _x(4, 4, 5, 1, seed=1)]
    return Case(model, x, ["one", "three"], _tensors(model, [a, b], x))


def several_inputs_by_name_and_outputs() -> Case:
    left, right = keras.Input((4,), name="left"), keras.Input((3,), name="right")
    both = kl.Dense(6, "relu", name="both")(kl.Concatenate()([left, right]))
    model = keras.Model(
        {"left": left, "right": right}, {"a": kl.Dense(2)(both), "b": kl.Dense(5)(both)}
    )
    x = {"left": _x(4), "right": _x(3, seed=1)}
    return Case(model, x, "both", _tensors(model, [both], x))


def nested_models() -> Case:
    inner_input = keras.Input((6,))
    inner = keras.Model(
        inner_input, kl.Dense(5, "relu", name="deep")(inner_input), name="inner"
    )
    outer = keras.Sequential(
        [keras.Input((4,)), kl.Dense(6, "tanh"), inner, kl.Dense(2)]
    )
    x = _x(4)
    expected = _numpy(inner(outer.layers[0](x)))
    return Case(outer, x, "deep", [expected])


def shared_layer() -> Case:
    shared = kl.Dense(4, "relu", name="shared")
    entry = keras.Input((4,))
    once = shared(entry)
    twice = shared(once)
    model = keras.Model(entry, kl.Dense(2)(twice))
    x = _x(4)
    return Case(model, x, "shared", _tensors(model, [once, twice], x))


def layer_with_several_outputs() -> Case:
    entry = keras.Input((6, 4))
    outputs = kl.LSTM(5, return_sequences=True, return_state=True, name="lstm")(entry)
    model = keras.Model(entry, kl.Dense(2)(outputs[1]))
    x = _x(6, 4)
    return Case(model, x, "lstm", _tensors(model, list(outputs), x))


def attention_scores() -> Case:
    entry = keras.Input((6, 4))
    attended, scores = kl.MultiHeadAttention(2, 3, name="attention")(
        entry, entry, return_attention_scores=True
    )
    model = keras.Model(entry, kl.Dense(2)(kl.GlobalAveragePooling1D()(attended)))
    x = _x(6, 4)
    return Case(model, x, "attention", _tensors(model, [attended, scores], x))


def recurrent_layers() -> Case:
    entry = keras.Input((6, 4))
    gru = kl.Bidirectional(kl.GRU(3, return_sequences=True), name="both_ways")(entry)
    steps = kl.TimeDistributed(kl.Dense(2, "relu"), name="steps")(gru)
    simple = kl.SimpleRNN(4, name="simple")(steps)
    model = keras.Model(entry, kl.Dense(2)(simple))
    x = _x(6, 4)
    return Case(
        model,
        x,
        ["both_ways", "steps", "simple"],
        _tensors(model, [gru, steps, simple], x),
    )


def inside_time_distributed() -> Case:
    entry = keras.Input((5, 4))
    model = keras.Model(entry, kl.TimeDistributed(kl.Dense(3, name="inner"))(entry))
    x = _x(5, 4)
    inner = model.layers[1].layer
    return Case(model, x, "inner", [_numpy(inner(x[:, step])) for step in range(5)])


def embedding_with_masking() -> Case:
    entry = keras.Input((7,), dtype="int32")
    embedded = kl.Embedding(10, 3, mask_zero=True, name="embedding")(entry)
    summed = kl.LSTM(4, name="lstm")(embedded)
    model = keras.Model(entry, kl.Dense(2)(summed))
    x = np.random.default_rng(0).integers(0, 10, (N, 7))
    return Case(model, x, ["embedding", "lstm"], _tensors(model, [embedded, summed], x))


class Encoder(keras.layers.Layer):
    """A transformer encoder block, as people write them."""

    def __init__(self, width: int, heads: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.attention = kl.MultiHeadAttention(heads, width // heads)
        self.widen, self.narrow = (
            kl.Dense(2 * width, "gelu", name="widen"),
            kl.Dense(width, name="narrow"),
        )
        self.norms = [kl.LayerNormalization(), kl.LayerNormalization()]

    def call(self, x: Any, training: bool = False) -> Any:
        x = self.norms[0](x + self.attention(x, x, training=training))
        return self.norms[1](x + self.narrow(self.widen(x)))


def transformer() -> Case:
    entry = keras.Input((5,), dtype="int32")
    body = kl.Embedding(20, 8)(entry)
    blocks = [Encoder(8, 2, name="first"), Encoder(8, 2, name="second")]
    for block in blocks:
        body = block(body)
    model = keras.Model(entry, kl.Dense(2)(kl.GlobalAveragePooling1D()(body)))
    x = np.random.default_rng(0).integers(0, 20, (N, 5))
    first = blocks[0]
    embedded = model.layers[1](x)
    attended = first.norms[0](embedded + first.attention(embedded, embedded))
    key = next(found.key for found in named_layers(model) if found.layer is first.widen)
    return Case(
        model,
        x,
        [key, "second"],
        [_numpy(first.widen(attended)), _numpy(blocks[1](first(embedded)))],
    )


class Subclassed(keras.Model):
    """Only a call method: a list of layers of one name, operations between them, no
    training argument.
    """

    def __init__(self) -> None:
        super().__init__()
        self.blocks = [kl.Dense(4, "relu", name="block") for _ in range(3)]
        self.head = kl.Dense(2)

    def call(self, x: Any) -> Any:
        for block in self.blocks:
            x = keras.ops.tanh(block(x)) + x
        return keras.ops.softmax(self.head(x))


def subclassed_with_duplicate_paths() -> Case:
    model, x = Subclassed(), _x(4)
    model(x[:1])
    second = model.blocks[0](x)
    second = model.blocks[1](keras.ops.tanh(second) + keras.ops.convert_to_tensor(x))
    return Case(model, x, model.blocks[1], [_numpy(second)])


class Embedded(keras.Model):
    """A functional model inside a subclassed one, called with keywords and a
    dictionary.
    """

    def __init__(self) -> None:
        super().__init__()
        entry = keras.Input((4,))
        self.body = keras.Model(entry, kl.Dense(3, "relu", name="inside")(entry))
        self.head = kl.Dense(2)

    def call(self, inputs: Any, training: bool = False) -> Any:
        return {"scores": self.head(self.body(inputs["x"], training=training))}


def functional_inside_subclassed() -> Case:
    model, x = Embedded(), {"x": _x(4)}
    model({"x": x["x"][:1]})
    return Case(model, x, "inside", [_numpy(model.body(x["x"]))])


def mixed_precision(policy: str) -> Case:
    entry = keras.Input((4,))
    hidden = kl.Dense(16, "tanh", name="hidden", dtype=policy)(entry)
    model = keras.Model(entry, kl.Dense(3, dtype="float32")(hidden))
    x = _x(4)
    half = keras.Model(entry, hidden)(x)
    return Case(model, x, "hidden", [_numpy(keras.ops.cast(half, "float32"))])


def quantized() -> Case:
    model = keras.Sequential(
        [keras.Input((4,)), kl.Dense(8, "relu", name="hidden"), kl.Dense(2)]
    )
    for layer in model.layers:
        layer.quantize("int8")
    x = _x(4)
    return Case(
        model, x, "hidden", _tensors(model, [model.get_layer("hidden").output], x)
    )


def stateful() -> Case:
    entry = keras.Input(batch_shape=(7, 6, 4))
    model = keras.Model(
        entry, kl.Dense(2)(kl.LSTM(5, stateful=True, name="lstm")(entry))
    )
    x = _x(6, 4)
    layer = model.get_layer("lstm")
    before = [_numpy(state) for state in layer.states]
    parts = [_numpy(layer(x[first : first + 7])) for first in range(0, N, 7)]
    for state, value in zip(layer.states, before, strict=True):
        state.assign(value)
    return Case(model, x, "lstm", [np.concatenate(parts)])


def application() -> Case:
    model = keras.applications.MobileNetV2(
        input_shape=(32, 32, 3), weights=None, classes=10, alpha=0.35
    )
    x = np.random.default_rng(0).random((N, 32, 32, 3), dtype=np.float32)
    names = ["Conv1_relu", "block_3_add", "out_relu"]
    names = [
        name if name in {layer.name for layer in model.layers} else "block_2_add"
        for name in names
    ]
    # The order of summing in a deep network differs between two compilations.
    cut = keras.Model(model.inputs, [model.get_layer(name).output for name in names])
    return Case(model, x, names, cut.predict(x, verbose=0), tolerance=1e-5)


class WithLoss(kl.Layer):
    """Returns a loss, its output, and a number for each channel."""

    def call(self, x: Any) -> Any:
        return keras.ops.mean(x**2), 2 * x - 1, keras.ops.mean(x, axis=0)

    def compute_output_shape(self, shape: Any) -> Any:
        return (), shape, shape[1:]


def unet_with_skips() -> Case:
    entry = keras.Input((8, 8, 2))
    down = [kl.Conv2D(3, 3, padding="same", activation="relu", name="d0")(entry)]
    down.append(kl.Conv2D(4, 3, strides=2, padding="same", name="d1")(down[0]))
    down.append(kl.Conv2D(5, 3, strides=2, padding="same", name="d2")(down[1]))
    up = kl.Conv2DTranspose(4, 3, strides=2, padding="same", name="u1")(down[2])
    joined = kl.Concatenate(name="skip1")([keras.ops.relu(up), down[1]])
    up = kl.UpSampling2D(name="u0")(joined)
    skip = kl.Conv2D(3, 1, name="thin")(up) + down[0]
    model = keras.Model(entry, kl.Conv2D(1, 1)(skip))
    x = _x(8, 8, 2)
    asked = [down[2], joined, skip, down[0]]
    return Case(model, x, ["d2", "skip1", skip, "d0"], _tensors(model, asked, x))


def nested_three_deep() -> Case:
    entries = [keras.Input((6,)) for _ in range(3)]
    deepest = keras.Model(entries[0], kl.Dense(6, "relu", name="deep")(entries[0]))
    middle = keras.Sequential([keras.Input((6,)), kl.Dense(6, "tanh"), deepest])
    inner = keras.Model(entries[1], middle(entries[1]) + entries[1])
    model = keras.Model(entries[2], kl.Dense(2, name="out")(inner(entries[2])))
    x = _x(6)
    deep = _numpy(deepest(middle.layers[0](x)))
    out = _numpy(model(x))
    return Case(model, x, ["out", "deep"], [out, deep])


def output_beside_a_loss() -> Case:
    entry = keras.Input((6,))
    _, output, _ = WithLoss(name="losing")(kl.Dense(4)(entry))
    model = keras.Model(entry, kl.Dense(2)(output))
    x = _x(6)
    return Case(model, x, "losing", _tensors(model, [output], x))


def headless_application() -> Case:
    model = keras.applications.VGG16(
        include_top=False, weights=None, input_shape=(32, 32, 3)
    )
    x = np.random.default_rng(0).random((N, 32, 32, 3), dtype=np.float32)
    names = ["block1_conv2", "block3_conv3", "block5_pool"]
    cut = keras.Model(model.inputs, [model.get_layer(name).output for name in names])
    # The order of summing in a deep network differs between two compilations.
    return Case(model, x, names, cut.predict(x, verbose=0), tolerance=1e-7)


CASES: dict[str, Callable[[], Case]] = {
    function.__name__: function
    for function in (
        sequential_dense,
        sequential_convolution,
        convolutions_in_one_and_three_dimensions,
        several_inputs_by_name_and_outputs,
        nested_models,
        shared_layer,
        layer_with_several_outputs,
        attention_scores,
        recurrent_layers,
        inside_time_distributed,
        embedding_with_masking,
        transformer,
        subclassed_with_duplicate_paths,
        functional_inside_subclassed,
        quantized,
        stateful,
        application,
        unet_with_skips,
        nested_three_deep,
        output_beside_a_loss,
        headless_application,
    )
}
CASES["mixed_float16"] = lambda: mixed_precision("mixed_float16")
CASES["mixed_bfloat16"] = lambda: mixed_precision("mixed_bfloat16")


def _all_layers(model: Any) -> list[Any]:
    return [model, *model._flatten_layers(include_self=False)]


def _snapshot(model: Any) -> dict[str, Any]:
    """Everything of a model that a recording must not change."""
    variables = [*model.trainable_variables, *model.non_trainable_variables]
    return {
        "values": [_numpy(variable.value).tobytes() for variable in variables],
        "states": [
            _numpy(state.value).tobytes()
            for layer in _all_layers(model)
            for state in getattr(layer, "states", None) or ()
            if hasattr(state, "value")
        ],
        "variables": [id(variable) for variable in variables],
        "trainable": [layer.trainable for layer in _all_layers(model)],
        "flags": [variable.trainable for variable in variables],
        "names": [
            (layer.name, layer.path, layer.built) for layer in _all_layers(model)
        ],
        "attributes": [
            sorted(set(vars(layer)) - {"_called"}) for layer in _all_layers(model)
        ],
        "calls": [
            getattr(layer.call, "__func__", None) for layer in _all_layers(model)
        ],
        "losses": len(model.losses),
        "nodes": [len(layer._inbound_nodes) for layer in _all_layers(model)],
        "config": (
            None
            if isinstance(model, (Subclassed, Embedded))
            else repr(model.get_config())
        ),
        "compiled": model.compiled,
        "compile_config": repr(model.get_compile_config()) if model.compiled else None,
        "functions": [
            getattr(model, name, None)
            for name in ("train_function", "test_function", "predict_function")
        ],
        "optimizer": (
            [_numpy(v.value).tobytes() for v in model.optimizer.variables]
            if model.compiled
            else None
        ),
    }


_SLOW = {name for name in CASES if "application" in name}
if keras.backend.backend() == "tensorflow":
    # Elsewhere the probe's tests run alone, and there is time for these.
    _SLOW |= {"quantized", "transformer", "recurrent_layers", "unet_with_skips"}
    _SLOW |= {"attention_scores", "convolutions_in_one_and_three_dimensions"}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow) if name in _SLOW else name
        for name in CASES
    ],
)
@pytest.mark.filterwarnings(
    "ignore:The structure of `inputs`:UserWarning", "ignore::ann2neo.ActivityWarning"
)
def test_spikes_are_the_activations_above_threshold(name: str) -> None:
    """Each unit spikes exactly where its activation, taken without ann2neo, is above
    zero; the model is as before.
    """
    keras.utils.set_random_seed(1)
    case = CASES[name]()
    # A stateful network answers to the order itself.
    shuffle = name != "stateful"
    case.model.compile(optimizer="adam", loss="mse")
    before = _snapshot(case.model)
    recording = ann2neo.record(
        case.model,
        case.x,
        layers=case.layers,
        shuffle=shuffle,
        seed=3,
        batch_size=_batch(name),
    )
    assert _snapshot(case.model) == before
    expected = np.concatenate(
        [output.reshape(N, -1) for output in case.expected], axis=1
    )
    spikes = recording.in_stimulus_order().raster.to_dense().T
    assert spikes.shape == expected.shape
    clear = (np.abs(expected) > case.tolerance) | (case.tolerance == 0)
    np.testing.assert_array_equal(spikes[clear], (expected > 0)[clear])
    assert clear.mean() > 0.3
    assert 0 < spikes.mean() < 1


def _batch(name: str) -> int | None:
    return 7 if name == "stateful" else 8


@pytest.mark.parametrize("change", ["quantize", "enable_lora"])
def test_a_network_changed_after_the_probe_was_made(change: str) -> None:
    """A Probe that has recorded follows int8 weights and a low-rank adapter: the bits
    are those of activations that another model takes afterwards.
    """
    keras.utils.set_random_seed(1)
    case = sequential_convolution()
    probe = ann2neo.Probe(case.model, ["hidden", "norm"])
    before = probe.record(case.x, shuffle=False)
    layer = case.model.get_layer("hidden")
    if change == "quantize":
        layer.quantize("int8")
    else:
        layer.enable_lora(2)
        layer.lora_kernel_b.assign(np.ones((2, 4), np.float32))
    after = probe.record(case.x, shuffle=False)
    outputs = [case.model.get_layer(name).output for name in ("hidden", "norm")]
    expected = np.concatenate(
        [a.reshape(N, -1).T > 0 for a in _tensors(case.model, outputs, case.x)]
    )
    np.testing.assert_array_equal(after.raster.to_dense(), expected)
    hashes = [r.provenance["weights_sha256"] for r in (before, after)]
    assert hashes[0] != hashes[1]
    if change == "enable_lora":
        assert not after.raster.equals(before.raster)


def test_calls_and_outputs_are_numbered() -> None:
    """A shared layer's calls and a layer's several outputs are told apart in the unit
    table.
    """
    shared = shared_layer()
    units = ann2neo.record(shared.model, shared.x, layers="shared").units
    assert units.groupby("call_index").size().to_dict() == {0: 4, 1: 4}
    lstm = layer_with_several_outputs()
    units = ann2neo.record(lstm.model, lstm.x, layers="lstm").units
    assert units.groupby("output_index").size().to_dict() == {0: 30, 1: 5, 2: 5}
    assert units.loc[
        units["output_index"] == 0, ["step", "channel"]
    ].to_numpy().tolist()[:7] == [
        *[[0, channel] for channel in range(5)],
        [1, 0],
        [1, 1],
    ]


def _compiled_part() -> Any:
    class CompiledPart(keras.Model):
        """Hides a layer under a function compiled by the backend."""

        def __init__(self) -> None:
            super().__init__()
            self.hidden, self.head = kl.Dense(4, "tanh", name="hidden"), kl.Dense(2)
            if BACKEND == "tensorflow":
                import tensorflow as tf

                self.run_hidden = tf.function(self.hidden.__call__)
            elif BACKEND == "torch":
                import torch

                self.run_hidden = torch.compile(self.hidden.__call__, backend="eager")
            else:
                import jax

                self.run_hidden = jax.jit(self.hidden.__call__)

        def call(self, x: Any) -> Any:
            return self.head(self.run_hidden(x))

    model = CompiledPart()
    for layer in (model.hidden, model.head):
        layer.build((None, 4))
    model.built = True
    return model


def test_a_layer_under_a_compiled_function_is_refused_or_heard_eagerly() -> None:
    """A layer under @tf.function or jax.jit is refused by name, whether traced before
    or not, and recorded with eager=True; PyTorch's runs as it was written.
    """
    model, x = _compiled_part(), _x(4)
    refused = pytest.raises(
        LayerError,
        match=r"'hidden' runs inside a loop or compiled function.*eager=True",
    )
    with contextlib.nullcontext() if BACKEND == "torch" else refused:
        ann2neo.record(model, x, layers="hidden")
    recording = ann2neo.record(model, x, layers="hidden", eager=True, shuffle=False)
    np.testing.assert_array_equal(
        recording.raster.to_dense().T, _numpy(model.hidden(x)) > 0
    )
    traced = _compiled_part()
    traced(x)
    # JAX caches by shape, TensorFlow by signature: show it the very batch it knows.
    refused = pytest.raises(
        LayerError, match=r"'hidden'.*(never ran|runs inside).*eager=True"
    )
    with contextlib.nullcontext() if BACKEND == "torch" else refused:
        ann2neo.record(traced, x, layers="hidden", batch_size=N)


def test_a_cell_inside_a_loop_is_refused_or_heard_step_by_step() -> None:
    """A recurrent cell is refused with the name of its layer, and with eager=True, or
    on PyTorch, each step is a call.
    """
    entry = keras.Input((6, 4))
    sequence = kl.SimpleRNN(5, return_sequences=True, name="rnn")(entry)
    model = keras.Model(entry, kl.Dense(2)(sequence))
    x = _x(6, 4)
    refused = pytest.raises(
        LayerError,
        match=r"(runs inside a loop|never ran).*'rnn'|'rnn'.*never ran.*eager=True",
    )
    with contextlib.nullcontext() if BACKEND == "torch" else refused:
        ann2neo.record(model, x, layers="*cell*")
    recording = ann2neo.record(model, x, layers="*cell*", eager=True, shuffle=False)
    units = recording.units
    assert units["call_index"].max() == 5
    states = recording.select(units=lambda table: table["output_index"] == 0)
    expected = _tensors(model, [sequence], x)[0].reshape(N, -1)
    np.testing.assert_array_equal(states.raster.to_dense().T, expected > 0)


def test_a_rematerialized_layer_is_refused_or_recorded() -> None:
    """A layer under remat is refused by an error that names it and eager=True, or
    recorded right, never left empty.
    """
    with keras.RematScope(mode="full"):
        hidden = kl.Dense(4, "tanh", name="hidden")
    entry = keras.Input((4,))
    model, x = keras.Model(entry, kl.Dense(2)(hidden(entry))), _x(4)
    refused = pytest.raises(
        ann2neo.InputValueError, match=r"'hidden'.*(rematerialized|remat).*eager=True"
    )
    with contextlib.nullcontext() if BACKEND == "torch" else refused:
        ann2neo.record(model, x, layers="hidden")
    if BACKEND != "jax":
        recording = ann2neo.record(model, x, layers="hidden", eager=True, shuffle=False)
        weights, bias = hidden.get_weights()
        np.testing.assert_array_equal(
            recording.raster.to_dense().T, np.tanh(x @ weights + bias) > 0
        )
    else:
        with pytest.raises(LayerError, match="'hidden' runs inside a rematerialized"):
            ann2neo.record(model, x, layers="hidden", eager=True)


class Transposing(keras.layers.Layer):
    """Returns its output without the batch as the first axis."""

    def call(self, x: Any) -> Any:
        return keras.ops.transpose(x)


@pytest.mark.parametrize("n", [4, 5], ids=["as long as the batch", "of another length"])
def test_an_output_without_a_batch_axis_is_refused(n: int) -> None:
    """An output whose first axis is not the batch is an error, even if it happens to be
    as long as the batch.
    """
    model = keras.Sequential(
        [
            keras.Input((4,)),
            Transposing(name="transposing"),
            Transposing(name="back"),
            kl.Dense(2),
        ]
    )
    with pytest.raises(ActivationError, match=r"'transposing'.*has no batch axis"):
        ann2neo.record(model, np.ones((n, 4), "float32"), layers="transposing")


class Breaking(kl.Layer):
    """Passes numbers on, except that it makes something else of 99."""

    def __init__(self, bad: float, **settings: Any) -> None:
        super().__init__(**settings)
        self.bad = bad

    def call(self, x: Any) -> Any:
        return keras.ops.where(x == 99, self.bad, x)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("sample", [0, 13, 20])
def test_activations_that_are_not_finite_name_layer_and_sample(
    bad: float, sample: int
) -> None:
    """A NaN or infinite activation is an error that names the layer and the
    presentation, never a silent 0.
    """
    model = keras.Sequential(
        [keras.Input((4,)), Breaking(bad, name="breaking"), kl.Dense(2)]
    )
    x = _x(4)
    x[sample, 2] = 99
    with pytest.raises(
        ActivationError,
        match=rf"'breaking' gave {bad} at presentation {sample}, unit 2.*finite",
    ):
        ann2neo.record(model, x, layers="breaking", shuffle=False, batch_size=8)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("sample", [0, 13, 20])
@pytest.mark.parametrize("in_batches", [False, True])
def test_stimuli_that_are_not_finite_are_no_silence(
    bad: float, sample: int, in_batches: bool
) -> None:
    """A stimulus with NaN is an error that names presentation and sample, also where a
    fused ReLU turns NaN into 0.
    """
    model = keras.Sequential(
        [keras.Input((4,)), kl.Dense(3, "relu", name="relu"), kl.Dense(2)]
    )
    x = _x(4)
    x[sample, 2] = bad
    stimuli = iter([x[:8], x[8:]]) if in_batches else x
    match = rf"presentation {sample}, sample {sample} of the data, holds NaN or inf"
    with pytest.raises(ActivationError, match=match):
        ann2neo.record(model, stimuli, layers="relu", shuffle=False, batch_size=None)
    # Shuffled, the presentation is another one, and the sample the same.
    order = ann2neo.record(model, _x(4), layers="relu", seed=5)
    place = order.presentations["stimulus_id"].tolist().index(sample)
    match = rf"presentation {place}, sample {sample} of the data"
    with pytest.raises(ActivationError, match=match):
        ann2neo.record(model, x, layers="relu", seed=5)


def test_outputs_that_change_their_shape_are_refused() -> None:
    """Batches of another size would give other units: an error names the layer, both
    shapes and the presentation; a layer that gives one shape is recorded.
    """
    entry = keras.Input((None, None, 1))
    maps = kl.Conv2D(2, 3, activation="relu", name="maps")(entry)
    pooled = kl.GlobalAveragePooling2D(name="pooled")(maps)
    model = keras.Model(entry, kl.Dense(2)(pooled))
    images = [np.ones((6, size, size, 1), "float32") for size in (10, 8)]
    with pytest.raises(
        ActivationError,
        match=r"'maps' gave the shape \(6, 6, 2\) at presentation 6, and \(8, 8, 2\)",
    ):
        ann2neo.record(model, iter(images), layers="maps", shuffle=False)
    recording = ann2neo.record(model, iter(images), layers="pooled", shuffle=False)
    assert recording.raster.shape == (2, 12)


def test_padded_batches_of_several_lengths_are_refused() -> None:
    """Steps that a shorter batch never showed are not silence."""
    entry = keras.Input((None,), dtype="int32")
    embedded = kl.Embedding(20, 4, mask_zero=True)(entry)
    steps = kl.LSTM(5, return_sequences=True, name="steps")(embedded)
    model = keras.Model(entry, kl.Dense(2)(kl.GlobalAveragePooling1D()(steps)))
    batches = [np.ones((3, 12), "int32"), np.ones((3, 5), "int32")]
    with pytest.raises(
        ActivationError,
        match=r"'steps' gave the shape \(5, 5\) at presentation 3, and \(12, 5\)",
    ):
        ann2neo.record(model, iter(batches), layers="steps", shuffle=False)


@pytest.mark.parametrize("eager", [False, True])
@pytest.mark.parametrize("n_channels", [3, 8])
def test_outputs_without_a_batch_are_left_out_beside_others(
    eager: bool, n_channels: int
) -> None:
    """A layer with a loss beside its output is recorded by its output, which keeps its
    number, also where the first axis of another is as long as the first batch.
    """
    entry = keras.Input((n_channels,))
    _, output, _ = WithLoss(name="losing")(entry)
    model = keras.Model(entry, kl.Dense(2)(output))
    x = _x(n_channels)
    recording = ann2neo.record(
        model, x, layers="losing", shuffle=False, batch_size=5, eager=eager
    )
    assert recording.units["output_index"].tolist() == [1] * n_channels
    assert ((2 * x - 1 > 0) == recording.raster.to_dense().T).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("eager", [False, True])
def test_weights_that_are_not_finite_are_no_silence(bad: float, eager: bool) -> None:
    """A diverged network is refused by the name of a weight, also where a fused ReLU
    turns NaN into 0.
    """
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            kl.Conv2D(4, 3, activation="relu", name="hidden"),
            kl.Flatten(),
            kl.Dense(3),
        ]
    )
    kernel, *rest = model.get_weights()
    kernel[1, 2, 0, 3] = bad
    model.set_weights([kernel, *rest])
    with pytest.raises(ActivationError, match=r"weight '.*kernel' of .* holds NaN or"):
        ann2neo.record(model, _x(8, 8, 1), layers="hidden", eager=eager)


def test_packing_for_a_device_gives_the_same_bits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Spikes that are transposed where they are compared, as on a GPU, are the same
    bits; a NaN is found as well. Tried on the CPU.
    """
    case = sequential_convolution()
    settings = {"layers": case.layers, "seed": 1, "batch_size": 8}
    plain = ann2neo.record(case.model, case.x, **settings)
    assert plain.provenance["device"] == "cpu"
    assert plain.provenance["precision"] == "float32"
    monkeypatch.setattr(packing, "on_accelerator", lambda: True)
    other = ann2neo.record(case.model, case.x, **settings)
    assert other.equals(plain, identity=False)
    root = kl.Activation(keras.ops.sqrt, name="root")
    model = keras.Sequential([keras.Input((4,)), root, kl.Dense(2)])
    x = np.ones((8, 4), np.float32)
    x[3, 0] = -1
    with pytest.raises(ActivationError, match=r"gave nan at presentation 3, unit 0"):
        ann2neo.record(model, x, layers="root", shuffle=False)


class Counting(keras.layers.Layer):
    """Passes its input on, and counts how often it was really computed."""

    computed = 0

    def call(self, x: Any) -> Any:
        def count(values: Any) -> Any:
            type(self).computed += 1
            return values

        if BACKEND == "tensorflow":
            import tensorflow as tf

            passed = tf.numpy_function(count, [x], x.dtype, stateful=False)
            passed.set_shape(x.shape)
            return passed
        if BACKEND == "torch":
            return count(x)
        import jax

        return jax.pure_callback(count, jax.ShapeDtypeStruct(x.shape, x.dtype), x)

    def compute_output_shape(self, shape: Any) -> Any:
        return shape


def test_the_pass_goes_no_deeper_than_the_deepest_recorded_layer() -> None:
    """What lies behind the deepest recorded layer is computed only where predictions
    are wanted; Keras on PyTorch, which compiles nothing, always runs to the end.
    """
    entry = keras.Input((4,))
    model = keras.Model(
        entry, kl.Dense(2)(Counting()(kl.Dense(3, name="early")(entry)))
    )
    Counting.computed = 0
    ann2neo.record(model, _x(4), layers="early")
    assert (Counting.computed == 0) == (BACKEND != "torch")
    ann2neo.record(model, _x(4), layers="early", predictions=True)
    assert Counting.computed > 0


@pytest.mark.exhaustive
def test_a_large_application_in_every_layer() -> None:
    """All ReLU layers of a DenseNet121 with random weights agree with a model that ends
    there.
    """
    keras.utils.set_random_seed(1)
    model = keras.applications.DenseNet121(
        input_shape=(32, 32, 3), weights=None, classes=10
    )
    x = np.random.default_rng(0).random((N, 32, 32, 3), dtype=np.float32)
    names = [layer.name for layer in model.layers if "relu" in layer.name]
    before = _snapshot(model)
    recording = ann2neo.record(model, x, layers="*relu*", shuffle=False)
    assert _snapshot(model) == before
    cut = keras.Model(model.inputs, [model.get_layer(name).output for name in names])
    expected = cut.predict(x, verbose=0)
    flat = dict(zip(names, (output.reshape(N, -1) for output in expected), strict=True))
    for name in recording.units["layer"].unique():
        spikes = (
            recording.select(units=lambda table, name=name: table["layer"] == name)
            .raster.to_dense()
            .T
        )
        clear = np.abs(flat[name]) > 1e-5
        np.testing.assert_array_equal(spikes[clear], (flat[name] > 0)[clear])
