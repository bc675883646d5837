"""Training in TensorFlow and in JAX, side by side."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import small_trainings

from ann2neo.study.results import load_results

pytest.importorskip("jax")
ON_JAX = {**os.environ, "KERAS_BACKEND": "jax", "TF_CPP_MIN_LOG_LEVEL": "2"}
_STUDY = """
import sys
import ann2neo.study.runs as runs
from ann2neo.study.plan import planned_cells

runs._CHECKPOINT_SECONDS = 0.1
at_once = int(sys.argv[2])
choice = {"networks": ["MLP"], "widths": [16], "seeds": range(at_once)}
cells = planned_cells("quick", conditions=["mem_random_last"], **choice)
runs.run_study(cells, sys.argv[1], max_epochs=400, seeds_at_once=at_once)
"""


@pytest.mark.slow
def test_both_trainers_agree(tmp_path):
    """From the same weights, three epochs in JAX lead where TensorFlow leads, up to the
    rounding of sums, also for batch normalization, behind frozen layers, after a cut
    and for two seeds at once; in mixed precision up to the rounding of bfloat16.
    """
    path = tmp_path / "jax.npz"
    script = Path(small_trainings.__file__)
    subprocess.run([sys.executable, script, path], env=ON_JAX, check=True)
    ours = small_trainings.flat(small_trainings.trained())
    with np.load(path) as theirs:
        assert theirs["backend"] == "jax"
        assert {*theirs} == {*ours, "backend"}
        for name, value in ours.items():
            mixed = "bfloat16" in name
            limit = 0.02 if mixed or "accuracy" in name else 1e-4
            np.testing.assert_allclose(
                theirs[name], value, rtol=0, atol=limit, err_msg=name
            )
    first, second = (
        ours[f"CNN float32 {name} 0"] for name in ("generalizing", "mem_retrain_last")
    )
    # Weights that training moves by far more than the tolerance, and a frozen layer.
    assert np.abs(ours["MLP float32 generalizing 2"]).max() > 0.1
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    "seeds_at_once",
    [
        pytest.param(1, marks=pytest.mark.slow),
        pytest.param(2, marks=[pytest.mark.exhaustive, pytest.mark.timeout(900)]),
    ],
)
def test_a_killed_run_on_jax_goes_on_where_it_was(tmp_path, seeds_at_once):
    """Kill -9 in the middle of a training on JAX, of one network or two at once, then
    resumed: the same tables as without the kill, of two up to rounding, whose rows say
    what trained the networks.
    """
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    command = [sys.executable, "-c", _STUDY]
    name = "digits_MLP_16_mem_random_last_seed0.checkpoint.npz"
    checkpoint = killed / "networks" / name
    process = subprocess.Popen(
        [*command, str(killed), str(seeds_at_once)],
        env=ON_JAX,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 180
    while (
        not checkpoint.exists()
        and process.poll() is None
        and time.monotonic() < deadline
    ):
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    with np.load(checkpoint) as file:
        assert 0 < file["progress"][0] < 400
    for folder in (killed, whole):
        subprocess.run(
            [*command, str(folder), str(seeds_at_once)], env=ON_JAX, check=True
        )
    rows, resumed = (load_results(folder).table for folder in (whole, killed))
    if seeds_at_once == 1:
        for table in ("results.csv", "unit_rates.csv"):
            assert (killed / table).read_bytes() == (whole / table).read_bytes()
    # Checkpoints of two networks may be of different epochs, so that the last epochs of
    # one of them are compiled for it alone.
    exact = ["seed", "split", "n_epochs", "stopped_by", "seeds_at_once"]
    pd.testing.assert_frame_equal(resumed[exact], rows[exact])
    close = ["accuracy_train", "accuracy_test", "mean_firing_rate"]
    np.testing.assert_allclose(resumed[close], rows[close], rtol=0, atol=2e-3)
    assert set(rows["backend"]) == {"jax"}
    assert set(rows["precision"]) == {"float32"}
    assert set(rows["seeds_at_once"]) == set(rows.groupby("split").size())
    assert set(rows["seeds_at_once"]) == {seeds_at_once}
    assert rows["device"].notna().all()
    assert rows["jax_version"].notna().all()
