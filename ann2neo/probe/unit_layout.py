"""Unit layout: which units a recording has, where they lie in the raster, and what
their thresholds are.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ann2neo.probe.adapter import Tap, TapShape
from ann2neo.probe.thresholds import below_in_float32, limits_of
from ann2neo.probe.units import chosen_units, unit_table

__all__ = ["UnitBlock", "UnitLayout", "lay_out_units"]


@dataclasses.dataclass(frozen=True)
class UnitBlock:
    """The units of one recorded output: neighbouring rows of the raster.

    Parameters
    ----------
    tap : Tap
        Which output.
    first_unit, n_units : int
        Row of its first unit, and how many it has.
    limits : ndarray, shape () or (n_chosen,)
        Thresholds in the type they are compared in.
    index : ndarray of int32, shape (n_chosen,), or None
        Which units of the output are kept; None for all.
    """

    tap: Tap
    first_unit: int
    n_units: int
    limits: npt.NDArray[Any]
    index: npt.NDArray[np.int32] | None


@dataclasses.dataclass(frozen=True)
class UnitLayout:
    """Units of a recording, the blocks they lie in, and all that the recorded layers
    give.
    """

    units: pd.DataFrame
    blocks: tuple[UnitBlock, ...]
    taps: tuple[Tap, ...]


def lay_out_units(
    shapes: list[TapShape],
    limits: list[npt.NDArray[np.float64]],
    only: Tap | None,
    choice: Any,
    seed: int,
) -> UnitLayout:
    """Lay out the units of recorded outputs.

    Parameters
    ----------
    shapes : list of TapShape
        The recorded outputs.
    limits : list of ndarray of float
        Thresholds of each, a number or one per unit, of any shape `limits_of` takes.
    only : Tap or None
        The one output to keep, where the layers give more; None for all.
    choice : object
        Which units to keep, as `chosen_units` takes it.
    seed : int
        Seed of a random choice.

    Returns
    -------
    UnitLayout
        The chosen units with the coordinates they have in the whole layer.
    """
    taps = tuple(shape.tap for shape in shapes)
    flat = [
        (shape, limits_of(limit, shape.tap.layer.key, shape.shape))
        for shape, limit in zip(shapes, limits, strict=True)
        if only in {None, shape.tap}
    ]
    tables = [unit_table(shape.tap, shape.shape, limit) for shape, limit in flat]
    units = pd.concat(tables, ignore_index=True)
    edges = np.cumsum([0, *map(len, tables)])
    kept = chosen_units(units, choice, seed)
    blocks, first_unit = [], 0
    for (shape, limit), first, stop in zip(flat, edges[:-1], edges[1:], strict=True):
        index = None if kept is None else kept[(kept >= first) & (kept < stop)] - first
        if index is not None and not len(index):
            continue
        chosen = limit[index] if index is not None and limit.ndim else limit
        exact = chosen if shape.dtype == "float64" else below_in_float32(chosen)
        n_units = int(stop - first) if index is None else len(index)
        blocks.append(
            UnitBlock(
                shape.tap,
                first_unit,
                n_units,
                exact,
                None if index is None else index.astype(np.int32),
            )
        )
        first_unit += n_units
    units = units if kept is None else units.iloc[kept].reset_index(drop=True)
    return UnitLayout(units, tuple(blocks), taps)
