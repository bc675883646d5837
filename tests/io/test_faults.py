"""Full disks and lost permissions leave no file, the old one or the new one."""

import errno
import os
import signal
import subprocess
import sys

import pandas as pd
import pytest

import ann2neo
from ann2neo._files import complete_file, lock_path, locked, partial_path
from ann2neo.errors import OutputError, OutputExistsError, OutputLockedError

# Loads everything, says so, waits for a line, and writes.
WRITER = """
import sys, numpy as np, pandas as pd, pynwb, ann2neo
rng = np.random.default_rng(7)
raster = ann2neo.SpikeRaster.from_dense(rng.random((300, 20000)) < 0.4)
units = pd.DataFrame({"layer": "hidden", "unit_in_layer": np.arange(300)})
recording = ann2neo.Recording.from_raster(raster, units)
print("ready", flush=True)
sys.stdin.readline()
ann2neo.write_nwb(recording, sys.argv[1], overwrite=True)
print("done", flush=True)
"""

HOLDER = """
import sys; from pathlib import Path
from ann2neo._files import complete_file
with complete_file(Path(sys.argv[1]), overwrite=False) as partial:
    partial.write_text('first'); print('holding', flush=True); sys.stdin.readline()
"""


def start_writer(path):
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    return process


def finish(process):
    process.wait()
    process.stdin.close()
    process.stdout.close()


def full_disk(folder):
    """Mount a small file system, or None where that is not allowed."""
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], check=False
    )
    return done.returncode == 0


