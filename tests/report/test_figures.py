"""Figures: what is drawn is what was recorded, what was aggregated is said, and nothing
is left behind.
"""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from statsmodels.tsa.stattools import acf

from ann2neo import InputTypeError, InputValueError, Recording, SpikeRaster, analyze
from ann2neo.raster import SegmentedRaster
from ann2neo.report import (
    plot_autocorrelation,
    plot_correlations,
    plot_fano_factors,
    plot_firing_rates,
    plot_intervals,
    plot_observed_and_simulated,
    plot_raster,
    plot_selectivity,
)
from ann2neo.report.style import group_styles
from ann2neo.report.train_figures import autocorrelations
from ann2neo.testing import make_recording

OF_RECORDINGS = [
    plot_raster,
    plot_intervals,
    plot_autocorrelation,
    plot_correlations,
    plot_selectivity,
]
OF_UNITS = [plot_firing_rates, plot_fano_factors]


def note(ax):
    """The line below the figure, on one line."""
    return " ".join(
        next(text.get_text() for text in ax.texts if text.get_gid() == "note").split()
    )


def long_recording(n_units=600, n_bins=1200):
    """More units and bins than a figure shows one by one."""
    return make_recording(
        n_units=n_units, n_time_bins=n_bins, labels=3, layers=["hidden"], seed=3
    )


@pytest.fixture(scope="module")
def units(recording):
    return analyze(recording)


def draw(function, recording, units, **options):
    return function(units if function in OF_UNITS else recording, **options)


@pytest.mark.parametrize(
    ("function", "x", "y", "n_units"),
    [
        (plot_raster, "Time (ms)", "Unit", 24),
        (plot_intervals, "Inter-spike interval (bins)", "Share of intervals", 23),
        (plot_autocorrelation, "Lag (bins)", "Autocorrelation", 23),
        (plot_correlations, "Unit, alike units side by side", "Unit", 23),
        (plot_selectivity, "Label", "Unit, by favourite label", 24),
        (
            plot_fano_factors,
            "Firing rate (spikes per bin)",
            "Fano factor (unbiased)",
            23,
        ),
    ],
)
def test_every_figure_names_its_axes(function, x, y, n_units, recording, units):
    """Both axes say what they measure and in which unit, and a note how many units were
    drawn.
    """
    ax = draw(function, recording, units)
    assert (ax.get_xlabel(), ax.get_ylabel()) == (x, y)
    assert note(ax).startswith(f"{n_units} units")


def test_the_figure_of_rates_names_its_groups(units):
    """The axis of rates has its unit; groups stand at the other one with their size."""
    ax = plot_firing_rates(units)
    assert ax.get_xlabel() == "Firing rate (spikes per bin)"
    assert [label.get_text() for label in ax.get_yticklabels()] == ["test (24 units)"]


@pytest.mark.parametrize("function", OF_RECORDINGS + OF_UNITS)
def test_a_figure_is_drawn_on_the_axes_given(function, recording, units):
    """A caller's axes are drawn on, handed back, and stay in the caller's figure."""
    figure = Figure()
    mine = figure.add_subplot()
    assert draw(function, recording, units, ax=mine) is mine
    assert mine.figure is figure
    assert mine.has_data()


