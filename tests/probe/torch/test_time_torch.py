"""Steps of sequences, and calls of modules, as time bins of networks of PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import ann2neo
from ann2neo import InputValueError, LayerError

N, T, D = 21, 7, 3
X = np.random.default_rng(0).normal(size=(N, T, D)).astype("float32")
LENGTHS = np.random.default_rng(5).integers(1, T + 1, N)
MASK = np.arange(T) < LENGTHS[:, None]


def _expected(values: Any, recording: Any, lengths: Any = None) -> np.ndarray:
    """The bits of sequences of shape (sample, step, unit), in the order shown."""
    order = recording.presentations["stimulus_id"].to_numpy()
    values = np.asarray(values.detach())
    lengths = np.full(N, values.shape[1]) if lengths is None else np.asarray(lengths)
    rows = [values[i, : lengths[i]].reshape(lengths[i], -1) for i in order]
    return (np.concatenate(rows) > 0).T


class Last(nn.Module):
    """A recurrent module whose last output enters a linear one."""

    def __init__(self, recurrent: Any, n_units: int) -> None:
        super().__init__()
        self.recurrent, self.head = recurrent, nn.Linear(n_units, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.recurrent.batch_first:
            x = x.transpose(0, 1)
        output, _ = self.recurrent(x)
        return self.head(output[:, -1] if self.recurrent.batch_first else output[-1])


RECURRENT = {
    "LSTM": lambda: (nn.LSTM(D, 5, batch_first=True), 5),
    "LSTM, batch behind": lambda: (nn.LSTM(D, 5), 5),
    "two layers": lambda: (nn.LSTM(D, 5, 2, batch_first=True), 5),
    "bidirectional": lambda: (nn.LSTM(D, 5, batch_first=True, bidirectional=True), 10),
    "GRU": lambda: (nn.GRU(D, 5, batch_first=True), 5),
    "RNN": lambda: (nn.RNN(D, 5, batch_first=True), 5),
}


@pytest.mark.parametrize("kind", RECURRENT)
def test_bits_are_those_of_the_modules_own_sequences(kind: str):
    """Each step is a bin, each sample a segment, and only samples are shuffled."""
    torch.manual_seed(1)
    recurrent, n_units = RECURRENT[kind]()
    model = Last(recurrent, n_units)
    recording = ann2neo.record(model, X, layers="recurrent", time_axis=1, seed=4)
    x = torch.from_numpy(X)
    behind = not recurrent.batch_first
    values = recurrent(x.transpose(0, 1) if behind else x)[0]
    values = values.transpose(0, 1) if behind else values
    np.testing.assert_array_equal(
        recording.raster.to_dense(), _expected(values, recording)
    )
    assert recording.units["state"].unique().tolist() == ["h"]
    assert len(recording.segments) == N
    assert recording.presentations["stimulus_id"].to_list() != list(range(N))


@pytest.mark.parametrize("n_layers", [1, 2])
def test_the_memory_of_an_lstm_is_that_of_its_cell(n_layers: int):
    """State c of every step is what nn.LSTMCell computes with the same weights."""
    torch.manual_seed(1)
    model = Last(nn.LSTM(D, 5, n_layers, batch_first=True), 5)
    recording = ann2neo.record(
        model,
        X,
        layers="recurrent",
        time_axis=1,
        units={"recurrent": {"state": ["h", "c"]}},
        shuffle=False,
    )
    inputs = list(torch.from_numpy(X).unbind(1))
    memories: list[torch.Tensor] = []
    for layer in range(n_layers):
        cell = nn.LSTMCell(inputs[0].shape[1], 5)
        own = model.recurrent.state_dict()
        cell.load_state_dict(
            {name: own[f"{name}_l{layer}"] for name in cell.state_dict()}
        )
        state, hidden, memories = None, [], []
        for x in inputs:
            state = cell(x, state)
            hidden.append(state[0])
            memories.append(state[1])
        inputs = hidden
    values = torch.cat([torch.stack(inputs, 1), torch.stack(memories, 1)], dim=2)
    assert values.abs().min() > 1e-6
    np.testing.assert_array_equal(
        recording.raster.to_dense(), _expected(values, recording)
    )
    assert recording.units["state"].to_list() == ["h"] * 5 + ["c"] * 5


def test_the_memory_of_a_bidirectional_lstm_is_refused():
    """Its backward direction cannot be run step by step."""
    model = Last(nn.LSTM(D, 5, batch_first=True, bidirectional=True), 10)
    with pytest.raises(LayerError, match="is bidirectional"):
        ann2neo.record(
            model,
            X,
            layers="recurrent",
            time_axis=1,
            units={"recurrent": {"state": "c"}},
        )


class Packed(nn.Module):
    """An LSTM that is given packed sequences, in the order of the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(D, 5, batch_first=True)

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        packed = pack_padded_sequence(
            x, lengths.cpu(), batch_first=True, enforce_sorted=False
        )
        output, _ = self.lstm(packed)
        return pad_packed_sequence(output, batch_first=True)[0].sum(1)


