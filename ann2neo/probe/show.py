"""Show the stimuli of a plan to its network and write the spikes into a raster."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from ann2neo.errors import ActivationError, InputValueError, LayerError
from ann2neo.probe.adapter import Frame, NotFinite, Packing, Passed, Tap, Tensor
from ann2neo.probe.emission import Draw
from ann2neo.probe.nests import all_finite, leaves_of
from ann2neo.probe.plan import RecordingPlan
from ann2neo.probe.stimuli import ArrayStimuli, Batch, Fingerprint, check_labels
from ann2neo.probe.units import UnitBlock, UnitLayout
from ann2neo.raster import RasterBuilder
from ann2neo.recording.folder import Done, UnfinishedFolder

__all__ = ["Presented", "Shown", "joined", "show"]

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
        Which sample was shown in each.
    labels : ndarray, shape (n_presentations,), or None
        Labels that came with the stimuli.
    predictions : ndarray of int32, shape (n_presentations,), or None
        Classes predicted by the network.
    lengths : ndarray of int64, shape (n_presentations,), or None
        Bins of each; None if each lasts one.
    batch_sizes : tuple of int
        Presentations of each batch.
    """

    stimulus_id: npt.NDArray[np.int64]
    labels: npt.NDArray[Any] | None
    predictions: IntArray | None
    lengths: npt.NDArray[np.int64] | None
    batch_sizes: tuple[int, ...]

    @classmethod
    def joined(cls, parts: Sequence[Presented]) -> Presented:
        """Set batches below one another."""
        sizes = [len(part.stimulus_id) for part in parts]
        return cls(
            np.concatenate([part.stimulus_id for part in parts]),
            joined([part.labels for part in parts]),
            joined([part.predictions for part in parts]),
            joined([part.lengths for part in parts]),
            tuple(sizes),
        )

    @property
    def n_bins(self) -> int:
        """Number of time bins."""
        if self.lengths is None:
            return len(self.stimulus_id)
        return int(self.lengths.sum())


class Shown(NamedTuple):
    """What came of showing all stimuli.

    Parameters
    ----------
    builder : RasterBuilder
        Holds the spikes.
    repeats : list of Presented
        One per repeat.
    done : Done
        How much there was.
    fingerprint : Fingerprint
        Checksum of the stimuli.
    """

    builder: RasterBuilder
    repeats: list[Presented]
    done: Done
    fingerprint: Fingerprint


