"""Folders of recordings larger than memory, which can be resumed while unfinished.

``bits.npy`` holds the packed bits of a `SpikeRaster`, uint8 of shape (n_units,
n_bytes), memory-mapped. ``recording.json`` describes a finished recording and holds the
SHA-256 of the raster and its own. Until it exists, ``progress.json`` states what is
being recorded and how much is done, and ``predictions.npy`` holds the classes predicted
so far.
"""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import quantities as pq

from ann2neo._checks import path_of
from ann2neo._files import complete_text, locked, make_folder
from ann2neo.errors import (
    FileFormatError,
    InputValueError,
    IntegrityError,
    OutputError,
    OutputExistsError,
)
from ann2neo.raster import RasterBuilder, SpikeRaster
from ann2neo.recording.tables import column_types

if TYPE_CHECKING:
    from ann2neo.recording.recording import Recording

__all__ = ["UnfinishedFolder", "read_folder", "unfinished_plan"]

_LAYOUT_VERSION = 2
_BITS, _PREDICTIONS, _PROGRESS, _RECORDING = (
    "bits.npy",
    "predictions.npy",
    "progress.json",
    "recording.json",
)
_TABLES = ("units", "presentations", "segments")


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
        Number of bins recorded so far, a multiple of 8 or all.
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
        If the folder cannot be written.
    IntegrityError
        If the bits in it have another shape.
    """

    seconds_between_marks = 2.0

    def __init__(
        self, path: str | Path, plan: Mapping[str, str], n_units: int, n_time_bins: int
    ) -> None:
        self.path = path_of(path, "out")
        shape = RasterBuilder.bits_shape(n_units, n_time_bins)
        message = (
            f"another process is recording into {self.path}; wait for it, or choose"
            " another folder"
        )
        make_folder(self.path)
        # The lock is held beyond this method; an error in here lets go of it.
        with ExitStack() as stack:
            stack.enter_context(locked(self.path, message))
            try:
                if unfinished_plan(self.path) is None:
                    _check_empty(self.path)
                    self._begin(plan, shape, n_time_bins)
                else:
                    self._resume(plan)
                self.bits = np.lib.format.open_memmap(self.path / _BITS, mode="r+")
                self.predictions = np.lib.format.open_memmap(
                    self.path / _PREDICTIONS, mode="r+"
                )
            except PermissionError as error:
                raise OutputError(
                    f"{self.path} cannot be written ({error.strerror}); choose another"
                    " folder"
                ) from error
            if self.bits.shape != shape:
                raise IntegrityError(
                    f"{self.path / _BITS} has shape {self.bits.shape}, expected"
                    f" {shape}; delete the folder and record again"
                )
            self._lock = stack.pop_all()
        self._marked = time.monotonic()

    def _begin(
        self, plan: Mapping[str, str], shape: tuple[int, int], n_time_bins: int
    ) -> None:
        # A sparse file of zeros: only pages that are written take up disk space.
        np.lib.format.open_memmap(
            self.path / _BITS, mode="w+", dtype=np.uint8, shape=shape
        )
        classes = np.lib.format.open_memmap(
            self.path / _PREDICTIONS, mode="w+", dtype=np.int32, shape=(n_time_bins,)
        )
        classes[:] = -1
        self.n_done = 0
        self.identifier = str(uuid.uuid4())
        self.session_start_time = datetime.now().astimezone()
        self._plan = dict(plan)
        self._mark()

    def _resume(self, plan: Mapping[str, str]) -> None:
        progress = json.loads((self.path / _PROGRESS).read_text())
        different = [
            key
            for key in {**progress["plan"], **plan}
            if progress["plan"].get(key) != plan.get(key)
        ]
        if different:
            key = sorted(different)[0]
            raise OutputExistsError(
                f"{self.path} holds another unfinished recording: its {key} is"
                f" {progress['plan'].get(key)!r}, not {plan.get(key)!r}; resume that"
                " one, choose another folder, or delete it"
            )
        self._plan, self.n_done = dict(plan), progress["n_done"]
        self.identifier = progress["identifier"]
        self.session_start_time = datetime.fromisoformat(progress["session_start_time"])

    def keep(
        self,
        position: int,
        classes: npt.NDArray[np.int32] | None,
        flush: Callable[[], None],
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
            self.bits.flush()
            self.predictions.flush()
            self.n_done = position
            self._mark()
            self._marked = time.monotonic()

    def _mark(self) -> None:
        progress = {
            "plan": self._plan,
            "n_done": self.n_done,
            "identifier": self.identifier,
            "session_start_time": self.session_start_time.isoformat(),
        }
        complete_text(self.path / _PROGRESS, json.dumps(progress), overwrite=True)

    def finish(self, recording: Recording) -> None:
        """Write ``recording.json``, which makes the folder a finished recording.

        Parameters
        ----------
        recording : Recording
            The recording; its raster must hold `bits`.
        """
        # On disk before the file that says they are complete.
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
        complete_text(self.path / _RECORDING, json.dumps(description), overwrite=True)
        # With the temporary files of a run that was killed while it wrote progress.
        for pattern in (_PROGRESS, _PREDICTIONS, f".{_PROGRESS}.*"):
            for path in self.path.glob(pattern):
                path.unlink()
        self.close()

    def close(self) -> None:
        """Release the lock."""
        self._lock.close()


def unfinished_plan(path: str | Path) -> dict[str, str] | None:
    """Return the plan of the unfinished recording in a folder, or None."""
    progress = Path(path) / _PROGRESS
    if not progress.exists() or (Path(path) / _RECORDING).exists():
        return None
    plan: dict[str, str] = json.loads(progress.read_text())["plan"]
    return plan


def read_folder(path: str | Path, *, verify: bool = True) -> dict[str, Any]:
    """Read a finished folder; the bits stay on disk until they are used.

    Parameters
    ----------
    path : str or Path
        The folder.
    verify : bool, default True
        Compare raster and tables with the checksums in the folder, which reads all bits
        once.

    Returns
    -------
    dict
        The arguments of a `Recording`.

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
    if not (path / _RECORDING).exists():
        if (path / _PROGRESS).exists():
            raise FileFormatError(
                f"{path} holds an unfinished recording; record into it again with the"
                " same arguments to finish it"
            )
        raise FileFormatError(
            f"{path} holds no recording: there is no {_RECORDING}; record with out="
            " makes one"
        )
    try:
        description = json.loads((path / _RECORDING).read_text())
        version = int(description["layout_version"])
        # Layout 1 had one table of phases, each one segment on the recording's clock.
        names = ("units", "presentations", "phases") if version == 1 else _TABLES
        tables = {
            name: pd.DataFrame(
                {
                    column: pd.Series(content["cells"], dtype=content["type"])
                    for column, content in description[name].items()
                },
                # Units that nothing is known about have a row each, but no column.
                index=range(description["n_units"]) if name == "units" else None,
            )
            for name in names
        }
        raster = SpikeRaster(
            np.load(path / _BITS, mmap_mode="r"),
            description["n_units"],
            description["n_time_bins"],
            sampling_period=description["sampling_period_seconds"] * pq.s,
            t_start=description["t_start_seconds"] * pq.s,
        )
        checksum = description.pop("sha256")
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise IntegrityError(f"{path} is damaged ({error}); record it again") from error
    if version > _LAYOUT_VERSION:
        raise FileFormatError(
            f"{path} has layout version {version}, newer than {_LAYOUT_VERSION}; update"
            " ann2neo"
        )
    if verify:
        if _checksum(description) != checksum:
            raise IntegrityError(
                f"{path / _RECORDING} does not match its checksum; record it again"
            )
        if raster.sha256() != description["raster_sha256"]:
            raise IntegrityError(
                f"{path / _BITS} does not match its checksum; record it again"
            )
    start = description["session_start_time"]
    return {
        "raster": raster,
        **tables,
        "provenance": description["provenance"],
        "identifier": description["identifier"],
        "session_start_time": datetime.fromisoformat(start),
        "timestamps_reference_time": datetime.fromisoformat(
            description.get("timestamps_reference_time", start)
        ),
    }


def _check_empty(path: Path) -> None:
    names = sorted(entry.name for entry in path.iterdir())
    if _RECORDING in names:
        raise OutputExistsError(
            f"{path} holds a finished recording; open it with Recording.open, or choose"
            " another folder"
        )
    # A process that was killed right after it made the folder leaves these.
    ours = {_BITS, _PREDICTIONS, ".lock"}
    for name in names:
        if name not in ours and not name.startswith(f".{_PROGRESS}."):
            raise OutputExistsError(
                f"{path} holds other files, such as {name!r}; choose a folder of its"
                " own"
            )


def _checksum(description: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a description with its tables, as JSON with sorted keys."""
    return hashlib.sha256(json.dumps(description, sort_keys=True).encode()).hexdigest()
