"""A recording with something to see: labels, tuned units, a silent one, and a layer
with a hostile name.
"""

import numpy as np
import pytest

from ann2neo import Recording

HOSTILE = "<script>alert(1)</script>"


def tuned_recording(
    n_presentations=600,
    n_units=24,
    *,
    phase="test",
    order="random",
    layer="hidden",
    seed=0,
):
    """Units with different rates for each of four labels; unit 3 never spikes."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, n_presentations)
    rates = np.random.default_rng(1).random((n_units, 4)) ** 2
    rates[3] = 0
    active = rng.random((n_presentations, n_units)) < rates.T[labels]
    return Recording.from_activations(
        active.astype(float),
        labels=labels,
        predictions=np.where(np.arange(n_presentations) % 4 == 0, 0, labels),
        stimulus_id=np.arange(n_presentations),
        layer=layer,
        phase=phase,
        order=order,
        provenance={"seed": str(seed), "model": "<b>net</b>"},
    )


@pytest.fixture(scope="session")
def recording():
    return tuned_recording()


@pytest.fixture(scope="session")
def two_phases():
    train = tuned_recording(phase="train", order="stored", layer=HOSTILE, seed=2)
    return Recording.concatenate([train, tuned_recording(layer=HOSTILE)])
