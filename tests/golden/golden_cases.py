"""What the golden set holds: interface, tables, checksums, words, help, the study.

All of it comes from the public interface and ``python -m ann2neo``.
"""

import contextlib
import dataclasses
import hashlib
import inspect
import io
import json
import os
import re
import runpy
import sys
import tempfile
import warnings
from pathlib import Path
from unittest import mock

import h5py
import numpy as np
import pandas as pd
import quantities as pq
from golden_files import HERE, stripped
from golden_recordings import fixed, network, network_recordings, record, recordings

import ann2neo

# -- interface -------------------------------------------------------------------------


def interface():
    """Public names, with signatures, members of classes and bases of exceptions."""
    names = {name: getattr(ann2neo, name) for name in sorted(ann2neo.__all__)}
    of_report = {n: getattr(ann2neo.report, n) for n in sorted(ann2neo.report.__all__)}
    return {
        "ann2neo": {name: described(thing) for name, thing in names.items()},
        "ann2neo.report": {name: described(thing) for name, thing in of_report.items()},
    }


def described(thing):
    """Kind of a public name, and what belongs to its interface."""
    if inspect.ismodule(thing):
        return {"kind": "module"}
    if not inspect.isclass(thing):
        return {"kind": "function", "signature": signature(thing)}
    if issubclass(thing, Exception):
        mro = thing.__mro__[1:]
        bases = mro[: mro.index(Exception) + 1]
        return {"kind": "exception", "bases": [base.__name__ for base in bases]}
    told = {"kind": "class", "signature": signature(thing.__init__)}
    if dataclasses.is_dataclass(thing):
        fields = [field.name for field in dataclasses.fields(thing)]
        told["fields"] = [name for name in fields if not name.startswith("_")]
    ours = [c for c in thing.__mro__ if c.__module__.split(".")[0] == "ann2neo"]
    own = {name: value for c in reversed(ours) for name, value in vars(c).items()}
    told["members"] = {
        name: member(own[name]) for name in sorted(own) if not name.startswith("_")
    }
    return told


def member(value):
    """Kind and signature of what a class holds."""
    if isinstance(value, property):
        return {"kind": "property"}
    if isinstance(value, (classmethod, staticmethod)):
        return {
            "kind": type(value).__name__,
            "signature": signature(value.__func__),
        }
    if callable(value):
        return {"kind": "method", "signature": signature(value)}
    return {"kind": "attribute"}


def signature(function):
    """Parameters as lists of name, kind and default, annotations left out."""
    return [
        [
            parameter.name,
            parameter.kind.name,
            None
            if parameter.default is parameter.empty
            else re.sub(r" at 0x[0-9a-f]+", "", repr(parameter.default)),
        ]
        for parameter in inspect.signature(function).parameters.values()
    ]


# -- tables ----------------------------------------------------------------------------


