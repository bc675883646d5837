"""Folders of recordings larger than memory, which can be resumed while unfinished.

``bits.npy`` holds the packed bits of a `SpikeRaster`, uint8 of shape (n_units,
n_bytes), memory-mapped. ``recording.json`` describes a finished recording and holds the
SHA-256 of the raster and its own. Until it exists, ``progress.json`` states what is
being recorded and how much is done, with checksums of it, and ``predictions.npy`` holds
the classes predicted so far. ``progress.json`` is the first file in a folder: arrays in
a folder without it are somebody else's.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

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
from ann2neo.raster import RasterBuilder, SpikeRaster
from ann2neo.recording.checksum import checksum
from ann2neo.recording.tables import column_types

if TYPE_CHECKING:
    from ann2neo.recording.recording import Recording

__all__ = ["UnfinishedFolder", "read_folder", "unfinished_plan"]

_Arrays = Mapping[str, tuple[str, tuple[int, ...]]]
_AnyRecording = TypeVar("_AnyRecording", bound="Recording")

_LAYOUT_VERSION = 2
_BITS, _PREDICTIONS, _PROGRESS, _RECORDING = (
    "bits.npy",
    "predictions.npy",
    "progress.json",
    "recording.json",
)
_TEMPORARY = (f".{_PROGRESS}.partial", f".{_PROGRESS}.lock")
_TABLES = ("units", "presentations", "segments")
_COPIED_BYTES = 1 << 24
"""Number of bytes of a memory map that are copied at once."""


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
        Shape of the raster.

    Attributes
    ----------
    bits : memmap of uint8
        Packed bits, for a `RasterBuilder`.
    predictions : memmap of int32, shape (n_time_bins,)
        Class predicted in each bin; -1 where there is none.
    n_done : int
        Number of bins recorded so far, a multiple of 8.
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
        self, path: str | Path, plan: Mapping[str, str], n_units: int, n_time_bins: int
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
                self._open(plan, n_units, n_time_bins)
            self._lock = stack.pop_all()
        self._marked = time.monotonic()

    def _open(self, plan: Mapping[str, str], n_units: int, n_time_bins: int) -> None:
        progress = _progress(self.path)
        if progress is None:
            _check_empty(self.path)
            progress = {
                "layout_version": _LAYOUT_VERSION,
                "plan": dict(plan),
                "identifier": str(uuid.uuid4()),
                "session_start_time": datetime.now().astimezone().isoformat(),
                "marks": [],
                "shown": "",
                "checksum": 0,
            }
        earlier = progress["plan"]
        for key in sorted({**earlier, **plan}):
            if earlier.get(key) != plan.get(key):
                raise _other_recording(self.path, key, earlier.get(key), plan.get(key))
        self._progress = progress
        self.identifier: str = progress["identifier"]
        start = progress["session_start_time"]
        self.session_start_time = datetime.fromisoformat(start)
        arrays: _Arrays = {
            _BITS: ("|u1", RasterBuilder.bits_shape(n_units, n_time_bins)),
            _PREDICTIONS: ("<i4", (n_time_bins,)),
        }
        if not self.n_done:
            self._make(arrays)
        maps = []
        for name, (dtype, shape) in arrays.items():
            handle = open_own(self.path / name, os.O_RDWR)
            with os.fdopen(handle, "r+b") as file:
                maps.append(_mapped(file, self.path / name, dtype, shape, "r+"))
        self.bits, self.predictions = maps
        if self.n_done:
            self._check_done()
        self.predictions[self.n_done :] = -1

    def _make(self, arrays: _Arrays) -> None:
        """Make the files of arrays of zeros, with all their disk space."""
        made = [_PROGRESS]
        try:
            # Before any array: it marks what follows as ours.
            self._write_progress()
            for name, (dtype, shape) in arrays.items():
                handle = new_file(self.path / name)
                made.append(name)
                header = {"descr": dtype, "fortran_order": False, "shape": shape}
                with os.fdopen(handle, "w+b") as file:
                    np.lib.format.write_array_header_1_0(file, header)
                    allocate(file, file.tell() + _n_bytes(dtype, shape))
        except BaseException:
            # On a full disk, what was claimed so far would be in the way of others.
            self._remove(*made)
            raise

    def _check_done(self) -> None:
        """Compare what was recorded so far with its checksum; remove what came later.

        Bits are added to those that a byte holds, so that what a killed run wrote after
        its last mark must go.
        """
        number = 0
        for first, stop in itertools.pairwise([0, *self._progress["marks"]]):
            number = self._checksum_of(first, stop, number)
        if number != self._progress["checksum"]:
            raise IntegrityError(
                f"{self.path / _BITS} or {_PREDICTIONS} does not match the checksum in"
                f" {_PROGRESS}; delete the folder and record again"
            )
        for row in self.bits[:, self.n_done // 8 :]:
            # Most rows hold nothing there, and need not be written.
            if row.any():
                row[:] = 0

    @property
    def n_done(self) -> int:
        """Number of bins recorded so far."""
        marks: list[int] = self._progress["marks"]
        return marks[-1] if marks else 0

    def check_shown(self, position: int, shown: str) -> None:
        """Compare stimuli with those that an earlier run has shown.

        Parameters
        ----------
        position : int
            Bin after the last stimulus.
        shown : str
            Their checksum.

        Raises
        ------
        OutputExistsError
            If all that were shown differ from what the earlier run has noted.
        """
        if position >= self.n_done and (position, shown) != (
            self.n_done,
            self._progress["shown"],
        ):
            key = f"checksum of the first {self.n_done} stimuli"
            raise _other_recording(self.path, key, self._progress["shown"], shown)

    def _checksum_of(self, first: int, stop: int, before: int) -> int:
        """Continue a checksum of both arrays over some bins."""
        columns = slice(first // 8, stop // 8)
        n_rows = max(1, _COPIED_BYTES // (columns.stop - columns.start))
        for unit in range(0, len(self.bits), n_rows):
            before = checksum(self.bits[unit : unit + n_rows, columns], before)
        return checksum(self.predictions[first:stop], before)

    def keep(
        self,
        position: int,
        classes: npt.NDArray[np.int32] | None,
        flush: Callable[[], None],
        shown: object,
    ) -> None:
        """Note that the bins before `position` are recorded, on disk every few seconds.

        Parameters
        ----------
        position : int
            Bin after the last one recorded.
        classes : ndarray of int32 or None
            Classes predicted in the bins just before it.
        flush : callable
            Writes the blocks that are still in work to `bits`.
        shown : object
            Its text is a checksum of the stimuli shown so far.
        """
        if classes is not None:
            self.predictions[position - len(classes) : position] = classes
        if (
            position % 8 == 0
            and time.monotonic() - self._marked >= self.seconds_between_marks
        ):
            # Only whole bytes of bits, and data before the note that they are there:
            # after a crash, what the note counts as done is on disk.
            flush()
            with explained(self.path):
                self.bits.flush()
                self.predictions.flush()
            self._progress["checksum"] = self._checksum_of(
                self.n_done, position, self._progress["checksum"]
            )
            self._progress["marks"].append(position)
            self._progress["shown"] = str(shown)
            self._write_progress()
            self._marked = time.monotonic()

    def _write_progress(self) -> None:
        progress = {**self._progress, "n_done": self.n_done}
        progress["sha256"] = _checksum(progress)
        complete_text(self.path / _PROGRESS, json.dumps(progress), overwrite=True)

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
        self._remove(_PROGRESS, _PREDICTIONS, *_TEMPORARY)
        self.close()

    def _remove(self, *names: str) -> None:
        for name in names:
            (self.path / name).unlink(missing_ok=True)

    def close(self) -> None:
        """Release the lock."""
        self._lock.close()


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
        if progress.pop("sha256") == _checksum(progress):
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
    mapped = np.memmap(file, dtype, mode, len(start) + length, shape)
    # A file opened by its descriptor has no name, by which a worker may open it.
    mapped.filename = str(path.absolute())
    return mapped


def _n_bytes(dtype: str, shape: tuple[int, ...]) -> int:
    return np.dtype(dtype).itemsize * math.prod(shape)


def _other_recording(folder: Path, key: str, old: Any, new: Any) -> OutputExistsError:
    return OutputExistsError(
        f"{folder} holds another unfinished recording: its {key} is {old!r}, not"
        f" {new!r}; resume that one, choose another folder, or delete it"
    )


def _check_empty(path: Path) -> None:
    names = sorted(entry.name for entry in path.iterdir())
    if _RECORDING in names:
        raise OutputExistsError(
            f"{path} holds a finished recording; open it with Recording.open, or choose"
            " another folder"
        )
    # A process that was killed right after it made the folder leaves these.
    for name in names:
        if name not in {".lock", *_TEMPORARY}:
            raise OutputExistsError(
                f"{path} holds other files, such as {name!r}; choose a folder of its"
                " own"
            )


def _checksum(description: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a description with its tables, as JSON with sorted keys."""
    return hashlib.sha256(json.dumps(description, sort_keys=True).encode()).hexdigest()
