import os
import signal
import subprocess
import sys
import tempfile
import tracemalloc
from pathlib import Path

import pytest

from lorae.errors import LoraeError, LoraeWarning
from lorae.system.faults import tolerated
from lorae.system.files import (
    CannotWriteError,
    allocate,
    cache_root,
    home_expanded,
    read_file,
    staged_folder,
    sweep,
    temporary_cache,
    try_lock,
    write_atomically,
)

needs_locks = pytest.mark.skipif(sys.platform == "win32", reason="open files cannot be locked or deleted there")


def test_parents_are_made_and_old_content_is_replaced(tmp_path):
    path = tmp_path / "a" / "b.txt"
    write_atomically(path, b"old")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(path.parent.iterdir()) == [path]


def test_a_failed_write_keeps_the_old_content(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    write_atomically(path, b"old")

    def full_disk(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(LoraeError, match=r"cannot write .*a\.txt: No space left"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_lock_is_of_one_holder_at_a_time(tmp_path):
    lock = try_lock(tmp_path / "made" / ".lock", "refused")
    assert lock is not None
    assert try_lock(tmp_path / "made" / ".lock", "refused") is None
    lock.release()
    again = try_lock(tmp_path / "made" / ".lock", "refused")
    assert again is not None
    again.release()


def test_a_lock_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(LoraeError, match=r"^cannot write file: (File exists|Not a directory)"):
        try_lock(tmp_path / "file" / ".lock", "cannot write file")


def test_a_staged_folder_appears_whole_or_not_at_all(tmp_path):
    def fail():
        with staged_folder(tmp_path / "made" / "a") as partial:
            (partial / "file").touch()
            raise ValueError("fails")

    with pytest.raises(ValueError, match="fails"):
        fail()
    assert list((tmp_path / "made").iterdir()) == []
    with staged_folder(tmp_path / "made" / "a", tag="1.") as partial:
        (partial / "file").touch()
        assert not (tmp_path / "made" / "a").exists()
    assert list((tmp_path / "made").rglob("*")) == [tmp_path / "made" / "a", tmp_path / "made" / "a" / "file"]


def test_without_a_home_the_cache_is_temporary(monkeypatch):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    for name in ("LORAE_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    assert cache_root() == temporary_cache()
    assert cache_root().is_dir()


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(28, "No space left on device", "file"), "No space left on device"),
        (ValueError("a\n  b"), "a b"),
        (KeyError(), "KeyError"),
        (UnicodeDecodeError("ascii", b"\xff", 0, 1, "ordinal not in range"), "ordinal not in range"),
        (RuntimeError("x" * 1000), "x" * 160),
    ],
)
def test_a_tolerated_error_is_a_warning_of_one_line(error, reason):
    with pytest.warns(LoraeWarning) as caught, tolerated("figures: not drawn"):
        raise error
    assert str(caught[0].message) == f"figures: not drawn: {reason}"


def test_an_interrupt_is_not_tolerated():
    with pytest.raises(KeyboardInterrupt), tolerated("figures: not drawn"):
        raise KeyboardInterrupt


@pytest.mark.parametrize("path", ["~no-such-user/x.npy", "~no-such-user", "plain/~", "~\x00"])
def test_a_home_that_is_not_there_stays_as_it_is(path):
    assert str(home_expanded(path)) == path


def test_a_home_is_expanded(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert home_expanded("~/x.npy") == tmp_path / "x.npy"


def left_over(folder, name):
    """A file as a killed write leaves it."""
    path = folder / f".{name}.abcdefgh.tmp"
    path.write_bytes(b"half")
    return path


@needs_locks
def test_what_a_killed_write_left_is_deleted_by_the_next_one(tmp_path):
    mine, other = left_over(tmp_path, "a.json"), left_over(tmp_path, "b.json")
    write_atomically(tmp_path / "a.json", b"new")
    assert not mine.exists()
    assert other.exists()
    sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


@needs_locks
def test_what_is_being_written_is_not_deleted(tmp_path):
    import fcntl

    path = left_over(tmp_path, "a")
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        sweep(tmp_path)
        assert path.exists()
    sweep(tmp_path)
    assert not path.exists()


@needs_locks
def test_a_file_that_is_swept_before_it_is_locked_is_made_again(tmp_path, monkeypatch):
    """Another process may sweep the folder at any moment of a write, a young file too."""
    made, mkstemp = [], tempfile.mkstemp

    def swept(**options):
        made.append(mkstemp(**options))
        if len(made) < 3:
            sweep(tmp_path)
        return made[-1]

    monkeypatch.setattr("tempfile.mkstemp", swept)
    write_atomically(tmp_path / "a", b"content")
    assert len(made) == 3
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"content")]


