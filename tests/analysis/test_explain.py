"""explain and the printed summary: every number has words, and they fit the order of
the stimuli.
"""

import dataclasses
import inspect

import keras
import numpy as np
import pandas as pd
import pytest
from trains import KINDS, recording_of, segmented_recording, train

import ann2neo
from ann2neo import Recording
from ann2neo.analysis.columns import MONITORED_TRIAL_COLUMNS, RECORDING_COLUMNS, TABLES
from ann2neo.analysis.explain import column_descriptions, true_by_construction
from ann2neo.analysis.networks.summary_text import network_text
from ann2neo.analysis.table_of_statistics import NETWORK_TESTS, TESTS, statistic_of
from ann2neo.errors import InputValueError
from ann2neo.testing import make_recording


@pytest.fixture(scope="module")
def recording():
    """Two phases of four units with labels; two units have a place in a layer."""
    rng = np.random.default_rng(0)
    return Recording.concatenate(
        [
            Recording.from_activations(
                rng.normal(size=(240, 4)),
                labels=np.arange(240) % 3,
                stimulus_id=np.arange(240) % 60,
                phase=phase,
                order="random",
            )
            for phase in ("train", "test")
        ]
    )


def trained_monitor():
    """A SpikeMonitor after one epoch of training."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(2)]
    )
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).normal(size=(40, 4))
    monitor = ann2neo.SpikeMonitor(x)
    model.fit(x, np.zeros((40, 2)), verbose=0, callbacks=[monitor])
    return monitor


def trials_of_both_kinds():
    """A table of trials by label, and so with every column."""
    return ann2neo.analyze_trials(
        make_recording(n_units=3, n_time_bins=60)
        .with_presentations(
            pd.DataFrame(
                {
                    "start_bin": np.arange(0, 60, 6),
                    "stop_bin": np.arange(6, 66, 6),
                    "label": np.arange(10) % 2,
                }
            )
        )
        .cut_trials(),
        by="label",
    )


def returned(recording):
    """What each function that returns a table returns, by its name."""
    one = recording.select(phase="train")
    units = ann2neo.analyze(recording)
    tuning = ann2neo.selectivity(recording, n_permutations=9)
    steps = np.random.default_rng(0).random(4000) < np.repeat([0.3, 0.8], 2000)
    changes = ann2neo.change_points(recording_of(steps), [500], n_surrogates=20)
    correlations = dataclasses.asdict(ann2neo.correlations(one))
    with pytest.warns(ann2neo.SurrogateWarning, match="need"):
        tested = ann2neo.surrogate_test(recording, "lv", n_surrogates=9)
    return {
        "analyze": [units],
        "summarize": [ann2neo.summarize(units)],
        "network_test": [ann2neo.network_test(recording, 9)],
        "summarize_populations": [
            ann2neo.summarize_populations(recording, n_permutations=9)
        ],
        "correlations": [pd.DataFrame([correlations])],
        "complexity": [ann2neo.complexity(recording)],
        "selectivity": [tuning],
        "single_stimulus_overlap": [
            ann2neo.single_stimulus_overlap(tuning).to_frame().T
        ],
        "analyze_trials": [trials_of_both_kinds()],
        "variability_over_repeats": [ann2neo.variability_over_repeats(recording)],
        "surrogate_test": [tested],
        "fit_processes": [ann2neo.fit_processes(recording)],
        "counting_processes": [
            ann2neo.counting_processes(one, n_simulations=3, n_points=4)
        ],
        "change_points": [changes.points, changes.units],
        "compare": [ann2neo.compare(one, one.select(units=[0, 1]))],
        "SpikeMonitor": [trained_monitor().history],
        **of_patterns(),
        **of_two_recordings(),
    }


def of_two_recordings():
    """What functions return that compare responses to the same stimuli."""
    network = make_recording(n_time_bins=40, labels=3, layers=["a", "b"])
    return {
        "similarity": [ann2neo.similarity(network, network, n_permutations=3)],
        "decode_labels": [ann2neo.decode_labels(network, n_permutations=3)],
    }


def of_patterns():
    """What functions of patterns return for a network, by their names."""
    network = make_recording(labels=3, layers=["a", "b"])
    flips = ann2neo.compare_patterns(network, network, n_permutations=9)
    nearest = ann2neo.nearest_patterns(network, k=3)
    scores = ann2neo.out_of_distribution_scores(network, network)
    return {
        "patterns": [ann2neo.patterns(network)],
        "dead_units": [ann2neo.dead_units(network)],
        "compare_patterns": [flips.summary, flips.units, flips.samples],
        "nearest_patterns": [nearest.classify(), nearest.score(n_permutations=9)],
        "out_of_distribution_scores": [scores],
        "out_of_distribution_auroc": [
            ann2neo.out_of_distribution_auroc(scores, scores)
        ],
    }


def test_every_column_of_every_table_is_described(recording):
    """Each column that a function returns is in the table of statistics, with a
    sentence, a unit and its type, and nothing else is.
    """
    tables = returned(recording)
    assert set(tables) == set(TABLES)
    for function, parts in tables.items():
        described = {column.name: column for column in TABLES[function]}
        names = {name for part in parts for name in part}
        assert names <= set(described), function
        of_units = function in {"analyze", "analyze_trials"}
        optional = {c.name for c in RECORDING_COLUMNS} if of_units else set()
        if function == "SpikeMonitor":
            optional = {column.name for column in MONITORED_TRIAL_COLUMNS}
        rows = {test.name for test in NETWORK_TESTS} if function != "summarize" else {}
        assert set(described) - names <= {*optional, *rows}, function
        for part in parts:
            for name in part:
                column = described[name]
                assert column.description.endswith((".", ")")), name
                assert (column.unit == "") == (column.dtype in {"", "str", "bool"}) or (
                    column.dtype == ""
                ), name
                if column.dtype and function not in {
                    "correlations",
                    "single_stimulus_overlap",
                }:
                    assert part[name].dtype == column.dtype, (function, name)
                assert ann2neo.explain(name, table=function).startswith(
                    column.description
                )


def test_every_public_function_that_returns_a_table_is_in_the_list():
    """Functions of ours that return a DataFrame or Series of numbers are all in the
    list of tables.
    """
    others = {"psth"}
    for name in ann2neo.__all__:
        function = getattr(ann2neo, name)
        if not inspect.isfunction(function) or ".analysis." not in function.__module__:
            continue
        result = inspect.signature(function).return_annotation
        if result in {
            "pd.DataFrame",
            "pd.Series",
            "Correlations",
            "ChangePoints",
            "NearestPatterns",
            "PatternFlips",
        }:
            assert name in {*TABLES, *others}, name


def test_columns_whose_names_vary_are_explained(recording):
    """Rates per label, a recording's columns beside ours of that name, the columns that
    tables are split by and the logs of a training are explained, and described.
    """
    tuning = ann2neo.selectivity(recording, n_permutations=9, rates=True)
    assert ann2neo.explain("rate_2") == (
        "Spikes per bin of the presentations with the label 2; NaN in phases without"
        " it."
    )
    described = column_descriptions(tuning)
    assert described["rate_0"].endswith("without it. Unit: 1/bin.")
    assert not any("as the recording has it" in text for text in described.values())
    own = Recording(
        recording.raster,
        recording.units.assign(order=1, layer="a"),
        recording.presentations,
        segments=recording.segments,
    )
    units = ann2neo.analyze(own)
    for name in set(units) - set(ann2neo.analyze(recording)):
        assert ann2neo.explain(name, table="analyze").startswith(
            "order of the unit" if name == "unit_order" else "Name of the layer"
        )
    for table in (ann2neo.summarize(units, by="layer"), ann2neo.compare(own, own)):
        for name in table:
            assert ann2neo.explain(name)
    by_layer = ann2neo.compare(own, own, by="layer")
    assert "as the recording has it" not in column_descriptions(by_layer)["layer"]
    assert "layer" in ann2neo.explain("layer", table="compare")


def test_logs_of_a_training_are_explained():
    """Each statistic in the logs is explained like its column in the history, of one
    layer too; the longer name wins.
    """
    monitor = trained_monitor()
    logs = [name for name in monitor.model.history.history if "spike_" in name]
    assert len(logs) == 7
    for name in logs:
        column = name.removeprefix("spike_")
        first = ann2neo.explain(column).partition(". ")[0]
        assert ann2neo.explain(name).startswith(first)
        of_layer = ann2neo.explain(f"val_{name}_hidden", table="SpikeMonitor")
        assert "SpikeMonitor with `x_val`, in the layer hidden." in of_layer
    assert "the layer" not in ann2neo.explain("spike_mean_fano_factor_unbiased")
    with pytest.raises(InputValueError, match="unknown column 'spike_rate'"):
        ann2neo.explain("spike_rate")


@pytest.mark.parametrize("column", [c.name for table in TABLES.values() for c in table])
def test_every_column_is_explained(column):
    """Each column of the tables has at least one whole sentence, in every order."""
    for order in (None, "random", "stored", "unknown"):
        assert ann2neo.explain(column, order).endswith(".")


def test_a_name_of_several_tables_means_what_the_table_says():
    """The table decides what a shared name means; without one the units' comes
    first.
    """
    assert "activation" in ann2neo.explain("threshold")
    assert "constant rate" in ann2neo.explain("threshold", table="change_points")
    assert "Name" in ann2neo.explain("statistic", table="network_test")


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


@pytest.mark.parametrize("order", ["random", "unknown", None])
@pytest.mark.parametrize("column", ["trend_pvalue", "ljung_box_pvalue", "adf_pvalue"])
def test_a_random_order_of_long_stimuli_is_not_said_to_settle_what_runs_inside(
    column, order
):
    """Wherever a random order is said to decide a test, the limit is named: stimuli
    longer than one bin.
    """
    words = "settles what runs across them, not what runs inside"
    assert words in ann2neo.explain(column, order)
    assert words not in ann2neo.explain(column, "stored")


def test_the_test_of_stationarity_is_kpss():
    """No other test calls itself one, and both that look alike name it."""
    assert "the test of stationarity" in ann2neo.explain("kpss_pvalue")
    assert "Not a test of stationarity" in ann2neo.explain("trend_pvalue")
    for column in ("trend_pvalue", "adf_pvalue"):
        assert "kpss_pvalue" in ann2neo.explain(column)
    assert statistic_of("trend_pvalue").null == "independent bins of one rate"


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
        (
            ("fano",),
            "unknown column 'fano'; the valid ones are accuracy, .*, adf_lag, ",
        ),
        (("adf_pvalue", "shuffled"), "order must be"),
        (("pvalue", None, "summary"), "table must be one of analyze, summarize, .*"),
    ],
)
def test_unknown_words_are_errors(arguments, words):
    """An unknown column or order is an error that lists the valid ones."""
    with pytest.raises(InputValueError, match=words):
        ann2neo.explain(*arguments[:2], table=(*arguments, None, None)[2])


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
    tested = ann2neo.network_test(recording_of(train("bernoulli", 200, 0.3, 0)), 9)
    assert "joint permutations" in column_descriptions(tested)["null_mean"]


def test_a_foreign_column_is_not_taken_for_ours():
    """A column of somebody's recording that only shares the name of one of ours is
    described as theirs.
    """
    units = ann2neo.analyze(recording_of(train("bernoulli", 200, 0.3, 0)))
    ours, theirs = units.assign(depth=3), units.assign(depth=372.5)
    assert "feature map" in column_descriptions(ours)["depth"]
    assert "as the recording has it" in column_descriptions(theirs)["depth"]


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


def test_the_printed_summary_says_how_many_bins_are_in_windows():
    """Where segments leave many bins over, the share in windows is printed."""
    row = train("bernoulli", 600, 0.3, 0)
    texts = [
        network_text(ann2neo.summarize(ann2neo.analyze(recording, window=20)))
        for recording in (segmented_recording([row], [30] * 20), recording_of(row))
    ]
    assert "20 windows of 20 bins with 67 % of the bins" in texts[0]
    assert "% of the bins" not in texts[1]


def test_the_printed_summary_of_a_dead_layer_has_no_nan():
    """Where nothing can be computed the summary says so."""
    text = network_text(
        ann2neo.summarize(ann2neo.analyze(recording_of(*np.zeros((3, 500), bool))))
    )
    assert "no unit could be tested" in text
    assert "nan" not in text


def test_the_printed_summary_has_a_line_for_every_test():
    """Each statistic of the table that has a null hypothesis is in the summary, those
    that reject by design last.
    """
    rows = [train(kind, 1000, 0.3, 1) for kind in KINDS]
    text = network_text(ann2neo.summarize(ann2neo.analyze(recording_of(*rows))))
    lines = text.splitlines()
    nulls = [test.null_in_short for test in TESTS]
    assert all(nulls)
    places = {
        null: next(i for i, line in enumerate(lines) if null in line) for null in nulls
    }
    by_design = [t.null_in_short for t in TESTS if t.rejects_by_design]
    assert set(sorted(nulls, key=places.get)[-len(by_design) :]) == set(by_design)
