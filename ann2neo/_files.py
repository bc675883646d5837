"""Files that appear under their name only when they are complete, and locks.

A file ``NAME`` is written as ``.NAME.partial`` beside it, under the lock
``.NAME.lock``, synced to disk, and renamed at the end. A rename is atomic: at every
moment, and after a crash, ``NAME`` is the old file, whole, or the new one, whole.

Folders may be shared with strangers, who could put a link in the place of a file that
is written here. So links in the name that the user gave are resolved, and files that
ann2neo names itself are opened without following any.

POSIX and Windows differ in two points: only on POSIX are folders synced to disk, and
lock files removed after use.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, TypeVar

from filelock import lock_descriptor

from ann2neo._checks import path_of
from ann2neo.errors import (
    Ann2NeoError,
    FileFormatError,
    InputValueError,
    OutputError,
    OutputExistsError,
    OutputLockedError,
)

__all__ = [
    "allocate",
    "complete_file",
    "complete_text",
    "errors_kept",
    "explained",
    "is_being_written",
    "lock_path",
    "locked",
    "make_folder",
    "new_file",
    "open_own",
    "open_regular",
    "output_path",
    "partial_path",
    "refuse_existing",
]

_log = logging.getLogger(__name__)
_Item = TypeVar("_Item")

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
    errno.ELOOP: "a symbolic link is in its place; remove the link, or choose another",
}
_WRITE_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}
"""Errors of a write, which do not name the file."""
_UNSUPPORTED = {
    errno.EINVAL,
    errno.ENOLCK,
    errno.ENOSYS,
    errno.ENOTSUP,
    errno.EOPNOTSUPP,
}
"""Errors of file systems that cannot lock, sync folders or allocate."""
# Not on every system. Without O_NONBLOCK, opening a pipe would wait for its other end.
_CAREFULLY = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_KEPT = "_ann2neo_kept"
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
    folder = target.absolute().parent
    if not folder.is_dir():
        number = errno.ENOTDIR if folder.exists() else errno.ENOENT
        raise _explained(OSError(), target, number)
    if not os.access(folder, os.W_OK):
        raise _explained(OSError(), target, errno.EACCES)
    return target


def refuse_existing(path: Path, *, overwrite: bool) -> Path:
    """Return the file that would be written, or raise if it may not be.

    Parameters
    ----------
    path : Path
        The file to write.
    overwrite : bool
        Whether it may be replaced.

    Returns
    -------
    Path
        The file to write: the path, or what it links to.

    Raises
    ------
    OutputExistsError
        If it exists and may not be replaced.
    OutputError
        If it is a folder, device or pipe, or cannot be a name of a file.
    """
    with explained(path):
        is_link = path.is_symlink()
        target = Path(os.path.realpath(path)) if is_link else path
        state = _state_or_none(target)
    if state is not None and stat.S_ISDIR(state.st_mode):
        raise _explained(OSError(), path, errno.EISDIR)
    if state is not None and not stat.S_ISREG(state.st_mode):
        raise OutputError(
            f"{path} is not a regular file but a device, pipe, socket or link to"
            " itself; choose another name"
        )
    if overwrite or (state is None and not is_link):
        return target
    exists = f"{path} exists already"
    if state is None:
        exists = f"{path} exists already, as a link to {target}, which does not exist"
    raise OutputExistsError(
        f"{exists}; pass overwrite=True (--overwrite) to replace it, or choose another"
        " name"
    )


def make_folder(path: Path) -> None:
    """Make a folder and its parents, if they do not exist.

    Raises
    ------
    OutputError
        If it cannot be made.
    """
    with explained(path):
        path.mkdir(parents=True, exist_ok=True)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn errors of the system into an `OutputError` for a path, with a remedy."""
    try:
        yield
    except Ann2NeoError:
        raise
    except OSError as error:
        raise _explained(error, path, error.errno) from error
    except ValueError as error:
        # No file can have a name with a zero, or with a lone surrogate.
        if "\0" not in str(path) and not isinstance(error, UnicodeError):
            raise
        raise _explained(error, path, None) from error


def open_own(path: Path, flags: int) -> int:
    """Open a file that ann2neo named itself, without following links.

    Parameters
    ----------
    path : Path
        The file.
    flags : int
        As in `os.open`.

    Returns
    -------
    int
        The descriptor.

    Raises
    ------
    OutputError
        If a link is in its place, or it has further names, belongs to another user or
        is no regular file.
    OSError
        If it cannot be opened.
    """
    handle = os.open(path, flags | _CAREFULLY | _NO_LINK, 0o666)
    try:
        _check_own(path, os.fstat(handle))
    except BaseException:
        os.close(handle)
        raise
    return handle


