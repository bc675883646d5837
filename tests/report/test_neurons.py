"""Neurons and segments: time runs inside segments only, neurons have names and rates in
Hz, and nothing is said of them that is true of networks.
"""

import itertools
import re
import time

import numpy as np
import pandas as pd
import pytest
import quantities as pq
from matplotlib.collections import LineCollection

from ann2neo import InputValueError, Recording, SpikeRaster, analyze, summarize
from ann2neo.raster import SegmentedRaster
from ann2neo.recording.segments import segmented_phases
from ann2neo.report import (
    plot_autocorrelation,
    plot_correlations,
    plot_fano_factors,
    plot_firing_rates,
    plot_intervals,
    plot_observed_and_simulated,
    plot_raster,
    plot_selectivity,
    render_report,
)
from ann2neo.report import words as sentences
from ann2neo.report.train_figures import autocorrelations

NAMES = ["CA1-4", "CA1-7", "CA3-1", "DG-2"]


def segment_rows(bounds, **columns):
    """A table of segments of one phase."""
    table = pd.DataFrame(bounds, columns=["start_bin", "stop_bin"])
    return table.assign(**({"phase": "session", "order": "unknown"} | columns))


def presentation_rows(bounds, kind, **columns):
    """A table of presentations of one kind in the phase."""
    table = pd.DataFrame(bounds, columns=["start_bin", "stop_bin"])
    return table.assign(phase="session", kind=kind, **columns)


def session(spikes, bounds, presentations=None, **options):
    """A recording of named neurons from 100 s on, in segments of one phase."""
    raster = SpikeRaster.from_dense(spikes, t_start=options.pop("t_start", 100 * pq.s))
    if presentations is None:
        presentations = presentation_rows([], "trials")
    units = pd.DataFrame({"name": NAMES[: raster.n_units], "depth": 372.5})
    segments = options.pop("segments", None)
    if segments is None:
        segments = segment_rows(bounds)
    return Recording(raster, units, presentations, segments=segments, **options)


@pytest.fixture(scope="module")
def neurons():
    """Four neurons in three segments with gaps, six trials, and cues of another kind.

    The first eight seconds are silent. Neuron 3 fires more on the left.
    """
    bounds = [(0, 16_000), (17_000, 29_000), (31_000, 43_000)]
    spikes = np.random.default_rng(0).random((4, 43_000)) < 0.01
    spikes[:, :8_000] = False
    starts = np.array([9_000, 12_000, 18_000, 24_000, 32_000, 38_000])
    labels = ["left", "right"] * 3
    for start, label in zip(starts, labels, strict=True):
        spikes[3, start : start + 1_000 : 20 if label == "left" else 200] = True
    observed = np.zeros(43_000, bool)
    for start, stop in bounds:
        observed[start:stop] = True
    trials = presentation_rows(
        np.column_stack([starts, starts + 1_000]),
        "trials",
        label=labels,
        is_correct=[1, 0, 1, 1, -1, 1],
    )
    cues = presentation_rows(
        np.column_stack([starts, starts + 1]),
        "cues",
        label=["tone", "light", "tone", "light", "noise", ""],
        is_correct=[1, 1, 1, 1, 1, -1],
    )
    table = pd.concat([trials, cues]).sort_values("start_bin", kind="stable")
    return session(
        spikes & observed,
        bounds,
        table,
        provenance={
            "spikes_in_extent": "1000",
            "spikes_lost": "25",
            "spikes_outside": "7",
            "presentations_outside": "0",
        },
    )


def words_of(recording):
    """The sentences about the one phase of a recording."""
    (phase,), units = segmented_phases(recording), analyze(recording)
    return " ".join(
        sentences.phase_words(
            recording, phase, units, summarize(units).iloc[0].to_dict()
        )
    )


def note(ax):
    """The line below the figure, on one line."""
    text = next(text for text in ax.texts if text.get_gid() == "note").get_text()
    return " ".join(text.split())


