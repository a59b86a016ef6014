import pytest

from lorae.errors import LoraeError
from lorae.system.files import staged_folder, try_lock, write_atomically


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
