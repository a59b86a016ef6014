"""Several processes at once share a cache and a study, and never a run that is trained."""

import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import lorae
from lorae.runs import Run
from tests.integration import forked
from tests.integration.test_kills import SMALL, TRAININGS, made, tiny_study

pytestmark = forked.available

# More than the cores, so that some stop between any two lines.
RACERS = 4
times = pytest.mark.parametrize("times", [1, pytest.param(10, marks=pytest.mark.faults)])


def at_the_same_time():
    """Wait for the file that starts all processes of a race."""
    while not Path("../go").exists():
        time.sleep(0.001)


def at_the_same_time_in_a_tiny_study():
    tiny_study()
    at_the_same_time()


def race(commands, folder, before=at_the_same_time):
    """Run commands at the same time, each in a folder of its own, with one cache; return their codes and errors."""
    places = [folder / str(number) for number in range(len(commands))]
    racers = [
        forked.start(words, place, cache=folder / "cache", before=before)
        for words, place in zip(commands, places, strict=True)
    ]
    time.sleep(0.2)
    (folder / "go").touch()
    return [(forked.finish(racer), forked.said(place)) for racer, place in zip(racers, places, strict=True)]


@times
def test_one_cache_is_filled_once(times, images, tmp_path):
    (tmp_path / "pictures").mkdir()
    for number, picture in enumerate(images[:40, 0]):
        Image.fromarray(picture).save(tmp_path / "pictures" / f"{number}.png")
    words = ["data", tmp_path / "pictures", "--json"]
    assert forked.run(words, tmp_path / "alone")[0] == 0
    expected = made(tmp_path / "alone" / "cache")
    assert len(expected) > 2
    for number in range(times):
        folder = tmp_path / f"race{number}"
        assert race([words] * RACERS, folder) == [(0, "")] * RACERS
        found = {(folder / str(racer) / "output").read_text() for racer in range(RACERS)}
        assert found == {(tmp_path / "alone" / "output").read_text()}
        assert made(folder / "cache") == expected


@times
def test_one_of_several_trainings_gets_the_folder(times, image_file, tmp_path):
    words = ["train", image_file, "--epochs=4", *SMALL, "--out"]
    assert forked.run([*words, "run"], tmp_path / "alone")[0] == 0
    expected = made(tmp_path / "alone" / "run")
    for number in range(times):
        folder = tmp_path / f"race{number}"
        found = race([[*words, folder / "run"]] * RACERS, folder)
        assert sorted(code for code, _ in found) == [0, *[2] * (RACERS - 1)]
        for code, errors in found:
            if code == 2:
                assert forked.one_line(errors), errors
                assert "is never overwritten" in errors
        assert made(folder / "run") == expected
        left = {path.name for path in folder.iterdir()} - {"go", "cache", "run", *map(str, range(RACERS))}
        assert not left


@times
def test_a_run_is_resumed_by_one_process(times, image_file, tmp_path, small, train_until):
    options = small | {"epochs": 20, "checkpoint_every": 4}
    whole = lorae.train(str(image_file), out=tmp_path / "whole", **options)
    for number in range(times):
        folder = tmp_path / f"race{number}"
        train_until(9, str(image_file), out=folder / "run", **options)
        found = race([["resume", folder / "run"]] * RACERS, folder)
        assert 0 in {code for code, _ in found}
        for code, errors in found:
            assert code == 0 or (forked.one_line(errors) and "is being trained by another process" in errors), errors
        assert made(folder / "run")["model.safetensors"] == made(whole.path)["model.safetensors"]
        assert [r["step"] for r in Run(folder / "run").stats()] == [r["step"] for r in whole.stats()]


@times
def test_several_evaluations_of_a_run_are_all_kept(times, image_file, tmp_path):
    measures = ["interpolation", "kid", "fid", "prdc"]
    assert forked.run(["train", image_file, *TRAININGS["plain"][1:], "--out", "run"], tmp_path)[0] == 0
    for number in range(times):
        folder = tmp_path / f"race{number}"
        run = shutil.copytree(tmp_path / "run", folder / "run")
        words = ["evaluate", run, "--n=40", "--draws=1", "--features=raw", "--only"]
        found = race([[*words, measure] for measure in measures], folder)
        assert [code for code, _ in found] == [0] * len(measures), found
        assert set(measures) <= Run(run).evaluation().keys()
        assert not list(run.rglob("*.tmp"))


@times
def test_processes_share_the_jobs_of_a_study(times, tmp_path):
    words = ["reproduce", "theorem1", "--preset", "smoke", "--seeds", "3", "--workers", "1", "--out"]
    assert forked.run([*words, "study"], tmp_path / "alone", before=tiny_study)[0] == 0
    expected = made(tmp_path / "alone" / "study")
    for number in range(times):
        folder = tmp_path / f"race{number}"
        found = race([[*words, folder / "study"]] * RACERS, folder, at_the_same_time_in_a_tiny_study)
        assert [code for code, _ in found] == [0] * RACERS, found
        assert made(folder / "study") == expected


def test_the_race_is_one(tmp_path):
    """All wait until the last one is there."""
    np.save(tmp_path / "items.npy", np.zeros((4, 4)))
    racer = forked.start(["methods"], tmp_path / "0", before=at_the_same_time)
    time.sleep(0.3)
    assert racer.exitcode is None
    (tmp_path / "go").touch()
    assert forked.finish(racer) == 0
