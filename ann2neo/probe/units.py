"""Units of a recording: their table, which of them to keep, and where they lie."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, TypeGuard

import numpy as np
import numpy.typing as npt
import pandas as pd

from ann2neo.errors import InputTypeError, InputValueError
from ann2neo.probe.adapter import LayerInfo, Tap, TapShape
from ann2neo.probe.thresholds import below_in_float32, limits_of

__all__ = [
    "UnitBlock",
    "UnitChoice",
    "UnitLayout",
    "axis_names",
    "lay_out_units",
    "states_chosen",
]

UnitChoice = (
    int
    | Mapping[str, int | Mapping[str, npt.ArrayLike | slice]]
    | Callable[[pd.DataFrame], npt.ArrayLike]
    | None
)
"""What a user may pass as ``units``; see `chosen_units`."""

_AXES: dict[int, tuple[str, ...]] = {
    1: (),
    2: ("step", "channel"),
    3: ("row", "col", "channel"),
    4: ("depth", "row", "col", "channel"),
    5: ("step", "depth", "row", "col", "channel"),
}


@dataclasses.dataclass(frozen=True)
class UnitBlock:
    """The units of one recorded output: neighbouring rows of the raster.

    Parameters
    ----------
    tap : Tap
        Which output.
    shape : tuple of int
        Its shape without the batch.
    first_unit, n_units : int
        Row of its first unit, and number of units.
    limits : ndarray, shape () or (n_chosen,)
        Thresholds, in the type in which they are compared.
    index : ndarray of int32, shape (n_chosen,), or None
        Units of the output that are kept; None for all.
    """

    tap: Tap
    shape: tuple[int, ...]
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

    def without_thresholds(self) -> UnitLayout:
        """Return the same units as units that have none."""
        return dataclasses.replace(self, units=self.units.drop(columns="threshold"))


def lay_out_units(
    shapes: list[TapShape],
    limits: list[npt.NDArray[np.float64]],
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
        if shape.tap.is_wanted
    ]
    tables = [unit_table(shape.tap, shape.shape, limit) for shape, limit in flat]
    units = pd.concat(tables, ignore_index=True)
    if not any(shape.tap.state for shape, _ in flat):
        # Only units of recurrent layers have one.
        units = units.drop(columns="state")
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
        blocks.append(
            UnitBlock(shape.tap, shape.shape, first_unit, len(here), exact, index)
        )
        first_unit += len(here)
    if kept is not None:
        units = units.iloc[kept].reset_index(drop=True)
    return UnitLayout(units, tuple(blocks), taps)


def unit_table(
    tap: Tap, shape: tuple[int, ...], limits: npt.NDArray[np.float64]
) -> pd.DataFrame:
    """Make the table of the units of one output.

    Parameters
    ----------
    tap : Tap
        Which output.
    shape : tuple of int
        Its shape without the batch.
    limits : ndarray of float, shape () or (n_units,)
        Thresholds.

    Returns
    -------
    pandas.DataFrame
        One row per unit, in C order of the shape, with the columns of `UNIT_TYPES`;
        coordinates are -1 along axes that the output does not have.
    """
    n_units = math.prod(shape)
    names = axis_names(tap.layer, len(shape))
    # Coordinates of the units, shape (n_axes, n_units).
    places = np.indices(shape, np.int64).reshape(len(shape), n_units)
    coordinates = dict(zip(names, places, strict=False))
    none = np.full(n_units, -1, np.int64)
    return pd.DataFrame(
        {
            "layer": np.full(n_units, tap.layer.key, object),
            "layer_type": np.full(n_units, tap.layer.type_name, object),
            "layer_index": np.full(n_units, tap.layer.number, np.int64),
            "call_index": np.full(n_units, tap.call_index, np.int64),
            "output_index": np.full(n_units, tap.output_index, np.int64),
            "unit_in_layer": np.arange(n_units, dtype=np.int64),
            **{
                axis: coordinates.get(axis, none)
                for axis in ("channel", "row", "col", "step", "depth")
            },
            "state": np.full(n_units, tap.state, object),
            "threshold": np.broadcast_to(limits, n_units),
        }
    )


def axis_names(layer: LayerInfo, n_axes: int) -> tuple[str, ...]:
    """Name the axes of an output without its batch.

    A plain vector has no named axes, nor has an output with more than five.
    """
    names = _AXES.get(n_axes, ())
    if n_axes == 4 and layer.has_steps:
        names = ("step", *names[1:])
    channels_first = layer.channels_first
    if channels_first is None:
        channels_first = n_axes > 2
    if channels_first and names:
        # The steps of a recurrent layer stay in front of the channels:
        # (step, channel, row, col).
        front = names[:1] if n_axes == 4 and names[0] == "step" else ()
        names = (*front, "channel", *names[len(front) : -1])
    return names


def states_chosen(choice: UnitChoice) -> tuple[str, ...]:
    """Return the layers whose states a choice of units names, such as an LSTM's c."""
    if not isinstance(choice, Mapping):
        return ()
    rules = choice.items()
    return tuple(
        n for n, rule in rules if isinstance(rule, Mapping) and "state" in rule
    )


