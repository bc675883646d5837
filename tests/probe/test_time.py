"""Steps of sequences as time bins, on the backend of Keras that is chosen."""

from __future__ import annotations

import re
import warnings
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers as kl

import ann2neo
from ann2neo import ActivationError, InputTypeError, InputValueError, LayerError

N, T, D = 21, 7, 3
X = np.random.default_rng(0).normal(size=(N, T, D)).astype("float32")
MAPS = np.random.default_rng(1).normal(size=(N, T, 4, 4, 2)).astype("float32")


@keras.saving.register_keras_serializable("ann2neo tests")
class Leaky(kl.Layer):
    """A cell of leaky units that sum their input up and reset at 1."""

    def __init__(self, units: int, **settings: Any) -> None:
        super().__init__(**settings)
        self.units = self.state_size = self.output_size = units

    def build(self, shape: Any) -> None:
        self.kernel = self.add_weight(shape=(shape[-1], self.units))

    def call(self, inputs: Any, states: Any) -> Any:
        potential = 0.9 * states[0] + inputs @ self.kernel
        spikes = keras.ops.cast(potential > 1, potential.dtype)
        return spikes, [potential - spikes]


def _sequential(*layers: Any, shape: tuple[int, ...] = (T, D)) -> Any:
    keras.utils.set_random_seed(3)
    return keras.Sequential([keras.Input(shape), *layers])


def _activations(model: Any, layer: Any, x: Any) -> np.ndarray:
    """What a layer returns, by a model of Keras that ends there."""
    cut = keras.Model(model.inputs, layer.output)
    return np.asarray(keras.ops.convert_to_numpy(cut(x, training=False)))


def _expected(values: np.ndarray, recording: Any, lengths: Any = None) -> np.ndarray:
    """The bits of sequences of shape (sample, step, ...), in the order shown."""
    order = recording.presentations["stimulus_id"].to_numpy()
    n_steps = values.shape[1]
    lengths = np.full(len(values), n_steps) if lengths is None else np.asarray(lengths)
    rows = [values[i, : lengths[i]].reshape(lengths[i], -1) for i in order]
    return (np.concatenate(rows) > 0).T


SEQUENCES = {
    "LSTM": lambda: kl.LSTM(5, return_sequences=True),
    "GRU": lambda: kl.GRU(5, return_sequences=True),
    "SimpleRNN": lambda: kl.SimpleRNN(5, return_sequences=True),
    "custom cell": lambda: kl.RNN(Leaky(5), return_sequences=True),
    "stacked cells": lambda: kl.RNN(
        [kl.LSTMCell(4), kl.GRUCell(5)], return_sequences=True
    ),
    "bidirectional": lambda: kl.Bidirectional(kl.LSTM(3, return_sequences=True)),
    "backwards": lambda: kl.GRU(5, return_sequences=True, go_backwards=True),
    "time distributed": lambda: kl.TimeDistributed(kl.Dense(5)),
    "causal convolution": lambda: kl.Conv1D(5, 3, padding="causal"),
    "dense": lambda: kl.Dense(5),
}


def _slow_but(kinds: Any, *quick: str) -> list[Any]:
    """All kinds, of which some are quick enough for every run."""
    marks = pytest.mark.slow
    return [
        kind if kind in quick else pytest.param(kind, marks=marks) for kind in kinds
    ]


@pytest.mark.parametrize("kind", _slow_but(SEQUENCES, "LSTM", "dense", "backwards"))
def test_bits_are_those_of_the_layers_own_sequences(kind: str):
    """Each step is a bin, each sample a segment, and only samples are shuffled."""
    layer = SEQUENCES[kind]()
    model = _sequential(layer, kl.Flatten(), kl.Dense(2))
    recording = ann2neo.record(model, X, layers=layer, time_axis=1, seed=4)
    expected = _expected(_activations(model, layer, X), recording)
    np.testing.assert_array_equal(recording.raster.to_dense(), expected)
    trials, segments = recording.presentations, recording.segments
    assert trials["stimulus_id"].to_list() != list(range(N))
    assert sorted(trials["stimulus_id"]) == list(range(N))
    for name in ("start_bin", "stop_bin"):
        assert segments[name].to_list() == trials[name].to_list()
    assert (segments["stop_bin"] - segments["start_bin"]).unique().tolist() == [T]
    assert segments["t_start"].unique().tolist() == [0.0]
    assert recording.provenance["time_axis"] == "1"


