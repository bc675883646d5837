"""Networks of PyTorch: every kind of model and module against activations taken with
plain hooks, and left as they were.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from networks import BATCH, CASES, Case, N, everything, expected, normal, random_states
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

import ann2neo
from ann2neo.errors import (
    ActivationError,
    InputTypeError,
    InputValueError,
    LayerError,
)
from ann2neo.probe.torch import packing

pytestmark = pytest.mark.filterwarnings("ignore::ann2neo.ActivityWarning")
X, Y = normal(5), np.arange(N) % 3


def _network() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Linear(5, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 3), nn.Identity()
    )


def _spikes(recording: ann2neo.Recording) -> np.ndarray:
    """Spikes of shape (sample, unit)."""
    return recording.in_stimulus_order().raster.to_dense().T


@pytest.mark.parametrize("name", CASES)
def test_spikes_are_the_activations_above_threshold(name: str) -> None:
    """Each unit spikes exactly where its activation, taken with a plain hook, is above
    zero; network and random generators are as before.
    """
    torch.manual_seed(1)
    case = CASES[name]()
    case.model.train()
    case.model[0].eval() if isinstance(case.model, nn.Sequential) else None
    values = expected(case)
    before, states = everything(case.model), random_states()
    x_before = [array.copy() for array in _arrays(case)]
    recording = ann2neo.record(
        case.model, case.x, layers=case.layers, shuffle=False, batch_size=BATCH
    )
    assert everything(case.model) == before
    assert random_states() == states
    for array, was in zip(_arrays(case), x_before, strict=True):
        np.testing.assert_array_equal(array, was)
    np.testing.assert_array_equal(recording.raster.to_dense().T, values > 0)
    assert recording.units["layer"].unique().tolist() == list(case.names)
    assert 0 < recording.raster.to_dense().mean() < 1


def _arrays(case: Case) -> list[np.ndarray]:
    if isinstance(case.x, dict):
        return list(case.x.values())
    return case.x if isinstance(case.x, list) else [case.x]


def test_calls_outputs_and_axes_are_told_apart() -> None:
    """The calls of a module, its several outputs, and the axes of images and sequences
    stand in the unit table.
    """

    def units(name: str, **arguments: Any) -> Any:
        case = CASES[name]()
        settings = {"layers": case.layers, **arguments}
        return ann2neo.record(case.model, case.x, **settings).units

    shared = units("shared_module")
    assert shared.groupby(["layer", "call_index"]).size().tolist() == [4] * 6
    lstm = units("lstm")
    assert lstm.groupby("output_index").size().tolist() == [30, 10, 10]
    assert lstm.loc[[0, 1, 5], ["step", "channel"]].to_numpy().tolist() == [
        [0, 0],
        [0, 1],
        [1, 0],
    ]
    image = units("convolution", layers="2")
    places = image[["channel", "row", "col"]].to_numpy()
    assert places[[0, 1, 7, 42]].tolist() == [
        [0, 0, 0],
        [0, 0, 1],
        [0, 1, 0],
        [1, 0, 0],
    ]
    both = units("convolutions_in_one_and_three_dimensions")
    of_one = both[both["layer"] == "one"]
    assert of_one["channel"].tolist() == np.repeat(np.arange(3), 7).tolist()
    assert of_one["step"].tolist() == list(range(7)) * 3


def test_one_and_the_same_recording_whatever_the_way_in() -> None:
    """Arrays, tensors, dictionaries and loaders give the same spikes and labels."""
    model = _network()
    plain = ann2neo.record(
        model, X, labels=Y, layers="1", shuffle=False, batch_size=BATCH, seed=0
    )
    data = TensorDataset(torch.from_numpy(X), torch.from_numpy(Y))
    ways = {
        "tensor": (torch.from_numpy(X), {"labels": torch.from_numpy(Y)}),
        "double": (X.astype("float64"), {"labels": Y}),
        "keyword": ({"input": X}, {"labels": Y}),
        "list": ([X], {"labels": Y}),
        "tensor with a gradient": (
            torch.from_numpy(X.copy()).requires_grad_(),
            {"labels": Y},
        ),
        "loader": (DataLoader(data, BATCH), {}),
        "workers": (DataLoader(data, BATCH, num_workers=2), {}),
        "collate": (
            DataLoader(
                data,
                BATCH,
                collate_fn=lambda rows: {
                    "input": torch.stack([x for x, _ in rows]),
                    "labels": torch.stack([y for _, y in rows]),
                },
            ),
            {},
        ),
        "batches": ([(X[i : i + BATCH], Y[i : i + BATCH]) for i in (0, 8, 16)], {}),
    }
    for name, (x, more) in ways.items():
        settings = {"batch_size": BATCH} if "labels" in more else {}
        recording = ann2neo.record(
            model, x, layers="1", shuffle=False, seed=0, **more, **settings
        )
        assert recording.raster.equals(plain.raster), name
        for column in ("label", "prediction"):
            np.testing.assert_array_equal(
                recording.presentations[column], plain.presentations[column], name
            )
    with torch.inference_mode():
        scores = model.eval()(torch.from_numpy(X)).numpy()
    np.testing.assert_array_equal(plain.presentations["prediction"], scores.argmax(1))


class Stream(IterableDataset):
    """Samples without a number."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __iter__(self) -> Any:
        return ((torch.from_numpy(X[i]), int(Y[i])) for i in range(self.n))


