"""The page of a study: its networks in figures and tables."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from ann2neo._files import complete_text, output_path
from ann2neo.analysis.explain import column_descriptions
from ann2neo.report.rate_figures import checked_table
from ann2neo.report.rendering import PageFigure, page_table, rendered
from ann2neo.report.study_figures import (
    indicator_label,
    plot_indicator_against_gap,
    plot_indicator_by_width,
)
from ann2neo.report.style import grouped
from ann2neo.report.svg import inline_svg

__all__ = ["write_study_report"]

_INDICATORS = (
    "mean_firing_rate",
    "cv_firing_rate_percent",
    "mean_fano_factor",
    "cv_fano_factor_percent",
)
_REPLICATES = (
    "Every point is one trained network, the replicate of every comparison; units of"
    " one network depend on each other."
)
_RANDOM_ORDER = (
    "Samples were shown in random order, so a Fano factor restates the firing rate:"
    " read the figures of the Fano factor as those of the rate, mirrored."
)
_COLUMNS = (
    "dataset",
    "network",
    "width",
    "condition",
    "seed",
    "split",
    "n_epochs",
    "stopped_by",
    "accuracy_train",
    "accuracy_validation",
    "accuracy_test",
    "mean_firing_rate",
    "cv_firing_rate_percent",
    "silent_share",
    "mean_fano_factor",
    "mean_fano_factor_expected",
    "mean_dispersion",
)


def write_study_report(
    results: pd.DataFrame,
    path: str | os.PathLike[str],
    *,
    tables: Mapping[str, pd.DataFrame] | None = None,
    title: str = "A study of networks",
    overwrite: bool = False,
) -> Path:
    """Write a page about a study: the paper's figures 3 and 4 drawn from its rows, and
    its tables.

    Parameters
    ----------
    results : pandas.DataFrame
        One row per network and split: ``dataset, network, width, condition, seed,
        split``, accuracies, and the columns of `summarize`.
    path : path
        The HTML file to write.
    tables : mapping of str to pandas.DataFrame, optional
        Further tables under their headings, such as the hypotheses.
    title : str, default "A study of networks"
        Heading of the page.
    overwrite : bool, default False
        Whether an existing file may be replaced.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputTypeError, InputValueError
        If `results` is not such a table.
    OutputExistsError, OutputError
        If the file exists or cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> rows = pd.DataFrame(
    ...     {
    ...         "dataset": "digits",
    ...         "network": "MLP",
    ...         "width": [64, 128],
    ...         "condition": "generalizing",
    ...         "seed": 0,
    ...         "split": "test",
    ...         "order": "random",
    ...         "accuracy_train": 1.0,
    ...         "accuracy_validation": 0.9,
    ...         "mean_firing_rate": [0.5, 0.4],
    ...         "mean_fano_factor": 0.5,
    ...     }
    ... )
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_study_report(rows, f"{folder}/study.html").name
    'study.html'
    """
    needed = [
        "dataset",
        "network",
        "width",
        "condition",
        "seed",
        "split",
        "accuracy_train",
        "accuracy_validation",
    ]
    checked_table(results, [*needed, "mean_firing_rate"], "results")
    file = output_path(path, "", overwrite=overwrite)
    networks = results[
        ["dataset", "network", "width", "condition", "seed"]
    ].drop_duplicates()
    facts = [
        ("Trained networks", grouped(len(networks))),
        *[
            (heading, ", ".join(map(str, pd.unique(networks[column]))))
            for heading, column in (
                ("Data sets", "dataset"),
                ("Networks", "network"),
                ("Widths", "width"),
                ("Conditions", "condition"),
                ("Seeds", "seed"),
            )
        ],
    ]
    words = [_REPLICATES]
    if "order" in results and (results["order"] == "random").all():
        words.append(_RANDOM_ORDER)
    parts = [
        {
            "title": f"Recorded on {split} samples",
            "phase": split,
            "words": words,
            "tests": None,
            "figures": _figures(results, str(split)),
        }
        for split in pd.unique(results["split"])
    ]
    shown = results[[column for column in _COLUMNS if column in results]]
    chapter = {
        "name": "The study",
        "facts": facts,
        "parts": parts,
        "tables": [
            *[
                (heading, page_table(table, {}))
                for heading, table in (tables or {}).items()
            ],
            ("Rows", page_table(shown, {})),
        ],
        "provenance": [],
    }
    glossary = [
        (name, words)
        for name, words in column_descriptions(shown.head(0)).items()
        if not words.endswith("as the recording has it.")
    ]
    page = rendered(title, [chapter], glossary=glossary)
    complete_text(file, page, overwrite=overwrite)
    return file


def _figures(results: pd.DataFrame, split: str) -> list[PageFigure]:
    figures = []
    for indicator in _INDICATORS:
        if (
            indicator not in results
            or not results.loc[results["split"] == split, indicator].notna().any()
        ):
            continue
        name = indicator_label(indicator).split(" (")[0]
        kinds: list[tuple[str, Any]] = [
            ("against the generalization gap", plot_indicator_against_gap),
            ("by width", plot_indicator_by_width),
        ]
        for kind, draw in kinds:
            heading = f"{name} {kind}"
            caption = f"Networks recorded on {split} samples."
            key = f"{split}-{indicator}-{kind.split()[-1]}"
            svg = inline_svg(
                draw(results, indicator, split=split).figure,
                key,
                f"{heading}. {caption}",
            )
            figures.append(PageFigure(key, heading, caption, svg))
    return figures