@pytest.mark.slow
def test_maps_over_steps_keep_their_coordinates():
    """The units of a ConvLSTM have rows, columns and channels, and no step."""
    layer = kl.ConvLSTM2D(3, 2, return_sequences=True)
    model = _sequential(layer, kl.Flatten(), kl.Dense(2), shape=MAPS.shape[1:])
    recording = ann2neo.record(model, MAPS, layers=layer, time_axis=1, seed=4)
    expected = _expected(_activations(model, layer, MAPS), recording)
    np.testing.assert_array_equal(recording.raster.to_dense(), expected)
    units = recording.units
    assert units[["row", "col", "channel"]].iloc[-1].to_list() == [2, 2, 2]
    assert units["step"].unique().tolist() == [-1]


def test_attention_and_transformer_blocks():
    """Tokens are steps in the parts of a transformer block."""
    tokens = keras.Input((T, 4))
    attention = kl.MultiHeadAttention(2, 3)
    added = kl.Add()
    normed = kl.LayerNormalization()
    mixed = normed(added([tokens, attention(tokens, tokens, use_causal_mask=True)]))
    model = keras.Model(tokens, kl.Dense(2)(kl.Flatten()(mixed)))
    x = np.random.default_rng(2).normal(size=(N, T, 4)).astype("float32")
    parts = [attention, added, normed]
    recording = ann2neo.record(model, x, layers=parts, time_axis=1, seed=4)
    expected = [_expected(_activations(model, part, x), recording) for part in parts]
    np.testing.assert_array_equal(recording.raster.to_dense(), np.vstack(expected))


def test_another_axis_may_be_time():
    """Steps that stand behind the units are moved to the front."""
    layer = kl.Permute((2, 1), name="turned")
    model = _sequential(kl.Dense(5), layer, kl.Flatten(), kl.Dense(2))
    recording = ann2neo.record(model, X, layers="turned", time_axis=2, seed=4)
    values = _activations(model, layer, X).transpose(0, 2, 1)
    np.testing.assert_array_equal(
        recording.raster.to_dense(), _expected(values, recording)
    )


LAST_ONLY = {
    "LSTM": (lambda **s: kl.LSTM(5, **s), X),
    "GRU": (lambda **s: kl.GRU(5, **s), X),
    "GRU reset before": (lambda **s: kl.GRU(5, reset_after=False, **s), X),
    "SimpleRNN": (lambda **s: kl.SimpleRNN(5, **s), X),
    "custom cell": (lambda **s: kl.RNN(Leaky(5), **s), X),
    "stacked cells": (lambda **s: kl.RNN([kl.LSTMCell(4), kl.GRUCell(5)], **s), X),
    "backwards": (lambda **s: kl.LSTM(5, go_backwards=True, **s), X),
    "bidirectional": (lambda **s: kl.Bidirectional(kl.LSTM(3, **s)), X),
    "sum of directions": (
        lambda **s: kl.Bidirectional(kl.GRU(3, **s), merge_mode="sum"),
        X,
    ),
    "ConvLSTM": (lambda **s: kl.ConvLSTM2D(3, 2, **s), MAPS),
}


@pytest.mark.parametrize("kind", _slow_but(LAST_ONLY, "GRU", "custom cell"))
def test_a_layer_that_returns_its_last_output_is_run_step_by_step(kind: str):
    """Its bits are those of the same layer with return_sequences=True."""
    make, x = LAST_ONLY[kind]
    last, every = make(), make(return_sequences=True)
    shape = x.shape[1:]
    model = _sequential(last, kl.Flatten(), kl.Dense(2), shape=shape)
    other = _sequential(every, shape=shape)
    every.set_weights(last.get_weights())
    recording = ann2neo.record(model, x, layers=last, time_axis=1, seed=4)
    expected = _expected(_activations(other, every, x), recording)
    np.testing.assert_array_equal(recording.raster.to_dense(), expected)
    assert recording.units["state"].unique().tolist() == ["h"]


