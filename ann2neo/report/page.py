"""The page: one self-contained HTML file about one or more recordings."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import quantities as pq

from ann2neo._files import complete_text, output_path
from ann2neo.analysis.explain import column_descriptions
from ann2neo.analysis.networks.compare import SamenessWarning, compare
from ann2neo.analysis.networks.summarize import summarize
from ann2neo.analysis.p_values import benjamini_hochberg
from ann2neo.analysis.populations.labels import labels_of
from ann2neo.analysis.table_of_statistics import STATISTICS
from ann2neo.analysis.trials.analyze_trials import analyze_trials
from ann2neo.analysis.units.analyze import analyze
from ann2neo.errors import InputTypeError, InputValueError
from ann2neo.recording import Recording, checked_recording
from ann2neo.recording.segments import SegmentedPhase, segmented_phases
from ann2neo.report._recorded import (
    is_network,
    labelled_kind,
    names_of_units,
    presentations_in,
    segment_noun,
)
from ann2neo.report._sample import Sample, sample_of
from ann2neo.report.population_figures import plot_correlations, plot_selectivity
from ann2neo.report.raster_figures import plot_raster
from ann2neo.report.rate_figures import plot_fano_factors, plot_firing_rates
from ann2neo.report.rendering import PageFigure, PageTable, page_table, rendered
from ann2neo.report.study_figures import plot_place
from ann2neo.report.style import Axes, counted, grouped
from ann2neo.report.svg import inline_svg
from ann2neo.report.train_figures import plot_autocorrelation, plot_intervals
from ann2neo.report.trial_figures import (
    plot_psth,
    plot_serial_correlation,
    plot_trials,
    plot_variability_over_trials,
)
from ann2neo.report.words import duration, phase_words, recording_facts, test_rows

__all__ = ["render_report", "write_report"]

_MAX_UNIT_ROWS = 1_000
_FIRST_BINS = 200
_STRETCH_SECONDS = 5.0
_MAX_COMPARED = 4
_NETWORK_COLUMNS = (
    "recording",
    "phase",
    "order",
    "n_units",
    "n_time_bins",
    "mean_firing_rate",
    "mean_firing_rate_hz",
    "cv_firing_rate_percent",
    "silent_share",
    "saturated_share",
    "mean_fano_factor",
    "mean_fano_factor_expected",
    "mean_dispersion",
)
_UNIT_COLUMNS = (
    "unit",
    "name",
    "layer",
    "unit_in_layer",
    "phase",
    "status",
    "n_spikes",
    "firing_rate_hz",
    "firing_rate",
    "fano_factor_unbiased",
    "fano_factor_unbiased_expected",
    "dispersion",
    "dispersion_pvalue",
    "cv_isi",
    "cv_isi_expected",
    "ljung_box_pvalue",
    "kpss_pvalue",
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
        Reference networks, one row per network and split, among which the place of each
        recording of a network is shown, without a verdict.
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
    samples = {name: sample_of(whole) for name, whole in recordings.items()}
    recordings = {name: sample.recording for name, sample in samples.items()}
    chapters, networks, unit_tables = [], [], {}
    for number, (name, sample) in enumerate(samples.items(), start=1):
        recording = sample.recording
        units = analyze(recording)
        network = summarize(units)
        unit_tables[name] = units
        if not is_network(recording):
            # Phases in the same order as in the table of networks.
            in_hz = units.groupby("phase", sort=False)["firing_rate_hz"].mean()
            network = network.assign(mean_firing_rate_hz=in_hz.to_numpy())
        networks.append(network.assign(recording=name))
        chapters.append(_chapter(name, f"r{number}", sample, units, network, study))
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
    sample: Sample,
    units: pd.DataFrame,
    network: pd.DataFrame,
    study: pd.DataFrame | None,
) -> dict[str, Any]:
    recording, parts = sample.recording, []
    for number, phase in enumerate(segmented_phases(recording), start=1):
        of_phase = units[units["phase"] == phase.phase]
        first_row = network[network["phase"] == phase.phase].iloc[0]
        row = {str(name): value for name, value in first_row.items()}
        tests = pd.DataFrame(test_rows(recording, phase, row))
        figures = _phase_figures(f"{key}p{number}", recording, phase, of_phase)
        if study is not None and is_network(recording):
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
    facts = recording_facts(recording)
    if sample.note:
        facts = [("Sample", sample.note), *facts]
    return {
        "name": name,
        "facts": facts,
        "parts": parts,
        "tables": [("Units", _unit_table(sample, units))],
        "provenance": (
            sorted(recording.provenance.items())
            or [("nothing", "no provenance is on record")]
        ),
    }


class _Figures:
    """The figures of one phase, as they are drawn."""

    def __init__(self, key: str, phase: str) -> None:
        self.drawn: list[PageFigure] = []
        self._key, self._phase = key, phase

    def add(self, name: str, heading: str, ax: Axes, caption: str) -> None:
        """Add a figure with its caption, which is also read to those who cannot see."""
        key, alt = f"{self._key}-{name}", f"{heading}, phase {self._phase}. {caption}"
        svg = inline_svg(ax.figure, key, alt)
        self.drawn.append(PageFigure(key, heading, caption, svg))


def _phase_figures(
    key: str, recording: Recording, phase: SegmentedPhase, units: pd.DataFrame
) -> list[PageFigure]:
    """Draw every figure that the phase has the data for."""
    name = phase.phase
    kind = labelled_kind(recording, phase)
    n_labels = 0
    if kind is not None:
        n_labels = len(labels_of(recording, phase, kind).names)
    figures = _Figures(key, name)
    if is_network(recording):
        chance, of_kind = "bins come in random order", ""
        column, unit, digits = "firing_rate", "spikes per bin", ".3f"
        _add_rasters(figures, recording, phase, n_labels > 1)
    else:
        chance, of_kind = "bins are independent", f" of the kind {kind!r}"
        column, unit, digits = "firing_rate_hz", "Hz", ".3g"
        _add_rasters_of_neurons(figures, recording, phase, kind)
    rate = units[column]
    figures.add(
        "rates",
        "Firing rates",
        plot_firing_rates(units, column=column),
        f"{counted(len(units), 'unit')}: median {rate.median():{digits}},"
        f" {rate.min():{digits}} to {rate.max():{digits}} {unit}.",
    )
    n_fano = int(units["fano_factor_unbiased"].notna().sum())
    if n_fano:
        figures.add(
            "fano",
            "Fano factor against rate",
            plot_fano_factors(units, column=column),
            f"{counted(n_fano, 'unit')}; dashed, what the rate alone gives when"
            f" {chance}.",
        )
    if _has_intervals(recording, phase):
        figures.add(
            "intervals",
            "Inter-spike intervals",
            plot_intervals(recording, phase=name),
            "All units pooled, with the distribution that their rates alone give.",
        )
    _add_correlations(figures, recording, phase, units["n_spikes"].to_numpy())
    _add_trials(figures, recording, phase, kind)
    if n_labels > 1:
        figures.add(
            "selectivity",
            "What units fire for",
            plot_selectivity(recording, phase=name, kind=kind),
            f"Firing rate of every unit for each of {n_labels} labels{of_kind}.",
        )
    return figures.drawn


def _add_rasters(
    figures: _Figures, recording: Recording, phase: SegmentedPhase, has_labels: bool
) -> None:
    """Add rasters of a network: by label unless in stored order, and the first bins."""
    # A stored order describes the data set, so it is drawn as it is.
    sort, order = "time", "in time"
    if has_labels and phase.order != "stored":
        sort, order = "label", "stimuli grouped by label"
    units = counted(recording.n_units, "unit")
    bins = counted(phase.n_time_bins, "bin")
    figures.add(
        "raster",
        "Raster",
        plot_raster(recording, phase=phase.phase, sort=sort),
        f"All {units} over {bins}, {order}.",
    )
    if phase.n_time_bins > 2 * _FIRST_BINS:
        first = _first_bins(recording, phase)
        figures.add(
            "first",
            "The first stretch",
            plot_raster(first, phase=phase.phase),
            f"The first {grouped(first.n_time_bins)} bins, as they were recorded.",
        )


def _add_rasters_of_neurons(
    figures: _Figures, recording: Recording, phase: SegmentedPhase, kind: str | None
) -> None:
    """Add rasters of neurons: all in time, and a stretch where something happens."""
    period = recording.raster.sampling_period_seconds
    length = duration(phase.n_time_bins * period)
    if phase.n_segments > 1:
        length += f" in {grouped(phase.n_segments)} {segment_noun(recording, phase)}"
    figures.add(
        "raster",
        "Raster",
        plot_raster(recording, phase=phase.phase, kind=kind),
        f"All {counted(recording.n_units, 'unit')} over {length}, in time.",
    )
    bounds = _typical_stretch(recording, phase)
    if bounds is None:
        return
    part = _stretch(recording, phase, kind, *bounds)
    spikes = grouped(int(part.raster.spike_counts().sum()))
    figures.add(
        "stretch",
        "A typical stretch",
        plot_raster(part, phase=phase.phase, kind=kind),
        f"{_place_in_time(recording, phase, *bounds)}: {spikes} spikes. Half of the"
        f" stretches of {duration(_STRETCH_SECONDS)} that have spikes have more, half"
        " fewer.",
    )


def _add_correlations(
    figures: _Figures,
    recording: Recording,
    phase: SegmentedPhase,
    n_spikes: npt.NDArray[np.int64],
) -> None:
    """Add the autocorrelation and the correlations of units that vary."""
    n_varying = int(((n_spikes > 0) & (n_spikes < phase.n_time_bins)).sum())
    lags = min(20, phase.n_time_bins // 5, int(phase.lengths.max()) - 1)
    bin_length = duration(recording.raster.sampling_period_seconds)
    reach, what = duration(lags * recording.raster.sampling_period_seconds), ""
    what = f" of spikes in the same bin of {bin_length},"
    if is_network(recording):
        reach, what = f"{lags} bins", ""
    if n_varying and lags:
        figures.add(
            "autocorrelation",
            "Autocorrelation",
            plot_autocorrelation(recording, lags=lags, phase=phase.phase),
            f"Median and middle 90 % of {counted(n_varying, 'unit')}, up to {reach}"
            " apart.",
        )
    if n_varying > 1:
        caption = f"{what} between {grouped(n_varying)} units that vary: blue for"
        caption += " together, orange for apart."
        figures.add(
            "correlations",
            "Correlations",
            plot_correlations(recording, phase=phase.phase),
            f"Correlations{caption}" if what else caption.strip().capitalize(),
        )


def _add_trials(
    figures: _Figures, recording: Recording, phase: SegmentedPhase, kind: str | None
) -> None:
    """Add figures of trials, where each segment of the phase holds one presentation."""
    if phase.n_segments < 2 or segment_noun(recording, phase, kind) != "trials":
        return
    whole = recording.select(phase=phase.phase)
    table = analyze_trials(whole, kind=kind, progress=False)
    beyond = table["time_locking_statistic"] / table["time_locking_expected"]
    # The first unit if no trial of any unit varies.
    unit = int(np.argmax(beyond.fillna(0.0).to_numpy()))
    figures.add(
        "trials",
        "One unit, trial by trial",
        plot_trials(whole, unit, kind=kind),
        "The unit whose rate follows the steps of a trial most:"
        f" {counted(int(table['n_trials'].iloc[0]), 'trial')}.",
    )
    by, lines = None, "the mean over all trials"
    if kind is not None:
        by, lines = "label", "one line per label"
    figures.add(
        "psth",
        "Peristimulus time histogram",
        plot_psth(whole, unit, by=by, kind=kind),
        f"The same unit: {lines}, with one standard error."
        f" {_share_rejecting(table, 'time_locking')} follow the steps of a trial (after"
        " Benjamini-Hochberg at 5 %).",
    )
    if table["serial_correlation"].notna().any():
        figures.add(
            "memory",
            "Memory inside trials",
            plot_serial_correlation(whole, kind=kind),
            "Correlation of the steps of a trial beyond the PSTH, beside what is left"
            " if trials change places at every step."
            f" {_share_rejecting(table, 'serial_correlation')} remember more, up to"
            f" {counted(int(table['lags'].iloc[0]), 'step')} apart.",
        )
    fano = table["fano_over_trials_unbiased"]
    if fano.notna().any():
        figures.add(
            "variability",
            "Variability over trials",
            plot_variability_over_trials(table),
            f"Fano factor of the counts of trials, median {fano.median():.3g}. A"
            " network that draws nothing answers one stimulus always alike.",
        )


def _share_rejecting(table: pd.DataFrame, statistic: str) -> str:
    """Say how many units of those tested reject, after Benjamini-Hochberg."""
    adjusted = benjamini_hochberg(table[f"{statistic}_pvalue"])
    n_tested = int(np.isfinite(adjusted).sum())
    return f"{grouped(int((adjusted <= 0.05).sum()))} of {counted(n_tested, 'unit')}"


def _has_intervals(recording: Recording, phase: SegmentedPhase) -> bool:
    """Tell whether a unit has two spikes in one segment."""
    segmented = phase.raster(recording.raster)
    return any(
        bool((part.segment_counts() >= 2).any())
        for _, part in segmented.unit_blocks(1 << 20)
    )


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


def _typical_stretch(
    recording: Recording, phase: SegmentedPhase
) -> tuple[int, int] | None:
    """Return the bounds of a few seconds with a typical number of spikes.

    Bins of the recording, half-open; whole segments where these are shorter than that.
    None if the phase is short, or has no spike.
    """
    n_bins = round(_STRETCH_SECONDS / recording.raster.sampling_period_seconds)
    if n_bins < 2 or phase.n_time_bins < 2 * n_bins:
        return None
    counts = phase.raster(recording.raster).raster.window_counts(n_bins).sum(axis=0)
    active = np.flatnonzero(counts)
    if not len(active):
        return None
    # The lower of two in the middle, so that it is one that there is.
    by_count = active[np.argsort(counts[active], kind="stable")]
    first = int(by_count[(len(by_count) - 1) // 2]) * n_bins
    ends = np.array([first, first + n_bins - 1])
    edges = np.concatenate([[0], np.cumsum(phase.lengths)])
    segment = np.searchsorted(edges, ends, side="right") - 1
    bounds = phase.starts[segment] + ends - edges[segment] + [0, 1]
    if phase.lengths.max() <= n_bins:
        bounds = np.array([phase.starts[segment[0]], phase.stops[segment[1]]])
    return int(bounds[0]), int(bounds[1])


def _stretch(
    recording: Recording,
    phase: SegmentedPhase,
    kind: str | None,
    first: int,
    stop: int,
) -> Recording:
    """Return the bins of a stretch; labels of presentations cut off by it stay."""
    times = [recording.raster.bin_edge_seconds(edge) * pq.s for edge in (first, stop)]
    part = recording.select(t_start=times[0], t_stop=times[1])
    if kind is None:
        return part
    table = presentations_in(recording, phase, kind)
    table = table[(table["stop_bin"] > first) & (table["start_bin"] < stop)]
    bounds = table[["start_bin", "stop_bin"]].clip(first, stop) - first
    return part.with_presentations(table.assign(**bounds), kind)


def _place_in_time(
    recording: Recording, phase: SegmentedPhase, first: int, stop: int
) -> str:
    """Say where a stretch lies: on the clock of the segments, or by their numbers."""
    segments = recording.segments
    segments = segments[segments["phase"] == phase.phase]
    period = recording.raster.sampling_period_seconds
    place = np.searchsorted(phase.starts, [first, stop - 1], side="right") - 1
    start, last = (
        segments["t_start"].iloc[number] + (time_bin - phase.starts[number]) * period
        for number, time_bin in zip(place, (first, stop), strict=True)
    )
    runs_on = start + (stop - first) * period <= last + period / 2
    if not runs_on:
        noun = segment_noun(recording, phase).capitalize()
        return f"{noun} {place[0] + 1} to {place[1] + 1}"
    return f"From {start:.6g} to {last:.6g} s"


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
    # Per bin is what a network and neurons have in common.
    all_neurons = not any(map(is_network, recordings.values()))
    column = "firing_rate_hz" if all_neurons else "firing_rate"
    ax = plot_firing_rates(together, by="group", column=column)
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


def _unit_table(sample: Sample, units: pd.DataFrame) -> PageTable:
    recording, left_out = sample.recording, {"name", "firing_rate_hz"}
    if not is_network(recording):
        names = np.array(names_of_units(recording), object)
        units = units.assign(name=names[units["unit"].to_numpy()])
        left_out = {"layer", "unit_in_layer"}
    columns = [column for column in _UNIT_COLUMNS if column in units]
    columns = [column for column in columns if column not in left_out]
    listed, note = units, ""
    if len(units) > _MAX_UNIT_ROWS:
        rows = np.linspace(0, len(units) - 1, _MAX_UNIT_ROWS).astype(np.int64)
        listed = units.iloc[rows]
        note = f"{grouped(len(listed))} rows, evenly spaced, of {grouped(len(units))}. "
    # Units of a sample have the numbers that they have in the whole recording.
    listed = listed.assign(unit=sample.units[listed["unit"].to_numpy()])
    note += "All columns of all units: ann2neo analyze FILE.nwb."
    reasons = {
        column.name: listed[entry.reason_column.name].to_list()
        for entry in STATISTICS
        for column in entry.columns
    }
    return page_table(listed[columns], column_descriptions(units), note, reasons)
