"""Recordings that tests of files share."""

import json

import numpy as np
import pytest

from ann2neo.testing import make_recording

METADATA = {
    "experimenter": "Noether, Emmy",
    "institution": "Georg-August-Universität Göttingen",
}


THRESHOLDS = {"conv/1:a": "0.5", "Schicht β": "above the quantile 0.9"}


def make_network(n_units=10, n_bins=300, *, seed=0, rate=0.3, **options):
    rates = np.full(n_units, rate)
    rates[0], rates[-1] = 0, 1
    return make_recording(
        n_units=n_units,
        n_time_bins=n_bins,
        rate=rates,
        labels=4,
        layers=["conv/1:a", "Schicht β"],
        phases=["train", "test"],
        order="random",
        provenance={"threshold": json.dumps(THRESHOLDS)},
        seed=seed,
        **options,
    )


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
