"""The figures of the page of results, each with the numbers it draws and their sum, so
that a check needs no pixels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ann2neo.study.bernoulli_law import our_law, papers_law
from ann2neo.study.comparison import rates_beside_paper
from ann2neo.study.paper_tables import compare_with_paper
from ann2neo.study.results import ROW_KEY, Results

__all__ = ["ResultFigure", "figures_of"]


@dataclass(frozen=True, eq=False)
class ResultFigure:
    """A figure of the page.

    Parameters
    ----------
    name : str
        Of its file, without suffix.
    caption : str
        What it shows.
    tables : sequence of DataFrame
        The numbers it draws.
    draw : callable
        Gives the figure.
    """

    name: str
    caption: str
    tables: Sequence[pd.DataFrame]
    draw: Callable[[], Any]

    @property
    def remark(self) -> str:
        """First line of the file: the sum of its numbers, to six digits, so that last
        digits may differ.
        """
        text = "".join(
            table.to_csv(index=False, float_format="%.6g") for table in self.tables
        )
        return f"numbers drawn: sha256 {hashlib.sha256(text.encode()).hexdigest()}"

    def svg(self) -> str:
        """Text of its file."""
        from ann2neo.report.svg import figure_text

        return figure_text(self.draw(), self.name, self.caption, self.remark)


def figures_of(
    results: Results, areas: pd.DataFrame | None, curves: pd.DataFrame | None
) -> list[ResultFigure]:
    """The figures that a folder of results gives.

    Parameters
    ----------
    results : Results
        Its rows.
    areas : pandas.DataFrame or None
        What `indicators` found over all networks; no figure without it.
    curves : pandas.DataFrame or None
        Its thinned training curves; no figure without them.

    Returns
    -------
    list of ResultFigure
        In the order of the page.
    """
    from ann2neo.report.paper_figures import (
        plot_areas,
        plot_beside_paper,
        plot_law,
        plot_switches,
    )
    from ann2neo.report.study_figures import (
        plot_indicator_against_gap,
        plot_indicator_by_width,
    )

    beside = compare_with_paper(results)
    beside = beside[
        (beside["quantity"] == "mean_firing_rate") & beside["paper"].notna()
    ]
    beside = beside[["condition", "ours", "paper", "doubt"]]
    ours, paper = our_law(results), papers_law()
    table = results.table
    table = table[
        [*ROW_KEY, "accuracy_train", "accuracy_validation", "mean_firing_rate"]
    ]
    found = [
        ResultFigure(
            "law",
            "Mean Fano factor against mean firing rate, with the line 1 - rate;"
            " crossed: doubtful cells of the paper.",
            [ours, paper],
            lambda: plot_law(ours, paper).figure,
        ),
        ResultFigure(
            "by_width",
            "Mean firing rate on test samples by width and condition (of four panels of"
            " the paper's figure 4).",
            [table],
            lambda: plot_indicator_by_width(table).figure,
        ),
        ResultFigure(
            "by_gap",
            "Mean firing rate on test samples against the generalization gap (of four"
            " panels of the paper's figure 3).",
            [table],
            lambda: plot_indicator_against_gap(table).figure,
        ),
    ]
    if len(beside):
        figure = ResultFigure(
            "beside_paper",
            "Our mean firing rates against those of the paper's table 2.",
            [beside, rates_beside_paper(results)],
            lambda: plot_beside_paper(beside).figure,
        )
        found.insert(0, figure)
    if areas is not None:
        drawn = areas[areas["held_out"] == ""]
        caption = (
            "How well statistics on test samples tell memorizing from generalizing"
            " networks."
        )
        found.append(
            ResultFigure("areas", caption, [drawn], lambda: plot_areas(drawn).figure)
        )
    if curves is not None:
        caption = (
            "Mean firing rate while labels switch from true to random (the paper's"
            " figure 5)."
        )
        found.append(
            ResultFigure("switches", caption, [curves], lambda: plot_switches(curves))
        )
    return found
