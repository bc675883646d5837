"""Options of commands that read files, of ann2neo or of experiments."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ann2neo.cli.application import words

__all__ = [
    "BinSize",
    "FollowLinks",
    "Intervals",
    "Label",
    "Start",
    "Stop",
    "Units",
    "session_options",
]

_OTHERS = "for files that ann2neo did not write"

BinSize = Annotated[
    float | None,
    typer.Option("--bin-size", help=f"Time bin in ms, {_OTHERS}.", show_default=False),
]
Start = Annotated[
    float | None,
    typer.Option(
        "--t-start", help=f"Start of the time to read, in s, {_OTHERS}. [observed]"
    ),
]
Stop = Annotated[
    float | None,
    typer.Option(
        "--t-stop", help=f"End of the time to read, in s, {_OTHERS}. [observed]"
    ),
]
Units = Annotated[
    str | None,
    typer.Option(
        "--units",
        help=f"Units to read, by row or by name, separated by commas, {_OTHERS}. [all]",
    ),
]
Intervals = Annotated[
    str | None,
    typer.Option(
        "--intervals",
        help=(
            "Tables of intervals to read as presentations, separated by commas,"
            f" {_OTHERS}; info lists them. [trials]"
        ),
    ),
]
Label = Annotated[
    str | None,
    typer.Option(
        "--label",
        help=f"Column of the intervals that says what was shown, {_OTHERS}.",
        show_default=False,
    ),
]
FollowLinks = Annotated[
    bool,
    typer.Option(
        "--follow-links", help="Follow links to other NWB files of the same folder."
    ),
]


def session_options(
    bin_size: float | None,
    t_start: float | None,
    t_stop: float | None,
    units: str | None,
    intervals: str | None,
    label: str | None,
    follow_links: bool,
) -> dict[str, Any]:
    """Return the arguments of `read_nwb` that stand for options of a command."""
    import quantities as pq

    chosen: list[Any] | None = words(units)
    if chosen is not None and all(word.isdecimal() for word in chosen):
        chosen = [int(word) for word in chosen]
    options = {
        "bin_size": None if bin_size is None else bin_size * pq.ms,
        "t_start": None if t_start is None else t_start * pq.s,
        "t_stop": None if t_stop is None else t_stop * pq.s,
        "units": chosen,
        "intervals": words(intervals),
        "label": label,
        "follow_links": follow_links or None,
    }
    return {name: value for name, value in options.items() if value is not None}
