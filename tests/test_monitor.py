"""SpikeMonitor: what it puts into the logs, and that training does not notice it."""

import keras
import numpy as np
import pytest

import ann2neo
from ann2neo import SpikeMonitor
from ann2neo.errors import Ann2NeoError
from ann2neo.monitor import MONITORED


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    return rng.normal(size=(320, 6)).astype(np.float32), (np.arange(320) % 3)


def _model(optimizer=None):
    keras.utils.set_random_seed(0)
    layers = [
        keras.layers.Dense(20, "relu", name="first"),
        keras.layers.Dense(12, "relu", name="second"),
    ]
    model = keras.Sequential(
        [keras.Input((6,)), *layers, keras.layers.Dense(3, "softmax")]
    )
    model.compile(
        optimizer or keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy"
    )
    return model


def test_the_logs_hold_what_a_recording_of_the_network_says(data):
    """After the last epoch the values are those of summarize on a recording of the
    probe set; the unbiased mean Fano factor is a column of its own.
    """
    x, y = data
    model, monitor = _model(), SpikeMonitor(x, x_val=x[:100] + 1, seed=4)
    logs = model.fit(x, y, epochs=3, verbose=0, callbacks=[monitor]).history
    for prefix, stimuli in (
        ("spike_", monitor._sets["train"]),
        ("val_spike_", x[:100] + 1),
    ):
        units = ann2neo.analyze(
            ann2neo.record(model, stimuli, layers="second", seed=4), window=10
        )
        expected = ann2neo.summarize(units).iloc[0].to_dict()
        expected["mean_fano_factor_unbiased"] = units["fano_factor_unbiased"].mean()
        for name in MONITORED[:-2]:
            assert logs[prefix + name][-1] == pytest.approx(
                expected[name], rel=1e-12
            ), prefix + name
            assert len(logs[prefix + name]) == 3


def test_flips_are_those_between_recordings_of_two_epochs(data):
    """In the first epoch there is nothing to compare with; after it, the shares are
    those that compare_patterns gives for recordings before and after the epoch, on
    the probe set in its order.
    """
    x, y = data
    model, monitor = _model(), SpikeMonitor(x, layers="second", seed=4)
    logs = model.fit(x, y, epochs=1, verbose=0, callbacks=[monitor]).history
    names = ["spike_pattern_flips", "spike_pattern_flips_floor"]
    assert np.isnan([logs[name][0] for name in names]).all()

    stages = []
    keep = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda *_: stages.append(
            ann2neo.record(model, monitor._sets["train"], layers="second")
        )
    )
    logs = model.fit(x, y, epochs=3, verbose=0, callbacks=[monitor, keep]).history
    for epoch in (1, 2):
        flips = ann2neo.compare_patterns(*stages[epoch - 1 : epoch + 1], seed=0)
        row = flips.summary.iloc[0]
        for name in names:
            expected = row[name.removeprefix("spike_")]
            assert logs[name][epoch] == pytest.approx(expected, rel=1e-12)
            assert logs[name][epoch] > 0


def test_the_probe_set_is_a_seeded_choice_of_the_samples(data):
    """By default 100 samples are shown, all of them from the data, the same for the
    same seed.
    """
    x, _ = data
    chosen = SpikeMonitor(x, seed=1)._sets["train"]
    assert len(chosen) == len(np.unique(chosen, axis=0)) == 100
    assert {row.tobytes() for row in chosen} <= {row.tobytes() for row in x}
    np.testing.assert_array_equal(chosen, SpikeMonitor(x, seed=1)._sets["train"])
    assert not np.array_equal(chosen, SpikeMonitor(x, seed=2)._sets["train"])
    assert len(SpikeMonitor(x[:60])._sets["train"]) == 60


def test_several_layers_are_named_in_the_columns(data):
    """With several layers every column ends in its layer, and the history has a row per
    layer.
    """
    x, y = data
    monitor = SpikeMonitor(x, layers=["first", "second"])
    logs = _model().fit(x, y, epochs=2, verbose=0, callbacks=[monitor]).history
    assert {
        f"spike_{name}_{layer}" for name in MONITORED for layer in ("first", "second")
    } <= set(logs)
    history = monitor.history
    assert history[["epoch", "layer"]].to_numpy().tolist() == [
        [0, "first"],
        [0, "second"],
        [1, "first"],
        [1, "second"],
    ]
    assert (
        history["mean_firing_rate"].to_list()[::2]
        == logs["spike_mean_firing_rate_first"]
    )


def test_batches_are_watched_on_request(data):
    """every="batch" adds a row per batch; the last batch of an epoch and the epoch's
    end say the same.
    """
    x, y = data
    monitor = SpikeMonitor(x, every="batch")
    _model().fit(x, y, epochs=2, batch_size=64, verbose=0, callbacks=[monitor])
    history = monitor.history
    assert history["batch"].to_list() == [0, 1, 2, 3, 4, -1] * 2
    for _, epoch in history.groupby("epoch"):
        last, end = epoch.iloc[-2], epoch.iloc[-1]
        assert last[list(MONITORED)].equals(end[list(MONITORED)])
    assert history["mean_firing_rate"].nunique() > 3


