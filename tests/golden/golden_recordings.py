"""The recordings and the network that the golden set is made of, from fixed seeds."""

import datetime as dt
import functools

import numpy as np
import pandas as pd
import quantities as pq

import ann2neo

STARTED = dt.datetime(2024, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
VERSION_KEYS = "_version"


@functools.cache
def recordings():
    """The recordings of the golden set by name."""
    return {
        "two_phases": fixed(_two_phases(), "two-phases"),
        "sparse": fixed(_sparse(), "sparse"),
        "words": fixed(_words(), "words"),
        "steps": fixed(_steps(), "steps"),
    }


def fixed(recording, identifier):
    """The recording with an identity of ours, and without versions of software."""
    known = recording.provenance
    return ann2neo.Recording(
        recording.raster,
        recording.units,
        recording.presentations,
        recording.phases,
        {k: v for k, v in known.items() if not k.endswith(VERSION_KEYS)},
        identifier,
        STARTED,
    )


def _two_phases():
    """Nine labelled units, one silent, one saturated, in two phases of random order.

    Activations are whole numbers; stimuli come up twice and more.
    """
    rng = np.random.default_rng(11)
    parts = []
    for phase, n in (("train", 400), ("test", 250)):
        stimulus = rng.permutation(n) % 120
        labels = stimulus % 4
        noise = rng.integers(-5, 6, (n, 9))
        values = noise + np.array([0, -2, 3, 0, 0, 0, 1, -4, 4])
        values[:, 3] = -1  # silent
        values[:, 4] = 1  # saturated
        values[:, 5] = np.where(labels == 2, 3, -3) + noise[:, 5] // 2  # tuned
        values[:, 6] = values[:, 0]  # the same as another unit
        values[:, 7] = np.repeat(noise[: n // 10, 7], 10) + 2  # in bursts
        parts.append(
            ann2neo.Recording.from_activations(
                values,
                labels=labels,
                predictions=np.where(noise[:, 0] > 3, 0, labels),
                stimulus_id=stimulus,
                layer="hidden",
                phase=phase,
                order="random",
            )
        )
    return ann2neo.Recording.concatenate(parts)


def _sparse():
    """Six units that fire rarely, with areas, bins of 2 ms and no presentations."""
    rates = np.array([0.0, 0.002, 0.01, 0.02, 0.05, 0.1])
    bits = np.random.default_rng(12).random((6, 700)) < rates[:, None]
    bits[1] = False
    bits[1, 345] = True  # one spike
    raster = ann2neo.SpikeRaster.from_dense(
        bits, sampling_period=2 * pq.ms, t_start=5 * pq.ms
    )
    units = pd.DataFrame({"area": list("aabbcc"), "depth": 100 * np.arange(6)})
    return ann2neo.Recording.from_raster(raster, units, phase="rest", order="stored")


def _words():
    """Five units in 120 presentations of stimuli that are labelled by words."""
    rng = np.random.default_rng(13)
    labels = np.array(["cat", "dog", "owl"])[rng.integers(0, 3, 120)]
    values = rng.integers(-3, 4, (120, 5)) + 2 * (labels == "owl")[:, None]
    return ann2neo.Recording.from_activations(
        values,
        np.array([0.0, 0.5, 1.0, 2.0, 9.0]),
        labels=labels,
        order="stored",
        sampling_period=10 * pq.ms,
    )


def _steps():
    """Three units whose rates change once, twice and never, and one too sparse."""
    rates = np.full((4, 6000), 0.4)
    rates[0, 3000:] = 0.7
    rates[1, 2000:4000] = 0.15
    rates[3] = 0.004
    bits = np.random.default_rng(14).random(rates.shape) < rates
    return ann2neo.Recording.from_raster(ann2neo.SpikeRaster.from_dense(bits))


@functools.cache
def network():
    """A network of whole-numbered weights, and 61 stimuli with labels.

    All sums are exact, so that no activation is near the threshold by rounding. Of
    61 values the quantile 0.9 is one of them.
    """
    import keras

    rng = np.random.default_rng(15)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            layers.Conv2D(3, 3, activation="relu", name="conv"),
            layers.Flatten(name="flat"),
            layers.Dense(7, name="hidden"),
            layers.Dense(3, name="answer"),
        ],
        name="golden",
    )
    model.set_weights(
        [rng.integers(-2, 3, w.shape).astype("float32") for w in model.get_weights()]
    )
    x = rng.integers(-2, 3, (61, 6, 6, 1)).astype("float32")
    return model, x, rng.integers(0, 3, 61)


def record(**options):
    """Record the network with the settings that are the same in every case."""
    model, x, labels = network()
    settings = {"seed": 3, "batch_size": 16, "labels": labels, "progress": False}
    return ann2neo.record(model, x, **{**settings, **options})


def network_recordings():
    """How the network is recorded, by name, each as a function without arguments."""
    cut = {"conv": {"channel": [0, 2], "row": slice(1, 3)}}
    return {
        "last_hidden": record,
        "conv_quantile": lambda: record(layers="conv", threshold="quantile:0.9"),
        "both_layers": lambda: record(
            layers=["conv", "hidden"],
            threshold={"conv": 2.0, "hidden": "quantile:0.75"},
            phase="both",
        ),
        "chosen_units": lambda: record(layers="conv", units=cut),
        "drawn_units": lambda: record(layers=["conv", "hidden"], units=5),
        "stored_order": lambda: record(shuffle=False, labels=None),
        "repeats": lambda: record(n_repeats=2),
    }
