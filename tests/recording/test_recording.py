"""Recording: tables with fixed types, phases, selection, concatenation, equality."""

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest
import quantities as pq

from ann2neo.errors import ActivationError, InputTypeError, InputValueError
from ann2neo.raster import SpikeRaster
from ann2neo.recording import Recording
from ann2neo.recording.segments import Phase, phase_table
from ann2neo.recording.tables import table_sha256


def network_recording(n_presentations=40, n_units=6, phase="test", seed=0, **options):
    rng = np.random.default_rng(seed)
    options = {
        "labels": rng.integers(0, 3, n_presentations),
        "predictions": rng.integers(0, 3, n_presentations),
        "stimulus_id": rng.permutation(n_presentations),
        "order": "random",
        **options,
    }
    return Recording.from_activations(
        rng.normal(size=(n_presentations, n_units)), phase=phase, **options
    )


def trials_recording():
    raster = SpikeRaster.from_dense(np.random.default_rng(3).random((2, 100)) < 0.3)
    presentations = pd.DataFrame(
        {"start_bin": [5, 30, 60], "stop_bin": [20, 50, 75], "label": ["b", "a", "b"]}
    )
    return Recording.from_raster(raster, presentations=presentations)


def test_a_spike_is_an_activation_strictly_above_the_threshold():
    """An activation equal to the threshold is no spike; thresholds may differ
    by unit.
    """
    recording = Recording.from_activations(
        [[0.0, 1.0], [0.1, 1.5]], threshold=[0.0, 1.0]
    )
    np.testing.assert_array_equal(
        recording.raster.to_dense(), [[False, True], [False, True]]
    )
    assert recording.units["threshold"].to_list() == [0.0, 1.0]


def test_further_axes_become_units_in_c_order():
    """Activations of shape (presentation, row, column, channel) flatten as NumPy
    does.
    """
    activations = np.random.default_rng(0).normal(size=(9, 2, 3, 2))
    recording = Recording.from_activations(activations)
    np.testing.assert_array_equal(
        recording.raster.to_dense(), (activations.reshape(9, 12) > 0).T
    )


def test_column_types_are_fixed():
    """Whatever integers and strings come in, the same types are kept."""
    recording = network_recording(
        labels=np.arange(40, dtype=np.int8) % 3, predictions=np.zeros(40, np.uint16)
    )
    types = recording.presentations.dtypes.astype(str).to_dict()
    assert types == {
        "start_bin": "int64",
        "stop_bin": "int64",
        "phase": "str",
        "kind": "str",
        "stimulus_id": "int64",
        "label": "int32",
        "prediction": "int32",
        "is_correct": "bool",
    }
    named = network_recording(
        labels=np.array(["cat", "dog"])[np.arange(40) % 2], predictions=None
    )
    assert str(named.presentations["label"].dtype) == "str"
    assert "is_correct" not in named.presentations


def test_tables_handed_out_are_copies():
    """Changing a table that was handed out leaves the recording alone."""
    recording = network_recording()
    before = recording.presentations
    table = recording.presentations
    table.loc[:, "label"] = np.int32(9)
    pd.testing.assert_frame_equal(recording.presentations, before)


def test_concatenated_phases_come_back_out():
    """Phases that are concatenated and selected again are unchanged, except that time
    goes on.
    """
    train, test = (
        network_recording(37, phase="train"),
        network_recording(21, phase="test", seed=1),
    )
    both = Recording.concatenate([train, test])
    assert [tuple(phase) for phase in both.iter_phases()] == [
        ("train", 0, 37, "random"),
        ("test", 37, 58, "random"),
    ]
    assert both.select(phase="train").equals(train, identity=False)
    part = both.select(phase="test")
    np.testing.assert_array_equal(part.raster.to_dense(), test.raster.to_dense())
    assert float(part.t_start) == 37.0
    pd.testing.assert_frame_equal(part.presentations, test.presentations)
    assert both.phase_raster("test").equals(part.raster)
    assert Recording.concatenate([train, test]).equals(both)


def test_selections_hold_what_they_name():
    """A selection keeps the units, labels and presentations it names, in order of
    time.
    """
    recording = network_recording()
    dense = recording.raster.to_dense()
    keep = (recording.presentations["label"] == 1).to_numpy()
    np.testing.assert_array_equal(
        recording.select(label=1).raster.to_dense(), dense[:, keep]
    )
    np.testing.assert_array_equal(
        recording.select(units=[4, 2]).raster.to_dense(), dense[[4, 2]]
    )
    assert recording.select(units=lambda units: units["unit_in_layer"] > 3).units[
        "unit_in_layer"
    ].to_list() == [4, 5]
    chosen = recording.select(presentations=[7, 3], units=[0])
    np.testing.assert_array_equal(chosen.raster.to_dense(), dense[:1, [3, 7]])
    assert recording.select(label=1).equals(recording.select(label=1))
    assert recording.select(label=1).identifier != recording.identifier


