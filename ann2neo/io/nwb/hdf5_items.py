"""The one way to objects of an NWB file: what they claim is checked before it is read.

A link may lead to another file of the reader's machine, a dataset may claim more than
the file can hold. `item_at` opens objects, `checked` looks at a dataset before it is
read, and `attribute_of` at an attribute; nothing else in this package opens or reads
any, besides what HDF5 itself visits without following links.
"""

from __future__ import annotations

import math
import os
import zlib
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from ann2neo._files import open_regular
from ann2neo.errors import FileFormatError
from ann2neo.io.nwb.hdf5_headers import bytes_inside, bytes_of_attribute
from ann2neo.io.nwb.hdf5_heaps import check_heaps

__all__ = [
    "LINKS",
    "Links",
    "attribute_of",
    "check_nothing_outside",
    "checked",
    "item_at",
]


class Links(NamedTuple):
    """What a user allows of links to other files.

    Parameters
    ----------
    folder : Path or None
        Folder whose files may be opened; None if none may be.
    can_follow : bool
        Whether the user could have allowed it.
    """

    folder: Path | None
    can_follow: bool


_NO_LINKS = Links(None, can_follow=False)
LINKS: ContextVar[Links] = ContextVar("LINKS", default=_NO_LINKS)
"""What is allowed while a file is read."""

_DEFLATE_LIMIT = 1100
"""Largest ratio of a dataset's size to its size in the file.

Deflate compresses by a factor of 1032 at most. A dataset that claims more is damaged,
and reading it could exhaust the memory.
"""
_MOST_LINKS = 16
_REFERENCE = np.dtype([("length", "<u4"), ("heap", "<u8"), ("index", "<u4")])
"""What HDF5 stores where a string is used: its length, and its place in a heap."""
_COPY = "copy what it holds into the file, for example with h5repack or pynwb's export"


def item_at(group: h5py.Group, place: str) -> h5py.Group | h5py.Dataset | None:
    """Open an object of a file by its path, without leaving the file.

    Parameters
    ----------
    group : h5py.Group
        Where to start.
    place : str
        Names separated by ``/``.

    Returns
    -------
    h5py.Group or h5py.Dataset or None
        The object; None if there is none.

    Raises
    ------
    FileFormatError
        If a link leads to another file that may not be opened, or links lead nowhere.
    """
    item: Any = group
    names, n_links = place.split("/"), 0
    while names:
        name = names.pop(0)
        if name in {"", "."}:
            continue
        if not isinstance(item, h5py.Group):
            return None
        encoded = os.fsencode(name)
        if not item.id.links.exists(encoded):
            return None
        kind = item.id.links.get_info(encoded).type
        if kind == h5py.h5l.TYPE_SOFT:
            path = os.fsdecode(item.id.links.get_val(encoded))
            n_links += 1
            if n_links > _MOST_LINKS:
                raise FileFormatError(
                    f"{item.name}/{name} is a link that leads on to more than"
                    f" {_MOST_LINKS} others; get an undamaged copy"
                )
            if path.startswith("/"):
                item = item.file["/"]
            names = path.split("/") + names
            continue
        if kind != h5py.h5l.TYPE_HARD:
            _check_link(item, name, kind)
        item = item[name]
    return item


def _check_link(group: h5py.Group, name: str, kind: int) -> None:
    """Raise if a link leads to a file that may not be opened."""
    where = f"{group.name.rstrip('/')}/{name}"
    if kind != h5py.h5l.TYPE_EXTERNAL:
        raise FileFormatError(f"{where} is a link of an unknown kind; {_COPY}")
    file = os.fsdecode(group.id.links.get_val(os.fsencode(name))[0])
    folder, can_follow = LINKS.get()
    if folder is None:
        remedy = _COPY
        if can_follow:
            remedy = (
                "if you trust it, read files of the same folder with follow_links=True"
                f" (--follow-links), or {_COPY}"
            )
        raise FileFormatError(
            f"{where} is a link to another file, {file!r}, which is not opened;"
            f" {remedy}"
        )
    target = (folder / file).resolve()
    if target.parent != folder:
        raise FileFormatError(
            f"{where} is a link to {file!r}, a file outside the folder {folder}, which"
            f" is not opened; {_COPY}"
        )
    open_regular(target).close()
    check_heaps(target)


def checked(dataset: h5py.Dataset) -> h5py.Dataset:
    """Return a dataset if what it claims fits what the file stores of it.

    Raises
    ------
    FileFormatError
        If its data lie in another file, or its shape, its chunks or its strings claim
        more than the file can hold.
    """
    _check_inside(dataset)
    stored = dataset.id.get_storage_size()
    # Python's integers do not overflow, whatever a damaged shape claims.
    sizes = (dataset.shape or (), dataset.chunks or ())
    claimed = max(map(math.prod, sizes)) * dataset.dtype.itemsize
    if claimed > _DEFLATE_LIMIT * max(1, stored) or stored > _size_of(dataset):
        raise FileFormatError(
            f"{dataset.name} claims {claimed} bytes and stores {stored}, so it is"
            " damaged; get an undamaged copy"
        )
    strings = h5py.check_string_dtype(dataset.dtype)
    if strings is not None and strings.length is None:
        n_bytes = sum(map(_length_of_strings, _stored(dataset)))
        _check_strings(dataset, dataset.name, n_bytes)
    return dataset