def test_a_loader_without_length_is_read_once_and_leaves_its_seeds() -> None:
    """A loader without a length is recorded batch by batch; a shuffled one draws from
    PyTorch's generator, which is as before; an empty one and a bare data set are
    errors.
    """
    model = _network()
    recording = ann2neo.record(model, DataLoader(Stream(N), 6), layers="1")
    plain = ann2neo.record(model, X, layers="1", shuffle=False, batch_size=6)
    assert recording.raster.equals(plain.raster)
    data = TensorDataset(torch.from_numpy(X), torch.from_numpy(Y))
    states = random_states()
    shuffled = ann2neo.record(model, DataLoader(data, 7, shuffle=True), layers="1")
    assert random_states() == states
    assert shuffled.phases["order"].tolist() == ["unknown"]
    assert shuffled.presentations["label"].tolist() != Y.tolist()
    with pytest.raises(InputValueError, match="there are no stimuli"):
        ann2neo.record(model, DataLoader(Stream(0)), layers="1", shuffle=False)
    with pytest.raises(InputTypeError, match=r"DataLoader\(dataset, batch_size=64\)"):
        ann2neo.record(model, data, layers="1", shuffle=False)
    with pytest.raises(InputValueError, match="leave shuffle out"):
        ann2neo.record(model, DataLoader(data, 7), layers="1", shuffle=True)


@pytest.mark.parametrize(
    ("layers", "names"),
    [
        ("first", ["first"]),
        ("part.0", ["part.0"]),
        ("part.*", ["part.0", "part.1"]),
        ("*", ["first", "part.0", "part.1", "head"]),
        (nn.Sequential, ["part"]),
        (nn.Linear, ["first", "part.0", "head"]),
        (["head", "first"], ["head", "first"]),
        (lambda module: getattr(module, "out_features", 0) == 6, ["part.0"]),
        ("with weights", ["first", "part.0", "head"]),
        ("with an activation", ["part.1"]),
        ([nn.ReLU, "first", "part.*"], ["part.1", "first", "part.0"]),
        (None, ["part.1"]),
    ],
)
def test_modules_are_chosen_in_every_way(layers: Any, names: list[str]) -> None:
    """Names, globs, classes, predicates and lists choose modules, in the order asked;
    None means the last hidden one.
    """

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(5, 4)
            self.part = nn.Sequential(nn.Linear(4, 6), nn.ReLU(inplace=True))
            self.spare = nn.ModuleList()
            self.head = nn.Linear(6, 2)

        def forward(self, x: Any) -> Any:
            x = self.part(self.first(x))
            return self.head(nn.functional.dropout(x.flatten(1), training=False))

    model = Network()
    recording = ann2neo.record(model, X, layers=layers)
    assert recording.units["layer"].unique().tolist() == names
    by_object = [model.get_submodule(name) for name in names]
    again = ann2neo.record(model, X, layers=by_object, shuffle=False)
    assert again.units["layer"].unique().tolist() == names
    itself = ann2neo.record(model, X, layers=model, shuffle=False)
    assert itself.units["layer"].unique().tolist() == ["Network"]


