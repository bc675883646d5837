"""The public names: what the stub lists is there, documented, and costs nothing until
used.
"""

import ast
import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest

import ann2neo

HEAVY = {
    "keras",
    "tensorflow",
    "jax",
    "dask",
    "distributed",
    "matplotlib",
    "pynwb",
    "scipy",
    "pandas",
    "neo",
    "elephant",
    "statsmodels",
    "numpy",
}
STUB = Path(ann2neo.__file__).with_suffix(".pyi")
NAMES = [
    alias.asname
    for node in ast.parse(STUB.read_text(encoding="utf-8")).body
    if isinstance(node, ast.ImportFrom)
    for alias in node.names
]


def test_the_stub_is_the_only_list():
    """Every name of the stub is exported, and no other."""
    assert sorted(NAMES) == sorted(ann2neo.__all__)
    assert len(set(NAMES)) == len(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_loads_and_has_words(name):
    """Each name can be imported and says what it is."""
    value = getattr(ann2neo, name)
    assert inspect.getdoc(value)


def test_importing_loads_nothing_heavy():
    """A fresh interpreter that imports ann2neo has loaded none of the heavy
    libraries.
    """
    code = "import sys, json, ann2neo; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    assert not HEAVY & set(json.loads(done.stdout))


def test_an_unknown_name_is_an_attribute_error():
    """A misspelt name says so."""
    with pytest.raises(AttributeError, match="recrod"):
        ann2neo.recrod  # noqa: B018
