"""Trains of many kinds, for oracle tests."""

import numpy as np
import pandas as pd

from ann2neo import Recording
from ann2neo.testing import make_recording

KINDS = (
    "bernoulli",
    "bursty",
    "alternating",
    "periodic",
    "noisy_clock",
    "drifting",
    "step",
    "few",
    "silent",
    "full",
)


def train(kind, n_time_bins, rate, seed):
    """One train of zeros and ones, shape (n_time_bins,)."""
    rng = np.random.default_rng(seed)
    noise = rng.random(n_time_bins)
    time = np.arange(n_time_bins)
    if kind == "bernoulli":
        return noise < rate
    if kind == "bursty":
        # Two states with mean stays of about 20 bins; `rate` is the share of time in
        # the second.
        return _two_states(rng, n_time_bins, 0.05 * rate, 0.05 * (1 - rate))
    if kind == "alternating":
        return _two_states(rng, n_time_bins, 0.95, 0.95)
    if kind == "periodic":
        return time % max(2, round(1 / max(rate, 0.01))) == 0
    if kind == "noisy_clock":
        return (time % max(2, round(1 / max(rate, 0.01))) == 0) ^ (noise < 0.03)
    if kind == "drifting":
        return noise < np.linspace(rate / 2, min(1.0, 1.5 * rate), n_time_bins)
    if kind == "step":
        return time >= int(n_time_bins * rate)
    spikes = np.zeros(n_time_bins, bool)
    if kind == "few":
        n_spikes = min(n_time_bins, 1 + seed % 3)
        spikes[rng.choice(n_time_bins, n_spikes, replace=False)] = True
    if kind == "full":
        spikes[:] = True
    return spikes


def _two_states(rng, n_time_bins, up, down):
    state, states = rng.random() < 0.5, np.empty(n_time_bins, bool)
    for time_bin, chance in enumerate(rng.random(n_time_bins)):
        state = chance >= down if state else chance < up
        states[time_bin] = state
    return states


def recording_of(*rows, order="unknown"):
    """A recording of one phase from rows of zeros and ones."""
    return make_recording(np.array(rows), order=order)


def segmented_recording(rows, lengths, order="unknown", gap=3):
    """A recording of one phase from rows of zeros and ones, cut into segments.

    Between two segments every unit fires in `gap` bins that belong to no segment.
    """
    rows, lengths = np.array(rows, bool), np.array(lengths)
    pieces = np.split(rows, np.cumsum(lengths)[:-1], axis=1)
    unobserved = np.ones((len(rows), gap), bool)
    dense = np.concatenate([p for piece in pieces for p in (piece, unobserved)], axis=1)
    starts = np.cumsum(lengths + gap) - lengths - gap
    segments = pd.DataFrame(
        {
            "start_bin": starts,
            "stop_bin": starts + lengths,
            "phase": "trials",
            "order": order,
            "t_start": 0.0,
        }
    )
    whole = make_recording(dense)
    return Recording(whole.raster, whole.units, whole.presentations, segments=segments)
