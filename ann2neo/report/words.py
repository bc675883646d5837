"""The sentences of a page: what a recording shows, and what each test can show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ann2neo.analysis._phases import is_shuffled
from ann2neo.analysis.explain import column_descriptions, explain
from ann2neo.analysis.table_of_statistics import TESTS
from ann2neo.recording import Recording
from ann2neo.recording.segments import SegmentedPhase
from ann2neo.recording.tables import DEFAULT_KIND
from ann2neo.report._recorded import (
    is_network,
    presentations_in,
    segment_noun,
)
from ann2neo.report.style import counted, grouped

__all__ = ["duration", "phase_words", "recording_facts", "test_rows"]

_ORDER = {
    "random": "in a random order",
    "stored": "in the order in which they are stored",
    "unknown": "in an order that is not known",
}
_LOSSES = {
    "spikes_outside": "Spikes outside the observed time",
    "spikes_cut_off": "Spikes outside the time read",
    "spikes_not_in_common_time": "Spikes while not all units were observed",
    "presentations_outside": "Presentations outside the observed time",
    "presentations_without_time": "Presentations without a time",
    "presentations_without_end": "Presentations without an end",
    "presentations_reversed": "Presentations that stop before they start",
    "presentations_sharing_a_bin": "Presentations in the bin of another",
    "trials_outside": "Trials that reach beyond the observed time",
}
"""What was not as it should be when it was read: its key in the provenance, and name.
"""


def duration(seconds: float) -> str:
    """Write a length of time in s, or in ms below 0.1 s.

    Examples
    --------
    >>> duration(0.02), duration(1.5), duration(240.0)
    ('20 ms', '1.5 s', '240 s')
    """
    if seconds < 0.1:
        return f"{1000 * seconds:.4g} ms"
    if seconds < 100:
        return f"{seconds:.3g} s"
    return f"{grouped(round(seconds))} s"


def recording_facts(recording: Recording) -> list[tuple[str, str]]:
    """Return names and values of the facts that a reader asks for first."""
    presentations, units = recording.presentations, recording.units
    of_network = is_network(recording)
    period = recording.raster.sampling_period_seconds
    facts = [("Units", grouped(recording.n_units))]
    if of_network:
        size = f"{grouped(recording.n_time_bins)} of {1000 * period:g} ms"
        facts.append(("Time bins", size))
    else:
        facts += _observed_time(recording)
    facts.append(("Phases", ", ".join(recording.phases["phase"]) or "none"))
    kinds = presentations["kind"].value_counts()
    numbers = grouped(len(presentations))
    if len(kinds) and list(kinds.index) != [DEFAULT_KIND]:
        numbers = ", ".join(f"{kind} ({grouped(n)})" for kind, n in kinds.items())
    facts.append(("Presentations", numbers))
    spikes = grouped(int(recording.raster.spike_counts().sum()))
    facts.append(("Spikes", spikes))
    facts += _losses(recording.provenance)
    if of_network:
        layers = units["layer"].value_counts(sort=False).items()
        listed = [f"{name} ({counted(int(number), 'unit')})" for name, number in layers]
        facts.append(("Layers", ", ".join(listed)))
    if "label" in presentations and len(presentations):
        labels = presentations["label"]
        # Kinds without labels have "" or NaN, which is none.
        n_labels = labels[labels.astype("str") != ""].nunique()
        facts.append(("Labels", grouped(n_labels)))
    start = recording.session_start_time.strftime("%Y-%m-%d %H:%M %Z").strip()
    return [*facts, ("Recorded", start), ("Identifier", recording.identifier)]


def _observed_time(recording: Recording) -> list[tuple[str, str]]:
    """Return how long neurons were observed, in how many segments."""
    period = recording.raster.sampling_period_seconds
    segments = recording.segments
    n_observed = int((segments["stop_bin"] - segments["start_bin"]).sum())
    n_unobserved = recording.n_time_bins - n_observed
    facts = [
        ("Observed time", duration(n_observed * period)),
        ("Time bins", f"{grouped(n_observed)} of {1000 * period:g} ms"),
        ("Segments", grouped(len(segments))),
    ]
    if n_unobserved:
        facts.append(("Not observed, in between", duration(n_unobserved * period)))
    return facts


def _losses(provenance: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return what reading, binning and cutting left out, as far as it is on record."""
    counts = {key: int(text) for key, text in provenance.items() if text.isdecimal()}
    facts = []
    if "spikes_lost" in counts and "spikes_in_extent" in counts:
        lost, whole = counts["spikes_lost"], counts["spikes_in_extent"]
        share = f"{100 * lost / max(whole, 1):.2g} %"
        text = f"{grouped(lost)} of {grouped(whole)} ({share})"
        facts.append(("Spikes lost to binning", text))
    for key, name in _LOSSES.items():
        if counts.get(key):
            facts.append((name, grouped(counts[key])))
    return facts