def ticks_of(ax):
    """Unit and time of every tick of a raster."""
    spikes = next(
        lines
        for lines in ax.collections
        if isinstance(lines, LineCollection) and lines.get_label() == "spikes"
    )
    return [(int(line[0, 1]), float(line[0, 0])) for line in spikes.get_segments()]


def labelled(ax, label):
    """What was drawn under a label, or None."""
    return next((part for part in ax.collections if part.get_label() == label), None)


# -- nothing crosses a border
# --------------------------------------------------------------------------------------


def test_no_interval_crosses_a_border():
    """A unit that spikes at the ends of two segments has the intervals inside them,
    not the short one between them.
    """
    spikes = np.zeros((1, 30), bool)
    spikes[0, [0, 5, 9, 10, 17, 19]] = True
    ax = plot_intervals(session(spikes, [(0, 10), (10, 20), (20, 30)]))
    lengths, shares = ax.lines[0].get_data()
    assert dict(zip(lengths.round(9), shares.round(9), strict=True)) == {
        2: 0.25,
        4: 0.25,
        5: 0.25,
        7: 0.25,
    }
    assert "4 intervals; inside segments" in note(ax)


def test_a_spike_in_each_segment_makes_no_interval():
    """Where no segment holds two spikes of a unit, there is nothing to draw, and the
    page leaves the figure out.
    """
    spikes = np.zeros((2, 20), bool)
    spikes[:, [4, 14]] = True
    recording = session(spikes, [(0, 10), (10, 20)])
    with pytest.raises(InputValueError, match="two spikes in one segment"):
        plot_intervals(recording)
    assert 'id="r1p1-intervals"' not in render_report({"two spikes": recording})


def test_long_intervals_are_shares_per_factor_of_ten():
    """Classes of growing width add up to all intervals, and observed shares of
    independent bins lie on the line of the rate.
    """
    spikes = np.random.default_rng(0).random((1, 400_000)) < 0.01
    ax = plot_intervals(session(spikes, [(0, 150_000), (150_000, 400_000)]))
    observed, line = ax.lines
    assert ax.get_ylabel() == "Share of intervals per factor of 10"
    middle = (observed.get_xdata() > 10) & (observed.get_xdata() < 300)
    expected = np.interp(observed.get_xdata(), *line.get_data())
    np.testing.assert_allclose(
        observed.get_ydata()[middle], expected[middle], rtol=0.35
    )


def test_autocorrelations_pool_the_pairs_inside_segments():
    """Each value is the sum over pairs of bins in one segment, by definition."""
    rng = np.random.default_rng(1)
    lengths = [7, 31, 2, 60]
    edges = np.concatenate([[0], np.cumsum(lengths)])
    dense = rng.random((3, 100)) < 0.3
    rate = dense.mean(axis=1, keepdims=True)
    centred = dense - rate
    expected = np.zeros((3, 8))
    for first, last in itertools.pairwise(edges):
        part = centred[:, first:last]
        for lag in range(1, 9):
            expected[:, lag - 1] += (part[:, lag:] * part[:, :-lag]).sum(axis=1)
    expected /= 100 * rate * (1 - rate)
    segmented = SegmentedRaster(SpikeRaster.from_dense(dense), edges)
    np.testing.assert_allclose(autocorrelations(segmented, 8), expected, atol=1e-12)


def test_bounds_of_independent_bins_hold_over_short_segments():
    """Over 200 trials of 12 bins about one value in twenty lies outside the bounds,
    also at lags with few pairs.
    """
    outside = []
    for seed in range(20):
        spikes = np.random.default_rng(seed).random((4, 2_400)) < 0.4
        edges = np.arange(0, 2_401, 12)
        recording = session(spikes, list(itertools.pairwise(edges)))
        text = note(plot_autocorrelation(recording, lags=10))
        outside.append(float(re.search(r"([\d.]+) % outside", text).group(1)))
    # 800 values: four standard errors.
    assert abs(np.mean(outside) - 5) < 4 * 100 * np.sqrt(0.05 * 0.95 / 800)