@pytest.mark.slow
def test_figures_need_no_display_and_no_pyplot():
    """Drawing imports no pyplot, so there is no global list of figures to leak into."""
    code = """
import sys, numpy as np
from ann2neo import Recording
from ann2neo.report import plot_raster, plot_intervals
recording = Recording.from_activations(np.random.default_rng(0).normal(size=(90, 4)))
plot_raster(recording).figure.canvas.draw()
plot_intervals(recording).figure.canvas.draw()
print("matplotlib.pyplot" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == "False"


def test_drawing_leaves_the_settings_of_matplotlib_alone(recording):
    """The package's style is not left behind in the caller's settings."""
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    plot_raster(recording).figure.canvas.draw()
    assert dict(mpl.rcParams) == before


def test_a_raster_draws_every_spike():
    """The ticks of a small raster are its spikes, a unit and a time each."""
    dense = np.random.default_rng(0).random((6, 40)) < 0.3
    ax = plot_raster(make_recording(dense, layers=["hidden"]))
    drawn = {
        (int(line[0, 1]), int(line[0, 0])) for line in ax.collections[0].get_segments()
    }
    assert drawn == set(
        zip(*(index.tolist() for index in np.nonzero(dense)), strict=True)
    )


def test_a_raster_sorted_by_label_parts_the_labels(recording):
    """Every label is written once below its stretch, and the bins of a stretch have
    that label.
    """
    few = recording.select(presentations=np.arange(40))
    ax = plot_raster(few, sort="label")
    assert [text.get_text() for text in ax.get_xticklabels()] == ["0", "1", "2", "3"]
    labels = few.presentations["label"].to_numpy()
    order = np.argsort(labels, kind="stable")
    expected = few.raster.to_dense()[:, order]
    drawn = np.zeros_like(expected)
    for line in ax.collections[0].get_segments():
        drawn[int(line[0, 1]), int(line[0, 0])] = True
    np.testing.assert_array_equal(drawn, expected)


@pytest.mark.parametrize("sort", ["time", "label"])
def test_a_large_raster_is_averaged_and_says_so(sort):
    """Cells are the mean of their units and bins, and the note tells their size."""
    recording = long_recording()
    ax = plot_raster(recording, sort=sort)
    cells = np.asarray(ax.collections[0].get_array())
    assert cells.shape[0] <= 250
    assert cells.shape[1] <= 500
    rows, columns = 3, 3 if sort == "time" else 10
    assert f"each cell: mean of {rows} units x {columns} bins" in note(ax)
    dense = recording.raster.to_dense()
    if sort == "label":
        dense = dense[
            :, np.argsort(recording.presentations["label"].to_numpy(), kind="stable")
        ]
    expected = dense.reshape(600 // rows, rows, 1200 // columns, columns).mean(
        axis=(1, 3)
    )
    np.testing.assert_allclose(cells, expected, atol=1e-12)


def test_marginals_are_the_rates(recording):
    """The curve beside the raster is each unit's rate, the one above it each bin's."""
    few = recording.select(presentations=np.arange(50))
    ax = plot_raster(few)
    side = next(child for child in ax.child_axes if child.get_xlabel() == "Firing rate")
    np.testing.assert_allclose(
        side.lines[0].get_xdata(), few.raster.to_dense().mean(axis=1)
    )
    top = next(
        child
        for child in ax.child_axes
        if child.get_title("left") == "Share of units active"
    )
    np.testing.assert_allclose(
        top.patches[0].get_data().values, few.raster.to_dense().mean(axis=0)
    )


def test_rainclouds_show_quartiles_of_every_group(units):
    """Box and median of each group are its quartiles, and a group's colour does not
    depend on the order of rows.
    """
    groups = pd.concat(
        [
            units.assign(condition="random"),
            units.assign(condition="generalizing", firing_rate=0.5),
        ]
    )
    ax = plot_firing_rates(groups, by="condition")
    first, median, third = units["firing_rate"].quantile([0.25, 0.5, 0.75])
    np.testing.assert_allclose(ax.lines[0].get_xdata(), [first, third])
    np.testing.assert_allclose(ax.lines[1].get_xdata(), [median])
    assert (
        ax.lines[2].get_color()
        == group_styles(["generalizing", "random"])["generalizing"][0]
    )
    assert [text.get_text() for text in ax.get_yticklabels()] == [
        "random (24 units)",
        "generalizing (24\nunits)",
    ]


def test_fano_figure_shows_units_and_line(units):
    """Every unit with a Fano factor is a point at its rate; the line is 1 - rate; the
    silent one is counted.
    """
    ax = plot_fano_factors(units)
    valid = units.dropna(subset="fano_factor_unbiased")
    points = next(c for c in ax.collections if c.get_label() == "unit").get_offsets()
    np.testing.assert_allclose(
        points, valid[["firing_rate", "fano_factor_unbiased"]].to_numpy()
    )
    line = next(line for line in ax.lines if "random order" in line.get_label())
    np.testing.assert_allclose(line.get_ydata(), 1 - line.get_xdata())
    assert "1 without a Fano factor not drawn" in note(ax)


def test_many_units_become_hexagons():
    """Above 3 000 units the points are binned, all of them, and the note says so."""
    rate = np.random.default_rng(0).random(5_000)
    ax = plot_fano_factors(
        pd.DataFrame(
            {"firing_rate": rate, "fano_factor_unbiased": 1 - rate, "n_windows": 50}
        )
    )
    assert "hexagons" in note(ax)
    assert ax.collections[-1].get_array().sum() == 5_000


def test_intervals_and_their_fit_are_distributions():
    """Points are the shares of the intervals found; the fit is the geometric
    distribution of the unit's rate.
    """
    bins = np.flatnonzero(np.random.default_rng(0).random(4_000) < 0.4)
    ax = plot_intervals(
        Recording.from_raster(SpikeRaster.from_spike_bins([bins], 4_000)), 0
    )
    observed, fit = ax.lines
    lengths = np.diff(bins)
    for length, share in zip(observed.get_xdata(), observed.get_ydata(), strict=True):
        assert share == pytest.approx((lengths == length).mean())
    rate = len(bins) / 4_000
    np.testing.assert_allclose(
        fit.get_ydata(), rate * (1 - rate) ** (fit.get_xdata() - 1)
    )


def test_pooled_intervals_weigh_units_by_their_intervals():
    """Two units of different rates are fitted by the mixture of two geometric
    distributions.
    """
    bins = [np.arange(0, 100, 2), np.arange(0, 100, 5)]
    ax = plot_intervals(Recording.from_raster(SpikeRaster.from_spike_bins(bins, 100)))
    length, fit = ax.lines[1].get_data()
    expected = (49 * 0.5 * 0.5 ** (length - 1) + 19 * 0.2 * 0.8 ** (length - 1)) / 68
    np.testing.assert_allclose(fit, expected)


def test_autocorrelations_are_those_of_statsmodels():
    """Correlations from the bits agree with statsmodels to 1e-12; a unit that never
    varies has none.
    """
    dense = np.random.default_rng(0).random((5, 300)) < [
        [0.1],
        [0.5],
        [0.9],
        [0.3],
        [0.0],
    ]
    found = autocorrelations(SegmentedRaster(SpikeRaster.from_dense(dense)), 12)
    for unit in range(4):
        np.testing.assert_allclose(
            found[unit],
            acf(dense[unit].astype(float), nlags=12, fft=False)[1:],
            atol=1e-12,
        )
    assert np.isnan(found[4]).all()


def test_independent_bins_stay_inside_the_bounds():
    """Of independent bins about one value in twenty lies outside the bounds, and the
    note tells the share.
    """
    raster = SpikeRaster.from_dense(np.random.default_rng(0).random((200, 1_000)) < 0.4)
    outside = float(
        note(plot_autocorrelation(Recording.from_raster(raster)))
        .split(": ")[1]
        .split(" %")[0]
    )
    # 4 000 values, correlated a little through the common mean: four standard errors.
    assert abs(outside - 5) < 4 * 100 * np.sqrt(0.05 * 0.95 / 4_000)


def test_correlations_are_those_of_numpy(recording):
    """The matrix drawn holds NumPy's correlations of the units that vary, and says who
    was left out.
    """
    ax = plot_correlations(recording)
    drawn = np.ma.filled(ax.images[0].get_array().astype(float), np.nan)
    varying = recording.raster.to_dense()[recording.raster.spike_counts() > 0].astype(
        float
    )
    expected = np.corrcoef(varying)
    pairs = np.sort(expected[np.triu_indices(23, 1)])
    np.testing.assert_allclose(np.sort(drawn[np.triu_indices(23, 1)]), pairs, atol=1e-9)
    assert "1 that never vary left out" in note(ax)


def test_selectivity_shows_the_rate_for_each_label(recording):
    """Every row is a unit's rate for each label; units come by favourite label, the
    silent one last.
    """
    ax = plot_selectivity(recording)
    drawn = np.asarray(ax.collections[0].get_array())
    labels = recording.presentations["label"].to_numpy()
    dense = recording.raster.to_dense()
    expected = np.stack(
        [dense[:, labels == label].mean(axis=1) for label in range(4)], axis=1
    )
    np.testing.assert_allclose(np.sort(drawn, axis=0), np.sort(expected, axis=0))
    assert (np.diff(drawn[:-1].argmax(axis=1)) >= 0).all()
    assert (drawn[-1] == 0).all()


def test_observed_beside_simulated(recording):
    """Two rasters and the spikes so far, whose means end at the mean counts."""
    rates = recording.raster.spike_counts() / 600
    dense = np.random.default_rng(0).random((24, 700)) < rates[:, None]
    axes = plot_observed_and_simulated(recording, make_recording(dense))
    means = [line for line in axes[2].lines if "mean" in str(line.get_label())]
    assert means[0].get_ydata()[-1] == pytest.approx(
        recording.raster.spike_counts().mean()
    )
    assert means[1].get_ydata()[-1] == pytest.approx(dense[:, :600].sum(axis=1).mean())


BAD = [
    (plot_raster, {"phase": "nope"}, InputValueError, "unknown phase 'nope'"),
    (
        plot_raster,
        {"sort": "rate"},
        InputValueError,
        "sort must be one of time, label, got 'rate'",
    ),
    (
        plot_intervals,
        {"unit": 24},
        InputValueError,
        "unit must be at most 23, got 24",
    ),
    (plot_intervals, {"unit": 3}, InputValueError, "no unit has two spikes"),
    (
        plot_autocorrelation,
        {"lags": 600},
        InputValueError,
        "lags must be at most 599, got 600",
    ),
    (plot_autocorrelation, {"lags": 0}, InputValueError, "got 0"),
    (
        plot_autocorrelation,
        {"unit": 3},
        InputValueError,
        "no unit is both active and silent",
    ),
    (
        plot_firing_rates,
        {"by": "condition"},
        InputValueError,
        "lacks the column 'condition'; it has unit",
    ),
    (plot_firing_rates, {"column": "age"}, InputValueError, "lacks the column 'age'"),
]


@pytest.mark.parametrize(("function", "options", "error", "words"), BAD)
def test_bad_input(function, options, error, words, recording, units):
    """Wrong arguments are refused with their value and the rule."""
    with pytest.raises(error, match=words):
        draw(function, recording, units, **options)


def test_bad_recordings(recording, two_phases):
    """A figure of one phase asks which one, labels are asked for where needed, and a
    table is not a recording.
    """
    with pytest.raises(
        InputValueError,
        match=r"say which phase, as phase=...; this recording has 'train', 'test'",
    ):
        plot_raster(two_phases)
    bare = Recording.from_raster(recording.raster)
    with pytest.raises(InputValueError, match="no labels to sort by"):
        plot_raster(bare, sort="label")
    with pytest.raises(InputValueError, match="has no labels, and tuning needs them"):
        plot_selectivity(bare)
    same = Recording.from_activations(np.eye(3), labels=["a", "a", "a"])
    with pytest.raises(InputValueError, match="two labels or more, this phase has 1"):
        plot_selectivity(same)
    with pytest.raises(InputTypeError, match="needs a Recording, got DataFrame"):
        plot_raster(recording.units)
    with pytest.raises(InputTypeError, match="table of units, as analyze"):
        plot_firing_rates(recording)
    with pytest.raises(InputValueError, match="two units that vary, this phase has 1"):
        plot_correlations(make_recording([[1, 0, 1], [0, 0, 0]]))
    with pytest.raises(InputValueError, match="the same units and time bins"):
        plot_observed_and_simulated(recording, recording.select(units=[0]))


@pytest.mark.parametrize("n_bins", [1, 2, 3, 10])
@pytest.mark.parametrize("n_units", [1, 2])
def test_the_smallest_rasters_can_be_drawn(n_units, n_bins):
    """One unit or one bin is drawn without an error or a warning."""
    ax = plot_raster(make_recording(np.ones((n_units, n_bins), bool)))
    ax.figure.canvas.draw()
    assert len(ax.collections[0].get_segments()) == n_units * n_bins
