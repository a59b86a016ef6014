"""A command that is killed at any moment goes on to what it would have made, and leaves nothing else.

`make test` kills at two moments of each command, the marker `faults` at twenty, by the clock as by calls.
"""

import json
import shutil
import time

import numpy as np
import pytest
import torch

from lorae.runs import Run
from tests.edited_records import read_edited
from tests.integration import forked
from tests.reproduction.tiny import make_tiny

pytestmark = forked.available

FEW, MANY = 2, 20
counts = pytest.mark.parametrize("count", [FEW, pytest.param(MANY, marks=pytest.mark.faults)])

# Checkpoints and statistics within an epoch of six steps, and not at its end.
SMALL = ("--latent-dim=8", "--width=0.125", "--batch-size=16", "--checkpoint-every=4", "--log-every=3")
VECTORS = ("--latent-dim=4", "--checkpoint-every=20", "--rank=2")
# Every schedule that there is, with the files of data.
TRAININGS = {
    "plain": ("images", "--epochs=4", "--penalty=1e-3", "--schedule=cosine", "--penalty-warmup=2", *SMALL),
    "bfloat16": ("images", "--epochs=4", "--precision=bfloat16", *SMALL),
    "variational": ("images", "--epochs=4", "--method=vae", *SMALL),
    "adversarial": ("images", "--epochs=4", "--method=wae-gan", *SMALL),
    "rank": ("images", "--epochs=8", "--rank=3", *SMALL),
    "rank auto": ("images", "--epochs=8", "--rank=auto", *SMALL),
    "rank of a share": ("images", "--epochs=8", "--rank=0.5", *SMALL),
    "target error": ("images", "--epochs=8", "--target-mse=0.04", *SMALL),
    "penalty path": ("images", "--epochs=6", "--penalty-path=1e-4:1e-2:3", *SMALL),
    "epochs auto": ("vectors", "--epochs=auto", "--patience=2", *VECTORS),
}
# Keys whose values are times or places, which differ between two runs of one command.
TIMES = {"seconds", "images_per_second", "created", "command", "crc32", "of", "out"}


@pytest.fixture(scope="module")
def files(images, tmp_path_factory):
    """Files of data by kind; the pictures have labels."""
    folder = tmp_path_factory.mktemp("data")
    np.savez(folder / "images.npz", images=images, labels=np.arange(len(images)) % 2)
    rng = np.random.default_rng(1)
    np.save(folder / "vectors.npy", rng.normal(size=(120, 2)) @ rng.normal(size=(2, 6)))
    return {"images": folder / "images.npz", "vectors": folder / "vectors.npy"}


def campaign(count, words, folder, *, again=None, prepare=lambda place: None, before=None):
    """Kill a command at many moments, go on each time, and compare what there is then with an undisturbed run.

    again: function of the folder that returns the commands that go on; None repeats the first one
    prepare: function that fills a folder
    """
    generator, killed = np.random.default_rng(len(str(words))), 0
    prepare(folder / "whole")
    assert forked.run(words, folder / "whole", before=before)[0] == 0, forked.said(folder / "whole")
    seconds, calls = forked.took(folder / "whole")
    expected = made(folder / "whole")
    while killed < count:
        place = folder / "killed"
        shutil.rmtree(place, ignore_errors=True)
        prepare(place)
        share = generator.random()
        # By the clock a kill falls within a write too, at a call it falls where a file has just been made.
        if count == FEW or killed % 2:
            process = forked.start(words, place, before=before, kill_at=1 + int(share * calls))
        else:
            process = forked.start(words, place, before=before)
            time.sleep(share * seconds)
            process.kill()
        if forked.finish(process) != -9:
            seconds *= 0.9  # it had ended before: the machine has less to do now
            continue
        killed += 1
        for command in [words] if again is None else again(place, words):
            code, errors = forked.run(command, place, before=before)
            assert code == 0, f"kill {killed} at {share}: {errors}"
        found = made(place)
        assert found.keys() == expected.keys(), f"kill {killed} at {share}"
        for name, content in expected.items():
            assert found[name] == content, f"kill {killed} at {share}: {name}"


