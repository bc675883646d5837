"""Disk space claimed before HDF5 needs it.

HDF5 does not survive a full disk: 1.14.6 ends the process when it closes a file that it
could not write. Space that is claimed in time is an ordinary error instead, and the
file can be closed. Where the system knows no such claim (macOS), nothing is claimed.
"""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["claim_space", "release_space"]

_END_OF_FILE = {0: 40, 1: 44, 2: 28, 3: 28}
"""Where each version of HDF5's superblock says how long the file is."""


def claim_space(path: Path, n_bytes: int) -> None:
    """Make a file that HDF5 is writing at least so long.

    Parameters
    ----------
    path : Path
        The file, which exists.
    n_bytes : int
        How long it may become.

    Raises
    ------
    OSError
        If there is no such space.
    """
    if not hasattr(os, "posix_fallocate"):
        return
    handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        if os.fstat(handle).st_size < n_bytes:
            os.posix_fallocate(handle, 0, n_bytes)
    finally:
        os.close(handle)


def release_space(path: Path) -> None:
    """Cut a closed HDF5 file to the length that it gives itself."""
    with path.open("r+b") as file:
        head = file.read(64)
        place = _END_OF_FILE[head[8]]
        file.truncate(int.from_bytes(head[place : place + 8], "little"))
