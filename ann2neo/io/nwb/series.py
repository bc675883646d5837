"""Stimuli and activations as time series of an NWB file, written batch by batch."""

from __future__ import annotations

import dataclasses
import json
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pynwb

from ann2neo.errors import InputTypeError, InputValueError
from ann2neo.io.nwb.data import late_rows, rows_per_chunk
from ann2neo.recording import Recording
from ann2neo.recording.select import kind_of
from ann2neo.recording.stretches import Stretch
from ann2neo.recording.tables import STIMULUS_PLACE, network_columns

__all__ = ["OrientationWarning", "activation_series", "stimulus_series"]

_IMAGE_CHANNELS = (1, 3, 4)
_Batch = tuple[int, npt.NDArray[np.float32]]
"""First time bin and rows, shape (n_bins, n_units)."""


class OrientationWarning(UserWarning):
    """NWB Inspector will call a series of more units than time bins transposed."""


def _object_name(text: str) -> str:
    """Replace what HDF5 and NWB do not allow in names of objects."""
    return re.sub(r"[/:\0]+", "_", text) or "unnamed"


# -- stimuli
# --------------------------------------------------------------------------------------


def stimulus_series(
    recording: Recording,
    stimuli: npt.ArrayLike | Mapping[str, npt.ArrayLike],
    level: int | None,
) -> list[pynwb.TimeSeries]:
    """Make series of the stimuli in the order in which they were presented.

    Parameters
    ----------
    recording : Recording
        Its presentations give the order; of several kinds, those called trials.
    stimuli : array, shape (n_stimuli, ...), or mapping of phase to such arrays
        Rows are selected by ``stimulus_place`` or ``stimulus_id`` if the recording has
        it, else taken in order.
    level : int or None
        Level of gzip; None for no compression.

    Returns
    -------
    list of pynwb.TimeSeries
        One per phase, written later: an ImageSeries for images (uint8 with three axes,
        or four axes with 1, 3 or 4 channels last), else a TimeSeries.

    Raises
    ------
    InputTypeError, InputValueError
        If a phase is unknown, its presentations are not evenly spaced, or there are too
        few stimuli.
    """
    names = recording.phases["phase"].to_list()
    if not isinstance(stimuli, Mapping):
        if len(names) != 1:
            raise InputTypeError(
                f"this recording has the phases {', '.join(names)}, so stimuli must be"
                " a mapping from phase to array; pass {phase: array, ...}"
            )
        stimuli = {names[0]: stimuli}
    for phase in stimuli:
        if phase not in names:
            raise InputValueError(
                f"stimuli name the unknown phase {phase!r}; there are"
                f" {', '.join(names)}"
            )
    return [
        _stimuli_of_phase(recording, phase, np.asanyarray(values), level)
        for phase, values in stimuli.items()
    ]


def _stimuli_of_phase(
    recording: Recording, phase: str, values: npt.NDArray[Any], level: int | None
) -> pynwb.TimeSeries:
    presentations = recording.presentations
    is_shown = presentations["kind"] == kind_of(presentations, None)
    presentations = presentations[is_shown & (presentations["phase"] == phase)]
    start = presentations["start_bin"].to_numpy()
    length = presentations["stop_bin"].to_numpy() - start
    if (
        not len(presentations)
        or (length != length[0]).any()
        or (np.diff(start) != length[0]).any()
    ):
        raise InputValueError(
            f"presentations of phase {phase!r} do not follow one another in equal"
            " steps, so their stimuli have no rate; leave stimuli out, or select"
            " presentations of one length"
        )
    if values.ndim < 2 or values.ndim > 4 or values.dtype.kind not in "iufb":
        raise InputTypeError(
            f"stimuli of phase {phase!r} must be numbers with two to four axes, got"
            f" {values.dtype} of shape {values.shape}; leave out what is no array, and"
            " name the data set in the metadata"
        )
    index = np.arange(len(presentations))
    # A user's own names or numbers are no places.
    for column in ("stimulus_id", STIMULUS_PLACE):
        if column in presentations:
            index = presentations[column].to_numpy()
    if index.dtype.kind != "i":
        raise InputValueError(
            f"presentations of phase {phase!r} name their stimuli, such as"
            f" {index[0]!r}, and do not say which rows of the array they are; leave"
            f" stimuli out, or add the column {STIMULUS_PLACE!r} to the presentations"
        )
    if index.min() < 0 or index.max() >= len(values):
        raise InputValueError(
            f"presentations of phase {phase!r} show stimuli {index.min()} to"
            f" {index.max()}, but there are {len(values)}; pass the array that was"
            " recorded, in its stored order"
        )
    is_image = (values.ndim == 3 and values.dtype == np.uint8) or (
        values.ndim == 4 and values.shape[-1] in _IMAGE_CHANNELS
    )
    # Grey images are (frame, row, column), without an axis of channels.
    if values.ndim == 4 and values.shape[-1] == 1:
        values = values[..., 0]
    dtype = np.uint8 if values.dtype.kind == "b" else values.dtype
    shape = (len(index), *values.shape[1:])
    step = rows_per_chunk(shape, dtype)
    # A generator, so that only one chunk of stimuli is in memory at a time.
    blocks = (
        (first, values[index[first : first + step]].astype(dtype, copy=False))
        for first in range(0, len(index), step)
    )
    options = {
        "name": f"stimuli_{_object_name(phase)}",
        "description": (
            f"Stimuli of the phase {phase!r}, in the order in which they were"
            " presented."
        ),
        "data": late_rows(shape, dtype, level, blocks),
        "starting_time": float(recording.raster.bin_edge_seconds(int(start[0]))),
        "rate": 1.0 / (recording.raster.sampling_period_seconds * float(length[0])),
    }
    if is_image:
        return pynwb.image.ImageSeries(unit="n.a.", format="raw", **options)
    return pynwb.TimeSeries(unit="a.u.", **options)


