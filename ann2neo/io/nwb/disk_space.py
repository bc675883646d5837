"""Disk space allocated before HDF5 needs it.

HDF5 does not survive a full disk: version 1.14.6 ends the process when it closes a file
that it could not write. Space that is allocated in advance turns a full disk into an
ordinary error, after which the file can be closed. Where the system cannot allocate
space in advance (macOS, Windows), nothing is allocated.
"""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["claim_space", "release_space"]

_END_OF_FILE = {0: 40, 1: 44, 2: 28, 3: 28}
"""Offset of the end-of-file address in each version of HDF5's superblock.

Source: HDF5 File Format Specification 3.0, section II.A; with 8-byte addresses.
"""


def claim_space(path: Path, n_bytes: int) -> None:
    """Allocate disk space for a file that HDF5 is writing.

    Parameters
    ----------
    path : Path
        An existing file.
    n_bytes : int
        Length up to which it may grow.

    Raises
    ------
    OSError
        If the disk does not have the space.
    """
    if not hasattr(os, "posix_fallocate"):
        return
    with path.open("r+b") as file:
        if os.fstat(file.fileno()).st_size < n_bytes:
            os.posix_fallocate(file.fileno(), 0, n_bytes)


def release_space(path: Path) -> None:
    """Cut a closed HDF5 file to the length that its superblock states."""
    # What was allocated but not used lies beyond the end that HDF5 knows.
    with path.open("r+b") as file:
        superblock = file.read(64)
        # Byte 8 is the superblock's version.
        offset = _END_OF_FILE[superblock[8]]
        file.truncate(int.from_bytes(superblock[offset : offset + 8], "little"))
