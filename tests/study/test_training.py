"""Networks, training and conditions of the study."""

import keras
import numpy as np
import pytest

import ann2neo
from ann2neo.errors import InputValueError
from ann2neo.study import conditions, training
from ann2neo.study.conditions import NetworkUnderStudy, conditions_of, epoch_limit
from ann2neo.study.networks import (
    build_network,
    initial_weights,
    learning_twin,
    weights_of,
)
from ann2neo.study.training import Trainer

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def digits():
    return ann2neo.load_dataset("digits")


@pytest.fixture(scope="module")
def small():
    """Eight classes of noisy blobs, so that every training is short."""
    rng = np.random.default_rng(0)
    y = np.arange(700, dtype=np.int32) % 8
    x = rng.random((700, 6, 6)) + (np.arange(36).reshape(6, 6) % 8 == y[:, None, None])
    return ann2neo.DataSet("blobs", x[:600], y[:600], x[600:], y[600:], 2.0, "a test")


@pytest.fixture(scope="module")
def cnn(small):
    return NetworkUnderStudy(small, "CNN", 12, max_epochs=3)


def _same(first, second):
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize(
    ("network", "shape", "classes"),
    [
        ("MLP", (8, 8, 1), ["Flatten", "Dense", "Dense"]),
        ("CNN", (8, 8, 1), ["Conv2D", "Flatten", "Dense", "Dense"]),
        ("DenseNet121", (32, 32, 1), ["Functional", "Flatten", "Dense", "Dense"]),
    ],
)
def test_networks_are_the_papers(network, shape, classes):
    """Each network has the paper's layers, a hidden layer of the width asked for, and a
    softmax over the classes.
    """
    model = build_network(network, 24, shape, 10)
    assert [type(layer).__name__ for layer in model.layers] == classes
    assert model.get_layer("hidden").units == 24
    assert model.layers[-1].activation is keras.activations.softmax


def test_untrained_weights_depend_on_the_seed_alone():
    """The same seed gives the same Glorot-uniform kernels in another network, whatever
    was drawn before.
    """
    first, second = (build_network("MLP", 32, (8, 8, 1)) for _ in range(2))
    np.random.default_rng().random(5)
    assert _same(initial_weights(first, 3), initial_weights(second, 3))
    assert not _same(initial_weights(first, 3), initial_weights(first, 4))
    kernel, bias, *_ = initial_weights(first, 3)
    limit = np.sqrt(6 / (64 + 32))
    assert 0.98 * limit < np.abs(kernel).max() <= limit
    assert kernel.std() == pytest.approx(limit / np.sqrt(3), rel=0.03)
    assert not bias.any()


@pytest.mark.parametrize("xla", [False, True])
def test_an_epoch_is_keras_own_sgd(digits, xla):
    """One epoch gives the weights that Keras' fit gives on the same batches, the last
    and short one included.
    """
    x, y = digits.inputs("train")[:600], digits.labels("train")[:600]
    ours, theirs = (
        build_network("CNN" if not xla else "MLP", 16, x.shape[1:]) for _ in range(2)
    )
    start = initial_weights(ours, 0)
    ours.set_weights(start)
    theirs.set_weights(start)
    Trainer(ours, xla=xla).train(x, y, max_epochs=1, seed=5)
    order = np.random.default_rng([5, 0]).permutation(600)
    theirs.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
    theirs.fit(x[order], y[order], batch_size=256, shuffle=False, verbose=0)
    for mine, other in zip(weights_of(ours), weights_of(theirs), strict=True):
        np.testing.assert_allclose(mine, other, atol=2e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "shape"), [("CNN", (8, 8, 1)), ("DenseNet121", (32, 32, 3))]
)
def test_a_twin_in_mixed_precision_is_the_same_network(network, shape):
    """Its weights are float32 in the same order, it computes in bfloat16 but for the
    softmax, and answers alike.
    """
    model = build_network(network, 16, shape)
    twin = learning_twin(model, "mixed_bfloat16")
    assert [w.shape for w in weights_of(twin)] == [w.shape for w in weights_of(model)]
    assert {w.dtype for w in weights_of(twin)} == {np.dtype(np.float32)}
    inner = [
        layer for part in twin.layers[:-1] for layer in getattr(part, "layers", [part])
    ]
    assert {
        layer.compute_dtype
        for layer in inner
        if not isinstance(layer, keras.layers.InputLayer)
    } == {"bfloat16"}
    assert twin.layers[-1].compute_dtype == "float32"
    weights = initial_weights(model, 0)
    model.set_weights(weights)
    twin.set_weights(weights)
    x = np.random.default_rng(0).random((20, *shape), dtype=np.float32)
    exact, rounded = np.asarray(model(x)), np.asarray(twin(x))
    assert not np.array_equal(exact, rounded)
    np.testing.assert_allclose(rounded, exact, rtol=0.05)