def tables():
    """Functions that compute the tables, by the names of their files."""
    two, sparse = recordings()["two_phases"], recordings()["sparse"]
    words, steps = recordings()["words"], recordings()["steps"]
    everything = {"two_phases": two, "sparse": sparse, "words": words}
    made = {}
    for name, of in everything.items():
        made |= {
            f"analyze_{name}": lambda of=of: ann2neo.analyze(of),
            f"analyze_reference_{name}": lambda of=of: ann2neo.analyze(
                of, engine="reference"
            ),
            f"summarize_{name}": lambda of=of: ann2neo.summarize(ann2neo.analyze(of)),
            f"populations_{name}": lambda of=of: ann2neo.summarize_populations(
                of, n_permutations=49, seed=1
            ),
            f"complexity_{name}": lambda of=of: ann2neo.complexity(of),
            f"network_test_{name}": lambda of=of: ann2neo.network_test(
                of, n_permutations=49, seed=2
            ),
            f"fit_processes_{name}": lambda of=of: ann2neo.fit_processes(of),
        }
    made |= {
        "analyze_chosen": lambda: ann2neo.analyze(
            two, window=20, lags=4, statistics=["firing_rate", "fano", "ljung_box"]
        ),
        "summarize_layers": lambda: ann2neo.summarize(
            ann2neo.analyze(two), by=("layer", "phase"), alpha=0.01
        ),
        "fit_processes_chosen": lambda: ann2neo.fit_processes(two, window=8, lags=5),
        "network_test_chosen": lambda: ann2neo.network_test(
            two, n_permutations=30, seed=4, window=10, lags=3
        ),
        "correlations_train": lambda: correlations_table(two, "train"),
        "correlations_test": lambda: correlations_table(two, "test"),
        "correlations_sparse": lambda: correlations_table(sparse, None),
        "correlations_units": lambda: pd.DataFrame(
            {"unit_mean": ann2neo.correlations(two, phase="train").unit_mean}
        ),
        "correlations_histogram": lambda: histogram_table(two, "train"),
        "correlation_matrix": lambda: matrix_table(two, "train"),
        "correlation_matrix_sparse": lambda: matrix_table(sparse, None),
        "selectivity_two_phases": lambda: ann2neo.selectivity(
            two, n_permutations=49, seed=3
        ),
        "selectivity_words": lambda: ann2neo.selectivity(
            words, n_permutations=49, seed=3
        ),
        "single_stimulus_overlap": lambda: (
            ann2neo.single_stimulus_overlap(
                ann2neo.selectivity(two, n_permutations=9, seed=3)
            )
            .to_frame("value")
            .reset_index(names="name")
        ),
        "compare": lambda: ann2neo.compare(
            two.select(phase="train"),
            two.select(phase="test"),
            two.select(phase="train", units=[0, 1, 2]),
            names=["a", "b", "c"],
            margin=0.05,
        ),
        "change_points": lambda: (
            ann2neo.change_points(steps, [500, 1000], n_surrogates=200, seed=5).points
        ),
        "change_points_units": lambda: (
            ann2neo.change_points(steps, n_surrogates=200, seed=5).units
        ),
        "counting_poisson": lambda: ann2neo.counting_processes(
            two, phase="train", n_simulations=20, n_points=12, seed=6
        ),
        "counting_markov": lambda: ann2neo.counting_processes(
            sparse, units=[2, 4], process="markov", n_simulations=20, n_points=9, seed=6
        ),
        "variability_over_repeats": lambda: ann2neo.variability_over_repeats(two),
        **pattern_tables(two, sparse, words),
        **similarity_tables(two),
        **surrogate_tests(two, sparse, words),
    }
    return made


def pattern_tables(two, sparse, words):
    """Patterns and neighbours; what is drawn comes from seeds."""
    test, train = two.select(phase="test"), two.select(phase="train")
    return {
        "patterns_two_phases": lambda: ann2neo.patterns(two),
        "patterns_sparse": lambda: ann2neo.patterns(sparse),
        "patterns_words": lambda: ann2neo.patterns(words),
        "dead_units": lambda: ann2neo.dead_units(two),
        "nearest_patterns": lambda: ann2neo.nearest_patterns(
            test, train, k=5
        ).classify(),
        "nearest_patterns_score": lambda: ann2neo.nearest_patterns(
            test, train, k=5
        ).score(n_permutations=49, seed=7),
        "compare_patterns": lambda: (
            ann2neo.compare_patterns(two, two, n_permutations=19, seed=8).summary
        ),
    }


def similarity_tables(two):
    """Similarity and decoding of the halves of a network; all is drawn from seeds."""
    test = two.select(phase="test")
    halves = [
        test.select(units=lambda units, i=i: units.index % 2 == i) for i in (0, 1)
    ]
    return {
        "similarity": lambda: ann2neo.similarity(*halves, n_permutations=19, seed=9),
        "similarity_labels": lambda: ann2neo.similarity(
            *halves, by="label", dissimilarity="euclidean", n_permutations=19, seed=9
        ),
        "decode_labels": lambda: ann2neo.decode_labels(
            *halves, n_permutations=9, seed=10
        ),
    }