@pytest.mark.parametrize("states", [["h"], ["h", "c"]])
def test_packed_sequences_last_as_long_as_they_are(states: list[str]):
    """The bins of a packed sequence are its own steps, whatever the padding holds."""
    torch.manual_seed(1)
    model = Packed()
    x = np.where(MASK[..., None], X, 1e3).astype("float32")
    recording = ann2neo.record(
        model,
        [x, LENGTHS],
        layers="lstm",
        time_axis=1,
        seed=4,
        batch_size=6,
        units={"lstm": {"state": states}},
    )
    bins = recording.segments["stop_bin"] - recording.segments["start_bin"]
    stimuli = recording.presentations["stimulus_id"]
    assert bins.to_list() == LENGTHS[stimuli].tolist()
    values = model.lstm(torch.from_numpy(X))[0]
    np.testing.assert_array_equal(
        recording.raster.to_dense()[:5], _expected(values, recording, LENGTHS)
    )
    assert recording.n_units == 5 * len(states)


@pytest.mark.parametrize("is_batch_first", [False, True])
def test_tokens_of_a_transformer_are_steps(is_batch_first: bool):
    """A padding mask of the layers says which tokens count."""
    torch.manual_seed(1)

    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            layer = nn.TransformerEncoderLayer(
                4, 2, 8, batch_first=is_batch_first, dropout=0.0
            )
            self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

        def forward(self, x: torch.Tensor, padding: torch.Tensor) -> torch.Tensor:
            tokens = x if is_batch_first else x.transpose(0, 1)
            return self.encoder(tokens, src_key_padding_mask=padding)

    model = Encoder().eval()
    x = np.random.default_rng(2).normal(size=(N, T, 4)).astype("float32")
    recording = ann2neo.record(
        model, [x, ~MASK], layers=["encoder.layers.0", "encoder"], time_axis=1, seed=4
    )
    with torch.no_grad():
        last = model(torch.from_numpy(x), torch.from_numpy(~MASK))
    last = last if is_batch_first else last.transpose(0, 1)
    np.testing.assert_array_equal(
        recording.raster.to_dense()[4:], _expected(last, recording, LENGTHS)
    )


def test_an_attention_mask_among_the_stimuli_says_which_tokens_count():
    """As transformers take it: a dictionary with attention_mask, 1 for a token."""

    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(9, 4)

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            return self.embedding(input_ids) * attention_mask[..., None]

    torch.manual_seed(1)
    ids = np.random.default_rng(2).integers(0, 9, (N, T))
    recording = ann2neo.record(
        model := Tokens(),
        {"input_ids": ids, "attention_mask": MASK.astype(int)},
        layers="embedding",
        time_axis=1,
        seed=4,
    )
    values = model.embedding(torch.from_numpy(ids))
    np.testing.assert_array_equal(
        recording.raster.to_dense(), _expected(values, recording, LENGTHS)
    )


class Spiking(nn.Module):
    """A layer of spiking units that is called once per time step."""

    def __init__(self, unit: Any, *, keeps: bool) -> None:
        super().__init__()
        self.inputs, self.unit, self.keeps = nn.Linear(D, 6), unit, keeps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        spikes, state = [], None
        for now in x.unbind(1):
            if self.keeps:
                spikes.append(self.unit(self.inputs(now)))
            else:
                spike, state = self.unit(self.inputs(now), state)
                spikes.append(spike)
        return torch.stack(spikes, 1)


class Leaky(nn.Module):
    """Units that sum their input up and reset at 1."""

    def forward(self, x: Any, potential: Any = None) -> Any:
        potential = x if potential is None else 0.9 * potential + x
        spike = (potential > 1).to(x)
        return spike, potential - spike


def _snntorch() -> nn.Module:
    return pytest.importorskip("snntorch").Leaky(beta=0.9)


SPIKING = {
    "own": (Leaky, "unit"),
    "snnTorch": (_snntorch, "unit"),
}


