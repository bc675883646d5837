"""Folders of recordings larger than memory, which can be resumed while unfinished.

``bits.npy`` holds the packed bits of a `SpikeRaster`, uint8 of shape (n_units,
n_bytes), memory-mapped. ``recording.json`` describes a finished recording and holds the
SHA-256 of the raster and its own. Until it exists, ``progress.json`` states what is
being recorded and how much is done, with checksums of it, ``predictions.npy`` holds the
classes predicted so far, and ``lengths.npy`` how many bins each presentation lasts,
where they may last several. ``progress.json`` is the first file in a folder: arrays in
a folder without it are somebody else's.

Where the presentations turn out shorter than the room made for them, or belong in
another order, the bits are copied at the end. ``progress.json`` then states under
"arranged" how many bins there are and their checksum, after the copy is complete and
before it takes the place of ``bits.npy``.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import os
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd
import quantities as pq

from ann2neo._checks import path_of
from ann2neo._files import (
    allocate,
    complete_text,
    explained,
    locked,
    make_folder,
    new_file,
    open_own,
    open_regular,
)
from ann2neo.errors import (
    Ann2NeoError,
    FileFormatError,
    InputValueError,
    IntegrityError,
    OutputExistsError,
)
from ann2neo.raster import RasterBuilder, SpikeRaster, mapped_bits
from ann2neo.recording.checksum import checksum
from ann2neo.recording.tables import column_types

if TYPE_CHECKING:
    from ann2neo.recording.recording import Recording

__all__ = [
    "Done",
    "UnfinishedFolder",
    "is_finished",
    "read_folder",
    "unfinished_plan",
]

_Arrays = Mapping[str, tuple[str, tuple[int, ...]]]
_AnyRecording = TypeVar("_AnyRecording", bound="Recording")

_LAYOUT_VERSION = 2
_BITS, _PREDICTIONS, _LENGTHS, _ARRANGED, _PROGRESS, _RECORDING = (
    "bits.npy",
    "predictions.npy",
    "lengths.npy",
    "bits_arranged.npy",
    "progress.json",
    "recording.json",
)
_TEMPORARY = (f".{_PROGRESS}.partial", f".{_PROGRESS}.lock")
_TABLES = ("units", "presentations", "segments")
_COPIED_BYTES = 1 << 24
"""Number of bytes of a memory map that are copied at once."""


class Done(NamedTuple):
    """How much is recorded.

    Parameters
    ----------
    n_presentations, n_bins : int
        Number of presentations, and of their time bins.
    n_clipped, n_drawn : int
        Of drawn spikes, the number of activations that were clipped, and of all.
    """

    n_presentations: int = 0
    n_bins: int = 0
    n_clipped: int = 0
    n_drawn: int = 0

    def plus(self, n_presentations: int, n_bins: int) -> Done:
        """Add presentations."""
        return self._replace(
            n_presentations=self.n_presentations + n_presentations,
            n_bins=self.n_bins + n_bins,
        )


class UnfinishedFolder:
    """Folder that a recording is being written to, locked against other writers.

    Parameters
    ----------
    path : str or Path
        The folder; made if it does not exist.
    plan : mapping of str to str
        Everything the recording depends on. An unfinished folder is resumed only with
        the same plan.
    n_units, n_time_bins : int
        Shape of the raster, with the most bins that there may be.
    n_presentations : int, optional
        Number of presentations, which may then last several bins; if not given, each
        lasts one.
    beside : collection of str, optional
        Names of what else may be in the folder.

    Attributes
    ----------
    bits : memmap of uint8
        Packed bits, for a `RasterBuilder`.
    predictions : memmap of int32, shape (n_presentations,)
        Class predicted for each presentation; -1 where there is none.
    lengths : memmap of int32, shape (n_presentations,), or None
        Bins of each presentation; None if each lasts one.
    n_time_bins : int
        Number of bins that there is room for.
    done : Done
        How much was recorded so far.
    identifier, session_start_time
        Those of the recording, kept when it is resumed.
    seconds_between_marks : float
        Minimum time between two updates of ``progress.json``.

    Raises
    ------
    OutputExistsError
        If the folder holds a finished recording, another unfinished one, or other
        files.
    OutputLockedError
        If another process is writing there.
    OutputError
        If the folder cannot be written, or the disk does not have the space.
    IntegrityError
        If what was recorded so far is damaged.
    """

    seconds_between_marks = 2.0

    def __init__(
        self,
        path: str | Path,
        plan: Mapping[str, str],
        n_units: int,
        n_time_bins: int,
        n_presentations: int | None = None,
        beside: Collection[str] = (),
    ) -> None:
        # Absolute: the process may change its folder while it records.
        self.path = path_of(path, "out").absolute()
        message = (
            f"another process is recording into {self.path}; wait for it, or choose"
            " another folder"
        )
        make_folder(self.path)
        # The lock is held beyond this method; an error in here lets go of it.
        with ExitStack() as stack:
            stack.enter_context(locked(self.path, message))
            with explained(self.path):
                self._open(plan, n_units, n_time_bins, n_presentations, beside)
            self._lock = stack.pop_all()
        self._marked = time.monotonic()

    def _open(
        self,
        plan: Mapping[str, str],
        n_units: int,
        n_time_bins: int,
        n_presentations: int | None,
        beside: Collection[str],
    ) -> None:
        progress = _progress(self.path)
        if progress is None:
            _check_empty(self.path, beside)
            progress = {
                "layout_version": _LAYOUT_VERSION,
                "plan": dict(plan),
                "identifier": str(uuid.uuid4()),
                "session_start_time": datetime.now().astimezone().isoformat(),
                "marks": [],
                "shown": "",
                "checksum": 0,
                "tail": 0,
            }
        earlier = progress["plan"]
        for key in sorted({**earlier, **plan}):
            if earlier.get(key) != plan.get(key):
                raise _other_recording(self.path, key, earlier.get(key), plan.get(key))
        self._progress = progress
        self.identifier: str = progress["identifier"]
        start = progress["session_start_time"]
        self.session_start_time = datetime.fromisoformat(start)
        self._arranged = progress.get("arranged")
        if self._arranged is not None:
            n_time_bins = self._arranged["n_time_bins"]
            if (self.path / _ARRANGED).exists():
                # The run was killed just before this.
                (self.path / _ARRANGED).replace(self.path / _BITS)
        self.n_time_bins: int = n_time_bins
        n_shown = n_time_bins if n_presentations is None else n_presentations
        arrays: dict[str, tuple[str, tuple[int, ...]]] = {
            _BITS: ("|u1", RasterBuilder.bits_shape(n_units, n_time_bins)),
            _PREDICTIONS: ("<i4", (n_shown,)),
        }
        if n_presentations is not None:
            arrays[_LENGTHS] = ("<i4", (n_shown,))
        if not self.done.n_bins:
            self._make(arrays)
        maps = [
            self._map(name, dtype, shape) for name, (dtype, shape) in arrays.items()
        ]
        self.bits, self.predictions = maps[:2]
        self.lengths = maps[2] if _LENGTHS in arrays else None
        if self.done.n_bins:
            self._check_done()
        self.predictions[self.done.n_presentations :] = -1

    def _make(self, arrays: _Arrays) -> None:
        """Make the files of arrays of zeros, with all their disk space."""
        made = [_PROGRESS]
        try:
            # Before any array: it marks what follows as ours.
            self._write_progress()
            for name, (dtype, shape) in arrays.items():
                handle = new_file(self.path / name)
                made.append(name)
                _fill(handle, dtype, shape)
        except BaseException:
            # On a full disk, what was claimed so far would be in the way of others.
            self._remove(*made)
            raise

    def _map(self, name: str, dtype: str, shape: tuple[int, ...]) -> Any:
        handle = open_own(self.path / name, os.O_RDWR)
        with os.fdopen(handle, "r+b") as file:
            return _mapped(file, self.path / name, dtype, shape, "r+")

    def _check_done(self) -> None:
        """Compare what was recorded so far with its checksum; remove what came later.

        Bits are added to those that a byte holds, so that what a killed run wrote after
        its last mark must go.
        """
        if self._arranged is not None:
            number = self._checksum_of_bits(0, self.bits.shape[1], 0)
            if number != self._arranged["checksum"]:
                raise self._damaged()
            return
        number = 0
        marks = [Done(), *itertools.starmap(Done, self._progress["marks"])]
        for first, stop in itertools.pairwise(marks):
            number = self._checksum_of(first, stop, number)
        end = self.done.n_bins
        # Bins of the last byte that is not whole are in no checksum but this.
        if (number, self._tail(end)) != (
            self._progress["checksum"],
            self._progress["tail"],
        ):
            raise self._damaged()
        byte, n_kept = divmod(end, 8)
        for row in self.bits[:, byte:]:
            # Most rows hold nothing there, and need not be written.
            if row.any():
                row[:1] &= (1 << n_kept) - 1
                row[1:] = 0

    def _damaged(self) -> IntegrityError:
        return IntegrityError(
            f"{self.path / _BITS} or {_PREDICTIONS} does not match the checksum in"
            f" {_PROGRESS}; delete the folder and record again"
        )

    @property
    def done(self) -> Done:
        """How much was recorded so far."""
        marks: list[list[int]] = self._progress["marks"]
        return Done(*marks[-1]) if marks else Done()

    def check_shown(self, position: int, shown: str) -> None:
        """Compare stimuli with those that an earlier run has shown.

        Parameters
        ----------
        position : int
            Number of stimuli.
        shown : str
            Their checksum.

        Raises
        ------
        OutputExistsError
            If all that were shown differ from what the earlier run has noted.
        """
        n_shown = self.done.n_presentations
        if position >= n_shown and (position, shown) != (
            n_shown,
            self._progress["shown"],
        ):
            key = f"checksum of the first {n_shown} stimuli"
            raise _other_recording(self.path, key, self._progress["shown"], shown)

    def _checksum_of(self, first: Done, stop: Done, before: int) -> int:
        """Continue a checksum of all arrays over what came after a mark.

        Of the bits, whole bytes only: the byte in which a mark lies comes with those
        behind it.
        """
        before = self._checksum_of_bits(first.n_bins // 8, stop.n_bins // 8, before)
        rows = slice(first.n_presentations, stop.n_presentations)
        before = checksum(self.predictions[rows], before)
        return before if self.lengths is None else checksum(self.lengths[rows], before)

    def _checksum_of_bits(self, first: int, stop: int, before: int) -> int:
        """Continue a checksum over some bytes of each row of bits."""
        n_rows = max(1, _COPIED_BYTES // max(1, stop - first))
        for unit in range(0, len(self.bits), n_rows):
            rows = slice(unit, unit + n_rows)
            before = checksum(self.bits[rows, first:stop], before)
        return before

    def _tail(self, n_bins: int) -> int:
        """Return a checksum of the last bins, which fill no byte."""
        byte, n_kept = divmod(n_bins, 8)
        if not n_kept:
            return 0
        return checksum(self.bits[:, byte] & np.uint8((1 << n_kept) - 1))

    def keep(
        self,
        done: Done,
        classes: npt.NDArray[np.int32] | None,
        lengths: npt.NDArray[np.int64] | None,
        flush: Callable[[], None],
        shown: object,
    ) -> None:
        """Note how much is recorded, on disk every few seconds.

        Parameters
        ----------
        done : Done
            What is recorded with this batch.
        classes : ndarray of int32 or None
            Classes predicted for the presentations of the batch, the last ones.
        lengths : ndarray of int64 or None
            Their bins; None if each lasts one.
        flush : callable
            Writes the blocks that are still in work to `bits`.
        shown : object
            Its text is a checksum of the stimuli shown so far.
        """
        stop = done.n_presentations
        if classes is not None:
            self.predictions[stop - len(classes) : stop] = classes
        if lengths is not None and self.lengths is not None:
            self.lengths[stop - len(lengths) : stop] = lengths
        # Samples of one bin are noted byte by byte, trials wherever they end.
        may_note = self.lengths is not None or done.n_bins % 8 == 0
        if may_note and time.monotonic() - self._marked >= self.seconds_between_marks:
            flush()
            self._mark(done, shown)
            self._write_progress()
            self._marked = time.monotonic()

    def _mark(self, done: Done, shown: object) -> None:
        # Data before the note that they are there: after a crash, what the note counts
        # as done is on disk.
        with explained(self.path):
            for array in (self.bits, self.predictions, self.lengths):
                if array is not None:
                    array.flush()
        self._progress["checksum"] = self._checksum_of(
            self.done, done, self._progress["checksum"]
        )
        self._progress["tail"] = self._tail(done.n_bins)
        self._progress["marks"].append(list(done))
        self._progress["shown"] = str(shown)

    def _write_progress(self) -> None:
        progress = {**self._progress, "n_done": self.done.n_bins}
        progress["sha256"] = _checksum(progress)
        complete_text(self.path / _PROGRESS, json.dumps(progress), overwrite=True)

    def arrange(
        self,
        raster: SpikeRaster,
        starts: npt.NDArray[np.int64],
        stops: npt.NDArray[np.int64],
        done: Done,
        shown: object,
    ) -> None:
        """Copy the bits in another order, or without the room that was not needed.

        Parameters
        ----------
        raster : SpikeRaster
            The spikes, on `bits`.
        starts, stops : ndarray of int64, shape (n,)
            Stretches of bins, in the order in which they belong.
        done, shown
            All that was recorded, as for `keep`.
        """
        if self._arranged is not None:
            return
        n_time_bins = int((stops - starts).sum())
        shape = RasterBuilder.bits_shape(raster.n_units, n_time_bins)
        self._mark(done, shown)
        number = 0
        with explained(self.path):
            _fill(new_file(self.path / _ARRANGED), "|u1", shape)
            arranged = self._map(_ARRANGED, "|u1", shape)
            for units, block in raster.unit_blocks(_COPIED_BYTES):
                arranged[units] = block.join(starts, stops).bits
                number = checksum(arranged[units], number)
            arranged.flush()
            self._arranged = {"n_time_bins": n_time_bins, "checksum": number}
            self._progress["arranged"] = self._arranged
            self._write_progress()
            (self.path / _ARRANGED).replace(self.path / _BITS)
        self.bits, self.n_time_bins = arranged, n_time_bins

    def finish(self, recording: Recording) -> None:
        """Write ``recording.json``, which makes the folder a finished recording.

        Parameters
        ----------
        recording : Recording
            The recording; its raster must hold `bits`.
        """
        # On disk before the file that says they are complete.
        with explained(self.path):
            self.bits.flush()
        raster = recording.raster
        description = {
            "layout_version": _LAYOUT_VERSION,
            "n_units": raster.n_units,
            "n_time_bins": raster.n_time_bins,
            "sampling_period_seconds": raster.sampling_period_seconds,
            "t_start_seconds": raster.t_start_seconds,
            "identifier": recording.identifier,
            "session_start_time": recording.session_start_time.isoformat(),
            "timestamps_reference_time": (
                recording.timestamps_reference_time.isoformat()
            ),
            "provenance": dict(recording.provenance),
            "raster_sha256": raster.sha256(),
        }
        for name in _TABLES:
            table = getattr(recording, name)
            description[name] = {
                column: {"type": kind, "cells": table[column].to_list()}
                for column, kind in column_types(table).items()
            }
        description["sha256"] = _checksum(description)
        complete_text(self.path / _RECORDING, json.dumps(description), overwrite=False)
        # With the temporary files of a run that was killed while it wrote progress.
        self._remove(_PROGRESS, _PREDICTIONS, _LENGTHS, *_TEMPORARY)
        self.close()

    def _remove(self, *names: str) -> None:
        for name in names:
            (self.path / name).unlink(missing_ok=True)

    def close(self) -> None:
        """Release the lock."""
        self._lock.close()


def is_finished(path: Path) -> bool:
    """Tell whether a folder holds a finished recording."""
    return os.path.lexists(path / _RECORDING)


def unfinished_plan(path: str | Path) -> dict[str, str] | None:
    """Return the plan of the unfinished recording in a folder, or None.

    Raises
    ------
    IntegrityError
        If the notes about it are damaged.
    OutputError
        If the folder cannot be read.
    """
    folder = path_of(path, "out")
    with explained(folder):
        progress = _progress(folder)
    return None if progress is None else dict(progress["plan"])


def _progress(folder: Path) -> dict[str, Any] | None:
    """Read what is noted about an unfinished recording; None if there is none."""
    path = folder / _PROGRESS
    if not os.path.lexists(path) or os.path.lexists(folder / _RECORDING):
        return None
    with os.fdopen(open_own(path, os.O_RDONLY), "rb") as file:
        content = file.read()
    try:
        progress: dict[str, Any] = json.loads(content)
        # What has this checksum was written by ann2neo and is as it was.
        if progress.pop("sha256") == _checksum(progress) and "tail" in progress:
            return progress
    except (AttributeError, LookupError, RecursionError, TypeError, ValueError):
        pass
    raise IntegrityError(
        f"{path} is damaged, or no file of this version of ann2neo; choose another"
        " folder, or delete this one if it holds nothing else and record again"
    )


def read_folder(
    cls: type[_AnyRecording], path: str | Path, *, verify: bool = True
) -> _AnyRecording:
    """Read a finished folder; the bits stay on disk until they are used.

    Parameters
    ----------
    cls : type
        Recording, or a class derived from it.
    path : str or Path
        The folder.
    verify : bool, default True
        Compare raster and tables with the checksums in the folder, which reads all bits
        once.

    Returns
    -------
    Recording
        The recording.

    Raises
    ------
    InputValueError
        If there is no such folder.
    FileFormatError
        If it holds no recording, an unfinished one, or one of a newer layout.
    IntegrityError
        If it is damaged.
    """
    path = path_of(path, "folder")
    if not path.is_dir():
        raise InputValueError(f"there is no folder {path}; check the name")
    with _damage_told(path):
        if not (path / _RECORDING).exists():
            if (path / _PROGRESS).exists():
                raise FileFormatError(
                    f"{path} holds an unfinished recording; record into it again with"
                    " the same arguments to finish it"
                )
            raise FileFormatError(
                f"{path} holds no recording: there is no {_RECORDING}; record with out="
                " makes one"
            )
        with open_regular(path / _RECORDING) as file:
            description = json.loads(file.read())
        version = description["layout_version"]
        if version > _LAYOUT_VERSION:
            raise FileFormatError(
                f"{path} has layout version {version}, newer than {_LAYOUT_VERSION};"
                " update ann2neo"
            )
        # Compared before it is used, so that only an intact description is.
        if description.pop("sha256") != _checksum(description) and verify:
            raise IntegrityError(
                f"{path / _RECORDING} does not match its checksum; record it again"
            )
        recording = _recording(cls, path / _BITS, description)
        if verify and recording.raster.sha256() != description["raster_sha256"]:
            raise IntegrityError(
                f"{path / _BITS} does not match its checksum; record it again"
            )
    return recording


@contextmanager
def _damage_told(path: Path) -> Iterator[None]:
    """Turn whatever a damaged folder can raise into an `IntegrityError`."""
    try:
        yield
    except FileFormatError:
        raise
    except FileNotFoundError as error:
        raise IntegrityError(
            f"{path} is damaged: {error.filename} is missing; record it again"
        ) from error
    except OSError as error:
        raise FileFormatError(
            f"{path} cannot be read ({error}); make its files readable, or copy them"
            " to another disk"
        ) from error
    except (
        # Errors of our own about its contents
        Ann2NeoError,
        # of parsing
        RecursionError,
        ValueError,
        # and of values of other types than those that were written
        ArithmeticError,
        AttributeError,
        LookupError,
        TypeError,
    ) as error:
        raise IntegrityError(f"{path} is damaged ({error}); record it again") from error


def _recording(
    cls: type[_AnyRecording], bits: Path, description: Mapping[str, Any]
) -> _AnyRecording:
    """Make a recording from its description."""
    shape = (description["n_units"], description["n_time_bins"])
    with open_regular(bits) as file:
        packed = _mapped(file, bits, "|u1", RasterBuilder.bits_shape(*shape), "r")
    raster = SpikeRaster(
        packed,
        *shape,
        sampling_period=description["sampling_period_seconds"] * pq.s,
        t_start=description["t_start_seconds"] * pq.s,
    )
    # Layout 1 had one table of phases, each one segment on the recording's clock.
    names = _TABLES
    if description["layout_version"] == 1:
        names = ("units", "presentations", "phases")
    tables = {
        name: pd.DataFrame(
            {
                # Arrays, since series of unequal length would be filled up.
                column: pd.Series(content["cells"], dtype=content["type"]).array
                for column, content in description[name].items()
            },
            # Units that nothing is known about have a row each, but no column.
            index=range(shape[0]) if name == "units" else None,
        )
        for name in names
    }
    start = description["session_start_time"]
    return cls(
        raster=raster,
        **tables,
        provenance=description["provenance"],
        identifier=description["identifier"],
        session_start_time=datetime.fromisoformat(start),
        timestamps_reference_time=datetime.fromisoformat(
            description.get("timestamps_reference_time", start)
        ),
    )


def _mapped(
    file: BinaryIO, path: Path, dtype: str, shape: tuple[int, ...], mode: Any
) -> np.memmap[Any, Any]:
    """Map a .npy file, if it is of the size and type it must have."""
    # NumPy's own reader would take another type or shape, and lengthen a file that is
    # cut.
    expected = f"{{'descr':{dtype!r},'fortran_order':False,'shape':{shape},}}"
    start = file.read(10)
    length = int.from_bytes(start[8:], "little")
    header = file.read(length).decode("latin1")
    size = os.fstat(file.fileno()).st_size
    n_bytes = len(start) + length + _n_bytes(dtype, shape)
    if (
        start[:8] != b"\x93NUMPY\x01\x00"
        or "".join(header.split()) != "".join(expected.split())
        or size != n_bytes
    ):
        raise IntegrityError(
            f"{path} is damaged: it is not a .npy file of {dtype} of shape {shape} with"
            f" {n_bytes} bytes; delete the folder and record again"
        )
    offset = len(start) + length
    if mode == "r":
        return mapped_bits(file, path, offset, (shape[0], shape[1]))
    return np.memmap(file, dtype, mode, offset, shape)


def _fill(handle: int, dtype: str, shape: tuple[int, ...]) -> None:
    """Write an array of zeros into a new file, with all its disk space."""
    header = {"descr": dtype, "fortran_order": False, "shape": shape}
    with os.fdopen(handle, "w+b") as file:
        np.lib.format.write_array_header_1_0(file, header)
        allocate(file, file.tell() + _n_bytes(dtype, shape))


def _n_bytes(dtype: str, shape: tuple[int, ...]) -> int:
    return np.dtype(dtype).itemsize * math.prod(shape)


def _other_recording(folder: Path, key: str, old: Any, new: Any) -> OutputExistsError:
    return OutputExistsError(
        f"{folder} holds another unfinished recording: its {key} is {old!r}, not"
        f" {new!r}; resume that one, choose another folder, or delete it"
    )


def _check_empty(path: Path, beside: Collection[str] = ()) -> None:
    names = sorted(entry.name for entry in path.iterdir())
    if _RECORDING in names:
        raise OutputExistsError(
            f"{path} holds a finished recording; open it with Recording.open, or choose"
            " another folder"
        )
    # A process that was killed right after it made the folder leaves these.
    for name in names:
        if name not in {".lock", *_TEMPORARY, *beside}:
            raise OutputExistsError(
                f"{path} holds other files, such as {name!r}; choose a folder of its"
                " own"
            )


def _checksum(description: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a description with its tables, as JSON with sorted keys."""
    return hashlib.sha256(json.dumps(description, sort_keys=True).encode()).hexdigest()