class Residual(nn.Module):
    """Operations that hide where the input of the head comes from."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(5, 5), nn.Linear(5, 2)

    def forward(self, x: Any) -> Any:
        return self.head(self.body(x) + x)


class Convolutional(nn.Module):
    """Activations and pooling that are functions."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 3)
        self.fc = nn.Linear(12, 2)

    def forward(self, x: Any) -> Any:
        x = torch.max_pool2d(torch.relu(self.conv(x)), 2)
        return torch.log_softmax(self.fc(torch.flatten(x, 1)), dim=1)


def test_the_last_hidden_module_is_found_through_functions() -> None:
    """Relu, pooling and flattening as functions are walked over, and the module before
    them is recorded, whose output is above 0 where relu's is; a sum is ambiguous.
    """
    model, x = Convolutional(), normal(1, 6, 6)
    recording = ann2neo.record(model, x, shuffle=False, batch_size=N)
    assert recording.units["layer"].unique().tolist() == ["conv"]
    with torch.inference_mode():
        values = torch.relu(model.conv(torch.from_numpy(x))).flatten(1).numpy()
    np.testing.assert_array_equal(recording.raster.to_dense().T, values > 0)
    with pytest.raises(LayerError, match=r"ambiguous.*'add'.*'body', 'head'"):
        ann2neo.record(Residual(), X)
    with pytest.raises(LayerError, match=r"no hidden layer.*'0'"):
        ann2neo.record(nn.Sequential(nn.Linear(5, 2)), X)


@pytest.mark.parametrize(
    ("threshold", "units", "limits"),
    [
        (0.4, None, np.full(8, 0.4)),
        (np.linspace(0, 0.7, 8), None, np.linspace(0, 0.7, 8)),
        (0.1, {"0": {"unit_in_layer": [1, 6, 3]}}, np.full(8, 0.1)),
        ("quantile:0.5", None, None),
        ("quantile:0.5", 5, None),
    ],
)
def test_thresholds_quantiles_and_units(
    threshold: Any, units: Any, limits: Any
) -> None:
    """Numbers, one per unit, quantiles and a choice of units hold as for Keras."""
    model = _network()
    recording = ann2neo.record(
        model,
        X,
        layers="0",
        threshold=threshold,
        units=units,
        shuffle=False,
        batch_size=N,
    )
    with torch.inference_mode():
        values = model[0](torch.from_numpy(X)).numpy()
    if limits is None:
        limits = np.quantile(values, 0.5, axis=0, method="inverted_cdf")
    chosen = recording.units["unit_in_layer"].to_numpy()
    spikes = values.astype(np.float64) > limits
    np.testing.assert_array_equal(recording.raster.to_dense().T, spikes[:, chosen])
    if units is not None:
        assert len(chosen) == (units if isinstance(units, int) else 3)


def test_noise_is_seeded_and_statistics_of_batches_are_not_kept() -> None:
    """With training=True dropout is active: the same for the same seed, another in each
    repeat; averages of the batch normalization stay what they were.
    """
    model = nn.Sequential(
        nn.Linear(5, 40), nn.BatchNorm1d(40), nn.Dropout(0.5), nn.Linear(40, 2)
    ).eval()
    before, states = everything(model), random_states()
    settings = {"layers": "2", "training": True, "n_repeats": 2, "seed": 5}
    one = ann2neo.record(model, X, **settings)
    assert everything(model) == before
    assert random_states() == states
    torch.manual_seed(9)
    other = ann2neo.record(model, X, **settings)
    assert one.equals(other, identity=False)
    quiet = ann2neo.record(model, X, **{**settings, "training": False})
    first, second = (
        _spikes(_phase(one, name)) for name in ("recording_1", "recording_2")
    )
    assert (first != second).any()
    assert first.mean() < _spikes(_phase(quiet, "recording_1")).mean()
    assert one.provenance["training"] == "True"


def _phase(recording: ann2neo.Recording, name: str) -> ann2neo.Recording:
    return recording.select(phase=name)


