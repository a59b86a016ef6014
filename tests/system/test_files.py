import pytest

from lorae.errors import LoraeError
from lorae.system.files import try_lock, write_atomically


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