@pytest.mark.parametrize("kind", SPIKING)
def test_calls_of_a_spiking_module_are_steps(kind: str):
    """The bits are the spikes that the network returns, step by step."""
    torch.manual_seed(1)
    make, name = SPIKING[kind]
    model = Spiking(make(), keeps=False)
    if kind == "snnTorch":
        model.unit.init_hidden = False
        start = model.unit.init_leaky

        def forward(x: torch.Tensor) -> torch.Tensor:
            state, spikes = start(), []
            for now in x.unbind(1):
                spike, state = model.unit(model.inputs(now), state)
                spikes.append(spike)
            return torch.stack(spikes, 1)

        model.forward = forward
    x = 3 * X
    recording = ann2neo.record(
        model,
        x,
        layers=name,
        time_axis="calls",
        seed=4,
        units={name: {"output_index": 0}},
        lengths=LENGTHS,
        batch_size=5,
    )
    expected = _expected(model(torch.from_numpy(x)), recording, LENGTHS)
    assert 0 < expected.mean() < 1
    np.testing.assert_array_equal(recording.raster.to_dense(), expected)
    assert recording.units["call_index"].unique().tolist() == [0]
    assert recording.provenance["time_axis"] == "calls"


def test_a_module_that_keeps_its_state_goes_on_from_batch_to_batch():
    """Streams of a network with hidden states are one segment each."""
    snntorch = pytest.importorskip("snntorch")
    torch.manual_seed(1)
    model = Spiking(snntorch.Leaky(beta=0.9, init_hidden=True), keeps=True)
    x = 3 * X
    recording = ann2neo.record(
        model, x, layers="unit", time_axis="calls", batch_size=7, seed=1
    )
    assert len(recording.segments) == 7
    stimuli = recording.presentations["stimulus_id"].to_list()
    assert stimuli[:3] == [0, 7, 14]
    streams = x.reshape(3, 7, T, D).transpose(1, 0, 2, 3).reshape(7, 3 * T, D)
    model.unit.reset_hidden()
    spikes = model(torch.from_numpy(streams)).detach().numpy()
    np.testing.assert_array_equal(
        recording.raster.to_dense(), (spikes.reshape(-1, 6) > 0).T
    )
    with pytest.raises(InputValueError, match="shuffling would break them"):
        ann2neo.record(model, x, layers="unit", time_axis="calls", shuffle=True)


@pytest.mark.may_skip(reason="CI does not install Norse")
def test_cells_of_norse_are_called_once_per_step():
    """The spikes of a LIFCell, its first output, are the bits."""
    norse = pytest.importorskip("norse.torch")
    torch.manual_seed(1)
    model = Spiking(norse.LIFCell(), keeps=False)
    x = 9 * X
    recording = ann2neo.record(
        model,
        x,
        layers="unit",
        time_axis="calls",
        seed=4,
        units={"unit": {"output_index": 0}},
    )
    expected = _expected(model(torch.from_numpy(x)), recording)
    assert 0 < expected.mean() < 1
    np.testing.assert_array_equal(recording.raster.to_dense(), expected)


@pytest.mark.may_skip(reason="CI does not install SpikingJelly")
def test_neurons_of_spikingjelly_that_are_reset_give_trials():
    """The bits are what the network returns from rest; its state is as it was."""
    neuron = pytest.importorskip("spikingjelly.activation_based.neuron")
    functional = pytest.importorskip("spikingjelly.activation_based.functional")
    torch.manual_seed(1)

    class Reset(Spiking):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            functional.reset_net(self)
            return super().forward(x)

    model = Reset(neuron.LIFNode(), keeps=True)
    x = 9 * X
    recording = ann2neo.record(
        model, x, layers="unit", time_axis="calls", seed=4, batch_size=5
    )
    assert len(recording.segments) == N
    expected = _expected(model(torch.from_numpy(x)), recording)
    assert 0 < expected.mean() < 1
    np.testing.assert_array_equal(recording.raster.to_dense(), expected)


def test_calls_that_differ_are_no_steps():
    """A module whose outputs change their shape from call to call is refused."""

    class Growing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.unit = nn.ReLU()
            self.head = nn.Linear(D, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for step in range(1, 3):
                self.unit(x[:, :step].flatten(1))
            return self.head(x[:, 0])

    with pytest.raises(LayerError, match="cannot be the steps of one unit"):
        ann2neo.record(Growing(), X, layers="unit", time_axis="calls")


@pytest.mark.parametrize("emission", ["bernoulli", "poisson"])
def test_drawn_spikes_are_those_of_the_activations_alone(emission: str):
    """A network of PyTorch draws what arrays of its activations would."""
    from ann2neo.probe.emission import Draw

    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(D, 4), nn.Sigmoid())
    recording = ann2neo.record(
        model, X, layers="1", time_axis=1, seed=4, emission=emission, shuffle=False
    )
    rates = model(torch.from_numpy(X)).detach().numpy().reshape(-1, 4)
    drawn = Draw(emission, 4, 0, 0, 4).spikes(rates, np.arange(N), np.full(N, T), None)
    bits = np.unpackbits(drawn.packed, axis=0, bitorder="little")[: N * T]
    np.testing.assert_array_equal(recording.raster.to_dense(), bits.T == 1)
