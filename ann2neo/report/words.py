"""The sentences of a page: what a recording shows, and what each test can show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ann2neo.analysis.explain import explain
from ann2neo.analysis.table_of_statistics import TESTS
from ann2neo.recording import Recording
from ann2neo.recording.segments import SegmentedPhase
from ann2neo.report.style import grouped

__all__ = ["phase_words", "recording_facts", "test_rows"]

_ORDER = {
    "random": "in a random order",
    "stored": "in the order in which they are stored",
    "unknown": "in an order that is not known",
}


def recording_facts(recording: Recording) -> list[tuple[str, str]]:
    """Return names and values of the facts that a reader asks for first."""
    presentations, units = recording.presentations, recording.units
    bin_ms = recording.sampling_period.magnitude
    facts = [
        ("Units", grouped(recording.n_units)),
        ("Time bins", f"{grouped(recording.n_time_bins)} of {bin_ms:g} ms"),
        ("Phases", ", ".join(recording.phases["phase"]) or "none"),
        ("Presentations", grouped(len(presentations))),
        ("Spikes", grouped(int(recording.raster.spike_counts().sum()))),
    ]
    if "layer" in units:
        layers = units["layer"].value_counts(sort=False).items()
        listed = [f"{name} ({grouped(int(number))} units)" for name, number in layers]
        facts.append(("Layers", ", ".join(listed)))
    if "label" in presentations and len(presentations):
        facts.append(("Labels", grouped(presentations["label"].nunique())))
    start = recording.session_start_time.strftime("%Y-%m-%d %H:%M %Z").strip()
    return [*facts, ("Recorded", start), ("Identifier", recording.identifier)]


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
        adds to that, and what was not analysed.
    """
    return [
        _what_was_recorded(recording, phase, len(units)),
        _how_active(units, network),
        _what_variability_adds(phase, units, network),
        (
            "Nothing here says whether the network generalizes or memorizes: that would"
            " be a claim about a classifier of networks, not a number that one"
            " recording has."
        ),
    ]


def _what_was_recorded(
    recording: Recording, phase: SegmentedPhase, n_units: int
) -> str:
    presentations = recording.presentations
    presentations = presentations[presentations["phase"] == phase.phase]
    n_shown = len(presentations)
    text = f"{grouped(n_units)} units over {grouped(phase.n_time_bins)} time bins"
    if n_shown:
        length = (presentations["stop_bin"] - presentations["start_bin"]).to_numpy()
        each = "one time bin"
        if length.min() < length.max():
            each = f"{length.min()} to {length.max()} time bins"
        elif length[0] > 1:
            each = f"{length[0]} time bins"
        text += f"; {grouped(n_shown)} stimuli were shown {_ORDER[phase.order]},"
        text += f" {each} each."
    else:
        text += "; no stimuli are on record."
    if "is_correct" in presentations and n_shown:
        right = int(presentations["is_correct"].sum())
        text += (
            f" The network named {grouped(right)} of them correctly"
            f" ({100 * right / n_shown:.1f} %)."
        )
    return text


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


def _what_variability_adds(
    phase: SegmentedPhase, units: pd.DataFrame, network: Mapping[str, Any]
) -> str:
    fano = float(network["mean_fano_factor"])
    expected = float(network["mean_fano_factor_expected"])
    if not np.isfinite(fano):
        return (
            "No unit has a Fano factor: the phase is too short for two counting"
            " windows, or no unit spiked in one."
        )
    text = (
        "The mean Fano factor of spike counts in windows of"
        f" {int(units['window'].iloc[0])} bins is {fano:.3f}; the firing rates alone"
        f" give {expected:.3f} when bins come in a random order."
    )
    difference = (
        f" The difference is {fano - expected:+.3f}; the dispersion test below says for"
        " how many units it is more than chance."
    )
    readings = {
        "random": (
            " They did, so the Fano factor restates the rates and says nothing more"
            " about the network, and the tests of order below are true by"
            " construction: they test the shuffle, not the network."
        ),
        "stored": (
            f"{difference} The stimuli came in stored order, so this and the tests of"
            " order below describe the data set as the network sees it: runs of similar"
            " stimuli make counts vary more."
        ),
        "unknown": (
            f"{difference} The tests below ask whether the order of the spikes matters;"
            " they mean what they always mean if nobody shuffled the stimuli."
        ),
    }
    return text + readings[phase.order]


def _number(count: int) -> str:
    words = {0: "No unit", 1: "1 unit"}
    return words.get(count, f"{grouped(count)} units")


def test_rows(network: Mapping[str, Any], order: str) -> list[dict[str, Any]]:
    """Return one row per test of single units, with its result and what it means.

    Parameters
    ----------
    network : mapping
        A row of `summarize`.
    order : str
        Order of the stimuli.

    Returns
    -------
    list of dict
        In the order of the table of statistics; shares are after Benjamini-Hochberg at
        5 %.
    """
    return [
        {
            "test": test.name.replace("_", " "),
            "null hypothesis": test.null,
            "units tested": int(network[f"{test.name}_n_tested"]),
            "share rejecting": float(network[f"{test.name}_rejected_share"]),
            "what it means here": explain(test.pvalue, order),
        }
        for test in TESTS
    ]