@pytest.mark.slow
@pytest.mark.parametrize(
    "every", ["batch", pytest.param("epoch", marks=pytest.mark.slow)]
)
def test_training_does_not_notice_the_monitor(data, every):
    """Weights and losses are bit for bit those of a training without it."""
    x, y = data
    watched, alone = _model(keras.optimizers.Adam()), _model(keras.optimizers.Adam())
    keras.utils.set_random_seed(1)
    first = watched.fit(
        x, y, epochs=3, verbose=0, callbacks=[SpikeMonitor(x, every=every)]
    ).history["loss"]
    keras.utils.set_random_seed(1)
    second = alone.fit(x, y, epochs=3, verbose=0).history["loss"]
    assert first == second
    for mine, other in zip(watched.get_weights(), alone.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, other)


def test_early_stopping_reads_the_monitored_value(data):
    """EarlyStopping on the mean firing rate stops a real training once the rate no
    longer falls by enough.
    """
    x, y = data
    stop = keras.callbacks.EarlyStopping(
        monitor="spike_mean_firing_rate", mode="min", min_delta=0.03, patience=2
    )
    model = _model()
    labels = np.random.default_rng(0).permutation(y)
    rates = model.fit(
        x, labels, epochs=60, verbose=0, callbacks=[SpikeMonitor(x), stop]
    ).history
    n = len(rates["spike_mean_firing_rate"])
    assert 2 < n < 60
    assert stop.stopped_epoch == n - 1


def test_csv_logger_writes_the_columns(data, tmp_path):
    """A CSVLogger after the monitor has its columns."""
    import pandas as pd

    x, y = data
    logger = keras.callbacks.CSVLogger(str(tmp_path / "log.csv"))
    logs = (
        _model()
        .fit(x, y, epochs=2, verbose=0, callbacks=[SpikeMonitor(x, x_val=x), logger])
        .history
    )
    table = pd.read_csv(tmp_path / "log.csv")
    np.testing.assert_allclose(
        table["val_spike_silent_share"], logs["val_spike_silent_share"]
    )


def test_a_second_training_starts_a_new_history(data):
    """The history is of the last training, also of another model."""
    x, y = data
    monitor = SpikeMonitor(x)
    _model().fit(x, y, epochs=3, verbose=0, callbacks=[monitor])
    _model().fit(x, y, epochs=1, verbose=0, callbacks=[monitor])
    assert monitor.history["epoch"].to_list() == [0]


def test_a_layer_without_a_spike_has_no_fano_factor(data):
    """A silent layer reads rate 0, silent share 1 and NaN where nothing can be
    computed, without a warning.
    """
    x, y = data
    logs = (
        _model()
        .fit(x, y, epochs=1, verbose=0, callbacks=[SpikeMonitor(x, threshold=1e9)])
        .history
    )
    assert (logs["spike_mean_firing_rate"], logs["spike_silent_share"]) == (
        [0.0],
        [1.0],
    )
    assert np.isnan(
        logs["spike_mean_fano_factor"] + logs["spike_cv_firing_rate_percent"]
    ).all()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"every": "step"}, "every must be one of epoch, batch, got 'step'"),
        ({"n_samples": 15}, "at least two windows"),
        ({"window": 0}, "at least two windows"),
        (
            {"x": np.zeros((12, 6))},
            "x must hold at least two windows of 10 samples, got 12",
        ),
        ({"x_val": np.zeros((3, 6))}, "x_val must hold at least two windows"),
        ({"x": iter([])}, "x must be an array"),
        ({"x": [np.zeros((30, 6)), np.zeros((31, 2))]}, "of equal length"),
    ],
)
def test_bad_input_is_refused_before_training(arguments, words):
    """An unsuitable probe set is an error when the monitor is made."""
    with pytest.raises(Ann2NeoError, match=words):
        SpikeMonitor(**{"x": np.zeros((100, 6)), **arguments})


def test_an_unknown_layer_is_an_error_that_lists_the_valid_ones(data):
    """An unknown layer stops the training with an error that lists the layers."""
    x, y = data
    with pytest.raises(Ann2NeoError, match="first"):
        _model().fit(x, y, verbose=0, callbacks=[SpikeMonitor(x, layers="third")])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"layers": "third"}, "first"),
        ({"x": np.zeros((100, 7), np.float32)}, "7"),
        ({"x_val": np.zeros((100, 5), np.float32)}, "5"),
    ],
)
def test_layers_and_shapes_are_checked_before_the_first_batch(data, options, words):
    """What the network does not take stops the training before a weight changed."""
    x, y = data
    model = _model()
    before = model.get_weights()
    with pytest.raises(Ann2NeoError, match=words):
        model.fit(x, y, verbose=0, callbacks=[SpikeMonitor(**{"x": x, **options})])
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_training_that_diverges_goes_on_with_nan(data, caplog):
    """Weights that become NaN are NaN in logs and history, and logged."""
    x, y = data

    class Diverge(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            del logs
            if epoch == 1:
                weights = [np.full_like(w, np.nan) for w in self.model.get_weights()]
                self.model.set_weights(weights)

    monitor = SpikeMonitor(x, layers=["first", "second"])
    logs = (
        _model().fit(x, y, epochs=3, verbose=0, callbacks=[Diverge(), monitor]).history
    )
    rates = logs["spike_mean_firing_rate_second"]
    assert np.isnan(rates).tolist() == [False, True, True]
    assert monitor.history["layer"].to_list() == ["first", "second"] * 3
    assert sum("are NaN" in record.message for record in caplog.records) == 2


def test_a_monitor_says_what_it_watches(data):
    """Its repr names probe sets, layers, threshold and how often."""
    monitor = SpikeMonitor(data[0], layers="first", every="batch")
    assert repr(monitor) == (
        "SpikeMonitor(train: 100 samples, layers='first', threshold=0.0, window=10,"
        " every='batch')"
    )
