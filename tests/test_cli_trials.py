"""ann2neo analyze --trials and --by: what the function gives, and what goes wrong."""

import io

import numpy as np
import pandas as pd
import pytest
from trial_recordings import trials_of
from typer.testing import CliRunner

import ann2neo
from ann2neo.cli import app
from ann2neo.testing import make_recording


def run(*arguments):
    """Run a command in this process."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def recording():
    """Trials of two labels and twenty stimuli, with a PSTH."""
    rng = np.random.default_rng(0)
    spikes = rng.random((4, 120, 15)) < np.linspace(0.1, 0.5, 15)
    return trials_of(
        spikes, labels=np.array(["a", "b"] * 60), stimulus_id=np.arange(120) % 20, gap=0
    )


@pytest.fixture(scope="module")
def file(recording, tmp_path_factory):
    """The same as an NWB file."""
    return ann2neo.write_nwb(recording, tmp_path_factory.mktemp("cli") / "trials.nwb")


@pytest.mark.parametrize(
    ("options", "arguments"),
    [
        (["--trials"], {}),
        (["--by", "label", "--lags", "3"], {"by": "label", "lags": 3}),
        (["--by", "stimulus_id"], {"by": "stimulus_id"}),
        (["--trials", "--steps", "2:9"], {"window": (2, 9)}),
        (["--trials", "--steps", "3:", "--kind", "trials"], {"window": (3, None)}),
        (
            ["--trials", "--statistics", "ramp", "--engine", "reference"],
            {"statistics": ["ramp"], "engine": "reference"},
        ),
    ],
)
def test_the_table_is_that_of_the_function(recording, file, options, arguments):
    """--csv prints the table that analyze_trials returns."""
    result = run("analyze", file, *options, "--csv")
    assert result.exit_code == 0
    printed = pd.read_csv(io.StringIO(result.output))
    expected = ann2neo.analyze_trials(recording, **arguments)
    text = io.StringIO(expected.to_csv(index=False))
    pd.testing.assert_frame_equal(printed, pd.read_csv(text), rtol=1e-9)


def test_the_summary_has_a_column_per_label(file):
    """Without --csv a summary of the units of each phase and label is printed."""
    lines = run("analyze", file, "--by", "label").output.splitlines()
    rows = {line[:28].strip(): line[28:].split() for line in lines}
    assert rows["label"] == ["a", "b"]
    assert rows["trials"] == ["60", "60"]
    assert rows["time_locking rejects"] == ["4", "of", "4", "4", "of", "4"]
    assert lines[-1].startswith("Means over units; rejections after Benjamini")


def test_presentations_can_be_cut_into_trials_first(tmp_path):
    """A file whose presentations are no segments names --cut, which cuts them."""
    starts = np.arange(0, 600, 20)
    recording = make_recording(n_time_bins=600).with_presentations(
        pd.DataFrame({"start_bin": starts, "stop_bin": starts + 15})
    )
    file = ann2neo.write_nwb(recording, tmp_path / "session.nwb")
    refused = run("analyze", file, "--trials")
    assert refused.exit_code != 0
    assert "here, pass --cut" in " ".join(refused.stderr.split())
    printed = run("analyze", file, "--trials", "--cut", "--csv")
    table = pd.read_csv(io.StringIO(printed.output))
    assert (table["n_trials"] == 30).all()
    assert (table["n_steps"] == 15).all()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--kind", "trials"], "pass --trials, too"),
        (["--steps", "0:3"], "pass --trials, too"),
        (["--cut"], "pass --trials, too"),
        (["--trials", "--steps", "5"], "must be START:STOP"),
        (["--trials", "--steps", "a:b"], "must be START:STOP"),
        (["--trials", "--window", "5"], "--window does not go with --trials"),
        (["--by", "label", "--append"], "--append does not go with --trials"),
        (["--by", "colour"], "by must be one of label, stimulus_id"),
    ],
)
def test_wrong_options_are_refused(file, options, words):
    """Options that do not fit together or have no value that counts are named."""
    result = run("analyze", file, *options)
    assert result.exit_code != 0
    assert words in " ".join(result.stderr.split())
