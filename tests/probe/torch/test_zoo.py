"""Networks that others built, recorded in full, against plain hooks."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from networks import everything, random_states
from torch import nn

import ann2neo
from ann2neo.errors import LayerError

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::ann2neo.ActivityWarning"),
]


def _heard(
    model: nn.Module, names: Sequence[str], batches: Sequence[Any]
) -> np.ndarray:
    """Activations of shape (sample, unit) by plain hooks, batch by batch."""
    rows: list[torch.Tensor] = []
    parts: dict[str, list[torch.Tensor]] = {name: [] for name in names}

    def hook_for(name: str) -> Any:
        return lambda _module, _inputs, output: parts[name].append(
            (output[0] if isinstance(output, tuple) else output).flatten(1).clone()
        )

    handles = [
        model.get_submodule(name).register_forward_hook(hook_for(name))
        for name in names
    ]
    flags = [module.training for module in model.modules()]
    model.eval()
    with torch.inference_mode():
        for batch in batches:
            for calls in parts.values():
                calls.clear()
            model(**batch) if isinstance(batch, dict) else model(batch)
            rows.append(torch.cat([call for name in names for call in parts[name]], 1))
    for handle in handles:
        handle.remove()
    for module, flag in zip(model.modules(), flags, strict=True):
        module.training = flag
    return torch.cat(rows).numpy()


def _check(model: nn.Module, x: Any, layers: Any, **arguments: Any) -> list[str]:
    """Record the first outputs of some modules, compare them, return their names."""
    before, states = everything(model), random_states()
    recording = ann2neo.record(
        model, x, layers=layers, shuffle=False, batch_size=4, **arguments
    )
    recording = recording.select(units=lambda table: table["output_index"] == 0)
    assert everything(model) == before
    assert random_states() == states
    names = recording.units["layer"].unique().tolist()
    n = recording.raster.n_time_bins
    batches = [
        {key: torch.from_numpy(array[i : i + 4]) for key, array in x.items()}
        if isinstance(x, dict)
        else torch.from_numpy(x[i : i + 4])
        for i in range(0, n, 4)
    ]
    values = _heard(model, names, batches)
    np.testing.assert_array_equal(recording.raster.to_dense().T, values > 0)
    return names


def _images(n: int, size: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, 3, size, size)).astype("float32")


def test_resnet18() -> None:
    """All ReLU outputs of a ResNet, whose ReLUs run twice and in place; its last hidden
    module is the last ReLU.
    """
    torchvision = pytest.importorskip("torchvision")
    torch.manual_seed(0)
    model = torchvision.models.resnet18()
    names = _check(model, _images(6, 64), nn.ReLU)
    assert len(names) == 9
    assert _check(model, _images(6, 64), "layer4.*relu*", labels=np.arange(6)) == [
        "layer4.0.relu",
        "layer4.1.relu",
    ]
    hidden = ann2neo.record(model, _images(6, 64), seed=0)
    assert hidden.units["layer"].unique().tolist() == ["layer4.1.relu"]
    assert len(hidden.units) == 2048


def test_vision_transformer() -> None:
    """The hidden layers of a vision transformer's last blocks, and its last one."""
    torchvision = pytest.importorskip("torchvision")
    torch.manual_seed(0)
    model = torchvision.models.vit_b_16()
    names = _check(model, _images(2, 224), "*_1?.mlp.1")
    assert len(names) == 2
    hidden = ann2neo.record(model, _images(2, 224), seed=0)
    assert hidden.units["layer"].unique().tolist() == ["encoder.ln"]


@pytest.mark.parametrize("kind", ["gpt2", "bert"])
def test_language_models(kind: str) -> None:
    """Blocks of GPT-2 and BERT, from token ids with an attention mask, and predictions
    from their logits.
    """
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    mask = (np.arange(12) < rng.integers(4, 13, 8)[:, None]).astype("int64")
    x = {"input_ids": rng.integers(0, 50, (8, 12)), "attention_mask": mask}
    if kind == "gpt2":
        config = transformers.GPT2Config(
            vocab_size=50, n_positions=16, n_embd=32, n_layer=2, n_head=2, num_labels=3
        )
        config.pad_token_id = 0
        model = transformers.GPT2ForSequenceClassification(config)
        layers, names = (
            "*.mlp.act",
            ["transformer.h.0.mlp.act", "transformer.h.1.mlp.act"],
        )
    else:
        config = transformers.BertConfig(
            vocab_size=50,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=64,
            num_labels=3,
        )
        model = transformers.BertForSequenceClassification(config)
        layers = "*.intermediate"
        names = [f"bert.encoder.layer.{i}.intermediate" for i in (0, 1)]
    assert _check(model, x, layers) == names
    rows = [
        {
            "input_ids": torch.from_numpy(x["input_ids"][i]),
            "attention_mask": torch.from_numpy(mask[i]),
            "labels": i % 3,
        }
        for i in range(8)
    ]
    loader = torch.utils.data.DataLoader(rows, batch_size=4)
    recording = ann2neo.record(model, loader, layers=layers, shuffle=False)
    plain = ann2neo.record(model, x, layers=layers, shuffle=False, batch_size=4)
    assert recording.raster.equals(plain.raster)
    assert recording.presentations["label"].tolist() == [i % 3 for i in range(8)]
    with torch.inference_mode():
        logits = model.eval()(**{k: torch.from_numpy(v) for k, v in x.items()}).logits
    np.testing.assert_array_equal(
        recording.presentations["prediction"], logits.argmax(1).numpy()
    )


