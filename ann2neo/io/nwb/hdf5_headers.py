"""What HDF5 stores in the header of an object, as bytes that it has not used yet.

HDF5 hands out the bytes of datasets that lie in the file by themselves. Attributes, and
datasets inside the header of their object, it only reads as a whole, and for a string
it takes as much memory as its damaged length claims. So their bytes are looked up here.

Only headers of version 1 need it. Those of version 2, and the heaps beside them that
hold many attributes, carry checksums, which HDF5 compares itself. A header is a list of
messages, in one or more blocks (HDF5 File Format Specification 3.0, sections IV.A.1.a,
IV.A.2.i and m), with the lengths of the parts in bytes::

    header:  1 (1) | reserved (1) | number of messages (2) | references (4)
             | length of the first block (4) | reserved (4) | the first block
    block:   type (2) | length (2) | flags (1) | reserved (3) | contents | type (2) ...

    contents of a message
    attribute:    version (1) | flags (1) | lengths of name, type and shape (2 each)
                  | encoding (1, from version 3 on) | name | type | shape | data;
                  in version 1, each of the first three is padded to 8 bytes
    layout:       3 or 4 (1) | class, 0 for inside the header (1) | length (2) | data
    next block:   place in the file (8) | length (8)
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator
from pathlib import Path

import h5py

__all__ = ["bytes_inside", "bytes_of_attribute"]

_LAYOUT, _ATTRIBUTE, _NEXT_BLOCK = 8, 12, 16
_SHARED = 2
"""Flag of a message whose contents lie elsewhere."""
_MOST_BLOCKS = 10_000
_MESSAGE = struct.Struct("<HHB3x")


def bytes_of_attribute(item: h5py.Group | h5py.Dataset, name: str) -> bytes:
    """Return what the header of an object stores of an attribute; empty if nothing."""
    wanted = name.encode() + b"\0"
    for kind, contents in _messages(item):
        if kind != _ATTRIBUTE or len(contents) < 9:
            continue
        version, _, *lengths = struct.unpack_from("<BBHHH", contents)
        start = 9 if version == 3 else 8
        if contents[start : start + lengths[0]] == wanted:
            if version == 1:
                lengths = [-(-length // 8) * 8 for length in lengths]
            start += sum(lengths)
            n_bytes = item.attrs.get_id(name).get_storage_size()
            return contents[start : start + n_bytes]
    return b""


def bytes_inside(dataset: h5py.Dataset) -> bytes:
    """Return what a dataset stores inside its header; empty if nothing."""
    for kind, contents in _messages(dataset):
        if kind == _LAYOUT and contents[:2] in {b"\x03\0", b"\x04\0"}:
            length = int.from_bytes(contents[2:4], "little")
            return contents[4 : 4 + length]
    return b""


def _messages(item: h5py.Group | h5py.Dataset) -> Iterator[tuple[int, bytes]]:
    """Yield the type and the contents of each message in a header of version 1."""
    place = h5py.h5o.get_info(item.id).addr
    # Places count from where HDF5 begins in the file.
    origin = item.file.userblock_size
    with Path(item.file.filename).open("rb") as file:
        file.seek(origin + place)
        start = file.read(16)
        blocks = [(place + 16, int.from_bytes(start[8:12], "little"))]
        if start[:1] != b"\x01" or item.file.id.get_create_plist().get_sizes() != (
            8,
            8,
        ):
            return
        # HDF5 has read this header before, but not from here if the file is being
        # written: an end to rings of blocks.
        for begin, n_bytes in itertools.islice(blocks, _MOST_BLOCKS):
            file.seek(origin + begin)
            block, position = file.read(n_bytes), 0
            while position + _MESSAGE.size <= len(block):
                kind, length, flags = _MESSAGE.unpack_from(block, position)
                position += _MESSAGE.size
                contents = block[position : position + length]
                position += length
                if kind == _NEXT_BLOCK and len(contents) >= 16:
                    blocks.append(struct.unpack("<QQ", contents[:16]))
                elif not flags & _SHARED:
                    yield kind, contents
