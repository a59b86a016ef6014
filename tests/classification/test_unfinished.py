import json

import numpy as np
import pytest
import torch

import lorae
from lorae.classification import classify, supervised, unfinished
from lorae.classification.fitting import Training
from lorae.classification.heads import Heads
from lorae.classification.supervised import Supervised
from lorae.errors import LoraeError
from lorae.model import Scaling

from .test_supervised import SMALL, bars

OPTIONS = {"counts": [20, 40], "seeds": [0, 1], "epochs": 10}


@pytest.fixture(autouse=True)
def _at_every_step(monkeypatch):
    monkeypatch.setattr(unfinished, "PAUSE", 0.0)


@pytest.fixture
def latents():
    """Raw pixels as latents: what is trained on them does not matter here."""
    images, labels = bars(300, 0)
    tests, test_labels = bars(100, 1)
    return images.reshape(300, -1) / 255, labels, tests.reshape(100, -1) / 255, test_labels


@pytest.fixture
def items():
    return (*bars(300, 0), *bars(100, 1))


def killed_after(steps):
    """An `advance` that interrupts after so many steps, and the list of steps it was told of."""
    told = []

    def advance(count):
        told.append(count)
        if len(told) == steps:
            raise KeyboardInterrupt

    return advance, told


@pytest.mark.parametrize("killed", [1, 9, 11, 19])
@pytest.mark.parametrize("method", ["classify", "supervised"])
def test_a_killed_training_goes_on_to_the_same_numbers(method, killed, latents, items, tmp_path):
    def train(**others):
        if method == "classify":
            return classify(*latents, **OPTIONS, **others)
        return supervised(*items, **OPTIONS, **SMALL, **others)

    whole = train()
    advance, _ = killed_after(killed)
    with pytest.raises(KeyboardInterrupt):
        train(advance=advance, folder=tmp_path)
    told = []
    assert train(advance=told.append, folder=tmp_path) == whole
    total = 2 * 10 * (2 if method == "supervised" else 1)
    assert sum(told) == total
    # What was done before comes in one piece, or one a finished training: only the rest is done step by step.
    assert len(told) <= total - killed + 2 + killed // 10
    assert json.loads(json.dumps(whole)) == whole


def test_a_finished_training_is_not_done_again(latents, tmp_path):
    advance, told = killed_after(19)
    with pytest.raises(KeyboardInterrupt):
        classify(*latents, **OPTIONS, folder=tmp_path / "kept", advance=advance)
    told = []
    classify(*latents, **OPTIONS, folder=tmp_path / "kept", advance=told.append)
    assert told == [10, 9, 1]


def test_what_is_done_is_forgotten_and_nothing_else(latents, tmp_path):
    folder, (advance, _) = tmp_path / "kept", killed_after(4)
    with pytest.raises(KeyboardInterrupt):
        classify(*latents, **OPTIONS | {"counts": [40]}, folder=folder, advance=advance)
    classify(*latents, **OPTIONS | {"counts": [4, 20]}, folder=folder)
    (path,) = folder.iterdir()
    assert path.name.startswith("40-labels-seed-0-1-")
    told = []
    classify(*latents, **OPTIONS | {"counts": [40]}, folder=folder, advance=told.append)
    assert told == [4] + 6 * [1]
    assert not folder.exists()


@pytest.mark.parametrize("change", ["latents", "labels", "epochs", "protocol", "test"])
def test_another_training_never_takes_up_what_was_kept(change, latents, tmp_path):
    advance, _ = killed_after(15)
    with pytest.raises(KeyboardInterrupt):
        classify(*latents, **OPTIONS, folder=tmp_path, advance=advance)
    train, labels, tests, test_labels = latents
    options = dict(OPTIONS)
    if change == "latents":
        train = train + 0.01
    if change == "labels":
        labels = 1 - labels
    if change == "test":
        tests = np.roll(tests, 1, axis=0)
    if change in ("epochs", "protocol"):
        options |= {"epochs": 11} if change == "epochs" else {"protocol": "authors_code"}
    data = (train, labels, tests, test_labels)
    assert classify(*data, **options, folder=tmp_path) == classify(*data, **options)


@pytest.mark.parametrize("damage", ["cut", "empty", "one bit"])
def test_a_damaged_file_is_refused_and_says_what_to_do(damage, latents, tmp_path):
    advance, _ = killed_after(4)
    with pytest.raises(KeyboardInterrupt):
        classify(*latents, **OPTIONS, folder=tmp_path, advance=advance)
    (path,) = tmp_path.iterdir()
    content = bytearray(path.read_bytes())
    if damage == "one bit":
        content[len(content) // 2] ^= 1
    path.write_bytes({"cut": content[:50], "empty": b"", "one bit": content}[damage])
    with pytest.raises(LoraeError, match=rf"^{path}: the file is damaged; delete it, and its training starts anew$"):
        classify(*latents, **OPTIONS, folder=tmp_path)


def test_what_a_kill_left_of_a_write_goes_with_the_rest(latents, tmp_path):
    folder, (advance, _) = tmp_path / "kept", killed_after(4)
    with pytest.raises(KeyboardInterrupt):
        classify(*latents, **OPTIONS, folder=folder, advance=advance)
    (path,) = folder.iterdir()
    (folder / f".{path.name}.abc").write_bytes(b"part")
    classify(*latents, **OPTIONS, folder=folder)
    assert not folder.exists()


def test_other_settings_leave_a_kept_training_alone(latents, tmp_path):
    advance, _ = killed_after(19)
    with pytest.raises(KeyboardInterrupt):
        classify(*latents, **OPTIONS, folder=tmp_path / "kept", advance=advance)
    classify(*latents, **OPTIONS | {"epochs": 3}, folder=tmp_path / "kept")
    classify(*latents, **OPTIONS | {"seeds": [0]}, folder=tmp_path / "kept")
    told = []
    classify(*latents, **OPTIONS, folder=tmp_path / "kept", advance=told.append)
    assert told == [10, 9, 1]


def test_the_precision_is_part_of_the_key():
    def words(bfloat16):
        heads = Heads(16, 2, [torch.Generator()])
        return str(Supervised(Scaling((1, 4, 4)), torch.nn.Flatten(), heads, bfloat16=bfloat16))

    assert words(True) != words(False)


def test_an_interrupted_evaluation_goes_on_and_leaves_nothing(small, tmp_path, monkeypatch):
    train, labels, tests, test_labels = (*bars(300, 0), *bars(100, 1))
    splits = {"train": train, "test": tests, "train_labels": labels, "test_labels": test_labels}
    np.savez(tmp_path / "bars.npz", **splits)
    run = lorae.train(tmp_path / "bars.npz", out=tmp_path / "run", **small)
    asked = {"only": "supervised", "labels": ("20",), "seeds": 2, "max_steps": 40, "quiet": True}
    steps, take_step = [], Training.take_step

    def take_or_die(training):
        steps.append(training.step)
        if len(steps) == 55:
            raise KeyboardInterrupt
        take_step(training)

    monkeypatch.setattr(Training, "take_step", take_or_die)
    with pytest.raises(KeyboardInterrupt):
        lorae.evaluate(run, **asked)
    assert list((run.path / "unfinished-supervised").iterdir())
    lorae.evaluate(run, **asked)
    assert steps[55:] == list(range(14, 40))
    assert not (run.path / "unfinished-supervised").exists()