def test_lags_must_fit_into_a_segment():
    """A lag as long as the longest segment is refused, as no pair has it."""
    spikes = np.random.default_rng(0).random((2, 40)) < 0.5
    recording = session(spikes, [(0, 25), (25, 40)])
    with pytest.raises(InputValueError, match="lags must be at most 24, got 25"):
        plot_autocorrelation(recording, lags=25)


# -- rasters
# --------------------------------------------------------------------------------------


def test_spikes_lie_at_the_time_of_the_session():
    """On the session's clock in s, each tick lies in the middle of its bin, and what
    was not observed is grey.
    """
    spikes = np.zeros((2, 1_000), bool)
    spikes[0, [10, 390]] = True
    spikes[1, [600, 999]] = True
    ax = plot_raster(session(spikes, [(0, 400), (600, 1_000)]))
    assert ax.get_xlabel() == "Time (s)"
    drawn = [(unit, round(x, 6)) for unit, x in ticks_of(ax)]
    assert drawn == [(0, 100.0105), (0, 100.3905), (1, 100.6005), (1, 100.9995)]
    (gap,) = labelled(ax, "unobserved").get_paths()
    np.testing.assert_allclose(
        [gap.vertices[:, 0].min(), gap.vertices[:, 0].max()], [100.4, 100.6]
    )
    assert "2 segments; grey: not observed" in note(ax)


def test_cells_are_means_of_what_was_observed():
    """A cell half in a gap is the rate of its observed half, in Hz; one that lies in
    the gap is empty.
    """
    spikes = np.zeros((1, 4_000), bool)
    # Every other bin of the first stretch, and so many that they are no ticks.
    spikes[0, :2_000:2] = True
    spikes[0, 3_000:] = True
    dense = np.repeat(spikes, 4, axis=0)
    ax = plot_raster(session(np.tile(dense, 4), [(0, 2_004), (3_000, 16_000)]))
    cells = np.ma.asarray(ax.collections[0].get_array())
    assert cells.shape == (4, 500)
    # 32 bins per cell: 2 004 bins are 62 cells and 20 bins of the next.
    np.testing.assert_allclose(cells[0, :62], 500)
    assert cells[0, 62] == pytest.approx(1000 * 8 / 20)
    assert cells.mask[0, 63:93].all()
    assert not cells.mask[0, 94:].any()


def test_long_gaps_are_left_out_and_ticks_tell_the_time():
    """Where most of the time was not observed, segments adjoin with lines between them,
    and ticks tell when each began.
    """
    spikes = np.zeros((1, 10_000), bool)
    spikes[0, [5, 5_005, 9_905]] = True
    ax = plot_raster(session(spikes, [(0, 100), (5_000, 5_100), (9_900, 10_000)]))
    assert ax.get_xlabel() == "Time (s), gaps left out"
    assert [text.get_text() for text in ax.get_xticklabels()] == ["100", "105", "109.9"]
    np.testing.assert_allclose([x for _, x in ticks_of(ax)], [0.0055, 0.1055, 0.2055])
    borders = labelled(ax, "borders").get_segments()
    np.testing.assert_allclose([line[0, 0] for line in borders], [0.1, 0.2])


def test_trials_cut_from_a_session_stand_side_by_side(neurons):
    """Trials, whose clocks start anew, are drawn one after another as trials."""
    trials = neurons.cut_trials(before=100 * pq.ms, after=1 * pq.s)
    ax = plot_raster(trials)
    assert ax.get_xlabel() == "Observed time (s)"
    assert len(labelled(ax, "borders").get_segments()) == 5
    assert "6 trials" in note(ax)
    assert labelled(ax, "unobserved") is None


def test_rows_bear_the_names_of_neurons(neurons):
    """The raster names its rows; the other figures name theirs in their order."""

    def names(ax):
        return [text.get_text() for text in ax.get_yticklabels()]

    assert names(plot_raster(neurons)) == NAMES
    assert set(names(plot_correlations(neurons))) == set(NAMES)
    ax = plot_selectivity(neurons)
    drawn = np.asarray(ax.collections[0].get_array())
    row = names(ax).index("DG-2")
    assert drawn[row].argmax() == 0
    assert drawn[row].max() == drawn.max()


