"""The page: one self-contained HTML file about one or more recordings."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ann2neo._files import complete_text, output_path
from ann2neo.analysis.explain import column_descriptions
from ann2neo.analysis.networks.compare import SamenessWarning, compare
from ann2neo.analysis.networks.summarize import summarize
from ann2neo.analysis.table_of_statistics import STATISTICS
from ann2neo.analysis.units.analyze import analyze
from ann2neo.errors import InputTypeError, InputValueError
from ann2neo.recording import Recording, checked_recording
from ann2neo.recording.segments import SegmentedPhase, segmented_phases
from ann2neo.report.population_figures import plot_correlations, plot_selectivity
from ann2neo.report.raster_figures import plot_raster
from ann2neo.report.rate_figures import plot_fano_factors, plot_firing_rates
from ann2neo.report.rendering import PageFigure, PageTable, page_table, rendered
from ann2neo.report.study_figures import plot_place
from ann2neo.report.style import Axes, grouped
from ann2neo.report.svg import inline_svg
from ann2neo.report.train_figures import plot_autocorrelation, plot_intervals
from ann2neo.report.words import phase_words, recording_facts, test_rows

__all__ = ["render_report", "write_report"]

_MAX_UNIT_ROWS = 1_000
_FIRST_BINS = 200
_MAX_COMPARED = 4
_NETWORK_COLUMNS = (
    "recording",
    "phase",
    "order",
    "n_units",
    "n_time_bins",
    "mean_firing_rate",
    "cv_firing_rate_percent",
    "silent_share",
    "saturated_share",
    "mean_fano_factor",
    "mean_fano_factor_expected",
    "mean_dispersion",
)
_UNIT_COLUMNS = (
    "unit",
    "layer",
    "unit_in_layer",
    "phase",
    "status",
    "n_spikes",
    "firing_rate",
    "fano_factor_unbiased",
    "fano_factor_unbiased_expected",
    "dispersion",
    "dispersion_pvalue",
    "cv_isi",
    "cv_isi_expected",
    "ljung_box_pvalue",
    "trend_pvalue",
)


def write_report(
    recordings: Mapping[str, Recording],
    path: str | os.PathLike[str],
    *,
    title: str | None = None,
    study: pd.DataFrame | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a page about one or more recordings.

    Parameters
    ----------
    recordings : mapping of str to Recording
        The recordings by the names that the page gives them.
    path : path
        The HTML file to write. It appears under its name when it is complete.
    title : str, optional
        Heading of the page.
    study : pandas.DataFrame, optional
        Reference networks, one row per network and split, among which each recording's
        place is shown, without a verdict.
    overwrite : bool, default False
        Whether an existing file may be replaced.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputTypeError, InputValueError
        If there is no recording, or one has nothing to draw.
    OutputExistsError, OutputError
        If the file exists or cannot be written.

    Examples
    --------
    >>> import numpy as np, tempfile
    >>> recording = Recording.from_activations(
    ...     np.random.default_rng(0).normal(size=(200, 8)), order="random"
    ... )
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_report({"network": recording}, f"{folder}/report.html").name
    'report.html'
    """
    _checked(recordings)
    file = output_path(path, "", overwrite=overwrite)
    page = render_report(recordings, title=title, study=study)
    complete_text(file, page, overwrite=overwrite)
    return file


def render_report(
    recordings: Mapping[str, Recording],
    *,
    title: str | None = None,
    study: pd.DataFrame | None = None,
) -> str:
    """Return the page of `write_report` as text.

    Examples
    --------
    >>> import numpy as np
    >>> recording = Recording.from_activations(
    ...     np.random.default_rng(0).normal(size=(200, 8)), order="random"
    ... )
    >>> page = render_report({"network": recording}, title="Eight units")
    >>> "<title>Eight units</title>" in page, "<svg" in page
    (True, True)
    """
    _checked(recordings)
    chapters, networks, unit_tables = [], [], {}
    for number, (name, recording) in enumerate(recordings.items(), start=1):
        units = analyze(recording)
        network = summarize(units)
        unit_tables[name] = units
        networks.append(network.assign(recording=name))
        chapters.append(_chapter(name, f"r{number}", recording, units, network, study))
    heading, overview = f"Recording {next(iter(recordings))}", None
    if len(recordings) > 1:
        heading = f"{len(recordings)} recordings"
        overview = _overview(recordings, unit_tables, pd.concat(networks))
    all_columns = pd.concat(list(unit_tables.values())).head(0)
    descriptions = column_descriptions(all_columns)
    return rendered(
        title or heading,
        chapters,
        overview=overview,
        glossary=[
            (name, descriptions[name]) for name in _UNIT_COLUMNS if name in descriptions
        ],
    )


