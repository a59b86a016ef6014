"""A disk without room ends every command in one line, and loses nothing that was there before."""

import contextlib
import sys

import numpy as np
import pytest

import lorae
from lorae.runs import Run
from tests.edited_records import read_edited
from tests.integration.conftest import ROOM
from tests.integration.forked import one_line
from tests.reproduction.tiny import make_tiny

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


@pytest.fixture
def large(tmp_path):
    """Images of 8 MiB."""
    path = tmp_path / "large.npy"
    np.save(path, np.random.default_rng(0).integers(0, 256, (512, 128, 128), np.uint8))
    return path


def test_a_cache_without_room_is_one_line(large, disk, run_cli, monkeypatch):
    monkeypatch.setenv("LORAE_CACHE", str(disk))
    code, _, errors = run_cli("data", large)
    assert (code, one_line(errors)) == (2, True), errors
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
    assert (code, one_line(errors)) == (2, True), errors
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
        assert (code, one_line(errors)) == (2, True), errors
        assert "No space left on device" in errors
    assert (disk / "filled").stat().st_size == 4 * MIB - 8192
    assert not [path for path in disk.rglob("*") if path.name.endswith((".tmp", "partial"))]


@pytest.mark.usefixtures("blank_figures")
@pytest.mark.parametrize("name", ["sample", "encode", "truncate", "train"])
def test_files_of_a_limited_size_are_one_line(name, trained, image_file, tmp_path, run_cli):
    with largest_file(1000):
        code, _, errors = run_cli(*words_of(name, trained, image_file, tmp_path))
    assert (code, one_line(errors)) == (2, True), errors
    assert "File too large" in errors


def leave_room(disk, size):
    """Fill a disk but for so many bytes."""
    (disk / "filled").write_bytes(b"")
    free = ROOM - sum(path.stat().st_blocks * 512 for path in disk.rglob("*"))
    (disk / "filled").write_bytes(bytes(max(0, free - size)))


@pytest.mark.usefixtures("blank_figures")
def test_a_disk_that_is_full_in_the_middle_of_a_training_costs_a_checkpoint(
    image_file, small, disk, tmp_path, run_cli, monkeypatch, train_until
):
    """The run is stored elsewhere; with room again, the interrupted one goes on to the same weights."""
    monkeypatch.chdir(tmp_path)
    options = small | {"epochs": 3, "checkpoint_every": 4}
    whole = lorae.train(str(image_file), out=tmp_path / "whole", **options)
    train_until(9, str(image_file), out=disk / "run", **options)
    content = (disk / "run" / "checkpoints" / "last.pt").read_bytes()
    leave_room(disk, len(content) // 8)  # the weights are a third
    code, _, errors = run_cli("resume", disk / "run", "--json")
    assert code == 0, errors
    assert "checkpoint: the training goes on without a new one: " in errors
    assert "is stored in" in errors
    assert "Traceback" not in errors
    assert (disk / "run" / "checkpoints" / "last.pt").read_bytes() == content
    assert not Run(disk / "run").finished
    assert not list((disk / "run").rglob("*.tmp"))
    (elsewhere,) = (path for path in tmp_path.glob("run-*") if Run(path).finished)
    leave_room(disk, ROOM)
    resumed = lorae.resume(disk / "run", quiet=True)
    for run in (Run(elsewhere), resumed):
        assert (run.path / "model.safetensors").read_bytes() == (whole.path / "model.safetensors").read_bytes()
    assert [record["step"] for record in resumed.stats()] == [record["step"] for record in whole.stats()]


@pytest.mark.usefixtures("blank_figures")
def test_results_that_a_full_disk_does_not_take_are_measured_again(image_file, small, disk, run_cli):
    run = lorae.train(str(image_file), out=disk / "run", **small)
    before = (run.path / "evaluation.json").read_bytes()
    words = ["evaluate", run.path, "--only", "rank,interpolation", "--n", "40", "--features", "raw", "--draws", "1"]
    leave_room(disk, 0)
    code, _, errors = run_cli(*words)
    assert code == 0, errors
    assert "interpolation: the result is not stored: cannot write" in errors
    assert "No space left on device" in errors
    assert (run.path / "evaluation.json").read_bytes() == before
    leave_room(disk, ROOM)
    assert run_cli(*words)[0] == 0
    assert "interpolation" in read_edited(run.path / "evaluation.json")
    assert not list(run.path.rglob("*.tmp"))


def test_records_of_a_study_that_a_full_disk_does_not_take_are_measured_again(disk, run_cli, monkeypatch):
    make_tiny(monkeypatch)
    words = ["reproduce", "theorem1", "--preset", "smoke", "--workers", "1", "--out", disk / "study"]
    leave_room(disk, 0)
    code, _, errors = run_cli(*words)
    assert (code, one_line(errors)) == (2, True), errors
    assert "No space left on device" in errors
    leave_room(disk, ROOM)
    assert run_cli(*words)[0] == 0
    assert (disk / "study" / "theorem1.md").exists()
    assert not [path for path in disk.rglob("*") if path.name.endswith((".tmp", "partial"))]
