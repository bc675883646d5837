"""Folders of NWB files in the form of a dandiset."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from ann2neo._checks import path_of
from ann2neo._files import complete_file, complete_text, make_folder
from ann2neo.errors import FileFormatError, InputValueError
from ann2neo.io.nwb.hdf5_tables import check_not_being_written, open_nwb, text_at
from ann2neo.io.nwb.metadata import ID, id_text
from ann2neo.io.nwb.validation import Finding, is_clean, validate_nwb

__all__ = ["CONTACT_FIRST", "Shared", "share"]

CONTACT_FIRST = (
    "DANDI takes simulated data case by case: contact them first"
    " (help@dandiarchive.org). That the files are DANDI-valid does not mean that they"
    " are accepted."
)
_DANDISET = "dandiset.yaml"
_DANDISET_TEXT = """\
# DANDI gives a dandiset its number: after registering one, replace this file with the
# one that "dandi download --download dandiset.yaml DANDI:NUMBER" fetches.
"""


@dataclasses.dataclass(frozen=True)
class Shared:
    """A folder to share.

    Parameters
    ----------
    folder : Path
        The dandiset folder.
    findings : mapping of Path to list of Finding
        What the validators report about each file in it.
    """

    folder: Path
    findings: Mapping[Path, list[Finding]]

    @property
    def is_clean(self) -> bool:
        """Return whether no file has a finding worse than a suggestion."""
        return all(map(is_clean, self.findings.values()))


def share(
    paths: Sequence[str | os.PathLike[str]],
    folder: str | os.PathLike[str],
    *,
    overwrite: bool = False,
) -> Shared:
    """Copy NWB files into a dandiset folder and validate them.

    Parameters
    ----------
    paths : sequence of paths
        NWB files with a subject.
    folder : path
        The dandiset folder; made if it does not exist.
    overwrite : bool, default False
        Replace files in it.

    Returns
    -------
    Shared
        The folder, and the findings per file: ``sub-ID/sub-ID.nwb``, or
        ``sub-ID/sub-ID_ses-ID.nwb`` where a file has a session id or shares its subject
        with another one. A valid file need not be accepted: see `CONTACT_FIRST`.

    Raises
    ------
    FileFormatError
        If a file is not NWB or has no subject.
    InputValueError
        If there is no file, or two would get the same name.
    OutputExistsError, OutputLockedError, OutputError
        If a file exists already or cannot be written, or one of `paths` is open for
        writing.

    Examples
    --------
    >>> import ann2neo, tempfile
    >>> recording = ann2neo.Recording.from_activations([[1.0, 0.0], [1.0, 1.0]])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = ann2neo.write_nwb(
    ...         recording, f"{folder}/a.nwb", {"subject_id": "mlp-1"}
    ...     )
    ...     shared = share([path], f"{folder}/dandiset")
    ...     [file.relative_to(shared.folder).as_posix() for file in shared.findings]
    ['sub-mlp-1/sub-mlp-1.nwb']
    """
    if not paths:
        raise InputValueError("share needs at least one NWB file, got none")
    sources = [path_of(path) for path in paths]
    root = path_of(folder, "folder")
    placed = []
    for source, name in zip(sources, _names(sources), strict=True):
        target = root / name
        make_folder(target.parent)
        with complete_file(target, overwrite=overwrite) as partial:
            shutil.copyfile(source, partial)
        placed.append(target)
    # Before validating: DANDI checks names only below a folder that has this file.
    if not (root / _DANDISET).exists():
        complete_text(root / _DANDISET, _DANDISET_TEXT, overwrite=False)
    return Shared(root, {target: validate_nwb(target) for target in placed})


def _names(sources: Sequence[Path]) -> list[Path]:
    ids = [_ids(source) for source in sources]
    shared = Counter(subject for subject, _, _ in ids)
    names = []
    for subject, given, identifier in ids:
        session = given
        if shared[subject] > 1:
            session = given or id_text(identifier)[:8]
        stem = f"sub-{subject}_ses-{session}" if session else f"sub-{subject}"
        names.append(Path(f"sub-{subject}") / f"{stem}.nwb")
    twice = next((name for name, n in Counter(names).items() if n > 1), None)
    if twice is not None:
        both = ", ".join(
            str(source)
            for source, name in zip(sources, names, strict=True)
            if name == twice
        )
        raise InputValueError(
            f"{both} would all be named {twice}; write them with different 'session_id'"
            " metadata"
        )
    return names


def _ids(source: Path) -> tuple[str, str | None, str]:
    with open_nwb(source) as handle:
        check_not_being_written(source)
        subject = text_at(handle, "general/subject/subject_id")
        if subject is None:
            raise FileFormatError(
                f"{source} has no subject_id, and DANDI names files by it; write it"
                " with the metadata 'subject_id'"
            )
        session = text_at(handle, "general/session_id")
        identifier = text_at(handle, "identifier") or ""
    for name, value in (("subject_id", subject), ("session_id", session)):
        if value is not None and not ID.fullmatch(value):
            raise FileFormatError(
                f"{source} has the {name} {value!r}, but names at DANDI hold letters,"
                f" digits, '-' and '+' only; write it with other metadata for {name!r}"
            )
    return subject, session, identifier
