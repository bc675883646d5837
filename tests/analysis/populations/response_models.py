"""Networks and noisy copies of them, for tests of similarity."""

import numpy as np

from ann2neo import Recording


class Network:
    """Random linear units with thresholds, driven by stimuli of a few dimensions."""

    def __init__(self, n_dims, n_units, rng):
        self.weights = rng.normal(size=(n_dims, n_units))
        self.bias = 0.5 * rng.normal(size=n_units)

    def record(self, stimuli, *, noise=0.0, rng=None, repeats=1, labels=None):
        """Record every stimulus `repeats` times, with independent noise."""
        ids = np.tile(np.arange(len(stimuli)), repeats)
        drive = stimuli[ids] @ self.weights + self.bias
        if noise:
            drive = drive + noise * rng.normal(size=drive.shape)
        return Recording.from_activations(
            drive, stimulus_id=ids, labels=None if labels is None else labels[ids]
        )
