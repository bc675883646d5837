"""Session: stimuli shown to a network batch by batch, and its spikes written into a
raster.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from ann2neo.errors import LayerError
from ann2neo.probe.keras.crossing import crossings, not_finite
from ann2neo.probe.keras.forward import Forward, Passed, Tap
from ann2neo.probe.stimuli import ArrayStimuli, Batch, Stimuli
from ann2neo.probe.unit_layout import Layout
from ann2neo.raster import RasterBuilder
from ann2neo.recording.folder import UnfinishedFolder

__all__ = ["Answers", "Showing", "joined", "show_all"]

_STAGED_BYTES = 128
IntArray = npt.NDArray[np.int32]


@dataclasses.dataclass(frozen=True)
class Showing:
    """What is shown to which network, and how.

    Parameters
    ----------
    forward : Forward
        The forward pass.
    stimuli : Stimuli
        The stimuli.
    layout : Layout
        Where the recorded units lie.
    batch_size : int
        Samples in a forward pass, where the stimuli can be indexed.
    n_repeats : int
        How often everything is shown.
    seed : int
        Seeds the order, anew for each repeat, and the noise.
    shuffle : bool
        Whether the order is random.
    noisy : bool
        Whether to seed stochastic layers, batch by batch, so that a batch does not
        depend on those before it.
    read_classes : callable or None
        Reads classes from the model's output, or None where it holds none; None where
        no predictions are wanted.
    """

    forward: Forward
    stimuli: Stimuli
    layout: Layout
    batch_size: int
    n_repeats: int
    seed: int
    shuffle: bool
    noisy: bool
    read_classes: Callable[[Any], IntArray | None] | None

    @property
    def n_time_bins(self) -> int | None:
        """Bins of the whole recording; None where only the end of the stimuli will
        tell.
        """
        n = self.stimuli.n_samples
        return None if n is None else n * self.n_repeats


@dataclasses.dataclass(frozen=True)
class Answers:
    """What came back from showing the stimuli once, beside the spikes.

    Parameters
    ----------
    stimulus_id : ndarray of int64, shape (n_presentations,)
        Which sample was shown in each bin.
    labels : ndarray, shape (n_presentations,), or None
        Labels that came along with the stimuli.
    predictions : ndarray of int32, shape (n_presentations,), or None
        Classes the network named.
    """

    stimulus_id: npt.NDArray[np.int64]
    labels: npt.NDArray[Any] | None
    predictions: IntArray | None


def show_all(
    showing: Showing, folder: UnfinishedFolder | None, progress: Any
) -> tuple[RasterBuilder, list[Answers]]:
    """Show everything, one presentation a bin, repeat after repeat.

    Parameters
    ----------
    showing : Showing
        What is shown, and how.
    folder : UnfinishedFolder or None
        Keeps the bits and how far the recording got, and may know where to go on; None
        keeps them in memory.
    progress : tqdm.tqdm
        Moved along.

    Returns
    -------
    builder : RasterBuilder
        Holds the spikes.
    answers : list of Answers
        One a repeat.

    Raises
    ------
    ActivationError, LayerError, InputValueError
        As `ann2neo.record`.
    """
    bits = None if folder is None else folder.bits
    builder = RasterBuilder(len(showing.layout.units), showing.n_time_bins or 0, bits)
    answers: list[Answers] = []
    position = 0
    for repeat in range(showing.n_repeats):
        answers.append(_show_once(showing, repeat, position, builder, folder, progress))
        position += len(answers[-1].stimulus_id)
    return builder, answers


def _show_once(
    showing: Showing,
    repeat: int,
    begin: int,
    builder: RasterBuilder,
    folder: UnfinishedFolder | None,
    progress: Any,
) -> Answers:
    n_done = 0 if folder is None else max(0, folder.n_done - begin)
    ids, classes, batches = _what_is_left(showing, repeat, begin, n_done, folder)
    progress.update(len(ids[0]))
    labels: list[npt.NDArray[Any] | None] = []
    state: Any = {}
    position = begin + len(ids[0])
    stage = _Stage(showing.layout, builder)

    def keep(
        passed: Passed, first_bin: int, n_bins: int, named: IntArray | None
    ) -> None:
        builder.extend(first_bin + n_bins)
        stage.write(first_bin, n_bins, _packed(passed, showing.layout, first_bin))
        # A network that carries a state from batch to batch could not be taken up in
        # between.
        if folder is not None and (showing.noisy or not passed.state):
            folder.keep(first_bin + n_bins, named, stage.flush)

    with _OneBehind() as behind:
        for number, batch in batches:
            n_bins = len(batch.stimulus_id)
            rng = (
                np.random.default_rng((showing.seed, repeat, number))
                if showing.noisy
                else None
            )
            passed = showing.forward(batch.data, state, rng)
            state = passed.state
            ids.append(batch.stimulus_id)
            labels.append(batch.labels)
            classes.append(
                None
                if showing.read_classes is None
                else showing.read_classes(passed.output)
            )
            behind.start(keep, passed, position, n_bins, classes[-1])
            position += n_bins
            progress.update(n_bins)
    stage.flush()
    return Answers(np.concatenate(ids), joined(labels), joined(classes))


class _OneBehind:
    """Works in a thread of its own on one batch while the next is computed; what goes
    wrong is raised at the next.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "ann2neo-packing")
        self._work: Future[None] | None = None

    def start(self, work: Callable[..., None], *arguments: Any) -> None:
        """Wait for the work before, and start this."""
        self._wait()
        self._work = self._thread.submit(work, *arguments)

    def _wait(self) -> None:
        work, self._work = self._work, None
        if work is not None:
            work.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # An error of the batch before is the first there was, whatever happened to the
        # one after it.
        try:
            self._wait()
        finally:
            self._thread.shutdown()


