"""Activity: warn of layers whose spikes say little about the stimuli."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd

from ann2neo._checks import level_outside
from ann2neo.raster import SpikeRaster

__all__ = ["ActivityWarning", "warn_of_silence"]

_MIN_TIME_BINS = 20
"""Minimum number of time bins for a warning."""

_MAX_SHARE = 0.5
"""Largest share of silent or saturated units without a warning."""


class ActivityWarning(UserWarning):
    """More than half of the units of a layer never spike, or always do.

    Examples
    --------
    >>> import ann2neo, keras, numpy as np, warnings
    >>> model = keras.Sequential(
    ...     [
    ...         keras.Input((4,)),
    ...         keras.layers.Dense(8, activation="sigmoid", name="hidden"),
    ...     ]
    ... )
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     recording = ann2neo.record(
    ...         model, np.ones((50, 4)), layers="hidden", seed=0
    ...     )  # no sigmoid is below 0
    >>> [
    ...     str(w.message).partition(",")[0]
    ...     for w in caught
    ...     if w.category is ActivityWarning
    ... ]
    ["of the 8 units of 'hidden'"]
    """


def warn_of_silence(raster: SpikeRaster, units: pd.DataFrame) -> None:
    """Warn of layers of which more than half of the units are silent or saturated.

    Parameters
    ----------
    raster : SpikeRaster
        The spikes. Fewer than 20 time bins are too few for a warning.
    units : pandas.DataFrame
        Table of the units.
    """
    if raster.n_time_bins < _MIN_TIME_BINS:
        return
    counts = raster.spike_counts()
    silent, saturated = counts == 0, counts == raster.n_time_bins
    layers = units["layer"].to_numpy()
    for layer in dict.fromkeys(layers):
        here = layers == layer
        low, high = float(np.mean(silent[here])), float(np.mean(saturated[here]))
        if low + high > _MAX_SHARE:
            warnings.warn(
                f"of the {int(here.sum())} units of {layer!r}, {low:.0%} never spike"
                f" and {high:.0%} always do, so their spikes say little about the"
                " stimuli; choose another threshold, such as threshold='quantile:0.5',"
                " or another layer",
                ActivityWarning,
                stacklevel=level_outside(),
            )