def test_simulated_trains_show_the_borders_of_the_observed():
    """Thin lines stand where a segment of the observed trains begins."""
    spikes = np.random.default_rng(0).random((2, 150)) < 0.3
    observed = session(spikes, [(0, 50), (50, 150)])
    simulated = Recording.from_raster(SpikeRaster.from_dense(spikes))
    axes = plot_observed_and_simulated(observed, simulated)
    lines = [part for part in axes[0].collections if part.get_label() != "spikes"]
    assert [segment[0, 0] for part in lines for segment in part.get_segments()] == [
        50.5
    ]


# -- neurons
# --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_figures_of_neurons_are_in_hz_and_ms(neurons):
    """Rates are spikes per second, intervals and lags milliseconds."""
    units = analyze(neurons)
    assert plot_intervals(neurons).get_xlabel() == "Inter-spike interval (ms)"
    assert plot_autocorrelation(neurons).get_xlabel() == "Lag (ms)"
    ax = plot_firing_rates(units, column="firing_rate_hz")
    assert ax.get_xlabel() == "Firing rate (Hz)"
    ax = plot_fano_factors(units, column="firing_rate_hz")
    points = next(part for part in ax.collections if part.get_label() == "unit")
    np.testing.assert_allclose(points.get_offsets()[:, 0], units["firing_rate_hz"])
    line = next(line for line in ax.lines if line.get_label() == "independent bins")
    # 1 - rate per bin of 1 ms.
    np.testing.assert_allclose(line.get_ydata(), 1 - line.get_xdata() / 1000)
    drawn = np.asarray(plot_selectivity(neurons).collections[0].get_array())
    dense, table = neurons.raster.to_dense(), neurons.presentations
    starts = {
        label: table.loc[table["label"] == label, "start_bin"]
        for label in ("left", "right")
    }
    expected = [
        np.mean([dense[:, at : at + 1_000].sum(axis=1) for at in bins], axis=0)
        for bins in starts.values()
    ]
    # Every trial lasts 1 s, so that spikes per trial are Hz.
    np.testing.assert_allclose(np.sort(drawn, axis=0), np.sort(expected).T)


@pytest.mark.slow
def test_a_table_of_neurons_has_names_and_hz_and_no_layer(neurons):
    """Units are listed by name with their rate in Hz beside that per bin."""
    page = render_report({"neurons": neurons})
    body = page[page.index("<caption>Units of") :]
    head = re.findall(r"<button type=\"button\">(\w+)</button>", body)
    rows = re.findall(r"<tr><td.*?</tr>", body)
    assert head[:2] == ["unit", "name"]
    assert {"firing_rate_hz", "firing_rate"} <= set(head)
    assert not {"layer", "unit_in_layer"} & set(head)
    assert [re.findall(r"<td>(.*?)</td>", row)[0] for row in rows[:4]] == NAMES


def test_words_for_neurons_are_not_those_for_networks(neurons):
    """Nothing is said of networks, layers, stimuli shown, thresholds or shuffles."""
    (phase,) = segmented_phases(neurons)
    units = analyze(neurons)
    network = summarize(units).iloc[0].to_dict()
    facts = sentences.recording_facts(neurons)
    tests = sentences.test_rows(neurons, phase, network)
    said = [words_of(neurons), *itertools.chain(*facts)]
    said += [row["what it means here"] for row in tests]
    for word in ("network", "layer", "threshold", "shuffle", "construction", "shown"):
        assert not [text for text in said if word in text], word
    assert not [text for text in said if "order of the stimuli" in text]