def _checked(recordings: Mapping[str, Recording]) -> None:
    if not isinstance(recordings, Mapping):
        raise InputTypeError(
            "recordings must be a mapping of names to recordings, got"
            f" {type(recordings).__name__}"
        )
    if not recordings:
        raise InputValueError("a report needs at least one recording, got none")
    for name, recording in recordings.items():
        checked_recording(recording, f"the report of {name!r}")
        if not recording.n_units or not len(recording.phases):
            raise InputValueError(
                f"{name!r} has {recording.n_units} units and {len(recording.phases)}"
                " phases, so there is nothing to report; record or select at least one"
                " of each"
            )


def _chapter(
    name: str,
    key: str,
    recording: Recording,
    units: pd.DataFrame,
    network: pd.DataFrame,
    study: pd.DataFrame | None,
) -> dict[str, Any]:
    parts = []
    for number, phase in enumerate(segmented_phases(recording), start=1):
        of_phase = units[units["phase"] == phase.phase]
        first_row = network[network["phase"] == phase.phase].iloc[0]
        row = {str(name): value for name, value in first_row.items()}
        tests = pd.DataFrame(test_rows(row, phase.order))
        figures = _phase_figures(f"{key}p{number}", recording, phase, of_phase)
        if study is not None:
            figures.append(_place(f"{key}p{number}-place", phase, row, study))
        parts.append(
            {
                "title": f"Phase {phase.phase}",
                "phase": phase.phase,
                "words": phase_words(recording, phase, of_phase, row),
                "tests": page_table(tests, {}) if len(tests) else None,
                "figures": figures,
            }
        )
    return {
        "name": name,
        "facts": recording_facts(recording),
        "parts": parts,
        "tables": [("Units", _unit_table(units))],
        "provenance": (
            sorted(recording.provenance.items())
            or [("nothing", "no provenance is on record")]
        ),
    }


