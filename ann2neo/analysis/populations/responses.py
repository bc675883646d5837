"""Responses of a recording to stimuli or labels, matched between two recordings."""

from __future__ import annotations

import dataclasses
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from ann2neo._checks import one_of
from ann2neo.analysis._entry import BoolArray, FloatArray, IntArray
from ann2neo.analysis._phases import one_phase
from ann2neo.errors import InputTypeError, InputValueError
from ann2neo.raster import CarriedRaster, SpikeRaster
from ann2neo.raster.patterns import patterns_of
from ann2neo.recording import Recording
from ann2neo.recording.select import kind_of

__all__ = [
    "BY",
    "BitPatterns",
    "MeanPatterns",
    "Patterns",
    "Responses",
    "bin_patterns",
    "count_patterns",
    "matched",
    "option_of_each",
    "responses_of",
]

BY = ("stimulus_id", "label")
"""What the items that are compared stand for."""

_BLOCK_BYTES = 1 << 22
_NAMED = 5
"""Names listed in a message."""


@dataclasses.dataclass(frozen=True)
class Responses:
    """Presentations of one phase, grouped by the item that was shown.

    Parameters
    ----------
    carried : CarriedRaster
        The spikes of the whole recording.
    phase, by : str
        The phase, and what an item is: a "stimulus_id" or a "label".
    names : ndarray, shape (n_items,)
        Stimulus or label of each item.
    item, starts, stops : ndarray of int64, shape (n_presentations,)
        Item of each presentation, ascending, and its bins.
    labels : ndarray, shape (n_items,), or None
        Label of each item, where there are labels.
    """

    carried: CarriedRaster
    phase: str
    by: str
    names: npt.NDArray[Any]
    item: IntArray
    starts: IntArray
    stops: IntArray
    labels: npt.NDArray[Any] | None

    @property
    def raster(self) -> SpikeRaster:
        """The spikes of the whole recording."""
        return self.carried.open()

    @property
    def n_items(self) -> int:
        """Number of items."""
        return len(self.names)

    @property
    def repeats(self) -> IntArray:
        """Presentations of each item, shape (n_items,)."""
        return np.bincount(self.item, minlength=self.n_items)

    @property
    def is_bits(self) -> bool:
        """Whether every item is one presentation of one bin."""
        is_alone = len(self.item) == self.n_items
        return is_alone and bool((self.stops - self.starts == 1).all())

    def keep(self, items: IntArray) -> Self:
        """Keep some items, in the order given, with all their presentations."""
        place = np.full(self.n_items, -1, np.int64)
        place[items] = np.arange(len(items))
        return self._rows(place[self.item] >= 0, place, items)

    def halves(self, rng: np.random.Generator) -> tuple[Self, Self]:
        """Divide the presentations of each item among two halves, at random."""
        # Random numbers sorted inside each item: the even places are one half.
        order = np.lexsort((rng.random(len(self.item)), self.item))
        firsts = np.concatenate([[0], np.cumsum(self.repeats)[:-1]])
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order)) - firsts[self.item[order]]
        everything = np.arange(self.n_items)
        one, other = (
            self._rows(place % 2 == half, everything, everything) for half in (0, 1)
        )
        return one, other

    def _rows(self, is_kept: BoolArray, place: IntArray, items: IntArray) -> Self:
        item = place[self.item[is_kept]]
        order = np.argsort(item, kind="stable")
        return dataclasses.replace(
            self,
            names=self.names[items],
            item=item[order],
            starts=self.starts[is_kept][order],
            stops=self.stops[is_kept][order],
            labels=None if self.labels is None else self.labels[items],
        )

    def units(self) -> SpikeRaster:
        """Return the bins of the presentations, side by side in their order."""
        return self.raster.join(self.starts, self.stops)

    def counts(self) -> IntArray:
        """Count spikes per presentation and unit, (n_presentations, n_units)."""
        raster = self.raster
        counts = np.empty((len(self.item), raster.n_units), np.int64)
        for units, block in raster.unit_blocks(_BLOCK_BYTES):
            before, after = map(block.cumulative_counts, (self.starts, self.stops))
            counts[:, units] = (after - before).T
        return counts

    def totals(self) -> IntArray:
        """Count spikes per item and unit over its repeats, (n_items, n_units)."""
        raster = self.raster
        totals = np.empty((self.n_items, raster.n_units), np.int64)
        firsts = np.concatenate([[0], np.cumsum(self.repeats)[:-1]])
        for units, block in raster.unit_blocks(_BLOCK_BYTES):
            before, after = map(block.cumulative_counts, (self.starts, self.stops))
            totals[:, units] = np.add.reduceat(after - before, firsts, axis=1).T
        return totals


