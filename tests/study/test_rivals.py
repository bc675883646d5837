"""Rivals at matched accuracy: each measure is its definition, runs go on where they
were cut, and the comparison leaves out what does not belong in it.
"""

import io

import keras
import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import pdist
from scipy.stats import linregress, ttest_1samp
from typer.testing import CliRunner

from ann2neo import InputValueError, IntegrityError, study
from ann2neo.cli import app
from ann2neo.study import rival_runs
from ann2neo.study.indicators import area, newcombe_interval
from ann2neo.study.matched import MatchedTraining, noisy_labels
from ann2neo.study.networks import HIDDEN_LAYER, build_network
from ann2neo.study.populations import matched_populations
from ann2neo.study.rivals import RIVALS

TINY = {
    "dataset": "digits",
    "width": 8,
    "n_samples": 60,
    "accuracy": 0.6,
    "label_noise": (0, 1),
    "seeds": (0, 1),
    "n_orders": 3,
    "max_epochs": 2000,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A finished run of four networks."""
    out = tmp_path_factory.mktemp("rivals") / "run"
    study.run_rivals(out, **TINY)
    return out


def _random_network(network="MLP", shape=(5,)):
    """A network with random weights."""
    rng = np.random.default_rng(1)
    model = build_network(network, 7, shape, n_classes=4)
    model.set_weights([rng.normal(size=w.shape) for w in model.get_weights()])
    x = rng.normal(size=(150, *shape)).astype(np.float32)
    return model, x, rng.integers(4, size=150)


def _hidden(model, x):
    """Activations of the observed layer by its definition."""
    kernel, bias = (
        w.astype(float) for w in model.get_layer(HIDDEN_LAYER).get_weights()
    )
    return np.maximum(x.reshape(len(x), -1) @ kernel + bias, 0)


@pytest.mark.parametrize("clamp", ["zero", "mean"])
def test_ablation_is_a_forward_pass_with_units_clamped(clamp):
    """With k units clamped the accuracy is that of a forward pass in which they have
    one value for all samples, in every order and for every k.
    """
    model, x, labels = _random_network()
    curves = study.ablation_curves(model, x, labels, clamp=clamp, n_orders=4, seed=3)
    kernel, bias = model.layers[-1].get_weights()
    rng = np.random.default_rng([3, 4])
    for curve in curves:
        order = rng.permutation(7)
        for k in range(8):
            hidden = _hidden(model, x)
            value = 0 if clamp == "zero" else hidden.mean(axis=0)[order[:k]]
            hidden[:, order[:k]] = value
            answers = (hidden @ kernel + bias).argmax(axis=1)
            assert curve[k] == (answers == labels).mean()


@pytest.mark.parametrize(("network", "shape"), [("MLP", (5,)), ("CNN", (5, 5, 1))])
def test_ablation_to_zero_is_a_network_without_the_unit(network, shape):
    """Keras gives the same accuracy when the weights that leave the units are 0."""
    model, x, labels = _random_network(network, shape)
    curves = study.ablation_curves(model, x, labels, n_orders=1, seed=0)
    order = np.random.default_rng([0, 4]).permutation(7)
    kernel, bias = model.layers[-1].get_weights()
    for k in range(8):
        kernel[order[:k]] = 0
        model.layers[-1].set_weights([kernel, bias])
        answers = keras.ops.convert_to_numpy(model(x)).argmax(axis=1)
        assert curves[0, k] == (answers == labels).mean()


def test_ablation_of_one_seed_clamps_in_the_same_orders():
    """Networks of one seed are compared along the same orders, other seeds along
    others; intact and fully clamped networks do not depend on them.
    """
    model, x, labels = _random_network()
    first, again, other = (
        study.ablation_curves(model, x, labels, seed=seed) for seed in (0, 0, 1)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert np.array_equal(first[:, [0, -1]], other[:, [0, -1]])


def test_the_area_of_ablation_is_1_where_clamping_costs_nothing():
    """It is the mean height of the curve over the intact accuracy, NaN where that
    is 0.
    """
    assert study.ablation_area(np.full((3, 5), 0.7)) == pytest.approx(1)
    assert study.ablation_area(np.linspace(0.9, 0, 11)[None]) == pytest.approx(0.5)
    assert np.isnan(study.ablation_area(np.zeros((1, 4))))


def test_noisy_labels_permute_a_share_among_itself():
    """Classes stay as frequent, labels outside the share stay true, shares are nested,
    and full noise is the permutation of matched populations.
    """
    labels = np.random.default_rng(0).integers(10, size=500).astype(np.int32)
    earlier = np.zeros(0)
    for noise in (0, 0.2, 0.5, 1):
        noisy, permuted = noisy_labels(labels, noise, seed=2)
        assert len(permuted) == noise * 500
        assert np.isin(earlier, permuted).all()
        others = np.setdiff1d(np.arange(500), permuted)
        assert np.array_equal(noisy[others], labels[others])
        assert np.array_equal(np.bincount(noisy), np.bincount(labels))
        # One in ten is right by chance.
        assert (noisy != labels).sum() == pytest.approx(0.9 * len(permuted), abs=25)
        earlier = permuted
    whole = np.random.default_rng([2, 1]).permutation(labels)
    assert np.array_equal(noisy, whole)


def _entropy(probabilities):
    probabilities = np.asarray(probabilities)
    probabilities = probabilities[probabilities > 0]
    return -(probabilities * np.log2(probabilities)).sum()


def test_measures_are_their_definitions():
    """Every measure of a trained network is what NumPy and SciPy give for bits and
    weights by definition.
    """
    options = {name: TINY[name] for name in ("n_samples", "accuracy", "max_epochs")}
    bench = MatchedTraining("digits", "MLP", 8, **options)
    images, true = bench.images(5)
    labels, permuted = noisy_labels(true, 0.5, 5)
    test = bench.data.inputs("test")
    bench.start(5)
    before = {"train": _hidden(bench.model, images), "test": _hidden(bench.model, test)}
    cell = rival_runs._measured(bench, 5, 0.5, 3, TINY["accuracy"])
    after = {"train": _hidden(bench.model, images), "test": _hidden(bench.model, test)}
    recording = bench.record_both(images, true, 5)
    for row in cell["rows"]:
        phase = row["phase"]
        bits, untrained = after[phase] > 0, before[phase] > 0
        rates = bits.mean(axis=0)
        assert np.allclose(cell["unit_rates"][phase]["probability"], rates)
        counts, _ = np.histogram(rates, np.linspace(0, 1, 11))
        distances = pdist(bits, "hamming")
        # In windows of the recording's order, with the population's variance.
        raster = recording.phase_raster(phase).to_dense()
        n_windows = raster.shape[1] // row["window"]
        windows = raster[:, : n_windows * row["window"]].reshape(8, n_windows, -1)
        spikes = windows.sum(axis=2)[raster.any(axis=1)]
        mean = rates.mean()
        expected = {
            "mean_firing_rate": mean,
            "cv_firing_rate_percent": 100 * rates.std() / mean,
            "mean_fano_factor": (spikes.var(axis=1) / spikes.mean(axis=1)).mean(),
            "overfitting_underfitting_indicator": np.minimum(2 * distances, 1).mean(),
            "overfitting_underfitting_indicator_ceiling": min(1, 2 * distances.mean()),
            "unit_entropy": np.mean([_entropy([p, 1 - p]) for p in rates]),
            "unit_entropy_of_mean_rate": _entropy([mean, 1 - mean]),
            "probability_entropy": _entropy(counts / 8),
            "probability_q10": np.quantile(rates, 0.1),
            "probability_q50": np.median(rates),
            "probability_q90": np.quantile(rates, 0.9),
            "distance_from_untrained": np.abs(
                np.sort(rates) - np.sort(untrained.mean(axis=0))
            ).mean(),
            "rate_change_from_untrained": abs(mean - untrained.mean()),
        }
        for name, value in expected.items():
            assert row[name] == pytest.approx(value, rel=1e-9), name
        answers = after["train"] @ bench.model.layers[-1].get_weights()[0]
        answers = (answers + bench.model.layers[-1].get_weights()[1]).argmax(axis=1)
        assert row["accuracy_train"] == (answers == labels).mean()
        assert row["accuracy_true"] == (answers == true).mean()
        assert row["accuracy_permuted"] == (answers == labels)[permuted].mean()
        assert row["changed_share"] == (labels != true).mean()
    train, tested = cell["rows"]
    ours, others = (np.sort((after[phase] > 0).mean(axis=0)) for phase in after)
    assert train["distance_from_test"] == pytest.approx(np.abs(ours - others).mean())
    assert train["rate_change_from_test"] == pytest.approx(
        abs(ours.mean() - others.mean())
    )
    for clamp in ("zero", "mean"):
        curves = study.ablation_curves(
            bench.model, images, labels, clamp=clamp, n_orders=3, seed=5
        )
        assert cell["ablation"][clamp]["accuracy"] == curves.mean(axis=0).tolist()
        assert train[f"ablation_area_{clamp}"] == study.ablation_area(curves)
        assert np.isnan(tested[f"ablation_area_{clamp}"])


@pytest.mark.slow
def test_networks_reach_one_accuracy_and_are_those_of_matched_populations(folder):
    """All networks stop at the accuracy asked for; those without and with full noise
    are the generalizing and memorizing ones of `matched_populations`.
    """
    networks = study.load_rivals(folder).networks
    assert len(networks) == 2 * 2 * 2
    assert networks["reached"].all()
    assert networks["accuracy_train"].between(0.6, 0.8).all()
    noise = networks["label_noise"] == 1
    assert networks["memorizes"].eq(noise).all()
    others = matched_populations(
        **{name: TINY[name] for name in ("dataset", "width", "n_samples", "accuracy")},
        seeds=(0, 1),
        max_epochs=2000,
        n_permutations=1,
    )
    others = others[(others["labels"] == "true") & (others["condition"] != "random")]
    columns = ["n_epochs", "accuracy_train", "accuracy_test", "mean_firing_rate"]
    others["label_noise"] = np.where(others["condition"] == "memorizing", 1, 0)
    key = ["seed", "label_noise", "phase"]
    ours = networks.set_index(key)[columns].sort_index()
    np.testing.assert_allclose(ours, others.set_index(key)[columns].sort_index())


@pytest.mark.slow
def test_an_interrupted_run_goes_on_to_the_same_tables(folder, tmp_path, monkeypatch):
    """After an interrupt in the third network the same call trains the third and
    fourth, and its tables are those of an uninterrupted run.
    """
    trained, measured = [], rival_runs._measured

    def interrupted(bench, seed, noise, *rest):
        trained.append((seed, noise))
        if len(trained) == 3:
            raise KeyboardInterrupt
        return measured(bench, seed, noise, *rest)

    monkeypatch.setattr(rival_runs, "_measured", interrupted)
    with pytest.raises(KeyboardInterrupt):
        study.run_rivals(tmp_path / "run", **TINY)
    with pytest.raises(InputValueError, match="finish 'ann2neo study rivals"):
        study.load_rivals(tmp_path / "run")
    results = study.run_rivals(tmp_path / "run", **TINY)
    assert trained == [(0, 0), (0, 1), (1, 0), (1, 0), (1, 1)]
    for name in ("networks", "units", "ablation"):
        file = f"rivals_{name}.csv"
        assert (tmp_path / "run" / file).read_bytes() == (folder / file).read_bytes()
    loaded = study.load_rivals(tmp_path / "run")
    pd.testing.assert_frame_equal(loaded.networks, results.networks)
    pd.testing.assert_frame_equal(loaded.unit_rates, results.unit_rates)
    pd.testing.assert_frame_equal(loaded.ablation, results.ablation)


def test_other_settings_and_changed_tables_are_refused(folder, tmp_path):
    """A folder goes on with its own settings only; a changed number is an error."""
    with pytest.raises(InputValueError, match=r"was begun with .*'width': 8"):
        study.run_rivals(folder, **{**TINY, "width": 9})
    for path in folder.glob("*.csv"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    path = tmp_path / "rivals_units.csv"
    path.write_text(path.read_text().replace(",train,0,", ",train,1,", 1))
    with pytest.raises(IntegrityError, match="1 of 64 rows"):
        study.load_rivals(tmp_path)


@pytest.mark.slow
def test_the_command_prints_the_comparison(folder):
    """On a finished folder nothing is trained; text has measures, counts and
    confounds, and CSV is the table of `rivals`.
    """
    words = ["study", "rivals", "--out", str(folder), "--dataset", "digits"]
    words += ["--width", "8", "--samples", "60", "--accuracy", "0.6", "--orders", "3"]
    words += ["--seeds", "0,1", "--max-epochs", "2000", "--label-noise", "0,1"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert "4 of 4 networks reached the accuracy" in done.stdout
    assert "Compared below: 100 % of noise with 0 %." in done.stdout
    for text in ("ablation_area_mean", "2111.02154", "2210.06313", "n_epochs"):
        assert text in done.stdout
    done = CliRunner().invoke(app, [*words, "--csv"])
    table = pd.read_csv(io.StringIO(done.stdout), keep_default_na=False, na_values=[""])
    expected = study.rivals(study.load_rivals(folder).networks)
    expected["expectation"] = expected["expectation"].replace("", np.nan)
    pd.testing.assert_frame_equal(table, expected)
    words[-1] = "none"
    done = CliRunner().invoke(app, words)
    assert "label noise must be shares from 0 to 1" in done.stderr


@pytest.mark.slow
def test_networks_that_stop_short_are_kept_and_compared_with_nothing(tmp_path):
    """After one epoch no network has the accuracy asked for: their tables are written,
    and the comparison says why there is none.
    """
    with pytest.raises(InputValueError, match="0 of 4 networks reached the accuracy"):
        study.run_rivals(tmp_path, **{**TINY, "accuracy": 1.0, "max_epochs": 1})
    networks = study.load_rivals(tmp_path).networks
    assert len(networks) == 8
    assert networks["n_epochs"].eq(1).all()
    assert not networks["reached"].any()


def _made(n_seeds=6, **changes):
    """Networks whose rate falls by 0.3 from no to full noise, with some scatter."""
    rng = np.random.default_rng(0)
    rows = [
        {
            "dataset": "made",
            "network": "MLP",
            "width": 8,
            "seed": seed,
            "label_noise": noise,
            "phase": phase,
            "reached": True,
            "memorizes": noise > 0,
            "n_epochs": 100 + 300 * noise,
            "accuracy_train": 0.99,
            "accuracy_true": 1 - noise,
            "accuracy_test": 0.9 - 0.8 * noise,
            "mean_firing_rate": 0.6 - 0.3 * noise + 0.02 * rng.normal(),
            "cv_firing_rate_percent": 50 + rng.normal(),
        }
        for seed in range(n_seeds)
        for noise in (0.0, 0.2, 0.5, 1.0)
        for phase in ("train", "test")
    ]
    made = pd.DataFrame(rows)
    made["mean_fano_factor_expected"] = 1 - made["mean_firing_rate"]
    made["mean_fano_factor"] = made["mean_fano_factor_expected"] + 0.01
    return made.assign(**changes)


def test_the_comparison_is_students_and_newcombes():
    """Differences and slopes have Student's intervals over seeds, areas Newcombe's."""
    networks = _made()
    table = study.rivals(networks).set_index(["phase", "measure"])
    row = table.loc[("test", "mean_firing_rate")]
    part = networks[networks["phase"] == "test"]
    wide = part.pivot_table(
        index="seed", columns="label_noise", values="mean_firing_rate"
    )
    slopes = [linregress(wide.columns, values).slope for values in wide.to_numpy()]
    for name, values in (("difference", wide[1.0] - wide[0.0]), ("slope", slopes)):
        interval = ttest_1samp(values, 0).confidence_interval(0.95)
        np.testing.assert_allclose(
            [row[f"{name}_mean"], row[f"{name}_low"], row[f"{name}_high"]],
            [np.mean(values), interval.low, interval.high],
        )
    assert row["slope_high"] < 0 < table.loc[("test", "n_epochs"), "slope_mean"]
    assert row["noise_50_mean"] == pytest.approx(wide[0.5].mean())
    assert row["rank_correlation"] == pytest.approx(-1, abs=0.2)
    for prefix, noise in (("noise_20_", 0.2), ("", 1.0)):
        both = wide[[0.0, noise]].to_numpy().T.ravel()
        auc = area(both, np.repeat([False, True], 6))
        assert row[f"{prefix}auc"] == auc
        ends = row[f"{prefix}auc_low"], row[f"{prefix}auc_high"]
        assert ends == newcombe_interval(auc, 6, 6)
    joint = newcombe_interval(0.0, 6, 6, 1 - 0.05 / 4)
    assert (row["joint_low"], row["joint_high"]) == joint


def test_a_measure_stands_beside_its_expectation():
    """A Fano factor that is 1 - rate plus a constant tells the kinds apart as well as
    its expectation does, and adds nothing to it.
    """
    table = study.rivals(_made()).set_index(["phase", "measure"])
    row = table.loc[("train", "mean_fano_factor")]
    assert row["expectation"] == "mean_fano_factor_expected"
    assert (row["auc"], row["expectation_auc"]) == (1, 1)
    assert row["beyond_mean"] == pytest.approx(0)
    assert row["rate_correlation"] == pytest.approx(-1)
    assert np.isnan(table.loc[("train", "cv_firing_rate_percent"), "beyond_mean"])


def test_a_measure_that_does_not_depend_on_noise_is_not_said_to_tell():
    """Its area has an interval that holds 0.5, and its difference one that holds 0."""
    row = study.rivals(_made(n_seeds=30)).set_index(["phase", "measure"])
    row = row.loc[("test", "cv_firing_rate_percent")]
    assert row["auc_low"] < 0.5 < row["auc_high"]
    assert row["difference_low"] < 0 < row["difference_high"]
    assert row["n_seeds"] == 30
    assert (row["least_noise"], row["most_noise"]) == (0, 1)


def test_networks_at_another_accuracy_are_left_out_and_counted():
    """A network that stopped short, or was given noise and memorizes none, counts for
    no comparison; the text says how many.
    """
    networks = _made()
    lowest = networks["label_noise"] == 0
    networks.loc[lowest & (networks["seed"] == 0), "reached"] = False
    networks.loc[~lowest & (networks["seed"] == 1), "memorizes"] = False
    table = study.rivals(networks)
    rest = networks[~networks["seed"].isin([0, 1])]
    of_rest = study.rivals(rest)
    pd.testing.assert_series_equal(table["difference_mean"], of_rest["difference_mean"])
    text = study.rivals_markdown(table, networks)
    assert "23 of 24 networks reached the accuracy; 15 of 18" in text
    networks["reached"] = False
    with pytest.raises(
        InputValueError, match=r"0 of 24 networks reached .*--max-epochs"
    ):
        study.rivals(networks)


def test_every_measure_and_expectation_is_a_column_of_a_run(folder):
    """What `RIVALS` names is measured, and explained where it is an expectation."""
    networks = study.load_rivals(folder).networks
    for name, rival in RIVALS.items():
        assert name in networks
        assert not rival.expectation or rival.expectation in networks
        assert bool(rival.expectation) == bool(rival.follows)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"label_noise": (0, -0.1)}, r"must lie in 0 \.\. 1, got -0.1; 0.2 stands"),
        ({"label_noise": (0, 1.1)}, r"must lie in 0 \.\. 1, got 1.1"),
        ({"label_noise": (0, float("nan"))}, r"must lie in 0 \.\. 1, got nan"),
        ({"label_noise": (0, 0.01)}, "permutes 1 of 60 labels, and so changes none"),
        ({"label_noise": (1,)}, "needs two levels of label_noise or more, got 1"),
        ({"label_noise": ()}, "needs two levels of label_noise or more, got 0"),
        ({"seeds": ()}, "needs two seeds or more, got 0"),
        ({"seeds": (4, 4)}, "needs two seeds or more, got 1"),
        ({"seeds": (0, -1)}, "a seed must be at least 0, got -1"),
        ({"width": 0}, "width must be at least 1, got 0"),
        ({"n_samples": 1, "label_noise": (0, 1)}, "permutes 1 of 1 labels"),
        ({"n_samples": 10**9}, "n_samples must be at most 1437"),
        ({"accuracy": 99}, r"accuracy must lie in 0 \.\. 1, got 99"),
        ({"n_orders": 0}, "n_orders must be at least 1, got 0"),
        ({"max_epochs": 0}, "max_epochs must be at least 1, got 0"),
        ({"dataset": "mnits"}, "unknown data set 'mnits'"),
        ({"network": "RNN"}, "network must be one of"),
    ],
)
def test_bad_input_says_value_rule_and_remedy(changes, words, tmp_path):
    """Each mistake is refused with words that name it, before a folder is made."""
    with pytest.raises(InputValueError, match=words):
        study.run_rivals(tmp_path / "run", **{**TINY, **changes})
    assert not list(tmp_path.iterdir())


def test_bad_ablations_are_refused():
    """An unknown clamp and no orders are errors that name them."""
    model, x, labels = _random_network()
    with pytest.raises(InputValueError, match="clamp must be one of zero, mean"):
        study.ablation_curves(model, x, labels, clamp="median")
    with pytest.raises(InputValueError, match="n_orders must be at least 1"):
        study.ablation_curves(model, x, labels, n_orders=0)


def test_comparisons_of_unlike_networks_are_refused():
    """Networks of two widths are no replicates of each other, and 95 is no level."""
    with pytest.raises(InputValueError, match="level must lie between 0 and 1, got 95"):
        study.rivals(_made(), level=95)
    both = pd.concat([_made(), _made(width=9)])
    with pytest.raises(InputValueError, match="got 2 kinds; choose the rows of one"):
        study.rivals(both)