class Stochastic(nn.Module):
    """Noise of every generator, whatever the mode."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.head = nn.Linear(5, 8), nn.Linear(8, 2)

    def forward(self, x: Any) -> Any:
        x = x + torch.randn_like(x) + np.random.normal() + random.random()  # noqa: NPY002, S311
        return self.head(self.hidden(x))


def test_noise_outside_training_is_seeded_too() -> None:
    """A network that is always random gives the same spikes for the same seed, and
    leaves all generators as they were.
    """
    model = Stochastic()
    states = random_states()
    one = ann2neo.record(model, X, layers="hidden", seed=4, batch_size=8)
    assert random_states() == states
    torch.manual_seed(17)
    again = ann2neo.record(model, X, layers="hidden", seed=4, batch_size=8)
    other = ann2neo.record(model, X, layers="hidden", seed=5, batch_size=8)
    assert one.raster.equals(again.raster)
    assert not one.in_stimulus_order().raster.equals(other.in_stimulus_order().raster)


class Interrupted:
    """Stimuli that end a recording with an error after some samples."""

    shape, dtype = X.shape, X.dtype

    def __init__(self, after: int) -> None:
        self.left = after

    def __len__(self) -> int:
        return N

    def __getitem__(self, rows: Any) -> np.ndarray:
        self.left -= len(X[rows])
        if self.left < 0:
            raise KeyboardInterrupt
        return X[rows]


def test_a_folder_is_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupted recording into a folder goes on where it stopped, noise included,
    and is what a whole one would have been.
    """
    from ann2neo.recording.folder import UnfinishedFolder

    monkeypatch.setattr(UnfinishedFolder, "seconds_between_marks", 0.0)
    model = _network()
    settings = {
        "layers": ["1", "2"],
        "labels": Y,
        "training": True,
        "batch_size": 4,
        "n_repeats": 2,
    }
    before = everything(model)
    with pytest.raises(KeyboardInterrupt):
        ann2neo.record(model, Interrupted(32), out=tmp_path / "rec", seed=2, **settings)
    assert everything(model) == before
    resumed = ann2neo.record(model, X, out=tmp_path / "rec", **settings)
    whole = ann2neo.record(model, X, seed=2, **settings)
    assert resumed.equals(whole, identity=False)
    assert ann2neo.Recording.open(tmp_path / "rec").equals(resumed)