@pytest.mark.parametrize(
    ("precision", "off"), [("float32", 2e-6), ("mixed_bfloat16", 5e-3)]
)
def test_batch_normalization_learns_as_keras_does(digits, precision, off):
    """Scales, offsets and moving averages after an epoch whose last batch is short are
    those of Keras' own layer.
    """
    x, y = digits.inputs("train")[:300], digits.labels("train")[:300]
    layers = [
        keras.layers.Conv2D(6, 3),
        keras.layers.BatchNormalization(),
        keras.layers.ReLU(),
        keras.layers.Flatten(),
        keras.layers.Dense(10, activation="softmax"),
    ]
    keras.utils.set_random_seed(0)
    theirs = keras.Sequential([keras.Input(x.shape[1:]), *layers])
    ours = learning_twin(theirs, precision)
    ours.set_weights(theirs.get_weights())
    before = weights_of(theirs)
    for model in (ours, theirs):
        Trainer(model).train(x, y, max_epochs=1, seed=5)
    for name, mine, other, at_first in zip(
        theirs.weights, weights_of(ours), weights_of(theirs), before, strict=True
    ):
        assert not np.array_equal(mine, at_first), name.path
        np.testing.assert_allclose(mine, other, atol=off, err_msg=name.path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("condition", "off"), [("generalizing", 0.02), ("mem_random_last", 0.3)]
)
def test_mixed_precision_trains_alike(small, condition, off):
    """Three epochs in mixed precision lead where float32 leads, less closely where
    random labels all but cancel.
    """
    trained = []
    for precision in ("float32", "mixed_bfloat16"):
        bench = NetworkUnderStudy(small, "CNN", 12, max_epochs=3, precision=precision)
        trained.append(bench.bring_into(condition, 0).weights)
    start, exact, mixed = (
        np.concatenate([w.ravel() for w in weights])
        for weights in (bench.initial_weights(0), *trained)
    )
    assert not np.array_equal(exact, mixed)
    assert np.linalg.norm(mixed - exact) < off * np.linalg.norm(exact - start)


def test_accuracy_is_the_share_of_right_answers(digits):
    """Accuracy agrees with counting Keras' predictions, over several evaluation
    batches.
    """
    x = np.tile(digits.inputs("train"), (2, 1, 1, 1))
    y = np.tile(digits.labels("train"), 2)
    model = build_network("MLP", 16, x.shape[1:])
    expected = (model.predict(x, verbose=0).argmax(axis=1) == y).mean()
    assert Trainer(model).accuracy(x, y) == pytest.approx(expected)


def test_training_stops_at_the_target(digits):
    """Training ends after the first epoch whose accuracy reaches the target, or at the
    limit.
    """
    x, y = digits.inputs("train"), digits.labels("train")
    model = build_network("MLP", 32, x.shape[1:])
    trainer, start, curve = Trainer(model), initial_weights(model, 1), []
    model.set_weights(start)
    reached = trainer.train(
        x,
        y,
        max_epochs=200,
        target_accuracy=0.8,
        after_epoch=lambda p: curve.append(p.accuracy),
    )
    assert curve[-1] >= 0.8
    assert max(curve[:-1]) < 0.8
    assert reached.accuracy == trainer.accuracy(x, y)
    model.set_weights(start)
    assert trainer.train(x, y, max_epochs=3, target_accuracy=0.99).n_epochs == 3