def _phase_figures(
    key: str, recording: Recording, phase: SegmentedPhase, units: pd.DataFrame
) -> list[PageFigure]:
    """Draw every figure that the phase has the data for."""
    name, n_units, n_bins = phase.phase, grouped(len(units)), grouped(phase.n_time_bins)
    spikes = units["n_spikes"].to_numpy()
    n_varying = int(((spikes > 0) & (spikes < phase.n_time_bins)).sum())
    n_fano = int(units["fano_factor_unbiased"].notna().sum())
    n_labels = _n_labels(recording, name)
    figures = []

    def add(kind: str, heading: str, ax: Axes, caption: str) -> None:
        alt = f"{heading}, phase {name}. {caption}"
        svg = inline_svg(ax.figure, f"{key}-{kind}", alt)
        figures.append(PageFigure(f"{key}-{kind}", heading, caption, svg))

    # A stored order describes the data set, so it is drawn as it is.
    sort, order = "time", "in time"
    if n_labels > 1 and phase.order != "stored":
        sort, order = "label", "stimuli grouped by label"
    add(
        "raster",
        "Raster",
        plot_raster(recording, phase=name, sort=sort),
        f"All {n_units} units over {n_bins} bins, {order}.",
    )
    if phase.n_time_bins > 2 * _FIRST_BINS:
        first = _first_bins(recording, phase)
        add(
            "first",
            "The first stretch",
            plot_raster(first, phase=name),
            f"The first {grouped(first.n_time_bins)} bins, as they were recorded.",
        )
    rate = units["firing_rate"]
    add(
        "rates",
        "Firing rates",
        plot_firing_rates(units),
        f"{n_units} units: median {rate.median():.3f}, {rate.min():.3f} to"
        f" {rate.max():.3f} spikes per bin.",
    )
    if n_fano:
        add(
            "fano",
            "Fano factor against rate",
            plot_fano_factors(units),
            f"{grouped(n_fano)} units; dashed, what the rate alone gives when bins come"
            " in random order.",
        )
    if (spikes >= 2).any():
        add(
            "intervals",
            "Inter-spike intervals",
            plot_intervals(recording, phase=name),
            "All units pooled, with the distribution that their rates alone give.",
        )
    lags = min(20, phase.n_time_bins // 5)
    if n_varying and lags:
        add(
            "autocorrelation",
            "Autocorrelation",
            plot_autocorrelation(recording, lags=lags, phase=name),
            f"Median and middle 90 % of {grouped(n_varying)} units, up to {lags} bins"
            " apart.",
        )
    if n_varying > 1:
        add(
            "correlations",
            "Correlations",
            plot_correlations(recording, phase=name),
            f"Between {grouped(n_varying)} units that vary: blue for together, orange"
            " for apart.",
        )
    if n_labels > 1:
        add(
            "selectivity",
            "What units fire for",
            plot_selectivity(recording, phase=name),
            f"Firing rate of every unit for each of {n_labels} labels.",
        )
    return figures


def _place(
    key: str, phase: SegmentedPhase, network: Mapping[str, Any], study: pd.DataFrame
) -> PageFigure:
    splits = list(pd.unique(study["split"]))
    split = phase.phase if phase.phase in splits else splits[-1]
    ax = plot_place(
        float(network["mean_firing_rate"]),
        study,
        split=split,
        name=f"phase {phase.phase}"[:30],
    )
    caption = (
        f"Mean firing rate beside that of the reference networks on their {split}"
        " samples. Lying in a range is no evidence of having been trained that way:"
        " other architectures, data and layers have other ranges."
    )
    heading = "Among the reference networks"
    return PageFigure(
        key, heading, caption, inline_svg(ax.figure, key, f"{heading}. {caption}")
    )


def _first_bins(recording: Recording, phase: SegmentedPhase) -> Recording:
    part = recording.select(phase=phase.phase)
    presentations = part.presentations
    first = presentations[presentations["stop_bin"] <= _FIRST_BINS]
    n_covered = (first["stop_bin"] - first["start_bin"]).sum()
    # Presentations without gaps between them keep their labels.
    if len(first) and n_covered == first["stop_bin"].max():
        return part.select(presentations=first.index.to_numpy())
    return Recording.from_raster(part.raster.slice(0, _FIRST_BINS), phase=phase.phase)


def _n_labels(recording: Recording, phase: str) -> int:
    table = recording.presentations
    if "label" not in table:
        return 0
    return int(table.loc[table["phase"] == phase, "label"].nunique())


def _overview(
    recordings: Mapping[str, Recording],
    unit_tables: Mapping[str, pd.DataFrame],
    networks: pd.DataFrame,
) -> dict[str, Any]:
    tables = []
    for name, units in unit_tables.items():
        several = len(set(units["phase"])) > 1
        group = f"{name}, " + units["phase"] if several else name
        tables.append(units.assign(group=group))
    together = pd.concat(tables, ignore_index=True)
    ax = plot_firing_rates(together, by="group")
    n_groups = together["group"].nunique()
    caption = f"One raincloud per recording and phase, {n_groups} in all."
    alt = f"Firing rates of all recordings. {caption}"
    svg = inline_svg(ax.figure, "overview-rates", alt)
    columns = [column for column in _NETWORK_COLUMNS if column in networks]
    return {
        "networks": page_table(networks[columns], {}),
        "figures": [
            PageFigure("overview-rates", "Firing rates side by side", caption, svg)
        ],
        "comparisons": _comparisons(recordings),
    }


def _comparisons(recordings: Mapping[str, Recording]) -> PageTable | None:
    """Compare every pair; None for many recordings, or without a shared phase."""
    if len(recordings) > _MAX_COMPARED:
        return None
    with warnings.catch_warnings():
        # The note below the table says what the warning would.
        warnings.simplefilter("ignore", SamenessWarning)
        try:
            table = compare(*recordings.values(), names=list(recordings))
        except InputValueError:
            return None
    columns = [
        "first",
        "second",
        "first_phase",
        "second_phase",
        "test",
        "effect_is",
        "effect",
        "pvalue",
        "reason",
    ]
    note = (
        "A large p-value of the Kolmogorov-Smirnov test does not show that two networks"
        " are the same; the equivalence test can. Units of one network depend on each"
        " other: to compare ways of training, compare several networks."
    )
    return page_table(table[columns], {}, note)


def _unit_table(units: pd.DataFrame) -> PageTable:
    columns = [column for column in _UNIT_COLUMNS if column in units]
    listed, note = units, ""
    if len(units) > _MAX_UNIT_ROWS:
        rows = np.linspace(0, len(units) - 1, _MAX_UNIT_ROWS).astype(np.int64)
        listed = units.iloc[rows]
        note = f"{grouped(len(listed))} rows, evenly spaced, of {grouped(len(units))}. "
    note += "All columns of all units: ann2neo analyze FILE.nwb."
    reasons = {
        column.name: listed[entry.reason_column.name].to_list()
        for entry in STATISTICS
        for column in entry.columns
    }
    return page_table(listed[columns], column_descriptions(units), note, reasons)
