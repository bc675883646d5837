"""Running checksums of what is recorded and shown."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["checksum"]


def checksum(content: bytes | npt.NDArray[Any], before: int = 0) -> int:
    """Continue a CRC-32, which finds accidents at twice the speed of a SHA-256.

    Parameters
    ----------
    content : bytes or ndarray
        What to add; of an array, its bytes in C order.
    before : int, default 0
        Checksum of what came before.

    Returns
    -------
    int
        Checksum of all so far.
    """
    if isinstance(content, bytes):
        return zlib.crc32(content, before)
    # As bytes, since zlib takes no types such as bfloat16.
    flat = np.ascontiguousarray(content).reshape(-1)
    return zlib.crc32(flat.view(np.uint8).data, before)
