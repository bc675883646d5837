"""Unit layout: the units of a recording, their rows in the raster, their thresholds."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ann2neo.probe.adapter import Tap, TapShape
from ann2neo.probe.thresholds import below_in_float32, limits_of
from ann2neo.probe.units import UnitChoice, chosen_units, unit_table

__all__ = ["UnitBlock", "UnitLayout", "lay_out_units"]


@dataclasses.dataclass(frozen=True)
class UnitBlock:
    """The units of one recorded output: neighbouring rows of the raster.

    Parameters
    ----------
    tap : Tap
        Which output.
    first_unit, n_units : int
        Row of its first unit, and number of units.
    limits : ndarray, shape () or (n_chosen,)
        Thresholds, in the type in which they are compared.
    index : ndarray of int32, shape (n_chosen,), or None
        Units of the output that are kept; None for all.
    """

    tap: Tap
    first_unit: int
    n_units: int
    limits: npt.NDArray[Any]
    index: npt.NDArray[np.int32] | None


@dataclasses.dataclass(frozen=True)
class UnitLayout:
    """The units of a recording and where they come from.

    Parameters
    ----------
    units : pandas.DataFrame
        Table of the units, one row per row of the raster.
    blocks : tuple of UnitBlock
        The recorded outputs, in the order of the raster.
    taps : tuple of Tap
        All outputs of the recorded layers, kept or not.
    """

    units: pd.DataFrame
    blocks: tuple[UnitBlock, ...]
    taps: tuple[Tap, ...]


def lay_out_units(
    shapes: list[TapShape],
    limits: list[npt.NDArray[np.float64]],
    only: Tap | None,
    choice: UnitChoice,
    seed: int,
) -> UnitLayout:
    """Lay out the units of the recorded outputs.

    Parameters
    ----------
    shapes : list of TapShape
        The recorded outputs.
    limits : list of ndarray of float
        Thresholds of each output, in any shape that `limits_of` takes.
    only : Tap or None
        The one output to keep, where the layers give more; None for all.
    choice : object
        Which units to keep, as `chosen_units` takes it.
    seed : int
        Seed of a random choice.

    Returns
    -------
    UnitLayout
        The chosen units, with their coordinates in the whole layer.
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
    rows = np.arange(len(units)) if kept is None else kept
    blocks, first_unit = [], 0
    for (shape, limit), first, stop in zip(flat, edges[:-1], edges[1:], strict=True):
        here = rows[(rows >= first) & (rows < stop)] - first
        if not len(here):
            continue
        chosen = limit[here] if limit.ndim else limit
        exact = chosen if shape.dtype == "float64" else below_in_float32(chosen)
        index = None if kept is None else here.astype(np.int32)
        blocks.append(UnitBlock(shape.tap, first_unit, len(here), exact, index))
        first_unit += len(here)
    if kept is not None:
        units = units.iloc[kept].reset_index(drop=True)
    return UnitLayout(units, tuple(blocks), taps)
