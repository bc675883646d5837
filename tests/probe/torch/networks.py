"""Networks of PyTorch, and activations taken with plain hooks."""

from __future__ import annotations

import contextlib
import copy
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

N = 21
BATCH = 8


class Case(NamedTuple):
    """A network, its stimuli, and what to record: the choice, and the modules' names in
    the order asked for.
    """

    model: nn.Module
    x: Any
    layers: Any
    names: Sequence[str]


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(N, *shape)).astype("float32")


def tokens(n: int, largest: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, largest, (N, n))


def perceptron() -> Case:
    model = nn.Sequential(
        nn.Linear(5, 7), nn.Tanh(), nn.Dropout(0.5), nn.Linear(7, 6), nn.ReLU()
    )
    return Case(model, normal(5), ["4", "1"], ["4", "1"])


def convolution() -> Case:
    # ReLU overwrites what the normalization returned.
    model = nn.Sequential(
        nn.Conv2d(2, 3, 3),
        nn.BatchNorm2d(3),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(27, 4),
    )
    model(torch.from_numpy(normal(2, 8, 9)))
    return Case(model, normal(2, 8, 9), "[0-3]", ["0", "1", "2", "3"])


def convolutions_in_one_and_three_dimensions() -> Case:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.three = nn.Conv1d(2, 3, 3), nn.Conv3d(1, 2, 2)

        def forward(self, a: Any, b: Any) -> Any:
            return torch.cat([self.one(a).flatten(1), self.three(b).flatten(1)], 1)

    x = [normal(2, 9), normal(1, 4, 4, 5, seed=1)]
    return Case(Two(), x, [nn.Conv3d, nn.Conv1d], ["three", "one"])


def inputs_by_name() -> Case:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.left, self.right = nn.Linear(4, 3), nn.Linear(3, 3)

        def forward(self, right: Any, left: Any) -> Any:
            return {"a": self.left(left), "b": self.right(right)}

    x = {"left": normal(4), "right": normal(3, seed=1)}
    return Case(Named(), x, "*", ["left", "right"])