class UNet(nn.Module):
    """Down, up, and connections that skip the middle."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList([self._block(3, 8), self._block(8, 16)])
        self.middle = self._block(16, 16)
        self.up = nn.ModuleList([self._block(32, 8), self._block(16, 8)])
        self.head = nn.Conv2d(8, 2, 1)

    @staticmethod
    def _block(n_in: int, n_out: int) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(n_in, n_out, 3, padding=1), nn.BatchNorm2d(n_out), nn.ReLU(True)
        )

    def forward(self, x: Any) -> Any:
        skipped = []
        for block in self.down:
            x = block(x)
            skipped.append(x)
            x = nn.functional.max_pool2d(x, 2)
        x = self.middle(x)
        for block in self.up:
            x = nn.functional.interpolate(x, scale_factor=2)
            x = block(torch.cat([x, skipped.pop()], 1))
        return self.head(x)


def test_unet() -> None:
    """A network with connections that skip, in every block, and its last hidden one."""
    torch.manual_seed(0)
    model = UNet()
    names = _check(model, _images(6, 16), [nn.ReLU, nn.BatchNorm2d])
    assert len(names) == 10
    hidden = ann2neo.record(model, _images(6, 16), seed=0)
    assert hidden.units["layer"].unique().tolist() == ["up.1.2"]


class Tagger(nn.Module):
    """Embedding, LSTM, and a score per class."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(30, 8)
        self.lstm = nn.LSTM(8, 16, 2, batch_first=True, dropout=0.3, bidirectional=True)
        self.head = nn.Linear(32, 3)

    def forward(self, ids: Any) -> Any:
        return self.head(self.lstm(self.embedding(ids))[0].mean(1))


def test_lstm() -> None:
    """A deep LSTM in both directions, step by step."""
    torch.manual_seed(0)
    ids = np.random.default_rng(0).integers(0, 30, (8, 7))
    assert _check(Tagger(), ids, ["lstm", "embedding"]) == ["lstm", "embedding"]
    hidden = ann2neo.record(Tagger(), ids, seed=0)
    assert hidden.units["layer"].unique().tolist() == ["lstm"]
    assert hidden.units["step"].max() == 6


@pytest.mark.parametrize("keeps_state", [False, True])
def test_spiking_network(keeps_state: bool) -> None:
    """Leaky units of snnTorch: called step by step with a state that is handed on, or
    keeping it themselves from batch to batch.
    """
    snntorch = pytest.importorskip("snntorch")
    torch.manual_seed(0)

    class Spiking(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.enter = nn.Linear(5, 20)
            self.leaky = snntorch.Leaky(beta=0.9, init_hidden=keeps_state)
            self.leave = nn.Linear(20, 2)

        def forward(self, x: Any) -> Any:
            if keeps_state:
                return self.leave(self.leaky(self.enter(x)))
            membrane = self.leaky.init_leaky()
            for _ in range(4):
                spikes, membrane = self.leaky(self.enter(x), membrane)
            return self.leave(spikes)

    model = Spiking()
    x = np.random.default_rng(0).normal(size=(12, 5)).astype("float32")
    before = everything(model)
    recording = ann2neo.record(model, x, layers="leaky", shuffle=False, batch_size=4)
    assert everything(model) == before
    spikes = recording.select(units=lambda table: table["output_index"] == 0)
    assert spikes.units["call_index"].nunique() == (1 if keeps_state else 4)
    values = _heard(
        model, ["leaky"], [torch.from_numpy(x[i : i + 4]) for i in range(0, 12, 4)]
    )
    np.testing.assert_array_equal(spikes.raster.to_dense().T, values > 0)
    assert 0 < values.mean() < 1


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_scripted_and_compiled_networks() -> None:
    """Scripted modules are refused by name; compiled ones are recorded as they were
    written, in whole or in part.
    """
    if "tensorflow" in sys.modules:
        pytest.skip("PyTorch's compiler crashes in a process with TensorFlow")
    torch.manual_seed(0)
    x = np.random.default_rng(0).normal(size=(12, 5)).astype("float32")

    def network() -> nn.Sequential:
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 2))

    plain = ann2neo.record(network(), x, layers="1", shuffle=False)
    scripted = torch.jit.script(network())
    with pytest.raises(LayerError, match=r"'1' is scripted.*before torch.jit"):
        ann2neo.record(scripted, x, layers="1")
    mixed = nn.Sequential(network(), torch.jit.script(nn.Linear(2, 2)))
    part = ann2neo.record(mixed, x, layers="0.1", shuffle=False)
    assert part.raster.equals(plain.raster)

    compiled = torch.compile(network(), backend="eager")
    compiled(torch.from_numpy(x))
    assert ann2neo.record(compiled, x, layers="1", shuffle=False).raster.equals(
        plain.raster
    )
    part = network()
    part[1] = torch.compile(part[1], backend="eager")
    part(torch.from_numpy(x))
    assert ann2neo.record(part, x, layers="1", shuffle=False).raster.equals(
        plain.raster
    )
    in_place = network()
    in_place.compile(backend="eager")
    in_place(torch.from_numpy(x))
    assert ann2neo.record(in_place, x, layers="1", shuffle=False).raster.equals(
        plain.raster
    )
