"""Files that appear under their name only when they are complete."""

from __future__ import annotations

import errno
import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ann2neo._checks import path_of
from ann2neo.errors import (
    Ann2NeoError,
    InputValueError,
    OutputError,
    OutputExistsError,
    OutputLockedError,
)

__all__ = [
    "complete_file",
    "complete_text",
    "output_path",
    "partial_path",
    "refuse_existing",
]

_REMEDIES = {
    errno.ENOSPC: "the disk is full; free some space or write elsewhere",
    errno.EDQUOT: "the disk quota is used up; free some space or write elsewhere",
    errno.EFBIG: (
        "the file would be larger than is allowed here; raise the limit or write"
        " elsewhere"
    ),
    errno.EACCES: "permission is missing; choose a folder you may write to",
    errno.EPERM: "permission is missing; choose a folder you may write to",
    errno.EROFS: "the file system is read-only; choose another folder",
    errno.ENOENT: "the folder does not exist; create it first",
    errno.ENOTDIR: "a part of the path is not a folder; choose another path",
    errno.EISDIR: "the path is a folder; add a file name",
    errno.ENAMETOOLONG: "the file name is too long; choose a shorter one",
}
_ERRNO_IN_TEXT = re.compile(r"\berrno = (\d+)")


def partial_path(path: Path) -> Path:
    """Where a file is written before it is complete: ``.NAME.partial`` beside it."""
    return path.with_name(f".{path.name}.partial")


def output_path(path: str | os.PathLike[str], suffix: str, *, overwrite: bool) -> Path:
    """Check where a file shall be written, before any work is done for it.

    Parameters
    ----------
    path : path
        What the user gave.
    suffix : str
        How the name must end, such as ``.nwb``; empty if it may end in anything.
    overwrite : bool
        Whether an existing file may be replaced.

    Returns
    -------
    Path
        The path.

    Raises
    ------
    InputTypeError, InputValueError
        If it is no path, or the name ends otherwise.
    OutputExistsError, OutputError
        As `refuse_existing`.
    """
    target = path_of(path)
    if not target.name:
        raise InputValueError("path must not be empty")
    if suffix and target.suffix != suffix:
        msg = f"the file needs a name that ends in {suffix}, got {target.name!r}"
        raise InputValueError(msg + f"; try {target.with_suffix(suffix).name!r}")
    refuse_existing(target, overwrite=overwrite)
    return target


def refuse_existing(path: Path, *, overwrite: bool) -> None:
    """Raise if a file would be replaced unasked.

    Parameters
    ----------
    path : Path
        The file to write.
    overwrite : bool
        Whether it may be replaced.

    Raises
    ------
    OutputExistsError
        If it exists and may not be replaced.
    OutputError
        If it is a folder.
    """
    if path.is_dir():
        raise OutputError(errno.EISDIR, _REMEDIES[errno.EISDIR], str(path))
    if path.exists() and not overwrite:
        msg = (
            f"{path} exists already; pass overwrite=True (--overwrite) to replace it,"
            " or choose another name"
        )
        raise OutputExistsError(msg)


@contextmanager
def complete_file(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """Write beside a path, and put the file there when the block ends without an error.

    Parameters
    ----------
    path : Path
        Where the complete file shall stand.
    overwrite : bool
        Whether an existing file may be replaced. It stays whole until the new one is
        complete.

    Yields
    ------
    Path
        An empty file to write to, locked against other writers of ours.

    Raises
    ------
    OutputExistsError
        If the file exists and may not be replaced.
    OutputLockedError
        If somebody else is writing the same file now.
    OutputError
        If the folder, the disk or a permission does not allow it; an old file is still
        there, whole.
    """
    refuse_existing(path, overwrite=overwrite)
    partial = partial_path(path)
    try:
        lock = _locked(partial, path)
    except OSError as error:
        if isinstance(error, Ann2NeoError):
            raise
        raise _explained(error, path, error.errno) from error
    try:
        os.ftruncate(lock, 0)
        yield partial
        os.fsync(lock)
        refuse_existing(path, overwrite=overwrite)
        partial.replace(path)
        _sync_folder(path.parent)
    except BaseException as error:
        # Held under the lock, the partial file is ours to remove; where that is not
        # possible, the next run reuses it.
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        number = _errno_of(error)
        if number is None or isinstance(error, Ann2NeoError):
            raise
        raise _explained(error, path, number) from error
    finally:
        os.close(lock)


def complete_text(path: Path, text: str, *, overwrite: bool) -> None:
    """Write a text file in UTF-8, as `complete_file` does."""
    with complete_file(path, overwrite=overwrite) as partial:
        partial.write_text(text, encoding="utf-8")


def _locked(partial: Path, path: Path) -> int:
    while True:
        handle = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(handle)
            msg = (
                f"another process is writing {path} now; wait for it, or choose another"
                " name"
            )
            raise OutputLockedError(msg) from error
        # Between opening and locking, the former writer may have moved the file to its
        # final name: then it is not ours.
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle), partial.stat()):
                return handle
        os.close(handle)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _errno_of(error: BaseException | None) -> int | None:
    """Errno of the operating system's error behind an exception; HDF5 has it in the
    text only.
    """
    while error is not None:
        if isinstance(error, OSError) and error.errno in _REMEDIES:
            return error.errno
        found = _ERRNO_IN_TEXT.search(str(error))
        if found and int(found[1]) in _REMEDIES:
            return int(found[1])
        error = error.__cause__ or error.__context__
    return None


def _explained(error: BaseException, path: Path, number: int | None) -> OutputError:
    remedy = _REMEDIES.get(number or 0, f"{error}; choose another place")
    return OutputError(f"{path} could not be written: {remedy}")
