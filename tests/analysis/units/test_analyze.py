"""analyze: its columns, its phases, and what it does with bad input and bad units."""

import numpy as np
import pandas as pd
import pytest
from trains import KINDS, recording_of, train

import ann2neo
from ann2neo import Recording, SpikeRaster
from ann2neo.analysis._phases import FewWindowsWarning
from ann2neo.analysis.table_of_statistics import (
    STATISTICS,
    column_values,
    statistic_of,
    unit_columns,
)
from ann2neo.analysis.units.analyze import ENGINES
from ann2neo.analysis.units.counts import Counts
from ann2neo.errors import InputTypeError, InputValueError
from ann2neo.testing import make_recording


def activations(n_presentations=300, n_units=4, seed=0):
    return np.random.default_rng(seed).normal(size=(n_presentations, n_units))


def test_columns_and_types_are_those_of_the_table_of_statistics():
    """A table has exactly the columns of the table of statistics, in their types,
    whatever the units.
    """
    for rows in (
        [train(kind, 300, 0.3, 1) for kind in KINDS],
        [np.zeros(0, bool)],
        [np.ones(1, bool)],
    ):
        table = ann2neo.analyze(recording_of(*rows))
        assert list(table.columns) == [column.name for column in unit_columns()]
        assert [str(dtype) for dtype in table.dtypes] == [
            column.dtype for column in unit_columns()
        ]
        assert table.attrs == {}


def test_every_statistic_is_described():
    """Names are unique, and every column has a sentence, a known type and a unit or
    none.
    """
    names = [column.name for column in unit_columns()]
    assert len(set(names)) == len(names)
    for column in unit_columns():
        assert column.description.endswith((".", ")"))
        assert column.dtype in {"float64", "int64", "str"}
    for entry in STATISTICS:
        assert entry.validity
        assert bool(entry.null) == bool(entry.pvalue)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_missing_number_has_a_reason_and_a_number_has_none(engine):
    """In every row a statistic's numbers are all there, or all missing with a
    reason.
    """
    table = ann2neo.analyze(
        recording_of(*(train(kind, 200, 0.1, 3) for kind in KINDS)), engine=engine
    )
    for entry in STATISTICS:
        missing = table[f"{entry.name}_reason"] != ""
        for column in entry.columns:
            values = table[column.name]
            absent = (
                values.isna() if column.dtype == "float64" else values == column.missing
            )
            pd.testing.assert_series_equal(absent, missing, check_names=False)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("n_time_bins", range(9))
def test_any_length_gives_a_table(engine, n_time_bins):
    """From no bin at all to eight bins, silent, saturated and between, no unit makes
    the table fail.
    """
    rows = [
        np.zeros(n_time_bins, bool),
        np.ones(n_time_bins, bool),
        np.arange(n_time_bins) % 3 == 0,
    ]
    table = ann2neo.analyze(recording_of(*rows), engine=engine)
    assert len(table) == 3
    expected = (
        ["too_short"] * 3 if n_time_bins < 4 else ["silent", "saturated", "active"]
    )
    assert table["status"].to_list() == expected


def test_one_bad_unit_does_not_change_the_others():
    """A unit's row is the same alone and among silent, saturated and periodic units."""
    good = train("bernoulli", 800, 0.4, 5)
    alone = ann2neo.analyze(recording_of(good))
    among = ann2neo.analyze(
        recording_of(*(train(kind, 800, 0.2, 1) for kind in KINDS), good)
    ).tail(1)
    pd.testing.assert_frame_equal(
        alone.drop(columns="unit"), among.drop(columns="unit").reset_index(drop=True)
    )


def test_phases_are_analysed_apart():
    """Each phase's rows are those of the phase alone, and bins in no phase are not
    seen.
    """
    first = Recording.from_activations(
        activations(seed=1), phase="train", order="random"
    )
    second = Recording.from_activations(
        activations(500, seed=2), phase="test", order="stored"
    )
    table = ann2neo.analyze(Recording.concatenate([first, second]))
    alone = pd.concat(
        [ann2neo.analyze(first), ann2neo.analyze(second)], ignore_index=True
    )
    pd.testing.assert_frame_equal(table, alone)
    assert table["order"].to_list() == ["random"] * 4 + ["stored"] * 4
    gap = Recording(
        SpikeRaster.concatenate(
            [first.raster, SpikeRaster.from_dense(np.ones((4, 7))), second.raster]
        ),
        first.units,
        pd.DataFrame({"start_bin": [0], "stop_bin": [300], "phase": ["train"]}),
        pd.DataFrame(
            {
                "phase": ["train", "test"],
                "start_bin": [0, 307],
                "stop_bin": [300, 807],
                "order": ["random", "stored"],
            }
        ),
    )
    pd.testing.assert_frame_equal(ann2neo.analyze(gap), alone)


