"""Damaged YAML files of metadata: an error that names the file."""

import pytest

from ann2neo import InputValueError
from ann2neo.io.nwb.metadata import checked_metadata

BOMB = "a: &a [x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    "content",
    [
        b"lab: caf\xe9",
        b"lab: \0",
        b"lab: " + b"[" * 100_000,
        b"lab: " + b"{a: " * 5000,
        b"lab: 2020-02-31",
        b"lab: " + b"9" * 10_000,
        b"lab: !!python/object/apply:os.getcwd []",
        f"{BOMB}lab: *i".encode(),
    ],
    ids=["latin", "NUL", "lists", "maps", "date", "digits", "code", "aliases"],
)
def test_damaged_metadata(tmp_path, content):
    """What YAML cannot read, or should not, is an error that names the file."""
    path = tmp_path / "metadata.yaml"
    path.write_bytes(content)
    with pytest.raises(InputValueError, match=r"the metadata file .*metadata\.yaml"):
        checked_metadata(path)
