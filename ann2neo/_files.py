"""Files that appear under their name only when they are complete, and locks.

Both work the same way on POSIX and Windows, with two exceptions that only POSIX allows:
entries of folders are synced to disk, and lock files are removed after use.
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
    """Where a file is written before it is complete: ``.NAME.partial`` beside it."""
    return path.with_name(f".{path.name}.partial")


def lock_path(path: Path) -> Path:
    """Where the lock of a file or folder is: ``.NAME.lock`` beside it, or ``.lock``
    in it.
    """
    return path / ".lock" if path.is_dir() else path.with_name(f".{path.name}.lock")


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
        raise InputValueError(
            f"the file needs a name that ends in {suffix}, got {target.name!r}; try"
            f" {target.with_suffix(suffix).name!r}"
        )
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
        raise OutputExistsError(
            f"{path} exists already; pass overwrite=True (--overwrite) to replace it,"
            " or choose another name"
        )


def make_folder(path: Path) -> None:
    """Make a folder, and those above it, where it does not exist.

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
        An empty file to write to; a lock keeps other writers of ours out.

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
    message = (
        f"another process is writing {path} now; wait for it, or choose another name"
    )
    with locked(path, message):
        try:
            partial.write_bytes(b"")
            yield partial
            with partial.open("r+b") as file:
                os.fsync(file.fileno())
            refuse_existing(path, overwrite=overwrite)
            partial.replace(path)
            _sync_folder(path.parent)
        except BaseException as error:
            # Held under the lock, the partial file is ours to remove; where that is
            # not possible, the next run reuses it.
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            number = _errno_of(error)
            if number is None or isinstance(error, Ann2NeoError):
                raise
            raise _explained(error, path, number) from error


def complete_text(path: Path, text: str, *, overwrite: bool) -> None:
    """Write a text file in UTF-8, as `complete_file` does."""
    with complete_file(path, overwrite=overwrite) as partial:
        partial.write_text(text, encoding="utf-8")


@contextmanager
def locked(path: Path, message: str) -> Iterator[None]:
    """Hold a file or folder against other processes; a killed holder's lock is free.

    Parameters
    ----------
    path : Path
        What to hold; its lock is the file `lock_path`.
    message : str
        What to say if somebody else holds it.

    Raises
    ------
    OutputLockedError
        If somebody else holds it, in this program or another one.
    OutputError
        If the folder does not take a lock.
    """
    lock = lock_path(path)
    try:
        handle = _taken(lock)
    except OSError as error:
        raise _explained(error, path, error.errno) from error
    if handle is None:
        raise OutputLockedError(message)
    try:
        yield
    finally:
        # While it is held, so that nobody else can hold a file that is about to lose
        # its name. Windows does not remove open files; there, it stays.
        with suppress(OSError):
            lock.unlink()
        os.close(handle)


def _taken(lock: Path) -> int | None:
    """Descriptor of a lock file that is ours now; None if somebody else holds it."""
    while True:
        handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            is_free = lock_descriptor(handle, blocking=False)
        except OSError:
            os.close(handle)
            raise
        # Between opening and locking, the former holder may have removed the file:
        # then its name is free, or another file's.
        if is_free and os.fstat(handle).st_nlink:
            return handle
        os.close(handle)
        if not is_free:
            return None


def is_being_written(path: Path) -> bool:
    """Whether somebody holds a writer's lock on a file itself, as HDF5 does.

    False on file systems without locks, where nobody can know.
    """
    with path.open("rb") as file:
        try:
            if sys.platform == "win32":
                # Windows lets nobody read what a writer has locked.
                file.read(1)
            else:
                import fcntl

                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            return True
        except OSError:
            return False
    return False


def _sync_folder(folder: Path) -> None:
    if sys.platform == "win32":  # which opens no folders
        return
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