@pytest.mark.may_skip("root mounts the small file system")
@pytest.mark.parametrize("has_old", [False, True])
def test_a_full_disk_is_told_and_the_old_file_stays(
    tmp_path, network, network_maker, has_old
):
    """On a disk of 4 MB a larger file is an OutputError that says so; the old file is
    whole, and nothing is left.
    """
    if os.geteuid() != 0 or not full_disk(tmp_path):
        pytest.skip("mounting a small file system needs root")
    try:
        path = tmp_path / "a.nwb"
        if has_old:
            ann2neo.write_nwb(network, path)
        with pytest.raises(
            OutputError,
            match=r"a\.nwb could not be written: the disk is full; free some space",
        ):
            ann2neo.write_nwb(network_maker(100, 60_000), path, overwrite=True)
        assert [entry.name for entry in tmp_path.iterdir()] == ["a.nwb"] * has_old
        if has_old:
            assert ann2neo.read_nwb(path).equals(network)
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_disk_space_is_claimed_before_it_is_written(tmp_path, network, monkeypatch):
    """Writing and appending claim all the space that a file needs, and where it is not
    there, nothing is written.
    """
    path, claimed = tmp_path / "a.nwb", []

    def claim(handle, start, n_bytes):
        assert os.fstat(handle).st_size < start + n_bytes
        claimed.append(start + n_bytes)

    def refuse(*_arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def append():
        table = pd.DataFrame({"unit": [0]})
        ann2neo.append_analysis(path, table, descriptions={"unit": "number"})

    def write():
        ann2neo.write_nwb(network, path)

    for write_or_append in (write, append):
        before = path.read_bytes() if path.exists() else None
        monkeypatch.setattr(os, "posix_fallocate", refuse, raising=False)
        with pytest.raises(OutputError, match="the disk is full; free some space"):
            write_or_append()
        assert (path.read_bytes() if path.exists() else None) == before
        claimed.clear()
        monkeypatch.setattr(os, "posix_fallocate", claim, raising=False)
        write_or_append()
        assert max(claimed) >= path.stat().st_size


def test_a_file_size_limit_is_told_and_the_old_file_stays(tmp_path, network):
    """In a process that may write 6 MB at most, the larger file is an OutputError and
    the old one is whole.
    """
    path = tmp_path / "a.nwb"
    ann2neo.write_nwb(network, path)
    code = WRITER.replace(
        "ann2neo.write_nwb(recording, sys.argv[1], overwrite=True)",
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (6_000_000,"
        " 6_000_000))\ntry: ann2neo.write_nwb(recording, sys.argv[1],"
        " overwrite=True)\nexcept ann2neo.OutputError as error: print(error,"
        " flush=True)",
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        input="\n",
        capture_output=True,
        text=True,
        check=True,
    )
    assert (
        "could not be written: the file would be larger than is allowed here"
        in done.stdout
    )
    assert ann2neo.read_nwb(path).equals(network)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.nwb"]


def immutable(folder, *, on):
    return (
        subprocess.run(
            ["chattr", "+i" if on else "-i", str(folder)],
            check=False,
            capture_output=True,
        ).returncode
        == 0
    )


@pytest.mark.may_skip("some file systems know no immutable folders")
def test_a_folder_that_may_not_be_written_is_told(tmp_path, network):
    """A folder without permission to write is an OutputError; the old file is whole."""
    folder = tmp_path / "locked"
    folder.mkdir()
    path = ann2neo.write_nwb(network, folder / "a.nwb")
    is_root = os.geteuid() == 0
    if is_root and not immutable(folder, on=True):
        pytest.skip(
            "root may write everywhere, and this file system knows no immutable folders"
        )
    try:
        if not is_root:
            folder.chmod(0o500)
        with pytest.raises(
            OutputError,
            match="could not be written: permission is missing; choose a folder",
        ):
            ann2neo.write_nwb(network, path, overwrite=True)
        assert ann2neo.read_nwb(path).equals(network)
    finally:
        if is_root:
            immutable(folder, on=False)
        else:
            folder.chmod(0o700)


@pytest.mark.may_skip("root makes the file immutable")
def test_a_permission_lost_while_writing_is_told(tmp_path):
    """If the final rename is not allowed, the old file is whole and the next run leaves
    no stray file.
    """
    path = tmp_path / "a.txt"
    path.write_text("old")
    if os.geteuid() != 0 or not immutable(path, on=True):
        pytest.skip("needs root and a file system that knows immutable files")
    try:
        with (
            pytest.raises(OutputError, match="permission is missing"),
            complete_file(path, overwrite=True) as partial,
        ):
            partial.write_text("new")
        assert path.read_text() == "old"
    finally:
        immutable(path, on=False)
    with complete_file(path, overwrite=True) as partial:
        partial.write_text("new")
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]
    assert path.read_text() == "new"


def test_of_two_writers_one_wins_and_the_other_is_told(tmp_path, network):
    """While one process writes a file, another gets an error; then the first one's file
    is there, whole.
    """
    path = tmp_path / "a.nwb"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout.readline() == "holding\n"
    with pytest.raises(
        OutputLockedError, match=r"another process is writing .*a\.nwb now; wait for it"
    ):
        ann2neo.write_nwb(network, path)
    holder.stdin.write("\n")
    holder.stdin.flush()
    finish(holder)
    assert path.read_text() == "first"
    with pytest.raises(OutputExistsError, match=r"exists already; pass overwrite=True"):
        ann2neo.write_nwb(network, path)


def test_the_lock_of_a_killed_writer_is_free(tmp_path, network):
    """Kill -9 leaves a lock file and a partial file, which block nobody; the next
    writer removes both.
    """
    path = tmp_path / "a.nwb"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout.readline() == "holding\n"
    os.kill(holder.pid, signal.SIGKILL)
    finish(holder)
    left = {partial_path(path), lock_path(path)}
    assert set(tmp_path.iterdir()) == left
    ann2neo.write_nwb(network, path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.nwb"]


def test_a_lock_is_let_go_of_once(tmp_path):
    """A locked folder is locked for this process, too; afterwards it is free, and no
    file is left in it.
    """
    for _ in range(2):
        with (
            locked(tmp_path, "held"),
            pytest.raises(OutputLockedError, match="busy"),
            locked(tmp_path, "busy"),
        ):
            pass
        assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_two_writers_at_once_leave_one_whole_file(tmp_path):
    """Two processes that write the same path at the same moment leave one complete
    file, and one of them may fail.
    """
    path = tmp_path / "a.nwb"
    writers = [start_writer(path) for _ in range(2)]
    for writer in writers:
        writer.stdin.write("\n")
        writer.stdin.flush()
    for writer in writers:
        finish(writer)
    assert 0 in {writer.returncode for writer in writers}
    assert ann2neo.read_nwb(path).n_units == 300
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.nwb"]


def test_an_interrupt_leaves_the_old_file_alone(tmp_path):
    """Control-C while writing leaves the old file and no partial one."""
    path = tmp_path / "a.txt"
    path.write_text("old")

    def write():
        with complete_file(path, overwrite=True) as partial:
            partial.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert [entry.read_text() for entry in tmp_path.iterdir()] == ["old"]


def test_an_unlocked_leftover_is_reused(tmp_path, network):
    """What a killed writer left, longer than the new file, does not show in it."""
    path = tmp_path / "a.nwb"
    partial_path(path).write_bytes(b"rubbish" * 1_000_000)
    ann2neo.write_nwb(network, path)
    assert ann2neo.read_nwb(path).equals(network)
    assert path.stat().st_size < 1_000_000


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("missing/a.nwb", "folder does not exist; create it"),
        ("file.txt/a.nwb", "not a folder; choose another path"),
    ],
)
def test_a_path_that_cannot_be_is_told(tmp_path, network, place, words):
    """A missing folder, or a file in a folder's place, is an OutputError with its
    remedy.
    """
    (tmp_path / "file.txt").write_text("x")
    with pytest.raises(OutputError, match=words):
        ann2neo.write_nwb(network, tmp_path / place)


def test_a_foreign_error_while_writing_stays_itself(tmp_path):
    """An error that is not the operating system's is passed on as it is, and nothing is
    left.
    """
    with (
        pytest.raises(ZeroDivisionError),
        complete_file(tmp_path / "a.txt", overwrite=False),
    ):
        _ = 1 / 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.ENOENT])
@pytest.mark.parametrize("is_ours", [False, True])
def test_an_error_of_the_callers_own_data_keeps_its_words(
    tmp_path, network_maker, number, is_ours
):
    """What a generator of activations raises, such as that another disk is full, is no
    error of the file that is written, whichever file it names.
    """
    recording = network_maker()
    path = tmp_path / "a.nwb"
    name = str(partial_path(path)) if is_ours else None
    mine = OSError(number, "no more batches", name)

    def batches():
        yield from ()
        raise mine

    layer = recording.units["layer"][0]
    with pytest.raises(OSError, match="no more batches") as raised:
        ann2neo.write_nwb(recording, path, activations={layer: batches()})
    assert raised.value is mine
    assert list(tmp_path.iterdir()) == []