def test_blocks_of_units_do_not_show():
    """Units beyond a block's size are numbered on and computed alike."""
    rows = np.random.default_rng(0).random((600, 64)) < 0.4
    table = ann2neo.analyze(recording_of(*rows))
    assert table["unit"].to_list() == list(range(600))
    last = ann2neo.analyze(recording_of(rows[-1]))
    pd.testing.assert_frame_equal(
        table.tail(1).drop(columns="unit").reset_index(drop=True),
        last.drop(columns="unit"),
    )


def test_what_the_recording_knows_of_its_units_is_joined():
    """Identification columns come along; empty ones stay out, and a clash is
    renamed.
    """
    units = pd.DataFrame(
        {
            "layer": ["a", "b"],
            "channel": [-1, -1],
            "row": [0, 1],
            "firing_rate": [9.0, 8.0],
        }
    )
    recording = Recording.from_raster(SpikeRaster.from_dense(np.eye(2, 40)), units)
    table = ann2neo.analyze(recording)
    assert table["layer"].to_list() == ["a", "b"]
    assert table["row"].to_list() == [0, 1]
    assert table["unit_firing_rate"].to_list() == [9.0, 8.0]
    assert "channel" not in table
    assert list(table.columns[:2]) == ["unit", "layer"]


@pytest.mark.parametrize(
    ("n_time_bins", "window"),
    [(20, 2), (35, 3), (500, 50), (1000, 100), (60_000, 100), (3, 2)],
)
def test_the_default_window_is_a_tenth_at_most_a_hundred(n_time_bins, window):
    """Without a window asked for, it is min(100, max(2, N // 10)), and nobody is
    warned.
    """
    table = ann2neo.analyze(
        recording_of(np.arange(n_time_bins) % 3 == 0), statistics=["fano"]
    )
    assert table["window"].to_list() == [window]
    assert table["n_windows"].to_list() == [n_time_bins // window]


def test_a_window_asked_for_is_honoured_with_a_warning():
    """A window that leaves few windows is used, warned of, and below two windows there
    is NaN and a reason.
    """
    recording = recording_of(train("bernoulli", 300, 0.4, 0))
    with pytest.warns(
        FewWindowsWarning, match="100 bins leaves 3 windows in 300 bins"
    ) as warned:
        table = ann2neo.analyze(recording, window=100)
    assert warned[0].filename == __file__
    counts = recording.raster.to_dense()[0].reshape(3, 100).sum(axis=1)
    fano = counts.var(ddof=1) / counts.mean()
    assert table["fano_factor_unbiased"].to_list() == pytest.approx([fano])
    for window, n_windows in ((151, 1), (301, 0)):
        with pytest.warns(FewWindowsWarning, match=f"leaves {n_windows} windows"):
            table = ann2neo.analyze(recording, window=window)
        assert table["window"].to_list() == [window]
        assert table["fano_factor"].isna().all()
        assert (
            f"{n_windows} complete windows of {window} bins"
            in table["fano_reason"].iloc[0]
        )
        assert table["adf_statistic"].notna().all()


def test_a_window_of_one_bin_has_a_fano_factor_and_no_dispersion():
    """With windows of one bin the Fano factor is 1 - p; dispersion is NaN and
    says why.
    """
    row = ann2neo.analyze(recording_of(train("bernoulli", 300, 0.4, 0)), window=1).iloc[
        0
    ]
    assert row["fano_factor"] == pytest.approx(1 - row["firing_rate"])
    assert np.isnan(row["dispersion"])
    assert "one bin" in row["dispersion_reason"]


@pytest.mark.parametrize("engine", ENGINES)
def test_more_lags_than_bins_is_missing_with_a_reason(engine):
    """Ljung-Box needs more bins than lags; the other statistics are there."""
    row = ann2neo.analyze(
        recording_of(train("bernoulli", 40, 0.4, 0)), lags=40, engine=engine
    ).iloc[0]
    assert np.isnan(row["ljung_box_statistic"])
    assert row["ljung_box_reason"] == "40 lags need more than 40 time bins, got 40"
    assert np.isfinite(row["trend_statistic"])


@pytest.mark.parametrize("engine", ENGINES)
def test_one_presentation_gives_a_table(engine):
    """A recording of one presentation has rates, and reasons for everything else."""
    table = ann2neo.analyze(Recording.from_activations([[0.5, -1.0]]), engine=engine)
    assert table["firing_rate"].to_list() == [1.0, 0.0]
    assert table["status"].to_list() == ["too_short"] * 2
    assert (table["dispersion_reason"] != "").all()


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (
            {"recording": np.eye(3)},
            InputTypeError,
            "analyze needs a Recording, got ndarray; wrap .*, or make one with record",
        ),
        ({"window": 0}, InputValueError, "window must be at least 1, got 0"),
        ({"window": -5}, InputValueError, "window must be at least 1, got -5"),
        (
            {"window": 2.5},
            InputTypeError,
            r"window must be a whole number of bins, got 2.5 \(float\)",
        ),
        (
            {"window": True},
            InputTypeError,
            "window must be a whole number of bins, got True",
        ),
        ({"lags": 0}, InputValueError, "lags must be at least 1, got 0"),
        ({"lags": -1}, InputValueError, "lags must be at least 1, got -1"),
        (
            {"lags": "ten"},
            InputTypeError,
            r"lags must be a whole number of lags, got 'ten' \(str\)",
        ),
        (
            {"engine": "elephant"},
            InputValueError,
            "engine must be one of fast, reference, got 'elephant'",
        ),
        (
            {"statistics": ["fanofactor"]},
            InputValueError,
            "a name in statistics must be one of firing_.*got 'fanofactor'",
        ),
        (
            {"statistics": 3},
            InputTypeError,
            r"statistics must be a name or a list of names, got 3 \(int\)",
        ),
    ],
)
def test_bad_input_says_value_rule_and_remedy(arguments, error, words):
    """Each mistake is refused with words that name it."""
    given = {"recording": recording_of(np.eye(1, 30, dtype=bool)[0]), **arguments}
    with pytest.raises(error, match=words):
        ann2neo.analyze(**given)


