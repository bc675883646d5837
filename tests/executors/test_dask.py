"""A cluster of Dask: the same tables, whatever happens to its workers."""

import importlib
import os
import re
import signal
import threading
import time

import numpy as np
import pandas as pd
import pytest
from cluster import cluster_of
from test_executors import in_folder
from typer.testing import CliRunner
from work import CALLS, die_unless_in, fail_at_three, process_after, slowly, trials

import ann2neo
from ann2neo._parallel import Task, WorkerWarning, map_tasks
from ann2neo.cli import app
from ann2neo.errors import InputValueError, IntegrityError, WorkerError
from ann2neo.testing import make_recording

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def two_workers(tmp_path_factory):
    """A scheduler and two workers."""
    with cluster_of(tmp_path_factory.mktemp("cluster"), "one", "two") as running:
        yield running


@pytest.fixture(scope="module")
def cluster(two_workers):
    """The cluster itself."""
    return two_workers[0]


@pytest.fixture(scope="module")
def client(two_workers):
    """Its client."""
    return two_workers[1]


def run(*arguments):
    """Run a command in this process; errors are kept apart from output."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.mark.parametrize("name", CALLS)
def test_a_cluster_changes_no_number(name, client):
    """A table made by two workers of a cluster is the one made without an executor."""
    recording = trials()
    pd.testing.assert_frame_equal(
        CALLS[name](recording, client.get_executor()),
        CALLS[name](recording, None),
        check_exact=True,
    )


def test_both_workers_work(client):
    """Tasks run in two processes, neither of which is this one."""
    tasks = [Task("", (number, 0.05)) for number in range(20)]
    processes = set(map_tasks(process_after, tasks, client.get_executor()))
    assert len(processes) == 2
    assert os.getpid() not in processes


def test_a_task_that_fails_is_named(client):
    """An error in a worker is raised here, with its traceback and what it was about."""
    tasks = [Task("units 0 .. 3 of phase 'train'", (3,))]
    with pytest.raises(ZeroDivisionError, match="three") as caught:
        list(map_tasks(fail_at_three, tasks, client.get_executor()))
    assert caught.value.__notes__ == ["in units 0 .. 3 of phase 'train'"]
    assert caught.traceback[-1].name == "fail_at_three"


def test_a_folder_that_changes_is_noticed(client, monkeypatch, tmp_path):
    """A worker that finds another file than was sent says so, with units and phase."""
    recording = in_folder(tmp_path / "f", trials())
    executor = client.get_executor(pure=False)
    submit = executor.submit

    def submit_and_change(*arguments):
        # Both workers are busy until the file has changed.
        busy = [submit(slowly, number, 2) for number in range(2)]
        future = submit(*arguments)
        (tmp_path / "f" / "bits.npy").touch()
        assert not any(task.done() for task in busy)
        return future

    monkeypatch.setattr(executor, "submit", submit_and_change)
    with pytest.raises(IntegrityError, match="changed during the analysis") as caught:
        ann2neo.analyze(recording, executor=executor)
    assert caught.value.__notes__ == ["in units 0 .. 69 of phase 'train'"]


def test_a_closed_client_is_refused(cluster):
    """Its executor takes no more work, which is said before any is done."""
    from distributed import Client

    with Client(cluster.address, set_as_default=False) as closed:
        executor = closed.get_executor()
    with pytest.raises(InputValueError, match=r"takes no more work.*make a new one"):
        ann2neo.analyze(trials(), executor=executor)


def test_a_function_that_workers_do_not_find_is_refused(client, tmp_path, monkeypatch):
    """Its module is named, with what to do."""
    (tmp_path / "only_here.py").write_text("def n_trials(rasters):\n    return 1.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    function = importlib.import_module("only_here").n_trials
    with pytest.raises(WorkerError, match=r"'only_here'.* module that workers can"):
        ann2neo.surrogate_test(
            trials(),
            function,
            method="within_label",
            n_surrogates=40,
            executor=client.get_executor(),
        )


def test_a_folder_that_workers_do_not_see_is_named(client, tmp_path, monkeypatch):
    """Its path, the host of the worker, the units and the phase are told."""
    in_folder(tmp_path / "f", trials())
    # A path that leads elsewhere in every process.
    monkeypatch.chdir(tmp_path)
    recording = ann2neo.Recording.open("/proc/self/cwd/f")
    with pytest.raises(WorkerError, match=r"cannot read /proc/self/cwd/f/bits") as told:
        ann2neo.analyze(recording, executor=client.get_executor())
    assert told.value.__notes__ == ["in units 0 .. 69 of phase 'train'"]


def test_an_executor_that_is_shut_down_is_refused(client):
    """It takes no more work, which is said before any is done."""
    executor = client.get_executor()
    executor.shutdown()
    with pytest.raises(InputValueError, match=r"takes no more work.*make a new one"):
        ann2neo.analyze(trials(), executor=executor)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Six NWB files, and one that is none."""
    folder = tmp_path_factory.mktemp("files")
    for number in range(6):
        bits = np.random.default_rng(number).random((8, 300)) < 0.2
        ann2neo.write_nwb(make_recording(bits), folder / f"{number}.nwb")
    (folder / "7.nwb").write_text("no NWB")
    return sorted(folder.iterdir())