def test_words_tell_observed_time_segments_kinds_and_rates(neurons):
    """Seconds, segments, every kind of presentation, outcomes and rates are those of
    the recording.
    """
    words, rates = words_of(neurons), analyze(neurons)["firing_rate_hz"]
    assert (
        "4 units over 40 s (40\u2009000 time bins of 1 ms), in 3 segments of" in words
    )
    assert "There are 6 trials of 1 s each." in words
    assert "There are 6 presentations of the kind 'cues', of 1 ms each." in words
    # The sixth answer is not known, and those of cues are no answers.
    assert "4 of 5 trials are marked as correct (80.0 %)" in words
    assert f"A unit fired {rates.mean():.3g} spikes per second on average" in words
    assert f"the median is {rates.median():.3g} Hz" in words
    assert "Time runs on inside segments only" in words


def test_facts_tell_what_was_lost(neurons):
    """Observed and unobserved time, spikes lost and outside, and labels are facts;
    what did not happen is none.
    """
    facts = dict(sentences.recording_facts(neurons))
    assert facts["Observed time"] == "40 s"
    assert facts["Not observed, in between"] == "3 s"
    assert facts["Segments"] == "3"
    assert facts["Presentations"] == "trials (6), cues (6)"
    assert facts["Spikes lost to binning"] == "25 of 1\u2009000 (2.5 %)"
    assert facts["Spikes outside the observed time"] == "7"
    assert "Presentations outside the observed time" not in facts
    # left, right, tone, light, noise: no label is none.
    assert facts["Labels"] == "5"


def test_trials_and_segments_are_told_apart(neurons):
    """Segments of one trial each are trials; stretches of a session are segments."""
    trials = neurons.cut_trials(before=100 * pq.ms, after=1 * pq.s)
    assert "in 6 trials of 1.1 s." in words_of(trials)
    assert "There are 6 trials" not in words_of(trials)
    assert "all of them share" in words_of(trials)
    assert "all of them share" not in words_of(neurons)