def test_a_glance_does_not_change_when_training_stops(digits, monkeypatch):
    """Looking at some samples first stops after the same epoch, with the accuracy on
    all samples.
    """
    x, y = digits.inputs("train"), digits.labels("train")
    model = build_network("MLP", 32, x.shape[1:])
    trainer, start, stops, looked = Trainer(model), initial_weights(model, 1), [], []
    accuracy = trainer.accuracy
    monkeypatch.setattr(
        trainer, "accuracy", lambda x, y: looked.append(len(x)) or accuracy(x, y)
    )
    for n_glanced_at in (len(x), 400):
        looked.clear()
        monkeypatch.setattr(training, "_SAMPLES_GLANCED_AT", n_glanced_at)
        model.set_weights(start)
        stops.append(trainer.train(x, y, max_epochs=200, target_accuracy=0.9))
    assert stops[0] == stops[1]
    assert stops[1].accuracy == accuracy(x, y) >= 0.9
    assert looked[0] == -(-len(x) // 3)
    assert looked.count(len(x)) < stops[1].n_epochs


def test_random_labels_are_the_true_ones_permuted(cnn, small):
    """Memorizing networks get the same classes in a seeded other order; generalizing
    ones the true labels.
    """
    y = small.labels("train")
    np.testing.assert_array_equal(cnn.labels("generalizing", 0), y)
    for name in conditions.MEMORIZING:
        shuffled = cnn.labels(name, 0)
        np.testing.assert_array_equal(np.sort(shuffled), np.sort(y))
        assert (shuffled == y).mean() < 0.25
    assert not np.array_equal(
        cnn.labels("mem_random_last", 0), cnn.labels("mem_random_last", 1)
    )


def test_conditions_train_what_the_paper_says(cnn):
    """Retraining or training the last two layers leaves the convolution as it was;
    retraining all does not.
    """
    initial = cnn.initial_weights(0)
    generalizing = cnn.bring_into("generalizing", 0)
    assert not np.array_equal(generalizing.weights[0], initial[0])
    for name, body, moved in (
        ("mem_retrain_last", generalizing.weights, False),
        ("mem_random_last", initial, False),
        ("mem_retrain_all", generalizing.weights, True),
    ):
        network = cnn.bring_into(name, 0, generalizing.weights)
        assert np.array_equal(network.weights[0], body[0]) != moved, name
        assert not np.array_equal(network.weights[2], body[2]), name
        assert (network.n_epochs, network.stopped_by) == (3, "epoch limit")
    untrained = cnn.bring_into("random", 0)
    assert _same(untrained.weights, initial)
    assert (untrained.n_epochs, untrained.stopped_by) == (0, "untrained")


def test_frozen_layers_may_be_computed_once_or_every_time(small, monkeypatch):
    """Training the last layers on stored features gives what training behind the frozen
    layers gives.
    """
    stored = NetworkUnderStudy(small, "CNN", 12, max_epochs=3).bring_into(
        "mem_random_last", 2
    )
    monkeypatch.setattr(conditions, "_FEATURE_BYTES", 0)
    passed = NetworkUnderStudy(small, "CNN", 12, max_epochs=3).bring_into(
        "mem_random_last", 2
    )
    for first, second in zip(stored.weights, passed.weights, strict=True):
        np.testing.assert_allclose(first, second, atol=1e-5)


@pytest.mark.parametrize("condition", ["generalizing", "mem_random_last"])
def test_a_cut_training_goes_on_as_if_nothing_had_happened(cnn, condition):
    """The same seed gives the same weights to the bit, also when the training was cut
    after an epoch.
    """
    kept = []
    whole = cnn.bring_into(condition, 1, checkpoint=kept.append)
    again = cnn.bring_into(condition, 1)
    resumed = cnn.bring_into(condition, 1, cut_at=kept[0])
    assert kept[0].progress.n_epochs == 1
    assert _same(whole.weights, again.weights)
    assert _same(whole.weights, resumed.weights)
    assert whole.accuracy_test == resumed.accuracy_test


@pytest.mark.slow
def test_generalizing_networks_generalize_and_memorizing_ones_do_not(small):
    """True labels are learned beyond the training samples, random ones only on them."""
    bench = NetworkUnderStudy(small, "MLP", 64, max_epochs=1500)
    right, wrong = (
        bench.bring_into("generalizing", 0),
        bench.bring_into("mem_random_last", 0),
    )
    assert right.accuracy_test > 0.9
    assert wrong.accuracy_train > wrong.accuracy_test + 0.2
    assert abs(wrong.accuracy_test - 1 / 8) < 0.1


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda _: build_network("RNN", 8, (8, 8, 1)),
            "network must be one of MLP, CNN, DenseNet121, got 'RNN'",
        ),
        (
            lambda _: build_network("MLP", 0, (8, 8, 1)),
            "width must be at least 1, got 0",
        ),
        (lambda _: build_network("CNN", 8, (64,)), "needs images"),
        (lambda _: build_network("CNN", 8, (2, 8, 1)), "at least 3 x 3"),
        (lambda _: build_network("DenseNet121", 8, (28, 28, 1)), "at least 32 x 32"),
        (
            lambda data: NetworkUnderStudy(data, "MLP", 8, max_epochs=0),
            "max_epochs must be at least 1, got 0",
        ),
        (
            lambda data: NetworkUnderStudy(data, "MLP", 8).bring_into(
                "mem_retrain_all", 0
            ),
            "condition must be one of random, .*, got 'mem_retrain_all'",
        ),
        (
            lambda data: NetworkUnderStudy(data, "MLP", 8).bring_into(
                "mem_retrain_last", 0
            ),
            "pass its weights",
        ),
    ],
)
def test_bad_input_is_refused(small, call, words):
    """Unknown networks and conditions, sizes that do not fit and no epochs are errors
    that say the rule.
    """
    with pytest.raises(InputValueError, match=words):
        call(small)