def phase_words(
    recording: Recording,
    phase: SegmentedPhase,
    units: pd.DataFrame,
    network: Mapping[str, Any],
) -> list[str]:
    """Describe one phase of a recording.

    Parameters
    ----------
    recording : Recording
        The recording.
    phase : SegmentedPhase
        The phase.
    units : pandas.DataFrame
        Its rows of `analyze`.
    network : mapping
        Its row of `summarize`.

    Returns
    -------
    list of str
        Paragraphs: what was recorded, how active the units were, what their variability
        adds to that, and of a network what was not analysed.
    """
    if not is_network(recording):
        return [
            _what_was_observed(recording, phase, len(units)),
            _how_active_in_hz(units),
            _what_variability_adds(recording, phase, units, network),
        ]
    return [
        _what_was_shown(recording, phase, len(units)),
        _how_active(units, network),
        _what_variability_adds(recording, phase, units, network),
        (
            "Nothing here says whether the network generalizes or memorizes: that would"
            " be a claim about a classifier of networks, not a number that one"
            " recording has."
        ),
    ]


def _what_was_shown(recording: Recording, phase: SegmentedPhase, n_units: int) -> str:
    """Say what a network was shown, and how often it was right."""
    table = presentations_in(recording, phase)
    text = f"{counted(n_units, 'unit')} over {counted(phase.n_time_bins, 'time bin')}"
    if phase.n_segments > 1:
        noun = segment_noun(recording, phase)
        text += f" in {grouped(phase.n_segments)} {noun}"
    if not len(table):
        text += "; no stimuli are on record."
    for kind, shown in table.groupby("kind", sort=False):
        length = (shown["stop_bin"] - shown["start_bin"]).to_numpy()
        each = "one time bin"
        if length.min() < length.max():
            each = f"{length.min()} to {length.max()} time bins"
        elif length[0] > 1:
            each = f"{length[0]} time bins"
        what = "stimuli" if kind == DEFAULT_KIND else f"stimuli of the kind {kind!r}"
        text += f"; {grouped(len(shown))} {what} were shown {_ORDER[phase.order]},"
        text += f" {each} each"
    text = text.removesuffix(".") + "."
    n_right, n_known = _n_correct(table)
    if n_known:
        n_shown = int((table["kind"] == DEFAULT_KIND).sum())
        of = "them" if n_known == n_shown else f"{grouped(n_known)} with a known answer"
        text += (
            f" The network named {grouped(n_right)} of {of} correctly"
            f" ({100 * n_right / n_known:.1f} %)."
        )
    return text


def _n_correct(presentations: pd.DataFrame) -> tuple[int, int]:
    """Return the trials that are correct, and those of which that is known."""
    if "is_correct" not in presentations:
        return 0, 0
    of_trials = presentations["kind"] == DEFAULT_KIND
    # -1 stands for unknown, where the column is no column of booleans.
    values = presentations["is_correct"][of_trials].to_numpy()
    return int((values == 1).sum()), int(np.isin(values, (0, 1)).sum())


def _what_was_observed(
    recording: Recording, phase: SegmentedPhase, n_units: int
) -> str:
    """Say how long neurons were observed, and what happened meanwhile."""
    period = recording.raster.sampling_period_seconds
    text = f"{_number(n_units)} over {duration(phase.n_time_bins * period)}"
    text += f" ({grouped(phase.n_time_bins)} time bins of {1000 * period:g} ms)"
    noun = segment_noun(recording, phase)
    if phase.n_segments > 1:
        text += f", in {grouped(phase.n_segments)} {noun}"
        text += f" of {_range(phase.lengths, period)}"
    text += "."
    table = presentations_in(recording, phase)
    for kind, of_kind in table.groupby("kind", sort=False):
        if kind == noun == DEFAULT_KIND:
            continue
        length = (of_kind["stop_bin"] - of_kind["start_bin"]).to_numpy()
        what = f" of the kind {kind!r},"
        if len(of_kind) == 1:
            text += f" There is one presentation{what} of {_range(length, period)}."
            continue
        what = " trials" if kind == DEFAULT_KIND else f" presentations{what}"
        text += f" There are {grouped(len(of_kind))}{what}"
        text += f" of {_range(length, period)} each."
    n_right, n_known = _n_correct(table)
    if n_known:
        text += (
            f" {grouped(n_right)} of {grouped(n_known)} trials are marked as correct"
            f" ({100 * n_right / n_known:.1f} %)."
        )
    if phase.n_segments > 1:
        text += (
            f" Time runs on inside {noun} only: no window, interval or lag crosses from"
            " one into the next."
        )
    return text


def _range(lengths: Any, period: float) -> str:
    low, high = duration(lengths.min() * period), duration(lengths.max() * period)
    return low if low == high else f"{low} to {high}"


