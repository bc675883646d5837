"""Figures of two recordings show the numbers that the functions return."""

import numpy as np
import pandas as pd
import pytest

from ann2neo import (
    InputTypeError,
    InputValueError,
    Recording,
    dissimilarities,
    similarity,
)
from ann2neo.report import (
    plot_dissimilarities,
    plot_matched_tuning,
    plot_similarity,
)
from ann2neo.testing import make_recording


def note(ax):
    """The line below the figure, on one line."""
    return " ".join(
        next(text.get_text() for text in ax.texts if text.get_gid() == "note").split()
    )


def network(n_items=24, seed=0, first=0):
    """Random units, with stimuli of three labels."""
    rng = np.random.default_rng(seed)
    ids = np.arange(first, first + n_items)
    return Recording.from_activations(
        rng.normal(size=(n_items, 20)),
        stimulus_id=ids,
        labels=np.array(["c", "a", "b"])[ids % 3],
    )


def test_dissimilarities_are_drawn_in_the_order_of_labels():
    """Each panel shows the ranks of its dissimilarities, shared items sorted by label
    alike in all; what is not shared is counted.
    """
    one, other = network(), network(seed=1, first=6)
    rdms = [dissimilarities(side, "hamming") for side in (one, other)]
    ax = plot_dissimilarities(*rdms, names=["neurons", "network"])
    left, right = (axes.images[0].get_array() for axes in ax.child_axes)
    order = np.lexsort([np.arange(6, 24), [2, 0, 1] * 6]) + 6
    matrix = rdms[0].matrix()[np.ix_(order, order)]
    pairs = np.triu_indices(18, 1)
    ranks = pd.Series(matrix[pairs].round(12)).rank() / 153
    np.testing.assert_allclose(left[pairs], ranks)
    assert left.shape == right.shape == (18, 18)
    assert [axes.get_title(loc="left") for axes in ax.child_axes] == [
        "neurons",
        "network",
    ]
    labels = [text.get_text() for text in ax.child_axes[0].get_xticklabels()]
    assert labels == ["a", "b", "c"]
    assert "18 items" in note(ax)
    assert "not shared: 6, 6" in note(ax)


def test_many_items_are_thinned_out():
    """Of more than 400 items, 400 evenly spaced ones are drawn, as the note says."""
    recording = make_recording(n_units=9, n_time_bins=500, layers=["a"])
    ax = plot_dissimilarities(dissimilarities(recording, "hamming"))
    assert ax.child_axes[0].images[0].get_array().shape == (400, 400)
    assert "400 items" in note(ax)
    assert "of 500" in note(ax)


def test_dissimilarities_that_cannot_be_drawn():
    """None, five, other things, no shared items and too few names are refused."""
    rdm = dissimilarities(network(), "hamming")
    with pytest.raises(InputValueError, match="one to 4 matrices, got 0"):
        plot_dissimilarities()
    with pytest.raises(InputValueError, match="got 5"):
        plot_dissimilarities(*[rdm] * 5)
    with pytest.raises(InputTypeError, match="got ndarray"):
        plot_dissimilarities(rdm.condensed)
    with pytest.raises(InputValueError, match="share 0 items"):
        plot_dissimilarities(rdm, dissimilarities(network(first=100), "hamming"))
    with pytest.raises(InputValueError, match="names must be 1 names"):
        plot_dissimilarities(rdm, names=["a", "b"])


def test_similarity_shows_points_ceilings_and_missing_rows():
    """Points are the similarities, and a row without one is left out and counted."""
    one, other = network(), network(seed=1)
    table = similarity(one, other, n_permutations=9).assign(layer="first")
    empty = table.iloc[:1].assign(layer="second", similarity=np.nan)
    shown = pd.concat([table.assign(ceiling=0.9), empty])
    ax = plot_similarity(shown, by="layer")
    points = [
        line.get_ydata()[0]
        for line in ax.lines
        if len(line.get_xdata()) == 1 and line.get_marker() in {"o", "s"}
    ]
    assert points == table["similarity"].to_list()
    assert [text.get_text() for text in ax.get_xticklabels()] == ["first"]
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert texts == ["rsa", "cka", "noise ceiling"]
    assert "1 row without a similarity" in note(ax)


def test_similarity_tables_that_cannot_be_drawn():
    """Other tables, missing columns and tables without a similarity are refused."""
    table = similarity(network(), network(seed=1), n_permutations=9)
    with pytest.raises(InputTypeError, match=r"table that ann2neo\.similarity returns"):
        plot_similarity(pd.DataFrame({"similarity": [1.0]}))
    with pytest.raises(InputValueError, match="column of the table, got 'layer'"):
        plot_similarity(table, by="layer")
    with pytest.raises(InputValueError, match="no row of the table has a similarity"):
        plot_similarity(table.assign(similarity=np.nan))


RATES = np.array([[0.9, 0.1, 0.5, 0.3], [0.1, 0.9, 0.3, 0.6], [0.2, 0.4, 0.8, 0.1]])


def test_units_are_matched_by_their_tuning():
    """Each unit stands beside the one of the same tuning, and r is that of the half of
    the presentations by which it was not chosen.
    """
    one = make_recording(n_units=3, n_time_bins=800, rate=RATES, labels=4)
    other = make_recording(
        n_units=3, n_time_bins=800, rate=RATES[::-1], labels=4, seed=1
    )
    ax = plot_matched_tuning(one, other, names=["neurons", "network"])
    titles = [axes.get_title(loc="left") for axes in ax.child_axes]
    pairs = {title.partition("\n")[0] for title in titles}
    assert pairs == {"unit 0 · unit 2", "unit 1 · unit 1", "unit 2 · unit 0"}
    assert all(float(title.partition("r = ")[2]) > 0.9 for title in titles)
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert texts == ["neurons", "network"]


def test_the_best_of_many_random_units_is_not_called_alike():
    """Among many untuned units some tuning always matches; r of the other half shows
    that it means nothing.
    """
    one, other = (
        make_recording(n_units=n, n_time_bins=400, labels=4, seed=seed)
        for n, seed in ((20, 0), (200, 1))
    )
    ax = plot_matched_tuning(one, other, n_pairs=20)
    values = [
        float(axes.get_title(loc="left").partition("r = ")[2]) for axes in ax.child_axes
    ]
    assert len(values) == 20
    assert abs(np.mean(values)) < 0.5


def test_tuning_that_cannot_be_matched():
    """No labels, too few and no tuned unit are refused."""
    unlabelled = make_recording(n_units=3)
    with pytest.raises(InputValueError, match="no column 'label'"):
        plot_matched_tuning(unlabelled, unlabelled)
    two = make_recording(n_units=3, labels=2)
    with pytest.raises(InputValueError, match="at least 3 shared labels, and there"):
        plot_matched_tuning(two, two)
    silent = make_recording(np.zeros((2, 60)), labels=np.arange(60) % 3)
    with pytest.raises(InputValueError, match="no unit of one recording responds"):
        plot_matched_tuning(silent, silent)