def chosen_units(
    units: pd.DataFrame, choice: UnitChoice, seed: int
) -> npt.NDArray[np.int64] | None:
    """Find the units to keep.

    Parameters
    ----------
    units : pandas.DataFrame
        Table of all units of the recorded layers.
    choice : int, mapping, predicate or None
        A number of units of each layer, drawn at random; a mapping from layer names to
        such a number or to a mapping from columns to the values or slices to keep, as
        in ``{"conv": {"channel": [0, 3], "row": slice(4, 8)}}`` (layers that it does
        not name are kept whole); a function of the unit table that returns a mask or
        row numbers; None for all.
    seed : int
        Seed of the draw.

    Returns
    -------
    ndarray of int64, ascending, or None
        Rows to keep, None for all.

    Raises
    ------
    InputTypeError, InputValueError
        If the choice is none of these, names an unknown layer or column, or leaves no
        unit.
    """
    if choice is None:
        return None
    if callable(choice):
        kept = _from_predicate(choice(units.copy()), len(units))
    elif isinstance(choice, Mapping):
        layers = units["layer"].to_numpy()
        unknown = [name for name in choice if name not in set(layers)]
        if unknown:
            recorded = ", ".join(map(repr, dict.fromkeys(layers)))
            raise InputValueError(
                f"units names the layer {unknown[0]!r}, which is not recorded; choose"
                f" from {recorded}"
            )
        mask = ~np.isin(layers, list(choice))
        # By name, so that the draw does not depend on the order of the mapping.
        for number, (name, rule) in enumerate(sorted(choice.items())):
            rows = np.flatnonzero(layers == name)
            mask[_of_layer(units, rows, name, rule, (seed, number))] = True
        kept = np.flatnonzero(mask)
    elif _is_count(choice):
        return chosen_units(
            units, dict.fromkeys(units["layer"].unique(), int(choice)), seed
        )
    else:
        raise InputTypeError(
            "units must be a number, a mapping from layers, or a function of the unit"
            f" table, got {choice!r}; for example units=200 or"
            " units={'conv': {'channel': 3}}"
        )
    if not len(kept):
        raise InputValueError(
            "units chooses no unit; choose at least one, or leave it out to record all"
        )
    return kept


def _from_predicate(answer: npt.ArrayLike, n_units: int) -> npt.NDArray[np.int64]:
    kept = np.asarray(answer)
    if kept.dtype == np.bool_ and kept.shape == (n_units,):
        return np.flatnonzero(kept)
    if (
        kept.ndim != 1
        or kept.dtype.kind not in "iu"
        or (len(kept) and not 0 <= kept.min() <= kept.max() < n_units)
    ):
        raise InputValueError(
            f"the function given as units must return a mask of {n_units} units or row"
            f" numbers below {n_units}, got {kept.dtype} of shape {kept.shape}"
        )
    return np.unique(kept.astype(np.int64))


def _is_count(choice: Any) -> TypeGuard[int]:
    return isinstance(choice, (int, np.integer)) and not isinstance(choice, bool)


def _of_layer(
    units: pd.DataFrame,
    rows: npt.NDArray[np.int64],
    name: str,
    rule: Any,
    seed: tuple[int, int],
) -> npt.NDArray[np.int64]:
    """Find the rows to keep among those of one layer."""
    if isinstance(rule, Mapping):
        inside = np.ones(len(rows), np.bool_)
        for axis, choice in rule.items():
            if axis not in units or axis == "layer":
                raise InputValueError(
                    f"units of {name!r} are chosen by {axis!r}, which is no column; use"
                    " one of channel, row, col, step, depth, unit_in_layer, call_index,"
                    " output_index, or state of a recurrent layer with time_axis"
                )
            values = units[axis].to_numpy()[rows]
            wanted = choice
            if isinstance(choice, slice):
                # It picks from 0 .. largest coordinate, and may count from the end.
                wanted = np.arange(values.max() + 1)[choice]
            inside &= np.isin(values, np.atleast_1d(wanted))
        return rows[inside]
    if not _is_count(rule):
        raise InputTypeError(
            f"units of {name!r} must be a number or a mapping such as {{'channel': 3}},"
            f" got {rule!r}"
        )
    if not 0 < rule <= len(rows):
        raise InputValueError(
            f"units asks for {rule} of the {len(rows)} units of {name!r}; ask for 1 to"
            f" {len(rows)}"
        )
    return np.random.default_rng(seed).choice(rows, int(rule), replace=False)