class Remembering(nn.Module):
    """Units with a membrane potential that lasts from one call to the next."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.leave = nn.Linear(5, 6), nn.Linear(6, 2)
        self.register_buffer("potential", torch.zeros(6))
        self.seen: list[int] = []

    def forward(self, x: Any) -> Any:
        self.seen.append(len(x))
        currents = self.enter(x)
        outputs = []
        for current in currents:
            self.potential = 0.9 * self.potential + current
            outputs.append(self.potential)
        return self.leave(self.membrane(torch.stack(outputs)))

    def membrane(self, x: Any) -> Any:
        return self.pass_on(x)


def test_a_state_goes_on_from_batch_to_batch() -> None:
    """A network that remembers runs on over the batches, in unknown order if shuffled,
    and forgets the recording afterwards.
    """
    model = Remembering()
    model.pass_on = nn.Identity()
    before, seen = everything(model), list(model.seen)
    recording = ann2neo.record(
        model, X, layers="pass_on", shuffle=False, batch_size=BATCH
    )
    assert everything(model) == before
    assert model.seen == seen
    potential, rows = torch.zeros(6), []
    with torch.inference_mode():
        for first in range(0, N, BATCH):
            for current in model.enter(torch.from_numpy(X[first : first + BATCH])):
                potential = 0.9 * potential + current
                rows.append(potential.numpy())
    np.testing.assert_array_equal(recording.raster.to_dense().T, np.stack(rows) > 0)
    shuffled = ann2neo.record(model, X, layers="pass_on")
    assert shuffled.phases["order"].tolist() == ["unknown"]


def test_spikes_in_a_training_loop_change_nothing() -> None:
    """Spikes taken after every step leave the training as it would be without them, and
    are those of a recording.
    """

    def train(probe: ann2neo.Probe | None, model: nn.Module) -> list[Any]:
        optimizer = torch.optim.Adam(model.parameters(), 0.1)
        torch.manual_seed(0)
        taken = []
        for _ in range(3):
            loss = nn.functional.cross_entropy(
                model(torch.from_numpy(X)), torch.from_numpy(Y)
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if probe is not None:
                taken.append(probe.spikes(X, seed=1)[0])
        return taken

    plain, probed = _network(), _network()
    probe = ann2neo.Probe(probed, "1")
    train(None, plain)
    taken = train(probe, probed)
    for name, tensor in plain.state_dict().items():
        assert torch.equal(tensor, probed.state_dict()[name])
    assert probed.training
    assert taken[-1].equals(probe.record(X, seed=1).raster)
    assert not taken[0].equals(taken[-1])


class _Breaking(nn.Module):
    """Passes numbers on, except that it makes something else of 99."""

    def __init__(self, bad: float) -> None:
        super().__init__()
        self.bad = bad

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.where(x == 99, self.bad, x)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("chosen", [None, {"0": {"unit_in_layer": [2, 4]}}])
def test_activations_that_are_not_finite_name_layer_and_sample(
    bad: float, chosen: Any
) -> None:
    """A NaN or infinite activation is an error that names layer, presentation and unit,
    and the network is as before.
    """
    model = nn.Sequential(_Breaking(bad), nn.Linear(5, 2))
    x = X.copy()
    x[13, 2] = 99
    before, states = everything(model), random_states()
    with pytest.raises(
        ActivationError, match=rf"'0' gave {bad} at presentation 13, unit 2;.*finite"
    ):
        ann2neo.record(
            model, x, layers="0", shuffle=False, batch_size=BATCH, units=chosen
        )
    assert everything(model) == before
    assert random_states() == states


@pytest.mark.parametrize("n_samples", [1, 8, 21])
@pytest.mark.parametrize("per_unit", [False, True])
def test_packing_for_a_device_gives_the_same_bits(
    n_samples: int, per_unit: bool
) -> None:
    """The operations that pack spikes on a GPU give the bits, and the first activation
    that is not finite, that the CPU gives; tried on the CPU.
    """
    values = torch.from_numpy(normal(40)[:n_samples])
    limits = np.linspace(-1, 1, 40, dtype=np.float32) if per_unit else np.float32(0.1)
    limits = np.asarray(limits)
    for bad in (0.0, float("inf"), float("nan")):
        values[n_samples // 2, 7] = bad
        plain, found = packing._on_cpu(values, limits)()
        other, also_found = packing._on_device(values, limits)()
        np.testing.assert_array_equal(plain, other)
        assert str(found) == str(also_found)
        assert (found is None) == (bad == 0)


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("in_folder", [False, True])
def test_a_network_may_change_its_input(
    shuffle: bool, in_folder: bool, tmp_path: Path
) -> None:
    """The data of the user and the spikes are the same whether or not a network changes
    its input in place.
    """

    class Changing(nn.Module):
        def __init__(self, in_place: bool) -> None:
            super().__init__()
            self.first, self.head = nn.Identity(), nn.Linear(5, 2)
            self.in_place = in_place

        def forward(self, x: Any) -> Any:
            x = self.first(x.mul_(-1) if self.in_place else -x)
            return self.head(x.fill_(torch.nan) if self.in_place else x)

    x, rasters = X.copy(), []
    for in_place in (False, True):
        out = tmp_path / str(in_place) if in_folder else None
        recording = ann2neo.record(
            Changing(in_place),
            x,
            layers="first",
            predictions=True,
            seed=4,
            shuffle=shuffle,
            batch_size=BATCH,
            out=out,
        )
        np.testing.assert_array_equal(_spikes(recording), x < 0)
        np.testing.assert_array_equal(x, X)
        rasters.append(recording.raster)
    assert rasters[0].equals(rasters[1])


class _WithLoss(nn.Module):
    """Returns a loss, its output, and a number for each of the five channels."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (x**2).mean(), 2 * x - 1, x.mean(0)


def test_outputs_without_a_batch_are_left_out_beside_others() -> None:
    """A module with a loss beside its output is recorded by its output, which keeps its
    number, also where a batch is as long as the first axis of another.
    """

    class Losing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.losing, self.head = _WithLoss(), nn.Linear(5, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.losing(x)[1])

    recording = ann2neo.record(
        Losing(), X, layers="losing", shuffle=False, batch_size=5
    )
    assert recording.units["output_index"].tolist() == [1] * 5
    assert ((2 * X - 1 > 0) == recording.raster.to_dense().T).all()


