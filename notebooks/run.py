"""Run the notebooks, each in a kernel of its own; the results stand in ``executed/``.

A notebook whose metadata names packages under ``requires`` is left out where one of
them is not installed, and a line says so.
"""

from __future__ import annotations

import argparse
import json
from importlib.util import find_spec
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
EXECUTED = FOLDER.parent / "executed"


def missing_packages(path: Path) -> list[str]:
    """Return the packages that a notebook requires and that are not installed."""
    metadata = json.loads(path.read_text(encoding="utf-8"))["metadata"]
    return [name for name in metadata.get("requires", []) if find_spec(name) is None]


def run(path: Path, out: Path = EXECUTED) -> None:
    """Run a notebook into a folder; an error in a cell is raised."""
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(path.parent)}}
    NotebookClient(notebook, resources=resources).execute()
    out.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, out / path.name)


def main(arguments: list[str] | None = None) -> None:
    """Run the notebooks named, or all of them."""
    parser = argparse.ArgumentParser(description="Run the notebooks into executed/.")
    parser.add_argument("notebooks", nargs="*", type=Path, help="all if none is given")
    chosen = parser.parse_args(arguments).notebooks or sorted(FOLDER.glob("*.ipynb"))
    for path in chosen:
        missing = missing_packages(path)
        if missing:
            print(f"{path.name}: left out, not installed: {', '.join(missing)}")
        else:
            print(f"{path.name}: running", flush=True)
            run(path)


if __name__ == "__main__":
    main()