def new_file(path: Path, mode: int = 0o666) -> int:
    """Open a new, empty file, in place of an own one that a killed writer left.

    Parameters
    ----------
    path : Path
        The file.
    mode : int
        Its permissions, less those that the umask takes.

    Returns
    -------
    int
        The descriptor.

    Raises
    ------
    OutputError
        If the file in its place is not ours, as in `open_own`.
    OSError
        If it cannot be made.
    """
    state = _state_or_none(path)
    if state is not None:
        _check_own(path, state)
        path.unlink()
    # Exclusive, so that the file is nobody else's, and not a link either.
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | _CAREFULLY, mode)


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file to read; a pipe or device could block or never end.

    Raises
    ------
    FileFormatError
        If it is something else.
    OSError
        If it cannot be opened.
    """
    handle = os.open(path, os.O_RDONLY | _CAREFULLY)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise FileFormatError(
            f"{path} is not a regular file; copy its contents into one"
        )
    return os.fdopen(handle, "rb")


def allocate(file: BinaryIO, n_bytes: int) -> None:
    """Make a new file `n_bytes` long, filled up with zeros that take up disk space.

    Without it, a full disk would end the process when it writes to a memory map.

    Raises
    ------
    OSError
        If the disk does not have the space.
    """
    file.flush()
    if hasattr(os, "posix_fallocate"):
        with _unsupported_suppressed():
            os.posix_fallocate(file.fileno(), 0, n_bytes)
            return
    # macOS, Windows, and file systems that allocate nothing in advance.
    zeros = bytes(1 << 20)
    while (missing := n_bytes - file.tell()) > 0:
        file.write(zeros[:missing])
    file.flush()


def _state_or_none(path: Path) -> os.stat_result | None:
    """Return the state of a file, not of what it links to, or None if it is missing."""
    try:
        return path.lstat()
    except FileNotFoundError:
        return None


def _check_own(path: Path, state: os.stat_result) -> None:
    """Raise if a file may not be one that ann2neo made for this user."""
    if not stat.S_ISREG(state.st_mode) or state.st_nlink > 1:
        raise OutputError(
            f"{path} is a link, has further names or is no regular file, so it is left"
            " alone; remove it, or choose another place"
        )
    if sys.platform == "win32":
        return
    # Some mounts show one owner for all files; who owns the folder, or the machine, can
    # do as he likes anyway.
    if state.st_uid not in {os.geteuid(), 0, path.parent.stat().st_uid}:
        raise OutputError(
            f"{path} belongs to another user (uid {state.st_uid}), so it is left alone;"
            " remove it, or choose another place"
        )


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
    target = refuse_existing(path, overwrite=overwrite)
    partial = partial_path(target)
    with locked(
        target,
        f"another process is writing {path} now; wait for it, or choose another name",
    ):
        with explained(path):
            old = _state_or_none(target)
            # Nobody else may read what replaces a private file, before it has its mode.
            os.close(new_file(partial, 0o666 if old is None else 0o600))
        try:
            yield partial
            handle = open_own(partial, os.O_RDWR)
            try:
                if old is not None:
                    _keep_access(handle, old)
                # The contents must be on disk before the name is, or a crash of the
                # system could leave an empty file under it.
                os.fsync(handle)
            finally:
                os.close(handle)
            # Once more: a file may have appeared in the meantime.
            refuse_existing(path, overwrite=overwrite)
            partial.replace(target)
            _sync_folder(target.parent)
        except BaseException as error:
            # Under the lock, the partial file is ours to remove. Where that fails, the
            # next writer overwrites it.
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            number = _errno_of(error, {str(target), str(partial)})
            is_kept = isinstance(error, Ann2NeoError) or _KEPT in vars(error)
            if number is None or is_kept:
                raise
            raise _explained(error, path, number) from error


def errors_kept(items: Iterable[_Item]) -> Iterator[_Item]:
    """Yield what is written inside `complete_file`, and comes from the caller.

    What it raises is no error of the file, such as a full disk elsewhere, and leaves
    `complete_file` with its own words.
    """
    try:
        yield from items
    except Exception as error:
        error.__dict__[_KEPT] = True
        raise


def _keep_access(handle: int, old: os.stat_result) -> None:
    """Give a file the mode of the one it replaces, and as root its owner."""
    if sys.platform == "win32":
        return
    owner = old.st_uid if os.geteuid() == 0 else -1
    # Some file systems know neither owners nor modes.
    with suppress(OSError):
        os.fchown(handle, owner, old.st_gid)
    with suppress(OSError):
        os.fchmod(handle, stat.S_IMODE(old.st_mode) & 0o777)


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
    with explained(path):
        lock = lock_path(path)
        handle = _lock_or_none(lock)
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
        handle = open_own(lock, os.O_RDWR | os.O_CREAT)
        try:
            is_free = lock_descriptor(handle, blocking=False)
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                os.close(handle)
                raise
            is_free = True
            _log.warning(
                "%s: this file system has no locks; make sure that no other process"
                " writes there",
                lock.parent,
            )
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
    with open_regular(path) as file:
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
    # A folder that may not be listed cannot be opened, and some network file systems
    # cannot sync folders; the file is complete without it.
    with suppress(PermissionError), _unsupported_suppressed():
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextmanager
def _unsupported_suppressed() -> Iterator[None]:
    """Go on after an operation that the file system does not know."""
    try:
        yield
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise


def _errno_of(error: BaseException | None, paths: set[str]) -> int | None:
    """Return the errno of the system's error about one of our files, or None.

    Errors about other files are those of the caller, such as a generator of data.
    """
    while error is not None:
        text = str(error)
        number: int | None = getattr(error, "errno", None)
        # HDF5 states it in the text only.
        if match := _ERRNO_IN_TEXT.search(text):
            number = int(match[1])
        names_ours = any(path in text for path in paths)
        names_none = getattr(error, "filename", None) is None
        if (names_ours and number in _REMEDIES) or (
            names_none and number in _WRITE_ERRORS
        ):
            return number
        error = error.__cause__ or error.__context__
    return None


def _explained(error: BaseException, path: Path, number: int | None) -> OutputError:
    remedy = _REMEDIES.get(number or 0, f"{error}; choose another place")
    return OutputError(f"{path} could not be written: {remedy}")
