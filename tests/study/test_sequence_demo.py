"""The demonstration of a recurrent network, as the command line runs it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import ann2neo
from ann2neo.cli import app
from ann2neo.study.sequence_demo import evidence


def _run(*arguments: Any) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_evidence_points_to_its_choice():
    """Trials are seeded, and the sign of their mean evidence is the choice."""
    x, choice, strength = evidence(4000, 3)
    same = evidence(4000, 3)
    for one, other in zip((x, choice, strength), same, strict=True):
        np.testing.assert_array_equal(one, other)
    means = x.mean(axis=(1, 2))
    for value in np.unique(strength):
        for sign, side in ((1, choice == 1), (-1, choice == 0)):
            here = side & (strength == value)
            error = 1 / np.sqrt(x.shape[1] * here.sum())
            assert abs(means[here].mean() - sign * value) < 4 * error


@pytest.mark.slow
def test_the_demo_of_a_recurrent_network(tmp_path: Path):
    """It writes two files of trials and prints one row per network; the trained one
    decides better; a second run asks for --overwrite.
    """
    out = tmp_path / "demo"
    done = _run("demo", "--network", "rnn", "--out", out)
    assert done.exit_code == 0, done.stderr
    assert {path.name for path in out.iterdir()} == {"untrained.nwb", "trained.nwb"}
    rows = {
        line.split()[0]: line.split()
        for line in done.output.splitlines()
        if line.startswith(("untrained", "trained"))
    }
    assert float(rows["trained"][1]) > float(rows["untrained"][1])
    trials = ann2neo.read_nwb(out / "trained.nwb")
    assert len(trials.segments) == 400
    correct = 100 * trials.presentations["is_correct"].mean()
    assert rows["trained"][1] == f"{correct:.1f}"
    again = _run("demo", "--network", "rnn", "--out", out)
    assert again.exit_code == 1
    assert "--overwrite" in again.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--network", "cnn"], "network must be one of mlp, rnn"),
        (["--network", "rnn", "--dataset", "digits"], "makes its own trials"),
    ],
)
def test_wrong_options_are_refused(tmp_path: Path, options: list[str], words: str):
    """The error says what is wrong, and nothing is written."""
    done = _run("demo", *options, "--out", tmp_path / "demo")
    assert done.exit_code == 1
    assert words in done.stderr
    assert not (tmp_path / "demo").exists()