@needs_locks
def test_a_file_whose_sweep_has_begun_is_made_again(tmp_path, monkeypatch):
    import fcntl

    made, mkstemp = [], tempfile.mkstemp

    def held(**options):
        made.append(mkstemp(**options))
        if len(made) == 1:  # by a sweep that has not deleted it yet
            fcntl.flock(os.open(made[0][1], os.O_RDWR), fcntl.LOCK_EX)
        return made[-1]

    monkeypatch.setattr("tempfile.mkstemp", held)
    write_atomically(tmp_path / "a", b"content")
    assert len(made) == 2
    assert (tmp_path / "a").read_bytes() == b"content"


KILLED = """
import os, signal, sys
from pathlib import Path
from lorae.system import files

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

os.fsync = die
files.write_atomically(Path(sys.argv[1]), bytes(1000))
"""


@needs_locks
def test_a_write_that_is_killed_leaves_the_old_content_and_what_the_next_one_deletes(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(list(tmp_path.glob(".*.tmp"))) == 1
    assert path.read_bytes() == b"old"
    write_atomically(path, b"new")
    assert [found.name for found in tmp_path.iterdir()] == ["file"]


def test_names_that_leave_no_room_for_more_are_written(tmp_path):
    for name in ("x" * 255, "é" * 127):
        write_atomically(tmp_path / name, b"content")
        assert (tmp_path / name).read_bytes() == b"content"
    with pytest.raises(CannotWriteError, match="File name too long"):
        write_atomically(tmp_path / ("x" * 256), b"content")


@needs_locks
def test_a_folder_that_a_killed_process_staged_is_deleted_by_the_next_one(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    left, living = (tmp_path / f".out.{number}.partial" for number in (ended.pid, os.getppid()))
    for folder in (left, living):
        folder.mkdir()
    with staged_folder(tmp_path / "out", f"{os.getpid()}."):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == [living.name, "out"]


@pytest.mark.parametrize("size", [0, 1, 100_000])
def test_allocated_files_have_their_room(tmp_path, size):
    allocate(tmp_path / "file", size)
    assert (tmp_path / "file").read_bytes() == bytes(size)
    if size and hasattr(os, "posix_fallocate"):
        assert (tmp_path / "file").stat().st_blocks * 512 >= size


def test_a_read_takes_the_memory_of_the_file(tmp_path):
    (tmp_path / "a").write_bytes(b"x" * 400)
    tracemalloc.start()
    try:
        assert read_file(tmp_path / "a") == b"x" * 400
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("known", [0, 3])
def test_a_file_that_has_more_than_its_size_says_is_read_up_to_the_limit(known, tmp_path, monkeypatch):
    content = bytes(range(250)) * 10_000
    (tmp_path / "growing").write_bytes(content)
    fields = list((tmp_path / "growing").stat())
    fields[6] = known
    monkeypatch.setattr("os.fstat", lambda _: os.stat_result(fields))
    assert read_file(tmp_path / "growing") == content
    assert read_file(tmp_path / "growing", len(content)) == content
    for limit in (4, len(content) - 1):
        with pytest.raises(OSError, match=f"has more than {limit} bytes"):
            read_file(tmp_path / "growing", limit)


def test_many_writes_list_their_folder_once(tmp_path, monkeypatch):
    listings, iterdir = [], Path.iterdir
    monkeypatch.setattr(Path, "iterdir", lambda folder: listings.append(folder) or iterdir(folder))
    for index in range(20):
        write_atomically(tmp_path / f"{index}.json", b"content")
    assert listings == [tmp_path]
