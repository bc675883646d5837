"""Small recordings for tests of code that uses ann2neo."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ann2neo._checks import whole_number
from ann2neo.errors import InputValueError
from ann2neo.raster import SpikeRaster
from ann2neo.recording import Recording
from ann2neo.recording.tables import presentation_table

__all__ = ["make_recording"]

_PROVENANCE = {
    "model_name": "tiny",
    "weights_sha256": "abcdef0123456789",
    "keras_version": "3.8.0",
}


def make_recording(
    spikes: npt.ArrayLike | None = None,
    *,
    n_units: int = 6,
    n_time_bins: int = 200,
    rate: float | npt.ArrayLike = 0.3,
    labels: int | npt.ArrayLike | None = None,
    layers: Sequence[str] = (),
    phases: str | Sequence[str] = "recording",
    order: str = "unknown",
    provenance: Mapping[str, str] | None = None,
    seed: int = 0,
    **raster_options: Any,
) -> Recording:
    """Make a small recording, of given spikes or of random ones.

    Parameters
    ----------
    spikes : array_like of bool, shape (n_units, n_time_bins), optional
        The spikes of every phase; drawn at random if not given.
    n_units, n_time_bins : int
        Size of each phase, where the spikes are drawn.
    rate : float or array_like, (n_units,) or (n_units, n_labels), default 0.3
        Probability of a spike; also for each unit, or for each unit and label, which
        gives tuned units.
    labels : int or array_like, shape (n_time_bins,), optional
        Labels of the stimuli, one stimulus per time bin; a number draws labels 0 ..
        `labels` - 1 at random.
    layers : sequence of str, optional
        Names of layers, over which the units are spread. The recording then looks like
        that of a network: with layers and thresholds, stimulus numbers, predictions
        where there are labels (four in five are correct), and provenance.
    phases : str or sequence of str
        Names of the phases, which follow each other.
    order : {"unknown", "random", "stored"}
        Order of the stimuli.
    provenance : mapping of str to str, optional
        Where the recording comes from, in addition to what `layers` implies.
    seed : int, default 0
        The same seed gives the same spikes, labels and predictions.
    **raster_options
        `sampling_period` and `t_start`, as in `SpikeRaster.from_dense`.

    Returns
    -------
    Recording
        The recording.

    Raises
    ------
    InputValueError
        If rates for each label are given without labels.

    Examples
    --------
    >>> from ann2neo.testing import make_recording
    >>> make_recording([[1, 0, 1], [0, 0, 1]]).raster.spike_counts()
    array([2, 1])

    Two tuned units, whose rates depend on the label:

    >>> recording = make_recording(n_units=2, rate=[[0.0, 1.0], [1.0, 0.0]], labels=2)
    >>> (recording.raster.to_dense()[0] == recording.presentations["label"]).all()
    np.True_

    Two phases of a network:

    >>> recording = make_recording(
    ...     n_units=4, labels=10, layers=["first", "second"], phases=["train", "test"]
    ... )
    >>> recording.units["layer"].to_list()
    ['first', 'first', 'second', 'second']
    >>> recording.n_time_bins, recording.phases["phase"].to_list()
    (400, ['train', 'test'])
    """
    rng = np.random.default_rng(whole_number(seed, "seed", at_least=0))
    if spikes is not None:
        n_units, n_time_bins = np.shape(spikes)
    units = _units(n_units, layers) if layers else None
    known = {**(_PROVENANCE if layers else {}), **(provenance or {})}
    names = [phases] if isinstance(phases, str) else phases
    parts = []
    for phase in names:
        label, table, bits = labels, None, spikes
        if isinstance(labels, int):
            label = rng.integers(labels, size=n_time_bins)
        if labels is not None or layers:
            table = _presentations(n_time_bins, phase, label, rng if layers else None)
        if bits is None:
            bits = rng.random((n_units, n_time_bins)) < _chances(rate, label)
        raster = SpikeRaster.from_dense(bits, **raster_options)
        parts.append(
            Recording.from_raster(
                raster, units, table, phase=phase, order=order, provenance=known
            )
        )
    return Recording.concatenate(parts)


def _units(n_units: int, layers: Sequence[str]) -> pd.DataFrame:
    index = np.sort(np.arange(n_units) % len(layers))
    return pd.DataFrame(
        {
            "layer": [layers[i] for i in index],
            "layer_type": "Dense",
            "layer_index": index,
            "unit_in_layer": np.arange(n_units),
            "threshold": 0.5,
        }
    )


def _presentations(
    n_time_bins: int,
    phase: str,
    label: npt.ArrayLike | None,
    rng: np.random.Generator | None,
) -> pd.DataFrame:
    """One stimulus per bin; with a generator, numbered and answered by a network."""
    if rng is None:
        return presentation_table(n_time_bins, phase, labels=label)
    prediction = None
    if label is not None:
        wrong = rng.random(n_time_bins) < 0.25
        prediction = np.where(wrong, rng.permutation(label), label)
    return presentation_table(
        n_time_bins,
        phase,
        labels=label,
        predictions=prediction,
        stimulus_id=rng.permutation(n_time_bins),
    )


def _chances(rate: float | npt.ArrayLike, label: npt.ArrayLike | None) -> Any:
    """Probabilities of spikes that broadcast to the shape (n_units, n_time_bins)."""
    chance = np.asarray(rate, float)
    if chance.ndim < 2:
        return chance[..., np.newaxis]
    if label is None:
        raise InputValueError(
            f"a rate of shape {chance.shape} is one per unit and label; pass labels=,"
            " or one rate per unit"
        )
    codes = np.asarray(label)
    if codes.dtype.kind not in "iu":
        codes = np.unique(codes, return_inverse=True)[1]
    return chance[:, codes]
