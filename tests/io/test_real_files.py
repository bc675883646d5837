"""Real NWB files, written by others: read, analyzed, reported and written again, or
refused in one true sentence, from Python and from the command line.

The files are not part of ann2neo: the variable ANN2NEO_REAL_FILES names their folder.
"""

import os
from pathlib import Path

import numpy as np
import pytest
import quantities as pq
from typer.testing import CliRunner

import ann2neo
from ann2neo.cli import app
from ann2neo.errors import Ann2NeoError, FileFormatError, InputValueError
from ann2neo.report.page import write_report

FOLDER = Path(os.environ.get("ANN2NEO_REAL_FILES", "real-files-are-not-here"))

pytestmark = [
    pytest.mark.exhaustive,
    pytest.mark.skipif(
        not FOLDER.is_dir(), reason="ANN2NEO_REAL_FILES names no folder"
    ),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

OPTIONS = {
    "dandi_anm369963": {"bin_size": 1, "t_stop": 1461, "label": "type"},
    "pynapple_sub4": {
        "bin_size": 1,
        "t_stop": 2822,
        "intervals": "encoding_table",
        "label": "stimCategory",
    },
    "pynapple_phy": {
        "bin_size": 1,
        "t_stop": 1088,
        "intervals": "epochs",
        "label": "tags",
    },
    "explorer_units": {"bin_size": 500},
}
WITHOUT_UNITS = [
    "aibs_ecephys",
    "matnwb_S1",
    "nwb2bids",
    "osb_simple",
    "pynwb_1.1.2_nwbfile",
]


def path_of(name):
    return FOLDER / f"{name}.nwb"


def read(name):
    options = dict(OPTIONS[name])
    options["bin_size"] = options["bin_size"] * pq.ms
    if "t_stop" in options:
        options["t_stop"] = options["t_stop"] * pq.s
    return ann2neo.read_nwb(path_of(name), **options)


@pytest.mark.parametrize("name", OPTIONS)
def test_a_session_goes_the_whole_way(name, tmp_path):
    """A session with units is read, analyzed, reported and written again, and what is
    written comes back equal and passes its own checks.
    """
    recording = read(name)
    table = ann2neo.analyze(recording)
    assert len(table) == recording.n_units
    page = write_report({name: recording}, tmp_path / "page.html")
    assert page.stat().st_size > 10_000
    path = ann2neo.write_nwb(recording, tmp_path / "ours.nwb")
    assert ann2neo.read_nwb(path).equals(recording)
    checks = {finding.check for finding in ann2neo.validate_nwb(path)}
    assert "integrity" not in checks
    assert "could not run" not in checks


@pytest.mark.parametrize("name", OPTIONS)
def test_a_session_goes_the_whole_way_on_the_command_line(name, tmp_path):
    """The same with commands alone."""
    options = []
    for key, value in OPTIONS[name].items():
        options += [f"--{key.replace('_', '-')}", str(value)]
    out, page = tmp_path / "ours.nwb", tmp_path / "page.html"
    path = str(path_of(name))
    for command in (
        ["info", path],
        ["analyze", path, *options, "--out", str(out)],
        ["report", path, str(out), *options, "--out", str(page)],
        ["info", str(out)],
    ):
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 0, done.output
    assert ann2neo.read_nwb(out).equals(read(name))


@pytest.mark.parametrize("name", WITHOUT_UNITS)
def test_a_file_without_units_is_refused_in_one_sentence(name):
    """A file without units says so, from Python and from the command line; info
    describes it.
    """
    with pytest.raises(FileFormatError, match=r"has no units \(no /units table\)"):
        ann2neo.read_nwb(path_of(name), bin_size=1 * pq.ms)
    for command in ("analyze", "report"):
        done = CliRunner().invoke(app, [command, str(path_of(name)), "--bin-size", "1"])
        assert done.exit_code == 1
        assert len(done.output.strip().splitlines()) == 1
    assert CliRunner().invoke(app, ["info", str(path_of(name))]).exit_code == 0


@pytest.mark.parametrize("name", [*OPTIONS, *WITHOUT_UNITS])
def test_every_file_is_validated_without_a_traceback(name):
    """Validators that fail are findings like others."""
    findings = ann2neo.validate_nwb(path_of(name))
    assert findings
    assert not [f for f in findings if "Traceback" in f.message]
    assert not [f for f in findings if "--metadata" in f.remedy]


@pytest.mark.parametrize("name", ["dandi_anm369963", "pynapple_sub4", "pynapple_phy"])
def test_a_missing_end_is_told_with_the_last_spike(name):
    """A session that does not say how long it is names its last spike and a t_stop."""
    last = ann2neo.nwb_info(path_of(name)).last_spike
    with pytest.raises(InputValueError, match=f"last spike is at {last:.6g} s"):
        ann2neo.read_nwb(path_of(name), bin_size=1 * pq.ms)


def test_trials_without_stop_times_are_all_there():
    """The 178 trials whose stop times are NaN last until the next one."""
    shown = read("dandi_anm369963").presentations
    assert len(shown) == 178
    starts, stops = (shown[name].to_numpy() for name in ("start_bin", "stop_bin"))
    assert np.array_equal(stops[:-1], starts[1:])
    assert read("dandi_anm369963").units["depth"].dtype == "float64"


@pytest.mark.parametrize("name", [*OPTIONS, *WITHOUT_UNITS])
@pytest.mark.parametrize("options", [{}, {"lazy": True, "bin_size": 1 * pq.ms}])
def test_what_cannot_be_done_is_an_error_of_ours(name, options):
    """Without a bin size, and lazily, no file of others can be read, and it says so."""
    with pytest.raises(Ann2NeoError, match=r"has no units|needs bin_size|lazily"):
        ann2neo.read_nwb(path_of(name), **options)
