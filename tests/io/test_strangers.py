"""Links, pipes and files of others where ann2neo writes: nothing of a user is lost."""

import errno
import logging
import os
import stat
import subprocess
import sys

import pytest

import ann2neo
from ann2neo import _files
from ann2neo._files import (
    complete_file,
    complete_text,
    lock_path,
    locked,
    make_folder,
    open_regular,
    output_path,
    partial_path,
    refuse_existing,
)
from ann2neo.errors import FileFormatError, OutputError, OutputExistsError
from ann2neo.io.nwb.analysis_tables import append_analysis

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="links and modes")

NOBODY = 65534


@pytest.fixture
def path(tmp_path):
    """Where the tests write, in a folder of its own."""
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "a.txt"


@pytest.fixture
def precious(tmp_path):
    """A file of the user that nobody asked to write."""
    precious = tmp_path / "precious.txt"
    precious.write_text("mine")
    return precious


@pytest.mark.parametrize("place", [partial_path, lock_path])
@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_links_in_the_place_of_our_files_are_refused(path, precious, place, link):
    """A symbolic or hard link under the name of a partial file or a lock is refused by
    name; what it leads to stays as it is.
    """
    link(precious, place(path))
    with pytest.raises(OutputError, match=r"\.a\.txt\.(partial|lock)|symbolic link"):
        complete_text(path, "new", overwrite=True)
    assert precious.read_text() == "mine"
    assert not path.exists()
    assert place(path).exists()


@pytest.mark.parametrize("place", [partial_path, lock_path])
def test_a_pipe_in_the_place_of_our_files_is_refused(path, place):
    """A pipe under the name of a partial file or a lock is refused, and not waited
    for.
    """
    os.mkfifo(place(path))
    with pytest.raises(OutputError, match=r"no regular file, so it is left alone"):
        complete_text(path, "new", overwrite=True)


@pytest.mark.may_skip("root gives files to others")
def test_a_partial_file_of_another_user_is_refused(path):
    """A partial file that somebody else put into a shared folder is left alone."""
    if os.geteuid() != 0:
        pytest.skip("only root can give files to others")
    partial_path(path).write_text("theirs")
    os.chown(partial_path(path), NOBODY, NOBODY)
    with pytest.raises(OutputError, match=rf"another user \(uid {NOBODY}\)"):
        complete_text(path, "new", overwrite=True)
    assert partial_path(path).read_text() == "theirs"


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444, 0o755])
def test_the_mode_is_kept_on_overwrite(path, mode):
    """A file that is replaced keeps its mode, and a private one is private while it is
    written.
    """
    path.write_text("old")
    path.chmod(mode)
    with complete_file(path, overwrite=True) as partial:
        assert stat.S_IMODE(partial.stat().st_mode) == 0o600
        partial.write_text("new")
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert path.read_text() == "new"


def test_a_private_file_stays_private(path, network):
    """An NWB file of mode 0600 keeps it when it is replaced and appended to."""
    path = path.with_suffix(".nwb")
    ann2neo.write_nwb(network, path)
    path.chmod(0o600)
    table = ann2neo.analyze(network)
    append_analysis(path, table, ann2neo.column_descriptions(table))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    ann2neo.write_nwb(network, path, overwrite=True)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_new_file_has_the_mode_of_the_umask(path):
    """A new file has the permissions that every new file has."""
    complete_text(path, "new", overwrite=False)
    path.with_name("b.txt").write_text("new")
    assert path.stat().st_mode == path.with_name("b.txt").stat().st_mode


@pytest.mark.may_skip("root gives files to others")
def test_the_owner_is_kept_as_root(path):
    """Root replaces a user's file by one of the same owner and group."""
    if os.geteuid() != 0:
        pytest.skip("only root can give files to others")
    path.write_text("old")
    os.chown(path, NOBODY, NOBODY)
    path.chmod(0o600)
    complete_text(path, "new", overwrite=True)
    state = path.stat()
    assert (state.st_uid, state.st_gid) == (NOBODY, NOBODY)
    assert stat.S_IMODE(state.st_mode) == 0o600


def test_a_link_in_the_name_is_resolved(path, precious):
    """Writing to a link writes what it leads to; the link stays."""
    path.symlink_to(precious)
    with pytest.raises(OutputExistsError, match="exists already; pass overwrite=True"):
        complete_text(path, "new", overwrite=False)
    complete_text(path, "new", overwrite=True)
    assert path.is_symlink()
    assert precious.read_text() == "new"
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["a.txt"]
    assert sorted(entry.name for entry in precious.parent.iterdir()) == [
        "out",
        "precious.txt",
    ]