def correlations_table(recording, phase):
    """The numbers of `correlations`, in one row."""
    found = ann2neo.correlations(recording, phase=phase)
    numbers = {f.name: getattr(found, f.name) for f in dataclasses.fields(found)}
    return pd.DataFrame([{k: v for k, v in numbers.items() if np.ndim(v) == 0}])


def histogram_table(recording, phase):
    """The bins of the histogram of correlations that hold pairs."""
    found = ann2neo.correlations(recording, phase=phase)
    full = np.flatnonzero(found.histogram_counts)
    return pd.DataFrame(
        {
            "bin": full,
            "left_edge": found.histogram_edges[full],
            "count": found.histogram_counts[full],
        }
    )


def matrix_table(recording, phase):
    """A matrix of correlations, a column a unit."""
    return pd.DataFrame(ann2neo.correlation_matrix(recording, phase=phase))


def last_spike(raster):
    """A statistic of the user's: the last bin with a spike, NaN without one."""
    bits = raster.to_dense()
    last = raster.n_time_bins - 1 - bits[:, ::-1].argmax(axis=1)
    return np.where(bits.any(axis=1), last, np.nan)


def surrogate_tests(two, sparse, words):
    """Surrogate tests: statistics, methods, levels and alternatives."""
    cases = {
        "fano": (two, "fano_factor", {}),
        "dispersion_joint": (two, "dispersion", {"joint": True, "window": 25}),
        "ljung_box_network": (two, "ljung_box", {"level": "network"}),
        "cv2_circular": (sparse, "cv2", {"method": "circular_shift"}),
        "lv_isi_shuffle": (two, "lv", {"method": "isi_shuffle"}),
        "fano_within_label": (
            words,
            "fano_factor",
            {"method": "within_label", "alternative": "greater"},
        ),
        "cv_isi_dithered": (
            sparse,
            "cv_isi",
            {"method": "dither_spikes", "dither": 20 * pq.ms, "alternative": "less"},
        ),
        "function": (sparse, last_spike, {}),
    }
    return {
        f"surrogate_test_{name}": lambda of=of, statistic=statistic, options=options: (
            ann2neo.surrogate_test(of, statistic, n_surrogates=29, seed=7, **options)
        )
        for name, (of, statistic, options) in cases.items()
    }


