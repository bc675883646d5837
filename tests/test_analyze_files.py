"""From a file to its statistics and back into the file, by the command line: a trained
network, and a real neuron.
"""

import io
import re
from datetime import UTC, datetime
from pathlib import Path

import keras
import nitime
import numpy as np
import pandas as pd
import pynwb
import pytest
from typer.testing import CliRunner

import ann2neo
from ann2neo.cli import app

FACTS = {"experimenter": "Doe, Jane", "institution": "Here"}


def run(*arguments):
    """Run a command in this process; errors are kept apart from output."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def network_file(tmp_path):
    """A small network trained on the digits, recorded on its training and test
    samples.
    """
    data = ann2neo.load_dataset("digits")
    keras.utils.set_random_seed(0)
    layers = [
        keras.layers.Flatten(),
        keras.layers.Dense(32, "relu", name="hidden"),
        keras.layers.Dense(10, "softmax"),
    ]
    network = keras.Sequential([keras.Input(data.x_train.shape[1:]), *layers])
    network.compile("adam", "sparse_categorical_crossentropy")
    network.fit(data.x_train / 16.0, data.y_train, epochs=1, verbose=0)
    parts = [
        ann2neo.record(
            network, x / 16.0, layers="hidden", labels=y, seed=0, phase=phase
        )
        for phase, x, y in (
            ("train", data.x_train, data.y_train),
            ("test", data.x_test, data.y_test),
        )
    ]
    return ann2neo.write_nwb(
        ann2neo.Recording.concatenate(parts), tmp_path / "network.nwb", metadata=FACTS
    )


@pytest.fixture
def grasshopper_file(tmp_path):
    """A grasshopper's auditory receptor, which nitime brings, as pynwb alone would
    write it.
    """
    text = (
        Path(nitime.__file__).parent / "data" / "grasshopper_spike_times1.txt"
    ).read_text()
    # Times in microseconds from the onset of the stimulus, after a head of comments.
    times = (
        np.array(re.sub(r"^#.*$", "", text, flags=re.MULTILINE).split(), float) * 1e-6
    )
    file = pynwb.NWBFile(
        "an auditory receptor listens",
        "session-7",
        datetime(2020, 5, 17, 12, tzinfo=UTC),
        experimenter=["Doe, Jane"],
        institution="Here",
        experiment_description="One receptor.",
        keywords=["hearing"],
    )
    file.subject = pynwb.file.Subject(
        subject_id="g1",
        species="Locusta migratoria",
        sex="F",
        age="P30D",
        description="One receptor of a grasshopper.",
    )
    file.units = pynwb.misc.Units(name="units", description="sorted", resolution=1e-6)
    for part in (
        times[(times >= 0) & (times < 1)],
        times[(times >= 0) & (times < 0.5)],
    ):
        file.add_unit(spike_times=part, obs_intervals=[[0.0, 1.0]])
    path = tmp_path / "grasshopper.nwb"
    with pynwb.NWBHDF5IO(path, "w") as out:
        out.write(file)
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("made", "options", "n_rows"),
    [
        ("grasshopper_file", ["--bin-size", "0.5"], 2),
        pytest.param("network_file", [], 64, marks=pytest.mark.slow),
    ],
)
def test_statistics_are_printed_and_kept_in_a_file_that_stays_clean(
    made, options, n_rows, request
):
    """The summary is printed, --csv gives every row, --append keeps them in the file,
    and no validator objects.
    """
    path = request.getfixturevalue(made)
    assert run("validate", path).exit_code == 0
    summary = run("analyze", path, *options)
    assert summary.exit_code == 0, summary.stderr
    assert "mean firing rate" in summary.stdout
    done = run("analyze", path, *options, "--csv", "--append")
    assert done.exit_code == 0, done.stderr
    printed = pd.read_csv(io.StringIO(done.stdout))
    assert len(printed) == n_rows
    with pynwb.NWBHDF5IO(path, "r") as file:
        analysis = file.read().analysis
        kept, network = (
            analysis["unit_statistics"].to_dataframe(),
            analysis["network_statistics"].to_dataframe(),
        )
    np.testing.assert_allclose(kept["firing_rate"], printed["firing_rate"], rtol=1e-12)
    np.testing.assert_allclose(
        network["mean_firing_rate"],
        printed.groupby("phase", sort=False)["firing_rate"].mean(),
        rtol=1e-12,
    )
    validated = run("validate", path)
    assert validated.exit_code == 0, validated.stdout
    # Once more, in place of the tables that are there now.
    again = run("analyze", path, *options, "--csv", "--append")
    assert again.stdout == done.stdout