def test_the_stretch_is_one_where_something_happens(neurons):
    """The seconds shown lie inside the observed time and hold as many spikes as the
    median of such stretches, although the first eight seconds are silent.
    """
    page = render_report({"neurons": neurons})
    caption = re.search(r"From ([\d.]+) to ([\d.]+) s: (\d+) spikes", page)
    start, stop, n_spikes = map(float, caption.groups())
    first, last = round(1000 * (start - 100)), round(1000 * (stop - 100))
    assert n_spikes == neurons.raster.slice(first, last).spike_counts().sum()
    # Joined, the 40 s are eight stretches, the first of which is silent.
    counts = neurons.raster.join(*bounds_of(neurons)).window_counts(5_000).sum(axis=0)
    assert n_spikes == np.sort(counts[counts > 0])[(np.count_nonzero(counts) - 1) // 2]
    assert 'id="r1p1-first"' not in page


def bounds_of(recording):
    """First bins of the segments of the only phase, and the bins after their last."""
    (phase,) = segmented_phases(recording)
    return phase.starts, phase.stops


def test_silent_neurons_have_no_typical_stretch():
    """Without a spike there is no stretch to show, and the page is still written."""
    page = render_report({"silent": session(np.zeros((2, 20_000)), [(0, 20_000)])})
    assert 'id="r1p1-raster"' in page
    assert 'id="r1p1-stretch"' not in page


def test_one_neuron_and_one_epoch_are_told_in_the_singular():
    """A recording of one unit and one epoch says so, and a long train of many spikes is
    drawn as rates, not as a bar of ticks.
    """
    spikes = np.random.default_rng(0).random((1, 30_000)) < 0.05
    epochs = presentation_rows([(0, 20_000)], "epochs")
    recording = session(spikes, [(0, 30_000)], epochs)
    words = words_of(recording)
    assert words.startswith("1 unit over 30 s")
    assert "There is one presentation of the kind 'epochs', of 20 s." in words
    assert "The unit fired" in words
    ax = plot_raster(recording)
    assert note(ax).startswith("1 unit x 30")
    assert labelled(ax, "spikes") is None


# -- kinds of presentations
# --------------------------------------------------------------------------------------


def test_a_raster_sorted_by_label_uses_one_kind(neurons):
    """Trials are taken if they have labels, another kind if it is asked for, and the
    kind with labels where no other has them.
    """

    def groups(recording, **options):
        ax = plot_raster(recording, sort="label", **options)
        return [text.get_text() for text in ax.get_xticklabels()]

    assert groups(neurons) == ["left", "right"]
    assert groups(neurons, kind="cues") == ["light", "noise", "tone"]
    table = neurons.presentations
    table.loc[table["kind"] == "trials", "label"] = ""
    segments = neurons.segments
    bare = Recording(neurons.raster, neurons.units, table, segments=segments)
    assert groups(bare) == ["light", "noise", "tone"]
    named = table.assign(kind=table["kind"].replace("trials", "flashes"))
    two = Recording(neurons.raster, neurons.units, named, segments=segments)
    assert groups(two) == ["light", "noise", "tone"]
    assert [text.get_text() for text in plot_selectivity(two).get_xticklabels()] == [
        "light",
        "noise",
        "tone",
    ]
    with pytest.raises(InputValueError, match="no presentations of the kind 'taps'"):
        plot_raster(neurons, kind="taps")


# -- networks with time
# --------------------------------------------------------------------------------------


def recurrent(length, order="random", n_trials=60):
    """A network of two units, each of whose stimuli lasts `length` bins."""
    edges = np.arange(0, length * n_trials + 1, length)
    bounds = list(itertools.pairwise(edges))
    rng = np.random.default_rng(0)
    return Recording(
        SpikeRaster.from_dense(rng.random((2, edges[-1])) < 0.3),
        pd.DataFrame({"layer": "lstm", "unit_in_layer": [0, 1]}),
        presentation_rows(
            bounds, "trials", label=rng.integers(2, size=n_trials), is_correct=1
        ),
        segments=segment_rows(bounds, order=order, t_start=0.0),
    )


@pytest.mark.parametrize(("length", "is_void"), [(1, True), (12, False)])
def test_only_stimuli_of_one_bin_make_order_void(length, is_void):
    """In random order the tests are true by construction where each stimulus is one
    bin; inside longer ones time runs on.
    """
    recording = recurrent(length)
    if length == 1:
        recording = Recording(
            recording.raster,
            recording.units,
            recording.presentations,
            segments=segment_rows([(0, 60)], order="random"),
        )
    (phase,), units = segmented_phases(recording), analyze(recording)
    network = summarize(units).iloc[0].to_dict()
    meanings = {
        row["test"]: row["what it means here"]
        for row in sentences.test_rows(recording, phase, network)
    }
    assert ("true by construction" in words_of(recording)) is is_void
    assert ("true by construction" in meanings["dispersion"]) is is_void
    last = "what runs across them is settled by the shuffle"
    assert (last in words_of(recording)) is not is_void


def test_words_for_trials_of_a_network():
    """Stimuli of a recurrent network are shown in trials of several bins each, and all
    of its answers are counted.
    """
    words = words_of(recurrent(12))
    assert "2 units over 720 time bins in 60 trials; 60 stimuli were shown" in words
    assert "12 time bins each. The network named 60 of them correctly" in words
    ax = plot_raster(recurrent(12))
    assert ax.get_xlabel() == "Observed time (ms)"
    assert "60 trials" in note(ax)


# -- size
# --------------------------------------------------------------------------------------


def test_a_page_of_300_segments_takes_seconds():
    """Three hundred observed stretches with a trial in every other one make a page as
    quickly as one does.
    """
    starts = np.arange(300) * 1_000
    bounds = np.column_stack([starts, starts + 900])
    spikes = np.random.default_rng(0).random((4, 300_000)) < 0.01
    trials = presentation_rows(
        np.column_stack([starts, starts + 500])[::2],
        "trials",
        label=["a", "b", "c"] * 50,
    )
    began = time.perf_counter()
    page = render_report({"many": session(spikes, bounds.tolist(), trials)})
    assert time.perf_counter() - began < 30
    assert "in 300 segments" in page
    assert page.count("<figure") == 8
    assert len(page) < 2_000_000
