"""explain and the printed summary: every number has words, and they fit the order of
the stimuli.
"""

import numpy as np
import pytest
from trains import KINDS, recording_of, train

import ann2neo
from ann2neo.analysis.explain import column_descriptions, true_by_construction
from ann2neo.analysis.networks.network_test import NETWORK_STATISTICS
from ann2neo.analysis.networks.summarize import NETWORK_COLUMNS
from ann2neo.analysis.networks.summary_text import network_text
from ann2neo.analysis.statistics import unit_columns
from ann2neo.errors import InputValueError

COLUMNS = [
    *(c.name for c in unit_columns()),
    *(c.name for c in NETWORK_COLUMNS),
    *NETWORK_STATISTICS,
]


@pytest.mark.parametrize("column", COLUMNS)
def test_every_column_is_explained(column):
    """Each column of the tables has at least one whole sentence, in every order."""
    for order in (None, "random", "stored", "unknown"):
        assert ann2neo.explain(column, order).endswith(".")


@pytest.mark.parametrize(
    "column",
    [
        "dispersion",
        "dispersion_pvalue",
        "ljung_box_pvalue",
        "trend_pvalue",
        "mean_dispersion",
        "fano_factor",
        "ljung_box_rejected_share",
        "ljung_box_pearson_pvalue",
        "mean_ljung_box_statistic",
    ],
)
def test_tests_of_order_are_true_by_construction_in_random_order(column):
    """In random order a test of order is said to be true by construction, in stored
    order to describe the data set.
    """
    words = "true by construction: a rejection points to a fault in the pipeline"
    assert words in ann2neo.explain(column, "random")
    assert words not in ann2neo.explain(column, "stored")
    assert "describes the data set" in ann2neo.explain(column, "stored")
    assert words in ann2neo.explain(column)


@pytest.mark.parametrize(
    "column", ["adf_pvalue", "adf_rejected_share", "fano_pvalue", "fano_rejected_share"]
)
def test_tests_that_reject_by_design_are_not_called_true_by_construction(column):
    """Where zeros and ones reject whatever their order, a rejection is not said to
    point to a fault.
    """
    assert "rejects by design" in ann2neo.explain(column, "random")
    assert "fault" not in ann2neo.explain(column, "random")
    assert not true_by_construction(column)


@pytest.mark.parametrize(
    "column",
    [
        "firing_rate",
        "silent_share",
        "fano_factor_expected",
        "n_windows",
        "cv_isi_expected",
    ],
)
def test_what_does_not_depend_on_order_says_nothing_of_it(column):
    """Rates, counts and expectations are explained in one sentence, alike in
    any order.
    """
    assert (
        ann2neo.explain(column)
        == ann2neo.explain(column, "random")
        == ann2neo.explain(column, "stored")
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("fano",), "unknown column 'fano'; the valid ones are adf_lag, "),
        (("adf_pvalue", "shuffled"), "order must be"),
    ],
)
def test_unknown_words_are_errors(arguments, words):
    """An unknown column or order is an error that lists the valid ones."""
    with pytest.raises(InputValueError, match=words):
        ann2neo.explain(*arguments)


def test_every_column_of_a_table_has_a_description_for_the_file():
    """Tables of units and networks are described column by column, the recording's own
    columns included.
    """
    units = ann2neo.analyze(recording_of(train("bernoulli", 200, 0.3, 0))).assign(
        brain_area="V1"
    )
    network = ann2neo.summarize(units)
    described = column_descriptions(units, network)
    assert set(described) == set(units.columns) | set(network.columns)
    assert described["firing_rate_hz"].endswith("Unit: Hz.")
    assert "as the recording has it" in described["brain_area"]


@pytest.mark.parametrize("order", ["random", "stored", "unknown"])
def test_the_printed_summary_marks_what_order_decides(order):
    """Marks stand where a random order makes a number true by construction, and the
    note fits the order.
    """
    rows = [train(kind, 1000, 0.3, 1) for kind in KINDS]
    text = network_text(
        ann2neo.summarize(ann2neo.analyze(recording_of(*rows, order=order)))
    )
    lines = text.splitlines()
    marked = {
        line.removeprefix("* ").split("  ")[0]
        for line in lines
        if line.startswith("* ")
    }
    assert {"mean Fano factor", "mean dispersion"} <= marked
    assert "mean firing rate" not in marked
    assert ("true by construction: a rejection" in lines[-1]) == (order == "random")
    assert "follows from the rates alone" in text
    assert f"{order} order" in lines[0]


def test_the_printed_summary_of_a_dead_layer_has_no_nan():
    """Where nothing can be computed the summary says so."""
    text = network_text(
        ann2neo.summarize(ann2neo.analyze(recording_of(*np.zeros((3, 500), bool))))
    )
    assert "no unit could be tested" in text
    assert "nan" not in text