def computed(make):
    """A table, its warnings left aside: they are about few surrogates and windows."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make()


# -- checksums -------------------------------------------------------------------------

METHODS = [
    ("bin_permutation", {}),
    ("bin_permutation", {"joint": True}),
    ("circular_shift", {}),
    ("circular_shift", {"joint": True}),
    ("isi_shuffle", {}),
    ("dither_spikes", {}),
    ("dither_spike_train", {}),
    ("jitter_spikes", {"dither": 8 * pq.ms}),
    ("bin_shuffling", {}),
    ("joint_isi_dithering", {}),
    ("isi_dithering", {}),
    ("randomise_spikes", {}),
    ("shuffle_isis", {}),
]


def raster_sums():
    """SHA-256 of the rasters of the recordings, and of selections of them."""
    two = recordings()["two_phases"]
    told = {name: r.raster.sha256() for name, r in recordings().items()}
    told["two_phases, label 2"] = two.select(label=2).raster.sha256()
    told["two_phases, units"] = two.select(units=[5, 0]).raster.sha256()
    told["two_phases, test"] = two.phase_raster("test").sha256()
    told["two_phases, stimulus order"] = two.in_stimulus_order().raster.sha256()
    told["words, spike bins"] = spikes_again(recordings()["words"].raster).sha256()
    return told


def spikes_again(raster):
    """The raster made anew from its spikes."""
    bins = [raster.spike_bins(unit) for unit in range(raster.n_units)]
    return ann2neo.SpikeRaster.from_spike_bins(bins, raster.n_time_bins)


def surrogate_sums():
    """SHA-256 of surrogates, for methods and seeds, two draws each."""
    of = {name: recordings()[name] for name in ("two_phases", "sparse")}
    cases = [(name, *method) for name in of for method in METHODS]
    cases += [("two_phases", "within_label", {}), ("words", "within_label", {})]
    told = {}
    for name, method, options in cases:
        for seed in (0, 1):
            drawn = ann2neo.surrogates(
                recordings()[name], method, n_surrogates=2, seed=seed, **options
            )
            words = ", ".join(f"{key}={value}" for key, value in options.items())
            key = ", ".join(filter(None, [name, method, words, f"seed={seed}"]))
            told[key] = [surrogate.raster.sha256() for surrogate in drawn]
    return told


def simulation_sums():
    """SHA-256 of what `simulate` makes of fits and of rates, with its provenance."""
    fit = ann2neo.fit_processes(recordings()["two_phases"])
    rates = [0.0, 0.1, 0.5, 0.8, 1.0]
    processes = ("best", "bernoulli", "poisson", "beta_binomial", "markov")
    made = {
        f"fit, {process}": ann2neo.simulate(fit, process=process, phase="train", seed=8)
        for process in processes
    }
    made["rates"] = ann2neo.simulate(rates, 300, seed=8)
    made["rates, correlated"] = ann2neo.simulate(rates, 300, correlations=0.1, seed=8)
    return {
        name: {"raster": r.raster.sha256(), **dict(r.provenance)}
        for name, r in made.items()
    }


def network_sums():
    """What recordings of the network hold: raster, tables and provenance."""
    told = {name: recording_sums(make()) for name, make in network_recordings().items()}
    model, x, _ = network()
    raster, units = ann2neo.Probe(model, "hidden").spikes(x, seed=3)
    told["spikes"] = {"raster": raster.sha256(), "units": text_sum(units)}
    return told


def recording_sums(recording):
    """Sums of the raster and the tables of a recording, and its provenance."""
    plain = fixed(recording, "")
    return {
        "shape": list(plain.raster.shape),
        "raster": plain.raster.sha256(),
        "units": text_sum(plain.units),
        "presentations": text_sum(plain.presentations),
        "segments": text_sum(plain.segments),
        "provenance": dict(plain.provenance),
    }


def text_sum(table):
    """SHA-256 of a table's CSV, dtypes included."""
    text = table.to_csv(index=False) + str(list(map(str, table.dtypes)))
    return hashlib.sha256(text.encode()).hexdigest()


def folder_sums():
    """What ``record(.., out=folder)`` describes, apart from its own sum and time."""
    told = {}
    with tempfile.TemporaryDirectory() as place:
        for name, layers in (("hidden", None), ("conv", "conv")):
            folder = Path(place) / name
            made = record(out=folder, layers=layers)
            opened = ann2neo.Recording.open(folder)
            description = json.loads((folder / "recording.json").read_text("utf-8"))
            told[name] = {
                "keys": list(description),
                "files": sorted(path.name for path in folder.iterdir()),
                "raster_sha256": description["raster_sha256"],
                "layout_version": description["layout_version"],
                "tables": hashlib.sha256(
                    json.dumps(
                        [description[k] for k in ("units", "presentations", "segments")]
                    ).encode()
                ).hexdigest(),
                "opens as recorded": opened.equals(made),
                "same without a folder": opened.equals(
                    record(layers=layers), identity=False
                ),
            }
    return told


def nwb_sums():
    """The layout that NWB files of the recordings hold, sums included.

    Identity and start are fixed, so that the sum of the whole header is so too.
    """
    made = {**recordings()}
    for name in ("last_hidden", "conv_quantile", "both_layers"):
        made[name] = fixed(network_recordings()[name](), name)
    told = {}
    with tempfile.TemporaryDirectory() as place:
        for name, recording in made.items():
            for profile in ("dandi", "neo"):
                path = Path(place) / f"{name}_{profile}.nwb"
                ann2neo.write_nwb(recording, path, profile=profile)
                told[f"{name}, {profile}"] = {
                    "layout": layout_of(path),
                    "info": info_of(path),
                    "reads as written": ann2neo.read_nwb(path).equals(recording),
                }
    return told


