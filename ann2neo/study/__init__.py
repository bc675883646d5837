"""The rerun of the paper: networks, conditions, runs, and tables of what came out.

It uses the public names of ann2neo only, as any other study could.
"""

from ann2neo.study.ablation import ablation_area, ablation_curves
from ann2neo.study.bernoulli_law import bernoulli_law
from ann2neo.study.comparison import (
    TABLES,
    agreement,
    compare_with_paper,
    rate_tests,
    split_tests,
    table_markdown,
)
from ann2neo.study.dynamics import rate_changes
from ann2neo.study.hypotheses import (
    hypotheses,
    hypotheses_markdown,
    paired_effect,
    without_short,
)
from ann2neo.study.indicators import (
    indicators,
    indicators_markdown,
    paired_differences,
)
from ann2neo.study.inventory import (
    inventory,
    inventory_markdown,
    missing_cells,
    missing_markdown,
)
from ann2neo.study.memorization import memorization, memorization_note
from ann2neo.study.populations import matched_statistics
from ann2neo.study.published import doubtful_cells, paper_table
from ann2neo.study.results import load_curves, load_results, load_switches
from ann2neo.study.rival_runs import load_rivals, run_rivals
from ann2neo.study.rivals import RIVALS, rivals, rivals_markdown

__all__ = [
    "RIVALS",
    "TABLES",
    "ablation_area",
    "ablation_curves",
    "agreement",
    "bernoulli_law",
    "compare_with_paper",
    "doubtful_cells",
    "hypotheses",
    "hypotheses_markdown",
    "indicators",
    "indicators_markdown",
    "inventory",
    "inventory_markdown",
    "load_curves",
    "load_results",
    "load_rivals",
    "load_switches",
    "matched_statistics",
    "memorization",
    "memorization_note",
    "missing_cells",
    "missing_markdown",
    "paired_differences",
    "paired_effect",
    "paper_table",
    "rate_changes",
    "rate_tests",
    "rivals",
    "rivals_markdown",
    "run_rivals",
    "split_tests",
    "table_markdown",
    "without_short",
]
