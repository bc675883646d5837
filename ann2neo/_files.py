"""Files that appear under their name only when they are complete, and locks.

A file ``NAME`` is written as ``.NAME.partial`` beside it, under the lock
``.NAME.lock``, synced to disk, and renamed at the end. A rename is atomic: at every
moment, and after a crash, ``NAME`` is the old file, whole, or the new one, whole.

POSIX and Windows differ in two points: only on POSIX are folders synced to disk, and
lock files removed after use.
"""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import lock_descriptor

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
    "is_being_written",
    "lock_path",
    "locked",
    "make_folder",
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
    errno.EEXIST: "a file has that name; choose another folder",
    errno.ENOTDIR: "a part of the path is not a folder; choose another path",
    errno.EISDIR: "the path is a folder; add a file name",
    errno.ENAMETOOLONG: "the file name is too long; choose a shorter one",
}
_ERRNO_IN_TEXT = re.compile(r"\berrno = (\d+)")


def partial_path(path: Path) -> Path:
    """Return where a file is written until it is complete: ``.NAME.partial``."""
    return path.with_name(f".{path.name}.partial")


def lock_path(path: Path) -> Path:
    """Return the lock of a file, ``.NAME.lock``, or of a folder, ``.lock`` in it."""
    return path / ".lock" if path.is_dir() else path.with_name(f".{path.name}.lock")


def output_path(path: str | os.PathLike[str], suffix: str, *, overwrite: bool) -> Path:
    """Check the path of a file to write, before any work is done for it.

    Parameters
    ----------
    path : path
        What the user passed.
    suffix : str
        Required suffix, such as ``.nwb``; empty if any is allowed.
    overwrite : bool
        Whether an existing file may be replaced.

    Returns
    -------
    Path
        The path.

    Raises
    ------
    InputTypeError, InputValueError
        If it is not a path, or has another suffix.
    OutputExistsError, OutputError
        As `refuse_existing`.
    """
    target = path_of(path)
    if not target.name:
        raise InputValueError("path must not be empty; give the name of a file")
    if suffix and target.suffix != suffix:
        raise InputValueError(
            f"the file needs a name that ends in {suffix}, got {target.name!r}; try"
            f" {target.with_suffix(suffix).name!r}"
        )
    refuse_existing(target, overwrite=overwrite)
    return target


def refuse_existing(path: Path, *, overwrite: bool) -> None:
    """Raise if a file exists that may not be replaced.

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
        raise OutputExistsError(
            f"{path} exists already; pass overwrite=True (--overwrite) to replace it,"
            " or choose another name"
        )


def make_folder(path: Path) -> None:
    """Make a folder and its parents, if they do not exist.

    Raises
    ------
    OutputError
        If it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _explained(error, path, error.errno) from error


@contextmanager
def complete_file(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """Write a file that appears under its name when the block ends without an error.

    Parameters
    ----------
    path : Path
        Name of the complete file.
    overwrite : bool
        Whether an existing file may be replaced. It stays unchanged until the new one
        is complete.

    Yields
    ------
    Path
        An empty file to write to, locked against other processes that use this
        function.

    Raises
    ------
    OutputExistsError
        If the file exists and may not be replaced.
    OutputLockedError
        If another process is writing the same file.
    OutputError
        If the folder, the disk or a permission does not allow it; an old file is
        unchanged.
    """
    refuse_existing(path, overwrite=overwrite)
    partial = partial_path(path)
    with locked(
        path,
        f"another process is writing {path} now; wait for it, or choose another name",
    ):
        try:
            # Whatever a killed writer left in it goes.
            partial.write_bytes(b"")
            yield partial
            # The contents must be on disk before the name is, or a crash of the system
            # could leave an empty file under it.
            with partial.open("r+b") as file:
                os.fsync(file.fileno())
            # Once more: a file may have appeared in the meantime.
            refuse_existing(path, overwrite=overwrite)
            partial.replace(path)
            _sync_folder(path.parent)
        except BaseException as error:
            # Under the lock, the partial file is ours to remove. Where that fails, the
            # next writer overwrites it.
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            number = _errno_of(error)
            if number is None or isinstance(error, Ann2NeoError):
                raise
            raise _explained(error, path, number) from error


def complete_text(path: Path, text: str, *, overwrite: bool) -> None:
    """Write text in UTF-8 with `complete_file`."""
    with complete_file(path, overwrite=overwrite) as partial:
        partial.write_text(text, encoding="utf-8")


@contextmanager
def locked(path: Path, message: str) -> Iterator[None]:
    """Lock a file or folder while the block runs.

    The operating system releases the lock of a process that is killed.

    Parameters
    ----------
    path : Path
        The file or folder; the lock is the file at `lock_path`.
    message : str
        Message of the error if it is locked already.

    Raises
    ------
    OutputLockedError
        If it is locked already, in this program or another one.
    OutputError
        If the lock file cannot be made.
    """
    lock = lock_path(path)
    try:
        handle = _lock_or_none(lock)
    except OSError as error:
        raise _explained(error, path, error.errno) from error
    if handle is None:
        raise OutputLockedError(message)
    try:
        yield
    finally:
        # Removed while it is held: otherwise another process could lock a file that is
        # about to lose its name. Windows does not remove open files; there, it stays.
        with suppress(OSError):
            lock.unlink()
        os.close(handle)


def _lock_or_none(lock: Path) -> int | None:
    """Lock a file and return its descriptor, or None if it is locked already."""
    while True:
        handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            is_free = lock_descriptor(handle, blocking=False)
        except OSError:
            os.close(handle)
            raise
        # Between opening and locking, the process that held the lock may have removed
        # the file. A lock on a file without a name (no links) keeps nobody out: open
        # the name again.
        if is_free and os.fstat(handle).st_nlink:
            return handle
        os.close(handle)
        if not is_free:
            return None


def is_being_written(path: Path) -> bool:
    """Return whether a process holds a writer's lock on a file, as HDF5 does.

    On file systems without locks, this cannot be known, and the answer is False.
    """
    with path.open("rb") as file:
        try:
            if sys.platform == "win32":
                # On Windows, a locked region cannot be read.
                file.read(1)
            else:
                import fcntl

                # A writer's lock is exclusive and refuses even this shared one, which
                # ends when the file is closed.
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            return isinstance(error, (BlockingIOError, PermissionError))
    return False


def _sync_folder(folder: Path) -> None:
    """Write the entries of a folder to disk, so that a rename outlives a crash."""
    if sys.platform == "win32":  # where folders cannot be opened
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _errno_of(error: BaseException | None) -> int | None:
    """Return the errno of the system's error behind an exception, or None."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _REMEDIES:
            return error.errno
        # HDF5 states it in the text only.
        match = _ERRNO_IN_TEXT.search(str(error))
        if match and int(match[1]) in _REMEDIES:
            return int(match[1])
        error = error.__cause__ or error.__context__
    return None


def _explained(error: BaseException, path: Path, number: int | None) -> OutputError:
    remedy = _REMEDIES.get(number or 0, f"{error}; choose another place")
    return OutputError(f"{path} could not be written: {remedy}")
