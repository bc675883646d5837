"""Damaged `.keras` files: an error that names the problem, or the network as saved."""

import base64
import io
import json
import re
import shutil
import tomllib
import zipfile
from pathlib import Path

import damage
import h5py
import keras
import pytest
from keras import layers as kl
from packaging.requirements import Requirement

from ann2neo import FileFormatError
from ann2neo.probe.keras.model_files import load_model

SEED = 20260718 + damage.SEED_SHIFT

READ = """
from ann2neo.probe.keras.model_files import load_model
x = np.random.default_rng(0).random((4, 8, 8, 1)).astype(np.float32)
reference = np.asarray(load_model({path!r})(x))
def read(path):
    output = np.asarray(load_model(path)(x))
    return "same" if np.array_equal(output, reference) else "other"
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A small convolutional network in a file."""
    path = tmp_path_factory.mktemp("model") / "net.keras"
    keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            kl.Conv2D(4, 3, activation="relu"),
            kl.BatchNormalization(),
            kl.Flatten(),
            kl.Dense(6, "relu"),
            kl.Dense(3, "softmax"),
        ]
    ).save(path)
    return path


def flip_in_config(path, rng):
    def change(members):
        config = bytearray(members["config.json"])
        config[int(rng.integers(len(config)))] ^= 1 << int(rng.integers(8))
        members["config.json"] = bytes(config)

    damage.rewrite_members(path, change)


def flip_in_weights(path, rng):
    def change(members):
        # Where HDF5 keeps its superblock and first object headers.
        weights = bytearray(members["model.weights.h5"])
        weights[int(rng.integers(min(len(weights), 4096)))] = int(rng.integers(256))
        members["model.weights.h5"] = bytes(weights)

    damage.rewrite_members(path, change)


def change_number(path, rng):
    def change(members):
        text = members["config.json"].decode()
        numbers = list(re.finditer(r"(?<=[ \[:])\d+(?=[,\]}])", text))
        one = numbers[int(rng.integers(len(numbers)))]
        value = rng.choice(["0", "-1", "3", "7", "1000000000", "4.5", "null"])
        text = text[: one.start()] + value + text[one.end() :]
        members["config.json"] = text.encode()

    damage.rewrite_members(path, change)


def change_config(path, rng):
    def change(members):
        members["config.json"] = damage.change_json(
            members["config.json"], rng
        ).encode()

    damage.rewrite_members(path, change)


DAMAGED = [damage.flip_bytes, damage.truncate, damage.zero_range, damage.drop_member]
REWRITTEN = [flip_in_config, flip_in_weights, change_number, change_config]


@pytest.mark.parametrize(
    "n_files",
    [
        pytest.param(200, marks=pytest.mark.slow),
        pytest.param(2000, marks=[pytest.mark.exhaustive, pytest.mark.timeout(3600)]),
    ],
)
def test_damaged_models(model, n_files):
    """A damaged file of a network is an error that names the problem, or the network
    that was saved; one that was rewritten with other contents is never a raw exception.
    """

    def copy():
        return shutil.copyfile(model, model.with_name("damaged.keras"))

    counts = damage.outcomes_of(
        copy, DAMAGED + REWRITTEN, READ.format(path=str(model)), n_files, SEED + n_files
    )
    assert not any(counts[way.__name__, "other"] for way in DAMAGED), counts
    assert sum(counts[way.__name__, "error"] for way in DAMAGED) > n_files / 4


@pytest.mark.parametrize("name", ["x.h5", "x.hdf5", "x.weights.h5", "x", "x.KERAS"])
def test_a_model_of_another_name_is_refused(tmp_path, monkeypatch, name):
    """A ZIP archive that is not named .keras, such as HDF5 with an archive at its end
    whose Lambda layer would run, is refused before Keras reads it.
    """
    monkeypatch.chdir(tmp_path)
    marker, path = tmp_path / "ran", tmp_path / "x.h5"
    code = kl.Lambda(lambda x: __import__("pathlib").Path("ran").touch() or x)
    keras.Sequential([keras.Input((4,)), code]).save(path)
    marker.unlink()
    archive = io.BytesIO()
    zipfile.ZipFile(archive, "w").close()
    with path.open("ab") as file:
        file.write(archive.getvalue())
    assert zipfile.is_zipfile(path)
    assert h5py.is_hdf5(path)
    path = path.rename(tmp_path / name)
    with pytest.raises(FileFormatError, match=r"is not a \.keras file"):
        load_model(path)
    assert not marker.exists()


