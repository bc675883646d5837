"""Figures and pages, which need matplotlib.

Install it with ``pip install 'ann2neo[report]'``.

Every figure is a function of a recording, of a table of units, or of a table of
networks, and returns Axes: show them with ``ax.figure``, save them with
``ax.figure.savefig(path)``, or pass axes of your own.
"""

from ann2neo.report.page import render_report, write_report
from ann2neo.report.population_figures import plot_correlations, plot_selectivity
from ann2neo.report.raster_figures import plot_observed_and_simulated, plot_raster
from ann2neo.report.rate_figures import plot_fano_factors, plot_firing_rates
from ann2neo.report.similarity_figures import (
    plot_dissimilarities,
    plot_matched_tuning,
    plot_similarity,
)
from ann2neo.report.study_figures import (
    plot_indicator_against_gap,
    plot_indicator_by_width,
    plot_place,
    plot_training,
)
from ann2neo.report.train_figures import plot_autocorrelation, plot_intervals
from ann2neo.report.trial_figures import (
    plot_psth,
    plot_serial_correlation,
    plot_trials,
    plot_variability_over_trials,
)

__all__ = [
    "plot_autocorrelation",
    "plot_correlations",
    "plot_dissimilarities",
    "plot_fano_factors",
    "plot_firing_rates",
    "plot_indicator_against_gap",
    "plot_indicator_by_width",
    "plot_intervals",
    "plot_matched_tuning",
    "plot_observed_and_simulated",
    "plot_place",
    "plot_psth",
    "plot_raster",
    "plot_selectivity",
    "plot_serial_correlation",
    "plot_similarity",
    "plot_training",
    "plot_trials",
    "plot_variability_over_trials",
    "render_report",
    "write_report",
]
