"""Rows of a table that a command is making, kept so that it can go on after a kill."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from ann2neo._files import explained, locked, open_own
from ann2neo.cli.sessions import SessionFile

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["KeptRows", "kept_rows"]


class KeptRows:
    """Rows of files, one line of JSON per file.

    Parameters
    ----------
    path : Path
        The file that keeps them.
    file : file
        The same, open to read and to write at its end.
    settings : tuple
        What the rows depend on, besides the files.
    """

    def __init__(self, path: Path, file: BinaryIO, settings: tuple[Any, ...]) -> None:
        self._path, self._file = path, file
        self._settings = [version("ann2neo"), *settings]
        self._rows: dict[str, list[dict[str, Any]]] = {}
        end = 0
        for line in file:
            try:
                entry = json.loads(line)
                self._rows[entry["key"]] = entry["rows"]
            except (ValueError, TypeError, KeyError):
                # A killed process leaves a part of a line at the end.
                break
            end += len(line)
        file.truncate(end)

    def tables(self, files: Sequence[SessionFile]) -> dict[Path, pd.DataFrame]:
        """Return the tables of those files that have rows and did not change since."""
        keys = {file.path: self._key(file) for file in files}
        return {
            path: self._table(self._rows[key])
            for path, key in keys.items()
            if key in self._rows
        }

    def add(self, file: SessionFile, table: pd.DataFrame) -> pd.DataFrame:
        """Keep the table of a file, and return it as it will be read."""
        line = json.dumps(
            {"key": self._key(file), "rows": table.to_dict("records")},
            default=lambda number: number.item(),
        )
        with explained(self._path):
            self._file.write(line.encode() + b"\n")
            self._file.flush()
        return self._table(json.loads(line)["rows"])

    def remove(self) -> None:
        """Remove the file of the rows, once the table is complete."""
        self._path.unlink(missing_ok=True)

    @staticmethod
    def _table(rows: list[dict[str, Any]]) -> pd.DataFrame:
        import pandas as pd

        return pd.DataFrame(rows)

    def _key(self, file: SessionFile) -> str:
        """Return a text that another file, version or setting would change."""
        try:
            state = file.path.stat()
        except OSError:
            # Said when it is read.
            return ""
        facts = [
            str(file.path.absolute()),
            file.name,
            state.st_size,
            state.st_mtime_ns,
            {name: str(value) for name, value in file.options.items()},
            self._settings,
        ]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


@contextmanager
def kept_rows(out: Path, settings: tuple[Any, ...]) -> Iterator[KeptRows]:
    """Open the rows that are kept for a table, ``.NAME.rows`` beside it.

    Parameters
    ----------
    out : Path
        The table that is being made.
    settings : tuple
        What the rows depend on, besides the files; of types that JSON has.

    Yields
    ------
    KeptRows
        The rows, locked against other processes.

    Raises
    ------
    OutputLockedError
        If another process makes the same table.
    OutputError
        If they cannot be written.
    """
    path = out.with_name(f".{out.name}.rows")
    message = f"another process is making {out} now; wait for it, or choose another"
    with locked(path, f"{message} name"):
        with explained(path):
            handle = open_own(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        with os.fdopen(handle, "r+b") as file:
            yield KeptRows(path, file, settings)