# -- activations
# --------------------------------------------------------------------------------------


def activation_series(
    recording: Recording,
    activations: Mapping[str, Iterable[npt.NDArray[Any]]],
    parts: Sequence[Stretch],
    *,
    level: int | None,
    for_neo: bool,
) -> list[pynwb.TimeSeries]:
    """Make series of the activations behind the spikes, as float32.

    Parameters
    ----------
    recording : Recording
        Its spikes must be those of the activations.
    activations : mapping of str to iterable of ndarray, shape (n_bins, n_units)
        Activations of each layer, batch by batch, in the order of the time bins.
    parts : sequence of Stretch
        Stretches of time that get a series each.
    level : int or None
        Level of gzip; None for no compression.
    for_neo : bool
        Whether to state in the comments where neo.io.NWBIO puts them.

    Returns
    -------
    list of pynwb.TimeSeries
        One per layer and part, written later.

    Raises
    ------
    InputTypeError, InputValueError
        If a layer is unknown; while writing, if batches have another shape or other
        spikes than the recording.

    Warns
    -----
    OrientationWarning
        If a layer has more units than the recording has time bins.
    """
    if not isinstance(activations, Mapping):
        raise InputTypeError(
            "activations must be a mapping from layer to batches, got"
            f" {type(activations).__name__}; for example {{'hidden': batches}}"
        )
    units, raster = recording.units, recording.raster
    is_network = bool(network_columns(units))
    layers = units["layer"].unique().tolist() if is_network else []
    series = []
    for layer, batches in activations.items():
        if layer not in layers:
            raise InputValueError(
                f"activations name the unknown layer {layer!r}; there are"
                f" {', '.join(layers)}"
            )
        index = np.flatnonzero(units["layer"] == layer)
        if len(index) > recording.n_time_bins:
            warnings.warn(
                f"layer {layer!r} has {len(index)} units and {recording.n_time_bins}"
                " time bins: NWB Inspector's check_data_orientation will call its"
                " activations transposed, which they are not",
                OrientationWarning,
                stacklevel=4,
            )
        rows = _Rows(_checked_batches(recording, layer, index, batches))
        for part in parts:
            # The batches of a layer are an iterator that can be read once: each part
            # takes its rows from where the part before it stopped.
            name = f"activations_{_object_name(layer)}"
            options: dict[str, Any] = {}
            if for_neo:
                name += f"_{_object_name(part.name)}"
                place = {"block": recording.identifier, "segment": part.name}
                options["comments"] = json.dumps(place)
            shape = (part.stop_bin - part.start_bin, len(index))
            blocks = rows.between(part.start_bin, part.stop_bin)
            series.append(
                pynwb.TimeSeries(
                    name=name,
                    description=(
                        f"Activations of layer {layer!r}, one column per unit in the"
                        " order of the units table."
                    ),
                    data=late_rows(shape, np.float32, level, blocks),
                    unit="a.u.",
                    # Where the spikes lie, too: a quarter of the way through the bin.
                    starting_time=float(raster.spike_time_seconds(part.start_bin)),
                    rate=1.0 / raster.sampling_period_seconds,
                    **options,
                )
            )
    return series


@dataclasses.dataclass
class _Rows:
    """Rows of an iterator of batches, which can be read once and in order."""

    batches: Iterator[_Batch]
    rest: _Batch | None = None

    def between(self, start: int, stop: int) -> Iterator[_Batch]:
        """Yield the rows of the bins ``start .. stop - 1``, counted from `start`."""
        # A batch may reach beyond `stop`; it is kept for the stretch that follows.
        position = start
        while position < stop:
            first, rows = self.rest or next(self.batches)
            cut = rows[max(0, position - first) : stop - first]
            self.rest = (first, rows) if first + len(rows) > stop else None
            if len(cut):
                yield max(position, first) - start, cut
            position = max(position, min(stop, first + len(rows)))


def _checked_batches(
    recording: Recording,
    layer: str,
    index: npt.NDArray[np.int64],
    batches: Iterable[npt.NDArray[Any]],
) -> Iterator[_Batch]:
    """Yield batches, each after comparing it with the spikes of the recording."""
    units = recording.units
    limits = None
    if "threshold" in network_columns(units):
        limits = units["threshold"].to_numpy()[index]
    position = 0
    for batch in batches:
        rows = np.asarray(batch, np.float32)
        rows = rows.reshape(len(rows), -1)
        stop = position + len(rows)
        if rows.shape[1] != len(index) or stop > recording.n_time_bins:
            raise InputValueError(
                f"activations of layer {layer!r} have {rows.shape[1]} units up to"
                f" time bin {stop}, but the recording has {len(index)} and"
                f" {recording.n_time_bins} bins; pass those of its own layers"
            )
        if limits is not None:
            raster = recording.raster.slice(position, stop)
            # Axes (bin, unit), as the activations have.
            spikes = raster.take(units=index).to_dense().T
            # Networks compare in float32; thresholds of other origin may have been
            # compared in float64.
            if not any(
                np.array_equal(rows > limit, spikes)
                for limit in (limits.astype(np.float32), limits)
            ):
                raise InputValueError(
                    f"activations of layer {layer!r} in time bins {position} .."
                    f" {stop - 1} are not those behind the spikes; pass them in the"
                    " order of the recording's time bins"
                )
        yield position, rows
        position = stop
    if position < recording.n_time_bins:
        raise InputValueError(
            f"activations of layer {layer!r} end at time bin {position} of"
            f" {recording.n_time_bins}; pass all batches"
        )