def test_a_dangling_link_is_an_existing_file(path, tmp_path):
    """A link to nothing is not replaced; with overwrite, the file it names is made."""
    path.symlink_to(tmp_path / "later.txt")
    with pytest.raises(
        OutputExistsError, match=r"as a link to .*later\.txt, which does not exist"
    ):
        complete_text(path, "new", overwrite=False)
    assert not (tmp_path / "later.txt").exists()
    complete_text(path, "new", overwrite=True)
    assert path.is_symlink()
    assert (tmp_path / "later.txt").read_text() == "new"


def pipe(path):
    os.mkfifo(path)


def link_to_itself(path):
    path.symlink_to(path)


def link_to_a_device(path):
    path.symlink_to("/dev/null")


@pytest.mark.parametrize("make", [pipe, link_to_itself, link_to_a_device])
def test_only_regular_files_are_replaced(path, make):
    """A pipe, a device and a link to itself are refused, with overwrite too."""
    make(path)
    before = path.lstat()
    for write in (
        refuse_existing,
        lambda p, *, overwrite: output_path(p, "", overwrite=overwrite),
    ):
        with pytest.raises(OutputError, match="not a regular file but a device, pipe"):
            write(path, overwrite=True)
    assert path.lstat().st_mode == before.st_mode


@pytest.mark.may_skip("root makes devices")
def test_a_device_is_not_replaced(path):
    """A device node is refused, and stays one."""
    try:
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("only root can make devices")
    with pytest.raises(OutputError, match="device"):
        complete_text(path, "new", overwrite=True)
    assert stat.S_ISCHR(path.stat().st_mode)


@pytest.mark.parametrize(
    "name", ["a\0b", "n" * 300, "n" * 250, "a\ud800", "file/b"], ids=repr
)
def test_a_name_that_cannot_be_is_an_output_error(tmp_path, name):
    """A name with a zero byte or a lone surrogate, one that is too long, and one below
    a file are an OutputError in files and folders.
    """
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="could not be written: "):
        complete_text(tmp_path / name, "new", overwrite=True)
    if len(name) != 250:
        with pytest.raises(OutputError, match="could not be written: "):
            make_folder(tmp_path / name)
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_written_and_said(
    path, monkeypatch, caplog, number
):
    """Where there are no locks, files are written and a warning is logged."""

    def refuse(_handle, *, blocking):
        del blocking
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(_files, "lock_descriptor", refuse)
    with caplog.at_level(logging.WARNING, "ann2neo"):
        complete_text(path, "new", overwrite=False)
        with locked(path.parent, "busy"):
            pass
    assert path.read_text() == "new"
    assert [entry.name for entry in path.parent.iterdir()] == ["a.txt"]
    assert "this file system has no locks; make sure that no other" in caplog.text


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EOPNOTSUPP, errno.EACCES])
def test_a_folder_that_cannot_be_synced_is_written(path, monkeypatch, number):
    """Where folders cannot be opened or synced, a complete file is no error."""
    real = os.open

    def refuse(name, *arguments):
        if name == path.parent:
            raise OSError(number, os.strerror(number))
        return real(name, *arguments)

    monkeypatch.setattr(os, "open", refuse)
    complete_text(path, "new", overwrite=False)
    assert path.read_text() == "new"


WRITE_ONLY = """
import os
from pathlib import Path
from ann2neo._files import complete_text
os.setuid(65534)
complete_text(Path("a.txt"), "new", overwrite=False)
"""


@pytest.mark.may_skip("root becomes another user")
def test_a_folder_that_cannot_be_listed_is_written(path):
    """A folder that a user may write to but not list takes files."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    os.chown(path.parent, NOBODY, NOBODY)
    path.parent.chmod(0o300)
    done = subprocess.run(
        [sys.executable, "-c", WRITE_ONLY],
        cwd=path.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert path.read_text() == "new"


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(errno.ENOENT, "no such batch", "batches/7.npy"),
        PermissionError("not before noon"),
        OSError(errno.ENOSPC, "their disk is full", "/elsewhere/cache"),
        RuntimeError("errno = 2 in my generator"),
        StopIteration(3),
    ],
)
def test_a_users_own_exception_keeps_its_words(path, error):
    """An error raised by the user's data while a file is written is passed on as it
    is.
    """
    with (
        pytest.raises(type(error)) as raised,
        complete_file(path, overwrite=False),
    ):
        raise error
    assert raised.value is error
    assert list(path.parent.iterdir()) == []


def test_only_regular_files_are_read(path):
    """A pipe is not waited for, and a folder or device is not read."""
    os.mkfifo(path)
    for other in (path, path.parent, "/dev/zero"):
        with pytest.raises(FileFormatError, match="is not a regular file"):
            open_regular(other)
