from pathlib import Path

import pytest

from lorae.errors import LoraeError, LoraeWarning
from lorae.system.faults import tolerated
from lorae.system.files import (
    cache_root,
    home_expanded,
    staged_folder,
    temporary_cache,
    try_lock,
    write_atomically,
)


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