def test_trials_of_many_bins_are_set_side_by_side():
    """Selected trials keep their bins; the bins between them are gone."""
    recording = trials_recording()
    dense = recording.raster.to_dense()
    part = recording.select(label="b")
    np.testing.assert_array_equal(
        part.raster.to_dense(),
        np.concatenate([dense[:, 5:20], dense[:, 60:75]], axis=1),
    )
    assert part.presentations[["start_bin", "stop_bin"]].to_numpy().tolist() == [
        [0, 15],
        [15, 30],
    ]


def test_stimulus_order_undoes_the_shuffle():
    """Two recordings of the same stimuli in different orders align, phase by phase."""
    rng = np.random.default_rng(5)
    activations = rng.normal(size=(30, 4))
    aligned = []
    for seed in (1, 2):
        order = np.random.default_rng(seed).permutation(30)
        shuffled = Recording.from_activations(
            activations[order], stimulus_id=order, order="random"
        )
        aligned.append(shuffled.in_stimulus_order())
    assert aligned[0].raster.equals(aligned[1].raster)
    np.testing.assert_array_equal(aligned[0].raster.to_dense(), (activations > 0).T)
    assert [phase.order for phase in aligned[0].iter_phases()] == ["stored"]


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"phase": "other"},
        {"order": "stored"},
        {"labels": np.zeros(40, int)},
        {"threshold": 0.001},
        {"layer": "other"},
        {"sampling_period": 2 * pq.ms},
        {"t_start": 1 * pq.ms},
        {"provenance": {"seed": "1"}},
    ],
)
def test_equals_sees_every_difference(change):
    """A change of any part makes two recordings differ."""
    assert network_recording().equals(network_recording(), identity=False)
    assert not network_recording().equals(network_recording())
    assert not network_recording().equals(network_recording(**change), identity=False)


def test_provenance_that_differs_is_kept_by_phase():
    """What two recordings agree on is kept once, what not once per phase."""
    one = network_recording(phase="train", provenance={"model": "mlp", "seed": "1"})
    two = network_recording(phase="test", provenance={"model": "mlp", "seed": "2"})
    assert Recording.concatenate([one, two]).provenance == {
        "model": "mlp",
        "seed [train]": "1",
        "seed [test]": "2",
    }


def test_phases_can_be_renamed():
    """A renamed phase carries its presentations along."""
    renamed = network_recording().with_phase_names({"test": "validation"})
    assert set(renamed.presentations["phase"]) == {"validation"}
    assert renamed.phase_raster("validation").n_time_bins == 40


def test_a_table_sum_sees_names_types_and_order():
    """Equal tables have one checksum in any order of columns; other cells, names or
    rows change it.
    """
    table = pd.DataFrame({"b": ["x", "yz"], "a": [1, 2]})
    assert table_sha256(table) == table_sha256(table[["a", "b"]])
    others = [
        table.assign(a=[2, 1]),
        table.assign(b=["xy", "z"]),
        table.rename(columns={"a": "c"}),
        table.iloc[:1],
        table.assign(a=[1.0, 2.0]),
    ]
    assert len({table_sha256(other) for other in [table, *others]}) == 6


def with_tables(**tables):
    raster = SpikeRaster.from_dense(np.zeros((2, 10), bool))
    parts = {
        "units": pd.DataFrame(index=range(2)),
        "presentations": pd.DataFrame(
            {"start_bin": [0], "stop_bin": [10], "phase": ["a"]}
        ),
        "phases": phase_table([Phase("a", 0, 10, "random")]),
        **tables,
    }
    return Recording(raster, parts["units"], parts["presentations"], parts["phases"])


