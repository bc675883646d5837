"""Concatenation of recordings of the same units in time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ann2neo.errors import InputValueError
from ann2neo.raster import SpikeRaster
from ann2neo.recording.tables import shifted

if TYPE_CHECKING:
    from ann2neo.recording.recording import Recording

__all__ = ["concatenated"]


def concatenated(
    parts: Sequence[Recording],
) -> tuple[SpikeRaster, pd.DataFrame, pd.DataFrame, pd.DataFrame, dict[str, str]]:
    """Return raster, tables and provenance of recordings one after another.

    Returns
    -------
    raster, units, presentations, segments, provenance
        What a `Recording` is made of.

    Raises
    ------
    InputValueError
        If there is no recording, units or sampling periods differ, or two phases share
        a name but not their order.
    """
    if not parts:
        raise InputValueError("concatenate needs at least one recording, got none")
    units = parts[0].units
    for other in parts[1:]:
        if not units.equals(other.units):
            raise InputValueError(
                "recordings to concatenate need the same unit tables; record the same"
                " layers with the same thresholds, or select matching units first"
            )
    ends = np.cumsum([part.n_time_bins for part in parts])
    placed = list(zip(parts, [0, *ends[:-1]], strict=True))
    segments = pd.concat(
        [shifted(part.segments, first) for part, first in placed], ignore_index=True
    )
    orders = segments.groupby("phase", sort=False)["order"].nunique()
    if (orders > 1).any():
        name = orders.index[orders > 1][0]
        raise InputValueError(
            f"two recordings have a phase named {name!r} in different order; rename one"
            f" with recording.with_phase_names({{{name!r}: 'another name'}})"
        )
    columns = [set(map(str, part.presentations)) for part in parts]
    missing = sorted(columns[0].union(*columns) - columns[0].intersection(*columns))
    if missing:
        raise InputValueError(
            f"only some recordings have the presentation column {missing[0]!r}; give it"
            " to all or to none"
        )
    presentations = pd.concat(
        [shifted(part.presentations, first) for part, first in placed],
        ignore_index=True,
    )
    return (
        SpikeRaster.concatenate([part.raster for part in parts]),
        units,
        presentations,
        segments,
        _joined_provenance(parts),
    )


def _joined_provenance(parts: Sequence[Recording]) -> dict[str, str]:
    """Join provenance: equal values under their key, others as ``key [phase]``."""
    joined = {}
    names = [", ".join(part.phases["phase"]) for part in parts]
    if len(set(names)) < len(names):
        names = [f"{name}, part {number}" for number, name in enumerate(names, 1)]
    for key in dict.fromkeys(key for part in parts for key in part.provenance):
        values = [part.provenance.get(key) for part in parts]
        if len(set(values)) == 1:
            joined[key] = str(values[0])
            continue
        for name, value in zip(names, values, strict=True):
            if value is not None:
                joined[f"{key} [{name}]"] = value
    return joined
