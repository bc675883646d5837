"""Executors: where the work runs changes no number, and what goes wrong is said."""

import itertools
import multiprocessing
import pickle
import threading
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import threadpoolctl
from work import CALLS, die_in, fail_at_three, mean_count, opened, slowly, trials

import ann2neo
from ann2neo import Recording, SpikeRaster, _parallel
from ann2neo._parallel import Task, WorkerWarning, map_tasks, n_workers
from ann2neo.analysis.units.nulls import LjungBoxNull, WindowNull
from ann2neo.errors import InputTypeError, InputValueError, IntegrityError, WorkerError
from ann2neo.raster import CarriedRaster
from ann2neo.testing import make_recording

_BY_DEFAULT = {"analyze", "correlations", "surrogate_test of a function"}
SOME_CALLS = [
    name if name in _BY_DEFAULT else pytest.param(name, marks=pytest.mark.slow)
    for name in CALLS
]
_SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture(scope="module")
def processes():
    """Two worker processes."""
    with ProcessPoolExecutor(2, _SPAWN) as pool:
        yield pool


@pytest.fixture(scope="module")
def threads():
    """Two worker threads."""
    with ThreadPoolExecutor(2) as pool:
        yield pool


@pytest.mark.parametrize("name", SOME_CALLS)
def test_threads_change_no_number(name, threads):
    """A table made in two threads is the one made without an executor."""
    recording = trials()
    pd.testing.assert_frame_equal(
        CALLS[name](recording, threads), CALLS[name](recording, None), check_exact=True
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", CALLS)
def test_processes_change_no_number(name, processes):
    """A table made in two other processes is the one made without an executor."""
    recording = trials()
    pd.testing.assert_frame_equal(
        CALLS[name](recording, processes),
        CALLS[name](recording, None),
        check_exact=True,
    )


def tasks_of(numbers, *more):
    """A task for each number."""
    return (Task(f"number {number}", (number, *more)) for number in numbers)


def test_results_come_in_the_order_of_the_tasks(threads):
    """A slow task holds its successors back, and none is lost."""
    tasks = [Task("", (number, 0.05 * (number == 0))) for number in range(20)]
    assert list(map_tasks(slowly, tasks, threads)) == list(range(20))


def test_few_tasks_are_drawn_ahead(threads):
    """Of endless tasks, no more are in work than two per worker."""
    drawn = itertools.count()
    results = map_tasks(fail_at_three, tasks_of(5 + n for n in drawn), threads)
    assert [next(results) for _ in range(3)] == [5, 6, 7]
    assert next(drawn) <= 3 + 4
    results.close()


@pytest.mark.parametrize("has_executor", [False, True])
def test_a_task_that_fails_is_named(has_executor, threads):
    """Its error is raised as it is, with a note of what it was about."""
    executor = threads if has_executor else None
    results = map_tasks(fail_at_three, tasks_of(range(9)), executor)
    assert list(itertools.islice(results, 3)) == [0, 1, 2]
    with pytest.raises(ZeroDivisionError, match="three") as caught:
        next(results)
    assert caught.value.__notes__ == ["in number 3"]


def test_the_block_and_phase_of_an_error_are_named(monkeypatch, threads):
    """An analysis that fails in a worker says for which units of which phase."""
    recording = trials()

    def fails(*_):
        raise ArithmeticError

    monkeypatch.setattr("ann2neo.analysis.units.analyze._rows", fails)
    with pytest.raises(ArithmeticError) as caught:
        ann2neo.analyze(recording, executor=threads)
    assert caught.value.__notes__ == ["in units 0 .. 69 of phase 'train'"]


def test_a_task_uses_one_thread(threads):
    """Other tasks run beside it, on the other cores."""
    counts = map_tasks(n_workers, [Task("", ())] * 3, threads)
    assert list(counts) == [1, 1, 1]
    assert n_workers() == len(__import__("os").sched_getaffinity(0))


def blas_threads():
    """Number of threads of each BLAS of this process."""
    info = threadpoolctl.threadpool_info()
    return [library["num_threads"] for library in info if library["user_api"] == "blas"]


def test_a_task_uses_one_thread_of_blas(threads):
    """So do tasks without an executor, so that products are the same to the last bit;
    the setting is back once the last of all tasks has ended.
    """
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        assert set(blas_threads()) == {2}
        for executor in (None, threads):
            found = list(map_tasks(blas_threads, [Task("", ())] * 9, executor))
            assert set(itertools.chain(*found)) == {1}
            with pytest.raises(ZeroDivisionError):
                list(map_tasks(fail_at_three, tasks_of(range(9)), executor))
        assert set(blas_threads()) == {2}


@pytest.mark.parametrize("measure", ["hamming", "correlation", "crossvalidated"])
def test_parts_of_a_matrix_change_no_dissimilarity(measure):
    """Workers take ranges of rows, and other processes have other threads of BLAS."""
    n_items, n_units = 700, 300
    shown = np.tile(np.arange(n_items), 3)
    rng = np.random.default_rng(0)
    recording = Recording.from_activations(
        rng.normal(size=(len(shown), n_units)), stimulus_id=shown
    )
    executor = Pickling()
    found = ann2neo.dissimilarities(recording, measure, executor=executor)
    assert len(executor.sent) > 5
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        expected = ann2neo.dissimilarities(recording, measure)
    np.testing.assert_array_equal(found.condensed, expected.condensed)


@pytest.mark.slow
def test_a_killed_worker_costs_no_result():
    """A pool that broke is said to have, and this process does the rest."""
    import os

    with ProcessPoolExecutor(2, _SPAWN) as pool:
        tasks = [Task("", (os.getpid(), number)) for number in range(9)]
        with pytest.warns(WorkerWarning, match="ProcessPoolExecutor has lost a worker"):
            results = list(map_tasks(die_in, tasks, pool))
    assert results == [0, 2, 4, 6, 8, 10, 12, 14, 16]


def test_an_executor_that_is_shut_down_is_refused():
    """It takes no more work, which is said before any is done."""
    pool = ThreadPoolExecutor(1)
    pool.shutdown()
    with pytest.raises(InputValueError, match=r"takes no more work.*make a new one"):
        ann2neo.analyze(trials(), executor=pool)


def test_what_is_no_executor_is_refused():
    """A client of Dask, which has one, is told apart."""

    class Client:
        def get_executor(self):
            raise AssertionError

    with pytest.raises(InputTypeError, match=r"pass client\.get_executor\(\)"):
        ann2neo.analyze(trials(), executor=Client())
    with pytest.raises(InputTypeError, match="ProcessPoolExecutor"):
        ann2neo.correlations(trials(), phase="test", executor=2)


@pytest.mark.slow
def test_a_function_that_cannot_be_sent_is_refused(processes):
    """A function of the user's inside another one cannot go to another process."""

    def inside(rasters):
        return mean_count(rasters)

    with pytest.raises(InputValueError, match="at the top of a module"):
        ann2neo.surrogate_test(
            trials(), inside, method="within_label", n_surrogates=5, executor=processes
        )


class Pickling(Executor):
    """An executor that pickles what it is given and runs it at once, elsewhere."""

    _max_workers = 1

    def __init__(self):
        self.sent = []

    def submit(self, function, *arguments):
        """Run a function of what arguments are once they were pickled."""
        self.sent.append(pickle.dumps((function, arguments)))
        function, arguments = pickle.loads(self.sent[-1])
        future = Future()
        try:
            future.set_result(function(*arguments))
        except Exception as error:  # noqa: BLE001 - as executors do
            future.set_exception(error)
        return future


def in_folder(path, recording):
    """The recording, memory-mapped from a folder."""
    from ann2neo.recording import folder

    unfinished = folder.UnfinishedFolder(path, {}, *recording.raster.shape)
    unfinished.bits[:] = recording.raster.bits
    unfinished.finish(recording)
    return Recording.open(path)


@pytest.mark.parametrize("name", SOME_CALLS)
def test_what_is_pickled_changes_no_number(name, tmp_path):
    """Sent as bits, or as the place of the bits in a folder, tables are the same."""
    recording = trials()
    expected = CALLS[name](recording, None)
    for source in (recording, in_folder(tmp_path / "f", recording)):
        found = CALLS[name](source, Pickling())
        pd.testing.assert_frame_equal(found, expected, check_exact=True)


def test_recordings_in_folders_travel_as_places(tmp_path):
    """A task for a worker takes few bytes, whatever the size of the recording."""
    bits = np.random.default_rng(0).random((64, 80_000)) < 0.1
    recording = in_folder(
        tmp_path / "f", Recording.from_raster(SpikeRaster.from_dense(bits))
    )
    executor = Pickling()
    ann2neo.analyze(recording, executor=executor)
    assert max(map(len, executor.sent)) < 4_000 < recording.raster.nbytes


def carried(path):
    """Units 3, 4 and 5 of a raster in a folder, as they are sent to another process."""
    recording = in_folder(path, make_recording(np.eye(9)))
    block = list(recording.raster.unit_blocks(24))[1][1]
    assert block.n_units == 3
    return pickle.dumps(CarriedRaster(block))


def test_a_block_of_a_folder_arrives_as_it_left(tmp_path):
    """The rows of a block of units are found in the file, and on the same time base."""
    arrived = pickle.loads(carried(tmp_path / "f")).open()
    assert arrived.spike_bins(0).tolist() == [3]
    assert arrived.sampling_period == make_recording(np.eye(9)).sampling_period
    again = pickle.loads(pickle.dumps(pickle.loads(carried(tmp_path / "g"))))
    assert opened(again) == [1, 1, 1]


def test_a_folder_that_a_worker_does_not_see_is_named(tmp_path, monkeypatch):
    """With its path, and the name of the worker's machine."""
    sent = carried(tmp_path / "f")
    (tmp_path / "f").rename(tmp_path / "elsewhere")
    monkeypatch.setattr("platform.node", lambda: "node7")
    with pytest.raises(WorkerError, match=r"node7 cannot read .*bits\.npy"):
        pickle.loads(sent).open()


def test_a_folder_that_changes_is_noticed(tmp_path):
    """Blocks of the old bits and of the new ones would make one table."""
    sent = carried(tmp_path / "f")
    bits = tmp_path / "f" / "bits.npy"
    content = bits.read_bytes()
    bits.write_bytes(content + b"\0")
    with pytest.raises(IntegrityError, match="changed during the analysis"):
        pickle.loads(sent).open()


def test_a_folder_that_changed_before_it_was_sent_is_noticed(tmp_path):
    """What counts is the file that the analysis has opened."""
    recording = in_folder(tmp_path / "f", make_recording(np.eye(9)))
    bits = tmp_path / "f" / "bits.npy"
    content = bits.read_bytes()
    bits.unlink()
    bits.write_bytes(content[:-1] + b"\1")
    sent = pickle.dumps(CarriedRaster(recording.raster))
    with pytest.raises(IntegrityError, match="changed during the analysis"):
        pickle.loads(sent).open()


def test_workers_of_another_version_are_refused(monkeypatch, threads):
    """A worker compares its version with that of the caller."""
    versions = iter(["1.2.3"])
    monkeypatch.setattr(
        _parallel,
        "_own_version",
        lambda: (
            "9.9"
            if threading.current_thread() is not threading.main_thread()
            else next(versions)
        ),
    )
    with pytest.raises(WorkerError, match=r"has ann2neo 9\.9, this process 1\.2\.3"):
        list(map_tasks(fail_at_three, tasks_of([1]), threads))


@pytest.mark.parametrize(
    "null", [lambda: WindowNull(30, 9), lambda: LjungBoxNull(90, 5)]
)
def test_threads_draw_on_a_null_distribution_one_at_a_time(null, threads):
    """Draws of two threads at once would be those of neither, for all that follow."""
    shared, alone = null(), null()

    def last(null):
        return (null.squares if isinstance(null, WindowNull) else null.statistics)(60)

    results = list(map_tasks(last, [Task("", (shared,))] * 4, threads))
    for result in results:
        np.testing.assert_array_equal(result, last(alone))


@pytest.mark.slow
@pytest.mark.parametrize("method", ["jitter_spikes", "randomise_spikes"])
def test_threads_draw_surrogates_of_elephant_one_at_a_time(method, threads):
    """Elephant draws from generators of the process, which threads would share."""
    recording = trials(n_units=4)
    settings = {"method": method, "n_surrogates": 16, "seed": 1}
    found = ann2neo.surrogate_test(recording, "cv2", **settings, executor=threads)
    expected = ann2neo.surrogate_test(recording, "cv2", **settings)
    pd.testing.assert_frame_equal(found, expected, check_exact=True)
