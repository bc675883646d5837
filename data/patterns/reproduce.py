"""Recompute the tables in this folder: python data/patterns/reproduce.py.

Networks are trained with Keras, recorded, and their patterns analysed with the public
functions of ann2neo. Every row is written when it is there, and rows that are there
are not computed again: remove a table to compute it anew. A part alone:
python data/patterns/reproduce.py codes
"""

import argparse
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

import ann2neo
from ann2neo.study.conditions import NetworkUnderStudy, conditions_of
from ann2neo.study.matched import MatchedTraining, noisy_labels
from ann2neo.study.training import Trainer

WIDTHS = (10, 20, 40, 60, 100)
SEEDS = (0, 1)
CODE_EPOCHS = 6
OTHER_EPOCHS = {0: WIDTHS, 1: WIDTHS, 30: WIDTHS, 100: (20, 40)}
"""Epochs of further networks of the first seed, and their widths."""
NEIGHBOURS = 10
GREY = np.array([0.299, 0.587, 0.114], np.float32)
FAMILIAR = ("mnist", "fashion_mnist", "cifar10")
FAMILIAR_EPOCHS = {"mnist": 4, "fashion_mnist": 6, "cifar10": 10}
N_FAMILIAR = 20_000
N_IMAGES = 2000
MATCHED_ACCURACY = 0.99


class Table:
    """A CSV file of rows with a key, written row by row."""

    def __init__(self, path, key):
        self.path, self.key = path, list(key)
        self.rows = pd.read_csv(path).to_dict("records") if path.exists() else []

    def has(self, *key):
        """Tell whether there is a row, or there are rows, with these first keys."""
        names = self.key[: len(key)]
        return any(tuple(row[name] for name in names) == key for row in self.rows)

    def add(self, **row):
        """Add a row, and write the table, sorted by its key."""
        self.rows.append(row)
        table = pd.DataFrame(self.rows).sort_values(self.key, kind="stable")
        part = self.path.with_suffix(".part")
        table.to_csv(part, index=False, float_format="%.6g")
        part.replace(self.path)
        print(self.path.name, *(row[name] for name in self.key), flush=True)


def images(name):
    """Return training and test images of 28 x 28 grey pixels, 0 to 1, and labels."""
    data = ann2neo.load_dataset(name)
    sets = []
    for split in ("train", "test"):
        x = data.inputs(split)
        if x.shape[-1] == 3:
            x = keras.ops.image.resize(x @ GREY[:, np.newaxis], (28, 28))
            x = keras.ops.convert_to_numpy(x)
        sets.append((x.reshape(-1, 28, 28, 1), data.labels(split)))
    return sets


