"""Figures of many networks: each is drawn where it belongs, and no verdict is given."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from typer.testing import CliRunner

from ann2neo import InputValueError, write_nwb
from ann2neo.cli import app
from ann2neo.report import (
    plot_indicator_against_gap,
    plot_indicator_by_width,
    plot_place,
    plot_training,
    render_report,
)
from ann2neo.report.style import group_styles


@pytest.fixture(scope="module")
def results():
    """Two conditions, two widths, two seeds, two splits."""
    rows = [
        {
            "dataset": "digits",
            "network": "MLP",
            "width": width,
            "condition": condition,
            "seed": seed,
            "split": split,
            "order": "random",
            "accuracy_train": 1.0,
            "accuracy_validation": (
                0.9 if condition == "generalizing" else 0.1 + 0.01 * seed
            ),
            "mean_firing_rate": (
                0.5 + 0.1 * (condition == "generalizing") + width / 1000 + 0.001 * seed
            ),
            "mean_fano_factor": 0.4,
        }
        for condition in ("random", "generalizing")
        for width in (64, 128)
        for seed in (0, 1)
        for split in ("train", "test")
    ]
    return pd.DataFrame(rows)


def test_every_network_is_a_point_at_its_gap(results):
    """Points lie at training minus validation accuracy, in the colour of their
    condition, of one split only.
    """
    ax = plot_indicator_against_gap(results)
    by_name = {points.get_label(): points for points in ax.collections}
    test = results[results["split"] == "test"]
    for condition, part in test.groupby("condition"):
        expected = np.column_stack(
            [
                part["accuracy_train"] - part["accuracy_validation"],
                part["mean_firing_rate"],
            ]
        )
        np.testing.assert_allclose(by_name[condition].get_offsets(), expected)
        colour = to_rgb(group_styles(["generalizing", "random"])[condition][0])
        np.testing.assert_allclose(by_name[condition].get_facecolor()[0][:3], colour)
    assert "8 networks" in next(
        text.get_text() for text in ax.texts if text.get_gid() == "note"
    )


def test_lines_join_the_means_of_each_width(results):
    """The line of a condition runs through the mean over its networks at each width."""
    ax = plot_indicator_by_width(results, split="train")
    means = (
        results[results["split"] == "train"]
        .groupby(["condition", "width"])["mean_firing_rate"]
        .mean()
    )
    for line, condition in zip(ax.lines, ("random", "generalizing"), strict=True):
        np.testing.assert_allclose(line.get_ydata(), means[condition])


def test_a_training_curve_marks_the_switch_and_what_was_found():
    """The curve is drawn in order; the switch of labels and the point found lie between
    the right recordings.
    """
    curve = pd.DataFrame(
        {
            "epoch": 0,
            "batch": range(10),
            "split": "train",
            "labels": ["true"] * 4 + ["random"] * 6,
        }
    )
    curve["mean_firing_rate"] = np.linspace(0.5, 0.4, 10)
    ax = plot_training(curve, change_points={"found": 5})
    line, switch, found = ax.lines
    np.testing.assert_allclose(line.get_ydata(), curve["mean_firing_rate"])
    assert (switch.get_xdata()[0], switch.get_label()) == (4.5, "labels switch")
    assert (found.get_xdata()[0], found.get_label()) == (5.5, "found")
    assert ax.get_xlabel() == "Batch"


def test_a_curve_without_batches_is_drawn_over_its_epochs():
    """Epochs may be fractions of any spacing; the switch of labels lies between the two
    values around it.
    """
    curve = pd.DataFrame(
        {
            "epoch": [0.5, 1.5, 4.0, 6.0],
            "split": "test",
            "labels": ["true", "true", "random", "random"],
            "mean_firing_rate": [0.5, 0.6, 0.3, 0.2],
        }
    )
    ax = plot_training(curve)
    line, switch = ax.lines
    np.testing.assert_allclose(line.get_xdata(), curve["epoch"])
    assert switch.get_xdata()[0] == 2.75
    assert ax.get_xlabel() == "Epoch"


def test_a_place_is_shown_without_a_label(results):
    """Ranges reach from the least to the greatest network of a condition, and nothing
    names a class for the network.
    """
    ax = plot_place(0.6, results)
    test = results[results["split"] == "test"].groupby("condition", sort=False)[
        "mean_firing_rate"
    ]
    for line, (_, values) in zip(ax.lines, test, strict=False):
        np.testing.assert_allclose(line.get_xdata(), [values.min(), values.max()])
    assert ax.get_legend().get_texts()[0].get_text() == "this network: 0.600"
    assert "a place, not a verdict" in ax.texts[0].get_text()


BAD = [
    (
        lambda rows: plot_indicator_against_gap(rows, "age"),
        "table of results lacks the column 'age'",
    ),
    (
        lambda rows: plot_indicator_by_width(rows, split="dev"),
        "no network was recorded on split 'dev'; there are train",
    ),
    (
        lambda rows: plot_place(float("nan"), rows),
        "value must be a finite number, got nan",
    ),
    (plot_training, "table of curve lacks the column 'epoch'"),
]


@pytest.mark.parametrize(("call", "words"), BAD)
def test_bad_input(call, words, results):
    """Missing columns, unknown splits and missing numbers are refused by name."""
    with pytest.raises(InputValueError, match=words):
        call(results)


def test_a_report_shows_the_place_among_a_study(recording, results):
    """With a study's rows every phase has one figure more, whose words deny that it is
    evidence.
    """
    page = render_report({"one": recording}, study=results)
    assert page.count('id="r1p1-place"') == 1
    assert "Lying in a range is no evidence" in page


def test_the_command_needs_a_folder_of_results(recording, tmp_path):
    """A folder that holds no study is named in a one-line error, and no page is
    written.
    """
    write_nwb(recording, tmp_path / "one.nwb")
    arguments = [
        "report",
        str(tmp_path / "one.nwb"),
        "-o",
        str(tmp_path / "page.html"),
        "--study",
        str(tmp_path),
    ]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 1
    assert str(tmp_path) in done.output
    assert not (tmp_path / "page.html").exists()