class BitPatterns:
    """One row of bits per item: which cells were active.

    Parameters
    ----------
    bits : SpikeRaster, n_items x n_cells
        Its bins are the cells.
    """

    def __init__(self, bits: SpikeRaster) -> None:
        self.bits = bits

    @property
    def n_items(self) -> int:
        """Number of items."""
        return self.bits.n_units

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return self.bits.n_time_bins

    def is_flat(self) -> BoolArray:
        """Tell for which items all cells respond alike, so that none stands out."""
        counts = self.bits.spike_counts()
        flat: BoolArray = (counts == 0) | (counts == self.n_cells)
        return flat

    def take(self, items: IntArray) -> BitPatterns:
        """Keep some items, in the order given."""
        return BitPatterns(self.bits.take(units=items))

    def gram(self) -> FloatArray:
        """Return the products of the patterns of all pairs, (n_items, n_items)."""
        return self.bits.joint_counts().astype(np.float64)


class MeanPatterns:
    """One row of mean counts per item.

    Parameters
    ----------
    means : ndarray of float64, shape (n_items, n_cells)
        Mean over repeats of the spikes in each cell.
    """

    def __init__(self, means: FloatArray) -> None:
        self.means = means

    @property
    def n_items(self) -> int:
        """Number of items."""
        return len(self.means)

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return int(self.means.shape[1])

    def is_flat(self) -> BoolArray:
        """Tell for which items all cells respond alike, so that none stands out."""
        if not self.n_cells:
            return np.ones(self.n_items, np.bool_)
        flat: BoolArray = np.ptp(self.means, axis=1) == 0
        return flat

    def take(self, items: IntArray) -> MeanPatterns:
        """Keep some items, in the order given."""
        return MeanPatterns(self.means[items])

    def gram(self) -> FloatArray:
        """Return the products of the patterns of all pairs, (n_items, n_items)."""
        products: FloatArray = self.means @ self.means.T
        return products


Patterns = BitPatterns | MeanPatterns


def count_patterns(responses: Responses) -> Patterns:
    """Return mean spike counts: a cell is a unit."""
    if responses.is_bits:
        return BitPatterns(_rows_of_items(responses, 1))
    return MeanPatterns(responses.totals() / responses.repeats[:, None])


def bin_patterns(responses: Responses) -> Patterns:
    """Return responses bin by bin: a cell is a unit in one bin of the presentation.

    Raises
    ------
    InputValueError
        If presentations differ in length.
    """
    lengths = responses.stops - responses.starts
    n_bins = int(lengths[0])
    if (lengths != n_bins).any():
        raise InputValueError(
            "Hamming distances compare presentations bin by bin, and these last"
            f" {lengths.min()} to {lengths.max()} bins; cut windows of one length with"
            " recording.cut_trials(after=...), or compare counts with 'correlation' or"
            " 'euclidean'"
        )
    if n_bins == 1:
        return count_patterns(responses)
    bits = _rows_of_items(responses, n_bins)
    if len(responses.item) == responses.n_items:
        return BitPatterns(bits)
    firsts = np.concatenate([[0], np.cumsum(responses.repeats)[:-1]])
    totals = np.add.reduceat(bits.to_dense(), firsts, axis=0, dtype=np.float64)
    return MeanPatterns(totals / responses.repeats[:, None])


def _rows_of_items(responses: Responses, n_bins: int) -> SpikeRaster:
    """Return a raster with a row per presentation, whose bins are bins x units."""
    units = responses.units()
    n_rows, n_cells = len(responses.item), n_bins * units.n_units
    rows = patterns_of(units)
    if n_bins == 1:
        return SpikeRaster(rows.view(np.uint8), n_rows, n_cells)
    # The units of all bins of a presentation side by side, without their padding.
    dense = np.unpackbits(rows.view(np.uint8), axis=1, bitorder="little")
    cells = dense[:, : units.n_units].reshape(n_rows, n_cells)
    return SpikeRaster.from_packed(
        np.packbits(cells, axis=1, bitorder="little"), n_cells
    )


def option_of_each(value: Any, name: str) -> tuple[Any, Any]:
    """Return an option for each recording, from one for both or a pair."""
    if value is None or isinstance(value, str):
        return value, value
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise InputTypeError(
            f"{name} must be one name for both recordings or a pair of them, got"
            f" {value!r}"
        )
    return value[0], value[1]