def shown(start, stop, phase="a"):
    return pd.DataFrame(
        {"start_bin": start, "stop_bin": stop, "phase": [phase] * len(start)}
    )


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (
            lambda: network_recording().select(phase="x"),
            InputValueError,
            "unknown phase 'x'; this recording has 'test'",
        ),
        (
            lambda: network_recording().select(label=9),
            InputValueError,
            "no presentation has the label 9; there are 0, 1, 2",
        ),
        (
            lambda: trials_recording().select(presentations=[3]),
            InputValueError,
            "presentations run from 3 to 3",
        ),
        (
            lambda: network_recording().select(units=[True]),
            InputValueError,
            r"mask of units needs shape \(6,\), got \(1,\)",
        ),
        (
            lambda: network_recording().select(units=["a"]),
            InputTypeError,
            "units must be a list of integers or a mask, got <U1",
        ),
        (
            lambda: network_recording(labels=None, predictions=None).select(label=1),
            InputValueError,
            "no labels; record",
        ),
        (
            lambda: trials_recording().in_stimulus_order(),
            InputValueError,
            "no stimulus_id",
        ),
        (lambda: Recording.concatenate([]), InputValueError, "at least one recording"),
        (
            lambda: Recording.concatenate(
                [network_recording(), network_recording(order="stored")]
            ),
            InputValueError,
            "phase named 'test' in different order; rename one with",
        ),
        (
            lambda: Recording.concatenate(
                [network_recording(), network_recording(n_units=5, phase="b")]
            ),
            InputValueError,
            "same unit tables",
        ),
        (
            lambda: Recording.concatenate(
                [network_recording(), network_recording(phase="b", predictions=None)]
            ),
            InputValueError,
            "only some recordings have the presentation column",
        ),
        (
            lambda: Recording.from_activations([[1.0, np.nan]]),
            ActivationError,
            "got nan at presentation 0, unit 1",
        ),
        (lambda: Recording.from_activations([[np.inf]]), ActivationError, "got inf"),
        (
            lambda: Recording.from_activations([1.0, 2.0]),
            InputValueError,
            r"activations\[:, None\]",
        ),
        (
            lambda: Recording.from_activations(np.zeros((0, 3))),
            InputValueError,
            "no presentation",
        ),
        (
            lambda: Recording.from_activations([["a"]]),
            InputTypeError,
            "must be numbers",
        ),
        (
            lambda: Recording.from_activations(np.zeros((2, 3)), threshold=[1, 2]),
            InputValueError,
            r"shape \(3,\)",
        ),
        (
            lambda: network_recording(labels=[1, 2]),
            InputValueError,
            r"one entry per presentation, shape \(40,\), got shape",
        ),
        (lambda: network_recording(labels=np.eye(40)), InputValueError, "argmax"),
        (
            lambda: network_recording(labels=np.full(40, 2**63, np.uint64)),
            InputTypeError,
            "integers below 2.63, got 9223372036854775808; use strings",
        ),
        (
            lambda: network_recording(order="sorted"),
            InputValueError,
            "random, stored, unknown, got 'sorted'",
        ),
        (
            lambda: network_recording().with_phase_names({"x": "y"}),
            InputValueError,
            "unknown phase 'x'",
        ),
        (
            lambda: with_tables(units=pd.DataFrame(index=range(3))),
            InputValueError,
            "one row per unit, 2, got 3",
        ),
        (
            lambda: with_tables(units=pd.DataFrame({"a": [1, None]}, dtype=object)),
            InputTypeError,
            "found 1.*''.*-1",
        ),
        (
            lambda: with_tables(
                units=pd.DataFrame(
                    {"layer": "a", "unit_in_layer": [0, 1], "channel": ["x", "y"]}
                )
            ),
            InputTypeError,
            "'channel' of units must be int64",
        ),
        (
            lambda: with_tables(presentations=shown([8], [12])),
            InputValueError,
            "does not lie in a segment of the phase 'a'",
        ),
        (
            lambda: with_tables(presentations=shown([0], [5], "b")),
            InputValueError,
            "phase 'b' it names",
        ),
        (
            lambda: with_tables(presentations=shown([5, 0], [6, 1])),
            InputValueError,
            "sorted by start_bin",
        ),
        (
            lambda: with_tables(presentations=pd.DataFrame({"start_bin": [0]})),
            InputValueError,
            "lacks the column",
        ),
        (
            lambda: with_tables(
                phases=phase_table(
                    [Phase("a", 0, 6, "random"), Phase("b", 5, 10, "random")]
                )
            ),
            InputValueError,
            "without overlap",
        ),
        (
            lambda: with_tables(phases=phase_table([Phase("a", 0, 11, "random")])),
            InputValueError,
            "inside 0 .. 10",
        ),
        (
            lambda: with_tables(
                phases=phase_table(
                    [Phase("a", 0, 5, "random"), Phase("a", 5, 10, "random")]
                )
            ),
            InputValueError,
            "different names",
        ),
    ],
)
def test_bad_input_says_value_rule_and_remedy(call, error, words):
    """Each mistake is refused with words that name it."""
    with pytest.raises(error, match=words):
        call()


def test_a_session_start_needs_a_time_zone():
    """A naive datetime is refused, an aware one kept."""
    recording = network_recording()
    parts = recording.raster, recording.units, recording.presentations, recording.phases
    start = datetime(2026, 1, 2, tzinfo=UTC)
    assert Recording(*parts, session_start_time=start).session_start_time == start
    with pytest.raises(InputValueError, match="time zone"):
        Recording(*parts, session_start_time=datetime(2026, 1, 2))  # noqa: DTZ001