def test_large_finite_activations_are_no_error() -> None:
    """Activations whose sum overflows are finite all the same."""
    model = nn.Sequential(nn.Identity(), nn.Linear(5, 2))
    recording = ann2neo.record(model, np.full((9, 5), 3e38, "float32"), layers="0")
    assert recording.raster.to_dense().all()


class Transposing(nn.Module):
    """Returns its input without the batch as the first axis."""

    def forward(self, x: Any) -> Any:
        return x.T


class Failing(nn.Module):
    """Fails at a batch of some size."""

    def forward(self, x: Any) -> Any:
        if len(x) == BATCH:
            raise RuntimeError("the lights went out")
        return x


MISTAKES: dict[str, tuple[Any, dict[str, Any], type[Exception], str]] = {
    "unknown name": (
        _network,
        {"layers": "fc"},
        LayerError,
        "unknown layer 'fc'; the model has '0', '1'.*torch.relu",
    ),
    "container": (
        lambda: CASES["functions"]().model,
        {"layers": "blocks", "x": normal(4)},
        LayerError,
        "'blocks' is a ModuleList.*never calls.*'blocks.0'",
    ),
    "never ran": (
        lambda: CASES["attention"]().model,
        {"layers": "attention.out_proj", "x": normal(5, 8)},
        LayerError,
        "never calls.*record 'attention'",
    ),
    "of another model": (
        _network,
        {"layers": nn.Linear(5, 2)},
        LayerError,
        "not part of this model",
    ),
    "no batch axis": (
        lambda: nn.Sequential(Transposing(), Transposing(), nn.Linear(5, 2)),
        {"layers": "0"},
        ActivationError,
        "'0'.*no batch axis",
    ),
    "input without a batch axis": (
        _network,
        {"layers": "1", "x": X[0]},
        InputValueError,
        "cannot be run on a batch of float32.*batch axis",
    ),
    "integers for a network of floats": (
        _network,
        {"layers": "1", "x": np.ones((N, 5), "uint8")},
        InputValueError,
        "torch.float32 on cpu.*uint8",
    ),
    "a single number": (
        _network,
        {"layers": "1", "x": torch.tensor(1.0)},
        InputTypeError,
        "one sample per entry of the first axis.*newaxis",
    ),
    "tensors without values": (
        _network,
        {"layers": "1", "x": torch.ones(N, 5, device="meta")},
        InputTypeError,
        "must have values.*'meta'.*real device",
    ),
    "batches without values": (
        _network,
        {"layers": "1", "x": [(torch.ones(8, 5, device="meta"), Y[:8])]},
        InputTypeError,
        "must have values.*'meta'.*real device",
    ),
    "entries of another name": (
        _network,
        {"layers": "1", "x": {"image": X, "y": Y}},
        InputValueError,
        "entries 'image', 'y', and the arguments of forward are 'input'; name them",
    ),
    "labels of another length": (
        _network,
        {"layers": "1", "labels": Y[:5]},
        InputValueError,
        "one entry per sample, 21, got 5",
    ),
    "lazy": (
        lambda: nn.Sequential(nn.LazyLinear(4), nn.Linear(4, 2)),
        {"layers": "0"},
        InputValueError,
        "'0.weight'.*no values yet",
    ),
    "weight that is not finite": (
        lambda: _with_nan(_network()),
        {"layers": "1"},
        ActivationError,
        "'0.bias'.*NaN",
    ),
    "an error in the middle": (
        lambda: nn.Sequential(Failing(), nn.Linear(5, 2)),
        {"layers": "1", "batch_size": BATCH},
        InputValueError,
        "the lights went out",
    ),
    "text": (
        _network,
        {"layers": "1", "x": np.array([["a"]] * N)},
        InputTypeError,
        "which PyTorch does not know",
    ),
}


