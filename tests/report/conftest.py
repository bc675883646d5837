"""A recording with something to see: labels, tuned units, a silent one, and a layer
with a hostile name.
"""

import numpy as np
import pytest

from ann2neo import Recording
from ann2neo.testing import make_recording

HOSTILE = "<script>alert(1)</script>"


def tuned_recording(phase="test", order="random", layer="hidden", seed=0):
    """Units with different rates for each of four labels; unit 3 never spikes."""
    rates = np.random.default_rng(1).random((24, 4)) ** 2
    rates[3] = 0
    return make_recording(
        n_units=24,
        n_time_bins=600,
        rate=rates,
        labels=4,
        layers=[layer],
        phases=phase,
        order=order,
        provenance={"model": "<b>net</b>"},
        seed=seed,
    )


@pytest.fixture(scope="session")
def recording():
    return tuned_recording()


@pytest.fixture(scope="session")
def two_phases():
    train = tuned_recording(phase="train", order="stored", layer=HOSTILE, seed=2)
    return Recording.concatenate([train, tuned_recording(layer=HOSTILE)])