def _how_active(units: pd.DataFrame, network: Mapping[str, Any]) -> str:
    rate = float(network["mean_firing_rate"])
    text = f"On average a unit spiked in {100 * rate:.1f} % of the bins"
    spread = float(network["cv_firing_rate_percent"])
    if np.isfinite(spread) and len(units) > 1:
        low, high = units["firing_rate"].quantile([0.05, 0.95])
        text += (
            f"; units differ, with a coefficient of variation of {spread:.0f} % and"
            f" nine in ten between {100 * low:.1f} and {100 * high:.1f} %"
        )
    n_silent = int((units["status"] == "silent").sum())
    n_saturated = int((units["status"] == "saturated").sum())
    text += (
        f". {_number(n_silent)} never spiked and {_number(n_saturated).lower()} spiked"
        " in every bin."
    )
    if n_silent + n_saturated > len(units) / 2:
        text += (
            " More than half of the units carry no information at this threshold:"
            " consider another one."
        )
    return text


def _how_active_in_hz(units: pd.DataFrame) -> str:
    rates, per_bin = units["firing_rate_hz"], units["firing_rate"]
    who = "The unit" if len(units) == 1 else "A unit"
    text = f"{who} fired {rates.mean():.3g} spikes per second on average"
    text += f", that is in {100 * per_bin.mean():.2g} % of the bins"
    if len(units) > 1:
        low, median, high = rates.quantile([0.05, 0.5, 0.95])
        text += f"; the median is {median:.3g} Hz"
        text += f" and nine in ten lie between {low:.3g} and {high:.3g} Hz"
    text += "."
    n_silent = int((units["status"] == "silent").sum())
    n_saturated = int((units["status"] == "saturated").sum())
    if n_silent:
        text += f" {_number(n_silent)} never fired."
    if n_saturated:
        text += (
            f" {_number(n_saturated)} fired in every bin, which is more than a neuron"
            " does: a shorter bin_size loses fewer spikes."
        )
    return text


def _what_variability_adds(
    recording: Recording,
    phase: SegmentedPhase,
    units: pd.DataFrame,
    network: Mapping[str, Any],
) -> str:
    fano = float(network["mean_fano_factor"])
    expected = float(network["mean_fano_factor_expected"])
    if not np.isfinite(fano):
        return (
            "No unit has a Fano factor: the phase is too short for two counting"
            " windows, or no unit spiked in one."
        )
    window = int(units["window"].iloc[0])
    of_network = is_network(recording)
    size, chance = f"{window} bins", "when bins come in a random order"
    if not of_network:
        length = window * recording.raster.sampling_period_seconds
        size = f"{duration(length)} ({size})"
        if phase.order != "random":
            chance = "when bins are independent"
    text = (
        f"The mean Fano factor of spike counts in windows of {size} is {fano:.3f};"
        f" the firing rates alone give {expected:.3f} {chance}."
    )
    difference = (
        f" The difference is {fano - expected:+.3f}; the dispersion test below says for"
        " how many units it is more than chance."
    )
    if is_shuffled(recording, phase):
        who = "the network" if of_network else "the units"
        return text + (
            " They did, so the Fano factor restates the rates and says nothing more"
            f" about {who}, and the tests of order below are true by construction:"
            f" they test the shuffle, not {who}."
        )
    if not of_network:
        return text + difference + _what_the_tests_ask(recording, phase)
    readings = {
        "random": (
            " The stimuli came in a random order, but last several bins: what runs"
            " across them is settled by the shuffle, what runs inside them is not."
        ),
        "stored": (
            " The stimuli came in stored order, so this and the tests of order below"
            " describe the data set as the network sees it: runs of similar stimuli"
            " make counts vary more."
        ),
        "unknown": (
            " The tests below ask whether the order of the spikes matters; they mean"
            " what they always mean if nobody shuffled the stimuli."
        ),
    }
    return text + difference + readings[phase.order]


def _what_the_tests_ask(recording: Recording, phase: SegmentedPhase) -> str:
    text = (
        " The tests below ask whether the bins of a unit are independent with one rate"
        " throughout. Neurons rarely are: refractoriness, bursts, a response to a"
        " stimulus and a drift of the rate all make them reject."
    )
    if segment_noun(recording, phase) == "trials":
        text += (
            " With trials, the time course that all of them share is enough for that."
        )
    return text


def _number(count: int) -> str:
    return "No unit" if count == 0 else counted(count, "unit")


def test_rows(
    recording: Recording, phase: SegmentedPhase, network: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Return one row per test of single units, with its result and what it means.

    Parameters
    ----------
    recording : Recording
        The recording.
    phase : SegmentedPhase
        One of its phases.
    network : mapping
        Its row of `summarize`.

    Returns
    -------
    list of dict
        In the order of the table of statistics; shares are after Benjamini-Hochberg at
        5 %.
    """
    # The order of the stimuli has a say only where there are stimuli, one per bin.
    order_matters = is_shuffled(recording, phase) or (
        is_network(recording) and phase.order != "random"
    )
    names = [test.pvalue for test in TESTS]
    plain = column_descriptions(pd.DataFrame(columns=names, dtype="float64"))
    return [
        {
            "test": test.name.replace("_", " "),
            "null hypothesis": test.null,
            "units tested": int(network[f"{test.name}_n_tested"]),
            "share rejecting": float(network[f"{test.name}_rejected_share"]),
            "what it means here": (
                explain(test.pvalue, phase.order)
                if order_matters
                else plain[test.pvalue]
            ),
        }
        for test in TESTS
    ]
