"""Show the stimuli of a plan to its network and write the spikes into a raster."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from ann2neo.errors import ActivationError, InputValueError, LayerError
from ann2neo.probe.adapter import NotFinite, Packing, Passed, Tap, Tensor
from ann2neo.probe.nests import all_finite, leaves_of
from ann2neo.probe.plan import RecordingPlan
from ann2neo.probe.stimuli import ArrayStimuli, Batch, Fingerprint, check_labels
from ann2neo.probe.units import UnitBlock, UnitLayout
from ann2neo.raster import RasterBuilder
from ann2neo.recording.folder import UnfinishedFolder

__all__ = ["Presented", "joined", "show"]

_STAGED_BYTES = 128
"""Bytes of each row that are written at once: two cache lines, 1 024 time bins."""

_LARGEST_HEAP_BLOCK = (1 << 25) - (1 << 13)
"""Bytes of the largest block that glibc counts, 32 MiB less its own few."""

IntArray = npt.NDArray[np.int32]


@dataclasses.dataclass(frozen=True)
class Presented:
    """The presentations of one repeat, without the spikes.

    Parameters
    ----------
    stimulus_id : ndarray of int64, shape (n_presentations,)
        Which sample was shown in each bin.
    labels : ndarray, shape (n_presentations,), or None
        Labels that came with the stimuli.
    predictions : ndarray of int32, shape (n_presentations,), or None
        Classes predicted by the network.
    """

    stimulus_id: npt.NDArray[np.int64]
    labels: npt.NDArray[Any] | None
    predictions: IntArray | None


def show(
    plan: RecordingPlan, folder: UnfinishedFolder | None, progress: tqdm[Any]
) -> tuple[RasterBuilder, list[Presented]]:
    """Show all stimuli, one per time bin, repeat after repeat.

    Parameters
    ----------
    plan : RecordingPlan
        What is shown, and how.
    folder : UnfinishedFolder or None
        Where the bits and the progress are kept, and from where an interrupted
        recording is resumed; None keeps the bits in memory.
    progress : tqdm.tqdm
        Progress bar to update.

    Returns
    -------
    builder : RasterBuilder
        Holds the spikes.
    repeats : list of Presented
        One per repeat.

    Raises
    ------
    ActivationError, LayerError, InputValueError
        As `ann2neo.record`.
    """
    _keep_freed_memory()
    bits = None if folder is None else folder.bits
    builder = RasterBuilder(len(plan.layout.units), plan.n_time_bins or 0, bits)
    fingerprint = Fingerprint()
    repeats: list[Presented] = []
    position = 0
    for repeat in range(plan.n_repeats):
        repeats.append(
            _show_once(plan, repeat, position, builder, folder, fingerprint, progress)
        )
        position += len(repeats[-1].stimulus_id)
    return builder, repeats


def _keep_freed_memory() -> None:
    """Let one batch have the memory that the batch before has freed.

    glibc gives free memory at the end of its heap back to the system, and a network
    then gets it anew, page by page, which may take longer than its forward pass. It
    keeps twice as much as the largest block of at most 32 MiB that was ever freed. This
    frees such a block, which takes microseconds, since nobody touches it.

    Source: mallopt(3), M_MMAP_THRESHOLD and M_TRIM_THRESHOLD.
    """
    np.empty(_LARGEST_HEAP_BLOCK, np.uint8)


def _show_once(
    plan: RecordingPlan,
    repeat: int,
    begin: int,
    builder: RasterBuilder,
    folder: UnfinishedFolder | None,
    fingerprint: Fingerprint,
    progress: tqdm[Any],
) -> Presented:
    batches = enumerate(_batches(plan, repeat))
    ids, labels, classes = [np.zeros(0, np.int64)], [], []
    if folder is not None and folder.n_done > begin:
        shown, kept = _shown_before(plan, begin, folder, fingerprint, batches)
        ids += [batch.stimulus_id for batch in shown]
        labels += [batch.labels for batch in shown]
        classes.append(kept)
    state: Any = {}
    known_labels: dict[Any, Any] = {}
    position = begin + sum(map(len, ids))
    progress.update(position - begin)
    stage = _Stage(plan.layout, builder)
    blocks = {block.tap: block for block in plan.layout.blocks}

    def pack(tap: Tap, activations: Tensor) -> Packing | None:
        block = blocks.get(tap)
        if block is None:
            return None
        _check_shape(tuple(activations.shape[1:]), block, position)
        return plan.adapter.pack_spikes(activations, block.limits, block.index)

    def keep(
        passed: Passed, first_bin: int, n_bins: int, predicted: IntArray | None
    ) -> None:
        builder.extend(first_bin + n_bins)
        stage.write(first_bin, n_bins, _packed(passed, plan, first_bin))
        # A network that carries a state from batch to batch cannot be resumed in
        # between.
        resumable = not passed.state or (plan.training and not plan.adapter.is_stateful)
        if folder is not None and resumable:
            folder.keep(first_bin + n_bins, predicted, stage.flush, fingerprint)

    def read(batch: Batch, first_bin: int) -> None:
        _check_finite(batch, first_bin)
        if folder is not None:
            fingerprint.update(batch)

    # While the network computes one batch, a thread packs the batch before, after it
    # has read the one that is computed:
    #     network  1 2 3 4
    #     thread     1 2 3 4
    packing: Future[None] | None = None
    with ThreadPoolExecutor(1, "ann2neo-packing") as thread:
        try:
            for number, batch in batches:
                n_bins = len(batch.stimulus_id)
                _check_own(plan, batch, position, known_labels)
                reading = thread.submit(read, batch, position)
                # By number, so that a resumed recording draws the same noise.
                rng = np.random.default_rng((plan.seed, repeat, number))
                passed = plan.forward(batch.data, state, rng, pack)
                state = passed.state
                predicted = None
                if plan.read_classes is not None:
                    predicted = plan.read_classes(passed.output)
                ids.append(batch.stimulus_id)
                labels.append(batch.labels)
                classes.append(predicted)
                if packing is not None:
                    # Wait for the batch before, whose error, if any, is raised here.
                    packing.result()
                # A loader may fill the same array anew with the next batch.
                reading.result()
                packing = thread.submit(keep, passed, position, n_bins, predicted)
                position += n_bins
                progress.update(n_bins)
        finally:
            # The error of an earlier batch is raised rather than that of a later one.
            if packing is not None:
                packing.result()
    stage.flush()
    return Presented(np.concatenate(ids), joined(labels), joined(classes))


def _batches(plan: RecordingPlan, repeat: int) -> Iterator[Batch]:
    """Return all batches of a repeat."""
    stimuli = plan.stimuli
    if not isinstance(stimuli, ArrayStimuli):
        return stimuli.batches()
    order = None
    if plan.shuffle:
        rng = np.random.default_rng((plan.seed, repeat))
        order = rng.permutation(stimuli.n_samples)
    return stimuli.batches(order, plan.batch_size)


def _shown_before(
    plan: RecordingPlan,
    begin: int,
    folder: UnfinishedFolder,
    fingerprint: Fingerprint,
    batches: Iterator[tuple[int, Batch]],
) -> tuple[list[Batch], IntArray | None]:
    """Read the batches of a repeat that an earlier run has shown, without showing them.

    Returns
    -------
    shown : list of Batch
        The batches, without their data.
    classes : ndarray of int32 or None
        Classes predicted for them.

    Raises
    ------
    OutputExistsError
        If the earlier run has shown other stimuli.
    """
    n_samples = plan.stimuli.n_samples or 0
    stop = min(folder.n_done, begin + n_samples)
    position = begin
    shown = []
    while position < stop:
        _, batch = next(batches)
        fingerprint.update(batch)
        shown.append(batch._replace(data=None))
        position += len(batch.stimulus_id)
    folder.check_shown(position, str(fingerprint))
    kept = np.array(folder.predictions[begin:stop])
    # -1 stands for no prediction.
    return shown, kept if (kept >= 0).all() else None


class _Stage:
    """Collects packed batches to write whole cache lines, which is twice as fast.

    A batch holds few bytes of each unit, and those of neighbouring units lie far apart
    in the raster. Bytes wait as they come, (byte, unit), until a row has enough of
    them. Batches that do not begin and end at whole bytes are written at once.
    """

    def __init__(self, layout: UnitLayout, builder: RasterBuilder) -> None:
        self._layout, self._builder = layout, builder
        self._waiting = [
            np.empty((_STAGED_BYTES, block.n_units), np.uint8)
            for block in layout.blocks
        ]
        self._first_bin = self._n_bytes = 0

    def write(
        self, first_bin: int, n_bins: int, packed: list[npt.NDArray[np.uint8]]
    ) -> None:
        """Take the spikes of one batch, an array per block of units."""
        n_bytes = -(-n_bins // 8)
        if self._n_bytes + n_bytes > _STAGED_BYTES:
            self.flush()
        if first_bin % 8 or n_bins % 8 or n_bytes > _STAGED_BYTES:
            self.flush()
            self._put(first_bin, n_bins, packed)
            return
        if not self._n_bytes:
            self._first_bin = first_bin
        for waiting, spikes in zip(self._waiting, packed, strict=True):
            waiting[self._n_bytes : self._n_bytes + n_bytes] = spikes
        self._n_bytes += n_bytes

    def flush(self) -> None:
        """Write the waiting bytes into the raster."""
        if self._n_bytes:
            self._put(
                self._first_bin,
                8 * self._n_bytes,
                [waiting[: self._n_bytes] for waiting in self._waiting],
            )
            self._n_bytes = 0

    def _put(
        self, first_bin: int, n_bins: int, packed: list[npt.NDArray[np.uint8]]
    ) -> None:
        for block, spikes in zip(self._layout.blocks, packed, strict=True):
            self._builder.write_packed(first_bin, spikes, n_bins, block.first_unit)


def joined(parts: Sequence[npt.NDArray[Any] | None]) -> npt.NDArray[Any] | None:
    """Concatenate parts, or return the only one; None if one of them is None."""
    if len(parts) == 1:
        return parts[0]
    arrays = [part for part in parts if part is not None]
    return np.concatenate(arrays) if arrays and len(arrays) == len(parts) else None


def _packed(
    passed: Passed, plan: RecordingPlan, position: int
) -> list[npt.NDArray[np.uint8]]:
    """Pack the spikes of a batch, one array per block of units."""
    taps = plan.layout.taps
    if passed.taps != taps:
        odd = min(set(taps) ^ set(passed.taps))
        n_calls = len({tap.call_index for tap in passed.taps if tap.layer == odd.layer})
        raise LayerError(
            f"the layer {odd.layer.key!r} ran {n_calls} times at presentation"
            f" {position}, unlike before; only layers that run equally often on every"
            " batch can be recorded: choose another layer"
        )
    packings = dict(zip(taps, passed.activations, strict=True))
    arrays = []
    for block in plan.layout.blocks:
        packed, odd_one = packings[block.tap]()
        if odd_one is not None:
            raise _not_finite(odd_one, block, position)
        arrays.append(packed)
    return arrays


def _check_own(
    plan: RecordingPlan, batch: Batch, position: int, known: dict[Any, Any]
) -> None:
    """Check that the user's labels and columns go on, and fit those of the batch."""
    own = dict(plan.columns)
    if plan.labels is not None:
        own["labels"] = plan.labels
    for name, values in own.items():
        if batch.stimulus_id.max() >= len(values):
            raise InputValueError(
                f"{name} must have one entry per sample, got {len(values)}, and there"
                " are more samples; pass those of the same samples"
            )
    if plan.labels is not None:
        check_labels(plan.labels, batch, position, known)


