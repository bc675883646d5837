"""Recordings that tests of files share."""

import numpy as np
import pandas as pd
import pytest

from ann2neo import Recording, SpikeRaster
from ann2neo.recording.tables import presentation_table

METADATA = {
    "experimenter": "Noether, Emmy",
    "institution": "Georg-August-Universität Göttingen",
}


def make_network(n_units=10, n_bins=300, *, seed=0, rate=0.3, **options):
    rng = np.random.default_rng(seed)
    parts = []
    for phase in ("train", "test"):
        dense = rng.random((n_units, n_bins)) < rate
        dense[0], dense[-1] = False, True
        units = pd.DataFrame(
            {
                "layer": (
                    ["conv/1:a"] * (n_units // 2)
                    + ["Schicht β"] * (n_units - n_units // 2)
                ),
                "layer_type": "Conv2D",
                "layer_index": [0] * (n_units // 2) + [1] * (n_units - n_units // 2),
                "unit_in_layer": np.arange(n_units),
                "threshold": 0.5,
            }
        )
        shown = presentation_table(
            n_bins,
            phase,
            labels=rng.integers(0, 4, n_bins),
            predictions=rng.integers(0, 4, n_bins),
            stimulus_id=rng.permutation(n_bins),
        )
        raster = SpikeRaster.from_dense(dense, **options)
        notes = {
            "model_name": "tiny",
            "weights_sha256": "abcdef0123456789",
            "keras_version": "3.8.0",
        }
        notes["threshold"] = (
            '{"conv/1:a": "0.5", "Schicht \\u03b2": "above the quantile 0.9"}'
        )
        parts.append(
            Recording.from_raster(
                raster, units, shown, phase=phase, order="random", provenance=notes
            )
        )
    return Recording.concatenate(parts)


@pytest.fixture
def network():
    """Two phases, a silent and a saturated unit, labels and predictions."""
    return make_network()


@pytest.fixture
def metadata():
    """What the two suggestions of NWB Inspector ask for."""
    return dict(METADATA)


@pytest.fixture
def network_maker():
    """Makes recordings of other sizes."""
    return make_network
