"""Summaries of NWB files, made without reading spikes."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path

from ann2neo._checks import path_of
from ann2neo.io.nwb.hdf5_tables import open_nwb, read_table
from ann2neo.io.nwb.layout import LAYOUT_TABLE
from ann2neo.io.nwb.reader import read_header, read_nwb
from ann2neo.recording import Recording

__all__ = ["NwbInfo", "nwb_info"]


@dataclasses.dataclass(frozen=True)
class NwbInfo:
    """Summary of an NWB file.

    Parameters
    ----------
    path : Path
        The file.
    n_bytes : int
        Its size.
    nwb_version : str
        Version of the NWB schema.
    n_units, n_spikes : int
        Number of units, and of spikes of all units.
    analysis : tuple of str
        Names of the tables of statistics in it.
    layout_version : int or None
        Version of ann2neo's layout; None for files that ann2neo did not write.
    profile : str or None
        "dandi" or "neo"; None for files that ann2neo did not write.
    recording : Recording or None
        The recording, whose spikes are read when they are first needed; None for files
        that ann2neo did not write.
    session : mapping of str to str
        The session's description, experimenter, institution, subject and so on, where
        the file has them.
    """

    path: Path
    n_bytes: int
    nwb_version: str
    n_units: int
    n_spikes: int
    analysis: tuple[str, ...]
    layout_version: int | None
    profile: str | None
    recording: Recording | None
    session: Mapping[str, str]


_SESSION = {
    "identifier": "identifier",
    "session_start_time": "session_start_time",
    "session_description": "session_description",
    "experimenter": "general/experimenter",
    "institution": "general/institution",
    "session_id": "general/session_id",
    "subject_id": "general/subject/subject_id",
    "species": "general/subject/species",
}


def nwb_info(path: str | os.PathLike[str]) -> NwbInfo:
    """Summarize an NWB file without reading its spikes.

    Parameters
    ----------
    path : path
        The file.

    Returns
    -------
    NwbInfo
        The summary.

    Raises
    ------
    FileFormatError
        If it is not an NWB file, or damaged.

    Examples
    --------
    >>> import ann2neo, tempfile
    >>> recording = ann2neo.Recording.from_activations([[1.0, 0.0], [1.0, 1.0]])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     info = nwb_info(ann2neo.write_nwb(recording, f"{folder}/network.nwb"))
    >>> info.n_units, info.n_spikes, info.profile
    (2, 3, 'dandi')
    """
    file = path_of(path)
    with open_nwb(file) as handle:
        analysis = tuple(sorted(handle.get("analysis", {})))
        n_units = n_spikes = 0
        if "units" in handle:
            units = read_table(handle, "units")
            n_units = len(units)
            if "spike_times" in units:
                n_spikes = int(units.ragged("spike_times")[1].sum())
        version = str(handle.attrs["nwb_version"])
        session = {}
        for name, place in _SESSION.items():
            if place in handle:
                cells = handle[place].asstr()[()]
                session[name] = (
                    cells if isinstance(cells, str) else "; ".join(map(str, cells))
                )
        header = read_header(handle) if LAYOUT_TABLE in analysis else None
    recording = None if header is None else read_nwb(file, lazy=True)
    return NwbInfo(
        path=file,
        n_bytes=file.stat().st_size,
        nwb_version=version,
        n_units=n_units if recording is None else recording.n_units,
        n_spikes=n_spikes,
        analysis=tuple(name for name in analysis if name.endswith("_statistics")),
        layout_version=None if header is None else header.layout_version,
        profile=None if header is None else header.profile,
        recording=recording,
        session=session,
    )
