"""The protocol between the probe and a framework: one package is all a framework
needs.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import ann2neo
import ann2neo.probe

MODEL = """
import numpy as np

class Model:
    name = "tiny"
    def __init__(self, weights):
        self.weights = weights
    def __call__(self, x):
        hidden = np.tanh(x @ self.weights)
        return hidden, hidden[:, :3]
"""

ADAPTER = """
import numpy as np
from ann2neo.probe.adapter import (
    Adapter, LayerInfo, Passed, Tap, TapShape, first_not_finite
)
from ann2neo.probe.provenance import arrays_sha256

HIDDEN = LayerInfo("hidden", 0, "Tanh")
TAP = Tap(HIDDEN, 0, 0)

def make_adapter(model, *, training, eager):
    return TinyAdapter(model)

class Forward:
    def __init__(self, model):
        self.model = model
    def __call__(self, batch, state, rng, reduce=None, *, own=False):
        hidden, output = self.model(batch)
        kept = hidden if reduce is None else reduce(TAP, hidden)
        return Passed((TAP,), [kept], output, {})
    def outputs_of(self, batch):
        hidden, _ = self.model(batch)
        return [TapShape(TAP, hidden.shape[1:], str(hidden.dtype))]

class TinyAdapter(Adapter):
    model_name, n_inputs, fixed_batch_size = "tiny", 1, None
    most_inputs, input_names = 1, None
    is_stateful = ends_in_sigmoid = False
    def __init__(self, model):
        self.model = model
    def choose_layers(self, layers):
        return (HIDDEN,)
    def last_hidden(self, batch):
        return HIDDEN
    def forward(self, layers, *, with_output, time=None):
        return Forward(self.model)
    def batch_size(self, shapes, batch):
        return 16
    def batches(self, x):
        return None
    def as_input(self, array):
        return array.astype("float32")
    def pack_spikes(self, activations, limits, index, frame=None):
        chosen = activations if index is None else activations[:, index]
        packed = np.packbits(chosen > limits, axis=0, bitorder="little")
        return lambda: (packed, first_not_finite(chosen))
    def to_numpy(self, tensor):
        return tensor
    def weights(self):
        yield "weights", self.model.weights

    def fingerprint(self):
        return {"weights_sha256": arrays_sha256([self.model.weights])}
"""


def test_a_framework_is_one_package_and_no_change_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a package of its name inside the probe, models of a framework that nothing
    else knows are recorded with labels, predictions, thresholds and provenance.
    """
    (tmp_path / "tinyframework").mkdir()
    (tmp_path / "tinyframework" / "__init__.py").touch()
    (tmp_path / "tinyframework" / "adapter.py").write_text(ADAPTER)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "tinyframework.py").write_text(MODEL)
    path = [*ann2neo.probe.__path__, str(tmp_path)]
    monkeypatch.setattr(ann2neo.probe, "__path__", path)
    monkeypatch.syspath_prepend(tmp_path / "models")
    import tinyframework

    rng = np.random.default_rng(0)
    weights = rng.normal(size=(6, 8)).astype("float32")
    x = rng.normal(size=(44, 6)).astype("float32")
    recording = ann2neo.record(
        tinyframework.Model(weights), x, labels=np.arange(44) % 3, shuffle=False
    )
    hidden = np.tanh(x @ weights)
    np.testing.assert_array_equal(recording.raster.to_dense().T, hidden > 0)
    np.testing.assert_array_equal(
        recording.presentations["prediction"], hidden[:, :3].argmax(axis=1)
    )
    assert recording.units["layer_type"].unique().tolist() == ["Tanh"]
    assert len(recording.provenance["weights_sha256"]) == 64
    quantile = ann2neo.record(
        tinyframework.Model(weights), x, threshold="quantile:0.5", units=4
    )
    assert quantile.raster.spike_counts().tolist() == [22] * 4


def test_a_framework_that_is_missing_is_named() -> None:
    """A network of a framework that cannot be imported is an error with the line that
    installs it.
    """
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import ann2neo\n"
        "model = type('Module', (), {'__module__': 'torch.nn'})()\n"
        "try:\n"
        "    ann2neo.record(model, [[1.0]])\n"
        "except ann2neo.MissingExtraError as error:\n"
        "    print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.endswith("pip install 'ann2neo[torch]'\n")


def test_the_probe_loads_no_framework() -> None:
    """The probe loads no framework before it is given a model."""
    code = (
        "import sys, ann2neo.probe.record as record; print(sorted("
        "{'jax', 'keras', 'tensorflow', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