def test_unknown_precisions_are_refused(small):
    """A precision that does not exist is an error that names the valid ones."""
    with pytest.raises(
        InputValueError,
        match="precision must be one of float32, mixed_bfloat16, got 'float16'",
    ):
        NetworkUnderStudy(small, "MLP", 8, precision="float16")


def test_limits_of_epochs_leave_room_where_epochs_are_cheap(small):
    """The last layers alone may train for longer than a whole convolutional network; a
    limit asked for holds.
    """
    bench, limited = (
        NetworkUnderStudy(small, "CNN", 8),
        NetworkUnderStudy(small, "CNN", 8, max_epochs=7),
    )
    for condition in ("generalizing", "mem_random_last"):
        assert bench.max_epochs(condition) == epoch_limit("CNN", condition)
        assert limited.max_epochs(condition) == 7
    assert epoch_limit("DenseNet121", "mem_retrain_last") > epoch_limit(
        "DenseNet121", "mem_retrain_all"
    )


def test_a_diverging_training_is_an_error(small):
    """Inputs far outside 0..1 end in an error that says so, not in a network of NaN."""
    x = small.inputs("train") * np.float32(1e30)
    model = build_network("MLP", 8, x.shape[1:], 8)
    with pytest.raises(
        InputValueError, match="diverged after 2 epochs; scale the inputs"
    ):
        Trainer(model).train(x, small.labels("train"), max_epochs=2)


def test_conditions_of_the_mlp_leave_out_what_is_all_it_has():
    """The MLP has no layer besides the last two, so that retraining all does
    not apply.
    """
    assert "mem_retrain_all" not in conditions_of("MLP")
    assert len(conditions_of("CNN")) == 5