@pytest.mark.slow
def test_the_memory_of_an_lstm_is_recorded_when_units_name_it():
    """State c of every step is that of NumPy, h is the layer's output."""
    layer = kl.LSTM(5, name="lstm")
    model = _sequential(layer, kl.Dense(2))
    recording = ann2neo.record(
        model,
        X,
        time_axis=1,
        layers="lstm",
        units={"lstm": {"state": ["h", "c"]}},
        shuffle=False,
    )
    kernel, recurrent, bias = layer.get_weights()
    h = c = np.zeros((N, 5))
    values = []
    for step in range(T):
        i, f, g, o = np.split(X[:, step] @ kernel + h @ recurrent + bias, 4, axis=1)
        i, f, o = (1 / (1 + np.exp(-gate)) for gate in (i, f, o))
        c = f * c + i * np.tanh(g)
        h = o * np.tanh(c)
        values.append(np.hstack([h, c]))
    expected = np.stack(values, axis=1).reshape(N * T, 10)
    # No value lies so near the threshold that rounding could matter.
    assert np.abs(expected).min() > 1e-5
    np.testing.assert_array_equal(recording.raster.to_dense(), (expected > 0).T)
    assert recording.units["state"].to_list() == ["h"] * 5 + ["c"] * 5
    only = ann2neo.record(
        model, X, time_axis=1, layers="lstm", units={"lstm": {"state": "c"}}, seed=1
    )
    assert only.units["state"].to_list() == ["c"] * 5


@pytest.mark.slow
def test_last_states_that_a_layer_returns_are_no_steps():
    """With return_state=True, the sequence alone is recorded."""
    layer = kl.LSTM(5, return_sequences=True, return_state=True, name="lstm")
    inputs = keras.Input((T, D))
    sequence, h, c = layer(inputs)
    outputs = kl.Dense(2)(kl.Concatenate()([kl.Flatten()(sequence), h, c]))
    model = keras.Model(inputs, outputs)
    recording = ann2neo.record(model, X, layers="lstm", time_axis=1, seed=4)
    values = keras.ops.convert_to_numpy(keras.Model(inputs, sequence)(X))
    np.testing.assert_array_equal(
        recording.raster.to_dense(), _expected(np.asarray(values), recording)
    )


@pytest.mark.slow
def test_steps_run_with_the_dropout_that_the_layer_has_drawn():
    """With training=True, the last step still is what the layer returned."""
    layer = kl.LSTM(5, dropout=0.5, recurrent_dropout=0.3, name="lstm")
    model = _sequential(layer, kl.Dense(2))
    how = {"layers": "lstm", "training": True, "seed": 4}
    steps = ann2neo.record(model, X, time_axis=1, **how)
    last = ann2neo.record(model, X, **how)
    ends = steps.presentations["stop_bin"].to_numpy() - 1
    np.testing.assert_array_equal(
        steps.raster.to_dense()[:, ends], last.raster.to_dense()
    )


def test_a_cell_that_does_not_come_to_the_layers_output_is_refused():
    """A layer that changes what its cell gives is not recorded as if it did not."""

    @keras.saving.register_keras_serializable("ann2neo tests")
    class Doubled(kl.LSTM):
        def call(
            self,
            sequences: Any,
            initial_state: Any = None,
            mask: Any = None,
            training: bool = False,
        ) -> Any:
            return 2 * super().call(sequences, initial_state, mask, training)

    model = _sequential(Doubled(5, name="doubled"), kl.Dense(2))
    with pytest.raises(
        LayerError, match=r"'doubled' ends .* away from the layer's own"
    ):
        ann2neo.record(model, X, layers="doubled", time_axis=1)


LENGTHS = np.random.default_rng(5).integers(1, T + 1, N)


def _padded(*, left: bool) -> np.ndarray:
    padded = np.zeros_like(X)
    for row, n in enumerate(LENGTHS):
        padded[row, T - n if left else 0 :][:n] = X[row, :n]
    return padded


