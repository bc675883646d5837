"""What commands print from a stranger's file: no control characters, no formulas."""

import io
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import ann2neo
from ann2neo.cli import app
from ann2neo.cli.output import echo, echo_csv, one_line
from ann2neo.testing import make_recording

TITLE = "\x1b]0;owned\x07"
CLEAR = "\x1b[2J\x9b2J"


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A recording whose names steer terminals and are formulas for spreadsheets."""
    recording = make_recording(
        n_units=6,
        n_time_bins=400,
        layers=["=cmd|' /C calc'!A0", f"@{TITLE}"],
        phases=[f"train{CLEAR}\u202e"],
        provenance={f"dataset{TITLE}": f"digits{CLEAR}\nunits                    9"},
        seed=0,
    )
    return ann2neo.write_nwb(recording, tmp_path_factory.mktemp("f") / "stranger.nwb")


def is_visible(text):
    return all(c.isprintable() or c in "\n\t" for c in text)


@pytest.mark.slow
@pytest.mark.parametrize("command", ["info", "analyze", "validate"])
def test_no_command_passes_control_characters_on(path, command):
    """Escapes of a file appear as text, and its line breaks make no lines."""
    done = CliRunner().invoke(app, [command, str(path)])
    assert done.exit_code in {0, 1}, done.output
    assert is_visible(done.output), done.output
    assert command == "validate" or r"train\x1b[2J\x9b2J\u202e" in done.output
    assert sum(line.startswith("units ") for line in done.output.splitlines()) <= 1


def test_errors_and_warnings_are_visible_too(path, tmp_path):
    """An error that quotes a file is one line without control characters."""
    other = tmp_path / f"{TITLE}\n.nwb"
    other.write_text("no NWB file")
    done = subprocess.run(
        [sys.executable, "-m", "ann2neo", "info", str(other)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert is_visible(done.stderr)
    assert r"\x1b]0;owned\x07\n.nwb" in done.stderr
    assert done.stderr.count("\n") == 1


def test_csv_holds_no_formulas(path):
    """Texts that a spreadsheet would compute begin with an apostrophe; numbers stay."""
    done = CliRunner().invoke(app, ["analyze", str(path), "--csv"])
    table = pd.read_csv(io.StringIO(done.stdout))
    expected = ann2neo.analyze(ann2neo.read_nwb(path))
    assert set(table["layer"]) == {"'=cmd|' /C calc'!A0", r"'@\x1b]0;owned\x07"}
    np.testing.assert_allclose(table["firing_rate"], expected["firing_rate"])


def test_text_that_is_a_number_is_no_formula(capsys):
    """A label such as -1 stays as it is, in columns of any type, and so do names."""
    echo_csv(pd.DataFrame({"a": ["-1", "+x"], "=b": [-1, 2], "-c": [True, None]}))
    assert capsys.readouterr().out == "a,'=b,'-c\n-1,-1,True\n'+x,2,\n"


def test_ordinary_text_of_any_language_is_printed_as_it_is(capsys):
    """Letters with accents, other scripts, emoji and thin spaces are no escapes."""
    text = "Müller 神経 60\u2009000 spikes → 🧠\tα"
    echo(text)
    assert capsys.readouterr().out == text + "\n"
    assert one_line("a\nb") == r"a\nb"
    echo("half \ud800 of a character")
    assert capsys.readouterr().out == "half \\ud800 of a character\n"


@pytest.mark.slow
def test_a_terminal_of_another_locale_is_no_error(path):
    """Where standard output cannot encode a character, it appears as an escape."""
    done = subprocess.run(
        [sys.executable, "-m", "ann2neo", "analyze", str(path)],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.isascii()