def made(place):
    """The content of every file below a folder by name, without times; locks stay where they were, and are free."""
    found = {}
    for path in sorted(place.rglob("*")):
        name = path.relative_to(place).as_posix()
        if path.is_file() and path.suffix != ".lock" and name not in ("output", "errors", "took"):
            found[name] = content_of(path)
    return found


def content_of(path):
    match path.suffix:
        case ".json":
            found = timeless(json.loads(path.read_text()))
            if path.name == "info.json":  # of the cache, with times of its arrays
                found.pop("files", None)
            return found
        case ".jsonl":
            return [timeless(json.loads(line)) for line in path.read_text().splitlines()]
        case ".pt":
            return timeless(plain(torch.load(path, weights_only=True)))
        case ".html" | ".md":  # pages show times and places
            return len(path.read_bytes()) > 0
        case _:
            return path.read_bytes()


def timeless(value):
    if isinstance(value, dict):
        return {key: timeless(part) for key, part in value.items() if key not in TIMES}
    return [timeless(part) for part in value] if isinstance(value, list) else value


def plain(value):
    """Nested values with the bytes of tensors, which can be compared."""
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    return value.numpy().tobytes() if isinstance(value, torch.Tensor) else value


def resumed(place, words):
    """A kill before there is a run folder leaves nothing to resume."""
    return [["resume", "run"] if (place / "run").exists() else words]


def extended(place, words):
    """A run that is no longer finished, and not yet one of more epochs, is finished first, as the error says."""
    run = Run(place / "run")
    return [words] if run.finished or run.settings.epochs == 6 else [["resume", "run"], words]


@counts
@pytest.mark.parametrize("name", TRAININGS)
def test_a_killed_training_ends_at_the_same_weights(name, count, files, tmp_path):
    data, *flags = TRAININGS[name]
    campaign(count, ["train", files[data], *flags, "--out", "run"], tmp_path, again=resumed)
    assert Run(tmp_path / "killed" / "run").finished


@counts
def test_a_killed_extension_ends_at_the_same_weights(count, files, tmp_path):
    data, *flags = TRAININGS["plain"]
    assert forked.run(["train", files[data], *flags, "--out", "run"], tmp_path / "begun")[0] == 0
    campaign(
        count,
        ["resume", "run", "--epochs", "6"],
        tmp_path,
        again=extended,
        prepare=lambda place: shutil.copytree(tmp_path / "begun", place),
    )


def keep_every_step():
    """Write the state of a classifier after each of its steps, not every twenty seconds."""
    pytest.MonkeyPatch().setattr("lorae.evaluation.classification.checkpoints.PAUSE", 0.0)


@counts
def test_a_killed_evaluation_ends_at_the_same_numbers(count, files, tmp_path):
    data, *flags = TRAININGS["plain"]
    assert forked.run(["train", files[data], *flags, "--out", "run"], tmp_path / "trained")[0] == 0
    measures = "reconstruction,rank,explained,fid,kid,prdc,interpolation,probe,classification,supervised"
    sizes = ["--n=40", "--draws=2", "--labels=10,all", "--seeds=2", "--max-steps=4", "--features=raw", "--bootstrap=9"]
    campaign(
        count,
        ["evaluate", "run", "--only", measures, *sizes],
        tmp_path,
        prepare=lambda place: shutil.copytree(tmp_path / "trained", place),
        before=keep_every_step,
    )
    assert set(measures.split(",")) <= read_edited(tmp_path / "killed" / "run" / "evaluation.json").keys()


def tiny_study():
    make_tiny(pytest.MonkeyPatch())


@counts
@pytest.mark.parametrize("study", ["table3", "theorem1"])
def test_a_killed_study_ends_at_the_same_records(study, count, tmp_path):
    words = ["reproduce", study, "--preset", "smoke", "--workers", "1", "--out", "study"]
    campaign(count, words, tmp_path, before=tiny_study)
    assert (tmp_path / "killed" / "study" / f"{study}.md").exists()