@pytest.mark.parametrize(
    ("left", "return_sequences"),
    [
        (True, False),
        pytest.param(False, True, marks=pytest.mark.slow),
        pytest.param(False, False, marks=pytest.mark.slow),
        pytest.param(True, True, marks=pytest.mark.slow),
    ],
)
def test_masked_steps_are_no_bins(left: bool, return_sequences: bool):
    """Padding on either side leaves the bits of sequences shown alone."""
    layer = kl.LSTM(5, return_sequences=return_sequences, name="lstm")
    model = _sequential(kl.Masking(), layer, kl.Dense(2))
    x = _padded(left=left)
    recording = ann2neo.record(model, x, layers="lstm", time_axis=1, batch_size=8)
    every = kl.LSTM(5, return_sequences=True)
    alone = _sequential(every, shape=(None, D))
    every.set_weights(layer.get_weights())
    rows = [
        _activations(alone, every, X[i : i + 1, : LENGTHS[i]])[0]
        for i in recording.presentations["stimulus_id"]
    ]
    np.testing.assert_array_equal(
        recording.raster.to_dense(), (np.concatenate(rows) > 0).T
    )
    bins = recording.segments["stop_bin"] - recording.segments["start_bin"]
    stimuli = recording.presentations["stimulus_id"]
    assert bins.to_list() == LENGTHS[stimuli].tolist()


def test_embeddings_mask_zeros():
    """Embedding(mask_zero=True) masks its own output and what follows."""
    tokens = np.where(np.arange(T) < LENGTHS[:, None], 1 + (10 * X[..., 0] % 8), 0)
    layers = [
        kl.Embedding(10, 4, mask_zero=True, name="embedding"),
        kl.GRU(5, return_sequences=True, name="gru"),
        kl.Dense(3, name="dense"),
    ]
    model = _sequential(*layers, shape=(T,))
    recording = ann2neo.record(
        model, tokens.astype("int32"), layers=layers, time_axis=1, seed=4
    )
    assert recording.n_time_bins == LENGTHS.sum()
    assert recording.n_units == 12


def test_backward_layers_turn_their_mask():
    """The bins of a sequence that is read backwards are its steps, not its padding."""
    layer = kl.GRU(5, go_backwards=True, return_sequences=True, name="gru")
    model = _sequential(kl.Masking(), layer)
    recording = ann2neo.record(
        model, _padded(left=False), layers="gru", time_axis=1, shuffle=False
    )
    every = kl.GRU(5, return_sequences=True)
    alone = _sequential(every, shape=(None, D))
    every.set_weights(layer.get_weights())
    rows = [
        _activations(alone, every, X[i : i + 1, : LENGTHS[i]][:, ::-1])[0]
        for i in range(N)
    ]
    np.testing.assert_array_equal(
        recording.raster.to_dense(), (np.concatenate(rows) > 0).T
    )


def test_lengths_say_which_steps_count():
    """Steps beyond `lengths` are no bins, in any order and size of batches."""
    layer = kl.GRU(5, return_sequences=True, name="gru")
    model = _sequential(layer, kl.Flatten(), kl.Dense(2))
    recording = ann2neo.record(
        model, X, layers="gru", time_axis=1, lengths=LENGTHS, seed=4, batch_size=5
    )
    values = _activations(model, layer, X)
    np.testing.assert_array_equal(
        recording.raster.to_dense(), _expected(values, recording, LENGTHS)
    )
    same = ann2neo.Recording.from_activations(
        values, axes=("presentation", "step", "unit"), lengths=LENGTHS
    )
    stored = recording.in_stimulus_order()
    assert stored.raster.equals(same.raster)


@pytest.mark.parametrize(
    ("batch_size", "emission"), [(4, "threshold"), (3, "bernoulli"), (1, "poisson")]
)
def test_spikes_do_not_depend_on_batches_or_order(batch_size: int, emission: str):
    """The same sample has the same spikes in whatever batch it comes."""
    layer = kl.LSTM(5, return_sequences=True, name="lstm")
    model = _sequential(layer, kl.Activation("sigmoid", name="rate"))
    how = {"layers": "rate", "time_axis": 1, "seed": 4, "emission": emission}
    if emission == "threshold":
        how["threshold"] = 0.5
    whole = ann2neo.record(model, X, **how)
    parts = ann2neo.record(model, X, **how, shuffle=False, batch_size=batch_size)
    assert whole.in_stimulus_order().raster.equals(parts.raster)


