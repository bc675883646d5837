"""What a block of `to_neo` holds, for the function that writes it and that reads it."""

from __future__ import annotations

__all__ = ["LAYOUT", "LAYOUT_VERSION", "PRESENTATIONS", "ROW"]

LAYOUT = "ann2neo_layout"
LAYOUT_VERSION = 2
"""Layout 1 had one segment per phase, without a clock of its own, and one kind of
presentations. It is still read."""

PRESENTATIONS = "presentations"
"""Name of the epoch of presentations in layout 1."""

ROW = "ann2neo_row"
"""Array annotation of epochs, where there are several kinds of presentations: the row
in the table of presentations, in which kinds alternate."""
