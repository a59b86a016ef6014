import pytest

from lorae.errors import LoraeError
from lorae.files import take_lock, write_atomically


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
    lock = take_lock(tmp_path / ".lock", "busy")
    with pytest.raises(LoraeError, match=r"^it is busy$"):
        take_lock(tmp_path / ".lock", "it is busy")
    lock.release()
    take_lock(tmp_path / ".lock", "busy").release()


def test_a_lock_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(LoraeError, match=r"cannot write .*file/\.lock: (File exists|Not a directory)"):
        take_lock(tmp_path / "file" / ".lock", "busy")
