"""Activity: warn of spikes that say little about the stimuli, or are not as asked."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd

from ann2neo._checks import level_outside
from ann2neo.probe.units import UnitBlock, axis_names
from ann2neo.raster import SpikeRaster

__all__ = [
    "ActivityWarning",
    "StepsWarning",
    "warn_of_clipping",
    "warn_of_silence",
    "warn_of_steps",
]

_MIN_TIME_BINS = 20
"""Minimum number of time bins for a warning."""

_MAX_SHARE = 0.5
"""Largest share of silent or saturated units without a warning."""


class StepsWarning(UserWarning):
    """The steps of a sequence were recorded as units, since no axis was called time.

    Examples
    --------
    >>> import ann2neo, keras, numpy as np, warnings
    >>> model = keras.Sequential([keras.Input((5, 2)), keras.layers.Dense(3)])
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     recording = ann2neo.record(model, np.ones((4, 5, 2)), layers="*", seed=0)
    >>> recording.n_units, [w.category.__name__ for w in caught]
    (15, ['StepsWarning'])
    """


class ActivityWarning(UserWarning):
    """More than half of the units of a layer never spike, or always do.

    Also where activations that are no rates were clipped to draw spikes.

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


def warn_of_steps(blocks: Sequence[UnitBlock]) -> None:
    """Warn if the steps of sequences became units.

    Parameters
    ----------
    blocks : sequence of UnitBlock
        The recorded outputs.
    """
    for block in blocks:
        n_axes = len(block.shape)
        names = axis_names(block.tap.layer, n_axes)
        if "step" in names and (n_axes == 2 or block.tap.layer.has_steps):
            n_steps = block.shape[names.index("step")]
            warnings.warn(
                f"the {n_steps} steps of the layer {block.tap} became units, each with"
                " one time bin per presentation; pass"
                f" time_axis={names.index('step') + 1} to make them time bins, or name"
                " a layer without steps",
                StepsWarning,
                stacklevel=level_outside(),
            )
            return


def warn_of_clipping(n_clipped: int, n: int, emission: str) -> None:
    """Warn if activations lay outside the range from which spikes can be drawn.

    Parameters
    ----------
    n_clipped, n : int
        Number of such activations, and of all.
    emission : str
        How spikes were drawn.
    """
    if not n_clipped:
        return
    where = "outside 0..1" if emission == "bernoulli" else "below 0"
    warnings.warn(
        f"{n_clipped / n:.2g} of the activations lie {where} and were clipped, since"
        f" emission={emission!r} takes them as"
        f" {'probabilities' if emission == 'bernoulli' else 'rates'} of spikes; record"
        " a layer that ends in such, as a sigmoid does, or use a threshold",
        ActivityWarning,
        stacklevel=level_outside(),
    )
