"""Make the picture of the README and of the site: ``python docs/picture.py``.

A network learns the digits that come with scikit-learn; the picture shows what it was
shown, which of its units spiked, and how regular their spike counts are. Two files are
written: for light pages and for dark ones.
"""

from __future__ import annotations

import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"

from pathlib import Path
from typing import Any

import keras
import matplotlib as mpl
import numpy as np

import ann2neo
from ann2neo.report.style import CYCLE, STYLE

mpl.use("svg")
from matplotlib import pyplot as plt

FOLDER = Path(__file__).parent / "_static"
N_SHOWN, N_UNITS = 26, 20
FACES = {
    "light": {
        "ink": "#1f2430",
        "muted": "#667085",
        "spikes": CYCLE[0],
        "units": CYCLE[1],
    },
    "dark": {
        "ink": "#e6e8ec",
        "muted": "#9aa4b2",
        "spikes": CYCLE[5],
        "units": CYCLE[3],
    },
}
"""Colours for light and for dark pages."""


def recorded() -> tuple[ann2neo.Recording, Any]:
    """A recording of a trained network, and the images of the test set."""
    keras.utils.set_random_seed(0)
    digits = ann2neo.load_dataset("digits")
    model = keras.Sequential(
        [
            keras.Input(digits.inputs("train").shape[1:]),
            keras.layers.Flatten(),
            keras.layers.Dense(64, activation="relu", name="hidden"),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(keras.optimizers.SGD(0.3), "sparse_categorical_crossentropy")
    model.fit(digits.inputs("train"), digits.labels("train"), epochs=30, verbose=0)
    recording = ann2neo.record(
        model,
        digits.inputs("test"),
        layers="hidden",
        labels=digits.labels("test"),
        seed=0,
        phase="test",
    )
    return recording, digits.x_test


def draw(
    recording: ann2neo.Recording,
    images: Any,
    ink: str,
    muted: str,
    spikes: str,
    units: str,
) -> Any:
    """What was shown above what spiked, and beside them the Fano factor of
    every unit.
    """
    figure = plt.figure(figsize=(10.4, 4.3))
    grid = figure.add_gridspec(
        2, 2, width_ratios=(2.5, 1), height_ratios=(1, 11.5), hspace=0.04, wspace=0.2
    )
    figure.subplots_adjust(left=0.06, right=0.99, bottom=0.13, top=0.9)
    shown = recording.presentations.iloc[:N_SHOWN]
    strip, raster, fano = (
        figure.add_subplot(place) for place in (grid[0, 0], grid[1, 0], grid[:, 1])
    )

    for place, stimulus in enumerate(shown["stimulus_id"]):
        pixels = np.squeeze(images[stimulus]).astype(float)
        colour = np.zeros((*pixels.shape, 4))
        colour[..., :3], colour[..., 3] = mpl.colors.to_rgb(ink), pixels / pixels.max()
        strip.imshow(
            colour,
            extent=(place + 0.08, place + 0.92, 0, 1),
            aspect="auto",
            interpolation="nearest",
        )
    strip.set(xlim=(0, N_SHOWN), ylim=(0, 1), xticks=[], yticks=[])
    strip.set_title(
        "Samples shown to the network, and the spikes of its hidden units",
        color=ink,
        pad=8,
    )
    for side in strip.spines.values():
        side.set_visible(False)

    rates = recording.raster.spike_counts() / recording.n_time_bins
    chosen = np.argsort(np.abs(rates - 0.45), kind="stable")[:N_UNITS]
    labels = recording.presentations["label"].to_numpy()
    dense = recording.raster.to_dense()[chosen]
    liked = np.array(
        [[unit[labels == label].mean() for label in range(10)] for unit in dense]
    ).argmax(axis=1)
    order = np.argsort(liked, kind="stable")
    bins = [np.flatnonzero(row[:N_SHOWN]) + 0.5 for row in dense[order]]
    raster.eventplot(bins, colors=spikes, linelengths=0.72, linewidths=4.5)
    raster.set(
        xlim=(0, N_SHOWN),
        ylim=(-0.6, N_UNITS - 0.4),
        xlabel="time bin (one sample each)",
        ylabel="unit",
    )
    raster.set_xticks(np.arange(0, N_SHOWN + 1, 5))
    raster.set_yticks([0, N_UNITS - 1], ["1", str(N_UNITS)])

    table = ann2neo.analyze(recording, statistics=["firing_rate", "fano"], window=10)
    fano.plot(
        [0, 1], [1, 0], color=muted, linewidth=1.2, linestyle=(0, (4, 3)), zorder=1
    )
    fano.scatter(
        table["firing_rate"],
        table["fano_factor"],
        s=20,
        color=units,
        linewidths=0,
        zorder=2,
    )
    fano.text(
        0.97,
        0.95,
        "line: 1 − rate,\nwhat the rate alone gives",
        ha="right",
        va="top",
        color=muted,
        transform=fano.transAxes,
    )
    fano.set(
        xlim=(0, 1),
        ylim=(0, 1.2),
        xlabel="firing rate (spikes per sample)",
        ylabel="Fano factor",
    )
    fano.set_title("All 64 units", color=ink, pad=8)
    return figure


def main() -> None:
    """Record once, draw for both kinds of page."""
    recording, images = recorded()
    for name, face in FACES.items():
        ink, muted = face["ink"], face["muted"]
        colours = dict.fromkeys(
            ("text.color", "axes.labelcolor", "xtick.labelcolor", "ytick.labelcolor"),
            ink,
        )
        lines = dict.fromkeys(("axes.edgecolor", "xtick.color", "ytick.color"), muted)
        fixed = {"svg.hashsalt": "ann2neo", "svg.fonttype": "path"}
        with mpl.rc_context({**STYLE, "font.size": 10, **lines, **colours, **fixed}):
            figure = draw(recording, images, **face)
            path = FOLDER / f"spikes-{name}.svg"
            figure.savefig(path, transparent=True, metadata={"Date": None})
            plt.close(figure)
        print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
