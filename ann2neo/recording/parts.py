"""Parts of one recording in a folder, made by several processes and then joined."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import pandas as pd

from ann2neo._checks import path_of
from ann2neo.errors import FileFormatError, OutputExistsError
from ann2neo.raster import SpikeRaster
from ann2neo.recording.folder import UnfinishedFolder, is_finished, read_folder
from ann2neo.recording.tables import same_table

if TYPE_CHECKING:
    from ann2neo.recording.recording import Recording

__all__ = ["join_parts", "missing_parts", "part_folder"]

_AnyRecording = TypeVar("_AnyRecording", bound="Recording")

_NAME = re.compile(r"part-(\d+)-of-(\d+)")
_COPIED_BYTES = 1 << 24
_OF_PARTS = ("part", "whole", "device", "share_clipped")
"""Facts in which the parts of one recording may differ."""


def part_folder(out: str | Path, number: int, n: int) -> Path:
    """Return the folder of one part, in the folder of the recording.

    Raises
    ------
    OutputExistsError
        If that folder holds a finished recording, or parts of another division.
    """
    path = path_of(out, "out")
    if path.is_dir():
        if is_finished(path):
            raise OutputExistsError(
                f"{path} holds a finished recording, which needs no more parts; open it"
                " with Recording.open, or choose another folder"
            )
        _, others = missing_parts(path)
        if others not in {0, n}:
            raise OutputExistsError(
                f"{path} holds parts of {others}, and part {number} of {n} is none of"
                f" these; record the others with part=(k, {others}), or choose another"
                " folder"
            )
    return path / f"part-{number:05d}-of-{n:05d}"


def join_parts(
    cls: type[_AnyRecording], folder: str | Path, *, verify: bool = True
) -> None:
    """Join the parts in a folder, if there are parts and they are not joined yet.

    Parameters
    ----------
    cls : type
        Recording, or a class derived from it.
    folder : str or Path
        The folder.
    verify : bool, default True
        As in `Recording.open`.

    Raises
    ------
    FileFormatError, IntegrityError
        If a part is missing, unfinished or damaged, or they are not parts of one
        recording.
    OutputError, OutputLockedError
        If the folder cannot be written, or another process joins them.
    """
    path = path_of(folder, "folder")
    if not path.is_dir() or is_finished(path):
        return
    names = sorted(
        entry.name for entry in path.iterdir() if _NAME.fullmatch(entry.name)
    )
    if not names:
        return
    _check_all(path)
    parts = [read_folder(cls, path / name, verify=verify) for name in names]
    _check_one(path, names, parts)
    first = parts[0]
    n_bins = [part.n_time_bins for part in parts]
    # Who joins first writes; a join that was interrupted begins anew.
    plan = {"joined": first.provenance["whole"]}
    target = UnfinishedFolder(path, plan, first.n_units, sum(n_bins), beside=names)
    try:
        for units, _ in first.raster.unit_blocks(_COPIED_BYTES // len(parts) + 1):
            target.bits[units] = SpikeRaster.concatenate(
                [
                    part.raster.take(units=np.arange(units.start, units.stop))
                    for part in parts
                ]
            ).bits
        facts = {
            key: value
            for key, value in first.provenance.items()
            if key not in _OF_PARTS
        }
        for key in ("device", "share_clipped"):
            if key in first.provenance:
                facts[key] = _together(key, parts)
        target.finish(
            cls(
                SpikeRaster(
                    target.bits,
                    first.n_units,
                    sum(n_bins),
                    sampling_period=first.raster.sampling_period,
                    t_start=first.raster.t_start,
                ),
                first.units,
                _below([part.presentations for part in parts], n_bins),
                segments=_segments(parts, n_bins),
                provenance=facts,
                identifier=target.identifier,
                session_start_time=min(part.session_start_time for part in parts),
            )
        )
    finally:
        target.close()


def missing_parts(folder: str | Path) -> tuple[list[int], int]:
    """Return which parts are missing or unfinished in a folder, and how many make it.

    Raises
    ------
    FileFormatError
        If there are parts of several divisions.
    """
    path = path_of(folder, "folder")
    names = [entry.name for entry in path.iterdir()]
    parts = [match for match in map(_NAME.fullmatch, names) if match]
    divisions = sorted({int(match[2]) for match in parts})
    if len(divisions) > 1:
        raise FileFormatError(
            f"{path} holds parts of {' and of '.join(map(str, divisions))}; keep those"
            " of one number of parts, and delete the others"
        )
    n = divisions[0] if divisions else 0
    finished = {int(match[1]) for match in parts if is_finished(path / match[0])}
    return [number for number in range(1, n + 1) if number not in finished], n


def _check_all(path: Path) -> None:
    missing, n = missing_parts(path)
    if missing:
        named = ", ".join(map(str, missing[:20])) + (" .." if len(missing) > 20 else "")
        raise FileFormatError(
            f"{path} lacks parts {named} of {n}, or they are not finished; record each"
            f" with the same arguments and part=(k, {n})"
        )


def _check_one(path: Path, names: list[str], parts: list[_AnyRecording]) -> None:
    """Raise if parts are not of one recording."""
    first = parts[0]
    for name, part in zip(names, parts, strict=True):
        if part.provenance.get("whole") == first.provenance.get("whole") and same_table(
            part.units, first.units
        ):
            continue
        differing = [
            key
            for key, value in first.provenance.items()
            if key not in _OF_PARTS and part.provenance.get(key) != value
        ]
        what = differing[0] if differing else "stimuli, labels or units"
        raise FileFormatError(
            f"{path / name} is no part of the recording in {names[0]}: they differ in"
            f" {what}; delete it and record it with the same arguments"
        )


def _below(tables: list[pd.DataFrame], n_bins: list[int]) -> pd.DataFrame:
    """Set tables of bins below one another, each after the bins of those before."""
    before = np.cumsum(n_bins) - n_bins
    moved = [
        table.assign(
            start_bin=table["start_bin"] + first, stop_bin=table["stop_bin"] + first
        )
        for table, first in zip(tables, before.tolist(), strict=True)
    ]
    return pd.concat(moved, ignore_index=True)


def _segments(parts: list[_AnyRecording], n_bins: list[int]) -> pd.DataFrame:
    segments = _below([part.segments for part in parts], n_bins)
    if "time_axis" in parts[0].provenance:
        return segments
    # Samples of one bin each: time runs on from part to part.
    return segments.iloc[:1].assign(stop_bin=sum(n_bins))


def _together(key: str, parts: list[_AnyRecording]) -> str:
    """Return a fact in which parts may differ, for all of them."""
    if key == "device":
        return ", ".join(dict.fromkeys(part.provenance[key] for part in parts))
    weights = [part.n_time_bins for part in parts]
    shares = [float(part.provenance[key]) for part in parts]
    return f"{np.average(shares, weights=weights):.6g}"