def trained(layers, x, y, epochs, seed):
    """Train a classifier with Adam, batches of 128."""
    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [keras.Input(x.shape[1:]), *layers(), keras.layers.Dense(10, "softmax")]
    )
    model.compile(
        keras.optimizers.Adam(1e-3),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    if epochs:
        model.fit(x, y, batch_size=128, epochs=epochs, verbose=0)
    return model


def recorded(model, x, y=None):
    """Record the hidden layer, samples in their order."""
    return ann2neo.record(
        model, x, layers="hidden", labels=y, shuffle=False, batch_size=1000
    )


def accuracy_of(model, x, y):
    """Return the share of correct answers."""
    return float(model.evaluate(x, y, batch_size=1000, verbose=0)[1])


def numbers_of(recording, statistics=None):
    """Return the numbers of the patterns, and of the coverage of 100 samples."""
    row = ann2neo.patterns(recording, statistics=statistics).iloc[0]
    some = recording.select(presentations=np.arange(100))
    some = ann2neo.patterns(some, statistics="coverage")
    return {
        "mean_firing_rate": float(recording.raster.to_dense().mean()),
        **row.drop(["phase", "layer", "n_units", "reason"]).to_dict(),
        "coverage_of_100": some["coverage"][0],
    }


# -- codes against width ---------------------------------------------------------------


def codes(out):
    """Redundancy of codes, and what k-NN, logistic regression and k-means make of them,
    against the width of the hidden layer.
    """
    table = Table(out / "codes.csv", ("width", "seed", "epochs", "split"))
    (x, y), (x_test, y_test) = images("mnist")
    for seed in SEEDS:
        for width in WIDTHS:
            if not table.has(width, seed, CODE_EPOCHS, "test"):
                _codes_of(table, (x, y, x_test, y_test), width, seed, CODE_EPOCHS)
    for epochs, widths in OTHER_EPOCHS.items():
        for width in widths:
            if not table.has(width, 0, epochs, "test"):
                _codes_of(table, (x, y, x_test, y_test), width, 0, epochs)


def _codes_of(table, data, width, seed, epochs):
    x, y, x_test, y_test = data

    def layers():
        return [
            keras.layers.Flatten(),
            keras.layers.Dense(width, "relu", name="hidden"),
        ]

    model = trained(layers, x, y, epochs, seed)
    training, test = recorded(model, x, y), recorded(model, x_test, y_test)
    bits = training.raster.to_dense().T.astype(np.float32)
    test_bits = test.raster.to_dense().T.astype(np.float32)
    learner = LogisticRegression(max_iter=50, solver="newton-cholesky").fit(bits, y)
    clusters = KMeans(10, n_init=3, random_state=seed)
    of_train = clusters.fit_predict(bits)
    # The label of a cluster is that of most of its training samples.
    votes = np.zeros((10, 10), int)
    np.add.at(votes, (of_train, y), 1)
    of_test = votes.argmax(axis=1)[clusters.predict(test_bits)]
    nearest = ann2neo.nearest_patterns(test, training, NEIGHBOURS)
    score = nearest.score(n_permutations=99, seed=0).iloc[0]
    accuracies = {
        "train": {"accuracy": accuracy_of(model, x, y)},
        "test": {
            "accuracy": accuracy_of(model, x_test, y_test),
            "knn_accuracy": score["accuracy"],
            "knn_accuracy_expected": score["accuracy_expected"],
            "logistic_accuracy": learner.score(test_bits, y_test),
            "kmeans_accuracy": float((of_test == y_test).mean()),
        },
    }
    names = ["redundancy", "mean_distance", "coverage", "pattern_entropy"]
    for split, recording in (("train", training), ("test", test)):
        table.add(
            width=width,
            seed=seed,
            epochs=epochs,
            split=split,
            **accuracies[split],
            **numbers_of(recording, names),
        )


# -- unfamiliar data -------------------------------------------------------------------


def unfamiliar(out):
    """AUROC of the smallest Hamming distance, beside the mean distance, which rates
    alone give, and the maximum softmax.
    """
    table = Table(out / "unfamiliar.csv", ("familiar", "seed", "unfamiliar"))
    if all(table.has(name, seed) for name in FAMILIAR for seed in SEEDS):
        return
    sets = {name: images(name) for name in FAMILIAR}
    noise = np.random.default_rng(0).random((10_000, 28, 28, 1), np.float32)
    shown = {name: test[0] for name, (_, test) in sets.items()} | {"noise": noise}
    for seed in SEEDS:
        for name in FAMILIAR:
            if not table.has(name, seed):
                _unfamiliar_to(table, sets[name], shown, name, seed)


def _unfamiliar_to(table, data, shown, name, seed):
    (x, y), (x_test, y_test) = data
    x, y = x[:N_FAMILIAR], y[:N_FAMILIAR]

    def layers():
        return [
            keras.layers.Conv2D(16, 3, 2, activation="relu"),
            keras.layers.Conv2D(32, 3, 2, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(128, "relu", name="hidden"),
        ]

    model = trained(layers, x, y, FAMILIAR_EPOCHS[name], seed)
    training = recorded(model, x, y)
    accuracy = accuracy_of(model, x_test, y_test)
    scores, softmax = {}, {}
    for other, stimuli in shown.items():
        answers = model.predict(stimuli, batch_size=1000, verbose=0)
        softmax[other] = answers.max(axis=1)
        scores[other] = ann2neo.out_of_distribution_scores(
            recorded(model, stimuli), training, predictions=answers.argmax(axis=1)
        )
    for other in shown:
        if other == name:
            continue
        row = ann2neo.out_of_distribution_auroc(scores[name], scores[other]).iloc[0]
        is_new = np.repeat([0, 1], [len(softmax[name]), len(softmax[other])])
        certain = np.concatenate([softmax[name], softmax[other]])
        table.add(
            familiar=name,
            seed=seed,
            unfamiliar=other,
            accuracy_test=accuracy,
            n_familiar=row["n_familiar"],
            n_unfamiliar=row["n_unfamiliar"],
            auroc=row["auroc"],
            auroc_of_rates=row["auroc_of_rates"],
            auroc_of_softmax=roc_auc_score(is_new, -certain),
        )


# -- the indicator of the study's networks ---------------------------------------------


def indicator(out):
    """OUI beside its ceiling from the rates, and coverage, of two kinds of networks of
    the study: those of its cell MNIST, MLP, width 64, and networks trained to 99 % of
    2 000 images on true or on permuted labels.
    """
    table = Table(
        out / "indicator.csv", ("n_images", "width", "condition", "seed", "split")
    )
    data = ann2neo.load_dataset("mnist")
    for width in (64, 256):
        if not all(table.has(N_IMAGES, width, "memorizing", seed) for seed in SEEDS):
            _matched(table, data, width)
    _as_in_the_study(table, data)


def _matched(table, data, width):
    bench = MatchedTraining(
        "mnist",
        "MLP",
        width,
        n_samples=N_IMAGES,
        accuracy=MATCHED_ACCURACY,
        max_epochs=5000,
    )
    for seed in SEEDS:
        x, true = bench.images(seed)
        permuted, _ = noisy_labels(true, 1.0, seed)
        for condition in ("random", "generalizing", "memorizing"):
            if table.has(N_IMAGES, width, condition, seed):
                continue
            bench.start(seed)
            labels = permuted if condition == "memorizing" else true
            n_epochs = 0
            if condition != "random":
                n_epochs = bench.train(x, labels, seed).n_epochs
            facts = {
                "n_images": N_IMAGES,
                "width": width,
                "condition": condition,
                "seed": seed,
                "n_epochs": n_epochs,
            }
            _indicator_of(table, facts, bench.model, bench.trainer, (x, labels), data)


def _as_in_the_study(table, data):
    x, conditions = data.inputs("train"), conditions_of("MLP")
    n = len(x) * 9 // 10
    if all(table.has(len(x), 64, condition) for condition in conditions):
        return
    bench, generalizing = NetworkUnderStudy(data, "MLP", 64), None
    for condition in conditions:
        # One memorizing network starts from the generalizing one.
        if condition != "generalizing" and table.has(len(x), 64, condition):
            continue
        network = bench.bring_into(condition, 0, generalizing)
        if condition == "generalizing":
            generalizing = network.weights
        if table.has(len(x), 64, condition):
            continue
        facts = {
            "n_images": len(x),
            "width": 64,
            "condition": condition,
            "seed": 0,
            "n_epochs": network.n_epochs,
        }
        trained_on = x[:n], bench.labels(condition, 0)[:n]
        judge = Trainer(bench.model)
        _indicator_of(table, facts, bench.model, judge, trained_on, data)


def _indicator_of(table, facts, model, trainer, training, data):
    test = data.inputs("test"), data.labels("test")
    accuracy_test = trainer.accuracy(*test)
    for split, (x, y) in (("train", training), ("test", test)):
        recording = recorded(model, x)
        table.add(
            **facts,
            split=split,
            accuracy=trainer.accuracy(x, y),
            accuracy_test=accuracy_test,
            **numbers_of(recording),
        )


PARTS = {"codes": codes, "unfamiliar": unfamiliar, "indicator": indicator}


def main():
    """Compute what is missing of the parts asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; all if none")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in arguments.parts or PARTS:
        PARTS[name](arguments.out)


if __name__ == "__main__":
    main()