def attribute_of(item: h5py.Group | h5py.Dataset, name: str) -> Any:
    """Return an attribute that holds text, numbers or references.

    Raises
    ------
    FileFormatError
        If it holds something else, or its strings claim more than the file can hold.
    """
    dtype = item.attrs.get_id(name).dtype
    strings = h5py.check_string_dtype(dtype)
    if strings is not None and strings.length is None:
        n_bytes = _length_of_strings(bytes_of_attribute(item, name))
        _check_strings(item, f"{item.name}, attribute {name},", n_bytes)
    elif strings is None and dtype.hasobject and h5py.check_ref_dtype(dtype) is None:
        raise FileFormatError(
            f"{item.name} has an attribute {name} of lists, and NWB has none of that"
            " kind; get an undamaged copy"
        )
    return item.attrs[name]


def _check_strings(item: h5py.Group | h5py.Dataset, where: str, n_bytes: int) -> None:
    """Raise if strings claim more than the file can hold: each is stored for itself."""
    if n_bytes > _size_of(item):
        raise FileFormatError(
            f"{where} claims strings of {n_bytes} bytes, more than the whole file, so"
            " it is damaged; get an undamaged copy"
        )


def check_nothing_outside(handle: h5py.File) -> None:
    """Look through a whole file before others read it, who follow all links.

    Raises
    ------
    FileFormatError
        If a link or a dataset in it leads to another file.
    """
    links: list[tuple[str, int]] = []
    datasets: list[h5py.Dataset] = []

    def add_link(name: bytes, info: h5py.h5l.LinkInfo) -> None:
        if info.type not in {h5py.h5l.TYPE_HARD, h5py.h5l.TYPE_SOFT}:
            links.append((os.fsdecode(name), info.type))

    def add_dataset(_: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            datasets.append(item)

    # What raises an error inside a visit of HDF5 leaves h5py in a bad state.
    handle.id.links.visit(add_link, info=True)
    handle.visititems(add_dataset)
    for place, kind in links:
        group, _, name = f"/{place}".rpartition("/")
        _check_link(handle[group or "/"], name, kind)
    for dataset in datasets:
        _check_inside(dataset)


def _check_inside(dataset: h5py.Dataset) -> None:
    """Raise if a dataset keeps its data in other files."""
    plist = dataset.id.get_create_plist()
    files = [plist.get_external(i)[0] for i in range(plist.get_external_count())]
    if plist.get_layout() == h5py.h5d.VIRTUAL:
        sources = map(plist.get_virtual_filename, range(plist.get_virtual_count()))
        files += [name for name in sources if name != "."]
    if files:
        raise FileFormatError(
            f"{dataset.name} keeps its data in another file, {os.fsdecode(files[0])!r},"
            f" which is not opened; {_COPY}"
        )


def _size_of(item: h5py.Group | h5py.Dataset) -> int:
    return Path(item.file.filename).stat().st_size


def _stored(dataset: h5py.Dataset) -> Iterator[bytes]:
    """Yield what a dataset of strings stores, piece by piece, besides the strings.

    Nothing for chunks with filters that Python cannot undo.
    """
    if dataset.chunks is None:
        start = dataset.id.get_offset()
        if start is None:
            yield bytes_inside(dataset)
            return
        with Path(dataset.file.filename).open("rb") as file:
            file.seek(start)
            yield file.read(dataset.size * _REFERENCE.itemsize)
        return
    plist = dataset.id.get_create_plist()
    filters = [plist.get_filter(i)[0] for i in range(plist.get_nfilters())]
    if not {*filters} <= {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE}:
        return
    n_bytes = math.prod(dataset.chunks) * _REFERENCE.itemsize
    places: list[tuple[int, ...]] = []
    dataset.id.chunk_iter(lambda chunk: places.append(chunk.chunk_offset))
    for place in places:
        skipped, stored = dataset.id.read_direct_chunk(place)
        for number in reversed(range(len(filters))):
            if skipped & (1 << number):
                continue
            if filters[number] == h5py.h5z.FILTER_DEFLATE:
                stored = zlib.decompressobj().decompress(stored, n_bytes)
            else:
                planes = np.frombuffer(stored, np.uint8)
                planes = planes[
                    : len(planes) // _REFERENCE.itemsize * _REFERENCE.itemsize
                ]
                stored = planes.reshape(_REFERENCE.itemsize, -1).T.tobytes()
        yield stored


def _length_of_strings(stored: bytes) -> int:
    """Return the length of all strings in bytes, from what is stored where they are."""
    count = len(stored) // _REFERENCE.itemsize
    return int(np.frombuffer(stored, _REFERENCE, count)["length"].sum(dtype=np.int64))