def _with_nan(model: nn.Module) -> nn.Module:
    with torch.no_grad():
        model[0].bias[1] = float("nan")
    return model


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_errors_with_a_remedy(name: str) -> None:
    """A mistake is an error that says what is wrong, and the network is as before."""
    make, arguments, kind, message = MISTAKES[name]
    model = make()
    before, states = [], random_states()
    if name != "lazy":
        before = everything(model)
    with pytest.raises(kind, match=message):
        ann2neo.record(model, arguments.pop("x", X), **arguments)
    assert random_states() == states
    if name != "lazy":
        assert everything(model) == before


def test_an_ambiguous_name_lists_what_it_means() -> None:
    """The last part of several names is ambiguous, and a glob takes them all."""
    block = [nn.Sequential(), nn.Sequential()]
    for number, part in enumerate(block):
        part.add_module("relu", nn.ReLU())
        part.add_module(f"own{number}", nn.Linear(5, 5))
    model = nn.Sequential(*block)
    with pytest.raises(LayerError, match=r"'0.relu', '1.relu'.*'\*.relu'"):
        ann2neo.record(model, X, layers="relu")
    recording = ann2neo.record(model, X, layers="*.relu")
    assert recording.units["layer"].nunique() == 2
    alone = ann2neo.record(model, X, layers="own1")
    assert alone.units["layer"].unique().tolist() == ["1.own1"]


def test_a_pass_ends_after_the_deepest_recorded_module() -> None:
    """What lies behind the deepest recorded module is computed only where predictions
    are wanted, or where a network may have loops.
    """
    n_runs = []
    model = _network()
    model[4].register_forward_hook(lambda *_: n_runs.append(1))
    ann2neo.record(model, X, layers="1", batch_size=N)
    first = len(n_runs)
    ann2neo.record(model, X, layers="1", batch_size=3)
    assert len(n_runs) - first == first
    ann2neo.record(model, X, layers="1", batch_size=3, predictions=True)
    assert len(n_runs) - 2 * first == 2 + N // 3


def test_provenance_tells_device_precision_and_weights() -> None:
    """Provenance holds versions, device, precision and a checksum of the weights."""
    model = _network()
    facts = ann2neo.record(model, X, layers="1").provenance
    assert facts["backend"] == "torch"
    assert facts["device"] == "cpu"
    assert facts["precision"] == "float32"
    assert facts["torch_version"] == torch.__version__.partition("+")[0]
    half = _network().to(torch.bfloat16)
    other = ann2neo.record(half, X, layers="1").provenance
    assert other["precision"] == "bfloat16"
    assert facts["weights_sha256"] != other["weights_sha256"]
    with torch.autocast("cpu", torch.bfloat16):
        cast = ann2neo.record(model, X, layers="1").provenance
    assert cast["precision"] == "float32, autocast to bfloat16"


def test_keras_and_torch_agree_on_the_same_weights() -> None:
    """With the same weights, a convolution and a dense layer of Keras and of PyTorch
    give the same bits, but for activations within 1e-6 of the threshold.
    """
    import keras

    keras.utils.set_random_seed(0)
    layers = [
        keras.layers.Conv2D(8, 3, activation="relu", name="conv"),
        keras.layers.Flatten(),
        keras.layers.Dense(16, "relu", name="dense"),
        keras.layers.Dense(3, name="scores"),
    ]
    of_keras = keras.Sequential([keras.Input((12, 12, 1)), *layers])
    conv, dense = nn.Conv2d(1, 8, 3), nn.Linear(800, 16)
    kernel, bias = map(np.asarray, of_keras.get_layer("conv").get_weights())
    matrix, shift = map(np.asarray, of_keras.get_layer("dense").get_weights())
    # Keras flattens (row, column, channel), PyTorch (channel, row, column).
    reordered = matrix.reshape(10, 10, 8, 16).transpose(3, 2, 0, 1).reshape(16, -1)
    with torch.no_grad():
        conv.weight.copy_(torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy()))
        conv.bias.copy_(torch.from_numpy(bias))
        dense.weight.copy_(torch.from_numpy(reordered.copy()))
        dense.bias.copy_(torch.from_numpy(shift))
    of_torch = nn.Sequential(
        conv, nn.ReLU(), nn.Flatten(), dense, nn.ReLU(), nn.Linear(16, 3)
    )
    x = np.random.default_rng(0).normal(size=(200, 12, 12, 1)).astype("float32")
    one = ann2neo.record(of_keras, x, layers=["conv", "dense"], shuffle=False)
    other = ann2neo.record(
        of_torch, x.transpose(0, 3, 1, 2), layers=["1", "4"], shuffle=False
    )
    places = ["channel", "row", "col"]
    order = one.units[one.units["layer"] == "conv"].sort_values(places).index
    spikes = np.concatenate(
        [one.raster.to_dense()[order], one.raster.to_dense()[800:]]
    ).T
    with torch.inference_mode():
        images = torch.from_numpy(x.transpose(0, 3, 1, 2).copy())
        first = of_torch[0](images).flatten(1)
        values = torch.cat([first, of_torch[3](first.relu())], 1).numpy()
    different = spikes != other.raster.to_dense().T
    assert (np.abs(values[different]) <= 1e-6).all()
    assert different.sum() <= 10
    assert other.units[places].to_numpy()[:800].tolist() == (
        one.units.loc[order, places].to_numpy().tolist()
    )


