"""Commands that take many files, and where they compute."""

import io
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import ann2neo
from ann2neo.cli import app
from ann2neo.io.nwb import reader
from ann2neo.testing import make_recording


def run(*arguments):
    """Run a command in this process; errors are kept apart from output."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def write(path, seed, n_time_bins=300):
    """Write a file of eight units, one of them silent."""
    bits = np.random.default_rng(seed).random((8, n_time_bins)) < 0.2
    bits[3] = False
    return ann2neo.write_nwb(make_recording(bits), path, overwrite=True)


@pytest.fixture
def files(tmp_path):
    """Three files, two of which have one name, and one that is no NWB file."""
    (tmp_path / "more").mkdir()
    made = [tmp_path / "a.nwb", tmp_path / "b.nwb", tmp_path / "more" / "a.nwb"]
    for seed, path in enumerate(made):
        write(path, seed)
    bad = tmp_path / "bad.nwb"
    bad.write_text("no NWB")
    return [made[0], bad, *made[1:]]


def read_csv(text):
    """Read what a command printed."""
    return pd.read_csv(io.StringIO(text), keep_default_na=False, na_values=[""])


def test_a_file_that_cannot_be_read_does_not_cost_the_others(files):
    """It is named and counted, the status says so, and all others have their rows."""
    good = [path for path in files if path.name != "bad.nwb"]
    for command in ("analyze", "summarize"):
        some = run(command, *files, "--csv")
        assert some.exit_code == 1
        named, counted = some.stderr.splitlines()
        assert re.match(r"ann2neo: \S+bad\.nwb cannot be opened as HDF5", named)
        assert counted == "ann2neo: 1 of 4 files could not be read or analysed"
        whole = run(command, *good, "--csv")
        assert (whole.exit_code, whole.stderr) == (0, "")
        assert some.stdout == whole.stdout
        table = read_csv(whole.stdout)
        assert list(dict.fromkeys(table["file"])) == [
            str(good[0]),
            "b.nwb",
            str(good[2]),
        ]


def test_tables_of_many_files_are_those_of_each(files):
    """Rows and paragraphs are what a command says about each file alone."""
    good = [path for path in files if path.name != "bad.nwb"]
    tables = [read_csv(run("analyze", path, "--csv").stdout) for path in good]
    together = read_csv(run("analyze", *good, "--csv").stdout).drop(columns="file")
    pd.testing.assert_frame_equal(together, pd.concat(tables, ignore_index=True))
    texts = [run("analyze", path).stdout.rstrip("\n") for path in good]
    shown = run("analyze", *good).stdout
    heads = [f"{name}, recording: 8" for name in (good[0], "b.nwb", good[2])]
    for text, head in zip(texts, heads, strict=True):
        assert text.replace("recording: 8", head) in shown
    assert shown.count("\n\n") == 2


def test_analyze_appends_to_each_file(files):
    """--append writes the tables into each file; --out is for one."""
    done = run("analyze", files[0], files[2], "--append")
    assert done.exit_code == 0
    for path in (files[0], files[2]):
        assert "unit_statistics" in run("info", path).stdout
        assert f"{path}: the statistics are in /analysis" in done.stderr
    refused = run("analyze", *files, "--out", files[0].parent / "c.nwb")
    assert refused.exit_code == 1
    assert "--out is for one file, got 4; use --append" in refused.stderr


def test_the_table_of_summarize_is_what_it_prints(files, tmp_path):
    """--out writes the rows of --csv, and keeps nothing else once all files are in."""
    good = [path for path in files if path.name != "bad.nwb"]
    out = tmp_path / "table.csv"
    done = run("summarize", *good, "-o", out)
    assert done.stdout == f"{out}: 3 rows of 3 files\n"
    assert out.read_text() == run("summarize", *good, "--csv").stdout
    assert not list(tmp_path.glob(".table*"))
    again = run("summarize", *good, "-o", out)
    assert again.exit_code == 1
    assert "exists already" in again.stderr


def count_reads(monkeypatch):
    """Return the list of names of files that will be read."""
    names, read = [], reader.read_nwb
    monkeypatch.setattr(
        reader, "read_nwb", lambda path, **o: names.append(path.name) or read(path, **o)
    )
    return names


def test_summarize_goes_on_where_it_was(files, tmp_path, monkeypatch, caplog):
    """Files whose rows are kept are not read again, unless they or the settings have
    changed; the table is the same as that of one go.
    """
    out, names = tmp_path / "table.csv", count_reads(monkeypatch)
    assert run("summarize", *files, "-o", out).exit_code == 1
    assert len(pd.read_csv(out)) == 3
    kept = tmp_path / ".table.csv.rows"
    # What a process that is killed while it writes leaves behind.
    kept.write_bytes(kept.read_bytes() + b'{"key": "5')
    write(files[1], 7)
    write(files[2], 8)
    names.clear()
    done = run("summarize", *files, "-o", out, "--overwrite")
    assert done.exit_code == 0, done.stderr
    assert names == ["bad.nwb", "b.nwb"]
    assert "2 of 4 files are to be read" in caplog.messages
    assert out.read_text() == run("summarize", *files, "--csv").stdout
    assert not kept.exists()


def test_rows_of_other_settings_are_not_used(files, tmp_path, monkeypatch):
    """What another window gave is computed again."""
    out, names = tmp_path / "table.csv", count_reads(monkeypatch)
    run("summarize", *files, "-o", out)
    names.clear()
    run("summarize", *files, "-o", out, "--overwrite", "--window", 20)
    assert len(names) == 4
    assert set(pd.read_csv(out)["window"]) == {20}


def test_two_processes_do_not_make_one_table(files, tmp_path):
    """The second one is refused while the first is at work."""
    from ann2neo._files import locked

    out = tmp_path / "table.csv"
    with locked(tmp_path / ".table.csv.rows", ""):
        done = run("summarize", *files, "-o", out)
    assert done.exit_code == 1
    assert "another process is making" in done.stderr


@pytest.mark.parametrize(
    ("options", "status", "answer"),
    [
        (["--workers", 0], 2, "greater than or equal to 1|not in the range"),
        (["--workers", "two"], 2, "two|valid integer"),
        (["--workers", 2, "--scheduler", "h:1"], 2, "one of --workers and --scheduler"),
        (["--scheduler", "nowhere"], 1, "no Dask scheduler at nowhere .*missing port"),
        (["--scheduler", "foo://h:1"], 1, "no Dask scheduler at foo://h:1 .*foo"),
    ],
)
def test_wrong_places_to_compute_are_refused(options, status, answer, files):
    """The answer is one line, with a remedy where there is one."""
    for command in (["analyze", files[0]], ["summarize", *files]):
        done = run(*command, *options)
        assert done.exit_code == status
        (line,) = (x for x in done.stderr.splitlines() if re.match("ann2neo|Error", x))
        assert re.search(answer, line)
        assert status == 2 or "start one with 'dask scheduler'" in line


@pytest.mark.slow
def test_a_scheduler_that_is_not_there_is_said_soon(files):
    """Within seconds, where Dask itself would try for half a minute."""
    started = time.process_time()
    done = run("analyze", files[0], "--scheduler", "tcp://127.0.0.1:1")
    assert done.exit_code == 1
    assert re.search("there is no Dask scheduler.*after 5 s", done.stderr)
    assert time.process_time() - started < 10


def test_without_dask_the_extra_is_named(files, monkeypatch):
    """The error is the line that installs it."""
    monkeypatch.setitem(sys.modules, "distributed", None)
    done = run("analyze", files[0], "--scheduler", "tcp://127.0.0.1:8786")
    assert done.exit_code == 1
    assert "pip install 'ann2neo[dask]'" in done.stderr


@pytest.mark.slow
def test_without_a_scheduler_dask_is_not_loaded(files):
    """A command in this process has not even looked for it."""
    code = (
        "import sys\nfrom ann2neo.cli import app\ntry:\n    app(sys.argv[1:])\nexcept"
        " SystemExit:\n    print({'dask', 'distributed'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "summarize", str(files[0])],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "set()"


@pytest.mark.slow
def test_processes_change_nothing(files, tmp_path):
    """--workers gives the output and the errors of the same command without it."""
    for words in (
        ["analyze", files[0], "--csv"],
        ["analyze", *files],
        ["summarize", *files, "--csv"],
    ):
        alone, there = run(*words), run(*words, "--workers", 2)
        assert there.stdout == alone.stdout
        assert (there.exit_code, there.stderr) == (alone.exit_code, alone.stderr)


@pytest.mark.slow
def test_warnings_come_from_the_workers(files):
    """What is said about a file is said here, with its name."""
    words = ["summarize", files[0], files[2], "--window", "100", "--csv"]
    command = [sys.executable, "-m", "ann2neo", *map(str, words)]
    alone, there = (
        subprocess.run([*command, *more], capture_output=True, text=True, check=True)
        for more in ([], ["--workers", "2"])
    )
    for name in ("a.nwb", "b.nwb"):
        assert f"ann2neo: FewWindowsWarning: {name}: " in there.stderr
    assert (there.stdout, there.stderr) == (alone.stdout, alone.stderr)


@pytest.mark.slow
def test_a_killed_command_goes_on(tmp_path, caplog):
    """Kill -9 while it reads files: the rows so far are kept, and used."""
    paths = [write(tmp_path / f"{number:02d}.nwb", number) for number in range(40)]
    words = ["summarize", *map(str, paths), "-o", str(tmp_path / "table.csv")]
    kept = tmp_path / ".table.csv.rows"
    process = subprocess.Popen(
        [sys.executable, "-m", "ann2neo", *words], env=dict(os.environ)
    )
    deadline = time.monotonic() + 120
    while not (kept.exists() and kept.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "table.csv").exists()
    done = run(*words)
    assert done.exit_code == 0, done.stderr
    waiting = int(re.search(r"(\d+) of 40 files are to be read", caplog.text)[1])
    assert 0 < waiting < 40
    assert (tmp_path / "table.csv").read_text() == run(*words[:-2], "--csv").stdout