def responses_of(
    recording: Recording, by: str, phase: str | None, kind: str | None, caller: str
) -> tuple[Responses, int]:
    """Return the responses of one phase, and how many presentations have no name.

    Parameters
    ----------
    recording : Recording
        What a user passed.
    by : {"stimulus_id", "label"}
        Column whose values are the items.
    phase, kind : str, optional
        Phase and kind of the presentations.
    caller : str
        Name of the function it was passed to, for messages.

    Returns
    -------
    responses : Responses
        Items sorted by name.
    n_unnamed : int
        Presentations left out: their stimulus_id or label is NaN, "" or -1 as an id,
        the values that stand for a missing one.

    Raises
    ------
    InputTypeError, InputValueError
        If it is no recording, the phase, the kind or the column does not exist, nothing
        was shown, or two presentations of one stimulus differ in their label.
    """
    chosen = one_phase(recording, phase, caller)
    one_of(by, BY, "by")
    table = recording.presentations
    if by not in table:
        raise InputValueError(
            f"{caller} needs to know what was shown, and this recording has no column"
            f" {by!r} in its presentations; record it with {_argument(by)}, or add the"
            " column with recording.with_presentations"
        )
    kind = kind_of(table, kind)
    table = table[(table["phase"] == chosen.phase) & (table["kind"] == kind)]
    is_named = ~_is_missing(table[by])
    n_unnamed = int((~is_named).sum())
    table = table[is_named]
    if not len(table):
        raise InputValueError(
            f"{caller} needs presentations with a {by}; phase {chosen.phase!r} has"
            f" {n_unnamed} of the kind {kind!r}, all without one"
        )
    column = table[by]
    values = column.to_numpy(str if column.dtype == "str" else None)
    names, item = np.unique(values, return_inverse=True)
    order = np.argsort(item, kind="stable")
    labels = None
    if "label" in table:
        # Labels by number, as a missing one, which is NaN, does not equal itself.
        codes, _ = pd.factorize(table["label"])
        firsts = order[np.searchsorted(item[order], np.arange(len(names)))]
        shown = table["label"].to_numpy()
        labels = shown[firsts]
        differs = np.flatnonzero(codes != codes[firsts][item])
        if len(differs):
            row = int(differs[0])
            raise InputValueError(
                f"stimulus {names.tolist()[item[row]]!r} of phase {chosen.phase!r} has"
                f" the labels {labels.tolist()[item[row]]!r} and"
                f" {shown.tolist()[row]!r}, so its presentations are no repeats of one"
                " stimulus; give different stimuli different stimulus_id"
            )
    responses = Responses(
        CarriedRaster(recording.raster),
        chosen.phase,
        by,
        names,
        item[order].astype(np.int64),
        table["start_bin"].to_numpy()[order],
        table["stop_bin"].to_numpy()[order],
        labels,
    )
    return responses, n_unnamed


def _argument(by: str) -> str:
    return "labels=..." if by == "label" else "stimulus_id=..."


def _is_missing(column: pd.Series) -> BoolArray:
    missing = column.isna().to_numpy(np.bool_, copy=True)
    if column.dtype == "str":
        missing |= (column == "").to_numpy(np.bool_)
    elif column.name == "stimulus_id" and column.dtype.kind == "i":
        missing |= (column == -1).to_numpy()
    return missing


def matched(
    first: Responses, second: Responses, caller: str, *, at_least: int
) -> tuple[Responses, Responses]:
    """Keep the items that two recordings share, in one order.

    Parameters
    ----------
    first, second : Responses
        Of two recordings.
    caller : str
        Name of the function that needs them, for messages.
    at_least : int
        Minimum number of shared items.

    Raises
    ------
    InputValueError
        If they share fewer items, or give one item two labels.
    """
    # A number and a text are never the same name, though NumPy would make them so.
    here = there = np.zeros(0, np.int64)
    if (first.names.dtype.kind == "U") == (second.names.dtype.kind == "U"):
        _, here, there = np.intersect1d(
            first.names, second.names, assume_unique=True, return_indices=True
        )
    if len(here) < at_least:
        raise InputValueError(
            f"{caller} needs at least {at_least} shared {_noun(first.by)}, and there"
            f" are {len(here)}: the first recording has {_some(first.names)}, the"
            f" second {_some(second.names)}; name what both saw alike, in the column"
            f" {first.by!r} of their presentations"
        )
    pair = first.keep(here), second.keep(there)
    _check_labels(*pair)
    return pair


def _check_labels(first: Responses, second: Responses) -> None:
    """Raise if an item that two recordings share has two labels."""
    if first.labels is None or second.labels is None:
        return
    one, other = pd.Series(first.labels), pd.Series(second.labels)
    is_known = one.notna() & other.notna()
    differs = np.flatnonzero((one.astype(object) != other.astype(object)) & is_known)
    if not len(differs):
        return
    item = int(differs[0])
    raise InputValueError(
        f"stimulus {first.names.tolist()[item]!r} has the label"
        f" {one.to_list()[item]!r} in the first recording and"
        f" {other.to_list()[item]!r} in the second"
        f" ({len(differs)} of {first.n_items} shared stimuli differ); give different"
        " stimuli different ids, or one stimulus the same label in both"
    )


def _noun(by: str) -> str:
    return "labels" if by == "label" else "stimuli"


def _some(names: npt.NDArray[Any]) -> str:
    listed = ", ".join(map(repr, names[:_NAMED].tolist()))
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    kind = "text" if names.dtype.kind == "U" else str(names.dtype)
    return f"{listed}{more} ({kind})"
