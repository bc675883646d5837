"""What a page says in words: only what follows from the recording, and for every test
what it can and cannot show.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ann2neo.analysis.explain import explain
from ann2neo.analysis.statistics import TESTS
from ann2neo.recording import Recording
from ann2neo.recording.tables import Phase
from ann2neo.report.style import grouped

__all__ = ["phase_title", "phase_words", "recording_facts", "test_rows"]

_ORDER = {
    "random": "in a random order",
    "stored": "in the order in which they are stored",
    "unknown": "in an order that is not known",
}


def recording_facts(recording: Recording) -> list[tuple[str, str]]:
    """Name and value of what a reader asks first."""
    shown, units = recording.presentations, recording.units
    facts = [
        ("Units", grouped(recording.n_units)),
        (
            "Time bins",
            (
                f"{grouped(recording.n_time_bins)} of"
                f" {recording.sampling_period.magnitude:g} ms"
            ),
        ),
        ("Phases", ", ".join(recording.phases["phase"]) or "none"),
        ("Presentations", grouped(len(shown))),
        ("Spikes", grouped(int(recording.raster.spike_counts().sum()))),
    ]
    if "layer" in units:
        layers = units["layer"].value_counts(sort=False)
        facts.append(
            (
                "Layers",
                ", ".join(
                    f"{name} ({grouped(int(number))} units)"
                    for name, number in layers.items()
                ),
            )
        )
    if "label" in shown and len(shown):
        facts.append(("Labels", grouped(shown["label"].nunique())))
    facts += [
        (
            "Recorded",
            recording.session_start_time.strftime("%Y-%m-%d %H:%M %Z").strip(),
        ),
        ("Identifier", recording.identifier),
    ]
    return facts


def phase_title(phase: Phase) -> str:
    """Heading of the part about one phase."""
    return f"Phase {phase.phase}"


def phase_words(
    recording: Recording, phase: Phase, units: pd.DataFrame, network: Mapping[str, Any]
) -> list[str]:
    """Say what one phase of a recording shows.

    Parameters
    ----------
    recording : Recording
        The recording.
    phase : Phase
        The phase.
    units : pandas.DataFrame
        Its rows of `analyze`.
    network : mapping
        Its row of `summarize`.

    Returns
    -------
    list of str
        Sentences, a paragraph each: what was recorded, how active the units were, what
        their variability adds to that, and what was not looked at.
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


def _what_was_recorded(recording: Recording, phase: Phase, n_units: int) -> str:
    shown = recording.presentations
    shown = shown[shown["phase"] == phase.phase]
    text = f"{grouped(n_units)} units over {grouped(phase.n_time_bins)} time bins"
    if len(shown):
        length = (shown["stop_bin"] - shown["start_bin"]).to_numpy()
        each = (
            "one time bin each"
            if (length == 1).all()
            else f"{length.min()} to {length.max()} time bins each"
        )
        each = (
            f"{length[0]} time bins each"
            if len(set(length)) == 1 and length[0] > 1
            else each
        )
        text += (
            f"; {grouped(len(shown))} stimuli were shown {_ORDER[phase.order]}, {each}."
        )
    else:
        text += "; no stimuli are on record."
    if "is_correct" in shown and len(shown):
        right = int(shown["is_correct"].sum())
        text += (
            f" The network named {grouped(right)} of them correctly"
            f" ({100 * right / len(shown):.1f} %)."
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
    n_silent, n_saturated = (
        int((units["status"] == name).sum()) for name in ("silent", "saturated")
    )
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
    phase: Phase, units: pd.DataFrame, network: Mapping[str, Any]
) -> str:
    fano, expected = (
        float(network["mean_fano_factor"]),
        float(network["mean_fano_factor_expected"]),
    )
    if not np.isfinite(fano):
        return (
            "No unit has a Fano factor: the phase is too short for two counting"
            " windows, or no unit spiked in one."
        )
    window = int(units["window"].iloc[0])
    text = (
        f"The mean Fano factor of spike counts in windows of {window} bins is"
        f" {fano:.3f}; "
    )
    text += (
        f"the firing rates alone give {expected:.3f} when bins come in a random order."
    )
    if phase.order == "random":
        return (
            text
            + " They did, so the Fano factor restates the rates and says nothing more"
            " about the network, and the tests of order below are true by"
            " construction: they test the shuffle, not the network."
        )
    text += (
        f" The difference is {fano - expected:+.3f}; the dispersion test below says for"
        " how many units it is more than"
    )
    text += " chance."
    if phase.order == "stored":
        return (
            text
            + " The stimuli came in stored order, so this and the tests of order below"
            " describe the data set as the network sees it: runs of alike stimuli"
            " make counts vary more."
        )
    return (
        text
        + " The tests below ask whether the order of the spikes matters; they mean what"
        " they always mean if nobody shuffled the stimuli."
    )


def _number(count: int) -> str:
    return f"{grouped(count)} unit{'s' * (count != 1)}" if count else "No unit"


def test_rows(network: Mapping[str, Any], order: str) -> list[dict[str, Any]]:
    """Return one row per test of single units: its null, how many units were tested,
    how many reject, what that means here.

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
    rows = []
    for statistic in TESTS:
        n_tested, share = (
            int(network[f"{statistic.name}_n_tested"]),
            float(network[f"{statistic.name}_rejected_share"]),
        )
        rows.append(
            {
                "test": statistic.name.replace("_", " "),
                "null hypothesis": statistic.null,
                "units tested": n_tested,
                "share rejecting": share,
                "what it means here": explain(statistic.pvalue, order),
            }
        )
    return rows
