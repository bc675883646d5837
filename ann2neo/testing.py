"""Small recordings for tests of code that uses ann2neo."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
import quantities as pq

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
    **raster_options: pq.Quantity,
) -> Recording:
    """Make a small recording of given or random spikes.

    Parameters
    ----------
    spikes : array_like of bool, shape (n_units, n_time_bins), optional
        The spikes of every phase; drawn at random if not given.
    n_units, n_time_bins : int
        Size of each phase, if the spikes are drawn.
    rate : float or array_like, (n_units,) or (n_units, n_labels), default 0.3
        Probability of a spike per bin: one for all units, one per unit, or one per unit
        and label, which makes tuned units.
    labels : int or array_like, shape (n_time_bins,), optional
        Labels of the stimuli, one stimulus per time bin; an integer draws labels 0 ..
        `labels` - 1 at random.
    layers : sequence of str, optional
        Names of layers, among which the units are divided. The recording then looks
        like that of a network: with layers and thresholds, stimulus ids, predictions if
        there are labels (about four in five are correct), and provenance.
    phases : str or sequence of str
        Names of the phases, one after another.
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
        If rates per label are given without labels.

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
    units, notes = None, dict(provenance or {})
    if layers:
        # Neighbours share a layer: 0 0 0 1 1 for five units in two layers.
        index = np.sort(np.arange(n_units) % len(layers))
        units = pd.DataFrame(
            {
                "layer": [layers[i] for i in index],
                "layer_type": "Dense",
                "layer_index": index,
                "unit_in_layer": np.arange(n_units),
                "threshold": 0.5,
            }
        )
        notes = _PROVENANCE | notes
    parts = []
    for phase in [phases] if isinstance(phases, str) else phases:
        label, table, bits = labels, None, spikes
        if isinstance(labels, int):
            label = rng.integers(labels, size=n_time_bins)
        if labels is not None or layers:
            table = _presentations(n_time_bins, phase, label, rng if layers else None)
        if bits is None:
            bits = rng.random((n_units, n_time_bins)) < _probabilities(rate, label)
        raster = SpikeRaster.from_dense(bits, **raster_options)
        parts.append(
            Recording.from_raster(
                raster, units, table, phase=phase, order=order, provenance=notes
            )
        )
    return Recording.concatenate(parts)


def _presentations(
    n_time_bins: int,
    phase: str,
    label: npt.ArrayLike | None,
    rng: np.random.Generator | None,
) -> pd.DataFrame:
    """Make presentations of one bin; with a generator also ids and predictions."""
    if rng is None:
        return presentation_table(n_time_bins, phase, labels=label)
    prediction = None
    if label is not None:
        # A quarter gets another presentation's label, which may be the same one.
        wrong = rng.random(n_time_bins) < 0.25
        prediction = np.where(wrong, rng.permutation(label), label)
    return presentation_table(
        n_time_bins,
        phase,
        labels=label,
        predictions=prediction,
        stimulus_id=rng.permutation(n_time_bins),
    )


def _probabilities(
    rate: float | npt.ArrayLike, label: npt.ArrayLike | None
) -> npt.NDArray[np.float64]:
    """Return probabilities that broadcast to the shape (n_units, n_time_bins)."""
    probability = np.asarray(rate, np.float64)
    if probability.ndim < 2:
        return probability[..., np.newaxis]
    if label is None:
        raise InputValueError(
            f"a rate of shape {probability.shape} is one per unit and label; pass"
            " labels=, or one rate per unit"
        )
    codes = np.asarray(label)
    if codes.dtype.kind not in "iu":
        codes = np.unique(codes, return_inverse=True)[1]
    # From (n_units, n_labels) to (n_units, n_time_bins).
    return np.asarray(probability[:, codes])
