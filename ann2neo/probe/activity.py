"""Activity: a look at what was recorded, and a warning where a threshold tells the
units' stimuli apart badly.
"""

from __future__ import annotations

import sys
import warnings

import numpy as np
import pandas as pd

from ann2neo.raster import SpikeRaster

__all__ = ["ActivityWarning", "warn_of_silence"]

_FEWEST_BINS = 20
_SHARE = 0.5


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
        The recording; nothing is said of fewer than 20 bins.
    units : pandas.DataFrame
        Its units.
    """
    if raster.n_time_bins < _FEWEST_BINS:
        return
    counts = raster.spike_counts()
    silent, saturated = counts == 0, counts == raster.n_time_bins
    layers = units["layer"].to_numpy()
    for layer in dict.fromkeys(layers):
        here = layers == layer
        low, high = float(np.mean(silent[here])), float(np.mean(saturated[here]))
        if low + high > _SHARE:
            warnings.warn(
                f"of the {int(here.sum())} units of {layer!r}, {low:.0%} never spike"
                f" and {high:.0%} always do, so their spikes say little about the"
                " stimuli; choose another threshold, such as threshold='quantile:0.5',"
                " or another layer",
                ActivityWarning,
                stacklevel=_level_outside(),
            )


def _level_outside() -> int:
    """How many calls up from the one that warns the user's own code lies."""
    level, frame = 1, sys._getframe(1)
    package = __name__.partition(".")[0]
    while (
        frame.f_back is not None
        and str(frame.f_globals.get("__name__")).partition(".")[0] == package
    ):
        frame, level = frame.f_back, level + 1
    return level