def layout_of(path):
    """Keys and values of the table that holds the sums."""
    with h5py.File(path) as file:
        for table in file["analysis"].values():
            if "key" in table and "value" in table:
                keys = table["key"].asstr()[()]
                if "raster_sha256" in keys:
                    return dict(zip(keys, table["value"].asstr()[()], strict=True))
    msg = f"{path.name} has no table of sums"
    raise LookupError(msg)


def info_of(path):
    """What `nwb_info` says of a file, its size and place left out."""
    info = ann2neo.nwb_info(path)
    told = {f.name: getattr(info, f.name) for f in dataclasses.fields(info)}
    numbers = ("n_units", "n_spikes", "layout_version", "profile")
    return {
        "fields": list(told),
        **{name: told[name] for name in numbers},
        "analysis": list(told["analysis"]),
        "session": dict(told["session"]),
    }


CHECKSUMS = {
    "rasters": raster_sums,
    "surrogates": surrogate_sums,
    "simulations": simulation_sums,
    "network": network_sums,
    "folders": folder_sums,
    "nwb": nwb_sums,
}

# -- words -----------------------------------------------------------------------------

ORDERS = (None, "random", "stored", "unknown")


def explanations():
    """What `explain` and `column_descriptions` say of the columns of the tables."""
    recording = recordings()["two_phases"]
    units = ann2neo.analyze(recording)
    summary = ann2neo.summarize(units)
    tested = ann2neo.network_test(recording, n_permutations=9, seed=0)
    told = {}
    for name in [*units, *summary, *tested["statistic"].unique()]:
        try:
            told[name] = [ann2neo.explain(name, order) for order in ORDERS]
        except ann2neo.InputValueError:
            told[name] = "no explanation"
    described = ann2neo.column_descriptions(units, summary)
    return {"explain": told, "column_descriptions": described}


# -- command line ----------------------------------------------------------------------

PLAIN = {"COLUMNS": "100", "TERMINAL_WIDTH": "100", "NO_COLOR": "1", "TERM": "dumb"}


def exit_status():
    """Run ``python -m ann2neo`` in this process."""
    try:
        runpy.run_module("ann2neo", run_name="__main__")
    except SystemExit as done:
        return done.code
    return 0


def printed(*arguments):
    """What ``python -m ann2neo`` prints for arguments, run in this process."""
    out = io.StringIO()
    with (
        mock.patch.dict(os.environ, PLAIN),
        mock.patch.object(sys, "argv", ["ann2neo", *map(str, arguments)]),
        contextlib.redirect_stdout(out),
    ):
        status = exit_status()
    assert not status, f"ann2neo {arguments}: exit status {status}"
    return stripped(out.getvalue())


def helps(*command):
    """Help of a command and of every command below it, by the names of their files."""
    text = printed(*command, "--help")
    told = {"_".join(["ann2neo", *command]): text}
    _, _, below = text.partition("\nCommands:\n")
    for name in re.findall(r"^  (\S+)", below, re.MULTILINE):
        told |= helps(*command, name)
    return told


STUDY = HERE / "study"
STUDY_TEXTS = {
    "tables": ["tables"],
    "hypotheses": ["hypotheses"],
    "indicators": ["indicators"],
    "indicators_train": ["indicators", "--split", "train"],
}


def study_text(name):
    """What a command of the study prints from the frozen rows."""
    command, *options = STUDY_TEXTS[name]
    return printed("study", command, STUDY, *options)


def study_table(name):
    """The same as a table, in full precision."""
    command, *options = STUDY_TEXTS[name]
    text = printed("study", command, STUDY, *options, "--csv")
    return pd.read_csv(io.StringIO(text))
