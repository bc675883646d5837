"""Notebooks: numbered in reading order, stored without outputs, and using public names
only.
"""

import ast
import json
import re
from pathlib import Path
from runpy import run_path

import pytest

import ann2neo
import ann2neo.report
import ann2neo.study

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


def cells(path, kind):
    """Text of the cells of one kind."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    return [
        "".join(cell["source"])
        for cell in notebook["cells"]
        if cell["cell_type"] == kind
    ]


def code_of(path):
    """All code of a notebook, without the lines that only IPython understands."""
    return "\n".join(
        re.sub(r"^%.*$", "", cell, flags=re.MULTILINE) for cell in cells(path, "code")
    )


def test_notebooks_are_numbered_in_reading_order():
    """They are numbered from 01 without a gap, each headed by its number."""
    assert [path.name[:3] for path in NOTEBOOKS] == [
        f"{number:02}_" for number in range(1, len(NOTEBOOKS) + 1)
    ]
    for number, path in enumerate(NOTEBOOKS, start=1):
        assert cells(path, "markdown")[0].startswith(f"# {number}. ")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_without_outputs(path):
    """No cell has an output, a count of executions, or metadata of somebody's
    editor.
    """
    notebook = json.loads(path.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
        assert not cell["metadata"]
    allowed = {"kernelspec", "language_info", "requires"}
    assert allowed - {"requires"} <= set(notebook["metadata"]) <= allowed
    assert set(notebook["metadata"]["language_info"]) == {"name"}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_uses_public_names_only(path):
    """Whatever it takes from ann2neo is in the shop window, a figure of ann2neo.report,
    or a public name of ann2neo.study.
    """
    used = set()
    for node in ast.walk(ast.parse(code_of(path))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
            "ann2neo"
        ):
            assert node.module == "ann2neo"
            assert {alias.name for alias in node.names} <= {"report", "study"}
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            assert not node.attr.startswith("_") or node.attr == "__file__"
            if node.value.id == "ann2neo":
                used.add(node.attr)
                assert node.attr in ann2neo.__all__
            if node.value.id in {"report", "study"}:
                used.add(node.attr)
                assert node.attr in getattr(ann2neo, node.value.id).__all__
    assert used


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_links_between_notebooks_lead_somewhere(path):
    """Every link to another notebook names a file that exists."""
    targets = re.findall(r"\]\(([^)]+\.ipynb)\)", "\n".join(cells(path, "markdown")))
    assert targets
    assert all((path.parent / target).exists() for target in targets)


def test_a_notebook_requires_each_framework_that_no_extra_installs():
    """Notebooks that import PyTorch or snnTorch name them, and no other name any."""
    for path in NOTEBOOKS:
        metadata = json.loads(path.read_text(encoding="utf-8"))["metadata"]
        imported = {
            alias.name
            for node in ast.walk(ast.parse(code_of(path)))
            if isinstance(node, ast.Import)
            for alias in node.names
        }
        assert set(metadata.get("requires", [])) == imported & {"snntorch", "torch"}


def test_a_notebook_whose_packages_are_missing_is_left_out_with_a_line(
    tmp_path, capsys
):
    """The runner names the notebook and each package that is missing, and runs
    nothing.
    """
    path = tmp_path / "needy.ipynb"
    requires = ["json", "no_such_package", "nor_this"]
    path.write_text(json.dumps({"metadata": {"requires": requires}}), encoding="utf-8")
    run_path(str(NOTEBOOKS[0].parent / "run.py"))["main"]([str(path)])
    assert capsys.readouterr().out == (
        "needy.ipynb: left out, not installed: no_such_package, nor_this\n"
    )