def test_one_column_can_be_had_alone():
    """column_values gives a column of the battery, NaN where it is not valid, and
    refuses others by name.
    """
    rows = [train(kind, 400, 0.2, 1) for kind in KINDS]
    table = ann2neo.analyze(recording_of(*rows))
    counts = Counts(SpikeRaster.from_dense(rows), 40, 10)
    for name in (
        "firing_rate",
        "dispersion_pvalue",
        "lv",
        "adf_statistic",
        "ljung_box_pvalue",
    ):
        np.testing.assert_array_equal(
            column_values(counts, name), table[name].to_numpy()
        )
        assert statistic_of(name).name in name
    with pytest.raises(
        InputValueError, match="unknown column 'fano'; the valid ones are firing_rate, "
    ):
        column_values(counts, "fano")


def test_a_recording_without_units_or_phases_gives_an_empty_table():
    """No unit, or no phase, is a table of no rows with all columns."""
    empty = make_recording(np.zeros((0, 50)))
    table = ann2neo.analyze(empty)
    assert table.shape == (0, len(unit_columns()))
    raster = SpikeRaster.from_dense(np.ones((2, 50)))
    none = pd.DataFrame(
        {
            "phase": pd.array([], "str"),
            "start_bin": [],
            "stop_bin": [],
            "order": pd.array([], "str"),
        }
    )
    shown = pd.DataFrame(
        {"start_bin": [], "stop_bin": [], "phase": pd.array([], "str")}
    )
    unobserved = Recording(
        raster,
        pd.DataFrame(index=range(2)),
        shown,
        none.astype({"start_bin": int, "stop_bin": int}),
    )
    assert len(ann2neo.analyze(unobserved)) == 0


def test_a_statistic_may_stand_alone():
    """statistics="fano" is that of ["fano"]."""
    recording = recording_of(np.eye(1, 30, dtype=bool)[0])
    pd.testing.assert_frame_equal(
        ann2neo.analyze(recording, statistics="fano"),
        ann2neo.analyze(recording, statistics=["fano"]),
    )