def show(
    plan: RecordingPlan, folder: UnfinishedFolder | None, progress: tqdm[Any]
) -> Shown:
    """Show all stimuli one after another, repeat after repeat.

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
    Shown
        The spikes, and what was presented.

    Raises
    ------
    ActivationError, LayerError, InputValueError
        As `ann2neo.record`.
    """
    _keep_freed_memory()
    bits, n_time_bins = None, plan.n_time_bins or 0
    if folder is not None:
        bits, n_time_bins = folder.bits, folder.n_time_bins
    builder = RasterBuilder(len(plan.layout.units), n_time_bins, bits)
    fingerprint = Fingerprint()
    repeats: list[Presented] = []
    done = Done()
    for repeat in range(plan.n_repeats):
        presented, done = _show_once(
            plan, repeat, done, builder, folder, fingerprint, progress
        )
        repeats.append(presented)
    builder.cut(done.n_bins)
    return Shown(builder, repeats, done, fingerprint)


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
    begin: Done,
    builder: RasterBuilder,
    folder: UnfinishedFolder | None,
    fingerprint: Fingerprint,
    progress: tqdm[Any],
) -> tuple[Presented, Done]:
    batches = enumerate(_batches(plan, repeat), plan.first_batch)
    may_read_ahead = isinstance(plan.stimuli, ArrayStimuli) and plan.stimuli.are_arrays
    parts: list[Presented] = []
    done = begin
    if folder is not None and folder.done.n_presentations > begin.n_presentations:
        parts, done = _shown_before(plan, begin, folder, fingerprint, batches)
    progress.update(done.n_presentations - begin.n_presentations)
    stage = _Stage(plan.layout, builder)
    # Of drawn spikes, how many activations were clipped, and of how many. Only the
    # packing thread adds to it.
    counts = np.array([done.n_clipped, done.n_drawn])
    packing_of = functools.partial(_packing_of, plan, repeat, counts)
    # What follows may overwrite an activation, so that it is packed as it comes, where
    # nothing but the activation is needed for that.
    comes_alone = plan.steps is None and plan.emission == "threshold"

    def keep(
        passed: Passed, frame: Frame | None, shown: Presented, first: Done
    ) -> None:
        n_bins = shown.n_bins
        builder.extend(first.n_bins + n_bins)
        arrays = _packed(passed, frame, plan, first.n_presentations)
        stage.write(first.n_bins, n_bins, arrays)
        # A network that carries a state from batch to batch cannot be resumed in
        # between.
        resumable = not passed.state or (plan.training and not plan.adapter.is_stateful)
        if folder is not None and resumable:
            n_clipped, n_drawn = counts.tolist()
            now = first.plus(len(shown.stimulus_id), n_bins)._replace(
                n_clipped=n_clipped, n_drawn=n_drawn
            )
            folder.keep(now, shown.predictions, shown.lengths, stage.flush, fingerprint)

    # Where nobody reads them after that, the network may have the arrays of a batch.
    keeps_data = folder is not None or plan.steps is not None

    # While the network computes one batch, a thread makes the next one, if it is made
    # of arrays, and packs the batch before:
    #     network       1 2 3 4
    #     thread makes  2 3 4
    #     thread packs    1 2 3 4
    state: Any = {}
    known_labels: dict[Any, Any] = {}
    packing: Future[None] | None = None
    with ThreadPoolExecutor(1, "ann2neo-packing") as thread:
        try:
            for number, batch, check in _checked_ahead(
                batches, done.n_presentations, thread, ahead=may_read_ahead
            ):
                first = done.n_presentations
                _check_own(plan, batch, first, known_labels)
                reading = None
                if folder is not None:
                    reading = thread.submit(fingerprint.update, batch)
                # By number, so that a resumed recording draws the same noise.
                rng = np.random.default_rng((plan.seed, repeat, number))
                pack = functools.partial(packing_of, batch, None, first)
                passed = plan.forward(
                    batch.data,
                    state,
                    rng,
                    pack if comes_alone else None,
                    own=batch.own and not keeps_data,
                )
                state = passed.state
                frame = _frame_of(passed, batch, plan, first)
                if not comes_alone:
                    pack = functools.partial(packing_of, batch, frame, first)
                    packings = list(map(pack, passed.taps, passed.activations))
                    passed = passed._replace(activations=packings)
                shown = Presented(
                    batch.stimulus_id,
                    batch.labels,
                    plan.read_classes(passed.output) if plan.read_classes else None,
                    None if frame is None else frame.lengths,
                    (len(batch.stimulus_id),),
                )
                if folder is not None:
                    _check_room(folder, done.n_bins + shown.n_bins, first)
                parts.append(shown)
                if packing is not None:
                    # Wait for the batch before, whose error, if any, is raised here.
                    packing.result()
                # A loader may fill the same array anew with the next batch.
                check.result()
                if reading is not None:
                    reading.result()
                packing = thread.submit(keep, passed, frame, shown, done)
                done = done.plus(len(shown.stimulus_id), shown.n_bins)
                progress.update(len(shown.stimulus_id))
        finally:
            # The error of an earlier batch is raised rather than that of a later one.
            if packing is not None:
                packing.result()
    stage.flush()
    n_clipped, n_drawn = counts.tolist()
    done = done._replace(n_clipped=n_clipped, n_drawn=n_drawn)
    return Presented.joined(parts), done


def _checked_ahead(
    batches: Iterator[tuple[int, Batch]],
    first: int,
    thread: ThreadPoolExecutor,
    *,
    ahead: bool,
) -> Iterator[tuple[int, Batch, Future[None]]]:
    """Yield batches, each with the check that its stimuli are finite.

    Parameters
    ----------
    batches : iterator of (int, Batch)
        Batches and their numbers.
    first : int
        The first presentation.
    thread : ThreadPoolExecutor
        Where stimuli are checked.
    ahead : bool
        Whether the thread also makes each batch, while the one before is shown.

    Yields
    ------
    number : int
        Number of the batch.
    batch : Batch
        The batch.
    check : Future
        Its result raises `ActivationError`.
    """
    if not ahead:
        for number, batch in batches:
            yield number, batch, thread.submit(_check_finite, batch, first)
            first += len(batch.stimulus_id)
        return

    def make(first: int) -> tuple[int, Batch, Future[None]] | None:
        item = next(batches, None)
        if item is None:
            return None
        number, batch = item
        check: Future[None] = Future()
        try:
            _check_finite(batch, first)
        except ActivationError as error:
            # Raised once the network has seen the batch, whose own error comes first.
            check.set_exception(error)
        else:
            check.set_result(None)
        return number, batch, check

    made = thread.submit(make, first).result()
    while made is not None:
        first += len(made[1].stimulus_id)
        coming = thread.submit(make, first)
        yield made
        made = coming.result()


def _frame_of(
    passed: Passed, batch: Batch, plan: RecordingPlan, position: int
) -> Frame | None:
    """Return which steps of a batch are bins; None if each sample is one."""
    if plan.steps is None:
        return None
    n_steps = int(passed.activations[0].shape[1])
    return plan.steps.frame(batch, n_steps, passed.mask, position)


