"""What commands print: text, CSV and JSON, of files that may be a stranger's."""

from __future__ import annotations

import dataclasses
import errno
import json as json_text
import math
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ann2neo.errors import OutputError

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "csv_text",
    "echo",
    "echo_csv",
    "echo_json",
    "echo_table",
    "one_line",
    "unwritten",
    "visible",
]

# Control characters besides newline and tab, line separators, what is invisible or
# turns the direction of writing, and halves of characters.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\ud800-\udfff\ufeff\U000e0000-\U000e007f]"
)
_FORMULA = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")


def echo(text: object, *, err: bool = False, nl: bool = True) -> None:
    """Print text; control characters, which steer a terminal, appear as escapes."""
    try:
        typer.echo(visible(str(text)), err=err, nl=nl)
    except OSError as error:
        raise unwritten(error, err=err) from error


def unwritten(error: OSError, *, err: bool = False) -> Exception:
    """Return what ends a command whose output could not be written."""
    # What could not be written would be tried again as the process ends.
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        os.dup2(nowhere.fileno(), 2 if err else 1)
    if error.errno == errno.EPIPE:
        # Whoever read it has seen enough, as `head` does.
        return typer.Exit(1)
    return OutputError(
        f"the output could not be written ({error.strerror}); free some space, or send"
        " it elsewhere"
    )


def visible(text: str) -> str:
    """Return text with control characters as escapes."""
    return _HIDDEN.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def one_line(value: object) -> str:
    """Return text without line breaks, which could fake another line of output."""
    return str(value).replace("\n", "\\n")


def echo_table(
    table: pd.DataFrame, text: Callable[[], str], *, csv: bool, json: bool
) -> None:
    """Print a table as CSV, as JSON, or as text, which is then made."""
    if csv:
        echo_csv(table)
    elif json:
        echo_json(table.to_dict("records"))
    else:
        echo(text().rstrip("\n"))


def echo_csv(table: pd.DataFrame) -> None:
    """Print CSV; texts that a spreadsheet would compute get an apostrophe."""
    echo(csv_text(table), nl=False)


def csv_text(table: pd.DataFrame) -> str:
    """Write CSV; texts that a spreadsheet would compute get an apostrophe."""
    texts = table.select_dtypes(exclude=["number", "bool"]).map(_no_formula)
    table = table.assign(**texts).rename(columns=_no_formula)
    return table.to_csv(index=False, lineterminator="\n")


def _no_formula(value: Any) -> Any:
    if not isinstance(value, str) or not value.startswith(_FORMULA):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value


def echo_json(value: Any) -> None:
    """Print JSON, in ASCII; what is missing is null, and infinity a string."""
    echo(json_text.dumps(_plain(value), indent=1, allow_nan=False))


def _plain(value: Any) -> Any:
    """Return a value in the types that JSON has."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return {field.name: _plain(getattr(value, field.name)) for field in fields}
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    if hasattr(value, "tolist"):
        # Numbers of NumPy.
        return _plain(value.tolist())
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, float) and math.isinf(value):
        return str(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value)
