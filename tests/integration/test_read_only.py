"""A disk that cannot be written ends a command in one line, or costs a warning where its result is shown anyway.

`test_environment.py` tests every command on a run that cannot be written, by refusing the calls of Python. Here the
system refuses them, as for a mounted backup: in the run folder, the cache and the new folder.
"""

import shutil
import sys

import numpy as np
import pytest

import lorae
from lorae.runs import Run
from tests.integration.forked import one_line
from tests.reproduction.tiny import make_tiny

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="mounts are those of Linux"),
    pytest.mark.usefixtures("blank_figures"),
]

TRAIN = ["--epochs", "1", "--latent-dim", "4", "--width", "0.125"]
REASON = ("Read-only file system", "Permission denied")


@pytest.mark.parametrize("command", ["train", "truncate", "export", "sample", "encode", "report", "reproduce"])
def test_a_new_folder_that_cannot_be_made_is_one_line(
    command, trained, image_file, read_only_disk, run_cli, monkeypatch
):
    place, protect = read_only_disk
    make_tiny(monkeypatch) if command == "reproduce" else None
    words = {
        "train": [image_file, *TRAIN],
        "encode": [trained.path, image_file],
        "reproduce": ["theorem1", "--preset", "smoke", "--workers", "1"],
    }
    protect()
    code, printed, errors = run_cli(command, *words.get(command, [trained.path]), "--out", place / "new.npy")
    assert (code, printed, one_line(errors)) == (2, "", True), errors
    assert any(reason in errors for reason in REASON)
    assert not list(place.iterdir())


def test_a_run_that_cannot_be_written_is_not_resumed(image_file, small, read_only_disk, train_until, run_cli):
    place, protect = read_only_disk
    train_until(8, str(image_file), out=place / "run", **small | {"checkpoint_every": 4})
    protect()
    code, _, errors = run_cli("resume", place / "run")
    assert (code, one_line(errors)) == (2, True), errors
    assert any(reason in errors for reason in REASON)
    again = shutil.copytree(place / "run", place.parent / "copy")
    assert lorae.resume(again, quiet=True).finished


def test_measurements_of_a_run_that_cannot_be_written_are_shown(trained, read_only_disk, run_cli):
    place, protect = read_only_disk
    shutil.copytree(trained.path, place / "run")
    protect()
    code, printed, errors = run_cli("evaluate", place / "run", "--only", "rank")
    assert code == 0, errors
    assert "the result is not stored" in errors
    assert "rank" in printed
    for words in (["spectrum"], ["encode", str(place.parent / "items.npy"), "--out", str(place.parent / "codes.npy")]):
        np.save(place.parent / "items.npy", np.zeros((2, 1, 16, 16), np.uint8))
        assert run_cli(words[0], place / "run", *words[1:])[0] == 0
    assert Run(place / "run").finished


def test_a_finished_run_without_a_report_that_cannot_be_written_is_given_back(trained, read_only_disk, run_cli):
    place, protect = read_only_disk
    shutil.copytree(trained.path, place / "run")
    (place / "run" / "report.html").unlink()
    protect()
    code, printed, errors = run_cli("resume", place / "run")
    assert code == 0, errors
    assert "report: " in errors
    assert "test error" in printed


def test_a_cache_that_cannot_be_written_is_read_and_not_filled(
    image_file, images, read_only_disk, run_cli, monkeypatch, tmp_path
):
    place, protect = read_only_disk
    monkeypatch.setenv("LORAE_CACHE", str(place / "cache"))
    known = run_cli("data", image_file, "--json")
    assert known[0] == 0
    protect()
    assert run_cli("data", image_file, "--json") == known
    np.save(tmp_path / "others.npy", images[::-1])
    code, _, errors = run_cli("data", tmp_path / "others.npy")
    assert (code, one_line(errors)) == (2, True), errors
    assert "set LORAE_CACHE to a folder that can be written" in errors