def test_thresholds_by_quantile_go_over_all_bins():
    """The quantile of a unit is that of its activations in all steps."""
    layer = kl.GRU(5, return_sequences=True, name="gru")
    model = _sequential(layer, kl.Flatten(), kl.Dense(2))
    recording = ann2neo.record(
        model, X, layers="gru", time_axis=1, threshold="quantile:0.8", lengths=LENGTHS
    )
    values = _activations(model, layer, X)[np.arange(T) < LENGTHS[:, None]]
    expected = np.quantile(values, 0.8, axis=0, method="inverted_cdf")
    np.testing.assert_allclose(recording.units["threshold"], expected, rtol=1e-6)


def test_calls_of_a_layer_are_steps():
    """A layer that a model calls in a loop has a bin per call."""

    @keras.saving.register_keras_serializable("ann2neo tests")
    class Loop(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.cell = kl.LSTMCell(4, name="cell")
            self.shown = kl.Dense(3, name="shown")

        def call(self, x: Any) -> Any:
            states = self.cell.get_initial_state(keras.ops.shape(x)[0])
            output = None
            for step in range(T):
                output, states = self.cell(x[:, step], states)
                self.shown(output)
            return output

    model = Loop()
    model(X)
    recording = ann2neo.record(
        model, X, layers="shown", time_axis="calls", seed=4, lengths=LENGTHS
    )
    states = model.cell.get_initial_state(N)
    values = []
    for step in range(T):
        output, states = model.cell(X[:, step], states)
        values.append(keras.ops.convert_to_numpy(model.shown(output)))
    np.testing.assert_array_equal(
        recording.raster.to_dense(),
        _expected(np.stack(values, axis=1), recording, LENGTHS),
    )
    assert recording.units["call_index"].unique().tolist() == [0]


def test_sequences_of_a_stateful_network_go_on_over_batches():
    """Each stream of a stateful network is one segment, and its bits are those of one
    long sequence.
    """
    keras.utils.set_random_seed(3)
    layer = kl.LSTM(5, return_sequences=True, stateful=True, name="lstm")
    model = keras.Sequential([keras.Input(batch_shape=(3, T, D)), layer])
    recording = ann2neo.record(model, X, layers="lstm", time_axis=1, shuffle=False)
    assert len(recording.segments) == 3
    assert recording.presentations["stimulus_id"].to_list()[:7] == list(range(0, 21, 3))
    every = kl.LSTM(5, return_sequences=True)
    alone = keras.Sequential([keras.Input((N // 3 * T, D)), every])
    every.set_weights(layer.get_weights())
    streams = X.reshape(N // 3, 3, T, D).transpose(1, 0, 2, 3).reshape(3, -1, D)
    values = _activations(alone, every, streams)
    np.testing.assert_array_equal(
        recording.raster.to_dense(), (values.reshape(-1, 5) > 0).T
    )
    with pytest.raises(InputValueError, match="shuffling would break them"):
        ann2neo.record(model, X, layers="lstm", time_axis=1, shuffle=True)


def test_a_folder_holds_trials_without_the_room_for_padding(tmp_path: Any):
    """A recording in a folder is that in memory, compacted and opened again."""
    layer = kl.GRU(5, return_sequences=True, name="gru")
    model = _sequential(kl.Masking(), layer, kl.Dense(2))
    how = {"layers": "gru", "time_axis": 1, "seed": 4, "batch_size": 4}
    x = _padded(left=False)
    in_memory = ann2neo.record(model, x, **how)
    recording = ann2neo.record(model, x, **how, out=tmp_path / "rec")
    opened = ann2neo.Recording.open(tmp_path / "rec")
    assert opened.equals(recording)
    assert opened.equals(in_memory, identity=False)
    names = {path.name for path in (tmp_path / "rec").iterdir()}
    assert names - {".lock"} == {"bits.npy", "recording.json"}


@pytest.mark.slow
def test_streams_of_unlike_lengths_fill_as_many_bins_as_they_have():
    """Batches padded to lengths of their own make trials of those lengths."""
    layer = kl.GRU(5, return_sequences=True, name="gru")
    model = keras.Sequential([keras.Input((None, D)), layer])
    batches = [X[:4, :3], X[4:9, :7], X[9:, :5]]
    recording = ann2neo.record(
        model, iter(batches), layers="gru", time_axis=1, shuffle=False
    )
    rows = [_activations(model, layer, batch).reshape(-1, 5) for batch in batches]
    np.testing.assert_array_equal(
        recording.raster.to_dense(), (np.concatenate(rows) > 0).T
    )
    bins = recording.segments["stop_bin"] - recording.segments["start_bin"]
    assert bins.to_list() == [3] * 4 + [7] * 5 + [5] * 12


def test_one_trial_and_one_step():
    """The smallest recordings have one trial, or trials of one bin."""
    layer = kl.LSTM(5, return_sequences=True, name="lstm")
    model = _sequential(layer, kl.Flatten(), kl.Dense(2))
    assert len(ann2neo.record(model, X[:1], layers="lstm", time_axis=1).segments) == 1
    single = _sequential(kl.LSTM(5, name="lstm"), kl.Dense(2), shape=(1, D))
    recording = ann2neo.record(single, X[:, :1], layers="lstm", time_axis=1)
    assert recording.n_time_bins == len(recording.segments) == N
    repeated = ann2neo.record(model, X, layers="lstm", time_axis=1, n_repeats=2)
    assert repeated.phases["n_segments"].to_list() == [N, N]


def test_without_time_steps_stay_units_and_one_warning_says_so():
    """The raster is what it was, and the warning names the argument."""
    layer = kl.LSTM(5, return_sequences=True, name="lstm")
    model = _sequential(layer, kl.Flatten(), kl.Dense(2))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        probe = ann2neo.Probe(model, "lstm")
        recording = probe.record(X, seed=4)
        probe.record(X, seed=4)
    messages = [str(w.message) for w in caught if w.category is ann2neo.StepsWarning]
    assert len(messages) == 1
    assert "the 7 steps of the layer 'lstm' became units" in messages[0]
    assert "time_axis=1" in messages[0]
    assert recording.n_units == 5 * T
    assert "state" not in recording.units
    assert "time_axis" not in recording.provenance


BAD = {
    "batch axis": ({"time_axis": 0}, InputValueError, "the axis of the batch"),
    "no number": ({"time_axis": "steps"}, InputValueError, "a number or 'calls'"),
    "a fraction": ({"time_axis": 1.5}, InputTypeError, "or 'calls'"),
    "not there": ({"time_axis": 3}, ActivationError, "no axis 3 of steps"),
    "too long": (
        {"time_axis": 1, "lengths": [T + 1] * N},
        InputValueError,
        "1 to 7 steps, got 8 at presentation 0",
    ),
    "zero": (
        {"time_axis": 1, "lengths": [0] * N},
        InputValueError,
        "1 or more steps, got 0 at presentation 0",
    ),
    "too few": (
        {"time_axis": 1, "lengths": [1, 2]},
        InputValueError,
        "one entry per presentation, shape (21,)",
    ),
    "no time": ({"lengths": [1] * N}, InputValueError, "no axis is time"),
    "no steps": (
        {"time_axis": 1, "layers": "dense"},
        ActivationError,
        "no axis 1 of steps",
    ),
    "unlike": (
        {"time_axis": 1, "layers": ["gru", "pool"]},
        ActivationError,
        "unlike numbers of steps",
    ),
    "emission": ({"emission": "gauss"}, InputValueError, "gauss"),
    "both": (
        {"emission": "poisson", "threshold": 0.5},
        InputValueError,
        "has no threshold",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case: str):
    """Each is refused with the rule and a remedy."""
    arguments, error, words = BAD[case]
    model = _sequential(
        kl.GRU(5, return_sequences=True, name="gru"),
        kl.MaxPooling1D(2, name="pool"),
        kl.Flatten(),
        kl.Dense(2, name="dense"),
    )
    with pytest.raises(error, match=re.escape(words)):
        ann2neo.record(model, X, **{"layers": "gru", **arguments})


def test_a_sample_that_is_all_padding_is_refused():
    """It would last no bin; the error names it."""
    model = _sequential(kl.Masking(), kl.GRU(5, return_sequences=True, name="gru"))
    x = X.copy()
    x[3] = 0
    with pytest.raises(InputValueError, match=r"presentation 3, sample 3 of the data"):
        ann2neo.record(model, x, layers="gru", time_axis=1, shuffle=False)


def test_activations_that_are_not_finite_are_named_with_their_step():
    """NaN in a step is an error, NaN in the padding is not."""
    shift = kl.Lambda(keras.ops.log, name="log")
    model = _sequential(shift, kl.Flatten(), kl.Dense(2))
    x = np.abs(X) + 0.1
    x[2, 4, 1] = 0
    with pytest.raises(ActivationError, match="-inf at presentation 2, step 4, unit 1"):
        ann2neo.record(model, x, layers="log", time_axis=1, shuffle=False)
    lengths = np.full(N, T)
    lengths[2] = 4
    recording = ann2neo.record(
        model, x, layers="log", time_axis=1, shuffle=False, lengths=lengths
    )
    assert recording.n_time_bins == lengths.sum()


def test_drawn_spikes_follow_the_activations():
    """The share of spikes is the activation, or 1 - exp(-activation), and the unit
    table has no thresholds.
    """
    model = _sequential(kl.Identity(name="rate"), kl.Dense(2), shape=(4,))
    rates = np.tile(np.array([0.0, 0.1, 0.5, 1.0], np.float32), (20_000, 1))
    for emission, p in (
        ("bernoulli", rates[0]),
        ("poisson", 1 - np.exp(-rates[0])),
    ):
        recording = ann2neo.record(
            model, rates, layers="rate", seed=1, emission=emission
        )
        share = recording.raster.spike_counts() / len(rates)
        np.testing.assert_allclose(share, p, atol=4 * np.sqrt(0.25 / len(rates)))
        assert share[0] == 0
        assert recording.provenance["emission"] == emission
        assert recording.provenance["share_clipped"] == "0"
        assert "threshold" not in recording.units
        assert "threshold" not in recording.provenance


def test_activations_that_are_no_probabilities_are_clipped_and_counted():
    """A warning and the provenance give the share."""
    model = _sequential(kl.Identity(name="rate"), kl.Dense(2), shape=(4,))
    x = np.tile(np.array([-1.0, 0.5, 0.5, 2.0], np.float32), (40, 1))
    with pytest.warns(ann2neo.ActivityWarning, match=r"0.5 of the activations lie out"):
        recording = ann2neo.record(
            model, x, layers="rate", seed=1, emission="bernoulli"
        )
    assert recording.provenance["share_clipped"] == "0.5"
    counts = recording.raster.spike_counts()
    assert (counts[0], counts[3]) == (0, 40)


def test_units_that_are_left_out_do_not_change_drawn_spikes():
    """A chosen unit has the spikes that it has among all."""
    layer = kl.LSTM(6, return_sequences=True, activation="sigmoid", name="lstm")
    model = _sequential(layer, kl.Dense(2))
    how = {"layers": "lstm", "time_axis": 1, "seed": 4, "emission": "poisson"}
    some = ann2neo.record(model, X, **how, units=3)
    whole = ann2neo.record(model, X, **how)
    places = some.units["unit_in_layer"].to_numpy()
    assert some.raster.equals(whole.raster.take(units=places))


def test_repeats_draw_anew():
    """The spikes of two repeats differ, since each has random numbers of its own."""
    model = _sequential(kl.Activation("sigmoid", name="rate"), shape=(D,))
    recording = ann2neo.record(
        model,
        X[:, 0],
        layers="rate",
        seed=1,
        emission="bernoulli",
        n_repeats=2,
        shuffle=False,
    )
    first, second = (recording.phase_raster(f"recording_{i}") for i in (1, 2))
    assert not first.equals(second)
