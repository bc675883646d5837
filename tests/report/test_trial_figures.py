"""Figures of trials: what is drawn is what was recorded; what is left out is said."""

import numpy as np
import pandas as pd
import pytest

import ann2neo
from ann2neo import InputTypeError, InputValueError
from ann2neo.report import (
    plot_psth,
    plot_serial_correlation,
    plot_trials,
    plot_variability_over_trials,
    render_report,
)
from ann2neo.testing import make_recording

FIGURES = [plot_trials, plot_psth, plot_serial_correlation]


def trials(n_trials=40, n_steps=25, n_units=3, labels=None, shorter=0, **options):
    """Trials cut out of random spikes; the last `shorter` trials are half as long."""
    recording = make_recording(
        n_units=n_units, n_time_bins=n_trials * n_steps, **options
    )
    start = np.arange(n_trials) * n_steps
    length = np.full(n_trials, n_steps)
    length[n_trials - shorter :] //= 2
    table = pd.DataFrame({"start_bin": start, "stop_bin": start + length})
    if labels is not None:
        table["label"] = labels
    return recording.with_presentations(table).cut_trials()


def note(ax):
    """The line below the figure, on one line."""
    texts = [text for text in ax.texts if text.get_gid() == "note"]
    return " ".join(texts[0].get_text().split())


def test_every_spike_of_a_unit_is_one_mark_in_its_trial():
    """The raster has a mark per spike of the unit, trials of a label together."""
    labels = np.array(["b", "a"] * 20)
    recording = trials(labels=labels)
    ax = plot_trials(recording, 1)
    marks = [path.vertices for part in ax.collections for path in part.get_paths()]
    marks = np.array([m for m in marks if m[0, 1] != m[1, 1]])
    assert len(marks) == recording.raster.spike_counts()[1]
    rows = np.rint(marks[:, :, 1].mean(axis=1)).astype(int)
    counts = ann2neo.spike_counts(recording)[:, 1].to_numpy()
    order = np.argsort(labels, kind="stable")
    np.testing.assert_array_equal(np.bincount(rows, minlength=40), counts[order])
    names = [text.get_text() for text in ax.texts if text.get_gid() != "note"]
    assert names == ["a", "b"]


def test_lines_of_a_psth_are_its_rates():
    """Each line is the PSTH of its label; points of few trials are left out, and the
    note says so.
    """
    labels = np.arange(40) % 2
    recording = trials(labels=labels, shorter=38)
    ax = plot_psth(recording, 2, by="label", window=3)
    rates = ann2neo.psth(recording, by="label", window=3)[..., 2]
    lines = {line.get_label(): line.get_ydata() for line in ax.lines}
    assert set(lines) == {"0", "1"}
    for label in (0, 1):
        drawn = lines[str(label)]
        np.testing.assert_allclose(drawn[:4], rates.sel(label=label)[:4])
        assert np.isnan(drawn[4:]).all()
    assert "where 10 % of them last" in note(ax)
    assert "windows of 3 steps" in note(ax)


def test_serial_correlation_is_drawn_beside_its_permutations():
    """Points are the correlations that analyze_trials gives; independent steps lie
    outside the band in about 5 %.
    """
    recording = trials(n_trials=100, n_units=60)
    table = ann2neo.analyze_trials(recording, statistics="serial_correlation")
    alone = plot_serial_correlation(recording, 4, lags=3)
    first = alone.lines[-1].get_ydata()[0]
    np.testing.assert_allclose(first, table["serial_correlation"][4])
    share = float(note(plot_serial_correlation(recording)).split(": ")[1].split(" ")[0])
    # 60 units x 20 lags, of which those of one unit are uncorrelated.
    assert share == pytest.approx(5, abs=3 * 100 * np.sqrt(0.05 * 0.95 / 1200))


def test_fano_factors_are_drawn_against_counts():
    """One point per row with a value."""
    table = ann2neo.analyze_trials(trials(rate=[0.0, 0.2, 0.5]))
    ax = plot_variability_over_trials(table, unbiased=False)
    x, y = ax.lines[-1].get_data()
    np.testing.assert_allclose(x, table["mean_count"][1:])
    np.testing.assert_allclose(y, table["fano_over_trials"][1:])
    with pytest.raises(InputValueError, match="no row has a Fano factor"):
        plot_variability_over_trials(table[:1])


@pytest.mark.parametrize("figure", FIGURES)
def test_what_is_no_trial_is_refused(figure):
    """Recordings without trials, units that are not there and other things are errors
    with a remedy.
    """
    with pytest.raises(InputValueError, match=r"cut_trials\(\)"):
        figure(make_recording(labels=2))
    with pytest.raises(InputTypeError, match="Recording"):
        figure(None)
    with pytest.raises(InputValueError, match="unit must be at most 2"):
        figure(trials(), 3)


@pytest.mark.parametrize("shape", ["one trial", "one step", "long", "many labels"])
def test_odd_trials_have_their_figures(shape):
    """One trial, one step, very many trials and labels are drawn."""
    recording = {
        "one trial": lambda: trials(1),
        "one step": lambda: trials(30, 1),
        "long": lambda: trials(700, 4, labels=np.arange(700) % 2, shorter=100),
        "many labels": lambda: trials(60, 9, labels=np.arange(60) % 30),
    }[shape]()
    by = "label" if "label" in recording.presentations else None
    plot_trials(recording).figure.canvas.draw()
    plot_psth(recording, by=by).figure.canvas.draw()
    if shape in {"one trial", "one step"}:
        with pytest.raises(InputValueError, match="nothing beyond the PSTH"):
            plot_serial_correlation(recording)
    else:
        plot_serial_correlation(recording).figure.canvas.draw()
    if shape == "long":
        assert "300 trials, evenly spaced, of 700" in note(plot_trials(recording))


@pytest.mark.slow
def test_a_report_of_trials_shows_them():
    """The page of a recording of trials has the four figures; that of one long segment
    has none.
    """
    recording = trials(labels=np.arange(40) % 2, layers=["a"])
    page = render_report({"network": recording})
    for heading in (
        "One unit, trial by trial",
        "Peristimulus time histogram",
        "Memory inside trials",
        "Variability over trials",
    ):
        assert heading in page
    assert "Peristimulus" not in render_report({"network": make_recording(labels=2)})