def _check_shape(shape: tuple[int, ...], block: UnitBlock, position: int) -> None:
    """Raise if an output has another shape than before, and so other units."""
    if shape != block.shape:
        raise ActivationError(
            f"the layer {block.tap} gave the shape {shape} at presentation {position},"
            f" and {block.shape} before, so that its units would not be the same ones;"
            " show stimuli of one shape, padded or cropped, or record those of each"
            " shape by themselves"
        )


def _check_finite(batch: Batch, position: int) -> None:
    """Raise if a stimulus is NaN or infinite.

    A network may hide it: TensorFlow's fused ReLU makes 0 of NaN, which would be
    recorded as silence.
    """
    for leaf in leaves_of(batch.data):
        if all_finite(leaf):
            continue
        odd = ~np.isfinite(leaf.reshape(len(leaf), -1).astype(np.float64))
        place = int(odd.any(axis=1).argmax())
        raise ActivationError(
            f"the stimulus of presentation {position + place}, sample"
            f" {batch.stimulus_id[place]} of the data, holds NaN or infinity; replace"
            " such values, or leave out the samples that have them"
        )


def _not_finite(odd_one: NotFinite, block: UnitBlock, position: int) -> ActivationError:
    """Make an error that locates an activation that is not finite."""
    unit = odd_one.unit if block.index is None else block.index[odd_one.unit]
    return ActivationError(
        f"the layer {block.tap} gave {odd_one.value} at presentation"
        f" {position + odd_one.sample}, unit {unit}; activations must be finite: look"
        " for a diverged network or unscaled input"
    )
