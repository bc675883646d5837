"""Recordings of trials, made to order."""

import numpy as np
import pandas as pd

from ann2neo import Recording, SpikeRaster


def trials_of_lengths(rows, lengths, *, labels=None, t_start=0.0, gap=3, **columns):
    """A recording of one segment per trial, from rows of zeros and ones.

    Every unit fires in `gap` bins after each trial, which belong to none.
    """
    rows, lengths = np.asarray(rows, bool), np.asarray(lengths)
    pieces = np.split(rows, np.cumsum(lengths)[:-1], axis=1)
    unobserved = np.ones((len(rows), gap), bool)
    dense = np.concatenate([p for piece in pieces for p in (piece, unobserved)], axis=1)
    start = np.cumsum(lengths + gap) - lengths - gap
    place = {"start_bin": start, "stop_bin": start + lengths, "phase": "trials"}
    segments = pd.DataFrame({**place, "order": "unknown", "t_start": t_start})
    presentations = pd.DataFrame({**place, "kind": "trials", **columns})
    if labels is not None:
        presentations["label"] = labels
    raster = SpikeRaster.from_dense(dense)
    return Recording(
        raster,
        pd.DataFrame(index=range(len(rows))),
        presentations.astype({"phase": "str", "kind": "str"}),
        segments=segments,
    )


def trials_of(spikes, **options):
    """A recording of trials of one length from an array (unit, trial, step)."""
    n_units, n_trials, n_steps = np.shape(spikes)
    rows = np.reshape(spikes, (n_units, n_trials * n_steps))
    return trials_of_lengths(rows, [n_steps] * n_trials, **options)


def ragged(rng, n_trials, longest, rate, n_units=1, shortest=1):
    """Rows of independent bins, and the lengths of the trials that they make up."""
    lengths = rng.integers(shortest, longest + 1, n_trials)
    return rng.random((n_units, lengths.sum())) < rate, lengths


def by_trial(row, lengths):
    """The trials of one row of zeros and ones."""
    return np.split(np.asarray(row), np.cumsum(lengths)[:-1])
