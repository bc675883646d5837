"""Typical code of users, for mypy: what the public interface returns and refuses.

`mypy` checks this file with the package; it is never run.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, assert_type

import numpy as np
import numpy.typing as npt
import pandas as pd

import ann2neo
from ann2neo import Recording, SpikeRaster
from ann2neo.testing import make_recording


def record_a_network(model: Any, x: npt.NDArray[np.float32]) -> Recording:
    recording = ann2neo.record(
        model, x, layers="hidden", labels=np.arange(len(x)) % 10, phase="test", seed=0
    )
    assert_type(recording, Recording)
    monitor = ann2neo.SpikeMonitor(x, layers=["first", "second"], every="batch")
    assert_type(monitor.history, pd.DataFrame)
    return recording


def look_at_a_recording(recording: Recording) -> None:
    assert_type(recording.raster, SpikeRaster)
    assert_type(recording.units, pd.DataFrame)
    assert_type(recording.presentations, pd.DataFrame)
    assert_type(recording.phases, pd.DataFrame)
    assert_type(recording.n_units, int)
    assert_type(recording.n_time_bins, int)
    assert_type(recording.raster.shape, tuple[int, int])
    assert_type(recording.raster.spike_counts(), npt.NDArray[np.int64])
    assert_type(recording.raster.to_dense(), npt.NDArray[np.bool_])
    assert_type(recording.raster.spike_bins(0), npt.NDArray[np.int64])
    assert_type(recording.phase_raster("test"), SpikeRaster)
    assert_type(recording.select(units=[0, 1]), Recording)
    assert_type(Recording.concatenate([recording]), Recording)
    assert_type(Recording.from_activations([[0.5, -1.0]], labels=["cat"]), Recording)
    assert_type(Recording.from_raster(SpikeRaster.from_dense([[1, 0]])), Recording)
    assert_type(Recording.open("folder"), Recording)
    assert_type(make_recording(n_units=3, labels=2), Recording)


def go_through_files(recording: Recording, folder: Path) -> None:
    path = ann2neo.write_nwb(recording, folder / "network.nwb", compression="gzip")
    assert_type(path, Path)
    assert_type(ann2neo.read_nwb(path), Recording)
    assert_type(ann2neo.read_nwb(str(path), lazy=True), Recording)
    assert_type(ann2neo.from_neo(ann2neo.to_neo(recording)), Recording)


def analyse(recording: Recording) -> None:
    units = ann2neo.analyze(recording, statistics=["fano", "adf"], window=100)
    assert_type(units, pd.DataFrame)
    assert_type(ann2neo.summarize(units), pd.DataFrame)
    assert_type(ann2neo.explain("dispersion", "random"), str)
    assert_type(ann2neo.compare(recording, recording, names=["a", "b"]), pd.DataFrame)
    assert_type(ann2neo.network_test(recording, n_permutations=99), pd.DataFrame)
    assert_type(ann2neo.correlations(recording, phase="test"), ann2neo.Correlations)
    assert_type(ann2neo.correlations(recording).mean, float)
    assert_type(ann2neo.correlation_matrix(recording), npt.NDArray[np.float64])
    assert_type(ann2neo.complexity(recording), pd.DataFrame)
    assert_type(ann2neo.selectivity(recording, seed=1), pd.DataFrame)
    assert_type(ann2neo.summarize_populations(recording), pd.DataFrame)
    assert_type(ann2neo.fit_processes(recording), pd.DataFrame)
    assert_type(ann2neo.simulate([0.1, 0.2], 1000, seed=3), Recording)
    assert_type(ann2neo.surrogate_test(recording, "fano_factor"), pd.DataFrame)
    assert_type(ann2neo.surrogates(recording, "circular_shift"), Iterator[Recording])
    assert_type(ann2neo.patterns(recording, statistics="coverage"), pd.DataFrame)
    nearest = ann2neo.nearest_patterns(recording, k=3)
    assert_type(nearest, ann2neo.NearestPatterns)
    assert_type(nearest.score(seed=0), pd.DataFrame)
    flips = ann2neo.compare_patterns(recording, recording)
    assert_type(flips.units, pd.DataFrame)
    assert_type(ann2neo.units_to_keep(recording, "rate"), npt.NDArray[np.int64])
    points = ann2neo.change_points(recording, [300, 600])
    assert_type(points, ann2neo.ChangePoints)
    assert_type(points.units, pd.DataFrame)


def load_data() -> None:
    data = ann2neo.load_dataset("digits")
    assert_type(data, ann2neo.DataSet)
    assert_type(data.name, str)


def what_is_refused(recording: Recording) -> None:
    # An ignore that is not needed is an error, so each of these must be one.
    ann2neo.analyze(recording, "fano")  # type: ignore[arg-type]
    ann2neo.analyze(recording, windows=3)  # type: ignore[call-arg]
    ann2neo.write_nwb("network", "network.nwb")  # type: ignore[arg-type]
    ann2neo.explain(3)  # type: ignore[arg-type]
    recording.spikes  # type: ignore[attr-defined]  # noqa: B018