def _packing_of(
    plan: RecordingPlan,
    repeat: int,
    counts: npt.NDArray[np.int64],
    batch: Batch,
    frame: Frame | None,
    position: int,
    tap: Tap,
    activations: Tensor,
) -> Packing | None:
    """Start to pack the spikes of an output; None if it is not recorded."""
    blocks = plan.layout.blocks
    place = next((i for i, block in enumerate(blocks) if block.tap == tap), None)
    if place is None:
        return None
    block = blocks[place]
    n_leading = 1 if frame is None else 2
    _check_shape(tuple(activations.shape[n_leading:]), block, position)
    if plan.emission == "threshold":
        return plan.adapter.pack_spikes(activations, block.limits, block.index, frame)
    draw = Draw(plan.emission, plan.seed, repeat, place, math.prod(block.shape))

    def drawn() -> tuple[npt.NDArray[np.uint8], NotFinite | None]:
        values = plan.adapter.to_numpy(activations)
        lengths = np.ones(len(values), np.int64)
        flat = values.reshape(len(values), -1)
        if frame is not None:
            lengths, flat = frame.lengths, frame.flat(values)
        if block.index is not None:
            flat = flat[:, block.index]
        spikes = draw.spikes(flat, batch.stimulus_id, lengths, block.index)
        counts[:] += (spikes.n_clipped, spikes.n)
        return spikes.packed, spikes.odd

    return drawn


def _check_room(folder: UnfinishedFolder, n_bins: int, position: int) -> None:
    """Raise if trials are longer than those for which a folder has room."""
    if n_bins > folder.n_time_bins:
        raise InputValueError(
            f"the sequences up to presentation {position} last longer than the first"
            f" ones, and {folder.path} has room for {folder.n_time_bins} time bins;"
            " pass lengths=, or show sequences padded to one length"
        )


def _batches(plan: RecordingPlan, repeat: int) -> Iterator[Batch]:
    """Return all batches of a repeat."""
    stimuli = plan.stimuli
    if not isinstance(stimuli, ArrayStimuli):
        return stimuli.batches()
    order = None
    if plan.shuffle:
        rng = np.random.default_rng((plan.seed, repeat))
        order = rng.permutation(stimuli.n_samples)
    if plan.part is not None:
        first = plan.first_batch * plan.batch_size
        places = np.arange(first, first + (plan.n_samples or 0))
        order = places if order is None else order[places]
    return stimuli.batches(order, plan.batch_size)


def _shown_before(
    plan: RecordingPlan,
    begin: Done,
    folder: UnfinishedFolder,
    fingerprint: Fingerprint,
    batches: Iterator[tuple[int, Batch]],
) -> tuple[list[Presented], Done]:
    """Read the batches of a repeat that an earlier run has shown, without showing them.

    Returns
    -------
    parts : list of Presented
        The batches, with the classes predicted for them.
    done : Done
        Where the earlier run has ended, in this repeat.

    Raises
    ------
    OutputExistsError
        If the earlier run has shown other stimuli.
    """
    n_samples = plan.n_samples or 0
    stop = min(folder.done.n_presentations, begin.n_presentations + n_samples)
    parts: list[Presented] = []
    lengths, done = folder.lengths, begin
    while done.n_presentations < stop:
        _, batch = next(batches)
        fingerprint.update(batch)
        n = len(batch.stimulus_id)
        here = slice(done.n_presentations, done.n_presentations + n)
        kept = np.array(folder.predictions[here])
        parts.append(
            Presented(
                batch.stimulus_id,
                batch.labels,
                # -1 stands for no prediction.
                kept if (kept >= 0).all() else None,
                None if lengths is None else lengths[here].astype(np.int64),
                (n,),
            )
        )
        done = done.plus(n, parts[-1].n_bins)
    folder.check_shown(done.n_presentations, str(fingerprint))
    if done.n_presentations == folder.done.n_presentations:
        return parts, folder.done
    return parts, done


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
    passed: Passed, frame: Frame | None, plan: RecordingPlan, position: int
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
            raise _not_finite(odd_one, block, frame, position)
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
            " show stimuli of one shape, padded or cropped, record those of each shape"
            " by themselves, or pass time_axis= if they differ in steps"
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


def _not_finite(
    odd_one: NotFinite, block: UnitBlock, frame: Frame | None, position: int
) -> ActivationError:
    """Make an error that locates an activation that is not finite."""
    unit = odd_one.unit if block.index is None else block.index[odd_one.unit]
    sample, place = odd_one.sample, ""
    if frame is not None:
        ends = np.cumsum(frame.lengths)
        sample = int(np.searchsorted(ends, odd_one.sample, side="right"))
        step = odd_one.sample - int(ends[sample] - frame.lengths[sample])
        place = f", step {step}"
    return ActivationError(
        f"the layer {block.tap} gave {odd_one.value} at presentation"
        f" {position + sample}{place}, unit {unit}; activations must be finite: look"
        " for a diverged network or unscaled input"
    )
