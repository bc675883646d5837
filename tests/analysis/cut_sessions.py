"""Recordings of several segments, as sessions of trials have them."""

import numpy as np
import pandas as pd

from ann2neo import Recording, SpikeRaster


def session(bits, starts, stops, *, labels=None, order="unknown", phases="session"):
    """Make a recording of given segments; with labels, each holds a trial."""
    raster = SpikeRaster.from_dense(bits)
    segments = pd.DataFrame(
        {"start_bin": starts, "stop_bin": stops, "phase": phases, "order": order}
    )
    trials = segments[["start_bin", "stop_bin", "phase"]].astype({"phase": "str"})
    trials["kind"] = "trials"
    if labels is None:
        trials = trials[:0]
    else:
        trials["label"] = labels
    return Recording(
        raster, pd.DataFrame(index=range(raster.n_units)), trials, segments=segments
    )


def side_by_side(bits, lengths, **options):
    """Make a recording of segments of given lengths, one right after another."""
    edges = np.concatenate([[0], np.cumsum(lengths)])
    return session(bits, edges[:-1], edges[1:], **options)