@pytest.mark.slow
def test_a_batch_gets_the_memory_of_the_batch_before() -> None:
    """After the first batches, recording large activations on a CPU takes no new memory
    from the system but that of the bits.
    """
    code = (
        "import resource, numpy as np, torch, ann2neo\n"
        "from torch import nn\n"
        "model = nn.Sequential(nn.Conv2d(1, 32, 3), nn.ReLU())\n"
        "x = np.ones((2048, 1, 28, 28), 'float32')\n"
        "probe = ann2neo.Probe(model, '1')\n"
        "def faults():\n"
        "    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "for _ in range(4):\n"
        "    before = faults()\n"
        "    bits = probe.record(x, batch_size=128, progress=False).raster.nbytes\n"
        "    print(faults() - before - bits / 4096)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    # 16 batches, of which each has 5 400 pages of activations.
    assert max(map(float, done.stdout.split()[1:])) < 5_400


def test_the_lines_in_the_notebook_run() -> None:
    """The lines about PyTorch in the first notebook, which runs without it, record its
    32 units.
    """
    notebook = Path(__file__).parents[3] / "notebooks" / "01_record_a_network.ipynb"
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    texts = ["".join(cell["source"]) for cell in cells]
    (lines,) = (text for text in texts if "```python\nimport torch" in text)
    names: dict[str, Any] = {}
    exec(lines.split("```python\n")[1].split("```")[0], names)  # noqa: S102
    assert names["recording"].raster.shape == (32, len(names["x"]))
    assert "label" in names["recording"].presentations


def test_a_network_of_torch_is_recorded_beside_tensorflow() -> None:
    """PyTorch's compiler, which crashes after TensorFlow, is not loaded."""
    code = (
        "import sys, tensorflow, numpy as np, torch, ann2neo\n"
        "model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Linear(3, 2))\n"
        "ann2neo.record(model, np.ones((3, 4), 'float32'), labels=[0, 1, 0])\n"
        "print('torch._dynamo' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        # Otherwise TensorFlow would load Keras, and that PyTorch's compiler.
        env={**os.environ, "KERAS_BACKEND": "tensorflow"},
    )
    assert done.stdout == "False\n"


def test_a_network_of_torch_loads_no_other_framework(tmp_path: Path) -> None:
    """From recording a network of PyTorch to its file and report, neither Keras,
    TensorFlow nor JAX is imported, whatever the backend of Keras is by default.
    """
    code = (
        "import sys, numpy as np, torch, ann2neo\n"
        "model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Linear(3, 2))\n"
        "torch.optim.Adam(model.parameters())\n"
        "x = np.random.default_rng(0).normal(size=(80, 4)).astype('float32')\n"
        "recording = ann2neo.record(model, x, layers='0', labels=np.arange(80) % 2)\n"
        "ann2neo.summarize(ann2neo.analyze(recording))\n"
        "ann2neo.write_nwb(recording, 'recording.nwb')\n"
        "ann2neo.read_nwb('recording.nwb')\n"
        "ann2neo.report.write_report({'torch': recording}, 'report.html')\n"
        "print(sorted({'jax', 'keras', 'tensorflow'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={key: os.environ[key] for key in os.environ if key != "KERAS_BACKEND"},
    )
    assert done.stdout == "[]\n"