def one_dictionary() -> Case:
    class Taking(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.hidden = nn.Linear(4, 3)

        def forward(self, batch: Any) -> Any:
            return self.hidden(batch["x"])

    return Case(Taking(), {"x": normal(4)}, "hidden", ["hidden"])


def shared_module() -> Case:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.relu = nn.Linear(4, 4), nn.ReLU(inplace=True)

        def forward(self, x: Any) -> Any:
            for _ in range(3):
                x = self.relu(self.layer(x))
            return x

    return Case(Shared(), normal(4), ["layer", "relu"], ["layer", "relu"])


def functions() -> Case:
    class Functions(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.blocks = nn.ModuleList([nn.Linear(4, 4) for _ in range(3)])

        def forward(self, x: Any) -> Any:
            for block in self.blocks:
                x = torch.relu_(block(x)) + x
            return torch.log_softmax(x, 1)

    names = ["blocks.0", "blocks.1", "blocks.2"]
    return Case(Functions(), normal(4), "blocks.*", names)


def changes_its_input() -> Case:
    class Changing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.hidden = nn.Linear(4, 6)

        def forward(self, x: Any) -> Any:
            x -= 1
            return self.hidden(x).mul_(-1)

    return Case(Changing(), normal(4), "hidden", ["hidden"])


def lstm() -> Case:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(4, 5, num_layers=2, batch_first=True)
            self.head = nn.Linear(5, 2)

        def forward(self, x: Any) -> Any:
            outputs, _ = self.lstm(x)
            return self.head(outputs[:, -1])

    return Case(Recurrent(), normal(6, 4), "lstm", ["lstm"])


def gru_with_steps_first() -> Case:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gru = nn.GRU(4, 5, bidirectional=True)
            self.head = nn.Linear(10, 2)

        def forward(self, x: Any) -> Any:
            outputs, _ = self.gru(x.transpose(0, 1))
            return self.head(outputs[-1])

    return Case(Recurrent(), normal(6, 4), "gru", ["gru"])


def transformer() -> Case:
    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(20, 8)
            self.layers = nn.TransformerEncoder(
                nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2
            )
            self.head = nn.Linear(8, 3)

        def forward(self, input_ids: Any, attention_mask: Any = None) -> Any:
            x = self.embedding(input_ids)
            x = self.layers(x, src_key_padding_mask=attention_mask == 0)
            return self.head(x[:, 0])

    mask = np.arange(6) < 1 + np.arange(N)[:, None] % 6
    x = {"input_ids": tokens(6, 20), "attention_mask": mask.astype("int64")}
    names = ["layers.layers.1.linear1", "layers.layers.0.norm2", "embedding"]
    return Case(Encoder(), x, names, names)


def attention() -> Case:
    class Attending(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, x: Any) -> Any:
            return self.attention(x, x, x)[0]

    return Case(Attending(), normal(5, 8), nn.MultiheadAttention, ["attention"])


def dictionary_output() -> Case:
    class Part(nn.Module):
        def forward(self, x: Any) -> Any:
            return {"b": x + 1, "a": (x * 2, None, "text")}

    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.part, self.head = Part(), nn.Linear(4, 2)

        def forward(self, x: Any) -> Any:
            return self.head(self.part(x)["b"])

    return Case(Whole(), normal(4), "part", ["part"])


def heard_by_others() -> Case:
    """A network with a hook of the user's that returns something else."""
    model = perceptron().model
    model[1].register_forward_hook(lambda _module, _inputs, output: output - 0.3)
    return Case(model, normal(5), "1", ["1"])


def tied_weights() -> Case:
    model = perceptron().model
    model[3] = nn.Linear(7, 7)
    model.append(nn.Linear(7, 7))
    model[5].weight = model[3].weight
    return Case(model, normal(5), "with weights", ["0", "3", "5"])


def of_type(dtype: torch.dtype) -> Callable[[], Case]:
    def make() -> Case:
        return Case(perceptron().model.to(dtype), normal(5), "1", ["1"])

    return make


def shortens_its_vectors() -> Case:
    model = nn.Sequential(nn.Embedding(10, 4, max_norm=0.5), nn.Linear(4, 2))
    return Case(model, tokens(3, 10), "0", ["0"])


CASES: dict[str, Callable[[], Case]] = {
    function.__name__: function
    for function in (
        perceptron,
        convolution,
        convolutions_in_one_and_three_dimensions,
        inputs_by_name,
        one_dictionary,
        shared_module,
        functions,
        changes_its_input,
        lstm,
        gru_with_steps_first,
        transformer,
        attention,
        dictionary_output,
        heard_by_others,
        tied_weights,
        shortens_its_vectors,
    )
}
CASES["double"] = of_type(torch.float64)
CASES["bfloat16"] = of_type(torch.bfloat16)
CASES["half"] = of_type(torch.float16)


def _flat(output: Any) -> list[torch.Tensor]:
    """Tensors of an output, dictionaries in the order of their keys."""
    if isinstance(output, torch.Tensor):
        return [output]
    if isinstance(output, Mapping):
        output = [output[key] for key in sorted(output)]
    if not isinstance(output, (tuple, list)):
        return []
    return [tensor for part in output for tensor in _flat(part)]


def expected(case: Case, batch_size: int = BATCH) -> np.ndarray:
    """Activations of shape (sample, unit), with a hook per module and no ann2neo."""
    model = copy.deepcopy(case.model).eval()
    dtype = next(model.parameters()).dtype
    heard: dict[str, list[list[torch.Tensor]]] = {name: [] for name in case.names}

    def hook_for(name: str) -> Any:
        def hook(module: Any, _inputs: Any, output: Any) -> None:
            tensors = _flat(output)
            if isinstance(module, nn.RNNBase):
                behind = [*([] if module.batch_first else [0]), *range(1, len(tensors))]
                tensors = [
                    t.transpose(0, 1) if i in behind else t
                    for i, t in enumerate(tensors)
                ]
            heard[name].append([t.clone() for t in tensors])

        return hook

    for name in case.names:
        model.get_submodule(name).register_forward_hook(hook_for(name))

    def tensor(array: np.ndarray, first: int) -> torch.Tensor:
        part = torch.tensor(array[first : first + batch_size])
        return part.to(dtype) if part.is_floating_point() else part

    rows = []
    with torch.inference_mode(), plain_attention():
        for first in range(0, N, batch_size):
            for calls in heard.values():
                calls.clear()
            x = case.x
            if isinstance(x, dict):
                batch = {key: tensor(array, first) for key, array in x.items()}
                one = type(case.model).__name__ == "Taking"
                model(batch) if one else model(**batch)
            elif isinstance(x, list):
                model(*(tensor(array, first) for array in x))
            else:
                model(tensor(x, first))
            n_samples = len(heard[case.names[0]][0][0])
            rows.append(
                torch.cat(
                    [
                        output.reshape(n_samples, -1).double()
                        for name in case.names
                        for call in heard[name]
                        for output in call
                    ],
                    dim=1,
                )
            )
    return torch.cat(rows).numpy()


@contextlib.contextmanager
def plain_attention() -> Iterator[None]:
    """Keep an encoder from packing its sequences, which hides its modules' outputs."""
    torch.backends.mha.set_fastpath_enabled(False)
    yield
    torch.backends.mha.set_fastpath_enabled(True)


def everything(model: nn.Module) -> dict[str, Any]:
    """Everything of a network that a recording must not change."""
    return {
        "state": {
            name: (tensor.dtype, tensor.clone().view(torch.uint8).numpy().tobytes())
            for name, tensor in model.state_dict().items()
            if tensor.ndim
        },
        "buffers": {name: id(buffer) for name, buffer in model.named_buffers()},
        "flags": [module.training for module in model.modules()],
        "attributes": [
            {key: id(value) for key, value in vars(module).items()}
            for module in model.modules()
        ],
        "hooks": [
            [len(value) for key, value in vars(module).items() if "hooks" in key]
            for module in model.modules()
        ],
        "gradients": [
            (parameter.requires_grad, parameter.grad)
            for parameter in model.parameters()
        ],
    }


def random_states() -> list[Any]:
    """The states of the random generators."""
    state = np.random.get_state()  # noqa: NPY002
    return [
        torch.get_rng_state().numpy().tobytes(),
        random.getstate(),
        state[1].tobytes(),
        state[2],
    ]
