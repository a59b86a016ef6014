"""A disk without room ends every command in one line, and loses nothing that was there before."""

import contextlib
import subprocess
import sys

import numpy as np
import pytest

import lorae

resource = pytest.importorskip("resource")

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits and mounts are those of Linux")

MIB = 2**20


@contextlib.contextmanager
def largest_file(size):
    """Let no file of this process grow beyond a size."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def said_in_one_line(errors):
    lines = [line for line in errors.splitlines() if not line.startswith("lorae: warning: ")]
    return len(lines) == 1 and lines[0].startswith("lorae: ") and "Traceback" not in errors


@pytest.fixture
def disk(tmp_path):
    """A file system with room for 4 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={4 * MIB}", "tmpfs", str(place)]
    try:
        mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("mounting a file system needs root")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.fixture
def large(tmp_path):
    """Images of 8 MiB."""
    path = tmp_path / "large.npy"
    np.save(path, np.random.default_rng(0).integers(0, 256, (512, 128, 128), np.uint8))
    return path


def test_a_cache_without_room_is_one_line(large, disk, run_cli, monkeypatch):
    monkeypatch.setenv("LORAE_CACHE", str(disk))
    code, _, errors = run_cli("data", large)
    assert (code, said_in_one_line(errors)) == (2, True), errors
    assert "expected 7 MiB (No space left on device); set LORAE_CACHE" in errors
    assert not list(disk.rglob("*.npy"))


def test_a_cache_that_another_process_fills_meanwhile_is_one_line(large, disk, tmp_path, monkeypatch):
    monkeypatch.setenv("LORAE_CACHE", str(disk))
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("usage", (), {"free": 2**40}))
    with pytest.raises(lorae.LoraeError, match=r"No space left on device\); set LORAE_CACHE"):
        lorae.load_data(str(large))
    assert not list(disk.rglob("*.npy"))


@pytest.mark.parametrize("limit", [10_000, MIB])
def test_a_cache_whose_files_may_not_be_so_large_is_one_line(limit, large, tmp_path, run_cli, monkeypatch):
    monkeypatch.setenv("LORAE_CACHE", str(tmp_path / "cache"))
    with largest_file(limit):
        code, _, errors = run_cli("data", large)
    assert (code, said_in_one_line(errors)) == (2, True), errors
    assert "File too large" in errors
    assert not list((tmp_path / "cache").rglob("*.npy"))


WRITING = {
    "sample": ["sample", "RUN", "-n", "40", "--out", "OUT.npy"],
    "sample to a folder": ["sample", "RUN", "-n", "40", "--out", "OUT"],
    "encode": ["encode", "RUN", "ITEMS", "--out", "OUT.csv"],
    "truncate": ["truncate", "RUN", "--rank", "2", "--out", "OUT"],
    "export": ["export", "RUN", "--out", "OUT"],
    "report": ["report", "RUN", "--out", "OUT.html"],
    "train": ["train", "ITEMS", "--epochs", "1", "--latent-dim", "4", "--width", "0.125", "--out", "OUT"],
}


def words_of(name, trained, image_file, folder):
    places = {"RUN": trained.path, "ITEMS": image_file}
    return [places.get(word, str(folder / word) if word.startswith("OUT") else word) for word in WRITING[name]]


@pytest.mark.usefixtures("blank_figures")
@pytest.mark.parametrize("name", WRITING)
def test_no_room_for_what_a_command_makes_is_one_line(name, trained, image_file, disk, tmp_path, run_cli, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (disk / "filled").write_bytes(bytes(4 * MIB - 8192))
    code, _, errors = run_cli(*words_of(name, trained, image_file, disk))
    assert "Traceback" not in errors
    if code == 0:  # stored elsewhere, as the warning says
        assert "is stored in" in errors
    else:
        assert (code, said_in_one_line(errors)) == (2, True), errors
        assert "No space left on device" in errors
    assert (disk / "filled").stat().st_size == 4 * MIB - 8192
    assert not [path for path in disk.rglob("*") if path.name.endswith((".tmp", "partial"))]


@pytest.mark.usefixtures("blank_figures")
@pytest.mark.parametrize("name", ["sample", "encode", "truncate", "train"])
def test_files_of_a_limited_size_are_one_line(name, trained, image_file, tmp_path, run_cli):
    with largest_file(1000):
        code, _, errors = run_cli(*words_of(name, trained, image_file, tmp_path))
    assert (code, said_in_one_line(errors)) == (2, True), errors
    assert "File too large" in errors
