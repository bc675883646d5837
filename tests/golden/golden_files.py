"""How the golden set is stored, and how what is found is compared with it."""

import csv
import io
import json
import math
from pathlib import Path

import pandas as pd

HERE = Path(__file__).parent
RTOL, ATOL = 1e-9, 1e-12
MISSING = "<missing>"
MOST_SHOWN = 12
LONGEST_LIST = 80


def cell_text(value):
    """A value as text: floats in full precision, what is missing by one word."""
    if value is None or value is pd.NA:
        return MISSING
    if hasattr(value, "item"):
        value = value.item()
    return value if isinstance(value, str) else repr(value)


def table_texts(table):
    """Names, dtypes and cells of a table as texts, with its index left out."""
    if not isinstance(table.index, pd.RangeIndex):
        msg = "a table of the golden set has the index 0, 1, 2, ..; reset it"
        raise TypeError(msg)
    columns = [table.iloc[:, place] for place in range(table.shape[1])]
    texts = []
    for column in columns:
        text_column = column.dtype == "str"
        texts.append([_string(v) if text_column else cell_text(v) for v in column])
    names = [str(name) for name in table.columns]
    return (
        names,
        [str(column.dtype) for column in columns],
        list(zip(*texts, strict=True)),
    )


def _string(value):
    return value if isinstance(value, str) else MISSING


def table_csv(table):
    """A table as it is stored: a line of names, a line of dtypes, then the rows."""
    names, dtypes, rows = table_texts(table)
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([names, dtypes, *rows])
    return text.getvalue()


def table_differences(name, stored, table):
    """What differs between a stored table (its text) and one that was computed."""
    want_names, want_dtypes, *want = list(csv.reader(io.StringIO(stored)))
    names, dtypes, rows = table_texts(table)
    found = [f"{name}: columns are {names}, stored {want_names}"]
    if names != want_names:
        return found
    found = [
        f"{name}: column {column!r} has dtype {dtype}, stored {want_dtype}"
        for column, dtype, want_dtype in zip(names, dtypes, want_dtypes, strict=True)
        if dtype != want_dtype
    ]
    if len(rows) != len(want):
        return [*found, f"{name}: {len(rows)} rows, stored {len(want)}"]
    close = [dtype.startswith("float") for dtype in dtypes]
    for number, (row, want_row) in enumerate(zip(rows, want, strict=True)):
        for column, near, value, want_value in zip(
            names, close, row, want_row, strict=True
        ):
            same = value == want_value or (near and same_number(value, want_value))
            if not same:
                place = f"{name}: column {column!r}, row {number}"
                found.append(f"{place}: found {value}, stored {want_value}")
    return found


def same_number(value, stored):
    """Whether two texts are floats that agree within the tolerance."""
    try:
        found, wanted = float(value), float(stored)
    except ValueError:
        return False
    if math.isnan(found) or math.isnan(wanted):
        return math.isnan(found) and math.isnan(wanted)
    return math.isclose(found, wanted, rel_tol=RTOL, abs_tol=ATOL)


def tree_differences(found, stored, place):
    """What differs between two trees of dicts, lists and values, leaf by leaf."""
    if isinstance(found, dict) and isinstance(stored, dict):
        lines = []
        for key in [*stored, *(key for key in found if key not in stored)]:
            where = f"{place} / {key}"
            if key not in found or key not in stored:
                missing = "found" if key not in found else "stored"
                lines.append(f"{where}: not {missing}")
            else:
                lines += tree_differences(found[key], stored[key], where)
        return lines
    if found == stored:
        return []
    if isinstance(found, list) and isinstance(stored, list):
        new = [item for item in found if item not in stored]
        gone = [item for item in stored if item not in found]
        return [f"{place}: found {new}, stored {gone}, of {len(stored)} in all"]
    return [f"{place}: found {found!r}, stored {stored!r}"]


def text_differences(name, stored, found):
    """The first line in which two texts differ, trailing blanks aside."""
    wanted, lines = stored.splitlines(), stripped(found).splitlines()
    for number, (line, want) in enumerate(zip(lines, wanted, strict=False)):
        if line != want:
            return [f"{name}: line {number + 1}: found {line!r}, stored {want!r}"]
    if len(lines) != len(wanted):
        return [f"{name}: {len(lines)} lines, stored {len(wanted)}"]
    return []


def stripped(text):
    """A text without blanks at the ends of its lines."""
    return "\n".join(line.rstrip() for line in text.splitlines()).rstrip("\n") + "\n"


def assert_same(differences):
    """Fail with the first differences, if there are any."""
    shown = differences[:MOST_SHOWN]
    if len(differences) > MOST_SHOWN:
        shown.append(f".. and {len(differences) - MOST_SHOWN} more")
    assert not differences, "not as stored in tests/golden:\n" + "\n".join(shown)


def stored_text(place):
    """A stored file of the golden set, as text."""
    return (HERE / place).read_text(encoding="utf-8")


def stored_json(place):
    """A stored file of the golden set, as the tree it holds."""
    return json.loads(stored_text(place))


def write_text(place, text):
    """Store a text."""
    path = HERE / place
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")


def write_json(place, tree):
    """Store a tree."""
    write_text(place, _json(tree, "") + "\n")


def _json(tree, pad):
    """JSON with a line an entry; lists that are short stay on one line."""
    inside, line = pad + " ", json.dumps(tree, ensure_ascii=False)
    if isinstance(tree, dict) and tree:
        parts = [
            f"{inside}{json.dumps(k)}: {_json(v, inside)}" for k, v in tree.items()
        ]
        return "{\n" + ",\n".join(parts) + f"\n{pad}}}"
    if isinstance(tree, list) and len(line) > LONGEST_LIST:
        parts = [inside + _json(item, inside) for item in tree]
        return "[\n" + ",\n".join(parts) + f"\n{pad}]"
    return line