def test_commands_use_the_cluster(cluster, files, tmp_path):
    """Tables of analyze and summarize are the same, and the bad file is named."""
    for command in ("analyze", "summarize"):
        alone = run(command, *files, "--csv")
        there = run(command, *files, "--csv", "--scheduler", cluster.address)
        assert (there.exit_code, there.stdout) == (1, alone.stdout)
        assert there.stderr == alone.stderr
        assert "1 of 7 files could not be read" in there.stderr
    one = run("analyze", files[0], "--scheduler", cluster.address)
    assert one.stdout == run("analyze", files[0]).stdout


def test_files_that_workers_do_not_see_are_named(cluster, files, monkeypatch):
    """A worker that lacks a file that is there ends the command, which says so."""
    monkeypatch.chdir(files[0].parent)
    paths = [f"/proc/self/cwd/{path.name}" for path in files[:2]]
    done = run("summarize", *paths, "--scheduler", cluster.address)
    assert done.exit_code == 1
    assert re.search(r"a worker on \S+ does not see /proc/self/cwd/0\.nwb", done.stderr)


def test_a_study_runs_on_a_cluster(cluster, tmp_path):
    """Its tables are those of a run in one process."""
    few = ["--profile", "quick", "--network", "MLP", "--width", 16, "--seeds", 0]
    few += ["--max-epochs", 3]
    for name, more in (("here", []), ("there", ["--scheduler", cluster.address])):
        done = run("study", "run", *few, "--out", tmp_path / name, *more)
        assert done.exit_code == 0, done.stderr
    for name in ("results.csv", "unit_rates.csv"):
        here, there = (tmp_path / place / name for place in ("here", "there"))
        assert there.read_bytes() == here.read_bytes()


def test_a_killed_worker_costs_no_result(tmp_path):
    """One worker is killed by its process id in mid-run, then the scheduler."""
    recording = trials(n_units=200)

    def surrogates(executor):
        return ann2neo.surrogate_test(
            recording, "cv2", n_surrogates=100, seed=1, executor=executor
        )

    expected = surrogates(None)
    with cluster_of(tmp_path, "one", "two") as (cluster, client):
        processes = client.run(os.getpid)

        def kill_one():
            address = _busy(client)
            os.kill(processes[address], signal.SIGKILL)

        killer = threading.Thread(target=kill_one)
        killer.start()
        found = surrogates(client.get_executor())
        killer.join()
        assert set(client.nthreads()) < set(processes)
        pd.testing.assert_frame_equal(found, expected, check_exact=True)

        def kill_scheduler():
            _busy(client)
            cluster.kill("scheduler")

        killer = threading.Thread(target=kill_scheduler)
        killer.start()
        with pytest.warns(WorkerWarning, match="has lost a worker or its scheduler"):
            found = surrogates(client.get_executor())
        killer.join()
        pd.testing.assert_frame_equal(found, expected, check_exact=True)


def _busy(client):
    """Return the address of the first worker that is given tasks."""
    while True:
        for address, tasks in client.processing().items():
            if tasks:
                return address
        time.sleep(0.005)


def test_a_task_that_ends_every_worker_is_named(tmp_path, monkeypatch):
    """What would take up all workers, and then this process, is an error."""
    monkeypatch.setenv("DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES", "0")
    with cluster_of(tmp_path, "one", "two") as (_, client):
        tasks = [Task("the large block", (os.getpid(),))]
        with pytest.raises(WorkerError, match="the large block: every worker"):
            list(map_tasks(die_unless_in, tasks, client.get_executor()))


def test_workers_of_another_version_are_refused(tmp_path):
    """A worker that has another version says so, with its host."""
    other = tmp_path / "other" / "ann2neo-9.9.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: ann2neo\nVersion: 9.9\n"
    )
    with (
        cluster_of(tmp_path, "old", path=[other.parent]) as (_, client),
        pytest.raises(WorkerError, match=r"a worker on \S+ has ann2neo 9\.9"),
    ):
        ann2neo.analyze(trials(), executor=client.get_executor())