def _with_layer(path, layer):
    """Put a layer's configuration into a saved network, before its last layer."""

    def change(members):
        config = json.loads(members["config.json"])
        config["config"]["layers"].insert(1, layer)
        members["config.json"] = json.dumps(config).encode()

    damage.rewrite_members(path, change)


def _layer(class_name, **config):
    return {
        "module": "keras.layers",
        "class_name": class_name,
        "config": config,
        "registered_name": None,
    }


def _function(module, name):
    return {
        "module": module,
        "class_name": "function",
        "config": name,
        "registered_name": name,
    }


_CODE = base64.b64encode(b"no code, but nobody should look").decode()
WAYS_AROUND = {
    "code in a Lambda": _layer(
        "Lambda",
        function={"class_name": "__lambda__", "config": {"code": _CODE}},
    ),
    # CVE-2025-1550
    "a function of another module": _layer(
        "Lambda", function=_function("os", "getcwd"), arguments={}
    ),
    # CVE-2025-8747
    "a function of Keras with effects": _layer(
        "Lambda",
        function=_function("keras.utils", "get_file"),
        arguments={"fname": "ann2neo-ran", "origin": "file:///etc/hostname"},
    ),
    # CVE-2025-9906
    "safe mode turned off": _layer(
        "Lambda",
        function=_function("keras.config", "enable_unsafe_deserialization"),
        arguments={},
    ),
    # CVE-2026-1462
    "a saved model elsewhere": _layer(
        "TFSMLayer", filepath="/nowhere", call_endpoint="serve"
    ),
    "a pickled module of torch": _layer(
        "TorchModuleWrapper",
        module={"class_name": "__bytes__", "config": {"value": _CODE}},
    ),
}


@pytest.mark.parametrize("way", WAYS_AROUND)
def test_ways_around_safe_mode_are_closed(tmp_path, way):
    """Configurations that ran code or opened other files in spite of the safe mode of
    older versions of Keras are refused, and do not turn it off for the next file.
    """
    for name, words in ((way, None), ("code in a Lambda", "contains Python code")):
        path = tmp_path / "net.keras"
        keras.Sequential([keras.Input((4,)), kl.Dense(2)]).save(path)
        _with_layer(path, WAYS_AROUND[name])
        with pytest.raises(FileFormatError, match=words):
            load_model(path)


def test_claimed_weights_are_not_made(tmp_path):
    """A file that claims more weights than it can hold is refused before they take
    memory, and Keras builds networks as before.
    """
    path = tmp_path / "net.keras"
    keras.Sequential([keras.Input((4,)), kl.Dense(2)]).save(path)

    def change(members):
        text = members["config.json"].decode()
        members["config.json"] = text.replace(
            '"units": 2', '"units": 900000000'
        ).encode()

    before = keras.Layer.add_weight
    damage.rewrite_members(path, change)
    with pytest.raises(FileFormatError, match="have 3,600,000,000 weights or more"):
        load_model(path)
    assert keras.Layer.add_weight is before


def test_no_version_of_keras_without_a_safe_mode_is_allowed():
    """Versions whose safe mode does not hold cannot be installed, and the tests run
    with the oldest that may be.
    """
    root = Path(__file__).parents[2]
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    (needed,) = [
        each
        for each in map(Requirement, project["dependencies"])
        if each.name == "keras"
    ]
    versions = ["3.8.0", "3.11.3", "3.12.0", "3.12.3", "3.12.4"]
    versions += ["3.13.0", "3.13.2", "3.14.0", "3.14.1", "3.15.0", "3.15.1"]
    assert list(needed.specifier.filter(versions)) == ["3.12.4", "3.15.1"]
    assert "keras==3.12.4" in (root / "tests/oldest.txt").read_text().split()
