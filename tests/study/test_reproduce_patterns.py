"""The script that recomputes data/patterns, on small networks and few images."""

import functools
import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import ann2neo
from ann2neo.study.conditions import NetworkUnderStudy

FOLDER = Path(__file__).parents[2] / "data" / "patterns"
TABLES = ("codes", "unfamiliar", "indicator")
pytestmark = pytest.mark.slow


def few_images(name):
    """Digits, enlarged to 28 x 28, in colour for CIFAR-10."""
    digits = ann2neo.load_dataset("digits")
    sets = []
    for x in (digits.x_train[:400], digits.x_test[:150]):
        large = np.pad(np.kron(x, np.ones((1, 3, 3))), [(0, 0), (2, 2), (2, 2)])
        sets.append(np.stack([large] * 3, axis=-1) if name == "cifar10" else large)
    labels = digits.y_train[:400], digits.y_test[:150]
    return ann2neo.DataSet(name, sets[0], labels[0], sets[1], labels[1], 16.0, "a test")


@pytest.fixture
def script(monkeypatch):
    """The script, with fewer and smaller networks."""
    place = importlib.util.spec_from_file_location("reproduce", FOLDER / "reproduce.py")
    module = importlib.util.module_from_spec(place)
    place.loader.exec_module(module)
    shown = {name: few_images(name) for name in module.FAMILIAR}
    small = functools.partial(NetworkUnderStudy, max_epochs=1)
    for name, value in {
        "WIDTHS": (6,),
        "SEEDS": (0,),
        "CODE_EPOCHS": 1,
        "OTHER_EPOCHS": {0: (6,)},
        "FAMILIAR_EPOCHS": dict.fromkeys(module.FAMILIAR, 1),
        "N_IMAGES": 120,
        "MATCHED_ACCURACY": 0.2,
        "NetworkUnderStudy": small,
    }.items():
        monkeypatch.setattr(module, name, value)
    monkeypatch.setattr(module.ann2neo, "load_dataset", shown.__getitem__)
    return module


def run(script, out, monkeypatch):
    """Run the script as its command does."""
    monkeypatch.setattr("sys.argv", ["reproduce.py", "--out", str(out)])
    script.main()


def test_one_command_makes_tables_like_those_kept(script, tmp_path, monkeypatch):
    """Each table has the columns of the one in the repository, and numbers in them."""
    out = tmp_path / "a" / "new"
    run(script, out, monkeypatch)
    for name in TABLES:
        found, kept = (pd.read_csv(folder / f"{name}.csv") for folder in (out, FOLDER))
        assert list(found) == list(kept)
        empty = found.isna().all()
        assert not empty.any(), empty[empty].index.tolist()


def test_rows_that_are_there_are_not_computed_again(script, tmp_path, monkeypatch):
    """Nothing is trained where nothing is missing, and one missing row comes back."""
    run(script, tmp_path, monkeypatch)
    path = tmp_path / "codes.csv"
    whole = path.read_text()
    epochs = []

    def count(*arguments):
        epochs.append(arguments[3])
        return make(*arguments)

    make = script.trained
    monkeypatch.setattr(script, "trained", count)
    run(script, tmp_path, monkeypatch)
    assert not epochs
    table = pd.read_csv(path)
    table[table["epochs"] != 0].to_csv(path, index=False)
    run(script, tmp_path, monkeypatch)
    assert epochs == [0]
    assert path.read_text() == whole


def test_every_network_starts_from_the_first_weights_of_its_seed(script, tmp_path):
    """Nothing of a network that was trained before, such as its biases, is left."""
    data = script.ann2neo.load_dataset("mnist")
    rows = {}
    for name, seeds in (("both", (0, 1)), ("alone", (1,))):
        script.SEEDS = seeds
        table = script.Table(
            tmp_path / f"{name}.csv",
            ("n_images", "width", "condition", "seed", "split"),
        )
        script._matched(table, data, 6)
        rows[name] = pd.DataFrame(table.rows).query("seed == 1")
    pd.testing.assert_frame_equal(
        rows["both"].reset_index(drop=True), rows["alone"].reset_index(drop=True)
    )
