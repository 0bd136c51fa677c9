"""Files and folders that appear complete or not at all, and locks."""

import errno
import os
import signal
import subprocess
import sys

import filelock
import pytest
from sounds import files_in

from sep.errors import UserError
from sep.runtime import files


def test_a_name_that_is_too_long_is_refused(tmp_path):
    long = tmp_path / ("x" * 250)
    for writing in (files.replacing(long), files.replacing_folder(long, ())):
        with pytest.raises(UserError, match="cannot be written"), writing as part:
            part.touch()


def test_files_of_ended_processes_are_removed(tmp_path):
    path = tmp_path / "x[1].txt"
    dead = subprocess.Popen(["true"])
    dead.wait()
    mine = files.part_of(path)
    left = mine.with_name(mine.name.replace(str(os.getpid()), str(dead.pid)))
    alive = mine.with_name(mine.name.replace(str(os.getpid()), str(os.getppid())))
    host = mine.name.split(f"{os.getpid()}")[0]
    elsewhere = mine.with_name(
        f"{host}1-{dead.pid}.part"
    )  # of another host, named "this-host-1"
    # `mine`: an earlier process may have had this process's id.
    for part in (left, mine, alive, elsewhere):
        part.touch()
    with files.replacing(path) as part:
        part.write_text("old")
    assert files_in(tmp_path) == sorted([alive.name, elsewhere.name, path.name])
    elsewhere.unlink()
    for part in (left, mine):
        part.mkdir()
        (part / "half").touch()
    with files.replacing_folder(path.with_suffix(""), ()) as folder:
        (folder / "whole").touch()
    assert (tmp_path / "x[1]" / "whole").exists()
    with files.replacing(path) as part:
        part.write_text("new")
    assert path.read_text() == "new"
    assert files_in(tmp_path) == sorted([alive.name, path.name, "x[1]", "x[1]/whole"])


def test_a_folder_that_was_moved_aside_is_moved_back(tmp_path):
    path = tmp_path / "page"
    old = files.part_of(path).with_suffix(".old")
    old.mkdir()
    (old / "index.html").write_text("old")
    files.sweep(path)
    assert files_in(tmp_path) == ["page", "page/index.html"]
    old.mkdir()  # killed while it was removed
    (old / "half").touch()
    files.sweep(path)
    assert files_in(tmp_path) == ["page", "page/index.html"]


def test_a_folder_with_other_files_is_not_replaced(tmp_path):
    path = tmp_path / "page"
    (path / ".git").mkdir(parents=True)
    (path / ".DS_Store").touch()
    refused = pytest.raises(UserError, match=r"contains other files \(\.git\)")
    with refused, files.replacing_folder(path, ()):
        pass
    (path / ".git").rmdir()
    with files.replacing_folder(path, ()) as folder:
        (folder / "new").touch()
    assert files_in(tmp_path) == ["page", "page/new"]


def test_a_link_to_a_folder_is_replaced_without_its_target(tmp_path):
    (tmp_path / "target").mkdir()
    (tmp_path / "page").symlink_to(tmp_path / "target")
    with files.replacing_folder(tmp_path / "page", ()) as folder:
        (folder / "new").touch()
    assert files_in(tmp_path) == ["page", "page/new", "target"]


def test_an_error_leaves_files_and_folders_as_they_were(tmp_path):
    (tmp_path / "file").write_text("old")
    (tmp_path / "folder").mkdir()
    for writing in (
        files.replacing(tmp_path / "file"),
        files.replacing_folder(tmp_path / "folder", ()),
    ):
        with pytest.raises(KeyboardInterrupt), writing:
            raise KeyboardInterrupt
    assert files_in(tmp_path) == ["file", "folder"]
    assert (tmp_path / "file").read_text() == "old"


def test_a_folder_is_locked_to_one_process(tmp_path):
    with files.locked(tmp_path / "new", "training"):
        assert (tmp_path / "new" / ".lock").is_file()
        message = "new: another process is training there; wait for it, or use another$"
        again = files.locked(tmp_path / "new", "training")
        with pytest.raises(UserError, match=message), again:
            pass
    with files.locked(tmp_path / "new", "training"):  # the lock was freed
        pass


LOCK_AND_WAIT = """
import sys, time
from pathlib import Path
from sep.runtime.files import locked
with locked(Path(sys.argv[1]), "training"):
    print("locked", flush=True)
    time.sleep(60)
"""


def test_a_lock_ends_with_its_process(tmp_path):
    command = [sys.executable, "-c", LOCK_AND_WAIT, tmp_path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "locked\n"
        again = files.locked(tmp_path, "training")
        with pytest.raises(UserError, match="another process"), again:
            pass
        process.send_signal(signal.SIGKILL)
        process.wait()
        with files.locked(tmp_path, "training"):
            pass


def test_a_folder_that_cannot_be_locked_is_refused(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    refused = pytest.raises(UserError, match=r"file: cannot be used \(File exists\)")
    with refused, files.locked(tmp_path / "file", "training"):
        pass

    def not_implemented(*_):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr("fcntl.flock", not_implemented)  # as on some network file systems
    refused = pytest.raises(UserError, match=r"cannot be used \(Function not implemented")
    with refused, files.locked(tmp_path, "training"):
        pass


def test_an_error_under_a_lock_is_raised_unchanged(tmp_path):
    for error in (OSError("body"), filelock.Timeout("body")):
        with pytest.raises(OSError) as found, files.locked(tmp_path, "training"):
            raise error
        assert found.value is error


def test_toml_is_read_or_refused_in_one_line(tmp_path):
    path = tmp_path / "x.toml"
    with pytest.raises(UserError, match=r"x\.toml: no table \(No such file"):
        files.read_toml(path, "table")
    for content in (b"a = ", b"\xff"):
        path.write_bytes(content)
        with pytest.raises(UserError, match="not a TOML file") as error:
            files.read_toml(path, "table")
        assert "\n" not in str(error.value)
    path.write_text("a = [1]")
    assert files.read_toml(path, "table") == {"a": [1]}


def test_removing_a_folder(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    files.remove(tmp_path / "a")
    files.remove(tmp_path / "a")  # which does not exist
    assert not files_in(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file: cannot be removed"):
        files.remove(tmp_path / "file")