def _what_is_left(
    showing: Showing,
    repeat: int,
    begin: int,
    n_done: int,
    folder: UnfinishedFolder | None,
) -> tuple[
    list[npt.NDArray[np.int64]], list[IntArray | None], Iterator[tuple[int, Batch]]
]:
    """What an earlier run has shown already of a repeat, and the numbered batches still
    to be shown.
    """
    stimuli = showing.stimuli
    if not isinstance(stimuli, ArrayStimuli):
        return [np.zeros(0, np.int64)], [], enumerate(stimuli.batches())
    n = stimuli.n_samples
    order = (
        np.random.default_rng((showing.seed, repeat)).permutation(n)
        if showing.shuffle
        else np.arange(n)
    )
    n_done = min(n_done, n)
    shown = order[:n_done]
    classes: list[IntArray | None] = []
    if n_done and folder is not None:
        kept = np.array(folder.predictions[begin : begin + n_done])
        classes = [kept if (kept >= 0).all() else None]
    batches = stimuli.batches(
        order if showing.shuffle else None, showing.batch_size, n_done
    )
    return [shown], classes, enumerate(batches, start=-(-n_done // showing.batch_size))


class _Stage:
    """Collects packed batches until rows of the raster can be written in whole cache
    lines: twice as fast.
    """

    def __init__(self, layout: Layout, builder: RasterBuilder) -> None:
        self._layout, self._builder = layout, builder
        self._waiting = [
            np.empty((_STAGED_BYTES, strip.n_units), np.uint8)
            for strip in layout.strips
        ]
        self._first_bin = self._n_bytes = 0

    def write(
        self, first_bin: int, n_bins: int, packed: list[npt.NDArray[np.uint8]]
    ) -> None:
        """Take the spikes of one batch, a block a strip."""
        n_bytes = -(-n_bins // 8)
        if self._n_bytes + n_bytes > _STAGED_BYTES:
            self.flush()
        if first_bin % 8 or n_bins % 8 or n_bytes > _STAGED_BYTES:
            self.flush()
            self._put(first_bin, n_bins, packed)
            return
        if not self._n_bytes:
            self._first_bin = first_bin
        for waiting, block in zip(self._waiting, packed, strict=True):
            waiting[self._n_bytes : self._n_bytes + n_bytes] = block
        self._n_bytes += n_bytes

    def flush(self) -> None:
        """Write what waits into the raster."""
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
        for strip, block in zip(self._layout.strips, packed, strict=True):
            self._builder.write_packed(first_bin, block, n_bins, strip.first_unit)


def joined(parts: Sequence[npt.NDArray[Any] | None]) -> npt.NDArray[Any] | None:
    """Parts one after another, the only one as it is; None if one of them is
    not known.
    """
    if len(parts) == 1:
        return parts[0]
    known = [part for part in parts if part is not None]
    return np.concatenate(known) if known and len(known) == len(parts) else None


def _packed(
    passed: Passed, layout: Layout, position: int
) -> list[npt.NDArray[np.uint8]]:
    """Spikes of a batch, a packed block a strip."""
    if passed.taps != layout.taps:
        odd = next(
            tap
            for tap in (*layout.taps, *passed.taps)
            if (tap in layout.taps) != (tap in passed.taps)
        )
        calls = {tap.call_index for tap in passed.taps if tap.layer == odd.layer}
        msg = (
            f"the layer {odd.layer.key!r} ran {len(calls)} times at presentation"
            f" {position}, and not as often before"
        )
        raise LayerError(
            f"{msg}; only layers that run alike on every batch can be recorded"
        )
    activations: dict[Tap, Any] = dict(
        zip(passed.taps, passed.activations, strict=True)
    )
    blocks = []
    for strip in layout.strips:
        packed, finite = crossings(activations[strip.tap], strip.limits, strip.index)
        if not finite:
            raise not_finite(activations[strip.tap], strip.tap, strip.index, position)
        blocks.append(packed)
    return blocks
